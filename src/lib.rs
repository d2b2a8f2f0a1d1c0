//! `wengert`: a tape-based reverse-mode automatic differentiation engine.

#[doc(hidden)]
pub mod kernels;
mod shape;

pub use kernels::{Element, Level};
pub use shape::{MAX_RANK, Shape};
