//! Theory that one can run: each file is one idea, its mathematics, a measurement of it and a picture.

mod exact_w1;
mod lipschitz;
mod optimal_discriminator;
mod parallel_lines;
mod power_iteration;

pub use exact_w1::exact_w1;
pub use lipschitz::lipschitz;
pub use optimal_discriminator::optimal_discriminator;
pub use parallel_lines::parallel_lines;
pub use power_iteration::power_iteration;

use crate::pictures::Chart;
use wengert::Tensor;

/// What a piece of theory has to show.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The figures as a table, with a sentence on what they mean.
    pub text: String,
    /// The figures as a picture.
    pub charts: Vec<Chart>,
}

/// ‖∇f‖ of each row of a gradient (N, d).
fn norms(slopes: &Tensor) -> Vec<f64> {
    let d = slopes.shape()[1];
    let norm = |row: &[f32]| row.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>().sqrt();
    slopes.to_vec().chunks_exact(d).map(norm).collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = values.into_iter().fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n)
}

/// A number for a table: with three digits after the point, or, where these would say little or be many, as a power of
/// ten with this many `digits` after its point.
fn short(x: f64, digits: usize) -> String {
    if (1e-3..1e5).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.digits$e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_those_of_rows() {
        assert_eq!(norms(&Tensor::from_vec([2, 2], vec![3.0, 4.0, 0.0, -2.0])), [5.0, 2.0]);
        assert_eq!(mean([1.0, 2.0, 6.0]), 3.0);
    }

    #[test]
    fn short_numbers() {
        assert_eq!([2.0, -0.001, 99_999.0].map(|x| short(x, 1)), ["2.000", "-0.001", "99999.000"]);
        assert_eq!([1e5, 9.6e-4, -2.34e-9, 0.0].map(|x| short(x, 1)), ["1.0e5", "9.6e-4", "-2.3e-9", "0.0e0"]);
        assert_eq!([9.6e-4, 0.0, f64::NAN].map(|x| short(x, 0)), ["1e-3", "0e0", "NaN"]);
    }
}
