//! What is known of a run, between those who find it out and the pages that show it.
//!
//! Training holds the lock for as long as it takes to push a number. What a page gets is made on the server's thread,
//! and is what is new since the page was last told.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::Event;
use super::{Layer, Look};
use crate::interrupt;
use crate::losses::Losses;
use crate::metrics::Evaluation;
use crate::thinning::every_second;

/// How often a page is told what is new.
const REFRESH: Duration = Duration::from_secs(2);
/// The most pictures of attention that are kept: some MB.
const MOST_ATTENTIONS: usize = 64;
/// How often a paused run looks whether a signal has come.
const TICK: Duration = Duration::from_millis(100);

/// Whether a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is trained.
    Running,
    /// Another program may be training it.
    Watching,
    /// It waits for somebody to let it go on.
    Paused,
    /// It ends after the step at hand.
    Stopping,
    /// Nothing more will happen, for this reason in words.
    Over(String),
}

impl Status {
    fn name(&self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Watching => "watching",
            Status::Paused => "paused",
            Status::Stopping => "stopping",
            Status::Over(_) => "over",
        }
    }
}

/// What is known of a run.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    /// Told when the status changes.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    status: Status,
    /// Counts what makes pages begin anew: a run that lost steps that it had made.
    edition: u64,
    losses: Vec<Losses>,
    samples: Vec<u64>,
    evaluations: Vec<Evaluation>,
    looks: Vec<(u64, Vec<Layer>)>,
    /// Where attention looked, PNG files, by the steps.
    attentions: BTreeMap<u64, Vec<u8>>,
    /// Images per second, and seconds left.
    pace: Option<[f64; 2]>,
    /// What a page is to know besides.
    note: String,
}

/// How much of a hub a page has been told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    edition: u64,
    losses: usize,
    samples: usize,
    evaluations: usize,
    looks: usize,
    attention: Option<u64>,
    status: Option<Status>,
    note: String,
}

