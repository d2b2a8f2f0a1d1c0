//! The tape by itself: order, accumulation, higher orders, consumption, and what is refused.

use std::rc::Rc;

use wengert::{Backward, Tape, Tensor, Var};

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
        y += 1.0;
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

/// What a node saved is gone before the rule of the node before it runs.
#[test]
fn backward_frees_each_node_as_soon_as_it_is_used() {
    let held = Rc::new(());
    let count = |x: &Var<f64>, others: usize| {
        let (own, watched) = (held.clone(), held.clone());
        Var::record("counted", &[x], x.value().clone(), move |grad, back| {
            let _saved = &own;
            // Twice what this rule holds, twice what the nodes before it hold, and the test's own.
            assert_eq!(Rc::strong_count(&watched), 2 * (others + 1) + 1);
            back.give(0, |_| grad.clone());
        })
    };
    let tape = Tape::new();
    let x = tape.var(scalar(1.0));
    let y = count(&count(&count(&x, 0), 1), 2);
    assert_eq!(Rc::strong_count(&held), 7);
    let _ = y.backward();
    assert_eq!(Rc::strong_count(&held), 1);
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

#[test]
#[should_panic(expected = "product: the rule gave no gradient for input 1; give zeros if there is none")]
fn a_rule_that_forgets_an_input_is_named() {
    let tape = Tape::new();
    let (a, b) = (tape.var(scalar(2.0)), tape.var(scalar(0.0)));
    let saved = b.saved();
    let y = Var::record("product", &[&a, &b], scalar(0.0), move |grad, back| {
        back.give(0, |back| grad * back.var(&saved));
    });
    // Another path gives b something, so that its gradient is there.
    let _ = (y + b).backward();
}

#[test]
#[should_panic(expected = "first: the rule gave no gradient for input 99")]
fn a_rule_that_forgets_the_last_of_many_is_named() {
    let tape = Tape::new();
    let x: Vec<_> = (0..100).map(|_| tape.var(scalar(1.0))).collect();
    let y = Var::record("first", &x.iter().collect::<Vec<_>>(), scalar(1.0), |grad, back| {
        (0..99).rev().for_each(|i| back.give(i, |_| grad * 1.0));
    });
    let _ = y.grad(&[&x[99]]);
}

#[test]
fn a_rule_owes_nothing_where_nothing_is_wanted_and_may_give_twice() {
    let tape = Tape::new();
    let (a, b) = (tape.var(scalar(2.0)), tape.var(scalar(3.0)));
    let sum = |a: &Var<f64>, b: &Var<f64>| {
        Var::record("a + b", &[a, b], a.value().zip(b.value(), |a, b| a + b), |grad, back| {
            back.give(0, |_| grad * 0.25);
            back.give(0, |_| grad * 0.75);
            if back.needs(1) {
                back.give(1, |_| grad.clone());
            }
        })
    };
    assert_eq!(sum(&a, &b).grad(&[&a])[0].item(), 1.0);
    assert_eq!(sum(&a, &b.detach()).backward().wrt(&a).item(), 1.0);
}

/// x·c, where the rule finds c by itself.
fn scaled(x: &Var<f64>, c: f64, rule: impl Fn(&Var<f64>, &Backward<f64>) -> Var<f64> + 'static) -> Var<f64> {
    Var::record("scaled", &[x], x.value().map(|x| c * x), move |grad, back| back.give(0, |back| rule(grad, back)))
}

#[test]
fn a_value_saved_on_another_tape_is_refused_by_both_walks() {
    // The number of its node means another one here: the second derivative would be wrong without a word.
    let other = Tape::new();
    let saved = other.var(scalar(3.0)).saved();
    let tape = Tape::new();
    let x = tape.var(scalar(2.0));
    let y = || {
        let saved = saved.clone();
        scaled(&x, 3.0, move |grad, back| grad * back.var(&saved))
    };
    let expected = "scaled: the rule uses a value that was saved on another tape";
    assert_eq!(panic_of(|| drop(y().grad(&[&x]))), expected);
    drop(other);
    assert_eq!(panic_of(|| drop(y().grad(&[&x]))), expected, "a new tape in the memory of an old one");
    assert_eq!(panic_of(|| drop(y().backward())), expected);
    // A constant is of no tape.
    let tape = Tape::new();
    let (x, saved) = (tape.var(scalar(2.0)), Var::from(scalar(3.0)).saved());
    let y = scaled(&x, 3.0, move |grad, back| grad * back.var(&saved));
    assert_eq!(y.backward().wrt(&x).item(), 3.0);
}

#[test]
fn a_gradient_of_another_tape_is_refused_by_both_walks() {
    let tape = Tape::new();
    let x = tape.var(scalar(2.0));
    let foreign = Tape::new().var(scalar(3.0));
    let y = || {
        let foreign = foreign.clone();
        scaled(&x, 3.0, move |grad, _| grad.detach() * &foreign)
    };
    let expected = "scaled: the rule gave input 0 a gradient that is on another tape";
    assert_eq!(panic_of(|| drop(y().grad(&[&x]))), expected);
    assert_eq!(panic_of(|| drop(y().backward())), expected);
}

fn panic_of(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}
