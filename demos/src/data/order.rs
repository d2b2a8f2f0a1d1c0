//! In which order training meets the images of a set.

use std::ops::Range;

use wengert::Rng;

/// A longer range is not shuffled: a table of its indices would take more than 128 MiB.
const LONGEST_SHUFFLED: u64 = 1 << 24;

/// The order of the images of a part of a set: shuffled anew for every pass, without repetition within a pass.
///
/// The images of step `t` are a pure function of the seed and `t`, so a run that is resumed at any step goes on as if
/// it had never stopped. Parts with disjoint ranges share no image, which is how the images of the metrics are kept
/// apart from those of training.
#[derive(Clone, Debug)]
pub struct Order {
    part: Range<u64>,
    seed: u64,
    /// The pass whose order is in `shuffled`.
    pass: Option<u64>,
    shuffled: Vec<u64>,
}

impl Order {
    /// An order of the images with indices in `part`.
    ///
    /// Parts of more than 2²⁴ images, which only a drawn set has, are read from the first index to the last: drawn
    /// images are independent of each other, so their order means nothing.
    ///
    /// # Panics
    /// If `part` is empty.
    pub fn new(part: Range<u64>, seed: u64) -> Self {
        assert!(!part.is_empty(), "Order: no image in {part:?}");
        Self { part, seed, pass: None, shuffled: Vec::new() }
    }

    /// The indices of the images of step `step` (from 0) when every step takes `n`. A batch may straddle two passes.
    pub fn indices(&mut self, step: u64, n: usize) -> Vec<u64> {
        let first = u128::from(step) * n as u128;
        (first..first + n as u128).map(|k| self.index(k)).collect()
    }

    /// The index of the `k`-th image since the start of training.
    fn index(&mut self, k: u128) -> u64 {
        let length = self.part.end - self.part.start;
        // A pass number beyond u64 would take longer than the sun lasts; it wraps.
        let (pass, within) = ((k / u128::from(length)) as u64, (k % u128::from(length)) as u64);
        if length > LONGEST_SHUFFLED {
            return self.part.start + within;
        }
        if self.pass != Some(pass) {
            self.shuffle(pass);
        }
        self.shuffled[within as usize]
    }

    /// The order of this pass, from a stream of its own.
    fn shuffle(&mut self, pass: u64) {
        // Training draws weights and noise from the streams of the seed itself.
        let order = Rng::stream(!self.seed, pass).permutation((self.part.end - self.part.start) as usize);
        self.shuffled.clear();
        self.shuffled.extend(order.iter().map(|&i| self.part.start + i as u64));
        self.pass = Some(pass);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_meets_every_image_once_in_an_order_of_its_own() {
        let mut order = Order::new(10..30, 7);
        let passes: Vec<Vec<u64>> =
            (0..2).map(|p| (0..4).flat_map(|s| order.indices(4 * p + s, 5)).collect()).collect();
        assert_ne!(passes[0], passes[1]);
        for mut pass in passes {
            pass.sort_unstable();
            assert!(pass.into_iter().eq(10..30));
        }
    }

    #[test]
    fn a_step_does_not_depend_on_the_steps_before() {
        let mut through = Order::new(0..10, 1);
        let all: Vec<_> = (0..20).map(|s| through.indices(s, 7)).collect();
        for (s, indices) in all.iter().enumerate().rev() {
            assert_eq!(&Order::new(0..10, 1).indices(s as u64, 7), indices);
        }
    }

    #[test]
    fn an_endless_set_is_read_in_order() {
        let mut order = Order::new(5..u64::MAX, 1);
        assert_eq!(order.indices(2, 3), [11, 12, 13]);
        order.indices(u64::MAX, 2);
    }
}
