//! Derivatives beyond the gradient: products with vectors from both sides, whole matrices, and gradients without
//! recording.

use wengert::gradcheck::{both, gradcheck};
use wengert::{Tape, Tensor, Var};

use super::support::{assert_close, assert_panics, noise};

/// A value of shape (2, 3) which is curved in both of its inputs, x of shape (2, 4) and w of shape (4, 3).
fn curved(x: &Var<f64>, w: &Var<f64>) -> Var<f64> {
    (x.matmul(w).tanh() * (w.powi(2).sum_axes([0], true) + 1.0).sqrt()).exp()
}

fn point() -> [Tensor<f64>; 2] {
    [noise([2, 4], 1), noise([4, 3], 2)]
}

type Pair = [Var<f64>; 2];

/// That point as variables of a tape, the value and vectors of their shapes.
fn on_a_tape() -> (Tape<f64>, Pair, Var<f64>, Pair) {
    let (tape, [x, w]) = (Tape::new(), point());
    let (x, w) = (tape.var(x), tape.var(w));
    let y = curved(&x, &w);
    (tape, [x, w], y, [noise([2, 4], 3).into(), noise([4, 3], 4).into()])
}

fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| a * b).sum()
}

#[test]
fn gradients_that_are_not_recorded_are_those_that_are() {
    let (tape, [x, w], y, _) = on_a_tape();
    let loss = y.sum();
    let nodes = tape.len();
    let plain = loss.grad_values(&[&w, &x, &y]);
    assert_eq!(tape.len(), nodes);
    for (plain, recorded) in plain.iter().zip(loss.grad(&[&w, &x, &y])) {
        assert_close(plain, recorded.value(), 1e-14);
    }
    let all = loss.backward();
    assert_eq!((plain[0].clone(), plain[1].clone()), (all.wrt(&w), all.wrt(&x)));
}

#[test]
fn a_thousand_gradients_leave_the_tape_as_it_is() {
    let (tape, [x, w], y, _) = on_a_tape();
    let (loss, ones) = (y.sum(), Tensor::ones([2, 3]));
    let (nodes, first) = (tape.len(), loss.grad_values(&[&x, &w]));
    for _ in 0..1000 {
        assert_eq!(loss.grad_values(&[&x, &w]), first);
        assert_eq!(y.vjp_values(&ones, &[&x, &w]), first);
    }
    assert_eq!(tape.len(), nodes);
}

/// A rule may change the gradient that it is handed in place, but not one that the caller or a result holds.
#[test]
fn a_seed_and_the_gradients_in_between_stay_as_they_are() {
    let tape = Tape::<f64>::new();
    let x = tape.var(noise([64], 1));
    let y = x.relu();
    let z = y.tanh().relu();
    let v = noise([64], 2);
    let kept = v.to_vec();
    let [to_y, to_x] = z.vjp_values(&v, &[&y, &x]).try_into().expect("two");
    assert_eq!(v.to_vec(), kept);
    assert_close(&to_y, z.vjp(&(&v).into(), &[&y])[0].value(), 1e-14);
    assert_close(&to_x, y.vjp(&to_y.into(), &[&x])[0].value(), 1e-14);
    assert_close(&z.backward_from(&v).wrt(&x), &to_x, 1e-14);
    assert_eq!(v.to_vec(), kept);
}

/// ⟨v, Ju⟩ = ⟨Jᵀv, u⟩, and Ju is a difference quotient.
#[test]
fn products_from_both_sides_agree() {
    let (_, [x, w], y, along) = on_a_tape();
    let v = noise([2, 3], 5);
    let forward = y.jvp(&[&x, &w], &along);
    let back = y.vjp_values(&v, &[&x, &w]);
    let inner: f64 = back.iter().zip(&along).map(|(back, along)| dot(back, along.value())).sum();
    assert!((dot(&v, forward.value()) - inner).abs() < 1e-13);

    let at = |h: f64| {
        let [x, w] = point().map(Var::from);
        curved(&(x + &along[0] * h), &(w + &along[1] * h)).into_value()
    };
    let h = 1e-5;
    let quotient = (at(h) - at(-h)) / (2.0 * h);
    assert_close(forward.value(), &quotient, 1e-9);
}

/// All of them are recorded in differentiable operations: the check compares them with difference quotients.
#[test]
fn products_can_be_differentiated_again() {
    let v = noise([2, 3], 5);
    let inputs = [point().to_vec(), vec![v]].concat();
    both(|x| curved(&x[0], &x[1]).vjp(&x[2], &[&x[0], &x[1]]).remove(1), &inputs).unwrap();

    let inputs = [point(), [noise([2, 4], 3), noise([4, 3], 4)]].concat();
    let vectors = |x: &[Var<f64>]| [x[2].clone(), x[3].clone()];
    both(|x| curved(&x[0], &x[1]).jvp(&[&x[0], &x[1]], &vectors(x)), &inputs).unwrap();
    gradcheck(|x| curved(&x[0], &x[1]).sum().hvp(&[&x[0], &x[1]], &vectors(x)).remove(0), &inputs).unwrap();
}

