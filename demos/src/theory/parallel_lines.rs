//! Example 1 of the WGAN paper (arXiv:1701.07875): two parallel lines.
//!
//! Z is uniform on [0, 1]; P₀ is the law of (0, Z), P_θ that of (θ, Z). Every coupling must carry the mass across the
//! gap, so W(P₀, P_θ) = |θ|, with a slope towards 0 everywhere. The two lines share no point if θ ≠ 0, so
//! JS(P₀, P_θ) = ln 2 whatever θ is, and 0 at θ = 0: its gradient says nothing.

use std::f64::consts::LN_2;

use rayon::prelude::*;
use wengert::{Rng, Tensor};

use super::{Finding, mean};
use crate::pictures::{Chart, Line};
use crate::table::table;
use crate::toy::{Critic, Objective};

/// Points in an update.
const BATCH: usize = 256;
/// Points that the figures are means over.
const POINTS: usize = 2000;

/// What trained nets say at one θ. Slopes are derivatives of the distance beside them in θ.
struct Row {
    theta: f64,
    penalised: [f64; 2],
    clipped: [f64; 2],
    discriminator: [f64; 2],
}

/// W₁ of the two lines.
fn exact_w(theta: f64) -> f64 {
    theta.abs()
}

/// The Jensen–Shannon divergence of the two lines.
fn exact_js(theta: f64) -> f64 {
    if theta == 0.0 { 0.0 } else { LN_2 }
}

/// Trains a penalised critic (λ = 10), a clipped one (c = 0.1) and a discriminator at nine θ from −1 to 1.
pub fn parallel_lines(seed: u64) -> Finding {
    let rows = rows(seed, &[-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0], 600);
    let cells = |r: &Row| {
        let number = |x: f64| format!("{:.3}", (x * 1e3).round() / 1e3 + 0.0); // no −0.000
        let pair = |[value, slope]: [f64; 2]| [number(value), number(slope)];
        let mut row = vec![format!("{:.2}", r.theta), format!("{:.3}", exact_w(r.theta))];
        row.extend(pair(r.penalised));
        row.extend(pair(r.clipped));
        row.push(format!("{:.3}", exact_js(r.theta)));
        row.extend(pair(r.discriminator));
        row
    };
    let header = ["θ", "W", "GP", "dGP/dθ", "clip", "dclip/dθ", "JS", "D", "dD/dθ"];
    let text = table(&header, &rows.iter().map(cells).collect::<Vec<_>>())
        + "\nW = |θ|: the penalised critic (GP) finds it, and a slope of ±1 that leads to θ = 0 (λ = 10: both too\n\
           large by |θ|/2λ, at most 5 %; see exact-w1).\n\
           The clipped critic (c = 0.1) finds K·|θ| for a K that nobody chose.\n\
           JS = ln 2 = 0.693 off θ = 0: the discriminator (D) finds that, and no slope.\n";
    Finding { text, charts: charts(&rows) }
}

fn rows(seed: u64, thetas: &[f64], steps: usize) -> Vec<Row> {
    let objectives = [Objective::Penalised { lambda: 10.0 }, Objective::Clipped { c: 0.1 }, Objective::Standard];
    let row = |(i, &theta): (usize, &f64)| {
        let says = |k: usize| says(objectives[k], theta, steps, Rng::stream(seed, (3 * i + k) as u64));
        Row { theta, penalised: says(0), clipped: says(1), discriminator: says(2) }
    };
    thetas.par_iter().enumerate().map(row).collect()
}

/// `n` points of P_θ, (n, 2).
fn line(theta: f64, n: usize, rng: &mut Rng) -> Tensor {
    let z = rng.uniform::<f32>([n], 0.0, 1.0).to_vec();
    Tensor::from_vec([n, 2], z.into_iter().flat_map(|z| [theta as f32, z]).collect())
}

