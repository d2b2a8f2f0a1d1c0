//! The nets of SAGAN (Zhang et al. 2019, arXiv:1805.08318) at the size of the seed's Tables 1 and 2: their layers, with
//! spectral norm in the generator too, and attention over 128 channels at half the images' side, 16×16 for M = 32.
//!
//! Conditional nets know the images' classes. In the generator each class has its own γ and β of every batch norm
//! (conditional batch norm); the discriminator is ψ(φ(x)) + yᵀVφ(x), where row y of V, an embedding with spectral norm,
//! is projected on the features φ, the last maps summed over their positions (Miyato and Koyama 2018,
//! arXiv:1802.05637).

use wengert::nn::{BatchNorm, Conv2d, ConvTranspose2d, Embedding, Init, Linear, Params, Pass, Scope, WeightOptions};
use wengert::ops::Conv2dOptions;
use wengert::{Element, Rng, Var};

use super::attention::Attention;
use super::standard::{DISCRIMINATOR_CHANNELS, GENERATOR_CHANNELS, SLOPE, conv_options};
use super::{LinearMap, narrowed};
use crate::data::ImageShape;

/// The block of Table 1 behind which the generator attends: maps of half the images' side.
const GENERATOR_ATTENDS: usize = 1;

/// The convolution of Table 2 behind which the discriminator attends: maps of half the images' side.
const DISCRIMINATOR_ATTENDS: usize = 2;

fn normalised() -> WeightOptions {
    WeightOptions::new(Init::PyTorch).spectral_norm()
}

/// Batch norm whose γ and β depend on the class, if classes are used.
#[derive(Debug)]
struct Norm {
    norm: BatchNorm,
    /// γ and β of each class.
    tables: Option<[Embedding; 2]>,
}

impl Norm {
    /// γ begins as 1 and β as 0, for every class.
    fn new<T: Element>(scope: &mut Scope<T>, channels: usize, classes: Option<usize>, rng: &mut Rng) -> Norm {
        let Some(classes) = classes else {
            return Norm { norm: BatchNorm::new(scope, channels, Init::PyTorch, rng), tables: None };
        };
        let tables = [("gamma", 1.0), ("beta", 0.0)]
            .map(|(name, value)| Embedding::new(&mut scope.scope(name), classes, channels, Init::Constant(value), rng));
        Norm { norm: BatchNorm::without_affine(scope, channels), tables: Some(tables) }
    }

    /// Batch norm, then ReLU.
    fn forward_relu<T: Element>(&self, pass: &Pass<T>, x: &Var<T>, labels: Option<&[usize]>) -> Var<T> {
        let Some([gamma, beta]) = &self.tables else { return self.norm.forward_relu(pass, x) };
        let labels = needed(labels);
        let each = |table: &Embedding| table.forward(pass, labels).reshape([labels.len(), x.shape()[1], 1, 1]);
        (self.norm.forward(pass, x) * each(gamma) + each(beta)).relu()
    }
}

#[track_caller]
fn needed(labels: Option<&[usize]>) -> &[usize] {
    labels.expect("a conditional net needs the classes of its batch")
}

/// Noise (N, z) to images (N, C, M, M) in (−1, 1).
#[derive(Debug)]
pub struct Generator {
    dense: Linear,
    ups: Vec<(ConvTranspose2d, Norm)>,
    attention: Attention,
    to_image: Conv2d,
    /// Channels and side of the maps behind the dense layer.
    start: [usize; 2],
}

impl Generator {
    /// Makes the layers' parameters in `params`, under the names `l`, `d.0`, `b.0`, …, `o`, and `a` for the attention.
    pub fn new<T: Element>(
        params: &mut Params<T>,
        z_dim: usize,
        image: ImageShape,
        width: f64,
        classes: Option<usize>,
        rng: &mut Rng,
    ) -> Self {
        let channels = GENERATOR_CHANNELS.map(|c| narrowed(c, width));
        let side = image.height / 8;
        let mut root = params.scope("");
        let dense = Linear::new(&mut root.scope("l"), z_dim, channels[0] * side * side, normalised(), rng);
        let options = Conv2dOptions::default().stride(2).padding(1);
        let mut ups = Vec::new();
        for (i, pair) in channels.windows(2).enumerate() {
            let index = i.to_string();
            let mut deconvs = root.scope("d");
            let scope = &mut deconvs.scope(&index);
            let deconv = ConvTranspose2d::new(scope, pair[0], pair[1], [4, 4], &options, normalised(), rng);
            ups.push((deconv, Norm::new(&mut root.scope("b").scope(&index), pair[1], classes, rng)));
        }
        let attention = Attention::new(&mut root.scope("a"), channels[GENERATOR_ATTENDS + 1], rng);
        let options = Conv2dOptions::default().padding(1);
        let to_image =
            Conv2d::new(&mut root.scope("o"), channels[3], image.channels, [3, 3], &options, normalised(), rng);
        Generator { dense, ups, attention, to_image, start: [channels[0], side] }
    }

