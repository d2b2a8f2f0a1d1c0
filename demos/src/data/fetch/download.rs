//! One file, from a URL to its final name.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use md5::{Digest, Md5};

use super::{Remote, part_of};
use crate::data::files::{open_file, progress_bar};

/// How often a transfer that was cut off is taken up again before the person has to.
const TRIES: usize = 10;

/// Downloads a file into `dir` unless it is there; whether it had to be.
///
/// # Errors
/// As [`fetch`](super::fetch) does.
pub(super) fn download(curl: &dyn Fn() -> Command, url: &str, remote: &Remote, dir: &Path) -> Result<bool> {
    let path = dir.join(remote.name);
    if path.exists() {
        check(&path, remote).context("this is there already; to download it again, move it away")?;
        return Ok(false);
    }
    let part = part_of(&path);
    transfer_all(curl, url, remote, &part)?;
    if let Err(error) = check(&part, remote) {
        // Going on from it would lead here again.
        fs::remove_file(&part).with_context(|| format!("{}: cannot remove it", part.display()))?;
        return Err(error.context(format!("{url}: this is not the file that is expected")));
    }
    let finish = || -> Result<()> {
        File::open(&part)?.sync_all()?;
        Ok(fs::rename(&part, &path)?)
    };
    finish().with_context(|| format!("{}: cannot give the file its name", path.display()))?;
    Ok(true)
}

/// An error unless size and checksum of a file are right.
fn check(path: &Path, remote: &Remote) -> Result<()> {
    let mut file = open_file(path)?;
    let length = file.metadata()?.len();
    ensure!(length == remote.size, "{}: found {length} bytes, expected {}", path.display(), remote.size);
    let bar = progress_bar(length, "bytes", format!("checking {}", path.display()));
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).with_context(|| format!("{}: cannot read it", path.display()))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bar.inc(n as u64);
    }
    let md5: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(md5 == remote.md5, "{}: found the MD5 {md5}, expected {}", path.display(), remote.md5);
    Ok(())
}

/// Transfers until the partial file has its full length, from where it ends.
fn transfer_all(curl: &dyn Fn() -> Command, url: &str, remote: &Remote, part: &Path) -> Result<()> {
    let bar = progress_bar(remote.size, "bytes", remote.name.to_string());
    let mut reason = String::new();
    for _ in 0..TRIES {
        let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
        if have == remote.size {
            return Ok(());
        }
        // What is too long is not a beginning of the file.
        let have = if have < remote.size { have } else { 0 };
        bar.set_position(have);
        match transfer(curl, url, have, remote.size, part, |n| bar.inc(n))? {
            Outcome::Complete => return Ok(()),
            Outcome::NoRanges => {
                fs::remove_file(part).with_context(|| format!("{}: cannot remove it", part.display()))?
            }
            Outcome::CutOff(message) => reason = message,
        }
        // A host that sends nothing at all may need a moment.
        if fs::metadata(part).map_or(0, |metadata| metadata.len()) == have {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
    bail!(
        "{url}: cut off after {have} of {} bytes, {TRIES} times in all ({reason}); the same command goes on from there",
        remote.size
    )
}

enum Outcome {
    Complete,
    /// The host cannot send the rest of a file, only the whole.
    NoRanges,
    /// With what curl says of it.
    CutOff(String),
}

/// One run of curl, which appends to the partial file what follows its first `have` bytes.
fn transfer(
    curl: &dyn Fn() -> Command,
    url: &str,
    have: u64,
    size: u64,
    part: &Path,
    progress: impl Fn(u64),
) -> Result<Outcome> {
    let cannot_write = || format!("{}: cannot write", part.display());
    let mut options = OpenOptions::new();
    options.create(true);
    if have > 0 {
        options.append(true)
    } else {
        options.write(true).truncate(true)
    };
    let mut file = options.open(part).with_context(cannot_write)?;
    let mut child = start(curl, url, have)?;
    let mut body = child.stdout.take().context("curl has no output")?;
    let mut buffer = vec![0; 1 << 16];
    let mut length = have;
    let outcome = loop {
        match body.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(n) => {
                length += n as u64;
                if length > size {
                    break Err(anyhow::anyhow!("{url}: found more than the {size} bytes expected"));
                }
                if let Err(error) = file.write_all(&buffer[..n]) {
                    break Err(error).with_context(cannot_write);
                }
                progress(n as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(error).context("cannot read what curl sends"),
        }
    };
    if outcome.is_err() {
        // It is of no use any more, and may have ended already.
        let _ = child.kill();
    }
    let (code, message) = end(child)?;
    if length > size {
        fs::remove_file(part).with_context(|| format!("{}: cannot remove it", part.display()))?;
    }
    outcome?;
    match code {
        Some(0) if length == size => Ok(Outcome::Complete),
        Some(0) => {
            fs::remove_file(part).with_context(|| format!("{}: cannot remove it", part.display()))?;
            bail!("{url}: found {length} bytes, expected {size}")
        }
        // The exit codes of curl(1): 33, no ranges; 18, a part only; 28, too slow; 52, 55, 56 and 92, a broken
        // connection.
        Some(33) => Ok(Outcome::NoRanges),
        Some(18 | 28 | 52 | 55 | 56 | 92) => Ok(Outcome::CutOff(message)),
        _ => {
            // A file of nothing is no beginning.
            if length == 0 {
                let _ = fs::remove_file(part);
            }
            bail!("{url}: {message}")
        }
    }
}

fn start(curl: &dyn Fn() -> Command, url: &str, have: u64) -> Result<Child> {
    let mut command = curl();
    // First of all: no options from a file in the home directory.
    command.arg("--disable").args("--silent --show-error --fail --globoff".split(' '));
    // A mirror may be without https; what begins with it stays with it.
    let redirects = if url.starts_with("https:") { "=https" } else { "=http,https" };
    command.args("--location --max-redirs 5 --proto =http,https --proto-redir".split(' ')).arg(redirects);
    // A connection over which less than 1 KB/s comes for a minute is broken.
    command.args("--connect-timeout 30 --speed-limit 1000 --speed-time 60".split(' '));
    if have > 0 {
        command.args(["--continue-at", &have.to_string()]);
    }
    command.args(["--", url]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("cannot find the program curl, which fetches files; please install it"),
        _ => anyhow::Error::from(error).context("cannot start curl"),
    })
}

/// Waits for curl: its exit code, and what it said.
fn end(mut child: Child) -> Result<(Option<i32>, String)> {
    let mut message = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.take(4096).read_to_end(&mut message).context("cannot read what curl says")?;
    }
    let status = child.wait().context("cannot wait for curl")?;
    let message = String::from_utf8_lossy(&message);
    let message = message.trim().lines().last().unwrap_or("curl gave no reason").to_string();
    Ok((status.code(), message))
}
