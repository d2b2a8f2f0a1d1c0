//! What a critic says of W₁, and what it is.
//!
//! By the Kantorovich–Rubinstein duality, equation (2) of the seed, W₁ is the greatest E f(x) − E f(y) of any
//! 1-Lipschitz f. A critic under a gradient penalty is kept near that: if all mass moves by W₁ in one direction, f
//! rises along it with the slope s that makes s·W₁ − λ(s − 1)² greatest, s = 1 + W₁/2λ. Clipped weights make it
//! K-Lipschitz for a K that depends on c, the depth, the width and training, so that its estimate is K·W₁ at best.
//! Between two *samples* of the same size W₁ is the cost of the cheapest pairing, known exactly: on the line from
//! sorting, in the plane from solving the assignment problem.

use rayon::prelude::*;
use wengert::{Rng, Tensor, Var};

use super::{Finding, norms, short};
use crate::linalg::largest;
use crate::pictures::{Chart, Line};
use crate::table::table;
use crate::toy::{Critic, Objective, Toy, w1_in_the_plane, w1_on_a_line};

/// Points in a sample, and in an update: every update sees all of both.
const POINTS: usize = 512;
/// Updates of each critic. The penalty holds slopes of the wrong sign at −1 too, and turning them takes hundreds.
const STEPS: usize = 800;
/// The bounds of clipping; the first is the WGAN paper's.
const BOUNDS: [f64; 3] = [0.01, 0.05, 0.2];

/// Two samples of points (POINTS, d).
struct Pair {
    name: &'static str,
    samples: [Tensor; 2],
}

/// What is said of a pair.
struct Row {
    name: &'static str,
    exact: f64,
    penalised: f64,
    /// For each of `BOUNDS`: the estimate, and the steepest slope of the critic at the points.
    clipped: [[f64; 2]; 3],
}

/// Trains critics between pairs of samples on the line and in the plane.
pub fn exact_w1(seed: u64) -> Finding {
    let rows = rows(seed, pairs(seed), STEPS);
    let cells = |r: &Row| {
        let mut cells = vec![r.name.into(), format!("{:.3}", r.exact), format!("{:.3}", r.penalised)];
        cells.push(format!("{:.3}", r.penalised / r.exact));
        cells.extend(r.clipped.iter().flat_map(|[estimate, slope]| [short(estimate / r.exact, 0), short(*slope, 0)]));
        cells
    };
    let header = ["samples", "W₁", "GP", "GP/W₁", "c=0.01", "K", "c=0.05", "K", "c=0.2", "K"];
    let text = format!(
        "{}\nThe penalised critic (GP, λ = 10) says W₁, or W₁(1 + W₁/2λ) where all mass moves the same way: it pays\n\
         to be steeper than 1. Where the samples overlap (the first row) the penalty wants a slope of 1 everywhere\n\
         all the same, and can hold the critic in a bad place.\n\
         Clipping to ±c: the estimate over W₁, and K, the steepest slope found at the points. K depends on c as its\n\
         fourth power (four layers), and not on c alone: from pair to pair the ratio differs, so distances cannot be\n\
         compared.\n",
        table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
    );
    Finding { text, charts: charts(&rows) }
}

fn pairs(seed: u64) -> Vec<Pair> {
    let mut rng = Rng::stream(seed, 0);
    let mut normal = |mean: f64, std: f64| {
        let x = rng.normal::<f32>([POINTS, 1]);
        (Var::from(x) * std + mean).into_value()
    };
    let mut pairs = vec![
        Pair { name: "N(0,1), N(0.3,1)", samples: [normal(0.0, 1.0), normal(0.3, 1.0)] },
        Pair { name: "N(0,1), N(1,0.5²)", samples: [normal(0.0, 1.0), normal(1.0, 0.5)] },
        Pair { name: "N(0,1), N(4,1)", samples: [normal(0.0, 1.0), normal(4.0, 1.0)] },
    ];
    let [ring, grid, roll] = [Toy::Ring, Toy::Grid, Toy::Swissroll].map(|toy| toy.sample(POINTS, &mut rng));
    let cloud: Tensor = rng.normal([POINTS, 2]);
    pairs.extend([
        Pair { name: "ring, swiss roll", samples: [ring, roll.clone()] },
        Pair { name: "N(0,I), swiss roll", samples: [cloud.clone(), roll] },
        Pair { name: "N(0,I), grid", samples: [cloud, grid] },
    ]);
    pairs
}

