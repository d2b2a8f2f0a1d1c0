//! One use of a network: its parameters bound to a tape, and what happens to its state.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;

use super::ParamGrads;
use super::params::{BufferId, CounterId, ParamId, Params};
use crate::{Element, Gradients, Rng, Tape, Tensor, Var};

/// What a pass does to state, and which statistics batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the statistics of the batch and updates its running ones; spectral norm does one power
    /// iteration per pass; dropout drops.
    Train,
    /// As [`Train`](Mode::Train), but no state changes: batch norm uses the statistics of the batch, spectral norm the
    /// stored u and v. The generator's step sees the discriminator so.
    TrainFixed,
    /// Batch norm uses its running statistics, spectral norm the stored u and v; no state changes. For sampling.
    Eval,
}

/// Binds a [`Params`] to a tape for one use, typically one training step.
///
/// Each parameter becomes a variable when first used, and is that variable however often it is used. A spectrally
/// normalised weight does its power iteration and its division once per pass: generated images after real ones see the
/// same W/σ. Running statistics are updated by every batch that goes through.
///
/// ```
/// use wengert::{Rng, Tape, nn::{Init, Linear, Mode, Params, Pass}};
/// let mut rng = Rng::seed(0);
/// let (mut g, mut d) = (Params::new(), Params::new());
/// let generator = Linear::new(&mut g.scope(""), 2, 3, Init::PyTorch, &mut rng);
/// let critic = Linear::new(&mut d.scope(""), 3, 1, Init::PyTorch, &mut rng);
///
/// // The generator's step: no gradient for the critic's weights is even computed.
/// let tape = Tape::new();
/// let pass = Pass::new(&g, &tape, Mode::Train);
/// let frozen = Pass::frozen(&d, Mode::TrainFixed);
/// let fake = generator.forward(&pass, &rng.normal::<f32>([4, 2]).into());
/// let loss = -critic.forward(&frozen, &fake).mean();
/// let gradients = pass.gradients(&loss.backward());
/// assert!(gradients.get(g.id("weight").unwrap()).is_some());
/// ```
pub struct Pass<'a, T: Element = f32> {
    params: &'a Params<T>,
    /// `None` if frozen.
    tape: Option<Tape<T>>,
    mode: Mode,
    /// What each parameter became, by index.
    bound: RefCell<Vec<Option<Var<T>>>>,
    /// Weights divided by their spectral norm.
    normalised: RefCell<HashMap<ParamId, Var<T>>>,
    noise: RefCell<Option<Rng>>,
}

impl<'a, T: Element> Pass<'a, T> {
    /// A pass whose parameters are variables of `tape`.
    pub fn new(params: &'a Params<T>, tape: &Tape<T>, mode: Mode) -> Pass<'a, T> {
        Pass { tape: Some(tape.clone()), ..Pass::frozen(params, mode) }
    }

    /// A pass whose parameters are constants: gradients flow through the network to its input, none to its weights.
    /// A pass belongs to one thread; others sample with a clone of the store, which shares its memory, see [`Params`].
    pub fn frozen(params: &'a Params<T>, mode: Mode) -> Pass<'a, T> {
        let bound = RefCell::new(vec![None; params.len()]);
        Pass { params, tape: None, mode, bound, normalised: RefCell::default(), noise: RefCell::default() }
    }

    /// The same with the random numbers that layers such as [`Dropout`](super::Dropout) train with.
    /// [`Rng::stream(seed, step)`](Rng::stream) gives every step its own, and makes each repeatable.
    pub fn noise(self, rng: Rng) -> Pass<'a, T> {
        Pass { noise: RefCell::new(Some(rng)), ..self }
    }

    /// What this pass does to state.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A parameter as a variable, or as a constant if the pass is frozen.
    ///
    /// # Panics
    /// If the layer was made in another store, or `backward` has consumed the tape.
    #[track_caller]
    pub fn param(&self, id: ParamId) -> Var<T> {
        let value = self.params.parameter(id);
        let mut bound = self.bound.borrow_mut();
        let slot = &mut bound[id.index()];
        if slot.is_none() {
            *slot = Some(self.tape.as_ref().map_or_else(|| value.into(), |tape| tape.var(value.clone())));
        }
        slot.clone().expect("bound above")
    }

    /// The value of a buffer.
    ///
    /// # Panics
    /// If the layer was made in another store.
    #[track_caller]
    pub fn buffer(&self, id: BufferId) -> Tensor<T> {
        self.params.buffer(id)
    }

    /// Changes a buffer.
    ///
    /// # Panics
    /// Unless the mode is [`Mode::Train`]; if the shape differs; if the layer was made in another store.
    #[track_caller]
    pub fn set_buffer(&self, id: BufferId, value: Tensor<T>) {
        assert!(
            self.mode == Mode::Train,
            "Pass::set_buffer: state changes in Mode::Train only, this is {:?}",
            self.mode
        );
        let old = self.params.buffer(id);
        let (expected, found) = (old.shape(), value.shape());
        assert!(expected == found, "Pass::set_buffer: expected shape {expected}, found {found}");
        self.params.set_buffer(id, value);
    }

    /// Adds one to a counter.
    ///
    /// # Panics
    /// Unless the mode is [`Mode::Train`]; if the layer was made in another store.
    #[track_caller]
    pub fn increment(&self, id: CounterId) {
        assert!(
            self.mode == Mode::Train,
            "Pass::increment: state changes in Mode::Train only, this is {:?}",
            self.mode
        );
        self.params.increment(id);
    }

    /// The gradients of the parameters, for an optimiser. The pass ends here, so that nobody else holds the
    /// parameters when the optimiser writes to them.
    ///
    /// # Panics
    /// If the pass is frozen: it has none. If `gradients` are of another tape.
    #[track_caller]
    pub fn gradients(self, gradients: &Gradients<T>) -> ParamGrads<T> {
        assert!(self.tape.is_some(), "Pass::gradients: this pass is frozen, its parameters are constants");
        let mut grads = vec![None; self.params.len()];
        for (grad, var) in grads.iter_mut().zip(self.bound.into_inner()) {
            if let Some(var) = var {
                *grad = gradients.get(&var).cloned();
            }
        }
        ParamGrads::of(self.params, grads)
    }

    /// The random numbers of this pass, if it has any.
    pub(super) fn noise_source(&self) -> RefMut<'_, Option<Rng>> {
        self.noise.borrow_mut()
    }

    /// The normalised form of a weight that this pass has made already, or else the one that `make` makes now.
    #[track_caller]
    pub(super) fn normalised_once(&self, id: ParamId, make: impl FnOnce() -> Var<T>) -> Var<T> {
        if let Some(done) = self.normalised.borrow().get(&id) {
            return done.clone();
        }
        let weight = make();
        self.normalised.borrow_mut().insert(id, weight.clone());
        weight
    }
}
