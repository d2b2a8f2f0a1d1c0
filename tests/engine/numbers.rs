//! Right numbers where single precision leaves little room: long sums, numbers far out, exact quotients, signed zeros.
//!
//! Every element is held to its own value, not to the largest of its tensor.

use crate::support::{assert_panics, noise};
use wengert::kernels::Level;
use wengert::ops::{Conv2dOptions, loss};
use wengert::{Element, Tape, Tensor, Var};

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn vector(values: &[f32]) -> Tensor<f32> {
    Tensor::from_slice([values.len()], values)
}

/// The gradient of Σ f(x)·r at x.
fn slope<T: Element>(f: impl Fn(&Var<T>) -> Var<T>, x: &Tensor<T>, r: f64) -> Vec<T> {
    let tape = Tape::new();
    let x = tape.var(x.clone());
    (f(&x) * r).sum().backward().wrt(&x).to_vec()
}

#[track_caller]
fn assert_each(found: &[f32], wanted: impl Fn(usize) -> f64, tolerance: f64) {
    for (i, &found) in found.iter().enumerate() {
        let wanted = wanted(i);
        let error = (found as f64 - wanted).abs() / wanted.abs();
        assert!(error <= tolerance, "element {i}: {found:e}, not {wanted:e}: off by {error:e}");
    }
}

/// 10⁷ equal terms, or as many as a map has, along every kind of axis.
#[test]
fn long_sums() {
    let n = 10_000_000;
    let term = 0.1f32;
    let exactly = |terms: usize| move |_| terms as f64 * term as f64;
    for level in levels() {
        level.scope(|| {
            let x = Var::from(Tensor::<f32>::full([n, 2], 0.1));
            assert_each(&x.sum_axes([0], false).value().to_vec(), exactly(n), 2e-6);
            assert_each(&x.t().sum_axes([1], false).value().to_vec(), exactly(n), 2e-6);
            assert_each(&[x.value().sum()], exactly(2 * n), 2e-6);
            assert_each(&x.reshape([2, n]).sum_axes([1], false).value().to_vec(), exactly(n), 2e-6);
            assert_each(&[Tensor::<f32>::full([1], 0.1).broadcast_to([n]).sum()], exactly(n), 2e-6);
            assert_each(&x.mean_axes([0], false).value().to_vec(), exactly(1), 2e-6);
            // The gradient of what is repeated.
            let tape = Tape::new();
            let bias = tape.var(Tensor::zeros([2]));
            assert_each(&((&x + &bias) * 0.1).sum().backward().wrt(&bias).to_vec(), exactly(n), 2e-6);
            let maps = Tensor::<f32>::full([64, 2, 32, 32], 0.1).channels_last();
            assert_each(&Var::from(&maps).sum_axes([0, 2, 3], false).value().to_vec(), exactly(65_536), 1e-6);
            assert_each(
                &Var::from(&maps).sum_axes([2], false).sum_axes([0], false).value().to_vec(),
                exactly(2048),
                1e-6,
            );
        });
    }
}

/// The weight gradient of a convolution adds up as many terms as there are pixels.
#[test]
fn weight_gradients_of_many_pixels() {
    for level in levels().filter(|level| *level != Level::Scalar) {
        level.scope(|| {
            for (batch, channels, kernel, stride) in [
                (8, [3, 16], 3, 1),
                (8, [8, 3], 3, 1),
                (8, [4, 5], 2, 2),
                (1, [16, 16], 3, 1),
                (1, [16, 16], 4, 2),
                (32, [16, 16], 4, 2),
            ] {
                let side = if batch > 8 { 256 } else { 1024 };
                let x = Tensor::<f32>::full([batch, channels[0], side, side], 0.1).channels_last();
                let options = Conv2dOptions::default().stride(stride);
                let out = (side - kernel) / stride + 1;
                let grad = Tensor::<f32>::full([batch, channels[1], out, out], 1.1).channels_last();
                let w = Var::from(&x).conv2d_weight_grad(&grad.into(), [kernel; 2], &options);
                let want = (batch * out * out) as f64 * 0.1f32 as f64 * 1.1f32 as f64;
                assert_each(&w.value().to_vec(), |_| want, 1e-5);
            }
        });
    }
}

