//! Winograd's convolution F(4×4, 3×3): 36 multiplications for 16 outputs of a 3×3 kernel, where the definition takes 144.
//!
//! Four outputs of a kernel of three along one axis are a bilinear map of six inputs d and three weights g, and
//!
//! ```text
//! y = Aᵀ ((G g) ⊙ (Bᵀ d))             Aᵀ (4, 6), G (6, 3), Bᵀ (6, 6)
//! ```
//!
//! for any five distinct points and infinity. It is the transpose of multiplying polynomials by interpolation: with
//! M(t) = Π (t − pᵢ), Mᵢ(t) = M(t) / (t − pᵢ) and Nᵢ = Mᵢ(pᵢ),
//!
//! ```text
//! column i of Aᵀ = (1, pᵢ, pᵢ², pᵢ³)    row i of G = (1, pᵢ, pᵢ²) / Nᵢ    row i of Bᵀ = the coefficients of Mᵢ
//! ```
//!
//! and for infinity (0, 0, 0, 1), (0, 0, 1) and the coefficients of M. In two dimensions the maps apply along both axes.
//! Summed over channels, each of the 36 frequencies f is a matrix product of its own:
//!
//! ```text
//! V[f] (tiles, C) · U[f] (C, K) = P[f] (tiles, K)         V = Bᵀ d B,  U = G g Gᵀ,  y = Aᵀ P A
//! ```
//!
//! The points 0, ±1, 2, −½ were measured to give a third less error in f32 than 0, ±1, ±2: some three times that of the
//! definition.

use rayon::prelude::*;

use super::{ConvShape, Epilogue, gemm};
use crate::kernels::{Buffer, Element, Level, matmul};

/// Outputs of a tile along one axis.
const TILE: usize = 4;

/// Weights along one axis.
const TAPS: usize = 3;

/// Inputs of a tile along one axis, and so the number of points.
const POINTS: usize = TILE + TAPS - 1;

/// The finite points; the last is infinity.
const FINITE: [f64; POINTS - 1] = [0.0, 1.0, -1.0, 2.0, -0.5];

/// Elements of V and P that are worked on together: some 8 MB of f32, so that they stay in a shared cache.
const BLOCK: usize = 1 << 21;

/// Channels that are transformed side by side.
const LANES: usize = 16;

type Lanes<T> = [T; LANES];

/// The coefficients of Π (t − pᵢ) over the finite points but `skip`, the constant first.
const fn product(skip: usize) -> [f64; POINTS] {
    let mut c = [0.0; POINTS];
    c[0] = 1.0;
    let mut i = 0;
    while i < FINITE.len() {
        if i != skip {
            let mut j = POINTS - 1;
            while j > 0 {
                c[j] = c[j - 1] - FINITE[i] * c[j];
                j -= 1;
            }
            c[0] *= -FINITE[i];
        }
        i += 1;
    }
    c
}

/// Bᵀ
const INPUT: [[f64; POINTS]; POINTS] = {
    let mut m = [[0.0; POINTS]; POINTS];
    let mut i = 0;
    while i < POINTS {
        m[i] = product(i); // For infinity, the last, nothing is skipped.
        i += 1;
    }
    m
};

/// G
const WEIGHT: [[f64; TAPS]; POINTS] = {
    let mut m = [[0.0; TAPS]; POINTS];
    m[POINTS - 1][TAPS - 1] = 1.0;
    let mut i = 0;
    while i < FINITE.len() {
        let mut scale = 1.0;
        let mut j = 0;
        while j < FINITE.len() {
            if j != i {
                scale *= FINITE[i] - FINITE[j];
            }
            j += 1;
        }
        m[i] = [1.0 / scale, FINITE[i] / scale, FINITE[i] * FINITE[i] / scale];
        i += 1;
    }
    m
};

/// Aᵀ
const OUTPUT: [[f64; POINTS]; TILE] = {
    let mut m = [[0.0; POINTS]; TILE];
    m[TILE - 1][POINTS - 1] = 1.0;
    let mut i = 0;
    while i < FINITE.len() {
        let mut power = 1.0;
        let mut j = 0;
        while j < TILE {
            m[j][i] = power;
            power *= FINITE[i];
            j += 1;
        }
        i += 1;
    }
    m
};

/// M X Mᵀ (R, R) for M (R, N) and X (N, N), all channels side by side. Zeros of M cost nothing.
#[inline(always)]
fn transform<T: Element, const R: usize, const N: usize>(
    m: &[[f64; N]; R],
    x: &[[Lanes<T>; N]; N],
) -> [[Lanes<T>; R]; R] {
    let mut columns = [[[T::zero(); LANES]; N]; R];
    for i in 0..R {
        for j in 0..N {
            columns[i][j] = combine(&m[i], |k| &x[k][j]);
        }
    }
    let mut out = [[[T::zero(); LANES]; R]; R];
    for i in 0..R {
        for j in 0..R {
            out[i][j] = combine(&m[j], |k| &columns[i][k]);
        }
    }
    out
}

