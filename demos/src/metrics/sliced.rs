//! The sliced Wasserstein distance of two sets of images (Karras et al. 2018, "Progressive growing of GANs", section
//! 5), the one metric here that no network comes into.
//!
//! Each image becomes a Laplacian pyramid (Burt and Adelson 1983): Lₗ = Gₗ − up(Gₗ₊₁), where Gₗ₊₁ is Gₗ blurred and
//! halved in side, down to sides of about 16, of which G itself is the last level. From each level of each image come
//! patches of 7×7 pixels at random places; each channel of all patches of a set is brought to mean 0 and deviation 1.
//! The distance of two levels is W₁ of the patches' projections on a random direction, which in one dimension is the
//! mean distance of the sorted values, averaged over directions. Large sides speak of fine detail, small ones of
//! composition.
//!
//! Here 16 patches to an image and 256 directions are taken; the paper takes 128 of more images, and 512.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use wengert::{Rng, Tensor, Var};

use super::{check, times_transposed};
use crate::data::ImageShape;

/// The side of a patch.
const PATCH: usize = 7;

/// Patches from each level of each image.
const PATCHES: usize = 16;

/// Directions to project on.
const DIRECTIONS: usize = 256;

/// Directions whose projections are in memory at once.
const AT_ONCE: usize = 32;

/// No level has a smaller side than this, unless the image has.
const SMALLEST: usize = 16;

/// The distance at one level of the pyramid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelDistance {
    /// The side of the level's images.
    pub side: usize,
    /// The sliced Wasserstein distance; usually published times 1000.
    pub distance: f64,
}

/// The distance of two sets of equally many images, (n, height, width, channels), at each level, the largest first.
/// `seed` determines places and directions, which are the same for both sets: the distance of a set to itself is 0.
///
/// # Errors
/// An image has a number that is not finite, or so large that a sum of some is not.
///
/// # Panics
/// If the sets are empty, hold different numbers of images or parts of one, or the images are smaller than 8×8.
pub fn sliced_wasserstein(a: &[f32], b: &[f32], shape: ImageShape, seed: u64) -> Result<Vec<LevelDistance>> {
    let numel = shape.numel();
    assert!(a.len() == b.len() && !a.is_empty() && a.len().is_multiple_of(numel), "{} and {}", a.len(), b.len());
    assert!(shape.height >= 8 && shape.width >= 8, "sliced_wasserstein: images of {shape}, expected at least 8×8");
    // Patches may miss the place of a number that is not finite.
    for (what, images) in [("images a", a), ("images b", b)] {
        check(what, images, numel, f64::is_finite, "finite numbers, a row to each image")?;
    }
    let level_distance = |(level, of): (usize, &ImageShape)| {
        let mut rng = Rng::stream(seed, level as u64);
        let places: Vec<[usize; 2]> = (0..a.len() / numel * PATCHES)
            .map(|_| [rng.below(of.height - PATCH + 1), rng.below(of.width - PATCH + 1)])
            .collect();
        let dim = PATCH * PATCH * of.channels;
        let directions = directions(dim, &mut rng);
        let patches = |images: &[f32]| {
            let patches = normalised(patches(images, shape, level, &places), of.channels);
            Tensor::from_vec([places.len(), dim], patches)
        };
        let (side, distance) = (of.height, distance(&patches(a), &patches(b), &directions));
        ensure!(
            distance.is_finite(),
            "sliced Wasserstein distance, {side}×{side}: the numbers of the images are too large"
        );
        Ok(LevelDistance { side, distance })
    };
    levels(shape).iter().enumerate().map(level_distance).collect()
}

/// The sizes of the levels.
fn levels(shape: ImageShape) -> Vec<ImageShape> {
    let halves = |s: &ImageShape| {
        let even = s.height.is_multiple_of(2) && s.width.is_multiple_of(2);
        let half = ImageShape { height: s.height / 2, width: s.width / 2, ..*s };
        (even && half.height.min(half.width) >= SMALLEST).then_some(half)
    };
    std::iter::successors(Some(shape), halves).collect()
}

/// One level of the pyramid of an image.
fn laplacian(image: &[f32], shape: ImageShape, level: usize) -> Vec<f32> {
    let sizes = levels(shape);
    let mut g = image.to_vec();
    for &size in &sizes[..level] {
        g = halved(&g, size);
    }
    if level + 1 < sizes.len() {
        let coarse = doubled(&halved(&g, sizes[level]), sizes[level + 1]);
        g.iter_mut().zip(coarse).for_each(|(x, c)| *x -= c);
    }
    g
}

