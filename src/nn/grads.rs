//! The gradients of a network's parameters: looked at, changed, added up, clipped.

use std::fmt;
use std::ops::{AddAssign, MulAssign};
use std::sync::Arc;

use super::params::{ParamId, Params, list_shapes};
use crate::compute::update_alike;
use crate::kernels::formulas::Affine;
use crate::kernels::optim::Clamp;
use crate::{Element, Tensor, Var};

/// The gradients of a network's parameters; none for those that the loss does not depend on.
/// [`Pass::gradients`](super::Pass::gradients) makes them.
///
/// `a += &b` adds gradients of the same network, `a *= c` scales them. A step on a batch that is computed in four
/// parts, its gradient held to a norm of 1:
///
/// ```
/// use wengert::nn::{Init, Linear, Mode, ParamGrads, Params, Pass};
/// use wengert::{Rng, Tape, optim::{Optimizer, Sgd}};
/// let mut rng = Rng::seed(0);
/// let mut params = Params::<f32>::new();
/// let layer = Linear::new(&mut params.scope("l"), 3, 1, Init::PyTorch, &mut rng);
///
/// let mut total = ParamGrads::new(&params);
/// for _ in 0..4 {
///     let tape = Tape::new();
///     let pass = Pass::new(&params, &tape, Mode::Train);
///     let loss = layer.forward(&pass, &rng.normal([8, 3]).into()).powi(2).mean();
///     total += &pass.gradients(&loss.backward());
/// }
/// total *= 1.0 / 4.0; // the mean over the whole batch
/// let norm = total.clip_norm(1.0);
/// assert!(norm.is_finite() && total.norm() <= norm.min(1.0 + 1e-6));
/// assert_eq!(total.iter().map(|(_, name, _)| name).collect::<Vec<_>>(), ["l.weight", "l.bias"]);
/// Sgd::new(0.1).step(&mut params, &total);
/// ```
#[derive(Clone)]
pub struct ParamGrads<T: Element = f32> {
    structure: u64,
    /// By index among the entries of the store, with the name of the parameter.
    grads: Vec<Option<(Arc<str>, Tensor<T>)>>,
}

impl<T: Element> ParamGrads<T> {
    /// No gradient for any parameter of this network, to which those of several batches can be added.
    pub fn new(params: &Params<T>) -> ParamGrads<T> {
        ParamGrads { structure: params.structure(), grads: Vec::new() }
    }

    /// These gradients, by index among the entries of the store.
    pub(super) fn of(params: &Params<T>, grads: Vec<Option<Tensor<T>>>) -> ParamGrads<T> {
        let named = |(index, grad): (usize, Option<Tensor<T>>)| Some((params.name(index).clone(), grad?));
        ParamGrads { structure: params.structure(), grads: grads.into_iter().enumerate().map(named).collect() }
    }

    /// The gradient of a parameter, or `None` if the loss does not depend on it.
    ///
    /// # Panics
    /// If it is a parameter of another network.
    #[track_caller]
    pub fn get(&self, id: ParamId) -> Option<&Tensor<T>> {
        assert!(id.structure() == self.structure, "ParamGrads::get: this is a parameter of another network");
        self.by_index(id.index())
    }

