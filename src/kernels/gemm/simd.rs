//! The vectors of the CPU levels: what the register tile is made of.

/// The vectors of one CPU level.
///
/// # Safety
/// Every function needs the instructions of the level, and valid pointers to `LANES` floats where it takes a pointer.
pub trait Simd {
    /// Floats in a vector.
    const LANES: usize;
    /// Rows of a tile; it is two vectors wide.
    const ROWS: usize;
    type Vector: Copy;
    unsafe fn zero() -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// The first `n` ≤ `LANES` floats, where only so many need to lie, and zeros.
    unsafe fn load_first(from: *const f32, n: usize) -> Self::Vector;
    /// Writes the first `n` ≤ `LANES` floats, where only so many need to fit.
    unsafe fn store_first(to: *mut f32, n: usize, value: Self::Vector);
    unsafe fn broadcast(value: f32) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a·b + c, rounded once.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Brings a line to the cache; the address may be any.
    fn prefetch(address: *const f32);
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// The vectors of [`Level::Avx512`](crate::kernels::Level).
    pub struct Avx512;

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const ROWS: usize = 8;
        type Vector = __m512;
        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller's promise, here and in the other functions of this trait: the level is available.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: as above, and 16 floats lie there.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m512) {
            // SAFETY: as above, and there is room for 16 floats.
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> __m512 {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as __mmask16, from) }
        }
        #[inline(always)]
        unsafe fn store_first(to: *mut f32, n: usize, value: __m512) {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as __mmask16, value) }
        }
        #[inline(always)]
        unsafe fn broadcast(value: f32) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn prefetch(address: *const f32) {
            prefetch(address)
        }
    }

    #[inline(always)]
    fn prefetch(address: *const f32) {
        // SAFETY: every x86-64 has the instruction, and it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    /// The mask of the first `n` floats of eight.
    ///
    /// # Safety
    /// AVX2 must be available.
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    /// The vectors of [`Level::Avx2`](crate::kernels::Level).
    pub struct Avx2;

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const ROWS: usize = 6;
        type Vector = __m256;
        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: the caller's promise, here and in the other functions of this trait: the level is available.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            // SAFETY: as above, and 8 floats lie there.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m256) {
            // SAFETY: as above, and there is room for 8 floats.
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> __m256 {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm256_maskload_ps(from, first(n)) }
        }
        #[inline(always)]
        unsafe fn store_first(to: *mut f32, n: usize, value: __m256) {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm256_maskstore_ps(to, first(n), value) }
        }
        #[inline(always)]
        unsafe fn broadcast(value: f32) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn prefetch(address: *const f32) {
            prefetch(address)
        }
    }
}
