//! The optimal discriminator, and why its slope is no guide.
//!
//! For a fixed generator the maximum of E ln D(x) + E ln(1 − D(y)) is D* = p/(p + q): equation (4) of the seed, p the
//! density of the data and q that of the generator. In logits D* = sigmoid f*, f* = ln p − ln q, and so
//!
//!   ∇f* = ∇p/p − ∇q/q,
//!
//! equation (5) with its last term corrected. For N(−1, s²) against N(1, s²), f*(x) = −2x/s² and ∇f* = −2/s²: it grows
//! without bound as the supports separate, while the gradient that reaches a generator through the minimax loss,
//! sigmoid(f)·∇f, dies. A bound on the slope of f, equation (7), is what is missing.

use rayon::prelude::*;
use wengert::{Rng, Tensor};

use super::{Finding, mean, norms, short};
use crate::pictures::{Chart, Line};
use crate::table::table;
use crate::toy::{Critic, Objective};

/// Points in an update.
const BATCH: usize = 512;
/// Points that the figures are means over.
const POINTS: usize = 2000;

/// N(mean, std²) on the line.
#[derive(Clone, Copy)]
struct Normal {
    mean: f64,
    std: f64,
}

impl Normal {
    fn density(self, x: f64) -> f64 {
        let t = (x - self.mean) / self.std;
        (-0.5 * t * t).exp() / (self.std * std::f64::consts::TAU.sqrt())
    }

    /// ∇p/p = −(x − mean)/std².
    fn score(self, x: f64) -> f64 {
        (self.mean - x) / (self.std * self.std)
    }

    /// `n` draws, (n, 1).
    fn sample(self, n: usize, rng: &mut Rng) -> Tensor {
        let draws = rng.normal::<f64>([n, 1]).to_vec();
        Tensor::from_vec([n, 1], draws.iter().map(|z| (self.mean + self.std * z) as f32).collect())
    }
}

/// Equation (4).
fn optimal(p: Normal, q: Normal, x: f64) -> f64 {
    p.density(x) / (p.density(x) + q.density(x))
}

/// Trains a discriminator between N(−1, 1) and N(1, 0.6²), and then between ever narrower normal distributions.
pub fn optimal_discriminator(seed: u64) -> Finding {
    let (p, q) = (Normal { mean: -1.0, std: 1.0 }, Normal { mean: 1.0, std: 0.6 });
    let critic = trained(Objective::Standard, p, q, 2500, &mut Rng::stream(seed, 0));
    let points = along(&critic, &(-12..=10).map(|i| f64::from(i) / 4.0).collect::<Vec<_>>());
    let stds = [1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05];
    let gaps = gaps(seed, &stds, 1000);
    let number = |x: f64| format!("{x:.3}");
    let row = |&[x, d, slope]: &[f64; 3]| {
        vec![format!("{x:.2}"), number(optimal(p, q, x)), number(d), number(p.score(x) - q.score(x)), number(slope)]
    };
    let every_second: Vec<_> = points.iter().step_by(2).map(row).collect();
    let first = table(&["x", "D*", "D", "∇f*", "∇f"], &every_second);
    let row = |g: &Gap| {
        vec![format!("{:.2}", g.std), number(g.exact()), number(g.slope), short(g.push, 0), number(g.bounded)]
    };
    let second =
        table(&["s", "|∇f*|", "|∇f|", "sigmoid(f)·|∇f|", "|∇f|, SN"], &gaps.iter().map(row).collect::<Vec<_>>());
    let text = format!(
        "N(−1, 1) against N(1, 0.6²): eq. (4), and eq. (5) corrected, against a trained discriminator\n{first}\n\
         N(−1, s²) against N(1, s²), means over generated points: the supports separate as s falls\n{second}\n\
         |∇f*| = 2/s² has no bound, and the trained |∇f| follows as far as training takes it. What the minimax loss\n\
         passes on to a generator dies meanwhile. Spectral norm (SN) holds the slope at 1 or below.\n"
    );
    Finding { text, charts: charts(p, q, &points, &gaps) }
}

fn trained(objective: Objective, p: Normal, q: Normal, steps: usize, rng: &mut Rng) -> Critic {
    let mut critic = Critic::new(objective, 1, 64, 2e-3, (0.5, 0.9), rng);
    for step in 0..steps {
        critic.set_lr(2e-3 * (1.0 - step as f64 / steps as f64));
        let (real, generated) = (p.sample(BATCH, rng), q.sample(BATCH, rng));
        critic.update(&real, &generated, rng);
    }
    critic
}

/// [x, D(x), ∇f(x)] at each x.
fn along(critic: &Critic, x: &[f64]) -> Vec<[f64; 3]> {
    let points = Tensor::from_vec([x.len(), 1], x.iter().map(|&x| x as f32).collect());
    let d = critic.values(&points.clone().into()).sigmoid().into_value().to_vec();
    let slopes = critic.slopes(&points).to_vec();
    (0..x.len()).map(|i| [x[i], d[i].into(), slopes[i].into()]).collect()
}

