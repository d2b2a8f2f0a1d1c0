//! Tensors: immutable n-dimensional arrays, cheap to clone.

use std::fmt;
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::kernels::{self, Buffer, Element, map, nest::Nest, nest::memory_order, reduce};
use crate::shape::Shape;

/// An immutable n-dimensional array of `f32` or `f64`.
///
/// Clones share the values, and so do views ([`permute`](Tensor::permute), [`broadcast_to`](Tensor::broadcast_to), and
/// [`reshape`](Tensor::reshape) where strides allow it). The memory returns to a pool when the last clone goes.
/// Logical shapes are PyTorch's (N, C, H, W); strides say how the values lie in memory, which for the maps of a
/// convolution net is channels-last.
///
/// ```
/// use wengert::Tensor;
/// let x = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!(x.permute([1, 0]).to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert_eq!(x.view()[[1, 2]], 6.0); // an ndarray view
/// ```
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    buffer: Arc<Buffer<T>>,
    shape: Shape,
    /// In elements, from the start of the buffer; 0 along broadcast axes.
    strides: Shape,
}

impl<T: Element> Tensor<T> {
    /// A tensor over a buffer that a kernel has written.
    ///
    /// # Panics
    /// If the strides reach beyond the buffer.
    pub(crate) fn from_buffer(buffer: Buffer<T>, shape: Shape, strides: Shape) -> Tensor<T> {
        let last = || shape.iter().zip(strides.iter()).map(|(n, s)| (n - 1) * s).sum::<usize>();
        assert!(shape.contains(&0) || last() < buffer.len(), "strides {strides} of {shape} leave the buffer");
        Tensor { buffer: Arc::new(buffer), shape, strides }
    }

    /// A tensor from its elements in row-major order.
    ///
    /// # Panics
    /// If their number is not the product of the extents.
    #[track_caller]
    pub fn from_vec(shape: impl Into<Shape>, values: Vec<T>) -> Tensor<T> {
        Tensor::from_slice(shape, &values)
    }

    /// A tensor from a copy of its elements in row-major order.
    ///
    /// # Panics
    /// If their number is not the product of the extents.
    #[track_caller]
    pub fn from_slice(shape: impl Into<Shape>, values: &[T]) -> Tensor<T> {
        let shape = shape.into();
        assert!(values.len() == shape.size(), "{} values for a tensor of shape {shape}", values.len());
        Tensor::from_buffer(Buffer::copy_of(values), shape, shape.row_major())
    }

    /// A copy of an `ndarray` array or view, in row-major memory.
    ///
    /// # Panics
    /// If it has more than [`MAX_RANK`](crate::MAX_RANK) axes.
    #[track_caller]
    pub fn from_array<D: ndarray::Dimension>(array: &ndarray::ArrayRef<T, D>) -> Tensor<T> {
        let shape = Shape::from(array.shape());
        let mut buffer = Buffer::stale(shape.size());
        buffer.iter_mut().zip(array.iter()).for_each(|(y, &x)| *y = x);
        Tensor::from_buffer(buffer, shape, shape.row_major())
    }

