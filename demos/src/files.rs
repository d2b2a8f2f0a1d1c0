//! Files that are read within bounds, shown in messages within bounds, written whole, and held by one program at a
//! time.

use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Opens a file for reading.
///
/// # Errors
/// The system refuses; or this is not a file: to read a pipe or a device could last for ever. The caller names the
/// path.
pub fn open(path: &Path) -> std::io::Result<File> {
    let is_file = fs::metadata(path)?.is_file();
    if is_file { File::open(path) } else { Err(std::io::Error::other("this is not a file")) }
}

/// Reads a file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// Names the path: it cannot be [`open`]ed or read, or is larger.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let cannot = || format!("{}: cannot read", path.display());
    let file = match open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.with_context(cannot)?,
    };
    let found = file.metadata().with_context(cannot)?.len();
    ensure!(found <= most, "{}: found {found} bytes; expected at most {most}", path.display());
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).with_context(cannot)?; // it may grow while it is read
    Ok(Some(bytes))
}

/// [`read`] of a file that is text; `None` if there is none.
///
/// # Errors
/// As [`read`], and if it is no UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<Option<String>> {
    let Some(bytes) = read(path, most)? else { return Ok(None) };
    let text = String::from_utf8(bytes).ok();
    Ok(Some(text.with_context(|| format!("{}: damaged: found bytes that are no UTF-8", path.display()))?))
}

/// The most characters of a piece of a file that a message repeats.
const MOST_SHOWN: usize = 80;

/// The most characters in a line of a message.
const LONGEST_LINE: usize = 2000;

/// A piece of a file in a message: quoted, not all of a long one, and nothing that a terminal would obey.
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(MOST_SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

/// A name from outside, such as that of a file, as a part of one line: with escapes for the characters that a terminal
/// would obey, which are control characters and those that turn the direction of writing. All else stays as it is.
pub fn escaped(name: impl Display) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut line = String::new();
    for c in name.to_string().chars() {
        if obeyed(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// A path as a word for the shell, in a command that is printed for people to repeat.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Only NUL cannot be quoted, and no path has one.
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), String::from)
}

/// A whole message for people, who may have met a file that was made to harm them: each line [`escaped`], and cut where
/// it is far too long to be read.
pub fn printable(message: impl Display) -> String {
    let line = |line: &str| {
        let cut: String = line.chars().take(LONGEST_LINE).collect();
        escaped(&cut) + if cut.len() < line.len() { "…" } else { "" }
    };
    message.to_string().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A value from text in TOML.
///
/// # Errors
/// The number of the line, what is wrong with it, and the line.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let number = before.matches('\n').count();
        let line = text.lines().nth(number).unwrap_or_default();
        anyhow!("TOML parse error at line {}: found {}: {}", number + 1, shown(line), with_hint(error.message()))
    })
}

/// What serde says of an unknown field; that of one whose name has - for _, as flags have, says the right name only.
fn with_hint(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    match unknown.map(|(name, known)| (name, name.replace('-', "_"), known)) {
        Some((name, right, known)) if name != right && known.contains(&format!("`{right}`")) => {
            format!("unknown field `{name}`; expected `{right}`")
        }
        _ => message.to_string(),
    }
}

/// The CRC-32 (of ISO-HDLC, as in PNG and gzip) of these parts, one after the other.
pub fn crc32_number(parts: &[&[u8]]) -> u32 {
    static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// [`crc32_number`] in hexadecimal digits.
pub fn crc32(parts: &[&[u8]]) -> String {
    format!("{:08x}", crc32_number(parts))
}

/// A value as JSON from which the same value can be read. Where a number is not finite, JSON has nothing but `null`,
/// which is no number, or is read as the absence of one.
///
/// # Errors
/// Something else is read, or nothing.
pub fn to_json<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write this as JSON")?;
    let same = serde_json::from_str::<T>(&text).is_ok_and(|read| read == *value);
    ensure!(same, "cannot write this as JSON: a number is not finite");
    Ok(text)
}

