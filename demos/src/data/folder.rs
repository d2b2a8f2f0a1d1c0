//! Reads any folder of PNG and JPEG files.

use super::files::{MAX_BYTES, directory_name, open_file, progress_bar, require_directory};
use super::{ImageShape, Images, Split, centre_square, resize};
use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

/// The longest file that is read: 256 MiB.
const MAX_FILE: u64 = 256 << 20;
/// The most rows or columns of an image.
const MAX_SIDE: usize = 1 << 14;
/// The most pixels of an image: 67 million.
const MAX_PIXELS: usize = 1 << 26;
/// The most classes, since a label is a byte.
const MAX_CLASSES: usize = 256;

/// Reads every PNG and JPEG file of the directory `dir`, and gives lines for people about files that were left out.
///
/// Each sub-folder is a class, in the order of their names; without sub-folders, all images are of one class. If there are
/// sub-folders `train` and `test`, these are the two halves of the set, laid out so; otherwise there is only the first
/// half. From each image the largest square in its middle is taken, and resized to `size` × `size`; grey images get three
/// equal channels, and transparent ones white behind them. (An orientation that a camera noted in the file is not
/// applied.) Hidden files, and files with other endings than `.png`, `.jpg` and `.jpeg`, are left out.
///
/// # Errors
/// Names the file or directory, what was found and what was expected: a missing directory, no image, images beside
/// sub-folders, a folder without images, more than 256 classes, more than 4 GiB of resized images. Corrupt files are
/// errors too, unless `skip_corrupt`; then they are left out.
///
/// # Panics
/// If `size` is 0.
pub fn read_folder(dir: &Path, split: Split, size: usize, skip_corrupt: bool) -> Result<(Images, Vec<String>)> {
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
    let Listing { classes, files, others } = list(root)?;
    let (pixels, corrupt) = read_all(&files, size, root)?;
    let mut notes = Vec::new();
    if let Some(&first) = corrupt.first().map(|(i, _)| i) {
        ensure!(skip_corrupt, "{}", describe(&files, &corrupt, "; --skip-corrupt leaves such files out"));
        ensure!(
            corrupt.len() < files.len(),
            "{}: found no good image; the first, {}",
            root.display(),
            files[first].path.display()
        );
        notes.push(format!("left out: {}", describe(&files, &corrupt, "")));
    }
    if others > 0 {
        notes.push(format!("{}: left out {others} files that end in neither .png, .jpg nor .jpeg", root.display()));
    }
    let (pixels, labels) = without(pixels, &files, &corrupt, 3 * size * size);
    let shape = ImageShape { channels: 3, height: size, width: size };
    Ok((Images::new(directory_name(dir), shape, pixels, labels).with_class_names(classes), notes))
}

/// An image file and its class.
struct Labelled {
    path: PathBuf,
    label: u8,
}

/// Which files a folder has.
struct Listing {
    /// The names of the classes.
    classes: Vec<String>,
    /// The images, sorted by class and name.
    files: Vec<Labelled>,
    /// How many files are no images.
    others: usize,
}

fn list(root: &Path) -> Result<Listing> {
    let top = entries(root)?;
    if top.folders.is_empty() {
        ensure!(
            !top.images.is_empty(),
            "{}: found no .png, .jpg or .jpeg file in it, and no sub-folder",
            root.display()
        );
        let files = top.images.into_iter().map(|path| Labelled { path, label: 0 }).collect();
        return Ok(Listing { classes: vec!["images".into()], files, others: top.others });
    }
    let (n, beside) = (top.folders.len(), top.images.len());
    ensure!(beside == 0, "{}: found {beside} images beside {n} sub-folders, expected one or the other", root.display());
    ensure!(
        n <= MAX_CLASSES,
        "{}: found {n} sub-folders, expected at most {MAX_CLASSES}, one for a class",
        root.display()
    );
    let mut listing = Listing { classes: Vec::new(), files: Vec::new(), others: top.others };
    for (folder, label) in top.folders.iter().zip(0..=u8::MAX) {
        let inside = entries(folder)?;
        if let Some(deeper) = inside.folders.first() {
            bail!("{}: found a folder in that of a class, expected only images there", deeper.display());
        }
        ensure!(!inside.images.is_empty(), "{}: found no .png, .jpg or .jpeg file in it", folder.display());
        listing.classes.push(directory_name(folder));
        listing.files.extend(inside.images.into_iter().map(|path| Labelled { path, label }));
        listing.others += inside.others;
    }
    Ok(listing)
}

/// What lies directly in a folder, sorted by name, less what is hidden.
#[derive(Default)]
struct Entries {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
    others: usize,
}

fn entries(folder: &Path) -> Result<Entries> {
    let cannot = || format!("{}: cannot read the folder", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        paths.push(entry.with_context(cannot)?.path());
    }
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    let mut found = Entries::default();
    for path in paths {
        let image = path.extension().is_some_and(|e| ["png", "jpg", "jpeg"].iter().any(|i| e.eq_ignore_ascii_case(i)));
        if path.is_dir() {
            found.folders.push(path);
        } else if image {
            found.images.push(path);
        } else {
            found.others += 1;
        }
    }
    Ok(found)
}

/// The files, by their index, that could not be read, and why.
type Corrupt = Vec<(usize, anyhow::Error)>;