/// A vector that is itself made of x is held constant: its own slope has no part in the product.
#[test]
fn vectors_may_depend_on_the_variables() {
    let tape = Tape::new();
    let x = tape.var(Tensor::<f64>::from_vec([2], vec![1.0, 2.0]));
    let loss = x.powi(3).sum(); // H = diag(6x)
    let gradient = loss.grad(&[&x]).remove(0); // 3x²
    let product = |v: &Var<f64>| loss.hvp(&[&x], std::slice::from_ref(v)).remove(0).value().to_vec();
    assert_eq!(product(&gradient), [18.0, 144.0]);
    assert_eq!(product(&gradient.detach()), [18.0, 144.0]);
    assert_eq!(product(&x), [6.0, 24.0]);
    let y = x.powi(2);
    assert_eq!(y.vjp(&x, &[&x])[0].value().to_vec(), [2.0, 8.0]);
    assert_eq!(y.jvp(&[&x], std::slice::from_ref(&x)).value().to_vec(), [2.0, 8.0]);
    // The product depends on v: d(6x ⊙ v)/dv = 6x.
    let v = tape.var(Tensor::ones([2]));
    let product = loss.hvp(&[&x], std::slice::from_ref(&v)).remove(0);
    assert_eq!(product.sum().grad_values(&[&v])[0].to_vec(), [6.0, 12.0]);
}

/// Column by column the whole matrices are products with unit vectors.
#[test]
fn matrices_are_products_with_unit_vectors() {
    let (tape, [x, w], y, _) = on_a_tape();
    let nodes = tape.len();
    let jacobian = y.jacobian(&[&x, &w]);
    assert_eq!(tape.len(), nodes);
    assert_eq!((jacobian[0].shape(), jacobian[1].shape()), (&[2, 3, 2, 4].into(), &[2, 3, 4, 3].into()));
    let loss = y.sum();
    let hessian = loss.hessian(&[&x, &w]);
    assert_eq!(hessian[0][1].shape(), &[2, 4, 4, 3].into());
    for k in 0..8 {
        let mut unit = vec![0.0; 8];
        unit[k] = 1.0;
        let along = [Tensor::from_vec([2, 4], unit).into(), Tensor::zeros([4, 3]).into()];
        let column = |matrix: &Tensor<f64>, rows: usize| matrix.reshape([rows, 8]).slice(1, k..k + 1).reshape([rows]);
        assert_close(&y.jvp(&[&x, &w], &along).value().reshape([6]), &column(&jacobian[0], 6), 1e-13);
        let product = loss.hvp(&[&x, &w], &along);
        assert_close(&product[0].value().reshape([8]), &column(&hessian[0][0], 8), 1e-13);
        assert_close(&product[1].value().reshape([12]), &column(&hessian[1][0], 12), 1e-13);
    }
    // It is symmetric.
    let across = hessian[1][0].reshape([12, 8]).permute([1, 0]);
    assert_close(&hessian[0][1].reshape([8, 12]), &across.contiguous(), 1e-13);
}

/// What does not depend on a variable, or does only as a straight line, has zeros, of the right shape.
#[test]
fn derivatives_that_vanish_are_zeros() {
    let tape = Tape::<f64>::new();
    let (x, other) = (tape.var(noise([2], 1)), tape.var(noise([3], 2)));
    let y = &x * 2.0;
    assert_eq!(y.jvp(&[&other], &[Tensor::ones([3]).into()]).value(), &Tensor::zeros([2]));
    assert_eq!(y.sum().hvp(&[&x], &[Tensor::ones([2]).into()])[0].value(), &Tensor::zeros([2]));
    assert_eq!(y.jacobian(&[&other])[0], Tensor::zeros([2, 3]));
    assert_eq!(y.sum().hessian(&[&x, &other])[0][1], Tensor::zeros([2, 3]));
    assert!(y.jvp(&[], &[]).value() == &Tensor::zeros([2]) && y.sum().grad_values(&[]).is_empty());
}

#[test]
fn what_does_not_fit_is_refused_with_shapes() {
    let (_, [x, w], y, along) = on_a_tape();
    assert_panics(|| drop(y.grad_values(&[&x])), &["grad_values: expected a scalar, found shape (2, 3)"]);
    assert_panics(|| drop(y.vjp(&along[0], &[&x])), &["vjp: expected", "(2, 3)", "found (2, 4)"]);
    assert_panics(|| drop(y.jvp(&[&x, &w], &along[..1])), &["jvp: 2 variables and 1 vectors"]);
    let wrong = [along[1].clone(), along[0].clone()];
    assert_panics(|| drop(y.jvp(&[&x, &w], &wrong)), &["jvp: vector 0", "(2, 4)", "found (4, 3)"]);
    assert_panics(|| drop(y.sum().hvp(&[&x], &along)), &["hvp: 1 variables and 2 vectors"]);
    let elsewhere = Tape::new().var(Tensor::ones([2, 3]));
    assert_panics(|| drop(y.vjp(&elsewhere, &[&x])), &["vjp: the vector is on another tape"]);
    let foreign = [Tape::new().var(Tensor::ones([2, 4]))];
    assert_panics(|| drop(y.jvp(&[&x], &foreign)), &["jvp: the vector is on another tape"]);
    assert_panics(|| drop(y.sum().hvp(&[&x], &foreign)), &["hvp: the vector is on another tape"]);
    assert_panics(|| drop(elsewhere.jacobian(&[&x])), &["jacobian", "not on the tape"]);
    let deep = Tape::new().var(Tensor::<f64>::ones([1, 1, 1, 1]));
    assert_panics(|| drop(deep.powi(2).jacobian(&[&deep])), &["jacobian: of a value of shape (1, 1, 1, 1)", "8 axes"]);
    assert_panics(|| drop(deep.sum().hessian(&[&deep])), &["hessian: of a value of shape (1, 1, 1, 1)", "8 axes"]);
    let constant = Var::from(Tensor::<f64>::ones([2]));
    assert_panics(|| drop(constant.jvp(&[], &[])), &["jvp: this value is a constant"]);
    y.backward_from(&Tensor::ones([2, 3]));
    assert_panics(|| drop(y.vjp_values(&Tensor::ones([2, 3]), &[&x])), &["vjp_values: backward has consumed"]);
}
