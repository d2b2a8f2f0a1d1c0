//! Spectral normalisation: equations (12) to (15) against an exact SVD, finite differences, automatic differentiation
//! and hand-made cases, for dense, convolution and transposed convolution weights in every memory order.

use crate::support::{assert_close, assert_panics, check_gradients, noise, same_at_any_thread_count};
use ndarray::{Array2, Axis};
use wengert::ops::power_iteration;
use wengert::{Axes, Shape, Tape, Tensor, Var};

const EPS: f64 = 1e-12;

/// Weights with their output axes: dense, convolution and transposed convolution, row-major and as HWIO, and larger
/// ones whose work is cut into blocks.
fn weights() -> Vec<(Tensor<f64>, usize)> {
    let hwio = [2, 3, 1, 0];
    let conv = noise([4, 3, 2, 5], 2);
    let wide = noise([70, 90, 3, 3], 3);
    vec![
        (noise([5, 7], 1), 0),
        (noise([7, 5], 1), 1),
        (noise([5, 7], 1).in_memory_order([1, 0]), 0),
        (noise([1, 6], 1), 0),
        (conv.clone(), 0),
        (conv.in_memory_order(hwio), 0),
        (conv.clone(), 1),
        (conv.in_memory_order(hwio), 1),
        (conv.in_memory_order([3, 1, 0, 2]), 2),
        (wide.clone(), 0),
        (wide.in_memory_order(hwio), 0),
        (wide.clone(), 1),
        (wide.in_memory_order(hwio), 1),
        (noise([300, 200], 4), 0),
    ]
}

/// The weight as (d_out, rest), rest in logical order.
fn matrix(w: &Tensor<f64>, out_axis: usize) -> Array2<f64> {
    let others = (0..w.rank()).filter(|&axis| axis != out_axis);
    let order: Axes = [out_axis].into_iter().chain(others).collect();
    let rows = w.shape()[out_axis];
    let values = w.permute(order).to_vec();
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}

/// A matrix as a weight of this shape and memory order: the inverse of [`matrix`].
fn weight(m: &Array2<f64>, like: &Tensor<f64>, out_axis: usize) -> Tensor<f64> {
    let others: Vec<usize> = (0..like.rank()).filter(|&axis| axis != out_axis).collect();
    let order: Vec<usize> = [out_axis].into_iter().chain(others).collect();
    let shape: Shape = order.iter().map(|&axis| like.shape()[axis]).collect();
    let inverse: Axes = (0..like.rank()).map(|axis| order.iter().position(|&a| a == axis).unwrap()).collect();
    Tensor::from_array(m).reshape(shape).permute(inverse)
}

/// Singular values, largest first, with the first pair of singular vectors: one-sided Jacobi rotations.
fn svd(m: &Array2<f64>) -> (Vec<f64>, Tensor<f64>, Tensor<f64>) {
    // Rotations make the rows of `a` orthogonal; then a = Σ·Vᵀ, up to the order, and its row norms are the σ.
    let (mut a, n) = (m.clone(), m.nrows());
    for _sweep in 0..60 {
        let mut off: f64 = 0.0;
        for (i, j) in (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))) {
            let (x, y) = (a.row(i).to_owned(), a.row(j).to_owned());
            let (alpha, beta, gamma) = (x.dot(&x), y.dot(&y), x.dot(&y));
            if gamma == 0.0 {
                continue;
            }
            off = off.max(gamma.abs() / (alpha * beta).sqrt());
            let zeta = (beta - alpha) / (2.0 * gamma);
            let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let c = 1.0 / (1.0 + t * t).sqrt();
            a.row_mut(i).assign(&(&x * c - &y * (c * t)));
            a.row_mut(j).assign(&(&x * (c * t) + &y * c));
        }
        if off < 1e-15 {
            break;
        }
    }
    let norms: Vec<f64> = a.axis_iter(Axis(0)).map(|row| row.dot(&row).sqrt()).collect();
    let first = (0..n).max_by(|&i, &j| norms[i].total_cmp(&norms[j])).unwrap();
    let v = &a.row(first) / norms[first];
    let u = m.dot(&v) / norms[first];
    let mut values = norms;
    values.sort_by(|x, y| y.total_cmp(x));
    (values, Tensor::from_array(&u), Tensor::from_array(&v))
}

/// Vectors of the right length that are not singular vectors of anything.
fn start(w: &Tensor<f64>, out_axis: usize) -> (Tensor<f64>, Tensor<f64>) {
    let rows = w.shape()[out_axis];
    (noise([rows], 11), noise([w.size() / rows], 12))
}

