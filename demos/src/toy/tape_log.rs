//! The tape of one update, node by node: forward as it is written, then back as it is walked.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use wengert::nn::{Params, Pass};
use wengert::trace::Event;
use wengert::{Tape, Tensor, Var};

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
        /// What it holds, if that has a name: a parameter, a batch.
        called: Option<String>,
        /// The name of the operation.
        name: &'static str,
        /// Its inputs: their names, or else the numbers of their nodes, or "constant".
        inputs: Vec<String>,
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
        /// That input: its name, or else the number of its node, or "constant".
        to: String,
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

/// The numbers of the nodes that hold the parameters of a net, with their names, `D.0.weight`; of a weight that is
/// normalised, that is the one before. For a pass that has used all of them.
pub fn nodes_of(params: &Params, pass: &Pass, net: &str) -> Vec<(u32, String)> {
    let name = |name: &str| format!("{net}.{}", name.replace("parametrizations.weight.original", "weight"));
    params.parameters().filter_map(|(id, full, _)| Some((pass.param(id).id()?, name(full)))).collect()
}

/// An input of an operation.
#[derive(Clone)]
enum Input {
    Node(u32),
    Constant(Tensor),
}

/// All that has happened on a tape since it was given one.
pub struct Log {
    entries: Rc<RefCell<Vec<Entry>>>,
    /// The inputs of each node.
    inputs: Rc<RefCell<Vec<Vec<Input>>>>,
}

impl Log {
    /// Writes down what happens on a tape from now on.
    pub fn of(tape: &Tape) -> Log {
        let log = Log { entries: Rc::default(), inputs: Rc::default() };
        let (entries, inputs_of) = (log.entries.clone(), log.inputs.clone());
        tape.observe(move |event| {
            let entry = match *event {
                Event::Node { id, name, inputs, value } => {
                    let input = |x: &&Var| x.id().map_or_else(|| Input::Constant(x.value().clone()), Input::Node);
                    let mut all = inputs_of.borrow_mut();
                    let nodes = all.len().max(id as usize + 1);
                    all.resize(nodes, Vec::new());
                    all[id as usize] = inputs.iter().map(input).collect();
                    let (called, inputs) = (None, Vec::new());
                    Entry::Node { id, called, name, inputs, value: Numbers::of(value), rule: rule(name) }
                }
                Event::Walk { id, grad } => Entry::Walk { id, grad: Numbers::of(grad) },
                Event::Rule { id, name, grad } => Entry::Rule { id, name, grad: Numbers::of(grad), rule: rule(name) },
                Event::Grad { id, name, input, grad } => {
                    Entry::Grad { id, name, input, to: String::new(), grad: Numbers::of(grad) }
                }
            };
            entries.borrow_mut().push(entry);
        });
        log
    }

    /// What has happened, with these names of nodes. Constants have no number: they are known by their values.
    pub fn named(&self, nodes: &[(u32, String)], constants: &[(String, Tensor)]) -> Vec<Entry> {
        let node = |id: u32| nodes.iter().find(|(named, _)| *named == id).map(|(_, name)| name.clone());
        let same = |a: &Tensor, b: &Tensor| a.shape() == b.shape() && a.to_vec() == b.to_vec();
        let constant = |x: &Tensor| constants.iter().find(|(_, value)| same(value, x)).map(|(name, _)| name.clone());
        let word = |input: &Input| match input {
            Input::Node(id) => node(*id).unwrap_or_else(|| id.to_string()),
            Input::Constant(x) => constant(x).unwrap_or_else(|| "constant".into()),
        };
        let all = self.inputs.borrow();
        let words: Vec<Vec<String>> = all.iter().map(|inputs| inputs.iter().map(word).collect()).collect();
        let mut entries = self.entries.borrow().clone();
        for entry in &mut entries {
            match entry {
                Entry::Node { id, called, inputs, .. } => (*called, *inputs) = (node(*id), words[*id as usize].clone()),
                Entry::Grad { id, input, to, .. } => *to = words[*id as usize][*input].clone(),
                Entry::Walk { .. } | Entry::Rule { .. } => {}
            }
        }
        entries
    }
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
                let log = Log::of(&tape);
                if critic {
                    _ = trainer.critic_alone(&tape)
                } else {
                    _ = trainer.generator_alone(&tape)
                }
                let entries = log.named(&[], &[]);
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
