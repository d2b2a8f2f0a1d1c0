//! What a check has found.

use std::fmt;

/// What a check that passed has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The operations that the function recorded, each once.
    pub operations: Vec<&'static str>,
    /// The number of entries that were checked, of all inputs together (and the cotangents, from the second order on).
    pub entries: usize,
    /// The largest relative error of a directional derivative.
    pub worst: f64,
    /// The entries that lay at a kink and were moved aside by at most 0.02 (0.16 if it took several attempts).
    pub kinks: Vec<Place>,
}

/// An entry of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the input, from 0. From the second order on, the number after the last stands for the cotangent.
    pub input: usize,
    /// The index of the entry.
    pub index: Vec<usize>,
}

/// What a check has found wrong, and where.
#[derive(Clone, PartialEq)]
pub struct Failure {
    /// The order of the derivative.
    pub order: usize,
    /// The operations that the function recorded, each once: one of them is to blame.
    pub operations: Vec<&'static str>,
    /// What is wrong.
    pub problem: Problem,
    /// The entry that is the most wrong, if one by itself is; for a value that is not finite, that of the output.
    pub place: Option<Place>,
    /// The derivative by the rules.
    pub analytic: f64,
    /// The derivative by difference quotients.
    pub numeric: f64,
    pub(super) inputs: usize,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The rules and the difference quotients disagree.
    Wrong {
        /// The walk that gave the wrong derivative: `"grad"` or `"backward"`.
        walk: &'static str,
    },
    /// The function is infinite or NaN at the inputs.
    ValueNotFinite,
    /// The gradient is infinite or NaN.
    GradientNotFinite,
    /// The function gave two values for the same inputs: it draws random numbers, or keeps state.
    Unsteady,
    /// No smooth point was found near the inputs.
    Rough,
}

impl Failure {
    pub(super) fn new(problem: Problem, place: Option<(usize, Vec<usize>)>, analytic: f64, numeric: f64) -> Failure {
        let place = place.map(|(input, index)| Place { input, index });
        Failure { order: 0, operations: Vec::new(), problem, place, analytic, numeric, inputs: 0 }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { order, operations, analytic, numeric, inputs, .. } = self;
        let index = self.place.as_ref().map(|place| place.index.as_slice()).unwrap_or_default();
        let place = match &self.place {
            None => "along a random direction".to_string(),
            Some(place) if place.input < *inputs => format!("at input {}, index {index:?}", place.input),
            Some(_) => format!("at the cotangent of the output, index {index:?}"),
        };
        write!(f, "derivative of order {order} of {operations:?}: ")?;
        match self.problem {
            Problem::Wrong { walk } => {
                write!(f, "{place}: {analytic:e} by `{walk}`, {numeric:e} by difference quotients")
            }
            Problem::ValueNotFinite => write!(f, "the output at index {index:?} is {analytic}"),
            Problem::GradientNotFinite => write!(f, "{place}: the derivative is {analytic}"),
            Problem::Unsteady => write!(f, "the function gave two different values for the same inputs"),
            Problem::Rough => write!(f, "{place}: difference quotients do not converge, here or a little beside it"),
        }
    }
}

impl fmt::Debug for Failure {
    /// As [`Display`](fmt::Display), so that `unwrap` shows it well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
