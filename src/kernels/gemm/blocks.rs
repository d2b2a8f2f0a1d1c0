//! Products of operands that lie in the blocks that the register tile reads: nothing is packed, all places within a
//! block are constants of the instructions, and what comes next is fetched while the tile is computed.
//!
//! ```text
//! A (8, terms·depth)     `terms` blocks: of 8 rows · 16 columns, or of 8 columns · 16 rows, of which 8 are used
//! B (terms·depth, 32)    `terms` blocks of `depth` rows, 16 or 8
//! C (8, 32)              one block
//! ```
//!
//! Measured on one core of an Intel Xeon with a peak of 215 GFLOP/s, on 64 tiles of Winograd's algorithm. Operands in
//! the L1 cache: 205 GFLOP/s, but 188 where rows lie apart and their addresses must be computed, since these additions
//! take the ports of the multiply-adds. In the L2 cache: 197, and 182 without fetching ahead. B in the L3 cache: 193,
//! and 170 without fetching ahead, 150 if its blocks do not follow each other in memory.

use super::tile::tile;
use crate::kernels::fetch;
use crate::kernels::simd::Simd;

/// Rows of a block of C.
pub const BLOCK_ROWS: usize = 8;

/// Columns of a block of B and of C: two sets.
pub const BLOCK_COLUMNS: usize = 2 * SET;

/// Elements of a set: those of A that lie together, a line of the cache in f32. Also a vector of AVX-512, or two of
/// AVX2.
pub const SET: usize = 16;

/// How a block of A lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// (8 rows, 16 columns).
    RowMajor,
    /// (8 columns, 16 rows); a tile takes 8 of the rows.
    ColumnMajor,
}

/// What is multiplied, and how far apart it lies.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// How blocks of A lie.
    pub order: Order,
    /// Blocks of A, and of B, that a tile sums over.
    pub terms: usize,
    /// Tiles of C, in two levels; they share B.
    pub tiles: [usize; 2],
    /// Sets of columns that are computed in B and C, 1 or 2.
    pub column_sets: usize,
    /// From one term to the next in A; in B they follow each other.
    pub term_step: usize,
    /// From one tile to the next in A, at each level.
    pub a_steps: [usize; 2],
    /// From one tile to the next in C.
    pub c_steps: [usize; 2],
    /// Whether C is added to.
    pub accumulate: bool,
}

