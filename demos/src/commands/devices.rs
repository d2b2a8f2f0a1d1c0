//! Where commands compute: `--device`, `gan devices`.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use wengert::{Device, DeviceError, DeviceInfo, Level, Precision};

use super::say;
use crate::usage::{count, human_bytes};

/// The option `--device`.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where to compute: cpu, opencl for the first device that `gan devices` lists, or opencl:INDEX
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub(super) device: Device,
}

/// How to list devices.
#[derive(Debug, Args)]
pub struct Devices {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    /// Lists what is there.
    pub(super) fn run(self) -> Result<()> {
        let found = Device::list();
        if self.json {
            let none = found.as_ref().err().map(DeviceError::to_string);
            let opencl: Vec<_> = found.unwrap_or_default().iter().map(as_json).collect();
            let (threads, level) = (rayon::current_num_threads(), Level::current().name());
            say(json!({ "cpu": { "threads": threads, "level": level }, "opencl": opencl, "error": none }));
            return Ok(());
        }
        say(format_args!("--device cpu       {}", processor()));
        match found {
            Err(error) => say(format_args!("no other: {error}\n{}", how_to_get_one())),
            Ok(list) if list.is_empty() => say(format_args!("no other: OpenCL knows no device\n{}", how_to_get_one())),
            Ok(list) => {
                list.iter().for_each(print);
                say("\nAll methods of gan train run on each of them, in single precision (f32).");
                say("Double precision (f64) is for checks of gradients, where a device has it.");
            }
        }
        Ok(())
    }
}

fn how_to_get_one() -> &'static str {
    if cfg!(feature = "opencl") {
        "A GPU's OpenCL comes with its driver; PoCL (Debian: pocl-opencl-icd) makes a device of the processor."
    } else {
        "To use OpenCL devices: cargo run --release --features opencl -- devices"
    }
}

fn as_json(info: &DeviceInfo) -> serde_json::Value {
    json!({
        "index": info.index, "name": info.name, "vendor": info.vendor, "driver": info.driver,
        "memory": info.memory, "largest_piece": info.largest_piece,
        "units": info.units, "group_size": info.group_size, "f64": info.has_f64, "is_cpu": info.is_cpu,
    })
}

fn print(info: &DeviceInfo) {
    let DeviceInfo { index, name, vendor, driver, memory, largest_piece, units, .. } = info;
    let kind = if info.is_cpu { "processor" } else { "GPU or accelerator" };
    let scalars = if info.has_f64 { "f32 and f64" } else { "f32 only" };
    let units = count(u64::from(*units), "compute unit", "compute units");
    let [memory, piece] = [*memory, *largest_piece].map(human_bytes);
    say(format_args!("--device opencl:{index}  {name}, of {vendor}: {kind}, {units}, {scalars}"));
    say(format_args!("                   {memory} of memory, at most {piece} in one piece, driver {driver}"));
}

/// A device in a few words, for the first line of what a command prints.
pub(super) fn describe(device: &Device) -> String {
    match device.info() {
        Some(info) => format!("{device} ({})", info.name),
        None => format!("{device}: {}", processor()),
    }
}

fn processor() -> String {
    let (threads, level) = (rayon::current_num_threads(), Level::current().name());
    let threads = count(threads as u64, "thread", "threads");
    format!("{threads}, {level} kernels, {} convolutions", Precision::current().name())
}
