//! Sums, means, variances, deviations, maxima and minima over axes, and where these lie.
//!
//! The sum of nothing is 0, its mean NaN, and its maximum or minimum a panic.

use super::choice::WhereTrue;
use super::elementwise::Sqrt;
use crate::compute::{Compiled, by_element};
use crate::kernels::formulas::{Larger, Quotient, Smaller, Sum};
use crate::kernels::reduce::Reduction;
use crate::{Axes, Element, Function, Shape, Tensor, Var, function, number};

function!(
    /// 1 where both are equal, else 0.
    pub IsEqual |a, b| a.if_equal(b, number(1.0), number(0.0))
);

/// Of each element of x, its share of the extreme `kept` over `axes`: 1 divided by how many are equal to it, or 0.
fn share_of_extreme<T: Element>(x: &Tensor<T>, kept: &Tensor<T>, axes: &Axes) -> Tensor<T> {
    let is_extreme = by_element(IsEqual, [x, kept]);
    let ties = is_extreme.reduce(axes, 0.0, Sum);
    by_element(Quotient, [&is_extreme, &ties])
}

/// Checks that `axis` is an axis of `shape`.
#[track_caller]
pub(super) fn check_axis(name: &str, shape: &Shape, axis: usize) {
    assert!(axis < shape.len(), "{name}: axis {axis} of shape {shape}: expected an axis below {}", shape.len());
}

