//! The nets: the standard CNN of the seed's tables, those of the authors of WGAN, and those of SAGAN.

pub mod attention;
pub mod dcgan;
mod linear_map;
pub mod sagan;
pub mod standard;

pub use linear_map::{LinearMap, MapKind};

use anyhow::{Result, bail};
use wengert::nn::{Init, Params, Pass, WeightOptions};
use wengert::{Device, Element, Rng, Var};

use crate::config::{Config, Net, Norm};
use crate::data::ImageShape;
use crate::usage::{available_memory, human_bytes};

/// `channels` of the paper at this width, at least 1.
fn narrowed(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

impl Norm {
    /// A weight that begins so, divided by its spectral norm if that is the norm.
    fn weight(self, init: Init) -> WeightOptions {
        let options = WeightOptions::new(init);
        if self == Norm::Spectral { options.spectral_norm() } else { options }
    }
}

/// A net that makes images of noise.
#[derive(Debug)]
pub enum Generator {
    /// Table 1.
    Standard(standard::Generator),
    /// As WGAN's authors have it.
    Dcgan(dcgan::Generator),
    /// Table 1 with spectral norm and attention.
    Sagan(Box<sagan::Generator>),
}

impl Generator {
    /// The generator of this configuration, its parameters in `params`. `classes` counts only if it is conditional.
    pub fn new<T: Element>(
        params: &mut Params<T>,
        config: &Config,
        image: ImageShape,
        classes: usize,
        rng: &mut Rng,
    ) -> Generator {
        let &Config { z_dim, width, .. } = config;
        let classes = config.conditional.then_some(classes);
        match config.net {
            Net::Standard => Generator::Standard(standard::Generator::new(params, z_dim, image, width, rng)),
            Net::Dcgan => Generator::Dcgan(dcgan::Generator::new(params, z_dim, image, width, rng)),
            Net::Sagan => Generator::Sagan(Box::new(sagan::Generator::new(params, z_dim, image, width, classes, rng))),
        }
    }

    /// Images (N, C, M, M) in (−1, 1) from noise (N, z). A conditional net takes a class for each.
    ///
    /// # Panics
    /// If a conditional net gets no labels, or a label that it does not know.
    pub fn forward<T: Element>(&self, pass: &Pass<T>, z: &Var<T>, labels: Option<&[usize]>) -> Var<T> {
        self.forward_with_attention(pass, z, labels).0
    }

    /// As [`forward`](Generator::forward), with the attention map of a net that has one, (N, M²/4, M²/16): see
    /// [`Attention::forward`](attention::Attention::forward).
    ///
    /// # Panics
    /// If a conditional net gets no labels, or a label that it does not know.
    pub fn forward_with_attention<T: Element>(
        &self,
        pass: &Pass<T>,
        z: &Var<T>,
        labels: Option<&[usize]>,
    ) -> (Var<T>, Option<Var<T>>) {
        match self {
            Generator::Standard(net) => (net.forward(pass, z), None),
            Generator::Dcgan(net) => (net.forward(pass, z), None),
            Generator::Sagan(net) => {
                let (images, map) = net.forward(pass, z, labels);
                (images, Some(map))
            }
        }
    }

    /// The linear maps, from the noise on.
    pub fn linear_maps(&self) -> Vec<LinearMap> {
        match self {
            Generator::Standard(net) => net.linear_maps(),
            Generator::Dcgan(net) => net.linear_maps(),
            Generator::Sagan(net) => net.linear_maps(),
        }
    }
}

/// A net that tells real images from generated ones, or a critic.
#[derive(Debug)]
pub enum Discriminator {
    /// Table 2.
    Standard(standard::Discriminator),
    /// As WGAN's authors have it.
    Dcgan(dcgan::Discriminator),
    /// Table 2 with attention.
    Sagan(Box<sagan::Discriminator>),
}

impl Discriminator {
    /// The discriminator of this configuration, its parameters in `params`. `classes` counts only if it is conditional.
    pub fn new<T: Element>(
        params: &mut Params<T>,
        config: &Config,
        image: ImageShape,
        classes: usize,
        rng: &mut Rng,
    ) -> Discriminator {
        let &Config { width, norm, .. } = config;
        let classes = config.conditional.then_some(classes);
        match config.net {
            Net::Standard => Discriminator::Standard(standard::Discriminator::new(params, image, width, norm, rng)),
            Net::Dcgan => Discriminator::Dcgan(dcgan::Discriminator::new(params, image, width, norm, rng)),
            Net::Sagan => Discriminator::Sagan(Box::new(sagan::Discriminator::new(params, image, width, classes, rng))),
        }
    }

    /// Logits (N, 1) of images (N, C, M, M). A conditional net takes the class of each.
    ///
    /// # Panics
    /// If a conditional net gets no labels, or a label that it does not know.
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>, labels: Option<&[usize]>) -> Var<T> {
        match self {
            Discriminator::Standard(net) => net.forward(pass, x),
            Discriminator::Dcgan(net) => net.forward(pass, x),
            Discriminator::Sagan(net) => net.forward(pass, x, labels).0,
        }
    }

    /// Whether each number that goes into a leaky ReLU is above 0; `None` for other nets than the standard one.
    pub fn signs<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Option<Vec<bool>> {
        let Discriminator::Standard(net) = self else { return None };
        let mut signs = Vec::new();
        // Leaky ReLU keeps the sign.
        net.forward_watched(pass, x, |y| signs.extend(y.value().to_vec().iter().map(|y| *y > T::zero())));
        Some(signs)
    }

    /// The linear maps, from images of this size on.
    pub fn linear_maps(&self, image: ImageShape) -> Vec<LinearMap> {
        match self {
            Discriminator::Standard(net) => net.linear_maps(image),
            Discriminator::Dcgan(net) => net.linear_maps(image),
            Discriminator::Sagan(net) => net.linear_maps(image),
        }
    }

    /// Whether nothing but leaky ReLU, which stretches nothing, lies between the linear maps: then the product of their
    /// norms bounds the Lipschitz constant. Batch norm and attention stretch as well.
    pub fn is_chain(&self) -> bool {
        match self {
            Discriminator::Standard(net) => net.is_chain(),
            Discriminator::Dcgan(net) => net.is_chain(),
            Discriminator::Sagan(_) => false,
        }
    }
}

