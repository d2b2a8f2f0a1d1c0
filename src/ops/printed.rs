//! Every formula of the library, printed as OpenCL C and read back by a small interpreter.

use std::collections::BTreeSet;
use std::path::Path;

use super::{arithmetic, choice, elementwise, loss, norm, reduction, softmax};
use crate::Function;
use crate::compute::source;
use crate::kernels::{formulas, optim};

/// The value of a printed function, one statement after another.
fn read(source: &str, inputs: &[f64], options: &[f64]) -> Vec<f64> {
    let (mut lines, mut results) = (Vec::new(), Vec::new());
    for statement in source.lines().filter(|line| line.starts_with("    ")) {
        let (to, text) = statement.trim().trim_end_matches(';').split_once(" = ").expect("a statement");
        let value = evaluate(text, &|atom| value_of(atom, inputs, options, &lines));
        match to.strip_prefix('*') {
            Some(result) => {
                assert_eq!(result, format!("y{}", results.len()));
                results.push(value);
            }
            None => {
                assert_eq!(to, format!("real t{}", lines.len()));
                lines.push(value);
            }
        }
    }
    results
}

/// A name or a literal.
fn value_of(atom: &str, inputs: &[f64], options: &[f64], lines: &[f64]) -> f64 {
    if let Some(literal) = atom.strip_prefix("(real)") {
        return literal.parse().expect("a number");
    }
    let number = |rest: &str| rest.parse::<usize>().expect("a number");
    match (atom, atom.split_at(1)) {
        ("NAN", _) => f64::NAN,
        ("INFINITY", _) => f64::INFINITY,
        ("(-INFINITY)", _) => f64::NEG_INFINITY,
        (_, ("-", rest)) => -value_of(rest, inputs, options, lines),
        (_, ("x", rest)) => inputs[number(rest)],
        (_, ("c", rest)) => options[number(rest)],
        (_, ("t", rest)) => lines[number(rest)],
        _ => atom.parse().unwrap_or_else(|_| panic!("a name or a number: {atom}")),
    }
}

/// A right-hand side: a choice, a call, an operation, or an atom.
fn evaluate(text: &str, value: &dyn Fn(&str) -> f64) -> f64 {
    let words: Vec<&str> = text.split(' ').collect();
    if let [a, comparison, b, "?", then, ":", otherwise] = words[..] {
        let (a, b) = (value(a), value(b));
        let holds = match comparison {
            ">" => a > b,
            "<=" => a <= b,
            "==" => a == b,
            _ => panic!("a comparison: {comparison}"),
        };
        return value(if holds { then } else { otherwise });
    }
    if let Some((name, arguments)) = text.strip_suffix(')').and_then(|call| call.split_once('(')) {
        let arguments: Vec<f64> = arguments.split(", ").map(value).collect();
        return match (name, &arguments[..]) {
            ("fabs", &[x]) => x.abs(),
            ("exp", &[x]) => x.exp(),
            ("log", &[x]) => x.ln(),
            ("log1p", &[x]) => x.ln_1p(),
            ("sqrt", &[x]) => x.sqrt(),
            ("sin", &[x]) => x.sin(),
            ("cos", &[x]) => x.cos(),
            ("tanh", &[x]) => x.tanh(),
            ("pown", &[x, n]) => x.powi(n as i32),
            ("pow", &[x, p]) => x.powf(p),
            _ => panic!("a function of OpenCL C: {text}"),
        };
    }
    match words[..] {
        [a, "+", b] => value(a) + value(b),
        [a, "-", b] => value(a) - value(b),
        [a, "*", b] => value(a) * value(b),
        [a, "/", b] => value(a) / value(b),
        [atom] => value(atom),
        _ => panic!("an expression: {text}"),
    }
}

