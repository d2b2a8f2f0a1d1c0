//! optim.safetensors: twelve steps of every optimiser on given gradients, its state, the moving average, clipping of
//! parameters and of gradients, and schedules of the learning rate.

use serde_json::Value;
use wengert::nn::{Mode, ParamGrads, Params, Pass};
use wengert::optim::{Adam, Ema, Optimizer, RmsProp, Schedule, Sgd, clip_weights};
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
    // What PyTorch has as a default is not in the file.
    let or_none = |name: &str| if options[name].is_null() { 0.0 } else { option(name) };
    let (lr, decay) = (option("lr"), or_none("weight_decay"));
    let adam = || {
        let betas = &options["betas"];
        Adam::new(lr).betas(number(&betas[0]), number(&betas[1])).eps(option("eps"))
    };
    match options["optimiser"].as_str() {
        Some("Adam") => Box::new(adam().weight_decay(decay)),
        Some("AdamW") => Box::new(adam().decoupled_weight_decay(decay)),
        Some("RMSprop") => {
            let rule = RmsProp::new(lr).alpha(option("alpha")).eps(option("eps"));
            let rule = rule.weight_decay(decay).momentum(or_none("momentum"));
            Box::new(if options["centered"] == true { rule.centred() } else { rule })
        }
        Some("SGD") if options["momentum"].is_null() => Box::new(Sgd::new(lr).weight_decay(decay)),
        Some("SGD") => {
            assert_eq!(options["nesterov"], false, "{case}: our momentum is not Nesterov's");
            Box::new(Sgd::new(lr).momentum(option("momentum")).weight_decay(decay))
        }
        other => panic!("{case}: the test does not know the optimiser {other:?}"),
    }
}

/// The gradients of step `i`: those of Σ ⟨p, g⟩, which are g to the bit.
fn gradients<T: Element>(fixture: &Fixture, params: &Params<T>, i: usize) -> ParamGrads<T> {
    let tape = Tape::new();
    let pass = Pass::new(params, &tape, Mode::Train);
    let products = params.parameters().map(|(id, name, _)| {
        let gradient: Var<T> = fixture.part(&format!("grad/{name}"), i).into();
        (pass.param(id) * gradient).sum()
    });
    let loss = products.reduce(|a, b| a + b).expect("parameters");
    pass.gradients(&loss.backward())
}

/// Twelve steps of a case, compared after every step.
fn follow<T: Element>(fixture: &Fixture, case: &str, mut optimiser: Box<dyn Optimizer<T>>, worst: &mut Worst) {
    let mut params = start::<T>(fixture);
    let mut averages = average_of(fixture, case, &params);
    for i in 0..STEPS {
        let gradients = gradients(fixture, &params, i);
        optimiser.step(&mut params, &gradients);
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
    let cases: Vec<_> = fixture.cases().filter(|(_, options)| options["optimiser"].is_string()).collect();
    for (case, options) in &cases {
        follow(&fixture, case, optimiser::<T>(case, options), &mut worst);
    }
    clip::<T>(&fixture, &mut worst);
    schedules(&fixture, &mut worst);
    assert!(fixture.unread().is_empty(), "tensors that no comparison used: {:?}", fixture.unread());
    println!("{} optimisers and a moving average in {}", cases.len(), T::NAME);
    worst.report(T::NAME);
}

/// Each step's gradients, clipped by their norm and by value.
fn clip<T: Element>(fixture: &Fixture, worst: &mut Worst) {
    let max = |case: &str| fixture.options(case)["max"].as_f64().expect("a number");
    let params = start::<T>(fixture);
    let norms = fixture.values("clip_norm_before");
    for (i, expected) in norms.iter().enumerate() {
        let whole = gradients(fixture, &params, i);
        let (mut by_norm, mut by_value) = (whole.clone(), whole);
        let norm = by_norm.clip_norm(max("clip_norm"));
        assert!((norm - expected).abs() <= bound::<T>().1 * expected, "norm before step {}: {norm}, {expected}", i + 1);
        by_value.clip_value(max("clip_value"));
        for (case, clipped) in [("clip_norm", by_norm), ("clip_value", by_value)] {
            assert_eq!(clipped.iter().count(), params.parameters().count());
            for (_, name, found) in clipped.iter() {
                let expected: Tensor<f64> = fixture.part(&format!("{case}/{name}"), i);
                let what = format!("{case}: {name} of step {} in {}", i + 1, T::NAME);
                worst.compare_to(case, &what, found, &expected, bound::<T>());
            }
        }
    }
    assert_eq!(norms.iter().filter(|&&norm| norm < max("clip_norm")).count(), 1, "one norm stays as it is");
}

/// The learning rates of each schedule, with and without a warm-up, beyond its last step but one.
fn schedules(fixture: &Fixture, worst: &mut Worst) {
    let option = |name: &str| fixture.options("lr")[name].clone();
    let rate = |name: &str| option(name).as_f64().expect("a rate");
    let count = |name: &str| option(name).as_u64().expect("a count");
    let (start, end, steps) = (rate("start"), rate("end"), count("steps"));
    for (name, schedule) in [
        ("constant", Schedule::constant(start)),
        ("linear", Schedule::linear(start, end, steps)),
        ("cosine", Schedule::cosine(start, end, steps)),
    ] {
        for (name, schedule) in
            [(name.to_string(), schedule), (format!("{name}_warm"), schedule.warmup(count("warmup")))]
        {
            let expected: Tensor<f64> = fixture.tensor(&format!("lr/{name}"));
            let found = (0..expected.size() as u64).map(|t| schedule.lr(t)).collect();
            let found = Tensor::from_vec(*expected.shape(), found);
            worst.compare_to("lr", &name, &found, &expected, (f64::MIN_POSITIVE, 1e-14));
        }
    }
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

/// The last rate is the one that was asked for, to the bit, and stays.
#[test]
fn a_schedule_ends_where_it_was_told() {
    for schedule in [Schedule::linear(0.7, 0.1, 10), Schedule::cosine(0.7, 0.1, 10)] {
        let schedule = schedule.warmup(3);
        assert_eq!((schedule.lr(2), schedule.lr(3)), (0.7, 0.7));
        assert_eq!((schedule.lr(13), schedule.lr(14), schedule.lr(u64::MAX)), (0.1, 0.1, 0.1));
    }
}

/// The witness bites: another ε of the same order is a difference that it sees.
#[test]
#[should_panic(expected = "adam: bias after step 1 in f64")]
fn a_wrong_eps_is_caught() {
    let adam = Adam::<f64>::new(2e-4).betas(0.5, 0.999).eps(2e-8);
    follow(&open(), "adam", Box::new(adam), &mut Worst::default());
}
