//! Adam.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::{AdamDecayStep, AdamStep, AdamWStep};
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// Adam (Kingma and Ba 2015), as PyTorch computes it. At the t-th step of a parameter p with gradient g,
/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
/// p ← p − lr/(1 − β₁ᵗ) · m/(√v/√(1 − β₂ᵗ) + ε).
///
/// ```
/// use wengert::{Tape, Tensor, nn::{Mode, Params, Pass}, optim::{Adam, Optimizer}};
/// let mut params = Params::<f64>::new();
/// let w = params.scope("").parameter("w", Tensor::scalar(1.0));
/// let mut adam = Adam::new(0.1).betas(0.5, 0.999).decoupled_weight_decay(0.01); // AdamW
/// let tape = Tape::new();
/// let pass = Pass::new(&params, &tape, Mode::Train);
/// let loss = pass.param(w).powi(2);
/// let gradients = pass.gradients(&loss.backward());
/// adam.step(&mut params, &gradients);
/// // The first step has the length lr, and the decay takes lr · 0.01 of p.
/// assert!((params.get("w").unwrap().item() - (1.0 - 0.1 * 0.01 - 0.1)).abs() < 1e-8);
/// ```
#[derive(Clone, Debug)]
pub struct Adam<T: Element = f32> {
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    decay: Decay,
    moments: Moments<T>,
}

/// How weights decay.
#[derive(Clone, Copy, Debug)]
enum Decay {
    /// g + λp in place of g; 0 for none.
    Gradient(f64),
    /// (1 − lr·λ)p in place of p.
    Decoupled(f64),
}

impl<T: Element> Adam<T> {
    /// Adam with this learning rate, β = (0.9, 0.999) and ε = 1e-8.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> Adam<T> {
        check("Adam", "lr", lr, 0.0..);
        let moments = Moments::new(&["exp_avg", "exp_avg_sq"]);
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, decay: Decay::Gradient(0.0), moments }
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

    /// The same with the gradient of λ/2 · |p|² added to g: g + λp in place of g, which PyTorch's `Adam` calls
    /// `weight_decay`. It takes the place of an earlier weight decay; 0 is none.
    ///
    /// # Panics
    /// If λ is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, lambda: f64) -> Adam<T> {
        check("Adam", "weight decay", lambda, 0.0..);
        Adam { decay: Decay::Gradient(lambda), ..self }
    }

    /// AdamW (Loshchilov and Hutter 2019): the same with (1 − lr·λ)p in place of p, which m and v do not see, as
    /// PyTorch's `AdamW` does; its λ is 0.01 unless told otherwise. It takes the place of an earlier weight decay.
    ///
    /// # Panics
    /// If λ is negative or not finite.
    #[track_caller]
    #[doc(alias = "AdamW")]
    pub fn decoupled_weight_decay(self, lambda: f64) -> Adam<T> {
        check("Adam", "weight decay", lambda, 0.0..);
        Adam { decay: Decay::Decoupled(lambda), ..self }
    }
}

impl<T: Element> Optimizer<T> for Adam<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let &mut Adam { lr, betas: (beta1, beta2), eps, decay, .. } = self;
        let plain = |t: u64| {
            let correction = |beta: f64| 1.0 - beta.powf(t as f64);
            let (step_size, root) = (lr / correction(beta1), correction(beta2).sqrt());
            AdamStep { beta1, rest1: 1.0 - beta1, beta2, rest2: 1.0 - beta2, step_size, root, eps }
        };
        match decay {
            Decay::Gradient(0.0) => self.moments.step(params, gradients, plain),
            Decay::Gradient(decay) => self.moments.step(params, gradients, |t| {
                let AdamStep { beta1, rest1, beta2, rest2, step_size, root, eps } = plain(t);
                AdamDecayStep { beta1, rest1, beta2, rest2, step_size, root, eps, decay }
            }),
            Decay::Decoupled(decay) => self.moments.step(params, gradients, |t| {
                let AdamStep { beta1, rest1, beta2, rest2, step_size, root, eps } = plain(t);
                AdamWStep { beta1, rest1, beta2, rest2, step_size, root, eps, keep: 1.0 - lr * decay }
            }),
        }
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
