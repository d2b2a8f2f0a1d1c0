//! The maps as tiles: which pixels a tile has, and how they go to the frequencies and back.

use super::lanes::{LANES, add, load, store, transform};
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

/// The place of a pixel that lies outside the map.
const OUTSIDE: usize = usize::MAX;

/// Where the frequencies of tile t and channel c lie in a buffer.
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
    /// The first frequency.
    #[inline(always)]
    pub fn at(&self, tile: usize, channel: usize) -> usize {
        channel / BLOCK * self.block + tile * self.tile + channel % BLOCK
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
        self.squares::<P>(
            images.len() / self.image(),
            #[inline(always)]
            |tile, phase, pixels| {
                if phase == 0 && tile % (self.tiles[0] * self.tiles[1]) == 0 {
                    let image = tile / (self.tiles[0] * self.tiles[1]) * self.image();
                    fetch(&images[image..][..self.image()]);
                }
                for first in (0..self.channels).step_by(LANES) {
                    let channels = first..self.channels.min(first + LANES);
                    let out = &mut frequencies[layout.at(tile, phase * self.phase() + first)..];
                    transform::<T, M, N, P>(
                        #[inline(always)]
                        |i, j| match pixels[i][j] {
                            OUTSIDE => [T::zero(); LANES],
                            pixel => load(&images[pixel..][channels.clone()]),
                        },
                        #[inline(always)]
                        |i, j, lanes| store(&lanes, &mut out[(i * N + j) * layout.plane..]),
                    );
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
        self.squares::<P>(
            images.len() / self.image(),
            #[inline(always)]
            |tile, phase, pixels| {
                for first in (0..self.channels).step_by(LANES) {
                    let channels = first..self.channels.min(first + LANES);
                    let from = &frequencies[layout.at(tile, phase * self.phase() + first)..];
                    let bias = bias.map_or([T::zero(); LANES], |bias| load(&bias[channels.clone()]));
                    transform::<T, M, P, N>(
                        #[inline(always)]
                        |i, j| load(&from[(i * N + j) * layout.plane..]),
                        #[inline(always)]
                        |i, j, lanes| {
                            if pixels[i][j] != OUTSIDE {
                                let to = &mut images[pixels[i][j]..][channels.clone()];
                                let other = if overlap { load(to) } else { bias };
                                store(&add(&lanes, &other), to);
                            }
                        },
                    );
                }
            },
        );
    }

    /// Calls `visit(tile, phase, pixels)` for every tile and phase of some images: where the pixels of the square lie,
    /// or [`OUTSIDE`].
    #[inline(always)]
    fn squares<const P: usize>(&self, images: usize, mut visit: impl FnMut(usize, usize, [[usize; P]; P])) {
        let tiles = self.tiles[0] * self.tiles[1];
        for tile in 0..images * tiles {
            let (image, row, column) = (tile / tiles, tile % tiles / self.tiles[1], tile % self.tiles[1]);
            for phase in 0..self.step * self.step {
                // Coordinates above and left of the map wrap to something large.
                let top = (row * TILE * self.step + phase / self.step).wrapping_sub(self.before[0]);
                let left = (column * TILE * self.step + phase % self.step).wrapping_sub(self.before[1]);
                let mut pixels = [[OUTSIDE; P]; P];
                for (i, pixels) in pixels.iter_mut().enumerate() {
                    for (j, pixel) in pixels.iter_mut().enumerate() {
                        let (i, j) = (top.wrapping_add(i * self.step), left.wrapping_add(j * self.step));
                        if i < self.size[0] && j < self.size[1] {
                            *pixel = ((image * self.size[0] + i) * self.size[1] + j) * self.channels;
                        }
                    }
                }
                visit(tile, phase, pixels);
            }
        }
    }
}

/// Reads one value of each line of the cache in the order of memory: the processor foresees these reads, and not those
/// of tiles.
#[inline(always)]
fn fetch<T: Element>(values: &[T]) {
    let sum = values.iter().step_by(LANES).fold(T::zero(), |sum, &value| sum.max(value));
    std::hint::black_box(sum);
}
