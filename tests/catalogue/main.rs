//! The catalogue: one table of all operations, over which every kind of check runs.
//!
//! An operation that is not in the table fails `coverage`. To add one, put an `entry!` with sample inputs and a
//! reference, and a `bad!` for every way to call it wrongly, into the file of its family.
//!
//! `WENGERT_OP=conv2d cargo test -p wengert --test catalogue` runs the checks on the entries of that name only, and
//! `WENGERT_OP=exp,ln` on those of either. A name that no entry has fails, and tells which there are. Tests of the
//! table as a whole ignore the variable. `WENGERT_MOST=100` leaves out samples of more elements in all, for a machine
//! that is slow, or emulated.

mod coverage;
#[cfg(feature = "opencl")]
mod device;
mod elements;
mod losses;
mod maps;
mod messages;
mod norms;
mod products;
mod reference;
mod shapes;
mod table;
mod values;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use table::{Bad, Entry, Layout, Sampler, Scalar, as_it_is, distance, first, second};
use wengert::gradcheck::{Check, Failure, Report};
use wengert::{DeviceError, Element, Level, Tensor};

/// All operations.
fn catalogue() -> Vec<Entry> {
    let families =
        [elements::entries, shapes::entries, products::entries, maps::entries, norms::entries, losses::entries];
    // A sampler for each, so that an entry more does not give every later one other samples.
    let samplers = (1..).map(Sampler::new);
    families.into_iter().zip(samplers).flat_map(|(family, mut sampler)| family(&mut sampler)).collect()
}

/// All wrong calls.
fn bad_calls() -> Vec<Bad> {
    let families = [
        elements::bad_calls,
        shapes::bad_calls,
        products::bad_calls,
        maps::bad_calls,
        norms::bad_calls,
        losses::bad_calls,
    ];
    families.into_iter().flat_map(|family| family()).collect()
}

/// What a panic said.
fn text_of(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.or_else(|| panic.downcast_ref::<DeviceError>().map(DeviceError::to_string)).unwrap_or_default()
}

/// Samples beyond this size are there to be cut into chunks; difference quotients would take too long.
const SMALL: usize = 4096;

/// Those of the entries that `names`, with commas between, picks; all if there are none.
fn picked(mut entries: Vec<Entry>, names: &str) -> Result<Vec<Entry>, String> {
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(format!("WENGERT_OP: no operation is called {unknown:?}; there are {}", known.join(", ")));
    }
    entries.retain(|entry| names.is_empty() || names.contains(&entry.name));
    Ok(entries)
}

/// Runs a check on every sample of every entry, or of those that `WENGERT_OP` and `WENGERT_MOST` pick; tells all that
/// fail. Of a grid, it takes one entry in `every`. `check` returns what went wrong.
fn for_all(every: usize, check: impl Fn(&Entry, &[Tensor<f64>]) -> Result<(), String>) {
    let names = std::env::var("WENGERT_OP").unwrap_or_default();
    // Thinned before it is picked from, so that what fails among all fails alone.
    let table = catalogue().into_iter().enumerate().filter(|(i, entry)| !entry.grid || i % every == 0);
    let mut entries = picked(table.map(|(_, entry)| entry).collect(), &names).unwrap_or_else(|error| panic!("{error}"));
    if let Ok(most) = std::env::var("WENGERT_MOST") {
        let most: usize = most.parse().unwrap_or_else(|error| panic!("WENGERT_MOST={most}: {error}"));
        let small = |inputs: &Vec<Tensor<f64>>| inputs.iter().map(Tensor::size).sum::<usize>() <= most;
        entries.iter_mut().for_each(|entry| entry.samples.retain(small));
    }
    let (runs, failures) = failures(&entries, check);
    println!("{} entries, {runs} runs", entries.len());
    assert!(failures.is_empty(), "{} of {runs} fail:\n{}", failures.len(), failures.join("\n"));
}

