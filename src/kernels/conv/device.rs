//! The three maps on a device, as products of matrices whose first factor is gathered where it lies: implicit patches.
//!
//! ```text
//! y  (pixels, K)     = x at every tap (pixels, taps·C) · w (taps·C, K)
//! dx (pixels, C)     = dy at every tap (pixels, taps·K) · wᵀ (taps·K, C)
//! dw (taps·C, K)     = (x at every tap)ᵀ (taps·C, pixels) · dy (pixels, K)
//! ```
//!
//! for each group. The pixels of dx whose coordinates leave the same remainder by the stride see the same taps: they are a
//! phase. Nothing is scattered, so that no two work-items write to one place.

use super::ConvShape;
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::opencl::Queue;
use crate::kernels::opencl::gemm::{self, BUSY, Loops, Matrices, ROWS};

/// The two maps that gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// y from x
    Forward,
    /// dx from dy
    Adjoint,
}

/// Pixels that are summed in one part of a weight gradient at most: a chain of so many is exact enough, and other parts
/// add less to its work than to be kept.
const PART: usize = 2048;

/// Taps whose sums a work-item has, as in `gemm_vector.cl`.
const TAPS_TOGETHER: usize = 16;

/// Pixels of dy that are read for one tap after another.
const TOGETHER: usize = 64;

/// The sizes along an axis: the map, the output, taps, stride, padding, dilation.
fn along(shape: &ConvShape, gather: Gather, axis: usize) -> [usize; 6] {
    let [map, out] = match gather {
        Gather::Forward => [shape.input[axis], shape.output[axis]],
        Gather::Adjoint => [shape.output[axis], shape.input[axis]],
    };
    [map, out, shape.kernel[axis], shape.stride[axis], shape.padding[axis], shape.dilation[axis]]
}

/// y from x and w, or dx from dy and w, then the bias and the leaky ReLU.
pub fn convolve<T: Element>(
    queue: &Queue,
    shape: &ConvShape,
    gather: Gather,
    [map, w, out]: [Operand<'_>; 3],
    (bias, slope): (Option<Operand<'_>>, f64),
) -> Result<(), Unsupported> {
    if out.len == 0 {
        return Ok(());
    }
    let [c, k] = [shape.group_in(), shape.group_out()];
    let (groups, out_channels, taps) = (shape.groups, shape.out_channels, shape.taps());
    let (depth, columns, weights) = match gather {
        Gather::Forward => {
            let (outer, inner, batch) = (c * out_channels, out_channels, Loops::one(groups, k));
            (c, k, Matrices { operand: w, size: [taps * c, k], depth: c, outer, inner, column: 1, batch })
        }
        Gather::Adjoint => {
            let (outer, column, batch) = (c * out_channels, out_channels, Loops::one(groups, k));
            (k, c, Matrices { operand: w, size: [taps * k, c], depth: k, outer, inner: 1, column, batch })
        }
    };
    let lanes = gemm::lanes::<T>(columns);
    let packed = weights.pack::<T>(queue, lanes, depth)?;
    let packed = Operand::new(&packed, 0, weights.packed_len(lanes) + depth);
    let [vertical, horizontal] = [0, 1].map(|axis| along(shape, gather, axis));
    let phases = if gather == Gather::Adjoint { shape.stride } else { [1; 2] };
    let rows = shape.batch * vertical[1].div_ceil(phases[0]) * horizontal[1].div_ceil(phases[1]);
    gemm::vector::<T>(queue, "convolve", lanes)
        .operand(map)
        .operand(packed)
        .operand(bias.unwrap_or(w))
        .operand(out)
        .each([shape.batch, groups, depth, columns])
        .ints(&vertical)
        .ints(&horizontal)
        .each([(gather == Gather::Adjoint) as usize, bias.is_some() as usize])
        .real(slope)
        .groups([rows.div_ceil(ROWS), columns.div_ceil(lanes), groups * phases[0] * phases[1]], [1; 3])
}

/// dw from x and dy.
pub fn weigh<T: Element>(
    queue: &Queue,
    shape: &ConvShape,
    [x, dy]: [Operand<'_>; 2],
    [dw]: [Operand<'_>; 1],
) -> Result<(), Unsupported> {
    if dw.len == 0 {
        return Ok(());
    }
    let ([depth, columns], groups) = ([shape.group_in(), shape.group_out()], shape.groups);
    let lanes = gemm::lanes::<T>(columns);
    let panels = |operand: Operand<'_>, [height, width]: [usize; 2], channels: usize, wide: usize| {
        let (size, batch) = ([shape.batch * height * width, channels], Loops::one(groups, channels));
        let matrices = Matrices { operand, size, depth: size[0], outer: 0, inner: groups * channels, column: 1, batch };
        let packed = matrices.pack::<T>(queue, wide, 0)?;
        Ok((packed, matrices.packed_len(wide)))
    };
    let (x, x_len) = panels(x, shape.input, depth, ROWS)?;
    let (dy, dy_len) = panels(dy, shape.output, columns, lanes)?;
    let [height, width] = shape.output;
    let (blocks, across) = (depth.div_ceil(ROWS) * shape.taps().div_ceil(TAPS_TOGETHER), columns.div_ceil(lanes));
    let lines = shape.batch * height;
    let parts = (lines * width).div_ceil(PART).max(BUSY.div_ceil(blocks * across * groups)).min(lines).max(1);
    let lines_of_part = lines.div_ceil(parts).max(1);
    let parts = lines.div_ceil(lines_of_part).max(1);
    gemm::in_parts::<T>(queue, parts, dw, |dw| {
        gemm::vector::<T>(queue, "weigh", lanes)
            .operand(Operand::new(&x, 0, x_len))
            .operand(Operand::new(&dy, 0, dy_len))
            .operand(dw)
            .each([shape.batch, groups, depth, columns])
            .ints(&along(shape, Gather::Forward, 0))
            .ints(&along(shape, Gather::Forward, 1))
            .each([lines_of_part, (TOGETHER / width.max(1)).max(1)])
            .groups([blocks, across, groups * parts], [1; 3])
    })
}
