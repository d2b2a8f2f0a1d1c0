//! How work is cut for the threads, and how partial results are put together: by sizes alone, in one order.
//!
//! The promise that the same input gives the same bits at any number of threads rests on this: work is cut into ranges
//! whose number and borders depend on the sizes, never on the threads; each range is computed by one task; and what
//! several ranges contribute to one number is combined in the order of the ranges, here and nowhere else.

use std::ops::Range;

use rayon::prelude::*;

use super::{Buffer, Element, Level};

/// Elements that one task takes. Measured on 2 cores: below 16 Ki the hand-over to a thread (a few µs) costs more
/// than it saves, and 16 Ki elements of f32 still fit the L2 cache with two operands.
pub const TASK: usize = 16 * 1024;

/// The most partial results that a sum is cut into: enough for the threads of a desktop, few enough that adding them up
/// costs nothing.
pub const PARTS: usize = 16;

/// Cuts `out` into chunks of a fixed length, and runs `f(start, chunk)` on each, in parallel.
pub fn for_chunks<T: Send>(out: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.len() <= chunk {
        f(0, out);
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, part)| f(i * chunk, part));
    }
}

/// `0..len`, cut into ranges of one length; the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    len: usize,
    each: usize,
}

impl Partition {
    /// Ranges of `each` (at least 1).
    pub fn of(len: usize, each: usize) -> Partition {
        Partition { len, each: each.max(1) }
    }

    /// At most [`PARTS`] ranges, of at least `least` each.
    pub fn few(len: usize, least: usize) -> Partition {
        Partition::of(len, least.max(len.div_ceil(PARTS)))
    }

    /// The same with ranges that begin at multiples of `unit`.
    pub fn in_units(self, unit: usize) -> Partition {
        Partition { each: self.each.next_multiple_of(unit), ..self }
    }

    /// The number of ranges; none if there is nothing to cut.
    pub fn count(self) -> usize {
        self.len.div_ceil(self.each)
    }

    /// Range number `i`.
    pub fn range(self, i: usize) -> Range<usize> {
        i * self.each..self.len.min((i + 1) * self.each)
    }

    /// `f` of every range, computed in parallel, in the order of the ranges.
    pub fn map<R: Send>(self, f: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
        match self.count() {
            1 => vec![f(self.range(0))],
            n => (0..n).into_par_iter().map(|i| f(self.range(i))).collect(),
        }
    }

    /// One partial result of `each` numbers for every range, which `write(range, partial)` writes whole.
    pub fn partials<T: Element>(self, each: usize, write: impl Fn(Range<usize>, &mut [T]) + Sync) -> Partials<T> {
        let mut values = Buffer::stale(self.count() * each);
        let partials = values.par_chunks_mut(each.max(1)).enumerate();
        partials.for_each(|(i, partial)| write(self.range(i), partial));
        Partials { values, each }
    }

    /// `out` ← the combination by `f` of what `write(range, partial)` writes for every range, in their order. A single
    /// range writes `out` itself; without any, `out` stays as it is.
    pub fn combine_into<T: Element>(
        self,
        level: Level,
        out: &mut [T],
        write: impl Fn(Range<usize>, &mut [T]) + Sync,
        f: impl Fn(T, T) -> T + Sync + Copy,
    ) {
        match self.count() {
            0 => {}
            1 => write(self.range(0), out),
            _ => {
                let partials = self.partials(out.len(), write);
                for_chunks(out, TASK, |start, out| {
                    level.vectorize(
                        #[inline(always)]
                        || partials.combine(start, out, f),
                    )
                });
            }
        }
    }

    /// [`combine_into`](Partition::combine_into) by addition.
    pub fn sum_into<T: Element>(self, level: Level, out: &mut [T], write: impl Fn(Range<usize>, &mut [T]) + Sync) {
        self.combine_into(
            level,
            out,
            write,
            #[inline(always)]
            |sum, part| sum + part,
        );
    }
}

/// About half of `len`, which is more than `most`: a multiple of `most`.
pub fn half(len: usize, most: usize) -> usize {
    len.div_ceil(most) / 2 * most
}

