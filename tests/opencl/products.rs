//! Products of matrices and the three maps of a convolution against the processor. `WENGERT_OPENCL_AS=gpu` has a
//! processor's device compute them as a GPU does.

use wengert::compute::{Kernel, Layout, compute};
use wengert::kernels::conv::kernels::{Convolution, TransposedConvolution, WeightGradient};
use wengert::kernels::conv::{ConvShape, winograd};
use wengert::kernels::nest::Nest;
use wengert::kernels::product::MatrixProduct;
use wengert::{Device, Element, Precision, Tensor};

use crate::{holds, with_device};

fn noise<T: Element>(len: usize, seed: u64) -> Tensor<T> {
    wengert::Rng::seed(seed).normal([len])
}

/// The kernel on the device, twice, and on the processor, where the device holds `T`.
fn check<T: Element>(what: &dyn std::fmt::Debug, kernel: &dyn Kernel<T>, inputs: &[&Tensor<T>], len: usize) {
    if !holds::<T>() {
        return;
    }
    with_device(|device| check_on(device, what, kernel, inputs, len));
}

fn check_on<T: Element>(
    device: &Device,
    what: &dyn std::fmt::Debug,
    kernel: &dyn Kernel<T>,
    inputs: &[&Tensor<T>],
    len: usize,
) {
    let on_device: Vec<Tensor<T>> = inputs.iter().map(|x| x.to(device).unwrap()).collect();
    let on_device: Vec<&Tensor<T>> = on_device.iter().collect();
    let run = |inputs: &[&Tensor<T>]| {
        let [y] = compute(kernel, inputs, [Layout::row_major([len])]);
        y.to_vec()
    };
    let want = Precision::Exact.scope(|| run(inputs));
    let size: f64 = want.iter().map(|w| w.f64().powi(2)).sum::<f64>().sqrt();
    let bound = if T::NAME == "f32" { 1e-5 } else { 1e-12 } * size;
    let before = device.counts();
    let got = run(&on_device);
    let error = got.iter().zip(&want).map(|(g, w)| (g.f64() - w.f64()).powi(2)).sum::<f64>().sqrt();
    assert!(error <= bound, "{what:?}: {error:e} of {size}");
    assert!(got == run(&on_device), "{what:?}: other bits");
    assert_eq!((device.counts() - before).fallbacks, 0, "{what:?}");
}

fn products<T: Element>() {
    let sizes = [
        [1, 1, 1],
        [2, 3, 1],
        [1, 70, 33],
        [3, 17, 100],
        [5, 4, 3],
        [6, 9, 16],
        [7, 1, 17],
        [13, 65, 32],
        [65, 16, 63],
        [64, 33, 64],
        [130, 40, 129],
        [4, 0, 5],
        [0, 3, 5],
        [3, 5, 0],
        [2, 5000, 3],
        [1, 3000, 1],
        [9, 2500, 16],
    ];
    for size @ [m, k, n] in sizes {
        for (a, b) in [([k, 1], [n, 1]), ([1, m], [n, 1]), ([k, 1], [1, k]), ([1, m], [1, k])] {
            for (batch, a_steps, b_steps) in [
                ([1, 1], [0, 0], [0, 0]),
                ([2, 3], [3 * m * k, m * k], [3 * k * n, k * n]),
                ([2, 3], [m * k, 0], [0, k * n]),
            ] {
                let count = batch[0] * batch[1];
                let nest = Nest::new(&batch, &[batch[1], 1], [&a_steps, &b_steps]);
                let kernel = MatrixProduct { count, batch: nest, size, a, b };
                let (x, y) = (noise::<T>(count * m * k, 1), noise::<T>(count * k * n, 2));
                check(&kernel, &kernel, &[&x, &y], count * m * n);
            }
        }
    }
}

#[test]
fn products_in_f32() {
    products::<f32>();
}

#[test]
fn products_in_f64() {
    products::<f64>();
}

/// Small enough for a device that checks every access, see `.ci/`.
#[test]
fn tiny() {
    for (size @ [m, k, n], a, b) in [
        ([3, 5, 17], [5, 1], [17, 1]),
        ([7, 2, 3], [1, 7], [1, 2]),
        ([1, 9, 6], [9, 1], [1, 9]),
        ([2, 600, 1], [600, 1], [1, 1]),
    ] {
        let kernel = MatrixProduct { count: 2, batch: Nest::new(&[2], &[1], [&[m * k], &[0]]), size, a, b };
        check(&kernel, &kernel, &[&noise::<f32>(2 * m * k, 1), &noise(k * n, 2)], 2 * m * n);
    }
    let shape =
        ConvShape { batch: 1, input: [4, 3], output: [3, 2], kernel: [2, 3], stride: [1, 2], padding: [0, 1], ..ODD };
    for shape in [ConvShape { dilation: [1, 1], ..shape }, ODD] {
        maps::<f32>(shape);
    }
}

/// As `tiny`: Winograd's algorithm.
#[test]
fn tiny_winograd() {
    let (input, output, channels) = ([7, 8], [7, 8], [16, 32]);
    let plain =
        ConvShape { batch: 4, in_channels: channels[0], out_channels: channels[1], dilation: [1; 2], groups: 1, ..ODD };
    for shape in [
        ConvShape { input, output, kernel: [3; 2], stride: [1; 2], padding: [1; 2], ..plain },
        ConvShape { input: [15, 14], output, kernel: [4; 2], stride: [2; 2], padding: [1, 2], ..plain },
    ] {
        assert!(winograd::supports(&shape) && winograd::pays(&shape, channels));
        maps::<f32>(shape);
    }
}

