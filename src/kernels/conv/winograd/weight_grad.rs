//! The gradient of the weights: dw = Gᵀ (Σ_tiles V ⊗ P) G.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::lanes::transform;
use super::layout::{Layout, PAD};
use super::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use super::tiles::{Analyse, Tiled};
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{COLUMNS, LANES, Order, Product, ROWS};
use crate::kernels::simd::{self, Simd, WithSimd};
use crate::kernels::{Buffer, Level};

/// Tiles of a range, over which a product sums: their x takes 256 KiB to 1 MiB in the wide maps of
/// Tables 1 and 2, and stays in the L2 cache.
/// With 128 tiles the step was 3 % slower on two threads.
const GRAD_TILES: usize = 64;

/// Ranges at most: each has a sum of its own, as large as the weights.
const RANGES: usize = 32;

/// Sets of 16 channels whose weight gradient a task computes.
const GRAD_SETS: usize = 4;

/// See [`super::conv2d_weight_grad`].
///
/// The images are dealt out to ranges, whose partial sums are added up at the end in their order.
pub struct WeightGrad<const N: usize, const R: usize> {
    pub level: Level,
    /// x
    pub from: Tiled,
    /// y
    pub to: Tiled,
}

impl<const N: usize, const R: usize> WeightGrad<N, R> {
    /// From one frequency to the next in U: (16, 32).
    const PLANE: usize = LANES * COLUMNS + PAD;

    /// Elements of U for a set of 16 channels.
    const SET: usize = N * N * Self::PLANE;

    /// dw (R·step, R·step, C, K) from x and dy.
    pub fn run(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        let WeightGrad { from, to, .. } = self;
        let batch = x.len() / from.image();
        let images = (GRAD_TILES / from.tiles_of_image()).max(batch.div_ceil(RANGES)).clamp(1, batch);
        // For each range and set of channels: the taps of its phase, (R·R, 16, K).
        let set_len = R * R * LANES * to.channels;
        let mut partial = Buffer::stale(batch.div_ceil(images) * from.vectors() * set_len);
        let ranges = x.par_chunks(images * from.image()).zip(dy.par_chunks(images * to.image()));
        partial.par_chunks_mut(from.vectors() * set_len).zip(ranges).for_each(|(partial, (x, dy))| {
            let p_layout = self.layout(to.width(), COLUMNS, x.len() / from.image());
            let mut p = Buffer::stale(p_layout.len());
            fetch::in_order(dy);
            fetch::in_order(x);
            p.par_chunks_mut(p_layout.chunk(1)).enumerate().for_each(|(block, p)| {
                let vectors = to.vectors_of(block);
                let layout = Layout { width: vectors.len() * LANES, ..p_layout };
                self.analyse::<Output, TILE>(*to, dy, vectors, layout, p);
            });
            partial.par_chunks_mut(GRAD_SETS * set_len).enumerate().for_each(|(i, partial)| {
                let sets = i * GRAD_SETS..i * GRAD_SETS + partial.len() / set_len;
                let layout = self.layout(sets.len() * LANES, LANES, x.len() / from.image());
                let mut v = Buffer::stale(layout.len());
                self.analyse::<Input, N>(*from, x, sets.clone(), layout, &mut v);
                let mut u = Buffer::stale(sets.len() * Self::SET);
                for block in 0..to.blocks() {
                    let (p, u, partial) = (&p[p_layout.chunk(block)..], &mut u[..], &mut *partial);
                    simd::run(
                        self.level,
                        GradBlock { grad: self, sets: sets.clone(), block, layout, v: &v, p, u, partial },
                    );
                }
            });
        });
        self.collect(&partial, dw);
    }

    /// Operands of a product over the tiles of some images.
    fn layout(&self, width: usize, lanes: usize, images: usize) -> Layout {
        let groups = (images * self.from.tiles_of_image()).div_ceil(ROWS);
        Layout { width, groups, frequencies: N * N, lanes, sets: 1 }
    }

