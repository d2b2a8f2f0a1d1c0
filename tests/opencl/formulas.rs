//! Element-wise kernels, updates and reductions.

use wengert::compute::{by_element, update_alike};
use wengert::{Element, Function, Number, Tensor, Var, function, number};

use crate::{agree, both, noise, with_device};

function!(Mixed { scale, shift } | a, b | (scale * a + shift) * b.tanh() - a.if_above(b, a, number(0.25)));
function!(Momentum { lr, mu } |p, b, g| -> [p, b] {
    let b = mu * b + g;
    let p = p - lr * b;
});

/// Views of two tensors that broadcast to shapes of one to six axes, in all kinds of strides.
fn views<T: Element>() -> Vec<(String, [Tensor<T>; 2])> {
    let mut views = Vec::new();
    for n in [1, 15, 16, 17, 63, 64, 65, 1000] {
        views.push((format!("({n})"), [noise(&[n], 1), noise(&[n], 2)]));
        views.push((format!("(3, {n}) and ({n})"), [noise(&[3, n], 1), noise(&[n], 2)]));
        views.push((format!("({n}, 5) and ({n}, 1)"), [noise(&[n, 5], 1), noise(&[n, 1], 2)]));
        views.push((format!("({n}, 70) transposed"), [noise(&[n, 70], 1), noise::<T>(&[70, n], 2).permute([1, 0])]));
        views.push((format!("a slice of ({n}, 40)"), [noise::<T>(&[n, 40], 1).slice(1, 3..33), noise(&[30], 2)]));
    }
    let maps = noise::<T>(&[3, 5, 7, 4], 3);
    views.push(("maps and channels".into(), [maps.channels_last(), noise(&[5, 1, 1], 4)]));
    views.push(("maps of two layouts".into(), [maps.channels_last(), noise(&[3, 5, 7, 4], 4)]));
    views.push((
        "six axes".into(),
        [noise(&[2, 3, 1, 4, 2, 3], 5), noise::<T>(&[3, 2, 4, 5, 3, 2], 6).permute([5, 0, 3, 2, 1, 4])],
    ));
    // More rows than a GPU has work-groups along an axis.
    views.push(("(70000, 16) and (16)".into(), [noise(&[70_000, 16], 7), noise(&[16], 8)]));
    views.push(("nothing".into(), [noise(&[0, 3], 1), noise(&[3], 2)]));
    views.push(("numbers".into(), [noise(&[], 1), noise(&[], 2)]));
    views
}

/// f32 rounds each operation by 6e-8 of its result, and tanh differs by a few units of the last place.
fn bound<T: Element>() -> f64 {
    8.0 * T::epsilon().f64()
}

