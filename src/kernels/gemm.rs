//! The matrix product of one thread in f32: a register tile of C, for AVX-512, for AVX2 and for any machine.
//!
//! ```text
//! C (m, n) ← A (m, k) · B (k, n)   or   C + A·B
//!
//! for each 192 rows of B              a panel of them fits the L1 cache
//!   for each tile's columns           pack the panel
//!     for each tile's rows            C tile += A rows · panel
//! ```
//!
//! B is copied, one panel at a time, into the order in which the tile reads it, unless it lies so already. A is read
//! where it lies, one broadcast number at a time, so that neither gathered patches nor transposed operands are copied
//! again.
//!
//! A tile of 8×32 (AVX-512), 6×16 (AVX2) or 6×8 (any machine) keeps C in registers: 16 or 12 accumulators, enough to
//! hide the latency of the multiply-add. Each loaded vector of B serves every row, each broadcast number of A both
//! vectors.
//!
//! The blocks and the packing are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
//! (ACM TOMS 34(3), 2008), the tile as all that must be written for a machine that of BLIS (Van Zee and van de Geijn,
//! "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM TOMS 41(3), 2015). Unlike theirs, A is not
//! packed.
//!
//! f64 has the crate matrixmultiply, and the level `scalar` plain loops. In the place of this product, matrixmultiply
//! spent a quarter of a training step in packing A and B.

pub mod blocks;
pub mod strided;
mod tile;

use std::mem::MaybeUninit;

use self::tile::tile_of_rows;
use super::Level;
use super::simd::{self, Simd, WithSimd};

/// Rows of a panel of B: 192·32 floats are 24 KiB of an L1 cache of 32 KiB. Measured on a Zen 4, 128 rows were up to 7
/// % slower; 256 and 384 were within 2 %.
pub const PANEL_ROWS: usize = 192;

/// Where an operand lies: its first element, and its (row, column) strides.
type Place = (*const f32, [usize; 2]);

/// C (m, n) ← A·B, or C + A·B to `accumulate`, if there is a kernel for the level; whether there is. k is not 0, since
/// C is written with the first panel.
///
/// # Safety
/// A (m, k) and B (k, n) must lie in memory that may be read; the m rows of n floats from `c`, `c_row` apart, must
/// overlap neither each other nor A or B, must lie in one allocation, and be touched by no other thread meanwhile.
pub unsafe fn product(
    level: Level,
    size: [usize; 3],
    a: Place,
    b: Place,
    accumulate: bool,
    c: *mut f32,
    c_row: usize,
) -> bool {
    if level == Level::Scalar {
        return false;
    }
    simd::run(level, Blocked { size, a, b, accumulate, c, c_row });
    true
}

/// What [`product`] was given, with its promise.
struct Blocked {
    size: [usize; 3],
    a: Place,
    b: Place,
    accumulate: bool,
    c: *mut f32,
    c_row: usize,
}

impl WithSimd for Blocked {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Blocked { size, a, b, accumulate, c, c_row } = self;
        // SAFETY: only `product` makes a `Blocked`, and its caller has promised.
        unsafe { blocked(simd, size, a, b, accumulate, c, c_row) }
    }
}

/// The loops around the tile.
///
/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn blocked<S: Simd>(
    simd: S,
    [m, k, n]: [usize; 3],
    (a, [a_row, a_column]): Place,
    b: Place,
    accumulate: bool,
    c: *mut f32,
    c_row: usize,
) {
    debug_assert!(k > 0, "C would not be written");
    let width = 2 * S::LANES;
    // Not initialised: for a small product, zeros would cost more than the product.
    let mut panel = MaybeUninit::<Panel>::uninit();
    let panel: *mut f32 = panel.as_mut_ptr().cast();
    for first in (0..k).step_by(PANEL_ROWS) {
        let depth = PANEL_ROWS.min(k - first);
        let add = accumulate || first > 0;
        for column in (0..n).step_by(width) {
            let columns = width.min(n - column);
            // A single vector serves if the columns fit it.
            let vectors = columns.div_ceil(S::LANES);
            // SAFETY: rows `first..first + depth` and columns `column..column + columns` of B; the panel has room for
            // PANEL_ROWS rows of two vectors.
            let packed = unsafe {
                let [b_row, b_column] = b.1;
                let b = (b.0.add(first * b_row + column * b_column), b.1);
                if b_column == 1 && b_row <= 32 && columns == vectors * S::LANES {
                    // Whole vectors in lines of the cache that follow each other: as good as a panel.
                    (b.0, [b_row, 0])
                } else {
                    pack(b, [depth, columns], panel, vectors * S::LANES);
                    (panel.cast_const(), [vectors * S::LANES, 0])
                }
            };
            for row in (0..m).step_by(S::TILE_ROWS) {
                let rows = S::TILE_ROWS.min(m - row);
                // SAFETY: rows `row..row + rows` of A and C, columns `column..column + columns` of C; `packed` has
                // `depth` rows of so many vectors.
                unsafe {
                    let a = (a.add(row * a_row + first * a_column), [a_row, a_column, 0]);
                    let c = (c.add(row * c_row + column), c_row);
                    match vectors {
                        1 => tile_of_rows::<S, 1>(simd, rows, [1, depth], columns, a, packed, c, add),
                        _ => tile_of_rows::<S, 2>(simd, rows, [1, depth], columns, a, packed, c, add),
                    }
                }
            }
        }
    }
}

