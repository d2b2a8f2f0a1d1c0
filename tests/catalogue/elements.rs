//! Operators and functions of elements.

use wengert::{Element, Tensor, Var};

use crate::reference::{distribution, leaky, pairwise, power, sigmoid};
use crate::table::{Bad, Entry, Sampler, bad, entry};

/// Scalars, nothing, sizes around every vector width, maps, and enough to be cut into chunks.
const SHAPES: [&[usize]; 13] =
    [&[], &[1], &[0], &[2, 0, 3], &[3], &[7], &[8], &[17], &[33], &[65], &[2, 3, 5], &[2, 3, 4, 5], &[150, 131]];

const PAIRS: [[&[usize]; 2]; 15] = [
    [&[], &[]],
    [&[1], &[1]],
    [&[0], &[1]],
    [&[2, 3], &[2, 3]],
    [&[2, 3], &[3]],
    [&[], &[2, 3]],
    [&[2, 1], &[1, 3]],
    [&[3, 1], &[2, 1, 4]],
    [&[0, 3], &[1, 3]],
    [&[2, 3, 4, 5], &[1, 3, 1, 1]],
    [&[2, 3, 4, 5], &[5]],
    [&[2, 1, 4, 1], &[3, 1, 5]],
    [&[150, 131], &[150, 131]],
    [&[150, 131], &[131]],
    [&[150, 131], &[150, 1]],
];

pub fn entries(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = operators(s);
    entries.extend(functions(s));
    entries.extend(kinked(s));
    entries.extend(waves_and_gates(s));
    entries.extend(choices(s));
    entries
}

fn operators(s: &mut Sampler) -> Vec<Entry> {
    let mut pairs = || PAIRS.iter().map(|[a, b]| vec![s.any(*a), s.any(*b)]).collect::<Vec<_>>();
    let mut entries = vec![
        entry!("add", pairs(), |x| &x[0] + &x[1], |x| &x[0] + &x[1]),
        entry!("sub", pairs(), |x| &x[0] - &x[1], |x| &x[0] - &x[1]),
        entry!("mul", pairs(), |x| &x[0] * &x[1], |x| &x[0] * &x[1]),
        // The same variable twice: gradients add up.
        entry!("add", pairs(), |x| &x[0] + &x[0] + &x[1] + &x[0], |x| 3.0 * &x[0] + &x[1]).with("x + x + y + x"),
        entry!("mul", pairs(), |x| &x[0] * &x[1] * &x[0], |x| x[0].mapv(|x| x * x) * &x[1]).with("x·y·x"),
    ];
    let quotients = PAIRS.iter().map(|[a, b]| vec![s.any(*a), s.nonzero(*b)]).collect();
    let nonzero = |s: &mut Sampler| SHAPES.iter().map(|shape| vec![s.nonzero(*shape)]).collect();
    entries.extend([
        entry!("div", quotients, |x| &x[0] / &x[1], |x| &x[0] / &x[1]),
        entry!("div", nonzero(s), |x| 3.0 / &x[0], |x| x[0].mapv(|x| 3.0 / x)).with("3 / x"),
        entry!("affine", ones(s), |x| x[0].affine(-1.5, 0.25), |x| x[0].mapv(|x| 0.25 - 1.5 * x)),
        entry!("affine", ones(s), |x| (2.0 - &x[0] * 3.0) / 4.0 + 1.0, |x| x[0].mapv(|x| 1.5 - 0.75 * x))
            .with("(2 − 3x)/4 + 1"),
        entry!("neg", ones(s), |x| -&x[0], |x| x[0].mapv(|x| -x)),
    ]);
    entries
}

/// One input of any values.
fn ones(s: &mut Sampler) -> Vec<Vec<wengert::Tensor<f64>>> {
    SHAPES.iter().map(|shape| vec![s.any(*shape)]).collect()
}

fn positive(s: &mut Sampler) -> Vec<Vec<wengert::Tensor<f64>>> {
    SHAPES.iter().map(|shape| vec![s.positive(*shape)]).collect()
}

