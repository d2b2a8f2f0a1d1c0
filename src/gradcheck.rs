//! Gradients checked against difference quotients: of our operations and of yours, first order and second, and of
//! programs without a tape, a value and a gradient that were written by hand.
//!
//! A function f of any shape is projected to a number by a fixed random cotangent r: φ(x) = ⟨r, f(x)⟩. The gradient
//! that the tape computes must satisfy, along random directions d,
//!
//! ⟨∇φ(x), d⟩ = lim (φ(x + hd) − φ(x − hd)) / 2h.
//!
//! The limit is extrapolated from three steps, each about a quarter of the one before (error O(h⁶)). They begin large,
//! relative to the size of the entries, and shrink until the quotients converge. What these may still be off by is
//! estimated, from what the last extrapolation changed and from the rounding of f. An entry is right if
//!
//! |analytic − numeric| ≤ `atol` + `rtol` · |derivative| + what the quotient may be off by.
//!
//! A direction moves a group of entries of like magnitude, and the whole group must be as exact as its least entry, so
//! that a small entry is not lost beside a large one. A group that fails is halved, again and again, until the entry
//! that is wrong is found. Where a derivative drowns in the rounding of f, as that of 1e20·x₀ + x₁ in x₁, nothing can
//! be said: the [`Report`] names such entries, and a check of nothing else fails. Rounding inside f, of numbers that
//! are gone from its value, is measured only as far as it shows there, and up to a millionth of the value: a function
//! such as (x + 10¹²) − 10¹², which loses more, has steps, and fails.
//!
//! Both walks of the tape are checked, [`Var::backward`] and [`Var::grad`], because an operation may have a fused
//! kernel for the first; and each is run twice, which must give the same bits.
//!
//! The entries of r lie in ±[½, 1]. A rule must be linear in ȳ; one that bounds or cuts larger or smaller gradients is
//! not seen to.
//!
//! The second order is the first order of the gradient, (x, r) ↦ ∇ₓ⟨r, f(x)⟩. The cotangent r is an input there, so
//! that a rule which forgets to differentiate with respect to ȳ is caught as well.
//!
//! Difference quotients mean nothing at a kink, such as that of relu at 0. A kink is where they do not converge, or
//! where φ(x + hd) + φ(x − hd) − 2φ(x) does not shrink like h². The entries at a kink are moved aside by a few
//! hundredths of their size, to where the function and its gradient are finite, and the [`Report`] names them. A
//! function that stays rough wherever it is tried fails. Each such entry is looked for and moved by itself, which takes
//! seconds from some thousands of them on.
//!
//! An operation of one's own, with a rule that is right at first order, but hides its dependence on x from the second:
//! ```
//! use wengert::gradcheck::{both, gradcheck};
//! use wengert::{Tensor, Var};
//!
//! fn square(x: &Var<f64>) -> Var<f64> {
//!     let y = x.value().map(|x| x * x);
//!     let x_value = x.value().clone(); // should have been x.saved()
//!     Var::record("square", &[x], y, move |grad, back| {
//!         back.give(0, |_| grad * Var::from(&x_value) * 2.0);
//!     })
//! }
//!
//! let x = Tensor::from_vec([3], vec![1.0, -2.0, 3.0]);
//! let report = gradcheck(|x| square(&x[0]), &[x.clone()]).unwrap();
//! assert_eq!((report.entries, report.unresolved.len()), (3, 0));
//! let failure = both(|x| square(&x[0]), &[x]).unwrap_err();
//! assert_eq!((failure.order, failure.operations), (2, vec!["square"]));
//! assert_eq!(failure.place.unwrap().input, 0);
//! ```
//!
//! A gradient that has nothing to do with this library: [`Check::gradient`] takes numbers, [`Check::backward`] arrays
//! of `ndarray` and a backward pass.

mod by_hand;
mod judge;
mod line;
mod quotients;
mod report;

pub use report::{Failure, Move, Place, Problem, Report};

use judge::{judge, spread};
use line::Gradient;
use report::place_of;

use crate::{Rng, Tape, Tensor, Var};

