//! Functions of one variable, applied to every element.

mod activation;

#[cfg(test)]
pub(super) use activation::{Gelu, GeluSlope, NormalDensity, Silu, SiluSlope};

use crate::compute::{by_element, compile, update_by_element};
use crate::kernels::by_element::Update;
use crate::kernels::optim::{Clamp, ClampGate};
use crate::{Backward, Element, Function, Number, Tensor, Var, function, number};

function!(pub Exp |x| x.exp());
function!(pub Ln |x| x.ln());
function!(pub Sqrt |x| x.sqrt());
function!(pub Square |x| x * x);
function!(pub Powf { p } |x| x.powf(p));
function!(
    /// xᵖ for a p that is not whole. C's pow has a value at −∞, though none below it.
    pub RealPower { p } |x| x.if_equal(number(f64::NEG_INFINITY), number(f64::NAN), x.powf(p))
);
function!(pub Abs |x| x.abs());
function!(pub Sin |x| x.sin());
function!(pub Cos |x| x.cos());
function!(pub Tanh |x| x.tanh());
function!(
    /// 1/(1 + e⁻ˣ), with the exponential of a negative number only.
    pub Sigmoid |x| -> [y] {
        let e = (-x.abs()).exp_negative();
        let below = e / (number::<X>(1.0) + e);
        let y = x.if_above(number(0.0), number::<X>(1.0) / (number::<X>(1.0) + e), below);
    }
);
function!(
    /// 1/cosh² x as 4e/(1 + e)² with e = exp(−2|x|): no overflow, and nothing cancels.
    pub SechSquared |x| -> [y] {
        let e = (number::<X>(-2.0) * x.abs()).exp_negative();
        let root = number::<X>(1.0) + e;
        let y = number::<X>(4.0) * e / (root * root);
    }
);
function!(
    /// ln(1 + eˣ) as max(x, 0) + ln(1 + e^−|x|), which neither overflows nor cancels.
    pub Softplus |x| x.if_positive(x, number(0.0)) + (-x.abs()).exp_negative().ln_1p()
);
function!(
    /// max(x, 0), but NaN for NaN: 0 would hide that training has gone wrong.
    pub Relu |x| x.if_at_most(number(0.0), number(0.0), x)
);
function!(pub LeakyRelu { slope } |x| x.if_positive(x, slope * x));
function!(
    /// What a (leaky) ReLU lets pass of a gradient g, where x > 0 or its output is.
    pub LeakyGate { slope } |g, x| x.if_positive(g, slope * g)
);
function!(
    /// Not times 0, which would make NaN of an infinite gradient.
    pub ReluGate |g, x| x.if_positive(g, number(0.0))
);
function!(
    /// g times the sign of x.
    pub SignGate |g, x| x.if_positive(g, (-x).if_positive(-g, number(0.0)))
);

compile!(Update<LeakyGate>);

/// xⁿ; the exponent is part of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Powi {
    /// n
    pub n: i32,
}

impl Function<1> for Powi {
    #[inline(always)]
    fn apply<X: Number>(&self, [x]: [X; 1]) -> [X; 1] {
        [x.powi(self.n)]
    }

    crate::__function!(@each [] 1, 1);
}

impl<T: Element> Var<T> {
    /// Records y = f(x) with the rule x̄ = `rule(ȳ, x)`, saving x.
    #[track_caller]
    fn through_input(
        &self,
        name: &'static str,
        f: impl Function<1>,
        rule: impl Fn(&Var<T>, &Var<T>) -> Var<T> + 'static,
    ) -> Var<T> {
        let (x, value) = (self.saved(), by_element(f, [self.value()]));
        Var::record(name, &[self], value, move |grad, back| back.give(0, |back| rule(grad, &back.var(&x))))
    }

    /// Records y = f(x) with the rule x̄ = `rule(ȳ, y)`, saving y.
    #[track_caller]
    fn through_output(
        &self,
        name: &'static str,
        f: impl Function<1>,
        rule: impl Fn(&Var<T>, &Var<T>) -> Var<T> + 'static,
    ) -> Var<T> {
        let value = by_element(f, [self.value()]);
        let y = value.clone();
        Var::record(name, &[self], value, move |grad, back| back.give(0, |back| rule(grad, &back.output(&y))))
    }

