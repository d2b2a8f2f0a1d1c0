//! The page about a run in training: `--live`.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use crate::commands::say;
use crate::config::Config;
use crate::live::server::{Listener, Server};
use crate::live::{Hub, Looks, RunSite, Status};
use crate::losses::Losses;
use crate::metrics::{Evaluation, History};
use crate::run_dir::RunDir;
use crate::train::Trainer;

/// The option `--live`.
#[derive(Debug, Args)]
pub(super) struct LiveFlag {
    /// Show the run as it goes on in a browser of this machine, on this port of 127.0.0.1 or any that is free; the
    /// address is printed. The results are the same bits
    #[arg(long, value_name = "PORT", num_args = 0..=1)]
    live: Option<Option<u16>>,
}

impl LiveFlag {
    /// The port, if there is to be a page.
    ///
    /// # Errors
    /// The port is taken.
    pub(super) fn listener(&self) -> Result<Option<Listener>> {
        self.live.map(Listener::bind).transpose()
    }
}

/// A page that shows a run.
pub(super) struct Page {
    hub: Arc<Hub>,
    server: Server,
    looks: Looks,
}

impl Page {
    /// Shows a run that has recorded so much, and says where.
    ///
    /// # Errors
    /// What the run has written cannot be read.
    pub(super) fn open(listener: Listener, dir: &RunDir, config: &Config, losses: &[Losses]) -> Result<Page> {
        let hub = Arc::new(Hub::default());
        let evaluations = History::read(dir.path())?.map_or(Vec::new(), |history| history.evaluations);
        hub.set_history(losses.to_vec(), evaluations);
        hub.set_samples(dir.samples()?.into_iter().map(|(step, _)| step).collect());
        let server = listener.serve(Arc::new(RunSite::new(hub.clone(), dir, config, None)));
        say(format_args!("watch at {}", server.url()));
        Ok(Page { hub, server, looks: Looks::default() })
    }

    /// Shows what is known between the steps.
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Shows the picture of samples that has been written after this step, and what is to be seen inside the nets, if
    /// looking costs little, or this is the end.
    pub(super) fn drawn(&mut self, trainer: &Trainer<f32>, last: bool) {
        self.hub.sample(trainer.step());
        let look = if last { self.looks.look_now(trainer).map(Some) } else { self.looks.look(trainer) };
        match look {
            Ok(look) => look.into_iter().for_each(|look| self.hub.look(look)),
            // Training goes on: what is wrong with the nets, it finds by itself.
            Err(error) => self.hub.set_note(format!("{error:#}")),
        }
    }

    /// Shows an evaluation.
    pub(super) fn evaluated(&self, evaluation: Evaluation) {
        self.hub.evaluation(evaluation);
    }

    /// Says on the page how the run has ended, and gives it the time to fetch what it keeps; little, if somebody has
    /// asked for the end.
    pub(super) fn close(&self, ended: &str, haste: bool) {
        if !matches!(self.hub.status(), Status::Over(_)) {
            self.hub.end(ended);
        }
        self.server.linger(haste);
    }
}
