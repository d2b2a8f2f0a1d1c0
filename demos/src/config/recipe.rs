//! The recipes of the papers, and of their authors' code where it says more.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Config, DataName, FORMAT, Loss, Method, Net, Norm, OptimizerName, word};

/// The settings of Adam that SNGAN's authors compare methods with (Miyato et al. 2018, Table 1 of their section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Setting {
    /// lr 1e-4, betas 0.5,0.9, n-dis 5
    A,
    /// lr 1e-4, betas 0.5,0.999, n-dis 1
    B,
    /// lr 2e-4, betas 0.5,0.999, n-dis 1
    C,
    /// lr 1e-3, betas 0.5,0.9, n-dis 5
    D,
    /// lr 1e-3, betas 0.5,0.999, n-dis 5
    E,
    /// lr 1e-3, betas 0.9,0.999, n-dis 5
    F,
}

impl Setting {
    /// Learning rate, β₁ and β₂, n_dis.
    pub fn values(self) -> (f64, [f64; 2], usize) {
        match self {
            Setting::A => (1e-4, [0.5, 0.9], 5),
            Setting::B => (1e-4, [0.5, 0.999], 1),
            Setting::C => (2e-4, [0.5, 0.999], 1),
            Setting::D => (1e-3, [0.5, 0.9], 5),
            Setting::E => (1e-3, [0.5, 0.999], 5),
            Setting::F => (1e-3, [0.9, 0.999], 5),
        }
    }
}

impl Config {
    /// What `gan train sngan` does if nothing else is said: setting C, about three minutes on two cores.
    pub const DEFAULT: Config = Config {
        format: FORMAT,
        method: Method::Sngan,
        data: DataName::Digits,
        data_dir: None,
        size: None,
        skip_corrupt: false,
        flatten: false,
        net: Net::Standard,
        norm: Norm::Spectral,
        width: 0.25,
        z_dim: 128,
        conditional: false,
        batch: 64,
        steps: 2500,
        n_dis: 1,
        warm_up: false,
        loss: Loss::Hinge,
        optimizer: OptimizerName::Adam,
        lr: 2e-4,
        lr_d: None,
        betas: Some([0.5, 0.999]),
        clip: None,
        gp_lambda: None,
        sn_lambda: None,
        ema: None,
        init_from: None,
        seed: 0,
        sample_every: 100,
        checkpoint_every: 500,
        evaluate_every: None,
        force: false,
    };

    /// What `gan train METHOD` does if nothing else is said.
    ///
    /// The plain GAN and spectral norm regularisation have the nets and the optimiser of SNGAN, so that each shows what
    /// its own way of holding the discriminator does. The Wasserstein GANs have the nets of WGAN's authors, the one
    /// with gradient penalty without batch norm in the critic.
    pub fn recipe(method: Method) -> Config {
        let sngan = Config { method, ..Config::DEFAULT };
        let wasserstein = Config { net: Net::Dcgan, loss: Loss::Wasserstein, n_dis: 5, ..sngan.clone() };
        match method {
            Method::Sngan => sngan,
            Method::Gan => Config { norm: Norm::None, loss: Loss::Standard, ..sngan },
            Method::SnReg => Config { norm: Norm::None, sn_lambda: Some(0.01), ..sngan },
            Method::Wgan => Config {
                norm: Norm::Batch,
                optimizer: OptimizerName::Rmsprop,
                lr: 5e-5,
                betas: None,
                clip: Some(0.01),
                warm_up: true,
                z_dim: 100,
                ..wasserstein
            },
            Method::WganGp => {
                Config { norm: Norm::None, lr: 1e-4, betas: Some([0.0, 0.9]), gp_lambda: Some(10.0), ..wasserstein }
            }
            Method::Sagan => Config { net: Net::Sagan, lr: 1e-4, lr_d: Some(4e-4), betas: Some([0.0, 0.9]), ..sngan },
        }
    }
}

/// The recipes as a table for `--help`.
pub fn recipes() -> String {
    let mut text = String::from("What each method does if nothing else is said:\n");
    for method in Method::value_variants() {
        let c = Config::recipe(*method);
        let mut words = vec![
            format!("--net {} --norm {} --loss {}", word(c.net), word(c.norm), word(c.loss)),
            format!("--optimizer {} --lr {:e}", word(c.optimizer), c.lr),
        ];
        words.extend(c.lr_d.map(|lr| format!("--lr-d {lr:e}")));
        words.extend(c.betas.map(|[a, b]| format!("--betas {a},{b}")));
        words.push(format!("--n-dis {}", c.n_dis));
        words.extend(c.clip.map(|clip| format!("--clip {clip} --warm-up true")));
        words.extend(c.gp_lambda.map(|lambda| format!("--gp-lambda {lambda}")));
        words.extend(c.sn_lambda.map(|lambda| format!("--sn-lambda {lambda}")));
        words.push(format!("--z-dim {} --steps {}", c.z_dim, c.steps));
        text += &format!("  {:<8} {}\n", word(*method), words.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_accepted_and_survives_its_file() {
        for &method in Method::value_variants() {
            let config = Config::recipe(method);
            config.check().unwrap();
            let text = toml::to_string_pretty(&config).unwrap();
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
            assert!(recipes().contains(&format!("\n  {:<8} --net {}", word(method), word(config.net))));
        }
    }

    #[test]
    fn the_recipes_are_those_of_the_papers() {
        let of = |method: Method| {
            let c = Config::recipe(method);
            (c.optimizer, c.lr, c.discriminator_lr(), c.betas, c.n_dis, c.loss)
        };
        use OptimizerName::{Adam, Rmsprop};
        assert_eq!(of(Method::Wgan), (Rmsprop, 5e-5, 5e-5, None, 5, Loss::Wasserstein));
        assert_eq!(of(Method::WganGp), (Adam, 1e-4, 1e-4, Some([0.0, 0.9]), 5, Loss::Wasserstein));
        assert_eq!(of(Method::Sagan), (Adam, 1e-4, 4e-4, Some([0.0, 0.9]), 1, Loss::Hinge));
        let (lr, betas, n_dis) = Setting::C.values();
        for (method, loss) in
            [(Method::Sngan, Loss::Hinge), (Method::SnReg, Loss::Hinge), (Method::Gan, Loss::Standard)]
        {
            assert_eq!(of(method), (Adam, lr, lr, Some(betas), n_dis, loss));
        }
        let wgan = Config::recipe(Method::Wgan);
        assert_eq!((wgan.clip, wgan.warm_up, wgan.z_dim, wgan.norm), (Some(0.01), true, 100, Norm::Batch));
        let gp = Config::recipe(Method::WganGp);
        assert_eq!((gp.gp_lambda, gp.warm_up, gp.norm), (Some(10.0), false, Norm::None));
    }
}
