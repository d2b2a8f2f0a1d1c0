//! `gan theory`: pieces of theory, measured and drawn.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::say;
use crate::files::{new_directory, write_whole};
use crate::pictures::write_charts;
use crate::theory::{self, Finding};
use crate::usage::human_seconds;

/// Which piece.
#[derive(Debug, Subcommand)]
pub enum Theory {
    /// Two parallel lines: W = |θ|, JS = ln 2, and what trained critics and a discriminator say
    ParallelLines(Common),
    /// D* = p/(p + q) against a trained discriminator, and how its slope blows up where the supports separate
    OptimalDiscriminator(Common),
    /// The spectral norm by one round of power iteration an update: from a recycled u and from the initial one
    PowerIteration(Common),
    /// How steep Table 2's discriminator is, with clipped, free and spectrally normalised weights, and what bounds it
    Lipschitz(Lipschitz),
    /// A critic's estimate of W₁ against its exact value, by sorting and by assignment
    ExactW1(Common),
}

/// What all pieces take.
#[derive(Debug, Args)]
pub struct Common {
    /// Determines weights, data and noise: the same seed gives the same bits
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The directory to make, for the table and the picture [default: the first free one of runs/theory-NAME,
    /// runs/theory-NAME-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `lipschitz` takes.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Lipschitz {
    /// Channels of every layer as a multiple of the paper's
    #[arg(long, default_value_t = 0.25)]
    width: f64,
    #[command(flatten)]
    common: Common,
}

impl Theory {
    /// Measures, prints and draws.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Theory::ParallelLines(common) => common.show("parallel-lines", theory::parallel_lines),
            Theory::OptimalDiscriminator(common) => common.show("optimal-discriminator", theory::optimal_discriminator),
            Theory::PowerIteration(common) => common.show("power-iteration", theory::power_iteration),
            Theory::ExactW1(common) => common.show("exact-w1", theory::exact_w1),
            Theory::Lipschitz(Lipschitz { width, common }) => {
                ensure!(width > 0.0 && width <= 1.0, "--width is {width}; expected more than 0 and at most 1");
                common.show("lipschitz", |seed| theory::lipschitz(seed, width))
            }
        }
    }
}

impl Common {
    fn show(self, name: &str, find: impl FnOnce(u64) -> Finding) -> Result<()> {
        let dir = new_directory(self.out.as_deref(), &format!("theory-{name}"))?;
        let start = Instant::now();
        let spinner = ProgressBar::new_spinner().with_message("measuring");
        spinner.enable_steady_tick(Duration::from_millis(200));
        let finding = find(self.seed);
        spinner.finish_and_clear();
        let picture = dir.join(format!("{name}.png"));
        write_charts(&picture, &finding.charts)?;
        write_whole(&dir.join(format!("{name}.txt")), finding.text.as_bytes())?;
        say(&finding.text);
        say(format_args!("{} ({})", picture.display(), human_seconds(start.elapsed().as_secs_f64())));
        Ok(())
    }
}
