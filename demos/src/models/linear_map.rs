//! What the linear layers of a net do, for those who look into it.

use wengert::ops::Conv2dOptions;

/// A linear map of a net: where its weight is, and what it does.
#[derive(Clone, Debug)]
pub struct LinearMap {
    /// The prefix of its parameters, as in `c.0`.
    pub name: String,
    /// What the weight is applied to.
    pub kind: MapKind,
}

/// The kinds of linear maps.
#[derive(Clone, Copy, Debug)]
pub enum MapKind {
    /// A dense layer.
    Dense,
    /// A convolution of maps of these rows and columns.
    Conv2d {
        /// How the kernel moves.
        options: Conv2dOptions,
        /// Rows and columns of the maps.
        input: [usize; 2],
    },
    /// A transposed convolution of maps of these rows and columns, without output padding.
    ConvTranspose2d {
        /// How the kernel moves.
        options: Conv2dOptions,
        /// Rows and columns of the maps.
        input: [usize; 2],
    },
}

impl LinearMap {
    /// A dense layer with parameters of this prefix.
    pub fn dense(name: impl Into<String>) -> LinearMap {
        LinearMap { name: name.into(), kind: MapKind::Dense }
    }

    /// A convolution with parameters of this prefix, of maps of these rows and columns.
    pub fn conv2d(name: impl Into<String>, options: Conv2dOptions, input: [usize; 2]) -> LinearMap {
        LinearMap { name: name.into(), kind: MapKind::Conv2d { options, input } }
    }

    /// A transposed convolution with parameters of this prefix, of maps of these rows and columns.
    pub fn conv_transpose2d(name: impl Into<String>, options: Conv2dOptions, input: [usize; 2]) -> LinearMap {
        LinearMap { name: name.into(), kind: MapKind::ConvTranspose2d { options, input } }
    }
}
