//! Takes the files of a set out of a `.tar.gz` archive.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use indicatif::ProgressBar;

use super::{Archive, part_of};
use crate::data::files::{open_file, progress_bar};

/// Whether all files of the archive are in `dir`, with the right lengths.
pub(super) fn is_unpacked(archive: &Archive, dir: &Path) -> bool {
    let right =
        |&(name, size): &(&str, u64)| fs::metadata(dir.join(name)).is_ok_and(|m| m.is_file() && m.len() == size);
    archive.members.iter().all(right)
}

/// Unpacks the files that `archive` lists, and nothing else, into `dir`; a file gets its name when it is whole. Names
/// come from the list, never from the archive, so no path can lead elsewhere.
///
/// # Errors
/// Names the archive: it is damaged, lacks a file, has one of another length or kind, or unpacks to far more than its
/// files; or a file exists with another length, or cannot be written.
pub(super) fn unpack(path: &Path, archive: &Archive, dir: &Path) -> Result<()> {
    let total: u64 = archive.members.iter().map(|(_, size)| size).sum();
    let bar = progress_bar(total, "bytes", format!("unpacking {}", path.display()));
    let file = BufReader::new(open_file(path)?);
    // Headers, and small files that are not listed, take a little more than the files.
    let content = GzDecoder::new(file).take(total + (16 << 20));
    extract(content, archive, dir, &bar).with_context(|| format!("{}: cannot unpack it", path.display()))
}

fn extract(content: impl Read, archive: &Archive, dir: &Path, bar: &ProgressBar) -> Result<()> {
    let mut missing: Vec<&(&str, u64)> = archive.members.iter().collect();
    for entry in tar::Archive::new(content).entries()? {
        let mut entry = entry?;
        let name = inside(&entry.path()?, archive.folder);
        let Some(at) = missing.iter().position(|(member, _)| name.as_deref() == Some(Path::new(member))) else {
            continue;
        };
        let &(member, size) = missing.swap_remove(at);
        let kind = entry.header().entry_type();
        ensure!(kind.is_file(), "{member} is of the kind {kind:?}, expected a file");
        ensure!(entry.size() == size, "{member} has {} bytes, expected {size}", entry.size());
        write(&mut entry, &dir.join(member), size, bar)?;
        if missing.is_empty() {
            return Ok(());
        }
    }
    let names: Vec<&str> = missing.iter().map(|(member, _)| *member).collect();
    bail!("it ends without {}/{}", archive.folder, names.join(", "))
}

/// The path below `folder`, if it is exactly there: one plain component.
fn inside(path: &Path, folder: &str) -> Option<PathBuf> {
    let components: Vec<Component> = path.components().filter(|c| *c != Component::CurDir).collect();
    match components[..] {
        [Component::Normal(parent), Component::Normal(name)] if parent == folder => Some(name.into()),
        _ => None,
    }
}

fn write(source: &mut impl Read, path: &Path, size: u64, bar: &ProgressBar) -> Result<()> {
    if let Ok(found) = fs::metadata(path) {
        let right = found.is_file() && found.len() == size;
        ensure!(right, "{}: this is there already, but is no file of {size} bytes; move it away", path.display());
        bar.inc(size);
        return Ok(());
    }
    let part = part_of(path);
    let write = || -> Result<()> {
        let mut file = File::create(&part)?;
        let copied = std::io::copy(&mut bar.wrap_read(source), &mut file)?;
        ensure!(copied == size, "the archive ends after {copied} of {size} bytes");
        file.sync_all()?;
        Ok(fs::rename(&part, path)?)
    };
    write().map_err(|error| {
        // The first error is the one to report; a left-over file is only untidy.
        let _ = fs::remove_file(&part);
        error.context(format!("{}: cannot write", path.display()))
    })
}
