//! A GAN in the plane, all of it: what the critic says everywhere, where the generator takes its noise, and where the
//! gradient pushes the samples.

use super::canvas::{Area, FAINT_INK, INK, plot, px, text};
use super::{Raster, write_png};
use anyhow::{Context, Result};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::path::Path;

/// What a picture of the plane shows: the square of points (x, y) with |x|, |y| ≤ `half_side`.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Written above.
    pub title: String,
    /// Half the side of the square.
    pub half_side: f64,
    /// The critic at the centres of a grid of square cells, from the lower left, row by row; a square number of values.
    pub critic: Vec<f64>,
    /// Samples of the data.
    pub real: Vec<[f64; 2]>,
    /// Samples of the generator.
    pub generated: Vec<[f64; 2]>,
    /// Some generated samples, each with the direction in which the gradient moves it; the longest is drawn as a
    /// tenth of the half side.
    pub arrows: Vec<[[f64; 2]; 2]>,
    /// The images of lines in the space of the noise.
    pub warped: Vec<Vec<[f64; 2]>>,
}

/// Width and height of each of the two parts in pixels of the finished picture, and height of the text above them.
const SIDE: usize = 480;
const HEAD: usize = 64;
/// What surrounds the square in a part: numbers to the left and below, and a margin on all sides.
const NUMBERS: usize = 24;
const MARGIN: usize = 6;

const REAL: RGBColor = RGBColor(60, 60, 60);
const GENERATED: RGBColor = RGBColor(213, 94, 0);
const ARROW: RGBColor = RGBColor(0, 90, 60);
const WARPED: RGBColor = RGBColor(0, 114, 178);

/// Pale colours of the critic from its least value to its greatest: points must show on all of them.
const RAMP: [[f64; 3]; 3] = [[120.0, 150.0, 200.0], [244.0, 244.0, 240.0], [245.0, 200.0, 110.0]];

/// Draws the plane, 960×544 pixels: to the left the critic as a heat map, real and generated samples and the arrows; to
/// the right the generator as a warped grid, and its samples. What is not finite, or outside, is left out.
///
/// # Errors
/// Drawing failed.
pub fn draw_plane(plane: &Plane) -> Result<Raster> {
    plot([2 * SIDE, SIDE + HEAD], |area| {
        let (head, body) = area.split_vertically(px(HEAD as f64));
        let (left, right) = body.split_horizontally(px(SIDE as f64));
        draw_head(&head, plane)?;
        draw_critic(&left, plane)?;
        draw_generator(&right, plane)
    })
}

/// Writes the picture of the plane as a PNG file.
///
/// # Errors
/// Names the path: drawing or writing failed. An existing file is then left as it was.
pub fn write_plane(path: &Path, plane: &Plane) -> Result<()> {
    let picture = draw_plane(plane).with_context(|| format!("{}: cannot draw the plane", path.display()))?;
    write_png(path, &picture, &[("Title", &plane.title)])
}

fn draw_head(area: &Area, plane: &Plane) -> Result<(), Box<dyn std::error::Error>> {
    let at = |x: f64, y: f64| (px(x) as i32, px(y) as i32);
    area.draw(&Text::new(plane.title.as_str(), at(10.0, 10.0), text(16.0)))?;
    let dots = [(10.0, REAL, "real"), (70.0, GENERATED, "generated")];
    for (x, colour, name) in dots {
        area.draw(&Circle::new(at(x + 4.0, 48.0), px(3.5), colour.filled()))?;
        area.draw(&Text::new(name, at(x + 13.0, 40.0), text(13.0)))?;
    }
    area.draw(&PathElement::new([at(170.0, 48.0), at(188.0, 48.0)], ARROW.stroke_width(px(1.5))))?;
    area.draw(&Text::new("gradient", at(194.0, 40.0), text(13.0)))?;
    for i in 0..30 {
        let (x, colour) = (270.0 + 1.5 * f64::from(i), colour(f64::from(i) / 29.0));
        area.draw(&Rectangle::new([at(x, 41.0), at(x + 1.5, 54.0)], colour.filled()))?;
    }
    area.draw(&Text::new("critic, from low to high", at(322.0, 40.0), text(13.0)))?;
    area.draw(&PathElement::new([at(490.0, 48.0), at(508.0, 48.0)], WARPED.stroke_width(px(1.2))))?;
    area.draw(&Text::new("the generator's image of a square grid of noise", at(514.0, 40.0), text(13.0)))?;
    Ok(())
}

