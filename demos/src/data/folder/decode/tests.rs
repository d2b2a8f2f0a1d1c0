use super::*;
use crate::data::folder::tests::{jpeg, plain, png};
use proptest::prelude::*;

fn read(bytes: &[u8], size: usize) -> Result<Picture> {
    decode(bytes.to_vec(), size, &Budget::new(MAX_PIXELS as u64))
}

fn decoded(bytes: &[u8], size: usize) -> Vec<u8> {
    read(bytes, size).unwrap().pixels
}

/// Bytes that zlib cannot pack.
fn noise(n: u32) -> Vec<u8> {
    (0..n).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn every_kind_of_png_becomes_three_channels() {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Rgba};
    assert_eq!(decoded(&png(2, 2, Grayscale, &[7, 200, 1, 2]), 2), [[7; 3], [200; 3], [1; 3], [2; 3]].concat());
    assert_eq!(decoded(&png(1, 1, GrayscaleAlpha, &[0, 255]), 1), [0; 3]);
    assert_eq!(decoded(&png(1, 1, GrayscaleAlpha, &[0, 51]), 1), [204; 3]);
    assert_eq!(decoded(&png(1, 1, Rgba, &[255, 0, 100, 0]), 1), [255, 255, 255]);
    assert_eq!(decoded(&png(1, 1, Rgba, &[255, 0, 100, 255]), 1), [255, 0, 100]);
    let mut palette = Vec::new();
    let mut encoder = png::Encoder::new(&mut palette, 9, 9);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
    encoder.write_header().unwrap().write_image_data(&[0b0100_0000, 0b1000_0000].repeat(9)).unwrap();
    let pixels = decoded(&palette, 9);
    assert_eq!((pixels.len(), &pixels[..6], &pixels[24..27]), (243, &[1, 2, 3, 4, 5, 6][..], &[4, 5, 6][..]));
    let mut deep = Vec::new();
    let mut encoder = png::Encoder::new(&mut deep, 1, 1);
    encoder.set_color(Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.write_header().unwrap().write_image_data(&[0x12, 0x34]).unwrap();
    assert_eq!(decoded(&deep, 1), [0x12; 3]);
}

#[test]
fn jpeg_files_become_three_channels() {
    use jpeg_encoder::ColorType::{Luma, Rgb};
    let grey: Vec<u8> = (0..20 * 20).map(|k| (k % 20 * 10) as u8).collect();
    let pixels = decoded(&jpeg(20, 20, Luma, &grey), 20);
    let close = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) < 6);
    assert!(close(&pixels, &grey.iter().flat_map(|&g| [g; 3]).collect::<Vec<_>>()));
    let colour: Vec<u8> = (0..16 * 16).flat_map(|k| [(k / 16 * 15) as u8, (k % 16 * 15) as u8, 128]).collect();
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 100);
    encoder.set_progressive(true);
    encoder.encode(&colour, 16, 16, Rgb).unwrap();
    for bytes in [jpeg(16, 16, Rgb, &colour), progressive] {
        assert!(close(&decoded(&bytes, 16), &colour));
    }
}

/// The rows of a large picture never are in memory together, which must not show.
#[test]
fn rows_make_the_picture_that_the_whole_makes() {
    for (width, height) in [(37, 23), (23, 37), (30, 30), (5, 6)] {
        let whole = noise(3 * width * height);
        let shape = ImageShape { channels: 3, height: height as usize, width: width as usize };
        let (square, side) = crate::data::centre_square(&whole, shape);
        let square_shape = ImageShape { channels: 3, height: side, width: side };
        let file = png(width, height, png::ColorType::Rgb, &whole);
        assert_eq!(decoded(&file, 12), crate::data::resize(&square, square_shape, 12, 12));
    }
}

