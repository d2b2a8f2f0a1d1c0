//! Every method's training step, with nets as small as they get.

mod curves;
#[cfg(feature = "opencl")]
mod device;

use wengert::nn::{Mode, Params, Pass};
use wengert::{Archive, Rng, Tape, Tensor};
use wengert_demos::config::{Config, InitialWeights, Loss, Method, Net, Norm};
use wengert_demos::data::ImageShape;
use wengert_demos::train::sigma::SigmaPenalty;
use wengert_demos::train::{Batch, Trainer};

/// The images of the tests of single configurations.
const IMAGE: ImageShape = ImageShape { channels: 1, height: 16, width: 16 };
const CLASSES: usize = 3;

fn tiny(method: Method) -> Config {
    Config { width: 0.05, batch: 4, z_dim: 6, warm_up: false, ..Config::recipe(method) }
}

/// Residual nets, of which the smallest are for images of 32×32.
///
/// At a small rate: batch norm takes away the biases of the generator's blocks, so that they move by rounding alone,
/// which Adam makes steps of full length of; and shortcuts pass their sum on to the last running mean. Single precision
/// on two devices could not be compared at the rates of the recipes.
fn residual(method: Method) -> Config {
    Config { net: Net::Resnet, size: Some(32), width: 0.02, lr: 1e-5, ..tiny(method) }
}

/// The images that a configuration asks for.
fn image(config: &Config) -> ImageShape {
    config.size.map_or(IMAGE, |side| ImageShape { height: side, width: side, ..IMAGE })
}

/// Every method by its recipe, and what can be asked for besides.
fn all() -> Vec<(&'static str, Config)> {
    let ema = Some(0.9);
    vec![
        ("gan", tiny(Method::Gan)),
        ("gan, saturating, DCGAN", {
            Config { loss: Loss::Saturating, net: Net::Dcgan, norm: Norm::Batch, ..tiny(Method::Gan) }
        }),
        ("wgan", tiny(Method::Wgan)),
        ("wgan-gp", tiny(Method::WganGp)),
        ("wgan-gp, standard nets, average", Config { net: Net::Standard, ema, ..tiny(Method::WganGp) }),
        ("sngan", tiny(Method::Sngan)),
        ("sngan, DCGAN, average", Config { net: Net::Dcgan, n_dis: 2, ema, ..tiny(Method::Sngan) }),
        ("sn-reg", tiny(Method::SnReg)),
        ("sn-reg, batch norm", Config { norm: Norm::Batch, ..tiny(Method::SnReg) }),
        ("sagan", tiny(Method::Sagan)),
        ("gan, conditional, batch norm", Config { conditional: true, norm: Norm::Batch, ..tiny(Method::Gan) }),
        ("gan, weight norm", Config { norm: Norm::Weight, ..tiny(Method::Gan) }),
        ("wgan-gp, weight norm", Config { norm: Norm::Weight, ..tiny(Method::WganGp) }),
        ("wgan, conditional", Config { conditional: true, ..tiny(Method::Wgan) }),
        ("wgan-gp, conditional", Config { conditional: true, ..tiny(Method::WganGp) }),
        ("sngan, conditional", Config { conditional: true, ..tiny(Method::Sngan) }),
        ("sn-reg, conditional", Config { conditional: true, ..tiny(Method::SnReg) }),
        ("sngan, the paper's weights, decay", {
            let (init, lr_decay) = (InitialWeights::Paper, Some(0.0));
            Config { init, lr_decay, steps: 20, loss: Loss::Standard, ..tiny(Method::Sngan) }
        }),
        ("wgan-gp, residual nets", residual(Method::WganGp)),
        ("sngan, residual nets, average", Config { ema, ..residual(Method::Sngan) }),
        ("sagan, residual nets, conditional", Config { conditional: true, ..residual(Method::Sagan) }),
        ("sagan, conditional, average", Config { conditional: true, ema, ..tiny(Method::Sagan) }),
    ]
}

fn trainer(config: &Config) -> Trainer<f32> {
    config.check().unwrap();
    Trainer::with_classes(config, image(config), CLASSES)
}

/// Images of noise, a function of the number of the batch.
fn images(image: ImageShape, n: u64) -> Batch {
    let mut rng = Rng::stream(99, n);
    let labels = (0..4).map(|_| rng.below(CLASSES)).collect();
    let shape = [4, image.channels, image.height, image.width];
    Batch { values: rng.uniform::<f32>(shape, -1.0, 1.0).channels_last(), labels: Some(labels) }
}

