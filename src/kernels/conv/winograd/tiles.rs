//! The maps as tiles: which pixels a tile has, and how they go to the frequencies and back.

use super::lanes::{Lanes, add, load, store, transform};
use super::layout::Layout;
use super::matrices::{Matrix, TILE};
use crate::kernels::{Buffer, Element, fetch};
use crate::kernels::conv::Epilogue;
use crate::kernels::gemm::blocks::{COLUMNS, LANES};
use crate::kernels::shared::Shared;

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

/// Where a tile's pixels of one phase lie: pixel (i, j) at `rows[i] + columns[j]`, unless one is [`OUTSIDE`] the map.
struct Square<const P: usize> {
    rows: [usize; P],
    columns: [usize; P],
}

const OUTSIDE: usize = usize::MAX;

/// Tiles ahead whose pixels are brought to the cache.
const AHEAD: usize = 2;

impl<const P: usize> Square<P> {
    #[inline(always)]
    fn pixel(&self, i: usize, j: usize) -> Option<usize> {
        let inside = self.rows[i] != OUTSIDE && self.columns[j] != OUTSIDE;
        inside.then(|| self.rows[i] + self.columns[j])
    }
}

impl Tiled {
    /// Elements of an image.
    pub fn image(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Tiles of an image.
    pub fn tiles_of_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The channels of one phase, filled up to whole vectors.
    pub fn phase(&self) -> usize {
        self.channels.next_multiple_of(LANES)
    }

    /// The channels of all phases.
    pub fn width(&self) -> usize {
        self.step * self.step * self.phase()
    }

    /// Blocks of columns of the width.
    pub fn blocks(&self) -> usize {
        self.width().div_ceil(COLUMNS)
    }

    /// The vectors of each block: two, or one in the last.
    pub fn vectors(&self, block: usize) -> usize {
        (self.width() / LANES - 2 * block).min(2)
    }

    /// Phase and first channel of a vector of the width.
    pub fn vector(&self, index: usize) -> (usize, usize) {
        (index * LANES / self.phase(), index * LANES % self.phase())
    }

    /// Frequencies ← M (square) Mᵀ for all tiles of some images and all channels; zeros outside the map.
    #[inline(always)]
    pub fn analyse<T: Element, M: Matrix<N, P>, const N: usize, const P: usize>(
        &self,
        images: &[T],
        frequencies: &mut [T],
        layout: Layout,
    ) {
        let places = layout.places();
        let zeros = Buffer::filled(self.channels, T::zero());
        // What the tile below will read: whoever reads tile by tile is not foreseen by the processor.
        let below = TILE * self.step * self.size[1] * self.channels;
        for tile in 0..images.len() / self.image() * self.tiles_of_image() {
            for phase in 0..self.step * self.step {
                let square = self.square::<P>(tile, phase);
                let mut pixels = [[&zeros[..]; P]; P];
                for (i, pixels) in pixels.iter_mut().enumerate() {
                    for (j, channels) in pixels.iter_mut().enumerate() {
                        if let Some(pixel) = square.pixel(i, j) {
                            *channels = &images[pixel..][..self.channels];
                        }
                    }
                }
                for first in (0..self.channels).step_by(LANES) {
                    let place = places[(phase * self.phase() + first) / LANES];
                    let out = &mut frequencies[place.of_tile(tile)..];
                    pixels[..TILE].iter().flat_map(|pixels| &pixels[..TILE]).for_each(|channels| {
                        fetch::to_read(channels.as_ptr().wrapping_add(below + first));
                    });
                    transform::<T, M, N, P>(
                        #[inline(always)]
                        |i, j| load(&pixels[i][j][first..]),
                        #[inline(always)]
                        |i, j, lanes| store(&lanes, &mut out[(i * N + j) * place.plane..]),
                    );
                }
            }
        }
    }

    /// Squares of some images ← M (frequencies) Mᵀ for a block of columns, then the epilogue; where squares overlap they are
    /// added up. `images` begins with image `first`; no other task may hold its channels of this block.
    #[inline(always)]
    pub fn synthesise<T: Element, M: Matrix<P, N>, const N: usize, const P: usize>(
        &self,
        block: usize,
        frequencies: &[T],
        plane: usize,
        epilogue: Epilogue<T>,
        images: Shared<T>,
        range: std::ops::Range<usize>,
    ) {
        let overlap = P - TILE;
        for i in 0..self.vectors(block) {
            let (phase, first) = self.vector(2 * block + i);
            let channels = first..self.channels.min(first + LANES);
            let bias = epilogue.bias.map_or(Lanes::zero(), |bias| load(&bias[channels.clone()]));
            // SAFETY: the caller's promise; one pixel at a time is held here.
            let pixel = |at: usize| unsafe { images.part(at + first, channels.len()) };
            if overlap > 0 && !self.is_covered(overlap) {
                (range.start * self.image()..range.end * self.image())
                    .step_by(self.channels)
                    .for_each(|at| store(&bias, pixel(at)));
            }
            for tile in 0..range.len() * self.tiles_of_image() {
                let square = self.square::<P>(range.start * self.tiles_of_image() + tile, phase);
                let [row, column] = self.place(tile);
                let ahead = self.square::<P>(range.start * self.tiles_of_image() + tile + AHEAD, phase);
                for i in overlap..P {
                    for j in overlap..P {
                        if let Some(at) = ahead.pixel(i, j) {
                            fetch::to_write(images.at(at + first));
                        }
                    }
                }
                let from = &frequencies[tile / 8 * 256 + tile % 8 * COLUMNS + i * LANES..];
                transform::<T, M, P, N>(
                    #[inline(always)]
                    |i, j| load(&from[(i * N + j) * plane..]),
                    #[inline(always)]
                    |i, j, lanes| {
                        if let Some(at) = square.pixel(i, j) {
                            let to = pixel(at);
                            // The tiles before, in the order of rows, have been here.
                            let again = (i < overlap && row > 0) || (j < overlap && column > 0);
                            store(&add(&lanes, &if again { load(to) } else { bias }), to);
                        }
                    },
                );
            }
        }
    }

    /// Whether every pixel belongs to a square that reaches `overlap` pixels into the next.
    fn is_covered(&self, overlap: usize) -> bool {
        (0..2).all(|axis| (self.tiles[axis] * TILE + overlap) * self.step >= self.size[axis] + self.before[axis])
    }

    /// The place of a tile in its image.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 2] {
        let tile = tile % self.tiles_of_image();
        [tile / self.tiles[1], tile % self.tiles[1]]
    }

    /// The pixels of a tile, counted over all images, of one phase.
    #[inline(always)]
    fn square<const P: usize>(&self, tile: usize, phase: usize) -> Square<P> {
        let [row, column] = self.place(tile);
        let image = tile / self.tiles_of_image() * self.image();
        // Coordinates above and left of the map wrap to something large.
        let top = (row * TILE * self.step + phase / self.step).wrapping_sub(self.before[0]);
        let left = (column * TILE * self.step + phase % self.step).wrapping_sub(self.before[1]);
        let mut square = Square { rows: [OUTSIDE; P], columns: [OUTSIDE; P] };
        for i in 0..P {
            let (y, x) = (top.wrapping_add(i * self.step), left.wrapping_add(i * self.step));
            if y < self.size[0] {
                square.rows[i] = image + y * self.size[1] * self.channels;
            }
            if x < self.size[1] {
                square.columns[i] = x * self.channels;
            }
        }
        square
    }
}
