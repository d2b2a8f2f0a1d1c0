//! Which files of a folder are images, and of which class.

use crate::data::files::{directory_name, inventory};
use crate::files::escaped;
use crate::usage::count;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// The most classes, since a label is a byte.
const MAX_CLASSES: usize = 256;
/// The most folders in each other.
const MAX_DEPTH: usize = 64;
/// How the names of images end, in capitals or not.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "jpe", "jfif"];
/// [`ENDINGS`] for messages.
pub(super) const EXPECTED: &str = ".png, .jpg, .jpeg, .jpe or .jfif";

/// What systems and programs leave in folders, besides files whose names begin with a dot. In small letters.
const LEFTOVERS: [&str; 12] = [
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
    "#recycle",
    "@recycle",
    "__pycache__",
];

/// What to make of a folder that is not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderOptions {
    /// Leave corrupt files out, and go on where a class has no image.
    pub skip_corrupt: bool,
    /// Take the images of sub-folders at any depth.
    pub flatten: bool,
}

/// An image file and its class.
pub(super) struct Labelled {
    pub(super) path: PathBuf,
    pub(super) label: u8,
}

/// Which files a folder has.
pub(super) struct Listing {
    /// The names of the classes.
    pub(super) classes: Vec<String>,
    /// The images, at least one, sorted by class and name.
    pub(super) files: Vec<Labelled>,
    /// How many files are no images.
    pub(super) others: usize,
}

/// The images of a folder, as [`read_folder`](super::read_folder) says.
pub(super) fn list(root: &Path, options: FolderOptions) -> Result<Listing> {
    let top = entries(root)?;
    let shown = escaped(root.display());
    let (n, beside) = (top.folders.len(), top.images.len());
    if n == 0 || (options.flatten && beside > 0) {
        let Entries { images, others, .. } = inside(root, options)?;
        ensure!(!images.is_empty(), "{shown}: found no {EXPECTED} file in it, and no sub-folder; {}", inventory(root));
        let files = images.into_iter().map(|path| Labelled { path, label: 0 }).collect();
        return Ok(Listing { classes: vec!["images".into()], files, others });
    }
    ensure!(
        beside == 0,
        "{shown}: found {} beside {}, expected one or the other; with --flatten all are one class",
        count(beside as u64, "image", "images"),
        count(n as u64, "sub-folder", "sub-folders")
    );
    ensure!(n <= MAX_CLASSES, "{shown}: found {n} sub-folders, expected at most {MAX_CLASSES}, one for a class");
    let mut listing = Listing { classes: Vec::new(), files: Vec::new(), others: top.others };
    for (folder, label) in top.folders.iter().zip(0..=u8::MAX) {
        let Entries { folders, images, others } = inside(folder, options)?;
        if let Some(deeper) = folders.first() {
            let deeper = escaped(deeper.display());
            bail!("{deeper}: found a folder in that of a class, expected only images there, or --flatten");
        }
        ensure!(
            options.skip_corrupt || !images.is_empty(),
            "{}: found no {EXPECTED} file in it; {}; --skip-corrupt goes on without",
            escaped(folder.display()),
            inventory(folder)
        );
        listing.classes.push(directory_name(folder));
        listing.files.extend(images.into_iter().map(|path| Labelled { path, label }));
        listing.others += others;
    }
    ensure!(!listing.files.is_empty(), "{shown}: found no {EXPECTED} file in any of its sub-folders");
    Ok(listing)
}

/// What lies in a folder, sorted by name, less what is hidden or left over.
#[derive(Default)]
struct Entries {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
    others: usize,
}

/// What lies directly in it, or with --flatten the files at any depth.
fn inside(folder: &Path, options: FolderOptions) -> Result<Entries> {
    if !options.flatten {
        return entries(folder);
    }
    let mut all = Entries::default();
    walk(folder, &mut Vec::new(), &mut all)?;
    all.images.sort();
    Ok(all)
}

/// Adds the files of a folder, and of those in it. The folders around it, by the paths that no link is in, are
/// `around`.
fn walk(folder: &Path, around: &mut Vec<PathBuf>, all: &mut Entries) -> Result<()> {
    let shown = || escaped(folder.display());
    let real = folder.canonicalize().with_context(|| format!("{}: cannot read the folder", shown()))?;
    ensure!(!around.contains(&real), "{}: this link leads back to a folder that it is in", shown());
    ensure!(around.len() < MAX_DEPTH, "{}: found more than {MAX_DEPTH} folders in each other", shown());
    around.push(real);
    let Entries { folders, images, others } = entries(folder)?;
    all.images.extend(images);
    all.others += others;
    folders.iter().try_for_each(|deeper| walk(deeper, around, all))?;
    around.pop();
    Ok(())
}

/// What lies directly in it.
fn entries(folder: &Path) -> Result<Entries> {
    let cannot = || format!("{}: cannot read the folder", escaped(folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        paths.push(entry.with_context(cannot)?.path());
    }
    paths.retain(|path| !is_leftover(path));
    paths.sort();
    let mut found = Entries::default();
    for path in paths {
        let image = path.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending)));
        if path.is_dir() {
            found.folders.push(path);
        } else if image {
            found.images.push(path);
        } else {
            found.others += 1;
        }
    }
    Ok(found)
}

/// Whether nobody put it there to be read.
fn is_leftover(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return true };
    name.as_encoded_bytes().starts_with(b".") || LEFTOVERS.iter().any(|leftover| name.eq_ignore_ascii_case(leftover))
}
