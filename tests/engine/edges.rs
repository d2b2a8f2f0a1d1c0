//! What operations mean where there is little or nothing to work on, and for NaN and infinity.

use crate::support::{assert_panics, noise};
use wengert::ops::{Conv2dOptions, loss};
use wengert::{Tape, Tensor, Var};

fn constant(shape: &[usize], values: &[f64]) -> Var<f64> {
    Tensor::from_slice(shape, values).into()
}

fn nothing(shape: &[usize]) -> Var<f64> {
    constant(shape, &[])
}

#[test]
fn the_sum_of_nothing_is_zero() {
    assert_eq!(nothing(&[0]).sum().item(), 0.0);
    assert_eq!(nothing(&[2, 0, 3]).sum_axes([1], false).value(), &Tensor::zeros([2, 3]));
    assert_eq!(nothing(&[2, 0]).sum_axes([0], true).shape().to_vec(), [1, 0]);
    assert_eq!(nothing(&[0, 3]).sum_to([3]).value(), &Tensor::zeros([3]));
    // A matrix product over nothing is a sum of nothing.
    assert_eq!(nothing(&[2, 0]).matmul(&nothing(&[0, 3])).value(), &Tensor::zeros([2, 3]));
    // The same goes for the gradients of what is shared by an empty batch.
    let tape = Tape::new();
    let [weight, bias] = [tape.var(Tensor::ones([4, 3, 3, 3])), tape.var(Tensor::<f64>::ones([4]))];
    let y = Var::from(Tensor::zeros([0, 3, 5, 5])).conv2d(&weight, Some(&bias), &Conv2dOptions::default());
    assert_eq!(y.shape().to_vec(), [0, 4, 3, 3]);
    let gradients = y.sum().backward();
    assert_eq!(gradients.wrt(&weight), Tensor::zeros([4, 3, 3, 3]));
    assert_eq!(gradients.wrt(&bias), Tensor::zeros([4]));
}

#[test]
fn the_mean_of_nothing_is_nan() {
    assert!(nothing(&[0]).mean().item().is_nan());
    assert!(nothing(&[2, 0]).mean_axes([1], false).value().to_vec().iter().all(|x| x.is_nan()));
    assert!(nothing(&[2, 0]).mean_axes([0], false).value().to_vec().is_empty());
    assert!(nothing(&[0]).variance_axes([0], false, 0).item().is_nan());
    assert!(loss::gan_generator(&nothing(&[0])).item().is_nan());
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::zeros([0]));
    assert_eq!(x.mean().backward().wrt(&x).shape().to_vec(), [0]);
}

#[test]
fn the_variance_of_one_value() {
    assert_eq!(constant(&[1], &[3.0]).variance_axes([0], false, 0).item(), 0.0);
    assert!(constant(&[1], &[3.0]).variance_axes([0], false, 1).item().is_nan());
}

#[test]
fn the_maximum_of_nothing_is_refused() {
    assert_panics(|| drop(nothing(&[0]).max()), &["max: ", "shape (0)", "at least one element"]);
    assert_panics(|| drop(nothing(&[2, 0]).max_axes([1], false)), &["max: ", "(2, 0)", "at least one element"]);
    assert!(nothing(&[2, 0]).max_axes([0], false).value().to_vec().is_empty());
}

#[test]
fn batch_norm_of_one_value_is_refused_in_training_only() {
    let vector = constant(&[2], &[1.0, 2.0]);
    for shape in [&[1, 2][..], &[1, 2, 1, 1]] {
        let x = constant(shape, &[3.0, 4.0]);
        let says = ["batch_norm_train: ", "expected more than 1, to have a variance"];
        assert_panics(|| drop(x.batch_norm_train(&vector, &vector, 1e-5)), &says);
        let [mean, var] = [constant(&[2], &[3.0, 3.0]), constant(&[2], &[1.0, 1.0])];
        let y = x.batch_norm_eval(&vector, &vector, mean.value(), var.value(), 0.0);
        assert_eq!(y.value().to_vec(), [1.0, 4.0]);
    }
}

#[test]
fn no_channels_have_gradients() {
    let tape = Tape::new();
    let [x, vector] = [tape.var(Tensor::<f64>::zeros([4, 0])), tape.var(Tensor::zeros([0]))];
    let gradients = x.batch_norm_train(&vector, &vector, 1e-5).0.sum().backward();
    assert_eq!(gradients.wrt(&x).shape().to_vec(), [4, 0]);
    assert_eq!(gradients.wrt(&vector).shape().to_vec(), [0]);
}

/// Values go from thread to thread; tapes stay where they are.
#[test]
fn tensors_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Tensor<f32>>();
    shared::<Tensor<f64>>();
    let x = Tensor::<f32>::ones([1000]);
    let sums: Vec<f32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| {
                scope.spawn({
                    let x = x.clone();
                    move || (0..50).map(|_| (Var::from(&x) * i as f64).into_value().sum()).fold(0.0, f32::max)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a sum")).collect()
    });
    assert_eq!(sums, (0..8).map(|i| 1000.0 * i as f32).collect::<Vec<_>>());
}

