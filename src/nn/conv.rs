//! Convolutions.

use super::init::Role;
use super::weight::Weight;
use super::{ParamId, Pass, Scope, WeightOptions};
use crate::ops::{Conv2dOptions, WEIGHT_ORDER};
use crate::{Element, Rng, Var};

/// A convolution: (N, in, H, W) to (N, out, H', W'), with `weight` (out, in/groups, kh, kw) and `bias` (out).
/// See [`Var::conv2d`].
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Weight,
    bias: Option<ParamId>,
    options: Conv2dOptions,
}

impl Conv2d {
    /// A convolution in this scope.
    ///
    /// # Panics
    /// If an extent is 0, the groups do not divide the channels, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(
        scope: &mut Scope<'_, T>,
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        options: &Conv2dOptions,
        weight: impl Into<WeightOptions>,
        rng: &mut Rng,
    ) -> Conv2d {
        check_groups("Conv2d", inputs, outputs, options.groups);
        let config = weight.into();
        let shape = [outputs, inputs / options.groups, kernel[0], kernel[1]].into();
        let weight = config.weight(scope, Role::Linear, (shape, WEIGHT_ORDER.into(), 0), rng);
        let bias = config.bias(scope, &weight, outputs, rng);
        Conv2d { weight, bias, options: *options }
    }

    /// (N, in, H, W) to (N, out, H', W').
    ///
    /// # Panics
    /// If `x` does not fit, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let bias = self.bias.map(|bias| pass.param(bias));
        x.conv2d(&self.weight.var(pass), bias.as_ref(), &self.options)
    }

    /// [`forward`](Conv2d::forward), then the leaky ReLU of this slope, in one pass over memory; see
    /// [`Var::conv2d_leaky_relu`].
    ///
    /// # Panics
    /// As [`forward`](Conv2d::forward), and if the slope is not above 0.
    #[track_caller]
    pub fn forward_leaky_relu<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>, slope: f64) -> Var<T> {
        let bias = self.bias.map(|bias| pass.param(bias));
        x.conv2d_leaky_relu(&self.weight.var(pass), bias.as_ref(), &self.options, slope)
    }
}

/// A transposed convolution: (N, in, H, W) to (N, out, H', W'), with `weight` (in, out/groups, kh, kw) and `bias`
/// (out). See [`Var::conv_transpose2d`]. Spectral norm counts axis 1 as the output.
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    weight: Weight,
    bias: Option<ParamId>,
    options: Conv2dOptions,
    output_padding: [usize; 2],
}

impl ConvTranspose2d {
    /// A transposed convolution in this scope, without output padding.
    ///
    /// # Panics
    /// If an extent is 0, the groups do not divide the channels, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(
        scope: &mut Scope<'_, T>,
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        options: &Conv2dOptions,
        weight: impl Into<WeightOptions>,
        rng: &mut Rng,
    ) -> ConvTranspose2d {
        check_groups("ConvTranspose2d", inputs, outputs, options.groups);
        let config = weight.into();
        let shape = [inputs, outputs / options.groups, kernel[0], kernel[1]].into();
        let weight = config.weight(scope, Role::Linear, (shape, WEIGHT_ORDER.into(), 1), rng);
        let bias = config.bias(scope, &weight, outputs, rng);
        ConvTranspose2d { weight, bias, options: *options, output_padding: [0, 0] }
    }

    /// The same with rows and columns added at the end of the output, for strides that leave its size open.
    pub fn output_padding(self, output_padding: [usize; 2]) -> ConvTranspose2d {
        ConvTranspose2d { output_padding, ..self }
    }

    /// (N, in, H, W) to (N, out, H', W').
    ///
    /// # Panics
    /// If `x` does not fit, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let bias = self.bias.map(|bias| pass.param(bias));
        x.conv_transpose2d(&self.weight.var(pass), bias.as_ref(), &self.options, self.output_padding)
    }
}

#[track_caller]
fn check_groups(name: &str, inputs: usize, outputs: usize, groups: usize) {
    let fits = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
    assert!(fits, "{name}: {inputs} channels to {outputs} in {groups} groups: expected groups that divide both");
}
