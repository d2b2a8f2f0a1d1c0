//! `gan train` and `gan resume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wengert::Tensor;

use super::progress::Progress;
use super::{say, warn};
use crate::config::{Config, DataName, Loss, Method};
use crate::data::{Dataset, Opened, Order, Part, PartOf, Split, open};
use crate::gammas::{GammaHistory, gammas};
use crate::models;
use crate::pictures::{Grid, write_grid};
use crate::report;
use crate::run_dir::{Losses, RunDir, TrainingTime};
use crate::tensorboard::EventFile;
use crate::train::Trainer;
use crate::usage::{human_bytes, human_seconds, peak_memory};

/// How to train.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)] // so that `--lr -1` is told what it should be
pub struct Train {
    /// The method
    method: Method,
    /// The images to learn
    #[arg(long, value_enum, default_value_t = Config::DEFAULT.data)]
    data: DataName,
    /// The directory of the images' files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Channels of every layer as a multiple of the paper's; 1 is the paper's
    #[arg(long, default_value_t = Config::DEFAULT.width)]
    width: f64,
    /// Real, and generated, images in a step
    #[arg(long, default_value_t = Config::DEFAULT.batch)]
    batch: usize,
    /// Updates of the generator
    #[arg(long, default_value_t = Config::DEFAULT.steps)]
    steps: u64,
    /// Updates of the discriminator before each of the generator
    #[arg(long, default_value_t = Config::DEFAULT.n_dis)]
    n_dis: usize,
    /// The losses
    #[arg(long, value_enum, default_value_t = Config::DEFAULT.loss)]
    loss: Loss,
    /// Adam's learning rate
    #[arg(long, default_value_t = Config::DEFAULT.lr)]
    lr: f64,
    /// Adam's decay rates of the first and the second moment
    #[arg(long, default_value = "0.5,0.999", value_name = "B1,B2", value_parser = two_numbers, allow_hyphen_values = true)]
    betas: [f64; 2],
    /// The number of noise values that the generator takes
    #[arg(long, default_value_t = Config::DEFAULT.z_dim)]
    z_dim: usize,
    /// Determines initial weights, noise, and the order of the images: the same seed gives the same bits
    #[arg(long, default_value_t = Config::DEFAULT.seed)]
    seed: u64,
    /// Steps between pictures
    #[arg(long, default_value_t = Config::DEFAULT.sample_every, value_name = "STEPS")]
    sample_every: u64,
    /// Steps between checkpoints
    #[arg(long, default_value_t = Config::DEFAULT.checkpoint_every, value_name = "STEPS")]
    checkpoint_every: u64,
    /// The run directory to make [default: the first free one of runs/METHOD-DATA, runs/METHOD-DATA-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write event files for TensorBoard, too, into tensorboard/ in the run directory
    #[arg(long)]
    tensorboard: bool,
}

/// Which run to go on with.
#[derive(Debug, Args)]
pub struct Resume {
    /// The directory of the run
    run: PathBuf,
}

fn two_numbers(text: &str) -> Result<[f64; 2], &'static str> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or("expected two numbers, as in 0.5,0.999")
}

impl Train {
    /// Trains from the beginning.
    pub(super) fn run(self) -> Result<()> {
        let config = Config {
            method: self.method,
            data: self.data,
            // Absolute, so that `resume` finds the files from anywhere.
            data_dir: self.data_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir)),
            width: self.width,
            z_dim: self.z_dim,
            batch: self.batch,
            steps: self.steps,
            n_dis: self.n_dis,
            loss: self.loss,
            lr: self.lr,
            betas: self.betas,
            seed: self.seed,
            sample_every: self.sample_every,
            checkpoint_every: self.checkpoint_every,
        };
        config.check()?;
        let data = open_data(&config)?;
        models::check_memory(&config, data.shape())?;
        let dir = RunDir::create(self.out.as_deref(), &config)?;
        let trainer = Trainer::new(&config, data.shape());
        let events = self.tensorboard.then(|| EventFile::create(&dir.tensorboard(), 0)).transpose()?;
        let (losses, gammas, started) = (Vec::new(), GammaHistory::default(), Instant::now());
        let mut run = Run { config, dir, trainer, losses, gammas, saved: 0, started, seconds_before: 0.0, events };
        run.save()?; // From here on, `resume` works.
        run.draw()?;
        print_estimate(&run, &*data);
        run.train(&*data)
    }
}

