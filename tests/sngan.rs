//! Ten training steps of a spectrally normalised GAN against PyTorch: networks, passes, losses, optimisers, together.

#![cfg(feature = "safetensors")]

mod fixtures;

use fixtures::{Fixtures, assert_close};
use wengert::nn::{BatchNorm, Conv2d, ConvTranspose2d, Init, Linear, Mode, ParamGrads, Params, Pass, WeightOptions};
use wengert::ops::{Conv2dOptions, loss};
use wengert::optim::{Adam, Optimizer, RmsProp};
use wengert::{Archive, Element, Rng, Tape, Tensor, Var};

const WIDTH: [usize; 4] = [32, 16, 8, 4];
const STEPS: usize = 10;

/// Table 1 of the paper, narrow.
struct Generator {
    first: Linear,
    blocks: Vec<(ConvTranspose2d, BatchNorm)>,
    last: Conv2d,
}

impl Generator {
    fn new<T: Element>(params: &mut Params<T>, rng: &mut Rng) -> Generator {
        let (init, up) = (Init::PyTorch, Conv2dOptions::default().stride(2).padding(1));
        let block = |i: usize, params: &mut Params<T>, rng: &mut Rng| {
            let mut scope = params.scope(&format!("d.{i}"));
            let conv = ConvTranspose2d::new(&mut scope, WIDTH[i], WIDTH[i + 1], [4, 4], &up, init, rng);
            (conv, BatchNorm::new(&mut params.scope(&format!("b.{i}")), WIDTH[i + 1], init, rng))
        };
        let same = Conv2dOptions::default().padding(1);
        Generator {
            first: Linear::new(&mut params.scope("l"), 16, WIDTH[0] * 16, init, rng),
            blocks: (0..3).map(|i| block(i, params, rng)).collect(),
            last: Conv2d::new(&mut params.scope("o"), WIDTH[3], 3, [3, 3], &same, init, rng),
        }
    }

    fn forward<T: Element>(&self, pass: &Pass<T>, z: &Var<T>) -> Var<T> {
        let mut x = self.first.forward(pass, z).reshape([z.shape()[0], WIDTH[0], 4, 4]);
        for (conv, norm) in &self.blocks {
            x = norm.forward(pass, &conv.forward(pass, &x)).relu();
        }
        self.last.forward(pass, &x).tanh()
    }
}

/// Table 2 of the paper, narrow.
struct Discriminator {
    convs: Vec<Conv2d>,
    last: Linear,
}

impl Discriminator {
    fn new<T: Element>(params: &mut Params<T>, rng: &mut Rng) -> Discriminator {
        let weight = WeightOptions::new(Init::PyTorch).spectral_norm();
        let [d, c, b, a] = WIDTH;
        let plan = [(3, a, 3, 1), (a, a, 4, 2), (a, b, 3, 1), (b, b, 4, 2), (b, c, 3, 1), (c, c, 4, 2), (c, d, 3, 1)];
        let convs = plan.iter().enumerate().map(|(i, &(inputs, outputs, kernel, stride))| {
            let options = Conv2dOptions::default().stride(stride).padding(1);
            let mut scope = params.scope(&format!("c.{i}"));
            Conv2d::new(&mut scope, inputs, outputs, [kernel; 2], &options, weight, rng)
        });
        let convs = convs.collect();
        Discriminator { convs, last: Linear::new(&mut params.scope("f"), d * 16, 1, weight, rng) }
    }

    fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        let mut x = x.clone();
        for conv in &self.convs {
            x = conv.forward(pass, &x).leaky_relu(0.1);
        }
        self.last.forward(pass, &x.flatten())
    }
}

/// Loads what is in the file under a prefix, strictly.
fn restore<T: Element>(params: &mut Params<T>, file: &Fixtures, prefix: &str) {
    let mut archive = Archive::new();
    for name in file.names().iter().filter(|name| name.starts_with(prefix)) {
        let value: Tensor<T> = file.get(name);
        match name.ends_with("num_batches_tracked") {
            true => archive.set_count(name, value.item().f64() as u64),
            false => archive.set_tensor(name, &value),
        }
    }
    params.restore(&archive, prefix).unwrap();
}

/// Compares a network with the file. Biases in front of batch norm, and the means that they shift, are noise in f32.
fn compare<T: Element>(params: &Params<T>, file: &Fixtures, prefix: &str, tolerance: f64) {
    for name in params.names() {
        let key = format!("{prefix}{name}");
        let noise = (0..3).any(|i| name == format!("d.{i}.bias") || name == format!("b.{i}.running_mean"));
        match params.get(name) {
            Some(_) if noise && T::NAME == "f32" => {}
            Some(value) => assert_close(&key, &value, &file.get(&key), tolerance),
            None => assert_eq!(params.count(name), Some(file.get::<T>(&key).item().f64() as u64), "{key}"),
        }
    }
}

