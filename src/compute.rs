//! From kernels to tensors: the one place where the memory of a result is made and a kernel writes it.
//!
//! A kernel is a value with sizes and options; see [`Kernel`]. [`compute`] runs it into fresh tensors, [`update`] on
//! tensors that it changes, [`by_element`] applies a [`Function`] to every element.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use crate::kernels::by_element::{ByElement, Closure, Formula, Update, UpdateAlike};
use crate::kernels::copy::Reorder;
use crate::kernels::device::{Operand, Operands, Unsupported};
use crate::kernels::formulas::Sum;
use crate::kernels::opencl::{Memory, Queue};
use crate::kernels::reduce::Reduction;
use crate::kernels::{Buffer, Element, Function, Storage};
use crate::shape::{Axes, Shape, Strides};
use crate::tensor::Tensor;

pub use crate::kernels::function::source;
pub(crate) use crate::kernels::kernel::{Compiled, compile, compiled};
pub use crate::kernels::kernel::{Inputs, Kernel, Outputs};
#[doc(hidden)]
pub use crate::kernels::loops;
#[doc(hidden)]
pub use crate::kernels::nest::Nest;
pub use crate::shape::Layout;

/// Whole numbers that a kernel reads or writes: which rows to pick, where the maxima of a pooling lie. Clones share
/// them.
#[derive(Clone, Debug)]
pub struct Indices(Arc<Storage<u32>>);

impl Indices {
    /// Indices from a list.
    ///
    /// # Panics
    /// If one does not fit 32 bits.
    #[track_caller]
    pub fn new(list: &[usize]) -> Indices {
        let mut buffer = Buffer::stale(list.len());
        for (place, &index) in buffer.iter_mut().zip(list) {
            let Ok(index) = u32::try_from(index) else { panic!("indices: {index} is not below 2³²") };
            *place = index;
        }
        Indices(Arc::new(Storage::host(buffer, None)))
    }
}

