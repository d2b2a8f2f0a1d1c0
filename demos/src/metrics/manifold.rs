//! Precision and recall (Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
//! models"), density and coverage (Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models").
//!
//! A set of features stands for the union of balls B(xᵢ, rₖ(xᵢ)) around each of them, where rₖ(x) is the distance to
//! the k-th nearest other one of the set. With N real xᵢ and M generated yⱼ:
//!
//! - precision: the share of the yⱼ that are in a ball of real images: quality
//! - recall: the share of the xᵢ that are in a ball of generated images: variety
//! - density: Σⱼ #{i : yⱼ ∈ B(xᵢ, rₖ(xᵢ))}/(kM): precision that counts how many balls, so that one outlier among the
//!   real images with a huge ball does not matter; 1 for a perfect generator, and it can be more
//! - coverage: the share of the balls of real images in which there is a generated one: variety, in balls that outliers
//!   among the generated images cannot blow up
//!
//! k is 3 for precision and recall, 5 for density and coverage, as the authors advise.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use wengert::{Tensor, Var};

use super::distances::by_row;
use super::{check_features, extents};

/// k of precision and recall.
const PRECISION_K: usize = 3;

/// k of density and coverage.
const DENSITY_K: usize = 5;

/// A set of features with the balls around them.
#[derive(Clone, Debug)]
pub struct Manifold {
    features: Tensor<f64>,
    /// The mean of the features, (1, d), rounded as these are: to `f32`, so that differences from it are exact.
    mean: Tensor<f64>,
    /// For each feature, the squared distances to its third and its fifth neighbour.
    radii: Vec<[f64; 2]>,
}

/// Precision, recall, density, coverage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prdc {
    /// The share of generated images near real ones, 0 to 1.
    pub precision: f64,
    /// The share of real images near generated ones, 0 to 1.
    pub recall: f64,
    /// How dense real images are around generated ones: 0 or more, 1 for equal distributions.
    pub density: f64,
    /// The share of real images with a generated one in their neighbourhood, 0 to 1.
    pub coverage: f64,
}

impl Manifold {
    /// Of features (n, d).
    ///
    /// # Errors
    /// One is not finite, or beyond the range of `f32`.
    ///
    /// # Panics
    /// If they are fewer than six: each needs five neighbours.
    #[track_caller]
    pub fn of(features: &Tensor<f64>) -> Result<Manifold> {
        let (n, _) = extents(features);
        assert!(n > DENSITY_K, "Manifold: found {n} features, expected more than {DENSITY_K}");
        check_features("features", features)?;
        let mean = Var::from(features).mean_axes([0], true).into_value().cast::<f32>().cast();
        let centred = minus(features, &mean);
        let radii = by_row(&centred, &centred, |i, row| {
            // Itself is at distance 0, but for rounding: out of the way, to the first place.
            row.swap(0, i);
            let others = &mut row[1..];
            let (nearer, fifth, _) = others.select_nth_unstable_by(DENSITY_K - 1, f64::total_cmp);
            let fifth = *fifth;
            [*nearer.select_nth_unstable_by(PRECISION_K - 1, f64::total_cmp).1, fifth]
        });
        Ok(Manifold { features: features.clone(), mean, radii })
    }

    fn len(&self) -> usize {
        self.radii.len()
    }
}

/// Features (n, d) as seen from this point, (1, d).
fn minus(features: &Tensor<f64>, centre: &Tensor<f64>) -> Tensor<f64> {
    (Var::from(features) - Var::from(centre)).into_value()
}

