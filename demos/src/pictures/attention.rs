//! Maps of self-attention, as Figure 5 of the SAGAN paper shows them (Zhang et al. 2019, arXiv:1805.08318): an image
//! with coloured points, and for each point the image again, with the point in white and where it looks in its colour.

use super::grid::to_byte;
use super::{Raster, encode, write_png};
use crate::data::ImageShape;
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// An image and where its positions look.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMap<'a> {
    /// (height, width, channels) in [−1, 1].
    pub image: &'a [f32],
    /// The size of the image.
    pub shape: ImageShape,
    /// β, (N, M): how much each of the N = rows·columns positions of `queries` takes from each of the M of `keys`.
    pub weights: &'a [f32],
    /// Rows and columns of the positions that look.
    pub queries: [usize; 2],
    /// Rows and columns of the positions that are looked at; fewer than `queries` where keys are pooled.
    pub keys: [usize; 2],
}

/// Every pixel of an image becomes a square of this side.
const SCALE: usize = 4;
/// Pixels between the tiles.
const GAP: usize = 4;
/// The colours of the points, in turn: bright ones, since the images under them are dimmed.
const COLOURS: [[f32; 3]; 6] = [
    [255.0, 90.0, 60.0],
    [90.0, 220.0, 90.0],
    [80.0, 160.0, 255.0],
    [255.0, 210.0, 50.0],
    [240.0, 110.0, 240.0],
    [60.0, 225.0, 225.0],
];

/// Draws a row for every map into the PNG file `path`: the image with the points at `positions` (row and column of
/// `queries`), then a tile for each point. In a tile the colour is full where the weight is that point's greatest.
///
/// # Errors
/// Names the path: maps of different sizes, numbers that do not fit the sizes, a position outside, no map, or a failed
/// write.
pub fn write_attention(path: &Path, maps: &[AttentionMap], positions: &[[usize; 2]]) -> Result<()> {
    let picture = draw(maps, positions);
    let picture = picture.with_context(|| format!("{}: cannot draw the attention", path.display()))?;
    write_png(path, &picture, &[("Title", "Self-attention from the marked points")])
}

/// Where five positions of the generator's maps look, in each of these images (n, height, width, channels), with their
/// maps (n, height·width/4, height·width/16): the middle, and the middles of the quarters.
///
/// # Errors
/// Names the path: there is no image, numbers do not fit the sizes, or a failed write.
pub fn write_attention_of(path: &Path, images: &[f32], maps: &[f32], shape: ImageShape) -> Result<()> {
    let (maps, positions) = generators_maps(images, maps, shape);
    write_attention(path, &maps, &positions)
}

/// The picture of [`write_attention_of`] as the bytes of a PNG file.
///
/// # Errors
/// There is no image, or numbers do not fit the sizes.
pub fn attention_png(images: &[f32], maps: &[f32], shape: ImageShape) -> Result<Vec<u8>> {
    let (maps, positions) = generators_maps(images, maps, shape);
    encode(&draw(&maps, &positions)?, &[])
}

fn generators_maps<'a>(
    images: &'a [f32],
    maps: &'a [f32],
    shape: ImageShape,
) -> (Vec<AttentionMap<'a>>, [[usize; 2]; 5]) {
    let [rows, columns] = [shape.height / 2, shape.width / 2];
    let (queries, keys) = ([rows, columns], [rows / 2, columns / 2]);
    let images = images.chunks_exact(shape.numel());
    let maps = maps.chunks_exact((maps.len() / images.len().max(1)).max(1));
    let map = |(image, weights)| AttentionMap { image, shape, weights, queries, keys };
    let at = |[row, column]: [usize; 2]| [row * rows / 4, column * columns / 4];
    (images.zip(maps).map(map).collect(), [[2, 2], [1, 1], [1, 3], [3, 1], [3, 3]].map(at))
}

fn draw(maps: &[AttentionMap], positions: &[[usize; 2]]) -> Result<Raster> {
    let first = maps.first().context("found no map")?;
    for map in maps {
        map.check(positions)?;
        ensure!(map.shape == first.shape, "found images of {} and of {}", first.shape, map.shape);
    }
    let [tile_height, tile_width] = [first.shape.height * SCALE + GAP, first.shape.width * SCALE + GAP];
    let (width, height) = ((positions.len() + 1) * tile_width + GAP, maps.len() * tile_height + GAP);
    let mut pixels = vec![255; width * height * 3];
    for (row, map) in maps.iter().enumerate() {
        for column in 0..=positions.len() {
            let point = column.checked_sub(1);
            for y in 0..map.shape.height * SCALE {
                for x in 0..map.shape.width * SCALE {
                    let at = ((GAP + row * tile_height + y) * width + GAP + column * tile_width + x) * 3;
                    pixels[at..at + 3].copy_from_slice(&map.colour([y, x], positions, point));
                }
            }
        }
    }
    Ok(Raster { width, height, channels: 3, pixels })
}

