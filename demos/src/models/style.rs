//! What the layers of a net have in common, whatever its architecture.

use wengert::nn::{Init, WeightOptions};

use super::architecture::{Layer, batch_norm, conditional_batch_norm, projection, sum};
use crate::config::Norm;

/// How the weights of a net begin, what holds its layers, and whether it knows classes.
///
/// Conditional nets know the images' classes. In a generator each class has its own γ and β of every batch norm
/// (conditional batch norm); a discriminator is ψ(φ(x)) + yᵀVφ(x), where row y of V, an embedding, is projected on the
/// features φ, the last maps summed over their positions (Miyato and Koyama 2018, arXiv:1802.05637).
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// How weights begin.
    pub weights: Init,
    /// How the 3×3 convolutions of residual blocks begin.
    pub blocks: Init,
    /// How the weights of attention and the vectors of classes begin.
    pub added: Init,
    /// What holds the layers; a generator has its batch norm whatever this is.
    pub norm: Norm,
    /// The number of classes, for conditional nets.
    pub classes: Option<usize>,
}

impl Style {
    /// A weight with a bias, divided by its spectral norm if that is what holds it.
    pub fn weight(&self) -> WeightOptions {
        self.held(self.weights)
    }

    /// The same for the 3×3 convolutions of residual blocks.
    pub fn block_weight(&self) -> WeightOptions {
        self.held(self.blocks)
    }

    fn held(&self, init: Init) -> WeightOptions {
        let weight = WeightOptions::new(init);
        match self.norm {
            Norm::None | Norm::Batch => weight,
            Norm::Spectral => weight.spectral_norm(),
            Norm::Weight => weight.weight_norm(),
        }
    }

    /// A generator's batch norm; with classes, each has its own γ and β.
    pub fn batch_norm(&self, name: impl Into<String>, gamma: Init) -> Layer {
        match self.classes {
            Some(classes) => conditional_batch_norm(name, classes),
            None => batch_norm(name, gamma),
        }
    }

    /// Batch norm `b.i` behind convolution `i` of a discriminator, if that is what holds its layers; none behind the
    /// first.
    pub fn batch_norm_if(&self, i: usize, gamma: Init) -> Vec<Layer> {
        if self.norm == Norm::Batch && i > 0 { vec![batch_norm(format!("b.{i}"), gamma)] } else { Vec::new() }
    }

    /// The layers that make a logit, ψ(φ(x)); with classes, the projection of the `features` on the class is added.
    pub fn logit(&self, psi: Vec<Layer>, features: Vec<Layer>) -> Vec<Layer> {
        match self.classes {
            None => psi,
            Some(classes) => {
                let vectors = projection("y", classes, self.held(self.added));
                vec![sum([psi, [features, vec![vectors]].concat()])]
            }
        }
    }
}
