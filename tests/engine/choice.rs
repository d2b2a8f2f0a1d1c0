//! Choices between values, and what else users of PyTorch expect to treat NaN, infinity, ties and views as it does. The
//! expected numbers are those of PyTorch 2.15.

use wengert::compute::copies;
use wengert::{Rng, Tape, Tensor, Var};

use crate::support::{assert_panics, noise};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn row(values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice([values.len()], values)
}

#[track_caller]
fn assert_same(found: &Tensor<f64>, expected: &[f64]) {
    let found = found.to_vec();
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(same), "{found:?}, not {expected:?}");
}

/// The value and the gradients of the sum.
fn value_and_gradients<const N: usize>(
    inputs: [Tensor<f64>; N],
    f: impl Fn(&[Var<f64>]) -> Var<f64>,
) -> (Tensor<f64>, [Tensor<f64>; N]) {
    let tape = Tape::new();
    let inputs = inputs.map(|x| tape.var(x));
    let y = f(&inputs);
    let gradients = y.sum().backward();
    (y.into_value(), inputs.map(|x| gradients.wrt(&x)))
}

#[test]
fn the_first_of_equals_and_nan_before_all() {
    let x = Tensor::from_vec([3, 3], vec![2.0, 2.0, 2.0, 1.0, NAN, 2.0, 1.0, INF, 2.0]);
    assert_eq!((x.argmax(1), x.argmin(1)), (vec![0, 1, 1], vec![0, 1, 0]));
    assert_eq!((x.argmax(0), x.argmin(0)), (vec![0, 1, 0], vec![1, 1, 0]));
    assert_eq!(row(&[1.0, NAN, NAN]).argmin(0), [1]);
    let maps = noise([3, 4, 5, 6], 1);
    let expected = |axis: usize| -> Vec<usize> {
        let lanes = maps.to_array();
        let lanes = lanes.lanes(ndarray::Axis(axis)).into_iter().map(|lane| lane.to_vec()).collect::<Vec<_>>();
        lanes.iter().map(|lane| (0..lane.len()).max_by(|&i, &j| lane[i].total_cmp(&lane[j])).unwrap()).collect()
    };
    for axis in 0..4 {
        assert_eq!(maps.argmax(axis), expected(axis));
        assert_eq!(Var::from(maps.channels_last()).argmax(axis), expected(axis));
    }
    assert_eq!(Tensor::<f64>::zeros([2, 0]).argmax(0), [0usize; 0]);
}

#[test]
fn the_larger_and_the_smaller_of_two() {
    let pair = || [row(&[1.0, NAN, 1.0, 2.0, INF]), row(&[NAN, 1.0, 1.0, 1.0, INF])];
    let (y, [a, b]) = value_and_gradients(pair(), |x| x[0].maximum(&x[1]));
    assert_same(&y, &[NAN, NAN, 1.0, 2.0, INF]);
    assert_same(&a, &[1.0, 1.0, 0.5, 1.0, 0.5]);
    assert_same(&b, &[1.0, 1.0, 0.5, 0.0, 0.5]);
    let (y, [a, b]) = value_and_gradients(pair(), |x| x[0].minimum(&x[1]));
    assert_same(&y, &[NAN, NAN, 1.0, 1.0, INF]);
    assert_same(&a, &[1.0, 1.0, 0.5, 0.0, 0.5]);
    assert_same(&b, &[1.0, 1.0, 0.5, 1.0, 0.5]);
    // An infinite gradient goes where it belongs, and is no NaN elsewhere.
    let (_, [a, b]) = value_and_gradients([row(&[0.0]), row(&[-1.0])], |x| x[0].maximum(&x[1]).sqrt());
    assert_same(&a, &[INF]);
    assert_same(&b, &[0.0]);
}

#[test]
fn what_is_not_chosen_does_not_show() {
    let mask = row(&[1.0, 0.0, NAN, -0.0]);
    let inputs = [row(&[0.0, NAN, 2.0, INF]), row(&[NAN, 0.0, INF, 4.0])];
    let (y, [a, b]) = value_and_gradients(inputs, |x| Var::where_cond(&mask, &x[0], &x[1]).sqrt());
    assert_same(&y, &[0.0, 0.0, 2f64.sqrt(), 2.0]);
    assert_same(&a, &[INF, 0.0, 0.5 / 2f64.sqrt(), 0.0]);
    assert_same(&b, &[0.0, INF, 0.0, 0.25]);
}

#[test]
fn minima_and_deviations() {
    let x = Tensor::from_vec([3, 3], vec![2.0, 2.0, 2.0, 1.0, NAN, 2.0, 1.0, INF, 2.0]);
    let (y, [dx]) = value_and_gradients([x.clone()], |x| x[0].min_axes([1], false));
    assert_same(&y, &[2.0, NAN, 1.0]);
    let third = 1.0 / 3.0;
    assert_same(&dx, &[third, third, third, NAN, NAN, NAN, 1.0, 0.0, 0.0]);
    let (y, [dx]) = value_and_gradients([x], |x| x[0].std_axes([1], false, 1));
    assert_same(&y, &[0.0, NAN, NAN]);
    assert_same(&dx, &[0.0, 0.0, 0.0, NAN, NAN, NAN, NAN, NAN, NAN]);
    // The second order, too, is 0 where all are equal.
    let tape = Tape::new();
    let x = tape.var(row(&[1.5, 1.5]));
    let slope = x.std_axes([0], false, 0).grad(&[&x]).remove(0);
    assert_same(&slope.powi(2).sum().backward().wrt(&x), &[0.0, 0.0]);
    assert_same(Var::from(row(&[1.0])).std_axes([0], false, 1).value(), &[NAN]);
}