/// The number of runs, and what failed.
fn failures(entries: &[Entry], check: impl Fn(&Entry, &[Tensor<f64>]) -> Result<(), String>) -> (usize, Vec<String>) {
    let mut failures = Vec::new();
    let mut runs = 0;
    for entry in entries {
        for inputs in &entry.samples {
            let result = catch_unwind(AssertUnwindSafe(|| check(entry, inputs)));
            let result = result.unwrap_or_else(|panic| Err(text_of(&*panic)));
            runs += 1;
            if let Err(failure) = result {
                let shapes: Vec<_> = inputs.iter().map(|x| x.shape().to_string()).collect();
                let operation = format!("{} {}", entry.name, entry.label);
                failures.push(format!("{} on {}: {failure}", operation.trim_end(), shapes.join(", ")));
            }
        }
    }
    (runs, failures)
}

#[test]
fn entries_are_picked_by_name_and_an_unknown_name_is_told() {
    let names = |names: &str| -> Result<BTreeSet<&str>, String> {
        Ok(picked(catalogue(), names)?.iter().map(|entry| entry.name).collect())
    };
    assert_eq!(names("exp, conv2d"), Ok(BTreeSet::from(["conv2d", "exp"])));
    assert_eq!(names(""), Ok(catalogue().iter().map(|entry| entry.name).collect()));
    let error = names("exp,conv").unwrap_err();
    assert!(error.starts_with("WENGERT_OP: no operation is called \"conv\"; there are abs, add, "), "{error}");
}

fn check_gradient(check: Check, every: usize) {
    for_all(every, |entry, inputs| {
        let small = inputs.iter().map(Tensor::size).sum::<usize>() <= SMALL;
        let run = || -> Result<Report, Box<Failure>> { check.run(&entry.f64, inputs) };
        if small { run().map(drop).map_err(|failure| failure.to_string()) } else { Ok(()) }
    });
}

#[test]
fn gradients_of_first_order() {
    check_gradient(Check::first(), 1);
}

#[test]
fn gradients_of_second_order() {
    check_gradient(Check::second(), 7);
}

/// What results may differ by, relative to the root mean square of each.
#[derive(Clone, Copy)]
struct Bound {
    /// The largest difference.
    largest: f64,
    /// The root mean square of the differences: the relative Frobenius error.
    frobenius: f64,
}

/// 168 roundings of f32: what sums of a few thousand terms lose.
const F32: Bound = Bound { largest: 2e-5, frobenius: 2e-5 };

/// Winograd's transformations spread the rounding of the largest value of a patch over the tile: single elements lose
/// more than in a direct sum, which the choice of its points keeps to this for F(4×4, 2×2), and to less for
/// F(4×4, 3×3); all elements together hardly do.
const WINOGRAD: Bound = Bound { largest: 5.5e-5, frobenius: 6e-6 };

/// As many roundings of f64 as of f32.
const F64: Bound = Bound { largest: 4e-14, frobenius: 4e-14 };

/// The bound for an operation in f32. Winograd takes convolutions of 16 channels and more, on both sides.
fn in_f32(entry: &Entry, inputs: &[Tensor<f64>]) -> Bound {
    let wide = inputs.iter().filter(|x| x.rank() == 4).all(|x| x.shape()[1] >= 16);
    if entry.name.starts_with("conv") && wide { WINOGRAD } else { F32 }
}

/// Compares lists of results.
fn compare<A: Element, B: Element>(found: &[Tensor<A>], expected: &[Tensor<B>], bound: Bound) -> Result<(), String> {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let [largest, frobenius] = distance(found, expected);
        if largest > bound.largest || frobenius > bound.frobenius {
            return Err(format!(
                "result {i} differs by up to {largest:e}, in all by {frobenius:e} of its root mean square, \
                 allowed {:e} and {:e}",
                bound.largest, bound.frobenius
            ));
        }
    }
    Ok(())
}

