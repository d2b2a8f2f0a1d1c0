//! `gan data`, and training on every kind of set that needs no download.

use std::path::Path;

use super::bad_input::refuses;
use super::{edit, gan, png_size, succeed, tiny, tree, write_idx};

/// A batch of CIFAR-10 with ten images of random bytes, one of each class.
fn write_cifar(dir: &Path, name: &str) {
    let byte = |k: usize| (k.wrapping_mul(0x9E37_79B9) >> 16) as u8;
    let records =
        (0..10).flat_map(|label| std::iter::once(label as u8).chain((0..3072).map(move |k| byte(3072 * label + k))));
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(name), records.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn a_sheet_shows_a_row_for_each_class() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), "data show shapes --n 3");
    // The names of the classes are beside their rows.
    assert_eq!(png_size(&dir.path().join("shapes.png")), (120 + 3 * 65 + 1, 8 * 65 + 1));
    assert!(
        said.contains("shapes: unlimited, ") && said.contains("8 classes") && said.contains("row  5  label  4  star"),
        "{said}"
    );
    let again = succeed(dir.path(), "data show shapes --n 3 --out again.png");
    assert_eq!(said.replace("shapes.png", "again.png"), again);
    let files = tree(dir.path());
    assert!(files[Path::new("shapes.png")] == files[Path::new("again.png")]);
    write_cifar(&dir.path().join("set"), "data_batch_2.bin");
    let said = succeed(dir.path(), "data show cifar-10 --data-dir set --n 2 --size 16 --out cifar.png");
    assert!(said.contains("found 1 of the 5 files, 10 images in all"), "{said}");
    assert!(said.contains("label  9  truck: 1 found, the rest of the row is grey"), "{said}");
    assert_eq!(png_size(&dir.path().join("cifar.png")), (120 + 2 * 33 + 1, 10 * 33 + 1));
}

#[test]
fn sets_in_colour_train() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--data shapes --steps 2 --out shapes"));
    write_cifar(&dir.path().join("set/cifar-10-batches-bin"), "data_batch_1.bin");
    let output = gan(dir.path(), &tiny("--data cifar-10 --data-dir set --steps 2 --out cifar"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("found 1 of the 5 files"), "{}", output.stderr);
    succeed(dir.path(), "data show cifar-10 --data-dir set --out set/one.png");
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::copy(dir.path().join("set/one.png"), dir.path().join("folder/one.png")).unwrap();
    let output = gan(dir.path(), &tiny("--data folder --data-dir folder --steps 2 --out folder-run"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stderr, "folder: one image to learn from, so a batch of 4 has some more than once\n");
    for run in ["shapes", "cifar", "folder-run"] {
        assert_eq!(png_size(&dir.path().join(run).join("samples/step-000002.png")), (521, 521));
    }
}

/// A PNG file of 16×16 pixels of one colour.
fn write_png(path: &Path, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 16, 16);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&colour.repeat(256)).unwrap();
}

#[test]
fn flatten_is_a_part_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..8 {
        write_png(&dir.path().join(format!("set/{}/year/{i}.png", ["a", "b"][i % 2])), [i as u8 * 30; 3]);
    }
    let show = "data show folder --data-dir set --out sheet.png";
    refuses(dir.path(), show, &["set/a/year: found a folder in that of a class", "--flatten"]);
    refuses(dir.path(), &tiny("--data folder --data-dir set"), &["set/a/year", "--flatten"]);
    let said = succeed(dir.path(), &format!("{show} --flatten"));
    assert!(said.contains("set: 8 images") && said.contains("label  1  b: 4 found"), "{said}");
    succeed(dir.path(), &(tiny("--data folder --data-dir set --steps 1 --out run") + " --flatten"));
    edit(&dir.path().join("run/config.toml"), "steps = 1", "steps = 2");
    succeed(dir.path(), "resume run");
    edit(&dir.path().join("run/config.toml"), "flatten = true\n", "");
    refuses(dir.path(), "resume run", &["set/a/year", "--flatten"]);
    refuses(dir.path(), &(tiny("") + " --flatten"), &["--flatten does not go with --data digits, only with folder"]);
}

#[test]
fn classes_that_cannot_be_learnt_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sagan = |flags: &str| tiny(flags).replace("sngan", "sagan") + " --conditional";
    write_png(&dir.path().join("flat/a.png"), [9; 3]);
    let one = ["--conditional needs at least two classes; flat has one"];
    refuses(dir.path(), &sagan("--data folder --data-dir flat --out run"), &one);
    let none = ["--conditional needs labels; --data stl-10-unlabelled has none"];
    refuses(dir.path(), &sagan("--data stl-10-unlabelled --data-dir flat --out run"), &none);
    for class in ["a", "c"] {
        write_png(&dir.path().join("set").join(class).join("x.png"), [90; 3]);
    }
    std::fs::create_dir(dir.path().join("set/b")).unwrap();
    refuses(dir.path(), &tiny("--data folder --data-dir set"), &["set/b: found no .png", "it is empty"]);
    let output = gan(dir.path(), &(sagan("--data folder --data-dir set --steps 1 --out run") + " --skip-corrupt"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("set: 1 class has no image and keeps its number: b"), "{}", output.stderr);
    assert!(output.stderr.contains("set: 2 images to learn from"), "{}", output.stderr);
}

#[test]
fn sets_are_found_where_torchvision_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("tv/MNIST/raw"), 12, 28);
    let said = succeed(dir.path(), "data show mnist --data-dir tv --out sheet.png");
    assert!(said.contains("tv: 12 images"), "{said}");
    let missing = ["tv: found neither train-images-idx3-ubyte", "tv/FashionMNIST/raw", "it has MNIST"];
    refuses(dir.path(), &tiny("--data fashion-mnist --data-dir tv"), &missing);
}

/// What a file holds, and what it is called, must not be obeyed by a terminal, nor fill it.
#[test]
fn text_from_outside_is_escaped_and_cut() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(300_000);
    for text in
        [format!("{long} = 1"), format!("steps = \"{long}\""), "\"\\u001b[2J\" = 1".into(), format!("steps = = {long}")]
    {
        std::fs::write(dir.path().join("c.toml"), text).unwrap();
        refuses(dir.path(), "train sngan --config c.toml", &["--config c.toml", "line 1"]);
        let output = gan(dir.path(), "train sngan --config c.toml");
        assert!(output.stderr.len() < 5000 && !output.stderr.contains('\x1b'), "{} bytes", output.stderr.len());
    }
    if cfg!(unix) {
        let name = "set/\x1b[2J/bad\x07.png";
        std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(name), "no picture").unwrap();
        refuses(dir.path(), &tiny("--data folder --data-dir set"), &["set/\\u{1b}[2J/bad\\u{7}.png: found"]);
        refuses(dir.path(), &tiny("--data mnist --data-dir set"), &["it has \\u{1b}[2J"]);
    }
}
