//! `gan train` and `gan resume`.

mod batches;
mod divergence;
mod page;
mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use wengert::Device;

use super::devices::{Place, describe};
use super::evaluator::Cache;
use super::sets::{check_data, open_data, open_new_data, other_images, with_test_half};
use super::{say, warn};
use crate::config::{Config, Settings, recipes};
use crate::data::{Dataset, Part};
use crate::files::quoted;
use crate::gammas::{GammaHistory, gammas};
use crate::losses;
use crate::run_dir::{RunDir, TrainingTime};
use crate::tensorboard::EventFile;
use crate::train::{Loaded, Need, SAMPLES_AT_ONCE, Trainer, check_memory};
use crate::usage::{count, human_bytes, human_seconds};
pub(super) use batches::Batches;
use page::LiveFlag;
use run::{Run, evaluator};

/// How to train.
#[derive(Debug, Args)]
// Negative numbers: so that `--lr -1` is told what it should be.
#[command(allow_negative_numbers = true, after_help = recipes())]
pub struct Train {
    #[command(flatten)]
    settings: Settings,
    /// A TOML file of settings, by the names of the flags with _ for -, such as a run's config.toml; flags override it
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// The run directory to make [default: the first free one of runs/METHOD-DATA, runs/METHOD-DATA-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write event files for TensorBoard, too, into tensorboard/ in the run directory
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    live: LiveFlag,
    #[command(flatten)]
    cache: Cache,
    #[command(flatten)]
    place: Place,
}

/// Which run to go on with, and what of it is to change.
#[derive(Debug, Args)]
pub struct Resume {
    /// The directory of the run
    run: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Write event files for TensorBoard from here on; a run that has written some goes on with that anyway
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    live: LiveFlag,
    #[command(flatten)]
    cache: Cache,
    /// Go on even if the images differ from those the run has learnt so far, or if the losses have become too large
    #[arg(long)]
    force: bool,
    /// Where to compute, as of gan train [default: where the run was trained last]
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,
}

/// What of a run may change when it goes on; config.toml then says so.
#[derive(Debug, Args)]
struct Changes {
    /// Updates of the generator in all, those already made included [default: as before]
    #[arg(long)]
    steps: Option<u64>,
    /// Steps between pictures [default: as before]
    #[arg(long, value_name = "STEPS")]
    sample_every: Option<u64>,
    /// Steps between checkpoints [default: as before]
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u64>,
    /// Steps between evaluations, as of gan train [default: as before]
    #[arg(long, value_name = "STEPS")]
    evaluate_every: Option<u64>,
    /// Where the images' files are now [default: as before]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Changes {
    /// The configuration with the changes.
    ///
    /// # Errors
    /// It is one that no run can have.
    fn over(&self, config: &Config) -> Result<Config> {
        let &Changes { steps, sample_every, checkpoint_every, evaluate_every, .. } = self;
        let data_dir = self.data_dir.clone();
        let settings =
            Settings { steps, sample_every, checkpoint_every, evaluate_every, data_dir, ..Settings::default() };
        let mut changed = config.clone();
        settings.apply(&mut changed)?;
        changed.check()?;
        Ok(changed)
    }
}

impl Train {
    /// Trains from the beginning.
    pub(super) fn run(self) -> Result<()> {
        let file = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        let mut config = self.settings.over(&file)?;
        let listener = self.live.listener()?;
        let data = open_new_data(&config)?;
        let data = with_test_half(&mut config, data)?;
        warn_of_few(&config, &data);
        let need = check_memory(&config, data.shape(), data.classes(), &self.place.device)?;
        let mut trainer = Trainer::with_classes(&config, data.shape(), data.classes());
        trainer.data = Some(data.fingerprint());
        trainer.follow_classes(data.class_counts());
        if let Some(run) = &config.init_from {
            let damage = trainer.start_from(run).with_context(|| format!("--init-from {}", run.display()))?;
            damage.iter().for_each(warn);
        }
        let dir = RunDir::create(self.out.as_deref(), &config)?;
        let mut run = Run::new(config, dir, trainer, self.place.device.clone());
        // From here on `resume` works, if somebody stops the training of the classifier too, which takes minutes.
        run.save()?;
        run.evaluator = evaluator(&run.config, &data, &self.cache).inspect_err(|_| run.dir.remove_unused())?;
        run.events = self.tensorboard.then(|| EventFile::create(&run.dir.tensorboard(), 0)).transpose()?;
        run.with_names(&*data).shown_on(listener)?.work(|run| {
            run.trainer.to(&self.place.device)?;
            run.draw()?;
            print_estimate(run, &data, &need)?;
            run.train(&data)
        })
    }
}

