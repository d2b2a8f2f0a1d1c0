//! A built-in set in colour: simple shapes, drawn by a program, as many as one likes.
//!
//! A shape is given by its signed distance function: negative inside, positive outside, zero on the edge. Turned,
//! scaled and moved at random, it covers a pixel in proportion to the distance of the pixel's centre from the edge,
//! which makes edges smooth at any size of picture. Behind it lies one of four kinds of background.

use std::f32::consts::{PI, TAU};

use wengert::Rng;

use super::digits::Hand;
use super::{Dataset, ImageShape};

/// The names of the classes, in the order of their labels.
const NAMES: [&str; 8] = ["circle", "ring", "square", "triangle", "star", "cross", "crescent", "heart"];

/// The endless set of drawn shapes: eight classes, three channels, square pictures of any side.
///
/// Picture `i` of seed `s` is a pure function of `(s, i)`, so pictures may be drawn in any order, by any thread. The
/// picture of another side shows the same scene.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    seed: u64,
    side: usize,
}

impl Shapes {
    /// The set that belongs to `seed`, in pictures of `side` × `side` pixels.
    ///
    /// # Panics
    /// If `side` is 0.
    pub fn new(seed: u64, side: usize) -> Self {
        assert!(side > 0, "shapes: pictures without pixels");
        // Training draws weights and noise from the streams of the seed itself.
        Self { seed: !seed, side }
    }
}

impl Dataset for Shapes {
    fn name(&self) -> &str {
        "shapes"
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.side, width: self.side }
    }

    fn classes(&self) -> usize {
        NAMES.len()
    }

    fn class_name(&self, label: u8) -> String {
        NAMES[usize::from(label)].into()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        assert_eq!(pixels.len(), self.shape().numel(), "shapes: a picture has {}", self.shape());
        let mut rng = Rng::stream(self.seed, index);
        let label = rng.below(NAMES.len()) as u8;
        Scene::random(label, &mut Hand(rng)).draw(self.side, pixels);
        label
    }
}

/// Red, green and blue in [0, 1].
type Colour = [f32; 3];
/// (x, y), to the right and down.
type Point = (f32, f32);

/// One picture, in units of its side.
struct Scene {
    label: u8,
    background: Background,
    colour: Colour,
    centre: Point,
    /// Half the extent of the shape.
    radius: f32,
    /// Sine and cosine of the angle by which the shape is turned.
    turn: (f32, f32),
    /// How bold it is, where a shape has arms or a hole: 0 to 1.
    boldness: f32,
}

impl Scene {
    fn random(label: u8, hand: &mut Hand) -> Self {
        let background = Background::random(hand);
        let colour = contrasting(hand, [background.first, background.second]);
        let radius = hand.range(0.22, 0.40);
        // The shape may come near the border, but does not cross it.
        let room = 0.48 - radius;
        let centre = (0.5 + hand.range(-room, room), 0.5 + hand.range(-room, room));
        Self {
            label,
            background,
            colour,
            centre,
            radius,
            turn: hand.range(0.0, TAU).sin_cos(),
            boldness: hand.uniform(),
        }
    }

    fn draw(&self, side: usize, pixels: &mut [u8]) {
        let step = 1.0 / side as f32;
        for (k, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let (x, y) = ((k % side) as f32 * step + step / 2.0, (k / side) as f32 * step + step / 2.0);
            let (dx, dy) = ((x - self.centre.0) / self.radius, (y - self.centre.1) / self.radius);
            let (sin, cos) = self.turn;
            let distance =
                self.radius * distance(self.label, (cos * dx + sin * dy, cos * dy - sin * dx), self.boldness);
            let cover = (0.5 - distance / step).clamp(0.0, 1.0);
            let colour = mix(self.background.at(x, y), self.colour, cover);
            for (byte, value) in pixel.iter_mut().zip(colour) {
                *byte = (255.0 * value).round() as u8;
            }
        }
    }
}

/// The signed distance of `p` from the edge of a shape of radius 1 about the origin. Beyond a corner it is the distance
/// from the nearest of the two lines that meet there, which is less than that of the corner.
fn distance(label: u8, (x, y): Point, boldness: f32) -> f32 {
    let length = x.hypot(y);
    match label {
        0 => length - 0.92,
        1 => (length - 0.74).abs() - (0.13 + 0.13 * boldness),
        2 => x.abs().max(y.abs()) - 0.70,
        3 => triangle((x, y)),
        4 => star((x, y), 0.40 + 0.12 * boldness),
        5 => {
            let arm = 0.20 + 0.14 * boldness;
            (x.abs() - 0.95).max(y.abs() - arm).min((x.abs() - arm).max(y.abs() - 0.95))
        }
        6 => (length - 0.95).max(0.68 + 0.12 * boldness - (x - 0.48).hypot(y)),
        _ => heart((x, y)),
    }
}

