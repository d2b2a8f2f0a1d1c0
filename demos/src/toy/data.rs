//! Distributions in the plane, and how well samples hit their modes.

use std::f64::consts::PI;

use clap::ValueEnum;
use serde::Serialize;
use wengert::{Rng, Tensor};

use crate::metrics::modes;

/// A distribution in the plane.
#[derive(Clone, Debug, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Toy {
    /// 8 Gaussians on a circle of radius 1, standard deviation 0.01
    Ring,
    /// 25 Gaussians at {−4, −2, 0, 2, 4}², standard deviation 0.05
    Grid,
    /// A spiral: t(cos t, sin t)/7.5 for t uniform on [1.5π, 4.5π], standard deviation 0.25/7.5
    Swissroll,
    /// A Gaussian of standard deviation 0.03 around each of these points, all equally likely
    #[value(skip)]
    Drawn(Vec<[f64; 2]>),
}

/// The most points of a drawing.
const MOST_DRAWN: usize = 100;

/// Reads the points of a drawing, `x,y x,y …`, each within ±1.4.
///
/// # Errors
/// In words: there is no point, too many, or one that is none or lies outside.
pub fn drawing(text: &str) -> Result<Toy, String> {
    let point = |word: &str| {
        let point = word.split_once(',').and_then(|(x, y)| Some([x.parse::<f64>().ok()?, y.parse::<f64>().ok()?]));
        let point = point.filter(|point| point.iter().all(|x| x.abs() <= Toy::Ring.half_side()));
        point.ok_or_else(|| format!("found {word:?}; expected x,y within ±{}", Toy::Ring.half_side()))
    };
    let points: Vec<[f64; 2]> = text.split_whitespace().map(point).collect::<Result<_, _>>()?;
    match points.len() {
        1..=MOST_DRAWN => Ok(Toy::Drawn(points)),
        n => Err(format!("found {n} points; expected 1 to {MOST_DRAWN}")),
    }
}

/// How samples hit the modes of a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Modes with at least one good sample.
    pub modes: usize,
    /// The share of good samples, in [0, 1]: those within 3σ of their nearest centre. Of the mixture itself,
    /// 1 − exp(−9/2) = 0.989 are good.
    pub good: f64,
}

impl Toy {
    /// The word of the command line for it; `drawn` for a drawing.
    pub fn name(&self) -> String {
        self.to_possible_value().map_or("drawn".into(), |value| value.get_name().into())
    }

    /// The standard deviation of the noise around a centre, or around the spiral.
    pub fn sigma(&self) -> f64 {
        match self {
            Toy::Ring => 0.01,
            Toy::Grid => 0.05,
            Toy::Swissroll => 0.25 / 7.5,
            Toy::Drawn(_) => 0.03,
        }
    }

    /// The centres of the mixture, all equally likely; none of the spiral.
    pub fn centres(&self) -> Vec<[f64; 2]> {
        match self {
            Toy::Ring => (0..8).map(|k| f64::from(k) * PI / 4.0).map(|a| [a.cos(), a.sin()]).collect(),
            Toy::Grid => (0..25).map(|k| [f64::from(k % 5) * 2.0 - 4.0, f64::from(k / 5) * 2.0 - 4.0]).collect(),
            Toy::Swissroll => Vec::new(),
            Toy::Drawn(points) => points.clone(),
        }
    }

    /// The standard deviation of each coordinate, rounded: the nets see points divided by it.
    pub fn scale(&self) -> f64 {
        match self {
            Toy::Ring | Toy::Drawn(_) => 0.5f64.sqrt(),
            Toy::Grid => 8f64.sqrt(),
            Toy::Swissroll => 0.93,
        }
    }

    /// Half the side of the square around 0 that a picture shows.
    pub fn half_side(&self) -> f64 {
        match self {
            Toy::Ring | Toy::Drawn(_) => 1.4,
            Toy::Grid => 5.2,
            Toy::Swissroll => 2.2,
        }
    }

    /// `n` independent draws, (n, 2).
    pub fn sample(&self, n: usize, rng: &mut Rng) -> Tensor {
        let centres = self.centres();
        let mut points = Vec::with_capacity(2 * n);
        for _ in 0..n {
            let centre = match self {
                Toy::Swissroll => {
                    let t = 1.5 * PI * (1.0 + 2.0 * rng.unit());
                    [t * t.cos() / 7.5, t * t.sin() / 7.5]
                }
                _ => centres[rng.below(centres.len())],
            };
            let noise = rng.normal::<f64>([2]).to_vec();
            points.extend((0..2).map(|axis| (centre[axis] + self.sigma() * noise[axis]) as f32));
        }
        Tensor::from_vec([n, 2], points)
    }

