//! Where the frequencies lie, so that the products read memory in its order.

use crate::kernels::gemm::blocks::{LANES, ROWS};

/// A line of the cache between two planes: at distances that are powers of two they would crowd in one set of the cache.
pub const PAD: usize = LANES;

/// The places of frequencies (tiles, channels): [chunks of channels][frequencies][groups of 8 tiles][sets][8][lanes],
/// where a chunk has `sets` times `lanes` channels, the last one maybe fewer sets.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Channels, filled up to whole vectors.
    pub width: usize,
    /// Groups of 8 tiles.
    pub groups: usize,
    /// N².
    pub frequencies: usize,
    /// Channels of a set: 16 in a left operand, 32 in a right one or a result.
    pub lanes: usize,
    /// Sets of a chunk.
    pub sets: usize,
}

/// Where a vector of 16 channels lies.
#[derive(Clone, Copy)]
pub struct Place {
    /// The vector of frequency 0 and tile 0.
    start: usize,
    /// From one group of tiles to the next.
    group: usize,
    /// From one tile of a group to the next.
    tile: usize,
    /// From one frequency to the next.
    pub plane: usize,
}

impl Place {
    /// The vector of a tile at frequency 0.
    #[inline(always)]
    pub fn of_tile(&self, tile: usize) -> usize {
        self.start + tile / ROWS * self.group + tile % ROWS * self.tile
    }
}

impl Layout {
    /// Elements of a set: 8 tiles.
    fn set(&self) -> usize {
        ROWS * self.lanes
    }

    /// The number of chunks.
    pub fn chunks(&self) -> usize {
        self.width.div_ceil(self.lanes * self.sets)
    }

    /// Sets of a chunk.
    pub fn sets_of(&self, chunk: usize) -> usize {
        self.sets.min(self.width.div_ceil(self.lanes) - chunk * self.sets)
    }

    /// From one frequency of a chunk to the next.
    pub fn plane(&self, chunk: usize) -> usize {
        self.groups * self.sets_of(chunk) * self.set() + PAD
    }

    /// Where a chunk begins.
    pub fn chunk(&self, chunk: usize) -> usize {
        chunk * self.frequencies * (self.groups * self.sets * self.set() + PAD)
    }

    /// Elements of all.
    pub fn len(&self) -> usize {
        let last = self.chunks() - 1;
        self.chunk(last) + self.frequencies * self.plane(last)
    }

    /// Zeros in the rest of the last group, from this tile on: terms of a sum over tiles.
    pub fn clear_after(&self, tile: usize, frequencies: &mut [f32]) {
        if tile.is_multiple_of(ROWS) {
            return;
        }
        for place in self.places() {
            for f in 0..self.frequencies {
                for tile in tile..tile.next_multiple_of(ROWS) {
                    frequencies[place.of_tile(tile) + f * place.plane..][..LANES].fill(0.0);
                }
            }
        }
    }

    /// The places of all vectors of 16 channels.
    pub fn places(&self) -> Vec<Place> {
        let vectors = (0..self.width).step_by(LANES);
        let place = |channel: usize| {
            let (set, chunk) = (channel / self.lanes, channel / (self.lanes * self.sets));
            let start = self.chunk(chunk) + set % self.sets * self.set() + channel % self.lanes;
            Place { start, group: self.sets_of(chunk) * self.set(), tile: self.lanes, plane: self.plane(chunk) }
        };
        vectors.map(place).collect()
    }
}