#[test]
fn slopes_far_out() {
    let points: Vec<f32> = (-870..=870).map(|i| i as f32 / 10.0).collect();
    let sech_squared = |x: f64| 4.0 * (-2.0 * x.abs()).exp() / (1.0 + (-2.0 * x.abs()).exp()).powi(2);
    for level in levels() {
        level.scope(|| {
            let found = slope(Var::sigmoid, &vector(&points), 1.0);
            assert_each(&found, |i| sech_squared(points[i] as f64 / 2.0) / 4.0, 1e-5);
            let points: Vec<f32> = points.iter().map(|x| x / 87.0 * 43.0).collect();
            assert_each(&slope(Var::tanh, &vector(&points), 1.0), |i| sech_squared(points[i] as f64), 1e-5);
            // The slope of the slope, where it is not 0.
            let points: Vec<f32> = points.into_iter().filter(|x| *x != 0.0).collect();
            let tape = Tape::new();
            let x = tape.var(vector(&points));
            let second = x.tanh().sum().grad(&[&x]).remove(0).sum().backward().wrt(&x).to_vec();
            let wanted = |i: usize| -2.0 * (points[i] as f64).tanh() * sech_squared(points[i] as f64);
            assert_each(&second, wanted, 1e-5);
        });
    }
    // Beyond all numbers.
    let ends = vector(&[f32::NEG_INFINITY, f32::INFINITY, 1e30]);
    for f in [Var::sigmoid, Var::tanh] {
        assert_eq!(slope(f, &ends, 1.0), [0.0; 3]);
        assert!(slope(f, &vector(&[f32::NAN]), 1.0)[0].is_nan());
    }
}

#[test]
fn quotients_are_exact() {
    let x = Var::from(Tensor::<f64>::full([], 49.0));
    assert_eq!((&x / 49.0).item(), 1.0);
    assert_eq!(Var::from(Tensor::<f64>::ones([49])).mean().item(), 1.0);
    assert_eq!(Var::from(Tensor::<f64>::ones([49, 2])).mean_axes([0], false).value().to_vec(), [1.0; 2]);
    let map = Var::from(Tensor::<f64>::ones([1, 1, 7, 7]));
    assert_eq!(map.avg_pool2d([7, 7], [7, 7], [0, 0]).item(), 1.0);
    // 1/c would be infinite.
    let tiny = 1e-39f32;
    let y = Var::from(vector(&[1e-30, 0.0])) / tiny as f64;
    assert_eq!(y.value().to_vec(), [1e-30 / tiny, 0.0]);
    assert_eq!(slope(|x| x / 49.0, &Tensor::<f64>::full([1], 3.0), 49.0), [1.0]);
    assert_eq!((7.0 / x).item(), 7.0 / 49.0);
}

/// xⁿ⁻¹ is too small for the type there, its product with the gradient is not.
#[test]
fn slopes_of_reciprocals_of_large_numbers() {
    let x = vector(&[1e20, -1e20, 2e15, 3.0]);
    let wanted = |i: usize| -1e10 / (x.to_vec()[i] as f64).powi(2);
    assert_each(&slope(|x| 1e10 / x, &x, 1.0), wanted, 1e-6);
    assert_each(&slope(|x| x.powi(-1), &x, 1e10), wanted, 1e-6);
    assert_each(&slope(|x| x.powf(-1.0), &x, 1e10), wanted, 1e-6);
    assert_each(&slope(|x| Var::from(vector(&[1e10])) / x, &x, 1.0), wanted, 1e-6);
    let x = vector(&[1e30, 1e25]);
    assert_each(&slope(|x| x.powf(-0.5), &x, 1e15), |i| -0.5e15 * (x.to_vec()[i] as f64).powf(-1.5), 1e-5);
}

