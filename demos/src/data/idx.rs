//! Reads the idx files of MNIST, Fashion-MNIST and their kin, compressed with gzip or not.
//!
//! A file is a header of big-endian 32-bit numbers, then bytes: images have the magic number 0x803, the count, the
//! rows, the columns and one byte per pixel; labels have 0x801, the count and one byte per label.

use super::files::{check_claim, directory_name, inventory, open_file, require_directory};
use super::{ImageShape, Images, Split};
use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// The most images that a header may claim. (MNIST has 60 000, EMNIST 814 255.)
const MAX_COUNT: u32 = 1_000_000;
/// The most rows or columns that a header may claim.
const MAX_SIDE: u32 = 256;
/// The most bytes of pixels that a header may claim: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

const IMAGES_MAGIC: u32 = 0x803;
const LABELS_MAGIC: u32 = 0x801;

/// Reads the images and labels of `split` from the directory `dir`, which names the set.
///
/// The files are `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (60,000 images in MNIST), or `t10k-…` for the
/// test half (10,000), also with a dot before `idx`, as some programs unpack them, and with `.gz`; whether a file is
/// compressed is seen from its content. They are in `dir`, or where torchvision puts them: in `folder/raw` or `raw`
/// below it, `folder` being `MNIST` or `FashionMNIST`. Images are grey, (n, rows, columns, 1); those of 28×28 are
/// padded to 32×32.
///
/// # Errors
/// Names the file, what was found and what was expected: a missing directory or file, a wrong magic number, an
/// impossible count or size, a truncated or damaged file, bytes after the end, another number of labels than of images.
pub fn read_idx(dir: &Path, folder: &str, split: Split) -> Result<Images> {
    require_directory(dir)?;
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let places = [dir.to_path_buf(), dir.join(folder).join("raw"), dir.join("raw")];
    let images_path = find(&places, &format!("{prefix}-images"), "idx3-ubyte")?;
    let place = images_path.parent().unwrap_or(dir);
    let labels_path = find(&[place.to_path_buf()], &format!("{prefix}-labels"), "idx1-ubyte")?;
    let ([count, rows, columns], pixels) = read_file(&images_path, IMAGES_MAGIC)?;
    let ([label_count], labels) = read_file(&labels_path, LABELS_MAGIC)?;
    ensure!(
        count == label_count,
        "{}: found {label_count} labels, expected {count}, one for each image of {}",
        labels_path.display(),
        images_path.display()
    );
    let shape = ImageShape { channels: 1, height: rows as usize, width: columns as usize };
    let images = Images::new(directory_name(dir), shape, pixels, labels);
    Ok(if (rows, columns) == (28, 28) { images.padded(32, 32) } else { images })
}

/// The path of the first of these files: `name-kind` or `name.kind`, with or without `.gz`, in the first place that has
/// one. Some archives have folders of such names.
fn find(places: &[PathBuf], name: &str, kind: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|mark| format!("{name}{mark}{kind}"));
    let names = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).collect::<Vec<_>>();
    let candidates: Vec<PathBuf> = places.iter().flat_map(|place| names.iter().map(|name| place.join(name))).collect();
    let found = candidates.iter().find(|path| path.is_file());
    let found = found.or_else(|| candidates.iter().find(|path| path.exists())).cloned();
    found.with_context(|| {
        let [dir, below @ ..] = places else { unreachable!("there is always a place") };
        let below: Vec<String> = below.iter().map(|place| format!(", nor in {}", place.display())).collect();
        let found = format!("{}: found neither {name}-{kind} nor {name}-{kind}.gz in it", dir.display());
        format!("{found}{}; {}", below.concat(), inventory(dir))
    })
}

/// The dimensions in the header of the file and the bytes after it, checked against each other.
fn read_file<const D: usize>(path: &Path, magic: u32) -> Result<([u32; D], Vec<u8>)> {
    let file = open_file(path)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    read_stream(file, length, magic).with_context(|| format!("{}: not a good idx file", path.display()))
}

/// [`read_file`] of any source of `length` bytes. The errors do not know the file's name.
fn read_stream<const D: usize>(mut source: impl Read, length: u64, magic: u32) -> Result<([u32; D], Vec<u8>)> {
    let mut start = Vec::new();
    source.by_ref().take(2).read_to_end(&mut start)?;
    let compressed = start == [0x1f, 0x8b];
    let whole = BufReader::new(Cursor::new(start).chain(source));
    if compressed {
        parse(MultiGzDecoder::new(whole), length, magic).context("in the content of the gzip file")
    } else {
        parse(whole, length, magic)
    }
}

fn parse<const D: usize>(mut source: impl Read, length: u64, magic: u32) -> Result<([u32; D], Vec<u8>)> {
    let found = read_u32(&mut source, "the magic number")?;
    ensure!(found == magic, "found the magic number {found:#010x}, expected {magic:#010x}");
    let mut dims = [0; D];
    for (dim, (name, most)) in dims.iter_mut().zip([("count", MAX_COUNT), ("rows", MAX_SIDE), ("columns", MAX_SIDE)]) {
        *dim = read_u32(&mut source, name)?;
        ensure!((1..=most).contains(dim), "the header claims {dim} as its {name}, expected 1 to {most}");
    }
    // At most 10⁶ · 256 · 256, far below 2⁶⁴.
    let expected: u64 = dims.iter().map(|&d| u64::from(d)).product();
    ensure!(expected <= MAX_BYTES, "the header claims {dims:?}, {expected} bytes, expected at most {MAX_BYTES}");
    check_claim(expected, length)?;
    // The vector grows with the bytes that are really there, never by the header's word; one byte more than claimed
    // is enough to see that there are too many.
    let mut bytes = Vec::new();
    let outcome = source.take(expected + 1).read_to_end(&mut bytes);
    outcome.with_context(|| format!("after {} of {expected} bytes", bytes.len()))?;
    let found = bytes.len() as u64;
    ensure!(found >= expected, "truncated: found {found} bytes after the header, expected {expected} for {dims:?}");
    if found > expected {
        bail!("found more bytes after the header than the {expected} expected for {dims:?}");
    }
    bytes.shrink_to_fit();
    Ok((dims, bytes))
}

/// A big-endian number; `what` names it in the error.
fn read_u32(source: &mut impl Read, what: &str) -> Result<u32> {
    let mut bytes = Vec::with_capacity(4);
    source.take(4).read_to_end(&mut bytes).with_context(|| format!("while reading {what}"))?;
    let found = bytes.len();
    let Ok(bytes) = bytes.try_into() else {
        bail!("truncated: found {found} bytes where {what} should be, expected 4");
    };
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
