//! Small matrices applied along both axes of a tile, to sixteen channels side by side.

use super::matrices::Matrix;
use crate::kernels::Element;
pub use crate::kernels::gemm::blocks::LANES;

pub type Lanes<T> = [T; LANES];

/// M X Mᵀ (R, R) for M (R, N) and X (N, N): calls `get(i, j)` for each element of X, then `put(i, j, value)` for each of
/// the result.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "the indices run through several small arrays in step")]
pub fn transform<T: Element, M: Matrix<R, N>, const R: usize, const N: usize>(
    get: impl Fn(usize, usize) -> Lanes<T>,
    mut put: impl FnMut(usize, usize, Lanes<T>),
) {
    let mut columns = [[[T::zero(); LANES]; N]; R];
    for j in 0..N {
        // Loops instead of `array::from_fn`, which is not always inlined and then lacks the level's instructions.
        let mut column = [[T::zero(); LANES]; N];
        for (i, lanes) in column.iter_mut().enumerate() {
            *lanes = get(i, j);
        }
        for i in 0..R {
            columns[i][j] = combine(&M::VALUES[i], &column);
        }
    }
    for (i, row) in columns.iter().enumerate() {
        for j in 0..R {
            put(i, j, combine(&M::VALUES[j], row));
        }
    }
}

/// Σₖ m[k]·x[k]. Zeros of m cost nothing.
#[inline(always)]
fn combine<T: Element, const N: usize>(m: &[f64; N], x: &[Lanes<T>; N]) -> Lanes<T> {
    let mut sum = [T::zero(); LANES];
    let mut empty = true;
    for (&factor, x) in m.iter().zip(x) {
        if factor != 0.0 {
            let factor = T::of(factor);
            for (sum, &x) in sum.iter_mut().zip(x) {
                *sum = if empty { x * factor } else { x.mul_add(factor, *sum) };
            }
            empty = false;
        }
    }
    sum
}

/// Up to [`LANES`] values, zeros after the last.
#[inline(always)]
pub fn load<T: Element>(values: &[T]) -> Lanes<T> {
    match values.first_chunk() {
        Some(lanes) => *lanes,
        None => {
            let mut lanes = [T::zero(); LANES];
            lanes.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
            lanes
        }
    }
}

/// As many values as there are, up to [`LANES`].
#[inline(always)]
pub fn store<T: Element>(lanes: &Lanes<T>, values: &mut [T]) {
    match values.first_chunk_mut() {
        Some(all) => *all = *lanes,
        None => values.iter_mut().zip(lanes).for_each(|(to, &from)| *to = from),
    }
}

/// a + b
#[inline(always)]
pub fn add<T: Element>(a: &Lanes<T>, b: &Lanes<T>) -> Lanes<T> {
    let mut sum = *a;
    for (sum, &b) in sum.iter_mut().zip(b) {
        *sum += b;
    }
    sum
}
