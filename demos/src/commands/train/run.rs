//! A run in progress: the loop of training, and what it writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use wengert::{Device, DeviceError};

use super::batches::Batches;
use super::page::Page;
use crate::commands::evaluate;
use crate::commands::evaluator::{Cache, open_evaluator};
use crate::commands::progress::Progress;
use crate::commands::sets::open_set;
use crate::commands::{say, warn};
use crate::config::Config;
use crate::data::Dataset;
use crate::files::{quoted, write_whole};
use crate::gammas::GammaHistory;
use crate::interrupt::{self, Deferral, Interrupted};
use crate::live::Status;
use crate::live::server::Listener;
use crate::losses::{self, Losses};
use crate::metrics::{Evaluation, Evaluator, History};
use crate::pictures::{Grid, MOST_CLASSES, write_grid};
use crate::report;
use crate::run_dir::{RunDir, TrainingTime};
use crate::tensorboard::EventFile;
use crate::train::Trainer;
use crate::usage::{count, human_bytes, human_seconds, peak_memory};

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
    started: Instant,
    /// How long it had taken before it went on.
    seconds_before: f64,
    /// With --tensorboard.
    pub(super) events: Option<EventFile>,
    /// With --evaluate-every.
    pub(super) evaluator: Option<Evaluator>,
    /// Where it trains.
    device: Device,
    /// The names of the classes, if each has a column in the pictures.
    class_names: Vec<String>,
    /// With --live.
    page: Option<Page>,
}

/// Why training does not go on.
enum Trouble {
    /// It has diverged, for this reason.
    Diverged(String),
    /// Something could not be written; or a signal has come within an evaluation.
    Other(anyhow::Error),
}

/// What evaluates a run of this configuration as it goes, if it is to be evaluated.
pub(super) fn evaluator(config: &Config, data: &Arc<dyn Dataset>, cache: &Cache) -> Result<Option<Evaluator>> {
    if config.evaluate_every.is_none() {
        return Ok(None);
    }
    // A set of files is the same whatever the seed, and is not read twice.
    let drawn = if config.data.needs_files() { None } else { Some(open_set(config)?) };
    open_evaluator(drawn.as_deref().unwrap_or(&**data), None, 0, cache, true).map(Some)
}

/// The pictures of a run: 64 images in 8 columns, or 8 of each class if the nets know up to 16 classes, a column each.
fn picture(classes: Option<usize>) -> (usize, usize) {
    let columns = classes.filter(|&n| n <= MOST_CLASSES).unwrap_or(8);
    (8 * columns, columns)
}

impl Run {
    /// A run in this directory that has not been trained in this process.
    pub(super) fn new(config: Config, dir: RunDir, trainer: Trainer<f32>, device: Device) -> Run {
        Run {
            config,
            dir,
            saved: trainer.step(),
            trainer,
            losses: Vec::new(),
            gammas: GammaHistory::default(),
            started: Instant::now(),
            seconds_before: 0.0,
            events: None,
            evaluator: None,
            device,
            class_names: Vec::new(),
            page: None,
        }
    }

    /// The same, shown on a page, if there is a port for one.
    pub(super) fn shown_on(self, listener: Option<Listener>) -> Result<Run> {
        let open = |listener| Page::open(listener, &self.dir, &self.config, &self.losses);
        Ok(Run { page: listener.map(open).transpose()?, ..self })
    }

    /// The same, with the names of the classes of `data` in its pictures, if each class has a column there.
    pub(super) fn with_names(self, data: &dyn Dataset) -> Run {
        let classes = self.trainer.classes().filter(|&n| n == picture(Some(n)).1).unwrap_or(0);
        let class_names = (0..classes).map(|label| data.class_name(label as u8)).collect();
        Run { class_names, ..self }
    }

    /// The same, with what it has recorded up to its checkpoint.
    pub(super) fn after(self, losses: Vec<Losses>, gammas: GammaHistory, seconds: f64) -> Run {
        Run { losses, gammas, seconds_before: seconds, ..self }
    }

