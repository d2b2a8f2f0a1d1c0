//! The tape of reverse-mode differentiation, also called a Wengert list: the heart of the library.
//!
//! Every operation on a [`Var`] computes its value at once and appends a node to the [`Tape`]: which nodes its inputs
//! came from, and its rule. An operation's inputs always stand before it on the list, so one walk from the end to
//! the beginning meets every node after all of its uses, and needs no sorting. The walk carries the gradient
//! ḡ = ∂L/∂y of each node's output to its inputs, x̄ += (∂y/∂x)ᵀ ḡ, which is what a rule computes.
//!
//! Rules are written in differentiable operations on `Var`s. [`Var::backward`] hands them constants, so nothing is
//! recorded, and it frees each node as soon as it is used. [`Var::grad`] hands them variables of the tape, so that the
//! gradient is itself on the tape and can be differentiated again: the same rules give every order of derivative.
//!
//! This file contains no operation; those are in `ops`.

mod display;
mod drawing;
mod given;
pub mod trace;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::given::Given;
use self::trace::{Event, Observer};
use crate::gradients::Gradients;
use crate::kernels::Element;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::{Saved, Var};

/// The list of operations, to be walked backwards.
///
/// ```
/// use wengert::{Tape, Tensor};
/// let tape = Tape::new();
/// let x = tape.var(Tensor::scalar(3.0));
/// let y = &x * &x;
/// assert_eq!(y.backward().wrt(&x).item(), 6.0);
/// # let _: f64 = y.value().item();
/// ```
pub struct Tape<T: Element = f32> {
    list: Rc<RefCell<List<T>>>,
}

struct List<T: Element> {
    /// No other tape has it, not even one that is gone.
    number: u64,
    nodes: Vec<Node<T>>,
    /// The origins of all nodes' inputs, one after the other; `None` for a constant.
    inputs: Vec<Option<u32>>,
    consumed: bool,
    /// See [`Tape::observe`].
    observer: Option<Observer<T>>,
}

#[derive(Clone)]
struct Node<T: Element> {
    name: &'static str,
    /// This node's part of `List::inputs`.
    inputs: std::ops::Range<usize>,
    /// `None` for a variable that [`Tape::var`] made.
    rule: Option<Rc<Rule<T>>>,
    shape: Shape,
}

