//! `gan bench step`: the training step, on the processor or on a device.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wengert::{Counts, KernelTime, Rng, Tensor};

use crate::commands::devices::{Place, describe};
use crate::commands::say;
use crate::config::{Config, Method};
use crate::data::ImageShape;
use crate::train::{Trainer, check_memory};
use crate::usage::{Usage, human_bytes, peak_memory};

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
    /// Print one line of JSON: [median, minimum, maximum] in ms, minor page faults per iteration, peak memory in MB;
    /// and what an iteration asks of a device: kernels, computations left to the processor (fallbacks), bytes up and
    /// down, waits
    #[arg(long)]
    json: bool,
    /// Print the time of each kernel too, by the clock of the device, the longest first
    #[arg(long)]
    times: bool,
    #[command(flatten)]
    place: Place,
}

const IMAGE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

impl Step {
    /// Measures and prints.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.iters), "--iters is {}; expected 1 to 10000", self.iters);
        let device = &self.place.device;
        ensure!(
            !(self.times && device.is_host()),
            "--times: only a device measures its kernels; expected --device opencl"
        );
        // An iteration is one update of each net, whatever the recipe says.
        let recipe = Config { n_dis: 1, warm_up: false, ..Config::recipe(self.method) };
        let config = Config { width: self.width, batch: self.batch, ..recipe };
        config.check()?;
        check_memory(&config, IMAGE, 0, device)?;
        let mut trainer = Trainer::new(&config, IMAGE);
        trainer.to(device)?;
        let found = self.measure(&mut Subject::new(trainer, &config))?;
        match self.json {
            true => say(self.as_json(&found)),
            false => self.print(&found),
        }
        Ok(())
    }

    /// On the processor an iteration takes as long as its two parts. The host would have to wait for a device between
    /// them, which training does not: there, whole iterations are measured first, as training makes them, then parts.
    fn measure(&self, subject: &mut Subject) -> Result<Found> {
        let (device, iters) = (&self.place.device, self.iters);
        if device.is_host() {
            (0..3).for_each(|_| _ = subject.parts());
            let before = Usage::now();
            let parts: Vec<[f64; 2]> = (0..iters).map(|_| subject.parts()).collect();
            let whole = parts.iter().map(|[d, g]| d + g).collect();
            let usage = [before, Usage::now()];
            return Ok(Found { whole, parts, usage, counts: Counts::default(), kernels: Vec::new() });
        }
        (0..3).for_each(|_| _ = subject.whole());
        let (before, counts) = (Usage::now(), device.counts());
        let whole = (0..iters).map(|_| subject.whole()).collect();
        let (usage, counts) = ([before, Usage::now()], device.counts() - counts);
        if self.times {
            device.measure();
        }
        let parts = (0..iters).map(|_| subject.parts()).collect();
        let kernels = device.times()?;
        Ok(Found { whole, parts, usage, counts, kernels })
    }

    fn print(&self, found: &Found) {
        let (method, width, batch) = (self.method.flag(), self.width, self.batch);
        let device = describe(&self.place.device);
        say(format_args!("{method} iteration, width {width}, batch {batch}, {device}, ms:"));
        for (name, times) in [("iteration", found.whole.clone()), ("D step", found.part(0)), ("G step", found.part(1))]
        {
            let [median, minimum, maximum] = summary(&times);
            say(format_args!("  {name:<10} median {median:8.1}   minimum {minimum:8.1}   maximum {maximum:8.1}"));
        }
        let n = self.iters as f64;
        let faults = found.difference(|usage| usage.minor_faults as f64) / n;
        let memory = peak_memory() / 1_000_000;
        say(format_args!("minor page faults per iteration {faults:.0}, peak memory {memory} MB"));
        if self.place.device.is_host() {
            return;
        }
        let Counts { kernels, fallbacks, up, down, waits, .. } = found.counts;
        let each = |count: u64| count as f64 / n;
        let [kernels, fallbacks, down, waits] = [kernels, fallbacks, down, waits].map(each);
        let up = human_bytes(up / self.iters as u64);
        say(format_args!(
            "per iteration: kernels {kernels}, left to the processor {fallbacks}, {up} up, {down} bytes down, \
             waits {waits}"
        ));
        if self.times {
            print_kernels(&found.kernels, n);
        }
    }

    fn as_json(&self, found: &Found) -> Value {
        let Counts { kernels, fallbacks, up, down, waits, .. } = found.counts;
        let n = self.iters as f64;
        let rounded = |times: &[f64]| times.iter().map(|ms| ms.round()).collect::<Vec<_>>();
        let thousandths = |seconds: f64| (seconds / n * 1e3).round() / 1e3;
        let mut all = json!({
            "fw": concat!("wengert ", env!("CARGO_PKG_VERSION")),
            "cfg": {
                "method": self.method.flag(), "width": self.width, "batch": self.batch,
                "threads": rayon::current_num_threads(), "level": wengert::Level::current().name(),
                "precision": wengert::Precision::current().name(), "device": self.place.device.to_string(),
            },
            "iter_ms": summary(&found.whole),
            "d_ms": summary(&found.part(0)),
            "g_ms": summary(&found.part(1)),
            "user_s_it": thousandths(found.difference(|usage| usage.user_seconds)),
            "sys_s_it": thousandths(found.difference(|usage| usage.system_seconds)),
            "minflt_it": (found.difference(|usage| usage.minor_faults as f64) / n).round(),
            "rss_mb": peak_memory() / 1_000_000,
            "raw": rounded(&found.whole),
            "rawd": rounded(&found.part(0)),
        });
        if let Some(info) = self.place.device.info() {
            all["cfg"]["name"] = json!(info.name);
            let counts = [("kernels", kernels), ("fallbacks", fallbacks), ("up", up), ("down", down), ("waits", waits)];
            counts.into_iter().for_each(|(name, count)| all[name] = json!(count as f64 / n));
        }
        if self.times {
            let time = |kernel: &KernelTime| {
                let KernelTime { kernel, time, runs, .. } = kernel;
                json!({ "kernel": kernel, "ms": time.as_secs_f64() * 1e3 / n, "runs": *runs as f64 / n })
            };
            all["times"] = found.kernels.iter().map(time).collect();
        }
        all
    }
}

