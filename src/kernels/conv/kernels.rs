//! The three maps as kernels.

use super::{ConvShape, Epilogue, conv2d, conv2d_input_grad, conv2d_weight_grad};
use crate::kernels::Element;
use crate::kernels::kernel::{Inputs, Kernel, Outputs};

/// y ← w ∗ x, or with a third input w ∗ x + bias; then what is not above 0 times `slope`. All channels-last, see
/// [`conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// The sizes.
    pub shape: ConvShape,
    /// The slope of a leaky ReLU; 1 for none.
    pub slope: f64,
}

/// dx ← the adjoint in x applied to dy and w, or with a third input that plus a bias; see [`conv2d_input_grad`].
#[derive(Clone, Copy, Debug)]
pub struct TransposedConvolution(pub ConvShape);

/// dw ← the adjoint in w applied to x and dy; see [`conv2d_weight_grad`].
#[derive(Clone, Copy, Debug)]
pub struct WeightGradient(pub ConvShape);

/// Map, weight, and the bias if there is one.
fn operands<'a, T>(inputs: Inputs<'a, T>) -> (&'a [T], &'a [T], Option<&'a [T]>) {
    let [map, weight, bias @ ..] = inputs.tensors else { panic!("a convolution of {} operands", inputs.tensors.len()) };
    (map, weight, bias.first().copied())
}

impl<T: Element> Kernel<T> for Convolution {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [y]) = (&self.shape, outputs.tensors());
        let (x, w, bias) = operands(inputs);
        conv2d(shape, x, w, Epilogue { bias, slope: T::of(self.slope) }, y);
    }
}

impl<T: Element> Kernel<T> for TransposedConvolution {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [dx]) = (&self.0, outputs.tensors());
        let (dy, w, bias) = operands(inputs);
        conv2d_input_grad(shape, dy, w, bias, dx);
    }
}

impl<T: Element> Kernel<T> for WeightGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [x, dy], [dw]) = (&self.0, inputs.tensors(), outputs.tensors());
        conv2d_weight_grad(shape, x, dy, dw);
    }
}
