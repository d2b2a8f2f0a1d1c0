//! The tape of one update, node by node: forward as it is written, then back as it is walked.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use wengert::trace::Event;
use wengert::{Tape, Tensor};

/// How many numbers of a tensor are listed.
const LISTED: usize = 6;

/// Something that happened on the tape.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A variable or an operation was appended.
    Node {
        /// The number of the node.
        id: u32,
        /// The name of the operation.
        name: &'static str,
        /// The numbers of the nodes of its inputs; none for constants.
        inputs: Vec<Option<u32>>,
        /// What came out.
        value: Numbers,
        /// How its gradients are made, a formula.
        rule: &'static str,
    },
    /// A walk back began.
    Walk {
        /// The node that is differentiated.
        id: u32,
        /// The gradient that it begins with.
        grad: Numbers,
    },
    /// A rule was called.
    Rule {
        /// The number of the operation's node.
        id: u32,
        /// Its name.
        name: &'static str,
        /// The gradient of its output.
        grad: Numbers,
        /// How its gradients are made, a formula.
        rule: &'static str,
    },
    /// A rule gave the gradient of an input.
    Grad {
        /// The number of the operation's node.
        id: u32,
        /// Its name.
        name: &'static str,
        /// Which input.
        input: usize,
        /// The number of that input's node; none for constants.
        to: Option<u32>,
        /// The gradient.
        grad: Numbers,
    },
}

/// A tensor in a few numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Numbers {
    shape: String,
    least: f64,
    mean: f64,
    greatest: f64,
    /// The first of them, row by row.
    first: Vec<f64>,
}

impl Numbers {
    fn of(tensor: &Tensor) -> Numbers {
        let all: Vec<f64> = tensor.to_vec().into_iter().map(f64::from).collect();
        let fold = |from: f64, pick: fn(f64, f64) -> f64| all.iter().copied().fold(from, pick);
        Numbers {
            shape: tensor.shape().to_string(),
            least: fold(f64::INFINITY, f64::min),
            mean: all.iter().sum::<f64>() / all.len() as f64,
            greatest: fold(f64::NEG_INFINITY, f64::max),
            first: all.iter().take(LISTED).copied().collect(),
        }
    }
}

/// All that happens on a tape from now on.
pub fn log(tape: &Tape) -> Rc<RefCell<Vec<Entry>>> {
    let entries = Rc::new(RefCell::new(Vec::new()));
    let (to, inputs_of) = (entries.clone(), RefCell::new(Vec::<Vec<Option<u32>>>::new()));
    tape.observe(move |event| {
        let entry = match *event {
            Event::Node { id, name, inputs, value } => {
                let inputs: Vec<Option<u32>> = inputs.iter().map(|input| input.id()).collect();
                let mut all = inputs_of.borrow_mut();
                let nodes = all.len().max(id as usize + 1);
                all.resize(nodes, Vec::new());
                all[id as usize] = inputs.clone();
                Entry::Node { id, name, inputs, value: Numbers::of(value), rule: rule(name) }
            }
            Event::Walk { id, grad } => Entry::Walk { id, grad: Numbers::of(grad) },
            Event::Rule { id, name, grad } => Entry::Rule { id, name, grad: Numbers::of(grad), rule: rule(name) },
            Event::Grad { id, name, input, grad } => {
                let to = inputs_of.borrow().get(id as usize).and_then(|inputs| *inputs.get(input)?);
                Entry::Grad { id, name, input, to, grad: Numbers::of(grad) }
            }
        };
        to.borrow_mut().push(entry);
    });
    entries
}

