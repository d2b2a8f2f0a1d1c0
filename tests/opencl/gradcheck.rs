//! Gradients of both orders against difference quotients, with every step of the operation on the device.

use wengert::gradcheck::both;
use wengert::ops::{Conv2dOptions, power_iteration};
use wengert::{Device, Tensor, Var};

use crate::{holds, noise, with_device};

/// Checks `f` on the device, to which its inputs are moved and from which its result is, and where the processor must
/// not help it.
#[track_caller]
fn check(name: &str, shapes: &[&[usize]], f: impl Fn(&[Var<f64>]) -> Var<f64>) {
    if !holds::<f64>() {
        return;
    }
    let inputs: Vec<Tensor<f64>> = (1..).zip(shapes).map(|(seed, shape)| noise(shape, seed)).collect();
    with_device(|device| {
        let there = |x: &[Var<f64>]| x.iter().map(|x| x.to(device).unwrap()).collect::<Vec<_>>();
        let before = device.counts();
        let y = f(&there(&inputs.iter().map(Var::from).collect::<Vec<_>>()));
        assert_eq!(y.value().device(), *device, "{name}: where the result lives");
        let and_back = |x: &[Var<f64>]| f(&there(x)).to(&Device::host()).unwrap();
        let reports = both(and_back, &inputs).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!(reports.iter().all(|report| report.entries > 0), "{name}: nothing was checked");
        assert_eq!((device.counts() - before).fallbacks, 0, "{name}: done by the processor");
    });
}

#[test]
fn convolutions() {
    let strided = Conv2dOptions::default().stride(2).padding(1);
    let grouped = Conv2dOptions::default().padding(1).dilation(2).groups(2);
    check("conv2d", &[&[2, 3, 5, 4], &[4, 3, 3, 3], &[4]], |x| x[0].conv2d(&x[1], Some(&x[2]), &strided));
    check("conv2d in groups", &[&[2, 4, 5, 4], &[2, 2, 3, 2]], |x| x[0].conv2d(&x[1], None, &grouped));
    let transposed = |x: &[Var<f64>]| x[0].conv_transpose2d(&x[1], Some(&x[2]), &strided, [1, 0]);
    check("conv_transpose2d", &[&[2, 3, 3, 2], &[3, 4, 4, 3], &[4]], transposed);
    check("conv2d_leaky_relu", &[&[2, 3, 4, 4], &[2, 3, 3, 3], &[2]], |x| {
        x[0].conv2d_leaky_relu(&x[1], Some(&x[2]), &strided, 0.2)
    });
}

#[test]
fn products() {
    check("matmul", &[&[5, 7], &[7, 3]], |x| x[0].matmul(&x[1]));
    check("matmul, transposed", &[&[7, 5], &[3, 7]], |x| x[0].t().matmul(&x[1].t()));
    check("matmul of batches", &[&[2, 5, 4], &[2, 4, 3]], |x| x[0].matmul(&x[1]));
}

#[test]
fn normalisations() {
    for shape in [&[7, 3][..], &[3, 4, 3, 2]] {
        let channels = [shape[1]];
        let shapes = [shape, &channels, &channels];
        check("batch_norm_train", &shapes, |x| x[0].batch_norm_train(&x[1], &x[2], 1e-5).0);
        check("batch_norm_relu_train", &shapes, |x| x[0].batch_norm_relu_train(&x[1], &x[2], 1e-5).0);
        let (mean, variance) = (noise(&channels, 8), Tensor::full(channels, 0.7));
        check("batch_norm_eval", &shapes, |x| x[0].batch_norm_eval(&x[1], &x[2], &mean, &variance, 1e-5));
    }
    check("layer_norm", &[&[4, 6], &[6], &[6]], |x| x[0].layer_norm(1, &x[1], &x[2], 1e-5));
}

#[test]
fn spectral_norms() {
    for (shape, axis) in [(&[5, 7][..], 0), (&[3, 4, 3, 2], 0), (&[3, 4, 3, 2], 1)] {
        let (rows, size) = (shape[axis], shape.iter().product::<usize>());
        let (u, v) = (noise(&[rows], 8), noise(&[size / rows], 9));
        // u and v are held constant by every derivative: those of one weight, near its singular vectors.
        let (u, v) = power_iteration(&noise(shape, 1), axis, &u, &v, 3, 1e-12);
        check("spectral_sigma", &[shape], |x| x[0].spectral_sigma(&u, &v, axis).powi(2));
        check("spectral_norm", &[shape], |x| x[0].spectral_norm(&u, &v, axis));
    }
}

#[test]
fn along_axes() {
    for axis in [0, 1, 2] {
        check("softmax", &[&[3, 4, 5]], |x| x[0].softmax(axis));
        check("log_softmax", &[&[3, 4, 5]], |x| x[0].log_softmax(axis));
        check("logsumexp", &[&[3, 4, 5]], |x| x[0].logsumexp([axis], false));
        check("index_select", &[&[3, 4, 5]], |x| x[0].index_select(axis, &[2, 0, 2]).powi(3));
        check("index_add", &[&[2, 2, 2]], |x| x[0].index_add(axis, &[2, 0], 4).powi(3));
    }
    check("concat", &[&[2, 3], &[2, 2]], |x| Var::concat(&[&x[0], &x[1]], 1).powi(3));
}

#[test]
fn maps() {
    check("max_pool2d", &[&[2, 3, 5, 4]], |x| x[0].max_pool2d([3, 2], [2, 2], [1, 0]).powi(3));
    check("avg_pool2d", &[&[2, 3, 5, 4]], |x| x[0].avg_pool2d([3, 2], [2, 2], [1, 0]).powi(3));
    check("upsample_nearest", &[&[2, 3, 2, 3]], |x| x[0].upsample_nearest([2, 2]).powi(3));
}

#[test]
fn reductions_and_elements() {
    let shape: &[&[usize]] = &[&[3, 4, 5]];
    check("sum_axes", shape, |x| x[0].sum_axes([0, 2], false).powi(3));
    check("mean_axes", shape, |x| x[0].mean_axes([1], true).powi(3));
    check("variance_axes", shape, |x| x[0].variance_axes([0, 1], false, 1));
    check("max_axes", shape, |x| x[0].max_axes([1], false).powi(3));
    check("arithmetic", &[&[3, 4], &[4]], |x| (&x[0] * &x[1] - &x[0]) / (x[1].powi(2) + 1.0));
    check("activations", &[&[3, 4]], |x| x[0].tanh() + x[0].sigmoid() * x[0].softplus() + x[0].leaky_relu(0.2));
}

/// A gradient goes back to where its variable lives.
#[test]
fn a_variable_on_the_host_gets_its_gradient_there() {
    with_device(|device| {
        let tape = wengert::Tape::new();
        let x = tape.var(noise::<f32>(&[3], 1));
        let y = x.to(device).unwrap().tanh();
        assert_eq!(y.value().device(), *device);
        let gradients = y.sum().backward();
        assert_eq!(gradients.wrt(&x).device(), Device::host());
    });
}
