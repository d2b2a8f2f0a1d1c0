//! Element-wise kernels: `y[i] = f(x[i])` and `y[i] = f(a[i], b[i])` over any strides.

use rayon::prelude::*;

use super::{Element, Level, nest::Nest};

/// Elements that one task takes. Measured on 2 cores: below 16 Ki the hand-over to a thread (a few µs) costs more
/// than it saves, and 16 Ki elements of f32 still fit the L2 cache with two operands.
pub const CHUNK: usize = 16 * 1024;

/// Cuts `out` into fixed chunks, which depend on its length only, and runs `f(start, chunk)` on each, in parallel.
pub fn for_chunks<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= chunk {
        f(0, out);
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
    }
}

/// Writes `out` in the order of the nest, in parallel: `write` fills a run, whose inputs begin at the given offsets.
#[inline(always)]
fn for_runs<T: Element, const K: usize>(
    out: &mut [T],
    nest: &Nest<K>,
    write: impl Fn(&mut [T], [usize; K]) + Sync + Copy,
) {
    let level = Level::current();
    for_chunks(out, CHUNK, |start, part| {
        // A copy on this thread's stack: what `write` captured is read once, not again for every element.
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

/// `out = f(x)`, with `out` written in the order of the nest.
pub fn map1<T: Element>(out: &mut [T], nest: &Nest<1>, x: &[T], f: impl Fn(T) -> T + Sync + Copy) {
    let [step] = nest.steps();
    for_runs(
        out,
        nest,
        #[inline(always)]
        move |run, [i]| {
            let n = run.len();
            match step {
                1 => run.iter_mut().zip(&x[i..i + n]).for_each(|(y, &x)| *y = f(x)),
                0 => run.fill(f(x[i])),
                _ => run.iter_mut().zip(x[i..].iter().step_by(step)).for_each(|(y, &x)| *y = f(x)),
            }
        },
    );
}

/// `out = f(a, b)`, with `out` written in the order of the nest.
pub fn map2<T: Element>(out: &mut [T], nest: &Nest<2>, a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync + Copy) {
    let [sa, sb] = nest.steps();
    for_runs(
        out,
        nest,
        #[inline(always)]
        move |run, [i, j]| {
            let n = run.len();
            match (sa, sb) {
                (1, 1) => {
                    let inputs = a[i..i + n].iter().zip(&b[j..j + n]);
                    run.iter_mut().zip(inputs).for_each(|(y, (&a, &b))| *y = f(a, b));
                }
                (1, 0) => {
                    let b = b[j];
                    run.iter_mut().zip(&a[i..i + n]).for_each(|(y, &a)| *y = f(a, b));
                }
                (0, 1) => {
                    let a = a[i];
                    run.iter_mut().zip(&b[j..j + n]).for_each(|(y, &b)| *y = f(a, b));
                }
                _ => {
                    for (k, y) in run.iter_mut().enumerate() {
                        *y = f(a[i + k * sa], b[j + k * sb]);
                    }
                }
            }
        },
    );
}

/// `out = f(out, x)`: the in-place form of [`map2`].
pub fn update<T: Element>(out: &mut [T], nest: &Nest<1>, x: &[T], f: impl Fn(T, T) -> T + Sync + Copy) {
    let [step] = nest.steps();
    for_runs(
        out,
        nest,
        #[inline(always)]
        move |run, [i]| {
            let n = run.len();
            match step {
                1 => run.iter_mut().zip(&x[i..i + n]).for_each(|(y, &x)| *y = f(*y, x)),
                _ => run.iter_mut().enumerate().for_each(|(k, y)| *y = f(*y, x[i + k * step])),
            }
        },
    );
}
