//! What the operations should compute: their definitions, written once more as plain loops over arrays of f64, with
//! nothing of the library in them but the options. They are slow, and as little like its kernels as can be.
//!
//! Functions of elements and moves of elements stand in the table itself.

use ndarray::{Array, Array4, ArrayD, ArrayView4, Axis, Dimension, concatenate, indices};
use wengert::Rng;
use wengert::ops::Conv2dOptions;

/// A number as an array without axes.
pub fn scalar(value: f64) -> ArrayD<f64> {
    ndarray::arr0(value).into_dyn()
}

/// 1/(1 + e⁻ˣ).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// xⁿ by multiplying n times.
pub fn power(x: f64, n: i32) -> f64 {
    let product = (0..n.abs()).fold(1.0, |product, _| product * x);
    if n < 0 { 1.0 / product } else { product }
}

/// Φ(x), how much of the normal distribution lies below x: ½ + e^(−x²/2)/√(2π)·(x + x³/3 + x⁵/(3·5) + …), whose terms
/// all have the sign of x.
pub fn distribution(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for k in 1..2000 {
        sum += term;
        term *= x * x / (2 * k + 1) as f64;
    }
    0.5 + (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

/// f of the elements at the same place of two arrays, which are repeated to one shape.
pub fn pairwise(a: &ArrayD<f64>, b: &ArrayD<f64>, f: impl Fn(f64, f64) -> f64) -> ArrayD<f64> {
    let mut y = a + &ArrayD::<f64>::zeros(b.shape());
    let b = b.broadcast(y.shape()).expect("shapes that broadcast");
    y.zip_mut_with(&b, |a, &b| *a = f(*a, b));
    y
}

/// x for x > 0, else slope·x.
pub fn leaky(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

pub fn sum(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, x| sum + x)
}

pub fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

pub fn max(values: &[f64]) -> f64 {
    values.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x))
}

pub fn min(values: &[f64]) -> f64 {
    values.iter().fold(f64::INFINITY, |min, &x| min.min(x))
}

/// Σ(x − mean)²/(n − correction).
pub fn variance(values: &[f64], correction: usize) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|x| (x - mean).powi(2)).collect::<Vec<_>>();
    sum(&squares) / (values.len() - correction) as f64
}

/// ln Σ eˣ; no sample is so large that an exponential overflows in f64.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    values.iter().map(|x| x.exp()).sum::<f64>().ln()
}

/// The mean of f over all elements.
pub fn mean_of(x: &ArrayD<f64>, f: impl Fn(f64) -> f64) -> f64 {
    mean(&x.iter().map(|&x| f(x)).collect::<Vec<_>>())
}

/// `of` the elements along `axes`, which stay with extent 1 if `keepdim`, else go.
pub fn reduce(x: &ArrayD<f64>, axes: &[usize], keepdim: bool, of: impl Fn(&[f64]) -> f64) -> ArrayD<f64> {
    let mut kept = x.shape().to_vec();
    axes.iter().for_each(|&axis| kept[axis] = 1);
    let mut along = ArrayD::from_elem(kept, Vec::new());
    for (index, &x) in x.indexed_iter() {
        let mut index = index.slice().to_vec();
        axes.iter().for_each(|&axis| index[axis] = 0);
        along[&index[..]].push(x);
    }
    let kept = along.map(|values| of(values));
    if keepdim {
        return kept;
    }
    let left = (0..x.ndim()).filter(|axis| !axes.contains(axis)).map(|axis| x.shape()[axis]).collect::<Vec<_>>();
    reshape(&kept, &left)
}

/// `of` all elements.
pub fn reduce_all(x: &ArrayD<f64>, of: impl Fn(&[f64]) -> f64) -> ArrayD<f64> {
    reduce(x, &(0..x.ndim()).collect::<Vec<_>>(), false, of)
}

/// The elements in row-major order under another shape.
pub fn reshape(x: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    Array::from_shape_vec(shape, x.iter().copied().collect()).expect("as many elements as before")
}

/// The last two axes exchanged.
pub fn transposed(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut y = x.clone();
    y.swap_axes(x.ndim() - 2, x.ndim() - 1);
    y
}

/// Zeros before and after the elements along `axis`.
pub fn pad(x: &ArrayD<f64>, axis: usize, before: usize, after: usize) -> ArrayD<f64> {
    let zeros = |n: usize| {
        let mut shape = x.shape().to_vec();
        shape[axis] = n;
        ArrayD::zeros(shape)
    };
    concatenate![Axis(axis), zeros(before), *x, zeros(after)]
}

