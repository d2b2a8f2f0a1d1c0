//! Stores, passes and layers: names, freezing, caching, state; `tests/pytorch` compares their values with PyTorch's.

use crate::support::{assert_close, assert_panics};
use wengert::nn::{
    BatchNorm, Conv2d, ConvTranspose2d, Dropout, Embedding, GroupNorm, Init, InstanceNorm, Layer, LayerNorm, Linear,
    Mode, Params, Pass, Sequential, WeightOptions,
};
use wengert::ops::Conv2dOptions;
use wengert::{Rng, Tape, Tensor, Var};

fn rng() -> Rng {
    Rng::seed(5)
}

fn normalised() -> WeightOptions {
    WeightOptions::new(Init::PyTorch).spectral_norm()
}

#[test]
fn names_are_pytorchs() {
    let mut params = Params::<f32>::new();
    let (o, mut rng) = (Conv2dOptions::default(), rng());
    Linear::new(&mut params.scope("l"), 3, 4, Init::PyTorch, &mut rng);
    ConvTranspose2d::new(&mut params.scope("d").scope("0"), 4, 2, [4, 3], &o, Init::PyTorch, &mut rng);
    BatchNorm::new(&mut params.scope("b").scope("0"), 2, Init::PyTorch, &mut rng);
    Conv2d::new(&mut params.scope("c.0"), 4, 6, [3, 2], &o.groups(2), normalised(), &mut rng);
    ConvTranspose2d::new(&mut params.scope("t"), 4, 6, [3, 2], &o, normalised().without_bias(), &mut rng);
    let shapes: Vec<String> = params
        .names()
        .map(|name| format!("{name} {}", params.get(name).map_or("count".into(), |t| t.shape().to_string())))
        .collect();
    let expected = [
        "l.weight (4, 3)",
        "l.bias (4)",
        "d.0.weight (4, 2, 4, 3)",
        "d.0.bias (2)",
        "b.0.weight (2)",
        "b.0.bias (2)",
        "b.0.running_mean (2)",
        "b.0.running_var (2)",
        "b.0.num_batches_tracked count",
        "c.0.parametrizations.weight.original (6, 2, 3, 2)",
        "c.0.parametrizations.weight.0._u (6)",
        "c.0.parametrizations.weight.0._v (12)",
        "c.0.bias (6)",
        "t.parametrizations.weight.original (4, 6, 3, 2)",
        "t.parametrizations.weight.0._u (6)",
        "t.parametrizations.weight.0._v (24)",
    ];
    assert_eq!(shapes, expected);
    assert_eq!(params.size(), 16 + 96 + 2 + 4 + 72 + 6 + 144);
}

#[test]
fn weights_of_convolutions_lie_as_the_kernels_want_them() {
    let mut params = Params::<f32>::new();
    let o = Conv2dOptions::default();
    Conv2d::new(&mut params.scope("c"), 4, 6, [3, 2], &o, Init::normal(0.02), &mut rng());
    let weight = params.get("c.weight").unwrap();
    assert_eq!(weight.strides(), weight.in_memory_order([2, 3, 1, 0]).strides());
    // The same draws as if they had stayed row-major.
    let draws: Tensor<f64> = rng().normal([6, 4, 3, 2]);
    let same = draws.to_vec().iter().zip(weight.to_vec()).all(|(&d, w)| (d as f32 * 0.02 - w).abs() < 1e-8);
    assert!(same);
}

