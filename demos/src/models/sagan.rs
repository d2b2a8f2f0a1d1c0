//! The nets of SAGAN (Zhang et al. 2019, arXiv:1805.08318) at the size of the seed's Tables 1 and 2: their layers, with
//! spectral norm in the generator too, and attention over 128 channels at half the images' side, 16×16 for M = 32.

use wengert::nn::Init;

use super::architecture::{
    Architecture, attention, conv, deconv, dense, flatten, global_sum, leaky_relu, narrowed, relu, reshape, tanh,
};
use super::style::Style;
use crate::data::ImageShape;

/// Table 1 with attention: noise (z) to images (C, M, M) in (−1, 1).
pub fn generator(z_dim: usize, image: ImageShape, width: f64, style: Style) -> Architecture {
    let (c, m, w) = (|channels| narrowed(channels, width), image.height / 8, style.weight());
    let norm = |name| style.batch_norm(name, Init::PyTorch);
    Architecture::new(
        [z_dim],
        [
            vec![dense("l", c(512) * m * m, w), reshape([c(512), m, m])],
            vec![deconv("d.0", c(256), 4, 2, w), norm("b.0"), relu()],
            vec![deconv("d.1", c(128), 4, 2, w), norm("b.1"), relu()],
            vec![attention("a", style.added)],
            vec![deconv("d.2", c(64), 4, 2, w), norm("b.2"), relu()],
            vec![conv("o", image.channels, 3, 1, w), tanh()],
        ],
    )
}

/// Table 2 with attention: images (C, M, M) to a logit.
pub fn discriminator(image: ImageShape, width: f64, style: Style) -> Architecture {
    let (c, w, slope) = (|channels| narrowed(channels, width), style.weight(), 0.1);
    Architecture::new(
        [image.channels, image.height, image.width],
        [
            vec![conv("c.0", c(64), 3, 1, w), leaky_relu(slope)],
            vec![conv("c.1", c(64), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.2", c(128), 3, 1, w), leaky_relu(slope)],
            vec![attention("a", style.added)],
            vec![conv("c.3", c(128), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.4", c(256), 3, 1, w), leaky_relu(slope)],
            vec![conv("c.5", c(256), 4, 2, w), leaky_relu(slope)],
            vec![conv("c.6", c(512), 3, 1, w), leaky_relu(slope)],
            style.logit(vec![flatten(), dense("f", 1, w)], vec![global_sum()]),
        ],
    )
}
