//! The training step, the same for every method: n_dis updates of the discriminator, then one of the generator.
//!
//! What differs is the configuration: the loss, the nets and their norms, the optimisers, and what holds the
//! discriminator: clipping, the [gradient penalty](penalty), the [penalty on σ](sigma), or the layers themselves.

mod batch;
mod checkpoint;
mod memory;
pub mod penalty;
mod sampling;
mod search;
pub mod sigma;

use std::collections::BTreeMap;

use wengert::nn::{Mode, ParamGrads, Params, Pass};
use wengert::ops::loss;
use wengert::optim::{Adam, Ema, Optimizer, RmsProp, clip_weights};
use wengert::{Device, DeviceError, Element, Rng, Tensor, Var};

pub use batch::{Batch, augment};
pub use checkpoint::Loaded;
pub use memory::{Need, check_memory};

use crate::config::{Config, Hold, Loss, Norm, OptimizerName};
use crate::data::ImageShape;
use crate::gammas::gains;
use crate::losses::{Losses, Outputs};
use crate::models::{self, Network};
use batch::Stream;
use search::Search;
use sigma::SigmaPenalty;

/// Images are sampled in parts of so many, so that memory does not grow with their number.
pub const SAMPLES_AT_ONCE: usize = 64;

/// A generator and a discriminator in training.
///
/// What a step does depends on the configuration, the weights and the number of the step alone: the noise of update n
/// is drawn from stream n of the seed, so a run that stops and goes on computes the same bits as one that never
/// stopped.
pub struct Trainer<T: Element = f32> {
    config: Config,
    image: ImageShape,
    /// How many classes the nets know; 0 if they are not conditional.
    classes: usize,
    generator: Network<T>,
    /// The generator's parameters and running statistics.
    pub generator_params: Params<T>,
    /// The moving average of the generator, if asked for.
    ema: Option<Ema<T>>,
    discriminator: Network<T>,
    /// The discriminator's parameters, u and v.
    pub discriminator_params: Params<T>,
    /// Spectral norm regularisation, if that is the method.
    sigma: Option<SigmaPenalty>,
    generator_optimizer: Box<dyn Optimizer<T>>,
    discriminator_optimizer: Box<dyn Optimizer<T>>,
    step: u64,
    /// Updates of the discriminator so far.
    updates: u64,
    /// Where nets and optimisers live.
    device: Device,
    /// The images that training learns from, in a line, so that a run does not go on with others in silence.
    pub data: Option<String>,
    /// How many images of each class the set has, which generated images follow; `None` if all are equally likely.
    class_counts: Option<Vec<u64>>,
    /// Looks on while a step is computed once more; see [`search_step`](Trainer::search_step).
    search: Option<Search>,
    /// The gains of self-attention after the last step.
    gains: BTreeMap<String, f64>,
}

/// What an update of the discriminator measured, before it changed anything: numbers that may still be on their way, as
/// all steps of training are until somebody reads one.
struct DiscriminatorLoss<T: Element> {
    /// What was minimised.
    loss: Tensor<T>,
    /// Wasserstein: mean f(G(z)) − mean f(x), without any penalty; its negative estimates the distance.
    critic: Option<Tensor<T>>,
    /// The means of the discriminator's values on real and on generated images.
    outputs: [Tensor<T>; 2],
}

impl<T: Element> DiscriminatorLoss<T> {
    /// All of it; of each update as many.
    fn scalars(&self) -> impl Iterator<Item = &Tensor<T>> {
        [&self.loss].into_iter().chain(&self.outputs).chain(&self.critic)
    }
}

impl Loss {
    /// What the discriminator minimises, of its values on real and on generated images.
    fn of_discriminator<T: Element>(self, real: &Var<T>, fake: &Var<T>) -> Var<T> {
        match self {
            Loss::Hinge => loss::hinge_discriminator(real, fake),
            Loss::Standard | Loss::Saturating => loss::gan_discriminator(real, fake),
            Loss::Wasserstein => loss::wasserstein_critic(real, fake),
        }
    }

    /// What the generator minimises, of the discriminator's values on generated images.
    fn of_generator<T: Element>(self, fake: &Var<T>) -> Var<T> {
        match self {
            Loss::Hinge => loss::hinge_generator(fake),
            Loss::Standard => loss::gan_generator(fake),
            Loss::Saturating => loss::gan_generator_saturating(fake),
            Loss::Wasserstein => loss::wasserstein_generator(fake),
        }
    }
}

fn optimizer<T: Element>(config: &Config, lr: f64) -> Box<dyn Optimizer<T>> {
    match (config.optimizer, config.betas) {
        (OptimizerName::Rmsprop, _) => Box::new(RmsProp::new(lr)),
        (OptimizerName::Adam, None) => Box::new(Adam::new(lr)),
        (OptimizerName::Adam, Some([beta1, beta2])) => Box::new(Adam::new(lr).betas(beta1, beta2)),
    }
}

