//! optim.safetensors: twelve steps of every optimiser on given gradients, its state, clipping, and the moving average.

use serde_json::Value;
use wengert::nn::{Mode, Params, Pass};
use wengert::optim::{Adam, Ema, Optimizer, RmsProp, Sgd, clip_weights};
use wengert::{Archive, Element, Tape, Tensor, Var};

use super::fixture::{Fixture, Worst};

const STEPS: usize = 12;

/// What is allowed relative to the largest value of a tensor: some of the state is of order 1e-16 (the squares of
/// gradients of 1e-8), so that an absolute bound would let anything pass.
///
/// f32: the roundings of twelve steps, each of a few operations on numbers of the size of the result, 2⁻²⁴ each.
fn bound<T: Element>() -> (f64, f64) {
    (f64::MIN_POSITIVE, if T::NAME == "f64" { 1e-13 } else { 2e-6 })
}

fn open() -> Fixture {
    Fixture::open(env!("CARGO_MANIFEST_DIR"), "optim")
}

/// The parameters at the start, in PyTorch's order or not: optimisers treat each by itself.
fn start<T: Element>(fixture: &Fixture) -> Params<T> {
    let mut params = Params::new();
    for name in fixture.names("init/") {
        params.scope("").parameter(name, fixture.tensor(&format!("init/{name}")));
    }
    params
}

fn optimiser<T: Element>(case: &str, options: &Value) -> Box<dyn Optimizer<T>> {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{case}: {value} is no number"));
    let option = |name: &str| number(&options[name]);
    let lr = option("lr");
    match options["optimiser"].as_str() {
        Some("Adam") => {
            let betas = &options["betas"];
            Box::new(Adam::new(lr).betas(number(&betas[0]), number(&betas[1])).eps(option("eps")))
        }
        Some("RMSprop") => Box::new(RmsProp::new(lr).alpha(option("alpha")).eps(option("eps"))),
        Some("SGD") if options["momentum"].is_null() => Box::new(Sgd::new(lr)),
        Some("SGD") => {
            assert_eq!(options["nesterov"], false, "{case}: our momentum is not Nesterov's");
            Box::new(Sgd::new(lr).momentum(option("momentum")))
        }
        other => panic!("{case}: the test does not know the optimiser {other:?}"),
    }
}

/// One step with the gradients of step `i`: those of Σ ⟨p, g⟩, which are g to the bit.
fn step<T: Element>(fixture: &Fixture, params: &mut Params<T>, optimiser: &mut dyn Optimizer<T>, i: usize) {
    let tape = Tape::new();
    let pass = Pass::new(params, &tape, Mode::Train);
    let products = params.parameters().map(|(id, name, _)| {
        let gradient: Var<T> = fixture.part(&format!("grad/{name}"), i).into();
        (pass.param(id) * gradient).sum()
    });
    let loss = products.reduce(|a, b| a + b).expect("parameters");
    let gradients = pass.gradients(&loss.backward());
    optimiser.step(params, &gradients);
}

/// Twelve steps of a case, compared after every step.
fn follow<T: Element>(fixture: &Fixture, case: &str, mut optimiser: Box<dyn Optimizer<T>>, worst: &mut Worst) {
    let mut params = start::<T>(fixture);
    let mut averages = average_of(fixture, case, &params);
    for i in 0..STEPS {
        step(fixture, &mut params, &mut *optimiser, i);
        if let Some(clip) = fixture.options(case)["clip"].as_f64() {
            clip_weights(&mut params, clip);
        }
        compare_parameters(fixture, case, i, &params, worst);
        if let Some(average) = &mut averages {
            average.update(&params);
            compare_parameters(fixture, "ema", i, average.params(), worst);
        }
    }
    compare_state(fixture, case, &params, &*optimiser, worst);
}

fn replay<T: Element>() {
    let fixture = open();
    let mut worst = Worst::default();
    let cases: Vec<_> = fixture.cases().filter(|(case, _)| *case != "ema").collect();
    for (case, options) in &cases {
        follow(&fixture, case, optimiser::<T>(case, options), &mut worst);
    }
    assert!(fixture.unread().is_empty(), "tensors that no comparison used: {:?}", fixture.unread());
    println!("{} optimisers and a moving average in {}", cases.len(), T::NAME);
    worst.report(T::NAME);
}

/// The moving average, if it is one of the parameters that this case visits.
fn average_of<T: Element>(fixture: &Fixture, case: &str, params: &Params<T>) -> Option<Ema<T>> {
    let options = fixture.options("ema");
    (options["of"] == case).then(|| Ema::new(params, options["decay"].as_f64().expect("a number")))
}

fn compare_parameters<T: Element>(fixture: &Fixture, case: &str, i: usize, params: &Params<T>, worst: &mut Worst) {
    for (_, name, found) in params.parameters() {
        let expected: Tensor<f64> = fixture.part(&format!("{case}/after/{name}"), i);
        let what = format!("{case}: {name} after step {} in {}", i + 1, T::NAME);
        worst.compare_to(case, &what, found, &expected, bound::<T>());
    }
}

/// The state after the last step, by the names that PyTorch gives it.
fn compare_state<T: Element>(
    fixture: &Fixture,
    case: &str,
    params: &Params<T>,
    optimiser: &dyn Optimizer<T>,
    worst: &mut Worst,
) {
    let mut archive = Archive::new();
    optimiser.store(params, &mut archive, "");
    let prefix = format!("{case}/state/");
    for place in fixture.names(&prefix) {
        let (state, name) = place.split_once('/').expect("state/NAME/P");
        let expected: Tensor<f64> = fixture.tensor(&format!("{prefix}{place}"));
        let own = format!("{name}.{state}");
        if state == "step" {
            assert_eq!(archive.count(&own).expect("a count") as f64, expected.item(), "{case}: {own}");
        } else {
            let found: Tensor<T> = archive.tensor(&own, expected.shape()).unwrap_or_else(|e| panic!("{case}: {e}"));
            let what = format!("{case}: {own} in {}", T::NAME);
            worst.compare_to(&format!("{case} state"), &what, &found, &expected, bound::<T>());
        }
    }
}

#[test]
fn every_optimiser_in_f64() {
    replay::<f64>();
}

#[test]
fn every_optimiser_in_f32() {
    replay::<f32>();
}

/// The witness bites: another ε of the same order is a difference that it sees.
#[test]
#[should_panic(expected = "adam: bias after step 1 in f64")]
fn a_wrong_eps_is_caught() {
    let adam = Adam::<f64>::new(2e-4).betas(0.5, 0.999).eps(2e-8);
    follow(&open(), "adam", Box::new(adam), &mut Worst::default());
}