impl Default for Hub {
    fn default() -> Hub {
        let state = State {
            status: Status::Running,
            edition: 1,
            losses: Vec::new(),
            samples: Vec::new(),
            evaluations: Vec::new(),
            looks: Vec::new(),
            attentions: BTreeMap::new(),
            pace: None,
            note: String::new(),
        };
        Hub { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Hub {
    /// A hub for a run that is followed by its files.
    pub fn watching() -> Hub {
        let hub = Hub::default();
        hub.state().status = Status::Watching;
        hub
    }

    /// A poisoned lock holds numbers that are as good as before.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step, with images per second and the seconds that are left.
    pub fn step(&self, losses: Losses, pace: [f64; 2]) {
        let mut state = self.state();
        state.losses.push(losses);
        state.pace = Some(pace);
    }

    /// What was recorded before, in the place of what is there. Pages begin anew if that is no longer part of it.
    pub fn set_history(&self, losses: Vec<Losses>, evaluations: Vec<Evaluation>) {
        let mut state = self.state();
        // A run that goes on from its checkpoint computes the same bits again.
        let goes_on = losses.len() >= state.losses.len() && evaluations.len() >= state.evaluations.len();
        state.edition += u64::from(!goes_on);
        (state.losses, state.evaluations) = (losses, evaluations);
    }

    /// The last step that has been recorded; 0 before the first.
    pub fn last_step(&self) -> u64 {
        self.state().losses.last().map_or(0, |losses| losses.step)
    }

    /// The steps of which there are pictures of samples, in order.
    pub fn set_samples(&self, samples: Vec<u64>) {
        let mut state = self.state();
        state.edition += u64::from(!samples.starts_with(&state.samples));
        state.samples = samples;
    }

    /// A picture of samples has been written.
    pub fn sample(&self, step: u64) {
        let mut state = self.state();
        if !state.samples.contains(&step) {
            state.samples.push(step);
        }
    }

    /// The nets have been evaluated.
    pub fn evaluation(&self, evaluation: Evaluation) {
        self.state().evaluations.push(evaluation);
    }

    /// Somebody has looked inside the nets.
    pub fn look(&self, look: Look) {
        let mut state = self.state();
        state.looks.push((look.step, look.layers));
        state.attentions.extend(look.attention.map(|png| (look.step, png)));
        if state.attentions.len() > MOST_ATTENTIONS {
            let mut keeps = every_second(state.attentions.len());
            state.attentions.retain(|step, _| keeps(step));
        }
    }

    /// What a page is to know besides, in words.
    pub fn set_note(&self, note: impl Into<String>) {
        self.state().note = note.into();
    }

    /// The picture of attention at a step, a PNG file, if it is kept.
    pub fn attention(&self, step: u64) -> Option<Vec<u8>> {
        self.state().attentions.get(&step).cloned()
    }

    /// Images per second, and the seconds that are left, of a run that is followed.
    pub fn set_pace(&self, pace: [f64; 2]) {
        self.state().pace = Some(pace);
    }

    /// Whether the run goes on.
    pub fn status(&self) -> Status {
        self.state().status.clone()
    }

    /// Goes from one of these to another, and says whether it did.
    fn turn(&self, from: &[Status], to: Status) -> bool {
        let mut state = self.state();
        let turns = from.contains(&state.status);
        if turns {
            state.status = to;
            self.changed.notify_all();
        }
        turns
    }

    /// Makes the run wait after the step at hand; `false` if it does not run.
    pub fn pause(&self) -> bool {
        self.turn(&[Status::Running], Status::Paused)
    }

    /// Lets it go on; `false` if it did not wait.
    pub fn go_on(&self) -> bool {
        self.turn(&[Status::Paused], Status::Running)
    }

    /// Ends the run as the first Ctrl-C does; `false` if it is about to end already.
    pub fn stop(&self) -> bool {
        let stops = self.turn(&[Status::Running, Status::Paused], Status::Stopping);
        if stops {
            interrupt::request();
        }
        stops
    }

    /// Nothing more will happen.
    pub fn end(&self, reason: impl Into<String>) {
        self.state().status = Status::Over(reason.into());
        self.changed.notify_all();
    }

    /// Waits as long as the run is paused and no signal asks for an end; how long that was.
    pub fn wait_while_paused(&self) -> Duration {
        let start = Instant::now();
        let mut state = self.state();
        if state.status != Status::Paused {
            return Duration::ZERO;
        }
        while state.status == Status::Paused && interrupt::requested().is_none() {
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        start.elapsed()
    }

    /// What a page is told, from all that there is on: an event every two seconds, at once when the status changes.
    pub fn events(self: &Arc<Hub>, about: Value) -> impl Iterator<Item = Option<Event>> + Send + use<> {
        let (hub, mut told, mut over) = (self.clone(), Told::default(), false);
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            if told != Told::default() {
                hub.wait_for_change(&told);
            }
            let state = hub.state();
            over = matches!(state.status, Status::Over(_));
            let now = state.told();
            if now == told {
                return Some(None);
            }
            let all = told.edition != state.edition;
            let from = if all { Told::default() } else { told.clone() };
            let mut data = state.since(&from);
            told = now;
            drop(state);
            if all {
                data["about"] = about.clone();
            }
            Some(Some(Event { name: "update", data }))
        })
    }

    /// Waits until the status is another than a page was told, or for as long as pages wait.
    fn wait_for_change(&self, told: &Told) {
        let unchanged = |state: &mut State| told.status.as_ref() == Some(&state.status);
        drop(self.changed.wait_timeout_while(self.state(), REFRESH, unchanged));
    }
}

impl State {
    fn told(&self) -> Told {
        Told {
            edition: self.edition,
            losses: self.losses.len(),
            samples: self.samples.len(),
            evaluations: self.evaluations.len(),
            looks: self.looks.len(),
            attention: self.attentions.keys().next_back().copied(),
            status: Some(self.status.clone()),
            note: self.note.clone(),
        }
    }

    /// What has come since then.
    fn since(&self, told: &Told) -> Value {
        let row = |l: &Losses| {
            let outputs = l.outputs.map(|outputs| [outputs.real, outputs.generated]);
            let [real, generated] = outputs.map_or([None; 2], |outputs| outputs.map(Some));
            json!([l.step, l.discriminator, l.generator, l.estimate, real, generated])
        };
        let evaluation = |e: &Evaluation| {
            json!({
                "step": e.step, "n": e.n,
                "frechet": e.generated.frechet, "kernel": e.generated.kernel.mean,
                "precision": e.generated.prdc.precision, "recall": e.generated.prdc.recall,
                "real": { "frechet": e.real.frechet, "kernel": e.real.kernel.mean },
            })
        };
        let look = |(step, layers): &(u64, Vec<Layer>)| json!({ "step": step, "layers": layers });
        let reason = if let Status::Over(reason) = &self.status { reason } else { "" };
        json!({
            "status": self.status.name(),
            "reason": reason,
            "note": self.note,
            "pace": self.pace,
            "losses": self.losses[told.losses..].iter().map(row).collect::<Vec<_>>(),
            "samples": self.samples[told.samples..],
            "evaluations": self.evaluations[told.evaluations..].iter().map(evaluation).collect::<Vec<_>>(),
            "looks": self.looks[told.looks..].iter().map(look).collect::<Vec<_>>(),
            "attentions": self.attentions.keys().collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(step: u64) -> Losses {
        Losses { step, discriminator: 1.0, generator: f64::NAN, estimate: None, outputs: None }
    }

    fn next(events: &mut impl Iterator<Item = Option<Event>>) -> Value {
        events.by_ref().flatten().next().expect("an event").data
    }

    /// A page hears each step once, all of them at first, and that it is over.
    #[test]
    fn events_tell_what_is_new() {
        let hub = Arc::new(Hub::default());
        hub.step(losses(1), [10.0, 5.0]);
        hub.sample(0);
        let mut events = hub.events(json!({ "title": "t" }));
        let first = next(&mut events);
        assert_eq!(first["losses"], json!([[1, 1.0, null, null, null, null]]));
        assert_eq!((&first["about"]["title"], &first["samples"]), (&json!("t"), &json!([0])));
        hub.step(losses(2), [10.0, 4.0]);
        hub.step(losses(3), [10.0, 3.0]);
        hub.sample(2);
        hub.sample(2);
        let second = next(&mut events);
        assert_eq!([&second["losses"][0][0], &second["losses"][1][0]], [2, 3]);
        assert_eq!((&second["samples"], &second["pace"]), (&json!([2]), &json!([10.0, 3.0])));
        assert_eq!(second["about"], Value::Null);
        hub.end("done");
        let last = next(&mut events);
        assert_eq!((&last["status"], &last["reason"], &last["losses"]), (&json!("over"), &json!("done"), &json!([])));
        assert!(events.next().is_none());
    }

    /// Pictures of attention are kept by their steps, every second one goes when there are many, and never the last.
    #[test]
    fn attention_has_a_past() {
        let hub = Arc::new(Hub::default());
        let look = |step: u64| hub.look(Look { step, layers: Vec::new(), attention: Some(vec![step as u8]) });
        (1..=3).for_each(look);
        let mut events = hub.events(json!(1));
        assert_eq!(next(&mut events)["attentions"], json!([1, 2, 3]));
        assert_eq!((hub.attention(2), hub.attention(9)), (Some(vec![2]), None));
        (4..=65).for_each(look);
        let kept = next(&mut events)["attentions"].clone();
        assert_eq!((kept.as_array().unwrap().len(), &kept[0], &kept[32]), (33, &json!(1), &json!(65)));
    }

    /// A run that was killed and goes on has lost steps: pages begin anew.
    #[test]
    fn a_history_that_does_not_go_on_is_told_whole() {
        let hub = Arc::new(Hub::default());
        hub.set_history(vec![losses(1), losses(2)], Vec::new());
        let mut events = hub.events(json!(1));
        assert_eq!(next(&mut events)["losses"].as_array().unwrap().len(), 2);
        hub.set_history(vec![losses(1), losses(2), losses(3)], Vec::new());
        let event = next(&mut events);
        assert_eq!((event["losses"].as_array().unwrap().len(), &event["about"]), (1, &Value::Null));
        hub.set_history(vec![losses(1)], Vec::new());
        let event = next(&mut events);
        assert_eq!((event["losses"].as_array().unwrap().len(), &event["about"]), (1, &json!(1)));
    }

    #[test]
    fn buttons_turn_the_status_where_that_means_something() {
        let hub = Hub::default();
        assert_eq!((hub.go_on(), hub.wait_while_paused()), (false, Duration::ZERO));
        assert!(hub.pause() && !hub.pause() && hub.status() == Status::Paused);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| hub.wait_while_paused());
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished() && hub.go_on());
            assert!(waiting.join().unwrap() >= Duration::from_millis(40));
        });
        assert!(hub.stop() && !hub.stop() && !hub.pause() && hub.status() == Status::Stopping);
        hub.end("stopped");
        assert!(!hub.stop() && hub.status() == Status::Over("stopped".into()));
    }
}
