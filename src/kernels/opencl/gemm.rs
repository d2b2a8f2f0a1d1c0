//! What products of matrices and convolutions share on a device: two bodies, and how their operands are prepared.

use std::cell::Cell;

use super::{Launch, Memory, Queue, Source};
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::level::scoped;
use crate::shape::MAX_RANK;

/// How the multiply-adds are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// For processors: a work-item has some rows of a vector of columns in registers.
    Vector,
    /// For GPUs: the work-items of a group share tiles of both factors in local memory.
    Local,
}

thread_local! {
    static SCOPED: Cell<Option<Body>> = const { Cell::new(None) };
}

impl Body {
    /// Both.
    pub const ALL: [Body; 2] = [Body::Vector, Body::Local];

    /// The body for this device, or that of the innermost [`scope`](Body::scope).
    pub fn of(queue: &Queue) -> Body {
        SCOPED.get().unwrap_or(if queue.info().is_cpu { Body::Vector } else { Body::Local })
    }

    /// Runs `f` with this body on this thread, so that a test can try both on one device.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        scoped(&SCOPED, self, f)
    }
}

/// The kernels for processors.
const VECTOR: Source =
    Source { name: "gemm_vector", text: concat!(include_str!("place.cl"), include_str!("gemm_vector.cl")) };

/// What prepares factors and adds up parts.
const PANELS: Source = Source { name: "panels", text: concat!(include_str!("place.cl"), include_str!("panels.cl")) };

/// Rows of a work-item of the vector body: with vectors of two registers, 12 registers for sums, of the 16 of AVX2.
pub const ROWS: usize = 6;

/// A kernel of the vector body, with vectors of so many columns.
pub fn vector<'a, T: Element>(queue: &'a Queue, kernel: &'static str, lanes: usize) -> Launch<'a, T> {
    Launch::new(queue, VECTOR, kernel).define(&["ROWS", "LANES"], [ROWS, lanes])
}

/// The lanes of a vector for so many columns.
pub fn lanes<T: Element>(columns: usize) -> usize {
    let widest = 64 / size_of::<T>();
    let fits = [1, 4, 8].into_iter().find(|&lanes| columns <= lanes && lanes < widest);
    fits.unwrap_or(widest)
}

/// Matrices (k, n) in memory.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<'a> {
    /// Where they lie.
    pub operand: Operand<'a>,
    /// k, n
    pub size: [usize; 2],
    /// Row i lies at i / depth · outer + i % depth · inner.
    pub depth: usize,
    /// See `depth`.
    pub outer: usize,
    /// See `depth`.
    pub inner: usize,
    /// From one column to the next.
    pub column: usize,
    /// The loops over the matrices.
    pub batch: Loops,
}

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
    /// One loop.
    pub fn one(turns: usize, step: usize) -> Loops {
        let (mut dims, mut steps) = ([1; MAX_RANK], [0; MAX_RANK]);
        (dims[0], steps[0]) = (turns, step);
        Loops { rank: 1, dims, steps }
    }

    fn turns(&self) -> usize {
        self.dims[..self.rank].iter().product()
    }
}

/// The least work-items of the vector body that keep a processor busy to the end.
pub const BUSY: usize = 64;

/// Memory for numbers on their way.
pub fn scratch<T: Element>(queue: &Queue, len: usize, what: &str) -> Memory {
    queue.allocate::<T>(len, &|| format!("{what}: {len} values")).unwrap_or_else(|error| error.raise())
}

impl Matrices<'_> {
    /// The length in panels of so many columns: (matrix, panel, k, column).
    pub fn packed_len(&self, width: usize) -> usize {
        let [k, n] = self.size;
        self.batch.turns() * n.div_ceil(width) * k * width
    }

    /// Lays them out in panels of so many columns, and behind them so many zeros.
    pub fn pack<T: Element>(&self, queue: &Queue, width: usize, zeros: usize) -> Result<Memory, Unsupported> {
        let len = self.packed_len(width) + zeros;
        let packed = scratch::<T>(queue, len, "a factor in panels");
        let [k, n] = self.size;
        Launch::<T>::new(queue, PANELS, "pack")
            .define(&["WIDTH"], [width])
            .operand(self.operand)
            .operand(Operand::new(&packed, 0, len))
            .each([k, n, self.depth, self.outer, self.inner, self.column, zeros, self.batch.rank])
            .ints(&self.batch.dims)
            .ints(&self.batch.steps)
            .over([k.max(1), n.div_ceil(width).max(1), self.batch.turns()])?;
        Ok(packed)
    }
}

/// y ← the sums of parts x (parts, n).
pub fn add_parts<T: Element>(queue: &Queue, x: Operand<'_>, y: Operand<'_>) -> Result<(), Unsupported> {
    let n = y.len;
    Launch::<T>::new(queue, PANELS, "add_parts")
        .define(&["WIDTH"], [1])
        .operand(x)
        .operand(y)
        .each([n, x.len / n.max(1)])
        .over([n, 1, 1])
}

/// Runs `f` on y, or where there are several parts on memory for them, which are added up then.
pub fn in_parts<T: Element>(
    queue: &Queue,
    parts: usize,
    y: Operand<'_>,
    f: impl FnOnce(Operand<'_>) -> Result<(), Unsupported>,
) -> Result<(), Unsupported> {
    if parts <= 1 {
        return f(y);
    }
    let len = parts * y.len;
    let memory = scratch::<T>(queue, len, "parts of sums");
    let partial = Operand::new(&memory, 0, len);
    f(partial)?;
    add_parts::<T>(queue, partial, y)
}
