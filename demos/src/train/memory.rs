//! What a run will need of memory: measured, before it begins, on steps with a few images.

use anyhow::{Result, bail};
use wengert::{Device, HostMemory, Rng};

use super::{Batch, Trainer};
use crate::config::Config;
use crate::data::ImageShape;
use crate::models;
use crate::usage::{available_memory, human_bytes, resident_memory};

/// What drawing takes beside the nets, measured on the smallest: the curves are made three times as large as they come out.
const PICTURES: u64 = 25_000_000;

/// By so much the estimate from a few images may be too large: buffers are rounded, and kernels that work on some images
/// at a time take no more with more of them.
const ROUGH: f64 = 1.3;

/// How many bytes a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// What this process holds already: the program and the images.
    held: u64,
    /// Parameters, and what the optimisers keep of them.
    state: u64,
    /// All values at the moment of a step when there are most, the state among them.
    step: u64,
}

impl Need {
    /// Measures a run of this configuration: memory goes by the number of images as a straight line, which two steps each
    /// with `few` images and with twice as many give. (Sizes of buffers are rounded by their leading bits, which are
    /// those of the batch if that is a power of two times `few`.)
    fn of(config: &Config, image: ImageShape, classes: usize, few: usize) -> Need {
        let held = resident_memory();
        let (state, low) = measure(config, image, classes, few);
        let (_, high) = measure(config, image, classes, 2 * few);
        HostMemory::release();
        let slope = high.saturating_sub(low) as f64 / few as f64;
        let step = low as f64 + slope * (config.batch as f64 - few as f64);
        Need { held, state, step: step.max(low as f64) as u64 }
    }

    /// All of it, in bytes: the values of steps, and a checkpoint as it is written or a picture as it is drawn.
    fn total(&self) -> u64 {
        self.held + self.step + PICTURES.max(2 * self.state)
    }

    /// All of it, in bytes, once steps of the whole batch have been made.
    pub fn measured(&self) -> u64 {
        Need { step: HostMemory::now().most as u64, ..*self }.total()
    }
}

/// The bytes of a trainer between its steps, and the most within two steps with this batch.
fn measure(config: &Config, image: ImageShape, classes: usize, batch: usize) -> (u64, u64) {
    HostMemory::release();
    let before = HostMemory::now().used;
    let config = Config { batch, n_dis: 1, warm_up: false, ..config.clone() };
    let mut trainer = Trainer::<f32>::with_classes(&config, image, classes);
    for _ in 0..2 {
        trainer.train_step(|n| {
            let ImageShape { channels, height, width } = image;
            let values = Rng::seed(n).uniform([batch, height, width, channels], -1.0, 1.0).permute([0, 3, 1, 2]);
            Batch { values, labels: config.conditional.then(|| (0..batch).map(|i| i % classes).collect()) }
        });
    }
    let HostMemory { used, most, .. } = HostMemory::now();
    (used.saturating_sub(before) as u64, most.saturating_sub(before) as u64)
}

/// What a run needs, or a refusal of what the memory of this machine and this device cannot hold.
///
/// # Errors
/// Names the flags, what the run needs and what there is.
pub fn check_memory(config: &Config, image: ImageShape, classes: usize, device: &Device) -> Result<Need> {
    // Before anything is allocated: the impossible. Then what a single image tells, then an eighth of the batch.
    models::check_weights(config, image, device)?;
    refuse(config, &Need::of(config, image, classes, 1), device)?;
    let need = Need::of(config, image, classes, config.batch.div_ceil(8));
    refuse(config, &need, device)?;
    Ok(need)
}

fn refuse(config: &Config, need: &Need, device: &Device) -> Result<()> {
    let Config { width, batch, z_dim, .. } = config;
    let flags = format!("--width {width} --batch {batch} --z-dim {z_dim}");
    let new = need.total() - need.held;
    if let Some(free) = available_memory().filter(|&free| new as f64 > ROUGH * free as f64) {
        bail!("{flags} need about {} of memory; {} is free", human_bytes(new), human_bytes(free));
    }
    if let Some(info) = device.info().filter(|info| need.step as f64 > ROUGH * info.memory as f64) {
        bail!("{flags} need about {} of memory; {device} has {}", human_bytes(need.step), human_bytes(info.memory));
    }
    Ok(())
}
