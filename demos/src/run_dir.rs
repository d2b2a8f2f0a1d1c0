//! The directory of a run: what a run writes, and what `resume` and `sample` read.
//!
//! ```text
//! config.toml              the whole configuration
//! losses.csv, losses.png   a line, a point, for every generator update
//! gammas.csv, gammas.png   the same of the gains of self-attention, if the nets have any
//! samples/step-000500.png  images from the same noise, as training goes
//! checkpoint.safetensors   nets and optimiser state
//! time.json                how long training took
//! animation.png            the samples as an animation, once training has ended
//! report.html              all of this on one page, once training has ended
//! evaluation.json          the figures of `gan evaluate`
//! distances.png            the Fréchet distance over the updates, from the second evaluation on
//! inspect/                 what `gan inspect` finds
//! tensorboard/             event files, with --tensorboard
//! ```
//! A run directory is never overwritten or deleted. Files are written whole: whoever looks finds the old or the new.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Loss};
use crate::pictures::{Curves, Series, median_filtered, write_curves};

/// A directory that belongs to one run.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// The losses of one generator update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// The number of the update, from 1.
    pub step: u64,
    /// The discriminator's loss, of the last of its updates in this step.
    pub discriminator: f64,
    /// The generator's loss.
    pub generator: f64,
    /// With the Wasserstein loss, what the critic says of the distance between real and generated images:
    /// mean f(x) − mean f(G(z)), its negated loss without any penalty. That is K times the distance for a K-Lipschitz
    /// critic at its optimum; clipping leaves K unknown, the gradient penalty brings it near 1.
    pub estimate: Option<f64>,
}

/// How long training took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTime {
    /// Up to this generator update.
    pub step: u64,
    /// Seconds, pictures and checkpoints included.
    pub seconds: f64,
}

const HEADER: &str = "step,discriminator,generator";

/// The header of a run with the Wasserstein loss.
const WASSERSTEIN_HEADER: &str = "step,discriminator,generator,estimate";

impl Losses {
    /// A line of `losses.csv`.
    fn parse(line: &str, with_estimate: bool) -> Option<Losses> {
        let mut fields = line.split(',');
        let step = fields.next()?.parse().ok()?;
        let mut number = || fields.next()?.parse::<f64>().ok();
        let (discriminator, generator) = (number()?, number()?);
        let estimate = if with_estimate { Some(number()?) } else { None };
        fields.next().is_none().then_some(Losses { step, discriminator, generator, estimate })
    }
}

/// Steps that the running median of the critic's estimate looks at.
const MEDIAN_WINDOW: usize = 101;

impl RunDir {
    /// Makes a new directory: `out` if given, else the first free one of `runs/NAME`, `runs/NAME-2`, ….
    ///
    /// # Errors
    /// `out` exists and is not an empty directory, or a directory cannot be made.
    pub fn create(out: Option<&Path>, config: &Config) -> Result<RunDir> {
        let text = toml::to_string_pretty(config).context("cannot write the configuration as TOML")?;
        let path = new_directory(out, &format!("{}-{}", config.method.flag(), config.data.flag()))?;
        let samples = path.join("samples");
        // Of two programs that chose the same directory, one gets an error here.
        fs::create_dir(&samples).with_context(|| format!("{}: cannot make the directory", samples.display()))?;
        let dir = RunDir { path };
        write_whole(&dir.path.join("config.toml"), text.as_bytes())?;
        Ok(dir)
    }

    /// Opens the directory of an earlier run, and reads its configuration.
    ///
    /// # Errors
    /// The directory or its `config.toml` is missing or damaged.
    pub fn open(path: &Path) -> Result<(RunDir, Config)> {
        ensure!(path.is_dir(), "{}: no such directory; expected that of a run", path.display());
        let file = path.join("config.toml");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("{}: cannot read; is this the directory of a run?", file.display()))?;
        let config: Config = toml::from_str(&text).with_context(|| format!("{}: damaged", file.display()))?;
        config.check().with_context(|| format!("{}: damaged", file.display()))?;
        Ok((RunDir { path: path.to_path_buf() }, config))
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the nets and the optimisers' state are.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    /// Where the picture of the samples at `step` goes.
    pub fn sample(&self, step: u64) -> PathBuf {
        self.path.join("samples").join(format!("step-{step:06}.png"))
    }