#[test]
fn powers_at_the_ends() {
    let ends = Tensor::from_vec([4], vec![f64::NEG_INFINITY, -1.0, -0.0, f64::INFINITY]);
    let y = |p: f64| Var::from(&ends).powf(p).value().to_vec();
    for p in [0.5, -0.5, 1.5] {
        let (y, dy) = (y(p), slope(|x| x.powf(p), &ends, 1.0));
        assert!(y[0].is_nan() && y[1].is_nan() && dy[0].is_nan() && dy[1].is_nan(), "{p}: {y:?} {dy:?}");
        let at_zero = 0f64.powf(p);
        assert_eq!((y[2], y[3]), (at_zero, f64::INFINITY.powf(p)), "{p}");
        assert_eq!((dy[2], dy[3]), (p * 0f64.powf(p - 1.0), p * f64::INFINITY.powf(p - 1.0)), "{p}");
    }
    assert_eq!(y(3.0), [f64::NEG_INFINITY, -1.0, 0.0, f64::INFINITY]);
    assert_eq!(y(-2.0), [0.0, 1.0, f64::INFINITY, 0.0]);
}

#[test]
fn zeros_keep_their_sign() {
    let zeros = vector(&[-0.0, 0.0]);
    let x = Var::from(&zeros);
    let signs = |y: Var<f32>| y.value().to_vec().iter().map(|y| y.is_sign_negative()).collect::<Vec<_>>();
    for y in [&x * 2.0, 2.0 * &x, &x / 3.0, x.affine(1.0, -0.0), x.abs() * -1.0 * -1.0 * &x, &x + -0.0, &x - 0.0] {
        assert_eq!(signs(y), [true, false]);
    }
    for y in [&x * -2.0, -&x, &x / -3.0] {
        assert_eq!(signs(y), [false, true]);
    }
    assert_eq!(signs(x.reshape([2, 1]).sum_axes([1], false)), [true, false]);
    // −∞ and ∞, when one is divided by them.
    assert_eq!((1.0 / &x).value().to_vec(), [f32::NEG_INFINITY, f32::INFINITY]);
    assert_eq!(slope(|x| x * 1.0, &zeros, -0.0).iter().map(|y| y.to_bits()).collect::<Vec<_>>(), [0x8000_0000; 2]);
}

#[test]
fn cross_entropy_of_certainty() {
    let inf = f64::INFINITY;
    let of = |logit: f64, target: f64| {
        let (tape, t) = (Tape::new(), Tensor::full([1], target));
        let x = tape.var(Tensor::<f64>::full([1], logit));
        let y = loss::binary_cross_entropy_with_logits(&x, &t.into());
        (y.item(), y.backward().wrt(&x).item())
    };
    assert_eq!(of(inf, 1.0), (0.0, 0.0));
    assert_eq!(of(-inf, 0.0), (0.0, 0.0));
    assert_eq!(of(inf, 0.0), (inf, 1.0));
    assert_eq!(of(-inf, 1.0), (inf, -1.0));
    assert_eq!(of(inf, 0.5).0, inf);
    assert!(of(f64::NAN, 0.0).0.is_nan() && of(f64::NAN, 1.0).0.is_nan());
}

/// A number that is none reaches every result that it is part of, and no other; so does infinity.
#[test]
fn what_is_not_finite_passes_through_sums() {
    let [rows, columns] = [37, 70];
    for level in levels() {
        for (value, at) in [(f32::NAN, 0), (f32::INFINITY, 5 * columns + 66), (f32::NAN, rows * columns - 1)] {
            let mut x: Vec<f32> = noise([rows * columns], 1).cast().to_vec();
            x[at] = value;
            let x = Var::from(Tensor::from_vec([rows, columns], x));
            level.scope(|| {
                for (axis, hit) in [(1, at / columns), (0, at % columns)] {
                    for y in [x.sum_axes([axis], false), x.max_axes([axis], false), x.mean_axes([axis], false)] {
                        for (i, y) in y.value().to_vec().into_iter().enumerate() {
                            assert_eq!(y.is_finite(), i != hit, "{level:?} {value} at {at} along {axis}: {y} at {i}");
                            assert_eq!(y.is_nan(), i == hit && value.is_nan());
                        }
                    }
                }
                assert_eq!(x.sum().item().is_nan(), value.is_nan());
                assert!(!x.sum().item().is_finite() && !x.max().item().is_finite());
                // A NaN gradient, to all that was added up.
                let tape = Tape::new();
                let v = tape.var(Tensor::<f32>::ones([rows, columns]));
                let g = (v.sum_axes([1], true) * x.slice(1, at % columns..at % columns + 1)).sum().backward().wrt(&v);
                for (i, g) in g.to_vec().into_iter().enumerate() {
                    assert_eq!(g.is_finite(), i / columns != at / columns, "{level:?}");
                }
            });
        }
    }
    let both = Var::from(vector(&[f32::INFINITY, 1.0, f32::NEG_INFINITY]));
    assert!(both.sum().item().is_nan());
}

