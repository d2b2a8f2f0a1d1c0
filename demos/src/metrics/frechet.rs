//! The Fréchet distance of two sets of features (Heusel et al. 2017, "GANs trained by a two time-scale update rule").
//!
//! Each set is taken as a Gaussian, of which the distance is known (Dowson and Landau 1982):
//!
//! d² = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (√Σ₁ Σ₂ √Σ₁)^½)
//!
//! √Σ₁ Σ₂ √Σ₁ is symmetric and has the eigenvalues of Σ₁Σ₂, whose own root is that of a matrix without symmetry, and
//! can come out complex from rounding. The estimate has a bias that falls as 1/n: only figures of equal n compare, and
//! n must be well above the number of features, or the covariances have no full rank.

use anyhow::Result;
use wengert::{Tensor, Var};

use super::{check_features, extents, times_transposed};
use crate::linalg::{symmetric_eigen, symmetric_eigenvalues};

/// The mean and the covariance of a set of features.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// μ, (1, d).
    mean: Tensor<f64>,
    /// Σ, (d, d), with n − 1 in the denominator.
    covariance: Tensor<f64>,
}

impl Gaussian {
    /// Of features (n, d).
    ///
    /// # Errors
    /// One is not finite, or beyond the range of `f32`.
    ///
    /// # Panics
    /// If they are fewer than two.
    #[track_caller]
    pub fn of(features: &Tensor<f64>) -> Result<Gaussian> {
        let (n, d) = extents(features);
        assert!(n > 1, "Gaussian: found {n} features, expected at least two");
        check_features("features", features)?;
        let features = Var::from(features);
        let mean = features.mean_axes([0], true);
        let centred = (features - &mean).t().into_value();
        let covariance = (Var::from(times_transposed(&centred, &centred)) * (1.0 / (n - 1) as f64)).into_value();
        assert_eq!(covariance.shape(), &[d, d].into());
        Ok(Gaussian { mean: mean.into_value(), covariance })
    }
}

/// The Fréchet distance d² of two Gaussians: 0 if they are the same; published as "FID".
///
/// # Panics
/// If they have different dimensions.
#[track_caller]
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let (d, other) = (a.mean.size(), b.mean.size());
    assert!(d == other, "frechet_distance: found features of {d} and of {other} numbers, expected as many");
    let means: f64 = a.mean.to_vec().iter().zip(b.mean.to_vec()).map(|(x, y)| (x - y).powi(2)).sum();
    let trace = |g: &Gaussian| g.covariance.to_vec().iter().step_by(d + 1).sum::<f64>();
    // Not `max`, which would make 0, the best there is, of NaN.
    (means + trace(a) + trace(b) - 2.0 * trace_of_root(d, a, b)).clamp(0.0, f64::INFINITY)
}

