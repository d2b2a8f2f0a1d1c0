//! Reads the binary version of CIFAR-10 (Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>).
//!
//! A file is a row of records of 3073 bytes: a label, then the red, the green and the blue plane of a 32×32 picture,
//! each row by row.

use super::files::{directory_name, inventory, open_file, require_directory};
use super::{ImageShape, Images, Split};
use crate::usage::count;
use anyhow::{Context, Result, bail, ensure};
use std::io::Read;
use std::path::Path;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
/// Pixels of a plane.
const PLANE: usize = 32 * 32;
/// Bytes of a record.
const RECORD: usize = 1 + 3 * PLANE;
/// The most records in a file. (The real ones have 10,000.)
const MAX_RECORDS: u64 = 100_000;
/// The names of the classes, as `batches.meta.txt` lists them.
const NAMES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The set, and a line for people if some of its files are missing.
///
/// The files are `data_batch_1.bin` to `data_batch_5.bin` for training, of which at least one must be there, and
/// `test_batch.bin`, all in `dir` or in `cifar-10-batches-bin` below it, where the archive puts them.
///
/// # Errors
/// Names the file, what was found and what was expected: a missing directory, no file, a length that is no whole number
/// of records, a label above 9.
pub fn read_cifar(dir: &Path, split: Split) -> Result<(Images, Option<String>)> {
    require_directory(dir)?;
    let below = dir.join("cifar-10-batches-bin");
    let place = if below.is_dir() { &below } else { dir };
    let expected: Vec<String> = match split {
        Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
        Split::Test => vec!["test_batch.bin".into()],
    };
    let (present, missing): (Vec<_>, Vec<_>) = expected.iter().partition(|name| place.join(name).exists());
    if present.is_empty() {
        bail!("{}: found none of the files {}; {}", place.display(), expected.join(", "), inventory(place));
    }
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in &present {
        read_batch(&place.join(name), &mut pixels, &mut labels)?;
    }
    let note = (!missing.is_empty()).then(|| {
        let (found, all, n) = (present.len(), expected.len(), labels.len());
        let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let images = count(n as u64, "image", "images");
        format!("{}: found {found} of the {all} files, {images} in all; there is no {names}", place.display())
    });
    Ok((Images::new(directory_name(dir), SHAPE, pixels, labels).with_class_names(NAMES), note))
}

fn read_batch(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<()> {
    let mut read = |file: std::fs::File| -> Result<()> {
        let length = file.metadata()?.len();
        let most = MAX_RECORDS * RECORD as u64;
        ensure!(length <= most, "found {length} bytes, expected at most {most}: the real files have 10000 records");
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        parse(&bytes, pixels, labels)
    };
    read(open_file(path)?).with_context(|| format!("{}: not a good CIFAR-10 file", path.display()))
}

/// Appends the images, channels last, and the labels of all records.
fn parse(bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<()> {
    let found = bytes.len();
    let whole = found > 0 && found.is_multiple_of(RECORD);
    ensure!(whole, "found {found} bytes, expected a whole number of records of {RECORD} bytes");
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        ensure!(label < 10, "record {i} has the label {label}, expected 0 to 9");
        labels.push(label);
        pixels.extend((0..PLANE).flat_map(|k| [planes[k], planes[PLANE + k], planes[2 * PLANE + k]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
