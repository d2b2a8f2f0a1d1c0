//! `gan bench`: the speed of the training step and of its convolutions, and what their rounding does to training.

mod layers;
mod rounding;
mod step;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Time one iteration on 32×32 colour images, SNGAN's or another method's: a discriminator update on real and
    /// generated images, a generator update with the discriminator frozen
    Step(step::Step),
    /// Time every convolution of Tables 1 and 2: forward, gradient of the input, gradient of the weight
    Layers(layers::Layers),
    /// Measure what the rounding of fast convolutions does to gradients and losses, beside that of exact ones, and of
    /// exact ones that add up in another order
    Rounding(rounding::Rounding),
}

impl Bench {
    /// Measures and prints.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Bench::Step(step) => step.run(),
            Bench::Layers(layers) => layers.run(),
            Bench::Rounding(rounding) => rounding.run(),
        }
    }
}
