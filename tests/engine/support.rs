//! What several test files share: numbers that look random, memory orders, and derivatives of both orders.

use wengert::gradcheck::{gradcheck, gradgradcheck};
use wengert::{Rng, Shape, Tensor, Var};

/// Numbers in −1..1 that look random, the same for the same seed.
pub fn noise(shape: impl Into<Shape>, seed: u64) -> Tensor<f64> {
    Rng::seed(seed).uniform(shape, -1.0, 1.0)
}

/// The largest difference between two tensors, relative to the largest element (or 1); infinite where one is not
/// finite.
pub fn difference(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_vec(), b.to_vec());
    if a.iter().chain(&b).any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let scale = a.iter().chain(&b).fold(1.0, |m: f64, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / scale
}

#[track_caller]
pub fn assert_close(a: &Tensor<f64>, b: &Tensor<f64>, tolerance: f64) {
    let found = difference(a, b);
    assert!(found <= tolerance, "differ by {found:e}:\n{a}\n{b}");
}

/// Checks the first and the second derivative of `f`, by both walks of the tape.
#[track_caller]
pub fn check_gradients(f: impl Fn(&[Var<f64>]) -> Var<f64>, inputs: &[Tensor<f64>]) {
    gradcheck(&f, inputs).unwrap_or_else(|failure| panic!("{failure}"));
    gradgradcheck(&f, inputs).unwrap_or_else(|failure| panic!("{failure}"));
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
