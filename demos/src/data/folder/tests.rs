use super::*;
use crate::data::Dataset;
use proptest::prelude::*;
use std::fs::{create_dir, write};
use tempfile::{TempDir, tempdir};

/// A PNG file of these pixels.
fn png(width: u32, height: u32, colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// A PNG file of one colour.
fn plain(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    png(width, height, png::ColorType::Rgb, &colour.repeat((width * height) as usize))
}

fn jpeg(width: u16, height: u16, colour: jpeg_encoder::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 100).encode(pixels, width, height, colour).unwrap();
    bytes
}

/// Two classes: two red squares, and a green and a blue one.
fn two_classes() -> TempDir {
    let dir = tempdir().unwrap();
    for (class, files) in [("b", [("2.png", [0, 255, 0]), ("1.PNG", [0, 0, 255])]), ("a", [("x.png", [255, 0, 0]); 2])]
    {
        create_dir(dir.path().join(class)).unwrap();
        for (name, colour) in files {
            write(dir.path().join(class).join(name), plain(10, 10, colour)).unwrap();
        }
    }
    write(dir.path().join("a/y.jpg"), jpeg(8, 8, jpeg_encoder::ColorType::Rgb, &[255, 0, 0].repeat(64))).unwrap();
    dir
}

#[track_caller]
fn refuses(dir: &Path, says: &[&str]) {
    let message = format!("{:#}", read_folder(dir, Split::Train, 8, false).unwrap_err());
    assert!(message.starts_with(dir.to_str().unwrap()), "{message}");
    for part in says {
        assert!(message.contains(part), "“{part}” is not in: {message}");
    }
}

fn first_pixels(set: &Images) -> Vec<[u8; 3]> {
    let mut pixels = vec![0; set.shape().numel()];
    (0..set.size().unwrap())
        .map(|i| {
            set.image(i, &mut pixels);
            [pixels[0], pixels[1], pixels[2]]
        })
        .collect()
}

#[test]
fn sub_folders_are_classes_in_the_order_of_names() {
    let dir = two_classes();
    write(dir.path().join(".hidden"), "").unwrap();
    write(dir.path().join("b/notes.txt"), "").unwrap();
    let (set, notes) = read_folder(dir.path(), Split::Train, 8, false).unwrap();
    assert_eq!((set.labels(), set.classes()), (&[0, 0, 1, 1][..], 2));
    assert_eq!((set.class_name(0), set.class_name(1)), ("a".into(), "b".into()));
    assert_eq!(set.shape(), ImageShape { channels: 3, height: 8, width: 8 });
    let colours = first_pixels(&set);
    assert_eq!(colours[2..], [[0, 0, 255], [0, 255, 0]], "1.PNG comes before 2.png");
    assert!(colours[1][0] > 250 && colours[1][1] < 5, "JPEG red: {:?}", colours[1]);
    assert!(notes.len() == 1 && notes[0].contains("left out 1 files"), "{notes:?}");
    let (flat, _) = read_folder(&dir.path().join("b"), Split::Train, 8, false).unwrap();
    assert_eq!((flat.labels(), flat.classes()), (&[0, 0][..], 1));
}

#[test]
fn train_and_test_are_the_halves() {
    let dir = two_classes();
    let message = format!("{:#}", read_folder(dir.path(), Split::Test, 8, false).unwrap_err());
    assert!(message.contains("found no sub-folders train and test"), "{message}");
    let halves = tempdir().unwrap();
    create_dir(halves.path().join("test")).unwrap();
    std::fs::rename(dir.path(), halves.path().join("train")).unwrap();
    write(halves.path().join("test/only.png"), plain(9, 9, [1, 2, 3])).unwrap();
    assert_eq!(read_folder(halves.path(), Split::Train, 8, false).unwrap().0.labels(), [0, 0, 1, 1]);
    let (test, _) = read_folder(halves.path(), Split::Test, 8, false).unwrap();
    assert_eq!(first_pixels(&test), [[1, 2, 3]]);
}

