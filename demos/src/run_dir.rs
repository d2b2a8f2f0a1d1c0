//! The directory of a run: what a run writes, and what `resume` and `sample` read.
//!
//! ```text
//! config.toml              the whole configuration
//! losses.csv, losses.png   a line, a point, for every generator update
//! gammas.csv, gammas.png   the same of the gains of self-attention, if the nets have any
//! samples/step-000500.png  images from the same noise, as training goes
//! checkpoint.safetensors   nets and optimiser state
//! best.safetensors         the checkpoint with the least Fréchet distance, with --evaluate-every
//! checkpoint.previous.…    the checkpoint before, which serves if the last one is damaged
//! time.json                how long training took, and on which device
//! animation.png            the samples as an animation, once training has ended
//! report.html              all of this on one page, once training has ended
//! evaluation.json          the figures of `gan evaluate`
//! distances.png            the Fréchet distance over the updates, from the second evaluation on
//! inspect/                 what `gan inspect` finds
//! tensorboard/             event files, with --tensorboard
//! ```
//! A run directory is never overwritten or deleted. Files are written whole: whoever looks finds the old or the new.
//! One program at a time trains a run; it holds the lock `.lock`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wengert::{Archive, Device};

use crate::config::Config;
use crate::files::{Lock, is_locked, keep_as, new_directory, read, read_text, sweep, write_whole};

/// A directory that belongs to one run.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held by the one program that trains.
    lock: Option<Lock>,
}

/// How long training took, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTime {
    /// Up to this generator update.
    pub step: u64,
    /// Seconds, pictures and checkpoints included.
    pub seconds: f64,
    /// The device of the last session, as `--device` names it.
    #[serde(default = "host")]
    pub device: String,
}

fn host() -> String {
    Device::host().to_string()
}

impl Default for TrainingTime {
    /// None, up to step 0, on the host.
    fn default() -> TrainingTime {
        TrainingTime { step: 0, seconds: 0.0, device: host() }
    }
}

/// The most bytes of a file of settings, or of the training time.
const MOST_BYTES: u64 = 1 << 20;

