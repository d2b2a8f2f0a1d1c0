//! Batch and layer normalisation: values against plain loops, the fused rule against its differentiable twin, finite
//! differences of both orders, means far from 0, bits at any thread count.

use crate::support::{assert_close, assert_panics, check_gradients, difference, noise, same_at_any_thread_count};
use wengert::{Tape, Tensor, Var};

const EPS: f64 = 1e-5;

/// Mean, biased variance and normalised values by plain loops, channel by channel.
fn naive(x: &Tensor<f64>, gamma: &Tensor<f64>, beta: &Tensor<f64>) -> [Tensor<f64>; 3] {
    let (mut means, mut vars, mut y) = (Vec::new(), Vec::new(), x.to_array());
    for (c, mut channel) in y.axis_iter_mut(ndarray::Axis(1)).enumerate() {
        let n = channel.len() as f64;
        let mean = channel.iter().sum::<f64>() / n;
        let var = channel.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        channel.mapv_inplace(|x| (x - mean) / (var + EPS).sqrt() * gamma.to_vec()[c] + beta.to_vec()[c]);
        means.push(mean);
        vars.push(var);
    }
    let channels = means.len();
    [Tensor::from_vec([channels], means), Tensor::from_vec([channels], vars), Tensor::from_array(&y)]
}

/// Shapes around chunks and blocks, in the memory order that channels-last wants and in the other.
fn inputs() -> Vec<Tensor<f64>> {
    let shapes: [&[usize]; 7] =
        [&[2, 1], &[5, 3], &[300, 67], &[2, 3, 5], &[3, 5, 4, 7], &[7, 17, 33, 13], &[40, 64, 32, 4]];
    let row_major = shapes.iter().enumerate().map(|(i, &shape)| noise(shape, i as u64));
    row_major.flat_map(|x| if x.rank() == 4 { vec![x.channels_last(), x] } else { vec![x] }).collect()
}

#[test]
fn values_in_training() {
    for x in inputs() {
        let channels = x.shape()[1];
        let (gamma, beta) = (noise([channels], 1), noise([channels], 2));
        let [mean, var, expected] = naive(&x, &gamma, &beta);
        let (y, stats) = Var::from(&x).batch_norm_train(&gamma.into(), &beta.into(), EPS);
        assert_close(y.value(), &expected, 1e-12);
        assert_close(&stats.mean, &mean, 1e-14);
        assert_close(&stats.variance, &var, 1e-14);
        assert_eq!(stats.count, x.size() / channels);
        assert!(x.rank() != 4 || y.value().is_channels_last());
    }
}

#[test]
fn values_in_evaluation() {
    for x in inputs() {
        let channels = x.shape()[1];
        let [gamma, beta, mean] = [1, 2, 3].map(|seed| noise([channels], seed));
        let var = Tensor::from_array(&noise([channels], 4).to_array().mapv(|v| v * v));
        let y = Var::from(&x).batch_norm_eval(&(&gamma).into(), &(&beta).into(), &mean, &var, EPS);
        let mut expected = x.to_array();
        for (c, mut channel) in expected.axis_iter_mut(ndarray::Axis(1)).enumerate() {
            let at = |t: &Tensor<f64>| t.to_vec()[c];
            channel.mapv_inplace(|x| (x - at(&mean)) / (at(&var) + EPS).sqrt() * at(&gamma) + at(&beta));
        }
        assert_close(y.value(), &Tensor::from_array(&expected), 1e-13);
    }
}

/// The gradients of one loss by the fused rule and by its twin.
#[test]
fn the_fused_rule_is_its_differentiable_twin() {
    for x in inputs() {
        let channels = x.shape()[1];
        let weights: Var<f64> = noise(x.shape(), 7).into();
        let tape = Tape::new();
        let wrt = [x, noise([channels], 1), noise([channels], 2)].map(|x| tape.var(x));
        let [x, gamma, beta] = &wrt;
        let (y, _) = x.batch_norm_train(gamma, beta, EPS);
        let loss = (y.powi(2) * weights).sum();
        let twin = loss.grad(&[x, gamma, beta]);
        let fused = loss.backward();
        for (x, twin) in wrt.iter().zip(&twin) {
            assert_close(&fused.wrt(x), twin.value(), 1e-11);
        }
    }
}

#[test]
fn gradients_of_first_and_second_order() {
    let vectors = || [noise([3], 1), noise([3], 2)];
    let samples = [noise([5, 3], 3), noise([2, 3, 2, 2], 4), noise([2, 3, 2, 2], 5).channels_last()];
    for x in samples {
        let [gamma, beta] = vectors();
        check_gradients(|x| x[0].batch_norm_train(&x[1], &x[2], EPS).0, &[x.clone(), gamma.clone(), beta.clone()]);
        let (mean, var) = (noise([3], 6), Tensor::from_vec([3], vec![0.5, 1.0, 2.0]));
        check_gradients(|x| x[0].batch_norm_eval(&x[1], &x[2], &mean, &var, EPS), &[x, gamma, beta]);
    }
    // Constants among the inputs.
    let [gamma, beta] = vectors().map(Var::from);
    check_gradients(|x| x[0].batch_norm_train(&gamma, &beta, EPS).0, &[noise([5, 3], 3)]);
    let x: Var<f64> = noise([5, 3], 3).into();
    check_gradients(|g| x.batch_norm_train(&g[0], &g[1], EPS).0.powi(2), &vectors());
    let (mean, var) = (noise([3], 6), Tensor::ones([3]));
    check_gradients(|g| x.batch_norm_eval(&g[0], &g[1], &mean, &var, EPS).powi(2), &vectors());
}

