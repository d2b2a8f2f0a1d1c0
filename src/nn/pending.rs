//! Stand-ins for operations that are being written elsewhere.
#![allow(unused, missing_docs)]
use crate::{Element, Tensor, Var};
pub struct BatchStats<T: Element> {
    pub mean: Tensor<T>,
    pub var_biased: Tensor<T>,
    pub count: usize,
}
impl<T: Element> Var<T> {
    pub fn batch_norm_train(&self, g: &Var<T>, b: &Var<T>, eps: f64) -> (Var<T>, BatchStats<T>) {
        let axes: &[usize] = if self.shape().len() == 4 { &[0, 2, 3] } else { &[0] };
        let shape: Vec<usize> =
            if self.shape().len() == 4 { vec![1, g.shape()[0], 1, 1] } else { vec![1, g.shape()[0]] };
        let (mean, var) = (self.mean_axes(axes, true), self.var_axes(axes, true, 0));
        let y = (self - &mean) / (&var + eps).sqrt() * g.reshape(&shape) + b.reshape(&shape);
        let c = g.shape();
        (y, BatchStats { mean: mean.value().reshape(c), var_biased: var.value().reshape(c), count: 0 })
    }
    pub fn batch_norm_eval(&self, g: &Var<T>, b: &Var<T>, m: &Tensor<T>, v: &Tensor<T>, eps: f64) -> Var<T> {
        let shape: Vec<usize> =
            if self.shape().len() == 4 { vec![1, g.shape()[0], 1, 1] } else { vec![1, g.shape()[0]] };
        let (m, v): (Var<T>, Var<T>) = (m.reshape(&shape).into(), v.reshape(&shape).into());
        (self - m) / (v + eps).sqrt() * g.reshape(&shape) + b.reshape(&shape)
    }
    pub fn spectral_norm(&self, u: &Tensor<T>, v: &Tensor<T>, out_axis: usize) -> Var<T> {
        let w = spectral::matrix(self, out_axis);
        let (u, v): (Var<T>, Var<T>) = (u.reshape([1, u.size()]).into(), v.reshape([v.size(), 1]).into());
        self / u.matmul(&w).matmul(&v).sum()
    }
}
pub mod spectral {
    use crate::{Element, Tensor, Var};
    pub fn matrix<T: Element>(w: &Var<T>, out_axis: usize) -> Var<T> {
        let mut axes: Vec<usize> = (0..w.shape().len()).collect();
        axes.swap(0, out_axis);
        let w = w.permute(&axes);
        w.reshape([w.shape()[0], w.value().size() / w.shape()[0]])
    }
    pub fn power_iteration<T: Element>(
        w: &Tensor<T>,
        out_axis: usize,
        u: &Tensor<T>,
        v: &Tensor<T>,
        n: usize,
        eps: f64,
    ) -> (Tensor<T>, Tensor<T>) {
        let w = matrix(&w.into(), out_axis);
        let unit = |x: Var<T>| {
            let n = x.powi(2).sum().item().sqrt();
            (x * (1.0 / n.f64())).into_value()
        };
        let v = unit(Var::from(u.reshape([1, u.size()])).matmul(&w));
        let v = v.reshape([v.size(), 1]);
        let u = unit(w.matmul(&Var::from(&v)));
        (u.reshape([u.size()]), v.reshape([v.size()]))
    }
}
