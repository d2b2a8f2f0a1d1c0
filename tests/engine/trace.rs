//! Observers of a tape: what they hear, that they change nothing, and that the first number that is not finite is
//! found.

use std::cell::RefCell;
use std::rc::Rc;

use wengert::trace::{Event, Finding};
use wengert::{Rng, Shape, Tape, Tensor, Var};

/// A small net with a second-order gradient; its gradient as bits.
fn gradient_bits(tape: &Tape<f64>) -> Vec<u64> {
    let mut rng = Rng::seed(3);
    let x = tape.var(rng.normal([4, 3]));
    let w = tape.var(rng.normal([3, 2]));
    let slope = x.matmul(&w).tanh().sum().grad(&[&x]).remove(0);
    let penalty = (slope.powi(2).sum_axes([1], false).sqrt() - 1.0).powi(2).mean();
    penalty.backward().wrt(&w).to_vec().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn an_observer_hears_every_node_and_changes_no_bit() {
    let heard = Rc::new(RefCell::new((Vec::new(), Vec::new(), 0)));
    let tape = Tape::<f64>::new();
    let to = heard.clone();
    let same = tape.clone();
    tape.observe(move |event| {
        let (nodes, rules, grads) = &mut *to.borrow_mut();
        match event {
            Event::Node { id, name, inputs, value } => {
                assert_eq!((*id as usize, nodes.len() + 1), (nodes.len(), same.len()), "the tape can be looked at");
                assert!(inputs.iter().all(|input| input.shape().size() > 0) && value.size() > 0);
                nodes.push(*name);
            }
            Event::Rule { name, .. } => rules.push(*name),
            Event::Grad { .. } => *grads += 1,
            Event::Walk { id, grad } => assert_eq!((*id, grad.item()), (2, 1.0)),
        }
    });
    let x = tape.var(Tensor::scalar(1.0));
    let y = (&x * &x).exp();
    assert_eq!(heard.borrow().0, tape.names());
    y.backward();
    assert_eq!((&heard.borrow().1, heard.borrow().2), (&vec!["exp", "mul"], 3));

    let watched = Tape::new();
    let anomaly = watched.detect_anomaly(f64::MAX);
    assert_eq!(gradient_bits(&watched), gradient_bits(&Tape::new()));
    assert_eq!(anomaly.found(), None);
}

#[test]
fn the_first_anomaly_is_found_in_values_and_in_gradients() {
    let found = |make: fn(&Var<f64>) -> Var<f64>, limit: f64| -> Option<Finding> {
        let tape = Tape::new();
        let anomaly = tape.detect_anomaly(limit);
        let x = tape.var(Tensor::from_vec([2, 3], vec![0.0, 1.0, -2.0, 4.0, 9.0, 1e4]));
        make(&x).sum().backward();
        anomaly.found()
    };
    let finding = |id, name, input, count, place: [usize; 2], number: f64| {
        let shape = Shape::from([2, 3]);
        Some(Finding { id, name, input, shape, count, place: place.to_vec(), number })
    };
    assert_eq!(found(|x| x * x, f64::MAX), None);
    assert_eq!(found(|x| x.exp() + 1.0, f64::MAX), finding(1, "exp", None, 1, [1, 2], f64::INFINITY));
    assert_eq!(found(|x| x * x, 80.0), finding(0, "var", None, 1, [1, 2], 1e4));
    // NaN is not equal to itself.
    let nan = found(|x| x.sqrt(), f64::MAX).unwrap();
    assert_eq!((nan.name, nan.input, nan.count, &*nan.place), ("sqrt", None, 1, &[0, 2][..]));
    assert!(nan.number.is_nan());
    // The value is 0, its slope is not finite.
    let of_zero = found(|x| (x * 0.0).sqrt(), f64::MAX).unwrap();
    assert_eq!((of_zero.name, of_zero.input, of_zero.count), ("sqrt", Some(0), 6));
}

/// The graph of a gradient with its values, line by line; a variable's gradient is the sum of its uses.
#[test]
fn a_drawing_has_values_and_the_gradients_of_the_last_walk() {
    let tape = Tape::<f64>::new();
    let drawing = tape.draw();
    let x = tape.var(Tensor::from_vec([2], vec![0.5, -2000.0]));
    let loss = (&x * &x + 1.0).sum();
    let lines = |drawing: &str| drawing.lines().skip(2).map(str::trim).map(String::from).collect::<Vec<_>>();
    let before = lines(&drawing.to_string());
    assert!(before.iter().all(|line| !line.contains("gradient")), "{before:?}");
    loss.grad_values(&[&x]);
    loss.backward();
    let blue = ", style=filled, fillcolor=\"#d6e6f5\"";
    assert_eq!(
        lines(&drawing.to_string()),
        [
            &format!(r#"0 [label="0: var\n(2)\nvalue 0.5, -2000\ngradient 1, -4000"{blue}]"#),
            r#"1 [label="1: mul\n(2)\nvalue 0.25, 4.000e6\ngradient 1, 1"]"#,
            "0 -> 1",
            "0 -> 1",
            r#"2 [label="2: affine\n(2)\nvalue 1.25, 4.000e6\ngradient 1, 1"]"#,
            "1 -> 2",
            r#"3 [label="3: sum\n()\nvalue 4.000e6\ngradient 1"]"#,
            "2 -> 3",
            "}",
        ]
    );
}
