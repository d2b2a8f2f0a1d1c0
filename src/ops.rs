//! The operations, a file to each family: shape check, forward value, and rule, side by side.
//!
//! Operations are methods of [`Var`](crate::Var), and operators where mathematics has them. Notation in the
//! documentation: ȳ = ∂L/∂y is the gradient that arrives at the output y, x̄ = ∂L/∂x the one that the rule gives to the
//! input x, ⊙ the product by elements. Shapes are logical; see [`Tensor`](crate::Tensor) for how values lie in memory.
//!
//! - Arithmetic, with broadcasting: `+ - * /` of variables and numbers, `-x`, `affine`. Numbers are `f64` for variables
//!   of either type: `x * 2.0`, and `x * f64::from(c)` with a `c` of type `f32`.
//! - By element: `exp`, `ln`, `sqrt`, `square`, `powi`, `powf`, `abs`, `sin`, `cos`, `clamp`.
//! - Activations: `relu`, `leaky_relu`, `sigmoid`, `tanh`, `softplus`, `gelu` (exact), `silu`; `softmax`,
//!   `log_softmax`.
//! - Choices: `where_cond` (PyTorch's `where`), `maximum`, `minimum`.
//! - Reductions: `sum`, `mean`, `max`, `min`, each with `…_axes`; `variance_axes`, `std_axes`, `logsumexp`, `sum_to`.
//!   Where extremes lie, without a gradient: `argmax`, `argmin`.
//! - The same elements elsewhere: `reshape`, `flatten`, `squeeze`, `unsqueeze`, `permute`, `t`, `i` (an index),
//!   `slice`, `narrow`, `split`, `broadcast_to`, views where strides allow; `repeat`, `flip`, `pad`, `concat`, `stack`;
//!   `to` a device.
//! - By index: `index_select`, `index_add`.
//! - Products: `matmul`, `conv2d`, `conv2d_leaky_relu`, `conv_transpose2d`, `conv2d_weight_grad`.
//! - Pooling: `max_pool2d`, `avg_pool2d`, `global_max_pool2d`, `global_avg_pool2d`. Maps of other sizes:
//!   `upsample_nearest`, `sum_blocks`, `upsample_bilinear`, `pixel_shuffle`, `pixel_unshuffle`.
//! - Norms: `batch_norm_train`, `batch_norm_relu_train`, `batch_norm_eval`, `layer_norm`, `group_norm`,
//!   `instance_norm`, `spectral_norm`, `spectral_sigma`.
//! - Noise: `dropout`.
//! - Losses, functions of [`loss`]: `mse`, `l1`, `cross_entropy`, `binary_cross_entropy_with_logits`, those of GANs.
//!
//! A tape calls an operation by what is computed, which need not be the name of the method: `square` records `powi`,
//! and a loss what it is made of.
//!
//! A wrong shape is an error in the program: it panics at the caller's line with the operation, every shape, and what
//! was expected.

mod arithmetic;
mod choice;
mod conv;
mod dropout;
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
mod resize;
mod shape;
mod slices;
mod softmax;
mod spectral;

pub use conv::Conv2dOptions;
pub(crate) use conv::WEIGHT_ORDER;
pub use norm::BatchStats;
pub use slices::{Along, Index};
pub use spectral::power_iteration;
pub(crate) use spectral::unit_vector;
