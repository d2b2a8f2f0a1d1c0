//! The weight of a layer: drawn, and divided by its spectral norm if asked.

use std::fmt;

use super::init::Role;
use super::{BufferId, Init, Mode, ParamId, Pass, Scope};
use crate::ops::{power_iteration, unit_vector};
use crate::{Axes, Element, Rng, Shape, Tensor, Var};

/// The least norm that a vector of the power iteration is divided by (PyTorch's value).
const EPS: f64 = 1e-12;

/// How a layer's weight begins, whether the layer has a bias, and whether its weight is spectrally normalised.
///
/// An [`Init`] alone serves as well, with a bias and without spectral norm.
///
/// ```
/// use wengert::{Rng, nn::{Init, Linear, Params, WeightOptions}};
/// let mut params = Params::<f32>::new();
/// let options = WeightOptions::new(Init::normal(0.02)).spectral_norm().without_bias();
/// let layer = Linear::new(&mut params.scope("l"), 3, 2, options, &mut Rng::seed(0));
/// let names = ["original", "0._u", "0._v"].map(|name| format!("l.parametrizations.weight.{name}"));
/// assert_eq!(params.names().collect::<Vec<_>>(), names);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightOptions {
    init: Init,
    bias: bool,
    spectral_norm: bool,
    weight_norm: bool,
}

impl From<Init> for WeightOptions {
    fn from(init: Init) -> WeightOptions {
        WeightOptions::new(init)
    }
}

