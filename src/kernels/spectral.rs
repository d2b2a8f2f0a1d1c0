//! Products of a weight, seen as a matrix, with vectors, in one walk over the weight's memory.
//!
//! The matrix has the weight's output axis as rows and all others as columns; wherever the output axis lies in memory,
//! the weight is (outer, rows, inner) there, and its columns, in memory order, are (outer, inner). So a caller puts
//! the short vectors into that order and nobody moves the weight.

#[cfg(feature = "opencl")]
use super::device::{Operand, Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::matmul::{self, dot};
#[cfg(feature = "opencl")]
use super::opencl::{
    Launch, Queue, Source,
    sums::{Group, Parts},
};
use super::parallel::{Partition, TASK, for_chunks, sum_halves};
use super::{Element, Level, around::Around};

/// W·v, from W and v in the memory order of W.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// W around its output axis.
    pub around: Around,
}

compile!(Times, TransposedTimes, UnitVector, Dot, SpectralGradient);

impl<T: Element> Kernel<T> for Times {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([w, v], [out]) = (inputs.tensors(), outputs.tensors());
        times(out, w, self.around, v);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([w, v], [out]) = (inputs.tensors(), outputs.tensors());
        product_on_device::<T>(queue, self.around, false, [w, v, out])
    }
}

/// Wᵀ·u, in the memory order of W, from W and u.
#[derive(Clone, Copy, Debug)]
pub struct TransposedTimes {
    /// W around its output axis.
    pub around: Around,
}

impl<T: Element> Kernel<T> for TransposedTimes {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([w, u], [out]) = (inputs.tensors(), outputs.tensors());
        transposed_times(out, w, self.around, u);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([w, u], [out]) = (inputs.tensors(), outputs.tensors());
        product_on_device::<T>(queue, self.around, true, [w, u, out])
    }
}

/// x/max(‖x‖₂, eps), the norm being summed in `f64`.
#[derive(Clone, Copy, Debug)]
pub struct UnitVector {
    /// The least that x is divided by.
    pub eps: f64,
}

impl<T: Element> Kernel<T> for UnitVector {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        let norm = x.iter().map(|x| x.f64() * x.f64()).sum::<f64>().sqrt();
        let scale = T::of(1.0 / norm.max(self.eps));
        out.iter_mut().zip(x).for_each(|(y, &x)| *y = x * scale);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        if x.len == 0 {
            return Ok(());
        }
        let group = Group::one(queue);
        let launch = launch::<T>(queue, "unit_vector", group, [false, false]).operand(x).operand(out);
        launch.int(x.len).real(self.eps).groups([1; 3], [group.size(), 1, 1])
    }
}

/// ⟨a, b⟩ of two short vectors, summed in `f64`: a scalar.
#[derive(Clone, Copy, Debug)]
pub struct Dot;

impl<T: Element> Kernel<T> for Dot {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([a, b], [out]) = (inputs.tensors(), outputs.tensors());
        assert_eq!(a.len(), b.len(), "dot: vectors of different lengths");
        let products = a.iter().zip(b).map(|(a, b)| a.f64() * b.f64());
        out[0] = T::of(products.sum());
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([a, b], [out]) = (inputs.tensors(), outputs.tensors());
        assert_eq!(a.len, b.len, "dot: vectors of different lengths");
        let group = Group::one(queue);
        let launch = launch::<T>(queue, "dot_product", group, [false, false]).operand(a).operand(b).operand(out);
        launch.int(a.len).groups([1; 3], [group.size(), 1, 1])
    }
}

/// The gradient of W through Y = W/σ, (G − ⟨G, Y⟩·u vᵀ)/σ, from the gradient G of Y, Y, u, v in memory order, and σ:
/// two walks over memory.
#[derive(Clone, Copy, Debug)]
pub struct SpectralGradient {
    /// Y and G around the output axis.
    pub around: Around,
}

impl<T: Element> Kernel<T> for SpectralGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([grad, normed, u, v, sigma], [out]) = (inputs.tensors(), outputs.tensors());
        let lambda = T::of(inner_product(grad, normed));
        let v: Vec<T> = v.iter().map(|&v| lambda * v).collect();
        minus_outer(out, grad, self.around, u, &v, T::one() / sigma[0]);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([grad, normed, u, v, sigma], [out]) = (inputs.tensors(), outputs.tensors());
        let (Around { extent: rows, inner, .. }, n) = (self.around, grad.len);
        if n == 0 {
            return Ok(());
        }
        let (group, parts) = (Group::one(queue), Parts::new(n, 4096, 1024));
        let sums = queue.partial_sums(parts.count, "spectral norm");
        let lambda = queue.scratch::<T>(1, "spectral norm, lambda");
        let (sums, lambda) = (sums.whole(parts.count), lambda.whole(1));
        let dots = launch::<T>(queue, "dots_of_parts", group, [false, false]).operand(grad).operand(normed);
        dots.operand(sums).each([n, parts.length]).groups([parts.count, 1, 1], [group.size(), 1, 1])?;
        let add = launch::<T>(queue, "add_parts", group, [false, false]).operand(sums).operand(lambda);
        add.int(parts.count).groups([1; 3], [group.size(), 1, 1])?;
        let together = if inner == 1 { rows } else { inner };
        let minus = launch::<T>(queue, "minus_outer", group, [false, inner == 1]);
        let minus = minus.operands(&[grad, u, v, lambda, sigma, out]);
        minus.each([n / together, together, rows, inner]).over_rows(together, n / together)
    }
}

