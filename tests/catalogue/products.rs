//! Matrix products and convolutions.

use wengert::ops::Conv2dOptions;

use crate::reference::{self, leaky};
use crate::table::{Bad, Entry, Sampler, bad, entry};

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = matrix_products(s);
    convolution_grid(s, &mut entries);
    convolutions(s, &mut entries);
    transposed_convolutions(s, &mut entries);
    other_convolutions(s, &mut entries);
    entries
}

fn matrix_products(s: &mut Sampler) -> Vec<Entry> {
    let matrices = s.samples(&[
        &[&[1, 1], &[1, 1]],
        &[&[2, 3], &[3, 4]],
        &[&[5, 1], &[1, 7]],
        &[&[1, 9], &[9, 1]],
        &[&[0, 3], &[3, 2]],
        &[&[2, 0], &[0, 3]],
        &[&[7, 17], &[17, 9]],
        &[&[13, 65], &[65, 33]],
        &[&[129, 70], &[70, 131]],
        &[&[300, 257], &[257, 5]],
    ]);
    let batches = s.samples(&[
        &[&[3, 2, 4], &[3, 4, 5]],
        &[&[3, 2, 4], &[4, 5]],
        &[&[2, 4], &[3, 4, 1]],
        &[&[2, 1, 3, 4], &[1, 3, 4, 2]],
        &[&[0, 2, 4], &[4, 5]],
        &[&[2, 3, 0], &[2, 0, 2]],
        &[&[6, 33, 17], &[6, 17, 40]],
        &[&[9, 64, 40], &[9, 40, 50]],
    ]);
    vec![
        entry!("matmul", matrices, |x| x[0].matmul(&x[1]), |x| reference::matmul(&x[0], &x[1])),
        entry!("matmul", batches, |x| x[0].matmul(&x[1]), |x| reference::matmul(&x[0], &x[1])).with("batched"),
        entry!("matmul", s.samples(&[&[&[4, 3]], &[&[2, 17, 5]]]), |x| x[0].matmul(&x[0].t()), |x| {
            reference::matmul(&x[0], &reference::transposed(&x[0]))
        })
        .with("x·xᵀ"),
    ]
}

/// Every stride × padding × dilation × groups (× output padding), per axis, on small maps.
fn convolution_grid(s: &mut Sampler, entries: &mut Vec<Entry>) {
    for stride in [[1, 1], [2, 2], [1, 2], [3, 2]] {
        for padding in [[0, 0], [1, 1], [2, 0], [1, 2]] {
            for dilation in [[1, 1], [2, 2], [1, 2]] {
                for (groups, kernel) in [(1, [3, 3]), (2, [3, 3]), (1, [1, 1]), (2, [2, 3]), (1, [4, 4])] {
                    let options = Conv2dOptions { stride, padding, dilation, groups };
                    grid_point(s, entries, options, kernel);
                    transposed_grid_point(s, entries, options, kernel);
                }
            }
        }
    }
}

/// How far a kernel reaches along each axis.
fn reach_of(kernel: [usize; 2], dilation: [usize; 2]) -> [usize; 2] {
    std::array::from_fn(|i| dilation[i] * (kernel[i] - 1) + 1)
}

fn grid_point(s: &mut Sampler, entries: &mut Vec<Entry>, options: Conv2dOptions, kernel: [usize; 2]) {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let (n, c, k) = (2, 2 * groups, 3 * groups);
    let reach = reach_of(kernel, dilation);
    // The output has 3 × 2 pixels; where the stride allows, pixels at the far side are left over.
    let output = [3, 2];
    let side = |i: usize| ((output[i] - 1) * stride[i] + reach[i]).checked_sub(2 * padding[i]).filter(|&side| side > 0);
    if let (Some(h), Some(w)) = (side(0), side(1)) {
        for left_over in 0..stride[0].min(stride[1]) {
            let x = s.any([n, c, h + left_over, w + left_over]);
            let (weight, bias) = (s.any([k, c / groups, kernel[0], kernel[1]]), s.any([k]));
            let label = format!("{options:?} kernel {kernel:?}, {left_over} left over");
            let sample = vec![x.clone(), weight, bias];
            let f = entry!("conv2d", vec![sample], |x| x[0].conv2d(&x[1], Some(&x[2]), &options), |x| {
                reference::conv2d(x, options)
            });
            entries.push(f.with(&label).in_grid());
            let y = s.any([n, k, output[0], output[1]]);
            let f = entry!(
                "conv2d_weight_grad",
                vec![vec![x, y]],
                |x| x[0].conv2d_weight_grad(&x[1], kernel, &options),
                |x| reference::conv2d_weight_grad(x, kernel, options)
            );
            entries.push(f.with(&label).in_grid());
        }
    }
}

