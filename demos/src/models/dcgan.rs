//! The nets of WGAN's authors, which are those of DCGAN (Radford, Metz and Chintala 2015, arXiv:1511.06434): 4×4
//! convolutions with stride 2 between 4×4 maps and the image, for any side that 8 divides.
//!
//! | generator, M = 32, width 1 | out | discriminator | out |
//! |---------------------------------------|---------------|---------------------------------------------|--------------|
//! | z ~ N(0, I), dense, BN, ReLU | 256 × 4 × 4 | 4×4 conv, stride 2, leaky ReLU 0.2 | 64 × 16 × 16 |
//! | 4×4 deconv, stride 2, BN, ReLU | 128 × 8 × 8 | 4×4 conv, stride 2, BN, leaky ReLU | 128 × 8 × 8 |
//! | 4×4 deconv, stride 2, BN, ReLU | 64 × 16 × 16 | 4×4 conv, stride 2, BN, leaky ReLU | 256 × 4 × 4 |
//! | 4×4 deconv, stride 2, tanh | 3 × 32 × 32 | dense | 1 |
//!
//! Weights begin as N(0, 0.02²), γ of batch norm as N(1, 0.02²). Layers have no bias, except those of a discriminator
//! without batch norm. The authors write the dense layers as convolutions of 1×1 and of 4×4 maps: the same numbers.

use wengert::nn::{BatchNorm, Conv2d, ConvTranspose2d, Init, Linear, Params, Pass, WeightOptions};
use wengert::ops::Conv2dOptions;
use wengert::{Element, Rng, Var};

use super::{LinearMap, narrowed};
use crate::config::Norm;
use crate::data::ImageShape;

/// How weights begin.
const WEIGHTS: Init = Init::Normal { mean: 0.0, std: 0.02 };

/// How the γ of batch norm begins.
const GAMMA: Init = Init::Normal { mean: 1.0, std: 0.02 };

/// The slope of the discriminator's leaky ReLU on the negative side.
const SLOPE: f64 = 0.2;

/// The channels of the largest maps behind the image's; every halving of the side doubles them.
const CHANNELS: usize = 64;

/// The side of the smallest maps, 4 to 7 or an odd number above, and how many doublings lead to the image.
fn halvings(side: usize) -> (usize, u32) {
    let (mut start, mut count) = (side, 0);
    while start % 2 == 0 && start >= 8 {
        start /= 2;
        count += 1;
    }
    (start, count)
}

/// The bytes of the large weights of both nets in f32.
pub(super) fn weights(image: ImageShape, width: f64, z_dim: usize) -> u64 {
    let (side, doublings) = halvings(image.height);
    let channels: Vec<f64> = (0..doublings).map(|i| CHANNELS as f64 * f64::from(1 << i) * width).collect();
    let convolutions: f64 = channels.windows(2).map(|pair| 16.0 * pair[0] * pair[1]).sum();
    let dense = channels.last().copied().unwrap_or(0.0) * (side * side * (z_dim + 1)) as f64;
    (4.0 * (2.0 * convolutions + dense)) as u64
}

fn options() -> Conv2dOptions {
    Conv2dOptions::default().stride(2).padding(1)
}

/// Noise (N, z) to images (N, C, M, M) in (−1, 1).
#[derive(Debug)]
pub struct Generator {
    dense: Linear,
    /// Batch norm of the input of each transposed convolution.
    ups: Vec<(BatchNorm, ConvTranspose2d)>,
    /// Channels and side of the maps behind the dense layer.
    start: [usize; 2],
}

impl Generator {
    /// Makes the layers' parameters in `params`, under the names `l`, `b.0`, `d.0`, `b.1`, `d.1`, ….
    pub fn new<T: Element>(params: &mut Params<T>, z_dim: usize, image: ImageShape, width: f64, rng: &mut Rng) -> Self {
        let (side, doublings) = halvings(image.height);
        let channels: Vec<usize> = (0..doublings).rev().map(|i| narrowed(CHANNELS << i, width)).collect();
        let weights = WeightOptions::new(WEIGHTS).without_bias();
        let mut root = params.scope("");
        let dense = Linear::new(&mut root.scope("l"), z_dim, channels[0] * side * side, weights, rng);
        let mut ups = Vec::new();
        for (i, &inputs) in channels.iter().enumerate() {
            let index = i.to_string();
            let outputs = channels.get(i + 1).copied().unwrap_or(image.channels);
            let norm = BatchNorm::new(&mut root.scope("b").scope(&index), inputs, GAMMA, rng);
            let scope = &mut root.scope("d");
            let scope = &mut scope.scope(&index);
            ups.push((norm, ConvTranspose2d::new(scope, inputs, outputs, [4, 4], &options(), weights, rng)));
        }
        Generator { dense, ups, start: [channels[0], side] }
    }

    /// Images (N, C, M, M) from noise (N, z).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, z: &Var<T>) -> Var<T> {
        let [channels, side] = self.start;
        let mut x = self.dense.forward(pass, z).reshape([z.shape()[0], channels, side, side]);
        for (norm, deconv) in &self.ups {
            x = deconv.forward(pass, &norm.forward_relu(pass, &x));
        }
        x.tanh()
    }

    /// The linear maps, from the noise on.
    pub(super) fn linear_maps(&self) -> Vec<LinearMap> {
        let input = |i: usize| [self.start[1] << i; 2];
        let ups = (0..self.ups.len()).map(|i| LinearMap::conv_transpose2d(format!("d.{i}"), options(), input(i)));
        [LinearMap::dense("l")].into_iter().chain(ups).collect()
    }
}

