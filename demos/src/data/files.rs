//! What reading any set has in common.

use std::fs::{File, read_dir};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::files::{escaped, open};

/// The most bytes of pixels of one set that are kept in memory: 4 GiB.
pub(super) const MAX_BYTES: u64 = 4 << 30;

/// The most bytes that a byte of a compressed file is believed to hold.
const MOST_RATIO: u64 = 100;
/// What any compressed file may hold: 64 MiB.
const SMALL: u64 = 64 << 20;

/// An error unless `dir` is a directory.
pub(super) fn require_directory(dir: &Path) -> Result<()> {
    let metadata =
        std::fs::metadata(dir).with_context(|| format!("{}: cannot open the data directory", dir.display()))?;
    ensure!(metadata.is_dir(), "{}: found a file, expected a directory of data files", dir.display());
    Ok(())
}

/// The last component of a directory's path, for people, or "data" if it has none (as "." has).
pub(super) fn directory_name(dir: &Path) -> String {
    dir.file_name().map_or_else(|| "data".into(), |name| escaped(name.display()))
}

/// What is in a directory, for an error: the first few names, and how many more there are.
pub(super) fn inventory(dir: &Path) -> String {
    let entries = read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    let names: Vec<String> = names.iter().map(|name| escaped(name.display())).collect();
    if names.is_empty() { "it is empty".into() } else { format!("it has {}", first_few(&names, 8)) }
}

/// The first `few` names, and how many more there are.
pub(super) fn first_few(names: &[String], few: usize) -> String {
    let shown = names[..names.len().min(few)].join(", ");
    if names.len() > few { format!("{shown} and {} more", names.len() - few) } else { shown }
}

/// An error if a compressed file of this many bytes claims to hold more than such a file ever does.
///
/// Photographs and drawings come to a half, or at the best a thirtieth, of their size; a file that is nothing but a
/// claim of gigabytes, which zlib packs a thousandfold, is seen before there is memory for them.
pub(super) fn check_claim(claimed: u64, length: u64) -> Result<()> {
    let most = SMALL.saturating_add(length.saturating_mul(MOST_RATIO));
    ensure!(
        claimed <= most,
        "the header claims {claimed} bytes, expected at most {most} from a file of {length} bytes"
    );
    Ok(())
}

/// Opens a file for reading; the error names it.
pub(super) fn open_file(path: &Path) -> Result<File> {
    open(path).with_context(|| format!("{}: cannot read it", path.display()))
}

/// A bar for something that takes a while: it shows nothing unless there is a terminal. `unit` counts: "images", or
/// "bytes" for sizes in bytes.
pub(super) fn progress_bar(total: u64, unit: &str, what: String) -> ProgressBar {
    let count = if unit == "bytes" { "{bytes} of {total_bytes}" } else { "{pos} of {len}" };
    let template = format!("{{msg}} {{bar:20}} {count}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a template without mistakes");
    let bar = ProgressBar::new(total).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_short_and_harmless() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inventory(dir.path()), "it is empty");
        let write = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
        ["c", "a", "b"].iter().for_each(|name| write(name));
        assert_eq!(inventory(dir.path()), "it has a, b, c");
        (0..8).for_each(|i| write(&format!("x{i}")));
        assert_eq!(inventory(dir.path()), "it has a, b, c, x0, x1, x2, x3, x4 and 3 more");
        if cfg!(unix) {
            write("\x1b[2J");
            assert!(inventory(dir.path()).starts_with("it has \\u{1b}[2J, a, "));
        }
        assert_eq!(inventory(&dir.path().join("no")), "it is empty");
    }

    #[test]
    fn a_claim_must_be_like_the_file() {
        check_claim(64 << 20, 0).unwrap();
        check_claim((64 << 20) + 100, 1).unwrap();
        let message = check_claim(3_000_000_000, 3_000_000).unwrap_err().to_string();
        assert_eq!(
            message,
            "the header claims 3000000000 bytes, expected at most 367108864 from a file of 3000000 bytes"
        );
        check_claim(u64::MAX, u64::MAX).unwrap();
    }
}
