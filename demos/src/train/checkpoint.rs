//! Nets and optimisers' state in a file, and back.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use wengert::optim::Ema;
use wengert::{Archive, Device, Element};

use super::Trainer;
use crate::config::Config;
use crate::data::ImageShape;
use crate::models;
use crate::run_dir::RunDir;

impl<T: Element> Trainer<T> {
    /// Writes nets and optimiser state to one file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(self.archive()?.save(path)?)
    }

    /// Nets and optimiser state.
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
        let config = toml::to_string(&self.config).context("cannot write the configuration as TOML")?;
        archive.set_text("config", config); // what `load` compares with config.toml
        Ok(archive)
    }

    /// Reads what [`save`](Trainer::save) wrote in a run of this configuration.
    ///
    /// # Errors
    /// The file is missing or damaged; or it belongs to a run of another configuration than this: only how long the run
    /// is, how often it writes, and where its data are, may have changed.
    pub fn load(config: &Config, path: &Path) -> Result<Trainer<T>> {
        let archive = Archive::load(path)?;
        let image = check(&archive, config).with_context(|| path.display().to_string())?;
        let classes = archive.text("classes")?;
        let classes = classes.parse().ok().filter(|n| (usize::from(config.conditional)..=256).contains(n));
        let classes = classes.with_context(|| format!("{}: expected a number of classes", path.display()))?;
        Trainer::restored(config, image, classes, &archive)
    }

    /// The trainer of this configuration with the nets and optimiser state of an [`archive`](Trainer::archive).
    ///
    /// # Errors
    /// The archive holds other names, shapes or scalars.
    pub fn restored(config: &Config, image: ImageShape, classes: usize, archive: &Archive) -> Result<Trainer<T>> {
        let mut trainer = Trainer::with_classes(config, image, classes);
        trainer.generator_params.restore(archive, "generator.")?;
        trainer.discriminator_params.restore(archive, "discriminator.")?;
        trainer.generator_optimizer.restore(&trainer.generator_params, archive, "generator_optimizer.")?;
        trainer.discriminator_optimizer.restore(&trainer.discriminator_params, archive, "discriminator_optimizer.")?;
        if let Some(ema) = &mut trainer.ema {
            ema.params_mut().restore(archive, "generator_ema.")?;
        }
        trainer.step = archive.count("step")?;
        trainer.updates = config.discriminator_updates(trainer.step);
        Ok(trainer)
    }

    /// Takes the nets of another run, with u, v and running statistics, without its optimisers' state.
    ///
    /// # Errors
    /// The run or its checkpoint cannot be read; or its nets have other names or shapes than these.
    pub fn start_from(&mut self, run: &Path) -> Result<()> {
        let (dir, config) = RunDir::open(run)?;
        let archive = Archive::load(dir.checkpoint())?;
        let (ours, theirs) = (self.config.method.flag(), config.method.flag());
        let fits = |net: &str| format!("the {net} of that run, of the method {theirs}, does not fit this one, {ours}");
        self.generator_params.restore(&archive, "generator.").with_context(|| fits("generator"))?;
        self.discriminator_params.restore(&archive, "discriminator.").with_context(|| fits("discriminator"))?;
        self.ema = self.config.ema.map(|decay| Ema::new(&self.generator_params, decay));
        Ok(())
    }
}

/// Whether a run that wrote this archive may go on with this configuration; the shape of its images.
fn check(archive: &Archive, config: &Config) -> Result<ImageShape> {
    // Before nets of the wrong size take memory.
    let then: Config = toml::from_str(archive.text("config")?).context("found a damaged configuration")?;
    then.allows(config)?;
    let image = image_shape(archive.text("image")?)?;
    models::check_memory(config, image, &Device::host())?;
    Ok(image)
}

/// The images' shape from the text in a checkpoint, "channels,height,width".
fn image_shape(text: &str) -> Result<ImageShape> {
    let sizes: Vec<usize> = text.split(',').map_while(|size| size.parse().ok()).collect();
    let &[channels @ (1 | 3), height @ 8..=256, width] = sizes.as_slice() else {
        bail!("found images of {text:?}, expected 1 or 3 channels, and a height and a width up to 256");
    };
    ensure!(height == width && height.is_multiple_of(8), "found images of {text:?}, expected squares that 8 divides");
    Ok(ImageShape { channels, height, width })
}
