//! Arithmetic on tensors, alone and mixed with variables: that of constants, whose operations nothing records.
//!
//! ```
//! use wengert::{Tape, Tensor};
//! let a = Tensor::<f64>::from_vec([2], vec![1.0, 2.0]);
//! assert_eq!((2.0 * &a - &a / 4.0).to_vec(), [1.75, 3.5]);
//! let x = Tape::new().var(Tensor::scalar(3.0));
//! assert_eq!((&x * &a + 1.0).value().to_vec(), [4.0, 7.0]); // shapes broadcast
//! let sum: Tensor<f64> = [&a, &a, &a].into_iter().sum();
//! assert_eq!(sum.to_vec(), [3.0, 6.0]);
//! ```

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::{Element, Tensor, Var};

/// An operator on tensors, tensors and variables, tensors and numbers, each by value or by reference.
macro_rules! operator {
    ($trait:ident, $method:ident, $assign:ident, $assign_method:ident) => {
        operator!(@each $trait, $method, Tensor<T>, Tensor<T>, Tensor<T>, Var::into_value);
        operator!(@each $trait, $method, Var<T>, Tensor<T>, Var<T>, std::convert::identity);
        operator!(@each $trait, $method, Tensor<T>, Var<T>, Var<T>, std::convert::identity);
        operator!(@number $trait, $method, Tensor<T>);
        operator!(@number $trait, $method, &Tensor<T>);
        operator!(@assign $trait, $method, $assign, $assign_method, Tensor<T>);
        operator!(@assign $trait, $method, $assign, $assign_method, Var<T>);
    };
    (@each $trait:ident, $method:ident, $a:ty, $b:ty, $y:ty, $finish:path) => {
        operator!(@two $trait, $method, $a, $b, $y, $finish);
        operator!(@two $trait, $method, $a, &$b, $y, $finish);
        operator!(@two $trait, $method, &$a, $b, $y, $finish);
        operator!(@two $trait, $method, &$a, &$b, $y, $finish);
    };
    (@two $trait:ident, $method:ident, $a:ty, $b:ty, $y:ty, $finish:path) => {
        impl<T: Element> $trait<$b> for $a {
            type Output = $y;
            #[track_caller]
            fn $method(self, other: $b) -> $y {
                $finish($trait::$method(Var::from(self), Var::from(other)))
            }
        }
    };
    (@number $trait:ident, $method:ident, $a:ty) => {
        impl<T: Element> $trait<f64> for $a {
            type Output = Tensor<T>;
            #[track_caller]
            fn $method(self, number: f64) -> Tensor<T> {
                $trait::$method(Var::from(self), number).into_value()
            }
        }
        impl<T: Element> $trait<$a> for f64 {
            type Output = Tensor<T>;
            #[track_caller]
            fn $method(self, x: $a) -> Tensor<T> {
                $trait::$method(self, Var::from(x)).into_value()
            }
        }
    };
    (@assign $trait:ident, $method:ident, $assign:ident, $assign_method:ident, $a:ident<T>) => {
        impl<T: Element, B> $assign<B> for $a<T>
        where
            for<'a> &'a $a<T>: $trait<B, Output = $a<T>>,
        {
            #[track_caller]
            fn $assign_method(&mut self, other: B) {
                let (shape, y) = (*self.shape(), $trait::$method(&*self, other));
                let found = y.shape();
                let name = stringify!($assign_method);
                assert!(*found == shape, "{name}: the left side is of shape {shape}, the result of {found}");
                *self = y;
            }
        }
    };
}

operator!(Add, add, AddAssign, add_assign);
operator!(Sub, sub, SubAssign, sub_assign);
operator!(Mul, mul, MulAssign, mul_assign);
operator!(Div, div, DivAssign, div_assign);

impl<T: Element> Neg for &Tensor<T> {
    type Output = Tensor<T>;
    #[track_caller]
    fn neg(self) -> Tensor<T> {
        (-Var::from(self)).into_value()
    }
}

impl<T: Element> Neg for Tensor<T> {
    type Output = Tensor<T>;
    #[track_caller]
    fn neg(self) -> Tensor<T> {
        -&self
    }
}

/// Sums of what an iterator yields, from first to last; of nothing, the scalar 0.
macro_rules! sum {
    ($sum:ident, $item:ty) => {
        impl<'a, T: Element> Sum<$item> for $sum<T> {
            fn sum<I: Iterator<Item = $item>>(mut items: I) -> $sum<T> {
                let first = items.next().map(|first| first.clone());
                first.map_or(Tensor::scalar(0.0).into(), |first| items.fold(first, |sum, item| sum + item))
            }
        }
    };
}

sum!(Tensor, Tensor<T>);
sum!(Tensor, &'a Tensor<T>);
sum!(Var, Var<T>);
sum!(Var, &'a Var<T>);
