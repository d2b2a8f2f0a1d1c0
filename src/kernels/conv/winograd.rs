//! Winograd's convolution with tiles of 4×4 outputs: F(4×4, 3×3) for kernels of 3×3 and stride 1, F(4×4, 2×2) for
//! kernels of 4×4 and stride 2; all three maps. After Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks" (CVPR 2016, arXiv:1509.09308), who treat the first of the two.
//!
//! ```text
//! conv2d with many tiles:
//! U ← the weights                                     for each block of 32 columns, in parallel
//! for each cell of up to 32 tiles, in parallel        V stays in the L2 cache
//!   V ← the pixels of x
//!   for each block of 32 columns of y
//!     for each chunk of 128 rows of U                 16 KiB for each frequency: the L1 cache
//!       for each frequency f
//!         P[f] += V[f] · U[f]                         kernels/gemm/blocks.rs
//!     y ← P                                           P, fresh in the cache
//!
//! conv2d with few tiles:
//! V ← the pixels of x                                 for each cell, in parallel
//! for each block of 32 columns of y, in parallel
//!   for each chunk of 128 rows of U
//!     U ← the weights of this chunk and block         never all in memory at once
//!     for each cell
//!       for each frequency f
//!         P[f] += V[f] · U[f]
//!   y ← P                                             for each cell
//!
//! conv2d_weight_grad:
//! for each range of the images, in parallel           some 64 tiles
//!   P ← the pixels of dy
//!   for each 64 channels of x, in parallel
//!     V ← the pixels of x
//!     for each block of 32 channels of dy
//!       for each frequency f
//!         U[f] ← V[f]ᵀ · P[f]
//!       dw of the range ← U
//! dw ← the sum over the ranges, in their order
//! ```
//!
//! and `conv2d_input_grad` as `conv2d`, with dy, dx and Uᵀ in place of x, y and U.
//!
//! # The algorithm
//! Four outputs of a kernel of R taps along one axis are a bilinear map of N = R + 3 inputs d and R weights g, and
//!
//! ```text
//! y = Aᵀ ((G g) ⊙ (Bᵀ d))             Aᵀ (4, N), G (N, R), Bᵀ (N, N)
//! ```
//!
//! for any N − 1 distinct points and infinity (see `matrices.rs`). In two dimensions the matrices apply along both
//! axes. Summed over channels, each of the N² *frequencies* f is a matrix product of its own. Since the whole is a
//! bilinear map of x and w, paired with dy, its adjoints are made of the same matrices, transposed:
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
//! # Memory
//! Which of the two loop nests runs is a matter of the weights: where there are so few tiles that transforming all
//! weights first, and reading U from memory, would be the larger part of the work, each block of them is used as soon
//! as it is transformed. All operands lie as the register tile reads them (`layout.rs`, `kernels/gemm/blocks.rs`).
//!
//! # Accuracy
//! One to five times the error of the definition in f32, 1e-6 to 4e-6 of the norm. f64, which checks gradients, never
//! comes here. The outputs of a tile share their rounding: where the definition gives exactly 0, in an output that sees
//! only padding, there may be an error of the size of its neighbours', and a NaN or an infinity in x may reach all
//! outputs of the tiles that it is part of.

#[cfg(feature = "opencl")]
pub mod device;
mod layout;
mod matrices;
mod tiles;
mod transform;
mod weight_grad;
mod weights;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use self::layout::{Layout, PAD};
use self::matrices::{Input, Matrix, Output, TILE, Transposed};
use self::tiles::{Analyse, Synthesise, Tiled};
use self::weight_grad::WeightGrad;
use self::weights::{TransformWeights, Weights};
use super::{ConvShape, Epilogue};
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{BLOCK_COLUMNS, BLOCK_ROWS, Order, Product, SET};
use crate::kernels::shared::Shared;
use crate::kernels::simd::{self, Simd, WithSimd};
use crate::kernels::{Buffer, Level};

/// Tiles of a cell, where there are so many: two to four register tiles that share B. With up to eight register tiles,
/// input gradients took 1 % longer.
const CELL_TILES: [usize; 2] = [16, 32];

/// Bytes that V may take in a cell: half of an L2 cache of 2 MiB. 1.5 MiB made no difference.
const CELL_BYTES: usize = 1 << 20;

/// So many cells at least, where there are enough tiles, so that the threads have equal shares.
const LEAST_CELLS: usize = 8;