#[test]
fn the_middle_square_is_resized() {
    let dir = tempdir().unwrap();
    // 4 columns of 2 pixels: black margins, the two halves of the square in the middle.
    let row: Vec<u8> = [[0; 3], [40, 50, 60], [80, 90, 100], [0; 3]].concat();
    write(dir.path().join("wide.png"), png(4, 2, png::ColorType::Rgb, &row.repeat(2))).unwrap();
    let (set, _) = read_folder(dir.path(), Split::Train, 1, false).unwrap();
    assert_eq!(first_pixels(&set), [[60, 70, 80]]);
}

#[test]
fn every_kind_of_png_becomes_three_channels() {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Rgba};
    let decoded = |bytes: Vec<u8>| decode(&bytes).unwrap().0;
    assert_eq!(decoded(png(2, 1, Grayscale, &[7, 200])), [7, 7, 7, 200, 200, 200]);
    assert_eq!(decoded(png(2, 1, GrayscaleAlpha, &[0, 255, 0, 51])), [0, 0, 0, 204, 204, 204]);
    assert_eq!(decoded(png(1, 1, Rgba, &[255, 0, 100, 0])), [255, 255, 255]);
    assert_eq!(decoded(png(1, 1, Rgba, &[255, 0, 100, 255])), [255, 0, 100]);
    let mut palette = Vec::new();
    let mut encoder = png::Encoder::new(&mut palette, 9, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
    encoder.write_header().unwrap().write_image_data(&[0b0100_0000, 0b1000_0000]).unwrap();
    let pixels = decoded(palette);
    assert_eq!((pixels.len(), &pixels[..6], &pixels[24..]), (27, &[1, 2, 3, 4, 5, 6][..], &[4, 5, 6][..]));
    let mut deep = Vec::new();
    let mut encoder = png::Encoder::new(&mut deep, 1, 1);
    encoder.set_color(Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.write_header().unwrap().write_image_data(&[0x12, 0x34]).unwrap();
    assert_eq!(decoded(deep), [0x12; 3]);
}

#[test]
fn jpeg_files_become_three_channels() {
    use jpeg_encoder::ColorType::{Luma, Rgb};
    let grey: Vec<u8> = (0..20 * 12).map(|k| (k % 20 * 10) as u8).collect();
    let (pixels, shape) = decode(&jpeg(20, 12, Luma, &grey)).unwrap();
    assert_eq!(shape, ImageShape { channels: 3, height: 12, width: 20 });
    let close = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) < 6);
    assert!(close(&pixels, &grey.iter().flat_map(|&g| [g; 3]).collect::<Vec<_>>()));
    let colour: Vec<u8> = (0..16 * 16).flat_map(|k| [(k / 16 * 15) as u8, (k % 16 * 15) as u8, 128]).collect();
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 100);
    encoder.set_progressive(true);
    encoder.encode(&colour, 16, 16, Rgb).unwrap();
    for bytes in [jpeg(16, 16, Rgb, &colour), progressive] {
        assert!(close(&decode(&bytes).unwrap().0, &colour));
    }
}

#[test]
fn corrupt_files_are_named_and_left_out_only_on_request() {
    let dir = two_classes();
    let good = plain(10, 10, [9, 9, 9]);
    write(dir.path().join("a/cut.png"), &good[..good.len() / 2]).unwrap();
    write(dir.path().join("b/0.jpg"), "no picture").unwrap();
    refuses(
        dir.path(),
        &["a/cut.png: not a good PNG file", "b/0.jpg: found [6e, 6f, 20, 70] at the start", "--skip-corrupt"],
    );
    let (set, notes) = read_folder(dir.path(), Split::Train, 8, true).unwrap();
    assert_eq!(set.labels(), [0, 0, 1, 1]);
    assert_eq!(first_pixels(&set)[2..], [[0, 0, 255], [0, 255, 0]]);
    assert!(
        notes[0].contains("a/cut.png") && notes[0].contains("b/0.jpg") && !notes[0].contains("--skip"),
        "{notes:?}"
    );
    let all = tempdir().unwrap();
    for i in 0..8 {
        write(all.path().join(format!("{i}.png")), "").unwrap();
    }
    refuses(all.path(), &["0.png", "4.png", "and 3 more corrupt files"]);
    let message = format!("{:#}", read_folder(all.path(), Split::Train, 8, true).unwrap_err());
    assert!(message.contains("found no good image"), "{message}");
}

