//! The cases that a layer of `wengert::nn` computes, once more through that layer: what it adds to the operation is the
//! names, the shapes of its parameters, and its state.

use wengert::nn::{
    BatchNorm, Conv2d, ConvTranspose2d, Embedding, GroupNorm, Init, InstanceNorm, LayerNorm, Linear, Mode, Params,
    Pass, WeightOptions,
};
use wengert::ops::Conv2dOptions;
use wengert::{Rng, Tape, Tensor, Var};

use super::fixture::{Fixture, Worst};
use super::layers::{F64, check};
use super::operations::{Call, Vars};

/// Where spectral norm keeps W, under PyTorch's name.
const ORIGINAL: &str = "parametrizations.weight.original";

type Run = Box<dyn Fn(&Pass<'_, f64>, &Var<f64>) -> Var<f64>>;

/// A layer with fresh parameters, and how to run it.
fn layer(call: &Call, params: &mut Params<f64>) -> Option<Run> {
    let scope = &mut params.scope("");
    let rng = &mut Rng::seed(1);
    let shape = |name: &str| *call.tensor::<f64>(name).shape();
    let has_bias = call.inputs().iter().any(|name| name == "bias");
    let options =
        if has_bias { WeightOptions::new(Init::PyTorch) } else { WeightOptions::new(Init::PyTorch).without_bias() };
    Some(match call.op() {
        "conv2d" => {
            let (w, conv) = (shape("weight"), call.conv_options());
            let layer = Conv2d::new(scope, w[1] * conv.groups, w[0], [w[2], w[3]], &conv, options, rng);
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "conv_transpose2d" => {
            let (w, conv) = (shape("weight"), call.conv_options());
            let layer = ConvTranspose2d::new(scope, w[0], w[1] * conv.groups, [w[2], w[3]], &conv, options, rng);
            let layer = layer.output_padding(call.pair("output_padding"));
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "linear" => {
            let w = shape("weight");
            let layer = Linear::new(scope, w[1], w[0], options, rng);
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "embedding" => {
            let w = shape("weight");
            let layer = Embedding::new(scope, w[0], w[1], Init::PyTorch, rng);
            let (shape, index) = call.fixture.indices(&format!("{}/index", call.case));
            Box::new(move |pass, _| layer.forward(pass, &index).reshape([shape[0], shape[1], w[1]]))
        }
        "batch_norm" => {
            let layer = BatchNorm::new(scope, shape("weight")[0], Init::PyTorch, rng);
            let layer = layer.eps(call.number("eps")).momentum(call.number("momentum"));
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "layer_norm" => {
            let layer = LayerNorm::new(scope, shape("weight")).eps(call.number("eps"));
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "group_norm" => {
            let layer = GroupNorm::new(scope, call.count("groups"), shape("weight")[0]).eps(call.number("eps"));
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "instance_norm" => {
            let layer = InstanceNorm::new(scope, shape("weight")[0]).eps(call.number("eps"));
            Box::new(move |pass, x| layer.forward(pass, x))
        }
        "spectral_norm" => {
            let (w, options) = (shape("weight"), options.spectral_norm());
            match (call.count("axis"), w.len()) {
                (0, 2) => {
                    let layer = Linear::new(scope, w[1], w[0], options, rng);
                    // The layer shows its weight W̄ where its inputs are the unit vectors.
                    Box::new(move |pass, _| layer.forward(pass, &unit_vectors(w[1])).t())
                }
                (0, 4) => {
                    let kernel = [w[2], w[3]];
                    let layer = Conv2d::new(scope, w[1], w[0], kernel, &Conv2dOptions::default(), options, rng);
                    let size = w[1] * w[2] * w[3];
                    let maps = unit_vectors(size).reshape([size, w[1], w[2], w[3]]);
                    Box::new(move |pass, _| layer.forward(pass, &maps).reshape([size, w[0]]).t().reshape(w))
                }
                (1, 4) => {
                    let kernel = [w[2], w[3]];
                    let layer =
                        ConvTranspose2d::new(scope, w[0], w[1], kernel, &Conv2dOptions::default(), options, rng);
                    let maps = unit_vectors(w[0]).reshape([w[0], w[0], 1, 1]);
                    Box::new(move |pass, _| layer.forward(pass, &maps))
                }
                other => panic!("{}: no layer has output axis and rank {other:?}", call.case),
            }
        }
        _ => return None,
    })
}

/// The unit matrix.
fn unit_vectors(n: usize) -> Var<f64> {
    Tensor::from_vec([n, n], (0..n * n).map(|i| f64::from(i / n == i % n)).collect()).into()
}

/// The layer's name for an input, `None` for one that is not the layer's.
fn name_of(call: &Call, input: &str) -> Option<&'static str> {
    match (call.op(), input) {
        ("spectral_norm", "weight") => Some(ORIGINAL),
        (_, "weight") => Some("weight"),
        (_, "bias") => Some("bias"),
        _ => None,
    }
}

/// The layer's state before this call.
fn set_state(call: &Call, params: &mut Params<f64>) {
    match call.op() {
        "batch_norm" => {
            let before = if call.suffix == "_2" { "_1" } else { "" };
            for name in ["running_mean", "running_var"] {
                params.set(name, call.shared(&format!("{name}{before}")));
            }
        }
        "spectral_norm" => {
            params.set("parametrizations.weight.0._u", call.shared("u"));
            // Only overwritten: the iteration begins with v ← Wᵀu.
            params.set("parametrizations.weight.0._v", Tensor::full(call.shared::<f64>("v_1").shape(), f64::NAN));
        }
        _ => {}
    }
}

/// Calls for which there is a layer, each with the options that its name in the file asks for.
fn calls(fixture: &Fixture) -> Vec<Call<'_>> {
    let of = |(case, options): (_, &serde_json::Value)| {
        let suffixes: &[&str] = if options["train"] == true { &["_1", "_2"] } else { &[""] };
        suffixes.iter().map(move |suffix| Call { fixture, case, suffix })
    };
    let calls = fixture.cases().flat_map(of);
    calls.filter(|call| layer(call, &mut Params::new()).is_some()).collect()
}

#[test]
fn layers_compute_what_theirs_do() {
    let fixture = Fixture::open(env!("CARGO_MANIFEST_DIR"), "layers");
    let calls = calls(&fixture);
    let mut worst = Worst::default();
    for call in &calls {
        let mode = if call.options()["train"] == false { Mode::Eval } else { Mode::Train };
        check(
            call,
            F64,
            |_, tensor| tensor,
            &mut worst,
            |tape: &Tape<f64>, vars: &mut Vars<f64>| {
                let mut params = Params::new();
                let run = layer(call, &mut params).expect("chosen for having one");
                set_state(call, &mut params);
                let own: Vec<(String, &str)> =
                    vars.keys().filter_map(|input| Some((input.clone(), name_of(call, input)?))).collect();
                assert_eq!(own.len(), params.parameters().count(), "{}: all parameters of the layer", call.case);
                own.iter().for_each(|(input, name)| params.set(name, vars[input].value().clone()));
                let pass = Pass::new(&params, tape, mode);
                for (input, name) in &own {
                    vars.insert(input.clone(), pass.param(params.id(name).expect("set above")));
                }
                // An embedding has no input to differentiate, nor has a weight that is looked at by itself.
                let y = run(&pass, vars.get("x").unwrap_or(&Tensor::zeros([0]).into()));
                drop(pass);
                check_state(call, &params);
                y
            },
        );
    }
    println!("{} calls through layers", calls.len());
    worst.report("nn");
}

/// The layer's state after this call.
fn check_state(call: &Call, params: &Params<f64>) {
    let mut worst = Worst::default();
    let mut compare = |name: &str, expected: Tensor<f64>| {
        let found = params.get(name).unwrap_or_else(|| panic!("{}: no buffer {name}", call.case));
        worst.compare("state", &format!("{}: {name}{}", call.case, call.suffix), &found, &expected, 1e-9);
    };
    match call.op() {
        "batch_norm" => {
            compare("running_mean", call.tensor("running_mean"));
            compare("running_var", call.tensor("running_var"));
        }
        "spectral_norm" => {
            compare("parametrizations.weight.0._u", call.shared("u_1"));
            compare("parametrizations.weight.0._v", call.shared("v_1"));
        }
        _ => {}
    }
}

/// The calls one after the other on the same layer: what the second finds is what the first left.
#[test]
fn running_statistics_move_from_call_to_call() {
    let fixture = Fixture::open(env!("CARGO_MANIFEST_DIR"), "layers");
    let mut cases = 0;
    for calls in calls(&fixture).chunk_by(|a, b| a.case == b.case).filter(|calls| calls.len() == 2) {
        let mut params = Params::new();
        let run = layer(&calls[0], &mut params).expect("chosen for having one");
        set_state(&calls[0], &mut params);
        for (i, call) in calls.iter().enumerate() {
            for name in ["weight", "bias"] {
                params.set(name, call.tensor(name));
            }
            run(&Pass::frozen(&params, Mode::Train), &call.tensor("x").into());
            check_state(call, &params);
            let count = call.tensor::<f64>("num_batches_tracked").item();
            assert_eq!((params.count("num_batches_tracked"), count), (Some(i as u64 + 1), i as f64 + 1.0));
            // The generator's step and sampling see the layer so: nothing moves.
            run(&Pass::frozen(&params, Mode::TrainFixed), &call.tensor("x").into());
            run(&Pass::frozen(&params, Mode::Eval), &call.tensor("x").into());
            check_state(call, &params);
        }
        cases += 1;
    }
    assert_eq!(cases, 3, "cases of batch norm in training, one with options of its own");
}
