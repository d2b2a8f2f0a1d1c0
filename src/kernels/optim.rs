//! The update rules of the optimisers, element by element, in one pass over parameter, gradient and averages.
//!
//! Differences such as 1 − β are options of their own: taken in f64, they lose nothing where β is close to 1.

use super::number;
use crate::function;

function!(
    /// p ← p − lr·g.
    pub SgdStep { lr } |p, g| p - lr * g
);

function!(
    /// b ← μb + g; p ← p − lr·b.
    pub MomentumStep { lr, mu } |p, b, g| -> [p, b] {
        let b = mu * b + g;
        let p = p - lr * b;
    }
);

function!(
    /// s ← αs + rest·g², rest = 1 − α; p ← p − lr·g/(√s + ε).
    pub RmsPropStep { lr, alpha, rest, eps } |p, s, g| -> [p, s] {
        let s = alpha * s + rest * (g * g);
        let p = p - lr * (g / (s.sqrt() + eps));
    }
);

function!(
    /// m ← β₁m + rest₁·g; v ← β₂v + rest₂·g²; p ← p − step_size·m/(√v/root + ε), with restᵢ = 1 − βᵢ,
    /// step_size = lr/(1 − β₁ᵗ), root = √(1 − β₂ᵗ).
    pub AdamStep { beta1, rest1, beta2, rest2, step_size, root, eps } |p, m, v, g| -> [p, m, v] {
        let m = beta1 * m + rest1 * g;
        let v = beta2 * v + rest2 * (g * g);
        let p = p - step_size * (m / (v.sqrt() / root + eps));
    }
);

function!(
    /// y ← decay·y + rest·x, rest = 1 − decay.
    pub Average { decay, rest } |y, x| decay * y + rest * x
);

function!(
    /// x held to low..=high; NaN stays NaN, since a number in its place would hide it.
    pub Clamp { low, high } |x| low.if_above(x, low, x.if_above(high, high, x))
);

function!(
    /// What [`Clamp`] lets pass of a gradient g at x.
    pub ClampGate { low, high } |g, x| x.if_at_most(high, low.if_at_most(x, g, number(0.0)), number(0.0))
);
