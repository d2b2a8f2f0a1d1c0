//! The nets of the seed's Tables 1 and 2: the standard CNN of SNGAN, for images of any side that 8 divides.
//!
//! The seed's tables have no activation in the last row of Table 1, no slope of the leaky ReLU, and 64 channels in row
//! 6 of Table 2; the paper has tanh, 0.1 and 256.

use wengert::nn::Init;

use super::architecture::{
    Architecture, conv, deconv, dense, flatten, global_sum, leaky_relu, narrowed, relu, reshape, tanh,
};
use super::style::Style;
use crate::data::ImageShape;

/// Table 1: noise (z) to images (C, M, M) in (−1, 1).
///
/// For M = 32 and width 1 the rows end in 512×4×4, 256×8×8, 128×16×16, 64×32×32 and 3×32×32.
pub fn generator(z_dim: usize, image: ImageShape, width: f64, style: Style) -> Architecture {
    let (c, m) = (|channels| narrowed(channels, width), image.height / 8);
    let (w, norm) = (style.weight(), |name| style.batch_norm(name, Init::PyTorch));
    Architecture::new(
        [z_dim],
        [
            vec![dense("l", c(512) * m * m, w), reshape([c(512), m, m])],
            vec![deconv("d.0", c(256), 4, 2, w), norm("b.0"), relu()],
            vec![deconv("d.1", c(128), 4, 2, w), norm("b.1"), relu()],
            vec![deconv("d.2", c(64), 4, 2, w), norm("b.2"), relu()],
            vec![conv("o", image.channels, 3, 1, w), tanh()],
        ],
    )
}

/// Table 2: images (C, M, M) to a logit. With spectral norm, as in the paper, every weight is divided by it; with batch
/// norm all convolutions but the first are followed by batch norm, `b.1` to `b.6`.
///
/// For M = 32 and width 1 the rows end in 64×32×32, 64×16×16, 128×16×16, 128×8×8, 256×8×8, 256×4×4, 512×4×4 and 1.
pub fn discriminator(image: ImageShape, width: f64, style: Style) -> Architecture {
    let w = style.weight();
    let conv = |i: usize, channels: usize, kernel: usize, stride: usize| {
        let conv = conv(format!("c.{i}"), narrowed(channels, width), kernel, stride, w);
        [vec![conv], style.batch_norm_if(i, Init::PyTorch), vec![leaky_relu(0.1)]].concat()
    };
    Architecture::new(
        [image.channels, image.height, image.width],
        [
            conv(0, 64, 3, 1),
            conv(1, 64, 4, 2),
            conv(2, 128, 3, 1),
            conv(3, 128, 4, 2),
            conv(4, 256, 3, 1),
            conv(5, 256, 4, 2),
            conv(6, 512, 3, 1),
            style.logit(vec![flatten(), dense("f", 1, w)], vec![global_sum()]),
        ],
    )
}