#[test]
fn formulas_over_any_strides() {
    fn check<T: Element>() {
        for (case, [a, b]) in views::<T>() {
            for scale in [2.0, -0.5] {
                let f = |x: &[Tensor<T>]| vec![by_element(Mixed { scale, shift: 0.1 }, [&x[0], &x[1]])];
                agree(&case, bound::<T>(), f, &[a.clone(), b.clone()]);
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

function!(Blend | a, b, c | a.if_above(b, c * a, b - c));

#[test]
fn formulas_of_three_tensors() {
    fn check<T: Element>() {
        let cases: [(&str, [Tensor<T>; 3]); 4] = [
            ("alike", [noise(&[7, 33], 1), noise(&[7, 33], 2), noise(&[7, 33], 3)]),
            ("a row, a column and a number", [noise(&[17], 1), noise(&[9, 1], 2), noise(&[], 3)]),
            (
                "three layouts",
                [
                    noise::<T>(&[3, 5, 7, 4], 1).channels_last(),
                    noise(&[3, 5, 7, 4], 2),
                    noise::<T>(&[4, 7, 5], 3).permute([2, 1, 0]),
                ],
            ),
            ("nothing", [noise(&[0, 3], 1), noise(&[3], 2), noise(&[1, 3], 3)]),
        ];
        for (case, inputs) in cases {
            agree(case, bound::<T>(), |x| vec![by_element(Blend, [&x[0], &x[1], &x[2]])], &inputs);
        }
    }
    check::<f32>();
    check::<f64>();
}

/// A formula with a field that is no option: the field is part of the source.
#[derive(Clone, Copy)]
struct Power(i32);

impl Function<1> for Power {
    fn apply<X: Number>(&self, [x]: [X; 1]) -> [X; 1] {
        [x.powi(self.0)]
    }
}

/// An option, and a field of the same size that is none.
#[derive(Clone, Copy)]
struct Scaled {
    n: i32,
    scale: f32,
}

impl Function<1> for Scaled {
    fn options(&self) -> Vec<f64> {
        vec![self.scale.into()]
    }

    fn apply<X: Number>(&self, [x]: [X; 1]) -> [X; 1] {
        [X::option(0, self.scale.into()) * x.powi(self.n)]
    }
}

#[test]
fn formulas_of_one_type_are_told_apart() {
    let x = noise::<f64>(&[40], 1);
    for n in [2, 3, -1] {
        agree(&format!("x^{n}"), 1e-14, |x| vec![by_element(Power(n), [&x[0]])], std::slice::from_ref(&x));
        agree(
            &format!("1.5·x^{n}"),
            1e-14,
            |x| vec![by_element(Scaled { n, scale: 1.5 }, [&x[0]])],
            std::slice::from_ref(&x),
        );
        agree(
            &format!("powi {n}"),
            1e-14,
            |x| vec![Var::from(&x[0]).powi(n).value().clone()],
            std::slice::from_ref(&x),
        );
    }
}

trait Halved {
    fn half(&self) -> Self;
}

impl Halved for Tensor {
    fn half(&self) -> Tensor {
        function!(Half | x | x * number(0.5));
        by_element(Half, [self])
    }
}

#[test]
fn formulas_that_are_defined_in_methods() {
    agree("x/2", 0.0, |x| vec![x[0].half()], &[noise::<f32>(&[40], 1)]);
}

#[test]
fn updates_in_place() {
    fn check<T: Element>() {
        for n in [1, 63, 64, 65, 5000] {
            let f = |x: &[Tensor<T>]| {
                let (mut p, mut b) = (x[0].clone(), Tensor::zeros([n, 3]));
                for _ in 0..3 {
                    update_alike(Momentum { lr: 0.1, mu: 0.9 }, [&mut p, &mut b], &[&x[1]]);
                }
                vec![p, b]
            };
            let inputs = [noise(&[n, 3], 1), noise::<T>(&[3, n], 2).permute([1, 0])];
            agree(&format!("{n} x 3"), bound::<T>(), f, &inputs);
        }
    }
    check::<f32>();
    check::<f64>();
}

/// What was copied from before an update stays as it was: the update copies, or works on its own memory.
#[test]
fn an_update_changes_no_other_tensor() {
    let [[_, before, updated], [_, found_before, found_updated]] = both(
        |x| {
            let (mut p, old, mut b) = (x[0].clone(), x[0].clone(), x[1].clone());
            update_alike(Momentum { lr: 0.5, mu: 0.5 }, [&mut p, &mut b], &[&x[1]]);
            vec![b, old, p]
        },
        &[noise::<f32>(&[100], 1), noise(&[100], 2)],
    )
    .map(|results| <[Tensor; 3]>::try_from(results).unwrap());
    assert_eq!(before, found_before);
    assert!(crate::distance(&found_updated, &updated) < 1e-6);
    assert_ne!(found_before, found_updated);
}

#[test]
fn reductions_over_any_axes() {
    fn check<T: Element>(shape: &[usize], bound: f64) {
        let x = noise::<T>(shape, 1);
        let mut layouts = vec![x.clone(), x.permute((0..shape.len()).rev().collect::<wengert::Axes>())];
        if shape.len() == 4 {
            layouts.push(x.channels_last());
        }
        for x in layouts {
            for set in 0..1 << shape.len() {
                let axes: wengert::Axes = (0..shape.len()).filter(|axis| set >> axis & 1 == 1).collect();
                let f = |x: &[Tensor<T>]| {
                    let x = Var::from(&x[0]);
                    let mut results = vec![x.sum_axes(axes, false).into_value()];
                    if !x.shape().contains(&0) {
                        results.push(x.max_axes(axes, true).into_value());
                    }
                    results
                };
                agree(&format!("{} over {axes}", x.shape()), bound, f, std::slice::from_ref(&x));
            }
        }
    }
    let shapes: [&[usize]; 9] =
        [&[1], &[64], &[65], &[5000], &[200, 3], &[3, 200], &[7, 33, 70], &[4, 5, 9, 8], &[3, 0, 2]];
    for shape in shapes {
        check::<f32>(shape, 4e-6);
        check::<f64>(shape, 1e-14);
    }
    check::<f32>(&[70, 65, 66], 4e-6);
}

/// Small enough for a device that checks every access, see `.ci/`: two stages and three.
#[test]
fn tiny_stages() {
    for (shape, axis) in [(&[70][..], 0), (&[3, 70], 1), (&[70, 3], 0), (&[2100], 0)] {
        // Squares, of which nothing cancels.
        let f = |x: &[Tensor]| vec![Var::from(&x[0]).powi(2).sum_axes([axis], false).into_value()];
        agree(&format!("{shape:?} over {axis}"), 4e-6, f, &[noise(shape, 1)]);
    }
}

/// A chain without end would lose 6e-3.
#[test]
fn long_sums_are_exact() {
    let x = Tensor::<f32>::full([10_000_000], 0.1);
    let sum = with_device(|device| f64::from(Var::from(x.to(device).unwrap()).sum().item()));
    let want = f64::from(0.1f32) * 1e7;
    assert!((sum / want - 1.0).abs() < 1e-6, "{sum}, not {want}");
}
