//! Shapes, strides and axes: short lists of whole numbers, stored inline so that making one allocates nothing.

use std::fmt;

/// The largest number of axes that a tensor can have.
pub const MAX_RANK: usize = 6;

/// At most [`MAX_RANK`] numbers.
#[derive(Clone, Copy, Eq, Default)]
struct List {
    numbers: [usize; MAX_RANK],
    len: usize,
}

impl PartialEq for List {
    /// Not derived: the call that compares all places took 4 % of the time of operations on a few numbers.
    #[inline]
    fn eq(&self, other: &List) -> bool {
        self.len == other.len && (0..self.len).all(|i| self.numbers[i] == other.numbers[i])
    }
}

impl std::hash::Hash for List {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.numbers[..self.len].hash(state);
    }
}

impl FromIterator<usize> for List {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = usize>>(items: I) -> List {
        let mut list = List::default();
        for item in items {
            assert!(list.len < MAX_RANK, "a tensor has at most {MAX_RANK} axes");
            list.numbers[list.len] = item;
            list.len += 1;
        }
        list
    }
}

/// A list of one meaning, and what it can be made of.
macro_rules! list {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(List);

        impl std::ops::Deref for $name {
            type Target = [usize];

            #[inline]
            fn deref(&self) -> &[usize] {
                &self.0.numbers[..self.0.len]
            }
        }

        impl std::ops::DerefMut for $name {
            #[inline]
            fn deref_mut(&mut self) -> &mut [usize] {
                &mut self.0.numbers[..self.0.len]
            }
        }

        impl FromIterator<usize> for $name {
            /// # Panics
            /// If there are more than [`MAX_RANK`] items.
            #[track_caller]
            fn from_iter<I: IntoIterator<Item = usize>>(items: I) -> $name {
                $name(List::from_iter(items))
            }
        }

        impl From<&[usize]> for $name {
            #[track_caller]
            fn from(numbers: &[usize]) -> $name {
                $name::from_iter(numbers.iter().copied())
            }
        }

        impl<const N: usize> From<[usize; N]> for $name {
            #[track_caller]
            fn from(numbers: [usize; N]) -> $name {
                $name::from_iter(numbers)
            }
        }

        impl<const N: usize> From<&[usize; N]> for $name {
            #[track_caller]
            fn from(numbers: &[usize; N]) -> $name {
                numbers.as_slice().into()
            }
        }

        impl From<&Vec<usize>> for $name {
            #[track_caller]
            fn from(numbers: &Vec<usize>) -> $name {
                numbers.as_slice().into()
            }
        }

        impl From<&$name> for $name {
            fn from(list: &$name) -> $name {
                *list
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "(")?;
                for (i, number) in self.iter().enumerate() {
                    write!(f, "{}{number}", if i > 0 { ", " } else { "" })?;
                }
                write!(f, ")")
            }
        }
    };
}

list! {
    /// The extents of up to [`MAX_RANK`] axes.
    ///
    /// Functions that need a shape take `impl Into<Shape>`: an array, a slice or another shape.
    ///
    /// ```
    /// use wengert::Shape;
    /// let shape = Shape::from([64, 3, 32, 32]);
    /// assert_eq!(shape.size(), 64 * 3 * 32 * 32);
    /// assert_eq!(shape[1], 3);
    /// ```
    Shape
}

list! {
    /// How far apart the elements of a tensor lie in memory, along each axis, in elements; 0 along an axis that repeats
    /// one element.
    Strides
}

list! {
    /// Some of a tensor's axes, by number, in an order that may matter.
    ///
    /// Functions that need axes take `impl Into<Axes>`: an array, a slice or other axes.
    Axes
}

impl Shape {
    /// The number of elements: the product of the extents, 1 for a scalar.
    ///
    /// # Panics
    /// If it exceeds `isize::MAX`, the most that `ndarray` can count.
    #[track_caller]
    pub fn size(&self) -> usize {
        match self.checked_size() {
            Some(size) => size,
            None => panic!("shape {self}: more elements than a computer can hold"),
        }
    }

