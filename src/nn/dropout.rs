//! Dropout as a layer.

use super::{Mode, Pass};
use crate::{Element, Var};

/// Dropout (Srivastava et al. 2014): in training each element is 0 with probability p, and else 1/(1 − p) times as
/// large; in [`Mode::Eval`] nothing happens. It has neither parameters nor state: the noise is that of the pass, see
/// [`Pass::noise`], so that a step can be made again, from a checkpoint or by a test, and drop the same elements.
///
/// ```
/// use wengert::nn::{Dropout, Mode, Params, Pass};
/// use wengert::{Rng, Tape, Tensor};
/// let (params, tape) = (Params::<f32>::new(), Tape::new());
/// let (dropout, x) = (Dropout::new(0.2), Tensor::ones([1000]).into());
/// let (seed, step) = (0, 7);
/// let pass = Pass::new(&params, &tape, Mode::Train).noise(Rng::stream(seed, step));
/// let y = dropout.forward(&pass, &x);
/// let dropped = y.value().to_vec().iter().filter(|&&y| y == 0.0).count();
/// assert!((150..250).contains(&dropped), "{dropped}");
/// assert_eq!(dropout.forward(&Pass::frozen(&params, Mode::Eval), &x).value(), x.value());
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Dropout with this probability.
    ///
    /// # Panics
    /// If it is not in [0, 1].
    #[track_caller]
    pub fn new(p: f64) -> Dropout {
        assert!((0.0..=1.0).contains(&p), "Dropout: expected a probability in 0..=1, found {p}");
        Dropout { p }
    }

    /// What is left of `x`; see [`Var::dropout`].
    ///
    /// # Panics
    /// If the mode is not [`Mode::Eval`] and the pass has no noise.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        if pass.mode() == Mode::Eval {
            return x.clone();
        }
        let mut noise = pass.noise_source();
        let noise = noise.as_mut();
        let noise = noise.expect("Dropout: expected a pass with noise: Pass::new(…).noise(Rng::stream(seed, step))");
        x.dropout(self.p, noise)
    }
}