impl<T: Element> Trainer<T> {
    /// Nets with fresh weights for images of this size, that know no classes.
    ///
    /// # Panics
    /// If the configuration is conditional: see [`with_classes`](Trainer::with_classes).
    pub fn new(config: &Config, image: ImageShape) -> Trainer<T> {
        assert!(!config.conditional, "Trainer::new: conditional nets need the number of classes");
        Trainer::with_classes(config, image, 0)
    }

    /// Nets with fresh weights for images of this size, and of so many classes, which only conditional nets look at.
    ///
    /// # Panics
    /// If the configuration is conditional, and there are no classes.
    pub fn with_classes(config: &Config, image: ImageShape, classes: usize) -> Trainer<T> {
        let classes = if config.conditional { classes } else { 0 };
        assert!(!config.conditional || classes > 0, "Trainer: conditional nets need classes");
        let mut rng = Rng::stream(config.seed, Stream::Weights.number());
        let (mut g, mut d) = (Params::new(), Params::new());
        let generator = Network::new(models::generator(config, image, classes), &mut g, &mut rng);
        let discriminator = Network::new(models::discriminator(config, image, classes), &mut d, &mut rng);
        let regularised = matches!(config.hold(), Hold::SigmaPenalty(_));
        let sigma = regularised.then(|| SigmaPenalty::new(&mut d, &mut rng));
        Trainer {
            config: config.clone(),
            image,
            classes,
            generator,
            ema: config.ema.map(|decay| Ema::new(&g, decay)),
            generator_params: g,
            discriminator,
            discriminator_params: d,
            sigma,
            generator_optimizer: optimizer(config, config.lr),
            discriminator_optimizer: optimizer(config, config.discriminator_lr()),
            step: 0,
            updates: 0,
            device: Device::host(),
            data: None,
            class_counts: None,
            search: None,
            gains: BTreeMap::new(),
        }
    }

    /// Moves nets and optimisers to a device, where all that follows is computed, or to the host. On an error, some may
    /// have moved.
    ///
    /// # Errors
    /// If the device cannot hold `T`, has no memory left, or fails.
    pub fn to(&mut self, device: &Device) -> Result<(), DeviceError> {
        self.generator_params.to(device)?;
        self.discriminator_params.to(device)?;
        if let Some(ema) = &mut self.ema {
            ema.params_mut().to(device)?;
        }
        self.generator_optimizer.to(device)?;
        self.discriminator_optimizer.to(device)?;
        self.device = device.clone();
        Ok(())
    }

    /// Where nets and optimisers live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Generator updates made so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The size of the images.
    pub fn image_shape(&self) -> ImageShape {
        self.image
    }

