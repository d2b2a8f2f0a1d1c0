//! Products of operands that lie in the blocks that the register tile reads: nothing is packed, all places within a block
//! are constants of the instructions, and what comes next is fetched while the tile is computed.
//!
//! ```text
//! A (8, terms·depth)     `terms` blocks: of 8 rows · 16 columns, or of 8 columns · 16 rows, of which 8 are used
//! B (terms·depth, 32)    `terms` blocks of `depth` rows, 16 or 8
//! C (8, 32)              one block
//! ```
//!
//! Measured on one core of a Sapphire Rapids with a peak of 215 GFLOP/s, 64 tiles of Winograd's algorithm: operands in the
//! L1 cache 205 GFLOP/s (188 where rows lie apart and their addresses must be computed: the additions take the ports of
//! the multiply-adds); in the L2 cache 197 (182 without fetching ahead); B in the L3 cache 193 (170 without; 150 if its
//! blocks do not follow each other in memory).

use super::simd::Simd;
use super::tile::tile;
use crate::kernels::element::{cast, cast_mut};
use crate::kernels::{Element, Level};

/// Rows of a tile of C.
pub const ROWS: usize = 8;

/// Columns of a tile of C: two vectors of AVX-512.
pub const COLUMNS: usize = 32;

/// Elements of A that lie together: one line of the cache in f32.
pub const LANES: usize = 16;

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
    /// Tiles of C; they share B.
    pub tiles: usize,
    /// Vectors of 16 columns in B and C, 1 or 2.
    pub vectors: usize,
    /// From one term to the next in A; in B they follow each other.
    pub term_step: usize,
    /// From one tile to the next in A and in C.
    pub tile_steps: [usize; 2],
    /// Whether C is added to.
    pub accumulate: bool,
}

impl Product {
    /// C ← A · B, or C + A · B, tile by tile, on this thread. Tiles read A best if they follow each other; after the last
    /// of them, what lies behind B is in the cache.
    ///
    /// # Panics
    /// If an operand leads outside its slice.
    pub fn run<T: Element>(&self, level: Level, a: &[T], b: &[T], c: &mut [T]) {
        let Product { tiles, terms, vectors, .. } = *self;
        if tiles == 0 || terms == 0 {
            assert!(tiles == 0 || self.accumulate, "a sum without terms is not written");
            return;
        }
        let last = |n: usize, step: usize| (n - 1).saturating_mul(step);
        let tail = if self.order == Order::RowMajor { ROWS * LANES } else { (ROWS - 1) * LANES + ROWS };
        let a_len = last(tiles, self.tile_steps[0]).saturating_add(last(terms, self.term_step)).saturating_add(tail);
        let c_len = last(tiles, self.tile_steps[1]).saturating_add(ROWS * COLUMNS);
        let fits = a_len <= a.len() && terms.saturating_mul(self.b_term()) <= b.len() && c_len <= c.len();
        assert!(fits && (1..=2).contains(&vectors), "{self:?} with {} · {} → {}", a.len(), b.len(), c.len());
        match (cast::<T, f32>(a), cast::<T, f32>(b), cast_mut::<T, f32>(c), level) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: no operand leads outside its slice, by the assertion; a level in use is available.
            (Some(a), Some(b), Some(c), Level::Avx512) => unsafe { x86::avx512(self, a, b, c) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Some(a), Some(b), Some(c), Level::Avx2) => unsafe { x86::avx2(self, a, b, c) },
            _ => level.vectorize(
                #[inline(always)]
                || self.run_plainly(a, b, c),
            ),
        }
    }

    /// Terms of the sum in a block.
    fn depth(&self) -> usize {
        match self.order {
            Order::RowMajor => LANES,
            Order::ColumnMajor => ROWS,
        }
    }

    /// Elements of a block of B.
    fn b_term(&self) -> usize {
        self.depth() * COLUMNS
    }

    /// The definition.
    #[inline(always)]
    fn run_plainly<T: Element>(&self, a: &[T], b: &[T], c: &mut [T]) {
        let [row, column] = if self.order == Order::RowMajor { [LANES, 1] } else { [1, LANES] };
        for tile in 0..self.tiles {
            for i in 0..ROWS {
                let mut sums = [T::zero(); COLUMNS];
                for p in 0..self.terms * self.depth() {
                    let (term, p_in_term) = (p / self.depth(), p % self.depth());
                    let at = tile * self.tile_steps[0] + term * self.term_step + i * row + p_in_term * column;
                    sums.iter_mut().zip(&b[p * COLUMNS..][..COLUMNS]).for_each(|(sum, &b)| *sum += a[at] * b);
                }
                let c = &mut c[tile * self.tile_steps[1] + i * COLUMNS..][..self.vectors * LANES];
                for (c, &sum) in c.iter_mut().zip(&sums) {
                    *c = if self.accumulate { *c + sum } else { sum };
                }
            }
        }
    }

    /// By register tiles of R rows and V vectors.
    ///
    /// # Safety
    /// The level of S must be available, and no operand may lead outside its slice.
    #[inline(always)]
    unsafe fn run_in_registers<S: Simd, const R: usize, const V: usize>(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let width = V * S::LANES;
        // Row-major, few products use the same B: each tile fetches its share of the next.
        let share = if self.order == Order::RowMajor { self.b_term().div_ceil(self.tiles * LANES) } else { 0 };
        for index in 0..self.tiles {
            let a = a.as_ptr().wrapping_add(index * self.tile_steps[0]);
            let next_b = b.as_ptr().wrapping_add(self.terms * self.b_term() + index * share * LANES);
            for column in (0..self.vectors * LANES).step_by(width) {
                for row in (0..ROWS).step_by(R) {
                    let ahead = |term: usize| {
                        if row + column > 0 {
                            return;
                        }
                        let (a, b) = (a.wrapping_add(term * self.term_step + AHEAD), next_b.wrapping_add(term * self.b_term()));
                        (0..ROWS).for_each(|line| S::prefetch(a.wrapping_add(line * LANES)));
                        (0..share).for_each(|line| S::prefetch(b.wrapping_add(line * LANES)));
                    };
                    let add = self.accumulate;
                    // SAFETY: the caller's promise; R divides the rows, and the width the columns.
                    unsafe {
                        let b = (b.as_ptr().add(column), [COLUMNS, self.b_term()]);
                        let c = (c.as_mut_ptr().add(index * self.tile_steps[1] + row * COLUMNS + column), COLUMNS);
                        match self.order {
                            Order::RowMajor => {
                                let a = (a.add(row * LANES), [LANES, 1, self.term_step]);
                                tile::<S, R, V>([self.terms, LANES], width, a, b, c, add, ahead)
                            }
                            Order::ColumnMajor => {
                                let a = (a.add(row), [1, LANES, self.term_step]);
                                tile::<S, R, V>([self.terms, ROWS], width, a, b, c, add, ahead)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How far ahead A is fetched: four blocks.
const AHEAD: usize = 4 * ROWS * LANES;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Product;
    use crate::kernels::gemm::simd::{Avx2, Avx512};

    /// # Safety
    /// AVX-512 must be available, and no operand may lead outside its slice.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub unsafe fn avx512(product: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe {
            match product.vectors {
                1 => product.run_in_registers::<Avx512, 8, 1>(a, b, c),
                _ => product.run_in_registers::<Avx512, 8, 2>(a, b, c),
            }
        }
    }

    /// # Safety
    /// AVX2 must be available, and no operand may lead outside its slice.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(product: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { product.run_in_registers::<Avx2, 4, 2>(a, b, c) }
    }
}
