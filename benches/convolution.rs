//! Convolutions: every layer of the nets, the algorithms side by side, and what the machine computes at most.
//!
//! `cargo bench --bench convolution`; the throughput is in multiply-adds, so 1 Gelem/s is 2 GFLOP/s.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wengert::Level;
use wengert::kernels::conv::{self, ConvShape, Epilogue, direct, patches, thin, winograd};
use wengert::kernels::simd::{self, Simd, WithSimd};

/// The convolutions of the discriminator (D) and the generator (G) that `gan` trains on images of 32×32: name, channels
/// in, channels out, kernel, stride, side of the map. Transposed layers are the adjoints of these.
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

/// 64 images, padded by one.
fn shape([in_channels, out_channels]: [usize; 2], kernel: usize, stride: usize, side: usize) -> ConvShape {
    ConvShape {
        batch: 64,
        in_channels,
        out_channels,
        input: [side; 2],
        output: [(side + 2 - kernel) / stride + 1; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [1; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

/// x, w and y.
fn operands(shape: &ConvShape) -> [Vec<f32>; 3] {
    [vec![0.5; shape.x_len()], vec![0.01; shape.w_len()], vec![0.5; shape.y_len()]]
}

fn layers(c: &mut Criterion) {
    for (name, in_channels, out_channels, kernel, stride, side) in LAYERS {
        let shape = shape([in_channels, out_channels], kernel, stride, side);
        let [mut x, mut w, mut y] = operands(&shape);
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

type Forward = fn(Level, &ConvShape, &[f32], &[f32], Epilogue<f32>, &mut [f32]);
type WeightGrad = fn(Level, &ConvShape, &[f32], &[f32], &mut [f32]);

/// Each algorithm beside gathered patches, around the sizes from which it is preferred to them.
fn algorithms(c: &mut Criterion) {
    let patches: (Forward, WeightGrad) = (patches::conv2d, patches::conv2d_weight_grad);
    let direct: (Forward, WeightGrad) = (direct::conv2d, direct::conv2d_weight_grad);
    let thin: (Forward, WeightGrad) = (thin::conv2d, thin::conv2d_weight_grad);
    let winograd: (Forward, WeightGrad) = (winograd::conv2d, winograd::conv2d_weight_grad);
    let direct_shapes = [1, 3, 8, 15].map(|channels| shape([channels, 64], 3, 1, 32));
    let thin_shapes = [3, 8, 16].map(|channels| shape([64, channels], 3, 1, 32));
    let winograd_shapes = [8, 16, 64].map(|channels| [4, 6, 12].map(|side| shape([channels; 2], 3, 1, side)));
    let strided_shapes = [8, 16, 64].map(|channels| [8, 12, 24].map(|side| shape([channels; 2], 4, 2, side)));
    let winograd_shapes = [winograd_shapes.as_flattened(), strided_shapes.as_flattened()].concat();
    for (name, algorithm, shapes) in
        [("direct", direct, &direct_shapes[..]), ("thin", thin, &thin_shapes), ("winograd", winograd, &winograd_shapes)]
    {
        let mut group = c.benchmark_group(format!("{name} or patches"));
        for shape in shapes {
            let [x, mut w, mut y] = operands(shape);
            let level = Level::current();
            group.throughput(Throughput::Elements(shape.work() as u64)).sample_size(10);
            let ConvShape { in_channels, out_channels, kernel: [kernel, _], stride: [stride, _], .. } = *shape;
            let case = format!("{in_channels}-{out_channels} {kernel}x{kernel}s{stride} @{}", shape.input[0]);
            for (name, (forward, weight_grad)) in [(name, algorithm), ("patches", patches)] {
                let id = |map: &str| BenchmarkId::new(format!("{map} {name}"), &case);
                let none = Epilogue::bias(None);
                group.bench_function(id("forward"), |b| b.iter(|| forward(level, shape, &x, &w, none, &mut y)));
                group.bench_function(id("weight gradient"), |b| {
                    b.iter(|| weight_grad(level, shape, &x, &y, &mut w));
                });
            }
        }
        group.finish();
    }
}

/// So many rounds of 16 multiply-adds of whole vectors, which do not wait for each other.
struct MultiplyAdds(u64);

impl WithSimd for MultiplyAdds {
    /// The number of multiply-adds.
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        let (factor, mut sums) = (simd.splat(0.999), [simd.splat(1.0); 16]);
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, factor);
            }
        }
        std::hint::black_box(sums);
        self.0 * 16 * S::LANES as u64
    }
}

/// Multiply-adds and nothing else on every thread: the most that a convolution could reach.
fn peak(c: &mut Criterion) {
    let level = Level::current();
    let all = || rayon::broadcast(|_| simd::run(level, MultiplyAdds(1 << 20))).iter().sum::<u64>();
    let mut group = c.benchmark_group("peak");
    group.throughput(Throughput::Elements(all())).sample_size(10);
    group.bench_function("multiply-adds", |b| b.iter(all));
    group.finish();
}

criterion_group!(benches, layers, algorithms, peak);
criterion_main!(benches);
