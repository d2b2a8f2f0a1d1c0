//! Element-wise kernels: a formula of the elements at the same place of several tensors, over any strides.

use rayon::prelude::*;

#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::function::Function;
#[cfg(feature = "opencl")]
use super::function::{Printed, source};
use super::kernel::{Inputs, Kernel, Outputs};
use super::nest::Nest;
#[cfg(feature = "opencl")]
use super::opencl::{Queue, by_element::Places};
use super::parallel::{TASK, for_chunks};
use super::{Element, Level};

/// What can be applied to every element: a [`Function`], or a [`Closure`] that no device but the processor can run.
pub trait Formula<T, const N: usize>: Copy + Sync {
    /// The result of the elements at one place; `#[inline(always)]`.
    fn at(self, x: [T; N]) -> T;

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

    #[cfg(feature = "opencl")]
    fn printed(&self) -> Option<Printed> {
        Some(Printed::new(self))
    }

    #[cfg(feature = "opencl")]
    fn text(&self) -> String {
        source(self)
    }
}

/// A closure of one element, or of two.
#[derive(Clone, Copy)]
pub struct Closure<F>(pub F);

impl<T: Element, F: Fn(T) -> T + Copy + Sync> Formula<T, 1> for Closure<F> {
    #[inline(always)]
    fn at(self, [x]: [T; 1]) -> T {
        (self.0)(x)
    }
}

impl<T: Element, F: Fn(T, T) -> T + Copy + Sync> Formula<T, 2> for Closure<F> {
    #[inline(always)]
    fn at(self, [a, b]: [T; 2]) -> T {
        (self.0)(a, b)
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
        let ([out], x) = (outputs.tensors(), inputs.tensors::<N>());
        let (steps, formula) = (self.nest.steps(), self.formula);
        for_runs(
            out,
            &self.nest,
            #[inline(always)]
            move |run, offsets| write_run(run, x, offsets, steps, formula),
        );
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let printed = Formula::<T, N>::printed(&self.formula).ok_or(Unsupported)?;
        let places = Places { updated: 0, outputs: outputs.tensors, inputs: inputs.tensors };
        places.run::<T, N>(queue, &self.nest, &printed, &|| Formula::<T, N>::text(&self.formula))
    }
}

/// Writes `out` in the order of the nest, in parallel: `write` fills or changes a run, whose inputs begin at the given
/// offsets.
#[inline(always)]
fn for_runs<T: Element, const N: usize>(
    out: &mut [T],
    nest: &Nest<N>,
    write: impl Fn(&mut [T], [usize; N]) + Sync + Copy,
) {
    let level = Level::current();
    for_chunks(out, TASK, |start, part| {
        // A copy on this thread's stack: options are read once, not again for every element.
        let write = write;
        level.vectorize(
            #[inline(always)]
            || {
                nest.runs(
                    start,
                    part.len(),
                    #[inline(always)]
                    |at, n, offsets| write(&mut part[at..at + n], offsets),
                )
            },
        )
    });
}

/// One run of the innermost loop, whose inputs begin at `offsets` and go on by `steps`. Inputs that lie densely (step
/// 1) or stay the same (step 0) have loops of their own, which become vectors.
#[inline(always)]
fn write_run<T: Element, const N: usize>(
    out: &mut [T],
    x: [&[T]; N],
    offsets: [usize; N],
    steps: [usize; N],
    formula: impl Formula<T, N>,
) {
    let mut dense = 0;
    for k in 0..N {
        match steps[k] {
            1 => dense |= 1 << k,
            0 => {}
            _ => return write_strided(out, x, offsets, steps, formula),
        }
    }
    match dense {
        0 => write_dense::<T, N, 0>(out, x, offsets, formula),
        1 => write_dense::<T, N, 1>(out, x, offsets, formula),
        2 if N >= 2 => write_dense::<T, N, 2>(out, x, offsets, formula),
        3 if N >= 2 => write_dense::<T, N, 3>(out, x, offsets, formula),
        _ if dense == (1 << N) - 1 => write_dense::<T, N, { usize::MAX }>(out, x, offsets, formula),
        _ => write_strided(out, x, offsets, steps, formula),
    }
}

/// [`write_run`] of inputs that lie densely where `DENSE` has a bit, and stay the same elsewhere.
#[inline(always)]
fn write_dense<T: Element, const N: usize, const DENSE: usize>(
    out: &mut [T],
    x: [&[T]; N],
    offsets: [usize; N],
    formula: impl Formula<T, N>,
) {
    let n = out.len();
    let mut runs: [&[T]; N] = [&[]; N];
    let mut values = [T::zero(); N];
    for k in 0..N {
        match DENSE >> k & 1 {
            1 => runs[k] = &x[k][offsets[k]..][..n],
            _ => values[k] = x[k][offsets[k]],
        }
    }
    for i in 0..n {
        for k in 0..N {
            if DENSE >> k & 1 == 1 {
                values[k] = runs[k][i];
            }
        }
        out[i] = formula.at(values);
    }
}