/// What is measured: a trainer, and a batch of real images, which it is shown again and again.
struct Subject {
    trainer: Trainer<f32>,
    real: Tensor,
    z: [usize; 2],
    rng: Rng,
}

impl Subject {
    fn new(trainer: Trainer<f32>, config: &Config) -> Subject {
        let mut rng = Rng::seed(1);
        let real = rng.uniform([config.batch, IMAGE.channels, IMAGE.height, IMAGE.width], -1.0, 1.0);
        Subject { trainer, real: real.channels_last(), z: [config.batch, config.z_dim], rng }
    }

    /// Milliseconds of an iteration as training makes it.
    fn whole(&mut self) -> f64 {
        milliseconds(|| _ = self.trainer.train_step(|_| &self.real))
    }

    /// Milliseconds of an update of the discriminator, and of one of the generator.
    fn parts(&mut self) -> [f64; 2] {
        let Subject { trainer, real, z, rng } = self;
        let d = milliseconds(|| _ = trainer.discriminator_step(&*real, rng.normal(*z)));
        [d, milliseconds(|| _ = trainer.generator_step(rng.normal(*z)))]
    }
}

/// Milliseconds that `work` takes.
fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

/// [median, minimum, maximum], in tenths.
fn summary(times: &[f64]) -> [f64; 3] {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    [sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1]].map(|ms| (ms * 10.0).round() / 10.0)
}

/// What was measured.
struct Found {
    /// Milliseconds of each iteration.
    whole: Vec<f64>,
    /// Milliseconds of the update of the discriminator, and of that of the generator.
    parts: Vec<[f64; 2]>,
    /// Before the iterations and after them.
    usage: [Usage; 2],
    /// What all iterations together asked of the device.
    counts: Counts,
    /// The kernels of all iterations.
    kernels: Vec<KernelTime>,
}

impl Found {
    fn part(&self, part: usize) -> Vec<f64> {
        self.parts.iter().map(|times| times[part]).collect()
    }

    /// What a counter of the process has gone up by.
    fn difference(&self, counter: impl Fn(&Usage) -> f64) -> f64 {
        let [before, after] = &self.usage;
        counter(after) - counter(before)
    }
}

/// The kernels of an iteration, those that take longest first.
fn print_kernels(kernels: &[KernelTime], iters: f64) {
    let ms = |kernel: &KernelTime| kernel.time.as_secs_f64() * 1e3 / iters;
    let all: f64 = kernels.iter().map(ms).sum();
    say(format_args!("\n{:>9}  {:>5}  {:>8}  kernel of an iteration", "ms", "%", "runs"));
    for kernel in kernels {
        let (time, runs) = (ms(kernel), kernel.runs as f64 / iters);
        say(format_args!("{time:9.3}  {:5.1}  {runs:8.1}  {}", time / all * 100.0, kernel.kernel));
    }
    say(format_args!("{all:9.3}  {:5.1}  {:8}  all", 100.0, ""));
}
