//! `gan inspect`: what the weights of a run say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wengert::nn::Params;
use wengert::{Device, Tensor};

use super::progress::counting;
use super::train::{check_data, open_data};
use super::{say, warn};
use crate::data::Dataset;
use crate::files::{to_json, write_whole};
use crate::gammas::gammas;
use crate::inspect::{Inspection, LayerFigures, NetFigures, Product, Steepest, slopes};
use crate::models::LinearMap;
use crate::pictures::{AttentionMap, Panel, Spectrum, write_attention, write_spectra};
use crate::report;
use crate::run_dir::RunDir;
use crate::train::{Loaded, Trainer};

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
    /// Where to generate images and take gradients: cpu, opencl for the first device that `gan devices` lists, or
    /// opencl:INDEX; singular values are computed on the processor
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
}

impl Inspect {
    /// Looks, prints, and writes the findings and a picture into inspect/ in the directory of the run.
    pub(super) fn run(self) -> Result<()> {
        ensure!((1..=10_000).contains(&self.n), "--n is {}; expected 1 to 10000", self.n);
        let (dir, config) = RunDir::open(&self.run)?;
        let Loaded { mut trainer, damage } = Trainer::<f32>::open(&dir, &config)?;
        damage.iter().for_each(warn);
        trainer.to(&self.device)?;
        let data = open_data(&config)?;
        let found = self.inspect(&trainer, &*data)?;
        let folder = dir.inspection();
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot make the directory", folder.display()))?;
        write_whole(&folder.join("inspect.json"), to_json(&found)?.as_bytes())?;
        let picture = folder.join("singular-values.png");
        draw(&picture, &found)?;
        draw_attention(&folder.join("attention.png"), &trainer, self.seed)?;
        report::write(&dir)?;
        if self.json {
            say(serde_json::to_string(&found).context("cannot write the findings as JSON")?);
        } else {
            print(&found);
            say(format_args!("\nspectra  {}\nreport   {}", picture.display(), dir.report().display()));
        }
        Ok(())
    }

    fn inspect(&self, trainer: &Trainer<f32>, data: &dyn Dataset) -> Result<Inspection> {
        let shape = trainer.image_shape();
        check_data(trainer, data)?;
        let (d, g) = (trainer.discriminator().linear_maps(shape), trainer.generator().linear_maps());
        let bar = counting("layer", (d.len() + g.len()) as u64);
        let figures = |params: &Params, maps: &[LinearMap]| -> Result<Vec<LayerFigures>> {
            let look = |map| LayerFigures::of(params, map).inspect(|_| bar.inc(1));
            maps.iter().map(look).collect()
        };
        let discriminator = figures(&trainer.discriminator_params, &d)?;
        let product = trainer.discriminator().is_chain().then(|| Product::of(&discriminator));
        let generator = figures(&trainer.generator_params, &g)?;
        bar.finish_and_clear();
        let count = data.size().unwrap_or(u64::MAX).min(self.n as u64) as usize;
        let mut real = vec![0.0; count * shape.numel()];
        let mut labels = vec![0; count];
        data.batch(&(0..count as u64).collect::<Vec<_>>(), &mut real, &mut labels);
        let steepest = |images: &[f32], class: &dyn Fn(usize) -> usize| {
            let images = Tensor::from_slice([count, shape.height, shape.width, shape.channels], images);
            let images = images.permute([0, 3, 1, 2]);
            let labels: Option<Vec<usize>> = trainer.classes().map(|_| (0..count).map(class).collect());
            let (d, params) = (trainer.discriminator(), &trainer.discriminator_params);
            let slopes = slopes(d, params, &images, labels.as_deref());
            let finite = slopes.iter().all(|slope| slope.is_finite());
            ensure!(finite, "the discriminator's gradient is not finite; training has diverged");
            Ok(slopes.into_iter().fold(0.0, f64::max))
        };
        Ok(Inspection {
            step: trainer.step(),
            images: count,
            steepest: Steepest {
                real: steepest(&real, &|i| labels[i].into())?,
                generated: steepest(&trainer.sample(count, self.seed), &|i| trainer.class_in_turn(i))?,
            },
            discriminator: NetFigures { product, layers: discriminator },
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

/// Images whose attention is drawn.
const ATTENTIVE: usize = 4;

/// Where five positions of the generator's maps look, in a few of its images; nothing for nets without attention.
fn draw_attention(path: &Path, trainer: &Trainer<f32>, seed: u64) -> Result<()> {
    let Some((images, maps)) = trainer.attend(ATTENTIVE, seed) else { return Ok(()) };
    let shape = trainer.image_shape();
    let [rows, columns] = [shape.height / 2, shape.width / 2];
    let maps: Vec<AttentionMap> = images
        .chunks_exact(shape.numel())
        .zip(maps.chunks_exact(maps.len() / ATTENTIVE))
        .map(|(image, weights)| AttentionMap {
            image,
            shape,
            weights,
            queries: [rows, columns],
            keys: [rows / 2, columns / 2],
        })
        .collect();
    let at = |[row, column]: [usize; 2]| [row * rows / 4, column * columns / 4];
    write_attention(path, &maps, &[[2, 2], [1, 1], [1, 3], [3, 1], [3, 3]].map(at))
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
