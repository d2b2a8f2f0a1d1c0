//! Batch normalisation as kernels: moments, the normalised batch, and its rule. The loops are in `norm.rs`.

use super::Element;
#[cfg(feature = "opencl")]
use super::device::{Operand, Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::norm::{ChannelAffine, gradient_sums, input_gradient, moments, normalise, sums};
#[cfg(feature = "opencl")]
use super::opencl::{
    Launch, Memory, Queue, Source,
    sums::{Group, Parts},
};

/// The sum of each column of x, every element added in `f64`.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSums;

compile!(ColumnSums, BatchMoments, BatchNormalise, BatchNormGradient);

impl<T: Element> Kernel<T> for ColumnSums {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        store_all(out, &sums(x, out.len()));
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([x], [out]) = (inputs.tensors(), outputs.tensors());
        let device = OnDevice::new(queue, x, out.len, false);
        let sums = device.sums(1);
        device.parts::<T>("column_sums", &[x], sums.whole(device.sums_len(1)))?;
        let launch = device.launch::<T>("store_sums").operand(sums.whole(device.sums_len(1))).operand(out);
        device.over_channels(launch.each([device.parts.count, device.channels]))
    }
}

/// The mean of each channel of x in two parts, its biased variance, and 1/√(variance + eps): computed in `f64`, rounded
/// once.
///
/// The second part of the mean is what rounding took off the first. It counts where a channel varies by no more than
/// rounding: the mean of 10000 and the next larger number of f32 is neither of them.
#[derive(Clone, Copy, Debug)]
pub struct BatchMoments {
    /// What is added to a variance before its root is taken.
    pub eps: f64,
}

impl<T: Element> Kernel<T> for BatchMoments {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [mean, rest, variance, inverse]) = (inputs.tensors(), outputs.tensors());
        let moments = moments(x, mean.len());
        store_all(mean, &moments.mean);
        for (i, rest) in rest.iter_mut().enumerate() {
            *rest = T::of(moments.mean[i] - mean[i].f64());
        }
        store_all(variance, &moments.variance);
        let roots = moments.variance.iter().map(|variance| (variance + self.eps).sqrt().recip());
        inverse.iter_mut().zip(roots).for_each(|(y, root)| *y = T::of(root));
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([x], moments) = (inputs.tensors(), outputs.tensors::<4>());
        let device = OnDevice::new(queue, x, moments[0].len, false);
        if device.rows == 0 {
            return Err(Unsupported);
        }
        let sums = device.sums(2);
        device.parts::<T>("moments_of_parts", &[x], sums.whole(device.sums_len(2)))?;
        let launch = device.launch::<T>("store_moments").operand(sums.whole(device.sums_len(2))).operand(x);
        let sizes = [device.parts.count, device.rows, device.channels, device.parts.length];
        device.over_channels(launch.operands(&moments).each(sizes).real(self.eps))
    }
}

fn store_all<T: Element>(out: &mut [T], values: &[f64]) {
    out.iter_mut().zip(values).for_each(|(y, &x)| *y = T::of(x));
}

/// y = γ·(x − mean − rest)·inverse + β, or max(y, 0), from x, mean, rest, inverse, γ, β.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalise {
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl<T: Element> Kernel<T> for BatchNormalise {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x, mean, rest, inverse, gamma, beta], [y]) = (inputs.tensors(), outputs.tensors());
        let [scale, shift] = scale_and_shift(rest, inverse, gamma, beta);
        let affine = ChannelAffine { mean, scale: &scale, shift: &shift };
        match self.relu {
            false => normalise::<T, false>(y, x, &affine),
            true => normalise::<T, true>(y, x, &affine),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let (inputs, [y]) = (inputs.tensors::<6>(), outputs.tensors());
        let device = OnDevice::new(queue, inputs[0], inputs[1].len, self.relu);
        device.by_element::<T>("normalise", &inputs, y)
    }
}

/// The rule of batch normalisation in two walks over memory: γ̄, β̄, and x̄ if there is a third output, from x, the
/// gradient g of y, mean, rest, inverse = 1/√(σ² + eps), γ, β.
///
/// With μ = mean + rest: β̄ = Σ g, γ̄ = inverse·Σ g·(x − μ), and x̄ = a·(g + b·(x − μ) + c) for each channel with a =
/// γ·inverse, b = −inverse·γ̄/n, c = −β̄/n, where n is the number of rows. Over memory x − mean is taken; the rest goes
/// into the numbers of the channel. With a ReLU behind y, g counts where y > 0.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGradient {
    /// Whether a ReLU followed.
    pub relu: bool,
}

impl<T: Element> Kernel<T> for BatchNormGradient {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        match self.relu {
            false => self.run::<T, false>(inputs, outputs),
            true => self.run::<T, true>(inputs, outputs),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let inputs = inputs.tensors::<7>();
        let [x, g, mean, rest, inverse, gamma, beta] = inputs;
        let [dgamma, dbeta, dx @ ..] = outputs.tensors else { panic!("a rule of batch norm without outputs") };
        let device = OnDevice::new(queue, x, mean.len, self.relu);
        let (sums, abc_len) = (device.sums(2), 3 * device.channels);
        let abc = queue.scratch::<T>(abc_len, "batch norm, numbers of channels");
        device.parts::<T>("gradient_sums", &inputs, sums.whole(device.sums_len(2)))?;
        let operands = [sums.whole(device.sums_len(2)), rest, inverse, gamma, *dgamma, *dbeta, abc.whole(abc_len)];
        let launch = device.launch::<T>("store_gradients").operands(&operands);
        device.over_channels(launch.each([device.parts.count, device.rows, device.channels]))?;
        match dx {
            [dx] => {
                let inputs = [x, g, mean, rest, inverse, gamma, beta, abc.whole(abc_len)];
                device.by_element::<T>("input_gradient", &inputs, *dx)
            }
            _ => Ok(()),
        }
    }
}

