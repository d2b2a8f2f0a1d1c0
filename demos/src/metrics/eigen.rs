//! Eigenvalues and eigenvectors of a symmetric matrix: the cyclic Jacobi method.
//!
//! A rotation in the plane of the axes p and q makes a_pq zero; sweeps over all pairs reduce what is left beside the
//! diagonal, in the end quadratically (Golub and Van Loan, Matrix Computations, 4th edition, 8.5). It is as exact as
//! methods get, and with features of 128 numbers its n³ cost nothing. A crate for it would build for 17 seconds.

/// A = Σᵢ λᵢ vᵢ vᵢᵀ.
#[derive(Clone, Debug)]
pub struct SymmetricEigen {
    /// λᵢ, in no particular order.
    pub values: Vec<f64>,
    /// vᵢ, of norm 1 and orthogonal to each other, row by row: (n, n).
    pub vectors: Vec<f64>,
}

/// More sweeps than any matrix of finite numbers needs: 6 to 10 are usual.
const MOST_SWEEPS: usize = 40;

/// Beyond this, what is computed of a number might overflow, and an overflow could look like a finite result.
const LARGEST: f64 = 1e300;

/// The eigenvalues and eigenvectors of a symmetric matrix (n, n), of which both halves are read. If it holds a number
/// that is not finite, or beyond ±10³⁰⁰, the whole result is NaN.
///
/// # Panics
/// If there are not n² numbers.
pub fn symmetric_eigen(n: usize, matrix: &[f64]) -> SymmetricEigen {
    assert_eq!(matrix.len(), n * n, "symmetric_eigen: numbers in a matrix ({n}, {n})");
    if !matrix.iter().all(|x| x.abs() <= LARGEST) {
        return SymmetricEigen { values: vec![f64::NAN; n], vectors: vec![f64::NAN; n * n] };
    }
    let mut a = matrix.to_vec();
    let mut vectors: Vec<f64> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                // Beside √(a_pp a_qq), what is below the rounding of a number changes no eigenvalue.
                // (The root of the product would be infinite for numbers above 10¹⁵⁴, and all would be negligible.)
                let negligible = f64::EPSILON * a[p * n + p].abs().sqrt() * a[q * n + q].abs().sqrt();
                if a[p * n + q].abs() > negligible.max(f64::MIN_POSITIVE) {
                    rotate(n, &mut a, &mut vectors, p, q);
                    rotated = true;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    SymmetricEigen { values: (0..n).map(|i| a[i * n + i]).collect(), vectors }
}

/// A ← JᵀAJ with the rotation J in the plane of p and q that makes a_pq zero, and V ← JᵀV.
fn rotate(n: usize, a: &mut [f64], vectors: &mut [f64], p: usize, q: usize) {
    // cot 2φ; of the two angles the smaller, t = tan φ.
    let cot = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
    let t = cot.signum() / (cot.abs() + cot.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    let turn = |m: &mut [f64], i: usize, j: usize| (m[i], m[j]) = (c * m[i] - s * m[j], s * m[i] + c * m[j]);
    for k in 0..n {
        turn(a, k * n + p, k * n + q);
    }
    for k in 0..n {
        turn(a, p * n + k, q * n + k);
        turn(vectors, p * n + k, q * n + k);
    }
    // Zero but for rounding; exactly zero, it is not rotated again.
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    /// A matrix of this rank, with eigenvalues of very different sizes.
    fn semidefinite(n: usize, rank: usize) -> Vec<f64> {
        let factor = Rng::seed(n as u64).normal::<f64>([rank, n]).to_vec();
        let product = |i: usize, j: usize| {
            (0..rank).map(|k| factor[k * n + i] * factor[k * n + j] * 10f64.powi(-(k as i32 % 7))).sum::<f64>()
        };
        (0..n * n).map(|k| product(k / n, k % n)).collect()
    }

    #[test]
    fn the_parts_make_the_matrix_and_are_orthonormal() {
        for (n, rank) in [(1, 1), (2, 2), (5, 3), (33, 33), (128, 128), (128, 40)] {
            let matrix = semidefinite(n, rank);
            let SymmetricEigen { values, vectors } = symmetric_eigen(n, &matrix);
            let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for i in 0..n {
                for j in 0..n {
                    let rebuilt: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
                    assert!((rebuilt - matrix[i * n + j]).abs() < 1e-13 * largest * n as f64, "n {n}, ({i}, {j})");
                    let dot: f64 = (0..n).map(|k| vectors[i * n + k] * vectors[j * n + k]).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13, "n {n}, vectors {i} and {j}: {dot}");
                }
            }
            let zeros = values.iter().filter(|v| v.abs() < 1e-14 * largest).count();
            assert_eq!(zeros, n - rank, "n {n}: rank");
        }
    }

    #[test]
    fn known_eigenvalues() {
        // The second difference matrix: 2 − 2 cos(kπ/(n + 1)).
        let n: usize = 10;
        let entry = |d: usize| [2.0, -1.0, 0.0][d.min(2)];
        let matrix: Vec<f64> = (0..n * n).map(|k| entry((k / n).abs_diff(k % n))).collect();
        let mut values = symmetric_eigen(n, &matrix).values;
        values.sort_by(f64::total_cmp);
        for (k, value) in (1..).zip(values) {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * f64::from(k) / 11.0).cos();
            assert!((value - expected).abs() < 1e-14, "{k}: {value}, {expected}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_reach_every_result() {
        // Beside the diagonal as well, where NaN is not above any bound.
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e301] {
            for matrix in [[bad, 0.0, 0.0, 1.0], [1.0, bad, bad, 1.0]] {
                let found = symmetric_eigen(2, &matrix);
                assert!(found.values.iter().chain(&found.vectors).all(|x| x.is_nan()), "{matrix:?}: {found:?}");
            }
        }
    }

    #[test]
    fn large_and_small_numbers_lose_nothing() {
        for scale in [1e-300, 1e160, 1e299] {
            // [[2, 1], [1, 2]] has the eigenvalues 1 and 3.
            let mut values = symmetric_eigen(2, &[2.0, 1.0, 1.0, 2.0].map(|x| x * scale)).values;
            values.sort_by(f64::total_cmp);
            let error = (values[0] / scale - 1.0).abs().max((values[1] / scale - 3.0).abs());
            assert!(error < 1e-14, "{scale:e}: {values:?}");
        }
    }

    #[test]
    fn empty_and_zero_matrices() {
        assert!(symmetric_eigen(0, &[]).values.is_empty());
        assert_eq!(symmetric_eigen(2, &[0.0; 4]).values, [0.0; 2]);
    }
}
