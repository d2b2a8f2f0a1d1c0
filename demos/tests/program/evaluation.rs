//! `gan evaluate`: figures as text, as JSON, and in the run directory.

use std::path::Path;

use serde_json::Value;
use wengert_demos::data::{Digits, Halves, Split, read_idx};
use wengert_demos::metrics::{Classifier, Settings};

use super::bad_input::refuses;
use super::{edit, gan, png_size, succeed, tiny, tree, write_idx};

/// A run of two steps on a set of small images, and a classifier in the cache that has learnt next to nothing: the
/// real one takes a minute.
pub(super) fn prepare(dir: &Path) {
    write_idx(&dir.join("set"), 1800, 8);
    succeed(dir, &tiny("--data mnist --data-dir set --steps 2 --out run"));
    let half = |split| Box::new(read_idx(&dir.join("set"), "MNIST", split).unwrap());
    let set = Halves::new(half(Split::Train), Some(half(Split::Test))).unwrap();
    let cache = dir.join("cache");
    let quick = Settings { steps: 2, ..Settings::default() };
    let classifier = Classifier::open(&set, &cache, &quick, &mut |_, _| {}).unwrap();
    let name = Classifier::file_name(&set, &Settings::default());
    std::fs::rename(cache.join(classifier.name()), cache.join(name)).unwrap();
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn figures_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let before = tree(dir.path());
    let said = json(&succeed(dir.path(), "evaluate run --cache cache --json --threads 1"));
    let last = &said["last"];
    assert_eq!([&last["step"], &last["n"], &last["seed"]], [&Value::from(2), &300.into(), &0.into()]);
    assert_eq!(said["best"], *last, "the only one is the best");
    let coverage = |of: &str| last[of]["prdc"]["coverage"].as_f64().unwrap();
    assert!(coverage("real") > coverage("generated"), "{said}");
    assert_eq!(last["generated"]["class_shares"].as_array().unwrap().len(), 10);
    assert_eq!(last["generated"]["sliced_wasserstein"][0]["side"], 8);

    let path = dir.path().join("run/evaluation.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!([&written["last"], &written["evaluations"][0]], [last, last]);
    let mut after = tree(dir.path());
    ["run/evaluation.json", "run/.evaluation.lock"].iter().for_each(|name| drop(after.remove(Path::new(name))));
    assert!(after == before, "nothing else is written");

    // The same bits on other threads; once more, it replaces itself.
    let again = json(&succeed(dir.path(), "evaluate run --cache cache --json --threads 3"));
    assert_eq!(again, said);
    let other = json(&succeed(dir.path(), "evaluate run --cache cache --json --n 256 --seed 5"));
    assert_eq!([&other["last"]["n"], &other["last"]["seed"]], [&Value::from(256), &5.into()]);
    assert_ne!(other["last"]["generated"], last["generated"]);
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["evaluations"].as_array().unwrap().len(), 2);

    let text = succeed(dir.path(), "evaluate run --cache cache");
    let stages = ["comparing 300 real images with 300 reference images", "generating 300 images", "comparing them"];
    assert!(stages.iter().zip(text.lines()).all(|(stage, line)| line.starts_with(stage)), "{text}");
    for part in ["run, step 2: 300 images, seed 0", "Fréchet distance", "kernel distance", "coverage", "8×8", "class 9"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.contains("best so far") && text.contains("run/evaluation.json"), "{text}");
}

