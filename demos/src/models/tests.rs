//! What follows from the descriptions, against the nets that are made of them, and against the papers.

use wengert::nn::{Mode, Params, Pass};
use wengert::{Rng, Tensor};

use super::architecture::Kind;
use super::*;
use crate::config::Norm;

const CLASSES: usize = 10;

fn image(side: usize) -> ImageShape {
    ImageShape { channels: 3, height: side, width: side }
}

/// The nets of a configuration, generator and discriminator, with the stores of their parameters.
fn nets(config: &Config, image: ImageShape) -> [(Network<f32>, Params<f32>); 2] {
    let rng = &mut Rng::seed(0);
    [generator(config, image, CLASSES), discriminator(config, image, CLASSES)].map(|architecture| {
        let mut params = Params::new();
        (Network::new(architecture, &mut params, rng), params)
    })
}

/// Every net that there is, small.
fn configs() -> Vec<Config> {
    let methods = [Method::Gan, Method::Wgan, Method::WganGp, Method::Sngan, Method::Sagan];
    let recipes = methods.map(|method| Config { width: 0.05, z_dim: 4, ..Config::recipe(method) });
    let conditional = Config { conditional: true, ..recipes[4].clone() };
    let batch_norm = Config { norm: Norm::Batch, ..recipes[0].clone() };
    let weight_norm = Config { norm: Norm::Weight, conditional: true, ..recipes[0].clone() };
    let residual = [&recipes[3], &recipes[4], &conditional].map(|config| Config { net: Net::Resnet, ..config.clone() });
    recipes.clone().into_iter().chain([conditional, batch_norm, weight_norm]).chain(residual).collect()
}

/// The names of linear maps with the side of the maps that they take; dense layers have none.
fn sides(maps: &[LinearMap]) -> String {
    let side = |map: &LinearMap| match map.kind {
        MapKind::Dense => map.name.clone(),
        MapKind::Conv2d { input: [rows, columns], .. } | MapKind::ConvTranspose2d { input: [rows, columns], .. } => {
            assert_eq!(rows, columns);
            format!("{} {rows}", map.name)
        }
    };
    maps.iter().map(side).collect::<Vec<_>>().join(", ")
}

#[test]
fn linear_maps_are_those_of_every_net_with_the_sides_that_they_meet() {
    for (method, chain, expected_g, expected_d) in [
        (
            Method::Sngan,
            true,
            "l, d.0 4, d.1 8, d.2 16, o 32",
            "c.0 32, c.1 32, c.2 16, c.3 16, c.4 8, c.5 8, c.6 4, f",
        ),
        (Method::WganGp, true, "l, d.0 4, d.1 8, d.2 16", "c.0 32, c.1 16, c.2 8, f"),
        (Method::Wgan, false, "l, d.0 4, d.1 8, d.2 16", "c.0 32, c.1 16, c.2 8, f"),
        (
            Method::Sagan,
            false,
            "l, d.0 4, d.1 8, a.g 16, a.f 16, a.h 16, a.v 16, d.2 16, o 32",
            "c.0 32, c.1 32, c.2 16, a.g 16, a.f 16, a.h 16, a.v 16, c.3 16, c.4 8, c.5 8, c.6 4, f",
        ),
    ] {
        let config = Config { width: 0.05, z_dim: 4, ..Config::recipe(method) };
        let nets = nets(&config, image(32));
        let maps = nets.each_ref().map(|(net, _)| net.architecture().linear_maps());
        assert_eq!(maps.each_ref().map(|maps| sides(maps)), [expected_g, expected_d], "{method:?}");
        assert_eq!(nets[1].0.architecture().is_chain(), chain, "{method:?}");
        assert!(!nets[0].0.architecture().is_chain(), "{method:?}: batch norm");
        // No weight is left out.
        for ((_, params), maps) in nets.iter().zip(&maps) {
            let weights = params.parameters().filter(|(_, _, value)| value.rank() > 1).count();
            assert_eq!(weights, maps.len(), "{method:?}");
        }
    }
}

