//! The kernel distance of two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs"), published as "KID".
//!
//! It is the squared maximum mean discrepancy with the kernel k(x, y) = (xᵀy/d + 1)³, estimated without bias
//! (Gretton et al. 2012, eq. 3):
//!
//! MMD² = Σᵢ≠ⱼ k(xᵢ, xⱼ)/(m(m − 1)) + Σᵢ≠ⱼ k(yᵢ, yⱼ)/(m(m − 1)) − 2 Σᵢⱼ k(xᵢ, yⱼ)/m²
//!
//! on blocks of m images, of which the mean and its standard error are given. Without bias, it is 0 on average, and
//! about as often below as above 0, for two sets of the same distribution, whatever n is.

use std::ops::Range;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use wengert::{Tensor, Var};

use super::{check_features, extents, times_transposed};

/// Images in a block, as in the paper; all of them if there are fewer.
const BLOCK: usize = 1000;

/// A mean over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelDistance {
    /// The mean of MMD² over the blocks.
    pub mean: f64,
    /// The standard error of that mean; none if there is one block only.
    pub standard_error: Option<f64>,
}

/// The kernel distance of features x (n, d) and y (n, d). What goes beyond a whole number of blocks of 1000 is left
/// out.
///
/// # Errors
/// A feature is not finite, or so large that the distance, or its error, is not.
///
/// # Panics
/// If the sets differ in shape, or hold fewer than two images.
#[track_caller]
pub fn kernel_distance(x: &Tensor<f64>, y: &Tensor<f64>) -> Result<KernelDistance> {
    let (n, _) = extents(x);
    assert!(n > 1 && x.shape() == y.shape(), "kernel_distance: shapes {} and {}", x.shape(), y.shape());
    check_features("features x", x)?;
    check_features("features y", y)?;
    let block = BLOCK.min(n);
    let count = n / block;
    let rows = |of: &Tensor<f64>, rows: Range<usize>| Var::from(of).slice(0, rows).into_value();
    let blocks = (0..count).map(|b| b * block..(b + 1) * block);
    let distances: Vec<f64> = blocks.map(|b| mmd2(&rows(x, b.clone()), &rows(y, b))).collect();
    let mean = distances.iter().sum::<f64>() / count as f64;
    let spread = distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
    let standard_error = (count > 1).then(|| (spread / (count * (count - 1)) as f64).sqrt());
    let finite = mean.is_finite() && standard_error.is_none_or(f64::is_finite);
    ensure!(finite, "kernel distance: found {mean:e} ± {standard_error:?}; expected features of smaller numbers");
    Ok(KernelDistance { mean, standard_error })
}

/// The unbiased estimate of MMD² from as many x as y.
fn mmd2(x: &Tensor<f64>, y: &Tensor<f64>) -> f64 {
    let (m, d) = extents(x);
    let sum = |a: &Tensor<f64>, b: &Tensor<f64>, diagonal: bool| {
        let products = times_transposed(a, b);
        let all = products.data()[..m * m].iter().enumerate();
        let wanted = all.filter(|(i, _)| diagonal || i % (m + 1) != 0);
        wanted.map(|(_, product)| (product / d as f64 + 1.0).powi(3)).sum::<f64>()
    };
    let pairs = (m * (m - 1)) as f64;
    (sum(x, x, false) + sum(y, y, false)) / pairs - 2.0 * sum(x, y, true) / (m * m) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    /// The definition, pair by pair.
    fn brute_force(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
        let k = |a: &Vec<f64>, b: &Vec<f64>| {
            (a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64 + 1.0).powi(3)
        };
        let m = x.len();
        let mut total = 0.0;
        for i in 0..m {
            for j in 0..m {
                let within = if i == j { 0.0 } else { (k(&x[i], &x[j]) + k(&y[i], &y[j])) / (m * (m - 1)) as f64 };
                total += within - 2.0 * k(&x[i], &y[j]) / (m * m) as f64;
            }
        }
        total
    }

    #[test]
    fn small_sets_agree_with_the_definition() {
        for (m, d) in [(2, 1), (3, 2), (17, 5)] {
            let mut rng = Rng::seed(m as u64);
            let (x, y): (Tensor<f64>, Tensor<f64>) = (rng.normal([m, d]), rng.uniform([m, d], 0.0, 2.0));
            let rows = |t: &Tensor<f64>| t.to_vec().chunks(d).map(<[f64]>::to_vec).collect::<Vec<_>>();
            let (found, expected) = (kernel_distance(&x, &y).unwrap(), brute_force(&rows(&x), &rows(&y)));
            assert!((found.mean - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found:?} {expected}");
            assert_eq!(found.standard_error, None);
        }
    }

    #[test]
    fn points_with_a_known_distance() {
        // All x = 0, all y = 2, d = 1: k(x, x) = 1, k(y, y) = 125, k(x, y) = 1.
        let found = kernel_distance(&Tensor::zeros([4, 1]), &Tensor::full([4, 1], 2.0)).unwrap();
        assert_eq!(found.mean, 1.0 + 125.0 - 2.0);
    }

    #[test]
    fn sets_of_one_distribution_are_at_zero_within_the_error() {
        let mut rng = Rng::seed(9);
        let mut draw = || rng.normal::<f64>([8_500, 6]);
        let same = kernel_distance(&draw(), &draw()).unwrap();
        let error = same.standard_error.unwrap();
        assert!(same.mean.abs() < 4.0 * error && error < 0.02, "{same:?}");
        let shifted = (Var::from(draw()) + 0.5).into_value();
        let other = kernel_distance(&draw(), &shifted).unwrap();
        assert!(other.mean > 10.0 * other.standard_error.unwrap(), "{other:?}");
    }

    #[test]
    fn what_has_no_finite_distance_is_refused() {
        let good = Rng::seed(1).normal::<f64>([3, 2]);
        let bad = Tensor::from_vec([3, 2], vec![0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0]);
        let message = |x: &Tensor<f64>, y: &Tensor<f64>| kernel_distance(x, y).unwrap_err().to_string();
        assert!(message(&good, &bad).starts_with("features y: found NaN in row 2, column 2"));
        assert!(message(&bad, &good).starts_with("features x: found NaN in row 2, column 2"));
        // Distances of about 1e180, whose squares are infinite: the error would be.
        let large = Var::from(Rng::seed(1).normal::<f64>([2000, 1])) * 1e30;
        let message = message(&large.into_value(), &Tensor::zeros([2000, 1]));
        assert!(message.contains("± Some(inf)"), "{message}");
    }
}
