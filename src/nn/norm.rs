//! Batch norm and layer norm.

use super::init::Role;
use super::{BufferId, CounterId, Init, Mode, ParamId, Pass, Scope};
use crate::{Element, Rng, Shape, Tensor, Var};

/// What is added to a variance before its root is taken (PyTorch's value).
const EPS: f64 = 1e-5;

/// The weight of a new batch in the running statistics (PyTorch's value).
const MOMENTUM: f64 = 0.1;

/// Batch norm over axis 1 of (N, C) or (N, C, H, W): y = γ (x − mean)/√(var + 1e-5) + β.
///
/// Parameters `weight` (γ) and `bias` (β), of (C); buffers `running_mean` and `running_var`, of (C), and
/// `num_batches_tracked`. In training it uses the mean and the biased variance of the batch; each batch in
/// [`Mode::Train`] moves the running statistics by a tenth towards its mean and its *unbiased* variance, as in PyTorch.
/// In [`Mode::Eval`] it uses the running ones.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    channels: usize,
    /// γ and β.
    affine: Option<(ParamId, ParamId)>,
    mean: BufferId,
    var: BufferId,
    batches: CounterId,
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

    /// Batch norm without γ and β, for networks that compute those themselves (conditional batch norm).
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
        }
    }

    /// The normalised batch, of the shape of `x`.
    ///
    /// # Panics
    /// If `x` has another number of channels, or, in training, only one value to each; if the layer belongs to another
    /// store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (shape, channels) = (x.shape(), self.channels);
        let fits = matches!(shape.len(), 2 | 4) && shape[1] == channels;
        assert!(fits, "BatchNorm: input {shape}: expected (N, {channels}) or (N, {channels}, H, W)");
        let (gamma, beta) = match self.affine {
            Some((gamma, beta)) => (pass.param(gamma), pass.param(beta)),
            None => (Tensor::ones([channels]).into(), Tensor::zeros([channels]).into()),
        };
        if pass.mode() == Mode::Eval {
            return x.batch_norm_eval(&gamma, &beta, &pass.buffer(self.mean), &pass.buffer(self.var), EPS);
        }
        let count = shape.size() / channels.max(1);
        assert!(count > 1, "BatchNorm: input {shape}: expected more than one value per channel in training");
        let (y, stats) = x.batch_norm_train(&gamma, &beta, EPS);
        if pass.mode() == Mode::Train {
            let unbias = count as f64 / (count - 1) as f64;
            self.track(pass, self.mean, &stats.mean, 1.0);
            self.track(pass, self.var, &stats.var, unbias);
            pass.increment(self.batches);
        }
        y
    }

    /// Moves a running statistic towards `scale` times that of the batch.
    fn track<T: Element>(&self, pass: &Pass<'_, T>, id: BufferId, batch: &Tensor<T>, scale: f64) {
        let (keep, scale) = (T::of(1.0 - MOMENTUM), T::of(MOMENTUM * scale));
        let old = pass.buffer(id);
        pass.set_buffer(id, old.zip(batch, *old.shape(), |old, new| keep * old + scale * new));
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