#[test]
fn initialisations() {
    let (o, mut rng) = (Conv2dOptions::default(), rng());
    let mut params = Params::<f64>::new();
    let mut make = |name: &str, init: Init| {
        Conv2d::new(&mut params.scope(name), 16, 32, [3, 3], &o, init, &mut rng);
    };
    make("pytorch", Init::PyTorch);
    make("glorot", Init::glorot());
    make("normal", Init::Normal { mean: 1.0, std: 0.02 });
    make("constant", Init::Constant(0.5));
    let moments = |name: &str| {
        let x = params.get(name).unwrap().to_vec();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        (mean, var.sqrt(), x.iter().fold(0.0, |m: f64, x| m.max(x.abs())))
    };
    let near = |a: f64, b: f64| (a - b).abs() < 0.05 * b;
    for (name, bound) in [("pytorch.weight", 1.0 / 12.0), ("glorot.weight", (6.0_f64 / (48.0 * 9.0)).sqrt())] {
        let (mean, std, max) = moments(name);
        assert!(mean.abs() < 0.05 * bound && near(std, bound / 3.0_f64.sqrt()), "{name}: {mean} {std}");
        assert!(max <= bound && max > 0.98 * bound, "{name}: {max} of {bound}");
    }
    let (_, _, max) = moments("pytorch.bias");
    assert!(max > 0.0 && max <= 1.0 / 12.0);
    let (mean, std, _) = moments("normal.weight");
    assert!(near(mean, 1.0) && near(std, 0.02));
    assert_eq!(params.get("constant.weight").unwrap(), Tensor::full([32, 16, 3, 3], 0.5));
    for name in ["glorot.bias", "normal.bias", "constant.bias"] {
        assert_eq!(params.get(name).unwrap(), Tensor::zeros([32]));
    }
    // A transposed convolution takes its fan-in from axis 1, as PyTorch does.
    let mut params = Params::<f64>::new();
    ConvTranspose2d::new(&mut params.scope("t"), 100, 4, [3, 3], &o, Init::PyTorch, &mut Rng::seed(1));
    let max = params.get("t.weight").unwrap().to_vec().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    assert!(max <= 1.0 / 6.0 && max > 0.99 / 6.0, "{max}");
}

#[test]
fn a_frozen_network_is_on_no_tape() {
    let mut rng = rng();
    let mut params = Params::<f64>::new();
    let layer = Linear::new(&mut params.scope("l"), 3, 2, normalised(), &mut rng);
    let norm = BatchNorm::new(&mut params.scope("b"), 2, Init::PyTorch, &mut rng);
    let nodes = |pass: &Pass<f64>, tape: &Tape<f64>| {
        let x = tape.var(Rng::seed(6).normal([4, 3]));
        let y = norm.forward(pass, &layer.forward(pass, &x)).powi(2).sum();
        let names = tape.names();
        (names, y.backward().wrt(&x))
    };
    let tape = Tape::new();
    let (names, free_gradient) = nodes(&Pass::new(&params, &tape, Mode::TrainFixed), &tape);
    assert_eq!(names.iter().filter(|name| **name == "var").count(), 5);
    assert!(names.contains(&"spectral_norm"));
    let tape = Tape::new();
    let (names, frozen_gradient) = nodes(&Pass::frozen(&params, Mode::TrainFixed), &tape);
    assert_eq!(names.iter().filter(|name| **name == "var").count(), 1, "{names:?}");
    assert!(!names.contains(&"spectral_norm"), "{names:?}");
    assert_close(&frozen_gradient, &free_gradient, 1e-13);
}

#[test]
fn each_parameter_is_bound_once_and_its_gradients_add_up() {
    let mut params = Params::<f64>::new();
    let layer = Linear::new(&mut params.scope("l"), 2, 1, Init::Constant(1.0), &mut rng());
    let unused = Linear::new(&mut params.scope("unused"), 2, 1, Init::Constant(1.0), &mut rng());
    let tape = Tape::new();
    let pass = Pass::new(&params, &tape, Mode::Train);
    let x: Var<f64> = Tensor::from_vec([1, 2], vec![1.0, 2.0]).into();
    let loss = layer.forward(&pass, &x).sum() + layer.forward(&pass, &(&x * 10.0)).sum();
    assert_eq!(tape.names().iter().filter(|name| **name == "var").count(), 2);
    let _ = unused;
    let grads = pass.gradients(&loss.backward());
    assert_eq!(grads.get(params.id("l.weight").unwrap()).unwrap().to_vec(), [11.0, 22.0]);
    assert_eq!(grads.get(params.id("l.bias").unwrap()).unwrap().to_vec(), [2.0]);
    assert!(grads.get(params.id("unused.weight").unwrap()).is_none());
}

#[test]
fn spectral_norm_iterates_once_per_training_pass() {
    let mut params = Params::<f64>::new();
    let layer = Linear::new(&mut params.scope("l"), 5, 4, normalised().without_bias(), &mut rng());
    let u = |params: &Params<f64>| params.get("l.parametrizations.weight.0._u").unwrap();
    let x: Var<f64> = Tensor::ones([1, 5]).into();
    let start = u(&params);
    for mode in [Mode::TrainFixed, Mode::Eval] {
        layer.forward(&Pass::frozen(&params, mode), &x);
        assert_eq!(u(&params), start, "{mode:?}");
    }
    let tape = Tape::new();
    let pass = Pass::new(&params, &tape, Mode::Train);
    let (first, once) = (layer.forward(&pass, &x), u(&params));
    assert_ne!(once, start);
    let second = layer.forward(&pass, &x);
    assert_eq!((u(&params), second.value()), (once.clone(), first.value()));
    assert_eq!(tape.names().iter().filter(|name| **name == "spectral_norm").count(), 1);
    // A frozen pass in training mode iterates as well: what changes state is the mode.
    layer.forward(&Pass::frozen(&params, Mode::Train), &x);
    assert_ne!(u(&params), once);
}

