//! Small matrices applied along both axes of a tile, to sixteen channels side by side.

use super::matrices::Matrix;
use crate::kernels::Element;
pub use crate::kernels::gemm::blocks::LANES;

/// Sixteen channels. Aligned like a vector: on the stack of a function, arrays of floats are not, and every second access
/// to a transform's intermediate values crossed a line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Lanes<T>(pub [T; LANES]);

impl<T: Element> Lanes<T> {
    /// Zeros.
    #[inline(always)]
    pub fn zero() -> Self {
        Lanes([T::zero(); LANES])
    }
}

/// M X Mᵀ (R, R) for M (R, N) and X (N, N): calls `get(i, j)` for each element of X, then `put(i, j, value)` for each of
/// the result.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "the indices run through several small arrays in step")]
pub fn transform<T: Element, M: Matrix<R, N>, const R: usize, const N: usize>(
    get: impl Fn(usize, usize) -> Lanes<T>,
    mut put: impl FnMut(usize, usize, Lanes<T>),
) {
    let mut columns = [[Lanes::zero(); N]; R];
    for j in 0..N {
        // Loops instead of `array::from_fn`, which is not always inlined and then lacks the level's instructions.
        let mut column = [Lanes::zero(); N];
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
    let mut sum = Lanes::zero();
    let mut empty = true;
    for (&factor, x) in m.iter().zip(x) {
        if factor != 0.0 {
            let factor = T::of(factor);
            for (sum, &x) in sum.0.iter_mut().zip(&x.0) {
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
        Some(lanes) => Lanes(*lanes),
        None => load_some(values),
    }
}

/// As many values as there are, up to [`LANES`].
#[inline(always)]
pub fn store<T: Element>(lanes: &Lanes<T>, values: &mut [T]) {
    match values.first_chunk_mut() {
        Some(all) => *all = lanes.0,
        None => store_some(lanes, values),
    }
}

// Apart, so that the compiler does not make one call of memcpy, of variable length, out of both cases: it took 15 % of
// some layers' time.

#[cold]
#[inline(never)]
fn load_some<T: Element>(values: &[T]) -> Lanes<T> {
    let mut lanes = Lanes::zero();
    lanes.0[..values.len()].copy_from_slice(values);
    lanes
}

#[cold]
#[inline(never)]
fn store_some<T: Element>(lanes: &Lanes<T>, values: &mut [T]) {
    values.copy_from_slice(&lanes.0[..values.len()]);
}

/// a + b
#[inline(always)]
pub fn add<T: Element>(a: &Lanes<T>, b: &Lanes<T>) -> Lanes<T> {
    let mut sum = *a;
    for (sum, &b) in sum.0.iter_mut().zip(&b.0) {
        *sum += b;
    }
    sum
}
