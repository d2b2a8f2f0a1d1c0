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
//! The images are cut into *cells* of some 64 tiles, whose V and P stay in the cache from the transform before the
//! product to the transform after it. The weights are transformed once, into blocks of 32 columns in which the product
//! reads them as they lie. If there are so few tiles that the transformed weights would be the larger part of the
//! work, the order turns round: a block of columns is transformed and at once multiplied by all tiles.
//!
//! Accuracy in f32: one to five times the error of the definition, 1e-6 to 4e-6 of the norm.

mod lanes;
mod layout;
mod matrices;
mod tiles;

use std::ops::Range;

use rayon::prelude::*;

use self::lanes::{Lanes, load, store, transform};
use self::layout::{Layout, PAD};
use self::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use self::tiles::Tiled;
use super::{ConvShape, Epilogue, gemm};
use crate::kernels::gemm::blocks::{COLUMNS, LANES, Order, Product, ROWS};
use crate::kernels::shared::Shared;
use crate::kernels::{Buffer, Element, Level};

/// Tiles of a cell, where there are so many.
const CELL: Range<usize> = 16..64;

/// Bytes that the left operand of a cell may take.
const CELL_BYTES: usize = 1 << 20;

/// Cells are a multiple of this many, so that threads have equal shares.
const CELLS: usize = 8;

/// Sets of 16 channels that a product sums over at a time: 16 KiB of the right operand, which stay in the L1 cache.
const DEPTH: usize = 8;

/// Up to how many tiles the weights are transformed block by block.
const FEW: usize = 512;

/// Tiles of a cell of the weight gradient.
const GRAD_CELL: usize = 128;

/// Partial weight gradients.
const RANGES: usize = 8;

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
pub fn conv2d<T: Element>(level: Level, shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    fn run<T: Element, const N: usize, const R: usize>(
        level: Level,
        shape: &ConvShape,
        x: &[T],
        w: &[T],
        epilogue: Epilogue<T>,
        y: &mut [T],
    ) {
        let (from, to) = (Tiled::input(shape), Tiled::output(shape));
        let weights = Weights::<T, N, R> { level, taps: w, rows: from, columns: to };
        Apply { level, from, weights, epilogue, to, images: images_of_cell::<T, N>(from, shape.batch) }
            .run::<Input, Transposed<Output>, N, TILE>(x, y);
    }
    match shape.stride {
        [1, 1] => run::<T, 6, 3>(level, shape, x, w, epilogue, y),
        _ => run::<T, 5, 2>(level, shape, x, w, epilogue, y),
    }
}

/// See [`super::conv2d_input_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_input_grad<T: Element>(
    level: Level,
    shape: &ConvShape,
    dy: &[T],
    w: &[T],
    epilogue: Epilogue<T>,
    dx: &mut [T],
) {
    fn run<T: Element, const N: usize, const R: usize>(
        level: Level,
        shape: &ConvShape,
        dy: &[T],
        w: &[T],
        epilogue: Epilogue<T>,
        dx: &mut [T],
    ) {
        let (from, to) = (Tiled::output(shape), Tiled::input(shape));
        let weights = Weights::<T, N, R> { level, taps: w, rows: from, columns: to };
        Apply { level, from, weights, epilogue, to, images: images_of_cell::<T, N>(from, shape.batch) }
            .run::<Output, Transposed<Input>, TILE, N>(dy, dx);
    }
    let w = &gemm::exchanged_weights(level, shape, w);
    match shape.stride {
        [1, 1] => run::<T, 6, 3>(level, shape, dy, w, epilogue, dx),
        _ => run::<T, 5, 2>(level, shape, dy, w, epilogue, dx),
    }
}

/// See [`super::conv2d_weight_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_weight_grad<T: Element>(level: Level, shape: &ConvShape, x: &[T], dy: &[T], dw: &mut [T]) {
    match shape.stride {
        [1, 1] => weight_grad::<T, 6, 3>(level, shape, x, dy, dw),
        _ => weight_grad::<T, 5, 2>(level, shape, x, dy, dw),
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

    /// A left operand of a product over channels.
    fn as_rows<const N: usize>(&self, tiles: usize) -> Layout {
        Layout { width: self.width(), groups: tiles.div_ceil(ROWS), frequencies: N * N, lanes: LANES, sets: DEPTH }
    }

    /// A left operand of a product over tiles.
    fn as_columns<const N: usize>(&self, tiles: usize) -> Layout {
        Layout { sets: 1, ..self.as_rows::<N>(tiles) }
    }

    /// A right operand of a product over tiles, or a result.
    fn as_blocks<const N: usize>(&self, tiles: usize) -> Layout {
        Layout { lanes: COLUMNS, ..self.as_columns::<N>(tiles) }
    }
}

