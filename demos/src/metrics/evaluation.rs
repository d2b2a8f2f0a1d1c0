//! All metrics of a generator at one moment, beside those of real images.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use wengert::Tensor;

use super::{
    Classifier, Gaussian, KernelDistance, LevelDistance, Manifold, Prdc, class_shares, classifier_score,
    frechet_distance, kernel_distance, prdc, sliced_wasserstein,
};
use crate::data::{Dataset, ImageShape, Part};

/// Images to each set that are compared if nothing else is said.
const USUAL_IMAGES: usize = 5000;

/// The fewest images that metrics of 128 features make sense with: twice as many.
pub const LEAST_IMAGES: usize = 256;

/// The most images: all pairs of them have a distance.
pub const MOST_IMAGES: usize = 20_000;

/// The most numbers in the images of a set: 256 MB in f32.
const MOST_NUMBERS: usize = 1 << 26;

/// What the metrics say of a set of images in comparison with the reference images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The Fréchet distance; lower is better.
    pub frechet: f64,
    /// The kernel distance; lower is better.
    pub kernel: KernelDistance,
    /// The classifier score, 1 to the number of classes; higher is better.
    pub classifier_score: f64,
    /// Precision, recall, density and coverage; higher is better.
    pub prdc: Prdc,
    /// The sliced Wasserstein distance at each level, the largest first; lower is better.
    pub sliced_wasserstein: Vec<LevelDistance>,
    /// The share of the images that the classifier takes to be of each class.
    pub class_shares: Vec<f64>,
}

/// A generator evaluated at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Generator updates made.
    pub step: u64,
    /// Generated, reference, and real images: as many of each.
    pub n: usize,
    /// Determines the noise of the generated images, and places and directions of the sliced Wasserstein distance.
    pub seed: u64,
    /// The file of the classifier in the cache; its name holds a hash of all that it depends on.
    pub classifier: String,
    /// The share of real images, none of which it has learnt, whose class the classifier finds.
    pub classifier_accuracy: f64,
    /// What the generated images get.
    pub generated: Figures,
    /// What real images get that are not among the reference images: as much as a generator can hope for.
    pub real: Figures,
}

impl Evaluation {
    /// Whether the figures of the two may be compared: same classifier, same number of images, same seed.
    pub fn is_comparable(&self, other: &Evaluation) -> bool {
        (self.n, self.seed, &self.classifier) == (other.n, other.seed, &other.classifier)
    }
}

/// Evaluates generated images against the reference images of a set. Made once, it serves many steps of a run.
///
/// The reference images are those of [`Part::Reference`]; the real ones that stand beside the generated ones are the
/// first of [`Part::Training`]. The classifier has learnt from neither.
pub struct Evaluator {
    classifier: Classifier,
    image: ImageShape,
    n: usize,
    seed: u64,
    reference: Measured,
    real: Figures,
}

impl Evaluator {
    /// Prepares the comparison with `n` images of `set`; with 5,000, or as many as there are, if `n` is none.
    ///
    /// # Errors
    /// The set has too few reference images, or `n` is too small or too large.
    pub fn new(set: &dyn Dataset, classifier: Classifier, n: Option<usize>, seed: u64) -> Result<Evaluator> {
        let (name, image) = (set.name(), set.shape());
        let found = Part::Reference.of(set).len();
        ensure!(
            found >= LEAST_IMAGES as u64,
            "{name}: found {found} reference images, every sixth of the set; expected at least {LEAST_IMAGES}"
        );
        let fitting = MOST_IMAGES.min(MOST_NUMBERS / image.numel());
        let most = usize::try_from(found).unwrap_or(usize::MAX).min(fitting).max(LEAST_IMAGES);
        let n = n.unwrap_or(USUAL_IMAGES.min(most));
        ensure!((LEAST_IMAGES..=most).contains(&n), "--n is {n}; expected {LEAST_IMAGES} to {most} images of {name}");
        let measure = |part: Part| Measured::of(&classifier, first_images(set, part, n));
        let (reference, real) = (measure(Part::Reference), measure(Part::Training));
        let real = reference.compare(&real, image, seed);
        Ok(Evaluator { classifier, image, n, seed, reference, real })
    }

    /// How many images [`evaluate`](Self::evaluate) takes.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The seed of the noise that these images are to be made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The figures of `n` images (height, width, channels) from the generator as it is after `step` updates. Their
    /// numbers, in [−1, 1], are rounded to the 256 levels of the real images first, as in a file.
    ///
    /// # Errors
    /// There are numbers that are not finite.
    ///
    /// # Panics
    /// If there are not `n` images of the set's size.
    pub fn evaluate(&self, step: u64, images: &[f32]) -> Result<Evaluation> {
        let Evaluator { classifier, image, n, seed, .. } = self;
        assert_eq!(images.len(), n * image.numel(), "Evaluator: numbers in {n} images of {image}");
        let finite = images.iter().all(|x| x.is_finite());
        ensure!(finite, "step {step}: the generator makes images that are not finite; training has diverged");
        let levels = images.iter().map(|x| ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0);
        let generated = Measured::of(classifier, levels.collect());
        Ok(Evaluation {
            step,
            n: *n,
            seed: *seed,
            classifier: classifier.name().to_string(),
            classifier_accuracy: classifier.accuracy(),
            generated: self.reference.compare(&generated, *image, *seed),
            real: self.real.clone(),
        })
    }
}

/// The first `n` images of a part, (n, height, width, channels).
fn first_images(set: &dyn Dataset, part: Part, n: usize) -> Vec<f32> {
    let indices: Vec<u64> = (0..n as u64).collect();
    let mut images = vec![0.0; n * set.shape().numel()];
    part.of(set).batch(&indices, &mut images, &mut vec![0; n]);
    images
}

/// A set of images, and what comparisons need of it.
struct Measured {
    images: Vec<f32>,
    features: Tensor<f64>,
    probabilities: Tensor<f64>,
    gaussian: Gaussian,
    manifold: Manifold,
}

impl Measured {
    fn of(classifier: &Classifier, images: Vec<f32>) -> Measured {
        let super::Outputs { features, probabilities } = classifier.outputs(&images);
        let (gaussian, manifold) = (Gaussian::of(&features), Manifold::of(&features));
        Measured { images, features, probabilities, gaussian, manifold }
    }

    /// The figures of `other`, with this as the reference.
    fn compare(&self, other: &Measured, image: ImageShape, seed: u64) -> Figures {
        Figures {
            frechet: frechet_distance(&self.gaussian, &other.gaussian),
            kernel: kernel_distance(&self.features, &other.features),
            classifier_score: classifier_score(&other.probabilities),
            prdc: prdc(&self.manifold, &other.manifold),
            sliced_wasserstein: sliced_wasserstein(&self.images, &other.images, image, seed),
            class_shares: class_shares(&other.probabilities),
        }
    }
}
