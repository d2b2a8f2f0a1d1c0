//! What each `op` of layers.safetensors is in `wengert`.

use std::collections::BTreeMap;

use serde_json::Value;
use wengert::ops::{Conv2dOptions, loss};
use wengert::{Axes, Element, Tape, Tensor, Var};

use super::fixture::Fixture;

/// One call of a case: the tensors `case/name` + suffix.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub fixture: &'a Fixture,
    pub case: &'a str,
    /// Batch norm in training has two calls, `_1` and `_2`; others have one, without a suffix.
    pub suffix: &'a str,
}

/// The differentiated inputs of a call, by name.
pub type Vars<T> = BTreeMap<String, Var<T>>;

impl<'a> Call<'a> {
    pub fn options(&self) -> &'a Value {
        self.fixture.options(self.case)
    }

    pub fn op(&self) -> &'a str {
        self.options()["op"].as_str().unwrap_or_default()
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}{}", self.case, self.suffix)
    }

    /// A tensor of this call.
    #[track_caller]
    pub fn tensor<T: Element>(&self, name: &str) -> Tensor<T> {
        self.fixture.tensor(&self.name(name))
    }

    /// A tensor of the case whose name takes no suffix.
    #[track_caller]
    pub fn shared<T: Element>(&self, name: &str) -> Tensor<T> {
        self.fixture.tensor(&format!("{}/{name}", self.case))
    }

    /// The inputs that are differentiated: those N that have a gradient dN. (dx has one too, ddx, but is no input.)
    pub fn inputs(&self) -> Vec<String> {
        let prefix = format!("{}/", self.case);
        let names = self.fixture.names(&prefix).filter_map(|name| name.strip_suffix(self.suffix));
        let is_input =
            |name: &&str| !name.starts_with(['d', 'y']) && self.fixture.contains(&self.name(&format!("d{name}")));
        names.filter(is_input).map(String::from).collect()
    }

    pub fn number(&self, option: &str) -> f64 {
        self.options()[option].as_f64().unwrap_or_else(|| panic!("{}: {option} is no number", self.case))
    }

    pub fn count(&self, option: &str) -> usize {
        self.options()[option].as_u64().unwrap_or_else(|| panic!("{}: {option} is no count", self.case)) as usize
    }

    pub fn flag(&self, option: &str) -> bool {
        self.options()[option].as_bool().unwrap_or_else(|| panic!("{}: {option} is no flag", self.case))
    }

    /// A pair [height, width].
    pub fn pair(&self, option: &str) -> [usize; 2] {
        let value = &self.options()[option];
        let at = |i: usize| value[i].as_u64().unwrap_or_else(|| panic!("{}: {option} is no pair", self.case));
        [at(0) as usize, at(1) as usize]
    }

    /// A list of whole numbers: axes, or how often.
    pub fn counts(&self, option: &str) -> Axes {
        let list = self.options()[option].as_array();
        let list = list.unwrap_or_else(|| panic!("{}: {option} is no list", self.case));
        list.iter().map(|n| n.as_u64().expect("a whole number") as usize).collect()
    }

    pub fn conv_options(&self) -> Conv2dOptions {
        Conv2dOptions {
            stride: self.pair("stride"),
            padding: self.pair("padding"),
            dilation: self.pair("dilation"),
            groups: self.count("groups"),
        }
    }
}

/// y of this call, by our operations.
///
/// # Panics
/// If the test does not know the op: a new case must not pass for want of a reader.
pub fn forward<T: Element>(call: &Call, tape: &Tape<T>, vars: &Vars<T>) -> Var<T> {
    let var = |name: &str| vars.get(name).unwrap_or_else(|| panic!("{}: no input {name}", call.case));
    let x = || var("x");
    match call.op() {
        "conv2d" => x().conv2d(var("weight"), Some(var("bias")), &call.conv_options()),
        "conv_transpose2d" => {
            let output_padding = call.pair("output_padding");
            x().conv_transpose2d(var("weight"), Some(var("bias")), &call.conv_options(), output_padding)
        }
        "linear" => match vars.get("bias") {
            Some(bias) => x().matmul(&var("weight").t()) + bias,
            None => x().matmul(&var("weight").t()),
        },
        "bmm" => var("a").matmul(var("b")),
        "batch_norm" if call.flag("train") => x().batch_norm_train(var("weight"), var("bias"), call.number("eps")).0,
        "batch_norm" => {
            let (mean, variance) = (call.tensor("running_mean"), call.tensor("running_var"));
            x().batch_norm_eval(var("weight"), var("bias"), &mean, &variance, call.number("eps"))
        }
        "layer_norm" => {
            let axes = call.options()["normalized_shape"].as_array().expect("a shape").len();
            x().layer_norm(axes, var("weight"), var("bias"), call.number("eps"))
        }
        "embedding" => {
            let (shape, index) = call.fixture.indices(&call.name("index"));
            let table = var("weight");
            table.index_select(0, &index).reshape([shape[0], shape[1], table.shape()[1]])
        }
        "avg_pool2d" => {
            assert!(call.flag("count_include_pad"), "{}: our average counts the padding", call.case);
            x().avg_pool2d(call.pair("kernel_size"), call.pair("stride"), call.pair("padding"))
        }
        "max_pool2d" => x().max_pool2d(call.pair("kernel_size"), call.pair("stride"), call.pair("padding")),
        "upsample_nearest2d" => x().upsample_nearest([call.count("scale"); 2]),
        "softmax" => x().softmax(call.count("dim")),
        "log_softmax" => x().log_softmax(call.count("dim")),
        "logsumexp" => x().logsumexp([call.count("dim")], false),
        "softplus" => x().softplus(),
        "relu" => x().relu(),
        "leaky_relu" => x().leaky_relu(call.number("slope")),
        "sigmoid" => x().sigmoid(),
        "tanh" => x().tanh(),
        "clamp" => x().clamp(call.number("min"), call.number("max")),
        "spectral_norm" => var("weight").spectral_norm(&call.tensor("u_1"), &call.tensor("v_1"), call.count("axis")),
        "self_attention" => self_attention(vars, call.flag("pool")),
        "gradient_penalty" => gradient_penalty(call, tape, vars),
        "bce_with_logits_ones" => loss::binary_cross_entropy_with_logits(x(), &Tensor::ones(x().shape()).into()),
        "bce_with_logits_zeros" => loss::binary_cross_entropy_with_logits(x(), &Tensor::zeros(x().shape()).into()),
        "cross_entropy" => loss::cross_entropy(x(), &call.fixture.indices(&call.name("target")).1),
        "gan_standard_d" => loss::gan_discriminator(var("real"), var("fake")),
        "gan_standard_g" => loss::gan_generator(var("fake")),
        "gan_saturating_g" => loss::gan_generator_saturating(var("fake")),
        "gan_hinge_d" => loss::hinge_discriminator(var("real"), var("fake")),
        "gan_hinge_g" => loss::hinge_generator(var("fake")),
        _ => further(call, vars),
    }
}

