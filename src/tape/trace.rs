//! Looking on while a tape is written and walked: an observer is told each node, walk, call of a rule and gradient.
//! What it has seen can be drawn, by [`Tape::draw`].
//!
//! ```
//! use std::{cell::RefCell, rc::Rc};
//! use wengert::{Tape, Tensor, trace::Event};
//!
//! let tape = Tape::<f64>::new();
//! let lines = Rc::new(RefCell::new(Vec::new()));
//! let to = lines.clone();
//! tape.observe(move |event| {
//!     to.borrow_mut().push(match event {
//!         Event::Node { id, name, value, .. } => format!("{id} = {name} = {}", value.item()),
//!         Event::Walk { id, .. } => format!("back from {id}"),
//!         Event::Rule { id, grad, .. } => format!("gradient of {id} is {}", grad.item()),
//!         Event::Grad { id, input, grad, .. } => format!("{id} gives input {input} {}", grad.item()),
//!     });
//! });
//! let x = tape.var(Tensor::scalar(3.0));
//! (&x * &x).backward();
//! let lines = lines.borrow();
//! assert_eq!(lines[..4], ["0 = var = 3", "1 = mul = 9", "back from 1", "gradient of 1 is 1"]);
//! assert_eq!(lines[4..], ["1 gives input 0 3", "1 gives input 1 3"]);
//! ```

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

pub use super::drawing::Drawing;

use super::Tape;
use crate::kernels::Element;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::Var;

/// What has just happened on a tape.
pub enum Event<'a, T: Element> {
    /// A variable, or an operation with its value, has been appended.
    Node {
        /// The number of the node.
        id: u32,
        /// The name of the operation; `"var"` for a variable.
        name: &'static str,
        /// What the operation was applied to; nothing for a variable.
        inputs: &'a [&'a Var<T>],
        /// What came out.
        value: &'a Tensor<T>,
    },
    /// A walk begins, by [`Var::backward`], [`Var::grad`] and kin.
    Walk {
        /// The number of the node that is differentiated.
        id: u32,
        /// The gradient that it begins with.
        grad: &'a Tensor<T>,
    },
    /// A walk is about to call the rule of an operation.
    Rule {
        /// The number of the operation's node.
        id: u32,
        /// Its name.
        name: &'static str,
        /// The gradient of its output.
        grad: &'a Tensor<T>,
    },
    /// A rule has given the gradient of an input, which adds to what other uses of that input have given.
    Grad {
        /// The number of the operation's node.
        id: u32,
        /// Its name.
        name: &'static str,
        /// Which of the operation's inputs.
        input: usize,
        /// The gradient, of the shape of the input.
        grad: &'a Tensor<T>,
    },
}

/// What [`Tape::observe`] keeps.
pub(super) type Observer<T> = Rc<dyn Fn(&Event<'_, T>)>;

impl<T: Element> Tape<T> {
    /// Tells `observer` all that happens on this tape from now on, in the place of an earlier observer. What operations
    /// on constants do is on no tape, so that nobody hears of it. Values and gradients are the same bits with it and
    /// without; without, it costs nothing that can be measured.
    pub fn observe(&self, observer: impl Fn(&Event<'_, T>) + 'static) {
        self.list.borrow_mut().observer = Some(Rc::new(observer));
    }

    pub(super) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a, T>)
    where
        T: 'a,
    {
        // The list is free while the observer is called, so that it may look at the tape.
        let observer = self.list.borrow().observer.clone();
        if let Some(observer) = observer {
            observer(&event());
        }
    }

    /// Watches for the first value or gradient on this tape that has a number which is NaN, or larger than `limit` in
    /// absolute value: `f64::MAX` finds what is not finite. Takes the place of an earlier [`observe`](Tape::observe);
    /// each value is read once, so that it costs time.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let anomaly = tape.detect_anomaly(f64::MAX);
    /// let x = tape.var(Tensor::from_vec([2], vec![0.0, 1.0]));
    /// let y = x.sqrt().sum();
    /// assert!(anomaly.found().is_none());
    /// y.backward();
    /// assert_eq!(
    ///     anomaly.found().unwrap().to_string(),
    ///     "sqrt (node 1): the gradient of input 0, of shape (2), has 1 such number of 2, the first inf at [0]"
    /// );
    /// ```
    pub fn detect_anomaly(&self, limit: f64) -> Anomaly {
        let anomaly = Anomaly::default();
        let found = anomaly.0.clone();
        self.observe(move |event| {
            let mut found = found.borrow_mut();
            if found.is_none() {
                *found = Finding::of(event, limit);
            }
        });
        anomaly
    }
}

/// What [`Tape::detect_anomaly`] watches for, once it has been found.
#[derive(Clone, Debug, Default)]
pub struct Anomaly(Rc<RefCell<Option<Finding>>>);

impl Anomaly {
    /// The first anomaly since the watch began; `None` if there was none yet.
    pub fn found(&self) -> Option<Finding> {
        self.0.borrow().clone()
    }
}

/// A value or gradient with a number that is NaN or too large.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The number of the node.
    pub id: u32,
    /// The name of the operation that made it.
    pub name: &'static str,
    /// `None` for the operation's value; the number of the input whose gradient it is.
    pub input: Option<usize>,
    /// The shape of the value or gradient.
    pub shape: Shape,
    /// How many such numbers it has.
    pub count: usize,
    /// Where the first of them stands, row by row.
    pub place: Vec<usize>,
    /// The first of them.
    pub number: f64,
}

impl Finding {
    /// What is wrong with the numbers of an event. A gradient that reaches a rule was given by another, or is the seed.
    fn of<T: Element>(event: &Event<'_, T>, limit: f64) -> Option<Finding> {
        let (id, name, input, tensor) = match *event {
            Event::Node { id, name, value, .. } => (id, name, None, value),
            Event::Grad { id, name, input, grad } => (id, name, Some(input), grad),
            Event::Walk { .. } | Event::Rule { .. } => return None,
        };
        let numbers = tensor.to_vec();
        // NaN compares with nothing.
        let mut wrong = numbers.iter().enumerate().filter(|(_, x)| x.f64().is_nan() || x.f64().abs() > limit);
        let (first, number) = wrong.next()?;
        let (count, shape) = (1 + wrong.count(), *tensor.shape());
        let mut rest = first;
        let mut place: Vec<usize> = shape.iter().rev().map(|&extent| (rest % extent, rest /= extent).0).collect();
        place.reverse();
        Some(Finding { id, name, input, shape, count, place, number: number.f64() })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { id, name, input, shape, count, place, number } = self;
        let what = input.map_or("its value".to_string(), |input| format!("the gradient of input {input}"));
        write!(f, "{name} (node {id}): {what}, of shape {shape}, has {count} such ")?;
        write!(f, "{} of {}, the first ", if *count == 1 { "number" } else { "numbers" }, shape.size())?;
        write!(f, "{number} at {place:?}")
    }
}
