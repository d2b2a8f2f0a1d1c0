//! Winograd's convolution with tiles of 4×4 outputs: F(4×4, 3×3) for kernels of 3×3 and stride 1, F(4×4, 2×2) for
//! kernels of 4×4 and stride 2; all three maps.
//!
//! Four outputs of a kernel of R taps along one axis are a bilinear map of N = R + 3 inputs d and R weights g, and
//!
//! ```text
//! y = Aᵀ ((G g) ⊙ (Bᵀ d))             Aᵀ (4, N), G (N, R), Bᵀ (N, N)
//! ```
//!
//! for any N − 1 distinct points and infinity (see `matrices.rs`). In two dimensions the matrices apply along both axes.
//! Summed over channels, each of the N² *frequencies* f is a matrix product of its own. Since the whole is a bilinear
//! map of x and w, paired with dy, its adjoints are made of the same matrices, transposed:
//!
//! ```text
//! V = Bᵀ d B (tiles, C)     U = G g Gᵀ (C, K)     P (tiles, K)
//!
//! conv2d              P[f] = V[f] · U[f]              y = Aᵀ P A
//! conv2d_input_grad   V[f] = P[f] · U[f]ᵀ             P = A dy Aᵀ,  dx = Σ_tiles B V Bᵀ, where tiles overlap
//! conv2d_weight_grad  U[f] = Σ_tiles V[f]ᵀ · P[f]     P = A dy Aᵀ,  dw = Gᵀ U G
//! ```
//!
//! With R = 3 and stride 1, N² = 36 multiplications give 16 outputs, where the definition takes 144. A kernel of 4×4
//! with stride 2 is a sum of four convolutions of stride 1 with kernels of 2×2, one for each phase of x,
//!
//! ```text
//! y[p] = Σ_{a,r}  x[2(p + r) + a − padding] · w[2r + a]          a = 0, 1: the phase; r = 0, 1: the tap
//! ```
//!
//! so that with R = 2 and the phases side by side in place of channels (4·C of them), 25·4 multiplications give 16
//! outputs, where the definition takes 256.
//!
//! # Blocking
//! The images are cut into *cells* of up to 64 tiles, whose V stays in the L2 cache from its transform to the products.
//! P is computed for 32 channels at a time, and goes back to pixels at once. The weights are transformed first; where
//! there are so few tiles that this would be the larger part of the work, a block of them is transformed and at once
//! multiplied by all tiles. The weight gradient takes some 128 tiles at a time, and of these 64 channels of x, with all
//! of dy. All operands lie as the register tile reads them (`layout.rs`, `kernels/gemm/blocks.rs`).
//!
//! Accuracy: one to five times the error of the definition in f32, 1e-6 to 4e-6 of the norm. f64, which checks gradients,
//! never comes here.

mod lanes;
mod layout;
mod matrices;
mod tiles;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use self::lanes::transform;
use self::layout::{Layout, PAD};
use self::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use self::tiles::{Analyse, Synthesise, Tiled};
use super::{ConvShape, Epilogue, gemm};
use crate::kernels::gemm::blocks::{COLUMNS, LANES, Order, Product, ROWS};
use crate::kernels::shared::Shared;
use crate::kernels::simd::{self, Kernel, Simd};
use crate::kernels::{Buffer, Level};

/// Tiles of a cell, where there are so many.
const CELL: Range<usize> = 16..64;

/// Bytes that V may take in a cell.
const CELL_BYTES: usize = 1 << 20;

/// Cells are a multiple of this many, so that threads have equal shares.
const CELLS: usize = 8;

/// Sets of 16 channels that a product sums over at a time: 16 KiB of the right operand, which stay in the L1 cache.
const DEPTH: usize = 8;

/// Up to how many tiles the weights are transformed block by block.
const FEW: usize = 512;

/// Tiles that a product of the weight gradient sums over at a time.
const GRAD_TILES: usize = 64;

/// Sets of 16 channels whose weight gradient a task computes.
const GRAD_SETS: usize = 4;

