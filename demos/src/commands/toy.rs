//! `gan toy`: GANs in the plane.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use rayon::prelude::*;
use wengert::{Rng, Tensor};

use super::progress::counting;
use super::say;
use crate::files::{new_directory, write_whole};
use crate::live::Worker;
use crate::live::server::Listener;
use crate::pictures::{Plane, draw_plane, write_animation, write_plane};
use crate::table::table;
use crate::toy::{Lab, Model, Objective, Recipe, Script, Toy, Trainer, drawing, sample_distance, snapshot};
use crate::usage::human_seconds;

/// What to train, and how.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ToyRun {
    /// The distribution to learn [default with --live: ring]
    #[arg(required_unless_present_any = ["points", "live"], conflicts_with = "points")]
    toy: Option<Toy>,
    /// Your own distribution, instead of one by name: points x,y, with blanks between them, up to 100, each
    /// within ±1.4
    #[arg(long, value_parser = drawing, allow_hyphen_values = true)]
    points: Option<Toy>,
    /// The method
    #[arg(long, value_enum, default_value_t = Model::WganGp)]
    model: Model,
    /// Updates of the generator; the learning rate falls to 0 along a line
    #[arg(long, default_value_t = 12_000)]
    steps: u64,
    /// Real, and generated, points in an update
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Units of each of the three hidden layers of both nets
    #[arg(long, default_value_t = 128)]
    hidden: usize,
    /// Updates of the critic before each of the generator [default: 5 for wgan, else 1]
    #[arg(long)]
    n_dis: Option<usize>,
    /// The learning rate at the start [default: by method]
    #[arg(long)]
    lr: Option<f64>,
    /// The learning rate of the critic at the start [default: that of --lr]
    #[arg(long)]
    lr_d: Option<f64>,
    /// The weight of the gradient penalty, for wgan-gp [default: 0.1]
    #[arg(long)]
    lambda: Option<f64>,
    /// The bound of the weights, for wgan [default: 0.1]
    #[arg(long)]
    clip: Option<f64>,
    /// The bound of the critic's slope, for sngan [default: 20]
    #[arg(long, value_name = "K")]
    lipschitz: Option<f64>,
    /// Determines weights, data and noise: the same seed gives the same bits
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Runs, with seeds from --seed on, side by side; ends with a table of them
    #[arg(long, default_value_t = 1, value_name = "N")]
    seeds: u64,
    /// The directory to make [default: the first free one of runs/toy-TOY-MODEL, runs/toy-TOY-MODEL-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show the toy in a browser of this machine and train it from there, on this port of 127.0.0.1 or any that is
    /// free; the address is printed, nothing is written
    #[arg(long, value_name = "PORT", num_args = 0..=1, value_parser = port, conflicts_with_all = ["out", "seeds"])]
    live: Option<Option<u16>>,
    /// What the page begins with: steps, and updates of the critic (d) or the generator (g) alone, as in "120 d g 30";
    /// the page shows this line of every state
    #[arg(long, value_name = "SCRIPT", requires = "live")]
    play: Option<Script>,
}

/// Reads a port; a toy's name, which would be taken for one after `--live`, is told where it belongs.
fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| match Toy::from_str(text, false) {
        Ok(toy) => format!("this is a toy, not a port; write gan toy {} --live", toy.name()),
        Err(_) => "expected a port, 0 to 65535; 0 is any that is free".into(),
    })
}

/// Samples that modes are counted on.
const SAMPLES: usize = 2500;
/// Evaluations, and frames of the animation, over a run.
const EVALUATIONS: u64 = 10;
const FRAMES: u64 = 40;

/// What the samples are like after some steps.
struct Evaluation {
    step: u64,
    losses: [f64; 2],
    /// Modes and share of good samples; "-" where there are no modes.
    score: [String; 2],
    w1: f64,
}

impl ToyRun {
    /// Trains, prints and draws.
    pub(super) fn run(self) -> Result<()> {
        let recipe = self.recipe()?;
        if let Some(port) = self.live {
            return show(recipe, &self.play.unwrap_or_default(), port);
        }
        ensure!((1..=100).contains(&self.seeds), "--seeds is {}; expected 1 to 100", self.seeds);
        let last = self.seed.checked_add(self.seeds - 1);
        let last = last.with_context(|| format!("--seed {} --seeds {}: the last is no seed", self.seed, self.seeds))?;
        let name = format!("{}-{}", recipe.toy.name(), self.model.name());
        let dir = new_directory(self.out.as_deref(), &format!("toy-{name}"))?;
        let seeds = format!("seed = {}\nseeds = {}\n", self.seed, self.seeds);
        write_whole(&dir.join("recipe.toml"), (seeds + &toml::to_string_pretty(&recipe)?).as_bytes())?;
        say(format_args!("writing to {}", dir.display()));
        let bar = counting("step", self.seeds * recipe.steps);
        let one = |seed: u64| {
            let start = Instant::now();
            let evaluations = train(&Recipe { seed, ..recipe.clone() }, &dir, &name, &bar)?;
            Ok((seed, evaluations, start.elapsed().as_secs_f64()))
        };
        let runs: Result<Vec<_>> = (self.seed..=last).into_par_iter().map(one).collect();
        bar.finish_and_clear();
        report(&recipe.toy, &runs?);
        Ok(())
    }

