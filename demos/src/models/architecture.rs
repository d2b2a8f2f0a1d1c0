//! A net as data: its layers in a list, each with the name of its parameters.
//!
//! What can be said of a net without computing with it follows from the list, before any memory is taken: the shape
//! that comes out of each layer, how many parameters it has, how many multiply-adds it costs, and its linear maps. The
//! interpreter that computes is [`Network`](super::Network).

use std::fmt;

use wengert::nn::{Init, WeightOptions};
use wengert::ops::Conv2dOptions;

use super::attention::Attention;
use super::linear_map::LinearMap;

/// A net.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The shape of one input: (numbers) or maps (C, H, W).
    pub input: Vec<usize>,
    /// From the input on.
    pub layers: Vec<Layer>,
}

/// A layer of a net.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The prefix of the names of its parameters, as in `c.0`; empty if it has none.
    pub name: String,
    /// What it does.
    pub kind: Kind,
}

/// What a layer does to each input of a batch: to (numbers), or to maps (C, H, W).
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// (in) to (outputs).
    Dense {
        /// How many numbers come out.
        outputs: usize,
        /// How the weight begins, and whether there is a bias and spectral norm.
        weight: WeightOptions,
    },
    /// A convolution: (in, H, W) to (outputs, H', W').
    Conv(Conv),
    /// A transposed convolution: (in, H, W) to (outputs, H', W').
    Deconv(Conv),
    /// Batch norm, with a γ that begins so.
    BatchNorm(Init),
    /// Batch norm with a γ and a β for each of so many classes.
    ConditionalBatchNorm(usize),
    /// Self-attention between the positions of the maps, whose weights begin so.
    Attention(Init),
    /// ⟨V_y, x⟩, where each class y has its own vector V_y: (C) to (1).
    Projection {
        /// How many classes there are.
        classes: usize,
        /// How the vectors begin, and whether there is spectral norm.
        vectors: WeightOptions,
    },
    /// Several ways from the same input; what comes out of them is added up. A way without layers is the input itself.
    Sum(Vec<Vec<Layer>>),
    /// max(0, x).
    Relu,
    /// x where it is above 0, else this slope times x.
    LeakyRelu(f64),
    /// tanh x.
    Tanh,
    /// The same numbers as maps of this shape.
    Reshape([usize; 3]),
    /// The same numbers in one row.
    Flatten,
    /// The mean of each square of this side.
    AveragePool(usize),
    /// Each pixel as a square of this side.
    Upsample(usize),
    /// The sum over all positions: (C, H, W) to (C).
    GlobalSum,
    /// The mean over all positions: (C, H, W) to (C).
    GlobalMean,
}

/// A convolution with a square kernel, padded so that the stride alone decides about the side of the maps that come
/// out: that of the maps that go in divided by the stride, or, of a transposed convolution, multiplied by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Channels of the maps that come out.
    pub outputs: usize,
    /// The side of the kernel: an odd number for the stride 1, an even one for the stride 2.
    pub kernel: usize,
    /// The steps of the kernel.
    pub stride: usize,
    /// How the weight begins, and whether there is a bias and spectral norm.
    pub weight: WeightOptions,
}

impl Conv {
    /// How the kernel moves.
    pub fn options(&self) -> Conv2dOptions {
        Conv2dOptions::default().stride(self.stride).padding((self.kernel - 1) / 2)
    }

    /// The numbers of the weight, for so many channels of input.
    fn taps(&self, inputs: usize) -> usize {
        inputs * self.kernel * self.kernel * self.outputs
    }

    /// The side of the maps that come out.
    fn side(&self, side: usize) -> usize {
        (side + 2 * ((self.kernel - 1) / 2) - self.kernel) / self.stride + 1
    }

    /// The side of the maps that come out of the transposed convolution.
    fn transposed_side(&self, side: usize) -> usize {
        (side - 1) * self.stride + self.kernel - 2 * ((self.kernel - 1) / 2)
    }
}

fn named(name: impl Into<String>, kind: Kind) -> Layer {
    Layer { name: name.into(), kind }
}

