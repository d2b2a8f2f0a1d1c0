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
//! The seed's tables have no activation in the last row of Table 1, no slope of the leaky ReLU, and 64 channels in row
//! 6 of Table 2; the paper has tanh, 0.1 and 256.

use wengert::nn::{BatchNorm, Conv2d, ConvTranspose2d, Init, Linear, Params, Pass};
use wengert::ops::Conv2dOptions;
use wengert::{Element, Rng, Var};

use super::{LinearMap, narrowed};
use crate::config::Norm;
use crate::data::ImageShape;

/// Channels of Table 1, from the dense layer on.
pub(super) const GENERATOR_CHANNELS: [usize; 4] = [512, 256, 128, 64];

/// Channels of Table 2. Every second convolution has 4×4 taps and stride 2, the others 3×3.
pub(super) const DISCRIMINATOR_CHANNELS: [usize; 7] = [64, 64, 128, 128, 256, 256, 512];

/// The slope of the discriminator's leaky ReLU on the negative side.
pub(super) const SLOPE: f64 = 0.1;

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
        let channels = GENERATOR_CHANNELS.map(|c| narrowed(c, width));
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
    pub(super) fn linear_maps(&self) -> Vec<LinearMap> {
        let side = |ups: usize| [self.start[1] << ups; 2];
        let options = Conv2dOptions::default().stride(2).padding(1);
        let ups = (0..self.ups.len()).map(|i| LinearMap::conv_transpose2d(format!("d.{i}"), options, side(i)));
        let to_image = LinearMap::conv2d("o", Conv2dOptions::default().padding(1), side(self.ups.len()));
        [LinearMap::dense("l")].into_iter().chain(ups).chain([to_image]).collect()
    }
}

/// Table 2: images (N, C, M, M) to logits (N, 1). With [`Norm::Spectral`], as in the paper, every weight is divided by
/// its spectral norm; with [`Norm::Batch`] all convolutions but the first are followed by batch norm.
#[derive(Debug)]
pub struct Discriminator {
    convs: Vec<(Conv2d, Option<BatchNorm>)>,
    dense: Linear,
}

impl Discriminator {
    /// Makes the layers' parameters in `params`, under the names `c.0` to `c.6`, `f`, and `b.1` to `b.6` if there is
    /// batch norm.
    pub fn new<T: Element>(params: &mut Params<T>, image: ImageShape, width: f64, norm: Norm, rng: &mut Rng) -> Self {
        let channels = DISCRIMINATOR_CHANNELS.map(|c| narrowed(c, width));
        let mut root = params.scope("");
        let mut inputs = image.channels;
        let mut convs = Vec::new();
        for (i, &outputs) in channels.iter().enumerate() {
            let index = i.to_string();
            let options = conv_options(i);
            let kernel = if i % 2 == 0 { [3, 3] } else { [4, 4] };
            let scope = &mut root.scope("c");
            let scope = &mut scope.scope(&index);
            let conv = Conv2d::new(scope, inputs, outputs, kernel, &options, norm.weight(Init::PyTorch), rng);
            let has_norm = norm == Norm::Batch && i > 0;
            let batch_norm =
                has_norm.then(|| BatchNorm::new(&mut root.scope("b").scope(&index), outputs, Init::PyTorch, rng));
            convs.push((conv, batch_norm));
            inputs = outputs;
        }
        let side = image.height / 8;
        let dense = Linear::new(&mut root.scope("f"), inputs * side * side, 1, norm.weight(Init::PyTorch), rng);
        Discriminator { convs, dense }
    }

