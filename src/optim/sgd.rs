//! Gradient descent.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::{MomentumStep, SgdStep};
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// Gradient descent, p ← p − lr·g; with momentum μ, b ← μb + g and p ← p − lr·b, as PyTorch computes it.
#[derive(Clone)]
pub struct Sgd<T: Element = f32> {
    lr: f64,
    rule: Rule<T>,
}

#[derive(Clone)]
enum Rule<T: Element> {
    Plain(Moments<T, 0>),
    Momentum(f64, Moments<T, 1>),
}

impl<T: Element> Sgd<T> {
    /// Gradient descent with this learning rate, without momentum.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> Sgd<T> {
        check("Sgd", "lr", lr, 0.0..);
        Sgd { lr, rule: Rule::Plain(Moments::new([])) }
    }

    /// The same with momentum μ.
    ///
    /// # Panics
    /// If it is not in [0, 1).
    #[track_caller]
    pub fn momentum(self, mu: f64) -> Sgd<T> {
        check("Sgd", "momentum", mu, 0.0..1.0);
        Sgd { rule: Rule::Momentum(mu, Moments::new(["momentum_buffer"])), ..self }
    }
}

impl<T: Element> Optimizer<T> for Sgd<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let lr = self.lr;
        match &mut self.rule {
            Rule::Plain(moments) => moments.step(params, gradients, |_| SgdStep { lr }),
            &mut Rule::Momentum(mu, ref mut moments) => moments.step(params, gradients, |_| MomentumStep { lr, mu }),
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f64) {
        check("Sgd", "lr", lr, 0.0..);
        self.lr = lr;
    }

    fn to(&mut self, device: &Device) -> Result<(), DeviceError> {
        match &mut self.rule {
            Rule::Plain(moments) => moments.to(device),
            Rule::Momentum(_, moments) => moments.to(device),
        }
    }

    fn store(&self, params: &Params<T>, archive: &mut Archive, prefix: &str) {
        match &self.rule {
            Rule::Plain(moments) => moments.store(params, archive, prefix),
            Rule::Momentum(_, moments) => moments.store(params, archive, prefix),
        }
    }

    fn restore(&mut self, params: &Params<T>, archive: &Archive, prefix: &str) -> Result<(), StateError> {
        match &mut self.rule {
            Rule::Plain(moments) => moments.restore(params, archive, prefix),
            Rule::Momentum(_, moments) => moments.restore(params, archive, prefix),
        }
    }
}