    /// [`size`](Shape::size), or nothing if a computer cannot hold so many elements.
    pub(crate) fn checked_size(&self) -> Option<usize> {
        // Checked: a product that wrapped around would let a view reach beyond its memory.
        match self.iter().try_fold(1usize, |size, &extent| size.checked_mul(extent)) {
            Some(size) if isize::try_from(size).is_ok() => Some(size),
            _ => self.contains(&0).then_some(0),
        }
    }

    /// All axes, in order.
    pub fn axes(&self) -> Axes {
        (0..self.len()).collect()
    }

    /// The shape with the extent of one axis replaced.
    ///
    /// # Panics
    /// If the axis is out of bounds.
    #[track_caller]
    pub fn with_extent(mut self, axis: usize, extent: usize) -> Shape {
        self[axis] = extent;
        self
    }

    /// The strides of a row-major (C order) tensor of this shape.
    pub fn row_major(&self) -> Strides {
        self.dense_in_order(0..self.len())
    }

    /// The strides of a channels-last tensor (N, C, H, W lying in memory as N, H, W, C); row-major unless of rank 4.
    pub fn channels_last(&self) -> Strides {
        if self.len() == 4 { self.dense_in_order([0, 2, 3, 1]) } else { self.row_major() }
    }

    /// Strides without gaps that run through the axes in the given order, slowest first.
    pub(crate) fn dense_in_order(&self, order: impl IntoIterator<Item = usize>) -> Strides {
        let order: Axes = order.into_iter().collect();
        let mut strides = Strides(self.0);
        let mut step = 1;
        for &axis in order.iter().rev() {
            strides[axis] = step;
            // Only a tensor without elements can reach the end of a `usize` here.
            step = step.saturating_mul(self[axis].max(1));
        }
        strides
    }

    /// Whether these strides are those of row-major memory; axes of extent 1 do not count.
    fn is_row_major(&self, strides: &Strides) -> bool {
        let mut expected = 1;
        for axis in (0..self.len()).rev() {
            if self[axis] != 1 && strides[axis] != expected {
                return false;
            }
            expected = expected.saturating_mul(self[axis].max(1));
        }
        true
    }

    /// Whether these strides cover this shape without gaps or overlaps, in some order of the axes.
    pub(crate) fn is_dense(&self, strides: &Strides) -> bool {
        if self.is_row_major(strides) {
            return true;
        }
        let mut expected = 1;
        strides.order().iter().rev().filter(|&&axis| self[axis] != 1).all(|&axis| {
            let dense = strides[axis] == expected;
            expected = expected.saturating_mul(self[axis].max(1));
            dense
        })
    }

    /// Whether two stride vectors describe the same memory for this shape: axes of extent 1 do not count.
    pub(crate) fn same_strides(&self, a: &Strides, b: &Strides) -> bool {
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

impl Strides {
    /// The axes as they lie in memory, the largest stride first; equal strides keep the order of the axes.
    pub(crate) fn order(&self) -> Axes {
        memory_order(self)
    }

    /// The strides of the same memory seen under another shape, in row-major order of the elements of `from`, if there
    /// are any: axes that lie behind one another without a jump can be merged and cut anew, others cannot.
    pub(crate) fn reshaped(&self, from: &Shape, to: &Shape) -> Option<Strides> {
        if from.size() == 0 {
            return Some(to.row_major());
        }
        let mut strides = to.row_major();
        // Groups of axes with the same number of elements on both sides, from the last to the first.
        let (mut old, mut new) = (from.len(), to.len());
        while old > 0 {
            let (mut old_size, mut new_size) = (from[old - 1], 1);
            let (old_end, new_end) = (old, new);
            old -= 1;
            while new_size != old_size {
                if new_size < old_size {
                    new -= 1;
                    new_size *= to[new];
                } else {
                    old -= 1;
                    old_size *= from[old];
                }
            }
            let own = (old..old_end).filter(|&axis| from[axis] != 1).collect::<Axes>();
            let merge = own.windows(2).all(|pair| self[pair[0]] == self[pair[1]] * from[pair[1]]);
            if !merge {
                return None;
            }
            let mut step = own.last().map_or(1, |&axis| self[axis]);
            for axis in (new..new_end).rev() {
                strides[axis] = step;
                step *= to[axis];
            }
        }
        Some(strides)
    }
}

/// The axes of some strides from the largest to the smallest; equal strides keep the order of the axes.
pub(crate) fn memory_order(strides: &[usize]) -> Axes {
    let mut axes: Axes = (0..strides.len()).collect();
    // Insertion sort: at most six axes, mostly in order already.
    for i in 1..axes.len() {
        let mut j = i;
        while j > 0 && strides[axes[j - 1]] < strides[axes[j]] {
            axes.swap(j - 1, j);
            j -= 1;
        }
    }
    axes
}

/// Where the elements of a tensor without gaps lie: its shape, and its strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) shape: Shape,
    pub(crate) strides: Strides,
}

impl Layout {
    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The strides.
    pub fn strides(&self) -> &Strides {
        &self.strides
    }

