//! The optimisers against their formulas, interruptions and misuse; `tests/pytorch` compares them with PyTorch.

#![cfg(feature = "safetensors")]

use std::ops::AddAssign;

use crate::support::assert_panics;
use wengert::nn::{Mode, ParamGrads, Params, Pass};
use wengert::optim::{Adam, Optimizer, RmsProp, Schedule, Sgd, clip_weights};
use wengert::{Archive, Element, Level, Rng, Tape, Tensor, Var};

/// Gradients of any value: those of Σ p ⊙ g are g, for the parameters that are named.
fn gradients<T: Element>(params: &Params<T>, of: &[(&str, Tensor<T>)]) -> ParamGrads<T> {
    let tape = Tape::new();
    let pass = Pass::new(params, &tape, Mode::Train);
    let terms = of.iter().map(|(name, g)| (pass.param(params.id(name).unwrap()) * Var::from(g)).sum());
    let loss = terms.reduce(|a, b| a + b).expect("at least one gradient");
    pass.gradients(&loss.backward())
}

fn store<T: Element>(tensors: &[(&str, Tensor<T>)]) -> Params<T> {
    let mut params = Params::new();
    for (name, value) in tensors {
        params.scope("").parameter(name, value.clone());
    }
    params
}

fn bits(params: &Params<f32>) -> Vec<u32> {
    params.parameters().flat_map(|(_, _, p)| p.to_vec()).map(f32::to_bits).collect()
}

fn sgd<T: Element>() -> Sgd<T> {
    Sgd::new(0.1)
}

/// Adam of one number in f64, from the paper's formulas with PyTorch's ε.
fn adam_by_hand(p: f64, gradients: &[f64], lr: f64, (beta1, beta2): (f64, f64)) -> f64 {
    let (mut p, mut m, mut v) = (p, 0.0, 0.0);
    for (t, g) in gradients.iter().enumerate() {
        m = beta1 * m + (1.0 - beta1) * g;
        v = beta2 * v + (1.0 - beta2) * g * g;
        let (m_hat, v_hat) = (m / (1.0 - beta1.powi(t as i32 + 1)), v / (1.0 - beta2.powi(t as i32 + 1)));
        p -= lr * m_hat / (v_hat.sqrt() + 1e-8);
    }
    p
}

#[test]
fn large_tensors_in_f32_at_every_level_and_thread_count() {
    let mut rng = Rng::seed(1);
    // More than two chunks of the kernels, and no whole number of vectors.
    let n = 40_003;
    let start: Tensor<f32> = rng.normal([n]);
    let grads: Vec<Tensor<f32>> = (0..3).map(|_| rng.normal([n])).collect();
    let run = || {
        let mut params = store(&[("p", start.clone())]);
        let mut adam = Adam::new(1e-3).betas(0.5, 0.9);
        for g in &grads {
            let grads = gradients(&params, &[("p", g.clone())]);
            adam.step(&mut params, &grads);
        }
        params
    };
    let expected = run();
    let values = expected.get("p").unwrap().to_vec();
    for i in [0, 1, 16_383, 16_384, n - 1] {
        let history: Vec<f64> = grads.iter().map(|g| f64::from(g.to_vec()[i])).collect();
        let by_hand = adam_by_hand(f64::from(start.to_vec()[i]), &history, 1e-3, (0.5, 0.9));
        assert!((f64::from(values[i]) - by_hand).abs() < 1e-6, "{i}: {} for {by_hand}", values[i]);
    }
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        assert_eq!(bits(&level.scope(run)), bits(&expected), "{level:?}");
    }
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(bits(&pool.install(run)), bits(&expected), "{threads} threads");
    }
}

#[test]
fn gradients_in_another_memory_order() {
    let mut rng = Rng::seed(2);
    let (start, grad): (Tensor<f64>, Tensor<f64>) = (rng.normal([2, 3, 4, 5]), rng.normal([2, 3, 4, 5]));
    let mut results = Vec::new();
    for (p, g) in [
        (start.clone(), grad.clone()),
        (start.in_memory_order([2, 3, 1, 0]), grad.clone()),
        (start.clone(), grad.in_memory_order([2, 3, 1, 0])),
        (start.clone(), Tensor::from_vec([5, 4, 3, 2], grad.permute([3, 2, 1, 0]).to_vec()).permute([3, 2, 1, 0])),
    ] {
        let mut params = store(&[("p", p)]);
        let mut rule = RmsProp::new(1e-2);
        for _ in 0..2 {
            let grads = gradients(&params, &[("p", g.clone())]);
            rule.step(&mut params, &grads);
        }
        results.push(params.get("p").unwrap());
    }
    assert!(results.iter().all(|r| *r == results[0]));
}

