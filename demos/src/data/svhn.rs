//! Reads the cropped digits of SVHN (Netzer et al. 2011, <http://ufldl.stanford.edu/housenumbers/>) from MATLAB files.
//!
//! `train_32x32.mat` holds `X`, bytes of the size (32, 32, 3, n) in column-major order, and `y`, n numbers from 1 to
//! 10, of which 10 stands for the digit 0. Of MATLAB's level 5 format ("MAT-File Format", The MathWorks) this file
//! knows what these two arrays need: elements of a tag and data, arrays of real numbers, compression by zlib.

use super::files::{MAX_BYTES, check_claim, directory_name, inventory, open_file, progress_bar, require_directory};
use super::{ImageShape, Images, Split};
use anyhow::{Context, Result, bail, ensure};
use flate2::read::ZlibDecoder;
use indicatif::ProgressBar;
use std::io::{BufReader, Read};
use std::path::Path;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
/// The most images that a file may claim. (`extra_32x32.mat`, the largest, has 531,131.)
const MAX_COUNT: u64 = 1_000_000;

/// Types of data elements, by their names in the format's description.
const MI_INT8: u32 = 1;
const MI_UINT8: u32 = 2;
const MI_INT32: u32 = 5;
const MI_UINT32: u32 = 6;
const MI_DOUBLE: u32 = 9;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

/// Reads `train_32x32.mat` or `test_32x32.mat` from the directory `dir`, which names the set. Labels are the digits.
///
/// # Errors
/// Names the file, what was found and what was expected: a missing directory or file, another format, arrays of other
/// sizes or types, labels beyond 10, a truncated or damaged file.
pub fn read_svhn(dir: &Path, split: Split) -> Result<Images> {
    require_directory(dir)?;
    let name = match split {
        Split::Train => "train_32x32.mat",
        Split::Test => "test_32x32.mat",
    };
    let path = dir.join(name);
    ensure!(path.exists(), "{}: found no {name} in it; {}", dir.display(), inventory(dir));
    let file = open_file(&path)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let bar = progress_bar(length, "bytes", format!("reading {}", path.display()));
    let (pixels, labels) =
        read_stream(file, length, &bar).with_context(|| format!("{}: not a good file of SVHN", path.display()))?;
    Ok(Images::new(directory_name(dir), SHAPE, pixels, labels).with_class_names((0..10).map(|d| d.to_string())))
}

/// Pixels, channels last, and labels, of a source of `length` bytes.
fn read_stream(source: impl Read, length: u64, bar: &ProgressBar) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut source = BufReader::new(bar.wrap_read(source));
    read_header(&mut source)?;
    let (mut pixels, mut labels) = (None, None);
    while pixels.is_none() || labels.is_none() {
        let Some(tag) = Tag::read(&mut source).context("in the tag of a variable")? else {
            let missing = if pixels.is_none() { "X" } else { "y" };
            bail!("the file ends without the array {missing}, expected X, the images, and y, the labels");
        };
        let mut element = source.by_ref().take(u64::from(tag.length));
        let array = match tag.kind {
            MI_COMPRESSED => read_compressed(&mut element, length)?,
            MI_MATRIX => read_array(&mut element, length)?,
            kind => bail!("found a variable of the type {kind}, expected an array (14) or a compressed one (15)"),
        };
        // What was not asked for: the rest of an array that is not ours.
        std::io::copy(&mut element, &mut std::io::sink())?;
        match array {
            Array::Images(bytes) => pixels = Some(bytes),
            Array::Labels(bytes) => labels = Some(bytes),
            Array::Other => {}
        }
    }
    let (pixels, labels) = (pixels.unwrap_or_default(), labels.unwrap_or_default());
    let count = pixels.len() / SHAPE.numel();
    ensure!(labels.len() == count, "found {} labels in y, expected {count}, one for each image in X", labels.len());
    Ok((pixels, labels))
}

/// 128 bytes: a text, the version 0x0100, and the order of bytes.
fn read_header(source: &mut impl Read) -> Result<()> {
    let header: [u8; 128] = read_bytes(source).context("in the header")?;
    // HDF5, in which MATLAB's later format is wrapped, has the version 0x0200 here.
    let (version, order) = ([header[124], header[125]], [header[126], header[127]]);
    ensure!(&order == b"IM", "found {order:02x?} as the mark of the order of bytes, expected 49 4d: little-endian");
    ensure!(version == [0, 1], "found the version {version:02x?}, expected 00 01: a MATLAB file of level 5");
    Ok(())
}

