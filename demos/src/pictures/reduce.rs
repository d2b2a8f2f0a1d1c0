//! Makes a series of any length drawable: about one column for a pixel, with a running mean.
//!
//! The raw values of a column become the range from the least to the greatest, so a spike of one step stays visible.

use std::ops::Range;

/// The most columns to which a series is reduced.
const COLUMNS: usize = 900;
/// Values beyond this count as not finite: sums and differences of smaller ones cannot overflow.
const LARGEST: f64 = 1e100;

/// One line of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// (step, value), in any order of steps. What is not finite, or beyond ±10¹⁰⁰, is left out, counted in the legend,
    /// and interrupts the line.
    pub points: &'a [(f64, f64)],
}

/// All values of a series that fall into one column of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Mean of the steps.
    pub step: f64,
    /// Mean of the values.
    pub mean: f64,
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
}

/// Columns that a line connects; at least one.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// In the order of their steps.
    pub columns: Vec<Column>,
}

impl Piece {
    /// A running mean of the means of the columns, one number for each. Its window is a thirtieth of the piece, cut
    /// off at the ends, and nothing for a piece of fewer than sixty columns.
    pub fn smoothed(&self) -> Vec<f64> {
        let n = self.columns.len();
        let reach = n / 60;
        let window = |i: usize| &self.columns[i.saturating_sub(reach)..(i + reach + 1).min(n)];
        (0..n).map(|i| window(i).iter().map(|c| c.mean).sum::<f64>() / window(i).len() as f64).collect()
    }
}

/// A series as it is drawn.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// Interrupted where a column has values but none that is finite.
    pub pieces: Vec<Piece>,
    /// How many points are not finite.
    pub left_out: usize,
}

/// What is known of a column while its points come in.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: usize,
    left_out: usize,
    step: f64,
    value: f64,
    low: f64,
    high: f64,
}

impl Sums {
    fn add(&mut self, step: f64, value: f64) {
        let first = self.count == 0;
        self.low = if first { value } else { self.low.min(value) };
        self.high = if first { value } else { self.high.max(value) };
        self.step += step;
        self.value += value;
        self.count += 1;
    }

    fn column(&self) -> Column {
        let n = self.count as f64;
        Column { step: self.step / n, mean: self.value / n, low: self.low, high: self.high }
    }
}

fn usable(x: f64) -> bool {
    x.abs() <= LARGEST
}

impl Reduced {
    /// Reduces points whose usable steps lie in `steps`, a range of positive length.
    pub fn of(points: &[(f64, f64)], steps: &Range<f64>) -> Self {
        let mut sums = vec![Sums::default(); COLUMNS];
        let mut left_out = 0;
        for &(step, value) in points {
            let (good_step, good_value) = (usable(step), usable(value));
            left_out += usize::from(!(good_step && good_value));
            if good_step {
                let place = (step - steps.start) / (steps.end - steps.start) * COLUMNS as f64;
                let column = &mut sums[(place as usize).min(COLUMNS - 1)];
                if good_value {
                    column.add(step, value);
                } else {
                    column.left_out += 1;
                }
            }
        }
        let mut pieces = vec![Piece::default()];
        for column in sums {
            if column.count > 0 {
                pieces.last_mut().expect("there is a piece").columns.push(column.column());
            } else if column.left_out > 0 {
                pieces.push(Piece::default());
            }
        }
        pieces.retain(|piece| !piece.columns.is_empty());
        Self { pieces, left_out }
    }

    /// The name in the legend, with what the reader must know about missing values.
    pub fn label(&self, name: &str) -> String {
        match (self.left_out, self.pieces.is_empty()) {
            (0, true) => format!("{name} (no values)"),
            (0, false) => name.into(),
            (n, _) => format!("{name} ({n} not finite)"),
        }
    }
}

/// The range of the usable steps of all series, of positive length.
pub fn step_range(series: &[Series]) -> Range<f64> {
    let steps = series.iter().flat_map(|s| s.points).map(|p| p.0).filter(|&step| usable(step));
    let (low, high) = steps.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), step| (l.min(step), h.max(step)));
    widened(low, high, 0.0)
}

