//! A grid of images, as GAN papers show their samples.

use super::{Raster, write_png};
use crate::data::ImageShape;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// How a grid is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Images in a row.
    pub columns: usize,
    /// Every pixel becomes a square of this side, at least 1.
    pub scale: usize,
    /// Width of the lines between the images and around them, in pixels of the file.
    pub gap: usize,
}

/// Grey level of the lines between images.
const GAP_LEVEL: u8 = 96;

/// The most pixels in a grid: beyond this no viewer opens it.
const MAX_PIXELS: usize = 1 << 28;

/// Writes images, (n, height, width, channels) in [−1, 1], row by row into a grid in the PNG file `path`, with the
/// (keyword, text) pairs of `text` as its metadata. Values outside the range are clamped; one that is not a number is
/// drawn black. An unfinished last row is filled up with the grey of the lines.
///
/// # Errors
/// Names the path and the fault: channels other than 1 or 3, no image or part of one, zero columns or scale, a picture
/// of more than 2²⁸ pixels, a keyword that PNG does not allow, a failed write. An existing file is then left as it was.
pub fn write_grid(path: &Path, images: &[f32], shape: ImageShape, grid: Grid, text: &[(&str, &str)]) -> Result<()> {
    let picture = draw(images, shape, grid).with_context(|| format!("{}: cannot draw the grid", path.display()))?;
    write_png(path, &picture, text)
}

fn draw(images: &[f32], shape: ImageShape, grid: Grid) -> Result<Raster> {
    let ImageShape { channels, height, width } = shape;
    ensure!(channels == 1 || channels == 3, "found {channels} channels, expected 1 or 3");
    ensure!(grid.columns > 0 && grid.scale > 0, "found {grid:?}, expected at least one column and a scale of 1");
    let numel = shape.numel();
    ensure!(
        numel > 0 && !images.is_empty() && images.len().is_multiple_of(numel),
        "found {} numbers, expected a whole number of images of {shape}",
        images.len()
    );
    let count = images.len() / numel;
    let columns = grid.columns.min(count);
    let side = |tiles: usize, pixels: usize| -> Option<usize> {
        let tile = pixels.checked_mul(grid.scale)?.checked_add(grid.gap)?;
        tiles.checked_mul(tile)?.checked_add(grid.gap)
    };
    let total = side(columns, width).zip(side(count.div_ceil(columns), height));
    let (full_width, full_height) = total
        .filter(|(w, h)| w.checked_mul(*h).is_some_and(|p| p <= MAX_PIXELS))
        .with_context(|| format!("{count} images of {shape} as {grid:?} are more than {MAX_PIXELS} pixels"))?;
    let mut pixels = vec![GAP_LEVEL; full_width * full_height * channels];
    for (i, image) in images.chunks_exact(numel).enumerate() {
        let left = grid.gap + i % columns * (width * grid.scale + grid.gap);
        let top = grid.gap + i / columns * (height * grid.scale + grid.gap);
        for y in 0..height * grid.scale {
            let source = &image[y / grid.scale * width * channels..][..width * channels];
            let target = &mut pixels[((top + y) * full_width + left) * channels..];
            for (x, pixel) in target.chunks_exact_mut(channels).take(width * grid.scale).enumerate() {
                for (byte, &value) in pixel.iter_mut().zip(&source[x / grid.scale * channels..]) {
                    *byte = to_byte(value);
                }
            }
        }
    }
    Ok(Raster { width: full_width, height: full_height, channels, pixels })
}

/// The inverse of x / 127.5 − 1, to the nearest byte. The cast saturates and takes what is not a number to 0.
pub(super) fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: ImageShape = ImageShape { channels: 3, height: 1, width: 2 };

    #[test]
    fn bytes_survive_the_way_to_numbers_and_back() {
        for byte in 0..=255 {
            assert_eq!(to_byte(f32::from(byte) / 127.5 - 1.0), byte);
        }
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1, -1.1].map(to_byte);
        assert_eq!(odd, [0, 255, 0, 255, 0]);
    }

    #[test]
    fn a_file_holds_the_grid_and_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        let images: Vec<f32> = (0..18).map(|b| b as f32 / 127.5 - 1.0).collect();
        let grid = Grid { columns: 2, scale: 2, gap: 1 };
        // The second write replaces the first file.
        write_grid(&path, &images[..6], COLOUR, grid, &[]).unwrap();
        write_grid(&path, &images, COLOUR, grid, &[("Step", "100, σ")]).unwrap();
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(reader.info().size(), (11, 7));
        let text = &reader.info().utf8_text[0];
        assert_eq!((text.keyword.as_str(), text.get_text().unwrap().as_str()), ("Step", "100, σ"));
        let pixel = |x: usize, y: usize| &pixels[(y * 11 + x) * 3..][..3];
        assert_eq!(pixel(0, 0), [GAP_LEVEL; 3]);
        assert_eq!([pixel(1, 1), pixel(2, 2)], [[0, 1, 2]; 2]);
        assert_eq!(pixel(9, 2), [9, 10, 11]);
        assert_eq!(pixel(3, 5), [15, 16, 17]);
        assert_eq!(pixel(6, 5), [GAP_LEVEL; 3], "the place of the fourth image stays empty");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn faults_are_named_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid { columns: 8, scale: 1, gap: 1 };
        let fault = |path: &str, images: &[f32], shape, grid, text: &[(&str, &str)]| {
            let path = dir.path().join(path);
            let message = format!("{:#}", write_grid(&path, images, shape, grid, text).unwrap_err());
            assert!(message.starts_with(path.to_str().unwrap()), "{message}");
            message
        };
        let two = ImageShape { channels: 2, ..COLOUR };
        assert!(fault("a", &[0.0; 4], two, grid, &[]).contains("found 2 channels"));
        assert!(fault("a", &[0.0; 7], COLOUR, grid, &[]).contains("found 7 numbers"));
        assert!(fault("a", &[], COLOUR, grid, &[]).contains("found 0 numbers"));
        assert!(fault("a", &[0.0; 6], COLOUR, Grid { scale: 0, ..grid }, &[]).contains("scale: 0"));
        for huge in [1 << 20, usize::MAX] {
            assert!(fault("a", &[0.0; 6], COLOUR, Grid { scale: huge, ..grid }, &[]).contains("pixels"));
        }
        fault("a", &[0.0; 6], COLOUR, grid, &[("", "empty keyword")]);
        fault("no/such/dir", &[0.0; 6], COLOUR, grid, &[]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
