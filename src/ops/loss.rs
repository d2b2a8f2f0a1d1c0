//! The losses of GANs, of classifiers, and of regression: scalars, means over the batch, all to be minimised.
//!
//! Those of the standard GAN take logits ℓ, where the discriminator's output is D = sigmoid ℓ. Then
//! −ln D = softplus(−ℓ) and −ln(1 − D) = softplus(ℓ), which stay finite where D rounds to 0 or 1.
//!
//! Real and generated batches may differ in shape; a mean over nothing is NaN. All are made of differentiable
//! operations, so every order of derivative is there.

use crate::compute::by_element;
use crate::{Element, Var, function, number};

/// The discriminator's loss of the standard GAN (Goodfellow et al. 2014, arXiv:1406.2661):
/// −E[ln D(x)] − E[ln(1 − D(G(z)))] = mean softplus(−real) + mean softplus(fake). 2 ln 2 where D knows nothing.
#[track_caller]
pub fn gan_discriminator<T: Element>(real_logits: &Var<T>, fake_logits: &Var<T>) -> Var<T> {
    (-real_logits).softplus().mean() + fake_logits.softplus().mean()
}

/// The generator's non-saturating loss: −E[ln D(G(z))] = mean softplus(−fake). Its gradient is strong where the
/// discriminator tells the images apart, when the generator needs it most.
#[track_caller]
pub fn gan_generator<T: Element>(fake_logits: &Var<T>) -> Var<T> {
    (-fake_logits).softplus().mean()
}

/// The generator's loss as the minimax game has it: E[ln(1 − D(G(z)))] = −mean softplus(fake). Its gradient vanishes
/// where the discriminator tells the images apart.
#[track_caller]
pub fn gan_generator_saturating<T: Element>(fake_logits: &Var<T>) -> Var<T> {
    -fake_logits.softplus().mean()
}

/// The discriminator's hinge loss (Lim and Ye 2017, arXiv:1705.02894):
/// E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))].
#[track_caller]
pub fn hinge_discriminator<T: Element>(real: &Var<T>, fake: &Var<T>) -> Var<T> {
    (1.0 - real).relu().mean() + (1.0 + fake).relu().mean()
}

/// The generator's hinge loss: −E[D(G(z))].
#[track_caller]
pub fn hinge_generator<T: Element>(fake: &Var<T>) -> Var<T> {
    -fake.mean()
}

/// The critic's loss of the Wasserstein GAN (Arjovsky, Chintala and Bottou 2017, arXiv:1701.07875):
/// E[f(G(z))] − E[f(x)], to be minimised. *Minus* this is the estimate of the distance (up to the critic's unknown
/// Lipschitz constant), which is what to plot.
#[track_caller]
pub fn wasserstein_critic<T: Element>(real: &Var<T>, fake: &Var<T>) -> Var<T> {
    fake.mean() - real.mean()
}

/// The generator's loss of the Wasserstein GAN: −E[f(G(z))].
#[track_caller]
pub fn wasserstein_generator<T: Element>(fake: &Var<T>) -> Var<T> {
    -fake.mean()
}

/// The mean squared error, mean over all elements: (x − target)².
///
/// ```
/// use wengert::{Tape, Tensor, ops::loss};
/// let tape = Tape::new();
/// let x = tape.var(Tensor::<f64>::from_vec([2], vec![1.0, 5.0]));
/// let y = loss::mse(&x, &Tensor::from_vec([2], vec![1.0, 2.0]).into());
/// assert_eq!(y.item(), 4.5);
/// assert_eq!(y.backward().wrt(&x).to_vec(), [0.0, 3.0]);
/// ```
///
/// # Panics
/// If the shapes differ: repeated to one shape, (N, 1) and (N) would compare each with each.
#[track_caller]
pub fn mse<T: Element>(x: &Var<T>, target: &Var<T>) -> Var<T> {
    check_target("mse", x, target);
    (x - target).square().mean()
}

/// The mean absolute error, mean over all elements: |x − target|; its gradient is 0 where they are equal.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn l1<T: Element>(x: &Var<T>, target: &Var<T>) -> Var<T> {
    check_target("l1", x, target);
    (x - target).abs().mean()
}

#[track_caller]
fn check_target<T: Element>(name: &str, x: &Var<T>, target: &Var<T>) {
    let (found, expected) = (target.shape(), x.shape());
    assert!(found == expected, "{name}: a target of shape {found} for x of shape {expected}: expected equal shapes");
}

/// The cross entropy of classes, mean over the batch: −ln of the softmax of row n at `labels[n]`; logits (N, K).
///
/// # Panics
/// If logits is no matrix, or there is not one label below K for each row.
#[track_caller]
pub fn cross_entropy<T: Element>(logits: &Var<T>, labels: &[usize]) -> Var<T> {
    let shape = *logits.shape();
    let n = labels.len();
    assert!(
        shape.len() == 2 && shape[0] == n,
        "cross_entropy: logits of shape {shape} for {n} labels: expected ({n}, classes)"
    );
    let classes = shape[1];
    if let Some((row, label)) = labels.iter().enumerate().find(|&(_, &label)| label >= classes) {
        panic!("cross_entropy: label {label} of row {row} for logits of shape {shape}: expected one below {classes}");
    }
    // Picked, not multiplied by a one-hot matrix: −∞ for a class that is ruled out would make 0·∞.
    let picked: Vec<usize> = labels.iter().enumerate().map(|(row, label)| row * classes + label).collect();
    -logits.log_softmax(1).reshape([n * classes]).index_select(0, &picked).mean()
}

/// The cross entropy of independent yes-or-no answers, mean over all elements:
/// −t ln p − (1 − t) ln(1 − p), p = sigmoid(logits), as t·softplus(−ℓ) + (1 − t)·softplus(ℓ), in which nothing cancels.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn binary_cross_entropy_with_logits<T: Element>(logits: &Var<T>, targets: &Var<T>) -> Var<T> {
    let (found, expected) = (targets.shape(), logits.shape());
    assert!(
        found == expected,
        "binary_cross_entropy_with_logits: targets of shape {found} for logits of shape {expected}: expected equal \
         shapes"
    );
    (weighted(targets, &(-logits).softplus()) + weighted(&(1.0 - targets), &logits.softplus())).mean()
}

function!(
    /// a·b, where a = 0 makes 0 of ∞.
    pub Weighted |a, b| a.if_equal(number(0.0), number(0.0), a * b)
);

/// y = a ⊙ b, except that what has no weight a counts nothing even if it is infinite; ā = ȳ ⊙ b, b̄ = ȳ ⊙ a. The shapes
/// are equal.
#[track_caller]
fn weighted<T: Element>(a: &Var<T>, b: &Var<T>) -> Var<T> {
    let (saved_a, saved_b) = (a.saved_for(b), b.saved_for(a));
    Var::record("weighted", &[a, b], by_element(Weighted, [a.value(), b.value()]), move |grad, back| {
        back.give(0, |back| grad * back.var(&saved_b));
        back.give(1, |back| grad * back.var(&saved_a));
    })
}