fn real(n: u64) -> Batch {
    images(IMAGE, n)
}

fn saved(trainer: &Trainer<f32>) -> Archive {
    let file = tempfile::NamedTempFile::new().unwrap();
    trainer.archive().unwrap().save(file.path()).unwrap();
    Archive::load(file.path()).unwrap()
}

/// The names under which two archives hold different bits.
fn differences(one: &Archive, other: &Archive) -> Vec<String> {
    let bits = |archive: &Archive, name: &str| {
        let file = safetensors::SafeTensors::deserialize(&archive.to_bytes())
            .map(|f| f.tensor(name).map(|t| t.data().to_vec()));
        file.unwrap().ok()
    };
    let names: std::collections::BTreeSet<&str> = one.names("").chain(other.names("")).collect();
    names.into_iter().filter(|name| bits(one, name) != bits(other, name)).map(String::from).collect()
}

fn steps(trainer: &mut Trainer<f32>, n: usize) {
    let image = trainer.image_shape();
    for _ in 0..n {
        trainer.train_step(|n| images(image, n));
    }
}

fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn interrupted_and_resumed_is_uninterrupted_to_the_bit_at_any_number_of_threads() {
    for (name, config) in all() {
        let whole = on_threads(1, || {
            let mut trainer = trainer(&config);
            steps(&mut trainer, 4);
            (saved(&trainer), trainer.sample(3, 5))
        });
        let resumed = on_threads(3, || {
            let mut first = trainer(&config);
            steps(&mut first, 2);
            let file = tempfile::NamedTempFile::new().unwrap();
            first.archive().unwrap().save(file.path()).unwrap();
            let mut second = Trainer::<f32>::load(&config, file.path()).unwrap();
            steps(&mut second, 2);
            (saved(&second), second.sample(3, 5))
        });
        assert!(whole.0 == resumed.0, "{name}: the state differs in {:?}", differences(&whole.0, &resumed.0));
        assert!(whole.1 == resumed.1, "{name}: the samples");
        assert!(whole.1.iter().all(|x| x.is_finite()), "{name}");
        assert!(whole.0 != saved(&trainer(&config)), "{name}: four steps change something");
    }
}

/// Every parameter of both nets gets a gradient that is not zero: what a step leaves alone would not be trained. But
/// f(x) − f(G(z)), which the hinge loss is too while no value is beyond ±1, does not depend on the last bias of the
/// discriminator, and the slope of f does not either.
///
/// Where nothing normalises the standard nets, the biases of the last convolution stay as well, unless there is a
/// projection on the class: presumably what comes in has become so small beside them that no unit changes sides
/// between two images.
#[test]
fn a_step_moves_every_parameter() {
    for (name, config) in all() {
        let mut trainer = trainer(&config);
        let mut excused = Vec::new();
        if [Loss::Wasserstein, Loss::Hinge].contains(&config.loss) {
            excused.push("f.bias");
            if config.net == Net::Standard && config.norm == Norm::None && !config.conditional {
                excused.push("c.6.bias");
            }
        }
        // γ = 0 of the attention hides what is behind it in the first step.
        let before = [trainer.generator_params.clone(), trainer.discriminator_params.clone()];
        steps(&mut trainer, 8);
        let after = [&trainer.generator_params, &trainer.discriminator_params];
        let excused = [vec![], excused];
        for (net, (old, new)) in before.iter().zip(after).enumerate() {
            for (_, parameter, value) in old.parameters() {
                let moved = new.get(parameter).unwrap() != *value;
                assert!(moved || excused[net].contains(&parameter), "{name}: {parameter} of net {net} did not move");
            }
        }
    }
}

#[test]
fn the_warm_up_trains_the_critic_a_hundred_times_at_first_and_now_and_then() {
    let config = Config { warm_up: true, ..tiny(Method::Wgan) };
    let in_step = |step: u64| config.discriminator_updates(step + 1) - config.discriminator_updates(step);
    for step in 0..2100 {
        let expected = if step < 25 || step % 500 == 0 { 100 } else { 5 };
        assert_eq!(in_step(step), expected, "step {step}");
    }
    let mut trainer = trainer(&config);
    let mut asked = Vec::new();
    for _ in 0..2 {
        trainer.train_step(|n| {
            asked.push(n);
            real(n)
        });
    }
    assert!(asked.into_iter().eq(0..200), "each update has its own batch");
    assert_eq!(tiny(Method::WganGp).discriminator_updates(30), 150);
}

