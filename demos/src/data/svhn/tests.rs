use super::*;
use crate::data::Dataset;
use flate2::{Compression, write::ZlibEncoder};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write;

/// An element: tag, data, padding.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut all: Vec<u8> = [kind, data.len() as u32].iter().flat_map(|n| n.to_le_bytes()).collect();
    all.extend_from_slice(data);
    all.resize(all.len().next_multiple_of(8), 0);
    all
}

/// A small element: at most four bytes of data inside the tag.
fn small(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut all: Vec<u8> = [kind, data.len() as u16].iter().flat_map(|n| n.to_le_bytes()).collect();
    all.extend_from_slice(data);
    all.resize(8, 0);
    all
}

fn array(name: &str, dims: &[i32], data: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| d.to_le_bytes()).collect();
    let flags = element(MI_UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]);
    let parts = [flags, element(MI_INT32, &dims), small(1, name.as_bytes()), data.to_vec()];
    element(MI_MATRIX, &parts.concat())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    let data = encoder.finish().unwrap();
    // A compressed element has no padding.
    [&MI_COMPRESSED.to_le_bytes()[..], &(data.len() as u32).to_le_bytes(), &data].concat()
}

fn header() -> Vec<u8> {
    let mut header = vec![b' '; 124];
    header.extend([0, 1, b'I', b'M']);
    header
}

fn file(variables: &[Vec<u8>]) -> Vec<u8> {
    [header(), variables.concat()].concat()
}

/// `X` of n images: the byte of row y, column x, channel c in image i is y + 32c + 3x·i (mod 256).
fn images(n: usize) -> Vec<u8> {
    let at = |k: usize| {
        let (y, x, c, i) = (k % 32, k / 32 % 32, k / 1024 % 3, k / 3072);
        (y + 32 * c + 3 * x * i) as u8
    };
    let data: Vec<u8> = (0..n * 3072).map(at).collect();
    array("X", &[32, 32, 3, n as i32], &element(MI_UINT8, &data))
}

fn labels(labels: &[u8]) -> Vec<u8> {
    array("y", &[labels.len() as i32, 1], &element(MI_UINT8, labels))
}

fn read(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    read_stream(bytes, bytes.len() as u64, &ProgressBar::hidden())
}

#[track_caller]
fn refuses(bytes: &[u8], says: &str) {
    let message = format!("{:#}", read(bytes).unwrap_err());
    assert!(message.contains(says), "“{says}” is not in: {message}");
}

#[test]
fn a_directory_reads_as_a_set() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("{:#}", read_svhn(dir.path(), Split::Test).unwrap_err());
    assert!(missing.contains("found no test_32x32.mat in it; it is empty"), "{missing}");
    std::fs::write(dir.path().join("test_32x32.mat"), file(&[zlib(&images(2)), zlib(&labels(&[10, 3]))])).unwrap();
    let set = read_svhn(dir.path(), Split::Test).unwrap();
    assert_eq!((set.size(), set.classes(), set.labels()), (Some(2), 10, &[0, 3][..]));
    let mut pixels = vec![0; 3072];
    set.image(1, &mut pixels);
    // Row 4, column 7: 4 + 21, and 32 more for each channel.
    assert_eq!(pixels[3 * (4 * 32 + 7)..][..3], [25, 57, 89]);
    std::fs::write(dir.path().join("train_32x32.mat"), &file(&[zlib(&images(2))])[..300]).unwrap();
    let cut = format!("{:#}", read_svhn(dir.path(), Split::Train).unwrap_err());
    assert!(cut.contains("train_32x32.mat: not a good file of SVHN"), "{cut}");
}

#[test]
fn every_way_of_storing_reads_the_same() {
    let expected = read(&file(&[images(3), labels(&[1, 2, 10])])).unwrap();
    assert_eq!(expected.1, [1, 2, 0]);
    let doubles: Vec<u8> = [1f64, 2.0, 10.0].iter().flat_map(|y| y.to_le_bytes()).collect();
    let doubles = array("y", &[3, 1], &element(MI_DOUBLE, &doubles));
    let tiny = array("y", &[1, 3], &small(2, &[1, 2, 10]));
    let other = array("z", &[1], &element(MI_DOUBLE, &[0; 8]));
    for variables in [
        [zlib(&images(3)), zlib(&labels(&[1, 2, 10]))].concat(),
        [labels(&[1, 2, 10]), zlib(&images(3))].concat(),
        [images(3), doubles.clone()].concat(),
        [images(3), zlib(&tiny)].concat(),
        [zlib(&other), other, images(3), tiny, vec![1, 2, 3]].concat(),
    ] {
        assert_eq!(read(&file(&[variables])).unwrap(), expected);
    }
}

#[test]
fn other_formats_are_refused() {
    let good = file(&[images(1), labels(&[1])]);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    refuses(&changed(125, 2), "found the version [00, 02], expected 00 01");
    refuses(&changed(126, b'M'), "expected 49 4d: little-endian");
    refuses(&changed(128, 7), "found a variable of the type 7");
    refuses(b"", "in the header: truncated: found 0 bytes, expected 128");
    refuses(&header(), "ends without the array X");
    refuses(&file(&[images(1)]), "ends without the array y");
    refuses(&file(&[zlib(&element(MI_INT8, b"text"))]), "compressed element of the type 1, expected an array");
}

