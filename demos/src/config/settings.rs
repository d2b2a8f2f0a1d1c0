//! What a person says about a run: some of its configuration, in a file or as flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::{Config, InitialWeights, Loss, Method, Net, Norm, OptimizerName, Setting, check_format};
use crate::data::DataName;
use crate::files::{from_toml, read_text};

/// The most bytes of a file of settings.
const MOST_BYTES: u64 = 1 << 20;

/// A part of a configuration: what a file of settings, or the command line, says. A run's `config.toml` is such a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The format of the file; see [`Config::format`].
    #[arg(skip)]
    pub format: Option<u32>,
    /// The method; may be left out if --config names it
    #[arg(value_name = "METHOD")]
    pub method: Option<Method>,
    /// The recipe of the method's paper as closely as we know it, instead of the quick default; the table below says
    /// what it changes, and other flags override it
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub paper: Option<bool>,
    /// The images to learn [default: digits]
    #[arg(long, value_enum)]
    pub data: Option<DataName>,
    /// The directory of the images' files [default: data/NAME, where gan data fetch NAME puts them]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The side to bring images to, in pixels: a multiple of 8 [default: as they are, 28 padded to 32; folder: 32,
    /// stl-10: 48]
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// Skip files that cannot be decoded, and classes that have none other (folder)
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub skip_corrupt: Option<bool>,
    /// Take images at any depth: all that lie below a class's folder are of that class; if images lie beside the
    /// classes' folders, all are of one class (folder)
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub flatten: Option<bool>,
    /// Add noise to real images, uniform and below the smallest difference of their bytes: (byte + u)/128 − 1 with u in
    /// [0, 1)
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub dequantise: Option<bool>,
    /// Mirror every second real image, at random; not for sets of digits
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub flip: Option<bool>,
    /// See [`Config::test_half`].
    #[arg(skip)]
    pub test_half: Option<bool>,
    /// The layers of both nets
    #[arg(long, value_enum)]
    pub net: Option<Net>,
    /// How the discriminator's layers are constrained
    #[arg(long, value_enum)]
    pub norm: Option<Norm>,
    /// Initial weights [default: usual; --paper: paper]
    #[arg(long, value_enum)]
    pub init: Option<InitialWeights>,
    /// Channels of every layer as a multiple of the paper's; 1 is the paper's [default: 0.25; --paper: 1]
    #[arg(long)]
    pub width: Option<f64>,
    /// The number of noise values that the generator takes [default: 128; wgan: 100]
    #[arg(long)]
    pub z_dim: Option<usize>,
    /// Tell the nets the images' classes: conditional batch norm in the generator, projection in the
    /// discriminator; for sets of at least two classes
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub conditional: Option<bool>,
    /// Real, and generated, images in a step [default: 64; sagan --paper: 256]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Updates of the generator [default: 2500; --paper: 100000; wgan-gp --paper: 200000; sagan --paper: 1000000]
    #[arg(long)]
    pub steps: Option<u64>,
    /// Updates of the discriminator before each of the generator [default: 1; wgan, wgan-gp: 5]
    #[arg(long)]
    pub n_dis: Option<usize>,
    /// 100 updates of the critic before each of the generator's first 25, and before every 500th (wgan)
    #[arg(long)]
    pub warm_up: Option<bool>,
    /// The losses [default: hinge; gan: standard; wgan, wgan-gp: wasserstein; sngan, sn-reg --paper:
    /// standard]
    #[arg(long, value_enum)]
    pub loss: Option<Loss>,
    /// Learning rate, betas and n-dis by the name that SNGAN's authors gave them
    #[arg(long, value_enum, ignore_case = true)]
    pub setting: Option<Setting>,
    /// The optimiser [default: adam; wgan: rmsprop]
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerName>,
    /// The learning rate, unless --lr-d sets the discriminator's [default: 0.0002; the table below has the others]
    #[arg(long)]
    pub lr: Option<f64>,
    /// The discriminator's learning rate [default: that of --lr; sagan: 0.0004]
    #[arg(long)]
    pub lr_d: Option<f64>,
    /// The share of the steps after which the learning rates fall on a line to 0 at the last step; 0 is from the first
    /// on, 1 never. How many steps there are cannot change then [default: none; sngan --paper --net resnet: 0]
    #[arg(long, value_name = "SHARE")]
    pub lr_decay: Option<f64>,
    /// Adam's decay rates of the first and the second moment [default: 0.5,0.999; wgan-gp, sagan: 0,0.9]
    #[arg(long, value_name = "B1,B2", value_parser = two_numbers, allow_hyphen_values = true)]
    pub betas: Option<[f64; 2]>,
    /// Hold every parameter of the critic to ±CLIP (wgan) [default: 0.01]
    #[arg(long)]
    pub clip: Option<f64>,
    /// The factor of the gradient penalty (wgan-gp) [default: 10]
    #[arg(long, value_name = "LAMBDA")]
    pub gp_lambda: Option<f64>,
    /// λ in λ/2 Σ σ(W)², added to the discriminator's loss (sn-reg) [default: 0.01]
    #[arg(long, value_name = "LAMBDA")]
    pub sn_lambda: Option<f64>,
    /// Draw samples with a moving average of the generator, of this decay, say 0.999
    #[arg(long, value_name = "DECAY")]
    pub ema: Option<f64>,
    /// Start from the nets of another run, without its optimiser's state
    #[arg(long, value_name = "RUN")]
    pub init_from: Option<PathBuf>,
    /// Determines initial weights, noise, and the order of the images: the same seed gives the same bits [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Steps between pictures [default: 100]
    #[arg(long, value_name = "STEPS")]
    pub sample_every: Option<u64>,
    /// Steps between checkpoints [default: 500]
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_every: Option<u64>,
    /// Steps between evaluations as by `gan evaluate`, for evaluation.json and the best step; a classifier of the
    /// images is trained first, if --cache has none [default: none]
    #[arg(long, value_name = "STEPS")]
    pub evaluate_every: Option<u64>,
    /// Allow settings that are known not to work
    #[arg(long, num_args = 0, default_missing_value = "true")]
    pub force: Option<bool>,
}

