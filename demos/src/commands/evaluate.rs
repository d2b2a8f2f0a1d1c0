//! `gan evaluate`: how good the images of a run are, in figures.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use wengert::Device;

use super::checkpoint::Which;
use super::progress::counting;
use super::say;
use super::stacked::count_modes;
use super::train::{check_data, open_parts};
use crate::config::{Config, DataName};
use crate::data::Dataset;
use crate::files::write_whole;
use crate::metrics::{Classifier, Evaluation, Evaluator, History, Settings, sample_size};
use crate::run_dir::RunDir;
use crate::train::Trainer;
use crate::usage::human_seconds;

/// The option `--cache`.
#[derive(Debug, Args)]
pub(super) struct Cache {
    /// The directory of the classifiers of evaluations, which are trained once for each set
    #[arg(long = "cache", default_value = "runs/classifiers", value_name = "DIR")]
    pub(super) dir: PathBuf,
}

/// What to evaluate.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// The directory of a run
    run: PathBuf,
    /// Generated images, and as many reference images: 256 to 20000. Every second image of a set's own test half is
    /// one, or else every sixth image of the set, which then needs 1536 at least [default: 5000, or as many as there
    /// are; stacked-digits: 26000]
    #[arg(long)]
    n: Option<usize>,
    /// Determines the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    cache: Cache,
    /// Print one line of JSON: the last evaluation of the run and the best one
    #[arg(long)]
    json: bool,
    /// Where to generate the images: cpu, opencl for the first device that `gan devices` lists, or opencl:INDEX; the
    /// rest is computed on the processor
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
}

impl Evaluate {
    /// Evaluates the last checkpoint, prints the figures, and adds them to `evaluation.json` in the run directory; of
    /// stacked digits it counts the modes. A checkpoint that is better than the best one takes its place.
    pub(super) fn run(self) -> Result<()> {
        let (dir, config) = RunDir::open(&self.run)?;
        let mut trainer = self.which.open(&dir, &config)?;
        trainer.to(&self.device)?;
        if config.data == DataName::StackedDigits {
            let noise = (self.n, self.seed);
            return count_modes((&trainer, &config), dir.path(), noise, &self.cache.dir, self.json);
        }
        let history = History::read(dir.path())?; // what cannot be added to, before there is something to add
        let set = open_set(&config)?;
        check_data(&trainer, &*set)?;
        let evaluator = open_evaluator(&*set, self.n, self.seed, &self.cache, !self.json)?;
        let images = generate(&trainer, &evaluator, !self.json);
        let stage = Stage::begin("comparing them with the reference images", !self.json);
        let evaluation = evaluator.evaluate(trainer.step(), &images)?;
        drop(stage);
        if dir.best().is_file() && history.is_some_and(|history| history.is_surpassed_by(&evaluation)) {
            write_whole(&dir.best(), &trainer.archive()?.to_bytes())?;
        }
        let recorded = History::record(dir.path(), evaluation.clone());
        // Figures that took minutes are told even if there is no place for them.
        let history = recorded.as_ref().map_or_else(|_| History::of(evaluation), History::clone);
        if self.json {
            say(json!({"last": history.last, "best": history.best}));
        } else {
            print(&history, set.name(), dir.path());
        }
        recorded.map(drop)
    }
}

/// The set that runs of this configuration are evaluated with. The drawn sets have a seed: whatever that of a run is,
/// the classifier and the reference images are the same.
pub(super) fn open_set(config: &Config) -> Result<Box<dyn Dataset>> {
    open_parts(&Config { seed: 0, ..config.clone() }, true)
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

/// The images to evaluate.
fn generate(trainer: &Trainer<f32>, evaluator: &Evaluator, talk: bool) -> Vec<f32> {
    let (n, numel) = (evaluator.n(), trainer.image_shape().numel());
    let bar = counting("generating image", n as u64);
    if talk && bar.is_hidden() {
        say(format_args!("generating {n} images"));
    }
    let count = |part: &Vec<f32>| bar.inc((part.len() / numel) as u64);
    let images = trainer.samples_as_in_the_set(n, evaluator.seed()).inspect(count).flatten().collect();
    bar.finish_and_clear();
    images
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

/// A stage of an evaluation that takes some seconds: shown with the time since it began, or, without a terminal, as a
/// line if there is `talk`.
struct Stage(ProgressBar);

impl Stage {
    fn begin(what: &str, talk: bool) -> Stage {
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

/// The last evaluation of a run as a table, and which was the best.
pub(super) fn print(history: &History, set: &str, run: &Path) {
    let Evaluation { step, n, seed, classifier, classifier_accuracy, generated, real } = &history.last;
    say(format_args!("{}, step {step}: {n} images, seed {seed}, against {n} reference images of {set}", run.display()));
    say(format_args!("features of {classifier}, accuracy {:.1} %", 100.0 * classifier_accuracy));
    say(format_args!("\n{:<26}{:>12}{:>12}", "", "generated", "real"));
    for ((name, generated), (_, real)) in generated.named().into_iter().zip(real.named()) {
        say(format_args!("{name:<26}{generated:>12}{real:>12}"));
    }
    let best = &history.best;
    say(format_args!("\nbest so far: Fréchet distance {:.3} at step {}", best.generated.frechet, best.step));
    say(format_args!("figures  {}", run.join("evaluation.json").display()));
}
