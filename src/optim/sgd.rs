//! Gradient descent.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::{MomentumDecayStep, MomentumStep, SgdDecayStep, SgdStep};
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// Gradient descent, p ← p − lr·g; with momentum μ, b ← μb + g and p ← p − lr·b, as PyTorch computes it.
///
/// ```
/// use wengert::{Tape, Tensor, nn::{Mode, Params, Pass}, optim::{Optimizer, Sgd}};
/// let mut params = Params::<f64>::new();
/// let w = params.scope("").parameter("w", Tensor::scalar(2.0));
/// let mut sgd = Sgd::new(0.1).momentum(0.9).weight_decay(0.5);
/// let tape = Tape::new();
/// let pass = Pass::new(&params, &tape, Mode::Train);
/// let loss = pass.param(w) * 3.0;
/// let gradients = pass.gradients(&loss.backward());
/// sgd.step(&mut params, &gradients);
/// assert_eq!(params.get("w").unwrap().item(), 2.0 - 0.1 * (3.0 + 0.5 * 2.0));
/// ```
#[derive(Clone, Debug)]
pub struct Sgd<T: Element = f32> {
    lr: f64,
    /// Whether there is a buffer is a matter of having been given a momentum, not of its value.
    momentum: Option<f64>,
    decay: f64,
    moments: Moments<T>,
}

impl<T: Element> Sgd<T> {
    /// Gradient descent with this learning rate, without momentum.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> Sgd<T> {
        check("Sgd", "lr", lr, 0.0..);
        Sgd { lr, momentum: None, decay: 0.0, moments: Moments::new(&[]) }
    }

    /// The same with momentum μ, whose average begins anew.
    ///
    /// # Panics
    /// If it is not in [0, 1).
    #[track_caller]
    pub fn momentum(self, mu: f64) -> Sgd<T> {
        check("Sgd", "momentum", mu, 0.0..1.0);
        Sgd { momentum: Some(mu), moments: Moments::new(&["momentum_buffer"]), ..self }
    }

    /// The same with the gradient of λ/2 · |p|² added to g: g + λp in place of g, which PyTorch calls `weight_decay`.
    /// 0 is none.
    ///
    /// # Panics
    /// If λ is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, lambda: f64) -> Sgd<T> {
        check("Sgd", "weight decay", lambda, 0.0..);
        Sgd { decay: lambda, ..self }
    }
}

impl<T: Element> Optimizer<T> for Sgd<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let &mut Sgd { lr, momentum, decay, ref mut moments } = self;
        match (momentum, decay) {
            (None, 0.0) => moments.step(params, gradients, |_| SgdStep { lr }),
            (None, decay) => moments.step(params, gradients, |_| SgdDecayStep { lr, decay }),
            (Some(mu), 0.0) => moments.step(params, gradients, |_| MomentumStep { lr, mu }),
            (Some(mu), decay) => moments.step(params, gradients, |_| MomentumDecayStep { lr, mu, decay }),
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
        self.moments.to(device)
    }

    fn store(&self, params: &Params<T>, archive: &mut Archive, prefix: &str) {
        self.moments.store(params, archive, prefix);
    }

    fn restore(&mut self, params: &Params<T>, archive: &Archive, prefix: &str) -> Result<(), StateError> {
        self.moments.restore(params, archive, prefix)
    }
}