fn functions(s: &mut Sampler) -> Vec<Entry> {
    let mut entries = vec![
        entry!("exp", ones(s), |x| x[0].exp(), |x| x[0].mapv(f64::exp)),
        entry!("ln", positive(s), |x| x[0].ln(), |x| x[0].mapv(f64::ln)),
        entry!("sqrt", positive(s), |x| x[0].sqrt(), |x| x[0].mapv(f64::sqrt)),
        entry!("sigmoid", ones(s), |x| x[0].sigmoid(), |x| x[0].mapv(sigmoid)),
        entry!("tanh", ones(s), |x| x[0].tanh(), |x| x[0].mapv(f64::tanh)),
        entry!("softplus", ones(s), |x| x[0].softplus(), |x| x[0].mapv(|x| x.exp().ln_1p())),
    ];
    for n in [-2, -1, 0, 1, 2, 3, 5] {
        let samples = if n < 0 { positive(s) } else { ones(s) };
        let f = entry!("powi", samples, |x| x[0].powi(n), |x| x[0].mapv(|x| power(x, n)));
        entries.push(f.with(n.to_string()));
    }
    for p in [-1.5, -0.5, 0.0, 0.5, 1.0, 2.0, 2.5] {
        let f = entry!("powf", positive(s), |x| x[0].powf(p), |x| x[0].mapv(|x| (p * x.ln()).exp()));
        entries.push(f.with(p.to_string()));
    }
    // Far out, where a careless formula overflows or cancels. (That each slope is right by itself, `tests/engine`
    // says.)
    let far = || vec![vec![wengert::Tensor::from_vec([6], vec![-40.0, -17.0, -8.0, 8.0, 17.0, 40.0])]];
    entries.push(entry!("sigmoid", far(), |x| x[0].sigmoid(), |x| x[0].mapv(sigmoid)).with("far"));
    entries.push(entry!("softplus", far(), |x| x[0].softplus(), |x| x[0].mapv(|x| x.exp().ln_1p())).with("far"));
    entries.push(entry!("tanh", far(), |x| x[0].tanh(), |x| x[0].mapv(f64::tanh)).with("far"));
    entries
}

fn kinked(s: &mut Sampler) -> Vec<Entry> {
    let mut with_zeros = || {
        let mut samples = ones(s);
        samples.push(vec![wengert::Tensor::from_vec([2, 3], vec![0.0, 1.0, -1.0, 0.5, 0.0, -0.5])]);
        samples
    };
    vec![
        entry!("abs", with_zeros(), |x| x[0].abs(), |x| x[0].mapv(f64::abs)),
        entry!("relu", with_zeros(), |x| x[0].relu(), |x| x[0].mapv(|x| x.max(0.0))),
        entry!("leaky_relu", with_zeros(), |x| x[0].leaky_relu(0.2), |x| x[0].mapv(|x| leaky(x, 0.2))),
        entry!("leaky_relu", with_zeros(), |x| x[0].leaky_relu(0.0), |x| x[0].mapv(|x| leaky(x, 0.0))).with("slope 0"),
        entry!("leaky_relu", with_zeros(), |x| x[0].leaky_relu(1.5), |x| x[0].mapv(|x| leaky(x, 1.5)))
            .with("slope 1.5"),
        entry!("clamp", with_zeros(), |x| x[0].clamp(-0.5, 1.0), |x| x[0].mapv(|x| x.clamp(-0.5, 1.0))),
    ]
}