/// Precision, recall, density and coverage of generated features, (M, d), with respect to real ones, (N, d).
///
/// # Panics
/// If the features differ in length.
#[track_caller]
pub fn prdc(real: &Manifold, generated: &Manifold) -> Prdc {
    let (d, other) = (real.mean.size(), generated.mean.size());
    assert!(d == other, "prdc: found features of {d} and of {other} numbers, expected as many");
    // Around the same point as the radii of the real ones, so that a distance equal to a radius remains so.
    let [x, y] = [real, generated].map(|set| minus(&set.features, &real.mean));
    // In how many balls of real images each generated one is.
    let inside = by_row(&y, &x, |_, row| {
        let balls = |k: usize| row.iter().zip(&real.radii).filter(|(distance, radii)| **distance <= radii[k]).count();
        [balls(0), balls(1)]
    });
    let seen = by_row(&x, &y, |i, row| {
        let recalled = row.iter().zip(&generated.radii).any(|(distance, radii)| *distance <= radii[0]);
        let covered = row.iter().any(|distance| *distance <= real.radii[i][1]);
        [recalled, covered]
    });
    let (n, m) = (real.len() as f64, generated.len() as f64);
    let share_of_real = |which: usize| seen.iter().filter(|s| s[which]).count() as f64 / n;
    Prdc {
        precision: inside.iter().filter(|counts| counts[0] > 0).count() as f64 / m,
        recall: share_of_real(0),
        density: inside.iter().map(|counts| counts[1]).sum::<usize>() as f64 / (DENSITY_K as f64 * m),
        coverage: share_of_real(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wengert::Rng;

    fn line(points: &[f64]) -> Manifold {
        Manifold::of(&Tensor::from_slice([points.len(), 1], points)).unwrap()
    }

    #[test]
    fn radii_are_distances_to_the_third_and_fifth_neighbour() {
        let found = line(&[0.0, 1.0, 2.0, 4.0, 7.0, 11.0, 11.0]);
        let expected = [[16.0, 121.0], [9.0, 100.0], [4.0, 81.0], [9.0, 49.0], [16.0, 36.0], [49.0, 100.0]];
        assert_eq!(found.radii[..6], expected);
        assert_eq!(found.radii[6], found.radii[5], "of two equal points each is the other's neighbour");
    }

    #[test]
    fn sets_made_by_hand() {
        // Balls of the real points: r₃ = 3, 2, 2, 2, 2, 3 and r₅ = 5, 4, 3, 3, 4, 5.
        let real = line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        // r₃ of the generated: 0, except for 20 with 15, whose ball reaches 5.
        let generated = line(&[5.0, 5.0, 5.0, 5.0, 5.0, 20.0]);
        let found = prdc(&real, &generated);
        assert_eq!(found.precision, 5.0 / 6.0);
        assert_eq!(found.recall, 1.0 / 6.0);
        // 5 is in the balls (k = 5) of all six; 20 in none.
        assert_eq!(found.density, 30.0 / 30.0);
        assert_eq!(found.coverage, 1.0);
        let near_one_end = line(&[8.0, 8.0, 8.5, 9.0, 9.5, 10.0]);
        // 8 is in B(4, 4) and B(5, 5); 8.5, 9, 9.5 and 10 are in B(5, 5). For k = 3 two are in B(5, 3).
        let found = prdc(&real, &near_one_end);
        assert_eq!(found, Prdc { precision: 2.0 / 6.0, recall: 0.0, density: 8.0 / 30.0, coverage: 2.0 / 6.0 });
    }

    #[test]
    fn an_outlier_raises_precision_and_not_density() {
        // Naeem et al., figure 2: one real outlier has a ball over all that is generated.
        let real = line(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 100.0]);
        let generated = line(&[50.0, 51.0, 52.0, 53.0, 54.0, 55.0]);
        let found = prdc(&real, &generated);
        assert_eq!((found.precision, found.density, found.coverage), (1.0, 6.0 / 30.0, 1.0 / 8.0));
    }

    #[test]
    fn two_sets_of_one_distribution() {
        let mut rng = Rng::seed(2);
        let mut draw = || Manifold::of(&rng.normal::<f64>([2000, 8])).unwrap();
        let (real, other) = (draw(), draw());
        let same = prdc(&real, &real);
        assert_eq!((same.precision, same.recall, same.coverage), (1.0, 1.0, 1.0));
        let found = prdc(&real, &other);
        assert!((found.precision - found.recall).abs() < 0.05, "{found:?}");
        assert!((found.density - 1.0).abs() < 0.05, "{found:?}");
        // Its expectation is 1 − Πᵢ (N − i)/(M + N − i) over i = 1..k (Naeem et al.): for large N = M, 1 − 2⁻ᵏ.
        assert!((found.coverage - (1.0 - 1.0 / 32.0)).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn an_offset_of_both_sets_changes_nothing() {
        // Steps of 2⁻²⁰, which an offset leaves as they are.
        let mut rng = Rng::seed(6);
        let mut draw =
            |sigma: f64| rng.normal::<f64>([400, 8]).map(move |x| (x * sigma * 1_048_576.0).round() / 1_048_576.0);
        let (real, generated) = (draw(1.0), draw(0.7));
        let of = |offset: f64| {
            let set = |x: &Tensor<f64>| Manifold::of(&(Var::from(x) + offset).into_value()).unwrap();
            prdc(&set(&real), &set(&generated))
        };
        let found = of(0.0);
        assert!(found.recall < 0.9 && found.precision > 0.5, "{found:?}: figures that could change");
        for offset in [1e6, -1e8] {
            assert_eq!(of(offset), found, "{offset}");
        }
    }

    #[test]
    fn features_that_are_not_finite_are_named_and_large_ones_are_at_a_distance() {
        let of = |bad: f64| Manifold::of(&Tensor::from_vec([6, 1], vec![0.0, 1.0, bad, 3.0, bad, 5.0]));
        for bad in [f64::NAN, f64::INFINITY, 4e38] {
            let message = of(bad).unwrap_err().to_string();
            assert!(message.starts_with("features: found ") && message.contains("in row 3, column 1;"), "{message}");
        }
        let most = f64::from(f32::MAX);
        let real = line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let far = line(&[1.0, 0.9, 0.8, 0.7, 0.6, 0.5].map(|x| x * most));
        assert_eq!(prdc(&real, &far), Prdc { precision: 0.0, recall: 0.0, density: 0.0, coverage: 0.0 });
    }
}
