//! The same elements elsewhere: to a device, reshape, permute, repeat, slice, pad, concat, stack.
//!
//! All are linear, and each is the rule of another: the adjoint of a slice is padding with zeros, of a repetition a
//! sum, of a permutation its inverse.

use std::ops::Range;

use super::reduction::check_axis;
use crate::compute::{Layout, compiled, compute};
use crate::kernels::copy::{Concat, Piece};
use crate::{Axes, Device, DeviceError, Element, MAX_RANK, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The same values living on a device, or on the host, see [`Tensor::to`]; x̄ is ȳ, moved to where x lives.
    ///
    /// # Errors
    /// As [`Tensor::to`].
    #[track_caller]
    pub fn to(&self, device: &Device) -> Result<Var<T>, DeviceError> {
        let (value, home) = (self.value().to(device)?, self.value().device());
        Ok(Var::record("to", &[self], value, move |grad, back| {
            back.give(0, |_| grad.to(&home).unwrap_or_else(|error| error.raise()));
        }))
    }

    /// The same elements in row-major order under another shape; x̄ is ȳ under the shape of x.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Var<T> {
        let from = *self.shape();
        let value = self.value().reshape(shape);
        Var::record("reshape", &[self], value, move |grad, back| {
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
        self.reshape([shape[0], Shape::from(&shape[1..]).size()])
    }

    /// Without `axis`, whose extent is 1: a view. PyTorch keeps an axis of another extent; a program that goes on with
    /// one axis more than it thinks is better told.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let x = Var::<f64>::from(Tensor::ones([2, 1, 3]));
    /// assert_eq!(x.squeeze(1).shape(), &[2, 3].into());
    /// assert_eq!(x.unsqueeze(3).shape(), &[2, 1, 3, 1].into());
    /// ```
    ///
    /// # Panics
    /// If the axis is out of bounds or its extent is not 1.
    #[track_caller]
    pub fn squeeze(&self, axis: usize) -> Var<T> {
        let shape = self.shape();
        check_axis("squeeze", shape, axis);
        assert!(shape[axis] == 1, "squeeze: axis {axis} of shape {shape}: expected an extent of 1");
        self.reshape(shape[..axis].iter().chain(&shape[axis + 1..]).copied().collect::<Shape>())
    }

    /// With a new axis of extent 1, which will be number `axis`: a view.
    ///
    /// # Panics
    /// If `axis` is above the rank, or there are as many axes already as a tensor can have.
    #[track_caller]
    pub fn unsqueeze(&self, axis: usize) -> Var<T> {
        let shape = self.shape();
        let rank = shape.len();
        assert!(axis <= rank, "unsqueeze: axis {axis} for shape {shape}: expected one of at most {rank}");
        assert!(rank < MAX_RANK, "unsqueeze: shape {shape}: expected less than {MAX_RANK} axes");
        self.reshape(shape[..axis].iter().chain(&[1]).chain(&shape[axis..]).copied().collect::<Shape>())
    }

    /// The axes in another order: axis i of the result is axis `axes[i]` of this. x̄ is ȳ permuted back.
    ///
    /// # Panics
    /// If `axes` is not a permutation of all axes.
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Axes>) -> Var<T> {
        let axes = axes.into();
        let value = self.value().permute(axes);
        Var::record("permute", &[self], value, move |grad, back| {
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
        let mut axes = self.shape().axes();
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
        Var::record("broadcast_to", &[self], value, move |grad, back| {
            back.give(0, |_| grad.sum_to(from));
        })
    }

    /// `times[i]` copies of the whole, one after another, along axis i; `times` may name new leading axes
    /// first. x̄ is ȳ summed over the copies. Axes of extent 1 become views, as by
    /// [`broadcast_to`](Var::broadcast_to); others are copied, in the memory order of x.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([2], vec![1.0, 2.0]));
    /// let y = x.repeat([2, 3]);
    /// assert_eq!(y.value(), &Tensor::from_vec([2, 6], [1.0, 2.0].repeat(6)));
    /// assert_eq!(y.sum().backward().wrt(&x).to_vec(), [6.0, 6.0]);
    /// ```
    ///
    /// # Panics
    /// If there are fewer numbers than axes, or the result is larger than a computer can count.
    #[track_caller]
    pub fn repeat(&self, times: impl Into<Axes>) -> Var<T> {
        let (times, from) = (times.into(), *self.shape());
        let rank = times.len();
        assert!(rank >= from.len(), "repeat: shape {from} {times} times: expected at least {} numbers", from.len());
        let shape: Shape = (from.len()..rank).map(|_| 1).chain(from.iter().copied()).collect();
        let extents = shape.iter().zip(times.iter()).map(|(&extent, &times)| extent.checked_mul(times));
        let size = extents.collect::<Option<Shape>>().and_then(|shape| shape.checked_size());
        assert!(size.is_some(), "repeat: shape {from} {times} times: more than a computer can count");
        // In the order of memory, in which the axes that vary faster than one are a single run, copied as it is.
        let x = if rank == from.len() { self.clone() } else { self.reshape(shape) };
        let order = x.value().strides().order();
        let mut y = x.permute(order);
        for (axis, &times) in order.iter().map(|&axis| &times[axis]).enumerate() {
            y = y.repeat_axis(axis, times);
        }
        let mut back = order;
        order.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
        y.permute(back)
    }

    /// `times` copies one after another along an axis.
    #[track_caller]
    fn repeat_axis(&self, axis: usize, times: usize) -> Var<T> {
        let shape = *self.shape();
        let to = shape.with_extent(axis, shape[axis] * times);
        if times == 1 || shape[axis] == 1 {
            return self.broadcast_to(to);
        }
        let (outer, run): (usize, usize) = (shape[..axis].iter().product(), shape[axis..].iter().product());
        self.reshape([outer, 1, run]).broadcast_to([outer, times, run]).reshape(to)
    }

    /// The elements with index in `range` along `axis`, a view; x̄ is ȳ among zeros.
    ///
    /// # Panics
    /// If the axis or the range is out of bounds.
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Var<T> {
        let (before, end) = (range.start, range.end);
        let value = self.value().slice(axis, range);
        let after = self.shape()[axis] - end;
        Var::record("slice", &[self], value, move |grad, back| {
            back.give(0, |_| grad.pad(axis, before, after));
        })
    }

    /// The `len` elements from `start` on along `axis`: [`slice`](Var::slice) of `start..start + len`.
    ///
    /// # Panics
    /// If the axis or the range is out of bounds.
    #[track_caller]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Var<T> {
        let shape = self.shape();
        let fits = axis < shape.len() && start.checked_add(len).is_some_and(|end| end <= shape[axis]);
        assert!(fits, "narrow: {len} elements from {start} on along axis {axis} of shape {shape} are out of bounds");
        self.slice(axis, start..start + len)
    }

    /// The parts of these extents, one after another along `axis`, views: what [`concat`](Var::concat) puts together.
    ///
    /// # Panics
    /// If the axis is out of bounds, or the extents do not add up to its own.
    #[track_caller]
    pub fn split(&self, axis: usize, extents: &[usize]) -> Vec<Var<T>> {
        let shape = self.shape();
        let whole = extents.iter().try_fold(0usize, |sum, &extent| sum.checked_add(extent));
        let fits = axis < shape.len() && whole == Some(shape[axis]);
        assert!(fits, "split: {extents:?} along axis {axis} of shape {shape}: expected extents that add up to its own");
        let mut parts = Vec::with_capacity(extents.len());
        let mut start = 0;
        for &extent in extents {
            parts.push(self.slice(axis, start..start + extent));
            start += extent;
        }
        parts
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
        let Some(whole) = before.checked_add(extent).and_then(|sum| sum.checked_add(after)) else {
            panic!("pad: {before} and {after} around axis {axis} of shape {shape}: more than a computer can count")
        };
        let pieces = vec![Piece::Zeros(before), Piece::Input(extent), Piece::Zeros(after)];
        let value = put_together(&[self.value()], pieces, axis, shape.with_extent(axis, whole));
        Var::record("pad", &[self], value, move |grad, back| {
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
        let pieces = shapes.iter().map(|s| Piece::Input(s[axis])).collect();
        let values: Vec<&Tensor<T>> = parts.iter().map(|part| part.value()).collect();
        let value = put_together(&values, pieces, axis, shape);
        Var::record("concat", parts, value, move |grad, back| {
            let mut start = 0;
            for (i, part) in shapes.iter().enumerate() {
                let end = start + part[axis];
                back.give(i, |_| grad.slice(axis, start..end));
                start = end;
            }
        })
    }

    /// Several variables of one shape one after the other along a new axis, number `axis`; each gets its part of ȳ.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let row = |values: [f64; 2]| Var::from(Tensor::from_vec([2], values.to_vec()));
    /// let y = Var::stack(&[&row([1.0, 2.0]), &row([3.0, 4.0])], 1);
    /// assert_eq!(y.value(), &Tensor::from_vec([2, 2], vec![1.0, 3.0, 2.0, 4.0]));
    /// ```
    ///
    /// # Panics
    /// If there are none, their shapes differ, `axis` is above their rank, or there are as many axes already as a
    /// tensor can have.
    #[track_caller]
    pub fn stack(parts: &[&Var<T>], axis: usize) -> Var<T> {
        let first = *parts.first().expect("stack: expected at least one operand").shape();
        let rank = first.len();
        if parts.iter().any(|part| *part.shape() != first) || axis > rank || rank == MAX_RANK {
            let shapes: Vec<String> = parts.iter().map(|part| part.shape().to_string()).collect();
            panic!(
                "stack: shapes {} along a new axis {axis}: expected equal shapes of less than {MAX_RANK} axes, and an \
                 axis of at most their rank",
                shapes.join(", ")
            );
        }
        // Not `map`: a panic in a closure points here, not at the caller.
        let mut with_axis = Vec::with_capacity(parts.len());
        for part in parts {
            with_axis.push(part.unsqueeze(axis));
        }
        Var::concat(&with_axis.iter().collect::<Vec<_>>(), axis)
    }
}

/// The pieces one after another along `axis`, in the memory order of the first input that has one, else channels-last;
/// `shape` is that of an input but for the extent along the axis.
fn put_together<T: Element>(parts: &[&Tensor<T>], pieces: Vec<Piece>, axis: usize, shape: Shape) -> Tensor<T> {
    // A part that repeats its elements lies in no order.
    let own = parts.iter().find(|part| !part.repeats()).map(|part| part.strides().order());
    let order = own.unwrap_or_else(|| shape.channels_last().order());
    let parts: Vec<Tensor<T>> = parts.iter().map(|part| part.in_memory_order(order)).collect();
    let layout = Layout::in_order(shape, order);
    let inner = order.iter().skip_while(|&&other| other != axis).skip(1).map(|&other| shape[other]).product();
    let [y] = compute(compiled(&Concat { pieces, inner }), &parts.iter().collect::<Vec<_>>(), [layout]);
    y
}
