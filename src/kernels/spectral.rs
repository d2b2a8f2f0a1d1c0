//! Products of a weight, seen as a matrix, with vectors, in one walk over the weight's memory.
//!
//! The matrix has the weight's output axis as rows and all others as columns; wherever the output axis lies in memory,
//! the weight is (outer, rows, inner) there, and its columns, in memory order, are (outer, inner). So a caller puts
//! the short vectors into that order and nobody moves the weight.

use rayon::prelude::*;

use super::matmul::dot;
use super::{Buffer, Element, Level, around::Around, map};

/// At most this many partial results, each of a task.
const BLOCKS: usize = 16;

/// Columns of a task of [`transposed_times`] at least: 4 KiB of each row in f32. With 64 it was half as fast.
const COLUMNS: usize = 1024;

/// `out[o] = Σ W[a, o, b]·v[a, b]`: the product W·v; `around.extent` is the number of rows.
pub fn times<T: Element>(out: &mut [T], w: &[T], around: Around, v: &[T]) {
    let Around { outer, extent: rows, inner } = around;
    out.fill(T::zero());
    if around.size() == 0 {
        return;
    }
    let level = Level::current();
    if outer == 1 {
        map::for_chunks(out, map::CHUNK.div_ceil(inner), |start, part| {
            level.vectorize(
                #[inline(always)]
                || {
                    for (i, y) in part.iter_mut().enumerate() {
                        *y = dot(&w[(start + i) * inner..][..inner], v);
                    }
                },
            );
        });
        return;
    }
    // Every block of the outer loop adds to all rows: partial results, then their sum in order.
    let each = (map::CHUNK / (rows * inner)).max(outer.div_ceil(BLOCKS)).max(1);
    let blocks = outer.div_ceil(each);
    let mut partial = Buffer::filled(blocks * rows, T::zero());
    let block = |(i, y): (usize, &mut [T])| {
        level.vectorize(
            #[inline(always)]
            || {
                for a in i * each..outer.min((i + 1) * each) {
                    let (w, v) = (&w[a * rows * inner..][..rows * inner], &v[a * inner..][..inner]);
                    if inner == 1 {
                        add_multiple(y, w, v[0]);
                        continue;
                    }
                    for (i, y) in y.iter_mut().enumerate() {
                        *y += dot(&w[i * inner..][..inner], v);
                    }
                }
            },
        )
    };
    partial.par_chunks_mut(rows).enumerate().for_each(block);
    partial.chunks(rows).for_each(|part| out.iter_mut().zip(part).for_each(|(y, &p)| *y += p));
}

/// y ← y + w·u, as far as y goes.
#[inline(always)]
fn add_multiple<T: Element>(y: &mut [T], w: &[T], u: T) {
    let w = &w[..y.len()];
    for i in 0..y.len() {
        y[i] += w[i] * u;
    }
}

/// `out[a, b] = Σ W[a, o, b]·u[o]`: the product Wᵀ·u in memory order; `around.extent` is the number of rows.
pub fn transposed_times<T: Element>(out: &mut [T], w: &[T], around: Around, u: &[T]) {
    let Around { outer, extent: rows, inner } = around;
    out.fill(T::zero());
    if around.size() == 0 {
        return;
    }
    let level = Level::current();
    if outer == 1 {
        // Columns in parallel; each task walks its part of every row.
        map::for_chunks(out, map::CHUNK.div_ceil(rows).max(COLUMNS), |start, y| {
            level.vectorize(
                #[inline(always)]
                || {
                    for (o, &u) in u.iter().enumerate() {
                        add_multiple(y, &w[o * inner + start..], u);
                    }
                },
            )
        });
        return;
    }
    map::for_chunks(out, map::CHUNK.div_ceil(rows * inner) * inner, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for (a, y) in part.chunks_exact_mut(inner).enumerate() {
                    let w = &w[(start + a * inner) * rows..][..rows * inner];
                    if inner == 1 {
                        y[0] = dot(w, u);
                        continue;
                    }
                    for (o, &u) in u.iter().enumerate() {
                        add_multiple(y, &w[o * inner..], u);
                    }
                }
            },
        )
    });
}

/// `out[a, o, b] = (g[a, o, b] − u[o]·v[a, b])·scale`, all in the memory order that `around` describes.
pub fn minus_outer<T: Element>(out: &mut [T], g: &[T], around: Around, u: &[T], v: &[T], scale: T) {
    let Around { extent: rows, inner, .. } = around;
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    let block = rows * inner;
    map::for_chunks(out, (map::CHUNK / block).max(1) * block, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for (a, y) in part.chunks_exact_mut(block).enumerate() {
                    let at = start + a * block;
                    let (g, v) = (&g[at..][..block], &v[at / rows..][..inner]);
                    if inner == 1 {
                        let (u, v) = (&u[..rows], v[0]);
                        for o in 0..rows {
                            y[o] = (g[o] - u[o] * v) * scale;
                        }
                        continue;
                    }
                    for (o, &u) in u.iter().enumerate() {
                        let (y, g) = (&mut y[o * inner..][..inner], &g[o * inner..][..inner]);
                        for b in 0..inner {
                            y[b] = (g[b] - u * v[b]) * scale;
                        }
                    }
                }
            },
        )
    });
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
