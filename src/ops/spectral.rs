//! Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957), which equations (11) to (15) of the document behind
//! this project describe, with its mistakes corrected.
//!
//! u and v are state, held constant by every derivative: ∂σ/∂W = u vᵀ. That is exact for the first derivative if they
//! are the singular vectors; for the second it leaves out that they turn with W.

use super::index::{around, check_axis, order};
use crate::kernels::around::Around;
use crate::kernels::{Buffer, spectral};
use crate::{Backward, Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// W̄ = W/σ with σ = uᵀWv: equation (11) with (13).
    ///
    /// A weight counts as the matrix W (d_out, rest): its output axis against all others in their logical order, as in
    /// PyTorch. (O, I, kh, kw) of a convolution, output axis 0, gives rest = (I, kh, kw), and so does (I, O, kh, kw) of
    /// a transposed convolution, output axis 1; (out, in) of a dense layer, output axis 0, gives rest = (in). u is
    /// (d_out) and v is (rest), whatever the order in which the weight lies in memory.
    ///
    /// W̃ = (G − ⟨G, W̄⟩ u vᵀ)/σ, where G is the gradient of W̄ and
    /// W̃ that of W: equation (15) for any loss, since for a layer h ↦ W̄h, G = Ê\[δhᵀ\] and ⟨G, W̄⟩ is its λ.
    ///
    /// σ(W̄) = 1 only as far as u and v have converged; see [`power_iteration`]. W = 0 gives NaN, as in PyTorch.
    ///
    /// # Panics
    /// If `out_axis` is out of bounds, u is not (d_out), or v is not (rest).
    #[track_caller]
    pub fn spectral_norm(&self, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
        let matrix = Matrix::new("spectral_norm", self.value(), out_axis, u, v);
        let (u, v) = (u.contiguous(), v.contiguous());
        let sigma = matrix.sigma(&u, &v);
        let value = matrix.w.map(|w| w / sigma);
        let (w, y) = (self.saved(), value.clone());
        let rule = move |grad: &Var<T>, back: &mut Backward<T>| {
            let records = back.records();
            back.give(0, |back| {
                if !records {
                    return Matrix::new("spectral_norm", &y, out_axis, &u, &v).rule(grad.value(), &u, &v, sigma).into();
                }
                let sigma = back.var(&w).spectral_sigma(&u, &v, out_axis);
                let lambda = (grad * back.output(&y)).sum();
                (grad - lambda * outer_product(&y, &u, &v, out_axis)) / sigma
            });
        };
        Var::record("spectral_norm", &[self], value, rule)
    }

    /// σ = uᵀWv, of shape (): equation (13). W̃ = σ̄·u vᵀ.
    ///
    /// (λ/2) Σ σ² over the layers is spectral norm *regularisation* (Yoshida and Miyato 2017, arXiv:1705.10941), with
    /// the gradient λσ·u vᵀ.
    ///
    /// # Panics
    /// If `out_axis` is out of bounds, u is not (d_out), or v is not (rest).
    #[track_caller]
    pub fn spectral_sigma(&self, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
        let matrix = Matrix::new("spectral_sigma", self.value(), out_axis, u, v);
        let (u, v) = (u.contiguous(), v.contiguous());
        let sigma = Tensor::scalar(matrix.sigma(&u, &v).f64());
        let w = self.value().clone();
        Var::record("spectral_sigma", &[self], sigma, move |grad: &Var<T>, back: &mut Backward<T>| {
            back.give(0, |_| grad * outer_product(&w, &u, &v, out_axis));
        })
    }
}

/// `iterations` rounds of v ← Wᵀu/max(‖Wᵀu‖, eps), u ← Wv/max(‖Wv‖, eps), in that order: equation (12) as corrected.
///
/// They converge to the first singular vectors of W, by a factor of (σ₂/σ₁)² each round, from any u that is not
/// orthogonal to the first. In training W moves little between rounds, so one round a step is enough *if each starts
/// from the u that the last one left*. The given v counts only
/// if there are no rounds. The shapes are those of [`Var::spectral_norm`].
///
/// ```
/// use wengert::{Tensor, ops::power_iteration};
/// let w = Tensor::<f64>::from_vec([2, 2], vec![3.0, 0.0, 0.0, 1.0]);
/// let (u, v) = (Tensor::from_vec([2], vec![0.6, 0.8]), Tensor::zeros([2]));
/// let (u, v) = power_iteration(&w, 0, &u, &v, 50, 1e-12);
/// assert_eq!((u.to_vec()[0], v.to_vec()[0]), (1.0, 1.0));
/// ```
///
/// # Panics
/// If `out_axis` is out of bounds, u is not (d_out), or v is not (rest).
#[track_caller]
pub fn power_iteration<T: Element>(
    w: &Tensor<T>,
    out_axis: usize,
    u: &Tensor<T>,
    v: &Tensor<T>,
    iterations: usize,
    eps: f64,
) -> (Tensor<T>, Tensor<T>) {
    let matrix = Matrix::new("power_iteration", w, out_axis, u, v);
    let (mut u, mut v) = (u.contiguous(), v.contiguous());
    for _ in 0..iterations {
        v = normalised(matrix.transposed_times(&u), eps);
        u = normalised(matrix.times(&v), eps);
    }
    (u, v)
}

