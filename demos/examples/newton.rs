//! Newton's method without a matrix: each step solves H p = −g by conjugate gradients, which need the Hessian only in
//! products with vectors: the gradient is recorded once, and each product is a walk backwards from it.
//!
//! `cargo run --release --example newton`

use wengert::{Tape, Tensor, Var};

/// Rosenbrock's valley in n dimensions, Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²: bent and narrow, with its lowest point at 1.
fn valley(x: &Var<f64>) -> Var<f64> {
    let n = x.shape()[0];
    let (x, next) = (x.narrow(0, 0, n - 1), x.narrow(0, 1, n - 1));
    ((next - x.powi(2)).powi(2) * 100.0 + (1.0 - x).powi(2)).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// a + s·b
fn along(a: &[f64], s: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + s * b).collect()
}

/// Solves H p = −g by conjugate gradients; where the valley is curved downwards along a direction, it stops before.
fn direction(hessian_times: impl Fn(&[f64]) -> Vec<f64>, g: &[f64]) -> Vec<f64> {
    let mut p = vec![0.0; g.len()];
    let mut residual: Vec<f64> = g.iter().map(|g| -g).collect();
    let mut d = residual.clone();
    for _ in 0..2 * g.len() {
        let (hd, square) = (hessian_times(&d), dot(&residual, &residual));
        let curvature = dot(&d, &hd);
        if curvature <= 0.0 || square.sqrt() < 1e-10 {
            break;
        }
        p = along(&p, square / curvature, &d);
        residual = along(&residual, -square / curvature, &hd);
        d = along(&residual, dot(&residual, &residual) / square, &d);
    }
    if p.iter().all(|&p| p == 0.0) { residual } else { p }
}

fn main() {
    let n = 20;
    let mut x = vec![0.0; n];
    for step in 0..100 {
        let tape = Tape::new();
        let here = tape.var(Tensor::from_slice([n], &x));
        let loss = valley(&here);
        // Recorded once; each Hessian-vector product is one more walk, which records nothing.
        let slope = loss.grad(&[&here]).remove(0);
        let g = slope.value().to_vec();
        println!("step {step:2}  loss {:.3e}  |gradient| {:.3e}", loss.item(), dot(&g, &g).sqrt());
        if dot(&g, &g).sqrt() < 1e-8 {
            assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8));
            return println!("found the lowest point, x = 1");
        }
        let p = direction(|v| slope.vjp_values(&Tensor::from_slice([n], v), &[&here])[0].to_vec(), &g);
        // Half as far, until the loss falls as the slope promises (Armijo's rule).
        let at = |size: f64| valley(&Tensor::from_vec([n], along(&x, size, &p)).into()).item();
        let falls = |size: &f64| at(*size) <= loss.item() + 1e-4 * size * dot(&g, &p);
        let size = std::iter::successors(Some(1.0), |size| Some(size / 2.0)).take(60).find(falls);
        x = along(&x, size.expect("a step that goes down"), &p);
    }
    panic!("not found in 100 steps");
}
