//! GANs in the plane, where everything can be seen and distances are known exactly.

mod critic;
mod data;
mod mlp;
mod trainer;

pub use critic::{Critic, Objective};
pub use data::{Score, Toy};
pub use mlp::Mlp;
pub use trainer::{Model, Recipe, Trainer, Z_DIM};
