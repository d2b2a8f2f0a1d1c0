//! A run in progress: the loop of training, and what it writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use wengert::DeviceError;

use super::batches::Batches;
use crate::commands::evaluate::{CACHE, open_evaluator, open_set};
use crate::commands::progress::Progress;
use crate::commands::say;
use crate::config::Config;
use crate::data::Dataset;
use crate::gammas::GammaHistory;
use crate::metrics::{Evaluator, History};
use crate::pictures::{Grid, write_grid};
use crate::report;
use crate::run_dir::{Losses, RunDir, TrainingTime};
use crate::tensorboard::EventFile;
use crate::train::Trainer;
use crate::usage::human_seconds;

/// A run in progress.
pub(super) struct Run {
    pub(super) config: Config,
    pub(super) dir: RunDir,
    pub(super) trainer: Trainer<f32>,
    pub(super) losses: Vec<Losses>,
    pub(super) gammas: GammaHistory,
    /// The step of the last checkpoint.
    pub(super) saved: u64,
    /// When training began, or went on.
    pub(super) started: Instant,
    /// How long it had taken before it went on.
    pub(super) seconds_before: f64,
    pub(super) events: Option<EventFile>,
    /// With --evaluate-every.
    pub(super) evaluator: Option<Evaluator>,
}

/// What evaluates a run of this configuration as it goes, if it is to be evaluated.
pub(super) fn evaluator(config: &Config) -> Result<Option<Evaluator>> {
    if config.evaluate_every.is_none() {
        return Ok(None);
    }
    let set = open_set(config)?;
    open_evaluator(&*set, None, 0, Path::new(CACHE), true).map(Some)
}

/// The pictures of a run: 64 images in 8 columns, or 8 of each class if the nets know up to 16 classes, a column each.
fn picture(classes: Option<usize>) -> (usize, usize) {
    let columns = classes.filter(|&n| n <= 16).unwrap_or(8);
    (8 * columns, columns)
}

impl Run {
    /// Does some work. The error of a device that fails in it says what is left, and how to go on.
    pub(super) fn work(mut self, work: impl FnOnce(&mut Run) -> Result<()>) -> Result<()> {
        let done = DeviceError::catch(|| work(&mut self)).unwrap_or_else(|error| Err(error.into()));
        done.map_err(|error| match error.is::<DeviceError>() {
            false => error,
            true => {
                let (path, saved) = (self.dir.path().display(), self.saved);
                anyhow!(
                    "{error:#}\n{path} keeps step {saved}; to go on: gan resume {path} --device cpu\n\
                     If memory ran out, a new run with a smaller --batch or --width needs less."
                )
            }
        })
    }

    /// Trains up to the last step, or until somebody stops it.
    pub(super) fn train(&mut self, data: &Arc<dyn Dataset>) -> Result<()> {
        let progress = Progress::new(&self.config, self.trainer.step());
        let stop = stop_on_ctrl_c(&progress)?;
        let config = self.config.clone();
        let mut batches = Batches::new(&config, data, config.discriminator_updates(self.trainer.step()));
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
            if config.evaluate_every.is_some_and(|every| losses.step.is_multiple_of(every)) {
                self.evaluate()?;
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
        let gains = self.trainer.gains();
        self.gammas.record(losses.step, gains);
        if let Some(events) = &mut self.events {
            let mut values = vec![("loss/discriminator", losses.discriminator), ("loss/generator", losses.generator)];
            values.extend(losses.estimate.map(|estimate| ("estimate", estimate)));
            values.extend(gains.iter().map(|(name, gain)| (name.as_str(), *gain)));
            events.scalars(losses.step, &values)?;
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
    pub(super) fn draw(&mut self) -> Result<()> {
        let (n, columns) = picture(self.trainer.classes());
        let images = self.trainer.sample(n, self.config.seed);
        let step = self.trainer.step();
        let title = format!("{} on {}, step {step}", self.config.method.flag(), self.config.data.flag());
        let grid = Grid { columns, scale: 2, gap: 1 };
        let path = self.dir.sample(step);
        write_grid(&path, &images, self.trainer.image_shape(), grid, &[("Title", &title)])?;
        if let Some(events) = &mut self.events {
            events.image(step, "samples", &path)?;
        }
        self.gammas.draw(&self.dir.gammas()[1], &title)?;
        self.dir.draw_losses(&self.losses, &self.config, &title)
    }

    /// The figures of the generator as it is, into evaluation.json, and the first of them into the event file.
    fn evaluate(&mut self) -> Result<()> {
        let Some(evaluator) = &self.evaluator else { return Ok(()) };
        let step = self.trainer.step();
        let images = self.trainer.sample(evaluator.n(), evaluator.seed());
        let history = History::record(self.dir.path(), evaluator.evaluate(step, &images)?)?;
        if let Some(events) = &mut self.events {
            events.scalars(step, &[("evaluation/frechet", history.last.generated.frechet)])?;
        }
        Ok(())
    }

    /// The losses and the checkpoint, unless it is good for nothing.
    pub(super) fn save(&mut self) -> Result<()> {
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