/// Whether the algorithm can compute this convolution.
pub fn supports(shape: &ConvShape) -> bool {
    let form = (shape.kernel, shape.stride);
    let known = form == ([3, 3], [1, 1]) || form == ([4, 4], [2, 2]);
    let empty = shape.x_len() == 0 || shape.y_len() == 0;
    known && shape.dilation == [1, 1] && shape.groups == 1 && !empty
}

/// Whether the algorithm is faster than patches and products, for a map from some channels to others.
///
/// Measured on one thread with AVX-512 against [`gemm`] (`speed_of_winograd_and_gemm`), as many channels on both sides;
/// times as fast in the forward map / the input's / the weights' gradient:
///
/// | channels | 3×3, 64 images of 4×4 | of 6×6 | of 12×12 | 4×4 stride 2 to 4×4 | to 6×6 | to 12×12 |
/// |---|---|---|---|---|---|---|
/// | 8 | 0.9 0.6 0.6 | 0.5 0.3 0.3 | 0.8 0.5 0.5 | 0.7 0.9 0.6 | 0.4 0.5 0.4 | 0.6 0.7 0.5 |
/// | 16 | 1.4 0.9 1.0 | 0.9 0.5 0.6 | 1.6 0.9 1.0 | 1.4 1.4 1.3 | 0.8 0.8 0.8 | 1.4 1.2 1.2 |
/// | 32 | 1.7 1.2 1.5 | 1.1 0.7 0.8 | 1.9 1.3 1.2 | 1.6 1.4 1.6 | 1.0 0.9 1.0 | 1.5 1.4 1.4 |
/// | 64 | 2.0 1.5 2.0 | 1.2 1.0 0.9 | 2.4 1.8 1.7 | 1.7 1.6 1.9 | 1.0 1.0 1.0 | 1.7 1.8 1.6 |
/// | 128 | 1.7 1.8 2.8 | 1.5 1.3 1.4 | | 1.6 1.6 2.2 | 1.1 1.1 1.2 | |
///
/// 16 tiles are where the weights' transform begins to pay (1.0 to 1.4 times), and maps must fill 0.7 of their tiles:
/// 6×6 fill 0.56, 7×7 0.77 (1.1 to 1.9 times from 32 channels).
pub fn pays(shape: &ConvShape, channels: [usize; 2]) -> bool {
    let tiles = shape.output.map(|n| n.div_ceil(TILE));
    let filled = shape.output[0] * shape.output[1] * 10 >= tiles[0] * tiles[1] * TILE * TILE * 7;
    let wide = channels.iter().all(|&c| c >= 16) && (shape.stride == [2, 2] || channels[0] * channels[1] >= 512);
    wide && filled && shape.batch * tiles[0] * tiles[1] >= 16
}

/// See [`super::conv2d`]; `shape` is one that [`supports`] admits.
pub fn conv2d(level: Level, shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<f32>, y: &mut [f32]) {
    let (from, to) = (Tiled::input(shape), Tiled::output(shape));
    match shape.stride {
        [1, 1] => Apply::<6, 3>::new(level, from, w, epilogue, to).run::<Input, Transposed<Output>, 6, TILE>(x, y),
        _ => Apply::<5, 2>::new(level, from, w, epilogue, to).run::<Input, Transposed<Output>, 5, TILE>(x, y),
    }
}

/// See [`super::conv2d_input_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_input_grad(
    level: Level,
    shape: &ConvShape,
    dy: &[f32],
    w: &[f32],
    epilogue: Epilogue<f32>,
    dx: &mut [f32],
) {
    let (from, to) = (Tiled::output(shape), Tiled::input(shape));
    let w = &gemm::exchanged_weights(level, shape, w);
    match shape.stride {
        [1, 1] => Apply::<6, 3>::new(level, from, w, epilogue, to).run::<Output, Transposed<Input>, TILE, 6>(dy, dx),
        _ => Apply::<5, 2>::new(level, from, w, epilogue, to).run::<Output, Transposed<Input>, TILE, 5>(dy, dx),
    }
}

