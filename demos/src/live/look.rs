//! What is seen inside the nets of a run at one moment: singular values, and where attention looks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use wengert::nn::Params;

use crate::inspect::raw_singular_values;
use crate::models::{LinearMap, Network};
use crate::pictures::attention_png;
use crate::train::Trainer;

/// Images whose attention is drawn.
const ATTENTIVE: usize = 3;
/// The most singular values of a layer that are kept: evenly chosen, the first and the last among them.
const MOST_VALUES: usize = 96;

/// The nets at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// Generator updates made.
    pub step: u64,
    /// The layers of both nets, the discriminator's first.
    pub layers: Vec<Layer>,
    /// Where the generator's attention looks, a PNG file; `None` for nets without attention.
    pub attention: Option<Vec<u8>>,
}

/// A layer with a weight.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Whose it is.
    pub net: &'static str,
    /// The prefix of its parameters.
    pub name: String,
    /// The largest singular value of W as a matrix (d_out, rest), before any spectral norm.
    pub sigma: f64,
    /// The same of the weight that the layer uses, W/σ; `None` if that is W itself.
    pub used: Option<f64>,
    /// Singular values over the largest, with their place from 0 (the largest) to 1 (the least).
    pub spectrum: Vec<[f64; 2]>,
}

impl Look {
    /// Looks. Nothing of the trainer changes.
    ///
    /// # Errors
    /// A net has no such weight, or the picture cannot be made.
    pub fn at(trainer: &Trainer<f32>) -> Result<Look> {
        let mut layers = Vec::new();
        let nets = [trainer.discriminator(), trainer.generator()].map(Network::architecture);
        for ((name, params), net) in trainer.nets().into_iter().zip(nets) {
            for map in net.linear_maps() {
                layers.push(layer(name, params, &map).with_context(|| format!("{name} layer {}", map.name))?);
            }
        }
        Ok(Look { step: trainer.step(), layers, attention: attention(trainer)? })
    }
}

fn layer(net: &'static str, params: &Params<f32>, map: &LinearMap) -> Result<Layer> {
    let (values, estimate) = raw_singular_values(params, map)?;
    let (sigma, n) = (values[0], values.len());
    let kept = MOST_VALUES.min(n);
    let place = |i: usize| i as f64 / (n - 1).max(1) as f64;
    let spectrum = (0..kept).map(|i| i * (n - 1) / (kept - 1).max(1)).map(|i| [place(i), values[i] / sigma]);
    let used = estimate.map(|estimate| sigma / estimate);
    Ok(Layer { net, name: map.name.clone(), sigma, used, spectrum: spectrum.collect() })
}

fn attention(trainer: &Trainer<f32>) -> Result<Option<Vec<u8>>> {
    let Some((images, maps)) = trainer.attend(ATTENTIVE, 0) else { return Ok(None) };
    attention_png(&images, &maps, trainer.image_shape()).map(Some)
}

/// Decides when to look: not when it would cost more than a share of the time of training.
#[derive(Debug, Default)]
pub struct Looks {
    /// When the last one ended, and how long it took.
    last: Option<(Instant, Duration)>,
}

/// Of so many parts of the time, a look may take one.
const SHARE: u32 = 200;

impl Looks {
    /// Looks, if the last one is long enough ago for what it cost, or none has been.
    ///
    /// # Errors
    /// As [`Look::at`].
    pub fn look(&mut self, trainer: &Trainer<f32>) -> Result<Option<Look>> {
        match self.last {
            Some((at, cost)) if at.elapsed() < cost * SHARE => Ok(None),
            _ => self.look_now(trainer).map(Some),
        }
    }

    /// Looks, whatever it costs.
    ///
    /// # Errors
    /// As [`Look::at`].
    pub fn look_now(&mut self, trainer: &Trainer<f32>) -> Result<Look> {
        let start = Instant::now();
        let look = Look::at(trainer);
        self.last = Some((Instant::now(), start.elapsed()));
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Method, Norm};
    use crate::data::ImageShape;
    use crate::inspect::LayerFigures;
    use wengert::Rng;

    fn trainer(method: Method) -> Trainer<f32> {
        trained(&Config { width: 0.05, batch: 4, z_dim: 4, ..Config::recipe(method) })
    }

    fn trained(config: &Config) -> Trainer<f32> {
        let mut trainer = Trainer::new(config, ImageShape { channels: 3, height: 32, width: 32 });
        let mut rng = Rng::seed(1);
        (0..2).for_each(|_| _ = trainer.train_step(|_| rng.uniform([4, 3, 32, 32], -1.0, 1.0)));
        trainer
    }

    /// σ of W, and of W/σ as `gan inspect` finds it; nothing of the trainer changes.
    #[test]
    fn a_look_sees_what_inspect_sees_and_changes_nothing() {
        let weight_norm = Config { width: 0.05, batch: 4, z_dim: 4, norm: Norm::Weight, ..Config::recipe(Method::Gan) };
        for (trainer, attends) in [
            (trainer(Method::Sngan), false),
            (trainer(Method::Sagan), true),
            (trainer(Method::Gan), false),
            (trained(&weight_norm), false),
        ] {
            let before = trainer.archive().unwrap().to_bytes();
            let look = Look::at(&trainer).unwrap();
            assert!(trainer.archive().unwrap().to_bytes() == before);
            assert_eq!((look.step, look.attention.is_some()), (2, attends));
            let nets = [trainer.discriminator(), trainer.generator()].map(Network::architecture);
            let mut seen = look.layers.iter();
            for ((_, params), net) in trainer.nets().into_iter().zip(nets) {
                for map in net.linear_maps() {
                    let (layer, found) = (seen.next().unwrap(), LayerFigures::of(params, &map).unwrap());
                    assert_eq!((&layer.name, layer.used.is_some()), (&found.name, found.spectral_norm));
                    let sigma = layer.used.unwrap_or(layer.sigma);
                    assert!((sigma / found.sigma - 1.0).abs() < 1e-6, "{}: {sigma}, {}", layer.name, found.sigma);
                    assert_eq!(
                        (layer.spectrum[0], layer.spectrum.len()),
                        ([0.0, 1.0], found.singular_values.len().min(96))
                    );
                }
            }
            assert!(seen.next().is_none());
        }
    }

    #[test]
    fn looks_take_a_small_share_of_the_time() {
        let (trainer, mut looks) = (trainer(Method::Gan), Looks::default());
        assert!(looks.look(&trainer).unwrap().is_some());
        let (_, cost) = looks.last.unwrap();
        assert!(looks.look(&trainer).unwrap().is_none(), "{cost:?} ago is too soon");
        looks.last = looks.last.map(|(at, cost)| (at - cost * SHARE, cost));
        assert!(looks.look(&trainer).unwrap().is_some());
    }
}
