use super::*;
use crate::data::Dataset;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;
use tempfile::TempDir;

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

fn file(header: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut all: Vec<u8> = header.iter().flat_map(|n| n.to_be_bytes()).collect();
    all.extend_from_slice(bytes);
    all
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two images of 2×3 pixels.
fn good_images() -> Vec<u8> {
    file(&[0x803, 2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
}

fn good_labels() -> Vec<u8> {
    file(&[0x801, 2], &[3, 9])
}

fn directory(images: (&str, &[u8]), labels: (&str, &[u8])) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [images, labels] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// The message about a directory with these two files, which must name the directory.
fn fault(images: &[u8], labels: &[u8]) -> String {
    let dir = directory((IMAGES, images), (LABELS, labels));
    fault_of(dir.path())
}

fn fault_of(dir: &Path) -> String {
    let message = format!("{:#}", read_idx(dir, "MNIST", Split::Train).unwrap_err());
    assert!(message.starts_with(dir.to_str().unwrap()), "{message}");
    message
}

/// The message about an image file, beside good labels; it must name that file.
fn image_fault(images: &[u8]) -> String {
    let message = fault(images, &good_labels());
    assert!(message.contains(IMAGES), "{message}");
    message
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "“{part}” is not in: {message}");
    }
}

#[test]
fn plain_and_compressed_files_read_the_same() {
    let plain = directory((IMAGES, &good_images()), (LABELS, &good_labels()));
    let gz = format!("{IMAGES}.gz");
    let mixed = directory((&gz, &gzip(&good_images())), (LABELS, &gzip(&good_labels())));
    for dir in [&plain, &mixed] {
        let set = read_idx(dir.path(), "MNIST", Split::Train).unwrap();
        assert_eq!(set.shape(), ImageShape { channels: 1, height: 2, width: 3 });
        assert_eq!((set.size(), set.classes(), set.labels()), (Some(2), 10, &[3, 9][..]));
        assert_eq!(set.name(), dir.path().file_name().unwrap().to_str().unwrap());
        let mut pixels = [0; 6];
        assert_eq!(set.image(1, &mut pixels), 9);
        assert_eq!(pixels, [7, 8, 9, 10, 11, 12]);
    }
}

#[test]
fn images_of_28_by_28_are_padded() {
    let dir = directory((IMAGES, &file(&[0x803, 1, 28, 28], &[255; 784])), (LABELS, &file(&[0x801, 1], &[0])));
    let set = read_idx(dir.path(), "MNIST", Split::Train).unwrap();
    let (mut image, mut label) = ([0.0; 1024], [9]);
    set.batch(&[0], &mut image, &mut label);
    assert_eq!((label, image[1], image[65], image[66], image[1023]), ([0], -1.0, -1.0, 1.0, -1.0));
    assert_eq!(image.iter().filter(|&&x| x == 1.0).count(), 784);
}

#[test]
fn missing_things_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_says(&fault_of(&dir.path().join("nowhere")), &["nowhere", "cannot open the data directory"]);
    assert_says(&fault_of(dir.path()), &["neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"]);
    std::fs::write(dir.path().join(IMAGES), good_images()).unwrap();
    assert_says(&fault_of(dir.path()), &["neither train-labels-idx1-ubyte nor"]);
    assert_says(&fault_of(&dir.path().join(IMAGES)), &["found a file, expected a directory"]);
    std::fs::create_dir(dir.path().join(LABELS)).unwrap();
    assert_says(&fault_of(dir.path()), &[LABELS, "this is not a file"]);
    let message = format!("{:#}", read_idx(dir.path(), "MNIST", Split::Test).unwrap_err());
    assert_says(&message, &["neither t10k-images-idx3-ubyte nor"]);
}

