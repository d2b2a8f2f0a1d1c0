//! The losses of a run as training goes: `losses.csv` and `losses.png` in its directory.

use std::path::Path;

use anyhow::{Context, Result};

use crate::columns::Columns;
use crate::config::{Config, Hold, Loss};
use crate::files::shown;
use crate::pictures::{Curves, Series, median_filtered, write_curves};
use crate::usage::count;

/// The losses of one generator update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// The number of the update, from 1.
    pub step: u64,
    /// The discriminator's loss, of the last of its updates in this step.
    pub discriminator: f64,
    /// The generator's loss.
    pub generator: f64,
    /// With the Wasserstein loss, what the critic says of the distance between real and generated images:
    /// mean f(x) − mean f(G(z)), its negated loss without any penalty. That is K times the distance for a K-Lipschitz
    /// critic at its optimum; clipping leaves K unknown, the gradient penalty brings it near 1.
    pub estimate: Option<f64>,
    /// What the discriminator says, before that update; files of earlier versions do not have it.
    pub outputs: Option<Outputs>,
}

/// The means of the discriminator's values over a batch: logits where the loss is one of probabilities, f(x) of a
/// critic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs {
    /// Of real images, D(x).
    pub real: f64,
    /// Of generated ones, D(G(z)).
    pub generated: f64,
}

/// The columns of `losses.csv`: the losses, the estimate only with the Wasserstein loss, the outputs only since this
/// program records them.
const LOSSES: [&str; 2] = ["discriminator", "generator"];
const ESTIMATE: &str = "estimate";
const OUTPUTS: [&str; 2] = ["output_real", "output_generated"];

/// The most steps that the running median of the critic's estimate looks at.
const MEDIAN_WINDOW: usize = 101;

/// The steps that it looks at in a run of so many: a fifth of a short run, where more would leave a level line.
fn median_window(steps: usize) -> usize {
    MEDIAN_WINDOW.min((steps / 5) | 1)
}

/// Which columns a file has.
#[derive(Clone, Copy)]
struct Layout {
    estimate: bool,
    outputs: bool,
}

impl Layout {
    /// That of all these losses. Where some have no outputs, as in a run that an earlier version began, these are NaN.
    fn of(losses: &[Losses]) -> Layout {
        let estimate = losses.first().is_some_and(|losses| losses.estimate.is_some());
        Layout { estimate, outputs: losses.iter().any(|losses| losses.outputs.is_some()) }
    }

    fn names(self) -> Vec<&'static str> {
        let estimate = self.estimate.then_some(ESTIMATE);
        LOSSES.into_iter().chain(estimate).chain(OUTPUTS.into_iter().filter(|_| self.outputs)).collect()
    }

    fn numbers(self, losses: &Losses) -> Vec<f64> {
        let missing = Outputs { real: f64::NAN, generated: f64::NAN };
        let outputs = self.outputs.then(|| losses.outputs.unwrap_or(missing));
        let outputs = outputs.into_iter().flat_map(|outputs| [outputs.real, outputs.generated]);
        [losses.discriminator, losses.generator].into_iter().chain(losses.estimate).chain(outputs).collect()
    }

    fn losses(self, step: u64, numbers: &[f64]) -> Losses {
        let outputs = &numbers[numbers.len() - if self.outputs { 2 } else { 0 }..];
        let outputs = outputs.first().zip(outputs.last()).filter(|(real, _)| !real.is_nan());
        Losses {
            step,
            discriminator: numbers[0],
            generator: numbers[1],
            estimate: self.estimate.then(|| numbers[2]),
            outputs: outputs.map(|(&real, &generated)| Outputs { real, generated }),
        }
    }
}

/// Writes all losses as numbers.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, losses: &[Losses]) -> Result<()> {
    let layout = Layout::of(losses);
    let names = layout.names().into_iter().map(String::from).collect();
    let rows = losses.iter().map(|losses| (losses.step, layout.numbers(losses))).collect();
    Columns { names, rows }.write(path)
}

