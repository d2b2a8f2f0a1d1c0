//! The files that PyTorch wrote: see `tests/fixtures/README.md` for the names in them.
//!
//! Read with the crate `safetensors`, not with `wengert::Archive`, so that the witness does not lean on what it judges.

#![allow(dead_code, reason = "shared by test programs that each use a part")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use wengert::{Element, Shape, Tensor};

/// A file of fixtures. It remembers which tensors were read, so that a test can show that it left none out.
pub struct Fixture {
    tensors: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

struct Stored {
    shape: Shape,
    /// Every type of the files (F64, F32, U8, and the I64 in use) is exact in f64.
    values: Vec<f64>,
}

impl Fixture {
    /// Reads `tests/fixtures/NAME.safetensors` under `root`, the root of the repository.
    pub fn open(root: &str, name: &str) -> Fixture {
        let path = format!("{root}/tests/fixtures/{name}.safetensors");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let metadata = header.metadata().iter().flatten().map(|(case, text)| (case.clone(), parse(text))).collect();
        let tensors = file.iter().map(|(name, view)| (name.to_string(), Stored::new(&view))).collect();
        Fixture { tensors, metadata, read: RefCell::default() }
    }

    /// The cases and their options, in alphabetical order.
    pub fn cases(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(case, options)| (case.as_str(), options))
    }

    /// The options of a case.
    #[track_caller]
    pub fn options(&self, case: &str) -> &Value {
        self.metadata.get(case).unwrap_or_else(|| panic!("no case {case}"))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names that begin with `prefix`, without it.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors.keys().filter_map(move |name| name.strip_prefix(prefix))
    }

    /// The elements of a tensor in row-major order.
    #[track_caller]
    pub fn values(&self, name: &str) -> &[f64] {
        &self.stored(name).values
    }

    /// A tensor, rounded to T.
    #[track_caller]
    pub fn tensor<T: Element>(&self, name: &str) -> Tensor<T> {
        let Stored { shape, values } = self.stored(name);
        Tensor::from_vec(shape, values.iter().map(|&x| T::of(x)).collect())
    }

    /// Part `i` of a tensor along its first axis: what belongs to step i.
    #[track_caller]
    pub fn part<T: Element>(&self, name: &str, i: usize) -> Tensor<T> {
        let Stored { shape, values } = self.stored(name);
        let rest = Shape::from(&shape[1..]);
        let size = rest.size();
        Tensor::from_vec(rest, values[i * size..(i + 1) * size].iter().map(|&x| T::of(x)).collect())
    }

    /// Whole numbers: indices and classes.
    #[track_caller]
    pub fn indices(&self, name: &str) -> (Shape, Vec<usize>) {
        let Stored { shape, values } = self.stored(name);
        (*shape, values.iter().map(|&x| x as usize).collect())
    }

    #[track_caller]
    fn stored(&self, name: &str) -> &Stored {
        let stored = self.tensors.get(name).unwrap_or_else(|| panic!("the file has no {name}"));
        self.read.borrow_mut().insert(name.to_string());
        stored
    }

    /// The tensors that nobody has read so far.
    pub fn unread(&self) -> Vec<&str> {
        let read = self.read.borrow();
        self.tensors.keys().map(String::as_str).filter(|&name| !read.contains(name)).collect()
    }
}

impl Stored {
    fn new(view: &TensorView) -> Stored {
        fn each<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| of(chunk)).collect()
        }
        let values = match view.dtype() {
            Dtype::F64 => each(view.data(), f64::from_le_bytes),
            Dtype::F32 => each(view.data(), |bytes| f32::from_le_bytes(bytes) as f64),
            Dtype::I64 => each(view.data(), |bytes| i64::from_le_bytes(bytes) as f64),
            Dtype::U8 => view.data().iter().map(|&byte| byte as f64).collect(),
            other => panic!("the fixtures have no {other:?}"),
        };
        Stored { shape: view.shape().into(), values }
    }
}

/// The largest differences seen, by group, for the report that `--nocapture` shows.
#[derive(Default)]
pub struct Worst(BTreeMap<String, (f64, String)>);

impl Worst {
    /// Compares a result with PyTorch's: the largest difference, relative to max(1, the largest value), must be within
    /// `tolerance`.
    #[track_caller]
    pub fn compare<T: Element>(
        &mut self,
        group: &str,
        what: &str,
        found: &Tensor<T>,
        expected: &Tensor<f64>,
        tolerance: f64,
    ) {
        self.compare_to(group, what, found, expected, (1.0, tolerance));
    }

    /// As [`compare`](Worst::compare), relative to max(`floor`, the largest value).
    #[track_caller]
    pub fn compare_to<T: Element>(
        &mut self,
        group: &str,
        what: &str,
        found: &Tensor<T>,
        expected: &Tensor<f64>,
        (floor, tolerance): (f64, f64),
    ) {
        assert_eq!(found.shape(), expected.shape(), "{what}: our shape, and PyTorch's");
        let (found, expected) = (found.to_vec(), expected.to_vec());
        let scale = expected.iter().fold(floor, |scale: f64, x| scale.max(x.abs()));
        let pairs = found.iter().zip(&expected).enumerate();
        // Not `f64::max`, which drops a NaN: a NaN is the largest difference.
        let (i, error) = pairs.map(|(i, (a, b))| (i, (a.f64() - b).abs())).fold((0, 0.0), |worst, (i, error)| {
            if error <= worst.1 { worst } else { (i, if error.is_nan() { f64::INFINITY } else { error }) }
        });
        let relative = if error == 0.0 { 0.0 } else { error / scale };
        assert!(
            relative <= tolerance,
            "{what}: element {i} is {}, PyTorch has {}: {relative:.1e} of the scale {scale:.1e}, allowed \
             {tolerance:.0e}",
            found[i],
            expected[i]
        );
        let worst = self.0.entry(group.to_string()).or_default();
        if relative >= worst.0 {
            *worst = (relative, what.to_string());
        }
    }

    /// Prints the largest difference of each group.
    pub fn report(&self, title: &str) {
        for (group, (error, what)) in &self.0 {
            println!("{title}: {group}: {error:.1e} in {what}");
        }
    }
}
