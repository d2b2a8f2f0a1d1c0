//! Images of another size: a cut from the middle, and resampling.

use super::ImageShape;

/// The largest square in the middle of an image, (height, width, channels), and its side. Where the margins cannot be
/// equal, the upper or left one is the smaller.
///
/// # Panics
/// If `pixels` is not of the length `shape.numel()`.
pub fn centre_square(pixels: &[u8], shape: ImageShape) -> (Vec<u8>, usize) {
    assert_eq!(pixels.len(), shape.numel(), "centre_square: pixels of an image of {shape}");
    let side = shape.height.min(shape.width);
    let (top, left) = ((shape.height - side) / 2, (shape.width - side) / 2);
    let mut square = Vec::with_capacity(side * side * shape.channels);
    for y in top..top + side {
        let start = (y * shape.width + left) * shape.channels;
        square.extend_from_slice(&pixels[start..start + side * shape.channels]);
    }
    (square, side)
}

/// The image, (height, width, channels), resampled to `height` × `width`.
///
/// The two axes are treated one after the other. An axis that shrinks is averaged over areas: a new pixel is the mean
/// of what it covers of the old ones. An axis that grows is interpolated linearly between the centres of the old
/// pixels.
///
/// # Panics
/// If `pixels` is not of the length `shape.numel()`, or a size, old or new, is 0.
pub fn resize(pixels: &[u8], shape: ImageShape, height: usize, width: usize) -> Vec<u8> {
    assert_eq!(pixels.len(), shape.numel(), "resize: pixels of an image of {shape}");
    let mut resizer = Resizer::new(shape, height, width);
    for row in pixels.chunks_exact(shape.width * shape.channels) {
        resizer.push(row);
    }
    resizer.finish()
}

/// [`resize`] of an image that comes row by row, and is never in memory as a whole.
pub(super) struct Resizer {
    shape: ImageShape,
    across: Vec<Tap>,
    down: Vec<Tap>,
    /// How many rows have come.
    rows: usize,
    /// The last of them, of the new width.
    row: Vec<f32>,
    /// The new image, as far as the rows that have come make it.
    sums: Vec<f32>,
}

impl Resizer {
    /// For an image of this shape, to be `height` × `width`.
    ///
    /// # Panics
    /// If a size, old or new, is 0.
    pub(super) fn new(shape: ImageShape, height: usize, width: usize) -> Self {
        assert!(shape.numel() > 0 && height > 0 && width > 0, "resize: {shape} to {height}×{width}");
        let row = vec![0.0; width * shape.channels];
        let sums = vec![0.0; height * row.len()];
        Resizer { shape, across: taps(shape.width, width), down: taps(shape.height, height), rows: 0, row, sums }
    }

    /// Takes the next row.
    ///
    /// # Panics
    /// If it is of another length, or there are more rows than the image has.
    pub(super) fn push(&mut self, row: &[u8]) {
        let (shape, y) = (self.shape, self.rows);
        assert!(y < shape.height && row.len() == shape.width * shape.channels, "resize: row {y} of {shape}");
        let channels = shape.channels;
        self.row.fill(0.0);
        for (pixel, tap) in self.row.chunks_exact_mut(channels).zip(&self.across) {
            for (old, &weight) in row[tap.start * channels..].chunks_exact(channels).zip(&tap.weights) {
                for (sum, &byte) in pixel.iter_mut().zip(old) {
                    *sum += weight * f32::from(byte);
                }
            }
        }
        let first = self.down.partition_point(|tap| tap.start + tap.weights.len() <= y);
        let new_rows = self.sums.chunks_exact_mut(self.row.len()).zip(&self.down).skip(first);
        for (sums, tap) in new_rows.take_while(|(_, tap)| tap.start <= y) {
            let weight = tap.weights[y - tap.start];
            sums.iter_mut().zip(&self.row).for_each(|(sum, &x)| *sum += weight * x);
        }
        self.rows += 1;
    }

