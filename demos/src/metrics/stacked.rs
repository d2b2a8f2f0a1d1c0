//! Modes found and the Kullback–Leibler divergence, for stacked digits (Metz et al. 2017, Srivastava et al. 2017, Lin
//! et al. 2018, arXiv:1712.04086).
//!
//! A classifier of digits reads each of the three channels, which gives an image one of a thousand modes. A mode is
//! found if one image is of it. With p the shares of the modes among the images and 1/1000 their shares in the set,
//!
//! KL(p ‖ q) = Σ p ln(1000 p),
//!
//! 0 at best, ln 1000 = 6.9 if all images are of one mode. Of n independent draws from the set itself it is about
//! 999/(2n), 0.019 for 26,000, the number that is usual; and mistakes of the classifier make a few modes that are none.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::score::{argmax, check_probabilities};
use super::{Classifier, Outputs};

/// The modes of three digits.
pub const STACKED_MODES: usize = 1000;

/// Which modes images are of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeCount {
    /// Modes with at least one image, of [`STACKED_MODES`].
    pub modes: usize,
    /// The divergence of the modes' shares from equal ones, in nats.
    pub kl: f64,
}

impl ModeCount {
    /// Of the modes of images, each below [`STACKED_MODES`].
    ///
    /// # Panics
    /// If there is no image, or no such mode.
    pub fn of(modes: &[usize]) -> ModeCount {
        assert!(!modes.is_empty(), "ModeCount: no image");
        let mut counts = vec![0usize; STACKED_MODES];
        modes.iter().for_each(|&mode| counts[mode] += 1);
        let shares = counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 / modes.len() as f64);
        let kl = shares.map(|p| p * (p * STACKED_MODES as f64).ln()).sum();
        ModeCount { modes: counts.iter().filter(|&&count| count > 0).count(), kl }
    }
}

/// The modes of images (height, width, 3) in [−1, 1], rounded to 256 levels: the digits of red, green and blue, as the
/// classifier of digits reads them, as one number.
///
/// # Errors
/// The classifier makes of an image what is no probability.
///
/// # Panics
/// If the classifier is not one of ten classes of grey images of this size.
pub fn stacked_modes(classifier: &Classifier, images: &[f32]) -> Result<Vec<usize>> {
    let level = |x: f32| ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0;
    let image = 3 * classifier.image().numel();
    let plane = |image: &[f32], channel: usize| image.iter().skip(channel).step_by(3).map(|&x| level(x)).collect();
    let planes: Vec<Vec<f32>> =
        images.chunks_exact(image).flat_map(|image| (0..3).map(move |channel| plane(image, channel))).collect();
    let Outputs { probabilities, .. } = classifier.outputs(&planes.concat());
    let rows = probabilities.to_vec();
    check_probabilities(&format!("probabilities from {}", classifier.name()), &rows, 10)?;
    let digits: Vec<usize> = rows.chunks_exact(10).map(argmax).collect();
    Ok(digits.chunks_exact(3).map(|three| three.iter().fold(0, |number, digit| 10 * number + digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Digits, StackedDigits};
    use crate::metrics::Settings;

    #[test]
    fn modes_and_divergence_are_those_of_the_formula() {
        let all: Vec<usize> = (0..STACKED_MODES).collect();
        let even = ModeCount::of(&all);
        assert!(even.modes == 1000 && even.kl.abs() < 1e-12, "{even:?}");
        let one = ModeCount::of(&[7; 50]);
        assert!(one.modes == 1 && (one.kl - 1000f64.ln()).abs() < 1e-12, "{one:?}");
        // Three quarters of one mode, a quarter of another.
        let two = ModeCount::of(&[3, 999, 3, 3]);
        let expected = 0.75 * 750f64.ln() + 0.25 * 250f64.ln();
        assert!(two.modes == 2 && (two.kl - expected).abs() < 1e-12, "{two:?}");
    }

    #[test]
    fn as_many_draws_as_usual_from_all_modes_are_near_zero() {
        let mut rng = wengert::Rng::seed(1);
        let modes: Vec<usize> = (0..26_000).map(|_| rng.below(STACKED_MODES)).collect();
        let found = ModeCount::of(&modes);
        assert_eq!(found.modes, 1000);
        assert!((found.kl - 999.0 / 52_000.0).abs() < 0.003, "{found:?}");
    }

    #[test]
    fn a_classifier_of_digits_reads_the_channels_in_their_order() {
        let cache = tempfile::tempdir().unwrap();
        let settings = Settings { steps: 150, batch: 32, ..Settings::default() };
        let classifier = Classifier::open(&Digits::new(0), cache.path(), &settings, &mut |_, _| {}).unwrap();
        let (set, n) = (StackedDigits::new(0), 200);
        let mut images = vec![0.0; n * 3072];
        set.batch(&(0..n as u64).collect::<Vec<_>>(), &mut images, &mut vec![0; n]);
        let found = stacked_modes(&classifier, &images).unwrap();
        let truth = (0..n as u64).map(|i| {
            let [red, green, blue] = set.digits(i, &mut [0; 3072]).map(usize::from);
            100 * red + 10 * green + blue
        });
        let right = found.iter().zip(truth).filter(|(found, truth)| **found == *truth).count();
        assert!(right > n / 2, "{right} of {n}, with an accuracy of {}", classifier.accuracy());
    }
}
