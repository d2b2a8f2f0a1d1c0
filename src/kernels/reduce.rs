//! Reductions over any set of axes, as a tree whose shape depends on that of x alone.
//!
//! Up to [`CHAIN`] terms are combined one after another; these results in pairs, the pairs in pairs, and so on. The
//! rounding error of a sum of n terms then grows as log n, where that of one long chain grows as n (Higham, "The
//! Accuracy of Floating Point Summation", SIAM J. Sci. Comput. 14(4), 1993): 10⁷ equal numbers in f32 add up to within
//! 10⁻⁶, not 6·10⁻³.

use std::ops::Range;

use super::by_element::Formula;
#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::formulas::{Larger, Smaller, Sum};
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::nest::Nest;
#[cfg(feature = "opencl")]
use super::opencl::{Queue, reduce::Stages};
use super::parallel::{PARTS, Partition, TASK, for_chunks, half};
use super::{Buffer, Element, Level, matmul::LONG};

/// Terms that are combined one after another. With 16, reading memory still costs more than combining the halves.
const CHAIN: usize = 16;

/// Runs, or elements of rows, that are combined one after another where loops are nested more deeply: in one walk,
/// since to halve every few elements took up to twelve times as long.
const SHORT: usize = 32;

/// Rows of fewer columns are combined as wider rows of about [`WIDE`] columns, several to each: 16 rows of 64 columns
/// by themselves took 1.5 times as long.
const NARROW: usize = 256;

/// The columns of such wider rows: they stay in the L1 cache with what is read.
const WIDE: usize = 1024;

/// The most columns that are reduced together: what they have added up to stays near the L1 cache. Longer rows are cut
/// evenly, so that every part is [`LONG`].
const TILE: usize = 2 * LONG;

/// The reduction of x over some axes by f, which must be associative and commutative up to rounding.
///
/// x has no gaps and repeats nothing; y is fresh, without gaps, in the memory order that x has on the axes that are
/// kept.
#[derive(Clone, Copy, Debug)]
pub struct Reduction<F> {
    /// The loops over x, and the strides of x and of y along them: 0 for y on the axes that go.
    nest: Nest<2>,
    /// Whether x has elements.
    any: bool,
    /// What is left of nothing.
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

compile!(Reduction<Sum>, Reduction<Larger>, Reduction<Smaller>);

impl<T: Element, F: Formula<T, 2>> Kernel<T> for Reduction<F> {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([out], [x]) = (outputs.tensors(), inputs.tensors());
        if !self.any {
            return out.fill(T::of(self.init));
        }
        // What changes no number: 0 would make 0 of −0.
        let identity = T::of(if self.init == 0.0 { -0.0 } else { self.init });
        let level = Level::current();
        let (nest, f) = (&self.nest, self.formula);
        let (rows, row) = nest.outer();
        let rows_per_block = (TASK / row).max(rows.div_ceil(PARTS)).max(1);
        let [_, step] = nest.strides(0);
        if step > 0 {
            // The outermost axis is kept: each block owns a part of the output.
            for_chunks(out, rows_per_block * step, |start, part| {
                let first = start / step;
                Tree::new(level, nest, x, identity, f).reduce(first..rows.min(first + rows_per_block), part);
            });
        } else if let [_, columns] = nest.dims()[..]
            && columns > PARTS * TILE
        {
            // Very long rows: each block owns some columns.
            for_chunks(out, TILE, |start, part| {
                let tree = Tree { columns: part.len(), ..Tree::new(level, nest, &x[start..], identity, f) };
                tree.reduce(0..rows, part);
            });
        } else {
            // The outermost axis is reduced: partial results, then their combination in order.
            let write = |rows: Range<usize>, part: &mut [T]| Tree::new(level, nest, x, identity, f).reduce(rows, part);
            Partition::of(rows, rows_per_block).combine_into(
                level,
                out,
                write,
                #[inline(always)]
                |a, b| f.at([a, b]),
            );
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let printed = self.formula.printed().ok_or(Unsupported)?;
        let init = if self.any { None } else { Some(self.init) };
        let stages = Stages { nest: &self.nest, init, printed: &printed, text: &|| self.formula.text() };
        stages.run::<T>(queue, inputs.tensors(), outputs.tensors())
    }
}

/// The reduction of some turns of the outermost loop, on one thread.
struct Tree<'a, T, F> {
    level: Level,
    nest: &'a Nest<2>,
    x: &'a [T],
    /// The turns of the innermost loop.
    columns: usize,
    /// What f leaves every number with as it is.
    identity: T,
    f: F,
}