fn two_numbers(text: &str) -> Result<[f64; 2], &'static str> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    numbers.and_then(|numbers| numbers.try_into().ok()).ok_or("expected two numbers, as in 0.5,0.999")
}

impl Settings {
    /// Reads a TOML file of settings.
    ///
    /// # Errors
    /// Names the file: it cannot be read, is too large, is no TOML, or has a field that does not exist or
    /// another kind of value.
    pub fn read(path: &Path) -> Result<Settings> {
        let text = read_text(path, MOST_BYTES).map_err(|error| anyhow!("--config {error:#}"))?;
        let text = text.with_context(|| format!("--config {}: cannot read: there is no such file", path.display()))?;
        check_format(&text).and_then(|()| from_toml(&text)).with_context(|| format!("--config {}", path.display()))
    }

    /// The configuration of a run: the method's recipe, over which go the settings of the `file`, over which go `self`.
    ///
    /// # Errors
    /// No method (a [`clap::Error`], as all that a command line lacks), or two; a setting that says what another says
    /// too; and whatever [`Config::check`] refuses.
    pub fn over(&self, file: &Settings) -> Result<Config> {
        let method = match (self.method, file.method) {
            (Some(flag), Some(file)) => {
                let (flag_word, file_word) = (flag.flag(), file.flag());
                ensure!(flag == file, "<METHOD> is {flag_word}, but --config says {file_word}; expected one method");
                flag
            }
            (one, other) => one.or(other).ok_or_else(no_method)?,
        };
        let paper = self.paper.or(file.paper).unwrap_or_default();
        let mut config = if paper { Config::paper(method, self.net.or(file.net)) } else { Config::recipe(method) };
        for layer in [file, self] {
            layer.apply(&mut config)?;
        }
        let said = self.test_half.or(file.test_half).is_some();
        config.test_half = if said { config.test_half } else { config.data.has_test_half() };
        config.data_dir = config.data_dir.or_else(|| config.data.default_dir().as_deref().map(absolute));
        config.check()?;
        Ok(config)
    }