/// The range of values to show: all smoothed lines, all raw values but the most extreme hundredth at either end, and a
/// little air.
pub fn value_range(series: &[Reduced]) -> Range<f64> {
    let pieces = || series.iter().flat_map(|s| &s.pieces);
    let mut raw: Vec<f64> = pieces().flat_map(|p| &p.columns).flat_map(|c| [c.low, c.high]).collect();
    raw.sort_unstable_by(f64::total_cmp);
    let hundredth = raw.len() / 100;
    let mut shown: Vec<f64> = pieces().flat_map(Piece::smoothed).collect();
    shown.extend(raw.get(hundredth));
    shown.extend(raw.len().checked_sub(1 + hundredth).map(|i| raw[i]));
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    widened(low, high, 0.04)
}

/// The range with `air` times its length added at both ends; 0..1 if it is empty, and never so short that the numbers
/// along the axis could not be told apart.
fn widened(low: f64, high: f64, air: f64) -> Range<f64> {
    if low > high {
        return 0.0..1.0;
    }
    // The plotting crate counts from tick to tick by addition: a step lost in rounding would hang it.
    let least = 1e-6 * low.abs().max(high.abs()).max(1e-6);
    if high - low < least {
        let half = if low == 0.0 { 0.5 } else { 0.1 * low.abs().max(1e-6) };
        return low - half..high + half;
    }
    let air = air * (high - low);
    low - air..high + air
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(points: &[(f64, f64)]) -> Reduced {
        Reduced::of(points, &step_range(&[Series { name: "", points }]))
    }

    #[test]
    fn a_short_series_is_kept_as_it_is() {
        let points = [(0.0, 1.0), (2.0, 5.0), (1.0, -3.0)];
        let one = reduced(&points);
        let kept: Vec<_> = one.pieces[0].columns.iter().map(|c| (c.step, c.mean, c.low, c.high)).collect();
        assert_eq!(kept, [(0.0, 1.0, 1.0, 1.0), (1.0, -3.0, -3.0, -3.0), (2.0, 5.0, 5.0, 5.0)]);
        assert_eq!(one.pieces[0].smoothed(), [1.0, -3.0, 5.0]);
        assert_eq!((one.pieces.len(), one.label("D")), (1, "D".into()));
    }

    #[test]
    fn a_long_series_keeps_its_spikes() {
        let value = |i: usize| if i == 54_321 { 1000.0 } else { (i % 2) as f64 };
        let points: Vec<_> = (0..100_000).map(|i| (i as f64, value(i))).collect();
        let long = reduced(&points);
        let columns = &long.pieces[0].columns;
        assert_eq!(columns.len(), COLUMNS);
        assert_eq!(columns.iter().filter(|c| c.high == 1000.0).count(), 1);
        assert!(columns.iter().all(|c| c.low == 0.0));
        let range = value_range(&[long]);
        assert!(range.end < 20.0, "one spike does not set the scale: {range:?}");
    }

    #[test]
    fn values_that_are_not_finite_interrupt_the_line() {
        let points: Vec<_> = [1.0, 2.0, f64::NAN, 3.0, f64::INFINITY, 1e200, 4.0, 5.0, f64::NAN]
            .iter()
            .enumerate()
            .map(|(i, &v)| (i as f64, v))
            .chain([(f64::NAN, 1.0)])
            .collect();
        let broken = reduced(&points);
        let lengths: Vec<_> = broken.pieces.iter().map(|p| p.columns.len()).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert_eq!(broken.label("G"), "G (5 not finite)");
    }

    #[test]
    fn ranges_are_never_empty() {
        assert_eq!(step_range(&[]), 0.0..1.0);
        assert_eq!(value_range(&[reduced(&[])]), 0.0..1.0);
        assert_eq!(reduced(&[]).label("D"), "D (no values)");
        for x in [0.0, 1.0, -5.0, 1e-300, 1e16, -1e100, 1e100] {
            for range in [step_range(&[Series { name: "", points: &[(x, x)] }]), value_range(&[reduced(&[(x, x)])])] {
                assert!(range.start < x && x < range.end, "{range:?}");
                assert!(range.end - range.start >= 1e-7 * x.abs(), "{range:?}");
            }
        }
    }
}