    /// The method's recipe with what the flags change.
    fn recipe(&self) -> Result<Recipe> {
        // Without a name there is a page, on which another can be chosen.
        let toy = self.toy.clone().or_else(|| self.points.clone()).unwrap_or(Toy::Ring);
        let usual = Recipe::new(toy, self.model);
        let mut objective = usual.objective;
        let mut unused = vec![("--lambda", self.lambda), ("--clip", self.clip), ("--lipschitz", self.lipschitz)];
        let mut take = |flag: &str, value: &mut f64| {
            let at = unused.iter().position(|(name, _)| *name == flag).expect("one of the three");
            *value = unused.remove(at).1.unwrap_or(*value);
        };
        match &mut objective {
            Objective::Standard => {}
            Objective::Penalised { lambda } => take("--lambda", lambda),
            Objective::Clipped { c } => take("--clip", c),
            Objective::Spectral { k } => take("--lipschitz", k),
        }
        for (flag, value) in unused {
            ensure!(value.is_none(), "{flag} does not go with --model {}", self.model.name());
        }
        let (n_dis, lr) = (self.n_dis.unwrap_or(usual.n_dis), self.lr.unwrap_or(usual.lr));
        let (steps, batch, hidden, seed, lr_d) = (self.steps, self.batch, self.hidden, self.seed, self.lr_d);
        let recipe = Recipe { objective, n_dis, lr, lr_d, steps, batch, hidden, seed, ..usual };
        recipe.check()?;
        Ok(recipe)
    }
}

/// Shows a toy on a page until Ctrl-C.
fn show(recipe: Recipe, play: &Script, port: Option<u16>) -> Result<()> {
    let listener = Listener::bind(port)?;
    let mut lab = Lab::new(recipe)?;
    // A state after a fault has a page, too: that is where one sees what has happened, and goes back.
    let note = lab.go_to(play).err().map_or(String::new(), |error| format!("{error:#}"));
    let (site, worker) = Worker::new(lab, &note);
    let server = listener.serve(site);
    say(format_args!("watch at {}", server.url()));
    worker.run()
}

/// Whether step `step` of `steps` is one of `n` moments, the first ones closer together: steps·(k/n)².
fn is_moment(step: u64, steps: u64, n: u64) -> bool {
    (1..=n).any(|k| (steps as f64 * (k as f64 / n as f64).powi(2)).ceil() as u64 == step)
}

fn train(recipe: &Recipe, dir: &Path, name: &str, bar: &ProgressBar) -> Result<Vec<Evaluation>> {
    let Recipe { toy, steps, seed, .. } = recipe;
    let (steps, seed) = (*steps, *seed);
    let mut trainer = Trainer::new(recipe);
    let title = |step: u64, score: &str| format!("{name}, seed {seed}, step {step}{score}");
    let mut frames = vec![snapshot(&trainer, toy, title(0, ""))];
    let centres = toy.centres().len();
    let mut evaluations = Vec::new();
    for step in 1..=steps {
        let losses = trainer.train_step();
        bar.inc(1);
        let finite = losses.iter().all(|loss| loss.is_finite());
        ensure!(finite, "seed {seed}: training has diverged at step {step}; try a smaller --lr than {}", recipe.lr);
        if is_moment(step, steps, FRAMES) {
            let score = toy.score(&trainer.sample(SAMPLES, seed));
            let score = score
                .map_or(String::new(), |s| format!(": {} of {} modes, {} good", s.modes, centres, percent(s.good)));
            frames.push(snapshot(&trainer, toy, title(step, &score)));
        }
        if step % steps.div_ceil(EVALUATIONS) == 0 || step == steps {
            let evaluation = Evaluation::of(&trainer, recipe, losses)?;
            bar.suspend(|| say(evaluation.line(seed)));
            evaluations.push(evaluation);
        }
    }
    draw(&frames, &dir.join(format!("seed-{seed}")))?;
    write_csv(&evaluations, &dir.join(format!("seed-{seed}.csv")))?;
    Ok(evaluations)
}

