//! The gradient penalty of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): what keeps the critic near 1-Lipschitz
//! where generated images move towards real ones.

use wengert::{Element, Tensor, Var};

/// What keeps the root away from 0, where its derivative is infinite: a critic that is flat at an image would give NaN.
const EPS: f64 = 1e-12;

/// Points between real and generated images, x̂ = ε ⊙ x + (1 − ε) ⊙ G(z); images (N, C, M, M), `epsilon` (N, 1, 1, 1).
///
/// # Panics
/// If there are not as many of each.
#[track_caller]
pub fn mixed<T: Element>(real: &Tensor<T>, fake: &Tensor<T>, epsilon: &Tensor<T>) -> Tensor<T> {
    let [real, fake, epsilon] = [real, fake, epsilon].map(Var::from);
    (&fake + epsilon * (real - &fake)).into_value()
}

/// E[(‖∇f(x)‖ − 1)²] over the points `x` (N, C, M, M), variables of the critic's tape, with ‖g‖ = √(Σ g² + 1e-12).
/// Its derivative is one of second order. The critic must give a value to each point by itself: no batch norm.
///
/// # Panics
/// If `x` is on no tape, or is no batch of images.
#[track_caller]
pub fn gradient_penalty<T: Element>(critic: impl Fn(&Var<T>) -> Var<T>, x: &Var<T>) -> Var<T> {
    // The value of a point depends on that point alone, so the gradient of the sum holds the gradient of each.
    let slope = critic(x).sum().grad(&[x]).remove(0);
    let norm = (slope.powi(2).sum_axes([1, 2, 3], false) + EPS).sqrt();
    (norm - 1.0).powi(2).mean()
}

#[cfg(test)]
mod tests {
    use wengert::gradcheck::gradcheck;
    use wengert::{Rng, Tape};

    use super::*;

    /// f(x) = Σ a x² / 2 has the slope a x.
    fn parabola<'a>(a: &'a Var<f64>) -> impl Fn(&Var<f64>) -> Var<f64> + 'a {
        move |x| (a * x.powi(2)).sum_axes([1, 2, 3], false) * 0.5
    }

    #[test]
    fn it_is_the_mean_squared_distance_of_slopes_from_one() {
        let tape = Tape::new();
        let x = tape.var(Tensor::from_vec([2, 1, 1, 2], vec![3.0, 4.0, 0.0, 0.5]));
        let a = tape.var(Tensor::full([1], 2.0));
        // Slopes of norm 10 and 1.
        let penalty = gradient_penalty(parabola(&a), &x);
        assert!((penalty.item() - 81.0 / 2.0).abs() < 1e-9, "{}", penalty.item());
        // d/da of ((5a − 1)² + (a/2 − 1)²)/2 at a = 2 is 5·9.
        assert!((penalty.backward().wrt(&a).item() - 45.0).abs() < 1e-9);
    }

    #[test]
    fn a_flat_critic_has_a_finite_derivative() {
        let tape = Tape::new();
        let x = tape.var(Tensor::<f64>::zeros([2, 1, 1, 2]));
        let a = tape.var(Tensor::full([1], 2.0));
        let penalty = gradient_penalty(parabola(&a), &x);
        assert!((penalty.item() - 1.0).abs() < 1e-5, "{}", penalty.item());
        let gradients = penalty.backward();
        assert!([&x, &a].iter().all(|v| gradients.wrt(v).to_vec().iter().all(|g| g.is_finite())));
    }

    #[test]
    fn its_derivative_by_the_critics_weights_is_that_of_difference_quotients() {
        let rng = &mut Rng::seed(1);
        let points: Tensor<f64> = rng.normal([3, 2, 4, 4]);
        let weights = [rng.normal([3, 2, 3, 3]), rng.normal([3 * 16, 1])];
        let penalty = |w: &[Var<f64>]| {
            let tape = Tape::new();
            let options = wengert::ops::Conv2dOptions::default().padding(1);
            let critic = |x: &Var<f64>| x.conv2d(&w[0], None, &options).tanh().flatten().matmul(&w[1]);
            // On the tape of the weights, which gradcheck makes; a constant critic would need a tape of its own.
            let zero = (w[0].sum() * 0.0).reshape([1]);
            let x = if w[0].is_tracked() { zero + Var::from(&points) } else { tape.var(points.clone()) };
            gradient_penalty(critic, &x)
        };
        gradcheck(penalty, &weights).unwrap();
    }

    #[test]
    fn points_lie_between_the_images_of_the_same_row() {
        let (real, fake) = (Tensor::<f64>::full([3, 1, 1, 2], 1.0), Tensor::full([3, 1, 1, 2], -1.0));
        let epsilon = Tensor::from_vec([3, 1, 1, 1], vec![0.0, 0.25, 1.0]);
        assert_eq!(mixed(&real, &fake, &epsilon).to_vec(), [-1.0, -1.0, -0.5, -0.5, 1.0, 1.0]);
    }
}
