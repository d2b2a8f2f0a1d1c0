//! Copies, rows by index, pooling and upsampling. What only moves values gives the processor's bits.

use wengert::{Element, Tape, Tensor, Var};

use crate::{agree, noise};

/// Every order of four axes, of sizes around the blocks of a transpose.
#[test]
fn copies_in_any_order() {
    fn check<T: Element>() {
        let shapes = [
            [1, 1, 1, 1],
            [1, 1, 15, 16],
            [1, 1, 16, 17],
            [1, 2, 33, 31],
            [3, 2, 16, 16],
            [2, 5, 1, 40],
            [0, 3, 20, 20],
        ];
        for shape in shapes {
            let x = noise::<T>(&shape, 1);
            for order in 0..256usize {
                let order = [0, 1, 2, 3].map(|axis| order >> (2 * axis) & 3);
                if (0..4).all(|axis| order.contains(&axis)) {
                    let f = |x: &[Tensor<T>]| vec![x[0].permute(order).contiguous(), x[0].in_memory_order(order)];
                    agree(&format!("{shape:?} as {order:?}"), 0.0, f, std::slice::from_ref(&x));
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn copies_of_views() {
    fn check<T: Element>() {
        let x = noise::<T>(&[3, 40, 5, 35], 1);
        let f = |x: &[Tensor<T>]| {
            let x = &x[0];
            vec![
                x.slice(1, 2..38).contiguous(),
                x.slice(3, 1..34).slice(1, 3..22).permute([0, 2, 3, 1]).contiguous(),
                x.slice(2, 4..5).permute([3, 1, 0, 2]).contiguous(),
                x.slice(0, 2..3).broadcast_to([4, 40, 5, 35]).contiguous(),
                x.slice(3, 34..35).broadcast_to([3, 40, 5, 20]).permute([0, 3, 2, 1]).contiguous(),
                x.channels_last().slice(1, 1..18).permute([0, 2, 3, 1]).reshape([3 * 5 * 35, 17]),
                x.slice(1, 7..7).contiguous(),
            ]
        };
        agree("views", 0.0, f, &[x]);
        let six = noise::<T>(&[2, 3, 4, 2, 20, 17], 2);
        let f = |x: &[Tensor<T>]| {
            vec![x[0].permute([2, 0, 1, 3, 5, 4]).contiguous(), x[0].permute([5, 3, 1, 4, 2, 0]).contiguous()]
        };
        agree("six axes", 0.0, f, &[six]);
    }
    check::<f32>();
    check::<f64>();
}

/// Pieces, empty ones among them, and, as the gradient of a slice, zeros on one side or on both.
#[test]
fn pieces_along_any_axis() {
    fn check<T: Element>() {
        for shape in [[2, 3, 5], [1, 1, 1], [70, 2, 33], [3, 0, 2]] {
            for axis in 0..3 {
                let piece = |extent: usize, seed: u64| {
                    let mut shape = shape;
                    shape[axis] = extent;
                    noise::<T>(&shape, seed)
                };
                let f = |x: &[Tensor<T>]| {
                    let tape = Tape::new();
                    let x: Vec<Var<T>> = x.iter().map(|x| tape.var(x.clone())).collect();
                    let y = Var::concat(&x.iter().collect::<Vec<_>>(), axis);
                    let extent = y.shape()[axis];
                    let part = y.slice(axis, 1..extent - 1);
                    let grads = (&part * &part).sum().backward();
                    let mut results = vec![y.into_value()];
                    results.extend(x.iter().map(|x| grads.wrt(x)));
                    results
                };
                let mut pieces = vec![piece(4, 1), piece(0, 2), piece(1, 3), piece(17, 4)];
                agree(&format!("{shape:?} along {axis}"), 0.0, f, &pieces);
                pieces[3] = pieces[3].permute([2, 1, 0]).contiguous().permute([2, 1, 0]);
                agree(&format!("{shape:?} along {axis}, of two layouts"), 0.0, f, &pieces);
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Rows that are picked many times, once and never.
#[test]
fn rows_by_index() {
    fn check<T: Element>() {
        for (shape, axis) in [([10, 3, 5], 0), ([3, 10, 5], 1), ([2, 33, 10], 2), ([10, 1, 1], 0)] {
            for count in [0, 1, 7, 64, 300] {
                let indices: Vec<usize> = (0..count).map(|j| j * j % 7 + 2).collect();
                let mut picked = shape;
                picked[axis] = count;
                let f = |x: &[Tensor<T>]| {
                    let [x, weight] = [0, 1].map(|i| Var::from(&x[i]));
                    let sums = weight.index_add(axis, &indices, 11);
                    vec![x.index_select(axis, &indices).into_value(), sums.into_value()]
                };
                let inputs = [noise::<T>(&shape, 1), noise(&picked, 2)];
                agree(&format!("{count} of {shape:?} along {axis}"), 40.0 * T::epsilon().f64(), f, &inputs);
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Kernel, stride and padding.
type Window = [[usize; 2]; 3];

fn windows() -> Vec<Window> {
    let mut windows: Vec<Window> = vec![[[3, 2], [3, 2], [1, 1]], [[2, 3], [3, 1], [1, 0]], [[4, 5], [1, 2], [2, 1]]];
    for kernel in [1, 2, 3, 4] {
        for stride in [1, 2, 3] {
            windows.extend((0..=kernel / 2).map(|padding| [[kernel; 2], [stride; 2], [padding; 2]]));
        }
    }
    windows
}

/// The value, its gradient, and what the gradient turns a cotangent of its own into.
fn both_ways<T: Element>(x: &[Tensor<T>], f: impl Fn(&Var<T>) -> Var<T>) -> Vec<Tensor<T>> {
    let tape = Tape::new();
    let x = tape.var(x[0].clone());
    let y = f(&x);
    let r = tape.var(y.value().clone());
    let gradient = (&y * &r).sum().grad(&[&x]).remove(0);
    let twice = (&gradient * &gradient).sum().grad(&[&r]).remove(0);
    vec![y.into_value(), gradient.into_value(), twice.into_value()]
}

#[test]
fn pooling() {
    fn check<T: Element>() {
        for (i, [kernel, stride, padding]) in windows().into_iter().enumerate() {
            for (size, channels) in [(4, [1, 3, 17][i % 3]), (9, [67, 16, 2][i % 3]), (5, 0)] {
                let x = noise::<T>(&[3, channels, size, size + 2], 1);
                let case = format!("{} by {kernel:?}, {stride:?}, {padding:?}", x.shape());
                let maximum = |x: &[Tensor<T>]| both_ways(x, |x| x.max_pool2d(kernel, stride, padding));
                agree(&format!("maximum of {case}"), 32.0 * T::epsilon().f64(), maximum, std::slice::from_ref(&x));
                let average = |x: &[Tensor<T>]| both_ways(x, |x| x.avg_pool2d(kernel, stride, padding));
                agree(&format!("average of {case}"), 32.0 * T::epsilon().f64(), average, &[x]);
            }
        }
        let x = noise::<T>(&[2, 5, 40, 33], 2);
        let whole = |x: &[Tensor<T>]| both_ways(x, |x| x.avg_pool2d([40, 33], [1, 1], [0, 0]));
        agree("average of all pixels", 600.0 * T::epsilon().f64(), whole, &[x]);
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn nan_wins_and_the_first_of_equals() {
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let rows = [[nan, 1.0, 1.0, 2.0], [1.0, nan, low, low], [nan, nan, 2.0, 2.0], [-0.0, 0.0, 0.0, -0.0]];
    let x = Tensor::from_vec([4, 1, 1, 4], rows.concat());
    let pool = |x: &[Tensor]| {
        let tape = Tape::new();
        let x = tape.var(x[0].clone());
        let y = x.max_pool2d([1, 2], [1, 2], [0, 0]);
        let weights = Tensor::from_vec([4, 1, 1, 2], (1..9).map(|i| i as f32).collect());
        let gradient = (&y * Var::from(weights)).sum().backward().wrt(&x);
        vec![y.into_value(), gradient]
    };
    let [expected, found] = crate::both(pool, &[x]);
    let bits = |x: &Tensor| x.to_vec().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(bits(found), bits(expected), "{found}, not {expected}");
    }
}

#[test]
fn upsampling() {
    fn check<T: Element>() {
        for factors in [[1, 1], [2, 2], [1, 3], [3, 2], [40, 1]] {
            for shape in [[2, 3, 2, 5], [1, 1, 1, 1], [3, 17, 4, 3], [0, 2, 2, 2], [2, 0, 2, 2]] {
                let case = format!("{shape:?} by {factors:?}");
                let f = |x: &[Tensor<T>]| both_ways(x, |x| x.upsample_nearest(factors));
                agree(&case, 8.0 * T::epsilon().f64(), f, &[noise::<T>(&shape, 1)]);
            }
        }
    }
    check::<f32>();
    check::<f64>();
}
