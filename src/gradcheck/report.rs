//! What a check has found.

use std::fmt;

use crate::Tensor;

/// What a check that passed has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The order of the derivative.
    pub order: usize,
    /// The operations that the function recorded, each once; none, if it has no tape.
    pub operations: Vec<&'static str>,
    /// The number of entries that were checked, of all inputs together (and the cotangents, from the second order on).
    pub entries: usize,
    /// The largest error of a directional derivative, as a part of what is allowed: from 0 to 1.
    pub worst: f64,
    /// The entries that lay at a kink, and were checked a little beside it.
    pub moves: Vec<Move>,
    /// The entries of which nothing can be said, because the rounding of the function hides their derivatives.
    pub unresolved: Vec<Place>,
}

/// An entry of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the input, from 0. From the second order on, the number after the last stands for the cotangent.
    pub input: usize,
    /// The index of the entry.
    pub index: Vec<usize>,
}

/// An entry that was moved off a kink, by at most 1/32 of its size, or of 1 if it was 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The entry.
    pub place: Place,
    /// What it was.
    pub from: f64,
    /// What it became.
    pub to: f64,
}

/// What a check has found wrong, and where.
#[derive(Clone, PartialEq)]
pub struct Failure {
    /// The order of the derivative.
    pub order: usize,
    /// The operations that the function recorded, each once: one of them is to blame. None, if it has no tape.
    pub operations: Vec<&'static str>,
    /// What is wrong.
    pub problem: Problem,
    /// The first entry found that is wrong by itself; for a value, that of the output.
    pub place: Option<Place>,
    /// The derivative by the rules; the first of two values that should be the same; what is not finite. Else NaN.
    pub analytic: f64,
    /// The derivative by difference quotients; the second of two values that should be the same. Else NaN.
    pub numeric: f64,
    /// What the difference quotients may be off by. NaN if there are none.
    pub uncertainty: f64,
    /// The entries that had been moved off a kink by then.
    pub moves: Vec<Move>,
    /// The first entry that is wrong of each other input that has one, in the order of the inputs.
    pub others: Vec<Failure>,
    pub(super) inputs: usize,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The rules and the difference quotients disagree.
    Wrong {
        /// The walk that gave the wrong derivative, `"grad"` or `"backward"`; `"gradient"` and `"backward"` for what
        /// was written by hand.
        walk: &'static str,
    },
    /// The function is infinite or NaN at the inputs.
    ValueNotFinite,
    /// The gradient is infinite or NaN.
    GradientNotFinite,
    /// The function gave two values for the same inputs: it draws random numbers, or keeps state.
    Unsteady,
    /// The gradient came out with other bits the second time.
    UnsteadyGradient {
        /// The walk that gave them, named as in [`Wrong`](Problem::Wrong).
        walk: &'static str,
    },
    /// No smooth point was found near the inputs.
    Rough,
    /// The rounding of the function hides the derivative in every entry.
    Unresolved,
}

impl Failure {
    pub(super) fn new(problem: Problem, place: Option<Place>) -> Failure {
        let (operations, moves, others) = (Vec::new(), Vec::new(), Vec::new());
        let [analytic, numeric, uncertainty] = [f64::NAN; 3];
        Failure { order: 0, operations, problem, place, analytic, numeric, uncertainty, moves, others, inputs: 0 }
    }
}

/// The input and the index of an entry, if those of all inputs are numbered one after the other in row-major order.
pub(super) fn place_of(inputs: &[Tensor<f64>], mut entry: usize) -> Place {
    let input = inputs.iter().position(|x| {
        let here = entry < x.size();
        entry -= if here { 0 } else { x.size() };
        here
    });
    let input = input.expect("an entry of an input");
    let mut index = inputs[input].shape().to_vec();
    for slot in index.iter_mut().rev() {
        (*slot, entry) = (entry % *slot, entry / *slot);
    }
    Place { input, index }
}

impl fmt::Display for Report {
    /// One line, and one for each entry that was moved or that nothing can be said of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { order, operations, entries, worst, .. } = self;
        let of = of(operations);
        write!(f, "derivative of order {order}{of}: {entries} entries, errors up to {worst:.1e} of the allowed")?;
        self.moves.iter().try_for_each(|moved| write!(f, "\n{moved}"))?;
        let unresolved = |place: &Place| write!(f, "\n{place}: hidden by the rounding of the function");
        self.unresolved.iter().try_for_each(unresolved)
    }
}

/// Which operations, if a tape knows them.
fn of(operations: &[&str]) -> String {
    if operations.is_empty() { String::new() } else { format!(" of {operations:?}") }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input {}, index {:?}", self.input, self.index)
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: moved off a kink, from {:e} to {:e}", self.place, self.from, self.to)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    /// One line, and one for each other input that is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "derivative of order {}{}: ", self.order, of(&self.operations))?;
        self.what(self.inputs, f)?;
        self.moves.iter().try_for_each(|moved| write!(f, "; {moved}"))?;
        self.others.iter().try_for_each(|other| {
            f.write_str("\nand ")?;
            other.what(self.inputs, f)
        })
    }
}

impl Failure {
    /// What is wrong, and where, if the function has so many inputs.
    fn what(&self, inputs: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { analytic, numeric, uncertainty, .. } = self;
        let index = self.place.as_ref().map(|place| place.index.as_slice()).unwrap_or_default();
        let place = match &self.place {
            None => "somewhere".to_string(),
            Some(place) if place.input < inputs => format!("at {place}"),
            Some(_) => format!("at the cotangent of the output, index {index:?}"),
        };
        match self.problem {
            Problem::Wrong { walk } => {
                write!(f, "{place}: {analytic:e} by `{walk}`, {numeric:e} ± {uncertainty:.0e} by difference quotients")
            }
            Problem::ValueNotFinite => write!(f, "the output at index {index:?} is {analytic}"),
            Problem::GradientNotFinite => write!(f, "{place}: the derivative is {analytic}"),
            Problem::Unsteady => {
                write!(
                    f,
                    "the output at index {index:?} is {analytic:e}, and {numeric:e} for the same inputs once more"
                )
            }
            Problem::UnsteadyGradient { walk } => {
                write!(f, "{place}: {analytic:e} by `{walk}`, and {numeric:e} once more")
            }
            Problem::Rough => write!(f, "{place}: difference quotients do not converge, here or a little beside it"),
            Problem::Unresolved => write!(f, "the rounding of the function hides its derivative in every entry"),
        }
    }
}

impl fmt::Debug for Failure {
    /// As [`Display`](fmt::Display), so that `unwrap` shows it well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
