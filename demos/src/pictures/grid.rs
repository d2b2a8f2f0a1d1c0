//! A grid of images, as GAN papers show their samples.

use super::{Raster, write_png};
use crate::data::ImageShape;
use crate::usage::{available_memory, human_bytes};
use anyhow::{Context, Result, bail, ensure};
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

/// How many times the bytes of a picture are in memory at most: as pixels, and while they become a PNG of noise.
const COPIES: usize = 4;

/// Writes images, (n, height, width, channels) in [−1, 1], row by row into a grid in the PNG file `path`, with the
/// (keyword, text) pairs of `text` as its metadata. For many images, a [`Sheet`] takes them one by one.
///
/// # Errors
/// Names the path and the fault: no image or part of one, and those of [`Sheet`]. An existing file is then left as it
/// was.
pub fn write_grid(path: &Path, images: &[f32], shape: ImageShape, grid: Grid, text: &[(&str, &str)]) -> Result<()> {
    let draw = || -> Result<Sheet> {
        let (found, numel) = (images.len(), shape.numel());
        let whole = numel > 0 && found > 0 && found.is_multiple_of(numel);
        ensure!(whole, "found {found} numbers, expected a whole number of images of {shape}");
        let mut sheet = Sheet::new(shape, grid, found / numel)?;
        images.chunks_exact(numel).enumerate().for_each(|(i, image)| sheet.draw(i, image));
        Ok(sheet)
    };
    draw().with_context(|| format!("{}: cannot draw the grid", path.display()))?.write(path, text)
}

/// A grid in memory, with places for images that are drawn as they come. A place that gets none has the grey of the
/// lines.
#[derive(Clone, Debug)]
pub struct Sheet {
    raster: Raster,
    image: ImageShape,
    grid: Grid,
}

impl Sheet {
    /// An empty sheet with places for `count` images of this shape.
    ///
    /// # Errors
    /// Channels other than 1 or 3, no image, zero columns or scale, a picture of more than 2²⁸ pixels, or one that the
    /// memory of this machine cannot hold.
    pub fn new(image: ImageShape, grid: Grid, count: usize) -> Result<Sheet> {
        let ImageShape { channels, height, width } = image;
        ensure!(channels == 1 || channels == 3, "found {channels} channels, expected 1 or 3");
        ensure!(grid.columns > 0 && grid.scale > 0, "found {grid:?}, expected at least one column and a scale of 1");
        ensure!(count > 0 && image.numel() > 0, "found {count} images of {image}, expected at least one");
        let columns = grid.columns.min(count);
        let side = |tiles: usize, pixels: usize| {
            let tile = pixels.saturating_mul(grid.scale).saturating_add(grid.gap);
            tiles.saturating_mul(tile).saturating_add(grid.gap)
        };
        let (full_width, full_height) = (side(columns, width), side(count.div_ceil(columns), height));
        let pixels = full_width.saturating_mul(full_height);
        let images = format!("{count} images of {height}×{width} make a picture");
        ensure!(
            pixels <= MAX_PIXELS,
            "{images} of {full_width} by {full_height} pixels; expected at most {MAX_PIXELS} pixels in all"
        );
        let bytes = pixels * channels;
        let (need, free) = ((COPIES * bytes) as u64, available_memory());
        if let Some(free) = free.filter(|&free| need > free) {
            bail!("{images} that needs about {} of memory; {} is free", human_bytes(need), human_bytes(free));
        }
        let mut pixels = Vec::new();
        let refused = || format!("{images} of {}, for which there is no memory", human_bytes(bytes as u64));
        pixels.try_reserve_exact(bytes).with_context(refused)?;
        pixels.resize(bytes, GAP_LEVEL);
        let raster = Raster { width: full_width, height: full_height, channels, pixels };
        Ok(Sheet { raster, image, grid: Grid { columns, ..grid } })
    }

    /// Draws an image, (height, width, channels) in [−1, 1], at place `i`, counted row by row from 0. Values outside
    /// the range are clamped; one that is not a number is drawn black.
    ///
    /// # Panics
    /// If the image has another size than those that the sheet is for, or there is no such place.
    pub fn draw(&mut self, i: usize, image: &[f32]) {
        let (ImageShape { channels, height, width }, Grid { columns, scale, gap }) = (self.image, self.grid);
        assert_eq!(image.len(), self.image.numel(), "Sheet: numbers in an image of {}", self.image);
        let left = gap + i % columns * (width * scale + gap);
        let top = gap + i / columns * (height * scale + gap);
        for y in 0..height * scale {
            let source = &image[y / scale * width * channels..][..width * channels];
            let target = &mut self.raster.pixels[((top + y) * self.raster.width + left) * channels..];
            for (x, pixel) in target.chunks_exact_mut(channels).take(width * scale).enumerate() {
                for (byte, &value) in pixel.iter_mut().zip(&source[x / scale * channels..]) {
                    *byte = to_byte(value);
                }
            }
        }
    }

    /// Writes the sheet into the PNG file `path`, with the (keyword, text) pairs of `text` as its metadata.
    ///
    /// # Errors
    /// Names the path and the fault: a keyword that PNG does not allow, a failed write. An existing file is then left
    /// as it was.
    pub fn write(self, path: &Path, text: &[(&str, &str)]) -> Result<()> {
        write_png(path, &self.raster, text)
    }
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
        let empty = Sheet::new(COLOUR, grid, 0).unwrap_err().to_string();
        assert_eq!(empty, "found 0 images of 1×2×3 (height, width, channels), expected at least one");
        let large = ImageShape { channels: 3, height: 256, width: 256 };
        let message = Sheet::new(large, Grid { columns: 100, scale: 2, gap: 1 }, 10_000).unwrap_err().to_string();
        let size = "10000 images of 256×256 make a picture of 51301 by 51301 pixels";
        assert_eq!(message, format!("{size}; expected at most 268435456 pixels in all"));
        fault("a", &[0.0; 6], COLOUR, grid, &[("", "empty keyword")]);
        fault("no/such/dir", &[0.0; 6], COLOUR, grid, &[]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
