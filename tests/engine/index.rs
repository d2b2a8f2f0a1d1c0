//! index_select and index_add: values against plain loops, each as the other's adjoint, bits at any thread count.

use crate::support::{noise, same_at_any_thread_count};
use wengert::{Tape, Tensor, Var};

#[test]
fn values_along_every_axis_in_every_memory_order() {
    let indices = [1, 0, 1, 1];
    for order in [[0, 1, 2, 3], [0, 2, 3, 1], [2, 3, 1, 0]] {
        let x = noise([3, 2, 4, 5], 1).in_memory_order(order);
        for axis in 0..4 {
            let y: Tensor<f64> = Var::from(&x).index_select(axis, &indices).into_value();
            let mut expected = x.to_array();
            expected = expected.select(ndarray::Axis(axis), &indices);
            assert_eq!(y, Tensor::from_array(&expected));
            assert_eq!(y.is_contiguous(), x.is_contiguous());

            let sum: Tensor<f64> = Var::from(&y).index_add(axis, &indices, 3).into_value();
            let mut expected = ndarray::ArrayD::<f64>::zeros(sum.shape().to_vec());
            for (j, &e) in indices.iter().enumerate() {
                let part = y.to_array().index_axis_move(ndarray::Axis(axis), j);
                let mut row = expected.index_axis_mut(ndarray::Axis(axis), e);
                row += &part;
            }
            assert_eq!(sum, Tensor::from_array(&expected));
        }
    }
}

#[test]
fn broadcast_and_empty_operands() {
    let x = noise([1, 3], 1).broadcast_to([4, 3]);
    let rows = Tensor::from_array(&x.to_array().select(ndarray::Axis(0), &[3, 0]));
    assert_eq!(Var::from(&x).index_select(0, &[3, 0]).value(), &rows);
    assert_eq!(Var::from(&x).index_select(1, &[]).shape().to_vec(), [4, 0]);
    let none: Var<f64> = Tensor::zeros([0, 3]).into();
    assert_eq!(none.index_add(0, &[], 2).value(), &Tensor::zeros([2, 3]));
    assert_eq!(none.index_select(0, &[]).shape().to_vec(), [0, 3]);
}

#[test]
fn repeated_indices_give_the_same_bits_at_any_thread_count() {
    let indices: Vec<usize> = (0..5000).map(|i| (i * i) % 37).collect();
    same_at_any_thread_count(|| {
        let tape = Tape::new();
        let table = tape.var(noise([40, 65], 3).cast::<f32>());
        let weights: Var<f32> = noise([5000, 65], 4).cast().into();
        (table.index_select(0, &indices) * weights).sum().backward().wrt(&table).to_vec()
    });
}
