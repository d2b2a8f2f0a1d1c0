//! Products of weights with vectors, and spectral normalisation.

use wengert::compute::{Layout, compute};
use wengert::kernels::around::Around;
use wengert::kernels::spectral::{Dot, SpectralGradient, Times, TransposedTimes, UnitVector};
use wengert::ops::power_iteration;
use wengert::{Element, Tensor, Var};

use crate::{agree, both, holds, noise, orders};

/// Rows and columns in every place of the weight's memory, on either side of groups and chains.
fn arounds() -> Vec<Around> {
    let sizes = [
        [1, 1, 1],
        [1, 1, 5],
        [1, 1, 5_000],
        [5_000, 1, 1],
        [1, 5_000, 1],
        [3, 1, 4],
        [1, 3, 5],
        [1, 63, 257],
        [1, 65, 255],
        [1, 9, 4_099],
        [257, 64, 1],
        [255, 33, 1],
        [6, 5, 4],
        [50, 70, 3],
        [300, 31, 2],
        [7, 32, 33],
        [0, 3, 1],
        [2, 3, 0],
        [1, 0, 4],
    ];
    sizes.map(|[outer, extent, inner]| Around { outer, extent, inner }).to_vec()
}

/// W, and vectors of its rows and of its columns.
fn weight<T: Element>(around: Around) -> Vec<Tensor<T>> {
    let Around { outer, extent: rows, inner } = around;
    vec![noise(&[outer, rows, inner], 1), noise(&[rows], 2), noise(&[outer, inner], 3)]
}

fn row<const N: usize>(shape: [usize; N]) -> Layout {
    Layout::row_major(shape)
}

#[test]
fn products() {
    fn of<T: Element>(bound: f64) {
        for around in arounds() {
            let f = |x: &[Tensor<T>]| {
                let [of_rows] = compute(&Times { around }, &[&x[0], &x[2]], [row([around.extent])]);
                let columns = row([around.outer, around.inner]);
                let [of_columns] = compute(&TransposedTimes { around }, &[&x[0], &x[1]], [columns]);
                vec![of_rows, of_columns]
            };
            agree(&format!("{around:?}"), bound, f, &weight::<T>(around));
        }
    }
    of::<f32>(5e-6);
    of::<f64>(1e-13);
}

#[test]
fn dots_and_unit_vectors() {
    fn of<T: Element>(bound: f64) {
        for n in [1, 2, 31, 32, 33, 255, 256, 257, 512, 8_192, 9_001] {
            let f = |x: &[Tensor<T>]| {
                let [dot] = compute(&Dot, &[&x[0], &x[1]], [row([])]);
                let [unit] = compute(&UnitVector { eps: 1e-12 }, &[&x[0]], [row([n])]);
                vec![dot, unit]
            };
            let a = noise::<T>(&[n], 4);
            // Not orthogonal, so that the dot product has its full size.
            let b = Tensor::from_vec([n], a.to_vec().iter().map(|&x| x + T::of(0.5)).collect());
            agree(&format!("{n}"), bound, f, &[a, b]);
        }
    }
    of::<f32>(if holds::<f64>() { 2e-7 } else { 2e-6 });
    of::<f64>(1e-14);
    let none = [Tensor::<f32>::zeros([0]), Tensor::zeros([0])];
    agree("nothing", 0.0, |x| compute(&Dot, &[&x[0], &x[1]], [row([])]).to_vec(), &none);
    agree("nothing", 0.0, |x| compute(&UnitVector { eps: 1e-12 }, &[&x[0]], [row([0])]).to_vec(), &none);
}

/// A norm below eps, one whose square leaves the range of f32, and one that is NaN.
#[test]
fn unit_vectors_at_the_limits() {
    let largest = if holds::<f64>() { 1e30 } else { 1e15 };
    for (value, bound) in [(0.0, 0.0), (1e-20, 1e-6), (largest, 1e-6)] {
        let f = |x: &[Tensor<f32>]| compute(&UnitVector { eps: 1e-12 }, &[&x[0]], [row([40])]).to_vec();
        agree(&format!("{value:e}"), bound, f, &[Tensor::full([40], value)]);
    }
    let x = Tensor::from_vec([3], vec![f32::NAN, 1.0, 2.0]);
    let [expected, found] = both(|x| compute(&UnitVector { eps: 0.5 }, &[&x[0]], [row([3])]).to_vec(), &[x]);
    assert!(found[0].to_vec()[0].is_nan());
    assert_eq!(found[0].to_vec()[1..], expected[0].to_vec()[1..]);
}

#[test]
fn gradients_of_weights() {
    fn of<T: Element>(bound: f64) {
        for around in arounds().into_iter().chain([Around { outer: 1, extent: 40, inner: 3_001 }]) {
            let f = |x: &[Tensor<T>]| {
                let inputs = [&x[3], &x[0], &x[1], &x[2], &x[4]];
                compute(&SpectralGradient { around }, &inputs, [x[0].layout()]).to_vec()
            };
            let mut inputs = weight::<T>(around);
            let grad = noise::<T>(inputs[0].shape(), 5);
            inputs.extend([grad, Tensor::scalar(1.7)]);
            agree(&format!("{around:?}"), bound, f, &inputs);
        }
    }
    // λ is a sum in which much cancels.
    of::<f32>(if holds::<f64>() { 1e-4 } else { 1e-3 });
    of::<f64>(1e-12);
}

/// Weights of convolutions and dense layers in the orders of memory that they have, and in others.
#[test]
fn operations_in_both_orders() {
    fn of<T: Element>(bound: f64) {
        let cases: [(&[usize], &[usize], usize); 5] = [
            (&[6, 9], &[0, 1], 0),
            (&[6, 9], &[1, 0], 0),
            (&[5, 4, 3, 3], &[0, 2, 3, 1], 0),
            (&[4, 5, 3, 3], &[0, 2, 3, 1], 1),
            (&[4, 5, 3, 3], &[2, 3, 1, 0], 1),
        ];
        for (shape, order, axis) in cases {
            let (rows, size) = (shape[axis], shape.iter().product::<usize>());
            let order: wengert::Axes = order.iter().copied().collect();
            let w = noise::<T>(shape, 6).in_memory_order(order);
            let inputs = [w, noise(shape, 7), noise(&[rows], 8), noise(&[size / rows], 9)];
            let f = |t: &[Tensor<T>]| {
                let (u, v) = power_iteration(&t[0], axis, &t[2], &t[3], 2, 1e-12);
                let mut results = orders(&t[..1], |x| x[0].spectral_norm(&u, &v, axis), &t[1]);
                let sigma = |x: &[Var<T>]| x[0].spectral_sigma(&u, &v, axis) * Var::from(&t[1]);
                results.extend(orders(&t[..1], sigma, &t[1]));
                results.extend([u, v]);
                results
            };
            agree(&format!("{shape:?}, output axis {axis}"), bound, f, &inputs);
        }
    }
    of::<f32>(2e-5);
    of::<f64>(1e-13);
}
