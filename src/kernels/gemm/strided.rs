//! Sums of products of operands that are read where they lie, whatever lies between their rows.
//!
//! ```text
//! C (m, n) ← Σ_blocks A (m, depth) · B (depth, n)   or   C + that          n a multiple of 16
//! ```
//!
//! Rows of A may overlap, which makes a padded picture the matrix of its patches (see `conv/direct.rs`).

use super::tile::{Left, Right, tile_of_rows};
use crate::kernels::Level;
use crate::kernels::simd::{self, Simd, WithSimd};

/// The divisor of n: whole vectors of every level, so that no row of B must be copied for its end.
pub const COLUMN_UNIT: usize = 16;

/// What is multiplied, and how far apart it lies.
#[derive(Clone, Copy, Debug)]
pub struct Strided {
    /// m and n.
    pub size: [usize; 2],
    /// Blocks to sum over, and the terms in each.
    pub terms: [usize; 2],
    /// From one row, column and block of A to the next.
    pub a_steps: [usize; 3],
    /// From one row and block of B to the next; a row is dense.
    pub b_steps: [usize; 2],
    /// From one row of C to the next.
    pub c_step: usize,
    /// Whether C is added to.
    pub accumulate: bool,
}

impl Strided {
    /// Computes C, on this thread.
    ///
    /// # Panics
    /// If n is no multiple of 16, nothing is summed, or an operand leads outside its slice.
    pub fn run(&self, level: Level, a: &[f32], b: &[f32], c: &mut [f32]) {
        let Strided { size: [m, n], terms: [blocks, depth], a_steps, b_steps, c_step, .. } = *self;
        let last = |counts: &[usize], steps: &[usize]| {
            let each = counts.iter().zip(steps).map(|(&n, &step)| n.saturating_sub(1).saturating_mul(step));
            each.fold(0, usize::saturating_add)
        };
        let fits =
            m > 0 && n > 0 && blocks > 0 && depth > 0 && n.is_multiple_of(COLUMN_UNIT) && (m == 1 || c_step >= n);
        let fits = fits && last(&[m, depth, blocks], &a_steps) < a.len();
        let fits = fits && last(&[depth, blocks], &b_steps).saturating_add(n) <= b.len();
        let fits = fits && last(&[m], &[c_step]).saturating_add(n) <= c.len();
        assert!(fits, "{self:?} with {} · {} → {}", a.len(), b.len(), c.len());
        simd::run(level, Run { product: self, a: (a.as_ptr(), a_steps), b: (b.as_ptr(), b_steps), c: c.as_mut_ptr() });
    }
}

/// A product whose operands do not lead outside their slices: [`Strided::run`] has checked.
struct Run<'a> {
    product: &'a Strided,
    a: Left,
    b: Right,
    c: *mut f32,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Run { product: &Strided { size: [m, n], terms, c_step, accumulate, .. }, a, b, c } = self;
        // Tiles of nearly as many rows: 9 rows as 5 and 4, since a tile of one row would wait for each of its sums.
        let rows = m.div_ceil(m.div_ceil(S::TILE_ROWS));
        for column in (0..n).step_by(2 * S::LANES) {
            let vectors = ((n - column) / S::LANES).min(2);
            for row in (0..m).step_by(rows) {
                let rows = rows.min(m - row);
                // SAFETY: `Strided::run` has checked: inside A, B and C.
                unsafe {
                    let (a, b) = ((a.0.add(row * a.1[0]), a.1), (b.0.add(column), b.1));
                    let c = (c.add(row * c_step + column), c_step);
                    match vectors {
                        1 => tile_of_rows::<S, 1>(simd, rows, terms, S::LANES, a, b, c, accumulate),
                        _ => tile_of_rows::<S, 2>(simd, rows, terms, 2 * S::LANES, a, b, c, accumulate),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    /// Every level, every number of rows around the tiles, one vector of columns to five, rows of A that overlap and a
    /// transposed A, into C with gaps.
    #[test]
    fn it_agrees_with_the_definition() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for (m, n) in (1..=18).flat_map(|m| [16, 32, 48, 80].map(|n| (m, n))) {
                for (terms, a_steps) in [([1, 1], [1, 1, 1]), ([3, 9], [3, 1, 70]), ([2, 5], [1, 20, 130])] {
                    for accumulate in [false, true] {
                        let b_steps = [n + 3, 11 * n];
                        let product = Strided { size: [m, n], terms, a_steps, b_steps, c_step: n + 2, accumulate };
                        check(level, &product);
                    }
                }
            }
        }
    }

    fn check(level: Level, product: &Strided) {
        let Strided { size: [m, n], terms: [blocks, depth], a_steps, b_steps, c_step, accumulate } = *product;
        let at = |i: usize, p: usize, block: usize| i * a_steps[0] + p * a_steps[1] + block * a_steps[2];
        let a = noise::<f32>(at(m - 1, depth - 1, blocks - 1) + 1, 1);
        let b = noise::<f32>((blocks - 1) * b_steps[1] + (depth - 1) * b_steps[0] + n, 2);
        let before = noise::<f32>((m - 1) * c_step + n, 3);
        let mut c = before.clone();
        product.run(level, &a, &b, &mut c);
        for (index, (&got, &before)) in c.iter().zip(&before).enumerate() {
            let (i, j) = (index / c_step, index % c_step);
            if j >= n {
                assert!(got == before, "{level:?} {product:?}: a gap was written");
                continue;
            }
            let products = (0..blocks).flat_map(|block| {
                let (a, b) = (&a, &b);
                (0..depth).map(move |p| a[at(i, p, block)] as f64 * b[block * b_steps[1] + p * b_steps[0] + j] as f64)
            });
            let (sum, size) = products.fold((0.0, 0.0), |s: (f64, f64), x| (s.0 + x, s.1 + x.abs()));
            let want = sum + if accumulate { before as f64 } else { 0.0 };
            let bound = (blocks * depth + 2) as f64 * f32::EPSILON as f64 * (size + before.abs() as f64);
            assert!((got as f64 - want).abs() <= bound, "{level:?} {product:?} ({i}, {j}): {got}, not {want}");
        }
    }

    #[test]
    #[should_panic(expected = "with 9 · 15 →")]
    fn operands_that_are_too_short_are_refused() {
        let product =
            Strided { size: [1, 16], terms: [1, 1], a_steps: [1; 3], b_steps: [16; 2], c_step: 16, accumulate: false };
        product.run(Level::current(), &[0.0; 9], &[0.0; 15], &mut [0.0; 16]);
    }
}
