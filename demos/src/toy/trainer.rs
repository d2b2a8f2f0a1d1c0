//! Training in the plane.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use wengert::nn::{Init, Mode, Params, Pass};
use wengert::optim::{Adam, Ema, Optimizer, RmsProp};
use wengert::{Rng, Tape, Tensor, Var};

use super::{Critic, Mlp, Objective, Toy};

/// A method, on multilayer perceptrons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// The standard GAN, with the non-saturating generator
    Gan,
    /// Wasserstein GAN with clipped weights
    Wgan,
    /// Wasserstein GAN with gradient penalty
    WganGp,
    /// Spectral normalisation, hinge loss
    Sngan,
}

/// How to train. The learning rate falls to 0 along a line; samples come from a moving average of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// What is learnt.
    pub toy: Toy,
    /// The critic's objective, which stands for the method.
    pub objective: Objective,
    /// Units of each of the three hidden layers, of both nets.
    pub hidden: usize,
    /// Real, and generated, points in an update.
    pub batch: usize,
    /// Updates of the generator.
    pub steps: u64,
    /// Updates of the critic before each of the generator.
    pub n_dis: usize,
    /// The learning rate of both nets at the start.
    pub lr: f64,
    /// Adam's decay rates of the first and the second moment.
    pub betas: (f64, f64),
    /// Determines weights, noise and data.
    #[serde(skip)]
    pub seed: u64,
}

/// The number of noise values that the generator takes: two, so that its map can be drawn.
pub const Z_DIM: usize = 2;

/// The decay of the moving average of the generator.
const EMA_DECAY: f64 = 0.998;

impl Recipe {
    /// What `gan toy` does if nothing else is said.
    pub fn new(toy: Toy, model: Model) -> Recipe {
        let (objective, n_dis, lr, betas) = match model {
            Model::Gan => (Objective::Standard, 1, 1e-3, (0.5, 0.999)),
            Model::Wgan => (Objective::Clipped { c: 0.1 }, 5, 5e-4, (0.0, 0.9)),
            Model::WganGp => (Objective::Penalised { lambda: 0.1 }, 1, 3e-3, (0.0, 0.9)),
            Model::Sngan => (Objective::Spectral { k: 20.0 }, 1, 1e-3, (0.5, 0.999)),
        };
        Recipe { toy, objective, hidden: 128, batch: 128, steps: 12_000, n_dis, lr, betas, seed: 0 }
    }

    /// Checks every value by itself.
    ///
    /// # Errors
    /// Names the flag, what was found, and what was expected.
    pub fn check(&self) -> Result<()> {
        let Recipe { hidden, batch, steps, n_dis, lr, .. } = self;
        ensure!((1..=1024).contains(hidden), "--hidden is {hidden}; expected 1 to 1024");
        ensure!((1..=8192).contains(batch), "--batch is {batch}; expected 1 to 8192");
        ensure!((1..=10_000_000).contains(steps), "--steps is {steps}; expected 1 to 10000000");
        ensure!((1..=100).contains(n_dis), "--n-dis is {n_dis}; expected 1 to 100");
        let positive = |flag: &str, value: f64| {
            ensure!(value.is_finite() && value > 0.0, "--{flag} is {value}; expected a number above 0");
            Ok(())
        };
        positive("lr", *lr)?;
        match self.objective {
            Objective::Standard => Ok(()),
            Objective::Clipped { c } => positive("clip", c),
            Objective::Penalised { lambda } => positive("lambda", lambda),
            Objective::Spectral { k } => positive("lipschitz", k),
        }
    }
}

/// A generator and a critic of points in training.
///
/// Noise and data of step n are drawn from stream n of the seed.
pub struct Trainer {
    recipe: Recipe,
    generator: Mlp,
    params: Params,
    average: Ema,
    optimizer: Box<dyn Optimizer<f32>>,
    critic: Critic,
    step: u64,
}

impl Trainer {
    /// Nets with fresh weights.
    pub fn new(recipe: &Recipe) -> Trainer {
        let &Recipe { objective, hidden, lr, betas, .. } = recipe;
        let mut rng = Rng::stream(recipe.seed, 0);
        let mut params = Params::new();
        let generator = Mlp::new(&mut params, &[Z_DIM, hidden, hidden, hidden, 2], Init::PyTorch, &mut rng);
        let optimizer: Box<dyn Optimizer<f32>> = match objective {
            Objective::Clipped { .. } => Box::new(RmsProp::new(lr)),
            _ => Box::new(Adam::new(lr).betas(betas.0, betas.1)),
        };
        let critic = Critic::new(objective, 2, hidden, lr, betas, &mut rng);
        let average = Ema::new(&params, EMA_DECAY);
        Trainer { recipe: *recipe, generator, params, average, optimizer, critic, step: 0 }
    }

