//! Nets and optimisers' state in a file, and back.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wengert::optim::Ema;
use wengert::{Archive, Device, Element};

use super::Trainer;
use crate::config::{Config, MOST_STEPS};
use crate::data::ImageShape;
use crate::files::{from_toml, shown};
use crate::models;
use crate::run_dir::RunDir;
use crate::sealed;

/// The format of checkpoints that this program writes.
const FORMAT: u32 = 1;

/// A trainer as a checkpoint has kept it.
pub struct Loaded<T: Element = f32> {
    /// Nets and optimisers.
    pub trainer: Trainer<T>,
    /// Why this is not the last checkpoint but the one before it, if so: a line for people.
    pub damage: Option<String>,
}

impl<T: Element> Trainer<T> {
    /// Nets and optimiser state, with a checksum.
    ///
    /// # Errors
    /// The configuration cannot be written as text.
    pub fn archive(&self) -> Result<Archive> {
        let mut archive = Archive::new();
        self.generator_params.store(&mut archive, "generator.");
        self.discriminator_params.store(&mut archive, "discriminator.");
        self.generator_optimizer.store(&self.generator_params, &mut archive, "generator_optimizer.");
        self.discriminator_optimizer.store(&self.discriminator_params, &mut archive, "discriminator_optimizer.");
        if let Some(ema) = &self.ema {
            ema.params().store(&mut archive, "generator_ema.");
        }
        archive.set_count("step", self.step);
        let ImageShape { channels, height, width } = self.image;
        archive.set_text("image", format!("{channels},{height},{width}"));
        archive.set_text("classes", self.classes.to_string());
        if let Some(data) = &self.data {
            archive.set_text("data", data);
        }
        if let Some(counts) = &self.class_counts {
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            archive.set_text("class_counts", counts.join(","));
        }
        let config = toml::to_string(&self.config).context("cannot write the configuration as TOML")?;
        archive.set_text("config", config); // what `load` compares with config.toml
        archive.set_text("format", FORMAT.to_string());
        sealed::seal(&mut archive);
        Ok(archive)
    }

    /// The last checkpoint of a run of this configuration; if that is damaged, the one before it.
    ///
    /// # Errors
    /// As [`load`](Trainer::load) of the last checkpoint, if neither can be had.
    pub fn open(dir: &RunDir, config: &Config) -> Result<Loaded<T>> {
        let (trainer, damage) = last_good(dir, |path| Trainer::load(config, path), |trainer| Ok(trainer.step()))?;
        Ok(Loaded { trainer, damage })
    }

    /// Reads an [`archive`](Trainer::archive) from a file of a run of this configuration.
    ///
    /// # Errors
    /// The file is missing or damaged, or holds a number that is not finite; or it belongs to a run of another
    /// configuration than this: only how long the run is, how often it writes, and where its data are, may have
    /// changed.
    pub fn load(config: &Config, path: &Path) -> Result<Trainer<T>> {
        let mut archive = sealed::load(path)?;
        let (image, classes) = check(&mut archive, config).with_context(|| path.display().to_string())?;
        let mut trainer = Trainer::restored(config, image, classes, &archive)?;
        trainer.data = archive.text("data").ok().map(String::from);
        trainer.check_finite(path)?;
        Ok(trainer)
    }

    /// The trainer of this configuration with the nets and optimiser state of an [`archive`](Trainer::archive).
    ///
    /// # Errors
    /// The archive holds other names, shapes or scalars, or more steps than a run can have.
    pub fn restored(config: &Config, image: ImageShape, classes: usize, archive: &Archive) -> Result<Trainer<T>> {
        let mut trainer = Trainer::with_classes(config, image, classes);
        trainer.generator_params.restore(archive, "generator.")?;
        trainer.discriminator_params.restore(archive, "discriminator.")?;
        trainer.generator_optimizer.restore(&trainer.generator_params, archive, "generator_optimizer.")?;
        trainer.discriminator_optimizer.restore(&trainer.discriminator_params, archive, "discriminator_optimizer.")?;
        if let Some(ema) = &mut trainer.ema {
            ema.params_mut().restore(archive, "generator_ema.")?;
        }
        // Runs of earlier versions have none: their classes are equally likely.
        if let Ok(text) = archive.text("class_counts") {
            trainer.follow_classes(Some(class_counts(text, classes)?));
        }
        trainer.step = steps_made(archive)?;
        trainer.updates = config.discriminator_updates(trainer.step);
        Ok(trainer)
    }

    /// Takes the nets of another run, with u, v and running statistics, without its optimisers' state: from its last
    /// checkpoint, or, if that is damaged, from the one before; then it returns why, a line for people.
    ///
    /// # Errors
    /// The run or its checkpoint cannot be read; or its nets have other names or shapes than these, or a number that is
    /// not finite.
    pub fn start_from(&mut self, run: &Path) -> Result<Option<String>> {
        let (dir, config) = RunDir::open(run)?;
        let read = |path: &Path| -> Result<(Archive, PathBuf)> {
            let mut archive = sealed::load(path)?;
            check_format(&mut archive).with_context(|| path.display().to_string())?;
            Ok((archive, path.to_path_buf()))
        };
        let ((archive, path), damage) = last_good(&dir, read, |(archive, _)| Ok(archive.count("step")?))?;
        let (ours, theirs) = (self.config.method.flag(), config.method.flag());
        let fits = |net: &str| format!("the {net} of that run, of the method {theirs}, does not fit this one, {ours}");
        self.generator_params.restore(&archive, "generator.").with_context(|| fits("generator"))?;
        self.discriminator_params.restore(&archive, "discriminator.").with_context(|| fits("discriminator"))?;
        self.ema = self.config.ema.map(|decay| Ema::new(&self.generator_params, decay));
        self.check_finite(&path)?;
        Ok(damage)
    }