impl Product {
    /// C ← A · B, or C + A · B, tile by tile, on this thread. It is best if tiles that follow each other do so in A;
    /// after the last of them, what lies behind B is in the cache.
    ///
    /// # Panics
    /// If an operand leads outside its slice.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, a: &[f32], b: &[f32], c: &mut [f32]) {
        let Product { tiles, terms, column_sets, a_steps, c_steps, .. } = *self;
        if tiles.contains(&0) || terms == 0 {
            assert!(tiles.contains(&0) || self.accumulate, "a sum without terms is not written");
            return;
        }
        let tail = if self.order == Order::RowMajor { BLOCK_ROWS * SET } else { (BLOCK_ROWS - 1) * SET + BLOCK_ROWS };
        let last = |steps: [usize; 2], tail: usize| {
            let (rows, columns) = ((tiles[0] - 1).saturating_mul(steps[0]), (tiles[1] - 1).saturating_mul(steps[1]));
            tail.saturating_add(rows).saturating_add(columns)
        };
        let a_len = last(a_steps, (terms - 1).saturating_mul(self.term_step).saturating_add(tail));
        let fits = a_len <= a.len() && last(c_steps, BLOCK_ROWS * BLOCK_COLUMNS) <= c.len();
        let fits = fits && terms.saturating_mul(self.b_term()) <= b.len() && (1..=2).contains(&column_sets);
        assert!(fits, "{self:?} with {} · {} → {}", a.len(), b.len(), c.len());
        // SAFETY: no operand leads outside its slice, by the assertion.
        unsafe {
            match (S::LANES, column_sets) {
                (SET, 1) => self.run_in_registers::<S, 8, 1>(simd, a, b, c),
                (SET, _) => self.run_in_registers::<S, 8, 2>(simd, a, b, c),
                _ => self.run_in_registers::<S, 4, 2>(simd, a, b, c),
            }
        }
    }

    /// Terms of the sum in a block.
    fn depth(&self) -> usize {
        match self.order {
            Order::RowMajor => SET,
            Order::ColumnMajor => BLOCK_ROWS,
        }
    }

    /// Elements of a block of B.
    fn b_term(&self) -> usize {
        self.depth() * BLOCK_COLUMNS
    }

    /// By register tiles of R rows and V vectors.
    ///
    /// # Safety
    /// No operand may lead outside its slice.
    #[inline(always)]
    unsafe fn run_in_registers<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        a: &[f32],
        b: &[f32],
        c: &mut [f32],
    ) {
        let width = V * S::LANES;
        let [outer, inner] = self.tiles;
        // Each tile fetches its share of the B that follows.
        let share = self.b_term().div_ceil(outer * inner * SET);
        for index in 0..outer * inner {
            let offset = |steps: [usize; 2]| index / inner * steps[0] + index % inner * steps[1];
            let a = a.as_ptr().wrapping_add(offset(self.a_steps));
            let c = c.as_mut_ptr().wrapping_add(offset(self.c_steps));
            let next_b = b.as_ptr().wrapping_add(self.terms * self.b_term() + index * share * SET);
            for column in (0..self.column_sets * SET).step_by(width) {
                for row in (0..BLOCK_ROWS).step_by(R) {
                    let ahead = |term: usize| {
                        if row + column > 0 {
                            return;
                        }
                        let (a, b) = (
                            a.wrapping_add(term * self.term_step + AHEAD_ELEMENTS),
                            next_b.wrapping_add(term * self.b_term()),
                        );
                        (0..BLOCK_ROWS).for_each(|line| fetch::ahead(a.wrapping_add(line * SET)));
                        (0..share).for_each(|line| fetch::ahead(b.wrapping_add(line * SET)));
                    };
                    let add = self.accumulate;
                    // SAFETY: the caller's promise; R divides the rows, and the width the columns.
                    unsafe {
                        let b = (b.as_ptr().add(column), [BLOCK_COLUMNS, self.b_term()]);
                        let c = (c.add(row * BLOCK_COLUMNS + column), BLOCK_COLUMNS);
                        match self.order {
                            Order::RowMajor => {
                                let a = (a.add(row * SET), [SET, 1, self.term_step]);
                                tile::<S, R, V>(simd, [self.terms, SET], width, a, b, c, add, ahead)
                            }
                            Order::ColumnMajor => {
                                let a = (a.add(row), [1, SET, self.term_step]);
                                tile::<S, R, V>(simd, [self.terms, BLOCK_ROWS], width, a, b, c, add, ahead)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How far ahead of the tile A is fetched: four blocks.
const AHEAD_ELEMENTS: usize = 4 * BLOCK_ROWS * SET;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Level;
    use crate::kernels::simd::{self, WithSimd};
    use crate::kernels::testing::noise;

    struct Run<'a>(Product, &'a [f32], &'a [f32], &'a mut [f32]);

    impl WithSimd for Run<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.run(simd, self.1, self.2, self.3);
        }
    }

    /// Element by element in f64, with a bound by the sizes of the terms; what no tile covers must stay as it was.
    fn check(level: Level, product: Product) {
        let Product { order, terms, tiles, column_sets, term_step, a_steps, c_steps, accumulate } = product;
        let depth = product.depth();
        let (a, b) = (noise::<f32>(4096, 1), noise::<f32>(terms * depth * BLOCK_COLUMNS, 2));
        let before = noise::<f32>(8192, 3);
        let mut c = before.clone();
        simd::run(level, Run(product, &a, &b, &mut c));
        let mut covered = vec![false; c.len()];
        for tile in 0..tiles[0] * tiles[1] {
            let offset = |steps: [usize; 2]| tile / tiles[1] * steps[0] + tile % tiles[1] * steps[1];
            for i in 0..BLOCK_ROWS {
                for j in 0..column_sets * SET {
                    let at = offset(c_steps) + i * BLOCK_COLUMNS + j;
                    let (mut want, mut size) =
                        if accumulate { (before[at] as f64, before[at].abs() as f64) } else { (0.0, 0.0) };
                    for p in 0..terms * depth {
                        let [row, column] = if order == Order::RowMajor { [SET, 1] } else { [1, SET] };
                        let a = a[offset(a_steps) + p / depth * term_step + i * row + p % depth * column] as f64;
                        let term = a * b[p * BLOCK_COLUMNS + j] as f64;
                        want += term;
                        size += term.abs();
                    }
                    let error = (c[at] as f64 - want).abs();
                    assert!(error <= 1e-6 * size, "{level:?} {product:?} tile {tile} ({i}, {j}): {} not {want}", c[at]);
                    covered[at] = true;
                }
            }
        }
        let untouched = covered.iter().zip(c.iter().zip(&before)).all(|(&covered, (c, before))| covered || c == before);
        assert!(untouched, "{level:?} {product:?} wrote outside its tiles");
    }

    #[test]
    fn blocks_agree_with_the_definition() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for order in [Order::RowMajor, Order::ColumnMajor] {
                for (terms, tiles) in [(1, [1, 1]), (3, [1, 5]), (8, [2, 2]), (2, [0, 3])] {
                    for column_sets in [1, 2] {
                        for accumulate in [false, true] {
                            let (term_step, a_steps, c_steps) = (144, [1100, 8], [2064, 272]);
                            check(
                                level,
                                Product { order, terms, tiles, column_sets, term_step, a_steps, c_steps, accumulate },
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic = "with 1000 · 512 → 512"]
    fn blocks_that_do_not_fit_are_refused() {
        let product = Product {
            order: Order::RowMajor,
            terms: 1,
            tiles: [1, 2],
            column_sets: 2,
            term_step: 0,
            a_steps: [0, 873],
            c_steps: [0, 256],
            accumulate: false,
        };
        simd::run(Level::current(), Run(product, &[0.0; 1000], &[0.0; 512], &mut [0.0; 512]));
    }
}
