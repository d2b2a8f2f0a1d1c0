//! Batch normalisation over a (rows, channels) matrix in row-major memory, which is what channels-last maps are.
//!
//! Sums over the rows are taken in two levels. A chunk of rows that fits the L1 cache is summed in the tensor's own
//! type; chunks are combined in `f64`, in a fixed order inside blocks whose number depends on the sizes alone.

use rayon::prelude::*;

use super::{Element, Level, map};

/// At most this many blocks, each a task.
const BLOCKS: usize = 16;

/// Elements in a chunk of rows: 16 KiB of f32, so that a second look at it finds it in the L1 cache.
const CHUNK: usize = 4096;

/// Mean and biased variance of every channel.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Σ x / n.
    pub mean: Vec<f64>,
    /// Σ (x − mean)² / n.
    pub var: Vec<f64>,
}

/// The mean and the biased variance of each column of x, which has at least one row.
///
/// Each chunk is read twice, the second time from the cache, for its own mean and its squared deviations from that;
/// chunks are combined by the formula of Chan, Golub and LeVeque (1979). So nothing cancels, however far the values
/// are from 0 and wherever their mean drifts to. What rounding leaves of Σ (x − mean) corrects both.
pub fn moments<T: Element>(x: &[T], channels: usize) -> Moments {
    let start = || Running { n: 0.0, mean: vec![0.0; channels], m2: vec![0.0; channels] };
    let parts = over_blocks(
        x.len(),
        channels,
        #[inline(always)]
        |range, chunk| {
            let mut all = start();
            let mut mean = vec![T::zero(); channels];
            let mut sums = (vec![T::zero(); channels], vec![T::zero(); channels]);
            for x in x[range].chunks(chunk) {
                all.add_chunk(x, &mut mean, &mut sums);
            }
            all
        },
    );
    let all = parts.into_iter().fold(start(), |mut all, part| {
        all.combine(part.n, |c| (part.mean[c], part.m2[c]));
        all
    });
    Moments { mean: all.mean, var: all.m2.iter().map(|m2| m2 / all.n).collect() }
}

/// Number, mean, and sum of squared deviations from it, of the rows so far.
struct Running {
    n: f64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl Running {
    #[inline(always)]
    fn add_chunk<T: Element>(&mut self, x: &[T], mean: &mut [T], (d1, d2): &mut (Vec<T>, Vec<T>)) {
        let channels = mean.len();
        let n = (x.len() / channels) as f64;
        [&mut *mean, d1, d2].into_iter().for_each(|sums| sums.fill(T::zero()));
        for row in x.chunks_exact(channels) {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
        }
        let scale = T::of(1.0 / n);
        mean.iter_mut().for_each(|mean| *mean *= scale);
        for row in x.chunks_exact(channels) {
            for (((d1, d2), &mean), &x) in d1.iter_mut().zip(d2.iter_mut()).zip(mean.iter()).zip(row) {
                let d = x - mean;
                *d1 += d;
                *d2 += d * d;
            }
        }
        self.combine(n, |c| {
            let (d1, d2) = (d1[c].f64(), d2[c].f64());
            (mean[c].f64() + d1 / n, d2 - d1 * (d1 / n))
        });
    }

    #[inline(always)]
    fn combine(&mut self, n: f64, part: impl Fn(usize) -> (f64, f64)) {
        let total = self.n + n;
        let (share, cross) = (n / total, self.n * (n / total));
        for (c, (mean, m2)) in self.mean.iter_mut().zip(&mut self.m2).enumerate() {
            let (part_mean, part_m2) = part(c);
            let delta = part_mean - *mean;
            *mean += delta * share;
            *m2 += part_m2 + delta * delta * cross;
        }
        self.n = total;
    }
}

/// y = (x − mean)·scale + shift, with one of each for every column.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, T> {
    /// What is taken off.
    pub mean: &'a [T],
    /// The factor.
    pub scale: &'a [T],
    /// What is added.
    pub shift: &'a [T],
}

impl<T: Element> Affine<'_, T> {
    #[inline(always)]
    fn of(&self, column: usize, x: T) -> T {
        (x - self.mean[column]) * self.scale[column] + self.shift[column]
    }

    /// The gradient that reaches y: `g`, or with a ReLU behind y only where y is positive.
    #[inline(always)]
    fn gated<const RELU: bool>(&self, column: usize, x: T, g: T) -> T {
        if RELU {
            // Both sides computed: with a branch for each element the sums took 5.5 % of a step instead of 0.7 %.
            let y = self.of(column, x);
            if y > T::zero() { g } else { T::zero() }
        } else {
            g
        }
    }

    /// The same as slices of one length, which the compiler then knows.
    #[inline(always)]
    fn columns(&self) -> Self {
        let n = self.mean.len();
        Affine { mean: &self.mean[..n], scale: &self.scale[..n], shift: &self.shift[..n] }
    }
}

/// `out = y`, or max(y, 0), by columns.
pub fn normalize<T: Element, const RELU: bool>(out: &mut [T], x: &[T], affine: &Affine<T>) {
    let n = affine.mean.len();
    by_rows(
        out,
        n,
        #[inline(always)]
        |start, y| {
            let affine = affine.columns();
            for (y, x) in y.chunks_exact_mut(n).zip(x[start..].chunks_exact(n)) {
                for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                    let value = affine.of(i, x);
                    // Not `max`, which would turn NaN to 0.
                    *y = if RELU && value <= T::zero() { T::zero() } else { value };
                }
            }
        },
    );
}