/// Burt and Adelson's filter, in one direction.
const FILTER: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// Blurred, every second pixel of every second row.
fn halved(image: &[f32], size: ImageShape) -> Vec<f32> {
    let ImageShape { channels, height, width } = size;
    let blurred = blurred(image, size);
    let pixel = |(y, x): (usize, usize)| blurred[(y * width + x) * channels..][..channels].iter().copied();
    let places = (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (y, x)));
    places.flat_map(pixel).collect()
}

/// Twice as wide and high: pixels with zeros between them, blurred, times 4.
fn doubled(image: &[f32], size: ImageShape) -> Vec<f32> {
    let ImageShape { channels, height, width } = size;
    let large = ImageShape { channels, height: 2 * height, width: 2 * width };
    let mut sparse = vec![0.0; large.numel()];
    for (i, pixel) in image.chunks_exact(channels).enumerate() {
        let (y, x) = (2 * (i / width), 2 * (i % width));
        let target = &mut sparse[(y * large.width + x) * channels..][..channels];
        target.iter_mut().zip(pixel).for_each(|(t, p)| *t = 4.0 * p);
    }
    blurred(&sparse, large)
}

/// Filtered in both directions; beyond the edge the image goes on as if mirrored at the middle of the last pixel.
fn blurred(image: &[f32], size: ImageShape) -> Vec<f32> {
    let along_rows = filtered(image, size.width, size.channels);
    filtered(&along_rows, size.height, size.width * size.channels)
}

/// Filtered along the middle axis of (…, length, inner).
fn filtered(values: &[f32], length: usize, inner: usize) -> Vec<f32> {
    let line = |line: &[f32], k: usize| -> f32 {
        let (at, rest) = (k / inner, k % inner);
        FILTER.iter().enumerate().map(|(t, f)| f * line[mirrored(at + t, length) * inner + rest]).sum()
    };
    values.chunks_exact(length * inner).flat_map(|all| (0..all.len()).map(move |k| line(all, k))).collect()
}

/// The place where tap `t − 2` of 0..length is, mirrored into it.
fn mirrored(t: usize, length: usize) -> usize {
    let place = t.abs_diff(2);
    if place < length { place } else { 2 * (length - 1) - place }
}

/// The patches of one level of all images, at `PATCHES` places (row, column) to each: (n · PATCHES, 7, 7, channels).
pub(super) fn patches(images: &[f32], shape: ImageShape, level: usize, places: &[[usize; 2]]) -> Vec<f32> {
    let size = levels(shape)[level];
    let row = PATCH * size.channels;
    let mut patches = vec![0.0; places.len() * PATCH * row];
    let per_image = patches.par_chunks_exact_mut(PATCHES * PATCH * row).zip(places.par_chunks_exact(PATCHES));
    per_image.zip(images.par_chunks_exact(shape.numel())).for_each(|((patches, places), image)| {
        let level = laplacian(image, shape, level);
        for (patch, [top, left]) in patches.chunks_exact_mut(PATCH * row).zip(places) {
            for (line, y) in patch.chunks_exact_mut(row).zip(*top..) {
                line.copy_from_slice(&level[(y * size.width + left) * size.channels..][..row]);
            }
        }
    });
    patches
}

/// Each channel with mean 0 and standard deviation 1 over all patches; one without any variation is 0.
pub(super) fn normalised(mut patches: Vec<f32>, channels: usize) -> Vec<f32> {
    let count = (patches.len() / channels) as f64;
    for channel in 0..channels {
        let values = || patches.iter().skip(channel).step_by(channels).map(|&x| f64::from(x));
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        for x in patches.iter_mut().skip(channel).step_by(channels) {
            *x = ((f64::from(*x) - mean) * scale) as f32;
        }
    }
    patches
}

/// Unit vectors, evenly spread over all directions, (DIRECTIONS, dim).
fn directions(dim: usize, rng: &mut Rng) -> Tensor {
    let normal = Var::from(rng.normal::<f32>([DIRECTIONS, dim]));
    let norms = normal.powi(2).sum_axes([1], true).sqrt();
    (normal / norms).into_value()
}

