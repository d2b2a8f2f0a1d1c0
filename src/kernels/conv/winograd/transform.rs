//! Small matrices applied along both axes of a tile, to as many channels at once as a vector has lanes.

use std::mem::MaybeUninit;

use super::matrices::Matrix;
use crate::kernels::simd::Simd;

/// The block for each index from 0 to 5 that is below the bound, with the index as a constant. A loop would do if the
/// compiler always unrolled it; where it did not, the factors were read from memory and tested one by one, which took
/// twice as long.
macro_rules! unrolled {
    ($index:ident < $bound:expr, $block:block) => {
        unrolled!($index < $bound, $block, 0 1 2 3 4 5);
    };
    ($index:ident < $bound:expr, $block:block, $($value:literal)*) => {
        $({
            const $index: usize = $value;
            if $index < $bound $block
        })*
    };
}

/// M X Mᵀ (R, R) for M (R, N) and X (N, N), R and N at most 6: calls `get(i, j)` for each element of X, then
/// `put(i, j, value)` for each of the result.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "j runs through several small arrays in step")]
pub fn transform<S: Simd, M: Matrix<R, N>, const R: usize, const N: usize>(
    simd: S,
    get: impl Fn(usize, usize) -> S::Vector,
    mut put: impl FnMut(usize, usize, S::Vector),
) {
    const { assert!(R <= 6 && N <= 6) };
    // Not initialised: zeros would be a call of memset for each tile.
    let mut columns = [[const { MaybeUninit::<S::Vector>::uninit() }; N]; R];
    for j in 0..N {
        let mut column = [simd.zero(); N];
        unrolled!(I < N, { column[I] = get(I, j) });
        unrolled!(I < R, { _ = columns[I][j].write(combine::<S, M, R, N, I>(simd, &column)) });
    }
    for (i, row) in columns.iter().enumerate() {
        let mut values = [simd.zero(); N];
        // SAFETY: every column was written above.
        unrolled!(J < N, { values[J] = unsafe { row[J].assume_init() } });
        unrolled!(J < R, { put(i, J, combine::<S, M, R, N, J>(simd, &values)) });
    }
}

/// Σₖ M[I, k]·x[k]. Zeros cost nothing, nor does the first 1, with which the sum begins; the other ones cost no
/// multiplication.
#[inline(always)]
fn combine<S: Simd, M: Matrix<R, N>, const R: usize, const N: usize, const I: usize>(
    simd: S,
    x: &[S::Vector; N],
) -> S::Vector {
    let (mut sum, mut first) = (None, N);
    unrolled!(K < N, {
        if first == N && M::VALUES[I][K] as f32 == 1.0 {
            (sum, first) = (Some(x[K]), K);
        }
    });
    unrolled!(K < N, {
        let factor = M::VALUES[I][K] as f32;
        sum = match sum {
            _ if factor == 0.0 || K == first => sum,
            None => Some(simd.mul(x[K], simd.splat(factor))),
            Some(sum) if factor == 1.0 => Some(simd.add(sum, x[K])),
            Some(sum) if factor == -1.0 => Some(simd.sub(sum, x[K])),
            Some(sum) => Some(simd.mul_add(x[K], simd.splat(factor), sum)),
        };
    });
    sum.unwrap_or(simd.zero())
}
