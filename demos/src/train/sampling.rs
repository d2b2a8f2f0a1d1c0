//! What is drawn: noise, classes, and images from them.

use wengert::nn::{Mode, Params, Pass};
use wengert::optim::Ema;
use wengert::{Element, Rng, Tensor};

use super::batch::Stream;
use super::{Batch, SAMPLES_AT_ONCE, Trainer};
use crate::interpolate::interpolate;

impl<T: Element> Trainer<T> {
    /// Generated images have the classes of a set with so many images of each: else a perfect conditional generator
    /// would still differ from a set in which some are rare. `None`, or as many of each: all are equally likely.
    ///
    /// # Panics
    /// If the nets know another number of classes.
    pub fn follow_classes(&mut self, counts: Option<Vec<u64>>) {
        let uneven = |counts: &Vec<u64>| counts.iter().any(|&n| n != counts[0]);
        self.class_counts = counts.filter(|counts| self.config.conditional && uneven(counts));
        if let Some(counts) = &self.class_counts {
            assert_eq!(counts.len(), self.classes, "Trainer: the images of each class");
        }
    }

    /// `n` images of the generator, or of its moving average if there is one, in evaluation mode, as numbers in (−1,
    /// 1), (n, M, M, C): the picture that this seed gives. Conditional nets draw their classes in turn.
    pub fn sample(&self, n: usize, seed: u64) -> Vec<f32> {
        self.samples(n, seed).flatten().collect()
    }

    /// [`sample`](Trainer::sample), image i of the class `class(i)`, which only conditional nets look at.
    ///
    /// # Panics
    /// If conditional nets do not know a class.
    pub fn sample_classes(&self, n: usize, seed: u64, class: impl Fn(usize) -> usize) -> Vec<f32> {
        self.samples_of(n, seed, class).flatten().collect()
    }

    /// The images of [`sample`](Trainer::sample) in parts, each computed when it is asked for.
    pub fn samples(&self, n: usize, seed: u64) -> impl Iterator<Item = Vec<f32>> {
        self.samples_of(n, seed, |i| self.class_in_turn(i))
    }

    /// The images of [`sample_classes`](Trainer::sample_classes) in parts, each computed when it is asked for.
    ///
    /// # Panics
    /// When a part is computed, if conditional nets do not know a class.
    pub fn samples_of(&self, n: usize, seed: u64, class: impl Fn(usize) -> usize) -> impl Iterator<Item = Vec<f32>> {
        let mut rng = Rng::stream(seed, Stream::Samples.number());
        let parts = (0..n).step_by(SAMPLES_AT_ONCE).map(move |start| {
            let end = n.min(start + SAMPLES_AT_ONCE);
            self.labelled(rng.normal([end - start, self.config.z_dim]), (start..end).map(&class))
        });
        parts.map(|part| self.generate(part))
    }

    /// `rows` rows of `columns` images, (columns, M, M, C), as [`sample`](Trainer::sample) makes them, each computed
    /// when it is asked for: in row i the noise goes from that of its image 2i to that of its image 2i + 1, along
    /// [`interpolate`]; all of the row is of the class `class(i)`, which only conditional nets look at.
    ///
    /// # Panics
    /// When a row is computed, if conditional nets do not know a class.
    pub fn interpolate(
        &self,
        rows: usize,
        columns: usize,
        seed: u64,
        class: impl Fn(usize) -> usize,
    ) -> impl Iterator<Item = Vec<f32>> {
        let mut rng = Rng::stream(seed, Stream::Samples.number());
        (0..rows).map(move |row| {
            let z = interpolate(&rng.normal([2, self.config.z_dim]), columns);
            self.generate(self.labelled(z, std::iter::repeat_n(class(row), columns)))
        })
    }

    /// The first `n` images of [`sample`](Trainer::sample), and the generator's attention maps in them,
    /// (n, M²/4, M²/16); `None` for nets without attention. All at once: for a few images.
    pub fn attend(&self, n: usize, seed: u64) -> Option<(Vec<f32>, Vec<f32>)> {
        let mut rng = Rng::stream(seed, Stream::Samples.number());
        let batch = self.labelled(rng.normal([n, self.config.z_dim]), (0..n).map(|i| self.class_in_turn(i)));
        let (pass, batch) = (Pass::frozen(self.sampling_params(), Mode::Eval), batch.on(&self.device));
        let (images, maps) = self.generator.forward_with_attention(&pass, &batch.var(), batch.labels());
        Some((numbers(&images.into_value().permute([0, 2, 3, 1])), numbers(maps?.value())))
    }

    /// The class of image `i` where classes take turns.
    pub fn class_in_turn(&self, i: usize) -> usize {
        i % self.classes.max(1)
    }

