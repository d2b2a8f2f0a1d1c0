//! All metrics of a generator at one moment, beside those of real images.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use wengert::Tensor;

use super::score::check_probabilities;
use super::{
    Classifier, Gaussian, KernelDistance, LevelDistance, Manifold, Outputs, Prdc, check_features, class_shares,
    classifier_score, extents, frechet_distance, kernel_distance, prdc, sliced_wasserstein,
};
use crate::data::{Dataset, ImageShape, Part};
use crate::interrupt;

/// Images to each set that are compared if nothing else is said.
const USUAL_IMAGES: usize = 5000;

/// The fewest images that metrics of 128 features make sense with: twice as many.
const LEAST_IMAGES: usize = 256;

/// The most images: all pairs of them have a distance.
const MOST_IMAGES: usize = 20_000;

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

impl Figures {
    /// Each figure by a tag of its own, for curves of all of them.
    pub fn tagged(&self) -> Vec<(String, f64)> {
        let Prdc { precision, recall, density, coverage } = self.prdc;
        let mut rows = vec![
            ("frechet".into(), self.frechet),
            ("kernel".into(), self.kernel.mean),
            ("classifier_score".into(), self.classifier_score),
            ("precision".into(), precision),
            ("recall".into(), recall),
            ("density".into(), density),
            ("coverage".into(), coverage),
        ];
        let levels = self.sliced_wasserstein.iter();
        rows.extend(levels.map(|level| (format!("sliced_wasserstein_{}", level.side), level.distance)));
        rows
    }

