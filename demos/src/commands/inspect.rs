//! `gan inspect`: what the weights of a run say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use wengert::nn::Params;
use wengert::{Device, Tensor};

use super::checkpoint::Which;
use super::progress::counting;
use super::sets::{check_data, open_data, other_images};
use super::{say, warn};
use crate::data::{Dataset, ImageShape};
use crate::files::{to_json, write_whole};
use crate::gammas::gammas;
use crate::inspect::{Inspection, LayerFigures, NetFigures, PART, Product, Steepest, slopes};
use crate::linalg::largest;
use crate::models::{Architecture, LinearMap, Network};
use crate::pictures::{Panel, write_attention_of, write_spectra};
use crate::report;
use crate::run_dir::RunDir;
use crate::train::Trainer;
use crate::usage::count;

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
    #[command(flatten)]
    which: Which,
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
        let mut trainer = self.which.open(&dir, &config)?;
        trainer.to(&self.device)?;
        let data = open_data(&config)?;
        let found = self.inspect(&trainer, &*data)?;
        found.check()?;
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
        check_data(trainer, data)?;
        other_images(trainer, data).iter().for_each(warn);
        let nets = [trainer.discriminator(), trainer.generator()].map(Network::architecture);
        let [d, g] = nets.map(Architecture::linear_maps);
        let bar = counting("layer", (d.len() + g.len()) as u64);
        let figures = |net: &str, params: &Params, maps: &[LinearMap]| -> Result<Vec<LayerFigures>> {
            let look = |map: &LinearMap| {
                let figures = LayerFigures::of(params, map).inspect(|_| bar.inc(1));
                figures.with_context(|| format!("{net} layer {}", map.name))
            };
            maps.iter().map(look).collect()
        };
        let discriminator = figures("discriminator", &trainer.discriminator_params, &d)?;
        let product = nets[0].is_chain().then(|| Product::of(&discriminator));
        let generator = figures("generator", &trainer.generator_params, &g)?;
        bar.finish_and_clear();
        let count = data.size().unwrap_or(u64::MAX).min(self.n as u64) as usize;
        Ok(Inspection {
            step: trainer.step(),
            images: count,
            steepest: Steepest {
                real: steepest(trainer, real_images(data, count)),
                generated: steepest(trainer, generated_images(trainer, count, self.seed)),
            },
            discriminator: NetFigures { product, layers: discriminator },
            generator: NetFigures { product: None, layers: generator },
            gammas: gammas(&trainer.nets()),
        })
    }
}

/// Images (n, height, width, channels), and the class of each.
type Part = (Vec<f32>, Vec<usize>);

/// The first `count` images of a set, in parts.
fn real_images(data: &dyn Dataset, count: usize) -> impl Iterator<Item = Part> {
    (0..count as u64).step_by(PART).map(move |start| {
        let indices: Vec<u64> = (start..(start + PART as u64).min(count as u64)).collect();
        let (mut images, mut labels) = (vec![0.0; indices.len() * data.shape().numel()], vec![0; indices.len()]);
        data.batch(&indices, &mut images, &mut labels);
        (images, labels.into_iter().map(usize::from).collect())
    })
}

/// As many images of the generator, in parts.
fn generated_images(trainer: &Trainer<f32>, count: usize, seed: u64) -> impl Iterator<Item = Part> {
    let mut classes = (0..count).map(|i| trainer.class_in_turn(i));
    trainer.samples(count, seed).map(move |images| {
        let n = images.len() / trainer.image_shape().numel();
        (images, classes.by_ref().take(n).collect())
    })
}

/// The largest slope of the discriminator at these images; NaN if one is.
fn steepest(trainer: &Trainer<f32>, parts: impl Iterator<Item = Part>) -> f64 {
    let ImageShape { channels, height, width } = trainer.image_shape();
    let (discriminator, params) = (trainer.discriminator(), &trainer.discriminator_params);
    let of = |(images, labels): Part| {
        let images = Tensor::from_vec([labels.len(), height, width, channels], images).permute([0, 3, 1, 2]);
        let labels = trainer.classes().map(|_| labels.as_slice());
        slopes(discriminator, params, &images, labels)
    };
    largest(parts.flat_map(of))
}

/// The spectra of both nets, side by side.
fn draw(path: &Path, found: &Inspection) -> Result<()> {
    let nets = [("discriminator", &found.discriminator), ("generator", &found.generator)];
    let nets = nets.map(|(name, net)| (format!("{name}, step {}", found.step), net.spectra()));
    let panels = nets.each_ref().map(|(title, spectra)| Panel { title, spectra });
    write_spectra(path, &panels)
}

/// Images whose attention is drawn.
const ATTENTIVE: usize = 4;

/// Where five positions of the generator's maps look, in a few of its images; nothing for nets without attention.
fn draw_attention(path: &Path, trainer: &Trainer<f32>, seed: u64) -> Result<()> {
    let Some((images, maps)) = trainer.attend(ATTENTIVE, seed) else { return Ok(()) };
    write_attention_of(path, &images, &maps, trainer.image_shape())
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
        "largest ‖∇D‖: {:.4} on {}, {:.4} on {}",
        steepest.real,
        count(*images as u64, "real image", "real images"),
        steepest.generated,
        count(*images as u64, "generated one", "generated ones")
    ));
    for (name, value) in gammas {
        say(format_args!("{name} = {value:.4}"));
    }
}
