//! Batch normalisation: its kernels and its operations.

use wengert::compute::{Layout, compute};
use wengert::kernels::batch_norm::{BatchMoments, BatchNormGradient, BatchNormalise, ColumnSums};
use wengert::{Element, Shape, Tensor};

use crate::{agree, both, holds, noise, orders};

/// Channels on either side of the groups' tiles, rows on either side of chains and parts.
fn shapes() -> Vec<[usize; 2]> {
    let mut shapes = Vec::new();
    for channels in [1, 2, 3, 31, 32, 33, 63, 64, 65, 130] {
        shapes.extend([1, 2, 7, 31, 32, 33, 255, 256, 257, 600].map(|rows| [rows, channels]));
    }
    shapes.extend([[9_000, 3], [20_001, 64], [300, 513]]);
    shapes
}

fn vector(channels: usize) -> Layout {
    Layout::row_major([channels])
}

fn column_sums<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    let [y] = compute(&ColumnSums, &[x], [vector(x.shape()[1])]);
    y
}

#[test]
fn sums_of_columns() {
    fn of<T: Element>(bound: f64) {
        for shape in shapes().into_iter().chain([[0, 5], [5, 0]]) {
            agree(&format!("{shape:?}"), bound, |x| vec![column_sums(&x[0])], &[noise::<T>(&shape, 1)]);
        }
    }
    of::<f32>(if holds::<f64>() { 2e-7 } else { 5e-6 });
    of::<f64>(1e-13);
}

/// Every element is added in double precision: where terms cancel, nothing is left.
#[test]
fn sums_of_columns_that_cancel() {
    if !holds::<f64>() {
        return;
    }
    let (rows, channels) = (3_000, 5);
    let x: Vec<f32> = noise::<f32>(&[rows / 2 * channels], 1).to_vec();
    let x = Tensor::from_vec([rows, channels], x.iter().copied().chain(x.iter().map(|x| -x)).collect());
    let [_, found] = both(|x| vec![column_sums(&x[0])], &[x]);
    let left = found[0].to_vec().into_iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(left < 1e-12, "{left}");
}

fn moments<T: Element>(x: &Tensor<T>, eps: f64) -> Vec<Tensor<T>> {
    compute(&BatchMoments { eps }, &[x], [vector(x.shape()[1]); 4]).to_vec()
}

#[test]
fn moments_of_columns() {
    fn of<T: Element>(bound: f64) {
        if !holds::<T>() {
            return;
        }
        for shape in shapes() {
            let [expected, found] = both(|x| moments(&x[0], 1e-5), &[noise::<T>(&shape, 2)]);
            // The deviation is 1, and 300 that of the inverse where there is one row.
            for (i, bound) in [(0, bound), (2, bound), (3, 300.0 * bound)] {
                for (found, expected) in found[i].to_vec().iter().zip(expected[i].to_vec()) {
                    let off = (found.f64() - expected.f64()).abs();
                    assert!(off <= bound, "{} {shape:?}, result {i}: off by {off:e}", T::NAME);
                }
            }
        }
    }
    of::<f32>(3e-6);
    of::<f64>(1e-13);
}

/// Means far from 0 in units of the deviation, and values whose squares leave the range of f32.
#[test]
fn moments_are_exact_wherever_values_lie() {
    let (rows, channels) = (5_003, 33);
    let noise = noise::<f64>(&[rows, channels], 3).to_vec();
    let (scales, bound) =
        if holds::<f64>() { (&[1e-3, 1.0, 1e4, 1e20][..], 1e-6) } else { (&[1e-3, 1.0, 1e4][..], 1e-5) };
    for &scale in scales {
        for ratio in [0.0, 1.0, 1e3, 1e6] {
            let x: Vec<f32> = noise.iter().map(|x| ((x + ratio) * scale) as f32).collect();
            let values = Tensor::from_slice([rows, channels], &x);
            let [_, found] = both(|x| moments(&x[0], 0.0), &[values]);
            let value = |i: usize, c: usize| found[i].data()[c] as f64;
            for c in 0..channels {
                let column = || x.iter().skip(c).step_by(channels).map(|&x| x as f64);
                let mean = column().sum::<f64>() / rows as f64;
                let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                let deviation = variance.sqrt();
                let case = format!("scale {scale:e}, mean/deviation {ratio:e}, channel {c}");
                let off = (value(0, c) + value(1, c) - mean).abs() / deviation;
                assert!(off <= bound, "{case}: the mean is off by {off:e} deviations");
                if variance < f32::MAX as f64 {
                    let off = (value(2, c) / variance - 1.0).abs();
                    assert!(off <= bound, "{case}: the variance is off by {off:e}");
                }
                let off = (value(3, c) * deviation - 1.0).abs();
                assert!(off <= bound, "{case}: 1/deviation is off by {off:e}");
            }
        }
    }
}

