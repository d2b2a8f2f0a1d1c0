//! Matrix products C (m, n) = A (m, k) · B (k, n).
//!
//! A and B come with any strides, so that a transposed operand need not be copied first; C is row-major. Large products
//! are cut into blocks of rows or of columns whose borders depend on the sizes alone, and each element of C is summed
//! on one thread: the bits are the same at any number of threads.

use super::element::cast;
use super::parallel::{PARTS, Partition, add, for_chunks, half, sum_halves};
use super::{Buffer, Element, Level, gemm, shared::Shared};

/// A matrix inside a slice: its values, and its (row, column) strides in elements.
pub type Mat<'a, T> = (&'a [T], [usize; 2]);

/// Multiply-adds that are worth a task of their own: 20 µs at 100 GFLOP/s, a few times what the hand-over costs.
pub(super) const TASK_MULTIPLY_ADDS: usize = 1 << 20;

/// No part is narrower than this many rows or columns, since every part reads the whole other operand again.
const NARROWEST: usize = 64;

/// Products that are added up one after another where each is rounded: longer sums are halved, so that their error
/// grows as log k, not as k.
const CHAIN: usize = 64;

/// The same for products by blocks: in register tiles, 21 panels of [`gemm::PANEL_ROWS`], each summed by itself.
const DEEP: usize = 21 * gemm::PANEL_ROWS;

/// C (m, n) ← A (m, k) · B (k, n), or C + A·B to `accumulate`. Spreads over threads; `c` is row-major and dense.
///
/// # Panics
/// If the strides lead outside `a` or `b`, or `c` does not have m·n elements.
pub fn matmul<T: Element>([m, k, n]: [usize; 3], a: Mat<T>, b: Mat<T>, accumulate: bool, c: &mut [T]) {
    let level = Level::current();
    check([m, k, n], a, b);
    assert_eq!(Some(c.len()), m.checked_mul(n), "matmul: C is {m}×{n}");
    if c.is_empty() {
        return;
    }
    if level != Level::Scalar && k > 0 {
        // Matrix times vector: bound by memory, and a register tile would be nearly empty.
        if n == 1 {
            return matvec(level, k, a, (b.0, b.1[0]), accumulate, c);
        }
        if m == 1 {
            return matvec(level, k, transposed(b), (a.0, a.1[1]), accumulate, c);
        }
    }
    let parts = (m.saturating_mul(k).saturating_mul(n) / TASK_MULTIPLY_ADDS).clamp(1, PARTS);
    if parts == 1 {
        on_this_thread(level, [m, k, n], a, b, accumulate, c, n);
    } else if m >= n {
        let rows = m.div_ceil(parts).next_multiple_of(16).max(NARROWEST);
        for_chunks(c, rows * n, |start, part| {
            let a = (&a.0[start / n * a.1[0]..], a.1);
            on_this_thread(level, [part.len() / n, k, n], a, b, accumulate, part, n);
        });
    } else {
        let out = Shared::new(c);
        Partition::of(n, n.div_ceil(parts).max(NARROWEST)).in_units(32).map(|columns| {
            let b = (&b.0[columns.start * b.1[1]..], b.1);
            let size = [m, k, columns.len()];
            // SAFETY: `check` above covers A and B, of which this is a column block; C has m·n elements, and no other
            // task writes these columns.
            unsafe { on_this_thread_unchecked(level, size, a, b, accumulate, out.address(columns.start), n) };
        });
    }
}

/// C (m, n) ← A (m, k) · B (k, n) (+ C to `accumulate`) on this thread; the rows of C begin `c_row` elements apart.
///
/// # Panics
/// If the strides lead outside a slice, or the rows of C overlap.
pub fn on_this_thread<T: Element>(
    level: Level,
    [m, k, n]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
    accumulate: bool,
    c: &mut [T],
    c_row: usize,
) {
    check([m, k, n], a, b);
    assert!(
        c_row >= n && reach([m, n], [c_row, 1]) <= c.len(),
        "matmul: a {m}×{n} C, rows {c_row} apart, does not fit"
    );
    // SAFETY: both asserts together are the promise, and the exclusive borrow of `c` keeps other threads away.
    unsafe { on_this_thread_unchecked(level, [m, k, n], a, b, accumulate, c.as_mut_ptr(), c_row) }
}

