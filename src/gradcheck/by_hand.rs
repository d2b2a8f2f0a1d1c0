//! Gradients that were written by hand, for functions that are on no tape.

use ndarray::ArrayD;

use super::judge::judge;
use super::report::{Failure, Report};
use super::{Check, Claimed, Outcome, Projection, Value, random_like};
use crate::{Rng, Tensor};

impl Check {
    /// Checks a gradient of numbers: `gradient(x)` must be ∇f at x, one number for each of `x`. The order of this check
    /// must be 1.
    ///
    /// ```
    /// use wengert::gradcheck::Check;
    /// let f = |x: &[f64]| x[0] * x[1].sin();
    /// let right = |x: &[f64]| vec![x[1].sin(), x[0] * x[1].cos()];
    /// let wrong = |x: &[f64]| vec![x[1].sin(), x[0] * x[1].sin()];
    /// assert_eq!(Check::first().gradient(f, right, &[2.0, 0.5]).unwrap().entries, 2);
    /// let failure = Check::first().gradient(f, wrong, &[2.0, 0.5]).unwrap_err();
    /// assert_eq!(failure.place.unwrap().index, [1]);
    /// ```
    ///
    /// # Errors
    /// As [`gradcheck`](super::gradcheck()).
    ///
    /// # Panics
    /// If `gradient` gives more or fewer numbers; if `f` or `gradient` does; and if a field of this check is out of its
    /// range.
    #[track_caller]
    pub fn gradient(
        &self,
        f: impl Fn(&[f64]) -> f64,
        gradient: impl Fn(&[f64]) -> Vec<f64>,
        x: &[f64],
    ) -> Result<Report, Box<Failure>> {
        // Here, where a panic points at the caller.
        let (expected, found) = (x.len(), gradient(x).len());
        assert!(found == expected, "gradcheck: the gradient has {found} numbers, expected {expected}");
        let value = |x: &[Tensor<f64>]| Tensor::scalar(f(&x[0].to_vec()));
        let gradients = |x: &[Tensor<f64>], r: &Tensor<f64>| {
            let mut entries = gradient(&x[0].to_vec());
            entries.iter_mut().for_each(|entry| *entry *= r.item());
            vec![("gradient", entries)]
        };
        self.by_hand(&value, &gradients, &[Tensor::from_slice([x.len()], x)])
    }

    /// Checks a backward pass over arrays: `backward(x, ȳ)` must be the gradients of ⟨ȳ, f(x)⟩ with respect to each of
    /// the inputs x, for a gradient ȳ of the shape of f(x). The order of this check must be 1.
    ///
    /// ```
    /// use ndarray::{ArrayD, arr1, arr2};
    /// use wengert::gradcheck::Check;
    ///
    /// /// y = tanh(x) ⊙ b, where x is (2, 3) and b (3).
    /// fn forward(x: &[ArrayD<f64>]) -> ArrayD<f64> {
    ///     x[0].mapv(f64::tanh) * &x[1]
    /// }
    ///
    /// /// x̄ = ȳ ⊙ b ⊙ (1 − tanh² x), b̄ = the sum of ȳ ⊙ tanh x over the rows.
    /// fn backward(x: &[ArrayD<f64>], grad: &ArrayD<f64>) -> Vec<ArrayD<f64>> {
    ///     let tanh = x[0].mapv(f64::tanh);
    ///     let to_x = grad * &x[1] * tanh.mapv(|t| 1.0 - t * t);
    ///     vec![to_x, (grad * tanh).sum_axis(ndarray::Axis(0))]
    /// }
    ///
    /// let x = arr2(&[[0.1, -0.5, 2.0], [1.0, 0.0, -1.5]]).into_dyn();
    /// let b = arr1(&[1.0, 2.0, -3.0]).into_dyn();
    /// let report = Check::first().backward(forward, backward, &[x, b]).unwrap();
    /// assert_eq!(report.entries, 9);
    /// ```
    ///
    /// # Errors
    /// As [`gradcheck`](super::gradcheck()).
    ///
    /// # Panics
    /// If `backward` does not give one array for each input, of its shape; if `f` or `backward` does; and if a field of
    /// this check is out of its range.
    #[track_caller]
    pub fn backward(
        &self,
        f: impl Fn(&[ArrayD<f64>]) -> ArrayD<f64>,
        backward: impl Fn(&[ArrayD<f64>], &ArrayD<f64>) -> Vec<ArrayD<f64>>,
        inputs: &[ArrayD<f64>],
    ) -> Result<Report, Box<Failure>> {
        // Here, where a panic points at the caller.
        let mut tensors = Vec::with_capacity(inputs.len());
        for input in inputs {
            tensors.push(Tensor::from_array(input));
        }
        let gradients = backward(inputs, &f(inputs));
        let (expected, found) = (inputs.len(), gradients.len());
        assert!(found == expected, "gradcheck: the backward pass gave {found} gradients for {expected} inputs");
        for (i, (gradient, x)) in gradients.iter().zip(inputs).enumerate() {
            let (expected, found) = (x.shape(), gradient.shape());
            assert!(
                found == expected,
                "gradcheck: the backward pass gave input {i} of shape {expected:?} a gradient of shape {found:?}"
            );
        }
        let arrays = |x: &[Tensor<f64>]| x.iter().map(Tensor::to_array).collect::<Vec<_>>();
        let value = |x: &[Tensor<f64>]| Tensor::from_array(&f(&arrays(x)));
        let gradients = |x: &[Tensor<f64>], r: &Tensor<f64>| {
            let gradients = backward(&arrays(x), &r.to_array());
            vec![("backward", gradients.iter().flatten().copied().collect())]
        };
        self.by_hand(&value, &gradients, &tensors)
    }

    #[track_caller]
    fn by_hand(&self, value: Value, gradients: Claimed, inputs: &[Tensor<f64>]) -> Outcome {
        self.assert_sense();
        assert!(self.order == 1, "gradcheck: an order of {}, expected 1 for what is on no tape", self.order);
        let y = value(inputs);
        let result = self.steady(value, inputs, &y).and_then(|()| {
            let mut rng = Rng::seed(self.seed);
            let phi = Projection { value, gradients, r: random_like(&mut rng, &y) };
            judge(self, &|x| phi.at(x), &|x| phi.gradients(x), inputs, &mut rng)
        });
        self.told(result, Vec::new(), inputs.len())
    }
}
