//! What the level `portable` promises ([`Level::Portable`]): the same bits on every machine. `notes/checking.md` says
//! where they were seen.

use wengert::kernels::conv::{ConvShape, Epilogue, direct, patches, thin, winograd};
use wengert::ops::{Conv2dOptions, power_iteration};
use wengert::{Level, Rng, Shape, Tape, Tensor, Var};

/// Multiples of 2⁻²³ in [−1, 1): whole numbers of a generator whose words are part of the contract, scaled exactly.
fn exact(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::seed(seed);
    (0..len).map(|_| rng.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn tensor(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    Tensor::from_vec(shape, exact(shape.size(), seed))
}

fn var(shape: impl Into<Shape>, seed: u64) -> Var {
    tensor(shape, seed).into()
}

/// FNV-1a of the bits, element by element.
fn hash(values: &[f32]) -> u64 {
    assert!(values.iter().all(|x| x.is_finite()), "the bits of a NaN are no part of the promise");
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, x| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x100_0000_01b3))
}

/// Square images and kernels, padded by one.
fn shape(
    batch: usize,
    [in_channels, out_channels]: [usize; 2],
    side: usize,
    kernel: usize,
    stride: usize,
) -> ConvShape {
    ConvShape {
        batch,
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

/// y, dx and dw of a convolution, by the algorithm that computes them.
fn maps(shape: &ConvShape, algorithm: &str) -> Vec<f32> {
    let level = Level::current();
    let (x, w, dy) = (exact(shape.x_len(), 1), exact(shape.w_len(), 2), exact(shape.y_len(), 3));
    let (x_bias, y_bias) = (exact(shape.in_channels, 4), exact(shape.out_channels, 5));
    let (forward, back) = (Epilogue { bias: Some(&y_bias), slope: 0.25 }, Epilogue::bias(Some(&x_bias)));
    let nan = |len: usize| vec![f32::NAN; len];
    let (mut y, mut dx, mut dw) = (nan(shape.y_len()), nan(shape.x_len()), nan(shape.w_len()));
    match algorithm {
        "patches" => {
            patches::conv2d(level, shape, &x, &w, forward, &mut y);
            patches::conv2d_input_grad(level, shape, &dy, &w, back, &mut dx);
            patches::conv2d_weight_grad(level, shape, &x, &dy, &mut dw);
        }
        "winograd" => {
            winograd::conv2d(level, shape, &x, &w, forward, &mut y);
            winograd::conv2d_input_grad(level, shape, &dy, &w, Some(&x_bias), &mut dx);
            winograd::conv2d_weight_grad(level, shape, &x, &dy, &mut dw);
        }
        // To a few channels: thin, whose adjoint is direct; and the other way round.
        "thin" => {
            thin::conv2d(level, shape, &x, &w, forward, &mut y);
            direct::conv2d_input_grad(level, shape, &dy, &w, back, &mut dx);
            thin::conv2d_weight_grad(level, shape, &x, &dy, &mut dw);
        }
        _ => {
            direct::conv2d(level, shape, &x, &w, forward, &mut y);
            thin::conv2d_input_grad(level, shape, &dy, &w, back, &mut dx);
            direct::conv2d_weight_grad(level, shape, &x, &dy, &mut dw);
        }
    }
    [y, dx, dw].concat()
}

fn products() -> Vec<f32> {
    let product = |a: Var, b: Var| a.matmul(&b).value().to_vec();
    [
        product(var([70, 401], 1), var([401, 67], 2)), // several panels, and tiles that are not full
        product(var([401, 70], 3).permute([1, 0]), var([67, 401], 4).permute([1, 0])),
        product(var([3, 9, 17], 5), var([3, 17, 33], 6)),
        product(var([37, 9001], 7), var([9001, 1], 8)),
        product(var([1, 301], 9), var([301, 5001], 10)),
    ]
    .concat()
}

fn sums() -> Vec<f32> {
    let x = var([7, 41, 501], 1);
    [
        x.sum(),
        x.mean(),
        x.sum_axes([0], false),
        x.sum_axes([1], false),
        x.sum_axes([2], false),
        x.sum_axes([0, 2], false),
        x.permute([2, 0, 1]).sum_axes([1], false),
        x.variance_axes([1, 2], false, 1),
        x.max_axes([2], false),
    ]
    .iter()
    .flat_map(|sum| sum.value().to_vec())
    .collect()
}

/// The value of an operation, and the gradients of its inputs from a random cotangent.
fn with_gradients(inputs: &[Tensor], f: impl Fn(&[Var]) -> Var) -> Vec<f32> {
    let tape = Tape::new();
    let inputs: Vec<Var> = inputs.iter().map(|x| tape.var(x.clone())).collect();
    let y = f(&inputs);
    let mut all = y.value().to_vec();
    let cotangent = var(*y.shape(), 99);
    let gradients = (&y * &cotangent).sum().backward();
    inputs.iter().for_each(|x| all.extend(gradients.wrt(x).to_vec()));
    all
}

fn norms() -> Vec<f32> {
    let map = tensor([9, 67, 5, 6], 1).channels_last();
    let of_channels = [tensor([67], 2), tensor([67], 3)];
    let batch = |relu: bool| {
        with_gradients(&[map.clone(), of_channels[0].clone(), of_channels[1].clone()], |x| match relu {
            true => x[0].batch_norm_relu_train(&x[1], &x[2], 1e-5).0,
            false => x[0].batch_norm_train(&x[1], &x[2], 1e-5).0,
        })
    };
    let layer = with_gradients(&[tensor([13, 67], 4), tensor([67], 5), tensor([67], 6)], |x| {
        x[0].layer_norm(1, &x[1], &x[2], 1e-5)
    });
    [batch(false), batch(true), layer].concat()
}

fn spectral() -> Vec<f32> {
    let weight = tensor([48, 35, 3, 3], 1);
    let (u, v) = power_iteration(&weight, 0, &tensor([48], 2), &tensor([35 * 9], 3), 2, 1e-12);
    let normed = with_gradients(&[weight], |w| w[0].spectral_norm(&u, &v, 0));
    [u.to_vec(), v.to_vec(), normed].concat()
}

fn by_element() -> Vec<f32> {
    let inputs = [tensor([33, 77], 1), tensor([33, 77], 2)];
    with_gradients(&inputs, |x| {
        let [a, b] = [&x[0], &x[1]];
        a.leaky_relu(0.1) / (b.powi(2) + 0.5).sqrt() + (a * b * 3.0).tanh() + (a * 9.0).sigmoid()
    })
}

fn softmax() -> Vec<f32> {
    let x = tensor([13, 77], 1);
    [0, 1].map(|axis| with_gradients(std::slice::from_ref(&x), |x| (&x[0] * 9.0).softmax(axis))).concat()
}

fn pools() -> Vec<f32> {
    let x = tensor([3, 21, 9, 10], 1).channels_last();
    with_gradients(&[x], |x| {
        let pooled = x[0].max_pool2d([3, 2], [2, 2], [1, 0]) + x[0].avg_pool2d([3, 2], [2, 2], [1, 0]);
        pooled.upsample_nearest([2, 2])
    })
}

/// What the dispatch picks, in groups, with dilation, and transposed.
fn convolutions() -> Vec<f32> {
    let x = tensor([3, 24, 9, 10], 1).channels_last();
    let grouped = with_gradients(&[x.clone(), tensor([18, 8, 3, 3], 2), tensor([18], 3)], |x| {
        let options = Conv2dOptions::default().padding(2).dilation(2).groups(3);
        x[0].conv2d_leaky_relu(&x[1], Some(&x[2]), &options, 0.1)
    });
    let transposed = with_gradients(&[x, tensor([24, 17, 4, 4], 4)], |x| {
        x[0].conv_transpose2d(&x[1], None, &Conv2dOptions::default().stride(2).padding(1), [0, 0])
    });
    [grouped, transposed].concat()
}

fn moments_far_from_0() -> Vec<f32> {
    let (_, stats) = (var([300, 19], 1) * 0.125 + 1000.0).batch_norm_train(&var([19], 2), &var([19], 3), 1e-5);
    [stats.mean.to_vec(), stats.variance.to_vec()].concat()
}

/// What [`hash`] makes of the results. Whoever changes the order of a sum on purpose copies the table from the failure.
const EXPECTED: [(&str, u64); 14] = [
    ("products", 0x56367d1b47f0fcae),
    ("patches", 0x99b4433cb1f3da4b),
    ("thin and direct", 0xc4ec780bd666a3e5),
    ("direct and thin", 0x9f410a63f4efcf70),
    ("winograd, few tiles", 0x248c1d207caf1dcf),
    ("winograd, many tiles", 0x43173691db55f0c0),
    ("convolutions", 0xe8dc3e1898c61ac4),
    ("sums", 0x8389aac759d774d0),
    ("norms", 0xc94335e1bacbadc3),
    ("spectral norm", 0x758644f21c4b33fc),
    ("by element", 0x230652a66b847e42),
    ("softmax", 0x8336e02bc7a997d8),
    ("pools", 0x171b1c36cac3ec5a),
    ("moments far from 0", 0x2134b44b1fe6f928),
];

#[test]
fn the_bits_are_those_of_every_machine() {
    let few = [shape(5, [20, 36], 16, 3, 1), shape(5, [20, 36], 16, 4, 2)];
    let many = [shape(33, [20, 36], 16, 3, 1), shape(130, [20, 36], 16, 4, 2)];
    let results: [(&str, &dyn Fn() -> Vec<f32>); 14] = [
        ("products", &products),
        ("patches", &|| maps(&shape(9, [20, 24], 15, 3, 2), "patches")),
        ("thin and direct", &|| maps(&shape(3, [48, 3], 33, 3, 1), "thin")),
        ("direct and thin", &|| maps(&shape(3, [3, 48], 33, 3, 1), "direct")),
        ("winograd, few tiles", &|| few.map(|shape| maps(&shape, "winograd")).concat()),
        ("winograd, many tiles", &|| many.map(|shape| maps(&shape, "winograd")).concat()),
        ("convolutions", &convolutions),
        ("sums", &sums),
        ("norms", &norms),
        ("spectral norm", &spectral),
        ("by element", &by_element),
        ("softmax", &softmax),
        ("pools", &pools),
        ("moments far from 0", &moments_far_from_0),
    ];
    let found = results.map(|(name, values)| (name, Level::Portable.scope(|| hash(&values()))));
    let table: String = found.iter().map(|(name, hash)| format!("    ({name:?}, {hash:#018x}),\n")).collect();
    assert!(found == EXPECTED, "other bits than expected; found\n{table}");
}