/// How an operation carries the gradient of its output back to its inputs; see [`Var::record`].
type Rule<T> = dyn Fn(Var<T>, &mut Backward<'_, T>);

impl<T: Element> Default for Tape<T> {
    fn default() -> Self {
        Tape::new()
    }
}

impl<T: Element> Clone for Tape<T> {
    /// Another handle on the same tape.
    fn clone(&self) -> Self {
        Tape { list: self.list.clone() }
    }
}

impl<T: Element> Tape<T> {
    /// An empty tape.
    pub fn new() -> Tape<T> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let list = List { number, nodes: Vec::new(), inputs: Vec::new(), consumed: false, observer: None };
        Tape { list: Rc::new(RefCell::new(list)) }
    }

    /// A variable to differentiate with respect to.
    ///
    /// # Panics
    /// If [`Var::backward`] has consumed the tape.
    #[track_caller]
    pub fn var(&self, value: Tensor<T>) -> Var<T> {
        self.push("var", value, &[], None)
    }

    /// The number of nodes on the tape.
    pub fn len(&self) -> usize {
        self.list.borrow().nodes.len()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is(&self, other: &Tape<T>) -> bool {
        Rc::ptr_eq(&self.list, &other.list)
    }

    pub(crate) fn number(&self) -> u64 {
        self.list.borrow().number
    }

    #[track_caller]
    fn push(&self, name: &'static str, value: Tensor<T>, inputs: &[&Var<T>], rule: Option<Rc<Rule<T>>>) -> Var<T> {
        let mut list = self.list.borrow_mut();
        assert!(!list.consumed, "{name}: backward has consumed this tape; record on a new one, or use grad");
        let id = list.nodes.len() as u32;
        let start = list.inputs.len();
        list.inputs.extend(inputs.iter().map(|input| input.id()));
        let range = start..list.inputs.len();
        list.nodes.push(Node { name, inputs: range, rule, shape: *value.shape() });
        drop(list);
        self.tell(|| Event::Node { id, name, inputs, value: &value });
        Var { value, origin: Some((self.clone(), id)) }
    }

    /// For every node up to `last`, whether it is, or depends on, one of `wrt`.
    fn leads_to(&self, wrt: &[&Var<T>], last: u32) -> Vec<bool> {
        let list = self.list.borrow();
        let mut leads = vec![false; last as usize + 1];
        for id in wrt.iter().filter_map(|x| x.id()).filter(|&id| id <= last) {
            leads[id as usize] = true;
        }
        for (id, node) in list.nodes[..=last as usize].iter().enumerate() {
            let mut origins = list.inputs[node.inputs.clone()].iter().flatten();
            leads[id] |= origins.any(|&input| leads[input as usize]);
        }
        leads
    }
}

impl<T: Element> Var<T> {
    /// Records an operation: its name, its inputs, the value that it computed from them, and its rule.
    ///
    /// This is all that an operation of one's own needs. The rule receives `grad` = ∂L/∂y, of the shape of the output
    /// y, and gives ∂L/∂xᵢ for every input through [`Backward::give`]. It must be written in differentiable operations
    /// on `Var`s if higher derivatives are to be right. If every input is a constant, so is the result, and the rule is
    /// dropped.
    ///
    /// ```
    /// use wengert::{Tape, Tensor, Var};
    ///
    /// /// y = x³, with the rule x̄ = 3x²·ȳ.
    /// fn cube(x: &Var<f64>) -> Var<f64> {
    ///     let y = x.value().map(|x| x * x * x);
    ///     let saved = x.saved();
    ///     Var::record("cube", &[x], y, move |grad, back| {
    ///         back.give(0, |back| {
    ///             let x = back.var(&saved);
    ///             grad * &x * &x * 3.0
    ///         });
    ///     })
    /// }
    ///
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::scalar(2.0));
    /// let first = cube(&x).grad(&[&x]).remove(0);
    /// assert_eq!(first.value().item(), 12.0); // 3x²
    /// assert_eq!(first.backward().wrt(&x).item(), 12.0); // 6x
    /// wengert::gradcheck::gradgradcheck(|x| cube(&x[0]), &[Tensor::scalar(2.0)]).unwrap();
    /// ```
    ///
    /// # Panics
    /// If the inputs are of different tapes, or `backward` has consumed the tape.
    #[track_caller]
    pub fn record(
        name: &'static str,
        inputs: &[&Var<T>],
        value: Tensor<T>,
        rule: impl Fn(&Var<T>, &mut Backward<'_, T>) + 'static,
    ) -> Var<T> {
        Var::record_owning(name, inputs, value, move |grad, back| rule(&grad, back))
    }

    /// [`record`](Var::record) for a rule that has the gradient for itself, and may change it in place if nobody else
    /// shares its memory.
    #[track_caller]
    pub(crate) fn record_owning(
        name: &'static str,
        inputs: &[&Var<T>],
        value: Tensor<T>,
        rule: impl Fn(Var<T>, &mut Backward<'_, T>) + 'static,
    ) -> Var<T> {
        let mut tapes = inputs.iter().filter_map(|input| input.tape());
        match tapes.next() {
            None => value.into(),
            Some(tape) => {
                assert!(tapes.all(|other| other.is(tape)), "{name}: the operands are variables of different tapes");
                tape.push(name, value, inputs, Some(Rc::new(rule)))
            }
        }
    }

    /// The gradients of this scalar with respect to every variable of its tape, which is consumed: each node, and
    /// what it saved, is freed as soon as it is used, and nothing is recorded.
    ///
    /// # Panics
    /// If this is no scalar, or a constant, or the tape was consumed before.
    #[track_caller]
    pub fn backward(&self) -> Gradients<T> {
        self.consume("backward", self.one("backward"))
    }

    /// The gradients of this scalar with respect to `wrt`, as variables that can be differentiated again.
    ///
    /// A variable that this one does not depend on has a gradient of zeros. The tape stays as it is, and grows by what
    /// the rules compute. Results of operations may be among `wrt`, as may several variables. The
    /// [`derivatives`](crate::derivatives) are made of it.
    ///
    /// # Panics
    /// If this is no scalar, or a constant, or `backward` has consumed the tape, or one of `wrt` is on another tape.
    #[track_caller]
    pub fn grad(&self, wrt: &[&Var<T>]) -> Vec<Var<T>> {
        self.walk("grad", self.one("grad"), wrt, true)
    }

    /// [`backward`](Var::backward) from a gradient of this value.
    #[track_caller]
    pub(crate) fn consume(&self, what: &str, seed: Var<T>) -> Gradients<T> {
        let (tape, last) = self.node(what);
        let mut list = tape.list.borrow_mut();
        assert!(!list.consumed, "{what}: this tape was consumed by an earlier backward; record a new one");
        list.consumed = true;
        let (mut nodes, inputs) = (std::mem::take(&mut list.nodes), std::mem::take(&mut list.inputs));
        drop(list);
        nodes.truncate(last as usize + 1);
        let is_leaf = nodes.iter().map(|node| node.rule.is_none()).collect();
        let mut walk = Walk::from(last, seed, tape, false, &|_| true);
        while let Some(node) = nodes.pop() {
            walk.visit(nodes.len() as u32, &node, &inputs[node.inputs.clone()], &|id| nodes[id as usize].shape, false);
        }
        Gradients::new(tape, is_leaf, walk.grads)
    }

    /// [`grad`](Var::grad) from a gradient of this value; the gradients are constants unless the walk records.
    #[track_caller]
    pub(crate) fn walk(&self, what: &str, seed: Var<T>, wrt: &[&Var<T>], records: bool) -> Vec<Var<T>> {
        let (tape, last) = self.node(what);
        assert!(!tape.list.borrow().consumed, "{what}: backward has consumed this tape");
        for x in wrt {
            let own = x.tape().is_some_and(|own| own.is(tape));
            assert!(own, "{what}: a variable of `wrt` is not on the tape of the loss");
        }
        let leads = tape.leads_to(wrt, last);
        let wanted = |id: u32| leads[id as usize];
        let mut walk = Walk::from(last, seed, tape, records, &wanted);
        for id in (0..=last).rev().filter(|&id| wanted(id)) {
            // Copied, because rules append to the list.
            let (node, inputs) = {
                let list = tape.list.borrow();
                let node = list.nodes[id as usize].clone();
                let inputs = list.inputs[node.inputs.clone()].to_vec();
                (node, inputs)
            };
            let asked = wrt.iter().any(|x| x.id() == Some(id));
            walk.visit(id, &node, &inputs, &|id| tape.list.borrow().nodes[id as usize].shape, asked);
        }
        let of = |x: &&Var<T>| walk.grads.get(x.id()? as usize)?.clone();
        wrt.iter().map(|x| of(x).unwrap_or_else(|| x.value().filled(0.0).into())).collect()
    }

    /// The tape and the node of a value to differentiate.
    #[track_caller]
    pub(crate) fn node(&self, what: &str) -> (&Tape<T>, u32) {
        let Some((tape, id)) = &self.origin else { panic!("{what}: this value is a constant, on no tape") };
        (tape, *id)
    }
}

/// A walk from a loss towards the beginning of its tape: what has arrived where.
struct Walk<'a, T: Element> {
    tape: &'a Tape<T>,
    /// Whether the rules' operations are recorded, for derivatives of higher order.
    records: bool,
    wanted: &'a dyn Fn(u32) -> bool,
    grads: Vec<Option<Var<T>>>,
}

impl<'a, T: Element> Walk<'a, T> {
    /// A walk that begins at node `last`, whose gradient is `seed`.
    fn from(last: u32, seed: Var<T>, tape: &'a Tape<T>, records: bool, wanted: &'a dyn Fn(u32) -> bool) -> Self {
        tape.tell(|| Event::Walk { id: last, grad: &seed.value });
        let mut grads = vec![None; last as usize + 1];
        grads[last as usize] = Some(seed);
        Walk { tape, records, wanted, grads }
    }

    /// Hands the gradient of a node to its rule, and keeps it only if told to. A rule that forgets an input would leave
    /// it a gradient that is too small, or none, which looks like zeros: nobody would notice.
    #[track_caller]
    fn visit(&mut self, id: u32, node: &Node<T>, inputs: &[Option<u32>], shape: &dyn Fn(u32) -> Shape, keep: bool) {
        let Some(rule) = &node.rule else { return };
        let slot = &mut self.grads[id as usize];
        let Some(grad) = (if keep { slot.clone() } else { slot.take() }) else { return };
        let (&mut Walk { tape, records, wanted, ref mut grads }, name) = (self, node.name);
        tape.tell(|| Event::Rule { id, name, grad: &grad.value });
        let given = Given::default();
        let mut back = Backward { tape, records, id, name, inputs, wanted, shape, grads, given };
        rule(grad, &mut back);
        let forgotten = (0..inputs.len()).find(|&i| !back.given.has(i) && back.needs(i));
        let Some(i) = forgotten else { return };
        panic!("{name}: the rule gave no gradient for input {i}; give zeros if there is none");
    }
}

/// What a rule sees of the walk: which gradients are wanted, and where they go.
pub struct Backward<'a, T: Element> {
    tape: &'a Tape<T>,
    records: bool,
    id: u32,
    name: &'static str,
    inputs: &'a [Option<u32>],
    wanted: &'a dyn Fn(u32) -> bool,
    /// The shape of an earlier node.
    shape: &'a dyn Fn(u32) -> Shape,
    grads: &'a mut [Option<Var<T>>],
    given: Given,
}

