//! Training in the plane.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use wengert::nn::{Init, Mode, Params, Pass};
use wengert::optim::{Adam, Ema, Optimizer, RmsProp};
use wengert::{Archive, Rng, StateError, Tape, Tensor, Var};

use super::critic::{Learnt, sizes};
use super::tape_log::nodes_of;
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// The learning rate at the start; of both nets, if the critic has none of its own.
    pub lr: f64,
    /// That of the critic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_d: Option<f64>,
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

impl Model {
    /// The word of the command line for it.
    pub fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().into())
    }
}

impl Recipe {
    /// The method that the objective stands for.
    pub fn model(&self) -> Model {
        match self.objective {
            Objective::Standard => Model::Gan,
            Objective::Clipped { .. } => Model::Wgan,
            Objective::Penalised { .. } => Model::WganGp,
            Objective::Spectral { .. } => Model::Sngan,
        }
    }

    /// The bound of the critic's slope, where the method sets one; what the gradient penalty draws it to is 1. Of an
    /// (m, n) matrix whose entries are c at most, σ is at most c·√(mn); ReLU's slope is at most 1.
    pub fn lipschitz(&self) -> Option<f64> {
        let sizes = sizes(2, self.hidden);
        match self.objective {
            Objective::Standard => None,
            Objective::Clipped { c } => {
                Some(sizes.windows(2).map(|pair| c * ((pair[0] * pair[1]) as f64).sqrt()).product())
            }
            Objective::Penalised { .. } => Some(1.0),
            Objective::Spectral { k } => Some(k),
        }
    }

    /// The number that goes with the method, where there is one: c, λ or K.
    pub fn number(&self) -> Option<f64> {
        let mut objective = self.objective;
        objective.number_mut().copied()
    }

    /// What `gan toy` does if nothing else is said.
    pub fn new(toy: Toy, model: Model) -> Recipe {
        let (objective, n_dis, lr, betas) = match model {
            Model::Gan => (Objective::Standard, 1, 1e-3, (0.5, 0.999)),
            Model::Wgan => (Objective::Clipped { c: 0.1 }, 5, 5e-4, (0.0, 0.9)),
            Model::WganGp => (Objective::Penalised { lambda: 0.1 }, 1, 3e-3, (0.0, 0.9)),
            Model::Sngan => (Objective::Spectral { k: 20.0 }, 1, 1e-3, (0.5, 0.999)),
        };
        Recipe { toy, objective, hidden: 128, batch: 128, steps: 12_000, n_dis, lr, lr_d: None, betas, seed: 0 }
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
        self.lr_d.map_or(Ok(()), |lr| positive("lr-d", lr))?;
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
    /// Updates of one net that were made by themselves, outside of steps.
    lone: u64,
}

/// What an update of the critic learnt from: points (N, 2) of the plane; and its loss before.
#[derive(Clone, Debug)]
pub struct CriticUpdate {
    /// Points of the data.
    pub real: Tensor,
    /// As many of the generator.
    pub generated: Tensor,
    /// The points x̂ (N, 2) at which the gradient is penalised, and ‖∇f(x̂)‖ (N), per unit of the points as the critic
    /// sees them.
    pub penalised: Option<(Tensor, Tensor)>,
    /// The loss.
    pub loss: f64,
    /// The points as the critic sees them, the real ones first (2N, 2).
    pub inputs: Tensor,
    /// The critic's values at them (2N, 1).
    pub values: Tensor,
    /// The numbers of the nodes that have a name on the tape.
    pub nodes: Vec<(u32, String)>,
}

/// What an update of the generator learnt from, and its loss before.
#[derive(Clone, Debug)]
pub struct GeneratorUpdate {
    /// Noise (N, 2).
    pub noise: Tensor,
    /// The loss.
    pub loss: f64,
    /// The numbers of the nodes that have a name on the tape.
    pub nodes: Vec<(u32, String)>,
}

/// The numbers of streams for updates outside of steps begin here.
const LONE: u64 = 1 << 40;

impl Trainer {
    /// Nets with fresh weights.
    pub fn new(recipe: &Recipe) -> Trainer {
        let &Recipe { objective, hidden, lr, lr_d, betas, .. } = recipe;
        let mut rng = Rng::stream(recipe.seed, 0);
        let mut params = Params::new();
        let generator = Mlp::new(&mut params, &[Z_DIM, hidden, hidden, hidden, 2], Init::PyTorch, &mut rng);
        let optimizer: Box<dyn Optimizer<f32>> = match objective {
            Objective::Clipped { .. } => Box::new(RmsProp::new(lr)),
            _ => Box::new(Adam::new(lr).betas(betas.0, betas.1)),
        };
        let critic = Critic::new(objective, 2, hidden, lr_d.unwrap_or(lr), betas, &mut rng);
        let average = Ema::new(&params, EMA_DECAY);
        Trainer { recipe: recipe.clone(), generator, params, average, optimizer, critic, step: 0, lone: 0 }
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
        let (critic, generator) = self.train_step_shown(|_| {});
        [critic.loss, generator.loss]
    }