fn nameless(kind: Kind) -> Layer {
    named("", kind)
}

/// A dense layer.
pub fn dense(name: impl Into<String>, outputs: usize, weight: WeightOptions) -> Layer {
    named(name, Kind::Dense { outputs, weight })
}

/// A convolution.
pub fn conv(name: impl Into<String>, outputs: usize, kernel: usize, stride: usize, weight: WeightOptions) -> Layer {
    named(name, Kind::Conv(Conv { outputs, kernel, stride, weight }))
}

/// A transposed convolution.
pub fn deconv(name: impl Into<String>, outputs: usize, kernel: usize, stride: usize, weight: WeightOptions) -> Layer {
    named(name, Kind::Deconv(Conv { outputs, kernel, stride, weight }))
}

/// Batch norm.
pub fn batch_norm(name: impl Into<String>, gamma: Init) -> Layer {
    named(name, Kind::BatchNorm(gamma))
}

/// Batch norm that depends on the class, of which there are so many.
pub fn conditional_batch_norm(name: impl Into<String>, classes: usize) -> Layer {
    named(name, Kind::ConditionalBatchNorm(classes))
}

/// Self-attention.
pub fn attention(name: impl Into<String>, weights: Init) -> Layer {
    named(name, Kind::Attention(weights))
}

/// The projection on the vector of the class, of which there are so many.
pub fn projection(name: impl Into<String>, classes: usize, vectors: WeightOptions) -> Layer {
    named(name, Kind::Projection { classes, vectors })
}

/// Several ways whose outputs are added up.
pub fn sum(ways: impl Into<Vec<Vec<Layer>>>) -> Layer {
    nameless(Kind::Sum(ways.into()))
}

/// ReLU.
pub fn relu() -> Layer {
    nameless(Kind::Relu)
}

/// Leaky ReLU.
pub fn leaky_relu(slope: f64) -> Layer {
    nameless(Kind::LeakyRelu(slope))
}

/// tanh.
pub fn tanh() -> Layer {
    nameless(Kind::Tanh)
}

/// Numbers as maps (C, H, W).
pub fn reshape(maps: [usize; 3]) -> Layer {
    nameless(Kind::Reshape(maps))
}

/// Maps as numbers.
pub fn flatten() -> Layer {
    nameless(Kind::Flatten)
}

/// Means of squares of this side.
pub fn average_pool(side: usize) -> Layer {
    nameless(Kind::AveragePool(side))
}

/// Pixels as squares of this side.
pub fn upsample(side: usize) -> Layer {
    nameless(Kind::Upsample(side))
}

/// Sums over all positions.
pub fn global_sum() -> Layer {
    nameless(Kind::GlobalSum)
}

/// Means over all positions.
pub fn global_mean() -> Layer {
    nameless(Kind::GlobalMean)
}

/// `channels` of a paper at this width, at least 1.
pub fn narrowed(channels: usize, width: f64) -> usize {
    ((channels as f64 * width).round() as usize).max(1)
}

