//! Softmax and its kin, normalisation, spectral normalisation.

use wengert::{Element, Tensor, Var};

use crate::reference::{batch_norm, group_norm, log_sum_exp, normalised, per_channel, reduce, scalar, sigma, softmax};
use crate::table::{Bad, Entry, Sampler, bad, entry};

const EPS: f64 = 1e-5;

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = softmax_family(s);
    entries.extend(batch_norms(s));
    entries.extend(layer_norms(s));
    entries.extend(spectral(s));
    entries.extend(group_norms(s));
    entries
}

fn softmax_family(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axis in 0..3 {
        let mut some = || s.samples(&[&[&[2, 3, 5]], &[&[1, 4, 1]], &[&[17, 5, 33]], &[&[0, 2, 3]], &[&[40, 6, 90]]]);
        let label = format!("axis {axis}");
        entries.extend([
            entry!("softmax", some(), |x| x[0].softmax(axis), |x| softmax(&x[0], axis)).with(&label),
            entry!("log_softmax", some(), |x| x[0].log_softmax(axis), |x| softmax(&x[0], axis).mapv(f64::ln))
                .with(&label),
        ]);
    }
    for keepdim in [false, true] {
        for axes in [&[0][..], &[2], &[1, 2], &[0, 1, 2]] {
            let some = s.samples(&[&[&[2, 3, 5]], &[&[1, 4, 1]], &[&[40, 6, 90]]]);
            let label = format!("{axes:?} keepdim {keepdim}");
            let f = entry!("logsumexp", some, |x| x[0].logsumexp(axes, keepdim), |x| {
                reduce(&x[0], axes, keepdim, log_sum_exp)
            });
            entries.push(f.with(label));
        }
    }
    // Far from 0, where an exponential overflows without care.
    let far = || vec![vec![Tensor::from_vec([2, 3], vec![100.0, 101.0, 99.5, -120.0, -121.0, -119.0])]];
    entries.extend([
        entry!("softmax", far(), |x| x[0].softmax(1), |x| softmax(&x[0], 1)).with("far"),
        entry!("log_softmax", far(), |x| x[0].log_softmax(1), |x| softmax(&x[0], 1).mapv(f64::ln)).with("far"),
        entry!("logsumexp", far(), |x| x[0].logsumexp([1], false), |x| reduce(&x[0], &[1], false, log_sum_exp))
            .with("far"),
    ]);
    entries
}

/// A vector with one positive number per channel, for statistics.
fn statistics<T: Element>(channels: usize, seed: u64) -> Tensor<T> {
    Sampler::new(seed).positive([channels]).cast()
}

fn batch_norms(s: &mut Sampler) -> Vec<Entry> {
    let mut batches = || {
        s.samples(&[
            &[&[5, 3], &[3], &[3]],
            &[&[1, 2, 5], &[2], &[2]],
            &[&[2, 3, 4, 5], &[3], &[3]],
            &[&[3, 1, 1, 2], &[1], &[1]],
            &[&[9, 17], &[17], &[17]],
            &[&[7, 33, 11, 13], &[33], &[33]],
            &[&[300, 67], &[67], &[67]],
        ])
    };
    vec![
        entry!("batch_norm_train", batches(), |x| x[0].batch_norm_train(&x[1], &x[2], EPS).0, |x| batch_norm(x, EPS)),
        entry!("batch_norm_train", batches(), |x| x[0].batch_norm_train(&x[1], &x[2], 0.5).0, |x| batch_norm(x, 0.5))
            .with("eps 0.5"),
        entry!("batch_norm_relu_train", batches(), |x| x[0].batch_norm_relu_train(&x[1], &x[2], EPS).0, |x| {
            batch_norm(x, EPS).mapv(|y| y.max(0.0))
        }),
        entry!(
            "batch_norm_eval",
            batches(),
            |x| {
                let channels = x[0].shape()[1];
                x[0].batch_norm_eval(&x[1], &x[2], &statistics(channels, 1), &statistics(channels, 2), EPS)
            },
            |x| {
                let [mean, var] = [1, 2].map(|seed| statistics(x[1].len(), seed).to_array());
                let [gamma, beta, mean, var] = [&x[1], &x[2], &mean, &var].map(|v| per_channel(v, x[0].ndim()));
                gamma * (&x[0] - mean) / (var + EPS).mapv(f64::sqrt) + beta
            }
        ),
    ]
}

