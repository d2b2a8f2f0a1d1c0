//! What a walk backwards has found.

use std::fmt;

use crate::kernels::Element;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;

/// The gradients that [`Var::backward`] found.
pub struct Gradients<T: Element> {
    tape: Tape<T>,
    is_leaf: Vec<bool>,
    grads: Vec<Option<Var<T>>>,
}

impl<T: Element> Gradients<T> {
    /// What a walk of `tape` has found, by node; `is_leaf` says which nodes are variables.
    pub(crate) fn new(tape: &Tape<T>, is_leaf: Vec<bool>, grads: Vec<Option<Var<T>>>) -> Gradients<T> {
        Gradients { tape: tape.clone(), is_leaf, grads }
    }

    /// The gradient with respect to a variable that [`Tape::var`] made, or `None` if the loss does not depend on it.
    ///
    /// # Panics
    /// If `x` is not on the tape that was walked, or is the result of an operation: those gradients are freed on the
    /// way; ask [`Var::grad`] for them.
    #[track_caller]
    pub fn get(&self, x: &Var<T>) -> Option<&Tensor<T>> {
        let own = x.tape().is_some_and(|tape| tape.is(&self.tape));
        assert!(own, "gradients: this variable is not on the tape of the loss");
        let id = x.id()? as usize;
        let is_leaf = self.is_leaf.get(id).copied().unwrap_or(true);
        assert!(is_leaf, "gradients: backward keeps those of variables made by Tape::var; use grad for this one");
        self.grads.get(id)?.as_ref().map(Var::value)
    }

    /// As [`get`](Gradients::get), but zeros if the loss does not depend on `x`.
    ///
    /// # Panics
    /// As [`get`](Gradients::get).
    #[track_caller]
    pub fn wrt(&self, x: &Var<T>) -> Tensor<T> {
        self.get(x).cloned().unwrap_or_else(|| x.value().filled(0.0))
    }
}

impl<T: Element> fmt::Debug for Gradients<T> {
    /// The number of each variable that has a gradient, and its shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.grads.iter().enumerate().filter_map(|(id, grad)| Some((id, grad.as_ref()?.shape())));
        f.debug_map().entries(found.filter(|&(id, _)| self.is_leaf[id])).finish()
    }
}