    /// Where the picture of the losses goes.
    pub fn curves(&self) -> PathBuf {
        self.path.join("losses.png")
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

    /// The time that [`write_time`](RunDir::write_time) wrote; none at step 0 if there is no such file.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read_time(&self) -> Result<TrainingTime> {
        let file = self.path.join("time.json");
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(TrainingTime { step: 0, seconds: 0.0 });
            }
            read => read.with_context(|| format!("{}: cannot read", file.display()))?,
        };
        serde_json::from_slice(&bytes).with_context(|| format!("{}: damaged", file.display()))
    }

    /// Writes all losses as numbers.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_losses(&self, losses: &[Losses]) -> Result<()> {
        let with_estimate = losses.first().is_some_and(|l| l.estimate.is_some());
        let mut text = format!("{}\n", if with_estimate { WASSERSTEIN_HEADER } else { HEADER });
        for l in losses {
            let estimate = l.estimate.map_or(String::new(), |estimate| format!(",{estimate}"));
            text += &format!("{},{},{}{estimate}\n", l.step, l.discriminator, l.generator);
        }
        write_whole(&self.path.join("losses.csv"), text.as_bytes())
    }

    /// Draws all losses; with the Wasserstein loss, the critic's estimate of the distance and its running median, as
    /// the authors of WGAN do: the losses themselves go up and down with the critic's scale and tell nothing.
    ///
    /// # Errors
    /// The picture cannot be written.
    pub fn draw_losses(&self, losses: &[Losses], config: &Config, title: &str) -> Result<()> {
        let series = |value: &dyn Fn(&Losses) -> f64| -> Vec<(f64, f64)> {
            losses.iter().map(|l| (l.step as f64, value(l))).collect()
        };
        let (first, second, names, y_label) = if config.loss == Loss::Wasserstein {
            let raw = series(&|l| l.estimate.unwrap_or(f64::NAN));
            let median = median_filtered(&raw, MEDIAN_WINDOW);
            let label = match config.gp_lambda {
                Some(_) => "critic's estimate of W = its negated loss, without the penalty",
                None => "critic's estimate of K·W, K unknown = its negated loss",
            };
            (raw, median, ["estimate".to_string(), format!("median of {MEDIAN_WINDOW} steps")], label)
        } else {
            let names = ["discriminator".to_string(), "generator".to_string()];
            (series(&|l| l.discriminator), series(&|l| l.generator), names, "loss")
        };
        let [one, two] = &names;
        let series = &[Series { name: one, points: &first }, Series { name: two, points: &second }];
        write_curves(&self.curves(), &Curves { title, x_label: "generator updates", y_label, series })
    }

    /// The losses up to `last`; what a killed run wrote after its last checkpoint will be computed again.
    ///
    /// # Errors
    /// `losses.csv` is missing or damaged, or ends before `last`.
    pub fn read_losses(&self, last: u64) -> Result<Vec<Losses>> {
        let file = self.path.join("losses.csv");
        let text = fs::read_to_string(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let known = [HEADER, WASSERSTEIN_HEADER].contains(&header);
        ensure!(known, "{}, line 1: found {header:?}, expected {HEADER:?}", file.display());
        let mut losses = Vec::new();
        for (line, number) in lines.zip(2..) {
            let parsed = Losses::parse(line, header == WASSERSTEIN_HEADER);
            losses.push(parsed.with_context(|| {
                format!("{}, line {number}: found {line:?}, expected numbers: {header}", file.display())
            })?);
        }
        losses.retain(|l| l.step <= last);
        let complete = losses.iter().map(|l| l.step).eq(1..=last);
        ensure!(
            complete,
            "{}: found {} steps up to that of the checkpoint, expected steps 1 to {last}",
            file.display(),
            losses.len()
        );
        Ok(losses)
    }
}

/// Makes a new directory: `out` if given, else the first free one of `runs/NAME`, `runs/NAME-2`, ….
///
/// # Errors
/// `out` exists and is not an empty directory, or a directory cannot be made.
pub fn new_directory(out: Option<&Path>, name: &str) -> Result<PathBuf> {
    let Some(out) = out else { return first_free(name) };
    let in_use = out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some());
    ensure!(!in_use, "--out {}: this exists already; expected a new or an empty directory", out.display());
    fs::create_dir_all(out).with_context(|| format!("--out {}: cannot make the directory", out.display()))?;
    Ok(out.to_path_buf())
}

fn first_free(name: &str) -> Result<PathBuf> {
    fs::create_dir_all("runs").context("runs: cannot make the directory")?;
    for number in 1.. {
        let path = Path::new("runs").join(if number == 1 { name.to_string() } else { format!("{name}-{number}") });
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot make the directory", path.display())),
        }
    }
    unreachable!("the numbers never end")
}

/// Writes a file as a whole: whoever looks at `path`, at any moment, finds the old file or the new one.
///
/// # Errors
/// Names the path: it cannot be written, or names no file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let name = path.file_name().context("the path names no file")?;
        // In the same directory, since a rename does not cross file systems.
        let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        let result = fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        result.map_err(|error| {
            // The first error is the one to report; a left-over file is only untidy.
            let _ = fs::remove_file(&temporary);
            error.into()
        })
    };
    write().with_context(|| format!("{}: cannot write", path.display()))
}
