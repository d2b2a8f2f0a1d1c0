//! `--live` and `gan live`, without a browser: what tests/live looks at with one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;

use wengert_demos::files::Lock;

use super::{command, edit, gan, output, succeed, tiny, tree};

/// Starts the program, and gives it with the port of its page.
fn start(dir: &Path, args: &str) -> (Child, u16) {
    let mut child = command(dir, &args.split_whitespace().collect::<Vec<_>>()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("watch at ")).expect("the address on a line of its own");
    let port = line.strip_prefix("watch at http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
    (child, port.unwrap_or_else(|| panic!("{line}")).parse().unwrap())
}

fn ask(port: u16, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.replace("PORT", &port.to_string()).replace('\n', "\r\n").as_bytes()).unwrap();
    stream
}

/// All that comes back.
fn answer(port: u16, request: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    ask(port, request).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Runs the program to its end, with a page that must hear of these steps.
fn watch(dir: &Path, args: &str, expected: &[u64]) {
    let (child, port) = start(dir, args);
    let events = ask(port, "GET /events HTTP/1.1\nHost: 127.0.0.1:PORT\n\n");
    let mut steps = Vec::new();
    for line in BufReader::new(events).lines().map_while(Result::ok) {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        steps.extend(data["losses"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()));
        if data["status"] == "over" {
            assert_eq!(data["reason"], format!("The run is over: {} steps are made.", expected.len()));
            break;
        }
    }
    assert_eq!(steps, expected);
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
}

/// A page that watches, sees every step, and stays as it is.
#[test]
fn a_watched_run_has_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let first = |out: &str| tiny(&format!("--steps 4 --out {out}")).replace("sngan", "sagan");
    succeed(dir.path(), &first("alone"));
    succeed(dir.path(), "resume alone --steps 6");
    watch(dir.path(), &(first("watched") + " --live"), &[1, 2, 3, 4]);
    // What was before is told as well.
    watch(dir.path(), "resume watched --steps 6 --live", &[1, 2, 3, 4, 5, 6]);
    let [mut alone, mut watched] = ["alone", "watched"].map(|run| tree(&dir.path().join(run)));
    for run in [&mut alone, &mut watched] {
        assert!(run.keys().any(|name| name.ends_with("samples/step-000006.png")));
        // They hold the time.
        for name in ["time.json", "report.html"] {
            run.remove(Path::new(name)).unwrap();
        }
    }
    assert!(alone.keys().eq(watched.keys()));
    let differ: Vec<_> = alone.iter().filter(|(name, bytes)| watched[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

/// What a page is told first.
fn first_event(port: u16) -> serde_json::Value {
    let mut events = BufReader::new(ask(port, "GET /events HTTP/1.1\nHost: 127.0.0.1:PORT\n\n")).lines();
    let data = events.find_map(|line| line.unwrap().strip_prefix("data: ").map(String::from)).unwrap();
    serde_json::from_str(&data).unwrap()
}

/// Whether a program trains it, the page says.
#[test]
fn a_run_that_may_go_on_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    edit(&dir.path().join("run/config.toml"), "steps = 2", "steps = 6");
    let lock = Lock::take(&dir.path().join("run/.lock"), "nobody has it").unwrap();
    let note = || {
        let (mut child, port) = start(dir.path(), "live run");
        let data = first_event(port);
        child.kill().unwrap();
        child.wait().unwrap();
        // As much again as the two steps took, twice.
        assert!(data["pace"][1].as_f64().unwrap() > 0.0, "{}", data["pace"]);
        data["note"].as_str().unwrap().to_string()
    };
    let said = note();
    assert!(said.starts_with("Another program trains this run. Losses come with its checkpoints"), "{said}");
    drop(lock);
    assert_eq!(note(), "No program trains this run, which has made 2 of 6 steps. To go on: gan resume run");
}

#[test]
fn a_run_that_is_over_is_shown_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    let before = tree(dir.path());
    let (mut child, port) = start(dir.path(), "live run");
    let png = answer(port, "GET /samples/2.png HTTP/1.1\nHost: localhost:PORT\n\n");
    assert!(png.ends_with(&before[Path::new("run/samples/step-000002.png")]));
    for path in ["/samples/3.png", "/samples/../config.toml", "/samples/2", "/attention/2.png", "/config.toml"] {
        let text = answer(port, &format!("GET {path} HTTP/1.1\nHost: 127.0.0.1:PORT\n\n"));
        assert!(text.starts_with(b"HTTP/1.1 404 "), "{path}: {}", String::from_utf8_lossy(&text));
    }
    let stop = "POST /do/stop HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Type: application/json\nContent-Length: 2\n\n{}";
    let text = String::from_utf8(answer(port, stop)).unwrap();
    assert!(text.starts_with("HTTP/1.1 409 ") && text.contains("only looks at the run's files"), "{text}");
    let data = first_event(port);
    assert_eq!((data["status"].as_str(), data["samples"].as_array().unwrap().len()), (Some("watching"), 2));
    assert_eq!((&data["losses"][1][0], &data["looks"][0]["step"]), (&2.into(), &2.into()));
    assert_eq!(data["note"], "The run is over: it has made all its steps.");
    assert!(data["pace"][0].as_f64().unwrap() > 0.0 && data["pace"][1] == 0.0, "{}", data["pace"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(before == tree(dir.path()));
}

#[test]
fn a_port_that_is_taken_is_an_error_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let expected = format!("error: port {port} is taken by another program; expected a free one");
    let refused = gan(dir.path(), &format!("{} --live {port}", tiny("--out run")));
    assert!(refused.code == Some(1) && refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert!(tree(dir.path()).is_empty());
    succeed(dir.path(), &tiny("--steps 1 --out run"));
    let refused = output(command(dir.path(), &["live", "run", "--port", &port.to_string()]));
    assert!(refused.code == Some(1) && refused.stderr.starts_with(&expected), "{}", refused.stderr);
    let refused = gan(dir.path(), "train --live sngan");
    assert!(refused.code == Some(2) && refused.stderr.contains("--live"), "{}", refused.stderr);
}

/// One damaged file of a run is told on its page, which shows the rest.
#[test]
fn a_damaged_file_is_told_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--steps 2 --out run"));
    std::fs::write(dir.path().join("run/losses.csv"), "nothing").unwrap();
    let (mut child, port) = start(dir.path(), "live run");
    let mut events = BufReader::new(ask(port, "GET /events HTTP/1.1\nHost: 127.0.0.1:PORT\n\n")).lines();
    let data = events.find_map(|line| line.unwrap().strip_prefix("data: ").map(String::from)).unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert!(data["note"].as_str().unwrap().contains("run/losses.csv, line 1: found \"nothing\""), "{data}");
    assert_eq!(data["samples"].as_array().unwrap().len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_page_plays_needs_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let refused = gan(dir.path(), "toy ring --play 3 --steps 2");
    assert!(refused.code == Some(2) && refused.stderr.contains("--live"), "{}", refused.stderr);
    assert!(tree(dir.path()).is_empty());
}
