//! Every algorithm at every level against the naive loops in f64, the adjoint equations, and bits across threads.

use super::*;
use crate::kernels::testing::{error, noise, same_bits_on_any_threads, tolerance, widen};

/// Square images, kernels and steps, except that the map is one wider than high, so that no axis passes for the other.
#[allow(clippy::too_many_arguments)]
fn shape(
    batch: usize,
    channels: [usize; 2],
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
) -> Option<ConvShape> {
    let input = [size, size + 1];
    let out = |size: usize| (size + 2 * padding).checked_sub(dilation * (kernel - 1) + 1).map(|n| n / stride + 1);
    Some(ConvShape {
        batch,
        in_channels: channels[0],
        out_channels: channels[1],
        input,
        output: [out(input[0])?, out(input[1])?],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        groups,
    })
}

/// A grid over everything that the loops distinguish, the channel counts taken in turn.
fn grid() -> Vec<ConvShape> {
    let channels = [
        [1, 1],
        [3, 17],
        [16, 16],
        [5, 7],
        [33, 3],
        [67, 31],
        [2, 64],
        [3, 16],
        [48, 2],
        [7, 48],
        [16, 5],
        [32, 1],
        [64, 15],
    ];
    let mut shapes = Vec::new();
    for size in [1, 4, 7, 9] {
        for kernel in [1, 2, 3, 4, 5] {
            for stride in [1, 2, 3] {
                for padding in [0, 1, 2] {
                    for dilation in [1, 2] {
                        for groups in [1, 3] {
                            let [c, k] = channels[shapes.len() % channels.len()];
                            let channels = if groups == 1 { [c, k] } else { [3 * (1 + c % 5), 3 * (1 + k % 6)] };
                            let batch = 1 + shapes.len() % 3;
                            shapes.extend(shape(batch, channels, size, kernel, stride, padding, dilation, groups));
                        }
                    }
                }
            }
        }
    }
    shapes.extend(odd_shapes());
    shapes
}

/// Different numbers along the two axes, output padding of a transposed convolution, and nothing at all.
fn odd_shapes() -> Vec<ConvShape> {
    let odd = ConvShape {
        batch: 2,
        in_channels: 6,
        out_channels: 4,
        input: [9, 6],
        output: [4, 3],
        kernel: [2, 5],
        stride: [2, 3],
        padding: [0, 2],
        dilation: [2, 1],
        groups: 2,
    };
    let mut shapes = vec![odd, ConvShape { input: [10, 8], ..odd }];
    // One group, with channels that the other algorithms take.
    for (in_channels, out_channels) in [(3, 16), (16, 3), (20, 24)] {
        let one = ConvShape { in_channels, out_channels, stride: [1, 1], dilation: [1, 1], groups: 1, ..odd };
        shapes.extend([
            ConvShape { padding: [1, 3], output: [10, 8], ..one },
            ConvShape { kernel: [3, 1], padding: [0, 0], dilation: [2, 1], output: [5, 6], ..one },
            ConvShape { kernel: [3, 3], padding: [0, 2], output: [7, 8], ..one },
            ConvShape { kernel: [4, 4], stride: [2, 2], padding: [2, 1], output: [5, 3], ..one },
            ConvShape { stride: [3, 1], padding: [1, 0], output: [4, 2], ..one },
        ]);
    }
    // Maps whose output is as large as the input though the stride is 2.
    shapes.extend(shape(3, [4, 4], 2, 3, 2, 1, 1, 1).map(|s| ConvShape { input: [2, 2], output: [2, 2], ..s }));
    let full = shape(2, [4, 6], 5, 3, 1, 1, 1, 1).unwrap();
    shapes.push(ConvShape { batch: 0, ..full });
    shapes.push(ConvShape { in_channels: 0, ..full });
    shapes.push(ConvShape { out_channels: 0, ..full });
    shapes.push(ConvShape { in_channels: 0, out_channels: 0, ..full });
    shapes.push(ConvShape { kernel: [0, 3], output: [8, 6], ..full });
    shapes.push(ConvShape { input: [0, 6], output: [0, 6], ..full });
    shapes.push(ConvShape { input: [0, 6], output: [1, 6], padding: [2, 1], ..full });
    shapes
}

