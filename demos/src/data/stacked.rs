//! Stacked digits: three drawn digits in the three channels of an image, so that there are a thousand modes, which a
//! classifier of digits can tell apart (Metz et al. 2017, arXiv:1611.02163, with MNIST's digits).

use super::digits::SIDE;
use super::{Dataset, Digits, ImageShape};

/// The endless set of stacked digits: 32×32 pixels, three channels, each of them a digit of its own, all thousand
/// combinations equally likely. One class: labels of bytes cannot tell a thousand apart.
#[derive(Clone, Copy, Debug)]
pub struct StackedDigits {
    channels: [Digits; 3],
}

impl StackedDigits {
    /// The set that belongs to `seed`; its digits are none of those of [`Digits`] of the same seed.
    pub fn new(seed: u64) -> StackedDigits {
        StackedDigits { channels: [1, 2, 3].map(|channel| Digits::new(seed ^ (channel << 40))) }
    }

    /// Writes image `index`, and returns its digits, those of red, green and blue.
    ///
    /// # Panics
    /// If `pixels` is not of the length 3072.
    pub fn digits(&self, index: u64, pixels: &mut [u8]) -> [u8; 3] {
        assert_eq!(pixels.len(), 3 * SIDE * SIDE, "stacked-digits: a picture has {SIDE}×{SIDE}×3 bytes");
        let mut plane = [0; SIDE * SIDE];
        let mut labels = [0; 3];
        for (channel, (digits, label)) in self.channels.iter().zip(&mut labels).enumerate() {
            *label = digits.image(index, &mut plane);
            pixels.iter_mut().skip(channel).step_by(3).zip(plane).for_each(|(pixel, ink)| *pixel = ink);
        }
        labels
    }
}

impl Dataset for StackedDigits {
    fn name(&self) -> &str {
        "stacked-digits"
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: SIDE, width: SIDE }
    }

    fn classes(&self) -> usize {
        1
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        self.digits(index, pixels);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_is_a_digit_of_its_own() {
        let set = StackedDigits::new(3);
        let mut counts = [[0; 10]; 3];
        let mut equal = 0;
        for index in 0..300 {
            let mut pixels = [0; 3072];
            let labels = set.digits(index, &mut pixels);
            for (channel, (digits, &label)) in set.channels.iter().zip(&labels).enumerate() {
                let mut plane = [0; 1024];
                assert_eq!(digits.image(index, &mut plane), label);
                assert!(pixels.iter().skip(channel).step_by(3).eq(&plane));
                counts[channel][usize::from(label)] += 1;
            }
            equal += usize::from(labels[0] == labels[1]);
        }
        assert!(counts.as_flattened().iter().all(|&count| count > 10), "{counts:?}");
        assert!((10..60).contains(&equal), "{equal} of 300: the channels do not know of each other");
    }
}
