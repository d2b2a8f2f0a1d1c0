//! Reductions, and the same elements elsewhere.

use ndarray::{Axis, Slice, concatenate, s, stack};
use wengert::Var;

use crate::reference::{max, mean, min, pad, reduce, reduce_all, repeat, reshape, sum, sum_to, transposed, variance};
use crate::table::{Bad, Entry, Sampler, bad, entry};

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = reductions(s);
    entries.extend(reductions_over_axes(s));
    entries.extend(special_reductions());
    entries.extend(repetitions(s));
    entries.extend(moves(s));
    entries.extend(windows(s));
    entries.extend(joins(s));
    entries.extend(minima_and_deviations(s));
    entries.extend(axes_of_one(s));
    entries.extend(reversals_and_copies(s));
    entries.extend(indices(s));
    entries
}

fn reductions(s: &mut Sampler) -> Vec<Entry> {
    let mut all = || {
        let shapes: [&[usize]; 8] = [&[], &[1], &[17], &[2, 3], &[1, 5, 1], &[2, 3, 4, 5], &[33, 7], &[150, 131]];
        shapes.iter().map(|shape| vec![s.any(*shape)]).collect::<Vec<_>>()
    };
    let with_empty = |mut samples: Vec<_>| {
        samples.push(vec![wengert::Tensor::zeros([0])]);
        samples.push(vec![wengert::Tensor::zeros([2, 0, 3])]);
        samples
    };
    vec![
        entry!("sum", with_empty(all()), |x| x[0].sum(), |x| reduce_all(&x[0], sum)),
        entry!("mean", all(), |x| x[0].mean(), |x| reduce_all(&x[0], mean)),
        entry!("max", all(), |x| x[0].max(), |x| reduce_all(&x[0], max)),
    ]
}

fn reductions_over_axes(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for keepdim in [false, true] {
        for axes in [&[0][..], &[1], &[2], &[0, 2], &[1, 2], &[2, 0, 1], &[]] {
            let mut some = || s.samples(&[&[&[2, 3, 5]], &[&[1, 4, 1]], &[&[40, 6, 90]]]);
            let label = format!("{axes:?} keepdim {keepdim}");
            let mut empty = some();
            empty.push(vec![wengert::Tensor::zeros([2, 0, 3])]);
            entries.extend([
                entry!("sum_axes", empty, |x| x[0].sum_axes(axes, keepdim), |x| reduce(&x[0], axes, keepdim, sum))
                    .with(&label),
                entry!("mean_axes", some(), |x| x[0].mean_axes(axes, keepdim), |x| reduce(&x[0], axes, keepdim, mean))
                    .with(&label),
                entry!("max_axes", some(), |x| x[0].max_axes(axes, keepdim), |x| reduce(&x[0], axes, keepdim, max))
                    .with(&label),
            ]);
        }
        for (axes, correction) in [(&[0][..], 0), (&[1, 2], 1), (&[0, 1, 2], 0), (&[2], 1)] {
            let label = format!("{axes:?} keepdim {keepdim} correction {correction}");
            let samples = s.samples(&[&[&[2, 3, 5]], &[&[3, 1, 4]], &[&[40, 6, 90]]]);
            let f = entry!("variance_axes", samples, |x| x[0].variance_axes(axes, keepdim, correction), |x| {
                reduce(&x[0], axes, keepdim, |values| variance(values, correction))
            });
            entries.push(f.with(label));
        }
    }
    entries
}

fn special_reductions() -> Vec<Entry> {
    // Over the axes of a channel's statistics, on maps.
    let maps = || Sampler::new(5).samples(&[&[&[2, 3, 4, 5]], &[&[9, 17, 11, 13]], &[&[64, 3, 10, 10]]]);
    // Maxima that are equal, which is a kink.
    let ties = vec![vec![wengert::Tensor::from_vec([2, 3], vec![1.0, 2.0, 2.0, 3.0, 3.0, 3.0])]];
    vec![
        entry!("sum_axes", maps(), |x| x[0].sum_axes([0, 2, 3], false), |x| reduce(&x[0], &[0, 2, 3], false, sum))
            .with("of channels"),
        entry!("variance_axes", maps(), |x| x[0].variance_axes([0, 2, 3], true, 0), |x| {
            reduce(&x[0], &[0, 2, 3], true, |values| variance(values, 0))
        })
        .with("of channels"),
        entry!("max_axes", ties, |x| x[0].max_axes([1], false), |x| reduce(&x[0], &[1], false, max)).with("ties"),
    ]
}