#[test]
fn f32_agrees_with_f64() {
    for_all(1, |entry, inputs| {
        compare(&first::<f32>(entry, inputs, as_it_is), &first::<f64>(entry, inputs, as_it_is), in_f32(entry, inputs))
    });
}

#[test]
fn every_level_agrees_with_the_scalar_one() {
    fn check<T: Scalar>(entry: &Entry, inputs: &[Tensor<f64>], bound: Bound) -> Result<(), String> {
        let expected = Level::Scalar.scope(|| first::<T>(entry, inputs, as_it_is));
        for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
            let found = level.scope(|| first::<T>(entry, inputs, as_it_is));
            compare(&found, &expected, bound).map_err(|e| format!("{}, {}: {e}", level.name(), T::NAME))?;
        }
        Ok(())
    }
    for_all(1, |entry, inputs| {
        check::<f32>(entry, inputs, in_f32(entry, inputs)).and_then(|()| check::<f64>(entry, inputs, F64))
    });
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let pools = [1, 2, 3, 8].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    fn bits<T: Scalar>(entry: &Entry, inputs: &[Tensor<f64>]) -> Vec<Vec<u64>> {
        let mut results = first::<T>(entry, inputs, as_it_is);
        results.extend(second::<T>(entry, inputs, as_it_is).0);
        // The cast to f64 is exact.
        results.iter().map(|x| x.to_vec().into_iter().map(|x| x.f64().to_bits()).collect()).collect()
    }
    for_all(7, |entry, inputs| {
        let [one, others @ ..] = pools.each_ref().map(|pool| {
            let run = || (bits::<f32>(entry, inputs), bits::<f64>(entry, inputs));
            pool.install(run)
        });
        let same = others.iter().position(|other| *other != one);
        same.map_or(Ok(()), |i| Err(format!("{} threads give other bits than one", [2, 3, 8][i])))
    });
}

#[test]
fn every_memory_layout_gives_the_same() {
    fn reversed<T: Element>(x: &Tensor<T>) -> Tensor<T> {
        x.in_memory_order((0..x.rank()).rev().collect::<wengert::Axes>())
    }
    fn channels_last<T: Element>(x: &Tensor<T>) -> Tensor<T> {
        if x.rank() == 4 { x.channels_last() } else { x.clone() }
    }
    fn check<T: Scalar>(entry: &Entry, inputs: &[Tensor<f64>], bound: Bound) -> Result<(), String> {
        let both = |layout: Layout<T>| [first(entry, inputs, layout), second(entry, inputs, layout).0].concat();
        let expected = both(as_it_is);
        for (name, layout) in [("reversed", reversed as Layout<T>), ("channels-last", channels_last)] {
            compare(&both(layout), &expected, bound).map_err(|e| format!("{name}, {}: {e}", T::NAME))?;
        }
        Ok(())
    }
    for_all(7, |entry, inputs| {
        check::<f64>(entry, inputs, F64).and_then(|()| check::<f32>(entry, inputs, in_f32(entry, inputs)))
    });
}

#[test]
fn repeated_memory_gives_the_same() {
    /// The first entry along the first axis, repeated: stride 0.
    fn repeated<T: Element>(x: &Tensor<T>) -> Tensor<T> {
        match x.shape().first() {
            None | Some(0) => x.clone(),
            Some(&n) => {
                let mut one = *x.shape();
                one[0] = 1;
                let values = x.to_vec();
                Tensor::from_slice(one, &values[..values.len() / n]).broadcast_to(x.shape())
            }
        }
    }
    fn copied<T: Element>(x: &Tensor<T>) -> Tensor<T> {
        let x = repeated(x);
        Tensor::from_vec(*x.shape(), x.to_vec())
    }
    for_all(7, |entry, inputs| {
        let both = |layout: Layout<f64>| [first(entry, inputs, layout), second(entry, inputs, layout).0].concat();
        compare(&both(repeated), &both(copied), F64)
    });
}
