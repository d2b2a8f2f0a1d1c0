//! What a configuration must be.

use anyhow::{Result, bail, ensure};

use super::{Config, Hold, Loss, Method, Net, Norm, OptimizerName};
use crate::data::DataName;
use crate::usage::word;

/// The most updates of a run: the noise of each has a stream of its own, and their numbers must not run out.
pub const MOST_STEPS: u64 = 1_000_000_000;

impl Config {
    /// Checks every value by itself, then whether they go together.
    ///
    /// # Errors
    /// Names the flag, what was found, and what was expected; or says why a combination is known not to work.
    pub fn check(&self) -> Result<()> {
        self.check_sizes()?;
        self.check_rates()?;
        self.check_data()?;
        self.check_method()?;
        if !self.force
            && let Some(reason) = self.known_not_to_work()
        {
            bail!("{reason} To do it all the same, say --force");
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<()> {
        let Config { width, batch, steps, n_dis, z_dim, sample_every, checkpoint_every, .. } = self;
        ensure!(*width > 0.0 && *width <= 8.0, "--width is {width}; expected more than 0 and at most 8");
        ensure!((1..=4096).contains(batch), "--batch is {batch}; expected 1 to 4096");
        let evaluate_every = self.evaluate_every.unwrap_or(1);
        let counts = [
            ("steps", *steps),
            ("sample-every", *sample_every),
            ("checkpoint-every", *checkpoint_every),
            ("evaluate-every", evaluate_every),
        ];
        for (flag, n) in counts {
            ensure!((1..=MOST_STEPS).contains(&n), "--{flag} is {n}; expected 1 to {MOST_STEPS}");
        }
        ensure!((1..=100).contains(n_dis), "--n-dis is {n_dis}; expected 1 to 100");
        ensure!((1..=65536).contains(z_dim), "--z-dim is {z_dim}; expected 1 to 65536");
        if let Some(size) = self.size {
            let fits = (8..=256).contains(&size) && size.is_multiple_of(8);
            ensure!(fits, "--size is {size}; expected a multiple of 8, from 8 to 256");
        }
        Ok(())
    }

    fn check_rates(&self) -> Result<()> {
        let above_zero = [
            ("lr", Some(self.lr)),
            ("lr-d", self.lr_d),
            ("clip", self.clip),
            ("gp-lambda", self.gp_lambda),
            ("sn-lambda", self.sn_lambda),
        ];
        for (flag, value) in above_zero {
            if let Some(value) = value {
                ensure!(value.is_finite() && value > 0.0, "--{flag} is {value}; expected a number above 0");
            }
        }
        if let Some([a, b]) = self.betas {
            let decays = [a, b].iter().all(|b| (0.0..1.0).contains(b));
            ensure!(decays, "--betas is {a},{b}; expected two numbers, each at least 0 and below 1");
        }
        if let Some(decay) = self.ema {
            ensure!((0.0..1.0).contains(&decay), "--ema is {decay}; expected at least 0 and below 1");
        }
        if let Some(share) = self.lr_decay {
            ensure!((0.0..=1.0).contains(&share), "--lr-decay is {share}; expected 0 to 1, a share of the steps");
        }
        match self.optimizer {
            OptimizerName::Adam => ensure!(self.betas.is_some(), "--optimizer adam needs --betas"),
            OptimizerName::Rmsprop => ensure!(self.betas.is_none(), "--betas does not go with --optimizer rmsprop"),
        }
        Ok(())
    }

    fn check_data(&self) -> Result<()> {
        let needs_files = self.data.needs_files();
        let flag = self.data.flag();
        ensure!(!needs_files || self.data_dir.is_some(), "--data {flag} needs --data-dir DIR, where its files are");
        ensure!(
            needs_files || self.data_dir.is_none(),
            "--data-dir does not go with --data {flag}, which needs no files"
        );
        ensure!(!self.test_half || self.data.has_test_half(), "test_half is true; --data {flag} has no test half");
        ensure!(
            !self.flip || !self.data.shows_digits(),
            "--flip does not go with --data {flag}: a digit in a mirror is another one, or none"
        );
        ensure!(
            self.data != DataName::StackedDigits || self.evaluate_every.is_none(),
            "--evaluate-every does not go with --data stacked-digits, whose modes gan evaluate counts after training"
        );
        for (flag, path) in [("data-dir", &self.data_dir), ("init-from", &self.init_from)] {
            if let Some(path) = path {
                ensure!(path.to_str().is_some(), "--{flag} is {path:?}; expected UTF-8, which config.toml can hold");
            }
        }
        Ok(())
    }

    /// Every setting must belong to the method, and the method must have its own.
    fn check_method(&self) -> Result<()> {
        let method = self.method.flag();
        let own = [
            ("clip", self.clip.is_some(), Method::Wgan),
            ("gp-lambda", self.gp_lambda.is_some(), Method::WganGp),
            ("sn-lambda", self.sn_lambda.is_some(), Method::SnReg),
        ];
        for (flag, present, owner) in own {
            let owner_word = owner.flag();
            ensure!(!present || self.method == owner, "--{flag} belongs to {owner_word}; {method} has none");
            ensure!(present || self.method != owner, "{owner_word} needs --{flag}");
        }
        let wgan = self.method == Method::Wgan;
        ensure!(!self.warm_up || wgan, "--warm-up belongs to wgan; {method} has none");
        let (net, norm) = (word(self.net), word(self.norm));
        let nets = if self.method == Method::Sagan { "sagan or resnet" } else { "standard, dcgan or resnet" };
        ensure!(
            self.net == Net::Resnet || (self.net == Net::Sagan) == (self.method == Method::Sagan),
            "--net {net} does not go with {method}; expected {nets}"
        );
        ensure!(
            self.net != Net::Resnet || self.norm != Norm::Batch,
            "--norm batch does not go with --net resnet; expected none or spectral"
        );
        let takes = matches!(self.method, Method::Gan | Method::WganGp);
        ensure!(self.norm != Norm::Weight || takes, "--norm weight does not go with {method}; gan and wgan-gp take it");
        match self.method {
            Method::Sngan | Method::Sagan => {
                ensure!(self.norm == Norm::Spectral, "--norm {norm} does not go with {method}; expected spectral");
            }
            Method::Gan | Method::SnReg => {
                ensure!(
                    self.norm != Norm::Spectral,
                    "--norm spectral does not go with {method}; expected none or batch, or the method sngan"
                );
            }
            Method::Wgan | Method::WganGp => {}
        }
        Ok(())
    }

    /// Why this is known not to work, if it is.
    fn known_not_to_work(&self) -> Option<String> {
        let method = self.method.flag();
        if matches!(self.hold(), Hold::GradientPenalty(_)) && self.norm == Norm::Batch {
            return Some(format!(
                "{method} with --norm batch is known not to work: the penalty asks for a slope of 1 at each image by \
                 itself, but with batch norm the critic's value of an image depends on the whole batch (Gulrajani et \
                 al. 2017, section 4); expected --norm none."
            ));
        }
        if self.loss != Loss::Wasserstein {
            return None;
        }
        if self.norm == Norm::Spectral {
            return Some(format!(
                "{method} with the Wasserstein loss and spectral norm is known not to work (its authors say so): a \
                 critic all of whose layers are held to norm 1 has slopes far below 1, and the generator learns next \
                 to nothing; expected --loss hinge or standard."
            ));
        }
        if matches!(self.hold(), Hold::Layers | Hold::SigmaPenalty(_)) {
            return Some(format!(
                "{method} with the Wasserstein loss is known not to work: it is linear in the critic, which nothing \
                 keeps from growing without bound; expected the method wgan or wgan-gp, or --loss hinge, standard or \
                 saturating."
            ));
        }
        None
    }
}
