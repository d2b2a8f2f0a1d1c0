//! The built-in set: handwritten-looking digits, drawn by a program, as many as one likes.
//!
//! A digit begins as one of a few ways of writing it (`strokes.rs`) and goes through what makes hands differ: every
//! point of the pen's path is displaced a little, the sheet is bent by a smooth wave, the whole is sheared, turned and
//! stretched, then brought to a common size (MNIST does this last step too) and drawn with a soft pen of random width.

use wengert::Rng;

use super::strokes::{DIGITS, Stroke, Variant};
use super::{Dataset, ImageShape};

/// Height and width of a picture, in pixels.
pub const SIDE: usize = 32;

/// How many straight pieces stand for the curve between two points of a stroke.
const PIECES: usize = 6;

/// The larger side, in pixels, of the box that the pen's path fills, before the random variation.
const BOX: f32 = 18.5;

/// The endless set of drawn digits: ten classes, 32×32 pixels, one channel, white ink on black.
///
/// Picture `i` of seed `s` is a pure function of `(s, i)`, so pictures may be drawn in any order, by any thread.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    seed: u64,
}

impl Digits {
    /// The set that belongs to `seed`. Different seeds give different pictures.
    pub fn new(seed: u64) -> Self {
        // Training draws weights and noise from the streams of the seed itself.
        Self { seed: !seed }
    }

    /// The random numbers of picture `index`.
    fn hand(&self, index: u64) -> Hand {
        Hand(Rng::stream(self.seed, index))
    }
}

impl Dataset for Digits {
    fn name(&self) -> &str {
        "digits"
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 1, height: SIDE, width: SIDE }
    }

    fn classes(&self) -> usize {
        DIGITS.len()
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        let mut rng = self.hand(index);
        let label = rng.0.below(DIGITS.len()) as u8;
        draw(&mut rng, label, pixels);
        label
    }
}

/// Where what differs from hand to hand comes from.
pub(super) struct Hand(pub(super) Rng);

impl Hand {
    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f32 {
        // 24 bits, as many as an f32 holds exactly: rounding would reach 1.
        (self.0.unit() * (1 << 24) as f64).floor() as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high).
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Bell-shaped with mean 0 and standard deviation 1, and never beyond ±3.47.
    ///
    /// It is the sum of four uniform numbers: unlike a true normal it has no far tail, so no sample is freakish.
    fn bell(&mut self) -> f32 {
        let sum = self.uniform() + self.uniform() + self.uniform() + self.uniform();
        (sum - 2.0) * 3f32.sqrt()
    }
}

/// A point of the plane: first in the unit box of `strokes.rs`, at the end in pixels.
type Point = (f32, f32);

fn draw(rng: &mut Hand, label: u8, pixels: &mut [u8]) {
    assert!(label < 10, "digits: a label is 0 to 9, found {label}");
    assert_eq!(pixels.len(), SIDE * SIDE, "digits: a picture has {SIDE}×{SIDE} bytes");
    let variant = pick(rng.uniform(), DIGITS[usize::from(label)]);
    let mut strokes = jittered(rng, variant.strokes);
    let bend = Bend::random(rng);
    let slant = Affine::random(rng);
    for p in strokes.iter_mut().flatten() {
        *p = slant.apply(bend.apply(*p));
    }
    fit(rng, &mut strokes);
    let pen = Pen::random(rng);
    let mut ink = [0f32; SIDE * SIDE];
    for stroke in &strokes {
        pen.draw(&curve(stroke), &mut ink);
    }
    for (pixel, ink) in pixels.iter_mut().zip(ink) {
        *pixel = (255.0 * ink).round() as u8;
    }
}

/// One variant, with probability in proportion to its weight; `u` is uniform in [0, 1).
fn pick(u: f32, variants: &[Variant]) -> &Variant {
    let mut left = u * variants.iter().map(|v| v.weight).sum::<f32>();
    for v in variants {
        left -= v.weight;
        if left < 0.0 {
            return v;
        }
    }
    &variants[variants.len() - 1]
}

