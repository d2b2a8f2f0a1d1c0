//! Work-groups that share sums: see `sums.cl`, which a family of kernels has before its own text.

use super::{Memory, Queue};
use crate::kernels::device::Operand;

/// Sums that lie side by side: as many as a warp of a GPU has work-items, or a processor a few vectors.
const SIDE_BY_SIDE: [usize; 2] = [32, 64];

/// The work-items of a GPU's group.
const GROUP: usize = 256;

/// A work-group of `tile` sums, each by `workers` work-items. On a processor, where a group's work-items are the lanes
/// of vectors and a barrier is dear, every work-item has sums of its own.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Sums side by side.
    pub tile: usize,
    /// Work-items of a sum, a power of two.
    pub workers: usize,
}

impl Group {
    /// A group for sums whose terms lie apart in memory, and those of neighbours side by side.
    pub fn side_by_side(queue: &Queue) -> Group {
        let [gpu, cpu] = SIDE_BY_SIDE.map(|tile| tile.min(largest(queue)));
        if queue.info().is_cpu {
            Group { tile: cpu, workers: 1 }
        } else {
            Group { tile: gpu, workers: largest(queue) / gpu }
        }
    }

    /// A group for one sum.
    pub fn one(queue: &Queue) -> Group {
        Group { tile: 1, workers: if queue.info().is_cpu { 1 } else { largest(queue) } }
    }

    /// The work-items.
    pub fn size(self) -> usize {
        self.tile * self.workers
    }
}

/// The largest group that is used, a power of two.
fn largest(queue: &Queue) -> usize {
    1 << queue.info().group_size.clamp(1, GROUP).ilog2()
}

/// Sums of `terms`, each cut into parts of equal length but the last, so that a device has enough to do.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// The parts of a sum.
    pub count: usize,
    /// The terms of a part.
    pub length: usize,
}

impl Parts {
    /// At most `most` parts of at least `least` terms.
    pub fn new(terms: usize, least: usize, most: usize) -> Parts {
        let length = least.max(terms.div_ceil(most.max(1))).max(1);
        Parts { count: terms.div_ceil(length), length }
    }
}

impl Queue {
    /// Memory for so many partial sums of `what`, which are of the type `wide` of `prelude.cl`.
    ///
    /// # Panics
    /// With a [`DeviceError`](crate::DeviceError) if there is none left.
    pub fn partial_sums(&self, len: usize, what: &str) -> Memory {
        if self.info().has_f64 { self.scratch::<f64>(len, what) } else { self.scratch::<f32>(len, what) }
    }
}

impl Memory {
    /// All of it, as an operand of `len` values.
    pub fn whole(&self, len: usize) -> Operand<'_> {
        Operand::new(self, 0, len)
    }
}
