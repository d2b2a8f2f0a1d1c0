//! The vectors of the CPU levels, and the one place that runs code with the instructions of a level.
//!
//! A value of a type that is [`Simd`] exists only where its instructions are available: [`run`] makes it, inside a
//! function that is compiled for them. So arithmetic on vectors is safe. All of it must be inlined there: a function or
//! closure that is not `#[inline(always)]` would be compiled without the instructions.

use super::Level;

/// The vectors of one CPU level. Only the types here have it: [`run`] and products of blocks rely on what they are.
pub trait Simd: Copy + private::Sealed {
    /// Floats in a vector.
    const LANES: usize;
    /// Rows of a register tile that is two vectors wide: with the vectors of a row of B, they fill the registers.
    const TILE_ROWS: usize;
    /// A vector.
    type Vector: Copy;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// a + b
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a − b
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a·b
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a·b + c, rounded once by the levels with that instruction, twice by the others.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// b where a > 0, c elsewhere, also where a is NaN.
    fn if_positive(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// `from` must point to so many.
    unsafe fn load_all(self, from: *const f32) -> Self::Vector;
    /// Reads `n` ≤ `LANES` floats; zeros follow them.
    ///
    /// # Safety
    /// `from` must point to so many.
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::Vector;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// `to` must point to room for so many.
    unsafe fn store_all(self, value: Self::Vector, to: *mut f32);
    /// Writes the first `n` ≤ `LANES` floats.
    ///
    /// # Safety
    /// `to` must point to room for so many.
    unsafe fn store_first(self, value: Self::Vector, to: *mut f32, n: usize);

    /// The transpose of a block of sixteen rows.
    #[inline(always)]
    fn transpose(self, from: [&[f32; 16]; 16], to: &mut [[f32; 16]; 16]) {
        for (j, row) in to.iter_mut().enumerate() {
            for i in 0..16 {
                row[i] = from[i][j];
            }
        }
    }

    /// Zeros.
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }

    /// The first `LANES` floats of a slice, zeros after its end.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        // SAFETY: so many lie in the slice.
        unsafe { self.load_of(from.as_ptr(), from.len()) }
    }

    /// Writes the first lanes of a vector, as many as the slice has room for.
    #[inline(always)]
    fn store(self, value: Self::Vector, to: &mut [f32]) {
        // SAFETY: so many have room in the slice.
        unsafe { self.store_of(value, to.as_mut_ptr(), to.len()) }
    }

    /// The first `LANES` of `n` floats, zeros after their end.
    ///
    /// # Safety
    /// `from` must point to `n` floats.
    #[inline(always)]
    unsafe fn load_of(self, from: *const f32, n: usize) -> Self::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            match n >= Self::LANES {
                true => self.load_all(from),
                false => self.load_first(from, n),
            }
        }
    }

    /// Writes the first lanes of a vector, as many as `n` floats have room for.
    ///
    /// # Safety
    /// `to` must point to room for `n` floats.
    #[inline(always)]
    unsafe fn store_of(self, value: Self::Vector, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match n >= Self::LANES {
                true => self.store_all(value, to),
                false => self.store_first(value, to, n),
            }
        }
    }
}

/// Something to be computed with the vectors of any level.
pub trait WithSimd {
    /// What it gives.
    type Output;
    /// Computes it; `#[inline(always)]`.
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output;
}

mod private {
    /// Keeps [`super::Simd`] to the types of this file.
    pub trait Sealed {}
}

/// Runs a computation with the vectors of a level.
///
/// # Panics
/// If this machine lacks the level.
pub fn run<C: WithSimd>(level: Level, computation: C) -> C::Output {
    run_inlined(level, computation)
}

/// [`run`], except that the choice of the level is inlined where it is called: for short loops. A convolution of three
/// channels, which runs a product for every row of pixels, is faster by up to 1 % if it is not.
#[inline(always)]
pub(super) fn run_inlined<C: WithSimd>(level: Level, computation: C) -> C::Output {
    assert!(level.is_available(), "this machine cannot run the level {}", level.name());
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is available.
        Level::Avx512 => unsafe { x86::avx512(computation) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::avx2(computation) },
        _ => plain(computation),
    }
}

/// A function like those of the other levels, lest the portable code be part of every caller.
fn plain<C: WithSimd>(computation: C) -> C::Output {
    computation.with_simd(Plain)
}

