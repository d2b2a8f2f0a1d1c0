//! Random numbers: a small generator whose bits never change.

use std::convert::Infallible;

use rand_distr::{Distribution, StandardNormal};

use crate::compute::Layout;
use crate::{Element, Shape, Tensor};

/// The generator xoshiro256++ of Blackman and Vigna ("Scrambled linear pseudorandom number generators", 2021), its
/// state filled by SplitMix64 as they advise.
///
/// The words that a seed gives are part of the library's contract: they are the same in every version and on every
/// machine, so a run can be repeated. It is fast and statistically strong, and not for secrets. It implements the
/// traits of `rand_core`, so the distributions of `rand_distr` draw from it.
///
/// ```
/// use wengert::{Rng, Tensor};
/// let mut rng = Rng::seed(7);
/// let z: Tensor = rng.normal([64, 128]);
/// let state = rng.state(); // goes into a checkpoint
/// let next = rng.below(10);
/// assert_eq!(Rng::from_state(state).below(10), next);
/// # assert_eq!(z.shape()[1], 128);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

/// The next output of SplitMix64 (Steele, Lea, Flood 2014, with Stafford's mixer 13).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator of this seed; any number serves, 0 included.
    pub fn seed(seed: u64) -> Rng {
        let mut mix = seed;
        Rng { state: std::array::from_fn(|_| split_mix(&mut mix)) }
    }

    /// One of many independent generators of a seed: data, noise and weights each take a stream of their own, so that
    /// drawing more of one does not change the others.
    ///
    /// ```
    /// use wengert::Rng;
    /// assert_ne!(Rng::stream(7, 0), Rng::stream(7, 1));
    /// assert_eq!(Rng::stream(7, 1), Rng::stream(7, 1));
    /// ```
    pub fn stream(seed: u64, stream: u64) -> Rng {
        // Both numbers go through the mixer, so that neighbours share nothing and (a, b) is not (b, a).
        let (mut a, mut b) = (seed, !stream);
        Rng::seed(split_mix(&mut a) ^ split_mix(&mut b).rotate_left(32))
    }

    /// The state, for a checkpoint.
    pub fn state(&self) -> [u64; 4] {
        self.state
    }

    /// The generator that goes on from a saved [`state`](Rng::state).
    ///
    /// # Panics
    /// If the state is all zeros: that is no state of the generator, which would stay at 0 for ever.
    #[track_caller]
    pub fn from_state(state: [u64; 4]) -> Rng {
        assert!(state != [0; 4], "Rng::from_state: a state of zeros yields zeros only");
        Rng { state }
    }

    /// The next 64 bits.
    fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in [0, 1): a multiple of 2⁻⁵³, all equally likely.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (-53f64).exp2()
    }

    /// A whole number below `n`, all equally likely (Lemire's multiplication with rejection, 2019).
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "Rng::below: no number is below 0");
        let n = n as u64;
        loop {
            let product = u128::from(self.next()) * u128::from(n);
            let low = product as u64;
            // Of the 2⁶⁴ words, the first 2⁶⁴ mod n in each of the n intervals are one too many for some of them.
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// The numbers `0..n` in random order, all orders equally likely (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }

    /// A tensor of draws from N(0, 1), in row-major order; f32 and f64 get the same draws, rounded.
    pub fn normal<T: Element>(&mut self, shape: impl Into<Shape>) -> Tensor<T> {
        let draw = |rng: &mut Rng| StandardNormal.sample(rng);
        self.fill(shape.into(), draw)
    }

    /// A tensor of draws from the uniform distribution on [lo, hi), in row-major order (a draw may be rounded to hi).
    ///
    /// # Panics
    /// If not lo ≤ hi, or either is infinite.
    #[track_caller]
    pub fn uniform<T: Element>(&mut self, shape: impl Into<Shape>, lo: f64, hi: f64) -> Tensor<T> {
        assert!(lo <= hi && (hi - lo).is_finite(), "Rng::uniform: expected finite lo ≤ hi, found {lo} and {hi}");
        self.fill(shape.into(), |rng| lo + (hi - lo) * rng.unit())
    }

    #[track_caller]
    fn fill<T: Element>(&mut self, shape: Shape, draw: impl Fn(&mut Rng) -> f64) -> Tensor<T> {
        Tensor::written(Layout::row_major(shape), |y| y.iter_mut().for_each(|y| *y = T::of(draw(self))))
    }
}