type Square<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn square<'a, 'b>(area: &Area<'b>, half_side: f64) -> Result<Square<'a, 'b>, Box<dyn std::error::Error>>
where
    'b: 'a,
{
    let range = || -half_side..half_side;
    let mut square = ChartBuilder::on(area)
        .margin(px(MARGIN as f64))
        .x_label_area_size(px(NUMBERS as f64))
        .y_label_area_size(px(NUMBERS as f64))
        .build_cartesian_2d(range(), range())?;
    square
        .configure_mesh()
        .disable_mesh()
        .x_labels(5)
        .y_labels(5)
        .axis_style(INK.stroke_width(px(1.0)))
        .set_all_tick_mark_size(px(4.0))
        .label_style(text(12.0))
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .draw()?;
    Ok(square)
}

/// A number beside a tick: ticks are whole numbers or halves, summed up.
fn tick(x: &f64) -> String {
    format!("{}", (x * 100.0).round() / 100.0 + 0.0) // −0 + 0 is 0
}

fn inside(point: &[f64; 2], half_side: f64) -> bool {
    point.iter().all(|x| x.abs() <= half_side) // false for NaN
}

fn draw_points(
    square: &mut Square,
    points: &[[f64; 2]],
    half_side: f64,
    colour: RGBColor,
) -> Result<(), Box<dyn std::error::Error>> {
    let shown = points.iter().filter(|point| inside(point, half_side));
    square.draw_series(shown.map(|&[x, y]| Circle::new((x, y), px(1.3), colour.filled())))?;
    Ok(())
}

fn draw_critic(area: &Area, plane: &Plane) -> Result<(), Box<dyn std::error::Error>> {
    let half = plane.half_side;
    let mut square = square(area, half)?;
    let cells = plane.critic.len().isqrt();
    let width = 2.0 * half / cells as f64;
    let corner = |i: usize| (i % cells, i / cells);
    let levels = levels(&plane.critic);
    square.draw_series(levels.iter().enumerate().map(|(i, &level)| {
        let (column, row) = corner(i);
        let (x, y) = (column as f64 * width - half, row as f64 * width - half);
        Rectangle::new([(x, y), (x + width, y + width)], colour(level).filled())
    }))?;
    draw_points(&mut square, &plane.real, half, REAL)?;
    draw_points(&mut square, &plane.generated, half, GENERATED)?;
    draw_arrows(&mut square, plane)?;
    frame(&mut square, half)
}

fn draw_arrows(square: &mut Square, plane: &Plane) -> Result<(), Box<dyn std::error::Error>> {
    let half = plane.half_side;
    let length = |d: &[f64; 2]| d[0].hypot(d[1]);
    let longest = plane.arrows.iter().map(|[_, d]| length(d)).filter(|l| l.is_finite()).fold(0.0, f64::max);
    let unit = 0.1 * half / longest.max(f64::MIN_POSITIVE);
    for [from, d] in plane.arrows.iter().filter(|[from, d]| inside(from, half) && length(d).is_finite()) {
        let along = [d[0] * unit, d[1] * unit];
        let tip = (from[0] + along[0], from[1] + along[1]);
        // The head: a third of the length, at 25° to both sides.
        let side = |sign: f64| {
            let (s, c) = (sign * 25f64.to_radians()).sin_cos();
            (tip.0 - (c * along[0] - s * along[1]) / 3.0, tip.1 - (s * along[0] + c * along[1]) / 3.0)
        };
        let path = [(from[0], from[1]), tip, side(1.0), tip, side(-1.0)];
        square.draw_series(path.windows(2).map(|two| PathElement::new(two.to_vec(), ARROW.stroke_width(px(1.1)))))?;
    }
    Ok(())
}

fn draw_generator(area: &Area, plane: &Plane) -> Result<(), Box<dyn std::error::Error>> {
    let half = plane.half_side;
    let mut square = square(area, half)?;
    for line in &plane.warped {
        let pieces = line.windows(2).filter(|two| two.iter().all(|point| inside(point, half)));
        let pieces = pieces.map(|two| PathElement::new([two[0].into(), two[1].into()], WARPED.stroke_width(px(0.7))));
        square.draw_series(pieces)?;
    }
    draw_points(&mut square, &plane.generated, half, GENERATED)?;
    frame(&mut square, half)
}

fn frame(square: &mut Square, half: f64) -> Result<(), Box<dyn std::error::Error>> {
    let corners = [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)];
    square.draw_series([PathElement::new(corners, INK.stroke_width(px(1.0)))])?;
    Ok(())
}

