//! Pooling and resampling of channels-last maps (N, H, W, C), and their adjoints.
//!
//! Images are worked on in parallel, the innermost loop runs over the channels, and each output element is summed in
//! one fixed order.
//!
//! - [`max_pool2d`] saves where each maximum came from; [`gather`] and [`scatter_add`] by these indices are its
//!   derivative in both directions, and each other's adjoint.
//! - [`avg_pool2d`] divides by the size of the window, padding included; [`avg_pool2d_input_grad`] is its adjoint.
//! - [`upsample_nearest`] repeats pixels; [`sum_blocks`] is its adjoint.

use rayon::prelude::*;

#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
#[cfg(feature = "opencl")]
use super::opencl::{Launch, Queue, Source};
use super::{Element, Level};

#[cfg(feature = "opencl")]
const POOL: Source = Source { name: "pool", text: include_str!("pool.cl") };

/// The sizes of a pooling from x (N, H, W, C) to y (N, OH, OW, C). Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// N
    pub batch: usize,
    /// C
    pub channels: usize,
    /// (H, W)
    pub input: [usize; 2],
    /// (OH, OW)
    pub output: [usize; 2],
    /// The window, at least 1.
    pub kernel: [usize; 2],
    /// Pixels of x from one window to the next, at least 1.
    pub stride: [usize; 2],
    /// Rows and columns around x on each side, at most half the window: minus infinity for maxima, 0 for averages.
    pub padding: [usize; 2],
}

impl PoolShape {
    /// (N, C, H, W)
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.input[0], self.input[1]]
    }

    /// (N, C, OH, OW)
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.output[0], self.output[1]]
    }

    /// H·W·C, the elements of an image of x.
    pub fn x_image(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    /// OH·OW·C, the elements of an image of y.
    pub fn y_image(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    fn check(&self, x: usize, y: usize) {
        for axis in 0..2 {
            let (kernel, padding) = (self.kernel[axis], self.padding[axis]);
            assert!(self.stride[axis] > 0 && kernel > 0 && padding <= kernel / 2, "pooling: {self:?}");
            // The last window begins inside the map: with padding ≤ kernel/2 every window then holds a pixel.
            let last = self.output[axis].saturating_sub(1) * self.stride[axis];
            let inside = self.input[axis] > 0 && last < self.input[axis] + padding;
            assert!(self.output[axis] == 0 || inside, "pooling: output of {self:?}");
        }
        let expected = (self.batch * self.x_image(), self.batch * self.y_image());
        assert_eq!((x, y), expected, "pooling: the lengths of x and y for {self:?}");
    }

    /// A kernel whose parameters are `inputs`, `outputs`, the number of work-items and POOL, see `pool.cl`.
    #[cfg(feature = "opencl")]
    fn start<T: Element>(
        &self,
        queue: &Queue,
        kernel: &'static str,
        inputs: Operands<'_>,
        outputs: Operands<'_>,
    ) -> Result<(), Unsupported> {
        let PoolShape { channels, input, output, kernel: window, stride, padding, .. } = *self;
        // Where a window ends, the kernel counts too.
        if (0..2).any(|axis| input[axis] + padding[axis] > i32::MAX as usize) {
            return Err(Unsupported);
        }
        let n = outputs.tensors[0].len;
        let operands = [inputs.tensors, inputs.indices, outputs.tensors, outputs.indices];
        let pairs = [input, output, window, stride, padding];
        let launch = Launch::<T>::new(queue, POOL, kernel).operands(operands.into_iter().flatten());
        launch.each([n, channels]).each(pairs.into_iter().flatten()).over([n, 1, 1])
    }

    /// Calls `visit(window, pixel)` with the first channel of each window in y and, in turn, of each of its pixels
    /// inside x, as offsets in their images.
    #[inline(always)]
    fn windows(&self, mut visit: impl FnMut(usize, usize)) {
        let range = |axis: usize, at: usize| {
            let start = at * self.stride[axis];
            let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]).min(self.input[axis]);
            start.saturating_sub(self.padding[axis])..end
        };
        for p in 0..self.output[0] {
            for q in 0..self.output[1] {
                let window = (p * self.output[1] + q) * self.channels;
                for i in range(0, p) {
                    for j in range(1, q) {
                        visit(window, (i * self.input[1] + j) * self.channels);
                    }
                }
            }
        }
    }
}

/// y and the indices of the maxima ← x; see [`max_pool2d`].
#[derive(Clone, Copy, Debug)]
pub struct MaxPool(pub PoolShape);

compile!(MaxPool, Gather, ScatterAdd, AveragePool, NearestUpsampling);

