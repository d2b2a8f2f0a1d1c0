//! The loop nest of element-wise kernels: any strides, broadcasting included, in the order of the output's memory.

use crate::shape::{MAX_RANK, memory_order};

/// Loops over an output that is written from front to back, and the strides of `K` inputs along them.
///
/// Axes that all operands walk through without a jump are merged, so that most nests have one loop.
#[derive(Clone, Copy, Debug)]
pub struct Nest<const K: usize> {
    /// Outermost first; the last one is the run that kernels vectorise. At least one.
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; K],
}

impl<const K: usize> Nest<K> {
    /// A nest for a dense output of this shape and strides, and inputs of the same shape (stride 0 where broadcast).
    pub fn new(shape: &[usize], out: &[usize], inputs: [&[usize]; K]) -> Nest<K> {
        let mut nest = Nest { rank: 0, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
        for &axis in memory_order(out).iter().filter(|&&axis| shape[axis] != 1) {
            let last = nest.rank.wrapping_sub(1);
            let merges = nest.rank > 0 && (0..K).all(|k| nest.strides[k][last] == inputs[k][axis] * shape[axis]);
            let at = if merges { last } else { nest.rank };
            nest.dims[at] *= shape[axis];
            for k in 0..K {
                nest.strides[k][at] = inputs[k][axis];
            }
            nest.rank = at + 1;
        }
        nest.rank = nest.rank.max(1);
        nest
    }

    /// The nest of `len` elements that all operands hold in the same order without gaps: one loop.
    #[inline]
    pub fn flat(len: usize) -> Nest<K> {
        let mut nest = Nest { rank: 1, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
        nest.dims[0] = len;
        nest.strides.iter_mut().for_each(|strides| strides[0] = 1);
        nest
    }

    /// Visits the output elements `start..start + len` as runs: `visit(at, n, offsets)` for output elements
    /// `at..at + n` counted from `start`, whose inputs begin at `offsets` and go on by [`Nest::steps`].
    #[inline(always)]
    pub fn runs(&self, start: usize, len: usize, mut visit: impl FnMut(usize, usize, [usize; K])) {
        let inner = self.rank - 1;
        let (mut index, mut offsets) = self.place(start);
        let mut at = 0;
        while at < len {
            let n = (self.dims[inner] - index[inner]).min(len - at);
            visit(at, n, offsets);
            at += n;
            if at == len {
                break;
            }
            // The run is over: carry into the outer loops, like an odometer.
            for k in 0..K {
                offsets[k] -= index[inner] * self.strides[k][inner];
            }
            index[inner] = 0;
            for axis in (0..inner).rev() {
                index[axis] += 1;
                for k in 0..K {
                    offsets[k] += self.strides[k][axis];
                }
                if index[axis] < self.dims[axis] {
                    break;
                }
                for k in 0..K {
                    offsets[k] -= self.dims[axis] * self.strides[k][axis];
                }
                index[axis] = 0;
            }
        }
    }

    /// The indices of an output element, and where its inputs lie.
    #[inline(always)]
    fn place(&self, at: usize) -> ([usize; MAX_RANK], [usize; K]) {
        let (mut index, mut offsets) = ([0; MAX_RANK], [0; K]);
        let mut rest = at;
        for axis in (0..self.rank).rev() {
            index[axis] = rest % self.dims[axis].max(1);
            rest /= self.dims[axis].max(1);
            for k in 0..K {
                offsets[k] += index[axis] * self.strides[k][axis];
            }
        }
        (index, offsets)
    }

    /// Where the inputs of an output element lie.
    pub fn offsets(&self, at: usize) -> [usize; K] {
        self.place(at).1
    }

    /// The lengths of the two innermost loops, outer first, and the strides of each input along them; if there are two.
    pub fn inner(&self) -> Option<([usize; 2], [[usize; 2]; K])> {
        let axes = [self.rank.checked_sub(2)?, self.rank - 1];
        Some((axes.map(|axis| self.dims[axis]), std::array::from_fn(|k| axes.map(|axis| self.strides[k][axis]))))
    }

    /// The length of the outermost loop, and the number of elements in one turn of it.
    pub fn outer(&self) -> (usize, usize) {
        (self.dims[0], self.dims[1..self.rank].iter().product())
    }

    /// The lengths of the loops, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The stride of each input along a loop, counted from the outermost.
    #[inline]
    pub fn strides(&self, axis: usize) -> [usize; K] {
        std::array::from_fn(|k| self.strides[k][axis])
    }

    /// The stride of each input inside a run.
    #[inline(always)]
    pub fn steps(&self) -> [usize; K] {
        let mut steps = [0; K];
        for k in 0..K {
            steps[k] = self.strides[k][self.rank - 1];
        }
        steps
    }
}
