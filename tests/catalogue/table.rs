//! What an entry of the catalogue is, and how it is run.

use ndarray::ArrayD;
use wengert::{Element, Rng, Shape, Tape, Tensor, Var};

/// The operation in one scalar type.
pub type Function<T> = Box<dyn Fn(&[Var<T>]) -> Var<T> + Send + Sync>;

/// What the operation should compute, by other means than the library's.
pub type Reference = Box<dyn Fn(&[ArrayD<f64>]) -> ArrayD<f64> + Send + Sync>;

/// An operation, possibly with options, and inputs to try it on.
pub struct Entry {
    /// The name of the method, or of the operator.
    pub name: &'static str,
    /// The options, if any.
    pub label: String,
    /// One of many of the same operation, of which costly checks take every seventh.
    pub grid: bool,
    pub f32: Function<f32>,
    pub f64: Function<f64>,
    pub reference: Reference,
    /// Inputs in row-major memory; values are exact in `f32`.
    pub samples: Vec<Vec<Tensor<f64>>>,
}

/// `entry!("exp", samples, |x| x[0].exp(), |x| x[0].mapv(f64::exp))`: a function written once, for both scalar types,
/// samples for it, and its value as arrays give it.
macro_rules! entry {
    ($name:literal, $samples:expr, |$x:ident| $body:expr, |$a:ident| $reference:expr) => {
        $crate::table::Entry {
            name: $name,
            label: String::new(),
            grid: false,
            f32: Box::new(move |$x: &[wengert::Var<f32>]| $body),
            f64: Box::new(move |$x: &[wengert::Var<f64>]| $body),
            reference: Box::new(move |$a: &[ndarray::ArrayD<f64>]| $reference),
            samples: $samples,
        }
    };
    ($name:literal, $samples:expr, |$x:ident| $body:expr) => {
        compile_error!(concat!(
            $name,
            ": the entry has no reference: expected a second closure, from arrays to the value"
        ))
    };
}
pub(crate) use entry;

impl Entry {
    /// Tells the options.
    pub fn with(self, label: impl Into<String>) -> Entry {
        Entry { label: label.into(), ..self }
    }

    /// One of many.
    pub fn in_grid(self) -> Entry {
        Entry { grid: true, ..self }
    }
}

/// A call whose result does not matter.
pub type Call = Box<dyn Fn(&[Var<f64>])>;

/// A wrong call, which must panic with the operation and every shape.
pub struct Bad {
    pub name: &'static str,
    pub shapes: Vec<Vec<usize>>,
    pub call: Call,
    /// What the message must tell besides.
    pub also: &'static str,
}

/// `bad!("add", [[2], [3]], |x| &x[0] + &x[1])`: inputs of these shapes are refused.
macro_rules! bad {
    ($name:literal, [$($shape:expr),*], |$x:ident| $body:expr) => { bad!($name, [$($shape),*], |$x| $body, "") };
    ($name:literal, [$($shape:expr),*], |$x:ident| $body:expr, $also:literal) => {
        $crate::table::Bad {
            name: $name,
            shapes: vec![$(<[usize]>::to_vec(&$shape)),*],
            call: Box::new(|$x: &[wengert::Var<f64>]| {
                let _ = $body;
            }),
            also: $also,
        }
    };
}
pub(crate) use bad;

/// Draws inputs, the same in every run.
pub struct Sampler(Rng);

impl Sampler {
    pub fn new(seed: u64) -> Sampler {
        Sampler(Rng::seed(seed))
    }

    /// Values that are exact in `f32`.
    pub fn between(&mut self, low: f64, high: f64, shape: impl Into<Shape>) -> Tensor<f64> {
        self.0.uniform::<f32>(shape, low, high).cast()
    }

    /// Values of either sign.
    pub fn any(&mut self, shape: impl Into<Shape>) -> Tensor<f64> {
        self.between(-2.0, 2.0, shape)
    }

    /// Values well above 0, for what is singular there.
    pub fn positive(&mut self, shape: impl Into<Shape>) -> Tensor<f64> {
        self.between(0.4, 2.4, shape)
    }

    /// Values of either sign, away from 0.
    pub fn nonzero(&mut self, shape: impl Into<Shape>) -> Tensor<f64> {
        let mut sign = self.any(shape).to_array();
        let size = self.positive(sign.shape());
        sign.zip_mut_with(&size.view(), |sign, size| *sign = if *sign < 0.0 { -size } else { *size });
        Tensor::from_array(&sign)
    }