    /// A tensor that has the same value everywhere.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f64) -> Tensor<T> {
        let shape = shape.into();
        Tensor::from_buffer(Buffer::filled(shape.size(), T::of(value)), shape, shape.row_major())
    }

    /// A tensor of zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Tensor<T> {
        Tensor::full(shape, 0.0)
    }

    /// A tensor of ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Tensor<T> {
        Tensor::full(shape, 1.0)
    }

    /// A tensor of rank 0 that holds one value.
    pub fn scalar(value: f64) -> Tensor<T> {
        Tensor::full([], value)
    }

    /// The extents, as in PyTorch: (N, C, H, W) for maps.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The strides in elements; 0 along broadcast axes.
    pub fn strides(&self) -> &Shape {
        &self.strides
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn size(&self) -> usize {
        self.shape.size()
    }

    /// The memory from the first element on; what lies where, the strides say.
    pub fn data(&self) -> &[T] {
        &self.buffer
    }

    /// An `ndarray` view of the tensor.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        kernels::view(&self.buffer, &self.shape, &self.strides)
    }

    /// A copy as an `ndarray` array.
    pub fn to_array(&self) -> ArrayD<T> {
        ArrayD::from_shape_vec(IxDyn(&self.shape), self.to_vec()).expect("as many values as the shape has")
    }

    /// The elements in row-major order.
    pub fn to_vec(&self) -> Vec<T> {
        self.contiguous().buffer[..self.size()].to_vec()
    }

    /// The value of a tensor with one element.
    ///
    /// # Panics
    /// If it has more or none.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.size() == 1, "item: expected one element, found shape {}", self.shape);
        self.buffer[0]
    }

    /// Whether the elements lie in memory in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.shape.same_strides(&self.strides, &self.shape.row_major())
    }

    /// Whether (N, C, H, W) lies in memory as (N, H, W, C) without gaps.
    pub fn is_channels_last(&self) -> bool {
        self.rank() == 4 && self.shape.same_strides(&self.strides, &self.shape.channels_last())
    }

    /// The same values in row-major memory; a copy only if they lie otherwise.
    pub fn contiguous(&self) -> Tensor<T> {
        self.with_strides(self.shape.row_major())
    }

    /// The same (N, C, H, W) values in channels-last memory; a copy only if they lie otherwise.
    ///
    /// # Panics
    /// If the rank is not 4.
    #[track_caller]
    pub fn channels_last(&self) -> Tensor<T> {
        assert!(self.rank() == 4, "channels_last: expected (N, C, H, W), found shape {}", self.shape);
        self.with_strides(self.shape.channels_last())
    }

    /// The same values lying in memory with the axes in this order, slowest first; a copy only if they lie otherwise.
    ///
    /// # Panics
    /// If `axes` is not a permutation of `0..rank`.
    #[track_caller]
    pub fn in_memory_order(&self, axes: impl Into<Shape>) -> Tensor<T> {
        let axes = axes.into();
        self.check_permutation("in_memory_order", &axes);
        self.with_strides(self.shape.dense_in_order(axes.iter().copied()))
    }

    fn with_strides(&self, strides: Shape) -> Tensor<T> {
        if self.shape.same_strides(&self.strides, &strides) {
            return Tensor { buffer: self.buffer.clone(), shape: self.shape, strides };
        }
        let mut out = Buffer::stale(self.size());
        map::reorder(&mut out, &Nest::new(&self.shape, &strides, [&self.strides]), &self.buffer);
        Tensor::from_buffer(out, self.shape, strides)
    }

    /// The same elements in row-major order under another shape; a view if the memory allows it, else a copy.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let shape = shape.into();
        assert!(shape.size() == self.size(), "reshape: {} elements of {} cannot be {shape}", self.size(), self.shape);
        let strides = shape.row_major();
        Tensor { shape, strides, ..self.contiguous() }
    }

    /// A view with the axes in another order: axis i of the result is axis `axes[i]` of this tensor.
    ///
    /// # Panics
    /// If `axes` is not a permutation of `0..rank`.
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Shape>) -> Tensor<T> {
        let axes = axes.into();
        self.check_permutation("permute", &axes);
        let pick = |of: &Shape| axes.iter().map(|&a| of[a]).collect::<Shape>();
        Tensor { shape: pick(&self.shape), strides: pick(&self.strides), buffer: self.buffer.clone() }
    }

    #[track_caller]
    fn check_permutation(&self, name: &str, axes: &Shape) {
        let is_permutation = axes.len() == self.rank() && (0..self.rank()).all(|axis| axes.contains(&axis));
        assert!(is_permutation, "{name}: {axes} is no permutation of the axes of {}", self.shape);
    }

    /// A view that repeats axes of extent 1, and new leading axes, by the rules of NumPy; it copies nothing.
    ///
    /// # Panics
    /// If the shapes do not broadcast to `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let shape = shape.into();
        let fits = self.shape.broadcast(&shape) == Some(shape);
        assert!(fits, "broadcast_to: shape {} cannot be repeated to {shape}", self.shape);
        if shape.size() == 0 {
            // Not a view of memory that holds elements: kernels check that dense memory is as long as the shape says.
            return Tensor::zeros(shape);
        }
        Tensor { shape, strides: self.broadcast_strides(&shape), buffer: self.buffer.clone() }
    }

    fn broadcast_strides(&self, shape: &Shape) -> Shape {
        let new_axes = shape.len() - self.rank();
        let stride = |axis: usize| match axis.checked_sub(new_axes) {
            Some(own) if self.shape[own] == shape[axis] => self.strides[own],
            _ => 0,
        };
        (0..shape.len()).map(stride).collect()
    }

    /// The same values as another scalar type, in the same memory order.
    pub fn cast<U: Element>(&self) -> Tensor<U> {
        let dense = self.with_strides(self.dense_strides());
        let mut buffer = Buffer::stale(self.size());
        buffer.iter_mut().zip(dense.buffer.iter()).for_each(|(y, x)| *y = U::of(x.f64()));
        Tensor::from_buffer(buffer, self.shape, dense.strides)
    }

    /// `f` of every element, in the memory order of this tensor.
    pub(crate) fn map(&self, f: impl Fn(T) -> T + Sync + Copy) -> Tensor<T> {
        let (strides, mut out) = (self.dense_strides(), Buffer::stale(self.size()));
        map::map1(&mut out, &Nest::new(&self.shape, &strides, [&self.strides]), &self.buffer, f);
        Tensor::from_buffer(out, self.shape, strides)
    }

    /// `f(a, b)` of every pair of elements of two tensors that broadcast to `shape`.
    ///
    /// The result keeps the memory order that both operands have; mixed orders yield channels-last.
    pub(crate) fn zip(&self, other: &Tensor<T>, shape: Shape, f: impl Fn(T, T) -> T + Sync + Copy) -> Tensor<T> {
        let strides = self.joint_strides(other, &shape);
        let inputs = [&*self.broadcast_strides(&shape), &*other.broadcast_strides(&shape)];
        let mut out = Buffer::stale(shape.size());
        map::map2(&mut out, &Nest::new(&shape, &strides, inputs), &self.buffer, &other.buffer, f);
        Tensor::from_buffer(out, shape, strides)
    }

    /// Adds `other`, in place where nobody else holds this memory: gradients add up so.
    pub(crate) fn add_assign(&mut self, other: &Tensor<T>) {
        self.zip_assign(other, |a, b| a + b);
    }

    /// `f(a, b)` of every pair of elements, `other` being repeated to this shape; in place where nobody else holds this
    /// memory.
    pub(crate) fn zip_assign(&mut self, other: &Tensor<T>, f: impl Fn(T, T) -> T + Sync + Copy) {
        let in_place = self.shape == other.shape && self.shape.is_dense(&self.strides);
        match Arc::get_mut(&mut self.buffer).filter(|_| in_place) {
            Some(out) => {
                let nest = Nest::new(&self.shape, &self.strides, [&other.strides]);
                map::update(&mut out[..self.shape.size()], &nest, &other.buffer, f);
            }
            None => *self = self.zip(other, self.shape, f),
        }
    }

    /// The elements for writing, in memory order: this tensor's own copy, dense in the order that it has.
    pub(crate) fn make_mut(&mut self) -> &mut [T] {
        if !self.shape.is_dense(&self.strides) || Arc::get_mut(&mut self.buffer).is_none() {
            *self = self.map(|x| x);
        }
        let size = self.size();
        &mut Arc::get_mut(&mut self.buffer).expect("a fresh copy is not shared")[..size]
    }

    /// Reduces over `axes` (extent 1 in the result) by an associative, commutative `f`.
    pub(crate) fn reduce(&self, axes: &[usize], init: T, f: impl Fn(T, T) -> T + Sync + Copy) -> Tensor<T> {
        let mut shape = self.shape;
        axes.iter().for_each(|&axis| shape[axis] = 1);
        let strides = shape.dense_in_order(memory_order(&self.shape, &self.strides));
        let mut loops = strides;
        axes.iter().for_each(|&axis| loops[axis] = 0);
        let mut out = Buffer::stale(shape.size());
        reduce::reduce(&mut out, &loops, &self.shape, &self.strides, &self.buffer, init, f);
        Tensor::from_buffer(out, shape, strides)
    }

    /// Dense strides in the memory order of this tensor.
    fn dense_strides(&self) -> Shape {
        match self.shape.is_dense(&self.strides) {
            true => self.strides,
            false => self.shape.dense_in_order(memory_order(&self.shape, &self.strides)),
        }
    }

    /// Strides for the result of an operation on both: those of the operand that fills `shape` without gaps; where
    /// both do but lie differently, or none does, channels-last.
    fn joint_strides(&self, other: &Tensor<T>, shape: &Shape) -> Shape {
        let fills = |t: &Tensor<T>| t.shape == *shape && t.shape.is_dense(&t.strides);
        match (fills(self), fills(other)) {
            (true, true) if !shape.same_strides(&self.strides, &other.strides) => shape.channels_last(),
            (true, _) => self.strides,
            (_, true) => other.strides,
            _ => shape.channels_last(),
        }
    }
}

impl<T: Element> PartialEq for Tensor<T> {
    /// The same shape and equal elements, however they lie in memory.
    fn eq(&self, other: &Tensor<T>) -> bool {
        self.shape == other.shape && self.view() == other.view()
    }
}

impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor<{}>{} {:?}", T::NAME, self.shape, self.view())
    }
}

impl<T: Element> fmt::Display for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.view(), f)
    }
}
