//! Parts along several axes in one call.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use crate::{Element, Tensor, Var};

/// What [`Var::i`] takes along one axis.
#[derive(Clone, Copy, Debug)]
pub enum Along {
    /// The elements at one index, without the axis.
    At(usize),
    /// The elements with index between these bounds.
    Between(Bound<usize>, Bound<usize>),
}

impl Along {
    /// The indices of an axis of this extent; `None` if they are out of bounds.
    fn of(self, extent: usize) -> Option<Range<usize>> {
        let (start, end) = match self {
            Along::At(index) => (index, index.checked_add(1)?),
            Along::Between(start, end) => {
                let start = match start {
                    Bound::Included(start) => start,
                    Bound::Excluded(before) => before.checked_add(1)?,
                    Bound::Unbounded => 0,
                };
                let end = match end {
                    Bound::Included(last) => last.checked_add(1)?,
                    Bound::Excluded(end) => end,
                    Bound::Unbounded => extent,
                };
                (start, end)
            }
        };
        (start <= end && end <= extent).then_some(start..end)
    }
}

impl fmt::Display for Along {
    /// As Rust writes it, where Rust has a way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = match self {
            Along::At(index) => return write!(f, "{index}"),
            Along::Between(start, end) => (start, end),
        };
        match start {
            Bound::Included(start) => write!(f, "{start}")?,
            Bound::Excluded(before) => write!(f, "{before}<")?,
            Bound::Unbounded => {}
        }
        match end {
            Bound::Included(last) => write!(f, "..={last}"),
            Bound::Excluded(end) => write!(f, "..{end}"),
            Bound::Unbounded => write!(f, ".."),
        }
    }
}

impl From<usize> for Along {
    fn from(index: usize) -> Along {
        Along::At(index)
    }
}

/// What [`Var::i`] takes: an index, a range, a tuple of up to six of them, or a slice of [`Along`].
///
/// ```
/// use wengert::{Tensor, ops::Along};
/// let x = Tensor::<f32>::zeros([2, 3, 4]);
/// let last: Vec<Along> = x.shape().iter().map(|n| Along::At(n - 1)).collect();
/// assert_eq!(x.i(&last[..]).shape(), &[].into());
/// ```
pub trait Index {
    /// What to take along the first axes; the other axes are taken whole.
    fn along(self) -> Vec<Along>;
}

macro_rules! ranges {
    ($($range:ty),+) => {
        $(impl From<$range> for Along {
            fn from(range: $range) -> Along {
                Along::Between(range.start_bound().cloned(), range.end_bound().cloned())
            }
        })+
    };
}

ranges!(Range<usize>, RangeInclusive<usize>, RangeFrom<usize>, RangeTo<usize>, RangeToInclusive<usize>, RangeFull);

/// One alone.
macro_rules! alone {
    ($($one:ty),+) => {
        $(impl Index for $one {
            fn along(self) -> Vec<Along> {
                vec![self.into()]
            }
        })+
    };
}

alone!(Along, usize, Range<usize>, RangeInclusive<usize>, RangeFrom<usize>, RangeTo<usize>);
alone!(RangeToInclusive<usize>, RangeFull);

/// As many as the program finds out.
impl Index for &[Along] {
    fn along(self) -> Vec<Along> {
        self.to_vec()
    }
}

macro_rules! tuples {
    ($(($($part:ident),+))+) => {
        $(impl<$($part: Into<Along>),+> Index for ($($part,)+) {
            #[allow(non_snake_case, reason = "each part is named as its type")]
            fn along(self) -> Vec<Along> {
                let ($($part,)+) = self;
                vec![$($part.into()),+]
            }
        })+
    };
}

tuples!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(A, B, C, D, E, F));

impl<T: Element> Var<T> {
    /// A part, a view: along each axis the elements at one index, which takes the axis away, or those of a range;
    /// along axes that are not mentioned, all. x̄ is ȳ among zeros. The name is that of tch and of candle; PyTorch
    /// writes `x[0, :, 1:3]`.
    ///
    /// ```
    /// use wengert::{Tensor, Var};
    /// let x = Var::<f64>::from(Tensor::from_vec([2, 2, 3], (0..12).map(f64::from).collect()));
    /// assert_eq!(x.i((0, .., 1..3)).value(), &Tensor::from_vec([2, 2], vec![1.0, 2.0, 4.0, 5.0]));
    /// assert_eq!(x.i((.., ..1)).shape(), &[2, 1, 3].into());
    /// assert_eq!(x.i((1, 1, 2)).item(), 11.0);
    /// assert_eq!(x.i(1).shape(), &[2, 3].into());
    /// ```
    ///
    /// # Panics
    /// If there are more parts than axes, or one is out of bounds.
    #[track_caller]
    pub fn i(&self, index: impl Index) -> Var<T> {
        let (along, shape) = (index.along(), *self.shape());
        let rank = shape.len();
        assert!(along.len() <= rank, "i: {} parts for shape {shape}: expected at most {rank}", along.len());
        let (mut y, mut axis) = (self.clone(), 0);
        for (number, along) in along.iter().enumerate() {
            let extent = shape[number];
            let Some(range) = along.of(extent) else {
                panic!("i: {along} along axis {number} of shape {shape}: expected what lies within 0..{extent}")
            };
            if range != (0..extent) {
                y = y.slice(axis, range);
            }
            match along {
                Along::At(_) => y = y.squeeze(axis),
                Along::Between(..) => axis += 1,
            }
        }
        y
    }
}

impl<T: Element> Tensor<T> {
    /// A part, a view; see [`Var::i`].
    ///
    /// # Panics
    /// As [`Var::i`].
    #[track_caller]
    pub fn i(&self, index: impl Index) -> Tensor<T> {
        Var::from(self).i(index).into_value()
    }
}
