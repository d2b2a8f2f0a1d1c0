//! Whether every operation has the value of its reference. A value that is wrong, but whose rule belongs to it, passes
//! every other check: its derivative is right, and it is as wrong in f32, at every level and with every layout.

use wengert::gradcheck::Check;
use wengert::{Tape, Tensor};

use crate::table::{Entry, Sampler, entry};
use crate::{Bound, compare, failures, for_all};

/// What an operation and its reference, which adds in another order, may differ by; they do by up to 2e-14.
const BOUND: Bound = Bound { largest: 1e-12, frobenius: 1e-12 };

fn check_value(entry: &Entry, inputs: &[Tensor<f64>]) -> Result<(), String> {
    let tape = Tape::new();
    let found = (entry.f64)(&inputs.iter().map(|x| tape.var(x.clone())).collect::<Vec<_>>()).into_value();
    let expected = (entry.reference)(&inputs.iter().map(Tensor::to_array).collect::<Vec<_>>());
    let expected = Tensor::from_array(&expected);
    if found.shape() != expected.shape() {
        return Err(format!("the value has shape {}, the reference {}", found.shape(), expected.shape()));
    }
    compare(&[found], &[expected], BOUND).map_err(|e| format!("the value is not that of the reference: {e}"))
}

#[test]
fn values_agree_with_their_references() {
    for_all(1, check_value);
}

#[test]
fn a_wrong_value_with_the_rule_that_belongs_to_it_is_noticed() {
    let samples = || Sampler::new(1).samples(&[&[&[2, 3]]]);
    let wrong = [
        entry!("powi", samples(), |x| x[0].powi(2), |x| x[0].mapv(|x| x * x * x)).with("3"),
        entry!("tanh", samples(), |x| x[0].tanh() * (1.0 + 1e-11), |x| x[0].mapv(f64::tanh)),
        entry!("ln", samples(), |x| x[0].ln(), |x| x[0].mapv(|x| x.abs().ln())),
        entry!("t", samples(), |x| x[0].affine(1.0, 0.0), |x| x[0].t().to_owned()),
    ];
    let (_, told) = failures(&wrong, check_value);
    let expected = [
        "powi 3 on (2, 3): the value is not that of the reference: result 0 differs by up to",
        "tanh on (2, 3): the value is not that of the reference: result 0 differs by up to",
        "ln on (2, 3): the value is not that of the reference: result 0 differs by up to inf",
        "t on (2, 3): the value has shape (2, 3), the reference (3, 2)",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    told.iter().zip(expected).for_each(|(told, expected)| assert!(told.starts_with(expected), "{told}"));
    // Difference quotients find nothing wrong with the first one.
    assert!(Check::first().run(&wrong[0].f64, &wrong[0].samples[0]).is_ok());
}
