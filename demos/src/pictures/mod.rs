//! Pictures of what training does: grids of images and curves of losses, as PNG files.

mod curves;
mod grid;
mod median;
mod reduce;

pub use curves::{Curves, Series, write_curves};
pub use grid::{Grid, write_grid};
pub use median::median_filtered;

use crate::run_dir::write_whole;
use anyhow::{Context, Result};
use std::path::Path;

/// A picture in memory: `pixels` is (height, width, channels) with 1 or 3 channels.
struct Raster {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// Writes the picture as a PNG file with these (keyword, text) pairs as metadata.
///
/// # Errors
/// Names the path: a picture too large for the format, a keyword that the format does not allow, or a failed write.
fn write_png(path: &Path, picture: &Raster, text: &[(&str, &str)]) -> Result<()> {
    let bytes = encode(picture, text).with_context(|| format!("{}: cannot make a PNG", path.display()))?;
    write_whole(path, &bytes)
}

fn encode(picture: &Raster, text: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(picture.width)?, u32::try_from(picture.height)?);
    encoder.set_color(if picture.channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, value) in text {
        // iTXt holds any UTF-8; the older tEXt is Latin-1 only.
        encoder.add_itxt_chunk(keyword.to_string(), value.to_string())?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}