    /// Images (N, C, M, M) from noise (N, z), and the attention map, (N, M²/4, M²/16): see [`Attention::forward`].
    ///
    /// # Panics
    /// If a conditional net gets no labels, or a label that it does not know.
    pub fn forward<T: Element>(&self, pass: &Pass<T>, z: &Var<T>, labels: Option<&[usize]>) -> (Var<T>, Var<T>) {
        let [channels, side] = self.start;
        let mut x = self.dense.forward(pass, z).reshape([z.shape()[0], channels, side, side]);
        let mut map = None;
        for (i, (deconv, norm)) in self.ups.iter().enumerate() {
            x = norm.forward_relu(pass, &deconv.forward(pass, &x), labels);
            if i == GENERATOR_ATTENDS {
                let (y, attention) = self.attention.forward(pass, &x);
                (x, map) = (y, Some(attention));
            }
        }
        (self.to_image.forward(pass, &x).tanh(), map.expect("one block attends"))
    }

    /// The linear maps, from the noise on.
    pub(super) fn linear_maps(&self) -> Vec<LinearMap> {
        let side = |ups: usize| self.start[1] << ups;
        let mut maps = vec![LinearMap::dense("l")];
        for i in 0..self.ups.len() {
            let options = Conv2dOptions::default().stride(2).padding(1);
            maps.push(LinearMap::conv_transpose2d(format!("d.{i}"), options, [side(i); 2]));
            if i == GENERATOR_ATTENDS {
                maps.extend(Attention::linear_maps("a", side(i + 1)));
            }
        }
        maps.push(LinearMap::conv2d("o", Conv2dOptions::default().padding(1), [side(self.ups.len()); 2]));
        maps
    }
}

/// Images (N, C, M, M) to logits (N, 1); every weight divided by its spectral norm.
#[derive(Debug)]
pub struct Discriminator {
    convs: Vec<Conv2d>,
    attention: Attention,
    dense: Linear,
    classes: Option<Embedding>,
}

impl Discriminator {
    /// Makes the layers' parameters in `params`, under the names `c.0` to `c.6`, `a` for the attention, `f`, and `y`
    /// for the embedding of the classes.
    pub fn new<T: Element>(
        params: &mut Params<T>,
        image: ImageShape,
        width: f64,
        classes: Option<usize>,
        rng: &mut Rng,
    ) -> Self {
        let channels = DISCRIMINATOR_CHANNELS.map(|c| narrowed(c, width));
        let mut root = params.scope("");
        let mut inputs = image.channels;
        let mut convs = Vec::new();
        for (i, &outputs) in channels.iter().enumerate() {
            let options = conv_options(i);
            let kernel = if i % 2 == 0 { [3, 3] } else { [4, 4] };
            let scope = &mut root.scope("c");
            let scope = &mut scope.scope(&i.to_string());
            convs.push(Conv2d::new(scope, inputs, outputs, kernel, &options, normalised(), rng));
            inputs = outputs;
        }
        let attention = Attention::new(&mut root.scope("a"), channels[DISCRIMINATOR_ATTENDS], rng);
        let side = image.height / 8;
        let dense = Linear::new(&mut root.scope("f"), inputs * side * side, 1, normalised(), rng);
        let classes = classes.map(|classes| Embedding::new(&mut root.scope("y"), classes, inputs, normalised(), rng));
        Discriminator { convs, attention, dense, classes }
    }

    /// Logits (N, 1) of images (N, C, M, M), and the attention map, (N, M²/4, M²/16): see [`Attention::forward`].
    ///
    /// # Panics
    /// If a conditional net gets no labels, or a label that it does not know.
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>, labels: Option<&[usize]>) -> (Var<T>, Var<T>) {
        let (mut x, mut map) = (x.clone(), None);
        for (i, conv) in self.convs.iter().enumerate() {
            x = conv.forward_leaky_relu(pass, &x, SLOPE);
            if i == DISCRIMINATOR_ATTENDS {
                let (y, attention) = self.attention.forward(pass, &x);
                (x, map) = (y, Some(attention));
            }
        }
        let mut logits = self.dense.forward(pass, &x.flatten());
        if let Some(classes) = &self.classes {
            let features = x.sum_axes([2, 3], false);
            logits += (features * classes.forward(pass, needed(labels))).sum_axes([1], true);
        }
        (logits, map.expect("one convolution is followed by attention"))
    }

    /// The linear maps, from images of this size on, without the embedding of the classes.
    pub(super) fn linear_maps(&self, image: ImageShape) -> Vec<LinearMap> {
        let mut maps = Vec::new();
        for i in 0..self.convs.len() {
            maps.push(LinearMap::conv2d(format!("c.{i}"), conv_options(i), [image.height >> (i / 2); 2]));
            if i == DISCRIMINATOR_ATTENDS {
                maps.extend(Attention::linear_maps("a", image.height >> (i.div_ceil(2))));
            }
        }
        maps.push(LinearMap::dense("f"));
        maps
    }
}