impl rand_core::TryRng for Rng {
    type Error = Infallible;

    /// The upper half of the next word, which is the better one.
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    /// The words in little-endian order; of the last one, as many bytes as are missing.
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the authors' C programs print: splitmix64.c from 1477776061723855037, xoshiro256plusplus.c from 1, 2, 3, 4.
    #[test]
    fn the_bits_are_those_of_the_reference() {
        let mut mix = 1477776061723855037;
        let words: Vec<u64> = (0..3).map(|_| split_mix(&mut mix)).collect();
        assert_eq!(words, [1985237415132408290, 2979275885539914483, 13511426838097143398]);
        let mut rng = Rng::from_state([1, 2, 3, 4]);
        let words: Vec<u64> = (0..10).map(|_| rng.next()).collect();
        let expected = [
            41943041,
            58720359,
            3588806011781223,
            3591011842654386,
            9228616714210784205,
            9973669472204895162,
            14011001112246962877,
            12406186145184390807,
            15849039046786891736,
            10450023813501588000,
        ];
        assert_eq!(words, expected);
    }

    /// A change here breaks everyone's runs: seeding and draws are as stable as the words. The whole numbers and the
    /// fractions were computed by a program of its own; the normal draws pin what `rand_distr` makes of the words.
    #[test]
    fn derived_draws_stay() {
        let below = |mut rng: Rng, n: usize| (0..n).map(|_| rng.below(100)).collect::<Vec<_>>();
        assert_eq!(below(Rng::seed(0), 8), [32, 38, 35, 1, 49, 2, 85, 84]);
        assert_eq!(below(Rng::stream(1, 2), 4), [5, 79, 85, 81]);
        assert_eq!(Rng::seed(0).permutation(8), [5, 3, 4, 1, 0, 6, 7, 2]);
        let uniform: Tensor<f64> = Rng::seed(0).uniform([2], 0.0, 1.0);
        assert_eq!(uniform.to_vec(), [0.3245752680314067, 0.38223929651167343]);
        let normal: Tensor<f64> = Rng::seed(0).normal([3]);
        assert_eq!(normal.to_vec(), [-0.29280329860470816, -0.7131206168144315, -0.1053211603531886]);
    }

    #[test]
    fn below_is_even_and_permutations_are_whole() {
        let mut rng = Rng::seed(1);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        // Standard deviation 93.
        assert!(counts.iter().all(|&c: &i32| (c - 10_000).abs() < 500), "{counts:?}");
        let mut order = rng.permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert!(rng.permutation(0).is_empty());
    }

    #[test]
    fn moments_of_the_distributions() {
        let mut rng = Rng::seed(2);
        let n = 200_000;
        let moments = |x: Tensor<f64>| {
            let x = x.to_vec();
            let mean = x.iter().sum::<f64>() / n as f64;
            (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, var) = moments(rng.normal([n]));
        assert!(mean.abs() < 0.01 && (var - 1.0).abs() < 0.02, "{mean} {var}");
        let (mean, var) = moments(rng.uniform([n], -1.0, 3.0));
        assert!((mean - 1.0).abs() < 0.02 && (var - 16.0 / 12.0).abs() < 0.02, "{mean} {var}");
    }

    #[test]
    fn bytes_are_the_words() {
        use rand_core::Rng as _;
        let (mut a, mut b) = (Rng::seed(3), Rng::seed(3));
        let mut bytes = [0; 11];
        a.fill_bytes(&mut bytes);
        assert_eq!(bytes[..8], b.next().to_le_bytes());
        assert_eq!(bytes[8..], b.next().to_le_bytes()[..3]);
        assert_eq!(a, b);
    }
}