/// See [`super::conv2d_weight_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_weight_grad(level: Level, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (from, to) = (Tiled::input(shape), Tiled::output(shape));
    match shape.stride {
        [1, 1] => WeightGrad::<6, 3> { level, from, to }.run(x, dy, dw),
        _ => WeightGrad::<5, 2> { level, from, to }.run(x, dy, dw),
    }
}

impl Tiled {
    /// x (N, H, W, C), in phases as many as the stride.
    fn input(shape: &ConvShape) -> Tiled {
        let tiles = shape.output.map(|n| n.div_ceil(TILE));
        let (size, channels) = (shape.input, shape.in_channels);
        Tiled { size, channels, before: shape.padding, step: shape.stride[0], tiles }
    }

    /// y (N, OH, OW, K)
    fn output(shape: &ConvShape) -> Tiled {
        let tiles = shape.output.map(|n| n.div_ceil(TILE));
        Tiled { size: shape.output, channels: shape.out_channels, before: [0, 0], step: 1, tiles }
    }
}

/// The weights of all taps (R·step, R·step, rows, columns), where the phases belong to one of the two sides, and how they
/// lie as frequencies U: for each block of 32 columns and each chunk of [`DEPTH`] sets of 16 rows, frequency by frequency,
/// (rows, 32).
#[derive(Clone, Copy)]
struct Weights<'a, const N: usize, const R: usize> {
    taps: &'a [f32],
    rows: Tiled,
    columns: Tiled,
}

impl<const N: usize, const R: usize> Weights<'_, N, R> {
    /// The sets of each chunk, and where it begins in a block.
    fn chunks(&self) -> impl Iterator<Item = (Range<usize>, usize)> + use<N, R> {
        let sets = self.rows.vectors();
        let starts = (0..sets).step_by(DEPTH);
        starts.map(move |first| (first..sets.min(first + DEPTH), first / DEPTH * N * N * Self::plane(DEPTH)))
    }

    /// From one frequency to the next in a chunk of so many sets.
    fn plane(sets: usize) -> usize {
        sets * LANES * COLUMNS + PAD
    }

    /// Elements of a block.
    fn block_len(&self) -> usize {
        self.chunks().map(|(sets, _)| N * N * Self::plane(sets.len())).sum()
    }
}

/// U = G g Gᵀ of a block of columns and a chunk of rows.
struct TransformWeights<'a, const N: usize, const R: usize> {
    weights: Weights<'a, N, R>,
    block: usize,
    sets: Range<usize>,
    u: &'a mut [f32],
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

/// A map from one side to the other: to the frequencies by M, products with the weights, back by L.
struct Apply<'a, const N: usize, const R: usize> {
    level: Level,
    from: Tiled,
    weights: Weights<'a, N, R>,
    epilogue: Epilogue<'a, f32>,
    to: Tiled,
}

/// How the images of [`Apply`] are cut into cells, and where the frequencies of a cell lie.
#[derive(Clone, Copy)]
struct Cells {
    batch: usize,
    /// Images of a cell.
    images: usize,
    v: Layout,
    /// From one frequency to the next in a block of P.
    p_plane: usize,
}

impl Cells {
    fn number(&self) -> usize {
        self.batch.div_ceil(self.images)
    }

    fn images_of(&self, cell: usize) -> Range<usize> {
        cell * self.images..self.batch.min((cell + 1) * self.images)
    }
}

impl<'a, const N: usize, const R: usize> Apply<'a, N, R> {
    fn new(level: Level, from: Tiled, w: &'a [f32], epilogue: Epilogue<'a, f32>, to: Tiled) -> Self {
        Apply { level, from, weights: Weights { taps: w, rows: from, columns: to }, epilogue, to }
    }

    fn run<M: Matrix<N, P>, L: Matrix<Q, N>, const P: usize, const Q: usize>(&self, input: &[f32], output: &mut [f32]) {
        let cells = self.cells(input.len() / self.from.image());
        let output = Shared::new(output);
        if cells.batch * self.from.tiles_of_image() > FEW {
            self.run_by_cells::<M, L, P, Q>(cells, input, output);
        } else {
            self.run_by_blocks::<M, L, P, Q>(cells, input, output);
        }
    }