/// x/max(‖x‖₂, eps).
pub(crate) fn normalised<T: Element>(x: Tensor<T>, eps: f64) -> Tensor<T> {
    let norm = x.data()[..x.size()].iter().map(|x| x.f64() * x.f64()).sum::<f64>().sqrt();
    let scale = T::of(1.0 / norm.max(eps));
    x.map(|x| x * scale)
}

/// A weight as a matrix (d_out, rest), whatever its memory order.
struct Matrix<T: Element> {
    /// Dense.
    w: Tensor<T>,
    around: Around,
    /// The extents of the axes of `rest`, in logical order.
    rest: Shape,
    /// The axes of `rest` from the slowest in memory to the fastest.
    rest_order: Shape,
}

impl<T: Element> Matrix<T> {
    #[track_caller]
    fn new(name: &str, w: &Tensor<T>, out_axis: usize, u: &Tensor<T>, v: &Tensor<T>) -> Matrix<T> {
        let shape = *w.shape();
        check_axis(name, &shape, out_axis);
        let (w, around) = around(w, out_axis);
        let rest: Shape = (0..shape.len()).filter(|&axis| axis != out_axis).map(|axis| shape[axis]).collect();
        let (rows, columns) = (shape[out_axis], rest.size());
        let fits = **u.shape() == [rows] && **v.shape() == [columns];
        assert!(
            fits,
            "{name}: u of shape {} and v of shape {} for a weight of shape {shape} with output axis {out_axis}: \
             expected ({rows}) and ({columns})",
            u.shape(),
            v.shape()
        );
        let others = order(&w).iter().filter(|&&axis| axis != out_axis).copied().collect::<Shape>();
        let rest_order = others.iter().map(|&axis| if axis > out_axis { axis - 1 } else { axis }).collect();
        Matrix { w, around, rest, rest_order }
    }

    fn elements(&self) -> &[T] {
        &self.w.data()[..self.w.size()]
    }

    /// v, of the length of `rest`, in memory order.
    fn in_memory(&self, v: &Tensor<T>) -> Tensor<T> {
        v.reshape(self.rest).in_memory_order(self.rest_order)
    }

    /// W·v.
    fn times(&self, v: &Tensor<T>) -> Tensor<T> {
        let shape = Shape::from([self.around.extent]);
        let mut out = Buffer::stale(shape.size());
        spectral::times(&mut out, self.elements(), self.around, self.in_memory(v).data());
        Tensor::from_buffer(out, shape, shape.row_major())
    }

    /// Wᵀ·u.
    fn transposed_times(&self, u: &Tensor<T>) -> Tensor<T> {
        let mut out = Buffer::stale(self.rest.size());
        spectral::transposed_times(&mut out, self.elements(), self.around, u.data());
        let strides = self.rest.dense_in_order(self.rest_order.iter().copied());
        Tensor::from_buffer(out, self.rest, strides).reshape([self.rest.size()])
    }

    /// uᵀWv.
    fn sigma(&self, u: &Tensor<T>, v: &Tensor<T>) -> T {
        let times = self.times(v);
        T::of(times.data().iter().zip(u.data()).map(|(a, b)| a.f64() * b.f64()).sum())
    }

    /// The rule of `spectral_norm` in two walks over memory, this being W̄: (G − ⟨G, W̄⟩ u vᵀ)/σ.
    fn rule(&self, grad: &Tensor<T>, u: &Tensor<T>, v: &Tensor<T>, sigma: T) -> Tensor<T> {
        let grad = grad.in_memory_order(order(&self.w));
        let grad = &grad.data()[..self.w.size()];
        let lambda = T::of(spectral::inner_product(grad, self.elements()));
        let v = self.in_memory(v).map(|v| lambda * v);
        let mut out = Buffer::stale(grad.len());
        spectral::minus_outer(&mut out, grad, self.around, u.data(), v.data(), T::one() / sigma);
        Tensor::from_buffer(out, *self.w.shape(), *self.w.strides())
    }
}

/// u vᵀ as a constant of the shape and the memory order of the weight `like`.
fn outer_product<T: Element>(like: &Tensor<T>, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
    let shape = *like.shape();
    let (mut rows, mut columns) = (shape, shape);
    (0..shape.len()).filter(|&axis| axis != out_axis).for_each(|axis| rows[axis] = 1);
    columns[out_axis] = 1;
    u.reshape(rows).zip(&v.reshape(columns), shape, |u, v| u * v).in_memory_order(order(like)).into()
}
