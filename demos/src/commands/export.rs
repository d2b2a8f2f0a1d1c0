//! `gan export`: the generator of a run, for other programs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use wengert::nn::{Mode, Pass};
use wengert::{Archive, Rng, Tensor};

use super::checkpoint::Which;
use super::say;
use crate::files::{quoted, to_json, write_whole};
use crate::models::architecture::{Conv, Kind, Layer};
use crate::models::attention::Attention;
use crate::run_dir::RunDir;
use crate::train::Trainer;

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct Export {
    /// The directory of a run
    run: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The directory for the files, which replace those of an earlier export [default: RUN/export]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The program that rebuilds the generator in PyTorch.
const PYTHON: &str = include_str!("export/generator.py");

/// Images by which that program checks what it has built.
const CHECKED: usize = 8;

impl Export {
    /// Writes the layers, the weights that samples are drawn with, some noise with the images that belong to it, and a
    /// program for PyTorch.
    pub(super) fn run(self) -> Result<()> {
        let (dir, config) = RunDir::open(&self.run)?;
        let trainer = self.which.open(&dir, &config)?;
        let out = self.out.unwrap_or_else(|| dir.path().join("export"));
        std::fs::create_dir_all(&out).with_context(|| format!("{}: cannot make the directory", out.display()))?;
        let mut generator = Archive::new();
        trainer.sampling_params().store(&mut generator, "");
        let architecture = trainer.generator().architecture();
        let layers = listed(&architecture.layers, &architecture.input);
        let program = out.join("generator.py");
        write_whole(&out.join("generator.json"), to_json(&layers)?.as_bytes())?;
        write_whole(&out.join("generator.safetensors"), &generator.to_bytes())?;
        write_whole(&out.join("check.safetensors"), &check(&trainer, config.z_dim).to_bytes())?;
        write_whole(&program, PYTHON.as_bytes())?;
        say(format_args!("{}: the generator after step {}", out.display(), trainer.step()));
        say(format_args!("for PyTorch  python3 {}", quoted(&program)));
        Ok(())
    }
}

/// Noise `z` (8, z), and the `images` (8, C, M, M) that the generator makes of it; of its classes in turn, if it knows
/// any.
fn check(trainer: &Trainer<f32>, z_dim: usize) -> Archive {
    let z: Tensor = Rng::seed(0).normal([CHECKED, z_dim]);
    let classes: Option<Vec<usize>> = trainer.classes().map(|n| (0..CHECKED).map(|i| i % n).collect());
    let pass = Pass::frozen(trainer.sampling_params(), Mode::Eval);
    let images = trainer.generator().forward(&pass, &(&z).into(), classes.as_deref());
    let mut archive = Archive::new();
    archive.set_tensor("z", &z);
    archive.set_tensor("images", images.value());
    archive
}

/// The layers for an input of this shape, as the program reads them.
fn listed(layers: &[Layer], input: &[usize]) -> Value {
    let mut input = input.to_vec();
    let each = layers.iter().map(|layer| {
        let mut value = options(&layer.kind, &input);
        value["inputs"] = json!(input[0]);
        if !layer.name.is_empty() {
            value["name"] = json!(layer.name);
        }
        input = layer.output(&input);
        value
    });
    each.collect()
}

/// The kind of a layer for an input of this shape, and what makes it.
fn options(kind: &Kind, input: &[usize]) -> Value {
    let conv = |kind: &str, &Conv { outputs, kernel, stride, weight }: &Conv| {
        json!({
            "kind": kind, "outputs": outputs, "kernel": kernel, "stride": stride,
            "bias": weight.has_bias(), "spectral norm": weight.has_spectral_norm(),
        })
    };
    match kind {
        Kind::Dense { outputs, weight } => json!({
            "kind": "dense", "outputs": outputs, "bias": weight.has_bias(), "spectral norm": weight.has_spectral_norm(),
        }),
        Kind::Conv(of) => conv("conv", of),
        Kind::Deconv(of) => conv("deconv", of),
        Kind::BatchNorm(_) => json!({ "kind": "batch norm" }),
        Kind::ConditionalBatchNorm(classes) => json!({ "kind": "conditional batch norm", "classes": classes }),
        Kind::Attention(_) => {
            let [keys, values] = Attention::widths(input[0]);
            json!({ "kind": "attention", "keys": keys, "values": values })
        }
        Kind::Sum(ways) => json!({
            "kind": "sum", "ways": ways.iter().map(|way| listed(way, input)).collect::<Vec<_>>(),
        }),
        Kind::Relu => json!({ "kind": "relu" }),
        Kind::Tanh => json!({ "kind": "tanh" }),
        Kind::Reshape(maps) => json!({ "kind": "reshape", "shape": maps }),
        Kind::Upsample(factor) => json!({ "kind": "upsample", "factor": factor }),
        Kind::Projection { .. }
        | Kind::LeakyRelu(_)
        | Kind::Flatten
        | Kind::AveragePool(_)
        | Kind::GlobalSum
        | Kind::GlobalMean => unreachable!("no generator has a layer {kind}"),
    }
}
