//! Exponential moving averages of parameters.

use super::check;
use crate::Element;
use crate::compute::update_alike;
use crate::kernels::optim::Average;
use crate::nn::Params;

/// A moving average of a network's parameters, which samples better than the last ones:
/// ā ← decay·ā + (1 − decay)·p after every step.
///
/// Buffers are copied, not averaged: running statistics belong to the last batches, and the average of two unit vectors
/// u or v is none. With a copied u and v, σ is the estimate uᵀW̄v for the averaged weight W̄.
///
/// ```
/// use wengert::{Tensor, nn::Params, optim::Ema};
/// let mut params = Params::<f64>::new();
/// params.scope("").parameter("w", Tensor::scalar(1.0));
/// let mut ema = Ema::new(&params, 0.75);
/// params.set("w", Tensor::scalar(5.0));
/// ema.update(&params);
/// assert_eq!(ema.params().get("w"), Some(Tensor::scalar(2.0)));
/// ```
#[derive(Clone, Debug)]
pub struct Ema<T: Element = f32> {
    decay: f64,
    average: Params<T>,
}

impl<T: Element> Ema<T> {
    /// An average that begins as the parameters are now. The recipes use a decay of 0.999.
    ///
    /// # Panics
    /// If the decay is not in [0, 1].
    #[track_caller]
    pub fn new(params: &Params<T>, decay: f64) -> Ema<T> {
        check("Ema", "decay", decay, 0.0..=1.0);
        Ema { decay, average: params.clone() }
    }

    /// Moves the average towards the parameters, and copies the buffers; after that, the average lives where they do.
    ///
    /// # Panics
    /// If these are the parameters of another network; with a [`DeviceError`](crate::DeviceError) if a device has no
    /// memory left or fails.
    #[track_caller]
    pub fn update(&mut self, params: &Params<T>) {
        let same = params.structure() == self.average.structure() && params.len() == self.average.len();
        assert!(same, "Ema::update: these are the parameters of another network");
        let averages = self.average.parameters_mut();
        let average = Average { decay: self.decay, rest: 1.0 - self.decay };
        for ((_, _, mean), (_, _, value)) in averages.zip(params.parameters()) {
            if mean.device() != value.device() {
                *mean = mean.to(&value.device()).unwrap_or_else(|error| error.raise());
            }
            update_alike(average, [mean], &[value]);
        }
        self.average.copy_buffers(params);
    }

    /// The averaged network, for sampling and for files. The layers of the network serve it as well.
    pub fn params(&self) -> &Params<T> {
        &self.average
    }

    /// The averaged network, to read it from an archive or to move it.
    pub fn params_mut(&mut self) -> &mut Params<T> {
        &mut self.average
    }
}
