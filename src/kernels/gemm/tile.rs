//! The micro-kernel: a tile of C in registers.

use crate::kernels::simd::Simd;

/// Where A lies: its first element, and its (row, column, block) strides.
pub type Left = (*const f32, [usize; 3]);

/// Where B lies: its first row, and its (row, block) strides; a row is dense.
pub type Right = (*const f32, [usize; 2]);

/// C (R, columns) ← Σ A (R, depth) · B (depth, V vectors) over blocks, or C + that to `add`. Calls `ahead` before each
/// block: the place to fetch what comes next.
///
/// Each loaded vector of B serves all rows, each broadcast of A all V vectors. Strides that are constants where this is
/// called become offsets within the instructions.
///
/// # Safety
/// A, B and C must have these sizes, with columns in the last vector.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    [blocks, depth]: [usize; 2],
    columns: usize,
    (a, [a_row, a_column, a_block]): Left,
    (b, [b_row, b_block]): Right,
    (c, c_row): (*mut f32, usize),
    add: bool,
    ahead: impl Fn(usize),
) {
    // SAFETY: p stays below depth, i below R, j below V: inside A, B and, if it has as many columns, C.
    unsafe {
        let mut sums = [[simd.zero(); V]; R];
        for block in 0..blocks {
            let (a, b) = (a.add(block * a_block), b.add(block * b_block));
            ahead(block);
            for p in 0..depth {
                let mut row = [simd.zero(); V];
                for (j, vector) in row.iter_mut().enumerate() {
                    *vector = simd.load_all(b.add(p * b_row + j * S::LANES));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let a = simd.splat(*a.add(i * a_row + p * a_column));
                    for j in 0..V {
                        sums[j] = simd.mul_add(a, row[j], sums[j]);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let row = c.add(i * c_row);
            for (j, &sum) in sums.iter().enumerate() {
                let to = row.add(j * S::LANES);
                if columns == V * S::LANES {
                    simd.store_all(if add { simd.add(sum, simd.load_all(to)) } else { sum }, to);
                } else {
                    // The last columns: no other may be touched.
                    let n = (columns - j * S::LANES).min(S::LANES);
                    simd.store_first(if add { simd.add(sum, simd.load_first(to, n)) } else { sum }, to, n);
                }
            }
        }
    }
}

/// [`tile`] with the number of rows as a constant, so that its accumulators are registers.
///
/// # Safety
/// As [`tile`]; there are 1 to 8 rows.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub unsafe fn tile_of_rows<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    terms: [usize; 2],
    columns: usize,
    a: Left,
    b: Right,
    c: (*mut f32, usize),
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match rows {
            1 => tile::<S, 1, V>(simd, terms, columns, a, b, c, add, |_| {}),
            2 => tile::<S, 2, V>(simd, terms, columns, a, b, c, add, |_| {}),
            3 => tile::<S, 3, V>(simd, terms, columns, a, b, c, add, |_| {}),
            4 => tile::<S, 4, V>(simd, terms, columns, a, b, c, add, |_| {}),
            5 => tile::<S, 5, V>(simd, terms, columns, a, b, c, add, |_| {}),
            6 => tile::<S, 6, V>(simd, terms, columns, a, b, c, add, |_| {}),
            7 => tile::<S, 7, V>(simd, terms, columns, a, b, c, add, |_| {}),
            _ => tile::<S, 8, V>(simd, terms, columns, a, b, c, add, |_| {}),
        }
    }
}
