//! Gradients checked against difference quotients, for our operations and for yours; first order and second.
//!
//! A function f of any shape is projected to a number by a fixed random cotangent r: φ(x) = ⟨r, f(x)⟩. The gradient
//! that the tape computes must satisfy, along random directions d that move every entry of every input at once,
//!
//! ⟨∇φ(x), d⟩ = lim (φ(x + hd) − φ(x − hd)) / 2h,
//!
//! where the limit is extrapolated from h and h/2 (error O(h⁴), so that 1e-6 is honest in `f64`). Only if that fails is
//! every entry tried by itself, to find the wrong one. Both walks of the tape are checked, [`Var::backward`] and
//! [`Var::grad`], because an operation may have a fused kernel for the first.
//!
//! The second order is the first order of (x, r) ↦ ⟨∇ₓ⟨r, f(x)⟩, v⟩ with a fixed random v. The cotangent r is an input
//! there, so that a rule which forgets to differentiate with respect to ȳ is caught as well.
//!
//! Difference quotients mean nothing at a kink, such as that of relu at 0. A kink is where they do not converge, or
//! where φ(x + hd) + φ(x − hd) − 2φ(x) does not shrink like h². The entries at a kink are moved aside a little, and the
//! [`Report`] names them. A function that stays rough wherever it is tried fails.
//!
//! An operation of one's own, with a rule that is right at first order, but hides its dependence on x from the second:
//! ```
//! use wengert::gradcheck::{gradcheck, gradgradcheck};
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
//! gradcheck(|x| square(&x[0]), &[x.clone()]).unwrap();
//! let failure = gradgradcheck(|x| square(&x[0]), &[x]).unwrap_err();
//! assert_eq!(failure.operations, ["square"]);
//! assert_eq!(failure.place.unwrap().input, 0);
//! ```

mod report;

pub use report::{Failure, Place, Problem, Report};

use crate::{Rng, Shape, Tape, Tensor, Var};