impl Indices {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Memory for a result of `what`.
///
/// # Panics
/// If the system has no such memory.
#[track_caller]
fn memory<T: Element>(what: impl FnOnce() -> String, shape: &Shape) -> Buffer<T> {
    match shape.checked_size().and_then(Buffer::try_stale) {
        Some(buffer) => buffer,
        None => panic!("{}: no memory for a result of shape {shape} in {}", what(), T::NAME),
    }
}

/// Runs a kernel into fresh tensors of these layouts. The kernel reads the inputs as they lie: the caller sees to it
/// that they lie as the kernel expects, views in particular.
pub fn compute<T: Element, const M: usize>(
    kernel: &dyn Kernel<T>,
    inputs: &[&Tensor<T>],
    outputs: [Layout; M],
) -> [Tensor<T>; M] {
    compute_indexed(kernel, (inputs, &[]), (outputs, [])).0
}

/// [`compute`] for kernels that read indices, or write lists of them, of these lengths.
pub fn compute_indexed<T: Element, const M: usize, const I: usize>(
    kernel: &dyn Kernel<T>,
    (inputs, indices): (&[&Tensor<T>], &[&Indices]),
    (outputs, new_indices): ([Layout; M], [usize; I]),
) -> ([Tensor<T>; M], [Indices; I]) {
    let home = inputs.iter().find_map(|input| input.home()).or_else(|| indices.iter().find_map(|list| list.0.home()));
    if let Some(queue) = home {
        let sizes = (outputs.each_ref().map(|layout| layout.shape), new_indices);
        match start(queue, kernel, (inputs, indices), sizes) {
            Ok((tensors, lists)) => return (zip(tensors, outputs, Tensor::from_storage), lists),
            Err(Unsupported) => queue.count_fallback(),
        }
    }
    let mut buffers = outputs.map(|layout| memory(|| kernel.name(), &layout.shape));
    let mut lists = new_indices.map(Buffer::stale);
    let mut memory = buffers.each_mut().map(|buffer| &mut **buffer);
    let mut new_indices = lists.each_mut().map(|list| &mut **list);
    run(kernel, inputs, indices, Outputs { tensors: &mut memory, indices: &mut new_indices });
    let tensors =
        zip(buffers, outputs, |buffer, layout| Tensor::from_storage(Storage::host(buffer, home.cloned()), layout));
    (tensors, lists.map(|list| Indices(Arc::new(Storage::host(list, home.cloned())))))
}

/// `f` of the items at the same place.
fn zip<A, B, C, const N: usize>(a: [A; N], b: [B; N], f: impl Fn(A, B) -> C) -> [C; N] {
    let mut b = b.into_iter();
    a.map(|a| f(a, b.next().expect("as many items")))
}

/// Starts a kernel on a device, to which what is not there yet is copied.
///
/// # Panics
/// With a [`DeviceError`](crate::DeviceError) if it has no memory left or fails.
fn start<T: Element, const M: usize, const I: usize>(
    queue: &Queue,
    kernel: &dyn Kernel<T>,
    (inputs, indices): (&[&Tensor<T>], &[&Indices]),
    (outputs, new_indices): ([Shape; M], [usize; I]),
) -> Result<([Storage<T>; M], [Indices; I]), Unsupported> {
    let fresh = |shape: Shape| {
        let what = || format!("{}: a result of shape {shape} in {}", kernel.name(), T::NAME);
        let len = shape.checked_size().unwrap_or(usize::MAX);
        (queue.allocate::<T>(len, &what).unwrap_or_else(|error| error.raise()), 0..len)
    };
    let list = |len: usize| {
        let what = || format!("{}: a list of {len} indices", kernel.name());
        (queue.allocate::<u32>(len, &what).unwrap_or_else(|error| error.raise()), 0..len)
    };
    let (inputs, indices) = (on_device(queue, inputs), indices_on_device(queue, indices));
    let (outputs, new_indices) = (outputs.map(fresh), new_indices.map(list));
    let (inputs, indices) = (operands(&inputs), operands(&indices));
    let (written, lists) = (operands(&outputs), operands(&new_indices));
    let inputs = Operands { tensors: &inputs, indices: &indices };
    kernel.opencl(queue, inputs, Operands { tensors: &written, indices: &lists })?;
    let tensors = outputs.map(|(memory, range)| Storage::device(memory, range.len()));
    Ok((tensors, new_indices.map(|(memory, range)| Indices(Arc::new(Storage::device(memory, range.len()))))))
}

/// Memory of a device, and where in it an operand lies.
type Placed = (Memory, Range<usize>);

fn operands(memory: &[Placed]) -> Vec<Operand<'_>> {
    memory.iter().map(operand).collect()
}

fn operand((memory, range): &Placed) -> Operand<'_> {
    Operand::new(memory, range.start, range.len())
}

fn on_device<T: Element>(queue: &Queue, tensors: &[&Tensor<T>]) -> Vec<Placed> {
    let placed = |tensor: &&Tensor<T>| tensor.on_device(queue).unwrap_or_else(|error| error.raise());
    tensors.iter().map(placed).collect()
}

fn indices_on_device(queue: &Queue, lists: &[&Indices]) -> Vec<Placed> {
    let placed = |list: &&Indices| (list.0.memory(queue).unwrap_or_else(|error| error.raise()), 0..list.len());
    lists.iter().map(placed).collect()
}

/// Runs a kernel on tensors that it changes, in place where nobody else holds their memory. They reach the kernel
/// without gaps, each in the order of memory that it has; inputs are not brought to that order.
pub fn update<T: Element, const M: usize>(
    kernel: &dyn Kernel<T>,
    mut updated: [&mut Tensor<T>; M],
    inputs: &[&Tensor<T>],
) {
    let home = updated.iter().map(|tensor| &**tensor).chain(inputs.iter().copied()).find_map(Tensor::home).cloned();
    if let Some(queue) = &home {
        match start_update(queue, kernel, &mut updated, inputs) {
            Ok(()) => return updated.into_iter().for_each(|tensor| tensor.changed_on(queue)),
            Err(Unsupported) => queue.count_fallback(),
        }
    }
    let mut memory = updated.each_mut().map(|tensor| tensor.make_mut());
    run(kernel, inputs, &[], Outputs { tensors: &mut memory, indices: &mut [] });
    if let Some(queue) = home {
        updated.into_iter().for_each(|tensor| tensor.settle(queue.clone()));
    }
}

