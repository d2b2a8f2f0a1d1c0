//! What the weights of a trained net say: singular values, norms, and how steep the discriminator is.
//!
//! σ of the matrix that spectral norm divides by is not the norm of the convolution, so W/σ does not make a layer
//! 1-Lipschitz. [`LayerFigures`] holds the one beside the other, [`slopes`] what the whole discriminator does.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use wengert::nn::{Mode, Params, Pass, weight_norm};
use wengert::{Element, Rng, Tape, Tensor, Var};

use crate::linalg::singular_values;
use crate::models::{LinearMap, MapKind, Network};
use crate::pictures::Spectrum;

/// Images that [`slopes`] takes at once, so that memory does not grow with their number.
pub const PART: usize = 64;

/// All that `gan inspect` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Generator updates made.
    pub step: u64,
    /// Real images, and as many generated ones, at which the discriminator's gradient was taken.
    pub images: usize,
    /// The largest norms of that gradient.
    pub steepest: Steepest,
    /// The discriminator; its product, if nothing but activations lies between its layers, bounds its Lipschitz
    /// constant.
    pub discriminator: NetFigures,
    /// The generator, which has batch norm between its layers, so that a product would say nothing.
    pub generator: NetFigures,
    /// The gains γ of self-attention, by the name of the parameter.
    pub gammas: BTreeMap<String, f64>,
}

impl Inspection {
    /// Refuses a figure that is not finite.
    ///
    /// # Errors
    /// Names the first such: net, layer and figure.
    pub fn check(&self) -> Result<()> {
        let finite = |what: &str, value: f64| {
            ensure!(value.is_finite(), "{what} is not finite: found {value}; training has diverged");
            Ok(())
        };
        finite("the discriminator's steepest slope at real images", self.steepest.real)?;
        finite("the discriminator's steepest slope at generated images", self.steepest.generated)?;
        for (name, net) in [("discriminator", &self.discriminator), ("generator", &self.generator)] {
            for layer in &net.layers {
                let LayerFigures { sigma, bound, norm, singular_values, .. } = layer;
                let figures = [("σ", *sigma), ("the bound", *bound), ("the norm", *norm)];
                let all = figures.into_iter().chain(singular_values.iter().map(|value| ("a singular value", *value)));
                for (figure, value) in all {
                    finite(&format!("{name} layer {}: {figure}", layer.name), value)?;
                }
            }
            let product = net.product.iter();
            let figures = product.flat_map(|p| [("σ", p.sigma), ("the bounds", p.bound), ("the norms", p.norm)]);
            for (figure, value) in figures {
                finite(&format!("{name}: the product of {figure} over its layers"), value)?;
            }
        }
        self.gammas.iter().try_for_each(|(name, value)| finite(name, *value))
    }
}

/// The largest ‖∇ₓD(x)‖₂ found: lower bounds of the Lipschitz constant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steepest {
    /// At real images.
    pub real: f64,
    /// At generated images.
    pub generated: f64,
}

/// The layers of one net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetFigures {
    /// From the input on.
    pub layers: Vec<LayerFigures>,
    /// Over all layers, where it means something.
    pub product: Option<Product>,
}

impl NetFigures {
    /// What a picture shows of each layer.
    pub fn spectra(&self) -> Vec<Spectrum<'_>> {
        self.layers
            .iter()
            .map(|LayerFigures { name, singular_values, .. }| Spectrum { name, singular_values })
            .collect()
    }
}

/// The products over the layers of a net.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Of the largest singular values of the matrices: no bound, whatever is said of spectral norm.
    pub sigma: f64,
    /// Of the bounds of the maps: a bound of the Lipschitz constant.
    pub bound: f64,
    /// Of the measured norms of the maps: a bound too, up to what the power iteration has not found.
    pub norm: f64,
}

