//! The weights as frequencies: U = G g Gᵀ.

use std::ops::Range;

use super::DEPTH;
use super::lanes::transform;
use super::layout::PAD;
use super::matrices::Weight;
use super::tiles::Tiled;
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{COLUMNS, LANES};
use crate::kernels::simd::{Simd, WithSimd};

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

/// Rows ahead whose taps are brought to the cache: the forward map of D7 took 8.0 to 8.2 ms with 1 to 8, but 8.5 with 16, as
/// without; the taps of so many rows fall into few sets of the cache.
const AHEAD: usize = 8;

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
        let vectors = columns.vectors_of(block);
        let mut turned = [[[[[0.0; LANES]; LANES]; R]; R]; 2];
        for (i, set) in sets.enumerate() {
            let row = rows.vector(set);
            // Where each tap begins, for both vectors of the block.
            let mut places = [[[0; R]; R]; 2];
            for (j, index) in vectors.clone().enumerate() {
                let column = columns.vector(index);
                let phase = row.phase + column.phase;
                for (r, places) in places[j].iter_mut().enumerate() {
                    for (s, place) in places.iter_mut().enumerate() {
                        let tap = (step * r + phase / step) * step * R + step * s + phase % step;
                        if adjoint {
                            let from = &taps[(tap * columns.channels + column.first) * rows.channels + row.first..];
                            transpose(simd, from, rows.channels, [column.count, row.count], &mut turned[j][r][s]);
                            *place = ((j * R + r) * R + s) * LANES * LANES;
                        } else {
                            *place = (tap * rows.channels + row.first) * columns.channels + column.first;
                        }
                    }
                }
            }
            let (taps, row_step) = match adjoint {
                true => (turned.as_flattened().as_flattened().as_flattened().as_flattened(), LANES),
                false => (taps, columns.channels),
            };
            for k in 0..LANES {
                for (j, index) in vectors.clone().enumerate() {
                    let count = if k < row.count { columns.vector(index).count } else { 0 };
                    for part in (0..LANES).step_by(S::LANES) {
                        let lanes = count.saturating_sub(part).min(S::LANES);
                        let from = if lanes > 0 { k * row_step + part } else { 0 };
                        let out = &mut u[(i * LANES + k) * COLUMNS + j * LANES + part..];
                        let out = &mut out[..(N * N - 1) * plane + S::LANES];
                        transform::<S, Weight, N, R>(
                            simd,
                            #[inline(always)]
                            |r, s| {
                                let from = places[j][r][s] + from;
                                if !adjoint {
                                    fetch::ahead(taps.as_ptr().wrapping_add(from + AHEAD * row_step));
                                }
                                simd.load(&taps[from..][..lanes])
                            },
                            #[inline(always)]
                            |f, g, value| {
                                // SAFETY: `out` reaches to the end of the vector at the last frequency.
                                unsafe { simd.store_all(value, out.as_mut_ptr().add((f * N + g) * plane)) }
                            },
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
        // What is turned next lies behind.
        (0..LANES).for_each(
            #[inline(always)]
            |c| fetch::ahead(from.as_ptr().wrapping_add(c * step + LANES)),
        );
        let mut block = [&[0.0; LANES]; LANES];
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
