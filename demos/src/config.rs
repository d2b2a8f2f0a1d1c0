//! What determines a run: the same configuration gives the same bits, at any number of threads.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The method by which a generator and a discriminator are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Spectral normalisation of the discriminator (Miyato et al. 2018)
    Sngan,
}

/// What discriminator and generator minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// D: mean relu(1 − D(x)) + mean relu(1 + D(G(z))); G: −mean D(G(z))
    Hinge,
    /// D: mean softplus(−D(x)) + mean softplus(D(G(z))); G: mean softplus(−D(G(z))), the non-saturating form
    Standard,
}

/// Which images are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    /// Handwritten-looking digits, drawn as training goes: needs no files
    Digits,
    /// Fashion-MNIST: clothes, 60,000 images, from idx files in --data-dir
    FashionMnist,
    /// MNIST: digits, 60,000 images, from idx files in --data-dir
    Mnist,
    /// Simple shapes in colour, drawn as training goes: needs no files
    Shapes,
    /// CIFAR-10: things and animals in colour, 50,000 images, from its binary files in --data-dir
    #[serde(rename = "cifar-10")]
    #[value(name = "cifar-10")]
    Cifar10,
    /// SVHN: house numbers in colour, 73,257 cropped digits, from its .mat files in --data-dir
    Svhn,
    /// STL-10: things and animals in colour, 5,000 labelled images, from its binary files in --data-dir
    #[serde(rename = "stl-10")]
    #[value(name = "stl-10")]
    Stl10,
    /// STL-10's 100,000 images without labels, from its binary files in --data-dir
    #[serde(rename = "stl-10-unlabelled")]
    #[value(name = "stl-10-unlabelled")]
    Stl10Unlabelled,
    /// Any folder of PNG and JPEG files, --data-dir; sub-folders are classes
    Folder,
}

/// Everything that a run depends on. A run directory keeps it as `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The method.
    pub method: Method,
    /// The images.
    pub data: DataName,
    /// The directory of the images' files, if they come from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<std::path::PathBuf>,
    /// Channels of every layer as a multiple of those of Tables 1 and 2.
    pub width: f64,
    /// The number of noise values that the generator takes.
    pub z_dim: usize,
    /// Real, and generated, images in a step.
    pub batch: usize,
    /// Updates of the generator.
    pub steps: u64,
    /// Updates of the discriminator before each of the generator.
    pub n_dis: usize,
    /// The losses.
    pub loss: Loss,
    /// Adam's learning rate.
    pub lr: f64,
    /// Adam's decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Determines initial weights, noise, and the order of the images.
    pub seed: u64,
    /// Steps between pictures.
    pub sample_every: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

/// The most updates of a run: the noise of each has a stream of its own, and their numbers must not run out.
const MOST_STEPS: u64 = 1_000_000_000;

impl Config {
    /// What `gan train sngan` does if nothing else is said: about three minutes on two cores.
    pub const DEFAULT: Config = Config {
        method: Method::Sngan,
        data: DataName::Digits,
        data_dir: None,
        width: 0.25,
        z_dim: 128,
        batch: 64,
        steps: 2500,
        n_dis: 1,
        loss: Loss::Hinge,
        lr: 2e-4,
        betas: [0.5, 0.999],
        seed: 0,
        sample_every: 100,
        checkpoint_every: 500,
    };

    /// Checks every value by itself.
    ///
    /// # Errors
    /// Names the flag, what was found, and what was expected.
    pub fn check(&self) -> Result<()> {
        let Config { width, batch, steps, n_dis, lr, betas, z_dim, sample_every, checkpoint_every, .. } = self;
        ensure!(*width > 0.0 && *width <= 8.0, "--width is {width}; expected more than 0 and at most 8");
        ensure!((1..=4096).contains(batch), "--batch is {batch}; expected 1 to 4096");
        let counts = [("steps", *steps), ("sample-every", *sample_every), ("checkpoint-every", *checkpoint_every)];
        for (flag, n) in counts {
            ensure!((1..=MOST_STEPS).contains(&n), "--{flag} is {n}; expected 1 to {MOST_STEPS}");
        }
        ensure!((1..=100).contains(n_dis), "--n-dis is {n_dis}; expected 1 to 100");
        ensure!(lr.is_finite() && *lr > 0.0, "--lr is {lr}; expected a number above 0");
        let decays = betas.iter().all(|b| (0.0..1.0).contains(b));
        ensure!(decays, "--betas is {},{}; expected two numbers, each at least 0 and below 1", betas[0], betas[1]);
        ensure!((1..=65536).contains(z_dim), "--z-dim is {z_dim}; expected 1 to 65536");
        self.check_data()
    }

    fn check_data(&self) -> Result<()> {
        let needs_files = self.data.needs_files();
        let flag = self.data.flag();
        ensure!(!needs_files || self.data_dir.is_some(), "--data {flag} needs --data-dir DIR, where its files are");
        ensure!(
            needs_files || self.data_dir.is_none(),
            "--data-dir does not go with --data {flag}, which needs no files"
        );
        if let Some(dir) = &self.data_dir {
            ensure!(dir.to_str().is_some(), "--data-dir is {dir:?}; expected UTF-8, which config.toml can hold");
        }
        Ok(())
    }
}

impl Method {
    /// The word that names it on the command line.
    pub fn flag(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }
}

impl DataName {
    /// The value of `--data` that names it.
    pub fn flag(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Whether it is read from files, as opposed to drawn.
    pub fn needs_files(self) -> bool {
        !matches!(self, DataName::Digits | DataName::Shapes)
    }
}
