//! Shapes: the extents of a tensor's axes, stored inline.

use std::fmt;

pub use crate::kernels::nest::MAX_RANK;

/// The extents of up to [`MAX_RANK`] axes (also used for strides), stored inline so that making one allocates nothing.
///
/// Functions that need a shape take `impl Into<Shape>`: an array, a slice or another shape.
///
/// ```
/// use wengert::Shape;
/// let shape = Shape::from([64, 3, 32, 32]);
/// assert_eq!(shape.size(), 64 * 3 * 32 * 32);
/// assert_eq!(shape[1], 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The number of elements: the product of the extents, 1 for a scalar.
    ///
    /// # Panics
    /// If it exceeds `isize::MAX`, the most that `ndarray` can count.
    #[track_caller]
    pub fn size(&self) -> usize {
        // Checked: a product that wrapped around would let a view reach beyond its memory.
        match self.iter().try_fold(1usize, |size, &extent| size.checked_mul(extent)) {
            Some(size) if isize::try_from(size).is_ok() => size,
            _ if self.contains(&0) => 0,
            _ => panic!("shape {self}: more elements than a computer can hold"),
        }
    }

    /// The strides of a row-major (C order) tensor of this shape.
    pub fn row_major(&self) -> Shape {
        self.dense_in_order(0..self.len())
    }

    /// The strides of a channels-last tensor (N, C, H, W lying in memory as N, H, W, C); row-major unless of rank 4.
    pub fn channels_last(&self) -> Shape {
        if self.len() == 4 { self.dense_in_order([0, 2, 3, 1]) } else { self.row_major() }
    }

    /// Strides without gaps that run through the axes in the given order, slowest first.
    pub(crate) fn dense_in_order(&self, order: impl IntoIterator<Item = usize>) -> Shape {
        let order = order.into_iter().collect::<Shape>();
        let mut strides = *self;
        let mut step = 1;
        for &axis in order.iter().rev() {
            strides[axis] = step;
            // Only a tensor without elements can reach the end of a `usize` here.
            step = step.saturating_mul(self[axis].max(1));
        }
        strides
    }

    /// Whether these strides cover this shape without gaps or overlaps, in some order of the axes.
    pub(crate) fn is_dense(&self, strides: &Shape) -> bool {
        let mut expected = 1;
        let order = crate::kernels::nest::memory_order(self, strides).into_iter().collect::<Shape>();
        order.iter().rev().filter(|&&axis| self[axis] != 1).all(|&axis| {
            let dense = strides[axis] == expected;
            expected = expected.saturating_mul(self[axis].max(1));
            dense
        })
    }

    /// Whether two stride vectors describe the same memory for this shape: axes of extent 1 do not count.
    pub(crate) fn same_strides(&self, a: &Shape, b: &Shape) -> bool {
        self.iter().zip(a.iter().zip(b.iter())).all(|(&extent, (a, b))| extent <= 1 || a == b) || self.size() == 0
    }

    /// The shape that two shapes broadcast to, by the rules of NumPy, or `None`.
    ///
    /// ```
    /// use wengert::Shape;
    /// let shape = Shape::from([64, 1, 32]).broadcast(&[3, 1].into());
    /// assert_eq!(shape, Some([64, 3, 32].into()));
    /// assert_eq!(Shape::from([2]).broadcast(&[3].into()), None);
    /// ```
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let extent = |shape: &Shape, axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
        (0..rank)
            .map(|axis| match (extent(self, axis), extent(other, axis)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect()
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];

    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank]
    }
}

impl std::ops::DerefMut for Shape {
    #[inline]
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.dims[..self.rank]
    }
}

impl FromIterator<usize> for Shape {
    /// # Panics
    /// If there are more than [`MAX_RANK`] items.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = usize>>(items: I) -> Shape {
        let mut shape = Shape::default();
        for item in items {
            assert!(shape.rank < MAX_RANK, "a tensor has at most {MAX_RANK} axes");
            shape.dims[shape.rank] = item;
            shape.rank += 1;
        }
        shape
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(dims: &[usize]) -> Shape {
        Shape::from_iter(dims.iter().copied())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: [usize; N]) -> Shape {
        Shape::from_iter(dims)
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: &[usize; N]) -> Shape {
        dims.as_slice().into()
    }
}

impl From<&Vec<usize>> for Shape {
    #[track_caller]
    fn from(dims: &Vec<usize>) -> Shape {
        dims.as_slice().into()
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        *shape
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(")?;
        for (i, extent) in self.iter().enumerate() {
            write!(f, "{}{extent}", if i > 0 { ", " } else { "" })?;
        }
        write!(f, ")")
    }
}