impl WeightOptions {
    /// This initialisation, with a bias, without spectral norm.
    pub fn new(init: Init) -> WeightOptions {
        WeightOptions { init, bias: true, spectral_norm: false, weight_norm: false }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> WeightOptions {
        WeightOptions { bias: false, ..self }
    }

    /// The same with spectral norm: the layer uses W/σ, σ = uᵀWv (Miyato et al. 2018, Algorithm 1). u begins as a
    /// normalised draw from N(0, I), v as normalise(Wᵀu); one power iteration per [`Pass`] in [`Mode::Train`] follows.
    pub fn spectral_norm(self) -> WeightOptions {
        WeightOptions { spectral_norm: true, weight_norm: false, ..self }
    }

    /// The same with weight normalisation instead: the layer uses g·V/‖V‖, where each output has a length g of its own
    /// and ‖V‖ is that of its part of V (Salimans and Kingma 2016, arXiv:1602.07868). V begins as the weight is drawn,
    /// g as its lengths, so that the layer begins with V. Names are PyTorch's: `original0` is g, `original1` is V.
    pub fn weight_norm(self) -> WeightOptions {
        WeightOptions { weight_norm: true, spectral_norm: false, ..self }
    }

    /// Whether the layer has a bias.
    pub fn has_bias(&self) -> bool {
        self.bias
    }

    /// Whether the layer's weight is divided by its spectral norm.
    pub fn has_spectral_norm(&self) -> bool {
        self.spectral_norm
    }

    /// Whether the layer's weight is g·V/‖V‖.
    pub fn has_weight_norm(&self) -> bool {
        self.weight_norm
    }

    /// Draws and registers the weight.
    #[track_caller]
    pub(super) fn weight<T: Element>(
        self,
        scope: &mut Scope<'_, T>,
        role: Role,
        (shape, order, out_axis): (Shape, Axes, usize),
        rng: &mut Rng,
    ) -> Weight {
        assert!(shape.iter().all(|&n| n > 0), "layer: a weight of shape {shape}: expected extents of at least 1");
        let value = self.init.weight(role, shape, rng).in_memory_order(order);
        if self.weight_norm {
            let mut scope = scope.scope("parametrizations.weight");
            let length = scope.parameter("original0", lengths(&(&value).into(), out_axis).into_value());
            let id = scope.parameter("original1", value);
            return Weight { id, shape, held: Held::Length { length, out_axis } };
        }
        if !self.spectral_norm {
            return Weight { id: scope.parameter("weight", value), shape, held: Held::Not };
        }
        let mut scope = scope.scope("parametrizations.weight");
        let u = unit_vector(&rng.normal([shape[out_axis]]), EPS);
        let any = Tensor::zeros([shape.size() / shape[out_axis]]);
        let (_, v) = power_iteration(&value, out_axis, &u, &any, 1, EPS);
        let id = scope.parameter("original", value);
        let mut scope = scope.scope("0");
        let held = Held::Spectral { u: scope.buffer("_u", u), v: scope.buffer("_v", v), out_axis };
        Weight { id, shape, held }
    }

    /// Draws and registers the bias of `len` outputs, if there is to be one.
    #[track_caller]
    pub(super) fn bias<T: Element>(
        self,
        scope: &mut Scope<'_, T>,
        weight: &Weight,
        len: usize,
        rng: &mut Rng,
    ) -> Option<ParamId> {
        self.bias.then(|| scope.parameter("bias", self.init.bias(&weight.shape, len, rng)))
    }
}

/// A registered weight.
#[derive(Clone)]
pub(super) struct Weight {
    id: ParamId,
    shape: Shape,
    held: Held,
}

/// What is made of a weight before it is used; `out_axis` is the axis of the weight that counts outputs.
#[derive(Clone, Copy)]
enum Held {
    Not,
    /// W/σ.
    Spectral {
        u: BufferId,
        v: BufferId,
        out_axis: usize,
    },
    /// g·V/‖V‖.
    Length {
        length: ParamId,
        out_axis: usize,
    },
}

/// g·V/‖V‖ (Salimans and Kingma 2016, arXiv:1602.07868): V with the lengths g of the parts that belong to its outputs,
/// which `out_axis` counts; g has extents of 1 along all other axes.
///
/// ```
/// use wengert::{Tensor, Var, nn::weight_norm};
/// let v = Var::from(Tensor::<f64>::from_vec([2, 2], vec![3.0, 4.0, 0.0, -2.0]));
/// let g = Tensor::from_vec([2, 1], vec![10.0, 1.0]).into();
/// assert_eq!(weight_norm(&v, &g, 0).value().to_vec(), [6.0, 8.0, 0.0, -1.0]);
/// ```
///
/// # Panics
/// If there is no such axis, or the shapes do not broadcast.
#[track_caller]
pub fn weight_norm<T: Element>(v: &Var<T>, g: &Var<T>, out_axis: usize) -> Var<T> {
    v * (g / lengths(v, out_axis))
}

/// The length of each output's part of a weight, with extents of 1 along all other axes.
fn lengths<T: Element>(weight: &Var<T>, out_axis: usize) -> Var<T> {
    let axes: Vec<usize> = (0..weight.shape().len()).filter(|&axis| axis != out_axis).collect();
    weight.powi(2).sum_axes(axes.as_slice(), true).sqrt()
}

impl Weight {
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The weight for this pass: W, W/σ, or g·V/‖V‖.
    #[track_caller]
    pub(super) fn var<T: Element>(&self, pass: &Pass<'_, T>) -> Var<T> {
        let weight = pass.param(self.id);
        match self.held {
            Held::Not => weight,
            Held::Length { length, out_axis } => {
                pass.normalised_once(self.id, || weight_norm(&weight, &pass.param(length), out_axis))
            }
            Held::Spectral { u: u_id, v: v_id, out_axis } => pass.normalised_once(self.id, || {
                let (mut u, mut v) = (pass.buffer(u_id), pass.buffer(v_id));
                if pass.mode() == Mode::Train {
                    (u, v) = power_iteration(weight.value(), out_axis, &u, &v, 1, EPS);
                    pass.set_buffer(u_id, u.clone());
                    pass.set_buffer(v_id, v.clone());
                }
                weight.spectral_norm(&u, &v, out_axis)
            }),
        }
    }
}

impl fmt::Debug for Weight {
    /// The shape, and what it is divided by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divisor = match self.held {
            Held::Not => "",
            Held::Spectral { .. } => "/σ",
            Held::Length { .. } => "/‖V‖",
        };
        write!(f, "{}{divisor}", self.shape)
    }
}
