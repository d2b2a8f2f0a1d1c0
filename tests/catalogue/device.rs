//! Every operation on a device against the processor: the value and the gradients of first and of second order, in both
//! scalar types. The device is the first one, PoCL's where there is no other; without one these tests fail, since they
//! would say nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wengert::{Counts, Device, Element, Tensor};

use crate::table::{Entry, Sampler, Scalar, as_it_is, entry, first, second};
use crate::{Bound, F32, F64, compare, failures, for_all};

/// Operations whose value is a formula of the elements at each place, or an element from elsewhere.
const BY_ELEMENT: [&str; 51] = [
    "abs",
    "add",
    "affine",
    "broadcast_to",
    "clamp",
    "concat",
    "cos",
    "div",
    "dropout",
    "exp",
    "flatten",
    "flip",
    "global_max_pool2d",
    "index_select",
    "leaky_relu",
    "ln",
    "max",
    "max_axes",
    "max_pool2d",
    "maximum",
    "min",
    "min_axes",
    "minimum",
    "mul",
    "narrow",
    "neg",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "powf",
    "powi",
    "relu",
    "repeat",
    "reshape",
    "sigmoid",
    "silu",
    "sin",
    "slice",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "t",
    "tanh",
    "unsqueeze",
    "upsample_nearest",
    "where_cond",
];

/// Units in the last place by which such a value may differ from the processor's. OpenCL allows 3 for exp, 5 for tanh
/// and 16 for powers; PoCL's differ by up to 3.
const ULPS: f64 = 4.0;

/// For products and convolutions, which the processor may do by Winograd's transformations, see [`crate::WINOGRAD`].
const PRODUCT_F32: Bound = Bound { largest: 5.5e-5, frobenius: 1e-5 };
const PRODUCT_F64: Bound = Bound { largest: 1e-13, frobenius: 2e-14 };

/// Single numbers of second order, such as the derivative of a variance by its cotangent, nearly cancel: off by up to
/// 1.4e-13.
const SECOND_F64: Bound = Bound { largest: 3e-13, frobenius: 3e-13 };

/// The device, and nobody else who uses it: what it counts is of one test at a time.
fn device() -> (Device, MutexGuard<'static, ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::opencl(0);
    (device.unwrap_or_else(|error| panic!("this test needs an OpenCL device, such as PoCL's: {error}")), alone)
}

/// The layout of inputs that live on the device.
fn there<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    Device::opencl(0).and_then(|device| x.to(&device)).unwrap_or_else(|error| panic!("{error}"))
}

/// The largest difference of two elements, in units of the last place of the expected one.
fn ulps<T: Element>(found: &Tensor<T>, expected: &Tensor<T>) -> f64 {
    let pairs = found.to_vec().into_iter().zip(expected.to_vec());
    let different = pairs.filter(|(f, e)| f != e && !(f.is_nan() && e.is_nan()));
    different.fold(0.0, |most, (found, expected)| {
        let exponent = expected.f64().abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
        let ulps = (found.f64() - expected.f64()).abs() / (T::epsilon().f64() * exponent.exp2());
        if ulps.is_nan() { f64::INFINITY } else { most.max(ulps) }
    })
}

/// The bounds of first and second order for an operation in `T`.
fn bounds<T: Element>(entry: &Entry) -> [Bound; 2] {
    match (entry.name.starts_with("conv") || entry.name == "matmul", T::NAME) {
        (true, "f32") => [PRODUCT_F32; 2],
        (true, _) => [PRODUCT_F64; 2],
        (false, "f32") => [F32; 2],
        (false, _) => [F64, SECOND_F64],
    }
}

