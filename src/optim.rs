//! Optimisers, schedules of their learning rate, weight clipping, and moving averages of parameters. Gradients are
//! clipped and added up by [`ParamGrads`].
//!
//! The formulas are PyTorch's. A step works in place, in one pass over memory, and skips parameters that have no
//! gradient: their moments and step counts stay as they are.
//!
//! ```
//! use wengert::{Rng, Tape, nn::{Init, Linear, Mode, Params, Pass}, optim::{Adam, Optimizer}};
//! let mut rng = Rng::seed(0);
//! let mut params = Params::<f32>::new();
//! let layer = Linear::new(&mut params.scope(""), 3, 1, Init::PyTorch, &mut rng);
//! let mut adam = Adam::new(1e-2).betas(0.5, 0.9);
//! let x = rng.normal([16, 3]).into();
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     let tape = Tape::new();
//!     let pass = Pass::new(&params, &tape, Mode::Train);
//!     let loss = layer.forward(&pass, &x).powi(2).mean();
//!     losses.push(loss.item());
//!     let gradients = pass.gradients(&loss.backward());
//!     adam.step(&mut params, &gradients);
//! }
//! assert!(losses[19] < losses[0]);
//! ```

mod adam;
mod ema;
mod moments;
mod rms_prop;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use ema::Ema;
pub use rms_prop::RmsProp;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::compute::update_alike;
use crate::kernels::optim::Clamp;
use crate::nn::{ParamGrads, Params};
use crate::{Archive, Device, DeviceError, Element, StateError};

/// What trains parameters by their gradients.
pub trait Optimizer<T: Element> {
    /// Moves every parameter that has a gradient.
    ///
    /// # Panics
    /// If the gradients, or earlier steps, are of another network.
    #[track_caller]
    fn step(&mut self, params: &mut Params<T>, gradients: &ParamGrads<T>);

    /// The learning rate of the next step.
    fn lr(&self) -> f64;

    /// Changes the learning rate, as of the next step.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[track_caller]
    fn set_lr(&mut self, lr: f64);

    /// Moves the moments to where the parameters have been moved. On an error, some may have stayed.
    ///
    /// # Errors
    /// If the device cannot hold `T`, has no memory left, or fails.
    fn to(&mut self, device: &Device) -> Result<(), DeviceError>;

    /// Puts moments and step counts into an archive, under the prefix and the names of the parameters: `l.weight.step`,
    /// `l.weight.exp_avg`. Settings are not state: they come from the program.
    fn store(&self, params: &Params<T>, archive: &mut Archive, prefix: &str);

    /// Takes moments and step counts from an archive; what follows is bit for bit what would have followed. The moments
    /// live where their parameters do. Parameters without state in the archive begin anew, as they were when it was
    /// stored. On an error, nothing has changed.
    ///
    /// # Errors
    /// If a parameter has some of its state there and not all, if there is state of unknown parameters, shapes or
    /// element types differ, or a device has no memory left or fails.
    fn restore(&mut self, params: &Params<T>, archive: &Archive, prefix: &str) -> Result<(), StateError>;
}

/// Holds every parameter to −c ≤ p ≤ c, as the critic of the first Wasserstein GAN needs; buffers stay as they are.
/// NaN stays NaN.
///
/// # Panics
/// If c is negative or NaN.
#[track_caller]
pub fn clip_weights<T: Element>(params: &mut Params<T>, c: f64) {
    assert!(c >= 0.0, "clip_weights: expected a bound of at least 0, found {c}");
    params.parameters_mut().for_each(|(_, _, p)| update_alike(Clamp { low: -c, high: c }, [p], &[]));
}

/// Checks a setting of an optimiser.
#[track_caller]
fn check(optimiser: &str, setting: &str, value: f64, range: impl std::ops::RangeBounds<f64> + std::fmt::Debug) {
    assert!(value.is_finite() && range.contains(&value), "{optimiser}: expected {setting} in {range:?}, found {value}");
}
