//! What evaluates generators: the classifier of a set, from its cache or trained now, and the figures of real images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::progress::Stage;
use super::say;
use crate::data::Dataset;
use crate::metrics::{Classifier, Evaluator, Settings, sample_size};
use crate::usage::human_seconds;

/// The option `--cache`.
#[derive(Debug, Args)]
pub(super) struct Cache {
    /// The directory of the classifiers of evaluations, which are trained once for each set
    #[arg(long = "cache", default_value = "runs/classifiers", value_name = "DIR")]
    pub(super) dir: PathBuf,
}

/// What evaluates generators against this set, with `n` images and noise of this seed. The classifier comes from the
/// cache or is trained now, with a bar in a terminal, or else some lines if there is `talk`.
pub(super) fn open_evaluator(
    set: &dyn Dataset,
    n: Option<usize>,
    seed: u64,
    cache: &Cache,
    talk: bool,
) -> Result<Evaluator> {
    let n = sample_size(set, n)?;
    let classifier = open_classifier(set, &cache.dir, talk)?;
    let _stage = Stage::begin(&format!("comparing {n} real images with {n} reference images"), talk);
    Evaluator::new(set, classifier, n, seed)
}

/// The classifier of a set, from the cache or trained now, with a bar or lines if there is `talk`.
pub(super) fn open_classifier(set: &dyn Dataset, cache: &Path, talk: bool) -> Result<Classifier> {
    let style = ProgressStyle::with_template("{bar:10} {wide_msg}").expect("a template without mistakes");
    let mut training: Option<(ProgressBar, Instant)> = None;
    let mut progress = |done: u64, steps: u64| {
        let (bar, started) =
            training.get_or_insert_with(|| (ProgressBar::new(steps).with_style(style.clone()), Instant::now()));
        // The clock starts with the first step done, so that step counts for nothing.
        let seconds = started.elapsed().as_secs_f64() / (done - 1).max(1) as f64 * (steps - done) as f64;
        let text = format!("classifier of {}: step {done} of {steps}  {} left", set.name(), human_seconds(seconds));
        if talk && bar.is_hidden() && done > 1 && done.is_multiple_of(steps.div_ceil(5)) {
            say(&text);
        }
        bar.set_position(done);
        bar.set_message(text);
    };
    let classifier = Classifier::open(set, cache, &Settings::default(), &mut progress);
    if let Some((bar, _)) = training {
        bar.finish_and_clear();
    }
    classifier
}
