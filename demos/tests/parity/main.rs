//! Ten SNGAN steps against PyTorch's: the program's own training step with Adam, and its nets with Adam and RMSProp;
//! two steps of residual nets for images of each size; and ten steps of other methods ([`methods`]).
//!
//! `tests/fixtures/README.md` says what is in sngan.safetensors and the files of residual nets. All runs start from the
//! same weights, images and noise, and every number that PyTorch wrote is compared: losses, logits, σ of every layer,
//! the gradients of the first step, and what parameters, u, v and running statistics are after the last.
//! `-- --nocapture` prints the largest differences.

#[path = "../../../tests/pytorch/fixture.rs"]
mod fixture;
mod methods;

use fixture::{Fixture, Worst};
use wengert::nn::{Mode, ParamGrads, Params, Pass};
use wengert::ops::loss;
use wengert::optim::{Adam, Optimizer, RmsProp};
use wengert::{Element, Rng, Tape, Tensor, Var};
use wengert_demos::config::{Config, Loss, Net};
use wengert_demos::data::ImageShape;
use wengert_demos::models::{self, Network};
use wengert_demos::train::Trainer;

/// What is allowed, relative to max(1, the largest value). In f32, rounding is 1e-6 of what it meets; a loss adds up
/// what happened to all weights, while a single weight moves by lr = 2e-4 a step, and a running variance of 0.1 by
/// less, so that 1e-4 would pass a wrong formula.
fn tolerance<T: Element>(group: &str) -> f64 {
    match (T::NAME, group) {
        ("f64", _) => 1e-9,
        (_, "losses" | "logits") => 1e-4,
        _ => 1e-5,
    }
}

/// What f32 cannot compare: a bias in front of batch norm, which subtracts it again, so that its true gradient is 0.
/// What rounding makes of that is about as large as eps, and Adam and RMSProp, which divide the gradient by its own
/// size, turn it into steps of up to lr in a direction that means nothing. The running means take the bias along.
/// Nothing else notices, and in f64 the effect is 1e-12.
fn is_noise<T: Element>(place: &str) -> bool {
    let is_bias = ["g/d.0.bias", "g/d.1.bias", "g/d.2.bias"].contains(&place);
    T::NAME == "f32" && (is_bias || place.ends_with(".running_mean"))
}

/// A generator and a discriminator that make training steps.
trait Nets<T: Element> {
    /// The stores of the generator and the discriminator.
    fn stores(&mut self) -> [&mut Params<T>; 2];
    /// The loss, and what else the step shows: names of the file, with the values for this step.
    fn discriminator_step(&mut self, real: &Tensor<T>, z: &Tensor<T>) -> (f64, Shown<T>);
    /// As [`discriminator_step`](Nets::discriminator_step).
    fn generator_step(&mut self, z: &Tensor<T>) -> (f64, Shown<T>);
}

/// Logits, and gradients by the places of their parameters (`g/l.weight`).
#[derive(Default)]
struct Shown<T: Element> {
    logits: Vec<(&'static str, Tensor<T>)>,
    gradients: Vec<(String, Tensor<T>)>,
}

/// The program itself.
impl<T: Element> Nets<T> for Trainer<T> {
    fn stores(&mut self) -> [&mut Params<T>; 2] {
        [&mut self.generator_params, &mut self.discriminator_params]
    }

    fn discriminator_step(&mut self, real: &Tensor<T>, z: &Tensor<T>) -> (f64, Shown<T>) {
        (Trainer::discriminator_step(self, real, z), Shown::default())
    }

