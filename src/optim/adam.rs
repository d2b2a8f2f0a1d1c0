//! Adam.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::AdamStep;
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// Adam (Kingma and Ba 2015), as PyTorch computes it. At the t-th step of a parameter p with gradient g,
/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
/// p ← p − lr/(1 − β₁ᵗ) · m/(√v/√(1 − β₂ᵗ) + ε).
#[derive(Clone)]
pub struct Adam<T: Element = f32> {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    moments: Moments<T, 2>,
}

impl<T: Element> Adam<T> {
    /// Adam with this learning rate, β = (0.9, 0.999) and ε = 1e-8.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> Adam<T> {
        check("Adam", "lr", lr, 0.0..);
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, moments: Moments::new(["exp_avg", "exp_avg_sq"]) }
    }

    /// The same with these decay rates of the averages of g and g².
    ///
    /// # Panics
    /// If one is not in [0, 1).
    #[track_caller]
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam<T> {
        check("Adam", "beta1", beta1, 0.0..1.0);
        check("Adam", "beta2", beta2, 0.0..1.0);
        Adam { betas: (beta1, beta2), ..self }
    }

    /// The same with this ε.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> Adam<T> {
        check("Adam", "eps", eps, 0.0..);
        Adam { eps, ..self }
    }
}

impl<T: Element> Optimizer<T> for Adam<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let &mut Adam { lr, betas: (beta1, beta2), eps, .. } = self;
        self.moments.step(params, gradients, |t| {
            let correction = |beta: f64| 1.0 - beta.powf(t as f64);
            let (step_size, root) = (lr / correction(beta1), correction(beta2).sqrt());
            AdamStep { beta1, rest1: 1.0 - beta1, beta2, rest2: 1.0 - beta2, step_size, root, eps }
        });
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f64) {
        check("Adam", "lr", lr, 0.0..);
        self.lr = lr;
    }

    fn to(&mut self, device: &Device) -> Result<(), DeviceError> {
        self.moments.to(device)
    }

    fn store(&self, params: &Params<T>, archive: &mut Archive, prefix: &str) {
        self.moments.store(params, archive, prefix);
    }

    fn restore(&mut self, params: &Params<T>, archive: &Archive, prefix: &str) -> Result<(), StateError> {
        self.moments.restore(params, archive, prefix)
    }
}
