//! What a run will need of memory: measured, before it begins, on steps with a few images.

use anyhow::{Result, bail};
use wengert::{Device, HostMemory, Rng};

use super::{Batch, SAMPLES_AT_ONCE, Trainer};
use crate::config::Config;
use crate::data::ImageShape;
use crate::models;
use crate::usage::{available_memory, human_bytes, resident_memory};

/// What plots and the report take beside the nets, measured on runs of small nets at 32 pixels.
const PLOTS: u64 = 31_000_000;

/// The bytes that a picture of samples takes for each number in its images: the numbers, gathered from their parts, and
/// the pixels, twice as high and wide. Measured at 128 pixels.
const PICTURE: u64 = 17;

/// How many bytes a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// What this process holds already: the program and the images.
    held: u64,
    /// Parameters, and what the optimisers keep of them.
    state: u64,
    /// All values at the moment of a step when there are most, the state among them.
    step: u64,
    /// Drawing.
    pictures: u64,
}

impl Need {
    /// Measures a run of this configuration: memory goes by the number of images nearly as a straight line, which two
    /// steps each with one image and with two give.
    fn of(config: &Config, image: ImageShape, classes: usize) -> Need {
        let held = resident_memory();
        let (state, one) = measure(config, image, classes, 1);
        let (_, two) = measure(config, image, classes, 2);
        HostMemory::release();
        let step = one + two.saturating_sub(one) * (config.batch as u64 - 1);
        let numbers = (SAMPLES_AT_ONCE * image.numel()) as u64;
        Need { held, state, step, pictures: PLOTS.max(PICTURE * numbers) }
    }

    /// All of it, in bytes: the values of steps, and a checkpoint as it is written or a picture as it is drawn. (Of a
    /// checkpoint there are, at most, two and a half copies: measured.)
    fn total(&self) -> u64 {
        self.held + self.step + self.pictures.max(self.state * 5 / 2)
    }

    /// All of it, in bytes, once steps of the whole batch have been made; on the host, if they were made on a device.
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
    models::check_weights(config, image, classes, device)?; // before anything is allocated
    let need = Need::of(config, image, classes);
    let Config { width, batch, z_dim, .. } = config;
    let flags = format!("--width {width} --batch {batch} --z-dim {z_dim}");
    let new = need.total() - need.held;
    if let Some(free) = available_memory().filter(|&free| new > free) {
        bail!("{flags} need about {} of memory; {} is free", human_bytes(new), human_bytes(free));
    }
    if let Some(info) = device.info().filter(|info| need.step > info.memory) {
        bail!("{flags} need about {} of memory; {device} has {}", human_bytes(need.step), human_bytes(info.memory));
    }
    Ok(need)
}