#[test]
fn folders_that_make_no_set_are_refused() {
    let dir = two_classes();
    refuses(&dir.path().join("no"), &["cannot open the data directory"]);
    refuses(&dir.path().join("a/x.png"), &["found a file, expected a directory"]);
    create_dir(dir.path().join("c")).unwrap();
    refuses(dir.path(), &["c: found no .png, .jpg or .jpeg file"]);
    create_dir(dir.path().join("c/deeper")).unwrap();
    refuses(dir.path(), &["c/deeper: found a folder in that of a class"]);
    write(dir.path().join("beside.jpg"), "").unwrap();
    refuses(dir.path(), &["found 1 images beside 3 sub-folders"]);
    let empty = tempdir().unwrap();
    refuses(empty.path(), &["found no .png, .jpg or .jpeg file in it, and no sub-folder"]);
    for i in 0..257 {
        create_dir(empty.path().join(i.to_string())).unwrap();
    }
    refuses(empty.path(), &["found 257 sub-folders, expected at most 256"]);
}

/// Every beginning of a file is an error, or for JPEG, whose end may be a mere marker, an image.
#[test]
fn truncated_files_are_errors() {
    let noise: Vec<u8> = (0..3 * 40 * 40).map(|k: u32| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let png = png(40, 40, png::ColorType::Rgb, &noise);
    for length in (0..png.len() - 12).step_by(17) {
        assert!(decode(&png[..length]).is_err(), "{length} of {}", png.len());
    }
    let jpeg = jpeg(40, 40, jpeg_encoder::ColorType::Rgb, &noise);
    for length in (0..jpeg.len() - 200).step_by(17) {
        assert!(decode(&jpeg[..length]).is_err(), "{length} of {}", jpeg.len());
    }
}

#[test]
fn absurd_sizes_cost_nothing() {
    let mut png = plain(1, 1, [0; 3]);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536 × 65536
    let crc = crc(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let message = format!("{:#}", decode(&png).unwrap_err());
    assert!(message.contains("found 65536×65536 pixels, expected at most 16384 a side"), "{message}");
    let mut jpeg = jpeg(8, 8, jpeg_encoder::ColorType::Rgb, &[0; 192]);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]); // 16383 × 16383
    let message = format!("{:#}", decode(&jpeg).unwrap_err());
    assert!(message.contains("found 16383×16383 pixels"), "{message}");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0, 8]);
    assert!(decode(&jpeg).is_err());
    let dir = tempdir().unwrap();
    std::fs::File::create(dir.path().join("hole.png")).unwrap().set_len(1 << 40).unwrap();
    refuses(dir.path(), &["hole.png: found 1099511627776 bytes, expected at most 268435456"]);
}

/// The checksum of a chunk, bit by bit (PNG specification, annex D).
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { 0xEDB8_8320 ^ crc >> 1 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damaged_files_never_panic(kind in 0..3usize, changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6), keep: u16) {
        let colour: Vec<u8> = (0..3 * 17 * 11).map(|k| (k * 31 % 256) as u8).collect();
        let mut bytes = match kind {
            0 => png(17, 11, png::ColorType::Rgb, &colour),
            1 => jpeg(17, 11, jpeg_encoder::ColorType::Rgb, &colour),
            _ => {
                let mut progressive = Vec::new();
                let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 90);
                encoder.set_progressive(true);
                encoder.encode(&colour, 17, 11, jpeg_encoder::ColorType::Rgb).unwrap();
                progressive
            }
        };
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().min(usize::from(keep)).max(4));
        if let Ok((pixels, shape)) = decode(&bytes) {
            prop_assert_eq!(pixels.len(), shape.numel());
        }
    }
}