#[test]
fn power_iteration_finds_the_first_singular_vectors() {
    for (w, out_axis) in weights().into_iter().filter(|(w, _)| w.size() < 10_000) {
        let (values, u1, v1) = svd(&matrix(&w, out_axis));
        let (u, v) = start(&w, out_axis);
        let (u, v) = power_iteration(&w, out_axis, &u, &v, 3000, EPS);
        let sign = Tensor::scalar((u.view()[[0]] * u1.view()[[0]]).signum());
        let signed = |t: &Tensor<f64>| (Var::from(t) * Var::from(&sign)).into_value();
        assert_close(&signed(&u), &u1, 1e-7);
        assert_close(&signed(&v), &v1, 1e-7);
        let sigma = Var::from(&w).spectral_sigma(&u, &v, out_axis).item();
        assert!((sigma / values[0] - 1.0).abs() < 1e-12, "{sigma} and {values:?}");
        let normed = Var::from(&w).spectral_norm(&u, &v, out_axis);
        assert!((svd(&matrix(normed.value(), out_axis)).0[0] - 1.0).abs() < 1e-12);
        assert_eq!(normed.value().strides(), w.strides());
    }
}

/// One round by plain matrix products, in the order of the corrected equation (12): v first, and u from that v.
#[test]
fn one_round_is_the_corrected_equation() {
    for (w, out_axis) in weights() {
        let m = matrix(&w, out_axis);
        let (u, v) = start(&w, out_axis);
        let u = ndarray::Array1::from(u.to_vec());
        let v1 = m.t().dot(&u);
        let v1 = &v1 / v1.dot(&v1).sqrt();
        let u1 = m.dot(&v1);
        let u1 = &u1 / u1.dot(&u1).sqrt();
        let (found_u, found_v) = power_iteration(&w, out_axis, &Tensor::from_array(&u), &v, 1, EPS);
        assert_close(&found_u, &Tensor::from_array(&u1), 1e-13);
        assert_close(&found_v, &Tensor::from_array(&v1), 1e-13);
        let (same_u, same_v) = power_iteration(&w, out_axis, &found_u, &found_v, 0, EPS);
        assert_eq!((same_u, same_v), (found_u, found_v));
    }
    // Nothing to normalise: eps keeps it at zero.
    let zero = Tensor::<f64>::zeros([2, 3]);
    let (u, v) = power_iteration(&zero, 0, &Tensor::ones([2]), &Tensor::ones([3]), 2, EPS);
    assert_eq!((u.to_vec(), v.to_vec()), (vec![0.0; 2], vec![0.0; 3]));
}

#[test]
fn values_with_any_u_and_v() {
    for (w, out_axis) in weights() {
        let m = matrix(&w, out_axis);
        let (u, v) = start(&w, out_axis);
        let sigma = ndarray::Array1::from(u.to_vec()).dot(&m.dot(&ndarray::Array1::from(v.to_vec())));
        let x = Var::from(&w);
        assert!((x.spectral_sigma(&u, &v, out_axis).item() - sigma).abs() < 1e-11);
        let normed = x.spectral_norm(&u, &v, out_axis);
        assert_close(&Tensor::from_array(&matrix(normed.value(), out_axis)), &Tensor::from_array(&(m / sigma)), 1e-11);
    }
}

/// Converged vectors: what the analytic rule takes u and v for.
fn converged(w: &Tensor<f64>, out_axis: usize) -> (f64, Tensor<f64>, Tensor<f64>) {
    let (values, u, v) = svd(&matrix(w, out_axis));
    (values[0], u, v)
}

/// Equation (14) entry by entry: ∂W̄/∂W_ij = (E_ij − u_i v_j W̄)/σ, against difference quotients of W/σ(W) where σ(W)
/// is found anew by SVD each time: the singular vectors move, and it does not matter at first order.
#[test]
fn equation_14_holds_through_converged_vectors() {
    for (w, out_axis) in weights().into_iter().filter(|(w, _)| w.size() < 200) {
        let m = matrix(&w, out_axis);
        let (sigma, u, v) = converged(&w, out_axis);
        let normed = &m / sigma;
        let exact = |m: &Array2<f64>| m / svd(m).0[0];
        for (i, j) in [(0, 0), (m.nrows() - 1, m.ncols() / 2), (m.nrows() / 2, m.ncols() - 1)] {
            let h = 1e-5;
            let at = |h: f64| {
                let mut moved = m.clone();
                moved[[i, j]] += h;
                exact(&moved)
            };
            let quotient = (at(h) - at(-h)) / (2.0 * h);
            let mut unit = Array2::zeros(m.raw_dim());
            unit[[i, j]] = 1.0;
            let equation = (&unit - &normed * (u.view()[[i]] * v.view()[[j]])) / sigma;
            assert_close(&Tensor::from_array(&equation), &Tensor::from_array(&quotient), 1e-8);

            // The rule is the transpose of that: pair it with a random G.
            let g = noise(w.shape(), 5);
            let tape = Tape::new();
            let x = tape.var(w.clone());
            let loss = (x.spectral_norm(&u, &v, out_axis) * Var::from(&g)).sum();
            let by_rule = matrix(&loss.backward().wrt(&x), out_axis)[[i, j]];
            let by_equation = (matrix(&g, out_axis) * equation).sum();
            assert!((by_rule - by_equation).abs() < 1e-12, "{by_rule} and {by_equation}");
        }
    }
}

