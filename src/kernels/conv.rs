//! Two-dimensional convolution: three bilinear maps, each the adjoint of the others in one argument.
//!
//! With x (N, H, W, C), y (N, OH, OW, K) and the weight w (R, S, C/G, K) for G groups, all channels-last and dense:
//!
//! ```text
//! y[n, p, q, k] = Σ_{r,s,c}  x[n, p·stride + r·dilation − padding, q·…, c] · w[r, s, c, k]      conv2d
//! dx = the adjoint in x, applied to dy                                                            conv2d_input_grad
//! dw = the adjoint in w, applied to dy                                                            conv2d_weight_grad
//! ```
//!
//! c runs over the input channels of k's group, and x is 0 outside its map. The derivative of each map is again one of
//! the three, so they serve every order of differentiation; `conv2d_input_grad` is also the transposed convolution.
//!
//! One file per algorithm; the function `algorithm` says which one runs.

#[cfg(feature = "opencl")]
mod device;
pub mod direct;
pub mod kernels;
pub mod naive;
pub mod patches;
pub mod thin;
pub mod winograd;

use std::ops::Range;

use rayon::prelude::*;

use super::copy::{BLOCK, transpose_block};
use super::element::{cast, cast_mut};
use super::simd::Simd;
use super::{Buffer, Element, Level, Precision};

/// The sizes of a convolution from x (N, H, W, C) to y (N, OH, OW, K). Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// N, the number of images.
    pub batch: usize,
    /// C, the channels of x: a multiple of `groups`.
    pub in_channels: usize,
    /// K, the channels of y: a multiple of `groups`.
    pub out_channels: usize,
    /// (H, W)
    pub input: [usize; 2],
    /// (OH, OW)
    pub output: [usize; 2],
    /// (R, S)
    pub kernel: [usize; 2],
    /// Pixels of x from one pixel of y to the next, at least 1.
    pub stride: [usize; 2],
    /// Rows and columns of zeros around x, on each side.
    pub padding: [usize; 2],
    /// Pixels of x from one tap of the kernel to the next, at least 1.
    pub dilation: [usize; 2],
    /// Channels come in this many groups, at least 1; each group of y sees one group of x.
    pub groups: usize,
}

impl ConvShape {
    /// N·H·W·C
    pub fn x_len(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.in_channels
    }

    /// N·OH·OW·K
    pub fn y_len(&self) -> usize {
        self.batch * self.output[0] * self.output[1] * self.out_channels
    }

    /// R·S·(C/G)·K
    pub fn w_len(&self) -> usize {
        self.taps() * self.group_in() * self.out_channels
    }

    /// Multiply-adds of each of the three maps, not counting that taps in the padding could be left out.
    #[cfg(any(test, feature = "internals"))]
    pub fn work(&self) -> usize {
        self.y_len() * self.taps() * self.group_in()
    }

    /// R·S
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// C/G
    pub fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// K/G
    pub fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    fn check(&self, x: usize, w: usize, y: usize) {
        assert!(self.groups > 0 && self.stride.iter().chain(&self.dilation).all(|&s| s > 0), "convolution: {self:?}");
        assert!(
            self.in_channels.is_multiple_of(self.groups) && self.out_channels.is_multiple_of(self.groups),
            "convolution: channels and groups of {self:?}"
        );
        let expected = (self.x_len(), self.w_len(), self.y_len());
        assert_eq!((x, w, y), expected, "convolution: the lengths of x, w and y for {self:?}");
    }
}

/// What happens to the output of [`conv2d`] on its way to memory, instead of a pass of its own: y + bias, then the
/// leaky ReLU.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// Added to every pixel, one value per channel of the output.
    pub bias: Option<&'a [T]>,
    /// The factor of what is not above 0; 1 leaves everything as it is.
    pub slope: T,
}