#[cfg(feature = "opencl")]
const SPECTRAL: Source =
    Source { name: "spectral", text: concat!(include_str!("opencl/sums.cl"), include_str!("spectral.cl")) };

/// A kernel of `spectral.cl`, compiled for this group, and for whether its workers come first and `inner` is 1.
#[cfg(feature = "opencl")]
fn launch<'a, T: Element>(
    queue: &'a Queue,
    kernel: &'static str,
    group: Group,
    [workers_first, inner_is_one]: [bool; 2],
) -> Launch<'a, T> {
    let defines = [group.tile, group.workers, workers_first as usize, inner_is_one as usize];
    Launch::new(queue, SPECTRAL, kernel).define(&["TILE", "WORKERS", "WORKERS_FIRST", "INNER_IS_ONE"], defines)
}

/// y = W·v, or Wᵀ·v, from w, v and y.
#[cfg(feature = "opencl")]
fn product_on_device<T: Element>(
    queue: &Queue,
    Around { outer, extent: rows, inner }: Around,
    transposed: bool,
    [w, v, y]: [Operand<'_>; 3],
) -> Result<(), Unsupported> {
    // How many there are, and where in w they lie: the first `split` of them `near` to each other, the next so many
    // `far` from those.
    let (of_rows, of_columns) = ((rows, [rows.max(1), 0, inner]), (outer * inner, [inner.max(1), rows * inner, 1]));
    let ((sums, sums_at), (terms, terms_at)) = if transposed { (of_columns, of_rows) } else { (of_rows, of_columns) };
    // What lies together in memory is read by neighbours: terms of one sum, or those of sums side by side.
    let terms_together = (inner > 1) != transposed;
    let group = match terms_together && !queue.info().is_cpu {
        true => Group::one(queue),
        false => Group::side_by_side(queue),
    };
    let launch = launch::<T>(queue, "product", group, [terms_together, false]).operand(w).operand(v).operand(y);
    let launch = launch.each([sums, terms]).each(sums_at).each(terms_at);
    launch.groups([sums.div_ceil(group.tile), 1, 1], [group.size(), 1, 1])
}

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
        for_chunks(out, TASK.div_ceil(inner).next_multiple_of(4), |start, part| {
            matmul::times(level, part, (&w[start * inner..], [inner, 1]), v, false);
        });
        return;
    }
    // Every range of the outer loop adds to all rows.
    let partition = Partition::few(outer, TASK / (rows * inner)).in_units(4);
    let write = |range: std::ops::Range<usize>, y: &mut [T]| {
        if inner == 1 {
            return matmul::times(level, y, (&w[range.start * rows..], [1, rows]), &v[range], false);
        }
        let of_few = |range: std::ops::Range<usize>, y: &mut [T]| {
            let first = range.start;
            for a in range {
                matmul::times(level, y, (&w[a * rows * inner..], [inner, 1]), &v[a * inner..][..inner], a > first);
            }
        };
        sum_halves(level, range, 64, y, &of_few);
    };
    partition.sum_into(level, out, write);
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
    let level = Level::current();
    for_chunks(out, TASK.div_ceil(rows * inner) * inner, |start, part| {
        for (a, y) in part.chunks_exact_mut(inner).enumerate() {
            matmul::times(level, y, (&w[(start + a * inner) * rows..], [1, inner]), u, false);
        }
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
    for_chunks(out, (TASK / run).max(1) * run, |start, part| {
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

/// `Σ a·b`, in ranges fixed by the length, combined in `f64`.
pub fn inner_product<T: Element>(a: &[T], b: &[T]) -> f64 {
    let level = Level::current();
    let of_range = |range: std::ops::Range<usize>| {
        level.vectorize(
            #[inline(always)]
            || {
                let (a, b) = (&a[range.clone()], &b[range]);
                let mut sum = 0.0;
                for (i, a) in a.chunks(1024).enumerate() {
                    sum += dot(a, &b[i * 1024..][..a.len()]).f64();
                }
                sum
            },
        )
    };
    Partition::few(a.len(), TASK).map(of_range).into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    /// Rows on either side of [`matmul::LONG`], their number on either side of four, in every place of the weight's
    /// memory.
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