#[test]
fn parameters_without_gradient_are_skipped() {
    let mut params = store(&[("a", Tensor::<f64>::ones([2])), ("b", Tensor::ones([2]))]);
    let mut adam = Adam::new(0.1);
    for names in [&["a"][..], &["a", "b"], &["b"]] {
        let grads: Vec<_> = names.iter().map(|&name| (name, Tensor::ones([2]))).collect();
        let grads = gradients(&params, &grads);
        adam.step(&mut params, &grads);
    }
    let mut archive = Archive::new();
    adam.store(&params, &mut archive, "");
    assert_eq!((archive.count("a.step").unwrap(), archive.count("b.step").unwrap()), (2, 2));
    assert_eq!(params.get("a"), params.get("b"));
}

/// Optimisers of each kind, for tests that hold for all.
fn all() -> Vec<(&'static str, Box<dyn Optimizer<f32>>)> {
    vec![
        ("sgd", Box::new(sgd())),
        ("sgd with decay", Box::new(sgd().weight_decay(0.1))),
        ("momentum", Box::new(sgd().momentum(0.9))),
        ("momentum with decay", Box::new(sgd().momentum(0.9).weight_decay(0.1))),
        ("rmsprop", Box::new(RmsProp::new(1e-2))),
        ("rmsprop with decay", Box::new(RmsProp::new(1e-2).weight_decay(0.1))),
        ("rmsprop with momentum", Box::new(RmsProp::new(1e-2).momentum(0.9))),
        ("centred rmsprop", Box::new(RmsProp::new(1e-2).centred())),
        ("centred rmsprop with momentum", Box::new(RmsProp::new(1e-2).centred().momentum(0.9))),
        ("adam", Box::new(Adam::new(1e-2).betas(0.0, 0.9))),
        ("adam with decay", Box::new(Adam::new(1e-2).weight_decay(0.1))),
        ("adamw", Box::new(Adam::new(1e-2).decoupled_weight_decay(0.1))),
    ]
}

#[test]
fn a_run_resumed_from_a_file_goes_on_to_the_bit() {
    let mut rng = Rng::seed(3);
    let start = [("a", rng.normal([3, 5]).permute([1, 0])), ("b", rng.normal([7])), ("never", rng.normal([2]))];
    let grads: Vec<_> = (0..6).map(|_| [("a", rng.normal([5, 3])), ("b", rng.normal([7]))]).collect();
    for ((name, mut whole), (_, mut resumed)) in all().into_iter().zip(all()) {
        let mut params = store(&start);
        let step = |rule: &mut Box<dyn Optimizer<f32>>, params: &mut Params<f32>, i: usize| {
            let grads = gradients(params, &grads[i]);
            rule.step(params, &grads);
        };
        (0..3).for_each(|i| step(&mut whole, &mut params, i));
        let mut archive = Archive::new();
        params.store(&mut archive, "net.");
        whole.store(&params, &mut archive, "optimiser.");
        let archive = Archive::from_bytes(&archive.to_bytes(), "checkpoint").unwrap();
        let mut other = store(&start);
        other.restore(&archive, "net.").unwrap();
        resumed.restore(&other, &archive, "optimiser.").unwrap();
        for i in 3..6 {
            step(&mut whole, &mut params, i);
            step(&mut resumed, &mut other, i);
        }
        assert_eq!(bits(&params), bits(&other), "{name}");
        assert_ne!(bits(&params), bits(&store(&start)), "{name}");
    }
}

#[test]
fn foreign_state_is_refused_by_name() {
    let mut params = store(&[("a", Tensor::<f32>::ones([2]))]);
    let grads = gradients(&params, &[("a", Tensor::ones([2]))]);
    let mut adam = Adam::new(0.1);
    adam.step(&mut params, &grads);
    let mut archive = Archive::new();
    adam.store(&params, &mut archive, "o.");
    let message = RmsProp::new(0.1).restore(&params, &archive, "o.").unwrap_err().to_string();
    assert_eq!(message, "archive: missing: o.a.square_avg; unexpected: o.a.exp_avg, o.a.exp_avg_sq");
    archive.set_tensor("o.a.exp_avg", &Tensor::<f32>::ones([3]));
    let message = adam.restore(&params, &archive, "o.").unwrap_err().to_string();
    assert_eq!(message, "archive: o.a.exp_avg: found F32 [3], expected F32 [2]");
}

