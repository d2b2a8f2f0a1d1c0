//! What products of matrices and convolutions share on a device: two bodies, and how their operands are prepared.

use super::loops::Loops;
use super::{Launch, Memory, Queue, Source};
use crate::kernels::Element;
use crate::kernels::device::{Operand, Operands, Unsupported};
use crate::kernels::formulas::Sum;
use crate::kernels::kernel::Kernel;
use crate::kernels::reduce::Reduction;

/// How the multiply-adds are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// For processors: a work-item has some rows of a vector of columns in registers.
    Vector,
    /// For GPUs: the work-items of a group share tiles of both factors in local memory.
    Local,
}

impl Body {
    /// The body for this device.
    pub fn of(queue: &Queue) -> Body {
        if queue.info().is_cpu { Body::Vector } else { Body::Local }
    }
}

/// The kernels for processors.
const VECTOR: Source = Source {
    name: "gemm_vector",
    text: concat!(
        include_str!("place.cl"),
        include_str!("seen.cl"),
        include_str!("lanes.cl"),
        include_str!("gemm_vector.cl")
    ),
};

/// Rows that a work-item packs: as many numbers as a line of the cache has, or two.
const PACKED_ROWS: usize = 16;

/// The kernels for GPUs.
const LOCAL: Source = Source {
    name: "gemm_local",
    text: concat!(include_str!("place.cl"), include_str!("seen.cl"), include_str!("gemm_local.cl")),
};

/// What prepares factors.
const PANELS: Source = Source { name: "panels", text: concat!(include_str!("place.cl"), include_str!("panels.cl")) };

/// Rows of a work-item of the vector body: with vectors of two registers, 12 registers for sums, of the 16 of AVX2.
pub const ROWS: usize = 6;

/// Taps of a weight gradient whose sums a work-item of the vector body has.
pub const TAPS_TOGETHER: usize = 16;

/// A kernel of the vector body, with vectors of so many columns.
pub fn vector<'a, T: Element>(queue: &'a Queue, kernel: &'static str, lanes: usize) -> Launch<'a, T> {
    Launch::new(queue, VECTOR, kernel).define(&["ROWS", "LANES", "TAPS_TOGETHER"], [ROWS, lanes, TAPS_TOGETHER])
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

/// The least work-items of the vector body that keep a processor busy to the end.
pub const BUSY: usize = 64;

impl Matrices<'_> {
    /// The length in panels of so many columns: (matrix, panel, k, column).
    pub fn packed_len(&self, width: usize) -> usize {
        let [k, n] = self.size;
        self.batch.turns() * n.div_ceil(width) * k * width
    }

    /// Lays them out in panels of so many columns, and behind them so many zeros.
    pub fn pack<T: Element>(&self, queue: &Queue, width: usize, zeros: usize) -> Result<Memory, Unsupported> {
        let len = self.packed_len(width) + zeros;
        let packed = queue.scratch::<T>(len, "a factor in panels");
        let ([k, n], panels) = (self.size, self.size[1].div_ceil(width));
        Launch::<T>::new(queue, PANELS, "pack")
            .define(&["WIDTH", "PACKED_ROWS"], [width, PACKED_ROWS])
            .operand(self.operand)
            .operand(Operand::new(&packed, 0, len))
            .each([k, n, panels, self.depth, self.outer, self.inner, self.column, zeros, self.batch.rank])
            .ints(&self.batch.dims)
            .ints(&self.batch.steps)
            .over([panels, k.div_ceil(PACKED_ROWS).max(1), self.batch.turns()])?;
        Ok(packed)
    }
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
    let memory = queue.scratch::<T>(len, "parts of sums");
    let partial = Operand::new(&memory, 0, len);
    f(partial)?;
    let sum = Reduction::new(&[parts, y.len], &[y.len, 1], &[0, 1], 0.0, Sum);
    let only = |operand| Operands { tensors: operand, indices: &[] };
    Kernel::<T>::opencl(&sum, queue, only(&[partial]), only(&[y]))
}