/// In a release build too: a product that wrapped around would make a view of memory that is not there.
#[test]
fn sizes_beyond_all_memory_are_refused() {
    // 274177 · 67280421310721 = 2⁶⁴ + 1.
    assert_panics(|| drop(Tensor::<f32>::zeros([274_177, 67_280_421_310_721])), &["(274177, 67280421310721)"]);
    assert_panics(
        || drop(Tensor::<f64>::zeros([(1 << 61) + 1])),
        &["a tensor: no memory", "(2305843009213693953) in f64"],
    );
    assert_eq!(Tensor::<f32>::zeros([1 << 40, 1 << 40, 0]).size(), 0);
}

#[test]
fn a_window_without_a_pixel_is_refused() {
    let none = nothing(&[1, 1, 0, 3]);
    assert_panics(|| drop(none.max_pool2d([2, 2], [1, 1], [1, 1])), &["max_pool2d: ", "(1, 1, 0, 3)"]);
}

#[test]
fn extents_of_zero_and_one_broadcast() {
    let row = constant(&[1, 3], &[1.0, 2.0, 3.0]);
    assert_eq!((nothing(&[0, 3]) + &row).shape().to_vec(), [0, 3]);
    assert_eq!((nothing(&[0]) * constant(&[], &[2.0])).shape().to_vec(), [0]);
    assert_eq!((nothing(&[0, 1]) + &row).shape().to_vec(), [0, 3]);
    assert_panics(|| drop(nothing(&[0]) + constant(&[2], &[1.0, 1.0])), &["add: ", "(0)", "(2)"]);
    // Repeated to nothing, an operand gets the sum of no gradients.
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::ones([1, 3]));
    let gradients = (&x * nothing(&[0, 3])).sum().backward();
    assert_eq!(gradients.wrt(&x), Tensor::zeros([1, 3]));
    // A scalar and a tensor of one element keep their own shapes.
    let (scalar, one) = (constant(&[], &[2.0]), constant(&[1, 1], &[3.0]));
    assert_eq!((&scalar * &one).shape().to_vec(), [1, 1]);
    assert_eq!((&scalar * &scalar).shape().to_vec(), [0; 0]);
}

#[test]
fn empty_slices_and_parts() {
    let x = constant(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(x.slice(1, 3..3).shape().to_vec(), [2, 0]);
    assert_eq!(Var::concat(&[&x.slice(1, 0..0), &x], 1).value(), x.value());
    assert_eq!(x.slice(1, 0..0).pad(1, 1, 1).value(), &Tensor::zeros([2, 2]));
    assert_eq!(nothing(&[0, 3]).reshape([3, 0]).shape().to_vec(), [3, 0]);
    assert_eq!(x.index_select(0, &[]).shape().to_vec(), [0, 3]);
}

/// What is not a number must not vanish on the way: a loss that is NaN tells of trouble, one that is not hides it.
#[test]
fn nan_passes_through() {
    type F = fn(&Var<f64>) -> Var<f64>;
    let functions: [(&str, F); 21] = [
        ("exp", |x| x.exp()),
        ("ln", |x| x.ln()),
        ("sqrt", |x| x.sqrt()),
        ("powi", |x| x.powi(3)),
        ("powf", |x| x.powf(1.5)),
        ("abs", |x| x.abs()),
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("softplus", |x| x.softplus()),
        ("relu", |x| x.relu()),
        ("leaky_relu", |x| x.leaky_relu(0.2)),
        ("clamp", |x| x.clamp(-1.0, 1.0)),
        ("sin", |x| x.sin()),
        ("cos", |x| x.cos()),
        ("gelu", |x| x.gelu()),
        ("silu", |x| x.silu()),
        ("max", |x| x.max_axes([3], true)),
        ("min", |x| x.min_axes([3], true)),
        ("std", |x| x.std_axes([3], true, 0)),
        ("upsample_bilinear", |x| x.upsample_bilinear([1, 2])),
        ("max_pool2d", |x| x.max_pool2d([1, 2], [1, 2], [0, 0])),
    ];
    for values in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
        for (name, f) in functions {
            let y = f(&constant(&[1, 1, 1, 2], &values));
            assert!(y.value().to_vec().iter().any(|y| y.is_nan()), "{name}: {}", y.value());
        }
    }
}

#[test]
fn infinite_logits_have_finite_losses() {
    let certain = constant(&[2], &[f64::INFINITY, 800.0]);
    assert_eq!(loss::gan_generator(&certain).item(), 0.0);
    assert_eq!(constant(&[2], &[-800.0, 800.0]).softplus().value().to_vec(), [0.0, 800.0]);
    assert_eq!(constant(&[2], &[f64::NEG_INFINITY, f64::INFINITY]).sigmoid().value().to_vec(), [0.0, 1.0]);
}

#[test]
fn a_bias_that_is_pulled_equally_both_ways_has_no_gradient() {
    // As in the first steps with a hinge loss: real images pull one way, generated ones the other. In f32, rounding
    // would leave 1e-6 of the sum, and Adam would take that for a gradient.
    let pull: Var<f32> = noise([4, 8, 9, 9], 1).cast().into();
    let pulls = Var::concat(&[&pull, &-&pull], 0);
    let tape = Tape::new();
    let bias = tape.var(Tensor::zeros([8]));
    let y = Var::from(Tensor::ones([8, 1, 9, 9])).conv2d(
        &Tensor::ones([8, 1, 1, 1]).into(),
        Some(&bias),
        &Conv2dOptions::default(),
    );
    let gradient = (y * pulls).sum().backward().wrt(&bias);
    assert!(gradient.to_vec().iter().all(|g| g.abs() < 1e-12), "{gradient}");
}