/// Σₖ m[k]·x(k)
#[inline(always)]
fn combine<'a, T: Element, const N: usize>(m: &[f64; N], x: impl Fn(usize) -> &'a Lanes<T>) -> Lanes<T> {
    let mut sum = [T::zero(); LANES];
    for (k, &factor) in m.iter().enumerate() {
        if factor != 0.0 {
            let (x, factor) = (x(k), T::of(factor));
            sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * x);
        }
    }
    sum
}

/// Up to [`LANES`] channels, zeros after the last.
#[inline(always)]
fn load<T: Element>(channels: &[T]) -> Lanes<T> {
    match channels.first_chunk() {
        Some(lanes) => *lanes,
        None => std::array::from_fn(|i| channels.get(i).copied().unwrap_or_default()),
    }
}

/// The channels that exist, up to [`LANES`].
#[inline(always)]
fn store<T: Element>(lanes: &Lanes<T>, channels: &mut [T]) {
    match channels.first_chunk_mut() {
        Some(all) => *all = *lanes,
        None => channels.iter_mut().zip(lanes).for_each(|(to, &from)| *to = from),
    }
}

/// Whether the algorithm can compute this convolution.
pub fn supports(shape: &ConvShape) -> bool {
    let ones = |pair: [usize; 2]| pair == [1, 1];
    let whole =
        (0..2).all(|i| shape.padding[i] < TAPS && shape.output[i] + TAPS == shape.input[i] + 2 * shape.padding[i] + 1);
    shape.kernel == [TAPS; 2] && ones(shape.stride) && ones(shape.dilation) && shape.groups == 1 && whole
}

/// Whether the algorithm is faster than patches and products, for an output `out` of each image and channels (of input, of output).
///
/// Measured on 2 cores with AVX-512 (`speed_of_winograd_and_gemm`), forward, batch 64: 1.1 to 1.7 times as fast from
/// 64 channels on either side (64→64 @16, 64→128 @16, 256→512 @4 and @16), 0.6 to 1.0 times with 16 or 32. The weights'
/// transform wants some 64 tiles to pay, and maps that do not fill their tiles (6×6: to 56 %) waste what is won.
pub fn pays(batch: usize, out: [usize; 2], channels: [usize; 2]) -> bool {
    let tiles = out[0].div_ceil(TILE) * out[1].div_ceil(TILE);
    let filled = out[0] * out[1] * 10 >= tiles * TILE * TILE * 7;
    channels.iter().all(|&c| c >= 64) && batch * tiles >= 64 && filled
}

/// See [`super::conv2d`]; `shape` is one that [`supports`] admits.
pub fn conv2d<T: Element>(level: Level, shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    let (c, k) = (shape.in_channels, shape.out_channels);
    if y.is_empty() || c == 0 {
        return gemm::conv2d(level, shape, x, w, epilogue, y);
    }
    let weights = transform_weights(level, [c, k], w);
    let tiles = shape.output.map(|n| n.div_ceil(TILE)); // in an image, vertically and horizontally
    let per_row = POINTS * POINTS * tiles[1];
    let together = (BLOCK / (per_row * (c + k))).max(1); // rows of tiles
    let mut rows = tile_rows(shape, y);
    for (block, rows) in rows.chunks_mut(together).enumerate() {
        let first = block * together;
        let count = rows.len() * tiles[1];
        let mut inputs = Buffer::stale(rows.len() * per_row * c);
        inputs.par_chunks_mut(per_row * c).enumerate().for_each(|(i, v)| {
            let (image, row) = ((first + i) / tiles[0], (first + i) % tiles[0]);
            level.vectorize(
                #[inline(always)]
                || transform_inputs(shape, x, image, row, v),
            );
        });
        // A line between the planes keeps them out of each other's cache sets.
        let plane = count * k + LANES;
        let mut products = Buffer::stale(POINTS * POINTS * plane);
        products.par_chunks_mut(plane).enumerate().for_each(|(f, p)| {
            let v = (&inputs[f * c..], [POINTS * POINTS * c, 1]);
            let u = (&weights[f * k..], [POINTS * POINTS * k, 1]);
            matmul::gemm(level, [count, c, k], v, u, false, p, k);
        });
        rows.par_iter_mut().enumerate().for_each(|(i, y)| {
            level.vectorize(
                #[inline(always)]
                || transform_outputs(shape.output[1], k, (&products, plane), i * tiles[1], y),
            );
            epilogue.apply(level, y);
        });
    }
}

