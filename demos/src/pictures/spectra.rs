//! Spectra of weights, as Figure 3 of the SNGAN paper shows them (Miyato et al. 2018, arXiv:1802.05957): the squared
//! singular values of every layer, from the largest on, scaled so that the largest is 1.

use super::canvas::{Area, FAINT_INK, INK, OVERSAMPLING, plot, px, text};
use super::write_png;
use anyhow::{Context, Result, ensure};
use plotters::prelude::*;
use std::path::Path;

/// The singular values of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Spectrum<'a> {
    /// What the legend calls the layer.
    pub name: &'a str,
    /// From the largest to the least.
    pub singular_values: &'a [f64],
}

/// The layers of one net.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// Written above.
    pub title: &'a str,
    /// In the order of the layers.
    pub spectra: &'a [Spectrum<'a>],
}

/// Size of a panel in pixels of the finished picture.
const WIDTH: usize = 540;
const HEIGHT: usize = 460;

/// From the first layer to the last: violet over blue, green and yellow to red, so that the order shows, and dark
/// beside light, so that neighbours can be told apart.
const RAMP: [[f64; 3]; 8] = [
    [60.0, 0.0, 100.0],
    [50.0, 70.0, 230.0],
    [0.0, 175.0, 225.0],
    [0.0, 130.0, 80.0],
    [140.0, 195.0, 30.0],
    [235.0, 175.0, 0.0],
    [225.0, 80.0, 10.0],
    [130.0, 0.0, 30.0],
];

/// Draws the panels side by side into the PNG file `path`, 540×460 pixels each. The index of the singular value has
/// a logarithmic axis, since layers have from a few to hundreds. A layer of zeros, or with a value that is not finite,
/// is in the legend only.
///
/// # Errors
/// Names the path: drawing or writing failed, or there is no panel. An existing file is then left as it was.
pub fn write_spectra(path: &Path, panels: &[Panel]) -> Result<()> {
    ensure!(!panels.is_empty(), "{}: found no panel to draw", path.display());
    let draw = |area: &Area| {
        for (panel, part) in panels.iter().zip(area.split_evenly((1, panels.len()))) {
            draw_panel(&part, panel)?;
        }
        Ok(())
    };
    let picture = plot([WIDTH * panels.len(), HEIGHT], draw);
    let picture = picture.with_context(|| format!("{}: cannot draw the spectra", path.display()))?;
    write_png(path, &picture, &[("Title", "Squared singular values of every layer, the largest scaled to 1")])
}

fn draw_panel(area: &Area, panel: &Panel) -> Result<(), Box<dyn std::error::Error>> {
    let area = draw_head(area, panel)?;
    let longest = panel.spectra.iter().map(|s| s.singular_values.len()).max().unwrap_or(1).max(2);
    let mut chart = ChartBuilder::on(&area)
        .margin(px(12.0))
        .margin_right(px(20.0))
        .x_label_area_size(px(44.0))
        .y_label_area_size(px(56.0))
        .build_cartesian_2d((1.0..longest as f64).log_scale(), 0.0..1.02)?;
    chart
        .configure_mesh()
        .y_labels(6)
        .max_light_lines(0)
        .bold_line_style(FAINT_INK.stroke_width(px(1.0)))
        .axis_style(INK.stroke_width(px(1.0)))
        .set_all_tick_mark_size(px(5.0))
        .label_style(text(13.0))
        .axis_desc_style(text(14.0))
        .x_desc("index i")
        .y_desc("σᵢ² / σ₁²")
        .x_label_formatter(&|index| format!("{index:.0}"))
        .y_label_formatter(&|value| format!("{value:.1}"))
        .draw()?;
    for (i, spectrum) in panel.spectra.iter().enumerate() {
        let colour = colour(i, panel.spectra.len());
        let points: Vec<(f64, f64)> = scaled(spectrum.singular_values).collect();
        match points[..] {
            // A line of one point would not show.
            [only] => drop(chart.draw_series([Circle::new(only, px(3.5), colour.filled())])?),
            // Segment by segment: the crate's joints make steep parts of a wide line thin.
            _ => drop(chart.draw_series(
                points.windows(2).map(|two| PathElement::new([two[0], two[1]], colour.stroke_width(px(2.0)))),
            )?),
        }
    }
    Ok(())
}

/// (i, σᵢ²/σ₁²), i from 1; nothing if that is not finite.
fn scaled(values: &[f64]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let largest = values.first().copied().unwrap_or(0.0);
    let usable = largest > 0.0 && values.iter().all(|v| v.is_finite());
    let values = if usable { values } else { &[] };
    values.iter().zip(1..).map(move |(v, i)| (f64::from(i), (v / largest).powi(2)))
}