/// Images of a cell, so that its left operand stays in the L2 cache.
fn images_of_cell<T, const N: usize>(from: Tiled, batch: usize) -> usize {
    let tile = N * N * from.width() * size_of::<T>();
    let tiles = (CELL_BYTES / tile).clamp(CELL.start, CELL.end);
    let images = (tiles / from.tiles_of_image()).clamp(1, batch);
    let cells = batch.div_ceil(images).next_multiple_of(CELLS);
    batch.div_ceil(cells)
}

/// The weights of all taps (R·step, R·step, rows, columns), where the phases belong to one of the two sides, and how they
/// lie as frequencies U: for each block of 32 columns and each chunk of [`DEPTH`] sets of 16 rows, frequency by frequency,
/// (rows, 32).
#[derive(Clone, Copy)]
struct Weights<'a, T, const N: usize, const R: usize> {
    level: Level,
    taps: &'a [T],
    rows: Tiled,
    columns: Tiled,
}

impl<T: Element, const N: usize, const R: usize> Weights<'_, T, N, R> {
    /// Sets of 16 rows.
    fn sets(&self) -> usize {
        self.rows.width() / LANES
    }

    /// The sets of each chunk.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<T, N, R> {
        let sets = self.sets();
        (0..sets).step_by(DEPTH).map(move |first| first..sets.min(first + DEPTH))
    }

    /// From one frequency to the next in a chunk of so many sets.
    fn plane(sets: usize) -> usize {
        sets * LANES * COLUMNS + PAD
    }

    /// Elements of a block.
    fn block_len(&self) -> usize {
        self.chunks().map(|sets| N * N * Self::plane(sets.len())).sum()
    }

    /// U = G g Gᵀ of a block of columns and a chunk of rows.
    fn transform(&self, block: usize, sets: Range<usize>, u: &mut [T]) {
        self.level.vectorize(
            #[inline(always)]
            || {
                let plane = Self::plane(sets.len());
                for (i, set) in sets.enumerate() {
                    for vector in 0..self.columns.vectors(block) {
                        let out = &mut u[i * LANES * COLUMNS + vector * LANES..];
                        self.transform_vectors(set, 2 * block + vector, plane, out);
                    }
                }
            },
        );
    }

    /// [`Self::transform`] for 16 rows and one vector of columns.
    #[inline(always)]
    fn transform_vectors(&self, set: usize, vector: usize, plane: usize, u: &mut [T]) {
        let step = self.rows.step.max(self.columns.step);
        let ((row_phase, first_row), (column_phase, column)) = (self.rows.vector(set), self.columns.vector(vector));
        let phase = row_phase + column_phase;
        let lanes = LANES.min(self.columns.channels - column);
        for i in 0..LANES {
            let row = first_row + i;
            transform::<T, Weight, N, R>(
                #[inline(always)]
                |r, s| {
                    let [r, s] = [step * r + phase / step, step * s + phase % step];
                    let tap = (r * step * R + s) * self.rows.channels * self.columns.channels;
                    match row < self.rows.channels {
                        true => load(&self.taps[tap + row * self.columns.channels + column..][..lanes]),
                        false => Lanes::zero(),
                    }
                },
                #[inline(always)]
                |f, g, lanes| store(&lanes, &mut u[i * COLUMNS + (f * N + g) * plane..]),
            );
        }
    }
}

/// A map from one side to the other: to the frequencies by M, products with the weights, back by L.
struct Apply<'a, T, const N: usize, const R: usize> {
    level: Level,
    from: Tiled,
    weights: Weights<'a, T, N, R>,
    epilogue: Epilogue<'a, T>,
    to: Tiled,
    /// Images of a cell.
    images: usize,
}