/// Arrays for any machine, of which the compiler makes vectors, SSE's or NEON's.
///
/// Lanes are written out, not made by `std::array::from_fn`: that is a call for each lane, which made the training step
/// 20 times as slow. What has more than one operation is rounded after each, on every machine: [`Level::Portable`]
/// promises bits.
#[derive(Clone, Copy)]
struct Plain;

/// The lanes of [`Plain`]: a register of SSE or NEON. Tiles of eight, with operands in the L1 cache, were no faster.
type Array = [f32; 4];

impl private::Sealed for Plain {}

impl Simd for Plain {
    const LANES: usize = 4;
    /// 12 sums, two vectors of B, a broadcast number of A and a product fill the 16 registers of SSE, and half of
    /// NEON's: nothing is spilt. Tiles of 1, 2, 4, 6 and 8 rows run at 18, 28, 31, 32 and 26 GFLOP/s on a Zen 3, and at
    /// 102 with AVX2.
    const TILE_ROWS: usize = 6;
    type Vector = Array;

    #[inline(always)]
    fn splat(self, value: f32) -> Array {
        [value; 4]
    }
    #[inline(always)]
    fn add(self, a: Array, b: Array) -> Array {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }
    #[inline(always)]
    fn sub(self, a: Array, b: Array) -> Array {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }
    #[inline(always)]
    fn mul(self, a: Array, b: Array) -> Array {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }
    #[inline(always)]
    fn mul_add(self, a: Array, b: Array, c: Array) -> Array {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn if_positive(self, a: Array, b: Array, c: Array) -> Array {
        let lane = |i: usize| if a[i] > 0.0 { b[i] } else { c[i] };
        [lane(0), lane(1), lane(2), lane(3)]
    }
    #[inline(always)]
    unsafe fn load_all(self, from: *const f32) -> Array {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<Array>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> Array {
        let mut value = [0.0; 4];
        // SAFETY: the caller's promise.
        unsafe { value.as_mut_ptr().copy_from_nonoverlapping(from, n) }
        value
    }
    #[inline(always)]
    unsafe fn store_all(self, value: Array, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<Array>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, value: Array, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { to.copy_from_nonoverlapping(value.as_ptr(), n) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Simd, WithSimd};
    use std::arch::x86_64::*;

    /// Proof that AVX-512 is available. All `unsafe` calls below rest on it, and on what the caller promises about
    /// pointers.
    #[derive(Clone, Copy)]
    pub struct Avx512(());

    /// Proof that AVX2 and FMA are available, likewise.
    #[derive(Clone, Copy)]
    pub struct Avx2(());

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub fn avx512<C: WithSimd>(computation: C) -> C::Output {
        computation.with_simd(Avx512(()))
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2<C: WithSimd>(computation: C) -> C::Output {
        computation.with_simd(Avx2(()))
    }

    impl super::private::Sealed for Avx512 {}

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const TILE_ROWS: usize = 8;
        type Vector = __m512;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: `self` is the proof, here and below.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn if_positive(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps()), c, b) }
        }
        #[inline(always)]
        unsafe fn load_all(self, from: *const f32) -> __m512 {
            // SAFETY: as above.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as __mmask16, from) }
        }
        #[inline(always)]
        unsafe fn store_all(self, value: __m512, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn store_first(self, value: __m512, to: *mut f32, n: usize) {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm512_mask_storeu_ps(to, ((1u32 << n) - 1) as __mmask16, value) }
        }

        /// By shuffles: of the loop the compiler makes scatters.
        #[inline(always)]
        fn transpose(self, from: [&[f32; 16]; 16], to: &mut [[f32; 16]; 16]) {
            // SAFETY: as above.
            unsafe {
                let mut rows = [_mm512_setzero_ps(); 16];
                for (vector, row) in rows.iter_mut().zip(from) {
                    *vector = _mm512_loadu_ps(row.as_ptr());
                }
                // Within the quarters of the vectors: rows[4i + j] gets, in quarter q, column 4q + j of rows 4i to
                // 4i + 3.
                for four in rows.as_chunks_mut::<4>().0 {
                    let [a, b, c, d] = *four;
                    let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                    let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                    four[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                    four[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                    let (ab, cd) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                    let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                    four[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                    four[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                }
                // Then the quarters: row 4q + j of the result has quarter q of rows j, 4 + j, 8 + j and 12 + j.
                for j in 0..4 {
                    let [a, b, c, d] = [rows[j], rows[4 + j], rows[8 + j], rows[12 + j]];
                    let (ab, cd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
                    _mm512_storeu_ps(to[j].as_mut_ptr(), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                    _mm512_storeu_ps(to[8 + j].as_mut_ptr(), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
                    let (ab, cd) = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
                    _mm512_storeu_ps(to[4 + j].as_mut_ptr(), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                    _mm512_storeu_ps(to[12 + j].as_mut_ptr(), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
                }
            }
        }
    }

    impl Avx2 {
        /// The mask of the first `n` floats of eight.
        #[inline(always)]
        fn first(self, n: usize) -> __m256i {
            // SAFETY: `self` is the proof, here and below.
            unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
        }
    }

    impl super::private::Sealed for Avx2 {}

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const TILE_ROWS: usize = 6;
        type Vector = __m256;

        #[inline(always)]
        fn splat(self, value: f32) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        fn add(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn if_positive(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_blendv_ps(c, b, _mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps())) }
        }
        #[inline(always)]
        unsafe fn load_all(self, from: *const f32) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm256_maskload_ps(from, self.first(n)) }
        }
        #[inline(always)]
        unsafe fn store_all(self, value: __m256, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn store_first(self, value: __m256, to: *mut f32, n: usize) {
            // SAFETY: as above; what the mask leaves out is not touched.
            unsafe { _mm256_maskstore_ps(to, self.first(n), value) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Check;

    impl WithSimd for Check {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let values: Vec<f32> = (0..S::LANES).map(|i| i as f32 - 2.0).collect();
            for n in 0..=S::LANES {
                let mut out = vec![7.0; S::LANES + 1];
                simd.store(simd.load(&values[..n]), &mut out[..S::LANES]);
                let want: Vec<f32> = (0..S::LANES).map(|i| if i < n { values[i] } else { 0.0 }).chain([7.0]).collect();
                assert_eq!(out, want, "{n} loaded");
                let mut out = vec![7.0; S::LANES];
                simd.store(simd.load(&values), &mut out[..n]);
                assert!(out[..n] == values[..n] && out[n..].iter().all(|&x| x == 7.0), "{n} stored");
            }
            let mut signs = vec![-0.0, f32::NAN, -1.0, f32::MIN_POSITIVE];
            signs.resize(S::LANES, 2.0);
            let mut out = vec![0.0; S::LANES];
            simd.store(simd.if_positive(simd.load(&signs), simd.splat(1.0), simd.splat(-1.0)), &mut out);
            assert_eq!(out[..4], [-1.0, -1.0, -1.0, 1.0]);
            assert!(out[4..].iter().all(|&x| x == 1.0));
            let from: [[f32; 16]; 16] = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as f32));
            let mut to = [[f32::NAN; 16]; 16];
            simd.transpose(from.each_ref(), &mut to);
            for i in 0..16 {
                for j in 0..16 {
                    assert_eq!(to[j][i], from[i][j], "row {i}, column {j}");
                }
            }
        }
    }

    /// (1 + 2⁻¹²)² − (1 + 2⁻¹¹), which is 2⁻²⁴, and 0 if the square is rounded first.
    struct MultiplyAdd;

    impl WithSimd for MultiplyAdd {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let (a, c) = (simd.splat(1.0 + 2f32.powi(-12)), simd.splat(-1.0 - 2f32.powi(-11)));
            let mut out = [f32::NAN];
            simd.store(simd.mul_add(a, a, c), &mut out);
            out[0]
        }
    }

    #[test]
    fn only_levels_with_the_instruction_round_multiply_adds_once() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            assert_eq!(level.has_fma(), level >= Level::Avx2, "{level:?}");
            let want = if level.has_fma() { 2f32.powi(-24) } else { 0.0 };
            assert_eq!(run(level, MultiplyAdd), want, "{level:?}");
        }
    }

    #[test]
    fn every_level_loads_stores_chooses_and_transposes() {
        Level::ALL.into_iter().filter(|l| l.is_available()).for_each(|level| run(level, Check));
    }
}
