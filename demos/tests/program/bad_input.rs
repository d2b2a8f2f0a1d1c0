//! Flags and files that cannot be used: one message that says what was found and what was expected, and nothing done.

use std::path::Path;

use super::{command, gan, output, succeed, tiny, tree, write_idx};

/// The program must fail with one message that has all these parts, and must not touch a file.
#[track_caller]
pub(super) fn refuses(dir: &Path, args: &str, parts: &[&str]) {
    let before = tree(dir);
    let output = gan(dir, args);
    assert!(output.code.is_some_and(|code| code != 0), "{args}: code {:?}, {}", output.code, output.stdout);
    assert_eq!(output.stderr.matches("error:").count(), 1, "{args}: {}", output.stderr);
    for part in parts {
        assert!(output.stderr.contains(part), "{args}: no {part:?} in {}", output.stderr);
    }
    assert!(before == tree(dir), "{args}: files have changed");
}

#[test]
fn flags_of_train() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, bad, parts) in [
        ("--width", "0 -1 nan inf 1e9 8.1", &["--width is ", "expected more than 0 and at most 8"][..]),
        ("--batch", "0 4097 1000000000000", &["--batch is ", "expected 1 to 4096"]),
        ("--steps", "0 1000000001 18446744073709551615", &["--steps is ", "expected 1 to 1000000000"]),
        ("--lr", "0 -1 nan inf", &["--lr is ", "expected a number above 0"]),
        ("--betas", "1,2 -1,0.5 nan,0.9 0.5,1", &["--betas is ", "expected two numbers, each at least 0 and below 1"]),
        ("--betas", "0.5 a,b 1,2,3 ,", &["--betas", "expected two numbers, as in 0.5,0.999"]),
        ("--n-dis", "0 101", &["--n-dis is ", "expected 1 to 100"]),
        ("--threads", "0 1000000", &["--threads is ", "expected 1 to ", ", 16 for each core"]),
        ("--z-dim", "0 65537", &["--z-dim is ", "expected 1 to 65536"]),
        ("--sample-every", "0", &["--sample-every is 0; expected 1 to "]),
        ("--evaluate-every", "0", &["--evaluate-every is 0; expected 1 to "]),
        ("--checkpoint-every", "0", &["--checkpoint-every is 0; expected 1 to "]),
        ("--data", "foo", &["'foo'", "--data", "possible values: digits, fashion-mnist, mnist"]),
        ("--size", "0 4 20 257 264", &["--size is ", "expected a multiple of 8, from 8 to 256"]),
        ("--ema", "-1 1 nan", &["--ema is ", "expected at least 0 and below 1"]),
        ("--lr-d", "0 -1 nan inf", &["--lr-d is ", "expected a number above 0"]),
        ("--loss", "foo", &["'foo'", "--loss", "possible values: hinge, standard, saturating, wasserstein"]),
        ("--batch", "-1 1.5 x 99999999999999999999999", &["--batch", "invalid"]),
        ("--seed", "-1 x 18446744073709551616", &["--seed", "invalid"]),
        ("--lr", "x", &["--lr", "'x'"]),
        ("--speed", "9", &["--speed"]),
    ] {
        for value in bad.split(' ') {
            refuses(dir.path(), &tiny(&format!("{flag} {value}")), parts);
        }
    }
    refuses(dir.path(), "train biggan", &["'biggan'", "METHOD", "gan, wgan, wgan-gp, sngan, sn-reg, sagan"]);
    refuses(
        dir.path(),
        "train",
        &["<METHOD> is missing", "\n  wgan-gp  Wasserstein GAN with gradient penalty", "sagan"],
    );
    for usage in ["train", "train biggan", "train sngan --speed 9"] {
        assert_eq!(gan(dir.path(), usage).code, Some(2), "{usage}");
    }
    refuses(dir.path(), "fly", &["'fly'"]);
    // What only a larger machine could hold. (Where the system does not say what is free, nothing is refused.)
    if cfg!(target_os = "linux") {
        let parts = ["--width 8 --z-dim 65536: the nets with gradients and optimisers need about", " GB of memory"];
        refuses(dir.path(), &tiny("--width 8 --z-dim 65536"), &parts);
        let parts = ["--width 8 --z-dim 8: the nets with gradients and optimisers need about", " GB of memory"];
        refuses(dir.path(), &tiny("--data shapes --size 256 --net dcgan --width 8"), &parts);
        let parts = ["--width 4 --batch 4096 --z-dim 8 need about", " GB of memory", " is free"];
        refuses(dir.path(), &tiny("--width 4 --batch 4096"), &parts);
        refuses(dir.path(), "bench step --width 4 --batch 4096", &["--width 4 --batch 4096", "GB"]);
    }
}

