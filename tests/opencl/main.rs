//! The OpenCL path against the processor, on the first device: PoCL where there is no other.

mod products;

use wengert::{Device, Tensor, Var};

fn device() -> Device {
    Device::opencl(0).expect("an OpenCL device: these tests need one, such as PoCL's")
}

fn numbers(shape: &[usize], seed: u64) -> Tensor<f32> {
    wengert::Rng::seed(seed).normal(shape.iter().copied().collect::<wengert::Shape>())
}

#[test]
fn smoke() {
    let device = device();
    let (a, b) = (numbers(&[3, 40, 5], 1), numbers(&[40, 1], 2));
    let (x, y) = (a.to(&device).unwrap(), b.to(&device).unwrap());
    let f = |a: &Tensor<f32>, b: &Tensor<f32>| {
        let (a, b): (Var<f32>, Var<f32>) = (a.into(), b.into());
        let p = (&a * &b + 1.0).tanh();
        [
            p.value().clone(),
            p.sum_axes([0, 2], false).value().clone(),
            p.sum().value().clone(),
            p.sum_axes([1], true).value().clone(),
        ]
    };
    let before = device.counts();
    let got = f(&x, &y);
    println!("{:?}", device.counts() - before);
    for (got, want) in got.iter().zip(f(&a, &b)) {
        let (got, want) = (got.to_vec(), want.to_vec());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < 1e-5 * (1.0 + w.abs()), "{g} {w}");
        }
    }
    println!("{:?}", device.counts() - before);
    let big = numbers(&[1000, 300], 3).to(&device).unwrap();
    let s = Var::from(&big).sum();
    println!("{:?} {} ", device.counts() - before, s.item() - Var::from(&numbers(&[1000, 300], 3)).sum().item());
    println!("{:?}", Device::list().unwrap());
}