impl<'a, T: Element> Epilogue<'a, T> {
    /// A bias, or nothing at all.
    pub fn bias(bias: Option<&'a [T]>) -> Epilogue<'a, T> {
        Epilogue { bias, slope: T::one() }
    }

    /// Finishes some whole pixels of the output, which are still in the cache.
    #[inline]
    pub(crate) fn apply(&self, level: Level, pixels: &mut [T]) {
        let slope = self.slope;
        if let Some(bias) = self.bias.filter(|bias| !bias.is_empty()) {
            level.vectorize(
                #[inline(always)]
                || {
                    for pixel in pixels.chunks_exact_mut(bias.len()) {
                        for k in 0..bias.len() {
                            pixel[k] = leaky(pixel[k] + bias[k], slope);
                        }
                    }
                },
            )
        } else if slope != T::one() {
            level.vectorize(
                #[inline(always)]
                || pixels.iter_mut().for_each(|y| *y = leaky(*y, slope)),
            )
        }
    }

    fn check(&self, channels: usize) {
        assert!(self.bias.is_none_or(|b| b.len() == channels), "convolution: one bias value for each of {channels}");
    }
}

#[inline(always)]
fn leaky<T: Element>(y: T, slope: T) -> T {
    if y > T::zero() { y } else { y * slope }
}

impl Epilogue<'_, f32> {
    /// The bias of some channels, as many as a vector has at most.
    #[inline(always)]
    pub(crate) fn bias_of<S: Simd>(&self, simd: S, channels: Range<usize>) -> S::Vector {
        self.bias.map_or(simd.zero(), |bias| simd.load(&bias[channels]))
    }

    /// The leaky ReLU.
    #[inline(always)]
    pub(crate) fn activate<S: Simd>(&self, simd: S, value: S::Vector) -> S::Vector {
        simd.if_positive(value, value, simd.mul(value, simd.splat(self.slope)))
    }
}

/// The ways to compute a convolution. Those that know f32 only hold the map's arguments as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm<InF32> {
    /// Plain loops, the oracle.
    Naive,
    /// Patches gathered into a matrix, times the weights as a matrix.
    Patches,
    /// The product first, then the taps: for a few channels of output.
    Thin,
    /// Products of the padded picture itself: for a few channels of input.
    Direct(InF32),
    /// A quarter to 0.4 of the multiplications, for kernels of 3×3 with stride 1 and of 4×4 with stride 2.
    Winograd(InF32),
}

/// The three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    Forward,
    InputGrad,
    WeightGrad,
}

/// The algorithm that computes a map of this shape at this level and precision, with the map's arguments in f32, if
/// they are.
fn algorithm<InF32>(
    (level, precision): (Level, Precision),
    map: Map,
    shape: &ConvShape,
    in_f32: Option<InF32>,
) -> Algorithm<InF32> {
    if level == Level::Scalar {
        return Algorithm::Naive;
    }
    let channels = match map {
        Map::InputGrad => [shape.out_channels, shape.in_channels],
        _ => [shape.in_channels, shape.out_channels],
    };
    let direct = match map {
        Map::Forward => direct::pays(shape),
        Map::InputGrad => direct::adjoint_pays(shape),
        Map::WeightGrad => direct::pays(shape) || direct::adjoint_pays(shape),
    };
    let winograd = precision == Precision::Fast && winograd::supports(shape) && winograd::pays(shape, channels);
    match in_f32 {
        Some(arguments) if direct => Algorithm::Direct(arguments),
        _ if thin::pays(shape, channels) => Algorithm::Thin,
        // f64 checks gradients: exactness before speed.
        Some(arguments) if winograd => Algorithm::Winograd(arguments),
        _ => Algorithm::Patches,
    }
}

/// The arguments of a map: two operands, an epilogue and an output.
type Arguments<'a, T> = (&'a [T], &'a [T], Epilogue<'a, T>, &'a mut [T]);

/// The arguments of a map as f32, if they are.
fn in_f32<'a, T: Element>((a, b, epilogue, out): Arguments<'a, T>) -> Option<Arguments<'a, f32>> {
    let epilogue = Epilogue { bias: epilogue.bias.and_then(cast), slope: epilogue.slope.f64() as f32 };
    Some((cast(a)?, cast(b)?, epilogue, cast_mut(out)?))
}

/// y (N, OH, OW, K) ← x (N, H, W, C) ∗ w (R, S, C/G, K), then the epilogue with K channels.
pub fn conv2d<T: Element>(shape: &ConvShape, x: &[T], w: &[T], epilogue: Epilogue<T>, y: &mut [T]) {
    shape.check(x.len(), w.len(), y.len());
    epilogue.check(shape.out_channels);
    let level = Level::current();
    match algorithm((level, Precision::current()), Map::Forward, shape, in_f32((x, w, epilogue, &mut *y))) {
        Algorithm::Naive => naive::conv2d(shape, x, w, epilogue, y),
        Algorithm::Patches => patches::conv2d(level, shape, x, w, epilogue, y),
        Algorithm::Thin => thin::conv2d(level, shape, x, w, epilogue, y),
        Algorithm::Direct((x, w, epilogue, y)) => direct::conv2d(level, shape, x, w, epilogue, y),
        Algorithm::Winograd((x, w, epilogue, y)) => winograd::conv2d(level, shape, x, w, epilogue, y),
    }
}

