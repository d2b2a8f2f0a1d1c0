//! Sums, differences, products and quotients, with broadcasting by the rules of NumPy.
//!
//! An operand that was repeated to the shape of the result gets the sum of the gradients of its copies.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::{Backward, Element, Shape, Var};

/// The shape that two operands broadcast to.
#[track_caller]
fn joint_shape<T: Element>(name: &str, a: &Var<T>, b: &Var<T>) -> Shape {
    let (a, b) = (a.shape(), b.shape());
    // Not `unwrap_or_else`: a panic in a closure points here, not at the caller.
    let Some(joint) = a.broadcast(b) else {
        panic!("{name}: shapes {a} and {b} do not broadcast: expected equal extents, or 1, counting axes from the last")
    };
    joint
}

impl<T: Element> Var<T> {
    /// y = a + b; ā = ȳ, b̄ = ȳ.
    #[track_caller]
    fn sum_of(&self, other: &Var<T>) -> Var<T> {
        let shape = joint_shape("add", self, other);
        let value = self.value().zip(other.value(), shape, |a, b| a + b);
        let (a_shape, b_shape) = (*self.shape(), *other.shape());
        Var::record("add", &[self, other], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.sum_to(a_shape));
            back.give(1, |_| grad.sum_to(b_shape));
        })
    }

    /// y = a − b; ā = ȳ, b̄ = −ȳ.
    #[track_caller]
    fn difference(&self, other: &Var<T>) -> Var<T> {
        let shape = joint_shape("sub", self, other);
        let value = self.value().zip(other.value(), shape, |a, b| a - b);
        let (a_shape, b_shape) = (*self.shape(), *other.shape());
        Var::record("sub", &[self, other], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.sum_to(a_shape));
            back.give(1, |_| -grad.sum_to(b_shape));
        })
    }

    /// y = a ⊙ b; ā = ȳ ⊙ b, b̄ = ȳ ⊙ a.
    #[track_caller]
    fn product(&self, other: &Var<T>) -> Var<T> {
        let shape = joint_shape("mul", self, other);
        let value = self.value().zip(other.value(), shape, |a, b| a * b);
        let (a_shape, b_shape) = (*self.shape(), *other.shape());
        let (a, b) = (self.saved_for(other), other.saved_for(self));
        Var::record("mul", &[self, other], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |back| (grad * back.var(&b)).sum_to(a_shape));
            back.give(1, |back| (grad * back.var(&a)).sum_to(b_shape));
        })
    }

    /// y = a / b; ā = ȳ / b, b̄ = −ȳ ⊙ y / b.
    #[track_caller]
    fn quotient(&self, other: &Var<T>) -> Var<T> {
        let shape = joint_shape("div", self, other);
        let value = self.value().zip(other.value(), shape, |a, b| a / b);
        let (a_shape, b_shape) = (*self.shape(), *other.shape());
        let (b, y) = (other.saved(), value.clone());
        Var::record("div", &[self, other], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |back| (grad / back.var(&b)).sum_to(a_shape));
            back.give(1, |back| -(grad * back.output(&y) / back.var(&b)).sum_to(b_shape));
        })
    }

    /// y = −x; x̄ = −ȳ.
    #[track_caller]
    fn negative(&self) -> Var<T> {
        let value = self.value().map(|x| -x);
        Var::record("neg", &[self], value, |grad: &Var<T>, back: &mut Backward<T>| back.give(0, |_| -grad))
    }

    /// y = scale·x + shift with two numbers; x̄ = scale·ȳ.
    #[track_caller]
    pub fn affine(&self, scale: f64, shift: f64) -> Var<T> {
        let (a, b) = (T::of(scale), T::of(shift));
        let value = self.value().map(move |x| a * x + b);
        Var::record("affine", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.affine(scale, 0.0));
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
operator!(Mul, mul, product, |x, c| x.affine(c, 0.0), x.affine(c, 0.0));
operator!(Div, div, quotient, |x, c| x.affine(1.0 / c, 0.0), x.powi(-1).affine(c, 0.0));

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
