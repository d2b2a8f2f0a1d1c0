//! Batches, and where the random numbers of a step come from.

use wengert::{Device, Element, Rng, Tensor, Var};

use crate::config::Config;
use crate::data::ImageShape;

/// Images (N, C, M, M), or noise (N, z), and the class of each if the nets are conditional.
#[derive(Clone, Debug)]
pub struct Batch<T: Element = f32> {
    /// Images or noise.
    pub values: Tensor<T>,
    /// N classes.
    pub labels: Option<Vec<usize>>,
}

impl<T: Element> From<Tensor<T>> for Batch<T> {
    /// Without classes.
    fn from(values: Tensor<T>) -> Batch<T> {
        Batch { values, labels: None }
    }
}

impl<T: Element> From<&Tensor<T>> for Batch<T> {
    fn from(values: &Tensor<T>) -> Batch<T> {
        values.clone().into()
    }
}

impl<T: Element> Batch<T> {
    /// The same values as another scalar type.
    pub fn cast<U: Element>(&self) -> Batch<U> {
        Batch { values: self.values.cast(), labels: self.labels.clone() }
    }

    /// The same on a device, where it is not there yet.
    ///
    /// # Panics
    /// With a [`DeviceError`](wengert::DeviceError), as operations do, if the device has no memory left or fails.
    pub(super) fn on(&self, device: &Device) -> Batch<T> {
        let values = self.values.to(device).unwrap_or_else(|error| error.raise());
        Batch { values, labels: self.labels.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.values.shape()[0]
    }

    pub(super) fn var(&self) -> Var<T> {
        (&self.values).into()
    }

    pub(super) fn labels(&self) -> Option<&[usize]> {
        self.labels.as_deref()
    }
}

/// Mirrors and dequantises the real images of an update of the discriminator, (n, height, width, channels) as
/// byte/127.5 − 1, if the configuration asks for it.
///
/// Bytes stand for ranges of brightness: (byte + u)/128 − 1 with u uniform in [0, 1), as the code of SNGAN's authors
/// has it for ImageNet, is a draw from them in [−1, 1]. What the generator makes is a density, which could otherwise be
/// told by not being on 256 levels.
pub fn augment(images: &mut [f32], image: ImageShape, config: &Config, update: u64) {
    let mut rng = Rng::stream(config.seed, Stream::Augmentation(update).number());
    if config.flip {
        for one in images.chunks_exact_mut(image.numel()) {
            if rng.below(2) == 1 {
                one.chunks_exact_mut(image.width * image.channels).for_each(|row| mirror(row, image.channels));
            }
        }
    }
    if config.dequantise {
        for x in images {
            let byte = ((*x + 1.0) * 127.5).round();
            *x = (byte + rng.unit() as f32) / 128.0 - 1.0;
        }
    }
}

/// The pixels of a row from the last to the first.
fn mirror(row: &mut [f32], channels: usize) {
    row.reverse();
    row.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
}

/// What random numbers are for: each use has streams of its own.
pub(super) enum Stream {
    Weights,
    Samples,
    /// Of an update of the discriminator.
    DiscriminatorNoise(u64),
    /// Of an update of the generator.
    GeneratorNoise(u64),
    /// Of the points between real and generated images in an update of the critic.
    Mixing(u64),
    /// Of the classes of images that stand for the set's.
    SampledClasses,
    /// Of mirrors and noise for real images in an update of the discriminator.
    Augmentation(u64),
}

impl Stream {
    pub(super) fn number(&self) -> u64 {
        match *self {
            Stream::Weights => 0,
            Stream::Samples => 1,
            Stream::DiscriminatorNoise(update) => 2 + 2 * update,
            Stream::GeneratorNoise(step) => 3 + 2 * step,
            Stream::SampledClasses => 1 << 62,
            Stream::Augmentation(update) => (3 << 62) + update,
            Stream::Mixing(update) => (1 << 63) + update,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: ImageShape = ImageShape { channels: 2, height: 2, width: 3 };

    fn augmented(images: &[f32], flip: bool, dequantise: bool, update: u64) -> Vec<f32> {
        let mut images = images.to_vec();
        augment(&mut images, IMAGE, &Config { flip, dequantise, ..Config::DEFAULT }, update);
        images
    }

    fn bytes(n: usize) -> Vec<f32> {
        (0..n * 12).map(|i| (i * 37 % 256) as f32 / 127.5 - 1.0).collect()
    }

    #[test]
    fn every_second_image_is_mirrored_row_by_row() {
        let images = bytes(200);
        let mirrored = |image: &[f32]| -> Vec<f32> {
            let pixel = |y: usize, x: usize| [image[(y * 3 + x) * 2], image[(y * 3 + x) * 2 + 1]];
            (0..6).flat_map(|i| pixel(i / 3, 2 - i % 3)).collect()
        };
        let found = augmented(&images, true, false, 4);
        let turned = found.chunks(12).zip(images.chunks(12)).filter(|(new, old)| {
            assert!(*new == *old || *new == mirrored(old));
            new != old
        });
        let turned = turned.count();
        assert!((70..130).contains(&turned), "{turned} of 200"); // four standard deviations
        assert_ne!(found, augmented(&images, true, false, 5), "others in the next update");
        assert_eq!(found, augmented(&images, true, false, 4), "the same whenever a run gets there");
    }

    #[test]
    fn noise_stays_within_the_byte() {
        let images = bytes(100);
        let found = augmented(&images, false, true, 0);
        let within = |(x, old): (&f32, &f32)| {
            let (level, byte) = (f64::from((x + 1.0) * 128.0), f64::from((old + 1.0) * 127.5).round());
            (-1e-4..=1.0 + 1e-4).contains(&(level - byte))
        };
        assert!(found.iter().zip(&images).all(within));
        let mean =
            found.iter().zip(&images).map(|(x, old)| (x + 1.0) * 128.0 - (old + 1.0) * 127.5).sum::<f32>() / 1200.0;
        assert!((mean - 0.5).abs() < 0.034, "{mean}"); // four standard errors of a uniform number
        assert_eq!(augmented(&images, false, false, 0), images);
    }
}
