//! Softmax, its logarithm and its gradient along any axis.

use wengert::compute::compute;
use wengert::kernels::around::Around;
use wengert::kernels::softmax::{Softmax, SoftmaxGradient};
use wengert::{Element, Tensor};

use crate::{agree, both, holds, noise, orders};

fn softmax<T: Element>(x: &Tensor<T>, around: Around, log: bool) -> Tensor<T> {
    let [y] = compute(&Softmax { around, log }, &[x], [x.layout()]);
    y
}

/// Rows on either side of vectors, chains and groups, along the innermost axis and others; many and few of them.
fn arounds() -> Vec<Around> {
    let around = |outer, extent, inner| Around { outer, extent, inner };
    let mut list = Vec::new();
    for extent in [1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 100, 511, 512, 513, 2_100, 5_000] {
        list.extend([around(1, extent, 1), around(7, extent, 1), around(2, extent, 3)]);
    }
    list.extend([around(70, 33, 1), around(3, 20, 1_500), around(65, 40, 64), around(2, 17, 31)]);
    list.extend([around(0, 5, 1), around(5, 0, 1), around(5, 3, 0)]);
    list
}

#[test]
fn softmax_and_its_logarithm() {
    fn of<T: Element>(bound: f64) {
        for around in arounds() {
            let Around { outer, extent, inner } = around;
            let x = noise::<T>(&[outer, extent, inner], 1);
            let x = Tensor::from_vec(x.shape(), x.to_vec().into_iter().map(|x| x * T::of(5.0)).collect());
            let f = |x: &[Tensor<T>]| vec![softmax(&x[0], around, false), softmax(&x[0], around, true)];
            agree(&format!("{around:?}"), bound, f, &[x]);
        }
    }
    // Relative to the root mean square: an element of a long row may be a hundred times as large.
    of::<f32>(1e-4);
    of::<f64>(1e-13);
}

/// Small enough for a device that checks every access, see `.ci/`: rows that the work-items of a GPU's group share.
#[test]
fn tiny() {
    for (outer, extent, inner) in [(3, 17, 1), (1, 70, 2)] {
        let around = Around { outer, extent, inner };
        let f = |x: &[Tensor]| {
            let y = softmax(&x[0], around, false);
            let [dx] = compute(&SoftmaxGradient { around }, &[&y, &x[1]], [y.layout()]);
            vec![softmax(&x[0], around, true), y, dx]
        };
        agree(&format!("{around:?}"), 1e-5, f, &[1, 2].map(|seed| noise(&[outer, extent, inner], seed)));
    }
}

#[test]
fn gradient_of_softmax() {
    fn of<T: Element>(bound: f64) {
        for around in arounds() {
            let shape = [around.outer, around.extent, around.inner];
            let f = |x: &[Tensor<T>]| compute(&SoftmaxGradient { around }, &[&x[0], &x[1]], [x[0].layout()]).to_vec();
            agree(&format!("{around:?}"), bound, f, &[noise::<T>(&shape, 2), noise::<T>(&shape, 3)]);
        }
    }
    of::<f32>(1e-5);
    of::<f64>(1e-13);
}

/// Equal terms round in one direction: sums of chains of 32 that were added up in f32 would be off by up to 2e-4.
#[test]
fn long_rows_are_exact() {
    const N: usize = 1 << 20;
    for inner in [1, 2] {
        let around = Around { outer: 1, extent: N, inner };
        let mut x = vec![-0.105; N * inner];
        x[..inner].fill(0.0);
        let f = |x: &[Tensor<f32>]| {
            let y = softmax(&x[0], around, false);
            let [dx] = compute(&SoftmaxGradient { around }, &[&y, &x[1]], [y.layout()]);
            vec![y, dx]
        };
        let [_, found] = both(f, &[Tensor::from_vec([1, N, inner], x), Tensor::full([1, N, inner], 0.9)]);
        let sum = |x: &Tensor<f32>| x.to_vec().into_iter().map(f64::from).sum::<f64>() / inner as f64;
        let [y, dx] = [sum(&found[0]), sum(&found[1])];
        assert!((y - 1.0).abs() < if holds::<f64>() { 1e-6 } else { 1e-3 }, "inner {inner}: they add up to {y}, not 1");
        // ȳ ⊙ (g − Σ y ⊙ g) adds up to 0.
        assert!(dx.abs() < if holds::<f64>() { 1e-6 } else { 1e-3 }, "inner {inner}: the gradient adds up to {dx}");
    }
}

/// Along the innermost axis and another: what the processor makes of NaN and infinities, anywhere in a row.
#[test]
fn special_values() {
    for [outer, extent, inner] in [[4, 70, 1], [1, 70, 4]] {
        let around = Around { outer, extent, inner };
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        for (at, value) in [0, 40, 69].into_iter().flat_map(|at| values.map(|value| (at, value))) {
            let mut x = noise::<f32>(&[outer, extent, inner], 4).to_vec();
            x[if inner == 1 { extent + at } else { at * inner + 1 }] = value;
            let f = |x: &[Tensor<f32>]| vec![softmax(&x[0], around, false), softmax(&x[0], around, true)];
            let [expected, found] = both(f, &[Tensor::from_vec([outer, extent, inner], x)]);
            for (found, expected) in found.iter().zip(&expected) {
                for (found, expected) in found.to_vec().into_iter().zip(expected.to_vec()) {
                    let same = found == expected || (found.is_nan() && expected.is_nan());
                    let near = (found - expected).abs() <= 1e-6 * (1.0 + expected.abs());
                    assert!(same || near, "{around:?}, {value} at {at}: {found}, not {expected}");
                }
            }
        }
        let x = Tensor::full([outer, extent, inner], f64::NEG_INFINITY);
        let [_, found] = both(|x: &[Tensor<f32>]| vec![softmax(&x[0], around, false)], &[x]);
        assert!(found[0].to_vec().iter().all(|y| y.is_nan()), "only −∞");
    }
}

#[test]
fn operations_in_both_orders() {
    fn of<T: Element>(bound: f64) {
        for (shape, axis) in [(&[7, 33][..], 1), (&[7, 33], 0), (&[3, 5, 4, 6], 1), (&[3, 5, 4, 6], 3)] {
            let inputs = [noise::<T>(shape, 5), noise::<T>(shape, 6)];
            let case = format!("{shape:?} along {axis}");
            agree(&case, bound, |x| orders(&x[..1], |x| x[0].softmax(axis), &x[1]), &inputs);
            agree(&case, bound, |x| orders(&x[..1], |x| x[0].log_softmax(axis), &x[1]), &inputs);
        }
    }
    of::<f32>(2e-5);
    of::<f64>(1e-13);
}
