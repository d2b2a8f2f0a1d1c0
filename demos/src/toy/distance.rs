//! The exact W₁ distance of two samples of the same size: the cost of the cheapest pairing, over n.

use pathfinding::prelude::{Matrix, kuhn_munkres_min};
use wengert::{Rng, Tensor};

use super::Toy;
use super::snapshot::points as rows;

/// Distances are rounded to this fraction of the largest one: the assignment is computed in whole numbers.
const RESOLUTION: f64 = 1e-9;

/// W₁ on the line: the cheapest pairing is that of the sorted values, (1/n) Σ |x₍ᵢ₎ − y₍ᵢ₎|.
///
/// # Panics
/// If the numbers of values differ, or there is none.
pub fn w1_on_a_line(x: &[f64], y: &[f64]) -> f64 {
    assert!(x.len() == y.len() && !x.is_empty(), "w1_on_a_line: {} and {} values", x.len(), y.len());
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    sorted(x).iter().zip(sorted(y)).map(|(x, y)| (x - y).abs()).sum::<f64>() / x.len() as f64
}

/// W₁ in the plane: the mean distance of the cheapest of all n! pairings. `None` if a coordinate is not finite.
///
/// # Panics
/// If the numbers of points differ, or there is none.
pub fn w1_in_the_plane(x: &[[f64; 2]], y: &[[f64; 2]]) -> Option<f64> {
    cheapest_pairing(x, y).map(|(_, mean)| mean)
}

/// The cheapest pairing of the points x with the points y: for each of x, which of y; and the mean distance. By the
/// algorithm of Kuhn and Munkres in O(n³): half a second for n = 512. `None` if a coordinate is not finite.
///
/// # Panics
/// If the numbers of points differ, or there is none.
pub fn cheapest_pairing(x: &[[f64; 2]], y: &[[f64; 2]]) -> Option<(Vec<usize>, f64)> {
    assert!(x.len() == y.len() && !x.is_empty(), "cheapest_pairing: {} and {} points", x.len(), y.len());
    let distance = |i: usize, j: usize| (x[i][0] - y[j][0]).hypot(x[i][1] - y[j][1]);
    let pairs = || (0..x.len()).flat_map(|i| (0..y.len()).map(move |j| (i, j)));
    let largest = pairs().map(|(i, j)| distance(i, j)).try_fold(0.0, |m: f64, d| d.is_finite().then(|| m.max(d)))?;
    if largest == 0.0 {
        return Some(((0..x.len()).collect(), 0.0));
    }
    let unit = largest * RESOLUTION;
    let whole = pairs().map(|(i, j)| (distance(i, j) / unit).round() as i64).collect();
    let costs = Matrix::from_vec(x.len(), y.len(), whole).expect("as many costs as pairs");
    let (_, pairing) = kuhn_munkres_min(&costs);
    let mean = pairing.iter().enumerate().map(|(i, &j)| distance(i, j)).sum::<f64>() / x.len() as f64;
    Some((pairing, mean))
}

/// An optimal critic f of a cheapest pairing, of x with y as [`cheapest_pairing`] gives it: 1-Lipschitz, with
/// Σ f(xᵢ) − Σ f(yⱼ) the cost of the pairing, which is the most that any such f reaches (WGAN, equation (2)).
///
/// Let yₚ be the partner of xᵢ and dᵢⱼ = ‖xᵢ − yⱼ‖. Values f(yₚ) = φₚ and f(xᵢ) = φₚ + dᵢₚ reach the cost, and no slope
/// from one of the y to one of the x is above 1 if φₚ ≤ φⱼ + dᵢⱼ − dᵢₚ for all i and j. Such φ are lengths of shortest
/// ways in a graph, by the algorithm of Bellman and Ford; no way round it is shorter than 0, for another pairing would
/// be cheaper. minⱼ φⱼ + ‖z − yⱼ‖ is 1-Lipschitz and has these values, and so has maxᵢ f(xᵢ) − ‖z − xᵢ‖: this is the
/// mean of both.
pub fn optimal_critic<'a>(
    x: &'a [[f64; 2]],
    y: &'a [[f64; 2]],
    pairing: &'a [usize],
) -> impl Fn([f64; 2]) -> f64 + use<'a> {
    let apart = |a: &[f64; 2], b: &[f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let mut phi = vec![0.0; y.len()];
    for _ in 0..y.len() {
        let before = phi.clone();
        for (x, &partner) in x.iter().zip(pairing) {
            let ways = y.iter().zip(&phi).map(|(y, phi)| phi + apart(x, y));
            let shortest = ways.fold(f64::INFINITY, f64::min) - apart(x, &y[partner]);
            phi[partner] = f64::min(phi[partner], shortest);
        }
        if phi == before {
            break;
        }
    }
    let on_x: Vec<f64> = x.iter().zip(pairing).map(|(x, &partner)| phi[partner] + apart(x, &y[partner])).collect();
    move |z| {
        let greatest = y.iter().zip(&phi).map(|(y, phi)| phi + apart(&z, y)).fold(f64::INFINITY, f64::min);
        let least = x.iter().zip(&on_x).map(|(x, f)| f - apart(&z, x)).fold(f64::NEG_INFINITY, f64::max);
        (greatest + least) / 2.0
    }
}

