//! Every method through the program: training, resuming, sampling; configurations in files; warm starts.

use std::path::Path;

use super::bad_input::refuses;
use super::{edit, gan, png_size, succeed, tiny, tree, write_idx};
use wengert_demos::inspect::Inspection;

/// The arguments of [`tiny`] with another method.
fn tiny_of(method: &str, changes: &str) -> String {
    tiny(changes).replacen("train sngan", &format!("train {method}"), 1)
}

const METHODS: [&str; 8] = [
    "gan",
    "wgan --warm-up false",
    "wgan-gp",
    "sngan",
    "sn-reg",
    "sagan",
    "sagan --conditional",
    "wgan-gp --conditional",
];

#[test]
fn every_method_goes_on_to_the_same_bits_at_any_number_of_threads() {
    for method in METHODS {
        let dir = tempfile::tempdir().unwrap();
        succeed(dir.path(), &tiny_of(method, "--out whole --threads 1 --n-dis 2"));
        succeed(dir.path(), &tiny_of(method, "--out part --threads 3 --n-dis 2 --steps 3"));
        edit(&dir.path().join("part/config.toml"), "steps = 3", "steps = 6");
        assert!(succeed(dir.path(), "resume part --threads 2").contains("going on after step 3"));
        let (whole, part) = (tree(&dir.path().join("whole")), tree(&dir.path().join("part")));
        for name in ["checkpoint.safetensors", "losses.csv", "losses.png", "samples/step-000006.png", "config.toml"] {
            assert!(whole[Path::new(name)] == part[Path::new(name)], "{method}: {name}");
        }
        assert!(succeed(dir.path(), "sample whole --n 4").contains("step 6"));
        assert_eq!(png_size(&dir.path().join("samples.png")), (131, 131));
        // A column for each class, where there are any.
        succeed(dir.path(), "sample whole --n 20");
        let columns = if method.contains("--conditional") { 10 } else { 5 };
        let size = (columns * 65 + 1, 20u32.div_ceil(columns) * 65 + 1);
        assert_eq!(png_size(&dir.path().join("samples.png")), size, "{method}");
    }
}

#[test]
fn every_method_can_be_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    for (method, layers, product) in [
        ("gan", [8, 5], true),
        ("wgan --warm-up false", [4, 4], false),
        ("wgan-gp", [4, 4], true),
        ("gan --norm weight", [8, 5], true),
        ("sn-reg", [8, 5], true),
        ("sagan", [12, 9], false),
        ("sagan --conditional", [12, 9], false),
    ] {
        let run = method.replace(' ', "");
        succeed(dir.path(), &tiny_of(method, &format!("--steps 1 --n-dis 1 --out {run}")));
        let json = succeed(dir.path(), &format!("inspect {run} --n 3 --json"));
        let found: Inspection = serde_json::from_str(&json).unwrap();
        assert_eq!([found.discriminator.layers.len(), found.generator.layers.len()], layers, "{method}");
        assert_eq!(found.discriminator.product.is_some(), product, "{method}");
        if let Some(product) = found.discriminator.product {
            assert!(found.steepest.real <= product.norm && found.steepest.generated <= product.norm, "{method}");
        }
        // Attention: four images with five points each.
        let picture = dir.path().join(&run).join("inspect/attention.png");
        assert_eq!(picture.exists(), method.starts_with("sagan"), "{method}");
        if picture.exists() {
            assert_eq!(png_size(&picture), (6 * 132 + 4, 4 * 132 + 4));
            assert_eq!(found.gammas.len(), 2, "{:?}", found.gammas);
        }
        succeed(dir.path(), &format!("sample {run} --interpolate 2"));
    }
}