/// An equilateral triangle: three half-planes at half its circumradius from the centre.
fn triangle((x, y): Point) -> f32 {
    let half_plane = |k: f32| (k * TAU / 3.0).cos() * x + (k * TAU / 3.0).sin() * y;
    half_plane(0.0).max(half_plane(1.0)).max(half_plane(2.0)) - 0.5
}

/// A star of five points, its notches at the radius `inner`. By symmetry a tenth of the plane is enough: between the
/// direction of a point, at angle 0, and that of the notch beside it, at π/5, the edge is one straight line.
fn star((x, y): Point, inner: f32) -> f32 {
    let fifth = TAU / 5.0;
    let angle = (y.atan2(x).rem_euclid(fifth) - fifth / 2.0).abs();
    // Folded, the angle is 0 in the direction of a notch.
    let (sin, cos) = (PI / 5.0 - angle).sin_cos();
    let (u, v) = (x.hypot(y) * cos, x.hypot(y) * sin);
    let notch = (inner * (PI / 5.0).cos(), inner * (PI / 5.0).sin());
    let edge = (notch.0 - 1.0, notch.1);
    ((u - 1.0) * -edge.1 + v * edge.0) / -edge.0.hypot(edge.1)
}

/// A heart, its tip down: two discs about (±0.45, −0.3) and the two lines that touch them from the tip (0, 0.95).
fn heart((x, y): Point) -> f32 {
    const CENTRE: Point = (0.45, -0.3);
    const RADIUS: f32 = 0.5;
    const TIP: f32 = 0.95;
    let x = x.abs();
    let disc = (x - CENTRE.0).hypot(y - CENTRE.1) - RADIUS;
    // The normal n of the tangent has n·(tip − centre) = radius.
    let (dx, dy) = (-CENTRE.0, TIP - CENTRE.1);
    let angle = dy.atan2(dx) - (RADIUS / dx.hypot(dy)).acos();
    let (sin, cos) = angle.sin_cos();
    let tangent = cos * x + sin * (y - TIP);
    // Below the middle of the discs, and beyond the point where the tangent touches.
    let above = (CENTRE.1 - y).max(sin * (x - CENTRE.0) - cos * (y - CENTRE.1));
    disc.min(tangent.max(above))
}

/// What lies behind: a mixture of two colours.
struct Background {
    first: Colour,
    second: Colour,
    pattern: Pattern,
    /// Cosine and sine of the pattern's direction.
    direction: Point,
    /// Waves per side of the picture.
    frequency: f32,
    phase: f32,
}

#[derive(Clone, Copy)]
enum Pattern {
    Plain,
    Gradient,
    Stripes,
    Checks,
}

impl Background {
    fn random(hand: &mut Hand) -> Self {
        let (hue, saturation, value) = (hand.uniform(), hand.range(0.0, 0.7), hand.range(0.08, 0.95));
        let first = rgb(hue, saturation, value);
        let second =
            rgb(hue + hand.range(-0.12, 0.12), saturation, value + 0.28 * if value > 0.5 { -1.0 } else { 1.0 });
        let patterns = [Pattern::Plain, Pattern::Gradient, Pattern::Stripes, Pattern::Checks];
        let pattern = patterns[(4.0 * hand.uniform()) as usize];
        let angle = hand.range(0.0, TAU);
        let (frequency, phase) = (hand.range(2.0, 4.5), hand.range(0.0, TAU));
        Self { first, second, pattern, direction: (angle.cos(), angle.sin()), frequency, phase }
    }

    /// The colour at a point of the picture, in units of its side.
    fn at(&self, x: f32, y: f32) -> Colour {
        let (x, y) = (x - 0.5, y - 0.5);
        let (cos, sin) = self.direction;
        let (along, across) = (cos * x + sin * y, cos * y - sin * x);
        let wave = |t: f32| (TAU * self.frequency * t + self.phase).sin();
        // Three times a sine, cut off: bands with soft edges.
        let band = |wave: f32| (0.5 + 1.5 * wave).clamp(0.0, 1.0);
        let share = match self.pattern {
            Pattern::Plain => 0.0,
            Pattern::Gradient => (0.5 + along).clamp(0.0, 1.0),
            Pattern::Stripes => band(wave(along)),
            Pattern::Checks => band(1.5 * wave(along) * wave(across)),
        };
        mix(self.first, self.second, share)
    }
}

/// Of eight random colours, the one that differs most from the more similar of the two others.
fn contrasting(hand: &mut Hand, others: [Colour; 2]) -> Colour {
    let apart = |a: Colour, b: Colour| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut best = ([0.0; 3], -1.0);
    for _ in 0..8 {
        let colour = rgb(hand.uniform(), hand.range(0.35, 1.0), hand.range(0.35, 1.0));
        let contrast = apart(colour, others[0]).min(apart(colour, others[1]));
        if contrast > best.1 {
            best = (colour, contrast);
        }
    }
    best.0
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|i| a[i] + share * (b[i] - a[i]))
}

