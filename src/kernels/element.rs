//! The scalar types: `f32` trains, `f64` checks.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

use super::number::{Number, private};

/// A floating-point type that tensors can hold: `f32` or `f64`, nothing else.
///
/// Everything above the kernels is written once, for any `Element`; only kernels specialise.
/// Literals enter through [`Number::of`], so that one formula serves both types.
pub trait Element:
    Arithmetic
    + Plain
    + PartialOrd
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Default
    + Debug
    + Display
    + ndarray::LinalgScalar
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// This value as `f64` (exact for both types).
    fn f64(self) -> f64;
    /// The distance from 1 to the next larger number.
    fn epsilon() -> Self;
    /// Not a number.
    fn nan() -> Self;
    /// ∞
    fn infinity() -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// Of what is made for each type, that for this one.
    #[doc(hidden)]
    fn choose<F: Family>(for_f32: F::Of<f32>, for_f64: F::Of<f64>) -> F::Of<Self>;
}

/// A type for each element.
///
/// Generic code is compiled where it is used. Kernels for `T: Element` would be compiled anew with every program, test
/// and example, and with its optimisation. So each is put behind two functions that are not generic, one for `f32` and
/// one for `f64`, which are compiled with this crate, and generic code takes one of them by [`Element::choose`]. The
/// two are of one family.
pub trait Family {
    /// The one for `T`.
    type Of<T: Element>;
}

/// What the kernels need of an [`Element`] besides.
pub trait Arithmetic: Number {
    /// eˣ of x ≤ 0, within two units of the last place, and NaN of NaN; in f32 0 below −87. Arithmetic alone in f32,
    /// so that a loop of it is made of vectors; `FUSED` with multiply-adds, for levels that have them
    /// ([`super::Level::has_fma`]).
    fn exp_of_negative<const FUSED: bool>(self) -> Self;

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

/// What a buffer can hold: numbers of which any bits are valid.
///
/// # Safety
/// Every pattern of bits must be a valid value, without padding.
pub unsafe trait Plain: Copy + Send + Sync + 'static {
    /// What an output holds before it is written, in debug builds: easily told from a result.
    const STALE: Self;
}

// SAFETY: all floats and whole numbers of the machine are valid whatever their bits.
unsafe impl Plain for f32 {
    const STALE: f32 = f32::NAN;
}
// SAFETY: as above.
unsafe impl Plain for f64 {
    const STALE: f64 = f64::NAN;
}
// SAFETY: as above.
unsafe impl Plain for u32 {
    const STALE: u32 = u32::MAX;
}

