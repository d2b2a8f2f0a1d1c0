//! Batch normalisation over a (rows, channels) matrix in row-major memory, which is what channels-last maps are.
//!
//! Sums over the rows are taken in two levels. A chunk of rows is summed in the tensor's own type; chunks are combined
//! in `f64`, in a fixed order inside blocks whose number depends on the sizes alone.

use super::parallel::{Partition, TASK, for_chunks};
use super::{Element, Level, fetch};

/// Rows that are summed in the tensor's own type: few, so that little is lost by rounding.
const ROWS: usize = 64;

/// Columns that are worked on together: four vectors of AVX-512 in f32.
const WIDE: usize = 64;

/// Columns that are worked on together where fewer than [`WIDE`] are left: a vector of AVX-512 in f32.
const NARROW: usize = 16;

/// Rows of more than [`WIDE`] columns in a band, which is brought to the cache in memory's order and then summed column
/// by column, so that sums are seldom read and written.
const BAND: usize = 4;

/// The bands of a chunk in which rows are summed. Rows of up to [`WIDE`] columns are read almost in memory's order
/// anyway, at most a few times from the L1 cache: one band.
#[inline(always)]
fn bands<T: Element>(x: &[T], channels: usize) -> impl Iterator<Item = &[T]> {
    let rows = if channels > WIDE { BAND } else { x.len() / channels };
    x.chunks(rows * channels)
}

/// Brings a band to the cache, if its columns are summed one after another.
#[inline(always)]
fn fetch<T: Element>(band: &[T], channels: usize) {
    if channels > WIDE {
        fetch::in_order(band);
    }
}

/// Runs the body for the columns in groups of 64, with `$lanes` a constant of 64, then in groups of 16, then for the
/// columns that are left, one by one.
///
/// Inside, a group of columns of a row is read into an array ([`lanes`]), and one plain loop works on the arrays. Other
/// forms made the sums of gradients two to six times as slow: on slices, the compiler checks in every row whether they
/// overlap, and uses no vectors for short rows; of several loops in a row it makes vectors of odd widths; closures it
/// compiles without the instructions of the level.
macro_rules! by_lanes {
    ($columns:expr, |$at:ident, $lanes:ident| $body:expr) => {{
        let (wide, whole) = ($columns / WIDE * WIDE, $columns / NARROW * NARROW);
        for $at in (0..wide).step_by(WIDE) {
            const $lanes: usize = WIDE;
            $body
        }
        for $at in (wide..whole).step_by(NARROW) {
            const $lanes: usize = NARROW;
            $body
        }
        for $at in whole..$columns {
            const $lanes: usize = 1;
            $body
        }
    }};
}

/// `L` elements from `at` on.
#[inline(always)]
fn lanes<T: Element, const L: usize>(row: &[T], at: usize) -> [T; L] {
    *row[at..].first_chunk().expect("as many columns in every row")
}

/// Writes `L` elements from `at` on.
#[inline(always)]
fn store<T: Element, const L: usize>(row: &mut [T], at: usize, values: [T; L]) {
    *row[at..].first_chunk_mut().expect("as many columns in every row") = values;
}

/// Mean and biased variance of every channel.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Σ x / n.
    pub mean: Vec<f64>,
    /// Σ (x − mean)² / n.
    pub variance: Vec<f64>,
}

/// The mean and the biased variance of each column of x, which has at least one row.
///
/// One pass. In a chunk of n rows the sums are those of d = x − x₀ and d², with x₀ the chunk's first row: the mean is
/// x₀ + Σ d / n, and the squared deviations from it M = Σ d² − (Σ d)²/n. However far the values are from 0 and wherever
/// their mean drifts to, little cancels: x₀ is one of the values, so that (x₀ − mean)² ≤ M, and Σ d² = M + n·(x₀ −
/// mean)² is at most (n + 1)·M, commonly 2·M; at the very worst that loses 2.5·10⁻⁴ of M in f32. Chunks are combined by
/// the formula of Chan, Golub and LeVeque (1979).
///
/// Where there are no more rows than a chunk has, or d² leaves the range of T, the sums are taken in `f64`.
pub fn moments<T: Element>(x: &[T], channels: usize) -> Moments {
    if x.len() > ROWS * channels {
        let moments = moments_in::<T, T>(x, channels);
        if moments.variance.iter().all(|variance| variance.is_finite()) {
            return moments;
        }
    }
    moments_in::<T, f64>(x, channels)
}

