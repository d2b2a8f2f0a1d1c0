//! Formulas that are applied to every element: written once, compiled for `f32` and `f64`, printed as OpenCL C.

#[cfg(feature = "opencl")]
use std::any::TypeId;
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::number::{Number, private};

/// A formula of `N` numbers with `M` results, applied to every element of tensors: a value without fields, or with its
/// options as fields. [`function!`](crate::function) makes one.
///
/// ```
/// use wengert::compute::{by_element, source};
/// use wengert::{Tensor, function};
///
/// function!(Leaky { slope } |x| x.if_positive(x, slope * x));
///
/// let x = Tensor::<f32>::from_vec([3], vec![-1.0, 0.0, 2.0]);
/// assert_eq!(by_element(Leaky { slope: 0.5 }, [&x]).to_vec(), [-0.5, 0.0, 2.0]);
/// assert!(source(&Leaky { slope: 0.5 }).contains("x0 > (real)0.0 ? x0 : t0"));
/// ```
pub trait Function<const N: usize, const M: usize = 1>: Copy + Send + Sync + 'static {
    /// Whether the options are all that tells two values of the type apart, so that they share a program of a device.
    #[doc(hidden)]
    const IS_ITS_OPTIONS: bool = false;

    /// The values of the options, in the order in which the formula numbers them.
    fn options(&self) -> Vec<f64> {
        Vec::new()
    }

    /// The formula; `#[inline(always)]`, so that loops of it become vectors.
    fn apply<X: Number>(&self, x: [X; N]) -> [X; M];

    // How it is applied: y ← the first result at every place, or all results, which begin as the first inputs. What is
    // here is compiled with each use. [`function!`](crate::function) writes one of the two once more, into code that is
    // not generic: there the loops are compiled with the formula.
    crate::__function!(@each [#[doc(hidden)]] N, M);
    crate::__function!(@update [#[doc(hidden)]] N, M);
}

/// What a device knows a formula by.
#[cfg(feature = "opencl")]
#[derive(Clone, Debug)]
pub struct Printed {
    /// Its name in the source.
    pub name: &'static str,
    /// The type, and the source where the options alone do not tell it: a formula may have other fields.
    pub key: (TypeId, String),
    /// The options.
    pub options: Vec<f64>,
}

#[cfg(feature = "opencl")]
impl Printed {
    /// That of a function.
    pub fn new<F: Function<N, M>, const N: usize, const M: usize>(function: &F) -> Printed {
        let options = function.options();
        let source = if F::IS_ITS_OPTIONS { String::new() } else { source(function) };
        Printed { name: name_of::<F>(), key: (TypeId::of::<F>(), source), options }
    }
}

/// Of `module::Name<Parameter>`, or of `<Type as Trait>::method::Name` within a method, the name.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let (mut depth, mut start, mut end) = (0, 0, path.len());
    for (i, letter) in path.char_indices() {
        match letter {
            '<' => {
                end = if depth == 0 { i } else { end };
                depth += 1;
            }
            // Not the arrow of a function's type.
            '>' if !path[..i].ends_with('-') => depth -= 1,
            ':' if depth == 0 => (start, end) = (i + 1, path.len()),
            _ => {}
        }
    }
    &path[start..end]
}

/// Defines a [`Function`]: its name, the names of its options (numbers, `f64` fields of the value), its inputs, and the
/// formula. Several results are named after an arrow, and are the variables of these names at the end of the body;
/// [`compute::update_alike`](crate::compute::update_alike) applies such a function.
///
/// Inputs and options are numbers of a type `X`, see [`Number`](crate::Number). A constant is written `number(1.0)`, or
/// `number::<X>(1.0)` as the first operand of an operator; a bare `1.0` does not compile. A choice is
/// [`if_positive`](crate::Number::if_positive) or one of its kin instead of an `if`.
///
/// ```
/// use wengert::{Function, function, number};
///
/// function!(Softplus |x| x.if_positive(x, number(0.0)) + (-x.abs()).exp().ln_1p());
/// function!(Elu { alpha } |x| x.if_positive(x, alpha * (x.exp() - number(1.0))));
/// function!(
///     /// Momentum: b ← μb + g, p ← p − lr·b.
///     Momentum { lr, mu } |p, b, g| -> [p, b] {
///         let b = mu * b + g;
///         let p = p - lr * b;
///     }
/// );
///
/// assert_eq!(Softplus.apply([0.0]), [2f64.ln()]);
/// assert_eq!(Momentum { lr: 0.5, mu: 0.0 }.apply([1.0, 3.0, 2.0]), [0.0, 2.0]);
/// ```
#[macro_export]
macro_rules! function {
    (
        $(#[$doc:meta])* $public:vis $name:ident $({ $($option:ident),+ $(,)? })?
        |$($x:ident),+ $(,)?| -> [$($y:ident),+ $(,)?] { $($body:tt)* }
    ) => {
        $crate::__function!(@value [$(#[$doc])*] [$public] $name $({ $($option),+ })?);
        $crate::__function!(@function update $name [$($($option),+)?] [$($x),+] [$($y),+] { $($body)* });
    };
    (
        $(#[$doc:meta])* $public:vis $name:ident $({ $($option:ident),+ $(,)? })?
        |$($x:ident),+ $(,)?| $body:expr $(,)?
    ) => {
        $crate::__function!(@value [$(#[$doc])*] [$public] $name $({ $($option),+ })?);
        $crate::__function!(@function each $name [$($($option),+)?] [$($x),+] [y] { let y = $body; });
    };
}

/// What [`function!`](crate::function) is made of.
#[doc(hidden)]
#[macro_export]
macro_rules! __function {
    (@function $loops:ident $name:ident [$($option:ident),*] [$($x:ident),+] [$($y:ident),+] { $($body:tt)* }) => {
        impl $crate::Function<{ [$(stringify!($x)),+].len() }, { [$(stringify!($y)),+].len() }> for $name {
            const IS_ITS_OPTIONS: bool = true;

            fn options(&self) -> ::std::vec::Vec<f64> {
                ::std::vec![$(self.$option),*]
            }

            #[inline(always)]
            fn apply<X: $crate::Number>(
                &self,
                [$($x),+]: [X; { [$(stringify!($x)),+].len() }],
            ) -> [X; { [$(stringify!($y)),+].len() }] {
                $crate::__function!(@bind self, X, 0, $($option),*);
                $($body)*
                [$($y),+]
            }

            $crate::__function!(@$loops [] { [$(stringify!($x)),+].len() }, { [$(stringify!($y)),+].len() });
        }
    };
    (@each [$($hidden:tt)*] $N:expr, $M:expr) => {
        $crate::__function!(@each [$($hidden)*] each_f32 f32 $N);
        $crate::__function!(@each [$($hidden)*] each_f64 f64 $N);
    };
    (@each [$($hidden:tt)*] $each:ident $T:ident $N:expr) => {
        $($hidden)*
        #[inline(never)]
        fn $each(&self, nest: &$crate::compute::Nest<{ $N }>, x: [&[$T]; $N], y: &mut [$T]) {
            let f = *self;
            $crate::compute::loops::each(nest, x, y, #[inline(always)] move |x| $crate::Function::apply(&f, x)[0]);
        }
    };
    (@update [$($hidden:tt)*] $N:expr, $M:expr) => {
        $crate::__function!(@update [$($hidden)*] update_f32 f32 $N, $M);
        $crate::__function!(@update [$($hidden)*] update_f64 f64 $N, $M);
    };
    (@update [$($hidden:tt)*] $update:ident $T:ident $N:expr, $M:expr) => {
        $($hidden)*
        #[inline(never)]
        fn $update(&self, x: &[&[$T]], y: [&mut [$T]; $M]) {
            let f = *self;
            $crate::compute::loops::update_alike(x, y, #[inline(always)] move |x: [$T; $N]| {
                $crate::Function::apply(&f, x)
            });
        }
    };
    (@value [$(#[$doc:meta])*] [$public:vis] $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        $public struct $name;
    };
    (@value [$(#[$doc:meta])*] [$public:vis] $name:ident { $($option:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        $public struct $name {
            $(
                #[allow(missing_docs, reason = "what an option is, the formula tells, and the text above it")]
                $public $option: f64
            ),+
        }
    };
    (@bind $self:ident, $X:ident, $index:expr, $option:ident $(, $rest:ident)*) => {
        let $option = $X::option($index, $self.$option);
        $crate::__function!(@bind $self, $X, $index + 1, $($rest),*);
    };
    (@bind $self:ident, $X:ident, $index:expr,) => {};
}

/// An expression that the printer writes.
#[derive(Clone, Copy)]
enum Expression {
    Input(usize),
    Option(usize),
    Literal(f64),
    /// The result of a line of the source.
    Line(usize),
}

thread_local! {
    /// The right-hand sides of the text that [`source`] is writing.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn line(text: String) -> Expression {
    LINES.with_borrow_mut(|lines| {
        lines.push(text);
        Expression::Line(lines.len() - 1)
    })
}

/// A formula as a function of OpenCL C over a type `real`: the inputs, then the options, then where the results go. No
/// method of the formula, which could give another text: a device compiles and runs it.
pub fn source<F: Function<N, M>, const N: usize, const M: usize>(function: &F) -> String {
    LINES.take();
    let results = function.apply(std::array::from_fn(Expression::Input));
    let name = name_of::<F>();
    let inputs = (0..N).map(|i| format!("real x{i}"));
    let options = (0..function.options().len()).map(|i| format!("real c{i}"));
    let outputs = (0..M).map(|i| format!("real *y{i}"));
    let parameters: Vec<String> = inputs.chain(options).chain(outputs).collect();
    let mut source = format!("void {name}({}) {{\n", parameters.join(", "));
    for (i, text) in LINES.take().iter().enumerate() {
        let _ = writeln!(source, "    real t{i} = {text};");
    }
    for (i, result) in results.iter().enumerate() {
        let _ = writeln!(source, "    *y{i} = {result};");
    }
    source + "}\n"
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Input(i) => write!(f, "x{i}"),
            Expression::Option(i) => write!(f, "c{i}"),
            Expression::Line(i) => write!(f, "t{i}"),
            Expression::Literal(x) if x.is_nan() => write!(f, "NAN"),
            Expression::Literal(x) if x.is_infinite() => f.write_str(if *x < 0.0 { "(-INFINITY)" } else { "INFINITY" }),
            Expression::Literal(x) => write!(f, "(real){x:?}"),
        }
    }
}

macro_rules! infix {
    ($($trait:ident $method:ident $sign:literal),+) => {
        $(impl $trait for Expression {
            type Output = Expression;
            fn $method(self, other: Expression) -> Expression {
                line(format!(concat!("{} ", $sign, " {}"), self, other))
            }
        })+
    };
}

infix!(Add add "+", Sub sub "-", Mul mul "*", Div div "/");

impl Neg for Expression {
    type Output = Expression;
    fn neg(self) -> Expression {
        line(format!("-{self}"))
    }
}

impl Number for Expression {
    fn of(x: f64) -> Self {
        Expression::Literal(x)
    }
    fn option(index: usize, _value: f64) -> Self {
        Expression::Option(index)
    }
    fn abs(self) -> Self {
        line(format!("fabs({self})"))
    }
    fn exp(self) -> Self {
        line(format!("exp({self})"))
    }
    fn exp_negative(self) -> Self {
        self.exp()
    }
    fn ln(self) -> Self {
        line(format!("log({self})"))
    }
    fn ln_1p(self) -> Self {
        line(format!("log1p({self})"))
    }
    fn sqrt(self) -> Self {
        line(format!("sqrt({self})"))
    }
    fn sin(self) -> Self {
        line(format!("sin({self})"))
    }
    fn cos(self) -> Self {
        line(format!("cos({self})"))
    }
    fn tanh(self) -> Self {
        line(format!("tanh({self})"))
    }
    fn powi(self, n: i32) -> Self {
        line(format!("pown({self}, {n})"))
    }
    fn powf(self, p: Self) -> Self {
        line(format!("pow({self}, {p})"))
    }
    fn if_above(self, bound: Self, then: Self, otherwise: Self) -> Self {
        line(format!("{self} > {bound} ? {then} : {otherwise}"))
    }
    fn if_at_most(self, bound: Self, then: Self, otherwise: Self) -> Self {
        line(format!("{self} <= {bound} ? {then} : {otherwise}"))
    }
    fn if_equal(self, other: Self, then: Self, otherwise: Self) -> Self {
        line(format!("{self} == {other} ? {then} : {otherwise}"))
    }
}

impl private::Sealed for Expression {}

#[cfg(test)]
mod tests {
    use super::*;

    trait Step {
        fn source(&self) -> String;
    }

    impl Step for Vec<f32> {
        fn source(&self) -> String {
            crate::function!(InMethod | x | -x);
            source(&InMethod)
        }
    }

    #[derive(Clone, Copy)]
    struct With<P>(P);

    impl<P: Copy + Send + Sync + 'static> Function<1> for With<P> {
        fn apply<X: Number>(&self, x: [X; 1]) -> [X; 1] {
            x
        }
    }

    /// Wherever it is defined, whatever its parameters are.
    #[test]
    fn a_formula_has_its_name() {
        assert!(vec![1.0].source().starts_with("void InMethod(real x0, real *y0) {"), "{}", vec![1.0].source());
        assert!(source(&With(Some(1u8))).starts_with("void With("));
        let identity: fn(u8) -> u8 = |x| x;
        assert!(source(&With(identity)).starts_with("void With("));
    }
}
