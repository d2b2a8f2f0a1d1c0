//! What determines a run: the same configuration gives the same bits, at any number of threads.
//!
//! A run starts from the recipe of its method ([`recipe`](Config::recipe)), over which go the settings of a file, over
//! which go the flags ([`Settings`]); what comes out is checked as a whole ([`check`](Config::check)) and kept by the
//! run.

mod check;
mod recipe;
mod settings;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wengert::optim::Schedule;

pub use check::MOST_STEPS;
pub use recipe::{Setting, recipes};
pub use settings::Settings;

use crate::data::DataName;
use crate::files::from_toml;
use crate::usage::word;

/// The method by which a generator and a discriminator are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The GAN itself: the discriminator is unconstrained (Goodfellow et al. 2014)
    Gan,
    /// Wasserstein GAN: the critic's parameters are clipped (Arjovsky, Chintala and Bottou 2017, Algorithm 1)
    Wgan,
    /// Wasserstein GAN with gradient penalty (Gulrajani et al. 2017)
    WganGp,
    /// Spectral normalisation of the discriminator (Miyato et al. 2018)
    Sngan,
    /// Spectral norm regularisation of the discriminator (Yoshida and Miyato 2017)
    SnReg,
    /// Self-attention, spectral normalisation of both nets, two time scales (Zhang et al. 2019)
    Sagan,
}

/// What discriminator and generator minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// D: mean relu(1 − D(x)) + mean relu(1 + D(G(z))); G: −mean D(G(z))
    Hinge,
    /// D: mean softplus(−D(x)) + mean softplus(D(G(z))); G: mean softplus(−D(G(z))), the non-saturating form
    Standard,
    /// D as in standard; G: −mean softplus(D(G(z))), which vanishes where D tells the images apart
    Saturating,
    /// The critic: mean D(G(z)) − mean D(x); G: −mean D(G(z))
    Wasserstein,
}

/// The layers of generator and discriminator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Tables 1 and 2: the standard CNN of SNGAN
    #[default]
    Standard,
    /// 4×4 convolutions with stride 2 all the way, as in the code of WGAN's authors
    Dcgan,
    /// Tables 1 and 2 with spectral norm in both, and attention at half the images' side
    Sagan,
    /// Residual blocks, as SNGAN's and SAGAN's authors have them; for images of 32×32, 48×48 and 64×64
    Resnet,
}

/// How the discriminator's layers are constrained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Nothing
    None,
    /// Batch norm after every convolution but the first
    Batch,
    /// Every weight is divided by its spectral norm
    #[default]
    Spectral,
    /// Weight normalisation (Salimans and Kingma 2016): what leads to an output has a learnt length (gan, wgan-gp)
    Weight,
}

/// What holds the discriminator's slope beside what constrains its layers ([`Norm`]): one thing, by the method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hold {
    /// Nothing else
    Layers,
    /// WGAN: every parameter is held to ±c after each update
    Clip(f64),
    /// WGAN-GP: λ·mean (‖∇f‖ − 1)² is added to the loss
    GradientPenalty(f64),
    /// Spectral norm regularisation: λ/2 Σ σ(Wˡ)² is added to the loss
    SigmaPenalty(f64),
}

/// How weights begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum InitialWeights {
    /// As PyTorch's layers do; dcgan: N(0, 0.02²); resnet: Glorot's uniform, but class vectors N(0, 1)
    #[default]
    Usual,
    /// As the authors' code does, biases 0. standard, dcgan: N(0, 0.02²); sagan, resnet: Glorot's, class vectors too
    Paper,
}

impl InitialWeights {
    fn is_usual(&self) -> bool {
        *self == InitialWeights::Usual
    }
}

/// What moves the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Adam, with --betas
    #[default]
    Adam,
    /// RMSProp without momentum, α = 0.99
    Rmsprop,
}

/// The format of configurations that this program writes. It grows where an older program would take a file for another
/// run than it is; a new field with a default, which older programs refuse by its name, is no reason.
pub const FORMAT: u32 = 1;

/// Runs of the first versions have no format in their configuration.
fn first_format() -> u32 {
    1
}

/// Everything that a run depends on. A run directory keeps it as `config.toml`.
///
/// Fields that the first version did not have are [`Option`]s, or have a default: what it did without them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The format of the file, at most [`FORMAT`].
    #[serde(default = "first_format")]
    pub format: u32,
    /// The method.
    pub method: Method,
    /// The images.
    pub data: DataName,
    /// The directory of the images' files, if they come from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The side that images are brought to; as they are if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Whether to leave corrupt files of a folder out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skip_corrupt: bool,
    /// Whether the whole train half trains, and the images of the metrics come from the set's own test half. Earlier
    /// versions kept a third of the train half for them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test_half: bool,
    /// Whether real images get noise below the smallest difference of their bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dequantise: bool,
    /// Whether every second real image, at random, is mirrored.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flip: bool,
    /// Whether to take images of a folder at any depth.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flatten: bool,
    /// The layers of both nets.
    #[serde(default)]
    pub net: Net,
    /// How the discriminator's layers are constrained.
    #[serde(default)]
    pub norm: Norm,
    /// How weights begin.
    #[serde(default, skip_serializing_if = "InitialWeights::is_usual")]
    pub init: InitialWeights,
    /// Channels of every layer as a multiple of the paper's.
    pub width: f64,
    /// The number of noise values that the generator takes.
    pub z_dim: usize,
    /// Whether the nets know the images' classes: conditional batch norm, projection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub conditional: bool,
    /// Real, and generated, images in a step.
    pub batch: usize,
    /// Updates of the generator.
    pub steps: u64,
    /// Updates of the discriminator before each of the generator.
    pub n_dis: usize,
    /// Whether the critic gets 100 updates before each of the generator's first 25, and before every 500th.
    #[serde(default)] // always written: in a file of settings, what is missing is as the recipe has it
    pub warm_up: bool,
    /// The losses.
    pub loss: Loss,
    /// The optimiser of both nets.
    #[serde(default)]
    pub optimizer: OptimizerName,
    /// The learning rate; the generator's, if `lr_d` is another.
    pub lr: f64,
    /// The discriminator's learning rate, if it is another than the generator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_d: Option<f64>,
    /// The share of the steps after which both learning rates fall on a line to 0 at the last; `None` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_decay: Option<f64>,
    /// Adam's decay rates of the first and the second moment; RMSProp has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    /// WGAN: every parameter of the critic is held to ±clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// WGAN-GP: the factor of the gradient penalty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gp_lambda: Option<f64>,
    /// Spectral norm regularisation: λ in λ/2 Σ σ(Wˡ)², added to the discriminator's loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sn_lambda: Option<f64>,
    /// The decay of the generator's moving average, which samples are drawn with; `None` for no average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// The run whose nets this one started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Determines initial weights, noise, and the order of the images.
    pub seed: u64,
    /// Steps between pictures.
    pub sample_every: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between evaluations; `None` for no evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<u64>,
    /// Whether to do what is known not to work.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What may differ when a run goes on: how long, where, and what is let pass; not what is computed.
