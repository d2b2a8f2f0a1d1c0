//! All distances between two sets of features, some rows at a time.

use rayon::prelude::*;
use wengert::{Tensor, Var};

use super::{extents, times_transposed};

/// Rows that are in memory at once: 20 MB of distances to 5,000 others.
const BLOCK: usize = 512;

/// What `f` makes, for every row i of a (n, d), of the squared distances from there to all rows of b (m, d), which it
/// may reorder.
///
/// ‖a − b‖² = ‖a‖² + ‖b‖² − 2 aᵀb takes its products from the engine's matrix product. For features around 0, what
/// cancels is of no account in f64; far from 0 it may be all there is. Blocks are cut by size, never by threads, so the
/// bits do not depend on these.
///
/// # Panics
/// If the features differ in length.
#[track_caller]
pub(super) fn by_row<R: Send>(a: &Tensor<f64>, b: &Tensor<f64>, f: impl Fn(usize, &mut [f64]) -> R + Sync) -> Vec<R> {
    let ((n, d), (m, other)) = (extents(a), extents(b));
    assert!(d == other, "metrics: found features of {d} and of {other} numbers, expected as many");
    let squares = |of: &Tensor<f64>| Var::from(of).powi(2).sum_axes([1], false).into_value().to_vec();
    let (a_squares, b_squares) = (squares(a), squares(b));
    let mut results = Vec::with_capacity(n);
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let mut rows = times_transposed(&Var::from(a).slice(0, start..end).into_value(), b).to_vec();
        let rows = rows.par_chunks_exact_mut(m.max(1)).zip(start..end);
        results.par_extend(rows.map(|(row, i)| {
            for (x, square) in row.iter_mut().zip(&b_squares) {
                // Not `max`, which would make 0, the nearest there is, of NaN.
                *x = (a_squares[i] + square - 2.0 * *x).clamp(0.0, f64::INFINITY);
            }
            f(i, row)
        }));
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    #[test]
    fn blocks_make_the_distances_that_the_definition_makes() {
        let (mut rng, n, m, d) = (Rng::seed(4), BLOCK + 3, 7, 5);
        let (a, b): (Tensor<f64>, Tensor<f64>) = (rng.normal([n, d]), rng.normal([m, d]));
        let (x, y) = (a.to_vec(), b.to_vec());
        let found = by_row(&a, &b, |i, row| (i, row.to_vec()));
        assert_eq!(found.len(), n);
        for (i, (index, row)) in found.iter().enumerate() {
            assert_eq!(i, *index);
            for (j, distance) in row.iter().enumerate() {
                let expected: f64 = (0..d).map(|k| (x[i * d + k] - y[j * d + k]).powi(2)).sum();
                assert!((distance - expected).abs() < 1e-13 * expected.max(1.0), "({i}, {j})");
            }
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_threads() {
        let mut rng = Rng::seed(4);
        let (a, b): (Tensor<f64>, Tensor<f64>) = (rng.normal([1100, 64]), rng.normal([700, 64]));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| by_row(&a, &b, |_, row| row.iter().sum::<f64>().to_bits()))
        };
        assert!([2, 3].iter().all(|&threads| on(threads) == on(1)));
    }
}