impl<'a, T: Element, F: Formula<T, 2>> Tree<'a, T, F> {
    fn new(level: Level, nest: &'a Nest<2>, x: &'a [T], identity: T, f: F) -> Tree<'a, T, F> {
        Tree { level, nest, x, columns: nest.dims()[nest.dims().len() - 1], identity, f }
    }

    /// y ← the reduction of `turns` of the outermost loop; y begins where the first of them does.
    fn reduce(&self, turns: Range<usize>, y: &mut [T]) {
        let of = |axis: usize| if axis == 0 { turns.len() } else { self.turns(axis) };
        let halves = |axis: usize| of(axis).div_ceil(self.chain(axis)).next_power_of_two().ilog2() as usize;
        let reduced = (0..self.last()).filter(|&axis| self.nest.strides(axis)[1] == 0);
        let mut scratch = Buffer::stale(reduced.map(|axis| halves(axis) * self.span(axis + 1)).sum());
        self.part(0, turns, 0, y, &mut scratch, false);
    }

    /// y ← the reduction of `turns` of the loop `axis`, where x begins at `at`; or f(y, that) to `add`.
    fn part(&self, axis: usize, turns: Range<usize>, at: usize, y: &mut [T], scratch: &mut [T], add: bool) {
        let [x_step, y_step] = self.nest.strides(axis);
        let inner = |turn: usize, y: &mut [T], scratch: &mut [T], add: bool| {
            self.part(axis + 1, 0..self.turns(axis + 1), at + turn * x_step, y, scratch, add);
        };
        if axis == self.last() {
            self.row(&self.x[at..][turns], y, y_step > 0, add);
        } else if self.is_short(axis, &turns) {
            self.walk(axis, turns, at, y, add);
        } else if y_step > 0 {
            for turn in turns.clone() {
                inner(turn, &mut y[(turn - turns.start) * y_step..], scratch, add);
            }
        } else if self.has_rows(axis) && self.columns > TILE {
            let most = self.columns.div_ceil(self.columns.div_ceil(TILE));
            for start in (0..self.columns).step_by(most) {
                let columns = most.min(self.columns - start);
                let tile = Tree { columns, x: &self.x[start..], ..*self };
                tile.part(axis, turns.clone(), at, &mut y[start..], scratch, add);
            }
        } else if turns.len() > self.chain(axis) {
            let middle = turns.start + half(turns.len(), self.chain(axis));
            let (right, scratch) = scratch.split_at_mut(self.span(axis + 1));
            self.part(axis, turns.start..middle, at, y, scratch, add);
            self.part(axis, middle..turns.end, at, right, scratch, false);
            self.row(right, y, true, true);
        } else if self.has_rows(axis) {
            let x = &self.x[at + turns.start * x_step..];
            self.rows(x, [turns.len(), x_step], &mut y[..self.columns], add);
        } else {
            for turn in turns.clone() {
                inner(turn, y, scratch, add || turn > turns.start);
            }
        }
    }

    /// y ← x element by element, or the reduction of x into y[0], or f(y, that) to `add`.
    fn row(&self, x: &[T], y: &mut [T], kept: bool, add: bool) {
        let f = self.f;
        self.level.vectorize(
            #[inline(always)]
            || match (kept, add) {
                (true, true) => combine(&mut y[..x.len()], x, f),
                (true, false) => y[..x.len()].copy_from_slice(x),
                (false, true) => y[0] = f.at([y[0], reduce_run::<T, LANES>(x, f)]),
                (false, false) => y[0] = reduce_run::<T, LANES>(x, f),
            },
        );
    }

    /// Whether `turns` of the loop `axis` are combined in one walk.
    fn is_short(&self, axis: usize, turns: &Range<usize>) -> bool {
        let own = if self.nest.strides(axis)[1] == 0 { turns.len() } else { 1 };
        !self.has_rows(axis) && self.columns < LONG && own * self.chained(axis + 1) <= SHORT
    }

    /// As [`part`](Tree::part), in one walk over x in the order of memory.
    fn walk(&self, axis: usize, turns: Range<usize>, at: usize, y: &mut [T], add: bool) {
        let (f, [x_step, y_step]) = (self.f, self.nest.strides(axis));
        // x has no gaps: the number of an element is its place.
        let (start, len) = (at + turns.start * x_step, turns.len() * x_step);
        let base = self.nest.offsets(start)[1];
        let y = &mut y[..(turns.len() - 1) * y_step + self.span(axis + 1)];
        if !add {
            y.fill(self.identity);
        }
        let is_row = self.nest.strides(self.last())[1] > 0;
        self.level.vectorize(
            #[inline(always)]
            || {
                self.nest.runs(
                    start,
                    len,
                    #[inline(always)]
                    |_, n, [i, o]| {
                        let (x, y) = (&self.x[i..i + n], &mut y[o - base..]);
                        if is_row {
                            combine(&mut y[..n], x, f);
                        } else {
                            y[0] = f.at([y[0], reduce_run::<T, LANES>(x, f)]);
                        }
                    },
                );
            },
        );
    }

    /// y ← the reduction of rows as long as y that begin `step` elements apart, one after another; or f(y, that) to
    /// `add`.
    fn rows(&self, x: &[T], [rows, step]: [usize; 2], y: &mut [T], add: bool) {
        let (f, n) = (self.f, y.len());
        self.level.vectorize(
            #[inline(always)]
            || {
                // To make room for wide rows takes as long as a few rows.
                if is_narrow(step, n) && rows > SHORT {
                    return narrow_rows(y, &x[..rows * n], add, f);
                }
                // Long rows by four, so that y is read and written once for all.
                let fours = if n >= LONG { rows / 4 * 4 } else { 0 };
                for row in (0..fours).step_by(4) {
                    four_rows(y, (&x[row * step..], step), add || row > 0, f);
                }
                let mut row = fours;
                if row == 0 && !add {
                    y.copy_from_slice(&x[..n]);
                    row = 1;
                }
                for row in row..rows {
                    combine(y, &x[row * step..][..n], f);
                }
            },
        );
    }

    /// The innermost loop.
    fn last(&self) -> usize {
        self.nest.dims().len() - 1
    }

    fn turns(&self, axis: usize) -> usize {
        if axis == self.last() { self.columns } else { self.nest.dims()[axis] }
    }

    /// Elements of y from the first to the last that the loops from `axis` on reach.
    fn span(&self, axis: usize) -> usize {
        1 + (axis..=self.last()).map(|axis| (self.turns(axis) - 1) * self.nest.strides(axis)[1]).sum::<usize>()
    }

    /// Whether the turns of `axis`, which is reduced, are rows of which each element goes to a place of its own.
    fn has_rows(&self, axis: usize) -> bool {
        axis + 1 == self.last() && self.nest.strides(self.last())[1] > 0
    }

    /// Turns of `axis`, which is reduced, that are combined one after another.
    fn chain(&self, axis: usize) -> usize {
        if self.has_rows(axis) {
            let [step, _] = self.nest.strides(axis);
            return CHAIN * if is_narrow(step, self.columns) { WIDE / self.columns } else { 1 };
        }
        (SHORT / self.chained(axis + 1)).max(1)
    }

    /// How many runs, or elements of rows, the loops from `axis` on combine to one number.
    fn chained(&self, axis: usize) -> usize {
        let reduced = (axis..self.last()).filter(|&axis| self.nest.strides(axis)[1] == 0);
        reduced.map(|axis| self.turns(axis)).product()
    }
}

