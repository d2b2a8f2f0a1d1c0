//! All that a page shows of a toy at one moment, as JSON.

use serde_json::{Value, json};
use wengert::{Rng, Tensor};

use super::snapshot::points;
use super::{Lab, Objective, Toy, Trainer, Z_DIM, cheapest_pairing, optimal_critic, w1_in_the_plane};
use crate::linalg::largest;

/// Cells of the heat map along each side.
pub const CELLS: usize = 60;
/// Points of the generator's mesh along each side; noise from −REACH to REACH.
const MESH: usize = 25;
const REACH: f64 = 2.4;
/// Samples shown, real and generated.
const SAMPLES: usize = 400;
/// Samples with an arrow.
const ARROWS: usize = 80;
/// Points of each sample that are paired.
const PAIRED: usize = 128;
/// Points of each sample that the critic's estimate is a mean of.
const ESTIMATED: usize = 1024;
/// The widest layers of which singular values are computed: it takes the cube of the width, in every frame.
const WIDEST: usize = 256;
/// Generated points that are counted for the optimal discriminator.
const COUNTED: usize = 40_000;

/// The real points that a page shows: the first are those that are paired.
pub fn real_points(toy: &Toy) -> Value {
    json!(rounded(&points(&toy.sample(SAMPLES, &mut Rng::seed(3)))))
}

/// W₁ between as many of the data as are paired and as many others: a level that W₁ of a perfect generator has, too.
pub fn level(toy: &Toy) -> Option<f64> {
    let real = points(&toy.sample(SAMPLES, &mut Rng::seed(3)));
    w1_in_the_plane(&real[..PAIRED], &real[PAIRED..2 * PAIRED])
}

/// A number with four digits behind the point, which JSON writes short.
pub(super) fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

pub(super) fn rounded(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    points.iter().map(|point| point.map(round)).collect()
}

/// The state of a lab. With `optimum`, the optimal discriminator, or critic, too, which takes longer.
pub fn frame(lab: &Lab, optimum: bool) -> Value {
    let (trainer, toy) = (lab.trainer(), &lab.start().toy);
    let samples = trainer.sample_now(SAMPLES);
    let shown = points(&samples);
    let real = points(&toy.sample(SAMPLES, &mut Rng::seed(3)));
    let pairing = cheapest_pairing(&real[..PAIRED], &shown[..PAIRED]);
    let first = Tensor::from_vec([ARROWS, 2], samples.to_vec()[..2 * ARROWS].to_vec());
    let mut frame = json!({
        "script": lab.script().to_string(),
        "step": trainer.step(),
        "over": lab.is_over(),
        "losses": lab.losses(),
        "rates": { "lr": trainer.recipe().lr, "lr_d": trainer.recipe().lr_d, "n_dis": trainer.recipe().n_dis },
        "critic": heat(trainer, toy).into_iter().map(round).collect::<Vec<_>>(),
        "generated": rounded(&shown),
        "arrows": rounded(&points(&trainer.push(&first))),
        "mesh": mesh(trainer),
        "pairing": pairing.as_ref().map(|(pairing, _)| pairing),
        "w1": pairing.as_ref().map(|(_, mean)| mean),
        "product": Some(trainer.recipe().hidden).filter(|n| *n <= WIDEST).map(|_| trainer.critic_net().slope_bound()),
        "score": toy.score(&samples).map(|score| json!({ "modes": score.modes, "good": score.good })),
    });
    for (name, value) in estimates(trainer, toy, &real, &shown, pairing.as_ref().map(|(pairing, _)| pairing)) {
        frame[name] = json!(value);
    }
    if optimum {
        frame["optimum"] = optimum_of(lab, &real, &shown, pairing.as_ref().map(|(pairing, _)| &pairing[..]));
    }
    frame
}

/// The optimum of a lab's critic, by cells: D* of its generator for the log loss; else an f that solves the dual of the
/// pairs, if the points are finite.
pub fn optimum(lab: &Lab) -> Value {
    let real = points(&lab.start().toy.sample(SAMPLES, &mut Rng::seed(3)));
    let shown = points(&lab.trainer().sample_now(SAMPLES));
    let pairing = cheapest_pairing(&real[..PAIRED], &shown[..PAIRED]);
    optimum_of(lab, &real, &shown, pairing.as_ref().map(|(pairing, _)| &pairing[..]))
}