    /// Records y = f(x) with the rule x̄ = `rule(ȳ, x, y)`, saving both.
    #[track_caller]
    fn through_both(
        &self,
        name: &'static str,
        f: impl Function<1>,
        rule: impl Fn(&Var<T>, &Var<T>, &Var<T>) -> Var<T> + 'static,
    ) -> Var<T> {
        let (x, value) = (self.saved(), by_element(f, [self.value()]));
        let y = value.clone();
        Var::record(name, &[self], value, move |grad, back| {
            back.give(0, |back| rule(grad, &back.var(&x), &back.output(&y)));
        })
    }

    /// y = eˣ; x̄ = ȳ ⊙ y.
    #[track_caller]
    pub fn exp(&self) -> Var<T> {
        self.through_output("exp", Exp, |grad, y| grad * y)
    }

    /// y = ln x, NaN for x < 0; x̄ = ȳ / x.
    #[track_caller]
    pub fn ln(&self) -> Var<T> {
        self.through_input("ln", Ln, |grad, x| grad / x)
    }

    /// y = √x, NaN for x < 0; x̄ = ȳ / 2y, which is infinite at 0: add a small number under the root if x can vanish.
    #[track_caller]
    pub fn sqrt(&self) -> Var<T> {
        self.through_output("sqrt", Sqrt, |grad, y| grad / y * 0.5)
    }

    /// y = xⁿ for an integer n; x̄ = ȳ ⊙ n·xⁿ⁻¹, for n < 0 as ȳ ⊙ y·n/x, since xⁿ⁻¹ may be too small for the type.
    #[track_caller]
    pub fn powi(&self, n: i32) -> Var<T> {
        match n {
            ..0 => self.through_both("powi", Powi { n }, move |grad, x, y| grad * y * n as f64 / x),
            2 => self.through_input("powi", Square, |grad, x| grad * x * 2.0),
            // Without these cases the derivative of a constant would be 0·x⁻¹, NaN at 0, and never end.
            0 => self.through_input("powi", Powi { n }, |grad, _| grad * 0.0),
            1 => self.through_input("powi", Powi { n }, |grad, _| grad.clone()),
            _ => self.through_input("powi", Powi { n }, move |grad, x| grad * x.powi(n - 1) * n as f64),
        }
    }

    /// y = x²; x̄ = 2ȳ ⊙ x.
    #[track_caller]
    pub fn square(&self) -> Var<T> {
        self.powi(2)
    }

    /// y = sin x, x in radians; x̄ = ȳ ⊙ cos x.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::scalar(0.0));
    /// let slope = x.sin().grad(&[&x]).remove(0);
    /// assert_eq!(slope.item(), 1.0); // cos 0
    /// assert_eq!(slope.backward().wrt(&x).item(), 0.0); // −sin 0
    /// ```
    #[track_caller]
    pub fn sin(&self) -> Var<T> {
        self.through_input("sin", Sin, |grad, x| grad * x.cos())
    }

    /// y = cos x, x in radians; x̄ = −ȳ ⊙ sin x.
    #[track_caller]
    pub fn cos(&self) -> Var<T> {
        self.through_input("cos", Cos, |grad, x| -(grad * x.sin()))
    }