/// Sets of a chunk: of 16 channels each, over which a product sums at a time. They are 16 KiB of the right operand,
/// which stay in the L1 cache. With 12 sets a training step took 5 % longer on one thread.
const CHUNK_SETS: usize = 8;

/// Up to how many tiles the weights are transformed block by block. With 255 a training step took 3 % longer.
const FEW_TILES: usize = 512;

/// Whether the algorithm can compute this convolution.
pub fn supports(shape: &ConvShape) -> bool {
    let form = (shape.kernel, shape.stride);
    let known = form == ([3, 3], [1, 1]) || form == ([4, 4], [2, 2]);
    let empty = shape.x_len() == 0 || shape.y_len() == 0;
    known && shape.dilation == [1, 1] && shape.groups == 1 && !empty
}

/// Whether the algorithm is faster than patches and products, for a map from some channels to others.
///
/// Speed-up over `patches.rs` in the forward map, the gradient of the input and that of the weights, measured on one
/// thread with AVX-512, with as many channels on both sides (`benches/convolution.rs`):
///
/// | channels | 3×3, 64 images of 4×4 | of 6×6 | of 12×12 | 4×4 stride 2 to 4×4 | to 6×6 | to 12×12 |
/// |---|---|---|---|---|---|---|
/// | 8 | 0.9 0.6 0.6 | 0.5 0.3 0.3 | 0.8 0.5 0.5 | 0.7 0.9 0.6 | 0.4 0.5 0.4 | 0.6 0.7 0.5 |
/// | 16 | 1.4 0.9 1.0 | 0.9 0.5 0.6 | 1.6 0.9 1.0 | 1.4 1.4 1.3 | 0.8 0.8 0.8 | 1.4 1.2 1.2 |
/// | 32 | 1.7 1.2 1.5 | 1.1 0.7 0.8 | 1.9 1.3 1.2 | 1.6 1.4 1.6 | 1.0 0.9 1.0 | 1.5 1.4 1.4 |
/// | 64 | 2.0 1.5 2.0 | 1.2 1.0 0.9 | 2.4 1.8 1.7 | 1.7 1.6 1.9 | 1.0 1.0 1.0 | 1.7 1.8 1.6 |
/// | 128 | 1.7 1.8 2.8 | 1.5 1.3 1.4 | | 1.6 1.6 2.2 | 1.1 1.1 1.2 | |
///
/// From 16 tiles on the transform of the weights pays (1.0 to 1.4 times as fast), and maps must fill 0.7 of their
/// tiles: maps of 6×6 fill 0.56, of 7×7 0.77 (1.1 to 1.9 times as fast from 32 channels on).
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
        [1, 1] => {
            Apply::<6, 3>::new(level, from, w, false, epilogue, to).run::<Input, Transposed<Output>, 6, TILE>(x, y)
        }
        _ => Apply::<5, 2>::new(level, from, w, false, epilogue, to).run::<Input, Transposed<Output>, 5, TILE>(x, y),
    }
}

