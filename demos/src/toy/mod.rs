//! GANs in the plane, where everything can be seen and distances are known exactly.

mod critic;
mod data;
mod distance;
mod mlp;
mod snapshot;
mod trainer;

pub use critic::{Critic, Objective};
pub use data::{Score, Toy};
pub use distance::{sample_distance, w1_in_the_plane, w1_on_a_line};
pub use mlp::Mlp;
pub use snapshot::snapshot;
pub use trainer::{Model, Recipe, Trainer, Z_DIM};
