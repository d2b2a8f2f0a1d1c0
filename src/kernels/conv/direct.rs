//! Convolution of a few channels, as pictures have, without gathering patches.
//!
//! What an output pixel sees in one row of x, S·C numbers, lies side by side, and what the next pixel sees lies
//! stride·C numbers further on. Let z be x with zeros around it. Its rows are at once the matrices of patches that
//! `patches.rs` would gather, except that the rows of these matrices overlap:
//!
//! ```text
//! y[p, q, k]  = Σ_r Σ_{i<S·C}  z[p·stride + r·dilation, q·stride·C + i] · w[r, i, k]        w (R, S·C, K)
//! dw[r, i, k] = Σ_{p,q}        z[p·stride + r·dilation, q·stride·C + i] · dy[p, q, k]
//! ```
//!
//! The first is a product for each row of pixels, summed over r; the second one for each r, summed over rows of pixels,
//! a few of them at a time, so that dy is fetched to the L1 cache once for all taps.
//!
//! Where the output has the few channels and the stride is 1, the adjoints in x and w are these maps of the adjoint
//! convolution (`conv::adjoint`): dx is the convolution of dy with the flipped kernel, and the flipped dw is its weight
//! gradient, with x and dy in each other's place.

use std::ops::Range;

use rayon::prelude::*;

use super::{ConvShape, Epilogue, adjoint, adjoint_weights, thin};
use crate::kernels::gemm::strided::{COLUMN_UNIT, Strided};
use crate::kernels::parallel::{PIXELS, Partition, sum_halves};
use crate::kernels::{Buffer, Level};

/// Output pixels of a task, if an image has so many.
const TASK_PIXELS: usize = 1024;

/// Elements of dy that are multiplied by all taps at a time: 24 KiB of the L1 cache.
const NEAR_ELEMENTS: usize = 6 * 1024;

/// Whether the algorithm can compute y and dw of this convolution.
pub fn supports(shape: &ConvShape) -> bool {
    let empty = shape.x_len() == 0 || shape.y_len() == 0 || shape.w_len() == 0;
    shape.groups == 1 && shape.dilation[1] == 1 && shape.out_channels.is_multiple_of(COLUMN_UNIT) && !empty
}

/// Whether it can, and is faster than gathering patches. Speed-up over `patches.rs` in the forward map and in the
/// weight gradient, measured on one thread with AVX-512 (Zen 5, batch 64, maps of 32×32):
///
/// | channels | 3×3 to 16 | 3×3 to 64 | 4×4 stride 2 to 16 | 4×4 stride 2 to 64 |
/// |---|---|---|---|---|
/// | 1 | 3.9 3.4 | 2.2 2.5 | 2.5 2.7 | 1.9 1.9 |
/// | 3 | 2.7 2.2 | 1.6 1.8 | 1.9 1.9 | 1.4 1.5 |
/// | 8 | 1.8 1.8 | 1.2 1.3 | 1.6 1.5 | 1.2 1.2 |
/// | 15 | 1.8 1.6 | 1.2 1.2 | 1.4 1.3 | 1.1 1.1 |
///
/// From 16 channels on Winograd's algorithm may pay, which is faster still.
pub fn pays(shape: &ConvShape) -> bool {
    supports(shape) && shape.in_channels < COLUMN_UNIT
}

/// Whether it can compute the adjoints in x and w of this convolution, as maps of the adjoint one, and is faster.
pub fn adjoint_pays(shape: &ConvShape) -> bool {
    thin::supports(shape) && pays(&adjoint(shape))
}

/// z, which is x with zeros around it, as far as some rows of outputs see it: the step from one row to the next, and
/// the rows.
fn padded(shape: &ConvShape, image: &[f32], outputs: Range<usize>) -> (usize, Buffer<f32>) {
    let (c, [height, width], [above, before]) = (shape.in_channels, shape.input, shape.padding);
    let seen = (shape.output[1] - 1) * shape.stride[1] + shape.kernel[1];
    let rows = (outputs.len() - 1) * shape.stride[0] + (shape.kernel[0] - 1) * shape.dilation[0] + 1;
    let inside = before.min(seen)..(before + width).min(seen);
    let mut padded = Buffer::stale(rows * seen * c);
    for (i, row) in padded.chunks_exact_mut(seen * c).enumerate() {
        let at = (outputs.start * shape.stride[0] + i).wrapping_sub(above);
        if at >= height || inside.is_empty() {
            row.fill(0.0);
            continue;
        }
        row[..inside.start * c].fill(0.0);
        row[inside.start * c..inside.end * c].copy_from_slice(&image[at * width * c..][..inside.len() * c]);
        row[inside.end * c..].fill(0.0);
    }
    (seen * c, padded)
}