/// Every element added to the one that it is a copy of, if x has been repeated from `shape`.
pub fn sum_to(x: &ArrayD<f64>, shape: &[usize]) -> ArrayD<f64> {
    let new_axes = x.ndim() - shape.len();
    let mut y = ArrayD::zeros(shape);
    for (index, x) in x.indexed_iter() {
        let index = index.slice()[new_axes..].iter().zip(shape).map(|(&i, &extent)| if extent == 1 { 0 } else { i });
        y[&index.collect::<Vec<_>>()[..]] += x;
    }
    y
}

/// 0 where the generator's next number is below p, else x/(1 − p): one number for each element, in row-major order.
pub fn dropout(x: &ArrayD<f64>, p: f64, seed: u64) -> ArrayD<f64> {
    let mut rng = Rng::seed(seed);
    x.map(|x| if rng.unit() < p { 0.0 } else { x / (1.0 - p) })
}

/// Zeros of extent `extent` along `axis`, with part j of x added at `to[j]`.
pub fn index_add(x: &ArrayD<f64>, axis: usize, to: &[usize], extent: usize) -> ArrayD<f64> {
    let mut shape = x.shape().to_vec();
    shape[axis] = extent;
    let mut y = ArrayD::zeros(shape);
    for (part, &to) in x.axis_iter(Axis(axis)).zip(to) {
        let mut place = y.index_axis_mut(Axis(axis), to);
        place += &part;
    }
    y
}

/// The whole several times along each axis; `times` has a number for each axis, and may have more in front.
pub fn repeat(x: &ArrayD<f64>, times: &[usize]) -> ArrayD<f64> {
    let mut y = x.clone();
    while y.ndim() < times.len() {
        y = y.insert_axis(Axis(0));
    }
    let shape = y.shape().to_vec();
    let whole: Vec<usize> = shape.iter().zip(times).map(|(extent, times)| extent * times).collect();
    ArrayD::from_shape_fn(whole, |index| {
        let index = index.slice().iter().zip(&shape).map(|(i, extent)| i % extent);
        y[&index.collect::<Vec<_>>()[..]]
    })
}

/// Products of matrices (…, m, k)·(…, k, n): all products of elements, (…, m, k, n), summed over k.
pub fn matmul(a: &ArrayD<f64>, b: &ArrayD<f64>) -> ArrayD<f64> {
    let a = a.view().insert_axis(Axis(a.ndim()));
    let b = b.view().insert_axis(Axis(b.ndim() - 2));
    let products = &a * &b;
    products.sum_axis(Axis(products.ndim() - 2))
}

/// The softmax along an axis.
pub fn softmax(x: &ArrayD<f64>, axis: usize) -> ArrayD<f64> {
    let exp = x.mapv(f64::exp);
    let sums = reduce(&exp, &[axis], true, sum);
    exp / sums
}

/// (x − μ)/√(σ² + eps) with the mean μ and the biased variance σ² over `axes`.
pub fn normalised(x: &ArrayD<f64>, axes: &[usize], eps: f64) -> ArrayD<f64> {
    let mean = reduce(x, axes, true, mean);
    let deviation = reduce(x, axes, true, |values| (variance(values, 0) + eps).sqrt());
    (x - mean) / deviation
}

/// Batch normalisation of (x, γ, β): every channel, which axis 1 counts, normalised over all other axes.
pub fn batch_norm(x: &[ArrayD<f64>], eps: f64) -> ArrayD<f64> {
    let rank = x[0].ndim();
    let axes = (0..rank).filter(|&axis| axis != 1).collect::<Vec<_>>();
    normalised(&x[0], &axes, eps) * per_channel(&x[1], rank) + per_channel(&x[2], rank)
}

/// Group normalisation of (x, γ, β): a group for every so many channels, normalised with all of its positions.
pub fn group_norm(x: &[ArrayD<f64>], groups: usize, eps: f64) -> ArrayD<f64> {
    let shape = x[0].shape();
    let grouped = reshape(&x[0], &[shape[0], groups, shape[1..].iter().product::<usize>() / groups]);
    let rank = shape.len();
    reshape(&normalised(&grouped, &[2], eps), shape) * per_channel(&x[1], rank) + per_channel(&x[2], rank)
}

