//! Convolution as matrix products of gathered patches (im2col: Chellapilla, Puri and Simard, "High Performance
//! Convolutional Neural Networks for Document Processing", 2006), a block of pixels at a time.
//!
//! For a block of output pixels, the patches of x that they see are copied into the rows of a matrix, so that
//!
//! ```text
//! y (pixels, K) = patches (pixels, R·S·C) · w (R·S·C, K)        w as it lies in memory
//! dw (R·S·C, K) = Σ_blocks  patchesᵀ (R·S·C, pixels) · dy (pixels, K)
//! ```
//!
//! and likewise per group. The patches of a block stay in the cache and are never all in memory at once.
//!
//! The adjoint in x gathers too, instead of scattering: of the pixels i of dx, those with one remainder modulo the
//! stride (one *phase*) see the taps r with i + padding − r·dilation divisible by the stride, at pixels
//! (i + padding − r·dilation) / stride of dy. Each phase is thus a convolution of dy of stride 1 with some of the
//! taps, and nothing is multiplied in vain. Its weights are those taps of w with C and K exchanged, copied once per
//! call.

use std::ops::Range;

use rayon::prelude::*;

use super::{ConvShape, Epilogue, transposed_matrices};
use crate::kernels::parallel::{PIXELS, Partition, sum_halves};
use crate::kernels::{Buffer, Element, Level, matmul};

/// Elements of gathered patches that one task works on: half a megabyte of f32, half of an L2 cache.
const PATCH_ELEMENTS: usize = 128 * 1024;

/// Pixels per product, at least where there are so many: each product packs its weights anew, and this many rows make
/// that cheap.
const PIXELS_PER_PRODUCT: Range<usize> = 192..1024;

/// Blocks that the output is cut into at least, unless they would have fewer than half of the fewest pixels of a
/// product. Half of [`PARTS`](crate::kernels::parallel::PARTS): here every block packs the weights again, and no sum is
/// cut.
const LEAST_BLOCKS: usize = 8;

/// Partial weight gradients at most. Half of [`PARTS`](crate::kernels::parallel::PARTS), since the taps share out the
/// work as well.
const RANGES: usize = 8;

/// Elements of all partial weight gradients together, at most; there is always one.
const RANGES_ELEMENTS: usize = 1 << 20;

/// How the pixels of an output find their sources along one axis: output t sees, through its tap number i, the source
/// coordinate t·step + offset, where it exists.
#[derive(Clone, Debug)]
struct Axis {
    step: usize,
    /// (index in the kernel, offset), by ascending offset.
    taps: Vec<(usize, isize)>,
}

impl Axis {
    /// Along `axis`: an output of the forward convolution, which sees x.
    fn forward(shape: &ConvShape, axis: usize) -> Axis {
        let offset = |r: usize| (r * shape.dilation[axis]) as isize - shape.padding[axis] as isize;
        Axis { step: shape.stride[axis], taps: (0..shape.kernel[axis]).map(|r| (r, offset(r))).collect() }
    }

    /// Along `axis`: the pixels phase, phase + stride, … of dx, which see dy.
    fn backward(shape: &ConvShape, axis: usize, phase: usize) -> Axis {
        let stride = shape.stride[axis] as isize;
        let distance = |r: usize| (phase + shape.padding[axis]) as isize - (r * shape.dilation[axis]) as isize;
        let taps = (0..shape.kernel[axis]).rev().filter(|&r| distance(r) % stride == 0);
        Axis { step: 1, taps: taps.map(|r| (r, distance(r) / stride)).collect() }
    }

    /// Whether the taps of one output lie side by side in the source.
    fn is_dense(&self) -> bool {
        self.taps.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1)
    }
}

/// What patches are gathered from: (N, height, width, channels).
#[derive(Clone, Copy)]
struct Source<'a, T> {
    values: &'a [T],
    size: [usize; 2],
    channels: usize,
}