impl<T: Element> Kernel<T> for MaxPool {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], ([y], [indices])) = (inputs.tensors(), outputs.tensors_and_indices());
        max_pool2d(&self.0, x, y, indices);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        self.0.start::<T>(queue, "max_pool", inputs, outputs)
    }
}

/// y ← x at the indices of its maxima; see [`gather`].
#[derive(Clone, Copy, Debug)]
pub struct Gather(pub PoolShape);

impl<T: Element> Kernel<T> for Gather {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [indices], [y]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
        gather(self.0.batch, x, indices, y);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([x], [indices], [y]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
        Launch::<T>::new(queue, POOL, "gather")
            .operand(x)
            .operand(indices)
            .operand(y)
            .each([y.len, self.0.x_image(), self.0.y_image()])
            .over([y.len, 1, 1])
    }
}

/// dx ← dy added up at the indices of the maxima; see [`scatter_add`].
#[derive(Clone, Copy, Debug)]
pub struct ScatterAdd(pub PoolShape);

impl<T: Element> Kernel<T> for ScatterAdd {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([dy], [indices], [dx]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
        scatter_add(self.0.batch, dy, indices, dx);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        self.0.start::<T>(queue, "scatter_add", inputs, outputs)
    }
}

/// y ← the means of x, or, as the adjoint, dx ← dy spread; see [`avg_pool2d`] and [`avg_pool2d_input_grad`].
#[derive(Clone, Copy, Debug)]
pub struct AveragePool {
    /// The sizes.
    pub shape: PoolShape,
    /// Whether this is the adjoint.
    pub adjoint: bool,
}

impl<T: Element> Kernel<T> for AveragePool {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [x], [out]) = (&self.shape, inputs.tensors(), outputs.tensors());
        match self.adjoint {
            false => avg_pool2d(shape, x, out),
            true => avg_pool2d_input_grad(shape, x, out),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        self.shape.start::<T>(queue, if self.adjoint { "spread" } else { "average" }, inputs, outputs)
    }
}

/// y ← the pixels of x repeated, or, as the adjoint, dx ← blocks of dy summed; see [`upsample_nearest`] and
/// [`sum_blocks`].
#[derive(Clone, Copy, Debug)]
pub struct NearestUpsampling {
    /// (N, H, W, C) of the smaller map.
    pub size: [usize; 4],
    /// (fh, fw)
    pub factors: [usize; 2],
    /// Whether this is the adjoint.
    pub adjoint: bool,
}

impl<T: Element> Kernel<T> for NearestUpsampling {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (&NearestUpsampling { size, factors, adjoint }, [x], [out]) = (self, inputs.tensors(), outputs.tensors());
        match adjoint {
            false => upsample_nearest(size, factors, x, out),
            true => sum_blocks(size, factors, x, out),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([_, _, width, channels], [x], [out]) = (self.size, inputs.tensors(), outputs.tensors());
        Launch::<T>::new(queue, POOL, if self.adjoint { "sum_blocks" } else { "repeat" })
            .operand(x)
            .operand(out)
            .each([out.len, channels, width])
            .each(self.factors)
            .over([out.len, 1, 1])
    }
}

/// y (N, OH, OW, C) ← the largest of each window of x (N, H, W, C), and where it lies: offsets within the image of x.
///
/// As in PyTorch, the first of equal values wins, a NaN wins over every number, and windows are whole (floor mode).
///
/// # Panics
/// If the lengths do not fit, or an image of x has more elements than `u32` counts.
pub fn max_pool2d<T: Element>(shape: &PoolShape, x: &[T], y: &mut [T], indices: &mut [u32]) {
    shape.check(x.len(), y.len());
    assert_eq!(indices.len(), y.len(), "max_pool2d: one index for each element of y");
    assert!(u32::try_from(shape.x_image()).is_ok(), "max_pool2d: an image of {} elements", shape.x_image());
    let (level, c) = (Level::current(), shape.channels);
    let images = y.par_chunks_mut(shape.y_image().max(1)).zip(indices.par_chunks_mut(shape.y_image().max(1)));
    images.enumerate().for_each(|(n, (y, indices))| {
        let x = &x[n * shape.x_image()..][..shape.x_image()];
        level.vectorize(
            #[inline(always)]
            || {
                let mut last = usize::MAX;
                shape.windows(|window, pixel| {
                    let (y, indices) = (&mut y[window..window + c], &mut indices[window..window + c]);
                    let is_first = std::mem::replace(&mut last, window) != window;
                    for (i, ((y, index), &x)) in y.iter_mut().zip(indices).zip(&x[pixel..pixel + c]).enumerate() {
                        let better = is_first || x > *y || x.is_nan();
                        *y = if better { x } else { *y };
                        *index = if better { (pixel + i) as u32 } else { *index };
                    }
                })
            },
        )
    });
}

