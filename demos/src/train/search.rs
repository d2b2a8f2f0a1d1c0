//! Where the first number came from that is not finite, or too large: a step is computed once more, and looked on.

use std::cell::RefCell;

use wengert::trace::Anomaly;
use wengert::{Element, Tape};

use super::{Batch, Trainer};
use crate::losses::Losses;

/// What looks on while a step is computed.
pub(super) struct Search {
    /// The largest absolute value that nobody wonders about.
    limit: f64,
    /// The tape that is in use, and what it is for.
    watched: RefCell<Option<(&'static str, Anomaly)>>,
    /// The first finding.
    found: RefCell<Option<String>>,
}

impl<T: Element> Trainer<T> {
    /// [`train_step`](Trainer::train_step), and what was, in the order of computing, the first number in it that is NaN
    /// or above `limit`: the operation that made it, or the weight that the step left so. It takes longer, and computes
    /// the same bits.
    pub fn search_step<B: Into<Batch<T>>>(
        &mut self,
        limit: f64,
        real: impl FnMut(u64) -> B,
    ) -> (Losses, Option<String>) {
        self.search = Some(Search { limit, watched: RefCell::default(), found: RefCell::default() });
        let losses = self.train_step(real);
        let found = self.search.take().and_then(|search| search.found.into_inner());
        (losses, found)
    }

    /// A tape for one pass, which a search, if one looks on, watches until [`look_at_tape`](Trainer::look_at_tape).
    pub(super) fn tape(&self, what: &'static str) -> Tape<T> {
        let tape = Tape::new();
        if let Some(search) = &self.search {
            search.watched.replace(Some((what, tape.detect_anomaly(search.limit))));
        }
        tape
    }

    /// Asks what happened on the tape that [`tape`](Trainer::tape) gave last.
    pub(super) fn look_at_tape(&self) {
        let Some(search) = &self.search else { return };
        let watched = search.watched.take();
        if let Some((what, finding)) = watched.and_then(|(what, anomaly)| Some((what, anomaly.found()?))) {
            search.report(format!("{what}: {finding}"));
        }
    }

    /// Asks whether an optimiser has left weights that are not finite, or too large.
    pub(super) fn look_at_weights(&self, what: &str) {
        let Some(search) = &self.search else { return };
        if let Some(name) = self.beyond(search.limit) {
            search.report(format!("{what}: it leaves numbers in {name} that are not finite, or too large"));
        }
    }
}

impl Search {
    fn report(&self, finding: String) {
        self.found.borrow_mut().get_or_insert(finding);
    }
}
