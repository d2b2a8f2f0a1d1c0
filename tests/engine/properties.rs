//! Views, broadcasting and reductions of random shapes, against `ndarray`.

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use proptest::prelude::*;
use wengert::{Tensor, Var};

/// A step from one view to the next; the numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Permute(usize),
    Slice { axis: usize, from: usize, to: usize },
    Repeat { axis: usize, times: usize },
    Contiguous,
}

fn step() -> impl Strategy<Value = Step> {
    let small = 0usize..100;
    prop_oneof![
        small.clone().prop_map(Step::Permute),
        (small.clone(), small.clone(), small.clone()).prop_map(|(axis, from, to)| Step::Slice { axis, from, to }),
        (small, 1usize..4).prop_map(|(axis, times)| Step::Repeat { axis, times }),
        Just(Step::Contiguous),
    ]
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1 => Just(0usize), 20 => 1usize..6], 0..5)
}

/// 1, 2, 3, … in row-major order: sums of them are exact in `f64`.
fn counted(shape: &[usize]) -> (Tensor<f64>, ArrayD<f64>) {
    let values: Vec<f64> = (1..=shape.iter().product::<usize>()).map(|i| i as f64).collect();
    (Tensor::from_vec(shape, values.clone()), ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values"))
}

/// The same view of both.
fn view(x: &Tensor<f64>, a: &ArrayD<f64>, step: &Step) -> (Tensor<f64>, ArrayD<f64>) {
    let rank = a.ndim();
    match *step {
        Step::Contiguous => (x.contiguous(), a.clone()),
        _ if rank == 0 => (x.clone(), a.clone()),
        Step::Permute(by) => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.rotate_left(by % rank);
            axes.swap(0, by / rank % rank);
            (x.permute(&axes[..]), a.clone().permuted_axes(axes))
        }
        Step::Slice { axis, from, to } => {
            let (axis, extent) = (axis % rank, a.shape()[axis % rank]);
            let (from, to) = (from % (extent + 1), to % (extent + 1));
            let range = from.min(to)..from.max(to);
            (x.slice(axis, range.clone()), a.slice_axis(Axis(axis), Slice::from(range)).to_owned())
        }
        Step::Repeat { axis, times } => {
            let mut shape = a.shape().to_vec();
            let axis = axis % rank;
            if shape[axis] == 1 {
                shape[axis] = times;
            }
            (x.broadcast_to(&shape[..]), a.broadcast(IxDyn(&shape)).expect("repeated along an axis of 1").to_owned())
        }
    }
}

proptest! {
    /// However views are made of views, they show the elements that `ndarray` shows, and operations see them so.
    #[test]
    fn views_show_what_they_should(
        shape in shape(),
        steps in proptest::collection::vec(step(), 0..6),
        axes in 0usize..16,
    ) {
        let (mut x, mut a) = counted(&shape);
        for step in &steps {
            (x, a) = view(&x, &a, step);
            prop_assert_eq!(&x.to_array(), &a);
        }
        let doubled = (Var::from(&x) * 2.0).into_value();
        prop_assert_eq!(doubled.to_array(), a.mapv(|a| a * 2.0));
        prop_assert_eq!((Var::from(&x) + Var::from(x.contiguous())).value().to_array(), a.mapv(|a| a + a));
        let axes: Vec<usize> = (0..a.ndim()).filter(|axis| axes >> axis & 1 == 1).collect();
        let (mut sum, mut max) = (a.clone(), a.clone());
        for &axis in axes.iter().rev() {
            sum = sum.sum_axis(Axis(axis));
            max = max.fold_axis(Axis(axis), f64::NEG_INFINITY, |m, x| m.max(*x));
        }
        let v = Var::from(&x);
        prop_assert_eq!(v.sum_axes(&axes[..], false).value().to_array(), sum);
        if axes.iter().all(|&axis| a.shape()[axis] > 0) {
            prop_assert_eq!(v.max_axes(&axes[..], false).value().to_array(), max);
        }
    }

    /// Two shapes that broadcast, made from one by setting extents to 1 and leaving out leading axes.
    #[test]
    fn broadcasting_is_that_of_ndarray(
        shape in shape(),
        ones in (0usize..16, 0usize..16),
        cut in (0usize..3, 0usize..3),
        turn in 0usize..4,
    ) {
        let part = |ones: usize, cut: usize| -> Vec<usize> {
            let extents = shape.iter().enumerate().map(|(axis, &n)| if ones >> axis & 1 == 1 { 1 } else { n });
            extents.skip(cut).collect()
        };
        let ((x, a), (y, b)) = (counted(&part(ones.0, cut.0)), counted(&part(ones.1, cut.1)));
        // In another memory order.
        let y = if y.shape().len() == 4 && turn == 1 { y.channels_last() } else { y };
        let sum = Var::from(&x) + Var::from(&y);
        let joint = sum.shape().to_vec();
        prop_assert_eq!(sum.value().to_array(), {
            let (a, b) = (a.broadcast(IxDyn(&joint)).expect("a fits"), b.broadcast(IxDyn(&joint)).expect("b fits"));
            &a + &b
        });
        // And the adjoint: the gradient of each is the sum over its copies.
        let tape = wengert::Tape::new();
        let (u, v) = (tape.var(x.clone()), tape.var(y.clone()));
        let gradients = (&u * &v).sum().backward();
        let times = |other: &ArrayD<f64>, own: &[usize]| {
            let mut full = other.broadcast(IxDyn(&joint)).expect("it fits").to_owned();
            while full.ndim() > own.len() {
                full = full.sum_axis(Axis(0));
            }
            for (axis, &n) in own.iter().enumerate() {
                if full.shape()[axis] != n {
                    full = full.sum_axis(Axis(axis)).insert_axis(Axis(axis));
                }
            }
            full
        };
        prop_assert_eq!(gradients.wrt(&u).to_array(), times(&b, a.shape()));
        prop_assert_eq!(gradients.wrt(&v).to_array(), times(&a, b.shape()));
    }
}
