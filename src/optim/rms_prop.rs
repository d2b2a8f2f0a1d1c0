//! RMSProp.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::RmsPropStep;
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// RMSProp (Tieleman and Hinton 2012) without momentum, as PyTorch computes it: s ← αs + (1 − α)g²,
/// p ← p − lr·g/(√s + ε).
#[derive(Clone)]
pub struct RmsProp<T: Element = f32> {
    lr: f64,
    alpha: f64,
    eps: f64,
    moments: Moments<T, 1>,
}

impl<T: Element> RmsProp<T> {
    /// RMSProp with this learning rate, α = 0.99 and ε = 1e-8.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> RmsProp<T> {
        check("RmsProp", "lr", lr, 0.0..);
        RmsProp { lr, alpha: 0.99, eps: 1e-8, moments: Moments::new(["square_avg"]) }
    }

    /// The same with this decay rate of the average of g².
    ///
    /// # Panics
    /// If it is not in [0, 1].
    #[track_caller]
    pub fn alpha(self, alpha: f64) -> RmsProp<T> {
        check("RmsProp", "alpha", alpha, 0.0..=1.0);
        RmsProp { alpha, ..self }
    }

    /// The same with this ε.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    pub fn eps(self, eps: f64) -> RmsProp<T> {
        check("RmsProp", "eps", eps, 0.0..);
        RmsProp { eps, ..self }
    }
}

impl<T: Element> Optimizer<T> for RmsProp<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let &mut RmsProp { lr, alpha, eps, .. } = self;
        self.moments.step(params, gradients, |_| RmsPropStep { lr, alpha, rest: 1.0 - alpha, eps });
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f64) {
        check("RmsProp", "lr", lr, 0.0..);
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