fn optimum_of(lab: &Lab, real: &[[f64; 2]], shown: &[[f64; 2]], pairing: Option<&[usize]>) -> Value {
    let (trainer, toy) = (lab.trainer(), &lab.start().toy);
    let found = match trainer.recipe().objective {
        Objective::Standard => Some(optimal(trainer, toy)),
        _ => pairing.map(|pairing| {
            let f = optimal_critic(&real[..PAIRED], &shown[..PAIRED], pairing);
            cells(toy).map(|z| Some(f(z))).collect()
        }),
    };
    json!(found.map(|cells| cells.iter().map(|value| value.map(round)).collect::<Vec<_>>()))
}

/// The centres of the cells, from the lower left, row by row.
fn cells(toy: &Toy) -> impl Iterator<Item = [f64; 2]> {
    let half_side = toy.half_side();
    let at = move |i: usize| ((i as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0) * half_side;
    (0..CELLS * CELLS).map(move |i| [at(i % CELLS), at(i / CELLS)])
}

/// The critic at the centres of the cells; as a probability where it gives logits.
pub(super) fn heat(trainer: &Trainer, toy: &Toy) -> Vec<f64> {
    let cells = cells(toy).flatten().map(|x| x as f32).collect();
    let values = trainer.critic(&Tensor::from_vec([CELLS * CELLS, 2], cells)).to_vec();
    let value = |x: f32| match trainer.recipe().objective {
        Objective::Standard => 1.0 / (1.0 + (-f64::from(x)).exp()),
        _ => f64::from(x),
    };
    values.into_iter().map(value).collect()
}

/// The image of a square mesh of noise, row by row.
pub(super) fn mesh(trainer: &Trainer) -> Vec<[f64; 2]> {
    let at = |i: usize| ((i as f64 / (MESH - 1) as f64 * 2.0 - 1.0) * REACH) as f32;
    let mesh = (0..MESH * MESH).flat_map(|i| [at(i % MESH), at(i / MESH)]).collect();
    rounded(&points(&trainer.generate_now(&Tensor::from_vec([MESH * MESH, Z_DIM], mesh))))
}

/// What the critic says of the distance, and how steep it is: at real and generated points, and halfway between the
/// pairs. Slopes are per unit of the points as the critic sees them, to which K belongs.
///
/// E f(x) − E f(y) ≤ Lip(f)·W₁ (WGAN, equation (2)), so the estimate over the steepest slope is below W₁, as far as the
/// steepest has been found; it is given in units of the plane.
fn estimates(
    trainer: &Trainer,
    toy: &Toy,
    real: &[[f64; 2]],
    generated: &[[f64; 2]],
    pairing: Option<&Vec<usize>>,
) -> [(&'static str, Option<f64>); 4] {
    let (critic, scale) = (trainer.critic_net(), toy.scale());
    let seen = |tensor: &Tensor| (wengert::Var::from(tensor) / scale).into_value();
    let real_sample = toy.sample(ESTIMATED, &mut Rng::seed(3));
    let estimate = critic.distance(&seen(&real_sample), &seen(&trainer.sample_now(ESTIMATED)));
    let half = |(i, j): (usize, &usize)| [0, 1].map(|axis| (real[i][axis] + generated[*j][axis]) / 2.0);
    let between: Vec<[f64; 2]> = pairing.into_iter().flatten().enumerate().map(half).collect();
    let all: Vec<f32> = [real, generated, &between].concat().iter().flatten().map(|x| *x as f32).collect();
    let slopes = critic.slopes(&seen(&Tensor::from_vec([all.len() / 2, 2], all))).to_vec();
    let norms: Vec<f64> = slopes.chunks_exact(2).map(|g| f64::from(g[0]).hypot(f64::from(g[1]))).collect();
    let steepest = largest(norms.iter().copied());
    let mean = norms.iter().sum::<f64>() / norms.len() as f64;
    let wasserstein = trainer.recipe().objective != Objective::Standard;
    let bound = Some(estimate / steepest * scale).filter(|_| wasserstein && steepest > 0.0);
    [("estimate", Some(estimate)), ("steepest", Some(steepest)), ("slope", Some(mean)), ("bound", bound)]
}

/// D* = p/(p + q), the optimal discriminator (Goodfellow et al. 2014, proposition 1), of the cells of the heat map: p
/// and q are the shares of the data and of the generator in each cell. Of a mixture p is exact, else counted; q is
/// counted. `None` where nothing falls.
fn optimal(trainer: &Trainer, toy: &Toy) -> Vec<Option<f64>> {
    let half_side = toy.half_side();
    let q = counted(&trainer.sample_now(COUNTED), half_side);
    let centres = toy.centres();
    let p = match centres.is_empty() {
        true => counted(&toy.sample(COUNTED, &mut Rng::seed(4)), half_side),
        false => mixture(&centres, toy.sigma(), half_side),
    };
    let least = 0.1 / COUNTED as f64;
    p.iter().zip(&q).map(|(p, q)| Some(p / (p + q)).filter(|_| p + q > least)).collect()
}

/// The share of the points (N, 2) in each cell.
fn counted(points: &Tensor, half_side: f64) -> Vec<f64> {
    let mut shares = vec![0.0; CELLS * CELLS];
    let n = points.shape()[0] as f64;
    for point in points.to_vec().chunks_exact(2) {
        let [column, row] = [0, 1].map(|i| (f64::from(point[i]) / half_side + 1.0) / 2.0 * CELLS as f64);
        let inside = |x: f64| (0.0..CELLS as f64).contains(&x);
        if inside(column) && inside(row) {
            shares[row as usize * CELLS + column as usize] += 1.0 / n;
        }
    }
    shares
}

/// The share of a mixture of Gaussians in each cell: products of differences of distribution functions.
fn mixture(centres: &[[f64; 2]], sigma: f64, half_side: f64) -> Vec<f64> {
    let edge = |i: usize| (i as f64 / CELLS as f64 * 2.0 - 1.0) * half_side;
    let along = |centre: f64| -> Vec<f64> {
        let below: Vec<f64> = (0..=CELLS).map(|i| normal_below((edge(i) - centre) / sigma)).collect();
        below.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let mut shares = vec![0.0; CELLS * CELLS];
    for &[x, y] in centres {
        let (columns, rows) = (along(x), along(y));
        for (i, share) in shares.iter_mut().enumerate() {
            *share += columns[i % CELLS] * rows[i / CELLS] / centres.len() as f64;
        }
    }
    shares
}

/// P(Z ≤ t) of a standard normal Z, to 1e-7 (Abramowitz and Stegun 1964, 26.2.17).
fn normal_below(t: f64) -> f64 {
    let k = 1.0 / (1.0 + 0.2316419 * t.abs());
    let polynomial = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))));
    let above = (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if t >= 0.0 { 1.0 - above } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Model, Move, Recipe};

    #[test]
    fn a_frame_is_what_the_nets_say() {
        let mut lab = Lab::new(Recipe { hidden: 12, batch: 16, ..Recipe::new(Toy::Ring, Model::Sngan) }).unwrap();
        lab.make(Move::Steps(3)).unwrap();
        let frame = frame(&lab, true);
        assert_eq!((&frame["script"], &frame["step"]), (&json!("3"), &json!(3)));
        let length = |name: &str| frame[name].as_array().unwrap().len();
        assert_eq!([length("critic"), length("generated"), length("arrows")], [CELLS * CELLS, SAMPLES, ARROWS]);
        assert_eq!([length("mesh"), length("pairing"), length("optimum")], [MESH * MESH, PAIRED, CELLS * CELLS]);
        let number = |name: &str| frame[name].as_f64().unwrap();
        assert!(number("steepest") <= 20.0 * 1.01 && number("slope") <= number("steepest"), "K is 20");
        assert!(number("steepest") <= number("product") && (20.0..25.0).contains(&number("product")));
        // W₁ of 128 points, and of 1024 for the bound: no more than sampling apart.
        assert!(number("bound") < number("w1") + 0.1, "{} {}", number("bound"), number("w1"));
    }

    /// The mixture has all its mass in the square, as much around each centre; counting agrees with it.
    #[test]
    fn shares_of_cells_are_those_of_many_points() {
        let toy = Toy::Grid;
        let exact = mixture(&toy.centres(), toy.sigma(), toy.half_side());
        assert!((exact.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{}", exact.iter().sum::<f64>());
        let found = counted(&toy.sample(50_000, &mut Rng::seed(0)), toy.half_side());
        for (exact, found) in exact.iter().zip(&found) {
            assert!((exact - found).abs() < 6.0 * (exact / 50_000.0).sqrt() + 2e-5, "{exact} {found}");
        }
        assert!(
            [(-1.0, 0.158655), (0.0, 0.5), (1.96, 0.975002)].iter().all(|(t, p)| (normal_below(*t) - p).abs() < 1e-6)
        );
    }
}
