//! Winograd's convolution on a device: transforms around products of matrices, one for each frequency.
//!
//! ```text
//! conv2d              V (f; tiles, phases·C) ← x     U (f; phases·C, K) ← w    y ← V·U
//! conv2d_input_grad   V (phase, f; tiles, K) ← dy    U (phase, f; K, C) ← w    dx ← V·U
//! conv2d_weight_grad  V (f; tiles, phases·C) ← x     P (f; tiles, K) ← dy      dw ← Vᵀ·P
//! ```
//!
//! The gradient of the input is taken as a convolution of dy with the taps in reverse order, so that tiles do not
//! overlap in what they write.

use std::any::TypeId;
use std::fmt::Write;

use super::matrices::{Input, Matrix, Output, TILE, Transposed, Weight};
use super::{ConvShape, pays, supports};
use crate::kernels::conv::device::Gather;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::nest::Nest;
use crate::kernels::opencl::gemm::{self, Body, ROWS};
use crate::kernels::opencl::loops::Loops;
use crate::kernels::opencl::{Launch, Memory, Queue, Source};
use crate::kernels::product::MatrixProduct;
use crate::kernels::{Element, Precision};

const WINOGRAD: Source =
    Source { name: "winograd", text: concat!(include_str!("../../opencl/lanes.cl"), include_str!("device.cl")) };

/// Bytes of V and of the products at once: what stays in a processor's caches, or fills a GPU. Of 1 to 16 MiB, 2 were
/// the fastest on two cores with 512 KiB each: 16 took up to 1.4 times as long.
const AT_ONCE: [usize; 2] = [2 << 20, 128 << 20];

/// How a map lies under the tiles, see `device.cl`.
#[derive(Clone, Copy)]
struct Seen {
    /// Height and width.
    size: [usize; 2],
    channels: usize,
    /// Phases along an axis, and pixels of the map from one of a phase to the next.
    phases: usize,
    step: usize,
    /// Where each phase begins along each axis, before `less` is subtracted.
    starts: [[usize; 2]; 2],
    less: [usize; 2],
}

impl Seen {
    /// A map whose tiles begin with its pixels.
    fn plain(size: [usize; 2], channels: usize) -> Seen {
        Seen { size, channels, phases: 1, step: 1, starts: [[0; 2]; 2], less: [0; 2] }
    }

    /// x as the tiles of y see it.
    fn by_y(shape: &ConvShape) -> Seen {
        let (size, channels, phases) = (shape.input, shape.in_channels, shape.stride[0]);
        Seen { size, channels, phases, step: phases, starts: [[0, 1]; 2], less: shape.padding }
    }

    /// dy as the tiles of each phase of dx see it, and dx. Pixel i of a phase is pixel (first + i)·stride + phase −
    /// padding of dx, and sees dy from pixel first + i − (taps − 1) on.
    fn by_dx(shape: &ConvShape) -> [Seen; 2] {
        let (phases, taps) = (shape.stride[0], shape.kernel[0] / shape.stride[0]);
        let first = |axis: usize| [0, 1].map(|phase| (shape.padding[axis] + phases - 1).saturating_sub(phase) / phases);
        let begin = |axis: usize| {
            let first = first(axis);
            [0, 1].map(|phase| (first[phase] * phases + phase).saturating_sub(shape.padding[axis]))
        };
        let (dy, dx) = (Seen::plain(shape.output, shape.out_channels), Seen::plain(shape.input, shape.in_channels));
        let dy = Seen { phases, starts: [first(0), first(1)], less: [taps - 1; 2], ..dy };
        [dy, Seen { phases, step: phases, starts: [begin(0), begin(1)], ..dx }]
    }

    fn all_phases(&self) -> usize {
        self.phases * self.phases
    }

    fn starts(&self) -> [usize; 6] {
        let [[a, b], [c, d]] = self.starts;
        [a, b, c, d, self.less[0], self.less[1]]
    }
}