/// Checks the gradient of `f` at `inputs`: [`Check::first`] with its default tolerances.
///
/// # Errors
/// A gradient is wrong, or something is not finite, or no smooth point was found nearby.
pub fn gradcheck(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Failure> {
    Check::first().run(f, inputs)
}

/// Checks the gradient of the gradient of `f` at `inputs`: [`Check::second`] with its default tolerances.
///
/// It takes the gradient itself for granted: [`gradcheck`] checks that.
///
/// # Errors
/// As [`gradcheck`].
pub fn gradgradcheck(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Failure> {
    Check::second().run(f, inputs)
}

/// How to check: the order of the derivative, and what counts as equal.
#[derive(Clone, Debug)]
pub struct Check {
    /// 1 for the gradient, 2 for the gradient of the gradient, and so on.
    pub order: usize,
    /// The relative error allowed, above 0.
    pub rtol: f64,
    /// The absolute error allowed where the derivative vanishes.
    pub atol: f64,
    /// The largest step of the difference quotients; steps of a tenth and a hundredth of it are tried next.
    pub step: f64,
    /// The number of random directions.
    pub directions: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Check {
    /// The gradient, to a relative error of 1e-6.
    pub fn first() -> Check {
        Check { order: 1, rtol: 1e-6, atol: 1e-8, step: 1e-3, directions: 2, seed: 1 }
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
    /// If `f` does, or a rule gives a gradient of a wrong shape.
    pub fn run(&self, f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) -> Result<Report, Failure> {
        let tape = Tape::new();
        let y = f(&variables(&tape, inputs)).into_value();
        let mut operations = Vec::new();
        for name in tape.names().into_iter().filter(|&name| name != "var") {
            if !operations.contains(&name) {
                operations.push(name);
            }
        }
        let again = f(&variables(&Tape::new(), inputs)).into_value();
        let mut result = match first_not_finite(&[&y]) {
            Some((_, index, value)) => Err(Failure::new(Problem::ValueNotFinite, Some((0, index)), value, value)),
            None if y != again => Err(Failure::new(Problem::Unsteady, None, f64::NAN, f64::NAN)),
            None => self.check(&f, inputs, self.order, &mut Rng::seed(self.seed)),
        };
        match &mut result {
            Ok(report) => report.operations = operations,
            Err(failure) => {
                (failure.order, failure.operations, failure.inputs) = (self.order, operations, inputs.len())
            }
        }
        result
    }

    /// Lowers the order: the derivative of order n of f is that of order n − 1 of a directional derivative of f.
    fn check(&self, f: Function, inputs: &[Tensor<f64>], order: usize, rng: &mut Rng) -> Result<Report, Failure> {
        let r = random_like(rng, f(&variables(&Tape::new(), inputs)).value());
        if order <= 1 {
            return self.check_first(&Projection { f, r, check: self }, inputs, rng);
        }
        let v: Vec<Tensor<f64>> = inputs.iter().map(|x| random_like(rng, x)).collect();
        let lower = |inputs: &[Var<f64>]| {
            let (r, x) = inputs.split_last().expect("the cotangent is the last input");
            let gradients = (f(x) * r).sum().grad(&x.iter().collect::<Vec<_>>());
            let products = gradients.iter().zip(&v).map(|(g, v)| (g * Var::from(v)).sum());
            products.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::scalar(0.0).into())
        };
        self.check(&lower, &[inputs, &[r]].concat(), order - 1, rng)
    }

    fn check_first(&self, phi: &Projection, inputs: &[Tensor<f64>], rng: &mut Rng) -> Result<Report, Failure> {
        let entries = inputs.iter().map(Tensor::size).sum();
        let mut report = Report { operations: Vec::new(), entries, worst: 0.0, kinks: Vec::new() };
        let mut point = inputs.to_vec();
        for _ in 0..ATTEMPTS {
            let gradients = phi.gradients(&point);
            for (_, gradient) in &gradients {
                if let Some((input, index, value)) = first_not_finite(&gradient.iter().collect::<Vec<_>>()) {
                    return Err(Failure::new(Problem::GradientNotFinite, Some((input, index)), value, f64::NAN));
                }
            }
            let mut smooth = true;
            for _ in 0..self.directions {
                let direction: Vec<Tensor<f64>> = point.iter().map(|x| random_like(rng, x)).collect();
                let Some(numeric) = phi.slope(&point, &direction, self.step, 3) else {
                    smooth = false;
                    break;
                };
                for (walk, gradient) in &gradients {
                    let analytic = inner(gradient, &direction);
                    let error = self.error(analytic, numeric);
                    if error <= self.rtol {
                        report.worst = report.worst.max(error);
                        continue;
                    }
                    let blamed = self.blame(phi, &point, gradient);
                    let (place, analytic, numeric) = blamed.unwrap_or((None, analytic, numeric));
                    return Err(Failure::new(Problem::Wrong { walk }, place, analytic, numeric));
                }
            }
            if smooth {
                return Ok(report);
            }
            let kinks = self.kinks(phi, &point);
            for (x, shift) in point.iter_mut().zip(kinks.iter()) {
                let jitter = random_like(rng, x);
                *x = moved(x, &jitter.zip(shift, |j, s| j * s), JITTER);
            }
            for (input, shift) in kinks.iter().enumerate() {
                for (i, _) in shift.to_vec().iter().enumerate().filter(|(_, moved)| **moved != 0.0) {
                    let place = Place { input, index: index_of(shift.shape(), i) };
                    if !report.kinks.contains(&place) {
                        report.kinks.push(place);
                    }
                }
            }
        }
        let place = report.kinks.first().map(|place| (place.input, place.index.clone()));
        Err(Failure::new(Problem::Rough, place, f64::NAN, f64::NAN))
    }

    /// The error relative to the derivative, or to what makes `atol` the bound where the derivative vanishes.
    fn error(&self, analytic: f64, numeric: f64) -> f64 {
        (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(self.atol / self.rtol)
    }

    /// The entry whose gradient is the most wrong, its gradient, and what it should be.
    fn blame(&self, phi: &Projection, point: &[Tensor<f64>], gradient: &[Tensor<f64>]) -> Option<Blame> {
        let mut worst: Option<(f64, Blame)> = None;
        for (input, gradient) in gradient.iter().enumerate() {
            for (i, &analytic) in gradient.to_vec().iter().enumerate() {
                let Some(numeric) = phi.slope(point, &unit(point, input, i), self.step, 3) else { continue };
                let error = self.error(analytic, numeric);
                if error > worst.as_ref().map_or(self.rtol, |worst| worst.0) {
                    let place = (input, index_of(point[input].shape(), i));
                    worst = Some((error, (Some(place), analytic, numeric)));
                }
            }
        }
        worst.map(|(_, blame)| blame)
    }

    /// 1 at every entry along which the function has a kink, else 0; 1 everywhere if no entry by itself has one.
    fn kinks(&self, phi: &Projection, point: &[Tensor<f64>]) -> Vec<Tensor<f64>> {
        let is_kink = |(input, x): (usize, &Tensor<f64>)| {
            // Wider than the smallest step, because a direction moves several entries towards a kink at once.
            let rough = |i| phi.slope(point, &unit(point, input, i), self.step / 25.0, 1).is_none();
            let flags = (0..x.size()).map(|i| if rough(i) { 1.0 } else { 0.0 }).collect();
            Tensor::from_vec(*x.shape(), flags).like(x)
        };
        let kinks: Vec<Tensor<f64>> = point.iter().enumerate().map(is_kink).collect();
        let found = kinks.iter().any(|flags| flags.sum() > 0.0);
        if found { kinks } else { point.iter().map(|x| x.map(|_| 1.0)).collect() }
    }
}

/// How often kinks are stepped around before the check gives up.
const ATTEMPTS: usize = 8;

/// How far entries at a kink are moved: several times the steps, yet little enough to stay in the domain.
const JITTER: f64 = 0.02;

type Function<'a> = &'a dyn Fn(&[Var<f64>]) -> Var<f64>;
type Blame = (Option<(usize, Vec<usize>)>, f64, f64);

/// φ(x) = ⟨r, f(x)⟩.
struct Projection<'a> {
    f: Function<'a>,
    r: Tensor<f64>,
    check: &'a Check,
}

impl Projection<'_> {
    /// φ, and Σ|rᵢ fᵢ|, to which its rounding error is proportional.
    fn at(&self, point: &[Tensor<f64>]) -> (f64, f64) {
        let y = (self.f)(&variables(&Tape::new(), point)).into_value();
        let terms = y.zip(&self.r, |y, r| y * r);
        (terms.sum(), terms.map(f64::abs).sum())
    }

    /// The gradient of φ by each of the two walks.
    fn gradients(&self, point: &[Tensor<f64>]) -> [(&'static str, Vec<Tensor<f64>>); 2] {
        let tape = Tape::new();
        let x = variables(&tape, point);
        let loss = ((self.f)(&x) * Var::from(&self.r)).sum();
        if !loss.is_tracked() {
            // φ is told to be a constant: zeros are to be checked like any other gradient.
            let zeros: Vec<_> = point.iter().map(|x| Tensor::zeros(x.shape())).collect();
            return [("grad", zeros.clone()), ("backward", zeros)];
        }
        let by_grad = loss.grad(&x.iter().collect::<Vec<_>>()).into_iter().map(Var::into_value).collect();
        let gradients = loss.backward();
        [("grad", by_grad), ("backward", x.iter().map(|x| gradients.wrt(x)).collect())]
    }

    /// The derivative of φ along a direction, from difference quotients with one of `tries` steps; `None` at a kink.
    fn slope(&self, point: &[Tensor<f64>], direction: &[Tensor<f64>], step: f64, tries: i32) -> Option<f64> {
        let (here, size) = self.at(point);
        for h in (0..tries).map(|i| step * 0.1f64.powi(i)) {
            // The odd and the even part of φ along the direction, each by a step of kh.
            let [half, one, two] = [0.5, 1.0, 2.0].map(|k| {
                let side = |k: f64| {
                    let point: Vec<_> = point.iter().zip(direction).map(|(x, d)| moved(x, d, k * h)).collect();
                    self.at(&point).0
                };
                let (after, before) = (side(k), side(-k));
                ((after - before) / (2.0 * k * h), (after + before - 2.0 * here) / (k * h))
            });
            let coarse = (4.0 * one.0 - two.0) / 3.0;
            let fine = (4.0 * half.0 - one.0) / 3.0;
            // hφ″ for a smooth φ, whatever the step; the jump of the slope at a kink, whatever the step.
            let bend = one.1 - 2.0 * half.1;
            let rounding = 64.0 * f64::EPSILON * size / h;
            let tolerance = (self.check.rtol * fine.abs()).max(self.check.atol) / 4.0 + rounding;
            if (coarse - fine).abs() <= tolerance && bend.abs() <= tolerance {
                return Some(fine);
            }
        }
        None
    }
}

fn variables(tape: &Tape<f64>, point: &[Tensor<f64>]) -> Vec<Var<f64>> {
    point.iter().map(|x| tape.var(x.clone())).collect()
}

/// x + h·d in the memory order of x; x itself, view or not, for h = 0.
fn moved(x: &Tensor<f64>, d: &Tensor<f64>, h: f64) -> Tensor<f64> {
    x.map(|x| x).zip(d, |x, d| x + h * d)
}

/// The direction that moves one entry, counted in row-major order, by 1.
fn unit(point: &[Tensor<f64>], input: usize, i: usize) -> Vec<Tensor<f64>> {
    let zeros = |(k, x): (usize, &Tensor<f64>)| {
        let mut entries = vec![0.0; x.size()];
        if k == input {
            entries[i] = 1.0;
        }
        Tensor::from_vec(*x.shape(), entries).like(x)
    };
    point.iter().enumerate().map(zeros).collect()
}

fn inner(a: &[Tensor<f64>], b: &[Tensor<f64>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.zip(b, |a, b| a * b).sum()).sum()
}

fn index_of(shape: &Shape, mut i: usize) -> Vec<usize> {
    let mut index = shape.to_vec();
    for slot in index.iter_mut().rev() {
        (*slot, i) = (i % *slot, i / *slot);
    }
    index
}

fn first_not_finite(tensors: &[&Tensor<f64>]) -> Option<(usize, Vec<usize>, f64)> {
    tensors.iter().enumerate().find_map(|(k, x)| {
        let values = x.to_vec();
        let i = values.iter().position(|x| !x.is_finite())?;
        Some((k, index_of(x.shape(), i), values[i]))
    })
}

/// A number in ±[½, 1] for each element: none so small that it would hide an entry.
fn random_like(rng: &mut Rng, x: &Tensor<f64>) -> Tensor<f64> {
    let mut draw = || {
        let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
        sign * (0.5 + 0.5 * rng.unit())
    };
    let values = (0..x.size()).map(|_| draw()).collect();
    Tensor::from_vec(*x.shape(), values).like(x)
}
