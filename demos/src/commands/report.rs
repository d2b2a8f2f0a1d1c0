//! `gan report`: the page about a run.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::say;
use crate::report;
use crate::run_dir::RunDir;

/// Which run.
#[derive(Debug, Args)]
pub struct Report {
    /// The directory of a run
    run: PathBuf,
}

impl Report {
    /// Makes the animation and the page from what the run has written so far.
    pub(super) fn run(self) -> Result<()> {
        let (dir, _) = RunDir::open(&self.run)?;
        report::animate(&dir)?;
        report::write(&dir)?;
        say(dir.report().display());
        Ok(())
    }
}
