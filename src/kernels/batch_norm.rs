//! Batch normalisation as kernels: moments, the normalised batch, and its rule. The loops are in `norm.rs`.

use super::Element;
use super::kernel::{Inputs, Kernel, Outputs};
use super::norm::{ChannelAffine, gradient_sums, input_gradient, moments, normalise, sums};

/// The sum of each column of x, every element added in `f64`.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSums;

impl<T: Element> Kernel<T> for ColumnSums {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        store_all(out, &sums(x, out.len()));
    }
}

/// The mean of each channel of x in two parts, its biased variance, and 1/√(variance + eps): computed in `f64`, rounded
/// once.
///
/// The second part of the mean is what rounding took off the first. It counts where a channel varies by no more than
/// rounding: the mean of 10000 and the next larger number of f32 is neither of them.
#[derive(Clone, Copy, Debug)]
pub struct BatchMoments {
    /// What is added to a variance before its root is taken.
    pub eps: f64,
}

impl<T: Element> Kernel<T> for BatchMoments {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [mean, rest, variance, inverse]) = (inputs.tensors(), outputs.tensors());
        let moments = moments(x, mean.len());
        store_all(mean, &moments.mean);
        for (i, rest) in rest.iter_mut().enumerate() {
            *rest = T::of(moments.mean[i] - mean[i].f64());
        }
        store_all(variance, &moments.variance);
        let roots = moments.variance.iter().map(|variance| (variance + self.eps).sqrt().recip());
        inverse.iter_mut().zip(roots).for_each(|(y, root)| *y = T::of(root));
    }
}

fn store_all<T: Element>(out: &mut [T], values: &[f64]) {
    out.iter_mut().zip(values).for_each(|(y, &x)| *y = T::of(x));
}

/// y = γ·(x − mean − rest)·inverse + β, or max(y, 0), from x, mean, rest, inverse, γ, β.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalise {
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl<T: Element> Kernel<T> for BatchNormalise {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x, mean, rest, inverse, gamma, beta], [y]) = (inputs.tensors(), outputs.tensors());
        let [scale, shift] = scale_and_shift(rest, inverse, gamma, beta);
        let affine = ChannelAffine { mean, scale: &scale, shift: &shift };
        match self.relu {
            false => normalise::<T, false>(y, x, &affine),
            true => normalise::<T, true>(y, x, &affine),
        }
    }
}

/// The rule of batch normalisation in two walks over memory: γ̄, β̄, and x̄ if there is a third output, from x, the
/// gradient g of y, mean, rest, inverse = 1/√(σ² + eps), γ, β.
///
/// With μ = mean + rest: β̄ = Σ g, γ̄ = inverse·Σ g·(x − μ), and x̄ = a·(g + b·(x − μ) + c) for each channel with a =
/// γ·inverse, b = −inverse·γ̄/n, c = −β̄/n, where n is the number of rows. Over memory x − mean is taken; the rest goes
/// into the numbers of the channel. With a ReLU behind y, g counts where y > 0.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGradient {
    /// Whether a ReLU followed.
    pub relu: bool,
}

impl<T: Element> Kernel<T> for BatchNormGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        match self.relu {
            false => self.run::<T, false>(inputs, outputs),
            true => self.run::<T, true>(inputs, outputs),
        }
    }
}

impl BatchNormGradient {
    fn run<T: Element, const RELU: bool>(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let [dgamma, dbeta, dx @ ..] = outputs.tensors else { panic!("a rule of batch norm without outputs") };
        let ([x, g, mean, rest, inverse, gamma, beta], channels) = (inputs.tensors(), dgamma.len());
        let [scale, shift] = scale_and_shift(rest, inverse, gamma, beta);
        let affine = ChannelAffine { mean, scale: &scale, shift: &shift };
        let (sums, mut dots) = gradient_sums::<T, RELU>(x, g, &affine);
        for (i, dot) in dots.iter_mut().enumerate() {
            *dot = (*dot - rest[i].f64() * sums[i]) * inverse[i].f64();
        }
        store_all(dgamma, &dots);
        store_all(dbeta, &sums);
        if let [dx] = dx {
            let n = x.len() as f64 / channels as f64;
            let a = |i: usize| gamma[i].f64() * inverse[i].f64();
            let each = |f: &dyn Fn(usize) -> f64| (0..channels).map(|i| T::of(f(i))).collect::<Vec<T>>();
            let b = |i: usize| -inverse[i].f64() * dots[i] / n;
            let c = |i: usize| -sums[i] / n - b(i) * rest[i].f64();
            input_gradient::<T, RELU>(dx, x, g, &affine, [&each(&a), &each(&b), &each(&c)]);
        }
    }
}

/// The numbers of each channel in y = (x − mean)·scale + shift.
fn scale_and_shift<T: Element>(rest: &[T], inverse: &[T], gamma: &[T], beta: &[T]) -> [Vec<T>; 2] {
    let channels = 0..gamma.len();
    let scale = |i: usize| inverse[i].f64() * gamma[i].f64();
    let shift = |i: usize| T::of(beta[i].f64() - rest[i].f64() * scale(i));
    [channels.clone().map(|i| T::of(scale(i))).collect(), channels.map(shift).collect()]
}
