//! What a kernel is: a computation with sizes and options, no values.

use std::marker::PhantomData;

use super::Element;
use super::device::{Operands, Unsupported};
use super::element::Family;
use super::opencl::Queue;

/// A computation: sizes and options, no values. It is given what to read and what to write, and gives the same bits at
/// any number of threads.
///
/// [`compute`](crate::compute()) and its kin make the outputs and run it. An operation of one's own is a kernel and a
/// rule; here running sums of a vector, whose rule is the running sum from the other end:
///
/// ```
/// use wengert::compute::{Inputs, Kernel, Layout, Outputs, compute};
/// use wengert::{Element, Tensor, Var, gradcheck};
///
/// /// y[i] = x[0] + … + x[i], or, from the end, y[i] = x[i] + … + x[n − 1].
/// struct RunningSum {
///     from_end: bool,
/// }
///
/// impl<T: Element> Kernel<T> for RunningSum {
///     fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
///         let ([x], [y]) = (inputs.tensors(), outputs.tensors());
///         let (mut sum, n) = (T::zero(), y.len());
///         for i in 0..n {
///             let i = if self.from_end { n - 1 - i } else { i };
///             sum += x[i];
///             y[i] = sum;
///         }
///     }
/// }
///
/// /// y = the running sum of x (n); x̄ = the running sum of ȳ from the end.
/// fn running_sum<T: Element>(x: &Var<T>, from_end: bool) -> Var<T> {
///     // The kernel reads its input as it lies, so it gets one without gaps, whatever view x is.
///     let (dense, layout) = (x.value().contiguous(), Layout::row_major(x.shape()));
///     let [y] = compute(&RunningSum { from_end }, &[&dense], [layout]);
///     Var::record("running_sum", &[x], y, move |grad, back| back.give(0, |_| running_sum(grad, !from_end)))
/// }
///
/// let x = Tensor::from_vec([3], vec![1.0, 2.0, 3.0]);
/// assert_eq!(running_sum(&(&x).into(), false).value().to_vec(), [1.0, 3.0, 6.0]);
/// gradcheck::gradgradcheck(|x| running_sum(&x[0], false), &[x]).unwrap();
/// ```
pub trait Kernel<T: Element> {
    /// Computes on the processor. Every element of a fresh output must be written: before, it holds anything (NaN in
    /// debug builds). Updated outputs hold their values, without gaps.
    ///
    /// An input is memory from the tensor's first element to its last. A view has gaps in it: either the caller passes
    /// [`contiguous`](crate::Tensor::contiguous) tensors, or the kernel has the strides as a field and reads by them.
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>);

    /// Starts the computation on a device, which does it after all that was started before. As they come, fresh outputs
    /// hold anything, updated ones their values.
    ///
    /// Without a form for devices, as here, the processor does it, and [`Counts::fallbacks`](crate::Counts) counts it.
    ///
    /// # Errors
    /// If there is no form for these sizes. What was started before that is lost: it may have written to fresh outputs,
    /// but must not have changed an updated one, since another form computes anew.
    #[doc(hidden)]
    fn opencl(&self, _queue: &Queue, _inputs: Operands<'_>, _outputs: Operands<'_>) -> Result<(), Unsupported> {
        Err(Unsupported)
    }

    /// What messages call it: the name of its type, without the modules that it is in.
    fn name(&self) -> String {
        let name = std::any::type_name::<Self>();
        let words = name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        words.map(|word| word.rsplit("::").next().unwrap_or_default()).collect()
    }
}

/// A kernel that is compiled with this crate for both types; see [`Family`]. [`compile!`] lists them.
pub trait Compiled {
    /// For `f32`.
    fn for_f32(&self) -> &dyn Kernel<f32>;
    /// For `f64`.
    fn for_f64(&self) -> &dyn Kernel<f64>;
}

macro_rules! compile {
    ($($kernel:ty),+ $(,)?) => {
        $(impl $crate::kernels::kernel::Compiled for $kernel {
            #[inline(never)]
            fn for_f32(&self) -> &dyn $crate::kernels::kernel::Kernel<f32> {
                self
            }
            #[inline(never)]
            fn for_f64(&self) -> &dyn $crate::kernels::kernel::Kernel<f64> {
                self
            }
        })+
    };
}
pub(crate) use compile;

/// The kernel for this type, as this crate has compiled it.
pub fn compiled<T: Element>(kernel: &impl Compiled) -> &dyn Kernel<T> {
    T::choose::<Reference<'_>>(kernel.for_f32(), kernel.for_f64())
}

/// A kernel for each type.
struct Reference<'a>(PhantomData<&'a ()>);

impl<'a> Family for Reference<'a> {
    type Of<T: Element> = &'a dyn Kernel<T>;
}

/// What a kernel reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// The memory of each tensor, from its first element to its last.
    pub tensors: &'a [&'a [T]],
    /// Lists of whole numbers.
    pub indices: &'a [&'a [u32]],
}

/// What a kernel writes: fresh memory, of which every element is to be written, or tensors that it changes.
#[derive(Debug)]
pub struct Outputs<'o, 'a, T> {
    /// The memory of each tensor, without gaps.
    pub tensors: &'o mut [&'a mut [T]],
    /// Lists of whole numbers.
    pub indices: &'o mut [&'a mut [u32]],
}

impl<'a, T> Inputs<'a, T> {
    /// The tensors of a kernel that reads `N`.
    ///
    /// # Panics
    /// If it was given another number.
    #[inline]
    #[track_caller]
    pub fn tensors<const N: usize>(self) -> [&'a [T]; N] {
        exactly(self.tensors)
    }

    /// The lists of indices of a kernel that reads `N`.
    ///
    /// # Panics
    /// If it was given another number.
    #[inline]
    #[track_caller]
    pub fn indices<const N: usize>(self) -> [&'a [u32]; N] {
        exactly(self.indices)
    }
}

impl<'o, 'a, T> Outputs<'o, 'a, T> {
    /// The tensors of a kernel that writes `M`.
    ///
    /// # Panics
    /// If it was given another number.
    #[inline]
    #[track_caller]
    pub fn tensors<const M: usize>(self) -> &'o mut [&'a mut [T]; M] {
        exactly_mut(self.tensors)
    }

    /// The tensors and the lists of indices of a kernel that writes `M` and `I`.
    ///
    /// # Panics
    /// If it was given other numbers of them.
    #[inline]
    #[track_caller]
    pub fn tensors_and_indices<const M: usize, const I: usize>(
        self,
    ) -> (&'o mut [&'a mut [T]; M], &'o mut [&'a mut [u32]; I]) {
        (exactly_mut(self.tensors), exactly_mut(self.indices))
    }
}

#[track_caller]
fn exactly<'a, T, const N: usize>(list: &[&'a [T]]) -> [&'a [T]; N] {
    let found = list.len();
    // Not `unwrap_or_else`: a panic in a closure points here, not at the kernel.
    let Ok(array) = list.try_into() else { panic!("this kernel reads {N} operand(s), and was given {found}") };
    array
}

#[track_caller]
fn exactly_mut<'o, 'a, T, const N: usize>(list: &'o mut [&'a mut [T]]) -> &'o mut [&'a mut [T]; N] {
    let found = list.len();
    let Ok(array) = list.try_into() else { panic!("this kernel writes {N} output(s), and was given {found}") };
    array
}
