//! Runs beside each other: curves over each other, samples side by side, tables of figures and of settings that differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::html::{self, escape, figure, number, section};
use super::{LastLosses, configuration, in_words, page, plot, read_inspection};
use crate::columns::Columns;
use crate::files::write_whole_by;
use crate::inspect::Inspection;
use crate::metrics::History;
use crate::pictures::{Chart, Curves, Line, Panel, Series, write_charts, write_curves, write_spectra};
use crate::run_dir::RunDir;
use crate::usage::{count, human_seconds};

/// What is known of one of the runs.
struct Compared {
    /// The path that was given.
    name: String,
    dir: RunDir,
    config: Map<String, Value>,
    losses: Columns,
    evaluations: Option<History>,
    inspection: Option<Inspection>,
}

impl Compared {
    fn read(path: &Path) -> Result<Compared> {
        let (dir, _) = RunDir::open(path)?;
        let name = path.display().to_string();
        let losses = Columns::read(&dir.losses()[0])?.unwrap_or_default();
        let (evaluations, inspection) = (History::read(path)?, read_inspection(path)?);
        Ok(Compared { name, config: configuration(&dir)?, losses, evaluations, inspection, dir })
    }

    /// A column of the losses over the updates.
    fn column(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(i) = self.losses.names.iter().position(|known| known == name) else { return Vec::new() };
        self.losses.rows.iter().map(|(step, numbers)| (*step as f64, numbers[i])).collect()
    }
}

/// Compares runs, and writes a page with its pictures into the directory `out`. Returns the path of the page.
///
/// # Errors
/// A run cannot be read, or a file not be written.
pub fn compare(runs: &[PathBuf], out: &Path) -> Result<PathBuf> {
    let runs: Vec<Compared> = runs.iter().map(|path| Compared::read(path)).collect::<Result<_>>()?;
    let body = [
        "<header><h1>Runs compared</h1></header>\n".to_string(),
        section("Samples", &samples(&runs, out)?),
        section("Figures", &(figures(&runs) + &comparability(&runs))),
        section("Fréchet distance", &distances(&runs, out)?),
        section("Curves", &losses(&runs, out)?),
        section("Spectra", &spectra(&runs, out)?),
        section("Settings that differ", &settings(&runs)),
    ];
    let path = out.join("compare.html");
    let page = page("Runs compared", &body.concat());
    write_whole_by(&path, |file| html::write(&page, out, file))?;
    Ok(path)
}

/// The last pictures, copied to where the page is.
fn samples(runs: &[Compared], out: &Path) -> Result<String> {
    let mut grid = String::new();
    for (i, run) in runs.iter().enumerate() {
        let Some((step, picture)) = run.dir.samples()?.pop() else { continue };
        let name = format!("samples-{}.png", i + 1);
        let copied = std::fs::copy(&picture, out.join(&name));
        copied.with_context(|| format!("{}: cannot copy to {}", picture.display(), out.display()))?;
        grid += &figure(&name, "pixels", &format!("{}, {}", run.name, count(step, "step", "steps")));
    }
    Ok(if grid.is_empty() { grid } else { format!("<div class=\"pair\">{grid}</div>") })
}

/// A row for each figure that one of the runs has, in the order in which they are met.
fn figures(runs: &[Compared]) -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut put = |run: usize, name: String, value: String| {
        let row = rows.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            rows.push((name, vec!["–".to_string(); runs.len()]));
            rows.len() - 1
        });
        rows[row].1[run] = value;
    };
    for (i, run) in runs.iter().enumerate() {
        let losses = LastLosses::of(&run.losses);
        put(i, "generator updates".into(), losses.step.to_string());
        let time = run.dir.read_time().unwrap_or_default();
        if time.step > 0 {
            put(i, "training time".into(), human_seconds(time.seconds));
            put(i, "a step".into(), format!("{} ms", number(time.seconds / time.step as f64 * 1e3)));
        }
        let steps = count(losses.rows as u64, "step", "steps");
        for (name, mean) in &losses.means {
            put(i, format!("{}, mean of the last {steps}", in_words(name)), number(*mean));
        }
    }
    for (i, run) in runs.iter().enumerate() {
        let Some(History { last, best, .. }) = &run.evaluations else { continue };
        put(i, "evaluated after step".into(), last.step.to_string());
        last.generated.named().into_iter().for_each(|(name, value)| put(i, name, value));
        put(i, "least Fréchet distance".into(), format!("{:.3}, step {}", best.generated.frechet, best.step));
        put(i, "Fréchet distance, real against real".into(), format!("{:.3}", last.real.frechet));
    }
    let names = runs.iter().map(|run| escape(&run.name)).collect::<Vec<_>>();
    let head: Vec<&str> = [""].into_iter().chain(names.iter().map(String::as_str)).collect();
    let cells = |(name, values): (String, Vec<String>)| [name].into_iter().chain(values).map(|cell| escape(&cell));
    html::table(&head, 1, &rows.into_iter().map(|row| cells(row).collect()).collect::<Vec<_>>())
}

