//! The same elements elsewhere: reshape, permute, repeat, slice, pad, concat.
//!
//! All are linear, and each is the rule of another: the adjoint of a slice is padding with zeros, of a repetition a
//! sum, of a permutation its inverse.

use std::ops::Range;

use crate::kernels::Buffer;
use crate::{Backward, Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The same elements in row-major order under another shape; x̄ is ȳ under the shape of x.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Var<T> {
        let from = *self.shape();
        let value = self.value().reshape(shape);
        Var::record("reshape", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.reshape(from));
        })
    }

    /// (N, …) as (N, everything else): the step from maps to a dense layer.
    ///
    /// # Panics
    /// If the rank is 0.
    #[track_caller]
    pub fn flatten(&self) -> Var<T> {
        let shape = *self.shape();
        assert!(!shape.is_empty(), "flatten: expected a leading batch axis, found a scalar");
        self.reshape([shape[0], shape[1..].iter().product()])
    }

    /// The axes in another order: axis i of the result is axis `axes[i]` of this. x̄ is ȳ permuted back.
    ///
    /// # Panics
    /// If `axes` is not a permutation of all axes.
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Shape>) -> Var<T> {
        let axes = axes.into();
        let value = self.value().permute(axes);
        Var::record("permute", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            let mut inverse = axes;
            axes.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
            back.give(0, |_| grad.permute(inverse));
        })
    }

    /// The last two axes exchanged: the transpose of a matrix, or of each matrix of a batch.
    ///
    /// # Panics
    /// If the rank is below 2.
    #[track_caller]
    pub fn t(&self) -> Var<T> {
        let rank = self.shape().len();
        assert!(rank >= 2, "t: expected a matrix or a batch of them, found shape {}", self.shape());
        let mut axes: Shape = (0..rank).collect();
        axes.swap(rank - 2, rank - 1);
        self.permute(axes)
    }

    /// Axes of extent 1, and new leading axes, repeated by the rules of NumPy; x̄ is ȳ summed over the copies.
    ///
    /// # Panics
    /// If this does not broadcast to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Var<T> {
        let (from, to) = (*self.shape(), shape.into());
        if from == to {
            return self.clone();
        }
        let value = self.value().broadcast_to(to);
        Var::record("broadcast_to", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.sum_to(from));
        })
    }

    /// The elements with index in `range` along `axis`, copied; x̄ is ȳ among zeros.
    ///
    /// # Panics
    /// If the axis or the range is out of bounds.
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Var<T> {
        let shape = *self.shape();
        let fits = axis < shape.len() && range.start <= range.end && range.end <= shape[axis];
        assert!(fits, "slice: {range:?} along axis {axis} of shape {shape} is out of bounds");
        let (before, after) = (range.start, shape[axis] - range.end);
        let value = copy_window(self.value(), axis, range.start, range.len(), 0);
        Var::record("slice", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.pad(axis, before, after));
        })
    }

    /// Zeros before and after the elements along `axis`; x̄ is the slice of ȳ between them.
    ///
    /// # Panics
    /// If the axis is out of bounds.
    #[track_caller]
    pub fn pad(&self, axis: usize, before: usize, after: usize) -> Var<T> {
        let shape = *self.shape();
        assert!(axis < shape.len(), "pad: axis {axis} of shape {shape}: expected an axis below {}", shape.len());
        let extent = shape[axis];
        let value = copy_window(self.value(), axis, 0, before + extent + after, before);
        Var::record("pad", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.slice(axis, before..before + extent));
        })
    }

    /// Several variables one after the other along `axis`; each gets its slice of ȳ.
    ///
    /// # Panics
    /// If there are none, or shapes differ along another axis.
    #[track_caller]
    pub fn concat(parts: &[&Var<T>], axis: usize) -> Var<T> {
        let shapes: Vec<Shape> = parts.iter().map(|part| *part.shape()).collect();
        let mut shape = *shapes.first().expect("concat: expected at least one operand");
        let same =
            |other: &Shape| other.len() == shape.len() && (0..shape.len()).all(|a| a == axis || other[a] == shape[a]);
        let fits = axis < shape.len() && shapes.iter().all(same);
        if !fits {
            let shapes: Vec<String> = shapes.iter().map(Shape::to_string).collect();
            let shapes = shapes.join(", ");
            panic!("concat: shapes {shapes} along axis {axis}: expected equal extents along the other axes");
        }
        shape[axis] = shapes.iter().map(|s| s[axis]).sum();
        let value = concat(parts, axis, shape);
        Var::record("concat", parts, value, move |grad: &Var<T>, back: &mut Backward<T>| {
            let mut start = 0;
            for (i, part) in shapes.iter().enumerate() {
                let end = start + part[axis];
                back.give(i, |_| grad.slice(axis, start..end));
                start = end;
            }
        })
    }
}

/// The memory order for a copy of part of `x`: that of x, the outermost axis being `shape`'s.
fn like<T: Element>(x: &Tensor<T>, shape: Shape) -> Shape {
    if x.is_channels_last() && !x.is_contiguous() { shape.channels_last() } else { shape.row_major() }
}

/// `len` elements along `axis`: those of x from `start`, put after `before` zeros and followed by zeros.
fn copy_window<T: Element>(x: &Tensor<T>, axis: usize, start: usize, len: usize, before: usize) -> Tensor<T> {
    let mut shape = *x.shape();
    let copied = (x.shape()[axis] - start).min(len - before);
    shape[axis] = len;
    let strides = like(x, shape);
    let whole = copied == len;
    let mut out = if whole { Buffer::stale(shape.size()) } else { Buffer::filled(shape.size(), T::zero()) };
    write_part(&mut out, &shape, &strides, axis, before, x, start, copied);
    Tensor::from_buffer(out, shape, strides)
}

fn concat<T: Element>(parts: &[&Var<T>], axis: usize, shape: Shape) -> Tensor<T> {
    let strides = like(parts[0].value(), shape);
    let mut out = Buffer::stale(shape.size());
    let mut at = 0;
    for part in parts {
        let extent = part.shape()[axis];
        write_part(&mut out, &shape, &strides, axis, at, part.value(), 0, extent);
        at += extent;
    }
    Tensor::from_buffer(out, shape, strides)
}

/// Copies the elements `from..from + n` of x along `axis` to `to..to + n` of the output.
#[allow(clippy::too_many_arguments, reason = "two windows of an axis and what they are windows of")]
fn write_part<T: Element>(
    out: &mut [T],
    shape: &Shape,
    strides: &Shape,
    axis: usize,
    to: usize,
    x: &Tensor<T>,
    from: usize,
    n: usize,
) {
    let mut window = *shape;
    window[axis] = n;
    if window.size() == 0 {
        return;
    }
    let mut source = ndarray::ArrayViewD::from(x.view());
    source.slice_axis_inplace(ndarray::Axis(axis), (from..from + n).into());
    let layout = ndarray::ShapeBuilder::strides(ndarray::IxDyn(shape), ndarray::IxDyn(strides));
    let mut target = ndarray::ArrayViewMutD::from_shape(layout, out).expect("dense strides of the output");
    target.slice_axis_inplace(ndarray::Axis(axis), (to..to + n).into());
    target.assign(&source);
}
