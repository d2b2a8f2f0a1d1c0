//! The matrix product of one thread in f32: a register tile of C, for AVX-512 and for AVX2.
//!
//! ```text
//! C (m, n) ← A (m, k) · B (k, n)   or   C + A·B
//! ```
//!
//! B is copied, a panel of `DEPTH` rows and one tile's columns at a time, into the order in which the tile reads it; A is
//! read where it lies, one broadcast number at a time, so that neither gathered patches nor transposed operands are
//! copied again. For each panel the tile walks down C:
//!
//! ```text
//! for each DEPTH rows of B            the panel fits the L1 cache
//!   for each tile's columns           pack the panel
//!     for each tile's rows            C tile += A rows · panel
//! ```
//!
//! A tile of 8×32 (AVX-512) or 6×16 (AVX2) keeps C in registers: 16 or 12 accumulators, enough to hide the latency of the
//! multiply-add, each loaded B vector used in every row, each broadcast of A in both vectors.
//!
//! matrixmultiply is the path of f64 and of other machines. Measured with it in this place, `gan bench step` spent a
//! quarter of its time in packing A and B (see notes/performance.md).

use super::Level;

/// Rows of a panel of B: 192·32 floats are 24 KiB of a 32 KiB L1 cache.
const DEPTH: usize = 192;

/// The vectors of one CPU level.
///
/// # Safety
/// Every function needs the instructions of the level, and valid pointers to `LANES` floats where it takes a pointer.
trait Simd {
    /// Floats in a vector.
    const LANES: usize;
    /// Rows of a tile; it is two vectors wide.
    const ROWS: usize;
    type Vector: Copy;
    unsafe fn zero() -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    unsafe fn broadcast(value: f32) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a·b + c, rounded once.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// Where an operand lies: its first element, and its (row, column) strides.
type Place = (*const f32, [usize; 2]);

/// C (m, n) ← A·B, or C + A·B to `accumulate`, if there is a kernel for the level; whether there is.
///
/// # Safety
/// `level` must be available; A (m, k) and B (k, n) must lie in memory that may be read; the m rows of n floats from
/// `c`, `c_row` apart, must not overlap, must lie in one allocation, and be touched by no other thread meanwhile.
pub unsafe fn product(
    level: Level,
    size: [usize; 3],
    a: Place,
    b: Place,
    accumulate: bool,
    c: *mut f32,
    c_row: usize,
) -> bool {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's promise, which includes that the level is available.
        Level::Avx512 => unsafe { x86::avx512(size, a, b, accumulate, c, c_row) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::avx2(size, a, b, accumulate, c, c_row) },
        _ => return false,
    }
    true
}

/// The loops around the tile.
///
/// # Safety
/// As [`product`], for the level of S.
#[inline(always)]
unsafe fn blocked<S: Simd>(
    [m, k, n]: [usize; 3],
    (a, [a_row, a_column]): Place,
    b: Place,
    accumulate: bool,
    c: *mut f32,
    c_row: usize,
) {
    let width = 2 * S::LANES;
    let mut panel = Panel([0.0; DEPTH * 32]);
    for first in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - first);
        let add = accumulate || first > 0;
        for column in (0..n).step_by(width) {
            let columns = width.min(n - column);
            // A single vector serves if the columns fit it.
            let vectors = columns.div_ceil(S::LANES);
            // SAFETY: rows `first..first + depth` and columns `column..column + columns` of B.
            unsafe { panel.pack(b, [first, column], [depth, columns], vectors * S::LANES) };
            for row in (0..m).step_by(S::ROWS) {
                let rows = S::ROWS.min(m - row);
                // SAFETY: rows `row..row + rows` of A and C, columns `column..column + columns` of C.
                unsafe {
                    let a = (a.add(row * a_row + first * a_column), [a_row, a_column]);
                    let c = (c.add(row * c_row + column), c_row);
                    if vectors == 1 {
                        tile_of_rows::<S, 1>([rows, depth, columns], a, panel.0.as_ptr(), c, add);
                    } else {
                        tile_of_rows::<S, 2>([rows, depth, columns], a, panel.0.as_ptr(), c, add);
                    }
                }
            }
        }
    }
}

/// A panel of B, (depth, 16 or 32), on lines of the cache.
#[repr(align(64))]
struct Panel([f32; DEPTH * 32]);

