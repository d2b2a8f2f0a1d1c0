//! The checker itself: it passes what is right, and deliberately wrong rules prove that it bites.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wengert::gradcheck::{Check, Failure, Place, Problem, both, gradcheck, gradgradcheck};
use wengert::{Tensor, Var};

use super::support::{assert_panics, noise};

fn tensor(shape: &[usize], values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice(shape, values)
}

fn sample() -> Tensor<f64> {
    tensor(&[2, 3], &[0.5, -1.25, 2.0, 0.75, -0.3, 1.5])
}

/// sin x with any rule.
fn sine(x: &Var<f64>, rule: impl Fn(&Var<f64>, &Var<f64>) -> Var<f64> + 'static) -> Var<f64> {
    let y = Tensor::from_array(&x.value().view().mapv(f64::sin));
    let saved = x.saved();
    Var::record("sine", &[x], y, move |grad, back| {
        back.give(0, |back| rule(grad, &back.var(&saved)));
    })
}

/// A constant function of the value of x: what a rule must not use to be differentiable.
fn constant(x: &Var<f64>, f: impl Fn(f64) -> f64) -> Var<f64> {
    Tensor::from_array(&x.value().view().mapv(f)).into()
}

fn cosine(x: &Var<f64>) -> Var<f64> {
    // sin(x + π/2), with a rule that is right.
    sine(&x.affine(1.0, std::f64::consts::FRAC_PI_2), |grad, x| grad * cosine(x))
}

fn place(failure: &Failure) -> (usize, Vec<usize>) {
    let place = failure.place.clone().unwrap_or_else(|| panic!("no place: {failure}"));
    (place.input, place.index)
}

/// A function of one shape here and another near by is no function that has a gradient.
#[test]
fn a_shape_that_changes_is_noticed() {
    let cut = |x: &[Var<f64>]| if x[0].value().to_vec()[0] > 1.0 { x[0].i(..1) } else { x[0].clone() };
    let run = || drop(Check::first().run(cut, &[tensor(&[2], &[1.0, 2.0])]));
    assert_panics(run, &["gradcheck: f gave shape (2), and near by (1); expected one shape"]);
}

#[test]
fn right_rules_pass() {
    let right = |x: &[Var<f64>]| sine(&x[0], |grad, x| grad * cosine(x));
    for order in 1..=4 {
        let report = Check { order, rtol: 1e-6, ..Check::first() }.run(right, &[sample()]).unwrap();
        assert_eq!(report.operations, ["sine"]);
        // A relative error of 1e-8.
        assert!(report.worst < 1e-2 && report.moves.is_empty() && report.unresolved.is_empty(), "{report:?}");
    }
    let report = gradcheck(right, &[sample()]).unwrap();
    assert_eq!(report.entries, 6);
}

#[test]
fn a_rule_of_the_wrong_sign_is_caught() {
    let failure = gradcheck(|x| sine(&x[0], |grad, x| -(grad * cosine(x))), &[sample()]).unwrap_err();
    assert_eq!(failure.problem, Problem::Wrong { walk: "grad" });
    assert!((failure.analytic + failure.numeric).abs() < 1e-9, "{failure}");
}

