//! The checker over a table: rules that are wrong in one way each, and right ones that are hard on difference
//! quotients.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use wengert::gradcheck::{Failure, Problem, Report, both};
use wengert::{Backward, Tape, Tensor, Var};

type Function = Box<dyn Fn(&[Var<f64>]) -> Var<f64>>;

fn vector(values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice([values.len()], values)
}

/// A function of one input, by its values and the rule that x̄ = rule(ȳ, x).
fn one<V, R>(value: V, rule: R) -> Function
where
    V: Fn(&[f64]) -> Vec<f64> + 'static,
    R: Fn(&Var<f64>, &Var<f64>, &Backward<f64>) -> Var<f64> + Clone + 'static,
{
    Box::new(move |x| {
        let y = value(&x[0].value().to_vec());
        let (saved, rule) = (x[0].saved(), rule.clone());
        Var::record("one", &[&x[0]], Tensor::from_slice([y.len()], &y), move |grad, back| {
            back.give(0, |back| rule(grad, &back.var(&saved), back));
        })
    })
}

/// A function of each entry, and its derivative, which need not be it. The second derivative is lost.
fn each(f: fn(f64) -> f64, slope: fn(f64) -> f64) -> Function {
    one(move |x| x.iter().map(|&x| f(x)).collect(), move |grad, x, _| grad * constant(x, slope))
}

/// The sum of a_i·x_i, with a rule that says that it is that of b_i·x_i.
fn linear(a: &'static [f64], b: &'static [f64]) -> Function {
    let value = move |x: &[f64]| vec![x.iter().zip(a).map(|(x, a)| x * a).sum()];
    one(value, move |grad, x, _| grad.broadcast_to(x.shape()) * Var::from(vector(b)))
}

fn constant(x: &Var<f64>, f: fn(f64) -> f64) -> Var<f64> {
    x.value().map(f).into()
}

/// A rule of x² in both orders, but for a factor of each entry of the first and of the second derivative.
fn square(first: fn(f64) -> f64, second: fn(f64) -> f64) -> Function {
    fn twice(x: &Var<f64>, second: fn(f64) -> f64) -> Var<f64> {
        let (y, saved) = (x.value().map(|x| 2.0 * x), x.saved());
        Var::record("twice", &[x], y, move |grad, back| {
            back.give(0, |back| grad * constant(&back.var(&saved), second) * 2.0);
        })
    }
    let value = |x: &[f64]| x.iter().map(|x| x * x).collect();
    one(value, move |grad, x, _| grad * twice(x, second) * constant(x, first))
}

