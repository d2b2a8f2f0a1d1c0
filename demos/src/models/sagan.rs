//! The nets of SAGAN (Zhang et al. 2019, arXiv:1805.08318) at the size of the seed's Tables 1 and 2: their layers, with
//! spectral norm in the generator too, and attention over 128 channels at half the images' side, 16×16 for M = 32.
//!
//! Conditional nets know the images' classes. In the generator each class has its own γ and β of every batch norm
//! (conditional batch norm); the discriminator is ψ(φ(x)) + yᵀVφ(x), where row y of V, an embedding with spectral norm,
//! is projected on the features φ, the last maps summed over their positions (Miyato and Koyama 2018,
//! arXiv:1802.05637).

use wengert::nn::{Init, WeightOptions};

use super::architecture::{
    Architecture, Layer, attention, batch_norm, conditional_batch_norm, conv, deconv, dense, flatten, global_sum,
    leaky_relu, narrowed, projection, relu, reshape, sum, tanh,
};
use crate::data::ImageShape;

fn normalised() -> WeightOptions {
    WeightOptions::new(Init::PyTorch).spectral_norm()
}

/// Table 1 with attention: noise (z) to images (C, M, M) in (−1, 1).
pub fn generator(z_dim: usize, image: ImageShape, width: f64, classes: Option<usize>) -> Architecture {
    let (c, m, w) = (|channels| narrowed(channels, width), image.height / 8, normalised());
    let norm = |name| norm(name, classes);
    Architecture::new(
        [z_dim],
        [
            vec![dense("l", c(512) * m * m, w), reshape([c(512), m, m])],
            vec![deconv("d.0", c(256), 4, 2, w), norm("b.0"), relu()],
            vec![deconv("d.1", c(128), 4, 2, w), norm("b.1"), relu()],
            vec![attention("a")],
            vec![deconv("d.2", c(64), 4, 2, w), norm("b.2"), relu()],
            vec![conv("o", image.channels, 3, 1, w), tanh()],
        ],
    )
}

/// Table 2 with attention: images (C, M, M) to a logit; every weight divided by its spectral norm.
pub fn discriminator(image: ImageShape, width: f64, classes: Option<usize>) -> Architecture {
    let (c, w, slope) = (|channels| narrowed(channels, width), normalised(), 0.1);
    Architecture::new(
        [image.channels, image.height, image.width],
        [
            vec![conv("c.0", c(64), 3, 1, w), leaky_relu(slope)],
            vec![conv("c.1", c(64), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.2", c(128), 3, 1, w), leaky_relu(slope)],
            vec![attention("a")],
            vec![conv("c.3", c(128), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.4", c(256), 3, 1, w), leaky_relu(slope)],
            vec![conv("c.5", c(256), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.6", c(512), 3, 1, w), leaky_relu(slope)],
            logit(vec![flatten(), dense("f", 1, w)], vec![global_sum()], classes),
        ],
    )
}

/// Batch norm; with classes, each has its own γ and β.
pub(super) fn norm(name: &str, classes: Option<usize>) -> Layer {
    match classes {
        Some(classes) => conditional_batch_norm(name, classes),
        None => batch_norm(name, Init::PyTorch),
    }
}

/// The layers that make a logit, ψ(φ(x)); with classes, the projection of the features on the class is added.
pub(super) fn logit(psi: Vec<Layer>, features: Vec<Layer>, classes: Option<usize>) -> Vec<Layer> {
    match classes {
        None => psi,
        Some(classes) => vec![sum([psi, [features, vec![projection("y", classes)]].concat()])],
    }
}
