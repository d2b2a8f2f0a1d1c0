//! Batches, and where the random numbers of a step come from.

use wengert::{Device, Element, Tensor, Var};

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
}

impl Stream {
    pub(super) fn number(&self) -> u64 {
        match *self {
            Stream::Weights => 0,
            Stream::Samples => 1,
            Stream::DiscriminatorNoise(update) => 2 + 2 * update,
            Stream::GeneratorNoise(step) => 3 + 2 * step,
            Stream::SampledClasses => 1 << 62,
            Stream::Mixing(update) => (1 << 63) + update,
        }
    }
}
