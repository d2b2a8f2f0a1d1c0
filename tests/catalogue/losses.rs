//! Rows by index, the losses, dropout.

use ndarray::Axis;
use wengert::{Rng, ops::loss};

use crate::reference::{dropout, index_add, mean_of, scalar, sigmoid, softmax};
use crate::table::{Bad, Entry, Sampler, bad, entry};

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = indices(s);
    entries.extend(gan_losses(s));
    entries.extend(cross_entropies(s));
    entries.extend(errors_and_noise(s));
    entries
}

fn gan_losses(s: &mut Sampler) -> Vec<Entry> {
    // Batches of different sizes, and shapes.
    let mut two = || s.samples(&[&[&[4], &[4]], &[&[1], &[5, 1]], &[&[3, 17], &[2, 1]], &[&[150, 131], &[17_000]]]);
    let mut entries = vec![
        entry!("gan_discriminator", two(), |x| loss::gan_discriminator(&x[0], &x[1]), |x| {
            scalar(-mean_of(&x[0], |x| sigmoid(x).ln()) - mean_of(&x[1], |x| (1.0 - sigmoid(x)).ln()))
        }),
        entry!("hinge_discriminator", two(), |x| loss::hinge_discriminator(&x[0], &x[1]), |x| {
            scalar(mean_of(&x[0], |x| (1.0 - x).max(0.0)) + mean_of(&x[1], |x| (1.0 + x).max(0.0)))
        }),
        entry!("wasserstein_critic", two(), |x| loss::wasserstein_critic(&x[0], &x[1]), |x| {
            scalar(mean_of(&x[1], |x| x) - mean_of(&x[0], |x| x))
        }),
    ];
    let mut one = || s.samples(&[&[&[4]], &[&[1]], &[&[3, 17]], &[&[150, 131]]]);
    entries.extend([
        entry!("gan_generator", one(), |x| loss::gan_generator(&x[0]), |x| {
            scalar(-mean_of(&x[0], |x| sigmoid(x).ln()))
        }),
        entry!("gan_generator_saturating", one(), |x| loss::gan_generator_saturating(&x[0]), |x| {
            scalar(mean_of(&x[0], |x| (1.0 - sigmoid(x)).ln()))
        }),
        entry!("hinge_generator", one(), |x| loss::hinge_generator(&x[0]), |x| scalar(-mean_of(&x[0], |x| x))),
        entry!("wasserstein_generator", one(), |x| loss::wasserstein_generator(&x[0]), |x| {
            scalar(-mean_of(&x[0], |x| x))
        }),
    ]);
    entries
}

fn cross_entropies(s: &mut Sampler) -> Vec<Entry> {
    let classes = s.samples(&[&[&[4, 3]], &[&[4, 17]]]);
    let of_classes = entry!("cross_entropy", classes, |x| loss::cross_entropy(&x[0], &[2, 0, 1, 2]), |x| {
        let p = softmax(&x[0], 1);
        scalar(-(p[[0, 2]].ln() + p[[1, 0]].ln() + p[[2, 1]].ln() + p[[3, 2]].ln()) / 4.0)
    });
    let answers = [&[4][..], &[3, 17], &[150, 131]].map(|shape| vec![s.any(shape), s.between(0.0, 1.0, shape)]);
    let of_answers = entry!(
        "binary_cross_entropy_with_logits",
        answers.to_vec(),
        |x| loss::binary_cross_entropy_with_logits(&x[0], &x[1]),
        |x| {
            let (p, t) = (x[0].mapv(sigmoid), &x[1]);
            let yes = t * p.mapv(f64::ln);
            let no = (1.0 - t) * p.mapv(|p| (1.0 - p).ln());
            scalar(-mean_of(&(yes + no), |x| x))
        }
    );
    vec![of_classes, of_answers]
}

fn errors_and_noise(s: &mut Sampler) -> Vec<Entry> {
    let mut two = || s.samples(&[&[&[4], &[4]], &[&[], &[]], &[&[3, 17], &[3, 17]], &[&[150, 131], &[150, 131]]]);
    let mut entries = vec![
        entry!("mse", two(), |x| loss::mse(&x[0], &x[1]), |x| scalar(mean_of(&(&x[0] - &x[1]), |x| x * x))),
        entry!("l1", two(), |x| loss::l1(&x[0], &x[1]), |x| scalar(mean_of(&(&x[0] - &x[1]), f64::abs))),
    ];
    for p in [0.0, 0.3, 1.0] {
        let samples = s.samples(&[&[&[]], &[&[0]], &[&[17]], &[&[2, 3, 4, 5]], &[&[150, 131]]]);
        let f = entry!("dropout", samples, |x| x[0].dropout(p, &mut Rng::seed(8)), |x| dropout(&x[0], p, 8));
        entries.push(f.with(p.to_string()));
    }
    entries
}

fn indices(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axis in 0..4 {
        let mut maps = || s.samples(&[&[&[4, 4, 4, 4]], &[&[5, 4, 6, 4]], &[&[16, 17, 18, 19]]]);
        for picked in [&[2, 0, 2][..], &[], &[3, 2, 1, 0, 3]] {
            let label = format!("axis {axis}, {picked:?}");
            let f = entry!("index_select", maps(), |x| x[0].index_select(axis, picked), |x| {
                x[0].select(Axis(axis), picked)
            });
            entries.push(f.with(label));
        }
        let shape: [usize; 4] = std::array::from_fn(|i| if i == axis { 5 } else { 3 });
        let samples = vec![vec![s.any(shape)], vec![s.any(shape.map(|n| if n == 5 { 5 } else { 16 }))]];
        let to = [3, 0, 3, 6, 3];
        let f = entry!("index_add", samples, |x| x[0].index_add(axis, &to, 7), |x| index_add(&x[0], axis, &to, 7));
        entries.push(f.with(format!("axis {axis}")));
    }
    entries
}

pub fn bad_calls() -> Vec<Bad> {
    vec![
        bad!("index_select", [[2, 3]], |x| x[0].index_select(2, &[0]), "axis 2"),
        bad!("index_select", [[2, 3]], |x| x[0].index_select(1, &[0, 3]), "index 3"),
        bad!("index_add", [[2, 3]], |x| x[0].index_add(2, &[0], 1), "axis 2"),
        bad!("index_add", [[2, 3]], |x| x[0].index_add(0, &[0], 4), "expected 2"),
        bad!("index_add", [[2, 3]], |x| x[0].index_add(0, &[0, 4], 4), "index 4"),
        bad!("cross_entropy", [[2, 3]], |x| loss::cross_entropy(&x[0], &[0])),
        bad!("cross_entropy", [[2, 3]], |x| loss::cross_entropy(&x[0], &[0, 3]), "label 3"),
        bad!("cross_entropy", [[2, 3, 1]], |x| loss::cross_entropy(&x[0], &[0, 0])),
        bad!("mse", [[2, 3], [3]], |x| loss::mse(&x[0], &x[1])),
        bad!("l1", [[2, 3], [2, 1]], |x| loss::l1(&x[0], &x[1])),
        bad!("dropout", [[2, 3]], |x| x[0].dropout(1.5, &mut Rng::seed(0)), "p = 1.5"),
        bad!("dropout", [[2, 3]], |x| x[0].dropout(f64::NAN, &mut Rng::seed(0)), "p = NaN"),
        bad!("binary_cross_entropy_with_logits", [[2, 3], [3]], |x| {
            loss::binary_cross_entropy_with_logits(&x[0], &x[1])
        }),
    ]
}
