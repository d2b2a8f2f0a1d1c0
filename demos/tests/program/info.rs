//! `gan info`: the nets of a method and of a run.

use safetensors::SafeTensors;
use serde_json::Value;

use super::bad_input::refuses;
use super::{gan, succeed, tiny};

/// What `gan info … --json` says of the generator and the discriminator.
fn info(dir: &std::path::Path, args: &str) -> [Value; 2] {
    let text = succeed(dir, &format!("info {args} --json"));
    assert_eq!(text.lines().count(), 1, "{text}");
    let mut found: Value = serde_json::from_str(&text).unwrap();
    ["generator", "discriminator"].map(|net| found[net].take())
}

#[test]
fn the_table_of_a_method_has_every_layer_and_the_totals() {
    let dir = tempfile::tempdir().unwrap();
    let text = succeed(dir.path(), "info sngan --width 1 --data shapes");
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let line = |words: &str| words.split(' ').map(String::from).collect::<Vec<_>>();
    for expected in [
        "generator, from 128",
        "discriminator, from 3×32×32",
        "layer kind output parameters multiply-adds",
        // By hand, as in Tables 1 and 2: 128·8192 + 8192; 512·256·4·4 + 256, at each of 4·4 positions; and so on.
        "l dense 8192 1056768 1048576",
        "reshape 512×4×4",
        "d.0 4×4 deconv, stride 2 256×8×8 2097408 33554432",
        "b.0 batch norm 256×8×8 512",
        "ReLU 256×8×8",
        "o 3×3 conv, stride 1 3×32×32 1731 1769472",
        "total 15 MB 3812355 103481344",
        "c.6 3×3 conv, stride 1, W/σ 512×4×4 1180160 18874368",
        "f dense, W/σ 1 8193 8192",
        "total 12 MB 2935873 108732416",
    ] {
        assert!(words.iter().any(|found| *found == line(expected)), "no line {expected:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    // Nothing is made for it, however large the nets are.
    let [g, _] = info(dir.path(), "sngan --width 8 --z-dim 65536");
    assert!(g["parameters"].as_u64().unwrap() > 4_000_000_000, "{g}");
}

#[test]
fn the_totals_are_those_of_the_checkpoint_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    for flags in ["sngan", "wgan-gp", "sagan --conditional", "sngan --net resnet", "sagan --net resnet --conditional"] {
        let run = format!("train {flags} --width 0.03 --batch 2 --z-dim 8 --steps 1 --out run");
        succeed(dir.path(), &run);
        let found = info(dir.path(), "run");
        assert_eq!(found, info(dir.path(), &format!("{flags} --width 0.03 --z-dim 8")), "{flags}");
        let bytes = std::fs::read(dir.path().join("run/checkpoint.safetensors")).unwrap();
        let archive = SafeTensors::deserialize(&bytes).unwrap();
        for (net, found) in ["generator.", "discriminator."].iter().zip(&found) {
            let state = ["running_mean", "running_var", "num_batches_tracked", "_u", "_v"];
            let is_own = |name: &str| name.starts_with(net) && !state.iter().any(|end| name.ends_with(end));
            let own = archive.iter().filter(|(name, _)| is_own(name));
            let size = own.map(|(_, tensor)| tensor.shape().iter().product::<usize>() as u64).sum::<u64>();
            assert_eq!(found["parameters"], size, "{flags}: {net}");
            let rows = found["layers"].as_array().unwrap();
            for sum in ["parameters", "multiply_adds"] {
                let total: u64 = rows.iter().map(|row| row[sum].as_u64().unwrap()).sum();
                assert_eq!(found[sum], total, "{flags}: {net} {sum}");
            }
        }
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
    }
}

#[test]
fn what_is_neither_a_method_nor_a_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 1 --out run"));
    refuses(dir.path(), "info biggan", &["<METHOD|RUN> is biggan; expected gan, wgan", "or the directory of a run"]);
    refuses(dir.path(), "info run --width 1", &["run is a run", "expected no flags"]);
    refuses(dir.path(), "info .", &["config.toml: cannot read; is this the directory of a run?"]);
    refuses(dir.path(), "info sngan --width 9", &["--width is 9; expected more than 0 and at most 8"]);
    refuses(dir.path(), "info sngan --net sagan", &["--net sagan does not go with sngan"]);
    refuses(dir.path(), "info sngan --data cifar-10", &["gan data fetch cifar-10 downloads the set"]);
    let sides = ["images are 40×40×1", "expected 32×32, 48×48 or 64×64 for --net resnet"];
    refuses(dir.path(), "info sngan --net resnet --size 40", &sides);
    refuses(dir.path(), "train sngan --net resnet --size 16", &["images are 16×16×1", "--net resnet"]);
    refuses(dir.path(), "info gan --net resnet --norm batch", &["--norm batch does not go with --net resnet"]);
    assert_eq!(gan(dir.path(), "info").code, Some(2));
}