    /// Each figure's name and value, for people.
    pub fn named(&self) -> Vec<(String, String)> {
        let Prdc { precision, recall, density, coverage } = self.prdc;
        let error = self.kernel.standard_error.map_or("–".into(), |e| format!("{:.2}", 1e3 * e));
        let mut rows = vec![
            ("Fréchet distance".into(), format!("{:.3}", self.frechet)),
            ("kernel distance × 1000".into(), format!("{:.2}", 1e3 * self.kernel.mean)),
            ("  standard error".into(), error),
            ("classifier score".into(), format!("{:.2}", self.classifier_score)),
            ("precision".into(), format!("{precision:.3}")),
            ("recall".into(), format!("{recall:.3}")),
            ("density".into(), format!("{density:.3}")),
            ("coverage".into(), format!("{coverage:.3}")),
        ];
        rows.extend(
            self.sliced_wasserstein
                .iter()
                .map(|level| (format!("sliced W × 1000, {0}×{0}", level.side), format!("{:.1}", 1e3 * level.distance))),
        );
        let shares = self.class_shares.iter().take(20).enumerate();
        rows.extend(
            shares.map(|(class, share)| (format!("share of class {class}"), format!("{:.1} %", 100.0 * share))),
        );
        rows
    }
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
    /// Prepares the comparison with `n` images of `set`, a number that [`sample_size`] has found good.
    ///
    /// # Errors
    /// The classifier makes of these images what is not finite.
    ///
    /// # Panics
    /// If the set has fewer reference images.
    pub fn new(set: &dyn Dataset, classifier: Classifier, n: usize, seed: u64) -> Result<Evaluator> {
        let image = set.shape();
        let measure = |part: Part, what: &str| Measured::of(&classifier, first_images(set, part, n), what);
        let reference = measure(Part::Reference, "the reference images")?;
        let real = reference.compare(&measure(Part::Training, "the real images")?, image, seed)?;
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
    /// There are numbers that are not finite: in the images, or in what the classifier makes of them. Or a signal has
    /// asked for an end, while that is deferred: [`Interrupted`](interrupt::Interrupted).
    ///
    /// # Panics
    /// If there are not `n` images of the set's size.
    pub fn evaluate(&self, step: u64, images: &[f32]) -> Result<Evaluation> {
        let Evaluator { classifier, image, n, seed, .. } = self;
        assert_eq!(images.len(), n * image.numel(), "Evaluator: numbers in {n} images of {image}");
        let finite = images.iter().all(|x| x.is_finite());
        ensure!(finite, "step {step}: the generator makes images that are not finite; training has diverged");
        let levels = images.iter().map(|x| ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0);
        let generated = Measured::of(classifier, levels.collect(), "the generated images")?;
        interrupt::check()?;
        Ok(Evaluation {
            step,
            n: *n,
            seed: *seed,
            classifier: classifier.name().to_string(),
            classifier_accuracy: classifier.accuracy(),
            generated: self.reference.compare(&generated, *image, *seed)?,
            real: self.real.clone(),
        })
    }
}

/// How many images of this set are to be compared: `asked`, or if that is none, 5,000 or as many as there are.
///
/// # Errors
/// The set has too few reference images, or `asked` is too small or too large.
pub fn sample_size(set: &dyn Dataset, asked: Option<usize>) -> Result<usize> {
    let (name, found) = (set.name(), Part::Reference.of(set).len().min(Part::Training.of(set).len()));
    ensure!(
        found >= LEAST_IMAGES as u64,
        "{name}: found {found} reference images, every sixth of the set or every second of its test half; expected at \
         least {LEAST_IMAGES}"
    );
    let fitting = MOST_IMAGES.min(MOST_NUMBERS / set.shape().numel());
    let most = usize::try_from(found).unwrap_or(usize::MAX).min(fitting).max(LEAST_IMAGES);
    let n = asked.unwrap_or(USUAL_IMAGES.min(most));
    ensure!((LEAST_IMAGES..=most).contains(&n), "--n is {n}; expected {LEAST_IMAGES} to {most} images of {name}");
    Ok(n)
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
    /// `what`: these images, in words.
    fn of(classifier: &Classifier, images: Vec<f32>, what: &str) -> Result<Measured> {
        let Outputs { features, probabilities } = classifier.outputs(&images);
        interrupt::check()?;
        let of = |part: &str| format!("{part} of {what} from the classifier {}", classifier.name());
        check_features(&of("features"), &features)?;
        check_probabilities(&of("probabilities"), &probabilities.to_vec(), extents(&probabilities).1)?;
        let (gaussian, manifold) = (Gaussian::of(&features)?, Manifold::of(&features)?);
        Ok(Measured { images, features, probabilities, gaussian, manifold })
    }

    /// The figures of `other`, with this as the reference.
    fn compare(&self, other: &Measured, image: ImageShape, seed: u64) -> Result<Figures> {
        Ok(Figures {
            frechet: frechet_distance(&self.gaussian, &other.gaussian),
            kernel: kernel_distance(&self.features, &other.features)?,
            classifier_score: classifier_score(&other.probabilities)?,
            prdc: prdc(&self.manifold, &other.manifold),
            sliced_wasserstein: sliced_wasserstein(&self.images, &other.images, image, seed)?,
            class_shares: class_shares(&other.probabilities)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Digits, Images};
    use crate::metrics::Settings;
    use wengert::Archive;

    fn digits(count: usize) -> Images {
        let set = Digits::new(0);
        let mut pixels = vec![0; count * 1024];
        let labels = pixels.chunks_exact_mut(1024).zip(0..).map(|(image, i)| set.image(i, image)).collect();
        Images::new("some", set.shape(), pixels, labels)
    }

    fn evaluator() -> Evaluator {
        let cache = tempfile::tempdir().unwrap();
        let settings = Settings { steps: 40, batch: 32, ..Settings::default() };
        let set = digits(2400);
        let classifier = Classifier::open(&set, cache.path(), &settings, &mut |_, _| {}).unwrap();
        Evaluator::new(&set, classifier, 400, 3).unwrap()
    }

    #[test]
    fn a_classifier_whose_outputs_are_not_finite_gives_no_figure() {
        let cache = tempfile::tempdir().unwrap();
        let settings = Settings { steps: 1, batch: 8, ..Settings::default() };
        let set = digits(60);
        let open = || Classifier::open(&set, cache.path(), &settings, &mut |_, _| {}).unwrap();
        let path = cache.path().join(open().name());
        let good = Archive::load(&path).unwrap();
        // Weights that are finite, with sums that are not.
        for (weight, shape, part) in
            [("norm.3.weight", &[128][..], "features"), ("dense.weight", &[10, 128], "probabilities")]
        {
            let mut archive = good.clone();
            archive.set_tensor(format!("classifier.{weight}"), &Tensor::<f32>::full(shape, f32::MAX.into()));
            crate::sealed::seal(&mut archive);
            archive.save(&path).unwrap();
            let message = Evaluator::new(&set, open(), 8, 0).err().unwrap().to_string();
            let start = format!("{part} of the reference images from the classifier some-");
            assert!(message.starts_with(&start) && message.contains("in row 1, column "), "{message}");
        }
    }

    #[test]
    fn figures_order_sets_by_how_far_they_are_from_the_reference() {
        let evaluator = evaluator();
        let (reference, n) = (&evaluator.reference.images, evaluator.n());
        let itself = evaluator.evaluate(7, reference).unwrap();
        assert_eq!((itself.step, itself.n, itself.seed), (7, 400, 3));
        let same = &itself.generated;
        assert!(same.frechet < 1e-9 * evaluator.reference.features.to_vec().iter().sum::<f64>(), "{}", same.frechet);
        assert!(same.prdc.precision == 1.0 && same.prdc.recall == 1.0 && same.prdc.coverage == 1.0);
        assert!(same.sliced_wasserstein.iter().all(|level| level.distance == 0.0));
        let noisy: Vec<f32> = {
            let noise = wengert::Rng::seed(1).normal::<f32>([reference.len()]).to_vec();
            reference.iter().zip(noise).map(|(x, e)| (x + 0.3 * e).clamp(-1.0, 1.0)).collect()
        };
        let noisy = evaluator.evaluate(8, &noisy).unwrap().generated;
        let black = evaluator.evaluate(9, &vec![-1.0; n * 1024]).unwrap().generated;
        let figures = [same, &itself.real, &noisy, &black];
        let rising = |f: fn(&Figures) -> f64| figures.is_sorted_by(|a, b| f(a) < f(b));
        assert!(rising(|f| f.frechet) && rising(|f| f.kernel.mean), "{figures:?}");
        assert!(rising(|f| f.sliced_wasserstein[0].distance) && rising(|f| -f.prdc.coverage), "{figures:?}");
        assert!((black.classifier_score - 1.0).abs() < 1e-9 && black.class_shares.contains(&1.0));
        assert!((itself.real.class_shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);

        // Numbers are rounded to the levels of a file, and have to be numbers.
        let mut nearly: Vec<f32> = reference.iter().map(|x| x * 0.998 + 0.001).collect();
        assert_eq!(evaluator.evaluate(7, &nearly).unwrap(), itself);
        nearly[5] = f32::NAN;
        let error = evaluator.evaluate(12, &nearly).unwrap_err().to_string();
        assert!(error.contains("step 12") && error.contains("not finite"), "{error}");
    }

    #[test]
    fn the_number_of_images_is_bounded_by_what_there_is() {
        let of = |count: usize, side: usize| {
            let shape = ImageShape { channels: 1, height: side, width: side };
            Images::new("set", shape, vec![0; count * side * side], vec![0; count])
        };
        assert_eq!(sample_size(&of(3000, 8), None).unwrap(), 500);
        assert_eq!(sample_size(&Digits::new(0), None).unwrap(), 5000);
        assert_eq!(sample_size(&Digits::new(0), Some(20_000)).unwrap(), 20_000);
        for (set, n, message) in [
            (&of(3000, 8) as &dyn Dataset, 501, "--n is 501; expected 256 to 500 images of set"),
            (&of(3000, 8), 255, "--n is 255; expected 256 to 500 images of set"),
            (&Digits::new(0), 20_001, "--n is 20001; expected 256 to 20000 images of digits"),
            (
                &of(1535, 8),
                256,
                "set: found 255 reference images, every sixth of the set or every second of its test half; expected at \
                 least 256",
            ),
        ] {
            assert_eq!(sample_size(set, Some(n)).unwrap_err().to_string(), message);
        }
    }
}