impl<T: Element, const N: usize, const R: usize> Apply<'_, T, N, R> {
    fn run<M: Matrix<N, P>, L: Matrix<Q, N>, const P: usize, const Q: usize>(&self, input: &[T], output: &mut [T]) {
        let Apply { level, from, weights, to, images, .. } = self;
        let batch = input.len() / from.image();
        let tiles = images * from.tiles_of_image();
        let (rows, blocks) = (from.as_rows::<N>(tiles), to.as_blocks::<N>(tiles));
        let plane = blocks.plane(0);
        let output = Shared::new(output);
        let cell = |i: usize| i * images..batch.min((i + 1) * images);
        let cells = batch.div_ceil(*images);
        let analyse = |i: usize, v: &mut [T]| {
            let images = cell(i);
            let input = &input[images.start * from.image()..images.end * from.image()];
            level.vectorize(
                #[inline(always)]
                || from.analyse::<T, M, N, P>(input, v, rows),
            )
        };
        let synthesise = |i: usize, block: usize, p: &[T]| {
            level.vectorize(
                #[inline(always)]
                || to.synthesise::<T, L, N, Q>(block, p, plane, self.epilogue, output, cell(i)),
            )
        };
        let multiply = |i: usize, block: usize, sets: Range<usize>, f: usize, v: &[T], u: &[T], p: &mut [T]| {
            let product = Product {
                order: Order::RowMajor,
                terms: sets.len(),
                tiles: (cell(i).len() * from.tiles_of_image()).div_ceil(ROWS),
                vectors: to.vectors(block),
                term_step: ROWS * LANES,
                tile_steps: [sets.len() * ROWS * LANES, ROWS * COLUMNS],
                accumulate: sets.start > 0,
            };
            let chunk = sets.start / DEPTH;
            let v = &v[rows.chunk(chunk) + f * rows.plane(chunk)..];
            product.run(*level, v, &u[f * Weights::<T, N, R>::plane(sets.len())..], &mut p[f * plane..]);
        };
        if batch * from.tiles_of_image() > FEW {
            let mut u = Buffer::stale(to.blocks() * weights.block_len());
            u.par_chunks_mut(weights.block_len()).enumerate().for_each(|(block, mut u)| {
                for sets in weights.chunks() {
                    let (chunk, rest) = u.split_at_mut(N * N * Weights::<T, N, R>::plane(sets.len()));
                    weights.transform(block, sets, chunk);
                    u = rest;
                }
            });
            (0..cells).into_par_iter().for_each(|i| {
                let (mut v, mut p) = (Buffer::stale(rows.len()), Buffer::stale(N * N * plane));
                analyse(i, &mut v);
                for (block, mut u) in u.chunks_exact(weights.block_len()).enumerate() {
                    for sets in weights.chunks() {
                        let (chunk, rest) = u.split_at(N * N * Weights::<T, N, R>::plane(sets.len()));
                        (0..N * N).for_each(|f| multiply(i, block, sets.clone(), f, &v, chunk, &mut p));
                        u = rest;
                    }
                    synthesise(i, block, &p);
                }
            });
            return;
        }
        let mut v = Buffer::stale(cells * rows.len());
        v.par_chunks_mut(rows.len()).enumerate().for_each(|(i, v)| analyse(i, v));
        (0..to.blocks()).into_par_iter().for_each(|block| {
            let mut u = Buffer::stale(N * N * Weights::<T, N, R>::plane(DEPTH));
            let mut p = Buffer::stale(cells * N * N * plane);
            for sets in weights.chunks() {
                weights.transform(block, sets.clone(), &mut u);
                for f in 0..N * N {
                    let cells = v.chunks_exact(rows.len()).zip(p.chunks_exact_mut(N * N * plane)).enumerate();
                    cells.for_each(|(i, (v, p))| multiply(i, block, sets.clone(), f, v, &u, p));
                }
            }
            p.chunks_exact(N * N * plane).enumerate().for_each(|(i, p)| synthesise(i, block, p));
        });
    }
}

