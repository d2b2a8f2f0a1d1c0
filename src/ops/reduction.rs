//! Sums, means, variances and maxima over axes.
//!
//! The sum of nothing is 0, its mean NaN, and its maximum a panic.

use crate::compute::by_element;
use crate::kernels::formulas::{Larger, Quotient, Sum};
use crate::{Axes, Element, Shape, Tensor, Var, function, number};

function!(
    /// 1 where both are equal, else 0.
    pub IsEqual |a, b| a.if_equal(b, number(1.0), number(0.0))
);

/// Checks that `axes` are axes of `shape`, each named once, and returns them.
#[track_caller]
pub(super) fn check_axes(name: &str, shape: &Shape, axes: impl Into<Axes>) -> Axes {
    let axes = axes.into();
    for (i, axis) in axes.iter().enumerate() {
        assert!(*axis < shape.len(), "{name}: axis {axis} of shape {shape}: expected an axis below {}", shape.len());
        assert!(!axes[..i].contains(axis), "{name}: axis {axis} of shape {shape} is named twice");
    }
    axes
}

/// A reduction over `axes`, which have extent 1 in it: as it is with `keepdim`, else without these axes.
pub(super) fn keep<T: Element>(kept: &Tensor<T>, axes: &Axes, keepdim: bool) -> Tensor<T> {
    let others = |(axis, _): &(usize, &usize)| keepdim || !axes.contains(axis);
    kept.reshape(kept.shape().iter().enumerate().filter(others).map(|(_, &extent)| extent).collect::<Shape>())
}

impl<T: Element> Var<T> {
    /// The sum of all elements, of shape (); x̄ is ȳ, repeated.
    #[track_caller]
    pub fn sum(&self) -> Var<T> {
        self.sum_axes(self.shape().axes(), false)
    }

    /// The sum over `axes`, which stay with extent 1 if `keepdim`, else go; x̄ is ȳ, repeated along them.
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn sum_axes(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        let axes = check_axes("sum", self.shape(), axes);
        let (shape, kept) = (*self.shape(), self.value().reduce(&axes, 0.0, Sum));
        let kept_shape = *kept.shape();
        let value = keep(&kept, &axes, keepdim);
        Var::record("sum", &[self], value, move |grad, back| {
            back.give(0, |_| grad.reshape(kept_shape).broadcast_to(shape));
        })
    }

    /// The sum over the axes along which `shape` was broadcast to this one: the adjoint of
    /// [`broadcast_to`](Var::broadcast_to), and nothing to do if the shapes are equal. x̄ is ȳ, repeated.
    ///
    /// # Panics
    /// If `shape` does not broadcast to this one.
    #[track_caller]
    pub fn sum_to(&self, shape: impl Into<Shape>) -> Var<T> {
        let (from, to) = (*self.shape(), shape.into());
        if from == to {
            return self.clone();
        }
        assert!(to.broadcast(&from) == Some(from), "sum_to: shape {to} does not broadcast to {from}");
        let new_axes = from.len() - to.len();
        let axes: Axes = (0..from.len()).filter(|&axis| axis < new_axes || to[axis - new_axes] != from[axis]).collect();
        let value = self.value().reduce(&axes, 0.0, Sum);
        let value = if new_axes > 0 { value.reshape(to) } else { value };
        Var::record("sum_to", &[self], value, move |grad, back| {
            back.give(0, |_| grad.broadcast_to(from));
        })
    }

    /// The mean of all elements, of shape (); NaN if there are none.
    #[track_caller]
    pub fn mean(&self) -> Var<T> {
        self.sum() / self.value().size() as f64
    }

    /// The mean over `axes`, which stay with extent 1 if `keepdim`; NaN if they hold nothing.
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn mean_axes(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        let axes = check_axes("mean", self.shape(), axes);
        let n: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        self.sum_axes(axes, keepdim) / n as f64
    }

    /// The variance over `axes`, Σ(x − mean)²/(n − correction), where n is the number of elements along them:
    /// correction 0 is the variance of the elements themselves, 1 the unbiased estimate (PyTorch's default).
    ///
    /// NaN or infinite if n ≤ correction.
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn variance_axes(&self, axes: impl Into<Axes>, keepdim: bool, correction: usize) -> Var<T> {
        let axes = check_axes("variance", self.shape(), axes);
        let n: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        self.deviation(axes).powi(2).sum_axes(axes, keepdim) / n.saturating_sub(correction) as f64
    }

    /// x − mean over `axes`.
    ///
    /// The first element along the axes is taken off before, as a constant: that changes neither value nor gradient,
    /// but the mean that is left is small, and rounding it loses no more than rounding the largest deviation does. Of
    /// numbers around 10⁴, f32 would know the mean to 5·10⁻⁴ only.
    #[track_caller]
    pub(super) fn deviation(&self, axes: Axes) -> Var<T> {
        if self.value().size() == 0 {
            return self.clone();
        }
        let first = axes.iter().fold(self.value().clone(), |first, &axis| first.slice(axis, 0..1));
        let near = self - Var::from(first);
        &near - near.mean_axes(axes, true)
    }

    /// The maximum over `axes`, which stay with extent 1 if `keepdim`. Equal maxima share the gradient evenly.
    /// NaN if any element is.
    ///
    /// # Panics
    /// If one of `axes` is out of range, named twice, or holds nothing: nothing has no maximum.
    #[track_caller]
    pub fn max_axes(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        let axes = check_axes("max", self.shape(), axes);
        let shape = *self.shape();
        let empty = axes.iter().any(|&axis| shape[axis] == 0);
        assert!(!empty, "max: over axes {axes} of shape {shape}: expected at least one element");
        let kept = self.value().reduce(&axes, f64::NEG_INFINITY, Larger);
        let kept_shape = *kept.shape();
        let x = self.value().clone();
        let value = keep(&kept, &axes, keepdim);
        Var::record("max", &[self], value, move |grad, back| {
            back.give(0, |_| {
                let is_max = by_element(IsEqual, [&x, &kept]);
                let ties = is_max.reduce(&axes, 0.0, Sum);
                let share: Var<T> = by_element(Quotient, [&is_max, &ties]).into();
                grad.reshape(kept_shape) * share
            });
        })
    }

    /// The maximum of all elements, of shape (). Equal maxima share the gradient evenly.
    ///
    /// # Panics
    /// If there are none: nothing has no maximum.
    #[track_caller]
    pub fn max(&self) -> Var<T> {
        self.max_axes(self.shape().axes(), false)
    }
}

impl<T: Element> Tensor<T> {
    /// The sum of all elements.
    pub fn sum(&self) -> T {
        self.reduce(&self.shape().axes(), 0.0, Sum).item()
    }
}