#[test]
fn spectral_norm_brings_every_kind_of_layer_to_one() {
    let mut params = Params::<f64>::new();
    let mut rng = rng();
    let o = Conv2dOptions::default().padding(1);
    let linear = Linear::new(&mut params.scope("l"), 5, 4, normalised(), &mut rng);
    let conv = Conv2d::new(&mut params.scope("c"), 2, 4, [3, 3], &o, normalised(), &mut rng);
    let up = ConvTranspose2d::new(&mut params.scope("t"), 2, 4, [3, 3], &o, normalised(), &mut rng);
    let table = Embedding::new(&mut params.scope("e"), 6, 3, normalised(), &mut rng);
    for _ in 0..300 {
        let pass = Pass::frozen(&params, Mode::Train);
        linear.forward(&pass, &Tensor::ones([1, 5]).into());
        conv.forward(&pass, &Tensor::ones([1, 2, 3, 3]).into());
        up.forward(&pass, &Tensor::ones([1, 2, 3, 3]).into());
        table.forward(&pass, &[0]);
    }
    for (name, axis) in [("l", 0), ("c", 0), ("t", 1), ("e", 0)] {
        let part = |part: &str| params.get(&format!("{name}.parametrizations.weight.{part}")).unwrap();
        let (w, u, v) = (part("original"), part("0._u"), part("0._v"));
        let mut axes: Vec<usize> = (0..w.rank()).collect();
        axes.swap(0, axis);
        let matrix = Var::from(w.permute(&axes).reshape([u.size(), v.size()]));
        let (u, v) = (Var::from(u.reshape([1, u.size()])), Var::from(v.reshape([v.size(), 1])));
        let sigma = u.matmul(&matrix).matmul(&v).item();
        // The fixed point of the iteration: Wᵀu = σv and Wv = σu.
        assert_close(u.matmul(&matrix).value(), &(v.t() * sigma).into_value(), 1e-6);
        assert_close(matrix.matmul(&v).value(), &(u.t() * sigma).into_value(), 1e-6);
    }
}

#[test]
fn layers_one_after_another() {
    let (mut params, mut rng) = (Params::<f64>::new(), rng());
    let o = Conv2dOptions::default();
    let net = Sequential::builder(&mut params.scope("net"))
        .layer(|scope| Conv2d::new(scope, 2, 3, [2, 2], &o, normalised(), &mut rng))
        .function(|x| x.leaky_relu(0.2))
        .layer(|scope| ConvTranspose2d::new(scope, 3, 2, [2, 2], &o, Init::PyTorch, &mut rng))
        .layer(|scope| BatchNorm::new(scope, 2, Init::PyTorch, &mut rng))
        .function(Var::relu)
        .layer(|scope| {
            Sequential::builder(scope)
                .function(|x| x.reshape([x.shape()[0], 32]))
                .layer(|scope| LayerNorm::new(scope, [32]))
                .layer(|scope| Linear::new(scope, 32, 1, Init::PyTorch, &mut rng))
                .build()
        })
        .build();
    let places: Vec<&str> = params.parameters().map(|(_, name, _)| name).collect();
    let expected = [
        "net.0.parametrizations.weight.original",
        "net.0.bias",
        "net.2.weight",
        "net.2.bias",
        "net.3.weight",
        "net.3.bias",
        "net.5.1.weight",
        "net.5.1.bias",
        "net.5.2.weight",
        "net.5.2.bias",
    ];
    assert_eq!(places, expected);

    // The same layers, made in the same order by the same draws, and called one by one.
    let (mut own, mut rng) = (Params::<f64>::new(), self::rng());
    let conv = Conv2d::new(&mut own.scope("c"), 2, 3, [2, 2], &o, normalised(), &mut rng);
    let up = ConvTranspose2d::new(&mut own.scope("t"), 3, 2, [2, 2], &o, Init::PyTorch, &mut rng);
    let norm = BatchNorm::new(&mut own.scope("b"), 2, Init::PyTorch, &mut rng);
    let layer_norm = LayerNorm::new(&mut own.scope("n"), [32]);
    let linear = Linear::new(&mut own.scope("l"), 32, 1, Init::PyTorch, &mut rng);
    let x: Var<f64> = rng.normal([5, 2, 4, 4]).into();
    let pass = Pass::frozen(&own, Mode::Train);
    let maps = norm.forward(&pass, &up.forward(&pass, &conv.forward(&pass, &x).leaky_relu(0.2))).relu();
    let y = linear.forward(&pass, &layer_norm.forward(&pass, &maps.reshape([5, 32])));
    let net: &dyn Layer<f64> = &net;
    assert_eq!(net.forward(&Pass::frozen(&params, Mode::Train), &x).value(), y.value());
}

