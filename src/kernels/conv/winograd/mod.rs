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
mod matrices;
mod tiles;

use rayon::prelude::*;

use self::lanes::{LANES, load, store, transform};
use self::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use self::tiles::{BLOCK, Layout, Tiled};
use super::{ConvShape, Epilogue, gemm};
use crate::kernels::{Buffer, Element, Level, matmul};

/// Tiles of a cell, at least, where there are so many.
const CELL: usize = 64;

/// Up to how many tiles the weights are transformed block by block.
const FEW: usize = 128;

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
        apply::<T, Input, Transposed<Output>, N, R, N, TILE>(level, from, x, weights, epilogue, to, y);
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
        apply::<T, Output, Transposed<Input>, N, R, TILE, N>(level, from, dy, weights, epilogue, to, dx);
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

    fn blocks(&self) -> usize {
        self.width().div_ceil(BLOCK)
    }

    /// The columns of each block: [`BLOCK`], or half as many in the last.
    fn columns(&self, block: usize) -> usize {
        BLOCK.min(self.width() - block * BLOCK)
    }

    /// Images of a cell of some `tiles` tiles.
    fn images_for(&self, tiles: usize) -> usize {
        tiles.div_ceil(self.tiles[0] * self.tiles[1])
    }

    /// Tiles of some images with so many elements.
    fn tiles_of(&self, elements: usize) -> usize {
        elements / self.image() * self.tiles[0] * self.tiles[1]
    }

    /// The left operand of a product: tile by tile, with a line between tiles and one between planes, so that powers of
    /// two do not crowd in one set of the cache.
    fn as_rows(&self, tiles: usize) -> Layout {
        let tile = self.width() + LANES;
        Layout { plane: tiles * tile + LANES, tile, block: BLOCK }
    }

    /// A right operand or a product: block by block.
    fn in_blocks<const N: usize>(&self, tiles: usize) -> Layout {
        let plane = tiles * BLOCK + LANES;
        Layout { plane, tile: BLOCK, block: N * N * plane }
    }
}

/// From one frequency of a block of weights (rows, 32) to the next: a line lies between, as in [`Tiled::as_rows`].
fn weights_plane(rows: Tiled) -> usize {
    rows.width() * BLOCK + LANES
}

/// The weights of all taps (R·step, R·step, rows, columns), where the phases belong to one of the two sides.
#[derive(Clone, Copy)]
struct Weights<'a, T, const N: usize, const R: usize> {
    level: Level,
    taps: &'a [T],
    rows: Tiled,
    columns: Tiled,
}

impl<T: Element, const N: usize, const R: usize> Weights<'_, T, N, R> {
    /// Elements of a transformed block.
    fn block_len(&self) -> usize {
        N * N * weights_plane(self.rows)
    }

    /// U = G g Gᵀ of a block of columns, (N², rows, 32).
    fn transform_block(&self, block: usize, u: &mut [T]) {
        self.level.vectorize(
            #[inline(always)]
            || {
                for phase in 0..self.rows.step * self.rows.step {
                    let rows = &mut u[phase * self.rows.phase() * BLOCK..];
                    self.transform_phase(phase, block, rows);
                }
            },
        );
    }

    /// [`Self::transform_block`] for the rows of one phase.
    #[inline(always)]
    fn transform_phase(&self, phase: usize, block: usize, u: &mut [T]) {
        let (step, plane) = (self.rows.step.max(self.columns.step), weights_plane(self.rows));
        // For each vector of columns: its channels, and where each tap of its kernel begins.
        let mut vectors = [const { (0..0, [[0; R]; R]) }; BLOCK / LANES];
        let count = self.columns.columns(block) / LANES;
        for (i, (channels, taps)) in vectors.iter_mut().enumerate().take(count) {
            let column = block * BLOCK + i * LANES;
            let phase = phase + column / self.columns.phase();
            let first = column % self.columns.phase();
            *channels = first..self.columns.channels.min(first + LANES);
            for (r, taps) in taps.iter_mut().enumerate() {
                for (s, tap) in taps.iter_mut().enumerate() {
                    let [r, s] = [step * r + phase / step, step * s + phase % step];
                    *tap = (r * step * R + s) * self.rows.channels * self.columns.channels;
                }
            }
        }
        for row in 0..self.rows.phase() {
            for (i, (channels, taps)) in vectors.iter().enumerate().take(count) {
                let out = &mut u[row * BLOCK + i * LANES..];
                transform::<T, Weight, N, R>(
                    #[inline(always)]
                    |r, s| match row < self.rows.channels {
                        true => load(&self.taps[taps[r][s] + row * self.columns.channels..][channels.clone()]),
                        false => [T::zero(); LANES],
                    },
                    #[inline(always)]
                    |i, j, lanes| store(&lanes, &mut out[(i * N + j) * plane..]),
                );
            }
        }
    }
}

