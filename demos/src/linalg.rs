//! Singular values, as exact as f64 squared allows. A crate for it would add a fifth to the build.

use rayon::prelude::*;
use wengert::{Tensor, Var};

/// The singular values of a matrix (rows, columns), min(rows, columns) of them, from the largest to the least: the
/// roots of the eigenvalues of WWᵀ or WᵀW, whichever is smaller. Those below about 10⁻⁸ of the largest are noise. If
/// the matrix holds a number that is not finite, or beyond about 10⁷⁵, all are NaN.
///
/// # Panics
/// If the tensor is not of rank 2.
pub fn singular_values(matrix: &Tensor<f64>) -> Vec<f64> {
    let &[rows, columns] = &matrix.shape()[..] else { panic!("singular_values: a tensor of {}", matrix.shape()) };
    let w = Var::from(matrix.clone());
    let gram = if rows <= columns { w.matmul(&w.t()) } else { w.t().matmul(&w) };
    let eigenvalues = symmetric_eigenvalues(rows.min(columns), gram.value().to_vec());
    // Not `max`, which would make 0 of NaN.
    eigenvalues.iter().rev().map(|value| value.clamp(0.0, f64::INFINITY).sqrt()).collect()
}

/// The largest of 0 and these numbers; NaN if one of them is, which `f64::max` would pass over.
pub fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
}

/// Beyond this, squares of numbers and their sums might not be finite.
const LARGEST: f64 = 1e150;

/// The eigenvalues of a symmetric matrix (n, n), from the least to the largest, each to the rounding of the largest.
/// If the matrix holds a number that is not finite, or beyond ±10¹⁵⁰, all are NaN.
///
/// # Panics
/// If there are not n² numbers.
pub fn symmetric_eigenvalues(n: usize, matrix: Vec<f64>) -> Vec<f64> {
    assert_eq!(matrix.len(), n * n, "symmetric_eigenvalues: numbers in a matrix ({n}, {n})");
    if !matrix.iter().all(|x| x.abs() <= LARGEST) {
        return vec![f64::NAN; n];
    }
    let tridiagonal = Tridiagonal::of(n, matrix);
    (0..n).into_par_iter().map(|k| tridiagonal.eigenvalue(k)).collect()
}

/// A symmetric matrix that is zero except on three diagonals.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The squares of the numbers beside the diagonal, the first of which, at 0, stands for the row above the first.
    squares: Vec<f64>,
    /// Beyond this, up and down, there is no eigenvalue.
    reach: f64,
}

impl Tridiagonal {
    /// The tridiagonal matrix with the eigenvalues of a symmetric one, by a Householder reflection for each column
    /// (Golub and Van Loan, Matrix Computations, 4th edition, 8.3.1).
    fn of(n: usize, mut a: Vec<f64>) -> Tridiagonal {
        let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
        for k in 0..n {
            diagonal[k] = a[k * n + k];
            let mut v: Vec<f64> = (k + 1..n).map(|i| a[k * n + i]).collect();
            let Some(&first) = v.first() else { break };
            let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
            beside[k + 1] = norm;
            if norm == 0.0 {
                continue;
            }
            // v ← x ± ‖x‖e₁, with the sign that adds; H = I − βvvᵀ carries x to a multiple of e₁.
            v[0] += norm.copysign(first);
            let beta = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
            reflect(&mut a, n, k + 1, &v, beta);
        }
        let width = |i: usize| beside[i] + beside.get(i + 1).unwrap_or(&0.0);
        // Gershgorin's discs.
        let reach = (0..n).map(|i| diagonal[i].abs() + width(i)).fold(0.0, f64::max);
        Tridiagonal { diagonal, squares: beside.iter().map(|b| b * b).collect(), reach }
    }

    /// The eigenvalue with `k` below it, by bisection (Golub and Van Loan, 8.4.1).
    fn eigenvalue(&self, k: usize) -> f64 {
        // A little beyond, since the bounds are rounded too.
        let (mut low, mut high) = (-1.001 * self.reach, 1.001 * self.reach);
        let enough = 0.25 * f64::EPSILON * self.reach;
        while high - low > enough {
            let middle = low + (high - low) / 2.0;
            if middle <= low || middle >= high {
                break;
            }
            if self.count_below(middle) > k { high = middle } else { low = middle }
        }
        low + (high - low) / 2.0
    }

