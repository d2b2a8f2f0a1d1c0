//! Products of a weight, seen as a matrix, with vectors, in one walk over the weight's memory.
//!
//! The matrix has the weight's output axis as rows and all others as columns; wherever the output axis lies in memory,
//! the weight is (outer, rows, inner) there, and its columns, in memory order, are (outer, inner). So a caller puts
//! the short vectors into that order and nobody moves the weight.

use rayon::prelude::*;

use super::matmul::{self, add_rows, dot};
use super::{Buffer, Element, Level, around::Around, map};

/// At most this many partial results, each of a task.
const BLOCKS: usize = 16;

/// `out[o] = Σ W[a, o, b]·v[a, b]`: the product W·v; `around.extent` is the number of rows.
///
/// # Panics
/// If a length is not that of `around`.
pub fn times<T: Element>(out: &mut [T], w: &[T], around: Around, v: &[T]) {
    let Around { outer, extent: rows, inner } = around;
    check(around, w, out, v);
    if around.size() == 0 {
        return out.fill(T::zero());
    }
    let level = Level::current();
    if outer == 1 {
        // In fours, as rows are multiplied.
        map::for_chunks(out, map::CHUNK.div_ceil(inner).next_multiple_of(4), |start, part| {
            level.vectorize(
                #[inline(always)]
                || matmul::times(part, (&w[start * inner..], inner), v, false),
            );
        });
        return;
    }
    // Every block of the outer loop adds to all rows: partial results, then their sum in order.
    let each = (map::CHUNK / (rows * inner)).max(outer.div_ceil(BLOCKS)).next_multiple_of(4);
    let blocks = outer.div_ceil(each);
    let mut partial = Buffer::filled(blocks * rows, T::zero());
    let block = |(i, y): (usize, &mut [T])| {
        level.vectorize(
            #[inline(always)]
            || {
                let (from, to) = (i * each, outer.min((i + 1) * each));
                if inner == 1 {
                    return add_rows(y, (&w[from * rows..], rows), &v[from..to]);
                }
                for a in from..to {
                    matmul::times(y, (&w[a * rows * inner..], inner), &v[a * inner..][..inner], true);
                }
            },
        )
    };
    partial.par_chunks_mut(rows).enumerate().for_each(block);
    out.fill(T::zero());
    partial.chunks(rows).for_each(|part| out.iter_mut().zip(part).for_each(|(y, &p)| *y += p));
}

/// `out[a, b] = Σ W[a, o, b]·u[o]`: the product Wᵀ·u in memory order; `around.extent` is the number of rows.
///
/// # Panics
/// If a length is not that of `around`.
pub fn transposed_times<T: Element>(out: &mut [T], w: &[T], around: Around, u: &[T]) {
    let Around { outer, extent: rows, inner } = around;
    check(around, w, u, out);
    if around.size() == 0 {
        return out.fill(T::zero());
    }
    // A matrix of whole rows or columns: the other one's product.
    if outer == 1 {
        return times(out, w, Around { outer: rows, extent: inner, inner: 1 }, u);
    }
    if inner == 1 {
        return times(out, w, Around { outer: 1, extent: outer, inner: rows }, u);
    }
    out.fill(T::zero());
    let level = Level::current();
    map::for_chunks(out, map::CHUNK.div_ceil(rows * inner) * inner, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for (a, y) in part.chunks_exact_mut(inner).enumerate() {
                    add_rows(y, (&w[(start + a * inner) * rows..], inner), u);
                }
            },
        )
    });
}

/// `out[a, o, b] = (g[a, o, b] − u[o]·v[a, b])·scale`, all in the memory order that `around` describes.
///
/// # Panics
/// If a length is not that of `around`.
pub fn minus_outer<T: Element>(out: &mut [T], g: &[T], around: Around, u: &[T], v: &[T], scale: T) {
    let Around { extent: rows, inner, .. } = around;
    check(around, g, u, v);
    assert_eq!(out.len(), g.len(), "spectral norm: an output of {} elements for a weight of {}", out.len(), g.len());
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    // Whole runs of memory with one u, or, where the rows lie innermost, with one v.
    let run = if inner == 1 { rows } else { inner };
    map::for_chunks(out, (map::CHUNK / run).max(1) * run, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for (i, y) in part.chunks_exact_mut(run).enumerate() {
                    let at = start + i * run;
                    let g = &g[at..][..run];
                    if inner == 1 {
                        let (u, v) = (&u[..run], v[at / rows]);
                        for o in 0..run {
                            y[o] = (g[o] - u[o] * v) * scale;
                        }
                    } else {
                        let (u, v) = (u[at / inner % rows], &v[at / (rows * inner) * inner..][..run]);
                        for b in 0..run {
                            y[b] = (g[b] - u * v[b]) * scale;
                        }
                    }
                }
            },
        )
    });
}

