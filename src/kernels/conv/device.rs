//! The three maps on a device, as products of matrices whose first factor is gathered where it lies: implicit patches.
//!
//! ```text
//! y  (pixels, K)  = x at every tap (pixels, taps·C) · w (taps·C, K)
//! dx (pixels, C)  = dy at every tap (pixels, taps·K) · wᵀ (taps·K, C)
//! dw (taps·C, K)  = (x at every tap)ᵀ (taps·C, pixels) · dy (pixels, K)
//! ```
//!
//! for each group. The pixels of dx whose coordinates leave the same remainder by the stride see the same taps: they
//! are a phase. Nothing is scattered, so that no two work-items write to one place.

use super::ConvShape;
use super::winograd::device::Winograd;
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::opencl::Queue;
use crate::kernels::opencl::gemm::{self, BUSY, Body, Gathered, Matrices, ROWS, TAPS_TOGETHER};
use crate::kernels::opencl::loops::Loops;

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

/// Pixels of dy that are read for one tap after another.
const TOGETHER: usize = 64;

/// The sizes along the axes: the map, the output, taps, stride, padding, dilation.
fn axes(shape: &ConvShape, gather: Gather) -> [[usize; 6]; 2] {
    [0, 1].map(|axis| {
        let [map, out] = match gather {
            Gather::Forward => [shape.input[axis], shape.output[axis]],
            Gather::Adjoint => [shape.output[axis], shape.input[axis]],
        };
        [map, out, shape.kernel[axis], shape.stride[axis], shape.padding[axis], shape.dilation[axis]]
    })
}

/// The weights as matrices (taps · depth, columns), one for each group.
fn weights<'a>(shape: &ConvShape, gather: Gather, w: Operand<'a>) -> Matrices<'a> {
    let [c, k] = [shape.group_in(), shape.group_out()];
    let ([depth, columns], [inner, column]) = match gather {
        Gather::Forward => ([c, k], [shape.out_channels, 1]),
        Gather::Adjoint => ([k, c], [1, shape.out_channels]),
    };
    let (size, outer) = ([shape.taps() * depth, columns], c * shape.out_channels);
    Matrices { operand: w, size, depth, outer, inner, column, batch: Loops::one(shape.groups, k) }
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
    // Where its sizes are too large for the device, the direct form goes by parts, and still before the processor.
    let winograd = Winograd::of::<T>(queue, shape);
    if winograd.is_some_and(|winograd| winograd.convolve::<T>(gather, [map, w, out], (bias, slope)).is_ok()) {
        return Ok(());
    }
    let (weights, axes, groups) = (weights(shape, gather, w), axes(shape, gather), shape.groups);
    let (depth, [terms, columns]) = (weights.depth, weights.size);
    // The largest phase has so many pixels.
    let adjoint = gather == Gather::Adjoint;
    let phases = if adjoint { shape.stride } else { [1; 2] };
    let rows = shape.batch * axes[0][1].div_ceil(phases[0]) * axes[1][1].div_ceil(phases[1]);
    if Body::of(queue) == Body::Local {
        let pixel = groups * columns;
        let gathered = Gathered {
            operands: [map, w, out],
            bias,
            slope,
            size: [rows, columns, terms],
            images: shape.batch,
            depth,
            axes,
            adjoint,
            rows_are_taps: false,
            a_steps: [axes[0][0] * axes[1][0] * groups * depth, groups * depth, 1],
            b_steps: [weights.outer, weights.inner, weights.column],
            c_steps: [axes[0][1] * axes[1][1] * pixel, axes[1][1] * pixel, pixel, 1, columns],
            batch: [Loops::one(groups, depth), weights.batch],
        };
        return gathered.run::<T>(queue);
    }
    let lanes = gemm::lanes::<T>(columns);
    // Pixels outside of the map read the zeros.
    let packed = weights.pack::<T>(queue, lanes, depth)?;
    gemm::vector::<T>(queue, "convolve", lanes)
        .operand(map)
        .operand(Operand::new(&packed, 0, weights.packed_len(lanes) + depth))
        .operand(bias.unwrap_or(w))
        .operand(out)
        .each([shape.batch, groups, depth, columns])
        .ints(&axes[0])
        .ints(&axes[1])
        .each([adjoint as usize, bias.is_some() as usize])
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
    if Winograd::of::<T>(queue, shape).is_some_and(|winograd| winograd.weigh::<T>([x, dy], dw).is_ok()) {
        return Ok(());
    }
    match Body::of(queue) {
        Body::Vector => weigh_in_vectors::<T>(queue, shape, [x, dy], dw),
        Body::Local => weigh_in_tiles::<T>(queue, shape, [x, dy], dw),
    }
}

fn weigh_in_tiles<T: Element>(
    queue: &Queue,
    shape: &ConvShape,
    [x, dy]: [Operand<'_>; 2],
    dw: Operand<'_>,
) -> Result<(), Unsupported> {
    let [depth, columns] = [shape.group_in(), shape.group_out()];
    let ([height, width], [out_height, out_width]) = (shape.input, shape.output);
    let gathered = Gathered {
        operands: [x, dy, dw],
        bias: None,
        slope: 1.0,
        size: [shape.taps() * depth, columns, shape.batch * out_height * out_width],
        images: shape.batch,
        depth,
        axes: axes(shape, Gather::Forward),
        adjoint: false,
        rows_are_taps: true,
        a_steps: [height * width * shape.in_channels, shape.in_channels, 1],
        b_steps: [0, shape.out_channels, 1],
        c_steps: [0, 0, shape.out_channels, 1, columns],
        batch: [Loops::one(shape.groups, depth), Loops::one(shape.groups, columns)],
    };
    gathered.run::<T>(queue)
}

fn weigh_in_vectors<T: Element>(
    queue: &Queue,
    shape: &ConvShape,
    [x, dy]: [Operand<'_>; 2],
    dw: Operand<'_>,
) -> Result<(), Unsupported> {
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
    let [vertical, horizontal] = axes(shape, Gather::Forward);
    gemm::in_parts::<T>(queue, parts, dw, |dw| {
        gemm::vector::<T>(queue, "weigh", lanes)
            .operand(Operand::new(&x, 0, x_len))
            .operand(Operand::new(&dy, 0, dy_len))
            .operand(dw)
            .each([shape.batch, groups, depth, columns])
            .ints(&vertical)
            .ints(&horizontal)
            .each([lines_of_part, (TOGETHER / width.max(1)).max(1)])
            .groups([blocks, across, groups * parts], [1; 3])
    })
}