impl Layer {
    /// The shape of what comes out for an input of this shape.
    ///
    /// # Panics
    /// If such an input does not fit.
    #[track_caller]
    pub fn output(&self, input: &[usize]) -> Vec<usize> {
        match (&self.kind, input) {
            (Kind::Dense { outputs, .. }, [_]) => vec![*outputs],
            (Kind::Conv(conv), &[_, h, w]) => vec![conv.outputs, conv.side(h), conv.side(w)],
            (Kind::Deconv(conv), &[_, h, w]) => vec![conv.outputs, conv.transposed_side(h), conv.transposed_side(w)],
            (Kind::BatchNorm(_) | Kind::ConditionalBatchNorm(_) | Kind::Attention(_), [_, _, _]) => input.to_vec(),
            (Kind::Relu | Kind::LeakyRelu(_) | Kind::Tanh, _) => input.to_vec(),
            (Kind::Projection { .. }, [_]) => vec![1],
            (Kind::Sum(ways), _) => {
                let outputs: Vec<_> = ways.iter().map(|way| output_of(way, input)).collect();
                assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "a sum of outputs {outputs:?}");
                outputs.into_iter().next().expect("a sum has ways")
            }
            (Kind::Reshape(maps), [n]) if maps.iter().product::<usize>() == *n => maps.to_vec(),
            (Kind::Flatten, _) => vec![input.iter().product()],
            (Kind::AveragePool(side), &[c, h, w]) => vec![c, h / side, w / side],
            (Kind::Upsample(side), &[c, h, w]) => vec![c, h * side, w * side],
            (Kind::GlobalSum | Kind::GlobalMean, &[c, _, _]) => vec![c],
            (kind, input) => panic!("layer {:?}: {kind} of an input of shape {input:?}", self.name),
        }
    }

    /// How many trainable numbers the layer has, and how many multiply-adds it takes for one input of this shape: those
    /// of linear maps, with their taps in the padding, and of attention's products. Of a [`Kind::Sum`], those of its
    /// ways are theirs.
    fn counts(&self, input: &[usize]) -> [usize; 2] {
        let channels = input[0];
        let positions = |maps: &[usize]| maps[1] * maps[2];
        let bias = |weight: &WeightOptions, outputs: usize| {
            outputs * (usize::from(weight.has_bias()) + usize::from(weight.has_weight_norm()))
        };
        match &self.kind {
            Kind::Dense { outputs, weight } => [channels * outputs + bias(weight, *outputs), channels * outputs],
            Kind::Conv(conv) => {
                let taps = conv.taps(channels);
                [taps + bias(&conv.weight, conv.outputs), taps * positions(&self.output(input))]
            }
            Kind::Deconv(conv) => {
                let taps = conv.taps(channels);
                [taps + bias(&conv.weight, conv.outputs), taps * positions(input)]
            }
            Kind::BatchNorm(_) => [2 * channels, 0],
            Kind::ConditionalBatchNorm(classes) => [2 * classes * channels, 0],
            Kind::Attention(_) => Attention::counts(channels, positions(input)),
            Kind::Projection { classes, vectors } => {
                [classes * (channels + usize::from(vectors.has_weight_norm())), channels]
            }
            _ => [0, 0],
        }
    }

    /// The linear maps of the layer, for maps (C, H, W).
    fn linear_maps(&self, input: &[usize]) -> Vec<LinearMap> {
        match (&self.kind, input) {
            (Kind::Dense { .. }, _) => vec![LinearMap::dense(&self.name)],
            (Kind::Conv(conv), &[_, h, w]) => vec![LinearMap::conv2d(&self.name, conv.options(), [h, w])],
            (Kind::Deconv(conv), &[_, h, w]) => vec![LinearMap::conv_transpose2d(&self.name, conv.options(), [h, w])],
            (Kind::Attention(_), &[_, h, w]) => Attention::linear_maps(&self.name, [h, w]).collect(),
            _ => Vec::new(),
        }
    }
}

/// What comes out of these layers, one after another.
#[track_caller]
fn output_of(layers: &[Layer], input: &[usize]) -> Vec<usize> {
    layers.iter().fold(input.to_vec(), |shape, layer| layer.output(&shape))
}

/// A layer in its place in a net.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// The layer.
    pub layer: &'a Layer,
    /// The shape of what goes in.
    pub input: Vec<usize>,
    /// The shape of what comes out.
    pub output: Vec<usize>,
    /// Trainable numbers.
    pub parameters: u64,
    /// Multiply-adds for one input: those of linear maps, with their taps in the padding, and of attention's products.
    pub multiply_adds: u64,
}

impl Architecture {
    /// A net for inputs of this shape, whose layers are given in rows, as papers do it.
    pub fn new(input: impl Into<Vec<usize>>, rows: impl IntoIterator<Item = Vec<Layer>>) -> Architecture {
        Architecture { input: input.into(), layers: rows.into_iter().flatten().collect() }
    }

