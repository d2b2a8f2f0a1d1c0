//! What is a view, and what is copied: slices, reshapes, operands of products.

use wengert::compute::{copies, update_alike};
use wengert::{Tape, Tensor, Var};

use crate::support::noise;

/// The result of `f`, and how often it copied a tensor to another memory order.
fn counting<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = copies();
    let result = f();
    (result, copies() - before)
}

fn matrix(shape: [usize; 2], seed: u64) -> Var<f64> {
    noise(shape, seed).into()
}

#[test]
fn slices_share_the_memory() {
    let x = noise([4, 5, 6], 1);
    let part = x.slice(1, 2..4);
    assert_eq!(part.shape(), &[4, 2, 6].into());
    assert_eq!(part.data().as_ptr(), x.data()[12..].as_ptr());
    let twice = part.slice(0, 1..3).slice(2, 5..6).permute([2, 0, 1]);
    assert_eq!(twice.data().as_ptr(), x.data()[30 + 12 + 5..].as_ptr());
    for (index, &value) in twice.view().indexed_iter() {
        assert_eq!(value, x.view()[[1 + index[1], 2 + index[2], 5]]);
    }
    let parts = Var::from(&x).split(2, &[1, 5]);
    assert_eq!(parts[1].value().data().as_ptr(), x.data()[1..].as_ptr());
    assert_eq!(x.slice(0, 4..4).shape(), &[0, 5, 6].into(), "nothing, behind the last element");
}

wengert::function!(Twice | x | x + x);

#[test]
fn what_a_slice_does_not_show_is_left_alone() {
    let x = noise([6, 4], 1);
    let before = x.to_vec();
    let doubled: Vec<f64> = before[8..16].iter().map(|x| 2.0 * x).collect();
    // Somebody else holds the memory: a copy is changed.
    let mut part = x.slice(0, 2..4);
    update_alike(Twice, [&mut part], &[]);
    assert_eq!((part.to_vec(), x.to_vec()), (doubled.clone(), before));
    // Nobody does: it is changed where it lies, from the offset on.
    let mut part = x.slice(0, 2..4);
    drop(x);
    let place = part.data().as_ptr();
    update_alike(Twice, [&mut part], &[]);
    assert_eq!((part.data().as_ptr(), part.to_vec()), (place, doubled));
}

#[test]
fn reshape_copies_only_where_strides_do_not_allow_a_view() {
    let x = noise([2, 3, 4, 5], 1);
    let of = |x: &Tensor<f64>, shape: &[usize]| counting(|| x.reshape(shape)).1;
    assert_eq!(of(&x, &[6, 20]), 0);
    assert_eq!(of(&x.slice(0, 1..2), &[3, 20]), 0);
    assert_eq!(of(&x.slice(1, 1..3), &[2, 2, 20]), 0, "the axes behind the slice");
    assert_eq!(of(&x.slice(1, 1..3), &[4, 20]), 1, "the slices lie apart");
    assert_eq!(of(&x.slice(2, 1..3), &[2, 3, 10]), 0);
    assert_eq!(of(&x.slice(3, 1..3), &[2, 3, 8]), 1);
    assert_eq!(of(&x.permute([0, 2, 3, 1]), &[2, 20, 3]), 0, "pixels of a map, merged");
    assert_eq!(of(&x.channels_last(), &[2, 3, 20]), 0, "likewise, channels last");
    assert_eq!(of(&x.channels_last(), &[2, 60]), 1);
    assert_eq!(of(&noise([3, 1], 2).broadcast_to([2, 4, 3, 1]), &[8, 3]), 0, "repeated axes");
    for shape in [[24, 5], [6, 20], [2, 60]] {
        for x in [x.clone(), x.channels_last(), x.permute([3, 1, 0, 2]), x.slice(0, 0..2)] {
            assert_eq!(x.reshape(shape).to_vec(), x.to_vec());
        }
    }
}

#[test]
fn products_read_transposed_and_shared_operands_where_they_lie() {
    let (a, b) = (Var::from(noise([6, 7, 5], 1)), Var::from(noise([6, 5, 4], 2)));
    let transposed = Var::from(noise([6, 4, 5], 3)).t();
    let (shared, shared_transposed) = (matrix([5, 4], 4), matrix([4, 5], 5).t());
    let many = Var::from(noise([2, 1, 7, 5], 6));
    let across = Var::from(noise([3, 5, 4], 7));
    for (name, f) in [
        ("a batch", &(|| a.matmul(&b)) as &dyn Fn() -> Var<f64>),
        ("transposed", &|| a.matmul(&transposed)),
        ("a transposed result of attention", &|| a.matmul(&b).t().matmul(&a)),
        ("shared", &|| a.matmul(&shared)),
        ("shared and transposed", &|| a.matmul(&shared_transposed)),
        ("shared on the left", &|| shared.matmul(&b.t())),
        ("leading axes that broadcast", &|| many.matmul(&across)),
        ("a slice", &|| a.slice(1, 2..5).matmul(&b.slice(2, 1..3))),
    ] {
        assert_eq!(counting(f).1, 0, "{name}");
    }
}

/// In f32, where adding up a million elements one by one is off by 1e-3: a view has the sum of its copy, to the bit.
#[test]
fn a_sum_does_not_depend_on_where_its_terms_lie() {
    let n = 1 << 20;
    let columns = Tensor::<f32>::full([n, 3], 0.1).slice(1, 1..3);
    let rows = Tensor::<f32>::full([3, n], 0.1).slice(0, 1..3);
    let repeated = Tensor::<f32>::scalar(0.1).broadcast_to([n, 2]);
    for (name, x) in [("columns", columns), ("rows", rows), ("repeated", repeated)] {
        let copy = Tensor::from_vec(*x.shape(), x.to_vec());
        assert_eq!(x.sum(), copy.sum(), "{name}");
        assert!((x.sum() as f64 / (0.2 * n as f64) - 1.0).abs() < 1e-5, "{name}");
    }
    // The gradient of a mean is one number repeated: what reaches an operand that was repeated itself is its sum.
    let tape = Tape::<f32>::new();
    let (x, b) = (tape.var(Tensor::ones([64, 3, 64, 64])), tape.var(Tensor::zeros([3, 1, 1])));
    let gradient = (&x + &b).mean().backward().wrt(&b);
    assert!(gradient.to_vec().iter().all(|g| (g * 3.0 - 1.0).abs() < 2e-6), "{gradient}");
}

#[test]
fn a_convolution_brings_its_operands_into_order_once() {
    let options = wengert::ops::Conv2dOptions::default().padding(1);
    let tape = Tape::new();
    let (x, w) = (tape.var(noise([2, 5, 6, 7], 1)), tape.var(noise([4, 3, 3, 3], 2)));
    let bias = tape.var(noise([4], 3));
    let (y, copies) = counting(|| x.slice(1, 1..4).conv2d(&w, Some(&bias), &options));
    assert_eq!(copies, 2, "the slice and the weight");
    assert_eq!(counting(|| y.sum().grad(&[&w, &bias])).1, 1, "the gradient, one number repeated");
}

#[test]
fn the_rules_of_a_product_copy_nothing() {
    let tape = Tape::new();
    let (a, b) = (tape.var(noise([6, 7, 5], 1)), tape.var(noise([5, 4], 2)));
    let y = a.matmul(&b);
    let loss = (&y * &y).sum();
    assert_eq!(counting(|| loss.backward()).1, 0);
}