    /// Row-major memory (C order).
    #[track_caller]
    pub fn row_major(shape: impl Into<Shape>) -> Layout {
        let shape = shape.into();
        Layout { shape, strides: shape.row_major() }
    }

    /// Maps (N, C, H, W) lying in memory as N, H, W, C; row-major unless of rank 4.
    #[track_caller]
    pub fn channels_last(shape: impl Into<Shape>) -> Layout {
        let shape = shape.into();
        Layout { shape, strides: shape.channels_last() }
    }

    /// Memory in which the axes vary in this order, slowest first.
    ///
    /// # Panics
    /// If `order` does not name every axis once.
    #[track_caller]
    pub fn in_order(shape: impl Into<Shape>, order: impl Into<Axes>) -> Layout {
        let (shape, order) = (shape.into(), order.into());
        let is_order = order.len() == shape.len() && (0..shape.len()).all(|axis| order.contains(&axis));
        assert!(is_order, "layout: {order} is no order of the axes of {shape}");
        Layout { shape, strides: shape.dense_in_order(order.iter().copied()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_finds_the_strides_of_a_view() {
        let view = |from: &[usize], strides: &[usize], to: &[usize]| {
            let found = Strides::from(strides).reshaped(&from.into(), &to.into());
            found.map(|strides| strides.to_vec())
        };
        assert_eq!(view(&[2, 3, 4], &[12, 4, 1], &[6, 4]), Some(vec![4, 1]));
        assert_eq!(view(&[2, 3, 4], &[12, 4, 1], &[2, 2, 6]), Some(vec![12, 6, 1]));
        assert_eq!(view(&[3, 2], &[1, 3], &[6]), None, "a transposed matrix");
        assert_eq!(view(&[5, 3, 2], &[6, 1, 3], &[5, 6]), None);
        assert_eq!(view(&[5, 6, 2], &[1, 10, 5], &[5, 3, 4]), Some(vec![1, 20, 5]));
        assert_eq!(view(&[2, 3, 4, 5], &[0, 0, 5, 1], &[6, 4, 5]), Some(vec![0, 5, 1]), "repeated axes");
        assert_eq!(view(&[2, 3, 4, 5], &[20, 0, 5, 1], &[6, 4, 5]), None);
        assert_eq!(view(&[4, 6], &[12, 1], &[2, 2, 6, 1]), Some(vec![24, 12, 1, 1]), "rows of a wider matrix");
        assert_eq!(view(&[4, 6], &[12, 1], &[24]), None);
        assert_eq!(view(&[1, 4, 1], &[7, 2, 9], &[2, 2]), Some(vec![4, 2]));
        assert_eq!(view(&[], &[], &[1, 1]), Some(vec![1, 1]));
        assert_eq!(view(&[0, 3], &[3, 1], &[3, 0]), Some(vec![1, 1]));
    }
}
