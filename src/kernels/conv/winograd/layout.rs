//! Where the frequencies lie, so that the products read memory in its order.

use crate::kernels::gemm::blocks::{BLOCK_ROWS, SET};

/// A line of the cache between two planes: at distances that are powers of two they would compete for the same few
/// lines of the cache.
pub const PAD: usize = SET;

/// The places of frequencies (tiles, channels): [chunks of channels][frequencies][groups of 8 tiles][strips][8][strip],
/// where a strip is 16 or 32 channels side by side, and a chunk `strips` of them, or fewer in the last.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Channels, filled up to whole sets.
    pub width: usize,
    /// Groups of 8 tiles.
    pub groups: usize,
    /// N².
    pub frequencies: usize,
    /// Channels of a strip: a set of 16 in a left operand, a block of 32 in a right one or a result.
    pub strip: usize,
    /// Strips of a chunk.
    pub strips: usize,
}

/// Where a set of 16 channels lies.
#[derive(Clone, Copy)]
pub struct Place {
    /// That of frequency 0 and tile 0.
    start: usize,
    /// From one group of tiles to the next.
    group: usize,
    /// From one tile of a group to the next.
    tile: usize,
    /// From one frequency to the next.
    pub plane: usize,
}

impl Place {
    /// Where it lies for a tile at frequency 0.
    #[inline(always)]
    pub fn of_tile(&self, tile: usize) -> usize {
        self.start + tile / BLOCK_ROWS * self.group + tile % BLOCK_ROWS * self.tile
    }
}

impl Layout {
    /// Elements of a strip in a group of tiles.
    fn strip_len(&self) -> usize {
        BLOCK_ROWS * self.strip
    }

    /// The number of chunks.
    pub fn chunks(&self) -> usize {
        self.width.div_ceil(self.strip * self.strips)
    }

    /// Strips of a chunk.
    fn strips_of(&self, chunk: usize) -> usize {
        self.strips.min(self.width.div_ceil(self.strip) - chunk * self.strips)
    }

    /// From one frequency of a chunk to the next.
    pub fn plane(&self, chunk: usize) -> usize {
        self.groups * self.strips_of(chunk) * self.strip_len() + PAD
    }

    /// Where a chunk begins.
    pub fn chunk(&self, chunk: usize) -> usize {
        chunk * self.frequencies * (self.groups * self.strips * self.strip_len() + PAD)
    }

    /// Elements of all.
    pub fn len(&self) -> usize {
        let last = self.chunks() - 1;
        self.chunk(last) + self.frequencies * self.plane(last)
    }

    /// Zeros in the rest of the last group, from this tile on: terms of a sum over tiles.
    pub fn clear_after(&self, tile: usize, frequencies: &mut [f32]) {
        if tile.is_multiple_of(BLOCK_ROWS) {
            return;
        }
        for place in self.places() {
            for f in 0..self.frequencies {
                for tile in tile..tile.next_multiple_of(BLOCK_ROWS) {
                    frequencies[place.of_tile(tile) + f * place.plane..][..SET].fill(0.0);
                }
            }
        }
    }

    /// The places of all sets of 16 channels.
    pub fn places(&self) -> Vec<Place> {
        let sets = (0..self.width).step_by(SET);
        let place = |channel: usize| {
            let (strip, chunk) = (channel / self.strip, channel / (self.strip * self.strips));
            let start = self.chunk(chunk) + strip % self.strips * self.strip_len() + channel % self.strip;
            Place { start, group: self.strips_of(chunk) * self.strip_len(), tile: self.strip, plane: self.plane(chunk) }
        };
        sets.map(place).collect()
    }
}
