//! Archives in files: read within bounds, and with a checksum, so that a flipped bit is noticed.

use std::path::Path;

use anyhow::{Result, ensure};
use wengert::Archive;

use crate::files::crc32;
use crate::usage::{available_memory, human_bytes};

/// Reads an archive that fits into the memory that is free.
///
/// # Errors
/// Names the path: it is larger, cannot be read, or is no safetensors file.
pub fn load(path: &Path) -> Result<Archive> {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let most = available_memory().unwrap_or(u64::MAX);
    let (found, free) = (human_bytes(size), human_bytes(most));
    ensure!(size <= most, "{}: found {found}; expected at most {free}, the memory that is free", path.display());
    Ok(Archive::load(path)?)
}

/// Gives an archive a checksum of all that it holds.
pub fn seal(archive: &mut Archive) {
    let checksum = checksum(archive);
    archive.set_text("checksum", checksum);
}

/// Whether every bit is as it was when the archive was [sealed](seal); it is left with an empty checksum.
///
/// # Errors
/// It is not, or there is no checksum.
pub fn open(archive: &mut Archive) -> Result<()> {
    let then = archive.text("checksum").ok().map(String::from);
    ensure!(then == Some(checksum(archive)), "damaged: the checksum is not that of what the file holds");
    Ok(())
}

/// The CRC-32 of an archive as a file with an empty checksum, which it is left with.
fn checksum(archive: &mut Archive) -> String {
    archive.set_text("checksum", "");
    crc32(&[&archive.to_bytes()])
}