fn compare_gradients<T: Element>(params: &Params<T>, grads: &ParamGrads<T>, file: &Fixtures, prefix: &str) {
    if T::NAME == "f64" {
        for (id, name, _) in params.parameters() {
            let key = format!("{prefix}{name}");
            let found = grads.get(id).unwrap_or_else(|| panic!("{key}: no gradient"));
            // The gradients of the biases in front of batch norm are zero but for rounding.
            let noise = prefix.ends_with("g/") && name.starts_with("d.") && name.ends_with("bias");
            match noise {
                true => assert!(found.to_vec().iter().all(|g| g.f64().abs() < 1e-12), "{key}"),
                false => assert_close(&key, found, &file.get(&key), 1e-10),
            }
        }
    }
}

/// One run of the file: the losses of the hinge kind or the standard ones, and an optimiser for each network.
fn follow<T: Element>(run: &str, hinge: bool, mut optimisers: [Box<dyn Optimizer<T>>; 2], tolerance: f64) {
    let file = Fixtures::open("sngan");
    let (mut rng, mut g, mut d) = (Rng::seed(0), Params::<T>::new(), Params::<T>::new());
    let (generator, discriminator) = (Generator::new(&mut g, &mut rng), Discriminator::new(&mut d, &mut rng));
    restore(&mut g, &file, "init/g/");
    restore(&mut d, &file, "init/d/");
    let [of_g, of_d] = &mut optimisers;
    let check = |what: &str, step: usize, found: &Var<T>| {
        let expected: Tensor<T> = file.row(&format!("{run}/{what}"), step);
        assert_close(&format!("{run} {what} step {step}"), found.value(), &expected, tolerance);
    };
    for step in 0..STEPS {
        let real = Var::from(file.row::<T>("real", step)) * (1.0 / 128.0) - 1.0;
        let (z_d, z_g) = (Var::from(file.row("z_d", step)), Var::from(file.row("z_g", step)));

        let tape = Tape::new();
        let pass = Pass::new(&d, &tape, Mode::Train);
        let fake = generator.forward(&Pass::frozen(&g, Mode::Train), &z_d);
        let (on_real, on_fake) = (discriminator.forward(&pass, &real), discriminator.forward(&pass, &fake));
        let of = if hinge { loss::hinge_discriminator } else { loss::gan_discriminator };
        let loss_d = of(&on_real, &on_fake);
        check("loss_d", step, &loss_d);
        check("logits_real", step, &on_real);
        check("logits_fake", step, &on_fake);
        let grads = pass.gradients(&loss_d.backward());
        if step == 0 {
            compare_gradients(&d, &grads, &file, &format!("{run}/grad/d/"));
        }
        of_d.step(&mut d, &grads);

        let tape = Tape::new();
        let pass = Pass::new(&g, &tape, Mode::Train);
        let fake = generator.forward(&pass, &z_g);
        let on_fake = discriminator.forward(&Pass::frozen(&d, Mode::TrainFixed), &fake);
        let of = if hinge { loss::hinge_generator } else { loss::gan_generator };
        let loss_g = of(&on_fake);
        check("loss_g", step, &loss_g);
        check("logits_g", step, &on_fake);
        let grads = pass.gradients(&loss_g.backward());
        if step == 0 {
            compare_gradients(&g, &grads, &file, &format!("{run}/grad/g/"));
        }
        of_g.step(&mut g, &grads);
    }
    compare(&g, &file, &format!("{run}/final/g/"), tolerance);
    compare(&d, &file, &format!("{run}/final/d/"), tolerance);
}

fn adam<T: Element>() -> Box<dyn Optimizer<T>> {
    Box::new(Adam::new(2e-4).betas(0.5, 0.999))
}

fn rms_prop<T: Element>() -> Box<dyn Optimizer<T>> {
    Box::new(RmsProp::new(5e-5))
}

#[test]
fn hinge_and_adam() {
    follow::<f64>("adam_f64", true, [adam(), adam()], 1e-9);
    follow::<f32>("adam_f32", true, [adam(), adam()], 1e-4);
}

#[test]
fn standard_loss_and_rms_prop() {
    follow::<f64>("rmsprop_f64", false, [rms_prop(), rms_prop()], 1e-9);
    follow::<f32>("rmsprop_f32", false, [rms_prop(), rms_prop()], 1e-4);
}

/// The witness bites: PyTorch's run is not that of another optimiser.
#[test]
#[should_panic(expected = "adam_f64 loss_g step 0")]
fn another_optimiser_is_seen() {
    follow::<f64>("adam_f64", true, [adam(), rms_prop()], 1e-9);
}