    /// The gradients that there are, in the order in which the parameters were made, each with its parameter's
    /// place and name; it has the parameter's shape.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &str, &Tensor<T>)> {
        let place = |index| ParamId::new(self.structure, index);
        let grads = self.grads.iter().enumerate();
        grads.filter_map(move |(index, grad)| grad.as_ref().map(|(name, grad)| (place(index), &**name, grad)))
    }

    /// The same with every gradient replaced by `f(place, name, gradient)`.
    ///
    /// ```
    /// # use wengert::{Rng, Tape, nn::{Init, Linear, Mode, Params, Pass}};
    /// # let mut params = Params::<f32>::new();
    /// # let layer = Linear::new(&mut params.scope("l"), 3, 1, Init::PyTorch, &mut Rng::seed(0));
    /// # let tape = Tape::new();
    /// # let pass = Pass::new(&params, &tape, Mode::Train);
    /// # let loss = layer.forward(&pass, &wengert::Tensor::ones([8, 3]).into()).sum();
    /// # let gradients = pass.gradients(&loss.backward());
    /// // What is not finite moves nothing.
    /// let gradients = gradients.map(|_, _, g| g.map(|x| if x.is_finite() { x } else { 0.0 }));
    /// assert_eq!(gradients.get(params.id("l.bias").unwrap()).unwrap().item(), 8.0);
    /// ```
    ///
    /// # Panics
    /// If `f` changes a shape.
    #[track_caller]
    pub fn map(mut self, mut f: impl FnMut(ParamId, &str, Tensor<T>) -> Tensor<T>) -> ParamGrads<T> {
        for (index, grad) in self.grads.iter_mut().enumerate() {
            let Some((name, old)) = grad.take() else { continue };
            let shape = *old.shape();
            let new = f(ParamId::new(self.structure, index), &name, old);
            let found = new.shape();
            assert!(*found == shape, "ParamGrads::map: `{name}` has shape {shape}, found {found}");
            *grad = Some((name, new));
        }
        self
    }

    /// The gradients for which `f(place, name, gradient)` holds. An optimiser leaves parameters without a gradient as
    /// they are: so groups of parameters have learning rates of their own, each with an optimiser that is given the
    /// gradients of its group.
    ///
    /// ```
    /// # use wengert::{Rng, Tape, nn::{Init, Linear, Mode, Params, Pass}};
    /// # let mut rng = Rng::seed(0);
    /// # let mut params = Params::<f32>::new();
    /// # let body = Linear::new(&mut params.scope("body"), 3, 4, Init::PyTorch, &mut rng);
    /// # let head = Linear::new(&mut params.scope("head"), 4, 1, Init::PyTorch, &mut rng);
    /// # let tape = Tape::new();
    /// # let pass = Pass::new(&params, &tape, Mode::Train);
    /// # let x = wengert::Tensor::ones([8, 3]).into();
    /// # let loss = head.forward(&pass, &body.forward(&pass, &x)).sum();
    /// # let gradients = pass.gradients(&loss.backward());
    /// use wengert::optim::{Adam, Optimizer};
    /// let (mut slow, mut fast) = (Adam::new(1e-4), Adam::new(1e-2)); // made once, before training
    ///
    /// slow.step(&mut params, &gradients.clone().filter(|_, name, _| name.starts_with("body.")));
    /// fast.step(&mut params, &gradients.filter(|_, name, _| name.starts_with("head.")));
    /// ```
    pub fn filter(mut self, mut f: impl FnMut(ParamId, &str, &Tensor<T>) -> bool) -> ParamGrads<T> {
        for (index, grad) in self.grads.iter_mut().enumerate() {
            *grad = grad.take().filter(|(name, grad)| f(ParamId::new(self.structure, index), name, grad));
        }
        self
    }

    /// The norm of all gradients as one vector, √Σ g². The squares are summed up in `T`: in `f32` gradients above
    /// 1e19 give ∞. 0 if there are no gradients, NaN if one is NaN.
    ///
    /// # Panics
    /// With a [`DeviceError`](crate::DeviceError) if a device has no memory left or fails.
    pub fn norm(&self) -> f64 {
        let squares = self.iter().map(|(_, _, grad)| Var::from(grad).powi(2).sum());
        squares.reduce(|a, b| a + b).map_or(0.0, |sum| sum.item().f64().sqrt())
    }

    /// Scales all gradients by min(1, max/(norm + 1e-6)), so that their [`norm`](ParamGrads::norm) is at most `max`
    /// up to rounding, and returns the norm before, as PyTorch's `clip_grad_norm_` does.
    ///
    /// Gradients of a norm that is not finite are not trusted, and not hidden: with ∞, what is finite becomes 0 and
    /// what is not NaN; with NaN, all becomes NaN. As the norm is returned, the caller can leave out such a step.
    ///
    /// # Panics
    /// If `max` is negative or not finite; with a [`DeviceError`](crate::DeviceError) if a device has no memory left
    /// or fails.
    #[track_caller]
    pub fn clip_norm(&mut self, max: f64) -> f64 {
        assert!(max.is_finite() && max >= 0.0, "ParamGrads::clip_norm: expected a norm of at least 0, found {max}");
        let norm = self.norm();
        let scale = max / (norm + 1e-6);
        if scale < 1.0 || scale.is_nan() {
            *self *= scale;
        }
        norm
    }

    /// Holds every element of every gradient to −max ≤ g ≤ max, as PyTorch's `clip_grad_value_` does. NaN stays NaN.
    ///
    /// # Panics
    /// If `max` is negative or NaN; with a [`DeviceError`](crate::DeviceError) if a device has no memory left or
    /// fails.
    #[track_caller]
    pub fn clip_value(&mut self, max: f64) {
        assert!(max >= 0.0, "ParamGrads::clip_value: expected a bound of at least 0, found {max}");
        self.tensors_mut().for_each(|grad| update_alike(Clamp { low: -max, high: max }, [grad], &[]));
    }

    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<T>> {
        self.grads.iter_mut().flatten().map(|(_, grad)| grad)
    }

    pub(crate) fn by_index(&self, index: usize) -> Option<&Tensor<T>> {
        self.grads.get(index)?.as_ref().map(|(_, grad)| grad)
    }

    /// Checks that these are gradients of that network.
    #[track_caller]
    pub(crate) fn check(&self, params: &Params<T>) {
        let same = self.structure == params.structure();
        assert!(same, "optimiser: these are gradients of another network than the parameters");
    }
}

impl<T: Element> AddAssign<&ParamGrads<T>> for ParamGrads<T> {
    /// g ← g + h; where only one has a gradient, that one.
    ///
    /// # Panics
    /// If the others are gradients of another network; with a [`DeviceError`](crate::DeviceError) if a device has no
    /// memory left or fails.
    #[track_caller]
    fn add_assign(&mut self, others: &ParamGrads<T>) {
        assert!(self.structure == others.structure, "ParamGrads: these are gradients of two networks");
        self.grads.resize(self.grads.len().max(others.grads.len()), None);
        for (own, other) in self.grads.iter_mut().zip(&others.grads) {
            match (own, other) {
                (Some((_, own)), Some((_, other))) => own.add_assign(other),
                (own @ None, Some(_)) => own.clone_from(other),
                (_, None) => {}
            }
        }
    }
}

impl<T: Element> MulAssign<f64> for ParamGrads<T> {
    /// g ← factor·g.
    ///
    /// # Panics
    /// With a [`DeviceError`](crate::DeviceError) if a device has no memory left or fails.
    #[track_caller]
    fn mul_assign(&mut self, factor: f64) {
        // Adding −0 changes nothing, +0 would make 0 of −0.
        self.tensors_mut().for_each(|grad| update_alike(Affine { scale: factor, shift: -0.0 }, [grad], &[]));
    }
}

impl<T: Element> fmt::Debug for ParamGrads<T> {
    /// Names and shapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list_shapes(f, "ParamGrads", self.iter().map(|(_, name, grad)| (name, grad.shape().to_string())))
    }
}