    /// The parameters of both nets, by name.
    pub fn nets(&self) -> [(&'static str, &Params<T>); 2] {
        [("discriminator", &self.discriminator_params), ("generator", &self.generator_params)]
    }

    /// The gains of self-attention as the last [`train_step`](Trainer::train_step) has left them, by net and name; none
    /// before the first.
    pub fn gains(&self) -> &BTreeMap<String, f64> {
        &self.gains
    }

    /// How many classes the nets know; `None` if they are not conditional.
    pub fn classes(&self) -> Option<usize> {
        self.config.conditional.then_some(self.classes)
    }

    /// The first weight or running statistic, by net and name, that is not finite, if there is one: a step can spoil
    /// them after it has measured its losses.
    pub fn not_finite(&self) -> Option<String> {
        self.beyond(f64::MAX)
    }

    /// The first weight or running statistic, by net and name, with a number that is NaN or above `limit`.
    fn beyond(&self, limit: f64) -> Option<String> {
        let average = self.ema.as_ref().map(|ema| ("generator_ema", ema.params()));
        self.nets().into_iter().chain(average).find_map(|(net, params)| {
            let broken = |name: &&str| params.get(name).is_some_and(|value| !is_within(&value, limit));
            params.names().find(broken).map(|name| format!("{net}.{name}"))
        })
    }

    /// One step: the updates of the discriminator that the configuration asks for at this step, then one of the
    /// generator. `real` gives the batch of update n since the start of training, images (N, C, M, M), with their
    /// labels for conditional nets.
    ///
    /// What it measures is read when all has been started, so that the host waits for a device once in a step. The loss
    /// of the discriminator is that of its last update, or, if one is not finite, of the first such: what came after it
    /// only spread it.
    pub fn train_step<B: Into<Batch<T>>>(&mut self, mut real: impl FnMut(u64) -> B) -> Losses {
        let factor = self.config.lr_factor(self.step);
        self.generator_optimizer.set_lr(factor * self.config.lr);
        self.discriminator_optimizer.set_lr(factor * self.config.discriminator_lr());
        let mut updates = Vec::new();
        while self.updates < self.config.discriminator_updates(self.step + 1) {
            let z = self.noise(Stream::DiscriminatorNoise(self.updates));
            updates.push(self.update_discriminator(&real(self.updates).into(), &z));
        }
        let z = self.noise(Stream::GeneratorNoise(self.step));
        let generator = self.update_generator(&z);
        self.step += 1;
        self.read(&updates, generator)
    }

    /// Reads what a step measured, and the gains of attention.
    fn read(&mut self, updates: &[DiscriminatorLoss<T>], generator: Tensor<T>) -> Losses {
        let gains: Vec<(String, Tensor<T>)> = gains(&self.nets()).collect();
        let of_updates = updates.iter().flat_map(DiscriminatorLoss::scalars);
        let numbers = read_together(of_updates.chain([&generator]).chain(gains.iter().map(|(_, gain)| gain)));
        let (rest, values) = numbers.split_at(numbers.len() - gains.len());
        self.gains = gains.into_iter().map(|(name, _)| name).zip(values.iter().copied()).collect();
        let (&generator, rest) = rest.split_last().expect("the generator's loss");
        let updates: Vec<&[f64]> = rest.chunks_exact(rest.len() / updates.len()).collect();
        let shown = updates.iter().find(|update| !update[0].is_finite()).or(updates.last()).expect("an update");
        let &[discriminator, real, generated, ..] = *shown else { panic!("read: {} numbers", shown.len()) };
        let (estimate, outputs) = (shown.get(3).map(|critic| -critic), Some(Outputs { real, generated }));
        Losses { step: self.step, discriminator, generator, estimate, outputs }
    }

    /// Updates the discriminator on real images (N, C, M, M) and as many generated from noise (N, z); its loss before.
    ///
    /// Both halves go through the same W/σ, after one power iteration of the discriminator. The generator is in
    /// training mode, its weights constants: its running statistics move, and so do its u and v where it has spectral
    /// norm, as in every pass in training; no gradient reaches it.
    ///
    /// # Panics
    /// If conditional nets get no labels.
    pub fn discriminator_step(&mut self, real: impl Into<Batch<T>>, z: impl Into<Batch<T>>) -> f64 {
        self.update_discriminator(&real.into(), &z.into()).loss.item().f64()
    }

    fn update_discriminator(&mut self, real: &Batch<T>, z: &Batch<T>) -> DiscriminatorLoss<T> {
        let (loss, gradients) = self.discriminator_loss(real, z);
        self.discriminator_optimizer.step(&mut self.discriminator_params, &gradients);
        self.look_at_weights("the discriminator's update");
        if let Hold::Clip(clip) = self.config.hold() {
            clip_weights(&mut self.discriminator_params, clip);
        }
        self.updates += 1;
        loss
    }

    /// The discriminator's loss and its gradients, as [`discriminator_step`](Trainer::discriminator_step) takes them.
    /// No weight changes; u, v and running statistics do.
    ///
    /// # Panics
    /// If conditional nets get no labels.
    pub fn discriminator_gradients(&self, real: &Batch<T>, z: &Batch<T>) -> (f64, ParamGrads<T>) {
        let (loss, gradients) = self.discriminator_loss(real, z);
        (loss.loss.item().f64(), gradients)
    }

    fn discriminator_loss(&self, real: &Batch<T>, z: &Batch<T>) -> (DiscriminatorLoss<T>, ParamGrads<T>) {
        let (real, z) = (&real.on(&self.device), &mut z.on(&self.device));
        if let Hold::GradientPenalty(_) = self.config.hold() {
            // A point between two images is of one class if both are of it.
            z.labels.clone_from(&real.labels);
        }
        let fake = Batch { values: self.made_for_discriminator(z), labels: z.labels.clone() };
        let tape = self.tape("the discriminator's update");
        let pass = Pass::new(&self.discriminator_params, &tape, Mode::Train);
        let (on_real, on_fake) = self.values_of(&pass, real, &fake);
        let mut loss = self.config.loss.of_discriminator(&on_real, &on_fake);
        let critic = (self.config.loss == Loss::Wasserstein).then(|| loss.value().clone());
        match (self.config.hold(), &self.sigma) {
            (Hold::GradientPenalty(lambda), _) => {
                let epsilon = self.stream(Stream::Mixing(self.updates)).uniform([real.len(), 1, 1, 1], 0.0, 1.0);
                let between = tape.var(penalty::mixed(&real.values, &fake.values, &epsilon));
                let critic = |x: &Var<T>| self.discriminator.forward(&pass, x, real.labels());
                loss += lambda * penalty::gradient_penalty(critic, &between);
            }
            (Hold::SigmaPenalty(lambda), Some(sigma)) => loss += lambda * sigma.forward(&pass),
            _ => {}
        }
        let gradients = pass.gradients(&loss.backward());
        self.look_at_tape();
        // Constants, so that nothing more is recorded.
        let outputs = [&on_real, &on_fake].map(|values| Var::from(values.value().clone()).mean().into_value());
        (DiscriminatorLoss { loss: loss.into_value(), critic, outputs }, gradients)
    }

    /// Images that the discriminator learns to tell from real ones: the generator's weights are constants.
    fn made_for_discriminator(&self, z: &Batch<T>) -> Tensor<T> {
        // On a tape only if a search is to see it; the values are the same.
        let tape = self.search.is_some().then(|| self.tape("the generator's images for the discriminator"));
        let pass = match &tape {
            Some(tape) => Pass::new(&self.generator_params, tape, Mode::Train),
            None => Pass::frozen(&self.generator_params, Mode::Train),
        };
        let images = self.generator.forward(&pass, &z.var(), z.labels()).into_value();
        self.look_at_tape();
        images
    }

    /// The discriminator's values, (N, 1), of real and of generated images.
    fn values_of(&self, pass: &Pass<T>, real: &Batch<T>, fake: &Batch<T>) -> (Var<T>, Var<T>) {
        if self.config.norm == Norm::Batch {
            // Real and generated images are normalised each by their own statistics.
            let on = |batch: &Batch<T>| self.discriminator.forward(pass, &batch.var(), batch.labels());
            return (on(real), on(fake));
        }
        // Without batch norm no image sees another, so one joint batch is the same as two, and shares the work on
        // weights: at full width 9 % less time, for 115 MB more (notes/performance.md).
        let joint = Var::concat(&[&real.var(), &fake.var()], 0);
        let labels: Option<Vec<usize>> = real.labels().zip(fake.labels()).map(|(real, fake)| [real, fake].concat());
        let values = self.discriminator.forward(pass, &joint, labels.as_deref());
        (values.slice(0, 0..real.len()), values.slice(0, real.len()..real.len() + fake.len()))
    }

    /// Updates the generator on images from noise (N, z); its loss before.
    ///
    /// The discriminator is frozen: σ = uᵀWv of the stored u, v and the current W, no gradient of its weights.
    ///
    /// # Panics
    /// If conditional nets get no labels.
    pub fn generator_step(&mut self, z: impl Into<Batch<T>>) -> f64 {
        self.update_generator(&z.into()).item().f64()
    }

    fn update_generator(&mut self, z: &Batch<T>) -> Tensor<T> {
        let (loss, gradients) = self.generator_loss(z);
        self.generator_optimizer.step(&mut self.generator_params, &gradients);
        self.look_at_weights("the generator's update");
        if let Some(ema) = &mut self.ema {
            ema.update(&self.generator_params);
        }
        loss
    }

    /// The generator's loss and its gradients, as [`generator_step`](Trainer::generator_step) takes them. No weight
    /// changes; running statistics do.
    ///
    /// # Panics
    /// If conditional nets get no labels.
    pub fn generator_gradients(&self, z: &Batch<T>) -> (f64, ParamGrads<T>) {
        let (loss, gradients) = self.generator_loss(z);
        (loss.item().f64(), gradients)
    }

    fn generator_loss(&self, z: &Batch<T>) -> (Tensor<T>, ParamGrads<T>) {
        let z = &z.on(&self.device);
        let tape = self.tape("the generator's update");
        let pass = Pass::new(&self.generator_params, &tape, Mode::Train);
        let frozen = Pass::frozen(&self.discriminator_params, Mode::TrainFixed);
        let fake = self.generator.forward(&pass, &z.var(), z.labels());
        let values = self.discriminator.forward(&frozen, &fake, z.labels());
        let loss = self.config.loss.of_generator(&values);
        let gradients = pass.gradients(&loss.backward());
        self.look_at_tape();
        (loss.into_value(), gradients)
    }

    /// The generator's layers.
    pub fn generator(&self) -> &Network<T> {
        &self.generator
    }

    /// The discriminator's layers.
    pub fn discriminator(&self) -> &Network<T> {
        &self.discriminator
    }

    fn stream(&self, stream: Stream) -> Rng {
        Rng::stream(self.config.seed, stream.number())
    }
}

/// The values of tensors of one element, which their device sends together: the host waits once.
fn read_together<'a, T: Element>(scalars: impl Iterator<Item = &'a Tensor<T>>) -> Vec<f64> {
    let flat: Vec<Var<T>> = scalars.map(|scalar| scalar.reshape([1]).into()).collect();
    let all = Var::concat(&flat.iter().collect::<Vec<_>>(), 0);
    all.value().to_vec().iter().map(|x| x.f64()).collect()
}

fn is_within<T: Element>(tensor: &Tensor<T>, limit: f64) -> bool {
    tensor.data().iter().all(|x| x.f64().abs() <= limit)
}