/// The strokes with every point displaced by itself: an unsteady hand. Strokes that met may now miss by a hair.
fn jittered(rng: &mut Hand, strokes: &[Stroke]) -> Vec<Vec<Point>> {
    let amount = rng.range(0.010, 0.048);
    strokes
        .iter()
        .map(|s| s.iter().map(|&(x, y)| (x + amount * rng.bell(), y + amount * rng.bell())).collect())
        .collect()
}

/// A smooth displacement of the sheet: two long sine waves for each of the two directions.
struct Bend {
    /// For each wave: amplitude, wave vector (x, y), phase; the first two move x, the others y.
    waves: [[f32; 4]; 4],
}

impl Bend {
    fn random(rng: &mut Hand) -> Self {
        let waves = std::array::from_fn(|_| {
            // Wave lengths of 0.8 to 3 boxes: shorter ones would break the digit, longer ones only shift it.
            let (length, direction) = (rng.range(0.8, 3.0), rng.range(0.0, std::f32::consts::TAU));
            let k = std::f32::consts::TAU / length;
            let amplitude = 0.040 * length.sqrt() * rng.bell();
            [amplitude, k * direction.cos(), k * direction.sin(), rng.range(0.0, std::f32::consts::TAU)]
        });
        Self { waves }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let at = |i: usize| {
            let [amplitude, kx, ky, phase] = self.waves[i];
            amplitude * (kx * x + ky * y + phase).sin()
        };
        (x + at(0) + at(1), y + at(2) + at(3))
    }
}

/// Slant, turn and stretch about the middle of the box.
struct Affine {
    rows: [[f32; 2]; 2],
}

impl Affine {
    fn random(rng: &mut Hand) -> Self {
        // Most hands lean to the right: a positive shear moves the top (small y) to the right.
        let shear = 0.14 + 0.21 * rng.bell();
        let (sin, cos) = (0.09 * rng.bell()).sin_cos();
        let width = rng.range(0.68, 1.08);
        Self { rows: [[cos * width, -cos * shear - sin], [sin * width, cos - sin * shear]] }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let (x, y) = (x - 0.5, y - 0.5);
        let [[a, b], [c, d]] = self.rows;
        (a * x + b * y, c * x + d * y)
    }
}

/// Scales and moves the strokes, in place, to fill the usual box in the middle of the picture, more or less.
fn fit(rng: &mut Hand, strokes: &mut [Vec<Point>]) {
    let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
    for &(x, y) in strokes.iter().flatten() {
        low = (low.0.min(x), low.1.min(y));
        high = (high.0.max(x), high.1.max(y));
    }
    let scale = BOX * rng.range(0.88, 1.06) / (high.0 - low.0).max(high.1 - low.1);
    let middle = SIDE as f32 / 2.0;
    let (dx, dy) = (middle + 0.6 * rng.bell(), middle + 0.6 * rng.bell());
    for (x, y) in strokes.iter_mut().flatten() {
        *x = (*x - (low.0 + high.0) / 2.0) * scale + dx;
        *y = (*y - (low.1 + high.1) / 2.0) * scale + dy;
    }
}

/// A Catmull–Rom spline through the points, as a chain of short straight pieces.
fn curve(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    // Beyond either end the curve goes on as if reflected in it, which leaves its ends straight.
    let reflect = |end: Point, inner: Point| (2.0 * end.0 - inner.0, 2.0 * end.1 - inner.1);
    let mut path = Vec::with_capacity((n - 1) * PIECES + 1);
    for i in 0..n - 1 {
        let (p1, p2) = (points[i], points[i + 1]);
        let p0 = if i > 0 { points[i - 1] } else { reflect(p1, p2) };
        let p3 = if i + 2 < n { points[i + 2] } else { reflect(p2, p1) };
        for step in 0..PIECES {
            let t = step as f32 / PIECES as f32;
            let at = |a: f32, b: f32, c: f32, d: f32| {
                b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
            };
            path.push((at(p0.0, p1.0, p2.0, p3.0), at(p0.1, p1.1, p2.1, p3.1)));
        }
    }
    path.push(points[n - 1]);
    path
}

/// A round pen whose width swells and thins along the way, with a soft edge. Lengths in pixels.
struct Pen {
    radius: f32,
    /// Width of the edge over which the ink fades.
    softness: f32,
    /// Relative change of the radius, and where along the stroke it begins.
    pressure: f32,
    phase: f32,
}