/// See [`conv2d_weight_grad`].
///
/// The cells are dealt out to ranges of images, whose partial sums are added up at the end in their order.
fn weight_grad<T: Element, const N: usize, const R: usize>(
    level: Level,
    shape: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) {
    let (from, to) = (Tiled::input(shape), Tiled::output(shape));
    let images = GRAD_CELL.div_ceil(from.tiles_of_image()).min(shape.batch);
    let cells_per_range = shape.batch.div_ceil(images).div_ceil(RANGES);
    let per_range = cells_per_range * images;
    let ranges = shape.batch.div_ceil(per_range);
    let tiles = images * from.tiles_of_image();
    let (rows, blocks) = (from.as_columns::<N>(tiles), to.as_blocks::<N>(tiles));
    let block_len = shape.taps() * shape.in_channels * COLUMNS;
    let mut partial = Buffer::stale(ranges * to.blocks() * block_len);
    let x_ranges = x.par_chunks(per_range * from.image());
    let y_ranges = dy.par_chunks(per_range * to.image());
    let partials = partial.par_chunks_mut(to.blocks() * block_len);
    partials.zip(x_ranges.zip(y_ranges)).for_each(|(partial, (x, dy))| {
        let mut v = Buffer::stale(cells_per_range * rows.len());
        let mut p = Buffer::stale(cells_per_range * blocks.len());
        let cells = v.par_chunks_mut(rows.len()).zip(x.par_chunks(images * from.image()));
        cells.for_each(|(v, x)| {
            rows.clear_after(x.len() / from.image() * from.tiles_of_image(), v);
            level.vectorize(
                #[inline(always)]
                || from.analyse::<T, Input, N, N>(x, v, rows),
            )
        });
        let cells = p.par_chunks_mut(blocks.len()).zip(dy.par_chunks(images * to.image()));
        cells.for_each(|(p, dy)| {
            blocks.clear_after(dy.len() / to.image() * to.tiles_of_image(), p);
            level.vectorize(
                #[inline(always)]
                || to.analyse::<T, Output, N, TILE>(dy, p, blocks),
            )
        });
        partial.par_chunks_mut(block_len).enumerate().for_each(|(block, partial)| {
            let mut u = Buffer::stale(from.width() / LANES * GradSet::<N>::LEN);
            for (i, x) in x.chunks(images * from.image()).enumerate() {
                let tiles = x.len() / from.image() * from.tiles_of_image();
                let product = Product {
                    order: Order::ColumnMajor,
                    terms: tiles.div_ceil(ROWS),
                    tiles: LANES / ROWS,
                    vectors: to.vectors(block),
                    term_step: ROWS * LANES,
                    tile_steps: [ROWS, ROWS * COLUMNS],
                    accumulate: i > 0,
                };
                let (v, p) = (&v[i * rows.len()..], &p[i * blocks.len() + blocks.chunk(block)..]);
                for f in 0..N * N {
                    for (set, u) in u.chunks_exact_mut(GradSet::<N>::LEN).enumerate() {
                        let v = &v[rows.chunk(set) + f * rows.plane(set)..];
                        product.run(level, v, &p[f * blocks.plane(block)..], &mut u[f * GradSet::<N>::PLANE..]);
                    }
                }
            }
            level.vectorize(
                #[inline(always)]
                || weights_from::<T, N, R>(from, to.vectors(block), &u, partial),
            );
        });
    });
    collect_blocks(level, shape.out_channels, &partial, ranges, dw);
}

/// How the gradient of U lies for a block of columns: for each set of 16 rows, frequency by frequency, (16, 32).
struct GradSet<const N: usize>;

impl<const N: usize> GradSet<N> {
    const PLANE: usize = LANES * COLUMNS + PAD;
    const LEN: usize = N * N * Self::PLANE;
}

/// Gᵀ U G of a block of columns, (R·step, R·step, C, 32).
#[inline(always)]
fn weights_from<T: Element, const N: usize, const R: usize>(from: Tiled, vectors: usize, u: &[T], dw: &mut [T]) {
    for (set, u) in u.chunks_exact(GradSet::<N>::LEN).enumerate() {
        let (phase, first) = from.vector(set);
        for row in 0..LANES.min(from.channels - first) {
            for column in (0..vectors * LANES).step_by(LANES) {
                let u = &u[row * COLUMNS + column..];
                transform::<T, Transposed<Weight>, R, N>(
                    #[inline(always)]
                    |i, j| load(&u[(i * N + j) * GradSet::<N>::PLANE..]),
                    #[inline(always)]
                    |r, s, lanes| {
                        let [r, s] = [from.step * r + phase / from.step, from.step * s + phase % from.step];
                        let tap = r * from.step * R + s;
                        store(&lanes, &mut dw[(tap * from.channels + first + row) * COLUMNS + column..]);
                    },
                );
            }
        }
    }
}

/// dw (rows, K) ← the sum over the ranges of partial (ranges, blocks, rows, 32).
fn collect_blocks<T: Element>(level: Level, k: usize, partial: &[T], ranges: usize, dw: &mut [T]) {
    let rows = dw.len() / k;
    let blocks = k.div_ceil(COLUMNS);
    let together = (1usize << 14).div_ceil(k);
    dw.par_chunks_mut(together * k).enumerate().for_each(|(i, dw)| {
        level.vectorize(
            #[inline(always)]
            || {
                for (row, dw) in dw.chunks_exact_mut(k).enumerate() {
                    let row = i * together + row;
                    for (block, dw) in dw.chunks_mut(COLUMNS).enumerate() {
                        let part =
                            |range: usize| &partial[((range * blocks + block) * rows + row) * COLUMNS..][..dw.len()];
                        let mut sum = [T::zero(); COLUMNS];
                        sum[..dw.len()].copy_from_slice(part(0));
                        for range in 1..ranges {
                            sum.iter_mut().zip(part(range)).for_each(|(sum, &p)| *sum += p);
                        }
                        dw.copy_from_slice(&sum[..dw.len()]);
                    }
                }
            },
        )
    });
}
