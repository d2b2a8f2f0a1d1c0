//! The weights as frequencies: U = G g Gᵀ.

use std::ops::Range;

use super::DEPTH;
use super::lanes::transform;
use super::layout::PAD;
use super::matrices::Weight;
use super::tiles::Tiled;
use crate::kernels::gemm::blocks::{COLUMNS, LANES};
use crate::kernels::simd::{Kernel, Simd};

/// The weights of all taps, (R·step, R·step, rows, columns) or, for the adjoint map, (R·step, R·step, columns, rows), where
/// the phases belong to one of the two sides, and how they lie as frequencies U: for each block of 32 columns and each chunk
/// of [`DEPTH`] sets of 16 rows, frequency by frequency, (rows, 32).
#[derive(Clone, Copy)]
pub struct Weights<'a, const N: usize, const R: usize> {
    pub taps: &'a [f32],
    /// Whether the taps lie as (…, columns, rows).
    pub adjoint: bool,
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
        let TransformWeights { weights: Weights { taps, adjoint, rows, columns }, block, sets, u } = self;
        let (plane, step) = (Weights::<N, R>::plane(sets.len()), rows.step.max(columns.step));
        let mut turned = [[[[0.0; LANES]; LANES]; R]; R];
        for (i, set) in sets.enumerate() {
            let row = rows.vector(set);
            for (j, index) in columns.vectors_of(block).enumerate() {
                let column = columns.vector(index);
                let phase = row.phase + column.phase;
                // Where each tap of this phase begins, and how far apart its rows lie.
                let mut places = [[0; R]; R];
                for (r, places) in places.iter_mut().enumerate() {
                    for (s, place) in places.iter_mut().enumerate() {
                        let tap = (step * r + phase / step) * step * R + step * s + phase % step;
                        if adjoint {
                            let from = &taps[(tap * columns.channels + column.first) * rows.channels + row.first..];
                            transpose(simd, from, rows.channels, [column.count, row.count], &mut turned[r][s]);
                            *place = (r * R + s) * LANES * LANES;
                        } else {
                            *place = (tap * rows.channels + row.first) * columns.channels + column.first;
                        }
                    }
                }
                let (taps, row_step) = match adjoint {
                    true => (turned.as_flattened().as_flattened().as_flattened(), LANES),
                    false => (taps, columns.channels),
                };
                for k in 0..LANES {
                    for part in (0..LANES).step_by(S::LANES) {
                        let out = &mut u[(i * LANES + k) * COLUMNS + j * LANES + part..];
                        let lanes = if k < row.count { column.count.saturating_sub(part).min(S::LANES) } else { 0 };
                        let from = if lanes > 0 { k * row_step + part } else { 0 };
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

/// A block of a matrix, (columns, rows), as (rows, columns). In the cache: a transposed copy of all weights in memory took
/// 2.5 % of a training step.
#[inline(always)]
fn transpose<S: Simd>(simd: S, from: &[f32], step: usize, [columns, rows]: [usize; 2], to: &mut [[f32; LANES]; LANES]) {
    if [columns, rows] == [LANES; 2] {
        let block = std::array::from_fn(|c| from[c * step..].first_chunk().expect("a block of the weights"));
        simd.transpose(block, to);
    } else {
        for c in 0..columns {
            from[c * step..][..rows].iter().zip(&mut *to).for_each(|(&from, to)| to[c] = from);
        }
    }
}
