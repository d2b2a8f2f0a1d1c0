//! `gan bench rounding`: whether training notices the rounding of fast convolutions.
//!
//! Fast and exact convolutions in f32 are compared with f64, and with exact ones that add up in another order: with
//! every batch reversed, which nobody would call an error, and if asked for at the lower levels of this machine.

mod measure;
mod ways;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wengert::{Device, Level};

use crate::commands::progress::counting;
use crate::commands::say;
use crate::commands::sets::open_data;
use crate::config::{Config, Method, Net};
use crate::data::{DataName, Dataset};
use crate::table::table;
use crate::train::check_memory;
use crate::usage::count;
use measure::Measurement;
use ways::{Errors, Way};

/// What to measure, and where.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Rounding {
    /// The method, by its recipe
    #[arg(long, value_enum, default_value_t = Method::Sngan)]
    method: Method,
    /// The layers of both nets [default: by method]
    #[arg(long, value_enum)]
    net: Option<Net>,
    /// The images to learn
    #[arg(long, value_enum, default_value_t = DataName::Digits)]
    data: DataName,
    /// The directory of the images' files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Channels of every layer as a multiple of the paper's
    #[arg(long, default_value_t = 0.25)]
    width: f64,
    /// Real, and generated, images in a step
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Updates of the generator in the run that is looked at
    #[arg(long, default_value_t = 400)]
    steps: u64,
    /// States of that run, evenly spread, whose gradients are compared
    #[arg(long, default_value_t = 20, value_name = "N")]
    states: u64,
    /// How many of the states to go on from in every way, to see how far the losses part
    #[arg(long, default_value_t = 4, value_name = "N")]
    runs: u64,
    /// How many steps to go on
    #[arg(long, default_value_t = 100, value_name = "STEPS")]
    follow: u64,
    /// Compare with the lower levels of this machine, too; one of them is the plain loops, which take very long
    #[arg(long)]
    lower: bool,
    /// Determines weights, noise, and the order of the images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one line of JSON: [median, maximum] of each error
    #[arg(long)]
    json: bool,
}

/// The last steps of the windows of steps for which spreads are told; the last window ends with the run.
const ENDS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/// What was found.
struct Findings {
    /// The first is the reference, in f64.
    ways: Vec<Way>,
    /// In each of the states, for each way but the reference.
    errors: Vec<Vec<Errors>>,
    /// In each of the runs, for each way, the losses of each step.
    losses: Vec<Vec<Vec<[f64; 2]>>>,
    /// The last steps of the windows.
    ends: Vec<usize>,
}

/// [median, maximum].
fn summary(values: impl IntoIterator<Item = f64>) -> [f64; 2] {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.last().map_or([f64::NAN; 2], |&last| [sorted[sorted.len() / 2], last])
}

impl Rounding {
    pub(super) fn run(self) -> Result<()> {
        let Rounding { states, runs, follow, steps, .. } = self;
        ensure!((1..=1000).contains(&states), "--states is {states}; expected 1 to 1000");
        ensure!(runs <= states, "--runs is {runs}; expected 0 to {states}, that of --states");
        ensure!(steps >= states, "--steps is {steps}; expected at least {states}, that of --states");
        ensure!((1..=10_000).contains(&follow), "--follow is {follow}; expected 1 to 10000");
        ensure!(Level::current() > Level::Scalar, "WENGERT_CPU is scalar, where all convolutions are exact");
        let config = self.config()?;
        let data: Arc<dyn Dataset> = Arc::from(open_data(&config)?);
        check_memory(&config, data.shape(), data.classes(), &Device::host())?;
        let ways = Way::all(self.lower);
        let n = ways.len() as u64;
        let bar = counting("step", steps + states * n + runs * follow * n);
        let measurement = Measurement { config: &config, data: &data, ways: &ways, bar: &bar };
        let states = measurement.states(states)?;
        let errors = states.iter().map(|state| measurement.errors(state)).collect::<Result<_>>()?;
        let last = |k: u64| &states[states.len() * k as usize / runs as usize - 1];
        let losses = (1..=runs).map(|k| measurement.losses(last(k), follow)).collect::<Result<_>>()?;
        bar.finish_and_clear();
        let follow = follow as usize;
        let ends = ENDS.into_iter().filter(|&end| end < follow).chain([follow]).collect();
        let findings = Findings { ways, errors, losses, ends };
        if self.json {
            say(self.json(&findings));
        } else {
            self.print(data.name(), &findings);
        }
        Ok(())
    }

    fn config(&self) -> Result<Config> {
        let recipe = Config::recipe(self.method);
        let config = Config {
            net: self.net.unwrap_or(recipe.net),
            data: self.data,
            data_dir: self.data_dir.clone(),
            width: self.width,
            batch: self.batch,
            steps: self.steps,
            seed: self.seed,
            ..recipe
        };
        config.check()?;
        // Its random mixtures of images would not be the same numbers in f64.
        let method = self.method.flag();
        ensure!(config.gp_lambda.is_none(), "--method {method} has a gradient penalty; expected a method without one");
        Ok(config)
    }