macro_rules! element {
    ($t:ident, $gemm:path, $exp:ident, $tanh:path, |$for_f32:ident, $for_f64:ident| $chosen:ident) => {
        impl Element for $t {
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            fn epsilon() -> Self {
                $t::EPSILON
            }
            #[inline(always)]
            fn nan() -> Self {
                $t::NAN
            }
            #[inline(always)]
            fn infinity() -> Self {
                $t::INFINITY
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn choose<F: Family>($for_f32: F::Of<f32>, $for_f64: F::Of<f64>) -> F::Of<$t> {
                $chosen
            }
        }

        impl Arithmetic for $t {
            #[inline(always)]
            fn exp_of_negative<const FUSED: bool>(self) -> Self {
                $exp::<FUSED>(self)
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

        impl Number for $t {
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn option(_index: usize, value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn exp_negative(self) -> Self {
                $exp::<false>(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $t::ln_1p(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn sin(self) -> Self {
                $t::sin(self)
            }
            #[inline(always)]
            fn cos(self) -> Self {
                $t::cos(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn powi(self, n: i32) -> Self {
                $t::powi(self, n)
            }
            #[inline(always)]
            fn powf(self, p: Self) -> Self {
                $t::powf(self, p)
            }
            #[inline(always)]
            fn if_above(self, bound: Self, then: Self, otherwise: Self) -> Self {
                if self > bound { then } else { otherwise }
            }
            #[inline(always)]
            fn if_at_most(self, bound: Self, then: Self, otherwise: Self) -> Self {
                if self <= bound { then } else { otherwise }
            }
            #[inline(always)]
            fn if_equal(self, other: Self, then: Self, otherwise: Self) -> Self {
                if self == other { then } else { otherwise }
            }
        }

        impl private::Sealed for $t {}
    };
}

element!(f32, matrixmultiply::sgemm, exp_of_negative, tanh_by_exp, |this, _other| this);
element!(f64, matrixmultiply::dgemm, exp_of_negative_f64, f64::tanh, |_other, this| this);

#[inline(always)]
fn exp_of_negative_f64<const FUSED: bool>(x: f64) -> f64 {
    x.exp()
}

/// a·b + c. Not fused where the instruction is missing: the library function in its place is fifty times as slow. Nor
/// at levels that promise the same bits on every machine.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// eˣ = 2ⁿ·eʳ for −87 ≤ x ≤ 0, as (2ⁿ, q, r): with n = round(x/ln 2) and r = x − n·ln 2, |r| ≤ ln 2/2, eʳ = 1 + r +
/// q·r², where q is a polynomial of degree 4 by Remez' algorithm: eʳ is off by at most 4e-9 of itself.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32) -> (f32, f32, f32) {
    /// 1.5·2²³: adding it rounds to whole numbers, which then are the last bits of the sum; and 127, the exponent's
    /// bias.
    const SHIFT: f32 = 12_582_912.0 + 127.0;
    /// ln 2 in two parts, the first of 9 bits, so that n times it is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let shifted = mul_add::<FUSED>(x, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = mul_add::<FUSED>(n, -LN_2[1], mul_add::<FUSED>(n, -LN_2[0], x));
    let mut q = 1.381_454e-3;
    for coefficient in [8.368_745e-3, 4.166_839e-2, 0.166_665_21, 0.499_999_94] {
        q = mul_add::<FUSED>(q, r, coefficient);
    }
    // What lies above the exponent's bits is shifted out.
    (f32::from_bits(shifted.to_bits() << 23), q, r)
}

#[inline(always)]
fn exp_of_negative<const FUSED: bool>(x: f32) -> f32 {
    let (scale, q, r) = exp_parts::<FUSED>(x);
    // Of a NaN the scale is any number, and the product NaN.
    let y = scale * mul_add::<FUSED>(mul_add::<FUSED>(q, r, 1.0), r, 1.0);
    if x < -87.0 { 0.0 } else { y }
}

/// tanh x within four units of the last place, and NaN of NaN, by arithmetic alone, so that a loop of it is made of
/// vectors.
///
/// tanh |x| = −m / (2 + m) with m = e^(−2|x|) − 1 = 2ⁿ·(r + q·r²) + (2ⁿ − 1), which is exact to the last places near 0
/// too. From 10 on it is 1.
#[inline(always)]
fn tanh_by_exp(x: f32) -> f32 {
    let (scale, q, r) = exp_parts::<false>(-2.0 * if x.abs() < 10.0 { x.abs() } else { 10.0 });
    let m = scale * (q * r * r + r) + (scale - 1.0);
    let y = (-m / (2.0 + m)).copysign(x);
    if x.is_nan() { x } else { y }
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
                let (got, want) = (tanh_by_exp(x), (x as f64).tanh());
                assert!((got as f64 - want).abs() <= 2.0 * f32::EPSILON as f64 * want.abs(), "{x}: {got}, not {want}");
                assert_eq!(got.is_sign_negative(), x.is_sign_negative(), "{x}");
            }
        }
        for bits in [0x7fc0_0000, 0x7fc0_01ff, 0x7f80_0001, 0xffff_ffff] {
            assert!(tanh_by_exp(f32::from_bits(bits)).is_nan(), "{bits:#x}");
        }
    }

    fn exp_is_within_two_units_of_the_last_place<const FUSED: bool>() {
        for i in 0..=870_000 {
            let x = i as f32 * -1e-4;
            let (got, want) = (x.exp_of_negative::<FUSED>() as f64, (x as f64).exp());
            assert!((got - want).abs() <= f32::EPSILON as f64 * want, "{x}: {got}, not {want}");
        }
        assert_eq!(0f32.exp_of_negative::<FUSED>(), 1.0);
        assert_eq!([-87.1, -1e30, f32::NEG_INFINITY].map(f32::exp_of_negative::<FUSED>), [0.0; 3]);
        // NaNs that come from files carry payloads of any bits, in the sign too.
        for bits in [0x7fc0_0000, 0x7fc0_0001, 0x7fc0_01ff, 0x7f80_0001, 0x7fff_ffff, 0xffc0_0100, 0xffff_ffff] {
            assert!(f32::from_bits(bits).exp_of_negative::<FUSED>().is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn exp_of_negative_with_and_without_fused_multiply_adds() {
        exp_is_within_two_units_of_the_last_place::<false>();
        exp_is_within_two_units_of_the_last_place::<true>();
    }
}
