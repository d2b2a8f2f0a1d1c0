//! What shows a run: its page, the look into its nets, interpolations, and event files.

use std::path::Path;

use wengert_demos::inspect::Inspection;
use wengert_demos::pictures::{Raster, read_png};

use super::{edit, png_size, succeed, tiny, tree};

fn page(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("run/report.html")).unwrap()
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 4 --out run"));
    let html = page(dir.path());
    for part in
        ["<h1>sngan on digits</h1>", "4 of 4 steps", "<span>batch</span><span>4</span>", "Samples after 4 steps"]
    {
        assert!(html.contains(part), "{part}");
    }
    // The samples twice, the animation, three small ones, the losses.
    assert_eq!(html.matches("<img ").count(), 6);
    assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 6);
    assert_eq!(html.matches("src=").count(), 6, "no picture from elsewhere");
    for outside in ["http://", "https://", "//", "url(", "@import", "<link", "<script", "<iframe"] {
        let markup: String = html.split('"').filter(|part| !part.starts_with("data:")).collect();
        assert!(!markup.contains(outside), "{outside}");
    }
    // What `gan report` makes of the same files is the same page.
    assert_eq!(succeed(dir.path(), "report run"), "run/report.html\n");
    assert!(html == page(dir.path()));
    for missing in ["losses.csv", "losses.png", "time.json"] {
        std::fs::remove_file(dir.path().join("run").join(missing)).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("run/samples")).unwrap();
    std::fs::create_dir(dir.path().join("run/samples")).unwrap();
    succeed(dir.path(), "report run");
    assert!(page(dir.path()).contains("0 of 4 steps") && !page(dir.path()).contains("<img "));
}