#[test]
fn every_drawn_set_trains_and_others_say_what_they_need() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--data shapes --steps 1 --out shapes"));
    for name in ["cifar-10", "svhn", "stl-10", "stl-10-unlabelled", "folder"] {
        let needs = match name {
            "folder" => format!("--data {name} needs --data-dir DIR"),
            _ => format!("gan data fetch {name} downloads the set, --data-dir says where else it is"),
        };
        refuses(dir.path(), &tiny(&format!("--data {name}")), &[&needs]);
        let flags = format!("--data {name} --data-dir shapes/samples --steps 1 --out new");
        if name != "folder" {
            refuses(dir.path(), &tiny(&flags), &["shapes/samples"]);
        }
    }
    // A folder of pictures, here of grids, with one that is none.
    std::fs::write(dir.path().join("shapes/samples/bad.png"), "no picture").unwrap();
    let flags = "--data folder --data-dir shapes/samples --size 16 --steps 1 --out folder";
    refuses(dir.path(), &tiny(flags), &["bad.png"]);
    let output = gan(dir.path(), &(tiny(flags) + " --skip-corrupt"));
    assert!(output.code == Some(0) && output.stderr.contains("bad.png"), "{}", output.stderr);
    assert_eq!(png_size(&dir.path().join("folder/samples/step-000001.png")), (8 * 33 + 1, 8 * 33 + 1));
    refuses(dir.path(), &(tiny("") + " --skip-corrupt"), &["--skip-corrupt does not go with --data digits"]);
}

#[test]
fn losses_of_wasserstein_runs_have_the_critics_estimate() {
    let dir = tempfile::tempdir().unwrap();
    for (method, run, same) in [("wgan --warm-up false", "clipped", true), ("wgan-gp", "penalised", false)] {
        succeed(dir.path(), &tiny_of(method, &format!("--n-dis 1 --out {run}")));
        let text = std::fs::read_to_string(dir.path().join(run).join("losses.csv")).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("step,discriminator,generator,estimate,output_real,output_generated"));
        for line in lines {
            let numbers: Vec<f64> = line.split(',').map(|number| number.parse().unwrap()).collect();
            let &[_, loss, _, estimate, real, generated] = numbers.as_slice() else { panic!("{line}") };
            assert!((estimate - (real - generated)).abs() < 1e-5, "{line}");
            assert_eq!(loss == -estimate, same, "the penalty is in the loss alone: {line}");
        }
    }
}

#[test]
fn mixes_known_not_to_work_are_refused_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    for (args, reason) in [
        ("sngan --loss wasserstein", "Wasserstein loss and spectral norm is known not to work"),
        ("sagan --loss wasserstein", "Wasserstein loss and spectral norm is known not to work"),
        ("wgan --norm spectral", "Wasserstein loss and spectral norm is known not to work"),
        ("wgan-gp --norm batch", "depends on the whole batch"),
        ("gan --loss wasserstein", "nothing keeps from growing"),
        ("sn-reg --loss wasserstein", "nothing keeps from growing"),
    ] {
        refuses(dir.path(), &tiny_of(args, "--out run"), &[reason, "expected", "--force"]);
    }
    succeed(dir.path(), &tiny_of("sngan --loss wasserstein --force", "--out run --steps 2"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 3");
    assert!(succeed(dir.path(), "resume run").contains("going on after step 2"), "the run keeps that it was forced");
}

#[test]
fn contradictory_settings_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for (args, parts) in [
        ("sngan --clip 0.01", &["--clip belongs to wgan; sngan has none"][..]),
        ("wgan --gp-lambda 10", &["--gp-lambda belongs to wgan-gp; wgan has none"]),
        ("sngan --sn-lambda 1", &["--sn-lambda belongs to sn-reg; sngan has none"]),
        ("wgan-gp --warm-up true", &["--warm-up belongs to wgan; wgan-gp has none"]),
        ("sngan --lr-decay 1.5", &["--lr-decay is 1.5; expected 0 to 1"]),
        ("wgan --betas 0.5,0.9", &["--betas does not go with --optimizer rmsprop"]),
        ("sngan --net sagan", &["--net sagan does not go with sngan; expected standard, dcgan or resnet"]),
        ("sagan --net dcgan", &["--net dcgan does not go with sagan; expected sagan or resnet"]),
        ("sngan --norm batch", &["--norm batch does not go with sngan; expected spectral"]),
        ("sn-reg --norm weight", &["--norm weight does not go with sn-reg; gan and wgan-gp take it"]),
        ("gan --norm spectral", &["--norm spectral does not go with gan", "the method sngan"]),
        ("sngan --setting B --lr 0.1", &["--setting B determines --lr already; expected one of the two"]),
        ("sngan --setting B --n-dis 2", &["--setting B determines --n-dis already"]),
        ("wgan --setting A", &["--setting A is one of Adam; wgan has --optimizer rmsprop"]),
        ("sagan --setting A", &["sagan has two, --lr and --lr-d"]),
        ("sngan --setting G", &["'G'", "possible values: A, B, C, D, E, F"]),
        ("wgan --clip -0.01", &["--clip is -0.01; expected a number above 0"]),
        ("wgan-gp --gp-lambda nan", &["--gp-lambda is NaN; expected a number above 0"]),
        ("sn-reg --sn-lambda 0", &["--sn-lambda is 0; expected a number above 0"]),
    ] {
        refuses(dir.path(), &tiny_of(args, ""), parts);
    }
}

