//! Convolution, its transpose, and its weight gradient: three bilinear maps that are each other's rules.
//!
//! Let y = w ∗ x, which is y[n,k,i,j] = Σ_{c,r,s} w[k,c,r,s]·x[n, c, i·stride + r·dilation − padding, …]. For a
//! gradient ȳ there are two adjoints: in x, x̄ = convᵀ(ȳ, w), the transposed convolution; and in w, w̄ = corr(x, ȳ).
//! All three are the one trilinear form ⟨ȳ, w ∗ x⟩ with one argument left open, so the derivative of each in either of
//! its arguments is one of the other two, and three kernels and three rules give every order of derivative.
//!
//! Maps are (N, C, H, W), in memory channels-last. Weights are (K, C/groups, R, S), in memory R, S, C, K: both have
//! the channels innermost, where the kernels vectorise. What lies otherwise is copied.

use crate::compute::{Kernel, Layout, compiled, compute};
use crate::kernels::batch_norm::ColumnSums;
use crate::kernels::conv::ConvShape;
use crate::kernels::conv::kernels::{Convolution, TransposedConvolution, WeightGradient};
use crate::{Backward, Element, Shape, Tensor, Var};

/// How a convolution's kernel moves over the map, per axis (height, width).
///
/// ```
/// use wengert::ops::Conv2dOptions;
/// let options = Conv2dOptions::default().stride(2).padding(1);
/// assert_eq!((options.stride, options.dilation, options.groups), ([2, 2], [1, 1], 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Steps of the kernel, at least 1. Default 1.
    pub stride: [usize; 2],
    /// Zeros around the map. Default 0.
    pub padding: [usize; 2],
    /// Distance of the kernel's taps, at least 1. Default 1.
    pub dilation: [usize; 2],
    /// Parts into which the channels are cut, each with kernels of its own; divides both channel numbers. Default 1.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Conv2dOptions { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2dOptions {
    /// The same stride along both axes.
    pub fn stride(self, stride: usize) -> Self {
        Conv2dOptions { stride: [stride; 2], ..self }
    }

    /// The same padding along both axes.
    pub fn padding(self, padding: usize) -> Self {
        Conv2dOptions { padding: [padding; 2], ..self }
    }

    /// The same dilation along both axes.
    pub fn dilation(self, dilation: usize) -> Self {
        Conv2dOptions { dilation: [dilation; 2], ..self }
    }

    /// The number of groups.
    pub fn groups(self, groups: usize) -> Self {
        Conv2dOptions { groups, ..self }
    }

    /// The pixels of the output along an axis, ⌊(size + 2·padding − dilation·(taps − 1) − 1)/stride⌋ + 1; none if the
    /// kernel has no tap, or reaches beyond the padded map, or a size overflows.
    fn output(&self, input: [usize; 2], kernel: [usize; 2], axis: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        let padded = countable(self.padding[axis].checked_mul(2)?.checked_add(input[axis])?)?;
        Some(padded.checked_sub(reach)? / self.stride[axis] + 1)
    }
}

/// A number of pixels that can be doubled, and subtracted from another, in the machine's signed numbers, as the
/// positions of taps are.
fn countable(pixels: usize) -> Option<usize> {
    Some(pixels).filter(|&pixels| pixels <= isize::MAX as usize / 4)
}

/// The memory order of a convolution's weight (K, C/groups, R, S): R, S, C, K.
pub(crate) const WEIGHT_ORDER: [usize; 4] = [2, 3, 1, 0];

impl<T: Element> Var<T> {
    /// The convolution of maps (N, C, H, W) with a weight (K, C/groups, R, S), plus a bias (K) if given:
    /// (N, K, OH, OW) with OH = ⌊(H + 2·padding − dilation·(R − 1) − 1)/stride⌋ + 1, and likewise OW.
    ///
    /// # Panics
    /// If shapes and options do not fit each other, or the kernel is larger than the padded map.
    #[track_caller]
    pub fn conv2d(&self, weight: &Var<T>, bias: Option<&Var<T>>, options: &Conv2dOptions) -> Var<T> {
        self.convolve(weight, bias, self.forward_geometry("conv2d", weight, bias, options))
    }