/// The losses up to the step `last`; what a killed run wrote after its last checkpoint will be computed again.
///
/// # Errors
/// The file is missing or damaged, or ends before `last`.
pub fn read(path: &Path, last: u64) -> Result<Vec<Losses>> {
    let columns =
        Columns::read(path)?.with_context(|| format!("{}: cannot read: there is no such file", path.display()))?;
    parse(columns.up_to(last, path)?, path)
}

/// All losses in a file.
///
/// # Errors
/// The file is damaged.
pub fn read_all(path: &Path) -> Result<Vec<Losses>> {
    parse(Columns::read(path)?.unwrap_or_default(), path)
}

fn parse(columns: Columns, path: &Path) -> Result<Vec<Losses>> {
    let names: Vec<&str> = columns.names.iter().map(String::as_str).collect();
    let layouts =
        [false, true].into_iter().flat_map(|estimate| [false, true].map(|outputs| Layout { estimate, outputs }));
    let layout = layouts.into_iter().find(|layout| layout.names() == names).with_context(|| {
        let found = shown(&names.join(","));
        format!("{}, line 1: found {found} after \"step\", expected {LOSSES:?}", path.display())
    })?;
    Ok(columns.rows.iter().map(|(step, numbers)| layout.losses(*step, numbers)).collect())
}

/// Draws all losses; with the Wasserstein loss, the critic's estimate of the distance and its running median, as the
/// authors of WGAN do: the losses themselves go up and down with the critic's scale and tell nothing.
///
/// # Errors
/// The picture cannot be written.
pub fn draw(path: &Path, losses: &[Losses], config: &Config, title: &str) -> Result<()> {
    let series = |value: &dyn Fn(&Losses) -> f64| -> Vec<(f64, f64)> {
        losses.iter().map(|l| (l.step as f64, value(l))).collect()
    };
    let (first, second, names, y_label) = if config.loss == Loss::Wasserstein {
        let raw = series(&|l| l.estimate.unwrap_or(f64::NAN));
        let window = median_window(losses.len());
        let median = median_filtered(&raw, window);
        let label = match config.hold() {
            Hold::GradientPenalty(_) => "critic's estimate of W = its negated loss, without the penalty",
            _ => "critic's estimate of K·W, K unknown = its negated loss",
        };
        (raw, median, ["estimate".to_string(), format!("median of {}", count(window as u64, "step", "steps"))], label)
    } else {
        let names = ["discriminator".to_string(), "generator".to_string()];
        (series(&|l| l.discriminator), series(&|l| l.generator), names, "loss")
    };
    let [one, two] = &names;
    let series = &[Series { name: one, points: &first }, Series { name: two, points: &second }];
    write_curves(path, &Curves { title, x_label: "generator updates", y_label, series })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of earlier versions have no outputs; a run that one began has them from where it went on.
    #[test]
    fn what_was_written_is_read_and_so_are_files_without_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("losses.csv");
        for estimate in [None, Some(0.5)] {
            let without = |step| Losses { step, discriminator: 1.5, generator: -0.1, estimate, outputs: None };
            let with = |step| Losses { outputs: Some(Outputs { real: 0.75, generated: -2.0 }), ..without(step) };
            for all in [vec![with(1), with(2)], vec![without(1), without(2)], vec![without(1), with(2)]] {
                write(&path, &all).unwrap();
                assert_eq!(read(&path, 2).unwrap(), all);
            }
        }
        std::fs::write(&path, "step,discriminator,generator,estimate\n1,2,3,4\n").unwrap();
        let old = Losses { step: 1, discriminator: 2.0, generator: 3.0, estimate: Some(4.0), outputs: None };
        assert_eq!(read(&path, 1).unwrap(), [old]);
        std::fs::write(&path, "step,discriminator,generator,output_real\n1,2,3,4\n").unwrap();
        assert!(read(&path, 1).unwrap_err().to_string().contains("losses.csv, line 1: found \"discriminator,"));
    }

    #[test]
    fn the_median_of_a_short_run_looks_at_less() {
        assert_eq!([0, 6, 20, 100, 504, 505, 100_000].map(median_window), [1, 1, 5, 21, 101, 101, 101]);
        for steps in 1..600 {
            assert!(median_window(steps) % 2 == 1 && median_window(steps) <= steps.max(1), "{steps}");
        }
    }
}
