//! Element-wise kernels: `y[i] = f(x[i])` and `y[i] = f(a[i], b[i])` over any strides.

use rayon::prelude::*;

use super::{Element, Level, fetch, nest::Nest};

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
                1 => {
                    let x = &x[i..i + n];
                    for k in 0..n {
                        run[k] = f(x[k]);
                    }
                }
                0 => run.fill(f(x[i])),
                _ => run.iter_mut().zip(x[i..].iter().step_by(step)).for_each(|(y, &x)| *y = f(x)),
            }
        },
    );
}

/// Rows and columns of the blocks of [`reorder`] and [`turn`].
pub(super) const BLOCK: usize = 16;

/// `out = x`, with `out` written in the order of the nest: where a matrix is to be turned, by blocks that are read and written
/// by whole lines of the cache. Maps (64, 64, 32, 32) from channels-last to row-major ran at 6 GB/s element by element and run
/// at 8 to 11; a matrix (512, 8192) turned, as the gradient of a dense layer's weight is, at 1.5 and now at 4 to 5.
pub fn reorder<T: Element>(out: &mut [T], nest: &Nest<1>, x: &[T]) {
    let (rows, columns, step) = match nest.inner() {
        Some(([rows, columns], [[1, step]])) if rows >= BLOCK && columns > 0 => (rows, columns, step),
        _ => return map1(out, nest, x, |x| x),
    };
    let (level, band) = (Level::current(), BLOCK * columns);
    for_chunks(out, (CHUNK / band).max(1) * band, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                let mut done = 0;
                while done < part.len() {
                    // As many rows as this matrix, the block and the part have.
                    let row = (start + done) / columns % rows;
                    let height = (rows - row).min(BLOCK).min((part.len() - done) / columns);
                    let [from] = nest.offsets(start + done);
                    turn(&mut part[done..done + height * columns], columns, &x[from..], step, height);
                    done += height * columns;
                }
            },
        );
    });
}

/// out (height, columns) = xᵀ, for x (columns, height) whose rows are `step` apart; `height` is at most [`BLOCK`].
#[inline(always)]
pub(super) fn turn<T: Element>(out: &mut [T], columns: usize, x: &[T], step: usize, height: usize) {
    let mut block = [[T::zero(); BLOCK]; BLOCK];
    for first in (0..columns).step_by(BLOCK) {
        let width = BLOCK.min(columns - first);
        for (k, line) in block[..width].iter_mut().enumerate() {
            fetch::ahead(x.as_ptr().wrapping_add((first + BLOCK + k) * step));
            match x[(first + k) * step..].first_chunk() {
                Some(from) if height == BLOCK => *line = *from,
                _ => line[..height].copy_from_slice(&x[(first + k) * step..][..height]),
            }
        }
        for (r, row) in out.chunks_exact_mut(columns).enumerate() {
            match row[first..].first_chunk_mut::<BLOCK>() {
                Some(to) => {
                    for k in 0..BLOCK {
                        to[k] = block[k][r];
                    }
                }
                None => {
                    for k in 0..width {
                        row[first + k] = block[k][r];
                    }
                }
            }
        }
    }
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
                    let (a, b) = (&a[i..i + n], &b[j..j + n]);
                    for k in 0..n {
                        run[k] = f(a[k], b[k]);
                    }
                }
                (1, 0) => {
                    let (a, b) = (&a[i..i + n], b[j]);
                    for k in 0..n {
                        run[k] = f(a[k], b);
                    }
                }
                (0, 1) => {
                    let (a, b) = (a[i], &b[j..j + n]);
                    for k in 0..n {
                        run[k] = f(a, b[k]);
                    }
                }
                _ => {
                    for k in 0..n {
                        run[k] = f(a[i + k * sa], b[j + k * sb]);
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
                1 => {
                    let x = &x[i..i + n];
                    for k in 0..n {
                        run[k] = f(run[k], x[k]);
                    }
                }
                _ => {
                    for k in 0..n {
                        run[k] = f(run[k], x[i + k * step]);
                    }
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_turned_whatever_its_sizes() {
        // The large ones are cut for several tasks, which begin and end inside a matrix.
        let small = [[1, 1, 1], [2, 3, 5], [1, 16, 16], [3, 17, 33], [2, 40, 15], [7, 100, 3], [5, 1, 7], [1, 7, 1]];
        let large = [[9, 50, 120], [1, 40, 40_000], [1, 3, 40_000]];
        for [n, rows, columns] in small.into_iter().chain(large) {
            // x (n, columns, rows) in memory, out (n, rows, columns).
            let x: Vec<f32> = (0..n * rows * columns).map(|i| i as f32).collect();
            let nest = Nest::new(&[n, rows, columns], &[rows * columns, columns, 1], [&[rows * columns, 1, rows]]);
            let mut out = vec![f32::NAN; x.len()];
            reorder(&mut out, &nest, &x);
            for (at, &value) in out.iter().enumerate() {
                let [i, r, c] = [at / (rows * columns), at / columns % rows, at % columns];
                assert_eq!(value, x[(i * columns + c) * rows + r], "({i}, {r}, {c}) of ({n}, {rows}, {columns})");
            }
        }
    }
}