    /// [`conv2d`](Var::conv2d), then [`leaky_relu`](Var::leaky_relu), without a pass over memory for the latter: with p
    /// = w ∗ x + b, y = p where p > 0, else slope·p. Since y has the sign of p, p̄ = ȳ times 1 or slope can be read off
    /// y, and then the gradients are those of [`conv2d`](Var::conv2d).
    ///
    /// # Panics
    /// As [`conv2d`](Var::conv2d), and if the slope is not above 0.
    #[track_caller]
    pub fn conv2d_leaky_relu(
        &self,
        weight: &Var<T>,
        bias: Option<&Var<T>>,
        options: &Conv2dOptions,
        slope: f64,
    ) -> Var<T> {
        let (x, w) = (self.shape(), weight.shape());
        assert!(slope > 0.0, "conv2d_leaky_relu: x {x}, weight {w}: expected a slope above 0, found {slope}");
        let shape = self.forward_geometry("conv2d_leaky_relu", weight, bias, options);
        let (this, weight) = (&channels_last(self), &in_weight_order(weight));
        let value = this.convolved(weight, bias, shape, slope);
        let (x, w, y) = (this.saved_for(weight), weight.saved_for(this), value.clone());
        record("conv2d_leaky_relu", [this, weight], bias, value, move |grad, back| {
            let grad = grad.into_leaky_gradient(&y, slope, back);
            back.give(0, |back| grad.convolve_transposed(&back.var(&w), None, shape));
            back.give(1, |back| back.var(&x).correlate(&grad, shape));
            grad
        })
    }

    /// The sizes of a convolution of this map, checked.
    #[track_caller]
    fn forward_geometry(
        &self,
        name: &str,
        weight: &Var<T>,
        bias: Option<&Var<T>>,
        options: &Conv2dOptions,
    ) -> ConvShape {
        let (x, w) = (*self.shape(), *weight.shape());
        check(name, &x, &w, bias, options, "(N, C, H, W) and (K, C/groups, R, S)", |x, w| {
            let fits = w[1].checked_mul(options.groups) == Some(x[1]) && w[0].is_multiple_of(options.groups);
            fits.then_some(w[0])
        });
        let (input, kernel) = ([x[2], x[3]], [w[2], w[3]]);
        let (Some(height), Some(width)) = (options.output(input, kernel, 0), options.output(input, kernel, 1)) else {
            panic!(
                "{name}: x {x}, weight {w}, {options:?}: the kernel reaches beyond the padded map, or a size overflows"
            )
        };
        geometry(options, [x[0], x[1], w[0]], input, [height, width], kernel)
    }

