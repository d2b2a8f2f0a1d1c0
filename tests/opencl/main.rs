//! The OpenCL path against the processor, on the first device: PoCL where there is no other. Without a device these
//! tests fail, since they would say nothing.

mod formulas;
mod gradcheck;
mod maps;
mod moving;
mod norms;
mod products;
mod softmaxes;
mod spectral;
mod values;

use std::sync::{Mutex, PoisonError};

use wengert::{Counts, Device, Element, Rng, Shape, Tape, Tensor, Var};

/// Runs `f` on the device, alone: what it counts is of one test at a time.
#[track_caller]
fn with_device<R>(f: impl FnOnce(&Device) -> R) -> R {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::opencl(0);
    f(&device.unwrap_or_else(|error| panic!("these tests need an OpenCL device, such as PoCL's: {error}")))
}

fn noise<T: Element>(shape: &[usize], seed: u64) -> Tensor<T> {
    Rng::seed(seed).normal(shape.iter().copied().collect::<Shape>())
}

/// The largest difference of two tensors, relative to the root mean square of the second; infinite for NaN against a
/// number.
fn distance<T: Element>(found: &Tensor<T>, expected: &Tensor<T>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.to_vec(), expected.to_vec());
    let square: f64 = expected.iter().map(|x| x.f64() * x.f64()).sum();
    let scale = (square / expected.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE);
    let different = found.iter().zip(&expected).filter(|(a, b)| !(a == b || (a.is_nan() && b.is_nan())));
    let distances = different.map(|(a, b)| (a.f64() - b.f64()).abs() / scale);
    distances.fold(0.0, |most, distance| if distance.is_nan() { f64::INFINITY } else { most.max(distance) })
}

/// Runs `f` with the tensors on the host and on the device, where it must run twice with the same bits, without the
/// processor's help and reading nothing back; both results, that of the device second, brought home.
#[track_caller]
fn both<T: Element>(f: impl Fn(&[Tensor<T>]) -> Vec<Tensor<T>>, inputs: &[Tensor<T>]) -> [Vec<Tensor<T>>; 2] {
    with_device(|device| {
        let there: Vec<Tensor<T>> = inputs.iter().map(|x| x.to(device).unwrap()).collect();
        let before = device.counts();
        let found = f(&there);
        let counts: Counts = device.counts() - before;
        assert_eq!((counts.fallbacks, counts.down), (0, 0), "done by the processor, or read back: {counts:?}");
        for (found, again) in found.iter().zip(f(&there)) {
            assert_eq!(found.device(), *device, "where the result lives");
            let bits = |x: &Tensor<T>| x.to_vec().iter().map(|x| x.f64().to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(found), bits(&again), "two runs");
        }
        [f(inputs), found.iter().map(|x| x.to(&Device::host()).unwrap()).collect()]
    })
}

/// Whether the device holds `T`; if it holds f32 alone, it adds up in f32 as well.
fn holds<T: Element>() -> bool {
    with_device(|device| device.check::<T>().is_ok())
}

/// [`both`], which must differ by no more than `bound`, where the device holds `T`.
#[track_caller]
fn agree<T: Element>(case: &str, bound: f64, f: impl Fn(&[Tensor<T>]) -> Vec<Tensor<T>>, inputs: &[Tensor<T>]) {
    if !holds::<T>() {
        return;
    }
    let [expected, found] = both(f, inputs);
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let distance = distance(found, expected);
        assert!(distance <= bound, "{case}, {}, result {i}: off by {distance:e}, allowed {bound:e}", T::NAME);
    }
}

/// y = f(x) and its derivatives: the gradients of Σ weight ⊙ y by [`Var::backward`] and by [`Var::grad`], and those of
/// the norm of the latter.
fn orders<T: Element>(x: &[Tensor<T>], f: impl Fn(&[Var<T>]) -> Var<T>, weight: &Tensor<T>) -> Vec<Tensor<T>> {
    let start = || {
        let tape = Tape::new();
        let vars: Vec<Var<T>> = x.iter().map(|x| tape.var(x.clone())).collect();
        let y = f(&vars);
        let loss = (&y * Var::from(weight)).sum();
        (vars, y, loss)
    };
    let (vars, y, loss) = start();
    let mut results = vec![y.value().clone()];
    let first = loss.backward();
    results.extend(vars.iter().map(|x| first.wrt(x)));
    let (vars, _, loss) = start();
    let gradients = loss.grad(&vars.iter().collect::<Vec<_>>());
    results.extend(gradients.iter().map(|g| g.value().clone()));
    let norm = gradients.iter().map(|g| g.powi(2).sum()).reduce(|a, b| a + b).expect("an input");
    // The gradients of a linear operation depend on nothing, those of others not on every input.
    if norm.is_tracked() {
        let second = norm.backward();
        results.extend(vars.iter().filter_map(|x| second.get(x).cloned()));
    }
    results
}