fn waves_and_gates(s: &mut Sampler) -> Vec<Entry> {
    // Where a careless formula overflows or cancels.
    let far = || vec![vec![Tensor::from_vec([6], vec![-17.0, -9.0, -6.0, 6.0, 9.0, 17.0])]];
    vec![
        entry!("sin", ones(s), |x| x[0].sin(), |x| x[0].mapv(f64::sin)),
        entry!("cos", ones(s), |x| x[0].cos(), |x| x[0].mapv(f64::cos)),
        entry!("square", ones(s), |x| x[0].square(), |x| x[0].mapv(|x| x * x)),
        entry!("gelu", ones(s), |x| x[0].gelu(), |x| x[0].mapv(|x| x * distribution(x))),
        entry!("silu", ones(s), |x| x[0].silu(), |x| x[0].mapv(|x| x * sigmoid(x))),
        entry!("gelu", far(), |x| x[0].gelu(), |x| x[0].mapv(|x| x * distribution(x))).with("far"),
        entry!("silu", far(), |x| x[0].silu(), |x| x[0].mapv(|x| x * sigmoid(x))).with("far"),
    ]
}

/// A mask of zeros and other numbers.
fn mask<T: Element>(shape: &[usize]) -> Tensor<T> {
    let values = Sampler::new(3).any(shape);
    values.map(|x| if x < 0.0 { 0.0 } else { x }).cast()
}

fn choices(s: &mut Sampler) -> Vec<Entry> {
    let mut pairs = || {
        let ties = vec![Tensor::from_vec([2, 2], vec![1.0, 2.0, -1.0, 0.5]), Tensor::from_vec([2], vec![1.0, 0.5])];
        PAIRS.iter().map(|[a, b]| vec![s.any(*a), s.any(*b)]).chain([ties]).collect::<Vec<_>>()
    };
    let mut entries = vec![
        entry!("maximum", pairs(), |x| x[0].maximum(&x[1]), |x| pairwise(&x[0], &x[1], f64::max)),
        entry!("minimum", pairs(), |x| x[0].minimum(&x[1]), |x| pairwise(&x[0], &x[1], f64::min)),
        entry!("maximum", pairs(), |x| x[0].maximum(&x[0]) * &x[1], |x| &x[0] * &x[1]).with("x and x"),
        entry!("where_cond", pairs(), |x| Var::where_cond(&mask(x[0].shape()), &x[0], &x[1]), |x| {
            let chosen = mask::<f64>(x[0].shape()).map(|m| f64::from(m != 0.0)).to_array();
            &chosen * &x[0] + (1.0 - &chosen) * &x[1]
        }),
    ];
    let of_numbers = s.samples(&[&[&[], &[3]], &[&[1], &[]]]);
    entries.push(
        entry!("where_cond", of_numbers, |x| Var::where_cond(&mask(&[4, 3]), &x[0], &x[1]), |x| {
            let chosen = mask::<f64>(&[4, 3]).map(|m| f64::from(m != 0.0)).to_array();
            &chosen * &x[0] + (1.0 - &chosen) * &x[1]
        })
        .with("a mask that is larger"),
    );
    entries
}

pub fn bad_calls() -> Vec<Bad> {
    vec![
        bad!("add", [[2, 3], [4]], |x| &x[0] + &x[1], "counting axes from the last"),
        bad!("add", [[2, 3], [4]], |x| x[0].clone() + x[1].clone()),
        bad!("sub", [[2, 3], [2]], |x| &x[0] - &x[1]),
        bad!("mul", [[0], [2]], |x| &x[0] * &x[1]),
        bad!("div", [[2, 1, 3], [2, 4]], |x| &x[0] / &x[1]),
        bad!("leaky_relu", [], |_x| wengert::Var::<f64>::from(wengert::Tensor::ones([2])).leaky_relu(-0.1), "-0.1"),
        bad!("maximum", [[2, 3], [2]], |x| x[0].maximum(&x[1]), "counting axes from the last"),
        bad!("minimum", [[2, 3], [4, 1, 2]], |x| x[0].minimum(&x[1])),
        bad!("where_cond", [[2, 3], [3], [2]], |x| Var::where_cond(x[0].value(), &x[1], &x[2]), "counting axes"),
        bad!("where_cond", [[2, 3], [4], [4]], |x| Var::where_cond(x[0].value(), &x[1], &x[2])),
        bad!("clamp", [], |_x| wengert::Var::<f64>::from(wengert::Tensor::ones([2])).clamp(1.0, f64::NAN), "NaN"),
    ]
}
