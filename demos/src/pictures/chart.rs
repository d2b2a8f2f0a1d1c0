//! Charts of computed and measured values: every value is drawn where it is, nothing is smoothed.

use super::canvas::{Area, FAINT_INK, INK, plot, px, text};
use super::write_png;
use crate::usage::count;
use anyhow::{Context, Result, ensure};
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// How the points of a line are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through all points: for what is known exactly.
    Line,
    /// Dots joined by a thin line: for what was measured.
    Dots,
}

/// The values of one quantity.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// (x, y), in the order of drawing. What is not finite, or has no logarithm on a logarithmic axis, is left out, and
    /// counted in the legend.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub mark: Mark,
}

impl Line {
    /// What is known exactly.
    pub fn exact(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Line {
        Line { name: name.into(), points: points.into_iter().collect(), mark: Mark::Line }
    }

    /// What was measured.
    pub fn measured(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Line {
        Line { name: name.into(), points: points.into_iter().collect(), mark: Mark::Dots }
    }
}

/// Lines over common axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Written above.
    pub title: String,
    /// What the horizontal axis measures.
    pub x_label: &'static str,
    /// What the vertical axis measures.
    pub y_label: &'static str,
    /// Whether equal ratios are equally far apart on the vertical axis.
    pub log_y: bool,
    /// The lines; beyond six the colours repeat.
    pub lines: Vec<Line>,
}

/// Size of a chart in pixels of the finished picture.
const WIDTH: usize = 600;
const HEIGHT: usize = 520;

/// Colours that the colour-blind can tell apart too (after Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(150, 150, 150),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Draws the charts side by side into the PNG file `path`, 600×520 pixels each.
///
/// # Errors
/// Names the path: drawing or writing failed, or there is no chart. An existing file is then left as it was.
pub fn write_charts(path: &Path, charts: &[Chart]) -> Result<()> {
    ensure!(!charts.is_empty(), "{}: found no chart to draw", path.display());
    let draw = |area: &Area| {
        let parts = area.split_evenly((1, charts.len()));
        charts.iter().zip(parts).try_for_each(|(chart, part)| draw_chart(&part, chart))
    };
    let picture = plot([WIDTH * charts.len(), HEIGHT], draw);
    let picture = picture.with_context(|| format!("{}: cannot draw the charts", path.display()))?;
    let titles: Vec<&str> = charts.iter().map(|chart| chart.title.as_str()).collect();
    write_png(path, &picture, &[("Title", &titles.join("; "))])
}

fn draw_chart(area: &Area, chart: &Chart) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<Vec<(f64, f64)>> = chart.lines.iter().map(|line| usable(line, chart.log_y)).collect();
    let rest = draw_head(area, chart, &lines)?;
    let all = || lines.iter().flatten();
    let (x_range, y_range) = (span(all().map(|p| p.0)), span(all().map(|p| p.1)));
    let x_digits = digits(&x_range);
    let y_digits = digits(&y_range);
    let mut axes = ChartBuilder::on(&rest)
        .margin(px(12.0))
        .margin_right(px(22.0))
        .x_label_area_size(px(46.0))
        .y_label_area_size(px(66.0))
        .build_cartesian_2d(x_range, y_range)?;
    axes.configure_mesh()
        .x_labels(8)
        .y_labels(8)
        .max_light_lines(0)
        .bold_line_style(FAINT_INK.stroke_width(px(1.0)))
        .axis_style(INK.stroke_width(px(1.0)))
        .set_all_tick_mark_size(px(5.0))
        .label_style(text(13.0))
        .axis_desc_style(text(14.0))
        .x_desc(chart.x_label)
        .y_desc(chart.y_label)
        .x_label_formatter(&|&x| decimal(x, x_digits))
        .y_label_formatter(&|&y| if chart.log_y { power_of_ten(y) } else { decimal(y, y_digits) })
        .draw()?;
    for ((points, line), colour) in lines.iter().zip(&chart.lines).zip(COLOURS.iter().cycle()) {
        let width = if line.mark == Mark::Line { 4.0 } else { 1.5 };
        axes.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(px(width))))?;
        if line.mark == Mark::Dots {
            axes.draw_series(points.iter().map(|&point| Circle::new(point, px(3.2), colour.filled())))?;
        }
    }
    Ok(())
}

/// The title, and below it the legend, a row for each of the `lines` as they are drawn, from the one that ends on top
/// down. Returns the area that is left.
fn draw_head<'a>(
    area: &Area<'a>,
    chart: &Chart,
    lines: &[Vec<(f64, f64)>],
) -> Result<Area<'a>, Box<dyn std::error::Error>> {
    let (left, row) = (px(78.0) as i32, px(19.0) as i32);
    area.draw(&Text::new(chart.title.as_str(), (left, px(12.0) as i32), text(16.0)))?;
    let mut y = px(40.0) as i32;
    for i in from_the_top(lines) {
        let (line, colour) = (&chart.lines[i], &COLOURS[i % COLOURS.len()]);
        let (start, end, middle) = (left, left + px(20.0) as i32, y + px(7.0) as i32);
        let width = if line.mark == Mark::Line { 4.0 } else { 1.5 };
        area.draw(&PathElement::new([(start, middle), (end, middle)], colour.stroke_width(px(width))))?;
        if line.mark == Mark::Dots {
            area.draw(&Circle::new(((start + end) / 2, middle), px(3.2), colour.filled()))?;
        }
        let name = label(line, lines[i].len(), chart.log_y);
        area.draw(&Text::new(name, (end + px(8.0) as i32, y), text(13.0)))?;
        y += row;
    }
    Ok(area.split_vertically(y + px(4.0) as i32).1)
}

