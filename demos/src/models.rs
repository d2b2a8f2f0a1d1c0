//! The nets, each a description that one interpreter computes with: the standard CNN of the seed's tables, those of the
//! authors of WGAN, those of SAGAN, and residual blocks.

pub mod architecture;
pub mod attention;
mod classes;
pub mod dcgan;
mod linear_map;
mod network;
pub mod resnet;
pub mod sagan;
pub mod standard;
mod style;

pub use architecture::Architecture;
pub use linear_map::{LinearMap, MapKind};
pub use network::Network;

use anyhow::{Result, bail, ensure};
use style::Style;
use wengert::Device;
use wengert::nn::Init;

use crate::config::{Config, InitialWeights, Method, Net, Norm};
use crate::data::ImageShape;
use crate::usage::{available_memory, human_bytes};

/// The generator of this configuration: noise (z) to images (C, M, M) in (−1, 1). `classes` counts only if it is
/// conditional.
pub fn generator(config: &Config, image: ImageShape, classes: usize) -> Architecture {
    let &Config { z_dim, width, .. } = config;
    // SAGAN alone has spectral norm in the generator too.
    let style = style(config, if config.method == Method::Sagan { Norm::Spectral } else { Norm::None }, classes);
    match config.net {
        Net::Standard => standard::generator(z_dim, image, width, style),
        Net::Dcgan => dcgan::generator(z_dim, image, width, style),
        Net::Sagan => sagan::generator(z_dim, image, width, style),
        Net::Resnet => resnet::generator(z_dim, image, width, style, paper(config)),
    }
}

/// The discriminator of this configuration, or the critic: images (C, M, M) to a logit. `classes` counts only if it is
/// conditional.
pub fn discriminator(config: &Config, image: ImageShape, classes: usize) -> Architecture {
    let &Config { width, norm, .. } = config;
    let style = style(config, norm, classes);
    match config.net {
        Net::Standard => standard::discriminator(image, width, style),
        Net::Dcgan => dcgan::discriminator(image, width, style),
        Net::Sagan => sagan::discriminator(image, width, style),
        Net::Resnet => resnet::discriminator(image, width, style, paper(config)),
    }
}

/// Whose residual nets the method takes.
fn paper(config: &Config) -> resnet::Paper {
    if config.method == Method::Sagan { resnet::Paper::Sagan } else { resnet::Paper::Sngan }
}

/// What the layers of a net have in common, if it is held so.
fn style(config: &Config, norm: Norm, classes: usize) -> Style {
    let weights = match (config.net, config.init) {
        (Net::Standard | Net::Sagan, InitialWeights::Usual) => Init::PyTorch,
        (Net::Standard, InitialWeights::Paper) | (Net::Dcgan, _) => Init::normal(0.02),
        (Net::Sagan, InitialWeights::Paper) | (Net::Resnet, _) => Init::glorot(),
    };
    let authors = config.net == Net::Resnet && config.init == InitialWeights::Paper;
    let blocks = match paper(config) {
        resnet::Paper::Sngan if authors => Init::GlorotUniform { gain: std::f64::consts::SQRT_2 },
        _ => weights,
    };
    let added = match (config.init, weights) {
        (InitialWeights::Usual, _) if norm == Norm::Spectral => Init::PyTorch,
        // PyTorch's N(0, 1) of an embedding would drown all else where σ does not divide it.
        (_, Init::PyTorch) => Init::glorot(),
        (_, weights) => weights,
    };
    Style { weights, blocks, added, norm, classes: config.conditional.then_some(classes) }
}

/// Refuses images of a size that the nets of this configuration are not for.
///
/// # Errors
/// Names the flag, the images' shape and what was expected.
pub fn check_image(config: &Config, image: ImageShape) -> Result<()> {
    let square = image.height == image.width && image.height.is_multiple_of(8);
    ensure!(square, "images are {image}; expected squares with a side that 8 divides, or 28×28, or --size");
    let known = config.net != Net::Resnet || resnet::SIDES.contains(&image.height);
    ensure!(known, "images are {image}; expected 32×32, 48×48 or 64×64 for --net resnet, or --size");
    Ok(())
}

/// Refuses nets that no memory of this machine or device can hold, before anything is allocated.
///
/// # Errors
/// Names the flags, what the nets need and what there is.
pub fn check_weights(config: &Config, image: ImageShape, classes: usize, device: &Device) -> Result<()> {
    let nets = [generator(config, image, classes), discriminator(config, image, classes)];
    let weights: u64 = nets.iter().map(|net| net.parameters() * size_of::<f32>() as u64).sum();
    // Each has a gradient, and at least one moment of an optimiser.
    let needed = 3 * weights;
    let most = device.info().map_or_else(available_memory, |info| Some(info.memory));
    if let Some(most) = most.filter(|&most| needed > most) {
        let (needed, most) = (human_bytes(needed), human_bytes(most));
        let Config { width, z_dim, .. } = config;
        bail!(
            "--width {width} --z-dim {z_dim}: the nets with gradients and optimisers need about {needed} of memory; \
             {most} is there"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
