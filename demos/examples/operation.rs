//! An operation of one's own, y = x / (1 + |x|), its rule, and how to find out whether the rule is right: at first
//! order and at second, which a gradient penalty needs.
//!
//! `cargo run --release --example operation`

use wengert::gradcheck::both;
use wengert::{Rng, Tape, Tensor, Var};

/// y = x / (1 + |x|), of the shape of x; x̄ = ȳ / (1 + |x|)².
fn softsign(x: &Var<f64>) -> Var<f64> {
    let y = x.value().map(|x| x / (1.0 + x.abs()));
    let saved = x.saved();
    Var::record("softsign", &[x], y, move |grad, back| {
        back.give(0, |back| grad / (back.var(&saved).abs() + 1.0).powi(2));
    })
}

/// The same with a mistake that first derivatives do not show: its rule takes x for a constant.
fn forgetful(x: &Var<f64>) -> Var<f64> {
    let y = x.value().map(|x| x / (1.0 + x.abs()));
    let slope = x.value().map(|x| 1.0 / ((1.0 + x.abs()) * (1.0 + x.abs())));
    Var::record("forgetful", &[x], y, move |grad, back| back.give(0, |_| grad * Var::from(&slope)))
}

fn main() {
    let point: [Tensor<f64>; 1] = [Rng::seed(0).normal([4, 3])];
    let [first, second] = both(|x| softsign(&x[0]), &point).expect("a rule that is right");
    println!("softsign, first order:  {first}");
    println!("softsign, second order: {second}\n");
    let failure = both(|x| forgetful(&x[0]), &point).expect_err("a rule that is wrong");
    println!("forgetful: {failure}\n");
    assert_eq!(failure.order, 2);

    // What the rule looks like on a tape.
    let tape = Tape::new();
    let drawing = tape.draw();
    let x = tape.var(Tensor::scalar(2.0));
    softsign(&x).backward();
    println!("{drawing}");
}