/// W₁ of the two samples.
fn exact([x, y]: &[Tensor; 2]) -> f64 {
    let numbers = |points: &Tensor| points.to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
    if x.shape()[1] == 1 {
        return w1_on_a_line(&numbers(x), &numbers(y));
    }
    let points = |sample| numbers(sample).chunks_exact(2).map(|p| [p[0], p[1]]).collect::<Vec<_>>();
    w1_in_the_plane(&points(x), &points(y)).expect("samples are finite")
}

fn rows(seed: u64, pairs: Vec<Pair>, steps: usize) -> Vec<Row> {
    let row = |(i, pair): (usize, Pair)| {
        let says =
            |k: usize, objective| says(objective, &pair.samples, steps, Rng::stream(seed, (1 + 4 * i + k) as u64));
        let clipped = std::array::from_fn(|k| says(1 + k, Objective::Clipped { c: BOUNDS[k] }));
        let [penalised, _] = says(0, Objective::Penalised { lambda: 10.0 });
        Row { name: pair.name, exact: exact(&pair.samples), penalised, clipped }
    };
    pairs.into_par_iter().enumerate().map(row).collect()
}

/// The estimate of a trained critic, and its steepest slope at the points.
fn says(objective: Objective, [x, y]: &[Tensor; 2], steps: usize, mut rng: Rng) -> [f64; 2] {
    let mut critic = Critic::new(objective, x.shape()[1], 64, 2e-3, (0.5, 0.9), &mut rng);
    for step in 0..steps {
        critic.set_lr(2e-3 * (1.0 - step as f64 / steps as f64));
        // The penalty is taken between points of both samples: in another order each time, other points meet.
        let shuffled = Var::from(y).index_select(0, &rng.permutation(POINTS)).into_value();
        critic.update(x, &shuffled, &mut rng);
    }
    let steepest = largest([x, y].iter().flat_map(|points| norms(&critic.slopes(points))));
    [critic.distance(x, y), steepest]
}

fn charts(rows: &[Row]) -> Vec<Chart> {
    let largest = rows.iter().map(|r| r.exact).fold(0.0, f64::max);
    let least = rows.iter().map(|r| r.exact).fold(f64::INFINITY, f64::min);
    let clipped = (0..BOUNDS.len()).map(|k| {
        let points = rows.iter().map(move |r| (r.exact, r.clipped[k][0]));
        Line::measured(format!("clipped to ±{}", BOUNDS[k]), sorted(points))
    });
    let mut lines = vec![
        Line::exact("exact", (0..=100).map(|i| least + (largest - least) * f64::from(i) / 100.0).map(|w| (w, w))),
        Line::measured("gradient penalty", sorted(rows.iter().map(|r| (r.exact, r.penalised)))),
    ];
    lines.extend(clipped);
    vec![Chart {
        title: "W₁ of six pairs of samples, by their critics".into(),
        x_label: "W₁, by sorting and by assignment",
        y_label: "the critic's estimate",
        log_y: true,
        lines,
    }]
}

fn sorted(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_penalised_critic_says_w1_and_a_clipped_one_does_not() {
        let pair = pairs(0).remove(2);
        let row = rows(0, vec![pair], STEPS).remove(0);
        assert!((row.exact - 4.0).abs() < 0.2, "{}", row.exact);
        // The mass moves one way: W₁(1 + W₁/2λ), 4.8, is what the penalty makes of it.
        let expected = row.exact * (1.0 + row.exact / 20.0);
        assert!((row.penalised / expected - 1.0).abs() < 0.05, "{} {expected}", row.penalised);
        let [small, middle, large] = row.clipped.map(|[estimate, _]| estimate / row.exact);
        assert!(small < 0.01 && middle > 10.0 * small && large > 10.0 * middle, "{small} {middle} {large}");
        for [estimate, slope] in row.clipped {
            assert!(estimate <= 1.01 * slope * row.exact, "E f(x) − E f(y) = {estimate} beyond K·W₁, K = {slope}");
        }
    }
}