impl<T: Element> Source<'_, T> {
    /// Gathers patches (rows · columns, row_taps · column taps · channels): for every (image, t) in `rows` and every
    /// column, what the output pixel sees of the given channels through these row taps and all column taps.
    fn gather(
        &self,
        channels: Range<usize>,
        rows: impl Iterator<Item = (usize, usize)>,
        vertical: (&Axis, &[(usize, isize)]),
        horizontal: &Axis,
        columns: usize,
        patches: &mut [T],
    ) {
        let whole = channels.len() == self.channels && horizontal.is_dense();
        let run = horizontal.taps.len() * channels.len();
        let patch = vertical.1.len() * run;
        for ((image, t), patches) in rows.zip(patches.chunks_exact_mut(columns * patch)) {
            for (i, &(_, offset)) in vertical.1.iter().enumerate() {
                let at = (t * vertical.0.step) as isize + offset;
                let runs = patches.chunks_exact_mut(patch).map(|patch| &mut patch[i * run..][..run]);
                if at < 0 || at >= self.size[0] as isize {
                    runs.for_each(|run| run.fill(T::zero()));
                    continue;
                }
                let row = (image * self.size[0] + at as usize) * self.size[1] * self.channels;
                let row = &self.values[row..][..self.size[1] * self.channels];
                if whole {
                    runs.enumerate().for_each(|(q, run)| self.run_whole(row, horizontal, q, run));
                } else {
                    runs.enumerate().for_each(|(q, run)| self.run_by_taps(row, &channels, horizontal, q, run));
                }
            }
        }
    }

    /// One row of the patch of output column `q`: the taps are neighbours, so that what exists of them is one copy.
    #[inline]
    fn run_whole(&self, row: &[T], axis: &Axis, q: usize, run: &mut [T]) {
        let (c, taps) = (self.channels, axis.taps.len() as isize);
        let first = (q * axis.step) as isize + axis.taps[0].1;
        let low = (-first).clamp(0, taps);
        let high = (self.size[1] as isize - first).clamp(low, taps);
        let (before, rest) = run.split_at_mut(low as usize * c);
        let (inside, after) = rest.split_at_mut((high - low) as usize * c);
        before.fill(T::zero());
        if high > low {
            inside.copy_from_slice(&row[(first + low) as usize * c..][..inside.len()]);
        }
        after.fill(T::zero());
    }

    /// One row of the patch of output column `q`, tap by tap: for dilated kernels and groups.
    #[inline]
    fn run_by_taps(&self, row: &[T], channels: &Range<usize>, axis: &Axis, q: usize, run: &mut [T]) {
        for (run, &(_, offset)) in run.chunks_exact_mut(channels.len()).zip(&axis.taps) {
            let at = (q * axis.step) as isize + offset;
            if at < 0 || at >= self.size[1] as isize {
                run.fill(T::zero());
            } else {
                let pixel = at as usize * self.channels;
                run.copy_from_slice(&row[pixel + channels.start..pixel + channels.end]);
            }
        }
    }
}

/// The output pixels (first + i·step) of an output, and the weights that they see their source through.
struct Phase<'a, T> {
    first: [usize; 2],
    axes: [Axis; 2],
    /// Group g's matrix (taps · source channels, output channels) begins at `g * group_step`, with rows `row` apart.
    weights: &'a [T],
    group_step: usize,
    row: usize,
}

/// An output (N, height, width, channels) that is computed phase by phase.
struct Output {
    size: [usize; 2],
    channels: usize,
    groups: usize,
    /// The number of phases along each axis.
    step: [usize; 2],
}

/// See [`super::conv2d`].
pub fn conv2d<T: Element>(level: Level, shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    let source = Source { values: x, size: shape.input, channels: shape.in_channels };
    let output = Output { size: shape.output, channels: shape.out_channels, groups: shape.groups, step: [1, 1] };
    let axes = [Axis::forward(shape, 0), Axis::forward(shape, 1)];
    let phase = Phase { first: [0, 0], axes, weights: w, group_step: shape.group_out(), row: shape.out_channels };
    output.compute(level, source, &[phase], epilogue, y);
}

