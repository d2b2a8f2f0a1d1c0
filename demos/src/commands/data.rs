//! `gan data`: fetches sets, and shows what they hold.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::say;
use crate::data::fetch::{Fetched, fetch, source};
use crate::data::{DataName, Dataset, FolderOptions, Opened, Order, Split, open};
use crate::files::quoted;
use crate::pictures::{Grid, Sheet};
use crate::usage::count;

/// What to do with a set.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Download a set from its official host, check and unpack it; an interrupted download continues where it stopped
    Fetch(Fetch),
    /// Draw a sheet of a set: a row of images for each class, in the order of the labels
    Show(Show),
}

/// What to download, and where to.
#[derive(Debug, Args)]
pub struct Fetch {
    /// The set
    #[arg(value_parser = fetchable())]
    name: DataName,
    /// The directory for its files [default: data/NAME; both parts of STL-10: data/stl-10]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Download from this URL, in front of the files' names, instead of the official host's
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// Takes the names of sets that can be fetched; it suggests no other.
fn fetchable() -> impl TypedValueParser<Value = DataName> {
    let sets = DataName::value_variants().iter().filter(|name| name.default_dir().is_some());
    let names = PossibleValuesParser::new(sets.filter_map(ValueEnum::to_possible_value));
    names.map(|name| DataName::from_str(&name, false).expect("one of the names"))
}

/// What to draw, and where to.
#[derive(Debug, Args)]
pub struct Show {
    /// The set
    name: DataName,
    /// The directory of its files [default: data/NAME, where gan data fetch NAME puts them]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which half of it
    #[arg(long, value_enum, default_value_t = Split::Train)]
    split: Split,
    /// Height and width of the images [default: 32, or 48 for STL-10]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Skip files that cannot be decoded, and classes that have none other (folder)
    #[arg(long)]
    skip_corrupt: bool,
    /// Take images at any depth: all that lie below a class's folder are of that class; if images lie beside the
    /// classes' folders, all are of one class (folder)
    #[arg(long)]
    flatten: bool,
    /// Images of each class
    #[arg(long, default_value_t = 12)]
    n: usize,
    /// Determines which images, and those of a set that is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The picture to write [default: NAME.png]
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
}

impl Data {
    /// Does what the command line says.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Data::Fetch(command) => command.run(),
            Data::Show(command) => command.run(),
        }
    }
}

impl Fetch {
    fn run(self) -> Result<()> {
        let name = self.name.flag();
        let from_and_to = source(self.name).zip(self.name.default_dir());
        let (source, default) = from_and_to.with_context(|| format!("{name} has no official place"))?;
        if let Some(url) = &self.mirror {
            let web = url.starts_with("http://") || url.starts_with("https://");
            ensure!(web, "--mirror is {url}; expected a URL that begins with http:// or https://");
        }
        // What the commands below must say.
        let dir_flag = self.data_dir.as_deref().map_or(String::new(), |dir| format!(" --data-dir {}", quoted(dir)));
        let dir = self.data_dir.unwrap_or(default);
        let shown = dir.display();
        match fetch(source, &dir, self.mirror.as_deref())? {
            Fetched::New => say(format_args!("{shown}: downloaded and verified")),
            Fetched::Present => say(format_args!("{shown}: all files are there already")),
        }
        if let (Some(_), [archive]) = (&source.archive, source.files) {
            let archive = dir.join(archive.name);
            if archive.exists() {
                say(format_args!("the archive is not needed any more: {}", archive.display()));
            }
        }
        say(format_args!("to see it   gan data show {name}{dir_flag}"));
        say(format_args!("to learn it gan train sngan --data {name}{dir_flag}"));
        Ok(())
    }
}

/// The most classes in a sheet.
const MOST_ROWS: usize = 32;

/// The most images among which those of a sheet are sought, in case a class is rare.
const MOST_LOOKS: u64 = 200_000;

impl Show {
    fn run(self) -> Result<()> {
        ensure!((1..=100).contains(&self.n), "--n is {}; expected 1 to 100", self.n);
        let out = self.out.unwrap_or_else(|| format!("{}.png", self.name.flag()).into());
        let is_png = out.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        ensure!(is_png, "--out is {}; expected the name of a file that ends in .png", out.display());
        let dir = self.data_dir.as_deref();
        let folder = FolderOptions { skip_corrupt: self.skip_corrupt, flatten: self.flatten };
        let Opened { set, notes } = open(self.name, dir, self.size, folder, self.seed, self.split)?;
        notes.iter().for_each(say);
        let size = set.size().map_or_else(|| "unlimited".into(), |n| count(n, "image", "images"));
        let classes = count(set.classes() as u64, "class", "classes");
        say(format_args!("{}: {size}, {}, {classes}", set.name(), set.shape()));
        let (sheet, counts) = sheet(&*set, self.n, self.seed).with_context(|| format!("--n {}", self.n))?;
        let names: Vec<String> = (0..counts.len() as u8).map(|label| set.class_name(label)).collect();
        for (label, (name, count)) in names.iter().zip(&counts).enumerate() {
            let few =
                if *count < self.n { format!(": {count} found, the rest of the row is grey") } else { String::new() };
            say(format_args!("row {:2}  label {label:2}  {name}{few}", label + 1));
        }
        if set.classes() > counts.len() {
            let more = count((set.classes() - counts.len()) as u64, "more class", "more classes");
            say(format_args!("and {more}, not shown"));
        }
        let title = format!("{}, a row for each of: {}", set.name(), names.join(", "));
        sheet.with_row_names(&names)?.write(&out, &[("Title", &title)])?;
        say(out.display());
        Ok(())
    }
}

/// Up to `n` images of each class, row by row, and how many of each were found. Their places are grey where there are
/// fewer.
///
/// # Errors
/// They are too many for a picture, or for the memory.
fn sheet(set: &dyn Dataset, n: usize, seed: u64) -> Result<(Sheet, Vec<usize>)> {
    let (numel, classes) = (set.shape().numel(), set.classes().min(MOST_ROWS));
    let mut sheet = Sheet::new(set.shape(), Grid { columns: n, scale: 2, gap: 1 }, classes * n)?;
    let mut counts = vec![0; classes];
    let mut order = Order::new(0..set.size().unwrap_or(u64::MAX), seed);
    let (mut image, mut label) = (vec![0.0; numel], [0]);
    for look in 0..set.size().unwrap_or(MOST_LOOKS).min(MOST_LOOKS) {
        if counts.iter().all(|&count| count == n) {
            break;
        }
        set.batch(&order.indices(look, 1), &mut image, &mut label);
        let class = usize::from(label[0]);
        if class < classes && counts[class] < n {
            sheet.draw(class * n + counts[class], &image);
            counts[class] += 1;
        }
    }
    let grey = vec![0.0; numel];
    let missing = counts.iter().enumerate().flat_map(|(class, &count)| class * n + count..(class + 1) * n);
    missing.for_each(|place| sheet.draw(place, &grey));
    Ok((sheet, counts))
}
