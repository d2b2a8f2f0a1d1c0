//! What a trainer looks like at one moment.

use wengert::{Rng, Tensor};

use super::{Toy, Trainer, Z_DIM};
use crate::pictures::Plane;

/// Cells of the heat map along each side.
const CELLS: usize = 60;
/// Samples shown, real and generated.
const SAMPLES: usize = 800;
/// Samples with an arrow.
const ARROWS: usize = 60;
/// Lines of the square grid of noise in each direction, from −2 to 2, and points on each.
const LINES: usize = 17;
const POINTS: usize = 161;

/// The critic everywhere, real and generated samples, where the gradient moves them, and the generator's image of a
/// square grid of noise. The samples come from the same noise at every moment.
pub fn snapshot(trainer: &Trainer, toy: &Toy, title: String) -> Plane {
    let half_side = toy.half_side();
    let generated = trainer.sample(SAMPLES, 1);
    let first = Tensor::from_vec([ARROWS, 2], generated.to_vec()[..2 * ARROWS].to_vec());
    let arrows = points(&first).into_iter().zip(points(&trainer.push(&first))).map(|(from, to)| [from, to]).collect();
    Plane {
        title,
        half_side,
        critic: trainer.critic(&cells(half_side)).to_vec().into_iter().map(f64::from).collect(),
        real: points(&toy.sample(SAMPLES, &mut Rng::seed(1))),
        generated: points(&generated),
        arrows,
        warped: lines().iter().map(|line| points(&trainer.generate(line))).collect(),
    }
}

/// The centres of the cells, (CELLS², 2), from the lower left, row by row.
fn cells(half_side: f64) -> Tensor {
    let at = |i: usize| (((i as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0) * half_side) as f32;
    let cells = (0..CELLS * CELLS).flat_map(|i| [at(i % CELLS), at(i / CELLS)]);
    Tensor::from_vec([CELLS * CELLS, 2], cells.collect())
}

/// Lines along both axes of the noise, (POINTS, 2) each.
fn lines() -> Vec<Tensor> {
    let at = |i: usize, n: usize| i as f32 / (n - 1) as f32 * 4.0 - 2.0;
    let line = |k: usize| {
        let fixed = at(k % LINES, LINES);
        let point = |i: usize| if k < LINES { [fixed, at(i, POINTS)] } else { [at(i, POINTS), fixed] };
        Tensor::from_vec([POINTS, Z_DIM], (0..POINTS).flat_map(point).collect())
    };
    (0..2 * LINES).map(line).collect()
}

/// The rows of (N, 2).
pub fn points(tensor: &Tensor) -> Vec<[f64; 2]> {
    tensor.to_vec().chunks_exact(2).map(|p| [p[0].into(), p[1].into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Model, Recipe};

    /// Arrows begin at the generated samples and lead uphill: there, the critic is greater a short way along them.
    #[test]
    fn arrows_lead_from_the_samples_uphill() {
        let recipe = Recipe { hidden: 16, ..Recipe::new(Toy::Ring, Model::WganGp) };
        let mut trainer = Trainer::new(&recipe);
        (0..20).for_each(|_| _ = trainer.train_step());
        let plane = snapshot(&trainer, &Toy::Ring, String::new());
        assert_eq!((plane.arrows.len(), plane.generated.len()), (ARROWS, SAMPLES));
        let value = |[x, y]: [f64; 2]| trainer.critic(&Tensor::from_vec([1, 2], vec![x as f32, y as f32])).to_vec()[0];
        let mut uphill = 0;
        for (&[from, [dx, dy]], &sample) in plane.arrows.iter().zip(&plane.generated) {
            assert_eq!(from, sample);
            let step = 0.02 / dx.hypot(dy);
            uphill += usize::from(value([from[0] + step * dx, from[1] + step * dy]) > value(from));
        }
        assert!(uphill > ARROWS * 9 / 10, "{uphill} of {ARROWS}"); // A few may cross an edge of the leaky ReLUs.
    }
}