fn repetitions(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    let pairs: [[&[usize]; 2]; 7] = [
        [&[2, 3], &[2, 3]],
        [&[2, 3], &[3]],
        [&[2, 3], &[2, 1]],
        [&[2, 3, 4], &[]],
        [&[2, 3, 4, 5], &[1, 3, 1, 1]],
        [&[0, 3], &[1, 3]],
        [&[150, 131], &[131]],
    ];
    for [from, to] in pairs {
        let label = format!("{from:?} to {to:?}");
        let f = entry!("sum_to", vec![vec![s.any(from)]], |x| x[0].sum_to(to), |x| sum_to(&x[0], to));
        entries.push(f.with(&label));
        let f = entry!("broadcast_to", vec![vec![s.any(to)]], |x| x[0].broadcast_to(from), |x| {
            x[0].broadcast(from).expect("shapes that broadcast").to_owned()
        });
        entries.push(f.with(&label));
    }
    entries
}

fn moves(s: &mut Sampler) -> Vec<Entry> {
    let mut maps = || s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 2, 2, 1]], &[&[7, 13, 14, 15]], &[&[2, 3, 0, 5]]]);
    vec![
        entry!("flatten", maps(), |x| x[0].flatten(), |x| {
            let shape = x[0].shape();
            reshape(&x[0], &[shape[0], shape[1] * shape[2] * shape[3]])
        }),
        entry!("to", maps(), |x| x[0].to(&x[0].value().device()).unwrap(), |x| x[0].clone()),
        entry!("t", maps(), |x| x[0].t(), |x| transposed(&x[0])),
        entry!("permute", maps(), |x| x[0].permute([0, 3, 1, 2]), |x| x[0].clone().permuted_axes(vec![0, 3, 1, 2])),
        entry!("permute", maps(), |x| x[0].permute([3, 2, 1, 0]), |x| x[0].clone().permuted_axes(vec![3, 2, 1, 0]))
            .with("reversed"),
        // A view, read by another operation.
        entry!("permute", maps(), |x| x[0].permute([2, 0, 3, 1]).tanh(), |x| {
            x[0].clone().permuted_axes(vec![2, 0, 3, 1]).mapv(f64::tanh)
        })
        .with("and tanh"),
    ]
}

fn windows(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (axis, range) in [(0, 0..1), (1, 1..2), (1, 0..0), (1, 0..2), (3, 1..1), (2, 0..2)] {
        let (start, end) = (range.start, range.end);
        let samples = s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 2, 2, 1]], &[&[7, 13, 14, 15]]]);
        let f = entry!("slice", samples, |x| x[0].slice(axis, start..end), |x| {
            x[0].select(Axis(axis), &(start..end).collect::<Vec<_>>())
        });
        entries.push(f.with(format!("axis {axis}, {start}..{end}")));
    }
    let samples = s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 3, 2, 1]], &[&[7, 3, 14, 15]]]);
    entries.push(entry!("narrow", samples.clone(), |x| x[0].narrow(1, 1, 2), |x| x[0].select(Axis(1), &[1, 2])));
    // The last part before the first, so that each has to be right by itself.
    entries.push(entry!(
        "split",
        samples,
        |x| {
            let parts = x[0].split(1, &[1, 0, 2]);
            Var::concat(&[&parts[2], &parts[1], &parts[0]], 1)
        },
        |x| x[0].select(Axis(1), &[1, 2, 0])
    ));
    for (axis, before, after) in [(0, 0, 1), (1, 2, 0), (2, 1, 1), (3, 0, 0)] {
        let samples = s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 2, 2, 1]], &[&[7, 13, 14, 15]], &[&[2, 0, 3, 1]]]);
        let label = format!("axis {axis}, {before} and {after}");
        let f = entry!("pad", samples, |x| x[0].pad(axis, before, after), |x| pad(&x[0], axis, before, after));
        entries.push(f.with(label));
    }
    entries
}