/// Starts a kernel on a device that changes tensors there.
fn start_update<T: Element, const M: usize>(
    queue: &Queue,
    kernel: &dyn Kernel<T>,
    updated: &mut [&mut Tensor<T>; M],
    inputs: &[&Tensor<T>],
) -> Result<(), Unsupported> {
    let own = updated.each_mut().map(|tensor| tensor.make_mut_on(queue).unwrap_or_else(|error| error.raise()));
    let (inputs, updated) = (on_device(queue, inputs), own.each_ref().map(operand));
    let inputs = operands(&inputs);
    let inputs = Operands { tensors: &inputs, indices: &[] };
    kernel.opencl(queue, inputs, Operands { tensors: &updated, indices: &[] })
}

/// Runs a kernel on the processor.
#[allow(clippy::needless_range_loop, clippy::manual_memcpy, reason = "the index runs through two slices in step")]
fn run<T: Element>(kernel: &dyn Kernel<T>, inputs: &[&Tensor<T>], indices: &[&Indices], outputs: Outputs<'_, '_, T>) {
    // Without an allocation for the few operands that nearly every kernel has.
    const FEW: usize = 6;
    let (mut slices, mut lists): ([&[T]; FEW], [&[u32]; 1]) = ([&[]; FEW], [&[]]);
    if inputs.len() > FEW || indices.len() > 1 {
        let slices: Vec<&[T]> = inputs.iter().map(|tensor| tensor.data()).collect();
        let lists: Vec<&[u32]> = indices.iter().map(|list| list.0.values()).collect();
        return kernel.cpu(Inputs { tensors: &slices, indices: &lists }, outputs);
    }
    for i in 0..inputs.len() {
        slices[i] = inputs[i].data();
    }
    for i in 0..indices.len() {
        lists[i] = indices[i].0.values();
    }
    kernel.cpu(Inputs { tensors: &slices[..inputs.len()], indices: &lists[..indices.len()] }, outputs);
}

/// A function of the elements at the same place of some tensors, which are repeated to one shape by the rules of NumPy.
///
/// The result keeps the memory order of the tensors that have its shape; where they differ, it is channels-last. In a
/// rule, the gradient of an input that was repeated is summed up again by [`Var::sum_to`](crate::Var::sum_to).
///
/// # Panics
/// If the shapes do not broadcast to one.
#[track_caller]
pub fn by_element<T: Element, const N: usize>(function: impl Function<N>, inputs: [&Tensor<T>; N]) -> Tensor<T> {
    inputs_by_element(function, inputs, joint_shape(&inputs))
}

/// The shape that some tensors broadcast to.
#[inline]
#[track_caller]
fn joint_shape<T: Element>(inputs: &[&Tensor<T>]) -> Shape {
    let mut shape = inputs.first().map_or_else(Shape::default, |first| *first.shape());
    for input in inputs.iter().skip(1) {
        if *input.shape() == shape {
            continue;
        }
        let Some(joint) = shape.broadcast(input.shape()) else {
            let shapes = inputs.iter().map(|input| input.shape().to_string()).collect::<Vec<_>>().join(" and ");
            panic!(
                "by_element: shapes {shapes} do not broadcast: expected equal extents, or 1, counting axes from the \
                 last"
            );
        };
        shape = joint;
    }
    shape
}

/// [`by_element`] of tensors that broadcast to `shape`.
#[track_caller]
pub(crate) fn inputs_by_element<T: Element, const N: usize>(
    formula: impl Formula<T, N>,
    inputs: [&Tensor<T>; N],
    shape: Shape,
) -> Tensor<T> {
    let (nest, layout) = loops(inputs, shape);
    // As `compute` of one output, without its lists, which an operation on a few numbers would feel.
    let kernel = ByElement { nest, formula };
    let home = inputs.iter().find_map(|input| input.home());
    if let Some(queue) = home {
        match start(queue, &kernel, (&inputs, &[]), ([layout.shape], [])) {
            Ok(([storage], [])) => return Tensor::from_storage(storage, layout),
            Err(Unsupported) => queue.count_fallback(),
        }
    }
    let mut buffer = memory(|| Kernel::<T>::name(&kernel), &layout.shape);
    let outputs = Outputs { tensors: &mut [&mut buffer], indices: &mut [] };
    run(&kernel, &inputs, &[], outputs);
    Tensor::from_storage(Storage::host(buffer, home.cloned()), layout)
}

