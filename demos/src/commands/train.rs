//! `gan train` and `gan resume`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use wengert::Tensor;

use crate::config::{Config, DataName, Loss, Method};
use crate::data::{Dataset, Digits, Order, Split, read_idx};
use crate::models;
use crate::pictures::{Grid, write_grid};
use crate::run_dir::{Losses, RunDir};
use crate::train::Trainer;
use crate::usage::{available_memory, human_bytes, human_seconds, peak_memory};

/// How to train.
#[derive(Debug, Args)]
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
    #[arg(long, default_value = "0.5,0.999", value_name = "B1,B2", value_parser = two_numbers)]
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
}

/// Which run to go on with.
#[derive(Debug, Args)]
pub struct Resume {
    /// The directory of the run
    run: PathBuf,
}

fn two_numbers(text: &str) -> Result<[f64; 2], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let numbers = numbers.map_err(|_| "expected two numbers, as in 0.5,0.999".to_string())?;
    numbers.try_into().map_err(|n: Vec<f64>| format!("found {} numbers, expected two, as in 0.5,0.999", n.len()))
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
        check_memory(&config, &*data)?;
        print_estimate(&config, &*data, config.steps);
        let dir = RunDir::create(self.out.as_deref(), &config)?;
        let trainer = Trainer::new(&config, data.shape());
        Run { config, dir, trainer, losses: Vec::new() }.train(&*data)
    }
}

impl Resume {
    /// Goes on from the last checkpoint.
    pub(super) fn run(self) -> Result<()> {
        let (dir, config) = RunDir::open(&self.run)?;
        let data = open_data(&config)?;
        let trainer = Trainer::load(&config, &dir.checkpoint())?;
        let losses = dir.read_losses(trainer.step())?;
        if trainer.step() >= config.steps {
            println!("{}: all {} steps are done", dir.path().display(), config.steps);
            return Ok(());
        }
        println!("going on after step {} of {}", trainer.step(), config.steps);
        print_estimate(&config, &*data, config.steps - trainer.step());
        Run { config, dir, trainer, losses }.train(&*data)
    }
}

fn open_data(config: &Config) -> Result<Box<dyn Dataset>> {
    match (config.data, &config.data_dir) {
        (DataName::Digits, _) => Ok(Box::new(Digits::new(config.seed))),
        (DataName::Mnist | DataName::FashionMnist, Some(dir)) => Ok(Box::new(read_idx(dir, Split::Train)?)),
        (DataName::Mnist | DataName::FashionMnist, None) => bail!("--data {} needs --data-dir", config.data.flag()),
    }
}

/// Refuses what this machine's memory cannot hold, before anything is allocated.
fn check_memory(config: &Config, data: &dyn Dataset) -> Result<()> {
    let shape = data.shape();
    let square = shape.height == shape.width && shape.height.is_multiple_of(8);
    ensure!(square, "{}: images are {shape}; expected squares with a side that 8 divides", data.name());
    let needed = models::memory_estimate(config, shape);
    if let Some(available) = available_memory().filter(|&available| needed > available) {
        let (needed, available) = (human_bytes(needed), human_bytes(available));
        bail!("--width {} --batch {} needs about {needed}, but {available} are free", config.width, config.batch);
    }
    Ok(())
}

/// Times a few steps of a copy of the run, and says how long the whole will take.
fn print_estimate(config: &Config, data: &dyn Dataset, steps: u64) {
    let mut trial = Trainer::<f32>::new(config, data.shape());
    let mut batches = Batches::new(config, data);
    let mut step = || trial.train_step(|n| batches.next(n));
    step(); // The first one meets fresh memory.
    let start = Instant::now();
    step();
    step();
    let seconds = start.elapsed().as_secs_f64() / 2.0;
    println!(
        "{} on {}: width {}, batch {}, {} threads, {} kernels\n{steps} steps of about {:.0} ms: {}; {} of memory",
        config.method.flag(),
        data.name(),
        config.width,
        config.batch,
        rayon::current_num_threads(),
        wengert::Level::current().name(),
        seconds * 1e3,
        human_seconds(seconds * steps as f64),
        human_bytes(peak_memory()),
    );
}

