//! Tensors: immutable n-dimensional arrays, cheap to clone.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::device::{Device, DeviceError};
use crate::kernels::opencl::{Memory, Queue};
use crate::kernels::{self, Buffer, Element, Storage};
use crate::shape::{Axes, Layout, Shape, Strides};

/// An immutable n-dimensional array of `f32` or `f64`.
///
/// Clones share the values, and so do views: [`permute`](Tensor::permute), [`slice`](Tensor::slice),
/// [`broadcast_to`](Tensor::broadcast_to), and [`reshape`](Tensor::reshape) where strides allow it. The memory returns
/// to a pool when the last clone goes. Logical shapes are PyTorch's (N, C, H, W); strides say how the values lie in
/// memory, which for the maps of a convolution net is channels-last.
///
/// ```
/// use wengert::Tensor;
/// let x = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!(x.permute([1, 0]).to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert_eq!(x.view()[[1, 2]], 6.0); // an ndarray view
/// ```
///
/// Every operation of [`Var`](crate::Var) works on tensors as well, as on constants:
/// `Var::from(&x).index_select(0, &rows).into_value()`. Arithmetic on tensors is that of constants, which nothing
/// records: shapes broadcast, `+=` and its kin keep the shape of the left side, iterators of tensors have a sum.
///
/// ```
/// use wengert::Tensor;
/// let a = Tensor::<f64>::from_vec([2], vec![1.0, 2.0]);
/// let mut b = 2.0 * &a - &a / 4.0;
/// b += 1.0;
/// assert_eq!(b.to_vec(), [2.75, 4.5]);
/// let sum: Tensor<f64> = [&a, &b].into_iter().sum();
/// assert_eq!(sum.to_vec(), [3.75, 6.5]);
/// assert_eq!((1..=3).map(f64::from).collect::<Tensor<f64>>().shape(), &[3].into());
/// assert_eq!(Tensor::from(ndarray::arr2(&[[1.0, 2.0]])).shape(), &[1, 2].into());
/// ```
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    storage: Arc<Storage<T>>,
    /// Where the first element lies in the storage.
    offset: usize,
    shape: Shape,
    /// In elements, from the offset on; 0 along broadcast axes.
    strides: Strides,
}

impl<T: Element> Tensor<T> {
    /// A tensor over a buffer that has been written.
    ///
    /// # Panics
    /// If the strides reach beyond the buffer.
    pub(crate) fn from_buffer(buffer: Buffer<T>, layout: Layout) -> Tensor<T> {
        Tensor::from_storage(Storage::host(buffer, None), layout)
    }

    /// A tensor over values on the host or on a device.
    ///
    /// # Panics
    /// If the strides reach beyond them.
    pub(crate) fn from_storage(storage: Storage<T>, Layout { shape, strides }: Layout) -> Tensor<T> {
        let last = || (0..shape.len()).map(|axis| (shape[axis] - 1) * strides[axis]).sum::<usize>();
        assert!(shape.contains(&0) || last() < storage.len(), "strides {strides} of {shape} leave the storage");
        Tensor { storage: Arc::new(storage), offset: 0, shape, strides }
    }

    /// A view of the same memory, whose first element lies `skip` elements after that of this tensor.
    pub(crate) fn with_view(&self, shape: Shape, strides: Strides, skip: usize) -> Tensor<T> {
        debug_assert!(shape.contains(&0) || self.offset + skip < self.storage.len(), "a view outside its memory");
        Tensor { storage: self.storage.clone(), offset: self.offset + skip, shape, strides }
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
        Tensor::written(Layout::row_major(shape), |y| y.copy_from_slice(values))
    }

    /// A copy of an `ndarray` array or view, in row-major memory.
    ///
    /// # Panics
    /// If it has more than [`MAX_RANK`](crate::MAX_RANK) axes.
    #[track_caller]
    pub fn from_array<D: ndarray::Dimension>(array: &ndarray::ArrayRef<T, D>) -> Tensor<T> {
        let shape = Shape::from(array.shape());
        Tensor::written(Layout::row_major(shape), |y| y.iter_mut().zip(array.iter()).for_each(|(y, &x)| *y = x))
    }

    /// A tensor that has the same value everywhere.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f64) -> Tensor<T> {
        let shape = shape.into();
        Tensor::written(Layout::row_major(shape), |y| y.fill(T::of(value)))
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

    /// The same value everywhere, in this shape and living where this tensor does.
    pub(crate) fn filled(&self, value: f64) -> Tensor<T> {
        let mut filled = Tensor::full(self.shape, value);
        if let Some(home) = self.home() {
            filled.settle(home.clone());
        }
        filled
    }

