//! Eigenvalues of symmetric matrices, and singular values. A crate for them would have built for 16 seconds.

use wengert::{Tensor, Var};

/// The singular values of a matrix (rows, columns), min(rows, columns) of them, from the largest to the least: the
/// roots of the eigenvalues of WWᵀ or WᵀW, whichever is smaller. Those below about 10⁻⁸ of the largest are noise. If
/// the matrix holds a number that is not finite, or beyond about 10¹⁵⁰, all are NaN.
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

/// A = Σᵢ λᵢ vᵢ vᵢᵀ.
#[derive(Clone, Debug)]
pub struct SymmetricEigen {
    /// λᵢ, in no particular order, each to the rounding of the largest.
    pub values: Vec<f64>,
    /// vᵢ, of norm 1 and orthogonal to each other, row by row: (n, n).
    pub vectors: Vec<f64>,
}

/// The eigenvalues and eigenvectors of a symmetric matrix (n, n), of which both halves are read. If it holds a number
/// that is not finite, the whole result is NaN.
///
/// # Panics
/// If there are not n² numbers.
pub fn symmetric_eigen(n: usize, matrix: Vec<f64>) -> SymmetricEigen {
    let mut vectors: Vec<f64> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let values = diagonalise(n, matrix, &mut vectors);
    if values.iter().any(|x| x.is_nan()) {
        vectors.fill(f64::NAN);
    }
    SymmetricEigen { values, vectors }
}

/// The eigenvalues alone, from the least to the largest: a third of the work or less.
///
/// # Panics
/// If there are not n² numbers.
pub fn symmetric_eigenvalues(n: usize, matrix: Vec<f64>) -> Vec<f64> {
    let mut values = diagonalise(n, matrix, &mut []);
    values.sort_by(f64::total_cmp);
    values
}

/// What is beside the diagonal and below this, of numbers up to 1, changes no eigenvalue. Its square is far from the
/// least that f64 holds: of a matrix of low rank, each column that is made zero leaves the rounding of the one before,
/// and squares of the eleventh would be zero.
const NEGLIGIBLE: f64 = f64::EPSILON * f64::EPSILON;

/// The numbers λ of A = VᵀΛV. V, the vectors row by row, begins as I and turns as the axes do; or it is empty.
fn diagonalise(n: usize, mut a: Vec<f64>, vectors: &mut [f64]) -> Vec<f64> {
    assert_eq!(a.len(), n * n, "symmetric_eigen: numbers in a matrix ({n}, {n})");
    // So that no square overflows, or is lost.
    let scale = largest(a.iter().map(|x| x.abs()));
    if !scale.is_finite() {
        return vec![f64::NAN; n];
    }
    if scale > 0.0 {
        a.iter_mut().for_each(|x| *x /= scale);
    }
    let (mut diagonal, mut beside) = tridiagonalise(n, a, vectors);
    let mut last = n.saturating_sub(1);
    while last > 0 {
        let negligible = |i: usize| {
            let least = f64::EPSILON * (diagonal[i].abs() + diagonal[i + 1].abs());
            beside[i].abs() <= least.max(NEGLIGIBLE)
        };
        if negligible(last - 1) {
            last -= 1;
            continue;
        }
        let first = (0..last).rev().find(|&i| negligible(i)).map_or(0, |i| i + 1);
        qr_step(&mut diagonal, &mut beside, first, last, |k, c, s| rotate(vectors, n, k, c, s));
    }
    diagonal.iter().map(|x| x * scale).collect()
}

/// The three diagonals (the one beside appears once) of VAVᵀ, by a Householder reflection for each column (Golub and
/// Van Loan, Matrix Computations, 4th edition, 8.3.1).
fn tridiagonalise(n: usize, mut a: Vec<f64>, vectors: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n.saturating_sub(1)]);
    for k in 0..n {
        diagonal[k] = a[k * n + k];
        let mut v: Vec<f64> = (k + 1..n).map(|i| a[k * n + i]).collect();
        let Some(&first) = v.first() else { break };
        let norm = dot(&v, &v).sqrt();
        if norm <= NEGLIGIBLE {
            continue;
        }
        // H = I − βvvᵀ with v = x ± ‖x‖e₁, the sign that adds, carries x to ∓‖x‖e₁.
        beside[k] = -norm.copysign(first);
        v[0] -= beside[k];
        let beta = 2.0 / dot(&v, &v);
        reflect(&mut a, n, k + 1, &v, beta);
        if !vectors.is_empty() {
            reflect_rows(&mut vectors[(k + 1) * n..], &v, beta);
        }
    }
    (diagonal, beside)
}

/// A ← HAH on the rows and columns from `start` on, H = I − βvvᵀ: A − vwᵀ − wvᵀ with p = βAv, w = p − (β/2)(pᵀv)v.
fn reflect(a: &mut [f64], n: usize, start: usize, v: &[f64], beta: f64) {
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

/// V ← HV, with as many rows as v has numbers: V − βv(vᵀV).
fn reflect_rows(rows: &mut [f64], v: &[f64], beta: f64) {
    let n = rows.len() / v.len();
    let mut sum = vec![0.0; n];
    for (row, v) in rows.chunks_exact(n).zip(v) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += v * x);
    }
    for (row, v) in rows.chunks_exact_mut(n).zip(v) {
        row.iter_mut().zip(&sum).for_each(|(x, sum)| *x -= beta * v * sum);
    }
}

