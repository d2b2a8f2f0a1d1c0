//! `gan inspect`: what the weights of a run say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use wengert::Tensor;
use wengert::nn::Params;

use super::say;
use super::train::open_data;
use crate::data::Dataset;
use crate::gammas::gammas;
use crate::inspect::{Inspection, LayerFigures, NetFigures, Product, Steepest, slopes};
use crate::models::LinearMap;
use crate::pictures::{Panel, Spectrum, write_spectra};
use crate::report;
use crate::run_dir::{RunDir, write_whole};
use crate::train::Trainer;

/// What to look at.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The directory of a run
    run: PathBuf,
    /// Real images, and as many generated ones, at which the gradient of the discriminator is taken
    #[arg(long, default_value_t = 256)]
    n: usize,
    /// Determines the noise of the generated images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one line of JSON, all singular values included
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Looks, prints, and writes the findings and a picture into inspect/ in the directory of the run.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.n), "--n is {}; expected 1 to 10000", self.n);
        let (dir, config) = RunDir::open(&self.run)?;
        let trainer = Trainer::<f32>::load(&config, &dir.checkpoint())?;
        let data = open_data(&config)?;
        let found = self.inspect(&trainer, &*data)?;
        let folder = dir.inspection();
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot make the directory", folder.display()))?;
        let json = serde_json::to_string(&found).context("cannot write the findings as JSON")?;
        write_whole(&folder.join("inspect.json"), json.as_bytes())?;
        let picture = folder.join("singular-values.png");
        draw(&picture, &found)?;
        report::write(&dir)?;
        if self.json {
            say(json);
        } else {
            print(&found);
            say(format_args!("\nspectra  {}\nreport   {}", picture.display(), dir.report().display()));
        }
        Ok(())
    }

    fn inspect(&self, trainer: &Trainer<f32>, data: &dyn Dataset) -> Result<Inspection> {
        let shape = trainer.image_shape();
        ensure!(
            data.shape() == shape,
            "{}: images are {}; expected {shape} as in the checkpoint",
            data.name(),
            data.shape()
        );
        let (d, g) = (trainer.discriminator.linear_maps(shape), trainer.generator.linear_maps());
        let style =
            ProgressStyle::with_template("{bar:10} layer {pos} of {len}, {eta} left").expect("a sound template");
        let bar = ProgressBar::new((d.len() + g.len()) as u64).with_style(style);
        let figures = |params: &Params, maps: &[LinearMap]| -> Result<Vec<LayerFigures>> {
            let look = |map| LayerFigures::of(params, map).inspect(|_| bar.inc(1));
            maps.iter().map(look).collect()
        };
        let discriminator = figures(&trainer.discriminator_params, &d)?;
        let generator = figures(&trainer.generator_params, &g)?;
        bar.finish_and_clear();
        let count = data.size().unwrap_or(u64::MAX).min(self.n as u64) as usize;
        let mut real = vec![0.0; count * shape.numel()];
        data.batch(&(0..count as u64).collect::<Vec<_>>(), &mut real, &mut vec![0; count]);
        let steepest = |images: &[f32]| {
            let images = Tensor::from_slice([count, shape.height, shape.width, shape.channels], images);
            let slopes = slopes(&trainer.discriminator, &trainer.discriminator_params, &images.permute([0, 3, 1, 2]));
            let finite = slopes.iter().all(|slope| slope.is_finite());
            ensure!(finite, "the discriminator's gradient is not finite; training has diverged");
            Ok(slopes.into_iter().fold(0.0, f64::max))
        };
        Ok(Inspection {
            step: trainer.step(),
            images: count,
            steepest: Steepest { real: steepest(&real)?, generated: steepest(&trainer.sample(count, self.seed))? },
            discriminator: NetFigures { product: Some(Product::of(&discriminator)), layers: discriminator },
            generator: NetFigures { product: None, layers: generator },
            gammas: gammas(&trainer.nets()),
        })
    }
}

/// The spectra of both nets, side by side.
fn draw(path: &Path, found: &Inspection) -> Result<()> {
    let nets = [("discriminator", &found.discriminator), ("generator", &found.generator)];
    let nets = nets.map(|(name, net)| {
        let layers = net.layers.iter();
        let spectra = layers.map(|layer| Spectrum { name: &layer.name, singular_values: &layer.singular_values });
        (format!("{name}, step {}", found.step), spectra.collect::<Vec<_>>())
    });
    let panels = nets.each_ref().map(|(title, spectra)| Panel { title, spectra });
    write_spectra(path, &panels)
}

/// The table of the layers, and what is known of the Lipschitz constant.
fn print(found: &Inspection) {
    let Inspection { step, images, steepest, discriminator, generator, gammas } = found;
    for (name, net) in [("discriminator", discriminator), ("generator", generator)] {
        let title = format!("{name}, step {step}");
        say(format_args!("{title:<32}{:<18}{:>9}{:>11}{:>11}", "weight", "σ", "bound", "norm"));
        for layer in &net.layers {
            let LayerFigures { name, kind, weight, sigma, bound, norm, .. } = layer;
            let shape = weight.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
            let kind = if layer.spectral_norm { format!("{kind}, W/σ") } else { kind.clone() };
            say(format_args!("{name:<5}{kind:<27}{shape:<18}{sigma:>9.4}{bound:>11.4}{norm:>11.4}"));
        }
        if let Some(Product { sigma, bound, norm }) = net.product {
            say(format_args!("{:<50}{sigma:>9.4}{bound:>11.4}{norm:>11.4}", "product"));
        }
        say("");
    }
    say("σ      the largest singular value of the weight as a matrix (d_out, rest)");
    say("bound  of the norm of the layer's map: √(places that a pixel takes part in) · σ");
    say("norm   of the layer's map, by power iteration on it, from below");
    say(format_args!(
        "largest ‖∇D‖: {:.4} on {images} real images, {:.4} on {images} generated ones",
        steepest.real, steepest.generated
    ));
    for (name, value) in gammas {
        say(format_args!("{name} = {value:.4}"));
    }
}
