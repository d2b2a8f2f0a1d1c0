//! The weights as frequencies: U = G g Gᵀ.

use std::ops::Range;

use super::CHUNK_SETS;
use super::layout::PAD;
use super::matrices::Weight;
use super::tiles::Tiled;
use super::transform::transform;
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{BLOCK_COLUMNS, SET};
use crate::kernels::simd::{Simd, WithSimd};

/// The weights of all taps, and how they lie as frequencies U.
///
/// The taps are (R·step, R·step, rows, columns) or, for the adjoint map, (R·step, R·step, columns, rows); the phases
/// belong to one of the two sides. Of U, for each block of 32 columns and each chunk of [`CHUNK_SETS`] sets of 16 rows,
/// frequency follows frequency, (rows, 32) each.
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
        let sets = self.rows.sets();
        let starts = (0..sets).step_by(CHUNK_SETS);
        starts.map(move |first| {
            (first..sets.min(first + CHUNK_SETS), first / CHUNK_SETS * N * N * Self::plane(CHUNK_SETS))
        })
    }

    /// From one frequency to the next in a chunk of so many sets.
    pub fn plane(sets: usize) -> usize {
        sets * SET * BLOCK_COLUMNS + PAD
    }

    /// Elements of a block.
    pub fn block_len(&self) -> usize {
        self.chunks().map(|(sets, _)| N * N * Self::plane(sets.len())).sum()
    }
}

/// Rows ahead whose taps are brought to the cache. Forward from 256 to 512 channels, 3×3 on maps of 4×4: 8.0 to 8.2 ms
/// with 1 to 8 of them, 8.5 with 16, as without, since the taps of so many rows compete for few lines of the cache.
const AHEAD_ROWS: usize = 8;

/// U = G g Gᵀ of a block of columns and a chunk of rows.
pub struct TransformWeights<'a, const N: usize, const R: usize> {
    pub weights: Weights<'a, N, R>,
    pub block: usize,
    pub sets: Range<usize>,
    pub u: &'a mut [f32],
}

impl<const N: usize, const R: usize> WithSimd for TransformWeights<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let TransformWeights { weights: Weights { taps, adjoint, rows, columns }, block, sets, u } = self;
        let (plane, step) = (Weights::<N, R>::plane(sets.len()), rows.step.max(columns.step));
        let column_sets = columns.sets_of(block);
        let mut transposed = [[[[[0.0; SET]; SET]; R]; R]; 2];
        for (i, set) in sets.enumerate() {
            let row = rows.set(set);
            // Where each tap begins, for both sets of the block.
            let mut places = [[[0; R]; R]; 2];
            for (j, index) in column_sets.clone().enumerate() {
                let column = columns.set(index);
                let phase = row.phase + column.phase;
                for (r, places) in places[j].iter_mut().enumerate() {
                    for (s, place) in places.iter_mut().enumerate() {
                        let tap = (step * r + phase / step) * step * R + step * s + phase % step;
                        if adjoint {
                            let from = &taps[(tap * columns.channels + column.first) * rows.channels + row.first..];
                            transpose(simd, from, rows.channels, [column.count, row.count], &mut transposed[j][r][s]);
                            *place = ((j * R + r) * R + s) * SET * SET;
                        } else {
                            *place = (tap * rows.channels + row.first) * columns.channels + column.first;
                        }
                    }
                }
            }
            let (taps, row_step) = match adjoint {
                true => (transposed.as_flattened().as_flattened().as_flattened().as_flattened(), SET),
                false => (taps, columns.channels),
            };
            for k in 0..SET {
                for (j, index) in column_sets.clone().enumerate() {
                    let count = if k < row.count { columns.set(index).count } else { 0 };
                    for part in (0..SET).step_by(S::LANES) {
                        let lanes = count.saturating_sub(part).min(S::LANES);
                        let from = if lanes > 0 { k * row_step + part } else { 0 };
                        let out = &mut u[(i * SET + k) * BLOCK_COLUMNS + j * SET + part..];
                        let out = &mut out[..(N * N - 1) * plane + S::LANES];
                        transform::<S, Weight, N, R>(
                            simd,
                            #[inline(always)]
                            |r, s| {
                                let from = places[j][r][s] + from;
                                if !adjoint {
                                    fetch::ahead(taps.as_ptr().wrapping_add(from + AHEAD_ROWS * row_step));
                                }
                                simd.load(&taps[from..][..lanes])
                            },
                            #[inline(always)]
                            |f, g, value| {
                                // SAFETY: `out` reaches to the end of the set at the last frequency.
                                unsafe { simd.store_all(value, out.as_mut_ptr().add((f * N + g) * plane)) }
                            },
                        );
                    }
                }
            }
        }
    }
}

/// A block of a matrix, (columns, rows), as (rows, columns). Block by block in the cache, since a transposed copy of
/// all weights in memory took 2.5 % of a training step.
#[inline(always)]
fn transpose<S: Simd>(simd: S, from: &[f32], step: usize, [columns, rows]: [usize; 2], to: &mut [[f32; SET]; SET]) {
    if [columns, rows] == [SET; 2] {
        // What is transposed next lies behind.
        (0..SET).for_each(
            #[inline(always)]
            |c| fetch::ahead(from.as_ptr().wrapping_add(c * step + SET)),
        );
        let mut block = [&[0.0; SET]; SET];
        for (c, row) in block.iter_mut().enumerate() {
            *row = from[c * step..].first_chunk().expect("a block of the weights");
        }
        simd.transpose(block, to);
    } else {
        for c in 0..columns {
            for r in 0..rows {
                to[r][c] = from[c * step + r];
            }
        }
    }
}