fn largest(params: &Params<f32>) -> f32 {
    params.parameters().flat_map(|(_, _, value)| value.to_vec()).fold(0.0, |most, x| most.max(x.abs()))
}

#[test]
fn clipping_holds_every_parameter_of_the_critic_and_none_of_the_generator() {
    let mut trainer = trainer(&tiny(Method::Wgan));
    assert!(largest(&trainer.discriminator_params) > 0.9, "γ of batch norm begins near 1");
    trainer.train_step(real);
    assert_eq!(largest(&trainer.discriminator_params), 0.01);
    assert!(largest(&trainer.generator_params) > 0.9);
}

/// The first step of Adam moves each weight by its learning rate, whatever the gradient.
#[test]
fn the_two_time_scales() {
    let mut trainer = trainer(&Config { n_dis: 1, ..tiny(Method::Sagan) });
    let before = [trainer.generator_params.clone(), trainer.discriminator_params.clone()];
    trainer.train_step(real);
    for ((old, new), lr) in
        before.iter().zip([&trainer.generator_params, &trainer.discriminator_params]).zip([1e-4, 4e-4])
    {
        let moves = old.parameters().map(|(_, name, value)| {
            let pairs = value.to_vec().into_iter().zip(new.get(name).unwrap().to_vec());
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        });
        let most = f64::from(moves.fold(0.0, f32::max));
        assert!((most - lr).abs() < 0.01 * lr, "moved by {most}, learning rate {lr}");
    }
}

#[test]
fn the_critics_estimate_is_its_negated_loss_without_the_penalty() {
    for method in [Method::Wgan, Method::WganGp] {
        let config = Config { n_dis: 1, ..tiny(method) };
        let mut trainer = trainer(&config);
        let losses = trainer.train_step(real);
        let estimate = losses.estimate.unwrap();
        let penalty = losses.discriminator + estimate;
        match method {
            // The gradient of a critic whose weights are near 0 is, too: (0 − 1)².
            Method::WganGp => assert!((penalty - 10.0).abs() < 0.1, "{losses:?}"),
            _ => assert_eq!(penalty, 0.0),
        }
    }
    assert_eq!(trainer(&tiny(Method::Sngan)).train_step(real).estimate, None);
}

/// A critic that is trained alone learns to tell real from generated: its estimate of the distance becomes positive and
/// grows, with the right sign.
#[test]
fn a_trained_critics_estimate_is_positive() {
    for method in [Method::Wgan, Method::WganGp] {
        let config = Config { n_dis: 100, lr: 1e-3, ..tiny(method) };
        let bright = |_| Tensor::<f32>::full([4, 1, 16, 16], 0.8);
        // Clipping comes with the first update, so what the critic says before it has another scale.
        let first = trainer(&Config { n_dis: 3, ..config.clone() }).train_step(bright).estimate.unwrap();
        let trained = trainer(&config).train_step(bright).estimate.unwrap();
        assert!(trained > 2.0 * first.abs(), "{method:?}: {first} after 2 updates, {trained} after 99");
    }
}

/// Half the sum of σ² after some steps, measured by many power iterations.
fn spectrum(config: &Config) -> f32 {
    let mut trainer = trainer(config);
    steps(&mut trainer, 30);
    let mut params = Params::new();
    for (_, name, value) in trainer.discriminator_params.parameters() {
        params.scope("").parameter(name, value.clone());
    }
    let penalty = SigmaPenalty::new(&mut params, &mut Rng::seed(0));
    for _ in 0..100 {
        penalty.forward(&Pass::frozen(&params, Mode::Train));
    }
    penalty.forward(&Pass::frozen(&params, Mode::Eval)).item()
}

#[test]
fn the_price_on_sigma_lowers_it() {
    let priced = Config { lr: 1e-2, ..tiny(Method::SnReg) };
    let free = Config { lr: 1e-2, loss: priced.loss, ..tiny(Method::Gan) };
    let (free, priced) = (spectrum(&free), spectrum(&priced));
    assert!(priced < 0.8 * free, "½ Σ σ² is {free} without a price, {priced} with it");
}

