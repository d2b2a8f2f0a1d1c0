//! Products of matrices, and of batches of them, as a kernel.

use super::kernel::{Inputs, Kernel, Outputs};
use super::matmul::{self, Mat, TASK_MULTIPLY_ADDS};
use super::nest::Nest;
use super::parallel::for_chunks;
use super::{Element, Level};

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
