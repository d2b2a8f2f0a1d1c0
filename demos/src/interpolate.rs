//! Ways through noise.

use wengert::{Element, Tensor};

/// `n` vectors, (n, z), from the first to the second of two, (2, z), along the great circle (Shoemake 1985): with the
/// angle Ω between them, sin((1 − t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b. Normal noise lies near a sphere, which the
/// straight way would leave: its middle is shorter by a factor of √2, and a generator has seen no such noise (White
/// 2016, arXiv:1609.04468). Where the great circle is not determined, Ω being 0 or π, the way is straight.
///
/// # Panics
/// If the ends are not two vectors, or `n` is less than 2.
pub fn interpolate<T: Element>(ends: &Tensor<T>, n: usize) -> Tensor<T> {
    assert!(ends.rank() == 2 && ends.shape()[0] == 2 && n >= 2, "interpolate: {n} vectors between {}", ends.shape());
    let numbers: Vec<f64> = ends.to_vec().iter().map(|x| x.f64()).collect();
    let (a, b) = numbers.split_at(ends.shape()[1]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let angle = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos();
    let vectors = (0..n).flat_map(|i| {
        let t = i as f64 / (n - 1) as f64;
        let (from_a, from_b) = match angle.sin() {
            sine if sine > 1e-6 => (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine),
            _ => (1.0 - t, t),
        };
        a.iter().zip(b).map(move |(a, b)| T::of(from_a * a + from_b * b))
    });
    Tensor::from_vec([n, a.len()], vectors.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(a: [f64; 2], b: [f64; 2]) -> Vec<[f64; 2]> {
        let ends = Tensor::<f64>::from_vec([2, 2], [a, b].concat());
        interpolate(&ends, 3).to_vec().chunks(2).map(|v| [v[0], v[1]]).collect()
    }

    #[test]
    fn the_way_is_an_arc() {
        let half = 0.5f64.sqrt();
        let close = |found: Vec<[f64; 2]>, expected: [[f64; 2]; 3]| {
            let same = found.as_flattened().iter().zip(expected.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(same && found.len() == 3, "{found:?}, {expected:?}");
        };
        close(between([1.0, 0.0], [0.0, 1.0]), [[1.0, 0.0], [half, half], [0.0, 1.0]]);
        // Norms 1 and 3: at half of a right angle, both ends count 1/√2.
        close(between([1.0, 0.0], [0.0, 3.0]), [[1.0, 0.0], [half, 3.0 * half], [0.0, 3.0]]);
        // No great circle, or every one.
        close(between([1.0, 1.0], [2.0, 2.0]), [[1.0, 1.0], [1.5, 1.5], [2.0, 2.0]]);
        close(between([1.0, 0.0], [-1.0, 0.0]), [[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]);
        close(between([0.0, 0.0], [0.0, 2.0]), [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]);
    }
}
