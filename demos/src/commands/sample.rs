//! `gan sample`: images from a trained generator.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::devices::Place;
use super::{say, warn};
use crate::pictures::{Grid, Sheet};
use crate::run_dir::RunDir;
use crate::train::{Loaded, Trainer};

/// What to draw, and where to.
#[derive(Debug, Args)]
pub struct Sample {
    /// The directory of a run
    run: PathBuf,
    /// Images to draw
    #[arg(long, default_value_t = 64)]
    n: usize,
    /// Draw so many rows of ten instead, each from one noise to another: in row i from that of image 2i of `--n` to
    /// that of image 2i + 1
    #[arg(long, value_name = "ROWS", conflicts_with = "n")]
    interpolate: Option<usize>,
    /// Determines the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The class to draw, from 0; for conditional runs, which draw all of them in turn otherwise
    #[arg(long, value_name = "K")]
    class: Option<usize>,
    /// The picture to write
    #[arg(long, default_value = "samples.png", value_name = "FILE.png")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Images in a row of interpolations.
const COLUMNS: usize = 10;

impl Sample {
    /// Draws the images.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.n), "--n is {}; expected 1 to 10000", self.n);
        let rows = self.interpolate.unwrap_or(1);
        ensure!((1..=1000).contains(&rows), "--interpolate is {rows}; expected 1 to 1000");
        let is_png = self.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        ensure!(is_png, "--out is {}; expected the name of a file that ends in .png", self.out.display());
        let (dir, config) = RunDir::open(&self.run)?;
        let Loaded { mut trainer, damage } = Trainer::<f32>::open(&dir, &config)?;
        damage.iter().for_each(warn);
        trainer.to(&self.place.device)?;
        if let Some(class) = self.class {
            let run = self.run.display();
            let classes =
                trainer.classes().with_context(|| format!("--class: {run} is not conditional, it knows no classes"))?;
            ensure!(class < classes, "--class is {class}; expected 0 to {}, the classes of {run}", classes - 1);
        }
        let class = |i| self.class.unwrap_or_else(|| trainer.class_in_turn(i));
        let (n, columns, what, flag) = match self.interpolate {
            Some(rows) => (rows * COLUMNS, COLUMNS, format!("{rows} interpolations"), format!("--interpolate {rows}")),
            None => {
                let columns = (self.n as f64).sqrt().ceil() as usize;
                (self.n, columns, format!("{} images", self.n), format!("--n {}", self.n))
            }
        };
        // Before anything is computed: what is too large for a picture, or for the memory.
        let shape = trainer.image_shape();
        let mut sheet = Sheet::new(shape, Grid { columns, scale: 2, gap: 1 }, n).context(flag)?;
        let mut places = 0..n;
        let mut draw = |part: Vec<f32>| {
            let finite = part.iter().all(|x| x.is_finite());
            ensure!(finite, "{}: the generator makes images that are not finite", self.run.display());
            part.chunks_exact(shape.numel()).zip(&mut places).for_each(|(image, place)| sheet.draw(place, image));
            Ok(())
        };
        match self.interpolate {
            Some(rows) => trainer.interpolate(rows, COLUMNS, self.seed, class).try_for_each(&mut draw)?,
            None => trainer.samples_of(n, self.seed, class).try_for_each(&mut draw)?,
        }
        let title = format!("{what} from {}, step {}", self.run.display(), trainer.step());
        sheet.write(&self.out, &[("Title", &title)])?;
        say(format_args!("{}: {title}", self.out.display()));
        Ok(())
    }
}
