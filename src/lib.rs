//! `wengert`: reverse-mode automatic differentiation on a tape (a Wengert list), with CPU kernels of its own, made to
//! train small GANs and to be read.
//!
//! ```
//! use wengert::{Tape, Tensor};
//!
//! let tape = Tape::<f64>::new();
//! let x = tape.var(Tensor::from_vec([3, 2], vec![1.0, 2.0, -1.0, 0.5, 0.0, 3.0]));
//! let w = tape.var(Tensor::from_vec([2, 1], vec![0.6, 0.8]));
//! let critic = x.matmul(&w).tanh().sum();
//! let slope = critic.grad(&[&x]).remove(0); // ∂critic/∂x, itself on the tape
//! let penalty = ((slope.powi(2).sum_axes([1], false) + 1e-12).sqrt() - 1.0).powi(2).mean();
//! assert_eq!(format!("{:.4}", penalty.item()), "0.6147");
//! let gradient = penalty.backward().wrt(&w); // of the penalty: a second derivative
//! assert_eq!(gradient.shape(), w.shape());
//! ```
//!
//! Where to find what:
//!
//! - [`Tensor`]: an immutable n-dimensional array of `f32` or `f64`.
//! - [`Tape`], [`Var`]: the list of operations and the values on it; [`Var::backward`] and [`Var::grad`] walk it.
//! - [`derivatives`]: products with vectors, Jacobians, Hessians, and gradients that are not recorded.
//! - [`trace`]: looking on while a tape is written and walked; which operation first made a number that is not finite.
//! - [`ops`]: the operations, each with its rule; [`Var::record`] makes one of your own.
//! - [`gradcheck`]: checks first and second derivatives, of our operations and of yours.
//! - [`nn`], [`optim`]: parameters, layers, optimisers. [`Archive`] reads and writes safetensors files.
//! - [`Kernel`], [`compute()`], [`Function`]: how a computation becomes tensors; an operation of yours
//!   stands equal to ours.
//! - Features: `safetensors`, on by default, reads and writes files; `opencl` runs on OpenCL devices, see [`Device`].
//! - `kernels`: the loops over numbers. Private, but for the tests and benches of this package.

// Before the others: a page of the documentation lists methods in this order.
mod var;

mod tape;

mod archive;
pub mod compute;
pub mod derivatives;
mod device;
pub mod gradcheck;
mod gradients;
#[cfg(not(feature = "internals"))]
mod kernels;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod kernels;
pub mod nn;
pub mod ops;
pub mod optim;
mod rng;
mod shape;
mod tensor;

pub use archive::{Archive, StateError};
pub use compute::{Kernel, compute};
pub use device::{Counts, Device, DeviceError, DeviceInfo, KernelTime};
pub use gradients::Gradients;
pub use kernels::buffer::HostMemory;
pub use kernels::{Element, Function, Level, Number, Precision, number};
pub use rng::Rng;
pub use shape::{Axes, MAX_RANK, Shape, Strides};
pub use tape::{Backward, Tape, trace};
pub use tensor::Tensor;
pub use var::{Saved, Var};

/// The programs of the README compile and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