/// [`moments`] with the sums of a chunk in `A`.
fn moments_in<T: Element, A: Element>(x: &[T], channels: usize) -> Moments {
    let start = || Running { n: 0.0, mean: vec![0.0; channels], m2: vec![0.0; channels] };
    let parts = over_ranges(
        x.len(),
        channels,
        #[inline(always)]
        |range, chunk| {
            let (mut all, mut part) = (start(), start());
            let (mut sum, mut squares) = (vec![A::zero(); channels], vec![A::zero(); channels]);
            for x in x[range].chunks(chunk) {
                let first = &x[..channels];
                for band in bands(x, channels) {
                    fetch(band, channels);
                    by_lanes!(channels, |at, L| add_deviations::<T, A, L>(at, band, first, (&mut sum, &mut squares)));
                }
                part.n = (x.len() / channels) as f64;
                by_lanes!(channels, |at, L| part.take::<T, A, L>(at, first, (&mut sum, &mut squares)));
                all.combine(&part);
            }
            all
        },
    );
    let all = parts.into_iter().fold(start(), |mut all, part| {
        all.combine(&part);
        all
    });
    Moments { mean: all.mean, variance: all.m2.iter().map(|m2| m2 / all.n).collect() }
}

/// Number of some rows, their mean, and the sum of their squared deviations from it.
struct Running {
    n: f64,
    mean: Vec<f64>,
    m2: Vec<f64>,
}

impl Running {
    /// Mean and squared deviations in `L` columns of `n` rows, from Σ d and Σ d² as in [`moments`], which are 0 after
    /// that.
    #[inline(always)]
    fn take<T: Element, A: Element, const L: usize>(
        &mut self,
        at: usize,
        first: &[T],
        (sum, squares): (&mut [A], &mut [A]),
    ) {
        let (first, d1, d2) = (lanes::<T, L>(first, at), lanes::<A, L>(sum, at), lanes::<A, L>(squares, at));
        let n = self.n;
        let (mut mean, mut m2) = ([0.0; L], [0.0; L]);
        for i in 0..L {
            let (d1, d2) = (d1[i].f64(), d2[i].f64());
            mean[i] = first[i].f64() + d1 / n;
            m2[i] = d2 - d1 * (d1 / n);
        }
        store(&mut self.mean, at, mean);
        store(&mut self.m2, at, m2);
        store(sum, at, [A::zero(); L]);
        store(squares, at, [A::zero(); L]);
    }

    #[inline(always)]
    fn combine(&mut self, part: &Running) {
        let total = self.n + part.n;
        let (share, cross) = (part.n / total, self.n * (part.n / total));
        by_lanes!(self.mean.len(), |at, L| {
            let (mut mean, mut m2) = (lanes::<f64, L>(&self.mean, at), lanes::<f64, L>(&self.m2, at));
            let (part_mean, part_m2) = (lanes::<f64, L>(&part.mean, at), lanes::<f64, L>(&part.m2, at));
            for i in 0..L {
                let delta = part_mean[i] - mean[i];
                mean[i] += delta * share;
                m2[i] += part_m2[i] + delta * delta * cross;
            }
            store(&mut self.mean, at, mean);
            store(&mut self.m2, at, m2);
        });
        self.n = total;
    }
}

/// Adds Σ d and Σ d² of `L` columns, with d = x − `from`.
#[inline(always)]
fn add_deviations<T: Element, A: Element, const L: usize>(
    at: usize,
    x: &[T],
    from: &[T],
    (sums, squares): (&mut [A], &mut [A]),
) {
    let from = lanes::<T, L>(from, at);
    let (mut sum, mut square) = (lanes::<A, L>(sums, at), lanes::<A, L>(squares, at));
    for row in x.chunks_exact(sums.len()) {
        let row = lanes::<T, L>(row, at);
        for i in 0..L {
            let d = A::of(row[i].f64()) - A::of(from[i].f64());
            sum[i] += d;
            square[i] += d * d;
        }
    }
    store(sums, at, sum);
    store(squares, at, square);
}

