//! NumPy and SciPy as a witness: `tests/fixtures/make_metrics.py` computes the metrics from their definitions.

use serde::Deserialize;
use wengert::Tensor;

use super::*;
use crate::data::ImageShape;

#[derive(Deserialize)]
struct Fixture {
    sets: Vec<Sets>,
    score: Score,
    sliced: Sliced,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Sets {
    x: Array,
    y: Array,
    frechet: f64,
    kernel: f64,
    prdc: Prdc,
}

#[derive(Deserialize)]
struct Score {
    probabilities: Array,
    score: f64,
    shares: Vec<f64>,
}

#[derive(Deserialize)]
struct Sliced {
    a: Array,
    b: Array,
    places: Vec<Vec<[usize; 2]>>,
    directions: Array,
    distances: Vec<f64>,
}

impl Array {
    fn tensor(&self) -> Tensor<f64> {
        Tensor::from_slice(self.shape.as_slice(), &self.values)
    }

    fn f32s(&self) -> Vec<f32> {
        self.values.iter().map(|&x| x as f32).collect()
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../tests/fixtures/metrics.json")).expect("a good fixture")
}

#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "found {found}, expected {expected}");
}

#[test]
fn distances_of_features() {
    for set in fixture().sets {
        let (x, y) = (set.x.tensor(), set.y.tensor());
        // eigvals of a product without symmetry has fewer right digits where it is singular.
        let tolerance = if set.x.shape[0] > set.x.shape[1] { 1e-12 } else { 1e-6 };
        let gaussian = |x: &Tensor<f64>| Gaussian::of(x).unwrap();
        assert_close(frechet_distance(&gaussian(&x), &gaussian(&y)), set.frechet, tolerance);
        assert_close(kernel_distance(&x, &y).unwrap().mean, set.kernel, 1e-12);
        let found = prdc(&Manifold::of(&x).unwrap(), &Manifold::of(&y).unwrap());
        assert_close(found.precision, set.prdc.precision, 1e-15);
        assert_close(found.recall, set.prdc.recall, 1e-15);
        assert_close(found.density, set.prdc.density, 1e-15);
        assert_close(found.coverage, set.prdc.coverage, 1e-15);
    }
}

#[test]
fn score_and_shares() {
    let score = fixture().score;
    let probabilities = score.probabilities.tensor();
    assert_close(classifier_score(&probabilities).unwrap(), score.score, 1e-13);
    assert_eq!(class_shares(&probabilities).unwrap(), score.shares);
}

#[test]
fn sliced_wasserstein_distance() {
    let Sliced { a, b, places, directions, distances } = fixture().sliced;
    let shape = ImageShape { height: a.shape[0], width: a.shape[1], channels: a.shape[2] };
    for (level, (places, expected)) in places.iter().zip(&distances).enumerate() {
        let points = |image: &Array| {
            let patches = sliced::normalised(sliced::patches(&image.f32s(), shape, level, places), shape.channels);
            Tensor::from_vec([places.len(), directions.shape[1]], patches)
        };
        let found = sliced::distance(&points(&a), &points(&b), &directions.tensor().cast());
        assert_close(found, *expected, 1e-6);
    }
    assert_eq!(distances.len(), 2);
}
