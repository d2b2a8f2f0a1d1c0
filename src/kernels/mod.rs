//! Numeric loops over slices. They know shapes and strides, but no tensor, no tape and no rule.
//!
//! Every fast kernel stands beside a naive one that is its oracle. Work is cut into parts whose number and borders
//! depend on the sizes alone, and partial results are added in a fixed order: the same input gives the same bits at
//! any number of threads.

pub mod buffer;
pub mod element;
pub mod level;
pub mod map;
pub mod nest;
pub mod reduce;

pub use buffer::Buffer;
pub use element::Element;
pub use level::Level;