    fn print(&self, data: &str, findings: &Findings) {
        let Rounding { width, batch, steps, states, runs, seed, .. } = self;
        let method = self.method.flag();
        let (level, steps) = (Level::current().name(), count(*steps, "step", "steps"));
        say(format_args!("{method} on {data}, width {width}, batch {batch}, {steps}, seed {seed}, {level}\n"));
        say(format_args!(
            "relative errors of the gradients at {states} states, and the share of activations whose sign"
        ));
        say("differs in front of the discriminator's ReLUs; all against f64:");
        say(findings.errors_table());
        if *runs > 0 {
            say(format_args!(
                "|difference of losses|, going on from {runs} of the states, median and maximum up to a step:"
            ));
            say(findings.spreads_table());
        }
    }

    fn json(&self, findings: &Findings) -> Value {
        let names = findings.ways[1..].iter().map(|way| &way.name);
        let gradients = names.enumerate().map(|(way, name)| {
            let net = |net| json!({ "whole": findings.whole(way, net), "worst": findings.worst(way, net).0 });
            let signs = findings.signs(way);
            json!({ "way": name, "discriminator": net(0), "generator": net(1), "signs": signs })
        });
        let spreads = findings.pairs().into_iter().map(|[one, other]| {
            let names = [one, other].map(|way| &findings.ways[way].name);
            json!({ "between": names, "losses": findings.spreads([one, other]) })
        });
        json!({
            "cfg": {
                "method": self.method.flag(), "width": self.width, "batch": self.batch, "steps": self.steps,
                "states": self.states, "runs": self.runs, "follow": self.follow, "seed": self.seed,
                "level": Level::current().name(),
            },
            "gradients": gradients.collect::<Vec<_>>(),
            "to_step": findings.ends,
            "spreads": spreads.collect::<Vec<_>>(),
        })
    }
}

impl Findings {
    /// The error of a whole gradient of a net; ways count without the reference.
    fn whole(&self, way: usize, net: usize) -> [f64; 2] {
        summary(self.errors.iter().map(|ways| ways[way].nets[net].whole))
    }

    /// The error of the parameter that is worst off, and the name of the worst of all.
    fn worst(&self, way: usize, net: usize) -> ([f64; 2], &str) {
        let all = || self.errors.iter().map(|ways| &ways[way].nets[net].worst);
        let name = all().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |(_, name)| name);
        (summary(all().map(|(error, _)| *error)), name)
    }

    /// The share of other signs.
    fn signs(&self, way: usize) -> [f64; 2] {
        summary(self.errors.iter().map(|ways| ways[way].signs))
    }

    /// Every two ways.
    fn pairs(&self) -> Vec<[usize; 2]> {
        let n = self.ways.len();
        (0..n).flat_map(|one| (one + 1..n).map(move |other| [one, other])).collect()
    }

    /// What the losses of two ways, the discriminator's and the generator's, differ by in each window.
    fn spreads(&self, [one, other]: [usize; 2]) -> Vec<[f64; 2]> {
        let in_window = |(i, &end): (usize, &usize)| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] };
            let steps = self.losses.iter().flat_map(|ways| ways[one][start..end].iter().zip(&ways[other][start..end]));
            summary(steps.flat_map(|(one, other)| [0, 1].map(|net| (one[net] - other[net]).abs())))
        };
        self.ends.iter().enumerate().map(in_window).collect()
    }

    fn errors_table(&self) -> String {
        let row = |(net, way): (usize, usize)| {
            let ([worst, worst_of_all], parameter) = self.worst(way, net);
            let mut row = vec![["discriminator", "generator"][net].to_string(), self.ways[1 + way].name.clone()];
            row.extend(self.whole(way, net).into_iter().chain([worst, worst_of_all]).map(scientific));
            row.push(parameter.replace(".parametrizations.weight.original", ".weight"));
            // The signs are those of the discriminator's activations.
            row.extend(self.signs(way).map(|x| if net == 0 { scientific(x) } else { String::new() }));
            row
        };
        let all = [0, 1].into_iter().flat_map(|net| (0..self.ways.len() - 1).map(move |way| (net, way)));
        let rows: Vec<Vec<String>> = all.map(row).collect();
        let header = ["gradient", "way", "median", "maximum", "worst: median", "maximum", "whose", "signs", "maximum"];
        table(&header, &rows)
    }

    fn spreads_table(&self) -> String {
        let ends: Vec<String> = self.ends.iter().map(usize::to_string).collect();
        let header: Vec<&str> = ["between"].into_iter().chain(ends.iter().map(String::as_str)).collect();
        let row = |pair: [usize; 2]| {
            let [one, other] = pair.map(|way| &self.ways[way].name);
            let cells = self.spreads(pair).into_iter().map(|of| of.map(scientific).join(" "));
            [format!("{one}, {other}")].into_iter().chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = self.pairs().into_iter().map(row).collect();
        table(&header, &rows)
    }
}

/// A number to two digits; what is not known is a dash.
fn scientific(x: f64) -> String {
    if x.is_nan() { "-".into() } else { format!("{x:.1e}") }
}