/// Makes a new directory: `out` if given, else the first free one of `runs/NAME`, `runs/NAME-2`, ….
///
/// # Errors
/// `out` exists and is not an empty directory, or a directory cannot be made.
pub fn new_directory(out: Option<&Path>, name: &str) -> Result<PathBuf> {
    let Some(out) = out else { return first_free(name) };
    empty_directory("--out", out)?;
    Ok(out.to_path_buf())
}

/// Makes the directory that `flag` names, unless it is there and empty.
///
/// # Errors
/// It exists and is not an empty directory, or cannot be made.
pub fn empty_directory(flag: &str, path: &Path) -> Result<()> {
    let in_use = path.exists() && fs::read_dir(path).map_or(true, |mut entries| entries.next().is_some());
    ensure!(!in_use, "{flag} {}: this exists already; expected a new or an empty directory", path.display());
    fs::create_dir_all(path).with_context(|| format!("{flag} {}: cannot make the directory", path.display()))
}

fn first_free(name: &str) -> Result<PathBuf> {
    fs::create_dir_all("runs").context("runs: cannot make the directory")?;
    for number in 1.. {
        let path = Path::new("runs").join(if number == 1 { name.to_string() } else { format!("{name}-{number}") });
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("{}: cannot make the directory", path.display())),
        }
    }
    unreachable!("the numbers never end")
}

/// Writes a file as a whole: whoever looks at `path`, at any moment, finds the old file or the new one.
///
/// # Errors
/// Names the path: it cannot be written, or names no file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |file| Ok(file.write_all(bytes)?))
}

/// [`write_whole`] of what `content` writes.
///
/// # Errors
/// As `write_whole`, and those of `content`.
pub fn write_whole_by(path: &Path, content: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let fill = |temporary: &Path| -> Result<()> {
        let mut file = File::create(temporary)?;
        // Tells `sweep` that somebody writes it. A file system without locks has only leftovers to lose.
        let _ = file.try_lock();
        content(&mut file)?;
        file.sync_all()?;
        Ok(fs::rename(temporary, path)?)
    };
    let write = || -> Result<()> {
        let temporary = temporary(path)?;
        fill(&temporary).inspect_err(|_| {
            // The first error is the one to report; a left-over file is only untidy.
            let _ = fs::remove_file(&temporary);
        })?;
        synchronise(path).context("cannot synchronise its directory with the disk")
    };
    write().with_context(|| format!("{}: cannot write", path.display()))
}

/// Where a file is written until it is whole: in the same directory, since a rename does not cross file systems.
fn temporary(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().context("the path names no file")?;
    Ok(path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id())))
}

