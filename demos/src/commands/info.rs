//! `gan info`: the layers of both nets, and what they cost.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::checkpoint::Which;
use super::say;
use super::sets::open_new_data;
use crate::config::{Method, Net, Norm, Settings};
use crate::data::DataName;
use crate::models::{self, Architecture};
use crate::run_dir::RunDir;
use crate::usage::human_bytes;

/// Which nets to list.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Info {
    /// A method: gan, wgan, wgan-gp, sngan, sn-reg or sagan; or the directory of a run
    #[arg(value_name = "METHOD|RUN")]
    of: String,
    #[command(flatten)]
    choice: Choice,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What chooses the nets of a method, as of `gan train`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
struct Choice {
    /// The nets of the paper's recipe, instead of the quick default
    #[arg(long, num_args = 0, default_missing_value = "true")]
    paper: Option<bool>,
    /// The images, whose size and number of classes the nets have [default: digits]
    #[arg(long, value_enum)]
    data: Option<DataName>,
    /// The directory of the images' files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The side of the images, in pixels [default: as of gan train]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// The layers of both nets
    #[arg(long, value_enum)]
    net: Option<Net>,
    /// How the discriminator's layers are constrained
    #[arg(long, value_enum)]
    norm: Option<Norm>,
    /// Channels of every layer as a multiple of the paper's; 1 is the paper's [default: 0.25; --paper: 1]
    #[arg(long)]
    width: Option<f64>,
    /// The number of noise values that the generator takes [default: 128; wgan: 100]
    #[arg(long)]
    z_dim: Option<usize>,
    /// Tell the nets the images' classes
    #[arg(long, num_args = 0, default_missing_value = "true")]
    conditional: Option<bool>,
}

impl Info {
    /// Lists the layers. No weight is made for a method, so that any size can be asked for.
    pub(super) fn run(self) -> Result<()> {
        let [generator, discriminator] = match Method::from_str(&self.of, false) {
            Ok(method) => of_method(method, self.choice)?,
            Err(_) => of_run(&self.of, &self.choice)?,
        };
        if self.json {
            say(json!({ "generator": as_json(&generator), "discriminator": as_json(&discriminator) }));
            return Ok(());
        }
        print("generator", &generator);
        say("");
        print("discriminator", &discriminator);
        say("\nmultiply-adds: for one image forward, those of linear maps (taps in the padding too) and of attention");
        Ok(())
    }
}

/// Generator and discriminator as `gan train` would make them.
fn of_method(method: Method, choice: Choice) -> Result<[Architecture; 2]> {
    let Choice { paper, data, data_dir, size, net, norm, width, z_dim, conditional } = choice;
    let (method, force) = (Some(method), Some(true)); // mixes that do not train have layers too
    let settings = Settings {
        method,
        paper,
        data,
        data_dir,
        size,
        net,
        norm,
        width,
        z_dim,
        conditional,
        force,
        ..Settings::default()
    };
    let config = settings.over(&Settings::default())?;
    let data = open_new_data(&config)?;
    let (shape, classes) = (data.shape(), data.classes());
    Ok([models::generator(&config, shape, classes), models::discriminator(&config, shape, classes)])
}

/// Generator and discriminator of a run.
fn of_run(run: &str, choice: &Choice) -> Result<[Architecture; 2]> {
    let path = Path::new(run);
    ensure!(
        path.exists(),
        "<METHOD|RUN> is {run}; expected gan, wgan, wgan-gp, sngan, sn-reg or sagan, or the directory of a run"
    );
    ensure!(*choice == Choice::default(), "{run} is a run, whose nets are as they are; expected no flags that choose");
    let (dir, config) = RunDir::open(path)?;
    let trainer = Which::default().open(&dir, &config)?;
    Ok([trainer.generator(), trainer.discriminator()].map(|net| net.architecture().clone()))
}

fn as_json(net: &Architecture) -> Value {
    let layers = net.rows().into_iter().map(|row| {
        json!({
            "name": row.layer.name, "kind": row.layer.kind.to_string(), "output": row.output,
            "parameters": row.parameters, "multiply_adds": row.multiply_adds,
        })
    });
    json!({
        "input": net.input, "layers": layers.collect::<Vec<_>>(),
        "parameters": net.parameters(), "multiply_adds": net.multiply_adds(),
    })
}

/// The table of one net.
fn print(title: &str, net: &Architecture) {
    let shown = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let line = |[name, kind, output, parameters, multiply_adds]: [&str; 5]| {
        say(format!("{name:<13}{kind:<31}{output:<14}{parameters:>12}{multiply_adds:>15}").trim_end());
    };
    say(format_args!("{title}, from {}", shown(&net.input)));
    line(["layer", "kind", "output", "parameters", "multiply-adds"]);
    // Nothing for 0, so that what costs something stands out.
    let count = |n: u64| if n == 0 { String::new() } else { n.to_string() };
    for row in net.rows() {
        let (name, kind, output) = (&row.layer.name, row.layer.kind.to_string(), shown(&row.output));
        line([name, &kind, &output, &count(row.parameters), &count(row.multiply_adds)]);
    }
    let (parameters, bytes) = (net.parameters(), human_bytes(net.parameters() * size_of::<f32>() as u64));
    line(["total", &bytes, "", &parameters.to_string(), &net.multiply_adds().to_string()]);
}
