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

    /// eˣ of x ≤ 0, within two units of the last place, and NaN of NaN; in f32 0 below −87. Arithmetic alone in f32, so that a
    /// loop of it is made of vectors.
    fn exp_of_negative(self) -> Self;

    /// tanh x within four units of the last place, and NaN of NaN; in f32 by arithmetic alone, likewise.
    fn tanh_by_exp(self) -> Self;

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
    ($t:ident, $gemm:path, $exp:path, $tanh:path) => {
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

            #[inline(always)]
            fn exp_of_negative(self) -> Self {
                $exp(self)
            }

            #[inline(always)]
            fn tanh_by_exp(self) -> Self {
                $tanh(self)
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

element!(f32, matrixmultiply::sgemm, exp_of_negative, tanh_by_exp);
element!(f64, matrixmultiply::dgemm, f64::exp, f64::tanh);

/// eˣ = 2ⁿ·(1 + p) for −87 ≤ x ≤ 0, as (2ⁿ, p): with n = round(x/ln 2) and r = x − n·ln 2, |r| ≤ ln 2/2, p is eʳ − 1 by the
/// Taylor series up to r⁷/7!, whose rest is 5e-9 of eʳ.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    /// 1.5·2²³: adding it rounds to whole numbers, which then are the last bits of the sum.
    const SHIFT: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first of 9 bits, so that n times it is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut series = 1.0 / 5040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0] {
        series = series * r + 1.0 / factorial;
    }
    // n goes to the exponent of 1.
    (f32::from_bits(1f32.to_bits().wrapping_add(shifted.to_bits() << 23)), series * r * r + r)
}

#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    let (scale, p) = exp_parts(x);
    let y = scale * (1.0 + p);
    // The shift would push the payload of a NaN into its exponent, so a NaN passes by itself.
    let y = if x >= -87.0 { y } else { x };
    if x < -87.0 { 0.0 } else { y }
}

/// tanh |x| = −m / (2 + m) with m = e^(−2|x|) − 1 = 2ⁿ·p + (2ⁿ − 1), which is exact to the last places near 0 too. From 10
/// on it is 1.
#[inline(always)]
fn tanh_by_exp(x: f32) -> f32 {
    let (scale, p) = exp_parts(-2.0 * if x.abs() < 10.0 { x.abs() } else { 10.0 });
    let m = scale * p + (scale - 1.0);
    let y = (-m / (2.0 + m)).copysign(x);
    if x.is_nan() { x } else { y }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_by_exp_is_within_four_units_of_the_last_place() {
        let tiny = (0..100).map(|i| 1e-30 * 2f32.powi(i));
        for x in (0..=120_000).map(|i| i as f32 * 1e-4).chain(tiny).chain([1e30, f32::INFINITY]) {
            for x in [x, -x] {
                let (got, want) = (x.tanh_by_exp(), (x as f64).tanh());
                assert!((got as f64 - want).abs() <= 2.0 * f32::EPSILON as f64 * want.abs(), "{x}: {got}, not {want}");
                assert_eq!(got.is_sign_negative(), x.is_sign_negative(), "{x}");
            }
        }
        for bits in [0x7fc0_0000, 0x7fc0_01ff, 0x7f80_0001, 0xffff_ffff] {
            assert!(f32::from_bits(bits).tanh_by_exp().is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn exp_of_negative_is_within_two_units_of_the_last_place() {
        for i in 0..=870_000 {
            let x = i as f32 * -1e-4;
            let (got, want) = (x.exp_of_negative() as f64, (x as f64).exp());
            assert!((got - want).abs() <= f32::EPSILON as f64 * want, "{x}: {got}, not {want}");
        }
        assert_eq!(0f32.exp_of_negative(), 1.0);
        assert_eq!([-87.1, -1e30, f32::NEG_INFINITY].map(f32::exp_of_negative), [0.0; 3]);
        // NaNs that come from files carry payloads of any bits, in the sign too.
        for bits in [0x7fc0_0000, 0x7fc0_0001, 0x7fc0_01ff, 0x7f80_0001, 0x7fff_ffff, 0xffc0_0100, 0xffff_ffff] {
            assert!(f32::from_bits(bits).exp_of_negative().is_nan(), "{bits:#x}");
        }
    }
}