/// Large enough for several blocks, ranges and tap blocks.
fn large_shapes() -> Vec<ConvShape> {
    let large = [
        shape(9, [20, 24], 16, 3, 1, 1, 1, 1),
        shape(6, [130, 40], 8, 4, 2, 1, 1, 1),
        shape(5, [48, 36], 11, 3, 1, 2, 1, 1),
        shape(40, [64, 66], 7, 3, 1, 1, 1, 1),  // Winograd
        shape(17, [16, 33], 11, 4, 2, 0, 1, 1), // pixels of x that no output sees, in one phase of several
        shape(16, [33, 17], 10, 4, 2, 0, 1, 1),
        shape(40, [64, 66], 5, 3, 1, 1, 1, 1),
        shape(200, [64, 67], 4, 3, 1, 1, 1, 1),
        shape(33, [64, 80], 16, 4, 2, 1, 1, 1),
        shape(33, [33, 66], 33, 4, 2, 0, 1, 1), // Winograd by cells: cells, blocks and chunks, none of them full
        shape(65, [70, 64], 7, 4, 2, 1, 1, 1),
        shape(70, [16, 17], 15, 3, 1, 1, 1, 1), // several cells in a range of its weight gradient
        shape(7, [24, 48], 13, 3, 2, 1, 1, 2),
        shape(3, [20, 3], 33, 3, 1, 1, 1, 1), // thin
        shape(3, [3, 20], 33, 3, 1, 1, 1, 1), // its adjoint is thin
        shape(5, [3, 64], 33, 3, 1, 1, 1, 1), // direct: several tasks of an image, several ranges and parts of dy
        shape(5, [48, 3], 33, 3, 1, 1, 1, 1), // its adjoint is direct
        shape(3, [4, 80], 19, 4, 2, 1, 1, 1), // direct with a stride, and a single vector of columns at the end
        shape(2, [40, 8], 40, 5, 1, 3, 2, 1), // several blocks in an image
        shape(8, [40, 24], 12, 1, 1, 0, 1, 1),
        shape(8, [40, 24], 12, 1, 1, 0, 1, 4),
    ];
    large.into_iter().map(Option::unwrap).collect()
}

struct Values<T> {
    x: Vec<T>,
    y: Vec<T>,
    w: Vec<T>,
    x_bias: Vec<T>,
    y_bias: Vec<T>,
    slope: T,
}

impl<T: Element> Values<T> {
    fn of(shape: &ConvShape) -> Values<T> {
        Values {
            x: noise(shape.x_len(), 1),
            y: noise(shape.y_len(), 2),
            w: noise(shape.w_len(), 3),
            x_bias: noise(shape.in_channels, 4),
            y_bias: noise(shape.out_channels, 5),
            slope: T::of(0.25),
        }
    }

    /// The bias of y; an activation where the adjoint equations do not need the maps to be linear.
    fn epilogue(&self) -> Epilogue<'_, T> {
        Epilogue { bias: Some(&self.y_bias), slope: self.slope }
    }

    /// y, dx and dw by the dispatched kernels, into memory full of NaN.
    fn run(&self, shape: &ConvShape) -> [Vec<T>; 3] {
        let nan = |len: usize| vec![T::nan(); len];
        let (mut y, mut dx, mut dw) = (nan(shape.y_len()), nan(shape.x_len()), nan(shape.w_len()));
        conv2d(shape, &self.x, &self.w, self.epilogue(), &mut y);
        conv2d_input_grad(shape, &self.y, &self.w, Some(&self.x_bias), &mut dx);
        conv2d_weight_grad(shape, &self.x, &self.y, &mut dw);
        [y, dx, dw]
    }

    /// The same by the naive loops in f64.
    fn oracle(&self, shape: &ConvShape) -> [Vec<f64>; 3] {
        let [x, y, w] = [&self.x, &self.y, &self.w].map(|v| widen(v));
        let (x_bias, y_bias) = (widen(&self.x_bias), widen(&self.y_bias));
        Level::Scalar.scope(|| Values { x, y, w, x_bias, y_bias, slope: self.slope.f64() }.run(shape))
    }
}

