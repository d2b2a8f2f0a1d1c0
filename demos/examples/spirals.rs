//! Two spirals, one within the other, told apart by a small net.
//!
//! `cargo run --release --example spirals`

use std::f64::consts::PI;
use wengert::nn::{Init, Linear, Mode, Params, Pass};
use wengert::ops::loss::binary_cross_entropy_with_logits;
use wengert::optim::{Adam, Optimizer};
use wengert::{Rng, Tape, Tensor, Var};

/// `n` points of the plane, (n, 2), and for each the arm that it lies on, 0 or 1, as (n, 1).
fn spirals(n: usize, rng: &mut Rng) -> (Tensor, Tensor) {
    let (turn, noise) = (rng.uniform::<f64>([n], 0.3, 2.5).to_vec(), rng.normal::<f64>([n, 2]).to_vec());
    let point = |i: usize| {
        let angle = 2.0 * turn[i] * PI / 2.0 + (i % 2) as f64 * PI;
        let radius = turn[i] / 2.5;
        [radius * angle.cos() + 0.01 * noise[2 * i], radius * angle.sin() + 0.01 * noise[2 * i + 1]].map(|x| x as f32)
    };
    let arms = (0..n).map(|i| (i % 2) as f32).collect();
    (Tensor::from_vec([n, 2], (0..n).flat_map(point).collect()), Tensor::from_vec([n, 1], arms))
}

fn main() {
    let mut rng = Rng::seed(0);
    let mut params = Params::new();
    let layers = [(2, 32), (32, 32), (32, 1)].iter().enumerate();
    let layers: Vec<Linear> = layers
        .map(|(i, &(from, to))| Linear::new(&mut params.scope(&i.to_string()), from, to, Init::PyTorch, &mut rng))
        .collect();
    let net = |pass: &Pass, x: Tensor| -> Var {
        let h = layers[0].forward(pass, &x.into()).tanh();
        let h = layers[1].forward(pass, &h).tanh();
        layers[2].forward(pass, &h)
    };
    let mut adam = Adam::new(0.01);
    for step in 1..=1000 {
        let (x, arms) = spirals(128, &mut rng);
        let tape = Tape::new();
        let pass = Pass::new(&params, &tape, Mode::Train);
        let loss = binary_cross_entropy_with_logits(&net(&pass, x), &arms.into());
        let value = loss.item();
        let gradients = pass.gradients(&loss.backward());
        adam.step(&mut params, &gradients);
        if step % 200 == 0 {
            println!("step {step:4}  loss {value:.4}");
        }
    }
    // Points that it has not seen; without a tape nothing is recorded.
    let (x, arms) = spirals(2000, &mut rng);
    let logits = net(&Pass::frozen(&params, Mode::Eval), x).into_value();
    let right =
        logits.to_vec().iter().zip(arms.to_vec()).filter(|(logit, arm)| (**logit > 0.0) == (*arm > 0.5)).count();
    println!("{:.1} % of new points on the right arm", right as f64 / 20.0);
    assert!(right >= 1990);
}
