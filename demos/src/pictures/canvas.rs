//! What the pictures of lines, points and letters are drawn on: a raster with smooth edges, and the ink and the letters
//! they share.

use super::Raster;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use std::sync::Once;

/// A picture is drawn this many times larger and then averaged down, because the lines of the plotting crate have
/// jagged edges.
pub(super) const OVERSAMPLING: usize = 3;
/// Name under which the plotting crate knows the font.
const FONT: &str = "dejavu";

/// Of letters and axes.
pub(super) const INK: RGBColor = RGBColor(50, 50, 50);
/// Of lines that help the eye.
pub(super) const FAINT_INK: RGBColor = RGBColor(228, 228, 228);

/// A part of the enlarged picture to draw on.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// A picture of this width and height, on white, with smooth edges.
pub(super) fn plot(
    [width, height]: [usize; 2],
    draw: impl FnOnce(&Area) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Raster> {
    let (width, height) = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![255; width * height * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32)).into_drawing_area();
    // The errors of the plotting crate carry the backend's type and its lifetime: they become plain text here.
    draw(&area).map_err(|error| anyhow!("{error}"))?;
    area.present().map_err(|error| anyhow!("{error}"))?;
    drop(area);
    Ok(averaged_down(&pixels, width))
}

/// A length of the finished picture as one of the enlarged picture.
pub(super) fn px(length: f64) -> u32 {
    (length * OVERSAMPLING as f64).round() as u32
}

/// Letters of this height in the finished picture.
pub(super) fn text(size: f64) -> TextStyle<'static> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // The font comes with the program: a machine without fonts draws the same picture.
        assert!(register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok(), "the built-in font is sound");
    });
    (FONT, px(size)).into_font().color(&INK)
}

/// The mean of every square of `OVERSAMPLING`² pixels, three channels; `width` is that of the enlarged picture.
fn averaged_down(pixels: &[u8], width: usize) -> Raster {
    const N: usize = OVERSAMPLING;
    let mut small = Vec::with_capacity(pixels.len() / (N * N));
    for rows in pixels.chunks_exact(N * width * 3) {
        for x in 0..width / N {
            for channel in 0..3 {
                let at = |k: usize| u32::from(rows[(k / N * width + x * N + k % N) * 3 + channel]);
                small.push(((0..N * N).map(at).sum::<u32>() / (N * N) as u32) as u8);
            }
        }
    }
    Raster { width: width / N, height: pixels.len() / (N * width * 3), channels: 3, pixels: small }
}