/// y (N, y_image) ← x (N, x_image) at `indices` (N, y_image), which count within each image of x.
///
/// # Panics
/// If the lengths are not N images, or an index lies outside its image.
pub fn gather<T: Element>(batch: usize, x: &[T], indices: &[u32], y: &mut [T]) {
    let (x_image, y_image) = images(batch, x.len(), indices, y.len());
    y.par_chunks_mut(y_image.max(1)).zip(indices.par_chunks(y_image.max(1))).enumerate().for_each(|(n, (y, index))| {
        let x = &x[n * x_image..][..x_image];
        y.iter_mut().zip(index).for_each(|(y, &i)| *y = x[i as usize]);
    });
}

/// dx (N, x_image) ← the sum of all dy (N, y_image) that go to each element by `indices` (N, y_image), which count
/// within each image of dx: the adjoint of [`gather`].
///
/// # Panics
/// As [`gather`].
pub fn scatter_add<T: Element>(batch: usize, dy: &[T], indices: &[u32], dx: &mut [T]) {
    let (x_image, y_image) = images(batch, dx.len(), indices, dy.len());
    dx.par_chunks_mut(x_image.max(1)).enumerate().for_each(|(n, dx)| {
        dx.fill(T::zero());
        let range = n * y_image..(n + 1) * y_image;
        dy[range.clone()].iter().zip(&indices[range]).for_each(|(&dy, &i)| dx[i as usize] += dy);
    });
}

/// The elements of an image of x and of y.
fn images(batch: usize, x: usize, indices: &[u32], y: usize) -> (usize, usize) {
    let (x_image, y_image) = (x / batch.max(1), y / batch.max(1));
    assert_eq!((x, y), (batch * x_image, batch * y_image), "gather and scatter_add: x and y of {batch} images");
    assert_eq!(indices.len(), y, "gather and scatter_add: one index for each element of y");
    (x_image, y_image)
}

/// y (N, OH, OW, C) ← the mean of each window of x (N, H, W, C), where padding counts as zeros.
///
/// # Panics
/// If the lengths do not fit.
pub fn avg_pool2d<T: Element>(shape: &PoolShape, x: &[T], y: &mut [T]) {
    shape.check(x.len(), y.len());
    let (level, c) = (Level::current(), shape.channels);
    let pixels = T::of((shape.kernel[0] * shape.kernel[1]) as f64);
    y.par_chunks_mut(shape.y_image().max(1)).enumerate().for_each(|(n, y)| {
        let x = &x[n * shape.x_image()..][..shape.x_image()];
        level.vectorize(
            #[inline(always)]
            || {
                y.fill(T::zero());
                shape.windows(|window, pixel| {
                    y[window..window + c].iter_mut().zip(&x[pixel..pixel + c]).for_each(|(y, &x)| *y += x);
                });
                y.iter_mut().for_each(|y| *y = *y / pixels);
            },
        )
    });
}

/// dx (N, H, W, C) ← the adjoint of [`avg_pool2d`] applied to dy (N, OH, OW, C).
///
/// # Panics
/// If the lengths do not fit.
pub fn avg_pool2d_input_grad<T: Element>(shape: &PoolShape, dy: &[T], dx: &mut [T]) {
    shape.check(dx.len(), dy.len());
    let (level, c) = (Level::current(), shape.channels);
    let pixels = T::of((shape.kernel[0] * shape.kernel[1]) as f64);
    dx.par_chunks_mut(shape.x_image().max(1)).enumerate().for_each(|(n, dx)| {
        let dy = &dy[n * shape.y_image()..][..shape.y_image()];
        level.vectorize(
            #[inline(always)]
            || {
                dx.fill(T::zero());
                shape.windows(|window, pixel| {
                    dx[pixel..pixel + c].iter_mut().zip(&dy[window..window + c]).for_each(|(dx, &dy)| *dx += dy);
                });
                dx.iter_mut().for_each(|dx| *dx = *dx / pixels);
            },
        )
    });
}

