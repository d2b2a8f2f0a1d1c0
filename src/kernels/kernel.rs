//! What a kernel is: a computation with sizes and options, no values.

use super::Element;

/// A computation: sizes and options, no values. It is given what to read and what to write, and gives the same bits at
/// any number of threads.
///
/// [`compute`](crate::compute()) and its kin make the outputs and run it. A kernel of one's own is as good as ours:
///
/// ```
/// use wengert::compute::{Inputs, Kernel, Layout, Outputs, compute};
/// use wengert::{Element, Tensor};
///
/// /// Running sums: y[i] = x[0] + … + x[i].
/// struct RunningSum;
///
/// impl<T: Element> Kernel<T> for RunningSum {
///     fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
///         let ([x], [y]) = (inputs.tensors(), outputs.tensors());
///         let mut sum = T::zero();
///         for (y, &x) in y.iter_mut().zip(x) {
///             sum += x;
///             *y = sum;
///         }
///     }
/// }
///
/// let x = Tensor::<f64>::from_vec([3], vec![1.0, 2.0, 3.0]);
/// let [y] = compute(&RunningSum, &[&x], [Layout::row_major([3])]);
/// assert_eq!(y.to_vec(), [1.0, 3.0, 6.0]);
/// ```
pub trait Kernel<T: Element> {
    /// Computes on the processor: writes every element of fresh outputs, changes updated ones.
    ///
    /// Inputs begin with their first element; how the others lie is told by the kernel itself, or agreed with the
    /// caller.
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>);
}

/// What a kernel reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// The memory of each tensor, from its first element on.
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
    pub fn tensors<const N: usize>(self) -> [&'a [T]; N] {
        exactly(self.tensors)
    }

    /// The lists of whole numbers of a kernel that reads `N`.
    ///
    /// # Panics
    /// If it was given another number.
    #[inline]
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
    pub fn tensors<const M: usize>(self) -> &'o mut [&'a mut [T]; M] {
        exactly_mut(self.tensors)
    }

    /// The tensors and the lists of whole numbers of a kernel that writes `M` and `I`.
    ///
    /// # Panics
    /// If it was given other numbers of them.
    #[inline]
    pub fn both<const M: usize, const I: usize>(self) -> (&'o mut [&'a mut [T]; M], &'o mut [&'a mut [u32]; I]) {
        (exactly_mut(self.tensors), exactly_mut(self.indices))
    }
}

fn exactly<'a, T, const N: usize>(list: &[&'a [T]]) -> [&'a [T]; N] {
    let found = list.len();
    list.try_into().unwrap_or_else(|_| panic!("a kernel that reads {N} operands was given {found}"))
}

fn exactly_mut<'o, 'a, T, const N: usize>(list: &'o mut [&'a mut [T]]) -> &'o mut [&'a mut [T]; N] {
    let found = list.len();
    list.try_into().unwrap_or_else(|_| panic!("a kernel that writes {N} outputs was given {found}"))
}
