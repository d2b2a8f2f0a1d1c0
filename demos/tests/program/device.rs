//! `--device`, `gan devices`, and devices that fail. What needs a device fails without one.

use super::bad_input::refuses;
use super::{command, output, succeed, tiny};

/// The commands that take `--device`, with the arguments that they cannot do without.
const COMMANDS: [&str; 7] =
    ["train sngan", "resume run", "sample run", "evaluate run", "inspect run", "bench step", "bench layers"];

#[test]
fn a_device_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        for (device, part) in
            [("gpu", "no such kind of device; expected cpu, opencl or opencl:INDEX"), ("opencl:x", "")]
        {
            refuses(dir.path(), &format!("{command} --device {device}"), &["--device", device, part]);
        }
    }
    refuses(dir.path(), "bench step --times", &["--times", "--device opencl"]);
}

#[test]
fn the_processor_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let default = succeed(dir.path(), &tiny("--steps 1 --out default"));
    let named = succeed(dir.path(), &tiny("--steps 1 --out named --device cpu"));
    for printed in [default, named] {
        assert!(printed.lines().next().unwrap().contains(", batch 4, cpu: "), "{printed}");
    }
    let files = |run: &str| std::fs::read(dir.path().join(run).join("checkpoint.safetensors")).unwrap();
    assert!(files("default") == files("named"));
}

/// `gan devices` must succeed and say why there is nothing but the processor.
#[track_caller]
fn lists_the_processor_alone(mut words: impl FnMut(&[&str]) -> std::process::Command, reason: &str) {
    let plain = output(words(&["devices"]));
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""));
    assert!(plain.stdout.starts_with("--device cpu "), "{}", plain.stdout);
    assert!(plain.stdout.contains(reason), "{reason}: {}", plain.stdout);
    let json: serde_json::Value = serde_json::from_str(&output(words(&["devices", "--json"])).stdout).unwrap();
    assert_eq!(json["opencl"], serde_json::json!([]));
    assert!(json["error"].as_str().unwrap().contains(reason), "{json}");
    assert!(json["cpu"]["threads"].as_u64().unwrap() > 0, "{json}");
}

#[cfg(not(feature = "opencl"))]
#[test]
fn a_program_without_opencl_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let reason = "built without the feature `opencl`";
    for command in COMMANDS {
        refuses(dir.path(), &format!("{command} --device opencl"), &["--device", "'opencl'", reason]);
    }
    lists_the_processor_alone(|args| command(dir.path(), args), reason);
    assert!(succeed(dir.path(), "devices").contains("cargo run --release --features opencl -- devices"));
}

#[cfg(feature = "opencl")]
mod with_opencl {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::{Output, edit, png_size};

    /// The losses of a run, a line for each step.
    fn losses(run: &Path) -> Vec<Vec<f64>> {
        let text = std::fs::read_to_string(run.join("losses.csv")).unwrap();
        let numbers = |line: &str| line.split(',').map(|number| number.parse().unwrap()).collect();
        text.lines().skip(1).map(numbers).collect()
    }