/// y (N, fh·H, fw·W, C) ← each pixel of x (N, H, W, C) repeated in a block of `factors` (fh, fw).
///
/// # Panics
/// If the lengths do not fit.
pub fn upsample_nearest<T: Element>(size: [usize; 4], factors: [usize; 2], x: &[T], y: &mut [T]) {
    let [_, _, width, c] = size;
    check_factors(size, factors, x.len(), y.len());
    let block = width * factors[1] * c;
    y.par_chunks_mut((factors[0] * block).max(1)).zip(x.par_chunks((width * c).max(1))).for_each(|(y, x)| {
        let (first, others) = y.split_at_mut(block);
        for (pixels, x) in first.chunks_exact_mut(factors[1] * c).zip(x.chunks_exact(c)) {
            pixels.chunks_exact_mut(c).for_each(|pixel| pixel.copy_from_slice(x));
        }
        others.chunks_exact_mut(block).for_each(|row| row.copy_from_slice(first));
    });
}

/// dx (N, H, W, C) ← the sum of each block of `factors` (fh, fw) of dy (N, fh·H, fw·W, C): the adjoint of
/// [`upsample_nearest`]. `size` is that of dx.
///
/// # Panics
/// If the lengths do not fit.
pub fn sum_blocks<T: Element>(size: [usize; 4], factors: [usize; 2], dy: &[T], dx: &mut [T]) {
    let [_, _, width, c] = size;
    check_factors(size, factors, dx.len(), dy.len());
    let (level, block) = (Level::current(), width * factors[1] * c);
    dx.par_chunks_mut((width * c).max(1)).zip(dy.par_chunks((factors[0] * block).max(1))).for_each(|(dx, dy)| {
        level.vectorize(
            #[inline(always)]
            || {
                dx.fill(T::zero());
                for row in dy.chunks_exact(block) {
                    for (dx, pixels) in dx.chunks_exact_mut(c).zip(row.chunks_exact(factors[1] * c)) {
                        for pixel in pixels.chunks_exact(c) {
                            dx.iter_mut().zip(pixel).for_each(|(dx, &dy)| *dx += dy);
                        }
                    }
                }
            },
        )
    });
}

