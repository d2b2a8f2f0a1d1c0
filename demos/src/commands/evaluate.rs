//! `gan evaluate`: how good the images of a run are, in figures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::json;
use wengert::Device;

use super::checkpoint::Which;
use super::evaluator::{Cache, open_evaluator};
use super::progress::{Stage, counting};
use super::say;
use super::sets::{check_data, open_set};
use super::stacked::count_modes;
use crate::data::DataName;
use crate::files::write_whole;
use crate::metrics::{Evaluation, Evaluator, History};
use crate::run_dir::RunDir;
use crate::train::Trainer;

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