/// Runs an entry on the device twice, and on the processor; `count` is told what the first run did.
fn check<T: Scalar>(entry: &Entry, inputs: &[Tensor<f64>], count: &dyn Fn(Counts)) -> Result<(), String> {
    let run = |layout| [first::<T>(entry, inputs, layout), second::<T>(entry, inputs, layout).0];
    let device = Device::opencl(0).unwrap();
    let before = device.counts();
    let found = run(there);
    count(device.counts() - before);
    let told = |error: String| format!("{}: {error}", T::NAME);
    if found[0].iter().any(|result| result.device() != device) {
        return Err(told("a result does not live on the device".into()));
    }
    let bits = |results: &[Vec<Tensor<T>>; 2]| -> Vec<Vec<u64>> {
        results.iter().flatten().map(|x| x.to_vec().into_iter().map(|x| x.f64().to_bits()).collect()).collect()
    };
    if bits(&found) != bits(&run(there)) {
        return Err(told("two runs give different bits".into()));
    }
    let expected = run(as_it_is);
    let off = ulps(&found[0][0], &expected[0][0]);
    if BY_ELEMENT.contains(&entry.name) && off > ULPS {
        return Err(told(format!("the value differs by up to {off} units of the last place, allowed {ULPS}")));
    }
    for (i, bound) in bounds::<T>(entry).into_iter().enumerate() {
        compare(&found[i], &expected[i], bound).map_err(|error| told(format!("order {}: {error}", i + 1)))?;
    }
    Ok(())
}

/// The names of operations that have done something.
type Names = Mutex<BTreeSet<&'static str>>;

/// Checks in both types. Notes who was helped by the processor, and who read values back on the way.
fn check_both(entry: &Entry, inputs: &[Tensor<f64>], [helped, read]: &[Names; 2]) -> Result<(), String> {
    let count = |counts: Counts| {
        // The processor reads what it helps with.
        let names = if counts.fallbacks > 0 { helped } else { read };
        if counts.fallbacks > 0 || counts.down > 0 {
            names.lock().unwrap().insert(entry.name);
        }
    };
    check::<f32>(entry, inputs, &count)?;
    let has_f64 = Device::opencl(0).unwrap().check::<f64>().is_ok();
    if has_f64 { check::<f64>(entry, inputs, &count) } else { Ok(()) }
}

#[test]
fn every_operation_agrees_with_the_processor() {
    let (_device, names) = (device(), <[Names; 2]>::default());
    for_all(7, |entry, inputs| check_both(entry, inputs, &names));
    let [helped, read] = names.map(|names| names.into_inner().unwrap());
    assert!(read.is_empty(), "these operations read values back on the way: {read:?}");
    assert!(helped.is_empty(), "these operations have kernels without a form for devices: {helped:?}");
}

#[test]
fn what_goes_wrong_on_a_device_is_noticed() {
    let (_device, names) = (device(), <[Names; 2]>::default());
    let samples = || Sampler::new(1).samples(&[&[&[40]]]);
    let here = |x: &Tensor<f32>| x.device().is_host();
    let mut wrong = vec![
        entry!("exp", samples(), |x| x[0].exp(), |x| x[0].clone()),
        entry!("ln", samples(), |x| x[0].exp(), |x| x[0].clone()),
        entry!("sum", samples(), |x| x[0].sum(), |x| x[0].clone()),
        entry!("abs", samples(), |x| x[0].value().map(|x| x).into(), |x| x[0].clone()),
    ];
    wrong[0].f32 = Box::new(move |x| x[0].exp() * if here(x[0].value()) { 1.0 } else { 1.0 + 1e-6 });
    wrong[1].f32 = Box::new(move |x| x[0].value().to(&Device::host()).unwrap().into());
    wrong[2].f32 = Box::new(move |x| x[0].sum() * f64::from(x[0].sum().item()));
    let (_, told) = failures(&wrong, |entry, inputs| check_both(entry, inputs, &names));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("exp on (40): f32: the value differs by up to "), "{}", told[0]);
    assert!(told[1].starts_with("ln on (40): f32: a result does not live on the device"), "{}", told[1]);
    let [helped, read] = names.map(|names| names.into_inner().unwrap());
    assert_eq!((helped, read), (BTreeSet::from(["abs"]), BTreeSet::from(["ln", "sum"])));
}
