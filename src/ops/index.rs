//! Rows by index: picking them (an embedding is a table picked along axis 0), and its adjoint, adding them up; and the
//! rows in reverse.
//!
//! Picking and adding up are each other's rule, and reversing is its own, so every order of derivative is there.

use super::reduction::{check_axes, check_axis};
use crate::compute::{Indices, Layout, compiled, compute_indexed};
use crate::kernels::around::Around;
use crate::kernels::index::{IndexAdd, Select};
use crate::{Axes, Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The elements at `indices` along `axis`, in that order, any of them any number of times:
    /// `y[…, j, …] = x[…, indices[j], …]`, of extent `indices.len()` along `axis`.
    /// x̄ = [`index_add`](Var::index_add) of ȳ: an element picked twice gets two gradients.
    ///
    /// `table.index_select(0, &words)` is an embedding: (words, features) of a table (vocabulary, features).
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let table = tape.var(Tensor::<f64>::from_vec([3, 2], vec![1., 2., 3., 4., 5., 6.]));
    /// let y = table.index_select(0, &[2, 0, 2]);
    /// assert_eq!(y.value().to_vec(), [5., 6., 1., 2., 5., 6.]);
    /// assert_eq!(y.sum().backward().wrt(&table).to_vec(), [1., 1., 0., 0., 2., 2.]);
    /// ```
    ///
    /// # Panics
    /// If the axis or an index is out of bounds.
    #[track_caller]
    pub fn index_select(&self, axis: usize, indices: &[usize]) -> Var<T> {
        let shape = self.shape();
        check_axis("index_select", shape, axis);
        check_indices("index_select", shape, axis, indices, shape[axis]);
        self.pick(axis, Indices::new(indices))
    }

    /// The adjoint of [`index_select`](Var::index_select): zeros of extent `extent` along `axis`, to which the element
    /// at j is added at `indices[j]`: `y[…, e, …] = Σ x[…, j, …]` over the j with `indices[j] = e`, added in the
    /// order of j at any number of threads. x̄ = [`index_select`](Var::index_select) of ȳ.
    ///
    /// # Panics
    /// If the axis or an index is out of bounds, or there are not as many indices as elements along `axis`.
    #[track_caller]
    pub fn index_add(&self, axis: usize, indices: &[usize], extent: usize) -> Var<T> {
        let shape = self.shape();
        check_axis("index_add", shape, axis);
        let n = indices.len();
        assert!(
            n == shape[axis],
            "index_add: {n} indices along axis {axis} of shape {shape}: expected {}",
            shape[axis]
        );
        check_indices("index_add", shape, axis, indices, extent);
        self.scatter(axis, Indices::new(indices), extent)
    }

    /// [`Var::index_select`], checked.
    #[track_caller]
    fn pick(&self, axis: usize, indices: Indices) -> Var<T> {
        let (value, extent) = (picked(self.value(), axis, &indices), self.shape()[axis]);
        Var::record("index_select", &[self], value, move |grad, back| {
            back.give(0, |_| grad.scatter(axis, indices.clone(), extent));
        })
    }

    /// The elements in reverse order along each of `axes`, a copy; x̄ is ȳ, flipped back.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let x = Var::<f64>::from(Tensor::from_vec([2, 3], vec![1., 2., 3., 4., 5., 6.]));
    /// assert_eq!(x.flip([1]).value().to_vec(), [3., 2., 1., 6., 5., 4.]);
    /// assert_eq!(x.flip([0, 1]).value().to_vec(), [6., 5., 4., 3., 2., 1.]);
    /// ```
    ///
    /// # Panics
    /// If one of `axes` is out of range or named twice.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Var<T> {
        let axes = check_axes("flip", self.shape(), axes);
        let reversed = |x: Tensor<T>, &axis: &usize| {
            let backwards: Vec<usize> = (0..x.shape()[axis]).rev().collect();
            picked(&x, axis, &Indices::new(&backwards))
        };
        let value = axes.iter().fold(self.value().clone(), reversed);
        Var::record("flip", &[self], value, move |grad, back| {
            back.give(0, |_| grad.flip(axes));
        })
    }

    /// [`Var::index_add`], checked.
    #[track_caller]
    fn scatter(&self, axis: usize, indices: Indices, extent: usize) -> Var<T> {
        let (x, around) = around(self.value(), axis);
        let layout = Layout::in_order(x.shape().with_extent(axis, extent), x.strides().order());
        let kernel = IndexAdd { around: around.with_extent(extent) };
        let ([value], []) = compute_indexed(compiled(&kernel), (&[&x], &[&indices]), ([layout], []));
        Var::record("index_add", &[self], value, move |grad, back| {
            back.give(0, |_| grad.pick(axis, indices.clone()));
        })
    }
}

#[track_caller]
fn check_indices(name: &str, shape: &Shape, axis: usize, indices: &[usize], extent: usize) {
    if let Some((j, index)) = indices.iter().enumerate().find(|&(_, &index)| index >= extent) {
        panic!(
            "{name}: index {index} (number {j} of {}) along axis {axis} of shape {shape}: expected one below {extent}",
            indices.len()
        );
    }
}

/// The elements of x at these indices along `axis`, in the memory order of x.
fn picked<T: Element>(x: &Tensor<T>, axis: usize, indices: &Indices) -> Tensor<T> {
    let (x, around) = around(x, axis);
    let layout = Layout::in_order(x.shape().with_extent(axis, indices.len()), x.strides().order());
    let ([y], []) = compute_indexed(compiled(&Select { around }), (&[&x], &[indices]), ([layout], []));
    y
}

/// `x` without gaps in its own memory order (copied only if it has some), seen around `axis`.
pub(super) fn around<T: Element>(x: &Tensor<T>, axis: usize) -> (Tensor<T>, Around) {
    let x = x.like(x);
    let around = Around::new(x.shape(), x.strides(), axis);
    (x, around)
}