#[test]
fn an_error_of_one_entry_is_found_and_told() {
    // y = x₀ ⊙ x₁, where one entry of the gradient of input 1 is off by one part in a thousand.
    let product = |x: &[Var<f64>]| {
        let y = x[0].detach() * x[1].detach();
        let saved = [x[0].saved(), x[1].saved()];
        Var::record("product", &[&x[0], &x[1]], y.into_value(), move |grad, back| {
            let off = tensor(&[2, 3], &[1.0, 1.0, 1.0, 1.0, 1.001, 1.0]);
            back.give(0, |back| grad * back.var(&saved[1]));
            back.give(1, |back| grad * back.var(&saved[0]) * Var::from(&off));
        })
    };
    let failure = gradcheck(|x| product(x).exp(), &[sample(), sample()]).unwrap_err();
    assert_eq!((failure.order, place(&failure)), (1, (1, vec![1, 1])));
    assert!((failure.analytic / failure.numeric - 1.001).abs() < 1e-6, "{failure}");
    let text = failure.to_string();
    let (analytic, numeric) = (format!("{:e}", failure.analytic), format!("{:e}", failure.numeric));
    for part in ["order 1", "\"product\"", "\"exp\"", "input 1", "[1, 1]", &analytic, &numeric] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

/// What is wrong is told of every input, and of none that is right.
#[test]
fn each_input_that_is_wrong_is_told() {
    let f = |x: &[Var<f64>]| {
        let y = x[0].value() * x[1].value() * x[2].value();
        let [a, b, c] = [0, 1, 2].map(|i| x[i].saved());
        Var::record("product", &[&x[0], &x[1], &x[2]], y, move |grad, back| {
            back.give(0, |back| grad * back.var(&b) * back.var(&c) * 2.0);
            back.give(1, |back| grad * back.var(&a) * back.var(&c));
            back.give(2, |back| grad * back.var(&a));
        })
    };
    let inputs = [tensor(&[2], &[0.5, -2.0]), tensor(&[2], &[3.0, 1.5]), tensor(&[2], &[-1.0, 0.7])];
    let failure = gradcheck(f, &inputs).unwrap_err();
    let mut wrong: Vec<usize> = failure.others.iter().map(|other| place(other).0).collect();
    wrong.push(place(&failure).0);
    wrong.sort_unstable();
    assert_eq!(wrong, [0, 2]);
    let message = failure.to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("and at input "), "{message}");
    assert!(failure.others[0].others.is_empty());
}

#[test]
fn a_small_error_is_caught() {
    let off = |by: f64| move |x: &[Var<f64>]| sine(&x[0], move |grad, x| grad * cosine(x) * (1.0 + by));
    assert!(gradcheck(off(3e-6), &[sample()]).is_err());
    assert!(gradcheck(off(3e-8), &[sample()]).is_ok());
}

#[test]
fn a_rule_wrong_at_second_order_only_is_caught() {
    // The factor cos x is right, but a constant.
    let detached = |x: &[Var<f64>]| sine(&x[0], |grad, x| grad * constant(x, f64::cos));
    gradcheck(detached, &[sample()]).unwrap();
    let failure = gradgradcheck(detached, &[sample()]).unwrap_err();
    assert_eq!((failure.order, failure.analytic), (2, 0.0));
    assert_eq!(failure.operations, ["sine"]);
    assert!(failure.numeric.abs() > 0.1, "{failure}");
}

#[test]
fn a_rule_that_cuts_off_its_gradient_is_caught() {
    // For a fixed ȳ the second derivative is right; that with respect to ȳ is lost.
    let cut = |x: &[Var<f64>]| sine(&x[0], |grad, x| grad.detach() * cosine(x));
    gradcheck(cut, &[sample()]).unwrap();
    let failure = gradgradcheck(cut, &[sample()]).unwrap_err();
    assert_eq!(place(&failure).0, 1);
    assert!(failure.to_string().contains("at the cotangent of the output"), "{failure}");
}

#[test]
fn a_gradient_that_overwrites_is_caught() {
    // x + x² whose rule gives only the last of its two terms.
    let overwritten = |x: &[Var<f64>]| {
        let x = &x[0];
        let (y, saved) = (x.detach() + x.detach().powi(2), x.saved());
        Var::record("overwritten", &[x], y.into_value(), move |grad, back| {
            back.give(0, |back| grad * back.var(&saved) * 2.0);
        })
    };
    let failure = gradcheck(overwritten, &[sample()]).unwrap_err();
    assert_eq!(place(&failure).0, 0);
    assert_eq!(failure.operations, ["overwritten"]);
}

#[test]
fn a_wrong_rule_of_a_broadcast_is_caught() {
    let repeat = |reduce: fn(&Var<f64>) -> Var<f64>| {
        move |x: &[Var<f64>]| {
            let y = x[0].value().broadcast_to([4, 3]);
            Var::record("repeat", &[&x[0]], y, move |grad, back| {
                back.give(0, |_| reduce(grad));
            })
        }
    };
    let x = [tensor(&[3], &[1.0, 2.0, 3.0])];
    gradcheck(repeat(|grad| grad.sum_axes([0], false)), &x).unwrap();
    gradcheck(repeat(|grad| grad.mean_axes([0], false)), &x).unwrap_err();
    gradcheck(repeat(|grad| grad.slice(0, 0..1).reshape([3])), &x).unwrap_err();
}