#[test]
fn a_file_holds_a_configuration_and_flags_override_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(dir.path().join("c.toml"), text).unwrap();
    file("method = \"wgan-gp\"\nwidth = 0.03\nbatch = 4\nz_dim = 8\nsteps = 9\nsetting = \"B\"\ngp_lambda = 5\n");
    succeed(dir.path(), "train --config c.toml --steps 2 --lr 3e-4 --out run");
    let text = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    // From the file, from the setting in it, from a flag, from a flag over the setting, from the recipe.
    for line in ["gp_lambda = 5.0", "n_dis = 1", "steps = 2", "lr = 0.0003", "loss = \"wasserstein\""] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    // A run's own configuration makes the same run.
    succeed(dir.path(), "train --config run/config.toml --out again");
    for name in ["config.toml", "checkpoint.safetensors", "losses.csv"] {
        let read = |run: &str| std::fs::read(dir.path().join(run).join(name)).unwrap();
        assert!(read("run") == read("again"), "{name}");
    }
    refuses(dir.path(), "train sngan --config c.toml", &["<METHOD> is sngan, but --config says wgan-gp"]);
    refuses(dir.path(), "train --config no.toml", &["--config no.toml", "cannot read"]);
    refuses(dir.path(), "train --config .", &["--config .", "not a file"]);
    for (text, part) in [
        ("colour = 1", "unknown field `colour`"),
        ("width = \"wide\"", "invalid type"),
        ("method = \"biggan\"", "unknown variant `biggan`"),
        ("steps = = 4", "TOML parse error"),
        ("width = 0.5", "<METHOD> is missing"),
        ("method = \"sngan\"\nwidth = -1", "--width is -1"),
        ("method = \"sngan\"\nclip = 0.01", "--clip belongs to wgan"),
    ] {
        file(text);
        refuses(dir.path(), "train --config c.toml", &[part]);
    }
}

#[test]
fn paper_takes_the_recipe_of_the_paper_and_other_flags_override_it() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &(tiny("--steps 2 --out run") + " --paper"));
    let text = std::fs::read_to_string(dir.path().join("run/config.toml")).unwrap();
    for line in ["loss = \"standard\"", "init = \"paper\"", "steps = 2", "batch = 4", "width = 0.03"] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    assert!(!text.contains("paper ="), "the values are kept, not the word for them: {text}");
    // Its own configuration makes the same run, and a file may ask for the paper too.
    succeed(dir.path(), "train --config run/config.toml --out again");
    std::fs::write(dir.path().join("c.toml"), "method = \"sngan\"\npaper = true\nloss = \"hinge\"\n").unwrap();
    succeed(dir.path(), &(tiny("--config c.toml --steps 2 --out file")));
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("run/checkpoint.safetensors") == read("again/checkpoint.safetensors"));
    let text = std::fs::read_to_string(dir.path().join("file/config.toml")).unwrap();
    assert!(text.contains("init = \"paper\"\n") && text.contains("loss = \"hinge\"\n"), "{text}");
    // How long a run with a decay is, is part of it.
    succeed(dir.path(), &tiny("--lr-decay 0.5 --steps 2 --out falling"));
    refuses(dir.path(), "resume falling --steps 4", &["steps is 4", "expected 2 as when the run began"]);
}

#[test]
fn a_run_keeps_how_many_images_of_each_class_its_set_has() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("set"), 64, 8);
    let flags = "--data mnist --data-dir set --n-dis 1 --out";
    succeed(dir.path(), &(tiny(&format!("{flags} whole")) + " --conditional"));
    let read = |run: &str| std::fs::read(dir.path().join(run).join("checkpoint.safetensors")).unwrap();
    let counts = b"7,7,7,7,6,6,6,6,6,6";
    assert!(read("whole").windows(counts.len()).any(|part| part == counts), "of 64 images whose classes take turns");
    succeed(dir.path(), &(tiny(&format!("{flags} part --steps 3")) + " --conditional"));
    succeed(dir.path(), "resume part --steps 6");
    assert!(read("whole") == read("part"));
}

