//! What formulas are written over.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What a [`Function`](super::Function) is written over: `f32`, `f64`, and the expressions of the printer.
///
/// There are no comparisons that give a truth value, because the printer has no values to compare: a formula chooses
/// between two results, both computed.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + private::Sealed
{
    /// The nearest number to `x`; in formulas, [`number`].
    fn of(x: f64) -> Self;
    /// Option number `index` of a function, whose value is `value`.
    fn option(index: usize, value: f64) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ of x ≤ 0, within two units of the last place: in f32 by arithmetic alone, so that a loop of it is made of
    /// vectors and gives the same bits on every machine; and there 0 below −87.
    fn exp_negative(self) -> Self;
    /// The natural logarithm, NaN below 0.
    fn ln(self) -> Self;
    /// ln(1 + x), exact near 0 too.
    fn ln_1p(self) -> Self;
    /// √x, NaN below 0.
    fn sqrt(self) -> Self;
    /// sin x, x in radians.
    fn sin(self) -> Self;
    /// cos x, x in radians.
    fn cos(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// xⁿ for a whole number n.
    fn powi(self, n: i32) -> Self;
    /// xᵖ, NaN for x < 0 unless p is whole.
    fn powf(self, p: Self) -> Self;
    /// `then` where x > `bound`, else (and where either is NaN) `otherwise`.
    fn if_above(self, bound: Self, then: Self, otherwise: Self) -> Self;
    /// `then` where x ≤ `bound`, else (and where either is NaN) `otherwise`.
    fn if_at_most(self, bound: Self, then: Self, otherwise: Self) -> Self;
    /// `then` where x = `other`, else (and where either is NaN) `otherwise`.
    fn if_equal(self, other: Self, then: Self, otherwise: Self) -> Self;

    /// `then` where x > 0, else (and where x is NaN) `otherwise`.
    #[inline(always)]
    fn if_positive(self, then: Self, otherwise: Self) -> Self {
        self.if_above(Self::of(0.0), then, otherwise)
    }

    /// `then` where x is NaN, else `otherwise`.
    #[inline(always)]
    fn if_nan(self, then: Self, otherwise: Self) -> Self {
        self.if_equal(self, otherwise, then)
    }
}

/// A constant in a formula.
#[inline(always)]
pub fn number<X: Number>(x: f64) -> X {
    X::of(x)
}

pub(super) mod private {
    /// Keeps [`Number`](super::Number) to the types that the kernels and the printer know.
    pub trait Sealed {}
}
