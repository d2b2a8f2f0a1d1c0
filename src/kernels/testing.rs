//! What the tests of several kernels share: values, and how to compare results.

use super::Element;

/// Reproducible values in −1..1.
pub fn noise<T: Element>(len: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| T::of(next())).collect()
}

/// ‖got − want‖ / ‖want‖, where both zero is 0.
pub fn error<T: Element>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference: f64 = got.iter().zip(want).map(|(g, w)| (g.f64() - w).powi(2)).sum();
    let size: f64 = want.iter().map(|w| w * w).sum();
    if difference == 0.0 { 0.0 } else { (difference / size.max(f64::MIN_POSITIVE)).sqrt() }
}

/// The same values in f64.
pub fn widen<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.f64()).collect()
}

/// The relative error that a sum of products may have.
pub fn tolerance<T: Element>() -> f64 {
    if T::NAME == "f32" { 6e-6 } else { 1e-13 }
}

/// Runs `f` on pools of several sizes and asserts that the bits agree.
pub fn same_bits_on_any_threads<T: Element>(f: impl Fn() -> Vec<T> + Sync) {
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    let one = on(1);
    for threads in [2, 3, 8] {
        // NaN equals nothing, so a value that was never written fails here too.
        assert!(one == on(threads), "{threads} threads");
    }
}
