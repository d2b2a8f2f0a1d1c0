//! How good generated images are, in figures. One file to each metric; each begins with its mathematics and source.
//!
//! Most metrics compare *features*: what the last layer but one of a network makes of an image. The published ones take
//! an Inception network that was trained on ImageNet; these take a small [`Classifier`] that this engine trains on the
//! set itself, so the figures say which of two runs is better and cannot be compared with published ones. A figure
//! means little by itself: beside each stands what real images get that no classifier and no reference has met.
//!
//! Features are an (n, d) tensor in f64, a row to each image. Where a number is not finite there is no figure, but an
//! error that names the number: a comparison with NaN is false, and to most metrics a NaN then looks like perfection.

mod classifier;
mod distances;
mod evaluation;
mod frechet;
mod history;
mod kernel;
mod manifold;
mod modes;
mod score;
mod sliced;
mod stacked;
#[cfg(test)]
mod witness;

pub use classifier::{Classifier, Outputs, Settings};
pub use evaluation::{Evaluation, Evaluator, Figures, sample_size};
pub use frechet::{Gaussian, frechet_distance};
pub use history::History;
pub use kernel::{KernelDistance, kernel_distance};
pub use manifold::{Manifold, Prdc, prdc};
pub use modes::{Modes, modes};
pub use score::{class_shares, classifier_score};
pub use sliced::{LevelDistance, sliced_wasserstein};
pub use stacked::{ModeCount, STACKED_MODES, stacked_modes};

use anyhow::{Result, bail};
use wengert::{Element, Tensor, Var};

/// A Bᵀ of two matrices with rows of equal length.
fn times_transposed<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    Var::from(a).matmul(&Var::from(b).t()).into_value().contiguous()
}

/// Refuses features with a number that is not finite, or beyond the range of `f32`: within it, squares and products of
/// squares are finite in `f64`.
fn check_features(what: &str, features: &Tensor<f64>) -> Result<()> {
    let fits = |x: f64| x.abs() <= f64::from(f32::MAX);
    check(what, &features.to_vec(), extents(features).1, fits, "finite numbers in the range of f32")
}

/// Refuses rows of `columns` numbers of which one does not fit, and names the first such.
fn check<T: Element>(
    what: &str,
    numbers: &[T],
    columns: usize,
    fits: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<()> {
    let Some(place) = numbers.iter().position(|x| !fits(x.f64())) else { return Ok(()) };
    let (row, column) = (place / columns + 1, place % columns + 1);
    bail!("{what}: found {} in row {row}, column {column}; expected {expected}", numbers[place].f64())
}

/// Rows and columns of a matrix.
#[track_caller]
fn extents(matrix: &Tensor<f64>) -> (usize, usize) {
    let shape = matrix.shape();
    assert!(shape.len() == 2, "metrics: found features of shape {shape}, expected (n, d)");
    (shape[0], shape[1])
}
