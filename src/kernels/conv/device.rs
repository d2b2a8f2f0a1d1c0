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
use crate::kernels::opencl::gemm::{self, Loops, Matrices, ROWS};

/// The two maps that gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// y from x
    Forward,
    /// dx from dy
    Adjoint,
}

/// Pixels that are summed in one part of a weight gradient: what they take of x and dy stays in a processor's cache for
/// all taps and channels.
const PART: usize = 2048;

/// Parts of a weight gradient at most.
const PARTS: usize = 64;

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
    let [depth, columns] = [shape.group_in(), shape.group_out()];
    let (groups, row) = (shape.groups, shape.out_channels);
    let lanes = gemm::lanes::<T>(columns);
    let [height, width] = shape.output;
    let pixels = shape.batch * height * width;
    let lines = (shape.batch * height).div_ceil(pixels.div_ceil(PART).clamp(1, PARTS)).max(1);
    let parts = (shape.batch * height).div_ceil(lines).max(1);
    let (mut dy, mut dy_row, mut dy_panel, mut dy_group) = (dy, row, lanes, columns);
    let packed;
    if !columns.is_multiple_of(lanes) {
        let (size, batch) = ([pixels, columns], Loops::one(groups, columns));
        let matrices = Matrices { operand: dy, size, depth: pixels, outer: 0, inner: row, column: 1, batch };
        packed = matrices.pack::<T>(queue, lanes, 0)?;
        dy = Operand::new(&packed, 0, matrices.packed_len(lanes));
        (dy_row, dy_panel, dy_group) = (lanes, pixels * lanes, columns.div_ceil(lanes) * pixels * lanes);
    }
    let blocks = shape.taps() * depth.div_ceil(ROWS);
    gemm::in_parts::<T>(queue, parts, dw, |dw| {
        gemm::vector::<T>(queue, "weigh", lanes)
            .operand(x)
            .operand(dy)
            .operand(dw)
            .each([shape.batch, groups, depth, columns])
            .ints(&along(shape, Gather::Forward, 0))
            .ints(&along(shape, Gather::Forward, 1))
            .each([lines, parts, dy_row, dy_panel, dy_group])
            .groups([blocks, columns.div_ceil(lanes), groups * parts], [1; 3])
    })
}
