//! Derivatives along a line, by difference quotients, each with what it may be off by. No tape is needed here.

use crate::Tensor;

/// A function to differentiate, from tensors to a number: to the terms that it is the sum of, always as many.
pub(super) type Phi<'a> = &'a dyn Fn(&[Tensor<f64>]) -> Vec<f64>;

/// A derivative along a line.
#[derive(Clone, Copy)]
pub(super) struct Quotient {
    pub slope: f64,
    /// What it may be off by because the steps are not small enough for the function, or it has a kink.
    pub curvature: f64,
    /// What it may be off by because the terms that change along the line are rounded.
    pub rounding: f64,
    /// What it may be off by because other terms may change by less than their rounding.
    pub hidden: f64,
}

impl Quotient {
    /// What it may be off by, as far as the terms show that change.
    pub fn visible(self) -> f64 {
        self.curvature + self.rounding
    }
}

/// One step to each side of the point.
struct Rung {
    step: f64,
    /// (φ(h) − φ(−h)) / 2h: the slope, if h is small enough.
    odd: f64,
    /// (φ(h) + φ(−h) − 2φ(0)) / 2h: nothing, if h is small enough; half the jump of the slope at a kink.
    even: f64,
    /// What rounding does to the terms that change, if the function loses nothing inside.
    rounding: f64,
    /// How much the others may change without a trace.
    hidden: f64,
}

/// Each step's part of the one before, √17, with a square to calculate with. By a whole number, steps that hit on the
/// same phase of an oscillation would do so again and again, and see none.
const RATIO: f64 = 4.123105625617661;

/// What rounding may do to a number, relative to its size; what does more is no rounding.
pub(super) const ROUNDING: f64 = 1e-6;

/// Steps along a line, one smaller than the other: small enough for the function sooner or later, too small for its
/// rounding at last. Three in a row give a quotient that is exact for polynomials of degree 6 (Romberg).
pub(super) struct Ladder<'a, F> {
    along: F,
    here: &'a [f64],
    /// How much each term changed by the last step that changed it.
    changes: Vec<f64>,
    /// The largest sum of the sizes of the terms that change.
    pub size: f64,
    /// What rounding does to the function at least, since so small a change was followed by none.
    lost: f64,
    rungs: Vec<Rung>,
    next: f64,
    last: f64,
}

impl<'a, F: Fn(f64) -> Vec<f64>> Ladder<'a, F> {
    /// Steps from `first` down to about `last` along `along`, which is `here` at 0.
    pub fn new(along: F, here: &'a [f64], first: f64, last: f64) -> Ladder<'a, F> {
        Ladder {
            along,
            here,
            changes: vec![0.0; here.len()],
            size: 0.0,
            lost: 0.0,
            rungs: Vec::new(),
            next: first,
            last,
        }
    }

    /// Takes the next step; false if smaller ones are of no use.
    pub fn step(&mut self) -> bool {
        let h = self.next;
        let noise = self.rungs.last().map_or(0.0, |rung| rung.rounding);
        if h < self.last || self.best(0.0).is_some_and(|best| best.visible() <= noise / h) {
            return false;
        }
        let mut rung = Rung { step: h, odd: 0.0, even: 0.0, rounding: 0.0, hidden: 0.0 };
        let (mut changing, mut other, mut lost) = (0.0, 0.0, 0.0);
        let sides = (self.along)(h).into_iter().zip((self.along)(-h));
        for ((&here, last), (after, before)) in self.here.iter().zip(&mut self.changes).zip(sides) {
            rung.odd += (after - before) / (2.0 * h);
            rung.even += ((after - here) + (before - here)) / (2.0 * h);
            let size = here.abs().max(after.abs()).max(before.abs());
            let change = (after - here).abs().max((before - here).abs());
            if change != 0.0 {
                (changing, *last) = (changing + size, change);
            } else if *last > 0.0 && *last <= ROUNDING * size {
                lost += *last;
            } else {
                other += size;
            }
        }
        if rung.odd.is_finite() && rung.even.is_finite() {
            self.size = changing.max(self.size);
        }
        self.lost = lost.max(self.lost);
        (rung.rounding, rung.hidden) = (8.0 * f64::EPSILON * changing, f64::EPSILON * other);
        self.rungs.push(rung);
        self.next = h / RATIO;
        true
    }

    /// The quotient by the latest step.
    pub fn latest(&self) -> Option<Quotient> {
        self.quotient(self.rungs.len() - 1, 0.0)
    }

    /// The quotient with the smallest error, if rounding does at least `noise` to the function.
    pub fn best(&self, noise: f64) -> Option<Quotient> {
        let confirmed = |i: usize| {
            let quotient = self.quotient(i, noise)?;
            // Values without rhyme or reason meet by chance, but not where the next step leads.
            let lead =
                self.quotient(i + 1, noise).map_or(0.0, |next| (next.slope - quotient.slope).abs() - next.rounding);
            Some(Quotient { curvature: quotient.curvature.max(lead), ..quotient })
        };
        (0..self.rungs.len()).filter_map(confirmed).min_by(|a, b| a.visible().total_cmp(&b.visible()))
    }

    /// The quotient by a step and the two before it; `None` where the function is not finite there.
    fn quotient(&self, last: usize, noise: f64) -> Option<Quotient> {
        let [a, b, c] = self.rungs.get(last.checked_sub(2)?..=last)? else { return None };
        // The errors of the odd part are powers h², h⁴, …; each line gets rid of one.
        let [ab, bc] = [(17.0 * b.odd - a.odd) / 16.0, (17.0 * c.odd - b.odd) / 16.0];
        let slope = (289.0 * bc - ab) / 288.0;
        // The even part is a jump + αh + βh³ + …; this is the jump.
        let weights = [1.0, -18.0 * RATIO, 289.0];
        let jump = (weights[0] * a.even + weights[1] * b.even + weights[2] * c.even) / weights.iter().sum::<f64>();
        let curvature = (slope - bc).abs() + jump.abs();
        // The weights above add up to less than 2.
        let rounding = 2.0 * a.rounding.max(b.rounding).max(c.rounding).max(self.lost).max(noise) / c.step;
        let quotient = Quotient { slope, curvature, rounding, hidden: a.hidden / a.step };
        quotient.visible().is_finite().then_some(quotient)
    }
}

/// What rounding does to a function that is `here` at 0, seen by its values at nine places at distance `spacing` along
/// a line, all on one side, lest a kink be taken for noise: differences of fourth order leave little else (J. Moré and
/// S. Wild, Estimating computational noise, 2011). 0 where the function is not finite.
pub(super) fn measured_noise(along: impl Fn(f64) -> Vec<f64>, here: &[f64], spacing: f64) -> f64 {
    let change = |k: i32| along(f64::from(k) * spacing).iter().zip(here).map(|(there, here)| there - here).sum();
    let mut values: Vec<f64> = (1..=9).map(change).collect();
    for _ in 0..4 {
        values = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    }
    // The variance of a fourth difference of independent errors is 8!/(4!)² times theirs.
    let variance = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64 / 70.0;
    if variance.is_finite() { 8.0 * variance.sqrt() } else { 0.0 }
}
