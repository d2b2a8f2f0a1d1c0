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

/// The mean of each channel of x, its biased variance, and 1/√(variance + eps): computed in `f64`, rounded once.
#[derive(Clone, Copy, Debug)]
pub struct BatchMoments {
    /// What is added to a variance before its root is taken.
    pub eps: f64,
}

impl<T: Element> Kernel<T> for BatchMoments {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [mean, variance, inverse]) = (inputs.tensors(), outputs.tensors());
        let moments = moments(x, mean.len());
        store_all(mean, &moments.mean);
        store_all(variance, &moments.variance);
        let roots = moments.variance.iter().map(|variance| (variance + self.eps).sqrt().recip());
        inverse.iter_mut().zip(roots).for_each(|(y, root)| *y = T::of(root));
    }
}

fn store_all<T: Element>(out: &mut [T], values: &[f64]) {
    out.iter_mut().zip(values).for_each(|(y, &x)| *y = T::of(x));
}

/// y = γ·(x − mean)·inverse + β, or max(y, 0), from x, mean, inverse, γ, β.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalise {
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl<T: Element> Kernel<T> for BatchNormalise {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x, mean, inverse, gamma, beta], [y]) = (inputs.tensors(), outputs.tensors());
        let scale = products(inverse, gamma);
        let affine = ChannelAffine { mean, scale: &scale, shift: beta };
        match self.relu {
            false => normalise::<T, false>(y, x, &affine),
            true => normalise::<T, true>(y, x, &affine),
        }
    }
}

/// The rule of batch normalisation in two walks over memory: γ̄, β̄, and x̄ if there is a third output, from x, the
/// gradient g of y, mean, inverse = 1/√(σ² + eps), γ, β.
///
/// β̄ = Σ g, γ̄ = inverse·Σ g·(x − mean), and x̄ = a·g + b·(x − mean) + c for each channel with a = γ·inverse,
/// b = −a·inverse·γ̄/n, c = −a·β̄/n, where n is the number of rows. With a ReLU behind y, g counts where y > 0.
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
        let ([x, g, mean, inverse, gamma, beta], channels) = (inputs.tensors(), dgamma.len());
        let scale = products(inverse, gamma);
        let affine = ChannelAffine { mean, scale: &scale, shift: beta };
        let (sums, mut dots) = gradient_sums::<T, RELU>(x, g, &affine);
        dots.iter_mut().zip(inverse).for_each(|(dot, inverse)| *dot *= inverse.f64());
        store_all(dgamma, &dots);
        store_all(dbeta, &sums);
        if let [dx] = dx {
            let n = x.len() as f64 / channels as f64;
            let a = |i: usize| gamma[i].f64() * inverse[i].f64();
            let each = |f: &dyn Fn(usize) -> f64| (0..channels).map(|i| T::of(f(i))).collect::<Vec<T>>();
            let b = each(&|i| -a(i) * inverse[i].f64() * dots[i] / n);
            let c = each(&|i| -a(i) * sums[i] / n);
            input_gradient::<T, RELU>(dx, x, g, &affine, [&each(&a), &b, &c]);
        }
    }
}

fn products<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(&a, &b)| a * b).collect()
}