    fn cells(&self, batch: usize) -> Cells {
        let (of_image, width) = (self.from.tiles_of_image(), self.from.width());
        let tiles = (CELL_BYTES / (N * N * width * size_of::<f32>())).clamp(CELL.start, CELL.end);
        let cells = batch.div_ceil((tiles / of_image).max(1)).next_multiple_of(CELLS);
        let images = batch.div_ceil(cells);
        let groups = (images * of_image).div_ceil(ROWS);
        let v = Layout { width, groups, frequencies: N * N, lanes: LANES, sets: DEPTH };
        Cells { batch, images, v, p_plane: groups * ROWS * COLUMNS + PAD }
    }

    /// The weights are transformed first; then each cell is computed as a whole.
    fn run_by_cells<M: Matrix<N, P>, L: Matrix<Q, N>, const P: usize, const Q: usize>(
        &self,
        cells: Cells,
        input: &[f32],
        output: Shared<f32>,
    ) {
        let weights = &self.weights;
        let mut u = Buffer::stale(self.to.blocks() * weights.block_len());
        u.par_chunks_mut(weights.block_len()).enumerate().for_each(|(block, u)| {
            for (sets, start) in weights.chunks() {
                simd::run(self.level, TransformWeights { weights: *weights, block, sets, u: &mut u[start..] });
            }
        });
        (0..cells.number()).into_par_iter().for_each(|cell| {
            let (mut v, mut p) = (Buffer::stale(cells.v.len()), Buffer::stale(N * N * cells.p_plane));
            self.analyse::<M, P>(cells, cell, input, &mut v);
            for (block, u) in u.chunks_exact(weights.block_len()).enumerate() {
                for (sets, start) in weights.chunks() {
                    let (v, p) = (&v, &mut p[..]);
                    simd::run(self.level, Multiply { apply: self, cells, cell, block, sets, v, u: &u[start..], p });
                }
                self.synthesise::<L, Q>(cells, cell, block, &p, output);
            }
        });
    }

    /// The frequencies of the input come first; then each block of columns is computed as a whole.
    fn run_by_blocks<M: Matrix<N, P>, L: Matrix<Q, N>, const P: usize, const Q: usize>(
        &self,
        cells: Cells,
        input: &[f32],
        output: Shared<f32>,
    ) {
        let (v_len, p_len) = (cells.v.len(), N * N * cells.p_plane);
        let mut v = Buffer::stale(cells.number() * v_len);
        v.par_chunks_mut(v_len).enumerate().for_each(|(cell, v)| self.analyse::<M, P>(cells, cell, input, v));
        (0..self.to.blocks()).into_par_iter().for_each(|block| {
            let mut u = Buffer::stale(N * N * Weights::<N, R>::plane(DEPTH));
            let mut p = Buffer::stale(cells.number() * p_len);
            for (sets, _) in self.weights.chunks() {
                let weights = self.weights;
                simd::run(self.level, TransformWeights { weights, block, sets: sets.clone(), u: &mut u });
                for (cell, p) in p.chunks_exact_mut(p_len).enumerate() {
                    let (v, u, sets) = (&v[cell * v_len..], &u[..], sets.clone());
                    simd::run(self.level, Multiply { apply: self, cells, cell, block, sets, v, u, p });
                }
            }
            for (cell, p) in p.chunks_exact(p_len).enumerate() {
                self.synthesise::<L, Q>(cells, cell, block, p, output);
            }
        });
    }

    fn analyse<M: Matrix<N, P>, const P: usize>(&self, cells: Cells, cell: usize, input: &[f32], v: &mut [f32]) {
        let (map, range) = (self.from, cells.images_of(cell));
        let images = &input[range.start * map.image()..range.end * map.image()];
        let vectors = 0..map.vectors();
        let matrix = PhantomData::<M>;
        simd::run(self.level, Analyse { map, images, vectors, layout: cells.v, frequencies: v, matrix });
    }

