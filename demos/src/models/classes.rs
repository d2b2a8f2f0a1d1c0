//! Layers that know the images' classes.

use wengert::nn::{BatchNorm, Embedding, Init, Pass, Scope, WeightOptions};
use wengert::{Element, Rng, Var};

/// Conditional batch norm: γ and β depend on the class. γ begins as 1 and β as 0, for every class.
#[derive(Debug)]
pub struct ConditionalBatchNorm {
    gamma: Embedding,
    beta: Embedding,
    norm: BatchNorm,
}

impl ConditionalBatchNorm {
    /// For maps of so many channels, its tables in this scope under the names `gamma` and `beta`.
    pub fn new<T: Element>(scope: &mut Scope<T>, channels: usize, classes: usize, rng: &mut Rng) -> Self {
        let [gamma, beta] = [("gamma", 1.0), ("beta", 0.0)]
            .map(|(name, value)| Embedding::new(&mut scope.scope(name), classes, channels, Init::Constant(value), rng));
        ConditionalBatchNorm { gamma, beta, norm: BatchNorm::without_affine(scope, channels) }
    }

    /// Normalised maps (N, C, H, W), of these classes (N).
    ///
    /// # Panics
    /// If a class is unknown.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>, labels: &[usize]) -> Var<T> {
        let each = |table: &Embedding| table.forward(pass, labels).reshape([labels.len(), x.shape()[1], 1, 1]);
        self.norm.forward(pass, x) * each(&self.gamma) + each(&self.beta)
    }
}

/// The inner product of features with the vector of their class (Miyato and Koyama 2018, arXiv:1802.05637).
#[derive(Debug)]
pub struct Projection(Embedding);

impl Projection {
    /// For so many features, its table in this scope.
    pub fn new<T: Element>(
        scope: &mut Scope<T>,
        features: usize,
        classes: usize,
        vectors: WeightOptions,
        rng: &mut Rng,
    ) -> Projection {
        Projection(Embedding::new(scope, classes, features, vectors, rng))
    }

    /// ⟨V_y, φ⟩, (N, 1), of features φ (N, C) of these classes y (N).
    ///
    /// # Panics
    /// If a class is unknown.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<T>, features: &Var<T>, labels: &[usize]) -> Var<T> {
        (features * self.0.forward(pass, labels)).sum_axes([1], true)
    }
}
