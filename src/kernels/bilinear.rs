//! Bilinear upsampling of channels-last maps (N, H, W, C) by whole factors, and its adjoint.
//!
//! Rows of the output are worked on in parallel, the innermost loop runs over the channels, and each output element is
//! summed in one fixed order.

use rayon::prelude::*;

#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
#[cfg(feature = "opencl")]
use super::opencl::{Launch, Queue, Source};
use super::{Element, Level};

/// y (N, fh·H, fw·W, C) ← x (N, H, W, C), or, as the adjoint, dx ← dy: see [`upsample`] and [`gather_back`].
#[derive(Clone, Copy, Debug)]
pub struct BilinearUpsampling {
    /// (N, H, W, C) of the smaller map.
    pub size: [usize; 4],
    /// (fh, fw)
    pub factors: [usize; 2],
    /// Whether this is the adjoint.
    pub adjoint: bool,
}

compile!(BilinearUpsampling);

impl<T: Element> Kernel<T> for BilinearUpsampling {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (&BilinearUpsampling { size, factors, adjoint }, [x], [out]) = (self, inputs.tensors(), outputs.tensors());
        match adjoint {
            false => upsample(size, factors, x, out),
            true => gather_back(size, factors, x, out),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        const BILINEAR: Source = Source { name: "bilinear", text: include_str!("bilinear.cl") };
        let ([_, height, width, channels], [fh, fw]) = (self.size, self.factors);
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        // The kernel counts in halves of pixels.
        if [fh.saturating_mul(height), fw.saturating_mul(width)].iter().any(|&side| side > i32::MAX as usize / 4) {
            return Err(Unsupported);
        }
        Launch::<T>::new(queue, BILINEAR, if self.adjoint { "gather_back" } else { "enlarge" })
            .operand(x)
            .operand(out)
            .each([out.len, channels, height, width, fh, fw])
            .over([out.len, 1, 1])
    }
}

/// What pixel `at` of the larger map reads along an axis: two pixels of the smaller one, and the weight of the second.
///
/// The middle of the pixel lies at (at + ½)/factor, and those of the smaller map at i + ½: PyTorch's
/// `align_corners=False`. Before the first and behind the last middle, the map goes on as it is at the border. In
/// whole halves of pixels, so that nothing is rounded but the weight.
#[inline(always)]
fn taps(at: usize, factor: usize, extent: usize) -> (usize, usize, f64) {
    let (place, unit) = ((2 * at + 1).saturating_sub(factor), 2 * factor);
    let low = place / unit;
    // What has no part is not read: 0 · NaN would spoil the other.
    let high = if place % unit == 0 { low } else { (low + 1).min(extent - 1) };
    (low, high, (place % unit) as f64 / unit as f64)
}

/// y (N, fh·H, fw·W, C) ← x (N, H, W, C): every pixel is the mean of its four neighbours, by their nearness.
///
/// # Panics
/// If the lengths do not fit.
pub fn upsample<T: Element>(size: [usize; 4], factors: [usize; 2], x: &[T], y: &mut [T]) {
    let ([_, height, width, c], level) = (size, Level::current());
    check(size, factors, x.len(), y.len());
    let (in_row, out_row) = (width * c, factors[1] * width * c);
    y.par_chunks_mut(out_row.max(1)).enumerate().for_each(|(row, y)| {
        let (image, p) = (row / (factors[0] * height), row % (factors[0] * height));
        let (top, bottom, down) = taps(p, factors[0], height);
        let [top, bottom] = [top, bottom].map(|i| &x[(image * height + i) * in_row..][..in_row]);
        let [of_top, of_bottom] = [1.0 - down, down].map(T::of);
        level.vectorize(
            #[inline(always)]
            || {
                for (q, y) in y.chunks_exact_mut(c).enumerate() {
                    let (left, right, along) = taps(q, factors[1], width);
                    let [of_left, of_right] = [1.0 - along, along].map(T::of);
                    let [a, b] = [left, right].map(|j| &top[j * c..][..c]);
                    let [d, e] = [left, right].map(|j| &bottom[j * c..][..c]);
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = of_top * (of_left * a[i] + of_right * b[i])
                            + of_bottom * (of_left * d[i] + of_right * e[i]);
                    }
                }
            },
        )
    });
}