fn joins(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (from, to) in [
        (&[2, 3, 4][..], &[4, 6][..]),
        (&[6], &[1, 2, 3]),
        (&[1, 1], &[]),
        (&[0, 3], &[2, 0]),
        (&[2, 3, 4, 5], &[6, 20]),
    ] {
        let samples = vec![vec![s.any(from)]];
        let f = entry!("reshape", samples, |x| x[0].reshape(to), |x| reshape(&x[0], to));
        entries.push(f.with(format!("{from:?} to {to:?}")));
    }
    let parts = s.samples(&[
        &[&[2, 3, 4, 5], &[2, 1, 4, 5], &[2, 0, 4, 5]],
        &[&[1, 1, 1, 1], &[1, 3, 1, 1], &[1, 1, 1, 1]],
        &[&[5, 13, 14, 15], &[5, 2, 14, 15], &[5, 9, 14, 15]],
    ]);
    let f = entry!("concat", parts, |x| Var::concat(&[&x[0], &x[1], &x[2]], 1), |x| {
        concatenate![Axis(1), x[0], x[1], x[2]]
    });
    entries.push(f.with("axis 1"));
    let parts = s.samples(&[&[&[3, 2], &[1, 2]], &[&[0], &[3]], &[&[1, 2], &[1, 2]]]);
    let f = entry!("concat", parts, |x| Var::concat(&[&x[1], &x[0], &x[1]], 0), |x| {
        concatenate![Axis(0), x[1], x[0], x[1]]
    });
    entries.push(f.with("axis 0, one part twice"));
    entries
}

fn minima_and_deviations(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for keepdim in [false, true] {
        for axes in [&[0][..], &[1], &[0, 2], &[2, 0, 1], &[]] {
            let samples = s.samples(&[&[&[2, 3, 5]], &[&[1, 4, 1]], &[&[40, 6, 90]]]);
            let f = entry!("min_axes", samples, |x| x[0].min_axes(axes, keepdim), |x| {
                reduce(&x[0], axes, keepdim, min)
            });
            entries.push(f.with(format!("{axes:?} keepdim {keepdim}")));
        }
        for (axes, correction) in [(&[0][..], 0), (&[1, 2], 1), (&[0, 1, 2], 0), (&[2], 1)] {
            let samples = s.samples(&[&[&[2, 3, 5]], &[&[3, 1, 4]], &[&[40, 6, 90]]]);
            let f = entry!("std_axes", samples, |x| x[0].std_axes(axes, keepdim, correction), |x| {
                reduce(&x[0], axes, keepdim, |values| variance(values, correction).sqrt())
            });
            entries.push(f.with(format!("{axes:?} keepdim {keepdim} correction {correction}")));
        }
    }
    let ties = vec![vec![wengert::Tensor::from_vec([2, 3], vec![3.0, 2.0, 2.0, 1.0, 1.0, 1.0])]];
    let samples = s.samples(&[&[&[]], &[&[17]], &[&[2, 3, 4, 5]], &[&[150, 131]]]);
    entries.extend([
        entry!("min", samples, |x| x[0].min(), |x| reduce_all(&x[0], min)),
        entry!("min_axes", ties, |x| x[0].min_axes([1], false), |x| reduce(&x[0], &[1], false, min)).with("ties"),
    ]);
    entries
}

fn axes_of_one(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axis in 0..4 {
        let shape: [usize; 4] = std::array::from_fn(|i| if i == axis { 1 } else { 3 });
        let samples = vec![vec![s.any(shape)], vec![s.any(shape.map(|n| if n == 1 { 1 } else { 17 }))]];
        let f = entry!("squeeze", samples, |x| x[0].squeeze(axis).tanh(), |x| {
            x[0].index_axis(Axis(axis), 0).mapv(f64::tanh)
        });
        entries.push(f.with(format!("axis {axis}")));
        let samples = s.samples(&[&[&[2, 3, 4]], &[&[1, 1, 1]], &[&[2, 0, 3]], &[&[17, 9, 33]]]);
        let f = entry!("unsqueeze", samples, |x| x[0].unsqueeze(axis), |x| x[0].clone().insert_axis(Axis(axis)));
        entries.push(f.with(format!("axis {axis}")));
        let shapes = [[2, 3, 4], [1, 1, 1], [2, 0, 3], [17, 9, 33]];
        let samples = shapes.map(|shape| vec![s.any(shape), s.any(shape), s.any(shape)]).to_vec();
        let f = entry!("stack", samples, |x| Var::stack(&[&x[0], &x[1], &x[2], &x[0]], axis), |x| {
            stack![Axis(axis), x[0], x[1], x[2], x[0]]
        });
        entries.push(f.with(format!("axis {axis}, one part twice")));
    }
    let numbers = s.samples(&[&[&[], &[]]]);
    entries.push(entry!("stack", numbers, |x| Var::stack(&[&x[0], &x[1]], 0), |x| stack![Axis(0), x[0], x[1]]));
    entries
}

