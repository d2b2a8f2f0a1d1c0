//! GANs in the plane, where everything can be seen and distances are known exactly.

mod critic;
mod data;
mod distance;
mod experiment;
mod frame;
mod lab;
mod mlp;
mod script;
mod slow;
mod snapshot;
mod tape_log;
mod trainer;

pub use critic::{Critic, Learnt, Objective};
pub use data::{Score, Toy, drawing};
pub use distance::{cheapest_pairing, optimal_critic, sample_distance, w1_in_the_plane, w1_on_a_line};
pub use experiment::{EXPERIMENTS, Experiment};
pub use frame::{frame, level, optimum, real_points};
pub use lab::{Lab, ShownStep};
pub use mlp::Mlp;
pub use script::{Move, Script, command_line};
pub use slow::told;
pub use snapshot::{points, snapshot};
pub use tape_log::{Entry, Log};
pub use trainer::{CriticUpdate, GeneratorUpdate, Model, Recipe, Trainer, Z_DIM};
