//! How far training is: a bar in a terminal, now and then a line elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::config::Config;
use crate::run_dir::Losses;
use crate::usage::human_seconds;

/// The progress of a run since this process took it up.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    first: u64,
    steps: u64,
    /// Real images that a step takes.
    images: u64,
}

impl Progress {
    /// Begins after `first` steps.
    pub(super) fn new(config: &Config, first: u64) -> Progress {
        let style = ProgressStyle::with_template("{bar:20} {wide_msg}").expect("a template without mistakes");
        let bar = ProgressBar::new(config.steps).with_position(first).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(500));
        let images = (config.batch * config.n_dis) as u64;
        Progress { bar, started: Instant::now(), first, steps: config.steps, images }
    }

    /// Shows a step. Without a terminal for the bar, it is a line for each step that is `worth_a_line`.
    pub(super) fn show(&self, losses: &Losses, worth_a_line: bool) {
        let text = self.describe(losses);
        if self.bar.is_hidden() && worth_a_line {
            say(&text);
        }
        self.bar.set_position(losses.step);
        self.bar.set_message(text);
    }

    fn describe(&self, losses: &Losses) -> String {
        let Losses { step, discriminator, generator } = *losses;
        let (done, elapsed) = (step - self.first, self.started.elapsed().as_secs_f64());
        let speed = (done * self.images) as f64 / elapsed;
        let left = human_seconds(elapsed / done as f64 * (self.steps - step) as f64);
        let steps = self.steps;
        format!("step {step} of {steps}  D {discriminator:.3}  G {generator:+.3}  {speed:.0} images/s  {left} left")
    }

    /// A handle for messages above the bar, on another thread.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Leaves the bar as it is, and gives the time that training took.
    pub(super) fn finish(self) -> Duration {
        self.bar.abandon();
        self.started.elapsed()
    }
}
