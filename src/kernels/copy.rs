//! Copies: to another order in memory, and of several tensors into one.

#[cfg(feature = "opencl")]
use super::by_element::ByElement;
#[cfg(feature = "opencl")]
use super::device::{Operands, Unsupported};
#[cfg(feature = "opencl")]
use super::formulas::Same;
use super::kernel::{Inputs, Kernel, Outputs, compile};
use super::nest::Nest;
#[cfg(feature = "opencl")]
use super::opencl::{Launch, Queue, Source};
use super::parallel::{TASK, for_chunks};
use super::{Element, Level, fetch};

#[cfg(feature = "opencl")]
const COPY: Source = Source { name: "copy", text: include_str!("copy.cl") };

/// Rows and columns of the blocks of [`Reorder`] and [`transpose_block`].
pub(super) const BLOCK: usize = 16;

/// y = x in another order of memory: x of any strides, y fresh and without gaps.
///
/// Where a matrix is to be transposed, it goes by blocks that are read and written by whole lines of the cache. Maps
/// (64, 64, 32, 32) from channels-last to row-major ran at 6 GB/s element by element and run at 8 to 11; a matrix
/// (512, 8192) transposed, as the gradient of a dense layer's weight is, at 1.5 and now at 4 to 5.
#[derive(Clone, Copy, Debug)]
pub struct Reorder {
    /// The loops over y, and the strides of x along them.
    pub nest: Nest<1>,
}

compile!(Reorder, Concat);

impl<T: Element> Kernel<T> for Reorder {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let ([out], [x]) = (outputs.tensors(), inputs.tensors());
        match self.nest.inner() {
            Some(([rows, columns], [[1, step]])) if rows >= BLOCK && columns > 0 => {
                by_blocks(out, &self.nest, x, [rows, columns], step)
            }
            _ => by_runs(out, &self.nest, x),
        }
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        match self.nest.inner() {
            Some((matrix @ [rows, columns], [[1, step]])) if rows >= BLOCK && columns >= BLOCK => {
                self.transpose::<T>(queue, inputs, outputs, (matrix, step))
            }
            _ => Kernel::<T>::opencl(&ByElement { nest: self.nest, formula: Same }, queue, inputs, outputs),
        }
    }
}

#[cfg(feature = "opencl")]
impl Reorder {
    /// Matrices (rows, columns) of the two innermost loops, whose columns lie together in x, `step` apart.
    fn transpose<T: Element>(
        &self,
        queue: &Queue,
        inputs: Operands<'_>,
        outputs: Operands<'_>,
        ([rows, columns], step): ([usize; 2], usize),
    ) -> Result<(), Unsupported> {
        let ([x], [y]) = (inputs.tensors(), outputs.tensors());
        let outer = self.nest.dims().len() - 2;
        let strides: Vec<usize> = (0..outer).map(|axis| self.nest.strides(axis)[0]).collect();
        let blocks = y.len / (rows * columns) * rows.div_ceil(BLOCK) * columns.div_ceil(BLOCK);
        let launch = Launch::<T>::new(queue, COPY, "transpose")
            .define(&["BLOCK", "OUTER"], [BLOCK, outer])
            .operand(x)
            .operand(y)
            .each([blocks, rows, columns, step])
            .ints(&self.nest.dims()[..outer])
            .ints(&strides);
        match queue.info().is_cpu {
            true => launch.over([blocks, 1, 1]),
            false => launch.groups([blocks, 1, 1], [BLOCK * BLOCK, 1, 1]),
        }
    }
}

fn by_runs<T: Element>(out: &mut [T], nest: &Nest<1>, x: &[T]) {
    let [step] = nest.steps();
    for_chunks(out, TASK, |start, part| {
        nest.runs(start, part.len(), |at, n, [from]| {
            let run = &mut part[at..at + n];
            match step {
                1 => run.copy_from_slice(&x[from..from + n]),
                0 => run.fill(x[from]),
                _ => run.iter_mut().enumerate().for_each(|(i, y)| *y = x[from + i * step]),
            }
        })
    });
}