/// y ← f(y, x), element by element.
#[inline(always)]
fn combine<T: Element>(y: &mut [T], x: &[T], f: impl Formula<T, 2>) {
    for k in 0..y.len() {
        y[k] = f.at([y[k], x[k]]);
    }
}

/// y ← four rows one after another, which begin `row` elements apart, or f(y, that) to `add`.
#[inline(always)]
fn four_rows<T: Element>(y: &mut [T], (x, row): (&[T], usize), add: bool, f: impl Formula<T, 2>) {
    let n = y.len();
    let (x0, x1, x2, x3) = (&x[..n], &x[row..][..n], &x[2 * row..][..n], &x[3 * row..][..n]);
    if add {
        for k in 0..n {
            y[k] = f.at([f.at([f.at([f.at([y[k], x0[k]]), x1[k]]), x2[k]]), x3[k]]);
        }
    } else {
        for k in 0..n {
            y[k] = f.at([f.at([f.at([x0[k], x1[k]]), x2[k]]), x3[k]]);
        }
    }
}

/// Whether rows that begin `step` elements apart are short, and have no gaps between them.
fn is_narrow(step: usize, columns: usize) -> bool {
    step == columns && columns < NARROW
}

/// The reduction of up to [`CHAIN`]·⌊[`WIDE`] / n⌋ rows of n < [`NARROW`] columns without gaps: as rows of so many
/// columns side by side, which are folded in halves at the end.
#[inline(always)]
fn narrow_rows<T: Element>(y: &mut [T], x: &[T], add: bool, f: impl Formula<T, 2>) {
    let n = y.len();
    let (mut wide, together) = ([T::zero(); WIDE], WIDE / n * n);
    for (i, x) in x.chunks(together).enumerate() {
        let wide = &mut wide[..x.len()];
        if i == 0 { wide.copy_from_slice(x) } else { combine(wide, x, f) }
    }
    let mut rows = together.min(x.len()) / n;
    while rows > 1 {
        let half = rows.div_ceil(2);
        let (left, right) = wide[..rows * n].split_at_mut(half * n);
        combine(&mut left[..right.len()], right, f);
        rows = half;
    }
    if add { combine(y, &wide[..n], f) } else { y.copy_from_slice(&wide[..n]) }
}

