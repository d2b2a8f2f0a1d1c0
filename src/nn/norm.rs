//! Batch norm, and the norms of each sample by itself: layer norm, group norm, instance norm.

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

/// Batch norm over axis 1 of (N, C) or (N, C, positions…): y = γ (x − mean)/√(var + ε) + β, ε = 1e-5 unless
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
        check_eps("BatchNorm", eps);
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
        check_channels("BatchNorm", channels, x);
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

/// Layer norm over the last axes: y = γ ⊙ (x − mean)/√(var + ε) + β, mean and biased variance over those axes, ε = 1e-5
/// unless [`eps`](LayerNorm::eps) says otherwise.
///
/// Parameters `weight` (γ, begins as 1) and `bias` (β, begins as 0), of the shape of those axes. It has no state.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    shape: Shape,
    gamma: ParamId,
    beta: ParamId,
    eps: f64,
}

impl LayerNorm {
    /// Layer norm in this scope over last axes of these extents.
    ///
    /// # Panics
    /// If there are none, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(scope: &mut Scope<'_, T>, shape: impl Into<Shape>) -> LayerNorm {
        let shape = shape.into();
        assert!(!shape.is_empty(), "LayerNorm: expected at least one axis to normalise over");
        let [gamma, beta] = gain_and_bias(scope, shape);
        LayerNorm { shape, gamma, beta, eps: EPS }
    }

    /// The same with this ε, which is added to a variance before its root is taken.
    ///
    /// # Panics
    /// If it is not above 0, or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> LayerNorm {
        check_eps("LayerNorm", eps);
        LayerNorm { eps, ..self }
    }

    /// The normalised input, of the shape of `x`.
    ///
    /// # Panics
    /// If the last axes of `x` have other extents, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (shape, own) = (x.shape(), &self.shape);
        assert!(shape.ends_with(own), "LayerNorm: input {shape}: expected last axes of extents {own}");
        x.layer_norm(own.len(), &pass.param(self.gamma), &pass.param(self.beta), self.eps)
    }
}

/// Group norm (Wu and He 2018): the channels of each sample in groups of neighbours, each group with its own mean and
/// biased variance: y = γ ⊙ (x − mean)/√(var + ε) + β, ε = 1e-5 unless [`eps`](GroupNorm::eps) says otherwise.
///
/// Parameters `weight` (γ, begins as 1) and `bias` (β, begins as 0), of (C). It has no state: training and evaluation
/// are the same. That no sample sees another makes it the norm for critics with a gradient penalty.
///
/// ```
/// use wengert::{Rng, nn::{GroupNorm, Mode, Params, Pass}};
/// let mut params = Params::<f32>::new();
/// let norm = GroupNorm::new(&mut params.scope("n"), 2, 8);
/// let x = Rng::seed(0).normal([4, 8, 5, 5]).map(|x| 3.0 * x + 2.0).into();
/// let y = norm.forward(&Pass::frozen(&params, Mode::Eval), &x);
/// let mean = y.reshape([4, 2, 4 * 25]).mean_axes([2], false); // of each group of each sample
/// assert!(mean.value().to_vec().iter().all(|m| m.abs() < 1e-5));
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    channels: usize,
    gamma: ParamId,
    beta: ParamId,
    eps: f64,
}

impl GroupNorm {
    /// Group norm in this scope, of so many groups of channels.
    ///
    /// # Panics
    /// If `groups` is 0 or does not divide `channels`, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(scope: &mut Scope<'_, T>, groups: usize, channels: usize) -> GroupNorm {
        let fits = groups > 0 && channels.is_multiple_of(groups);
        assert!(fits, "GroupNorm: {groups} groups of {channels} channels: expected a number that divides the channels");
        let [gamma, beta] = gain_and_bias(scope, [channels].into());
        GroupNorm { groups, channels, gamma, beta, eps: EPS }
    }

    /// The same with this ε, which is added to a variance before its root is taken.
    ///
    /// # Panics
    /// If it is not above 0, or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> GroupNorm {
        check_eps("GroupNorm", eps);
        GroupNorm { eps, ..self }
    }

    /// The normalised input, of the shape of `x`, which is (N, C) or (N, C, positions…).
    ///
    /// # Panics
    /// As [`Var::group_norm`], or if the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        check_channels("GroupNorm", self.channels, x);
        x.group_norm(self.groups, &pass.param(self.gamma), &pass.param(self.beta), self.eps)
    }
}

/// Instance norm (Ulyanov, Vedaldi and Lempitsky 2016): each channel of each sample with its own mean and biased
/// variance: y = γ ⊙ (x − mean)/√(var + ε) + β, ε = 1e-5 unless [`eps`](InstanceNorm::eps) says otherwise.
///
/// Parameters `weight` (γ, begins as 1) and `bias` (β, begins as 0), of (C): PyTorch's `affine=True`. It has no state:
/// PyTorch's `track_running_stats=False`, its default.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    channels: usize,
    /// γ and β.
    affine: Option<[ParamId; 2]>,
    eps: f64,
}

impl InstanceNorm {
    /// Instance norm in this scope.
    ///
    /// # Panics
    /// If a name is taken.
    #[track_caller]
    pub fn new<T: Element>(scope: &mut Scope<'_, T>, channels: usize) -> InstanceNorm {
        let affine = Some(gain_and_bias(scope, [channels].into()));
        InstanceNorm { affine, ..InstanceNorm::without_affine(channels) }
    }

    /// Instance norm without γ and β: PyTorch's `affine=False`, its default.
    pub fn without_affine(channels: usize) -> InstanceNorm {
        InstanceNorm { channels, affine: None, eps: EPS }
    }

    /// The same with this ε, which is added to a variance before its root is taken.
    ///
    /// # Panics
    /// If it is not above 0, or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> InstanceNorm {
        check_eps("InstanceNorm", eps);
        InstanceNorm { eps, ..self }
    }

    /// The normalised input, of the shape of `x`, which is (N, C, positions…).
    ///
    /// # Panics
    /// As [`Var::instance_norm`], or if the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        check_channels("InstanceNorm", self.channels, x);
        let [gamma, beta] = match self.affine {
            Some([gamma, beta]) => [pass.param(gamma), pass.param(beta)],
            None => [Tensor::ones([self.channels]).into(), Tensor::zeros([self.channels]).into()],
        };
        x.instance_norm(&gamma, &beta, self.eps)
    }
}

#[track_caller]
fn check_channels<T: Element>(layer: &str, channels: usize, x: &Var<T>) {
    let shape = x.shape();
    let fits = shape.len() >= 2 && shape[1] == channels;
    assert!(fits, "{layer}: input {shape}: expected (N, {channels}, positions…)");
}

#[track_caller]
fn check_eps(layer: &str, eps: f64) {
    assert!(eps.is_finite() && eps > 0.0, "{layer}: expected an eps above 0, found {eps}");
}

/// γ, which begins as 1, and β, which begins as 0.
#[track_caller]
fn gain_and_bias<T: Element>(scope: &mut Scope<'_, T>, shape: Shape) -> [ParamId; 2] {
    [scope.parameter("weight", Tensor::ones(shape)), scope.parameter("bias", Tensor::zeros(shape))]
}