/// See [`super::conv2d_input_grad`].
pub fn conv2d_input_grad<T: Element>(
    level: Level,
    shape: &ConvShape,
    dy: &[T],
    w: &[T],
    epilogue: Epilogue<T>,
    dx: &mut [T],
) {
    let source = Source { values: dy, size: shape.output, channels: shape.out_channels };
    let output = Output { size: shape.input, channels: shape.in_channels, groups: shape.groups, step: shape.stride };
    let mut firsts = Vec::new();
    for a in 0..shape.stride[0].min(shape.input[0]) {
        firsts.extend((0..shape.stride[1].min(shape.input[1])).map(|b| [a, b]));
    }
    let axes = |[a, b]: [usize; 2]| [Axis::backward(shape, 0, a), Axis::backward(shape, 1, b)];
    let all_axes: Vec<[Axis; 2]> = firsts.iter().map(|&first| axes(first)).collect();
    let weights = exchange_channels(level, shape, w, &all_axes);
    let mut rest = &weights[..];
    let phases: Vec<Phase<T>> = firsts
        .into_iter()
        .zip(all_axes)
        .map(|(first, axes)| {
            let group_step = axes[0].taps.len() * axes[1].taps.len() * shape.group_in() * shape.group_out();
            let (weights, after) = rest.split_at(group_step * shape.groups);
            rest = after;
            Phase { first, axes, weights, group_step, row: shape.group_in() }
        })
        .collect();
    output.compute(level, source, &phases, epilogue, dx);
}

/// For stride 1 and one group, the patches of dy that the pixels of x see: the taps of the [`adjoint`](super::adjoint)
/// in their order.
pub(super) struct Patches<'a, T> {
    source: Source<'a, T>,
    axes: [Axis; 2],
    size: [usize; 2],
}

impl<'a, T: Element> Patches<'a, T> {
    /// All patches of dy (N, OH, OW, K).
    pub(super) fn of_adjoint(shape: &ConvShape, dy: &'a [T]) -> Patches<'a, T> {
        let source = Source { values: dy, size: shape.output, channels: shape.out_channels };
        Patches { source, axes: [Axis::backward(shape, 0, 0), Axis::backward(shape, 1, 0)], size: shape.input }
    }

    /// The patches (pixels, R·S·K) of some rows of pixels, counted over all images.
    pub(super) fn gather(&self, rows: Range<usize>, patches: &mut [T]) {
        let [vertical, horizontal] = &self.axes;
        let places = rows.map(|row| (row / self.size[0], row % self.size[0]));
        let taps = (vertical, &vertical.taps[..]);
        self.source.gather(0..self.source.channels, places, taps, horizontal, self.size[1], patches);
    }
}

/// The weights (R, S, C/G, K) as the phases need them: for each phase, group and tap a matrix (K/G, C/G).
fn exchange_channels<T: Element>(level: Level, shape: &ConvShape, w: &[T], phases: &[[Axis; 2]]) -> Buffer<T> {
    let mut starts = Vec::new();
    for [vertical, horizontal] in phases {
        for group in 0..shape.groups {
            for &(r, _) in &vertical.taps {
                let tap = |&(s, _): &(usize, isize)| r * shape.kernel[1] + s;
                let start = |s| tap(s) * shape.group_in() * shape.out_channels + group * shape.group_out();
                starts.extend(horizontal.taps.iter().map(start));
            }
        }
    }
    transposed_matrices(level, shape, w, &starts)
}

impl Output {
    /// Computes every pixel of `out` (N, height, width, channels) from `source`; the phases cover all pixels.
    fn compute<T: Element>(
        &self,
        level: Level,
        source: Source<T>,
        phases: &[Phase<T>],
        epilogue: Epilogue<T>,
        out: &mut [T],
    ) {
        if out.is_empty() {
            return;
        }
        let rows = out.len() / (self.size[1] * self.channels);
        let taps = phases.iter().map(|p| p.axes[0].taps.len() * p.axes[1].taps.len()).max().unwrap_or(0);
        let pixels = pixels_per_block(rows * self.size[1] / phases.len(), taps * source.channels / self.groups);
        let rows_per_block = (pixels * phases.len()).div_ceil(self.size[1]).next_multiple_of(self.step[0]);
        out.par_chunks_mut(rows_per_block * self.size[1] * self.channels).enumerate().for_each(|(i, block)| {
            for phase in phases {
                self.compute_block(level, source, phase, i * rows_per_block, block);
            }
            epilogue.apply(level, block);
        });
    }

