//! The training step of every method on an OpenCL device, against the processor. Without a device these tests fail,
//! since they would say nothing.

use std::sync::{Mutex, PoisonError};

use wengert::{Counts, Device, Element};

use super::*;

/// Runs `f` on the device, alone: what it counts is of one test at a time.
fn with_device<R>(f: impl FnOnce(&Device) -> R) -> R {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::opencl(0);
    f(&device.unwrap_or_else(|error| panic!("these tests need an OpenCL device, such as PoCL's: {error}")))
}

const STEPS: usize = 20;

/// The same net with the same weights on the processor and on the device.
fn two<T: Element>(config: &Config, device: &Device) -> [Trainer<T>; 2] {
    config.check().unwrap();
    let mut trainers = [0; 2].map(|_| Trainer::with_classes(config, image(config), CLASSES));
    trainers[1].to(device).unwrap();
    trainers
}

/// Whether this is the bias of a layer with batch norm behind it, which takes it away: its gradient is 0 but for
/// rounding. In single precision that is as large as Adam's ε, which makes steps of full length of it, on each device
/// others.
fn is_taken_away<T: Element>(params: &Params<T>, name: &str) -> bool {
    let number = name.strip_suffix(".bias").and_then(|layer| layer.split_once('.')).map(|(_, number)| number);
    number
        .is_some_and(|number| !name.starts_with("b.") && params.names().any(|n| n.starts_with(&format!("b.{number}."))))
}

/// The largest difference of two nets' parameters and buffers of which `of` holds, relative to what is above 1, and its
/// name.
fn difference<T: Element>(one: &Trainer<T>, other: &Trainer<T>, of: fn(&Params<T>, &str) -> bool) -> (f64, String) {
    let mut worst = (0.0, String::new());
    for ((net, one), (_, other)) in one.nets().iter().zip(other.nets()) {
        for name in one.names().filter(|name| of(one, name)) {
            let (Some(a), Some(b)) = (one.get(name), other.get(name)) else {
                assert_eq!(one.count(name), other.count(name), "{net}.{name}");
                continue;
            };
            for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
                let off = (a.f64() - b.f64()).abs() / a.f64().abs().max(1.0);
                if off > worst.0 || off.is_nan() {
                    worst = (off, format!("{net}.{name}"));
                }
            }
        }
    }
    worst
}

#[test]
fn twenty_steps_in_double_precision_end_in_the_same_nets() {
    with_device(|device| {
        device.check::<f64>().unwrap_or_else(|error| panic!("this test needs double precision: {error}"));
        for (name, config) in all() {
            let [mut host, mut there] = two::<f64>(&config, device);
            let batch = |n| images(image(&config), n).cast::<f64>();
            for _ in 0..STEPS {
                host.train_step(batch);
                there.train_step(batch);
            }
            assert!(there.generator_params.parameters().all(|(_, _, value)| value.device() == *device), "{name}");
            let (off, place) = difference(&host, &there, |_, _| true);
            println!("{name}: {off:e} in {place}");
            assert!(off <= 1e-9, "{name}: {place} is off by {off:e}");
            let (one, other) = (host.sample(3, 1), there.sample(3, 1));
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{name}: the samples");
        }
    });
}

#[test]
fn twenty_steps_in_single_precision_have_the_same_losses() {
    with_device(|device| {
        for (name, config) in all() {
            let [mut host, mut there] = two::<f32>(&config, device);
            let batch = |n| images(image(&config), n);
            let mut worst = 0.0_f64;
            for _ in 0..STEPS {
                let (one, other) = (host.train_step(batch), there.train_step(batch));
                let pairs = [
                    (one.discriminator, other.discriminator),
                    (one.generator, other.generator),
                    (one.estimate.unwrap_or(0.0), other.estimate.unwrap_or(0.0)),
                ];
                for (a, b) in pairs {
                    let off = (a - b).abs() / a.abs().max(1.0);
                    assert!(off <= 1e-3, "{name}: {one:?} on the processor, {other:?} on the device");
                    worst = worst.max(off);
                }
            }
            println!("{name}: {worst:e}");
        }
    });
}

/// Interrupted, moved to the processor and back, as a checkpoint moves a run: the step is the same.
#[test]
fn a_trainer_moves_between_devices() {
    with_device(|device| {
        for (name, config) in all() {
            let [mut host, mut there] = two::<f32>(&config, device);
            steps(&mut host, 2);
            steps(&mut there, 2);
            there.to(&Device::host()).unwrap();
            let before = device.counts();
            steps(&mut host, 1);
            steps(&mut there, 1);
            assert_eq!(device.counts(), before, "{name}: moved to the processor, something stays on the device");
            there.to(device).unwrap();
            steps(&mut host, 1);
            steps(&mut there, 1);
            let (off, place) = difference(&host, &there, |params, name| !is_taken_away(params, name));
            assert!(off < 1e-3, "{name}: {place} is off by {off:e}");
            // Each of the four steps moves either of the two by its rate or less.
            let (off, place) = difference(&host, &there, is_taken_away);
            let most = 2.0 * 4.0 * config.lr.max(config.discriminator_lr());
            assert!(off <= most, "{name}: {place} is off by {off:e}");
        }
    });
}

/// What a step may ask of the device: kernels; batches and noise up, and a few constants; the losses down, in one wait.
#[test]
fn the_host_waits_once_in_a_step_and_computes_nothing_itself() {
    with_device(|device| {
        for (name, config) in all() {
            let [_, mut trainer] = two::<f32>(&config, device);
            // The first steps make the averages of the optimisers.
            steps(&mut trainer, 2);
            let before = device.counts();
            steps(&mut trainer, 1);
            let counts: Counts = device.counts() - before;
            println!("{name}: {counts:?}");
            assert_eq!((counts.fallbacks, counts.waits), (0, 1), "{name}: {counts:?}");
            let (updates, noise) = (config.n_dis as u64, 4 * 6 * 4);
            let needed = updates * (4 * image(&config).numel() as u64 * 4 + noise) + noise;
            assert!(counts.up >= needed && counts.up <= needed + 1024 * (updates + 1), "{name}: {counts:?}, {needed}");
            assert!(counts.down <= 4 * (4 * updates + 3), "{name}: {counts:?}");
        }
    });
}

#[test]
fn a_device_repeats_its_bits() {
    with_device(|device| {
        for (name, config) in all() {
            let run = || {
                let [_, mut trainer] = two::<f32>(&config, device);
                steps(&mut trainer, 4);
                saved(&trainer)
            };
            let (one, other) = (run(), run());
            assert!(one == other, "{name}: two runs differ in {:?}", differences(&one, &other));
        }
    });
}