#[test]
fn counts_and_shapes_are_those_of_the_nets_that_are_made() {
    for config in configs() {
        for (net, params) in nets(&config, image(32)) {
            let architecture = net.architecture();
            assert_eq!(architecture.parameters(), params.size() as u64, "{config:?}");
            // Row by row: the parameters that begin with its name, and its part of the whole net.
            for row in architecture.rows().iter().filter(|row| !row.layer.name.is_empty()) {
                let prefix = format!("{}.", row.layer.name);
                let own = params.parameters().filter(|(_, name, _)| name.starts_with(&prefix));
                let own: usize = own.map(|(_, _, value)| value.size()).sum();
                assert_eq!(row.parameters, own as u64, "{prefix}");
            }
            let x: Tensor = Rng::seed(1).normal([&[2], architecture.input.as_slice()].concat().as_slice());
            let labels = config.conditional.then_some(&[3, 7][..]);
            let y = net.forward(&Pass::frozen(&params, Mode::Eval), &x.into(), labels);
            let output = &architecture.rows().last().unwrap().output.clone();
            assert_eq!(y.shape()[1..], output[..], "{config:?}");
        }
    }
}

/// The multiply-adds of Tables 1 and 2, by hand: numbers that come out times numbers that go into each.
#[test]
fn multiply_adds_are_those_of_the_tables() {
    let config = Config { width: 1.0, ..Config::DEFAULT };
    let [g, d] = [generator(&config, image(32), 0), discriminator(&config, image(32), 0)];
    let of = |net: &Architecture| -> Vec<u64> {
        net.rows().iter().map(|row| row.multiply_adds).filter(|&count| count > 0).collect()
    };
    // 4²·512 numbers go in, with 4²·256 taps each; then 8²·256 with 4²·128, which is the same.
    let up = 16 * 512 * 16 * 256;
    assert_eq!(of(&g), [128 * 8192, up, up, up, 1024 * 64 * 9 * 3]);
    let down = 256 * 16 * 64 * 64; // 16²·64 numbers come out, of 4²·64 taps each; then 8²·128 of 4²·128
    let double = 256 * 128 * 9 * 64; // 16²·128 numbers come out, of 3²·64 taps each; then 8²·256 of 3²·128
    assert_eq!(of(&d), [1024 * 27 * 64, down, double, down, double, down, double, 8192]);
    assert_eq!(g.multiply_adds(), of(&g).iter().sum::<u64>());
}

#[test]
fn signs_are_those_in_front_of_the_activations() {
    for norm in [Norm::Spectral, Norm::Batch] {
        let architecture = discriminator(&Config { width: 0.05, norm, ..Config::DEFAULT }, image(8), 0);
        // The same layers, activations apart from the convolutions.
        let mut params = Params::<f64>::new();
        let net = Network::new(architecture.clone(), &mut params, &mut Rng::seed(0));
        let pass = Pass::frozen(&params, Mode::TrainFixed);
        let x = Rng::seed(1).normal([2, 3, 8, 8]).into();
        let mut expected = Vec::new();
        for end in 1..=architecture.layers.len() {
            if matches!(architecture.layers.get(end).map(|layer| &layer.kind), Some(Kind::LeakyRelu(_))) {
                let cut = Architecture { layers: architecture.layers[..end].to_vec(), ..architecture.clone() };
                let mut own = Params::new();
                let cut = Network::new(cut, &mut own, &mut Rng::seed(0));
                let y = cut.forward(&Pass::frozen(&own, Mode::TrainFixed), &x, None);
                expected.extend(y.value().to_vec().iter().map(|&y| y > 0.0));
            }
        }
        assert_eq!(net.signs(&pass, &x, None), expected);
        assert!(expected.contains(&true) && expected.contains(&false));
    }
}

