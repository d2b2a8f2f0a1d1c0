//! The scalar types: `f32` trains, `f64` checks.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

/// A floating-point type that tensors can hold: `f32` or `f64`, nothing else.
///
/// Everything above the kernels is written once, for any `Element`; only kernels specialise.
/// Literals enter through [`Element::of`], so that one formula serves both types.
pub trait Element:
    num_traits::Float
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Default
    + Debug
    + Display
    + Send
    + Sync
    + private::Sealed
    + 'static
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to `x`.
    fn of(x: f64) -> Self;

    /// This value as `f64` (exact for both types).
    fn f64(self) -> f64;

    /// `C ← A·B + beta·C` by `matrixmultiply`, on one thread.
    ///
    /// A is (m, k), B is (k, n), C is (m, n); each comes with its (row, column) strides in elements.
    /// Use [`super::matmul::matmul`], which checks the bounds and spreads over threads.
    ///
    /// # Safety
    /// Every element that the shapes and strides reach must lie inside the allocation behind its pointer,
    /// and no other thread may touch those of C meanwhile.
    #[allow(clippy::too_many_arguments)]
    unsafe fn gemm(
        m: usize,
        k: usize,
        n: usize,
        a: (*const Self, isize, isize),
        b: (*const Self, isize, isize),
        beta: Self,
        c: (*mut Self, isize, isize),
    );
}

macro_rules! element {
    ($t:ident, $gemm:path) => {
        impl Element for $t {
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }

            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }

            unsafe fn gemm(
                m: usize,
                k: usize,
                n: usize,
                a: (*const Self, isize, isize),
                b: (*const Self, isize, isize),
                beta: Self,
                c: (*mut Self, isize, isize),
            ) {
                // SAFETY: the caller's promise is exactly what `matrixmultiply` asks for.
                unsafe { $gemm(m, k, n, 1.0, a.0, a.1, a.2, b.0, b.1, b.2, beta, c.0, c.1, c.2) }
            }
        }

        impl private::Sealed for $t {}
    };
}

element!(f32, matrixmultiply::sgemm);
element!(f64, matrixmultiply::dgemm);

mod private {
    /// Keeps [`super::Element`] to the two types that the kernels know.
    pub trait Sealed {}
}

/// `slice` itself if `T` is `U`, else `None`: how a generic kernel hands over to an `f32` specialisation.
pub fn cast<T: Element, U: Element>(slice: &[T]) -> Option<&[U]> {
    (std::any::TypeId::of::<T>() == std::any::TypeId::of::<U>()).then(|| {
        // SAFETY: T and U are the same type.
        unsafe { std::slice::from_raw_parts(slice.as_ptr().cast(), slice.len()) }
    })
}

/// [`cast`] for an exclusive slice.
pub fn cast_mut<T: Element, U: Element>(slice: &mut [T]) -> Option<&mut [U]> {
    (std::any::TypeId::of::<T>() == std::any::TypeId::of::<U>()).then(|| {
        // SAFETY: T and U are the same type, and the exclusive borrow goes over to the result.
        unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr().cast(), slice.len()) }
    })
}
