//! How far training is: a bar in a terminal, now and then a line elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::config::Config;
use crate::losses::Losses;
use crate::usage::human_seconds;

/// The progress of a run since this process took it up.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    config: Config,
    /// Updates of the discriminator before this process took the run up.
    first: u64,
}

impl Progress {
    /// Begins after `first` steps.
    pub(super) fn new(config: &Config, first: u64) -> Progress {
        let style = ProgressStyle::with_template("{bar:10} {wide_msg}").expect("a template without mistakes");
        let bar = ProgressBar::new(config.steps).with_position(first).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(500));
        let first = config.discriminator_updates(first);
        Progress { bar, started: Instant::now(), config: config.clone(), first }
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

    /// Images per second so far, and the seconds that are left after `step`.
    pub(super) fn pace(&self, step: u64) -> [f64; 2] {
        let Config { steps, batch, .. } = self.config;
        // Time goes by the updates of the discriminator: a warm-up has steps that are twenty times as long as others.
        let now = self.config.discriminator_updates(step);
        let left = self.config.discriminator_updates(steps) - now;
        let (done, elapsed) = ((now - self.first) as f64, self.started.elapsed().as_secs_f64());
        [done * batch as f64 / elapsed, elapsed / done * left as f64]
    }

    /// Leaves out time in which nothing was computed.
    pub(super) fn leave_out(&mut self, time: Duration) {
        self.started += time;
    }

    /// Shows that the run waits.
    pub(super) fn show_pause(&self) {
        self.bar.set_message("paused on the page");
    }

    fn describe(&self, losses: &Losses) -> String {
        let Losses { step, discriminator, generator, estimate, .. } = *losses;
        let steps = self.config.steps;
        let [speed, left] = self.pace(step);
        let left = human_seconds(left);
        let d = match estimate {
            Some(estimate) => format!("K·W {}", brief(estimate)),
            None => format!("D {}", brief(discriminator)),
        };
        // 79 characters with the bar, up to an hour and 9999 steps: a terminal has 80 columns.
        format!("step {step} of {steps}  {d}  G {}  {speed:.0} images/s  {left} left", brief(generator))
    }

    /// A handle for messages above the bar, on another thread.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Ends with a line in the place of the bar, and gives the time that training took.
    pub(super) fn finish(self) -> Duration {
        let (visible, time) = (!self.bar.is_hidden(), self.started.elapsed());
        let last = self.bar.message();
        drop(self);
        if visible {
            say(last);
        }
        time
    }
}

impl Drop for Progress {
    /// However training ends, what is printed next, an error too, begins a line.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for work in `length` equal parts, which are called `what`, with the time that is left.
pub(in crate::commands) fn counting(what: &str, length: u64) -> ProgressBar {
    let template = format!("{{bar:20}} {what} {{pos}} of {{len}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a template without mistakes");
    let bar = ProgressBar::new(length).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// A stage of some work that takes seconds: shown with the time since it began, or, without a terminal, as a
/// line if there is `talk`.
pub(super) struct Stage(ProgressBar);

impl Stage {
    /// Shows `what` from now on, until it is dropped.
    pub(super) fn begin(what: &str, talk: bool) -> Stage {
        let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("a template without mistakes");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_string());
        bar.enable_steady_tick(Duration::from_millis(500));
        if talk && bar.is_hidden() {
            say(what);
        }
        Stage(bar)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A loss in few characters.
fn brief(loss: f64) -> String {
    if loss.abs() < 1e4 { format!("{loss:.3}") } else { format!("{loss:.0e}") }
}