#[inline(always)]
fn write_strided<T: Element, const N: usize>(
    out: &mut [T],
    x: [&[T]; N],
    offsets: [usize; N],
    steps: [usize; N],
    formula: impl Formula<T, N>,
) {
    let mut values = [T::zero(); N];
    for i in 0..out.len() {
        for k in 0..N {
            values[k] = x[k][offsets[k] + i * steps[k]];
        }
        out[i] = formula.at(values);
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

impl<T: Element, F: Formula<T, 2>> Kernel<T> for Update<F> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([y], [x]) = (outputs.tensors(), inputs.tensors());
        let ([step], formula) = (self.nest.steps(), self.formula);
        for_runs(
            y,
            &self.nest,
            #[inline(always)]
            move |run, [offset]| update_run(run, &x[offset..], step, formula),
        );
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let printed = Formula::<T, 2>::printed(&self.formula).ok_or(Unsupported)?;
        let places = Places { updated: 1, outputs: outputs.tensors, inputs: inputs.tensors };
        places.run::<T, 1>(queue, &self.nest, &printed, &|| Formula::<T, 2>::text(&self.formula))
    }
}

#[inline(always)]
fn update_run<T: Element>(y: &mut [T], x: &[T], step: usize, formula: impl Formula<T, 2>) {
    let n = y.len();
    if step == 1 {
        let x = &x[..n];
        for i in 0..n {
            y[i] = formula.at([y[i], x[i]]);
        }
    } else {
        for i in 0..n {
            y[i] = formula.at([y[i], x[i * step]]);
        }
    }
}

/// Several results at every place, in place: the `M` outputs, which are also the first inputs of the function, and the
/// other inputs lie alike, without gaps. The step of an optimiser.
#[derive(Clone, Copy, Debug)]
pub struct UpdateAlike<F, const N: usize, const M: usize>(pub F);

impl<T: Element, F: Function<N, M>, const N: usize, const M: usize> Kernel<T> for UpdateAlike<F, N, M> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (x, y) = (inputs.tensors, outputs.tensors::<M>().each_mut().map(|y| &mut **y));
        let len = y[0].len();
        let alike = y.iter().all(|y| y.len() == len) && x.iter().all(|x| x.len() == len) && M + x.len() == N;
        assert!(alike, "an update of {M} tensors by {} others: a wrong number, or different lengths", x.len());
        let (function, level) = (self.0, Level::current());
        let run = |start: usize, y: [&mut [T]; M]| {
            let function = function;
            level.vectorize(
                #[inline(always)]
                || update_alike(y, x, start, function),
            )
        };
        if len <= TASK {
            return run(0, y);
        }
        let mut chunks = y.map(|y| y.chunks_mut(TASK));
        let parts: Vec<[&mut [T]; M]> = (0..len.div_ceil(TASK))
            .map(|_| chunks.each_mut().map(|chunks| chunks.next().expect("outputs of one length")))
            .collect();
        parts.into_par_iter().enumerate().for_each(|(i, y)| run(i * TASK, y));
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let places = Places { updated: M, outputs: outputs.tensors, inputs: inputs.tensors };
        // N loops where N − M would do, which a type cannot say.
        let nest = Nest::<N>::flat(outputs.tensors[0].len);
        places.run::<T, N>(queue, &nest, &Printed::new(&self.0), &|| source(&self.0))
    }
}

#[inline(always)]
fn update_alike<T: Element, F: Function<N, M>, const N: usize, const M: usize>(
    mut y: [&mut [T]; M],
    x: &[&[T]],
    start: usize,
    function: F,
) {
    let n = y[0].len();
    let mut runs: [&[T]; N] = [&[]; N];
    for k in M..N {
        runs[k] = &x[k - M][start..][..n];
    }
    for k in 0..M {
        // The length is `n` for all, which the compiler has to see.
        let whole = std::mem::take(&mut y[k]);
        y[k] = &mut whole[..n];
    }
    let mut values = [T::zero(); N];
    for i in 0..n {
        for k in 0..M {
            values[k] = y[k][i];
        }
        for k in M..N {
            values[k] = runs[k][i];
        }
        let results = function.apply(values);
        for k in 0..M {
            y[k][i] = results[k];
        }
    }
}
