//! Run directories whose files are damaged: `resume` and `sample` say which file and what is wrong, and leave all as it
//! is.

use std::path::Path;

use wengert_demos::run_dir::RunDir;
use wengert_demos::train::Trainer;

use super::{copy, edit, gan, succeed, tiny, tree};

/// A run of two steps that is to have four.
fn stopped_run(dir: &Path) {
    succeed(dir, &tiny("--steps 2 --out good"));
    edit(&dir.join("good/config.toml"), "steps = 2", "steps = 4");
}

/// These commands must fail on the damaged run with one message that names the file and has all the parts.
#[track_caller]
fn refuse(dir: &Path, commands: &[&str], file: &str, parts: &[&str], damage: impl Fn(&Path)) {
    let run = dir.join("run");
    copy(&dir.join("good"), &run);
    damage(&run.join(file));
    let before = tree(dir);
    for command in commands {
        let output = gan(dir, &format!("{command} run"));
        assert_eq!(output.code, Some(1), "{command}, {file}: {}", output.stdout);
        assert_eq!(output.stderr.matches("error:").count(), 1, "{}", output.stderr);
        assert_eq!(output.stderr.matches(&format!("run/{file}")).count(), 1, "{}", output.stderr);
        for part in parts {
            assert!(output.stderr.contains(part), "{command}, {file}: no {part:?} in {}", output.stderr);
        }
    }
    assert!(before == tree(dir), "{file}: files have changed");
    std::fs::remove_dir_all(run).unwrap();
}

const BOTH: [&str; 2] = ["resume", "sample"];