/// A map from one side to the other: to the frequencies by M, products with the weights, back by L.
#[allow(clippy::too_many_arguments)]
fn apply<
    T: Element,
    M: Matrix<N, P>,
    L: Matrix<Q, N>,
    const N: usize,
    const R: usize,
    const P: usize,
    const Q: usize,
>(
    level: Level,
    from: Tiled,
    input: &[T],
    weights: Weights<T, N, R>,
    epilogue: Epilogue<T>,
    to: Tiled,
    output: &mut [T],
) {
    let total = from.tiles_of(input.len());
    let images = from.images_for(CELL).min(input.len() / from.image());
    let tiles = from.tiles_of(images * from.image());
    let (rows, blocks) = (from.as_rows(tiles), to.in_blocks::<N>(tiles));
    let (rows_len, blocks_len) = (N * N * rows.plane, to.blocks() * blocks.block);
    let analyse = |input: &[T], v: &mut [T]| {
        level.vectorize(
            #[inline(always)]
            || from.analyse::<T, M, N, P>(input, v, rows),
        )
    };
    let synthesise = |p: &[T], layout: Layout, output: &mut [T]| {
        level.vectorize(
            #[inline(always)]
            || to.synthesise::<T, L, N, Q>(p, layout, epilogue.bias, output),
        )
    };
    let multiply = |v: &[T], u: &[T], block: usize, f: usize, tiles: usize, p: &mut [T]| {
        let size = [tiles, from.width(), to.columns(block)];
        let v = (&v[f * rows.plane..], [rows.tile, 1]);
        let u = (&u[f * weights_plane(from)..], [BLOCK, 1]);
        matmul::gemm(level, size, v, u, false, &mut p[f * blocks.plane..], BLOCK);
    };
    let inputs = input.par_chunks(images * from.image());
    let outputs = output.par_chunks_mut(images * to.image());
    if total > FEW {
        let mut u = Buffer::stale(to.blocks() * weights.block_len());
        u.par_chunks_mut(weights.block_len()).enumerate().for_each(|(block, u)| weights.transform_block(block, u));
        inputs.zip(outputs).for_each(|(input, output)| {
            let (mut v, mut p) = (Buffer::stale(rows_len), Buffer::stale(blocks_len));
            analyse(input, &mut v);
            for f in 0..N * N {
                let blocks = u.chunks_exact(weights.block_len()).zip(p.chunks_exact_mut(blocks.block));
                for (block, (u, p)) in blocks.enumerate() {
                    multiply(&v, u, block, f, from.tiles_of(input.len()), p);
                }
            }
            synthesise(&p, blocks, output);
        });
        return;
    }
    let cells = inputs.len();
    let mut v = Buffer::stale(cells * rows_len);
    v.par_chunks_mut(rows_len).zip(inputs).for_each(|(v, input)| analyse(input, v));
    let mut p = Buffer::stale(cells * blocks_len);
    p.par_chunks_mut(cells * blocks.block).enumerate().for_each(|(block, p)| {
        let mut u = Buffer::stale(weights.block_len());
        weights.transform_block(block, &mut u);
        for f in 0..N * N {
            for (cell, p) in p.chunks_exact_mut(blocks.block).enumerate() {
                multiply(&v[cell * rows_len..], &u, block, f, tiles.min(total - cell * tiles), p);
            }
        }
    });
    let layout = Layout { block: cells * blocks.block, ..blocks };
    outputs.enumerate().for_each(|(cell, output)| synthesise(&p[cell * blocks.block..], layout, output));
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
    let images = from.images_for(GRAD_CELL).min(shape.batch);
    let cells_per_range = shape.batch.div_ceil(images).div_ceil(RANGES);
    let per_range = cells_per_range * images;
    let ranges = shape.batch.div_ceil(per_range);
    let tiles = from.tiles_of(images * from.image());
    let (rows, blocks) = (from.as_rows(tiles), to.in_blocks::<N>(tiles));
    let rows_len = N * N * rows.plane;
    let block_len = shape.taps() * shape.in_channels * BLOCK;
    let mut partial = Buffer::stale(ranges * to.blocks() * block_len);
    let x_ranges = x.par_chunks(per_range * from.image());
    let y_ranges = dy.par_chunks(per_range * to.image());
    let partials = partial.par_chunks_mut(to.blocks() * block_len);
    partials.zip(x_ranges.zip(y_ranges)).for_each(|(partial, (x, dy))| {
        let mut v = Buffer::stale(cells_per_range * rows_len);
        let mut p = Buffer::stale(cells_per_range * to.blocks() * blocks.block);
        let cells = v.par_chunks_mut(rows_len).zip(x.par_chunks(images * from.image()));
        cells.for_each(|(v, x)| {
            level.vectorize(
                #[inline(always)]
                || from.analyse::<T, Input, N, N>(x, v, rows),
            )
        });
        let cells = p.par_chunks_mut(to.blocks() * blocks.block).zip(dy.par_chunks(images * to.image()));
        cells.for_each(|(p, dy)| {
            level.vectorize(
                #[inline(always)]
                || to.analyse::<T, Output, N, TILE>(dy, p, blocks),
            )
        });
        partial.par_chunks_mut(block_len).enumerate().for_each(|(block, partial)| {
            let columns = to.columns(block);
            let mut u = Buffer::stale(N * N * weights_plane(from));
            for (f, u) in u.chunks_exact_mut(weights_plane(from)).enumerate() {
                for (cell, x) in x.chunks(images * from.image()).enumerate() {
                    let size = [from.width(), from.tiles_of(x.len()), columns];
                    let v = (&v[cell * rows_len + f * rows.plane..], [1, rows.tile]);
                    let p = &p[(cell * to.blocks() + block) * blocks.block + f * blocks.plane..];
                    matmul::gemm(level, size, v, (p, [BLOCK, 1]), cell > 0, u, BLOCK);
                }
            }
            level.vectorize(
                #[inline(always)]
                || weights_from::<T, N, R>(from, columns, &u, partial),
            );
        });
    });
    collect_blocks(level, shape.out_channels, &partial, ranges, dw);
}