/// [`on_this_thread`] into memory that other threads may write too, elsewhere.
///
/// # Safety
/// A and B must lie within their slices; the m rows of n elements from `c`, `c_row` apart, must not overlap, must lie
/// within one allocation and be touched by no other thread meanwhile.
unsafe fn on_this_thread_unchecked<T: Element>(
    level: Level,
    [m, k, n]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
    accumulate: bool,
    c: *mut T,
    c_row: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    let most = if level == Level::Scalar { CHAIN } else { DEEP };
    if k > most {
        let left = half(k, most);
        let mut right = Buffer::stale(m * n);
        on_this_thread(
            level,
            [m, k - left, n],
            (&a.0[left * a.1[1]..], a.1),
            (&b.0[left * b.1[0]..], b.1),
            false,
            &mut right,
            n,
        );
        // SAFETY: the caller's promise, which holds for fewer columns of A and rows of B as well.
        unsafe { on_this_thread_unchecked(level, [m, left, n], a, b, accumulate, c, c_row) };
        for (i, right) in right.chunks_exact(n).enumerate() {
            // SAFETY: row i of C, ours alone by the caller's promise, and written above.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * c_row), n) };
            add(level, row, right);
        }
        return;
    }
    if level == Level::Scalar || k == 0 {
        for i in 0..m {
            // SAFETY: row i of C, ours alone by the caller's promise; floats of any bits are valid.
            let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * c_row), n) };
            let a_row = if k == 0 { &[] } else { &a.0[i * a.1[0]..] };
            plain_row(row, k, (a_row, a.1[1]), b, accumulate);
        }
        return;
    }
    if let (Some(av), Some(bv)) = (cast::<T, f32>(a.0), cast::<T, f32>(b.0)) {
        let (a, b) = ((av.as_ptr(), a.1), (bv.as_ptr(), b.1));
        // SAFETY: the caller's promise; T is f32; a level in use is available.
        if unsafe { gemm::product(level, [m, k, n], a, b, accumulate, c.cast(), c_row) } {
            return;
        }
    }
    let beta = if accumulate { T::one() } else { T::zero() };
    let strided = |(values, [row, column]): Mat<T>| (values.as_ptr(), row as isize, column as isize);
    // SAFETY: the caller's promise; slices span at most isize::MAX bytes, so that the strides in use fit.
    unsafe { T::gemm(m, k, n, strided(a), strided(b), beta, (c, c_row as isize, 1)) }
}

/// One row of C: c (n) ← a (k) · B (k, n), in the plainest order.
fn plain_row<T: Element>(c: &mut [T], k: usize, a: (&[T], usize), b: Mat<T>, accumulate: bool) {
    if !accumulate {
        c.fill(T::zero());
    }
    for p in 0..k {
        let factor = a.0[p * a.1];
        for (j, c) in c.iter_mut().enumerate() {
            *c += factor * b.0[p * b.1[0] + j * b.1[1]];
        }
    }
}

/// y (m) ← A (m, k) · x (k), or y + A·x, bound by the memory that A lies in. k is not 0; x has a stride.
fn matvec<T: Element>(level: Level, k: usize, a: Mat<T>, x: (&[T], usize), accumulate: bool, y: &mut [T]) {
    let gathered;
    let x = if x.1 == 1 {
        &x.0[..k]
    } else {
        let mut buffer = Buffer::stale(k);
        buffer.iter_mut().enumerate().for_each(|(p, to)| *to = x.0[p * x.1]);
        gathered = buffer;
        &gathered[..]
    };
    let row = a.1[0];
    let rows = ((1 << 16) / k).max(1).next_multiple_of(64);
    for_chunks(y, rows, |first, y| times(level, y, (&a.0[first * row..], a.1), x, accumulate));
}