#[test]
fn a_rule_that_is_wrong_in_one_walk_is_caught() {
    let fused = |x: &[Var<f64>]| {
        let (x, y) = (&x[0], x[0].value().clone());
        Var::record("fused", &[x], y, move |grad, back| {
            let factor = if back.records() { 1.0 } else { 1.01 };
            back.give(0, |_| grad * factor);
        })
    };
    let failure = gradcheck(fused, &[sample()]).unwrap_err();
    assert_eq!(failure.problem, Problem::Wrong { walk: "backward" });
    assert!(failure.to_string().contains("`backward`"), "{failure}");
}

#[test]
fn kinks_are_stepped_around_and_reported() {
    let x = tensor(&[2, 2], &[1.0, 0.0, -1.0, 0.0]);
    type F = fn(&[Var<f64>]) -> Var<f64>;
    let kinked: [F; 4] = [|x| x[0].relu(), |x| x[0].abs(), |x| x[0].leaky_relu(0.2), |x| x[0].clamp(0.0, 0.8)];
    for f in kinked {
        for check in [Check::first(), Check::second()] {
            let report = check.run(f, std::slice::from_ref(&x)).unwrap();
            let places: Vec<_> = report.moves.iter().map(|moved| (moved.place.input, &moved.place.index[..])).collect();
            assert_eq!(places, [(0, &[0, 1][..]), (0, &[1, 1])], "{:?}", report.operations);
        }
    }
    // Two equal maxima are a kink as well; the third entry is none.
    let report = gradcheck(|x| x[0].max(), &[tensor(&[3], &[2.0, 2.0, 1.0])]).unwrap();
    assert_eq!(report.moves.iter().map(|moved| moved.place.index[0]).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_wrong_rule_beside_a_kink_is_caught() {
    let leaky = |x: &[Var<f64>]| {
        let (x, y) = (&x[0], x[0].detach().relu().into_value());
        Var::record("step", &[x], y, move |grad, back| {
            back.give(0, |_| grad * 1.0);
        })
    };
    let failure = gradcheck(leaky, &[tensor(&[3], &[1.0, 0.0, -1.0])]).unwrap_err();
    // At the point −1, or beside 0 on its left.
    assert!(failure.analytic != 0.0 && failure.numeric.abs() < 1e-9, "{failure}");
}

#[test]
fn a_kink_near_the_point_does_not_spoil_the_quotient() {
    let x = tensor(&[4], &[1.0, 2e-4, -5e-4, -1e-3]);
    let report = gradcheck(|x| x[0].relu().powi(2) + x[0].abs(), &[x]).unwrap();
    assert!(report.worst < 0.1 && report.moves.is_empty(), "{report:?}");
}

#[test]
fn a_function_that_is_rough_everywhere_fails() {
    let rough = |x: &[Var<f64>]| {
        let noise = constant(&x[0], |x| (x * 1e9).sin() * 1e-3);
        &x[0] + noise
    };
    for seed in 1..=20 {
        let failure = Check { seed, ..Check::first() }.run(rough, &[sample()]).unwrap_err();
        assert_eq!(failure.problem, Problem::Rough, "seed {seed}: {failure}");
    }
}

#[test]
fn values_and_gradients_that_are_not_finite_are_named() {
    let x = tensor(&[2, 2], &[1.0, 1.0, 0.0, 1.0]);
    let failure = gradcheck(|x| x[0].ln(), std::slice::from_ref(&x)).unwrap_err();
    assert_eq!((failure.problem, place(&failure)), (Problem::ValueNotFinite, (0, vec![1, 0])));
    assert!(failure.to_string().contains("-inf"), "{failure}");
    let failure = gradcheck(|x| x[0].sqrt(), &[x]).unwrap_err();
    assert_eq!((failure.problem, place(&failure)), (Problem::GradientNotFinite, (0, vec![1, 0])));
}

#[test]
fn a_function_that_draws_random_numbers_is_refused() {
    let calls = std::cell::Cell::new(0.0);
    let f = |x: &[Var<f64>]| {
        calls.set(calls.get() + 1.0);
        &x[0] + calls.get()
    };
    assert_eq!(gradcheck(f, &[sample()]).unwrap_err().problem, Problem::Unsteady);
}

#[test]
fn nothing_to_differentiate() {
    let one = |_: &[Var<f64>]| Tensor::ones([2]).into();
    assert_eq!(gradcheck(one, &[]).unwrap().entries, 0);
    assert_eq!(gradgradcheck(one, &[]).unwrap().entries, 2); // the cotangent
    assert_eq!(gradcheck(one, &[sample()]).unwrap().worst, 0.0);
    gradgradcheck(one, &[sample()]).unwrap();
    let empty = tensor(&[2, 0], &[]);
    assert_eq!(gradcheck(|x| x[0].exp(), std::slice::from_ref(&empty)).unwrap().entries, 0);
    gradgradcheck(|x| x[0].exp().sum(), &[empty]).unwrap();
    // A function that depends on its input behind the back of the tape has a gradient of zeros, which is wrong.
    let failure = gradcheck(|x| x[0].detach().exp(), &[sample()]).unwrap_err();
    assert_eq!((failure.analytic, failure.operations.is_empty()), (0.0, true), "{failure}");
}

#[test]
fn views_keep_their_layout() {
    let x = Tensor::from_vec([1, 2, 2, 3], (0..12).map(|i| i as f64 / 7.0).collect());
    for x in [x.channels_last(), x.permute([3, 0, 2, 1]), x.broadcast_to([2, 2, 2, 3])] {
        let report = gradcheck(|v| v[0].tanh(), std::slice::from_ref(&x)).unwrap();
        assert_eq!(report.entries, x.size());
        gradgradcheck(|v| v[0].tanh(), &[x]).unwrap();
    }
}

#[test]
fn both_orders_in_one_call() {
    let reports = both(|x| sine(&x[0], |grad, x| grad * cosine(x)), &[sample()]).unwrap();
    assert_eq!(reports.map(|report| (report.order, report.entries)), [(1, 6), (2, 12)]);
    let detached = |x: &[Var<f64>]| sine(&x[0], |grad, x| grad * constant(x, f64::cos));
    assert_eq!(both(detached, &[sample()]).unwrap_err().order, 2);
    let wrong = |x: &[Var<f64>]| sine(&x[0], |grad, _| grad * 1.0);
    assert_eq!(both(wrong, &[sample()]).unwrap_err().order, 1);
}

#[test]
fn senseless_options_are_refused() {
    let first = Check::first;
    let senseless = [
        (Check { order: 0, ..first() }, "an order of 0"),
        (Check { rtol: f64::NAN, ..first() }, "an rtol of NaN"),
        (Check { rtol: -1e-9, ..first() }, "an rtol of -0.000000001"),
        (Check { rtol: 1.0, ..first() }, "an rtol of 1"),
        (Check { rtol: f64::INFINITY, ..first() }, "an rtol of inf"),
        (Check { atol: f64::NAN, ..first() }, "an atol of NaN"),
        (Check { atol: -1.0, ..first() }, "an atol of -1"),
        (Check { atol: f64::INFINITY, ..first() }, "an atol of inf"),
        (Check { step: 0.0, ..first() }, "a step of 0"),
        (Check { step: -1e-3, ..first() }, "a step of -0.001"),
        (Check { step: f64::NAN, ..first() }, "a step of NaN"),
        (Check { step: 2.0, ..first() }, "a step of 2"),
        (Check { directions: 0, ..first() }, "0 directions"),
    ];
    for (check, expected) in senseless {
        let panic = catch_unwind(AssertUnwindSafe(|| check.run(|x| x[0].exp(), &[sample()]))).unwrap_err();
        let text = panic.downcast_ref::<String>().expect("a text");
        assert!(text.starts_with(&format!("gradcheck: {expected}, expected")), "{text}");
    }
}

#[test]
fn tolerances_of_0_leave_what_rounding_does() {
    let exact = Check { rtol: 0.0, atol: 0.0, ..Check::first() };
    let off = |by: f64| move |x: &[Var<f64>]| sine(&x[0], move |grad, x| grad * cosine(x) * (1.0 + by));
    exact.run(off(0.0), &[sample()]).unwrap();
    let failure = exact.run(off(1e-8), &[sample()]).unwrap_err();
    assert_eq!(failure.problem, Problem::Wrong { walk: "grad" });
    assert!(failure.uncertainty < 1e-8, "{failure}");
    let generous = Check { rtol: 0.5, ..Check::first() };
    generous.run(off(0.3), &[sample()]).unwrap();
    generous.run(off(1.5), &[sample()]).unwrap_err();
}

#[test]
fn steps_of_any_size_do() {
    for step in [1e-6, 1e-3, 1.0] {
        let check = Check { step, ..Check::first() };
        check.run(|x| x[0].exp().ln().sqrt(), &[tensor(&[3], &[0.5, 2.0, 30.0])]).unwrap();
        check.run(|x| x[0].exp() * 1.0001, &[sample()]).unwrap();
        check.run(|x| sine(&x[0], |grad, x| grad * cosine(x) * 1.0001), &[sample()]).unwrap_err();
    }
}

#[test]
fn what_rounding_hides_is_named_and_not_called_right() {
    let inputs = [tensor(&[], &[0.3]), tensor(&[], &[0.4])];
    // x₁ changes 1e20·x₀ + x₁ by less than its rounding: the right derivative, and a wrong one.
    for slope in [1.0, 0.0, -7.0] {
        let sum = move |x: &[Var<f64>]| {
            let y = x[0].value().zip(x[1].value(), |a, b| 1e20 * a + b);
            Var::record("sum", &[&x[0], &x[1]], y, move |grad, back| {
                back.give(0, |_| grad * 1e20);
                back.give(1, |_| grad * slope);
            })
        };
        let report = gradcheck(sum, &inputs).unwrap();
        assert_eq!(report.unresolved, [Place { input: 1, index: vec![] }]);
        assert!(
            report.to_string().ends_with("\ninput 1, index []: hidden by the rounding of the function"),
            "{report}"
        );
    }
    // A derivative that is large enough is told from others.
    let failure = gradcheck(|x| &x[0] * 1e20 + x[1].detach() * 1e12, &inputs).unwrap_err();
    assert_eq!((failure.problem, place(&failure)), (Problem::Wrong { walk: "grad" }, (1, vec![])));
    let failure = gradcheck(|x| &x[0] + 1e30, &[sample()]).unwrap_err();
    assert_eq!(failure.problem, Problem::Unresolved);
    assert!(failure.to_string().contains("hides its derivative in every entry"), "{failure}");
    // What does not change may change a little; what does is seen.
    let [first, second] = both(|x| &x[0] * 1e8 + x[1].powi(2), &inputs).unwrap();
    assert_eq!((first.unresolved, second.unresolved), (vec![], vec![Place { input: 0, index: vec![] }]));
    // So does what a function loses inside, which nothing shows but its own noise.
    let lossy = |slope: Var<f64>| slope + 1e8 - 1e8;
    let noisy = |x: &Var<f64>| {
        let x = x * Var::from(Tensor::from_vec([100], (0..100).map(|i| 1.0 + f64::from(i) / 7.0).collect()));
        ((&x + 1e4).powi(2) - x.powi(2) - &x * 2e4 - 1e8).sum()
    };
    type Function<'a> = &'a dyn Fn(&[Var<f64>]) -> Var<f64>;
    let right: Function = &|x| x[0].exp() + lossy(&x[1] * 1e-6);
    let wrong: Function = &|x| x[0].exp() + lossy(x[1].detach() * 1e-6);
    let zero: Function = &|x| x[0].exp() + noisy(&x[1]);
    for f in [right, wrong, zero] {
        assert_eq!(gradcheck(f, &inputs).unwrap().unresolved, [Place { input: 1, index: vec![] }]);
    }
    // Another output may be as large as it likes.
    let report = gradcheck(|x| x[0].exp(), &[tensor(&[3], &[200.0, 1.0, -30.0])]).unwrap();
    assert_eq!(report.unresolved, []);
}

#[test]
fn moves_off_a_kink_stay_in_the_domain_and_near_and_are_told() {
    // Defined from 0 on only, where the slope is 0.
    let report = gradcheck(|x| x[0].powf(1.5), &[tensor(&[9], &[0., 0., 0., 0., 1., 0., 0., 0., 0.])]).unwrap();
    let moves: Vec<_> = report.moves.iter().map(|moved| (moved.place.index[0], moved.from)).collect();
    assert_eq!(moves, [0, 1, 2, 3, 5, 6, 7, 8].map(|i| (i, 0.0)));
    assert!(report.moves.iter().all(|moved| moved.to > 0.0 && moved.to <= 1.0 / 32.0), "{report}");
    // Relative to what is large, or small.
    for kink in [1e6, -1e-6] {
        let report = gradcheck(move |x| (&x[0] - kink).abs(), &[tensor(&[2], &[kink, 0.0])]).unwrap();
        let [moved] = &report.moves[..] else { panic!("{report}") };
        let by = (moved.to - moved.from).abs() / kink.abs();
        assert!(moved.from == kink && by <= 1.0 / 32.0 && by > 1e-3, "{report}");
        assert!(report.to_string().contains("\ninput 0, index [0]: moved off a kink, from "), "{report}");
    }
    // A rule that is wrong on one side of the kink, and the place it was moved to.
    let step = |x: &[Var<f64>]| {
        let (y, saved) = (x[0].detach().relu().into_value(), x[0].saved());
        Var::record("step", &[&x[0]], y, move |grad, back| {
            back.give(0, |back| grad * constant(&back.var(&saved), |x| if x == 0.0 { 0.0 } else { 0.5 }));
        })
    };
    let failure = gradcheck(step, &[tensor(&[1], &[0.0])]).unwrap_err();
    assert!(failure.to_string().contains("; input 0, index [0]: moved off a kink, from 0e0 to "), "{failure}");
}

/// Gradients by hand over arrays and numbers: right ones pass, each kind of mistake is found and placed.
#[test]
fn gradients_written_by_hand_are_checked() {
    use ndarray::{ArrayD, Axis, IxDyn};
    let forward = |x: &[ArrayD<f64>]| (&x[0] * &x[1]).mapv(f64::exp).sum_axis(Axis(0));
    let backward = |x: &[ArrayD<f64>], grad: &ArrayD<f64>| {
        let y = (&x[0] * &x[1]).mapv(f64::exp) * grad;
        vec![&y * &x[1], (&y * &x[0]).sum_axis(Axis(0)).insert_axis(Axis(0))]
    };
    let array = |shape: &[usize], seed| {
        noise(shape, seed).to_array().into_shape_with_order(IxDyn(shape)).expect("the same shape")
    };
    let inputs = [array(&[4, 3], 1), array(&[1, 3], 2)];
    let report = Check::first().backward(forward, backward, &inputs).unwrap();
    assert_eq!((report.entries, report.operations.len(), report.order), (15, 0, 1));
    assert!(report.to_string().starts_with("derivative of order 1: 15 entries"), "{report}");

    let spoilt = |x: &[ArrayD<f64>], grad: &ArrayD<f64>| {
        let mut gradients = backward(x, grad);
        gradients[1][[0, 2]] *= 1.001;
        gradients
    };
    let failure = Check::first().backward(forward, spoilt, &inputs).unwrap_err();
    assert_eq!(failure.problem, Problem::Wrong { walk: "backward" });
    let place = failure.place.as_ref().unwrap();
    assert_eq!((place.input, &place.index[..]), (1, &[0, 2][..]));
    assert!(failure.to_string().starts_with("derivative of order 1: at input 1, index [0, 2]"), "{failure}");

    // One that does not use the gradient that it is given.
    let deaf = |x: &[ArrayD<f64>], grad: &ArrayD<f64>| backward(x, &ArrayD::ones(grad.raw_dim()));
    assert!(Check::first().backward(forward, deaf, &inputs).is_err());
    let calls = std::cell::Cell::new(0.0);
    let drifting = |x: &[f64]| {
        calls.set(calls.get() + 1.0);
        x[0] + calls.get()
    };
    let failure = Check::first().gradient(drifting, |_| vec![1.0], &[0.5]).unwrap_err();
    assert_eq!(failure.problem, Problem::Unsteady);
    let report = Check::first().gradient(|x| x[0].abs(), |x| vec![x[0].signum()], &[0.0]).unwrap();
    assert_eq!(report.moves.len(), 1);

    let missing = |x: &[ArrayD<f64>], grad: &ArrayD<f64>| backward(x, grad)[..1].to_vec();
    assert_panics(|| drop(Check::first().backward(forward, missing, &inputs)), &["1 gradients for 2 inputs"]);
    let turned =
        |x: &[ArrayD<f64>], grad: &ArrayD<f64>| backward(x, grad).into_iter().map(|g| g.reversed_axes()).collect();
    assert_panics(|| drop(Check::first().backward(forward, turned, &inputs)), &["input 0 of shape [4, 3]", "[3, 4]"]);
    assert_panics(|| drop(Check::first().gradient(|x| x[0], |_| vec![], &[1.0])), &["has 0 numbers, expected 1"]);
    assert_panics(|| drop(Check::second().gradient(|x| x[0], |_| vec![1.0], &[1.0])), &["an order of 2"]);
}
