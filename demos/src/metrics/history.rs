//! The evaluations of a run, and which was the best: `evaluation.json` in its directory.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Evaluation;
use crate::files::{self, Lock, to_json, write_whole};
use crate::pictures::{Chart, Line, write_charts};

/// The most bytes of `evaluation.json`: some tens of thousands of evaluations.
const MOST_BYTES: u64 = 1 << 27;

/// What `evaluation.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The last evaluation.
    pub last: Evaluation,
    /// Among the evaluations that may be compared with the last, the one with the least Fréchet distance.
    pub best: Evaluation,
    /// All of them, in the order in which they were made.
    pub evaluations: Vec<Evaluation>,
}

impl History {
    /// The evaluations of the run in a directory; `None` if there are none yet.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    pub fn read(run: &Path) -> Result<Option<History>> {
        let path = run.join("evaluation.json");
        let Some(bytes) = files::read(&path, MOST_BYTES)? else { return Ok(None) };
        let damaged = || format!("{}: damaged; delete it to start over", path.display());
        serde_json::from_slice(&bytes).map(Some).with_context(damaged)
    }

    /// Whether there is an evaluation after this step of `n` images from the noise of this seed.
    pub fn has(&self, step: u64, n: usize, seed: u64) -> bool {
        self.evaluations.iter().any(|evaluation| (evaluation.step, evaluation.n, evaluation.seed) == (step, n, seed))
    }

    /// Whether none of the evaluations that may be compared with this one, but for those of the same step, has a lower
    /// Fréchet distance, or the same.
    pub fn would_be_best(&self, evaluation: &Evaluation) -> bool {
        let others = self.evaluations.iter().filter(|other| other.step != evaluation.step);
        others
            .filter(|other| other.is_comparable(evaluation))
            .all(|other| other.generated.frechet > evaluation.generated.frechet)
    }

    /// Whether there are evaluations that may be compared with this one, and none of them is better.
    pub fn is_surpassed_by(&self, evaluation: &Evaluation) -> bool {
        self.evaluations.iter().any(|other| other.is_comparable(evaluation)) && self.would_be_best(evaluation)
    }

    /// Adds an evaluation to those in the directory of a run, and writes the file whole. It replaces an earlier one of
    /// the same step that it may be compared with. From the second that may be compared on, draws `distances.png` too:
    /// the Fréchet distance over the generator's updates.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read or written; or a figure is not finite.
    pub fn record(run: &Path, evaluation: Evaluation) -> Result<History> {
        // Another program may evaluate the same run.
        let _lock = Lock::wait(&run.join(".evaluation.lock"))?;
        let mut evaluations = History::read(run)?.map_or(Vec::new(), |history| history.evaluations);
        evaluations.retain(|earlier| earlier.step != evaluation.step || !earlier.is_comparable(&evaluation));
        evaluations.push(evaluation.clone());
        let comparable = evaluations.iter().filter(|earlier| earlier.is_comparable(&evaluation));
        let best = comparable.min_by(|a, b| a.generated.frechet.total_cmp(&b.generated.frechet));
        let best = best.cloned().unwrap_or_else(|| evaluation.clone());
        let history = History { last: evaluation, best, evaluations };
        write_whole(&run.join("evaluation.json"), to_json(&history)?.as_bytes())?;
        history.draw(run)?;
        Ok(history)
    }

    /// This evaluation alone.
    pub fn of(evaluation: Evaluation) -> History {
        History { last: evaluation.clone(), best: evaluation.clone(), evaluations: vec![evaluation] }
    }

    /// Draws `distances.png` in the directory of the run, from the second evaluation on that may be compared.
    ///
    /// # Errors
    /// The picture cannot be written.
    pub fn draw(&self, run: &Path) -> Result<()> {
        let chart = self.chart();
        if chart.lines[0].points.len() > 1 { write_charts(&run.join("distances.png"), &[chart]) } else { Ok(()) }
    }

    /// The Fréchet distance of the evaluations that may be compared with the last, by their steps, beside that of real
    /// images.
    fn chart(&self) -> Chart {
        let comparable = self.evaluations.iter().filter(|evaluation| evaluation.is_comparable(&self.last));
        let mut points: Vec<_> = comparable.map(|e| (e.step as f64, e.generated.frechet)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let real = points.iter().map(|&(step, _)| (step, self.last.real.frechet)).collect::<Vec<_>>();
        Chart {
            title: format!("Fréchet distance, {} images", self.last.n),
            x_label: "generator updates",
            y_label: "Fréchet distance",
            log_y: true,
            lines: vec![Line::measured("generated", points), Line::exact("real against real", real)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Figures, KernelDistance, LevelDistance, Prdc};

    fn evaluation(step: u64, n: usize, frechet: f64) -> Evaluation {
        let figures = Figures {
            frechet,
            kernel: KernelDistance { mean: 0.25, standard_error: None },
            classifier_score: 1.5,
            prdc: Prdc { precision: 0.5, recall: 0.25, density: 1.0, coverage: 0.75 },
            sliced_wasserstein: vec![LevelDistance { side: 32, distance: 0.125 }],
            class_shares: vec![0.5, 0.5],
        };
        let (classifier, real) = ("digits-0.safetensors".into(), figures.clone());
        Evaluation { step, n, seed: 0, classifier, classifier_accuracy: 0.9, generated: figures, real }
    }

    #[test]
    fn the_last_and_the_best_are_kept() {
        let run = tempfile::tempdir().unwrap();
        let record = |step, n, frechet| History::record(run.path(), evaluation(step, n, frechet)).unwrap();
        record(100, 500, 9.0);
        record(200, 500, 4.0);
        let history = record(300, 500, 6.0);
        assert_eq!((history.last.step, history.best.step, history.evaluations.len()), (300, 200, 3));
        // A repeated step replaces the old one; another n is another matter.
        let history = record(200, 500, 7.0);
        assert_eq!((history.last.step, history.best.step, history.evaluations.len()), (200, 300, 3));
        let history = record(200, 1000, 8.0);
        assert_eq!((history.last.n, history.best.n, history.evaluations.len()), (1000, 1000, 4));
        let written: History =
            serde_json::from_slice(&std::fs::read(run.path().join("evaluation.json")).unwrap()).unwrap();
        assert_eq!(written, history);
    }

    #[test]
    fn a_figure_that_is_not_finite_is_not_recorded() {
        let run = tempfile::tempdir().unwrap();
        History::record(run.path(), evaluation(1, 500, 1.0)).unwrap();
        let path = run.path().join("evaluation.json");
        let before = std::fs::read(&path).unwrap();
        for bad in [f64::NAN, f64::INFINITY] {
            let mut in_error = evaluation(2, 500, 1.0);
            in_error.real.kernel.standard_error = Some(bad);
            for evaluation in [evaluation(2, 500, bad), in_error] {
                let error = History::record(run.path(), evaluation).unwrap_err();
                assert!(error.to_string().contains("a number is not finite"), "{error:#}");
                assert_eq!(std::fs::read(&path).unwrap(), before);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_named_and_kept() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("evaluation.json");
        std::fs::write(&path, "{\"last\": 3").unwrap();
        let error = History::record(run.path(), evaluation(1, 500, 1.0)).unwrap_err();
        assert!(format!("{error:#}").contains("evaluation.json: damaged"), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"last\": 3");
    }
}
