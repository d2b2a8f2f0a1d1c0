//! The loops of element-wise kernels: a function of the elements at the same place of several tensors, over any
//! strides.

use rayon::prelude::*;

use super::nest::Nest;
use super::parallel::{TASK, for_chunks};
use super::{Element, Level};

/// y ← f(x₀, …) at every place: `N` inputs, y without gaps in the order of the nest. `f` is `#[inline(always)]`, so
/// that the loops become vectors.
#[inline(always)]
pub fn each<T: Element, const N: usize>(
    nest: &Nest<N>,
    x: [&[T]; N],
    y: &mut [T],
    f: impl Fn([T; N]) -> T + Copy + Sync,
) {
    let steps = nest.steps();
    for_runs(
        y,
        nest,
        #[inline(always)]
        move |run, offsets| write_run(run, x, offsets, steps, f),
    );
}

/// y ← f(y, x) at every place, in place: y without gaps, x of any strides.
#[inline(always)]
pub fn update<T: Element>(nest: &Nest<1>, x: &[T], y: &mut [T], f: impl Fn([T; 2]) -> T + Copy + Sync) {
    let [step] = nest.steps();
    for_runs(
        y,
        nest,
        #[inline(always)]
        move |run, [offset]| update_run(run, &x[offset..], step, f),
    );
}

/// Several results at every place, in place: the `M` tensors y, which are also the first inputs of f, and the other
/// inputs x lie alike, without gaps.
///
/// # Panics
/// If lengths differ, or f has another number of inputs.
#[inline(always)]
pub fn update_alike<T: Element, const N: usize, const M: usize>(
    x: &[&[T]],
    y: [&mut [T]; M],
    f: impl Fn([T; N]) -> [T; M] + Copy + Sync,
) {
    let len = y[0].len();
    let alike = y.iter().all(|y| y.len() == len) && x.iter().all(|x| x.len() == len) && M + x.len() == N;
    assert!(alike, "an update of {M} tensors by {} others: a wrong number, or different lengths", x.len());
    let level = Level::current();
    let run = |start: usize, y: [&mut [T]; M]| {
        // A copy on this thread's stack: options are read once, not again for every element.
        let f = f;
        level.vectorize(
            #[inline(always)]
            || update_part(y, x, start, f),
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
    f: impl Fn([T; N]) -> T + Copy,
) {
    let mut dense = 0;
    for k in 0..N {
        match steps[k] {
            1 => dense |= 1 << k,
            0 => {}
            _ => return write_strided(out, x, offsets, steps, f),
        }
    }
    match dense {
        0 => write_dense::<T, N, 0>(out, x, offsets, f),
        1 => write_dense::<T, N, 1>(out, x, offsets, f),
        2 if N >= 2 => write_dense::<T, N, 2>(out, x, offsets, f),
        3 if N >= 2 => write_dense::<T, N, 3>(out, x, offsets, f),
        _ if dense == (1 << N) - 1 => write_dense::<T, N, { usize::MAX }>(out, x, offsets, f),
        _ => write_strided(out, x, offsets, steps, f),
    }
}

/// [`write_run`] of inputs that lie densely where `DENSE` has a bit, and stay the same elsewhere.
#[inline(always)]
fn write_dense<T: Element, const N: usize, const DENSE: usize>(
    out: &mut [T],
    x: [&[T]; N],
    offsets: [usize; N],
    f: impl Fn([T; N]) -> T + Copy,
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
        out[i] = f(values);
    }
}

#[inline(always)]
fn write_strided<T: Element, const N: usize>(
    out: &mut [T],
    x: [&[T]; N],
    offsets: [usize; N],
    steps: [usize; N],
    f: impl Fn([T; N]) -> T + Copy,
) {
    let mut values = [T::zero(); N];
    for i in 0..out.len() {
        for k in 0..N {
            values[k] = x[k][offsets[k] + i * steps[k]];
        }
        out[i] = f(values);
    }
}

#[inline(always)]
fn update_run<T: Element>(y: &mut [T], x: &[T], step: usize, f: impl Fn([T; 2]) -> T) {
    let n = y.len();
    if step == 1 {
        let x = &x[..n];
        for i in 0..n {
            y[i] = f([y[i], x[i]]);
        }
    } else {
        for i in 0..n {
            y[i] = f([y[i], x[i * step]]);
        }
    }
}

#[inline(always)]
fn update_part<T: Element, const N: usize, const M: usize>(
    mut y: [&mut [T]; M],
    x: &[&[T]],
    start: usize,
    f: impl Fn([T; N]) -> [T; M],
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
        let results = f(values);
        for k in 0..M {
            y[k][i] = results[k];
        }
    }
}
