//! Distributions in the plane, and how well samples hit their modes.

use std::f64::consts::PI;

use clap::ValueEnum;
use serde::Serialize;
use wengert::{Rng, Tensor};

/// A distribution in the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Toy {
    /// 8 Gaussians on a circle of radius 1, standard deviation 0.01
    Ring,
    /// 25 Gaussians at {−4, −2, 0, 2, 4}², standard deviation 0.05
    Grid,
    /// A spiral: t(cos t, sin t)/7.5 for t uniform on [1.5π, 4.5π], standard deviation 0.25/7.5
    Swissroll,
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
    /// The standard deviation of the noise around a centre, or around the spiral.
    pub fn sigma(self) -> f64 {
        match self {
            Toy::Ring => 0.01,
            Toy::Grid => 0.05,
            Toy::Swissroll => 0.25 / 7.5,
        }
    }

    /// The centres of the mixture, all equally likely; none of the spiral.
    pub fn centres(self) -> Vec<[f64; 2]> {
        match self {
            Toy::Ring => (0..8).map(|k| f64::from(k) * PI / 4.0).map(|a| [a.cos(), a.sin()]).collect(),
            Toy::Grid => (0..25).map(|k| [f64::from(k % 5) * 2.0 - 4.0, f64::from(k / 5) * 2.0 - 4.0]).collect(),
            Toy::Swissroll => Vec::new(),
        }
    }

    /// The standard deviation of each coordinate, rounded: the nets see points divided by it.
    pub fn scale(self) -> f64 {
        match self {
            Toy::Ring => 0.5f64.sqrt(),
            Toy::Grid => 8f64.sqrt(),
            Toy::Swissroll => 0.93,
        }
    }

    /// Half the side of the square around 0 that a picture shows.
    pub fn half_side(self) -> f64 {
        match self {
            Toy::Ring => 1.4,
            Toy::Grid => 5.2,
            Toy::Swissroll => 2.2,
        }
    }

    /// `n` independent draws, (n, 2).
    pub fn sample(self, n: usize, rng: &mut Rng) -> Tensor {
        let centres = self.centres();
        let mut points = Vec::with_capacity(2 * n);
        for _ in 0..n {
            let centre = match self {
                Toy::Swissroll => {
                    let t = 1.5 * PI * (1.0 + 2.0 * rng.unit());
                    [t * t.cos() / 7.5, t * t.sin() / 7.5]
                }
                Toy::Ring | Toy::Grid => centres[rng.below(centres.len())],
            };
            let noise = rng.normal::<f64>([2]).to_vec();
            points.extend((0..2).map(|axis| (centre[axis] + self.sigma() * noise[axis]) as f32));
        }
        Tensor::from_vec([n, 2], points)
    }

    /// How the points (n, 2) hit the modes; `None` for the spiral, which has none. What is not a number is not good.
    pub fn score(self, points: &Tensor) -> Option<Score> {
        let centres = self.centres();
        if centres.is_empty() {
            return None;
        }
        let mut hits = vec![0usize; centres.len()];
        for point in points.to_vec().chunks_exact(2) {
            let distance = |c: &[f64; 2]| (c[0] - f64::from(point[0])).hypot(c[1] - f64::from(point[1]));
            // Centres are at least 2 · 3σ apart, so a centre within 3σ is the nearest one.
            if let Some(mode) = centres.iter().position(|c| distance(c) <= 3.0 * self.sigma()) {
                hits[mode] += 1;
            }
        }
        let good = hits.iter().sum::<usize>() as f64 / points.shape()[0] as f64;
        Some(Score { modes: hits.iter().filter(|&&n| n > 0).count(), good })
    }
}
