//! The maps as tiles: which pixels a tile has, and how they go to the frequencies and back.

use std::marker::PhantomData;
use std::ops::Range;

use super::layout::Layout;
use super::matrices::{Matrix, TILE};
use super::transform::transform;
use crate::kernels::conv::Epilogue;
use crate::kernels::fetch;
use crate::kernels::gemm::blocks::{BLOCK_COLUMNS, BLOCK_ROWS, SET};
use crate::kernels::shared::Shared;
use crate::kernels::simd::{Simd, WithSimd};

/// A map (images, height, width, channels), cut into squares of pixels that are `step` apart, 4·`step` from one tile to
/// the next. The pixels of one remainder modulo the step are a *phase*; the phases stand side by side as if they were
/// channels, each filled up to whole sets of 16.
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

/// Tiles ahead whose pixels are brought to the cache before they are written.
const AHEAD_TILES: usize = 2;

/// What lies outside a map.
static ZEROS: [f32; SET] = [0.0; SET];

impl<const P: usize> Square<P> {
    #[inline(always)]
    fn pixel(&self, i: usize, j: usize) -> Option<usize> {
        let inside = self.rows[i] != OUTSIDE && self.columns[j] != OUTSIDE;
        inside.then(|| self.rows[i] + self.columns[j])
    }
}

/// A set of 16 channels of one phase: `count` of them exist, from `first` on.
#[derive(Clone, Copy)]
pub struct Set {
    pub phase: usize,
    pub first: usize,
    pub count: usize,
}

impl Set {
    /// The channels of the set from its `part`-th on, at most `lanes`.
    #[inline(always)]
    fn part(&self, part: usize, lanes: usize) -> Range<usize> {
        let first = self.first + part.min(self.count);
        first..first + self.count.saturating_sub(part).min(lanes)
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

    /// The channels of all phases.
    pub fn width(&self) -> usize {
        self.step * self.step * self.channels.next_multiple_of(SET)
    }

    /// Sets of the width.
    pub fn sets(&self) -> usize {
        self.width() / SET
    }

    /// A set of the width.
    #[inline(always)]
    pub fn set(&self, index: usize) -> Set {
        let of_phase = self.channels.div_ceil(SET);
        let (phase, first) = (index / of_phase, index % of_phase * SET);
        Set { phase, first, count: SET.min(self.channels - first) }
    }

    /// Blocks of 32 columns.
    pub fn blocks(&self) -> usize {
        self.width().div_ceil(BLOCK_COLUMNS)
    }

    /// The sets of a block: two, or one in the last.
    pub fn sets_of(&self, block: usize) -> Range<usize> {
        2 * block..self.sets().min(2 * block + 2)
    }

    /// Whether every pixel belongs to a square that reaches `overlap` pixels into the next.
    pub fn is_covered(&self, overlap: usize) -> bool {
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

/// Frequencies ← M (square) Mᵀ for all tiles of some images and some sets of channels; zeros outside the map.
pub struct Analyse<'a, M, const N: usize, const P: usize> {
    pub map: Tiled,
    pub images: &'a [f32],
    pub sets: Range<usize>,
    /// Of these sets only.
    pub layout: Layout,
    pub frequencies: &'a mut [f32],
    pub matrix: PhantomData<M>,
}

impl<M: Matrix<N, P>, const N: usize, const P: usize> WithSimd for Analyse<'_, M, N, P> {
    type Output = ();

    /// Group by group of 8 tiles, whose sets lie together. To take one tile after another through all sets lasted up to
    /// 2.5 times as long: that writes single lines, in far more pages of memory than the processor's table of their
    /// addresses holds.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Analyse { map, images, sets, layout, frequencies, .. } = self;
        let places = layout.places();
        let tiles = images.len() / map.image() * map.tiles_of_image();
        for first in (0..tiles).step_by(BLOCK_ROWS) {
            for (index, place) in sets.clone().zip(&places) {
                let set = map.set(index);
                for tile in first..tiles.min(first + BLOCK_ROWS) {
                    let square = map.square::<P>(tile, set.phase);
                    let out = &mut frequencies[place.of_tile(tile)..][..(N * N - 1) * place.plane + SET];
                    for part in (0..SET).step_by(S::LANES) {
                        let channels = set.part(part, S::LANES);
                        let from = images.as_ptr().wrapping_add(channels.start);
                        let out = out[part..].as_mut_ptr();
                        transform::<S, M, N, P>(
                            simd,
                            #[inline(always)]
                            |i, j| {
                                // Zeros are loaded like pixels: the borders of small maps are everywhere.
                                let from = square.pixel(i, j).map_or(ZEROS.as_ptr(), |pixel| from.wrapping_add(pixel));
                                // SAFETY: a pixel of one of the images, or zeros, and channels that it has.
                                unsafe { simd.load_of(from, channels.len()) }
                            },
                            #[inline(always)]
                            |i, j, value| {
                                // SAFETY: `out` reaches to the end of its set at the last frequency.
                                unsafe { simd.store_all(value, out.add((i * N + j) * place.plane)) }
                            },
                        );
                    }
                }
            }
        }
    }
}