const FREE_TO_CHANGE: [&str; 6] = ["steps", "sample_every", "checkpoint_every", "evaluate_every", "data_dir", "force"];

/// Refuses text in TOML with a `format` beyond [`FORMAT`]; whatever else is wrong with it is for others to find.
fn check_format(text: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default = "first_format")]
        format: u32,
    }
    let Ok(Versioned { format }) = from_toml(text) else { return Ok(()) };
    ensure!(
        format <= FORMAT,
        "found the format {format}, of a later version of this program; expected at most {FORMAT}"
    );
    Ok(())
}

impl Config {
    /// The configuration in the text of a `config.toml`, of this version of the program or an earlier one.
    ///
    /// # Errors
    /// It is of a later version, or damaged: then the line, and what is wrong with it; or [`check`](Config::check)
    /// refuses it.
    pub fn from_text(text: &str) -> Result<Config> {
        check_format(text)?;
        let read = || -> Result<Config> {
            let config: Config = from_toml(text)?;
            config.check()?;
            Ok(config)
        };
        read().context("damaged")
    }

    /// What the set is called above pictures: a folder of images by its own name, any other by that of `--data`.
    pub fn data_title(&self) -> String {
        let folder = self.data_dir.as_deref().filter(|_| self.data == DataName::Folder).and_then(Path::file_name);
        folder.map_or_else(|| self.data.flag(), |name| name.to_string_lossy().into_owned())
    }

    /// Updates of the discriminator in the first `steps` steps, at most [`MOST_STEPS`].
    ///
    /// Without the warm-up they are n_dis to each. The authors of WGAN train the critic 100 times before each of the
    /// generator's first 25 updates, and before every one whose number, from 0, 500 divides, so that the gradient which
    /// the generator gets is that of a critic near its optimum.
    pub fn discriminator_updates(&self, steps: u64) -> u64 {
        let n_dis = self.n_dis as u64;
        let long = steps.min(25) + steps.saturating_sub(1) / 500;
        n_dis * steps + if self.warm_up { long * 100u64.saturating_sub(n_dis) } else { 0 }
    }

    /// What holds the discriminator. [`check`](Config::check) refuses a configuration that names two.
    pub fn hold(&self) -> Hold {
        let clip = self.clip.map(Hold::Clip);
        let penalty = self.gp_lambda.map(Hold::GradientPenalty);
        clip.or(penalty).or(self.sn_lambda.map(Hold::SigmaPenalty)).unwrap_or(Hold::Layers)
    }

    /// What the learning rates are multiplied with in step t, the first being 0.
    pub fn lr_factor(&self, t: u64) -> f64 {
        let Some(share) = self.lr_decay else { return 1.0 };
        let begins = (share * self.steps as f64).round() as u64;
        let length = self.steps.saturating_sub(begins);
        if t < begins || length == 0 { 1.0 } else { Schedule::linear(1.0, 0.0, length).lr(t - begins) }
    }

    /// The discriminator's learning rate.
    pub fn discriminator_lr(&self) -> f64 {
        self.lr_d.unwrap_or(self.lr)
    }

    /// Checks that a run of the configuration `self` may go on with `now`: all that determines its bits must be as it
    /// was.
    ///
    /// # Errors
    /// Names the first field that differs, and both values.
    pub fn allows(&self, now: &Config) -> Result<()> {
        let fields = |config: &Config| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(fields)) => fields,
            other => unreachable!("a configuration is a table of numbers and words: {other:?}"),
        };
        let (then, now) = (fields(self), fields(now));
        // With a decay, how long the run is decides about each step.
        let free: Vec<&str> =
            FREE_TO_CHANGE.into_iter().filter(|&name| name != "steps" || self.lr_decay.is_none()).collect();
        let may_differ = |name: &&String| *name == "format" || free.contains(&name.as_str());
        let show = |value: Option<&serde_json::Value>| value.map_or("none".into(), |value| value.to_string());
        for name in then.keys().chain(now.keys()).filter(|name| !may_differ(name)) {
            let (old, new) = (then.get(name), now.get(name));
            ensure!(
                old == new,
                "{name} is {} in config.toml, expected {} as when the run began; only {} may change",
                show(new),
                show(old),
                free.join(", ")
            );
        }
        Ok(())
    }
}

impl Method {
    /// The word that names it on the command line.
    pub fn flag(self) -> String {
        word(self)
    }
}
