//! Ten steps of WGAN, spectral norm regularisation and SAGAN, with and without classes, by the program's own trainer in
//! f64 with the quick defaults of its recipes, against PyTorch's: methods.safetensors.

use wengert::{Tensor, Var};
use wengert_demos::config::{Config, Method};
use wengert_demos::data::ImageShape;
use wengert_demos::train::{Batch, Trainer};

use super::fixture::{Fixture, Worst};
use super::{image, open, tolerance};

const CLASSES: usize = 10;

/// The recipe of the run's method, at the width of the file.
fn config(fixture: &Fixture, run: &str) -> Config {
    let options = fixture.options(run);
    let count = |name: &str| options[name].as_u64().expect("a count") as usize;
    let method: Method = serde_json::from_value(options["method"].clone()).expect("a method");
    Config {
        width: options["width"].as_f64().expect("a number"),
        z_dim: count("z_dim"),
        batch: count("batch"),
        n_dis: count("n_dis"),
        warm_up: false,
        conditional: options["conditional"].as_bool().unwrap_or_default(),
        ..Config::recipe(method)
    }
}

/// A trainer at the start of the run: the file has every number of both nets, and no other.
fn start(fixture: &Fixture, run: &str, config: &Config, image: ImageShape) -> Trainer<f64> {
    let mut trainer = Trainer::<f64>::with_classes(config, image, CLASSES);
    for (net, params) in [("g", &mut trainer.generator_params), ("d", &mut trainer.discriminator_params)] {
        let prefix = format!("{run}/init/{net}/");
        let mut own: Vec<String> = params.names().map(String::from).collect();
        own.sort();
        assert_eq!(own, fixture.names(&prefix).collect::<Vec<_>>(), "names of {net}: ours, and PyTorch's");
        for name in own {
            match params.count(&name) {
                Some(count) => assert_eq!(count as f64, fixture.values(&format!("{prefix}{name}"))[0], "{net}/{name}"),
                None => params.set(&name, fixture.tensor(&format!("{prefix}{name}"))),
            }
        }
    }
    trainer
}

/// The steps of a run, with what is made of its configuration first; losses and final state compared.
fn replay(run: &str, change: impl FnOnce(Config) -> Config) {
    let (fixture, shared) = (open("methods"), open("sngan"));
    let config = change(config(&fixture, run));
    let mut trainer = start(&fixture, run, &config, image(&shared));
    let mut worst = Worst::default();
    let labels = |kind: &str, step: usize| -> Option<Vec<usize>> {
        let (shape, all) = fixture.indices(&format!("labels_{kind}"));
        config.conditional.then(|| all[step * shape[1]..][..shape[1]].to_vec())
    };
    for step in 0..fixture.options(run)["steps"].as_u64().expect("a count") as usize {
        let bytes: Tensor<f64> = shared.part("real", step);
        let images = Var::from(bytes).affine(1.0 / 128.0, -1.0).into_value().channels_last();
        let real = Batch { values: images, labels: labels("real", step) };
        let noise = |name: &str, kind: &str| Batch { values: shared.part(name, step), labels: labels(kind, step) };
        let loss_d = trainer.discriminator_step(real, noise("z_d", "d"));
        let loss_g = trainer.generator_step(noise("z_g", "g"));
        for (name, found) in [("loss_d", loss_d), ("loss_g", loss_g)] {
            let what = format!("{run}: {name} of step {}", step + 1);
            let expected = fixture.part(&format!("{run}/{name}"), step);
            worst.compare("losses", &what, &Tensor::<f64>::scalar(found), &expected, tolerance::<f64>("losses"));
        }
    }
    for (net, params) in [("g", &trainer.generator_params), ("d", &trainer.discriminator_params)] {
        for name in params.names() {
            let (what, place) = (format!("{run}: {net}/{name}"), format!("{run}/final/{net}/{name}"));
            match params.get(name) {
                Some(found) => {
                    let expected = fixture.tensor(&place);
                    worst.compare("state", &what, &found, &expected, tolerance::<f64>("state"));
                }
                None => assert_eq!(params.count(name).map(|n| n as f64), Some(fixture.values(&place)[0]), "{what}"),
            }
        }
    }
    let own = |name: &&str| name.strip_prefix(run).is_some_and(|rest| rest.starts_with('/'));
    let unread: Vec<&str> = fixture.unread().into_iter().filter(own).collect();
    assert!(unread.is_empty(), "tensors that no comparison used: {unread:?}");
    worst.report(&format!("methods, {run}"));
}

#[test]
fn wgan_with_batch_norm_rmsprop_and_clipping() {
    replay("wgan", |config| config);
}

#[test]
fn spectral_norm_regularisation() {
    replay("sn_reg", |config| config);
}

#[test]
fn sagan() {
    replay("sagan", |config| config);
}

#[test]
fn sagan_with_classes() {
    replay("sagan_conditional", |config| config);
}

/// The witness bites: another bound of the critic's parameters is seen.
#[test]
#[should_panic(expected = "wgan: loss_")]
fn another_bound_is_seen() {
    replay("wgan", |config| Config { clip: Some(0.011), ..config });
}

/// The price on σ is seen.
#[test]
#[should_panic(expected = "sn_reg: loss_d of step 1")]
fn another_price_is_seen() {
    replay("sn_reg", |config| Config { sn_lambda: Some(0.0101), ..config });
}
