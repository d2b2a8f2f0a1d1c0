//! GELU and SiLU: x times a weight that goes smoothly from 0 to 1.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{SechSquared, Sigmoid};
use crate::{Element, Number, Var, function, number};

function!(
    /// x·Φ(x)
    pub Gelu |x| x * distribution(x, bell(x))
);
function!(
    /// Φ(x) + x·φ(x), the slope of GELU.
    pub GeluSlope |x| -> [y] {
        let bell = bell(x);
        let y = distribution(x, bell) + x * (number::<X>(DENSITY_AT_0) * bell);
    }
);
function!(
    /// φ(x) = e^(−x²/2)/√(2π)
    pub NormalDensity |x| number::<X>(DENSITY_AT_0) * bell(x)
);
function!(
    /// x·σ(x), σ being the logistic function.
    pub Silu |x| x * Sigmoid.apply([x])[0]
);
function!(
    /// σ(x) + x·σ'(x) with σ'(x) = ¼ sech²(x/2), the slope of SiLU.
    pub SiluSlope |x| Sigmoid.apply([x])[0] + number::<X>(0.25) * x * SechSquared.apply([number::<X>(0.5) * x])[0]
);

/// φ(0) = 1/√(2π)
const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;

/// The series in Chebyshev's polynomials Tₖ(2t − 1), the first term halved, of erfc(z)·e^(z²)/t with t = 2/(2 + z), for
/// all z ≥ 0: what follows is below 3e-16. Computed with 40 digits, from 60 points of the function.
const SCALED_ERFC: [f64; 24] = [
    1.1540674772329393,
    0.3554369212704985,
    0.06509515882878653,
    0.003671142395836639,
    -0.0011128447433526325,
    -0.0001607582991537908,
    3.278031574173137e-5,
    5.442441645505016e-6,
    -1.5154665553171482e-6,
    -1.4297608181169865e-7,
    8.234608827419493e-8,
    -1.2962846852306563e-9,
    -4.154721631015199e-9,
    6.347058278362811e-10,
    1.4320822712256225e-10,
    -6.160390105204585e-11,
    2.0612138554721698e-12,
    3.5714931488477042e-12,
    -8.586422843251796e-13,
    -6.14560021379063e-14,
    7.418725748596617e-14,
    -1.2895042755032325e-14,
    -2.358726385710632e-15,
    1.5729349381685912e-15,
];

/// e^(−x²/2)
#[inline(always)]
fn bell<X: Number>(x: X) -> X {
    (number::<X>(-0.5) * (x * x)).exp_negative()
}

/// Φ(x), how much of the normal distribution lies below x, from x and e^(−x²/2).
///
/// Neither C's erf, which the processor has no vectors for, nor tanh, which is off by 3e-4: arithmetic, one exponential
/// and no choice of ranges, and right to the last places far below 0 too, where 1 + erf(x/√2) would cancel.
#[inline(always)]
fn distribution<X: Number>(x: X, bell: X) -> X {
    let t = number::<X>(1.0) / (number::<X>(1.0) + number::<X>(0.5 * FRAC_1_SQRT_2) * x.abs());
    // Clenshaw's recurrence.
    let s = number::<X>(4.0) * t - number(2.0);
    let (mut sum, mut last) = (number::<X>(0.0), number::<X>(0.0));
    for &coefficient in SCALED_ERFC[1..].iter().rev() {
        (sum, last) = (s * sum - last + number(coefficient), sum);
    }
    let series = number::<X>(0.5) * (s * sum + number(SCALED_ERFC[0])) - last;
    let tail = number::<X>(0.5) * t * bell * series;
    x.if_positive(number::<X>(1.0) - tail, tail)
}

impl<T: Element> Var<T> {
    /// GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) y = x·Φ(x), Φ being the distribution function of the normal
    /// distribution, whose density is φ; x̄ = ȳ ⊙ (Φ(x) + x·φ(x)). PyTorch's default, not its approximation by tanh.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([2], vec![0.0, 1.0]));
    /// let y = x.gelu();
    /// assert_eq!(format!("{:.6}", y.value()), "[0.000000, 0.841345]");
    /// assert_eq!(format!("{:.6}", y.sum().backward().wrt(&x)), "[0.500000, 1.083315]");
    /// ```
    #[track_caller]
    pub fn gelu(&self) -> Var<T> {
        self.through_input("gelu", Gelu, |grad, x| grad * x.gelu_slope())
    }

    /// y = Φ(x) + x·φ(x); x̄ = ȳ ⊙ φ(x)·(2 − x²).
    #[track_caller]
    fn gelu_slope(&self) -> Var<T> {
        self.through_input("gelu_slope", GeluSlope, |grad, x| {
            let density = x.normal_density();
            grad * (&density * 2.0 - x * (x * &density)) // not φ·(2 − x²), which is 0·∞ for large x
        })
    }

    /// y = φ(x) = e^(−x²/2)/√(2π); x̄ = −ȳ ⊙ y ⊙ x.
    #[track_caller]
    fn normal_density(&self) -> Var<T> {
        self.through_both("normal_density", NormalDensity, |grad, x, y| -(grad * y * x))
    }

    /// SiLU, or Swish, y = x·sigmoid x; x̄ = ȳ ⊙ (sigmoid x + x·sigmoid′ x).
    #[track_caller]
    pub fn silu(&self) -> Var<T> {
        self.through_input("silu", Silu, |grad, x| grad * x.silu_slope())
    }

    /// y = σ(x) + x·σ′(x), σ = sigmoid; x̄ = ȳ ⊙ σ′(x)·(2 − x·tanh(x/2)), since σ″ = −σ′·tanh(x/2).
    #[track_caller]
    fn silu_slope(&self) -> Var<T> {
        self.through_input("silu_slope", SiluSlope, |grad, x| {
            let half = x * 0.5;
            grad * half.sech_squared() * 0.25 * (2.0 - x * half.tanh())
        })
    }
}
