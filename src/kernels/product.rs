//! Products of matrices, and of batches of them, as a kernel.

#[cfg(feature = "opencl")]
use super::device::{Operand, Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::matmul::{self, Mat, TASK_MULTIPLY_ADDS};
use super::nest::Nest;
#[cfg(feature = "opencl")]
use super::opencl::{
    Memory, Queue,
    gemm::{self, BUSY, Body, Gathered, Matrices, ROWS},
    loops::Loops,
};
use super::parallel::for_chunks;
use super::{Element, Level};
#[cfg(feature = "opencl")]
use crate::shape::MAX_RANK;

/// C (…, m, n) = A (…, m, k) · B (…, k, n): operands of any strides, so that neither a transpose nor a matrix that a
/// whole batch shares is copied; C is fresh and row-major.
#[derive(Clone, Copy, Debug)]
pub struct MatrixProduct {
    /// The number of products.
    pub count: usize,
    /// The loops over the leading axes, and the strides of A and of B along them.
    pub batch: Nest<2>,
    /// m, k, n
    pub size: [usize; 3],
    /// The (row, column) strides of A.
    pub a: [usize; 2],
    /// The (row, column) strides of B.
    pub b: [usize; 2],
}

compile!(MatrixProduct);

impl<T: Element> Kernel<T> for MatrixProduct {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([a, b], [c]) = (inputs.tensors(), outputs.tensors());
        let [m, k, n] = self.size;
        if c.is_empty() {
            return;
        }
        if self.count == 1 {
            return matmul::matmul(self.size, (a, self.a), (b, self.b), false, c);
        }
        let work = (m * n).saturating_mul(k);
        if work >= TASK_MULTIPLY_ADDS {
            for (i, c) in c.chunks_mut(m * n).enumerate() {
                let (a, b) = self.nth(i, a, b);
                matmul::matmul(self.size, a, b, false, c);
            }
            return;
        }
        let level = Level::current();
        let together = (TASK_MULTIPLY_ADDS / work.max(m * n)).max(1);
        for_chunks(c, together * m * n, |start, part| {
            for (i, c) in part.chunks_mut(m * n).enumerate() {
                let (a, b) = self.nth(start / (m * n) + i, a, b);
                matmul::on_this_thread(level, self.size, a, b, false, c, n);
            }
        });
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let [c] = outputs.tensors();
        self.start::<T>(queue, inputs.tensors(), c)
    }
}

/// A factor on a device.
#[cfg(feature = "opencl")]
#[derive(Clone, Copy)]
struct Factor<'a> {
    operand: Operand<'a>,
    /// From a row of the product to the next, or from a column to the next.
    step: usize,
    /// Along k.
    k_step: usize,
    batch: Loops,
}

/// Rows of C that are so few that for its columns to become rows is worth it, where the columns of B lie apart.
#[cfg(feature = "opencl")]
const FEW: usize = 4;

/// Rows of C for which B is laid out in panels in any case: they are read so often.
#[cfg(feature = "opencl")]
const MANY: usize = 128;

/// The least k of a part.
#[cfg(feature = "opencl")]
const PART: usize = 512;

#[cfg(feature = "opencl")]
impl MatrixProduct {
    fn factor<'a>(&self, operand: Operand<'a>, which: usize, [step, k_step]: [usize; 2]) -> Factor<'a> {
        Factor { operand, step, k_step, batch: Loops::of(&self.batch, which) }
    }

    /// Starts it on a device.
    pub fn start<T: Element>(
        &self,
        queue: &Queue,
        [a, b]: [Operand<'_>; 2],
        c: Operand<'_>,
    ) -> Result<(), Unsupported> {
        if c.len == 0 {
            return Ok(());
        }
        match Body::of(queue) {
            Body::Vector => self.vector::<T>(queue, [a, b], c),
            Body::Local => self.gathered([a, b], c).run::<T>(queue),
        }
    }

    /// For the body for GPUs: a row of A is a picture of one pixel with k channels.
    pub fn gathered<'a>(&self, [a, b]: [Operand<'a>; 2], c: Operand<'a>) -> Gathered<'a> {
        let [m, k, n] = self.size;
        Gathered {
            operands: [a, b, c],
            bias: None,
            slope: 1.0,
            size: [m, n, k],
            images: m,
            depth: k,
            axes: [[1, 1, 1, 1, 0, 1]; 2],
            adjoint: false,
            rows_are_taps: false,
            a_steps: [self.a[0], 0, self.a[1]],
            b_steps: [0, self.b[0], self.b[1]],
            c_steps: [n, 0, 0, 1, m * n],
            batch: [0, 1].map(|which| Loops::of(&self.batch, which)),
        }
    }

    /// By the body for processors.
    fn vector<T: Element>(&self, queue: &Queue, [a, b]: [Operand<'_>; 2], c: Operand<'_>) -> Result<(), Unsupported> {
        let [m, k, n] = self.size;
        let (a, b) = (self.factor(a, 0, self.a), self.factor(b, 1, [self.b[1], self.b[0]]));
        // Cᵀ = Bᵀ·Aᵀ
        let swaps = m < n && m <= FEW && !b.has_vectors::<T>(n);
        let (m, n, a, b, c_steps) = if swaps { (n, m, b, a, [1, n]) } else { (m, n, a, b, [n, 1]) };
        let lanes = gemm::lanes::<T>(n);
        let (blocks, across) = (m.div_ceil(ROWS), n.div_ceil(lanes));
        let parts = BUSY.div_ceil(self.count * blocks * across).min(k.div_ceil(PART)).max(1);
        let k_part = k.div_ceil(parts).max(1);
        let parts = k.div_ceil(k_part).max(1);
        let packs_b = !b.has_vectors::<T>(n) || m >= MANY && n > 1;
        // Rows that lie apart along k are read once for each vector of columns.
        let packs_a = a.k_step > 1 && across > 2;
        let a_panels = a.panels::<T>(queue, [k, m], ROWS, packs_a)?;
        let b_panels = b.panels::<T>(queue, [k, n], lanes, packs_b)?;
        gemm::in_parts::<T>(queue, parts, c, |c| {
            gemm::vector::<T>(queue, "product", lanes)
                .operand(a_panels.operand(a.operand))
                .operand(b_panels.operand(b.operand))
                .operand(c)
                .each([m, n, k, k_part, parts, a_panels.panel, a_panels.matrix, a_panels.column, a_panels.row])
                .each([b_panels.panel, b_panels.row, b_panels.matrix])
                .each(c_steps)
                .each([m * n, a.batch.rank])
                .ints(&a.batch.dims)
                .ints(&a_panels.batch)
                .ints(&b_panels.batch)
                .groups([blocks, across, self.count * parts], [1; 3])
        })
    }
}

