//! A running median, which follows a curve and forgets its spikes.

/// Each value as the median of the `window` values around it, fewer at the ends; steps stay as they are. What is not
/// finite does not count; where nothing counts, the value is NaN.
///
/// Even counts have the mean of the two in the middle.
pub fn median_filtered(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let reach = window / 2;
    let value = |i: usize| points.get(i).map(|point| point.1).filter(|value| value.is_finite());
    // The window in order: a step adds a value and takes one out.
    let mut sorted: Vec<f64> = Vec::with_capacity(window + 1);
    let place = |sorted: &[f64], value: f64| sorted.partition_point(|other| *other < value);
    for value in (0..reach).filter_map(value) {
        sorted.insert(place(&sorted, value), value);
    }
    let mut filtered = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate() {
        if let Some(value) = value(i + reach) {
            sorted.insert(place(&sorted, value), value);
        }
        if let Some(value) = i.checked_sub(reach + 1).and_then(value) {
            sorted.remove(place(&sorted, value));
        }
        filtered.push((point.0, middle(&sorted)));
    }
    filtered
}

fn middle(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(values: &[f64], window: usize) -> Vec<f64> {
        let points: Vec<(f64, f64)> = values.iter().zip(1..).map(|(&value, step)| (f64::from(step), value)).collect();
        let filtered = median_filtered(&points, window);
        assert!(filtered.iter().map(|p| p.0).eq(points.iter().map(|p| p.0)));
        filtered.into_iter().map(|p| p.1).collect()
    }

    #[test]
    fn a_spike_is_forgotten_and_a_step_stays_where_it_is() {
        assert_eq!(filtered(&[1.0, 1.0, 90.0, 1.0, 5.0, 5.0, 5.0], 3), [1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
    }

    #[test]
    fn it_is_the_median_of_what_is_there() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 7919 % 101)).collect();
        let slow = |i: usize| {
            let mut near: Vec<f64> = values[i.saturating_sub(5)..(i + 6).min(200)].to_vec();
            near.sort_by(f64::total_cmp);
            let n = near.len();
            (near[(n - 1) / 2] + near[n / 2]) / 2.0
        };
        assert_eq!(filtered(&values, 11), (0..200).map(slow).collect::<Vec<_>>());
        assert_eq!(filtered(&[3.0], 101), [3.0]);
        assert!(filtered(&[], 101).is_empty());
    }

    #[test]
    fn what_is_not_finite_does_not_count() {
        let found = filtered(&[1.0, f64::NAN, 3.0, f64::INFINITY, f64::NAN, f64::NAN, 9.0], 3);
        assert_eq!(found[..4], [1.0, 2.0, 3.0, 3.0]);
        assert!(found[4].is_nan());
        assert_eq!(found[5..], [9.0, 9.0]);
    }
}
