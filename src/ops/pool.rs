//! Pooling and nearest-neighbour upsampling of maps (N, C, H, W): linear maps, or locally linear ones, with their
//! adjoints.

use crate::compute::{Indices, Kernel, Layout, compiled, compute, compute_indexed};
use crate::kernels::pool::{AveragePool, Gather, MaxPool, NearestUpsampling, PoolShape, ScatterAdd};
use crate::{Element, Shape, Tensor, Var};

impl<T: Element> Var<T> {
    /// The largest value of each window, (N, C, OH, OW) with OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1, and likewise
    /// OW. The padding never wins; of equal values the first one does, and takes the gradient. x̄ is ȳ at the maxima.
    ///
    /// # Panics
    /// If this is no map, a window has no pixel, or a padding is more than half the kernel.
    #[track_caller]
    pub fn max_pool2d(&self, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Var<T> {
        let shape = geometry("max_pool2d", self.shape(), kernel, stride, padding);
        let outputs = ([Layout::channels_last(shape.output_shape())], [shape.batch * shape.y_image()]);
        let ([value], [indices]) =
            compute_indexed(compiled(&MaxPool(shape)), (&[&self.value().channels_last()], &[]), outputs);
        Var::record("max_pool2d", &[self], value, move |grad, back| {
            back.give(0, |_| grad.scatter_maps(indices.clone(), shape));
        })
    }

    /// The values at the `indices` of the maxima of a pooling, which count within each image's memory (H, W, C): y is
    /// (N, C, OH, OW). The adjoint of [`scatter_maps`](Var::scatter_maps).
    #[track_caller]
    fn gather_maps(&self, indices: Indices, shape: PoolShape) -> Var<T> {
        let value = by_indices(compiled(&Gather(shape)), self, &indices, shape.output_shape());
        Var::record("gather_maps", &[self], value, move |grad, back| {
            back.give(0, |_| grad.scatter_maps(indices.clone(), shape));
        })
    }

    /// Each value added at its index among the `indices` of the maxima of a pooling: y is (N, C, H, W). The adjoint of
    /// [`gather_maps`](Var::gather_maps).
    #[track_caller]
    fn scatter_maps(&self, indices: Indices, shape: PoolShape) -> Var<T> {
        let value = by_indices(compiled(&ScatterAdd(shape)), self, &indices, shape.input_shape());
        Var::record("scatter_maps", &[self], value, move |grad, back| {
            back.give(0, |_| grad.gather_maps(indices.clone(), shape));
        })
    }

    /// The mean of each window, (N, C, OH, OW) with OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1, and likewise OW; the
    /// padding counts as zeros. x̄ spreads ȳ evenly over its window.
    ///
    /// # Panics
    /// If this is no map, a window has no pixel, or a padding is more than half the kernel.
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Var<T> {
        let shape = geometry("avg_pool2d", self.shape(), kernel, stride, padding);
        self.average(shape)
    }

    /// The mean of each window.
    #[track_caller]
    fn average(&self, shape: PoolShape) -> Var<T> {
        let value = by_kernel(compiled(&AveragePool { shape, adjoint: false }), self, shape.output_shape());
        Var::record("avg_pool2d", &[self], value, move |grad, back| {
            back.give(0, |_| grad.spread(shape));
        })
    }

    /// The adjoint of [`average`](Var::average).
    #[track_caller]
    fn spread(&self, shape: PoolShape) -> Var<T> {
        let value = by_kernel(compiled(&AveragePool { shape, adjoint: true }), self, shape.input_shape());
        Var::record("avg_pool2d_adjoint", &[self], value, move |grad, back| {
            back.give(0, |_| grad.average(shape));
        })
    }

    /// The mean of each map: (N, C, 1, 1), NaN of maps without pixels. PyTorch's `adaptive_avg_pool2d(1)`; x̄ spreads ȳ
    /// evenly over the map.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let x = Var::<f64>::from(Tensor::from_vec([1, 2, 1, 2], vec![1.0, 3.0, 5.0, 5.0]));
    /// assert_eq!(x.global_avg_pool2d().value(), &Tensor::from_vec([1, 2, 1, 1], vec![2.0, 5.0]));
    /// assert_eq!(x.global_max_pool2d().value(), &Tensor::from_vec([1, 2, 1, 1], vec![3.0, 5.0]));
    /// ```
    ///
    /// # Panics
    /// If this is no map.
    #[track_caller]
    pub fn global_avg_pool2d(&self) -> Var<T> {
        let shape = self.shape();
        assert!(shape.len() == 4, "global_avg_pool2d: shape {shape}: expected (N, C, H, W)");
        self.mean_axes([2, 3], true)
    }

    /// The largest value of each map: (N, C, 1, 1). Of equal values the first one takes the gradient, as in
    /// [`max_pool2d`](Var::max_pool2d) with a window of the whole map.
    ///
    /// # Panics
    /// If this is no map, or it has no pixel.
    #[track_caller]
    pub fn global_max_pool2d(&self) -> Var<T> {
        let shape = self.shape();
        let fits = shape.len() == 4 && !shape[2..].contains(&0);
        assert!(fits, "global_max_pool2d: shape {shape}: expected (N, C, H, W), with a pixel at least");
        self.max_pool2d([shape[2], shape[3]], [1, 1], [0, 0])
    }

    /// Every pixel repeated in a block of `factors` (height, width): (N, C, fh·H, fw·W). x̄ is ȳ summed over blocks.
    ///
    /// # Panics
    /// If this is no map, or a factor is 0.
    #[track_caller]
    pub fn upsample_nearest(&self, factors: [usize; 2]) -> Var<T> {
        let shape = *self.shape();
        let fits = shape.len() == 4 && (0..2).all(|i| factors[i] > 0 && shape[2 + i].checked_mul(factors[i]).is_some());
        assert!(
            fits,
            "upsample_nearest: shape {shape} by {factors:?}: expected (N, C, H, W), factors of at least 1, and sides \
             that a computer can count"
        );
        let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
        let kernel = NearestUpsampling { size: [n, h, w, c], factors, adjoint: false };
        let value = by_kernel(compiled(&kernel), self, [n, c, h * factors[0], w * factors[1]]);
        Var::record("upsample_nearest", &[self], value, move |grad, back| {
            back.give(0, |_| grad.sum_blocks(factors));
        })
    }

    /// Every block of `factors` (height, width) summed up: (N, C, H/fh, W/fw), the adjoint of
    /// [`upsample_nearest`](Var::upsample_nearest). x̄ is ȳ, repeated.
    ///
    /// # Panics
    /// If this is no map, or the factors do not divide its sides.
    #[track_caller]
    pub fn sum_blocks(&self, factors: [usize; 2]) -> Var<T> {
        let shape = *self.shape();
        let fits = shape.len() == 4 && (0..2).all(|i| factors[i] > 0 && shape[2 + i].is_multiple_of(factors[i]));
        assert!(
            fits,
            "sum_blocks: shape {shape} by {factors:?}: expected (N, C, H, W) and factors that divide H and W"
        );
        let [n, c, h, w] = [shape[0], shape[1], shape[2] / factors[0], shape[3] / factors[1]];
        let kernel = NearestUpsampling { size: [n, h, w, c], factors, adjoint: true };
        let value = by_kernel(compiled(&kernel), self, [n, c, h, w]);
        Var::record("sum_blocks", &[self], value, move |grad, back| {
            back.give(0, |_| grad.upsample_nearest(factors));
        })
    }
}

pub(super) fn by_kernel<T: Element>(kernel: &dyn Kernel<T>, x: &Var<T>, y_shape: [usize; 4]) -> Tensor<T> {
    let [y] = compute(kernel, &[&x.value().channels_last()], [Layout::channels_last(y_shape)]);
    y
}

fn by_indices<T: Element>(kernel: &dyn Kernel<T>, x: &Var<T>, indices: &Indices, y_shape: [usize; 4]) -> Tensor<T> {
    let inputs: (&[&Tensor<T>], _) = (&[&x.value().channels_last()], &[indices][..]);
    let ([y], []) = compute_indexed(kernel, inputs, ([Layout::channels_last(y_shape)], []));
    y
}

#[track_caller]
fn geometry(name: &str, x: &Shape, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> PoolShape {
    let options = format!("kernel {kernel:?}, stride {stride:?}, padding {padding:?}");
    assert!(x.len() == 4, "{name}: shape {x}: expected (N, C, H, W)");
    let fits = |i: usize| {
        // Halves and a bound, since the sizes may be anything; a window then ends where a number can tell.
        let small =
            kernel[i] > 0 && stride[i] > 0 && padding[i] <= kernel[i] / 2 && kernel[i] <= isize::MAX as usize / 4;
        // A map without pixels has no maximum, however it is padded.
        small && x[2 + i] + 2 * padding[i] >= kernel[i] && x[2 + i] > 0
    };
    let expected = "expected a stride of at least 1, a padding of at most half the kernel, a kernel within the padded \
                    map, which has a pixel";
    assert!(fits(0) && fits(1), "{name}: shape {x}, {options}: {expected}");
    let output = std::array::from_fn(|i| (x[2 + i] + 2 * padding[i] - kernel[i]) / stride[i] + 1);
    PoolShape { batch: x[0], channels: x[1], input: [x[2], x[3]], output, kernel, stride, padding }
}