#[test]
fn files_put_no_markup_into_the_page() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 1 --out run"));
    let run = dir.path().join("run");
    let figures = r#"{"frechet": 12.5, "kernel": {"mean": 0.25, "standard_error": null}, "classifier_score": 1.5,
        "prdc": {"precision": 0.5, "recall": 0.25, "density": 1, "coverage": 0.75}, "sliced_wasserstein": [],
        "class_shares": []}"#;
    let of = |step: u64| {
        let (kind, name) = (r#""n": 5, "seed": 0, "classifier_accuracy": 0.9"#, "<script></table><img src=x>");
        format!(r#"{{"step": {step}, {kind}, "classifier": "{name}", "generated": {figures}, "real": {figures}}}"#)
    };
    let history = format!(r#"{{"last": {0}, "best": {1}, "evaluations": [{1}, {0}]}}"#, of(2), of(1));
    std::fs::write(run.join("evaluation.json"), history).unwrap();
    edit(&run.join("losses.csv"), "generator", "<b>\"&");
    succeed(dir.path(), "report run");
    let html = page(dir.path());
    for part in [
        "&lt;script&gt;",
        "12.500",
        "&lt;/table&gt;&lt;img src=x&gt;",
        "&lt;b&gt;&quot;&amp;, mean of the last 1",
        "the best, step 1",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script") && !html.contains("<img src=x"));
}

#[test]
fn the_animation_shows_the_grids() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 3 --sample-every 1 --out run"));
    let file = std::io::BufReader::new(std::fs::File::open(dir.path().join("run/animation.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    assert_eq!(reader.info().animation_control.unwrap().num_frames, 4);
    for step in 0..4 {
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let grid = read_png(&dir.path().join(format!("run/samples/step-{step:06}.png"))).unwrap();
        assert!(pixels == grid.pixels, "step {step}");
    }
}

#[test]
fn inspect_prints_a_table_or_json_and_leaves_both_in_the_run() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 3 --out run"));
    let before = tree(&dir.path().join("run"));
    let table = succeed(dir.path(), "inspect run --n 5");
    for part in
        ["discriminator, step 3", "c.0  3×3 conv, stride 1, W/σ", "product", "generator, step 3", "5 real images"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert_eq!(png_size(&dir.path().join("run/inspect/singular-values.png")), (1080, 460));
    let json = succeed(dir.path(), "inspect run --n 5 --json");
    assert_eq!(json.lines().count(), 1);
    let found: Inspection = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (found.step, found.images, found.discriminator.layers.len(), found.generator.layers.len()),
        (3, 5, 8, 5)
    );
    let product = found.discriminator.product.unwrap();
    let bounds: f64 = found.discriminator.layers.iter().map(|layer| layer.bound).product();
    assert!((product.bound / bounds - 1.0).abs() < 1e-12 && product.norm < product.bound);
    assert!(0.0 < found.steepest.real && found.steepest.real < product.norm);
    assert!(0.0 < found.steepest.generated && found.steepest.generated < product.norm);
    let written = std::fs::read_to_string(dir.path().join("run/inspect/inspect.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written).unwrap(),
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    );
    let html = page(dir.path());
    assert!(html.contains("<h2>Inside the nets</h2>") && html.contains("<td>4×4 conv, stride 2, W/σ</td>"));
    let after = tree(&dir.path().join("run"));
    let same = |(name, bytes): (&std::path::PathBuf, &Vec<u8>)| after[name] == *bytes || name.ends_with("report.html");
    assert!(before.iter().all(same), "what training wrote is as it was");
}

/// The tile at this row and column of a grid of 32×32 images, two pixels wide each.
fn tile(grid: &Raster, row: usize, column: usize) -> Vec<u8> {
    let lines = (0..64).map(|y| ((1 + row * 65 + y) * grid.width + 1 + column * 65) * grid.channels);
    lines.flat_map(|start| grid.pixels[start..start + 64 * grid.channels].to_vec()).collect()
}

#[test]
fn interpolations_go_from_one_sample_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let said = succeed(dir.path(), "sample run --interpolate 2 --seed 3 --out ways.png");
    assert_eq!(said, "ways.png: 2 interpolations from run, step 2\n");
    succeed(dir.path(), "sample run --n 4 --seed 3 --out ends.png");
    let read = |name: &str| read_png(&dir.path().join(name)).unwrap();
    let (ways, ends) = (read("ways.png"), read("ends.png"));
    assert_eq!((ways.width, ways.height), (10 * 65 + 1, 2 * 65 + 1));
    let mut different: Vec<Vec<u8>> = Vec::new();
    for row in 0..2 {
        // Row i of four samples in two columns holds images 2i and 2i + 1.
        assert!(tile(&ways, row, 0) == tile(&ends, row, 0) && tile(&ways, row, 9) == tile(&ends, row, 1));
        different.extend((0..10).map(|column| tile(&ways, row, column)));
    }
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 20, "every step on the way is another picture");
}

#[test]
fn event_files_come_with_the_flag_and_with_each_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = tiny("--steps 2 --out run");
    args += " --tensorboard";
    succeed(dir.path(), &args);
    let logs = dir.path().join("run/tensorboard");
    let first = tree(&logs);
    assert_eq!(first.len(), 1);
    let count =
        |needle: &str, bytes: &[u8]| bytes.windows(needle.len()).filter(|part| *part == needle.as_bytes()).count();
    let bytes = first.values().next().unwrap();
    assert_eq!(["loss/discriminator", "loss/generator", "samples"].map(|tag| count(tag, bytes)), [2, 2, 2]);
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 5");
    succeed(dir.path(), "resume run");
    let second = tree(&logs);
    assert!(second.len() == 2 && first.iter().all(|(name, bytes)| second[name] == *bytes));
    assert_eq!(count("loss/generator", second.values().last().unwrap()), 3);
    // A run without the flag has none, resumed or not.
    succeed(dir.path(), &tiny("--steps 2 --out plain"));
    edit(&dir.path().join("plain/config.toml"), "steps = 2", "steps = 3");
    succeed(dir.path(), "resume plain");
    assert!(!dir.path().join("plain/tensorboard").exists());
}