#[test]
fn activations_far_out() {
    let far = || [row(&[-INF, INF, NAN, 0.0, 1e300])];
    let (y, [dx]) = value_and_gradients(far(), |x| x[0].gelu());
    assert_same(&y, &[NAN, INF, NAN, 0.0, 1e300]);
    // Φ(0) is the sum of a series, and off by its last place.
    assert_same(&dx.map(|slope| (slope * 1e14).round() / 1e14), &[NAN, NAN, NAN, 0.5, 1.0]);
    let (y, [dx]) = value_and_gradients(far(), |x| x[0].silu());
    assert_same(&y, &[NAN, INF, NAN, 0.0, 1e300]);
    assert_same(&dx, &[NAN, NAN, NAN, 0.5, 1.0]);
    // The lower tail is right to the last places: −10·Φ(−10), which 1 + erf would lose.
    let y = Var::from(row(&[-10.0])).gelu().item();
    assert!((y / -7.619853024160525e-23 - 1.0).abs() < 1e-13, "{y}");
    let y = Var::from(Tensor::<f32>::from_vec([1], vec![-4.0])).gelu().item();
    assert!((f64::from(y) / -1.266_849_673_324_797e-4 - 1.0).abs() < 2e-6, "{y}");
}

#[test]
fn a_mask_keeps_the_mean_and_depends_on_the_state_alone() {
    let x = Var::from(Tensor::<f64>::ones([40, 5, 10, 50]));
    let y = x.dropout(0.3, &mut Rng::seed(1));
    let values = y.value().to_vec();
    assert!(values.iter().all(|&y| y == 0.0 || y == 1.0 / 0.7));
    // Standard deviation 2.1e-3.
    assert!((y.mean().item() - 1.0).abs() < 0.01, "{}", y.mean().item());
    let other = Var::from(x.value().channels_last()).dropout(0.3, &mut Rng::seed(1));
    assert_eq!(other.value(), y.value());
    let mut rng = Rng::seed(1);
    let two = [x.dropout(0.3, &mut rng), x.dropout(0.3, &mut rng)];
    assert_eq!(two[0].value(), y.value());
    assert_ne!(two[0].value(), two[1].value());
    let dropped = Var::from(row(&[INF; 64])).dropout(0.5, &mut Rng::seed(2)).into_value().to_vec();
    assert!(dropped.iter().any(|y| y.is_nan()) && dropped.contains(&INF), "as in PyTorch");
}

/// The result of `f`, and how often it copied a tensor to another memory order.
fn counting<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = copies();
    let result = f();
    (result, copies() - before)
}

#[test]
fn axes_of_one_are_views_and_maps_keep_their_order() {
    let x = Var::from(noise([2, 1, 3, 4], 1).permute([3, 1, 0, 2]));
    for axis in 0..=4 {
        let (y, n) = counting(|| x.unsqueeze(axis));
        assert_eq!((n, y.value().data().as_ptr()), (0, x.value().data().as_ptr()), "axis {axis}");
        let (z, n) = counting(|| y.squeeze(axis));
        assert_eq!((n, z.value()), (0, x.value()), "axis {axis}");
    }
    let maps = Var::from(noise([2, 8, 3, 5], 2).channels_last());
    let (y, n) = counting(|| maps.pixel_shuffle(2));
    assert!(n == 1 && y.value().is_channels_last(), "{n} copies");
    let (z, n) = counting(|| y.pixel_unshuffle(2));
    assert!(n == 1 && z.value().is_channels_last() && z.value() == maps.value(), "{n} copies");
    assert!(maps.repeat([1, 2, 1, 3]).value().is_channels_last());
    assert!(maps.flip([2]).value().is_channels_last());
    let (ones, zeros) = (Tensor::ones([8]).into(), Tensor::zeros([8]).into());
    for x in [maps.clone(), Var::from(maps.value().contiguous())] {
        let (y, n) = counting(|| x.group_norm(2, &ones, &zeros, 1e-5));
        assert!(n == 0 && y.value().is_contiguous() == x.value().is_contiguous(), "{n} copies");
    }
}

/// A pixel that has no part in another is not read for it.
#[test]
fn bilinear_upsampling_spoils_no_more_than_it_must() {
    let x = Var::from(Tensor::from_vec([1, 1, 1, 2], vec![-30.0, f64::NAN]));
    let y = x.upsample_bilinear([3, 1]).into_value().to_vec();
    assert!(y.chunks(2).all(|row| (row[0] + 30.0).abs() < 1e-9 && row[1].is_nan()), "{y:?}");
}

#[test]
fn assigning_operators_keep_the_shape_of_the_left_side() {
    let (mut row, mut number) = (Tensor::<f64>::ones([3]), Var::<f64>::from(Tensor::ones([1])));
    row += &Tensor::ones([1]);
    assert_eq!(row.to_vec(), [2.0; 3]);
    let wide = Var::from(&row);
    assert_panics(|| number *= &wide, &["mul_assign: the left side is of shape (1), the result of (3)"]);
}