/// Adds the sums of `L` columns of x, in `f64`.
#[inline(always)]
fn add_columns<T: Element, const L: usize>(at: usize, x: &[T], sums: &mut [f64]) {
    let mut sum = lanes::<f64, L>(sums, at);
    for row in x.chunks_exact(sums.len()) {
        let row = lanes::<T, L>(row, at);
        for i in 0..L {
            sum[i] += row[i].f64();
        }
    }
    store(sums, at, sum);
}

/// y = (x − mean)·scale + shift, with one of each for every column.
#[derive(Clone, Copy, Debug)]
pub struct ChannelAffine<'a, T> {
    /// What is taken off.
    pub mean: &'a [T],
    /// The factor.
    pub scale: &'a [T],
    /// What is added.
    pub shift: &'a [T],
}

/// The numbers of [`ChannelAffine`] for `L` columns.
struct Columns<T, const L: usize> {
    mean: [T; L],
    scale: [T; L],
    shift: [T; L],
}

impl<T: Element, const L: usize> Columns<T, L> {
    /// x − mean, and y, for one x of column `i`.
    #[inline(always)]
    fn of(&self, i: usize, x: T) -> (T, T) {
        let centred = x - self.mean[i];
        (centred, centred * self.scale[i] + self.shift[i])
    }

    /// x − mean, and the gradient that reaches y: `g`, or with a ReLU behind y only where y is positive.
    #[inline(always)]
    fn gated<const RELU: bool>(&self, i: usize, x: T, g: T) -> (T, T) {
        let (centred, y) = self.of(i, x);
        (centred, if !RELU || y > T::zero() { g } else { T::zero() })
    }
}

impl<T: Element> ChannelAffine<'_, T> {
    #[inline(always)]
    fn columns<const L: usize>(&self, at: usize) -> Columns<T, L> {
        Columns { mean: lanes(self.mean, at), scale: lanes(self.scale, at), shift: lanes(self.shift, at) }
    }

    /// y, or max(y, 0), in `L` columns of a row.
    #[inline(always)]
    fn write<const RELU: bool, const L: usize>(&self, at: usize, x: &[T], out: &mut [T]) {
        let (columns, mut y) = (self.columns::<L>(at), lanes::<T, L>(x, at));
        for (i, y) in y.iter_mut().enumerate() {
            let (_, value) = columns.of(i, *y);
            // Not `max`, which would turn NaN to 0.
            *y = if RELU && value <= T::zero() { T::zero() } else { value };
        }
        store(out, at, y);
    }

    /// Adds Σ g and Σ g·(x − mean) of `L` columns.
    #[inline(always)]
    fn add_gradients<const RELU: bool, const L: usize>(
        &self,
        at: usize,
        x: &[T],
        g: &[T],
        (sums, dots): (&mut [T], &mut [T]),
    ) {
        let (n, columns) = (self.mean.len(), self.columns::<L>(at));
        let (mut sum, mut dot) = (lanes::<T, L>(sums, at), lanes::<T, L>(dots, at));
        for (row, x) in x.chunks_exact(n).enumerate() {
            let (x, g) = (lanes::<T, L>(x, at), lanes::<T, L>(&g[row * n..], at));
            for i in 0..L {
                let (centred, g) = columns.gated::<RELU>(i, x[i], g[i]);
                sum[i] += g;
                dot[i] += g * centred;
            }
        }
        store(sums, at, sum);
        store(dots, at, dot);
    }

    /// a·(g + b·(x − mean) + c), in `L` columns.
    #[inline(always)]
    fn write_gradients<const RELU: bool, const L: usize>(
        &self,
        at: usize,
        x: &[T],
        g: &[T],
        [a, b, c]: [&[T]; 3],
        out: &mut [T],
    ) {
        let (n, columns) = (self.mean.len(), self.columns::<L>(at));
        let (a, b, c) = (lanes::<T, L>(a, at), lanes::<T, L>(b, at), lanes::<T, L>(c, at));
        for (row, out) in out.chunks_exact_mut(n).enumerate() {
            let (x, mut g) = (lanes::<T, L>(&x[row * n..], at), lanes::<T, L>(&g[row * n..], at));
            for i in 0..L {
                let (centred, gated) = columns.gated::<RELU>(i, x[i], g[i]);
                g[i] = a[i] * (gated + (b[i] * centred + c[i]));
            }
            store(out, at, g);
        }
    }
}

