//! Softmax and its logarithm along one axis, a row at a time, and the gradient of softmax.
//!
//! Rows are independent and each belongs to one task, so the bits do not depend on the threads. Where the axis is the
//! memory's innermost a row is a slice; elsewhere `inner` rows lie side by side and are worked on together.

use super::by_element::Closure;
#[cfg(feature = "opencl")]
use super::device::{Operand, Operands, Unsupported};
use super::formulas::Sum;
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::matmul::dot;
#[cfg(feature = "opencl")]
use super::opencl::{Launch, Queue, Source};
use super::parallel::{TASK, for_chunks};
use super::reduce::{reduce_exactly, reduce_run};
use super::{Element, Level, around::Around, fetch};

/// y = exp(x − max − ln Σ exp(x − max)) along an axis, or the exponent of that if `log`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// x and y around the axis.
    pub around: Around,
    /// Whether the logarithm is wanted.
    pub log: bool,
}

compile!(Softmax, SoftmaxGradient);

impl<T: Element> Kernel<T> for Softmax {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [y]) = (inputs.tensors(), outputs.tensors());
        softmax(y, x, self.around, self.log);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([x], [y]) = (inputs.tensors(), outputs.tensors());
        run_on_device::<T>(queue, ("softmax", self.log), self.around, &[x, y])
    }
}

/// The gradient of x, y ⊙ (g − Σ y ⊙ g) along an axis, from the softmax y and its gradient g.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxGradient {
    /// y and g around the axis.
    pub around: Around,
}

impl<T: Element> Kernel<T> for SoftmaxGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([y, g], [out]) = (inputs.tensors(), outputs.tensors());
        softmax_backward(out, y, g, self.around);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([y, g], [out]) = (inputs.tensors(), outputs.tensors());
        run_on_device::<T>(queue, ("gradient", false), self.around, &[y, g, out])
    }
}

#[cfg(feature = "opencl")]
const SOFTMAX: Source = Source { name: "softmax", text: include_str!("softmax.cl") };

/// A kernel of `softmax.cl`, compiled for the logarithm or not.
#[cfg(feature = "opencl")]
fn run_on_device<T: Element>(
    queue: &Queue,
    (kernel, log): (&'static str, bool),
    around: Around,
    operands: &[Operand<'_>],
) -> Result<(), Unsupported> {
    let Around { outer, extent, inner } = around;
    let (info, rows) = (queue.info(), outer * inner);
    // The work-items of a row, and the lanes of their vectors. A GPU shares out rows that lie together, or that are too
    // few for it; where rows lie side by side, or are short, a work-item takes one.
    let (width, lanes) = match inner {
        1 if info.is_cpu => (1, 16),
        _ if info.is_cpu || extent <= 16 || (inner > 1 && rows >= 4096) => (1, 1),
        _ => (64, 1),
    };
    let launch = Launch::<T>::new(queue, SOFTMAX, kernel);
    let launch = launch.define(&["WIDTH", "LANES", "LOG"], [width, lanes, log as usize]);
    let launch = launch.operands(operands).each([rows, extent, inner]);
    match width {
        _ if extent == 0 => Ok(()),
        1 => launch.over([rows, 1, 1]),
        _ => launch.groups([rows, 1, 1], [width, 1, 1]),
    }
}

/// `out = exp(x − max − ln Σ exp(x − max))` along the axis, or the exponent of that if `log`.
pub fn softmax<T: Element>(out: &mut [T], x: &[T], around: Around, log: bool) {
    let fused = Level::current().has_fma();
    blocks(
        out,
        around,
        #[inline(always)]
        |start, y| {
            let x = &x[start..start + y.len()];
            match (around.inner, fused) {
                (1, true) => row::<T, true>(y, x, log),
                (1, false) => row::<T, false>(y, x, log),
                (inner, true) => rows::<T, true>(y, x, inner, log),
                (inner, false) => rows::<T, false>(y, x, inner, log),
            }
        },
    );
}

/// The gradient of softmax: `out = y ⊙ (g − Σ y ⊙ g)` along the axis.
pub fn softmax_backward<T: Element>(out: &mut [T], y: &[T], g: &[T], around: Around) {
    let inner = around.inner;
    blocks(
        out,
        around,
        #[inline(always)]
        |start, out| {
            let (y, g) = (&y[start..start + out.len()], &g[start..start + out.len()]);
            if inner == 1 {
                let product = dot(y, g);
                for i in 0..out.len() {
                    out[i] = y[i] * (g[i] - product);
                }
                return;
            }
            let mut totals = Totals::<T>::new(inner);
            for (y, g) in y.chunks_exact(inner).zip(g.chunks_exact(inner)) {
                let dot = totals.row();
                for i in 0..inner {
                    dot[i] += y[i] * g[i];
                }
            }
            let dot = totals.sums();
            for ((out, y), g) in out.chunks_exact_mut(inner).zip(y.chunks_exact(inner)).zip(g.chunks_exact(inner)) {
                for i in 0..inner {
                    out[i] = y[i] * (g[i] - dot[i]);
                }
            }
        },
    );
}

/// Sums of columns: of a few rows in the tensor's own type, of these in `f64`.
struct Totals<T> {
    rows: usize,
    few: Vec<T>,
    all: Vec<f64>,
}

impl<T: Element> Totals<T> {
    fn new(columns: usize) -> Totals<T> {
        Totals { rows: 0, few: vec![T::zero(); columns], all: vec![0.0; columns] }
    }

    /// What the next row is added to.
    #[inline(always)]
    fn row(&mut self) -> &mut [T] {
        const ROWS: usize = 64;
        if self.rows == ROWS {
            self.take();
        }
        self.rows += 1;
        &mut self.few
    }

    fn take(&mut self) {
        self.all.iter_mut().zip(&mut self.few).for_each(|(all, few)| *all += std::mem::take(few).f64());
        self.rows = 0;
    }

    fn sums(mut self) -> Vec<T> {
        self.take();
        self.all.into_iter().map(T::of).collect()
    }
}

/// Runs `f(start, part)` on every (extent, inner) part of the output; for `f` see [`Level::vectorize`].
fn blocks<T: Element>(out: &mut [T], around: Around, f: impl Fn(usize, &mut [T]) + Sync) {
    let block = around.extent * around.inner;
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    for_chunks(out, (TASK / block).max(1) * block, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for (i, y) in part.chunks_exact_mut(block).enumerate() {
                    f(start + i * block, y);
                }
            },
        );
    });
}

