//! The nets of the seed's Tables 1 and 2: the standard CNN of SNGAN, for images of any side that 8 divides.
//!
//! | generator (Table 1)                        | out, for M = 32, width 1 |
//! |--------------------------------------------|--------------------------|
//! | z ~ N(0, I), dense, reshape                | 512 × 4 × 4              |
//! | 4×4 deconv, stride 2, padding 1, BN, ReLU  | 256 × 8 × 8              |
//! | 4×4 deconv, stride 2, padding 1, BN, ReLU  | 128 × 16 × 16            |
//! | 4×4 deconv, stride 2, padding 1, BN, ReLU  | 64 × 32 × 32             |
//! | 3×3 conv, stride 1, padding 1, tanh        | 3 × 32 × 32              |
//!
//! | discriminator (Table 2), all with spectral norm  | out           |
//! |--------------------------------------------------|---------------|
//! | 3×3 conv, stride 1, leaky ReLU                   | 64 × 32 × 32  |
//! | 4×4 conv, stride 2; 3×3 conv; leaky ReLU each    | 128 × 16 × 16 |
//! | 4×4 conv, stride 2; 3×3 conv; leaky ReLU each    | 256 × 8 × 8   |
//! | 4×4 conv, stride 2; 3×3 conv; leaky ReLU each    | 512 × 4 × 4   |
//! | dense                                            | 1             |
//!
//! The seed's tables have no activation in the last row of Table 1, no slope of the leaky ReLU, and 64 channels in row 6
//! of Table 2; the paper has tanh, 0.1 and 256.

mod linear_map;

pub use linear_map::{LinearMap, MapKind};

use anyhow::{Result, bail};
use wengert::nn::{BatchNorm, Conv2d, ConvTranspose2d, Init, Linear, Params, Pass, WeightOptions};
use wengert::ops::Conv2dOptions;
use wengert::{Element, Rng, Var};

use crate::config::Config;
use crate::data::ImageShape;
use crate::usage::{available_memory, human_bytes};

/// The slope of the discriminator's leaky ReLU on the negative side.
const SLOPE: f64 = 0.1;

/// `channels` of the paper at this width, at least 1.
fn narrowed(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

/// Table 1: noise (N, z) to images (N, C, M, M) in (−1, 1).
#[derive(Debug)]
pub struct Generator {
    dense: Linear,
    ups: Vec<(ConvTranspose2d, BatchNorm)>,
    to_image: Conv2d,
    /// Channels and side of the maps behind the dense layer.
    start: [usize; 2],
}

impl Generator {
    /// Makes the layers' parameters in `params`, under the names `l`, `d.0`, `b.0`, …, `o`.
    pub fn new<T: Element>(params: &mut Params<T>, z_dim: usize, image: ImageShape, width: f64, rng: &mut Rng) -> Self {
        let channels = [512, 256, 128, 64].map(|c| narrowed(c, width));
        let side = image.height / 8;
        let mut root = params.scope("");
        let dense = Linear::new(&mut root.scope("l"), z_dim, channels[0] * side * side, Init::PyTorch, rng);
        let options = Conv2dOptions::default().stride(2).padding(1);
        let mut ups = Vec::new();
        for (i, pair) in channels.windows(2).enumerate() {
            let index = i.to_string();
            let mut deconvs = root.scope("d");
            let scope = &mut deconvs.scope(&index);
            let deconv = ConvTranspose2d::new(scope, pair[0], pair[1], [4, 4], &options, Init::PyTorch, rng);
            let norm = BatchNorm::new(&mut root.scope("b").scope(&index), pair[1], Init::PyTorch, rng);
            ups.push((deconv, norm));
        }
        let options = Conv2dOptions::default().padding(1);
        let to_image =
            Conv2d::new(&mut root.scope("o"), channels[3], image.channels, [3, 3], &options, Init::PyTorch, rng);
        Generator { dense, ups, to_image, start: [channels[0], side] }
    }

    /// Images (N, C, M, M) from noise (N, z).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, z: &Var<T>) -> Var<T> {
        let [channels, side] = self.start;
        let mut x = self.dense.forward(pass, z).reshape([z.shape()[0], channels, side, side]);
        for (deconv, norm) in &self.ups {
            x = norm.forward_relu(pass, &deconv.forward(pass, &x));
        }
        self.to_image.forward(pass, &x).tanh()
    }

    /// The linear maps, from the noise on.
    pub fn linear_maps(&self) -> Vec<LinearMap> {
        let side = |ups: usize| [self.start[1] << ups; 2];
        let options = Conv2dOptions::default().stride(2).padding(1);
        let ups = (0..self.ups.len()).map(|i| LinearMap::conv_transpose2d(format!("d.{i}"), options, side(i)));
        let to_image = LinearMap::conv2d("o", Conv2dOptions::default().padding(1), side(self.ups.len()));
        [LinearMap::dense("l")].into_iter().chain(ups).chain([to_image]).collect()
    }
}