    /// Puts what is said here into a configuration, unchecked.
    ///
    /// # Errors
    /// One setting says what another says too.
    pub fn apply(&self, config: &mut Config) -> Result<()> {
        if let Some(optimizer) = self.optimizer.filter(|&new| new != config.optimizer) {
            config.optimizer = optimizer;
            config.betas = (optimizer == OptimizerName::Adam).then_some([0.5, 0.999]);
        }
        if let Some(setting) = self.setting {
            self.check_setting(setting, config)?;
            let (lr, betas, n_dis) = setting.values();
            (config.lr, config.betas, config.n_dis) = (lr, Some(betas), n_dis);
        }
        fn set<V: Clone>(place: &mut V, value: &Option<V>) {
            if let Some(value) = value {
                *place = value.clone();
            }
        }
        fn set_some<V: Clone>(place: &mut Option<V>, value: &Option<V>) {
            if value.is_some() {
                place.clone_from(value);
            }
        }
        set(&mut config.data, &self.data);
        // Absolute, so that `resume` finds the files from anywhere.
        set_some(&mut config.data_dir, &self.data_dir.as_deref().map(absolute));
        set_some(&mut config.size, &self.size);
        set(&mut config.skip_corrupt, &self.skip_corrupt);
        set(&mut config.flatten, &self.flatten);
        set(&mut config.dequantise, &self.dequantise);
        set(&mut config.flip, &self.flip);
        set(&mut config.test_half, &self.test_half);
        set(&mut config.net, &self.net);
        set(&mut config.norm, &self.norm);
        set(&mut config.init, &self.init);
        set(&mut config.width, &self.width);
        set(&mut config.z_dim, &self.z_dim);
        set(&mut config.conditional, &self.conditional);
        set(&mut config.batch, &self.batch);
        set(&mut config.steps, &self.steps);
        set(&mut config.n_dis, &self.n_dis);
        set(&mut config.warm_up, &self.warm_up);
        set(&mut config.loss, &self.loss);
        set(&mut config.lr, &self.lr);
        set_some(&mut config.lr_d, &self.lr_d);
        set_some(&mut config.lr_decay, &self.lr_decay);
        set_some(&mut config.betas, &self.betas);
        set_some(&mut config.clip, &self.clip);
        set_some(&mut config.gp_lambda, &self.gp_lambda);
        set_some(&mut config.sn_lambda, &self.sn_lambda);
        set_some(&mut config.ema, &self.ema);
        set_some(&mut config.init_from, &self.init_from.as_deref().map(absolute));
        set(&mut config.seed, &self.seed);
        set(&mut config.sample_every, &self.sample_every);
        set(&mut config.checkpoint_every, &self.checkpoint_every);
        set_some(&mut config.evaluate_every, &self.evaluate_every);
        set(&mut config.force, &self.force);
        Ok(())
    }

    /// A setting says three things, and goes with Adam at one learning rate.
    fn check_setting(&self, setting: Setting, config: &Config) -> Result<()> {
        let said = [("lr", self.lr.is_some()), ("betas", self.betas.is_some()), ("n-dis", self.n_dis.is_some())];
        for (flag, said) in said {
            ensure!(!said, "--setting {setting:?} determines --{flag} already; expected one of the two");
        }
        let method = config.method.flag();
        ensure!(
            config.optimizer == OptimizerName::Adam,
            "--setting {setting:?} is one of Adam; {method} has --optimizer rmsprop"
        );
        ensure!(
            config.method != Method::Sagan,
            "--setting {setting:?} has one learning rate; sagan has two, --lr and --lr-d"
        );
        Ok(())
    }
}

/// The error of a command line without a method: a line for each that there is.
fn no_method() -> clap::Error {
    let methods = Method::value_variants().iter().filter_map(ValueEnum::to_possible_value).map(|method| {
        let help = method.get_help().map(ToString::to_string).unwrap_or_default();
        format!("\n  {:<8} {help}", method.get_name())
    });
    let text = format!("<METHOD> is missing; expected one of{}\n", methods.collect::<String>());
    clap::Error::raw(ErrorKind::MissingRequiredArgument, text)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FORMAT;

    /// Every setting, and none as it is by default: a new one has to be added here before this compiles.
    fn other() -> Config {
        Config {
            format: FORMAT,
            method: Method::WganGp,
            data: DataName::Folder,
            data_dir: Some(absolute(Path::new("images"))),
            size: Some(48),
            skip_corrupt: true,
            flatten: true,
            test_half: true,
            dequantise: true,
            flip: true,
            net: Net::Dcgan,
            norm: Norm::None,
            init: InitialWeights::Paper,
            width: 0.5,
            z_dim: 64,
            conditional: true,
            batch: 32,
            steps: 7,
            n_dis: 5,
            warm_up: true,
            loss: Loss::Wasserstein,
            optimizer: OptimizerName::Rmsprop,
            lr: 1e-3,
            lr_d: Some(2e-3),
            lr_decay: Some(0.5),
            betas: Some([0.25, 0.75]),
            clip: Some(0.01),
            gp_lambda: Some(10.0),
            sn_lambda: Some(0.1),
            ema: Some(0.99),
            init_from: Some(absolute(Path::new("run"))),
            seed: 1,
            sample_every: 2,
            checkpoint_every: 3,
            evaluate_every: Some(4),
            force: true,
        }
    }

    #[test]
    fn every_setting_of_a_file_is_taken() {
        let [usual, changed] = [Config::DEFAULT, other()].map(|config| serde_json::to_value(config).unwrap());
        for (name, value) in changed.as_object().unwrap() {
            assert!(name == "format" || usual.get(name) != Some(value), "{name} is as by default");
        }
        let file: Settings = from_toml(&toml::to_string(&other()).unwrap()).unwrap();
        let mut found = Config { method: Method::WganGp, ..Config::DEFAULT };
        file.apply(&mut found).unwrap();
        assert_eq!(found, other());
    }
}
