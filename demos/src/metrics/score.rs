//! What a classifier sees: the classifier score and the shares of the classes.
//!
//! The score is that of Salimans et al. 2016 ("Improved techniques for training GANs", there with an Inception
//! network):
//!
//! exp Eₓ KL(p(y|x) ‖ p(y)), p(y) = Eₓ p(y|x)
//!
//! It is the number of classes if every image is clearly of one class and all classes are equally frequent, and 1 if
//! the classifier says the same of all images. It knows no reference: the score of real images beside it is its
//! measure. It is taken over all images at once; the means over ten splits that are often published are a little lower.

use anyhow::Result;
use wengert::Tensor;

use super::{check, extents};

/// The classifier score of the class probabilities (n, classes), whose rows sum to 1: from 1 to the number of classes.
///
/// # Errors
/// A number is no probability.
///
/// # Panics
/// If there is no row.
#[track_caller]
pub fn classifier_score(probabilities: &Tensor<f64>) -> Result<f64> {
    let (n, classes) = extents(probabilities);
    assert!(n > 0, "classifier_score: no image");
    let rows = probabilities.to_vec();
    check_probabilities("probabilities", &rows, classes)?;
    let mean = |class: usize| rows.iter().skip(class).step_by(classes).sum::<f64>() / n as f64;
    // E KL = H(mean) − E H, with x ln x = 0 at 0.
    let negentropy = |p: f64| if p > 0.0 { p * p.ln() } else { 0.0 };
    let conditional = rows.iter().map(|&p| negentropy(p)).sum::<f64>() / n as f64;
    let marginal: f64 = (0..classes).map(|class| negentropy(mean(class))).sum();
    Ok((conditional - marginal).exp())
}

/// The share of the images that belong to each class, by the largest of their probabilities (n, classes).
///
/// # Errors
/// A number is no probability.
///
/// # Panics
/// If there is no row.
#[track_caller]
pub fn class_shares(probabilities: &Tensor<f64>) -> Result<Vec<f64>> {
    let (n, classes) = extents(probabilities);
    assert!(n > 0, "class_shares: no image");
    let rows = probabilities.to_vec();
    check_probabilities("probabilities", &rows, classes)?;
    let mut counts = vec![0usize; classes];
    for row in rows.chunks_exact(classes) {
        counts[argmax(row)] += 1;
    }
    Ok(counts.iter().map(|&count| count as f64 / n as f64).collect())
}

/// Refuses rows of probabilities, one to each class, in which there is a number that is none.
pub(super) fn check_probabilities(what: &str, rows: &[f64], classes: usize) -> Result<()> {
    check(what, rows, classes, |p| (0.0..=1.0).contains(&p), "numbers from 0 to 1")
}

/// The place of the largest number; of equal ones, the first.
pub(super) fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(rows: &[[f64; 3]]) -> f64 {
        classifier_score(&Tensor::from_vec([rows.len(), 3], rows.concat())).unwrap()
    }

    #[test]
    fn scores_with_a_closed_form() {
        let [a, b, c] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert!((score(&[a, b, c, c, b, a]) - 3.0).abs() < 1e-14, "sure, and all classes equally often");
        assert!((score(&[a, b]) - 2.0).abs() < 1e-14, "a class is missing");
        assert!((score(&[a, a, a]) - 1.0).abs() < 1e-14, "one class only");
        assert!((score(&[[0.2, 0.3, 0.5]; 4]) - 1.0).abs() < 1e-14, "says the same of all images");
        // Shares ¾ and ¼: exp of the entropy.
        let expected = (-(0.75 * f64::ln(0.75) + 0.25 * f64::ln(0.25))).exp();
        assert!((score(&[a, a, a, b]) - expected).abs() < 1e-14);
    }

    #[test]
    fn shares_are_of_the_largest_probability() {
        let rows = [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2], [0.0, 0.1, 0.9]];
        assert_eq!(class_shares(&Tensor::from_vec([4, 3], rows.concat())).unwrap(), [0.5, 0.0, 0.5]);
    }

    #[test]
    fn what_is_no_probability_is_named() {
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
            let probabilities = Tensor::from_vec([2, 2], vec![0.5, 0.5, 1.0, bad]);
            let expected = format!("probabilities: found {bad} in row 2, column 2; expected numbers from 0 to 1");
            assert_eq!(classifier_score(&probabilities).unwrap_err().to_string(), expected);
            assert_eq!(class_shares(&probabilities).unwrap_err().to_string(), expected);
        }
    }
}