#[test]
fn a_moving_average_draws_the_samples() {
    let plain = tiny(Method::Sngan);
    let averaged = Config { ema: Some(0.999), ..plain.clone() };
    let none = Config { ema: Some(0.0), ..plain.clone() };
    let sample = |config: &Config| {
        let mut trainer = trainer(config);
        steps(&mut trainer, 3);
        let statistics = |params: &Params<f32>| params.get("b.0.running_var").unwrap();
        assert_eq!(statistics(trainer.sampling_params()), statistics(&trainer.generator_params), "copied");
        trainer.sample(2, 1)
    };
    assert!(sample(&plain) == sample(&none), "an average that forgets all is the net itself");
    assert!(sample(&plain) != sample(&averaged));
}

#[test]
fn conditional_nets_see_the_classes() {
    let mut trainer = trainer(&Config { lr: 0.01, ..all().pop().unwrap().1 });
    assert_eq!(trainer.classes(), Some(CLASSES));
    // All classes begin with γ = 1 and β = 0.
    assert!(trainer.sample_classes(2, 1, |_| 0) == trainer.sample_classes(2, 1, |_| 1));
    steps(&mut trainer, 6);
    let of = |class: usize| trainer.sample_classes(2, 1, |_| class);
    assert!(of(0) != of(1) && of(1) != of(2));
    let (turns, n) = (trainer.sample(3, 1), IMAGE.numel());
    for class in 0..3 {
        let alone = trainer.sample_classes(3, 1, |_| class);
        assert!(turns[class * n..][..n] == alone[class * n..][..n], "class {class} in its turn");
    }
    let pass = Pass::frozen(&trainer.discriminator_params, Mode::Eval);
    let images = (&real(0).values).into();
    let logits = |class: usize| trainer.discriminator().forward(&pass, &images, Some(&[class; 4])).value().to_vec();
    assert_ne!(logits(0), logits(1));
}

/// What the projection adds: ⟨e_y, Σ_positions h⟩ with the normalised embedding; so two classes differ by
/// ⟨e_a − e_b, Σ h⟩, and the generator's image of one class is judged by that class.
#[test]
fn each_image_is_judged_by_its_own_class() {
    let trainer = trainer(&all().pop().unwrap().1);
    let pass = Pass::frozen(&trainer.discriminator_params, Mode::Eval);
    let images = (&real(0).values).into();
    let judge = |labels: [usize; 4]| trainer.discriminator().forward(&pass, &images, Some(&labels)).value().to_vec();
    let (mixed, zeros, twos) = (judge([0, 2, 2, 0]), judge([0; 4]), judge([2; 4]));
    assert_eq!(mixed, [zeros[0], twos[1], twos[2], zeros[3]]);
}

/// Every method's conditional nets: after some steps the images, and what the discriminator makes of them, depend on
/// the class.
#[test]
fn every_method_learns_classes() {
    for (name, config) in all().into_iter().filter(|(_, config)| config.conditional) {
        let mut trainer = trainer(&Config { lr: 0.01, ..config });
        let vectors = ["y.weight", "y.parametrizations.weight.original"];
        let has_vectors = vectors.iter().any(|name| trainer.discriminator_params.get(name).is_some());
        let has_gammas = trainer.generator_params.names().any(|name| name.ends_with("b.1.gamma.weight"));
        assert!(has_vectors && has_gammas, "{name}");
        steps(&mut trainer, 6);
        let of = |class: usize| trainer.sample_classes(2, 1, |_| class);
        assert!(of(0) != of(1) && of(1) != of(2), "{name}");
        let pass = Pass::frozen(&trainer.discriminator_params, Mode::Eval);
        let images = (&images(trainer.image_shape(), 0).values).into();
        let logits = |class| trainer.discriminator().forward(&pass, &images, Some(&[class; 4])).value().to_vec();
        assert_ne!(logits(0), logits(1), "{name}");
    }
}

/// The points of the gradient penalty are judged by the class of both images that they lie between.
#[test]
fn the_penalty_is_of_one_class() {
    let trainer = trainer(&Config { conditional: true, ..tiny(Method::WganGp) });
    let (batch, z) = (real(0), Rng::seed(1).normal::<f32>([4, 6]));
    let labelled = |labels: [usize; 4]| Batch { values: z.clone(), labels: Some(labels.to_vec()) };
    let loss = |labels| trainer.discriminator_gradients(&batch, &labelled(labels)).0;
    assert_eq!(loss([0, 1, 2, 0]), loss([2, 2, 1, 1]), "generated images take the classes of the real ones");
}