#[test]
fn images_can_be_mirrored_and_dequantised() {
    let dir = tempfile::tempdir().unwrap();
    let shapes = |flags: &str| {
        succeed(dir.path(), &(tiny("--data shapes --size 16 --out run") + flags));
        let checkpoint = std::fs::read(dir.path().join("run/checkpoint.safetensors")).unwrap();
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
        checkpoint
    };
    let all = [shapes(""), shapes(" --flip"), shapes(" --dequantise")];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    for name in ["digits", "mnist --data-dir ."] {
        let message = "a digit in a mirror is another one, or none";
        refuses(
            dir.path(),
            &(tiny(&format!("--data {name}")) + " --flip"),
            &["--flip does not go with --data", message],
        );
    }
    // What was computed goes on to the same bits.
    succeed(dir.path(), &(tiny("--data shapes --size 16 --out whole") + " --flip --dequantise"));
    succeed(dir.path(), &(tiny("--data shapes --size 16 --steps 3 --out part") + " --flip --dequantise"));
    succeed(dir.path(), "resume part --steps 6");
    let read = |run: &str| std::fs::read(dir.path().join(run).join("checkpoint.safetensors")).unwrap();
    assert!(read("whole") == read("part"));
}

/// A run of an earlier version, whose configuration has no test_half, learns from two thirds of the train half still.
#[test]
fn the_whole_train_half_trains_but_not_in_older_runs() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(&dir.path().join("set"), 60, 8);
    let said = succeed(dir.path(), &tiny("--data mnist --data-dir set --steps 2 --out new"));
    assert!(said.contains("training on 60 images; the test half is kept for evaluation"), "{said}");
    std::fs::write(dir.path().join("old.toml"), "test_half = false\n").unwrap();
    let said = succeed(dir.path(), &tiny("--config old.toml --data mnist --data-dir set --steps 2 --out old"));
    assert!(said.contains("training on 40 images; 20 more are kept for evaluation"), "{said}");
    let config = std::fs::read_to_string(dir.path().join("old/config.toml")).unwrap();
    assert!(!config.contains("test_half"), "as an older version wrote it: {config}");
    assert!(succeed(dir.path(), "resume old --steps 4").contains("training on 40 images"));
    assert!(succeed(dir.path(), "resume new --steps 4").contains("training on 60 images"));
    // Without files of a test half, a third of the train half is kept, and the run says so.
    for name in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
        std::fs::remove_file(dir.path().join("set").join(name)).unwrap();
    }
    let output = gan(dir.path(), &tiny("--data mnist --data-dir set --steps 2 --out alone"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("training on 40 images; 20 more are kept"), "{}", output.stdout);
    assert!(
        output.stderr.contains("t10k-images-idx3-ubyte") && output.stderr.contains("a third of"),
        "{}",
        output.stderr
    );
}

#[test]
fn resume_refuses_a_changed_configuration_and_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let path = dir.path().join("run/config.toml");
    edit(&path, "steps = 2", "steps = 4");
    let good = std::fs::read_to_string(&path).unwrap();
    for (from, to, part) in [
        ("lr = 0.0002", "lr = 0.0001", "lr is 0.0001 in config.toml, expected 0.0002 as when the run began"),
        ("batch = 4", "batch = 8", "batch is 8 in config.toml, expected 4"),
        ("seed = 0", "ema = 0.9\nseed = 0", "ema is 0.9 in config.toml, expected none"),
        ("n_dis = 1", "n_dis = 2", "n_dis is 2 in config.toml, expected 1"),
        ("\"sngan\"", "\"sagan\"", "does not go with sagan"),
        ("\"hinge\"", "\"standard\"", "loss is \"standard\" in config.toml, expected \"hinge\""),
    ] {
        edit(&path, from, to);
        refuses(dir.path(), "resume run", &[part]);
        std::fs::write(&path, &good).unwrap();
    }
    edit(&path, "sample_every = 2", "sample_every = 1");
    succeed(dir.path(), "resume run");
}

/// All pixels of a PNG file, without its texts.
fn pixels(path: &Path) -> Vec<u8> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

