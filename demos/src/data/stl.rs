//! Reads the binary files of STL-10 (Coates, Ng, Lee 2011, <https://cs.stanford.edu/~acoates/stl10/>).
//!
//! A file of images is a row of 96×96 pictures: the red, the green and the blue plane, each column by column. A file of
//! labels has a byte from 1 to 10 for each.

use super::files::{MAX_BYTES, directory_name, inventory, open_file, progress_bar, require_directory};
use super::{ImageShape, Images, resize};
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Height and width of the pictures in the files.
const SIDE: usize = 96;
/// Bytes of a picture in the files.
const RECORD: usize = 3 * SIDE * SIDE;
/// Pictures that are read, and resized by all threads, at a time: 7 MB.
const CHUNK: usize = 256;
/// The names of the classes, as `class_names.txt` lists them.
const NAMES: [&str; 10] = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// A part of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StlPart {
    /// 5,000 labelled images: `train_X.bin` and `train_y.bin`.
    Train,
    /// 8,000 labelled images: `test_X.bin` and `test_y.bin`.
    Test,
    /// 100,000 images without labels, here all of one class: `unlabeled_X.bin`.
    Unlabelled,
}

/// Reads a part from the directory `dir`, or from `stl10_binary` below it, where the archive puts the files. Images are
/// resized to `size` × `size` while they are read, so that the file, of up to 2.8 GB, is never in memory as a whole.
///
/// # Errors
/// Names the file, what was found and what was expected: a missing directory or file, a length that is no whole number
/// of images, a label beyond 10, another number of labels than of images, more than 4 GiB of resized images.
///
/// # Panics
/// If `size` is 0.
pub fn read_stl(dir: &Path, part: StlPart, size: usize) -> Result<Images> {
    require_directory(dir)?;
    let below = dir.join("stl10_binary");
    let place = if below.is_dir() { &below } else { dir };
    let (images, labels) = match part {
        StlPart::Train => ("train_X.bin", Some("train_y.bin")),
        StlPart::Test => ("test_X.bin", Some("test_y.bin")),
        StlPart::Unlabelled => ("unlabeled_X.bin", None),
    };
    for name in [Some(images), labels].into_iter().flatten() {
        ensure!(place.join(name).exists(), "{}: found no {name} in it; {}", place.display(), inventory(place));
    }
    let path = place.join(images);
    // The small file first: it is soon seen if it is missing.
    let labels = labels.map(|name| read_labels(&place.join(name))).transpose()?;
    let read = |file| read_images(file, size, &path);
    let pixels = read(open_file(&path)?).with_context(|| format!("{}: not a good STL-10 file", path.display()))?;
    let count = pixels.len() / (3 * size * size);
    let shape = ImageShape { channels: 3, height: size, width: size };
    let Some(labels) = labels else {
        return Ok(Images::new(directory_name(dir), shape, pixels, vec![0; count]).with_class_names(["unlabelled"]));
    };
    ensure!(
        labels.len() == count,
        "{}: found {count} images, expected {}, one for each label",
        path.display(),
        labels.len()
    );
    Ok(Images::new(directory_name(dir), shape, pixels, labels).with_class_names(NAMES))
}

fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let read = |file: File| -> Result<Vec<u8>> {
        let length = file.metadata()?.len();
        ensure!((1..=100_000).contains(&length), "found {length} labels, expected 1 to 100000");
        let mut labels = Vec::new();
        file.take(100_000).read_to_end(&mut labels)?;
        for (i, label) in labels.iter_mut().enumerate() {
            ensure!((1..=10).contains(label), "label {i} is {label}, expected 1 to 10");
            *label -= 1;
        }
        Ok(labels)
    };
    read(open_file(path)?).with_context(|| format!("{}: not a good file of labels", path.display()))
}

/// All images, channels last, `size` × `size`.
fn read_images(mut file: File, size: usize, path: &Path) -> Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let whole = length > 0 && length.is_multiple_of(RECORD as u64);
    ensure!(whole, "found {length} bytes, expected a whole number of images of {RECORD} bytes");
    let (count, numel) = (length / RECORD as u64, 3 * size * size);
    let total = count.saturating_mul(numel as u64);
    ensure!(total <= MAX_BYTES, "found {count} images, {total} bytes at --size {size}, expected at most {MAX_BYTES}");
    let bar = progress_bar(count, "images", format!("reading {}", path.display()));
    // A file with a hole is longer than what it costs: the vector grows with what was read.
    let mut pixels = Vec::new();
    let mut chunk = vec![0; CHUNK * RECORD];
    let mut left = count as usize;
    while left > 0 {
        let n = left.min(CHUNK);
        let records = &mut chunk[..n * RECORD];
        file.read_exact(records).with_context(|| format!("after {} of {count} images", count as usize - left))?;
        let start = pixels.len();
        pixels.resize(start + n * numel, 0);
        let images = pixels[start..].par_chunks_exact_mut(numel);
        images
            .zip(records.par_chunks_exact(RECORD))
            .for_each(|(image, record)| image.copy_from_slice(&picture(record, size)));
        left -= n;
        bar.inc(n as u64);
    }
    pixels.shrink_to_fit();
    Ok(pixels)
}