/// Every parameter's shape as the tables have it, for images of side m with the dense maps of side m/8.
fn check_tables(m: usize, generator_size: usize, discriminator_size: usize) {
    let config = Config { width: 1.0, ..Config::DEFAULT };
    let [(generator, g), (discriminator, d)] = nets(&config, image(m));
    let mg = m / 8;
    let shapes = |params: &Params<f32>| -> Vec<(String, Vec<usize>)> {
        let matrices = params.parameters().filter(|(_, _, value)| value.rank() > 1);
        matrices.map(|(_, name, value)| (name.to_string(), value.shape().to_vec())).collect()
    };
    let table_1 = [
        ("l.weight", vec![mg * mg * 512, 128]),
        ("d.0.weight", vec![512, 256, 4, 4]),
        ("d.1.weight", vec![256, 128, 4, 4]),
        ("d.2.weight", vec![128, 64, 4, 4]),
        ("o.weight", vec![3, 64, 3, 3]),
    ];
    assert_eq!(shapes(&g), table_1.map(|(name, shape)| (name.to_string(), shape)));
    let table_2 = [
        ("c.0", vec![64, 3, 3, 3]),
        ("c.1", vec![64, 64, 4, 4]),
        ("c.2", vec![128, 64, 3, 3]),
        ("c.3", vec![128, 128, 4, 4]),
        ("c.4", vec![256, 128, 3, 3]),
        ("c.5", vec![256, 256, 4, 4]),
        ("c.6", vec![512, 256, 3, 3]),
        ("f", vec![1, mg * mg * 512]),
    ];
    let original = |name: &str| format!("{name}.parametrizations.weight.original");
    assert_eq!(shapes(&d), table_2.map(|(name, shape)| (original(name), shape)));
    assert_eq!((g.size(), d.size()), (generator_size, discriminator_size));

    let z: Tensor = Rng::seed(1).normal([1, 128]);
    let images = generator.forward(&Pass::frozen(&g, Mode::Eval), &z.into(), None);
    assert_eq!(**images.shape(), [1, 3, m, m]);
    assert!(images.value().to_vec().iter().all(|x| x.abs() < 1.0), "tanh");
    assert_eq!(**discriminator.forward(&Pass::frozen(&d, Mode::Eval), &images, None).shape(), [1, 1]);
}

// The sizes, by hand: weights as above, a bias for each output, γ and β for each channel of batch norm. The recipes
// say about 3.8 M and 2.9 M for M = 32.

#[test]
fn tables_1_and_2_for_32_pixels() {
    check_tables(32, 3_812_355, 2_935_873);
}

#[test]
fn tables_1_and_2_for_48_pixels() {
    check_tables(48, 5_133_315, 2_946_113);
}

#[test]
fn tables_1_and_2_for_64_pixels() {
    check_tables(64, 6_982_659, 2_960_449);
}

/// DCGAN's nets, with batch norm in both.
fn dcgan_config() -> Config {
    Config { width: 1.0, z_dim: 100, ..Config::recipe(Method::Wgan) }
}

#[test]
fn the_nets_of_dcgan_at_32_and_64_pixels() {
    // Parameters of the authors' DCGAN_G and DCGAN_D with nz 100, ngf and ndf 64, nc 3.
    for (side, g_size, d_size) in [(32, 1_068_928, 663_296), (64, 3_576_704, 2_765_568)] {
        let [(generator, g), (discriminator, d)] = nets(&dcgan_config(), image(side));
        assert_eq!((g.size(), d.size()), (g_size, d_size), "{side}");
        let z: Tensor = Rng::seed(1).normal([2, 100]);
        let images = generator.forward(&Pass::frozen(&g, Mode::Eval), &z.into(), None);
        assert_eq!(**images.shape(), [2, 3, side, side]);
        assert_eq!(**discriminator.forward(&Pass::frozen(&d, Mode::Eval), &images, None).shape(), [2, 1]);
    }
}

#[test]
fn weights_of_dcgan_begin_as_the_authors_have_it() {
    let [_, (_, d)] = nets(&dcgan_config(), image(32));
    for (name, mean, n) in [("c.2.weight", 0.0, 524_288.0), ("b.2.weight", 1.0, 256.0)] {
        let values: Vec<f64> = d.get(name).unwrap().cast().to_vec();
        let found = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n).sqrt();
        assert!((found - mean).abs() < 5.0 * 0.02 / n.sqrt(), "{name}: mean {found}");
        assert!((std / 0.02 - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "{name}: standard deviation {std}");
    }
    assert!(d.get("b.0.weight").is_none(), "no batch norm after the first convolution");
}

