//! Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) and layer normalisation (Ba, Kiros and Hinton 2016,
//! arXiv:1607.06450).

use super::elementwise::Gate;
use crate::kernels::{Buffer, norm};
use crate::{Backward, Element, Rule, Shape, Tensor, Var};

/// What a batch says about its channels: the state that the caller may fold into running statistics.
#[derive(Clone, Debug)]
pub struct BatchStats<T: Element = f32> {
    /// The mean of every channel, of shape (C).
    pub mean: Tensor<T>,
    /// The biased variance Σ(x − mean)²/count of every channel, of shape (C). PyTorch's running variance takes the
    /// unbiased one, this times count/(count − 1).
    pub var: Tensor<T>,
    /// The number of values per channel.
    pub count: usize,
}

impl<T: Element> Var<T> {
    /// Batch normalisation in training: with μ and σ² the mean and the biased variance of each channel over the batch
    /// and the positions, y = γ ⊙ x̂ + β, x̂ = (x − μ)/√(σ² + eps). x is (N, C) or (N, C, positions…), γ and β are (C).
    ///
    /// With ⟨·⟩ the mean over a channel,
    /// β̄ = Σ ȳ, γ̄ = Σ ȳ ⊙ x̂, x̄ = γ/√(σ² + eps) ⊙ (ȳ − ⟨ȳ⟩ − x̂ ⊙ ⟨ȳ ⊙ x̂⟩): the two means are there because μ and σ²
    /// depend on x. [`Var::backward`] runs this as a kernel of two passes; [`Var::grad`] runs its twin in
    /// differentiable operations.
    ///
    /// Maps lie channels-last in memory afterwards.
    ///
    /// # Panics
    /// If the rank of x is below 2, γ or β is not (C), or there are fewer than 2 values per channel: one value says
    /// nothing about a variance, and its y would be β whatever x is.
    #[track_caller]
    pub fn batch_norm_train(&self, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> (Var<T>, BatchStats<T>) {
        let (value, stats, rule) = self.normalise_batch::<false>("batch_norm_train", gamma, beta, eps);
        (Var::record("batch_norm_train", &[self, gamma, beta], value, rule), stats)
    }

    /// [`batch_norm_train`](Var::batch_norm_train), then [`relu`](Var::relu), without passes over memory for the latter:
    /// the gradient passes where γ ⊙ x̂ + β > 0, which [`Var::backward`] computes again from x; [`Var::grad`] reads it off y.
    ///
    /// # Panics
    /// As [`batch_norm_train`](Var::batch_norm_train).
    #[track_caller]
    pub fn batch_norm_relu_train(&self, gamma: &Var<T>, beta: &Var<T>, eps: f64) -> (Var<T>, BatchStats<T>) {
        let (value, stats, rule) = self.normalise_batch::<true>("batch_norm_relu_train", gamma, beta, eps);
        (Var::record("batch_norm_relu_train", &[self, gamma, beta], value, rule), stats)
    }

    /// Value, statistics and rule of batch normalisation in training, with or without the ReLU.
    #[track_caller]
    fn normalise_batch<const RELU: bool>(
        &self,
        name: &str,
        gamma: &Var<T>,
        beta: &Var<T>,
        eps: f64,
    ) -> (Tensor<T>, BatchStats<T>, impl Rule<T> + use<T, RELU>) {
        let channels = check_channels(name, self, &[("gamma", gamma.value()), ("beta", beta.value())]);
        let shape = *self.shape();
        let count: usize = shape[0] * shape[2..].iter().product::<usize>();
        assert!(
            count > 1,
            "{name}: {count} value(s) per channel in shape {shape}: expected more than 1, to have a variance"
        );
        let x = channels_innermost(self.value());
        let moments = norm::moments(elements(&x), channels);
        let mean = vector(&moments.mean);
        let inverse = vector(&moments.var.iter().map(|var| (var + eps).sqrt().recip()).collect::<Vec<_>>());
        let affine = Affine::new(&mean, &inverse, gamma.value(), beta.value());
        let value = affine.apply::<RELU>(&x);
        let stats = BatchStats { mean, var: vector(&moments.var), count };

        let (x, gamma_saved) = (Var { value: x, ..self.clone() }.saved(), gamma.saved());
        let y = RELU.then(|| value.clone());
        let rule = move |grad: &Var<T>, back: &mut Backward<T>| {
            let (x, gamma) = (back.var(&x), back.var(&gamma_saved));
            let [dx, dgamma, dbeta] = match (back.records(), &y) {
                (true, None) => differentiable_rule(&x, &gamma, grad, eps, |i| back.needs(i)),
                (true, Some(y)) => {
                    let grad = &grad.gate(y, Gate::Positive { slope: 0.0 });
                    differentiable_rule(&x, &gamma, grad, eps, |i| back.needs(i))
                }
                (false, _) => {
                    affine.fused_rule::<RELU>(x.value(), gamma.value(), grad.value(), &inverse, back.needs(0))
                }
            };
            for (i, gradient) in [dx, dgamma, dbeta].into_iter().enumerate() {
                back.give(i, |_| gradient.expect("a gradient that is needed was computed"));
            }
        };
        (value, stats, rule)
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
        let (mean, eps) = (running_mean.contiguous(), T::of(eps));
        let inverse = running_var.map(|var| (var + eps).sqrt().recip()).contiguous();
        let x = channels_innermost(self.value());
        let value = Affine::new(&mean, &inverse, gamma.value(), beta.value()).apply::<false>(&x);

        let (x, gamma_saved) = (self.saved_for(gamma), gamma.saved());
        let rule = move |grad: &Var<T>, back: &mut Backward<T>| {
            let constant = |of: &Tensor<T>| per_channel(&of.into(), rank);
            let sum = |of: Var<T>| of.sum_axes(all_but_channels(rank), false);
            back.give(0, |back| grad * (per_channel(&back.var(&gamma_saved), rank) * constant(&inverse)));
            back.give(1, |back| sum(grad * ((back.var(&x) - constant(&mean)) * constant(&inverse))));
            back.give(2, |_| sum(grad.clone()));
        };
        Var::record("batch_norm_eval", &[self, gamma, beta], value, rule)
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
        let over: Shape = (rank - axes..rank).collect();
        let deviation = self - self.mean_axes(over, true);
        let inverse = (deviation.powi(2).mean_axes(over, true) + eps).sqrt().powi(-1);
        deviation * inverse * gamma + beta
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
    x.in_memory_order(all_but_channels(x.rank()).iter().copied().chain([1]).collect::<Shape>())
}

/// Every axis but 1.
fn all_but_channels(rank: usize) -> Shape {
    (0..rank).filter(|&axis| axis != 1).collect()
}

/// The elements of a dense tensor in memory order.
fn elements<T: Element>(x: &Tensor<T>) -> &[T] {
    &x.data()[..x.size()]
}

fn vector<T: Element>(values: &[f64]) -> Tensor<T> {
    let mut out = Buffer::stale(values.len());
    out.iter_mut().zip(values).for_each(|(y, &x)| *y = T::of(x));
    let shape = Shape::from([values.len()]);
    Tensor::from_buffer(out, shape, shape.row_major())
}

/// A vector (C) as (C, 1, …), so that it is repeated along all axes but 1 of a tensor of this rank.
#[track_caller]
fn per_channel<T: Element>(vector: &Var<T>, rank: usize) -> Var<T> {
    let channels = vector.shape()[0];
    vector.reshape([channels].into_iter().chain((2..rank).map(|_| 1)).collect::<Shape>())
}

/// y = (x − mean)·scale + shift for each channel.
struct Affine<T: Element> {
    mean: Tensor<T>,
    scale: Tensor<T>,
    shift: Tensor<T>,
}

impl<T: Element> Affine<T> {
    /// (x − mean)·inverse·γ + β.
    fn new(mean: &Tensor<T>, inverse: &Tensor<T>, gamma: &Tensor<T>, beta: &Tensor<T>) -> Self {
        let scale = inverse.zip(gamma, *inverse.shape(), |a, b| a * b);
        Affine { mean: mean.contiguous(), scale: scale.contiguous(), shift: beta.contiguous() }
    }

    fn of_channels(&self) -> norm::Affine<'_, T> {
        norm::Affine { mean: elements(&self.mean), scale: elements(&self.scale), shift: elements(&self.shift) }
    }

    /// y, or max(y, 0), of x that has its channels innermost.
    fn apply<const RELU: bool>(&self, x: &Tensor<T>) -> Tensor<T> {
        let mut out = Buffer::stale(x.size());
        norm::normalize::<T, RELU>(&mut out, elements(x), &self.of_channels());
        Tensor::from_buffer(out, *x.shape(), *x.strides())
    }

    /// The rule of batch normalisation in two passes over memory: the sums, then x̄ = a·ȳ + b·(x − μ) + c with
    /// a = γ/√(σ² + eps), b = −a·γ̄/(n·√(σ² + eps)), c = −a·β̄/n for each channel. With the ReLU, ȳ counts where y > 0.
    fn fused_rule<const RELU: bool>(
        &self,
        x: &Tensor<T>,
        gamma: &Tensor<T>,
        grad: &Tensor<T>,
        inverse: &Tensor<T>,
        needs_x: bool,
    ) -> [Option<Var<T>>; 3] {
        let grad = channels_innermost(grad);
        let affine = self.of_channels();
        let (sum, dot) = norm::gradient_sums::<T, RELU>(elements(x), elements(&grad), &affine);
        let inverse: Vec<f64> = elements(inverse).iter().map(|x| x.f64()).collect();
        let dgamma: Vec<f64> = dot.iter().zip(&inverse).map(|(dot, inverse)| dot * inverse).collect();
        let dx = needs_x.then(|| {
            let n = x.size() as f64 / sum.len() as f64;
            let gamma = gamma.contiguous();
            let a: Vec<f64> =
                elements(&gamma).iter().zip(&inverse).map(|(gamma, inverse)| gamma.f64() * inverse).collect();
            let each = |f: &dyn Fn(usize) -> f64| (0..a.len()).map(|i| T::of(f(i))).collect::<Vec<T>>();
            let b = each(&|i| -a[i] * inverse[i] * dgamma[i] / n);
            let c = each(&|i| -a[i] * sum[i] / n);
            let a = each(&|i| a[i]);
            let mut out = Buffer::stale(x.size());
            norm::input_gradient::<T, RELU>(&mut out, elements(x), elements(&grad), &affine, [&a, &b, &c]);
            Tensor::from_buffer(out, *x.shape(), *x.strides()).into()
        });
        [dx, Some(vector(&dgamma).into()), Some(vector(&sum).into())]
    }
}

/// The rule of batch normalisation in differentiable operations, for the derivatives of higher order.
fn differentiable_rule<T: Element>(
    x: &Var<T>,
    gamma: &Var<T>,
    grad: &Var<T>,
    eps: f64,
    needs: impl Fn(usize) -> bool,
) -> [Option<Var<T>>; 3] {
    let rank = x.shape().len();
    let over = all_but_channels(rank);
    let deviation = x - x.mean_axes(over, true);
    let inverse = (deviation.powi(2).mean_axes(over, true) + eps).sqrt().powi(-1);
    let normal = deviation * &inverse;
    let dx = || {
        let centred = grad - grad.mean_axes(over, true) - &normal * (grad * &normal).mean_axes(over, true);
        per_channel(gamma, rank) * &inverse * centred
    };
    [
        needs(0).then(dx),
        needs(1).then(|| (grad * &normal).sum_axes(over, false)),
        needs(2).then(|| grad.sum_axes(over, false)),
    ]
}
