use super::*;
use crate::data::Dataset;
use proptest::prelude::*;
use tempfile::TempDir;

/// Records with these labels; byte k of the picture of label l is l + k (mod 256).
fn batch(labels: &[u8]) -> Vec<u8> {
    let record = |&label: &u8| {
        let pixels = (0..3 * PLANE).map(move |k| (k + usize::from(label)) as u8);
        std::iter::once(label).chain(pixels)
    };
    labels.iter().flat_map(record).collect()
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn fault(dir: &Path, split: Split) -> String {
    let message = format!("{:#}", read_cifar(dir, split).unwrap_err());
    assert!(message.starts_with(dir.to_str().unwrap()), "{message}");
    message
}

#[test]
fn planes_become_pixels() {
    let dir = directory(&[("test_batch.bin", &batch(&[3, 9]))]);
    let (set, note) = read_cifar(dir.path(), Split::Test).unwrap();
    assert_eq!(note, None);
    assert_eq!((set.size(), set.classes(), set.labels()), (Some(2), 10, &[3, 9][..]));
    assert_eq!((set.shape(), set.class_name(9)), (SHAPE, "truck".into()));
    let mut pixels = vec![0; 3 * PLANE];
    assert_eq!(set.image(1, &mut pixels), 9);
    // Row 2, column 5 is the byte 69 of each plane.
    let k = 2 * 32 + 5;
    assert_eq!(pixels[3 * k..3 * k + 3], [9 + 69, 9 + 69, 9 + 69]);
    assert_eq!(pixels[3 * 300..3 * 300 + 3], [(9 + 300) as u8; 3]);
}

#[test]
fn channels_are_red_green_blue() {
    let mut bytes = vec![0];
    bytes.extend([10; PLANE].iter().chain(&[20; PLANE]).chain(&[30; PLANE]));
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    parse(&bytes, &mut pixels, &mut labels).unwrap();
    assert!(pixels.chunks_exact(3).all(|p| p == [10, 20, 30]));
}

#[test]
fn batches_follow_each_other_and_missing_ones_are_told() {
    let (one, three) = (batch(&[1, 2]), batch(&[5]));
    let dir = directory(&[("data_batch_3.bin", &three), ("data_batch_1.bin", &one)]);
    let (set, note) = read_cifar(dir.path(), Split::Train).unwrap();
    assert_eq!(set.labels(), [1, 2, 5]);
    let note = note.unwrap();
    assert!(
        note.contains("found 2 of the 5 files, 3 images in all; there is no data_batch_2.bin, data_batch_4.bin"),
        "{note}"
    );
    for i in 1..=5 {
        std::fs::write(dir.path().join(format!("data_batch_{i}.bin")), batch(&[i])).unwrap();
    }
    let (set, note) = read_cifar(dir.path(), Split::Train).unwrap();
    assert_eq!((set.labels(), note), (&[1, 2, 3, 4, 5][..], None));
    // As the archive unpacks.
    let parent = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path(), parent.path().join("cifar-10-batches-bin")).unwrap();
    assert_eq!(read_cifar(parent.path(), Split::Train).unwrap().0.labels(), [1, 2, 3, 4, 5]);
}

#[test]
fn missing_things_are_named() {
    let dir = directory(&[("data_batch_1.bin", &batch(&[1]))]);
    let message = fault(dir.path(), Split::Test);
    assert!(message.contains("none of the files test_batch.bin; it has data_batch_1.bin"), "{message}");
    let empty = directory(&[]);
    let message = fault(empty.path(), Split::Train);
    assert!(message.contains("data_batch_1.bin, data_batch_2.bin") && message.ends_with("it is empty"), "{message}");
    assert!(fault(&empty.path().join("nowhere"), Split::Train).contains("cannot open the data directory"));
    std::fs::create_dir(empty.path().join("test_batch.bin")).unwrap();
    assert!(fault(empty.path(), Split::Test).contains("test_batch.bin: cannot read it: this is not a file"));
}

#[test]
fn damaged_files_say_how() {
    let good = batch(&[1, 2]);
    let mut label = good.clone();
    label[RECORD] = 10;
    let records = "expected a whole number of records of 3073 bytes";
    for (bytes, says) in [
        (&good[..0], records),
        (&good[..RECORD - 1], records),
        (&good[..2 * RECORD - 1], "found 6145 bytes"),
        (&[&good[..], &[0]].concat(), "found 6147 bytes"),
        (&label, "record 1 has the label 10, expected 0 to 9"),
    ] {
        let dir = directory(&[("data_batch_2.bin", bytes)]);
        let message = fault(dir.path(), Split::Train);
        assert!(message.contains("data_batch_2.bin: not a good CIFAR-10 file") && message.contains(says), "{message}");
    }
}

/// A file of three gigabytes, all hole, costs neither the time nor the memory of one.
#[test]
fn a_huge_file_is_not_read() {
    let dir = directory(&[]);
    let file = std::fs::File::create(dir.path().join("test_batch.bin")).unwrap();
    file.set_len(RECORD as u64 * 1_000_000).unwrap();
    let message = fault(dir.path(), Split::Test);
    assert!(message.contains("found 3073000000 bytes, expected at most 307300000"), "{message}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2 * RECORD + 2)) {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        if parse(&bytes, &mut pixels, &mut labels).is_ok() {
            prop_assert_eq!(pixels.len(), labels.len() * 3 * PLANE);
        }
    }
}

#[test]
#[ignore = "needs files of CIFAR-10, in the directory that WENGERT_CIFAR_10 names"]
fn cifar_10_reads_whole() {
    let dir = std::env::var_os("WENGERT_CIFAR_10").expect("WENGERT_CIFAR_10 names no directory");
    let (set, note) = read_cifar(Path::new(&dir), Split::Train).unwrap();
    let n = set.size().unwrap();
    assert!(n.is_multiple_of(10_000) && (note.is_none() == (n == 50_000)), "{n} images, {note:?}");
    let count = |label| set.labels().iter().filter(|&&l| l == label).count() as u64;
    assert!((0..10).all(|label| count(label).abs_diff(n / 10) < n / 100), "classes are about equally frequent");
}