impl Panel {
    /// Copies B[first.., column..] (depth, columns) to rows of `width` floats, filled up with zeros.
    ///
    /// # Safety
    /// That part of B must lie in memory that may be read.
    #[inline(always)]
    unsafe fn pack(
        &mut self,
        (b, [b_row, b_column]): Place,
        [first, column]: [usize; 2],
        [depth, columns]: [usize; 2],
        width: usize,
    ) {
        for (p, row) in self.0.chunks_exact_mut(width).take(depth).enumerate() {
            // SAFETY: row first + p, columns from `column`, are in B by the caller's promise.
            let from = unsafe { b.add((first + p) * b_row + column * b_column) };
            if b_column == 1 {
                // SAFETY: `columns` floats in a row.
                row[..columns].copy_from_slice(unsafe { std::slice::from_raw_parts(from, columns) });
            } else {
                // SAFETY: `columns` floats, `b_column` apart.
                row[..columns].iter_mut().enumerate().for_each(|(j, to)| *to = unsafe { *from.add(j * b_column) });
            }
            row[columns..].fill(0.0);
        }
    }
}

/// [`tile`] with the number of rows as a constant, so that its accumulators are registers.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn tile_of_rows<S: Simd, const V: usize>(
    [rows, depth, columns]: [usize; 3],
    a: Place,
    panel: *const f32,
    c: (*mut f32, usize),
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            1 => tile::<S, 1, V>(depth, columns, a, panel, c, add),
            2 => tile::<S, 2, V>(depth, columns, a, panel, c, add),
            3 => tile::<S, 3, V>(depth, columns, a, panel, c, add),
            4 => tile::<S, 4, V>(depth, columns, a, panel, c, add),
            5 => tile::<S, 5, V>(depth, columns, a, panel, c, add),
            6 => tile::<S, 6, V>(depth, columns, a, panel, c, add),
            7 => tile::<S, 7, V>(depth, columns, a, panel, c, add),
            _ => tile::<S, 8, V>(depth, columns, a, panel, c, add),
        }
    }
}

/// C (R, columns) ← A (R, depth) · panel (depth, V vectors), or C + A·panel to `add`.
///
/// # Safety
/// The level of S must be available; A, the panel and C must have these sizes.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    depth: usize,
    columns: usize,
    (a, [a_row, a_column]): Place,
    panel: *const f32,
    (c, c_row): (*mut f32, usize),
    add: bool,
) {
    // SAFETY: p stays below depth, i below R, j below V: inside A, the panel and, if it has as many columns, C.
    unsafe {
        let mut sums = [[S::zero(); V]; R];
        for p in 0..depth {
            let mut b = [S::zero(); V];
            for (j, b) in b.iter_mut().enumerate() {
                *b = S::load(panel.add((p * V + j) * S::LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = S::broadcast(*a.add(i * a_row + p * a_column));
                for j in 0..V {
                    sums[j] = S::multiply_add(a, b[j], sums[j]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let row = c.add(i * c_row);
            if columns == V * S::LANES {
                for (j, &sum) in sums.iter().enumerate() {
                    let to = row.add(j * S::LANES);
                    S::store(to, if add { S::add(sum, S::load(to)) } else { sum });
                }
            } else {
                // The last columns: through a buffer, of which only they are written.
                let mut buffer = [0.0f32; 32];
                for (j, &sum) in sums.iter().enumerate() {
                    S::store(buffer.as_mut_ptr().add(j * S::LANES), sum);
                }
                for (j, &sum) in buffer[..columns].iter().enumerate() {
                    *row.add(j) = if add { sum + *row.add(j) } else { sum };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Place, Simd, blocked};
    use std::arch::x86_64::*;

    struct Avx512;

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
    }

    struct Avx2;

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
    }

    /// [`super::product`] for [`super::Level::Avx512`].
    ///
    /// # Safety
    /// As there.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub unsafe fn avx512(size: [usize; 3], a: Place, b: Place, accumulate: bool, c: *mut f32, c_row: usize) {
        // SAFETY: the caller's promise.
        unsafe { blocked::<Avx512>(size, a, b, accumulate, c, c_row) }
    }

    /// [`super::product`] for [`super::Level::Avx2`].
    ///
    /// # Safety
    /// As there.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(size: [usize; 3], a: Place, b: Place, accumulate: bool, c: *mut f32, c_row: usize) {
        // SAFETY: the caller's promise.
        unsafe { blocked::<Avx2>(size, a, b, accumulate, c, c_row) }
    }
}
