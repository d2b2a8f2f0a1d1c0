//! Every convolution of Tables 1 and 2 at batch 64 and full width: forward, gradient of the input, of the weight.
//!
//! `cargo bench --bench convolution`; the throughput is in multiply-adds, so 1 Gelem/s is 2 GFLOP/s.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wengert::kernels::conv::{self, ConvShape, Epilogue};

/// Name, channels in, channels out, kernel, stride, side of the map. Transposed layers are the adjoints of these.
const LAYERS: [(&str, usize, usize, usize, usize, usize); 11] = [
    ("D1 3-64 3x3 @32", 3, 64, 3, 1, 32),
    ("D2 64-64 4x4s2 @32", 64, 64, 4, 2, 32),
    ("D3 64-128 3x3 @16", 64, 128, 3, 1, 16),
    ("D4 128-128 4x4s2 @16", 128, 128, 4, 2, 16),
    ("D5 128-256 3x3 @8", 128, 256, 3, 1, 8),
    ("D6 256-256 4x4s2 @8", 256, 256, 4, 2, 8),
    ("D7 256-512 3x3 @4", 256, 512, 3, 1, 4),
    ("G1 512-256 deconv4x4s2 @4", 256, 512, 4, 2, 8),
    ("G2 256-128 deconv4x4s2 @8", 128, 256, 4, 2, 16),
    ("G3 128-64 deconv4x4s2 @16", 64, 128, 4, 2, 32),
    ("G4 64-3 3x3 @32", 64, 3, 3, 1, 32),
];

fn layers(c: &mut Criterion) {
    for (name, in_channels, out_channels, kernel, stride, side) in LAYERS {
        let shape = ConvShape {
            batch: 64,
            in_channels,
            out_channels,
            input: [side; 2],
            output: [side / stride; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [1; 2],
            dilation: [1; 2],
            groups: 1,
        };
        let mut x = vec![0.5f32; shape.x_len()];
        let mut w = vec![0.01f32; shape.w_len()];
        let mut y = vec![0.5f32; shape.y_len()];
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.work() as u64)).sample_size(10);
        // For a transposed layer the two maps change places: its forward pass is the adjoint.
        let [forward, adjoint] =
            if name.contains("deconv") { ["input gradient", "forward"] } else { ["forward", "input gradient"] };
        group.bench_function(forward, |b| b.iter(|| conv::conv2d(&shape, &x, &w, Epilogue::bias(None), &mut y)));
        group.bench_function(adjoint, |b| b.iter(|| conv::conv2d_input_grad(&shape, &y, &w, None, &mut x)));
        group.bench_function("weight gradient", |b| b.iter(|| conv::conv2d_weight_grad(&shape, &x, &y, &mut w)));
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
