//! The formulas that more than one family of operations uses.

use crate::function;

function!(
    /// a + b
    pub Sum |a, b| a + b
);
function!(
    /// a − b
    pub Difference |a, b| a - b
);
function!(
    /// a·b
    pub Product |a, b| a * b
);
function!(
    /// a/b
    pub Quotient |a, b| a / b
);
function!(
    /// scale·x + shift
    pub Affine { scale, shift } |x| scale * x + shift
);
function!(
    /// The larger of both, NaN if one is.
    pub Larger |a, b| a.if_above(b, a, a.if_nan(a, b))
);
function!(
    /// The smaller of both, NaN if one is.
    pub Smaller |a, b| b.if_above(a, a, a.if_nan(a, b))
);
#[cfg(any(feature = "opencl", test))]
function!(
    /// x
    pub Same |x| x
);