    /// The transposed convolution of maps (N, C, H, W) with a weight (C, K/groups, R, S), plus a bias (K) if given:
    /// (N, K, OH, OW) with OH = (H − 1)·stride − 2·padding + dilation·(R − 1) + output_padding + 1, and likewise OW.
    ///
    /// It is the adjoint of the [`conv2d`](Var::conv2d) of the same options and weight from (N, K, OH, OW) to (N, C, H,
    /// W).
    ///
    /// # Panics
    /// If shapes and options do not fit each other, an output would have no pixel, or an output padding is not smaller
    /// than the stride or the dilation of its axis.
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        weight: &Var<T>,
        bias: Option<&Var<T>>,
        options: &Conv2dOptions,
        output_padding: [usize; 2],
    ) -> Var<T> {
        let (x, w) = (*self.shape(), *weight.shape());
        check("conv_transpose2d", &x, &w, bias, options, "(N, C, H, W) and (C, K/groups, R, S)", |x, w| {
            if x[1] == w[0] && w[0].is_multiple_of(options.groups) { w[1].checked_mul(options.groups) } else { None }
        });
        let name = "conv_transpose2d";
        let [stride, dilation] = [options.stride, options.dilation];
        let small = (0..2).all(|i| output_padding[i] < stride[i].max(dilation[i]));
        assert!(
            small,
            "{name}: x {x}, weight {w}, {options:?}: output_padding {output_padding:?} is not below stride or dilation"
        );
        let whole = |i: usize| {
            let kernel = dilation[i].checked_mul(w[2 + i].checked_sub(1)?)?;
            let steps = x[2 + i].checked_sub(1)?.checked_mul(stride[i])?;
            let size = countable(steps.checked_add(kernel)?.checked_add(output_padding[i])?.checked_add(1)?)?;
            size.checked_sub(options.padding[i].checked_mul(2)?).filter(|&size| size > 0)
        };
        let (Some(height), Some(width)) = (whole(0), whole(1)) else {
            panic!("{name}: x {x}, weight {w}, {options:?}: the output would have no pixel, or a size overflows")
        };
        let channels = [x[0], w[1] * options.groups, w[0]];
        let shape = geometry(options, channels, [height, width], [x[2], x[3]], [w[2], w[3]]);
        self.convolve_transposed(weight, bias, shape)
    }

    /// The gradient of [`conv2d`](Var::conv2d) in its weight: from maps x (N, C, H, W), this, and the gradient
    /// (N, K, OH, OW) of the output, that of a weight (K, C/groups, R, S) whose kernel (R, S) must be told.
    ///
    /// # Panics
    /// If shapes and options do not fit each other.
    #[track_caller]
    pub fn conv2d_weight_grad(&self, grad: &Var<T>, kernel: [usize; 2], options: &Conv2dOptions) -> Var<T> {
        let (x, y) = (*self.shape(), *grad.shape());
        let fits = x.len() == 4 && y.len() == 4 && x[0] == y[0] && options.groups > 0;
        let fits = fits && x[1].is_multiple_of(options.groups) && y[1].is_multiple_of(options.groups);
        let fits = fits
            && (0..2).all(|i| {
                let positive = options.stride[i] > 0 && options.dilation[i] > 0;
                positive && options.output([x[2], x[3]], kernel, i) == Some(y[2 + i])
            });
        assert!(
            fits,
            "conv2d_weight_grad: x {x}, gradient {y}, kernel {kernel:?}, {options:?}: \
             expected (N, C, H, W) and the (N, K, OH, OW) that conv2d makes of it"
        );
        let shape = geometry(options, [x[0], x[1], y[1]], [x[2], x[3]], [y[2], y[3]], kernel);
        self.correlate(grad, shape)
    }

    /// y = w ∗ x + b; x̄ = convᵀ(ȳ, w), w̄ = corr(x, ȳ), b̄ = Σ ȳ over images and pixels.
    #[track_caller]
    fn convolve(&self, weight: &Var<T>, bias: Option<&Var<T>>, shape: ConvShape) -> Var<T> {
        let (this, weight) = (&channels_last(self), &in_weight_order(weight));
        let value = this.convolved(weight, bias, shape, 1.0);
        let (x, w) = (this.saved_for(weight), weight.saved_for(this));
        record("conv2d", [this, weight], bias, value, move |grad, back| {
            back.give(0, |back| grad.convolve_transposed(&back.var(&w), None, shape));
            back.give(1, |back| back.var(&x).correlate(&grad, shape));
            grad
        })
    }

    /// The value of w ∗ x + b, with what is not above 0 times `slope`.
    fn convolved(&self, weight: &Var<T>, bias: Option<&Var<T>>, shape: ConvShape, slope: f64) -> Tensor<T> {
        let y_shape = [shape.batch, shape.out_channels, shape.output[0], shape.output[1]];
        map_of(compiled(&Convolution { shape, slope }), self, weight, bias, y_shape)
    }

    /// y = convᵀ(x, w) + b; x̄ = w ∗ ȳ, w̄ = corr(ȳ, x), b̄ = Σ ȳ over images and pixels.
    #[track_caller]
    fn convolve_transposed(&self, weight: &Var<T>, bias: Option<&Var<T>>, shape: ConvShape) -> Var<T> {
        let y_shape = [shape.batch, shape.in_channels, shape.input[0], shape.input[1]];
        let (this, weight) = (&channels_last(self), &in_weight_order(weight));
        let value = map_of(compiled(&TransposedConvolution(shape)), this, weight, bias, y_shape);
        let (x, w) = (this.saved_for(weight), weight.saved_for(this));
        record("conv_transpose2d", [this, weight], bias, value, move |grad, back| {
            back.give(0, |back| grad.convolve(&back.var(&w), None, shape));
            back.give(1, |back| grad.correlate(&back.var(&x), shape));
            grad
        })
    }

    /// w = corr(x, y); x̄ = convᵀ(y, w̄), ȳ = w̄ ∗ x.
    #[track_caller]
    fn correlate(&self, other: &Var<T>, shape: ConvShape) -> Var<T> {
        let [r, s] = shape.kernel;
        let w_shape = [shape.out_channels, shape.in_channels / shape.groups, r, s];
        let layout = Layout::in_order(w_shape, WEIGHT_ORDER);
        let (this, other) = (&channels_last(self), &channels_last(other));
        let [value] = compute(compiled(&WeightGradient(shape)), &[this.value(), other.value()], [layout]);
        let (x, y) = (this.saved_for(other), other.saved_for(this));
        Var::record("conv2d_weight_grad", &[this, other], value, move |grad, back| {
            let grad = &in_weight_order(grad);
            back.give(0, |back| back.var(&y).convolve_transposed(grad, None, shape));
            back.give(1, |back| back.var(&x).convolve(grad, None, shape));
        })
    }
}

