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
            let w = w[start * inner..].chunks_exact(inner);
            level.vectorize(
                #[inline(always)]
                || part.iter_mut().zip(w).for_each(|(y, w)| *y = dot(w, v)),
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
                    match inner {
                        1 => y.iter_mut().zip(w).for_each(|(y, &w)| *y += w * v[0]),
                        _ => y.iter_mut().zip(w.chunks_exact(inner)).for_each(|(y, w)| *y += dot(w, v)),
                    }
                }
            },
        )
    };
    partial.par_chunks_mut(rows).enumerate().for_each(block);
    partial.chunks(rows).for_each(|part| out.iter_mut().zip(part).for_each(|(y, &p)| *y += p));
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
                    for (w, &u) in w.chunks_exact(inner).zip(u) {
                        y.iter_mut().zip(&w[start..]).for_each(|(y, &w)| *y += w * u);
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
                for (y, w) in part.chunks_exact_mut(inner).zip(w[start * rows..].chunks_exact(rows * inner)) {
                    if inner == 1 {
                        y[0] = dot(w, u);
                        continue;
                    }
                    for (w, &u) in w.chunks_exact(inner).zip(u) {
                        y.iter_mut().zip(w).for_each(|(y, &w)| *y += w * u);
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
                let blocks = part.chunks_exact_mut(block).zip(g[start..].chunks_exact(block));
                for ((y, g), v) in blocks.zip(v[start / rows..].chunks_exact(inner)) {
                    if inner == 1 {
                        let v = v[0];
                        y.iter_mut().zip(g.iter().zip(u)).for_each(|(y, (&g, &u))| *y = (g - u * v) * scale);
                        continue;
                    }
                    for ((y, g), &u) in y.chunks_exact_mut(inner).zip(g.chunks_exact(inner)).zip(u) {
                        y.iter_mut().zip(g.iter().zip(v)).for_each(|(y, (&g, &v))| *y = (g - u * v) * scale);
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
            || a.chunks(1024).zip(b.chunks(1024)).map(|(a, b)| dot(a, b).f64()).sum::<f64>(),
        )
    };
    if a.len() <= each {
        return block((a, b));
    }
    let parts: Vec<f64> = a.par_chunks(each).zip(b.par_chunks(each)).map(block).collect();
    parts.into_iter().sum()
}
