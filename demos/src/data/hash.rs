//! A small counter-based random source, so that sample `i` of seed `s` depends on nothing but `(s, i)`.

/// SplitMix64: a 64-bit counter whose every value goes through a strong mixing function.
///
/// Statistically good enough for drawing pictures and shuffling; not for cryptography.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

/// The increment of the counter: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection of 64 bits in which every input bit moves about half of the output bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl SplitMix64 {
    /// The stream that belongs to the pair `(seed, index)`.
    pub fn new(seed: u64, index: u64) -> Self {
        // Both are mixed before they meet: with `seed + index * GOLDEN` the stream of index i + 1 would be that of i
        // moved on by one draw.
        let state = mix(mix(seed.wrapping_add(GOLDEN)) ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self { state }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        // 24 bits: as many as an f32 holds exactly.
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Bell-shaped with mean 0 and standard deviation 1, and never beyond ±3.47.
    ///
    /// It is the sum of four uniform numbers: unlike a true normal it has no far tail, so no sample is freakish.
    pub fn bell(&mut self) -> f32 {
        let sum = self.uniform() + self.uniform() + self.uniform() + self.uniform();
        (sum - 2.0) * 3f32.sqrt()
    }

    /// Uniform in 0..n, for n > 0. The bias, at most n / 2⁶⁴, is nothing.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_neighbours_share_nothing() {
        let draws = |seed, index| {
            let mut rng = SplitMix64::new(seed, index);
            (0..64).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        let streams = [draws(0, 0), draws(0, 1), draws(1, 0), draws(1, 1)];
        for (i, a) in streams.iter().enumerate() {
            for b in &streams[i + 1..] {
                assert!(a.iter().all(|x| !b.contains(x)));
            }
        }
    }

    #[test]
    fn bell_has_mean_zero_and_variance_one() {
        let mut rng = SplitMix64::new(3, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.bell())).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }
}