impl Resume {
    /// Goes on from the last checkpoint.
    pub(super) fn run(self) -> Result<()> {
        let (mut dir, then) = RunDir::open(&self.run)?;
        let changed = self.changes.over(&then)?;
        let config = Config { force: changed.force || self.force, ..changed.clone() };
        dir.hold()?;
        let listener = self.live.listener()?;
        let data: Arc<dyn Dataset> = Arc::from(open_data(&config)?);
        let Loaded { mut trainer, damage } = Trainer::open(&dir, &config)?;
        check_data(&trainer, &*data)?;
        self.check_images(&mut trainer, &*data)?;
        warn_of_few(&config, &data);
        let step = trainer.step();
        let (steps, run) = (config.steps, self.run.display());
        let fits = self.changes.steps.is_none() || steps >= step;
        ensure!(fits, "--steps is {steps}; expected at least {step}, which {run} has made already");
        // All that may be refused, before anything is written.
        let losses = losses::read(&dir.losses()[0], step)?;
        let gammas = GammaHistory::read(&dir.gammas()[0], step, &gammas(&trainer.nets()))?;
        let TrainingTime { seconds, device, .. } = dir.read_time().unwrap_or_else(|error| {
            warn(format_args!("{error:#}; going on as if it had taken no time, on the processor"));
            TrainingTime::default()
        });
        let device = self.device.clone().map_or_else(|| device_of(&dir, &device), Ok)?;
        let evaluator = evaluator(&config, &data, &self.cache)?;
        let goes_on = step < config.steps;
        let needs = || check_memory(&config, data.shape(), data.classes(), &device);
        let need = goes_on.then(needs).transpose()?;
        if let Some(damage) = damage {
            warn(damage);
            dir.set_damaged_checkpoint_aside()?;
        }
        if changed != then {
            dir.write_config(&changed)?;
        }
        let logs = dir.tensorboard();
        let logs_on = self.tensorboard || logs.is_dir();
        let events = logs_on.then(|| EventFile::create(&logs, step)).transpose()?;
        let mut run = Run::new(config, dir, trainer, device.clone());
        (run.events, run.evaluator) = (events, evaluator);
        run.with_names(&*data).after(losses, gammas, seconds).shown_on(listener)?.work(|run| {
            run.trainer.to(&device)?;
            run.catch_up()?;
            let Some(need) = &need else {
                run.finish()?;
                let done = match run.config.steps {
                    1 => "its only step is done".into(),
                    steps => format!("all {steps} steps are done"),
                };
                say(format_args!("{}: {done}", run.dir.path().display()));
                return Ok(());
            };
            say(format_args!("going on after step {step} of {}", run.config.steps));
            print_estimate(run, &data, need)?;
            run.train(&data)
        })
    }

    /// Whether these are the images that the run has learnt so far.
    fn check_images(&self, trainer: &mut Trainer<f32>, data: &dyn Dataset) -> Result<()> {
        if let Some(message) = other_images(trainer, data) {
            ensure!(self.force, "{message}; --force goes on with these");
            warn(format_args!("{message}; going on with these, since --force is given"));
        }
        trainer.data = Some(data.fingerprint());
        Ok(())
    }
}

/// The device on which a run was trained last.
fn device_of(dir: &RunDir, name: &str) -> Result<Device> {
    let device: Result<Device, _> = name.parse();
    device.with_context(|| {
        let path = dir.path();
        format!(
            "{} was trained on {name}; to go on elsewhere: gan resume {} --device cpu",
            path.display(),
            quoted(path)
        )
    })
}

/// How many images are trained on, in words.
fn images_to_learn(data: &Arc<dyn Dataset>) -> String {
    let Some(all) = data.size() else {
        return "training on an endless supply of images, drawn as training goes".into();
    };
    let learnt = Part::Training.of(data.clone()).len();
    if data.train_size().is_some() {
        return format!("training on {}; the test half is kept for evaluation", count(learnt, "image", "images"));
    }
    let kept = count(all - learnt, "more is kept", "more are kept");
    format!("training on {}; {kept} for evaluation", count(learnt, "image", "images"))
}

/// A note if there are fewer images to learn from than a batch takes.
fn warn_of_few(config: &Config, data: &Arc<dyn Dataset>) {
    let (few, batch) = (Part::Training.of(data.clone()).len(), config.batch);
    if few < batch as u64 {
        let images = if few == 1 { "one image" } else { &count(few, "image", "images") };
        warn(format_args!("{}: {images} to learn from, so a batch of {batch} has some more than once", data.name()));
    }
}

/// Times a few steps of a copy of the run, and says how long the whole will take.
fn print_estimate(run: &Run, data: &Arc<dyn Dataset>, need: &Need) -> Result<()> {
    let (config, device) = (&run.config, run.trainer.device());
    // Without the long steps of the warm-up.
    let usual = Config { warm_up: false, ..config.clone() };
    let mut trial = Trainer::<f32>::with_classes(&usual, data.shape(), data.classes());
    trial.to(device)?;
    let mut batches = Batches::new(config, data, 0);
    let mut step = || trial.train_step(|n| batches.next(n));
    step(); // The first one meets fresh memory.
    let start = Instant::now();
    step();
    step();
    let seconds = start.elapsed().as_secs_f64() / 2.0;
    // Pictures may need more memory than steps: their parts have more images than a small batch.
    trial.samples(SAMPLES_AT_ONCE, config.seed).for_each(drop);
    let steps = config.steps - run.trainer.step();
    let updates = config.discriminator_updates(config.steps) - config.discriminator_updates(run.trainer.step());
    let whole = seconds * updates as f64 / config.n_dis as f64;
    // What a driver takes on the host is not known.
    let memory = match device.info() {
        None => format!("; about {} of memory", human_bytes(need.measured())),
        Some(_) => String::new(),
    };
    say(format_args!(
        "{} on {}{}: width {}, batch {}, {}\n\
         {}\n\
         {} of about {:.0} ms: {}{memory}\n\
         writing to {}",
        config.method.flag(),
        data.name(),
        if config.is_paper() { " by the paper's recipe" } else { "" },
        config.width,
        config.batch,
        describe(device),
        images_to_learn(data),
        count(steps, "step", "steps"),
        seconds * 1e3,
        human_seconds(whole),
        run.dir.path().display(),
    ));
    Ok(())
}