#[test]
fn no_layers_change_nothing() {
    let mut params = Params::<f32>::new();
    let net = Sequential::builder(&mut params.scope("")).build();
    let x = Tensor::ones([2]).into();
    assert_eq!(net.forward(&Pass::frozen(&params, Mode::Eval), &x).value(), &Tensor::ones([2]));
}

/// Stores go from thread to thread, layers are shared.
#[test]
fn threads_sample_with_clones_of_a_store() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    let (mut params, mut rng) = (Params::<f32>::new(), rng());
    let net = Sequential::builder(&mut params.scope("g"))
        .layer(|scope| Linear::new(scope, 3, 4, normalised(), &mut rng))
        .layer(|scope| BatchNorm::new(scope, 4, Init::PyTorch, &mut rng))
        .function(Var::tanh)
        .build();
    is_send(&params);
    is_shared(&net);
    let sample = |params: &Params<f32>, seed: u64| {
        let z = Rng::seed(seed).normal([64, 3]).into();
        net.forward(&Pass::frozen(params, Mode::Eval), &z).into_value()
    };
    let expected: Vec<Tensor> = (0..4).map(|seed| sample(&params, seed)).collect();
    let weight = |params: &Params<f32>| params.parameters().next().expect("a parameter").2.data().as_ptr() as usize;
    let own = weight(&params);
    let found: Vec<Tensor> = std::thread::scope(|scope| {
        let start = |seed: u64| {
            let params = params.clone();
            scope.spawn(move || {
                assert_eq!(weight(&params), own, "a clone shares the memory");
                sample(&params, seed)
            })
        };
        let threads: Vec<_> = (0..4).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("a sample")).collect()
    });
    assert_eq!(found, expected);
}

#[test]
fn stores_and_layers_show_themselves() {
    let (mut params, mut rng) = (Params::<f32>::new(), rng());
    BatchNorm::new(&mut params.scope("b"), 2, Init::PyTorch, &mut rng);
    let expected =
        "Params {b.weight: (2), b.bias: (2), b.running_mean: (2), b.running_var: (2), b.num_batches_tracked: 0}";
    assert_eq!(format!("{params:?}"), expected);
    let net = Sequential::builder(&mut params.scope("s"))
        .layer(|scope| Linear::new(scope, 3, 2, normalised(), &mut rng))
        .function(Var::relu)
        .build();
    let expected = "Sequential {0: Linear { weight: (2, 3)/σ, bias: Some(ParamId(#8)) }, 1: function}";
    assert_eq!(format!("{net:?}"), expected);
}

