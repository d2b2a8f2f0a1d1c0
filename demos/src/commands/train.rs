//! `gan train` and `gan resume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wengert::Tensor;

use super::progress::Progress;
use super::say;
use crate::config::{Config, Settings, recipes};
use crate::data::{Dataset, Digits, Order, Resized, Split, read_idx};
use crate::models;
use crate::pictures::{Grid, write_grid};
use crate::run_dir::{Losses, RunDir};
use crate::train::{Batch, Trainer};
use crate::usage::{human_bytes, human_seconds, peak_memory};

/// How to train.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = recipes())] // negative: so that `--lr -1` is told what it should be
pub struct Train {
    #[command(flatten)]
    settings: Settings,
    /// A TOML file of settings, by the names of the flags with _ for -, such as a run's config.toml; flags override it
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
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

impl Train {
    /// Trains from the beginning.
    pub(super) fn run(self) -> Result<()> {
        let file = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        let config = self.settings.over(&file)?;
        let data = open_data(&config)?;
        models::check_memory(&config, data.shape())?;
        let mut trainer = Trainer::with_classes(&config, data.shape(), data.classes());
        if let Some(run) = &config.init_from {
            trainer.start_from(run).with_context(|| format!("--init-from {}", run.display()))?;
        }
        let dir = RunDir::create(self.out.as_deref(), &config)?;
        let mut run = Run { config, dir, trainer, losses: Vec::new(), saved: 0 };
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
        if let Some(classes) = trainer.classes() {
            let found = data.classes();
            ensure!(found == classes, "{}: {found} classes; expected {classes} as in the checkpoint", data.name());
        }
        let losses = dir.read_losses(trainer.step())?;
        if trainer.step() >= config.steps {
            say(format_args!("{}: all {} steps are done", dir.path().display(), config.steps));
            return Ok(());
        }
        let saved = trainer.step();
        say(format_args!("going on after step {saved} of {}", config.steps));
        let run = Run { config, dir, trainer, losses, saved };
        print_estimate(&run, &*data);
        run.train(&*data)
    }
}

fn open_data(config: &Config) -> Result<Box<dyn Dataset>> {
    let images: Box<dyn Dataset> = match &config.data_dir {
        None => Box::new(Digits::new(config.seed)),
        Some(dir) => Box::new(read_idx(dir, Split::Train)?),
    };
    let (name, shape) = (images.name(), images.shape());
    let (square, fits) = (shape.height == shape.width, shape.height.is_multiple_of(8));
    match config.size {
        Some(side) if side == shape.height && square => Ok(images),
        Some(side) => {
            ensure!(square, "{name}: images are {shape}; expected squares");
            Ok(Box::new(Resized::new(images, side)))
        }
        None => {
            ensure!(
                square && fits,
                "{name}: images are {shape}; expected squares with a side that 8 divides, or 28×28, or --size"
            );
            Ok(images)
        }
    }
}

/// Times a few steps of a copy of the run, and says how long the whole will take.
fn print_estimate(run: &Run, data: &dyn Dataset) {
    let config = &run.config;
    // Without the long steps of the warm-up.
    let usual = Config { warm_up: false, ..config.clone() };
    let mut trial = Trainer::<f32>::with_classes(&usual, data.shape(), data.classes());
    let mut batches = Batches::new(config, data);
    let mut step = || trial.train_step(|n| batches.next(n));
    step(); // The first one meets fresh memory.
    let start = Instant::now();
    step();
    step();
    let seconds = start.elapsed().as_secs_f64() / 2.0;
    let steps = config.steps - run.trainer.step();
    let updates = config.discriminator_updates(config.steps) - config.discriminator_updates(run.trainer.step());
    let whole = seconds * updates as f64 / config.n_dis as f64;
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
        human_seconds(whole),
        human_bytes(peak_memory()),
        run.dir.path().display(),
    ));
}

/// The batches of real images, in the order that the seed determines.
struct Batches<'a> {
    data: &'a dyn Dataset,
    order: Order,
    batch: usize,
    conditional: bool,
}

impl<'a> Batches<'a> {
    fn new(config: &Config, data: &'a dyn Dataset) -> Self {
        let order = Order::new(0..data.size().unwrap_or(u64::MAX), config.seed);
        Batches { data, order, batch: config.batch, conditional: config.conditional }
    }

    /// Batch `n` since the start of training: images (N, C, H, W), in memory channels-last, and their classes if the nets
    /// are to know them.
    fn next(&mut self, n: u64) -> Batch {
        let shape = self.data.shape();
        let mut images = vec![0.0; self.batch * shape.numel()];
        let mut labels = vec![0; self.batch];
        self.data.batch(&self.order.indices(n, self.batch), &mut images, &mut labels);
        let images = Tensor::from_slice([self.batch, shape.height, shape.width, shape.channels], &images);
        Batch {
            values: images.permute([0, 3, 1, 2]),
            labels: self.conditional.then(|| labels.into_iter().map(usize::from).collect()),
        }
    }
}

/// A run in progress.
struct Run {
    config: Config,
    dir: RunDir,
    trainer: Trainer<f32>,
    losses: Vec<Losses>,
    /// The step of the last checkpoint.
    saved: u64,
}

/// The pictures of a run: 64 images in 8 columns, or 8 of each class if the nets know up to 16 classes, a column each.
fn picture(classes: Option<usize>) -> (usize, usize) {
    let columns = classes.filter(|&n| n <= 16).unwrap_or(8);
    (8 * columns, columns)
}

impl Run {
    fn train(mut self, data: &dyn Dataset) -> Result<()> {
        let progress = Progress::new(&self.config, self.trainer.step());
        let stop = stop_on_ctrl_c(&progress)?;
        let config = self.config.clone();
        let mut batches = Batches::new(&config, data);
        let mut last = false;
        while !last {
            let losses = self.trainer.train_step(|n| batches.next(n));
            self.losses.push(losses);
            self.check_losses(&losses)?;
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
        self.report(progress.finish());
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
    fn draw(&self) -> Result<()> {
        let (n, columns) = picture(self.trainer.classes());
        let images = self.trainer.sample(n, self.config.seed);
        let step = self.trainer.step();
        let title = format!("{} on {}, step {step}", self.config.method.flag(), self.config.data.flag());
        let grid = Grid { columns, scale: 2, gap: 1 };
        write_grid(&self.dir.sample(step), &images, self.trainer.image_shape(), grid, &[("Title", &title)])?;
        self.dir.draw_losses(&self.losses, &self.config, &title)
    }

    /// The losses and the checkpoint, unless it is good for nothing.
    fn save(&mut self) -> Result<()> {
        ensure!(self.trainer.is_finite(), "some weights are not finite: {}", self.diverged());
        // The losses first: `resume` needs them up to the checkpoint, and cuts off what goes beyond.
        self.dir.write_losses(&self.losses)?;
        self.trainer.save(&self.dir.checkpoint())?;
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