    fn analyse<M: Matrix<N, P>, const P: usize>(
        &self,
        map: Tiled,
        images: &[f32],
        vectors: Range<usize>,
        layout: Layout,
        frequencies: &mut [f32],
    ) {
        layout.clear_after(images.len() / map.image() * map.tiles_of_image(), frequencies);
        simd::run(self.level, Analyse { map, images, vectors, layout, frequencies, matrix: PhantomData::<M> });
    }

    /// dw (R·step, R·step, C, K) ← the sum over the ranges of partial (ranges, sets, R·R, 16, K).
    fn collect(&self, partial: &[f32], dw: &mut [f32]) {
        let WeightGrad { from, to, level } = self;
        let (step, k) = (from.step, to.channels);
        let range = from.vectors() * R * R * LANES * k;
        dw.par_chunks_mut(from.channels * k).enumerate().for_each(|(tap, dw)| {
            let [r, s] = [tap / (R * step), tap % (R * step)];
            let phase = r % step * step + s % step;
            let first_set = phase * from.channels.div_ceil(LANES);
            for (c, dw) in dw.chunks_exact_mut(k).enumerate() {
                let set = (first_set + c / LANES) * R * R + r / step * R + s / step;
                let row = (set * LANES + c % LANES) * k;
                dw.copy_from_slice(&partial[row..row + k]);
                for partial in partial.chunks_exact(range).skip(1) {
                    level.vectorize(
                        #[inline(always)]
                        || dw.iter_mut().zip(&partial[row..row + k]).for_each(|(dw, &p)| *dw += p),
                    );
                }
            }
        });
    }
}

/// For some sets of channels and a block of columns: U[f] ← V[f]ᵀ · P[f], then Gᵀ U G.
struct GradBlock<'a, const N: usize, const R: usize> {
    grad: &'a WeightGrad<N, R>,
    sets: Range<usize>,
    block: usize,
    layout: Layout,
    v: &'a [f32],
    p: &'a [f32],
    u: &'a mut [f32],
    partial: &'a mut [f32],
}

impl<const N: usize, const R: usize> WithSimd for GradBlock<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GradBlock { grad: WeightGrad { from, to, .. }, sets, block, layout, v, p, u, partial } = self;
        let (set_len, plane) = (WeightGrad::<N, R>::SET, WeightGrad::<N, R>::PLANE);
        let columns = to.vectors_of(block);
        let product = Product {
            order: Order::ColumnMajor,
            terms: layout.groups,
            tiles: [sets.len(), LANES / ROWS],
            vectors: columns.len(),
            term_step: ROWS * LANES,
            a_steps: [layout.chunk(1), ROWS],
            c_steps: [set_len, ROWS * COLUMNS],
            accumulate: false,
        };
        let p_plane = layout.groups * ROWS * COLUMNS + PAD;
        for f in 0..N * N {
            product.run(simd, &v[f * layout.plane(0)..], &p[f * p_plane..], &mut u[f * plane..]);
        }
        let k = to.channels;
        for (i, set) in sets.enumerate() {
            let (u, partial) =
                (&u[i * set_len..][..set_len], &mut partial[i * R * R * LANES * k..][..R * R * LANES * k]);
            for row in 0..from.vector(set).count {
                for (j, index) in columns.clone().enumerate() {
                    let vector = to.vector(index);
                    for part in (0..vector.count).step_by(S::LANES) {
                        let (column, lanes) = (vector.first + part, (vector.count - part).min(S::LANES));
                        let from = &u[row * COLUMNS + j * LANES + part..][..(N * N - 1) * plane + S::LANES];
                        transform::<S, Transposed<Weight>, R, N>(
                            simd,
                            #[inline(always)]
                            |f, g| {
                                // SAFETY: `from` reaches to the end of the vector at the last frequency.
                                unsafe { simd.load_all(from.as_ptr().add((f * N + g) * plane)) }
                            },
                            #[inline(always)]
                            |r, s, value| {
                                let to = ((r * R + s) * LANES + row) * k + column;
                                simd.store(value, &mut partial[to..to + lanes]);
                            },
                        );
                    }
                }
            }
        }
    }
}