/// The lines by where they end, the highest first; those without a point last.
fn from_the_top(lines: &[Vec<(f64, f64)>]) -> Vec<usize> {
    let end = |i: &usize| lines[*i].last().map_or(f64::NEG_INFINITY, |point| point.1);
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| end(b).total_cmp(&end(a)));
    order
}

/// The name in the legend of a line of which so many points are drawn, with what the reader must know of the others.
fn label(line: &Line, drawn: usize, log_y: bool) -> String {
    match line.points.len() - drawn {
        0 => line.name.clone(),
        n => {
            let which = if log_y { "not above 0" } else { "not finite" };
            format!(
                "{} ({}, not shown)",
                line.name,
                count(n as u64, &format!("point {which}"), &format!("points {which}"))
            )
        }
    }
}

/// The points as the axes have them, y as its logarithm where `log_y`.
fn usable(line: &Line, log_y: bool) -> Vec<(f64, f64)> {
    let scaled = line.points.iter().map(|&(x, y)| (x, if log_y { y.log10() } else { y }));
    scaled.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// The range of the values with a little air, of positive length.
fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let air = if high > low { 0.03 * (high - low) } else { 0.5 * low.abs().max(1e-3) };
    low - air..high + air
}

/// Digits after the point that tell about ten labels on an axis of this range apart.
fn digits(range: &Range<f64>) -> usize {
    (-((range.end - range.start) / 10.0).log10()).ceil().clamp(0.0, 9.0) as usize
}

/// A label with at most so many digits after the point.
fn decimal(value: f64, digits: usize) -> String {
    let unit = 10f64.powi(digits as i32);
    let text = format!("{:.digits$}", (value * unit).round() / unit + 0.0); // −0 + 0 is 0
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// 10ʸ for a label, to two digits.
fn power_of_ten(y: f64) -> String {
    let value = 10f64.powf(y);
    match value {
        v if !(1e-2..1e5).contains(&v) => format!("{v:.0e}"),
        v if v >= 10.0 => format!("{v:.0}"),
        v => decimal(v, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let line = Line::measured("a", [(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.0), (f64::INFINITY, 1.0), (3.0, 100.0)]);
        assert_eq!(usable(&line, false), [(0.0, 1.0), (2.0, 0.0), (3.0, 100.0)]);
        assert_eq!(usable(&line, true), [(0.0, 0.0), (3.0, 2.0)]);
        assert_eq!(span([].into_iter()), 0.0..1.0);
        assert!(span([2.0].into_iter()).contains(&2.0));
    }

    #[test]
    fn the_legend_counts_what_is_left_out_and_goes_from_the_top_down() {
        let line = Line::measured("a", [(0.0, 1.0), (1.0, -2.0), (2.0, 0.0)]);
        let label = |log_y| super::label(&line, usable(&line, log_y).len(), log_y);
        assert_eq!([label(true), label(false)], ["a (2 points not above 0, not shown)", "a"]);
        let one = Line::measured("b", [(0.0, f64::NAN)]);
        assert_eq!(super::label(&one, 0, false), "b (1 point not finite, not shown)");
        let lines = [vec![(0.0, 9.0), (1.0, 1.0)], vec![(0.0, 2.0)], vec![], vec![(1.0, -1.0)]];
        assert_eq!(from_the_top(&lines), [1, 0, 3, 2]);
    }

    #[test]
    fn labels() {
        assert_eq!(
            [decimal(1.0, 1), decimal(-0.25, 2), decimal(-1e-9, 1), decimal(100.0, 0)],
            ["1", "-0.25", "0", "100"]
        );
        assert_eq!([-8.0, -1.0, 0.5, 2.5, 6.0].map(power_of_ten), ["1e-8", "0.1", "3.16", "316", "1e6"]);
    }

    #[test]
    fn a_chart_of_anything_is_a_picture() {
        let dir = tempfile::tempdir().unwrap();
        let chart = |points: Vec<(f64, f64)>| Chart {
            title: "a title".into(),
            x_label: "x",
            y_label: "y",
            log_y: true,
            lines: vec![Line::exact("exact", points.clone()), Line::measured("measured", points)],
        };
        let charts = [vec![], vec![(0.0, 1.0)], vec![(0.0, 1e-8), (1.0, 1e8)]].map(chart);
        let path = dir.path().join("a.png");
        write_charts(&path, &charts).unwrap();
        let picture = crate::pictures::read_png(&path).unwrap();
        assert_eq!([picture.width, picture.height], [3 * WIDTH, HEIGHT]);
        let blue = |part: usize| {
            let rows = picture.pixels.chunks_exact(picture.width * 3);
            rows.flat_map(|row| row[part * WIDTH * 3..(part + 1) * WIDTH * 3].chunks_exact(3))
                .filter(|pixel| *pixel == [0, 114, 178])
                .count()
        };
        assert!(blue(2) > blue(0) && blue(1) > blue(0), "dots beyond those of the legend");
        let error = format!("{:#}", write_charts(&path, &[]).unwrap_err());
        assert!(error.contains("a.png: found no chart"), "{error}");
    }
}
