//! The matrices of Winograd's algorithm, generated from its points (the method of Toom and Cook; Winograd, "Arithmetic
//! Complexity of Computations", 1980).
//!
//! With N − 1 finite points pᵢ and infinity, M(t) = Π (t − pᵢ), Mᵢ(t) = M(t) / (t − pᵢ) and Nᵢ = Mᵢ(pᵢ),
//!
//! ```text
//! column i of Aᵀ = (1, pᵢ, pᵢ², pᵢ³)    row i of G = (1, pᵢ, …) / Nᵢ    row i of Bᵀ = the coefficients of Mᵢ
//! ```
//!
//! and for infinity (0, 0, 0, 1), (…, 0, 1) and the coefficients of M: the transpose of multiplying polynomials by
//! interpolation.

/// Outputs of a tile along one axis.
pub const TILE: usize = 4;

/// A matrix that the compiler knows where it is used, so that zeros and ones in it cost nothing.
pub trait Matrix<const ROWS: usize, const COLUMNS: usize> {
    const VALUES: [[f64; COLUMNS]; ROWS];
}

/// Bᵀ, from inputs to frequencies.
pub struct Input;

/// G, from weights to frequencies.
pub struct Weight;

/// A, from outputs to frequencies: the transpose of the algorithm's Aᵀ.
pub struct Output;

/// The transpose of a matrix.
pub struct Transposed<M>(M);

impl<const N: usize> Matrix<N, N> for Input {
    const VALUES: [[f64; N]; N] = {
        let mut m = [[0.0; N]; N];
        let mut i = 0;
        while i < N {
            m[i] = product(finite::<N>(), i); // For infinity, the last, nothing is skipped.
            i += 1;
        }
        m
    };
}

impl<const N: usize, const R: usize> Matrix<N, R> for Weight {
    const VALUES: [[f64; R]; N] = {
        let points = finite::<N>();
        let mut m = [[0.0; R]; N];
        m[N - 1][R - 1] = 1.0;
        let mut i = 0;
        while i < points.len() {
            let mut scale = 1.0;
            let mut j = 0;
            while j < points.len() {
                if j != i {
                    scale *= points[i] - points[j];
                }
                j += 1;
            }
            m[i] = powers(points[i], 1.0 / scale);
            i += 1;
        }
        m
    };
}

impl<const N: usize> Matrix<N, TILE> for Output {
    const VALUES: [[f64; TILE]; N] = {
        let points = finite::<N>();
        let mut m = [[0.0; TILE]; N];
        m[N - 1][TILE - 1] = 1.0;
        let mut i = 0;
        while i < points.len() {
            m[i] = powers(points[i], 1.0);
            i += 1;
        }
        m
    };
}

impl<M: Matrix<COLUMNS, ROWS>, const ROWS: usize, const COLUMNS: usize> Matrix<ROWS, COLUMNS> for Transposed<M> {
    const VALUES: [[f64; COLUMNS]; ROWS] = {
        let mut t = [[0.0; COLUMNS]; ROWS];
        let mut i = 0;
        while i < ROWS {
            let mut j = 0;
            while j < COLUMNS {
                t[i][j] = M::VALUES[j][i];
                j += 1;
            }
            i += 1;
        }
        t
    };
}

/// The finite points for N points in all. Those for 6 gave a third less error in f32 than 0, ±1, ±2; that such points
/// are better is known from Barabasz et al., arXiv:1803.10986.
const fn finite<const N: usize>() -> &'static [f64] {
    match N {
        6 => &[0.0, 1.0, -1.0, 2.0, -0.5],
        5 => &[0.0, 1.0, -1.0, 0.5],
        _ => panic!("points are chosen for N = 5 and 6 only"),
    }
}

/// The coefficients of Π (t − pᵢ) over the points but `skip`, the constant first.
const fn product<const N: usize>(points: &[f64], skip: usize) -> [f64; N] {
    let mut c = [0.0; N];
    c[0] = 1.0;
    let mut i = 0;
    while i < points.len() {
        if i != skip {
            let mut j = N - 1;
            while j > 0 {
                c[j] = c[j - 1] - points[i] * c[j];
                j -= 1;
            }
            c[0] *= -points[i];
        }
        i += 1;
    }
    c
}

/// (1, p, p², …) · scale
const fn powers<const N: usize>(point: f64, scale: f64) -> [f64; N] {
    let mut row = [scale; N];
    let mut j = 1;
    while j < N {
        row[j] = row[j - 1] * point;
        j += 1;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every product dᵢ·gⱼ must reach the output i − j with factor 1 and no other, up to the rounding of 1/Nᵢ.
    #[allow(clippy::needless_range_loop, reason = "the indices run through several small arrays in step")]
    fn check<const N: usize, const R: usize>() {
        let input = <Input as Matrix<N, N>>::VALUES;
        let weight = <Weight as Matrix<N, R>>::VALUES;
        let output = <Transposed<Output> as Matrix<TILE, N>>::VALUES;
        for (out, row) in output.iter().enumerate() {
            for i in 0..N {
                for tap in 0..R {
                    let factor: f64 = (0..N).map(|f| row[f] * weight[f][tap] * input[f][i]).sum();
                    let want = if out + tap == i { 1.0 } else { 0.0 };
                    assert!((factor - want).abs() < 1e-14, "tap {tap}, input {i}, output {out}: {factor}");
                }
            }
        }
    }

    #[test]
    fn the_matrices_are_those_of_a_convolution() {
        check::<6, 3>();
        check::<5, 2>();
    }
}