impl Resume {
    /// Goes on from the last checkpoint.
    pub(super) fn run(self) -> Result<()> {
        let (dir, config) = RunDir::open(&self.run)?;
        let data = open_data(&config)?;
        let trainer = Trainer::load(&config, &dir.checkpoint())?;
        let (expected, found) = (trainer.image_shape(), data.shape());
        ensure!(found == expected, "{}: images are {found}; expected {expected} as in the checkpoint", data.name());
        let losses = dir.read_losses(trainer.step())?;
        if trainer.step() >= config.steps {
            say(format_args!("{}: all {} steps are done", dir.path().display(), config.steps));
            return Ok(());
        }
        let saved = trainer.step();
        let gammas = GammaHistory::read(&dir.gammas()[0], saved)?;
        let seconds_before = dir.read_time()?.seconds;
        say(format_args!("going on after step {saved} of {}", config.steps));
        let logs = dir.tensorboard();
        let events = logs.is_dir().then(|| EventFile::create(&logs, saved)).transpose()?;
        let started = Instant::now();
        let run = Run { config, dir, trainer, losses, gammas, saved, started, seconds_before, events };
        print_estimate(&run, &*data);
        run.train(&*data)
    }
}

pub(super) fn open_data(config: &Config) -> Result<Box<dyn Dataset>> {
    let Opened { set, notes } = open(config.data, config.data_dir.as_deref(), None, false, config.seed, Split::Train)?;
    notes.iter().for_each(warn);
    let shape = set.shape();
    let fits = shape.height == shape.width && shape.height.is_multiple_of(8);
    ensure!(fits, "{}: images are {shape}; expected squares with a side that 8 divides, or 28×28", set.name());
    Ok(set)
}

/// Times a few steps of a copy of the run, and says how long the whole will take.
fn print_estimate(run: &Run, data: &dyn Dataset) {
    let config = &run.config;
    let mut trial = Trainer::<f32>::new(config, data.shape());
    let mut batches = Batches::new(config, data);
    let mut step = || trial.train_step(|n| batches.next(n));
    step(); // The first one meets fresh memory.
    let start = Instant::now();
    step();
    step();
    let seconds = start.elapsed().as_secs_f64() / 2.0;
    let steps = config.steps - run.trainer.step();
    say(format_args!(
        "{} on {}: width {}, batch {}, {} threads, {} kernels\n\
         {steps} steps of about {:.0} ms: {}; {} of memory\n\
         writing to {}",
        config.method.flag(),
        data.name(),
        config.width,
        config.batch,
        rayon::current_num_threads(),
        wengert::Level::current().name(),
        seconds * 1e3,
        human_seconds(seconds * steps as f64),
        human_bytes(peak_memory()),
        run.dir.path().display(),
    ));
}

/// The batches of real images, in the order that the seed determines.
struct Batches<'a> {
    data: PartOf<&'a dyn Dataset>,
    order: Order,
    batch: usize,
}

impl<'a> Batches<'a> {
    fn new(config: &Config, data: &'a dyn Dataset) -> Self {
        let data = Part::Training.of(data);
        let order = Order::new(0..data.len(), config.seed);
        Batches { data, order, batch: config.batch }
    }

    /// Batch `n` since the start of training: images (N, C, H, W), in memory channels-last.
    fn next(&mut self, n: u64) -> Tensor {
        let shape = self.data.shape();
        let mut images = vec![0.0; self.batch * shape.numel()];
        let mut labels = vec![0; self.batch];
        self.data.batch(&self.order.indices(n, self.batch), &mut images, &mut labels);
        Tensor::from_slice([self.batch, shape.height, shape.width, shape.channels], &images).permute([0, 3, 1, 2])
    }
}

/// A run in progress.
struct Run {
    config: Config,
    dir: RunDir,
    trainer: Trainer<f32>,
    losses: Vec<Losses>,
    gammas: GammaHistory,
    /// The step of the last checkpoint.
    saved: u64,
    /// When training began, or went on.
    started: Instant,
    /// How long it had taken before it went on.
    seconds_before: f64,
    events: Option<EventFile>,
}

/// Images in the pictures of a run.
const SAMPLES: usize = 64;

impl Run {
    fn train(mut self, data: &dyn Dataset) -> Result<()> {
        let progress = Progress::new(&self.config, self.trainer.step());
        let stop = stop_on_ctrl_c(&progress)?;
        let config = self.config.clone();
        let mut batches = Batches::new(&config, data);
        self.started = Instant::now();
        let mut last = false;
        while !last {
            let losses = self.trainer.train_step(|n| batches.next(n));
            self.losses.push(losses);
            self.check_losses(&losses)?;
            self.record(&losses)?;
            last = losses.step >= config.steps || stop.load(Ordering::Relaxed);
            if last || losses.step.is_multiple_of(config.checkpoint_every) {
                self.save()?;
            }
            let pictures = last || losses.step.is_multiple_of(config.sample_every);
            progress.show(&losses, pictures);
            if pictures {
                self.draw()?;
            }
        }
        let time = progress.finish();
        report::animate(&self.dir)?;
        report::write(&self.dir)?;
        self.report(time);
        Ok(())
    }

