//! Multilayer perceptrons: the nets of toys and of theory.

use wengert::nn::{Linear, Params, Pass, WeightOptions};
use wengert::{Element, Rng, Var};

/// Dense layers with ReLU between them, none after the last.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Makes the layers' parameters in `params`, under the names `0`, `1`, …; `sizes` are the widths from the input to
    /// the output.
    ///
    /// # Panics
    /// If there are fewer than two sizes, or one is 0.
    pub fn new<T: Element>(
        params: &mut Params<T>,
        sizes: &[usize],
        options: impl Into<WeightOptions>,
        rng: &mut Rng,
    ) -> Mlp {
        assert!(sizes.len() >= 2, "Mlp: sizes {sizes:?}, expected an input and an output");
        let options = options.into();
        let mut root = params.scope("");
        let layer =
            |(i, pair): (usize, &[usize])| Linear::new(&mut root.scope(&i.to_string()), pair[0], pair[1], options, rng);
        Mlp { layers: sizes.windows(2).enumerate().map(layer).collect() }
    }

    /// (N, first size) to (N, last size).
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> Var<T> {
        let (last, hidden) = self.layers.split_last().expect("an output layer");
        let h = hidden.iter().fold(x.clone(), |h, layer| layer.forward(pass, &h).relu());
        last.forward(pass, &h)
    }
}