    /// Updates of the generator made so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The critic at points (N, 2), (N, 1).
    pub fn critic(&self, points: &Tensor) -> Tensor {
        self.critic.values(&self.seen(points)).into_value()
    }

    /// Where the gradient moves generated points (N, 2), up to a factor.
    pub fn push(&self, points: &Tensor) -> Tensor {
        self.critic.push(self.seen(points).value())
    }

    /// Points as the nets see them.
    fn seen(&self, points: &Tensor) -> Var {
        Var::from(points) / self.recipe.toy.scale()
    }

    /// `n_dis` updates of the critic, then one of the generator; the losses of the last two, before them.
    pub fn train_step(&mut self) -> [f64; 2] {
        let Recipe { toy, batch, steps, n_dis, lr, seed, .. } = self.recipe;
        let lr = lr * (1.0 - self.step as f64 / steps as f64);
        self.optimizer.set_lr(lr);
        self.critic.set_lr(lr);
        let mut rng = Rng::stream(seed, 1 + self.step);
        let mut critic_loss = f64::NAN;
        for _ in 0..n_dis {
            let real = self.seen(&toy.sample(batch, &mut rng)).into_value();
            let generated = self.generator.forward(&Pass::frozen(&self.params, Mode::Train), &noise(batch, &mut rng));
            critic_loss = self.critic.update(&real, generated.value(), &mut rng);
        }
        let tape = Tape::new();
        let pass = Pass::new(&self.params, &tape, Mode::Train);
        let loss = self.critic.generator_loss(&self.generator.forward(&pass, &noise(batch, &mut rng)));
        let gradients = pass.gradients(&loss.backward());
        self.optimizer.step(&mut self.params, &gradients);
        self.average.update(&self.params);
        self.step += 1;
        [critic_loss, f64::from(loss.item())]
    }

    /// The averaged generator's points (N, 2) for noise (N, 2).
    pub fn generate(&self, z: &Tensor) -> Tensor {
        let points = self.generator.forward(&Pass::frozen(self.average.params(), Mode::Eval), &z.into());
        (points * self.recipe.toy.scale()).into_value()
    }

    /// `n` samples of the averaged generator, (n, 2): those that this seed gives.
    pub fn sample(&self, n: usize, seed: u64) -> Tensor {
        self.generate(&Rng::stream(!seed, 0).normal([n, Z_DIM]))
    }
}

fn noise(n: usize, rng: &mut Rng) -> Var {
    rng.normal([n, Z_DIM]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::sample_distance;

    fn run(recipe: &Recipe, threads: usize) -> (Vec<[f64; 2]>, Vec<f32>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = Trainer::new(recipe);
            let losses = (0..recipe.steps).map(|_| trainer.train_step()).collect();
            (losses, trainer.sample(100, 0).to_vec())
        })
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_at_any_number_of_threads() {
        for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
            let recipe = Recipe { steps: 5, hidden: 96, batch: 300, seed: 7, ..Recipe::new(Toy::Ring, model) };
            let first = run(&recipe, 1);
            assert!(first.0.iter().flatten().all(|loss| loss.is_finite()));
            assert!(first == run(&recipe, 2), "{model:?}");
            assert!(first != run(&Recipe { seed: 8, ..recipe }, 1), "{model:?}");
        }
    }

    #[test]
    fn samples_are_those_of_their_seed() {
        let trainer = Trainer::new(&Recipe { hidden: 16, ..Recipe::new(Toy::Ring, Model::Gan) });
        let [first, again, other] = [1, 1, 2].map(|seed| trainer.sample(10, seed).to_vec());
        assert!(first == again && first != other);
    }

    /// The figures that `gan toy` reaches need minutes; this much is seen in seconds.
    #[test]
    fn samples_come_near_the_data() {
        let usual = Recipe::new(Toy::Swissroll, Model::WganGp);
        let mut trainer = Trainer::new(&Recipe { steps: 800, hidden: 48, ..usual });
        let distance = |trainer: &Trainer| sample_distance(Toy::Swissroll, &trainer.sample(512, 0)).unwrap();
        let before = distance(&trainer);
        for _ in 0..800 {
            trainer.train_step();
        }
        let after = distance(&trainer);
        assert!(after < 0.6 * before, "W₁ {before} before, {after} after");
    }
}