/// y (m) ← A (m, k) · x (k), or y + A·x, on this thread; k is not 0.
pub(super) fn times<T: Element>(level: Level, y: &mut [T], a: Mat<T>, x: &[T], accumulate: bool) {
    let column = a.1[1];
    let most = if column == 1 { PIECE } else { CHAIN };
    sum_halves(level, 0..x.len(), most, y, &|terms, y| {
        let accumulate = accumulate && terms.start == 0;
        times_few(level, y, (&a.0[terms.start * column..], a.1), &x[terms], accumulate);
    });
}

/// [`times`] where the terms are few enough to be added up one after another.
fn times_few<T: Element>(level: Level, y: &mut [T], a: Mat<T>, x: &[T], accumulate: bool) {
    let [row, column] = a.1;
    level.vectorize(
        #[inline(always)]
        || {
            if column == 1 {
                return dots(y, (a.0, row), x, accumulate);
            }
            if !accumulate {
                y.fill(T::zero());
            }
            if row == 1 {
                return add_rows(y, (a.0, column), x);
            }
            for (p, &x) in x.iter().enumerate() {
                y.iter_mut().enumerate().for_each(|(i, y)| *y += a.0[i * row + p * column] * x);
            }
        },
    )
}

/// Rows of numbers side by side whose products are added up one after another in a scalar product.
const ROWS: usize = 16;

/// The scalar product of two vectors of one length: 64 sums side by side, so that no addition waits for the one before;
/// then the sum of these, pair by pair; then the rest.
#[inline(always)]
pub(super) fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    const SUMS: usize = 64;
    let (a_rows, a_rest) = a.as_chunks::<SUMS>();
    let (b_rows, b_rest) = b.as_chunks::<SUMS>();
    let mut totals = [T::zero(); SUMS];
    let mut first = 0;
    while first < a_rows.len() {
        let mut sums = [T::zero(); SUMS];
        let end = (first + ROWS).min(a_rows.len());
        for row in first..end {
            let (a, b) = (&a_rows[row], &b_rows[row]);
            for i in 0..SUMS {
                sums[i] += a[i] * b[i];
            }
        }
        for i in 0..SUMS {
            totals[i] += sums[i];
        }
        first = end;
    }
    let mut width = SUMS / 2;
    while width > 0 {
        for i in 0..width {
            totals[i] += totals[i + width];
        }
        width /= 2;
    }
    let mut rest = T::zero();
    for i in 0..a_rest.len() {
        rest += a_rest[i] * b_rest[i];
    }
    totals[0] + rest
}

/// Elements of a row from which on rows are read by four. Memory read by one thread of a Zen 4 in GB/s, row by row and
/// by four: 15 and 21 for rows of 4096 elements, 14 and 22 for 8192; but 22 and 17 for 2048, 17 and 11 for 512.
pub(super) const LONG: usize = 4096;

/// Elements of a row that are summed at once; longer ones are halved.
const PIECE: usize = 8192;

/// y ← A·x, or y + A·x, for an x of 1 to [`PIECE`] elements and a matrix whose rows begin `row` elements apart. Rows
/// from [`LONG`] on go by four, so that an x that fills much of the L1 cache is read once for all four.
#[inline(always)]
fn dots<T: Element>(y: &mut [T], (a, row): (&[T], usize), x: &[T], accumulate: bool) {
    let k = x.len();
    let fours = if k >= LONG { y.len() / 4 * 4 } else { 0 };
    for first in (0..fours).step_by(4) {
        let a = &a[first * row..];
        let products = four_dots([&a[..k], &a[row..][..k], &a[2 * row..][..k], &a[3 * row..][..k]], x);
        for i in 0..4 {
            y[first + i] = if accumulate { y[first + i] + products[i] } else { products[i] };
        }
    }
    for i in fours..y.len() {
        let product = dot(&a[i * row..][..k], x);
        y[i] = if accumulate { y[i] + product } else { product };
    }
}

