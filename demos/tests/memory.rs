//! Memory: no step leaves a tensor behind, and what a run needs is known before it begins. A program of its own, since
//! the count of buffers is that of the whole process.

use std::path::Path;
use std::process::Command;

use wengert::{HostMemory, Rng};
use wengert_demos::config::{Config, Method};
use wengert_demos::data::ImageShape;
use wengert_demos::train::Trainer;
use wengert_demos::usage::resident_memory;

const METHODS: [Method; 6] = [Method::Gan, Method::Wgan, Method::WganGp, Method::Sngan, Method::SnReg, Method::Sagan];

/// Trains the smallest net of a method.
fn train(trainer: &mut Trainer<f32>, steps: u64) {
    for _ in 0..steps {
        trainer.train_step(|n| Rng::seed(n).uniform::<f32>([2, 1, 8, 8], -1.0, 1.0));
    }
}

fn smallest(method: Method) -> Trainer<f32> {
    let config = Config { width: 0.02, batch: 2, z_dim: 4, warm_up: false, ..Config::recipe(method) };
    Trainer::new(&config, ImageShape { channels: 1, height: 8, width: 8 })
}

// One test after the other: they share what they measure.
#[test]
fn a_step_leaves_nothing_behind_and_needs_are_known() {
    no_step_leaves_a_buffer_behind();
    needs_are_known_before(&[
        ("sngan", "--width 0.25"),
        ("wgan-gp", "--width 0.25 --batch 32"),
        ("sagan", "--width 0.2"),
    ]);
}

fn no_step_leaves_a_buffer_behind() {
    for method in METHODS {
        let mut trainer = smallest(method);
        train(&mut trainer, 2); // the first makes the optimisers' state
        let HostMemory { buffers, used, .. } = HostMemory::now();
        for _ in 0..5 {
            train(&mut trainer, 1);
            let now = HostMemory::now();
            assert_eq!((now.buffers, now.used), (buffers, used), "{method:?}");
        }
    }
}

/// Runs of a few steps, and what they say of their memory before and after: within 15 %.
fn needs_are_known_before(runs: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    for (method, flags) in runs {
        let args = format!("train {method} {flags} --steps 3 --sample-every 2 --checkpoint-every 2");
        let mut gan = Command::new(env!("CARGO_BIN_EXE_gan"));
        let output = gan.current_dir(dir.path()).args(args.split(' ')).output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let [expected, found] = ["; about ", ", with "].map(|before| bytes(&said, before));
        println!("{args}: expected {expected:.0}, found {found:.0}, ratio {:.3}", expected / found);
        assert!((0.85..1.15).contains(&(expected / found)), "{args}: {said}");
    }
}

/// The number of bytes that follows some words: "35 MB", "1.2 GB".
fn bytes(text: &str, before: &str) -> f64 {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    let mut words = rest.split_whitespace();
    let number: f64 = words.next().unwrap().parse().unwrap();
    number * if words.next() == Some("GB") { 1e9 } else { 1e6 }
}

/// Every method, net and size; some minutes in a release build.
#[test]
#[ignore = "takes minutes: .ci/long runs it"]
fn needs_of_every_method_net_and_size_are_known() {
    let mut runs = Vec::new();
    for method in ["gan", "wgan", "wgan-gp", "sngan", "sn-reg", "sagan"] {
        for size in [32, 64, 128] {
            for net in ["standard", "dcgan"] {
                if method == "sagan" && net == "standard" {
                    continue;
                }
                let net = if method == "sagan" { "sagan" } else { net };
                for (width, batch) in [(0.05, 16), (0.25, 64), (0.5, 32)] {
                    let batch = batch * 32 * 32 / (size * size) + 4;
                    let flags = format!("--data shapes --size {size} --net {net} --width {width} --batch {batch}");
                    // The warm-up has a hundred times as many updates, and each takes the same memory.
                    runs.push((method, flags + if method == "wgan" { " --warm-up false" } else { "" }));
                }
            }
        }
    }
    for method in ["sngan", "sagan"] {
        for size in [32, 48, 64] {
            let flags = format!("--data shapes --size {size} --net resnet --width 0.1 --batch 16");
            runs.push((method, flags));
        }
    }
    let runs: Vec<(&str, &str)> = runs.iter().map(|(method, flags)| (*method, flags.as_str())).collect();
    needs_are_known_before(&runs);
}

/// Ten thousand steps of each method take no more memory than the first thousand; some minutes in a release build.
#[test]
#[ignore = "takes minutes: .ci/long runs it"]
fn memory_stays_flat_over_ten_thousand_steps() {
    assert!(Path::new("/proc/self/status").exists(), "this test reads /proc");
    for method in METHODS {
        let mut trainer = smallest(method);
        train(&mut trainer, 1000);
        let before = resident_memory();
        train(&mut trainer, 9000);
        let after = resident_memory();
        println!("{method:?}: {before} bytes after 1000 steps, {after} after 10000");
        assert!(after < before + 2_000_000, "{method:?}: {before} bytes after 1000 steps, {after} after 10000");
    }
}