/// All images, (n, size, size, 3), those of corrupt files black.
fn read_all(files: &[Labelled], size: usize, root: &Path) -> Result<(Vec<u8>, Corrupt)> {
    let numel = 3 * size * size;
    let total = (files.len() as u64).saturating_mul(numel as u64);
    ensure!(
        total <= MAX_BYTES,
        "{}: found {} images, {total} bytes at --size {size}, expected at most {MAX_BYTES}",
        root.display(),
        files.len()
    );
    let bar = progress_bar(files.len() as u64, "images", format!("reading {}", root.display()));
    let mut pixels = vec![0; files.len() * numel];
    let images = pixels.par_chunks_exact_mut(numel).zip(files).enumerate();
    let corrupt = images.filter_map(|(i, (image, file))| {
        let outcome = read_image(&file.path, size).map(|read| image.copy_from_slice(&read));
        bar.inc(1);
        outcome.err().map(|error| (i, error))
    });
    let corrupt = corrupt.collect();
    Ok((pixels, corrupt))
}

/// The first few corrupt files, and how many more there are.
fn describe(files: &[Labelled], corrupt: &Corrupt, advice: &str) -> String {
    const SHOWN: usize = 5;
    let of = |(i, error): &(usize, anyhow::Error)| format!("{}: {error:#}", files[*i].path.display());
    let shown: Vec<String> = corrupt.iter().take(SHOWN).map(of).collect();
    let more = corrupt.len() - shown.len();
    let more = if more > 0 { format!("; and {more} more corrupt files") } else { String::new() };
    format!("{}{more}{advice}", shown.join("; "))
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

/// The square in the middle of an image file, `size` × `size`, with three channels.
fn read_image(path: &Path, size: usize) -> Result<Vec<u8>> {
    // The path is named by the caller.
    let file = open_file(path).map_err(|error| anyhow!("{}", error.root_cause()))?;
    let length = file.metadata()?.len();
    ensure!(length <= MAX_FILE, "found {length} bytes, expected at most {MAX_FILE}");
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    let (pixels, shape) = decode(&bytes)?;
    let (square, side) = centre_square(&pixels, shape);
    Ok(resize(&square, ImageShape { channels: 3, height: side, width: side }, size, size))
}

/// An image with three channels, and its shape. What a file is, its first bytes say, not its name.
fn decode(bytes: &[u8]) -> Result<(Vec<u8>, ImageShape)> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes).context("not a good PNG file"),
        [0xff, 0xd8, 0xff, ..] => decode_jpeg(bytes).context("not a good JPEG file"),
        _ => bail!("found {:02x?} at the start, expected a PNG or a JPEG file", &bytes[..bytes.len().min(4)]),
    }
}

fn check_size(width: usize, height: usize) -> Result<ImageShape> {
    let sides = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
    let fits = sides && width * height <= MAX_PIXELS;
    ensure!(fits, "found {width}×{height} pixels, expected at most {MAX_SIDE} a side and {MAX_PIXELS} in all");
    Ok(ImageShape { channels: 3, height, width })
}

fn decode_png(bytes: &[u8]) -> Result<(Vec<u8>, ImageShape)> {
    let limits = png::Limits { bytes: 8 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let (width, height) = reader.info().size();
    let shape = check_size(width as usize, height as usize)?;
    let mut buffer = vec![0; reader.output_buffer_size().context("found an impossible size")?];
    let colour = reader.next_frame(&mut buffer)?.color_type;
    reader.finish()?;
    let over_white = |x: u8, alpha: u8| (u32::from(x) * u32::from(alpha) + 255 * u32::from(255 - alpha) + 127) / 255;
    let numel = shape.numel();
    let mut pixels = Vec::with_capacity(numel);
    match colour {
        png::ColorType::Rgb => pixels = buffer,
        png::ColorType::Grayscale => pixels.extend(buffer.iter().flat_map(|&x| [x; 3])),
        png::ColorType::GrayscaleAlpha => {
            pixels.extend(buffer.chunks_exact(2).flat_map(|p| [over_white(p[0], p[1]) as u8; 3]));
        }
        png::ColorType::Rgba => {
            pixels.extend(buffer.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| over_white(p[c], p[3]) as u8)));
        }
        png::ColorType::Indexed => bail!("found a palette that was not expanded"),
    }
    ensure!(pixels.len() >= numel, "found {} bytes of pixels, expected {numel}", pixels.len());
    pixels.truncate(numel);
    Ok((pixels, shape))
}

fn decode_jpeg(bytes: &[u8]) -> Result<(Vec<u8>, ImageShape)> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        // Otherwise a truncated file is an image with a grey rest.
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    // Its errors are no `std::error::Error`.
    decoder.decode_headers().map_err(|error| anyhow!("{error:?}"))?;
    let info = decoder.info().context("found no size")?;
    let shape = check_size(usize::from(info.width), usize::from(info.height))?;
    let pixels = decoder.decode().map_err(|error| anyhow!("{error:?}"))?;
    ensure!(pixels.len() == shape.numel(), "found {} bytes of pixels, expected {}", pixels.len(), shape.numel());
    Ok((pixels, shape))
}

#[cfg(test)]
mod tests;
