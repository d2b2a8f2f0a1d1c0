//! Convolution of stride 1 to a few channels, as pictures have: first the product, then the taps (kn2row: Vasudevan,
//! Anderson and Gregg 2017, arXiv:1704.04428).
//!
//! With few outputs the product of gathered patches is a thin matrix whose register tiles are nearly empty. Here every
//! pixel of x is multiplied by the weights of all taps at once, and each output pixel then adds up what its taps got:
//!
//! ```text
//! P (pixels, R·S·K) = x (pixels, C) · W (C, R·S·K)        W[c, (r, s, k)] = w[r, s, c, k]
//! y[p, q, k] = Σ_{r,s} P[p + r·dilation − padding, q + s·dilation − padding, (r, s, k)]
//! ```
//!
//! The weight gradient changes sides likewise: it gathers patches of the thin dy instead of the wide x,
//!
//! ```text
//! dW (C, R·S·K) = Σ_pixels  xᵀ (C, pixels) · patches of dy (pixels, R·S·K)
//! ```

use std::ops::Range;

use rayon::prelude::*;

use super::{ConvShape, Epilogue, adjoint, adjoint_weights, patches};
use crate::kernels::parallel::{PIXELS, Partition, sum_halves};
use crate::kernels::{Buffer, Element, Level, matmul};

/// Output pixels of a task, if an image has so many: P stays in the L2 cache, and the rows that neighbouring tasks both
/// compute are few.
const TASK_PIXELS: usize = 1024;

/// The most output channels for which this is used. Measured from 64 channels in maps of 32×32, batch 64, on 2 cores
/// with AVX-512 (`benches/convolution.rs`), the forward map and the weight gradient are so many times as fast as by
/// gathered patches: 3.3 and 5 to 3 channels, 2.8 and 1.6 to 8, 1.3 and 1.4 to 16, 1.1 and 1.1 to 32.
pub const MOST_CHANNELS: usize = 16;

/// Whether the algorithm can compute these maps and is faster, `from` and `to` being the channels of its input and
/// output.
pub fn pays(shape: &ConvShape, [from, to]: [usize; 2]) -> bool {
    supports(shape) && to <= MOST_CHANNELS && from >= 16 && shape.taps() > 1
}

/// Whether the algorithm can compute these maps.
pub fn supports(shape: &ConvShape) -> bool {
    let reaches = |i: usize| shape.padding[i] <= shape.dilation[i] * (shape.kernel[i].max(1) - 1);
    shape.stride == [1, 1] && shape.groups == 1 && reaches(0) && reaches(1)
}

/// See [`super::conv2d`]; `shape` is one that [`supports`] admits, to at most [`MOST_CHANNELS`] channels.
pub fn conv2d<T: Element>(level: Level, shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    assert!(shape.out_channels <= MOST_CHANNELS, "{} channels are not a few", shape.out_channels);
    let (c, [height, width]) = (shape.in_channels, shape.input);
    let row = shape.output[1] * shape.out_channels;
    if y.is_empty() || x.is_empty() || w.is_empty() {
        return patches::conv2d(level, shape, x, w, epilogue, y);
    }
    let weights = side_by_side(shape, w);
    let columns = weights.len() / c;
    let together = (TASK_PIXELS / shape.output[1]).clamp(1, shape.output[0]);
    let blocks = y.chunks_mut(shape.output[0] * row).flat_map(|image| image.chunks_mut(together * row));
    let per_image = shape.output[0].div_ceil(together);
    blocks.collect::<Vec<_>>().into_par_iter().enumerate().for_each(|(i, y)| {
        let (image, first) = (i / per_image, i % per_image * together);
        // The rows of x that the block sees.
        let reach = (shape.kernel[0] - 1) * shape.dilation[0];
        let start = first.saturating_sub(shape.padding[0]).min(height);
        let end = (first + y.len() / row + reach).saturating_sub(shape.padding[0]).clamp(start, height);
        let pixels = (end - start) * width;
        let mut products = Buffer::stale(pixels * columns + MOST_CHANNELS);
        products[pixels * columns..].fill(T::zero());
        let x = (&x[(image * height + start) * width * c..], [c, 1]);
        matmul::on_this_thread(level, [pixels, c, columns], x, (&weights, [columns, 1]), false, &mut products, columns);
        level.vectorize(
            #[inline(always)]
            || match shape.out_channels {
                ..=4 => add_taps::<T, 4>(shape, &products, start..end, first, y),
                5..=8 => add_taps::<T, 8>(shape, &products, start..end, first, y),
                _ => add_taps::<T, MOST_CHANNELS>(shape, &products, start..end, first, y),
            },
        );
        epilogue.apply(level, y);
    });
}