    /// y = xᵖ for a real p and x ≥ 0, NaN for x < 0 unless p is whole; x̄ = ȳ ⊙ p·xᵖ⁻¹, for p < 0 as ȳ ⊙ y·p/x.
    ///
    /// −0 counts as 0 unless p is whole.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Var<T> {
        let whole = p.fract() == 0.0;
        let rule = move |grad: &Var<T>, x: &Var<T>, y: &Var<T>| match p {
            0.0 => grad * 0.0,
            1.0 => grad.clone(),
            ..0.0 if whole => grad * y * p / x,
            ..0.0 => grad * y * p / x.abs(),
            _ => grad * x.powf(p - 1.0) * p,
        };
        if whole {
            self.through_both("powf", Powf { p }, rule)
        } else {
            self.through_both("powf", RealPower { p }, rule)
        }
    }

    /// y = |x|; x̄ = ȳ ⊙ sign x, with 0 at x = 0.
    #[track_caller]
    pub fn abs(&self) -> Var<T> {
        self.through_input("abs", Abs, |grad, x| grad.gate(x.value(), SignGate))
    }

    /// The logistic function y = 1/(1 + e⁻ˣ), without overflow; x̄ = ȳ ⊙ y(1 − y) = ȳ ⊙ ¼ sech²(x/2), which stays
    /// right where y rounds to 1.
    #[track_caller]
    pub fn sigmoid(&self) -> Var<T> {
        self.through_input("sigmoid", Sigmoid, |grad, x| grad * (x * 0.5).sech_squared() * 0.25)
    }

    /// y = tanh x; x̄ = ȳ ⊙ sech² x, which stays right where y rounds to 1, and 1 − y² to 0.
    #[track_caller]
    pub fn tanh(&self) -> Var<T> {
        self.through_input("tanh", Tanh, |grad, x| grad * x.sech_squared())
    }

    /// y = sech² x = 1/cosh² x; x̄ = −2ȳ ⊙ y ⊙ tanh x.
    #[track_caller]
    fn sech_squared(&self) -> Var<T> {
        self.through_both("sech_squared", SechSquared, |grad, x, y| grad * y * x.tanh() * -2.0)
    }

    /// y = ln(1 + eˣ); x̄ = ȳ ⊙ sigmoid x.
    ///
    /// softplus(−a) = −ln sigmoid a: the form in which the losses of a GAN work on logits.
    #[track_caller]
    pub fn softplus(&self) -> Var<T> {
        self.through_input("softplus", Softplus, |grad, x| grad * x.sigmoid())
    }

    /// y = max(x, 0), NaN for NaN; x̄ = ȳ where x > 0, else 0.
    #[track_caller]
    pub fn relu(&self) -> Var<T> {
        // y > 0 exactly where x > 0, so the output serves as well as the input, and is kept anyway.
        self.through_output("relu", Relu, |grad, y| grad.gate(y.value(), ReluGate))
    }

    /// y = x for x > 0, else slope·x; x̄ = ȳ times 1 or slope.
    ///
    /// # Panics
    /// If the slope is negative or NaN: the rule reads the sign of x off y.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Var<T> {
        assert!(slope >= 0.0, "leaky_relu: expected a slope of at least 0, found {slope}");
        self.through_output("leaky_relu", LeakyRelu { slope }, move |grad, y| grad.leaky_gate(y.value(), slope))
    }

    /// y = x held to `min..=max`; x̄ = ȳ where min ≤ x ≤ max, else 0.
    ///
    /// # Panics
    /// If min > max or either is NaN.
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Var<T> {
        assert!(min <= max, "clamp: expected min ≤ max, found {min} and {max}");
        let (low, high) = (min, max);
        self.through_input("clamp", Clamp { low, high }, move |grad, x| grad.gate(x.value(), ClampGate { low, high }))
    }

    /// A gradient, let through whole where `by` > 0 and times a slope elsewhere.
    #[track_caller]
    fn leaky_gate(&self, by: &Tensor<T>, slope: f64) -> Var<T> {
        if slope == 0.0 { self.gate(by, ReluGate) } else { self.gate(by, LeakyGate { slope }) }
    }

    /// [`leaky_gate`](Var::leaky_gate) with a slope above 0; in place if the walk records nothing.
    pub(super) fn into_leaky_gradient(mut self, by: &Tensor<T>, slope: f64, back: &Backward<T>) -> Var<T> {
        if back.records() {
            return self.leaky_gate(by, slope);
        }
        update_by_element(LeakyGate { slope }, &mut self.value, by);
        self
    }

    /// y = x ⊙ m(by), as `gate(x, by)`, the factor m being locally constant, so that x̄ = ȳ ⊙ m(by) and no gradient
    /// goes to `by`: the rule of every piecewise linear function, and its own rule.
    #[track_caller]
    pub(super) fn gate(&self, by: &Tensor<T>, gate: impl Function<2>) -> Var<T> {
        let (value, by) = (by_element(gate, [self.value(), by]), by.clone());
        Var::record("gate", &[self], value, move |grad, back| back.give(0, |_| grad.gate(&by, gate)))
    }
}
