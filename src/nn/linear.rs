//! Dense layers and embeddings.

use super::init::Role;
use super::weight::Weight;
use super::{ParamId, Pass, Scope, WeightOptions};
use crate::{Element, Rng, Var};

/// y = x Wᵀ + b: (N, in) to (N, out), with `weight` (out, in) and `bias` (out).
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<ParamId>,
}

impl Linear {
    /// A dense layer in this scope.
    ///
    /// # Panics
    /// If an extent is 0, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(
        scope: &mut Scope<'_, T>,
        inputs: usize,
        outputs: usize,
        options: impl Into<WeightOptions>,
        rng: &mut Rng,
    ) -> Linear {
        let options = options.into();
        let layout = ([outputs, inputs].into(), [0, 1].into(), 0);
        let weight = options.weight(scope, Role::Linear, layout, rng);
        let bias = options.bias(scope, &weight, outputs, rng);
        Linear { weight, bias }
    }

    /// (N, in) to (N, out).
    ///
    /// # Panics
    /// If `x` has another shape, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, x: &Var<T>) -> Var<T> {
        let (shape, weight) = (x.shape(), self.weight.shape());
        let fits = shape.len() == 2 && shape[1] == weight[1];
        assert!(fits, "Linear: input {shape}, weight {weight}: expected an input (N, {})", weight[1]);
        let y = x.matmul(&self.weight.var(pass).t());
        match self.bias {
            Some(bias) => y + pass.param(bias),
            None => y,
        }
    }
}

/// A table of vectors, one to each class: `weight` (count, width).
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Weight,
}

impl Embedding {
    /// A table in this scope. It has no bias, whatever the options say.
    ///
    /// # Panics
    /// If an extent is 0, or a name is taken.
    #[track_caller]
    pub fn new<T: Element>(
        scope: &mut Scope<'_, T>,
        count: usize,
        width: usize,
        options: impl Into<WeightOptions>,
        rng: &mut Rng,
    ) -> Embedding {
        let layout = ([count, width].into(), [0, 1].into(), 0);
        Embedding { weight: options.into().weight(scope, Role::Embedding, layout, rng) }
    }

    /// The vectors of these classes, (N, width).
    ///
    /// # Panics
    /// If a class is not below the count, or the layer belongs to another store than the pass.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<'_, T>, classes: &[usize]) -> Var<T> {
        self.weight.var(pass).index_select(0, classes)
    }
}