/// Checks that `axes` are axes of `shape`, each named once, and returns them.
#[track_caller]
pub(super) fn check_axes(name: &str, shape: &Shape, axes: impl Into<Axes>) -> Axes {
    let axes = axes.into();
    for (i, axis) in axes.iter().enumerate() {
        check_axis(name, shape, *axis);
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

    /// The standard deviation over `axes`, the root of [`variance_axes`](Var::variance_axes) with this correction
    /// (PyTorch's default is 1). Where all elements are equal it is 0, and so is its gradient.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([2, 2], vec![1.0, 5.0, 3.0, 3.0]));
    /// let y = x.std_axes([1], false, 0);
    /// assert_eq!(y.value().to_vec(), [2.0, 0.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).to_vec(), [-0.5, 0.5, 0.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn std_axes(&self, axes: impl Into<Axes>, keepdim: bool, correction: usize) -> Var<T> {
        let axes = check_axes("std", self.shape(), axes);
        self.variance_axes(axes, keepdim, correction).root_of_variance()
    }

    /// y = √x; x̄ = ȳ / 2y, and 0 where y = 0: the slope is infinite there, but that of the variance is 0, and the
    /// product would be NaN.
    #[track_caller]
    fn root_of_variance(&self) -> Var<T> {
        let value = by_element(Sqrt, [self.value()]);
        let saved = value.clone();
        Var::record("std", &[self], value, move |grad, back| {
            back.give(0, |back| {
                let y = back.output(&saved);
                let divisor = Var::where_cond(&saved, &y, &Tensor::scalar(1.0).into());
                grad.gate(&saved, WhereTrue) / divisor * 0.5
            });
        })
    }

    /// The maximum over `axes`, which stay with extent 1 if `keepdim`. Equal maxima share the gradient evenly.
    /// NaN if any element is.
    ///
    /// # Panics
    /// If one of `axes` is out of range, named twice, or holds nothing: nothing has no maximum.
    #[track_caller]
    pub fn max_axes(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        self.extreme("max", axes.into(), keepdim, f64::NEG_INFINITY, Larger)
    }

    /// The maximum of all elements, of shape (). Equal maxima share the gradient evenly.
    ///
    /// # Panics
    /// If there are none: nothing has no maximum.
    #[track_caller]
    pub fn max(&self) -> Var<T> {
        self.max_axes(self.shape().axes(), false)
    }

    /// The minimum over `axes`, which stay with extent 1 if `keepdim`. Equal minima share the gradient evenly.
    /// NaN if any element is.
    ///
    /// # Panics
    /// If one of `axes` is out of range, named twice, or holds nothing: nothing has no minimum.
    #[track_caller]
    pub fn min_axes(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        self.extreme("min", axes.into(), keepdim, f64::INFINITY, Smaller)
    }

    /// The minimum of all elements, of shape (). Equal minima share the gradient evenly.
    ///
    /// # Panics
    /// If there are none: nothing has no minimum.
    #[track_caller]
    pub fn min(&self) -> Var<T> {
        self.min_axes(self.shape().axes(), false)
    }

    /// The largest or smallest element over `axes`, which `function` keeps of two, beginning with `init`.
    #[track_caller]
    fn extreme<F: Function<2>>(&self, name: &'static str, axes: Axes, keepdim: bool, init: f64, function: F) -> Var<T>
    where
        Reduction<F>: Compiled,
    {
        let axes = check_axes(name, self.shape(), axes);
        let shape = *self.shape();
        let empty = axes.iter().any(|&axis| shape[axis] == 0);
        assert!(!empty, "{name}: over axes {axes} of shape {shape}: expected at least one element");
        let kept = self.value().reduce(&axes, init, function);
        let kept_shape = *kept.shape();
        let x = self.value().clone();
        let value = keep(&kept, &axes, keepdim);
        Var::record(name, &[self], value, move |grad, back| {
            back.give(0, |_| grad.reshape(kept_shape) * Var::from(share_of_extreme(&x, &kept, &axes)));
        })
    }

    /// [`Tensor::argmax`] of the value.
    ///
    /// # Panics
    /// As [`Tensor::argmax`].
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Vec<usize> {
        self.value().argmax(axis)
    }

    /// [`Tensor::argmin`] of the value.
    ///
    /// # Panics
    /// As [`Tensor::argmin`].
    #[track_caller]
    pub fn argmin(&self, axis: usize) -> Vec<usize> {
        self.value().argmin(axis)
    }
}

impl<T: Element> Tensor<T> {
    /// The sum of all elements.
    pub fn sum(&self) -> T {
        self.reduce(&self.shape().axes(), 0.0, Sum).item()
    }

    /// Where the largest element along `axis` lies: one index for each place of the other axes, in row-major order.
    /// Of equal ones it is the first, and NaN, if there is one, as in PyTorch. The values are read back if a device has
    /// them alone.
    ///
    /// The classes that logits (N, K) predict, as [`cross_entropy`](crate::ops::loss::cross_entropy) takes its labels:
    /// ```
    /// use wengert::Tensor;
    /// let logits = Tensor::<f64>::from_vec([2, 3], vec![0.1, 0.7, 0.2, 3.0, -1.0, 3.0]);
    /// assert_eq!(logits.argmax(1), [1, 0]);
    /// assert_eq!(logits.argmin(0), [0, 1, 0]);
    /// ```
    ///
    /// # Panics
    /// If the axis is out of range or holds nothing.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Vec<usize> {
        self.place_of_extreme("argmax", axis, |x, best| x > best)
    }

    /// Where the smallest element along `axis` lies; else as [`argmax`](Tensor::argmax).
    ///
    /// # Panics
    /// If the axis is out of range or holds nothing.
    #[track_caller]
    pub fn argmin(&self, axis: usize) -> Vec<usize> {
        self.place_of_extreme("argmin", axis, |x, best| x < best)
    }

    /// Where along `axis` the element lies that no other one beats.
    #[track_caller]
    fn place_of_extreme(&self, name: &str, axis: usize, beats: impl Fn(T, T) -> bool) -> Vec<usize> {
        let shape = self.shape();
        check_axis(name, shape, axis);
        let extent = shape[axis];
        assert!(extent > 0, "{name}: along axis {axis} of shape {shape}: expected at least one element");
        let (values, inner) = (self.to_vec(), shape[axis + 1..].iter().product::<usize>());
        let of_place = |place: usize| {
            let at = |i: usize| values[(place / inner * extent + i) * inner + place % inner];
            let better = |i: usize, best: usize| !at(best).is_nan() && (at(i).is_nan() || beats(at(i), at(best)));
            (1..extent).fold(0, |best, i| if better(i, best) { i } else { best })
        };
        (0..values.len() / extent).map(of_place).collect()
    }
}
