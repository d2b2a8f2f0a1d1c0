//! For the kernels of convolution, until they name these themselves.

pub(super) use super::copy::{BLOCK, transpose_block as turn};
pub use super::parallel::{TASK as CHUNK, for_chunks};