fn layer_norms(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axes in [1, 2, 3] {
        let samples = [&[2, 3, 5][..], &[1, 4, 6], &[3, 17, 9], &[20, 30, 40]];
        let samples = samples.map(|shape| {
            let normalised = &shape[3 - axes..];
            vec![s.any(shape), s.any(normalised), s.any(normalised)]
        });
        let label = format!("{axes} axes");
        let f = entry!("layer_norm", samples.to_vec(), |x| x[0].layer_norm(axes, &x[1], &x[2], EPS), |x| {
            normalised(&x[0], &[0, 1, 2][3 - axes..], EPS) * &x[1] + &x[2]
        });
        entries.push(f.with(label));
    }
    entries
}

/// Three values in a group at least: two are −1 and 1 whatever they were, and what is left of their slope is rounding.
fn group_norms(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for groups in [1, 2, 6] {
        let samples = s.samples(&[
            &[&[2, 18], &[18], &[18]],
            &[&[1, 6, 5], &[6], &[6]],
            &[&[2, 6, 4, 3], &[6], &[6]],
            &[&[0, 6, 4, 3], &[6], &[6]],
            &[&[3, 18, 11, 13], &[18], &[18]],
        ]);
        let f = entry!("group_norm", samples, |x| x[0].group_norm(groups, &x[1], &x[2], EPS), |x| {
            group_norm(x, groups, EPS)
        });
        entries.push(f.with(format!("{groups} groups")));
    }
    let samples = s.samples(&[
        &[&[2, 3, 5], &[3], &[3]],
        &[&[1, 1, 1, 3], &[1], &[1]],
        &[&[2, 3, 4, 5], &[3], &[3]],
        &[&[5, 17, 11, 13], &[17], &[17]],
    ]);
    entries.push(entry!("instance_norm", samples, |x| x[0].instance_norm(&x[1], &x[2], EPS), |x| {
        group_norm(x, x[1].len(), EPS)
    }));
    entries
}

/// u and v of any values, not converged: the rules must be right for those as well. Positive, as the samples are, so
/// that σ = uᵀWv is far from 0.
fn directions<T: Element>(weight: &[usize], out_axis: usize) -> (Tensor<T>, Tensor<T>) {
    let (rows, size) = (weight[out_axis], weight.iter().product::<usize>());
    let unit = |n: usize, seed| {
        let x = Sampler::new(seed).positive([n]).to_array();
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        Tensor::from_array(&(x / norm)).cast()
    };
    (unit(rows, 3), unit(size / rows, 4))
}

fn spectral(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axis in [0, 1] {
        let mut weights = || {
            let shapes: [&[usize]; 5] = [&[1, 1], &[3, 4], &[4, 3, 2, 2], &[17, 33], &[64, 35, 4, 3]];
            shapes.iter().map(|shape| vec![s.positive(*shape)]).collect::<Vec<_>>()
        };
        let label = format!("output axis {axis}");
        entries.extend([
            entry!(
                "spectral_norm",
                weights(),
                |x| {
                    let (u, v) = directions(x[0].shape(), axis);
                    x[0].spectral_norm(&u, &v, axis)
                },
                |x| {
                    let (u, v) = directions::<f64>(x[0].shape(), axis);
                    &x[0] / sigma(&x[0], axis, u.data(), v.data())
                }
            )
            .with(&label),
            entry!(
                "spectral_sigma",
                weights(),
                |x| {
                    let (u, v) = directions(x[0].shape(), axis);
                    x[0].spectral_sigma(&u, &v, axis)
                },
                |x| {
                    let (u, v) = directions::<f64>(x[0].shape(), axis);
                    scalar(sigma(&x[0], axis, u.data(), v.data()))
                }
            )
            .with(&label),
        ]);
    }
    entries
}