#[test]
fn output_directories() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/thesis.txt"), "the only copy").unwrap();
    for out in ["full", "full/thesis.txt", "."] {
        refuses(dir.path(), &tiny(&format!("--out {out}")), &["--out ", out, "exists", "expected a new or an empty"]);
    }
    refuses(dir.path(), &tiny("--out full/thesis.txt/run"), &["full/thesis.txt/run", "cannot make the directory"]);
    if cfg!(unix) {
        refuses(dir.path(), &tiny("--out /dev/null/run"), &["/dev/null/run", "cannot make the directory"]);
    }
    std::fs::write(dir.path().join("runs"), "a file in the place of the default").unwrap();
    refuses(dir.path(), &tiny(""), &["runs: cannot make the directory"]);
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    succeed(dir.path(), &tiny("--steps 1 --out empty"));
}

#[test]
fn data() {
    let dir = tempfile::tempdir().unwrap();
    let mnist = |flags: &str, parts: &[&str]| refuses(dir.path(), &tiny(&format!("--data mnist {flags}")), parts);
    refuses(dir.path(), &tiny("--data folder"), &["--data folder needs --data-dir"]);
    let missing = ["data/fashion-mnist: cannot open", "gan data fetch fashion-mnist downloads the set", "--data-dir"];
    refuses(dir.path(), &tiny("--data fashion-mnist"), &missing);
    refuses(dir.path(), "data show stl-10-unlabelled", &["data/stl-10: cannot open"]);
    refuses(dir.path(), &tiny("--data-dir ."), &["--data-dir does not go with --data digits"]);
    mnist("--data-dir no/such", &["no/such", "cannot open the data directory"]);
    mnist("--data-dir .", &["found neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"]);
    let names = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"];
    mnist_files(dir.path(), "cut", 28, |set| {
        let images = std::fs::read(set.join(names[0])).unwrap();
        std::fs::write(set.join(names[0]), &images[..images.len() / 2]).unwrap();
    });
    mnist("--data-dir cut", &["cut/train-images-idx3-ubyte.gz", "gzip"]);
    mnist_files(dir.path(), "swapped", 28, |set| {
        std::fs::copy(set.join(names[1]), set.join(names[0])).unwrap();
    });
    mnist("--data-dir swapped", &["swapped/train-images-idx3-ubyte.gz", "0x00000801, expected 0x00000803"]);
    mnist_files(dir.path(), "odd", 30, |_| {});
    mnist("--data-dir odd", &["odd: images are 30×30×1", "expected squares with a side that 8 divides"]);
    mnist_files(dir.path(), "set", 8, |_| {});
    succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 2 --out run"));
    super::edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 3");
    mnist_files(dir.path(), "set", 16, |_| {});
    refuses(dir.path(), "resume run", &["set: images are 16×16×1", "expected 8×8×1"]);
    std::fs::remove_dir_all(dir.path().join("set")).unwrap();
    refuses(dir.path(), "resume run", &["set", "cannot open the data directory"]);
}

/// A good set of idx files, then spoiled.
fn mnist_files(dir: &Path, name: &str, side: u32, spoil: impl Fn(&Path)) {
    write_idx(&dir.join(name), 4, side);
    spoil(&dir.join(name));
}

