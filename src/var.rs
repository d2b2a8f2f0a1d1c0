//! Variables: values that remember where they came from.

use std::fmt;

use crate::kernels::Element;
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;

/// A value and where it came from: a node of a tape, or nowhere if it is a constant.
///
/// Operations are methods and operators on `&Var`; see the [`ops`](crate::ops) for the list. Cloning is cheap.
#[derive(Clone)]
pub struct Var<T: Element = f32> {
    pub(crate) value: Tensor<T>,
    pub(crate) origin: Option<(Tape<T>, u32)>,
}

impl<T: Element> From<Tensor<T>> for Var<T> {
    /// A constant: it is on no tape.
    fn from(value: Tensor<T>) -> Var<T> {
        Var { value, origin: None }
    }
}

impl<T: Element> From<&Tensor<T>> for Var<T> {
    fn from(value: &Tensor<T>) -> Var<T> {
        value.clone().into()
    }
}

impl<T: Element> From<&Var<T>> for Var<T> {
    fn from(var: &Var<T>) -> Var<T> {
        var.clone()
    }
}

impl<T: Element> fmt::Display for Var<T> {
    /// The value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value, f)
    }
}

impl<T: Element> fmt::Debug for Var<T> {
    /// The node that it is, or that it is a constant, and the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "Var (node {id}): {:?}", self.value),
            None => write!(f, "Var (constant): {:?}", self.value),
        }
    }
}

impl<T: Element> Var<T> {
    /// The value.
    pub fn value(&self) -> &Tensor<T> {
        &self.value
    }

    /// The value, without the history.
    pub fn into_value(self) -> Tensor<T> {
        self.value
    }

    /// The extents of the value.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The value of a variable with one element.
    ///
    /// # Panics
    /// If it has more or none.
    #[track_caller]
    pub fn item(&self) -> T {
        self.value.item()
    }

    /// Whether gradients flow to this value; false for a constant.
    pub fn is_tracked(&self) -> bool {
        self.origin.is_some()
    }

    /// The same value as a constant: no gradient flows through it.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::scalar(3.0));
    /// assert_eq!((&x * &x.detach()).backward().wrt(&x).item(), 3.0);
    /// ```
    pub fn detach(&self) -> Var<T> {
        self.value.clone().into()
    }

    /// This value, kept for the way back.
    pub fn saved(&self) -> Saved<T> {
        Saved(Some((self.value.clone(), self.origin.as_ref().map(|(tape, id)| (tape.number(), *id)))))
    }

    /// This value, kept for the way back only if the gradient of `other` will be asked for.
    pub fn saved_for(&self, other: &Var<T>) -> Saved<T> {
        if other.is_tracked() { self.saved() } else { Saved(None) }
    }

    /// The number of its node on the tape, by which observers ([`trace`](crate::trace)) are told of it; `None` for
    /// constants.
    pub fn id(&self) -> Option<u32> {
        self.origin.as_ref().map(|(_, id)| *id)
    }

    pub(crate) fn tape(&self) -> Option<&Tape<T>> {
        self.origin.as_ref().map(|(tape, _)| tape)
    }
}

/// The number of a tape, and a node of it.
pub(crate) type Origin = (u64, u32);

/// A value that a rule keeps for the way back. It holds the number of its tape, and not the tape, so that a tape does
/// not hold itself.
#[derive(Clone)]
pub struct Saved<T: Element>(pub(crate) Option<(Tensor<T>, Option<Origin>)>);
