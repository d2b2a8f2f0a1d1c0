//! What a wrong call tells: the operation, every shape, and the line of the caller.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use wengert::{Shape, Tape, Tensor};

use crate::{bad_calls, catalogue};

/// Operations that no shape is wrong for.
const TAKES_ANY_SHAPE: [&str; 27] = [
    "gan_discriminator",
    "gan_generator",
    "gan_generator_saturating",
    "hinge_discriminator",
    "hinge_generator",
    "wasserstein_critic",
    "wasserstein_generator",
    "affine",
    "neg",
    "exp",
    "ln",
    "sqrt",
    "sigmoid",
    "tanh",
    "softplus",
    "sin",
    "cos",
    "square",
    "gelu",
    "silu",
    "powi",
    "powf",
    "abs",
    "relu",
    "sum",
    "mean",
    "to",
];

thread_local! {
    /// The file and the message of the last panic on this thread, while `panic_of` runs.
    static CAUGHT: RefCell<Option<Option<(String, String)>>> = const { RefCell::new(None) };
}

/// The file in which `f` is said to have panicked, and the message.
fn panic_of(f: impl FnOnce()) -> Option<(String, String)> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let caught = CAUGHT.with_borrow_mut(|caught| {
                let file = info.location().map(|location| location.file().to_string()).unwrap_or_default();
                let message = crate::text_of(info.payload());
                caught.as_mut().map(|caught| *caught = Some((file, message)))
            });
            if caught.is_none() {
                outer(info);
            }
        }));
    });
    CAUGHT.set(Some(None));
    let result = catch_unwind(AssertUnwindSafe(f));
    let caught = CAUGHT.take().flatten();
    result.err().and(caught)
}

#[test]
fn wrong_calls_name_the_operation_the_shapes_and_the_line() {
    let mut failures = Vec::new();
    for bad in bad_calls() {
        let shapes: Vec<String> = bad.shapes.iter().map(|shape| Shape::from(shape).to_string()).collect();
        let call = format!("{} on {}", bad.name, shapes.join(" and "));
        let tape = Tape::new();
        let inputs: Vec<_> = bad.shapes.iter().map(|shape| tape.var(Tensor::zeros(shape))).collect();
        let Some((file, message)) = panic_of(|| (bad.call)(&inputs)) else {
            failures.push(format!("{call}: no panic"));
            continue;
        };
        // sum_axes and sum are one operation, which says "sum".
        let operation = bad.name.trim_end_matches("_axes");
        if !message.starts_with(&format!("{operation}: ")) {
            failures.push(format!("{call}: the message does not begin with the operation: {message}"));
        }
        for part in shapes.iter().map(String::as_str).chain([bad.also]).filter(|part| !message.contains(part)) {
            failures.push(format!("{call}: the message lacks {part}: {message}"));
        }
        if !file.contains("tests/catalogue") && !file.contains("tests\\catalogue") {
            failures.push(format!("{call}: the panic points at {file}, not at the caller"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_operation_that_can_be_called_wrongly_is() {
    let wrong: BTreeSet<_> = bad_calls().iter().map(|bad| bad.name).chain(TAKES_ANY_SHAPE).collect();
    let missing: BTreeSet<_> =
        catalogue().iter().map(|entry| entry.name).filter(|name| !wrong.contains(name)).collect();
    assert!(missing.is_empty(), "no wrong call in the catalogue: {missing:?}");
}

#[test]
fn a_consumed_tape_names_the_line() {
    let mut failures = Vec::new();
    for entry in catalogue().iter().filter(|entry| !entry.grid) {
        let tape = Tape::new();
        let inputs: Vec<_> = entry.samples[0].iter().map(|x| tape.var(x.clone())).collect();
        let _ = tape.var(Tensor::scalar(0.0)).backward();
        match panic_of(|| drop((entry.f64)(&inputs))) {
            Some((file, message)) if file.contains("catalogue") && message.contains("consumed this tape") => {}
            // Nothing to record: an operand that has the shape already.
            None if ["sum_to", "broadcast_to"].contains(&entry.name) => {}
            other => failures.push(format!("{} {}: {other:?}", entry.name, entry.label)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
