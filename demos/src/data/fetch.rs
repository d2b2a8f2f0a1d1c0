//! Downloads sets from their official hosts.
//!
//! The transfer itself is curl's: a TLS stack of our own (ureq with rustls and ring) was measured at 42 s of processor
//! time in a release build, half of what all the rest takes, and everyone who builds would pay it.

mod download;
mod sources;
mod unpack;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

pub use sources::{Archive, Remote, Source, source};

/// What fetching a set did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Files were downloaded or unpacked.
    New,
    /// All were there already, and their checksums, or for unpacked files their sizes, are right.
    Present,
}

/// Brings the files of a set into the directory `dir`, which is made if need be.
///
/// A file is downloaded under its name with `.part` behind it, from where an earlier try was cut off, and gets its name
/// when size and MD5 are right: under the final name there is never half a file. A file that is there already is
/// checked, and never overwritten. `mirror` is a URL to take the place of the official host's, up to the last `/`.
///
/// # Errors
/// Names the file or URL: curl is missing, the host cannot be reached or lacks the file, the transfer was cut off too
/// often, size or checksum are wrong, the directory cannot be written.
pub fn fetch(source: &Source, dir: &Path, mirror: Option<&str>) -> Result<Fetched> {
    fetch_with(&|| Command::new("curl"), source, dir, mirror)
}

/// [`fetch`] by a curl that tests may choose.
fn fetch_with(curl: &dyn Fn() -> Command, source: &Source, dir: &Path, mirror: Option<&str>) -> Result<Fetched> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot make the directory", dir.display()))?;
    if source.archive.as_ref().is_some_and(|archive| unpack::is_unpacked(archive, dir)) {
        return Ok(Fetched::Present);
    }
    let base = mirror.unwrap_or(source.base);
    let mut fetched = Fetched::Present;
    for remote in source.files {
        let url = format!("{}/{}", base.trim_end_matches('/'), remote.name);
        if download::download(curl, &url, remote, dir)? {
            fetched = Fetched::New;
        }
    }
    if let (Some(archive), [file]) = (&source.archive, source.files) {
        unpack::unpack(&dir.join(file.name), archive, dir)?;
        fetched = Fetched::New;
    }
    Ok(fetched)
}

/// The path with `.part` behind it, where a file grows.
fn part_of(path: &Path) -> std::path::PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

#[cfg(test)]
mod tests;