    /// How the points (n, 2) hit the modes; `None` for the spiral, which has none. What is not a number is not good.
    pub fn score(&self, points: &Tensor) -> Option<Score> {
        let centres = self.centres();
        if centres.is_empty() {
            return None;
        }
        let points: Vec<[f64; 2]> = points.to_vec().chunks_exact(2).map(|p| [p[0].into(), p[1].into()]).collect();
        let found = modes(&points, &centres, self.sigma());
        Some(Score { modes: found.found(), good: found.good_share() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 20_000;

    fn draw(toy: &Toy) -> Vec<[f64; 2]> {
        toy.sample(N, &mut Rng::seed(0)).to_vec().chunks_exact(2).map(|p| [p[0].into(), p[1].into()]).collect()
    }

    fn nearest(centres: &[[f64; 2]], p: &[f64; 2]) -> usize {
        let distance = |k: &usize| (centres[*k][0] - p[0]).hypot(centres[*k][1] - p[1]);
        (0..centres.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
    }

    #[test]
    fn mixtures_are_what_they_are_called() {
        for (toy, count, sigma) in [(Toy::Ring, 8, 0.01), (Toy::Grid, 25, 0.05)] {
            let (points, centres) = (draw(&toy), toy.centres());
            assert_eq!((centres.len(), toy.sigma()), (count, sigma));
            let mut hits = vec![0; count];
            let mut squares = [0.0; 2];
            for p in &points {
                let mode = nearest(&centres, p);
                hits[mode] += 1;
                (0..2).for_each(|axis| squares[axis] += (p[axis] - centres[mode][axis]).powi(2));
            }
            let expected = N as f64 / count as f64;
            assert!(hits.iter().all(|&n| (f64::from(n) - expected).abs() < 5.0 * expected.sqrt()), "{toy:?}: {hits:?}");
            for square in squares {
                let found = (square / N as f64).sqrt();
                assert!((found / sigma - 1.0).abs() < 0.03, "{toy:?}: σ {found}");
            }
            let score = toy.score(&toy.sample(N, &mut Rng::seed(1))).unwrap();
            assert_eq!(score.modes, count);
            assert!((score.good - (1.0 - (-4.5f64).exp())).abs() < 0.003, "{toy:?}: {}", score.good);
        }
        assert!(Toy::Ring.centres().iter().all(|c| (c[0].hypot(c[1]) - 1.0).abs() < 1e-12));
        assert!(Toy::Grid.centres().contains(&[-4.0, 2.0]) && Toy::Grid.centres().contains(&[4.0, 4.0]));
    }

    #[test]
    fn drawings_are_read_or_refused_in_words() {
        assert_eq!(drawing("0.5,-1 0,0"), Ok(Toy::Drawn(vec![[0.5, -1.0], [0.0, 0.0]])));
        assert!(drawing("").unwrap_err().contains("found 0 points"));
        assert!(drawing(&"0,0 ".repeat(101)).unwrap_err().contains("found 101 points; expected 1 to 100"));
        for bad in ["1", "1,x", "2,0", "NaN,0", "0,0,0"] {
            assert_eq!(drawing(bad).unwrap_err(), format!("found {bad:?}; expected x,y within ±1.4"));
        }
    }

    #[test]
    fn the_roll_is_a_spiral_with_noise() {
        let points = draw(&Toy::Swissroll);
        let turn = |p: &[f64; 2]| (7.5 * p[0].hypot(p[1]), p[1].atan2(p[0]));
        // On the spiral radius and angle are the same number t, up to whole turns.
        let off = |p: &[f64; 2]| ((turn(p).0 - turn(p).1) / (2.0 * PI)).fract();
        let off = |p: &[f64; 2]| (off(p) - off(p).round()) * 2.0 * PI;
        assert!(points.iter().all(|p| off(p).abs() < 1.2 && (1.0..4.9).contains(&(turn(p).0 / PI))));
        let noise = (points.iter().map(|p| off(p).powi(2)).sum::<f64>() / N as f64).sqrt();
        assert!((0.2..0.3).contains(&noise), "{noise}");
        assert_eq!(Toy::Swissroll.score(&Tensor::zeros([1, 2])), None);
    }

    #[test]
    fn coordinates_have_the_stated_scale() {
        for toy in [Toy::Ring, Toy::Grid, Toy::Swissroll] {
            let mean_square = draw(&toy).iter().map(|p| p[0] * p[0] + p[1] * p[1]).sum::<f64>() / (2 * N) as f64;
            assert!((mean_square.sqrt() / toy.scale() - 1.0).abs() < 0.02, "{toy:?}: {}", mean_square.sqrt());
        }
    }

    #[test]
    fn good_is_within_three_sigma() {
        let points = [1.0295, 0.0, 1.0305, 0.0, 0.0, 1.0, 0.0, 1.0, f32::NAN, 0.0];
        let score = Toy::Ring.score(&Tensor::from_vec([5, 2], points.to_vec())).unwrap();
        assert_eq!(score, Score { modes: 2, good: 0.6 });
    }
}