fn reversals_and_copies(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = Vec::new();
    for axes in [&[0][..], &[3], &[2, 1], &[0, 1, 2, 3], &[]] {
        let maps = s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 2, 2, 1]], &[&[2, 3, 0, 5]], &[&[7, 13, 14, 15]]]);
        let f = entry!("flip", maps, |x| x[0].flip(axes), |x| {
            let mut y = x[0].clone();
            axes.iter().for_each(|&axis| y.slice_axis_inplace(Axis(axis), Slice::new(0, None, -1)));
            y
        });
        entries.push(f.with(format!("{axes:?}")));
    }
    for times in [&[1, 1, 1, 1][..], &[1, 2, 1, 1], &[2, 1, 3, 2], &[3, 2, 1, 1, 2], &[1, 0, 1, 1]] {
        let maps = s.samples(&[&[&[2, 3, 4, 5]], &[&[1, 2, 2, 1]], &[&[2, 3, 0, 5]], &[&[7, 13, 9, 15]]]);
        let f = entry!("repeat", maps, |x| x[0].repeat(times), |x| repeat(&x[0], times));
        entries.push(f.with(format!("{times:?}")));
    }
    let numbers = s.samples(&[&[&[]]]);
    entries.push(entry!("repeat", numbers, |x| x[0].repeat([2, 3]), |x| repeat(&x[0], &[2, 3])).with("a number"));
    entries
}

fn indices(s: &mut Sampler) -> Vec<Entry> {
    let mut maps = || s.samples(&[&[&[2, 3, 4, 5]], &[&[5, 2, 4, 3]], &[&[7, 13, 14, 15]]]);
    vec![
        entry!("i", maps(), |x| x[0].i((1, .., 2..4, 0)), |x| x[0].slice(s![1, .., 2..4, 0]).into_owned().into_dyn())
            .with("places and ranges"),
        entry!("i", maps(), |x| x[0].i((1.., ..=1, .., 1..=2)), |x| {
            x[0].slice(s![1.., ..=1, .., 1..=2]).into_owned().into_dyn()
        })
        .with("ranges"),
        entry!("i", maps(), |x| x[0].i((.., 1)), |x| x[0].slice(s![.., 1, .., ..]).into_owned().into_dyn())
            .with("of the first axes"),
        entry!("i", maps(), |x| x[0].i((0, 1, 2, 2)), |x| x[0].slice(s![0, 1, 2, 2]).into_owned().into_dyn())
            .with("of one number"),
        entry!("i", maps(), |x| x[0].i(2..2), |x| x[0].slice(s![2..2, .., .., ..]).into_owned().into_dyn())
            .with("of nothing"),
    ]
}

pub fn bad_calls() -> Vec<Bad> {
    let mut bad = bad_reductions();
    bad.extend(bad_moves());
    bad
}

fn bad_reductions() -> Vec<Bad> {
    vec![
        bad!("sum_axes", [[2, 3]], |x| x[0].sum_axes([2], false), "axis 2"),
        bad!("sum_axes", [[2, 3]], |x| x[0].sum_axes([1, 1], true), "named twice"),
        bad!("mean_axes", [[2, 3]], |x| x[0].mean_axes([5], false), "axis 5"),
        bad!("variance_axes", [[4]], |x| x[0].variance_axes([1], false, 1), "axis 1"),
        bad!("max_axes", [[2, 3]], |x| x[0].max_axes([2], false), "axis 2"),
        bad!("max_axes", [[2, 0, 3]], |x| x[0].max_axes([1], false), "expected at least one element"),
        bad!("max", [[0]], |x| x[0].max(), "expected at least one element"),
        bad!("min_axes", [[2, 3]], |x| x[0].min_axes([2], false), "axis 2"),
        bad!("min_axes", [[2, 0, 3]], |x| x[0].min_axes([1], false), "expected at least one element"),
        bad!("min", [[0]], |x| x[0].min(), "expected at least one element"),
        bad!("std_axes", [[4]], |x| x[0].std_axes([1], false, 1), "axis 1"),
        bad!("argmax", [[2, 3]], |x| x[0].argmax(2), "axis 2"),
        bad!("argmax", [[2, 0]], |x| x[0].value().argmax(1), "expected at least one element"),
        bad!("argmin", [[2, 3]], |x| x[0].value().argmin(2), "axis 2"),
        bad!("argmin", [[0]], |x| x[0].argmin(0), "expected at least one element"),
    ]
}