/// See [`super::conv2d_input_grad`]: the adjoint of a convolution of stride 1 is the convolution with the kernel turned
/// around, C and K exchanged, and what the padding lacks of 2 as padding.
pub fn conv2d_input_grad<T: Element>(
    level: Level,
    shape: &ConvShape,
    dy: &[T],
    w: &[T],
    epilogue: Epilogue<T>,
    dx: &mut [T],
) {
    conv2d(level, &gemm::adjoint(shape), dy, &gemm::turned_weights(level, shape, w), epilogue, dx);
}

/// y (N, OH, OW, K) cut into the rows of pixels that rows of tiles make: four, or fewer at the end of an image.
fn tile_rows<'a, T>(shape: &ConvShape, y: &'a mut [T]) -> Vec<&'a mut [T]> {
    let row = shape.output[1] * shape.out_channels;
    y.chunks_mut(shape.output[0] * row).flat_map(|image| image.chunks_mut(TILE * row)).collect()
}

/// U (C, 36, K) = G g Gᵀ of the weights (3, 3, C, K).
fn transform_weights<T: Element>(level: Level, [c, k]: [usize; 2], w: &[T]) -> Buffer<T> {
    let mut weights = Buffer::stale(POINTS * POINTS * c * k);
    weights.par_chunks_mut(POINTS * POINTS * k).enumerate().for_each(|(ci, u)| {
        level.vectorize(
            #[inline(always)]
            || {
                for first in (0..k).step_by(LANES) {
                    let end = (first + LANES).min(k);
                    let tap = |r: usize, s: usize| load(&w[((r * TAPS + s) * c + ci) * k..][first..end]);
                    let g = std::array::from_fn(|r| std::array::from_fn(|s| tap(r, s)));
                    for (f, lanes) in transform(&WEIGHT, &g).as_flattened().iter().enumerate() {
                        store(lanes, &mut u[f * k..][first..end]);
                    }
                }
            },
        )
    });
    weights
}

/// V (tiles, 36, C) = Bᵀ d B for one row of tiles of one image of x (N, H, W, C).
#[inline(always)]
fn transform_inputs<T: Element>(shape: &ConvShape, x: &[T], image: usize, row: usize, v: &mut [T]) {
    let (c, [height, width]) = (shape.in_channels, shape.input);
    let x = &x[image * height * width * c..][..height * width * c];
    for (column, v) in v.chunks_exact_mut(POINTS * POINTS * c).enumerate() {
        // Beyond the map on either side: wraps to something large, or is large.
        let top = (row * TILE).wrapping_sub(shape.padding[0]);
        let left = (column * TILE).wrapping_sub(shape.padding[1]);
        for first in (0..c).step_by(LANES) {
            let end = (first + LANES).min(c);
            let mut d = [[[T::zero(); LANES]; POINTS]; POINTS];
            for (i, d) in d.iter_mut().enumerate() {
                let i = top.wrapping_add(i);
                for (j, d) in d.iter_mut().enumerate() {
                    let j = left.wrapping_add(j);
                    if i < height && j < width {
                        *d = load(&x[(i * width + j) * c..][first..end]);
                    }
                }
            }
            for (f, lanes) in transform(&INPUT, &d).as_flattened().iter().enumerate() {
                store(lanes, &mut v[f * c..][first..end]);
            }
        }
    }
}

/// One row of tiles of y (≤ 4, OW, K) = Aᵀ P A, from P (36, tiles, K) with its planes `plane` apart, where the tiles of
/// the row begin at number `at`.
#[inline(always)]
fn transform_outputs<T: Element>(width: usize, k: usize, (p, plane): (&[T], usize), at: usize, y: &mut [T]) {
    let height = y.len() / (width * k);
    for column in 0..width.div_ceil(TILE) {
        for first in (0..k).step_by(LANES) {
            let end = (first + LANES).min(k);
            let product = |f: usize| load(&p[f * plane + (at + column) * k..][first..end]);
            let p = std::array::from_fn(|i| std::array::from_fn(|j| product(i * POINTS + j)));
            let tile = transform(&OUTPUT, &p);
            for (i, tile) in tile.iter().enumerate().take(height) {
                for (j, lanes) in tile.iter().enumerate().take(width - column * TILE) {
                    store(lanes, &mut y[(i * width + column * TILE + j) * k..][first..end]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every product dᵢ·gⱼ must reach the output i − j with factor 1 and no other, up to the rounding of 1/Nᵢ.
    #[test]
    fn the_matrices_are_those_of_a_convolution() {
        for i in 0..TAPS * POINTS {
            let (tap, input) = (i / POINTS, i % POINTS);
            for (out, row) in OUTPUT.iter().enumerate() {
                let factor: f64 = (0..POINTS).map(|f| row[f] * WEIGHT[f][tap] * INPUT[f][input]).sum();
                let want = if out + tap == input { 1.0 } else { 0.0 };
                assert!((factor - want).abs() < 1e-14, "tap {tap}, input {input}, output {out}: {factor}");
            }
        }
    }
}
