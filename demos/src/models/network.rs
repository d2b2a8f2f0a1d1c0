//! The interpreter of [`Architecture`]s: makes the library's layers of the list, and runs them one after another.

use std::fmt;

use wengert::nn::{self, BatchNorm, Conv2d, ConvTranspose2d, Linear, Params, Pass, Scope};
use wengert::{Element, Rng, Var};

use super::architecture::{Architecture, Kind, Layer};
use super::attention::Attention;
use super::classes::{ConditionalBatchNorm, Projection};

/// A net that computes: its [`Architecture`], and a layer of the library for each one of the list.
pub struct Network<T: Element = f32> {
    architecture: Architecture,
    steps: Vec<Step<T>>,
}

/// What is done to a batch.
enum Step<T: Element> {
    /// A layer of the library.
    Layer(Box<dyn nn::Layer<T> + Send + Sync>),
    /// A layer that ends in a ReLU or leaky ReLU.
    Activated(Box<dyn nn::Layer<T> + Send + Sync>),
    ConditionalBatchNorm(Box<ConditionalBatchNorm>),
    Projection(Projection),
    Attention(Box<Attention>),
    Sum(Vec<Vec<Step<T>>>),
}

/// What a pass shows to those who look in.
enum Seen<'a, T: Element> {
    /// What comes out of a ReLU or leaky ReLU.
    Activation(&'a Var<T>),
    /// Where each position looks: see [`Attention::forward`].
    AttentionMap(&'a Var<T>),
}

impl<T: Element> Network<T> {
    /// Makes the layers' parameters in `params`, under the names of the architecture.
    ///
    /// # Panics
    /// If a layer does not fit what comes out of the one before, or a name is taken.
    pub fn new(architecture: Architecture, params: &mut Params<T>, rng: &mut Rng) -> Network<T> {
        let steps = build(&architecture.layers, &architecture.input, &mut params.scope(""), rng);
        Network { architecture, steps }
    }

    /// The layers as data.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The output (N, …) for a batch (N, …) of inputs. A net with layers that know classes takes a class for each.
    ///
    /// # Panics
    /// If the input does not fit, or such a net gets no labels, or one that it does not know.
    pub fn forward(&self, pass: &Pass<T>, x: &Var<T>, labels: Option<&[usize]>) -> Var<T> {
        run(&self.steps, pass, x, labels, &mut |_| ())
    }

    /// As [`forward`](Network::forward), with the attention map of a net that has one, (N, H·W, H·W/4): see
    /// [`Attention::forward`].
    ///
    /// # Panics
    /// As [`forward`](Network::forward).
    pub fn forward_with_attention(
        &self,
        pass: &Pass<T>,
        x: &Var<T>,
        labels: Option<&[usize]>,
    ) -> (Var<T>, Option<Var<T>>) {
        let mut found = None;
        let y = run(&self.steps, pass, x, labels, &mut |seen| {
            if let Seen::AttentionMap(map) = seen {
                found = Some(map.clone());
            }
        });
        (y, found)
    }

    /// Whether each number that goes into a ReLU or leaky ReLU is above 0.
    ///
    /// # Panics
    /// As [`forward`](Network::forward).
    pub fn signs(&self, pass: &Pass<T>, x: &Var<T>, labels: Option<&[usize]>) -> Vec<bool> {
        let mut signs = Vec::new();
        run(&self.steps, pass, x, labels, &mut |seen| {
            // What comes out is above 0 where what goes in is.
            if let Seen::Activation(y) = seen {
                signs.extend(y.value().to_vec().iter().map(|y| *y > T::zero()));
            }
        });
        signs
    }
}

impl<T: Element> fmt::Debug for Network<T> {
    /// The layers as data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.architecture.fmt(f)
    }
}

/// Runs the steps one after another.
#[track_caller]
fn run<T: Element>(
    steps: &[Step<T>],
    pass: &Pass<T>,
    x: &Var<T>,
    labels: Option<&[usize]>,
    see: &mut dyn FnMut(Seen<T>),
) -> Var<T> {
    let needed = || labels.expect("a conditional net needs the classes of its batch");
    let mut x = x.clone();
    for step in steps {
        x = match step {
            Step::Layer(layer) => layer.forward(pass, &x),
            Step::Activated(layer) => {
                let y = layer.forward(pass, &x);
                see(Seen::Activation(&y));
                y
            }
            Step::ConditionalBatchNorm(norm) => norm.forward(pass, &x, needed()),
            Step::Projection(projection) => projection.forward(pass, &x, needed()),
            Step::Attention(attention) => {
                let (y, map) = attention.forward(pass, &x);
                see(Seen::AttentionMap(&map));
                y
            }
            Step::Sum(ways) => {
                let outputs = ways.iter().map(|way| run(way, pass, &x, labels, see));
                outputs.reduce(|sum, y| sum + y).expect("a sum has ways")
            }
        };
    }
    x
}

/// A layer, the shape of its input, and the activation behind it if the library computes the two in one.
struct Part<'a> {
    layer: &'a Layer,
    input: Vec<usize>,
    activation: Option<&'a Kind>,
}