#[test]
fn what_is_not_finite_passes_through_products() {
    for level in levels() {
        for [m, k, n] in [[3, 5, 4], [70, 33, 40], [1, 300, 5], [5, 300, 1], [64, 400, 70]] {
            for value in [f32::NAN, f32::INFINITY] {
                let [row, column] = [m / 2, k / 3];
                let mut a: Vec<f32> = noise([m * k], 1).cast().to_vec();
                let mut b: Vec<f32> = noise([k * n], 2).cast().to_vec();
                a[row * k + column] = value;
                b[column * n] = 0.0; // 0·∞ is no number.
                let tape = Tape::new();
                level.scope(|| {
                    let (a, b) = (tape.var(Tensor::from_vec([m, k], a)), tape.var(Tensor::from_vec([k, n], b)));
                    let y = a.matmul(&b);
                    for (i, y) in y.value().to_vec().into_iter().enumerate() {
                        assert_eq!(y.is_finite(), i / n != row, "{level:?} {m}×{k}×{n}: {y} at {i}");
                        assert_eq!(y.is_nan(), i / n == row && (value.is_nan() || i % n == 0), "{level:?} {i}");
                    }
                    // b̄ = aᵀ·ȳ has it in one row, ā = ȳ·bᵀ nowhere.
                    let gradients = y.sum().backward();
                    for (i, y) in gradients.wrt(&b).to_vec().into_iter().enumerate() {
                        assert_eq!(y.is_finite(), i / n != column, "{level:?} {m}×{k}×{n}: {y} at {i}");
                    }
                    assert!(gradients.wrt(&a).to_vec().iter().all(|y| y.is_finite()));
                });
            }
        }
    }
}

/// The pixels whose window holds a NaN are NaN. Winograd's algorithm computes tiles of 4×4 pixels from patches, so that
/// it may reach others, but none that is more than a tile away.
#[test]
fn what_is_not_finite_passes_through_convolutions() {
    for level in levels() {
        for (channels, kernel, tile) in [([3, 16], 3, 0), ([16, 3], 3, 0), ([16, 16], 5, 0), ([32, 32], 3, 4)] {
            let mut x = noise([channels[0], 24, 24], 1).cast::<f32>().to_vec();
            x[(12 * 24 + 11) + 24 * 24] = f32::NAN;
            let x = Var::from(Tensor::from_vec([1, channels[0], 24, 24], x));
            let w = Var::from(noise([channels[1], channels[0], kernel, kernel], 2).cast::<f32>());
            let y = level.scope(|| x.conv2d(&w, None, &Conv2dOptions::default().padding(kernel / 2)));
            for (i, y) in y.value().to_vec().into_iter().enumerate() {
                let away = |at: usize, from: usize| at.abs_diff(from);
                let distance = away(i / 24 % 24, 12).max(away(i % 24, 11));
                assert!(distance > kernel / 2 || y.is_nan(), "{level:?} {channels:?}: {y} at a distance of {distance}");
                let clean = distance > kernel / 2 + tile;
                assert!(!clean || y.is_finite(), "{level:?} {channels:?}: {y} at a distance of {distance}");
            }
        }
    }
}