fn check_against_oracle<T: Element>(shapes: &[ConvShape]) -> [f64; 3] {
    let mut worst = [0.0f64; 3];
    for shape in shapes {
        let values = Values::<T>::of(shape);
        let want = values.oracle(shape);
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            let got = level.scope(|| values.run(shape));
            for (i, map) in ["conv2d", "input_grad", "weight_grad"].into_iter().enumerate() {
                let error = error(&got[i], &want[i]);
                assert!(error <= tolerance::<T>(), "{map} {} {level:?} {shape:?}: {error:e}", T::NAME);
                worst[i] = worst[i].max(error);
            }
        }
    }
    worst
}

#[test]
fn every_level_agrees_with_the_loops_on_the_grid() {
    println!("f32: {:?}", check_against_oracle::<f32>(&grid()));
    println!("f64: {:?}", check_against_oracle::<f64>(&grid()));
}

#[test]
fn every_level_agrees_with_the_loops_on_large_shapes() {
    println!("f32: {:?}", check_against_oracle::<f32>(&large_shapes()));
    println!("f64: {:?}", check_against_oracle::<f64>(&large_shapes()));
}

#[test]
fn the_three_maps_are_adjoint() {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for shape in grid().iter().chain(&large_shapes()) {
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            let mut values = Values::<f64>::of(shape);
            values.x_bias.fill(0.0);
            values.y_bias.fill(0.0);
            values.slope = 1.0;
            let [y, dx, dw] = level.scope(|| values.run(shape));
            let products = [dot(&y, &values.y), dot(&dx, &values.x), dot(&dw, &values.w)];
            let scale = 1e-12 * (1.0 + shape.work() as f64).sqrt();
            assert!((products[0] - products[1]).abs() <= scale, "{level:?} {shape:?}: {products:?}");
            assert!((products[0] - products[2]).abs() <= scale, "{level:?} {shape:?}: {products:?}");
        }
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    for shape in large_shapes() {
        let values = Values::<f32>::of(&shape);
        same_bits_on_any_threads(|| values.run(&shape).concat());
    }
}

#[test]
fn the_large_shapes_reach_every_algorithm() {
    for level in Level::ALL {
        for map in [Map::Forward, Map::InputGrad, Map::WeightGrad] {
            for wanted in [Algorithm::Patches, Algorithm::Thin, Algorithm::Direct(()), Algorithm::Winograd(())] {
                let way = (level, Precision::Fast);
                let reached = large_shapes().iter().any(|s| algorithm(way, map, s, Some(())) == wanted);
                assert_eq!(reached, level != Level::Scalar, "{level:?} {map:?} {wanted:?}");
            }
        }
    }
    let scalar = |s: &ConvShape| algorithm((Level::Scalar, Precision::Fast), Map::Forward, s, Some(()));
    assert!(large_shapes().iter().all(|s| scalar(s) == Algorithm::Naive));
}

#[test]
fn exact_leaves_winograd_out_and_is_closer_to_f64() {
    let best = Level::ALL.into_iter().rfind(|l| l.is_available()).unwrap();
    let maps = [Map::Forward, Map::InputGrad, Map::WeightGrad];
    let by_winograd = |precision, map, shape: &ConvShape| {
        algorithm((best, precision), map, shape, Some(())) == Algorithm::Winograd(())
    };
    let mut reached = 0;
    for shape in &large_shapes() {
        let fast_maps = maps.map(|map| by_winograd(Precision::Fast, map, shape));
        assert!(maps.iter().all(|&map| !by_winograd(Precision::Exact, map, shape)));
        let values = Values::<f32>::of(shape);
        let [fast, exact] = Precision::ALL.map(|precision| precision.scope(|| best.scope(|| values.run(shape))));
        let want = fast_maps.contains(&true).then(|| values.oracle(shape));
        for i in 0..maps.len() {
            let Some(want) = want.as_ref().filter(|_| fast_maps[i]) else {
                assert!(fast[i] == exact[i], "{:?} {shape:?}: the same algorithm, other bits", maps[i]);
                continue;
            };
            reached += 1;
            let [of_fast, of_exact] = [&fast, &exact].map(|got| error(&got[i], &want[i]));
            assert!(of_fast <= tolerance::<f32>(), "{:?} {shape:?}: {of_fast:e}", maps[i]);
            assert!(of_exact < of_fast, "{:?} {shape:?}: exact {of_exact:e}, fast {of_fast:e}", maps[i]);
        }
    }
    assert_eq!(reached > 0, best != Level::Scalar);
}