impl Product {
    /// The products over these layers.
    pub fn of(layers: &[LayerFigures]) -> Product {
        let product = |pick: fn(&LayerFigures) -> f64| layers.iter().map(pick).product();
        Product { sigma: product(|l| l.sigma), bound: product(|l| l.bound), norm: product(|l| l.norm) }
    }
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerFigures {
    /// The prefix of its parameters.
    pub name: String,
    /// What it is, in words.
    pub kind: String,
    /// The shape of its weight.
    pub weight: Vec<usize>,
    /// Whether the layer uses W/σ, of which all figures then are.
    pub spectral_norm: bool,
    /// The largest singular value of the weight as a matrix (d_out, rest), found from all of them. For a normalised
    /// weight it is near 1, as near as the power iteration of training has come.
    pub sigma: f64,
    /// What a map's norm can be at most: σ for a dense layer; for a convolution √(⌈kh/s⌉·⌈kw/s⌉) times that.
    pub bound: f64,
    /// The norm of the map: σ for a dense layer; for a convolution, of maps of its finite size, found from below by
    /// power iteration on the convolution itself.
    pub norm: f64,
    /// All singular values, from the largest on.
    pub singular_values: Vec<f64>,
}

impl LayerFigures {
    /// The figures of a layer of this net.
    ///
    /// # Errors
    /// The net has no such weight, or one that is not finite, as W/σ is for σ = 0.
    pub fn of<T: Element>(params: &Params<T>, map: &LinearMap) -> Result<LayerFigures> {
        let kept = Kept::of(params, map)?;
        let (weight, spectral_norm) = (kept.used(), kept.vectors.is_some());
        let shape = weight.shape().to_vec();
        let singular_values = singular_values(&as_matrix(&weight, kept.out_axis));
        let sigma = singular_values[0];
        ensure!(sigma.is_finite(), "the weight that the layer uses is not finite; training has diverged");
        let bound = overlap(&map.kind, &shape).sqrt() * sigma;
        let norm = map_norm(&map.kind, &weight).unwrap_or(sigma);
        let kind = describe(&map.kind, &shape);
        let name = map.name.clone();
        Ok(LayerFigures { name, kind, weight: shape, spectral_norm, sigma, bound, norm, singular_values })
    }
}

/// A weight as a net keeps it, in f64.
struct Kept {
    /// W, before any spectral norm; g·V/‖V‖ where that is how it is kept.
    weight: Tensor<f64>,
    /// u and v, where the layer uses W/σ.
    vectors: Option<[Tensor<f64>; 2]>,
    /// The axis of W that counts outputs.
    out_axis: usize,
}

impl Kept {
    fn of<T: Element>(params: &Params<T>, map: &LinearMap) -> Result<Kept> {
        let out_axis = usize::from(matches!(map.kind, MapKind::ConvTranspose2d { .. }));
        let tensor = |name: String| params.get(&name).map(|tensor| tensor.cast::<f64>());
        let part = |part: &str| tensor(format!("{}.parametrizations.weight.{part}", map.name));
        if let (Some(g), Some(v)) = (part("original0"), part("original1")) {
            return Ok(Kept {
                weight: weight_norm(&v.into(), &g.into(), out_axis).into_value(),
                vectors: None,
                out_axis,
            });
        }
        let vectors = part("0._u").zip(part("0._v")).map(|(u, v)| [u, v]);
        let weight = part("original").or_else(|| tensor(format!("{}.weight", map.name)));
        Ok(Kept { weight: weight.with_context(|| format!("found no weight {}", map.name))?, vectors, out_axis })
    }

