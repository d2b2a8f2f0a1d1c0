//! Runs that go well: what they write, and that the same seed gives the same bits.

use std::path::Path;

use super::bad_input::refuses;
use super::{edit, png_size, succeed, tiny, tree, write_idx};

#[test]
fn a_run_directory_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), &tiny("--out run"));
    let run = dir.path().join("run");
    let names: Vec<String> = tree(&run).keys().map(|name| name.display().to_string()).collect();
    let steps = ["000000", "000002", "000004", "000006"].map(|step| format!("samples/step-{step}.png"));
    let files = ".lock animation.png checkpoint.previous.safetensors checkpoint.safetensors config.toml losses.csv \
                 losses.png report.html samples/";
    let files: Vec<String> = files.split_whitespace().map(String::from).collect();
    let expected = [&files[..], &steps, &["time.json".into()]].concat();
    assert_eq!(names, expected, "these files and no others");
    // Eight by eight images of 32 pixels, each two wide, with lines of one pixel between and around them.
    steps.iter().for_each(|name| assert_eq!(png_size(&run.join(name)), (521, 521)));
    assert_eq!(png_size(&run.join("losses.png")), (1080, 640));
    let losses = std::fs::read_to_string(run.join("losses.csv")).unwrap();
    let mut lines = losses.lines();
    assert_eq!(lines.next(), Some("step,discriminator,generator,output_real,output_generated"));
    for (line, step) in lines.by_ref().zip(1..=6) {
        let numbers: Vec<f64> = line.split(',').map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() == 5 && numbers[0] == f64::from(step) && numbers.iter().all(|n| n.is_finite()), "{line}");
    }
    assert_eq!((losses.lines().count(), lines.next()), (7, None));
    for part in ["6 steps of about", "run/samples/step-000006.png", "run/losses.png", "gan sample run"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn without_out_each_run_gets_a_directory_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["runs/sngan-digits", "runs/sngan-digits-2"] {
        assert!(succeed(dir.path(), &tiny("--steps 1")).contains(&format!("writing to {name}\n")));
        assert!(dir.path().join(name).join("checkpoint.safetensors").is_file());
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_at_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, flags: &str| {
        succeed(dir.path(), &tiny(&format!("{flags} --n-dis 2 --loss standard --out {name}")));
        let mut files = tree(&dir.path().join(name));
        files.remove(Path::new("config.toml"));
        // These say how long it took.
        for name in ["time.json", "report.html"] {
            files.remove(Path::new(name)).unwrap();
        }
        files
    };
    let one = run("one", "--seed 5 --threads 1");
    assert!(one == run("two", "--seed 5 --threads 2"));
    assert!(one == run("three", "--seed 5 --threads 3"));
    // The largest seed: config.toml must hold it, too.
    let other = run("other", "--seed 18446744073709551615");
    for name in ["checkpoint.safetensors", "losses.csv", "samples/step-000000.png"] {
        assert!(one[Path::new(name)] != other[Path::new(name)], "{name}");
    }
    assert!(succeed(dir.path(), "resume other").contains("all 6 steps are done"));
}

#[test]
fn sample_draws_the_picture_that_its_seed_determines() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--out run"));
    let before = tree(&dir.path().join("run"));
    let sample = |flags: &str, out: &str| {
        let said = succeed(dir.path(), &format!("sample run --out {out} {flags}"));
        assert!(said.contains(out) && said.contains("step 6"), "{said}");
        std::fs::read(dir.path().join(out)).unwrap()
    };
    let picture = sample("--n 5 --seed 3", "a.png");
    assert_eq!(png_size(&dir.path().join("a.png")), (3 * 65 + 1, 2 * 65 + 1));
    assert!(picture == sample("--n 5 --seed 3 --threads 1", "b.png"));
    assert!(picture != sample("--n 5 --seed 4", "c.png"));
    assert!(before == tree(&dir.path().join("run")), "the run is as it was");
    succeed(dir.path(), "sample run");
    assert_eq!(png_size(&dir.path().join("samples.png")), (521, 521));
}

#[test]
fn samples_come_as_single_files_and_as_an_array() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--data shapes --steps 1 --out run"));
    assert_eq!(succeed(dir.path(), "sample run --n 3 --seed 5 --each ones"), "ones: 3 images from run, step 1\n");
    succeed(dir.path(), "sample run --n 3 --seed 5 --out all.npy");
    let array = std::fs::read(dir.path().join("all.npy")).unwrap();
    let header = String::from_utf8_lossy(&array[10..128]);
    assert!(header.starts_with("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 32, 32, 3, )"), "{header}");
    let images: Vec<&[u8]> = array[array.len() - 3 * 3072..].chunks(3072).collect();
    let files: Vec<_> = tree(&dir.path().join("ones")).into_keys().collect();
    assert!(files.iter().zip(0..3).all(|(name, i)| *name == *format!("{i:05}.png")) && files.len() == 3, "{files:?}");
    for (name, image) in files.iter().zip(images) {
        assert_eq!(png_size(&dir.path().join("ones").join(name)), (32, 32));
        let picture = wengert_demos::pictures::read_png(&dir.path().join("ones").join(name)).unwrap();
        assert!(picture.pixels == image, "{}", name.display());
    }
    refuses(dir.path(), "sample run --each ones", &["--each ones: this exists already"]);
    refuses(dir.path(), "sample run --each other --out a.png", &["--each", "--out"]);
    refuses(dir.path(), "sample run --out a.jpg", &["--out is a.jpg", "ends in .png or .npy"]);
}

