//! Products of matrices, and of batches of them, as a kernel.

use super::kernel::{Inputs, Kernel, Outputs};
use super::matmul::{self, Mat, TASK};
use super::nest::Nest;
use super::parallel::for_chunks;
use super::{Element, Level};

/// C (…, m, n) = A (…, m, k) · B (…, k, n): operands of any strides, so that neither a transpose nor a matrix that a whole
/// batch shares is copied; C is fresh and row-major.
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
        if work >= TASK {
            for (i, c) in c.chunks_mut(m * n).enumerate() {
                let (a, b) = self.nth(i, a, b);
                matmul::matmul(self.size, a, b, false, c);
            }
            return;
        }
        let level = Level::current();
        let together = (TASK / work.max(m * n)).max(1);
        for_chunks(c, together * m * n, |start, part| {
            for (i, c) in part.chunks_mut(m * n).enumerate() {
                let (a, b) = self.nth(start / (m * n) + i, a, b);
                matmul::gemm(level, self.size, a, b, false, c, n);
            }
        });
    }
}

impl MatrixProduct {
    /// The operands of one of the products.
    fn nth<'a, T>(&self, i: usize, a: &'a [T], b: &'a [T]) -> (Mat<'a, T>, Mat<'a, T>) {
        let [a_start, b_start] = self.batch.offsets(i);
        ((&a[a_start.min(a.len())..], self.a), (&b[b_start.min(b.len())..], self.b))
    }
}
