//! The command line.

mod bench;
mod checkpoint;
mod compare;
mod data;
mod devices;
mod evaluate;
mod evaluator;
mod export;
mod info;
mod inspect;
mod live;
mod progress;
mod report;
mod sample;
mod sets;
mod stacked;
mod theory;
mod toy;
mod train;

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Parser, Subcommand};

use crate::files::printable;
use crate::interrupt;

/// Trains generative adversarial networks on a CPU or an OpenCL device with the autodiff engine wengert.
///
/// Start with `gan train sngan`: it needs no data, takes about three minutes on two cores, and writes pictures of the
/// digits that it learns to draw into a new directory under runs/.
#[derive(Debug, Parser)]
#[command(name = "gan", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Threads to use [default: one for each core]; the results do not depend on it
    #[arg(long, global = true, value_name = "N", display_order = 100)]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a GAN and write pictures, curves and checkpoints into a run directory
    Train(Box<train::Train>),
    /// Continue a run that was interrupted, or train one further
    Resume(train::Resume),
    /// Draw images with the generator of a run
    Sample(sample::Sample),
    /// Write the generator of a run for other programs: safetensors, and a script for PyTorch
    Export(export::Export),
    /// Download a data set, or look at one
    #[command(subcommand)]
    Data(data::Data),
    /// Measure how good the images of a run are, next to what real images score
    Evaluate(evaluate::Evaluate),
    /// List the layers of both nets, of a method or a run: shapes, parameters, multiply-adds
    Info(info::Info),
    /// Inspect the nets of a run: singular values, spectral norms, and how steep the discriminator is
    Inspect(inspect::Inspect),
    /// Write the page about a run, report.html in its directory, again
    Report(report::Report),
    /// Put runs beside each other on one page: curves, samples, figures, and the settings that differ
    Compare(compare::Compare),
    /// Show a running or finished run in a browser of this machine
    Live(live::Live),
    /// Train a GAN in the plane, where modes can be counted and everything can be seen
    Toy(toy::ToyRun),
    /// Measure a piece of theory and draw it
    #[command(subcommand)]
    Theory(theory::Theory),
    /// List the devices that --device can name
    Devices(devices::Devices),
    /// Measure the speed of this machine on the training step, and the rounding of its convolutions
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// The first reason why standard output could not be written.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line to standard output. If that fails, the work goes on, and [`Cli::run`] tells at the end. A reader who
/// has gone (`gan train … | head`) is no failure.
fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(LOST.set(error)),
        _ => {}
    }
}

/// Prints a line that is no result: to standard error, so that `--json` stays one line of JSON.
fn warn(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// The most threads for each core: small steps take 1.5 times as long with 32, and 60 times with 500.
const MOST_PER_CORE: usize = 16;

/// The most threads on this machine.
fn most_threads() -> usize {
    MOST_PER_CORE * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Refuses numbers of threads that rayon would take from the environment, or ignore in silence. A thread outside our
/// pool that shares out work starts a pool of so many, whatever --threads says.
fn check_environment() -> Result<()> {
    let most = most_threads();
    for name in ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"] {
        let Some(found) = std::env::var_os(name) else { continue };
        let number = found.to_str().and_then(|text| text.parse::<usize>().ok());
        let fits = number.is_some_and(|number| number <= most);
        ensure!(fits, "{name} is {found:?}; expected 1 to {most}, or 0 for a thread for each core");
    }
    Ok(())
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Any input that cannot be used, in words for the person who gave it.
    pub fn run(self) -> Result<()> {
        wengert::Level::detect().map_err(|message| anyhow!(message))?;
        wengert::Precision::detect().map_err(|message| anyhow!(message))?;
        let threads = self.threads.unwrap_or(0); // 0 lets rayon look at the environment, and count the cores
        let most = most_threads();
        let fits = self.threads != Some(0) && threads <= most;
        ensure!(fits, "--threads is {threads}; expected 1 to {most}, {MOST_PER_CORE} for each core");
        check_environment()?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start threads")?;
        // Training runs on a thread of the pool, so that handing work to the pool needs no switch between threads.
        let run = || match self.command {
            Command::Train(command) => command.run(),
            Command::Resume(command) => command.run(),
            Command::Sample(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Data(command) => command.run(),
            Command::Evaluate(command) => command.run(),
            Command::Info(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Live(command) => command.run(),
            Command::Toy(command) => command.run(),
            Command::Theory(command) => command.run(),
            Command::Devices(command) => command.run(),
            Command::Bench(command) => command.run(),
        };
        interrupt::listen()?;
        pool.install(|| wengert::DeviceError::catch(run))??;
        match LOST.get() {
            Some(error) => bail!("cannot write to standard output: {error}; what was printed is incomplete"),
            None => Ok(()),
        }
    }
}