/// Σ x of each column, every element added in `f64`: where terms cancel, the sum is 0 and not what rounding leaves.
pub fn sums<T: Element>(x: &[T], channels: usize) -> Vec<f64> {
    // Short rows side by side, so that an addition does not wait for the one before it.
    let wide = channels * (64 / channels.max(1)).max(1);
    let parts = over_blocks(
        x.len(),
        channels,
        #[inline(always)]
        |range, _| {
            let mut all = vec![0.0; wide];
            let rows = x[range].chunks_exact(wide);
            let rest = rows.remainder();
            rows.chain([rest]).for_each(|row| all.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.f64()));
            all
        },
    );
    let mut all = vec![0.0; channels];
    for row in parts.iter().flat_map(|part| part.chunks_exact(channels)) {
        all.iter_mut().zip(row).for_each(|(all, sum)| *all += sum);
    }
    all
}

/// `(Σ g, Σ g·(x − mean))` of each column, where with a ReLU behind y only the g of positive y count.
pub fn gradient_sums<T: Element, const RELU: bool>(x: &[T], g: &[T], affine: &Affine<T>) -> (Vec<f64>, Vec<f64>) {
    let channels = affine.mean.len();
    let start = || (vec![0.0; channels], vec![0.0; channels]);
    let parts = over_blocks(
        x.len(),
        channels,
        #[inline(always)]
        |range, chunk| {
            let affine = affine.columns();
            let mut all = start();
            let (mut sum, mut dot) = (vec![T::zero(); channels], vec![T::zero(); channels]);
            for (x, g) in x[range.clone()].chunks(chunk).zip(g[range].chunks(chunk)) {
                sum.fill(T::zero());
                dot.fill(T::zero());
                for (x, g) in x.chunks_exact(channels).zip(g.chunks_exact(channels)) {
                    let (sum, dot) = (&mut sum[..channels], &mut dot[..channels]);
                    for i in 0..channels {
                        let g = affine.gated::<RELU>(i, x[i], g[i]);
                        sum[i] += g;
                        dot[i] += g * (x[i] - affine.mean[i]);
                    }
                }
                all.0.iter_mut().zip(&sum).for_each(|(all, sum)| *all += sum.f64());
                all.1.iter_mut().zip(&dot).for_each(|(all, dot)| *all += dot.f64());
            }
            all
        },
    );
    parts.into_iter().fold(start(), |mut all, part| {
        all.0.iter_mut().zip(&part.0).for_each(|(all, part)| *all += part);
        all.1.iter_mut().zip(&part.1).for_each(|(all, part)| *all += part);
        all
    })
}

/// `out = a·g + b·(x − mean) + c` by columns, with g as in [`gradient_sums`].
pub fn input_gradient<T: Element, const RELU: bool>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    affine: &Affine<T>,
    [a, b, c]: [&[T]; 3],
) {
    let n = affine.mean.len();
    by_rows(
        out,
        n,
        #[inline(always)]
        |start, out| {
            let affine = affine.columns();
            let inputs = x[start..].chunks_exact(n).zip(g[start..].chunks_exact(n));
            for (out, (x, g)) in out.chunks_exact_mut(n).zip(inputs) {
                let (x, g, a, b, c) = (&x[..n], &g[..n], &a[..n], &b[..n], &c[..n]);
                for (i, out) in out.iter_mut().enumerate() {
                    *out = a[i] * affine.gated::<RELU>(i, x[i], g[i]) + (b[i] * (x[i] - affine.mean[i]) + c[i]);
                }
            }
        },
    );
}

/// Runs `f(range of elements, chunk)` on fixed blocks of whole rows; the results are in the order of the blocks.
fn over_blocks<R: Send>(len: usize, channels: usize, f: impl Fn(std::ops::Range<usize>, usize) -> R + Sync) -> Vec<R> {
    if len == 0 {
        return Vec::new();
    }
    let level = Level::current();
    let chunk = (CHUNK / channels).clamp(16, 256) * channels;
    let block = (map::CHUNK / channels).max((len / channels).div_ceil(BLOCKS)).max(1) * channels;
    let run = |i: usize| {
        level.vectorize(
            #[inline(always)]
            || f(i * block..len.min((i + 1) * block), chunk),
        )
    };
    match len.div_ceil(block) {
        1 => vec![run(0)],
        blocks => (0..blocks).into_par_iter().map(run).collect(),
    }
}

/// Runs `f(start, rows)` on fixed parts of the output, in parallel.
fn by_rows<T: Element>(out: &mut [T], channels: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    let part = (map::CHUNK / channels).max(1) * channels;
    map::for_chunks(out, part, |start, part| {
        level.vectorize(
            #[inline(always)]
            || f(start, part),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::super::matmul::tests::{noise, same_bits_on_any_threads};
    use super::*;

    #[test]
    fn sums_are_those_of_the_columns() {
        for channels in [1, 2, 3, 17, 63, 64, 65, 200] {
            for rows in [0, 1, 2, 20, 63, 64, 65, 5_000] {
                let x = noise::<f32>(rows * channels, 1);
                for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                    let got = level.scope(|| sums(&x, channels));
                    assert_eq!(got.len(), channels);
                    for (c, got) in got.into_iter().enumerate() {
                        let want: f64 = x.iter().skip(c).step_by(channels).map(|&x| x as f64).sum();
                        assert!((got - want).abs() <= 1e-12 * rows as f64, "{level:?} {rows}×{channels} column {c}");
                    }
                }
                if rows == 5_000 {
                    same_bits_on_any_threads(|| sums(&x, channels));
                }
            }
        }
        assert!(sums::<f32>(&[], 0).is_empty());
    }
}