/// A record as an image, channels last, of the size asked for.
fn picture(record: &[u8], size: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(RECORD);
    for k in 0..SIDE * SIDE {
        let (y, x) = (k / SIDE, k % SIDE);
        pixels.extend((0..3).map(|c| record[(c * SIDE + x) * SIDE + y]));
    }
    resize(&pixels, ImageShape { channels: 3, height: SIDE, width: SIDE }, size, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    /// Image i: the pixel of row y and column x is (y, x, i) in red, green, blue.
    fn images(n: usize) -> Vec<u8> {
        let plane =
            move |i: usize, c: usize| (0..SIDE * SIDE).map(move |k| [(k % SIDE) as u8, (k / SIDE) as u8, i as u8][c]);
        (0..n).flat_map(|i| (0..3).flat_map(move |c| plane(i, c))).collect()
    }

    fn write(dir: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(dir.join(name), bytes).unwrap();
    }

    fn fault(dir: &Path, part: StlPart) -> String {
        format!("{:#}", read_stl(dir, part, 48).unwrap_err())
    }

    #[test]
    fn columns_become_rows_and_areas_are_averaged() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "train_X.bin", &images(3));
        write(dir.path(), "train_y.bin", &[1, 10, 4]);
        let set = read_stl(dir.path(), StlPart::Train, 96).unwrap();
        assert_eq!(
            (set.size(), set.classes(), set.labels(), set.class_name(9)),
            (Some(3), 10, &[0, 9, 3][..], "truck".into())
        );
        let mut pixels = vec![0; RECORD];
        set.image(2, &mut pixels);
        assert_eq!(pixels[3 * (5 * SIDE + 70)..][..3], [5, 70, 2]);
        let set = read_stl(dir.path(), StlPart::Train, 48).unwrap();
        set.image(1, &mut pixels[..RECORD / 4]);
        // The mean of 10 and 11, and of 20 and 21, rounded away from zero.
        assert_eq!(pixels[3 * (5 * 48 + 10)..][..3], [11, 21, 1]);
    }

    #[test]
    fn the_unlabelled_part_is_one_class_and_may_lie_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("stl10_binary")).unwrap();
        // More than a chunk.
        write(&dir.path().join("stl10_binary"), "unlabeled_X.bin", &images(CHUNK + 2));
        let set = read_stl(dir.path(), StlPart::Unlabelled, 8).unwrap();
        assert_eq!((set.size(), set.classes(), set.shape().height), (Some(CHUNK as u64 + 2), 1, 8));
        let mut pixels = vec![0; 192];
        for index in [3, CHUNK as u64 + 1] {
            set.image(index, &mut pixels);
            assert_eq!(pixels[2], index as u8, "the blue of image {index}");
        }
    }

    #[test]
    fn damaged_files_say_how() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fault(&dir.path().join("no"), StlPart::Train).contains("no: cannot open the data directory"));
        assert!(fault(dir.path(), StlPart::Train).contains("found no train_X.bin in it; it is empty"));
        assert!(fault(dir.path(), StlPart::Unlabelled).contains("found no unlabeled_X.bin in it; it is empty"));
        write(dir.path(), "test_y.bin", &[1, 2]);
        for (bytes, says) in [
            (images(3), "test_X.bin: found 3 images, expected 2, one for each label"),
            (images(2)[1..].to_vec(), "found 55295 bytes, expected a whole number of images of 27648 bytes"),
            (Vec::new(), "found 0 bytes"),
        ] {
            write(dir.path(), "test_X.bin", &bytes);
            let message = fault(dir.path(), StlPart::Test);
            assert!(message.contains(says), "{message}");
        }
        for (labels, says) in [
            (vec![1, 0], "label 1 is 0, expected 1 to 10"),
            (vec![11], "label 0 is 11"),
            (vec![], "found 0 labels"),
            (vec![1; 100_001], "found 100001 labels, expected 1 to 100000"),
        ] {
            write(dir.path(), "test_y.bin", &labels);
            let message = fault(dir.path(), StlPart::Test);
            assert!(message.contains(says) && message.contains("test_y.bin: not a good file of labels"), "{message}");
        }
    }

    /// A file that has 28 GB, all hole, is refused before it is read.
    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("unlabeled_X.bin")).unwrap();
        if file.set_len(RECORD as u64 * 1_000_000).is_ok() {
            let message = fault(dir.path(), StlPart::Unlabelled);
            assert!(
                message.contains("found 1000000 images, 6912000000 bytes at --size 48, expected at most"),
                "{message}"
            );
        }
    }
}
