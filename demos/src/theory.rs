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

/// A table: columns padded to the widest cell, numbers to the right, two blanks between.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str()).chain([header[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("{}\n", padded.join("  "))
    };
    let head = line(&mut header.iter().copied());
    head + &rows.iter().map(|row| line(&mut row.iter().map(String::as_str))).collect::<String>()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["1".into(), "−2.50".into()], vec!["10".into(), "3".into()]];
        assert_eq!(table(&["θ", "W"], &rows), " θ      W\n 1  −2.50\n10      3\n");
    }

    #[test]
    fn norms_are_those_of_rows() {
        assert_eq!(norms(&Tensor::from_vec([2, 2], vec![3.0, 4.0, 0.0, -2.0])), [5.0, 2.0]);
        assert_eq!(mean([1.0, 2.0, 6.0]), 3.0);
    }
}