fn check_factors(size: [usize; 4], factors: [usize; 2], x: usize, y: usize) {
    assert!(factors[0] > 0 && factors[1] > 0, "nearest upsampling by {factors:?}");
    let len: usize = size.iter().product();
    let expected = (len, len * factors[0] * factors[1]);
    assert_eq!((x, y), expected, "nearest upsampling of {size:?} by {factors:?}: the lengths of x and y");
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, same_bits_on_any_threads};
    use super::*;

    fn grid() -> Vec<PoolShape> {
        let mut shapes = Vec::new();
        for (i, kernel) in [1, 2, 3, 4].into_iter().enumerate() {
            for stride in [1, 2, 3] {
                for padding in 0..=kernel / 2 {
                    for size in [4, 5, 9] {
                        let input = [size, size + 2];
                        let output = input.map(|n| (n + 2 * padding - kernel) / stride + 1);
                        let channels = [1, 3, 16, 67, 17][(i + shapes.len()) % 5];
                        let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [padding; 2]);
                        shapes.push(PoolShape { batch: 3, channels, input, output, kernel, stride, padding });
                    }
                }
            }
        }
        let uneven = PoolShape {
            batch: 2,
            channels: 5,
            input: [8, 9],
            output: [3, 5],
            kernel: [3, 2],
            stride: [3, 2],
            padding: [1, 1],
        };
        shapes.extend([uneven, PoolShape { batch: 0, ..uneven }, PoolShape { channels: 0, ..uneven }]);
        shapes
    }

    /// For each element of y: the values and offsets of its window, straight from the definition.
    fn window_of<T: Element>(shape: &PoolShape, x: &[T], at: usize) -> Vec<(T, usize)> {
        let (c, at) = (at % shape.channels, at / shape.channels);
        let (q, at) = (at % shape.output[1], at / shape.output[1]);
        let (p, n) = (at % shape.output[0], at / shape.output[0]);
        let mut window = Vec::new();
        for r in 0..shape.kernel[0] {
            for s in 0..shape.kernel[1] {
                let i = (p * shape.stride[0] + r) as isize - shape.padding[0] as isize;
                let j = (q * shape.stride[1] + s) as isize - shape.padding[1] as isize;
                if (0..shape.input[0] as isize).contains(&i) && (0..shape.input[1] as isize).contains(&j) {
                    let offset = (i as usize * shape.input[1] + j as usize) * shape.channels + c;
                    window.push((x[n * shape.x_image() + offset], offset));
                }
            }
        }
        window
    }

    fn check_pools<T: Element>() {
        for shape in grid() {
            let x: Vec<T> = noise(shape.batch * shape.x_image(), 1);
            let mut y = vec![T::nan(); shape.batch * shape.y_image()];
            let mut indices = vec![u32::MAX; y.len()];
            max_pool2d(&shape, &x, &mut y, &mut indices);
            for (at, (y, index)) in y.iter().zip(&indices).enumerate() {
                let window = window_of(&shape, &x, at);
                let best = window.iter().fold(window[0], |best, &w| if w.0 > best.0 { w } else { best });
                assert_eq!((*y, *index as usize), best, "{shape:?} {at}");
            }
            let mut gathered = vec![T::nan(); y.len()];
            gather(shape.batch, &x, &indices, &mut gathered);
            assert_eq!(gathered, y);
            avg_pool2d(&shape, &x, &mut y);
            for (at, y) in y.iter().enumerate() {
                let sum: f64 = window_of(&shape, &x, at).iter().map(|(x, _)| x.f64()).sum();
                let mean = sum / (shape.kernel[0] * shape.kernel[1]) as f64;
                assert!((y.f64() - mean).abs() < 8.0 * T::epsilon().f64(), "{shape:?} {at}");
            }
        }
    }

    #[test]
    fn pools_agree_with_the_definition_at_every_level() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            level.scope(check_pools::<f32>);
            level.scope(check_pools::<f64>);
        }
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn adjoints_are_adjoint() {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for shape in grid() {
                let x: Vec<f64> = noise(shape.batch * shape.x_image(), 1);
                let dy: Vec<f64> = noise(shape.batch * shape.y_image(), 2);
                let (mut y, mut dx) = (vec![f64::NAN; dy.len()], vec![f64::NAN; x.len()]);
                let mut indices = vec![0; y.len()];
                level.scope(|| {
                    avg_pool2d(&shape, &x, &mut y);
                    avg_pool2d_input_grad(&shape, &dy, &mut dx);
                    assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-11, "average {shape:?}");
                    max_pool2d(&shape, &x, &mut y, &mut indices);
                    scatter_add(shape.batch, &dy, &indices, &mut dx);
                    assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-11, "maximum {shape:?}");
                });
            }
            for (size, factors) in [([2, 3, 5, 17], [2, 3]), ([1, 4, 4, 1], [1, 2]), ([0, 4, 4, 3], [2, 2])] {
                let len = size.iter().product::<usize>();
                let (x, dy): (Vec<f64>, Vec<f64>) = (noise(len, 1), noise(len * factors[0] * factors[1], 2));
                let (mut y, mut dx) = (vec![f64::NAN; dy.len()], vec![f64::NAN; x.len()]);
                level.scope(|| {
                    upsample_nearest(size, factors, &x, &mut y);
                    sum_blocks(size, factors, &dy, &mut dx);
                });
                let [_, height, width, c] = size;
                for (at, y) in y.iter().enumerate() {
                    let (channel, column, row) = (at % c, at / c % (factors[1] * width), at / c / (factors[1] * width));
                    let (n, i) = (row / (factors[0] * height), row % (factors[0] * height) / factors[0]);
                    assert_eq!(*y, x[((n * height + i) * width + column / factors[1]) * c + channel]);
                }
                assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-11, "nearest {size:?}");
            }
        }
    }

    #[test]
    fn nan_wins_and_the_first_of_equals() {
        let shape = PoolShape {
            batch: 1,
            channels: 1,
            input: [1, 4],
            output: [1, 2],
            kernel: [1, 2],
            stride: [1, 2],
            padding: [0, 0],
        };
        let (mut y, mut indices) = ([0.0; 2], [9; 2]);
        max_pool2d(&shape, &[f32::NAN, 1.0, -2.0, -2.0], &mut y, &mut indices);
        assert!(y[0].is_nan() && y[1] == -2.0 && indices == [0, 2]);
        max_pool2d(&shape, &[1.0, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY], &mut y, &mut indices);
        assert!(y[0].is_nan() && y[1] == f32::NEG_INFINITY && indices == [1, 2]);
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let shape = PoolShape { batch: 11, ..grid()[30] };
        let x: Vec<f32> = noise(shape.batch * shape.x_image(), 1);
        same_bits_on_any_threads(|| {
            let mut y = vec![f32::NAN; shape.batch * shape.y_image()];
            let (mut indices, mut dx) = (vec![0; y.len()], vec![f32::NAN; x.len()]);
            max_pool2d(&shape, &x, &mut y, &mut indices);
            scatter_add(shape.batch, &y, &indices, &mut dx);
            let by_maximum = dx.clone();
            avg_pool2d_input_grad(&shape, &y, &mut dx);
            [y, by_maximum, dx].concat()
        });
    }
}
