//! Products of matrices, and of batches of them.

use crate::compute::{Layout, compiled, compute};
use crate::kernels::nest::Nest;
use crate::kernels::product::MatrixProduct;
use crate::{Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The product of matrices (m, k)·(k, n) → (m, n), or of batches (…, m, k)·(…, k, n) → (…, m, n), whose leading
    /// axes broadcast. ā = ȳ·bᵀ, b̄ = aᵀ·ȳ, each summed over the products that share a matrix.
    ///
    /// Operands are read where they lie: neither a transpose nor a matrix that a batch shares is copied.
    ///
    /// # Panics
    /// If a rank is below 2, the inner extents differ, or the leading axes do not broadcast.
    #[track_caller]
    pub fn matmul(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = (*self.shape(), *other.shape());
        let batch = |s: &Shape| Shape::from(&s[..s.len() - 2]);
        let joint = (a.len() >= 2 && b.len() >= 2 && a[a.len() - 1] == b[b.len() - 2])
            .then(|| batch(&a).broadcast(&batch(&b)))
            .flatten();
        let Some(joint) = joint else {
            panic!("matmul: shapes {a} and {b}: expected (…, m, k) and (…, k, n), leading axes that broadcast")
        };
        let full = |matrix: &Shape| joint.iter().chain(&matrix[matrix.len() - 2..]).copied().collect::<Shape>();
        self.broadcast_to(full(&a)).matrix_product(&other.broadcast_to(full(&b)))
    }

    /// (…, m, k)·(…, k, n) with the same leading axes.
    #[track_caller]
    fn matrix_product(&self, other: &Var<T>) -> Var<T> {
        let value = product(self.value(), other.value());
        let (a, b) = (self.saved_for(other), other.saved_for(self));
        Var::record("matmul", &[self, other], value, move |grad, back| {
            back.give(0, |back| grad.matrix_product(&back.var(&b).t()));
            back.give(1, |back| back.var(&a).t().matrix_product(grad));
        })
    }
}

/// The product by the kernel, which takes any strides.
fn product<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let leading = a.rank() - 2;
    let [m, k, n] = [a.shape()[leading], a.shape()[leading + 1], b.shape()[leading + 1]];
    let batch = Shape::from(&a.shape()[..leading]);
    let kernel = MatrixProduct {
        count: batch.size(),
        batch: Nest::new(&batch, &batch.row_major(), [&a.strides()[..leading], &b.strides()[..leading]]),
        size: [m, k, n],
        a: [a.strides()[leading], a.strides()[leading + 1]],
        b: [b.strides()[leading], b.strides()[leading + 1]],
    };
    let shape: Shape = batch.iter().copied().chain([m, n]).collect();
    let [y] = compute(compiled(&kernel), &[a, b], [Layout::row_major(shape)]);
    y
}