    /// How many eigenvalues lie below x: as many as there are negative pivots in the LDLᵀ decomposition of T − xI.
    fn count_below(&self, x: f64) -> usize {
        let mut pivot = 1.0;
        let mut count = 0;
        for (d, square) in self.diagonal.iter().zip(&self.squares) {
            pivot = d - x - square / pivot;
            if pivot.abs() < f64::MIN_POSITIVE {
                pivot = -f64::MIN_POSITIVE;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }
}

/// A ← HAH on the rows and columns from `start` on, H = I − βvvᵀ: A − vwᵀ − wvᵀ with p = βAv, w = p − (β/2)(pᵀv)v.
fn reflect(a: &mut [f64], n: usize, start: usize, v: &[f64], beta: f64) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let rows = |a: &mut [f64], update: &mut dyn FnMut(usize, &mut [f64])| {
        a.chunks_exact_mut(n).skip(start).enumerate().for_each(|(i, row)| update(i, &mut row[start..]));
    };
    let mut w = vec![0.0; v.len()];
    rows(a, &mut |i, row| w[i] = beta * dot(row, v));
    let half = 0.5 * beta * dot(&w, v);
    w.iter_mut().zip(v).for_each(|(w, v)| *w -= half * v);
    rows(a, &mut |i, row| {
        let (vi, wi) = (v[i], w[i]);
        row.iter_mut().zip(v.iter().zip(&w)).for_each(|(a, (v, w))| *a -= vi * w + wi * v);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    #[test]
    fn known_eigenvalues() {
        // The second difference matrix: 2 − 2 cos(kπ/(n + 1)).
        for n in [1, 2, 3, 50] {
            let entry = |d: usize| [2.0, -1.0, 0.0][d.min(2)];
            let matrix = (0..n * n).map(|k: usize| entry((k / n).abs_diff(k % n))).collect();
            for (k, value) in (1..).zip(symmetric_eigenvalues(n, matrix)) {
                let expected = 2.0 - 2.0 * (std::f64::consts::PI * f64::from(k) / (n + 1) as f64).cos();
                assert!((value - expected).abs() < 1e-14, "n {n}, {k}: {value}, {expected}");
            }
        }
        assert_eq!(symmetric_eigenvalues(2, vec![0.0; 4]), [0.0; 2]);
        assert!(symmetric_eigenvalues(0, vec![]).is_empty());
        for bad in [f64::NAN, f64::INFINITY, 1e151] {
            assert!(symmetric_eigenvalues(2, vec![1.0, 0.0, 0.0, bad]).iter().all(|x| x.is_nan()));
        }
        let (least, largest) = (1e150 * (1.0 - 1e-14), 1e150 * (1.0 + 1e-14));
        assert!(symmetric_eigenvalues(2, vec![1e150, 0.0, 0.0, 1e150]).iter().all(|x| (least..largest).contains(x)));
    }

    /// W = U diag(σ) V with reflections U and V: the singular values are known, and the matrix is full.
    fn matrix(rows: usize, columns: usize, sigma: &[f64]) -> Tensor<f64> {
        let mut rng = Rng::seed(rows as u64);
        let mut reflection = |n: usize| {
            let v: Var<f64> = rng.normal::<f64>([n, 1]).into();
            let eye = (0..n * n).map(|k| if k % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
            Var::from(Tensor::from_vec([n, n], eye)) - v.matmul(&v.t()) * (2.0 / v.powi(2).sum().item())
        };
        let (u, v) = (reflection(rows), reflection(columns));
        let entry = |k: usize| if k / columns == k % columns { sigma[k % columns] } else { 0.0 };
        let middle = Tensor::from_vec([rows, columns], (0..rows * columns).map(entry).collect());
        u.matmul(&middle.into()).matmul(&v).into_value()
    }

    #[test]
    fn the_largest_is_nan_wherever_one_is() {
        assert_eq!(largest([]), 0.0);
        assert_eq!(largest([0.5, 3.0, 1.0]), 3.0);
        assert_eq!(largest([1.0, f64::INFINITY]), f64::INFINITY);
        assert!(
            [[f64::NAN, 1.0, 2.0], [1.0, f64::NAN, 2.0], [1.0, 2.0, f64::NAN]].iter().all(|x| largest(*x).is_nan())
        );
    }

    #[test]
    fn what_is_not_finite_has_no_singular_values() {
        for bad in [f64::NAN, f64::INFINITY, 1e80] {
            let found = singular_values(&Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, bad, 6.0]));
            assert!(found.len() == 2 && found.iter().all(|x| x.is_nan()), "{bad}: {found:?}");
        }
    }

    #[test]
    fn singular_values_come_back() {
        for (rows, columns) in [(1, 5), (5, 1), (4, 4), (30, 70), (70, 30)] {
            // Equal ones, small ones and a zero among them.
            let n = rows.min(columns);
            let sigma: Vec<f64> =
                (0..n).map(|i| if i > 0 && i + 1 == n { 0.0 } else { 3.0 / (1 + i / 2) as f64 }).collect();
            let found = singular_values(&matrix(rows, columns, &sigma));
            assert_eq!(found.len(), n);
            for (found, expected) in found.iter().zip(&sigma) {
                // Of a zero, the root of the rounding is left.
                let tolerance = if *expected == 0.0 { 1e-7 } else { 1e-13 };
                assert!((found - expected).abs() < tolerance, "({rows}, {columns}): {found}, {expected}");
            }
        }
    }
}