    /// The weight that the layer uses.
    fn used(&self) -> Tensor<f64> {
        match &self.vectors {
            Some([u, v]) => Var::from(&self.weight).spectral_norm(u, v, self.out_axis).into_value(),
            None => self.weight.clone(),
        }
    }
}

/// The weight that a layer of a net computes with: W, g·V/‖V‖, or W/σ.
///
/// # Errors
/// The net has no such weight.
pub fn used_weight<T: Element>(params: &Params<T>, map: &LinearMap) -> Result<Tensor<f64>> {
    Ok(Kept::of(params, map)?.used())
}

/// The singular values of the weight W of a layer as a matrix (d_out, rest), from the largest on, before any spectral
/// norm; and, where the layer divides by it, uᵀWv, the estimate of the first that training keeps.
///
/// # Errors
/// The net has no such weight, or one that is not finite.
pub fn raw_singular_values<T: Element>(params: &Params<T>, map: &LinearMap) -> Result<(Vec<f64>, Option<f64>)> {
    let Kept { weight, vectors, out_axis } = Kept::of(params, map)?;
    let values = singular_values(&as_matrix(&weight, out_axis));
    ensure!(values[0].is_finite(), "the weight is not finite; training has diverged");
    let estimate = vectors.map(|[u, v]| Var::from(weight).spectral_sigma(&u, &v, out_axis).item());
    Ok((values, estimate))
}

/// The matrix (d_out, rest) that spectral norm takes a weight for.
fn as_matrix(weight: &Tensor<f64>, out_axis: usize) -> Tensor<f64> {
    let shape = weight.shape();
    let axes = [out_axis].into_iter().chain((0..shape.len()).filter(|&axis| axis != out_axis));
    let rows = shape[out_axis];
    weight.permute(axes.collect::<Vec<_>>().as_slice()).reshape([rows, weight.size() / rows])
}

/// In how many products of matrix and patch a pixel of the input takes part, at most.
///
/// A convolution is y = W·(patch) for every patch, so ‖y‖² ≤ σ²·Σ ‖patch‖² ≤ σ²·overlap·‖x‖²: its norm is at most
/// √overlap·σ. With a stride s that divides the kernel's side k, it is (k/s)² of the k² places: 9 for 3×3, 4 for 4×4
/// with stride 2. A transposed convolution spreads each pixel over all k² places.
fn overlap(kind: &MapKind, weight: &[usize]) -> f64 {
    match kind {
        MapKind::Dense => 1.0,
        MapKind::Conv2d { options, .. } => {
            (0..2).map(|i| weight[2 + i].div_ceil(options.stride[i]) as f64).product::<f64>()
        }
        MapKind::ConvTranspose2d { .. } => (weight[2] * weight[3]) as f64,
    }
}

fn describe(kind: &MapKind, weight: &[usize]) -> String {
    match kind {
        MapKind::Dense => "dense".into(),
        MapKind::Conv2d { options, .. } => {
            format!("{}×{} conv, stride {}", weight[2], weight[3], options.stride[0])
        }
        MapKind::ConvTranspose2d { options, .. } => {
            format!("{}×{} deconv, stride {}", weight[2], weight[3], options.stride[0])
        }
    }
}

/// ‖A‖₂ of the linear map A that a convolution is, without its bias; `None` for a dense layer, where it is σ.
fn map_norm(kind: &MapKind, weight: &Tensor<f64>) -> Option<f64> {
    let (shape, w) = (*weight.shape(), Var::from(weight.clone()));
    let start = |shape: [usize; 4]| Rng::seed(0).normal(shape);
    match *kind {
        MapKind::Dense => None,
        MapKind::Conv2d { options, input: [height, width] } => {
            let channels = shape[1] * options.groups;
            Some(operator_norm(|x| x.conv2d(&w, None, &options), start([1, channels, height, width])))
        }
        MapKind::ConvTranspose2d { options, input: [height, width] } => {
            Some(operator_norm(|x| x.conv_transpose2d(&w, None, &options, [0, 0]), start([1, shape[0], height, width])))
        }
    }
}

/// The most rounds of a power iteration.
const MOST_ROUNDS: usize = 500;

/// The norm ‖A‖₂ of a linear map, by power iteration from the tensor `start` on: x ← AᵀAx normalised, which is the
/// gradient of ½‖Ax‖². It comes from below, and ends when a round adds less than a millionth. A `start` of independent
/// normal numbers has a part in every direction.
pub fn operator_norm(map: impl Fn(&Var<f64>) -> Var<f64>, start: Tensor<f64>) -> f64 {
    let norm = |x: &Tensor<f64>| Var::from(x.clone()).powi(2).sum().item().sqrt();
    let mut x = start;
    let mut found = 0.0;
    for _ in 0..MOST_ROUNDS {
        let length = norm(&x);
        if length == 0.0 {
            return 0.0;
        }
        let tape = Tape::new();
        let unit = tape.var((Var::from(x) / length).into_value());
        let y = map(&unit);
        let last = std::mem::replace(&mut found, norm(y.value()));
        if found - last < 1e-6 * found {
            break;
        }
        x = ((&y * &y).sum() * 0.5).backward().wrt(&unit);
    }
    found
}

/// ‖∇ₓD(x)‖₂ at each of the images (N, C, M, M): how steep the discriminator is there. The largest is a lower bound of
/// its Lipschitz constant. Conditional nets take the class of each image.
///
/// # Panics
/// If conditional nets get no labels.
pub fn slopes<T: Element>(
    discriminator: &Network<T>,
    params: &Params<T>,
    images: &Tensor<T>,
    labels: Option<&[usize]>,
) -> Vec<f64> {
    let n = images.shape()[0];
    let part = |start: usize| {
        let tape = Tape::new();
        let part = start..n.min(start + PART);
        let x = tape.var(Var::from(images.clone()).slice(0, part.clone()).into_value());
        // In evaluation no image sees another, so the gradient of the sum is each image's own.
        let pass = Pass::frozen(params, Mode::Eval);
        let labels = labels.map(|labels| &labels[part]);
        let gradient = discriminator.forward(&pass, &x, labels).sum().backward().wrt(&x);
        Var::from(gradient).powi(2).sum_axes([1, 2, 3], false).sqrt().into_value().to_vec()
    };
    (0..n).step_by(PART).flat_map(part).map(|slope| slope.f64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::ImageShape;
    use crate::train::Trainer;
    use wengert::ops::Conv2dOptions;

    /// The matrix of a linear map, column by column, from what it makes of the unit vectors.
    fn matrix_of(map: impl Fn(&Var<f64>) -> Var<f64>, shape: &[usize]) -> Tensor<f64> {
        let n: usize = shape.iter().product();
        let column = |k: usize| {
            let unit = (0..n).map(|i| if i == k { 1.0 } else { 0.0 }).collect();
            map(&Tensor::from_vec(shape, unit).into()).into_value().to_vec()
        };
        let columns: Vec<Vec<f64>> = (0..n).map(column).collect();
        Tensor::from_vec([n, columns[0].len()], columns.concat())
    }

    #[test]
    fn the_norm_of_a_convolution_is_that_of_its_matrix() {
        let mut rng = Rng::seed(3);
        let cases = [
            (Conv2dOptions::default().padding(1), [3, 3]),
            (Conv2dOptions::default().stride(2).padding(1), [4, 4]),
            (Conv2dOptions::default().stride(2).padding(1), [3, 3]),
        ];
        for (options, [height, width]) in cases {
            let weight: Tensor<f64> = rng.normal([3, 2, height, width]);
            let w = Var::from(weight.clone());
            let input = [6, 6];
            let conv = |x: &Var<f64>| x.conv2d(&w, None, &options);
            let exact = singular_values(&matrix_of(conv, &[1, 2, 6, 6]))[0];
            let kind = MapKind::Conv2d { options, input };
            let found = map_norm(&kind, &weight).unwrap();
            assert!((found / exact - 1.0).abs() < 1e-3 && found <= exact + 1e-9, "{options:?}: {found}, {exact}");
            let sigma = singular_values(&as_matrix(&weight, 0))[0];
            assert!(exact <= overlap(&kind, weight.shape()).sqrt() * sigma, "{options:?}: {exact} and σ {sigma}");
            assert!(exact > 1.1 * sigma, "{options:?}: σ {sigma} of the matrix is not the norm {exact}");

            let transposed = |x: &Var<f64>| x.conv_transpose2d(&w, None, &options, [0, 0]);
            let exact = singular_values(&matrix_of(transposed, &[1, 3, 6, 6]))[0];
            let kind = MapKind::ConvTranspose2d { options, input };
            let found = map_norm(&kind, &weight).unwrap();
            assert!((found / exact - 1.0).abs() < 1e-3 && found <= exact + 1e-9, "transposed: {found}, {exact}");
            let sigma = singular_values(&as_matrix(&weight, 1))[0];
            assert!(exact <= overlap(&kind, weight.shape()).sqrt() * sigma, "transposed: {exact} and σ {sigma}");
        }
    }

    /// A kernel of equal numbers on a constant map reaches the bound as far as there are no borders.
    #[test]
    fn the_bound_is_nearly_reached() {
        let options = Conv2dOptions::default().stride(2).padding(1);
        let kind = MapKind::Conv2d { options, input: [64, 64] };
        let weight = Tensor::full([1, 1, 4, 4], 0.25); // σ = 1
        let found = map_norm(&kind, &weight).unwrap();
        assert!((1.99..2.0).contains(&found), "{found}");
        assert_eq!(overlap(&kind, weight.shape()), 4.0);
        assert_eq!(operator_norm(|x| x * 0.0, Tensor::ones([2, 3])), 0.0);
    }

    fn trained() -> Trainer<f64> {
        let image = ImageShape { channels: 3, height: 8, width: 8 };
        let config = Config { width: 0.05, batch: 8, z_dim: 4, ..Config::DEFAULT };
        let mut trainer = Trainer::<f64>::new(&config, image);
        let mut rng = Rng::seed(1);
        (0..20).for_each(|_| {
            trainer.train_step(|_| rng.uniform([8, 3, 8, 8], -1.0, 1.0));
        });
        trainer
    }

    #[test]
    fn every_layer_of_both_nets_has_its_figures() {
        let trainer = trained();
        let maps = trainer.discriminator().architecture().linear_maps();
        let layers: Vec<LayerFigures> =
            maps.iter().map(|map| LayerFigures::of(&trainer.discriminator_params, map).unwrap()).collect();
        assert_eq!(layers.len(), 8);
        for layer in &layers {
            // Twenty power iterations: σ(W/σ) is 1, or a little more.
            assert!(layer.spectral_norm && (1.0 - 1e-9..1.2).contains(&layer.sigma), "{layer:?}");
            assert!(layer.norm <= layer.bound + 1e-9, "{layer:?}");
        }
        // The factors of 3·2·3·2·3·2·3 = 648.
        let factors: Vec<f64> = layers.iter().map(|layer| (layer.bound / layer.sigma).round()).collect();
        assert_eq!(factors, [3.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0, 1.0]);
        assert_eq!((layers[1].kind.as_str(), layers[1].weight.as_slice()), ("4×4 conv, stride 2", &[3, 3, 4, 4][..]));
        assert_eq!(layers[7].norm, layers[7].sigma);
        // The weights that the net uses are not those of its parameters.
        let raw = trainer.discriminator_params.get("f.parametrizations.weight.original").unwrap();
        assert!((singular_values(&raw)[0] - layers[7].sigma).abs() > 0.1);

        let maps = trainer.generator().architecture().linear_maps();
        let names: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
        assert_eq!(names, ["l", "d.0", "d.1", "d.2", "o"]);
        for map in &maps {
            let layer = LayerFigures::of(&trainer.generator_params, map).unwrap();
            assert!(!layer.spectral_norm && 0.0 < layer.norm && layer.norm <= layer.bound + 1e-9, "{layer:?}");
        }
        let message = LayerFigures::of(&trainer.generator_params, &LinearMap::dense("q")).unwrap_err().to_string();
        assert_eq!(message, "found no weight q");
    }

    #[test]
    fn a_weight_that_is_not_finite_has_no_figures() {
        let mut trainer = trained();
        let maps = trainer.discriminator().architecture().linear_maps();
        let name = "f.parametrizations.weight.original";
        let weight = trainer.discriminator_params.get(name).unwrap();
        // 0: then σ is 0, and W/σ no number.
        for bad in [f64::NAN, f64::INFINITY, 0.0] {
            trainer.discriminator_params.set(name, Tensor::full(*weight.shape(), bad));
            let message = LayerFigures::of(&trainer.discriminator_params, &maps[7]).unwrap_err().to_string();
            assert!(message.contains("the weight that the layer uses is not finite"), "{message}");
        }
    }

    #[test]
    fn every_figure_is_checked_by_name() {
        let layer = LayerFigures {
            name: "c.3".into(),
            kind: "dense".into(),
            weight: vec![2, 2],
            spectral_norm: false,
            sigma: 2.0,
            bound: 2.0,
            norm: 2.0,
            singular_values: vec![2.0, 1.0],
        };
        let product = Some(Product { sigma: 2.0, bound: 2.0, norm: 2.0 });
        let good = Inspection {
            step: 1,
            images: 1,
            steepest: Steepest { real: 1.0, generated: 1.0 },
            discriminator: NetFigures { layers: vec![layer.clone()], product },
            generator: NetFigures { layers: vec![layer], product: None },
            gammas: [("generator.attention.gamma".to_string(), 0.5)].into(),
        };
        good.check().unwrap();
        type Spoil = fn(&mut Inspection, f64);
        let faults: [(Spoil, &str); 11] = [
            (|x, bad| x.steepest.real = bad, "the discriminator's steepest slope at real images"),
            (|x, bad| x.steepest.generated = bad, "the discriminator's steepest slope at generated images"),
            (|x, bad| x.discriminator.layers[0].sigma = bad, "discriminator layer c.3: σ"),
            (|x, bad| x.discriminator.layers[0].bound = bad, "discriminator layer c.3: the bound"),
            (|x, bad| x.generator.layers[0].norm = bad, "generator layer c.3: the norm"),
            (|x, bad| x.generator.layers[0].singular_values[1] = bad, "generator layer c.3: a singular value"),
            (|x, bad| product_of(x).sigma = bad, "discriminator: the product of σ over its layers"),
            (|x, bad| product_of(x).bound = bad, "discriminator: the product of the bounds over its layers"),
            (|x, bad| product_of(x).norm = bad, "discriminator: the product of the norms over its layers"),
            (|x, bad| x.gammas.values_mut().for_each(|gain| *gain = bad), "generator.attention.gamma"),
            // Finite factors, of a product that is not.
            (|x, _| x.discriminator.product = Some(Product::of(&vec![large(x); 5])), "discriminator: the product of σ"),
        ];
        for (spoil, what) in faults {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut spoiled = good.clone();
                spoil(&mut spoiled, bad);
                let message = spoiled.check().unwrap_err().to_string();
                assert!(message.starts_with(what) && message.contains(" is not finite: found "), "{message}");
            }
        }
    }

    fn product_of(found: &mut Inspection) -> &mut Product {
        found.discriminator.product.as_mut().unwrap()
    }

    fn large(found: &Inspection) -> LayerFigures {
        LayerFigures { sigma: 1e70, ..found.discriminator.layers[0].clone() }
    }

    #[test]
    fn slopes_are_those_of_difference_quotients_and_below_the_bound() {
        let trainer = trained();
        let (d, params) = (trainer.discriminator(), &trainer.discriminator_params);
        let mut rng = Rng::seed(2);
        // More than a part, and not a whole number of parts.
        let images: Tensor<f64> = rng.uniform([70, 3, 8, 8], -1.0, 1.0);
        let found = slopes(d, params, &images, None);
        assert_eq!(found.len(), 70);
        let logit = |x: &[f64]| {
            let x = Tensor::from_slice([1, 3, 8, 8], x).into();
            d.forward(&Pass::frozen(params, Mode::Eval), &x, None).item()
        };
        let values = images.to_vec();
        let x = &values[69 * 192..];
        let quotient = |k: usize| {
            let (mut up, mut down) = (x.to_vec(), x.to_vec());
            (up[k], down[k]) = (up[k] + 1e-6, down[k] - 1e-6);
            (logit(&up) - logit(&down)) / 2e-6
        };
        let expected = (0..192).map(|k| quotient(k).powi(2)).sum::<f64>().sqrt();
        assert!((found[69] / expected - 1.0).abs() < 1e-5, "{} {expected}", found[69]);
        let norms = d
            .architecture()
            .linear_maps()
            .iter()
            .map(|map| LayerFigures::of(params, map).unwrap().norm)
            .product::<f64>();
        assert!(found.iter().all(|slope| 0.0 < *slope && *slope < norms), "{norms}");
    }
}
