//! What the program `gan` is made of: data, models, training, pictures and commands, on the public API of `wengert`.

pub mod columns;
pub mod commands;
pub mod config;
pub mod data;
pub mod files;
pub mod gammas;
pub mod inspect;
pub mod interpolate;
pub mod interrupt;
pub mod linalg;
pub mod live;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod npy;
pub mod pictures;
pub mod report;
pub mod run_dir;
pub mod sealed;
pub mod table;
pub mod tensorboard;
pub mod theory;
pub mod thinning;
pub mod toy;
pub mod train;
pub mod usage;
