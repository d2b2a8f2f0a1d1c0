//! The nets of residual blocks of SNGAN's authors (Miyato et al. 2018, arXiv:1802.05957, Tables 4 and 5 of the
//! appendix), for images of 32×32 and of 48×48, and, as in their code, of 64×64: the net of their Table 6 for 128×128
//! without its last block at 4×4 and with a doubling less.
//!
//! | generator, M = 32, width 1        | out          | discriminator, M = 32, width 1 | out           |
//! |-----------------------------------|--------------|--------------------------------|---------------|
//! | z ~ N(0, I), dense                | 256 × 4 × 4  | block, down                    | 128 × 16 × 16 |
//! | block, up                         | 256 × 8 × 8  | block, down                    | 128 × 8 × 8   |
//! | block, up                         | 256 × 16 × 16| block                          | 128 × 8 × 8   |
//! | block, up                         | 256 × 32 × 32| block                          | 128 × 8 × 8   |
//! | BN, ReLU, 3×3 conv, tanh          | 3 × 32 × 32  | ReLU, global sum, dense        | 1             |
//!
//! A block is x ↦ s(x) + r(x): the residual r is two 3×3 convolutions, the shortcut s one of 1×1 where sides or
//! channels change, else x itself. The authors' shortcuts do the 1×1 convolution on the larger maps; it commutes with
//! upsampling and with means, so here it is done on the smaller ones: the same numbers for a quarter of the work.
//!
//! Weights begin as Glorot and Bengio have it; with `--init paper` or `--paper` those of the blocks' 3×3 convolutions
//! within √2 times their bounds, as in the authors' code. (Their net for 32×32 has no bias in its last layer.)
//!
//! SAGAN's nets (Zhang et al. 2019, arXiv:1805.08318) are these with spectral norm in both, and attention, here at half
//! the images' side.

use wengert::nn::Init;

use super::architecture::{
    Architecture, Layer, attention, average_pool, batch_norm, conv, dense, global_sum, narrowed, relu, reshape, sum,
    tanh, upsample,
};
use super::style::Style;
use crate::data::ImageShape;

/// The sides of images that there are nets for.
pub const SIDES: [usize; 3] = [32, 48, 64];

/// Whose nets these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// Blocks alone.
    Sngan,
    /// With attention.
    Sagan,
}

impl Paper {
    /// The blocks, from the first on, with attention behind the one with this index.
    fn attended(self, mut blocks: Vec<Layer>, index: usize, style: Style) -> Vec<Layer> {
        if self == Paper::Sagan {
            blocks.insert(index + 1, attention("a", style.added));
        }
        blocks
    }
}

/// Noise (z) to images (C, M, M) in (−1, 1): blocks from small maps on, each of which doubles the side.
///
/// # Panics
/// If M is none of [`SIDES`].
pub fn generator(z_dim: usize, image: ImageShape, width: f64, style: Style, paper: Paper) -> Architecture {
    let (m, channels) = match image.height {
        32 => (4, vec![256, 256, 256, 256]),
        48 => (6, vec![512, 256, 128, 64]),
        64 => (4, vec![1024, 512, 256, 128, 64]),
        side => panic!("resnet: images with a side of {side}; expected one of {SIDES:?}"),
    };
    let channels: Vec<usize> = channels.into_iter().map(|c| narrowed(c, width)).collect();
    let w = style.weight();
    let up = |(i, &outputs): (usize, &usize)| block_up(&format!("block.{i}"), outputs, style);
    let blocks: Vec<Layer> = channels[1..].iter().enumerate().map(up).collect();
    let half_side = blocks.len() - 2;
    Architecture::new(
        [z_dim],
        [
            vec![dense("l", channels[0] * m * m, w), reshape([channels[0], m, m])],
            paper.attended(blocks, half_side, style),
            vec![batch_norm("b", Init::PyTorch), relu(), conv("o", image.channels, 3, 1, w), tanh()],
        ],
    )
}

/// Images (C, M, M) to a logit, or to a critic's value.
///
/// # Panics
/// If M is none of [`SIDES`].
pub fn discriminator(image: ImageShape, width: f64, style: Style, paper: Paper) -> Architecture {
    use Side::{Halved, Kept};
    let channels = match image.height {
        32 => vec![(128, Halved), (128, Halved), (128, Kept), (128, Kept)],
        48 => vec![(64, Halved), (128, Halved), (256, Halved), (512, Halved), (1024, Kept)],
        64 => vec![(64, Halved), (128, Halved), (256, Halved), (512, Halved), (1024, Halved)],
        side => panic!("resnet: images with a side of {side}; expected one of {SIDES:?}"),
    };
    let w = style.weight();
    let mut inputs = image.channels;
    let blocks = channels.into_iter().enumerate().map(|(i, (channels, side))| {
        let (name, outputs) = (format!("block.{i}"), narrowed(channels, width));
        let block =
            if i == 0 { first_block(&name, outputs, style) } else { block(&name, inputs, outputs, side, style) };
        inputs = outputs;
        block
    });
    Architecture::new(
        [image.channels, image.height, image.width],
        [
            paper.attended(blocks.collect(), 0, style),
            vec![relu(), global_sum()],
            style.logit(vec![dense("f", 1, w)], vec![]),
        ],
    )
}

/// What a block does to the side of its maps.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Halved,
    Kept,
}

/// A block of the generator, which doubles the side.
fn block_up(name: &str, outputs: usize, style: Style) -> Layer {
    let part = |part: &str| format!("{name}.{part}");
    let conv = |name: &str, kernel: usize| block_conv(part(name), outputs, kernel, style);
    let norm = |name: &str| style.batch_norm(part(name), Init::PyTorch);
    sum([
        vec![conv("s", 1), upsample(2)],
        [vec![norm("b.0"), relu(), upsample(2), conv("c.0", 3)], vec![norm("b.1"), relu(), conv("c.1", 3)]].concat(),
    ])
}

/// The discriminator's first block, which has no ReLU in front: that would cut off the dark half of the images.
fn first_block(name: &str, outputs: usize, style: Style) -> Layer {
    let conv = |part: &str, kernel: usize| block_conv(format!("{name}.{part}"), outputs, kernel, style);
    sum([vec![average_pool(2), conv("s", 1)], vec![conv("c.0", 3), relu(), conv("c.1", 3), average_pool(2)]])
}

/// Another block of the discriminator.
fn block(name: &str, inputs: usize, outputs: usize, side: Side, style: Style) -> Layer {
    let conv = |part: &str, outputs: usize, kernel: usize| block_conv(format!("{name}.{part}"), outputs, kernel, style);
    let halve = if side == Side::Halved { vec![average_pool(2)] } else { vec![] };
    let changes = side == Side::Halved || inputs != outputs;
    let shortcut = if changes { [halve.clone(), vec![conv("s", outputs, 1)]].concat() } else { vec![] };
    let residual = vec![relu(), conv("c.0", inputs, 3), relu(), conv("c.1", outputs, 3)];
    sum([shortcut, [residual, halve].concat()])
}

/// A convolution within a block: 3×3, or 1×1 in a shortcut.
fn block_conv(name: String, outputs: usize, kernel: usize, style: Style) -> Layer {
    let w = if kernel == 3 { style.block_weight() } else { style.weight() };
    conv(name, outputs, kernel, 1, w)
}