#[test]
fn files_are_found_where_programs_put_them() {
    let gz = gzip(&good_images());
    for (folder, mark, end) in [
        ("", "-", ""),
        ("", ".", ""),
        ("", ".", ".gz"),
        ("MNIST/raw", "-", ""),
        ("MNIST/raw", "-", ".gz"),
        ("raw", ".", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(folder);
        std::fs::create_dir_all(&place).unwrap();
        let images = if end.is_empty() { good_images() } else { gz.clone() };
        std::fs::write(place.join(format!("train-images{mark}idx3-ubyte{end}")), images).unwrap();
        std::fs::write(place.join("train-labels.idx1-ubyte"), good_labels()).unwrap();
        let set = read_idx(dir.path(), "MNIST", Split::Train).unwrap();
        assert_eq!(set.labels(), [3, 9], "{folder}, {mark}, {end}");
        if folder == "MNIST/raw" {
            let message = format!("{:#}", read_idx(dir.path(), "FashionMNIST", Split::Train).unwrap_err());
            assert_says(&message, &["neither train-images-idx3-ubyte", "nor in ", "FashionMNIST/raw", "it has MNIST"]);
        }
    }
    // An archive that has a folder for each file, and beside it the file.
    let dir = directory(("train-images.idx3-ubyte", &good_images()), (LABELS, &good_labels()));
    std::fs::create_dir(dir.path().join(IMAGES)).unwrap();
    assert_eq!(read_idx(dir.path(), "MNIST", Split::Train).unwrap().labels(), [3, 9]);
}

#[test]
fn truncated_files_say_where() {
    let good = good_images();
    for (length, says) in [
        (0, "found 0 bytes where the magic number should be, expected 4"),
        (1, "found 1 bytes where the magic number"),
        (3, "found 3 bytes where the magic number"),
        (6, "found 2 bytes where count should be"),
        (15, "found 3 bytes where columns should be"),
        (16, "found 0 bytes after the header, expected 12"),
        (27, "found 11 bytes after the header, expected 12"),
    ] {
        assert_says(&image_fault(&good[..length]), &["truncated", says]);
        assert_says(&image_fault(&gzip(&good[..length])), &["gzip", "truncated", says]);
    }
    let labels = fault(&good, &good_labels()[..9]);
    assert_says(&labels, &[LABELS, "found 1 bytes after the header, expected 2"]);
}

#[test]
fn damaged_gzip_files_say_so() {
    let whole = gzip(&good_images());
    for length in 2..whole.len() {
        assert_says(&image_fault(&whole[..length]), &["in the content of the gzip file"]);
    }
    let mut flipped = whole.clone();
    let checksum = whole.len() - 8;
    flipped[checksum] ^= 1;
    assert_says(&image_fault(&flipped), &["after 12 of 12 bytes"]);
    let mut followed = whole;
    followed.extend_from_slice(b"garbage");
    assert_says(&image_fault(&followed), &["after 12 of 12 bytes"]);
}

#[test]
fn wrong_magic_numbers_are_shown() {
    assert_says(&image_fault(&good_labels()), &["found the magic number 0x00000801, expected 0x00000803"]);
    assert_says(&image_fault(b"<!DOCTYPE html>"), &["found the magic number 0x3c21444f"]);
    assert_says(&fault(&good_images(), &good_images()), &[LABELS, "0x00000803, expected 0x00000801"]);
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut long = good_images();
    long.push(0);
    let says = "found more bytes after the header than the 12 expected for [2, 2, 3]";
    assert_says(&image_fault(&long), &[says]);
    assert_says(&image_fault(&gzip(&long)), &[says]);
    // A second gzip member is more content, not something to overlook.
    let twice = [gzip(&good_images()), gzip(&[0])].concat();
    assert_says(&image_fault(&twice), &[says]);
}

#[test]
fn counts_must_agree() {
    let message = fault(&good_images(), &file(&[0x801, 3], &[0; 3]));
    assert_says(&message, &[LABELS, "found 3 labels, expected 2", IMAGES]);
}

#[test]
fn impossible_sizes_are_refused_before_anything_is_read() {
    for (header, says) in [
        ([0x803, 0, 28, 28], "claims 0 as its count, expected 1 to 1000000"),
        ([0x803, u32::MAX, 28, 28], "claims 4294967295 as its count"),
        ([0x803, 1, 0, 28], "claims 0 as its rows, expected 1 to 256"),
        ([0x803, 1, 28, 257], "claims 257 as its columns"),
        ([0x803, 1_000_000, 256, 256], "65536000000 bytes, expected at most 1073741824"),
        // Possible, but not there: costs no memory.
        ([0x803, 1_000_000, 32, 32], "claims 1024000000 bytes, expected at most 67110464 from a file of 16 bytes"),
        ([0x803, 10_000, 32, 32], "found 0 bytes after the header, expected 10240000"),
    ] {
        assert_says(&image_fault(&file(&header, &[])), &[says]);
    }
}

#[test]
fn a_gzip_bomb_is_read_only_as_far_as_its_header_claims() {
    // 64 MiB of zeros in 64 KiB, behind a header that claims 12 bytes.
    let bomb = gzip(&file(&[0x803, 2, 2, 3], &vec![0; 64 << 20]));
    assert!(bomb.len() < 100 << 10);
    assert_says(&image_fault(&bomb), &["more bytes after the header than the 12 expected"]);
}

#[test]
#[ignore = "needs the files of Fashion-MNIST, in the directory that WENGERT_FASHION_MNIST names"]
fn fashion_mnist_reads_whole() {
    let dir = std::env::var_os("WENGERT_FASHION_MNIST").expect("WENGERT_FASHION_MNIST names no directory");
    for (split, size) in [(Split::Train, 60_000), (Split::Test, 10_000)] {
        let set = read_idx(Path::new(&dir), "FashionMNIST", split).unwrap();
        assert_eq!((set.size(), set.classes()), (Some(size), 10));
        assert_eq!(set.shape(), ImageShape { channels: 1, height: 32, width: 32 });
        let count = |label| set.labels().iter().filter(|&&l| l == label).count() as u64;
        assert!((0..10).all(|label| count(label) == size / 10));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), start in 0..4) {
        // Half of the cases begin as a good file does, to come further.
        let magics: [&[u8]; 4] = [&[], &[0x1f, 0x8b, 8], &[0, 0, 8, 3], &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2]];
        let file = [magics[start as usize], &bytes].concat();
        let _ = read_stream::<3>(&file[..], 64, IMAGES_MAGIC);
        let _ = read_stream::<3>(&gzip(&file)[..], 64, IMAGES_MAGIC);
        let _ = read_stream::<1>(&file[..], 64, LABELS_MAGIC);
    }
}
