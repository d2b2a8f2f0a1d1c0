//! What an operation costs beyond its arithmetic, and how fast the memory-bound ones move their bytes.
//!
//! `cargo bench --bench operations`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wengert::{Tape, Tensor, Var};

/// A chain of a thousand operations on a scalar, forward and backward: time / 1000 is the cost of one.
fn tiny(c: &mut Criterion) {
    c.bench_function("1000 scalar operations, forward and backward", |b| {
        b.iter(|| {
            let tape = Tape::<f32>::new();
            let x = tape.var(Tensor::scalar(0.5));
            let mut y = x.clone();
            for _ in 0..500 {
                y = y * 1.0001 + 0.0001;
            }
            y.backward().wrt(&x)
        })
    });
}

/// Maps of (64, 64, 32, 32), 16.8 MB: the throughput counts the bytes that must be read and written.
fn memory(c: &mut Criterion) {
    let x: Var<f32> = Tensor::<f32>::full([64, 64, 32, 32], 0.5).channels_last().into();
    let bytes = 4 * x.value().size() as u64;
    let mut group = c.benchmark_group("maps 64x64x32x32");
    group.throughput(Throughput::Bytes(2 * bytes)).sample_size(20);
    group.bench_function("leaky_relu", |b| b.iter(|| x.leaky_relu(0.1)));
    group.bench_function("tanh", |b| b.iter(|| x.tanh()));
    group.bench_function("exp", |b| b.iter(|| x.exp()));
    group.bench_function("channels-last to row-major", |b| b.iter(|| x.value().contiguous()));
    let matrix = x.value().contiguous().reshape([8192, 512]).permute([1, 0]);
    group.bench_function("a matrix turned", |b| b.iter(|| matrix.contiguous()));
    group.throughput(Throughput::Bytes(3 * bytes));
    group.bench_function("add", |b| b.iter(|| &x + &x));
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("sum over N, H, W", |b| b.iter(|| x.sum_axes([0, 2, 3], false)));
    group.bench_function("sum", |b| b.iter(|| x.sum()));
    let (gamma, beta): (Var<f32>, Var<f32>) = (Tensor::ones([64]).into(), Tensor::zeros([64]).into());
    group.throughput(Throughput::Bytes(3 * bytes)); // Two reads, for the statistics and for the result, and a write.
    group.bench_function("batch_norm_train", |b| b.iter(|| x.batch_norm_train(&gamma, &beta, 1e-5)));
    group.finish();
}

criterion_group!(benches, tiny, memory);
criterion_main!(benches);
