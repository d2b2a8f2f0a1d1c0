//! Modes found and good samples, for mixtures of Gaussians in the plane whose centres are known.
//!
//! The protocol is that of VEEGAN and PacGAN (Srivastava et al. 2017; Lin et al. 2018): a sample is good if it is
//! within three standard deviations of the nearest centre; a mode is found if at least one good sample is nearest to
//! it.

/// What [`modes`] counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// For each centre, the good samples that are nearest to it.
    pub good: Vec<usize>,
    /// Samples in all.
    pub samples: usize,
}

impl Modes {
    /// Modes with at least one good sample.
    pub fn found(&self) -> usize {
        self.good.iter().filter(|&&count| count > 0).count()
    }

    /// The share of good samples among all, 0 to 1.
    pub fn good_share(&self) -> f64 {
        self.good.iter().sum::<usize>() as f64 / self.samples as f64
    }
}

/// Counts the good samples (x, y) at each centre of a mixture of Gaussians with standard deviation `sigma` in each
/// direction. A sample that is not a number is not good.
///
/// # Panics
/// If there is no sample or no centre, one centre is not finite, or `sigma` is not a finite number above 0.
pub fn modes(samples: &[[f64; 2]], centres: &[[f64; 2]], sigma: f64) -> Modes {
    assert!(!samples.is_empty() && !centres.is_empty(), "modes: {} samples, {} centres", samples.len(), centres.len());
    let finite = centres.as_flattened().iter().all(|x| x.is_finite());
    assert!(finite, "modes: found centres {centres:?}, expected finite numbers");
    let good_sigma = sigma > 0.0 && sigma.is_finite();
    assert!(good_sigma, "modes: found a standard deviation of {sigma}, expected a finite number above 0");
    let mut good = vec![0; centres.len()];
    for &[x, y] in samples {
        let distances = centres.iter().map(|&[cx, cy]| (x - cx).hypot(y - cy));
        let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((centre, _)) = nearest.filter(|(_, distance)| *distance <= 3.0 * sigma) {
            good[centre] += 1;
        }
    }
    Modes { good, samples: samples.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_samples_are_counted_at_their_nearest_centre() {
        let centres = [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]];
        let samples = [
            [0.25, 0.0],
            [0.0, -0.31],
            [0.45, 0.0],
            [0.76, 0.1],
            [1.2, 0.2],
            [f64::NAN, 0.0],
            [-f64::NAN, f64::INFINITY],
        ];
        let found = modes(&samples, &centres, 0.1);
        assert_eq!(found, Modes { good: vec![1, 2, 0], samples: 7 });
        assert_eq!(found.found(), 2);
        assert_eq!(found.good_share(), 3.0 / 7.0);
        assert_eq!(modes(&samples, &centres, 0.2).good, [3, 2, 0], "0.45 is nearer to 0 than to 1");
    }

    #[test]
    fn a_perfect_sampler_finds_all_modes_and_is_good_as_often_as_a_gaussian() {
        // The ring of the toys: 8 Gaussians on the unit circle, σ = 0.01. P(r ≤ 3σ) in the plane is 1 − exp(−9/2).
        let centres: Vec<[f64; 2]> =
            (0..8).map(|k| (f64::from(k) * std::f64::consts::FRAC_PI_4).sin_cos()).map(|(y, x)| [x, y]).collect();
        let noise = wengert::Rng::seed(1).normal::<f64>([20_000, 2]).to_vec();
        let sample = |(i, n): (usize, &[f64])| [centres[i % 8][0] + 0.01 * n[0], centres[i % 8][1] + 0.01 * n[1]];
        let samples: Vec<[f64; 2]> = noise.chunks(2).enumerate().map(sample).collect();
        let found = modes(&samples, &centres, 0.01);
        assert_eq!(found.found(), 8);
        assert!((found.good_share() - (1.0 - f64::exp(-4.5))).abs() < 0.003, "{}", found.good_share());
    }
}
