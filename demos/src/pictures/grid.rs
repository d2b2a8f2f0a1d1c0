//! A grid of images, as GAN papers show their samples.

use super::canvas::{plot, px, text};
use super::{Raster, write_png};
use crate::data::ImageShape;
use crate::usage::{available_memory, human_bytes};
use anyhow::{Context, Result, bail, ensure};
use plotters::prelude::*;
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

/// The most classes that have a column each: more would be too narrow for their names.
pub const MOST_CLASSES: usize = 16;

/// Grey level of the lines between images.
const GAP_LEVEL: u8 = 96;

/// Height of a line with names, size of their letters, and the space around them, in pixels of the file.
const LINE: usize = 18;
const LETTERS: f64 = 12.0;
const SPACE: usize = 4;
/// The widest names beside rows.
const WIDEST: usize = 120;

/// The most pixels in a grid: beyond this no viewer opens it.
const MAX_PIXELS: usize = 1 << 28;

/// How many times the bytes of a picture are in memory at most: as pixels, and while they become a PNG of noise.
const COPIES: usize = 4;

/// Writes images, (n, height, width, channels) in [−1, 1], row by row into a grid in the PNG file `path`, with these
/// `names` above its columns, if there are any, and the (keyword, text) pairs of `text` as its metadata. For many
/// images, a [`Sheet`] takes them one by one.
///
/// # Errors
/// Names the path and the fault: no image or part of one, and those of [`Sheet`]. An existing file is then left as it
/// was.
pub fn write_grid(
    path: &Path,
    images: &[f32],
    shape: ImageShape,
    grid: Grid,
    names: &[String],
    text: &[(&str, &str)],
) -> Result<()> {
    let draw = || -> Result<Sheet> {
        let (found, numel) = (images.len(), shape.numel());
        let whole = numel > 0 && found > 0 && found.is_multiple_of(numel);
        ensure!(whole, "found {found} numbers, expected a whole number of images of {shape}");
        let mut sheet = Sheet::new(shape, grid, found / numel)?;
        images.chunks_exact(numel).enumerate().for_each(|(i, image)| sheet.draw(i, image));
        if names.is_empty() { Ok(sheet) } else { sheet.with_column_names(names) }
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

    /// The sheet with a line on top, where each column has its name, cut where it is wider than the column.
    ///
    /// # Errors
    /// The names cannot be drawn.
    pub fn with_column_names(mut self, names: &[String]) -> Result<Sheet> {
        let tile = self.image.width * self.grid.scale + self.grid.gap;
        let places = (0..names.len()).map(|i| [self.grid.gap + i * tile, 0]);
        let strip = draw_names([self.raster.width, LINE], names, places, tile)?;
        let mut pixels = self.in_own_channels(&strip);
        pixels.append(&mut self.raster.pixels);
        self.raster = Raster { height: self.raster.height + LINE, pixels, ..self.raster };
        Ok(self)
    }

    /// The sheet with the name of each row to its left.
    ///
    /// # Errors
    /// The names cannot be drawn.
    pub fn with_row_names(mut self, names: &[String]) -> Result<Sheet> {
        let tile = self.image.height * self.grid.scale + self.grid.gap;
        let middle = |i: usize| self.grid.gap + i * tile + tile.saturating_sub(LINE) / 2;
        let places = (0..names.len()).map(|i| [SPACE, middle(i)]);
        let strip = draw_names([WIDEST, self.raster.height], names, places, WIDEST)?;
        let (strip, row) = (self.in_own_channels(&strip), self.raster.width * self.raster.channels);
        let beside = strip.chunks_exact(WIDEST * self.raster.channels).zip(self.raster.pixels.chunks_exact(row));
        let pixels = beside.flat_map(|(name, row)| name.iter().chain(row)).copied().collect();
        self.raster = Raster { width: self.raster.width + WIDEST, pixels, ..self.raster };
        Ok(self)
    }

    /// The pixels of a picture in colour, of which there is none in it, with as many channels as the sheet has.
    fn in_own_channels(&self, picture: &Raster) -> Vec<u8> {
        match self.raster.channels {
            1 => picture.pixels.iter().step_by(3).copied().collect(),
            _ => picture.pixels.clone(),
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

/// A white picture with these names, each with its upper left corner at its place, and at most so wide.
fn draw_names(
    size: [usize; 2],
    names: &[String],
    places: impl Iterator<Item = [usize; 2]>,
    widest: usize,
) -> Result<Raster> {
    plot(size, |area| {
        let style = text(LETTERS);
        for (name, [x, y]) in names.iter().zip(places) {
            let mut name = name.clone();
            while !name.is_empty() && area.estimate_text_size(&name, &style)?.0 > px((widest - SPACE) as f64) {
                name.pop();
            }
            area.draw(&Text::new(name, (px(x as f64) as i32, px((y + 2) as f64) as i32), style.clone()))?;
        }
        Ok(())
    })
}

/// The inverse of x / 127.5 − 1, to the nearest byte. The cast saturates and takes what is not a number to 0.
pub fn to_byte(value: f32) -> u8 {
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
        write_grid(&path, &images[..6], COLOUR, grid, &[], &[]).unwrap();
        write_grid(&path, &images, COLOUR, grid, &[], &[("Step", "100, σ")]).unwrap();
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
    fn names_stand_above_columns_and_beside_rows() {
        let dir = tempfile::tempdir().unwrap();
        let shape = ImageShape { channels: 1, height: 16, width: 16 };
        let grid = Grid { columns: 2, scale: 2, gap: 1 };
        let sheet = || {
            let mut sheet = Sheet::new(shape, grid, 4).unwrap();
            (0..4).for_each(|i| sheet.draw(i, &[-1.0; 256]));
            sheet
        };
        let written = |sheet: Sheet| {
            let path = dir.path().join("named.png");
            sheet.write(&path, &[]).unwrap();
            crate::pictures::read_png(&path).unwrap()
        };
        let names = ["bag", "a name much too long"].map(String::from);
        let dark = |picture: &Raster, x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
            let at = |y: usize| picture.pixels[y * picture.width..][x.clone()].iter();
            y.flat_map(at).filter(|&&byte| byte < 130).count()
        };
        let (plain, above) = (written(sheet()), written(sheet().with_column_names(&names).unwrap()));
        assert_eq!([above.width, above.height, above.channels], [67, 67 + LINE, 1]);
        assert!(above.pixels[67 * LINE..] == plain.pixels);
        assert!(dark(&above, 1..33, 0..LINE) > 10 && dark(&above, 34..66, 0..LINE) > 10);
        let beside = written(sheet().with_row_names(&names).unwrap());
        assert_eq!([beside.width, beside.height], [67 + WIDEST, 67]);
        let row = |y: usize| &beside.pixels[y * beside.width + WIDEST..(y + 1) * beside.width];
        assert!((0..67).all(|y| row(y) == &plain.pixels[y * 67..(y + 1) * 67]));
        let [bag, long] = [1..33, 34..66].map(|rows| dark(&beside, 0..WIDEST, rows));
        assert!(bag > 10 && long > 2 * bag, "{bag} {long}");
    }

    #[test]
    fn faults_are_named_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid { columns: 8, scale: 1, gap: 1 };
        let fault = |path: &str, images: &[f32], shape, grid, text: &[(&str, &str)]| {
            let path = dir.path().join(path);
            let message = format!("{:#}", write_grid(&path, images, shape, grid, &[], text).unwrap_err());
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