/// How the numbers of a parameter are spread: mean, standard deviation and the largest absolute value.
fn spread(params: &Params<f32>, name: &str) -> [f64; 3] {
    let values: Vec<f64> = params.get(name).unwrap_or_else(|| panic!("no {name}")).cast().to_vec();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    [mean, std, values.iter().fold(0.0, |most, x| x.abs().max(most))]
}

#[test]
fn weights_begin_as_init_says() {
    let of = |method: Method, init: InitialWeights, conditional: bool| {
        let config = Config { width: 0.5, init, conditional, ..Config::recipe(method) };
        nets(&config, image(32)).map(|(_, params)| params)
    };
    let original = |name: &str| format!("{name}.parametrizations.weight.original");
    // Tables 1 and 2 by SNGAN's authors: N(0, 0.02²), biases 0.
    let [g, d] = of(Method::Sngan, InitialWeights::Paper, false);
    for (params, weight, bias) in [(&g, "d.1.weight", "d.1.bias"), (&d, &*original("c.3"), "c.3.bias")] {
        let [mean, std, _] = spread(params, weight);
        assert!(mean.abs() < 5e-4 && (std - 0.02).abs() < 5e-4, "{weight}: {mean} {std}");
        assert_eq!(spread(params, bias)[2], 0.0);
    }
    assert_eq!(spread(&g, "b.1.weight"), [1.0, 0.0, 1.0]);
    // PyTorch's: uniform on ±1/√fan-in, biases too. Fan-in of c.3 at half the width: 64·4·4.
    let [_, d] = of(Method::Sngan, InitialWeights::Usual, false);
    for name in [&*original("c.3"), "c.3.bias"] {
        let [_, std, most] = spread(&d, name);
        assert!(most <= 1.0 / 32.0 && most > 0.9 / 32.0 && (std * 32.0 - 3f64.powf(-0.5)).abs() < 0.1, "{name}");
    }
    // SAGAN's authors: Glorot's uniform, attention and the vectors of classes too; those are (10, 256) here.
    let [_, d] = of(Method::Sagan, InitialWeights::Paper, true);
    for (name, fans) in [("c.3", 2.0 * 64.0 * 16.0), ("a.v", 32.0 + 64.0), ("y", 10.0 + 256.0f64)] {
        let (bound, [_, std, most]) = ((6.0 / fans).sqrt(), spread(&d, &original(name)));
        assert!(most <= bound && most > 0.95 * bound && (std / bound - 3f64.powf(-0.5)).abs() < 0.05, "{name}: {most}");
    }
    // The residual nets of SNGAN's authors: √2 times the bounds in the blocks' 3×3, and not in their shortcuts.
    for (init, gain) in [(InitialWeights::Paper, 2f64.sqrt()), (InitialWeights::Usual, 1.0)] {
        let config = Config { init, width: 0.5, net: Net::Resnet, ..Config::recipe(Method::Sngan) };
        let [g, d] = nets(&config, image(32)).map(|(_, params)| params);
        let names = |part: &str| [format!("block.1.{part}.weight"), original(&format!("block.1.{part}"))];
        for (params, i, channels) in [(&g, 0, 256.0), (&d, 1, 128.0)] {
            for (part, area, gain) in [("c.1", 9.0, gain), ("s", 1.0, 1.0)] {
                let [_, _, most] = spread(params, &names(part)[i]);
                let bound = gain * (6.0f64 / (channels * area)).sqrt();
                assert!(most <= bound && most > 0.95 * bound, "{part} {i}: {most}, {bound}");
            }
        }
    }
    let [_, d] = of(Method::Sagan, InitialWeights::Usual, true);
    assert!((spread(&d, &original("y"))[1] - 1.0).abs() < 0.1);
    // Where σ divides nothing, N(0, 1) would drown all else.
    let [_, d] = of(Method::Gan, InitialWeights::Usual, true);
    assert!(spread(&d, "y.weight")[2] <= (6.0f64 / 266.0).sqrt());
    let [_, d] = of(Method::WganGp, InitialWeights::Usual, true);
    assert!((spread(&d, "y.weight")[1] - 0.02).abs() < 2e-3);
}

