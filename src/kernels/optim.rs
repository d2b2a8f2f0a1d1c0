//! The update rules of the optimisers: one pass over parameter, gradient and moments, in place.
//!
//! All slices of a call have the same length and the same memory order. Work is cut into fixed chunks, and every
//! element is computed alone, so the number of threads changes nothing.

use rayon::prelude::*;

use super::{Element, Level, map::CHUNK};

/// Runs `f(parameters, moments, gradients)` on corresponding chunks of the slices, in parallel.
///
/// # Panics
/// If the lengths differ.
fn for_chunks<T: Element, const N: usize>(
    p: &mut [T],
    moments: [&mut [T]; N],
    g: &[T],
    f: impl Fn(&mut [T], [&mut [T]; N], &[T]) + Sync,
) {
    let equal = p.len() == g.len() && moments.iter().all(|m| m.len() == g.len());
    assert!(equal, "optimiser: slices of different lengths");
    let level = Level::current();
    if g.len() <= CHUNK {
        return level.vectorize(
            #[inline(always)]
            || f(p, moments, g),
        );
    }
    let mut moments = moments.map(|m| m.chunks_mut(CHUNK));
    let parts: Vec<_> = (p.chunks_mut(CHUNK).zip(g.chunks(CHUNK)))
        .map(|(p, g)| (p, moments.each_mut().map(|m| m.next().expect("slices of equal length")), g))
        .collect();
    parts.into_par_iter().for_each(|(p, m, g)| {
        level.vectorize(
            #[inline(always)]
            || f(p, m, g),
        )
    });
}

/// p ← p − lr·g.
pub fn sgd<T: Element>(p: &mut [T], g: &[T], lr: T) {
    for_chunks(
        p,
        [],
        g,
        #[inline(always)]
        |p, [], g| {
            for (p, &g) in p.iter_mut().zip(g) {
                *p -= lr * g;
            }
        },
    );
}

/// b ← μb + g; p ← p − lr·b.
pub fn momentum<T: Element>(p: &mut [T], b: &mut [T], g: &[T], lr: T, mu: T) {
    for_chunks(
        p,
        [b],
        g,
        #[inline(always)]
        |p, [b], g| {
            for ((p, b), &g) in p.iter_mut().zip(b).zip(g) {
                *b = mu * *b + g;
                *p -= lr * *b;
            }
        },
    );
}

/// s ← αs + (1 − α)g²; p ← p − lr·g/(√s + ε).
pub fn rms_prop<T: Element>(p: &mut [T], s: &mut [T], g: &[T], lr: T, alpha: T, eps: T) {
    let rest = T::one() - alpha;
    for_chunks(
        p,
        [s],
        g,
        #[inline(always)]
        |p, [s], g| {
            for ((p, s), &g) in p.iter_mut().zip(s).zip(g) {
                *s = alpha * *s + rest * (g * g);
                *p -= lr * (g / (s.sqrt() + eps));
            }
        },
    );
}

/// The numbers of one step of Adam.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep<T> {
    /// β₁ and 1 − β₁.
    pub beta1: (T, T),
    /// β₂ and 1 − β₂.
    pub beta2: (T, T),
    /// lr/(1 − β₁ᵗ).
    pub step_size: T,
    /// √(1 − β₂ᵗ).
    pub root_correction2: T,
    /// ε.
    pub eps: T,
}

/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − step_size·m/(√v/√(1 − β₂ᵗ) + ε).
pub fn adam<T: Element>(p: &mut [T], m: &mut [T], v: &mut [T], g: &[T], step: AdamStep<T>) {
    let AdamStep { beta1, beta2, step_size, root_correction2, eps } = step;
    for_chunks(
        p,
        [m, v],
        g,
        #[inline(always)]
        |p, [m, v], g| {
            for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
                *m = beta1.0 * *m + beta1.1 * g;
                *v = beta2.0 * *v + beta2.1 * (g * g);
                *p -= step_size * (*m / (v.sqrt() / root_correction2 + eps));
            }
        },
    );
}

/// p held to −c..=c; NaN stays NaN.
pub fn clip<T: Element>(p: &mut [T], c: T) {
    let level = Level::current();
    super::map::for_chunks(p, CHUNK, |_, part| {
        level.vectorize(
            #[inline(always)]
            || {
                for p in part {
                    // Not `max` and `min`, which would turn a NaN into a number and hide it.
                    *p = if *p > c {
                        c
                    } else if *p < -c {
                        -c
                    } else {
                        *p
                    };
                }
            },
        )
    });
}

/// y ← decay·y + (1 − decay)·x.
pub fn average<T: Element>(y: &mut [T], x: &[T], decay: T) {
    let rest = T::one() - decay;
    for_chunks(
        y,
        [],
        x,
        #[inline(always)]
        |y, [], x| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = decay * *y + rest * x;
            }
        },
    );
}