#[test]
fn a_run_that_follows_rare_classes_goes_on_to_the_same_bits() {
    let config = Config { conditional: true, n_dis: 1, ..tiny(Method::Sngan) };
    let counts = Some(vec![900, 90, 10]);
    let mut whole = trainer(&config);
    whole.follow_classes(counts.clone());
    steps(&mut whole, 3);
    let mut first = trainer(&config);
    first.follow_classes(counts);
    steps(&mut first, 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    first.archive().unwrap().save(file.path()).unwrap();
    let mut second = Trainer::<f32>::load(&config, file.path()).unwrap();
    steps(&mut second, 2);
    assert!(saved(&whole) == saved(&second), "{:?}", differences(&saved(&whole), &saved(&second)));
    let mut uniform = trainer(&config);
    steps(&mut uniform, 3);
    let names = differences(&saved(&whole), &saved(&uniform));
    assert!(names.iter().any(|name| name == "generator.l.weight"), "the classes matter: {names:?}");
}

/// A moving average of weights has the u and v of the weights themselves: the average of two unit vectors is none.
#[test]
fn u_and_v_are_copied_and_never_averaged() {
    let mut trainer = trainer(&Config { ema: Some(0.9), lr: 0.05, ..tiny(Method::Sagan) });
    steps(&mut trainer, 4);
    let (live, average) = (&trainer.generator_params, trainer.sampling_params());
    let mut vectors = 0;
    for name in live.names().filter(|name| name.ends_with("_u") || name.ends_with("_v")) {
        vectors += 1;
        assert!(live.get(name) == average.get(name), "{name}");
    }
    assert_eq!(vectors, 18, "two for each of nine weights");
    let weight = "d.1.parametrizations.weight.original";
    assert!(live.get(weight) != average.get(weight), "the weights are averaged");
}

/// How far the weights move in a step follows the learning rate down to 0.
#[test]
fn learning_rates_fall_to_zero_at_the_last_step() {
    let config = Config { lr_decay: Some(0.5), steps: 4, ..tiny(Method::Sngan) };
    let (mut constant, mut falling) = (trainer(&Config { lr_decay: None, ..config.clone() }), trainer(&config));
    steps(&mut constant, 3);
    steps(&mut falling, 3);
    let file = saved(&falling);
    let same = differences(&saved(&constant), &file).is_empty();
    assert!(same, "the first half is that of the whole rate, and its end begins with it");
    let moved = |trainer: &mut Trainer<f32>| {
        let before = trainer.generator_params.get("l.weight").unwrap().to_vec();
        steps(trainer, 1);
        let after = trainer.generator_params.get("l.weight").unwrap().to_vec();
        before.iter().zip(after).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    let ratio = moved(&mut falling) / moved(&mut constant);
    assert!((ratio - 0.5).abs() < 0.01, "{ratio}: the last of two falling steps has half the rate");
}

/// The generator's u moves whenever it makes images in training: n_dis + 1 times a step, as in the official code.
#[test]
fn the_generators_power_iteration_runs_in_every_pass_in_training() {
    let mut trainer = trainer(&Config { n_dis: 1, ..tiny(Method::Sagan) });
    let u = |trainer: &Trainer<f32>| trainer.generator_params.get("d.1.parametrizations.weight.0._u").unwrap();
    let before = u(&trainer);
    trainer.discriminator_step(&real(0).values, Rng::seed(1).normal([4, 6]));
    let between = u(&trainer);
    trainer.generator_step(Rng::seed(2).normal([4, 6]));
    assert!(before != between && between != u(&trainer));
    let last = u(&trainer);
    trainer.sample(2, 0);
    assert!(u(&trainer) == last, "but not in sampling");
}

#[test]
fn one_power_iteration_for_each_update_of_the_discriminator() {
    for method in [Method::Sngan, Method::Sagan] {
        let config = Config { n_dis: 3, ..tiny(method) };
        let mut trainer = trainer(&config);
        let u = |trainer: &Trainer<f32>| trainer.discriminator_params.get("c.3.parametrizations.weight.0._u").unwrap();
        let mut seen = vec![u(&trainer)];
        for n in 0..3 {
            let z: Tensor = Rng::stream(1, n).normal([4, 6]);
            trainer.discriminator_step(&real(n).values, &z);
            assert!(!seen.contains(&u(&trainer)), "{method:?}");
            seen.push(u(&trainer));
        }
        trainer.generator_step(Rng::seed(7).normal([4, 6]));
        trainer.sample(2, 0);
        assert!(u(&trainer) == seen[3], "{method:?}: neither the generator's step nor sampling moves u");
    }
}

/// With batch norm in the discriminator, real and generated images are normalised each by themselves.
#[test]
fn batch_norm_sees_real_and_generated_images_apart() {
    let mut trainer = trainer(&Config { n_dis: 1, ..tiny(Method::Wgan) });
    trainer.discriminator_step(&real(0).values, Rng::seed(1).normal([4, 6]));
    assert_eq!(trainer.discriminator_params.count("b.1.num_batches_tracked"), Some(2));
    trainer.generator_step(Rng::seed(2).normal([4, 6]));
    assert_eq!(trainer.discriminator_params.count("b.1.num_batches_tracked"), Some(2), "the generator's step is fixed");
}

/// The losses of the four objectives, from the logits themselves.
#[test]
fn the_losses_are_those_of_their_names() {
    let softplus = |x: f64| (1.0 + x.exp()).ln();
    for loss in [Loss::Hinge, Loss::Standard, Loss::Saturating, Loss::Wasserstein] {
        let method = if loss == Loss::Wasserstein { Method::WganGp } else { Method::Gan };
        let net = Net::Standard;
        let config = Config { loss, net, n_dis: 1, gp_lambda: None, norm: Norm::None, ..tiny(method) };
        let mut trainer = Trainer::<f64>::new(&config, IMAGE);
        let (x, z): (Tensor<f64>, Tensor<f64>) = (Rng::seed(3).normal([4, 1, 16, 16]), Rng::seed(4).normal([4, 6]));
        let logits = |trainer: &Trainer<f64>, x: &wengert::Var<f64>| {
            let pass = Pass::frozen(&trainer.discriminator_params, Mode::TrainFixed);
            trainer.discriminator().forward(&pass, x, None).value().to_vec()
        };
        let generated = |trainer: &Trainer<f64>| {
            let pass = Pass::frozen(&trainer.generator_params, Mode::TrainFixed);
            trainer.generator().forward(&pass, &(&z).into(), None)
        };
        let (on_real, on_fake) = (logits(&trainer, &(&x).into()), logits(&trainer, &generated(&trainer)));
        let mean = |values: &[f64], f: &dyn Fn(f64) -> f64| values.iter().map(|&x| f(x)).sum::<f64>() / 4.0;
        let d = match loss {
            Loss::Hinge => mean(&on_real, &|x| (1.0 - x).max(0.0)) + mean(&on_fake, &|x| (1.0 + x).max(0.0)),
            Loss::Wasserstein => mean(&on_fake, &|x| x) - mean(&on_real, &|x| x),
            _ => mean(&on_real, &|x| softplus(-x)) + mean(&on_fake, &softplus),
        };
        assert!((trainer.discriminator_step(&x, &z) - d).abs() < 1e-12, "{loss:?}");
        let on_fake = logits(&trainer, &generated(&trainer));
        let g = match loss {
            Loss::Hinge | Loss::Wasserstein => -mean(&on_fake, &|x| x),
            Loss::Standard => mean(&on_fake, &|x| softplus(-x)),
            Loss::Saturating => -mean(&on_fake, &softplus),
        };
        assert!((trainer.generator_step(&z) - g).abs() < 1e-12, "{loss:?}");
    }
}

/// The attention map of either net: each position's looks sum to 1.
#[test]
fn the_nets_of_sagan_give_their_attention_maps() {
    let trainer = trainer(&tiny(Method::Sagan));
    let pass = Pass::frozen(&trainer.generator_params, Mode::Eval);
    let z = Rng::seed(1).normal::<f32>([2, 6]).into();
    let (images, map) = trainer.generator().forward_with_attention(&pass, &z, None);
    let map = map.expect("attention");
    assert_eq!((&**images.shape(), &**map.shape()), (&[2, 1, 16, 16][..], &[2, 64, 16][..]));
    let sums = map.sum_axes([2], false);
    assert!(sums.value().to_vec().iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    let tape = Tape::new();
    let pass = Pass::new(&trainer.discriminator_params, &tape, Mode::TrainFixed);
    let (_, map) = trainer.discriminator().forward_with_attention(&pass, &images, None);
    assert_eq!(**map.expect("attention").shape(), [2, 64, 16]);
}