/// This test calls itself, since what is said on standard error only another process can read.
#[test]
fn a_layer_that_panics_in_a_sequential_is_named() {
    const CHILD: &str = "WENGERT_TEST_PANICS";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", "nn::a_layer_that_panics_in_a_sequential_is_named", "--nocapture"]);
        let output = output.env(CHILD, "1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "this was layer 2 of a Sequential, Linear { weight: (2, 5), bias: Some(ParamId(#3)) }, with an \
                        input of shape (7, 4)\n";
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert!(said.contains("tests/engine/nn.rs:") && said.matches("this was layer").count() == 1, "{said}");
        return;
    }
    let (mut params, mut rng) = (Params::<f32>::new(), rng());
    let net = Sequential::builder(&mut params.scope("s"))
        .layer(|scope| Linear::new(scope, 3, 4, Init::PyTorch, &mut rng))
        .function(Var::relu)
        .layer(|scope| Linear::new(scope, 5, 2, Init::PyTorch, &mut rng))
        .build();
    net.forward(&Pass::frozen(&params, Mode::Eval), &rng.normal([7, 3]).into());
}

#[test]
fn norms_of_single_samples_are_the_operations() {
    let (mut params, mut rng) = (Params::<f64>::new(), rng());
    let net = Sequential::builder(&mut params.scope("s"))
        .layer(|scope| GroupNorm::new(scope, 2, 6).eps(1e-3))
        .layer(|scope| InstanceNorm::new(scope, 6).eps(1e-2))
        .layer(|_| InstanceNorm::without_affine(6))
        .build();
    assert_eq!(params.names().collect::<Vec<_>>(), ["s.0.weight", "s.0.bias", "s.1.weight", "s.1.bias"]);
    let [gamma, beta, other_gamma, other_beta] = ["s.0.weight", "s.0.bias", "s.1.weight", "s.1.bias"].map(|name| {
        params.set(name, rng.normal([6]));
        Var::from(params.get(name).unwrap())
    });
    let x: Var<f64> = rng.normal([3, 6, 4, 5]).into();
    let y = x.group_norm(2, &gamma, &beta, 1e-3).instance_norm(&other_gamma, &other_beta, 1e-2);
    let y = y.instance_norm(&Tensor::ones([6]).into(), &Tensor::zeros([6]).into(), 1e-5);
    for mode in [Mode::Train, Mode::TrainFixed, Mode::Eval] {
        assert_eq!(net.forward(&Pass::frozen(&params, mode), &x).value(), y.value());
    }
    assert_panics(|| _ = GroupNorm::new(&mut params.scope("g"), 4, 6), &["GroupNorm: 4 groups of 6 channels"]);
    assert_panics(|| _ = GroupNorm::new(&mut params.scope("h"), 0, 6), &["GroupNorm: 0 groups of 6 channels"]);
    assert_panics(|| _ = InstanceNorm::without_affine(6).eps(f64::NAN), &["InstanceNorm: expected an eps above 0"]);
}

#[test]
fn dropout_takes_its_noise_from_the_pass() {
    let (params, x) = (Params::<f64>::new(), Var::from(Tensor::ones([50])));
    let dropout = Dropout::new(0.3);
    let twice = |mode: Mode, seed: u64| {
        let pass = Pass::frozen(&params, mode).noise(Rng::seed(seed));
        [dropout.forward(&pass, &x), dropout.forward(&pass, &x)].map(|y| y.value().to_vec())
    };
    let [first, second] = twice(Mode::Train, 1);
    assert_ne!(first, second, "each call draws its own mask");
    assert_eq!(twice(Mode::TrainFixed, 1), [first.clone(), second], "the noise is the pass's, whatever its mode");
    assert_ne!(twice(Mode::Train, 2)[0], first);
    assert_eq!(first, x.dropout(0.3, &mut Rng::seed(1)).value().to_vec());
    assert_eq!(twice(Mode::Eval, 1), [x.value().to_vec(), x.value().to_vec()]);
    dropout.forward(&Pass::frozen(&params, Mode::Eval), &x); // no noise is needed
    let without = Pass::frozen(&params, Mode::Train);
    assert_panics(
        || _ = dropout.forward(&without, &x),
        &["Dropout: expected a pass with noise", "Rng::stream(seed, step)"],
    );
    assert_panics(|| _ = Dropout::new(1.5), &["Dropout: expected a probability in 0..=1, found 1.5"]);
}

#[test]
fn options_of_batch_norm_are_checked() {
    let norm = || BatchNorm::without_affine(&mut Params::<f32>::new().scope("b"), 2);
    assert_panics(|| _ = norm().eps(0.0), &["BatchNorm: expected an eps above 0, found 0"]);
    assert_panics(|| _ = norm().momentum(1.5), &["BatchNorm: expected a momentum in 0..=1, found 1.5"]);
}

#[test]
#[should_panic(expected = "Linear: input (5, 4), weight (2, 3): expected an input (N, 3)")]
fn a_wrong_input_is_named() {
    let mut params = Params::<f32>::new();
    let layer = Linear::new(&mut params.scope("l"), 3, 2, Init::PyTorch, &mut rng());
    layer.forward(&Pass::frozen(&params, Mode::Eval), &Tensor::ones([5, 4]).into());
}

#[test]
#[should_panic(expected = "expected more than one value per channel in training")]
fn a_batch_of_one_has_no_variance() {
    let mut params = Params::<f32>::new();
    let layer = BatchNorm::new(&mut params.scope("b"), 3, Init::PyTorch, &mut rng());
    layer.forward(&Pass::frozen(&params, Mode::Train), &Tensor::ones([1, 3]).into());
}

#[test]
#[should_panic(expected = "this layer was made in another store")]
fn a_layer_of_another_network_is_refused() {
    let (mut one, mut two) = (Params::<f32>::new(), Params::<f32>::new());
    let layer = Linear::new(&mut one.scope("l"), 3, 2, Init::PyTorch, &mut rng());
    Linear::new(&mut two.scope("l"), 3, 2, Init::PyTorch, &mut rng());
    layer.forward(&Pass::frozen(&two, Mode::Eval), &Tensor::ones([5, 3]).into());
}

#[test]
#[should_panic(expected = "there is a `l.weight` already")]
fn names_are_taken_once() {
    let mut params = Params::<f32>::new();
    Linear::new(&mut params.scope("l"), 3, 2, Init::PyTorch, &mut rng());
    Linear::new(&mut params.scope("l"), 3, 2, Init::PyTorch, &mut rng());
}

#[test]
#[should_panic(expected = "this pass is frozen")]
fn a_frozen_pass_has_no_gradients() {
    let params = Params::<f64>::new();
    let x = Tape::new().var(Tensor::scalar(1.0));
    let gradients = x.exp().backward();
    let _ = Pass::frozen(&params, Mode::Train).gradients(&gradients);
}

/// y = x·(g·V/‖V‖)ᵀ, row by row, and a convolution that begins as if there was no weight norm.
#[test]
fn weight_norm_gives_every_output_a_length() {
    let (mut params, rng) = (Params::<f64>::new(), &mut Rng::seed(0));
    let options = WeightOptions::new(Init::PyTorch).weight_norm().without_bias();
    let layer = Linear::new(&mut params.scope("l"), 2, 2, options, rng);
    let names = ["original0", "original1"].map(|name| format!("l.parametrizations.weight.{name}"));
    assert_eq!(params.names().collect::<Vec<_>>(), names);
    params.set(&names[0], Tensor::from_vec([2, 1], vec![2.0, 0.5]));
    params.set(&names[1], Tensor::from_vec([2, 2], vec![3.0, 4.0, 0.0, -2.0]));
    let x: Var<f64> = Tensor::from_vec([1, 2], vec![1.0, 10.0]).into();
    let y = layer.forward(&Pass::frozen(&params, Mode::Eval), &x);
    let expected = [2.0 * (0.6 + 8.0), -5.0];
    assert!(y.value().to_vec().iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-12), "{y:?}");
    // ⟨∂L/∂V, V⟩ = 0 for each output: its length is g alone.
    let tape = Tape::new();
    let pass = Pass::new(&params, &tape, Mode::Train);
    let loss = layer.forward(&pass, &x).powi(2).sum();
    let gradients = pass.gradients(&loss.backward());
    let of = |name: &str| gradients.get(params.id(name).unwrap()).unwrap().to_vec();
    let d = of(&names[1]);
    assert!((3.0 * d[0] + 4.0 * d[1]).abs() < 1e-12 && d[3].abs() < 1e-12 && d[2].abs() > 1.0, "{d:?}");
    assert!(of(&names[0]).iter().all(|g| g.abs() > 1.0));
    let conv = |options: WeightOptions| {
        let mut params = Params::<f64>::new();
        let conv =
            Conv2d::new(&mut params.scope(""), 3, 4, [3, 3], &Conv2dOptions::default(), options, &mut Rng::seed(1));
        let x = Rng::seed(2).normal([2, 3, 5, 5]).into();
        conv.forward(&Pass::frozen(&params, Mode::Train), &x).value().to_vec()
    };
    let (plain, held) = (conv(Init::PyTorch.into()), conv(WeightOptions::new(Init::PyTorch).weight_norm()));
    assert!(plain.iter().zip(&held).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
#[should_panic(expected = "state changes in Mode::Train only, this is Eval")]
fn buffers_change_in_training_only() {
    let mut params = Params::<f64>::new();
    let id = params.scope("").buffer("b", Tensor::zeros([1]));
    Pass::frozen(&params, Mode::Eval).set_buffer(id, Tensor::ones([1]));
}