/// Matrices (rows, columns) of the two innermost loops, whose columns lie together in x, `step` apart.
fn by_blocks<T: Element>(out: &mut [T], nest: &Nest<1>, x: &[T], [rows, columns]: [usize; 2], step: usize) {
    let (level, band) = (Level::current(), BLOCK * columns);
    for_chunks(out, (TASK / band).max(1) * band, |start, part| {
        level.vectorize(
            #[inline(always)]
            || {
                let mut done = 0;
                while done < part.len() {
                    // As many rows as this matrix, the block and the part have.
                    let row = (start + done) / columns % rows;
                    let height = (rows - row).min(BLOCK).min((part.len() - done) / columns);
                    let [from] = nest.offsets(start + done);
                    transpose_block(&mut part[done..done + height * columns], columns, &x[from..], step, height);
                    done += height * columns;
                }
            },
        );
    });
}

/// out (height, columns) = xᵀ, for x (columns, height) whose rows are `step` apart; `height` is at most [`BLOCK`].
#[inline(always)]
pub(super) fn transpose_block<T: Element>(out: &mut [T], columns: usize, x: &[T], step: usize, height: usize) {
    let mut block = [[T::zero(); BLOCK]; BLOCK];
    for first in (0..columns).step_by(BLOCK) {
        let width = BLOCK.min(columns - first);
        for (k, line) in block[..width].iter_mut().enumerate() {
            fetch::ahead(x.as_ptr().wrapping_add((first + BLOCK + k) * step));
            match x[(first + k) * step..].first_chunk() {
                Some(from) if height == BLOCK => *line = *from,
                _ => line[..height].copy_from_slice(&x[(first + k) * step..][..height]),
            }
        }
        for (r, row) in out.chunks_exact_mut(columns).enumerate() {
            match row[first..].first_chunk_mut::<BLOCK>() {
                Some(to) => {
                    for k in 0..BLOCK {
                        to[k] = block[k][r];
                    }
                }
                None => {
                    for k in 0..width {
                        row[first + k] = block[k][r];
                    }
                }
            }
        }
    }
}

/// A piece of what [`Concat`] puts together: so many elements along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Those of the next input.
    Input(usize),
    /// Zeros.
    Zeros(usize),
}

/// Pieces one after another along an axis: y (outer, Σ extents, inner), and each input (outer, its extent, inner), in
/// memory order without gaps.
#[derive(Clone, Debug)]
pub struct Concat {
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
    /// The product of the extents of the axes that vary faster than the axis.
    pub inner: usize,
}

impl<T: Element> Kernel<T> for Concat {
    fn cpu(&self, inputs: Inputs<'_, T>, outputs: Outputs<'_, '_, T>) {
        let [out] = outputs.tensors();
        let lengths = self.pieces.iter().map(|&(Piece::Input(extent) | Piece::Zeros(extent))| extent * self.inner);
        let row: usize = lengths.clone().sum();
        if row == 0 {
            return;
        }
        for_chunks(out, TASK, |start, part| {
            // From the place in the row where the chunk begins, to its end, piece by piece.
            let mut done = 0;
            while done < part.len() {
                let (o, at) = ((start + done) / row, (start + done) % row);
                let mut ends = (0, inputs.tensors.iter());
                for (piece, length) in self.pieces.iter().zip(lengths.clone()) {
                    let (begin, input) = (ends.0, matches!(piece, Piece::Input(_)).then(|| ends.1.next()).flatten());
                    ends.0 += length;
                    let at = at.max(begin);
                    if at >= ends.0 || done == part.len() {
                        continue;
                    }
                    let n = (ends.0 - at).min(part.len() - done);
                    match input {
                        Some(x) => part[done..done + n].copy_from_slice(&x[o * length + (at - begin)..][..n]),
                        None => part[done..done + n].fill(T::zero()),
                    }
                    done += n;
                }
            }
        });
    }