#[test]
fn an_exported_generator_has_the_names_of_torch() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 1 --ema 0.9 --out run"));
    let said = succeed(dir.path(), "export run");
    assert!(said.contains("run/export: the generator after step 1") && said.contains("generator.py"), "{said}");
    let load = |path: &str| wengert::Archive::load(dir.path().join("run").join(path)).unwrap();
    let (generator, run) = (load("export/generator.safetensors"), load("checkpoint.safetensors"));
    // The moving average, which samples are drawn with.
    let names: Vec<String> = run.names("generator_ema.").map(|name| name["generator_ema.".len()..].into()).collect();
    assert!(generator.names("").eq(names.iter()) && names.contains(&"b.0.running_mean".into()), "{names:?}");
    let bias = |archive: &wengert::Archive, name: &str| archive.tensor::<f32>(name, [1]).unwrap();
    assert_eq!(bias(&generator, "o.bias"), bias(&run, "generator_ema.o.bias"));
    assert_ne!(bias(&generator, "o.bias"), bias(&run, "generator.o.bias"));
    let check = load("export/check.safetensors");
    assert!(check.tensor::<f32>("z", [8, 8]).is_ok() && check.tensor::<f32>("images", [8, 1, 32, 32]).is_ok());
    // Once more, elsewhere, with the same bytes.
    succeed(dir.path(), "export run --out there");
    assert!(tree(&dir.path().join("run/export")) == tree(&dir.path().join("there")));
}

#[test]
fn runs_are_compared_on_one_page() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out one"));
    succeed(dir.path(), "train wgan --warm-up false --width 0.02 --batch 2 --steps 3 --out two<");
    succeed(dir.path(), "inspect one --n 4");
    let said = succeed(dir.path(), "compare one two< --out both");
    assert_eq!(said, "both/compare.html\n");
    let page = std::fs::read_to_string(dir.path().join("both/compare.html")).unwrap();
    for part in [
        "<th scope=\"row\">generator updates</th><td class=\"number\">2</td><td class=\"number\">3</td>",
        "<th scope=\"row\">clip</th><td class=\"number\">–</td><td class=\"number\">0.01</td>",
        ">two&lt;</th>",
        "two&lt;, 3 steps",
        "one, step 2: σ of the layers ",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<th scope=\"row\">seed</th>") && !page.contains("two<,"));
    let files: Vec<_> = tree(&dir.path().join("both")).into_keys().collect();
    let names = "compare.html discriminator.png estimate.png generator.png samples-1.png samples-2.png spectra-1.png"
        .split(' ');
    assert!(names.into_iter().all(|name| files.iter().any(|file| file == Path::new(name))), "{files:?}");
    // The other was not inspected.
    assert!(!files.iter().any(|file| file == Path::new("spectra-2.png")), "{files:?}");
    refuses(dir.path(), "compare one two< --out both", &["--out both: this exists already"]);
    refuses(dir.path(), "compare one three", &["three: no such directory"]);
    assert!(!dir.path().join("compare").exists());
    refuses(dir.path(), "compare one", &["2"]);
}

/// The names of all layers in a list of an exported generator, also of those within sums.
fn names_of_layers(layers: &serde_json::Value) -> Vec<String> {
    let each = layers.as_array().unwrap().iter().flat_map(|layer| {
        let ways = layer["ways"].as_array().into_iter().flatten().flat_map(names_of_layers);
        ways.chain(layer["name"].as_str().map(String::from)).collect::<Vec<_>>()
    });
    each.collect()
}

#[test]
fn an_exported_generator_lists_the_layers_that_its_tensors_belong_to() {
    let dir = tempfile::tempdir().unwrap();
    for (run, flags, kinds) in [
        ("a", "train sngan --net standard", ["dense", "deconv", "tanh"]),
        ("b", "train sngan --net resnet", ["sum", "upsample", "batch norm"]),
        ("c", "train sagan --conditional", ["attention", "conditional batch norm", "conv"]),
    ] {
        succeed(dir.path(), &format!("{flags} --width 0.05 --batch 2 --steps 1 --out {run}"));
        succeed(dir.path(), &format!("export {run}"));
        let text = std::fs::read_to_string(dir.path().join(run).join("export/generator.json")).unwrap();
        assert!(kinds.iter().all(|kind| text.contains(&format!("\"kind\": \"{kind}\""))), "{text}");
        let layers = names_of_layers(&serde_json::from_str(&text).unwrap());
        let generator = wengert::Archive::load(dir.path().join(run).join("export/generator.safetensors")).unwrap();
        let of = |tensor: &str| layers.iter().filter(|layer| tensor.starts_with(&format!("{layer}."))).count();
        assert!(generator.names("").all(|tensor| of(tensor) == 1), "{layers:?}");
        let has_tensor = |layer: &String| generator.names("").any(|tensor| tensor.starts_with(&format!("{layer}.")));
        assert!(!layers.is_empty() && layers.iter().all(has_tensor), "{layers:?}");
    }
}

#[test]
fn a_run_on_idx_files_can_be_extended_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("clothes"), 10, 28);
    let flags = "--data fashion-mnist --data-dir clothes";
    succeed(dir.path(), &tiny(&format!("{flags} --out whole")));
    succeed(dir.path(), &tiny(&format!("{flags} --steps 3 --out part")));
    edit(&dir.path().join("part/config.toml"), "steps = 3", "steps = 6");
    succeed(&dir.path().join("clothes"), "resume ../part");
    let (whole, part) = (tree(&dir.path().join("whole")), tree(&dir.path().join("part")));
    for name in ["checkpoint.safetensors", "losses.csv", "losses.png", "samples/step-000006.png", "config.toml"] {
        assert!(whole[Path::new(name)] == part[Path::new(name)], "{name}");
    }
}