/// What the checker should say of a wrong rule.
enum Told {
    /// The first derivative is wrong at this entry.
    At(usize, &'static [usize]),
    /// The second derivative is.
    SecondAt(usize, &'static [usize]),
    Problem(Problem),
    Panic(&'static str),
}
use Told::{At, Panic, SecondAt};

fn of_kind(problem: Problem) -> Told {
    Told::Problem(problem)
}

fn caught(f: impl FnOnce() -> Result<[Report; 2], Box<Failure>>) -> Result<Result<[Report; 2], Box<Failure>>, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// Complains unless the checker says of `f` what it should.
fn told(f: &Function, inputs: &[Tensor<f64>], expected: &Told) -> Result<(), String> {
    let outcome = caught(|| both(f, inputs));
    let failure = match (&outcome, expected) {
        (Err(panic), Panic(text)) if panic.contains(text) => return Ok(()),
        (Ok(Err(failure)), _) => failure,
        _ => return Err(format!("{outcome:?}")),
    };
    let place = failure.place.as_ref().map(|place| (place.input, &place.index[..]));
    let is_wrong = matches!(failure.problem, Problem::Wrong { .. });
    let right = match expected {
        At(input, index) => is_wrong && failure.order == 1 && place == Some((*input, index)),
        SecondAt(input, index) => is_wrong && failure.order == 2 && place == Some((*input, index)),
        Told::Problem(problem) => failure.problem == *problem,
        Panic(_) => false,
    };
    if right { Ok(()) } else { Err(failure.to_string()) }
}

fn sample() -> Vec<Tensor<f64>> {
    vec![vector(&[0.5, -1.25, 2.0, 0.75, -0.3, 1.5])]
}

fn wrong_by_value() -> Vec<(&'static str, Function, Vec<Tensor<f64>>, Told)> {
    let at = |values: &[f64]| vec![vector(values)];
    let many: Vec<f64> = (0..1000).map(|i| 1.0 + f64::from(i) / 500.0).collect();
    vec![
        ("sign", each(|x| x.exp(), |x| -x.exp()), sample(), At(0, &[0])),
        ("factor", each(|x| x.exp(), |x| 2.0 * x.exp()), sample(), At(0, &[0])),
        ("1e-5 off", each(|x| x.exp(), |x| x.exp() * (1.0 + 1e-5 * f64::from(x == 2.0))), sample(), At(0, &[2])),
        ("for negative x", each(|x| x * x, |x| 2.0 * x.abs()), sample(), At(0, &[1])),
        ("far out", each(|x| x.exp(), |x| x.min(10.0).exp()), at(&[1.0, 9.0, 11.0, -20.0]), At(0, &[2])),
        ("at a large scale", each(|x| x * x * x, |x| 3.0 * x * x.min(1e5)), at(&[1.0, 2e4, 1e6]), At(0, &[2])),
        ("near a singularity", each(f64::sqrt, |x| 0.499 / x.sqrt()), at(&[1e-4]), At(0, &[0])),
        ("beside a kink", each(|x| x.max(0.0), |_| 1.0), at(&[1.0, 0.3, -1e-3]), At(0, &[2])),
        ("small beside large", linear(&[1e8, 1.0], &[1e8, 0.0]), at(&[0.3, 0.4]), At(0, &[1])),
        ("small, and twice", linear(&[1e6, 1e-3], &[1e6, 2e-3]), at(&[0.3, 0.4]), At(0, &[1])),
        ("large beside small", linear(&[1e6, 1e-3], &[1.001e6, 1e-3]), at(&[0.3, 0.4]), At(0, &[0])),
        ("zero for tiny", linear(&[1e-12], &[0.0]), at(&[0.3]), At(0, &[0])),
        ("zero for a millionth", linear(&[1.0, 1e-6], &[1.0, 0.0]), at(&[0.3, 0.4]), At(0, &[1])),
        ("tiny for zero", linear(&[1.0, 0.0], &[1.0, 1e-6]), at(&[0.3, 0.4]), At(0, &[1])),
        ("one of 1000", each(|x| x * x, |x| x * if x == 2.048 { 2.00002 } else { 2.0 }), at(&many), At(0, &[524])),
        ("half", square(|_| 0.5, |_| 1.0), sample(), At(0, &[0])),
        (
            "second order, for negative x",
            square(|_| 1.0, |x| 1.0 - 0.1 * f64::from(x < 0.0)),
            sample(),
            SecondAt(0, &[1]),
        ),
        (
            "NaN",
            each(|x| x * x, |x| if x < 0.0 { f64::NAN } else { 2.0 * x }),
            sample(),
            of_kind(Problem::GradientNotFinite),
        ),
    ]
}

fn wrong_by_rule() -> Vec<(&'static str, Function, Vec<Tensor<f64>>, Told)> {
    let exp = |x: &[f64]| x.iter().map(|x| x.exp()).collect();
    let matrix = vec![Tensor::from_slice([2, 2], &[1.0, 2.0, 3.0, 4.0])];
    let pair = vec![vector(&[0.0]), vector(&[2.0])];
    let transposed = |x: &[Var<f64>]| {
        Var::record("transposed", &[&x[0]], x[0].value().clone(), |grad, back| back.give(0, |_| grad.t()))
    };
    // The product of x₀ = 0 and x₁, whose derivative in x₁ happens to vanish.
    let forgets = |x: &[Var<f64>]| {
        let (y, saved) = (x[0].detach() * x[1].detach(), x[1].saved());
        Var::record("forgets", &[&x[0], &x[1]], y.into_value(), move |grad, back| {
            back.give(0, |back| grad * back.var(&saved));
        })
    };
    let repeated = |x: &[Var<f64>]| {
        let y = x[0].value().broadcast_to([4, 6]);
        Var::record("repeated", &[&x[0]], y, |grad, back| back.give(0, |_| grad.slice(0, 0..1).reshape([6])))
    };
    let rolled = |grad: &Var<f64>, x: &Var<f64>, _: &Backward<f64>| {
        let grad = grad * x.exp();
        Var::concat(&[&grad.slice(0, 1..6), &grad.slice(0, 0..1)], 0)
    };
    let foreign = Tape::new().var(vector(&[1.0; 6]));
    let saved = foreign.saved();
    let calls = Rc::new(Cell::new(0.0));
    let unsteady = move |grad: &Var<f64>, x: &Var<f64>, _: &Backward<f64>| {
        calls.set(calls.get() + 1e-15);
        grad * x.exp() * (1.0 + calls.get())
    };
    let in_walk = |records: bool| {
        move |grad: &Var<f64>, x: &Var<f64>, back: &Backward<f64>| {
            grad * x.exp() * if back.records() == records { 1.01 } else { 1.0 }
        }
    };
    let noise = Cell::new(0.0);
    let draws = move |x: &[Var<f64>]| {
        noise.set(noise.get() + 1e-15);
        &x[0] + noise.get()
    };
    vec![
        ("transposed", Box::new(transposed), matrix, At(0, &[0, 1])),
        ("forgotten", Box::new(forgets), pair.clone(), Panic("forgets: the rule gave no gradient for input 1")),
        (
            "forgotten, and given by another",
            Box::new(move |x| forgets(x) + &x[1]),
            pair,
            Panic("forgets: the rule gave no gradient for input 1"),
        ),
        ("the sum of a broadcast", Box::new(repeated), sample(), At(0, &[0])),
        ("off by one index", one(exp, rolled), sample(), At(0, &[0])),
        ("detached", one(exp, |grad, x, _| grad * constant(x, f64::exp)), sample(), SecondAt(0, &[0])),
        ("cut off", one(exp, |grad, x, _| grad.detach() * x.exp()), sample(), SecondAt(1, &[0])),
        (
            "saved on another tape",
            one(exp, move |grad, _, back| grad * back.var(&saved)),
            sample(),
            Panic("one: the rule uses a value that was saved on another tape"),
        ),
        (
            "a gradient of another tape",
            one(exp, move |_, _, _| foreign.clone()),
            sample(),
            Panic("one: the rule gave input 0 a gradient that is on another tape"),
        ),
        ("other bits each time", one(exp, unsteady), sample(), of_kind(Problem::UnsteadyGradient { walk: "grad" })),
        ("in backward only", one(exp, in_walk(false)), sample(), of_kind(Problem::Wrong { walk: "backward" })),
        ("in grad only", one(exp, in_walk(true)), sample(), of_kind(Problem::Wrong { walk: "grad" })),
        ("other values each time", Box::new(draws), sample(), of_kind(Problem::Unsteady)),
        ("behind the tape", Box::new(|x| x[0].detach().exp()), sample(), At(0, &[0])),
    ]
}

#[test]
fn wrong_rules_are_called_wrong_and_the_place_is_named() {
    let table: Vec<_> = wrong_by_value().into_iter().chain(wrong_by_rule()).collect();
    let wrongly: Vec<String> = table
        .iter()
        .filter_map(|(name, f, inputs, expected)| Some(format!("{name}: {}", told(f, inputs, expected).err()?)))
        .collect();
    assert!(table.len() >= 20 && wrongly.is_empty(), "{} of {}:\n{}", wrongly.len(), table.len(), wrongly.join("\n"));
}

/// Right functions, all of the library: the name, the function, and where to look.
fn right() -> Vec<(&'static str, Function, Vec<Tensor<f64>>)> {
    let at = |values: &[f64]| vec![vector(values)];
    let wild: Vec<f64> = (0..1000).map(|i| 10f64.powf(f64::from(i * 7919 % 1000) / 100.0 - 5.0)).collect();
    let grid = Tensor::from_vec([1, 2, 2, 3], (0..12).map(|i| f64::from(i) / 7.0).collect());
    vec![
        ("1e6 cubed", Box::new(|x| x[0].powi(3)), at(&[1e6, -2e6, 3.3e6, 1.5e6])),
        ("roots of 1e12", Box::new(|x| x[0].sqrt()), at(&[1e12, 3e12])),
        ("roots of 1e-4", Box::new(|x| x[0].sqrt()), at(&[1e-4, 2e-4, 1e-9])),
        ("1/x", Box::new(|x| x[0].powi(-1)), at(&[1e-3, -1e-3, 1e8, 3.0])),
        ("ln", Box::new(|x| x[0].ln()), at(&[1e-6, 1.0, 1e6])),
        ("exp", Box::new(|x| x[0].exp()), at(&[30.0, -30.0, 0.0])),
        ("a tiny factor", Box::new(|x| &x[0] * 1e-12), at(&[1.0, -3.0])),
        ("a constant", Box::new(|_| vector(&[7.0, -1.0]).into()), sample()),
        ("no slope", Box::new(|x| &x[0] * 0.0), sample()),
        ("an even function at 0", Box::new(|x| x[0].powi(2)), at(&[0.0, 0.0])),
        ("an offset", Box::new(|x| &x[0] - 1e8), at(&[1e8, 1e8 + 1.0, 1e8 - 3.0])),
        ("an offset lost", Box::new(|x| (&x[0] + 1e8) - 1e8), at(&[1.0, -2.0])),
        ("saturated tanh", Box::new(|x| x[0].tanh()), at(&[40.0, -40.0, 9.0, 0.0])),
        ("saturated sigmoid", Box::new(|x| x[0].sigmoid()), at(&[40.0, -40.0, 300.0, 0.0])),
        ("softplus far out", Box::new(|x| x[0].softplus()), at(&[50.0, -50.0, 700.0, 0.0])),
        ("powf", Box::new(|x| x[0].powf(2.5)), at(&[1e-3, 1.0, 1e4])),
        ("a norm near 0", Box::new(|x| x[0].powi(2).sum().sqrt()), at(&[1e-6, -2e-6, 5e-7])),
        ("channels last", Box::new(|x| x[0].tanh()), vec![grid.channels_last()]),
        ("permuted", Box::new(|x| x[0].tanh()), vec![grid.permute([3, 0, 2, 1])]),
        ("repeated", Box::new(|x| x[0].exp()), vec![grid.broadcast_to([2, 2, 2, 3])]),
        ("empty", Box::new(|x| x[0].exp().sum()), vec![Tensor::zeros([2, 0])]),
        ("a square beside 1e6", Box::new(|x| &x[0] * 1e6 + x[1].powi(2)), vec![vector(&[0.3]), vector(&[0.4])]),
        ("1000 entries of wild scales", Box::new(|x| x[0].powi(3)), at(&wild)),
        ("a sum that is always 1", Box::new(|x| x[0].softmax(0).sum()), sample()),
        ("1000 × a sum that is always 1", Box::new(|x| x[0].softmax(0).sum() * 1000.0), sample()),
        (
            "a composition",
            Box::new(|x| x[0].matmul(&x[1]).tanh().softmax(1).ln().powi(2).mean()),
            vec![Tensor::from_slice([2, 3], &sample()[0].to_vec()), Tensor::from_slice([3, 2], &sample()[0].to_vec())],
        ),
    ]
}

#[test]
fn right_rules_that_are_hard_to_check_pass() {
    let table = right();
    let clear = |report: &Report| report.moves.is_empty() && report.unresolved.is_empty();
    let complaint = |(name, f, inputs): &(&str, Function, Vec<Tensor<f64>>)| match caught(|| both(f, inputs)) {
        Ok(Ok(reports)) if reports.iter().all(clear) => None,
        outcome => Some(format!("{name}: {:.600}", format!("{outcome:?}"))),
    };
    let wrongly: Vec<String> = table.iter().filter_map(complaint).collect();
    assert!(table.len() >= 20 && wrongly.is_empty(), "{} of {}:\n{}", wrongly.len(), table.len(), wrongly.join("\n"));
}
