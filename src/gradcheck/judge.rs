//! Derivatives judged by difference quotients: of any function, wherever the derivatives come from.
//!
//! Entries are tested together, along a direction that moves all of a group at once, and an error must stay below what
//! is allowed to the least of them; so a group holds entries of like magnitude. A group that fails is halved, down to
//! the entries that fail by themselves.

use super::Check;
use super::line::{Gradient, Line, Verdict};
use super::quotients::{Ladder, Phi, ROUNDING, measured_noise};
use super::report::{Failure, Move, Place, Problem, Report, place_of};
use crate::{Rng, Tensor};

/// What computes the gradients to judge.
pub(super) type Gradients<'a> = &'a dyn Fn(&[Tensor<f64>]) -> Result<Vec<Gradient>, Box<Failure>>;

/// How often entries at kinks are moved before the check gives up.
const ATTEMPTS: i32 = 5;

/// How far entries at kinks are moved at most, relative to their size.
const ASIDE: f64 = 1.0 / 32.0;

/// How far apart the places are, relative to the entries, by which rounding is measured.
const SPACING: f64 = 1e-6;

/// By how much the terms of entries along a direction may differ in one group.
const ALIKE: f64 = 100.0;

/// Judges the gradients of `phi` at `inputs`; of entries at a kink, a little beside them.
pub(super) fn judge(
    check: &Check,
    phi: Phi,
    gradients: Gradients,
    inputs: &[Tensor<f64>],
    rng: &mut Rng,
) -> Result<Report, Box<Failure>> {
    let mut trial = Trial::new(check, phi, inputs, gradients(inputs)?, rng);
    let original = trial.x.clone();
    let mut open: Vec<usize> = (0..original.len()).collect();
    for attempt in 0.. {
        let wrong = trial.wrong_inputs(trial.groups(&open));
        open = std::mem::take(&mut trial.kinks);
        if let Some((failure, others)) = wrong.split_first() {
            let mut others = others.to_vec();
            others.sort_by_key(|other| other.place.as_ref().map(|place| place.input));
            return Err(Failure { moves: trial.moves(&original), others, ..failure.clone() }.into());
        }
        if open.is_empty() {
            break;
        }
        if attempt == ATTEMPTS {
            let failure = Failure::new(Problem::Rough, Some(place_of(inputs, open[0])));
            return Err(Failure { moves: trial.moves(&original), ..failure }.into());
        }
        trial.move_aside(&open, &original, ASIDE * 0.5f64.powi(attempt), gradients)?;
    }
    let unresolved: Vec<Place> = trial.unresolved.iter().map(|&k| place_of(inputs, k)).collect();
    let (entries, moves) = (original.len(), trial.moves(&original));
    if entries > 0 && unresolved.len() == entries {
        return Err(Failure { moves, ..Failure::new(Problem::Unresolved, unresolved.into_iter().next()) }.into());
    }
    Ok(Report { order: check.order, operations: Vec::new(), entries, worst: trial.worst, moves, unresolved })
}

/// A point, what the gradients are there, and what was found.
struct Trial<'a> {
    check: &'a Check,
    phi: Phi<'a>,
    rng: &'a mut Rng,
    point: Vec<Tensor<f64>>,
    /// The entries of the point, numbered as those of a gradient.
    x: Vec<f64>,
    gradients: Vec<Gradient>,
    here: Vec<f64>,
    worst: f64,
    kinks: Vec<usize>,
    unresolved: Vec<usize>,
}