enum Array {
    /// (n, 32, 32, 3) from `X`.
    Images(Vec<u8>),
    /// n digits from `y`.
    Labels(Vec<u8>),
    /// Any other variable.
    Other,
}

/// An array inside a zlib stream, which must hold nothing else.
fn read_compressed(source: &mut impl Read, length: u64) -> Result<Array> {
    let mut content = BufReader::new(ZlibDecoder::new(source));
    let tag = Tag::read(&mut content)?.context("found an empty compressed element, expected an array")?;
    ensure!(tag.kind == MI_MATRIX, "found a compressed element of the type {}, expected an array (14)", tag.kind);
    let mut element = content.by_ref().take(u64::from(tag.length));
    let array = read_array(&mut element, length)?;
    if matches!(array, Array::Other) {
        return Ok(array);
    }
    // Reaching the end makes the decoder compare the checksum. Beyond the array there may be padding, no more.
    let more = content.take(8).read_to_end(&mut Vec::new())?;
    ensure!(more < 8, "found more in a compressed element than its array");
    Ok(array)
}

/// The sub-elements of an array in a file of `length` bytes: flags, sizes, name, data.
fn read_array(source: &mut impl Read, length: u64) -> Result<Array> {
    let flags = read_small(source, MI_UINT32, "the flags of an array")?;
    ensure!(flags.len() == 8, "found {} bytes of flags of an array, expected 8", flags.len());
    let dims = read_small(source, MI_INT32, "the sizes of an array")?;
    let dims: Vec<u32> = dims.chunks_exact(4).map(|d| u32::from_le_bytes([d[0], d[1], d[2], d[3]])).collect();
    let name = read_small(source, MI_INT8, "the name of an array")?;
    let name = String::from_utf8_lossy(&name);
    if name != "X" && name != "y" {
        return Ok(Array::Other);
    }
    // The complex bit of the flags; a complex array has a second part.
    ensure!(flags[1] & 0x08 == 0, "the array {name} is complex, expected real numbers");
    let data = Tag::read(source)?.with_context(|| format!("truncated: the array {name} has no data"))?;
    if name == "X" {
        read_images(source, length, &dims, &data).map(Array::Images)
    } else {
        read_labels(source, &dims, &data).map(Array::Labels)
    }
}

fn read_images(source: &mut impl Read, length: u64, dims: &[u32], data: &Tag) -> Result<Vec<u8>> {
    let &[32, 32, 3, count] = dims else { bail!("the array X has the sizes {dims:?}, expected [32, 32, 3, n]") };
    let count = u64::from(count);
    ensure!((1..=MAX_COUNT).contains(&count), "the array X claims {count} images, expected 1 to {MAX_COUNT}");
    let bytes = count * SHAPE.numel() as u64;
    ensure!(bytes <= MAX_BYTES, "the array X claims {bytes} bytes, expected at most {MAX_BYTES}");
    let fits = data.kind == MI_UINT8 && u64::from(data.length) == bytes;
    ensure!(fits, "the array X has {data}, expected {bytes} of the type 2 (bytes)");
    check_claim(bytes, length)?;
    // All at once: a vector that grew would be copied, and be twice as large for a while.
    let mut pixels = Vec::new();
    let room = usize::try_from(bytes).ok().and_then(|bytes| pixels.try_reserve_exact(bytes).ok());
    room.with_context(|| format!("there is no memory for the {bytes} bytes of the array X"))?;
    for image in 0..count {
        let columns: [u8; 3072] =
            read_bytes(source).with_context(|| format!("in image {image} of the {count} in X"))?;
        // Column-major: the row runs fastest, then the column, then the channel.
        let (height, width) = (SHAPE.height, SHAPE.width);
        for k in 0..height * width {
            let (y, x) = (k / width, k % width);
            pixels.extend((0..3).map(|c| columns[(c * width + x) * height + y]));
        }
    }
    skip_padding(source, data)?;
    Ok(pixels)
}

