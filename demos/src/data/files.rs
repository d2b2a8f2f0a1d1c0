//! What reading any set has in common.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

/// The most bytes of pixels of one set that are kept in memory: 4 GiB.
pub(super) const MAX_BYTES: u64 = 4 << 30;

/// An error unless `dir` is a directory.
pub(super) fn require_directory(dir: &Path) -> Result<()> {
    let metadata =
        std::fs::metadata(dir).with_context(|| format!("{}: cannot open the data directory", dir.display()))?;
    ensure!(metadata.is_dir(), "{}: found a file, expected a directory of data files", dir.display());
    Ok(())
}

/// The last component of a directory's path, or "data" if it has none (as "." has).
pub(super) fn directory_name(dir: &Path) -> String {
    dir.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// Opens a file for reading; the error names it.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let open = || -> Result<File> {
        // Reading from a pipe or a device could last for ever.
        ensure!(std::fs::metadata(path)?.is_file(), "found something that is not a file");
        Ok(File::open(path)?)
    };
    open().with_context(|| format!("{}: cannot read it", path.display()))
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
