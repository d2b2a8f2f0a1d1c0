//! The operations, a file to each family: shape check, forward value, and rule, side by side.
//!
//! Operations are methods of [`Var`](crate::Var), and operators where mathematics has them. Notation in the
//! documentation: ȳ = ∂L/∂y is the gradient that arrives at the output y, x̄ = ∂L/∂x the one that the rule gives to the
//! input x, ⊙ the product by elements. Shapes are logical; see [`Tensor`](crate::Tensor) for how values lie in memory.
//!
//! A wrong shape is an error in the program: it panics at the caller's line with the operation, every shape, and what
//! was expected.

mod arithmetic;
mod conv;
mod elementwise;
mod index;
pub mod loss;
mod matmul;
mod norm;
mod on_tensors;
mod pool;
#[cfg(test)]
mod printed;
mod reduction;
mod shape;
mod softmax;
mod spectral;

pub use conv::Conv2dOptions;
pub(crate) use conv::WEIGHT_ORDER;
pub use norm::BatchStats;
pub use spectral::power_iteration;
pub(crate) use spectral::unit_vector;