/// A factor as matrices (k, columns) whose columns are read in panels, copied or where they lie.
#[cfg(feature = "opencl")]
struct Panels {
    copy: Option<(Memory, usize)>,
    /// From a panel to the next, a row, a column, and a matrix.
    panel: usize,
    row: usize,
    column: usize,
    matrix: usize,
    /// Steps of the batch, where the matrices do not lie one after another.
    batch: [usize; MAX_RANK],
}

#[cfg(feature = "opencl")]
impl Panels {
    fn operand<'a>(&'a self, given: Operand<'a>) -> Operand<'a> {
        self.copy.as_ref().map_or(given, |(memory, len)| Operand::new(memory, 0, *len))
    }
}

#[cfg(feature = "opencl")]
impl Factor<'_> {
    /// Whether its columns can be read as vectors where they lie.
    fn has_vectors<T: Element>(&self, n: usize) -> bool {
        self.step == 1 && n.is_multiple_of(gemm::lanes::<T>(n)) || n == 1
    }

    /// Its panels of so many columns, copied if asked for.
    fn panels<T: Element>(
        &self,
        queue: &Queue,
        [k, n]: [usize; 2],
        width: usize,
        copied: bool,
    ) -> Result<Panels, Unsupported> {
        let Factor { operand, step, k_step, batch } = *self;
        if !copied {
            let panel = width * step;
            return Ok(Panels { copy: None, panel, row: k_step, column: step, matrix: 0, batch: batch.steps });
        }
        // Once, where all products share it.
        let shared = batch.steps == [0; MAX_RANK];
        let batch = if shared { Loops::one(1, 0) } else { batch };
        let matrices = Matrices { operand, size: [k, n], depth: k, outer: 0, inner: k_step, column: step, batch };
        let copy = (matrices.pack::<T>(queue, width, 0)?, matrices.packed_len(width));
        let (panel, matrix) = (k * width, if shared { 0 } else { n.div_ceil(width) * k * width });
        Ok(Panels { copy: Some(copy), panel, row: width, column: 1, matrix, batch: [0; MAX_RANK] })
    }
}

impl MatrixProduct {
    /// The operands of one of the products.
    fn nth<'a, T>(&self, i: usize, a: &'a [T], b: &'a [T]) -> (Mat<'a, T>, Mat<'a, T>) {
        let [a_start, b_start] = self.batch.offsets(i);
        ((&a[a_start.min(a.len())..], self.a), (&b[b_start.min(b.len())..], self.b))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, noise, same_bits_on_any_threads, widen};
    use super::*;

    /// Σₚ A[i, p]·B[p, j] for dense A (m, k) and B (k, n).
    fn product([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
        let at = |i: usize, j: usize| (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
        (0..m * n).map(|c| at(c / n, c % n)).collect()
    }

    /// Two leading axes, the second operand with a matrix of its own for each product, or shared along the last leading
    /// axis, or along both.
    #[test]
    fn a_batch_is_its_products() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for (batch, size @ [m, k, n]) in
                [([5, 1], [3, 4, 5]), ([1, 3], [110, 100, 120]), ([20, 15], [9, 40, 17]), ([2, 2], [0, 3, 1])]
            {
                let count = batch[0] * batch[1];
                for shared in [[batch[1] * k * n, k * n], [k * n, 0], [0, 0]] {
                    let (a, b) = (noise::<f32>(count * m * k, 1), noise::<f32>(count * k * n, 2));
                    let nest = Nest::new(&batch, &[batch[1], 1], [&[batch[1] * m * k, m * k], &shared]);
                    let kernel = MatrixProduct { count, batch: nest, size, a: [k, 1], b: [n, 1] };
                    let run = || {
                        let mut c = vec![f32::NAN; count * m * n];
                        let inputs = Inputs { tensors: &[&a, &b], indices: &[] };
                        level.scope(|| kernel.cpu(inputs, Outputs { tensors: &mut [&mut c], indices: &mut [] }));
                        c
                    };
                    let c = run();
                    for i in 0..count {
                        let start = i / batch[1] * shared[0] + i % batch[1] * shared[1];
                        let want = product(size, &widen(&a[i * m * k..][..m * k]), &widen(&b[start..][..k * n]));
                        let error = error(&c[i * m * n..][..m * n], &want);
                        assert!(error < 6e-6, "{level:?} {batch:?} {size:?} {shared:?} {i}: {error}");
                    }
                    same_bits_on_any_threads(run);
                }
            }
        }
    }
}