#[test]
fn a_run_is_evaluated_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    std::fs::create_dir(dir.path().join("runs")).unwrap();
    std::fs::rename(dir.path().join("cache"), dir.path().join("runs/classifiers")).unwrap();
    let flags = tiny("--data mnist --data-dir set --steps 5 --evaluate-every 2 --out going") + " --tensorboard";
    let said = succeed(dir.path(), &flags);
    for part in ["step 5: 300 images", "Fréchet distance", "best so far"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let read = || -> Value {
        serde_json::from_slice(&std::fs::read(dir.path().join("going/evaluation.json")).unwrap()).unwrap()
    };
    let steps = |found: &Value| -> Vec<u64> {
        let all = found["evaluations"].as_array().unwrap();
        all.iter().map(|evaluation| evaluation["step"].as_u64().unwrap()).collect()
    };
    let going = read();
    assert_eq!(steps(&going), [2, 4, 5], "the last step is always one of them");
    // The best of them is kept: what is drawn from it is what it drew then.
    let best = going["best"]["step"].as_u64().unwrap();
    let archive = wengert::Archive::load(dir.path().join("going/best.safetensors")).unwrap();
    assert_eq!(archive.count("step").unwrap(), best);
    let said = succeed(dir.path(), "sample going --best --n 4 --out best.png");
    assert!(said.contains(&format!("step {best}")), "{said}");
    let events = dir.path().join("going/tensorboard").read_dir().unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(events).unwrap();
    // Every figure, of generated and of real images, once an evaluation.
    let figures = ["frechet", "kernel", "classifier_score", "precision", "recall", "density", "coverage"];
    for tag in figures.iter().copied().chain(["sliced_wasserstein_8"]) {
        for tag in [format!("evaluation/{tag}"), format!("evaluation of real images/{tag}")] {
            let found = bytes.windows(tag.len()).filter(|part| *part == tag.as_bytes()).count();
            assert_eq!(found, 3, "{tag}");
        }
    }
    // The same figures as `gan evaluate` finds of the checkpoint at that step; evaluating leaves training alone.
    succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 4 --out short"));
    let said = json(&succeed(dir.path(), "evaluate short --json"));
    assert_eq!(said["last"], going["evaluations"][1]);
    edit(&dir.path().join("going/config.toml"), "steps = 5", "steps = 6");
    succeed(dir.path(), "resume going");
    assert_eq!(steps(&read()), [2, 4, 5, 6]);
    assert_eq!(png_size(&dir.path().join("going/distances.png")), (600, 520));
    let best = read()["best"].clone();
    let again = json(&succeed(dir.path(), "evaluate going --best --json"));
    assert!(again["last"] == best && again["best"] == best, "{again}");
    // A checkpoint that turns out better than the best one takes its place; here, since all others become worse.
    let mut worse = read();
    for evaluation in worse["evaluations"].as_array_mut().unwrap() {
        evaluation["generated"]["frechet"] = 1e9.into();
    }
    std::fs::write(dir.path().join("going/evaluation.json"), worse.to_string()).unwrap();
    let kept = dir.path().join("going/best.safetensors");
    for (flags, step) in [("--n 256", 4), ("", 6)] {
        std::fs::copy(dir.path().join("short/checkpoint.safetensors"), &kept).unwrap();
        succeed(dir.path(), &format!("evaluate going {flags}"));
        // Figures of fewer images can be compared with none of the others, and prove nothing.
        assert_eq!(wengert::Archive::load(&kept).unwrap().count("step").unwrap(), step, "{flags}");
    }
    refuses_best(dir.path());
}

/// A run that was not evaluated as it went has no best checkpoint.
fn refuses_best(dir: &Path) {
    succeed(dir, &tiny("--steps 1 --out plain"));
    for command in ["sample", "inspect", "evaluate", "export"] {
        refuses(dir, &format!("{command} plain --best"), &["plain/best.safetensors: no such file", "--evaluate-every"]);
    }
}

#[test]
fn damaged_files_are_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let refuses = |part: &str| {
        let before = tree(dir.path());
        let output = gan(dir.path(), "evaluate run --cache cache --n 256");
        assert!(output.code == Some(1) && output.stderr.contains(part), "{}", output.stderr);
        assert!(tree(dir.path()) == before, "files have changed");
    };
    std::fs::write(dir.path().join("run/evaluation.json"), "{").unwrap();
    refuses("run/evaluation.json: damaged");
    std::fs::remove_file(dir.path().join("run/evaluation.json")).unwrap();
    let classifier = dir.path().join("cache").read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::write(&classifier, "nothing").unwrap();
    let file = format!("cache/{}", classifier.file_name().unwrap().display());
    refuses(&format!("cannot use the classifier in the cache; delete {file} to train it again: {file}: "));
    write_idx(&dir.path().join("set"), 1535, 8);
    refuses("set: found 255 reference images");
    write_idx(&dir.path().join("set"), 1800, 16);
    refuses("set: images are 16×16×1 (height, width, channels); expected 8×8×1");
}

#[test]
fn modes_of_stacked_digits_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--data stacked-digits --steps 1 --out run"));
    let (set, cache) = (Digits::new(0), dir.path().join("cache"));
    let quick = Settings { steps: 2, ..Settings::default() };
    let classifier = Classifier::open(&set, &cache, &quick, &mut |_, _| {}).unwrap();
    std::fs::rename(cache.join(classifier.name()), cache.join(Classifier::file_name(&set, &Settings::default())))
        .unwrap();
    let said = json(&succeed(dir.path(), "evaluate run --cache cache --n 300 --json --threads 1"));
    assert_eq!([&said["step"], &said["n"]], [&Value::from(1), &300.into()]);
    let modes = |of: &str| said[of]["modes"].as_u64().unwrap();
    assert!((1..=300).contains(&modes("generated")) && (1..=300).contains(&modes("real")), "{said}");
    let written = std::fs::read(dir.path().join("run/modes.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), said);
    let text = succeed(dir.path(), "evaluate run --cache cache --n 300");
    assert!(text.contains("modes of 1000") && text.contains("run/modes.json"), "{text}");
    let refuses = |args: &str, part: &str| {
        let output = gan(dir.path(), args);
        assert!(output.code == Some(1) && output.stderr.contains(part), "{}", output.stderr);
    };
    refuses(
        &tiny("--data stacked-digits --evaluate-every 2"),
        "--evaluate-every does not go with --data stacked-digits",
    );
    refuses(&(tiny("--data stacked-digits") + " --conditional"), "--conditional needs at least two classes");
    refuses("evaluate run --cache cache --n 20", "--n is 20; expected 256 to 1000000");
}