/// Whether the library has a layer that does both, which saves a pass over memory.
fn in_one(layer: &Kind, next: &Kind) -> bool {
    matches!((layer, next), (Kind::Conv(_), Kind::LeakyRelu(_)) | (Kind::BatchNorm(_), Kind::Relu))
}

/// The layers, with activations where they are computed.
fn parts<'a>(layers: &'a [Layer], input: &[usize]) -> Vec<Part<'a>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut input = input.to_vec();
    for layer in layers {
        let output = layer.output(&input);
        match parts.last_mut() {
            Some(last) if last.activation.is_none() && in_one(&last.layer.kind, &layer.kind) => {
                last.activation = Some(&layer.kind);
            }
            _ => parts.push(Part { layer, input, activation: None }),
        }
        input = output;
    }
    parts
}

/// Makes the layers, whose weights are drawn in their order, but attention's after those of all others but the last:
/// the same seed has always given the same weights, so it stays so.
fn build<T: Element>(layers: &[Layer], input: &[usize], root: &mut Scope<T>, rng: &mut Rng) -> Vec<Step<T>> {
    let parts = parts(layers, input);
    let has_weights = |part: &Part| !part.layer.name.is_empty() || matches!(part.layer.kind, Kind::Sum(_));
    let last = parts.iter().rposition(has_weights);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&i| match &parts[i].layer.kind {
        _ if Some(i) == last => 2,
        Kind::Attention(_) => 1,
        _ => 0,
    });
    let mut steps: Vec<(usize, Step<T>)> = order.into_iter().map(|i| (i, make(&parts[i], root, rng))).collect();
    steps.sort_by_key(|(i, _)| *i);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Makes one layer.
fn make<T: Element>(part: &Part, root: &mut Scope<T>, rng: &mut Rng) -> Step<T> {
    let Part { layer, input, activation } = part;
    let (scope, channels) = (&mut root.scope(&layer.name), input[0]);
    match layer.kind {
        Kind::Dense { outputs, weight } => plain(Linear::new(scope, channels, outputs, weight, rng)),
        Kind::Conv(conv) => {
            let kernel = [conv.kernel; 2];
            let made = Conv2d::new(scope, channels, conv.outputs, kernel, &conv.options(), conv.weight, rng);
            match activation {
                Some(Kind::LeakyRelu(slope)) => Step::Activated(Box::new(ConvLeakyRelu(made, *slope))),
                _ => plain(made),
            }
        }
        Kind::Deconv(conv) => {
            let kernel = [conv.kernel; 2];
            plain(ConvTranspose2d::new(scope, channels, conv.outputs, kernel, &conv.options(), conv.weight, rng))
        }
        Kind::BatchNorm(gamma) => {
            let norm = BatchNorm::new(scope, channels, gamma, rng);
            if activation.is_some() { Step::Activated(Box::new(BatchNormRelu(norm))) } else { plain(norm) }
        }
        Kind::ConditionalBatchNorm(classes) => {
            Step::ConditionalBatchNorm(Box::new(ConditionalBatchNorm::new(scope, channels, classes, rng)))
        }
        Kind::Attention(weights) => Step::Attention(Box::new(Attention::new(scope, channels, weights, rng))),
        Kind::Projection { classes, vectors } => {
            Step::Projection(Projection::new(scope, channels, classes, vectors, rng))
        }
        Kind::Sum(ref ways) => Step::Sum(ways.iter().map(|way| build(way, input, scope, rng)).collect()),
        Kind::Relu => Step::Activated(Box::new(Var::<T>::relu)),
        Kind::LeakyRelu(slope) => Step::Activated(Box::new(move |x: &Var<T>| x.leaky_relu(slope))),
        Kind::Tanh => plain(Var::<T>::tanh),
        Kind::Reshape([c, h, w]) => plain(move |x: &Var<T>| x.reshape([x.shape()[0], c, h, w])),
        Kind::Flatten => plain(Var::<T>::flatten),
        Kind::AveragePool(side) => plain(move |x: &Var<T>| x.avg_pool2d([side; 2], [side; 2], [0; 2])),
        Kind::Upsample(side) => plain(move |x: &Var<T>| x.upsample_nearest([side; 2])),
        Kind::GlobalSum => plain(|x: &Var<T>| x.sum_axes([2, 3], false)),
        Kind::GlobalMean => plain(|x: &Var<T>| x.mean_axes([2, 3], false)),
    }
}

fn plain<T: Element>(layer: impl nn::Layer<T> + Send + Sync + 'static) -> Step<T> {
    Step::Layer(Box::new(layer))
}

/// A convolution and a leaky ReLU of this slope in one pass over memory.
struct ConvLeakyRelu(Conv2d, f64);

impl<T: Element> nn::Layer<T> for ConvLeakyRelu {
    #[track_caller]
    fn forward(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        self.0.forward_leaky_relu(pass, x, self.1)
    }
}

/// Batch norm and ReLU, in training in one pass over memory.
struct BatchNormRelu(BatchNorm);

impl<T: Element> nn::Layer<T> for BatchNormRelu {
    #[track_caller]
    fn forward(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        self.0.forward_relu(pass, x)
    }
}
