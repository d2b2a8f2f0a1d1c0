//! `gan bench layers`: the convolutions of the two nets, one by one, beside the fastest product of square matrices.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use wengert::ops::Conv2dOptions;
use wengert::{Device, DeviceError, Rng, Tensor, Var};

use crate::commands::devices::{Place, describe};
use crate::commands::say;

/// How to measure the layers.
#[derive(Debug, Args)]
pub struct Layers {
    /// Images in a batch
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Runs to time of each pass, after two that warm up
    #[arg(long, default_value_t = 10, value_name = "K")]
    iters: usize,
    /// Print one line of JSON for each layer: [median, minimum, maximum] in ms
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A convolution from a map of `side`, or a transposed one to it.
struct Layer {
    name: &'static str,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    side: usize,
    transposed: bool,
}

const fn conv(name: &'static str, channels: [usize; 2], kernel: usize, stride: usize, side: usize) -> Layer {
    Layer { name, channels, kernel, stride, side, transposed: false }
}

const fn deconv(name: &'static str, channels: [usize; 2], side: usize) -> Layer {
    Layer { name, channels, kernel: 4, stride: 2, side, transposed: true }
}

/// Those of the discriminator, then those of the generator, for images of 32×32.
const LAYERS: [Layer; 11] = [
    conv("D1   3→64  3×3    @32", [3, 64], 3, 1, 32),
    conv("D2  64→64  4×4 s2 @32", [64, 64], 4, 2, 32),
    conv("D3  64→128 3×3    @16", [64, 128], 3, 1, 16),
    conv("D4 128→128 4×4 s2 @16", [128, 128], 4, 2, 16),
    conv("D5 128→256 3×3    @8 ", [128, 256], 3, 1, 8),
    conv("D6 256→256 4×4 s2 @8 ", [256, 256], 4, 2, 8),
    conv("D7 256→512 3×3    @4 ", [256, 512], 3, 1, 4),
    deconv("G1 512→256 deconv @4 ", [512, 256], 4),
    deconv("G2 256→128 deconv @8 ", [256, 128], 8),
    deconv("G3 128→64  deconv @16", [128, 64], 16),
    conv("G4  64→3   3×3    @32", [64, 3], 3, 1, 32),
];

const PASSES: [&str; 3] = ["forward", "input gradient", "weight gradient"];

impl Layers {
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.iters), "--iters is {}; expected 1 to 10000", self.iters);
        ensure!((1..=4096).contains(&self.batch), "--batch is {}; expected 1 to 4096", self.batch);
        let (device, threads) = (&self.place.device, rayon::current_num_threads());
        let product = matmul_gflops(device)?;
        if !self.json {
            say(format_args!(
                "batch {}, {}; product of {SIDE}×{SIDE} matrices: {product:.0} GFLOP/s",
                self.batch,
                describe(device)
            ));
            say("ms, GFLOP/s of the definition, their ratio to those of the product");
            if device.is_host() {
                say("(above 100 %: Winograd's algorithm needs 0.25 to 0.4 of the operations of the definition)");
            }
            say(format_args!("{:21}  {:^24}  {:^24}  {:^24}", "", PASSES[0], PASSES[1], PASSES[2]));
        }
        let mut sum = 0.0;
        for layer in &LAYERS {
            let times = layer.time(device, self.batch, self.iters)?;
            sum += times.iter().map(|[median, ..]| median).sum::<f64>();
            let speed = times.map(|[median, ..]| layer.operations(self.batch) / median * 1e-6);
            if self.json {
                say(json!({
                    "layer": layer.name, "device": device.to_string(), "threads": threads,
                    "matmul_gflops": product.round(), "gflops": speed.map(f64::round),
                    "forward_ms": times[0], "input_grad_ms": times[1], "weight_grad_ms": times[2],
                }));
                continue;
            }
            let cells =
                [0, 1, 2].map(|i| format!("{:7.2} {:6.0} {:7.0} %", times[i][0], speed[i], speed[i] / product * 100.0));
            say(format_args!("{}  {}  {}  {}", layer.name, cells[0], cells[1], cells[2]));
        }
        if !self.json {
            say(format_args!("sum of all medians {sum:.1} ms"));
        }
        Ok(())
    }
}

impl Layer {
    /// Floating-point operations of each pass by the definition, taps in the padding included.
    fn operations(&self, batch: usize) -> f64 {
        let pixels = if self.transposed { self.side } else { self.side / self.stride };
        let taps = self.kernel * self.kernel * self.channels[0] * self.channels[1];
        2.0 * (batch * pixels * pixels * taps) as f64
    }

    /// [median, minimum, maximum] in ms of each pass, through the library's operations.
    fn time(&self, device: &Device, batch: usize, iters: usize) -> Result<[[f64; 3]; 3], DeviceError> {
        let mut rng = Rng::seed(1);
        let mut map = |channels, side| -> Result<Var<f32>, DeviceError> {
            let values: Tensor = rng.uniform([batch, channels, side, side], -1.0, 1.0);
            Ok(values.channels_last().to(device)?.into())
        };
        let options = Conv2dOptions::default().stride(self.stride).padding(1);
        let ([inputs, outputs], kernel) = (self.channels, [self.kernel; 2]);
        let out_side = if self.transposed { self.side * self.stride } else { self.side / self.stride };
        let (x, dy) = (map(inputs, self.side)?, map(outputs, out_side)?);
        // The map that a convolution reads, and the one that it writes.
        let (read, written) = if self.transposed { (&dy, &x) } else { (&x, &dy) };
        // As it comes from here, the weight lies as the kernels want it.
        let w = read.conv2d_weight_grad(written, kernel, &options) * 1e-3;
        let convolve = || drop(black_box(read.conv2d(&w, None, &options)));
        let transpose = || drop(black_box(written.conv_transpose2d(&w, None, &options, [0, 0])));
        let weights = || drop(black_box(read.conv2d_weight_grad(written, kernel, &options)));
        let (forward, input): (&dyn Fn(), &dyn Fn()) =
            if self.transposed { (&transpose, &convolve) } else { (&convolve, &transpose) };
        let [forward, input, weights] = [forward, input, &weights].map(|pass| milliseconds(device, iters, pass));
        Ok([forward?, input?, weights?])
    }
}

/// [median, minimum, maximum] of a pass, each run until the device is done with it.
fn milliseconds(device: &Device, iters: usize, pass: &dyn Fn()) -> Result<[f64; 3], DeviceError> {
    (0..2).for_each(|_| pass());
    device.wait()?;
    let time = |_| {
        let start = Instant::now();
        pass();
        device.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let mut times: Vec<f64> = (0..iters).map(time).collect::<Result<_, DeviceError>>()?;
    times.sort_by(f64::total_cmp);
    Ok([times[iters / 2], times[0], times[iters - 1]].map(|ms| (ms * 1e3).round() / 1e3))
}

/// Rows and columns of the matrices that the convolutions are compared with.
const SIDE: usize = 1024;

/// GFLOP/s of a product of two square matrices in f32, on all threads or on a device: the best of several.
fn matmul_gflops(device: &Device) -> Result<f64, DeviceError> {
    let mut rng = Rng::seed(2);
    let mut matrix = || rng.uniform::<f32>([SIDE, SIDE], -1.0, 1.0).to(device).map(Var::from);
    let (a, b) = (matrix()?, matrix()?);
    let [_, fastest, _] = milliseconds(device, 20, &|| drop(black_box(a.matmul(&b))))?;
    Ok(2.0 * (SIDE as f64).powi(3) / fastest * 1e-6)
}