fn read_labels(source: &mut impl Read, dims: &[u32], data: &Tag) -> Result<Vec<u8>> {
    let (&[count, 1] | &[1, count]) = dims else { bail!("the array y has the sizes {dims:?}, expected [n, 1]") };
    let count = u64::from(count);
    ensure!((1..=MAX_COUNT).contains(&count), "the array y claims {count} labels, expected 1 to {MAX_COUNT}");
    // An array of doubles is stored as bytes if they can hold its values.
    let size = match data.kind {
        MI_UINT8 => 1,
        MI_DOUBLE => 8,
        _ => bail!("the array y has {data}, expected the type 2 (bytes) or 9 (doubles)"),
    };
    ensure!(u64::from(data.length) == count * size, "the array y has {data}, expected {} bytes", count * size);
    let inside = data.small.unwrap_or_default();
    let mut labels = Vec::new();
    let source: &mut dyn Read = if data.small.is_some() { &mut &inside[..] } else { source };
    for k in 0..count {
        let place = || format!("in label {k} of the {count} in y");
        let label = if size == 1 {
            f64::from(read_bytes::<1>(source).with_context(place)?[0])
        } else {
            f64::from_le_bytes(read_bytes(source).with_context(place)?)
        };
        ensure!((1.0..=10.0).contains(&label) && label.fract() == 0.0, "label {k} is {label}, expected 1 to 10");
        labels.push(label as u8 % 10);
    }
    skip_padding(source, data)?;
    Ok(labels)
}

/// What stands before the data of an element.
struct Tag {
    kind: u32,
    /// Bytes of data.
    length: u32,
    /// The data of a small element, which is inside its tag.
    small: Option<[u8; 4]>,
}

impl Tag {
    /// The next tag; `None` at the end.
    fn read(source: &mut impl Read) -> Result<Option<Tag>> {
        let mut bytes = Vec::with_capacity(8);
        source.take(8).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let found = bytes.len();
        let Ok([a, b, c, d, rest @ ..]) = <[u8; 8]>::try_from(bytes) else {
            bail!("truncated: found {found} bytes of a tag, expected 8");
        };
        let first = u32::from_le_bytes([a, b, c, d]);
        // A small element has its length, at most 4, in the upper half of the first number.
        if first >> 16 == 0 {
            return Ok(Some(Tag { kind: first, length: u32::from_le_bytes(rest), small: None }));
        }
        let (kind, length) = (first & 0xffff, first >> 16);
        ensure!(length <= 4, "a small element claims {length} bytes, expected at most 4");
        Ok(Some(Tag { kind, length, small: Some(rest) }))
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of the type {}", self.length, self.kind)
    }
}

/// The data of an element that describes an array: at most 64 bytes.
fn read_small(source: &mut impl Read, kind: u32, what: &str) -> Result<Vec<u8>> {
    let tag = Tag::read(source)?.with_context(|| format!("truncated: found the end, expected {what}"))?;
    ensure!(tag.kind == kind, "found an element of the type {}, expected {kind}: {what}", tag.kind);
    ensure!(tag.length <= 64, "found {} bytes, expected at most 64: {what}", tag.length);
    if let Some(small) = tag.small {
        return Ok(small[..tag.length as usize].to_vec());
    }
    let mut bytes = Vec::new();
    source.take(u64::from(tag.length)).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() == tag.length as usize,
        "truncated: found {} bytes of {what}, expected {}",
        bytes.len(),
        tag.length
    );
    skip_padding(source, &tag)?;
    Ok(bytes)
}

/// Every element but a small one ends at a multiple of 8 bytes.
fn skip_padding(source: &mut (impl Read + ?Sized), tag: &Tag) -> Result<()> {
    if tag.small.is_none() {
        let padding = u64::from(tag.length).next_multiple_of(8) - u64::from(tag.length);
        source.take(padding).read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// Exactly `N` bytes.
fn read_bytes<const N: usize>(source: &mut (impl Read + ?Sized)) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut found = 0;
    while found < N {
        match source.read(&mut bytes[found..]) {
            Ok(0) => bail!("truncated: found {found} bytes, expected {N}"),
            Ok(n) => found += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