#[test]
fn a_run_can_start_from_the_nets_of_another() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--out old"));
    succeed(dir.path(), &tiny("--init-from old --steps 2 --ema 0.9 --loss standard --out new"));
    let picture = |name: &str| pixels(&dir.path().join(name));
    assert!(picture("new/samples/step-000000.png") == picture("old/samples/step-000006.png"));
    assert!(picture("new/samples/step-000000.png") != picture("old/samples/step-000000.png"));
    // The old run may go: the new one has all that it needs.
    std::fs::rename(dir.path().join("old"), dir.path().join("kept")).unwrap();
    edit(&dir.path().join("new/config.toml"), "steps = 2", "steps = 3");
    succeed(dir.path(), "resume new");
    // A damaged checkpoint is named, and the one before serves: here that of step 4.
    std::fs::rename(dir.path().join("kept"), dir.path().join("hurt")).unwrap();
    let last = dir.path().join("hurt/checkpoint.safetensors");
    let good = std::fs::read(&last).unwrap();
    std::fs::write(&last, &good[..good.len() / 2]).unwrap();
    let output = gan(dir.path(), &tiny("--init-from hurt --steps 1 --out healed"));
    assert!(output.code == Some(0) && output.stderr.contains("checkpoint.previous.safetensors instead, of step 4"));
    assert!(picture("healed/samples/step-000000.png") == picture("hurt/samples/step-000004.png"));
    std::fs::write(&last, good).unwrap();
    std::fs::rename(dir.path().join("hurt"), dir.path().join("kept")).unwrap();
    // Nets that do not fit, by names and by shapes, and no run at all.
    let does_not_fit = |args: &str, parts: &[&str]| refuses(dir.path(), &format!("{args} --init-from kept"), parts);
    let names = ["--init-from", "the discriminator of that run, of the method sngan", "this one, gan", "c.0.weight"];
    does_not_fit(&tiny_of("gan", ""), &names);
    let shapes = ["--init-from", "the generator of that run", "l.weight: found F32 [240, 8], expected F32 [496, 8]"];
    does_not_fit(&tiny("--width 0.06"), &shapes);
    refuses(dir.path(), &tiny("--init-from nowhere"), &["--init-from", "nowhere", "no such directory"]);
}

#[test]
fn conditional_runs_draw_the_class_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny_of("sagan --conditional", "--lr 0.05 --out run"));
    // A column for each of the ten digits.
    // Under a line with their names.
    assert_eq!(png_size(&dir.path().join("run/samples/step-000006.png")), (10 * 65 + 1, 8 * 65 + 1 + 18));
    // Pictures of another size, as earlier versions drew them, are no part of the animation.
    succeed(dir.path(), "sample run --n 4 --out run/samples/step-000002.png");
    succeed(dir.path(), "report run");
    assert_eq!(png_size(&dir.path().join("run/animation.png")), (10 * 65 + 1, 8 * 65 + 1 + 18));
    let picture = |flags: &str| {
        succeed(dir.path(), &format!("sample run --n 4 {flags}"));
        std::fs::read(dir.path().join("samples.png")).unwrap()
    };
    let (three, four) = (picture("--class 3"), picture("--class 4"));
    assert!(three == picture("--class 3") && three != four && three != picture(""));
    refuses(dir.path(), "sample run --class 10", &["--class is 10; expected 0 to 9"]);
    succeed(dir.path(), &tiny("--out plain"));
    refuses(dir.path(), "sample plain --class 0", &["--class", "plain is not conditional"]);
}

#[test]
fn size_brings_images_to_another_side() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--size 48 --steps 1 --out large"));
    assert_eq!(png_size(&dir.path().join("large/samples/step-000001.png")), (8 * 97 + 1, 8 * 97 + 1));
    write_idx(&dir.path().join("odd"), 10, 30);
    let odd = "--data mnist --data-dir odd --steps 1";
    refuses(dir.path(), &tiny(odd), &["odd: images are 30×30×1", "that 8 divides", "--size"]);
    succeed(dir.path(), &tiny(&format!("{odd} --size 16 --out small")));
    assert_eq!(png_size(&dir.path().join("small/samples/step-000001.png")), (8 * 33 + 1, 8 * 33 + 1));
    assert!(succeed(dir.path(), "resume small").contains("its only step is done"));
}
