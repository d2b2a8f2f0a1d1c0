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
    /// p ← p − lr·(g + decay·p).
    pub SgdDecayStep { lr, decay } |p, g| p - lr * (g + decay * p)
);

function!(
    /// b ← μb + g; p ← p − lr·b.
    pub MomentumStep { lr, mu } |p, b, g| -> [p, b] {
        let b = mu * b + g;
        let p = p - lr * b;
    }
);

function!(
    /// b ← μb + g + decay·p; p ← p − lr·b.
    pub MomentumDecayStep { lr, mu, decay } |p, b, g| -> [p, b] {
        let b = mu * b + (g + decay * p);
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
    /// As [`RmsPropStep`], with g + decay·p in place of g.
    pub RmsPropDecayStep { lr, alpha, rest, eps, decay } |p, s, g| -> [p, s] {
        let g = g + decay * p;
        let s = alpha * s + rest * (g * g);
        let p = p - lr * (g / (s.sqrt() + eps));
    }
);

function!(
    /// As [`RmsPropDecayStep`], with momentum: b ← μb + g/(√s + ε); p ← p − lr·b.
    pub RmsPropMomentumStep { lr, alpha, rest, eps, decay, mu } |p, s, b, g| -> [p, s, b] {
        let g = g + decay * p;
        let s = alpha * s + rest * (g * g);
        let b = mu * b + g / (s.sqrt() + eps);
        let p = p - lr * b;
    }
);

function!(
    /// As [`RmsPropDecayStep`], centred: m ← αm + rest·g, and √(s − m²) in place of √s.
    pub RmsPropCentredStep { lr, alpha, rest, eps, decay } |p, s, m, g| -> [p, s, m] {
        let g = g + decay * p;
        let s = alpha * s + rest * (g * g);
        let m = alpha * m + rest * g;
        let p = p - lr * (g / ((s - m * m).sqrt() + eps));
    }
);

function!(
    /// As [`RmsPropCentredStep`], with momentum: b ← μb + g/(√(s − m²) + ε); p ← p − lr·b.
    pub RmsPropCentredMomentumStep { lr, alpha, rest, eps, decay, mu } |p, s, b, m, g| -> [p, s, b, m] {
        let g = g + decay * p;
        let s = alpha * s + rest * (g * g);
        let m = alpha * m + rest * g;
        let b = mu * b + g / ((s - m * m).sqrt() + eps);
        let p = p - lr * b;
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
    /// As [`AdamStep`], with g + decay·p in place of g.
    pub AdamDecayStep { beta1, rest1, beta2, rest2, step_size, root, eps, decay } |p, m, v, g| -> [p, m, v] {
        let g = g + decay * p;
        let m = beta1 * m + rest1 * g;
        let v = beta2 * v + rest2 * (g * g);
        let p = p - step_size * (m / (v.sqrt() / root + eps));
    }
);

function!(
    /// As [`AdamStep`], with keep·p in place of p, keep = 1 − lr·decay.
    pub AdamWStep { beta1, rest1, beta2, rest2, step_size, root, eps, keep } |p, m, v, g| -> [p, m, v] {
        let m = beta1 * m + rest1 * g;
        let v = beta2 * v + rest2 * (g * g);
        let p = keep * p - step_size * (m / (v.sqrt() / root + eps));
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