    #[track_caller]
    fn json(dir: &Path, args: &str) -> Value {
        let printed = succeed(dir, args);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args}: {error}: {printed}"))
    }

    #[test]
    fn a_machine_without_a_driver_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let without = |args: &[&str]| {
            let mut command = command(dir.path(), args);
            command.env("OCL_ICD_VENDORS", "/nowhere/");
            command
        };
        let reason = "this machine's OpenCL has no driver for any device";
        lists_the_processor_alone(without, reason);
        let failed = output(without(&["train", "sngan", "--device", "opencl"]));
        assert_ne!(failed.code, Some(0));
        assert!(failed.stderr.contains("--device") && failed.stderr.contains(reason), "{}", failed.stderr);
    }

    #[test]
    fn a_device_taken_for_what_there_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut devices = command(dir.path(), &["train", "sngan", "--device", "opencl"]);
        devices.env("WENGERT_OPENCL_AS", "gpu,tpu");
        let failed = output(devices);
        assert_ne!(failed.code, Some(0));
        assert!(failed.stderr.contains("WENGERT_OPENCL_AS=gpu,tpu: expected words of cpu, gpu"), "{}", failed.stderr);
    }

    #[test]
    fn a_device_beyond_the_last() {
        let dir = tempfile::tempdir().unwrap();
        refuses(dir.path(), "train sngan --device opencl:99", &["--device", "opencl:99: no such device; there are"]);
    }

    #[test]
    fn the_list_names_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let list = json(dir.path(), "devices --json");
        let first = &list["opencl"][0];
        assert!(first["name"].is_string(), "these tests need an OpenCL device, such as PoCL's: {list}");
        assert!(first["memory"].as_u64().unwrap() >= first["largest_piece"].as_u64().unwrap(), "{first}");
        let printed = succeed(dir.path(), "devices");
        for part in ["--device cpu ", "--device opencl:0  ", first["name"].as_str().unwrap(), "units", "f32"] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
    }

    /// A run that begins in one place and goes on in another, twice: it has the losses of a run that never moved.
    #[test]
    fn a_run_moves_between_devices() {
        let dir = tempfile::tempdir().unwrap();
        succeed(dir.path(), &tiny("--steps 6 --out still"));
        for (name, places) in [("there", ["opencl", "cpu", "opencl:0"]), ("back", ["cpu", "opencl:0", "cpu"])] {
            let begun = succeed(dir.path(), &tiny(&format!("--steps 2 --out {name} --device {}", places[0])));
            let place = if places[0] == "cpu" { ", batch 4, cpu: " } else { ", batch 4, opencl:0 (" };
            assert!(begun.lines().next().unwrap().contains(place), "{begun}");
            for (steps, place) in [(4, places[1]), (6, places[2])] {
                let config = dir.path().join(name).join("config.toml");
                edit(&config, &format!("steps = {}", steps - 2), &format!("steps = {steps}"));
                let printed = succeed(dir.path(), &format!("resume {name} --device {place}"));
                assert!(printed.contains(&format!("going on after step {} of {steps}", steps - 2)), "{printed}");
            }
            let (moved, still) = (losses(&dir.path().join(name)), losses(&dir.path().join("still")));
            assert_eq!(moved.len(), 6);
            for (moved, still) in moved.iter().flatten().zip(still.iter().flatten()) {
                assert!((moved - still).abs() <= 1e-3 * still.abs().max(1.0), "{name}: {moved} and {still}");
            }
        }
        // Without a word about it, it goes on where it was last.
        for (name, place) in [("there", ", batch 4, opencl:0 ("), ("back", ", batch 4, cpu: ")] {
            edit(&dir.path().join(name).join("config.toml"), "steps = 6", "steps = 7");
            let printed = succeed(dir.path(), &format!("resume {name}"));
            assert!(printed.contains(place), "{printed}");
        }
        let sample = |device: &str| {
            succeed(dir.path(), &format!("sample there --n 4 --device {device} --out {device}.png"));
            png_size(&dir.path().join(format!("{device}.png")))
        };
        assert_eq!(sample("opencl"), sample("cpu"));
    }

    #[test]
    fn bench_says_what_a_step_asks_of_the_device() {
        let dir = tempfile::tempdir().unwrap();
        let step = "bench step --width 0.03 --batch 4 --iters 2 --device opencl";
        let found = json(dir.path(), &format!("{step} --json --times"));
        assert_eq!(found["cfg"]["device"], "opencl:0");
        let number = |name: &str| found[name].as_f64().unwrap_or_else(|| panic!("no {name}: {found}"));
        assert_eq!((number("fallbacks"), number("waits")), (0.0, 1.0), "{found}");
        // A batch of 4×3×32×32 numbers, and twice as many times 128 of noise.
        let up = number("up");
        assert!((53248.0..56000.0).contains(&up) && number("down") == 16.0, "{found}");
        let times = found["times"].as_array().unwrap();
        let runs: f64 = times.iter().map(|kernel| kernel["runs"].as_f64().unwrap()).sum();
        // Their times are taken while the two losses and the means of two outputs are read apart: together, each of the
        // four is copied first.
        assert_eq!(number("kernels") - runs, 4.0, "{runs} runs: {found}");
        assert!(
            times.windows(2).all(|pair| pair[0]["ms"].as_f64() >= pair[1]["ms"].as_f64()),
            "longest first: {found}"
        );
        let printed = succeed(dir.path(), &format!("{step} --times"));
        for part in ["opencl:0 (", "left to the processor 0", "waits 1", "kernel of an iteration"] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
        let layers = succeed(dir.path(), "bench layers --batch 1 --iters 1 --device opencl --json");
        let lines: Vec<Value> = layers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() == 11 && lines.iter().all(|line| line["device"] == "opencl:0"), "{layers}");
    }

    /// The device whose memory PoCL can be told to limit, to 1 GiB in pieces of 256 MiB.
    fn limited(dir: &Path) -> Option<u64> {
        let mut devices = command(dir, &["devices", "--json"]);
        devices.env(LIMIT, "1");
        let list: Value = serde_json::from_str(&output(devices).stdout).unwrap();
        let mut list = list["opencl"].as_array().unwrap().iter();
        list.find(|device| device["largest_piece"].as_u64().unwrap() <= 1 << 28)?["index"].as_u64()
    }

    const LIMIT: &str = "POCL_MEMORY_LIMIT";

    #[test]
    fn memory_that_runs_out_costs_no_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let index = limited(dir.path()).expect("this test needs PoCL, whose memory it limits");
        // The noise of a step takes 288 MB in one piece, that of the pictures 15 MB; a whole step would take 0.9 GB,
        // which the device has.
        let args = tiny(&format!("--z-dim 60000 --batch 1200 --out run --device opencl:{index}"));
        let mut train = command(dir.path(), &args.split(' ').collect::<Vec<_>>());
        train.env(LIMIT, "1");
        let failed: Output = output(train);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.starts_with(&format!("error: opencl:{index} (")), "{}", failed.stderr);
        let advice = "run keeps step 0; to go on: gan resume run --device cpu";
        for part in ["memory exhausted: ", " in one piece, ", advice, "smaller --batch"] {
            assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
        }
        for noise in ["panicked", "Box<dyn Any>", "backtrace"] {
            assert!(!failed.stderr.contains(noise), "{}", failed.stderr);
        }
        assert!(succeed(dir.path(), "sample run --n 1").contains("step 0\n"));
    }
}