impl Evaluation {
    fn of(trainer: &Trainer, recipe: &Recipe, losses: [f64; 2]) -> Result<Evaluation> {
        let samples = trainer.sample(SAMPLES, recipe.seed);
        let step = trainer.step();
        let w1 = sample_distance(&recipe.toy, &samples);
        let w1 = w1.with_context(|| format!("step {step}: some samples are not finite; try a smaller --lr"))?;
        let score = recipe.toy.score(&samples);
        let score = score.map(|s| [format!("{} of {}", s.modes, recipe.toy.centres().len()), percent(s.good)]);
        Ok(Evaluation { step, losses, score: score.unwrap_or(["-".into(), "-".into()]), w1 })
    }

    fn line(&self, seed: u64) -> String {
        let [critic, generator] = self.losses;
        let [modes, good] = &self.score;
        let samples = format!("modes {modes:>8}  good {good:>7}  W₁ {:.3}", self.w1);
        format!("seed {seed}  step {:>6}  critic {critic:>7.3}  generator {generator:>7.3}  {samples}", self.step)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn draw(frames: &[Plane], path: &Path) -> Result<()> {
    let last = frames.last().expect("the first moment has a frame");
    write_plane(&path.with_extension("png"), last)?;
    write_animation(&path.with_extension("apng"), frames.iter().map(draw_plane), 120)
}

fn write_csv(evaluations: &[Evaluation], path: &Path) -> Result<()> {
    let row = |e: &Evaluation| {
        let [modes, good] = e.score.each_ref().map(|cell| cell.split(' ').next().unwrap_or_default());
        format!("{},{},{},{modes},{good},{}\n", e.step, e.losses[0], e.losses[1], e.w1)
    };
    let rows: String = evaluations.iter().map(row).collect();
    write_whole(path, format!("step,critic,generator,modes,good_percent,w1\n{rows}").as_bytes())
}

/// The runs side by side, and what samples of the data itself are worth.
fn report(toy: &Toy, runs: &[(u64, Vec<Evaluation>, f64)]) {
    let row = |(seed, evaluations, seconds): &(u64, Vec<Evaluation>, f64)| {
        let Evaluation { score: [modes, good], w1, .. } = evaluations.last().expect("the last step is evaluated");
        vec![seed.to_string(), modes.clone(), good.clone(), format!("{w1:.4}"), human_seconds(*seconds)]
    };
    let mut rows: Vec<_> = runs.iter().map(row).collect();
    let real: Tensor = toy.sample(SAMPLES, &mut Rng::seed(2));
    let score = toy.score(&real);
    let [modes, good] = score
        .map_or(["-".into(), "-".into()], |s| [format!("{} of {}", s.modes, toy.centres().len()), percent(s.good)]);
    let w1 = sample_distance(toy, &real).expect("data are finite");
    rows.push(vec!["data".into(), modes, good, format!("{w1:.4}"), "-".into()]);
    say(format_args!(
        "\n{}{SAMPLES} samples; good: within 3σ of a centre; W₁: exact, of 512 of them and 512 of the data",
        table(&["seed", "modes", "good", "W₁", "time"], &rows)
    ));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::toy::command_line;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        toy: ToyRun,
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(shlex::split(line).unwrap().into_iter().skip(1))
    }

    fn read(line: &str) -> Recipe {
        parse(line).unwrap().toy.recipe().unwrap()
    }

    /// The command of a state, read as the command line is, gives the recipe of that state.
    #[test]
    fn the_command_of_a_recipe_gives_that_recipe() {
        let drawn = Toy::Drawn(vec![[0.25, -1.0], [1e-3, 1.4]]);
        let negative = Toy::Drawn(vec![[-0.56, 0.56], [1.0, 0.0]]);
        for toy in [Toy::Ring, Toy::Swissroll, drawn, negative] {
            for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
                let usual = Recipe::new(toy.clone(), model);
                let mut other = Recipe { hidden: 7, batch: 9, steps: 11, n_dis: 3, lr: 1.25e-5, ..usual.clone() };
                (other.seed, other.lr_d) = (u64::MAX, Some(0.1 + 0.2));
                if let Some(x) = other.objective.number_mut() {
                    *x = 1.0 / 3.0;
                }
                for recipe in [usual, other] {
                    assert_eq!(read(&command_line(&recipe)), recipe, "{}", command_line(&recipe));
                }
            }
        }
    }

    /// A page needs no toy's name; one that is taken for the port is told so.
    #[test]
    fn a_page_begins_with_the_ring() {
        assert_eq!(read("gan toy --live").toy, Toy::Ring);
        assert_eq!(read("gan toy --live 8080 --model gan").model(), Model::Gan);
        assert!(parse("gan toy").is_err() && parse("gan toy --model gan").is_err());
        for (line, reason) in [("--live ring", "write gan toy ring --live"), ("--live x", "expected a port")] {
            let error = parse(&format!("gan toy {line}")).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