    #[cfg(feature = "opencl")]
    fn opencl(&self, queue: &Queue, inputs: Operands<'_>, outputs: Operands<'_>) -> Result<(), Unsupported> {
        let ([y], mut inputs) = (outputs.tensors(), inputs.tensors.iter());
        let extents = self.pieces.iter().map(|&(Piece::Input(extent) | Piece::Zeros(extent))| extent);
        let row = extents.sum::<usize>() * self.inner;
        let mut begin = 0;
        for piece in &self.pieces {
            let launch = |name| Launch::<T>::new(queue, COPY, name).define(&["BLOCK", "OUTER"], [BLOCK, 0]);
            let (launch, length) = match *piece {
                Piece::Input(extent) => {
                    let &x = inputs.next().expect("an input for each piece");
                    (launch("piece").operand(x), extent * self.inner)
                }
                Piece::Zeros(extent) => (launch("zeros"), extent * self.inner),
            };
            let n = y.len / row.max(1) * length;
            launch.operand(y).each([n, length, row, begin]).over([n, 1, 1])?;
            begin += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T: Element>(kernel: &impl Kernel<T>, inputs: &[&[T]], out: &mut [T]) {
        let inputs = Inputs { tensors: inputs, indices: &[] };
        kernel.cpu(inputs, Outputs { tensors: &mut [out], indices: &mut [] });
    }

    #[test]
    fn a_matrix_is_transposed_whatever_its_sizes() {
        // The large ones are cut for several tasks, which begin and end inside a matrix.
        let small = [[1, 1, 1], [2, 3, 5], [1, 16, 16], [3, 17, 33], [2, 40, 15], [7, 100, 3], [5, 1, 7], [1, 7, 1]];
        let large = [[9, 50, 120], [1, 40, 40_000], [1, 3, 40_000]];
        for [n, rows, columns] in small.into_iter().chain(large) {
            // x (n, columns, rows) in memory, out (n, rows, columns).
            let x: Vec<f32> = (0..n * rows * columns).map(|i| i as f32).collect();
            let nest = Nest::new(&[n, rows, columns], &[rows * columns, columns, 1], [&[rows * columns, 1, rows]]);
            let mut out = vec![f32::NAN; x.len()];
            run(&Reorder { nest }, &[&x], &mut out);
            for (at, &value) in out.iter().enumerate() {
                let [i, r, c] = [at / (rows * columns), at / columns % rows, at % columns];
                assert_eq!(value, x[(i * columns + c) * rows + r], "({i}, {r}, {c}) of ({n}, {rows}, {columns})");
            }
        }
    }

    /// Pieces shorter and longer than a task, empty ones among them.
    #[test]
    fn pieces_lie_one_after_another() {
        for (outer, extents, inner) in [
            (1, [2, 0, 3], 1),
            (3, [2, 1, 3], 5),
            (70, [9, 0, 30], 17),
            (1, [30_000, 1, 3], 2),
            (2, [0, 0, 0], 4),
            (40_000, [1, 1, 1], 1),
        ] {
            let x: Vec<f64> = (0..outer * extents[0] * inner).map(|i| 1.0 + i as f64).collect();
            let y: Vec<f64> = (0..outer * extents[2] * inner).map(|i| -1.0 - i as f64).collect();
            let pieces = vec![Piece::Input(extents[0]), Piece::Zeros(extents[1]), Piece::Input(extents[2])];
            let row = extents.iter().sum::<usize>() * inner;
            let mut out = vec![f64::NAN; outer * row];
            run(&Concat { pieces, inner }, &[&x, &y], &mut out);
            for (at, value) in out.into_iter().enumerate() {
                let (o, at) = (at / row, at % row);
                let [a, b, _] = [extents[0], extents[0] + extents[1], 0].map(|end| end * inner);
                let want = match at {
                    _ if at < a => x[o * a + at],
                    _ if at < b => 0.0,
                    _ => y[o * (row - b) + at - b],
                };
                assert_eq!(value, want, "({outer}, {extents:?}, {inner}): {o}, {at}");
            }
        }
    }
}