/// A colour from hue (any number: 1 is once around), saturation and value in [0, 1] (Smith, "Color gamut transform
/// pairs", 1978).
fn rgb(hue: f32, saturation: f32, value: f32) -> Colour {
    let channel = |n: f32| {
        let k = (n + 6.0 * hue).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(seed: u64, side: usize, index: u64) -> (u8, Vec<u8>) {
        let mut pixels = vec![7; 3 * side * side];
        let label = Shapes::new(seed, side).image(index, &mut pixels);
        (label, pixels)
    }

    #[test]
    fn a_picture_depends_on_seed_and_index_only() {
        let forward: Vec<_> = (0..50).map(|i| picture(1, 32, i)).collect();
        let backward: Vec<_> = (0..50).rev().map(|i| picture(1, 32, i)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        assert_ne!(picture(1, 32, 0), picture(2, 32, 0));
        assert_ne!(picture(1, 32, 0), picture(1, 32, 1));
        picture(u64::MAX, 1, u64::MAX);
    }

    #[test]
    fn a_larger_picture_shows_the_same_scene() {
        for index in 0..40 {
            let ((label, small), (other, large)) = (picture(3, 32, index), picture(3, 64, index));
            assert_eq!(label, other);
            let half = crate::data::resize(&large, ImageShape { channels: 3, height: 64, width: 64 }, 32, 32);
            let difference: u32 = half.iter().zip(&small).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            // Two grey levels or so; between two scenes it is fifty.
            assert!(difference < 6 * 32 * 32 * 3, "picture {index}: {difference}");
        }
    }

    /// The area of each shape, by counting points, is that of its geometry; the centre lies where it should.
    #[test]
    fn distances_enclose_the_right_areas() {
        let inner = 0.46f64;
        let star = 5.0 * inner * (std::f64::consts::PI / 5.0).sin();
        let (pi, arm) = (std::f64::consts::PI, 0.27f64);
        // Crescent and heart have no short formula; they are left to the eye.
        let expected = [
            pi * 0.92f64.powi(2),
            pi * ((0.74f64 + 0.195).powi(2) - (0.74f64 - 0.195).powi(2)),
            1.4f64.powi(2),
            0.75 * 3f64.sqrt(),
            star,
            8.0 * arm * 0.95 - 4.0 * arm * arm,
        ];
        let n = 800;
        for (label, expected) in expected.into_iter().enumerate() {
            let at = |k: usize| (k as f32 + 0.5) / n as f32 * 2.4 - 1.2;
            let inside = (0..n * n).filter(|k| distance(label as u8, (at(k % n), at(k / n)), 0.5) < 0.0).count();
            let area = inside as f64 * (2.4 / n as f64).powi(2);
            assert!((area - expected).abs() < 0.01, "{}: {area}, expected {expected}", NAMES[label]);
        }
    }

    /// What a smooth edge needs: a distance changes by at most as much as the point moves, and at its edge by as much.
    #[test]
    fn distances_have_slope_one_at_most() {
        for label in 0..NAMES.len() as u8 {
            let mut steepest = 0f32;
            for k in 0..200 * 200 {
                let (x, y) = ((k % 200) as f32 * 0.0121 - 1.2, (k / 200) as f32 * 0.0121 - 1.2);
                let d = |dx: f32, dy: f32| distance(label, (x + dx, y + dy), 0.3);
                let slope = (d(1e-3, 0.0) - d(-1e-3, 0.0)).hypot(d(0.0, 1e-3) - d(0.0, -1e-3)) / 2e-3;
                steepest = steepest.max(slope);
            }
            assert!((0.98..1.02).contains(&steepest), "{}: {steepest}", NAMES[usize::from(label)]);
        }
    }

    #[test]
    fn shapes_stand_out_and_stay_inside() {
        let mut counts = [0; 8];
        for index in 0..4000 {
            let (label, pixels) = picture(5, 32, index);
            counts[usize::from(label)] += 1;
            let mut rng = Rng::stream(!5, index);
            rng.below(NAMES.len());
            let scene = Scene::random(label, &mut Hand(rng));
            for side in [scene.background.first, scene.background.second] {
                let apart = side.iter().zip(scene.colour).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                assert!(apart > 0.25, "picture {index}, a {label}: {apart}");
            }
            let paint: [u8; 3] = scene.colour.map(|v| (255.0 * v).round() as u8);
            let painted = |k: usize| pixels[3 * k..3 * k + 3] == paint;
            assert!((0..1024).filter(|&k| painted(k)).count() > 20, "picture {index}, a {label}, is hardly there");
            let border = (0..32).any(|k| painted(k) || painted(31 * 32 + k) || painted(32 * k) || painted(32 * k + 31));
            assert!(!border, "picture {index}, a {label}, touches the border");
        }
        // Standard deviation √(4000 · ⅛ · ⅞) ≈ 21.
        assert!(counts.iter().all(|&c: &i32| (c - 500).abs() < 105), "{counts:?}");
    }
}