    /// A sample for each list of input shapes.
    pub fn samples(&mut self, shapes: &[&[&[usize]]]) -> Vec<Vec<Tensor<f64>>> {
        shapes.iter().map(|inputs| inputs.iter().map(|&shape| self.any(shape)).collect()).collect()
    }
}

/// The scalar types, by which a check picks the function of an entry.
pub trait Scalar: Element {
    fn function(entry: &Entry) -> &Function<Self>;
}

impl Scalar for f32 {
    fn function(entry: &Entry) -> &Function<f32> {
        &entry.f32
    }
}

impl Scalar for f64 {
    fn function(entry: &Entry) -> &Function<f64> {
        &entry.f64
    }
}

/// How an input lies in memory.
pub type Layout<T> = fn(&Tensor<T>) -> Tensor<T>;

pub fn as_it_is<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    x.clone()
}

/// The output, and its gradients by `backward`, for a fixed cotangent; inputs of size 0 included.
pub fn first<T: Scalar>(entry: &Entry, inputs: &[Tensor<f64>], layout: Layout<T>) -> Vec<Tensor<T>> {
    let tape = Tape::new();
    let x: Vec<Var<T>> = inputs.iter().map(|x| tape.var(layout(&x.cast()))).collect();
    let y = T::function(entry)(&x);
    let mut results = vec![y.value().clone()];
    let loss = (&y * cotangent(&y)).sum();
    if loss.is_tracked() {
        let gradients = loss.backward();
        results.extend(x.iter().map(|x| gradients.wrt(x)));
    }
    results
}

/// The gradients by `grad`, and the gradients of their product with fixed vectors; and the names on the tape.
pub fn second<T: Scalar>(
    entry: &Entry,
    inputs: &[Tensor<f64>],
    layout: Layout<T>,
) -> (Vec<Tensor<T>>, Vec<&'static str>) {
    let tape = Tape::new();
    let x: Vec<Var<T>> = inputs.iter().map(|x| tape.var(layout(&x.cast()))).collect();
    let wrt: Vec<&Var<T>> = x.iter().collect();
    let y = T::function(entry)(&x);
    let r = tape.var(cotangent(&y).into_value());
    let gradients = (&y * &r).sum().grad(&wrt);
    let mut results: Vec<Tensor<T>> = gradients.iter().map(|g| g.value().clone()).collect();
    // The vectors are variables too, so that rules of rules that depend on nothing else are put on the tape.
    let product = gradients.iter().map(|g| (g * tape.var(cotangent(g).into_value())).sum()).reduce(|a, b| a + b);
    if let Some(product) = product.filter(Var::is_tracked) {
        let wrt: Vec<&Var<T>> = wrt.into_iter().chain([&r]).collect();
        results.extend(product.grad(&wrt).into_iter().map(Var::into_value));
    }
    (results, tape.names())
}

fn cotangent<T: Element>(y: &Var<T>) -> Var<T> {
    let r = Sampler::new(7).nonzero(y.shape()).cast();
    r.into()
}

/// The largest difference of two elements, and the root mean square of all differences, over the root mean square of
/// `expected`; infinite for NaN against a number.
pub fn distance<A: Element, B: Element>(found: &Tensor<A>, expected: &Tensor<B>) -> [f64; 2] {
    assert_eq!(found.shape(), expected.shape());
    let pairs: Vec<(f64, f64)> =
        found.to_vec().into_iter().map(A::f64).zip(expected.to_vec().into_iter().map(B::f64)).collect();
    let rms = |squares: f64| (squares / pairs.len().max(1) as f64).sqrt();
    // Of the finite ones: an infinite size would hide every difference.
    let size = rms(pairs.iter().map(|(_, e)| e * e).filter(|square| square.is_finite()).sum());
    let same = |(f, e): &&(f64, f64)| f == e || (f.is_nan() && e.is_nan());
    let differences = || pairs.iter().filter(|pair| !same(pair)).map(|(f, e)| (f - e).abs());
    let largest = differences().fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) });
    if largest == 0.0 { [0.0; 2] } else { [largest / size, rms(differences().map(|d| d * d).sum()) / size] }
}