/// Table 2: images (N, C, M, M) to logits (N, 1); every weight divided by its spectral norm.
#[derive(Debug)]
pub struct Discriminator {
    convs: Vec<Conv2d>,
    dense: Linear,
}

impl Discriminator {
    /// Makes the layers' parameters in `params`, under the names `c.0` to `c.6`, and `f`.
    pub fn new<T: Element>(params: &mut Params<T>, image: ImageShape, width: f64, rng: &mut Rng) -> Self {
        let channels = [64, 64, 128, 128, 256, 256, 512].map(|c| narrowed(c, width));
        let normalised = || WeightOptions::new(Init::PyTorch).spectral_norm();
        let mut root = params.scope("");
        let mut inputs = image.channels;
        let mut convs = Vec::new();
        for (i, &outputs) in channels.iter().enumerate() {
            let options = conv_options(i);
            let kernel = if i % 2 == 0 { [3, 3] } else { [4, 4] };
            let mut scope = root.scope("c");
            let scope = &mut scope.scope(&i.to_string());
            convs.push(Conv2d::new(scope, inputs, outputs, kernel, &options, normalised(), rng));
            inputs = outputs;
        }
        let side = image.height / 8;
        let dense = Linear::new(&mut root.scope("f"), inputs * side * side, 1, normalised(), rng);
        Discriminator { convs, dense }
    }

    /// Logits (N, 1) of images (N, C, M, M).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        let mut x = x.clone();
        for conv in &self.convs {
            x = conv.forward_leaky_relu(pass, &x, SLOPE);
        }
        self.dense.forward(pass, &x.flatten())
    }

    /// The linear maps, from images of this size on. What lies between them, leaky ReLU, stretches nothing, so the
    /// product of their norms bounds the Lipschitz constant.
    pub fn linear_maps(&self, image: ImageShape) -> Vec<LinearMap> {
        // Every second convolution halves the maps for those behind it.
        let input = |i: usize| [image.height >> (i / 2), image.width >> (i / 2)];
        let convs = (0..self.convs.len()).map(|i| LinearMap::conv2d(format!("c.{i}"), conv_options(i), input(i)));
        convs.chain([LinearMap::dense("f")]).collect()
    }
}

/// How the kernel of the discriminator's convolution `i` moves.
fn conv_options(i: usize) -> Conv2dOptions {
    Conv2dOptions::default().stride(1 + i % 2).padding(1)
}

/// Refuses what this machine's memory cannot hold, before anything is allocated.
///
/// # Errors
/// Names the flags, what the run needs and what is free.
pub fn check_memory(config: &Config, image: ImageShape) -> Result<()> {
    let Config { width, batch, z_dim, .. } = config;
    let needed = memory_estimate(config, image);
    if let Some(free) = available_memory().filter(|&free| needed > free) {
        let (needed, free) = (human_bytes(needed), human_bytes(free));
        bail!(
            "--width {width} --batch {batch} --z-dim {z_dim} need about {needed} of memory; expected at most {free}, what is free"
        );
    }
    Ok(())
}

/// About how many bytes a run in f32 needs: weights with gradients and optimiser state, and the maps of the larger of
/// the two steps. Within a factor of two; it is there to refuse the impossible.
fn memory_estimate(config: &Config, image: ImageShape) -> u64 {
    let pixels = (image.height * image.width) as f64;
    let width = config.width;
    let d_maps = (64.0 + 32.0 + 16.0) * pixels * width + (image.channels as f64) * pixels;
    let g_maps = 120.0 * pixels * width;
    let d_weights = 2.9e6 * width * width;
    let g_weights = 2.8e6 * width * width + 0.5 * pixels * width * config.z_dim as f64 * 16.0;
    let batch = config.batch as f64;
    let maps = batch * (2.0 * 2.0 * d_maps + 3.0 * g_maps);
    ((maps + 4.0 * (d_weights + g_weights)) * 4.0) as u64
}
