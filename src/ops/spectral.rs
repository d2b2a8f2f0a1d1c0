//! Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) and spectral norm regularisation (Yoshida and Miyato
//! 2017, arXiv:1705.10941).
//!
//! σ(W) = max ‖Wx‖/‖x‖ is the largest singular value. With its singular vectors u and v, σ = uᵀWv and ∂σ/∂W = u vᵀ. u
//! and v are state, held constant by every derivative. That is exact for the first derivative if they are the singular
//! vectors; for the second it leaves out that they turn with W.

use super::index::around;
use super::reduction::check_axis;
use crate::compute::{Layout, by_element, compiled, compute};
use crate::kernels::around::Around;
use crate::kernels::formulas::{Product, Quotient};
use crate::kernels::spectral::{Dot, SpectralGradient, Times, TransposedTimes, UnitVector};
use crate::{Axes, Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// W/σ with σ = uᵀWv.
    ///
    /// A weight counts as the matrix W (d_out, rest): its output axis against all others in their logical order, as in
    /// PyTorch. (O, I, kh, kw) of a convolution, output axis 0, gives rest = (I, kh, kw), and so does (I, O, kh, kw) of
    /// a transposed convolution, output axis 1; (out, in) of a dense layer, output axis 0, gives rest = (in). u is
    /// (d_out) and v is (rest), whatever the order in which the weight lies in memory.
    ///
    /// With y = W/σ, W̄ = (ȳ − ⟨ȳ, y⟩ u vᵀ)/σ: what changes W along u vᵀ only changes σ, and y does not see it. Miyato
    /// et al. give this for a layer h ↦ yh, where ȳ is the mean of δhᵀ over the batch and ⟨ȳ, y⟩ their λ; it holds for
    /// any loss.
    ///
    /// σ(W/σ) = 1 only as far as u and v have converged; see [`power_iteration`]. W = 0 gives NaN, as in PyTorch.
    ///
    /// # Panics
    /// If `out_axis` is out of bounds, u is not (d_out), or v is not (rest).
    #[track_caller]
    pub fn spectral_norm(&self, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
        let matrix = Matrix::new("spectral_norm", self.value(), out_axis, u, v);
        let (u, v) = (u.contiguous(), v.contiguous());
        let sigma = matrix.sigma(&u, &v);
        let value = by_element(Quotient, [&matrix.w, &sigma]);
        let (w, y) = (self.saved(), value.clone());
        Var::record("spectral_norm", &[self], value, move |grad, back| {
            let records = back.records();
            back.give(0, |back| {
                if !records {
                    let normed = Matrix::new("spectral_norm", &y, out_axis, &u, &v);
                    return normed.gradient(grad.value(), &u, &v, &sigma).into();
                }
                let sigma = back.var(&w).spectral_sigma(&u, &v, out_axis);
                let lambda = (grad * back.output(&y)).sum();
                (grad - lambda * outer_product(&y, &u, &v, out_axis)) / sigma
            });
        })
    }

    /// σ = uᵀWv, of shape (). W̄ = σ̄·u vᵀ.
    ///
    /// (λ/2) Σ σ² over the layers is spectral norm *regularisation*, with the gradient λσ·u vᵀ.
    ///
    /// # Panics
    /// If `out_axis` is out of bounds, u is not (d_out), or v is not (rest).
    #[track_caller]
    pub fn spectral_sigma(&self, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
        let matrix = Matrix::new("spectral_sigma", self.value(), out_axis, u, v);
        let (u, v) = (u.contiguous(), v.contiguous());
        let (sigma, w) = (matrix.sigma(&u, &v), self.value().clone());
        Var::record("spectral_sigma", &[self], sigma, move |grad, back| {
            back.give(0, |_| grad * outer_product(&w, &u, &v, out_axis));
        })
    }
}

/// `iterations` rounds of v ← Wᵀu/max(‖Wᵀu‖, eps), u ← Wv/max(‖Wv‖, eps), in that order.
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
        v = unit_vector(&matrix.transposed_times(&u), eps);
        u = unit_vector(&matrix.times(&v), eps);
    }
    (u, v)
}

/// x/max(‖x‖₂, eps) of a vector.
pub(crate) fn unit_vector<T: Element>(x: &Tensor<T>, eps: f64) -> Tensor<T> {
    let [y] = compute(compiled(&UnitVector { eps }), &[&x.contiguous()], [Layout::row_major(x.shape())]);
    y
}

/// A weight as a matrix (d_out, rest), whatever its memory order.
struct Matrix<T: Element> {
    /// Dense.
    w: Tensor<T>,
    around: Around,
    /// The extents of the axes of `rest`, in logical order.
    rest: Shape,
    /// The axes of `rest` from the slowest in memory to the fastest.
    rest_order: Axes,
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
        let order = w.strides().order();
        let others = order.iter().filter(|&&axis| axis != out_axis);
        let rest_order = others.map(|&axis| if axis > out_axis { axis - 1 } else { axis }).collect();
        Matrix { w, around, rest, rest_order }
    }

    /// v, of the length of `rest`, in memory order.
    fn in_memory(&self, v: &Tensor<T>) -> Tensor<T> {
        v.reshape(self.rest).in_memory_order(self.rest_order)
    }

    /// W·v.
    fn times(&self, v: &Tensor<T>) -> Tensor<T> {
        let (kernel, layout) = (Times { around: self.around }, Layout::row_major([self.around.extent]));
        let [product] = compute(compiled(&kernel), &[&self.w, &self.in_memory(v)], [layout]);
        product
    }

    /// Wᵀ·u.
    fn transposed_times(&self, u: &Tensor<T>) -> Tensor<T> {
        let layout = Layout::in_order(self.rest, self.rest_order);
        let [product] = compute(compiled(&TransposedTimes { around: self.around }), &[&self.w, u], [layout]);
        product.reshape([self.rest.size()]).contiguous()
    }

    /// uᵀWv, of shape ().
    fn sigma(&self, u: &Tensor<T>, v: &Tensor<T>) -> Tensor<T> {
        let [sigma] = compute(compiled(&Dot), &[&self.times(v), u], [Layout::row_major([])]);
        sigma
    }

    /// The rule of `spectral_norm` in two walks over memory, this being W/σ.
    fn gradient(&self, grad: &Tensor<T>, u: &Tensor<T>, v: &Tensor<T>, sigma: &Tensor<T>) -> Tensor<T> {
        let inputs = [&grad.like(&self.w), &self.w, u, &self.in_memory(v), sigma];
        let layout = self.w.layout();
        let [gradient] = compute(compiled(&SpectralGradient { around: self.around }), &inputs, [layout]);
        gradient
    }
}

/// u vᵀ as a constant of the shape and the memory order of the weight `like`.
fn outer_product<T: Element>(like: &Tensor<T>, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
    let shape = *like.shape();
    let (mut rows, mut columns) = (shape, shape);
    (0..shape.len()).filter(|&axis| axis != out_axis).for_each(|axis| rows[axis] = 1);
    columns[out_axis] = 1;
    by_element(Product, [&u.reshape(rows), &v.reshape(columns)]).like(like).into()
}
