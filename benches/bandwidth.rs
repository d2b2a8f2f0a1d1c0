//! How fast the kernels that do little arithmetic move their bytes: everything in a training step but convolutions.
//!
//! `cargo bench --bench bandwidth`; the throughput counts each operand that must be read and each result that must be
//! written once. Operands of 134 MB, so that no cache holds a part of them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use wengert::compute::{Inputs, Kernel, Outputs};
use wengert::function;
use wengert::kernels::around::Around;
use wengert::kernels::buffer::Buffer;
use wengert::kernels::by_element::{ByElement, Update, UpdateAlike};
use wengert::kernels::formulas::Sum;
use wengert::kernels::nest::Nest;
use wengert::kernels::norm::{self, ChannelAffine};
use wengert::kernels::optim::{AdamStep, RmsPropStep};
use wengert::kernels::parallel::{TASK, for_chunks};
use wengert::kernels::reduce::Reduction;
use wengert::kernels::{matmul, softmax, spectral};

function!(LeakyRelu { slope } | x | x.if_positive(x, slope * x));
function!(LeakyGate { slope } | g, x | x.if_positive(g, slope * g));

/// Elements of an operand: maps (512, 64, 32, 32).
const LEN: usize = 512 * 64 * 32 * 32;

/// The same as a matrix.
const ROWS: usize = 4096;
const COLUMNS: usize = LEN / ROWS;

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Measures an operation that reads and writes so many operands in all.
fn bench(group: &mut Group, name: &str, operands: u64, mut f: impl FnMut()) {
    group.throughput(Throughput::Bytes(operands * 4 * LEN as u64)).bench_function(name, |b| b.iter(&mut f));
}

/// In the memory of tensors, which is huge pages where the system has them.
fn operand(value: f32) -> Buffer<f32> {
    let mut operand = Buffer::stale(LEN);
    operand.fill(value);
    operand
}

/// What there is to reach: an operand read (a word of each line), and copied, in order.
fn memory(c: &mut Criterion) {
    let group = &mut c.benchmark_group("memory");
    group.sample_size(10);
    let (x, mut y) = (operand(0.5), operand(0.25));
    bench(group, "read", 1, || {
        let words = |x: &[f32]| x.chunks(16).map(|line| black_box(line[0])).sum::<f32>();
        _ = black_box(x.par_chunks(TASK).map(words).sum::<f32>());
    });
    bench(group, "copy", 2, || for_chunks(&mut y, TASK, |start, y| y.copy_from_slice(&x[start..][..y.len()])));
}

/// Runs a kernel.
fn run(kernel: &impl Kernel<f32>, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
    kernel.cpu(Inputs { tensors: inputs, indices: &[] }, Outputs { tensors: outputs, indices: &mut [] });
}

fn by_element(c: &mut Criterion) {
    let group = &mut c.benchmark_group("by element");
    group.sample_size(10);
    let (x, mut y) = (operand(0.5), operand(0.25));
    let nest = Nest::new(&[LEN], &[1], [&[1]]);
    let relu = ByElement { nest, formula: LeakyRelu { slope: 0.1 } };
    bench(group, "leaky ReLU", 2, || run(&relu, &[&x], &mut [&mut y]));
    let gate = Update { nest, formula: LeakyGate { slope: 0.1 } };
    bench(group, "leaky ReLU's gradient in place", 3, || run(&gate, &[&x], &mut [&mut y]));
    let (mut m, mut v) = (operand(0.0), operand(0.0));
    let step = AdamStep { beta1: 0.5, rest1: 0.5, beta2: 0.999, rest2: 0.001, step_size: 1e-4, root: 0.1, eps: 1e-8 };
    bench(group, "Adam", 7, || run(&UpdateAlike::<_, 4, 3>(step), &[&x], &mut [&mut y, &mut m, &mut v]));
    let step = RmsPropStep { lr: 1e-4, alpha: 0.99, rest: 0.01, eps: 1e-8 };
    bench(group, "RMSProp", 5, || run(&UpdateAlike::<_, 3, 2>(step), &[&x], &mut [&mut y, &mut v]));
}

