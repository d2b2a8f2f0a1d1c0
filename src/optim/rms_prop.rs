//! RMSProp.

use super::{Optimizer, check, moments::Moments};
use crate::kernels::optim::{
    RmsPropCentredMomentumStep, RmsPropCentredStep, RmsPropDecayStep, RmsPropMomentumStep, RmsPropStep,
};
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// RMSProp (Tieleman and Hinton 2012), as PyTorch computes it: s ← αs + (1 − α)g², p ← p − lr·g/(√s + ε).
///
/// ```
/// use wengert::{Tape, Tensor, nn::{Mode, Params, Pass}, optim::{Optimizer, RmsProp}};
/// let mut params = Params::<f64>::new();
/// let w = params.scope("").parameter("w", Tensor::scalar(2.0));
/// let mut rule = RmsProp::new(0.1).alpha(0.75).momentum(0.9);
/// let tape = Tape::new();
/// let pass = Pass::new(&params, &tape, Mode::Train);
/// let loss = pass.param(w) * 3.0;
/// let gradients = pass.gradients(&loss.backward());
/// rule.step(&mut params, &gradients);
/// assert!((params.get("w").unwrap().item() - (2.0 - 0.1 * 3.0 / (0.25 * 9.0_f64).sqrt())).abs() < 1e-8);
/// ```
#[derive(Clone, Debug)]
pub struct RmsProp<T: Element = f32> {
    lr: f64,
    alpha: f64,
    eps: f64,
    momentum: f64,
    centred: bool,
    decay: f64,
    moments: Moments<T>,
}

impl<T: Element> RmsProp<T> {
    /// RMSProp with this learning rate, α = 0.99 and ε = 1e-8, without momentum, centring and weight decay.
    ///
    /// # Panics
    /// If `lr` is negative or not finite.
    #[track_caller]
    pub fn new(lr: f64) -> RmsProp<T> {
        check("RmsProp", "lr", lr, 0.0..);
        let (momentum, decay, centred) = (0.0, 0.0, false);
        RmsProp { lr, alpha: 0.99, eps: 1e-8, momentum, centred, decay, moments: Moments::new(&["square_avg"]) }
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

    /// The same with momentum μ: b ← μb + g/(√s + ε), p ← p − lr·b. 0 is none. All averages begin anew.
    ///
    /// # Panics
    /// If it is not in [0, 1).
    #[track_caller]
    pub fn momentum(self, mu: f64) -> RmsProp<T> {
        check("RmsProp", "momentum", mu, 0.0..1.0);
        RmsProp { momentum: mu, ..self }.with_averages()
    }

    /// The same with the spread of the gradients about their mean: m ← αm + (1 − α)g, and √(s − m²) in place of √s
    /// (Graves 2013, arXiv:1308.0850, equations 38 to 41), PyTorch's `centered`. Where a gradient hardly changes for
    /// many steps, s − m² is a difference of almost equal numbers: steps become long, and where rounding makes it
    /// negative, the step is NaN, as in PyTorch. All averages begin anew.
    #[doc(alias = "centered")]
    pub fn centred(self) -> RmsProp<T> {
        RmsProp { centred: true, ..self }.with_averages()
    }

    /// The same with the gradient of λ/2 · |p|² added to g: g + λp in place of g, which PyTorch calls `weight_decay`.
    /// 0 is none.
    ///
    /// # Panics
    /// If λ is negative or not finite.
    #[track_caller]
    pub fn weight_decay(self, lambda: f64) -> RmsProp<T> {
        check("RmsProp", "weight decay", lambda, 0.0..);
        RmsProp { decay: lambda, ..self }
    }

    /// The same with the averages that its settings need, from the beginning.
    fn with_averages(self) -> RmsProp<T> {
        let moments = Moments::new(match (self.has_momentum(), self.centred) {
            (false, false) => &["square_avg"],
            (true, false) => &["square_avg", "momentum_buffer"],
            (false, true) => &["square_avg", "grad_avg"],
            (true, true) => &["square_avg", "momentum_buffer", "grad_avg"],
        });
        RmsProp { moments, ..self }
    }

    fn has_momentum(&self) -> bool {
        self.momentum > 0.0
    }
}

impl<T: Element> Optimizer<T> for RmsProp<T> {
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>) {
        let has_momentum = self.has_momentum();
        let &mut RmsProp { lr, alpha, eps, momentum: mu, centred, decay, ref mut moments } = self;
        let rest = 1.0 - alpha;
        match (has_momentum, centred) {
            (false, false) if decay == 0.0 => moments.step(params, gradients, |_| RmsPropStep { lr, alpha, rest, eps }),
            (false, false) => moments.step(params, gradients, |_| RmsPropDecayStep { lr, alpha, rest, eps, decay }),
            (true, false) => {
                moments.step(params, gradients, |_| RmsPropMomentumStep { lr, alpha, rest, eps, decay, mu })
            }
            (false, true) => moments.step(params, gradients, |_| RmsPropCentredStep { lr, alpha, rest, eps, decay }),
            (true, true) => {
                moments.step(params, gradients, |_| RmsPropCentredMomentumStep { lr, alpha, rest, eps, decay, mu })
            }
        }
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
