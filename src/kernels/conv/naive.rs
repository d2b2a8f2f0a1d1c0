//! The three maps as plain loops over their definition: the oracle of every other algorithm.
//!
//! Output pixel (p, q) and tap (r, s) meet at input pixel (p·stride + r·dilation − padding, …), where it exists.
//! Each output element is summed by one thread in one order.

use rayon::prelude::*;

use super::{ConvShape, Epilogue};
use crate::kernels::{Element, Level};

/// Where output coordinate `out` and tap `tap` meet in the input, along `axis`; `None` in the padding.
fn meet(shape: &ConvShape, axis: usize, out: usize, tap: usize) -> Option<usize> {
    let at = (out * shape.stride[axis] + tap * shape.dilation[axis]).checked_sub(shape.padding[axis])?;
    (at < shape.input[axis]).then_some(at)
}

/// See [`super::conv2d`]. x (N, H, W, C), w (R, S, C/G, K), y (N, OH, OW, K).
pub fn conv2d<T: Element>(shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    let ([height, width], [out_height, out_width]) = (shape.input, shape.output);
    let (c, k) = (shape.in_channels, shape.out_channels);
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    y.par_chunks_mut((out_width * k).max(1)).enumerate().for_each(|(row, y)| {
        let (n, p) = (row / out_height, row % out_height);
        for (q, y) in y.chunks_mut(k).enumerate() {
            y.fill(T::zero());
            for r in 0..shape.kernel[0] {
                for s in 0..shape.kernel[1] {
                    let (Some(i), Some(j)) = (meet(shape, 0, p, r), meet(shape, 1, q, s)) else { continue };
                    let x = &x[((n * height + i) * width + j) * c..][..c];
                    let w = &w[(r * shape.kernel[1] + s) * group_in * k..];
                    for (ko, y) in y.iter_mut().enumerate() {
                        let first = ko / group_out * group_in;
                        for ci in 0..group_in {
                            *y += x[first + ci] * w[ci * k + ko];
                        }
                    }
                }
            }
        }
        epilogue.apply(Level::Scalar, y);
    });
}

/// See [`super::conv2d_input_grad`]. dy (N, OH, OW, K), w (R, S, C/G, K), dx (N, H, W, C).
pub fn conv2d_input_grad<T: Element>(shape: &ConvShape, dy: &[T], w: &[T], epilogue: Epilogue<T>, dx: &mut [T]) {
    let ([height, width], [out_height, out_width]) = (shape.input, shape.output);
    let (c, k) = (shape.in_channels, shape.out_channels);
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    dx.par_chunks_mut((height * width * c).max(1)).enumerate().for_each(|(n, dx)| {
        dx.fill(T::zero());
        for p in 0..out_height {
            for q in 0..out_width {
                let dy = &dy[((n * out_height + p) * out_width + q) * k..][..k];
                for r in 0..shape.kernel[0] {
                    for s in 0..shape.kernel[1] {
                        let (Some(i), Some(j)) = (meet(shape, 0, p, r), meet(shape, 1, q, s)) else { continue };
                        let w = &w[(r * shape.kernel[1] + s) * group_in * k..];
                        for (ci, dx) in dx[(i * width + j) * c..][..c].iter_mut().enumerate() {
                            let (group, ci) = (ci / group_in, ci % group_in);
                            for ko in group * group_out..(group + 1) * group_out {
                                *dx += dy[ko] * w[ci * k + ko];
                            }
                        }
                    }
                }
            }
        }
        epilogue.apply(Level::Scalar, dx);
    });
}

/// See [`super::conv2d_weight_grad`]. x (N, H, W, C), dy (N, OH, OW, K), dw (R, S, C/G, K).
pub fn conv2d_weight_grad<T: Element>(shape: &ConvShape, x: &[T], dy: &[T], dw: &mut [T]) {
    let ([height, width], [out_height, out_width]) = (shape.input, shape.output);
    let (c, k) = (shape.in_channels, shape.out_channels);
    let (group_in, group_out) = (shape.group_in(), shape.group_out());
    dw.par_chunks_mut(k.max(1)).enumerate().for_each(|(row, dw)| {
        let (tap, ci) = (row / group_in, row % group_in);
        let (r, s) = (tap / shape.kernel[1], tap % shape.kernel[1]);
        dw.fill(T::zero());
        for n in 0..shape.batch {
            for p in 0..out_height {
                for q in 0..out_width {
                    let (Some(i), Some(j)) = (meet(shape, 0, p, r), meet(shape, 1, q, s)) else { continue };
                    let x = &x[((n * height + i) * width + j) * c..][..c];
                    let dy = &dy[((n * out_height + p) * out_width + q) * k..][..k];
                    for (ko, (dw, &dy)) in dw.iter_mut().zip(dy).enumerate() {
                        *dw += x[ko / group_out * group_in + ci] * dy;
                    }
                }
            }
        }
    });
}