    /// The strides in elements; 0 along broadcast axes.
    pub fn strides(&self) -> &Strides {
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

    /// The memory from the first element to the last; what lies where between them, the strides say. Values that a
    /// device has alone are waited for and copied, once: all of those that the tensor is a view of.
    ///
    /// # Panics
    /// With a [`DeviceError`] if the device fails.
    #[inline]
    #[track_caller]
    pub fn data(&self) -> &[T] {
        &self.storage.values()[self.span()]
    }

    /// Where the elements lie in the storage, from the first to the last.
    #[inline]
    fn span(&self) -> Range<usize> {
        let mut last = self.offset;
        for axis in 0..self.rank() {
            match self.shape[axis] {
                0 => return 0..0,
                extent => last += (extent - 1) * self.strides[axis],
            }
        }
        self.offset..last + 1
    }

    /// The device that operations on this tensor run on: the first operand with a device decides.
    #[inline]
    pub(crate) fn home(&self) -> Option<&Queue> {
        self.storage.home()
    }

    /// The values in the memory of a device, and where there.
    pub(crate) fn on_device(&self, queue: &Queue) -> Result<(Memory, Range<usize>), DeviceError> {
        self.storage.placed(queue, self.span())
    }

    /// The device that the tensor lives on, where operations on it run. One that was made from values of the host lives
    /// on the host until it is moved [`to`](Tensor::to) a device; results live where their operands do.
    pub fn device(&self) -> Device {
        Device::of(self.home())
    }

    /// The same values living on a device, or on the host; they are copied unless they are there already.
    ///
    /// # Errors
    /// If the device cannot hold `T`, has no memory left, or fails.
    pub fn to(&self, device: &Device) -> Result<Tensor<T>, DeviceError> {
        if self.home() == device.queue() {
            return Ok(self.clone());
        }
        device.check::<T>()?;
        // Gaps go on the host, where that cannot fail.
        let here = match self.home() {
            None => self.like(self),
            Some(_) => self.on_host()?.like(self),
        };
        match device.queue() {
            None => Ok(here),
            Some(queue) => {
                let storage = Storage::device(queue.upload(here.elements())?, self.size());
                Ok(Tensor::from_storage(storage, here.layout()))
            }
        }
    }

    /// The same values on the host, as they lie, in memory of their own.
    fn on_host(&self) -> Result<Tensor<T>, DeviceError> {
        let layout = Layout { shape: self.shape, strides: self.strides };
        Ok(Tensor::from_buffer(self.storage.copy_of(self.span())?, layout))
    }

    /// The layout of a result that lies as this tensor does, but without its gaps and repetitions.
    pub fn layout(&self) -> Layout {
        Layout { shape: self.shape, strides: self.dense_strides() }
    }

    /// The elements of a tensor without gaps, in memory order.
    pub(crate) fn elements(&self) -> &[T] {
        debug_assert!(self.shape.is_dense(&self.strides) || self.size() == 0, "gaps in {self:?}");
        self.data()
    }

    /// An `ndarray` view of the tensor.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        kernels::view(self.data(), &self.shape, &self.strides)
    }

    /// A copy as an `ndarray` array.
    pub fn to_array(&self) -> ArrayD<T> {
        ArrayD::from_shape_vec(IxDyn(&self.shape), self.to_vec()).expect("as many values as the shape has")
    }

    /// The elements in row-major order.
    ///
    /// # Panics
    /// If there is no memory for so many; a view may repeat a few numbers very often. With a [`DeviceError`] if a
    /// device that has them fails.
    #[track_caller]
    pub fn to_vec(&self) -> Vec<T> {
        let (mut values, size) = (Vec::new(), self.size());
        assert!(values.try_reserve_exact(size).is_ok(), "to_vec: no memory for shape {} in {}", self.shape, T::NAME);
        let dense = self.contiguous();
        match dense.home() {
            None => values.extend_from_slice(dense.elements()),
            Some(_) => values.extend_from_slice(dense.on_host().unwrap_or_else(|error| error.raise()).elements()),
        }
        values
    }

    /// The value of a tensor with one element.
    ///
    /// # Panics
    /// If it has more or none; with a [`DeviceError`] if a device that has it fails.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.size() == 1, "item: expected one element, found shape {}", self.shape);
        match self.home() {
            None => self.storage.values()[self.offset],
            Some(_) => self.on_host().unwrap_or_else(|error| error.raise()).elements()[0],
        }
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
    pub fn in_memory_order(&self, axes: impl Into<Axes>) -> Tensor<T> {
        let axes = axes.into();
        self.check_permutation("in_memory_order", &axes);
        self.with_strides(self.shape.dense_in_order(axes.iter().copied()))
    }