#[test]
fn clipping_holds_parameters_and_leaves_buffers() {
    let mut params = store(&[("p", Tensor::from_vec([4], vec![-3.0, 0.004, f32::NAN, f32::INFINITY]))]);
    params.scope("").buffer("running_mean", Tensor::full([1], 7.0));
    clip_weights(&mut params, 0.01);
    let p = params.get("p").unwrap().to_vec();
    assert_eq!((p[0], p[1], p[3]), (-0.01, 0.004, 0.01));
    assert!(p[2].is_nan(), "a NaN is not hidden");
    assert_eq!(params.get("running_mean"), Some(Tensor::full([1], 7.0)));
}

#[test]
fn a_step_does_not_reach_clones() {
    let mut params = store(&[("p", Tensor::<f64>::ones([3]))]);
    let (copy, value) = (params.clone(), params.get("p").unwrap());
    let grads = gradients(&params, &[("p", Tensor::ones([3]))]);
    sgd().step(&mut params, &grads);
    assert_eq!(copy.get("p"), Some(Tensor::ones([3])));
    assert_eq!(value, Tensor::ones([3]));
    assert_eq!(params.get("p"), Some(Tensor::full([3], 0.9)));
}

#[test]
fn a_step_writes_in_place() {
    let mut params = store(&[("p", Tensor::<f64>::ones([1000]))]);
    let address = params.get("p").unwrap().data().as_ptr();
    let mut adam = Adam::new(0.1);
    for _ in 0..2 {
        let grads = gradients(&params, &[("p", Tensor::ones([1000]))]);
        adam.step(&mut params, &grads);
        assert_eq!(params.get("p").unwrap().data().as_ptr(), address);
    }
}

#[test]
fn the_learning_rate_changes() {
    let mut params = store(&[("p", Tensor::<f64>::ones([1]))]);
    let mut rule = sgd();
    Optimizer::<f64>::set_lr(&mut rule, 0.5);
    let grads = gradients(&params, &[("p", Tensor::ones([1]))]);
    rule.step(&mut params, &grads);
    assert_eq!(params.get("p"), Some(Tensor::full([1], 0.5)));
}

#[test]
#[should_panic(expected = "gradients of another network")]
fn gradients_of_another_network_are_refused() {
    let (one, mut two) = (store(&[("p", Tensor::<f64>::ones([1]))]), store(&[("p", Tensor::ones([1]))]));
    let grads = gradients(&one, &[("p", Tensor::ones([1]))]);
    sgd().step(&mut two, &grads);
}

#[test]
#[should_panic(expected = "its earlier steps were of another network")]
fn an_optimiser_keeps_to_one_network() {
    let stores = [store(&[("p", Tensor::<f64>::ones([1]))]), store(&[("p", Tensor::ones([1]))])];
    let mut adam = Adam::new(0.1);
    for mut params in stores {
        let grads = gradients(&params, &[("p", Tensor::ones([1]))]);
        adam.step(&mut params, &grads);
    }
}

#[test]
fn gradients_are_added_up_and_scaled() {
    let (a, b) = (Tensor::from_vec([2], vec![1.0, -0.0]), Tensor::from_vec([2], vec![0.5, -0.0]));
    let params = store(&[("a", Tensor::<f64>::ones([2])), ("b", Tensor::ones([2])), ("none", Tensor::ones([2]))]);
    let first = gradients(&params, &[("a", a.clone())]);
    let second = gradients(&params, &[("a", b.clone()), ("b", b.clone())]);
    let mut total = ParamGrads::new(&params);
    assert_eq!((total.iter().count(), total.norm(), total.clip_norm(1.0)), (0, 0.0, 0.0));
    total += &first;
    total += &second;
    total *= 2.0;
    let found: Vec<_> = total.iter().map(|(id, name, g)| (Some(id), name, g.to_vec())).collect();
    assert_eq!(found, [(params.id("a"), "a", vec![3.0, 0.0]), (params.id("b"), "b", vec![1.0, 0.0])]);
    assert!(found.iter().all(|(_, _, g)| g[1].is_sign_negative()), "−0 stays −0");
    assert_eq!(total.norm(), 10f64.sqrt());
    // What was added is as it was.
    assert_eq!(first.get(params.id("a").unwrap()), Some(&a));
    assert_eq!(second.get(params.id("b").unwrap()), Some(&b));
    assert_eq!(format!("{total:?}"), "ParamGrads {a: (2), b: (2)}");
}

