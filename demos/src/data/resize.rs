//! Images brought to another size.

use super::{Dataset, ImageShape};

/// Another set of images, each brought to a square of one side.
///
/// A pixel is the mean of the old ones near it, weighted by a triangle that falls to 0 at the distance of one pixel of
/// the coarser of the two grids: bilinear interpolation when images grow, an average over areas that overlap by half when
/// they shrink, so that no detail turns into a pattern of its own.
pub struct Resized<D> {
    source: D,
    shape: ImageShape,
    rows: Vec<Window>,
    columns: Vec<Window>,
}

/// What a new pixel takes of a line of old ones: weights that sum to 1, for the pixels from `first` on.
struct Window {
    first: usize,
    weights: Vec<f32>,
}

/// The windows of `new` pixels over `old` ones.
fn windows(old: usize, new: usize) -> Vec<Window> {
    let scale = old as f64 / new as f64;
    let reach = scale.max(1.0);
    let window = |i: usize| {
        let centre = (i as f64 + 0.5) * scale - 0.5;
        let first = (centre - reach).ceil().max(0.0) as usize;
        let last = ((centre + reach).floor() as usize).min(old - 1);
        let weights: Vec<f64> = (first..=last).map(|j| (1.0 - (j as f64 - centre).abs() / reach).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        Window { first, weights: weights.iter().map(|weight| (weight / sum) as f32).collect() }
    };
    (0..new).map(window).collect()
}

impl<D: Dataset> Resized<D> {
    /// The images of `source` as squares of this side.
    ///
    /// # Panics
    /// If the side is 0, or the images of `source` have no pixel.
    pub fn new(source: D, side: usize) -> Resized<D> {
        let old = source.shape();
        assert!(side > 0 && old.numel() > 0, "Resized: {old} to {side}×{side}: expected at least a pixel");
        let shape = ImageShape { height: side, width: side, ..old };
        Resized { rows: windows(old.height, side), columns: windows(old.width, side), source, shape }
    }
}

impl<D: Dataset> Dataset for Resized<D> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn classes(&self) -> usize {
        self.source.classes()
    }

    fn size(&self) -> Option<u64> {
        self.source.size()
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        assert_eq!(pixels.len(), self.shape.numel(), "{}: an image of {}", self.name(), self.shape);
        let old = self.source.shape();
        let mut whole = vec![0; old.numel()];
        let label = self.source.image(index, &mut whole);
        let (channels, width) = (old.channels, self.shape.width);
        // Rows first become shorter or longer, then columns.
        let mut lines = vec![0.0; old.height * width * channels];
        for (line, row) in lines.chunks_exact_mut(width * channels).zip(whole.chunks_exact(old.width * channels)) {
            for (pixel, window) in line.chunks_exact_mut(channels).zip(&self.columns) {
                for (weight, old) in window.weights.iter().zip(row.chunks_exact(channels).skip(window.first)) {
                    pixel.iter_mut().zip(old).for_each(|(sum, &x)| *sum += weight * f32::from(x));
                }
            }
        }
        let mut sums = vec![0.0; width * channels];
        for (row, window) in pixels.chunks_exact_mut(width * channels).zip(&self.rows) {
            sums.fill(0.0);
            for (weight, line) in window.weights.iter().zip(lines.chunks_exact(width * channels).skip(window.first)) {
                sums.iter_mut().zip(line).for_each(|(sum, x)| *sum += weight * x);
            }
            row.iter_mut().zip(&sums).for_each(|(pixel, sum)| *pixel = sum.round() as u8); // saturates at 0 and 255
        }
        label
    }
}

impl<D: Dataset + ?Sized> Dataset for Box<D> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn shape(&self) -> ImageShape {
        (**self).shape()
    }

    fn classes(&self) -> usize {
        (**self).classes()
    }

    fn size(&self) -> Option<u64> {
        (**self).size()
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        (**self).image(index, pixels)
    }

    fn batch(&self, indices: &[u64], images: &mut [f32], labels: &mut [u8]) {
        (**self).batch(indices, images, labels);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Images;
    use super::*;

    fn resized(channels: usize, [height, width]: [usize; 2], pixels: &[u8], side: usize) -> Vec<u8> {
        let shape = ImageShape { channels, height, width };
        let set = Resized::new(Images::new("set", shape, pixels.to_vec(), vec![3]), side);
        assert_eq!((set.name(), set.classes(), set.size()), ("set", 4, Some(1)));
        let mut out = vec![0; side * side * channels];
        assert_eq!(set.image(0, &mut out), 3);
        out
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let pixels: Vec<u8> = (0..5 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
        assert_eq!(resized(3, [5, 5], &pixels, 5), pixels);
    }

    #[test]
    fn growing_is_bilinear_interpolation() {
        // Centres at −1/4, 1/4, 3/4 and 5/4 of the old pixels, the outer ones beyond the edge.
        assert_eq!(resized(1, [2, 2], &[0, 200, 0, 200], 4)[..4], [0, 50, 150, 200]);
        assert_eq!(resized(1, [2, 2], &[0, 0, 200, 200], 4)[4..8], [50; 4]);
    }

    #[test]
    fn shrinking_averages() {
        // A chequerboard is grey from afar, but for what its corners hold; one channel does not see the other.
        let board: Vec<u8> = (0..64).flat_map(|i| [if (i / 8 + i % 8) % 2 == 0 { 0 } else { 200 }, 7]).collect();
        assert_eq!(resized(2, [8, 8], &board, 2), [99, 7, 101, 7, 101, 7, 99, 7]);
        // Three pixels are within reach of each new one, at 1/2, 1/2 and 3/2 old pixels: weights 3/7, 3/7 and 1/7.
        assert_eq!(resized(1, [1, 4], &[70, 70, 0, 0], 2)[..2], [60, 10]);
    }

    #[test]
    fn each_side_keeps_its_own_scale() {
        let wide = resized(1, [1, 2], &[10, 20], 2);
        assert_eq!(wide, [10, 20, 10, 20]);
    }
}