/// A step of the implicit QR iteration on the rows from `first` to `last`, with Wilkinson's shift, by which what is
/// beside the last number goes to zero, in the end cubically (Golub and Van Loan, 8.3.2). Tells each rotation of the
/// axes k and k + 1: k, cosine, sine.
fn qr_step(d: &mut [f64], e: &mut [f64], first: usize, last: usize, mut turned: impl FnMut(usize, f64, f64)) {
    // The eigenvalue of the last two by two that is nearer to the last number.
    let (half, t) = ((d[last - 1] - d[last]) / 2.0, e[last - 1]);
    let shift = d[last] - t * (t / (half + half.hypot(t).copysign(half)));
    // The rotation makes zero of z, which the last one left beside the diagonals.
    let (mut x, mut z) = (d[first] - shift, e[first]);
    for k in first..last {
        let r = x.hypot(z);
        let (c, s) = if r == 0.0 { (1.0, 0.0) } else { (x / r, z / r) };
        if k > first {
            e[k - 1] = r;
        }
        let (a, b, t) = (d[k], d[k + 1], e[k]);
        d[k] = c * c * a + 2.0 * c * s * t + s * s * b;
        d[k + 1] = s * s * a - 2.0 * c * s * t + c * c * b;
        e[k] = c * s * (b - a) + (c * c - s * s) * t;
        if k + 1 < last {
            (x, z) = (e[k], s * e[k + 1]);
            e[k + 1] *= c;
        }
        turned(k, c, s);
    }
}

/// Turns the rows k and k + 1.
fn rotate(vectors: &mut [f64], n: usize, k: usize, c: f64, s: f64) {
    if !vectors.is_empty() {
        let (one, other) = vectors[k * n..(k + 2) * n].split_at_mut(n);
        one.iter_mut().zip(other).for_each(|(x, y)| (*x, *y) = (c * *x + s * *y, c * *y - s * *x));
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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
        assert!(symmetric_eigen(0, vec![]).vectors.is_empty());
    }

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
        for (n, rank) in [(1, 1), (2, 2), (5, 3), (33, 33), (33, 1), (64, 2), (128, 128), (128, 40), (128, 3)] {
            let matrix = semidefinite(n, rank);
            let SymmetricEigen { values, vectors } = symmetric_eigen(n, matrix.clone());
            let largest = largest(values.iter().map(|v| v.abs()));
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
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            assert_eq!(symmetric_eigenvalues(n, matrix), sorted, "n {n}: without vectors");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_reach_every_result() {
        // Beside the diagonal as well, where NaN is not above any bound.
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for matrix in [[bad, 0.0, 0.0, 1.0], [1.0, bad, bad, 1.0]] {
                let found = symmetric_eigen(2, matrix.to_vec());
                assert!(found.values.iter().chain(&found.vectors).all(|x| x.is_nan()), "{matrix:?}: {found:?}");
            }
        }
    }

    #[test]
    fn large_and_small_numbers_lose_nothing() {
        for scale in [1e-300, 1e160, 1e299] {
            // [[2, 1], [1, 2]] has the eigenvalues 1 and 3.
            let values = symmetric_eigenvalues(2, [2.0, 1.0, 1.0, 2.0].map(|x| x * scale).to_vec());
            let error = (values[0] / scale - 1.0).abs().max((values[1] / scale - 3.0).abs());
            assert!(error < 1e-14, "{scale:e}: {values:?}");
        }
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
        for bad in [f64::NAN, f64::INFINITY, 1e160] {
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

    #[test]
    fn weights_at_the_bounds_have_few_singular_values() {
        // As clipping leaves a critic's: ±c in a pattern of rank 1, with a trace of another.
        for (rows, columns) in [(32, 144), (64, 64), (300, 40)] {
            let sign = |i: usize| if i * i % 7 < 3 { 0.01 } else { -0.01 };
            let entry = |i: usize, j: usize| 100.0 * sign(i) * sign(j) + if j == 3 { 1e-4 } else { 0.0 };
            let w = (0..rows * columns).map(|k| entry(k / columns, k % columns)).collect();
            let w = Tensor::from_vec([rows, columns], w);
            let found = singular_values(&w);
            // The squares of all singular values add up to those of all weights.
            let squares: f64 = w.to_vec().iter().map(|x| x * x).sum();
            assert!((found.iter().map(|s| s * s).sum::<f64>() / squares - 1.0).abs() < 1e-13, "{found:?}");
            assert!((found[0] - 0.01 * ((rows * columns) as f64).sqrt()).abs() < 1e-3, "{found:?}");
            assert!(found[1] < 1e-2 && found[2..].iter().all(|s| *s < 1e-7 * found[0]), "{found:?}");
        }
    }
}