/// What is found at generated points for one standard deviation s: means of slopes.
struct Gap {
    std: f64,
    /// Of the discriminator: |∇f|.
    slope: f64,
    /// Of the minimax loss: |∇ ln(1 − sigmoid f)| = sigmoid(f)·|∇f|.
    push: f64,
    /// Of a spectrally normalised discriminator: |∇f|.
    bounded: f64,
}

impl Gap {
    /// |∇f*| = 2/s².
    fn exact(&self) -> f64 {
        2.0 / (self.std * self.std)
    }
}

fn gaps(seed: u64, stds: &[f64], steps: usize) -> Vec<Gap> {
    let gap = |(i, &std): (usize, &f64)| {
        let (p, q) = (Normal { mean: -1.0, std }, Normal { mean: 1.0, std });
        let mut rng = Rng::stream(seed, 1 + i as u64);
        let free = trained(Objective::Standard, p, q, steps, &mut rng);
        let normalised = trained(Objective::Spectral { k: 1.0 }, p, q, steps, &mut rng);
        let generated = q.sample(POINTS, &mut rng);
        let slopes = norms(&free.slopes(&generated));
        let d = free.values(&generated.clone().into()).sigmoid().into_value().to_vec();
        let push = mean(slopes.iter().zip(d).map(|(slope, d)| slope * f64::from(d)));
        Gap { std, slope: mean(slopes), push, bounded: mean(norms(&normalised.slopes(&generated))) }
    };
    stds.par_iter().enumerate().map(gap).collect()
}

fn charts(p: Normal, q: Normal, points: &[[f64; 3]], gaps: &[Gap]) -> Vec<Chart> {
    let fine: Vec<f64> = (-120..=100).map(|i| f64::from(i) / 40.0).collect();
    let of = |value: fn(&Gap) -> f64| gaps.iter().map(move |g| (1.0 / g.std, value(g)));
    vec![
        Chart {
            title: "D* = p/(p + q) of N(−1, 1) and N(1, 0.6²)".into(),
            x_label: "x",
            y_label: "D",
            log_y: false,
            lines: vec![
                Line::exact("optimal, equation (4)", fine.iter().map(|&x| (x, optimal(p, q, x)))),
                Line::measured("trained", points.iter().map(|&[x, d, _]| (x, d))),
            ],
        },
        Chart {
            title: "Slopes at generated points, N(−1, s²) and N(1, s²)".into(),
            x_label: "1/s: the supports separate",
            y_label: "slope",
            log_y: true,
            lines: vec![
                Line::exact("|∇f*| = 2/s², equation (5)", of(Gap::exact)),
                Line::measured("|∇f|, trained", of(|g| g.slope)),
                Line::measured("sigmoid(f)·|∇f|: what reaches the generator", of(|g| g.push)),
                Line::measured("|∇f|, spectral norm", of(|g| g.bounded)),
            ],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_and_scores() {
        let n = Normal { mean: 0.5, std: 2.0 };
        let total: f64 = (-2000..2000).map(|i| n.density(f64::from(i) * 0.01) * 0.01).sum();
        assert!((total - 1.0).abs() < 1e-9);
        let (x, h) = (1.3, 1e-5);
        let quotient = (n.density(x + h).ln() - n.density(x - h).ln()) / (2.0 * h);
        assert!((n.score(x) - quotient).abs() < 1e-8);
        // Equal densities: a half everywhere. Equal widths: sigmoid(−2x/s²).
        assert_eq!(optimal(n, n, 7.0), 0.5);
        let (p, q) = (Normal { mean: -1.0, std: 0.5 }, Normal { mean: 1.0, std: 0.5 });
        assert!((optimal(p, q, 0.2) - 1.0 / (1.0 + (2.0 * 0.2 / 0.25f64).exp())).abs() < 1e-12);
        assert!((p.score(0.2) - q.score(0.2) + 2.0 / 0.25).abs() < 1e-12);
    }

    #[test]
    fn training_finds_the_optimum() {
        let (p, q) = (Normal { mean: -1.0, std: 1.0 }, Normal { mean: 1.0, std: 0.6 });
        let critic = trained(Objective::Standard, p, q, 800, &mut Rng::seed(0));
        for [x, d, _] in along(&critic, &[-2.0, -1.0, 0.0, 0.5, 1.0, 1.5]) {
            assert!((d - optimal(p, q, x)).abs() < 0.05, "D({x}) = {d}, D* = {}", optimal(p, q, x));
        }
    }

    #[test]
    fn the_slope_grows_where_the_push_dies() {
        let gaps = gaps(0, &[0.5, 0.1], 300);
        assert!(gaps[1].slope > gaps[0].slope && gaps[1].push < 0.2 * gaps[0].push, "{}", gaps[1].push);
        assert!(gaps.iter().all(|g| (0.1..1.05).contains(&g.bounded)));
    }
}
