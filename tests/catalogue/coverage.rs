//! Whether the table has every operation: the sources are read for the names under which operations record, and for the
//! public methods that return a `Var`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::catalogue;
use crate::table::{as_it_is, second};

/// The calls that put a name on the tape, each followed by that name.
const RECORDS: [&str; 4] = ["Var::record(", "through_input(", "through_output(", "through_both("];

/// Public methods that return a `Var`, but are no operations.
const NO_OPERATIONS: [&str; 0] = [];

/// The names under which a source records, and what could not be read.
fn recorded_names(source: &str) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut unread) = (BTreeSet::new(), Vec::new());
    for call in RECORDS {
        for (at, _) in source.match_indices(call) {
            let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let line = source[line_start..].lines().next().unwrap_or_default().trim();
            let argument = source[at + call.len()..].trim_start();
            let literal = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
            match literal {
                Some(name) => drop(names.insert(name.to_string())),
                // The definitions of the helpers, and the calls in them, whose name is a parameter.
                None if line.starts_with("//") || line.starts_with("fn ") || argument.starts_with("name,") => {}
                None => unread.push(line.to_string()),
            }
        }
    }
    (names, unread)
}

/// The public methods of a source that return a `Var`.
fn public_methods(source: &str) -> BTreeSet<String> {
    let signatures = source.match_indices("pub fn ").map(|(at, _)| {
        let rest = &source[at + "pub fn ".len()..];
        &rest[..rest.find('{').unwrap_or(rest.len())]
    });
    let of_var = signatures.filter(|signature| signature.contains("-> Var<T>") || signature.contains("-> (Var<T>,"));
    of_var.map(|signature| signature.split(['(', '<']).next().unwrap_or_default().trim().to_string()).collect()
}

/// The text of every source of the operations.
fn sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))],
        })
        .collect()
}

fn operations() -> String {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops")).concat()
}

/// The names that the table really puts on tapes, on the way there and back, of first and of second order.
fn names_on_tapes() -> BTreeSet<String> {
    let small = |inputs: &&Vec<wengert::Tensor<f64>>| inputs.iter().all(|x| x.size() < 1000);
    let entries = catalogue();
    let runs = entries.iter().flat_map(|entry| entry.samples.iter().filter(small).map(move |inputs| (entry, inputs)));
    runs.flat_map(|(entry, inputs)| second::<f64>(entry, inputs, as_it_is).1).map(str::to_string).collect()
}

#[test]
fn every_recorded_name_is_in_the_table() {
    let (names, unread) = recorded_names(&operations());
    assert!(unread.is_empty(), "expected a name in quotes after Var::record( in: {unread:#?}");
    assert!(names.len() > 20 && names.contains("add") && names.contains("tanh"), "{names:?}");
    let missing: Vec<_> = names.difference(&names_on_tapes()).cloned().collect();
    assert!(missing.is_empty(), "recorded in src/ops, but by no entry of the catalogue: {missing:?}");
}

#[test]
fn every_public_method_is_in_the_table() {
    let methods = public_methods(&operations());
    assert!(methods.len() > 20 && methods.contains("sum_axes") && methods.contains("mean"), "{methods:?}");
    let entries: BTreeSet<_> = catalogue().iter().map(|entry| entry.name).chain(NO_OPERATIONS).collect();
    let missing: Vec<_> = methods.iter().filter(|method| !entries.contains(method.as_str())).collect();
    assert!(missing.is_empty(), "public in src/ops, but no entry of the catalogue: {missing:?}");
}

#[test]
fn an_operation_that_is_missing_is_noticed() {
    let source = r#"
        pub fn forgotten<S: Into<Shape>>(
            &self,
            shape: S,
        ) -> Var<T> {
            // Var::record(comments do not count)
            Var::record(
                "forgotten", &[self], value, rule)
        }
        pub fn with_statistics(&self) -> (Var<T>, BatchStats<T>) { todo!() }
        pub fn size(&self) -> usize { 0 }
        fn helper(&self) -> Var<T> { self.through_output("helped", T::exp, |g, y| g * y) }
        Var::record(NAME, &[self], value, rule)
    "#;
    let (names, unread) = recorded_names(source);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["forgotten", "helped"]);
    assert_eq!(unread, ["Var::record(NAME, &[self], value, rule)"]);
    assert_eq!(public_methods(source).into_iter().collect::<Vec<_>>(), ["forgotten", "with_statistics"]);
    assert!(!names_on_tapes().contains("forgotten"));
    assert!(!catalogue().iter().any(|entry| entry.name == "forgotten"));
}
