//! Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167), layer normalisation (Ba, Kiros and Hinton 2016,
//! arXiv:1607.06450), group normalisation (Wu and He 2018, arXiv:1803.08494) and instance normalisation (Ulyanov,
//! Vedaldi and Lempitsky 2016, arXiv:1607.08022).

use super::elementwise::ReluGate;
use crate::compute::{Layout, by_element, compiled, compute};
use crate::kernels::batch_norm::{BatchMoments, BatchNormGradient, BatchNormalise};
use crate::{Axes, Element, MAX_RANK, Shape, Tensor, Var, function, number};

function!(
    /// 1/√(variance + eps)
    pub InverseRoot { eps } |variance| number::<X>(1.0) / (variance + eps).sqrt()
);

/// What a batch says about its channels: the state that the caller may fold into running statistics.
#[derive(Clone, Debug)]
pub struct BatchStats<T: Element = f32> {
    /// The mean of every channel, of shape (C).
    pub mean: Tensor<T>,
    /// The biased variance Σ(x − mean)²/count of every channel, of shape (C). PyTorch's running variance takes the
    /// unbiased one, this times count/(count − 1).
    pub variance: Tensor<T>,
    /// The number of values per channel.
    pub count: usize,
}

impl<T: Element> Var<T> {
    /// Batch normalisation in training: with μ and σ² the mean and the biased variance of each channel over the batch
    /// and the positions, y = γ ⊙ x̂ + β, x̂ = (x − μ)/√(σ² + eps). x is (N, C) or (N, C, positions…), γ and β are (C).
    ///
    /// With ⟨·⟩ the mean over a channel, β̄ = Σ ȳ, γ̄ = Σ ȳ ⊙ x̂, x̄ = γ/√(σ² + eps) ⊙ (ȳ − ⟨ȳ⟩ − x̂ ⊙ ⟨ȳ ⊙ x̂⟩): the
    /// two means are there because μ and σ² depend on x. [`Var::backward`] runs this as a kernel of two passes;
    /// [`Var::grad`] runs its twin in differentiable operations.
    ///
    /// Maps lie channels-last in memory afterwards.
    ///
    /// # Panics
    /// If the rank of x is below 2, γ or β is not (C), or there are fewer than 2 values per channel: one value says
    /// nothing about a variance, and its y would be β whatever x is.
    #[track_caller]
    pub fn batch_norm_train(&self, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> (Var<T>, BatchStats<T>) {
        self.normalise_batch(false, "batch_norm_train", gamma, beta, eps)
    }

    /// [`batch_norm_train`](Var::batch_norm_train), then [`relu`](Var::relu), without passes over memory for the
    /// latter: the gradient passes where γ ⊙ x̂ + β > 0, which [`Var::backward`] computes again from x; [`Var::grad`]
    /// reads it off y.
    ///
    /// # Panics
    /// As [`batch_norm_train`](Var::batch_norm_train).
    #[track_caller]
    pub fn batch_norm_relu_train(&self, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> (Var<T>, BatchStats<T>) {
        self.normalise_batch(true, "batch_norm_relu_train", gamma, beta, eps)
    }

    /// Batch normalisation in training, with or without the ReLU.
    #[track_caller]
    fn normalise_batch(
        &self,
        relu: bool,
        name: &'static str,
        gamma: &Var<T>,
        beta: &Var<T>,
        eps: f64,
    ) -> (Var<T>, BatchStats<T>) {
        let channels = check_channels(name, self, &[("gamma", gamma.value()), ("beta", beta.value())]);
        let shape = *self.shape();
        let count: usize = shape[0] * shape[2..].iter().product::<usize>();
        assert!(
            count > 1,
            "{name}: {count} value(s) per channel in shape {shape}: expected more than 1, to have a variance"
        );
        let x = channels_innermost(self.value());
        let moments = BatchMoments { eps };
        let [mean, rest, variance, inverse] = compute(compiled(&moments), &[&x], [Layout::row_major([channels]); 4]);
        let (gamma_values, beta_values) = (gamma.value().contiguous(), beta.value().contiguous());
        let affine = [&mean, &rest, &inverse, &gamma_values, &beta_values].map(Tensor::clone);
        let value = normalised(&x, &affine, relu);
        let stats = BatchStats { mean, variance, count };

        let (saved_x, saved_gamma) = (Var { value: x, ..self.clone() }.saved(), gamma.saved());
        let y = relu.then(|| value.clone());
        let y = Var::record(name, &[self, gamma, beta], value, move |grad, back| {
            let x = back.var(&saved_x);
            let [dx, dgamma, dbeta] = if back.records() {
                let grad = y.as_ref().map_or_else(|| grad.clone(), |y| grad.gate(y, ReluGate));
                let [mean, _, inverse, ..] = &affine;
                differentiable_rule(&x, &back.var(&saved_gamma), &grad, ([mean, inverse], eps), |i| back.needs(i))
            } else {
                fused_rule(x.value(), &affine, grad.value(), relu, back.needs(0))
            };
            for (i, gradient) in [dx, dgamma, dbeta].into_iter().enumerate() {
                back.give(i, |_| gradient.expect("a gradient that is needed was computed"));
            }
        });
        (y, stats)
    }

    /// Batch normalisation in evaluation: y = γ ⊙ x̂ + β, x̂ = (x − m)/√(s + eps), with the running mean m and the
    /// running variance s, both constants. x is (N, C) or (N, C, positions…), the others are (C).
    /// x̄ = ȳ ⊙ γ/√(s + eps), γ̄ = Σ ȳ ⊙ x̂, β̄ = Σ ȳ.
    ///
    /// Maps lie channels-last in memory afterwards.
    ///
    /// # Panics
    /// If the rank of x is below 2, or one of the others is not (C).
    #[track_caller]
    pub fn batch_norm_eval(
        &self,
        gamma: &Var<T>,
        beta: &Var<T>,
        running_mean: &Tensor<T>,
        running_var: &Tensor<T>,
        eps: f64,
    ) -> Var<T> {
        let vectors = [
            ("gamma", gamma.value()),
            ("beta", beta.value()),
            ("running_mean", running_mean),
            ("running_var", running_var),
        ];
        check_channels("batch_norm_eval", self, &vectors);
        let rank = self.shape().len();
        let (mean, rest) = (running_mean.contiguous(), Tensor::zeros(running_mean.shape()));
        let inverse = by_element(InverseRoot { eps }, [running_var]).contiguous();
        let (gamma_values, beta_values) = (gamma.value().contiguous(), beta.value().contiguous());
        let affine = [&mean, &rest, &inverse, &gamma_values, &beta_values].map(Tensor::clone);
        let value = normalised(&channels_innermost(self.value()), &affine, false);

        let (x, gamma_saved) = (self.saved_for(gamma), gamma.saved());
        Var::record("batch_norm_eval", &[self, gamma, beta], value, move |grad, back| {
            let constant = |of: &Tensor<T>| per_channel(&of.into(), rank);
            let sum = |of: Var<T>| of.sum_axes(all_but_channels(rank), false);
            back.give(0, |back| grad * (per_channel(&back.var(&gamma_saved), rank) * constant(&inverse)));
            back.give(1, |back| sum(grad * ((back.var(&x) - constant(&mean)) * constant(&inverse))));
            back.give(2, |_| sum(grad.clone()));
        })
    }

    /// Layer normalisation over the last `axes` axes: y = γ ⊙ (x − μ)/√(σ² + eps) + β with the mean μ and the biased
    /// variance σ² over these axes, each sample by itself. γ and β have the shape of these axes.
    ///
    /// Made of differentiable operations, so it has no rule of its own.
    ///
    /// # Panics
    /// If `axes` is 0 or above the rank of x, or γ or β does not have the shape of the last `axes` axes.
    #[track_caller]
    pub fn layer_norm(&self, axes: usize, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> Var<T> {
        let shape = self.shape();
        let rank = shape.len();
        assert!((1..=rank).contains(&axes), "layer_norm: {axes} axes of shape {shape}: expected 1 to {rank}");
        let expected = Shape::from(&shape[rank - axes..]);
        for (name, found) in [("gamma", gamma.shape()), ("beta", beta.shape())] {
            assert!(
                *found == expected,
                "layer_norm: {name} of shape {found} for x of shape {shape}: expected {expected}"
            );
        }
        self.normalise((rank - axes..rank).collect(), eps) * gamma + beta
    }

    /// Group normalisation: the channels in `groups` groups of neighbours, each of each sample by itself:
    /// y = γ ⊙ (x − μ)/√(σ² + eps) + β with the mean μ and the biased variance σ² of the group. x is (N, C) or
    /// (N, C, positions…), γ and β are (C).
    ///
    /// Made of differentiable operations, so it has no rule of its own; it copies neither row-major maps nor those that
    /// lie channels-last, and keeps their order.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let x = Var::<f64>::from(Tensor::from_vec([1, 4], vec![1.0, 3.0, 10.0, 50.0]));
    /// let (ones, zeros) = (Tensor::ones([4]).into(), Tensor::zeros([4]).into());
    /// assert_eq!(x.group_norm(2, &ones, &zeros, 0.0).value().to_vec(), [-1.0, 1.0, -1.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// If the rank of x is below 2 or as high as a tensor's can be, `groups` is 0 or does not divide C, γ or β is not
    /// (C), or a group has fewer than 2 values: one value says nothing about a variance, and its y would be β whatever
    /// x is.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> Var<T> {
        self.normalise_groups("group_norm", |_| groups, gamma, beta, eps)
    }

    /// Instance normalisation: [`group_norm`](Var::group_norm) with a group for each channel, so that every channel of
    /// every sample has the mean β and the deviation |γ|. Training and evaluation are the same.
    ///
    /// # Panics
    /// As [`group_norm`](Var::group_norm), of fewer than 2 positions.
    #[track_caller]
    pub fn instance_norm(&self, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> Var<T> {
        self.normalise_groups("instance_norm", |channels| channels, gamma, beta, eps)
    }

    #[track_caller]
    fn normalise_groups(
        &self,
        name: &str,
        groups: impl Fn(usize) -> usize,
        gamma: &Var<T>,
        beta: &Var<T>,
        eps: f64,
    ) -> Var<T> {
        let channels = check_channels(name, self, &[("gamma", gamma.value()), ("beta", beta.value())]);
        let (shape, groups) = (*self.shape(), groups(channels));
        let rank = shape.len();
        let fits = rank < MAX_RANK && groups > 0 && channels.is_multiple_of(groups);
        assert!(
            fits,
            "{name}: {groups} groups for x of shape {shape}: expected a number that divides the channels, and less \
             than {MAX_RANK} axes"
        );
        let each = channels / groups;
        let count = each * shape[2..].iter().product::<usize>();
        assert!(
            count > 1,
            "{name}: {count} value(s) per group in x of shape {shape}: expected more than 1, to have a variance"
        );
        let split: Shape = [shape[0], groups, each].iter().chain(&shape[2..]).copied().collect();
        let normal = self.reshape(split).normalise((2..=rank).collect(), eps).reshape(shape);
        normal * per_channel(gamma, rank) + per_channel(beta, rank)
    }

    /// (x − μ)/√(σ² + eps) with the mean μ and the biased variance σ² over these axes.
    #[track_caller]
    fn normalise(&self, over: Axes, eps: f64) -> Var<T> {
        let deviation = self.deviation(over);
        let inverse = (deviation.powi(2).mean_axes(over, true) + eps).sqrt().powi(-1);
        deviation * inverse
    }
}

/// Checks x and the vectors of one value per channel, and returns the number of channels.
#[track_caller]
fn check_channels<T: Element>(name: &str, x: &Var<T>, vectors: &[(&str, &Tensor<T>)]) -> usize {
    let shape = x.shape();
    assert!(shape.len() >= 2, "{name}: x of shape {shape}: expected (N, C) or (N, C, H, W)");
    for (what, vector) in vectors {
        let found = vector.shape();
        assert!(
            **found == [shape[1]],
            "{name}: {what} of shape {found} for x of shape {shape}: expected ({})",
            shape[1]
        );
    }
    shape[1]
}

/// x with the channels innermost in memory: channels-last for maps, row-major for (N, C); a copy only if it is not.
fn channels_innermost<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    x.in_memory_order(all_but_channels(x.rank()).iter().copied().chain([1]).collect::<Axes>())
}

/// Every axis but 1.
fn all_but_channels(rank: usize) -> Axes {
    (0..rank).filter(|&axis| axis != 1).collect()
}

/// A vector (C) as (C, 1, …), so that it is repeated along all axes but 1 of a tensor of this rank.
#[track_caller]
fn per_channel<T: Element>(vector: &Var<T>, rank: usize) -> Var<T> {
    let channels = vector.shape()[0];
    vector.reshape([channels].into_iter().chain((2..rank).map(|_| 1)).collect::<Shape>())
}

/// y = γ ⊙ (x − mean − rest)·inverse + β, or max(y, 0), of x that has its channels innermost; `affine` is mean, rest,
/// inverse, γ, β.
fn normalised<T: Element>(x: &Tensor<T>, affine: &[Tensor<T>; 5], relu: bool) -> Tensor<T> {
    let [mean, rest, inverse, gamma, beta] = affine;
    let [y] = compute(compiled(&BatchNormalise { relu }), &[x, mean, rest, inverse, gamma, beta], [x.layout()]);
    y
}

/// The rule of batch normalisation by its fused kernel: x̄ if it is needed, γ̄, β̄.
fn fused_rule<T: Element>(
    x: &Tensor<T>,
    affine: &[Tensor<T>; 5],
    grad: &Tensor<T>,
    relu: bool,
    needs_x: bool,
) -> [Option<Var<T>>; 3] {
    let [mean, rest, inverse, gamma, beta] = affine;
    let inputs = [x, &channels_innermost(grad), mean, rest, inverse, gamma, beta];
    let kernel = BatchNormGradient { relu };
    let per_channel = Layout::row_major(mean.shape());
    if !needs_x {
        let [dgamma, dbeta] = compute(compiled(&kernel), &inputs, [per_channel; 2]);
        return [None, Some(dgamma.into()), Some(dbeta.into())];
    }
    let layout = x.layout();
    let [dgamma, dbeta, dx] = compute(compiled(&kernel), &inputs, [per_channel, per_channel, layout]);
    [Some(dx.into()), Some(dgamma.into()), Some(dbeta.into())]
}

/// The rule of batch normalisation in differentiable operations, for the derivatives of higher order.
///
/// x̂ does not change if x is shifted, or scaled together with √eps. So it is computed from (x − m)·s with the mean m
/// and s = 1/√(σ² + eps) of this very batch as constants: numbers around 1, whose mean and squares lose nothing to
/// rounding or overflow, wherever the values of x lie.
fn differentiable_rule<T: Element>(
    x: &Var<T>,
    gamma: &Var<T>,
    grad: &Var<T>,
    ([mean, inverse], eps): ([&Tensor<T>; 2], f64),
    needs: impl Fn(usize) -> bool,
) -> [Option<Var<T>>; 3] {
    let rank = x.shape().len();
    let over = all_but_channels(rank);
    let [mean, scale] = [mean, inverse].map(|constant| per_channel(&constant.into(), rank));
    let near = (x - mean) * &scale;
    let deviation = &near - near.mean_axes(over, true);
    let inverse = (deviation.powi(2).mean_axes(over, true) + scale.powi(2) * eps).sqrt().powi(-1);
    let normal = deviation * &inverse;
    let dx = || {
        let centred = grad - grad.mean_axes(over, true) - &normal * (grad * &normal).mean_axes(over, true);
        per_channel(gamma, rank) * scale * inverse * centred
    };
    [
        needs(0).then(dx),
        needs(1).then(|| (grad * &normal).sum_axes(over, false)),
        needs(2).then(|| grad.sum_axes(over, false)),
    ]
}
