//! Rows picked by index, and rows added up by index.

#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
use super::kernel::{Inputs, Kernel, Outputs, compile};
#[cfg(feature = "opencl")]
use super::opencl::{Launch, Queue, Source};
use super::parallel::{TASK, for_chunks};
use super::{Element, around::Around};

/// `y[o, j, i] = x[o, indices[j], i]`.
#[derive(Clone, Copy, Debug)]
pub struct Select {
    /// x around the axis.
    pub around: Around,
}

compile!(Select, IndexAdd);

impl<T: Element> Kernel<T> for Select {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [indices], [y]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
        select(y, x, self.around, indices);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        start::<T>(queue, "pick", inputs, outputs, self.around)
    }
}

/// `y[o, e, i] = Σ x[o, j, i]` over the j with `indices[j] = e`, in the order of j.
#[derive(Clone, Copy, Debug)]
pub struct IndexAdd {
    /// y around the axis.
    pub around: Around,
}

impl<T: Element> Kernel<T> for IndexAdd {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([x], [indices], [y]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
        add(y, x, self.around, indices);
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        start::<T>(queue, "add_up", inputs, outputs, self.around)
    }
}

#[cfg(feature = "opencl")]
fn start<T: Element>(
    queue: &Queue,
    kernel: &'static str,
    inputs: Operands<'_>,
    outputs: Operands<'_>,
    Around { extent, inner, .. }: Around,
) -> Result<(), Unsupported> {
    const INDEX: Source = Source { name: "index", text: include_str!("index.cl") };
    let ([x], [indices], [y]) = (inputs.tensors(), inputs.indices(), outputs.tensors());
    Launch::<T>::new(queue, INDEX, kernel)
        .operand(x)
        .operand(indices)
        .operand(y)
        .each([y.len, indices.len, extent, inner])
        .over([y.len, 1, 1])
}

/// `out[o, j, i] = x[o, indices[j], i]`; `around` describes x.
fn select<T: Element>(out: &mut [T], x: &[T], around: Around, indices: &[u32]) {
    let Around { extent, inner, .. } = around;
    rows(out, inner, |row, y| {
        let (o, j) = (row / indices.len(), row % indices.len());
        let from = (o * extent + indices[j] as usize) * inner;
        y.copy_from_slice(&x[from..from + inner]);
    });
}

/// `out[o, e, i] = Σ x[o, j, i]` over the j with `indices[j] = e`, in the order of j; `around` describes the output.
///
/// The indices are sorted by where they point first, so that every row of the output belongs to one task, and equal
/// indices add up in the same order at any number of threads.
fn add<T: Element>(out: &mut [T], x: &[T], around: Around, indices: &[u32]) {
    let Around { extent, inner, .. } = around;
    // A counting sort: the sources of row e are `sources[starts[e]..starts[e + 1]]`.
    let mut starts = vec![0; extent + 1];
    indices.iter().for_each(|&e| starts[e as usize + 1] += 1);
    (0..extent).for_each(|e| starts[e + 1] += starts[e]);
    let mut next = starts.clone();
    let mut sources = vec![0; indices.len()];
    for (j, &e) in indices.iter().enumerate() {
        sources[next[e as usize]] = j;
        next[e as usize] += 1;
    }
    rows(out, inner, |row, y| {
        let (o, e) = (row / extent, row % extent);
        y.fill(T::zero());
        for &j in &sources[starts[e]..starts[e + 1]] {
            let from = (o * indices.len() + j) * inner;
            y.iter_mut().zip(&x[from..from + inner]).for_each(|(y, &x)| *y += x);
        }
    });
}

/// Runs `f(row number, row)` on the rows of `inner` elements, in parallel.
fn rows<T: Element>(out: &mut [T], inner: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if out.is_empty() {
        return;
    }
    for_chunks(out, (TASK / inner).max(1) * inner, |start, part| {
        part.chunks_exact_mut(inner).enumerate().for_each(|(i, row)| f(start / inner + i, row));
    });
}