impl<T: Element> Backward<'_, T> {
    /// Whether the rule's operations are recorded, so that its result can be differentiated. A rule that has a fused
    /// kernel without a rule of its own may use it only if not.
    pub fn records(&self) -> bool {
        self.records
    }

    /// Whether the gradient of input `i` is wanted.
    ///
    /// # Panics
    /// If the operation has no such input.
    #[track_caller]
    pub fn needs(&self, i: usize) -> bool {
        let (name, n) = (self.name, self.inputs.len());
        assert!(i < n, "{name}: the rule asks for input {i}, the operation has {n}");
        self.inputs[i].is_some_and(self.wanted)
    }

    /// A saved value as a variable: on the tape if the walk records, else a constant.
    ///
    /// # Panics
    /// If it was saved for an input whose gradient is not wanted, or on another tape.
    #[track_caller]
    pub fn var(&self, saved: &Saved<T>) -> Var<T> {
        let Some((value, origin)) = &saved.0 else { panic!("{}: the value was not saved", self.name) };
        let own = origin.is_none_or(|(tape, _)| tape == self.tape.number());
        assert!(own, "{}: the rule uses a value that was saved on another tape", self.name);
        let origin = origin.filter(|_| self.records).map(|(_, id)| (self.tape.clone(), id));
        Var { value: value.clone(), origin }
    }

    /// The operation's output, whose value the rule has kept, as a variable.
    pub fn output(&self, value: &Tensor<T>) -> Var<T> {
        Var { value: value.clone(), origin: self.records.then(|| (self.tape.clone(), self.id)) }
    }

    /// Adds `grad()` to the gradient of input `i`; does not even call it if that gradient is not wanted.
    ///
    /// The walk panics if a rule gives an input whose gradient is wanted none.
    ///
    /// # Panics
    /// If the operation has no such input, or the gradient does not have its shape, or is on another tape.
    #[track_caller]
    pub fn give(&mut self, i: usize, grad: impl FnOnce(&Self) -> Var<T>) {
        if !self.needs(i) {
            return;
        }
        let grad = grad(self);
        let Some(id) = self.inputs[i] else { return };
        let (expected, name) = ((self.shape)(id), self.name);
        let found = *grad.shape();
        assert!(found == expected, "{name}: the rule gave input {i} of shape {expected} a gradient of shape {found}");
        let own = grad.tape().is_none_or(|tape| tape.is(self.tape));
        assert!(own, "{name}: the rule gave input {i} a gradient that is on another tape");
        self.tape.tell(|| Event::Grad { id: self.id, name, input: i, grad: &grad.value });
        self.given.add(i);
        match &mut self.grads[id as usize] {
            slot @ None => *slot = Some(grad),
            // Gradients add up; in place if nothing is recorded.
            Some(sum) if !self.records => sum.value.add_assign(&grad.value),
            Some(sum) => *sum = &*sum + &grad,
        }
    }
}
