//! Softmax, its logarithm and its gradient along any axis.

use wengert::compute::compute;
use wengert::kernels::around::Around;
use wengert::kernels::softmax::{Softmax, SoftmaxGradient};
use wengert::{Element, Tensor};

use crate::{agree, both, noise, orders};

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
