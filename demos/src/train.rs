//! The training step: Algorithm 1 of SNGAN.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use wengert::nn::{Mode, Params, Pass};
use wengert::ops::loss;
use wengert::optim::{Adam, Optimizer};
use wengert::{Archive, Element, Rng, Tape, Tensor, Var};

use crate::config::{Config, Loss};
use crate::data::ImageShape;
use crate::interpolate::interpolate;
use crate::models::{self, Discriminator, Generator};
use crate::run_dir::Losses;

/// A generator and a discriminator in training.
///
/// What a step does depends on the configuration, the weights and the number of the step alone: the noise of update n is
/// drawn from stream n of the seed, so a run that stops and goes on computes the same bits as one that never stopped.
pub struct Trainer<T: Element = f32> {
    config: Config,
    image: ImageShape,
    /// The generator's layers.
    pub generator: Generator,
    /// The generator's parameters and running statistics.
    pub generator_params: Params<T>,
    /// The discriminator's layers.
    pub discriminator: Discriminator,
    /// The discriminator's parameters, u and v.
    pub discriminator_params: Params<T>,
    generator_adam: Adam<T>,
    discriminator_adam: Adam<T>,
    step: u64,
}

impl<T: Element> Trainer<T> {
    /// Nets with fresh weights for images of this size.
    pub fn new(config: &Config, image: ImageShape) -> Trainer<T> {
        let mut rng = Rng::stream(config.seed, Stream::Weights.number());
        let (mut g, mut d) = (Params::new(), Params::new());
        let generator = Generator::new(&mut g, config.z_dim, image, config.width, &mut rng);
        let discriminator = Discriminator::new(&mut d, image, config.width, &mut rng);
        let adam = || Adam::new(config.lr).betas(config.betas[0], config.betas[1]);
        Trainer {
            config: config.clone(),
            image,
            generator,
            generator_params: g,
            discriminator,
            discriminator_params: d,
            generator_adam: adam(),
            discriminator_adam: adam(),
            step: 0,
        }
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

    /// Whether all weights and running statistics are finite: a step can spoil them after it has measured its losses.
    pub fn is_finite(&self) -> bool {
        [&self.generator_params, &self.discriminator_params].into_iter().all(|params| {
            let mut values = params.names().filter_map(|name| params.get(name));
            values.all(|value| value.data().iter().all(|x| x.f64().is_finite()))
        })
    }

    /// One step of Algorithm 1: n_dis updates of the discriminator, then one of the generator. `real` gives batch n
    /// since the start of training, (N, C, M, M).
    pub fn train_step(&mut self, mut real: impl FnMut(u64) -> Tensor<T>) -> Losses {
        let mut discriminator = f64::NAN;
        let n_dis = self.config.n_dis as u64;
        for update in self.step * n_dis..(self.step + 1) * n_dis {
            let z = self.noise(Stream::DiscriminatorNoise(update), self.config.batch);
            discriminator = self.discriminator_step(&real(update), &z);
        }
        let z = self.noise(Stream::GeneratorNoise(self.step), self.config.batch);
        let generator = self.generator_step(&z);
        self.step += 1;
        Losses { step: self.step, discriminator, generator }
    }

    /// Updates the discriminator on real images (N, C, M, M) and as many generated from noise (N, z); its loss before.
    ///
    /// Both halves go through the same W/σ, after one power iteration. The generator is in training mode, its weights
    /// constants: its running statistics move, no gradient reaches it.
    pub fn discriminator_step(&mut self, real: &Tensor<T>, z: &Tensor<T>) -> f64 {
        let fake = self.generator.forward(&Pass::frozen(&self.generator_params, Mode::Train), &z.into());
        let tape = Tape::new();
        let pass = Pass::new(&self.discriminator_params, &tape, Mode::Train);
        // Without batch norm no image sees another, so one joint batch is the same as two, and shares the work on weights:
        // at full width 9 % less time, for 115 MB more (notes/performance.md).
        let n = real.shape()[0];
        let logits = self.discriminator.forward(&pass, &Var::concat(&[&real.into(), &fake], 0));
        let (on_real, on_fake) = (logits.slice(0, 0..n), logits.slice(0, n..2 * n));
        let loss = match self.config.loss {
            Loss::Hinge => loss::hinge_discriminator(&on_real, &on_fake),
            Loss::Standard => loss::gan_discriminator(&on_real, &on_fake),
        };
        let gradients = pass.gradients(&loss.backward());
        self.discriminator_adam.step(&mut self.discriminator_params, &gradients);
        loss.item().f64()
    }

    /// Updates the generator on images from noise (N, z); its loss before.
    ///
    /// The discriminator is frozen: σ = uᵀWv of the stored u, v and the current W, no gradient of its weights.
    pub fn generator_step(&mut self, z: &Tensor<T>) -> f64 {
        let tape = Tape::new();
        let pass = Pass::new(&self.generator_params, &tape, Mode::Train);
        let frozen = Pass::frozen(&self.discriminator_params, Mode::TrainFixed);
        let fake = self.generator.forward(&pass, &z.into());
        let logits = self.discriminator.forward(&frozen, &fake);
        let loss = match self.config.loss {
            Loss::Hinge => loss::hinge_generator(&logits),
            Loss::Standard => loss::gan_generator(&logits),
        };
        let gradients = pass.gradients(&loss.backward());
        self.generator_adam.step(&mut self.generator_params, &gradients);
        loss.item().f64()
    }

    /// `n` images of the generator in evaluation mode, as numbers in (−1, 1), (n, M, M, C): the picture that this seed
    /// gives. In parts, so that memory does not grow with `n`.
    pub fn sample(&self, n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::stream(seed, Stream::Samples.number());
        let noise = (0..n).step_by(64).map(|start| rng.normal([64.min(n - start), self.config.z_dim]));
        self.generate(noise)
    }

    /// `rows` rows of `columns` images, (rows·columns, M, M, C), as [`sample`](Trainer::sample) makes them: in row i the
    /// noise goes from that of its image 2i to that of its image 2i + 1, along [`interpolate`].
    pub fn interpolate(&self, rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::stream(seed, Stream::Samples.number());
        let noise = (0..rows).map(|_| interpolate(&rng.normal([2, self.config.z_dim]), columns));
        self.generate(noise)
    }

    /// The images of noise that comes in parts (N, z).
    fn generate(&self, noise: impl Iterator<Item = Tensor<T>>) -> Vec<f32> {
        let pass = Pass::frozen(&self.generator_params, Mode::Eval);
        let mut images = Vec::new();
        for z in noise {
            let batch = self.generator.forward(&pass, &z.into()).into_value();
            images.extend(batch.permute([0, 2, 3, 1]).to_vec().iter().map(|x| x.f64() as f32));
        }
        images
    }

    fn noise(&self, stream: Stream, n: usize) -> Tensor<T> {
        Rng::stream(self.config.seed, stream.number()).normal([n, self.config.z_dim])
    }

    /// Writes nets and optimiser state to one file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut archive = Archive::new();
        self.generator_params.store(&mut archive, "generator.");
        self.discriminator_params.store(&mut archive, "discriminator.");
        self.generator_adam.store(&self.generator_params, &mut archive, "generator_adam.");
        self.discriminator_adam.store(&self.discriminator_params, &mut archive, "discriminator_adam.");
        archive.set_count("step", self.step);
        let ImageShape { channels, height, width } = self.image;
        archive.set_text("image", format!("{channels},{height},{width}"));
        archive.set_text("width", self.config.width.to_string());
        archive.set_text("z_dim", self.config.z_dim.to_string());
        Ok(archive.save(path)?)
    }

