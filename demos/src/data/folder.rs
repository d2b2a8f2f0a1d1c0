//! Reads any folder of PNG and JPEG files.

mod budget;
mod decode;
mod exif;
mod listing;
mod mend;

use super::files::{MAX_BYTES, directory_name, first_few, open_file, progress_bar, require_directory};
use super::{ImageShape, Images, Split};
use crate::files::escaped;
use crate::usage::count;
use anyhow::{Result, anyhow, ensure};
use budget::Budget;
use decode::{MAX_PIXELS, Picture, decode};
pub use listing::FolderOptions;
use listing::{EXPECTED, Labelled, Listing, list};
use mend::Faults;
use rayon::prelude::*;
use std::io::Read;
use std::path::Path;

/// The longest file that is read, and the most bytes of files that are in memory at a time: 256 MiB.
const MAX_FILE: u64 = 256 << 20;

/// Reads every PNG and JPEG file of the directory `dir`, and gives lines for people about files that were left out, or
/// have small faults.
///
/// Each sub-folder is a class, in the order of their names; without sub-folders, all images are of one class. If there
/// are sub-folders `train` and `test`, these are the two halves of the set, laid out so; otherwise there is only the
/// first half. With `flatten`, whatever lies below the folder of a class is of that class, and where images lie beside
/// sub-folders, they and all that lies below are one class.
///
/// Each image is turned as its EXIF says that the camera was held; the largest square in its middle is resized to
/// `size` × `size`; grey images get three equal channels, and transparent ones white behind them. Hidden files, what
/// systems leave behind, such as `__MACOSX` and `Thumbs.db`, and files with other endings than `.png`, `.jpg`, `.jpeg`,
/// `.jpe` and `.jfif` are left out. A PNG without its end, or with a wrong checksum over pixels that are right, is read
/// with a note.
///
/// All threads together hold at most 256 MiB of files, and of images that must be decoded as a whole (JPEG, interlaced
/// PNG) 67 million pixels.
///
/// # Errors
/// Names the file or directory, what was found and what was expected: a missing directory, no image, images
/// beside sub-folders or folders in that of a class (without `flatten`), more than 256 classes, more than 4 GiB of
/// resized images. Corrupt files and classes without images are errors too, unless `skip_corrupt`; then the files are
/// left out, and such a class keeps its name and number, so that those of the others do not depend on it.
///
/// # Panics
/// If `size` is 0.
pub fn read_folder(dir: &Path, split: Split, size: usize, options: FolderOptions) -> Result<(Images, Vec<String>)> {
    require_directory(dir)?;
    let halves = [dir.join("train"), dir.join("test")];
    let root = match split {
        _ if !halves.iter().all(|half| half.is_dir()) => dir,
        Split::Train => &halves[0],
        Split::Test => &halves[1],
    };
    ensure!(
        split == Split::Train || root != dir,
        "{}: found no sub-folders train and test, expected both: there is no test half otherwise",
        dir.display()
    );
    let Listing { classes, files, others } = list(root, options)?;
    let shown = escaped(root.display());
    let Outcomes { pixels, corrupt, faults } = read_all(&files, size, root)?;
    let mut notes = Vec::new();
    if let Some(&first) = corrupt.first().map(|(i, _)| i) {
        ensure!(options.skip_corrupt, "{}", describe(&files, &corrupt, "; --skip-corrupt leaves such files out"));
        let first = escaped(files[first].path.display());
        ensure!(corrupt.len() < files.len(), "{shown}: found no good image; the first, {first}, is corrupt too");
        notes.push(format!("left out: {}", describe(&files, &corrupt, "")));
    }
    notes.extend(describe_faults(&files, &faults));
    if others > 0 {
        let left = count(others as u64, "file that does", "files that do");
        notes.push(format!("{shown}: left out {left} not end in {EXPECTED}"));
    }
    let (pixels, labels) = without(pixels, &files, &corrupt, 3 * size * size);
    let empty = classes.iter().zip(0..).filter(|(_, label)| !labels.contains(label)).map(|(name, _)| name.clone());
    let empty: Vec<String> = empty.collect();
    if !empty.is_empty() {
        let n = count(
            empty.len() as u64,
            "class has no image and keeps its number",
            "classes have no image and keep their numbers",
        );
        notes.push(format!("{shown}: {n}: {}", first_few(&empty, 5)));
    }
    let shape = ImageShape { channels: 3, height: size, width: size };
    Ok((Images::new(directory_name(dir), shape, pixels, labels).with_class_names(classes), notes))
}

