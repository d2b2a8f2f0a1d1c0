//! How steep the discriminator of Table 2 is, and what spectral norm promises.
//!
//! ‖f‖_Lip ≤ ∏ₗ ‖Wˡ‖, since leaky ReLU is 1-Lipschitz: equation (10) of the seed. For a convolution the operator norm
//! ‖W‖ is *not* the σ of the weight reshaped to (out, in·kh·kw) that spectral norm divides by. An input pixel is seen
//! by kh·kw/s² outputs at stride s, so ‖W‖ ≤ √(kh·kw/s²)·σ: three times σ for 3×3 at stride 1, twice for 4×4 at stride
//! 2. Table 2 under spectral norm is 3·2·3·2·3·2·3 = 648-Lipschitz times ∏σ(W̄), not 1-Lipschitz.
//!
//! ‖W‖ is measured by power iteration on the convolution itself: x ← Wᵀ(Wx) normalised, where WᵀWx is the gradient of
//! ½‖Wx‖². ‖∇f(x)‖ at data points bounds the constant from below.

use rayon::prelude::*;
use wengert::nn::{Mode, Params, Pass};
use wengert::ops::{Conv2dOptions, loss, power_iteration};
use wengert::optim::{Adam, Optimizer, RmsProp, clip_weights};
use wengert::{Rng, Tape, Tensor, Var};

use super::{Finding, mean, short};
use crate::config::{Config, Norm};
use crate::data::{Dataset, Digits, ImageShape};
use crate::inspect::{operator_norm, slopes, used_weight};
use crate::linalg::largest;
use crate::models::{self, LinearMap, MapKind, Network};
use crate::pictures::{Chart, Line};
use crate::table::table;

/// Images in an update.
const BATCH: usize = 32;
/// Images are squares of this side.
const SIDE: usize = 32;
/// Rounds of power iteration on matrices.
const ROUNDS: usize = 200;

/// How the discriminator's weights are held.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    /// Clipped to ±0.01 after each update, Wasserstein loss, RMSProp: the WGAN paper.
    Clipped,
    /// Not at all; standard loss, Adam.
    Free,
    /// Divided by their spectral norm; hinge loss, Adam: the SNGAN paper.
    Normalised,
}

const HOLDS: [(Hold, &str); 3] =
    [(Hold::Clipped, "clipped to ±0.01"), (Hold::Free, "free"), (Hold::Normalised, "spectral norm")];

/// Table 2 for grey images.
struct Discriminator {
    net: Network,
    params: Params,
    hold: Hold,
}

impl Discriminator {
    fn new(hold: Hold, width: f64, rng: &mut Rng) -> Discriminator {
        let image = ImageShape { channels: 1, height: SIDE, width: SIDE };
        let norm = if hold == Hold::Normalised { Norm::Spectral } else { Norm::None };
        let config = Config { width, norm, ..Config::DEFAULT };
        let mut params = Params::new();
        let net = Network::new(models::discriminator(&config, image, 0), &mut params, rng);
        Discriminator { net, params, hold }
    }

    fn forward(&self, pass: &Pass, x: &Var) -> Var {
        self.net.forward(pass, x, None)
    }
}

/// What is known of the steepness of one layer.
struct Layer {
    /// What it is, in words.
    kind: String,
    /// Of the weight as a matrix (out, rest), which spectral norm divides by.
    sigma: f64,
    /// The norm of the map itself.
    operator: f64,
    /// √(kh·kw/s²)·σ; σ itself for the dense layer.
    bound: f64,
}

/// What is known of a discriminator.
struct Steepness {
    name: &'static str,
    layers: Vec<Layer>,
    /// ‖∇f‖ at real images, at generated ones, and between: the greatest and the mean.
    greatest: f64,
    mean: f64,
}

impl Steepness {
    fn product(&self, value: fn(&Layer) -> f64) -> f64 {
        self.layers.iter().map(value).product()
    }
}