/// dx (N, H, W, C) ← the adjoint of [`conv2d`] in x, applied to dy (N, OH, OW, K), plus a bias (C).
///
/// This is the transposed convolution of an input dy.
pub fn conv2d_input_grad<T: Element>(shape: &ConvShape, dy: &[T], w: &[T], bias: Option<&[T]>, dx: &mut [T]) {
    shape.check(dx.len(), w.len(), dy.len());
    // No activation: where an algorithm adds up what overlaps, it would come too early.
    let epilogue = Epilogue::bias(bias);
    epilogue.check(shape.in_channels);
    let level = Level::current();
    match algorithm((level, Precision::current()), Map::InputGrad, shape, in_f32((dy, w, epilogue, &mut *dx))) {
        Algorithm::Naive => naive::conv2d_input_grad(shape, dy, w, epilogue, dx),
        Algorithm::Patches => patches::conv2d_input_grad(level, shape, dy, w, epilogue, dx),
        Algorithm::Thin => thin::conv2d_input_grad(level, shape, dy, w, epilogue, dx),
        Algorithm::Direct((dy, w, epilogue, dx)) => direct::conv2d_input_grad(level, shape, dy, w, epilogue, dx),
        Algorithm::Winograd((dy, w, epilogue, dx)) => {
            winograd::conv2d_input_grad(level, shape, dy, w, epilogue.bias, dx)
        }
    }
}

/// dw (R, S, C/G, K) ← the adjoint of [`conv2d`] in w: Σ over the pixels of dy (N, OH, OW, K) times what they saw of
/// x (N, H, W, C).
pub fn conv2d_weight_grad<T: Element>(shape: &ConvShape, x: &[T], dy: &[T], dw: &mut [T]) {
    shape.check(x.len(), dw.len(), dy.len());
    let level = Level::current();
    match algorithm(
        (level, Precision::current()),
        Map::WeightGrad,
        shape,
        in_f32((x, dy, Epilogue::bias(None), &mut *dw)),
    ) {
        Algorithm::Naive => naive::conv2d_weight_grad(shape, x, dy, dw),
        Algorithm::Patches => patches::conv2d_weight_grad(level, shape, x, dy, dw),
        Algorithm::Thin => thin::conv2d_weight_grad(level, shape, x, dy, dw),
        Algorithm::Direct((x, dy, _, dw)) => direct::conv2d_weight_grad(level, shape, x, dy, dw),
        Algorithm::Winograd((x, dy, _, dw)) => winograd::conv2d_weight_grad(level, shape, x, dy, dw),
    }
}

/// For stride 1, the convolution whose forward map, with [`adjoint_weights`], is the adjoint of this one in x.
fn adjoint(shape: &ConvShape) -> ConvShape {
    let padding = |i: usize| shape.dilation[i] * (shape.kernel[i].max(1) - 1) - shape.padding[i];
    ConvShape {
        in_channels: shape.out_channels,
        out_channels: shape.in_channels,
        input: shape.output,
        output: shape.input,
        padding: [padding(0), padding(1)],
        ..*shape
    }
}

/// For stride 1 and one group, the weights (R, S, K, C) of the [`adjoint`]: w with its taps in reverse order, which
/// flips the kernel along both axes, and each tap's matrix transposed.
fn adjoint_weights<T: Element>(level: Level, shape: &ConvShape, w: &[T]) -> Buffer<T> {
    let of_tap = shape.in_channels * shape.out_channels;
    let starts: Vec<usize> = (0..shape.taps()).rev().map(|tap| tap * of_tap).collect();
    transposed_matrices(level, shape, w, &starts)
}

/// The matrices (C/G, K/G) of w that begin at `starts`, one tap and group each, transposed and one after another.
fn transposed_matrices<T: Element>(level: Level, shape: &ConvShape, w: &[T], starts: &[usize]) -> Buffer<T> {
    let (rows, columns) = (shape.group_out(), shape.group_in());
    let mut transposed = Buffer::stale(starts.len() * rows * columns);
    let matrices = transposed.par_chunks_mut((rows * columns).max(1)).zip(starts);
    matrices.for_each(|(matrix, &start)| {
        level.vectorize(
            #[inline(always)]
            || {
                for (block, matrix) in matrix.chunks_mut(BLOCK * columns).enumerate() {
                    let from = &w[start + block * BLOCK..];
                    transpose_block(matrix, columns, from, shape.out_channels, matrix.len() / columns);
                }
            },
        )
    });
    transposed
}

#[cfg(test)]
mod tests;