/// The values between their 2nd and 98th percentile as numbers from 0 to 1; what is not a number as NaN.
fn levels(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let percentile = |p: usize| sorted.get(last * p / 100).copied().unwrap_or(0.0);
    let (low, high) = (percentile(2), percentile(98));
    values.iter().map(|v| ((v - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)).collect()
}

/// The colour of a level from 0 to 1.
fn colour(level: f64) -> RGBColor {
    if level.is_nan() {
        return FAINT_INK;
    }
    let place = level * (RAMP.len() - 1) as f64;
    let start = (place as usize).min(RAMP.len() - 2);
    let mix = |c: usize| (RAMP[start][c] + (RAMP[start + 1][c] - RAMP[start][c]) * (place - start as f64)) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane() -> Plane {
        Plane {
            title: "a title".into(),
            half_side: 1.0,
            critic: vec![-1.0, 1.0, -1.0, 1.0],
            real: vec![[-0.5, 0.5]],
            generated: vec![[0.5, -0.5]],
            arrows: Vec::new(),
            warped: vec![vec![[-0.5, 0.0], [0.5, 0.0]]],
        }
    }

    /// The pixel at a point of the left (0) or right (1) square.
    fn pixel(picture: &Raster, square: usize, [x, y]: [f64; 2]) -> [u8; 3] {
        let side = (SIDE - 2 * MARGIN - NUMBERS) as f64;
        let column = square * SIDE + MARGIN + NUMBERS + ((x + 1.0) / 2.0 * side) as usize;
        let row = HEAD + MARGIN + ((1.0 - y) / 2.0 * side) as usize;
        picture.pixels[(row * picture.width + column) * 3..][..3].try_into().unwrap()
    }

    #[test]
    fn everything_is_where_it_should_be() {
        let picture = draw_plane(&plane()).unwrap();
        assert_eq!([picture.width, picture.height], [2 * SIDE, SIDE + HEAD]);
        let rgb = |c: RGBColor| [c.0, c.1, c.2];
        assert_eq!(pixel(&picture, 0, [-0.5, 0.5]), rgb(REAL));
        assert_eq!(pixel(&picture, 0, [0.5, -0.5]), rgb(GENERATED));
        assert_eq!(pixel(&picture, 1, [0.5, -0.5]), rgb(GENERATED));
        assert_eq!([pixel(&picture, 0, [-0.9, 0.9]), pixel(&picture, 0, [-0.1, -0.9])], [rgb(colour(0.0)); 2]);
        assert_eq!([pixel(&picture, 0, [0.9, 0.9]), pixel(&picture, 0, [0.1, -0.9])], [rgb(colour(1.0)); 2]);
        assert_eq!(pixel(&picture, 1, [-0.5, 0.5]), [255; 3], "real points are in the left square only");
        let blue = |row: f64| pixel(&picture, 1, [0.0, row])[2] > pixel(&picture, 1, [0.0, row])[0];
        assert!([-0.004, 0.0, 0.004].into_iter().any(blue), "the warped line");
    }

    #[test]
    fn the_axes_have_numbers() {
        let picture = draw_plane(&Plane { real: Vec::new(), critic: Vec::new(), ..plane() }).unwrap();
        // Left of the left square, and below the right one.
        let dark = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            let row = |y: usize| picture.pixels[(y * picture.width + columns.start) * 3..][..columns.len() * 3].iter();
            rows.flat_map(row).filter(|&&byte| byte < 120).count()
        };
        assert!(dark(HEAD..HEAD + SIDE - NUMBERS, 0..MARGIN + NUMBERS - 6) > 50);
        assert!(dark(HEAD + SIDE - NUMBERS + 2..HEAD + SIDE, SIDE + NUMBERS..2 * SIDE) > 50);
        assert_eq!([-0.0, -1.0, 0.49999999].map(|x| tick(&x)), ["0", "-1", "0.5"]);
    }

    #[test]
    fn arrows_point_where_the_gradient_does() {
        let arrows = vec![[[0.0, 0.0], [0.0, 5.0]], [[0.5, 0.5], [0.0, -2.5]]];
        let picture = draw_plane(&Plane { arrows, critic: Vec::new(), ..plane() }).unwrap();
        let green = |y: f64, x: f64| {
            let near = [-0.004, 0.0, 0.004].map(|d| pixel(&picture, 0, [x + d, y]));
            near.iter().any(|p| p[0] < 140) // on white
        };
        // A tenth of the half side for the longest, half of that for the other.
        assert!(green(0.03, 0.0) && !green(-0.03, 0.0) && !green(0.12, 0.0));
        assert!(green(0.47, 0.5) && !green(0.53, 0.5) && !green(0.42, 0.5));
    }

    #[test]
    fn what_is_not_a_number_or_outside_is_left_out() {
        let odd = vec![[f64::NAN, 0.0], [f64::INFINITY, 1.0], [1e300, 0.0]];
        let arrows = odd.iter().map(|&p| [p, [1.0, 0.0]]).chain(odd.iter().map(|&d| [[0.0, 0.0], d])).collect();
        let critic = vec![f64::NAN, 1.0, f64::INFINITY, 2.0];
        let plane = Plane { real: odd.clone(), generated: odd.clone(), warped: vec![odd], arrows, critic, ..plane() };
        assert_eq!(pixel(&draw_plane(&plane).unwrap(), 0, [-0.9, -0.9]), [FAINT_INK.0, FAINT_INK.1, FAINT_INK.2]);
        assert!(draw_plane(&Plane { critic: Vec::new(), ..plane.clone() }).is_ok());
        let path = std::path::Path::new("no/such/dir/a.png");
        assert!(format!("{:#}", write_plane(path, &plane).unwrap_err()).contains("a.png: cannot write"));
    }
}