    fn generator_step(&mut self, z: &Tensor<T>) -> (f64, Shown<T>) {
        (Trainer::generator_step(self, z), Shown::default())
    }
}

/// The program's nets, trained as the file describes it: real and generated images one after the other, not in one
/// batch.
struct ByHand<T: Element> {
    generator: Network<T>,
    discriminator: Network<T>,
    stores: [Params<T>; 2],
    optimisers: [Box<dyn Optimizer<T>>; 2],
    loss: Loss,
}

impl<T: Element> ByHand<T> {
    fn new(config: &Config, image: ImageShape, optimiser: impl Fn() -> Box<dyn Optimizer<T>>) -> ByHand<T> {
        let mut stores = [Params::new(), Params::new()];
        let rng = &mut Rng::seed(1);
        let generator = Network::new(models::generator(config, image, 0), &mut stores[0], rng);
        let discriminator = Network::new(models::discriminator(config, image, 0), &mut stores[1], rng);
        ByHand { generator, discriminator, stores, optimisers: [optimiser(), optimiser()], loss: config.loss }
    }
}

/// All gradients by place; every parameter must have one.
fn named<T: Element>(net: &str, params: &Params<T>, gradients: &ParamGrads<T>) -> Vec<(String, Tensor<T>)> {
    let of = |id, name: &str| gradients.get(id).unwrap_or_else(|| panic!("{net}/{name} has no gradient")).clone();
    params.parameters().map(|(id, name, _)| (format!("{net}/{name}"), of(id, name))).collect()
}

impl<T: Element> Nets<T> for ByHand<T> {
    fn stores(&mut self) -> [&mut Params<T>; 2] {
        self.stores.each_mut()
    }

    fn discriminator_step(&mut self, real: &Tensor<T>, z: &Tensor<T>) -> (f64, Shown<T>) {
        let fake = self.generator.forward(&Pass::frozen(&self.stores[0], Mode::Train), &z.into(), None);
        let tape = Tape::new();
        let pass = Pass::new(&self.stores[1], &tape, Mode::Train);
        let on_real = self.discriminator.forward(&pass, &real.into(), None);
        let on_fake = self.discriminator.forward(&pass, &fake, None);
        let loss = match self.loss {
            Loss::Hinge => loss::hinge_discriminator(&on_real, &on_fake),
            Loss::Standard => loss::gan_discriminator(&on_real, &on_fake),
            other => unreachable!("`config` makes no {other:?}"),
        };
        let gradients = pass.gradients(&loss.backward());
        let shown = Shown {
            logits: vec![("logits_real", on_real.into_value()), ("logits_fake", on_fake.into_value())],
            gradients: named("d", &self.stores[1], &gradients),
        };
        self.optimisers[1].step(&mut self.stores[1], &gradients);
        (loss.item().f64(), shown)
    }

