//! What works a toy's page: a [`Lab`] that obeys the orders of pages, one after another, on one thread.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};
use wengert::{Tape, Tensor, Var};

use super::toy_site::{Asked, Shown, ToySite};
use crate::interrupt;
use crate::thinning::every_second;
use crate::toy::{
    EXPERIMENTS, Experiment, Lab, Log, Model, Move, Recipe, Script, Toy, command_line, drawing, frame, level, optimum,
    real_points, told,
};

/// Frames that are kept, to go back to; of more, every second goes.
const MOST_FRAMES: usize = 400;
/// A frame is made so often at most.
const EVERY: Duration = Duration::from_millis(120);
/// How often it is looked whether a signal has come.
const TICK: Duration = Duration::from_millis(100);
/// The most steps between two frames.
const MOST_STEPS: u64 = 1000;
/// So long after a page has said that it shows the optimal discriminator, frames have it.
const WANTED: Duration = Duration::from_secs(5);

/// The moves between two frames of an experiment.
const BETWEEN_FRAMES: usize = 10;

/// What a page may ask for.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum Order {
    /// Make steps until somebody says pause, so many between two frames.
    Play { steps: u64 },
    /// Make no more steps.
    Pause {},
    /// Make so many steps.
    Step { steps: u64 },
    /// An update of the critic by itself.
    Critic {},
    /// An update of the generator by itself.
    Generator {},
    /// A step, and tell its stages.
    Slow {},
    /// The tape of the update of the critic, or of the generator, that would be made by itself after a script.
    Tape { critic: bool, script: String },
    /// Change rates from here on.
    Set { lr: Option<f64>, lr_d: Option<f64>, n_dis: Option<usize> },
    /// Begin anew.
    Start(Start),
    /// Begin anew with an experiment, by its number, and make it.
    Try { experiment: usize },
    /// Go to the state after a script.
    GoTo { script: String },
    /// Some page shows the optimal discriminator: the next frames are to have it. A page says so again and again, so
    /// that one that is closed, or shows it no more, takes it from no other.
    Optimum {},
    /// The optimal discriminator of the state after a script.
    OptimumAt { script: String },
}

/// How to begin anew. What is not said is as at the last beginning, or, if the method is another, as usual for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Start {
    toy: String,
    /// Those of a drawing.
    points: Option<String>,
    model: String,
    /// As a text, since JavaScript's numbers have 53 bits.
    seed: String,
    lr: Option<f64>,
    lr_d: Option<f64>,
    n_dis: Option<usize>,
    /// The number that goes with the method: c, λ or K.
    number: Option<f64>,
}

/// What works a lab, on the thread that calls [`run`](Worker::run).
pub struct Worker {
    lab: Lab,
    site: Arc<ToySite>,
    asked: Receiver<Asked>,
    /// Steps between two frames.
    steps: u64,
    playing: bool,
    /// Until when frames have the optimal discriminator.
    optimum_until: Instant,
}

impl Worker {
    /// A page about this lab with a note, and what works it.
    pub fn new(lab: Lab, note: &str) -> (Arc<ToySite>, Worker) {
        let (site, asked) = ToySite::new();
        let optimum_until = Instant::now();
        let worker = Worker { lab, site: site.clone(), asked, steps: 1, playing: false, optimum_until };
        worker.begin(note);
        (site, worker)
    }

    /// Obeys orders until a signal asks for an end.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`].
    pub fn run(mut self) -> Result<()> {
        loop {
            interrupt::check()?;
            let asked = match self.playing {
                true => self.asked.try_recv().ok(),
                false => self.asked.recv_timeout(TICK).ok(),
            };
            match asked {
                // A page that has gone needs no answer.
                Some((order, answer)) => drop(answer.send(self.obey(order).map_err(|error| format!("{error:#}")))),
                None if self.playing => self.play(),
                None => {}
            }
        }
    }

    /// Makes the steps up to the next frame.
    fn play(&mut self) {
        let start = Instant::now();
        if let Err(error) = self.lab.make(Move::Steps(self.steps)) {
            self.playing = false;
            self.show(&format!("{error:#}"));
            return;
        }
        self.playing = !self.lab.is_over();
        self.show(if self.playing { "" } else { "All steps are made: the learning rate has fallen to 0." });
        std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
    }

