//! The nets of WGAN's authors, which are those of DCGAN (Radford, Metz and Chintala 2015, arXiv:1511.06434): 4×4
//! convolutions with stride 2 between 4×4 maps and the image, for any side that 8 divides.
//!
//! | generator, M = 32, width 1 | out | discriminator | out |
//! |---|---|---|---|
//! | z ~ N(0, I), dense, BN, ReLU | 256 × 4 × 4 | 4×4 conv, stride 2, leaky ReLU 0.2 | 64 × 16 × 16 |
//! | 4×4 deconv, stride 2, BN, ReLU | 128 × 8 × 8 | 4×4 conv, stride 2, BN, leaky ReLU | 128 × 8 × 8 |
//! | 4×4 deconv, stride 2, BN, ReLU | 64 × 16 × 16 | 4×4 conv, stride 2, BN, leaky ReLU | 256 × 4 × 4 |
//! | 4×4 deconv, stride 2, tanh | 3 × 32 × 32 | dense | 1 |
//!
//! γ of batch norm begins as N(1, 0.02²). Layers have no bias, except those of a discriminator
//! without batch norm. The authors write the dense layers as convolutions of 1×1 and of 4×4 maps: the same numbers.

use wengert::nn::Init;

use super::architecture::{
    Architecture, conv, deconv, dense, flatten, global_sum, leaky_relu, narrowed, relu, reshape, tanh,
};
use super::style::Style;
use crate::config::Norm;
use crate::data::ImageShape;

/// How the γ of batch norm begins.
const GAMMA: Init = Init::Normal { mean: 1.0, std: 0.02 };

/// The channels of the largest maps behind the image's; every halving of the side doubles them.
const CHANNELS: usize = 64;

/// The side of the smallest maps, 4 to 7 or an odd number above, and how many doublings lead to the image.
fn halvings(side: usize) -> (usize, usize) {
    let (mut start, mut count) = (side, 0);
    while start % 2 == 0 && start >= 8 {
        start /= 2;
        count += 1;
    }
    (start, count)
}

/// Noise (z) to images (C, M, M) in (−1, 1).
pub fn generator(z_dim: usize, image: ImageShape, width: f64, style: Style) -> Architecture {
    let (side, doublings) = halvings(image.height);
    let channels: Vec<usize> = (0..doublings).rev().map(|i| narrowed(CHANNELS << i, width)).collect();
    let w = style.weight().without_bias();
    let up = |i: usize| {
        let outputs = channels.get(i + 1).copied().unwrap_or(image.channels);
        vec![style.batch_norm(format!("b.{i}"), GAMMA), relu(), deconv(format!("d.{i}"), outputs, 4, 2, w)]
    };
    let first = vec![dense("l", channels[0] * side * side, w), reshape([channels[0], side, side])];
    Architecture::new([z_dim], [first].into_iter().chain((0..doublings).map(up)).chain([vec![tanh()]]))
}

/// Images (C, M, M) to a logit, or to a critic's value.
pub fn discriminator(image: ImageShape, width: f64, style: Style) -> Architecture {
    let (_, halvings) = halvings(image.height);
    let w = if style.norm == Norm::Batch { style.weight().without_bias() } else { style.weight() };
    let down = |i: usize| {
        let conv = conv(format!("c.{i}"), narrowed(CHANNELS << i, width), 4, 2, w);
        [vec![conv], style.batch_norm_if(i, GAMMA), vec![leaky_relu(0.2)]].concat()
    };
    let last = style.logit(vec![flatten(), dense("f", 1, w)], vec![global_sum()]);
    Architecture::new([image.channels, image.height, image.width], (0..halvings).map(down).chain([last]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_side_that_8_divides_has_maps_to_begin_with() {
        let starts = [8, 16, 24, 32, 40, 48, 56, 64, 72, 256].map(halvings);
        let expected = [(4, 1), (4, 2), (6, 2), (4, 3), (5, 3), (6, 3), (7, 3), (4, 4), (9, 3), (4, 6)];
        assert_eq!(starts, expected);
    }
}