#[test]
fn flags_of_the_other_commands() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 1 --out run"));
    for name in ["digits", "digit", "shapes", "folder"] {
        let parts = [&*format!("'{name}'"), "possible values: fashion-mnist, mnist, cifar-10, svhn, stl-10"];
        refuses(dir.path(), &format!("data fetch {name}"), &parts);
        let said = gan(dir.path(), &format!("data fetch {name}")).stderr;
        assert!(!said.contains("similar"), "there is none that can be fetched: {said}");
    }
    refuses(dir.path(), "data fetch mnist --mirror ftp://host", &["--mirror is ftp://host; expected a URL"]);
    refuses(dir.path(), "data show digits --out a.jpg", &["--out is a.jpg", "ends in .png"]);
    refuses(dir.path(), "data show digits --out a.png --n 0", &["--n is 0; expected 1 to 100"]);
    refuses(dir.path(), "data show digits --out a.png --size 7", &["--size is 7; expected 8 to 256"]);
    refuses(dir.path(), "data show digits --out a.png --data-dir .", &["--data-dir does not go with --data digits"]);
    refuses(dir.path(), "data show digits --out a.png --skip-corrupt", &["--skip-corrupt does not go with"]);
    refuses(dir.path(), "data show digits --out a.png --flatten", &["--flatten does not go with"]);
    refuses(
        dir.path(),
        "data show svhn --out a.png --data-dir run",
        &["run: found no train_32x32.mat in it; it has ", "config.toml"],
    );
    refuses(dir.path(), "data show folder --out a.png --data-dir run --split test", &["no sub-folders train and test"]);
    refuses(dir.path(), "sample run --n 0", &["--n is 0; expected 1 to 10000"]);
    refuses(dir.path(), "sample run --n 10001", &["--n is 10001; expected 1 to 10000"]);
    refuses(dir.path(), "sample run --out no/such/a.png", &["no/such/a.png", "cannot write"]);
    refuses(dir.path(), "sample run --out run/config.toml", &["--out is run/config.toml", "ends in .png"]);
    refuses(dir.path(), "evaluate run --n 255", &["--n is 255; expected 256 to 20000 images of digits"]);
    refuses(dir.path(), "evaluate run --n 20001", &["--n is 20001; expected 256 to 20000"]);
    refuses(
        dir.path(),
        "evaluate run --cache run/config.toml",
        &["--cache run/config.toml", "cannot make the directory"],
    );
    refuses(dir.path(), "sample run --interpolate 0", &["--interpolate is 0; expected 1 to 1000"]);
    refuses(dir.path(), "sample run --interpolate 1001", &["--interpolate is 1001; expected 1 to 1000"]);
    refuses(dir.path(), "sample run --interpolate 2 --n 4", &["--interpolate", "--n"]);
    refuses(dir.path(), "inspect run --n 0", &["--n is 0; expected 1 to 10000"]);
    refuses(dir.path(), "inspect run --n 10001", &["--n is 10001; expected 1 to 10000"]);
    for command in ["resume", "sample", "evaluate", "inspect", "report"] {
        refuses(dir.path(), &format!("{command} nowhere"), &["nowhere", "no such directory"]);
        refuses(dir.path(), &format!("{command} run/samples"), &["run/samples/config.toml", "directory of a run"]);
    }
    refuses(dir.path(), "bench rounding --states 0", &["--states is 0; expected 1 to 1000"]);
    refuses(dir.path(), "bench rounding --states 5 --runs 6", &["--runs is 6; expected 0 to 5, that of --states"]);
    refuses(
        dir.path(),
        "bench rounding --states 5 --steps 4",
        &["--steps is 4; expected at least 5, that of --states"],
    );
    refuses(dir.path(), "bench rounding --method wgan-gp", &["--method wgan-gp", "a gradient penalty"]);
    refuses(dir.path(), "bench step --iters 0", &["--iters is 0; expected 1 to 10000"]);
    refuses(dir.path(), "bench step --width -1", &["--width is -1; expected more than 0"]);
    refuses(dir.path(), "bench step --batch 0", &["--batch is 0; expected 1 to 4096"]);
}

