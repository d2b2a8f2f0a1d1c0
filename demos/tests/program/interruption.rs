//! Runs that are stopped or killed, and go on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Output, command, edit, gan, output, succeed, tiny, tree, write_idx};

/// What a run must end with, however often it stopped on the way.
const RESULTS: [&str; 4] = ["checkpoint.safetensors", "losses.csv", "losses.png", "samples/step-%.png"];

/// The steps whose losses the run has written.
fn steps_written(run: &Path) -> usize {
    std::fs::read_to_string(run.join("losses.csv")).map_or(0, |text| text.lines().count().saturating_sub(1))
}

/// Starts an endless run in `dir`/run and sends it a signal when it has made a few checkpoints.
#[cfg(unix)]
fn interrupted(dir: &Path, signal: &str) -> Output {
    interrupted_telling(dir, signal, Stdio::piped())
}

/// The same, with a place for what the run tells people.
#[cfg(unix)]
fn interrupted_telling(dir: &Path, signal: &str, stderr: Stdio) -> Output {
    let args = tiny("--steps 1000000 --sample-every 1000000 --out run");
    let child = command(dir, &args.split(' ').collect::<Vec<_>>()).stderr(stderr).spawn().unwrap();
    let start = Instant::now();
    while steps_written(&dir.join("run")) < 4 {
        assert!(start.elapsed() < Duration::from_secs(120), "no fourth step after two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(signal, &child);
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
}

#[cfg(unix)]
fn send(signal: &str, to: &Child) {
    let mut kill = Command::new("kill");
    kill.args([signal, &to.id().to_string()]);
    assert_eq!(output(kill).code, Some(0));
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
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert_eq!(output.stderr, "stopping after this step; press Ctrl-C again to stop at once\n");
    let last = steps_written(&dir.path().join("run"));
    let message = format!("stopped after step {last} of 1000000; to go on: gan resume run\n");
    assert!(output.stdout.contains(&message), "{message}: {}", output.stdout);
    // An odd step would not be saved if Ctrl-C did not: with the parity left to chance, the sample tells.
    assert!(succeed(dir.path(), "sample run --n 1").contains(&format!("step {last}\n")));
    goes_on_to_the_same_bits(dir.path(), last + 3);
}

/// The classifier of the evaluations is trained before the first step, for a minute or more.
#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_before_its_first_step_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    super::evaluation::prepare(dir.path());
    let train = tiny("--data mnist --data-dir set --steps 1 --evaluate-every 1 --cache none --out stopped");
    let child = command(dir.path(), &train.split(' ').collect::<Vec<_>>()).spawn().unwrap();
    let start = Instant::now();
    while !dir.path().join("stopped/time.json").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    send("-INT", &child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(!dir.path().join("stopped/samples/step-000000.png").exists(), "the classifier was trained at once");
    assert!(succeed(dir.path(), "resume stopped --cache cache").contains("going on after step 0 of 1"));
    assert!(dir.path().join("stopped/evaluation.json").exists());
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
    std::fs::write(run.join("losses.csv"), format!("{losses}{},7,7,7,7\n{},8,8,8,8\n", last + 1, last + 2)).unwrap();
    goes_on_to_the_same_bits(dir.path(), last + 3);
}

#[cfg(unix)]
#[test]
fn a_request_to_end_has_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    let output = interrupted(dir.path(), "-TERM");
    assert_eq!(output.code, Some(143), "{}", output.stderr);
    assert!(output.stdout.contains("to go on: gan resume run"), "{}", output.stdout);
}

/// A disk is full where the log goes: nobody can be told, but nothing is lost.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_with_a_log_that_cannot_be_written_leaves_all_that_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(interrupted_telling(dir.path(), "-INT", full.into()).code, Some(130));
    for file in ["checkpoint.safetensors", "animation.png", "report.html"] {
        assert!(dir.path().join("run").join(file).is_file(), "{file}");
    }
}