/// W/(uᵀWv) in elementary operations.
fn elementary(w: &Var<f64>, u: &Tensor<f64>, v: &Tensor<f64>, out_axis: usize) -> Var<f64> {
    let (mut rows, mut columns) = (*w.shape(), *w.shape());
    (0..w.shape().len()).filter(|&axis| axis != out_axis).for_each(|axis| rows[axis] = 1);
    columns[out_axis] = 1;
    let sigma = (w * Var::from(u.reshape(rows)) * Var::from(v.reshape(columns))).sum();
    w / sigma
}

#[test]
fn the_rule_is_automatic_differentiation_of_the_quotient() {
    for (w, out_axis) in weights() {
        let (u, v) = start(&w, out_axis);
        let weights: Var<f64> = noise(w.shape(), 6).into();
        let loss = |y: Var<f64>| (y.powi(2) * &weights).sum();
        let (ours, theirs) = (Tape::new(), Tape::new());
        let (a, b) = (ours.var(w.clone()), theirs.var(w.clone()));
        let (x, y) = (loss(a.spectral_norm(&u, &v, out_axis)), loss(elementary(&b, &u, &v, out_axis)));
        let relative = |found: &Tensor<f64>, expected: &Tensor<f64>| {
            let scale = expected.to_vec().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let scaled = |t: &Tensor<f64>| Var::from(t).affine(1.0 / scale, 0.0).into_value();
            assert_close(&scaled(found), &scaled(expected), 1e-11);
        };
        // Second order: the gradient of ‖∇L‖².
        let (gx, gy) = (x.grad(&[&a]).remove(0), y.grad(&[&b]).remove(0));
        relative(gx.value(), gy.value());
        let (hx, hy) = (gx.powi(2).sum(), gy.powi(2).sum());
        relative(hx.grad(&[&a])[0].value(), hy.grad(&[&b])[0].value());
        relative(&x.backward().wrt(&a), gy.value());
    }
}

#[test]
fn gradients_of_both_orders() {
    for (w, out_axis) in weights().into_iter().filter(|(w, _)| w.size() < 200) {
        let (_, u, v) = converged(&w, out_axis);
        check_gradients(|x| x[0].spectral_norm(&u, &v, out_axis), std::slice::from_ref(&w));
        check_gradients(|x| x[0].spectral_sigma(&u, &v, out_axis).powi(2), &[w]);
    }
}

/// Equation (15) for a batch through a dense layer: ∂V/∂W = (Ê[δhᵀ] − λ u vᵀ)/σ, λ = Ê[δᵀW̄h].
#[test]
fn equation_15_for_a_batch() {
    let (n, w) = (9, noise([5, 7], 1));
    let (sigma, u, v) = converged(&w, 0);
    let (h, target) = (noise([n, 7], 2), noise([n, 5], 3));
    let tape = Tape::new();
    let x = tape.var(w.clone());
    // Σ over outputs of h W̄ᵀ, by broadcasting: (n, 1, 7) ⊙ (5, 7).
    let output = (x.spectral_norm(&u, &v, 0) * Var::from(h.reshape([n, 1, 7]))).sum_axes([2], false);
    let error = &output - &Var::from(&target);
    let loss = error.powi(2).sum() * (0.5 / n as f64); // V = Ê[‖output − target‖²/2], so δ = output − target
    let found = loss.backward().wrt(&x);

    let into2 = |t: &Tensor<f64>| t.to_array().into_dimensionality::<ndarray::Ix2>().unwrap();
    let (delta, h) = (into2(error.value()), into2(&h));
    let mean_delta_h = delta.t().dot(&h) / n as f64;
    let lambda = (&delta * &into2(output.value())).sum() / n as f64;
    let uv = into2(&(Var::from(u.reshape([5, 1])) * Var::from(v.reshape([1, 7]))).into_value());
    let expected = (mean_delta_h - lambda * uv) / sigma;
    assert_close(&found, &Tensor::from_array(&expected), 1e-13);
}

