//! The gradient of the weights: dw = Gᵀ (Σ_tiles V ⊗ P) G.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::layout::{Layout, PAD};
use super::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use super::tiles::{Analyse, Tiled};
use super::transform::transform;
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{BLOCK_COLUMNS, BLOCK_ROWS, Order, Product, SET};
use crate::kernels::parallel::{PIXELS, Partials, Partition, sum_halves};
use crate::kernels::simd::{self, Simd, WithSimd};
use crate::kernels::{Buffer, Level};

/// Tiles of a range, over which a product sums: in the wide layers of the nets that `gan` trains their x takes 256 KiB
/// to 1 MiB, and stays in the L2 cache. With 128 tiles a training step took 3 % longer on two threads.
const RANGE_TILES: usize = 64;

/// Groups of [`BLOCK_ROWS`] tiles whose products are added up one after another. With four times as many, the rounding
/// errors of as many equal terms were 2 to 15 times as large.
const GROUPS: usize = 1024 / BLOCK_ROWS;

/// Partial weight gradients at most. More than [`PARTS`](crate::kernels::parallel::PARTS), since a range of many more
/// than [`RANGE_TILES`] outgrows the cache.
const RANGES: usize = 32;

/// Sets of 16 channels whose weight gradient a task computes.
const TASK_SETS: usize = 4;

/// See [`super::conv2d_weight_grad`].
///
/// The images are dealt out to ranges, whose sums are added up in their order.
pub struct WeightGrad<const N: usize, const R: usize> {
    pub level: Level,
    /// x
    pub from: Tiled,
    /// y
    pub to: Tiled,
}

impl<const N: usize, const R: usize> WeightGrad<N, R> {
    /// From one frequency to the next in U, a (16, 32).
    const PLANE: usize = SET * BLOCK_COLUMNS + PAD;

    /// Elements of U for a set of 16 channels.
    const U_LEN: usize = N * N * Self::PLANE;

    /// dw (R·step, R·step, C, K) from x and dy.
    pub fn run(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        let WeightGrad { from, to, .. } = self;
        let batch = x.len() / from.image();
        let images = (RANGE_TILES / from.tiles_of_image()).max(batch.div_ceil(RANGES)).clamp(1, batch);
        // For each range and set of channels: the taps of its phase, (R·R, 16, K).
        let set_len = R * R * SET * to.channels;
        let of_images = |range: Range<usize>, sums: &mut [f32]| {
            let x = &x[range.start * from.image()..range.end * from.image()];
            let dy = &dy[range.start * to.image()..range.end * to.image()];
            let p_layout = self.layout(to.width(), BLOCK_COLUMNS, range.len());
            let mut p = Buffer::stale(p_layout.len());
            fetch::in_order(dy);
            fetch::in_order(x);
            p.par_chunks_mut(p_layout.chunk(1)).enumerate().for_each(|(block, p)| {
                let sets = to.sets_of(block);
                let layout = Layout { width: sets.len() * SET, ..p_layout };
                self.analyse::<Output, TILE>(*to, dy, sets, layout, p);
            });
            sums.par_chunks_mut(TASK_SETS * set_len).enumerate().for_each(|(i, sums)| {
                let sets = i * TASK_SETS..i * TASK_SETS + sums.len() / set_len;
                let layout = self.layout(sets.len() * SET, SET, range.len());
                let mut v = Buffer::stale(layout.len());
                self.analyse::<Input, N>(*from, x, sets.clone(), layout, &mut v);
                let mut u = Buffer::stale(sets.len() * Self::U_LEN);
                for block in 0..to.blocks() {
                    let (p, u, sums) = (&p[p_layout.chunk(block)..], &mut u[..], &mut *sums);
                    let sets = sets.clone();
                    simd::run(self.level, GradBlock { grad: self, sets, block, layout, v: &v, p, u, sums });
                }
            });
        };
        let most = (PIXELS / from.tiles_of_image()).max(1);
        let sums = Partition::of(batch, images)
            .partials(from.sets() * set_len, |range, sums| sum_halves(self.level, range, most, sums, &of_images));
        self.collect(&sums, dw);
    }

