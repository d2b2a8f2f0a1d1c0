//! What several test files share: numbers that look random, memory orders, and derivatives by finite differences.

#![allow(dead_code, reason = "no test file uses all of it")]

use wengert::{Shape, Tape, Tensor, Var};

/// Numbers in −1..1 that look random, the same for the same seed.
pub fn noise(shape: impl Into<Shape>, seed: u64) -> Tensor<f64> {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    for _ in 0..8 {
        next();
    }
    Tensor::from_vec(shape, (0..shape.size()).map(|_| next()).collect())
}

/// The largest difference between two tensors, relative to the largest element (or 1).
pub fn difference(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_vec(), b.to_vec());
    let scale = a.iter().chain(&b).fold(1.0, |m: f64, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0, |m: f64, (a, b)| if (a - b).is_nan() { f64::NAN } else { m.max((a - b).abs()) }) / scale
}

#[track_caller]
pub fn assert_close(a: &Tensor<f64>, b: &Tensor<f64>, tolerance: f64) {
    let found = difference(a, b);
    assert!(found <= tolerance, "differ by {found:e}:\n{a}\n{b}");
}

/// Checks the gradients of `f` by central differences: those of `backward` and of `grad`, and those of the gradients.
///
/// The result of `f` is weighed with noise and summed, so that every element of the Jacobian counts.
#[track_caller]
pub fn check_gradients(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) {
    let loss = |x: &[Var<f64>]| {
        let y = f(x);
        let weights: Var<f64> = noise(y.shape(), 99).into();
        (y * weights).sum()
    };
    check_first("first order", &loss, inputs);
    let slope = |x: &[Var<f64>]| {
        let wrt: Vec<&Var<f64>> = x.iter().collect();
        let gradients = loss(x).grad(&wrt);
        let parts = gradients.iter().enumerate().map(|(i, g)| (g * Var::from(noise(g.shape(), i as u64))).sum());
        parts.reduce(|a, b| a + b).expect("at least one input")
    };
    check_first("second order", &slope, inputs);
}

#[track_caller]
fn check_first(what: &str, loss: &dyn Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) {
    let evaluate = |inputs: &[Tensor<f64>]| {
        let tape = Tape::new();
        let x: Vec<Var<f64>> = inputs.iter().map(|x| tape.var(x.clone())).collect();
        (loss(&x), x)
    };
    let (y, x) = evaluate(inputs);
    if !y.is_tracked() {
        return; // The slope of a linear function is constant.
    }
    let by_grad = y.grad(&x.iter().collect::<Vec<_>>());
    let by_backward = y.backward();
    for (i, input) in inputs.iter().enumerate() {
        let mut expected = Vec::new();
        for k in 0..input.size() {
            let at = |h: f64| {
                let mut values = input.to_vec();
                values[k] += h;
                let mut moved = inputs.to_vec();
                // Back into the memory order of the input, which the operation may depend on.
                let order: Shape = order_of(input).into();
                moved[i] = Tensor::from_vec(input.shape(), values).in_memory_order(order);
                evaluate(&moved).0.item()
            };
            let h = 1e-4;
            // Fourth order, so that the error is far below what a wrong rule would cause.
            expected.push((8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h));
        }
        let expected = Tensor::from_vec(input.shape(), expected);
        for (walk, found) in [("grad", by_grad[i].value().clone()), ("backward", by_backward.wrt(&x[i]))] {
            let error = difference(&found, &expected);
            assert!(error < 1e-7, "{what}, input {i} by {walk}: off by {error:e}\n{found}\nexpected\n{expected}");
        }
    }
}

fn order_of(x: &Tensor<f64>) -> &'static [usize] {
    match x.rank() {
        4 if x.is_channels_last() && !x.is_contiguous() => &[0, 2, 3, 1],
        4 if !x.is_contiguous() => &[2, 3, 1, 0],
        rank => &[0, 1, 2, 3, 4, 5][..rank],
    }
}

/// The result of `f` at 1, 2, 3 and 8 threads, which must be the same to the bit.
#[track_caller]
pub fn same_at_any_thread_count(f: impl Fn() -> Vec<f32> + Sync) {
    let at = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| f().into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    let one = at(1);
    for threads in [2, 3, 8] {
        assert!(at(threads) == one, "{threads} threads give other bits than one");
    }
}

/// `f` panics, and says each of these.
#[track_caller]
pub fn assert_panics(f: impl FnOnce(), says: &[&str]) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    let payload = result.expect_err("expected a panic");
    let message = payload.downcast_ref::<String>().cloned();
    let message = message.or(payload.downcast_ref::<&str>().map(|s| s.to_string())).expect("a message");
    says.iter().for_each(|part| assert!(message.contains(part), "{message:?} does not say {part:?}"));
}