    /// Does some work. The error of a device that fails in it says what is left, and how to go on.
    pub(super) fn work(mut self, work: impl FnOnce(&mut Run) -> Result<()>) -> Result<()> {
        let done = DeviceError::catch(|| work(&mut self)).unwrap_or_else(|error| Err(error.into()));
        if let Some(page) = &self.page {
            let (step, path) = (self.trainer.step(), quoted(self.dir.path()));
            let ended = match &done {
                Ok(()) => format!("The run is over: {} made.", count(step, "step is", "steps are")),
                Err(error) if error.is::<Interrupted>() => {
                    format!("The run has stopped after step {step}; to go on: gan resume {path}")
                }
                Err(error) => format!("The run has ended: {error:#}"),
            };
            page.close(&ended, interrupt::requested().is_some());
        }
        done.map_err(|error| match error.is::<DeviceError>() {
            false => error,
            true => {
                let (path, saved) = (self.dir.path(), self.saved);
                let (shown, word) = (path.display(), quoted(path));
                anyhow!(
                    "{error:#}\n{shown} keeps step {saved}; to go on: gan resume {word} --device cpu\n\
                     If memory ran out, a new run with a smaller --batch or --width needs less."
                )
            }
        })
    }

    /// Trains up to the last step, or until somebody stops it.
    pub(super) fn train(&mut self, data: &Arc<dyn Dataset>) -> Result<()> {
        let mut progress = Progress::new(&self.config, self.trainer.step());
        let bar = progress.bar();
        let _deferral = Deferral::begin(move || {
            let message = "stopping after this step; press Ctrl-C again to stop at once";
            bar.suspend(|| warn(message));
        });
        let first = self.config.discriminator_updates(self.trainer.step());
        let mut batches = Batches::new(&self.config, data, first);
        self.started = Instant::now();
        let (mut last, mut cut) = (false, false);
        while !last {
            let losses = self.trainer.train_step(|n| batches.next(n));
            self.losses.push(losses);
            self.gammas.record(losses.step, self.trainer.gains());
            last = losses.step >= self.config.steps || interrupt::requested().is_some();
            let mut done = self.keep(&losses, last, &progress);
            if matches!(&done, Err(Trouble::Other(error)) if error.is::<Interrupted>()) {
                (cut, done) = (true, Ok(()));
            }
            if done.is_ok() && !last {
                self.wait_while_paused(&mut progress);
            }
            if done.is_ok() && !last && interrupt::requested().is_some() {
                // It came while that was written: the step at hand is this one.
                last = true;
                done = self.look(&losses, true).and_then(|()| self.save().map_err(Trouble::Other));
            }
            if let Err(trouble) = done {
                drop(progress);
                return Err(match trouble {
                    Trouble::Diverged(reason) => self.diverged(&reason, data),
                    Trouble::Other(error) => self.saved_before(error, data),
                });
            }
        }
        let time = progress.finish();
        self.finish()?;
        self.report(time, cut)
    }

    /// Waits as long as somebody wants it on the page; the time is none of training.
    fn wait_while_paused(&mut self, progress: &mut Progress) {
        let Some(hub) = self.page.as_ref().map(Page::hub).filter(|hub| hub.status() == Status::Paused) else { return };
        progress.show_pause();
        let waited = hub.wait_while_paused();
        self.started += waited;
        progress.leave_out(waited);
    }

    /// An error of something that is written as training goes, after a checkpoint of the last step, if its weights are
    /// good for one.
    fn saved_before(&mut self, error: anyhow::Error, data: &Arc<dyn Dataset>) -> anyhow::Error {
        if let Some(name) = self.trainer.not_finite() {
            return self.diverged(&format!("{name} is not finite, and {error:#}"), data);
        }
        let saved = self.save();
        let (path, step) = (self.dir.path(), self.saved);
        let kept = format!("{} keeps step {step}; to go on: gan resume {}", path.display(), quoted(path));
        match saved.map_err(|other| format!("{other:#}")) {
            Err(other) if other != format!("{error:#}") => anyhow!("{error:#}\nand then: {other}\n{kept}"),
            _ => anyhow!("{error:#}\n{kept}"),
        }
    }

