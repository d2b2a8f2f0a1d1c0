//! A tape printed.

use std::fmt;

use super::Tape;
use crate::kernels::Element;

impl<T: Element> Tape<T> {
    /// The names of the operations on the tape, in order; `"var"` stands for a variable.
    pub fn names(&self) -> Vec<&'static str> {
        self.list.borrow().nodes.iter().map(|node| node.name).collect()
    }
}

impl<T: Element> fmt::Display for Tape<T> {
    /// One line for each node: its number, its name, the numbers of its inputs (`·` for a constant), its shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.list.borrow();
        if list.consumed {
            return writeln!(f, "consumed by backward");
        }
        let number = |input: &Option<u32>| input.map_or("·".to_string(), |id| id.to_string());
        for (id, node) in list.nodes.iter().enumerate() {
            let inputs: Vec<_> = list.inputs[node.inputs.clone()].iter().map(number).collect();
            writeln!(f, "{id:>4}  {:18} {:10} {}", node.name, inputs.join(" "), node.shape)?;
        }
        Ok(())
    }
}

impl<T: Element> fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.list.borrow();
        match list.consumed {
            true => write!(f, "Tape {}: consumed by backward", list.number),
            false => write!(f, "Tape {}: {} nodes", list.number, list.nodes.len()),
        }
    }
}
