//! Products of matrices, and of batches of them.

use crate::kernels::{Buffer, matmul};
use crate::{Backward, Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The product of matrices (m, k)·(k, n) → (m, n), or of batches (…, m, k)·(…, k, n) → (…, m, n), whose leading
    /// axes broadcast. ā = ȳ·bᵀ, b̄ = aᵀ·ȳ.
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
        let (m, n) = (a[a.len() - 2], b[b.len() - 1]);
        if joint.is_empty() {
            return self.matrix_product(other);
        }
        let product = self.as_batch(&joint).matrix_product(&other.as_batch(&joint));
        product.reshape(joint.iter().copied().chain([m, n]).collect::<Shape>())
    }

    /// (…, rows, columns), its leading axes repeated to `batch`, as (B, rows, columns).
    #[track_caller]
    fn as_batch(&self, batch: &Shape) -> Var<T> {
        let matrix = &self.shape()[self.shape().len() - 2..];
        let full: Shape = batch.iter().chain(matrix).copied().collect();
        self.broadcast_to(full).reshape([batch.size(), matrix[0], matrix[1]])
    }

    /// (m, k)·(k, n), or (B, m, k)·(B, k, n).
    #[track_caller]
    fn matrix_product(&self, other: &Var<T>) -> Var<T> {
        let value = product(self.value(), other.value());
        let (a, b) = (self.saved_for(other), other.saved_for(self));
        Var::record("matmul", &[self, other], value, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |back| grad.matrix_product(&back.var(&b).t()));
            back.give(1, |back| back.var(&a).t().matrix_product(grad));
        })
    }
}

/// The product by the kernels, which take any strides: a transpose is not copied.
fn product<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let rank = a.rank();
    let [m, k] = [a.shape()[rank - 2], a.shape()[rank - 1]];
    let n = b.shape()[rank - 1];
    let matrix = |x: &Tensor<T>| [x.strides()[rank - 2], x.strides()[rank - 1]];
    let (a_matrix, b_matrix) = ((a.data(), matrix(a)), (b.data(), matrix(b)));
    let shape = if rank == 2 { Shape::from([m, n]) } else { [a.shape()[0], m, n].into() };
    let mut out = Buffer::stale(shape.size());
    if rank == 2 {
        matmul::matmul([m, k, n], a_matrix, b_matrix, false, &mut out);
    } else {
        let (a_step, b_step) = (a.strides()[0], b.strides()[0]);
        matmul::batched_matmul(shape[0], [m, k, n], (a_matrix, a_step), (b_matrix, b_step), false, &mut out);
    }
    Tensor::from_buffer(out, shape, shape.row_major())
}