/// [`forward`] of the operations that users of PyTorch expect beside a GAN's layers.
fn further<T: Element>(call: &Call, vars: &Vars<T>) -> Var<T> {
    let var = |name: &str| vars.get(name).unwrap_or_else(|| panic!("{}: no input {name}", call.case));
    let x = || var("x");
    match call.op() {
        "sin" => x().sin(),
        "cos" => x().cos(),
        "square" => x().square(),
        "gelu" => x().gelu(),
        "silu" => x().silu(),
        "maximum" => var("a").maximum(var("b")),
        "minimum" => var("a").minimum(var("b")),
        "where" => Var::where_cond(&call.tensor("mask"), var("a"), var("b")),
        "amin" => x().min_axes(call.counts("dims"), false),
        "std" => x().std_axes(call.counts("dims"), call.flag("keepdim"), call.count("correction")),
        "squeeze" => x().squeeze(call.count("dim")),
        "unsqueeze" => x().unsqueeze(call.count("dim")),
        "index" => x().i((1, .., 2..4, 0)),
        "argmax" => x().max_axes([1], false) - x().min_axes([1], false),
        "stack" => Var::stack(&[var("a"), var("b"), var("a")], call.count("dim")),
        "flip" => x().flip(call.counts("dims")),
        "repeat" => x().repeat(call.counts("times")),
        "pixel_shuffle" => x().pixel_shuffle(call.count("factor")),
        "pixel_unshuffle" => x().pixel_unshuffle(call.count("factor")),
        "upsample_bilinear2d" => x().upsample_bilinear(call.pair("scale")),
        "global_avg_pool2d" => x().global_avg_pool2d(),
        "global_max_pool2d" => x().global_max_pool2d(),
        "group_norm" => x().group_norm(call.count("groups"), var("weight"), var("bias"), call.number("eps")),
        "instance_norm" => x().instance_norm(var("weight"), var("bias"), call.number("eps")),
        "mse" => loss::mse(x(), var("target")),
        "l1" => loss::l1(x(), var("target")),
        op => panic!("{}: the test does not know the op {op}", call.case),
    }
}

/// y_j = x_j + γ·v(Σ_i β_ij h(x_i)), β = softmax over i of f(x_i)·g(x_j).
fn self_attention<T: Element>(vars: &Vars<T>, pool: bool) -> Var<T> {
    let x = &vars["x"];
    let &[n, _, height, width] = &**x.shape() else { panic!("x is a map") };
    let conv = |x: &Var<T>, weight: &Var<T>| x.conv2d(weight, None, &Conv2dOptions::default());
    let pooled = |x: Var<T>| if pool { x.max_pool2d([2, 2], [2, 2], [0, 0]) } else { x };
    let flat = |x: &Var<T>| {
        let shape = *x.shape();
        x.reshape([n, shape[1], shape[2] * shape[3]])
    };
    let (keys, values) = (pooled(conv(x, &vars["f"])), pooled(conv(x, &vars["h"])));
    let beta = flat(&keys).t().matmul(&flat(&conv(x, &vars["g"]))).softmax(1);
    let o = flat(&values).matmul(&beta).reshape([n, values.shape()[1], height, width]);
    x + &vars["gamma"] * vars.get("v").map_or(o.clone(), |v| conv(&o, v))
}

/// The mean of (√(Σ g² + eps) − 1)², g the gradient of a small critic to x: its gradients are second derivatives.
fn gradient_penalty<T: Element>(call: &Call, tape: &Tape<T>, vars: &Vars<T>) -> Var<T> {
    let x = tape.var(call.tensor("x"));
    let options = Conv2dOptions { stride: call.pair("stride"), padding: call.pair("padding"), ..Default::default() };
    let hidden = x.conv2d(&vars["w1"], Some(&vars["b1"]), &options).leaky_relu(call.number("slope"));
    let out = hidden.flatten().matmul(&vars["w2"].t());
    let slope = out.sum().grad(&[&x]).remove(0);
    let norm = (slope.powi(2).flatten().sum_axes([1], false) + call.number("eps")).sqrt();
    (norm - 1.0).powi(2).mean()
}