/// Different numbers along the two axes.
const ODD: ConvShape = ConvShape {
    batch: 2,
    in_channels: 6,
    out_channels: 4,
    input: [9, 6],
    output: [4, 3],
    kernel: [2, 5],
    stride: [2, 3],
    padding: [0, 4],
    dilation: [3, 2],
    groups: 2,
};

/// Maps one wider than high.
fn shapes() -> Vec<ConvShape> {
    let channels = [[1, 1], [3, 17], [16, 16], [5, 7], [33, 3], [67, 31], [2, 64], [7, 48], [16, 5], [32, 1]];
    let mut shapes = Vec::new();
    for size in [1, 4, 7] {
        for kernel in [1, 2, 3, 4] {
            for stride in [1, 2, 3] {
                for padding in [0, 1, 2] {
                    for dilation in [1, 2] {
                        for groups in [1, 3] {
                            let [c, k] = channels[shapes.len() % channels.len()];
                            let channels = if groups == 1 { [c, k] } else { [3 * (1 + c % 5), 3 * (1 + k % 6)] };
                            let input = [size, size + 1];
                            let output = input.map(|n: usize| {
                                (n + 2 * padding).checked_sub(dilation * (kernel - 1) + 1).map(|n| n / stride + 1)
                            });
                            let [Some(height), Some(width)] = output else { continue };
                            shapes.push(ConvShape {
                                batch: 1 + shapes.len() % 3,
                                in_channels: channels[0],
                                out_channels: channels[1],
                                input,
                                output: [height, width],
                                kernel: [kernel; 2],
                                stride: [stride; 2],
                                padding: [padding; 2],
                                dilation: [dilation; 2],
                                groups,
                            });
                        }
                    }
                }
            }
        }
    }
    // Several parts of a weight gradient, chains of more than 1024, all channels by themselves, and nothing at all.
    let plain = ConvShape { kernel: [3; 2], stride: [1; 2], padding: [1; 2], dilation: [1; 2], groups: 1, ..ODD };
    shapes.push(ODD);
    shapes.push(ConvShape { in_channels: 3, out_channels: 20, input: [48, 50], output: [48, 50], batch: 3, ..plain });
    shapes.push(ConvShape { in_channels: 300, out_channels: 33, input: [5, 4], output: [5, 4], ..plain });
    shapes.push(ConvShape { in_channels: 24, out_channels: 24, input: [5; 2], output: [5; 2], groups: 24, ..plain });
    shapes.push(ConvShape { batch: 0, input: [5, 4], output: [5, 4], ..plain });
    shapes.push(ConvShape { in_channels: 0, input: [5, 4], output: [5, 4], ..plain });
    shapes.push(ConvShape { out_channels: 0, input: [5, 4], output: [5, 4], ..plain });
    shapes
}

fn maps<T: Element>(shape: ConvShape) {
    let [x, w, y] = [(shape.x_len(), 1), (shape.w_len(), 2), (shape.y_len(), 3)].map(|(n, seed)| noise::<T>(n, seed));
    let (x_bias, y_bias) = (noise::<T>(shape.in_channels, 4), noise::<T>(shape.out_channels, 5));
    let forward = |slope| Convolution { shape, slope };
    check(&("forward", shape), &forward(1.0), &[&x, &w], shape.y_len());
    check(&("forward with bias", shape), &forward(0.1), &[&x, &w, &y_bias], shape.y_len());
    check(&("adjoint", shape), &TransposedConvolution(shape), &[&y, &w], shape.x_len());
    check(&("adjoint with bias", shape), &TransposedConvolution(shape), &[&y, &w, &x_bias], shape.x_len());
    check(&("weights", shape), &WeightGradient(shape), &[&x, &y], shape.w_len());
}

#[test]
fn convolutions_in_f32() {
    shapes().into_iter().for_each(maps::<f32>);
}

#[test]
fn convolutions_in_f64() {
    shapes().into_iter().for_each(maps::<f64>);
}

/// Kernels of 3×3 and of 4×4 with stride 2, maps that fill their tiles and such that do not, several pieces of a batch.
#[test]
fn winograd() {
    let plain = ConvShape { groups: 1, dilation: [1; 2], ..ODD };
    for (kernel, stride, padding, input, output) in [
        (3, 1, [0, 1], [9, 7], [7, 7]),
        (3, 1, [1, 2], [8, 6], [8, 8]),
        (3, 1, [2, 0], [10, 17], [12, 15]),
        (3, 1, [1, 1], [48, 48], [48, 48]),
        (4, 2, [0, 1], [17, 15], [7, 7]),
        (4, 2, [1, 2], [16, 13], [8, 7]),
        (4, 2, [2, 0], [13, 32], [7, 15]),
        (4, 2, [1, 1], [48, 48], [24, 24]),
    ] {
        for (batch, [in_channels, out_channels]) in [(5, [16, 40]), (4, [20, 32]), (4, [17, 33])] {
            let (kernel, stride) = ([kernel; 2], [stride; 2]);
            let shape = ConvShape { batch, in_channels, out_channels, input, output, kernel, stride, padding, ..plain };
            assert!(winograd::supports(&shape) && winograd::pays(&shape, [in_channels, out_channels]));
            maps::<f32>(shape);
        }
    }
}
