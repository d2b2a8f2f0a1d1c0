//! `gan compare`: runs beside each other.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::say;
use crate::files::empty_directory;
use crate::report::compare;
use crate::run_dir::RunDir;

/// Which runs.
#[derive(Debug, Args)]
pub struct Compare {
    /// The directories of two to seven runs
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<PathBuf>,
    /// Where the page, compare.html, and its pictures go: a new directory
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
}

/// The colours that can be told apart.
const MOST: usize = 7;

impl Compare {
    /// Writes the page, and says where it is.
    pub(super) fn run(self) -> Result<()> {
        let found = self.runs.len();
        ensure!(found <= MOST, "found {found} runs; expected 2 to {MOST}, whose lines can be told apart");
        self.runs.iter().try_for_each(|run| RunDir::open(run).map(drop))?; // before a directory is made
        empty_directory("--out", &self.out)?;
        say(compare(&self.runs, &self.out)?.display());
        Ok(())
    }
}
