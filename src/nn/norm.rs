//! Batch norm and layer norm.

use super::init::Role;
use super::{BufferId, CounterId, Init, Mode, ParamId, Pass, Scope};
use crate::compute::by_element;
use crate::kernels::optim::Average;
use crate::ops::BatchStats;
use crate::{Element, Rng, Shape, Tensor, Var};

/// What is added to a variance before its root is taken, unless told otherwise (PyTorch's value).
const EPS: f64 = 1e-5;

/// The weight of a new batch in the running statistics, unless told otherwise (PyTorch's value).
const MOMENTUM: f64 = 0.1;

/// Batch norm over axis 1 of (N, C) or (N, C, H, W): y = γ (x − mean)/√(var + ε) + β, ε = 1e-5 unless
/// [`eps`](BatchNorm::eps) says otherwise.
///
/// Parameters `weight` (γ) and `bias` (β), of (C); buffers `running_mean` and `running_var`, of (C), and
/// `num_batches_tracked`. In training it uses the mean and the biased variance of the batch; each batch in
/// [`Mode::Train`] moves the running statistics by a tenth, or another [`momentum`](BatchNorm::momentum), towards its
/// mean and its *unbiased* variance, as in PyTorch. In [`Mode::Eval`] it uses the running ones.
///
/// ```
/// use wengert::{Rng, nn::{BatchNorm, Init, Mode, Params, Pass}};
/// let mut rng = Rng::seed(0);
/// let mut params = Params::<f32>::new();
/// let norm = BatchNorm::new(&mut params.scope("b"), 3, Init::PyTorch, &mut rng).eps(1e-3).momentum(0.01);
/// let x = rng.normal([64, 3]).map(|x| x + 5.0).into();
/// let y = norm.forward(&Pass::frozen(&params, Mode::Train), &x);
/// assert!(y.mean().item().abs() < 1e-5);
/// let mean = params.get("b.running_mean").unwrap(); // has moved a hundredth of the way from 0
/// assert!(mean.to_vec().iter().all(|m| (0.04..0.06).contains(m)));
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    channels: usize,
    /// γ and β.
    affine: Option<(ParamId, ParamId)>,
    mean: BufferId,
    var: BufferId,
    batches: CounterId,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Batch norm in this scope, γ drawn from `init`, β = 0.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new<T: Element>(scope: &mut Scope<'_, T>, channels: usize, init: Init, rng: &mut Rng) -> BatchNorm {
        let gamma = scope.parameter("weight", init.weight(Role::Gain, [channels].into(), rng));
        let beta = scope.parameter("bias", Tensor::zeros([channels]));
        BatchNorm { affine: Some((gamma, beta)), ..BatchNorm::without_affine(scope, channels) }
    }

    /// Batch norm without γ and β (PyTorch's `affine=False`), for networks that compute those themselves (conditional
    /// batch norm).
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn without_affine<T: Element>(scope: &mut Scope<'_, T>, channels: usize) -> BatchNorm {
        BatchNorm {
            channels,
            affine: None,
            mean: scope.buffer("running_mean", Tensor::zeros([channels])),
            var: scope.buffer("running_var", Tensor::ones([channels])),
            batches: scope.counter("num_batches_tracked"),
            eps: EPS,
            momentum: MOMENTUM,
        }
    }

    /// The same with this ε, which is added to a variance before its root is taken.
    ///
    /// # Panics
    /// If it is not above 0, or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> BatchNorm {
        assert!(eps.is_finite() && eps > 0.0, "BatchNorm: expected an eps above 0, found {eps}");
        BatchNorm { eps, ..self }
    }

    /// The same with this weight of a new batch in the running statistics:
    /// running ← (1 − momentum)·running + momentum·batch.
    ///
    /// # Panics
    /// If it is not in [0, 1].
    #[track_caller]
    pub fn momentum(self, momentum: f64) -> BatchNorm {
        assert!((0.0..=1.0).contains(&momentum), "BatchNorm: expected a momentum in 0..=1, found {momentum}");
        BatchNorm { momentum, ..self }
    }

    /// The normalised batch, of the shape of `x`.
    ///
    /// # Panics
    /// If `x` has another number of channels, or, in training, only one value to each; if the layer belongs to another
    /// store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (gamma, beta) = self.gamma_and_beta(pass, x);
        if pass.mode() == Mode::Eval {
            return self.evaluate(pass, x, &gamma, &beta);
        }
        let (y, stats) = x.batch_norm_train(&gamma, &beta, self.eps);
        self.track(pass, &stats);
        y
    }

    /// [`forward`](BatchNorm::forward), then the ReLU, in training without a pass over memory of its own; see
    /// [`Var::batch_norm_relu_train`].
    ///
    /// # Panics
    /// As [`forward`](BatchNorm::forward).
    #[track_caller]
    pub fn forward_relu<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (gamma, beta) = self.gamma_and_beta(pass, x);
        if pass.mode() == Mode::Eval {
            return self.evaluate(pass, x, &gamma, &beta).relu();
        }
        let (y, stats) = x.batch_norm_relu_train(&gamma, &beta, self.eps);
        self.track(pass, &stats);
        y
    }

    /// γ and β for an input that fits.
    #[track_caller]
    fn gamma_and_beta<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> (Var<T>, Var<T>) {
        let (shape, channels) = (x.shape(), self.channels);
        let fits = matches!(shape.len(), 2 | 4) && shape[1] == channels;
        assert!(fits, "BatchNorm: input {shape}: expected (N, {channels}) or (N, {channels}, H, W)");
        let enough = pass.mode() == Mode::Eval || shape.size() / channels.max(1) > 1;
        assert!(enough, "BatchNorm: input {shape}: expected more than one value per channel in training");
        match self.affine {
            Some((gamma, beta)) => (pass.param(gamma), pass.param(beta)),
            None => (Tensor::ones([channels]).into(), Tensor::zeros([channels]).into()),
        }
    }

    #[track_caller]
    fn evaluate<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>, gamma: &Var<T>, beta: &Var<T>) -> Var<T> {
        x.batch_norm_eval(gamma, beta, &pass.buffer(self.mean), &pass.buffer(self.var), self.eps)
    }

    /// In [`Mode::Train`], moves the running statistics towards those of the batch.
    fn track<T: Element>(&self, pass: &Pass<'_, T>, stats: &BatchStats<T>) {
        if pass.mode() != Mode::Train {
            return;
        }
        let unbias = stats.count as f64 / (stats.count - 1) as f64;
        for (id, batch, scale) in [(self.mean, &stats.mean, 1.0), (self.var, &stats.variance, unbias)] {
            let average = Average { decay: 1.0 - self.momentum, rest: self.momentum * scale };
            pass.set_buffer(id, by_element(average, [&pass.buffer(id), batch]));
        }
        pass.increment(self.batches);
    }
}

/// Layer norm over the last axes: y = γ ⊙ (x − mean)/√(var + 1e-5) + β, mean and biased variance over those axes.
///
/// Parameters `weight` (γ, begins as 1) and `bias` (β, begins as 0), of the shape of those axes. It has no state.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    shape: Shape,
    gamma: ParamId,
    beta: ParamId,
}

impl LayerNorm {
    /// Layer norm in this scope over last axes of these extents.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new<T: Element>(scope: &mut Scope<'_, T>, shape: impl Into<Shape>) -> LayerNorm {
        let shape = shape.into();
        let gamma = scope.parameter("weight", Tensor::ones(shape));
        LayerNorm { shape, gamma, beta: scope.parameter("bias", Tensor::zeros(shape)) }
    }

    /// The normalised input, of the shape of `x`.
    ///
    /// # Panics
    /// If the last axes of `x` have other extents, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (shape, own) = (x.shape(), &self.shape);
        assert!(shape.ends_with(own), "LayerNorm: input {shape}: expected last axes of extents {own}");
        x.layer_norm(own.len(), &pass.param(self.gamma), &pass.param(self.beta), EPS)
    }
}
