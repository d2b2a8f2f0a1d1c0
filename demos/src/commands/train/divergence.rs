//! Training that has diverged: how it is noticed, where it began, and what can be changed.

use std::sync::Arc;

use anyhow::{Error, Result, anyhow};

use super::batches::Batches;
use super::run::Run;
use crate::commands::progress::counting;
use crate::commands::warn;
use crate::config::{Config, Hold, Norm};
use crate::data::Dataset;
use crate::interrupt;
use crate::losses::Losses;
use crate::report;
use crate::train::{Loaded, Trainer};

/// The largest loss that means something. In f32, whole numbers end at 2²⁴: from there on 1 + x, in the losses and
/// in the gradient penalty, is x.
const LARGEST_LOSS: f64 = (1 << 24) as f64;

impl Run {
    /// Why training cannot go on after a step with these losses, if it cannot. Weights are looked at before something
    /// is made of them; else a loss tells of those that are not finite in the step after.
    pub(super) fn divergence(&self, losses: &Losses, looks_at_weights: bool) -> Option<String> {
        let &Losses { discriminator: d, generator: g, .. } = losses;
        let told = || format!("the losses are {d} (discriminator) and {g} (generator)");
        if !d.is_finite() || !g.is_finite() {
            return Some(told());
        }
        if d.abs().max(g.abs()) > LARGEST_LOSS && !self.config.force {
            return Some(format!("{}; beyond ±{LARGEST_LOSS:.1e} they mean nothing (--force goes on)", told()));
        }
        let broken = if looks_at_weights { self.trainer.not_finite() } else { None };
        broken.map(|name| format!("{name} is not finite"))
    }

    /// The error of training that has diverged. The curve up to here is kept beside the last checkpoint.
    pub(super) fn diverged(&self, reason: &str, data: &Arc<dyn Dataset>) -> Error {
        // Whatever else goes wrong now, this is what the person is to be told.
        let curve = self.write_curves().and_then(|()| self.draw_curves()).and_then(|()| report::write(&self.dir));
        let mut lines = vec![format!("training has diverged at step {}: {reason}", self.trainer.step())];
        lines.push(match self.origin(data) {
            Ok(Some(origin)) => format!("first {origin}"),
            Ok(None) => format!("computed again from step {}, it did not happen", self.saved),
            Err(error) => format!("where it began could not be found: {error:#}"),
        });
        let (path, saved, losses) = (self.dir.path().display(), self.saved, self.dir.losses());
        lines.push(match curve {
            Ok(()) => format!("{path} keeps step {saved}, and the losses up to here: {}", losses[1].display()),
            Err(error) => format!("{path} keeps step {saved}; the losses could not be kept: {error:#}"),
        });
        lines.push(format!("What can be changed in a new run: {}", advice(&self.config).join(", or ")));
        anyhow!(lines.join("\n"))
    }

    /// Computes the steps since the last checkpoint again, and says in which step and in which operation of which net
    /// the first number arose that is not finite; or, if there is none, the first that is too large.
    fn origin(&self, data: &Arc<dyn Dataset>) -> Result<Option<String>> {
        warn(format_args!("looking for where it began: computing again from step {}", self.saved));
        match self.replay(data, f64::from(f32::MAX))? {
            None => self.replay(data, LARGEST_LOSS),
            found => Ok(found),
        }
    }

    fn replay(&self, data: &Arc<dyn Dataset>, limit: f64) -> Result<Option<String>> {
        let Loaded { mut trainer, .. } = Trainer::<f32>::open(&self.dir, &self.config)?;
        trainer.to(self.trainer.device())?;
        let mut batches = Batches::new(&self.config, data, self.config.discriminator_updates(trainer.step()));
        let bar = counting("step", self.trainer.step() - trainer.step());
        while trainer.step() < self.trainer.step() {
            interrupt::check()?;
            if let (losses, Some(found)) = trainer.search_step(limit, |n| batches.next(n)) {
                bar.finish_and_clear();
                return Ok(Some(format!("in step {}, {found}", losses.step)));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(None)
    }
}

/// What makes a run of this kind less likely to diverge, most likely first.
fn advice(config: &Config) -> Vec<String> {
    let mut advice = vec![format!("a smaller --lr than {:e}", config.lr)];
    if let Some(lr) = config.lr_d {
        advice.push(format!("a smaller --lr-d than {lr:e}"));
    }
    let hold = config.hold();
    match hold {
        Hold::Layers => {}
        Hold::Clip(c) => advice.push(format!("a smaller --clip than {c}")),
        Hold::GradientPenalty(lambda) => advice.push(format!("another --gp-lambda than {lambda}")),
        Hold::SigmaPenalty(lambda) => advice.push(format!("another --sn-lambda than {lambda}")),
    }
    if config.norm == Norm::None && matches!(hold, Hold::Layers | Hold::SigmaPenalty(_)) {
        advice.push("--norm batch, or the method sngan, which hold the discriminator".into());
    }
    advice
}