/// `out = y`, or max(y, 0), by columns.
pub fn normalise<T: Element, const RELU: bool>(out: &mut [T], x: &[T], affine: &ChannelAffine<T>) {
    let n = affine.mean.len();
    by_rows(
        out,
        n,
        #[inline(always)]
        |start, y| {
            for row in (0..y.len()).step_by(n) {
                let (x, y) = (&x[start + row..][..n], &mut y[row..][..n]);
                by_lanes!(n, |at, L| affine.write::<RELU, L>(at, x, y));
            }
        },
    );
}

/// Σ x of each column, every element added in `f64`: where terms cancel, the sum is 0 and not what rounding leaves.
pub fn sums<T: Element>(x: &[T], channels: usize) -> Vec<f64> {
    let parts = over_ranges(
        x.len(),
        channels,
        #[inline(always)]
        |range, chunk| {
            let mut all = vec![0.0; channels];
            for x in x[range].chunks(chunk) {
                for band in bands(x, channels) {
                    fetch(band, channels);
                    by_lanes!(channels, |at, L| add_columns::<T, L>(at, band, &mut all));
                }
            }
            all
        },
    );
    parts.into_iter().fold(vec![0.0; channels], |mut all, part| {
        all.iter_mut().zip(part).for_each(|(all, part)| *all += part);
        all
    })
}

/// Adds a chunk's sums to all, and clears them for the next.
#[inline(always)]
fn take<T: Element>(all: &mut [f64], part: &mut [T]) {
    for (all, part) in all.iter_mut().zip(part) {
        *all += std::mem::take(part).f64();
    }
}