/// A vector (C) as (C, 1, …), which fits axis 1 of an array of this rank.
pub fn per_channel(vector: &ArrayD<f64>, rank: usize) -> ArrayD<f64> {
    let mut shape = vec![1; rank - 1];
    shape[0] = vector.len();
    reshape(vector, &shape)
}

/// σ = Σ u[i]·W[i, j]·v[j], where `axis` counts the rows of the weight, and all others in their order the columns.
pub fn sigma(weight: &ArrayD<f64>, axis: usize, u: &[f64], v: &[f64]) -> f64 {
    let rows = weight.axis_iter(Axis(axis)).zip(u);
    rows.flat_map(|(row, u)| row.into_iter().zip(v).map(move |(w, v)| u * w * v)).sum()
}

/// `of` the pixels of each window that lie on the map, and not on the padding around it.
pub fn pool(x: &ArrayD<f64>, [kernel, stride, padding]: [[usize; 2]; 3], of: impl Fn(&[f64]) -> f64) -> ArrayD<f64> {
    let [n, c, h, w] = extents(x);
    let side = |i: usize| ([h, w][i] + 2 * padding[i] - kernel[i]) / stride[i] + 1;
    let y = Array4::from_shape_fn([n, c, side(0), side(1)], |(n, c, i, j)| {
        let taps = indices(kernel).into_iter();
        let pixels = taps.filter_map(|(r, s)| {
            let [h, w] = [(i * stride[0] + r).checked_sub(padding[0])?, (j * stride[1] + s).checked_sub(padding[1])?];
            x.get([n, c, h, w]).copied()
        });
        of(&pixels.collect::<Vec<_>>())
    });
    y.into_dyn()
}

/// Every pixel repeated in a block.
pub fn upsample(x: &ArrayD<f64>, factors: [usize; 2]) -> ArrayD<f64> {
    let [n, c, h, w] = extents(x);
    let shape = [n, c, h * factors[0], w * factors[1]];
    Array4::from_shape_fn(shape, |(n, c, i, j)| x[[n, c, i / factors[0], j / factors[1]]]).into_dyn()
}

/// The sum of all pixels, each weighed by how near its middle is to that of the pixel of the larger map, held to
/// between the outermost middles.
pub fn upsample_bilinear(x: &ArrayD<f64>, factors: [usize; 2]) -> ArrayD<f64> {
    let [n, c, h, w] = extents(x);
    let nearness = |axis: usize, at: usize, i: usize| {
        let last = [h, w][axis] as f64 - 1.0;
        let middle = ((at as f64 + 0.5) / factors[axis] as f64 - 0.5).max(0.0).min(last);
        (1.0 - (middle - i as f64).abs()).max(0.0)
    };
    let y = Array4::from_shape_fn([n, c, h * factors[0], w * factors[1]], |(n, c, p, q)| {
        let pixels = indices([h, w]).into_iter();
        pixels.map(|(i, j)| nearness(0, p, i) * nearness(1, q, j) * x[[n, c, i, j]]).sum()
    });
    y.into_dyn()
}

/// Channel c·r² + r·i + j as pixel (i, j) of each block of channel c.
pub fn pixel_shuffle(x: &ArrayD<f64>, r: usize) -> ArrayD<f64> {
    let [n, c, h, w] = extents(x);
    let shape = [n, c / (r * r), h * r, w * r];
    Array4::from_shape_fn(shape, |(n, c, p, q)| x[[n, c * r * r + p % r * r + q % r, p / r, q / r]]).into_dyn()
}

/// Pixel (i, j) of each block of channel c as channel c·r² + r·i + j.
pub fn pixel_unshuffle(x: &ArrayD<f64>, r: usize) -> ArrayD<f64> {
    let [n, c, h, w] = extents(x);
    let shape = [n, c * r * r, h / r, w / r];
    Array4::from_shape_fn(shape, |(n, k, p, q)| {
        let (c, i, j) = (k / (r * r), k / r % r, k % r);
        x[[n, c, p * r + i, q * r + j]]
    })
    .into_dyn()
}

/// The three maps of a convolution: x (N, C, H, W), the weight w (K, C/groups, R, S), and y (N, K, OH, OW).
struct Convolution {
    x: [usize; 4],
    w: [usize; 4],
    y: [usize; 4],
    options: Conv2dOptions,
}