/// Trains one critic between P₀ and P_θ: its distance and the derivative of that in θ.
fn says(objective: Objective, theta: f64, steps: usize, mut rng: Rng) -> [f64; 2] {
    let mut critic = Critic::new(objective, 2, 64, 1e-3, (0.5, 0.9), &mut rng);
    for _ in 0..steps {
        let (real, moved) = (line(0.0, BATCH, &mut rng), line(theta, BATCH, &mut rng));
        critic.update(&real, &moved, &mut rng);
    }
    let (real, moved) = (line(0.0, POINTS, &mut rng), line(theta, POINTS, &mut rng));
    let along_x = critic.slopes(&moved).to_vec().into_iter().step_by(2).map(f64::from);
    let slope = match objective {
        // JS ≥ ln 2 + ½(E ln D(x) + E ln(1 − D(y))), and d ln(1 − sigmoid f)/dθ = −sigmoid(f)·∂f/∂x at y = (θ, Z).
        Objective::Standard => {
            let d = critic.values(&moved.clone().into()).sigmoid().into_value().to_vec();
            -0.5 * mean(along_x.zip(d).map(|(slope, d)| slope * f64::from(d)))
        }
        // E f(x) − E f(y).
        _ => -mean(along_x),
    };
    [critic.distance(&real, &moved), slope]
}

fn charts(rows: &[Row]) -> Vec<Chart> {
    let fine = || (-100..=100).map(|i| f64::from(i) / 100.0);
    let of = |value: fn(&Row) -> f64| rows.iter().map(move |r| (r.theta, value(r)));
    let chart =
        |title: &str, y_label, lines| Chart { title: title.into(), x_label: "θ", y_label, log_y: false, lines };
    vec![
        chart(
            "Distance of two parallel lines",
            "distance",
            vec![
                Line::exact("W = |θ|", fine().map(|t| (t, exact_w(t)))),
                Line::measured("critic, gradient penalty", of(|r| r.penalised[0])),
                Line::measured("critic, weights clipped to ±0.1", of(|r| r.clipped[0])),
                Line::exact("JS = ln 2 off 0", fine().map(|t| (t, exact_js(t)))),
                Line::measured("discriminator", of(|r| r.discriminator[0])),
            ],
        ),
        chart(
            "Its slope: what moves a generator",
            "derivative in θ",
            vec![
                Line::exact("dW/dθ = sign θ", fine().filter(|&t| t != 0.0).map(|t| (t, t.signum()))),
                Line::measured("critic, gradient penalty", of(|r| r.penalised[1])),
                Line::measured("critic, weights clipped to ±0.1", of(|r| r.clipped[1])),
                Line::exact("dJS/dθ = 0", fine().map(|t| (t, 0.0))),
                Line::measured("discriminator", of(|r| r.discriminator[1])),
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_critic_sees_the_way_and_a_discriminator_does_not() {
        for row in rows(0, &[-0.5, 1.0], 300) {
            let (theta, w) = (row.theta, exact_w(row.theta));
            let [distance, slope] = row.penalised;
            assert!((distance - w).abs() < 0.1 * w, "{theta}: W {distance}");
            assert!((slope - theta.signum()).abs() < 0.15, "{theta}: dW/dθ {slope}");
            let [js, slope] = row.discriminator;
            assert!((0.66..LN_2).contains(&js), "{theta}: JS {js}");
            assert!(slope.abs() < 0.1, "{theta}: dJS/dθ {slope}");
            assert!((row.clipped[0] / w - 1.0).abs() > 0.2, "{theta}: clipping finds K·W, not W: {:?}", row.clipped);
        }
        let nothing = rows(0, &[0.0], 100).remove(0);
        assert!(nothing.discriminator[0].abs() < 0.02 && nothing.penalised[0].abs() < 0.02);
    }

    #[test]
    fn the_exact_distances() {
        let mut rng = Rng::seed(3);
        let points = |theta: f64, rng: &mut Rng| -> Vec<[f64; 2]> {
            line(theta, 256, rng).to_vec().chunks_exact(2).map(|p| [p[0].into(), p[1].into()]).collect()
        };
        let (x, y) = (points(0.0, &mut rng), points(0.75, &mut rng));
        // Of samples, since the heights of the two draws differ, a little more than of the lines.
        let w = crate::toy::w1_in_the_plane(&x, &y).unwrap();
        assert!((exact_w(0.75)..exact_w(0.75) + 0.02).contains(&w), "{w}");
        assert_eq!([exact_js(0.0), exact_js(1e-9)], [0.0, LN_2]);
    }
}
