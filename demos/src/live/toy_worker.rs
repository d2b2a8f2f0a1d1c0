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
use crate::toy::{
    EXPERIMENTS, Experiment, Lab, Log, Model, Move, Recipe, Script, Toy, command_line, drawing, every_second, frame,
    level, optimum, real_points, told,
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
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::live::server::Site;

    /// A worker on a thread of its own; the site, and what a page gets for an order.
    fn site() -> (Arc<ToySite>, impl Fn(&str, Value) -> Result<Value, String>) {
        let recipe = Recipe { hidden: 8, batch: 8, steps: 500, ..Recipe::new(Toy::Ring, Model::WganGp) };
        let (give, take) = channel();
        std::thread::spawn(move || {
            let (site, worker) = Worker::new(Lab::new(recipe).unwrap(), "");
            give.send(site).unwrap();
            worker.run()
        });
        let site = take.recv().unwrap();
        let to = site.clone();
        let order = move |name: &str, body: Value| {
            let done = to.post(&format!("/do/{name}"), &body).expect("a command");
            done.map(|answer| serde_json::from_slice(&answer.body).unwrap())
        };
        (site, order)
    }

    fn last(site: &Arc<ToySite>) -> Value {
        site.clone().events().flatten().next().unwrap().data
    }

    #[test]
    fn orders_are_obeyed_and_states_come_back() {
        let (site, order) = site();
        order("step", json!({ "steps": 3 })).unwrap();
        order("critic", json!({})).unwrap();
        order("generator", json!({})).unwrap();
        order("set", json!({ "lr": 1e-3, "lr-d": null, "n-dis": 2 })).unwrap();
        let there = last(&site);
        assert_eq!(there["frame"]["script"], "3 d g lr=1e-3 lr-d=3e-3 n-dis=2", "the critic keeps its rate");
        assert_eq!((&there["about"]["toy"], &there["about"]["model"]), (&json!("ring"), &json!("wgan-gp")));
        order("step", json!({ "steps": 2 })).unwrap();
        order("go-to", json!({ "script": "3 d g lr=1e-3 lr-d=3e-3 n-dis=2" })).unwrap();
        let back = last(&site);
        assert_eq!(back["frame"], there["frame"], "the same bits");
        assert!(back["kept"].as_array().unwrap().len() >= 3);
        let number = back["kept"][0][0].as_u64().unwrap();
        let first: Value = serde_json::from_slice(&site.get(&format!("/frame/{number}")).unwrap().body).unwrap();
        assert_eq!(first["step"], 0);
        assert!(site.get("/frame/99999").is_none() && site.get("/frame/x").is_none());
    }

    /// A page that hears each change as it comes is told what is learnt with the first frame of it.
    #[test]
    fn every_beginning_is_told() {
        let (site, order) = site();
        let (give, take) = channel();
        let events = site.clone().events();
        std::thread::spawn(move || events.flatten().try_for_each(|event| give.send(event.data)));
        for seed in 1..=20 {
            let seed = seed.to_string();
            let start = json!({ "toy": "ring", "model": "gan", "seed": seed });
            order("start", start).unwrap();
            let told = take.iter().find(|data| data["about"]["seed"] == seed).unwrap();
            assert_eq!(told["frame"]["script"], "");
            order("step", json!({ "steps": 1 })).unwrap();
        }
    }

    #[test]
    fn a_slow_step_and_a_tape_are_told() {
        let (site, order) = site();
        let told = order("slow", json!({})).unwrap();
        assert_eq!((told["stages"].as_array().unwrap().len(), told["real"].as_array().unwrap().len()), (10, 8));
        assert_eq!(last(&site)["frame"]["script"], "1");
        let called = |tape: &Value| -> Vec<String> {
            let entries = tape["entries"].as_array().unwrap().iter();
            let words = |entry: &Value| [entry["inputs"].clone(), json!([entry["called"].clone()])];
            let names = entries.flat_map(words).flat_map(|words| words.as_array().cloned().unwrap_or_default());
            names.filter_map(|name| name.as_str().map(String::from)).collect()
        };
        let of_generator = called(&order("tape", json!({ "critic": false, "script": "1" })).unwrap());
        let expected = ["z", "G.0.weight", "G.3.bias", "(D.0.weight)ᵀ", "(D.3.weight)ᵀ", "D.3.bias"];
        assert!(expected.iter().all(|name| of_generator.iter().any(|found| found == name)), "{of_generator:?}");
        let tape = order("tape", json!({ "critic": true, "script": "1" })).unwrap();
        assert!(tape["entries"].as_array().unwrap().len() > 50);
        let of_critic = called(&tape);
        let expected = ["x and G(z)", "x̂", "D.0.weight", "D.3.bias"];
        assert!(expected.iter().all(|name| of_critic.iter().any(|found| found == name)), "{of_critic:?}");
        assert_eq!(last(&site)["frame"]["script"], "1", "a tape is a trial");
        order("critic", json!({})).unwrap();
        assert_eq!(last(&site)["frame"]["losses"][0], tape["loss"], "of the update that comes next");
        order("step", json!({ "steps": 5 })).unwrap();
        let earlier = order("tape", json!({ "critic": true, "script": "1" })).unwrap();
        assert_eq!((&earlier["loss"], &last(&site)["frame"]["script"]), (&tape["loss"], &json!("1 d 5")));
        let optimum = order("optimum-at", json!({ "script": "1 d" })).unwrap();
        order("optimum", json!({})).unwrap();
        order("go-to", json!({ "script": "1 d" })).unwrap();
        assert_eq!(last(&site)["frame"]["optimum"], optimum);
    }

    /// What a page changes while it plays is changed, and it plays on.
    #[test]
    fn rates_change_while_it_plays() {
        let (site, order) = site();
        order("play", json!({ "steps": 1 })).unwrap();
        order("set", json!({ "lr": 1e-4, "lr-d": null, "n-dis": null })).unwrap();
        order("optimum", json!({})).unwrap();
        let now = last(&site);
        let rates = json!({ "lr": 1e-4, "lr_d": 3e-3, "n_dis": 1 });
        assert_eq!((&now["frame"]["rates"], &now["playing"]), (&rates, &json!(true)));
        order("pause", json!({})).unwrap();
        order("step", json!({ "steps": 500 })).unwrap();
        for name in ["step", "play", "critic", "generator", "slow"] {
            let body = if ["step", "play"].contains(&name) { json!({ "steps": 1 }) } else { json!({}) };
            assert!(order(name, body).unwrap_err().contains("all 500 steps are made"), "{name}");
        }
    }

    /// The same method keeps what it was told; another has what is usual for it; what is said counts.
    #[test]
    fn a_restart_keeps_what_it_began_with() {
        let (site, order) = site();
        let recipe = |more: Value| {
            let mut start = json!({ "toy": "grid", "model": "sngan", "seed": "18446744073709551615" });
            start.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            order("start", start).unwrap();
            last(&site)["about"]["command"].as_str().unwrap().replace(" --hidden 8 --batch 8 --steps 500", "")
        };
        let seeded = |model: &str| format!("gan toy grid --model {model} --seed 18446744073709551615");
        assert_eq!(recipe(json!({})), format!("{} --live", seeded("sngan")));
        let told = format!("{} --lipschitz 5e0 --n-dis 2 --lr 2e-3 --lr-d 1e-4 --live", seeded("sngan"));
        assert_eq!(recipe(json!({ "number": 5.0, "n-dis": 2, "lr": 2e-3, "lr-d": 1e-4 })), told);
        assert_eq!(recipe(json!({})), told);
        let without = format!("{} --lipschitz 5e0 --n-dis 2 --lr 2e-3 --live", seeded("sngan"));
        assert_eq!(recipe(json!({ "lr-d": 2e-3 })), without, "one rate for both");
        assert_eq!(recipe(json!({ "model": "wgan" })), format!("{} --live", seeded("wgan")));
        assert_eq!(last(&site)["about"]["number"], 0.1);
        assert_eq!(last(&site)["about"]["usual"]["sngan"], json!({ "lr": 1e-3, "n_dis": 1, "number": 20.0 }));
    }

    /// A page that begins after a fault says which.
    #[test]
    fn a_note_comes_with_the_beginning() {
        let recipe = Recipe { hidden: 8, batch: 8, ..Recipe::new(Toy::Ring, Model::WganGp) };
        let mut lab = Lab::new(recipe).unwrap();
        let fault = lab.go_to(&"lr=1e30 lr-d=1e30 9".parse().unwrap()).unwrap_err().to_string();
        let (site, _worker) = Worker::new(lab, &fault);
        let now = last(&site);
        assert!(now["note"] == fault && fault.contains("diverged"), "{now}");
        assert_ne!(now["frame"]["script"], "");
    }

    #[test]
    fn other_data_begin_anew_and_what_is_none_is_refused() {
        let (site, order) = site();
        order("play", json!({ "steps": 5 })).unwrap();
        let start = json!({ "toy": "drawn", "points": "0.5,0.5 -0.5,0", "model": "sngan", "seed": "7" });
        order("start", start).unwrap();
        let now = last(&site);
        assert_eq!(
            (&now["frame"]["step"], &now["about"]["k"], &now["playing"]),
            (&json!(0), &json!(20.0), &json!(false))
        );
        assert!(now["about"]["command"].as_str().unwrap().contains("--points '0.5,0.5 -0.5,0'"), "{}", now["about"]);
        for (name, body, reason) in [
            ("start", json!({ "toy": "x", "model": "gan", "seed": "0" }), "x"),
            ("start", json!({ "toy": "drawn", "points": "9,9", "model": "gan", "seed": "0" }), "expected x,y within"),
            ("start", json!({ "toy": "ring", "model": "x", "seed": "0" }), "x"),
            ("start", json!({ "toy": "ring", "model": "gan", "seed": "" }), "the seed is \"\"; expected 0 to 18446"),
            ("set", json!({ "lr": -1.0, "lr-d": null, "n-dis": null }), "expected"),
            ("go-to", json!({ "script": "x" }), "expected a number of steps"),
            ("fly", json!({}), "unknown variant `fly`"),
            ("step", json!({ "steps": 1, "more": 2 }), "unknown field `more`"),
        ] {
            let error = order(name, body).unwrap_err();
            assert!(error.contains(reason), "{name}: {error}");
        }
        assert_eq!(last(&site)["frame"]["script"], "");
    }
}