/// The scalar products of four vectors with b, all of one length: 16 sums of each side by side.
#[inline(always)]
fn four_dots<T: Element>(a: [&[T]; 4], b: &[T]) -> [T; 4] {
    const SUMS: usize = 16;
    let (b_rows, b_rest) = b.as_chunks::<SUMS>();
    let [(a0, rest0), (a1, rest1), (a2, rest2), (a3, rest3)] = a.map(|a| a.as_chunks::<SUMS>());
    let zeros = [[T::zero(); SUMS]; 4];
    let mut totals = zeros;
    let mut first = 0;
    while first < b_rows.len() {
        let [mut sums0, mut sums1, mut sums2, mut sums3] = zeros;
        let end = (first + ROWS).min(b_rows.len());
        for row in first..end {
            let (a0, a1, a2, a3, b) = (&a0[row], &a1[row], &a2[row], &a3[row], &b_rows[row]);
            for i in 0..SUMS {
                sums0[i] += a0[i] * b[i];
                sums1[i] += a1[i] * b[i];
                sums2[i] += a2[i] * b[i];
                sums3[i] += a3[i] * b[i];
            }
        }
        for i in 0..SUMS {
            totals[0][i] += sums0[i];
            totals[1][i] += sums1[i];
            totals[2][i] += sums2[i];
            totals[3][i] += sums3[i];
        }
        first = end;
    }
    let mut rest = [T::zero(); 4];
    for (i, &b) in b_rest.iter().enumerate() {
        rest[0] += rest0[i] * b;
        rest[1] += rest1[i] * b;
        rest[2] += rest2[i] * b;
        rest[3] += rest3[i] * b;
    }
    std::array::from_fn(|k| totals[k].iter().copied().sum::<T>() + rest[k])
}

/// y ← y + Σ aₚ·xₚ for rows aₚ as long as y that begin `row` elements apart: from [`LONG`] on by four, so that y is
/// read and written once for all four.
#[inline(always)]
fn add_rows<T: Element>(y: &mut [T], (a, row): (&[T], usize), x: &[T]) {
    let n = y.len();
    let fours = if n >= LONG { x.len() / 4 * 4 } else { 0 };
    for p in (0..fours).step_by(4) {
        let (a, x) = (&a[p * row..], &x[p..p + 4]);
        let (a0, a1, a2, a3) = (&a[..n], &a[row..][..n], &a[2 * row..][..n], &a[3 * row..][..n]);
        for i in 0..n {
            y[i] += (a0[i] * x[0] + a1[i] * x[1]) + (a2[i] * x[2] + a3[i] * x[3]);
        }
    }
    for p in fours..x.len() {
        let a = &a[p * row..][..n];
        for i in 0..n {
            y[i] += a[i] * x[p];
        }
    }
}

/// The transposed matrix: the same values with exchanged strides.
pub fn transposed<T>((values, [row, column]): Mat<T>) -> Mat<T> {
    (values, [column, row])
}

/// Panics unless A (m, k) and B (k, n) lie inside their slices.
fn check<T>([m, k, n]: [usize; 3], a: Mat<T>, b: Mat<T>) {
    assert!(reach([m, k], a.1) <= a.0.len(), "matmul: a {m}×{k} A of strides {:?} in {} elements", a.1, a.0.len());
    assert!(reach([k, n], b.1) <= b.0.len(), "matmul: a {k}×{n} B of strides {:?} in {} elements", b.1, b.0.len());
}