/// Checks a function at every combination of these points; returns its name.
fn check<const N: usize, const M: usize>(function: impl Function<N, M>) -> String {
    const POINTS: [f64; 10] = [f64::NEG_INFINITY, -3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 25.0, f64::INFINITY, f64::NAN];
    let source = source(&function);
    for index in 0..POINTS.len().pow(N as u32) {
        let x: [f64; N] = std::array::from_fn(|k| POINTS[index / POINTS.len().pow(k as u32) % POINTS.len()]);
        let (found, expected) = (read(&source, &x, &function.options()), function.apply(x));
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        assert!(found.iter().zip(&expected).all(same), "{source} of {x:?}: {found:?}, not {expected:?}");
        assert_eq!(found.len(), M);
    }
    source["void ".len()..source.find('(').expect("parameters")].to_string()
}

/// The names of all formulas in the sources.
fn names(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names.extend(self::names(&path));
            continue;
        }
        if path.ends_with(file!().rsplit('/').next().expect("this file")) {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source");
        let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        for (at, _) in code.match_indices("function!(pub ").chain(code.match_indices("function!(\n    pub ")) {
            let name = code[at..].split("pub ").nth(1).expect("a name");
            names.insert(name.split([' ', '|']).next().expect("a name").to_string());
        }
    }
    names
}

#[test]
fn every_formula_is_printed_and_read() {
    use arithmetic::{Negative, Over, Under};
    use elementwise::*;
    use formulas::*;
    use optim::*;
    let (low, high, lr, eps) = (-0.5, 0.75, 0.1, 1e-8);
    let (mu, decay, alpha, rest) = (0.9, 0.01, 0.99, 0.01);
    let (beta1, rest1, beta2, rest2, step_size, root) = (0.5, 0.5, 0.9, 0.1, lr, 0.3);
    let found = [
        check(Same),
        check(Sum),
        check(Difference),
        check(Product),
        check(Quotient),
        check(Affine { scale: -1.5, shift: 0.25 }),
        check(Larger),
        check(Smaller),
        check(Negative),
        check(Over { c: -0.3 }),
        check(Under { c: 2.5 }),
        check(Exp),
        check(Ln),
        check(Sqrt),
        check(Square),
        check(Powf { p: 1.5 }),
        check(RealPower { p: 1.5 }),
        check(Abs),
        check(Sin),
        check(Cos),
        check(Tanh),
        check(SechSquared),
        check(Sigmoid),
        check(Softplus),
        check(Relu),
        check(LeakyRelu { slope: 0.1 }),
        check(LeakyGate { slope: 0.1 }),
        check(ReluGate),
        check(SignGate),
        check(Clamp { low, high }),
        check(ClampGate { low, high }),
        check(Gelu),
        check(GeluSlope),
        check(NormalDensity),
        check(Silu),
        check(SiluSlope),
        check(choice::Choose),
        check(choice::WhereTrue),
        check(choice::WhereFalse),
        check(choice::ShareOfLarger),
        check(choice::Part),
        check(reduction::IsEqual),
        check(loss::Weighted),
        check(norm::InverseRoot { eps }),
        check(softmax::FiniteOrZero),
        check(softmax::ExpOfDifference),
        check(softmax::LnPlus),
        check(SgdStep { lr }),
        check(SgdDecayStep { lr, decay }),
        check(MomentumStep { lr, mu }),
        check(MomentumDecayStep { lr, mu, decay }),
        check(RmsPropStep { lr, alpha, rest, eps }),
        check(RmsPropDecayStep { lr, alpha, rest, eps, decay }),
        check(RmsPropMomentumStep { lr, alpha, rest, eps, decay, mu }),
        check(RmsPropCentredStep { lr, alpha, rest, eps, decay }),
        check(RmsPropCentredMomentumStep { lr, alpha, rest, eps, decay, mu }),
        check(AdamStep { beta1, rest1, beta2, rest2, step_size, root, eps }),
        check(AdamDecayStep { beta1, rest1, beta2, rest2, step_size, root, eps, decay }),
        check(AdamWStep { beta1, rest1, beta2, rest2, step_size, root, eps, keep: 0.999 }),
        check(Average { decay: 0.9, rest: 0.1 }),
    ];
    [-3, 0, 2, 5].iter().for_each(|&n| assert_eq!(check(Powi { n }), "Powi"));
    let found: BTreeSet<String> = found.into_iter().collect();
    let expected = names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(expected.len() > 20, "{expected:?}");
    assert_eq!(found, expected, "the formulas that are tested here, and those that the sources define");
}