/// See [`super::conv2d`]; `shape` is one that [`supports`] admits.
pub fn conv2d(level: Level, shape: &ConvShape, x: &[f32], w: &[f32], epilogue: Epilogue<f32>, y: &mut [f32]) {
    let (c, k, [height, width]) = (shape.in_channels, shape.out_channels, shape.output);
    let rows_per_task = (TASK_PIXELS / width).clamp(1, height);
    let images = y.par_chunks_mut(height * width * k).zip(x.par_chunks(shape.input[0] * shape.input[1] * c));
    let tasks = images.flat_map(|(y, x)| y.par_chunks_mut(rows_per_task * width * k).enumerate().map(move |t| (t, x)));
    tasks.for_each(|((i, y), image)| {
        let first = i * rows_per_task;
        let (row, padded) = padded(shape, image, first..first + y.len() / (width * k));
        let product = Strided {
            size: [width, k],
            terms: [shape.kernel[0], shape.kernel[1] * c],
            a_steps: [shape.stride[1] * c, 1, shape.dilation[0] * row],
            b_steps: [k, shape.kernel[1] * c * k],
            c_step: k,
            accumulate: false,
        };
        for (p, y) in y.chunks_exact_mut(width * k).enumerate() {
            product.run(level, &padded[p * shape.stride[0] * row..], w, y);
            epilogue.apply(level, y);
        }
    });
}

/// See [`super::conv2d_input_grad`]; the shape is one for which [`adjoint_pays`].
pub fn conv2d_input_grad(
    level: Level,
    shape: &ConvShape,
    dy: &[f32],
    w: &[f32],
    epilogue: Epilogue<f32>,
    dx: &mut [f32],
) {
    conv2d(level, &adjoint(shape), dy, &adjoint_weights(level, shape, w), epilogue, dx);
}

/// See [`super::conv2d_weight_grad`]; `shape` is one that [`supports`] admits, or for which [`adjoint_pays`].
pub fn conv2d_weight_grad(level: Level, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if supports(shape) {
        return weight_grad(level, shape, x, dy, dw);
    }
    let mut adjoint_dw = Buffer::stale(dw.len());
    weight_grad(level, &adjoint(shape), dy, x, &mut adjoint_dw);
    // Back from (flipped R and S, K, C).
    let (c, k, taps) = (shape.in_channels, shape.out_channels, shape.taps());
    for (i, dw) in dw.chunks_exact_mut(k).enumerate() {
        let from = (taps - 1 - i / c) * k * c + i % c;
        dw.iter_mut().zip(adjoint_dw[from..].iter().step_by(c)).for_each(|(to, &from)| *to = from);
    }
}

/// dw of a convolution that [`supports`] admits: the rows of pixels in a few ranges, whose sums are added up in order.
fn weight_grad(level: Level, shape: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let most = (PIXELS / shape.output[1]).max(1);
    let of_rows = |range: Range<usize>, dw: &mut [f32]| weight_grad_of_rows(level, shape, x, dy, range, dw);
    Partition::few(shape.batch * shape.output[0], 1)
        .sum_into(level, dw, |range, dw| sum_halves(level, range, most, dw, &of_rows));
}

/// dw over some rows of pixels, counted over all images.
fn weight_grad_of_rows(level: Level, shape: &ConvShape, x: &[f32], dy: &[f32], range: Range<usize>, dw: &mut [f32]) {
    let (c, k, [height, width]) = (shape.in_channels, shape.out_channels, shape.output);
    let (image_len, together) = (shape.input[0] * shape.input[1] * c, (NEAR_ELEMENTS / (width * k)).max(1));
    let mut next = range.start;
    while next < range.end {
        let (image, first) = (next / height, next % height);
        let rows = together.min(height - first).min(range.end - next);
        let (row, padded) = padded(shape, &x[image * image_len..][..image_len], first..first + rows);
        let product = Strided {
            size: [shape.kernel[1] * c, k],
            terms: [rows, width],
            a_steps: [1, shape.stride[1] * c, shape.stride[0] * row],
            b_steps: [k, width * k],
            c_step: k,
            accumulate: next > range.start,
        };
        for (r, dw) in dw.chunks_exact_mut(shape.kernel[1] * c * k).enumerate() {
            product.run(level, &padded[r * shape.dilation[0] * row..], &dy[next * width * k..], dw);
        }
        next += rows;
    }
}