    /// Logits (N, 1) of images (N, C, M, M).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        self.forward_watched(pass, x, |_| ())
    }

    /// As [`forward`](Discriminator::forward), showing `watch` what comes out of each leaky ReLU.
    pub fn forward_watched<T: Element>(&self, pass: &Pass<T>, x: &Var<T>, mut watch: impl FnMut(&Var<T>)) -> Var<T> {
        let mut x = x.clone();
        for (conv, norm) in &self.convs {
            x = match norm {
                None => conv.forward_leaky_relu(pass, &x, SLOPE),
                Some(norm) => norm.forward(pass, &conv.forward(pass, &x)).leaky_relu(SLOPE),
            };
            watch(&x);
        }
        self.dense.forward(pass, &x.flatten())
    }

    /// The linear maps, from images of this size on.
    pub(super) fn linear_maps(&self, image: ImageShape) -> Vec<LinearMap> {
        // Every second convolution halves the maps for those behind it.
        let input = |i: usize| [image.height >> (i / 2), image.width >> (i / 2)];
        let convs = (0..self.convs.len()).map(|i| LinearMap::conv2d(format!("c.{i}"), conv_options(i), input(i)));
        convs.chain([LinearMap::dense("f")]).collect()
    }

    /// Whether there is no batch norm.
    pub(super) fn is_chain(&self) -> bool {
        self.convs.iter().all(|(_, norm)| norm.is_none())
    }
}

/// How the kernel of the discriminator's convolution `i` moves.
pub(super) fn conv_options(i: usize) -> Conv2dOptions {
    Conv2dOptions::default().stride(1 + i % 2).padding(1)
}

#[cfg(test)]
mod tests {
    use wengert::Tensor;
    use wengert::nn::Mode;

    use super::*;

    /// Every parameter's shape as the tables have it, for images of side m with the dense maps of side m/8.
    fn check_tables(m: usize, generator_size: usize, discriminator_size: usize) {
        let image = ImageShape { channels: 3, height: m, width: m };
        let (mut g, mut d) = (Params::<f32>::new(), Params::<f32>::new());
        let rng = &mut Rng::seed(0);
        let generator = Generator::new(&mut g, 128, image, 1.0, rng);
        let discriminator = Discriminator::new(&mut d, image, 1.0, Norm::Spectral, rng);
        let mg = m / 8;
        let shapes = |params: &Params<f32>| -> Vec<(String, Vec<usize>)> {
            let matrices = params.parameters().filter(|(_, _, value)| value.rank() > 1);
            matrices.map(|(_, name, value)| (name.to_string(), value.shape().to_vec())).collect()
        };
        let table_1 = [
            ("l.weight", vec![mg * mg * 512, 128]),
            ("d.0.weight", vec![512, 256, 4, 4]),
            ("d.1.weight", vec![256, 128, 4, 4]),
            ("d.2.weight", vec![128, 64, 4, 4]),
            ("o.weight", vec![3, 64, 3, 3]),
        ];
        assert_eq!(shapes(&g), table_1.map(|(name, shape)| (name.to_string(), shape)));
        let table_2 = [
            ("c.0", vec![64, 3, 3, 3]),
            ("c.1", vec![64, 64, 4, 4]),
            ("c.2", vec![128, 64, 3, 3]),
            ("c.3", vec![128, 128, 4, 4]),
            ("c.4", vec![256, 128, 3, 3]),
            ("c.5", vec![256, 256, 4, 4]),
            ("c.6", vec![512, 256, 3, 3]),
            ("f", vec![1, mg * mg * 512]),
        ];
        let original = |name: &str| format!("{name}.parametrizations.weight.original");
        assert_eq!(shapes(&d), table_2.map(|(name, shape)| (original(name), shape)));
        assert_eq!((g.size(), d.size()), (generator_size, discriminator_size));

        let z: Tensor = rng.normal([1, 128]);
        let images = generator.forward(&Pass::frozen(&g, Mode::Eval), &z.into());
        assert_eq!(**images.shape(), [1, 3, m, m]);
        assert!(images.value().to_vec().iter().all(|x| x.abs() < 1.0), "tanh");
        assert_eq!(**discriminator.forward(&Pass::frozen(&d, Mode::Eval), &images).shape(), [1, 1]);
    }

    // The sizes, by hand: weights as above, a bias for each output, γ and β for each channel of batch norm. The recipes
    // say about 3.8 M and 2.9 M for M = 32.

    #[test]
    fn tables_1_and_2_for_32_pixels() {
        check_tables(32, 3_812_355, 2_935_873);
    }

    #[test]
    fn tables_1_and_2_for_48_pixels() {
        check_tables(48, 5_133_315, 2_946_113);
    }

    #[test]
    fn tables_1_and_2_for_64_pixels() {
        check_tables(64, 6_982_659, 2_960_449);
    }
}