/// A batch, in f32, beside the same in f64: y, x̄ by both rules, γ̄ by both, for values anywhere.
#[test]
fn batch_norm_is_as_exact_as_its_values_allow() {
    fn run<T: Element>(x: &Tensor<f32>, r: &Tensor<f32>) -> Vec<(&'static str, Vec<f64>)> {
        let channels = x.shape()[1];
        let tape = Tape::<T>::new();
        let [v, g, b] = [x.cast(), Tensor::ones([channels]), Tensor::zeros([channels])].map(|x| tape.var(x));
        let y = v.batch_norm_train(&g, &b, 1e-5).0;
        let l = (&y * Var::from(r.cast::<T>())).sum();
        let wide = |x: &Tensor<T>| x.cast::<f64>().to_vec();
        let recorded: Vec<_> = l.grad(&[&v, &g]).iter().map(|x| wide(x.value())).collect();
        let fused = l.backward();
        let [dx, dg] = [0, 1].map(|i| recorded[i].clone());
        let of_fused = [&v, &g].map(|x| wide(&fused.wrt(x)));
        let [fx, fg] = of_fused;
        vec![("y", wide(y.value())), ("x̄ recorded", dx), ("x̄ fused", fx), ("γ̄ recorded", dg), ("γ̄ fused", fg)]
    }
    for level in levels() {
        for (shape, mean, std) in [
            ([16, 8, 8, 8], 0.0, 1.0),
            ([16, 8, 8, 8], 1e2, 1.0),
            ([16, 8, 8, 8], 1e4, 1.0),
            ([16, 8, 8, 8], 1e6, 1.0),
            ([16, 8, 8, 8], 0.0, 1e20),
            ([16, 8, 8, 8], 1e20, 1e19),
            ([16, 8, 8, 8], 0.0, 1e-3),
            ([5, 33, 1, 1], 3.0, 1.0),
            ([64, 33, 1, 1], 1e3, 1.0),
            ([65, 3, 1, 1], 1e4, 1.0),
        ] {
            let x = noise(shape, 7).map(|x| mean + std * x).cast::<f32>();
            let r = noise(shape, 8).cast::<f32>();
            level.scope(|| {
                for ((name, found), (_, wanted)) in run::<f32>(&x, &r).into_iter().zip(run::<f64>(&x, &r)) {
                    let top = wanted.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    let error = found.iter().zip(&wanted).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / top;
                    assert!(error <= 1e-6, "{level:?} {shape:?} mean {mean:e} std {std:e}: {name} off by {error:e}");
                }
            });
        }
        // Few values, and hardly different ones: half a unit of the last place on both sides of their mean.
        let half = 2f64.powi(-11);
        let small = half / (half * half + 1e-5).sqrt();
        level.scope(|| {
            for (values, wanted) in [([1e20, -1e20], [1.0, -1.0]), ([1e4, 10_000.001], [-small, small])] {
                let x = Var::from(Tensor::<f32>::from_vec([2, 1], values.to_vec()));
                let (gamma, beta) = (Tensor::ones([1]).into(), Tensor::zeros([1]).into());
                assert_each(&x.batch_norm_train(&gamma, &beta, 1e-5).0.value().to_vec(), |i| wanted[i], 1e-5);
            }
        });
    }
}

/// Layer norm and the variance subtract a mean as well.
#[test]
fn deviations_from_a_large_mean() {
    let x = noise([6, 50], 3).map(|x| 1e4 + x).cast::<f32>();
    let of = |x: Var<f64>| (x.variance_axes([1], false, 0), x.layer_norm(1, &ones(), &zeros(), 1e-5));
    fn ones<T: Element>() -> Var<T> {
        Tensor::ones([50]).into()
    }
    fn zeros<T: Element>() -> Var<T> {
        Tensor::zeros([50]).into()
    }
    let (variance, normal) = of(Var::from(x.cast::<f64>()));
    let x = Var::from(&x);
    assert_each(&x.variance_axes([1], false, 0).value().to_vec(), |i| variance.value().to_vec()[i], 1e-6);
    let found = x.layer_norm(1, &ones(), &zeros(), 1e-5).value().to_vec();
    for (found, wanted) in found.into_iter().zip(normal.value().to_vec()) {
        assert!((found as f64 - wanted).abs() <= 2e-6, "{found}, not {wanted}");
    }
}

