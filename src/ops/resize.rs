//! Maps (N, C, H, W) of other sizes: pixels from channels and back, bilinear upsampling. All are linear, with their
//! adjoints.

use super::pool::by_kernel;
use crate::compute::compiled;
use crate::kernels::bilinear::BilinearUpsampling;
use crate::{Backward, Element, Tensor, Var};

impl<T: Element> Var<T> {
    /// Channels as pixels (Shi et al. 2016, arXiv:1609.05158): (N, C·r², H, W) as (N, C, r·H, r·W), channel
    /// c·r² + r·i + j being pixel (i, j) of each block of channel c. x̄ is [`pixel_unshuffle`](Var::pixel_unshuffle) of
    /// ȳ. Maps lie channels-last in memory afterwards.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([1, 4, 1, 2], vec![1., 2., 3., 4., 5., 6., 7., 8.]));
    /// let y = x.pixel_shuffle(2);
    /// assert_eq!(y.shape(), &[1, 1, 2, 4].into());
    /// assert_eq!(y.value().to_vec(), [1., 3., 2., 4., 5., 7., 6., 8.]);
    /// assert_eq!(y.pixel_unshuffle(2).value(), x.value());
    /// ```
    ///
    /// # Panics
    /// If this is no map, or r² is 0 or does not divide its channels.
    #[track_caller]
    pub fn pixel_shuffle(&self, r: usize) -> Var<T> {
        let shape = *self.shape();
        let square = r.checked_mul(r).filter(|&square| square > 0);
        let fits = shape.len() == 4 && square.is_some_and(|square| shape[1].is_multiple_of(square));
        assert!(fits, "pixel_shuffle: shape {shape} by {r}: expected (N, C, H, W), and {r}² to divide the channels");
        let value = shuffled(self.value(), r);
        Var::record("pixel_shuffle", &[self], value, move |grad, back| {
            back.give(0, |_| grad.pixel_unshuffle(r));
        })
    }

    /// Pixels as channels, the inverse of [`pixel_shuffle`](Var::pixel_shuffle), and its adjoint: (N, C, r·H, r·W) as
    /// (N, C·r², H, W). Maps lie channels-last in memory afterwards.
    ///
    /// # Panics
    /// If this is no map, or r is 0 or does not divide its sides.
    #[track_caller]
    pub fn pixel_unshuffle(&self, r: usize) -> Var<T> {
        let shape = *self.shape();
        let fits = shape.len() == 4 && r > 0 && shape[2..].iter().all(|side| side.is_multiple_of(r));
        assert!(fits, "pixel_unshuffle: shape {shape} by {r}: expected (N, C, H, W), and {r} to divide H and W");
        let value = unshuffled(self.value(), r);
        Var::record("pixel_unshuffle", &[self], value, move |grad, back| {
            back.give(0, |_| grad.pixel_shuffle(r));
        })
    }

    /// Bilinear upsampling by whole factors (height, width): (N, C, fh·H, fw·W). Every pixel is the mean of the four
    /// whose middles are around its own, by their nearness; beyond the outermost middles the border goes on. PyTorch's
    /// `interpolate(mode="bilinear", align_corners=False)`.
    ///
    /// x̄ is the adjoint of ȳ: each pixel gives its gradient back to the four, by the same weights. Maps lie
    /// channels-last in memory afterwards.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([1, 1, 1, 2], vec![0.0, 4.0]));
    /// let y = x.upsample_bilinear([1, 2]);
    /// assert_eq!(y.value().to_vec(), [0.0, 1.0, 3.0, 4.0]);
    /// assert_eq!(y.slice(3, 0..2).sum().backward().wrt(&x).to_vec(), [1.75, 0.25]);
    /// ```
    ///
    /// # Panics
    /// If this is no map, or a factor is 0.
    #[track_caller]
    pub fn upsample_bilinear(&self, factors: [usize; 2]) -> Var<T> {
        let shape = *self.shape();
        // What counts in halves of pixels counts up to twice the sides.
        let counts = |i: usize| {
            factors[i] > 0 && shape[2 + i].max(1).checked_mul(factors[i]).is_some_and(|n| n < usize::MAX / 4)
        };
        let fits = shape.len() == 4 && counts(0) && counts(1);
        assert!(
            fits,
            "upsample_bilinear: shape {shape} by {factors:?}: expected (N, C, H, W), factors of at least 1, and sides \
             that a computer can count"
        );
        let size = [shape[0], shape[2], shape[3], shape[1]];
        self.interpolate(BilinearUpsampling { size, factors, adjoint: false })
    }

    /// Bilinear upsampling, or its adjoint; x̄ is the other one of ȳ.
    #[track_caller]
    fn interpolate(&self, kernel: BilinearUpsampling) -> Var<T> {
        let BilinearUpsampling { size: [n, h, w, c], factors, adjoint } = kernel;
        let y_shape = if adjoint { [n, c, h, w] } else { [n, c, factors[0] * h, factors[1] * w] };
        let value = by_kernel(compiled(&kernel), self, y_shape);
        let rule = move |grad: &Var<T>, back: &mut Backward<'_, T>| {
            back.give(0, |_| grad.interpolate(BilinearUpsampling { adjoint: !adjoint, ..kernel }));
        };
        match adjoint {
            false => Var::record("upsample_bilinear", &[self], value, rule),
            true => Var::record("upsample_bilinear_adjoint", &[self], value, rule),
        }
    }
}

/// The value of [`Var::pixel_shuffle`]: one copy, to the order in which the result is channels-last.
fn shuffled<T: Element>(x: &Tensor<T>, r: usize) -> Tensor<T> {
    let [n, c, h, w] = [x.shape()[0], x.shape()[1] / (r * r), x.shape()[2], x.shape()[3]];
    let blocks = x.reshape([n, c, r, r, h, w]).permute([0, 1, 4, 2, 5, 3]);
    blocks.in_memory_order([0, 2, 3, 4, 5, 1]).reshape([n, c, r * h, r * w])
}

/// The value of [`Var::pixel_unshuffle`]: one copy, to the order in which the result is channels-last.
fn unshuffled<T: Element>(x: &Tensor<T>, r: usize) -> Tensor<T> {
    let [n, c, h, w] = [x.shape()[0], x.shape()[1], x.shape()[2] / r, x.shape()[3] / r];
    let blocks = x.reshape([n, c, h, r, w, r]).permute([0, 1, 3, 5, 2, 4]);
    blocks.in_memory_order([0, 4, 5, 1, 2, 3]).reshape([n, c * r * r, h, w])
}
