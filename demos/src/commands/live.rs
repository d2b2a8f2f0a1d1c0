//! `gan live`: the page about a run that another program trains, or that is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::say;
use crate::interrupt;
use crate::live::server::Listener;
use crate::live::{Follower, Hub, RunSite};
use crate::run_dir::RunDir;

/// How often the files of the run are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Which run, and where to show it.
#[derive(Debug, Args)]
pub struct Live {
    /// The directory of a running or finished run
    run: PathBuf,
    /// The port of the page on 127.0.0.1 [default: any that is free]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

impl Live {
    /// Serves the page until Ctrl-C.
    pub(super) fn run(self) -> Result<()> {
        let (dir, config) = RunDir::open(&self.run)?;
        let listener = Listener::bind(self.port)?;
        let reason = "This page only looks at the run's files. Pause, go on and stop are on the page of gan train \
                      --live; gan resume trains a run further.";
        let hub = Arc::new(Hub::watching());
        let site = RunSite::new(hub.clone(), &dir, &config, Some(reason.into()));
        let mut follower = Follower::new(dir, config);
        // A run that is written to may be read at a bad moment; the page says so until it is well again.
        let mut tell = || follower.tell(&hub).unwrap_or_else(|error| hub.set_note(format!("{error:#}")));
        tell();
        let server = listener.serve(Arc::new(site));
        say(format_args!("watch at {}", server.url()));
        loop {
            interrupt::check()?;
            std::thread::sleep(EVERY);
            tell();
        }
    }
}