/// See [`super::conv2d_input_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_input_grad(level: Level, shape: &ConvShape, dy: &[f32], w: &[f32], bias: Option<&[f32]>, dx: &mut [f32]) {
    let (from, to, epilogue) = (Tiled::output(shape), Tiled::input(shape), Epilogue::bias(bias));
    match shape.stride {
        [1, 1] => {
            Apply::<6, 3>::new(level, from, w, true, epilogue, to).run::<Output, Transposed<Input>, TILE, 6>(dy, dx)
        }
        _ => Apply::<5, 2>::new(level, from, w, true, epilogue, to).run::<Output, Transposed<Input>, TILE, 5>(dy, dx),
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

/// A map from one side to the other: to the frequencies by the matrix M, products with the weights, back by the matrix
/// L.
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
    fn new(level: Level, from: Tiled, taps: &'a [f32], adjoint: bool, epilogue: Epilogue<'a, f32>, to: Tiled) -> Self {
        Apply { level, from, weights: Weights { taps, adjoint, rows: from, columns: to }, epilogue, to }
    }

    fn run<M: Matrix<N, P>, L: Matrix<Q, N>, const P: usize, const Q: usize>(&self, input: &[f32], output: &mut [f32]) {
        let cells = self.cells(input.len() / self.from.image());
        if Q > TILE && !self.to.is_covered(Q - TILE) {
            // Pixels that no square reaches, because no tap of any output sees them.
            match self.epilogue.bias {
                Some(bias) => output.chunks_exact_mut(bias.len()).for_each(|pixel| pixel.copy_from_slice(bias)),
                None => output.fill(0.0),
            }
        }
        let output = Shared::new(output);
        if cells.batch * self.from.tiles_of_image() > FEW_TILES {
            self.run_by_cells::<M, L, P, Q>(cells, input, output);
        } else {
            self.run_by_blocks::<M, L, P, Q>(cells, input, output);
        }
    }

    fn cells(&self, batch: usize) -> Cells {
        let (of_image, width) = (self.from.tiles_of_image(), self.from.width());
        let tiles = (CELL_BYTES / (N * N * width * size_of::<f32>())).clamp(CELL_TILES[0], CELL_TILES[1]);
        let cells = batch.div_ceil((tiles / of_image).max(1)).next_multiple_of(LEAST_CELLS);
        // A group of 8 tiles is computed whole, however few of them there are.
        let images = batch.div_ceil(cells).max(BLOCK_ROWS.div_ceil(of_image)).min(batch);
        let groups = (images * of_image).div_ceil(BLOCK_ROWS);
        let v = Layout { width, groups, frequencies: N * N, strip: SET, strips: CHUNK_SETS };
        Cells { batch, images, v, p_plane: groups * BLOCK_ROWS * BLOCK_COLUMNS + PAD }
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
            let images = cells.images_of(cell);
            let (start, len) = (images.start * self.to.image(), images.len() * self.to.image());
            // SAFETY: no other task has the images of this cell; nor will one, while the blocks write them.
            fetch::in_order(unsafe { output.part(start, len) });
            for (block, u) in u.chunks_exact(weights.block_len()).enumerate() {
                for (sets, start) in weights.chunks() {
                    let (v, p) = (&v, &mut p[..]);
                    simd::run(self.level, Multiply { apply: self, cells, cell, block, sets, v, u: &u[start..], p });
                }
                // SAFETY: no other task has the images of this cell.
                unsafe { self.synthesise::<L, Q>(cells, cell, block, &p, output) };
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
            let mut u = Buffer::stale(N * N * Weights::<N, R>::plane(CHUNK_SETS));
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
                // SAFETY: no other task has this block of columns, in any image.
                unsafe { self.synthesise::<L, Q>(cells, cell, block, p, output) };
            }
        });
    }

    fn analyse<M: Matrix<N, P>, const P: usize>(&self, cells: Cells, cell: usize, input: &[f32], v: &mut [f32]) {
        let (map, range) = (self.from, cells.images_of(cell));
        let images = &input[range.start * map.image()..range.end * map.image()];
        fetch::in_order(images);
        let sets = 0..map.sets();
        let matrix = PhantomData::<M>;
        simd::run(self.level, Analyse { map, images, sets, layout: cells.v, frequencies: v, matrix });
    }

    /// The images of a cell, in a block of columns, from their frequencies.
    ///
    /// # Safety
    /// Nobody else may hold the images of the cell in the channels, and phases, of this block meanwhile.
    unsafe fn synthesise<L: Matrix<Q, N>, const Q: usize>(
        &self,
        cells: Cells,
        cell: usize,
        block: usize,
        p: &[f32],
        output: Shared<f32>,
    ) {
        let range = cells.images_of(cell);
        // SAFETY: the caller's promise.
        let synthesise =
            unsafe { Synthesise::<L, N, Q>::new(self.to, block, (p, cells.p_plane), self.epilogue, output, range) };
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

impl<const N: usize, const R: usize> WithSimd for Multiply<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Multiply { apply, cells, cell, block, sets, v, u, p } = self;
        let product = Product {
            order: Order::RowMajor,
            terms: sets.len(),
            tiles: [1, (cells.images_of(cell).len() * apply.from.tiles_of_image()).div_ceil(BLOCK_ROWS)],
            column_sets: apply.to.sets_of(block).len(),
            term_step: BLOCK_ROWS * SET,
            a_steps: [0, sets.len() * BLOCK_ROWS * SET],
            c_steps: [0, BLOCK_ROWS * BLOCK_COLUMNS],
            accumulate: sets.start > 0,
        };
        let chunk = sets.start / CHUNK_SETS;
        for f in 0..N * N {
            let v = &v[cells.v.chunk(chunk) + f * cells.v.plane(chunk)..];
            product.run(simd, v, &u[f * Weights::<N, R>::plane(sets.len())..], &mut p[f * cells.p_plane..]);
        }
    }
}
