//! What holds a discriminator's layers, in its description.

use wengert::nn::{Init, WeightOptions};

use super::architecture::{Layer, batch_norm};
use crate::config::Norm;

/// The weight, divided by its spectral norm if that is what holds it.
pub fn held(weight: WeightOptions, norm: Norm) -> WeightOptions {
    if norm == Norm::Spectral { weight.spectral_norm() } else { weight }
}

/// Batch norm `b.i` behind convolution `i`, if that is what holds the layers; none behind the first.
pub fn batch_norm_if(norm: Norm, i: usize, gamma: Init) -> Vec<Layer> {
    if norm == Norm::Batch && i > 0 { vec![batch_norm(format!("b.{i}"), gamma)] } else { Vec::new() }
}