    /// Looks at a step, and keeps what is due after it.
    fn keep(&mut self, losses: &Losses, last: bool, progress: &Progress) -> Result<(), Trouble> {
        let step = losses.step;
        let saves = last || step.is_multiple_of(self.config.checkpoint_every);
        self.look(losses, saves || self.picture_is_due(step) || self.evaluation_is_due(step))?;
        self.write(losses, saves, progress).map_err(Trouble::Other)
    }

    fn look(&self, losses: &Losses, at_weights: bool) -> Result<(), Trouble> {
        self.divergence(losses, at_weights).map_or(Ok(()), |reason| Err(Trouble::Diverged(reason)))
    }

    /// Writes what is due after a step, the checkpoint, if it `saves` one, first.
    fn write(&mut self, losses: &Losses, saves: bool, progress: &Progress) -> Result<()> {
        let step = losses.step;
        if saves {
            self.save()?;
        }
        let picture = self.picture_is_due(step);
        progress.show(losses, picture);
        if let Some(page) = &self.page {
            page.hub().step(*losses, progress.pace(step));
        }
        self.log(losses)?;
        if picture {
            self.draw()?;
        }
        if self.evaluation_is_due(step) {
            self.evaluate()?;
        }
        Ok(())
    }

    fn picture_is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.sample_every) || step >= self.config.steps
    }

    fn evaluation_is_due(&self, step: u64) -> bool {
        let due = |every| step.is_multiple_of(every) || step >= self.config.steps;
        step > 0 && self.config.evaluate_every.is_some_and(due)
    }

    /// Makes what belongs to the last checkpoint, if the run ended between that and this.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        let step = self.trainer.step();
        if self.picture_is_due(step) && !self.dir.sample(step).is_file() {
            self.draw()?;
        } else {
            self.draw_curves()?;
        }
        let history = History::read(self.dir.path())?;
        if let Some(evaluator) = self.evaluator.as_ref().filter(|_| self.evaluation_is_due(step))
            && !history.as_ref().is_some_and(|history| history.has(step, evaluator.n(), evaluator.seed()))
        {
            return self.evaluate();
        }
        history.map_or(Ok(()), |history| history.draw(self.dir.path()))
    }

    /// What each step adds to the event file.
    fn log(&mut self, losses: &Losses) -> Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let mut values = vec![("loss/discriminator", losses.discriminator), ("loss/generator", losses.generator)];
        values.extend(losses.estimate.map(|estimate| ("estimate", estimate)));
        let outputs =
            losses.outputs.map(|outputs| [("output/real", outputs.real), ("output/generated", outputs.generated)]);
        values.extend(outputs.into_iter().flatten());
        values.extend(self.trainer.gains().iter().map(|(name, gain)| (name.as_str(), *gain)));
        events.scalars(losses.step, &values)
    }

    /// The samples and the loss curves as pictures.
    pub(super) fn draw(&mut self) -> Result<()> {
        let (n, columns) = picture(self.trainer.classes());
        let images = self.trainer.sample(n, self.config.seed);
        let grid = Grid { columns, scale: 2, gap: 1 };
        let path = self.dir.sample(self.trainer.step());
        let shape = self.trainer.image_shape();
        write_grid(&path, &images, shape, grid, &self.class_names, &[("Title", &self.title())])?;
        if let Some(events) = &mut self.events {
            events.image(self.trainer.step(), "samples", &path)?;
        }
        if let Some(page) = &mut self.page {
            page.drawn(&self.trainer, self.trainer.step() >= self.config.steps);
        }
        self.draw_curves()
    }

    /// What is written above pictures.
    fn title(&self) -> String {
        format!("{} on {}, step {}", self.config.method.flag(), self.config.data_title(), self.trainer.step())
    }

    /// The losses and the gains of attention as pictures.
    pub(super) fn draw_curves(&self) -> Result<()> {
        let title = self.title();
        losses::draw(&self.dir.losses()[1], &self.losses, &self.config, &title)?;
        self.gammas.draw(&self.dir.gammas()[1], &title)
    }

    /// The losses and the gains of attention as numbers.
    pub(super) fn write_curves(&self) -> Result<()> {
        losses::write(&self.dir.losses()[0], &self.losses)?;
        self.gammas.write(&self.dir.gammas()[0])
    }

    /// What the nets are worth now: the figures go into evaluation.json, and into the event file.
    ///
    /// # Errors
    /// [`Interrupted`], if a signal asks for an end; `resume` catches up.
    fn evaluate(&mut self) -> Result<()> {
        let Some(evaluator) = &self.evaluator else { return Ok(()) };
        let (step, mut images) = (self.trainer.step(), Vec::new());
        for part in self.trainer.samples_as_in_the_set(evaluator.n(), evaluator.seed()) {
            interrupt::check()?;
            images.extend(part);
        }
        let evaluation = evaluator.evaluate(step, &images)?;
        let Evaluation { generated, real, .. } = &evaluation;
        let tagged = [("evaluation", generated), ("evaluation of real images", real)].map(|(group, figures)| {
            figures.tagged().into_iter().map(move |(tag, value)| (format!("{group}/{tag}"), value))
        });
        let figures: Vec<(String, f64)> = tagged.into_iter().flatten().collect();
        if let Some(page) = &self.page {
            page.evaluated(evaluation.clone());
        }
        // Before it is recorded: what a kill takes in between is made again.
        if History::read(self.dir.path())?.is_none_or(|history| history.would_be_best(&evaluation)) {
            write_whole(&self.dir.best(), &self.trainer.archive()?.to_bytes())?;
        }
        History::record(self.dir.path(), evaluation)?;
        if let Some(events) = &mut self.events {
            events.scalars(step, &figures)?;
        }
        Ok(())
    }

    /// The losses and the checkpoint, if they are not those of the last one.
    pub(super) fn save(&mut self) -> Result<()> {
        if self.saved == self.trainer.step() && self.dir.checkpoints()[0].is_file() {
            return Ok(());
        }
        // The losses first: `resume` needs them up to the checkpoint, and cuts off what goes beyond.
        self.write_curves()?;
        self.dir.write_checkpoint(&self.trainer.archive()?)?;
        let seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        let device = self.device.to_string();
        self.dir.write_time(&TrainingTime { step: self.trainer.step(), seconds, device })?;
        self.saved = self.trainer.step();
        Ok(())
    }

    /// What is made of the whole run once training has ended.
    pub(super) fn finish(&self) -> Result<()> {
        report::animate(&self.dir)?;
        report::write(&self.dir)
    }

    /// What the run has come to; `cut`, if its last evaluation is missing.
    ///
    /// # Errors
    /// [`Interrupted`], if a signal has stopped it.
    fn report(&self, time: Duration, cut: bool) -> Result<()> {
        let (step, path) = (self.trainer.step(), quoted(self.dir.path()));
        let stopped = cut || step < self.config.steps;
        if stopped {
            say(format_args!("stopped after step {step} of {}; to go on: gan resume {path}", self.config.steps));
        } else {
            let (time, memory) = (human_seconds(time.as_secs_f64()), human_bytes(peak_memory()));
            say(format_args!("done in {time}, with {memory} of memory at most"));
        }
        let history = self.evaluator.as_ref().map(|_| History::read(self.dir.path())).transpose()?.flatten();
        if let Some(history) = history.filter(|history| history.last.step == step) {
            evaluate::print(&history, &self.config.data_title(), self.dir.path());
        }
        if let Some((_, last)) = self.dir.samples()?.last() {
            say(format_args!("images   {}", last.display()));
        }
        say(format_args!("losses   {}", self.dir.losses()[1].display()));
        say(format_args!("report   {}", self.dir.report().display()));
        say(format_args!("more     gan sample {path} --n 64 --seed 1 --out more.png"));
        if stopped { interrupt::check().map_err(anyhow::Error::from) } else { Ok(()) }
    }
}
