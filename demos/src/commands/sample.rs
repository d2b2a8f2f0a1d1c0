//! `gan sample`: images from a trained generator.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::checkpoint::Which;
use super::devices::Place;
use super::say;
use crate::data::ImageShape;
use crate::files::{empty_directory, write_whole};
use crate::npy;
use crate::pictures::{Grid, MOST_CLASSES, Sheet, to_byte};
use crate::run_dir::RunDir;
use crate::train::Trainer;
use crate::usage::count;

/// What to draw, and where to.
#[derive(Debug, Args)]
pub struct Sample {
    /// The directory of a run
    run: PathBuf,
    /// Images to draw
    #[arg(long, default_value_t = 64)]
    n: usize,
    /// Draw ROWS interpolations of ten images instead: row i goes from the noise of image 2i of `--n` to that of image
    /// 2i + 1
    #[arg(long, value_name = "ROWS", conflicts_with = "n")]
    interpolate: Option<usize>,
    /// Determines the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The class to draw, from 0; for conditional runs, which draw all of them in turn otherwise, up to 16 in columns
    #[arg(long, value_name = "K")]
    class: Option<usize>,
    /// The file to write: a picture of all images, or for NumPy their bytes, (images, height, width, channels)
    #[arg(long, default_value = "samples.png", value_name = "FILE.png|FILE.npy")]
    out: PathBuf,
    /// Write each image into a PNG file of its own instead, 00000.png and so on, in a new or an empty directory
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    each: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
}

/// Images in a row of interpolations.
const COLUMNS: usize = 10;

/// Where images go as they come.
enum Target {
    /// A picture of all of them.
    Picture(Sheet),
    /// A file for NumPy.
    Array(Vec<u8>),
    /// A file for each, in this directory.
    Each(PathBuf),
}

impl Target {
    fn take(&mut self, place: usize, image: &[f32], shape: ImageShape) -> Result<()> {
        match self {
            Target::Picture(sheet) => sheet.draw(place, image),
            Target::Array(bytes) => bytes.extend(image.iter().map(|&value| to_byte(value))),
            Target::Each(dir) => {
                let mut alone = Sheet::new(shape, Grid { columns: 1, scale: 1, gap: 0 }, 1)?;
                alone.draw(0, image);
                alone.write(&dir.join(format!("{place:05}.png")), &[])?;
            }
        }
        Ok(())
    }

    fn finish(self, path: &Path, title: &str) -> Result<()> {
        match self {
            Target::Picture(sheet) => sheet.write(path, &[("Title", title)]),
            Target::Array(bytes) => write_whole(path, &bytes),
            Target::Each(_) => Ok(()),
        }
    }
}

impl Sample {
    /// Draws the images.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.n), "--n is {}; expected 1 to 10000", self.n);
        let rows = self.interpolate.unwrap_or(1);
        ensure!((1..=1000).contains(&rows), "--interpolate is {rows}; expected 1 to 1000");
        self.ending()?;
        let (dir, config) = RunDir::open(&self.run)?;
        let mut trainer = self.which.open(&dir, &config)?;
        trainer.to(&self.place.device)?;
        self.check_class(&trainer)?;
        let class = |i| self.class.unwrap_or_else(|| trainer.class_in_turn(i));
        let (n, columns, what) = match self.interpolate {
            Some(rows) => (rows * COLUMNS, COLUMNS, count(rows as u64, "interpolation", "interpolations")),
            None => (self.n, self.columns(&trainer), count(self.n as u64, "image", "images")),
        };
        let shape = trainer.image_shape();
        let mut target = self.target(n, columns, shape)?;
        let mut places = 0..n;
        let mut draw = |part: Vec<f32>| {
            let finite = part.iter().all(|x| x.is_finite());
            ensure!(finite, "{}: the generator makes images that are not finite", self.run.display());
            let mut images = part.chunks_exact(shape.numel()).zip(&mut places);
            images.try_for_each(|(image, place)| target.take(place, image, shape))
        };
        match self.interpolate {
            Some(rows) => trainer.interpolate(rows, COLUMNS, self.seed, class).try_for_each(&mut draw)?,
            None => trainer.samples_of(n, self.seed, class).try_for_each(&mut draw)?,
        }
        let title = format!("{what} from {}, step {}", self.run.display(), trainer.step());
        target.finish(&self.out, &title)?;
        say(format_args!("{}: {title}", self.each.as_ref().unwrap_or(&self.out).display()));
        Ok(())
    }

    /// The ending of the file's name.
    fn ending(&self) -> Result<&'static str> {
        let ending = self.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        for known in ["png", "npy"] {
            if ending.eq_ignore_ascii_case(known) {
                return Ok(known);
            }
        }
        bail!("--out is {}; expected the name of a file that ends in .png or .npy", self.out.display())
    }

    /// A column for each class, if all of up to 16 are drawn in turn; or as many as rows.
    fn columns(&self, trainer: &Trainer<f32>) -> usize {
        let all_drawn = |&classes: &usize| self.class.is_none() && classes <= MOST_CLASSES.min(self.n);
        trainer.classes().filter(all_drawn).unwrap_or_else(|| (self.n as f64).sqrt().ceil() as usize)
    }

    fn check_class(&self, trainer: &Trainer<f32>) -> Result<()> {
        let Some(class) = self.class else { return Ok(()) };
        let run = self.run.display();
        let classes = trainer.classes();
        let classes = classes.with_context(|| format!("--class: {run} is not conditional, it knows no classes"))?;
        ensure!(class < classes, "--class is {class}; expected 0 to {}, the classes of {run}", classes - 1);
        Ok(())
    }

    /// Where the images go. Before anything is computed: what is too large for a picture, or for the memory.
    fn target(&self, n: usize, columns: usize, shape: ImageShape) -> Result<Target> {
        let flag = || self.interpolate.map_or_else(|| format!("--n {n}"), |rows| format!("--interpolate {rows}"));
        if let Some(dir) = &self.each {
            empty_directory("--each", dir)?;
            return Ok(Target::Each(dir.clone()));
        }
        match self.ending()? {
            "npy" => {
                let shape = [n, shape.height, shape.width, shape.channels];
                Ok(Target::Array(npy::bytes_of_shape(&shape).with_context(flag)?))
            }
            _ => Ok(Target::Picture(Sheet::new(shape, Grid { columns, scale: 2, gap: 1 }, n).with_context(flag)?)),
        }
    }
}