    /// Reads what [`save`](Trainer::save) wrote in a run of this configuration.
    ///
    /// # Errors
    /// The file is missing or damaged, or belongs to nets of other sizes.
    pub fn load(config: &Config, path: &Path) -> Result<Trainer<T>> {
        let archive = Archive::load(path)?;
        let file = path.display();
        // Before nets of the wrong size take memory.
        for (key, expected) in [("width", config.width.to_string()), ("z_dim", config.z_dim.to_string())] {
            let found = archive.text(key)?;
            ensure!(found == expected, "{file}: found nets of {key} {found}, expected {expected} as in config.toml");
        }
        let image = image_shape(archive.text("image")?).with_context(|| file.to_string())?;
        models::check_memory(config, image)?;
        let mut trainer = Trainer::new(config, image);
        trainer.generator_params.restore(&archive, "generator.")?;
        trainer.discriminator_params.restore(&archive, "discriminator.")?;
        trainer.generator_adam.restore(&trainer.generator_params, &archive, "generator_adam.")?;
        trainer.discriminator_adam.restore(&trainer.discriminator_params, &archive, "discriminator_adam.")?;
        trainer.step = archive.count("step")?;
        Ok(trainer)
    }
}

/// The images' shape from the text in a checkpoint, "channels,height,width".
fn image_shape(text: &str) -> Result<ImageShape> {
    let sizes: Vec<usize> = text.split(',').map_while(|size| size.parse().ok()).collect();
    let &[channels @ (1 | 3), height @ 8..=256, width] = sizes.as_slice() else {
        bail!("found images of {text:?}, expected 1 or 3 channels, and a height and a width up to 256");
    };
    ensure!(height == width && height.is_multiple_of(8), "found images of {text:?}, expected squares that 8 divides");
    Ok(ImageShape { channels, height, width })
}

/// What random numbers are for: each use has streams of its own.
enum Stream {
    Weights,
    Samples,
    DiscriminatorNoise(u64),
    GeneratorNoise(u64),
}

impl Stream {
    fn number(&self) -> u64 {
        match *self {
            Stream::Weights => 0,
            Stream::Samples => 1,
            Stream::DiscriminatorNoise(update) => 2 + 2 * update,
            Stream::GeneratorNoise(step) => 3 + 2 * step,
        }
    }
}