#[test]
fn gradients_are_replaced_by_name() {
    let params = store(&[("a", Tensor::<f64>::ones([2])), ("b", Tensor::ones([1]))]);
    let grads = gradients(&params, &[("a", Tensor::ones([2])), ("b", Tensor::ones([1]))]);
    let grads = grads.map(|_, name, g| if name == "b" { g.map(|x| 3.0 * x) } else { g });
    assert_eq!(grads.iter().map(|(_, _, g)| g.to_vec()).collect::<Vec<_>>(), [vec![1.0, 1.0], vec![3.0]]);
    assert_panics(|| drop(grads.map(|_, _, _| Tensor::ones([1]))), &["ParamGrads::map: `a` has shape (2), found (1)"]);
}

/// As in PyTorch: nothing of it is hidden, and the norm says so.
#[test]
fn clipping_gradients_that_are_not_finite() {
    let params = store(&[("a", Tensor::<f32>::ones([2])), ("b", Tensor::ones([1]))]);
    let clipped = |bad: f32| {
        let bad = Tensor::from_vec([2], vec![1.0, bad]);
        let mut grads = gradients(&params, &[("a", bad), ("b", Tensor::ones([1]))]);
        let norm = grads.clip_norm(1.0);
        let values: Vec<f32> = grads.iter().flat_map(|(_, _, g)| g.to_vec()).collect();
        (norm, values)
    };
    let (norm, values) = clipped(f32::INFINITY);
    assert!(norm == f64::INFINITY && values[0] == 0.0 && values[1].is_nan() && values[2] == 0.0, "{norm} {values:?}");
    let (norm, values) = clipped(1e30);
    assert!(norm == f64::INFINITY && values == [0.0; 3], "squares above the largest f32: {norm} {values:?}");
    let (norm, values) = clipped(f32::NAN);
    assert!(norm.is_nan() && values.iter().all(|x| x.is_nan()), "{norm} {values:?}");

    let mut grads = gradients(&params, &[("a", Tensor::from_vec([2], vec![f32::NAN, f32::NEG_INFINITY]))]);
    grads.clip_value(0.5);
    let values = grads.get(params.id("a").unwrap()).unwrap().to_vec();
    assert!(values[0].is_nan() && values[1] == -0.5, "{values:?}");
}

#[test]
fn wrong_gradients_and_bounds_are_named() {
    let (one, two) = (store(&[("p", Tensor::<f64>::ones([1]))]), store(&[("p", Tensor::ones([1]))]));
    let grads = || gradients(&one, &[("p", Tensor::ones([1]))]);
    assert_panics(|| ParamGrads::new(&two).add_assign(&grads()), &["ParamGrads: these are gradients of two networks"]);
    assert_panics(|| _ = grads().clip_norm(-1.0), &["clip_norm: expected a norm of at least 0, found -1"]);
    assert_panics(|| grads().clip_value(f64::NAN), &["clip_value: expected a bound of at least 0, found NaN"]);
    assert_panics(
        || drop(Sgd::<f32>::new(0.1).weight_decay(-0.1)),
        &["Sgd: expected weight decay in 0.0.., found -0.1"],
    );
    assert_panics(
        || drop(RmsProp::<f32>::new(0.1).momentum(1.0)),
        &["RmsProp: expected momentum in 0.0..1.0, found 1"],
    );
    assert_panics(|| _ = Schedule::linear(-0.1, 0.0, 3), &["Schedule: expected the first lr in 0.0.., found -0.1"]);
    assert_panics(|| _ = Schedule::cosine(0.1, 0.0, 0), &["Schedule: expected at least 1 step, found 0"]);
}

#[test]
fn optimisers_show_their_settings() {
    let mut params = store(&[("p", Tensor::<f32>::ones([3])), ("q", Tensor::ones([1]))]);
    let mut rule = RmsProp::new(0.5).momentum(0.9);
    let grads = gradients(&params, &[("p", Tensor::ones([3]))]);
    rule.step(&mut params, &grads);
    let expected = "RmsProp { lr: 0.5, alpha: 0.99, eps: 1e-8, momentum: 0.9, centred: false, decay: 0.0, moments: \
                    [square_avg, momentum_buffer] of 1 parameters }";
    assert_eq!(format!("{rule:?}"), expected);
}

#[test]
#[should_panic(expected = "Adam: expected beta2 in 0.0..1.0, found 1")]
fn settings_are_checked() {
    let _ = Adam::<f32>::new(1e-3).betas(0.5, 1.0);
}
