//! The recipes of the papers, and of their authors' code where it says more.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Config, FORMAT, InitialWeights, Loss, Method, Net, Norm, OptimizerName};
use crate::data::DataName;
use crate::usage::word;

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
        test_half: false,
        dequantise: false,
        flip: false,
        net: Net::Standard,
        norm: Norm::Spectral,
        init: InitialWeights::Usual,
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
        lr_decay: None,
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

    /// What `gan train METHOD` does if nothing else is said, the quick default: minutes, for a quarter of the channels.
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

impl Config {
    /// What `gan train METHOD --paper` does, with these nets if some are asked for: the paper's recipe, or, where the
    /// paper says nothing, that of its authors' code. notes/recipes.md has the source of each value.
    pub fn paper(method: Method, net: Option<Net>) -> Config {
        let quick = Config::recipe(method);
        let full = Config { width: 1.0, init: InitialWeights::Paper, steps: 100_000, ..quick };
        match method {
            Method::Sngan if net == Some(Net::Resnet) => Config {
                net: Net::Resnet,
                steps: 50_000,
                n_dis: 5,
                betas: Some([0.0, 0.9]),
                lr_decay: Some(0.0),
                ..full
            },
            Method::Gan | Method::Sngan | Method::SnReg => Config { loss: Loss::Standard, ..full },
            Method::Wgan => full,
            Method::WganGp => Config { steps: 200_000, ..full },
            Method::Sagan => Config { net: Net::Resnet, batch: 256, steps: 1_000_000, ..full },
        }
    }

    /// Whether this trains by the recipe of the paper, whatever was said to get there.
    pub fn is_paper(&self) -> bool {
        let paper = Config::paper(self.method, Some(self.net));
        let besides = |config: &Config| (config.ema, config.dequantise, config.flip, config.init_from.clone());
        self.words() == paper.words() && besides(self) == besides(&paper)
    }

    /// The flags that say how this trains.
    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--net {}", word(self.net)),
            format!("--norm {}", word(self.norm)),
            format!("--init {}", word(self.init)),
            format!("--width {}", self.width),
            format!("--loss {}", word(self.loss)),
            format!("--optimizer {}", word(self.optimizer)),
            format!("--lr {:e}", self.lr),
        ];
        words.extend(self.lr_d.map(|lr| format!("--lr-d {lr:e}")));
        words.extend(self.lr_decay.map(|share| format!("--lr-decay {share}")));
        words.extend(self.betas.map(|[a, b]| format!("--betas {a},{b}")));
        words.push(format!("--n-dis {}", self.n_dis));
        words.extend(self.clip.map(|clip| format!("--clip {clip}")));
        words.extend(self.warm_up.then(|| "--warm-up true".into()));
        words.extend(self.gp_lambda.map(|lambda| format!("--gp-lambda {lambda}")));
        words.extend(self.sn_lambda.map(|lambda| format!("--sn-lambda {lambda}")));
        words.extend([
            format!("--z-dim {}", self.z_dim),
            format!("--batch {}", self.batch),
            format!("--steps {}", self.steps),
        ]);
        words
    }
}

/// The recipes as a table for `--help`.
pub fn recipes() -> String {
    let mut text = String::from("What each method does if nothing else is said, and what --paper changes:\n");
    for &method in Method::value_variants() {
        let quick = Config::recipe(method).words();
        text += &format!("  {:<8} {}\n", word(method), quick.join(" "));
        let paper = Config::paper(method, None).words();
        let changed: Vec<String> = paper.into_iter().filter(|flag| !quick.contains(flag)).collect();
        text += &format!("           --paper: {}\n", changed.join(" "));
    }
    text += "With sngan --paper --net resnet, the recipe of the authors' residual nets. notes/recipes.md has the \
             sources.\n";
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
            // Also as settings for another run.
            let other = Config { warm_up: false, ..config };
            let settings: super::super::Settings = toml::from_str(&toml::to_string(&other).unwrap()).unwrap();
            assert!(!settings.over(&Default::default()).unwrap().warm_up);
        }
    }

    #[test]
    fn the_papers_recipes_are_accepted_and_survive_their_files() {
        for &method in Method::value_variants() {
            for net in [None, Some(Net::Resnet)] {
                let config = Config::paper(method, net);
                config.check().unwrap();
                let text = toml::to_string_pretty(&config).unwrap();
                assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
                assert_eq!((config.width, config.init), (1.0, InitialWeights::Paper));
                assert!(Config { seed: 3, data: DataName::Shapes, ..config.clone() }.is_paper());
                assert!(!Config { flip: true, ..config.clone() }.is_paper());
                assert!(!Config { ema: Some(0.999), ..config.clone() }.is_paper());
                assert!(!Config { batch: 65, ..config }.is_paper() && !Config::recipe(method).is_paper());
            }
        }
        let of = |method: Method, net: Option<Net>| {
            let c = Config::paper(method, net);
            (c.net, c.loss, c.steps, c.batch, c.n_dis, c.betas, c.lr_decay)
        };
        let (standard, c) = (Net::Standard, Some([0.5, 0.999]));
        assert_eq!(of(Method::Sngan, None), (standard, Loss::Standard, 100_000, 64, 1, c, None));
        let resnet = (Net::Resnet, Loss::Hinge, 50_000, 64, 5, Some([0.0, 0.9]), Some(0.0));
        assert_eq!(of(Method::Sngan, Some(Net::Resnet)), resnet);
        let sagan = (Net::Resnet, Loss::Hinge, 1_000_000, 256, 1, Some([0.0, 0.9]), None);
        assert_eq!(of(Method::Sagan, None), sagan);
        let wgan = (Net::Dcgan, Loss::Wasserstein, 100_000, 64, 5, None, None);
        assert_eq!(of(Method::Wgan, None), wgan);
        assert!(Config::paper(Method::Wgan, None).warm_up);
        let text = recipes();
        for line in [
            "--paper: --init paper --width 1 --loss standard --steps 100000\n",
            "--width 1 --batch 256 --steps 1000000\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn learning_rates_fall_on_a_line_to_zero_at_the_last_step() {
        let config = Config { steps: 10, lr_decay: Some(0.6), ..Config::DEFAULT };
        let found: Vec<f64> = (0..10).map(|t| config.lr_factor(t)).collect();
        assert_eq!(found, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(Config { lr_decay: Some(1.0), ..config.clone() }.lr_factor(9), 1.0);
        assert_eq!(Config { lr_decay: None, ..config.clone() }.lr_factor(9), 1.0);
        // How long the run is decides about each step, so it cannot change.
        let longer = Config { steps: 11, ..config.clone() };
        let error = config.allows(&longer).unwrap_err().to_string();
        assert!(
            error.starts_with("steps is 11 in config.toml, expected 10") && !error.contains("only steps"),
            "{error}"
        );
        Config::DEFAULT.allows(&Config { steps: 11, ..Config::DEFAULT }).unwrap();
    }

    /// A `config.toml` of the version before --init and --lr-decay.
    #[test]
    fn a_file_without_the_newer_fields_has_their_defaults() {
        let text = toml::to_string_pretty(&Config::DEFAULT).unwrap();
        assert!(!["init", "lr_decay", "dequantise", "flip"].iter().any(|name| text.contains(name)), "{text}");
        assert_eq!(Config::from_text(&text).unwrap(), Config::DEFAULT);
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
