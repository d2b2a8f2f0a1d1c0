//! `wengert`: a tape-based reverse-mode automatic differentiation engine.

mod archive;
pub mod gradcheck;
#[doc(hidden)]
pub mod kernels;
pub mod nn;
pub mod ops;
pub mod optim;
mod rng;
mod shape;
mod tape;
mod tensor;
mod var;

pub use archive::{Archive, StateError};
pub use kernels::{Element, Level};
pub use rng::Rng;
pub use shape::{MAX_RANK, Shape};
pub use tape::{Backward, Gradients, Rule, Tape};
pub use tensor::Tensor;
pub use var::{Saved, Var};