/// Elements of a row whose sum is taken by itself, so that no addition follows on many others.
const PIECE: usize = 1024;

/// Elements of a row that are computed together. On one thread of a Zen 4, with 16 / 32 / 64 of them: rows of 512
/// elements 18 / 22 / 20 GB/s, of 8192 elements 17 / 18 / 18.
const TOGETHER: usize = 32;

/// Lengths of rows that are fetched ahead: a row has to stay in the L2 cache until it is computed, and short ones the
/// processor foresees by itself. One thread of a Zen 4, without / with it: 512 elements 19 / 17 GB/s, 8192 elements
/// 9.5 / 11.
const AHEAD: std::ops::RangeInclusive<usize> = 2048..=1 << 15;

#[inline(always)]
fn row<T: Element, const FUSED: bool>(y: &mut [T], x: &[T], log: bool) {
    let max = reduce_exactly::<T, TOGETHER>(
        x,
        Closure(
            #[inline(always)]
            |max, x| if x > max { x } else { max },
        ),
    );
    // The next row, while this one is computed.
    let ahead = AHEAD.contains(&x.len()).then_some(x.len());
    let mut sum = T::zero();
    for (i, y) in y.chunks_mut(PIECE).enumerate() {
        sum += exponentials::<T, FUSED>(y, &x[i * PIECE..], max, ahead);
    }
    if log {
        let ln = sum.ln();
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - ln);
    } else {
        let scale = T::one() / sum;
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

/// y = exp(x − max), and Σ y. Fetches what lies `ahead` elements further on.
#[inline(always)]
fn exponentials<T: Element, const FUSED: bool>(y: &mut [T], x: &[T], max: T, ahead: Option<usize>) -> T {
    let (parts, rest) = y.as_chunks_mut::<TOGETHER>();
    let mut sums = [T::zero(); TOGETHER];
    for (k, y) in parts.iter_mut().enumerate() {
        let part: &[T; TOGETHER] = x[k * TOGETHER..].first_chunk().expect("x as long as y");
        if let Some(ahead) = ahead {
            for line in (0..TOGETHER).step_by(64 / size_of::<T>()) {
                fetch::ahead(part.as_ptr().wrapping_add(ahead + line));
            }
        }
        for i in 0..TOGETHER {
            let e = (part[i] - max).exp_of_negative::<FUSED>();
            y[i] = e;
            sums[i] += e;
        }
    }
    let mut sum = reduce_run::<T, TOGETHER>(&sums, Sum);
    for (y, &x) in rest.iter_mut().zip(&x[parts.len() * TOGETHER..]) {
        *y = (x - max).exp_of_negative::<FUSED>();
        sum += *y;
    }
    sum
}

#[inline(always)]
fn rows<T: Element, const FUSED: bool>(y: &mut [T], x: &[T], inner: usize, log: bool) {
    let mut max = vec![T::of(f64::NEG_INFINITY); inner];
    for x in x.chunks_exact(inner) {
        max.iter_mut().zip(x).for_each(|(max, &x)| *max = if x > *max { x } else { *max });
    }
    let mut totals = Totals::<T>::new(inner);
    for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)) {
        let sum = totals.row();
        for i in 0..inner {
            let e = (x[i] - max[i]).exp_of_negative::<FUSED>();
            sum[i] += e;
            y[i] = if log { x[i] - max[i] } else { e };
        }
    }
    let mut sum = totals.sums();
    sum.iter_mut().for_each(|sum| *sum = if log { sum.ln() } else { T::one() / *sum });
    for y in y.chunks_exact_mut(inner) {
        y.iter_mut().zip(&sum).for_each(|(y, &sum)| if log { *y -= sum } else { *y *= sum });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    /// Against f64, with rows on either side of [`TOGETHER`] and of [`AHEAD`].
    #[test]
    fn rows_of_any_length_at_every_level() {
        let shapes = [31, 32, 33, 100, 2100].into_iter().flat_map(|n| [[20, n, 1], [2, n, 3]]);
        for [outer, extent, inner] in shapes.chain([[60, 100, 3]]) {
            let around = Around { outer, extent, inner };
            let x: Vec<f32> = noise::<f32>(around.size(), 1).into_iter().map(|x| 5.0 * x).collect();
            let g = noise::<f32>(x.len(), 2);
            let places = |o: usize, i: usize| (0..extent).map(move |e| (o * extent + e) * inner + i);
            for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                let run = || {
                    level.scope(|| {
                        let mut out = [(); 3].map(|_| vec![f32::NAN; x.len()]);
                        softmax(&mut out[0], &x, around, false);
                        softmax(&mut out[1], &x, around, true);
                        let y = out[0].clone();
                        softmax_backward(&mut out[2], &y, &g, around);
                        out.concat()
                    })
                };
                let got = run();
                for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                    let sum: f64 = places(o, i).map(|at| (x[at] as f64).exp()).sum();
                    let y = |at: usize| (x[at] as f64).exp() / sum;
                    let dot: f64 = places(o, i).map(|at| y(at) * g[at] as f64).sum();
                    for at in places(o, i) {
                        let want = [y(at), y(at).ln(), y(at) * (g[at] as f64 - dot)];
                        for (k, want) in want.into_iter().enumerate() {
                            let (got, scale) = (got[k * x.len() + at] as f64, [y(at), 10.0, y(at)][k]);
                            assert!((got - want).abs() <= 2e-6 * scale, "{level:?} {around:?} {k}: {got}, not {want}");
                        }
                    }
                }
                same_bits_on_any_threads(run);
            }
        }
    }

    /// In the first elements of a row, among later ones and in the rest.
    #[test]
    fn special_values_anywhere_in_a_row() {
        let around = Around { outer: 1, extent: 70, inner: 1 };
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            let of = |x: &[f32]| {
                let mut y = vec![0.0; 70];
                level.scope(|| softmax(&mut y, x, around, false));
                y
            };
            for at in [0, 40, 69] {
                let with = |value: f32| (0..70).map(|i| if i == at { value } else { 1.0 }).collect::<Vec<f32>>();
                assert!(of(&with(f32::NAN)).iter().all(|y| y.is_nan()), "{level:?}: NaN at {at}");
                assert!(of(&with(f32::INFINITY)).iter().all(|y| y.is_nan()), "{level:?}: ∞ at {at}");
                let masked = of(&with(f32::NEG_INFINITY));
                assert!((0..70).all(|i| (masked[i] == 0.0) == (i == at)), "{level:?}: −∞ at {at}: {masked:?}");
            }
            assert!(of(&[f32::NEG_INFINITY; 70]).iter().all(|y| y.is_nan()), "{level:?}: only −∞");
        }
    }
}