fn delete(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

/// What is said of damage to a file, and what does it.
type Damage = (&'static str, Box<dyn Fn(&Path)>);

/// What can happen to a checkpoint.
fn damages(length: u64) -> Vec<Damage> {
    let whole = "expected a whole safetensors file";
    let mut damages: Vec<Damage> = Vec::new();
    for kept in [0, 5, 8, 1000, length - 1] {
        damages.push((whole, Box::new(move |path| cut(path, kept))));
    }
    damages.push((whole, Box::new(|path| std::fs::write(path, "not a checkpoint at all").unwrap())));
    damages.push(("cannot read", Box::new(delete)));
    damages.push((
        "cannot read: this is no file",
        Box::new(|path| {
            delete(path);
            std::fs::create_dir(path).unwrap();
        }),
    ));
    // A bit of the weights, which no reader of the format can notice.
    damages.push(("damaged: the checksum", Box::new(|path| flip_bit(path, 4, 0x10))));
    damages
}

fn cut(path: &Path, kept: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(kept).unwrap();
}

/// Flips bits of a byte that is so far from the end.
fn flip_bit(path: &Path, from_end: usize, bits: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let place = bytes.len() - from_end;
    bytes[place] ^= bits;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn both_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    let file = "checkpoint.safetensors";
    let length = std::fs::metadata(dir.path().join("good").join(file)).unwrap().len();
    for (message, damage) in damages(length) {
        refuse(dir.path(), &BOTH, file, &[message], |path| {
            damage(path);
            damage(&path.with_file_name("checkpoint.previous.safetensors"));
        });
    }
    for (setting, other) in [
        ("width = 0.03", "width = 0.06"),
        ("z_dim = 8", "z_dim = 9"),
        ("lr = 0.0002", "lr = 0.0003"),
        ("seed = 0", "seed = 1"),
        ("loss = \"hinge\"", "loss = \"standard\""),
        ("n_dis = 1", "n_dis = 2"),
    ] {
        let ((name, new), (_, old)) = (other.split_once(" = ").unwrap(), setting.split_once(" = ").unwrap());
        let parts = [&*format!("{name} is {new} in config.toml, expected {old} as when the run began")];
        refuse(dir.path(), &BOTH, file, &parts, |path| edit(&path.with_file_name("config.toml"), setting, other));
    }
}

#[test]
fn the_previous_checkpoint_serves_where_the_last_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 6 --out whole"));
    succeed(dir.path(), &tiny("--steps 4 --out good"));
    edit(&dir.path().join("good/config.toml"), "steps = 4", "steps = 6");
    let length = std::fs::metadata(dir.path().join("good/checkpoint.safetensors")).unwrap().len();
    let whole = tree(&dir.path().join("whole"));
    for (message, damage) in damages(length) {
        let run = dir.path().join("run");
        copy(&dir.path().join("good"), &run);
        damage(&run.join("checkpoint.safetensors"));
        let before = tree(&run);
        for command in ["sample run", "resume run"] {
            let output = gan(dir.path(), command);
            assert_eq!(output.code, Some(0), "{command}: {}", output.stderr);
            for part in [message, "using run/checkpoint.previous.safetensors instead, of step 2"] {
                assert!(output.stderr.contains(part), "{command}: no {part:?} in {}", output.stderr);
            }
            assert!(command != "sample run" || before == tree(&run), "sample changes nothing");
        }
        // The damaged file is put aside, and the run is as if nothing had happened.
        let mut after = tree(&run);
        let aside = after.remove(Path::new("checkpoint.damaged.safetensors"));
        after.remove(Path::new("checkpoint.damaged.safetensors/"));
        assert_eq!(aside.as_ref(), before.get(Path::new("checkpoint.safetensors")), "{message}");
        assert!(after.keys().eq(whole.keys()), "{message}");
        for (name, bytes) in &whole {
            let timed = name.ends_with("time.json") || name.ends_with("report.html");
            assert!(timed || after[name] == *bytes, "{message}: {}", name.display());
        }
        std::fs::remove_dir_all(run).unwrap();
    }
}

#[test]
fn checkpoints_of_other_versions() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    let (run, config) = RunDir::open(&dir.path().join("good")).unwrap();
    let bytes = std::fs::read(&run.checkpoints()[0]).unwrap();
    // Texts of the header, which is JSON: blanks in the place of one leave all else where it is.
    let part = |key: &str| {
        let name = format!("\"{key}\":\"");
        let start = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        start..start + bytes[start..].iter().position(|&byte| byte == b',').unwrap() + 1
    };
    let load = |changes: &[(&str, &str)]| {
        let mut changed = bytes.clone();
        for (key, value) in changes {
            let place = part(key);
            let text = if value.is_empty() { String::new() } else { format!("\"{key}\":\"{value}\",") };
            changed[place.clone()].copy_from_slice(format!("{text:width$}", width = place.len()).as_bytes());
        }
        let file = dir.path().join("other.safetensors");
        std::fs::write(&file, changed).unwrap();
        Trainer::<f32>::load(&config, &file).map(drop).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(load(&[]), Ok(()));
    assert_eq!(load(&[("format", ""), ("checksum", "")]), Ok(()), "of the first versions, which had neither");
    let later = load(&[("format", "2")]).unwrap_err();
    assert!(later.contains("of a later version of this program"), "{later}");
    for changes in [[("checksum", "")], [("format", "")], [("checksum", "00000000")]] {
        let message = load(&changes).unwrap_err();
        assert!(message.contains("damaged: the checksum"), "{message}");
    }
}

#[test]
fn the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    let change = |from: &'static str, to: &'static str| move |path: &Path| edit(path, from, to);
    let file = "config.toml";
    refuse(dir.path(), &BOTH, file, &["directory of a run"], delete);
    refuse(dir.path(), &BOTH, file, &["unknown field `colour`"], change("width", "colour = 1\nwidth"));
    refuse(dir.path(), &BOTH, file, &["missing field `seed`"], change("seed = 0\n", ""));
    refuse(dir.path(), &BOTH, file, &["unknown variant `biggan`"], change("\"sngan\"", "\"biggan\""));
    refuse(dir.path(), &BOTH, file, &["damaged"], change("batch = 4", "batch = = 4"));
    refuse(dir.path(), &BOTH, file, &["--batch is 0; expected"], change("batch = 4", "batch = 0"));
    refuse(dir.path(), &BOTH, file, &["--width is NaN; expected"], change("width = 0.03", "width = nan"));
    refuse(dir.path(), &BOTH, file, &["UTF-8"], |path| std::fs::write(path, [0xff; 100]).unwrap());
}

#[test]
fn the_losses() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    let write = |text: &'static str| move |path: &Path| std::fs::write(path, text).unwrap();
    let resume = ["resume"];
    refuse(dir.path(), &resume, "losses.csv", &["cannot read"], delete);
    refuse(dir.path(), &resume, "losses.csv", &["line 1", "found \"\""], write(""));
    refuse(dir.path(), &resume, "losses.csv", &["line 1", "found \"1,2,3\""], write("1,2,3\n2,2,3\n"));
    let header = "expected 3 numbers: \"step,discriminator,generator\"";
    let damaged = ["line 3", "found \"2,x,1\"", header];
    refuse(dir.path(), &resume, "losses.csv", &damaged, write("step,discriminator,generator\n1,2,3\n2,x,1\n"));
    let four = ["line 2", header];
    refuse(dir.path(), &resume, "losses.csv", &four, write("step,discriminator,generator\n1,2,3,4\n2,1,1\n"));
    let short = ["found 1 steps", "expected steps 1 to 2"];
    refuse(dir.path(), &resume, "losses.csv", &short, write("step,discriminator,generator\n1,2,3\n"));
}

