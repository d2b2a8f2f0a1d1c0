//! What gradients say of a line, against what difference quotients say.

use super::Check;
use super::quotients::Quotient;

/// The largest error of a quotient, relative to the derivative, by which a derivative can be judged.
const RESOLUTION: f64 = 1e-3;

/// A gradient to judge: its name, and its entries, those of all inputs one after the other in row-major order.
pub(super) type Gradient = (&'static str, Vec<f64>);

/// A direction that moves a group of entries, and what gradients say of it.
pub(super) struct Line {
    claims: Vec<Claim>,
    /// The shortest of the entries' steps.
    shortest: f64,
    /// The step of the entry, sign included, if there is but one.
    alone: Option<f64>,
}

/// What a gradient says: the slope, and the least of the terms that it is the sum of, one for each entry.
struct Claim {
    walk: &'static str,
    slope: f64,
    least: f64,
}

/// What a test along a line finds.
pub(super) enum Verdict {
    /// The error, in units of what is allowed.
    Right(f64),
    /// If one entry is alone, these are its derivatives.
    Wrong { walk: &'static str, analytic: f64, numeric: f64, uncertainty: f64 },
    /// No steps are small enough.
    Kink,
    /// Steps that are small enough are too small for the rounding of the function.
    Unresolved,
}

impl Line {
    pub fn new(direction: &[(usize, f64)], gradients: &[Gradient]) -> Line {
        let least = |terms: &mut dyn Iterator<Item = f64>| terms.map(f64::abs).fold(f64::INFINITY, f64::min);
        let claim = |(walk, gradient): &Gradient| {
            let terms = || direction.iter().map(|&(k, d)| gradient[k] * d);
            Claim { walk, slope: terms().sum(), least: least(&mut terms()) }
        };
        let claims = gradients.iter().map(claim).collect();
        let alone = if let [(_, step)] = direction { Some(*step) } else { None };
        Line { claims, shortest: least(&mut direction.iter().map(|&(_, d)| d)), alone }
    }

    /// Whether a quotient's error hardly adds to what is allowed; `size` is that of the function.
    pub fn is_sharp(&self, check: &Check, quotient: Quotient, size: f64) -> bool {
        let allowed = |claim: &Claim| check.rtol * claim.least + self.absolute(check, size);
        self.claims.iter().all(|claim| quotient.visible() <= allowed(claim) / 4.0)
    }

    /// Whether every gradient is right, and if not, what is wrong with the first that is not.
    pub fn verdict(&self, check: &Check, quotient: Quotient, size: f64) -> Verdict {
        let mut worst = 0.0f64;
        for claim in &self.claims {
            match self.weigh(claim, check, quotient, size) {
                Verdict::Right(error) => worst = worst.max(error),
                verdict => return verdict,
            }
        }
        Verdict::Right(worst)
    }

    fn weigh(&self, claim: &Claim, check: &Check, quotient: Quotient, size: f64) -> Verdict {
        let Quotient { slope, curvature, rounding, hidden } = quotient;
        let (visible, all) = (quotient.visible(), quotient.visible() + hidden);
        let derivative = if self.alone.is_some() { claim.least.max(slope.abs()) } else { claim.least };
        let error = (claim.slope - slope).abs();
        let allowed = check.rtol * derivative + self.absolute(check, size);
        // What agrees with a derivative that stands out needs no regard for what other terms may hide.
        let stands_out = visible < RESOLUTION * claim.least.min(slope.abs());
        let vanishes = all <= check.atol * self.shortest;
        let margin = allowed + if stands_out { visible } else { all };
        if error <= margin && (stands_out || vanishes) {
            return Verdict::Right(if error == 0.0 { 0.0 } else { error / margin });
        }
        if visible > (RESOLUTION * derivative).max(check.atol * self.shortest) && curvature > rounding {
            Verdict::Kink
        } else if error > allowed + all {
            let step = self.alone.unwrap_or(1.0);
            let [analytic, numeric, uncertainty] = [claim.slope, slope, all].map(|x| x / step);
            Verdict::Wrong { walk: claim.walk, analytic, numeric, uncertainty: uncertainty.abs() }
        } else {
            Verdict::Unresolved
        }
    }

    /// The absolute error allowed: `atol` for each step, less for a function that is smaller than the step.
    fn absolute(&self, check: &Check, size: f64) -> f64 {
        check.atol * self.shortest.min(size)
    }
}
