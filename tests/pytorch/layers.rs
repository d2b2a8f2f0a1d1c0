//! layers.safetensors: values, gradients and second derivatives of every layer and loss.

use wengert::ops::power_iteration;
use wengert::{Element, Tape, Tensor, Var};

use super::fixture::{Fixture, Worst};
use super::operations::{Call, Vars, forward};

/// Every call of every case.
fn calls(fixture: &Fixture) -> Vec<Call<'_>> {
    let suffixes =
        |options: &serde_json::Value| -> &[&str] { if options["train"] == true { &["_1", "_2"] } else { &[""] } };
    let of = |(case, options)| suffixes(options).iter().map(move |suffix| Call { fixture, case, suffix });
    fixture.cases().flat_map(of).collect()
}

/// How the inputs lie in memory: both the maps and the weights either row-major or as our kernels like them.
#[derive(Clone, Copy, Debug)]
struct Layout {
    channels_last: bool,
    hwio: bool,
}

impl Layout {
    const ALL: [Layout; 4] = [
        Layout { channels_last: false, hwio: false },
        Layout { channels_last: false, hwio: true },
        Layout { channels_last: true, hwio: false },
        Layout { channels_last: true, hwio: true },
    ];

    /// `x` is the map; every other input of rank 4 is a weight. Tensors of another rank lie reversed (a matrix
    /// transposed) where a map lies channels-last.
    fn lay<T: Element>(self, name: &str, tensor: Tensor<T>) -> Tensor<T> {
        let rank = tensor.rank();
        match rank {
            4 if name == "x" && self.channels_last => tensor.channels_last(),
            4 if name != "x" && self.hwio => tensor.in_memory_order([2, 3, 1, 0]),
            0 | 4 => tensor,
            _ if self.channels_last => tensor.in_memory_order((0..rank).rev().collect::<wengert::Axes>()),
            _ => tensor,
        }
    }
}

/// What is allowed: of the value and the gradients, and of the second derivatives.
#[derive(Clone, Copy)]
pub struct Bounds {
    first: f64,
    second: f64,
}

/// f64: the two computations differ in the order of their sums only.
pub const F64: Bounds = Bounds { first: 1e-9, second: 1e-9 };

/// f32: the inputs are exact in f32 (but for u, v and the running statistics), so all that differs is rounding, 2⁻²⁴ =
/// 6e-8 at each operation. The values and gradients here are sums of up to 200 products behind at most five operations,
/// whose roundings add up like a random walk: 16 · 6e-8 = 1e-6, largest where the terms cancel. Second derivatives add
/// up as many such gradients again.
const F32: Bounds = Bounds { first: 5e-6, second: 2e-5 };

/// Compares one call with PyTorch: y, the gradients by both walks of the tape, the second derivatives by both.
///
/// `f` computes y from the inputs; it may put other variables of the same values in their places.
pub fn check<T: Element>(
    call: &Call,
    bounds: Bounds,
    lay: impl Fn(&str, Tensor<T>) -> Tensor<T>,
    worst: &mut Worst,
    f: impl Fn(&Tape<T>, &mut Vars<T>) -> Var<T>,
) {
    let names = call.inputs();
    assert!(!names.is_empty(), "{}: nothing to differentiate", call.case);
    let mut compare = |tensor: &str, walk: &str, found: &Tensor<T>| {
        let second = tensor.starts_with("d2");
        let order = if second {
            "second"
        } else if tensor == "y" {
            "value"
        } else {
            "first"
        };
        let what = format!("{}/{tensor}{} by {walk} in {}", call.case, call.suffix, T::NAME);
        let bound = if second { bounds.second } else { bounds.first };
        worst.compare(&format!("{} {order}", call.op()), &what, found, &call.tensor(tensor), bound);
    };
    let start = || {
        let tape = Tape::new();
        let dy = tape.var(lay("x", call.tensor("dy")));
        let mut vars: Vars<T> =
            names.iter().map(|name| (name.clone(), tape.var(lay(name, call.tensor(name))))).collect();
        let y = f(&tape, &mut vars);
        let loss = (&y * &dy).sum();
        let inputs: Vec<Var<T>> = names.iter().map(|name| vars[name].clone()).collect();
        (y, dy, inputs, loss)
    };

    let (y, _, inputs, loss) = start();
    compare("y", "forward", y.value());
    let gradients = loss.backward();
    for (name, input) in names.iter().zip(&inputs) {
        compare(&format!("d{name}"), "backward", &gradients.wrt(input));
    }

    let (_, dy, mut inputs, loss) = start();
    let gradients = loss.grad(&inputs.iter().collect::<Vec<_>>());
    for (name, gradient) in names.iter().zip(&gradients) {
        compare(&format!("d{name}"), "grad", gradient.value());
    }
    if call.flag("second") {
        let weighed = names.iter().zip(&gradients).map(|(name, gradient)| {
            let cotangent: Var<T> = lay(name, call.tensor(&format!("dd{name}"))).into();
            (gradient * cotangent).sum()
        });
        let slope = weighed.reduce(|a, b| a + b).expect("at least one input");
        inputs.push(dy);
        let wrt: Vec<&Var<T>> = inputs.iter().collect();
        let by_grad = slope.grad(&wrt);
        let by_backward = slope.backward();
        let names = names.iter().map(String::as_str).chain(["dy"]);
        for ((name, input), by_grad) in names.zip(&inputs).zip(&by_grad) {
            compare(&format!("d2{name}"), "grad", by_grad.value());
            compare(&format!("d2{name}"), "backward", &by_backward.wrt(input));
        }
    }
}