/// The output rows from `first` on, y (rows, OW, K), from the products (seen rows, W, R·S·K), after which `ROOM` more
/// elements lie, since the last tap is read as if it had so many channels.
///
/// A number of channels that the compiler knows, of which K are used: three channels one by one took ten times as long.
#[inline(always)]
fn add_taps<T: Element, const ROOM: usize>(
    shape: &ConvShape,
    products: &[T],
    seen: Range<usize>,
    first: usize,
    y: &mut [T],
) {
    let (k, [_, width]) = (shape.out_channels, shape.input);
    let columns = shape.taps() * k;
    let mut sums = Buffer::stale(shape.output[1] * ROOM);
    for (p, y) in y.chunks_exact_mut(shape.output[1] * k).enumerate() {
        sums.fill(T::zero());
        for r in 0..shape.kernel[0] {
            let at = (first + p + r * shape.dilation[0]).wrapping_sub(shape.padding[0]);
            if !seen.contains(&at) {
                continue;
            }
            for s in 0..shape.kernel[1] {
                // The outputs whose tap lies in the map, and the pixel that the first of them sees.
                let offset = s * shape.dilation[1];
                let low = shape.padding[1].saturating_sub(offset);
                let pixel = (low + offset) - shape.padding[1];
                let tap = (r * shape.kernel[1] + s) * k;
                let taps = &products[(at - seen.start) * width * columns..];
                let sums = sums.as_chunks_mut::<ROOM>().0;
                for (i, sum) in (pixel..width).zip(&mut sums[low.min(shape.output[1])..]) {
                    let tap: &[T; ROOM] = taps[i * columns + tap..].first_chunk().expect("room after the products");
                    for k in 0..ROOM {
                        sum[k] += tap[k];
                    }
                }
            }
        }
        y.chunks_exact_mut(k).zip(sums.as_chunks::<ROOM>().0).for_each(|(y, sum)| y.copy_from_slice(&sum[..k]));
    }
}

/// W (C, R·S·K) of w (R, S, C, K).
fn side_by_side<T: Element>(shape: &ConvShape, w: &[T]) -> Buffer<T> {
    let (c, k, taps) = (shape.in_channels, shape.out_channels, shape.taps());
    let mut weights = Buffer::stale(w.len());
    for (i, from) in w.chunks_exact(k).enumerate() {
        weights[(i % c * taps + i / c) * k..][..k].copy_from_slice(from);
    }
    weights
}

/// See [`super::conv2d_input_grad`], to at most [`MOST_CHANNELS`] channels: for stride 1 the convolution with the
/// flipped kernel, C and K exchanged.
pub fn conv2d_input_grad<T: Element>(
    level: Level,
    shape: &ConvShape,
    dy: &[T],
    w: &[T],
    epilogue: Epilogue<T>,
    dx: &mut [T],
) {
    conv2d(level, &adjoint(shape), dy, &adjoint_weights(level, shape, w), epilogue, dx);
}

/// See [`super::conv2d_weight_grad`]; `shape` is one that [`supports`] admits.
pub fn conv2d_weight_grad<T: Element>(level: Level, shape: &ConvShape, x: &[T], dy: &[T], dw: &mut [T]) {
    if dw.is_empty() || x.is_empty() || dy.is_empty() {
        return dw.fill(T::zero());
    }
    // The taps of dy that a pixel of x meets, in the order of the flipped kernel.
    let patches = patches::Patches::of_adjoint(shape, dy);
    let (c, k, columns) = (shape.in_channels, shape.out_channels, shape.taps() * shape.out_channels);
    let of_rows = |range: Range<usize>, dw: &mut [T]| {
        let together = (TASK_PIXELS / shape.input[1]).clamp(1, range.len());
        let mut gathered = Buffer::stale(together * shape.input[1] * columns);
        for first in range.clone().step_by(together) {
            let last = (first + together).min(range.end);
            let pixels = (last - first) * shape.input[1];
            patches.gather(first..last, &mut gathered[..pixels * columns]);
            let x = (&x[first * shape.input[1] * c..], [1, c]);
            let size = [c, pixels, columns];
            matmul::on_this_thread(level, size, x, (&gathered, [columns, 1]), first > range.start, dw, columns);
        }
    };
    let most = (PIXELS / shape.input[1]).max(1);
    let sums = Partition::few(shape.batch * shape.input[0], 1)
        .partials(c * columns, |range, dw| sum_halves(level, range, most, dw, &of_rows));
    // Back from (C, flipped taps, K) to (R, S, C, K).
    for (i, dw) in dw.chunks_exact_mut(k).enumerate() {
        sums.sum((i % c * shape.taps() + (shape.taps() - 1 - i / c)) * k, dw);
    }
}