/// 8×8 grey pixels in the seven passes of Adam7, in which the crate does not write.
#[test]
fn interlaced_files_are_read() {
    let mut file = png(8, 8, png::ColorType::Grayscale, &[0; 64]);
    file[28] = 1;
    let sum = crc(&file[12..29]);
    file[29..33].copy_from_slice(&sum.to_be_bytes());
    // The value of a pixel says its pass. Width and height of the passes: PNG specification, 8.2.
    let passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)];
    let rows = passes.iter().zip(1..).flat_map(|(&(width, height), pass)| {
        std::iter::repeat_n([vec![0], vec![pass; width]].concat(), height).flatten()
    });
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
    std::io::Write::write_all(&mut zlib, &rows.collect::<Vec<u8>>()).unwrap();
    let data = [&b"IDAT"[..], &zlib.finish().unwrap()].concat();
    file.truncate(33);
    file.extend((data.len() as u32 - 4).to_be_bytes());
    file.extend(&data);
    file.extend(crc(&data).to_be_bytes());
    let pixels: Vec<u8> = decoded(&file, 8).chunks(3).map(|pixel| pixel[0]).collect();
    assert_eq!(pixels[..8], [1, 6, 4, 6, 2, 6, 4, 6]);
    assert_eq!(pixels[8..16], [7; 8]);
    assert_eq!(pixels[32..40], [3, 6, 4, 6, 3, 6, 4, 6]);
}

#[test]
fn small_faults_are_mended_and_told() {
    let pixels = noise(3 * 20 * 20);
    let good = png(20, 20, png::ColorType::Rgb, &pixels);
    let fault = |bytes: &[u8]| {
        let picture = read(bytes, 20).unwrap();
        assert_eq!(picture.pixels, pixels);
        (picture.faults.no_end, picture.faults.wrong_checksum)
    };
    assert_eq!(fault(&good), (false, false));
    for cut in 1..=12 {
        assert_eq!(fault(&good[..good.len() - cut]), (true, false), "without the last {cut} bytes");
    }
    assert_eq!(fault(&[&good[..], b"more"].concat()), (false, false));
    let mut wrong = good.clone();
    wrong[good.len() - 13] ^= 1;
    assert_eq!(fault(&wrong), (false, true));
    assert_eq!(fault(&wrong[..good.len() - 12]), (true, true));
    // A text that says another language, and a checksum that is no checksum.
    let text = b"\0\0\0\x04tEXta\0bcnone";
    assert_eq!(fault(&[&good[..33], text, &good[33..]].concat()), (false, true));
}

#[test]
fn damage_to_pixels_is_no_small_fault() {
    let pixels = noise(3 * 20 * 20);
    let good = png(20, 20, png::ColorType::Rgb, &pixels);
    let data = good.windows(4).position(|kind| kind == b"IDAT").unwrap() + 4;
    let mut meaningless = 0;
    for at in data..good.len() - 16 {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        if let Ok(picture) = read(&damaged, 20) {
            assert_eq!(picture.pixels, pixels, "byte {} of the pixels' data", at - data);
            meaningless += 1;
        }
    }
    assert!(meaningless <= 1, "only the bits between the end of the data and zlib's checksum mean nothing");
    // Nor is damage to the header.
    let mut damaged = good;
    damaged[19] ^= 1;
    assert!(read(&damaged, 20).is_err());
}

/// Every beginning of a file is an error, or for JPEG, whose end may be a mere marker, an image.
#[test]
fn truncated_files_are_errors() {
    let noise = noise(3 * 40 * 40);
    let png = png(40, 40, png::ColorType::Rgb, &noise);
    for length in (0..png.len() - 12).step_by(17) {
        assert!(read(&png[..length], 8).is_err(), "{length} of {}", png.len());
    }
    let jpeg = jpeg(40, 40, jpeg_encoder::ColorType::Rgb, &noise);
    for length in (0..jpeg.len() - 200).step_by(17) {
        assert!(read(&jpeg[..length], 8).is_err(), "{length} of {}", jpeg.len());
    }
}

#[test]
fn absurd_sizes_cost_nothing() {
    let mut png = plain(1, 1, [0; 3]);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536 × 65536
    let crc = crc(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let message = format!("{:#}", read(&png, 8).unwrap_err());
    assert!(message.contains("found 65536×65536 pixels, expected at most 16384 a side"), "{message}");
    let mut jpeg = jpeg(8, 8, jpeg_encoder::ColorType::Rgb, &[0; 192]);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]); // 16383 × 16383
    let message = format!("{:#}", read(&jpeg, 8).unwrap_err());
    assert!(message.contains("found 16383×16383 pixels"), "{message}");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0, 8]);
    assert!(read(&jpeg, 8).is_err());
}

/// The checksum of a chunk, bit by bit (PNG specification, annex D).
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { 0xEDB8_8320 ^ crc >> 1 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damaged_files_never_panic(
        kind in 0..3usize,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        keep: u16,
    ) {
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
        if let Ok(picture) = read(&bytes, 5) {
            prop_assert_eq!(picture.pixels.len(), 75);
        }
    }
}
