//! Self-attention as the official code of SAGAN has it (Zhang et al. 2019, arXiv:1805.08318).

use wengert::nn::{Conv2d, Init, ParamId, Pass, Scope, WeightOptions};
use wengert::ops::Conv2dOptions;
use wengert::{Element, Rng, Tensor, Var};

use super::linear_map::LinearMap;

/// The fewest channels of keys, queries and values, however narrow the net is.
const FEWEST_CHANNELS: usize = 4;

/// Every position looks at every 2×2 block of positions:
/// β_{j,i} = softmax_i f(x_i)ᵀ g(x_j), o_j = v(Σ_i β_{j,i} h(x_i)), y = x + γ·o.
///
/// Queries g and keys f have C/8 channels, values h have C/2, v leads back to C; keys and values are max-pooled 2×2, so
/// i runs over a quarter of the positions. All four are 1×1 convolutions with spectral norm and without bias, and γ,
/// which is learnt, begins at 0: the layer begins as the identity.
///
/// The paper's text has h of C/8 channels and no pooling; this is the code that its figures were made with.
#[derive(Debug)]
pub struct Attention {
    queries: Conv2d,
    keys: Conv2d,
    values: Conv2d,
    back: Conv2d,
    gamma: ParamId,
}

impl Attention {
    /// Attention over maps of so many channels, its parameters in this scope, under the names `g`, `f`, `h`, `v` and
    /// `gamma`.
    pub fn new<T: Element>(scope: &mut Scope<T>, channels: usize, weights: Init, rng: &mut Rng) -> Attention {
        let [few, half] = Attention::widths(channels);
        let mut conv = |name: &str, inputs: usize, outputs: usize| {
            let options = WeightOptions::new(weights).spectral_norm().without_bias();
            Conv2d::new(&mut scope.scope(name), inputs, outputs, [1, 1], &Conv2dOptions::default(), options, rng)
        };
        Attention {
            queries: conv("g", channels, few),
            keys: conv("f", channels, few),
            values: conv("h", channels, half),
            back: conv("v", half, channels),
            gamma: scope.parameter("gamma", Tensor::zeros([1])),
        }
    }

    /// The channels of queries and keys, and of values.
    pub fn widths(channels: usize) -> [usize; 2] {
        [channels / 8, channels / 2].map(|width| width.max(FEWEST_CHANNELS))
    }

    /// Maps (N, C, H, W), and the attention map β, (N, H·W, H·W/4): row j says where position j looks. Positions and
    /// blocks count row by row.
    ///
    /// # Panics
    /// If `x` has another number of channels, or a side is odd.
    #[track_caller]
    pub fn forward<T: Element>(&self, pass: &Pass<T>, x: &Var<T>) -> (Var<T>, Var<T>) {
        let (n, h, w) = (x.shape()[0], x.shape()[2], x.shape()[3]);
        assert!(h % 2 == 0 && w % 2 == 0, "Attention: maps of {h}×{w}: expected even sides, for blocks of 2×2");
        let queries = positions(&self.queries.forward(pass, x));
        let pooled = |conv: &Conv2d| positions(&conv.forward(pass, x).max_pool2d([2, 2], [2, 2], [0, 0]));
        let (keys, values) = (pooled(&self.keys), pooled(&self.values));
        let map = queries.matmul(&keys.permute([0, 2, 1])).softmax(2);
        let mixed = map.matmul(&values);
        let mixed = mixed.reshape([n, h, w, values.shape()[2]]).permute([0, 3, 1, 2]);
        (x + pass.param(self.gamma) * self.back.forward(pass, &mixed), map)
    }

    /// The linear maps of attention over maps of these rows and columns, whose parameters are in the scope `name`.
    pub(super) fn linear_maps(name: &str, input: [usize; 2]) -> impl Iterator<Item = LinearMap> {
        let conv = move |part| LinearMap::conv2d(format!("{name}.{part}"), Conv2dOptions::default(), input);
        ["g", "f", "h", "v"].into_iter().map(conv)
    }

    /// Parameters, and multiply-adds for maps of so many channels and positions: those of the four convolutions, and of
    /// the two products, each position with a quarter of the positions.
    pub(super) fn counts(channels: usize, positions: usize) -> [usize; 2] {
        let [few, half] = Attention::widths(channels);
        let weights = channels * (few + few + half) + half * channels;
        let products = positions * (positions / 4) * (few + half);
        [weights + 1, weights * positions + products]
    }
}

