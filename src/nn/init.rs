//! How weights begin.

use crate::compute::by_element;
use crate::kernels::formulas::Affine;
use crate::{Element, Rng, Shape, Tensor};

/// The distribution that a layer's weight is drawn from.
///
/// For a weight of shape (n₀, n₁, …) the fan-in is n₁·…, the fan-out n₀ times the extents after n₁, as in PyTorch (for
/// a transposed convolution, whose weight is (in, out/groups, kh, kw), that swaps the two).
/// Draws are taken in row-major order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// What PyTorch does by default. Dense and convolution layers: weight and bias uniform on ±1/√fan-in (Kaiming
    /// uniform with a = √5). Embedding: N(0, 1). Norms: 1.
    PyTorch,
    /// N(mean, std²), biases 0. The DCGAN-style nets use N(0, 0.02²) for weights and N(1, 0.02²) for the γ of batch
    /// norm.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// Uniform on ±gain·√(6/(fan-in + fan-out)) (Glorot and Bengio 2010, with a gain of 1), biases 0.
    GlorotUniform {
        /// By which the bound is multiplied.
        gain: f64,
    },
    /// The same value everywhere, biases 0.
    Constant(f64),
}

/// What a weight belongs to, as far as PyTorch's defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Linear,
    Embedding,
    Gain,
}

impl Init {
    /// N(0, std²), biases 0.
    pub fn normal(std: f64) -> Init {
        Init::Normal { mean: 0.0, std }
    }

    /// Glorot and Bengio's uniform weights, biases 0.
    pub fn glorot() -> Init {
        Init::GlorotUniform { gain: 1.0 }
    }

    pub(super) fn weight<T: Element>(self, role: Role, shape: Shape, rng: &mut Rng) -> Tensor<T> {
        let area: usize = shape.iter().skip(2).product();
        let fans = (shape.get(1).map_or(1, |n| n * area), shape[0] * area);
        match (self, role) {
            (Init::PyTorch, Role::Linear) => {
                let bound = bound(fans.0);
                rng.uniform(shape, -bound, bound)
            }
            (Init::PyTorch, Role::Embedding) => rng.normal(shape),
            (Init::PyTorch, Role::Gain) => Tensor::ones(shape),
            (Init::Normal { mean, std }, _) => by_element(Affine { scale: std, shift: mean }, [&rng.normal(shape)]),
            (Init::GlorotUniform { gain }, _) => {
                let bound = gain * (6.0 / (fans.0 + fans.1).max(1) as f64).sqrt();
                rng.uniform(shape, -bound, bound)
            }
            (Init::Constant(value), _) => Tensor::full(shape, value),
        }
    }

    /// The bias of `len` outputs beside a weight of this shape.
    pub(super) fn bias<T: Element>(self, weight: &Shape, len: usize, rng: &mut Rng) -> Tensor<T> {
        match self {
            Init::PyTorch => {
                let bound = bound(weight.iter().skip(1).product());
                rng.uniform([len], -bound, bound)
            }
            _ => Tensor::zeros([len]),
        }
    }
}

/// 1/√fan-in; 0 for a layer without inputs.
fn bound(fan_in: usize) -> f64 {
    if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f64).sqrt() }
}
