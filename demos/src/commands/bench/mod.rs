//! `gan bench`: the speed of the training step and of its convolutions, and what their rounding does to training.

mod layers;
mod rounding;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use wengert::{Rng, Tensor};

use super::say;
use crate::config::{Config, Method};
use crate::data::ImageShape;
use crate::models;
use crate::train::Trainer;
use crate::usage::{Usage, peak_memory};

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Time one iteration on 32×32 colour images, SNGAN's or another method's: a discriminator update on real and
    /// generated images, a generator update with the discriminator frozen
    Step(Step),
    /// Time every convolution of Tables 1 and 2: forward, gradient of the input, gradient of the weight
    Layers(layers::Layers),
    /// Measure what the rounding of fast convolutions does to gradients and losses, beside that of exact ones, and of
    /// exact ones that add up in another order
    Rounding(rounding::Rounding),
}

/// How to measure the step.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Step {
    /// The method, by its recipe
    #[arg(long, value_enum, default_value_t = Method::Sngan)]
    method: Method,
    /// Channels of every layer as a multiple of the paper's
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Real, and generated, images in a step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Iterations to time, after three that warm up
    #[arg(long, default_value_t = 10, value_name = "K")]
    iters: usize,
    /// Print one line of JSON: [median, minimum, maximum] in ms, minor page faults per iteration, peak memory in MB
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures and prints.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Bench::Step(step) => step.run(),
            Bench::Layers(layers) => layers.run(),
            Bench::Rounding(rounding) => rounding.run(),
        }
    }
}

/// Milliseconds of each iteration: discriminator and generator step.
struct Times(Vec<[f64; 2]>);

impl Times {
    /// [median, minimum, maximum] of what `pick` makes of an iteration.
    fn summary(&self, pick: impl Fn(&[f64; 2]) -> f64) -> [f64; 3] {
        let mut sorted: Vec<f64> = self.0.iter().map(pick).collect();
        sorted.sort_by(f64::total_cmp);
        [sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1]].map(|ms| (ms * 10.0).round() / 10.0)
    }
}

impl Step {
    fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.iters), "--iters is {}; expected 1 to 10000", self.iters);
        let config = Config { width: self.width, batch: self.batch, ..Config::recipe(self.method) };
        config.check()?;
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        models::check_memory(&config, shape)?;
        let mut trainer = Trainer::<f32>::new(&config, shape);
        let mut rng = Rng::seed(1);
        let real: Tensor = rng.uniform([self.batch, 3, 32, 32], -1.0, 1.0).channels_last();
        let mut iteration = || {
            let start = Instant::now();
            trainer.discriminator_step(&real, rng.normal([config.batch, config.z_dim]));
            let middle = Instant::now();
            trainer.generator_step(rng.normal([config.batch, config.z_dim]));
            [(middle - start).as_secs_f64() * 1e3, middle.elapsed().as_secs_f64() * 1e3]
        };
        for _ in 0..3 {
            iteration();
        }
        let before = Usage::now();
        let times = Times((0..self.iters).map(|_| iteration()).collect());
        self.print(&times, &before, &Usage::now())
    }

    fn print(&self, times: &Times, before: &Usage, after: &Usage) -> Result<()> {
        let [whole, d, g] = [times.summary(|t| t[0] + t[1]), times.summary(|t| t[0]), times.summary(|t| t[1])];
        let n = self.iters as f64;
        let faults = (after.minor_faults - before.minor_faults) as f64 / n;
        let threads = rayon::current_num_threads();
        let rss = peak_memory() / 1_000_000;
        if !self.json {
            let (method, width, batch) = (self.method.flag(), self.width, self.batch);
            say(format_args!("{method} iteration, width {width}, batch {batch}, {threads} threads, ms:"));
            for (name, [median, minimum, maximum]) in [("iteration", whole), ("D step", d), ("G step", g)] {
                let times = format_args!("median {median:8.1}   minimum {minimum:8.1}   maximum {maximum:8.1}");
                say(format_args!("  {name:<10} {times}"));
            }
            say(format_args!("minor page faults per iteration {faults:.0}, peak memory {rss} MB"));
            return Ok(());
        }
        let rounded = |pick: fn(&[f64; 2]) -> f64| times.0.iter().map(|t| pick(t).round()).collect::<Vec<_>>();
        let thousandths = |seconds: f64| (seconds / n * 1e3).round() / 1e3;
        say(json!({
            "fw": concat!("wengert ", env!("CARGO_PKG_VERSION")),
            "cfg": {
                "method": self.method.flag(), "width": self.width, "batch": self.batch,
                "threads": threads, "level": wengert::Level::current().name(),
                "precision": wengert::Precision::current().name(),
            },
            "iter_ms": whole,
            "d_ms": d,
            "g_ms": g,
            "user_s_it": thousandths(after.user_seconds - before.user_seconds),
            "sys_s_it": thousandths(after.system_seconds - before.system_seconds),
            "minflt_it": faults.round(),
            "rss_mb": rss,
            "raw": rounded(|t| t[0] + t[1]),
            "rawd": rounded(|t| t[0]),
        }));
        Ok(())
    }
}
