//! Element-wise kernels around a printed formula.

use std::fmt::Write;

use super::{Launch, Queue, Source};
use crate::kernels::Element;
use crate::kernels::device::{Operand, Unsupported};
use crate::kernels::function::Printed;
use crate::kernels::nest::Nest;

/// All is printed.
const BY_ELEMENT: Source = Source { name: "by_element", text: "" };

/// Shorter runs have no axis of work-items to themselves, most of which would be idle.
const SHORT: usize = 16;

/// The operands of an element-wise kernel.
pub struct Places<'a> {
    /// How many outputs are updated: they are the first inputs of the formula.
    pub updated: usize,
    /// The outputs, without gaps.
    pub outputs: &'a [Operand<'a>],
    /// The other inputs of the formula.
    pub inputs: &'a [Operand<'a>],
}

/// How an input goes on from one turn of the innermost loop to the next.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Stays,
    Dense,
    Strided,
}

impl Places<'_> {
    /// y = f(x₀, …) at every place of the nest, whose strides are those of the inputs in turn.
    pub fn run<T: Element, const K: usize>(
        &self,
        queue: &Queue,
        nest: &Nest<K>,
        printed: &Printed,
        text: &dyn Fn() -> String,
    ) -> Result<(), Unsupported> {
        let (dims, last) = (nest.dims(), nest.dims().len() - 1);
        let size: usize = dims.iter().product();
        let steps: Vec<Step> = (0..self.inputs.len()).map(|k| Step::of(nest.steps()[k])).collect();
        // Long runs lie along the first axis of work-items, so that the other loops are the same for all of a group.
        let split = last > 0 && dims[last] >= SHORT && size / dims[last] <= queue.most_groups();
        let code = steps.iter().fold(0, |code, &step| 3 * code + step as usize);
        let print = || self.source(dims.len(), split, &steps, printed, &text());
        let mut launch = Launch::<T>::new(queue, BY_ELEMENT, "by_element")
            .define(
                &["RANK", "SPLIT", "STEPS", "UPDATED", "OUTPUTS"],
                [dims.len(), split as usize, code, self.updated, self.outputs.len()],
            )
            .printed(printed.name, printed.key.clone(), &print)
            .int(size)
            .ints(dims);
        for (k, &input) in self.inputs.iter().enumerate() {
            let strides: Vec<usize> = (0..dims.len()).map(|axis| nest.strides(axis)[k]).collect();
            launch = launch.operand(input).ints(&strides);
        }
        launch = printed.options.iter().fold(launch, |launch, &option| launch.real(option));
        launch.operands(self.outputs).over(if split { [dims[last], size / dims[last].max(1), 1] } else { [size, 1, 1] })
    }

    /// The formula, and a kernel that applies it.
    fn source(&self, rank: usize, split: bool, steps: &[Step], printed: &Printed, text: &str) -> String {
        let list = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<String>();
        let (inputs, outputs) = (self.inputs.len(), self.outputs.len());
        let last = rank - 1;
        let mut source = text.to_string();
        let _ = writeln!(
            source,
            "kernel void by_element(const int size, const ints dims{}{}{}) {{",
            list(inputs, &|k| format!(", IN(x{k}), const ints s{k}")),
            list(printed.options.len(), &|i| format!(", const real c{i}")),
            list(outputs, &|i| format!(", OUT(y{i})")),
        );
        let _ = match (split, rank) {
            (true, _) => writeln!(
                source,
                "    int inner = get_global_id(0), rest = get_global_id(1);\n    \
                 if (inner >= dims.at[{last}]) return;\n    int i = rest * dims.at[{last}] + inner;"
            ),
            (false, 1) => writeln!(source, "    int i = get_global_id(0), inner = i;\n    if (i >= size) return;"),
            (false, _) => writeln!(
                source,
                "    int i = get_global_id(0);\n    if (i >= size) return;\n    \
                 int inner = i % dims.at[{last}], rest = i / dims.at[{last}];"
            ),
        };
        source += &list(inputs, &|k| match steps[k] {
            Step::Stays => format!("    int at{k} = 0;\n"),
            Step::Dense => format!("    int at{k} = inner;\n"),
            Step::Strided => format!("    int at{k} = inner * s{k}.at[{last}];\n"),
        });
        for axis in (0..last).rev() {
            let index = if axis == 0 { "rest".to_string() } else { format!("(rest % dims.at[{axis}])") };
            source += &list(inputs, &|k| format!("    at{k} += {index} * s{k}.at[{axis}];\n"));
            if axis > 0 {
                let _ = writeln!(source, "    rest /= dims.at[{axis}];");
            }
        }
        source += &list(outputs, &|i| format!("    real r{i};\n"));
        let arguments = (0..self.updated).map(|i| format!("AT(y{i}, i)"));
        let arguments = arguments.chain((0..inputs).map(|k| format!("AT(x{k}, at{k})")));
        let arguments = arguments.chain((0..printed.options.len()).map(|i| format!("c{i}")));
        let arguments: Vec<String> = arguments.chain((0..outputs).map(|i| format!("&r{i}"))).collect();
        let _ = writeln!(source, "    {}({});", printed.name, arguments.join(", "));
        source += &list(outputs, &|i| format!("    AT(y{i}, i) = r{i};\n"));
        source + "}\n"
    }
}

impl Step {
    fn of(stride: usize) -> Step {
        match stride {
            0 => Step::Stays,
            1 => Step::Dense,
            _ => Step::Strided,
        }
    }
}