/// tr (√Σ₁ Σ₂ √Σ₁)^½. With Σ₁ = VᵀΛV, √Σ₁ Σ₂ √Σ₁ has the eigenvalues of √Λ V Σ₂ Vᵀ √Λ, since V is orthogonal.
fn trace_of_root(d: usize, a: &Gaussian, b: &Gaussian) -> f64 {
    // Rounding may leave an eigenvalue of 0 a little below.
    let root = |value: &f64| value.clamp(0.0, f64::INFINITY).sqrt();
    let mut first = symmetric_eigen(d, a.covariance.to_vec());
    for (row, value) in first.vectors.chunks_exact_mut(d).zip(&first.values) {
        row.iter_mut().for_each(|x| *x *= root(value));
    }
    let half = Tensor::from_vec([d, d], first.vectors);
    let product = times_transposed(&times_transposed(&half, &b.covariance), &half);
    symmetric_eigenvalues(d, product.to_vec()).iter().map(root).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    fn gaussian(mean: &[f64], covariance: Vec<f64>) -> Gaussian {
        let d = mean.len();
        Gaussian { mean: Tensor::from_slice([1, d], mean), covariance: Tensor::from_vec([d, d], covariance) }
    }

    fn diagonal(mean: &[f64], variances: &[f64]) -> Gaussian {
        let d = mean.len();
        gaussian(mean, (0..d * d).map(|k| if k % (d + 1) == 0 { variances[k / d] } else { 0.0 }).collect())
    }

    #[test]
    fn covariances_that_commute_have_a_closed_form() {
        // ‖μ₁ − μ₂‖² + Σ (σ₁ − σ₂)², with σ the standard deviations.
        let a = diagonal(&[0.0, 1.0, 2.0], &[1.0, 4.0, 0.0]);
        let b = diagonal(&[3.0, 1.0, 0.0], &[9.0, 1.0, 2.0]);
        let expected = 9.0 + 4.0 + (2.0 * 2.0 + 1.0 + 2.0);
        assert!((frechet_distance(&a, &b) - expected).abs() < 1e-13);
        assert!((frechet_distance(&b, &a) - expected).abs() < 1e-13);
        assert!(frechet_distance(&a, &a) < 1e-13);
    }

    #[test]
    fn two_by_two_covariances_that_do_not_commute() {
        // For 2×2, tr √M = √(tr M + 2 √det M), with M = Σ₁Σ₂.
        let a = gaussian(&[0.0, 0.0], vec![2.0, 1.0, 1.0, 3.0]);
        let b = gaussian(&[1.0, -1.0], vec![1.0, -0.5, -0.5, 4.0]);
        let (trace, det) = (2.0 * 1.0 - 0.5 * 2.0 + 3.0 * 4.0, (6.0 - 1.0) * (4.0 - 0.25));
        let expected = 2.0 + 5.0 + 5.0 - 2.0 * (trace + 2.0 * f64::sqrt(det)).sqrt();
        assert!((frechet_distance(&a, &b) - expected).abs() < 1e-13, "{} {expected}", frechet_distance(&a, &b));
    }

    #[test]
    fn samples_of_known_gaussians_come_near_their_distance() {
        let n = 50_000;
        let (mut rng, d) = (Rng::seed(3), 4);
        let x: Tensor<f64> = rng.normal([n, d]);
        let y = (Var::from(rng.normal::<f64>([n, d])) * 3.0 + 1.0).into_value();
        // Of each of the four: 1² for the means and (3 − 1)² for the deviations.
        let found = frechet_distance(&Gaussian::of(&x).unwrap(), &Gaussian::of(&y).unwrap());
        assert!((found - 20.0).abs() < 0.3, "{found}");
    }

    #[test]
    fn mean_and_covariance_of_a_small_set() {
        let g = Gaussian::of(&Tensor::from_vec([3, 2], vec![1.0, 0.0, 3.0, 0.0, 5.0, 6.0])).unwrap();
        assert_eq!(g.mean.to_vec(), [3.0, 2.0]);
        assert_eq!(g.covariance.to_vec(), [4.0, 6.0, 6.0, 12.0]);
    }

    #[test]
    fn an_offset_of_both_sets_changes_nothing() {
        let mut rng = Rng::seed(5);
        let (x, y): (Tensor<f64>, Tensor<f64>) = (rng.normal([300, 6]), rng.uniform([300, 6], 0.0, 2.0));
        let of = |offset: f64| {
            let gaussian = |x: &Tensor<f64>| Gaussian::of(&(Var::from(x) + offset).into_value()).unwrap();
            frechet_distance(&gaussian(&x), &gaussian(&y))
        };
        let (here, there) = (of(0.0), of(1e6));
        assert!((here / there - 1.0).abs() < 1e-8, "{here} {there}");
    }

    #[test]
    fn features_that_are_not_finite_are_named_and_large_ones_have_a_distance() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 4e38] {
            let features = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, bad, f64::NAN]);
            let message = Gaussian::of(&features).unwrap_err().to_string();
            let expected = "in row 2, column 2; expected finite numbers in the range of f32";
            assert!(message.starts_with(&format!("features: found {bad}")) && message.ends_with(expected), "{message}");
        }
        // The largest features: σ = M and 2M give M², and none of it overflows on the way.
        let most = f64::from(f32::MAX) / 2.0;
        let of = |x: [f64; 4]| Gaussian::of(&Tensor::from_vec([4, 1], x.map(|x| x * most).to_vec())).unwrap();
        let found = frechet_distance(&of([1.0, -1.0, 1.0, -1.0]), &of([2.0, -2.0, 2.0, -2.0]));
        assert!((found / (most * most * 4.0 / 3.0) - 1.0).abs() < 1e-12, "{found:e}");
        // Figures that are not finite all the same do not become 0.
        assert!(frechet_distance(&diagonal(&[f64::NAN], &[1.0]), &diagonal(&[0.0], &[1.0])).is_nan());
        assert!(frechet_distance(&diagonal(&[0.0], &[f64::NAN]), &diagonal(&[0.0], &[1.0])).is_nan());
    }
}
