//! What `gan resume` can change of a run, and configurations of other versions.

use std::path::Path;

use super::bad_input::refuses;
use super::evaluation::prepare;
use super::{command, edit, output, succeed, tiny, tree, write_idx};

#[test]
fn more_steps_give_the_bits_of_a_run_that_was_to_have_them() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 6 --sample-every 3 --checkpoint-every 3 --out whole"));
    succeed(dir.path(), &tiny("--steps 2 --out part"));
    let said = succeed(dir.path(), "resume part --steps 6 --sample-every 3 --checkpoint-every 3 --threads 1");
    assert!(said.contains("going on after step 2 of 6"), "{said}");
    let [whole, part] = ["whole", "part"].map(|name| tree(&dir.path().join(name)));
    let results = ["checkpoint.safetensors", "checkpoint.previous.safetensors", "losses.csv", "losses.png"];
    for name in results.into_iter().chain(["samples/step-000003.png", "samples/step-000006.png", "config.toml"]) {
        assert!(whole[Path::new(name)] == part[Path::new(name)], "{name}");
    }
    assert!(!part.contains_key(Path::new("samples/step-000004.png")));
    // The run keeps what has changed.
    assert!(succeed(dir.path(), "resume part").contains("all 6 steps are done"));
}

#[test]
fn changes_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 4 --out run"));
    refuses(dir.path(), "resume run --steps 3", &["--steps is 3; expected at least 4, which run has made already"]);
    refuses(dir.path(), "resume run --steps 0", &["--steps is 0; expected 1 to "]);
    refuses(dir.path(), "resume run --sample-every 0", &["--sample-every is 0; expected 1 to "]);
    refuses(dir.path(), "resume run --data-dir .", &["--data-dir does not go with --data digits"]);
    refuses(dir.path(), "resume run --batch 8", &["--batch"]);
    // Nothing to do is no fault.
    succeed(dir.path(), "resume run --steps 4");
}

#[test]
fn a_run_can_be_evaluated_and_logged_from_here_on() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let said = succeed(dir.path(), "resume run --steps 4 --evaluate-every 2 --cache cache --tensorboard");
    assert!(!said.contains("classifier of"), "that of --cache serves: {said}");
    assert!(!dir.path().join("runs").exists());
    let text = std::fs::read_to_string(dir.path().join("run/evaluation.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let steps = found["evaluations"].as_array().unwrap().iter().map(|evaluation| evaluation["step"].as_u64().unwrap());
    assert!(steps.eq([2, 4]), "{text}");
    assert_eq!(tree(&dir.path().join("run/tensorboard")).len(), 1);
    let config = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    assert!(config.contains("evaluate_every = 2\n"), "{config}");
}

#[test]
fn images_that_have_moved_are_found() {
    let dir = tempfile::tempdir().unwrap();
    // Where gan data fetch puts them.
    write_idx(&dir.path().join("data/mnist"), 10, 28);
    let said = succeed(dir.path(), &tiny("--data mnist --steps 2 --out run"));
    assert!(said.contains("training on 10 images; the test half is kept for evaluation"), "{said}");
    succeed(dir.path(), "data show mnist --out sheet.png");
    std::fs::rename(dir.path().join("data"), dir.path().join("moved")).unwrap();
    refuses(dir.path(), "resume run --steps 3", &["data/mnist: cannot open the data directory"]);
    succeed(dir.path(), "resume run --steps 3 --data-dir moved/mnist");
    assert!(succeed(dir.path(), "resume run").contains("all 3 steps are done"));
}

#[test]
fn configurations_of_other_versions() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let path = dir.path().join("run/config.toml");
    let now = std::fs::read_to_string(&path).unwrap();
    assert!(now.starts_with("format = 1\n"), "{now}");
    // All that the first version wrote, which knew one method.
    let first = "method data width z_dim batch steps n_dis loss lr betas seed sample_every checkpoint_every";
    let known = |line: &&str| {
        let name = line.split(" = ").next().unwrap();
        !line.contains(" = ") || first.split_whitespace().any(|field| field == name)
    };
    let then: Vec<&str> = now.lines().filter(known).collect();
    std::fs::write(&path, then.join("\n")).unwrap();
    assert!(succeed(dir.path(), "resume run --steps 3").contains("going on after step 2 of 3"));
    succeed(dir.path(), &format!("train --config {} --steps 1 --out again", path.display()));
    // A version to come, whatever else its file says.
    std::fs::write(&path, format!("format = 2\nflavour = \"new\"\n{}", then.join("\n"))).unwrap();
    let later = ["config.toml: found the format 2, of a later version of this program; expected at most 1"];
    refuses(dir.path(), "resume run", &later);
    refuses(dir.path(), &format!("train --config {}", path.display()), &later);
    edit(&path, "format = 2\nflavour = \"new\"", "n-dis = 1");
    refuses(dir.path(), "resume run", &["config.toml: damaged", "unknown field `n-dis`; expected `n_dis`"]);
}

#[test]
fn printed_commands_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let args = tiny("--steps 1");
    let args: Vec<&str> = args.split(' ').chain(["--out", "my runs/it's"]).collect();
    let said = output(command(dir.path(), &args)).stdout;
    let line = said.lines().find_map(|line| line.strip_prefix("more     gan ")).expect("a command");
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(dir.path()).args(["-c", &format!("{} {line}", env!("CARGO_BIN_EXE_gan"))]);
    let again = output(shell);
    assert_eq!((again.code, &*again.stderr), (Some(0), ""), "{line}");
    assert!(dir.path().join("more.png").is_file());
}