/// The halves of a run with fewer than 2⁵ blocks.
const FEW: usize = 5;

/// Numbers of a run that are combined side by side: enough for the latency of additions, at 16 bytes a cycle.
const LANES: usize = 16;

/// The largest element, or whatever else rounds nothing, of a run of at least one element: without blocks.
#[inline(always)]
pub(super) fn reduce_exactly<T: Element, const LANES: usize>(x: &[T], f: impl Formula<T, 2>) -> T {
    let (rows, rest) = x.as_chunks::<LANES>();
    let (all, rest) = match rows.len() {
        0 => (rest[0], &rest[1..]),
        _ => (fold_lanes(reduce_block(rows, f), f), rest),
    };
    rest.iter().fold(all, |all, &x| f.at([all, x]))
}

/// The reduction of a run of at least one element: `LANES`, a power of two, side by side in blocks of [`CHAIN`] rows,
/// the blocks in pairs, at last the lanes in pairs and the rest.
#[inline(always)]
pub(super) fn reduce_run<T: Element, const LANES: usize>(x: &[T], f: impl Formula<T, 2>) -> T {
    let (rows, rest) = x.as_chunks::<LANES>();
    let (mut all, rest) = if rows.is_empty() {
        (rest[0], &rest[1..])
    } else if rows.len() <= CHAIN {
        (fold_lanes(reduce_block(rows, f), f), rest)
    } else if rows.len() < CHAIN << FEW {
        // To make room for more halves takes as long as the sum of a short run.
        (fold_lanes(reduce_blocks::<T, LANES, FEW>(rows, f), f), rest)
    } else {
        (fold_lanes(reduce_blocks::<T, LANES, 48>(rows, f), f), rest)
    };
    // By itself: added one by one to a large sum, small numbers would be rounded each.
    if let Some((&first, others)) = rest.split_first() {
        all = f.at([all, others.iter().fold(first, |sum, &x| f.at([sum, x]))]);
    }
    all
}

/// The blocks of a run in pairs, the pairs in pairs, and so on. Like a binary counter: as many results wait to be
/// paired as the number of blocks so far has ones in binary.
#[inline(always)]
fn reduce_blocks<T: Element, const L: usize, const DEPTH: usize>(rows: &[[T; L]], f: impl Formula<T, 2>) -> [T; L] {
    let mut waiting = [[T::zero(); L]; DEPTH];
    let mut n = 0;
    for (i, block) in rows.chunks(CHAIN).enumerate() {
        let mut lanes = reduce_block(block, f);
        for _ in 0..i.trailing_ones() {
            n -= 1;
            combine_lanes(&mut lanes, &waiting[n], f);
        }
        waiting[n] = lanes;
        n += 1;
    }
    let mut lanes = waiting[n - 1];
    for waiting in waiting[..n - 1].iter().rev() {
        combine_lanes(&mut lanes, waiting, f);
    }
    lanes
}

/// Lane by lane, one row after another.
#[inline(always)]
fn reduce_block<T: Element, const L: usize>(rows: &[[T; L]], f: impl Formula<T, 2>) -> [T; L] {
    let mut lanes = rows[0];
    for row in &rows[1..] {
        for i in 0..L {
            lanes[i] = f.at([lanes[i], row[i]]);
        }
    }
    lanes
}

#[inline(always)]
fn combine_lanes<T: Element, const L: usize>(right: &mut [T; L], left: &[T; L], f: impl Formula<T, 2>) {
    for i in 0..L {
        right[i] = f.at([left[i], right[i]]);
    }
}