fn transposed_grid_point(s: &mut Sampler, entries: &mut Vec<Entry>, options: Conv2dOptions, kernel: [usize; 2]) {
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let (n, c, k) = (2, 2 * groups, 3 * groups);
    let reach = reach_of(kernel, dilation);
    for output_padding in
        (0..stride[0].max(dilation[0])).flat_map(|h| (0..stride[1].max(dilation[1])).map(move |w| [h, w]))
    {
        let side = |i: usize| (([2, 3][i] - 1) * stride[i] + reach[i] + output_padding[i]).checked_sub(2 * padding[i]);
        if !(0..2).all(|i| side(i).is_some_and(|side| side > 0)) {
            continue;
        }
        let sample = vec![s.any([n, c, 2, 3]), s.any([c, k / groups, kernel[0], kernel[1]]), s.any([k])];
        let f = entry!(
            "conv_transpose2d",
            vec![sample],
            |x| x[0].conv_transpose2d(&x[1], Some(&x[2]), &options, output_padding),
            |x| reference::conv_transpose2d(x, options, output_padding)
        );
        let label = format!("{options:?} kernel {kernel:?} output padding {output_padding:?}");
        entries.push(f.with(label).in_grid());
    }
}

/// Sizes that reach the other kernels: odd channel numbers, channels around a vector, maps of the real nets.
fn convolutions(s: &mut Sampler, entries: &mut Vec<Entry>) {
    let one = Conv2dOptions::default().padding(1);
    let half = one.stride(2);
    let same = s.samples(&[
        &[&[1, 1, 1, 1], &[1, 1, 3, 3]],
        &[&[2, 3, 5, 4], &[4, 3, 3, 3]],
        &[&[0, 3, 5, 4], &[4, 3, 3, 3]],
        &[&[1, 16, 9, 7], &[17, 16, 3, 3]],
        &[&[3, 33, 16, 16], &[31, 33, 3, 3]],
        &[&[4, 64, 16, 16], &[64, 64, 3, 3]],
    ]);
    let f = entry!("conv2d", same, |x| x[0].conv2d(&x[1], None, &one), |x| reference::conv2d(x, one));
    entries.push(f.with("3×3, padding 1"));
    let halved = s.samples(&[&[&[2, 3, 8, 8], &[5, 3, 4, 4]], &[&[4, 33, 32, 32], &[34, 33, 4, 4]]]);
    let f = entry!("conv2d", halved, |x| x[0].conv2d(&x[1], None, &half), |x| reference::conv2d(x, half));
    entries.push(f.with("4×4, stride 2"));
    let activated = s.samples(&[
        &[&[2, 3, 5, 4], &[4, 3, 3, 3], &[4]],
        &[&[0, 3, 5, 4], &[4, 3, 3, 3], &[4]],
        &[&[3, 33, 9, 8], &[17, 33, 3, 3], &[17]],
    ]);
    entries.push(entry!(
        "conv2d_leaky_relu",
        activated,
        |x| x[0].conv2d_leaky_relu(&x[1], Some(&x[2]), &one, 0.1),
        |x| reference::conv2d(x, one).mapv(|y| leaky(y, 0.1))
    ));
    let wide = s.samples(&[&[&[4, 33, 16, 16], &[34, 33, 4, 4]]]);
    let f = entry!("conv2d_leaky_relu", wide, |x| x[0].conv2d_leaky_relu(&x[1], None, &half, 0.1), |x| {
        reference::conv2d(x, half).mapv(|y| leaky(y, 0.1))
    });
    entries.push(f.with("4×4, stride 2"));
}

/// The same for transposed convolutions.
fn transposed_convolutions(s: &mut Sampler, entries: &mut Vec<Entry>) {
    let one = Conv2dOptions::default().padding(1);
    let half = one.stride(2);
    let doubled = s.samples(&[&[&[2, 3, 4, 4], &[3, 5, 4, 4]], &[&[4, 33, 16, 16], &[33, 34, 4, 4]]]);
    let f = entry!("conv_transpose2d", doubled, |x| x[0].conv_transpose2d(&x[1], None, &half, [0, 0]), |x| {
        reference::conv_transpose2d(x, half, [0, 0])
    });
    entries.push(f.with("4×4, stride 2"));
    // A row and a column of the output that no tap reaches: only the bias is there.
    let padded = Conv2dOptions::default().stride(2);
    let beyond = s.samples(&[&[&[16, 17, 4, 4], &[17, 33, 4, 4], &[33]]]);
    let f = entry!("conv_transpose2d", beyond, |x| x[0].conv_transpose2d(&x[1], Some(&x[2]), &padded, [1, 1]), |x| {
        reference::conv_transpose2d(x, padded, [1, 1])
    });
    entries.push(f.with("4×4, stride 2, output padding"));
    let same = s.samples(&[&[&[2, 3, 5, 4], &[3, 4, 3, 3]], &[&[4, 64, 16, 16], &[64, 64, 3, 3]]]);
    let f = entry!("conv_transpose2d", same, |x| x[0].conv_transpose2d(&x[1], None, &one, [0, 0]), |x| {
        reference::conv_transpose2d(x, one, [0, 0])
    });
    entries.push(f.with("3×3, padding 1"));
}