    fn obey(&mut self, order: Value) -> Result<Value> {
        let order: Order = serde_json::from_value(order)?;
        let trains = matches!(
            order,
            Order::Play { .. } | Order::Step { .. } | Order::Critic {} | Order::Generator {} | Order::Slow {}
        );
        let all = self.lab.start().steps;
        ensure!(
            !trains || !self.lab.is_over(),
            "all {all} steps are made, and the learning rate is 0; go back or restart"
        );
        self.playing &= matches!(
            order,
            Order::Play { .. } | Order::Set { .. } | Order::Tape { .. } | Order::Optimum {} | Order::OptimumAt { .. }
        );
        let steps = |steps: u64| Move::Steps(steps.clamp(1, MOST_STEPS));
        match order {
            Order::Play { steps } => (self.steps, self.playing) = (steps.clamp(1, MOST_STEPS), true),
            Order::Pause {} => {}
            Order::Step { steps: n } => self.make(&[steps(n)])?,
            Order::Critic {} => self.make(&[Move::Critic])?,
            Order::Generator {} => self.make(&[Move::Generator])?,
            Order::Slow {} => return self.slow(),
            Order::Tape { critic, script } => return self.tape(critic, &script),
            Order::Set { lr, lr_d, n_dis } => {
                let Recipe { lr: both, lr_d: own, .. } = self.lab.trainer().recipe();
                // A critic without a rate of its own keeps the one it has.
                let lr_d = lr_d.or(Some(*both).filter(|_| lr.is_some() && own.is_none()));
                let rates = [lr.map(Move::Lr), lr_d.map(Move::LrD), n_dis.map(Move::NDis)];
                // As a script would be read: what is no rate is refused.
                let words: Vec<String> = rates.iter().flatten().map(Move::to_string).collect();
                let script: Script = words.join(" ").parse().map_err(anyhow::Error::msg)?;
                self.make(script.moves())?;
            }
            Order::Start(start) => return self.start(&start).map(|()| json!({})),
            Order::Try { experiment } => {
                let experiment = EXPERIMENTS.get(experiment).context("there is no such experiment")?;
                return self.try_out(experiment).map(|()| json!({}));
            }
            Order::GoTo { script } => {
                let script: Script = script.parse().map_err(anyhow::Error::msg)?;
                let done = self.lab.go_to(&script);
                self.show_gone_to(&script);
                return done.map(|()| json!({}));
            }
            Order::Optimum {} => {
                self.optimum_until = Instant::now() + WANTED;
                return Ok(json!({}));
            }
            Order::OptimumAt { script } => return Ok(optimum(&self.aside(&script)?)),
        }
        self.show("");
        Ok(json!({}))
    }

    fn make(&mut self, moves: &[Move]) -> Result<()> {
        let made = moves.iter().try_for_each(|next| self.lab.make(*next));
        if made.is_err() {
            self.show("");
        }
        made
    }

    fn start(&mut self, start: &Start) -> Result<()> {
        let named = |error: String| anyhow!(error);
        let toy = match start.toy.as_str() {
            "drawn" => drawing(start.points.as_deref().unwrap_or_default()).map_err(named)?,
            name => Toy::from_str(name, false).map_err(named)?,
        };
        let model = Model::from_str(&start.model, false).map_err(named)?;
        let seed = start.seed.trim();
        let seed = seed.parse().ok().with_context(|| format!("the seed is {seed:?}; expected 0 to {}", u64::MAX))?;
        let last = self.lab.start();
        let mut recipe = match last.model() == model {
            true => Recipe { toy, seed, ..last.clone() },
            false => {
                let Recipe { hidden, batch, steps, .. } = *last;
                Recipe { hidden, batch, steps, seed, ..Recipe::new(toy, model) }
            }
        };
        recipe.lr = start.lr.unwrap_or(recipe.lr);
        recipe.n_dis = start.n_dis.unwrap_or(recipe.n_dis);
        // No rate of the critic's own, if it is that of both.
        recipe.lr_d = start.lr_d.or(recipe.lr_d).filter(|lr| *lr != recipe.lr);
        if let (Some(number), Some(given)) = (recipe.objective.number_mut(), start.number) {
            *number = given;
        }
        self.lab = Lab::new(recipe)?;
        self.begin("");
        Ok(())
    }