/// The lanes in halves.
#[inline(always)]
fn fold_lanes<T: Element, const L: usize>(mut lanes: [T; L], f: impl Formula<T, 2>) -> T {
    let mut width = L / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = f.at([lanes[i], lanes[i + width]]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::super::by_element::Closure;
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    fn sum_over(shape: [usize; 3], reduced: [bool; 3], x: &[f32]) -> Vec<f32> {
        let kept = |axis: usize| if reduced[axis] { 1 } else { shape[axis] };
        let dense = [kept(1) * kept(2), kept(2), 1];
        let loops: [usize; 3] = std::array::from_fn(|axis| if reduced[axis] { 0 } else { dense[axis] });
        let mut out = vec![f32::NAN; kept(0) * kept(1) * kept(2)];
        let strides = [shape[1] * shape[2], shape[2], 1];
        let kernel = Reduction::new(&shape, &strides, &loops, 0.0, Closure(|a: f32, b: f32| a + b));
        kernel.cpu(Inputs { tensors: &[x], indices: &[] }, Outputs { tensors: &mut [&mut out], indices: &mut [] });
        out
    }

    /// Every set of axes of (a, b, c), around the lengths of chains, of narrow and long rows, and of runs.
    #[test]
    fn sums_over_any_axes() {
        for shape @ [a, b, c] in [
            [1, 1, 1],
            [3, 17, 2],
            [40, 3, 5],
            [2, 700, 63],
            [33, 100, 64],
            [3, 90, NARROW],
            [1, 1, 20_000],
            [5, 3, LONG],
            [4, 6, LONG + 3],
            [1, 21, TILE + 1],
            [1, 3, PARTS * TILE + 5],
            [300, 2, 40],
            [18, 16, 300],
            [3000, 2, 2],
            [70, 3, 40],
            [2, 5, 100],
        ] {
            let x = noise::<f32>(a * b * c, 1);
            for reduced in (1..8).map(|set| [0, 1, 2].map(|axis| set >> axis & 1 == 1)) {
                let place = |i: usize| {
                    let index = [i / (b * c), i / c % b, i % c];
                    (0..3).filter(|&axis| !reduced[axis]).fold(0, |at, axis| at * shape[axis] + index[axis])
                };
                let n = (0..3).map(|axis| if reduced[axis] { 1 } else { shape[axis] }).product();
                let (mut want, mut size) = (vec![0.0; n], vec![0.0; n]);
                for (i, &x) in x.iter().enumerate() {
                    want[place(i)] += x as f64;
                    size[place(i)] += x.abs() as f64;
                }
                for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                    let sum = || level.scope(|| sum_over(shape, reduced, &x));
                    for (i, got) in sum().into_iter().enumerate() {
                        let error = (got as f64 - want[i]).abs();
                        assert!(error <= 2e-6 * size[i], "{level:?} {shape:?} {reduced:?} {i}: {got}, not {}", want[i]);
                    }
                    same_bits_on_any_threads(sum);
                }
            }
        }
    }

    /// 10⁷ equal terms, of which one long chain loses 6·10⁻³, along every kind of loop.
    #[test]
    fn long_sums_are_right_to_a_millionth() {
        for (shape, reduced) in [
            ([1, 1, 10_000_000], [true; 3]),
            ([1, 10_000_000, 1], [true; 3]),
            ([1, 10_000_000, 2], [true, true, false]),
            ([1, 2, 10_000_000], [true, false, true]),
            ([3_000, 2, 3_000], [true, false, true]),
            ([500_000, 3, 20], [true, false, true]),
            ([3, 1_000_000, 7], [false, true, false]),
            ([1, 200_000, 64], [true, true, false]),
            ([2, 1_000, 2], [false, true, false]),
            ([2, 300, 7], [false, true, false]),
            ([1, 2_000, TILE + 1], [true, true, false]),
        ] {
            let terms: usize = (0..3).map(|axis| if reduced[axis] { shape[axis] } else { 1 }).product();
            for term in [0.1f32, 1.0 / 3.0, 0.7, 1.1] {
                let want = terms as f64 * term as f64;
                for got in sum_over(shape, reduced, &vec![term; shape.iter().product()]) {
                    let error = (got as f64 - want).abs() / want;
                    assert!(error <= 1e-6, "{shape:?} {reduced:?} of {term}: {got}, not {want}: {error:e}");
                }
            }
        }
    }
}