/// Gᵀ U G of a block of columns, (R·step, R·step, C, 32), from U (N², phases and C, 32).
#[inline(always)]
fn weights_from<T: Element, const N: usize, const R: usize>(from: Tiled, columns: usize, u: &[T], dw: &mut [T]) {
    let plane = weights_plane(from);
    for phase in 0..from.step * from.step {
        for channel in 0..from.channels {
            for column in (0..columns).step_by(LANES) {
                let u = &u[(phase * from.phase() + channel) * BLOCK + column..];
                transform::<T, Transposed<Weight>, R, N>(
                    #[inline(always)]
                    |i, j| load(&u[(i * N + j) * plane..]),
                    #[inline(always)]
                    |r, s, lanes| {
                        let [r, s] = [from.step * r + phase / from.step, from.step * s + phase % from.step];
                        let tap = r * from.step * R + s;
                        store(&lanes, &mut dw[(tap * from.channels + channel) * BLOCK + column..]);
                    },
                );
            }
        }
    }
}

/// dw (rows, K) ← the sum over the ranges of partial (ranges, blocks, rows, 32).
fn collect_blocks<T: Element>(level: Level, k: usize, partial: &[T], ranges: usize, dw: &mut [T]) {
    let rows = dw.len() / k;
    let blocks = k.div_ceil(BLOCK);
    let together = (1usize << 14).div_ceil(k);
    dw.par_chunks_mut(together * k).enumerate().for_each(|(i, dw)| {
        level.vectorize(
            #[inline(always)]
            || {
                for (row, dw) in dw.chunks_exact_mut(k).enumerate() {
                    let row = i * together + row;
                    for (block, dw) in dw.chunks_mut(BLOCK).enumerate() {
                        let part =
                            |range: usize| &partial[((range * blocks + block) * rows + row) * BLOCK..][..dw.len()];
                        let mut sum = [T::zero(); BLOCK];
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
