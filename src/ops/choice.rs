//! One of two values at every place: as a mask says, or the larger or the smaller one.

use super::arithmetic::repeated;
use crate::compute::by_element;
use crate::kernels::formulas::{Larger, Smaller};
use crate::{Element, Tensor, Var, function, number};

function!(
    /// a where the mask is not 0, else b.
    pub Choose |mask, a, b| mask.if_equal(number(0.0), b, a)
);
function!(
    /// g where the mask is not 0; not times the mask, which would make NaN of an infinite g.
    pub WhereTrue |g, mask| mask.if_equal(number(0.0), number(0.0), g)
);
function!(
    /// g where the mask is 0.
    pub WhereFalse |g, mask| mask.if_equal(number(0.0), g, number(0.0))
);
function!(
    /// The part of a gradient that the larger of two numbers passes on to a: half of it if both are equal, all of it
    /// if either is NaN.
    pub ShareOfLarger |a, b| -> [share] {
        let unless_larger = a.if_equal(b, number(0.5), a.if_at_most(b, number(0.0), number(1.0)));
        let share = a.if_above(b, number(1.0), unless_larger);
    }
);
function!(
    /// That part of g; 0 even of an infinite g where the share is 0.
    pub Part |g, share| share.if_equal(number(0.0), number(0.0), share * g)
);

impl<T: Element> Var<T> {
    /// y = a where `mask` is not 0, else b; the three are repeated to one shape. PyTorch's `where`, whose name Rust
    /// keeps for itself, under candle's name. ā is ȳ where the mask is not 0, and 0 elsewhere; b̄ the other way around.
    /// No gradient goes to the mask.
    ///
    /// ```
    /// use wengert::{Tape, Tensor, Var};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::from_vec([3], vec![-1.0, 0.5, 4.0]));
    /// let is_large = x.value().map(|x| f64::from(x > 1.0)); // the mask
    /// let y = Var::where_cond(&is_large, &(&x * 10.0), &x);
    /// assert_eq!(y.value().to_vec(), [-1.0, 0.5, 40.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).to_vec(), [1.0, 1.0, 10.0]);
    /// ```
    ///
    /// What is not chosen has the gradient 0 here, but the rules behind it go on with that 0, as in PyTorch: where √x
    /// is not chosen because x < 0, x gets 0·NaN. Choose x first, and take the root of what is chosen.
    ///
    /// # Panics
    /// If the shapes do not broadcast to one.
    #[track_caller]
    pub fn where_cond(mask: &Tensor<T>, a: &Var<T>, b: &Var<T>) -> Var<T> {
        let shapes = [mask.shape(), a.shape(), b.shape()];
        let joint = shapes[0].broadcast(shapes[1]).and_then(|shape| shape.broadcast(shapes[2]));
        let Some(shape) = joint else {
            let [mask, a, b] = shapes;
            panic!(
                "where_cond: the mask {mask} and the operands {a} and {b} do not broadcast: expected equal extents, or \
                 1, counting axes from the last"
            )
        };
        let (a, b, mask) = (a.broadcast_to(shape), b.broadcast_to(shape), mask.clone());
        let value = by_element(Choose, [&mask, a.value(), b.value()]);
        Var::record("where_cond", &[&a, &b], value, move |grad, back| {
            back.give(0, |_| grad.gate(&mask, WhereTrue));
            back.give(1, |_| grad.gate(&mask, WhereFalse));
        })
    }

    /// y = the larger of both, which are repeated to one shape; NaN if either is. The larger one gets ȳ, equal ones
    /// half of it each, and both all of it if either is NaN.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let a = tape.var(Tensor::<f64>::from_vec([3], vec![1.0, 2.0, 3.0]));
    /// let y = a.maximum(&tape.var(Tensor::scalar(2.0)));
    /// assert_eq!(y.value().to_vec(), [2.0, 2.0, 3.0]);
    /// assert_eq!(y.sum().backward().wrt(&a).to_vec(), [0.0, 0.5, 1.0]);
    /// ```
    ///
    /// # Panics
    /// If the shapes do not broadcast to one.
    #[track_caller]
    pub fn maximum(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("maximum", self, other);
        let (x, y) = (a.value().clone(), b.value().clone());
        Var::record("maximum", &[&a, &b], by_element(Larger, [&x, &y]), move |grad, back| {
            back.give(0, |_| grad.share_of_larger(&x, &y));
            back.give(1, |_| grad.share_of_larger(&y, &x));
        })
    }

    /// y = the smaller of both, which are repeated to one shape; NaN if either is. The smaller one gets ȳ, equal ones
    /// half of it each, and both all of it if either is NaN.
    ///
    /// # Panics
    /// If the shapes do not broadcast to one.
    #[track_caller]
    pub fn minimum(&self, other: &Var<T>) -> Var<T> {
        let (a, b) = repeated("minimum", self, other);
        let (x, y) = (a.value().clone(), b.value().clone());
        Var::record("minimum", &[&a, &b], by_element(Smaller, [&x, &y]), move |grad, back| {
            back.give(0, |_| grad.share_of_larger(&y, &x));
            back.give(1, |_| grad.share_of_larger(&x, &y));
        })
    }

    /// The part of a gradient of max(a, b) for a, which is that of min(a, b) for b.
    #[track_caller]
    fn share_of_larger(&self, a: &Tensor<T>, b: &Tensor<T>) -> Var<T> {
        self.gate(&by_element(ShareOfLarger, [a, b]), Part)
    }
}
