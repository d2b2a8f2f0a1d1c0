//! Sums, differences, products and quotients, with broadcasting by the rules of NumPy.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::compute::by_element;
use crate::kernels::formulas::{Affine, Difference, Product, Quotient, Sum};
use crate::{Element, Function, Var, function};

function!(pub Negative |x| -x);
function!(
    /// Not times 1/c, which is rounded, and infinite for a tiny c.
    pub Over { c } |x| x / c
);
function!(pub Under { c } |x| c / x);

/// Both operands repeated to one shape. This is all that there is to broadcasting: operators see operands of one shape,
/// and the rule of [`broadcast_to`](Var::broadcast_to) adds up the gradients of the copies.
#[track_caller]
pub(super) fn repeated<T: Element>(name: &str, a: &Var<T>, b: &Var<T>) -> (Var<T>, Var<T>) {
    let (a_shape, b_shape) = (a.shape(), b.shape());
    // Not `unwrap_or_else`: a panic in a closure points here, not at the caller.
    let Some(shape) = a_shape.broadcast(b_shape) else {
        panic!(
            "{name}: shapes {a_shape} and {b_shape} do not broadcast: expected equal extents, or 1, counting axes from \
             the last"
        )
    };
    (a.broadcast_to(shape), b.broadcast_to(shape))
}

/// The value of a function of two operands of one shape.
fn of<T: Element>(function: impl Function<2>, a: &Var<T>, b: &Var<T>) -> crate::Tensor<T> {
    by_element(function, [a.value(), b.value()])
}

impl<T: Element> Var<T> {
    /// y = a + b; ā = ȳ, b̄ = ȳ.
    #[track_caller]
    fn sum_of(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("add", self, other);
        Var::record("add", &[&a, &b], of(Sum, &a, &b), |grad, back| {
            back.give(0, |_| grad.clone());
            back.give(1, |_| grad.clone());
        })
    }

    /// y = a − b; ā = ȳ, b̄ = −ȳ.
    #[track_caller]
    fn difference(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("sub", self, other);
        if b.shape() != other.shape() {
            // The same to the bit, but what is repeated changes its sign before, and its gradient after it is summed
            // up.
            return self.sum_of(&other.negative());
        }
        Var::record("sub", &[&a, &b], of(Difference, &a, &b), |grad, back| {
            back.give(0, |_| grad.clone());
            back.give(1, |_| -grad);
        })
    }

    /// y = a ⊙ b; ā = ȳ ⊙ b, b̄ = ȳ ⊙ a.
    #[track_caller]
    fn product(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("mul", self, other);
        let (saved_a, saved_b) = (a.saved_for(&b), b.saved_for(&a));
        Var::record("mul", &[&a, &b], of(Product, &a, &b), move |grad, back| {
            back.give(0, |back| grad * back.var(&saved_b));
            back.give(1, |back| grad * back.var(&saved_a));
        })
    }

    /// y = a / b; ā = ȳ / b, b̄ = −ȳ ⊙ y / b.
    #[track_caller]
    fn quotient(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("div", self, other);
        let (y, saved_b) = (of(Quotient, &a, &b), b.saved());
        let saved_y = y.clone();
        Var::record("div", &[&a, &b], y, move |grad, back| {
            back.give(0, |back| grad / back.var(&saved_b));
            back.give(1, |back| -(grad * back.output(&saved_y) / back.var(&saved_b)));
        })
    }

    /// y = −x; x̄ = −ȳ.
    #[track_caller]
    fn negative(&self) -> Var<T> {
        let value = by_element(Negative, [self.value()]);
        Var::record("neg", &[self], value, |grad, back| back.give(0, |_| -grad))
    }

    /// y = scale·x + shift with two numbers; x̄ = scale·ȳ.
    #[track_caller]
    pub fn affine(&self, scale: f64, shift: f64) -> Var<T> {
        let value = by_element(Affine { scale, shift }, [self.value()]);
        Var::record("affine", &[self], value, move |grad, back| back.give(0, |_| grad.times(scale)))
    }

    /// y = scale·x; x̄ = scale·ȳ.
    #[track_caller]
    fn times(&self, scale: f64) -> Var<T> {
        self.affine(scale, -0.0) // Adding 0 would make 0 of −0.
    }

    /// y = x/c with a number; x̄ = ȳ/c.
    #[track_caller]
    fn over(&self, c: f64) -> Var<T> {
        let value = by_element(Over { c }, [self.value()]);
        Var::record("div", &[self], value, move |grad, back| back.give(0, |_| grad.over(c)))
    }

    /// y = c/x with a number; x̄ = −ȳ ⊙ y / x.
    #[track_caller]
    fn under(&self, c: f64) -> Var<T> {
        let (x, y) = (self.saved(), by_element(Under { c }, [self.value()]));
        let saved_y = y.clone();
        Var::record("div", &[self], y, move |grad, back| {
            back.give(0, |back| -(grad * back.output(&saved_y) / back.var(&x)));
        })
    }
}

/// An operator on two variables, each by value or by reference, and on a variable and a number.
macro_rules! operator {
    ($trait:ident, $method:ident, $of_two:ident, |$x:ident, $c:ident| $right:expr, $left:expr) => {
        operator!(@two $trait, $method, $of_two, &Var<T>, &Var<T>);
        operator!(@two $trait, $method, $of_two, &Var<T>, Var<T>);
        operator!(@two $trait, $method, $of_two, Var<T>, &Var<T>);
        operator!(@two $trait, $method, $of_two, Var<T>, Var<T>);
        operator!(@number $trait, $method, |$x, $c| $right, $left, &Var<T>);
        operator!(@number $trait, $method, |$x, $c| $right, $left, Var<T>);
    };
    (@two $trait:ident, $method:ident, $of_two:ident, $a:ty, $b:ty) => {
        impl<T: Element> $trait<$b> for $a {
            type Output = Var<T>;
            #[track_caller]
            fn $method(self, other: $b) -> Var<T> {
                #[allow(clippy::needless_borrow, reason = "the operands are taken by value or by reference")]
                (&self).$of_two(&other)
            }
        }
    };
    (@number $trait:ident, $method:ident, |$x:ident, $c:ident| $right:expr, $left:expr, $a:ty) => {
        impl<T: Element> $trait<f64> for $a {
            type Output = Var<T>;
            #[track_caller]
            fn $method(self, $c: f64) -> Var<T> {
                let $x = &self;
                $right
            }
        }
        impl<T: Element> $trait<$a> for f64 {
            type Output = Var<T>;
            #[track_caller]
            fn $method(self, $x: $a) -> Var<T> {
                let $c = self;
                $left
            }
        }
    };
}

operator!(Add, add, sum_of, |x, c| x.affine(1.0, c), x.affine(1.0, c));
operator!(Sub, sub, difference, |x, c| x.affine(1.0, -c), x.affine(-1.0, c));
operator!(Mul, mul, product, |x, c| x.times(c), x.times(c));
operator!(Div, div, quotient, |x, c| x.over(c), x.under(c));

impl<T: Element> Neg for &Var<T> {
    type Output = Var<T>;
    #[track_caller]
    fn neg(self) -> Var<T> {
        self.negative()
    }
}

impl<T: Element> Neg for Var<T> {
    type Output = Var<T>;
    #[track_caller]
    fn neg(self) -> Var<T> {
        self.negative()
    }
}
