//! The losses of a run as training goes: `losses.csv` and `losses.png` in its directory.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::columns::Columns;
use crate::config::{Config, Loss};
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
}

/// The columns of `losses.csv`; the last only with the Wasserstein loss.
const NAMES: [&str; 3] = ["discriminator", "generator", "estimate"];

/// The most steps that the running median of the critic's estimate looks at.
const MEDIAN_WINDOW: usize = 101;

/// The steps that it looks at in a run of so many: a fifth of a short run, where more would leave a level line.
fn median_window(steps: usize) -> usize {
    MEDIAN_WINDOW.min((steps / 5) | 1)
}

impl Losses {
    fn numbers(&self) -> impl Iterator<Item = f64> {
        [self.discriminator, self.generator].into_iter().chain(self.estimate)
    }
}

/// Writes all losses as numbers.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, losses: &[Losses]) -> Result<()> {
    let columns = losses.first().map_or(2, |losses| losses.numbers().count());
    let names = NAMES[..columns].iter().map(|name| name.to_string()).collect();
    let rows = losses.iter().map(|losses| (losses.step, losses.numbers().collect())).collect();
    Columns { names, rows }.write(path)
}

/// The losses up to the step `last`; what a killed run wrote after its last checkpoint will be computed again.
///
/// # Errors
/// The file is missing or damaged, or ends before `last`.
pub fn read(path: &Path, last: u64) -> Result<Vec<Losses>> {
    let columns =
        Columns::read(path)?.with_context(|| format!("{}: cannot read: there is no such file", path.display()))?;
    let names: Vec<&str> = columns.names.iter().map(String::as_str).collect();
    let known = names == NAMES || names == NAMES[..2];
    let found = shown(&names.join(","));
    ensure!(known, "{}, line 1: found {found} after \"step\", expected {:?}", path.display(), &NAMES[..2]);
    let losses = |(step, numbers): &(u64, Vec<f64>)| {
        let estimate = numbers.get(2).copied();
        Losses { step: *step, discriminator: numbers[0], generator: numbers[1], estimate }
    };
    Ok(columns.up_to(last, path)?.rows.iter().map(losses).collect())
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
        let label = match config.gp_lambda {
            Some(_) => "critic's estimate of W = its negated loss, without the penalty",
            None => "critic's estimate of K·W, K unknown = its negated loss",
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

    #[test]
    fn the_median_of_a_short_run_looks_at_less() {
        assert_eq!([0, 6, 20, 100, 504, 505, 100_000].map(median_window), [1, 1, 5, 21, 101, 101, 101]);
        for steps in 1..600 {
            assert!(median_window(steps) % 2 == 1 && median_window(steps) <= steps.max(1), "{steps}");
        }
    }
}
