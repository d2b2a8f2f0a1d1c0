//! Pictures of what training does: grids of images, curves of losses, spectra of weights, maps of attention, charts,
//! the plane of the toys, as PNG files.

mod animation;
mod attention;
mod canvas;
mod chart;
mod curves;
mod grid;
mod median;
mod plane;
mod reduce;
mod spectra;

pub use animation::write_animation;
pub use attention::{AttentionMap, attention_png, write_attention, write_attention_of};
pub use chart::{Chart, Line, Mark, write_charts};
pub use curves::{Curves, write_curves};
pub use grid::{Grid, MOST_CLASSES, Sheet, to_byte, write_grid};
pub use median::median_filtered;
pub use plane::{Plane, draw_plane, write_plane};
pub use reduce::Series;
pub use spectra::{Panel, Spectrum, write_spectra};

use crate::files::{open, write_whole};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// A picture in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// (height, width, channels), row by row.
    pub pixels: Vec<u8>,
}

/// The most bytes that a picture read from a file may have in memory: those of the largest grid, in colour.
const MAX_BYTES: usize = 3 << 28;

/// Reads a PNG file of one or three channels of eight bits, as [`write_grid`] writes them.
///
/// # Errors
/// Names the path: the file is missing, damaged, too large, or of another kind.
pub fn read_png(path: &Path) -> Result<Raster> {
    let read = || -> Result<Raster> {
        let file = std::io::BufReader::new(open(path)?);
        let mut reader = png::Decoder::new(file).read_info()?;
        let kind = reader.output_color_type();
        let channels = match kind {
            (png::ColorType::Grayscale, png::BitDepth::Eight) => 1,
            (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
            _ => anyhow::bail!("found {kind:?}; expected grey or RGB of eight bits"),
        };
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let size = reader.output_buffer_size().filter(|&size| size <= MAX_BYTES);
        let size =
            size.with_context(|| format!("found {width}×{height} pixels; expected at most {MAX_BYTES} bytes"))?;
        let mut pixels = vec![0; size];
        reader.next_frame(&mut pixels)?;
        Ok(Raster { width, height, channels, pixels })
    };
    read().with_context(|| format!("{}: cannot read the picture", path.display()))
}

/// Width and height of a PNG file.
///
/// # Errors
/// Names the path: the file is missing or damaged.
pub fn png_size(path: &Path) -> Result<[usize; 2]> {
    let read = || -> Result<[usize; 2]> {
        let reader = png::Decoder::new(std::io::BufReader::new(open(path)?)).read_info()?;
        Ok([reader.info().width as usize, reader.info().height as usize])
    };
    read().with_context(|| format!("{}: cannot read the picture", path.display()))
}

/// Writes the picture as a PNG file with these (keyword, text) pairs as metadata.
///
/// # Errors
/// Names the path: a picture too large for the format, a keyword that the format does not allow, or a failed write.
fn write_png(path: &Path, picture: &Raster, text: &[(&str, &str)]) -> Result<()> {
    let bytes = encode(picture, text).with_context(|| format!("{}: cannot make a PNG", path.display()))?;
    write_whole(path, &bytes)
}

/// An encoder for pictures of the size and the channels of this one.
fn encoder<'a>(bytes: &'a mut Vec<u8>, picture: &Raster) -> Result<png::Encoder<'static, &'a mut Vec<u8>>> {
    let channels = picture.channels;
    ensure!(channels == 1 || channels == 3, "found {channels} channels, expected 1 or 3");
    let mut encoder = png::Encoder::new(bytes, u32::try_from(picture.width)?, u32::try_from(picture.height)?);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    Ok(encoder)
}

fn encode(picture: &Raster, text: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = encoder(&mut bytes, picture)?;
    for (keyword, value) in text {
        // iTXt holds any UTF-8; the older tEXt is Latin-1 only.
        encoder.add_itxt_chunk(keyword.to_string(), value.to_string())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}