    /// Refuses weights from this file that are not finite.
    fn check_finite(&self, path: &Path) -> Result<()> {
        let broken = self.not_finite();
        ensure!(broken.is_none(), "{}: {} is not finite", path.display(), broken.unwrap_or_default());
        Ok(())
    }
}

/// What is read from the last checkpoint of a run; if that is damaged, from the one before, with a line for people that
/// says so.
fn last_good<R>(
    dir: &RunDir,
    read: impl Fn(&Path) -> Result<R>,
    step: impl Fn(&R) -> Result<u64>,
) -> Result<(R, Option<String>)> {
    let [last, previous] = dir.checkpoints();
    let error = match read(&last) {
        Ok(found) => return Ok((found, None)),
        Err(error) => error,
    };
    // What is wrong with the last may be wrong with both: the first error is the one to tell.
    let Ok(found) = read(&previous) else { return Err(error) };
    let damage = format!("{error:#}\nusing {} instead, of step {}", previous.display(), step(&found)?);
    Ok((found, Some(damage)))
}

/// Whether a run that wrote this archive may go on with this configuration; the shape of its images and the number of
/// its classes.
fn check(archive: &mut Archive, config: &Config) -> Result<(ImageShape, usize)> {
    check_format(archive)?;
    // Before nets of the wrong size take memory.
    let then: Config = from_toml(archive.text("config")?).context("found a damaged configuration")?;
    then.allows(config)?;
    steps_made(archive)?;
    let image = image_shape(archive.text("image")?)?;
    let classes = archive.text("classes")?.parse().ok();
    let classes = classes.filter(|n| (usize::from(config.conditional)..=256).contains(n));
    let classes = classes.context("expected a number of classes")?;
    models::check_image(config, image)?;
    models::check_weights(config, image, classes, &Device::host())?;
    Ok((image, classes))
}

/// Whether this program knows the format, and whether every bit is as it was written. Runs of the first versions have
/// neither format nor checksum.
fn check_format(archive: &mut Archive) -> Result<()> {
    let text = |key: &str| archive.text(key).ok().map(String::from);
    let format = text("format");
    if format.is_none() && text("checksum").is_none() {
        return Ok(());
    }
    if let Some(later) = format.and_then(|format| format.parse::<u32>().ok()).filter(|&format| format > FORMAT) {
        bail!("found the format {later}, of a later version of this program; expected at most {FORMAT}");
    }
    sealed::open(archive)
}

/// The steps of an archive, no more than a run can have: the numbers of their updates are sums that must not overflow.
fn steps_made(archive: &Archive) -> Result<u64> {
    let steps = archive.count("step")?;
    ensure!(steps <= MOST_STEPS, "found {steps} steps, expected at most {MOST_STEPS}");
    Ok(steps)
}

/// The images of each class from the text in a checkpoint, "count,count,…".
fn class_counts(text: &str, classes: usize) -> Result<Vec<u64>> {
    let counts: Vec<u64> = text.split(',').map_while(|count| count.parse().ok()).collect();
    let fits =
        counts.len() == classes && (1..1 << 40).contains(&counts.iter().fold(0, |sum: u64, &n| sum.saturating_add(n)));
    ensure!(fits, "found images of each class {}, expected {classes} counts", shown(text));
    Ok(counts)
}

/// The images' shape from the text in a checkpoint, "channels,height,width".
fn image_shape(text: &str) -> Result<ImageShape> {
    let sizes: Vec<usize> = text.split(',').map_while(|size| size.parse().ok()).collect();
    let &[channels @ (1 | 3), height @ 8..=256, width] = sizes.as_slice() else {
        bail!("found images of {}, expected 1 or 3 channels, and a height and a width up to 256", shown(text));
    };
    ensure!(
        height == width && height.is_multiple_of(8),
        "found images of {}, expected squares that 8 divides",
        shown(text)
    );
    Ok(ImageShape { channels, height, width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;

    #[test]
    fn a_checkpoint_of_more_steps_than_a_run_can_have_is_refused() {
        let image = ImageShape { channels: 1, height: 16, width: 16 };
        let config = Config { width: 0.03, z_dim: 4, ..Config::recipe(Method::Wgan) };
        let file = tempfile::NamedTempFile::new().unwrap();
        let load = |steps: u64| {
            let mut archive = Trainer::<f32>::new(&config, image).archive().unwrap();
            archive.set_count("step", steps);
            sealed::seal(&mut archive);
            archive.save(file.path()).unwrap();
            Trainer::<f32>::load(&config, file.path()).map(|trainer| trainer.step())
        };
        assert_eq!(load(MOST_STEPS).unwrap(), MOST_STEPS);
        for steps in [MOST_STEPS + 1, 1 << 62, i64::MAX as u64] {
            let message = format!("{:#}", load(steps).unwrap_err());
            let expected = format!("{}: found {steps} steps, expected at most {MOST_STEPS}", file.path().display());
            assert_eq!(message, expected);
        }
    }
}
