//! `gan sample`: images from a trained generator.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::say;
use crate::pictures::{Grid, write_grid};
use crate::run_dir::RunDir;
use crate::train::Trainer;

/// What to draw, and where to.
#[derive(Debug, Args)]
pub struct Sample {
    /// The directory of a run
    run: PathBuf,
    /// Images to draw
    #[arg(long, default_value_t = 64)]
    n: usize,
    /// Determines the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The class to draw, from 0; for conditional runs, which draw all of them in turn otherwise
    #[arg(long, value_name = "K")]
    class: Option<usize>,
    /// The picture to write
    #[arg(long, default_value = "samples.png", value_name = "FILE.png")]
    out: PathBuf,
}

impl Sample {
    /// Draws the images.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.n), "--n is {}; expected 1 to 10000", self.n);
        let is_png = self.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        ensure!(is_png, "--out is {}; expected the name of a file that ends in .png", self.out.display());
        let (dir, config) = RunDir::open(&self.run)?;
        let trainer = Trainer::<f32>::load(&config, &dir.checkpoint())?;
        let images = match self.class {
            None => trainer.sample(self.n, self.seed),
            Some(class) => {
                let run = self.run.display();
                let classes = trainer
                    .classes()
                    .with_context(|| format!("--class: {run} is not conditional, it knows no classes"))?;
                ensure!(class < classes, "--class is {class}; expected 0 to {}, the classes of {run}", classes - 1);
                trainer.sample_classes(self.n, self.seed, |_| class)
            }
        };
        let columns = (self.n as f64).sqrt().ceil() as usize;
        let title = format!("{} images from {}, step {}", self.n, self.run.display(), trainer.step());
        write_grid(
            &self.out,
            &images,
            trainer.image_shape(),
            Grid { columns, scale: 2, gap: 1 },
            &[("Title", &title)],
        )?;
        say(format_args!("{}: {title}", self.out.display()));
        Ok(())
    }
}
