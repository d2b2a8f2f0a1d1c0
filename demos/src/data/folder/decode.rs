//! From the bytes of a file to a small square picture, row by row where the format allows it.

use super::budget::Budget;
use super::exif::{orientation, upright};
use super::mend::{Faults, mend};
use crate::data::ImageShape;
use crate::data::resize::Resizer;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

/// The most rows or columns of an image.
const MAX_SIDE: usize = 1 << 14;
/// The most pixels of an image: 67 million.
pub(super) const MAX_PIXELS: usize = 1 << 26;

/// A picture, and what was wrong with its file.
#[derive(Debug)]
pub(super) struct Picture {
    /// `size` × `size` of three bytes.
    pub(super) pixels: Vec<u8>,
    pub(super) faults: Faults,
}

/// The square in the middle of an image, `size` × `size`, with three channels, upright.
///
/// Where an image must be in memory as a whole, its pixels are taken from the budget: all those of a JPEG, whose
/// coefficients may be kept too, and of an interlaced PNG. What a file is, its first bytes say, not its name.
pub(super) fn decode(bytes: Vec<u8>, size: usize, budget: &Budget) -> Result<Picture> {
    match &bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, size, budget).context("not a good PNG file"),
        [0xff, 0xd8, 0xff, ..] => decode_jpeg(&bytes, size, budget).context("not a good JPEG file"),
        _ => bail!("found {:02x?} at the start, expected a PNG or a JPEG file", &bytes[..bytes.len().min(4)]),
    }
}

fn check_size(width: usize, height: usize) -> Result<ImageShape> {
    let sides = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
    let fits = sides && width * height <= MAX_PIXELS;
    ensure!(fits, "found {width}×{height} pixels, expected at most {MAX_SIDE} a side and {MAX_PIXELS} in all");
    Ok(ImageShape { channels: 3, height, width })
}

/// The largest square in the middle of an image whose rows come one by one, as [`centre_square`] takes it, made smaller
/// or larger as they come.
///
/// [`centre_square`]: crate::data::centre_square
struct Square {
    top: usize,
    left: usize,
    side: usize,
    /// Rows that have come.
    rows: usize,
    resizer: Resizer,
}

impl Square {
    fn new(shape: ImageShape, size: usize) -> Self {
        let ImageShape { channels, height, width } = shape;
        let side = height.min(width);
        let resizer = Resizer::new(ImageShape { channels, height: side, width: side }, size, size);
        Square { top: (height - side) / 2, left: (width - side) / 2, side, rows: 0, resizer }
    }

    /// Takes the next row, of three bytes for a pixel.
    fn push(&mut self, row: &[u8]) {
        if (self.top..self.top + self.side).contains(&self.rows) {
            self.resizer.push(&row[3 * self.left..3 * (self.left + self.side)]);
        }
        self.rows += 1;
    }
}

fn decode_png(mut bytes: Vec<u8>, size: usize, budget: &Budget) -> Result<Picture> {
    let faults = mend(&mut bytes)?;
    let mut options = png::DecodeOptions::default();
    // They may be compressed, and are not needed.
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = png::Decoder::new_with_options(Cursor::new(&bytes), options);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let (width, height) = reader.info().size();
    let shape = check_size(width as usize, height as usize)?;
    if let Some(frame) = reader.info().frame_control {
        let found = (frame.width, frame.height);
        ensure!(found == (width, height), "found a first frame of {found:?} pixels, expected {:?}", (width, height));
    }
    let (colour, _) = reader.output_color_type();
    let mut square = Square::new(shape, size);
    let line = reader.output_line_size(width).context("found an impossible size")?;
    let mut rgb = Vec::new();
    if reader.info().interlaced {
        let _share = budget.take(shape.height as u64 * shape.width as u64);
        let mut whole = vec![0; line * shape.height];
        reader.next_frame(&mut whole)?;
        for row in whole.chunks_exact(line) {
            to_rgb(row, colour, &mut rgb)?;
            square.push(&rgb);
        }
    } else {
        let mut row = vec![0; line];
        while reader.read_row(&mut row)?.is_some() {
            to_rgb(&row, colour, &mut rgb)?;
            square.push(&rgb);
        }
    }
    reader.finish()?;
    let orientation = reader.info().exif_metadata.as_ref().map_or(1, |exif| orientation(exif));
    Ok(Picture { pixels: upright(square.resizer.finish(), size, orientation), faults })
}

/// A row of pixels of this kind as red, green and blue, with white behind what is transparent.
fn to_rgb(row: &[u8], colour: png::ColorType, rgb: &mut Vec<u8>) -> Result<()> {
    let over_white = |x: u8, alpha: u8| (u32::from(x) * u32::from(alpha) + 255 * u32::from(255 - alpha) + 127) / 255;
    rgb.clear();
    match colour {
        png::ColorType::Rgb => rgb.extend_from_slice(row),
        png::ColorType::Grayscale => rgb.extend(row.iter().flat_map(|&x| [x; 3])),
        png::ColorType::GrayscaleAlpha => {
            rgb.extend(row.chunks_exact(2).flat_map(|p| [over_white(p[0], p[1]) as u8; 3]));
        }
        png::ColorType::Rgba => {
            rgb.extend(row.chunks_exact(4).flat_map(|p| [0, 1, 2].map(|c| over_white(p[c], p[3]) as u8)));
        }
        png::ColorType::Indexed => bail!("found a palette that was not expanded"),
    }
    Ok(())
}

fn decode_jpeg(bytes: &[u8], size: usize, budget: &Budget) -> Result<Picture> {
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
    let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
    let _share = budget.take(shape.height as u64 * shape.width as u64);
    let pixels = decoder.decode().map_err(|error| anyhow!("{error:?}"))?;
    ensure!(pixels.len() == shape.numel(), "found {} bytes of pixels, expected {}", pixels.len(), shape.numel());
    let mut square = Square::new(shape, size);
    pixels.chunks_exact(3 * shape.width).for_each(|row| square.push(row));
    Ok(Picture { pixels: upright(square.resizer.finish(), size, orientation), faults: Faults::default() })
}

#[cfg(test)]
mod tests;