    /// The new image.
    ///
    /// # Panics
    /// If rows are missing.
    pub(super) fn finish(self) -> Vec<u8> {
        assert_eq!(self.rows, self.shape.height, "resize: the rows of an image of {}", self.shape);
        self.sums.iter().map(|&sum| sum.round() as u8).collect()
    }
}

/// Which old pixels make a new one: those from `start` on, as many as there are weights, which add up to 1. From one
/// new pixel to the next neither the first nor the last of them goes back.
struct Tap {
    start: usize,
    weights: Vec<f32>,
}

/// For each of the `new` pixels of an axis that had `old`.
fn taps(old: usize, new: usize) -> Vec<Tap> {
    let step = old as f64 / new as f64;
    let area = |i: usize| {
        // Old pixel j reaches from j to j + 1, and the new one from `low` to `high`.
        let (low, high) = (i as f64 * step, ((i + 1) as f64 * step).min(old as f64));
        let (start, end) = (low as usize, (high.ceil() as usize).min(old));
        let overlap = |j: usize| ((high.min((j + 1) as f64) - low.max(j as f64)).max(0.0) / step) as f32;
        Tap { start, weights: (start..end).map(overlap).collect() }
    };
    let linear = |i: usize| {
        let centre = ((i as f64 + 0.5) * step - 0.5).clamp(0.0, (old - 1) as f64);
        let start = (centre as usize).min(old.saturating_sub(2));
        let right = (centre - start as f64) as f32;
        let weights = if old == 1 { vec![1.0] } else { vec![1.0 - right, right] };
        Tap { start, weights }
    };
    (0..new).map(|i| if new < old { area(i) } else { linear(i) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grey(height: usize, width: usize) -> ImageShape {
        ImageShape { channels: 1, height, width }
    }

    #[test]
    fn shrinking_averages_areas() {
        assert_eq!(resize(&[0, 10, 20, 30, 100, 110, 200, 210], grey(2, 4), 1, 2), [55, 115]);
        // Three pixels to two: the middle one counts half for either.
        assert_eq!(resize(&[30, 60, 120], grey(1, 3), 1, 2), [40, 100]);
        let colour = ImageShape { channels: 3, height: 1, width: 2 };
        assert_eq!(resize(&[0, 100, 200, 10, 120, 230], colour, 1, 1), [5, 110, 215]);
    }

    #[test]
    fn growing_interpolates_between_centres() {
        // The new centres lie at −¼, ¼, ¾ and 1¼ of the old pixels: the outer ones are at the border.
        assert_eq!(resize(&[0, 100], grey(1, 2), 1, 4), [0, 25, 75, 100]);
        assert_eq!(resize(&[0, 100], grey(2, 1), 4, 1), [0, 25, 75, 100]);
        assert_eq!(resize(&[7], grey(1, 1), 3, 2), [7; 6]);
        // One axis grows while the other shrinks.
        assert_eq!(resize(&[0, 100, 100, 200], grey(2, 2), 1, 4), [50, 75, 125, 150]);
    }

    #[test]
    #[should_panic(expected = "resize: the rows of an image of 2×1×1")]
    fn an_image_without_its_last_row_is_none() {
        let mut resizer = Resizer::new(grey(2, 1), 1, 1);
        resizer.push(&[1]);
        resizer.finish();
    }

    #[test]
    fn the_square_is_cut_from_the_middle() {
        let pixels: Vec<u8> = (0..30).collect();
        let wide = ImageShape { channels: 2, height: 3, width: 5 };
        let (square, side) = centre_square(&pixels, wide);
        assert_eq!(side, 3);
        assert_eq!(square, [2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 22, 23, 24, 25, 26, 27]);
        let (square, side) = centre_square(&pixels[..4], grey(4, 1));
        assert_eq!((square, side), (vec![1], 1));
    }

    fn images() -> impl Strategy<Value = (ImageShape, Vec<u8>)> {
        (1..4usize, 1..12usize, 1..12usize).prop_flat_map(|(channels, height, width)| {
            let shape = ImageShape { channels, height, width };
            (Just(shape), proptest::collection::vec(any::<u8>(), shape.numel()))
        })
    }

    /// How it was done before images came row by row: across into a whole image, then down. Runs go on with its bits.
    fn resized_as_a_whole(pixels: &[u8], shape: ImageShape, height: usize, width: usize) -> Vec<u8> {
        let channels = shape.channels;
        let mut rows = vec![0f32; shape.height * width * channels];
        for (row, new) in pixels.chunks_exact(shape.width * channels).zip(rows.chunks_exact_mut(width * channels)) {
            for (k, x) in new.iter_mut().enumerate() {
                let tap = &taps(shape.width, width)[k / channels];
                for (i, &weight) in tap.weights.iter().enumerate() {
                    *x += weight * f32::from(row[(tap.start + i) * channels + k % channels]);
                }
            }
        }
        let mut new = Vec::new();
        for tap in taps(shape.height, height) {
            for k in 0..width * channels {
                let row = |i: usize| rows[(tap.start + i) * width * channels + k];
                let sum = tap.weights.iter().enumerate().fold(0f32, |sum, (i, &weight)| sum + weight * row(i));
                new.push(sum.round() as u8);
            }
        }
        new
    }

    proptest! {
        #[test]
        fn row_by_row_gives_the_same_bits((shape, pixels) in images(), height in 1..16usize, width in 1..16usize) {
            prop_assert_eq!(resize(&pixels, shape, height, width), resized_as_a_whole(&pixels, shape, height, width));
        }

        #[test]
        fn no_new_pixel_is_brighter_or_darker_than_all_old_ones(
            (shape, pixels) in images(), height in 1..16usize, width in 1..16usize
        ) {
            let new = resize(&pixels, shape, height, width);
            prop_assert_eq!(new.len(), height * width * shape.channels);
            for c in 0..shape.channels {
                let of = |p: &[u8]| p.iter().skip(c).step_by(shape.channels).copied().collect::<Vec<_>>();
                let (old, new) = (of(&pixels), of(&new));
                prop_assert!(new.iter().min() >= old.iter().min() && new.iter().max() <= old.iter().max());
            }
            if (height, width) == (shape.height, shape.width) {
                prop_assert_eq!(new, pixels);
            }
        }

        #[test]
        fn shrinking_keeps_the_mean((shape, pixels) in images(), height in 1..12usize, width in 1..12usize) {
            let (height, width) = (height.min(shape.height), width.min(shape.width));
            let mean = |p: &[u8]| p.iter().map(|&b| f64::from(b)).sum::<f64>() / p.len() as f64;
            let new = resize(&pixels, shape, height, width);
            // Each new pixel is rounded once.
            prop_assert!((mean(&new) - mean(&pixels)).abs() <= 0.501);
        }

        #[test]
        fn turning_and_resizing_commute((shape, pixels) in images(), height in 1..16usize, width in 1..16usize) {
            let turn = |p: &[u8], s: ImageShape| -> Vec<u8> {
                let at = |x: usize, y: usize, c: usize| p[(y * s.width + x) * s.channels + c];
                let places = (0..s.width).flat_map(|x| (0..s.height).map(move |y| (x, y)));
                places.flat_map(|(x, y)| (0..s.channels).map(move |c| at(x, y, c))).collect()
            };
            let turned = ImageShape { height: shape.width, width: shape.height, ..shape };
            let one = turn(&resize(&pixels, shape, height, width), ImageShape { height, width, ..shape });
            let other = resize(&turn(&pixels, shape), turned, width, height);
            // The order of the axes may move a rounding.
            prop_assert!(one.iter().zip(&other).all(|(a, b)| a.abs_diff(*b) <= 1));
        }
    }
}
