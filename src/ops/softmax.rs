//! Softmax, its logarithm, and ln Σ exp.
//!
//! All subtract the maximum first, so that no exponential overflows; it cancels out of the result, so it is held
//! constant and no rule sees it.

use super::index::around;
use super::reduction::{check_axes, check_axis, keep};
use crate::compute::{by_element, compiled, compute};
use crate::kernels::formulas::{Larger, Sum};
use crate::kernels::softmax::{Softmax, SoftmaxGradient};
use crate::{Axes, Element, Tensor, Var, function, number};

function!(
    /// x, and 0 if it is infinite.
    pub FiniteOrZero |x| x.abs().if_equal(number(f64::INFINITY), number(0.0), x)
);
function!(pub ExpOfDifference |x, max| (x - max).exp());
function!(pub LnPlus |sum, max| sum.ln() + max);

impl<T: Element> Var<T> {
    /// yᵢ = exp xᵢ / Σⱼ exp xⱼ along `axis`; x̄ = y ⊙ (ȳ − Σ y ⊙ ȳ).
    ///
    /// NaN along the axis, as in PyTorch, where an element is NaN or +∞, or all are −∞.
    ///
    /// # Panics
    /// If the axis is out of bounds.
    #[track_caller]
    pub fn softmax(&self, axis: usize) -> Var<T> {
        check_axis("softmax", self.shape(), axis);
        let value = self.along(axis, false);
        let y = value.clone();
        Var::record("softmax", &[self], value, move |grad, back| {
            let records = back.records();
            back.give(0, |back| {
                if !records {
                    return softmax_backward(&y, grad.value(), axis).into();
                }
                let y = back.output(&y);
                let weighed = grad * &y;
                &weighed - &y * weighed.sum_axes([axis], true)
            });
        })
    }

    /// yᵢ = xᵢ − ln Σⱼ exp xⱼ along `axis`, more exact than the logarithm of the softmax; x̄ = ȳ − eʸ ⊙ Σ ȳ.
    ///
    /// NaN along the axis, as in PyTorch, where an element is NaN or +∞, or all are −∞.
    ///
    /// # Panics
    /// If the axis is out of bounds.
    #[track_caller]
    pub fn log_softmax(&self, axis: usize) -> Var<T> {
        check_axis("log_softmax", self.shape(), axis);
        let value = self.along(axis, true);
        let y = value.clone();
        Var::record("log_softmax", &[self], value, move |grad, back| {
            back.give(0, |back| grad - back.output(&y).exp() * grad.sum_axes([axis], true));
        })
    }

    /// y = ln Σ exp x over `axes`, which stay with extent 1 if `keepdim`, else go; x̄ = ȳ ⊙ exp(x − y).
    ///
    /// As in PyTorch: −∞ over nothing and where all elements are −∞ (the gradient there is NaN), +∞ where one is +∞.
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn logsumexp(&self, axes: impl Into<Axes>, keepdim: bool) -> Var<T> {
        let axes = check_axes("logsumexp", self.shape(), axes);
        let x = self.value();
        let max = x.reduce(&axes, f64::NEG_INFINITY, Larger);
        // An infinite maximum would give ∞ − ∞; without one to subtract the sums are 0 and ∞, as they should be.
        let max = by_element(FiniteOrZero, [&max]);
        let sum = by_element(ExpOfDifference, [x, &max]).reduce(&axes, 0.0, Sum);
        let kept = by_element(LnPlus, [&sum, &max]);
        let kept_shape = *kept.shape();
        let value = keep(&kept, &axes, keepdim);
        let (x, y) = (self.saved(), value.clone());
        Var::record("logsumexp", &[self], value, move |grad, back| {
            back.give(0, |back| {
                let y = back.output(&y).reshape(kept_shape);
                grad.reshape(kept_shape) * (back.var(&x) - y).exp()
            });
        })
    }

    /// The value of softmax or log_softmax.
    fn along(&self, axis: usize, log: bool) -> Tensor<T> {
        let (x, around) = around(self.value(), axis);
        let [y] = compute(compiled(&Softmax { around, log }), &[&x], [x.layout()]);
        y
    }
}

/// The fused form of the rule of softmax; `y` is dense, for the kernel has made it.
fn softmax_backward<T: Element>(y: &Tensor<T>, grad: &Tensor<T>, axis: usize) -> Tensor<T> {
    let (y, around) = around(y, axis);
    let layout = y.layout();
    let [x] = compute(compiled(&SoftmaxGradient { around }), &[&y, &grad.like(&y)], [layout]);
    x
}