#[test]
fn means_far_from_zero_do_not_cancel_the_variance() {
    let noise = noise([64, 5, 16, 16], 1).channels_last();
    let (ones, zeros) = (Tensor::<f32>::ones([5]), Tensor::<f32>::zeros([5]));
    for offset in [0.0, 1e2, 1e4] {
        let shifted = Tensor::from_array(&noise.to_array().mapv(|x| x + offset)).channels_last().cast::<f32>();
        let [mean, var, expected] = naive(&shifted.cast(), &ones.cast(), &zeros.cast());
        let (y, stats) = Var::from(&shifted).batch_norm_train(&(&ones).into(), &(&zeros).into(), EPS);
        let relative = |a: &Tensor<f32>, b: &Tensor<f64>| {
            let pairs = a.to_vec().into_iter().zip(b.to_vec());
            pairs.fold(0.0, |m: f64, (a, b)| m.max(((a as f64 - b) / b).abs()))
        };
        assert!(relative(&stats.mean, &mean) < 1e-7 || offset == 0.0);
        assert!(relative(&stats.variance, &var) < 4e-6, "offset {offset}: {}", relative(&stats.variance, &var));
        // The mean itself is rounded to f32, which shifts y by up to half a unit in its last place.
        let tolerance = 2e-6 + offset * 6e-8 / 0.57;
        assert!(difference(&y.value().cast(), &expected) < tolerance, "offset {offset}");
    }
}

#[test]
fn layer_norm() {
    let (x, gamma, beta) = (noise([4, 3, 2], 1), noise([3, 2], 2), noise([3, 2], 3));
    let y = Var::from(&x).layer_norm(2, &(&gamma).into(), &(&beta).into(), EPS);
    let mut expected = x.to_array();
    for mut sample in expected.outer_iter_mut() {
        let mean = sample.iter().sum::<f64>() / 6.0;
        let var = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 6.0;
        sample.mapv_inplace(|x| (x - mean) / (var + EPS).sqrt());
        sample *= &gamma.view();
        sample += &beta.view();
    }
    assert_close(y.value(), &Tensor::from_array(&expected), 1e-14);
    check_gradients(|x| x[0].layer_norm(2, &x[1], &x[2], EPS), &[x, gamma, beta]);
    check_gradients(|x| x[0].layer_norm(1, &x[1], &x[2], EPS), &[noise([2, 4], 1), noise([4], 2), noise([4], 3)]);
}

#[test]
fn same_bits_at_any_thread_count() {
    for shape in [&[16, 24, 16, 16][..], &[3000, 33]] {
        let x = noise(shape, 1).cast::<f32>();
        let weights = noise(shape, 2).cast::<f32>();
        same_at_any_thread_count(|| {
            let tape = Tape::new();
            let ones = || Tensor::ones([shape[1]]);
            let wrt = [x.clone(), ones(), ones()].map(|x| tape.var(x));
            let (y, stats) = wrt[0].batch_norm_train(&wrt[1], &wrt[2], EPS);
            let mut all = [stats.mean.to_vec(), stats.variance.to_vec(), y.value().to_vec()].concat();
            let gradients = (y * Var::from(&weights)).sum().backward();
            wrt.iter().for_each(|x| all.extend(gradients.wrt(x).to_vec()));
            all
        });
    }
}

#[test]
fn too_few_values_and_wrong_shapes_are_named() {
    let var = |shape: &[usize]| Var::from(noise(shape, 1));
    let train = |x: &[usize], g: &[usize], b: &[usize]| {
        let (x, g, b) = (var(x), var(g), var(b));
        move || drop(x.batch_norm_train(&g, &b, EPS))
    };
    assert_panics(train(&[1, 3], &[3], &[3]), &["1 value(s) per channel in shape (1, 3)", "more than 1"]);
    assert_panics(train(&[0, 3, 2, 2], &[3], &[3]), &["0 value(s)", "(0, 3, 2, 2)"]);
    assert_panics(train(&[3], &[3], &[3]), &["batch_norm_train: x of shape (3): expected (N, C)"]);
    assert_panics(train(&[2, 3], &[2], &[3]), &["gamma of shape (2) for x of shape (2, 3): expected (3)"]);
    assert_panics(train(&[2, 3], &[3], &[3, 1]), &["beta of shape (3, 1)", "expected (3)"]);
    let (x, c) = (var(&[2, 3]), var(&[3]));
    let eval = || drop(x.batch_norm_eval(&c, &c, c.value(), x.value(), EPS));
    assert_panics(eval, &["batch_norm_eval: running_var of shape (2, 3)", "expected (3)"]);
    assert_panics(|| drop(x.layer_norm(3, &c, &c, EPS)), &["layer_norm: 3 axes of shape (2, 3): expected 1 to 2"]);
    assert_panics(|| drop(x.layer_norm(2, &x, &c, EPS)), &["beta of shape (3) for x of shape (2, 3): expected (2, 3)"]);
    // One value per map is enough if there are several maps, and a single map of several.
    let _ = var(&[2, 3, 1, 1]).batch_norm_train(&c, &c, EPS);
    let _ = var(&[1, 3, 2, 1]).batch_norm_train(&c, &c, EPS);
    assert_eq!(var(&[0, 3]).batch_norm_eval(&c, &c, c.value(), c.value(), EPS).shape().to_vec(), [0, 3]);
}
