//! A dense tensor seen around one axis: what lies outside it in memory, the axis, and what lies inside.

use crate::shape::memory_order;

/// The memory of a dense tensor as (outer, extent, inner), `extent` being that of one axis.
///
/// Element (o, e, i) lies at `(o * extent + e) * inner + i`. The axis is the memory's innermost if `inner` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The product of the extents of the axes that vary slower than the axis.
    pub outer: usize,
    /// The extent of the axis.
    pub extent: usize,
    /// The product of the extents of the axes that vary faster than the axis.
    pub inner: usize,
}

impl Around {
    /// The view around `axis` of a tensor of this shape whose strides have no gaps.
    pub fn new(shape: &[usize], strides: &[usize], axis: usize) -> Around {
        let order = memory_order(strides);
        let size = |axes: &[usize]| axes.iter().map(|&a| shape[a]).product();
        let at = order.iter().position(|&a| a == axis).expect("an axis of the shape");
        Around { outer: size(&order[..at]), extent: shape[axis], inner: size(&order[at + 1..]) }
    }

    /// The same, with another extent along the axis.
    pub fn with_extent(self, extent: usize) -> Around {
        Around { extent, ..self }
    }

    /// The number of elements.
    pub fn size(self) -> usize {
        self.outer * self.extent * self.inner
    }
}