/// Brings the names in the directory of this file to the disk. Only Unix lets a directory be opened for that.
fn synchronise(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Gives a file a second name, in the place of what has that name. Nobody ever finds neither of the two.
///
/// # Errors
/// Names the path: the file cannot be linked, nor copied where the file system knows no links.
pub fn keep_as(path: &Path, kept: &Path) -> Result<()> {
    let link = || -> Result<()> {
        let temporary = temporary(kept)?;
        let _ = fs::remove_file(&temporary); // of a program of the same number that was killed
        fs::hard_link(path, &temporary).or_else(|_| fs::copy(path, &temporary).map(drop))?;
        fs::rename(&temporary, kept)?;
        // Where both were names of one file already, renaming does nothing, and leaves this one.
        let _ = fs::remove_file(&temporary);
        Ok(())
    };
    link().with_context(|| format!("{}: cannot keep {}", kept.display(), path.display()))
}

/// Removes what programs that were killed have left of [`write_whole`] in a directory.
///
/// # Errors
/// The directory cannot be read. A file that cannot be removed stays.
pub fn sweep(directory: &Path) -> Result<()> {
    let entries = fs::read_dir(directory).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    for entry in entries.with_context(|| format!("{}: cannot read the directory", directory.display()))? {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_temporary(&entry.file_name().to_string_lossy()) {
            // Whoever still writes it holds its lock.
            if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

/// Whether this is a name that [`temporary`] gives: `.NAME.NUMBER.tmp`.
fn is_temporary(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let number = inner.and_then(|inner| inner.rsplit_once('.')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A lock that one program holds at a time, until it ends or drops this; see [`File::lock`].
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock of this file, which is made if need be, or says who cannot have it.
    ///
    /// # Errors
    /// Another program holds it: then the message is `held`. Or the file cannot be made.
    pub fn take(path: &Path, held: &str) -> Result<Lock> {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => bail!("{held}"),
            Err(TryLockError::Error(error)) => without_locks(path, error),
        }
    }

    /// Waits for the lock of this file.
    ///
    /// # Errors
    /// The file cannot be made, or not be locked.
    pub fn wait(path: &Path) -> Result<Lock> {
        let file = open_lock(path)?;
        match file.lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(error) => without_locks(path, error),
        }
    }
}

/// Whether a program holds the lock of this file.
pub fn is_locked(path: &Path) -> bool {
    // Shared, so that two that ask do not see each other.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn open_lock(path: &Path) -> Result<File> {
    // To open a pipe could last for ever.
    let other = fs::metadata(path).is_ok_and(|found| !found.is_file());
    ensure!(!other, "{}: this is not a file; expected the file of a lock, or none", path.display());
    // Not truncated: another program may hold it.
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.with_context(|| format!("{}: cannot write", path.display()))
}

/// Some network file systems know no locks: better unlocked there than not at all.
fn without_locks(path: &Path, error: std::io::Error) -> Result<Lock> {
    match error.kind() {
        ErrorKind::Unsupported => Ok(Lock { _file: None }),
        _ => Err(error).with_context(|| format!("{}: cannot lock", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T>) -> String {
        format!("{:#}", result.err().expect("an error"))
    }

    #[test]
    fn what_is_read_is_a_file_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(read(&path, 9).unwrap().is_none());
        fs::write(&path, "five!").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), b"five!");
        assert!(message(read(&path, 4)).contains("found 5 bytes; expected at most 4"));
        assert!(message(read(dir.path(), 4)).contains("this is not a file"));
        fs::write(&path, [0xff]).unwrap();
        assert!(message(read_text(&path, 4)).contains("no UTF-8"));
    }

    #[test]
    fn what_comes_from_files_is_shown_escaped_and_cut() {
        assert_eq!(shown("a\x1b[2J"), "\"a\\u{1b}[2J\"");
        assert_eq!(shown(&"é".repeat(81)), format!("\"{}\"…", "é".repeat(80)));
        // Neither quotes nor letters of any writing are touched.
        assert_eq!(escaped("it's \"né\"\\ ß漢"), "it's \"né\"\\ ß漢");
        assert_eq!(escaped("a\n\x1b[31m\u{202e}gpj.\u{9b}"), "a\\n\\u{1b}[31m\\u{202e}gpj.\\u{9b}");
        let long = format!("error: \x07\n{}", "x".repeat(300_000));
        let message = printable(&long);
        assert_eq!(message, format!("error: \\u{{7}}\n{}…", "x".repeat(LONGEST_LINE)));
    }

    #[test]
    fn paths_are_words_for_the_shell() {
        let quoted = ["runs/a-1", "my runs/a", "it's", "$HOME;rm *", "é"].map(|path| quoted(Path::new(path)));
        for (path, word) in ["runs/a-1", "my runs/a", "it's", "$HOME;rm *", "é"].iter().zip(&quoted) {
            let echo = std::process::Command::new("sh").args(["-c", &format!("printf %s {word}")]).output();
            assert_eq!(String::from_utf8(echo.unwrap().stdout).unwrap(), *path, "{word}");
        }
        assert_eq!(quoted[0], "runs/a-1");
    }

    #[test]
    fn what_is_wrong_with_toml_is_said_briefly() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct One {
            #[allow(dead_code, reason = "read, and never looked at")]
            width: f64,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "read, and never looked at")]
        struct Two {
            n_dis: f64,
            width: f64,
        }
        let fault = |text: &str| printable(message(from_toml::<One>(text)));
        assert!(from_toml::<One>("width = 1.5").is_ok());
        let unknown = fault("\nwidth = 1\ncolour = 2\n");
        assert!(unknown.contains("line 3: found \"colour = 2\": unknown field `colour`"), "{unknown}");
        let dashed = message(from_toml::<Two>("n-dis = 1"));
        assert!(dashed.ends_with("unknown field `n-dis`; expected `n_dis`"), "{dashed}");
        assert!(message(from_toml::<Two>("n-x = 1")).contains("unknown field `n-x`, expected"), "no such hint");
        assert!(fault("width = \"wide\"").contains("line 1: found \"width = \\\"wide\\\"\": invalid type"));
        for name in ["x".repeat(300_000), "\"\\u001b[2J\"".into()] {
            let unknown = fault(&format!("{name} = 1"));
            assert!(
                unknown.len() < 3000 && unknown.contains("unknown field") && !unknown.contains('\x1b'),
                "{unknown}"
            );
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_catalogue() {
        assert_eq!(crc32(&[b"1234", b"56789"]), "cbf43926"); // "check" of CRC-32/ISO-HDLC
    }

    #[test]
    fn json_that_could_not_be_read_again_is_not_written() {
        assert_eq!(to_json(&vec![1.5]).unwrap(), "[\n  1.5\n]");
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(message(to_json(&vec![bad])).contains("a number is not finite"));
            assert!(message(to_json(&Some(bad))).contains("a number is not finite"), "null would be none");
        }
        assert_eq!(to_json(&None::<f64>).unwrap(), "null");
        // Numbers that serde_json reads wrong in their last bit, unless it is told to take its time.
        for number in [51.248_178_375_505_404, 31.245_270_191_439_438, 121.487_919_511_619_45] {
            assert_eq!(to_json(&number).unwrap().parse(), Ok(number));
        }
    }

    #[test]
    fn leftovers_are_swept_and_files_in_use_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [".a.png.123.tmp", ".b.77.tmp", ".a.png.tmp", "c.1.tmp", ".lock"] {
            fs::write(path(name), "").unwrap();
        }
        let writing = File::create(path(".b.77.tmp")).unwrap();
        writing.lock().unwrap();
        sweep(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".a.png.tmp", ".b.77.tmp", ".lock", "c.1.tmp"]);
        drop(writing);
        sweep(dir.path()).unwrap();
        assert!(!path(".b.77.tmp").exists());
    }

    #[test]
    fn a_lock_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let lock = Lock::take(&path, "somebody has it").unwrap();
        assert_eq!(message(Lock::take(&path, "somebody has it")), "somebody has it");
        assert!(is_locked(&path) && !is_locked(&dir.path().join("none")));
        drop(lock);
        assert!(!is_locked(&path));
        Lock::take(&path, "").unwrap();
        Lock::wait(&path).unwrap();
    }

    #[test]
    fn a_second_name_takes_the_place_of_what_had_it() {
        let dir = tempfile::tempdir().unwrap();
        let [path, kept] = ["a", "b"].map(|name| dir.path().join(name));
        fs::write(&path, "new").unwrap();
        fs::write(&kept, "old").unwrap();
        keep_as(&path, &kept).unwrap();
        write_whole(&path, b"newer").unwrap();
        assert_eq!([&path, &kept].map(|path| fs::read_to_string(path).unwrap()), ["newer", "new"]);
        assert!(message(keep_as(&dir.path().join("none"), &kept)).contains("cannot keep"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }
}