/// The rule of an operation as a formula: x̄ is the gradient of x, y the output, ⊙ the product of entries.
fn rule(name: &str) -> &'static str {
    match name {
        "var" => "a variable: gradients that arrive are added up",
        "add" => "y = a + b;  ā = ȳ,  b̄ = ȳ, summed over what was broadcast",
        "sub" => "y = a − b;  ā = ȳ,  b̄ = −ȳ, summed over what was broadcast",
        "mul" => "y = a ⊙ b;  ā = ȳ ⊙ b,  b̄ = ȳ ⊙ a",
        "div" => "y = a / b;  ā = ȳ / b,  b̄ = −ȳ ⊙ y / b",
        "neg" => "y = −x;  x̄ = −ȳ",
        "affine" => "y = s·x + c;  x̄ = s·ȳ",
        "matmul" => "Y = A·B;  Ā = Ȳ·Bᵀ,  B̄ = Aᵀ·Ȳ",
        "permute" => "y = x with its axes in another order;  x̄ = ȳ with them back",
        "reshape" => "y = x in another shape;  x̄ = ȳ in the shape of x",
        "broadcast_to" => "y = x repeated;  x̄ = ȳ summed over the copies",
        "sum_to" | "sum" => "y = Σ x;  x̄ = ȳ repeated",
        "mean" => "y = Σ x / n;  x̄ = ȳ / n repeated",
        "slice" => "y = a part of x;  x̄ = ȳ there, 0 elsewhere",
        "pad" => "y = x with zeros around;  x̄ = the part of ȳ where x stands",
        "concat" => "y = parts one after another;  each gets its part of ȳ",
        "relu" => "y = max(x, 0);  x̄ = ȳ where x > 0, else 0",
        "gate" => "y = x where a mask is 1, else 0;  x̄ = ȳ there, else 0",
        "sigmoid" => "y = 1/(1 + e⁻ˣ);  x̄ = ȳ ⊙ y ⊙ (1 − y)",
        "softplus" => "y = ln(1 + eˣ);  x̄ = ȳ ⊙ sigmoid(x)",
        "exp" => "y = eˣ;  x̄ = ȳ ⊙ y",
        "ln" => "y = ln x;  x̄ = ȳ / x",
        "sqrt" => "y = √x;  x̄ = ȳ / 2y",
        "powi" | "square" => "y = xⁿ;  x̄ = ȳ ⊙ n·xⁿ⁻¹",
        "tanh" => "y = tanh x;  x̄ = ȳ ⊙ (1 − y²)",
        "spectral_norm" => "Y = W/σ, σ = uᵀWv;  W̄ = (Ȳ − ⟨Ȳ, Y⟩·u vᵀ)/σ",
        "spectral_sigma" => "σ = uᵀWv;  W̄ = σ̄·u vᵀ",
        _ => "see the operation's file in src/ops",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Model, Recipe, Toy, Trainer};

    /// The updates of all methods are logged, forward and back, and each operation in them has a rule in words.
    #[test]
    fn every_operation_of_the_toys_has_its_rule() {
        for model in [Model::Gan, Model::Wgan, Model::WganGp, Model::Sngan] {
            let recipe = Recipe { hidden: 6, batch: 5, ..Recipe::new(Toy::Ring, model) };
            for critic in [true, false] {
                let mut trainer = Trainer::new(&recipe);
                let tape = Tape::new();
                let entries = log(&tape);
                if critic {
                    _ = trainer.critic_alone(&tape)
                } else {
                    _ = trainer.generator_alone(&tape)
                }
                let entries = entries.borrow();
                let mut unknown: Vec<&str> = Vec::new();
                let [mut nodes, mut rules, mut grads] = [0; 3];
                for entry in entries.iter() {
                    match entry {
                        Entry::Node { name, rule, .. } => {
                            nodes += 1;
                            unknown.extend(Some(*name).filter(|_| rule.starts_with("see")));
                        }
                        Entry::Rule { .. } => rules += 1,
                        Entry::Grad { .. } => grads += 1,
                        Entry::Walk { .. } => {}
                    }
                }
                assert!(unknown.is_empty(), "{model:?}: {unknown:?}");
                assert!(nodes > 12 && rules > 8 && grads >= rules, "{model:?}: {nodes} {rules} {grads}");
                let walks = entries.iter().filter(|entry| matches!(entry, Entry::Walk { .. })).count();
                assert_eq!(walks, if model == Model::WganGp && critic { 2 } else { 1 });
            }
        }
    }

    #[test]
    fn a_tensor_in_a_few_numbers() {
        let found = Numbers::of(&Tensor::from_vec([2, 4], (0..8).map(|i| i as f32).collect()));
        let Numbers { shape, least, mean, greatest, first } = found;
        assert_eq!((shape.as_str(), least, mean, greatest), ("(2, 4)", 0.0, 3.5, 7.0));
        assert_eq!(first, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