/// Squares of some images ← M (frequencies) Mᵀ for a block of columns, then the epilogue; where squares overlap they
/// are added up.
pub struct Synthesise<'a, M, const N: usize, const P: usize> {
    map: Tiled,
    block: usize,
    frequencies: (&'a [f32], usize),
    epilogue: Epilogue<'a, f32>,
    images: Shared<'a, f32>,
    range: Range<usize>,
    matrix: PhantomData<M>,
}

impl<'a, M: Matrix<P, N>, const N: usize, const P: usize> Synthesise<'a, M, N, P> {
    /// To compute a block of columns in a range of the images from their frequencies, which come with the step from one
    /// frequency to the next.
    ///
    /// # Safety
    /// Until it has run, nobody else may hold, in the images of the range, the channels of the block in the pixels of
    /// their phases.
    pub unsafe fn new(
        map: Tiled,
        block: usize,
        frequencies: (&'a [f32], usize),
        epilogue: Epilogue<'a, f32>,
        images: Shared<'a, f32>,
        range: Range<usize>,
    ) -> Self {
        Synthesise { map, block, frequencies, epilogue, images, range, matrix: PhantomData }
    }
}

impl<M: Matrix<P, N>, const N: usize, const P: usize> WithSimd for Synthesise<'_, M, N, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Synthesise { map, block, range, images, .. } = &self;
        assert!(images.holds(0, range.end * map.image()), "a slice too short for the images {range:?}");
        let overlap = P - TILE;
        let tiles = range.start * map.tiles_of_image()..range.end * map.tiles_of_image();
        for tile in tiles.clone() {
            // The sets of a block lie side by side, if they are of one phase.
            for (i, index) in map.sets_of(*block).enumerate() {
                let set = map.set(index);
                let square = map.square::<P>(tile, set.phase);
                let ahead = map.square::<P>(tile + AHEAD_TILES, set.phase);
                for i in overlap..P {
                    for j in overlap..P {
                        if let Some(pixel) = ahead.pixel(i, j) {
                            fetch::ahead(images.address(pixel + set.first));
                        }
                    }
                }
                let from = (tile - tiles.start) * BLOCK_COLUMNS + i * SET;
                for part in (0..SET).step_by(S::LANES) {
                    self.square(simd, &square, map.place(tile), set.part(part, S::LANES), from + part);
                }
            }
        }
    }
}

impl<M: Matrix<P, N>, const N: usize, const P: usize> Synthesise<'_, M, N, P> {
    /// One square, for some channels of a set.
    #[inline(always)]
    fn square<S: Simd>(
        &self,
        simd: S,
        square: &Square<P>,
        [row, column]: [usize; 2],
        channels: Range<usize>,
        from: usize,
    ) {
        let overlap = P - TILE;
        let (frequencies, plane) = self.frequencies;
        let from = &frequencies[from..][..(N * N - 1) * plane + S::LANES];
        let bias = self.epilogue.bias_of(simd, channels.clone());
        transform::<S, M, P, N>(
            simd,
            #[inline(always)]
            |i, j| {
                // SAFETY: `from` reaches to the end of the vector at the last frequency.
                unsafe { simd.load_all(from.as_ptr().add((i * N + j) * plane)) }
            },
            #[inline(always)]
            |i, j, value| {
                if let Some(pixel) = square.pixel(i, j) {
                    let to = self.images.address(pixel + channels.start);
                    // The tiles before, in the order of rows, have been here.
                    let again = (i < overlap && row > 0) || (j < overlap && column > 0);
                    // SAFETY: a pixel of one of the images, which lie in the slice by the assertion in `with_simd`;
                    // nobody else holds these channels of this phase's pixels, as whoever called `new` has promised.
                    unsafe {
                        let before = if again { simd.load_of(to, channels.len()) } else { bias };
                        let value = simd.add(value, before);
                        let value = if overlap == 0 { self.epilogue.activate(simd, value) } else { value };
                        simd.store_of(value, to, channels.len());
                    }
                }
            },
        );
    }
}