/// Maps (N, C, H, W) as one row of channels for each position, (N, H·W, C).
fn positions<T: Element>(maps: &Var<T>) -> Var<T> {
    let &[n, c, h, w] = &**maps.shape() else { panic!("positions: expected maps, found {}", maps.shape()) };
    maps.permute([0, 2, 3, 1]).reshape([n, h * w, c])
}

#[cfg(test)]
mod tests {
    use wengert::nn::{Mode, Params};

    use super::*;

    fn layer(channels: usize) -> (Params<f64>, Attention, Rng) {
        let (mut params, mut rng) = (Params::new(), Rng::seed(3));
        let attention = Attention::new(&mut params.scope("a"), channels, Init::PyTorch, &mut rng);
        (params, attention, rng)
    }

    #[test]
    fn it_has_the_shapes_of_the_official_code_but_never_fewer_than_four_channels() {
        let shapes = |channels: usize| {
            let params = layer(channels).0;
            ["g", "f", "h", "v"].map(|name| {
                let shape = *params.get(&format!("a.{name}.parametrizations.weight.original")).unwrap().shape();
                [shape[0], shape[1]]
            })
        };
        assert_eq!(shapes(128), [[16, 128], [16, 128], [64, 128], [128, 64]]);
        assert_eq!(shapes(32), [[4, 32], [4, 32], [16, 32], [32, 16]]);
        assert_eq!(shapes(4), [[4, 4], [4, 4], [4, 4], [4, 4]]);
        let biases = layer(8).0.names().filter(|name| name.contains("bias")).count();
        assert_eq!(biases, 0);
    }

    #[test]
    fn it_begins_as_the_identity() {
        let (params, attention, mut rng) = layer(8);
        let x: Tensor<f64> = rng.normal([2, 8, 4, 6]);
        let (y, map) = attention.forward(&Pass::frozen(&params, Mode::Eval), &(&x).into());
        assert_eq!(y.value().to_vec(), x.to_vec());
        assert_eq!(**map.shape(), [2, 24, 6]);
    }

    /// The formula, position by position, in plain loops.
    #[test]
    fn it_is_the_formula() {
        let (mut params, attention, mut rng) = layer(8);
        params.set("a.gamma", Tensor::full([1], 0.7));
        let (h, w) = (4, 6);
        let x: Tensor<f64> = rng.normal([2, 8, h, w]);
        let pass = Pass::frozen(&params, Mode::Eval);
        let (y, map) = attention.forward(&pass, &(&x).into());
        let through = |name: &str, input: &[f64]| -> Vec<f64> {
            let get = |part: &str| params.get(&format!("a.{name}.parametrizations.weight.{part}")).unwrap();
            let (weight, u, v) = (get("original"), get("0._u").to_vec(), get("0._v").to_vec());
            let rows: Vec<Vec<f64>> = weight.to_vec().chunks(input.len()).map(<[f64]>::to_vec).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let sigma: f64 = rows.iter().zip(&u).map(|(row, u)| u * dot(row, &v)).sum();
            rows.iter().map(|row| dot(row, input) / sigma).collect()
        };
        let values = x.to_vec();
        for n in 0..2 {
            let at = |row: usize, column: usize| -> Vec<f64> {
                (0..8).map(|c| values[((n * 8 + c) * h + row) * w + column]).collect()
            };
            // The largest of a 2×2 block, channel by channel.
            let pooled = |name: &str, block: usize| -> Vec<f64> {
                let (row, column) = (2 * (block / (w / 2)), 2 * (block % (w / 2)));
                let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| through(name, &at(row + i, column + j)));
                (0..four[0].len()).map(|c| four.iter().map(|one| one[c]).fold(f64::MIN, f64::max)).collect()
            };
            for j in 0..h * w {
                let query = through("g", &at(j / w, j % w));
                let score = |i: usize| pooled("f", i).iter().zip(&query).map(|(f, g)| f * g).sum::<f64>().exp();
                let scores: Vec<f64> = (0..6).map(score).collect();
                let beta: Vec<f64> = scores.iter().map(|score| score / scores.iter().sum::<f64>()).collect();
                let found = &map.value().to_vec()[(n * h * w + j) * 6..][..6];
                assert!(beta.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-12), "{beta:?} {found:?}");
                let mut mixed = vec![0.0; 4];
                for (i, beta) in beta.iter().enumerate() {
                    mixed.iter_mut().zip(pooled("h", i)).for_each(|(sum, h)| *sum += beta * h);
                }
                for (c, o) in through("v", &mixed).into_iter().enumerate() {
                    let place = ((n * 8 + c) * h + j / w) * w + j % w;
                    assert!((y.value().to_vec()[place] - (values[place] + 0.7 * o)).abs() < 1e-12);
                }
            }
        }
    }
}