impl Convolution {
    /// Visits all (ix, iw, iy) for which x[ix]·w[iw] is a term of y[iy].
    fn terms(&self, mut visit: impl FnMut([usize; 4], [usize; 4], [usize; 4])) {
        let Conv2dOptions { stride, padding, dilation, groups } = self.options;
        let [_, per_group, r, s] = self.w;
        for (n, k, i, j) in indices(self.y) {
            let first_channel = k / (self.w[0] / groups) * per_group;
            for (c, r, s) in indices([per_group, r, s]) {
                let h = (i * stride[0] + r * dilation[0]).checked_sub(padding[0]).filter(|&h| h < self.x[2]);
                let w = (j * stride[1] + s * dilation[1]).checked_sub(padding[1]).filter(|&w| w < self.x[3]);
                if let (Some(h), Some(w)) = (h, w) {
                    visit([n, first_channel + c, h, w], [k, c, r, s], [n, k, i, j]);
                }
            }
        }
    }
}

/// The convolution of (x, weight) or (x, weight, bias).
pub fn conv2d(inputs: &[ArrayD<f64>], options: Conv2dOptions) -> ArrayD<f64> {
    let (x, w) = (maps(&inputs[0]), maps(&inputs[1]));
    let Conv2dOptions { stride, padding, dilation, .. } = options;
    let ([n, _, height, width], [k, _, r, s]) = (extents(&inputs[0]), extents(&inputs[1]));
    let side = |i: usize| ([height, width][i] + 2 * padding[i] - dilation[i] * ([r, s][i] - 1) - 1) / stride[i] + 1;
    let mut y = Array4::zeros([n, k, side(0), side(1)]);
    let convolution = Convolution { x: extents(&inputs[0]), w: extents(&inputs[1]), y: y.dim().into(), options };
    convolution.terms(|ix, iw, iy| y[iy] += x[ix] * w[iw]);
    with_bias(y, inputs.get(2))
}

/// The transposed convolution of (x, weight) or (x, weight, bias): each pixel, times the kernel, is added to the pixels
/// that a convolution would have read for it. So its x is the y of that convolution, and its y the x.
pub fn conv_transpose2d(inputs: &[ArrayD<f64>], options: Conv2dOptions, output_padding: [usize; 2]) -> ArrayD<f64> {
    let (x, w) = (maps(&inputs[0]), maps(&inputs[1]));
    let Conv2dOptions { stride, padding, dilation, groups } = options;
    let ([n, _, height, width], [_, per_group, r, s]) = (extents(&inputs[0]), extents(&inputs[1]));
    let side = |i: usize| {
        let whole = ([height, width][i] - 1) * stride[i] + dilation[i] * ([r, s][i] - 1) + output_padding[i] + 1;
        whole - 2 * padding[i]
    };
    let mut y = Array4::zeros([n, per_group * groups, side(0), side(1)]);
    let convolution = Convolution { x: y.dim().into(), w: extents(&inputs[1]), y: extents(&inputs[0]), options };
    convolution.terms(|ix, iw, iy| y[ix] += x[iy] * w[iw]);
    with_bias(y, inputs.get(2))
}

/// The gradient of a convolution's weight from (x, ȳ): each product of a pixel and a gradient, added to the tap that
/// brought them together.
pub fn conv2d_weight_grad(inputs: &[ArrayD<f64>], kernel: [usize; 2], options: Conv2dOptions) -> ArrayD<f64> {
    let (x, y) = (maps(&inputs[0]), maps(&inputs[1]));
    let [channels, kernels] = [x.dim().1, y.dim().1];
    let mut w = Array4::zeros([kernels, channels / options.groups, kernel[0], kernel[1]]);
    let convolution = Convolution { x: extents(&inputs[0]), w: w.dim().into(), y: extents(&inputs[1]), options };
    convolution.terms(|ix, iw, iy| w[iw] += x[ix] * y[iy]);
    w.into_dyn()
}

fn with_bias(y: Array4<f64>, bias: Option<&ArrayD<f64>>) -> ArrayD<f64> {
    match bias {
        None => y.into_dyn(),
        Some(bias) => y.into_dyn() + per_channel(bias, 4),
    }
}

fn maps(x: &ArrayD<f64>) -> ArrayView4<'_, f64> {
    x.view().into_dimensionality().expect("four axes")
}

fn extents(x: &ArrayD<f64>) -> [usize; 4] {
    x.shape().try_into().expect("four axes")
}