/// Room for a panel of B, (depth, at most 32), on lines of the cache.
#[repr(align(64))]
struct Panel(#[expect(dead_code, reason = "written and read through a pointer")] [f32; PANEL_ROWS * 32]);

/// Copies B (depth, columns) to rows of `width` floats, filled up with zeros.
///
/// # Safety
/// B must lie in memory that may be read, and `panel` must have room for `depth` rows.
#[inline(always)]
unsafe fn pack((b, [b_row, b_column]): Place, [depth, columns]: [usize; 2], panel: *mut f32, width: usize) {
    // SAFETY: p stays below depth, j below columns for B and below width for the panel.
    unsafe {
        if b_column <= b_row {
            for p in 0..depth {
                let (from, to) = (b.add(p * b_row), panel.add(p * width));
                if b_column == 1 {
                    to.copy_from_nonoverlapping(from, columns);
                } else {
                    (0..columns).for_each(|j| *to.add(j) = *from.add(j * b_column));
                }
                (columns..width).for_each(|j| *to.add(j) = 0.0);
            }
        } else {
            // B is transposed: along its columns, whose elements lie closer together. Row by row, packing took as long
            // as the product of 64 rows.
            for j in 0..columns {
                let from = b.add(j * b_column);
                (0..depth).for_each(|p| *panel.add(p * width + j) = *from.add(p * b_row));
            }
            for j in columns..width {
                (0..depth).for_each(|p| *panel.add(p * width + j) = 0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::matmul;
    use super::super::testing::noise;

    /// The largest m and n: past two tiles of rows, and of columns, at either level.
    const LARGEST: [usize; 2] = [17, 67];

    /// Every level, every remainder in m, n and k (one panel, one less, one more, several), both operands in every
    /// layout, into rows of C with gaps between them.
    ///
    /// Each element must lie within the bound for sums in panels of `PANEL_ROWS`: every product is rounded at most once
    /// for each later one of its panel and once for each later panel.
    #[test]
    fn every_remainder_agrees_with_the_definition() {
        let [rows, columns] = LARGEST;
        let gap = -0.75f32;
        for k in [0, 1, 191, 192, 193, 400] {
            let (a, b) = (noise::<f32>(rows * k, 1), noise::<f32>(k * columns, 2));
            let before = noise::<f32>(rows * columns, 3);
            let at = |i: usize, j: usize| {
                (0..k)
                    .map(|p| a[i * k + p] as f64 * b[p * columns + j] as f64)
                    .fold((0.0, 0.0), |s: (f64, f64), x| (s.0 + x, s.1 + x.abs()))
            };
            let want: Vec<(f64, f64)> = (0..rows * columns).map(|i| at(i / columns, i % columns)).collect();
            let roundings =
                (k.min(super::PANEL_ROWS) + k.div_ceil(super::PANEL_ROWS) + 1) as f64 * (f32::EPSILON as f64 / 2.0);
            for [m, n] in (1..=rows).flat_map(|m| (1..=columns).map(move |n| [m, n])) {
                for sa in [[k, 1], [1, m], [3, 3 * m + 1]] {
                    let a = laid([m, k], sa, |i, p| a[i * k + p]);
                    for sb in [[n, 1], [1, k], [2 * n + 3, 2], [2, 2 * k + 3]] {
                        let b = laid([k, n], sb, |p, j| b[p * columns + j]);
                        for (level, accumulate) in levels().flat_map(|level| [(level, false), (level, true)]) {
                            let c_row = n + 3;
                            let mut c = laid([m, n], [c_row, 1], |i, j| match accumulate {
                                true => before[i * columns + j],
                                false => f32::NAN,
                            });
                            c.iter_mut().enumerate().filter(|(i, _)| i % c_row >= n).for_each(|(_, c)| *c = gap);
                            matmul::on_this_thread(level, [m, k, n], (&a, sa), (&b, sb), accumulate, &mut c, c_row);
                            for (i, row) in c.chunks(c_row).enumerate() {
                                for (j, &got) in row.iter().enumerate() {
                                    let case =
                                        || format!("{level:?} {m}×{k}×{n} {sa:?} {sb:?} {accumulate}: ({i}, {j})");
                                    if j >= n {
                                        assert!(got == gap, "{}: a gap was written", case());
                                        continue;
                                    }
                                    let (mut want, mut size) = want[i * columns + j];
                                    if accumulate {
                                        want += before[i * columns + j] as f64;
                                        size += before[i * columns + j].abs() as f64;
                                    }
                                    let error = (got as f64 - want).abs();
                                    assert!(error <= roundings * size, "{}: {got}, not {want}", case());
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn levels() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|l| l.is_available() && *l > Level::Scalar)
    }

    /// A matrix with these strides, in memory that ends with its last element; NaN lies in the gaps.
    fn laid([rows, columns]: [usize; 2], strides: [usize; 2], value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let len = if rows * columns == 0 { 0 } else { (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1 };
        let mut values = vec![f32::NAN; len];
        for i in 0..rows {
            (0..columns).for_each(|j| values[i * strides[0] + j * strides[1]] = value(i, j));
        }
        values
    }
}
