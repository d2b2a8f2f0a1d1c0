//! Spectral norm regularisation (Yoshida and Miyato 2017, arXiv:1705.10941): a price on the spectral norm of every
//! weight, where spectral normalisation divides by it.

use wengert::nn::{BufferId, Mode, ParamId, Params, Pass};
use wengert::ops::power_iteration;
use wengert::{Element, Rng, Tensor, Var};

/// The least norm that a vector of the power iteration is divided by.
const EPS: f64 = 1e-12;

/// ½ Σ σ(Wˡ)² over the weights of a net.
///
/// σ = uᵀWv with u and v that a power iteration keeps up to date, one round for each pass in training, as spectral
/// normalisation does it; they are constants of the derivative, so that a weight's gradient is σ·u vᵀ.
#[derive(Debug)]
pub struct SigmaPenalty {
    weights: Vec<Spectrum>,
}

/// A weight, and estimates of its first singular vectors.
#[derive(Debug)]
struct Spectrum {
    weight: ParamId,
    u: BufferId,
    v: BufferId,
}

impl SigmaPenalty {
    /// The penalty on every matrix and kernel in `params`, whose output axis is the first; biases, γ and β are free.
    /// Makes the buffers `NAME_u` and `NAME_v` beside each weight `NAME`; u begins as a draw from N(0, I), v as
    /// normalise(Wᵀu).
    ///
    /// # Panics
    /// If a name is taken.
    pub fn new<T: Element>(params: &mut Params<T>, rng: &mut Rng) -> SigmaPenalty {
        let all: Vec<(ParamId, String, Tensor<T>)> = params
            .parameters()
            .filter(|(_, _, value)| value.rank() > 1)
            .map(|(id, name, value)| (id, name.to_string(), value.clone()))
            .collect();
        let spectra = all.into_iter().map(|(weight, name, value)| {
            let outputs = value.shape()[0];
            let any = Tensor::zeros([value.size() / outputs]);
            let (u, v) = power_iteration(&value, 0, &rng.normal([outputs]), &any, 1, EPS);
            let mut root = params.scope("");
            Spectrum { weight, u: root.buffer(&format!("{name}_u"), u), v: root.buffer(&format!("{name}_v"), v) }
        });
        SigmaPenalty { weights: spectra.collect() }
    }

    /// ½ Σ σ², after one power iteration if the pass is in [`Mode::Train`].
    ///
    /// # Panics
    /// If the weights belong to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<T>) -> Var<T> {
        let halves = self.weights.iter().map(|spectrum| {
            let weight = pass.param(spectrum.weight);
            let (mut u, mut v) = (pass.buffer(spectrum.u), pass.buffer(spectrum.v));
            if pass.mode() == Mode::Train {
                (u, v) = power_iteration(weight.value(), 0, &u, &v, 1, EPS);
                pass.set_buffer(spectrum.u, u.clone());
                pass.set_buffer(spectrum.v, v.clone());
            }
            weight.spectral_sigma(&u, &v, 0).powi(2) * 0.5
        });
        halves.reduce(|sum, half| sum + half).unwrap_or_else(|| Tensor::scalar(0.0).into())
    }
}

#[cfg(test)]
mod tests {
    use wengert::Tape;
    use wengert::nn::{BatchNorm, Conv2d, Init, Linear};
    use wengert::ops::Conv2dOptions;

    use super::*;

    #[test]
    fn it_converges_to_half_the_sum_of_squares_of_the_largest_singular_values() {
        let (mut params, rng) = (Params::<f64>::new(), &mut Rng::seed(0));
        let _ = Linear::new(&mut params.scope("l"), 2, 2, Init::PyTorch, rng);
        let _ = Conv2d::new(&mut params.scope("c"), 2, 1, [1, 2], &Conv2dOptions::default(), Init::PyTorch, rng);
        let _ = BatchNorm::new(&mut params.scope("b"), 2, Init::PyTorch, rng);
        // Singular values 3 and 1, turned; and a row of norm 2.
        let (c, s) = (0.6, 0.8);
        params.set("l.weight", Tensor::from_vec([2, 2], vec![3.0 * c, -s, 3.0 * s, c]));
        params.set("c.weight", Tensor::full([1, 2, 1, 2], 1.0));
        let penalty = SigmaPenalty::new(&mut params, rng);
        for _ in 0..30 {
            penalty.forward(&Pass::frozen(&params, Mode::Train));
        }
        let tape = Tape::new();
        let pass = Pass::new(&params, &tape, Mode::TrainFixed);
        let value = penalty.forward(&pass);
        assert!((value.item() - (9.0 + 4.0) / 2.0).abs() < 1e-9, "{}", value.item());
        // σ·u vᵀ, with u = (0.6, 0.8) and v = (1, 0).
        let gradients = pass.gradients(&value.backward());
        let found = gradients.get(params.id("l.weight").unwrap()).unwrap().to_vec();
        let expected = [3.0 * c, 0.0, 3.0 * s, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert!(gradients.get(params.id("b.weight").unwrap()).is_none());
    }
}