/// A convolution by this algorithm.
pub struct Winograd<'a> {
    queue: &'a Queue,
    shape: &'a ConvShape,
    body: Body,
}

impl<'a> Winograd<'a> {
    /// It, if it can compute this and is faster. On two cores with AVX2, where [`pays`] says so, it took 0.4 to 0.9 of
    /// the time of the direct form for the two maps that gather, and 0.6 to 1 for the weight gradient.
    pub fn of<T: Element>(queue: &'a Queue, shape: &'a ConvShape) -> Option<Winograd<'a>> {
        let (fast, channels) =
            (T::NAME == "f32" && Precision::current() == Precision::Fast, [shape.in_channels, shape.out_channels]);
        let this = Winograd { queue, shape, body: Body::of(queue) };
        let has_vectors = this.body == Body::Local || channels.iter().all(|&channels| this.lanes(channels) > 1);
        (fast && supports(shape) && pays(shape, channels) && has_vectors).then_some(this)
    }

    /// N
    fn points(&self) -> usize {
        TILE - 1 + self.taps()
    }

    /// R
    fn taps(&self) -> usize {
        self.shape.kernel[0] / self.shape.stride[0]
    }

    fn launch<T: Element>(&self, kernel: &'static str, lanes: usize, of_result: bool) -> Launch<'a, T> {
        let (points, taps) = (self.points(), self.taps());
        let text: &dyn Fn() -> String = if taps == 3 { &text::<6, 3> } else { &text::<5, 2> };
        Launch::new(self.queue, WINOGRAD, kernel)
            .define(&["POINTS", "TAPS", "LANES", "OF_RESULT"], [points, taps, lanes, of_result as usize])
            .printed("", (TypeId::of::<Input>(), String::new()), text)
    }

    /// Channels that a work-item has at once.
    fn lanes(&self, channels: usize) -> usize {
        let vectors = if self.body == Body::Vector { &[8, 4][..] } else { &[] };
        vectors.iter().copied().find(|&lanes| channels.is_multiple_of(lanes)).unwrap_or(1)
    }

    /// V or P of so many images: (phase, f, tile, channel), or with `side_by_side` (f, tile, phase · channel).
    fn analyse<T: Element>(
        &self,
        map: Operand<'_>,
        (seen, of_result, side_by_side): (Seen, bool, bool),
        tiles: [usize; 2],
        [first, images]: [usize; 2],
    ) -> Result<Planes, Unsupported> {
        let frequencies = self.points() * self.points();
        let all = images * tiles[0] * tiles[1];
        let (beside, row) =
            if side_by_side { (seen.all_phases(), seen.channels * seen.all_phases()) } else { (1, seen.channels) };
        let v = Planes::new::<T>(
            self.queue,
            seen.all_phases() / beside * frequencies,
            all * row,
            "the frequencies of a map",
        );
        let phase_step = if side_by_side { seen.channels } else { frequencies * v.step };
        let lanes = self.lanes(seen.channels);
        self.launch::<T>("analyse", lanes, of_result)
            .operand(map)
            .operand(v.operand())
            .each([all, first, tiles[0], tiles[1], seen.size[0], seen.size[1], seen.channels, seen.phases, seen.step])
            .ints(&seen.starts())
            .each([phase_step, row, v.step])
            .over_rows(seen.all_phases() * seen.channels / lanes, all)?;
        Ok(v)
    }

    /// y from x, or dx from dy; then the bias and the leaky ReLU.
    pub fn convolve<T: Element>(
        &self,
        gather: Gather,
        [map, w, out]: [Operand<'_>; 3],
        (bias, slope): (Option<Operand<'_>>, f64),
    ) -> Result<(), Unsupported> {
        let (shape, forward) = (self.shape, gather == Gather::Forward);
        let [from, to] = match gather {
            Gather::Forward => [Seen::by_y(shape), Seen::plain(shape.output, shape.out_channels)],
            Gather::Adjoint => Seen::by_dx(shape),
        };
        let (all_phases, frequencies) = (from.all_phases(), self.points() * self.points());
        // Matrices (depth, columns).
        let [count, depth] =
            if forward { [frequencies, all_phases * from.channels] } else { [frequencies * all_phases, from.channels] };
        let columns = to.channels;
        let u = self.weights::<T>(w, forward, [count, depth, columns])?;
        let tiles = to.size.map(|size| size.div_ceil(to.step).div_ceil(TILE));
        let of_image = count * tiles[0] * tiles[1] * (depth + columns) * size_of::<T>();
        // No fewer bytes than U has, which is read for every piece of the batch.
        let at_once = self.at_once(of_image, count * depth * columns * size_of::<T>());
        for first in (0..shape.batch).step_by(at_once) {
            let images = at_once.min(shape.batch - first);
            let all = images * tiles[0] * tiles[1];
            let v = self.analyse::<T>(map, (from, false, forward), tiles, [first, images])?;
            let m = Planes::new::<T>(self.queue, count, all * columns, "the frequencies of a result");
            self.multiply::<T>([all, depth, columns], [&v, &u, &m])?;
            let lanes = self.lanes(columns);
            self.launch::<T>("synthesise", lanes, false)
                .operand(m.operand())
                .operand(bias.unwrap_or(w))
                .operand(out)
                .each([all, first, tiles[0], tiles[1], to.size[0], to.size[1], columns, to.phases, to.step])
                .ints(&to.starts())
                .each([m.step, bias.is_some() as usize])
                .real(slope)
                .over_rows(to.all_phases() * columns / lanes, all)?;
        }
        Ok(())
    }

    /// Images at once, where one takes so many bytes: as many as stay in the cache, but at least so many bytes.
    fn at_once(&self, of_image: usize, least: usize) -> usize {
        (AT_ONCE[(self.body == Body::Local) as usize].max(least) / of_image).max(1)
    }

    /// U, in panels for the body for processors.
    fn weights<T: Element>(
        &self,
        w: Operand<'_>,
        forward: bool,
        [count, depth, columns]: [usize; 3],
    ) -> Result<Planes, Unsupported> {
        let (shape, phases) = (self.shape, self.shape.stride[0]);
        let width = if self.body == Body::Vector { gemm::lanes::<T>(columns) } else { columns };
        let padded = columns.next_multiple_of(width);
        let u = Planes::new::<T>(self.queue, count, depth * padded, "the frequencies of weights");
        let lanes = self.lanes(columns);
        let rows = phases * phases * if forward { shape.in_channels } else { shape.out_channels };
        self.launch::<T>("weights", lanes, false)
            .operand(w)
            .operand(u.operand())
            .each([rows, shape.in_channels, shape.out_channels, phases, !forward as usize, width, padded, u.step])
            .over_rows(padded / lanes, rows)?;
        Ok(u)
    }

    /// M = V·U for each frequency.
    fn multiply<T: Element>(&self, [m, k, n]: [usize; 3], [v, u, out]: [&Planes; 3]) -> Result<(), Unsupported> {
        let count = v.count;
        if self.body == Body::Local {
            let batch = Nest::new(&[count], &[1], [&[v.step], &[u.step]]);
            let product = MatrixProduct { count, batch, size: [m, k, n], a: [k, 1], b: [n, 1] };
            let mut gathered = product.gathered([v.operand(), u.operand()], out.operand());
            gathered.c_steps[4] = out.step;
            return gathered.run::<T>(self.queue);
        }
        let (lanes, none) = (gemm::lanes::<T>(n), Loops::one(count, 0));
        gemm::vector::<T>(self.queue, "product", lanes)
            .operand(v.operand())
            .operand(u.operand())
            .operand(out.operand())
            .each([m, n, k, k, 1, ROWS * k, v.step, k, 1])
            .each([k * lanes, lanes, u.step])
            .each([n, 1, out.step, none.rank])
            .ints(&none.dims)
            .ints(&none.steps)
            .ints(&none.steps)
            .groups([m.div_ceil(ROWS), n.div_ceil(lanes), count], [1; 3])
    }

    /// dw from x and dy.
    pub fn weigh<T: Element>(&self, [x, dy]: [Operand<'_>; 2], dw: Operand<'_>) -> Result<(), Unsupported> {
        let (shape, count) = (self.shape, self.points() * self.points());
        let (x_seen, dy_seen) = (Seen::by_y(shape), Seen::plain(shape.output, shape.out_channels));
        let tiles = shape.output.map(|size| size.div_ceil(TILE));
        let (depth, columns) = (x_seen.all_phases() * shape.in_channels, shape.out_channels);
        let of_image = count * tiles[0] * tiles[1] * (depth + columns) * size_of::<T>();
        let at_once = self.at_once(of_image, 2 * count * depth * columns * size_of::<T>());
        let (u_len, parts) = (count * depth * columns, shape.batch.div_ceil(at_once));
        let u = self.queue.scratch::<T>(u_len, "the frequencies of weights");
        let u = Operand::new(&u, 0, u_len);
        gemm::in_parts::<T>(self.queue, parts, u, |u| {
            for (part, first) in (0..shape.batch).step_by(at_once).enumerate() {
                let images = at_once.min(shape.batch - first);
                let all = images * tiles[0] * tiles[1];
                let v = self.analyse::<T>(x, (x_seen, false, true), tiles, [first, images])?;
                let p = self.analyse::<T>(dy, (dy_seen, true, true), tiles, [first, images])?;
                let batch = Nest::new(&[count], &[1], [&[v.step], &[p.step]]);
                let product =
                    MatrixProduct { count, batch, size: [depth, all, columns], a: [1, depth], b: [columns, 1] };
                let part = Operand { start: part * u_len, len: u_len, ..u };
                product.start::<T>(self.queue, [v.operand(), p.operand()], part)?;
            }
            Ok(())
        })?;
        let lanes = self.lanes(columns);
        self.launch::<T>("weights_back", lanes, false)
            .operand(u)
            .operand(dw)
            .each([depth, shape.in_channels, shape.out_channels, x_seen.phases])
            .over_rows(columns / lanes, depth)
    }
}

/// Matrices one after another, with a gap of a line of the cache: steps of a power of two would have all of them, which
/// are written together, in the same few lines.
struct Planes {
    memory: Memory,
    count: usize,
    step: usize,
}

impl Planes {
    fn new<T: Element>(queue: &Queue, count: usize, len: usize, what: &str) -> Planes {
        let step = len + 64 / size_of::<T>();
        Planes { memory: queue.scratch::<T>(count * step, what), count, step }
    }

    fn operand(&self) -> Operand<'_> {
        Operand::new(&self.memory, 0, self.count * self.step)
    }
}

/// The matrices as macros of what they write and read.
fn text<const N: usize, const R: usize>() -> String {
    transform("INPUT", &<Input as Matrix<N, N>>::VALUES)
        + &transform("WEIGHT", &<Weight as Matrix<N, R>>::VALUES)
        + &transform("WEIGHT_BACK", &<Transposed<Weight> as Matrix<R, N>>::VALUES)
        + &transform("OUTPUT", &<Transposed<Output> as Matrix<TILE, N>>::VALUES)
        + &transform("OUTPUT_BACK", &<Output as Matrix<N, TILE>>::VALUES)
}

fn transform<const ROWS: usize, const COLUMNS: usize>(name: &str, matrix: &[[f64; COLUMNS]; ROWS]) -> String {
    let mut text = format!("#define {name}(Y, X)");
    for (i, row) in matrix.iter().enumerate() {
        let terms = row.iter().enumerate().filter(|&(_, &factor)| factor != 0.0);
        let terms: Vec<String> = terms
            .map(|(j, &factor)| if factor == 1.0 { format!("X({j})") } else { format!("(real)({factor:?}) * X({j})") })
            .collect();
        let _ = write!(text, " Y({i}) = {};", terms.join(" + "));
    }
    text + "\n"
}
