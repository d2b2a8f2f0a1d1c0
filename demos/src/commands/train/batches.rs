//! The batches of real images that training takes.

use std::sync::Arc;

use wengert::Tensor;

use crate::config::Config;
use crate::data::{Dataset, ImageShape, Loader, Order, Part};
use crate::train::{Batch, augment};

/// The batches of real images, in the order that the seed determines, prepared ahead.
pub(in crate::commands) struct Batches {
    loader: Loader,
    image: ImageShape,
    config: Config,
}

impl Batches {
    /// The batches of a run of this configuration from the one with the number `first` on.
    pub(in crate::commands) fn new(config: &Config, data: &Arc<dyn Dataset>, first: u64) -> Batches {
        let part = Part::Training.of(data.clone());
        let (image, order) = (data.shape(), Order::new(0..part.len(), config.seed));
        let loader = Loader::new(Arc::new(part), order, config.batch, first);
        Batches { loader, image, config: config.clone() }
    }

    /// Batch `n` since the start of training: images (N, C, H, W), in memory channels-last, and their classes if the
    /// nets are to know them.
    ///
    /// # Panics
    /// If `n` is not the number after that of the last batch.
    pub(in crate::commands) fn next(&mut self, n: u64) -> Batch {
        let batch = self.loader.next_batch();
        assert_eq!(batch.number, n, "Batches: the number of the next batch");
        let ImageShape { channels, height, width } = self.image;
        augment(&mut batch.images, self.image, &self.config, n);
        let images = Tensor::from_slice([self.config.batch, height, width, channels], &batch.images);
        Batch {
            values: images.permute([0, 3, 1, 2]),
            labels: self.config.conditional.then(|| batch.labels.iter().map(|&label| label.into()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    #[test]
    fn training_leaves_the_images_of_the_metrics_alone() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let set: Arc<dyn Dataset> = Arc::new(Images::new("sixty", shape, (0..60).collect(), (100..160).collect()));
        let config = Config { batch: 40, conditional: true, ..Config::DEFAULT };
        let pass = Batches::new(&config, &set, 0).next(0);
        let values = pass.values.to_vec();
        let mut met: Vec<u64> = values.iter().map(|x| ((x + 1.0) * 127.5).round() as u64).collect();
        let labels: Vec<u64> = pass.labels.unwrap().iter().map(|&label| label as u64 - 100).collect();
        assert_eq!(labels, met, "each image has its own label");
        met.sort_unstable();
        assert!(met.into_iter().eq((0..60).filter(|i| i % 6 < 4)));
    }
}