/// One more than the largest offset of a matrix, 0 for an empty one. Saturates, so that no overflow passes a check.
fn reach([rows, columns]: [usize; 2], strides: [usize; 2]) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    let last = (rows - 1).saturating_mul(strides[0]).saturating_add((columns - 1).saturating_mul(strides[1]));
    last.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, noise, same_bits_on_any_threads, tolerance, widen};
    use super::*;

    /// A (rows, columns) matrix in the four ways it may lie: dense, transposed, with gaps, transposed with gaps.
    fn layouts([rows, columns]: [usize; 2]) -> [[usize; 2]; 4] {
        [[columns, 1], [1, rows], [2 * columns + 3, 2], [3, 3 * rows + 1]]
    }

    fn product([m, k, n]: [usize; 3], a: Mat<f64>, b: Mat<f64>, c: &mut [f64]) {
        for i in 0..m {
            for j in 0..n {
                for p in 0..k {
                    c[i * n + j] += a.0[i * a.1[0] + p * a.1[1]] * b.0[p * b.1[0] + j * b.1[1]];
                }
            }
        }
    }

    fn check_size<T: Element>(size @ [m, k, n]: [usize; 3]) {
        for sa in layouts([m, k]) {
            for sb in layouts([k, n]) {
                let (a, b) = (noise::<T>(reach([m, k], sa), 1), noise::<T>(reach([k, n], sb), 2));
                for accumulate in [false, true] {
                    let mut c = if accumulate { noise(m * n, 3) } else { vec![T::nan(); m * n] };
                    let mut want = if accumulate { widen(&c) } else { vec![0.0; m * n] };
                    product(size, (&widen(&a), sa), (&widen(&b), sb), &mut want);
                    matmul(size, (&a, sa), (&b, sb), accumulate, &mut c);
                    let error = error(&c, &want);
                    assert!(error < tolerance::<T>(), "{} {size:?} {sa:?} {sb:?} {accumulate}: {error}", T::NAME);
                }
            }
        }
    }

    #[test]
    fn every_level_agrees_with_the_definition() {
        let sizes = [0, 1, 2, 7, 8, 9, 17, 33];
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            level.scope(|| {
                for m in sizes {
                    for k in sizes {
                        for n in sizes {
                            check_size::<f32>([m, k, n]);
                            check_size::<f64>([m, k, n]);
                        }
                    }
                }
                for size in [
                    [300, 129, 70],
                    [70, 129, 300],
                    [1, 700, 500],
                    [500, 700, 1],
                    [1, 999, 1],
                    [65, 66_000, 1],
                    [3, 9_000, 5],
                ] {
                    check_size::<f32>(size);
                    check_size::<f64>(size);
                }
            });
        }
    }

    /// 10⁷ equal terms, of which one long chain loses 9 %, in every layout and by every way there is.
    #[test]
    fn long_products_lose_little() {
        let k = 10_000_000;
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for (m, n) in [(1, 1), (1, 2), (2, 1), (2, 3), (5, 1)] {
                for (sa, sb) in [([k, 1], [n, 1]), ([1, m], [1, k]), ([k, 1], [1, k]), ([1, m], [n, 1])] {
                    let (a, b) = (vec![0.1f32; m * k], vec![1.1f32; k * n]);
                    let mut c = vec![1.0; m * n];
                    level.scope(|| matmul([m, k, n], (&a, sa), (&b, sb), true, &mut c));
                    let want = 1.0 + k as f64 * 0.1f32 as f64 * 1.1f32 as f64;
                    for got in c {
                        let error = (got as f64 - want).abs() / want;
                        assert!(error <= 1e-5, "{level:?} {m}×{n} {sa:?} {sb:?}: {got}, not {want}: {error:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        for size @ [m, k, n] in [[700, 90, 65], [65, 300, 700], [1, 900, 2000], [2000, 900, 1]] {
            for strides in [[k, 1], [1, m]] {
                let (a, b) = (noise::<f32>(m * k, 1), noise::<f32>(k * n, 2));
                same_bits_on_any_threads(|| {
                    let mut c = vec![f32::NAN; m * n];
                    matmul(size, (&a, strides), (&b, [n, 1]), false, &mut c);
                    c
                });
            }
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let refused = |a_len: usize, strides: [usize; 2]| {
            let a = vec![1.0f32; a_len];
            std::panic::catch_unwind(|| matmul([4, 5, 6], (&a, strides), (&[1.0; 30], [6, 1]), false, &mut [0.0; 24]))
                .is_err()
        };
        assert!(!refused(20, [5, 1]));
        assert!(refused(19, [5, 1]));
        assert!(refused(20, [6, 1]));
        assert!(refused(20, [usize::MAX, 1]));
        assert!(refused(20, [1, usize::MAX / 2]));
        // An m·n that would wrap around to the length of C.
        let one = (&[1.0f32][..], [0, 0]);
        let huge = usize::MAX / 2 + 2;
        assert!(std::panic::catch_unwind(|| matmul([2, 1, huge], one, one, false, &mut [0.0; 2])).is_err());
    }
}