/// Images (N, C, M, M) to logits, or to a critic's values, (N, 1).
#[derive(Debug)]
pub struct Discriminator {
    convs: Vec<(Conv2d, Option<BatchNorm>)>,
    dense: Linear,
}

impl Discriminator {
    /// Makes the layers' parameters in `params`, under the names `c.0`, `c.1`, …, `f`, and `b.1`, … if there is batch
    /// norm.
    pub fn new<T: Element>(params: &mut Params<T>, image: ImageShape, width: f64, norm: Norm, rng: &mut Rng) -> Self {
        let (side, count) = halvings(image.height);
        let weights = match norm {
            Norm::Batch => norm.weight(WEIGHTS).without_bias(),
            Norm::None | Norm::Spectral => norm.weight(WEIGHTS),
        };
        let mut root = params.scope("");
        let mut inputs = image.channels;
        let mut convs = Vec::new();
        for i in 0..count {
            let index = i.to_string();
            let outputs = narrowed(CHANNELS << i, width);
            let scope = &mut root.scope("c");
            let scope = &mut scope.scope(&index);
            let conv = Conv2d::new(scope, inputs, outputs, [4, 4], &options(), weights, rng);
            let has_norm = norm == Norm::Batch && i > 0;
            let batch_norm = has_norm.then(|| BatchNorm::new(&mut root.scope("b").scope(&index), outputs, GAMMA, rng));
            convs.push((conv, batch_norm));
            inputs = outputs;
        }
        let dense = Linear::new(&mut root.scope("f"), inputs * side * side, 1, weights, rng);
        Discriminator { convs, dense }
    }

    /// Logits (N, 1) of images (N, C, M, M).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        let mut x = x.clone();
        for (conv, norm) in &self.convs {
            x = match norm {
                None => conv.forward_leaky_relu(pass, &x, SLOPE),
                Some(norm) => norm.forward(pass, &conv.forward(pass, &x)).leaky_relu(SLOPE),
            };
        }
        self.dense.forward(pass, &x.flatten())
    }

    /// The linear maps, from images of this size on.
    pub(super) fn linear_maps(&self, image: ImageShape) -> Vec<LinearMap> {
        let input = |i: usize| [image.height >> i, image.width >> i];
        let convs = (0..self.convs.len()).map(|i| LinearMap::conv2d(format!("c.{i}"), options(), input(i)));
        convs.chain([LinearMap::dense("f")]).collect()
    }

    /// Whether there is no batch norm.
    pub(super) fn is_chain(&self) -> bool {
        self.convs.iter().all(|(_, norm)| norm.is_none())
    }
}

#[cfg(test)]
mod tests {
    use wengert::Tensor;
    use wengert::nn::Mode;

    use super::*;

    #[test]
    fn the_nets_of_the_authors_at_32_and_64_pixels() {
        // Parameters of the authors' DCGAN_G and DCGAN_D with nz 100, ngf and ndf 64, nc 3.
        for (side, g_size, d_size) in [(32, 1_068_928, 663_296), (64, 3_576_704, 2_765_568)] {
            let image = ImageShape { channels: 3, height: side, width: side };
            let (mut g, mut d) = (Params::<f32>::new(), Params::<f32>::new());
            let rng = &mut Rng::seed(0);
            let generator = Generator::new(&mut g, 100, image, 1.0, rng);
            let discriminator = Discriminator::new(&mut d, image, 1.0, Norm::Batch, rng);
            assert_eq!((g.size(), d.size()), (g_size, d_size), "{side}");
            let z: Tensor = rng.normal([2, 100]);
            let images = generator.forward(&Pass::frozen(&g, Mode::Eval), &z.into());
            assert_eq!(**images.shape(), [2, 3, side, side]);
            assert_eq!(**discriminator.forward(&Pass::frozen(&d, Mode::Eval), &images).shape(), [2, 1]);
        }
    }

    #[test]
    fn any_side_that_8_divides_has_maps_to_begin_with() {
        let starts = [8, 16, 24, 32, 40, 48, 56, 64, 72, 256].map(halvings);
        let expected = [(4, 1), (4, 2), (6, 2), (4, 3), (5, 3), (6, 3), (7, 3), (4, 4), (9, 3), (4, 6)];
        assert_eq!(starts, expected);
    }

    #[test]
    fn weights_begin_as_the_authors_have_it() {
        let image = ImageShape { channels: 3, height: 32, width: 32 };
        let mut d = Params::<f64>::new();
        Discriminator::new(&mut d, image, 1.0, Norm::Batch, &mut Rng::seed(0));
        for (name, mean, n) in [("c.2.weight", 0.0, 524_288.0), ("b.2.weight", 1.0, 256.0)] {
            let values = d.get(name).unwrap().to_vec();
            let found = values.iter().sum::<f64>() / n;
            let std = (values.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n).sqrt();
            assert!((found - mean).abs() < 5.0 * 0.02 / n.sqrt(), "{name}: mean {found}");
            assert!((std / 0.02 - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "{name}: standard deviation {std}");
        }
        assert!(d.get("b.0.weight").is_none(), "no batch norm after the first convolution");
    }
}
