//! Small matrices applied along both axes of a tile, to sixteen channels side by side.

use super::matrices::Matrix;
use crate::kernels::Element;

/// Channels that are transformed side by side.
pub const LANES: usize = 16;

pub type Lanes<T> = [T; LANES];

/// A square of pixels.
pub type Square<T, const N: usize> = [[Lanes<T>; N]; N];

/// M X Mᵀ (R, R) for M (R, N) and X (N, N).
#[inline(always)]
pub fn transform<T: Element, M: Matrix<R, N>, const R: usize, const N: usize>(x: &Square<T, N>) -> Square<T, R> {
    let mut columns = [[[T::zero(); LANES]; N]; R];
    for i in 0..R {
        for j in 0..N {
            columns[i][j] = combine(&M::VALUES[i], |k| &x[k][j]);
        }
    }
    let mut out = [[[T::zero(); LANES]; R]; R];
    for i in 0..R {
        for j in 0..R {
            out[i][j] = combine(&M::VALUES[j], |k| &columns[i][k]);
        }
    }
    out
}

/// Σₖ m[k]·x(k)
#[inline(always)]
fn combine<'a, T: Element, const N: usize>(m: &[f64; N], x: impl Fn(usize) -> &'a Lanes<T>) -> Lanes<T> {
    let mut sum = [T::zero(); LANES];
    for (k, &factor) in m.iter().enumerate() {
        if factor != 0.0 {
            let (x, factor) = (x(k), T::of(factor));
            for (sum, &x) in sum.iter_mut().zip(x) {
                *sum = x.mul_add(factor, *sum);
            }
        }
    }
    sum
}

/// Up to [`LANES`] values, zeros after the last.
#[inline(always)]
pub fn load<T: Element>(values: &[T]) -> Lanes<T> {
    match values.first_chunk() {
        Some(lanes) => *lanes,
        None => std::array::from_fn(|i| values.get(i).copied().unwrap_or_default()),
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
    std::array::from_fn(|i| a[i] + b[i])
}