    /// The same values in the memory order of `other`, without gaps and repetitions; a copy only if they lie otherwise.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn like(&self, other: &Tensor<T>) -> Tensor<T> {
        assert!(self.shape == other.shape, "like: shapes {} and {}: expected equal ones", self.shape, other.shape);
        self.with_strides(other.dense_strides())
    }

    /// The same elements in row-major order under another shape; a view if the memory allows it, else a copy.
    ///
    /// # Panics
    /// If the numbers of elements differ.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let shape = shape.into();
        assert!(shape.size() == self.size(), "reshape: {} elements of {} cannot be {shape}", self.size(), self.shape);
        match self.strides.reshaped(&self.shape, &shape) {
            Some(strides) => self.with_view(shape, strides, 0),
            None => self.contiguous().with_view(shape, shape.row_major(), 0),
        }
    }

    /// A view with the axes in another order: axis i of the result is axis `axes[i]` of this tensor.
    ///
    /// # Panics
    /// If `axes` is not a permutation of `0..rank`.
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Axes>) -> Tensor<T> {
        let axes = axes.into();
        self.check_permutation("permute", &axes);
        let shape = axes.iter().map(|&axis| self.shape[axis]).collect();
        self.with_view(shape, axes.iter().map(|&axis| self.strides[axis]).collect(), 0)
    }

    /// A view of the elements with index in `range` along `axis`. It keeps the whole memory alive.
    ///
    /// ```
    /// use wengert::Tensor;
    /// let x = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    /// assert_eq!(x.slice(1, 1..3).to_vec(), [2.0, 3.0, 5.0, 6.0]);
    /// ```
    ///
    /// # Panics
    /// If the axis or the range is out of bounds.
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Tensor<T> {
        let shape = self.shape;
        let fits = axis < shape.len() && range.start <= range.end && range.end <= shape[axis];
        assert!(fits, "slice: {range:?} along axis {axis} of shape {shape} is out of bounds");
        let (part, skip) = (shape.with_extent(axis, range.len()), range.start * self.strides[axis]);
        // Nothing has no first element.
        if part.size() == 0 { self.nothing(part) } else { self.with_view(part, self.strides, skip) }
    }

    #[track_caller]
    fn check_permutation(&self, name: &str, axes: &Axes) {
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
            return self.nothing(shape);
        }
        self.with_view(shape, self.broadcast_strides(&shape), 0)
    }

    /// A tensor without elements that lives where this one does.
    fn nothing(&self, shape: Shape) -> Tensor<T> {
        Tensor::from_storage(Storage::host(Buffer::stale(0), self.home().cloned()), Layout::row_major(shape))
    }

    pub(crate) fn broadcast_strides(&self, shape: &Shape) -> Strides {
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
        let layout = Layout { shape: self.shape, strides: dense.strides };
        Tensor::written(layout, |y| y.iter_mut().zip(dense.elements()).for_each(|(y, x)| *y = U::of(x.f64())))
    }

    /// Whether nobody else holds this memory, which has no gaps.
    pub(crate) fn is_own(&mut self) -> bool {
        self.shape.is_dense(&self.strides) && Arc::get_mut(&mut self.storage).is_some()
    }

    /// Whether elements are repeated along an axis.
    pub(crate) fn repeats(&self) -> bool {
        self.shape.iter().zip(self.strides.iter()).any(|(&extent, &stride)| extent > 1 && stride == 0)
    }

    /// The elements for writing, in memory order: this tensor's own copy, dense in the order that it has.
    pub(crate) fn make_mut(&mut self) -> &mut [T] {
        let (start, size) = (self.own(), self.size());
        &mut self.own_storage().values_mut()[start..start + size]
    }

    /// Makes the memory this tensor's own, dense in the order that it has; where the first element lies.
    fn own(&mut self) -> usize {
        if !self.is_own() {
            *self = self.copied(self.dense_strides());
        }
        self.offset
    }

    fn own_storage(&mut self) -> &mut Storage<T> {
        Arc::get_mut(&mut self.storage).expect("nobody else holds its own memory")
    }

    /// As [`make_mut`](Tensor::make_mut), on a device; [`changed_on`](Tensor::changed_on) must follow.
    pub(crate) fn make_mut_on(&mut self, queue: &Queue) -> Result<(Memory, Range<usize>), DeviceError> {
        if self.storage.len() > self.size() {
            // Its own memory, without what else lies there.
            *self = self.copied(self.dense_strides());
        }
        let (start, size) = (self.own(), self.size());
        Ok((self.own_storage().memory_mut(queue)?, start..start + size))
    }

    /// The elements were changed on a device.
    pub(crate) fn changed_on(&mut self, queue: &Queue) {
        self.own_storage().changed_on(queue);
    }

    /// Gives the tensor a home, wherever its values are; it must be nobody else's.
    pub(crate) fn settle(&mut self, home: Queue) {
        self.own_storage().settle(home);
    }

    /// Dense strides in the memory order of this tensor.
    pub(crate) fn dense_strides(&self) -> Strides {
        match self.shape.is_dense(&self.strides) {
            true => self.strides,
            false => self.shape.dense_in_order(self.strides.order().iter().copied()),
        }
    }
}

impl<T: Element> FromIterator<T> for Tensor<T> {
    /// A vector (N) of what the iterator yields.
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Tensor<T> {
        let values: Vec<T> = values.into_iter().collect();
        Tensor::from_slice([values.len()], &values)
    }
}

impl<T: Element, D: ndarray::Dimension> From<ndarray::Array<T, D>> for Tensor<T> {
    /// As [`from_array`](Tensor::from_array).
    #[track_caller]
    fn from(array: ndarray::Array<T, D>) -> Tensor<T> {
        Tensor::from_array(&array)
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