    /// [`train_step`](Trainer::train_step), with what its last update of the critic and that of the generator saw;
    /// `look` is shown the nets just before these.
    pub fn train_step_shown(&mut self, look: impl FnOnce(&Trainer)) -> (CriticUpdate, GeneratorUpdate) {
        let mut rng = Rng::stream(self.recipe.seed, 1 + self.step);
        for _ in 1..self.recipe.n_dis {
            self.update_critic(&mut rng, &Tape::new());
        }
        look(self);
        let critic = self.update_critic(&mut rng, &Tape::new());
        let generator = self.update_generator(&mut rng, &Tape::new());
        self.step += 1;
        (critic, generator)
    }

    /// An update of the critic by itself, outside of steps, on an empty tape that somebody may watch.
    pub fn critic_alone(&mut self, tape: &Tape) -> CriticUpdate {
        let mut rng = self.stream_alone();
        self.update_critic(&mut rng, tape)
    }

    /// An update of the generator by itself, outside of steps, on an empty tape that somebody may watch.
    pub fn generator_alone(&mut self, tape: &Tape) -> GeneratorUpdate {
        let mut rng = self.stream_alone();
        self.update_generator(&mut rng, tape)
    }

    fn stream_alone(&mut self) -> Rng {
        self.lone += 1;
        Rng::stream(self.recipe.seed, LONE + self.lone)
    }

    /// What is left of the learning rates.
    fn share(&self) -> f64 {
        (1.0 - self.step as f64 / self.recipe.steps as f64).max(0.0)
    }

    fn update_critic(&mut self, rng: &mut Rng, tape: &Tape) -> CriticUpdate {
        let Recipe { batch, lr, lr_d, .. } = self.recipe;
        self.critic.set_lr(lr_d.unwrap_or(lr) * self.share());
        let real = self.recipe.toy.sample(batch, rng);
        let seen = self.seen(&real).into_value();
        let generated = self.generator.forward(&Pass::frozen(&self.params, Mode::Train), &noise(batch, rng));
        let Learnt { loss, inputs, values, penalised, nodes } =
            self.critic.update_on(tape, &seen, generated.value(), rng);
        let penalised = penalised.map(|(x, norms)| (self.shown(x.into()), norms));
        CriticUpdate { real, generated: self.shown(generated), penalised, loss, inputs, values, nodes }
    }

    fn update_generator(&mut self, rng: &mut Rng, tape: &Tape) -> GeneratorUpdate {
        self.optimizer.set_lr(self.recipe.lr * self.share());
        let noise = noise(self.recipe.batch, rng);
        let pass = Pass::new(&self.params, tape, Mode::Train);
        let loss = self.critic.generator_loss(&self.generator.forward(&pass, &noise));
        let nodes = nodes_of(&self.params, &pass, "G");
        let gradients = pass.gradients(&loss.backward());
        self.optimizer.step(&mut self.params, &gradients);
        self.average.update(&self.params);
        GeneratorUpdate { noise: noise.into_value(), loss: f64::from(loss.item()), nodes }
    }