    /// One phase of the rows of pixels in `block`, the first of which is row `first` counted over all images.
    fn compute_block<T: Element>(
        &self,
        level: Level,
        source: Source<T>,
        phase: &Phase<T>,
        first: usize,
        block: &mut [T],
    ) {
        let row_len = self.size[1] * self.channels;
        // The rows of the block that belong to the phase: (place in the block, image, t).
        let rows: Vec<(usize, usize, usize)> = (0..block.len() / row_len)
            .map(|i| (i, (first + i) / self.size[0], (first + i) % self.size[0]))
            .filter(|(_, _, row)| row % self.step[0] == phase.first[0])
            .map(|(i, image, row)| (i, image, row / self.step[0]))
            .collect();
        let columns = (self.size[1] - phase.first[1]).div_ceil(self.step[1]);
        let places = rows.iter().map(|&(_, image, t)| (image, t));
        if self.step == [1, 1] {
            return self.multiply(level, source, phase, places, columns, block);
        }
        let mut part = Buffer::stale(rows.len() * columns * self.channels);
        self.multiply(level, source, phase, places, columns, &mut part);
        for (&(i, ..), part) in rows.iter().zip(part.chunks_exact(columns * self.channels)) {
            let pixels = block[i * row_len..][..row_len].chunks_exact_mut(self.channels);
            let pixels = pixels.skip(phase.first[1]).step_by(self.step[1]);
            pixels.zip(part.chunks_exact(self.channels)).for_each(|(to, from)| to.copy_from_slice(from));
        }
    }

    /// The pixels (rows, columns, channels) of one phase, densely into `out`.
    fn multiply<T: Element>(
        &self,
        level: Level,
        source: Source<T>,
        phase: &Phase<T>,
        rows: impl ExactSizeIterator<Item = (usize, usize)> + Clone,
        columns: usize,
        out: &mut [T],
    ) {
        let (group_in, group_out) = (source.channels / self.groups, self.channels / self.groups);
        let pixels = rows.len() * columns;
        let [vertical, horizontal] = &phase.axes;
        let run = horizontal.taps.len() * group_in;
        if run * vertical.taps.len() == 0 || pixels == 0 {
            return out.fill(T::zero());
        }
        for group in 0..self.groups {
            let weights = &phase.weights[group * phase.group_step..];
            let out = &mut out[group * group_out..];
            if let Some(start) = self.pixels_as_they_lie(source, phase, rows.clone()) {
                let a = (&source.values[start * source.channels + group * group_in..], [source.channels, 1]);
                let size = [pixels, group_in, group_out];
                matmul::on_this_thread(level, size, a, (weights, [phase.row, 1]), false, out, self.channels);
                continue;
            }
            let together = taps_together(pixels * run, vertical.taps.len());
            let mut patches = Buffer::stale(pixels * together * run);
            for (i, taps) in vertical.taps.chunks(together).enumerate() {
                let patch = taps.len() * run;
                let patches = &mut patches[..pixels * patch];
                let channels = group * group_in..(group + 1) * group_in;
                source.gather(channels, rows.clone(), (vertical, taps), horizontal, columns, patches);
                let weights = (&weights[i * together * run * phase.row..], [phase.row, 1]);
                let size = [pixels, patch, group_out];
                matmul::on_this_thread(level, size, (patches, [patch, 1]), weights, i > 0, out, self.channels);
            }
        }
    }

