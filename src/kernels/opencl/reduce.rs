//! Reductions by a printed formula, in stages: see `kernels/reduce.cl`.

use super::loops::Loops;
use super::{Launch, Queue, Source};
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::function::Printed;
use crate::kernels::nest::Nest;

const REDUCE: Source = Source { name: "reduce", text: concat!(include_str!("place.cl"), include_str!("../reduce.cl")) };

/// Terms that a work-item combines. More would be a longer chain of roundings and fewer work-items; fewer, more stages.
const STAGE: usize = 32;

/// A reduction of x into y.
pub struct Stages<'a> {
    /// The loops over x, and the strides of x and of y along them: 0 for y on the axes that go.
    pub nest: &'a Nest<2>,
    /// What is left of an x without elements, if it has none.
    pub init: Option<f64>,
    /// How the formula is known.
    pub printed: &'a Printed,
    /// Its source.
    pub text: &'a dyn Fn() -> String,
}

impl Stages<'_> {
    /// y ← x reduced: each stage leaves one partial result of up to [`STAGE`] terms, (parts, outputs), until there is
    /// one for each output.
    pub fn run<T: Element>(
        &self,
        queue: &Queue,
        [x]: [Operand<'_>; 1],
        [y]: [Operand<'_>; 1],
    ) -> Result<(), Unsupported> {
        if !self.printed.options.is_empty() {
            return Err(Unsupported);
        }
        let combine = || self.combine();
        if let Some(init) = self.init {
            return self
                .launch::<T>(queue, "fill", [0; 3], &combine)
                .operand(y)
                .int(y.len)
                .real(init)
                .over([y.len, 1, 1]);
        }
        let (mut kept, mut gone) = self.loops();
        let outputs = kept.turns();
        let mut gone_is_innermost = self.nest.steps()[1] == 0;
        // The partial results that are read; dropped when the next ones are there.
        let mut partial = None;
        loop {
            let terms = gone.turns();
            let parts = if terms <= 2 * STAGE { 1 } else { terms.div_ceil(STAGE) };
            let next = (parts > 1).then(|| queue.scratch::<T>(outputs * parts, "partial results of a reduction"));
            let of = |memory| Operand::new(memory, 0, outputs * parts);
            self.launch::<T>(queue, "reduce", [kept.rank, gone.rank, gone_is_innermost as usize], &combine)
                .operand(partial.as_ref().map_or(x, |memory| Operand::new(memory, 0, outputs * terms)))
                .operand(next.as_ref().map_or(y, of))
                .each([outputs, terms, parts])
                .ints(&kept.dims)
                .ints(&kept.steps)
                .ints(&gone.dims)
                .ints(&gone.steps)
                .over([outputs * parts, 1, 1])?;
            if parts == 1 {
                return Ok(());
            }
            (kept, gone) = (Loops::one(outputs, 1), Loops::one(parts, outputs));
            (partial, gone_is_innermost) = (next, false);
        }
    }

    /// A kernel of the family behind the function `combine`, compiled for the numbers of loops that are kept and that
    /// go, and for whether the innermost goes.
    fn launch<'a, T: Element>(
        &'a self,
        queue: &'a Queue,
        kernel: &'static str,
        shape: [usize; 3],
        combine: &'a dyn Fn() -> String,
    ) -> Launch<'a, T> {
        Launch::new(queue, REDUCE, kernel).define(&["KEPT", "GONE", "GONE_INNERMOST"], shape).printed(
            self.printed.name,
            self.printed.key.clone(),
            combine,
        )
    }

    /// The formula as a function of two numbers.
    fn combine(&self) -> String {
        let (text, name) = ((self.text)(), self.printed.name);
        format!("{text}static real combine(real a, real b) {{\n    real y;\n    {name}(a, b, &y);\n    return y;\n}}\n")
    }

    /// The loops that are kept, in the order of y's memory, and those that go.
    fn loops(&self) -> (Loops, Loops) {
        let (mut kept, mut gone) = (Loops::none(), Loops::none());
        for (axis, &turns) in self.nest.dims().iter().enumerate() {
            let [x_stride, y_stride] = self.nest.strides(axis);
            let loops = if y_stride > 0 { &mut kept } else { &mut gone };
            loops.push(turns, x_stride);
        }
        (kept, gone)
    }
}
