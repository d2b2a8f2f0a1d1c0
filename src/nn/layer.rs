//! What layers have in common, and layers one after another.

use std::fmt;
use std::sync::Arc;

use super::{BatchNorm, Conv2d, ConvTranspose2d, Dropout, GroupNorm, InstanceNorm, LayerNorm, Linear, Pass, Scope};
use crate::{Element, Shape, Var};

/// A map from a variable to a variable: what a network is made of. The layers of this module are layers (but for
/// [`Embedding`](super::Embedding), which takes classes), and so are [`Sequential`] and plain functions such as
/// `Var::relu`.
///
/// ```
/// use wengert::nn::{Init, Layer, Linear, Mode, Params, Pass, Scope};
/// use wengert::{Element, Rng, Tensor, Var};
///
/// /// x + f(x)
/// struct Residual<L>(L);
///
/// impl<T: Element, L: Layer<T>> Layer<T> for Residual<L> {
///     fn forward(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
///         x + self.0.forward(pass, x)
///     }
/// }
///
/// let params = Params::<f32>::new();
/// let layer = Residual(|x: &Var<f32>| x * 2.0);
/// let x = Tensor::ones([2]).into();
/// assert_eq!(layer.forward(&Pass::frozen(&params, Mode::Eval), &x).value(), &Tensor::full([2], 3.0));
/// ```
pub trait Layer<T: Element> {
    /// The output for an input. A layer may change its state in the pass's store, as the mode of the pass allows.
    ///
    /// # Panics
    /// If the layer has no output for an input of this shape, or belongs to another store than the pass.
    #[track_caller]
    fn forward(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T>;
}

/// A function of the input alone.
impl<T: Element, F: Fn(&Var<T>) -> Var<T>> Layer<T> for F {
    #[track_caller]
    fn forward(&self, _: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        self(x)
    }
}

macro_rules! layers {
    ($($layer:ty),+) => {
        $(impl<T: Element> Layer<T> for $layer {
            #[track_caller]
            fn forward(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
                self.forward(pass, x)
            }
        })+
    };
}

layers!(Linear, Conv2d, ConvTranspose2d, BatchNorm, LayerNorm, GroupNorm, InstanceNorm, Dropout);

/// Layers one after another, under PyTorch's names: those of the third begin with `2.`; functions are counted too.
///
/// ```
/// use wengert::nn::{BatchNorm, Init, Linear, Mode, Params, Pass, Sequential};
/// use wengert::{Rng, Tape, Var};
/// let mut rng = Rng::seed(0);
/// let mut params = Params::<f32>::new();
/// let net = Sequential::builder(&mut params.scope("net"))
///     .layer(|scope| Linear::new(scope, 2, 16, Init::PyTorch, &mut rng))
///     .layer(|scope| BatchNorm::new(scope, 16, Init::PyTorch, &mut rng))
///     .function(Var::relu)
///     .layer(|scope| Linear::new(scope, 16, 1, Init::PyTorch, &mut rng))
///     .function(|x| x.leaky_relu(0.2))
///     .build();
/// assert_eq!(params.names().last(), Some("net.3.bias"));
///
/// let tape = Tape::new();
/// let pass = Pass::new(&params, &tape, Mode::Train);
/// let y = net.forward(&pass, &rng.normal([8, 2]).into());
/// assert_eq!(y.shape(), &[8, 1].into());
/// ```
///
/// It runs each layer by itself. [`Conv2d::forward_leaky_relu`] and [`BatchNorm::forward_relu`] save a pass over
/// memory; as a layer of its own, that is a type with such a `forward`.
#[derive(Clone)]
pub struct Sequential<T: Element = f32> {
    layers: Vec<Arc<dyn Part<T>>>,
}

/// A layer that can be shown and used by several threads.
trait Part<T: Element>: Layer<T> + fmt::Debug + Send + Sync {}

impl<T: Element, L: Layer<T> + fmt::Debug + Send + Sync> Part<T> for L {}

impl<T: Element> Sequential<T> {
    /// Begins a list of layers in this scope.
    pub fn builder<'a, 'b>(scope: &'a mut Scope<'b, T>) -> SequentialBuilder<'a, 'b, T> {
        SequentialBuilder { scope, layers: Vec::new() }
    }

    /// The output of the last layer; the input itself if there are none.
    ///
    /// # Panics
    /// As the layers do; a line on standard error then names the layer, and the shape of its input.
    #[track_caller]
    pub fn forward(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let mut x = x.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            let running = Running { number, layer: &**layer, input: x.shape() };
            let y = layer.forward(pass, &x); // not in a closure, where a panic would point here, not at the caller
            drop(running);
            x = y;
        }
        x
    }
}

/// The layer that runs: if it panics, a second line on standard error says which of the many it is. The operation that
/// panics cannot know, and all of them are called from one line of the program.
struct Running<'a, T: Element> {
    number: usize,
    layer: &'a dyn Part<T>,
    input: &'a Shape,
}

impl<T: Element> Drop for Running<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "this was layer {} of a Sequential, {:?}, with an input of shape {}",
                self.number, self.layer, self.input
            );
        }
    }
}

impl<T: Element> Layer<T> for Sequential<T> {
    #[track_caller]
    fn forward(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        self.forward(pass, x)
    }
}

impl<T: Element> fmt::Debug for Sequential<T> {
    /// The layers, numbered as in the names of their parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sequential ")?;
        f.debug_map().entries(self.layers.iter().enumerate()).finish()
    }
}

/// A [`Sequential`] in the making.
pub struct SequentialBuilder<'a, 'b, T: Element> {
    scope: &'a mut Scope<'b, T>,
    layers: Vec<Arc<dyn Part<T>>>,
}

impl<T: Element> SequentialBuilder<'_, '_, T> {
    /// Appends the layer that `make` makes in the scope of its number.
    ///
    /// # Panics
    /// As `make` does.
    #[track_caller]
    pub fn layer<L>(mut self, make: impl FnOnce(&mut Scope<'_, T>) -> L) -> Self
    where
        L: Layer<T> + fmt::Debug + Send + Sync + 'static,
    {
        let layer = make(&mut self.scope.scope(&self.layers.len().to_string()));
        self.layers.push(Arc::new(layer));
        self
    }

    /// Appends a function without parameters, such as an activation or a change of shape.
    pub fn function(mut self, f: impl Fn(&Var<T>) -> Var<T> + Send + Sync + 'static) -> Self {
        self.layers.push(Arc::new(Function(f)));
        self
    }

    /// The layers so far.
    pub fn build(self) -> Sequential<T> {
        Sequential { layers: self.layers }
    }
}

/// A function, which cannot show itself.
struct Function<F>(F);

impl<T: Element, F: Fn(&Var<T>) -> Var<T>> Layer<T> for Function<F> {
    #[track_caller]
    fn forward(&self, _: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        self.0(x)
    }
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("function")
    }
}
