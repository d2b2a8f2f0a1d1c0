//! The page about a run: one HTML file that needs nothing else, with pictures and style inside.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::columns::Columns;
use crate::config::Config;
use crate::files::{self, from_toml, write_whole_by};
use crate::inspect::{Inspection, NetFigures};
use crate::metrics::{Evaluation, History};
use crate::pictures::{png_size, read_png, write_animation};
use crate::run_dir::RunDir;
use crate::usage::{count, human_seconds};

mod comparison;
mod html;

pub use comparison::compare;
use html::{escape, figure, number, section};

/// The most frames of an animation.
const FRAMES: usize = 40;
/// The most pixels of all its frames, for the size of the page.
const FRAME_PIXELS: usize = 1 << 25;
/// How long a frame is shown, in milliseconds.
const FRAME_MS: u16 = 150;
/// Small pictures of samples on the way.
const THUMBNAILS: usize = 8;
/// The most bytes of a file that the page tells of.
const MOST_BYTES: u64 = 1 << 27;

/// Makes the animation of the samples, of at most forty of them, evenly chosen, the last among them. Those of another
/// size, which an earlier version of the program drew, are left out.
///
/// # Errors
/// A picture of samples cannot be read, or the animation cannot be written.
pub fn animate(dir: &RunDir) -> Result<()> {
    let samples = dir.samples()?;
    let Some((_, last)) = samples.last() else { return Ok(()) };
    let [width, height] = png_size(last)?;
    let frames = (FRAME_PIXELS / (width * height)).clamp(2, FRAMES);
    let sizes = evenly(&samples, frames).map(|sample| Ok((sample, png_size(&sample.1)?)));
    let sizes: Vec<_> = sizes.collect::<Result<_>>()?;
    let frames: Vec<_> = sizes.iter().filter(|(_, size)| *size == [width, height]).map(|(sample, _)| sample).collect();
    write_animation(&dir.animation(), frames.iter().map(|(_, path)| read_png(path)), FRAME_MS)
}

/// At most `n`, at least two, of the entries, the first and the last among them.
fn evenly<T>(entries: &[T], n: usize) -> impl Iterator<Item = &T> {
    let n = n.min(entries.len());
    (0..n).map(move |i| &entries[i * (entries.len() - 1) / (n - 1).max(1)])
}

/// Writes the page from the files in the directory of a run; those that are not there are left out.
///
/// # Errors
/// A file is damaged or too large, or the page cannot be written.
pub fn write(dir: &RunDir) -> Result<()> {
    let config = configuration(dir)?;
    let losses = LastLosses::of(&Columns::read(&dir.losses()[0])?.unwrap_or_default());
    let known = serde_json::from_value::<Config>(Value::Object(config.clone()));
    let title = known.map_or("a run".into(), |known| {
        let recipe = if known.is_paper() { " by the paper's recipe" } else { "" };
        format!("{} on {}{recipe}", known.method.flag(), known.data_title())
    });
    let wanted = config.get("steps").and_then(Value::as_u64).unwrap_or(0);
    let time = dir.read_time().unwrap_or_default();
    let body = [
        header(&title, losses.step, wanted, time.seconds),
        tiles(&losses, time.step, time.seconds),
        samples(dir)?,
        section("Losses", &plot(dir.path(), "losses.png", "The losses over the generator's updates")),
        section("Gains of self-attention", &plot(dir.path(), "gammas.png", "The gains γ over the generator's updates")),
        section("Evaluation", &evaluation(dir.path())?),
        section("Inside the nets", &inspection(dir.path())?),
        section("Configuration", &settings(&config)),
    ];
    let page = page(&title, &body.concat());
    write_whole_by(&dir.report(), |file| html::write(&page, dir.path(), file))
}

/// The settings of a run, also those that this version of the program does not know.
fn configuration(dir: &RunDir) -> Result<Map<String, Value>> {
    let path = dir.path().join("config.toml");
    let config = read(&path)?.unwrap_or_default();
    // Not a table of the TOML crate, whose numbers end at 2⁶³: a seed may be larger.
    from_toml(&String::from_utf8_lossy(&config)).with_context(|| format!("{}: damaged", path.display()))
}