/// Refuses nets that no memory of this machine or device can hold, before anything is allocated.
///
/// # Errors
/// Names the flags, what the nets need and what there is.
pub fn check_weights(config: &Config, image: ImageShape, device: &Device) -> Result<()> {
    // Each has a gradient, and at least one moment of an optimiser.
    let needed = 3 * weights(config, image);
    let most = device.info().map_or_else(available_memory, |info| Some(info.memory));
    if let Some(most) = most.filter(|&most| needed > most) {
        let (needed, most) = (human_bytes(needed), human_bytes(most));
        let Config { width, z_dim, .. } = config;
        bail!(
            "--width {width} --z-dim {z_dim}: the nets with gradients and optimisers need about {needed} of memory; {most} \
             is there"
        );
    }
    Ok(())
}

/// About how many bytes the weights of both nets have in f32, within a factor of two.
fn weights(config: &Config, image: ImageShape) -> u64 {
    let (pixels, width) = ((image.height * image.width) as f64, config.width);
    if config.net == Net::Dcgan {
        return dcgan::weights(image, width, config.z_dim);
    }
    // Those of the convolutions go by the square of the width; the generator's first layer makes maps of 512 channels
    // and an eighth of the side, of every number of noise.
    let first = 512.0 * pixels / 64.0 * width * config.z_dim as f64;
    ((5.7e6 * width * width + first) * 4.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;

    /// The names of linear maps with the side of the maps that they take; dense layers have none.
    fn sides(maps: &[LinearMap]) -> String {
        let side = |map: &LinearMap| match map.kind {
            MapKind::Dense => map.name.clone(),
            MapKind::Conv2d { input: [rows, columns], .. }
            | MapKind::ConvTranspose2d { input: [rows, columns], .. } => {
                assert_eq!(rows, columns);
                format!("{} {rows}", map.name)
            }
        };
        maps.iter().map(side).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn linear_maps_are_those_of_every_net_with_the_sides_that_they_meet() {
        let image = ImageShape { channels: 3, height: 32, width: 32 };
        for (method, chain, expected_g, expected_d) in [
            (
                Method::Sngan,
                true,
                "l, d.0 4, d.1 8, d.2 16, o 32",
                "c.0 32, c.1 32, c.2 16, c.3 16, c.4 8, c.5 8, c.6 4, f",
            ),
            (Method::WganGp, true, "l, d.0 4, d.1 8, d.2 16", "c.0 32, c.1 16, c.2 8, f"),
            (Method::Wgan, false, "l, d.0 4, d.1 8, d.2 16", "c.0 32, c.1 16, c.2 8, f"),
            (
                Method::Sagan,
                false,
                "l, d.0 4, d.1 8, a.g 16, a.f 16, a.h 16, a.v 16, d.2 16, o 32",
                "c.0 32, c.1 32, c.2 16, a.g 16, a.f 16, a.h 16, a.v 16, c.3 16, c.4 8, c.5 8, c.6 4, f",
            ),
        ] {
            let config = Config { width: 0.05, z_dim: 4, ..Config::recipe(method) };
            let (mut g, mut d, rng) = (Params::<f32>::new(), Params::<f32>::new(), &mut Rng::seed(0));
            let generator = Generator::new(&mut g, &config, image, 0, rng);
            let discriminator = Discriminator::new(&mut d, &config, image, 0, rng);
            assert_eq!(sides(&generator.linear_maps()), expected_g, "{method:?}");
            assert_eq!(sides(&discriminator.linear_maps(image)), expected_d, "{method:?}");
            assert_eq!(discriminator.is_chain(), chain, "{method:?}");
            // No weight is left out.
            for (params, maps) in [(&g, generator.linear_maps()), (&d, discriminator.linear_maps(image))] {
                let weights = params.parameters().filter(|(_, _, value)| value.rank() > 1).count();
                assert_eq!(weights, maps.len(), "{method:?}");
            }
        }
    }
}