/// `out` ← the sum over `range` of what `write(range, out)` writes for a part of it: the whole, or, if it is longer
/// than `most`, that of each half, the halves of these likewise, and so on. So rounding errors grow with the logarithm
/// of the range where `write` adds up one after another.
pub fn sum_halves<T: Element>(
    level: Level,
    range: Range<usize>,
    most: usize,
    out: &mut [T],
    write: &impl Fn(Range<usize>, &mut [T]),
) {
    if range.len() <= most {
        return write(range, out);
    }
    let middle = range.start + half(range.len(), most);
    sum_halves(level, range.start..middle, most, out, write);
    let mut right = Buffer::stale(out.len());
    sum_halves(level, middle..range.end, most, &mut right, write);
    add(level, out, &right);
}

/// y ← y + x
pub fn add<T: Element>(level: Level, y: &mut [T], x: &[T]) {
    level.vectorize(
        #[inline(always)]
        || {
            let x = &x[..y.len()];
            for i in 0..y.len() {
                y[i] += x[i];
            }
        },
    )
}

/// Pixels, rows of a matrix product, whose contributions to the gradient of a weight are added up one after another.
/// The maps of a training step are cut into ranges of about as many for the threads.
pub const PIXELS: usize = 4096;

/// Partial results of several ranges, all of one length.
pub struct Partials<T: Element> {
    values: Buffer<T>,
    each: usize,
}

impl<T: Element> Partials<T> {
    /// `out` ← the combination by `f` of the numbers from `start` on in every partial result, in the order of the
    /// ranges.
    #[inline(always)]
    pub fn combine(&self, start: usize, out: &mut [T], f: impl Fn(T, T) -> T + Copy) {
        let n = out.len();
        let mut at = start;
        while at < self.values.len() {
            let part = &self.values[at..][..n];
            if at == start {
                out.copy_from_slice(part);
            } else {
                for i in 0..n {
                    out[i] = f(out[i], part[i]);
                }
            }
            at += self.each;
        }
    }

    /// [`combine`](Partials::combine) by addition.
    #[inline(always)]
    pub fn sum(&self, start: usize, out: &mut [T]) {
        self.combine(
            start,
            out,
            #[inline(always)]
            |sum, part| sum + part,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_cover_a_range_once() {
        for (len, most) in [(0, 3), (1, 1), (7, 3), (8, 4), (100, 7), (1000, 1)] {
            let mut out = [0.0f64];
            sum_halves(Level::current(), 10..10 + len, most, &mut out, &|range, out| {
                assert!(range.len() <= most && (len == 0 || !range.is_empty()), "{range:?} of {len}");
                out[0] = range.map(|i| 2f64.powi(i as i32 % 30)).sum();
            });
            assert_eq!(out[0], (10..10 + len).map(|i| 2f64.powi(i as i32 % 30)).sum::<f64>());
        }
    }

    #[test]
    fn ranges_cover_everything_once() {
        for len in [0, 1, 15, 16, 17, 100, 1000] {
            for (least, unit) in [(1, 1), (7, 1), (3, 4), (2000, 16)] {
                let partition = Partition::few(len, least).in_units(unit);
                assert!(partition.count() <= PARTS);
                let mut next = 0;
                for range in partition.map(|range| range) {
                    assert!(range.start == next && range.end > next && range.start.is_multiple_of(unit), "{range:?}");
                    next = range.end;
                }
                assert_eq!(next, len);
            }
        }
    }

    /// In floating point (big + small) + small is not big + (small + small): the order shows.
    #[test]
    fn partial_results_are_combined_in_their_order() {
        let parts = [1.0f32, 2f32.powi(25), -2f32.powi(25), 1.0];
        for (n, want) in [(1, 1.0), (2, 2f32.powi(25)), (3, 0.0), (4, 1.0)] {
            let mut out = [f32::NAN; 3];
            let partition = Partition::of(n, 1);
            partition.sum_into(Level::current(), &mut out, |range, out| out.fill(parts[range.start]));
            assert_eq!(out, [want; 3], "{n} parts");
        }
        let mut out = [7.0f32; 2];
        Partition::of(0, 1).sum_into(Level::current(), &mut out, |_, out| out.fill(1.0));
        assert_eq!(out, [7.0; 2], "nothing to combine");
    }
}
