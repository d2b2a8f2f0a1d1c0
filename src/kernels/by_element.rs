//! Element-wise kernels: a formula of the elements at the same place of several tensors, over any strides.

use std::marker::PhantomData;

#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::element::Family;
use super::formulas::Sum;
use super::function::Function;
#[cfg(feature = "opencl")]
use super::function::{Printed, source};
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::nest::Nest;
#[cfg(feature = "opencl")]
use super::opencl::{Queue, by_element::Places};
use super::{Element, loops};

/// What can be applied to every element: a [`Function`], or a [`Closure`] that no device but the processor can run.
pub trait Formula<T, const N: usize>: Copy + Sync {
    /// The result of the elements at one place; `#[inline(always)]`.
    fn at(self, x: [T; N]) -> T;

    /// y ← the result at every place, see [`loops::each`].
    fn each(&self, nest: &Nest<N>, x: [&[T]; N], y: &mut [T]);

    /// What a device knows it by; nothing for a closure.
    #[cfg(feature = "opencl")]
    fn printed(&self) -> Option<Printed> {
        None
    }

    /// Its source in OpenCL C, see [`source`].
    #[cfg(feature = "opencl")]
    fn text(&self) -> String {
        String::new()
    }
}

impl<T: Element, F: Function<N>, const N: usize> Formula<T, N> for F {
    #[inline(always)]
    fn at(self, x: [T; N]) -> T {
        let [y] = self.apply(x);
        y
    }

    fn each(&self, nest: &Nest<N>, x: [&[T]; N], y: &mut [T]) {
        T::choose::<Each<F, N>>(F::each_f32, F::each_f64)(self, nest, x, y);
    }

    #[cfg(feature = "opencl")]
    fn printed(&self) -> Option<Printed> {
        Some(Printed::new(self))
    }

    #[cfg(feature = "opencl")]
    fn text(&self) -> String {
        source(self)
    }
}

/// [`Function::each_f32`] and its twin.
struct Each<F, const N: usize>(PhantomData<F>);

impl<F, const N: usize> Family for Each<F, N> {
    type Of<T: Element> = fn(&F, &Nest<N>, [&[T]; N], &mut [T]);
}

/// [`Function::update_f32`] and its twin.
struct UpdateEach<F, const M: usize>(PhantomData<F>);

impl<F, const M: usize> Family for UpdateEach<F, M> {
    type Of<T: Element> = fn(&F, &[&[T]], [&mut [T]; M]);
}

/// A closure of one element, or of two.
#[derive(Clone, Copy)]
pub struct Closure<F>(pub F);

impl<T: Element, F: Fn(T) -> T + Copy + Sync> Formula<T, 1> for Closure<F> {
    #[inline(always)]
    fn at(self, [x]: [T; 1]) -> T {
        (self.0)(x)
    }

    fn each(&self, nest: &Nest<1>, x: [&[T]; 1], y: &mut [T]) {
        let Closure(f) = *self;
        loops::each(
            nest,
            x,
            y,
            #[inline(always)]
            move |[x]| f(x),
        );
    }
}

impl<T: Element, F: Fn(T, T) -> T + Copy + Sync> Formula<T, 2> for Closure<F> {
    #[inline(always)]
    fn at(self, [a, b]: [T; 2]) -> T {
        (self.0)(a, b)
    }

    fn each(&self, nest: &Nest<2>, x: [&[T]; 2], y: &mut [T]) {
        let Closure(f) = *self;
        loops::each(
            nest,
            x,
            y,
            #[inline(always)]
            move |[a, b]| f(a, b),
        );
    }
}

/// y = f(x₀, …) at every place: `N` inputs of any strides, one fresh output without gaps.
#[derive(Clone, Copy, Debug)]
pub struct ByElement<F, const N: usize> {
    /// The loops over the output, and the strides of the inputs along them.
    pub nest: Nest<N>,
    /// f
    pub formula: F,
}

impl<T: Element, F: Formula<T, N>, const N: usize> Kernel<T> for ByElement<F, N> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([y], x) = (outputs.tensors(), inputs.tensors());
        self.formula.each(&self.nest, x, y);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let printed = Formula::<T, N>::printed(&self.formula).ok_or(Unsupported)?;
        let places = Places { updated: 0, outputs: outputs.tensors, inputs: inputs.tensors };
        places.run::<T, N>(queue, &self.nest, &printed, &|| Formula::<T, N>::text(&self.formula))
    }
}

/// y = f(y, x) at every place, in place: y without gaps, x of any strides.
#[derive(Clone, Copy, Debug)]
pub struct Update<F> {
    /// The loops over y, and the strides of x along them.
    pub nest: Nest<1>,
    /// f
    pub formula: F,
}

compile!(Update<Sum>);

impl<T: Element, F: Formula<T, 2>> Kernel<T> for Update<F> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([y], [x]) = (outputs.tensors(), inputs.tensors());
        let formula = self.formula;
        loops::update(
            &self.nest,
            x,
            y,
            #[inline(always)]
            move |x| formula.at(x),
        );
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let printed = Formula::<T, 2>::printed(&self.formula).ok_or(Unsupported)?;
        let places = Places { updated: 1, outputs: outputs.tensors, inputs: inputs.tensors };
        places.run::<T, 1>(queue, &self.nest, &printed, &|| Formula::<T, 2>::text(&self.formula))
    }
}

/// Several results at every place, in place: the `M` outputs, which are also the first inputs of the function, and the
/// other inputs lie alike, without gaps. The step of an optimiser.
#[derive(Clone, Copy, Debug)]
pub struct UpdateAlike<F, const N: usize, const M: usize>(pub F);

impl<T: Element, F: Function<N, M>, const N: usize, const M: usize> Kernel<T> for UpdateAlike<F, N, M> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let y = outputs.tensors::<M>().each_mut().map(|y| &mut **y);
        T::choose::<UpdateEach<F, M>>(F::update_f32, F::update_f64)(&self.0, inputs.tensors, y);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let places = Places { updated: M, outputs: outputs.tensors, inputs: inputs.tensors };
        // N loops where N − M would do, which a type cannot say.
        let nest = Nest::<N>::flat(outputs.tensors[0].len);
        places.run::<T, N>(queue, &nest, &Printed::new(&self.0), &|| source(&self.0))
    }
}