    /// How it trains; rates and updates of the critic in a step may change as it goes on.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Changes how it trains from here on.
    pub fn recipe_mut(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    /// The critic of points as the nets see them: divided by the data's scale.
    pub fn critic_net(&self) -> &Critic {
        &self.critic
    }

    /// Does to the critic what its next update begins with; for a copy, see [`Critic::prepare`].
    pub fn prepare_critic(&mut self) {
        self.critic.prepare(&Tensor::zeros([1, 2]));
    }

    /// Points of the nets as points of the plane.
    fn shown(&self, points: Var) -> Tensor {
        (points * self.recipe.toy.scale()).into_value()
    }

    /// The points (N, 2) of the generator as it is, not of its average, for noise (N, 2).
    pub fn generate_now(&self, z: &Tensor) -> Tensor {
        self.shown(self.generator.forward(&Pass::frozen(&self.params, Mode::Eval), &z.into()))
    }

    /// The first `n` points of the generator as it is, (n, 2), for noise that is always the same.
    pub fn sample_now(&self, n: usize) -> Tensor {
        self.generate_now(&Rng::seed(1).normal([n, Z_DIM]))
    }

    /// Nets, optimisers and counts, to come back to.
    pub fn archive(&self) -> Archive {
        let mut archive = Archive::new();
        self.params.store(&mut archive, "generator.");
        self.optimizer.store(&self.params, &mut archive, "generator_optimizer.");
        self.average.params().store(&mut archive, "average.");
        self.critic.store(&mut archive);
        archive.set_count("step", self.step);
        archive.set_count("lone", self.lone);
        archive
    }

    /// Goes back to what [`archive`](Trainer::archive) kept; what follows is the same bits.
    ///
    /// # Errors
    /// The archive is of a trainer of another recipe.
    pub fn restore(&mut self, archive: &Archive) -> Result<(), StateError> {
        self.params.restore(archive, "generator.")?;
        self.optimizer.restore(&self.params, archive, "generator_optimizer.")?;
        self.average.params_mut().restore(archive, "average.")?;
        self.critic.restore(archive)?;
        self.step = archive.count("step")?;
        self.lone = archive.count("lone")?;
        Ok(())
    }

    /// Another in the same state, on which things can be tried.
    ///
    /// # Errors
    /// None that is known: the archive is of this trainer.
    pub fn copy(&self) -> Result<Trainer> {
        let mut copy = Trainer::new(&self.recipe);
        copy.restore(&self.archive()).context("a copy of the nets")?;
        Ok(copy)
    }

    /// The averaged generator's points (N, 2) for noise (N, 2).
    pub fn generate(&self, z: &Tensor) -> Tensor {
        self.shown(self.generator.forward(&Pass::frozen(self.average.params(), Mode::Eval), &z.into()))
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
            assert!(first != run(&Recipe { seed: 8, ..recipe.clone() }, 1), "{model:?}");
        }
    }

    /// Clipping allows no more than this, and it is the bound that the method sets.
    #[test]
    fn clipping_bounds_the_slope() {
        let recipe = Recipe { hidden: 12, batch: 8, ..Recipe::new(Toy::Ring, Model::Wgan) };
        let mut trainer = Trainer::new(&recipe);
        (0..3).for_each(|_| _ = trainer.train_step());
        let (bound, allowed) = (trainer.critic_net().slope_bound(), recipe.lipschitz().unwrap());
        let by_hand = 0.1f64.powi(4) * (24f64 * 144.0 * 144.0 * 12.0).sqrt();
        assert!(bound < allowed && (allowed - by_hand).abs() < 1e-9, "{bound} {allowed} {by_hand}");
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
        let distance = |trainer: &Trainer| sample_distance(&Toy::Swissroll, &trainer.sample(512, 0)).unwrap();
        let before = distance(&trainer);
        for _ in 0..800 {
            trainer.train_step();
        }
        let after = distance(&trainer);
        assert!(after < 0.6 * before, "W₁ {before} before, {after} after");
    }
}
