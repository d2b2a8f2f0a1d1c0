//! Networks and optimisers that move between the host and the device, in `f64`.

use wengert::nn::{BatchNorm, Init, Linear, Mode, Params, Pass, WeightOptions};
use wengert::optim::{Adam, Ema, Optimizer, RmsProp, Sgd};
use wengert::{Archive, Device, Rng, Tape};

use super::{holds, noise, with_device};

struct Net {
    params: Params<f64>,
    layers: (Linear, BatchNorm, Linear),
}

impl Net {
    fn new() -> Net {
        let (mut params, rng) = (Params::new(), &mut Rng::seed(1));
        let normalised = WeightOptions::new(Init::PyTorch).spectral_norm();
        let layers = (
            Linear::new(&mut params.scope("0"), 5, 7, normalised, rng),
            BatchNorm::new(&mut params.scope("1"), 7, Init::PyTorch, rng),
            Linear::new(&mut params.scope("2"), 7, 1, Init::PyTorch, rng),
        );
        Net { params, layers }
    }

    fn step(&mut self, optimiser: &mut dyn Optimizer<f64>, n: u64) {
        let tape = Tape::new();
        let pass = Pass::new(&self.params, &tape, Mode::Train);
        let x = noise::<f64>(&[6, 5], n).into();
        let y = self.layers.1.forward(&pass, &self.layers.0.forward(&pass, &x)).tanh();
        let loss = self.layers.2.forward(&pass, &y).powi(2).mean();
        let gradients = pass.gradients(&loss.backward());
        optimiser.step(&mut self.params, &gradients);
    }

    /// Whether all parameters and buffers live on this device.
    fn is_on(&self, device: &Device) -> bool {
        self.params.names().filter_map(|name| self.params.get(name)).all(|value| value.device() == *device)
    }
}

fn stored(net: &Net, optimiser: &dyn Optimizer<f64>) -> Archive {
    let mut archive = Archive::new();
    net.params.store(&mut archive, "net.");
    optimiser.store(&net.params, &mut archive, "optimiser.");
    archive
}

#[test]
fn moving_changes_no_bit() {
    if !holds::<f64>() {
        return;
    }
    with_device(|device| {
        let (mut net, mut adam) = (Net::new(), Adam::new(1e-2));
        net.step(&mut adam, 0);
        let before = stored(&net, &adam);
        for place in [device, device, &Device::host()] {
            net.params.to(place).unwrap();
            adam.to(place).unwrap();
            assert!(net.is_on(place));
            assert!(stored(&net, &adam) == before, "on {place}");
        }
    });
}

/// What is stored into a network that was moved, and its optimiser's moments and averages, live where it does.
#[test]
fn what_is_restored_lives_where_it_lived() {
    if !holds::<f64>() {
        return;
    }
    with_device(|device| {
        let (mut net, mut adam) = (Net::new(), Adam::new(1e-2));
        net.step(&mut adam, 0);
        let before = stored(&net, &adam);
        let mut ema = Ema::new(&net.params, 0.5);
        for place in [device, &Device::host()] {
            net.params.to(place).unwrap();
            adam.to(place).unwrap();
            let uploaded = |net: &mut Net, adam: &mut Adam<f64>| {
                let before = device.counts();
                net.step(adam, 1);
                (device.counts() - before).up
            };
            let usual = uploaded(&mut net, &mut adam);
            net.params.restore(&before, "net.").unwrap();
            adam.restore(&net.params, &before, "optimiser.").unwrap();
            net.params.set("2.bias", noise(&[1], 7));
            ema.update(&net.params);
            assert!(net.is_on(place), "restored, on {place}");
            assert_eq!(uploaded(&mut net, &mut adam), usual, "bytes of a step, with moments restored on {place}");
            let averages = Net { params: ema.params().clone(), ..Net::new() };
            assert!(averages.is_on(place), "averages, on {place}");
        }
    });
}

#[test]
fn a_step_runs_where_the_network_lives() {
    if !holds::<f64>() {
        return;
    }
    type Make = fn() -> Box<dyn Optimizer<f64>>;
    let optimisers: [Make; 9] = [
        || Box::new(Adam::new(1e-2)),
        || Box::new(RmsProp::new(1e-2)),
        || Box::new(Sgd::new(1e-2)),
        || Box::new(Sgd::new(1e-2).momentum(0.9)),
        || Box::new(Adam::new(1e-2).weight_decay(0.1)),
        || Box::new(Adam::new(1e-2).decoupled_weight_decay(0.1)),
        || Box::new(RmsProp::new(1e-2).weight_decay(0.1).momentum(0.9)),
        || Box::new(RmsProp::new(1e-2).centred().momentum(0.9)),
        || Box::new(Sgd::new(1e-2).momentum(0.9).weight_decay(0.1)),
    ];
    for make in optimisers {
        with_device(|device| {
            let (mut moved, mut still) = (Net::new(), Net::new());
            let (mut moving, mut staying) = (make(), make());
            for (n, place) in [device, &Device::host(), device, &Device::host()].into_iter().enumerate() {
                moved.params.to(place).unwrap();
                moving.to(place).unwrap();
                let before = device.counts();
                moved.step(&mut *moving, n as u64);
                assert!(moved.is_on(place), "step {n}");
                let ran = (device.counts() - before).kernels > 0;
                assert_eq!(ran, !place.is_host(), "step {n}: kernels of the device");
                still.step(&mut *staying, n as u64);
            }
            for name in still.params.names() {
                let (Some(found), Some(expected)) = (moved.params.get(name), still.params.get(name)) else { continue };
                let off = found.zip(&expected, |a, b| (a - b).abs()).to_vec().into_iter().fold(0.0, f64::max);
                // The bias before batch norm has no gradient but rounding, of which Adam makes a step: that of 10⁻¹⁷
                // becomes 10⁻¹¹, and moves the mean with it.
                let allowed = if ["0.bias", "1.running_mean"].contains(&name) { 1e-9 } else { 1e-12 };
                assert!(off < allowed, "{name} is off by {off:e}, allowed {allowed:e}");
            }
        });
    }
}