/// Runs an algorithm's y and dx, or more, on all shapes that it supports, whether it pays there or not.
fn check_directly<T: Element>(
    supports: fn(&ConvShape) -> bool,
    bound: f64,
    run: impl Fn(Level, &ConvShape, &Values<T>) -> Vec<Vec<T>>,
) {
    let shapes: Vec<ConvShape> = grid().into_iter().chain(large_shapes()).filter(supports).collect();
    assert!(shapes.len() > 10, "the grid must reach this algorithm");
    for shape in &shapes {
        let values = Values::<T>::of(shape);
        let want = values.oracle(shape);
        for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
            for (map, (got, want)) in run(level, shape, &values).iter().zip(&want).enumerate() {
                let error = error(got, want);
                assert!(error <= bound, "map {map} {} {level:?} {shape:?}: {error:e}", T::NAME);
            }
        }
    }
}

#[test]
fn winograd_agrees_with_the_loops_whatever_the_channels() {
    fn run(level: Level, shape: &ConvShape, values: &Values<f32>) -> Vec<Vec<f32>> {
        let nan = |len: usize| vec![f32::NAN; len];
        let (mut y, mut dx, mut dw) = (nan(shape.y_len()), nan(shape.x_len()), nan(shape.w_len()));
        let x_bias = Some(&values.x_bias[..]);
        winograd::conv2d(level, shape, &values.x, &values.w, values.epilogue(), &mut y);
        winograd::conv2d_input_grad(level, shape, &values.y, &values.w, x_bias, &mut dx);
        winograd::conv2d_weight_grad(level, shape, &values.x, &values.y, &mut dw);
        vec![y, dx, dw]
    }
    check_directly::<f32>(winograd::supports, 6e-6, run);
}

#[test]
fn thin_agrees_with_the_loops_to_any_few_channels() {
    fn supports(shape: &ConvShape) -> bool {
        thin::supports(shape) && shape.in_channels.max(shape.out_channels) <= thin::MOST_CHANNELS
    }
    fn run<T: Element>(level: Level, shape: &ConvShape, values: &Values<T>) -> Vec<Vec<T>> {
        let nan = |len: usize| vec![T::nan(); len];
        let (mut y, mut dx, mut dw) = (nan(shape.y_len()), nan(shape.x_len()), nan(shape.w_len()));
        let x_bias = Epilogue::bias(Some(&values.x_bias));
        thin::conv2d(level, shape, &values.x, &values.w, values.epilogue(), &mut y);
        thin::conv2d_input_grad(level, shape, &values.y, &values.w, x_bias, &mut dx);
        thin::conv2d_weight_grad(level, shape, &values.x, &values.y, &mut dw);
        vec![y, dx, dw]
    }
    check_directly::<f32>(supports, 6e-6, run);
    check_directly::<f64>(supports, 1e-14, run);
}

#[test]
fn direct_agrees_with_the_loops_whatever_the_channels() {
    fn run(level: Level, shape: &ConvShape, values: &Values<f32>) -> Vec<Vec<f32>> {
        let (mut y, mut dw) = (vec![f32::NAN; shape.y_len()], vec![f32::NAN; shape.w_len()]);
        direct::conv2d(level, shape, &values.x, &values.w, values.epilogue(), &mut y);
        direct::conv2d_weight_grad(level, shape, &values.x, &values.y, &mut dw);
        vec![y, values.oracle(shape)[1].iter().map(|&x| x as f32).collect(), dw]
    }
    check_directly::<f32>(direct::supports, 6e-6, run);
}

#[test]
fn the_adjoint_of_direct_agrees_with_the_loops() {
    fn run(level: Level, shape: &ConvShape, values: &Values<f32>) -> Vec<Vec<f32>> {
        let (mut dx, mut dw) = (vec![f32::NAN; shape.x_len()], vec![f32::NAN; shape.w_len()]);
        let x_bias = Epilogue::bias(Some(&values.x_bias));
        direct::conv2d_input_grad(level, shape, &values.y, &values.w, x_bias, &mut dx);
        direct::conv2d_weight_grad(level, shape, &values.x, &values.y, &mut dw);
        vec![values.oracle(shape)[0].iter().map(|&y| y as f32).collect(), dx, dw]
    }
    check_directly::<f32>(direct::adjoint_pays, 6e-6, run);
}
