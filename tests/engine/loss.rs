//! Losses: values against plain loops in the form of the textbooks, extreme logits, signs.

use crate::support::noise;
use wengert::ops::loss::*;
use wengert::{Tape, Tensor, Var};

fn scaled(n: usize, seed: u64, scale: f64) -> Var<f64> {
    Var::from(noise([n], seed)).affine(scale, 0.1)
}

fn mean(x: &Var<f64>, f: impl Fn(f64) -> f64) -> f64 {
    let values = x.value().to_vec();
    values.iter().map(|&x| f(x)).sum::<f64>() / values.len() as f64
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[track_caller]
fn assert_value(found: Var<f64>, expected: f64) {
    assert_eq!(found.shape().len(), 0);
    assert!((found.item() - expected).abs() < 1e-13, "{} instead of {expected}", found.item());
}

#[test]
fn values() {
    let (real, fake) = (scaled(7, 1, 3.0), scaled(5, 2, 3.0));
    assert_value(
        gan_discriminator(&real, &fake),
        -mean(&real, |x| sigmoid(x).ln()) - mean(&fake, |x| (1.0 - sigmoid(x)).ln()),
    );
    assert_value(gan_generator(&fake), -mean(&fake, |x| sigmoid(x).ln()));
    assert_value(gan_generator_saturating(&fake), mean(&fake, |x| (1.0 - sigmoid(x)).ln()));
    assert_value(
        hinge_discriminator(&real, &fake),
        mean(&real, |x| (1.0 - x).max(0.0)) + mean(&fake, |x| (1.0 + x).max(0.0)),
    );
    assert_value(hinge_generator(&fake), -mean(&fake, |x| x));
    assert_value(wasserstein_critic(&real, &fake), mean(&fake, |x| x) - mean(&real, |x| x));
    assert_value(wasserstein_generator(&fake), -mean(&fake, |x| x));
}

#[test]
fn values_of_cross_entropies() {
    let (logits, labels) = (Var::from(noise([4, 3], 1)), [2, 0, 1, 2]);
    let rows = logits.value().to_vec();
    let row = |n: usize| &rows[3 * n..3 * n + 3];
    let nll = |n: usize| row(n).iter().map(|x| x.exp()).sum::<f64>().ln() - row(n)[labels[n]];
    assert_value(cross_entropy(&logits, &labels), (0..4).map(nll).sum::<f64>() / 4.0);

    let (x, t) = (noise([2, 3], 2), noise([2, 3], 3).to_array().mapv(|t| 0.5 + t / 2.0));
    let each = x.to_vec().into_iter().zip(t.iter());
    let expected = each.map(|(x, t)| -t * sigmoid(x).ln() - (1.0 - t) * (1.0 - sigmoid(x)).ln()).sum::<f64>() / 6.0;
    assert_value(binary_cross_entropy_with_logits(&x.into(), &Tensor::from_array(&t).into()), expected);
}

#[test]
fn extreme_logits_neither_overflow_nor_lose_their_gradient() {
    let at = |x: f64| Var::<f32>::from(Tensor::from_vec([1], vec![x as f32]));
    assert_eq!(gan_discriminator(&at(1e4), &at(-1e4)).item(), 0.0);
    assert_eq!(gan_discriminator(&at(-1e4), &at(1e4)).item(), 2e4);
    assert!((gan_discriminator(&at(0.0), &at(0.0)).item() - 2.0 * std::f32::consts::LN_2).abs() < 1e-6);
    assert_eq!(binary_cross_entropy_with_logits(&at(-50.0), &at(0.0)).item(), (-50f32).exp());
    assert_eq!(binary_cross_entropy_with_logits(&at(50.0), &at(1.0)).item(), (-50f32).exp());
    let ruled_out = Var::from(Tensor::from_vec([1, 3], vec![0.0, f64::NEG_INFINITY, 0.0]));
    assert_value(cross_entropy(&ruled_out, &[2]), std::f64::consts::LN_2);

    // Where the discriminator is sure, only the non-saturating generator still learns.
    let slope = |loss: fn(&Var<f64>) -> Var<f64>| {
        let tape = Tape::new();
        let fake = tape.var(Tensor::from_vec([1], vec![-40.0]));
        loss(&fake).backward().wrt(&fake).item()
    };
    assert!((slope(gan_generator) + 1.0).abs() < 1e-15);
    assert!(slope(gan_generator_saturating) < 0.0 && slope(gan_generator_saturating) > -1e-15);
}

/// The losses are to be minimised: better outputs make them smaller.
#[test]
fn signs() {
    let (high, low) = (scaled(5, 1, 0.2).affine(1.0, 0.5), scaled(5, 2, 0.2).affine(1.0, -0.5));
    for loss in [gan_discriminator, hinge_discriminator, wasserstein_critic] {
        assert!(loss(&high, &low).item() < loss(&low, &high).item());
    }
    for loss in [gan_generator, gan_generator_saturating, hinge_generator, wasserstein_generator] {
        assert!(loss(&high).item() < loss(&low).item());
    }
}