fn ones(channels: usize) -> Var<f64> {
    Tensor::ones([channels]).into()
}

pub fn bad_calls() -> Vec<Bad> {
    vec![
        bad!("softmax", [[2, 3]], |x| x[0].softmax(2), "axis 2"),
        bad!("log_softmax", [[2, 3]], |x| x[0].log_softmax(2), "axis 2"),
        bad!("logsumexp", [[2, 3]], |x| x[0].logsumexp([0, 0], false), "named twice"),
        bad!("batch_norm_train", [[4, 3], [2], [3]], |x| x[0].batch_norm_train(&x[1], &x[2], EPS), "gamma"),
        bad!("batch_norm_train", [[4, 3], [3], [4]], |x| x[0].batch_norm_train(&x[1], &x[2], EPS), "beta"),
        bad!("batch_norm_relu_train", [[4, 3], [2], [3]], |x| x[0].batch_norm_relu_train(&x[1], &x[2], EPS), "gamma"),
        bad!("batch_norm_train", [[3], [3], [3]], |x| x[0].batch_norm_train(&x[1], &x[2], EPS), "expected (N, C)"),
        bad!(
            "batch_norm_train",
            [[1, 3, 1, 1]],
            |x| {
                let ones = Tensor::ones([3]).into();
                x[0].batch_norm_train(&ones, &ones, EPS)
            },
            "to have a variance"
        ),
        bad!("batch_norm_eval", [[4, 3], [3], [3], [2]], |x| {
            x[0].batch_norm_eval(&x[1], &x[2], x[3].value(), x[1].value(), EPS)
        }),
        bad!("batch_norm_eval", [[4, 3], [3], [3], [2]], |x| {
            x[0].batch_norm_eval(&x[1], &x[2], x[1].value(), x[3].value(), EPS)
        }),
        bad!("layer_norm", [[4, 3], [2], [3]], |x| x[0].layer_norm(1, &x[1], &x[2], EPS), "gamma"),
        bad!("layer_norm", [[4, 3], [4, 3], [3]], |x| x[0].layer_norm(2, &x[1], &x[2], EPS), "beta"),
        bad!("layer_norm", [[4, 3]], |x| x[0].layer_norm(3, &x[0], &x[0], EPS), "expected 1 to 2"),
        bad!("group_norm", [[4, 6], [3], [6]], |x| x[0].group_norm(2, &x[1], &x[2], EPS), "gamma"),
        bad!("group_norm", [[4, 6], [6], [3]], |x| x[0].group_norm(2, &x[1], &x[2], EPS), "beta"),
        bad!("group_norm", [[4, 6]], |x| x[0].group_norm(4, &ones(6), &ones(6), EPS), "4 groups"),
        bad!("group_norm", [[4, 6]], |x| x[0].group_norm(0, &ones(6), &ones(6), EPS), "0 groups"),
        bad!("group_norm", [[4, 6]], |x| x[0].group_norm(6, &ones(6), &ones(6), EPS), "to have a variance"),
        bad!("group_norm", [[1, 2, 1, 2, 1, 2]], |x| x[0].group_norm(1, &ones(2), &ones(2), EPS), "less than 6 axes"),
        bad!("instance_norm", [[4, 3, 1, 1]], |x| x[0].instance_norm(&ones(3), &ones(3), EPS), "to have a variance"),
        bad!("instance_norm", [[4, 3, 2], [2], [3]], |x| x[0].instance_norm(&x[1], &x[2], EPS), "gamma"),
        bad!("spectral_norm", [[4, 3], [3], [3]], |x| x[0].spectral_norm(x[1].value(), x[2].value(), 0)),
        bad!("spectral_norm", [[4, 3], [4], [3]], |x| x[0].spectral_norm(x[1].value(), x[2].value(), 1)),
        bad!("spectral_norm", [[4, 3]], |x| x[0].spectral_norm(x[0].value(), x[0].value(), 2), "axis 2"),
        bad!("spectral_sigma", [[4, 3], [3], [4]], |x| x[0].spectral_sigma(x[1].value(), x[2].value(), 0)),
    ]
}