    /// Makes an experiment from its beginning on, before the eyes of whoever watches.
    fn try_out(&mut self, experiment: &Experiment) -> Result<()> {
        self.lab = Lab::new(experiment.recipe())?;
        self.begin("");
        let few = |next: Move| match next {
            Move::Steps(n) => vec![Move::Steps(1); n as usize],
            other => vec![other],
        };
        let moves: Vec<Move> = experiment.moves().into_iter().flat_map(few).collect();
        for moves in moves.chunks(BETWEEN_FRAMES) {
            interrupt::check()?;
            self.make(moves)?;
            self.show("");
        }
        Ok(())
    }

    /// Shows a new lab with a note.
    fn begin(&self, note: &str) {
        let start = self.lab.start();
        let usual: Value = Model::value_variants()
            .iter()
            .map(|model| (model.name(), Recipe::new(Toy::Ring, *model)))
            .map(|(name, recipe)| (name, json!({ "lr": recipe.lr, "n_dis": recipe.n_dis, "number": recipe.number() })))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let about = json!({
            "toy": start.toy.name(),
            "model": start.model().name(),
            "seed": start.seed.to_string(),
            "number": start.number(),
            "usual": usual,
            "steps": start.steps,
            "batch": start.batch,
            "k": start.lipschitz(),
            "half_side": start.toy.half_side(),
            "scale": start.toy.scale(),
            "centres": start.toy.centres(),
            "real": real_points(&start.toy),
            "level": level(&start.toy),
            "command": command_line(start),
            "experiments": &EXPERIMENTS,
        });
        self.show_after(note, |shown| {
            shown.edition += 1;
            shown.about = about;
            shown.frames.clear();
        });
    }

    /// Makes a frame, and shows it with a note.
    fn show(&self, note: &str) {
        self.show_after(note, |_| {});
    }

    /// [`show`](Worker::show) after something else has changed, both at once for the pages.
    fn show_after(&self, note: &str, change: impl FnOnce(&mut Shown)) {
        let frame = Arc::new(frame(&self.lab, Instant::now() < self.optimum_until));
        self.site.change(|shown| {
            change(shown);
            // The same state again, with other layers.
            if shown.frames.back().is_some_and(|(_, last)| last["script"] == frame["script"]) {
                shown.frames.pop_back();
            }
            shown.frames.push_back((shown.next, frame));
            shown.next += 1;
            if shown.frames.len() > MOST_FRAMES {
                shown.frames.retain(every_second(shown.frames.len()));
            }
            (shown.playing, shown.note) = (self.playing, note.into());
        });
    }

    /// Shows the state after a script, and drops the frames that are not on the way to it.
    fn show_gone_to(&self, script: &Script) {
        self.show_after("", |shown| {
            let made = |frame: &Value| frame["script"].as_str().and_then(|script| script.parse::<Script>().ok());
            shown.frames.retain(|(_, frame)| made(frame).is_some_and(|before| script.after(&before).is_some()));
            shown.edition += 1;
        });
    }

    /// A step, and its stages with what they saw.
    fn slow(&mut self) -> Result<Value> {
        let made = self.lab.step_shown();
        self.show("");
        let Some(step) = made? else { bail!("all steps are made") };
        Ok(told(&self.lab, step))
    }

    /// The lab in the state after a script of a page, while the lab itself stays where it is.
    fn aside(&self, script: &str) -> Result<Lab> {
        self.lab.aside(&script.parse().map_err(anyhow::Error::msg)?)
    }

    fn tape(&self, critic: bool, script: &str) -> Result<Value> {
        let mut aside = self.aside(script)?;
        let copy = aside.trainer_mut();
        let tape = Tape::new();
        let log = Log::of(&tape);
        let (entries, loss) = if critic {
            let update = copy.critic_alone(&tape);
            (log.named(&update.nodes, &[("x and G(z)".into(), update.inputs)]), update.loss)
        } else {
            let update = copy.generator_alone(&tape);
            // The weights of the critic, which are constants now, as dense layers use them.
            let batch = update.noise.shape()[0];
            let used = |(name, w): (String, Tensor)| match w.rank() {
                2 => (format!("({name})ᵀ"), w.permute([1, 0])),
                _ => (name, Var::from(&w).broadcast_to([batch, w.size()]).into_value()),
            };
            let weights = copy.critic_net().used_weights().into_iter().map(used);
            let constants: Vec<_> = weights.chain([("z".into(), update.noise)]).collect();
            (log.named(&update.nodes, &constants), update.loss)
        };
        Ok(json!({ "entries": entries, "loss": loss, "names": if critic { "critic" } else { "generator" } }))
    }
}

#[cfg(test)]
mod tests;
