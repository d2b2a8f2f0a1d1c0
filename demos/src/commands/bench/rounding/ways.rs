//! Ways to compute a training step, and how far their gradients are from those in f64.

use wengert::nn::{Mode, ParamGrads, Params, Pass};
use wengert::{Element, Level, Precision, Tensor};

use crate::train::{Batch, Trainer};

/// A way to compute a training step.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) name: String,
    pub(super) precision: Precision,
    pub(super) level: Level,
    /// Whether it takes a batch from its last image to its first: another order of summation over the batch.
    pub(super) reversed: bool,
    /// Whether it computes in f64.
    pub(super) double: bool,
}

impl Way {
    /// In f64, in f32 fast and exact, and exact with every batch reversed; if asked for, exact at each lower level of
    /// this machine, too.
    pub(super) fn all(lower: bool) -> Vec<Way> {
        let level = Level::current();
        let way = |name: &str, precision| Way { name: name.into(), precision, level, reversed: false, double: false };
        let exact = way("exact", Precision::Exact);
        let mut ways = vec![
            Way { double: true, ..way("f64", Precision::Exact) },
            way("fast", Precision::Fast),
            exact.clone(),
            Way { reversed: true, ..way("reversed", Precision::Exact) },
        ];
        let levels = Level::ALL.into_iter().rev().filter(|&l| lower && l < level && l.is_available());
        ways.extend(levels.map(|level| Way { name: level.name().into(), level, ..exact.clone() }));
        ways
    }

    /// Runs `f` with this way's level and precision.
    pub(super) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        self.level.scope(|| self.precision.scope(f))
    }

    /// A batch in the order and the scalar type of this way.
    pub(super) fn batch<T: Element>(&self, batch: &Batch) -> Batch<T> {
        if self.reversed { reversed(batch).cast() } else { batch.cast() }
    }
}

fn reversed(batch: &Batch) -> Batch {
    let values = &batch.values;
    let row = (values.size() / values.shape()[0].max(1)).max(1);
    let numbers: Vec<f32> = values.to_vec().chunks(row).rev().flatten().copied().collect();
    let values = Tensor::from_vec(*values.shape(), numbers).like(values);
    Batch { values, labels: batch.labels.as_ref().map(|labels| labels.iter().rev().copied().collect()) }
}

/// The gradients of a net's parameters, row-major, by name.
type Gradients = Vec<(String, Vec<f64>)>;

/// What a way makes of a state.
pub(super) struct Measured {
    /// Of the discriminator's loss, and of the generator's.
    gradients: [Gradients; 2],
    /// Whether the inputs of the discriminator's ReLUs and leaky ReLUs are above 0, for the real images.
    signs: Vec<bool>,
}

/// The relative errors of a net's gradients: norms of differences by norms.
#[derive(Clone, Debug)]
pub(super) struct NetErrors {
    /// Of all parameters together.
    pub(super) whole: f64,
    /// Of the parameter that is worst off, and its name.
    pub(super) worst: (f64, String),
}

/// What a way's gradients and signs differ by from those in f64.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    /// The discriminator's and the generator's.
    pub(super) nets: [NetErrors; 2],
    /// The share of other signs.
    pub(super) signs: f64,
}

/// Parameters whose gradient is a smaller part of the whole have none but for rounding: biases in front of batch norm.
const NONE: f64 = 1e-10;

impl Measured {
    /// The gradients as a step of `trainer` would take them, in this way, with these images and this noise.
    pub(super) fn of<T: Element>(way: &Way, trainer: &Trainer<T>, real: &Batch, z: &Batch) -> Measured {
        let pass = Pass::frozen(&trainer.discriminator_params, Mode::TrainFixed);
        // In their usual order, to be compared one by one.
        let signs = trainer.discriminator().signs(&pass, &(&real.values.cast::<T>()).into(), real.labels.as_deref());
        let (real, z) = (way.batch(real), way.batch(z));
        // The generator first: the discriminator's own pass moves u and v.
        let (_, generator) = trainer.generator_gradients(&z);
        let (_, discriminator) = trainer.discriminator_gradients(&real, &z);
        let discriminator = list(&trainer.discriminator_params, &discriminator);
        Measured { gradients: [discriminator, list(&trainer.generator_params, &generator)], signs }
    }

    pub(super) fn errors(&self, reference: &Measured) -> Errors {
        let nets = [0, 1].map(|net| NetErrors::of(&self.gradients[net], &reference.gradients[net]));
        let other = self.signs.iter().zip(&reference.signs).filter(|(sign, reference)| sign != reference).count();
        Errors { nets, signs: other as f64 / reference.signs.len().max(1) as f64 }
    }
}

impl NetErrors {
    fn of(gradients: &Gradients, reference: &Gradients) -> NetErrors {
        let size: f64 = reference.iter().flat_map(|(_, values)| values).map(|x| x * x).sum();
        // 0 of 0, where a hinge has let go, is no error.
        let ratio = |difference: f64, size: f64| if difference == 0.0 { 0.0 } else { (difference / size).sqrt() };
        let (mut all, mut worst) = (0.0, (0.0, String::new()));
        for ((name, values), (_, reference)) in gradients.iter().zip(reference) {
            let difference: f64 = values.iter().zip(reference).map(|(x, r)| (x - r).powi(2)).sum();
            all += difference;
            let own: f64 = reference.iter().map(|x| x * x).sum();
            let error = ratio(difference, own);
            if own > NONE * NONE * size && error > worst.0 {
                worst = (error, name.clone());
            }
        }
        NetErrors { whole: ratio(all, size), worst }
    }
}

fn list<T: Element>(params: &Params<T>, gradients: &ParamGrads<T>) -> Gradients {
    let mut all = Vec::new();
    for (id, name, _) in params.parameters() {
        if let Some(gradient) = gradients.get(id) {
            all.push((name.to_string(), gradient.to_vec().iter().map(|x| x.f64()).collect()));
        }
    }
    all
}
