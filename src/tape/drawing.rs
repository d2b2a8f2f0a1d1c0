//! A tape drawn as a graph, in the language DOT of Graphviz.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::Tape;
use super::trace::Event;
use crate::kernels::Element;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Tensors with more elements are drawn by their least and their greatest.
const LISTED: usize = 4;

impl<T: Element> Tape<T> {
    /// Watches what is recorded on this tape from now on, and the walks over it, in order to draw it: each operation
    /// with its shape and value, and its gradient in the last walk. Takes the place of an earlier
    /// [`observe`](Tape::observe); each value is read once, so that it costs time. `dot -Tsvg` makes a picture of what
    /// the drawing displays.
    ///
    /// ```
    /// use wengert::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let drawing = tape.draw();
    /// let x = tape.var(Tensor::scalar(3.0));
    /// (&x * &x).exp().backward();
    /// let dot = drawing.to_string();
    /// assert!(dot.contains(r#"1 [label="1: mul\n()\nvalue 9\ngradient 8103"]"#));
    /// assert!(dot.contains("0 -> 1"));
    /// ```
    pub fn draw(&self) -> Drawing<T> {
        let drawing = Drawing(Rc::default());
        let seen = drawing.0.clone();
        self.observe(move |event| seen.borrow_mut().hear(event));
        drawing
    }
}

/// What [`Tape::draw`] has seen so far; displayed, a graph in the language DOT.
#[derive(Clone)]
pub struct Drawing<T: Element = f32>(Rc<RefCell<Seen<T>>>);

/// The nodes by their numbers.
struct Seen<T: Element>(BTreeMap<u32, Drawn<T>>);

/// A node as it is drawn.
struct Drawn<T: Element> {
    name: &'static str,
    shape: Shape,
    value: String,
    /// Where its inputs come from; of constants, their values.
    inputs: Vec<Result<u32, String>>,
    /// What has arrived in the last walk.
    gradient: Option<Tensor<T>>,
}

impl<T: Element> Default for Seen<T> {
    fn default() -> Self {
        Seen(BTreeMap::new())
    }
}

impl<T: Element> Seen<T> {
    fn hear(&mut self, event: &Event<'_, T>) {
        match *event {
            Event::Node { id, name, inputs, value } => {
                let inputs = inputs.iter().map(|input| input.id().ok_or_else(|| summary(input.value()))).collect();
                let (shape, value) = (*value.shape(), summary(value));
                self.0.insert(id, Drawn { name, shape, value, inputs, gradient: None });
            }
            Event::Walk { id, grad } => {
                self.0.values_mut().for_each(|node| node.gradient = None);
                self.arrived(id, grad);
            }
            Event::Rule { id, grad, .. } => self.arrived(id, grad),
            Event::Grad { id, input, grad, .. } => {
                let from = self.0.get(&id).and_then(|node| node.inputs[input].as_ref().ok().copied());
                // Of an operation, the sum is told when its rule is called.
                let variable = from.and_then(|from| self.0.get_mut(&from)).filter(|node| node.inputs.is_empty());
                let Some(Drawn { gradient, .. }) = variable else { return };
                let sum = gradient.as_ref().map(|sum| sum + grad);
                *gradient = Some(sum.unwrap_or_else(|| grad.clone()));
            }
        }
    }

    fn arrived(&mut self, id: u32, grad: &Tensor<T>) {
        self.0.get_mut(&id).into_iter().for_each(|node| node.gradient = Some(grad.clone()));
    }
}

/// A tensor in a few words: all of its numbers, or from where to where they go.
fn summary<T: Element>(tensor: &Tensor<T>) -> String {
    let numbers = tensor.to_vec().into_iter().map(Element::f64);
    if tensor.size() <= LISTED {
        return numbers.map(short).collect::<Vec<_>>().join(", ");
    }
    if numbers.clone().any(f64::is_nan) {
        return "with NaN".into();
    }
    let (least, greatest) =
        numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| (least.min(x), most.max(x)));
    format!("{} … {}", short(least), short(greatest))
}

/// A number to three or four digits.
fn short(x: f64) -> String {
    match x.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{x:.3e}"),
        size => {
            let text = format!("{x:.*}", 3_usize.saturating_sub(size.max(1.0).log10() as usize));
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            text.to_string()
        }
    }
}

/// A text within the quotes of DOT.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

impl<T: Element> fmt::Display for Drawing<T> {
    /// Variables are blue, constants without a frame.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.0.borrow();
        writeln!(f, "digraph tape {{\n  node [shape=box, fontname=\"sans-serif\", fontsize=11]")?;
        for (id, Drawn { name, shape, value, inputs, gradient }) in &seen.0 {
            let gradient =
                gradient.as_ref().map_or(String::new(), |gradient| format!("\\ngradient {}", summary(gradient)));
            let colour = if inputs.is_empty() { ", style=filled, fillcolor=\"#d6e6f5\"" } else { "" };
            writeln!(f, "  {id} [label=\"{id}: {}\\n{shape}\\nvalue {value}{gradient}\"{colour}]", quoted(name))?;
            for (i, input) in inputs.iter().enumerate() {
                match input {
                    Ok(from) => writeln!(f, "  {from} -> {id}")?,
                    Err(value) => writeln!(f, "  c{id}_{i} [label=\"{value}\", shape=plaintext]\n  c{id}_{i} -> {id}")?,
                }
            }
        }
        writeln!(f, "}}")
    }
}

impl<T: Element> fmt::Debug for Drawing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Drawing of {} nodes", self.0.borrow().0.len())
    }
}