impl BatchNormGradient {
    fn run<T: Element, const RELU: bool>(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let [dgamma, dbeta, dx @ ..] = outputs.tensors else { panic!("a rule of batch norm without outputs") };
        let ([x, g, mean, rest, inverse, gamma, beta], channels) = (inputs.tensors(), dgamma.len());
        let [scale, shift] = scale_and_shift(rest, inverse, gamma, beta);
        let affine = ChannelAffine { mean, scale: &scale, shift: &shift };
        let (sums, mut dots) = gradient_sums::<T, RELU>(x, g, &affine);
        for (i, dot) in dots.iter_mut().enumerate() {
            *dot = (*dot - rest[i].f64() * sums[i]) * inverse[i].f64();
        }
        store_all(dgamma, &dots);
        store_all(dbeta, &sums);
        if let [dx] = dx {
            let n = x.len() as f64 / channels as f64;
            let a = |i: usize| gamma[i].f64() * inverse[i].f64();
            let each = |f: &dyn Fn(usize) -> f64| (0..channels).map(|i| T::of(f(i))).collect::<Vec<T>>();
            let b = |i: usize| -inverse[i].f64() * dots[i] / n;
            let c = |i: usize| -sums[i] / n - b(i) * rest[i].f64();
            input_gradient::<T, RELU>(dx, x, g, &affine, [&each(&a), &each(&b), &each(&c)]);
        }
    }
}

/// The numbers of each channel in y = (x − mean)·scale + shift.
fn scale_and_shift<T: Element>(rest: &[T], inverse: &[T], gamma: &[T], beta: &[T]) -> [Vec<T>; 2] {
    let channels = 0..gamma.len();
    let scale = |i: usize| inverse[i].f64() * gamma[i].f64();
    let shift = |i: usize| T::of(beta[i].f64() - rest[i].f64() * scale(i));
    [channels.clone().map(|i| T::of(scale(i))).collect(), channels.map(shift).collect()]
}

#[cfg(feature = "opencl")]
const BATCH_NORM: Source =
    Source { name: "batch_norm", text: concat!(include_str!("opencl/sums.cl"), include_str!("batch_norm.cl")) };

/// Elements that a work-item of a kernel by elements takes, so that it computes the numbers of a channel once for them.
#[cfg(feature = "opencl")]
const ROWS_OF_ITEM: usize = 8;

/// The kernels of `batch_norm.cl` over x (rows, channels).
#[cfg(feature = "opencl")]
struct OnDevice<'a> {
    queue: &'a Queue,
    rows: usize,
    channels: usize,
    relu: bool,
    group: Group,
    /// The parts of the rows that are summed by themselves.
    parts: Parts,
}

#[cfg(feature = "opencl")]
impl<'a> OnDevice<'a> {
    fn new(queue: &'a Queue, x: Operand<'_>, channels: usize, relu: bool) -> OnDevice<'a> {
        let (group, rows) = (Group::side_by_side(queue), x.len / channels.max(1));
        // Enough groups for a large GPU; a processor's cores want few and long ones.
        let (groups, chains) = if queue.info().is_cpu { (64, 4) } else { (1024, 1) };
        let tiles = channels.div_ceil(group.tile).max(1);
        let parts = Parts::new(rows, chains * 32 * group.workers, groups / tiles);
        OnDevice { queue, rows, channels, relu, group, parts }
    }

    /// Memory for some partial sums of every part and channel.
    fn sums(&self, each: usize) -> Memory {
        self.queue.partial_sums(self.sums_len(each), "batch norm")
    }

    fn sums_len(&self, each: usize) -> usize {
        each * self.parts.count * self.channels
    }

    fn launch<T: Element>(&self, kernel: &'static str) -> Launch<'a, T> {
        let defines = [self.group.tile, self.group.workers, 0, self.relu as usize];
        Launch::new(self.queue, BATCH_NORM, kernel).define(&["TILE", "WORKERS", "WORKERS_FIRST", "RELU"], defines)
    }

    /// Sums over the rows of every part.
    fn parts<T: Element>(
        &self,
        kernel: &'static str,
        inputs: &[Operand<'a>],
        sums: Operand<'a>,
    ) -> Result<(), Unsupported> {
        let launch = self.launch::<T>(kernel).operands(inputs);
        let tiles = self.channels.div_ceil(self.group.tile);
        let launch = launch.operand(sums).each([self.rows, self.channels, self.parts.length]);
        launch.groups([tiles, self.parts.count, 1], [self.group.size(), 1, 1])
    }

    /// What every channel makes of the sums of its parts.
    fn over_channels<T: Element>(&self, launch: Launch<'_, T>) -> Result<(), Unsupported> {
        launch.groups([self.channels.div_ceil(self.group.tile), 1, 1], [self.group.size(), 1, 1])
    }

    /// Every element by itself.
    fn by_element<T: Element>(
        &self,
        kernel: &'static str,
        inputs: &[Operand<'a>],
        out: Operand<'a>,
    ) -> Result<(), Unsupported> {
        let step = self.rows.div_ceil(ROWS_OF_ITEM) * self.channels;
        let launch = self.launch::<T>(kernel).operands(inputs);
        launch.operand(out).each([out.len, self.channels, step]).over([step, 1, 1])
    }
}