    /// Noise, with classes for conditional nets.
    fn labelled(&self, values: Tensor<T>, classes: impl Iterator<Item = usize>) -> Batch<T> {
        Batch { values, labels: self.config.conditional.then(|| classes.collect()) }
    }

    /// The images of a batch of noise, (N, M, M, C).
    fn generate(&self, z: Batch<T>) -> Vec<f32> {
        let (pass, z) = (Pass::frozen(self.sampling_params(), Mode::Eval), z.on(&self.device));
        let images = self.generator.forward(&pass, &z.var(), z.labels()).into_value();
        numbers(&images.permute([0, 2, 3, 1]))
    }

    /// The generator's weights that samples are drawn with: the moving average, if there is one.
    pub fn sampling_params(&self) -> &Params<T> {
        self.ema.as_ref().map_or(&self.generator_params, Ema::params)
    }

    /// [`samples`](Trainer::samples) with classes as often as in the set, drawn by the same seed.
    pub fn samples_as_in_the_set(&self, n: usize, seed: u64) -> impl Iterator<Item = Vec<f32>> {
        let mut rng = Rng::stream(seed, Stream::SampledClasses.number());
        let classes: Option<Vec<usize>> =
            self.class_counts.as_ref().map(|_| (0..n).map(|_| self.random_class(&mut rng)).collect());
        self.samples_of(n, seed, move |i| classes.as_ref().map_or_else(|| self.class_in_turn(i), |classes| classes[i]))
    }

    /// A class, as likely as in the set.
    fn random_class(&self, rng: &mut Rng) -> usize {
        let Some(counts) = &self.class_counts else { return rng.below(self.classes) };
        let all: u64 = counts.iter().sum();
        let mut left = rng.below(all as usize) as u64;
        let found = counts.iter().position(|&count| {
            let inside = left < count;
            left = left.saturating_sub(count);
            inside
        });
        found.expect("a number below the sum of all counts")
    }

    /// A batch of noise, with classes, as likely as in the set, for conditional nets.
    pub(super) fn noise(&self, stream: Stream) -> Batch<T> {
        let (mut rng, n) = (self.stream(stream), self.config.batch);
        let values = rng.normal([n, self.config.z_dim]);
        let labels = self.config.conditional.then(|| (0..n).map(|_| self.random_class(&mut rng)).collect());
        Batch { values, labels }
    }
}

fn numbers<T: Element>(tensor: &Tensor<T>) -> Vec<f32> {
    tensor.to_vec().iter().map(|x| x.f64() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Method};
    use crate::data::ImageShape;

    #[test]
    fn classes_are_as_frequent_as_in_the_set() {
        let config = Config { width: 0.02, z_dim: 4, batch: 4000, conditional: true, ..Config::recipe(Method::Sagan) };
        let image = ImageShape { channels: 1, height: 8, width: 8 };
        let shares = |trainer: &Trainer<f32>| -> Vec<f64> {
            let labels = trainer.noise(Stream::GeneratorNoise(7)).labels.unwrap();
            (0..4).map(|class| labels.iter().filter(|&&label| label == class).count() as f64 / 4000.0).collect()
        };
        let mut trainer = Trainer::<f32>::with_classes(&config, image, 4);
        trainer.follow_classes(Some(vec![5, 0, 70, 25]));
        let found = shares(&trainer);
        // Four standard deviations of the largest.
        let fits = found.iter().zip([0.05, 0.0, 0.7, 0.25]).all(|(found, share)| (found - share).abs() < 0.03);
        assert!(fits && found[1] == 0.0, "{found:?}");
        // A set without rare classes has the bits that a trainer without counts has.
        trainer.follow_classes(Some(vec![9; 4]));
        let even = trainer.noise(Stream::GeneratorNoise(7)).labels;
        assert_eq!(even, Trainer::<f32>::with_classes(&config, image, 4).noise(Stream::GeneratorNoise(7)).labels);
    }

    #[test]
    fn images_that_stand_for_the_sets_have_its_classes() {
        let config = Config { width: 0.02, z_dim: 4, conditional: true, ..Config::recipe(Method::Sagan) };
        let image = ImageShape { channels: 1, height: 8, width: 8 };
        let mut trainer = Trainer::<f32>::with_classes(&config, image, 3);
        let all = |trainer: &Trainer<f32>| -> Vec<f32> { trainer.samples_as_in_the_set(5, 1).flatten().collect() };
        assert_eq!(all(&trainer), trainer.sample(5, 1), "in turn, if all are equally likely");
        trainer.follow_classes(Some(vec![0, 0, 3]));
        assert_eq!(all(&trainer), trainer.sample_classes(5, 1, |_| 2));
    }
}
