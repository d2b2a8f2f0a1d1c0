//! Weights that go to PyTorch and back. Files are safetensors with the names that `torch.nn` gives its parameters.
//!
//! `cargo run --release --example pytorch` writes a net, an input and what the net makes of it. `python3
//! demos/examples/pytorch.py`, in the same folder, loads the net into `torch.nn`, compares, trains it for some steps,
//! and writes it back. A second run of the example loads that.

use std::path::Path;
use wengert::nn::{BatchNorm, Conv2d, Init, Linear, Mode, Params, Pass, Sequential};
use wengert::ops::Conv2dOptions;
use wengert::{Archive, Rng, StateError, Tensor, Var};

/// What `pytorch.py` builds as `nn.Sequential(Conv2d, BatchNorm2d, LeakyReLU, Flatten, Linear)`.
fn net(params: &mut Params, rng: &mut Rng) -> Sequential {
    let options = Conv2dOptions::default().stride(2).padding(1);
    Sequential::builder(&mut params.scope(""))
        .layer(|scope| Conv2d::new(scope, 3, 8, [4, 4], &options, Init::PyTorch, rng))
        .layer(|scope| BatchNorm::new(scope, 8, Init::PyTorch, rng))
        .function(|x| x.leaky_relu(0.2))
        .function(|x| x.reshape([x.shape()[0], 128]))
        .layer(|scope| Linear::new(scope, 128, 2, Init::PyTorch, rng))
        .build()
}

fn main() -> Result<(), StateError> {
    let mut rng = Rng::seed(0);
    let mut params = Params::new();
    let net = net(&mut params, &mut rng);
    let x: Tensor = rng.normal([4, 3, 8, 8]);
    let output = |params: &Params, x: &Tensor| -> Var { net.forward(&Pass::frozen(params, Mode::Eval), &x.into()) };

    if Path::new("from-torch.safetensors").exists() {
        params.load("from-torch.safetensors")?;
        let torch = Archive::load("torch-output.safetensors")?;
        let (x, y) = (torch.tensor::<f32>("x", *x.shape())?, torch.tensor::<f32>("y", [4, 2])?);
        let difference =
            (output(&params, &x).value() - &y).to_vec().into_iter().fold(0.0f32, |most, d| most.max(d.abs()));
        println!("from-torch.safetensors: loaded; the outputs differ by {difference:.1e} at most");
        assert!(difference < 1e-5);
        return Ok(());
    }
    params.save("net.safetensors")?;
    let mut archive = Archive::new();
    archive.set_tensor("x", &x);
    archive.set_tensor("y", output(&params, &x).value());
    archive.save("output.safetensors")?;
    println!("net.safetensors: {}", params.names().collect::<Vec<_>>().join(", "));
    println!("output.safetensors: x, y. Next: python3 demos/examples/pytorch.py");
    Ok(())
}
