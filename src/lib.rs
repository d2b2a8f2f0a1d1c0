//! `wengert`: a tape-based reverse-mode automatic differentiation engine.

pub mod gradcheck;
#[doc(hidden)]
pub mod kernels;
pub mod ops;
mod rng;
mod shape;
mod tape;
mod tensor;
mod var;

pub use kernels::{Element, Level};
pub use rng::Rng;
pub use shape::{MAX_RANK, Shape};
pub use tape::{Backward, Gradients, Rule, Tape};
pub use tensor::Tensor;
pub use var::{Saved, Var};