/// Trains Table 2 in the three ways to tell drawn digits from noisy copies, and measures it. `width` multiplies the
/// paper's channels.
pub fn lipschitz(seed: u64, width: f64) -> Finding {
    let found: Vec<Steepness> = HOLDS
        .into_par_iter()
        .enumerate()
        .map(|(i, (hold, name))| measure(name, &trained(hold, width, 60, seed, i as u64), seed))
        .collect();
    let normalised = found.last().expect("three ways");
    let layer = |l: &Layer| vec![l.kind.clone(), short(l.sigma, 1), short(l.operator, 1), short(l.bound, 1)];
    let layers: Vec<_> = normalised.layers.iter().map(layer).collect();
    let row = |s: &Steepness| {
        let products = [s.product(|l| l.sigma), s.product(|l| l.operator), s.product(|l| l.bound)];
        let mut cells = vec![s.name.to_string(), short(s.mean, 1), short(s.greatest, 1)];
        cells.extend(products.map(|product| short(product, 1)));
        cells
    };
    let [three, four] = worst_cases();
    let text = format!(
        "The layers of Table 2 under spectral norm, width {width}\n{}\n\
         The whole net: slopes at data, and what bounds them\n{}\n\
         ∏σ is what spectral norm holds near 1, but it is no bound: ∏‖W‖ is one, and so is ∏√(kh·kw/s²)·σ = 648·∏σ.\n\
         Constant kernels come near that: ‖W‖/σ = {three:.2} of 3 for 3×3, {four:.2} of 2 for 4×4 at stride 2.\n",
        table(&["layer", "σ", "‖W‖", "bound"], &layers),
        table(&["weights", "mean ‖∇f‖", "max ‖∇f‖", "∏σ", "∏‖W‖", "bound"], &found.iter().map(row).collect::<Vec<_>>()),
    );
    Finding { text, charts: found.iter().map(chart).collect() }
}

/// Digits and copies with noise, (BATCH, 1, SIDE, SIDE) each: those of batch `n`.
fn batch(digits: &Digits, n: u64, rng: &mut Rng) -> [Tensor; 2] {
    let indices: Vec<u64> = (n * BATCH as u64..).take(BATCH).collect();
    let (mut images, mut labels) = (vec![0.0; BATCH * SIDE * SIDE], vec![0; BATCH]);
    digits.batch(&indices, &mut images, &mut labels);
    let real = Tensor::from_vec([BATCH, 1, SIDE, SIDE], images);
    let noise: Var = rng.normal([BATCH, 1, SIDE, SIDE]).into();
    let noisy = (Var::from(&real) + 0.3 * noise).clamp(-1.0, 1.0).into_value();
    [real, noisy]
}

fn trained(hold: Hold, width: f64, steps: u64, seed: u64, stream: u64) -> Discriminator {
    let mut rng = Rng::stream(seed, stream);
    let digits = Digits::new(seed);
    let mut d = Discriminator::new(hold, width, &mut rng);
    let mut optimizer: Box<dyn Optimizer<f32>> = match hold {
        Hold::Clipped => Box::new(RmsProp::new(5e-5)),
        Hold::Free | Hold::Normalised => Box::new(Adam::new(2e-4).betas(0.5, 0.999)),
    };
    for step in 0..steps {
        let [real, noisy] = batch(&digits, step, &mut rng);
        let tape = Tape::new();
        let pass = Pass::new(&d.params, &tape, Mode::Train);
        let (on_real, on_noisy) = (d.forward(&pass, &real.into()), d.forward(&pass, &noisy.into()));
        let loss = match hold {
            Hold::Clipped => loss::wasserstein_critic(&on_real, &on_noisy),
            Hold::Free => loss::gan_discriminator(&on_real, &on_noisy),
            Hold::Normalised => loss::hinge_discriminator(&on_real, &on_noisy),
        };
        let gradients = pass.gradients(&loss.backward());
        optimizer.step(&mut d.params, &gradients);
        if d.hold == Hold::Clipped {
            clip_weights(&mut d.params, 0.01);
        }
    }
    d
}

