//! The pages of `--live` in Chromium, as people see them: numbers that change, buttons that work, no complaint on the
//! console, nothing to scroll sideways. Pictures of the pages are left in `target/tmp`.

mod browser;
mod toy;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use browser::Browser;

/// A program that shows a page. It ends with the test, however that does.
struct Program {
    process: Child,
    url: String,
    /// What it prints after the address.
    rest: std::thread::JoinHandle<String>,
}

impl Program {
    /// Starts the program in `dir`, and waits until it says where its page is.
    fn start(dir: &Path, args: &str) -> Program {
        Program::start_with(dir, &args.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    fn start_with(dir: &Path, args: &[String]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gan"));
        command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| line.strip_prefix("watch at ").map(String::from));
        let url = url.unwrap_or_else(|| panic!("gan {args:?}: no line \"watch at …\""));
        let rest = std::thread::spawn(move || lines.fold(String::new(), |text, line| text + &line + "\n"));
        Program { process, url, rest }
    }

    /// Waits for its end: the code, and what it has printed.
    fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "the program does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let code = self.process.wait().unwrap().code();
        (code, std::mem::replace(&mut self.rest, std::thread::spawn(String::new)).join().unwrap())
    }

    #[cfg(unix)]
    fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a picture of a page goes.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{name}.png"))
}

/// Looks at a page wide and narrow, light and dark.
#[track_caller]
fn look(browser: &mut Browser, name: &str) {
    for (width, dark) in [(1280, false), (1280, true), (400, false), (400, true)] {
        browser.set_width(width);
        browser.set_dark(dark);
        std::thread::sleep(Duration::from_millis(300));
        browser.check();
        browser.picture(&picture(&format!("{name}-{width}-{}", if dark { "dark" } else { "light" })));
    }
}

const SMALL: &str = "train sagan --width 0.1 --batch 8 --z-dim 16 --data shapes";

#[test]
#[ignore = "needs Chromium: .ci/run runs it"]
fn a_run_in_training() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &format!("{SMALL} --steps 1000000 --sample-every 10 --out run --live"));
    let mut browser = Browser::start();
    browser.open(&program.url, 1280);
    browser.wait_for("Number(document.getElementById('step').textContent) > 3");
    let (step, loss) = (browser.number("step"), browser.text("d-loss"));
    browser.wait_for(&format!("Number(document.getElementById('step').textContent) > {step}"));
    assert_ne!(browser.text("d-loss"), loss);
    for id in ["speed", "d-real", "d-fake", "g-loss"] {
        assert!(browser.text(id).chars().any(|c| c.is_ascii_digit()), "{id}: {}", browser.text(id));
    }
    // The picture of samples follows, and the slider goes back.
    browser.wait_for("document.getElementById('sample-step').textContent !== 'step 0' && run.samples.length > 2");
    browser.wait_for("document.getElementById('sample').naturalWidth > 100");
    browser.value("(() => { const t = $('time'); t.value = 0; t.dispatchEvent(new Event('input')) })()");
    browser.wait_for("document.getElementById('sample-step').textContent === 'step 0'");
    browser.value("(() => { const t = $('time'); t.value = t.max; t.dispatchEvent(new Event('input')) })()");
    browser.wait_for("run.looks.length > 0 && document.getElementById('attention').naturalWidth > 100");
    look(&mut browser, "run");

    browser.press("pause");
    browser.wait_for("document.getElementById('status').textContent === 'paused'");
    std::thread::sleep(Duration::from_millis(3000)); // the step at hand
    let step = browser.number("step");
    std::thread::sleep(Duration::from_millis(3000));
    assert_eq!(browser.number("step"), step, "it goes on while it is paused");
    browser.press("go-on");
    browser.wait_for(&format!("Number(document.getElementById('step').textContent) > {step}"));
    browser.press("stop");
    browser.wait_for("document.getElementById('status').textContent === 'over'");
    let (code, printed) = program.end();
    assert_eq!(code, Some(130), "as after Ctrl-C: {printed}");
    let stopped = printed.lines().find_map(|line| line.strip_prefix("stopped after step ")).expect("it says so");
    let stopped: f64 = stopped.split(' ').next().unwrap().parse().unwrap();
    assert!(stopped > step && dir.path().join("run/checkpoint.safetensors").is_file());
    // The page keeps what it shows.
    assert_eq!(browser.number("step"), stopped);
    assert!(browser.text("reason").contains("gan resume run"), "{}", browser.text("reason"));
    assert_eq!(browser.value("document.getElementById('sample').naturalWidth > 100"), true);
    browser.check();

    // It opens again, without buttons.
    let program = Program::start(dir.path(), "live run");
    browser.open(&program.url, 1280);
    browser.wait_for(&format!("Number(document.getElementById('step').textContent) === {stopped}"));
    assert_eq!(browser.value("document.getElementById('buttons').hidden"), true);
    assert!(browser.text("only-looks").contains("only looks"), "{}", browser.text("only-looks"));
    browser.wait_for("run.looks.length > 0 && document.getElementById('attention').naturalWidth > 100");
    look(&mut browser, "again");
    program.interrupt();
    assert_eq!(program.end().0, Some(130));
}

/// A paused run is held by nobody's hand: Ctrl-C ends it within a second, with a checkpoint.
#[cfg(unix)]
#[test]
#[ignore = "needs Chromium: .ci/run runs it"]
fn ctrl_c_ends_a_paused_run() {
    let dir = tempfile::tempdir().unwrap();
    let program =
        Program::start(dir.path(), &format!("{SMALL} --steps 1000000 --sample-every 1000000 --out run --live"));
    let mut browser = Browser::start();
    browser.open(&program.url, 400);
    browser.wait_for("Number(document.getElementById('step').textContent) > 0");
    browser.press("pause");
    browser.wait_for("document.getElementById('status').textContent === 'paused'");
    std::thread::sleep(Duration::from_secs(2));
    // Without a page nothing is waited for but the end itself.
    drop(browser);
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    program.interrupt();
    let (code, printed) = program.end();
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert!(code == Some(130) && printed.contains("stopped after step "), "{printed}");
}
