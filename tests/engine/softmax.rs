//! softmax, log_softmax and logsumexp: values against plain loops, and extreme values.

use crate::support::{assert_close, noise};
use wengert::{Tensor, Var};

const INF: f64 = f64::INFINITY;

fn constant<const N: usize>(x: [f64; N]) -> Var<f64> {
    Tensor::from_slice([N], &x).into()
}

#[test]
fn values_along_every_axis_in_every_memory_order() {
    for order in [[0, 1, 2, 3], [0, 2, 3, 1], [2, 3, 1, 0]] {
        let x = noise([3, 2, 4, 5], 1).in_memory_order(order);
        for axis in 0..4 {
            let mut expected = x.to_array();
            for mut row in expected.lanes_mut(ndarray::Axis(axis)) {
                let sum: f64 = row.iter().map(|x| x.exp()).sum();
                row.mapv_inplace(|x| x.exp() / sum);
            }
            let expected = Tensor::from_array(&expected);
            let x = Var::from(&x);
            assert_close(x.softmax(axis).value(), &expected, 1e-14);
            assert_close(x.log_softmax(axis).exp().value(), &expected, 1e-14);
            assert_close((&x - x.logsumexp([axis], true)).exp().value(), &expected, 1e-14);
        }
        let x = Var::from(&x);
        let all = x.exp().sum_axes([0, 2], false).ln();
        assert_close(x.logsumexp([2, 0], false).value(), all.value(), 1e-14);
        assert_eq!(x.softmax(0).value().strides(), x.value().strides());
    }
}

#[test]
fn large_values_neither_overflow_nor_vanish() {
    let x = constant([1000.0, 1001.0, -1000.0]);
    let p = 1.0 / (1.0 + 1f64.exp());
    let expected = Tensor::from_vec([3], vec![p, 1.0 - p, 0.0]);
    assert_close(x.softmax(0).value(), &expected, 1e-15);
    assert_eq!(x.log_softmax(0).value().to_vec()[2], -2001.0 - (1.0 + (-1f64).exp()).ln());
    assert_eq!(x.logsumexp([0], false).item(), 1001.0 + (1.0 + (-1f64).exp()).ln());
}

#[test]
fn infinities_give_what_they_give_in_pytorch() {
    let nothing = constant([]);
    assert_eq!(nothing.logsumexp([0], false).item(), -INF);
    assert_eq!(nothing.softmax(0).shape().to_vec(), [0]);
    let lowest = constant([-INF, -INF]);
    assert_eq!(lowest.logsumexp([0], true).item(), -INF);
    assert!(lowest.softmax(0).value().to_vec().iter().all(|x| x.is_nan()));
    assert!(lowest.log_softmax(0).value().to_vec().iter().all(|x| x.is_nan()));
    let highest = constant([INF, 0.0]);
    assert_eq!(highest.logsumexp([0], false).item(), INF);
    assert!(highest.softmax(0).value().to_vec().iter().all(|x| x.is_nan()));
    let masked = constant([-INF, 0.0, 0.0]);
    assert_eq!(masked.softmax(0).value().to_vec(), [0.0, 0.5, 0.5]);
    assert_eq!(masked.log_softmax(0).value().to_vec()[0], -INF);
    assert!(constant([f64::NAN, 0.0]).logsumexp([0], false).item().is_nan());
}

/// In f32, whose exponential is the kernels' own, along the innermost axis and across it.
#[test]
fn nan_and_infinity_in_f32() {
    let (nan, inf) = (f32::from_bits(0x7fc0_01ff), f32::INFINITY);
    let softmax = |x: [f32; 4]| {
        let row = Var::from(Tensor::from_slice([1, 4], &x)).softmax(1).value().to_vec();
        let pairs: Vec<f32> = x.into_iter().flat_map(|x| [x, 1.0]).collect();
        let column = Var::from(Tensor::from_slice([4, 2], &pairs)).softmax(0).value().to_vec();
        assert!(column.chunks(2).all(|pair| pair[1] == 0.25));
        [row, column.into_iter().step_by(2).collect()]
    };
    for y in softmax([nan, 0.0, 1.0, 2.0]).into_iter().chain(softmax([0.0, 1.0, -nan, -inf])) {
        assert!(y.iter().all(|y| y.is_nan()), "{y:?}");
    }
    for y in softmax([inf, 0.0, 1.0, 2.0]).into_iter().chain(softmax([-inf; 4])) {
        assert!(y.iter().any(|y| y.is_nan()), "{y:?}");
    }
    for y in softmax([-inf, 0.0, 0.0, -200.0]) {
        assert_eq!(y, [0.0, 0.5, 0.5, 0.0]);
    }
}
