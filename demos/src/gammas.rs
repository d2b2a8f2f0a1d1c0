//! The gains γ of self-attention as training goes: `gammas.csv` and `gammas.png` in the directory of a run whose nets have
//! any. Each begins at 0, where attention is the identity (Zhang et al. 2019, arXiv:1805.08318), so that its curve says
//! when, and how much, a net has come to use it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use wengert::nn::Params;
use wengert::{Element, Tensor};

use crate::pictures::{Curves, Series, write_curves};
use crate::run_dir::write_whole;

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
pub struct GammaHistory {
    names: Vec<String>,
    /// The step, and a number for each name.
    rows: Vec<(u64, Vec<f64>)>,
}

impl GammaHistory {
    /// Adds the gains after a step; nets without any leave the history empty.
    pub fn record(&mut self, step: u64, gains: &BTreeMap<String, f64>) {
        if self.rows.is_empty() {
            self.names = gains.keys().cloned().collect();
        }
        if !self.names.is_empty() {
            self.rows.push((step, gains.values().copied().collect()));
        }
    }

    /// Writes all of it as numbers, if there is any.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut text = format!("step,{}\n", self.names.join(","));
        for (step, gains) in &self.rows {
            let gains: Vec<String> = gains.iter().map(f64::to_string).collect();
            text += &format!("{step},{}\n", gains.join(","));
        }
        write_whole(path, text.as_bytes())
    }

    /// Reads what [`write`](GammaHistory::write) wrote, up to the step `last`; nothing if there is no file.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(path: &Path, last: u64) -> Result<GammaHistory> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(GammaHistory::default()),
            read => read.with_context(|| format!("{}: cannot read", path.display()))?,
        };
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let names: Vec<String> = header.split(',').skip(1).map(String::from).collect();
        let good = header.starts_with("step,");
        ensure!(good, "{}, line 1: found {header:?}, expected \"step\" and the names of gains", path.display());
        let parse = |line: &str| -> Option<(u64, Vec<f64>)> {
            let (step, gains) = line.split_once(',')?;
            let gains: Vec<f64> = gains.split(',').map(|gain| gain.parse().ok()).collect::<Option<_>>()?;
            Some((step.parse().ok()?, gains)).filter(|(_, gains)| gains.len() == names.len())
        };
        let mut rows = Vec::new();
        for (line, number) in lines.zip(2..) {
            let count = names.len() + 1;
            rows.push(parse(line).with_context(|| {
                format!("{}, line {number}: found {line:?}, expected {count} numbers: {header}", path.display())
            })?);
        }
        rows.retain(|(step, _)| *step <= last);
        Ok(GammaHistory { names, rows })
    }

    /// Draws all of it, if there is any.
    ///
    /// # Errors
    /// The picture cannot be written.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let points = |i: usize| self.rows.iter().map(|(step, gains)| (*step as f64, gains[i])).collect();
        let points: Vec<Vec<(f64, f64)>> = (0..self.names.len()).map(points).collect();
        let series = self.names.iter().zip(&points).map(|(name, points)| Series { name, points });
        let series: Vec<Series> = series.collect();
        write_curves(path, &Curves { title, x_label: "generator updates", y_label: "γ", series: &series })
    }
}

#[cfg(test)]
mod tests {
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
        let mut resumed = GammaHistory::read(&path, 3).unwrap();
        assert_eq!(resumed.rows.len(), 3);
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
        let mut history = GammaHistory::read(&path, 9).unwrap();
        history.record(1, &BTreeMap::new());
        history.write(&path).unwrap();
        history.draw(&path, "").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gammas.csv");
        for (text, part) in [
            ("", "line 1: found \"\""),
            ("1,2\n", "line 1: found \"1,2\""),
            ("step,a\n1,2\n2,x\n", "line 3: found \"2,x\", expected 2 numbers: step,a"),
            ("step,a\n1,2,3\n", "line 2: found \"1,2,3\""),
            ("step,a\n1\n", "line 2: found \"1\""),
        ] {
            fs::write(&path, text).unwrap();
            let message = format!("{:#}", GammaHistory::read(&path, 9).unwrap_err());
            assert!(message.contains("gammas.csv") && message.contains(part), "{text:?}: {message}");
        }
    }
}
