//! The tape by itself: order, accumulation, higher orders, consumption, and what is refused.

use wengert::{Tape, Tensor, Var};

fn scalar(x: f64) -> Tensor<f64> {
    Tensor::scalar(x)
}

#[test]
fn gradients_of_a_variable_used_twice_add_up() {
    let tape = Tape::new();
    let x = tape.var(scalar(3.0));
    let y = &x * &x + &x * 2.0;
    assert_eq!(y.backward().wrt(&x).item(), 8.0);
}

#[test]
fn every_order_of_derivative() {
    let tape = Tape::new();
    let x = tape.var(scalar(2.0));
    let mut y = x.powi(4);
    for expected in [32.0, 48.0, 48.0, 24.0, 0.0] {
        y = y.grad(&[&x]).remove(0);
        assert_eq!(y.value().item(), expected);
        if !y.is_tracked() {
            break;
        }
    }
}

#[test]
fn an_unused_variable_has_a_gradient_of_zeros() {
    let tape = Tape::new();
    let (x, unused) = (tape.var(scalar(2.0)), tape.var(Tensor::zeros([2, 3])));
    let y = x.exp();
    assert_eq!(y.grad(&[&unused])[0].value(), &Tensor::zeros([2, 3]));
    let gradients = y.backward();
    assert!(gradients.get(&unused).is_none());
    assert_eq!(gradients.wrt(&unused), Tensor::zeros([2, 3]));
}

#[test]
fn broadcast_operands_get_sums() {
    let tape = Tape::new();
    let a = tape.var(Tensor::<f64>::from_vec([2, 1], vec![1.0, 2.0]));
    let b = tape.var(Tensor::from_vec([3], vec![1.0, 10.0, 100.0]));
    let gradients = (&a * &b).sum().backward();
    assert_eq!(gradients.wrt(&a).to_vec(), [111.0, 111.0]);
    assert_eq!(gradients.wrt(&b).to_vec(), [3.0, 3.0, 3.0]);
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let tape = Tape::new();
    let x = tape.var(scalar(1.0));
    let mut y = x.clone();
    for _ in 0..1_000_000 {
        y = y + 1.0;
    }
    assert_eq!(y.backward().wrt(&x).item(), 1.0);
}

#[test]
fn backward_frees_what_was_saved() {
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::ones([4]));
    let y = x.exp().sum();
    let _ = y.backward();
    assert!(tape.is_empty());
}

#[test]
fn constants_record_nothing() {
    let x: Var<f64> = scalar(1.0).into();
    assert!(!(&x * 2.0).exp().is_tracked());
}

#[test]
#[should_panic(expected = "consumed")]
fn a_consumed_tape_refuses_a_second_walk() {
    let tape = Tape::new();
    let x = tape.var(scalar(1.0));
    let y = x.exp();
    let _ = y.backward();
    let _ = y.backward();
}

#[test]
#[should_panic(expected = "consumed")]
fn a_consumed_tape_records_nothing_more() {
    let tape = Tape::new();
    let x = tape.var(scalar(1.0));
    let _ = x.exp().backward();
    let _ = x.exp();
}

#[test]
#[should_panic(expected = "use grad for this one")]
fn gradients_of_results_are_not_taken_for_zeros() {
    let tape = Tape::new();
    let y = tape.var(scalar(1.0)).exp();
    let _ = (&y * 2.0).backward().wrt(&y);
}

#[test]
#[should_panic(expected = "different tapes")]
fn variables_of_two_tapes_do_not_mix() {
    let (one, two) = (Tape::new(), Tape::new());
    let _ = one.var(scalar(1.0)) + two.var(scalar(1.0));
}

#[test]
#[should_panic(expected = "expected a scalar, found shape (2)")]
fn only_scalars_are_differentiated() {
    let _ = Tape::new().var(Tensor::<f32>::ones([2])).backward();
}

#[test]
#[should_panic(expected = "gave input 0 of shape (2) a gradient of shape ()")]
fn a_rule_that_gives_a_wrong_shape_is_named() {
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::ones([2]));
    let y = Var::record("bad", &[&x], Tensor::ones([2]), |grad, back| {
        back.give(0, |_| grad.sum());
    });
    let _ = y.sum().backward();
}

#[test]
fn slices_pads_and_concats_keep_their_places() {
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::from_vec([2, 3], vec![1., 2., 3., 4., 5., 6.]));
    let y = Var::concat(&[&x.slice(1, 1..3), &x.permute([1, 0]).slice(0, 0..1).t()], 1);
    assert_eq!(y.value().to_vec(), [2., 3., 1., 5., 6., 4.]);
    let weights: Var<f64> = Tensor::from_vec([2, 3], vec![1., 2., 3., 4., 5., 6.]).into();
    assert_eq!((y * weights).sum().backward().wrt(&x).to_vec(), [3., 1., 2., 6., 4., 5.]);
}

#[test]
fn a_tape_prints_its_list() {
    let tape = Tape::<f64>::new();
    let x = tape.var(Tensor::ones([3, 2]));
    let w = tape.var(Tensor::ones([2, 1]));
    let y = (x.matmul(&w).tanh() * &Var::from(Tensor::ones([3, 1]))).sum();
    assert!(y.is_tracked());
    let expected = [
        "   0  var                           (3, 2)",
        "   1  var                           (2, 1)",
        "   2  matmul             0 1        (3, 1)",
        "   3  tanh               2          (3, 1)",
        "   4  mul                3 ·        (3, 1)",
        "   5  sum                4          ()",
    ];
    assert_eq!(tape.to_string().lines().collect::<Vec<_>>(), expected);
    let _ = y.backward();
    assert_eq!(tape.to_string(), "consumed by backward\n");
}