/// The mean over directions, (count, dim), of W₁ of the projections of as many points (n, dim) in a as in b.
pub(super) fn distance(a: &Tensor, b: &Tensor, directions: &Tensor) -> f64 {
    let (n, count) = (a.shape()[0], directions.shape()[0]);
    let directions = Var::from(directions);
    let mut distances = Vec::with_capacity(count);
    for start in (0..count).step_by(AT_ONCE) {
        let some = directions.slice(0, start..count.min(start + AT_ONCE)).into_value();
        let [mut a, mut b] = [a, b].map(|points| times_transposed(&some, points).to_vec());
        let pairs = a.par_chunks_exact_mut(n).zip(b.par_chunks_exact_mut(n));
        distances.par_extend(pairs.map(|(a, b)| {
            a.sort_unstable_by(f32::total_cmp);
            b.sort_unstable_by(f32::total_cmp);
            a.iter().zip(b).map(|(a, b)| f64::from((*a - *b).abs())).sum::<f64>() / n as f64
        }));
    }
    distances.iter().sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOUR: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    fn noise(seed: u64, n: usize) -> Vec<f32> {
        Rng::seed(seed).normal([n, COLOUR.numel()]).to_vec()
    }

    #[test]
    fn a_set_is_at_distance_zero_from_itself_in_any_order() {
        let images = noise(1, 40);
        let found = sliced_wasserstein(&images, &images, COLOUR, 7).unwrap();
        assert_eq!(found.iter().map(|level| (level.side, level.distance)).collect::<Vec<_>>(), [(32, 0.0), (16, 0.0)]);
        let other = sliced_wasserstein(&images, &noise(2, 40), COLOUR, 7).unwrap();
        assert!(other.iter().all(|level| level.distance > 0.01), "{other:?}");
        assert!(found != other && other == sliced_wasserstein(&images, &noise(2, 40), COLOUR, 7).unwrap());
    }

    #[test]
    fn images_that_are_not_finite_are_named() {
        let (good, numel) = (noise(1, 3), COLOUR.numel());
        for bad in [f32::NAN, f32::INFINITY] {
            let mut images = good.clone();
            images[numel + 7] = bad;
            let message = |a: &[f32], b: &[f32]| sliced_wasserstein(a, b, COLOUR, 7).unwrap_err().to_string();
            assert!(message(&images, &good).starts_with(&format!("images a: found {bad} in row 2, column 8;")));
            assert!(message(&good, &images).starts_with(&format!("images b: found {bad} in row 2, column 8;")));
        }
        // Finite, but blurring adds them up.
        let large: Vec<f32> = good.iter().map(|x| x.signum() * f32::MAX).collect();
        let message = sliced_wasserstein(&good, &large, COLOUR, 7).unwrap_err().to_string();
        assert!(message.contains("32×32: the numbers of the images are too large"), "{message}");
    }

    #[test]
    fn a_shift_moves_each_projection_by_its_part() {
        let mut rng = Rng::seed(5);
        let points: Tensor = rng.normal([300, 4]);
        let shift = Tensor::from_vec([1, 4], vec![1.0, -2.0, 0.5, 3.0]);
        let directions: Tensor = rng.normal([50, 4]);
        let moved = (Var::from(&points) + Var::from(&shift)).into_value();
        let expected =
            times_transposed(&directions, &shift).to_vec().iter().map(|x| f64::from(x.abs())).sum::<f64>() / 50.0;
        let found = distance(&points, &moved, &directions);
        assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    }

    #[test]
    fn directions_are_unit_vectors_all_over_the_sphere() {
        let all = directions(3, &mut Rng::seed(1)).to_vec();
        let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        assert!(all.chunks(3).all(|v| (norm(v) - 1.0).abs() < 1e-5));
        let mean = |axis: usize| all.iter().skip(axis).step_by(3).sum::<f32>() / DIRECTIONS as f32;
        assert!((0..3).all(|axis| mean(axis).abs() < 0.12));
    }

    #[test]
    fn levels_halve_down_to_sixteen() {
        let sides = |side: usize| {
            let shape = ImageShape { channels: 1, height: side, width: side };
            levels(shape).iter().map(|level| level.height).collect::<Vec<_>>()
        };
        assert_eq!(sides(64), [64, 32, 16]);
        assert_eq!(sides(48), [48, 24]);
        assert_eq!(sides(8), [8]);
        assert_eq!(sides(40), [40, 20]);
    }

    #[test]
    fn the_levels_add_up_to_the_image() {
        let image = noise(3, 1);
        let fine = laplacian(&image, COLOUR, 0);
        let coarse = doubled(&laplacian(&image, COLOUR, 1), levels(COLOUR)[1]);
        assert!(image.iter().zip(fine.iter().zip(coarse)).all(|(x, (f, c))| (x - (f + c)).abs() < 1e-6));
        // A constant image has no detail: the filter keeps it, up and down, at the edges too.
        let flat = vec![0.5; COLOUR.numel()];
        assert!(laplacian(&flat, COLOUR, 0).iter().all(|x| x.abs() < 1e-6));
        assert!(laplacian(&flat, COLOUR, 1).iter().all(|x| (x - 0.5).abs() < 1e-6));
    }

    #[test]
    fn channels_are_brought_to_mean_zero_and_deviation_one() {
        let found = normalised(vec![1.0, 5.0, 0.0, 3.0, 5.0, 10.0], 3);
        assert_eq!(found, [-1.0, 0.0, -1.0, 1.0, 0.0, 1.0]);
    }
}