#[test]
fn flags_of_toy_and_theory() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, parts) in [
        ("toy", &["<TOY>"][..]),
        ("toy sphere", &["'sphere'", "possible values: ring, grid, swissroll"]),
        ("toy ring --model sagan", &["'sagan'", "possible values: gan, wgan, wgan-gp, sngan"]),
        ("toy ring --steps 0", &["--steps is 0; expected 1 to 10000000"]),
        ("toy ring --batch 8193", &["--batch is 8193; expected 1 to 8192"]),
        ("toy ring --hidden 0", &["--hidden is 0; expected 1 to 1024"]),
        ("toy ring --n-dis 101", &["--n-dis is 101; expected 1 to 100"]),
        ("toy ring --lr nan", &["--lr is NaN; expected a number above 0"]),
        ("toy ring --lambda -1", &["--lambda is -1; expected a number above 0"]),
        ("toy ring --model wgan --clip 0", &["--clip is 0; expected a number above 0"]),
        ("toy ring --model sngan --lipschitz inf", &["--lipschitz is inf; expected a number above 0"]),
        ("toy ring --clip 0.1", &["--clip does not go with --model wgan-gp"]),
        ("toy ring --model gan --lambda 1", &["--lambda does not go with --model gan"]),
        ("toy ring --model wgan --lipschitz 1", &["--lipschitz does not go with --model wgan"]),
        ("toy ring --seeds 0", &["--seeds is 0; expected 1 to 100"]),
        ("toy ring --seed 18446744073709551615 --seeds 2", &["--seed 18446744073709551615 --seeds 2"]),
        ("theory", &["parallel-lines", "exact-w1"]),
        ("theory entropy", &["'entropy'"]),
        ("theory lipschitz --width 0", &["--width is 0; expected more than 0 and at most 1"]),
        ("theory lipschitz --width nan", &["--width is NaN; expected more than 0 and at most 1"]),
    ] {
        match flags {
            // clap answers a command without its subcommand with its help, without the word "error".
            "theory" => assert!(parts.iter().all(|part| gan(dir.path(), flags).stderr.contains(part))),
            _ => refuses(dir.path(), flags, parts),
        }
    }
    std::fs::write(dir.path().join("thesis.txt"), "the only copy").unwrap();
    for command in ["toy ring --steps 1", "theory power-iteration"] {
        refuses(dir.path(), &format!("{command} --out ."), &["--out .", "expected a new or an empty directory"]);
        refuses(dir.path(), &format!("{command} --out thesis.txt"), &["--out thesis.txt", "exists already"]);
    }
}

#[test]
fn the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let args = tiny("--out run");
    let levels = "scalar, portable, avx2 or avx512";
    for (name, expected) in [("WENGERT_CPU", levels), ("WENGERT_PRECISION", "fast or exact")] {
        let mut command = command(dir.path(), &args.split(' ').collect::<Vec<_>>());
        command.env(name, "nonsense");
        let output = output(command);
        assert_eq!(output.code, Some(1), "{}", output.stdout);
        assert_eq!(output.stderr, format!("error: {name} is \"nonsense\"; expected {expected}\n"));
        assert!(!dir.path().join("run").exists());
    }
    let with = |name: &str, value: &str, args: &[&str]| {
        let mut command = command(dir.path(), args);
        command.env(name, value);
        output(command)
    };
    for name in ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"] {
        for value in ["1000000", "-1", "two", ""] {
            // Whatever --threads says: a thread outside the pool would still take the number from there.
            for args in [&["devices"][..], &["devices", "--threads", "2"]] {
                let output = with(name, value, args);
                let expected = ", or 0 for a thread for each core\n";
                let start = format!("error: {name} is {value:?}; expected 1 to ");
                assert!(output.stderr.starts_with(&start) && output.stderr.ends_with(expected), "{}", output.stderr);
                assert_eq!(output.code, Some(1));
            }
        }
        assert_eq!(with(name, "0", &["devices"]).code, Some(0), "rayon's word for a thread for each core");
        assert!(with(name, "3", &["devices"]).stdout.contains("3 threads"));
    }
}
