//! Nested loops over memory, as kernels get them: see `place.cl`.

use crate::kernels::nest::Nest;
use crate::shape::MAX_RANK;

/// Nested loops and steps in memory along them, outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Loops {
    /// How many there are.
    pub rank: usize,
    /// Their turns.
    pub dims: [usize; MAX_RANK],
    /// Steps in memory from one turn to the next.
    pub steps: [usize; MAX_RANK],
}

impl Loops {
    /// No loop: one turn.
    pub fn none() -> Loops {
        Loops { rank: 0, dims: [1; MAX_RANK], steps: [0; MAX_RANK] }
    }

    /// One loop.
    pub fn one(turns: usize, step: usize) -> Loops {
        let mut loops = Loops::none();
        loops.push(turns, step);
        loops
    }

    /// Those of a nest, with the strides of one of its inputs.
    pub fn of<const K: usize>(nest: &Nest<K>, input: usize) -> Loops {
        let mut loops = Loops::none();
        nest.dims().iter().enumerate().for_each(|(axis, &turns)| loops.push(turns, nest.strides(axis)[input]));
        loops
    }

    /// One more inside.
    pub fn push(&mut self, turns: usize, step: usize) {
        (self.dims[self.rank], self.steps[self.rank]) = (turns, step);
        self.rank += 1;
    }

    /// The turns of all together.
    pub fn turns(&self) -> usize {
        self.dims[..self.rank].iter().product()
    }
}
