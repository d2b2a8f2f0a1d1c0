//! Kernels: values with sizes and options ([`kernel`]), and their loops over slices. They know shapes and strides, but
//! no tensor, no tape and no rule.
//!
//! The fast products and convolutions have naive ones as oracles; all others are tested against their definitions. Work
//! is cut into parts whose number and borders depend on the sizes alone, and partial results are added in a fixed order
//! ([`parallel`]): the same input gives the same bits at any number of threads.

pub mod around;
pub mod batch_norm;
pub mod bilinear;
pub mod buffer;
pub mod by_element;
pub mod conv;
pub mod copy;
pub mod device;
pub mod element;
mod fetch;
pub mod formulas;
pub mod function;
pub mod gemm;
pub mod index;
pub mod kernel;
pub mod level;
#[allow(clippy::needless_range_loop, reason = "the index runs through several slices in step")]
#[allow(clippy::redundant_locals, reason = "the copy of a function is for the sake of what it captured")]
pub mod loops;
pub mod matmul;
#[allow(clippy::needless_range_loop, reason = "the index runs through several small arrays in step")]
pub mod nest;
pub mod norm;
pub mod number;
#[cfg(feature = "opencl")]
pub mod opencl;
#[cfg(not(feature = "opencl"))]
#[path = "kernels/opencl/stub.rs"]
pub mod opencl;
pub mod optim;
#[allow(clippy::needless_range_loop, reason = "the index runs through two slices in step")]
pub mod parallel;
pub mod pool;
pub mod precision;
pub mod product;
pub mod reduce;
mod shared;
pub mod simd;
pub mod softmax;
pub mod spectral;
pub mod storage;
#[cfg(test)]
mod testing;

pub use buffer::Buffer;
pub use element::Element;
pub use function::Function;
pub use level::Level;
pub use number::{Number, number};
pub use precision::Precision;
pub use storage::Storage;

use ndarray::{ArrayViewD, IxDyn, ShapeBuilder};

/// An `ndarray` view of a slice by shape and strides, which may be 0 (broadcast).
///
/// # Panics
/// If the strides leave the slice, or a repeated axis makes more elements than `isize::MAX`.
pub fn view<'a, T: Element>(slice: &'a [T], shape: &[usize], strides: &[usize]) -> ArrayViewD<'a, T> {
    assert_eq!(shape.len(), strides.len(), "one stride for each axis");
    let steps = shape.iter().zip(strides).map(|(n, s)| n.saturating_sub(1).saturating_mul(*s));
    let last = steps.fold(0, usize::saturating_add);
    assert!(shape.contains(&0) || last < slice.len(), "strides {strides:?} of shape {shape:?} leave the slice");
    let extents = shape.iter().filter(|&&n| n > 0);
    let size = extents.fold(1, |size: usize, &n| size.saturating_mul(n));
    assert!(size <= isize::MAX as usize, "a view of shape {shape:?} has too many elements");
    // SAFETY: every element that the view can reach lies in the slice, by the assertion above, for as long as the slice
    // is borrowed; by the last one `ndarray` can count them. `ArrayView::from_shape` would refuse the stride 0 of a
    // repeated axis, which reading allows.
    unsafe { ArrayViewD::from_shape_ptr(IxDyn(shape).strides(IxDyn(strides)), slice.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::view;

    #[test]
    fn views_that_leave_the_slice_or_cannot_be_counted_are_refused() {
        let refused =
            |shape: &[usize], strides: &[usize]| std::panic::catch_unwind(|| view(&[1.0f32; 6], shape, strides).len());
        assert_eq!(refused(&[2, 3], &[3, 1]).unwrap(), 6);
        assert_eq!(refused(&[2, 3], &[0, 2]).unwrap(), 6);
        assert!(refused(&[2, 4], &[3, 1]).is_err());
        assert!(refused(&[1 << 40, 1 << 40], &[0, 0]).is_err());
        assert!(refused(&[1 << 40, 0, 1 << 40], &[0, 0, 0]).is_err());
    }
}
