//! Dropout: noise that a net trains with.

use crate::compute::Layout;
use crate::{Element, Rng, Tensor, Var};

impl<T: Element> Var<T> {
    /// Dropout (Srivastava et al. 2014) as training has it: y = x ⊙ m, where m is 0 with probability `p`, and else
    /// 1/(1 − p), so that the mean stays; x̄ = ȳ ⊙ m. In evaluation, leave the call out.
    ///
    /// The mask is drawn from `rng`, one number for each element in row-major order, whatever `p` is and however x lies
    /// in memory: the same state gives the same mask. A NaN or infinity that is dropped is NaN, as in PyTorch.
    ///
    /// ```
    /// use wengert::{Rng, Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::<f64>::ones([4]));
    /// let y = x.dropout(0.2, &mut Rng::seed(0));
    /// assert_eq!(y.value().to_vec(), [1.25, 1.25, 1.25, 0.0]);
    /// assert_eq!(y.sum().backward().wrt(&x), *y.value());
    /// ```
    ///
    /// # Panics
    /// If `p` is no probability.
    #[track_caller]
    pub fn dropout(&self, p: f64, rng: &mut Rng) -> Var<T> {
        let shape = *self.shape();
        assert!((0.0..=1.0).contains(&p), "dropout: p = {p} for x of shape {shape}: expected 0 to 1");
        let (kept, dropped) = (T::of(1.0 / (1.0 - p)), T::of(0.0));
        let mask = Tensor::written(Layout::row_major(shape), |mask| {
            mask.iter_mut().for_each(|m| *m = if rng.unit() < p { dropped } else { kept });
        });
        self * Var::from(mask)
    }
}