impl RunDir {
    /// Makes a new directory: `out` if given, else the first free one of `runs/NAME`, `runs/NAME-2`, …; and holds it.
    ///
    /// # Errors
    /// `out` exists and is not an empty directory, or a directory cannot be made.
    pub fn create(out: Option<&Path>, config: &Config) -> Result<RunDir> {
        let path = new_directory(out, &format!("{}-{}", config.method.flag(), config.data.flag()))?;
        let samples = path.join("samples");
        // Of two programs that chose the same directory, one gets an error here.
        fs::create_dir(&samples).with_context(|| format!("{}: cannot make the directory", samples.display()))?;
        let mut dir = RunDir { path, lock: None };
        dir.hold()?;
        dir.write_config(config)?;
        Ok(dir)
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_config(&self, config: &Config) -> Result<()> {
        let text = toml::to_string_pretty(config).context("cannot write the configuration as TOML")?;
        write_whole(&self.path.join("config.toml"), text.as_bytes())
    }

    /// Opens the directory of an earlier run, and reads its configuration.
    ///
    /// # Errors
    /// The directory or its `config.toml` is missing or damaged.
    pub fn open(path: &Path) -> Result<(RunDir, Config)> {
        let found = if path.exists() { "this is not a directory" } else { "no such directory" };
        ensure!(path.is_dir(), "{}: {found}; expected that of a run", path.display());
        let file = path.join("config.toml");
        let text = read_text(&file, MOST_BYTES)?;
        let text = text.with_context(|| format!("{}: cannot read; is this the directory of a run?", file.display()))?;
        let config = Config::from_text(&text).with_context(|| file.display().to_string())?;
        Ok((RunDir { path: path.to_path_buf(), lock: None }, config))
    }

    /// Whether a program trains this run now. Where files have no locks, nobody can tell: then none does.
    pub fn is_held(&self) -> bool {
        is_locked(&self.path.join(".lock"))
    }

    /// Takes the run for training: no other program may, as long as this one lives. What killed programs have left half
    /// written is removed, and the directory of the samples made if it is missing.
    ///
    /// # Errors
    /// Another program trains this run, or the directory cannot be written.
    pub fn hold(&mut self) -> Result<()> {
        let held = format!("{}: another program is training this run; expected it to end first", self.path.display());
        self.lock = Some(Lock::take(&self.path.join(".lock"), &held)?);
        let samples = self.path.join("samples");
        fs::create_dir_all(&samples).with_context(|| format!("{}: cannot make the directory", samples.display()))?;
        [self.path.clone(), self.path.join("samples"), self.inspection()]
            .iter()
            .filter(|d| d.is_dir())
            .try_for_each(|d| sweep(d))
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the nets and the optimisers' state are: the last checkpoint, and the one before it.
    pub fn checkpoints(&self) -> [PathBuf; 2] {
        ["checkpoint.safetensors", "checkpoint.previous.safetensors"].map(|name| self.path.join(name))
    }

    /// Where the checkpoint with the least Fréchet distance is, if the run is evaluated as it goes.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// Writes a checkpoint, and keeps the last one as the previous.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_checkpoint(&self, checkpoint: &Archive) -> Result<()> {
        let [last, previous] = self.checkpoints();
        if last.is_file() {
            keep_as(&last, &previous)?;
        }
        write_whole(&last, &checkpoint.to_bytes())
    }

    /// Puts the last checkpoint, which is damaged, aside, so that the next does not take the place of the previous one.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn set_damaged_checkpoint_aside(&self) -> Result<()> {
        let [last, _] = self.checkpoints();
        let aside = self.path.join("checkpoint.damaged.safetensors");
        match fs::rename(&last, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{}: cannot rename", last.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the picture of the samples at `step` goes.
    pub fn sample(&self, step: u64) -> PathBuf {
        self.path.join("samples").join(format!("step-{step:06}.png"))
    }

    /// Where the losses go as numbers, and as a picture.
    pub fn losses(&self) -> [PathBuf; 2] {
        ["losses.csv", "losses.png"].map(|name| self.path.join(name))
    }

    /// Where the gains of self-attention go as numbers, and as a picture.
    pub fn gammas(&self) -> [PathBuf; 2] {
        ["gammas.csv", "gammas.png"].map(|name| self.path.join(name))
    }

    /// Where the samples as an animation go.
    pub fn animation(&self) -> PathBuf {
        self.path.join("animation.png")
    }

    /// Where the page about the run goes.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The directory for what `gan inspect` finds.
    pub fn inspection(&self) -> PathBuf {
        self.path.join("inspect")
    }

    /// The directory for event files; there is one if the run is to write them.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The pictures of samples with their steps, from the first on.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn samples(&self) -> Result<Vec<(u64, PathBuf)>> {
        let dir = self.path.join("samples");
        let entries = fs::read_dir(&dir).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let entries = entries.with_context(|| format!("{}: cannot read the directory", dir.display()))?;
        let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok();
        let mut samples: Vec<(u64, PathBuf)> =
            entries.iter().map(|entry| entry.path()).filter_map(|path| Some((step(&path)?, path))).collect();
        samples.sort();
        Ok(samples)
    }

    /// Writes how many seconds training took up to `step`, in all sessions.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_time(&self, time: &TrainingTime) -> Result<()> {
        let text = serde_json::to_string(time).context("cannot write the time as JSON")?;
        write_whole(&self.path.join("time.json"), text.as_bytes())
    }

    /// The time that [`write_time`](RunDir::write_time) wrote; the default if there is no such file.
    ///
    /// # Errors
    /// The file is damaged. No run is to be lost for that: the default does.
    pub fn read_time(&self) -> Result<TrainingTime> {
        let file = self.path.join("time.json");
        let Some(bytes) = read(&file, MOST_BYTES)? else { return Ok(TrainingTime::default()) };
        serde_json::from_slice(&bytes).with_context(|| format!("{}: damaged", file.display()))
    }

    /// Removes a directory that [`create`](RunDir::create) has just made, of a run that does not come about, with its
    /// first checkpoint.
    pub fn remove_unused(&self) {
        // What cannot be removed stays; the error that led here is the one to tell.
        let files = ["config.toml", ".lock", "checkpoint.safetensors", "losses.csv", "gammas.csv", "time.json"];
        for file in files {
            let _ = fs::remove_file(self.path.join(file));
        }
        let _ = fs::remove_dir(self.path.join("samples")).and_then(|()| fs::remove_dir(&self.path));
    }
}
