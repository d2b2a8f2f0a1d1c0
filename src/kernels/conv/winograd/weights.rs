//! The weights as frequencies: U = G g Gᵀ.

use std::ops::Range;

use super::DEPTH;
use super::lanes::transform;
use super::layout::PAD;
use super::matrices::Weight;
use super::tiles::Tiled;
use crate::kernels::gemm::blocks::{COLUMNS, LANES};
use crate::kernels::simd::{Kernel, Simd};

/// The weights of all taps (R·step, R·step, rows, columns), where the phases belong to one of the two sides, and how they
/// lie as frequencies U: for each block of 32 columns and each chunk of [`DEPTH`] sets of 16 rows, frequency by frequency,
/// (rows, 32).
#[derive(Clone, Copy)]
pub struct Weights<'a, const N: usize, const R: usize> {
    pub taps: &'a [f32],
    pub rows: Tiled,
    pub columns: Tiled,
}

impl<const N: usize, const R: usize> Weights<'_, N, R> {
    /// The sets of each chunk, and where it begins in a block.
    pub fn chunks(&self) -> impl Iterator<Item = (Range<usize>, usize)> + use<N, R> {
        let sets = self.rows.vectors();
        let starts = (0..sets).step_by(DEPTH);
        starts.map(move |first| (first..sets.min(first + DEPTH), first / DEPTH * N * N * Self::plane(DEPTH)))
    }

    /// From one frequency to the next in a chunk of so many sets.
    pub fn plane(sets: usize) -> usize {
        sets * LANES * COLUMNS + PAD
    }

    /// Elements of a block.
    pub fn block_len(&self) -> usize {
        self.chunks().map(|(sets, _)| N * N * Self::plane(sets.len())).sum()
    }
}

/// U = G g Gᵀ of a block of columns and a chunk of rows.
pub struct TransformWeights<'a, const N: usize, const R: usize> {
    pub weights: Weights<'a, N, R>,
    pub block: usize,
    pub sets: Range<usize>,
    pub u: &'a mut [f32],
}

impl<const N: usize, const R: usize> Kernel for TransformWeights<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let TransformWeights { weights: Weights { taps, rows, columns }, block, sets, u } = self;
        let (plane, step) = (Weights::<N, R>::plane(sets.len()), rows.step.max(columns.step));
        for (i, set) in sets.enumerate() {
            let row = rows.vector(set);
            for (j, index) in columns.vectors_of(block).enumerate() {
                let column = columns.vector(index);
                let phase = row.phase + column.phase;
                // Where each tap of this phase begins.
                let mut places = [[0; R]; R];
                for (r, places) in places.iter_mut().enumerate() {
                    for (s, place) in places.iter_mut().enumerate() {
                        let [r, s] = [step * r + phase / step, step * s + phase % step];
                        *place = ((r * step * R + s) * rows.channels + row.first) * columns.channels + column.first;
                    }
                }
                for k in 0..LANES {
                    for part in (0..LANES).step_by(S::LANES) {
                        let out = &mut u[(i * LANES + k) * COLUMNS + j * LANES + part..];
                        let lanes = if k < row.count { column.count.saturating_sub(part).min(S::LANES) } else { 0 };
                        let from = if lanes > 0 { k * columns.channels + part } else { 0 };
                        transform::<S, Weight, N, R>(
                            simd,
                            #[inline(always)]
                            |r, s| simd.load(&taps[places[r][s] + from..][..lanes]),
                            #[inline(always)]
                            |f, g, value| simd.store(value, &mut out[(f * N + g) * plane..]),
                        );
                    }
                }
            }
        }
    }
}