/// dx (N, H, W, C) ← dy (N, fh·H, fw·W, C): what each pixel of dy read, it gives back to. The adjoint of [`upsample`].
///
/// # Panics
/// If the lengths do not fit.
pub fn gather_back<T: Element>(size: [usize; 4], factors: [usize; 2], dy: &[T], dx: &mut [T]) {
    let ([_, height, width, c], level) = (size, Level::current());
    check(size, factors, dx.len(), dy.len());
    let (dx_row, dy_row) = (width * c, factors[1] * width * c);
    dx.par_chunks_mut(dx_row.max(1)).enumerate().for_each(|(row, dx)| {
        let (image, i) = (row / height, row % height);
        level.vectorize(
            #[inline(always)]
            || {
                dx.fill(T::zero());
                for p in readers(i, factors[0], height) {
                    let (top, bottom, down) = taps(p, factors[0], height);
                    let weight = if top == i { 1.0 - down } else { 0.0 } + if bottom == i { down } else { 0.0 };
                    let dy = &dy[(image * factors[0] * height + p) * dy_row..][..dy_row];
                    for (q, dy) in dy.chunks_exact(c).enumerate() {
                        let (left, right, along) = taps(q, factors[1], width);
                        for (j, part) in [(left, 1.0 - along), (right, along)] {
                            let part = T::of(weight * part);
                            dx[j * c..][..c].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += part * dy);
                        }
                    }
                }
            },
        )
    });
}

/// Pixels of the larger map, all among them that read pixel `at` of the smaller one along an axis.
fn readers(at: usize, factor: usize, extent: usize) -> std::ops::Range<usize> {
    factor * at.saturating_sub(1)..factor * (at + 2).min(extent)
}

fn check([n, h, w, c]: [usize; 4], factors: [usize; 2], smaller: usize, larger: usize) {
    let expected = (n * h * w * c, n * factors[0] * h * factors[1] * w * c);
    assert_eq!((smaller, larger), expected, "bilinear: the lengths for {:?} by {factors:?}", [n, h, w, c]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{noise, same_bits_on_any_threads};

    const CASES: [([usize; 4], [usize; 2]); 6] = [
        ([2, 3, 5, 17], [2, 3]),
        ([1, 4, 4, 1], [1, 2]),
        ([3, 1, 2, 3], [4, 1]),
        ([1, 1, 1, 5], [3, 5]),
        ([0, 4, 4, 3], [2, 2]),
        ([2, 7, 6, 33], [2, 2]),
    ];

    /// The weight of pixel i for pixel `at` of the larger map, by the distance of their middles.
    fn weight(at: usize, i: usize, factor: usize, extent: usize) -> f64 {
        let middle = ((at as f64 + 0.5) / factor as f64 - 0.5).clamp(0.0, extent as f64 - 1.0);
        (1.0 - (middle - i as f64).abs()).max(0.0)
    }

    fn check_all<T: Element>() {
        for (size @ [n, height, width, c], factors) in CASES {
            let x: Vec<T> = noise(n * height * width * c, 1);
            let mut y = vec![T::nan(); x.len() * factors[0] * factors[1]];
            upsample(size, factors, &x, &mut y);
            for (at, y) in y.iter().enumerate() {
                let (channel, q, row) = (at % c, at / c % (factors[1] * width), at / c / (factors[1] * width));
                let (image, p) = (row / (factors[0] * height), row % (factors[0] * height));
                let pixels = (0..height).flat_map(|i| (0..width).map(move |j| (i, j)));
                let sum: f64 = pixels
                    .map(|(i, j)| {
                        let x = x[((image * height + i) * width + j) * c + channel].f64();
                        weight(p, i, factors[0], height) * weight(q, j, factors[1], width) * x
                    })
                    .sum();
                assert!((y.f64() - sum).abs() < 8.0 * T::epsilon().f64(), "{size:?} by {factors:?}, {at}");
            }
        }
    }

    #[test]
    fn values_agree_with_the_definition_and_adjoints_are_adjoint() {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            level.scope(check_all::<f32>);
            level.scope(check_all::<f64>);
            for (size, factors) in CASES {
                let len = size.iter().product::<usize>();
                let (x, dy): (Vec<f64>, Vec<f64>) = (noise(len, 1), noise(len * factors[0] * factors[1], 2));
                let (mut y, mut dx) = (vec![f64::NAN; dy.len()], vec![f64::NAN; x.len()]);
                level.scope(|| {
                    upsample(size, factors, &x, &mut y);
                    gather_back(size, factors, &dy, &mut dx);
                });
                assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-11, "{size:?} by {factors:?}");
            }
        }
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let (size, factors) = CASES[0];
        let x: Vec<f32> = noise(size.iter().product(), 1);
        same_bits_on_any_threads(|| {
            let (mut y, mut dx) = (vec![f32::NAN; x.len() * 6], vec![f32::NAN; x.len()]);
            upsample(size, factors, &x, &mut y);
            gather_back(size, factors, &y, &mut dx);
            [y, dx].concat()
        });
    }
}
