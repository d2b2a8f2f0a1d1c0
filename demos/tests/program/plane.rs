//! `gan toy` and `gan theory`.

use super::{png_size, succeed, tree};

const TINY: &str = "toy ring --steps 6 --hidden 8 --batch 8";

#[test]
fn a_toy_run_leaves_pictures_and_figures() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), &format!("{TINY} --seeds 2 --seed 5"));
    assert!(said.starts_with("writing to runs/toy-ring-wgan-gp\n"), "{said}");
    for part in ["seed 5  step      6", "seed 6  step      6", "modes   0 of 8  good   0.0 %", "data  8 of 8"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let run = dir.path().join("runs/toy-ring-wgan-gp");
    for seed in [5, 6] {
        assert_eq!(png_size(&run.join(format!("seed-{seed}.png"))), (960, 544));
        let file = std::io::BufReader::new(std::fs::File::open(run.join(format!("seed-{seed}.apng"))).unwrap());
        let frames = png::Decoder::new(file).read_info().unwrap().info().animation_control.unwrap().num_frames;
        assert!((3..=7).contains(&frames), "{frames}");
        let csv = std::fs::read_to_string(run.join(format!("seed-{seed}.csv"))).unwrap();
        let last: Vec<&str> = csv.lines().last().unwrap().split(',').collect();
        assert_eq!((last.len(), last[0], last[3]), (6, "6", "0"), "{csv}");
        assert!(last[5].parse::<f64>().unwrap() > 0.1, "{csv}");
    }
    let recipe = std::fs::read_to_string(run.join("recipe.toml")).unwrap();
    for line in ["toy = \"ring\"", "steps = 6", "lambda = 0.1", "seed = 5", "seeds = 2"] {
        assert!(recipe.lines().any(|l| l == line), "no {line:?} in {recipe}");
    }
}

#[test]
fn the_same_seed_gives_the_same_files_and_never_over_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &format!("{TINY} --model sngan --threads 1"));
    let first = tree(&dir.path().join("runs/toy-ring-sngan"));
    succeed(dir.path(), &format!("{TINY} --model sngan --threads 2"));
    assert!(first == tree(&dir.path().join("runs/toy-ring-sngan-2")));
    assert!(first == tree(&dir.path().join("runs/toy-ring-sngan")));
    succeed(dir.path(), &format!("{TINY} --model sngan --seed 1 --out other"));
    assert!(first != tree(&dir.path().join("other")));
}

#[test]
fn every_toy_and_model_runs() {
    let dir = tempfile::tempdir().unwrap();
    let models = ["gan", "wgan", "wgan-gp", "sngan"].map(|model| ("ring", model));
    for (toy, model) in models.into_iter().chain([("grid", "gan"), ("swissroll", "wgan-gp")]) {
        let said = succeed(dir.path(), &format!("toy {toy} --model {model} --steps 1 --hidden 4 --batch 4"));
        assert!(said.contains("data "), "{said}");
    }
}

#[test]
fn theory_prints_writes_and_draws() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), "theory power-iteration --seed 3");
    assert!(said.contains("recycled u") && said.contains("runs/theory-power-iteration/power-iteration.png"), "{said}");
    let run = dir.path().join("runs/theory-power-iteration");
    assert_eq!(png_size(&run.join("power-iteration.png")), (600, 520));
    let text = std::fs::read_to_string(run.join("power-iteration.txt")).unwrap();
    assert!(said.starts_with(&text), "{text}");
    succeed(dir.path(), "theory power-iteration --seed 3 --threads 1");
    assert!(tree(&run) == tree(&dir.path().join("runs/theory-power-iteration-2")));
}
