//! `gan evaluate` of a run on stacked digits: how many of the thousand modes its generator has found.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::evaluator::open_classifier;
use super::progress::counting;
use super::say;
use crate::config::Config;
use crate::data::{DataName, Dataset, FolderOptions, Part, Split, open};
use crate::files::{to_json, write_whole};
use crate::metrics::{Classifier, ModeCount, STACKED_MODES, stacked_modes};
use crate::train::{SAMPLES_AT_ONCE, Trainer};

/// Images whose modes are counted if nothing else is said: the number of the published figures.
const USUAL_IMAGES: usize = 26_000;

/// What `modes.json` in the directory of a run holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Counted {
    /// Generator updates made.
    step: u64,
    /// Images, generated ones and real ones.
    n: usize,
    /// Determines the noise.
    seed: u64,
    /// The file of the classifier of digits in the cache.
    classifier: String,
    /// The share of the real digits that it reads right.
    classifier_accuracy: f64,
    /// What the generated images get.
    generated: ModeCount,
    /// What real images get.
    real: ModeCount,
}

/// Counts the modes of `n` generated images and of as many real ones, prints them, and writes `modes.json`.
///
/// # Errors
/// `n` is too small or too large; the classifier cannot be had; the file cannot be written.
pub(super) fn count_modes(
    (trainer, config): (&Trainer<f32>, &Config),
    run: &Path,
    (n, seed): (Option<usize>, u64),
    cache: &Path,
    json: bool,
) -> Result<()> {
    let n = n.unwrap_or(USUAL_IMAGES);
    ensure!((256..=1_000_000).contains(&n), "--n is {n}; expected 256 to 1000000 images of stacked-digits");
    let plain = FolderOptions { skip_corrupt: false, flatten: false };
    let set = |name| open(name, None, config.size, plain, 0, Split::Train).map(|opened| opened.set);
    let classifier = open_classifier(&*set(DataName::Digits)?, cache, !json)?;
    let counted = Counted {
        step: trainer.step(),
        n,
        seed,
        classifier: classifier.name().to_string(),
        classifier_accuracy: classifier.accuracy(),
        generated: count("reading generated image", &classifier, n, trainer.samples(n, seed))?,
        real: count("reading real image", &classifier, n, real(&*set(DataName::StackedDigits)?, n))?,
    };
    let path = run.join("modes.json");
    let written = to_json(&counted).and_then(|text| write_whole(&path, text.as_bytes()));
    if json {
        say(serde_json::to_string(&counted)?);
    } else {
        print(&counted, run, &path);
    }
    written
}

/// Real images in parts.
fn real(set: &dyn Dataset, n: usize) -> impl Iterator<Item = Vec<f32>> {
    let part = Part::Reference.of(set);
    (0..n).step_by(SAMPLES_AT_ONCE).map(move |start| {
        let indices: Vec<u64> = (start..n.min(start + SAMPLES_AT_ONCE)).map(|i| i as u64).collect();
        let mut images = vec![0.0; indices.len() * part.shape().numel()];
        part.batch(&indices, &mut images, &mut vec![0; indices.len()]);
        images
    })
}

/// The modes of images that come in parts, `n` in all.
fn count(
    what: &'static str,
    classifier: &Classifier,
    n: usize,
    parts: impl Iterator<Item = Vec<f32>>,
) -> Result<ModeCount> {
    let bar = counting(what, n as u64);
    let mut modes = Vec::with_capacity(n);
    for part in parts {
        modes.extend(stacked_modes(classifier, &part)?);
        bar.set_position(modes.len() as u64);
    }
    bar.finish_and_clear();
    Ok(ModeCount::of(&modes))
}

fn print(counted: &Counted, run: &Path, path: &Path) {
    let Counted { step, n, seed, classifier, classifier_accuracy, generated, real } = counted;
    say(format_args!("{}, step {step}: {n} images, seed {seed}, beside {n} of stacked-digits", run.display()));
    say(format_args!("read by {classifier}, accuracy {:.1} % for a digit", 100.0 * classifier_accuracy));
    say(format_args!("\n{:<26}{:>12}{:>12}", "", "generated", "real"));
    say(format_args!("{:<26}{:>12}{:>12}", format!("modes of {STACKED_MODES}"), generated.modes, real.modes));
    say(format_args!("{:<26}{:>12.3}{:>12.3}", "KL to equal shares", generated.kl, real.kl));
    say(format_args!("\nfigures  {}", path.display()));
}