    /// What each step adds to the gains of attention, and to the event file.
    fn record(&mut self, losses: &Losses) -> Result<()> {
        let gains = gammas(&self.trainer.nets());
        self.gammas.record(losses.step, &gains);
        if let Some(events) = &mut self.events {
            let values = [("loss/discriminator", losses.discriminator), ("loss/generator", losses.generator)];
            let gains = gains.iter().map(|(name, gain)| (name.as_str(), *gain));
            events.scalars(losses.step, &values.into_iter().chain(gains).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// A loss that is not a number would spread to every weight: stop while the last checkpoint is good.
    fn check_losses(&self, losses: &Losses) -> Result<()> {
        let Losses { discriminator: d, generator: g, .. } = losses;
        let finite = d.is_finite() && g.is_finite();
        ensure!(finite, "the losses are {d} (discriminator) and {g} (generator): {}", self.diverged());
        Ok(())
    }

    fn diverged(&self) -> String {
        let (step, lr, path, saved) = (self.trainer.step(), self.config.lr, self.dir.path().display(), self.saved);
        format!("training has diverged at step {step}; try a smaller --lr than {lr:e}. {path} keeps step {saved}")
    }

    /// The samples and the loss curves as pictures.
    fn draw(&mut self) -> Result<()> {
        let images = self.trainer.sample(SAMPLES, self.config.seed);
        let step = self.trainer.step();
        let title = format!("{} on {}, step {step}", self.config.method.flag(), self.config.data.flag());
        let grid = Grid { columns: 8, scale: 2, gap: 1 };
        let path = self.dir.sample(step);
        write_grid(&path, &images, self.trainer.image_shape(), grid, &[("Title", &title)])?;
        if let Some(events) = &mut self.events {
            events.image(step, "samples", &path)?;
        }
        self.gammas.draw(&self.dir.gammas()[1], &title)?;
        self.dir.draw_losses(&self.losses, &title)
    }

    /// The losses and the checkpoint, unless it is good for nothing.
    fn save(&mut self) -> Result<()> {
        ensure!(self.trainer.is_finite(), "some weights are not finite: {}", self.diverged());
        // The losses first: `resume` needs them up to the checkpoint, and cuts off what goes beyond.
        self.dir.write_losses(&self.losses)?;
        self.gammas.write(&self.dir.gammas()[0])?;
        self.trainer.save(&self.dir.checkpoint())?;
        let seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.dir.write_time(&TrainingTime { step: self.trainer.step(), seconds })?;
        self.saved = self.trainer.step();
        Ok(())
    }

    fn report(&self, time: Duration) {
        let (step, path) = (self.trainer.step(), self.dir.path().display());
        if step < self.config.steps {
            say(format_args!("stopped after step {step} of {}; to go on: gan resume {path}", self.config.steps));
        } else {
            say(format_args!("done in {}", human_seconds(time.as_secs_f64())));
        }
        say(format_args!("images   {}", self.dir.sample(step).display()));
        say(format_args!("losses   {}", self.dir.curves().display()));
        say(format_args!("report   {}", self.dir.report().display()));
        say(format_args!("more     gan sample {path} --n 64 --seed 1 --out more.png"));
    }
}

/// A flag that the first Ctrl-C, or SIGTERM, sets; the second ends the program on the spot.
fn stop_on_ctrl_c(progress: &Progress) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, bar) = (stop.clone(), progress.bar());
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // what a shell reports of a program that Ctrl-C ended
        }
        bar.println("stopping after this step; press Ctrl-C again to stop at once");
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageShape, Images};

    #[test]
    fn training_leaves_the_images_of_the_metrics_alone() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let set = Images::new("sixty", shape, (0..60).collect(), vec![0; 60]);
        let config = Config { batch: 40, ..Config::DEFAULT };
        let pass = Batches::new(&config, &set).next(0).to_vec();
        let mut met: Vec<u64> = pass.iter().map(|x| ((x + 1.0) * 127.5).round() as u64).collect();
        met.sort_unstable();
        assert!(met.into_iter().eq((0..60).filter(|i| i % 6 < 4)));
    }
}
