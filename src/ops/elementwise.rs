//! Functions of one variable, applied to every element.

use crate::{Backward, Element, Tensor, Var};

/// Where [`Var::gate`] lets a gradient through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gate {
    /// x > 0 passes whole, the rest times a slope.
    Positive { slope: f64 },
    /// The sign of x: −1, 0 or 1.
    Sign,
    /// `min` ≤ x ≤ `max` passes, the rest is stopped.
    Between { min: f64, max: f64 },
}

impl<T: Element> Var<T> {
    /// Records y = f(x) with the rule x̄ = `rule(ȳ, x)`, saving x.
    #[track_caller]
    fn through_input(
        &self,
        name: &'static str,
        f: impl Fn(T) -> T + Sync + Copy,
        rule: impl Fn(&Var<T>, &Var<T>) -> Var<T> + 'static,
    ) -> Var<T> {
        let x = self.saved();
        Var::record(name, &[self], self.value().map(f), move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |back| rule(grad, &back.var(&x)));
        })
    }

    /// Records y = f(x) with the rule x̄ = `rule(ȳ, y)`, saving y.
    #[track_caller]
    fn through_output(
        &self,
        name: &'static str,
        f: impl Fn(T) -> T + Sync + Copy,
        rule: impl Fn(&Var<T>, &Var<T>) -> Var<T> + 'static,
    ) -> Var<T> {
        let value = self.value().map(f);
        let y = value.clone();
        Var::record(name, &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |back| rule(grad, &back.output(&y)));
        })
    }

    /// y = eˣ; x̄ = ȳ ⊙ y.
    #[track_caller]
    pub fn exp(&self) -> Var<T> {
        self.through_output("exp", T::exp, |grad, y| grad * y)
    }

    /// y = ln x, NaN for x < 0; x̄ = ȳ / x.
    #[track_caller]
    pub fn ln(&self) -> Var<T> {
        self.through_input("ln", T::ln, |grad, x| grad / x)
    }

    /// y = √x, NaN for x < 0; x̄ = ȳ / 2y, which is infinite at 0: add a small number under the root if x can vanish.
    #[track_caller]
    pub fn sqrt(&self) -> Var<T> {
        self.through_output("sqrt", T::sqrt, |grad, y| grad / y * 0.5)
    }

    /// y = xⁿ for an integer n; x̄ = ȳ ⊙ n·xⁿ⁻¹.
    #[track_caller]
    pub fn powi(&self, n: i32) -> Var<T> {
        self.through_input(
            "powi",
            move |x| x.powi(n),
            move |grad, x| match n {
                // Without this case the derivative of a constant would be 0·x⁻¹, NaN at 0, and never end.
                0 => grad * 0.0,
                1 => grad.clone(),
                2 => grad * x * 2.0,
                _ => grad * x.powi(n.saturating_sub(1)) * n as f64,
            },
        )
    }

    /// y = xᵖ for a real p and x ≥ 0, NaN for x < 0 unless p is whole; x̄ = ȳ ⊙ p·xᵖ⁻¹.
    #[track_caller]
    pub fn powf(&self, p: f64) -> Var<T> {
        let exponent = T::of(p);
        self.through_input(
            "powf",
            move |x| x.powf(exponent),
            move |grad, x| match p {
                0.0 => grad * 0.0,
                1.0 => grad.clone(),
                _ => grad * x.powf(p - 1.0) * p,
            },
        )
    }

    /// y = |x|; x̄ = ȳ ⊙ sign x, with 0 at x = 0.
    #[track_caller]
    pub fn abs(&self) -> Var<T> {
        self.through_input("abs", T::abs, |grad, x| grad.gate(x.value(), Gate::Sign))
    }

    /// The logistic function y = 1/(1 + e⁻ˣ), without overflow; x̄ = ȳ ⊙ y(1 − y).
    #[track_caller]
    pub fn sigmoid(&self) -> Var<T> {
        self.through_output("sigmoid", sigmoid, |grad, y| grad * (y - y.powi(2)))
    }

    /// y = tanh x; x̄ = ȳ ⊙ (1 − y²).
    #[track_caller]
    pub fn tanh(&self) -> Var<T> {
        self.through_output("tanh", T::tanh_by_exp, |grad, y| grad * (1.0 - y.powi(2)))
    }

    /// y = ln(1 + eˣ), computed as max(x, 0) + ln(1 + e^−|x|), which neither overflows nor cancels; x̄ = ȳ ⊙ sigmoid x.
    ///
    /// softplus(−a) = −ln sigmoid a: the form in which the losses of a GAN work on logits.
    #[track_caller]
    pub fn softplus(&self) -> Var<T> {
        let f = |x: T| x.max(T::zero()) + (-x.abs()).exp().ln_1p();
        self.through_input("softplus", f, |grad, x| grad * x.sigmoid())
    }

    /// y = max(x, 0), NaN for NaN; x̄ = ȳ where x > 0, else 0.
    #[track_caller]
    pub fn relu(&self) -> Var<T> {
        self.through_output(
            "relu",
            // Not `max`, which would turn NaN to 0 and hide that training has gone wrong.
            |x| if x <= T::zero() { T::zero() } else { x },
            |grad, y| {
                // y > 0 exactly where x > 0, so the output serves as well as the input, and is kept anyway.
                grad.gate(y.value(), Gate::Positive { slope: 0.0 })
            },
        )
    }

    /// y = x for x > 0, else slope·x; x̄ = ȳ times 1 or slope.
    ///
    /// # Panics
    /// If the slope is negative or NaN: the rule reads the sign of x off y.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Var<T> {
        assert!(slope >= 0.0, "leaky_relu: expected a slope of at least 0, found {slope}");
        let s = T::of(slope);
        let f = move |x: T| if x > T::zero() { x } else { s * x };
        self.through_output("leaky_relu", f, move |grad, y| grad.gate(y.value(), Gate::Positive { slope }))
    }

    /// y = x held to `min..=max`; x̄ = ȳ where min ≤ x ≤ max, else 0.
    ///
    /// # Panics
    /// If min > max or either is NaN.
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Var<T> {
        assert!(min <= max, "clamp: expected min ≤ max, found {min} and {max}");
        let (low, high) = (T::of(min), T::of(max));
        let f = move |x: T| {
            if x < low {
                low
            } else if x > high {
                high
            } else {
                x
            }
        };
        self.through_input("clamp", f, move |grad, x| grad.gate(x.value(), Gate::Between { min, max }))
    }

    /// A gradient, let through whole where `by` > 0 and times a slope elsewhere; in place if the walk records nothing.
    pub(super) fn into_leaky_gradient(mut self, by: &Tensor<T>, slope: f64, back: &Backward<T>) -> Var<T> {
        if back.records() {
            return self.gate(by, Gate::Positive { slope });
        }
        let slope = T::of(slope);
        self.value.zip_assign(by, move |x, by| if by > T::zero() { x } else { slope * x });
        self
    }

    /// y = x ⊙ m(by), the factor m being a [`Gate`] that is locally constant, so that x̄ = ȳ ⊙ m(by) and no gradient
    /// goes to `by`: the rule of every piecewise linear function, and its own rule.
    #[track_caller]
    pub(super) fn gate(&self, by: &Tensor<T>, gate: Gate) -> Var<T> {
        let (zero, x) = (T::zero(), self.value());
        let value = match gate {
            // Not times 0, which would make NaN of an infinite gradient.
            Gate::Positive { slope: 0.0 } => x.zip(by, *x.shape(), move |x, by| if by > zero { x } else { zero }),
            Gate::Positive { slope } => {
                let slope = T::of(slope);
                x.zip(by, *x.shape(), move |x, by| if by > zero { x } else { slope * x })
            }
            Gate::Sign => x.zip(by, *x.shape(), move |x, by| match by {
                by if by > zero => x,
                by if by < zero => -x,
                _ => zero,
            }),
            Gate::Between { min, max } => {
                let (min, max) = (T::of(min), T::of(max));
                x.zip(by, *x.shape(), move |x, by| if by >= min && by <= max { x } else { zero })
            }
        };
        let by = by.clone();
        Var::record("gate", &[self], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad.gate(&by, gate));
        })
    }
}

/// 1/(1 + e⁻ˣ), with the exponential of a negative number only.
#[inline(always)]
fn sigmoid<T: Element>(x: T) -> T {
    let e = (-x.abs()).exp();
    if x >= T::zero() { T::one() / (T::one() + e) } else { e / (T::one() + e) }
}
