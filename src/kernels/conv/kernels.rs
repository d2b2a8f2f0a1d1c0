//! The three maps as kernels.

#[cfg(feature = "opencl")]
use super::device::{self, Gather};
use super::{ConvShape, Epilogue, conv2d, conv2d_input_grad, conv2d_weight_grad};
use crate::kernels::Element;
#[cfg(feature = "opencl")]
use crate::kernels::device::{Operand, Operands, Unsupported};
use crate::kernels::kernel::{Inputs, Kernel, Outputs, compile};
#[cfg(feature = "opencl")]
use crate::kernels::opencl::Queue;

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

/// As [`operands`], on a device.
#[cfg(feature = "opencl")]
fn placed(inputs: Operands<'_>) -> (Operand<'_>, Operand<'_>, Option<Operand<'_>>) {
    let [map, weight, bias @ ..] = inputs.tensors else { panic!("a convolution of {} operands", inputs.tensors.len()) };
    (*map, *weight, bias.first().copied())
}

compile!(Convolution, TransposedConvolution, WeightGradient);

impl<T: Element> Kernel<T> for Convolution {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [y]) = (&self.shape, outputs.tensors());
        let (x, w, bias) = operands(inputs);
        conv2d(shape, x, w, Epilogue { bias, slope: T::of(self.slope) }, y);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ((x, w, bias), [y]) = (placed(inputs), outputs.tensors());
        device::convolve::<T>(queue, &self.shape, Gather::Forward, [x, w, y], (bias, self.slope))
    }
}

impl<T: Element> Kernel<T> for TransposedConvolution {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [dx]) = (&self.0, outputs.tensors());
        let (dy, w, bias) = operands(inputs);
        conv2d_input_grad(shape, dy, w, bias, dx);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ((dy, w, bias), [dx]) = (placed(inputs), outputs.tensors());
        device::convolve::<T>(queue, &self.0, Gather::Adjoint, [dy, w, dx], (bias, 1.0))
    }
}

impl<T: Element> Kernel<T> for WeightGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let (shape, [x, dy], [dw]) = (&self.0, inputs.tensors(), outputs.tensors());
        conv2d_weight_grad(shape, x, dy, dw);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        device::weigh::<T>(queue, &self.0, inputs.tensors(), outputs.tensors())
    }
}