/// `(Σ g, Σ g·(x − mean))` of each column, where with a ReLU behind y only the g of positive y count.
pub fn gradient_sums<T: Element, const RELU: bool>(
    x: &[T],
    g: &[T],
    affine: &ChannelAffine<T>,
) -> (Vec<f64>, Vec<f64>) {
    let channels = affine.mean.len();
    let start = || (vec![0.0; channels], vec![0.0; channels]);
    let parts = over_ranges(
        x.len(),
        channels,
        #[inline(always)]
        |range, chunk| {
            let mut all = start();
            let mut part = (vec![T::zero(); channels], vec![T::zero(); channels]);
            for (x, g) in x[range.clone()].chunks(chunk).zip(g[range].chunks(chunk)) {
                let mut of_g = bands(g, channels);
                for x in bands(x, channels) {
                    let g = of_g.next().expect("as many rows of both");
                    fetch(x, channels);
                    fetch(g, channels);
                    by_lanes!(channels, |at, L| affine.add_gradients::<RELU, L>(at, x, g, (&mut part.0, &mut part.1)));
                }
                take(&mut all.0, &mut part.0);
                take(&mut all.1, &mut part.1);
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

/// `out = a·(g + b·(x − mean) + c)` by columns, with g as in [`gradient_sums`].
pub fn input_gradient<T: Element, const RELU: bool>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    affine: &ChannelAffine<T>,
    [a, b, c]: [&[T]; 3],
) {
    let n = affine.mean.len();
    by_rows(
        out,
        n,
        #[inline(always)]
        |start, out| {
            // Rows of few columns together, so that the numbers of the columns stay in registers.
            let together = if n > WIDE { n } else { ROWS * n };
            for (i, out) in out.chunks_mut(together).enumerate() {
                let (x, g) = (&x[start + i * together..], &g[start + i * together..]);
                by_lanes!(n, |at, L| affine.write_gradients::<RELU, L>(at, x, g, [a, b, c], out));
            }
        },
    );
}

/// Runs `f(range of elements, elements of a chunk)` on fixed ranges of whole rows; the results are in their order.
fn over_ranges<R: Send>(len: usize, channels: usize, f: impl Fn(std::ops::Range<usize>, usize) -> R + Sync) -> Vec<R> {
    if len == 0 {
        return Vec::new();
    }
    let level = Level::current();
    Partition::few(len / channels, TASK / channels).map(|rows| {
        level.vectorize(
            #[inline(always)]
            || f(rows.start * channels..rows.end * channels, ROWS * channels),
        )
    })
}

/// Runs `f(start, rows)` on fixed parts of the output, in parallel.
fn by_rows<T: Element>(out: &mut [T], channels: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    let level = Level::current();
    for_chunks(out, (TASK / channels).max(1) * channels, |start, part| {
        level.vectorize(
            #[inline(always)]
            || f(start, part),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, same_bits_on_any_threads};
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

    /// Against f64, where chunks hold an odd number of rows too.
    #[test]
    fn moments_and_sums_of_gradients_are_those_of_the_columns() {
        for channels in [1, 17, 64, 67, 145, 200] {
            for rows in [1, 100, 3_000] {
                let (x, g) = (noise::<f32>(rows * channels, 1), noise::<f32>(rows * channels, 2));
                let column = |of: &[f32], c: usize| -> Vec<f64> {
                    of.iter().skip(c).step_by(channels).map(|&x| x as f64).collect()
                };
                let mean: Vec<f32> = (0..channels).map(|c| c as f32 * 0.01).collect();
                let (scale, shift) = (vec![1.5; channels], vec![0.25; channels]);
                let affine = ChannelAffine { mean: &mean, scale: &scale, shift: &shift };
                for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                    let got = level.scope(|| moments(&x, channels));
                    let (sums, dots) = level.scope(|| gradient_sums::<f32, true>(&x, &g, &affine));
                    for c in 0..channels {
                        let case = format!("{level:?} {rows}×{channels} column {c}");
                        let (x, g) = (column(&x, c), column(&g, c));
                        let average = x.iter().sum::<f64>() / rows as f64;
                        let var = x.iter().map(|x| (x - average).powi(2)).sum::<f64>() / rows as f64;
                        assert!((got.mean[c] - average).abs() <= 1e-6, "mean, {case}");
                        assert!((got.variance[c] - var).abs() <= 1e-6 * (1.0 + var), "variance, {case}");
                        let mean = mean[c] as f64;
                        let gated = |(x, g): (&f64, &f64)| if (x - mean) * 1.5 + 0.25 > 0.0 { *g } else { 0.0 };
                        let sum: f64 = x.iter().zip(&g).map(gated).sum();
                        let dot: f64 = x.iter().zip(&g).map(|(x, g)| gated((x, g)) * (x - mean)).sum();
                        assert!((sums[c] - sum).abs() <= 1e-5 * (rows as f64).sqrt(), "sum, {case}");
                        assert!((dots[c] - dot).abs() <= 1e-5 * (rows as f64).sqrt(), "dot, {case}");
                    }
                }
                if rows == 3_000 {
                    same_bits_on_any_threads(|| moments(&x, channels).variance);
                    same_bits_on_any_threads(|| gradient_sums::<f32, true>(&x, &g, &affine).1);
                }
            }
        }
    }

    /// The worst case of one pass, a chunk whose first row alone lies far from its mean; and means that drift far from
    /// 0.
    #[test]
    fn variances_survive_outliers_and_drift() {
        for (channels, rows, outlier, drift) in
            [3, 64, 145].into_iter().flat_map(|c| [(c, ROWS, 1e3, 0.0), (c, 20 * ROWS, 0.0, 1.0)])
        {
            let mut x = noise::<f32>(rows * channels, 1);
            for (i, x) in x.iter_mut().enumerate() {
                let row = i / channels;
                *x += 1e3 + row as f32 * drift + if row == 0 { outlier } else { 0.0 };
            }
            for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
                let got = level.scope(|| moments(&x, channels));
                for c in 0..channels {
                    let case = format!("{level:?} {rows}×{channels} column {c}");
                    let column = || x.iter().skip(c).step_by(channels).map(|&x| x as f64);
                    let mean = column().sum::<f64>() / rows as f64;
                    let var = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                    assert!((got.mean[c] / mean - 1.0).abs() <= 1e-6, "{case}: {}, not {mean}", got.mean[c]);
                    // What 64 additions are off by at worst, times the n + 1 of `moments` where the first row is the
                    // outlier.
                    let worst = (ROWS * (ROWS + 1)) as f64 * 0.5 * f32::EPSILON as f64;
                    let tolerance = if outlier > 0.0 { worst } else { 2e-6 };
                    assert!((got.variance[c] / var - 1.0).abs() <= tolerance, "{case}: {}, not {var}", got.variance[c]);
                }
            }
        }
    }
}