/// What a case says beside its derivatives: running statistics, u, v and σ, where extremes lie.
fn check_state<T: Element>(call: &Call, bound: f64, lay: impl Fn(&str, Tensor<T>) -> Tensor<T>, worst: &mut Worst) {
    let mut compare = |name: &str, found: &Tensor<T>, expected: Tensor<f64>| {
        let what = format!("{}/{name}{} in {}", call.case, call.suffix, T::NAME);
        worst.compare(&format!("{} state", call.op()), &what, found, &expected, bound);
    };
    match call.op() {
        "batch_norm" if call.flag("train") => {
            let input = |name: &str| Var::from(lay(name, call.tensor(name)));
            let (_, stats) = input("x").batch_norm_train(&input("weight"), &input("bias"), call.number("eps"));
            // PyTorch's formula: the running variance takes the unbiased variance of the batch, though the batch itself
            // is normalised with the biased one.
            let n = stats.count as f64;
            let before = if call.suffix == "_1" { "" } else { "_1" };
            for (name, batch, scale) in
                [("running_mean", &stats.mean, 1.0), ("running_var", &stats.variance, n / (n - 1.0))]
            {
                let momentum = call.number("momentum");
                let old = Var::from(call.shared::<T>(&format!("{name}{before}")));
                let new = old * (1.0 - momentum) + Var::from(batch) * (momentum * scale);
                compare(name, new.value(), call.tensor(name));
            }
        }
        "spectral_norm" => {
            let weight = lay("weight", call.tensor("weight"));
            let (u, axis) = (call.shared::<T>("u"), call.count("axis"));
            // v is an output only: the iteration begins with v ← Wᵀu.
            let unknown = Tensor::full(call.shared::<T>("v_1").shape(), f64::NAN);
            let (u, v) = power_iteration(&weight, axis, &u, &unknown, 1, call.number("eps"));
            compare("u_1", &u, call.shared("u_1"));
            compare("v_1", &v, call.shared("v_1"));
            let sigma = Var::from(weight).spectral_sigma(&u, &v, axis);
            compare("sigma", sigma.value(), call.shared("sigma"));
        }
        "argmax" => {
            let x = lay("x", call.tensor("x"));
            let places = |found: Vec<usize>| Tensor::from_vec([4, 3], found.iter().map(|&i| T::of(i as f64)).collect());
            compare("argmax", &places(x.argmax(1)), call.shared("argmax"));
            compare("argmin", &places(x.argmin(1)), call.shared("argmin"));
        }
        _ => {}
    }
}

/// Every case in every layout.
fn replay<T: Element>(bounds: Bounds) {
    let fixture = Fixture::open(env!("CARGO_MANIFEST_DIR"), "layers");
    let mut worst = Worst::default();
    let calls = calls(&fixture);
    for call in &calls {
        for layout in Layout::ALL {
            let lay = |name: &str, tensor: Tensor<T>| layout.lay(name, tensor);
            check(call, bounds, lay, &mut worst, |tape, vars| forward(call, tape, vars));
            check_state(call, bounds.first, lay, &mut worst);
        }
    }
    // The counter is the nn layer's affair, compared in `modules`.
    let unread: Vec<&str> = fixture.unread().into_iter().filter(|name| !name.contains("num_batches_tracked")).collect();
    assert!(unread.is_empty(), "tensors that no comparison used: {unread:?}");
    println!("{} cases, {} calls, {} layouts in {}", fixture.cases().count(), calls.len(), Layout::ALL.len(), T::NAME);
    worst.report(T::NAME);
}

#[test]
fn every_case_in_f64() {
    replay::<f64>(F64);
}

#[test]
fn every_case_in_f32() {
    replay::<f32>(F32);
}

#[test]
#[should_panic(expected = "does not know the op")]
fn an_unknown_op_is_an_error() {
    let fixture = Fixture::open(env!("CARGO_MANIFEST_DIR"), "optim");
    // Any case of another file has no op that a layer has.
    forward::<f64>(&Call { fixture: &fixture, case: "ema", suffix: "" }, &Tape::new(), &Vars::new());
}
