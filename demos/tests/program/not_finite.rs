//! Weights, features and figures that are not finite: every command says which, and none makes a figure or a picture of
//! them.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use wengert::{Archive, Tensor};
use wengert_demos::sealed;

use super::bad_input::refuses;
use super::evaluation::prepare;
use super::{gan, succeed, tiny, write_idx};

const CHECKPOINTS: [&str; 2] = ["run/checkpoint.safetensors", "run/checkpoint.previous.safetensors"];

/// Sets all numbers of the tensors whose names begin so. The checkpoint becomes one of the first versions, which have
/// no checksum: that would be what is noticed first.
fn spoil(checkpoint: &Path, start: &str, value: f32) {
    let bytes = std::fs::read(checkpoint).unwrap();
    let (old, mut new) = (Archive::load(checkpoint).unwrap(), Archive::new());
    let mut spoiled = 0;
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        if view.dtype() == Dtype::I64 {
            new.set_count(&name, old.count(&name).unwrap());
            continue;
        }
        let mut tensor: Tensor = old.tensor(&name, view.shape()).unwrap();
        if name.starts_with(start) {
            tensor = Tensor::full(view.shape(), value.into());
            spoiled += 1;
        }
        new.set_tensor(&name, &tensor);
    }
    assert!(spoiled > 0, "{}: no {start}", checkpoint.display());
    for key in ["image", "classes", "data", "config"] {
        new.set_text(key, old.text(key).unwrap());
    }
    new.save(checkpoint).unwrap();
}

#[test]
fn weights_of_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["generator.o.weight", "discriminator.f.parametrizations.weight.original"] {
        succeed(dir.path(), &tiny("--steps 4 --out run"));
        super::edit(&dir.path().join("run/config.toml"), "steps = 4", "steps = 6");
        let [last, previous] = CHECKPOINTS.map(|file| dir.path().join(file));
        spoil(&last, name, f32::NAN);
        let message = format!("run/checkpoint.safetensors: {name} is not finite");
        refuses(dir.path(), &tiny("--init-from run --out new"), &[&message]);
        // The checkpoint before it serves, but not in silence.
        let output = gan(dir.path(), "sample run");
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(output.stderr.contains(&message) && output.stderr.contains("of step 2"), "{}", output.stderr);
        spoil(&previous, name, f32::INFINITY);
        for command in ["sample run --out a.png", "inspect run", "evaluate run --cache cache", "resume run"] {
            refuses(dir.path(), command, &[&message]);
        }
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
    }
}

/// Finite numbers that make others: sums that overflow, roots of a negative variance.
#[test]
fn slopes_and_images() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("set"), 8, 8);
    succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 1 --out run").replace("sngan", "wgan-gp"));
    let last = dir.path().join(CHECKPOINTS[0]);
    let good = std::fs::read(&last).unwrap();
    spoil(&last, "discriminator.", 1e30);
    refuses(dir.path(), "inspect run", &["the discriminator's steepest slope at real images is not finite: found "]);
    std::fs::write(&last, good).unwrap();
    spoil(&last, "generator.", -1.0);
    let images = "run: the generator makes images that are not finite";
    for flags in ["", "--n 100", "--interpolate 2"] {
        refuses(dir.path(), &format!("sample run {flags}"), &[images]);
    }
}

/// The one file in a directory.
fn only_file(dir: &Path) -> PathBuf {
    let mut files = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert!(files.next().is_none(), "{}: more than one file", dir.display());
    file
}

#[test]
fn the_classifier_of_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let path = only_file(&dir.path().join("cache"));
    let good = Archive::load(&path).unwrap();
    let put = |name: &str, shape: &[usize], value: f64| {
        let mut archive = good.clone();
        archive.set_tensor(format!("classifier.{name}"), &Tensor::<f32>::full(shape, value));
        sealed::seal(&mut archive);
        archive.save(&path).unwrap();
    };
    let train = tiny("--data mnist --data-dir set --evaluate-every 2 --out new");
    let refused = |parts: &[&str]| {
        refuses(dir.path(), "evaluate run --cache cache", parts);
        std::fs::rename(dir.path().join("cache"), dir.path().join("runs/classifiers")).unwrap();
        refuses(dir.path(), &train, parts);
        std::fs::rename(dir.path().join("runs/classifiers"), dir.path().join("cache")).unwrap();
    };
    std::fs::create_dir(dir.path().join("runs")).unwrap();
    for (name, shape) in [("dense.bias", &[10][..]), ("norm.0.running_var", &[32])] {
        put(name, shape, f64::NAN);
        let file = format!("{}: classifier.{name} is not finite", path.file_name().unwrap().to_str().unwrap());
        refused(&["cannot use the classifier in the cache; delete ", " to train it again", &file]);
    }
    // Finite weights, of which the sums are not.
    put("norm.3.weight", &[128], f32::MAX.into());
    refused(&["features of the reference images from the classifier set-", ": found inf in row 1, column "]);
    put("dense.weight", &[10, 128], f32::MAX.into());
    refused(&["probabilities of the reference images from the classifier set-", ": found NaN in row 1, column "]);
    good.save(&path).unwrap();
    succeed(dir.path(), "evaluate run --cache cache");
}

#[test]
fn pictures_too_large_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("set"), 4, 88);
    succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 1 --out run"));
    let n = "--n 10000: 10000 images of 88×88 make a picture of 17701 by 17701 pixels; expected at most 268435456";
    refuses(dir.path(), "sample run --n 10000", &[n]);
    let rows = "--interpolate 1000: 10000 images of 88×88 make a picture of 1771 by 177001 pixels; expected at most";
    refuses(dir.path(), "sample run --interpolate 1000", &[rows]);
}