    fn generator_step(&mut self, z: &Tensor<T>) -> (f64, Shown<T>) {
        let tape = Tape::new();
        let pass = Pass::new(&self.stores[0], &tape, Mode::Train);
        let frozen = Pass::frozen(&self.stores[1], Mode::TrainFixed);
        let logits = self.discriminator.forward(&frozen, &self.generator.forward(&pass, &z.into(), None), None);
        let loss = match self.loss {
            Loss::Hinge => loss::hinge_generator(&logits),
            Loss::Standard => loss::gan_generator(&logits),
            other => unreachable!("`config` makes no {other:?}"),
        };
        let gradients = pass.gradients(&loss.backward());
        let gradients_shown = named("g", &self.stores[0], &gradients);
        self.optimisers[0].step(&mut self.stores[0], &gradients);
        let shown = Shown { logits: vec![("logits_g", logits.into_value())], gradients: gradients_shown };
        (loss.item().f64(), shown)
    }
}

fn open(file: &str) -> Fixture {
    Fixture::open(concat!(env!("CARGO_MANIFEST_DIR"), "/.."), file)
}

/// How many steps are in the file.
fn steps(fixture: &Fixture) -> usize {
    fixture.options("net")["steps"].as_u64().expect("a count") as usize
}

/// The size of the file's images.
fn image(fixture: &Fixture) -> ImageShape {
    match **fixture.part::<f64>("real", 0).shape() {
        [_, channels, height, width] => ImageShape { channels, height, width },
        ref other => panic!("a step's images have the shape {other:?}"),
    }
}

/// The configuration of a run, from the file.
fn config(fixture: &Fixture, run: &str) -> Config {
    let (net, options) = (fixture.options("net"), fixture.options(run));
    let count = |name: &str| net[name].as_u64().expect("a count") as usize;
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    // The channels of the generator's first maps at the paper's width.
    let (kind, channels) = match (net["net"].as_str(), image(fixture).height) {
        (Some("resnet"), 32) => (Net::Resnet, 256.0),
        (Some("resnet"), 48) => (Net::Resnet, 512.0),
        (Some("resnet"), 64) => (Net::Resnet, 1024.0),
        (None, _) => (Net::Standard, 512.0),
        other => panic!("the test does not know the nets {other:?}"),
    };
    assert!(kind == Net::Resnet || number(&net["slope"]) == 0.1);
    let betas = &options["betas"];
    Config {
        net: kind,
        width: number(&net["width"][0]) / channels,
        z_dim: count("z_dim"),
        batch: count("batch"),
        n_dis: options["n_dis"].as_u64().expect("a count") as usize,
        loss: match options["loss"].as_str() {
            Some("hinge") => Loss::Hinge,
            Some("standard") => Loss::Standard,
            other => panic!("the test does not know the loss {other:?}"),
        },
        lr: number(&options["lr"]),
        betas: if betas.is_null() { Config::DEFAULT.betas } else { Some([number(&betas[0]), number(&betas[1])]) },
        ..Config::DEFAULT
    }
}

/// Sets both nets to the start of the file, which must have all that they have, and nothing else.
fn start<T: Element>(fixture: &Fixture, nets: &mut impl Nets<T>) {
    for (net, params) in ["g", "d"].iter().zip(nets.stores()) {
        let prefix = format!("init/{net}/");
        let mut own: Vec<String> = params.names().map(String::from).collect();
        own.sort();
        assert_eq!(own, fixture.names(&prefix).collect::<Vec<_>>(), "names of {net}: ours, and PyTorch's");
        for name in own {
            let value: Tensor<T> = fixture.tensor(&format!("{prefix}{name}"));
            match params.count(&name) {
                Some(count) => assert_eq!(count as f64, value.item().f64(), "{net}/{name}"),
                None => params.set(&name, value),
            }
        }
    }
}

/// σ of every layer: that of the weights `of`, with u and v of `params`.
fn sigmas<T: Element>(fixture: &Fixture, of: &Params<T>, params: &Params<T>) -> Tensor<T> {
    let layers = fixture.options("net")["layers"].as_array().expect("names");
    let sigma = |layer: &serde_json::Value| {
        let name = |part: &str| format!("{}.parametrizations.weight.{part}", layer.as_str().expect("a name"));
        let get = |from: &Params<T>, part: &str| from.get(&name(part)).unwrap_or_else(|| panic!("no {}", name(part)));
        Var::from(get(of, "original")).spectral_sigma(&get(params, "0._u"), &get(params, "0._v"), 0).item()
    };
    Tensor::from_vec([layers.len()], layers.iter().map(sigma).collect())
}

/// The steps of a file, everything compared that the nets show.
fn replay<T: Element>(fixture: &Fixture, run: &str, nets: &mut impl Nets<T>) -> Worst {
    start(fixture, nets);
    let mut worst = Worst::default();
    let mut compare = |group: &str, what: &str, found: &Tensor<T>, expected: Tensor<f64>| {
        worst.compare(group, &format!("{run}: {what}"), found, &expected, tolerance::<T>(group));
    };
    for i in 0..steps(fixture) {
        let row = |name: &str| fixture.part::<f64>(&format!("{run}/{name}"), i);
        let bytes: Tensor<f64> = fixture.part("real", i);
        let real = Var::from(bytes).affine(1.0 / 128.0, -1.0).into_value().cast().channels_last();

        let before = nets.stores()[1].clone();
        let (loss_d, shown_d) = nets.discriminator_step(&real, &fixture.part("z_d", i));
        // The step uses the weights from before with the u and v that its power iteration leaves, and the generator's
        // step the same u and v with the new weights.
        let after = &*nets.stores()[1];
        let (sigma_d, sigma_g) = (sigmas(fixture, &before, after), sigmas(fixture, after, after));
        let (loss_g, shown_g) = nets.generator_step(&fixture.part("z_g", i));

        for (name, found) in [("loss_d", loss_d), ("loss_g", loss_g)] {
            compare("losses", &format!("{name} of step {}", i + 1), &Tensor::scalar(found), row(name));
        }
        for (name, found) in [("sigma_d", sigma_d), ("sigma_g", sigma_g)] {
            compare("sigma", &format!("{name} of step {}", i + 1), &found, row(name));
        }
        for (name, found) in shown_d.logits.iter().chain(&shown_g.logits) {
            compare("logits", &format!("{name} of step {}", i + 1), found, row(name));
        }
        // The file has the gradients of the first step, in f64 only.
        for (place, found) in shown_d.gradients.iter().chain(&shown_g.gradients).filter(|_| i == 0 && T::NAME == "f64")
        {
            compare("gradients", place, found, fixture.tensor(&format!("{run}/grad/{place}")));
        }
    }
    for (net, params) in ["g", "d"].iter().zip(nets.stores()) {
        for name in params.names() {
            let (place, expected) = (format!("{net}/{name}"), format!("{run}/final/{net}/{name}"));
            match params.get(name) {
                None => assert_eq!(params.count(name).map(|n| n as f64), Some(fixture.values(&expected)[0]), "{place}"),
                Some(_) if is_noise::<T>(&place) => {}
                Some(found) => {
                    let is_state =
                        [".0._u", ".0._v", ".running_mean", ".running_var"].iter().any(|s| name.ends_with(s));
                    compare(if is_state { "state" } else { "parameters" }, &place, &found, fixture.tensor(&expected));
                }
            }
        }
    }
    worst
}

fn by_trainer<T: Element>(file: &str, run: &str) {
    let fixture = open(file);
    let config = config(&fixture, run);
    let worst = replay(&fixture, run, &mut Trainer::<T>::new(&config, image(&fixture)));
    worst.report(&format!("{file}, {run}, Trainer"));
}

fn by_hand<T: Element>(file: &str, run: &str) {
    let fixture = open(file);
    let config = config(&fixture, run);
    let options = fixture.options(run);
    let option = |name: &str| options[name].as_f64().unwrap_or_else(|| panic!("{run}: {name} is no number"));
    let beta = |i: usize| config.betas.expect("Adam has them")[i];
    let optimiser = || -> Box<dyn Optimizer<T>> {
        match options["optimiser"].as_str() {
            Some("Adam") => Box::new(Adam::new(config.lr).betas(beta(0), beta(1)).eps(option("eps"))),
            Some("RMSprop") => Box::new(RmsProp::new(config.lr).alpha(option("alpha")).eps(option("eps"))),
            other => panic!("{run}: the test does not know the optimiser {other:?}"),
        }
    };
    let worst = replay(&fixture, run, &mut ByHand::new(&config, image(&fixture), optimiser));
    let noise = |name: &str| name.strip_prefix("final/").is_some_and(is_noise::<T>);
    let own = |name: &&str| name.strip_prefix(run).is_some_and(|rest| !noise(&rest[1..]));
    let unread: Vec<&str> = fixture.unread().into_iter().filter(own).collect();
    assert!(unread.is_empty(), "tensors that no comparison used: {unread:?}");
    worst.report(&format!("{file}, {run}"));
}

#[test]
fn the_trainer_with_adam_in_f64() {
    by_trainer::<f64>("sngan", "adam_f64");
}

#[test]
fn the_trainer_with_adam_in_f32() {
    by_trainer::<f32>("sngan", "adam_f32");
}

#[test]
fn the_nets_with_adam_in_f64() {
    by_hand::<f64>("sngan", "adam_f64");
}

#[test]
fn the_nets_with_adam_in_f32() {
    by_hand::<f32>("sngan", "adam_f32");
}

#[test]
fn the_nets_with_rmsprop_in_f64() {
    by_hand::<f64>("sngan", "rmsprop_f64");
}

#[test]
fn the_nets_with_rmsprop_in_f32() {
    by_hand::<f32>("sngan", "rmsprop_f32");
}

#[test]
fn the_residual_nets_for_32_pixels_in_f64() {
    by_trainer::<f64>("resnet", "adam_f64");
    by_hand::<f64>("resnet", "adam_f64");
}

#[test]
fn the_residual_nets_for_48_pixels_in_f64() {
    by_trainer::<f64>("resnet_48", "adam_f64");
    by_hand::<f64>("resnet_48", "adam_f64");
}

#[test]
fn the_residual_nets_for_64_pixels_in_f64() {
    by_trainer::<f64>("resnet_64", "adam_f64");
    by_hand::<f64>("resnet_64", "adam_f64");
}

/// The witness bites: PyTorch's run is not that of another optimiser.
#[test]
#[should_panic(expected = "adam_f64: loss_g of step 1")]
fn another_optimiser_is_seen() {
    let fixture = open("sngan");
    let config = config(&fixture, "adam_f64");
    let optimiser = || -> Box<dyn Optimizer<f64>> { Box::new(RmsProp::new(config.lr)) };
    replay(&fixture, "adam_f64", &mut ByHand::new(&config, image(&fixture), optimiser));
}
