//! Loss curves: for every series a smoothed line over the faint raw values.

use super::canvas::{Area, FAINT_INK, INK, OVERSAMPLING, plot, px, text};
use super::reduce::{Reduced, Series, step_range, value_range};
use super::{Raster, write_png};
use anyhow::{Context, Result};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// A picture of several series over the same steps.
#[derive(Clone, Copy, Debug)]
pub struct Curves<'a> {
    /// Written above.
    pub title: &'a str,
    /// What the horizontal axis measures, say "generator updates".
    pub x_label: &'a str,
    /// What the vertical axis measures, say "loss".
    pub y_label: &'a str,
    /// The lines; beyond seven the colours repeat.
    pub series: &'a [Series<'a>],
}

/// Size of the finished picture in pixels.
const WIDTH: usize = 1080;
const HEIGHT: usize = 640;

/// Colours that the colour-blind can tell apart too (after Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(70, 70, 70),
];
const ZERO_INK: RGBColor = RGBColor(160, 160, 160);

/// Draws the curves into the PNG file `path`, 1080×640 pixels.
///
/// The vertical axis spans the smoothed lines and all but the most extreme hundredth of the raw values; what lies
/// beyond is drawn at the edge. A picture without any finite value has empty axes.
///
/// # Errors
/// Names the path: drawing or writing failed. An existing file is then left as it was.
pub fn write_curves(path: &Path, curves: &Curves) -> Result<()> {
    let picture = draw(curves).with_context(|| format!("{}: cannot draw the curves", path.display()))?;
    write_png(path, &picture, &[("Title", curves.title)])
}

type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw(curves: &Curves) -> Result<Raster> {
    plot([WIDTH, HEIGHT], |area| draw_all(area, curves))
}

fn draw_all(area: &Area, curves: &Curves) -> Result<(), Box<dyn std::error::Error>> {
    let steps = step_range(curves.series);
    let reduced: Vec<Reduced> = curves.series.iter().map(|s| Reduced::of(s.points, &steps)).collect();
    let values = value_range(&reduced);
    let labels: Vec<String> = curves.series.iter().zip(&reduced).map(|(s, r)| r.label(s.name)).collect();
    let area = draw_head(area, curves.title, &labels)?;
    let mut chart = draw_axes(&area, curves, steps, values)?;
    let colours = || COLOURS.iter().cycle();
    // All faint values first: no series hides the smoothed line of another.
    for (series, colour) in reduced.iter().zip(colours()) {
        draw_raw(&mut chart, series, lightened(colour))?;
    }
    for (series, colour) in reduced.iter().zip(colours()) {
        draw_smoothed(&mut chart, series, colour)?;
    }
    Ok(())
}

fn lightened(colour: &RGBColor) -> RGBColor {
    // Not transparent: the pieces of a line overlap, and the overlaps would show.
    let light = |c: u8| (0.27 * f64::from(c) + 0.73 * 255.0) as u8;
    RGBColor(light(colour.0), light(colour.1), light(colour.2))
}

/// Draws the title and, below it, the legend, in as many rows as it takes. Returns the area that is left.
fn draw_head<'a>(area: &Area<'a>, title: &str, labels: &[String]) -> Result<Area<'a>, Box<dyn std::error::Error>> {
    let (left, top, row_height) = (px(84.0) as i32, px(16.0) as i32, px(21.0) as i32);
    area.draw(&Text::new(title, (left, top), text(19.0)))?;
    let (mut x, mut y) = (left, top + px(34.0) as i32);
    let (stroke, space, between) = (px(22.0) as i32, px(7.0) as i32, px(26.0) as i32);
    for (label, colour) in labels.iter().zip(COLOURS.iter().cycle()) {
        let (width, height) = area.estimate_text_size(label, &text(13.0))?;
        let entry = stroke + space + width as i32;
        if x > left && x + entry > (WIDTH * OVERSAMPLING) as i32 {
            (x, y) = (left, y + row_height);
        }
        let middle = y + height as i32 / 2;
        area.draw(&PathElement::new([(x, middle), (x + stroke, middle)], colour.stroke_width(px(2.5))))?;
        area.draw(&Text::new(label.as_str(), (x + stroke + space, y), text(13.0)))?;
        x += entry + between;
    }
    // However long the legend is, the curves keep half of the picture.
    let split = (y + row_height).min((HEIGHT * OVERSAMPLING / 2) as i32);
    Ok(area.split_vertically(split).1)
}