/// A closed terminal; under `nohup`, which these tests may be, too, nobody is asked to end.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_terminal_leaves_a_checkpoint() {
    let ignored = wengert_demos::interrupt::is_ignored(1);
    let dir = tempfile::tempdir().unwrap();
    if !ignored {
        let output = interrupted(dir.path(), "-HUP");
        assert_eq!(output.code, Some(129), "{}", output.stderr);
        let last = steps_written(&dir.path().join("run"));
        assert!(succeed(dir.path(), "sample run --n 1").contains(&format!("step {last}\n")));
    }
    // What `nohup` does; the shell becomes the program.
    let args = tiny("--steps 1000000 --sample-every 1000000 --out deaf");
    let mut shell = Command::new("sh");
    shell.current_dir(dir.path()).args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gan")]);
    let child = shell.args(args.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deaf = dir.path().join("deaf");
    let wait_for = |steps: usize| {
        let start = Instant::now();
        while steps_written(&deaf) < steps {
            assert!(start.elapsed() < Duration::from_secs(120), "no step {steps} after two minutes");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(4);
    send("-HUP", &child);
    wait_for(steps_written(&deaf) + 4);
    send("-INT", &child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

/// A signal while images are generated or compared: the evaluation of that step is made when the run goes on.
#[cfg(unix)]
#[test]
fn a_signal_within_an_evaluation_costs_no_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    super::evaluation::prepare(dir.path());
    std::fs::create_dir(dir.path().join("runs")).unwrap();
    std::fs::rename(dir.path().join("cache"), dir.path().join("runs/classifiers")).unwrap();
    let train = |run| tiny(&format!("--data mnist --data-dir set --steps 5 --evaluate-every 1 --out {run}"));
    succeed(dir.path(), &train("whole"));
    let evaluations = |run: &str| std::fs::read(dir.path().join(run).join("evaluation.json")).unwrap_or_default();
    for (run, wait) in [("early", 20), ("late", 150), ("later", 700), ("latest", 1200)] {
        let begin = train(run);
        let child = command(dir.path(), &begin.split(' ').collect::<Vec<_>>()).spawn().unwrap();
        while evaluations(run).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(wait));
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).output(); // it may have ended
        let done = child.wait_with_output().unwrap();
        // The last one, too, is asked for again only if the code says that something is missing.
        let complete = evaluations(run) == evaluations("whole");
        assert!(complete || done.status.code() == Some(130), "{run}: {:?}", done.status);
        succeed(dir.path(), &format!("resume {run}"));
        assert!(evaluations(run) == evaluations("whole"), "{run}: {:?}", done.status);
    }
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let before = tree(dir.path());
    assert_eq!(succeed(dir.path(), "resume run"), "run: all 2 steps are done\n");
    assert!(before == tree(dir.path()));
}

/// A kill after the last checkpoint takes what is made then: the last picture, the animation, the report.
#[test]
fn what_a_kill_at_the_end_took_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 4 --out run"));
    let before = tree(dir.path());
    for lost in [&["samples/step-000004.png", "animation.png", "report.html"][..], &["report.html"], &["losses.png"]] {
        lost.iter().for_each(|name| std::fs::remove_file(dir.path().join("run").join(name)).unwrap());
        // What it was writing.
        std::fs::write(dir.path().join("run/samples/.step-000004.png.123.tmp"), "half").unwrap();
        assert_eq!(succeed(dir.path(), "resume run"), "run: all 4 steps are done\n");
        assert!(before == tree(dir.path()), "{lost:?}");
    }
}

#[test]
fn one_program_at_a_time_trains_a_run() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 4");
    let lock = std::fs::File::options().write(true).open(dir.path().join("run/.lock")).unwrap();
    lock.lock().unwrap();
    let before = tree(dir.path());
    let output = gan(dir.path(), "resume run");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("run: another program is training this run"), "{}", output.stderr);
    assert!(before == tree(dir.path()));
    // Looking is free.
    succeed(dir.path(), "sample run --n 1");
    drop(lock);
    succeed(dir.path(), "resume run");
}

#[test]
fn a_run_that_diverges_keeps_its_checkpoint_and_its_curve_and_says_where_it_began() {
    // With 1e38 the generator's loss overflows in the first step; with 1e10 it is of a size that says nothing. Whoever
    // goes on all the same has running statistics that are not finite where they are to be saved.
    for (flags, reason, origin) in [
        ("--lr 1e38", "the losses are ", "first in step 1, the generator's update: conv2d_leaky_relu (node "),
        (
            "--lr 1e10",
            "beyond ±1.7e7 they mean nothing",
            "first in step 1, the discriminator's update: it leaves numbers in ",
        ),
        ("--lr 1e10 --force", " is not finite", "first in step "),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = gan(dir.path(), &format!("{} {flags}", tiny("--out run")));
        assert_eq!(output.code, Some(1), "{}", output.stdout);
        let kept = "run keeps step 0, and the losses up to here: run/losses.png";
        for part in ["training has diverged at step", reason, origin, "a smaller --lr than 1e", kept] {
            assert!(output.stderr.contains(part), "{flags}: no {part:?} in {}", output.stderr);
        }
        let run = dir.path().join("run");
        assert!(steps_written(&run) > 0 && run.join("report.html").is_file());
        assert!(succeed(dir.path(), "sample run --n 1").contains("step 0\n"));
    }
}

#[test]
fn what_cannot_be_written_costs_no_training() {
    let dir = tempfile::tempdir().unwrap();
    // Neither the picture nor the event file of step 3 comes with a checkpoint of its own.
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 6");
    edit(&dir.path().join("run/config.toml"), "sample_every = 2", "sample_every = 3");
    edit(&dir.path().join("run/config.toml"), "checkpoint_every = 2", "checkpoint_every = 6");
    let picture = dir.path().join("run/samples/step-000003.png");
    std::fs::create_dir(&picture).unwrap();
    let output = gan(dir.path(), "resume run");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    for part in ["run/samples/step-000003.png: cannot write", "run keeps step 3; to go on: gan resume run"] {
        assert!(output.stderr.contains(part), "no {part:?} in {}", output.stderr);
    }
    // As long as it cannot be written, nothing more is computed.
    assert_eq!(gan(dir.path(), "resume run").code, Some(1));
    std::fs::remove_dir(&picture).unwrap();
    assert!(succeed(dir.path(), "resume run").contains("going on after step 3 of 6"));
    assert!(picture.is_file());
}

#[test]
fn other_images_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("set"), 10, 28);
    succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 2 --out run"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 4");
    write_idx(&dir.path().join("set"), 11, 28);
    let output = gan(dir.path(), "resume run");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    for part in ["set: found 11 images, checksum ", "; expected 10 images, checksum ", "--force goes on with these"] {
        assert!(output.stderr.contains(part), "no {part:?} in {}", output.stderr);
    }
    let output = gan(dir.path(), "resume run --force");
    assert!(output.code == Some(0) && output.stderr.contains("going on with these"), "{}", output.stderr);
    assert!(succeed(dir.path(), "resume run").contains("all 4 steps are done"), "these are its images now");
}
