//! The images of runs, by their configurations: those to learn from, and those of the metrics; whether they fit a run.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::warn;
use crate::config::Config;
use crate::data::{DataName, Dataset, FolderOptions, Halves, Opened, Split, open};
use crate::models;
use crate::train::Trainer;
use crate::usage::count;

/// The images that runs of this configuration learn from.
///
/// # Errors
/// They cannot be read, or are of no size that the nets can take.
pub(super) fn open_data(config: &Config) -> Result<Box<dyn Dataset>> {
    open_parts(config, config.evaluate_every.is_some())
}

/// The images that runs of this configuration learn from, and, if they are `measured` too, those of the metrics.
///
/// # Errors
/// As [`open_data`].
fn open_parts(config: &Config, measured: bool) -> Result<Box<dyn Dataset>> {
    let mut set = open_half(config, Split::Train)?;
    models::check_image(config, set.shape()).with_context(|| set.name().to_string())?;
    if config.test_half {
        let test = measured.then(|| open_half(config, Split::Test)).transpose()?;
        set = Box::new(Halves::new(set, test)?);
    }
    Ok(set)
}

/// The set that runs of this configuration are evaluated with. The drawn sets have a seed: whatever that of a run is,
/// the classifier and the reference images are the same.
pub(super) fn open_set(config: &Config) -> Result<Box<dyn Dataset>> {
    open_parts(&Config { seed: 0, ..config.clone() }, true)
}

/// A half of the set of this configuration.
fn open_half(config: &Config, split: Split) -> Result<Box<dyn Dataset>> {
    let Config { data, data_dir, size, seed, .. } = config;
    let folder = FolderOptions { skip_corrupt: config.skip_corrupt, flatten: config.flatten };
    let Opened { set, notes } = open(*data, data_dir.as_deref(), *size, folder, *seed, split)?;
    notes.iter().for_each(warn);
    Ok(set)
}

/// The images that a new run of this configuration learns from.
///
/// # Errors
/// As [`open_data`]; and if the nets are to know the images' classes, and there are none to tell apart.
pub(super) fn open_new_data(config: &Config) -> Result<Arc<dyn Dataset>> {
    // Known without reading what may be gigabytes.
    let labelled = config.data != DataName::Stl10Unlabelled;
    ensure!(!config.conditional || labelled, "--conditional needs labels; --data {} has none", config.data.flag());
    let data: Arc<dyn Dataset> = Arc::from(open_parts(config, false)?);
    let (name, classes) = (data.name(), data.classes());
    ensure!(!config.conditional || classes > 1, "--conditional needs at least two classes; {name} has one");
    Ok(data)
}

/// The images of a new run, with those of the metrics if it is evaluated as it goes. If there is no test half where the
/// set should have one, as with some files of CIFAR-10 alone, a third of the train half is kept for the metrics, as of
/// a set that never has one; a warning says so.
pub(super) fn with_test_half(config: &mut Config, data: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
    if !config.test_half {
        return Ok(data);
    }
    if let Err(error) = open_half(config, Split::Test) {
        warn(format_args!("{error:#}; so a third of the train half is kept for evaluation"));
        config.test_half = false;
    } else if config.evaluate_every.is_none() {
        return Ok(data);
    }
    Ok(Arc::from(open_data(config)?))
}

/// Whether these are images such as the nets of a run have learnt from.
///
/// # Errors
/// Size or classes differ.
pub(super) fn check_data(trainer: &Trainer<f32>, data: &dyn Dataset) -> Result<()> {
    let (expected, found) = (trainer.image_shape(), data.shape());
    ensure!(found == expected, "{}: images are {found}; expected {expected} as in the checkpoint", data.name());
    if let Some(classes) = trainer.classes() {
        let found = data.classes();
        let found_classes = count(found as u64, "class", "classes");
        ensure!(found == classes, "{}: {found_classes}; expected {classes} as in the checkpoint", data.name());
    }
    Ok(())
}

/// That these are not the images that a run has learnt so far, if so: a line for people.
pub(super) fn other_images(trainer: &Trainer<f32>, data: &dyn Dataset) -> Option<String> {
    let (name, now) = (data.name(), data.fingerprint());
    let then = trainer.data.as_ref().filter(|then| **then != now)?;
    Some(format!("{name}: found {now}; expected {then}, which the run has learnt so far"))
}