/// The loops over a result of this shape and over its inputs, and the layout of the result.
fn loops<T: Element, const N: usize>(inputs: [&Tensor<T>; N], shape: Shape) -> (Nest<N>, Layout) {
    let [first, others @ ..] = &inputs[..] else { return (Nest::flat(shape.size()), Layout::row_major(shape)) };
    let strides = *first.strides();
    let alike = |other: &&Tensor<T>| *other.shape() == shape && *other.strides() == strides;
    if *first.shape() == shape && others.iter().all(alike) && shape.is_dense(&strides) {
        // The usual case, and most of what an operation on a few numbers would cost otherwise.
        return (Nest::flat(shape.size()), Layout { shape, strides });
    }
    let strides = joint_strides(&inputs, &shape);
    let repeated = inputs.map(|input| input.broadcast_strides(&shape));
    (Nest::new(&shape, &strides, repeated.each_ref().map(|strides| &**strides)), Layout { shape, strides })
}

/// Strides for the result of an operation on several tensors: dense, in the order of those that have the shape and
/// repeat nothing; where these differ, or there are none, channels-last.
fn joint_strides<T: Element>(inputs: &[&Tensor<T>], shape: &Shape) -> Strides {
    let mut found: Option<Strides> = None;
    for input in inputs {
        if input.shape() != shape || input.repeats() {
            continue;
        }
        let own = input.dense_strides();
        match found {
            None => found = Some(own),
            Some(other) if shape.same_strides(&own, &other) => {}
            Some(_) => return shape.channels_last(),
        }
    }
    found.unwrap_or_else(|| shape.channels_last())
}

/// y ← f(y, x) by elements, x being repeated to the shape of y; in place where nobody else holds the memory of y.
pub(crate) fn update_by_element<T: Element, F: Function<2>>(formula: F, y: &mut Tensor<T>, x: &Tensor<T>)
where
    Update<F>: Compiled,
{
    if !y.is_own() || y.shape() != x.shape() {
        *y = inputs_by_element(formula, [y, x], *y.shape());
        return;
    }
    let nest = Nest::new(y.shape(), y.strides(), [x.strides()]);
    update(compiled(&Update { nest, formula }), [y], &[x]);
}

/// Applies a function with several results to every element of tensors of one shape, in place: its first inputs are
/// `updated`, which become its results, the others `inputs`. The step of an optimiser:
///
/// ```
/// use wengert::{Tensor, compute::update_alike, function};
///
/// function!(Momentum { lr, mu } |p, b, g| -> [p, b] {
///     let b = mu * b + g;
///     let p = p - lr * b;
/// });
///
/// let (mut p, mut b) = (Tensor::<f64>::ones([2]), Tensor::zeros([2]));
/// let g = Tensor::from_vec([2], vec![1.0, 2.0]);
/// update_alike(Momentum { lr: 0.5, mu: 0.9 }, [&mut p, &mut b], &[&g]);
/// assert_eq!((p.to_vec(), b.to_vec()), (vec![0.5, 0.0], vec![1.0, 2.0]));
/// ```
///
/// # Panics
/// If the shapes differ, there is nothing to update, or there are not as many tensors as the function has inputs.
#[track_caller]
pub fn update_alike<T: Element, F: Function<N, M>, const N: usize, const M: usize>(
    function: F,
    mut updated: [&mut Tensor<T>; M],
    inputs: &[&Tensor<T>],
) {
    let inputs = lay_alike(&mut updated, inputs);
    update(&UpdateAlike::<F, N, M>(function), updated, &inputs.iter().collect::<Vec<_>>());
}