    /// The first pixel of the source if the output pixels in `rows` see one pixel each, in the order in which these
    /// lie in memory: then there is nothing to gather.
    fn pixels_as_they_lie<T>(
        &self,
        source: Source<T>,
        phase: &Phase<T>,
        mut rows: impl Iterator<Item = (usize, usize)>,
    ) -> Option<usize> {
        let lies = |axis: &Axis| axis.step == 1 && axis.taps.len() == 1 && axis.taps[0].1 == 0;
        let same = self.step == [1, 1] && source.size == self.size && phase.axes.iter().all(lies);
        let (image, t) = rows.next()?;
        same.then_some((image * self.size[0] + t) * self.size[1])
    }
}

/// The pixels that a task takes of `total`, each with a patch of this length.
fn pixels_per_block(total: usize, patch: usize) -> usize {
    let fits = (PATCH_ELEMENTS / patch.max(1)).clamp(PIXELS_PER_PRODUCT.start, PIXELS_PER_PRODUCT.end);
    fits.min(total.div_ceil(LEAST_BLOCKS).max(PIXELS_PER_PRODUCT.start / 2))
}

/// The row taps to gather at once, where one of them takes `elements`.
fn taps_together(elements: usize, taps: usize) -> usize {
    (2 * PATCH_ELEMENTS / elements.max(1)).clamp(1, taps)
}

/// See [`super::conv2d_weight_grad`].
///
/// The work is cut in two ways: the rows of pixels of all images into a few ranges, whose sums are added up in their
/// order, and dw by taps, whose rows of the matrix are independent.
pub fn conv2d_weight_grad<T: Element>(level: Level, shape: &ConvShape, x: &[T], dy: &[T], dw: &mut [T]) {
    if dw.is_empty() {
        return;
    }
    if dy.is_empty() {
        return dw.fill(T::zero());
    }
    let axes = [Axis::forward(shape, 0), Axis::forward(shape, 1)];
    let tasks = tap_blocks(shape, axes);
    let (each, rows) = (dw.len() / tasks.len(), shape.batch * shape.output[0]);
    let most = (rows * shape.output[1] / PIXELS_PER_PRODUCT.start).max(1);
    let ranges = (RANGES_ELEMENTS / dw.len()).clamp(1, RANGES).min(most);
    let source = Source { values: x, size: shape.input, channels: shape.in_channels };
    let of_rows = |range: Range<usize>, dw: &mut [T]| {
        let parts = dw.par_chunks_mut(each).zip(&tasks);
        parts.for_each(|(part, taps)| weight_grad_block(level, shape, source, taps, dy, range.clone(), part));
    };
    let most = (PIXELS / shape.output[1]).max(1);
    Partition::of(rows, rows.div_ceil(ranges))
        .sum_into(level, dw, |range, dw| sum_halves(level, range, most, dw, &of_rows));
}

/// The taps in blocks of one size, in the order of memory: fine enough to share the work, and no finer than gives
/// products of some 100 rows.
fn tap_blocks(shape: &ConvShape, [vertical, horizontal]: [Axis; 2]) -> Vec<[Axis; 2]> {
    let single =
        |axis: &Axis| -> Vec<Axis> { axis.taps.iter().map(|&tap| Axis { step: axis.step, taps: vec![tap] }).collect() };
    if shape.group_in() >= 128 {
        let columns = single(&horizontal);
        single(&vertical).iter().flat_map(|r| columns.iter().map(|s| [r.clone(), s.clone()])).collect()
    } else if shape.group_in() * shape.kernel[1] >= 128 {
        single(&vertical).into_iter().map(|r| [r, horizontal.clone()]).collect()
    } else {
        vec![[vertical, horizontal]]
    }
}

/// dw (taps, C/G, K) of a block of taps, summed over the rows `range` of dy counted over all images.
fn weight_grad_block<T: Element>(
    level: Level,
    shape: &ConvShape,
    source: Source<T>,
    [vertical, horizontal]: &[Axis; 2],
    dy: &[T],
    range: Range<usize>,
    dw: &mut [T],
) {
    let (group_in, group_out, k) = (shape.group_in(), shape.group_out(), shape.out_channels);
    let columns = shape.output[1];
    let patch = vertical.taps.len() * horizontal.taps.len() * group_in;
    let pixels = (PATCH_ELEMENTS / patch).clamp(PIXELS_PER_PRODUCT.start, PIXELS_PER_PRODUCT.end);
    let rows_per_block = pixels.div_ceil(columns).min(range.len());
    let mut patches = Buffer::stale(rows_per_block * columns * patch);
    for group in 0..shape.groups {
        for first in range.clone().step_by(rows_per_block) {
            let rows = first..(first + rows_per_block).min(range.end);
            let pixels = rows.len() * columns;
            let patches = &mut patches[..pixels * patch];
            let channels = group * group_in..(group + 1) * group_in;
            let places = rows.map(|row| (row / shape.output[0], row % shape.output[0]));
            source.gather(channels, places, (vertical, &vertical.taps), horizontal, columns, patches);
            let dy = (&dy[first * columns * k + group * group_out..], [k, 1]);
            let size = [patch, pixels, group_out];
            let accumulate = first > range.start;
            matmul::on_this_thread(level, size, (patches, [1, patch]), dy, accumulate, &mut dw[group * group_out..], k);
        }
    }
}