#[test]
fn a_channel_with_nan_or_infinity_is_nan() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for row in [0, 1, 40, 299] {
            let mut x = noise::<f32>(&[300, 3], 4).to_vec();
            x[row * 3 + 1] = value;
            let [_, found] = both(|x| moments(&x[0], 1e-5), &[Tensor::from_vec([300, 3], x)]);
            for moments in &found[2..] {
                let nan: Vec<bool> = moments.to_vec().iter().map(|x| x.is_nan()).collect();
                assert_eq!(nan, [false, true, false], "{value} in row {row}");
            }
        }
    }
}

/// Rows and what belongs to their channels: x, g, mean, rest, inverse, γ, β.
fn batch<T: Element>([rows, channels]: [usize; 2]) -> Vec<Tensor<T>> {
    let vector = |seed| noise::<T>(&[channels], seed);
    let rest = Tensor::from_vec([channels], vector(7).to_vec().iter().map(|&x| x * T::of(1e-3)).collect());
    let inverse = Tensor::from_vec([channels], vector(8).to_vec().iter().map(|&x| x * x + T::of(0.1)).collect());
    let maps = [5, 6].map(|seed| noise(&[rows, channels], seed));
    maps.into_iter().chain([vector(9), rest, inverse, vector(10), vector(11)]).collect()
}

#[test]
fn normalised_rows() {
    fn of<T: Element>(bound: f64) {
        for shape in shapes().into_iter().chain([[0, 3], [3, 0]]) {
            for relu in [false, true] {
                let f = |x: &[Tensor<T>]| {
                    let inputs = [&x[0], &x[2], &x[3], &x[4], &x[5], &x[6]];
                    compute(&BatchNormalise { relu }, &inputs, [x[0].layout()]).to_vec()
                };
                agree(&format!("{shape:?}, ReLU {relu}"), bound, f, &batch::<T>(shape));
            }
        }
    }
    of::<f32>(1e-6);
    of::<f64>(1e-14);
}

#[test]
fn gradients_of_rows() {
    fn of<T: Element>(bound: f64) {
        for shape in shapes() {
            let (relu, channels) = (shape[0] % 2 == 0, vector(shape[1]));
            let kernel = BatchNormGradient { relu };
            let all = |x: &[Tensor<T>]| {
                let inputs = x.iter().collect::<Vec<_>>();
                compute(&kernel, &inputs, [channels, channels, x[0].layout()]).to_vec()
            };
            let of_vectors = |x: &[Tensor<T>]| compute(&kernel, &x.iter().collect::<Vec<_>>(), [channels; 2]).to_vec();
            let case = format!("{shape:?}, ReLU {relu}");
            agree(&case, bound, all, &batch::<T>(shape));
            agree(&case, bound, of_vectors, &batch::<T>(shape));
        }
    }
    of::<f32>(2e-5);
    of::<f64>(1e-12);
}

/// NaN passes the ReLU, forward; behind it, it lets no gradient pass.
#[test]
fn nan_and_the_relu() {
    let mut inputs = batch::<f32>([40, 3]);
    let mut x = inputs[0].to_vec();
    x[4] = f32::NAN;
    inputs[0] = Tensor::from_vec([40, 3], x);
    let f = |x: &[Tensor<f32>]| {
        let inputs = [&x[0], &x[2], &x[3], &x[4], &x[5], &x[6]];
        compute(&BatchNormalise { relu: true }, &inputs, [x[0].layout()]).to_vec()
    };
    let nan = |x: &Tensor<f32>| x.to_vec().iter().map(|x| x.is_nan()).collect::<Vec<_>>();
    let [expected, found] = both(f, &inputs);
    assert_eq!(nan(&found[0]), nan(&expected[0]));
    assert!(nan(&found[0])[4]);
}

#[test]
fn operations_in_both_orders() {
    fn of<T: Element>(bound: f64) {
        for shape in [&[40, 5][..], &[3, 17, 5, 4]] {
            let shape = Shape::from(shape);
            let channels = [shape[1]];
            let mut inputs = vec![noise::<T>(&shape, 1), noise(&channels, 2), noise(&channels, 3)];
            inputs.extend([noise::<T>(&shape, 4), noise(&channels, 5), noise(&channels, 6)]);
            inputs[5] = Tensor::ones(channels);
            let train = |x: &[Tensor<T>]| orders(&x[..3], |x| x[0].batch_norm_train(&x[1], &x[2], 1e-5).0, &x[3]);
            agree(&format!("batch_norm_train {shape}"), bound, train, &inputs);
            let relu = |x: &[Tensor<T>]| orders(&x[..3], |x| x[0].batch_norm_relu_train(&x[1], &x[2], 1e-5).0, &x[3]);
            agree(&format!("batch_norm_relu_train {shape}"), bound, relu, &inputs);
            let eval =
                |t: &[Tensor<T>]| orders(&t[..3], |x| x[0].batch_norm_eval(&x[1], &x[2], &t[4], &t[5], 1e-5), &t[3]);
            agree(&format!("batch_norm_eval {shape}"), bound, eval, &inputs);
        }
    }
    of::<f32>(1e-4);
    of::<f64>(1e-11);
}