#[test]
fn the_files_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    succeed(dir.path(), "inspect good --n 4");
    let cut = |path: &Path| std::fs::write(path, "{\"step\": 2").unwrap();
    refuse(dir.path(), &["report"], "inspect/inspect.json", &["damaged"], cut);
    refuse(dir.path(), &["report"], "evaluation.json", &["damaged"], cut);
    let rows = |path: &Path| std::fs::write(path, "step,a\n1,2\n2,3,4\n").unwrap();
    refuse(dir.path(), &["report"], "losses.csv", &["found \"2,3,4\", expected 2 numbers"], rows);
    for bytes in ["", "not a picture at all"] {
        let spoil = |path: &Path| std::fs::write(path, bytes).unwrap();
        refuse(dir.path(), &["report"], "samples/step-000002.png", &["cannot read the picture"], spoil);
    }
    let half = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    refuse(dir.path(), &["report"], "samples/step-000000.png", &["cannot read the picture"], half);
}

/// How long training took is not worth a run.
#[test]
fn a_damaged_training_time_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    for bytes in ["", "garbage", "{\"step\": 2"] {
        std::fs::write(dir.path().join("good/time.json"), bytes).unwrap();
        succeed(dir.path(), "report good");
    }
    std::fs::remove_dir_all(dir.path().join("good/samples")).unwrap();
    let output = gan(dir.path(), "resume good");
    assert!(output.code == Some(0) && output.stdout.contains("done in"), "{}", output.stderr);
    assert!(
        output.stderr.starts_with("good/time.json: damaged") && output.stderr.contains("no time"),
        "{}",
        output.stderr
    );
}

/// A pipe that nobody writes to, and a file of 100 GB without contents: neither is read.
#[cfg(unix)]
#[test]
fn files_that_never_end_or_are_too_large() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    std::fs::write(dir.path().join("good/evaluation.json"), "").unwrap();
    let pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let large = |path: &Path| std::fs::File::create(path).unwrap().set_len(100 << 30).unwrap();
    let both = |damage: &dyn Fn(&Path), path: &Path| {
        damage(path);
        damage(&path.with_file_name("checkpoint.previous.safetensors"));
    };
    for (file, commands) in [
        ("config.toml", &["resume", "sample", "report"][..]),
        ("losses.csv", &["resume", "report"]),
        ("evaluation.json", &["resume", "report"]),
        ("samples/step-000002.png", &["report"]),
    ] {
        refuse(dir.path(), commands, file, &["this is not a file"], pipe);
        refuse(dir.path(), commands, file, &[], large);
    }
    refuse(dir.path(), &["resume"], ".lock", &["this is not a file"], pipe);
    refuse(dir.path(), &BOTH, "checkpoint.safetensors", &["this is no file"], |path| both(&pipe, path));
    refuse(dir.path(), &BOTH, "checkpoint.safetensors", &["expected at most"], |path| both(&large, path));
}

/// A header in which one byte is another: some of these files are still good, none makes the reader panic.
#[test]
fn no_byte_of_a_checkpoints_header_makes_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    stopped_run(dir.path());
    let (run, config) = RunDir::open(&dir.path().join("good")).unwrap();
    let bytes = std::fs::read(&run.checkpoints()[0]).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let path = dir.path().join("changed.safetensors");
    let (mut good, mut bad) = (0, 0);
    for (place, with) in (0..8 + header).step_by(11).zip([b'9', b'{', b'"', 0xff, 0, b'0', b'2'].into_iter().cycle()) {
        let mut changed = bytes.clone();
        changed[place] = with;
        std::fs::write(&path, changed).unwrap();
        match Trainer::<f32>::load(&config, &path) {
            Ok(_) => good += 1,
            Err(error) => {
                assert!(format!("{error:#}").contains("changed.safetensors"), "{error:#}");
                bad += 1;
            }
        }
    }
    assert!(bad > 10 * good && good > 0, "{good} files were taken for good, {bad} for bad");
}
