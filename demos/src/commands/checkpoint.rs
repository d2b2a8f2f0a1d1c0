//! Which checkpoint of a run a command takes.

use anyhow::{Result, ensure};
use clap::Args;

use super::warn;
use crate::config::Config;
use crate::run_dir::RunDir;
use crate::train::{Loaded, Trainer};

/// The option `--best`.
#[derive(Debug, Default, Args)]
pub(super) struct Which {
    /// Take the checkpoint with the least Fréchet distance instead of the last, of a run that was trained with
    /// --evaluate-every
    #[arg(long)]
    best: bool,
}

impl Which {
    /// The trainer as it was then. That the last checkpoint is damaged, and the one before is taken, is told.
    ///
    /// # Errors
    /// There is no such checkpoint, or it is damaged.
    pub(super) fn open(&self, dir: &RunDir, config: &Config) -> Result<Trainer<f32>> {
        if self.best {
            let path = dir.best();
            let missing = "no such file; expected that of a run that was trained with --evaluate-every";
            ensure!(path.is_file(), "{}: {missing}", path.display());
            return Trainer::load(config, &path);
        }
        let Loaded { trainer, damage } = Trainer::open(dir, config)?;
        damage.iter().for_each(warn);
        Ok(trainer)
    }
}
