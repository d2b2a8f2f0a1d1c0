//! Recycled against initial u: the seed's mistake.
//!
//! Spectral norm divides a weight W by σ ≈ uᵀWv after one round of power iteration, v ← Wᵀu/‖Wᵀu‖, u ← Wv/‖Wv‖
//! (equations (12) and (13)). W moves little between updates, so a round that starts from the u that *the last round
//! left* is one more step towards the first singular vector: uᵀWv/σ → 1. The seed says that each round starts from the
//! initial u. Then there is only ever one step: for a W of independent entries, m × n, it finds √(m + n) of √m + √n
//! (from the second and first moment of the law of Marchenko and Pastur), 0.73 for the shape here, and W/σ keeps a norm
//! of 1.37.

use wengert::ops::power_iteration as rounds;
use wengert::{Rng, Tensor, Var};

use super::Finding;
use crate::pictures::{Chart, Line};
use crate::table::table;

/// The shape of W.
const SHAPE: [usize; 2] = [64, 192];
/// The eps of the norms (PyTorch's value).
const EPS: f64 = 1e-12;
/// Updates of W.
const UPDATES: usize = 400;
/// Each update adds this much of a matrix of draws from N(0, 1) to W, which began as one.
const DRIFT: f64 = 1e-3;

/// uᵀWv/σ after an update of W.
struct Round {
    update: usize,
    restarted: f64,
    recycled: f64,
}

/// Follows a drifting weight, as training would move it, by both ways of power iteration.
pub fn power_iteration(seed: u64) -> Finding {
    let found = follow(seed, UPDATES);
    let shown = [1, 2, 3, 5, 10, 20, 50, 100, 200, UPDATES];
    let row = |r: &Round| vec![r.update.to_string(), format!("{:.4}", r.restarted), format!("{:.4}", r.recycled)];
    let rows: Vec<_> = found.iter().filter(|r| shown.contains(&r.update)).map(row).collect();
    let last = found.last().expect("there are updates");
    let [m, n] = SHAPE.map(|extent| extent as f64);
    let expected = (m + n).sqrt() / (m.sqrt() + n.sqrt());
    let text = format!(
        "uᵀWv/σ of a weight of {m}×{n} that drifts, one round of power iteration an update\n{}\n\
         From the initial u each time: {:.2} for ever (the law of large matrices says {expected:.2}), so the norm of\n\
         W/σ is {:.2}, and that of eight such layers up to {:.0}. From the u of the last round: {:.4}.\n",
        table(&["update", "initial u", "recycled u"], &rows),
        last.restarted,
        1.0 / last.restarted,
        last.restarted.powi(-8),
        last.recycled,
    );
    let line = |value: fn(&Round) -> f64| found.iter().map(move |r| (r.update as f64, value(r)));
    let chart = Chart {
        title: "The estimate of the spectral norm over its true value".into(),
        x_label: "updates of W, one round of power iteration each",
        y_label: "uᵀWv/σ",
        log_y: false,
        lines: vec![
            Line::exact("true", [(0.0, 1.0), (UPDATES as f64, 1.0)]),
            Line::exact("from the u of the last round", line(|r| r.recycled)),
            Line::exact("from the initial u, every time", line(|r| r.restarted)),
        ],
    };
    Finding { text, charts: vec![chart] }
}

fn follow(seed: u64, updates: usize) -> Vec<Round> {
    let mut rng = Rng::stream(seed, 0);
    let mut w: Tensor<f64> = rng.normal(SHAPE);
    let initial: Tensor<f64> = rng.normal([SHAPE[0]]); // the first round normalises it
    let v = Tensor::zeros([SHAPE[1]]);
    let (mut recycled, mut first) = (initial.clone(), rounds(&w, 0, &initial, &v, 10_000, EPS).0);
    let round = |update: usize| {
        let drift: Var<f64> = rng.normal::<f64>(SHAPE).into();
        w = (Var::from(&w) + DRIFT * drift).into_value();
        let sigma = |(u, v): &(Tensor<f64>, Tensor<f64>)| Var::from(&w).spectral_sigma(u, v, 0).item();
        let restarted = sigma(&rounds(&w, 0, &initial, &v, 1, EPS));
        let one = rounds(&w, 0, &recycled, &v, 1, EPS);
        // The truth by the same iteration, as long as it takes: the singular vectors of the last W are a good start.
        let converged = rounds(&w, 0, &first, &v, 200, EPS);
        let truth = sigma(&converged);
        let found = Round { update, restarted: restarted / truth, recycled: sigma(&one) / truth };
        (recycled, first) = (one.0, converged.0);
        found
    };
    (1..=updates).map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_recycled_u_finds_the_norm() {
        for seed in 0..3 {
            let found = follow(seed, UPDATES);
            let last = found.last().unwrap();
            assert!((0.65..0.8).contains(&last.restarted), "{}", last.restarted);
            assert!((0.999..1.0 + 1e-9).contains(&last.recycled), "{}", last.recycled);
            assert!(found.iter().all(|r| r.restarted < 0.9), "it never learns");
        }
    }
}
