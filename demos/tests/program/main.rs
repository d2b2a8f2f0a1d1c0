//! The program `gan` as people use it: the real binary, in directories of its own, with nets as small as they get.

mod bad_input;
mod damage;
mod data;
mod device;
mod evaluation;
mod help;
mod info;
mod interruption;
mod live;
mod methods;
mod not_finite;
mod output;
mod pictures;
mod plane;
mod resuming;
mod training;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a finished program leaves: its exit code (none if a signal ended it) and what it wrote.
struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The program, to be run in `dir`.
fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gan"));
    command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
fn output(mut command: Command) -> Output {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("messages are UTF-8");
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program with these arguments, separated by blanks. Whatever they are, it must not panic.
fn gan(dir: &Path, args: &str) -> Output {
    let output = output(command(dir, &args.split_whitespace().collect::<Vec<_>>()));
    assert!(!output.stderr.contains("panicked"), "{args}: {}", output.stderr);
    output
}

/// Runs the program, which must succeed, and gives what it prints.
#[track_caller]
fn succeed(dir: &Path, args: &str) -> String {
    let output = gan(dir, args);
    assert_eq!(output.code, Some(0), "{args}: {}", output.stderr);
    assert_eq!(output.stderr, "", "{args}");
    output.stdout
}

/// The arguments of a tiny run of six steps; flags in `changes`, as `--steps 3`, replace or follow those here.
fn tiny(changes: &str) -> String {
    let usual = "--width 0.03 --batch 4 --z-dim 8 --steps 6 --sample-every 2 --checkpoint-every 2";
    let words: Vec<&str> = usual.split(' ').chain(changes.split_whitespace()).collect();
    let flags: BTreeMap<&str, &str> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let flags: Vec<String> = flags.iter().map(|(flag, value)| format!("{flag} {value}")).collect();
    format!("train sngan {}", flags.join(" "))
}

/// Every file under a directory, by its path from there, with its bytes; directories end in `/` and hold nothing, and
/// neither do pipes, nor files of more than a gigabyte.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![dir.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in next.read_dir().expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            let name = path.strip_prefix(dir).expect("a path below").to_path_buf();
            if path.is_dir() {
                files.insert(name.join(""), Vec::new());
                waiting.push(path);
            } else {
                let is_file =
                    std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() < 1 << 30);
                let bytes = is_file.then(|| std::fs::read(&path).expect("a readable file"));
                files.insert(name, bytes.unwrap_or_default());
            }
        }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (name, bytes) in tree(from) {
        let path = to.join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !from.join(&name).is_dir() {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// Rewrites a text file.
#[track_caller]
fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}: no {from:?}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Width and height of a PNG file all of whose pixels decode.
#[track_caller]
fn png_size(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert!(pixels.iter().any(|&p| p != pixels[0]), "{}: one colour only", path.display());
    reader.info().size()
}

/// Writes a set of grey images of this side, and their labels, as idx files: `count` to learn from, and a third as many
/// in the test half.
fn write_idx(dir: &Path, count: u32, side: u32) {
    std::fs::create_dir_all(dir).unwrap();
    write_idx_half(dir, "train", count, side);
    write_idx_half(dir, "t10k", count / 3, side);
}

fn write_idx_half(dir: &Path, half: &str, count: u32, side: u32) {
    let pixels = (0..count * side * side).map(|i| (i * 37 % 256) as u8);
    let header = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let images: Vec<u8> = header(&[0x803, count, side, side]).into_iter().chain(pixels).collect();
    let labels: Vec<u8> = header(&[0x801, count]).into_iter().chain((0..count).map(|i| (i % 10) as u8)).collect();
    for (what, bytes) in [("images-idx3", images), ("labels-idx1", labels)] {
        let file = std::fs::File::create(dir.join(format!("{half}-{what}-ubyte.gz"))).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, Default::default());
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        file.finish().unwrap();
    }
}