/// Brings tensors of one shape to one memory order, dense: that of the first. Those to be read are returned.
#[track_caller]
fn lay_alike<T: Element>(updated: &mut [&mut Tensor<T>], inputs: &[&Tensor<T>]) -> Vec<Tensor<T>> {
    let Some((first, others)) = updated.split_first_mut() else { panic!("update_alike: nothing to update") };
    if !first.shape().is_dense(first.strides()) {
        **first = first.with_strides(first.dense_strides());
    }
    for other in others {
        **other = other.like(first);
    }
    inputs.iter().map(|input| input.like(first)).collect()
}

thread_local! {
    static COPIES: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has copied a tensor because its elements did not lie as they had to. For tests.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub fn copies() -> u64 {
    COPIES.get()
}

impl<T: Element> Tensor<T> {
    /// A tensor that `write` fills from values of the host.
    #[track_caller]
    pub(crate) fn written(layout: Layout, write: impl FnOnce(&mut [T])) -> Tensor<T> {
        let mut buffer = memory(|| "a tensor".to_string(), &layout.shape);
        write(&mut buffer);
        Tensor::from_buffer(buffer, layout)
    }

    /// The same values with these strides, which are dense; a copy only if they lie otherwise.
    pub(crate) fn with_strides(&self, strides: Strides) -> Tensor<T> {
        let shape = *self.shape();
        if shape.same_strides(self.strides(), &strides) {
            return self.with_view(shape, strides, 0);
        }
        COPIES.set(COPIES.get() + 1);
        self.copied(strides)
    }

    /// A copy with these strides, which are dense.
    pub(crate) fn copied(&self, strides: Strides) -> Tensor<T> {
        let shape = *self.shape();
        let nest = Nest::new(&shape, &strides, [self.strides()]);
        let [y] = compute(compiled(&Reorder { nest }), &[self], [Layout { shape, strides }]);
        y
    }

    /// `f` of every element, in the memory order of this tensor. The closure is `Copy`, so that it captures by
    /// reference. It serves one scalar type; a [`Function`], applied by [`by_element`], serves both and can be printed.
    ///
    /// ```
    /// use wengert::Tensor;
    /// let x = Tensor::<f64>::from_vec([2], vec![1.0, 4.0]);
    /// assert_eq!(x.map(f64::sqrt).to_vec(), [1.0, 2.0]);
    /// ```
    pub fn map(&self, f: impl Fn(T) -> T + Sync + Copy) -> Tensor<T> {
        inputs_by_element(Closure(f), [self], *self.shape())
    }

    /// `f(a, b)` of every pair of elements of two tensors, repeated to one shape by the rules of NumPy; see
    /// [`map`](Tensor::map).
    ///
    /// The result keeps the memory order that both operands have; mixed orders yield channels-last.
    ///
    /// # Panics
    /// If the shapes do not broadcast to one.
    #[track_caller]
    pub fn zip(&self, other: &Tensor<T>, f: impl Fn(T, T) -> T + Sync + Copy) -> Tensor<T> {
        let (a, b) = (self.shape(), other.shape());
        let Some(shape) = a.broadcast(b) else {
            panic!(
                "zip: shapes {a} and {b} do not broadcast: expected equal extents, or 1, counting axes from the last"
            )
        };
        inputs_by_element(Closure(f), [self, other], shape)
    }

    /// Reduces over `axes` (extent 1 in the result) by an associative, commutative function.
    pub(crate) fn reduce<F: Function<2>>(&self, axes: &Axes, init: f64, function: F) -> Tensor<T>
    where
        Reduction<F>: Compiled,
    {
        // Without gaps and repetitions, the kernel adds up long runs lane by lane, exactly and fast; what is copied for
        // that costs less than the elements one by one would.
        let x = self.like(self);
        let mut shape = *self.shape();
        axes.iter().for_each(|&axis| shape[axis] = 1);
        let strides = shape.dense_in_order(x.strides().order().iter().copied());
        let mut loops = strides;
        axes.iter().for_each(|&axis| loops[axis] = 0);
        let kernel = Reduction::new(x.shape(), x.strides(), &loops, init, function);
        let [y] = compute(compiled(&kernel), &[&x], [Layout { shape, strides }]);
        y
    }

    /// Adds `other`, in place where nobody else holds this memory: gradients add up so.
    pub(crate) fn add_assign(&mut self, other: &Tensor<T>) {
        update_by_element(Sum, self, other);
    }
}