/// Where Ê[δhᵀ] = k·u vᵀ the gradient vanishes: W cannot improve by growing along what is normalised away.
#[test]
fn the_gradient_vanishes_where_the_paper_says() {
    for (w, out_axis) in weights().into_iter().filter(|(w, _)| w.size() < 200) {
        let (_, u, v) = converged(&w, out_axis);
        let column = Array2::from_shape_vec((u.size(), 1), u.to_vec()).unwrap();
        let row = Array2::from_shape_vec((1, v.size()), v.to_vec()).unwrap();
        let uv = weight(&(column.dot(&row) * 3.0), &w, out_axis);
        for walk in ["backward", "grad"] {
            let gradient = |g: &Tensor<f64>| {
                let tape = Tape::new();
                let x = tape.var(w.clone());
                let loss = (x.spectral_norm(&u, &v, out_axis) * Var::from(g)).sum();
                match walk {
                    "backward" => loss.backward().wrt(&x),
                    _ => loss.grad(&[&x])[0].value().clone(),
                }
            };
            assert_close(&gradient(&uv), &Tensor::zeros(w.shape()), 1e-13);
            // ⟨W̃, W⟩ = 0 for any G: scaling W changes nothing.
            let any = gradient(&noise(w.shape(), 8));
            assert!((Var::from(any) * Var::from(&w)).sum().item().abs() < 1e-12);
        }
    }
}

/// The regulariser (λ/2)σ² has the gradient λσ·u vᵀ.
#[test]
fn the_gradient_of_spectral_norm_regularisation() {
    let w = noise([4, 3, 2, 5], 2).in_memory_order([2, 3, 1, 0]);
    let (sigma, u, v) = converged(&w, 0);
    let tape = Tape::new();
    let x = tape.var(w.clone());
    let found = (x.spectral_sigma(&u, &v, 0).powi(2) * (0.1 / 2.0)).backward().wrt(&x);
    for ((row, column), value) in matrix(&found, 0).indexed_iter() {
        assert!((value - 0.1 * sigma * u.view()[[row]] * v.view()[[column]]).abs() < 1e-13);
    }
}

/// The document says that every round starts from the initial u. Then a round a step never gets closer to σ; starting
/// from the u of the round before does.
#[test]
fn recycled_vectors_reach_sigma_and_restarted_ones_do_not() {
    let w = noise([64, 96], 7);
    let sigma = svd(&matrix(&w, 0)).0[0];
    let (initial, v) = start(&w, 0);
    let mut recycled = (initial.clone(), v.clone());
    let mut restarted = Vec::new();
    for _step in 0..300 {
        recycled = power_iteration(&w, 0, &recycled.0, &recycled.1, 1, EPS);
        let (u, v) = power_iteration(&w, 0, &initial, &v, 1, EPS);
        restarted.push(Var::from(&w).spectral_sigma(&u, &v, 0).item() / sigma);
    }
    let reached = Var::from(&w).spectral_sigma(&recycled.0, &recycled.1, 0).item() / sigma;
    assert!((reached - 1.0).abs() < 1e-6, "recycled u reaches {reached} of σ");
    assert!(restarted.iter().all(|&r| r < 0.85), "restarted u stays at {restarted:?} of σ");
}

#[test]
fn same_bits_at_any_thread_count() {
    for (w, out_axis) in weights() {
        let w32 = w.cast::<f32>();
        let (u, v) = start(&w, out_axis);
        let (u, v) = (u.cast::<f32>(), v.cast::<f32>());
        same_at_any_thread_count(|| {
            let (u, v) = power_iteration(&w32, out_axis, &u, &v, 2, EPS);
            let tape = Tape::new();
            let x = tape.var(w32.clone());
            let gradient = x.spectral_norm(&u, &v, out_axis).powi(2).sum().backward().wrt(&x);
            [u.to_vec(), v.to_vec(), gradient.to_vec()].concat()
        });
    }
}

#[test]
fn wrong_shapes_are_named() {
    let w: Var<f64> = noise([4, 3, 2, 5], 1).into();
    let vector = |n: usize| Tensor::<f64>::ones([n]);
    let says = ["u of shape (3) and v of shape (30)", "(4, 3, 2, 5)", "output axis 0", "expected (4) and (30)"];
    assert_panics(|| drop(w.spectral_norm(&vector(3), &vector(30), 0)), &[&["spectral_norm: "], &says[..]].concat());
    assert_panics(|| drop(w.spectral_sigma(&vector(3), &vector(30), 0)), &[&["spectral_sigma: "], &says[..]].concat());
    let iterate = || drop(power_iteration(w.value(), 0, &vector(3), &vector(30), 1, EPS));
    assert_panics(iterate, &[&["power_iteration: "], &says[..]].concat());
    assert_panics(
        || drop(w.spectral_norm(&vector(4), &vector(30), 4)),
        &["spectral_norm: axis 4 of shape (4, 3, 2, 5)"],
    );
}