fn bad_moves() -> Vec<Bad> {
    vec![
        bad!("i", [[2, 3]], |x| x[0].i((.., 3)), "i: 3 along axis 1 of shape (2, 3): expected what lies within 0..3"),
        bad!("i", [[2, 3]], |x| x[0].value().i((0, 1..=3)), "i: 1..=3 along axis 1"),
        bad!("i", [[2, 3]], |x| x[0].i(std::ops::Range { start: 2, end: 1 }), "i: 2..1 along axis 0"),
        bad!("i", [[2, 3]], |x| x[0].i(3..), "i: 3.. along axis 0"),
        bad!("i", [[2, 3]], |x| x[0].i(..=usize::MAX), "along axis 0"),
        bad!("i", [[2, 3]], |x| x[0].i((0, 0, 0)), "i: 3 parts for shape (2, 3): expected at most 2"),
        bad!("squeeze", [[2, 3]], |x| x[0].squeeze(1), "axis 1"),
        bad!("squeeze", [[2, 1]], |x| x[0].squeeze(2), "axis 2"),
        bad!("unsqueeze", [[2, 3]], |x| x[0].unsqueeze(3), "axis 3"),
        bad!("unsqueeze", [[1, 2, 1, 2, 1, 2]], |x| x[0].unsqueeze(0), "less than 6 axes"),
        bad!("stack", [[2, 3], [2, 1]], |x| Var::stack(&[&x[0], &x[1]], 0), "expected equal shapes"),
        bad!("stack", [[2, 3], [2, 3]], |x| Var::stack(&[&x[0], &x[1]], 3), "axis 3"),
        bad!("stack", [[1, 2, 1, 2, 1, 2]], |x| Var::stack(&[&x[0]], 0), "less than 6 axes"),
        bad!("stack", [], |_x| Var::<f64>::stack(&[], 0), "at least one operand"),
        bad!("flip", [[2, 3]], |x| x[0].flip([2]), "axis 2"),
        bad!("flip", [[2, 3]], |x| x[0].flip([1, 1]), "named twice"),
        bad!("repeat", [[2, 3]], |x| x[0].repeat([2]), "at least 2 numbers"),
        bad!("repeat", [[2, 3]], |x| x[0].repeat([usize::MAX, 1]), "count"),
        bad!("repeat", [[2, 3]], |x| x[0].repeat([1 << 33, 1 << 33]), "count"),
        bad!("sum_to", [[2, 3], [2]], |x| x[0].sum_to(x[1].shape())),
        bad!("sum_to", [[3], [2, 3]], |x| x[0].sum_to(x[1].shape())),
        bad!("broadcast_to", [[2, 3], [2, 4]], |x| x[0].broadcast_to(x[1].shape())),
        bad!("broadcast_to", [[2, 3], [3]], |x| x[0].broadcast_to(x[1].shape())),
        bad!("reshape", [[2, 3], [5]], |x| x[0].reshape(x[1].shape())),
        bad!("flatten", [], |_x| wengert::Var::<f64>::from(wengert::Tensor::ones([])).flatten(), "scalar"),
        bad!("permute", [[2, 3]], |x| x[0].permute([0, 0])),
        bad!("permute", [[2, 3]], |x| x[0].permute([0])),
        bad!("permute", [[2, 3]], |x| x[0].permute([0, 2]), "(0, 2)"),
        bad!("t", [[3]], |x| x[0].t()),
        bad!("slice", [[2, 3]], |x| x[0].slice(2, 0..1), "axis 2"),
        bad!("slice", [[2, 3]], |x| x[0].slice(1, 2..4), "2..4"),
        bad!("slice", [[2, 3]], |x| x[0].slice(1, std::ops::Range { start: 2, end: 1 }), "2..1"),
        bad!("narrow", [[2, 3]], |x| x[0].narrow(2, 0, 1), "axis 2"),
        bad!("narrow", [[2, 3]], |x| x[0].narrow(1, 2, 2), "2 elements from 2"),
        bad!("narrow", [[2, 3]], |x| x[0].narrow(1, 2, usize::MAX), "from 2"),
        bad!("split", [[2, 3]], |x| x[0].split(2, &[1]), "axis 2"),
        bad!("split", [[2, 3]], |x| x[0].split(1, &[1, 1]), "[1, 1]"),
        bad!("pad", [[2, 3]], |x| x[0].pad(2, 0, 1), "axis 2"),
        bad!("concat", [[2, 3], [3, 3]], |x| Var::concat(&[&x[0], &x[1]], 1), "axis 1"),
        bad!("concat", [[2, 3], [2, 3, 1]], |x| Var::concat(&[&x[0], &x[1]], 0)),
        bad!("concat", [[2]], |x| Var::concat(&[&x[0]], 1), "axis 1"),
        bad!("concat", [], |_x| Var::<f64>::concat(&[], 0), "at least one operand"),
    ]
}
