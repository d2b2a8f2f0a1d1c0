//! The page about a toy: what pages see of it, and what they ask for. It is worked by [`Worker`](super::Worker).

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, Event, Site};

/// How long a page waits at most for news, and for what it has asked for.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// An order, JSON with its name as `do`, and where its answer goes.
pub(super) type Asked = (Value, Sender<Result<Value, String>>);

/// What pages see.
#[derive(Default)]
pub(super) struct Shown {
    /// Counts what makes pages begin anew.
    pub(super) edition: u64,
    /// What is learnt, and how.
    pub(super) about: Value,
    /// The frames with their numbers, from the first on; each change leaves one at least.
    pub(super) frames: VecDeque<(u64, Arc<Value>)>,
    /// The number of the next frame.
    pub(super) next: u64,
    pub(super) playing: bool,
    pub(super) note: String,
    /// Counts changes of all this.
    version: u64,
}

/// The page about a toy.
pub struct ToySite {
    shown: Mutex<Shown>,
    changed: Condvar,
    orders: Mutex<Sender<Asked>>,
}

impl ToySite {
    /// A page that shows nothing yet, and what is asked of whoever works it.
    pub(super) fn new() -> (Arc<ToySite>, Receiver<Asked>) {
        let (orders, asked) = channel();
        let site = ToySite { shown: Mutex::default(), changed: Condvar::new(), orders: Mutex::new(orders) };
        (Arc::new(site), asked)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what pages see, and tells them.
    pub(super) fn change(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown();
        change(&mut shown);
        shown.version += 1;
        self.changed.notify_all();
    }

    /// Waits for something newer than `version`, and tells it.
    fn news(&self, version: &mut u64, edition: &mut u64) -> Option<Event> {
        let same = |shown: &mut Shown| shown.version == *version;
        let waited = self.changed.wait_timeout_while(self.shown(), KEEP_ALIVE, same);
        let (shown, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if shown.version == *version {
            return None;
        }
        let (number, last) = shown.frames.back().cloned().expect("each change leaves a frame");
        let all = shown.edition != *edition;
        (*version, *edition) = (shown.version, shown.edition);
        let kept: Vec<[Value; 2]> = shown.frames.iter().map(|(n, frame)| [json!(n), frame["step"].clone()]).collect();
        let mut data = json!({ "number": number, "kept": kept, "playing": shown.playing, "note": shown.note });
        if all {
            data["about"] = shown.about.clone();
            // Curves of what was before this page was opened.
            data["past"] = shown.frames.iter().map(|(_, frame)| figures(frame)).collect();
        }
        drop(shown);
        data["frame"] = (*last).clone();
        Some(Event { name: "update", data })
    }
}

/// The numbers of a frame that curves are drawn of.
fn figures(frame: &Value) -> Value {
    let names = ["script", "step", "losses", "w1", "estimate", "bound", "steepest", "slope", "product", "score"];
    names.iter().map(|name| (name.to_string(), frame[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

impl Site for ToySite {
    fn page(&self) -> String {
        super::page(include_str!("page/toy.html"))
            .replace("/*PLANE*/", include_str!("page/plane.js"))
            .replace("/*SLOW*/", include_str!("page/slow.js"))
            .replace("/*TAPE*/", include_str!("page/tape.js"))
            .replace("/*TOY*/", include_str!("page/toy.js"))
            .replace("/*EXPERIMENTS*/", include_str!("page/experiments.js"))
    }

    /// `/frame/NUMBER`.
    fn get(&self, path: &str) -> Option<Answer> {
        let number: u64 = path.strip_prefix("/frame/")?.parse().ok()?;
        let shown = self.shown();
        let found = shown.frames.iter().find(|(n, _)| *n == number)?.1.clone();
        drop(shown);
        Some(Answer::json(&found))
    }

    fn post(&self, path: &str, body: &Value) -> Option<Result<Answer, String>> {
        let name = path.strip_prefix("/do/")?;
        let mut order = body.clone();
        let fields = order.as_object_mut().filter(|fields| !fields.contains_key("do"));
        let Some(fields) = fields else { return Some(Err("expected an object of options".into())) };
        fields.insert("do".into(), name.into());
        let (answer, answered) = channel();
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = orders.send((order, answer));
        drop(orders);
        let gone = || Err("the program has ended, or is busy".to_string());
        let done = if sent.is_ok() { answered.recv_timeout(PATIENCE).unwrap_or_else(|_| gone()) } else { gone() };
        Some(done.map(|value| Answer::json(&value)))
    }

    fn events(self: Arc<Self>) -> Box<dyn Iterator<Item = Option<Event>> + Send> {
        let (mut version, mut edition) = (0, 0);
        Box::new(std::iter::repeat_with(move || self.news(&mut version, &mut edition)))
    }
}
