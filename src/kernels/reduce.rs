//! Reductions over any set of axes: `y[kept] = f(f(init, x[..]), x[..]) …` in an order fixed by the shape.

use super::by_element::Formula;
use super::kernel::{Inputs, Kernel, Outputs};
use super::nest::Nest;
use super::parallel::{PARTS, Partition, TASK, for_chunks};
use super::{Element, Level, matmul::LONG};

/// Elements that are added up lane by lane before the lanes are: bounds the rounding error of long sums.
const RUN: usize = 4096;

/// The reduction of x over some axes by f, which must be associative and commutative up to rounding.
///
/// x has any strides; y is fresh, without gaps, in the memory order that x has on the axes that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Reduction<F> {
    /// The loops over x, and the strides of x and of y along them: 0 for y on the axes that go.
    nest: Nest<2>,
    /// Whether x has elements.
    any: bool,
    /// What f begins with, and what is left of nothing.
    init: f64,
    formula: F,
}

impl<F> Reduction<F> {
    /// The reduction of an x of this shape and strides. `out_strides` has stride 0 on the axes that are reduced, and on
    /// the kept ones the strides of y.
    pub fn new(shape: &[usize], x_strides: &[usize], out_strides: &[usize], init: f64, formula: F) -> Reduction<F> {
        let nest = Nest::new(shape, x_strides, [x_strides, out_strides]);
        Reduction { nest, any: !shape.contains(&0), init, formula }
    }
}

impl<T: Element, F: Formula<T, 2>> Kernel<T> for Reduction<F> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([out], [x]) = (outputs.tensors(), inputs.tensors());
        let (nest, formula, level) = (&self.nest, self.formula, Level::current());
        out.fill(T::of(self.init));
        if !self.any {
            return;
        }
        let (rows, row) = nest.outer();
        let rows_per_block = (TASK / row).max(rows.div_ceil(PARTS)).max(1);
        let step = nest.outer_strides()[1];
        let block = |rows: std::ops::Range<usize>, part: &mut [T], base: usize| {
            level.vectorize(
                #[inline(always)]
                || {
                    reduce_block(
                        part,
                        base,
                        nest,
                        rows.start * row..rows.end * row,
                        x,
                        #[inline(always)]
                        |a, b| formula.at([a, b]),
                    )
                },
            );
        };
        if step > 0 {
            // The outermost axis is kept: each block owns a part of the output.
            for_chunks(out, rows_per_block * step, |start, part| {
                let first = start / step;
                block(first..rows.min(first + rows_per_block), part, start)
            });
        } else {
            // The outermost axis is reduced: partial results, then their combination in order.
            let init = T::of(self.init);
            let write = |rows: std::ops::Range<usize>, part: &mut [T]| {
                part.fill(init);
                block(rows, part, 0);
            };
            Partition::of(rows, rows_per_block).combine_into(
                level,
                out,
                write,
                #[inline(always)]
                |a, b| formula.at([a, b]),
            );
        }
    }
}

/// Reduces the elements `range` of the nest into `out`, whose first element has the offset `base`.
#[inline(always)]
fn reduce_block<T: Element>(
    out: &mut [T],
    base: usize,
    nest: &Nest<2>,
    range: std::ops::Range<usize>,
    x: &[T],
    f: impl Fn(T, T) -> T + Copy,
) {
    // Long rows that go to the same places of the output: by four, so that these are read and written once for all.
    if let Some(([rows, n], [[x_row, 1], [0, 1]])) = nest.inner()
        && n >= LONG
    {
        let (mut row, end) = (range.start / n, range.end / n);
        while row < end {
            let left = end.min((row / rows + 1) * rows) - row;
            let [i, o] = nest.offsets(row * n);
            let (y, x) = (&mut out[o - base..][..n], &x[i..]);
            if left >= 4 {
                four_rows(y, (x, x_row), f);
                row += 4;
            } else {
                one_row(y, &x[..n], f);
                row += 1;
            }
        }
        return;
    }
    let [step, out_step] = nest.steps();
    nest.runs(
        range.start,
        range.len(),
        #[inline(always)]
        |_, n, [i, o]| {
            let o = o - base;
            match (step, out_step) {
                (1, 0) => {
                    for run in x[i..i + n].chunks(RUN) {
                        out[o] = f(out[o], reduce_run::<T, 16>(run, f));
                    }
                }
                (1, 1) => one_row(&mut out[o..o + n], &x[i..i + n], f),
                _ => {
                    for k in 0..n {
                        let y = &mut out[o + k * out_step];
                        *y = f(*y, x[i + k * step]);
                    }
                }
            }
        },
    );
}

/// y ← f(y, x), element by element.
#[inline(always)]
fn one_row<T: Element>(y: &mut [T], x: &[T], f: impl Fn(T, T) -> T + Copy) {
    for k in 0..y.len() {
        y[k] = f(y[k], x[k]);
    }
}

/// The same with four rows one after another, which begin `row` elements apart.
#[inline(always)]
fn four_rows<T: Element>(y: &mut [T], (x, row): (&[T], usize), f: impl Fn(T, T) -> T + Copy) {
    let n = y.len();
    let (x0, x1, x2, x3) = (&x[..n], &x[row..][..n], &x[2 * row..][..n], &x[3 * row..][..n]);
    for k in 0..n {
        y[k] = f(f(f(f(y[k], x0[k]), x1[k]), x2[k]), x3[k]);
    }
}

/// `f` over a non-empty run: `LANES`, a power of two, side by side, then the lanes, then the rest.
#[inline(always)]
pub(super) fn reduce_run<T: Element, const LANES: usize>(x: &[T], f: impl Fn(T, T) -> T + Copy) -> T {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let (mut all, rest) = match chunks.split_first() {
        Some((first, chunks)) => {
            let mut lanes = *first;
            for chunk in chunks {
                for i in 0..LANES {
                    lanes[i] = f(lanes[i], chunk[i]);
                }
            }
            let mut width = LANES / 2;
            while width > 0 {
                for i in 0..width {
                    lanes[i] = f(lanes[i], lanes[i + width]);
                }
                width /= 2;
            }
            (lanes[0], rest)
        }
        None => (rest[0], &rest[1..]),
    };
    for &x in rest {
        all = f(all, x);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::by_element::Closure;
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    /// (a, b, c) summed over b, with c on either side of [`LONG`] and any number of rows to a group of four.
    #[test]
    fn long_rows_are_summed() {
        for [a, b, c] in [
            [1, 1, LONG],
            [1, 9, LONG - 1],
            [1, 9, LONG + 1],
            [5, 3, LONG],
            [40, 3, LONG],
            [4, 6, LONG + 3],
            [2, 40, LONG],
            [1, 100, LONG + 1],
        ] {
            let x = noise::<f32>(a * b * c, 1);
            let mut want = vec![0.0; a * c];
            for (i, x) in x.iter().enumerate() {
                want[i / (b * c) * c + i % c] += x;
            }
            for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                let sum = || {
                    let mut out = vec![f32::NAN; a * c];
                    let (shape, strides) = ([a, b, c], [b * c, c, 1]);
                    let kernel = Reduction::new(&shape, &strides, &[c, 0, 1], 0.0, Closure(|a: f32, b: f32| a + b));
                    let outputs = Outputs { tensors: &mut [&mut out], indices: &mut [] };
                    level.scope(|| kernel.cpu(Inputs { tensors: &[&x], indices: &[] }, outputs));
                    out
                };
                let close = |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-5;
                assert!(sum().iter().zip(&want).all(close), "{level:?} {:?}", [a, b, c]);
                same_bits_on_any_threads(sum);
            }
        }
    }
}