/// Records an operation of a map, a weight, and a bias if there is one. The rule gives the gradients of the first two,
/// and returns that of the output before the activation, which may lie in place of the one that it was given: from this
/// the bias gets its own.
#[track_caller]
fn record<T: Element>(
    name: &'static str,
    [x, weight]: [&Var<T>; 2],
    bias: Option<&Var<T>>,
    value: Tensor<T>,
    rule: impl Fn(Var<T>, &mut Backward<'_, T>) -> Var<T> + 'static,
) -> Var<T> {
    let inputs: Vec<&Var<T>> = [x, weight].into_iter().chain(bias).collect();
    let biased = bias.is_some();
    Var::record_owning(name, &inputs, value, move |grad, back| {
        // Once for all who read it; and nobody but the rule holds it afterwards.
        let laid = channels_last(&grad);
        drop(grad);
        let grad = rule(laid, back);
        if biased {
            give_bias(&grad, back);
        }
    })
}

/// The same variable, its maps lying channels-last: what is saved so needs no copy on the way back.
fn channels_last<T: Element>(x: &Var<T>) -> Var<T> {
    Var { value: x.value().channels_last(), origin: x.origin.clone() }
}

/// The same variable, its weights lying as the kernels read them.
fn in_weight_order<T: Element>(weight: &Var<T>) -> Var<T> {
    Var { value: weight.value().in_memory_order(WEIGHT_ORDER), origin: weight.origin.clone() }
}

/// The map that a kernel makes of a map, a weight, and a bias if there is one, all lying as it reads them.
fn map_of<T: Element>(
    kernel: &dyn Kernel<T>,
    x: &Var<T>,
    weight: &Var<T>,
    bias: Option<&Var<T>>,
    shape: [usize; 4],
) -> Tensor<T> {
    let bias = bias.map(|bias| bias.value().contiguous());
    let inputs: Vec<&Tensor<T>> = [x.value(), weight.value()].into_iter().chain(&bias).collect();
    let [y] = compute(kernel, &inputs, [Layout::channels_last(shape)]);
    y
}

/// The gradient of a bias: input 2, with one value per channel.
///
/// Its terms may cancel altogether. While a hinge loss is active everywhere, real and generated images pull the bias of
/// the last convolution equally far apart, and Adam, which divides a gradient by its size, would make steps of the size
/// of lr out of the rounding error. So the sum is taken in f64, except where the walk records. The gradient lies
/// channels-last.
fn give_bias<T: Element>(grad: &Var<T>, back: &mut Backward<T>) {
    let records = back.records();
    back.give(2, |_| {
        if records {
            return grad.sum_axes([0, 2, 3], false);
        }
        let layout = Layout::row_major([grad.shape()[1]]);
        let [sums] = compute(compiled(&ColumnSums), &[grad.value()], [layout]);
        sums.into()
    });
}

fn geometry(
    options: &Conv2dOptions,
    [batch, in_channels, out_channels]: [usize; 3],
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
) -> ConvShape {
    let Conv2dOptions { padding, dilation, groups, .. } = *options;
    // A step beyond the map is never made: no longer than that, since its length is a number of phases to a kernel.
    let stride = std::array::from_fn(|i| {
        let free = (input[i] + 2 * padding[i]).saturating_sub(dilation[i] * (kernel[i] - 1) + 1);
        options.stride[i].min(free + 1)
    });
    ConvShape { batch, in_channels, out_channels, input, output, kernel, stride, padding, dilation, groups }
}

/// Checks what both directions have in common; `channels` tells the number of output channels if x and weight agree.
#[track_caller]
fn check<T: Element>(
    name: &str,
    x: &Shape,
    w: &Shape,
    bias: Option<&Var<T>>,
    options: &Conv2dOptions,
    expected: &str,
    channels: impl Fn(&Shape, &Shape) -> Option<usize>,
) {
    let positive = options.groups > 0 && options.stride.iter().chain(&options.dilation).all(|&s| s > 0);
    assert!(positive, "{name}: x {x}, weight {w}, {options:?}: expected stride, dilation and groups of at least 1");
    let out_channels = if x.len() == 4 && w.len() == 4 { channels(x, w) } else { None };
    let Some(out_channels) = out_channels else {
        panic!("{name}: x {x} and weight {w} with groups {}: expected {expected}", options.groups)
    };
    if let Some(bias) = bias {
        let found = bias.shape();
        let fits = **found == [out_channels];
        assert!(fits, "{name}: x {x}, weight {w}, bias {found}: expected a bias of shape ({out_channels})");
    }
}