#[test]
fn arrays_of_other_sizes_or_types_are_refused() {
    let x = |dims: &[i32], data: Vec<u8>| file(&[array("X", dims, &data)]);
    refuses(&x(&[32, 32, 1, 1], element(MI_UINT8, &[0; 1024])), "sizes [32, 32, 1, 1], expected [32, 32, 3, n]");
    refuses(&x(&[32, 32, 3], element(MI_UINT8, &[0; 3072])), "sizes [32, 32, 3]");
    refuses(&x(&[32, 32, 3, 0], element(MI_UINT8, &[])), "claims 0 images, expected 1 to 1000000");
    refuses(&x(&[32, 32, 3, -1], element(MI_UINT8, &[])), "claims 4294967295 images");
    refuses(
        &x(&[32, 32, 3, 1], element(MI_DOUBLE, &[0; 3072])),
        "3072 bytes of the type 9, expected 3072 of the type 2",
    );
    refuses(&x(&[32, 32, 3, 2], element(MI_UINT8, &[0; 3072])), "3072 bytes of the type 2, expected 6144");
    let y = |dims: &[i32], data: Vec<u8>| file(&[images(1), array("y", dims, &data)]);
    refuses(&y(&[1, 1], element(MI_UINT8, &[11])), "label 0 is 11, expected 1 to 10");
    refuses(&y(&[1, 1], element(MI_UINT8, &[0])), "label 0 is 0");
    refuses(&y(&[1, 1], element(MI_DOUBLE, &1.5f64.to_le_bytes())), "label 0 is 1.5");
    refuses(&y(&[1, 1], element(MI_DOUBLE, &f64::NAN.to_le_bytes())), "label 0 is NaN");
    refuses(&y(&[2, 1], element(MI_UINT8, &[1, 2])), "found 2 labels in y, expected 1");
    refuses(&y(&[2, 2], element(MI_UINT8, &[1; 4])), "the array y has the sizes [2, 2]");
    refuses(&y(&[1, 1], element(MI_INT32, &[1, 0, 0, 0])), "4 bytes of the type 5, expected the type 2");
    refuses(&y(&[9, 1], element(MI_UINT8, &[1])), "1 bytes of the type 2, expected 9");
    let mut complex = images(1);
    complex[17] = 0x08;
    refuses(&file(&[complex]), "the array X is complex");
}

#[test]
fn truncated_files_say_so() {
    let variables = [images(2), labels(&[1, 2, 3, 4, 5])];
    let plain = file(&variables);
    for length in (0..plain.len() - 8).step_by(61).chain([128, 130, 136, 140]) {
        assert!(read(&plain[..length]).is_err(), "{length} of {} bytes", plain.len());
    }
    refuses(&plain[..plain.len() - 100 - 3072], "in image 0 of the 2 in X: truncated");
    let packed = file(&[zlib(&variables[0]), zlib(&variables[1])]);
    for length in 0..packed.len() {
        assert!(read(&packed[..length]).is_err(), "{length} of {} bytes", packed.len());
    }
}

#[test]
fn damage_under_compression_is_noticed() {
    let mut variable = zlib(&images(1));
    let last = variable.len() - 1;
    variable[last] ^= 1; // the checksum
    assert!(read(&file(&[variable, labels(&[1])])).is_err());
}

#[test]
fn claims_and_bombs_cost_nothing() {
    // A million images claimed, none there.
    let tag: Vec<u8> = [MI_UINT8, 3_072_000_000].iter().flat_map(|n| n.to_le_bytes()).collect();
    let claim = array("X", &[32, 32, 3, 1_000_000], &tag);
    refuses(&file(&[claim]), "claims 3072000000 bytes, expected at most 67128064 from a file of 192 bytes");
    let tag: Vec<u8> = [MI_UINT8, 20_000 * 3072].iter().flat_map(|n| n.to_le_bytes()).collect();
    let claim = array("X", &[32, 32, 3, 20_000], &tag);
    refuses(&file(&[claim]), "in image 0 of the 20000 in X: truncated: found 0 bytes");
    // 64 MiB of zeros in 64 KiB, behind a good array and as the data of another.
    let bomb = zlib(&[images(1), vec![0; 64 << 20]].concat());
    assert!(bomb.len() < 100 << 10);
    refuses(&file(&[bomb]), "found more in a compressed element than its array");
    let bomb = zlib(&array("z", &[64 << 20], &element(MI_UINT8, &vec![0; 64 << 20])));
    assert!(read(&file(&[bomb, images(1), labels(&[4])])).is_ok(), "what is not asked for is not unpacked");
    // A name of 4 GiB.
    let name =
        [element(MI_UINT32, &[0; 8]), element(MI_INT32, &[1; 16]), vec![1, 0, 0, 0, 255, 255, 255, 255]].concat();
    refuses(&file(&[element(MI_MATRIX, &name)]), "found 4294967295 bytes, expected at most 64: the name");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), cut in 0..200usize, packed: bool) {
        // A good beginning, to come further.
        let start = &images(1)[..cut.min(72)];
        let variable = [start, &bytes].concat();
        let _ = read(&file(&[if packed { zlib(&variable) } else { variable }]));
    }

    #[test]
    fn a_changed_byte_never_panics(at in 128..3500usize, byte: u8) {
        let mut bytes = file(&[images(1), labels(&[1, 2])]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
