//! Runs that are stopped or killed, and go on.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Output, command, edit, gan, output, succeed, tiny, tree};

/// What a run must end with, however often it stopped on the way.
const RESULTS: [&str; 4] = ["checkpoint.safetensors", "losses.csv", "losses.png", "samples/step-%.png"];

/// The steps whose losses the run has written.
fn steps_written(run: &Path) -> usize {
    std::fs::read_to_string(run.join("losses.csv")).map_or(0, |text| text.lines().count().saturating_sub(1))
}

/// Starts an endless run in `dir`/run and sends it a signal when it has made a few checkpoints.
#[cfg(unix)]
fn interrupted(dir: &Path, signal: &str) -> Output {
    let args = tiny("--steps 1000000 --sample-every 1000000 --out run");
    let child = command(dir, &args.split(' ').collect::<Vec<_>>()).spawn().unwrap();
    let start = Instant::now();
    while steps_written(&dir.join("run")) < 4 {
        assert!(start.elapsed() < Duration::from_secs(120), "no fourth step after two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut kill = std::process::Command::new("kill");
    kill.args([signal, &child.id().to_string()]);
    assert_eq!(output(kill).code, Some(0));
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
}

/// Resumes `dir`/run up to `steps`, and compares it with a run that never stopped.
fn goes_on_to_the_same_bits(dir: &Path, steps: usize) {
    edit(&dir.join("run/config.toml"), "steps = 1000000", &format!("steps = {steps}"));
    assert!(succeed(dir, "resume run --threads 1").contains("going on after step"));
    succeed(dir, &tiny(&format!("--steps {steps} --sample-every 1000000 --out whole")));
    let (run, whole) = (tree(&dir.join("run")), tree(&dir.join("whole")));
    for name in RESULTS.map(|name| name.replace('%', &format!("{steps:06}"))) {
        assert!(run[Path::new(&name)] == whole[Path::new(&name)], "{name}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let output = interrupted(dir.path(), "-INT");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    let last = steps_written(&dir.path().join("run"));
    let message = format!("stopped after step {last} of 1000000; to go on: gan resume run\n");
    assert!(output.stdout.contains(&message), "{message}: {}", output.stdout);
    // An odd step would not be saved if Ctrl-C did not: with the parity left to chance, the sample tells.
    assert!(succeed(dir.path(), "sample run --n 1").contains(&format!("step {last}\n")));
    goes_on_to_the_same_bits(dir.path(), last + 3);
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let output = interrupted(dir.path(), "-KILL");
    assert_eq!(output.code, None);
    // As if it had been killed between writing the losses and the checkpoint.
    let run = dir.path().join("run");
    let last = steps_written(&run);
    let losses = std::fs::read_to_string(run.join("losses.csv")).unwrap();
    std::fs::write(run.join("losses.csv"), format!("{losses}{},7,7\n{},8,8\n", last + 1, last + 2)).unwrap();
    goes_on_to_the_same_bits(dir.path(), last + 3);
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let before = tree(dir.path());
    assert_eq!(succeed(dir.path(), "resume run"), "run: all 2 steps are done\n");
    assert!(before == tree(dir.path()));
}

#[test]
fn a_run_that_diverges_keeps_its_last_good_checkpoint() {
    // With 1e38 the generator's loss overflows in the first step; with 1e10 all losses are finite at first, but the
    // running statistics are not.
    for (lr, reason) in [("1e38", "the losses are "), ("1e10", "some weights are not finite")] {
        let dir = tempfile::tempdir().unwrap();
        let output = gan(dir.path(), &tiny(&format!("--lr {lr} --out run")));
        assert_eq!(output.code, Some(1), "{}", output.stdout);
        for part in [reason, "training has diverged at step", "smaller --lr than 1e", "run keeps step 0"] {
            assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
        }
        assert!(succeed(dir.path(), "sample run --n 1").contains("step 0\n"));
    }
}

#[test]
fn a_picture_that_cannot_be_written_costs_no_training() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 4");
    std::fs::remove_file(dir.path().join("run/losses.png")).unwrap();
    std::fs::create_dir(dir.path().join("run/losses.png")).unwrap();
    let output = gan(dir.path(), "resume run");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("run/losses.png: cannot write"), "{}", output.stderr);
    assert!(succeed(dir.path(), "resume run").contains("all 4 steps are done"));
}