impl AttentionMap<'_> {
    fn check(&self, positions: &[[usize; 2]]) -> Result<()> {
        let AttentionMap { image, shape, weights, queries, keys } = self;
        let fits = image.len() == shape.numel() && shape.numel() > 0 && matches!(shape.channels, 1 | 3);
        ensure!(fits, "found {} numbers for an image of {shape}, expected 1 or 3 channels", image.len());
        let expected = queries[0] * queries[1] * keys[0] * keys[1];
        ensure!(
            weights.len() == expected && expected > 0,
            "found {} weights, expected {expected}, from {queries:?} to {keys:?} positions",
            weights.len()
        );
        let outside = positions.iter().find(|p| p[0] >= queries[0] || p[1] >= queries[1]);
        ensure!(outside.is_none(), "found the position {outside:?}, expected one within {queries:?}");
        Ok(())
    }

    /// The pixel at this row and column of a tile: of the plain image if `point` is none.
    fn colour(&self, pixel: [usize; 2], positions: &[[usize; 2]], point: Option<usize>) -> [u8; 3] {
        let ImageShape { channels, width, .. } = self.shape;
        let at = (pixel[0] / SCALE * width + pixel[1] / SCALE) * channels;
        let own: [f32; 3] = std::array::from_fn(|c| f32::from(to_byte(self.image[at + c % channels])));
        let marked = |i: &usize| point.is_none_or(|point| point == *i) && self.is_near(pixel, positions[*i]);
        if let Some(i) = (0..positions.len()).find(marked) {
            // White on the tile of the point itself, which is full of its colour there.
            return if point.is_some() { [255; 3] } else { COLOURS[i % COLOURS.len()].map(|c| c as u8) };
        }
        let Some(point) = point else { return own.map(|c| c as u8) };
        let share = self.share(pixel, positions[point]);
        let grey = 0.5 * own.iter().sum::<f32>() / 3.0;
        COLOURS[point % COLOURS.len()].map(|c| (grey + (c - grey) * share) as u8)
    }

    /// Whether a pixel of the tile belongs to the mark of a position: a disc as wide as two pixels of the image.
    fn is_near(&self, pixel: [usize; 2], position: [usize; 2]) -> bool {
        let extents = [self.shape.height, self.shape.width];
        let distance = |axis: usize| {
            let cell = (extents[axis] * SCALE) as f32 / self.queries[axis] as f32;
            pixel[axis] as f32 + 0.5 - (position[axis] as f32 + 0.5) * cell
        };
        distance(0).hypot(distance(1)) <= SCALE as f32
    }

    /// The weight of the key under a pixel, as a share of the greatest from that position.
    fn share(&self, pixel: [usize; 2], position: [usize; 2]) -> f32 {
        let [rows, columns] = self.keys;
        let from = position[0] * self.queries[1] + position[1];
        let weights = &self.weights[from * rows * columns..][..rows * columns];
        let greatest = weights.iter().copied().fold(0.0, f32::max);
        let row = pixel[0] * rows / (self.shape.height * SCALE);
        let column = pixel[1] * columns / (self.shape.width * SCALE);
        let share = weights[row * columns + column] / greatest;
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::read_png;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

    /// From 4×4 positions to 2×2: the last position looks at the lower left, all others evenly.
    fn weights() -> Vec<f32> {
        [vec![0.25; 15 * 4], vec![0.1, 0.0, 0.8, 0.1]].concat()
    }

    #[test]
    fn colour_lies_where_the_position_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attention.png");
        let (image, weights) = ([1.0; 64], weights());
        let map = AttentionMap { image: &image, shape: SHAPE, weights: &weights, queries: [4, 4], keys: [2, 2] };
        write_attention(&path, &[map], &[[3, 3], [0, 0]]).unwrap();
        let picture = read_png(&path).unwrap();
        assert_eq!((picture.width, picture.height), (3 * 36 + 4, 40));
        let at = |tile: usize, y: usize, x: usize| {
            let start = ((4 + y) * picture.width + 4 + tile * 36 + x) * 3;
            [picture.pixels[start], picture.pixels[start + 1], picture.pixels[start + 2]]
        };
        // Position (3, 3) of 4×4 is the pixel (28, 28) of 32×32; (0, 0) is (4, 4).
        let (red, green) = ([255, 90, 60], [90, 220, 90]);
        assert_eq!([at(0, 28, 28), at(0, 4, 4), at(0, 16, 16)], [red, green, [255; 3]]);
        assert_eq!([at(1, 28, 28), at(2, 4, 4)], [[255; 3]; 2]);
        // A dimmed white of 127.5, but full red in the lower left; an eighth of the way to it above.
        assert_eq!([at(1, 20, 4), at(1, 20, 20), at(1, 4, 20)], [red, [143, 122, 119], [127; 3]]);
        assert_eq!([at(2, 20, 4), at(2, 20, 20)], [green; 2], "even weights are full everywhere");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (image, weights) = ([0.0; 64], weights());
        let map = AttentionMap { image: &image, shape: SHAPE, weights: &weights, queries: [4, 4], keys: [2, 2] };
        let error = |maps: &[AttentionMap], positions: &[[usize; 2]]| {
            format!("{:#}", write_attention(Path::new("no/a.png"), maps, positions).unwrap_err())
        };
        assert!(error(&[], &[]).contains("no/a.png: cannot draw the attention: found no map"));
        assert!(error(&[map], &[[0, 4]]).contains("found the position Some([0, 4])"));
        assert!(error(&[AttentionMap { keys: [2, 3], ..map }], &[]).contains("found 64 weights, expected 96"));
        assert!(error(&[AttentionMap { image: &image[1..], ..map }], &[]).contains("found 63 numbers"));
        let narrow = AttentionMap { shape: ImageShape { width: 4, height: 16, ..SHAPE }, ..map };
        assert!(error(&[map, narrow], &[]).contains("found images of 8×8×1"));
        // Weights that are no numbers make a picture all the same.
        let odd = [f32::NAN; 64];
        let dir = tempfile::tempdir().unwrap();
        write_attention(&dir.path().join("a.png"), &[AttentionMap { weights: &odd, ..map }], &[[1, 1]]).unwrap();
    }
}
