//! Drawn digits, told apart by a small convolutional net whose learning rate falls along a cosine.
//!
//! `cargo run --release --example digits`

use wengert::nn::{BatchNorm, Conv2d, Init, Linear, Mode, Params, Pass, Sequential};
use wengert::ops::Conv2dOptions;
use wengert::ops::loss::cross_entropy;
use wengert::optim::{Adam, Optimizer, Schedule};
use wengert::{Rng, Tape, Tensor, Var};
use wengert_demos::data::{Dataset, Digits, ImageShape};

const STEPS: u64 = 300;
const BATCH: u64 = 64;

fn main() {
    let set = Digits::new(0);
    let ImageShape { channels, height, width } = set.shape();
    // Images (N, C, H, W) in [−1, 1], and their classes.
    let batch = |indices: std::ops::Range<u64>| -> (Var, Vec<usize>) {
        let indices: Vec<u64> = indices.collect();
        let n = indices.len();
        let (mut pixels, mut labels) = (vec![0.0; n * set.shape().numel()], vec![0; n]);
        set.batch(&indices, &mut pixels, &mut labels);
        let images = Tensor::from_vec([n, height, width, channels], pixels).permute([0, 3, 1, 2]);
        (images.into(), labels.into_iter().map(usize::from).collect())
    };

    let mut rng = Rng::seed(0);
    let mut params = Params::new();
    let halving = Conv2dOptions::default().stride(2).padding(1);
    let net = Sequential::builder(&mut params.scope(""))
        .layer(|scope| Conv2d::new(scope, channels, 16, [4, 4], &halving, Init::PyTorch, &mut rng))
        .layer(|scope| BatchNorm::new(scope, 16, Init::PyTorch, &mut rng))
        .function(Var::relu)
        .layer(|scope| Conv2d::new(scope, 16, 32, [4, 4], &halving, Init::PyTorch, &mut rng))
        .function(Var::relu)
        .function(move |x| x.reshape([x.shape()[0], 2 * height * width]))
        .layer(|scope| Linear::new(scope, 2 * height * width, 10, Init::PyTorch, &mut rng))
        .build();
    println!("{} numbers to learn", params.size());

    let schedule = Schedule::cosine(2e-3, 0.0, STEPS).warmup(20);
    let mut adam = Adam::new(0.0);
    for step in 0..STEPS {
        adam.set_lr(schedule.lr(step));
        let (x, labels) = batch(BATCH * step..BATCH * (step + 1));
        let tape = Tape::new();
        let pass = Pass::new(&params, &tape, Mode::Train);
        let loss = cross_entropy(&net.forward(&pass, &x), &labels);
        if step % 50 == 49 {
            println!("step {:3}  loss {:.4}", step + 1, loss.item());
        }
        let gradients = pass.gradients(&loss.backward());
        adam.step(&mut params, &gradients);
    }
    // Digits that it has not seen; without a tape nothing is recorded.
    let (x, labels) = batch(1_000_000..1_001_000);
    let found = net.forward(&Pass::frozen(&params, Mode::Eval), &x).argmax(1);
    let right = found.iter().zip(&labels).filter(|(found, label)| found == label).count();
    println!("{:.1} % of a thousand new digits found", right as f64 / 10.0);
    assert!(right >= 950);
}