fn draw_axes<'a, 'b>(
    area: &Area<'b>,
    curves: &Curves,
    steps: Range<f64>,
    values: Range<f64>,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>>
where
    'b: 'a,
{
    let (step_format, value_format) = (NumberFormat::of(&steps), NumberFormat::of(&values));
    let ends = [steps.start, steps.end];
    let zero_inside = values.contains(&0.0);
    let mut chart = ChartBuilder::on(area)
        .margin(px(12.0))
        .margin_right(px(28.0))
        .x_label_area_size(px(48.0))
        .y_label_area_size(px(72.0))
        .build_cartesian_2d(steps, values)?;
    chart
        .configure_mesh()
        .x_labels(9)
        .y_labels(8)
        .max_light_lines(0)
        .bold_line_style(FAINT_INK.stroke_width(px(1.0)))
        .axis_style(INK.stroke_width(px(1.0)))
        .set_all_tick_mark_size(px(5.0))
        .label_style(text(13.0))
        .axis_desc_style(text(14.0))
        .x_desc(curves.x_label)
        .y_desc(curves.y_label)
        .x_label_formatter(&|&step| step_format.write(step))
        .y_label_formatter(&|&value| value_format.write(value))
        .draw()?;
    if zero_inside {
        let line = PathElement::new(ends.map(|step| (step, 0.0)), ZERO_INK.stroke_width(px(1.0)));
        chart.draw_series([line])?;
    }
    Ok(chart)
}

fn draw_raw(chart: &mut Chart, series: &Reduced, colour: RGBColor) -> Result<(), Box<dyn std::error::Error>> {
    let style = colour.stroke_width(px(1.0));
    for piece in &series.pieces {
        // Segment by segment: the crate's joints of wide lines go astray where a line turns back on itself.
        let ends: Vec<_> = piece.columns.iter().flat_map(|c| [(c.step, c.low), (c.step, c.high)]).collect();
        chart.draw_series(ends.windows(2).map(|two| PathElement::new([two[0], two[1]], style)))?;
    }
    Ok(())
}

fn draw_smoothed(chart: &mut Chart, series: &Reduced, colour: &RGBColor) -> Result<(), Box<dyn std::error::Error>> {
    for piece in &series.pieces {
        if let [only] = piece.columns[..] {
            // A line of one point would not show.
            chart.draw_series([Circle::new((only.step, only.mean), px(3.0), colour.filled())])?;
        } else {
            let points = piece.columns.iter().map(|c| c.step).zip(piece.smoothed());
            chart.draw_series(LineSeries::new(points, colour.stroke_width(px(2.0))))?;
        }
    }
    Ok(())
}

/// How the numbers along an axis are written.
#[derive(Debug, PartialEq)]
enum NumberFormat {
    /// In units of the divisor, with this suffix and so many digits after the point.
    Plain { divisor: f64, suffix: &'static str, digits: usize },
    /// As 1.5e-7, but 0 for numbers below `zero`.
    Scientific { zero: f64 },
}

impl NumberFormat {
    fn of(range: &Range<f64>) -> Self {
        let largest = range.start.abs().max(range.end.abs());
        let (divisor, suffix) = match largest {
            x if !(1e-3..1e13).contains(&x) => {
                return Self::Scientific { zero: largest * 1e-9 };
            }
            x if x >= 1e10 => (1e9, "G"),
            x if x >= 1e7 => (1e6, "M"),
            x if x >= 1e4 => (1e3, "k"),
            _ => (1.0, ""),
        };
        // The crate's ticks are 1, 2 or 5 times a power of ten apart, and a little denser than eight to the axis.
        let apart = (range.end - range.start) / divisor / 10.0;
        let digits = (-apart.log10()).ceil().clamp(0.0, 9.0) as usize;
        Self::Plain { divisor, suffix, digits }
    }

    fn write(&self, number: f64) -> String {
        match self {
            Self::Plain { divisor, suffix, digits } => {
                let unit = 10f64.powi(*digits as i32);
                let rounded = (number / divisor * unit).round() / unit;
                if rounded == 0.0 { "0".into() } else { format!("{rounded:.digits$}{suffix}") }
            }
            // Ticks are sums, so the one at 0 may be off by a rounding error.
            Self::Scientific { zero } if number.abs() < *zero => "0".into(),
            Self::Scientific { .. } => format!("{number:.1e}"),
        }
    }
}

#[cfg(test)]
mod tests;