fn other_convolutions(s: &mut Sampler, entries: &mut Vec<Entry>) {
    let one = Conv2dOptions::default().padding(1);
    let weights = s.samples(&[&[&[2, 3, 5, 4], &[2, 4, 5, 4]], &[&[4, 64, 16, 16], &[4, 33, 16, 16]]]);
    let f = entry!("conv2d_weight_grad", weights, |x| x[0].conv2d_weight_grad(&x[1], [3, 3], &one), |x| {
        reference::conv2d_weight_grad(x, [3, 3], one)
    });
    entries.push(f.with("3×3, padding 1"));
    // A channel of its own for each kernel.
    let depthwise = Conv2dOptions::default().padding(1).groups(17);
    let samples = s.samples(&[&[&[2, 17, 6, 5], &[34, 1, 3, 3]]]);
    let f = entry!("conv2d", samples, |x| x[0].conv2d(&x[1], None, &depthwise), |x| reference::conv2d(x, depthwise));
    entries.push(f.with("depthwise"));
}

pub fn bad_calls() -> Vec<Bad> {
    const ONE: Conv2dOptions = Conv2dOptions { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    const TWO: Conv2dOptions = Conv2dOptions { groups: 2, ..ONE };
    const STILL: Conv2dOptions = Conv2dOptions { stride: [0, 1], ..ONE };
    vec![
        bad!("matmul", [[2, 3], [4, 2]], |x| x[0].matmul(&x[1])),
        bad!("matmul", [[3], [3, 2]], |x| x[0].matmul(&x[1])),
        bad!("matmul", [[2, 2, 3], [3, 3, 2]], |x| x[0].matmul(&x[1])),
        bad!("conv2d", [[1, 2, 5, 5], [3, 3, 3, 3]], |x| x[0].conv2d(&x[1], None, &ONE), "groups 1"),
        bad!("conv2d", [[2, 5, 5], [3, 2, 3, 3]], |x| x[0].conv2d(&x[1], None, &ONE)),
        bad!("conv2d", [[1, 2, 5, 5], [3, 1, 3, 3]], |x| x[0].conv2d(&x[1], None, &TWO), "groups 2"),
        bad!(
            "conv2d",
            [[1, 2, 2, 5], [3, 2, 3, 3]],
            |x| x[0].conv2d(&x[1], None, &ONE),
            "reaches beyond the padded map"
        ),
        bad!("conv2d", [[1, 2, 5, 5], [3, 2, 3, 3], [2]], |x| x[0].conv2d(&x[1], Some(&x[2]), &ONE), "bias (2)"),
        bad!("conv2d", [[1, 2, 5, 5], [3, 2, 3, 3]], |x| x[0].conv2d(&x[1], None, &STILL), "stride: [0, 1]"),
        bad!("conv2d_leaky_relu", [[1, 2, 5, 5], [3, 3, 3, 3]], |x| x[0].conv2d_leaky_relu(&x[1], None, &ONE, 0.1)),
        bad!(
            "conv2d_leaky_relu",
            [[1, 2, 5, 5], [3, 2, 3, 3]],
            |x| x[0].conv2d_leaky_relu(&x[1], None, &ONE, 0.0),
            "slope above 0, found 0"
        ),
        bad!("conv_transpose2d", [[1, 2, 5, 5], [3, 2, 3, 3]], |x| x[0].conv_transpose2d(&x[1], None, &ONE, [0, 0])),
        bad!("conv_transpose2d", [[1, 3, 5, 5], [3, 2, 3, 3]], |x| x[0].conv_transpose2d(&x[1], None, &TWO, [0, 0])),
        bad!(
            "conv_transpose2d",
            [[1, 3, 5, 5], [3, 2, 3, 3]],
            |x| x[0].conv_transpose2d(&x[1], None, &ONE, [0, 1]),
            "output_padding [0, 1]"
        ),
        bad!(
            "conv_transpose2d",
            [[1, 3, 1, 1], [3, 2, 3, 3]],
            |x| x[0].conv_transpose2d(&x[1], None, &ONE.padding(2), [0, 0]),
            "no pixel"
        ),
        bad!("conv_transpose2d", [[1, 3, 5, 5], [3, 2, 3, 3], [3]], |x| x[0].conv_transpose2d(
            &x[1],
            Some(&x[2]),
            &ONE,
            [0, 0]
        )),
        bad!("conv2d_weight_grad", [[1, 2, 5, 5], [1, 3, 4, 4]], |x| x[0].conv2d_weight_grad(&x[1], [3, 3], &ONE)),
        bad!("conv2d_weight_grad", [[1, 2, 5, 5], [2, 3, 3, 3]], |x| x[0].conv2d_weight_grad(&x[1], [3, 3], &ONE)),
        bad!("conv2d_weight_grad", [[1, 2, 5, 5], [3, 3, 3]], |x| x[0].conv2d_weight_grad(&x[1], [3, 3], &ONE)),
    ]
}
