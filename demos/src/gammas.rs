//! The gains γ of self-attention as training goes: `gammas.csv` and `gammas.png` in the directory of a run whose nets
//! have any. Each begins at 0, where attention is the identity (Zhang et al. 2019, arXiv:1805.08318), so that its curve
//! says when, and how much, a net has come to use it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use wengert::nn::Params;
use wengert::{Element, Tensor};

use crate::columns::Columns;
use crate::files::shown;
use crate::pictures::{Curves, Series, write_curves};

/// The gains in these nets, by the name of the net and the parameter: every parameter `gamma` of one element.
pub fn gains<T: Element>(nets: &[(&str, &Params<T>)]) -> impl Iterator<Item = (String, Tensor<T>)> {
    let is_gain = |name: &str| name.rsplit('.').next() == Some("gamma");
    nets.iter().flat_map(move |(net, params)| {
        let gains = params.parameters().filter(move |(_, name, value)| is_gain(name) && value.size() == 1);
        gains.map(move |(_, name, value)| (format!("{net}.{name}"), value.clone()))
    })
}

/// The values of the [`gains`].
pub fn gammas<T: Element>(nets: &[(&str, &Params<T>)]) -> BTreeMap<String, f64> {
    gains(nets).map(|(name, value)| (name, value.item().f64())).collect()
}

/// The gains after every step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GammaHistory(Columns);

impl GammaHistory {
    /// Adds the gains after a step; nets without any leave the history empty.
    pub fn record(&mut self, step: u64, gains: &BTreeMap<String, f64>) {
        if self.0.rows.is_empty() {
            self.0.names = gains.keys().cloned().collect();
        }
        if !gains.is_empty() {
            self.0.rows.push((step, gains.values().copied().collect()));
        }
    }

    /// Writes all of it as numbers, if there is any.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if self.0.rows.is_empty() { Ok(()) } else { self.0.write(path) }
    }

    /// Reads what [`write`](GammaHistory::write) wrote, up to the step `last`, of nets that have these `gains`; nothing
    /// of nets that have none, or before the first step.
    ///
    /// # Errors
    /// The file is missing or damaged, ends before `last`, or is about other gains.
    pub fn read(path: &Path, last: u64, gains: &BTreeMap<String, f64>) -> Result<GammaHistory> {
        if gains.is_empty() || last == 0 {
            return Ok(GammaHistory::default());
        }
        let columns = Columns::read(path)?;
        let columns = columns.with_context(|| format!("{}: cannot read: there is no such file", path.display()))?;
        let (found, expected) = (&columns.names, gains.keys().cloned().collect::<Vec<_>>());
        let [names, all] = [found, &expected].map(|names| shown(&names.join(",")));
        ensure!(*found == expected, "{}, line 1: found {names}, expected {all}", path.display());
        Ok(GammaHistory(columns.up_to(last, path)?))
    }

    /// Draws all of it, if there is any.
    ///
    /// # Errors
    /// The picture cannot be written.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        let Columns { names, rows } = &self.0;
        if rows.is_empty() {
            return Ok(());
        }
        let points = |i: usize| rows.iter().map(|(step, gains)| (*step as f64, gains[i])).collect();
        let points: Vec<Vec<(f64, f64)>> = (0..names.len()).map(points).collect();
        let series = names.iter().zip(&points).map(|(name, points)| Series { name, points });
        let series: Vec<Series> = series.collect();
        write_curves(path, &Curves { title, x_label: "generator updates", y_label: "γ", series: &series })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use wengert::Tensor;

    fn gains(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
        values.iter().map(|(name, gain)| (name.to_string(), *gain)).collect()
    }

    #[test]
    fn gains_are_found_by_their_name() {
        let mut params = Params::<f32>::new();
        params.scope("a").parameter("gamma", Tensor::scalar(0.5));
        params.scope("a").parameter("gammas", Tensor::scalar(1.0));
        params.scope("").parameter("gamma", Tensor::full([1], -2.0));
        params.scope("b").parameter("gamma", Tensor::ones([2]));
        assert_eq!(gammas(&[("d", &params)]), gains(&[("d.a.gamma", 0.5), ("d.gamma", -2.0)]));
    }

    #[test]
    fn a_history_comes_back_up_to_a_step_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gammas.csv");
        let step = |history: &mut GammaHistory, step: u64| {
            history.record(step, &gains(&[("d.gamma", step as f64 / 3.0), ("g.gamma", -1e-9)]));
        };
        let mut whole = GammaHistory::default();
        (1..=5).for_each(|n| step(&mut whole, n));
        whole.write(&path).unwrap();
        let now = gains(&[("d.gamma", 0.0), ("g.gamma", 0.0)]);
        let mut resumed = GammaHistory::read(&path, 3, &now).unwrap();
        assert_eq!(resumed.0.rows.len(), 3);
        (4..=5).for_each(|n| step(&mut resumed, n));
        assert_eq!(resumed, whole);
        let picture = dir.path().join("gammas.png");
        whole.draw(&picture, "γ").unwrap();
        assert_eq!(crate::pictures::read_png(&picture).unwrap().width, 1080);
    }

    #[test]
    fn nets_without_attention_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gammas.csv");
        let mut history = GammaHistory::read(&path, 9, &BTreeMap::new()).unwrap();
        history.record(1, &BTreeMap::new());
        history.write(&path).unwrap();
        history.draw(&path, "").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_history_of_other_gains_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gammas.csv");
        let message = |text: &str, names: &[(&str, f64)]| {
            fs::write(&path, text).unwrap();
            format!("{:#}", GammaHistory::read(&path, 1, &gains(names)).unwrap_err())
        };
        assert!(message("step,a\n1,0\n", &[("a", 0.0), ("b", 0.0)]).contains("found \"a\", expected \"a,b\""));
        assert!(message("step,b\n1,0\n", &[("a", 0.0)]).contains("found \"b\", expected \"a\""));
        assert!(message("step,a\n", &[("a", 0.0)]).contains("expected steps 1 to 1"));
    }
}