impl Pen {
    fn random(rng: &mut Hand) -> Self {
        // A log-normal width: most pens are thin, a few are broad.
        let radius = 1.20 * (0.30 * rng.bell()).exp();
        Self {
            radius: radius.clamp(0.70, 2.3),
            softness: rng.range(0.9, 1.5),
            pressure: rng.range(0.0, 0.22),
            phase: rng.range(0.0, std::f32::consts::TAU),
        }
    }

    /// Draws a chain of straight pieces into `ink`, a 32×32 picture with values in [0, 1]. Where ink meets ink the
    /// stronger stays.
    fn draw(&self, path: &[Point], ink: &mut [f32; SIDE * SIDE]) {
        let radius_at = |i: usize| {
            // A swell takes about five points (2π / 1.3): two or three to a digit.
            let angle = self.phase + i as f32 / PIECES as f32 * 1.3;
            self.radius * (1.0 + self.pressure * angle.sin())
        };
        for (i, ends) in path.windows(2).enumerate() {
            self.piece(ends[0], ends[1], radius_at(i), ink);
        }
    }

    fn piece(&self, a: Point, b: Point, radius: f32, ink: &mut [f32; SIDE * SIDE]) {
        let reach = radius + self.softness / 2.0;
        let pixels = |p: f32, q: f32| {
            // The pixels whose centres (i + ½) the pen can reach; a negative number saturates to 0.
            let first = (p.min(q) - reach - 0.5).ceil() as usize;
            let last = (p.max(q) + reach + 0.5).floor() as usize;
            first.min(SIDE)..last.min(SIDE)
        };
        let along = (b.0 - a.0, b.1 - a.1);
        let inverse = 1.0 / (along.0 * along.0 + along.1 * along.1).max(1e-12);
        for y in pixels(a.1, b.1) {
            for x in pixels(a.0, b.0) {
                let p = (x as f32 + 0.5 - a.0, y as f32 + 0.5 - a.1);
                let t = ((p.0 * along.0 + p.1 * along.1) * inverse).clamp(0.0, 1.0);
                let (dx, dy) = (p.0 - t * along.0, p.1 - t * along.1);
                let distance = (dx * dx + dy * dy).sqrt();
                let cover = ((radius - distance) / self.softness + 0.5).clamp(0.0, 1.0);
                let spot = &mut ink[y * SIDE + x];
                *spot = spot.max(cover);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(seed: u64, index: u64) -> (u8, Vec<u8>) {
        let mut pixels = vec![7; SIDE * SIDE];
        let label = Digits::new(seed).image(index, &mut pixels);
        (label, pixels)
    }

    #[test]
    fn a_picture_depends_on_seed_and_index_only() {
        let forward: Vec<_> = (0..50).map(|i| picture(1, i)).collect();
        let backward: Vec<_> = (0..50).rev().map(|i| picture(1, i)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        assert_ne!(picture(1, 0), picture(2, 0));
        assert_ne!(picture(1, 0), picture(1, 1));
        picture(u64::MAX, u64::MAX);
    }

    #[test]
    fn every_picture_has_ink_and_a_black_border() {
        for i in 0..20_000 {
            let (label, pixels) = picture(5, i);
            let on = |k: usize| pixels[k] > 0;
            let lit = (0..SIDE * SIDE).filter(|&k| pixels[k] > 127).count();
            assert!((10..450).contains(&lit), "picture {i}, a {label}: {lit} bright pixels");
            let border = (0..SIDE).any(|k| on(k) || on(31 * SIDE + k) || on(k * SIDE) || on(k * SIDE + 31));
            assert!(!border, "picture {i}, a {label}, touches the border");
        }
    }

    #[test]
    fn bell_has_mean_zero_and_variance_one() {
        let mut hand = Digits::new(3).hand(0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(hand.bell())).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn classes_are_equally_frequent() {
        let mut counts = [0; 10];
        (0..20_000).for_each(|i| counts[usize::from(picture(3, i).0)] += 1);
        // Standard deviation √(20000 · 0.1 · 0.9) ≈ 42.
        assert!(counts.iter().all(|&c: &i32| (c - 2000).abs() < 210), "{counts:?}");
    }
}