/// What the files hold. Those that had something wrong are known by their index.
struct Outcomes {
    /// All images, (n, size, size, 3), those of corrupt files black.
    pixels: Vec<u8>,
    corrupt: Corrupt,
    faults: Vec<(usize, Faults)>,
}

/// The files, by their index, that could not be read, and why.
type Corrupt = Vec<(usize, anyhow::Error)>;

fn read_all(files: &[Labelled], size: usize, root: &Path) -> Result<Outcomes> {
    let numel = 3 * size * size;
    let total = (files.len() as u64).saturating_mul(numel as u64);
    ensure!(
        total <= MAX_BYTES,
        "{}: found {} images, {total} bytes at --size {size}, expected at most {MAX_BYTES}",
        escaped(root.display()),
        files.len()
    );
    let bar = progress_bar(files.len() as u64, "images", format!("reading {}", escaped(root.display())));
    let budgets = Budgets { files: Budget::new(MAX_FILE), pixels: Budget::new(MAX_PIXELS as u64) };
    let mut pixels = vec![0; files.len() * numel];
    let images = pixels.par_chunks_exact_mut(numel).zip(files);
    let outcomes = images.map(|(image, file)| {
        let outcome = read_image(&file.path, size, &budgets).map(|picture| {
            image.copy_from_slice(&picture.pixels);
            picture.faults
        });
        bar.inc(1);
        outcome
    });
    let outcomes: Vec<Result<Faults>> = outcomes.collect();
    let (mut corrupt, mut faults) = (Vec::new(), Vec::new());
    for (i, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(found) if found != Faults::default() => faults.push((i, found)),
            Ok(_) => {}
            Err(error) => corrupt.push((i, error)),
        }
    }
    Ok(Outcomes { pixels, corrupt, faults })
}

/// What all threads together may hold. Who needs both takes of `files` first.
struct Budgets {
    /// Bytes of files.
    files: Budget,
    /// Pixels of images that must be decoded as a whole.
    pixels: Budget,
}

/// The square in the middle of an image file, `size` × `size`, with three channels.
fn read_image(path: &Path, size: usize, budgets: &Budgets) -> Result<Picture> {
    // The path is named by the caller.
    let file = open_file(path).map_err(|error| anyhow!("{}", error.root_cause()))?;
    let length = file.metadata()?.len();
    ensure!(length <= MAX_FILE, "found {length} bytes, expected at most {MAX_FILE}");
    let _share = budgets.files.take(length);
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    decode(bytes, size, &budgets.pixels)
}

/// The first few corrupt files, and how many more there are.
fn describe(files: &[Labelled], corrupt: &Corrupt, advice: &str) -> String {
    const SHOWN: usize = 5;
    let of = |(i, error): &(usize, anyhow::Error)| format!("{}: {error:#}", escaped(files[*i].path.display()));
    let shown: Vec<String> = corrupt.iter().take(SHOWN).map(of).collect();
    let more = corrupt.len() - shown.len();
    let more = if more > 0 { format!("; and {more} more corrupt files") } else { String::new() };
    format!("{}{more}{advice}", shown.join("; "))
}

/// A line for each kind of small fault; a file is in one of them.
fn describe_faults(files: &[Labelled], faults: &[(usize, Faults)]) -> Vec<String> {
    let line = |what: &str, kind: Faults| {
        let such: Vec<usize> = faults.iter().filter(|(_, faults)| *faults == kind).map(|(i, _)| *i).collect();
        let first = escaped(files[*such.first()?].path.display());
        let n = count(such.len() as u64, "PNG file has", "PNG files have");
        Some(format!("{n} {what}; read all the same; the first is {first}"))
    };
    let kinds = [
        ("no end (the chunk IEND)", Faults { no_end: true, wrong_checksum: false }),
        ("wrong checksums", Faults { no_end: false, wrong_checksum: true }),
        ("wrong checksums and no end (the chunk IEND)", Faults { no_end: true, wrong_checksum: true }),
    ];
    kinds.into_iter().filter_map(|(what, kind)| line(what, kind)).collect()
}

/// Pixels and labels of the files that are not corrupt.
fn without(mut pixels: Vec<u8>, files: &[Labelled], corrupt: &Corrupt, numel: usize) -> (Vec<u8>, Vec<u8>) {
    let good = |i: &usize| corrupt.binary_search_by_key(i, |(k, _)| *k).is_err();
    let mut labels = Vec::with_capacity(files.len());
    for i in (0..files.len()).filter(good) {
        pixels.copy_within(i * numel..(i + 1) * numel, labels.len() * numel);
        labels.push(files[i].label);
    }
    pixels.truncate(labels.len() * numel);
    (pixels, labels)
}

#[cfg(test)]
mod tests;