/// Checks the gradient of `f` at `inputs`: [`Check::first`] with its default tolerances.
///
/// # Errors
/// A gradient is wrong, or differs from run to run; or something is not finite; or nothing can be said, because no
/// smooth point was found nearby, or every derivative drowns in rounding.
///
/// # Panics
/// If `f` does, or a rule forgets an input, or gives a gradient of a wrong shape.
pub fn gradcheck(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Box<Failure>> {
    Check::first().run(f, inputs)
}

/// Checks the gradient of the gradient of `f` at `inputs`: [`Check::second`] with its default tolerances.
///
/// It takes the gradient itself for granted: [`gradcheck`] checks that, and [`both`] the two of them.
///
/// # Errors
/// As [`gradcheck`].
///
/// # Panics
/// As [`gradcheck`].
pub fn gradgradcheck(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Box<Failure>> {
    Check::second().run(f, inputs)
}

/// [`gradcheck`], then [`gradgradcheck`]: what a new operation should pass.
///
/// # Errors
/// As [`gradcheck`]; [`Failure::order`] tells which of the two failed.
///
/// # Panics
/// As [`gradcheck`].
pub fn both(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<[Report; 2], Box<Failure>> {
    Ok([gradcheck(&f, inputs)?, gradgradcheck(&f, inputs)?])
}

/// How to check: the order of the derivative, and what counts as equal.
#[derive(Clone, Debug)]
pub struct Check {
    /// 1 for the gradient, 2 for the gradient of the gradient, and so on.
    pub order: usize,
    /// The relative error allowed, from 0 to below 1, beyond what the difference quotients may be off by.
    pub rtol: f64,
    /// The absolute error allowed, at least 0, which matters where the derivative vanishes. For a function that is
    /// smaller than the entries, it shrinks in proportion.
    pub atol: f64,
    /// The largest step of the difference quotients, from 1e-6 to 1: relative to an entry's size, or to 1 if that is
    /// less.
    pub step: f64,
    /// The number of random directions for each group of entries, at least 1.
    pub directions: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Check {
    /// The gradient, to a relative error of 1e-6.
    pub fn first() -> Check {
        Check { order: 1, rtol: 1e-6, atol: 1e-8, step: 1.0 / 16.0, directions: 1, seed: 1 }
    }

    /// The gradient of the gradient, to a relative error of 1e-5.
    pub fn second() -> Check {
        Check { order: 2, rtol: 1e-5, ..Check::first() }
    }

    /// Checks `f` at `inputs`, which keep the memory layouts that they have.
    ///
    /// No input, or inputs without elements, leave nothing to compare: the report then says `entries: 0`.
    ///
    /// # Errors
    /// As [`gradcheck`].
    ///
    /// # Panics
    /// As [`gradcheck`]; and if a field of this check is out of its range, with which everything or nothing would pass.
    #[track_caller]
    pub fn run(&self, f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Box<Failure>> {
        self.assert_sense();
        let tape = Tape::new();
        let y = f(&variables(&tape, inputs)).into_value();
        let mut operations = Vec::new();
        for name in tape.names().into_iter().filter(|&name| name != "var") {
            if !operations.contains(&name) {
                operations.push(name);
            }
        }
        let value = |x: &[Tensor<f64>]| f(&variables(&Tape::new(), x)).into_value();
        let result = self.steady(&value, inputs, &y).and_then(|()| {
            let mut rng = Rng::seed(self.seed);
            self.check(&f, inputs, self.order, &mut rng)
        });
        self.told(result, operations, inputs.len())
    }

    /// A result with what only the whole check knows.
    fn told(&self, result: Outcome, operations: Vec<&'static str>, inputs: usize) -> Outcome {
        match result {
            Ok(report) => Ok(Report { operations, ..report }),
            Err(failure) => Err(Failure { order: self.order, operations, inputs, ..*failure }.into()),
        }
    }

    #[track_caller]
    fn assert_sense(&self) {
        let &Check { order, rtol, atol, step, directions, .. } = self;
        assert!(order >= 1, "gradcheck: an order of {order}, expected 1 or more");
        assert!((0.0..1.0).contains(&rtol), "gradcheck: an rtol of {rtol}, expected a number from 0 to below 1");
        assert!((0.0..f64::INFINITY).contains(&atol), "gradcheck: an atol of {atol}, expected a number from 0 on");
        assert!((1e-6..=1.0).contains(&step), "gradcheck: a step of {step}, expected a number from 1e-6 to 1");
        assert!(directions >= 1, "gradcheck: {directions} directions, expected 1 or more");
    }

    /// Whether `y`, the value at these inputs, is finite, and comes out once more.
    fn steady(&self, value: Value, inputs: &[Tensor<f64>], y: &Tensor<f64>) -> Result<(), Box<Failure>> {
        let first = y.to_vec();
        let place = |i| Some(place_of(std::slice::from_ref(y), i));
        if let Some(i) = first.iter().position(|y| !y.is_finite()) {
            return Err(Failure { analytic: first[i], ..Failure::new(Problem::ValueNotFinite, place(i)) }.into());
        }
        let again = value(inputs);
        if again.shape() != y.shape() {
            return Err(Failure::new(Problem::Unsteady, None).into());
        }
        let again = again.to_vec();
        different(&first, &again).map_or(Ok(()), |i| {
            Err(Failure { analytic: first[i], numeric: again[i], ..Failure::new(Problem::Unsteady, place(i)) }.into())
        })
    }

    /// Lowers the order: the derivative of order n of f is that of order n − 1 of its gradient.
    fn check(&self, f: Function, inputs: &[Tensor<f64>], order: usize, rng: &mut Rng) -> Outcome {
        let value = |x: &[Tensor<f64>]| f(&variables(&Tape::new(), x)).into_value();
        let r = random_like(rng, &value(inputs));
        if order == 1 {
            let phi = Projection { value: &value, gradients: &|x, r| by_tape(f, x, r), r };
            return judge(self, &|x| phi.at(x), &|x| phi.gradients(x), inputs, rng);
        }
        let gradient = |inputs: &[Var<f64>]| {
            let (r, x) = inputs.split_last().expect("the cotangent is the last input");
            let gradients = (f(x) * r).sum().grad(&x.iter().collect::<Vec<_>>());
            let flat: Vec<Var<f64>> = gradients.iter().map(|g| g.reshape([g.value().size()])).collect();
            if flat.is_empty() { Tensor::zeros([0]).into() } else { Var::concat(&flat.iter().collect::<Vec<_>>(), 0) }
        };
        self.check(&gradient, &[inputs, &[r]].concat(), order - 1, rng)
    }
}

type Function<'a> = &'a dyn Fn(&[Var<f64>]) -> Var<f64>;
type Value<'a> = &'a dyn Fn(&[Tensor<f64>]) -> Tensor<f64>;
/// By x and r.
type Claimed<'a> = &'a dyn Fn(&[Tensor<f64>], &Tensor<f64>) -> Vec<Gradient>;
type Outcome = Result<Report, Box<Failure>>;

/// φ(x) = ⟨r, f(x)⟩.
struct Projection<'a> {
    /// f
    value: Value<'a>,
    /// The gradients of φ that are to be checked.
    gradients: Claimed<'a>,
    r: Tensor<f64>,
}

impl Projection<'_> {
    /// The terms of φ.
    fn at(&self, point: &[Tensor<f64>]) -> Vec<f64> {
        let y = (self.value)(point);
        let (before, now) = (self.r.shape(), y.shape());
        assert!(before == now, "gradcheck: f gave shape {before}, and near by {now}; expected one shape");
        y.zip(&self.r, |y, r| y * r).to_vec()
    }

    /// The gradients of φ, which are finite, and come out once more.
    fn gradients(&self, point: &[Tensor<f64>]) -> Result<Vec<Gradient>, Box<Failure>> {
        let gradients = (self.gradients)(point, &self.r);
        for ((walk, first), (_, again)) in gradients.iter().zip((self.gradients)(point, &self.r)) {
            let place = |i| Some(place_of(point, i));
            if let Some(i) = first.iter().position(|g| !g.is_finite()) {
                return Err(Failure { analytic: first[i], ..Failure::new(Problem::GradientNotFinite, place(i)) }.into());
            }
            if let Some(i) = different(first, &again) {
                let failure = Failure::new(Problem::UnsteadyGradient { walk }, place(i));
                return Err(Failure { analytic: first[i], numeric: again[i], ..failure }.into());
            }
        }
        Ok(gradients)
    }
}

/// The gradients of ⟨r, f(x)⟩ by the two walks of a tape.
fn by_tape(f: Function, point: &[Tensor<f64>], r: &Tensor<f64>) -> Vec<Gradient> {
    let tape = Tape::new();
    let x = variables(&tape, point);
    let y = f(&x);
    let (before, now) = (r.shape(), y.shape());
    assert!(before == now, "gradcheck: f gave shape {before}, and then {now}; expected one shape");
    let loss = (y * Var::from(r)).sum();
    if !loss.is_tracked() {
        // φ is told to be a constant: zeros are to be checked like any other gradient.
        let zeros = vec![0.0; point.iter().map(Tensor::size).sum()];
        return vec![("grad", zeros.clone()), ("backward", zeros)];
    }
    let by_grad = loss.grad(&x.iter().collect::<Vec<_>>());
    let by_grad = by_grad.iter().flat_map(|gradient| gradient.value().to_vec()).collect();
    let gradients = loss.backward();
    vec![("grad", by_grad), ("backward", x.iter().flat_map(|x| gradients.wrt(x).to_vec()).collect())]
}

fn variables(tape: &Tape<f64>, point: &[Tensor<f64>]) -> Vec<Var<f64>> {
    point.iter().map(|x| tape.var(x.clone())).collect()
}

/// Where two lists of finite numbers differ in their bits.
fn different(a: &[f64], b: &[f64]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits())
}

fn random_like(rng: &mut Rng, x: &Tensor<f64>) -> Tensor<f64> {
    Tensor::from_vec(*x.shape(), (0..x.size()).map(|_| spread(rng)).collect()).like(x)
}
