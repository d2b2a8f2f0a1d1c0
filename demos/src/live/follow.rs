//! Follows a run by the files in its directory, while another program trains it, or once it is over.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;

use super::{Hub, Looks};
use crate::config::Config;
use crate::files::quoted;
use crate::losses;
use crate::metrics::History;
use crate::run_dir::{RunDir, TrainingTime};
use crate::train::{Loaded, Trainer};
use crate::usage::count;

/// What a hub has been told of the files of a run.
pub struct Follower {
    dir: RunDir,
    config: Config,
    /// Losses, evaluations, and the checkpoint: when each was written last.
    files: [(PathBuf, Option<SystemTime>); 3],
    looks: Looks,
}

fn written(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

impl Follower {
    /// Follows the run in this directory from the beginning.
    pub fn new(dir: RunDir, config: Config) -> Follower {
        let [losses, _] = dir.losses();
        let [checkpoint, _] = dir.checkpoints();
        let files = [losses, dir.path().join("evaluation.json"), checkpoint].map(|path| (path, None));
        Follower { dir, config, files, looks: Looks::default() }
    }

    /// Tells the hub what has been written since.
    ///
    /// # Errors
    /// A file is damaged.
    pub fn tell(&mut self, hub: &Hub) -> Result<()> {
        hub.set_samples(self.dir.samples()?.into_iter().map(|(step, _)| step).collect());
        let now = self.files.each_ref().map(|(path, _)| written(path));
        let changed: [bool; 3] = std::array::from_fn(|i| now[i] != self.files[i].1);
        if changed[0] || changed[1] {
            let evaluations = History::read(self.dir.path())?.map_or(Vec::new(), |history| history.evaluations);
            let losses = if now[0].is_some() { losses::read_all(&self.files[0].0)? } else { Vec::new() };
            hub.set_history(losses, evaluations);
        }
        let looked = changed[2] && now[2].is_some() && {
            // What is not looked at now, since it costs too much, will be later.
            let Loaded { trainer, .. } = Trainer::<f32>::open(&self.dir, &self.config)?;
            self.looks.look(&trainer)?.map(|look| hub.look(look)).is_some()
        };
        for (i, time) in now.into_iter().enumerate().filter(|(i, _)| *i != 2 || looked) {
            self.files[i].1 = time;
        }
        if changed[2]
            && let Ok(time) = self.dir.read_time()
        {
            hub.set_pace(self.pace(&time));
        }
        hub.set_note(self.note(hub.last_step()));
        Ok(())
    }

    /// Images per second in all the time of training, and the seconds that are left at that pace.
    fn pace(&self, time: &TrainingTime) -> [f64; 2] {
        let Config { steps, batch, .. } = self.config;
        let done = self.config.discriminator_updates(time.step) as f64;
        let left = self.config.discriminator_updates(steps) as f64 - done;
        [done * batch as f64 / time.seconds, time.seconds / done * left]
    }

    /// What goes on in the directory.
    fn note(&self, last: u64) -> String {
        let Config { steps, checkpoint_every, .. } = self.config;
        if last >= steps {
            "The run is over: it has made all its steps.".into()
        } else if self.dir.is_held() {
            let every = count(checkpoint_every, "step", "steps");
            format!("Another program trains this run. Losses come with its checkpoints, after every {every}.")
        } else {
            let run = quoted(self.dir.path());
            format!("No program trains this run, which has made {last} of {steps} steps. To go on: gan resume {run}")
        }
    }
}
