//! The SNGAN iteration at a quarter of the paper's width: `cargo bench --bench step`. `gan bench step` measures full
//! width.

use criterion::{Criterion, criterion_group, criterion_main};
use wengert::{Rng, Tensor};
use wengert_demos::config::Config;
use wengert_demos::data::ImageShape;
use wengert_demos::train::Trainer;

fn step(c: &mut Criterion) {
    let config = Config { width: 0.25, batch: 64, ..Config::DEFAULT };
    let mut trainer = Trainer::<f32>::new(&config, ImageShape { channels: 3, height: 32, width: 32 });
    let mut rng = Rng::seed(1);
    let real: Tensor = rng.uniform([64, 3, 32, 32], -1.0, 1.0).channels_last();
    let z = rng.normal([64, config.z_dim]);
    let mut group = c.benchmark_group("SNGAN, width 1/4, batch 64");
    group.sample_size(10);
    group.bench_function("discriminator step", |b| b.iter(|| trainer.discriminator_step(&real, &z)));
    group.bench_function("generator step", |b| b.iter(|| trainer.generator_step(&z)));
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
