//! A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) that learns eight clusters on a ring. The penalty is
//! a function of the critic's gradient, so that its own gradient is one of second order.
//!
//! `cargo run --release --example ring` writes ring.png: grey the data, orange what the generator makes of noise, and
//! behind them the critic.

use std::path::Path;
use wengert::nn::{Init, Mode, Params, Pass};
use wengert::optim::{Adam, Optimizer};
use wengert::{Rng, Tape, Tensor, Var};
use wengert_demos::pictures::{Plane, write_plane};
use wengert_demos::toy::{Mlp, Toy};

const BATCH: usize = 128;
const STEPS: usize = 1500;

fn main() {
    let mut rng = Rng::seed(0);
    let (mut params_g, mut params_c) = (Params::new(), Params::new());
    let generator = Mlp::new(&mut params_g, &[2, 128, 128, 2], Init::PyTorch, &mut rng);
    let critic = Mlp::new(&mut params_c, &[2, 128, 128, 1], Init::PyTorch, &mut rng);
    let (mut adam_g, mut adam_c) = (Adam::new(1e-3).betas(0.5, 0.9), Adam::new(1e-3).betas(0.5, 0.9));
    let generate =
        |params: &Params, z: Tensor| generator.forward(&Pass::frozen(params, Mode::Eval), &z.into()).into_value();
    for step in 1..=STEPS {
        // The rates fall to zero along a line, so that what is learnt settles.
        let lr = 1e-3 * (1.0 - step as f64 / STEPS as f64);
        adam_g.set_lr(lr);
        adam_c.set_lr(lr);
        for update in 0..5 {
            let (real, fake) = (Toy::Ring.sample(BATCH, &mut rng), generate(&params_g, rng.normal([BATCH, 2])));
            let t = rng.uniform([BATCH, 1], 0.0, 1.0);
            let between = &real * &t + &fake * (1.0 - &t);
            let tape = Tape::new();
            let pass = Pass::new(&params_c, &tape, Mode::Train);
            let value = |x: &Var| critic.forward(&pass, x);
            let x = tape.var(between);
            let slope = value(&x).sum().grad(&[&x]).remove(0);
            let penalty = ((slope.powi(2).sum_axes([1], false) + 1e-12).sqrt() - 1.0).powi(2).mean();
            let estimate = value(&real.into()).mean() - value(&fake.into()).mean();
            if step % 250 == 0 && update == 4 {
                println!("step {step}: the critic finds a distance of {:.3}", estimate.item());
            }
            let gradients = pass.gradients(&(penalty - estimate).backward());
            adam_c.step(&mut params_c, &gradients);
        }
        let tape = Tape::new();
        let (pass, frozen) = (Pass::new(&params_g, &tape, Mode::Train), Pass::frozen(&params_c, Mode::Eval));
        let fake = generator.forward(&pass, &rng.normal([BATCH, 2]).into());
        let gradients = pass.gradients(&(-critic.forward(&frozen, &fake).mean()).backward());
        adam_g.step(&mut params_g, &gradients);
    }
    let half_side = Toy::Ring.half_side();
    let at = |i: usize| (((i as f64 + 0.5) / 30.0 - 1.0) * half_side) as f32;
    let cells = Tensor::from_vec([3600, 2], (0..3600).flat_map(|i| [at(i % 60), at(i / 60)]).collect());
    let heights = critic.forward(&Pass::frozen(&params_c, Mode::Eval), &cells.into()).into_value().cast().to_vec();
    let generated = generate(&params_g, rng.normal([800, 2]));
    let score = Toy::Ring.score(&generated).expect("a ring has clusters");
    println!("{} of 8 clusters are met, {:.0} % of the points within 3σ of one", score.modes, 100.0 * score.good);
    assert_eq!(score.modes, 8);
    let points = |x: &Tensor| x.to_vec().chunks(2).map(|p| [p[0].into(), p[1].into()]).collect();
    let real = points(&Toy::Ring.sample(800, &mut rng));
    let generated = points(&generated);
    let title = "WGAN-GP on a ring".into();
    let plane = Plane { title, half_side, critic: heights, real, generated, arrows: vec![], warped: vec![] };
    write_plane(Path::new("ring.png"), &plane).expect("a folder to write to");
}
