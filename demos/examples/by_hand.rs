//! A backward pass that was written by hand over arrays of `ndarray`, with no tape in it, and the check that finds the
//! mistake in it.
//!
//! `cargo run --release --example by_hand`

use ndarray::{Array2, ArrayD, Axis, Ix1, Ix2};
use wengert::Rng;
use wengert::gradcheck::Check;

/// The cross entropy of softmax(x W + b), a number, for the class 0 in the even rows and 1 in the odd ones.
/// x is (N, D), W (D, K), b (K).
fn loss(inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
    let p = probabilities(inputs);
    let terms = p.outer_iter().enumerate().map(|(i, row)| -row[i % 2].ln());
    ndarray::arr0(terms.sum::<f64>() / p.nrows() as f64).into_dyn()
}

/// softmax(x W + b), (N, K).
fn probabilities(inputs: &[ArrayD<f64>]) -> Array2<f64> {
    let [x, w, b] = inputs else { panic!("x, W and b") };
    let (x, w) = (matrix(x), matrix(w));
    let b = b.view().into_dimensionality::<Ix1>().expect("a vector");
    let mut p = x.dot(&w) + b;
    for mut row in p.outer_iter_mut() {
        let most = row.fold(f64::MIN, |most, &x| most.max(x));
        row.mapv_inplace(|x| (x - most).exp());
        row /= row.sum();
    }
    p
}

fn matrix(x: &ArrayD<f64>) -> Array2<f64> {
    x.view().into_dimensionality::<Ix2>().expect("a matrix").to_owned()
}

/// The gradients with respect to x, W and b, for a gradient of the loss. With D = (p − target)/N:
/// x̄ = D Wᵀ, W̄ = xᵀ D, b̄ = the sum of D over the rows.
fn backward(inputs: &[ArrayD<f64>], grad: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
    let mut d = probabilities(inputs);
    let n = d.nrows();
    (0..n).for_each(|i| d[[i, i % 2]] -= 1.0);
    d *= grad.sum() / n as f64;
    let (x, w) = (matrix(&inputs[0]), matrix(&inputs[1]));
    vec![d.dot(&w.t()).into_dyn(), x.t().dot(&d).into_dyn(), d.sum_axis(Axis(0)).into_dyn()]
}

fn main() {
    let mut rng = Rng::seed(0);
    let mut array = |shape: &[usize]| rng.normal::<f64>(shape).to_array();
    let inputs = [array(&[5, 4]), array(&[4, 3]), array(&[3])];
    let report = Check::first().backward(loss, backward, &inputs).expect("a backward pass that is right");
    println!("as it should be: {report}");

    // What is easily forgotten: the mean's 1/N, in one of the three.
    let forgetful = |inputs: &[ArrayD<f64>], grad: &ArrayD<f64>| {
        let mut gradients = backward(inputs, grad);
        gradients[2] *= inputs[0].shape()[0] as f64;
        gradients
    };
    let failure = Check::first().backward(loss, forgetful, &inputs).expect_err("a backward pass that is wrong");
    println!("without 1/N:     {failure}");
    assert_eq!(failure.place.expect("a place").input, 2);
}