/// In a release build, sums and products of such options would wrap around.
#[test]
fn options_beyond_all_sizes_are_refused() {
    let (x, w) = (Var::from(Tensor::<f64>::ones([1, 1, 4, 4])), Var::from(Tensor::<f64>::ones([1, 1, 3, 3])));
    let one = Conv2dOptions::default();
    for huge in [1 << 63, usize::MAX, (1 << 63) - 1, usize::MAX / 2 - 1, 1 << 62] {
        for options in [one.dilation(huge), one.padding(huge)] {
            assert_panics(|| drop(x.conv2d(&w, None, &options)), &["conv2d: x (1, 1, 4, 4)", "overflows"]);
            assert_panics(|| drop(x.conv2d_leaky_relu(&w, None, &options, 0.1)), &["conv2d_leaky_relu: "]);
            assert_panics(
                || drop(x.conv_transpose2d(&w, None, &options, [0, 0])),
                &["conv_transpose2d: ", "overflows"],
            );
            assert_panics(|| drop(x.conv2d_weight_grad(&x, [3, 3], &options)), &["conv2d_weight_grad: "]);
        }
        let groups = one.groups(huge);
        assert_panics(|| drop(x.conv2d(&w, None, &groups)), &["conv2d: ", "groups"]);
        assert_panics(|| drop(x.conv_transpose2d(&w, None, &groups, [0, 0])), &["conv_transpose2d: ", "groups"]);
        assert_panics(|| drop(x.conv2d_weight_grad(&x, [3, 3], &groups)), &["conv2d_weight_grad: "]);
        assert_panics(|| drop(x.conv_transpose2d(&w, None, &one.stride(huge), [0, 0])), &["overflows"]);
        assert_panics(|| drop(x.conv_transpose2d(&w, None, &one.stride(huge), [huge - 1; 2])), &["overflows"]);
        for pool in [Var::max_pool2d, Var::avg_pool2d] {
            assert_panics(|| drop(pool(&x, [2, 2], [1, 1], [huge; 2])), &["_pool2d: ", "padding"]);
            assert_panics(|| drop(pool(&x, [huge; 2], [1, 1], [huge / 2; 2])), &["_pool2d: ", "padding"]);
        }
        assert_panics(|| drop(x.upsample_nearest([huge, 1])), &["upsample_nearest: "]);
        assert_panics(|| drop(x.sum_blocks([huge, 1])), &["sum_blocks: "]);
        assert_panics(|| drop(x.pad(2, huge, huge)), &["(1, 1, "]);
        assert_panics(|| drop(x.narrow(2, huge, huge)), &["narrow: "]);
        // A stride beyond the map makes one step.
        assert_eq!(x.conv2d(&w, None, &one.stride(huge)).value().to_vec(), [9.0]);
        assert_eq!(x.max_pool2d([2, 2], [huge; 2], [0, 0]).value().to_vec(), [1.0]);
    }
    let tape = Tape::new();
    let [x, w] = [&x, &w].map(|x| tape.var(x.value().clone()));
    let gradients = x.conv2d(&w, None, &one.stride(usize::MAX)).sum().backward();
    assert_eq!((gradients.wrt(&x).sum(), gradients.wrt(&w).sum()), (9.0, 9.0));
}

/// A panic that can be caught, not the end of the process, and it says what there is no memory for.
#[test]
fn tensors_larger_than_memory_are_refused() {
    let big = [1 << 40, 1 << 10];
    assert_panics(|| drop(Tensor::<f64>::zeros(big)), &["no memory", "(1099511627776, 1024) in f64"]);
    let one = Tensor::<f32>::ones([1]);
    assert_panics(|| drop(one.broadcast_to(big).contiguous()), &["Reorder: ", "(1099511627776, 1024) in f32"]);
    assert_panics(|| drop(one.broadcast_to(big).to_vec()), &["to_vec: ", "(1099511627776, 1024) in f32"]);
    let x = Var::from(one.broadcast_to(big));
    assert_panics(|| drop(x.exp()), &["ByElement<Exp, 1>: no memory", "(1099511627776, 1024)"]);
    assert_panics(|| drop(&x + &x), &["ByElement<Sum, 2>: no memory"]);
    let map = Var::from(Tensor::<f32>::ones([1, 1, 4, 4]));
    let w = Var::from(Tensor::<f32>::ones([1, 1, 3, 3]));
    let wide = Conv2dOptions::default().padding(1 << 26);
    assert_panics(|| drop(map.conv2d(&w, None, &wide)), &["Convolution: no memory", "(1, 1, 134217730, 134217730)"]);
    assert_panics(|| drop(wengert::Rng::seed(1).normal::<f32>(big)), &["no memory", "(1099511627776, 1024)"]);
}