/// A product by the body for GPUs: C = A·B, where the rows of A are pixels of C and its columns taps and channels, or
/// the other way round. See `gemm_local.cl`.
pub struct Gathered<'a> {
    /// The first factor, the second, and the result.
    pub operands: [Operand<'a>; 3],
    /// Added to every row.
    pub bias: Option<Operand<'a>>,
    /// Of the leaky ReLU.
    pub slope: f64,
    /// Rows, columns, and terms of each sum at most.
    pub size: [usize; 3],
    /// The number of pictures.
    pub images: usize,
    /// Channels of a tap.
    pub depth: usize,
    /// The sizes along both axes: map, output, taps, stride, padding, dilation.
    pub axes: [[usize; 6]; 2],
    /// Whether it is the adjoint, in phases.
    pub adjoint: bool,
    /// Whether the rows of A are taps.
    pub rows_are_taps: bool,
    /// From an image, pixel and channel of A to the next.
    pub a_steps: [usize; 3],
    /// From a tap, channel and column of B to the next.
    pub b_steps: [usize; 3],
    /// From an image, line, pixel, column and matrix of C to the next.
    pub c_steps: [usize; 5],
    /// The loops over the products: those of A and of B.
    pub batch: [Loops; 2],
}

/// Work-groups that keep a GPU busy.
const BUSY_GROUPS: usize = 256;

/// Terms of a part at least, and parts at most.
const GPU_PARTS: [usize; 2] = [256, 64];

impl Gathered<'_> {
    /// The work-items of a group along the columns, and fours of rows and columns for each; of 256 work-items.
    fn tile<T: Element>(&self) -> [usize; 3] {
        let ([rows, columns, _], count) = (self.size, self.batch[0].turns());
        let many = |tile: [usize; 2]| count * (rows / tile[0]) * columns.div_ceil(tile[1]) >= BUSY_GROUPS / 2;
        match (rows, columns) {
            // Larger tiles would not fit into 32 KiB.
            _ if T::NAME == "f64" => [16, 1, 1],
            (65.., ..=16) => [4, 1, 1],
            (..=16, 65..) => [64, 1, 1],
            (_, 65..) if many([128, 128]) => [16, 2, 2],
            _ if many([128, 64]) => [16, 2, 1],
            _ => [16, 1, 1],
        }
    }

    /// Starts it; where there are few tiles, and nothing comes behind the sum, in parts of k that are added up then.
    pub fn run<T: Element>(&self, queue: &Queue) -> Result<(), Unsupported> {
        let ([rows, columns, k], [a, b, c]) = (self.size, self.operands);
        let tile @ [across, row_fours, column_fours] = self.tile::<T>();
        let (count, phases) = (self.batch[0].turns(), if self.adjoint { self.axes[0][3] * self.axes[1][3] } else { 1 });
        let groups = [columns.div_ceil(across * column_fours * 4), rows.div_ceil(256 / across * row_fours * 4)];
        let all = groups[0] * groups[1] * count * phases;
        let [least, most] = GPU_PARTS;
        let sum_only = self.bias.is_none() && self.slope == 1.0 && !self.adjoint;
        let parts = if sum_only { BUSY_GROUPS.div_ceil(all.max(1)).min(k / least).clamp(1, most) } else { 1 };
        let k_part = k.div_ceil(parts).max(1);
        let parts = k.div_ceil(k_part).max(1);
        let along_k = [self.a_steps[2] < self.a_steps[1].max(self.a_steps[0]), self.b_steps[1] < self.b_steps[2]];
        let along_k = [along_k[0] && !self.rows_are_taps, along_k[1]];
        in_parts::<T>(queue, parts, c, |to| {
            Launch::<T>::new(queue, LOCAL, "multiply")
                .define(
                    &["ACROSS", "ROW_FOURS", "COLUMN_FOURS", "A_ALONG_K", "B_ALONG_K", "ROWS_ARE_TAPS"],
                    [tile[0], tile[1], tile[2], along_k[0] as usize, along_k[1] as usize, self.rows_are_taps as usize],
                )
                .operand(a)
                .operand(b)
                .operand(self.bias.unwrap_or(b))
                .operand(to)
                .each([self.images, self.depth, columns])
                .ints(&self.axes[0])
                .ints(&self.axes[1])
                .int(self.adjoint as usize)
                .ints(&self.a_steps)
                .ints(&self.b_steps)
                .ints(&[self.c_steps.as_slice(), &[c.len]].concat())
                .each([count, self.batch[0].rank])
                .ints(&self.batch[0].dims)
                .ints(&self.batch[0].steps)
                .ints(&self.batch[1].steps)
                .each([k_part, parts, groups[1], self.bias.is_some() as usize])
                .real(self.slope)
                .groups([all * parts, 1, 1], [across, 256 / across, 1])
        })
    }
}