/// A configuration of residual nets at the paper's width.
fn resnet_config() -> Config {
    Config { net: Net::Resnet, width: 1.0, ..Config::DEFAULT }
}

/// Parameters, by hand from the tables: the dense layer, each block, and what follows; the papers have no figures.
///
/// A block up from a to b channels has 2a (batch norm), 9ab + b, 2b (batch norm), 9b² + b, and ab + b in the shortcut;
/// one of the discriminator, from a to b, has 9a² + a, 9ab + b, and ab + b if there is a convolution in the shortcut;
/// the first, from the 3 colours, 27b + b, 9b² + b, 3b + b.
#[test]
fn parameters_of_the_residual_nets_are_those_of_the_papers_tables() {
    let up = |a: u64, b: u64| 2 * a + 9 * a * b + b + 2 * b + 9 * b * b + b + a * b + b;
    let first = |b: u64| 28 * b + 9 * b * b + b + 4 * b;
    let plain = |a: u64, b: u64| 9 * a * a + a + 9 * a * b + b;
    let changed = |a: u64, b: u64| plain(a, b) + a * b + b;
    assert_eq!([up(256, 256), up(512, 256), up(256, 128), up(128, 64)], [1_246_976, 1_902_848, 476_288, 119_360]);
    let g32 = 129 * 4096 + 3 * up(256, 256) + 2 * 256 + (27 * 256 + 3);
    let g48 = 129 * 18432 + up(512, 256) + up(256, 128) + up(128, 64) + 2 * 64 + (27 * 64 + 3);
    let g64 = 129 * 16384 + up(1024, 512) + up(512, 256) + up(256, 128) + up(128, 64) + 2 * 64 + (27 * 64 + 3);
    let d32 = first(128) + changed(128, 128) + 2 * plain(128, 128) + 129;
    // Whether a block halves the side changes nothing of its weights: 48 and 64 have the same ones.
    let d48 = first(64) + changed(64, 128) + changed(128, 256) + changed(256, 512) + changed(512, 1024) + 1025;
    assert_eq!([g32, g48, g64, d32, d48], [4_276_739, 4_878_083, 12_220_675, 1_053_825, 10_141_441]);
    for (side, expected) in [(32, [g32, d32]), (48, [g48, d48]), (64, [g64, d48])] {
        let config = resnet_config();
        let found = [generator(&config, image(side), 0), discriminator(&config, image(side), 0)];
        assert_eq!(found.map(|net| net.parameters()), expected, "{side}");
    }
}

/// The sides and channels behind each row of the tables.
#[test]
fn shapes_of_the_residual_nets_are_those_of_the_papers_tables() {
    let blocks = |net: &Architecture| -> Vec<[usize; 2]> {
        let rows = net.rows();
        let blocks = rows.iter().filter(|row| matches!(row.layer.kind, Kind::Sum(_)));
        blocks.map(|row| [row.output[0], row.output[1]]).collect()
    };
    for (side, ups, downs) in [
        (32, vec![[256, 8], [256, 16], [256, 32]], vec![[128, 16], [128, 8], [128, 8], [128, 8]]),
        (48, vec![[256, 12], [128, 24], [64, 48]], vec![[64, 24], [128, 12], [256, 6], [512, 3], [1024, 3]]),
        (64, vec![[512, 8], [256, 16], [128, 32], [64, 64]], vec![[64, 32], [128, 16], [256, 8], [512, 4], [1024, 2]]),
    ] {
        let config = resnet_config();
        let nets = [generator(&config, image(side), 0), discriminator(&config, image(side), 0)];
        assert_eq!(nets.each_ref().map(blocks), [ups, downs], "{side}");
        let outputs = nets.map(|net| net.rows().last().unwrap().output.clone());
        assert_eq!(outputs, [vec![3, side, side], vec![1]]);
    }
}
