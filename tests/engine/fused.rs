//! Operations that do two things in one pass over memory, against the two things: values, both walks, and gradients
//! that are used twice, which the fused rules must not change in place.

use crate::support::{assert_close, noise};
use wengert::ops::Conv2dOptions;
use wengert::{Tape, Tensor, Var};

const EPS: f64 = 1e-5;

/// Value and gradients by `backward` and by `grad`, for a loss in which the operation's output stands twice.
fn derivatives(f: &dyn Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Vec<Tensor<f64>> {
    let tape = Tape::new();
    let vars: Vec<Var<f64>> = inputs.iter().map(|x| tape.var(x.clone())).collect();
    let y = f(&vars);
    let loss = (&y * &Var::from(noise(y.shape(), 9))).sum() + y.powi(2).sum() + y.sum();
    let mut all = vec![y.value().clone()];
    all.extend(loss.grad(&vars.iter().collect::<Vec<_>>()).into_iter().map(Var::into_value));
    let gradients = loss.backward();
    all.extend(vars.iter().map(|x| gradients.wrt(x)));
    all
}

fn agree(fused: impl Fn(&[Var<f64>]) -> Var<f64>, apart: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) {
    for (fused, apart) in derivatives(&fused, inputs).iter().zip(&derivatives(&apart, inputs)) {
        assert_close(fused, apart, 1e-12);
    }
}

#[test]
fn convolution_with_leaky_relu() {
    for (shape, kernel, stride) in [([2, 3, 5, 4], 3, 1), ([3, 17, 8, 8], 4, 2)] {
        let options = Conv2dOptions::default().stride(stride).padding(1);
        let inputs = [noise(shape, 1), noise([5, shape[1], kernel, kernel], 2), noise([5], 3)];
        agree(
            |x| x[0].conv2d_leaky_relu(&x[1], Some(&x[2]), &options, 0.1),
            |x| x[0].conv2d(&x[1], Some(&x[2]), &options).leaky_relu(0.1),
            &inputs,
        );
        agree(
            |x| x[0].conv2d_leaky_relu(&x[1], None, &options, 0.2),
            |x| x[0].conv2d(&x[1], None, &options).leaky_relu(0.2),
            &inputs[..2],
        );
    }
}

#[test]
fn batch_norm_with_relu() {
    for shape in [&[7, 3][..], &[4, 17, 5, 6]] {
        let inputs = [noise(shape, 1), noise([shape[1]], 2), noise([shape[1]], 3)];
        agree(
            |x| x[0].batch_norm_relu_train(&x[1], &x[2], EPS).0,
            |x| x[0].batch_norm_train(&x[1], &x[2], EPS).0.relu(),
            &inputs,
        );
    }
}

#[test]
fn a_gradient_that_others_hold_stays_as_it_is() {
    // The gradient of a sum goes to both terms: two nodes hold one buffer.
    let x = [noise([2, 3, 5, 5], 1), noise([3, 3, 3, 3], 2)];
    let options = Conv2dOptions::default().padding(1);
    let twice = |fused: bool| {
        derivatives(
            &move |x: &[Var<f64>]| {
                let y = |slope| match fused {
                    true => x[0].conv2d_leaky_relu(&x[1], None, &options, slope),
                    false => x[0].conv2d(&x[1], None, &options).leaky_relu(slope),
                };
                y(0.1) + y(0.5)
            },
            &x,
        )
    };
    for (fused, apart) in twice(true).iter().zip(&twice(false)) {
        assert_close(fused, apart, 1e-12);
    }
}

#[test]
fn nan_passes_through() {
    let x: Var<f64> = Tensor::from_vec([2, 1], vec![f64::NAN, 1.0]).into();
    let one: Var<f64> = Tensor::ones([1]).into();
    let (y, _) = x.batch_norm_relu_train(&one, &one, EPS);
    assert!(y.value().to_vec().iter().all(|y| y.is_nan()));
    // By patches and by Winograd.
    for (channels, kernel) in [(1, 1), (16, 3)] {
        let map: Var<f32> = Tensor::<f32>::full([16, channels, 4, 4], f64::NAN).into();
        let w: Var<f32> = Tensor::ones([channels, channels, kernel, kernel]).into();
        let y = map.conv2d_leaky_relu(&w, None, &Conv2dOptions::default().padding(kernel / 2), 0.1);
        assert!(y.value().to_vec().iter().all(|y| y.is_nan()), "{channels} channels");
    }
}

#[test]
fn an_infinite_gradient_ends_at_a_closed_relu() {
    let infinity: Var<f64> = Tensor::from_vec([2, 1], vec![f64::INFINITY, 1.0]).into();
    for fused in [true, false] {
        let tape = Tape::new();
        let (x, one) = (tape.var(Tensor::from_vec([2, 1], vec![-1.0, 1.0])), Var::from(Tensor::ones([1])));
        let zero: Var<f64> = Tensor::zeros([1]).into();
        let y = match fused {
            true => x.batch_norm_relu_train(&one, &zero, EPS).0,
            false => x.batch_norm_train(&one, &zero, EPS).0.relu(),
        };
        let loss = (&y * &infinity).sum();
        assert!(loss.grad(&[&x])[0].value().to_vec().iter().all(|x| x.is_finite()), "grad, fused: {fused}");
        assert!(loss.backward().wrt(&x).to_vec().iter().all(|x| x.is_finite()), "backward, fused: {fused}");
    }
}
