//! The run that is looked at, the gradients at some of its states, and the losses from there on.

use std::sync::Arc;

use anyhow::{Result, ensure};
use indicatif::ProgressBar;
use wengert::{Archive, Element, Rng, Tensor};

use super::ways::{Errors, Measured, Way};
use crate::commands::train::Batches;
use crate::config::Config;
use crate::data::Dataset;
use crate::train::{Batch, Trainer};

/// A run at one moment.
pub(super) struct State {
    step: u64,
    archive: Archive,
}

/// What all measurements need.
pub(super) struct Measurement<'a> {
    pub(super) config: &'a Config,
    pub(super) data: &'a Arc<dyn Dataset>,
    /// The first is the reference.
    pub(super) ways: &'a [Way],
    pub(super) bar: &'a ProgressBar,
}

impl Measurement<'_> {
    /// Trains as `gan train` does, and keeps `n` states, evenly spread, the last one included.
    pub(super) fn states(&self, n: u64) -> Result<Vec<State>> {
        let Measurement { config, data, bar, .. } = *self;
        let mut trainer = Trainer::<f32>::with_classes(config, data.shape(), data.classes());
        let mut batches = Batches::new(config, data, 0);
        let mut states = Vec::new();
        for k in 1..=n {
            while trainer.step() < config.steps * k / n {
                trainer.train_step(|n| batches.next(n));
                bar.inc(1);
            }
            states.push(State { step: trainer.step(), archive: trainer.archive()? });
        }
        ensure!(trainer.not_finite().is_none(), "training has diverged; expected flags with which the method trains");
        Ok(states)
    }

    /// What the gradients of each way but the reference differ by from the reference's, in one state: with the same
    /// weights, u, v, real images and noise. Each way generates the images of that noise itself, as in training.
    pub(super) fn errors(&self, state: &State) -> Result<Vec<Errors>> {
        let first = self.config.discriminator_updates(state.step);
        let real = Batches::new(self.config, self.data, first).next(first);
        let z = self.noise(&real, first);
        let measured = self.ways.iter().map(|way| {
            let measured = way.run(|| {
                Ok(match way.double {
                    true => Measured::of::<f64>(way, &self.restored(state)?, &real, &z),
                    false => Measured::of::<f32>(way, &self.restored(state)?, &real, &z),
                })
            });
            self.bar.inc(1);
            measured
        });
        let measured: Vec<Measured> = measured.collect::<Result<_>>()?;
        Ok(measured[1..].iter().map(|way| way.errors(&measured[0])).collect())
    }

    /// For each way, the losses of the discriminator and the generator in each of `steps` steps from this state on,
    /// with the same images and noise.
    pub(super) fn losses(&self, state: &State, steps: u64) -> Result<Vec<Vec<[f64; 2]>>> {
        let follow = |way: &Way| {
            way.run(|| match way.double {
                true => self.follow::<f64>(way, state, steps),
                false => self.follow::<f32>(way, state, steps),
            })
        };
        self.ways.iter().map(follow).collect()
    }

    fn follow<T: Element>(&self, way: &Way, state: &State, steps: u64) -> Result<Vec<[f64; 2]>> {
        let mut trainer = self.restored::<T>(state)?;
        let mut update = self.config.discriminator_updates(state.step);
        let mut batches = Batches::new(self.config, self.data, update);
        let mut losses = Vec::new();
        for step in state.step + 1..=state.step + steps {
            let mut last = (f64::NAN, None);
            while update < self.config.discriminator_updates(step) {
                let real = batches.next(update);
                let z = self.noise(&real, update);
                last = (trainer.discriminator_step(way.batch(&real), way.batch(&z)), Some(z));
                update += 1;
            }
            // The generator sees the noise of the last update once more; its images have changed by then.
            let (discriminator, z) = last;
            let generator = z.map_or(f64::NAN, |z| trainer.generator_step(way.batch(&z)));
            losses.push([discriminator, generator]);
            self.bar.inc(1);
        }
        Ok(losses)
    }

    fn restored<T: Element>(&self, state: &State) -> Result<Trainer<T>> {
        let Measurement { config, data, .. } = *self;
        Trainer::restored(config, data.shape(), data.classes(), &state.archive.cast::<T>())
    }

    /// The noise, and the classes, that go with the real images of an update.
    fn noise(&self, real: &Batch, update: u64) -> Batch {
        // Of another seed than training's.
        let z: Tensor = Rng::stream(!self.config.seed, update).normal([self.config.batch, self.config.z_dim]);
        Batch { values: z, labels: real.labels.clone() }
    }
}