/// A file of the run; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    files::read(path, MOST_BYTES)
}

fn page(title: &str, body: &str) -> String {
    let (title, style) = (escape(title), include_str!("report/style.css"));
    // The policy holds the page to what it says: a browser fetches nothing and runs nothing.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\
         <footer>gan {}, on the autodiff engine wengert</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn header(title: &str, step: u64, wanted: u64, seconds: f64) -> String {
    let time = if seconds > 0.0 { format!(", in {}", human_seconds(seconds)) } else { String::new() };
    let wanted = count(wanted, "step", "steps");
    format!("<header><h1>{}</h1><p>{step} of {wanted}{time}</p></header>\n", escape(title))
}

/// The figures at a glance.
fn tiles(losses: &LastLosses, timed_steps: u64, seconds: f64) -> String {
    let mut tiles = vec![(losses.step.to_string(), "generator updates".to_string())];
    if timed_steps > 0 {
        tiles.push((human_seconds(seconds), "training time".into()));
        tiles.push((format!("{} ms", number(seconds / timed_steps as f64 * 1e3)), "a step".into()));
    }
    for (name, mean) in &losses.means {
        let what = in_words(name);
        let steps = count(losses.rows as u64, "step", "steps");
        tiles.push((number(*mean), format!("{what}, mean of the last {steps}")));
    }
    let tile =
        |(value, name): &(String, String)| format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    format!("<section class=\"tiles\">{}</section>\n", tiles.iter().map(tile).collect::<String>())
}

fn samples(dir: &RunDir) -> Result<String> {
    let samples = dir.samples()?;
    let pixels = |path: &Path, caption: &str| {
        let name = path.strip_prefix(dir.path()).unwrap_or(path);
        figure(&name.to_string_lossy(), "pixels", caption)
    };
    let Some((step, last)) = samples.last() else { return Ok(String::new()) };
    let mut pair = pixels(last, &format!("Samples after {}", count(*step, "step", "steps")));
    if dir.animation().exists() {
        pair += &pixels(&dir.animation(), "The same noise as training goes");
    }
    let strip: String =
        evenly(&samples, THUMBNAILS).map(|(step, path)| pixels(path, &format!("Step {step}"))).collect();
    Ok(section("Samples", &format!("<div class=\"pair\">{pair}</div><div class=\"strip\">{strip}</div>")))
}

/// A plot in the directory of a run; nothing if it is not there.
fn plot(dir: &Path, name: &str, alt: &str) -> String {
    let there = dir.join(name).exists();
    if there { format!("<div class=\"scroll\">{}</div>", html::image(name, "plot", alt)) } else { String::new() }
}

/// The figures of the last evaluation and of the best, beside those of real images, and how the distance went.
fn evaluation(dir: &Path) -> Result<String> {
    let Some(found) = History::read(dir)? else { return Ok(String::new()) };
    let Evaluation { step, n, seed, classifier, classifier_accuracy, generated, real } = &found.last;
    let mut columns = vec![(format!("step {step}"), generated.named())];
    if found.best.step != *step {
        columns.push((format!("the best, step {}", found.best.step), found.best.generated.named()));
    }
    columns.push(("real images".into(), real.named()));
    let head: Vec<&str> = [""].into_iter().chain(columns.iter().map(|(name, _)| name.as_str())).collect();
    let row = |i: usize| {
        let cells = columns.iter().map(|(_, rows)| rows.get(i).map_or("", |(_, value)| value));
        [columns[0].1[i].0.as_str()].into_iter().chain(cells).map(escape).collect()
    };
    let rows: Vec<Vec<String>> = (0..columns[0].1.len()).map(row).collect();
    Ok(format!(
        "{}{}<p class=\"note\">{n} images of each kind, seed {seed}, against as many reference images, by the features \
         of {}, which finds the class of {:.1} % of the images that it has not learnt.</p>",
        plot(dir, "distances.png", "The Fréchet distance over the generator's updates"),
        html::table(&head, 1, &rows),
        escape(classifier),
        100.0 * classifier_accuracy
    ))
}

/// What `gan inspect` has found, if it has been asked.
fn read_inspection(dir: &Path) -> Result<Option<Inspection>> {
    let path = dir.join("inspect/inspect.json");
    let Some(bytes) = read(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).with_context(|| format!("{}: damaged", path.display()))
}

fn inspection(dir: &Path) -> Result<String> {
    let Some(found) = read_inspection(dir)? else { return Ok(String::new()) };
    let mut content = plot(dir, "inspect/singular-values.png", "The squared singular values of every layer");
    content += &format!(
        "<p class=\"note\">Squared singular values of every layer, the largest scaled to 1, after {}. σ is the \
         largest singular value of the weight as a matrix, of W/σ where the layer uses that. The norm of a convolution \
         is larger; it was measured by power iteration on the convolution itself, and is below the bound.</p>",
        count(found.step, "step", "steps")
    );
    let rows = [net_rows("Discriminator", &found.discriminator), net_rows("Generator", &found.generator)].concat();
    content += &html::table(&["", "", "weight", "σ", "bound of the map", "norm of the map"], 3, &rows);
    content += &format!(
        "<p class=\"note\">The discriminator's gradient has a norm of at most {} on {}, and {} on as many \
         generated ones: lower bounds of its Lipschitz constant.</p>",
        number(found.steepest.real),
        count(found.images as u64, "real image", "real images"),
        number(found.steepest.generated)
    );
    for (name, value) in &found.gammas {
        content += &format!("<p class=\"note\">{} = {}</p>", escape(name), number(*value));
    }
    if dir.join("inspect/attention.png").exists() {
        content += &figure("inspect/attention.png", "pixels", "Where the marked points look");
    }
    Ok(content)
}

/// A row for every layer of a net, below one with its name.
fn net_rows(title: &str, net: &NetFigures) -> Vec<Vec<String>> {
    let row = |words: [&str; 3], numbers: [String; 3]| -> Vec<String> {
        words.iter().map(|word| escape(word)).chain(numbers).collect()
    };
    let mut rows = vec![row([title, "", ""], Default::default())];
    for layer in &net.layers {
        let shape = layer.weight.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        let kind = if layer.spectral_norm { format!("{}, W/σ", layer.kind) } else { layer.kind.clone() };
        rows.push(row([&layer.name, &kind, &shape], [layer.sigma, layer.bound, layer.norm].map(number)));
    }
    if let Some(product) = &net.product {
        rows.push(row(["product", "", ""], [product.sigma, product.bound, product.norm].map(number)));
    }
    rows
}

fn settings(config: &Map<String, Value>) -> String {
    let row = |(key, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), String::from);
        format!("<div><span>{}</span><span>{}</span></div>", escape(key), escape(&value))
    };
    format!("<div class=\"settings\">{}</div>", config.iter().map(row).collect::<String>())
}

/// What a column of `losses.csv` holds.
fn in_words(column: &str) -> &str {
    match column {
        "discriminator" => "discriminator's loss",
        "generator" => "generator's loss",
        "estimate" => "critic's estimate",
        "output_real" => "discriminator on real images",
        "output_generated" => "discriminator on generated images",
        other => other,
    }
}

/// What `losses.csv` says of the end of training.
struct LastLosses {
    step: u64,
    /// How many steps the means are of: up to a hundred.
    rows: usize,
    /// The mean of each column but the first, which is the step.
    means: Vec<(String, f64)>,
}

impl LastLosses {
    fn of(Columns { names, rows }: &Columns) -> LastLosses {
        let step = rows.last().map_or(0, |(step, _)| *step);
        let last = &rows[rows.len().saturating_sub(100)..];
        let mean = |i: usize| last.iter().map(|(_, numbers)| numbers[i]).sum::<f64>() / last.len() as f64;
        let means = names.iter().enumerate().map(|(i, name)| (name.clone(), mean(i)));
        LastLosses { step, rows: last.len(), means: if last.is_empty() { Vec::new() } else { means.collect() } }
    }
}