fn measure(name: &'static str, d: &Discriminator, seed: u64) -> Steepness {
    let mut rng = Rng::stream(seed, HOLDS.len() as u64);
    let layer = |map: &LinearMap| {
        let weight = used_weight(&d.params, map).expect("the net has the weights of its layers");
        let sigma = sigma(&weight, &mut rng);
        let MapKind::Conv2d { options, input } = map.kind else {
            return Layer { kind: "dense".into(), sigma, operator: sigma, bound: sigma };
        };
        let operator = convolution_norm(&weight, &options, input[0], &mut rng);
        let (side, stride) = (weight.shape()[2], options.stride[0]);
        let bound = side as f64 / stride as f64 * sigma; // √(kh·kw/s²)·σ
        Layer { kind: format!("{side}×{side}, stride {stride}"), sigma, operator, bound }
    };
    let layers = d.net.architecture().linear_maps().iter().map(layer).collect();
    // Images that training has not seen.
    let [real, noisy] = batch(&Digits::new(!seed), 0, &mut rng);
    let share: Var = rng.uniform([BATCH, 1, 1, 1], 0.0, 1.0).into();
    let between = (Var::from(&noisy) + share * (Var::from(&real) - Var::from(&noisy))).into_value();
    let images = [real, noisy, between];
    let slopes: Vec<f64> = images.iter().flat_map(|images| slopes(&d.net, &d.params, images, None)).collect();
    let greatest = largest(slopes.iter().copied());
    Steepness { name, layers, greatest, mean: mean(slopes) }
}

/// The spectral norm of a weight as the matrix (out, rest).
fn sigma(weight: &Tensor<f64>, rng: &mut Rng) -> f64 {
    let outputs = weight.shape()[0];
    let (u, v) = (rng.normal([outputs]), Tensor::zeros([weight.size() / outputs]));
    let (u, v) = power_iteration(weight, 0, &u, &v, ROUNDS, 1e-12);
    Var::from(weight).spectral_sigma(&u, &v, 0).item()
}

/// The norm of the convolution with this weight on maps of this side.
fn convolution_norm(weight: &Tensor<f64>, options: &Conv2dOptions, side: usize, rng: &mut Rng) -> f64 {
    let start = rng.normal([1, weight.shape()[1], side, side]);
    let weight = Var::from(weight);
    operator_norm(|x| x.conv2d(&weight, None, options), start)
}

/// ‖W‖/σ of constant kernels on maps of 32×32: 3×3 at stride 1 and 4×4 at stride 2.
fn worst_cases() -> [f64; 2] {
    [(3, 1), (4, 2)].map(|(kernel, stride)| {
        let weight = Tensor::ones([1, 1, kernel, kernel]);
        let options = Conv2dOptions::default().stride(stride).padding(1);
        convolution_norm(&weight, &options, SIDE, &mut Rng::seed(0)) / kernel as f64 // σ of a row of ones
    })
}

fn chart(s: &Steepness) -> Chart {
    let running = |value: fn(&Layer) -> f64| {
        let product = |so_far: &mut f64, layer: &Layer| {
            *so_far *= value(layer);
            Some(*so_far)
        };
        (1..).map(f64::from).zip(s.layers.iter().scan(1.0, product).collect::<Vec<_>>())
    };
    let depth = s.layers.len() as f64;
    Chart {
        title: format!("Steepness of Table 2, {}", s.name),
        x_label: "layers so far",
        y_label: "product over the layers",
        log_y: true,
        lines: vec![
            Line::exact("bound √(kh·kw/s²)·σ", running(|l| l.bound)),
            Line::measured("norm ‖W‖ of the convolution", running(|l| l.operator)),
            Line::measured("σ of the reshaped weight", running(|l| l.sigma)),
            Line::measured("the whole net: greatest ‖∇f‖ at data", [(depth, s.greatest)]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_kernels_come_near_the_bound() {
        let [three, four] = worst_cases();
        assert!((2.9..3.0).contains(&three) && (1.9..2.0).contains(&four), "{three} {four}");
    }

    #[test]
    fn slopes_lie_below_the_bounds_and_those_of_spectral_norm_add_up_to_648() {
        for (i, (hold, name)) in HOLDS.into_iter().enumerate() {
            let found = measure(name, &trained(hold, 0.05, 3, 0, i as u64), 0);
            let products = [found.greatest, found.product(|l| l.operator), found.product(|l| l.bound)];
            assert!(products.is_sorted() && found.mean <= found.greatest, "{name}: {products:?}");
            let factor = found.product(|l| l.bound) / found.product(|l| l.sigma);
            assert!((factor - 648.0).abs() < 0.01, "{factor}");
            if hold == Hold::Normalised {
                assert!(found.layers.iter().all(|l| (0.99..1.3).contains(&l.sigma)), "σ(W̄) is near 1");
            }
        }
    }
}