/// The title, and below it the legend. Returns the area that is left.
fn draw_head<'a>(area: &Area<'a>, panel: &Panel) -> Result<Area<'a>, Box<dyn std::error::Error>> {
    let (left, stroke) = (px(68.0) as i32, px(14.0) as i32);
    area.draw(&Text::new(panel.title, (left, px(14.0) as i32), text(17.0)))?;
    let (mut x, mut y) = (left, px(44.0) as i32);
    for (i, spectrum) in panel.spectra.iter().enumerate() {
        let (width, height) = area.estimate_text_size(spectrum.name, &text(13.0))?;
        let entry = stroke + px(5.0) as i32 + width as i32;
        if x > left && x + entry > (WIDTH * OVERSAMPLING) as i32 {
            (x, y) = (left, y + px(20.0) as i32);
        }
        let middle = y + height as i32 / 2;
        let line =
            PathElement::new([(x, middle), (x + stroke, middle)], colour(i, panel.spectra.len()).stroke_width(px(2.5)));
        area.draw(&line)?;
        area.draw(&Text::new(spectrum.name, (x + stroke + px(5.0) as i32, y), text(13.0)))?;
        x += entry + px(14.0) as i32;
    }
    // However many layers there are, the lines keep half of the picture.
    let split = (y + px(22.0) as i32).min((HEIGHT * OVERSAMPLING / 2) as i32);
    Ok(area.split_vertically(split).1)
}

/// The colour of layer `i` of `count`, between those of the ramp.
fn colour(i: usize, count: usize) -> RGBColor {
    let place = i as f64 / (count - 1).max(1) as f64 * (RAMP.len() - 1) as f64;
    let start = (place as usize).min(RAMP.len() - 2);
    let mix = |c: usize| (RAMP[start][c] + (RAMP[start + 1][c] - RAMP[start][c]) * (place - start as f64)) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::read_png;

    #[test]
    fn values_are_squared_and_scaled() {
        let points: Vec<_> = scaled(&[4.0, 2.0, 0.0]).collect();
        assert_eq!(points, [(1.0, 1.0), (2.0, 0.25), (3.0, 0.0)]);
        for odd in [&[][..], &[0.0, 0.0], &[f64::NAN], &[f64::INFINITY, 1.0], &[2.0, f64::NAN]] {
            assert_eq!(scaled(odd).count(), 0, "{odd:?}");
        }
    }

    #[test]
    fn colours_run_from_one_end_of_the_ramp_to_the_other() {
        assert_eq!(colour(0, 8), RGBColor(60, 0, 100));
        assert_eq!(colour(2, 8), RGBColor(0, 175, 225));
        assert_eq!(colour(7, 8), RGBColor(130, 0, 30));
        assert_eq!(colour(0, 1), RGBColor(60, 0, 100));
        assert_eq!(colour(1, 15), RGBColor(55, 35, 165));
    }

    #[test]
    fn the_colours_of_any_two_layers_can_be_told_apart() {
        // The nets with the most layers have twelve maps. Red, green and blue count as much as eyes see of them.
        let distance = |a: RGBColor, b: RGBColor| {
            let [r, g, b] = [(a.0, b.0), (a.1, b.1), (a.2, b.2)].map(|(a, b)| f64::from(a) - f64::from(b));
            (0.3 * r * r + 0.59 * g * g + 0.11 * b * b).sqrt()
        };
        for (count, least) in [(5, 40.0), (8, 40.0), (12, 25.0)] {
            for (i, k) in (0..count).flat_map(|k| (0..k).map(move |i| (i, k))) {
                let found = distance(colour(i, count), colour(k, count));
                assert!(found > least, "{i} and {k} of {count}: {found}");
            }
        }
    }

    #[test]
    fn a_layer_is_drawn_in_its_colour_and_an_odd_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spectra.png");
        let many: Vec<f64> = (0..500).map(|i| 0.99f64.powi(i)).collect();
        let coloured = |values: &[f64]| {
            let spectrum = Spectrum { name: "", singular_values: values };
            write_spectra(&path, &[Panel { title: "net", spectra: &[spectrum] }; 2]).unwrap();
            let picture = read_png(&path).unwrap();
            assert_eq!((picture.width, picture.height), (1080, 460));
            // Below the legend, in the left and in the right panel.
            let row = picture.width * 3;
            let own = |pixel: &[u8]| i32::from(pixel[2]) - i32::from(pixel[1]) > 60;
            [0, 540].map(|left| {
                let line = |y: usize| &picture.pixels[y * row + left * 3..][..540 * 3];
                (80..460).flat_map(|y| line(y).chunks_exact(3)).filter(|pixel| own(pixel)).count()
            })
        };
        assert!(coloured(&many).iter().all(|&n| n > 300));
        assert!(coloured(&[1.0]).iter().all(|&n| n > 10));
        assert_eq!(coloured(&[f64::NAN, 1.0]), [0, 0]);
    }
}