/// Points of each sample in [`sample_distance`].
const POINTS: usize = 512;

/// W₁ between the first 512 of these points (N, 2) and 512 of the data, the same each time. Two samples of one
/// distribution are not at distance 0: compare with what samples of the data get. `None` if a point is not finite.
///
/// # Panics
/// If there are fewer points.
pub fn sample_distance(toy: &Toy, points: &Tensor) -> Option<f64> {
    let real = toy.sample(POINTS, &mut Rng::seed(3));
    w1_in_the_plane(&rows(points)[..POINTS], &rows(&real))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(n: usize, rng: &mut Rng) -> Vec<[f64; 2]> {
        rng.normal::<f64>([n, 2]).to_vec().chunks_exact(2).map(|p| [p[0], p[1]]).collect()
    }

    /// The least cost of all pairings.
    fn by_trying_all(x: &[[f64; 2]], y: &[[f64; 2]]) -> f64 {
        let Some((first, rest)) = x.split_first() else { return 0.0 };
        let pair_first_with = |j: usize| {
            let others: Vec<_> = y.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, p)| *p).collect();
            (first[0] - y[j][0]).hypot(first[1] - y[j][1]) + by_trying_all(rest, &others)
        };
        (0..y.len()).map(pair_first_with).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn assignment_finds_the_cheapest_pairing() {
        let mut rng = Rng::seed(0);
        for n in 1..=7 {
            let (x, y) = (points(n, &mut rng), points(n, &mut rng));
            let (found, expected) = (w1_in_the_plane(&x, &y).unwrap(), by_trying_all(&x, &y) / n as f64);
            assert!((found - expected).abs() < 1e-8, "{n}: {found} {expected}");
        }
    }

    #[test]
    fn assignment_agrees_with_sorting_on_a_line_in_the_plane() {
        let mut rng = Rng::seed(1);
        let direction = [0.6, -0.8];
        let line = |t: &f64| [3.0 + t * direction[0], t * direction[1]];
        let mut values = || rng.normal::<f64>([200]).to_vec();
        let (x, y): (Vec<f64>, Vec<f64>) = (values(), values().iter().map(|t| t * t).collect());
        let (a, b): (Vec<_>, Vec<_>) = (x.iter().map(line).collect(), y.iter().map(line).collect());
        let (sorted, assigned) = (w1_on_a_line(&x, &y), w1_in_the_plane(&a, &b).unwrap());
        assert!((sorted - assigned).abs() < 1e-7, "{sorted} {assigned}");
    }

    /// It reaches the cost of the pairing, and is 1-Lipschitz everywhere.
    #[test]
    fn the_optimal_critic_reaches_the_cost() {
        let mut rng = Rng::seed(3);
        for n in [1, 2, 40] {
            let (x, y) = (points(n, &mut rng), points(n, &mut rng));
            let (pairing, w1) = cheapest_pairing(&x, &y).unwrap();
            let f = optimal_critic(&x, &y, &pairing);
            let mean = |points: &[[f64; 2]]| points.iter().map(|z| f(*z)).sum::<f64>() / n as f64;
            assert!((mean(&x) - mean(&y) - w1).abs() < 1e-7, "{n}: {} {w1}", mean(&x) - mean(&y));
            for pair in points(100, &mut rng).windows(2) {
                let apart = (pair[0][0] - pair[1][0]).hypot(pair[0][1] - pair[1][1]);
                assert!((f(pair[0]) - f(pair[1])).abs() <= apart + 1e-12);
            }
        }
    }

    #[test]
    fn closed_forms() {
        let mut rng = Rng::seed(2);
        let x = points(512, &mut rng);
        let shifted: Vec<_> = x.iter().map(|p| [p[0] + 3.0, p[1] - 4.0]).collect();
        assert!((w1_in_the_plane(&x, &shifted).unwrap() - 5.0).abs() < 1e-7, "a shift moves every point as far");
        assert_eq!(w1_in_the_plane(&x, &x), Some(0.0));
        assert_eq!(w1_in_the_plane(&[[1.0, 1.0]], &[[1.0, 1.0]]), Some(0.0));
        assert_eq!(w1_in_the_plane(&[[f64::NAN, 1.0]], &[[1.0, 1.0]]), None);
        assert_eq!(w1_on_a_line(&[3.0, 1.0], &[1.5, 2.0]), 0.75);
    }
}