/// A note where figures of evaluations say nothing about which run is better.
fn comparability(runs: &[Compared]) -> String {
    let last: Vec<_> = runs.iter().filter_map(|run| run.evaluations.as_ref().map(|found| &found.last)).collect();
    if last.windows(2).all(|two| two[0].is_comparable(two[1])) {
        return String::new();
    }
    "<p class=\"note\">The runs were evaluated by other classifiers, on another number of images or from another seed: \
     their figures cannot be compared.</p>"
        .into()
}

fn distances(runs: &[Compared], out: &Path) -> Result<String> {
    let line = |run: &Compared| {
        let found = run.evaluations.as_ref()?;
        let alike = found.evaluations.iter().filter(|evaluation| evaluation.is_comparable(&found.last));
        let mut points: Vec<_> = alike.map(|one| (one.step as f64, one.generated.frechet)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(Line::measured(run.name.clone(), points))
    };
    let mut lines: Vec<Line> = runs.iter().filter_map(line).collect();
    let Some(found) = runs.iter().find_map(|run| run.evaluations.as_ref()) else { return Ok(String::new()) };
    // First, since what is known exactly is grey: then the runs have the colours that they have among the losses.
    let steps = lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    let ends = [f64::INFINITY, f64::NEG_INFINITY];
    let [first, last] = steps.fold(ends, |[first, last], step| [first.min(step), last.max(step)]);
    let real = found.last.real.frechet;
    lines.insert(0, Line::exact("real against real", [(first, real), (last, real)]));
    let title = "Fréchet distance".to_string();
    let chart = Chart { title, x_label: "generator updates", y_label: "Fréchet distance", log_y: true, lines };
    write_charts(&out.join("distances.png"), &[chart])?;
    Ok(plot(out, "distances.png", "The Fréchet distances over the generator's updates"))
}

/// A picture for each column that the files of losses have, with a line for each run that has it.
fn losses(runs: &[Compared], out: &Path) -> Result<String> {
    let mut names: Vec<&String> = Vec::new();
    for name in runs.iter().flat_map(|run| &run.losses.names) {
        // A column of no version of this program has no words, and no name that a file may have.
        if in_words(name) != name.as_str() && !names.contains(&name) {
            names.push(name);
        }
    }
    let mut plots = String::new();
    for name in names {
        let lines: Vec<_> = runs.iter().map(|run| (&run.name, run.column(name))).collect();
        let lines = lines.iter().filter(|(_, points)| !points.is_empty());
        let series: Vec<Series> = lines.map(|(name, points)| Series { name, points }).collect();
        let what = in_words(name);
        let curves = Curves { title: what, x_label: "generator updates", y_label: what, series: &series };
        let file = format!("{name}.png");
        write_curves(&out.join(&file), &curves)?;
        plots += &plot(out, &file, &format!("{what}, over the generator's updates"));
    }
    let note = "<p class=\"note\">Bold lines are means over neighbouring steps, faint ones the steps themselves.</p>";
    Ok(if plots.is_empty() { plots } else { plots + note })
}

/// The spectra of the discriminators, as Fig. 3 of the SNGAN paper has them beside each other, of the runs that
/// `gan inspect` has looked into.
fn spectra(runs: &[Compared], out: &Path) -> Result<String> {
    let mut pictures = String::new();
    for (i, run) in runs.iter().enumerate() {
        let Some(Inspection { discriminator, step, .. }) = &run.inspection else { continue };
        let (file, title) = (format!("spectra-{}.png", i + 1), format!("{}, step {step}", run.name));
        write_spectra(&out.join(&file), &[Panel { title: &title, spectra: &discriminator.spectra() }])?;
        let product = discriminator.product.map(|product| format!("; their product {}", number(product.sigma)));
        let sigmas = discriminator.layers.iter().map(|layer| number(layer.sigma)).collect::<Vec<_>>().join(", ");
        let said = format!("{title}: σ of the layers {sigmas}{}", product.unwrap_or_default());
        pictures += &format!("<div class=\"scroll\">{}</div>", figure(&file, "plot", &said));
    }
    if pictures.is_empty() {
        return Ok(pictures);
    }
    let note = "<p class=\"note\">Squared singular values of each layer of the discriminator, the largest scaled to 1, \
                of W/σ where the layer uses that. Where a line falls at once, the layer looks in few directions \
                only.</p>";
    Ok(format!("<div class=\"plots\">{pictures}</div>{note}"))
}

/// The settings in which the runs are not all alike.
fn settings(runs: &[Compared]) -> String {
    let mut values: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for key in runs.iter().flat_map(|run| run.config.keys()) {
        let value = |run: &Compared| match run.config.get(key) {
            None => "–".to_string(),
            Some(value) => value.as_str().map_or_else(|| value.to_string(), String::from),
        };
        values.insert(key, runs.iter().map(value).collect());
    }
    values.retain(|_, values| values.iter().any(|value| value != &values[0]));
    let names = runs.iter().map(|run| escape(&run.name)).collect::<Vec<_>>();
    let head: Vec<&str> = [""].into_iter().chain(names.iter().map(String::as_str)).collect();
    let cells = |(key, values): (&String, Vec<String>)| [key.clone()].into_iter().chain(values);
    let rows = values.into_iter().map(|row| cells(row).map(|cell| escape(&cell)).collect());
    html::table(&head, 1, &rows.collect::<Vec<_>>())
}