/// Panics unless a weight, a vector of its rows and one of its columns have the lengths of `around`.
fn check<T>(around: Around, w: &[T], rows: &[T], columns: &[T]) {
    let lengths = [w.len(), rows.len(), columns.len()];
    let expected = [around.size(), around.extent, around.outer * around.inner];
    assert_eq!(lengths, expected, "spectral norm: lengths of a weight, its rows and its columns");
}

/// `Σ a·b`, in blocks fixed by the length, combined in `f64`.
pub fn inner_product<T: Element>(a: &[T], b: &[T]) -> f64 {
    let level = Level::current();
    let each = map::CHUNK.max(a.len().div_ceil(BLOCKS));
    let block = |(a, b): (&[T], &[T])| {
        level.vectorize(
            #[inline(always)]
            || {
                let mut sum = 0.0;
                for (i, a) in a.chunks(1024).enumerate() {
                    sum += dot(a, &b[i * 1024..][..a.len()]).f64();
                }
                sum
            },
        )
    };
    if a.len() <= each {
        return block((a, b));
    }
    let parts: Vec<f64> = a.par_chunks(each).zip(b.par_chunks(each)).map(block).collect();
    parts.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    /// Rows on either side of [`matmul::LONG`], their number on either side of four, in every place of the weight's memory.
    #[test]
    fn products_are_those_of_the_definition() {
        let shapes = [
            [1, 1, 5],
            [1, 1, 5000],
            [5000, 1, 1],
            [3, 1, 4],
            [3, 6, 4100],
            [1, 3, 5],
            [1, 9, 4096],
            [1, 9, 4099],
            [9, 4099, 1],
            [7, 2, 4097],
            [6, 5, 4],
            [50, 70, 1],
            [3, 4097, 2],
        ];
        for [outer, rows, inner] in shapes {
            let around = Around { outer, extent: rows, inner };
            let w = noise::<f32>(around.size(), 1);
            let (u, v) = (noise::<f32>(rows, 2), noise::<f32>(outer * inner, 3));
            let (mut wv, mut wu) = (vec![0.0; rows], vec![0.0; outer * inner]);
            for (i, &w) in w.iter().enumerate() {
                let (a, o, b) = (i / (rows * inner), i / inner % rows, i % inner);
                wv[o] += w as f64 * v[a * inner + b] as f64;
                wu[a * inner + b] += w as f64 * u[o] as f64;
            }
            for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                let products = || {
                    let (mut to_rows, mut to_columns) = (vec![f32::NAN; rows], vec![f32::NAN; outer * inner]);
                    level.scope(|| times(&mut to_rows, &w, around, &v));
                    level.scope(|| transposed_times(&mut to_columns, &w, around, &u));
                    [to_rows, to_columns].concat()
                };
                let (got, want) = (products(), [&wv[..], &wu].concat());
                for (i, (got, want)) in got.iter().zip(want).enumerate() {
                    let terms = if i < rows { outer * inner } else { rows };
                    let error = (*got as f64 - want).abs();
                    assert!(error <= 1e-6 * (terms as f64).sqrt(), "{level:?} {around:?}: {got}, not {want}");
                }
                same_bits_on_any_threads(products);
                let mut out = vec![f32::NAN; w.len()];
                level.scope(|| minus_outer(&mut out, &w, around, &u, &v, 0.5));
                for (i, (&got, &w)) in out.iter().zip(&w).enumerate() {
                    let (a, o, b) = (i / (rows * inner), i / inner % rows, i % inner);
                    assert_eq!(got, (w - u[o] * v[a * inner + b]) * 0.5, "{level:?} {around:?}, element {i}");
                }
            }
        }
    }
}