    fn synthesise<L: Matrix<Q, N>, const Q: usize>(
        &self,
        cells: Cells,
        cell: usize,
        block: usize,
        p: &[f32],
        output: Shared<f32>,
    ) {
        let synthesise = Synthesise {
            map: self.to,
            block,
            frequencies: p,
            plane: cells.p_plane,
            epilogue: self.epilogue,
            images: output,
            range: cells.images_of(cell),
            matrix: PhantomData::<L>,
        };
        simd::run(self.level, synthesise);
    }
}

/// P[f] ← V[f] · U[f], or P[f] + that after the first sets, for the tiles of a cell and a block of columns.
struct Multiply<'a, const N: usize, const R: usize> {
    apply: &'a Apply<'a, N, R>,
    cells: Cells,
    cell: usize,
    block: usize,
    sets: Range<usize>,
    v: &'a [f32],
    u: &'a [f32],
    p: &'a mut [f32],
}

impl<const N: usize, const R: usize> Kernel for Multiply<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Multiply { apply, cells, cell, block, sets, v, u, p } = self;
        let product = Product {
            order: Order::RowMajor,
            terms: sets.len(),
            tiles: [1, (cells.images_of(cell).len() * apply.from.tiles_of_image()).div_ceil(ROWS)],
            vectors: apply.to.vectors_of(block).len(),
            term_step: ROWS * LANES,
            a_steps: [0, sets.len() * ROWS * LANES],
            c_steps: [0, ROWS * COLUMNS],
            accumulate: sets.start > 0,
        };
        let chunk = sets.start / DEPTH;
        for f in 0..N * N {
            let v = &v[cells.v.chunk(chunk) + f * cells.v.plane(chunk)..];
            product.run(simd, v, &u[f * Weights::<N, R>::plane(sets.len())..], &mut p[f * cells.p_plane..]);
        }
    }
}

/// See [`conv2d_weight_grad`].
///
/// The images are dealt out to ranges, whose partial sums are added up at the end in their order.
struct WeightGrad<const N: usize, const R: usize> {
    level: Level,
    from: Tiled,
    to: Tiled,
}

impl<const N: usize, const R: usize> WeightGrad<N, R> {
    /// From one frequency to the next in U: (16, 32).
    const PLANE: usize = LANES * COLUMNS + PAD;

    /// Elements of U for a set of 16 channels.
    const SET: usize = N * N * Self::PLANE;

    fn run(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        let WeightGrad { from, to, .. } = self;
        let batch = x.len() / from.image();
        let images = (GRAD_TILES / from.tiles_of_image()).clamp(1, batch);
        // For each range and set of channels: the taps of its phase, (R·R, 16, K).
        let set_len = R * R * LANES * to.channels;
        let mut partial = Buffer::stale(batch.div_ceil(images) * from.vectors() * set_len);
        let ranges = x.par_chunks(images * from.image()).zip(dy.par_chunks(images * to.image()));
        partial.par_chunks_mut(from.vectors() * set_len).zip(ranges).for_each(|(partial, (x, dy))| {
            let p_layout = self.layout(to.width(), COLUMNS, x.len() / from.image());
            let mut p = Buffer::stale(p_layout.len());
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

impl<const N: usize, const R: usize> Kernel for GradBlock<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
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
        for ((set, u), partial) in sets.zip(u.chunks_exact(set_len)).zip(partial.chunks_exact_mut(R * R * LANES * k)) {
            for row in 0..from.vector(set).count {
                for (j, index) in columns.clone().enumerate() {
                    let vector = to.vector(index);
                    for part in (0..vector.count).step_by(S::LANES) {
                        let (column, lanes) = (vector.first + part, (vector.count - part).min(S::LANES));
                        transform::<S, Transposed<Weight>, R, N>(
                            simd,
                            #[inline(always)]
                            |f, g| simd.load(&u[(f * N + g) * plane + row * COLUMNS + j * LANES + part..]),
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
