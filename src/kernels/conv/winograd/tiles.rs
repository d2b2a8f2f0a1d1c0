//! The maps as tiles: which pixels a tile has, and how they go to the frequencies and back.

use super::lanes::{LANES, Square, add, load, store, transform};
use super::matrices::{Matrix, TILE};
use crate::kernels::Element;

/// Columns of a block of frequencies: two vectors of AVX-512, the width of the product's tile in registers.
pub const BLOCK: usize = 32;

/// A map (images, height, width, channels), cut into squares of pixels that are `step` apart and 4·`step` from one
/// tile to the next. The pixels of one remainder modulo the step are a *phase*; the phases stand side by side as if they were channels.
#[derive(Clone, Copy)]
pub struct Tiled {
    /// (height, width)
    pub size: [usize; 2],
    pub channels: usize,
    /// How many pixels the first square begins outside the map.
    pub before: [usize; 2],
    pub step: usize,
    /// Tiles of an image, vertically and horizontally.
    pub tiles: [usize; 2],
}

/// Where frequency f of tile t and channel c lies in a buffer.
#[derive(Clone, Copy)]
pub struct Layout {
    /// From one frequency to the next.
    pub plane: usize,
    /// From one tile to the next.
    pub tile: usize,
    /// From one [`BLOCK`] of channels to the next.
    pub block: usize,
}

impl Layout {
    #[inline(always)]
    pub fn at(&self, frequency: usize, tile: usize, channel: usize) -> usize {
        channel / BLOCK * self.block + frequency * self.plane + tile * self.tile + channel % BLOCK
    }
}

impl Tiled {
    /// Elements of an image.
    pub fn image(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// The channels of one phase, filled up to whole vectors.
    pub fn phase(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }

    /// The channels of all phases.
    pub fn width(&self) -> usize {
        self.step * self.step * self.phase()
    }

    /// Frequencies ← M (square) Mᵀ for all tiles of some images and all channels; zeros outside the map.
    #[inline(always)]
    pub fn analyse<T: Element, M: Matrix<N, P>, const N: usize, const P: usize>(
        &self,
        images: &[T],
        frequencies: &mut [T],
        layout: Layout,
    ) {
        self.squares(
            images.len(),
            #[inline(always)]
            |image, tile, window, first, channel| {
                let mut square: Square<T, P> = [[[T::zero(); LANES]; P]; P];
                for (i, row) in square.iter_mut().enumerate() {
                    for (j, lanes) in row.iter_mut().enumerate() {
                        if let Some(pixel) = self.pixel(window, [i, j]) {
                            *lanes = load(&images[image + pixel..][first..self.channels.min(first + LANES)]);
                        }
                    }
                }
                for (f, lanes) in transform::<T, M, N, P>(&square).as_flattened().iter().enumerate() {
                    store(lanes, &mut frequencies[layout.at(f, tile, channel)..]);
                }
            },
        );
    }

    /// Squares of some images ← M (frequencies) Mᵀ, plus `bias`; where squares overlap they are added up.
    #[inline(always)]
    pub fn synthesise<T: Element, M: Matrix<P, N>, const N: usize, const P: usize>(
        &self,
        frequencies: &[T],
        layout: Layout,
        bias: Option<&[T]>,
        images: &mut [T],
    ) {
        let overlap = P > TILE;
        if overlap {
            match bias {
                Some(bias) => images.chunks_exact_mut(self.channels).for_each(|pixel| pixel.copy_from_slice(bias)),
                None => images.fill(T::zero()),
            }
        }
        self.squares(
            images.len(),
            #[inline(always)]
            |image, tile, window, first, channel| {
                let mut square: Square<T, N> = [[[T::zero(); LANES]; N]; N];
                for (f, lanes) in square.as_flattened_mut().iter_mut().enumerate() {
                    *lanes = load(&frequencies[layout.at(f, tile, channel)..]);
                }
                let end = self.channels.min(first + LANES);
                let bias = bias.map_or([T::zero(); LANES], |bias| load(&bias[first..end]));
                for (i, row) in transform::<T, M, P, N>(&square).iter().enumerate() {
                    for (j, lanes) in row.iter().enumerate() {
                        if let Some(pixel) = self.pixel(window, [i, j]) {
                            let to = &mut images[image + pixel..][first..end];
                            let other = if overlap { load(to) } else { bias };
                            store(&add(lanes, &other), to);
                        }
                    }
                }
            },
        );
    }

    /// Calls `visit(image, tile, window, first, channel)` for every tile, phase and vector of channels: where the
    /// image begins, the number of the tile, its first pixel, the first channel in the map and in the frequencies.
    #[inline(always)]
    fn squares(&self, elements: usize, mut visit: impl FnMut(usize, usize, [usize; 2], usize, usize)) {
        let mut tile = 0;
        for image in (0..elements).step_by(self.image()) {
            for row in 0..self.tiles[0] {
                for column in 0..self.tiles[1] {
                    for phase in 0..self.step * self.step {
                        // Wraps to something large above and left of the map.
                        let top = (row * TILE * self.step + phase / self.step).wrapping_sub(self.before[0]);
                        let left = (column * TILE * self.step + phase % self.step).wrapping_sub(self.before[1]);
                        for first in (0..self.channels).step_by(LANES) {
                            visit(image, tile, [top, left], first, phase * self.phase() + first);
                        }
                    }
                    tile += 1;
                }
            }
        }
    }

    /// Where pixel (i, j) of the square at `window` lies in its image, if it exists.
    #[inline(always)]
    fn pixel(&self, window: [usize; 2], [i, j]: [usize; 2]) -> Option<usize> {
        let (i, j) = (window[0].wrapping_add(i * self.step), window[1].wrapping_add(j * self.step));
        (i < self.size[0] && j < self.size[1]).then(|| (i * self.size[1] + j) * self.channels)
    }
}