/// The batches of real images, in the order that the seed determines.
struct Batches<'a> {
    data: &'a dyn Dataset,
    order: Order,
    batch: usize,
}

impl<'a> Batches<'a> {
    fn new(config: &Config, data: &'a dyn Dataset) -> Self {
        let order = Order::new(0..data.size().unwrap_or(u64::MAX), config.seed);
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
}

/// Images in the pictures of a run.
const SAMPLES: usize = 64;

impl Run {
    fn train(mut self, data: &dyn Dataset) -> Result<()> {
        println!("writing to {}", self.dir.path().display());
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot listen for Ctrl-C")?;
        let bar = progress_bar(self.config.steps, self.trainer.step());
        if self.trainer.step() == 0 {
            self.draw()?;
        }
        let started = (Instant::now(), self.trainer.step());
        let config = self.config.clone();
        let mut batches = Batches::new(&config, data);
        while self.trainer.step() < self.config.steps && !stop.load(Ordering::Relaxed) {
            let losses = self.trainer.train_step(|n| batches.next(n));
            self.losses.push(losses);
            self.check_finite(&losses)?;
            let images = (losses.step - started.1) * (self.config.batch * self.config.n_dis) as u64;
            let speed = images as f64 / started.0.elapsed().as_secs_f64();
            bar.set_message(format!("D {:.3}  G {:+.3}  {speed:.0} images/s", losses.discriminator, losses.generator));
            bar.set_position(losses.step);
            if losses.step.is_multiple_of(self.config.sample_every) {
                self.draw()?;
            }
            if losses.step.is_multiple_of(self.config.checkpoint_every) {
                self.save()?;
            }
        }
        self.draw()?;
        self.save()?;
        bar.abandon();
        self.report();
        Ok(())
    }

    /// A loss that is not a number would spread to every weight: stop while the last checkpoint is good.
    fn check_finite(&self, losses: &Losses) -> Result<()> {
        let finite = losses.discriminator.is_finite() && losses.generator.is_finite();
        ensure!(
            finite,
            "step {}: the losses are {} (discriminator) and {} (generator), so training has diverged; \
             try a smaller --lr. {} is as it was at the last checkpoint",
            losses.step,
            losses.discriminator,
            losses.generator,
            self.dir.path().display()
        );
        Ok(())
    }

    /// The samples and the loss curves as pictures.
    fn draw(&self) -> Result<()> {
        let images = self.trainer.sample(SAMPLES, self.config.seed);
        let step = self.trainer.step();
        let title = format!("{} on {}, step {step}", self.config.method.flag(), self.config.data.flag());
        let grid = Grid { columns: 8, scale: 2, gap: 1 };
        write_grid(&self.dir.sample(step), &images, self.trainer.image_shape(), grid, &[("Title", &title)])?;
        self.dir.write_losses(&self.losses, &title)
    }

    fn save(&self) -> Result<()> {
        // The losses first: `resume` needs them up to the checkpoint, and cuts off what goes beyond.
        let title = format!("{} on {}", self.config.method.flag(), self.config.data.flag());
        self.dir.write_losses(&self.losses, &title)?;
        self.trainer.save(&self.dir.checkpoint())
    }

    fn report(&self) {
        let (step, path) = (self.trainer.step(), self.dir.path().display());
        if step < self.config.steps {
            println!("stopped after step {step} of {}; `gan resume {path}` goes on", self.config.steps);
        }
        println!("images   {}", self.dir.sample(step).display());
        println!("losses   {}", Path::new(self.dir.path()).join("losses.png").display());
        println!("more     gan sample {path} --n 64 --seed 1 --out more.png");
    }
}

fn progress_bar(steps: u64, done: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {elapsed} of {duration}  {msg}")
        .expect("a template without mistakes");
    let bar = ProgressBar::new(steps).with_position(done).with_style(style);
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