impl<'a> Trial<'a> {
    fn new(
        check: &'a Check,
        phi: Phi<'a>,
        inputs: &[Tensor<f64>],
        gradients: Vec<Gradient>,
        rng: &'a mut Rng,
    ) -> Trial<'a> {
        let x = inputs.iter().flat_map(Tensor::to_vec).collect();
        let here = phi(inputs);
        let (worst, kinks, unresolved) = (0.0, Vec::new(), Vec::new());
        Trial { check, phi, rng, point: inputs.to_vec(), x, gradients, here, worst, kinks, unresolved }
    }

    /// The entries in groups of like magnitude, each in order. Those of a derivative of 0 are a group of their own.
    fn groups(&self, entries: &[usize]) -> Vec<Vec<usize>> {
        let term = |k: usize| self.gradients.iter().fold(0.0f64, |term, (_, g)| term.max(g[k].abs())) * self.scale(k);
        let mut terms: Vec<(f64, usize)> = entries.iter().map(|&k| (term(k), k)).collect();
        terms.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut largest = f64::INFINITY;
        for (term, k) in terms {
            if term < largest / ALIKE {
                largest = term;
                groups.push(Vec::new());
            }
            groups.last_mut().expect("the first term is below infinity").push(k);
        }
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups
    }

    /// Tests groups; the first entry found to be wrong of each input that has one. Once it is found, the rest of its
    /// input is left alone: where much is wrong, a list of all of it would take long, and tell no more.
    fn wrong_inputs(&mut self, groups: Vec<Vec<usize>>) -> Vec<Failure> {
        let mut wrong: Vec<Failure> = Vec::new();
        for mut group in groups {
            let told = |wrong: &[Failure], place: &Place| {
                wrong.iter().filter_map(|failure| failure.place.as_ref()).any(|told| told.input == place.input)
            };
            group.retain(|&k| !told(&wrong, &place_of(&self.point, k)));
            while let Err(failure) = self.examine(&group) {
                wrong.push(*failure);
                group.retain(|&k| !told(&wrong, &place_of(&self.point, k)));
            }
        }
        wrong
    }

    /// Tests a group, and the halves of one that fails; fails at the first entry that is wrong by itself.
    ///
    /// If both halves pass, so does the group: each entry is right within what is allowed to it, only the sum was not.
    fn examine(&mut self, group: &[usize]) -> Result<(), Box<Failure>> {
        let tests = if group.is_empty() { 0 } else { self.check.directions };
        for _ in 0..tests {
            match self.test(group) {
                Verdict::Right(error) => self.worst = self.worst.max(error),
                _ if group.len() > 1 => {
                    let (first, second) = group.split_at(group.len() / 2);
                    self.examine(first)?;
                    return self.examine(second);
                }
                Verdict::Kink => {
                    self.kinks.push(group[0]);
                    break;
                }
                Verdict::Unresolved => {
                    self.unresolved.push(group[0]);
                    break;
                }
                Verdict::Wrong { walk, analytic, numeric, uncertainty } => {
                    let failure = Failure::new(Problem::Wrong { walk }, Some(place_of(&self.point, group[0])));
                    return Err(Failure { analytic, numeric, uncertainty, ..failure }.into());
                }
            }
        }
        Ok(())
    }

    /// Tests a group along a random direction.
    fn test(&mut self, group: &[usize]) -> Verdict {
        let direction: Vec<(usize, f64)> = group.iter().map(|&k| (k, self.scale(k) * spread(self.rng))).collect();
        let line = Line::new(&direction, &self.gradients);
        let along = |t: f64| (self.phi)(&self.at(&direction, t));
        let mut ladder = Ladder::new(along, &self.here, self.check.step, self.smallest_step(group));
        while ladder.step() {
            let Some(quotient) = ladder.latest() else { continue };
            let verdict = line.verdict(self.check, quotient, ladder.size);
            if matches!(verdict, Verdict::Right(_)) && line.is_sharp(self.check, quotient, ladder.size) {
                return verdict;
            }
        }
        // What the function loses inside is measured only if the test fails without.
        let sizes: Vec<(usize, f64)> = group.iter().map(|&k| (k, size(self.x[k]))).collect();
        let noise = measured_noise(|t| (self.phi)(&self.at(&sizes, t)), &self.here, SPACING);
        let noise = if noise <= ROUNDING * ladder.size.max(ROUNDING) { noise } else { 0.0 };
        let best = ladder.best(noise);
        best.map_or(Verdict::Kink, |quotient| line.verdict(self.check, quotient, ladder.size))
    }

    /// What steps along an entry are multiples of: its size, but for that of small ones, which rarely matters.
    fn scale(&self, k: usize) -> f64 {
        self.x[k].abs().max(1.0)
    }

    /// A step that is small for any function of an entry's size, or of its distance from 0.
    fn smallest_step(&self, group: &[usize]) -> f64 {
        let sizes = group.iter().map(|&k| self.x[k].abs()).filter(|&size| size > 0.0);
        self.check.step * sizes.fold(1.0, f64::min).min(2f64.powi(-12)) * 2f64.powi(-10)
    }

    /// The point, moved t times along a direction of entries in order. What is not moved stays as it is, view or not.
    fn at(&self, direction: &[(usize, f64)], t: f64) -> Vec<Tensor<f64>> {
        let (mut start, mut direction) = (0, direction);
        let moved = |x: &Tensor<f64>| {
            let end = start + x.size();
            let (mine, others) = direction.split_at(direction.partition_point(|&(k, _)| k < end));
            let mut values = if mine.is_empty() { Vec::new() } else { self.x[start..end].to_vec() };
            mine.iter().for_each(|&(k, d)| values[k - start] += t * d);
            (start, direction) = (end, others);
            if mine.is_empty() { x.clone() } else { Tensor::from_vec(*x.shape(), values).like(x) }
        };
        self.point.iter().map(moved).collect()
    }

    /// Moves entries from where they were by a random part of `by`, relative to their size, to where φ is finite, if it
    /// is so on either side; none of them if the gradients are not finite there.
    fn move_aside(
        &mut self,
        entries: &[usize],
        original: &[f64],
        by: f64,
        gradients: Gradients,
    ) -> Result<(), Box<Failure>> {
        let before = (self.point.clone(), self.x.clone(), self.here.clone());
        for &k in entries {
            let by = by * size(original[k]) * spread(self.rng);
            for step in [original[k] + by - self.x[k], original[k] - by - self.x[k]] {
                let point = self.at(&[(k, step)], 1.0);
                if (self.phi)(&point).iter().all(|term| term.is_finite()) {
                    self.x[k] += step;
                    self.point = point;
                    break;
                }
            }
        }
        self.here = (self.phi)(&self.point);
        match gradients(&self.point) {
            Ok(gradients) => self.gradients = gradients,
            Err(failure) if failure.problem != Problem::GradientNotFinite => return Err(failure),
            Err(_) => (self.point, self.x, self.here) = before,
        }
        Ok(())
    }

    /// The entries that are no longer where they were.
    fn moves(&self, original: &[f64]) -> Vec<Move> {
        let moved = (0..self.x.len()).filter(|&k| self.x[k] != original[k]);
        moved.map(|k| Move { place: place_of(&self.point, k), from: original[k], to: self.x[k] }).collect()
    }
}

/// What is near an entry is so relative to its size, however small; if it is 0, relative to 1.
fn size(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.abs() }
}

/// A number in ±[½, 1]: none so small that it would hide an entry.
pub(super) fn spread(rng: &mut Rng) -> f64 {
    let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
    sign * (0.5 + 0.5 * rng.unit())
}