fn batch_norm(c: &mut Criterion) {
    for channels in [16, 64, 256] {
        let group = &mut c.benchmark_group(format!("batch norm of {channels} channels"));
        group.sample_size(10);
        let (x, g, mut y) = (operand(0.5), operand(0.25), operand(0.0));
        let (mean, scale, shift) = (vec![0.1; channels], vec![1.5; channels], vec![0.2; channels]);
        let affine = ChannelAffine { mean: &mean, scale: &scale, shift: &shift };
        bench(group, "moments", 1, || _ = black_box(norm::moments(&x, channels)));
        bench(group, "normalise, ReLU", 2, || norm::normalise::<f32, true>(&mut y, &x, &affine));
        bench(group, "sums of gradients", 2, || _ = black_box(norm::gradient_sums::<f32, true>(&x, &g, &affine)));
        bench(group, "gradient", 3, || {
            norm::input_gradient::<f32, true>(&mut y, &x, &g, &affine, [&mean, &scale, &shift])
        });
        bench(group, "sum of a bias' gradient", 1, || _ = black_box(norm::sums(&x, channels)));
    }
}

fn matrices(c: &mut Criterion) {
    let group = &mut c.benchmark_group(format!("matrix {ROWS}x{COLUMNS}"));
    group.sample_size(10);
    let (w, mut out) = (operand(0.5), operand(0.0));
    // The weight of a dense layer, and that of a convolution, whose output channels lie innermost.
    let dense = Around { outer: 1, extent: ROWS, inner: COLUMNS };
    let convolution = Around { outer: LEN / 512, extent: 512, inner: 1 };
    for (name, around) in [("dense", dense), ("convolution (65536, 512)", convolution)] {
        let (mut u, mut v) = (vec![0.5; around.extent], vec![0.5; LEN / around.extent]);
        bench(group, &format!("spectral norm of {name}: W v"), 1, || spectral::times(&mut u, &w, around, &v));
        bench(group, &format!("spectral norm of {name}: transposed W u"), 1, || {
            spectral::transposed_times(&mut v, &w, around, &u)
        });
        bench(group, &format!("spectral norm of {name}: eq. (15)"), 2, || {
            spectral::minus_outer(&mut out, &w, around, &u, &v, 0.5)
        });
    }
    let (mut u, mut v) = (vec![0.5; ROWS], vec![0.5; COLUMNS]);
    bench(group, "dense: matrix times vector", 1, || {
        matmul::matmul([ROWS, COLUMNS, 1], (&w, [COLUMNS, 1]), (&v, [1, 1]), false, &mut u)
    });
    let rows = Around { outer: ROWS, extent: COLUMNS, inner: 1 };
    bench(group, "softmax of rows", 2, || softmax::softmax(&mut out, &w, rows, false));
    // About as long as those of self-attention.
    let short = Around { outer: LEN / 512, extent: 512, inner: 1 };
    bench(group, "softmax of rows of 512 elements", 2, || softmax::softmax(&mut out, &w, short, false));
    let y = operand(1.0 / COLUMNS as f32);
    bench(group, "softmax's gradient", 3, || softmax::softmax_backward(&mut out, &y, &w, rows));
    let sum = |strides: [usize; 2]| Reduction::new(&[ROWS, COLUMNS], &[COLUMNS, 1], &strides, 0.0, Sum);
    bench(group, "sum of all", 1, || run(&sum([0, 0]), &[&w], &mut [&mut u[..1]]));
    bench(group, "sum of columns", 1, || run(&sum([0, 1]), &[&w], &mut [&mut v]));
    bench(group, "sum of rows", 1, || run(&sum([1, 0]), &[&w], &mut [&mut u]));
}

criterion_group!(benches, memory, by_element, batch_norm, matrices);
criterion_main!(benches);