    /// Operands of a product over the tiles of some images.
    fn layout(&self, width: usize, strip: usize, images: usize) -> Layout {
        let groups = (images * self.from.tiles_of_image()).div_ceil(BLOCK_ROWS);
        Layout { width, groups, frequencies: N * N, strip, strips: 1 }
    }

    fn analyse<M: Matrix<N, P>, const P: usize>(
        &self,
        map: Tiled,
        images: &[f32],
        sets: Range<usize>,
        layout: Layout,
        frequencies: &mut [f32],
    ) {
        layout.clear_after(images.len() / map.image() * map.tiles_of_image(), frequencies);
        simd::run(self.level, Analyse { map, images, sets, layout, frequencies, matrix: PhantomData::<M> });
    }

    /// dw (R·step, R·step, C, K) ← the sum over the ranges of (sets, R·R, 16, K).
    fn collect(&self, sums: &Partials<f32>, dw: &mut [f32]) {
        let WeightGrad { from, to, level } = self;
        let (step, k) = (from.step, to.channels);
        dw.par_chunks_mut(from.channels * k).enumerate().for_each(|(tap, dw)| {
            let [r, s] = [tap / (R * step), tap % (R * step)];
            let phase = r % step * step + s % step;
            let first_set = phase * from.channels.div_ceil(SET);
            level.vectorize(
                #[inline(always)]
                || {
                    for (c, dw) in dw.chunks_exact_mut(k).enumerate() {
                        let set = (first_set + c / SET) * R * R + r / step * R + s / step;
                        sums.sum((set * SET + c % SET) * k, dw);
                    }
                },
            );
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
    sums: &'a mut [f32],
}

impl<const N: usize, const R: usize> WithSimd for GradBlock<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let GradBlock { grad: WeightGrad { from, to, .. }, sets, block, layout, v, p, u, sums } = self;
        let (u_len, plane) = (WeightGrad::<N, R>::U_LEN, WeightGrad::<N, R>::PLANE);
        let columns = to.sets_of(block);
        let product = Product {
            order: Order::ColumnMajor,
            terms: 0,
            tiles: [sets.len(), SET / BLOCK_ROWS],
            column_sets: columns.len(),
            term_step: BLOCK_ROWS * SET,
            a_steps: [layout.chunk(1), BLOCK_ROWS],
            c_steps: [u_len, BLOCK_ROWS * BLOCK_COLUMNS],
            accumulate: false,
        };
        let p_plane = layout.groups * BLOCK_ROWS * BLOCK_COLUMNS + PAD;
        for f in 0..N * N {
            let (v, p, u) = (&v[f * layout.plane(0)..], &p[f * p_plane..], &mut u[f * plane..]);
            for first in (0..layout.groups).step_by(GROUPS) {
                let (terms, accumulate) = (GROUPS.min(layout.groups - first), first > 0);
                let (v, p) = (&v[first * product.term_step..], &p[first * BLOCK_ROWS * BLOCK_COLUMNS..]);
                Product { terms, accumulate, ..product }.run(simd, v, p, u);
            }
        }
        let k = to.channels;
        for (i, set) in sets.enumerate() {
            let u = &u[i * u_len..][..u_len];
            let sums = &mut sums[i * R * R * SET * k..][..R * R * SET * k];
            for row in 0..from.set(set).count {
                for (j, index) in columns.clone().enumerate() {
                    let set = to.set(index);
                    for part in (0..set.count).step_by(S::LANES) {
                        let (column, lanes) = (set.first + part, (set.count - part).min(S::LANES));
                        let from = &u[row * BLOCK_COLUMNS + j * SET + part..][..(N * N - 1) * plane + S::LANES];
                        transform::<S, Transposed<Weight>, R, N>(
                            simd,
                            #[inline(always)]
                            |f, g| {
                                // SAFETY: `from` reaches to the end of the set at the last frequency.
                                unsafe { simd.load_all(from.as_ptr().add((f * N + g) * plane)) }
                            },
                            #[inline(always)]
                            |r, s, value| {
                                let to = ((r * R + s) * SET + row) * k + column;
                                simd.store(value, &mut sums[to..to + lanes]);
                            },
                        );
                    }
                }
            }
        }
    }
}