    /// The layers from the input on; those of the ways of a sum come before it.
    ///
    /// # Panics
    /// If a layer does not fit what comes out of the one before.
    #[track_caller]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        list(&self.layers, &self.input, &mut rows);
        rows
    }

    /// How many trainable numbers the net has.
    pub fn parameters(&self) -> u64 {
        self.rows().iter().map(|row| row.parameters).sum()
    }

    /// How many multiply-adds one input takes: see [`Row::multiply_adds`].
    pub fn multiply_adds(&self) -> u64 {
        self.rows().iter().map(|row| row.multiply_adds).sum()
    }

    /// The linear maps, from the input on, without the vectors of classes.
    pub fn linear_maps(&self) -> Vec<LinearMap> {
        self.rows().iter().flat_map(|row| row.layer.linear_maps(&row.input)).collect()
    }

    /// Whether nothing but activations, which stretch nothing, lies between the linear maps: then the product of their
    /// norms bounds the Lipschitz constant. Batch norm, attention and sums stretch as well.
    pub fn is_chain(&self) -> bool {
        let linear = |kind: &Kind| matches!(kind, Kind::Dense { .. } | Kind::Conv(_) | Kind::Deconv(_));
        let activation = |kind: &Kind| matches!(kind, Kind::Relu | Kind::LeakyRelu(_) | Kind::Tanh);
        let order = |kind: &Kind| matches!(kind, Kind::Reshape(_) | Kind::Flatten);
        self.layers.iter().all(|Layer { kind, .. }| linear(kind) || activation(kind) || order(kind))
    }
}

/// Appends the rows of these layers; the shape of what comes out of the last.
#[track_caller]
fn list<'a>(layers: &'a [Layer], input: &[usize], rows: &mut Vec<Row<'a>>) -> Vec<usize> {
    layers.iter().fold(input.to_vec(), |input, layer| {
        if let Kind::Sum(ways) = &layer.kind {
            ways.iter().for_each(|way| drop(list(way, &input, rows)));
        }
        let output = layer.output(&input);
        let [parameters, multiply_adds] = layer.counts(&input).map(|count| count as u64);
        rows.push(Row { layer, input, output: output.clone(), parameters, multiply_adds });
        output
    })
}

impl fmt::Display for Kind {
    /// In a few words, with W/σ for spectral norm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |weight: &WeightOptions| match (weight.has_spectral_norm(), weight.has_weight_norm()) {
            (true, _) => ", W/σ",
            (_, true) => ", g·V/‖V‖",
            _ => "",
        };
        let window = |conv: &Conv| format!("{0}×{0}", conv.kernel);
        match self {
            Kind::Dense { weight, .. } => write!(f, "dense{}", held(weight)),
            Kind::Conv(conv) => write!(f, "{} conv, stride {}{}", window(conv), conv.stride, held(&conv.weight)),
            Kind::Deconv(conv) => write!(f, "{} deconv, stride {}{}", window(conv), conv.stride, held(&conv.weight)),
            Kind::BatchNorm(_) => f.write_str("batch norm"),
            Kind::ConditionalBatchNorm(classes) => write!(f, "batch norm of {classes} classes"),
            Kind::Attention(_) => f.write_str("attention, W/σ"),
            Kind::Projection { classes, vectors } => write!(f, "projection of {classes} classes{}", held(vectors)),
            Kind::Sum(ways) => write!(f, "sum of {} ways", ways.len()),
            Kind::Relu => f.write_str("ReLU"),
            Kind::LeakyRelu(slope) => write!(f, "leaky ReLU {slope}"),
            Kind::Tanh => f.write_str("tanh"),
            Kind::Reshape(_) => f.write_str("reshape"),
            Kind::Flatten => f.write_str("flatten"),
            Kind::AveragePool(side) => write!(f, "{side}×{side} average pool"),
            Kind::Upsample(side) => write!(f, "{side}× upsample"),
            Kind::GlobalSum => f.write_str("global sum"),
            Kind::GlobalMean => f.write_str("global mean"),
        }
    }
}
