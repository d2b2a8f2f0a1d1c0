//! What the program prints where there is no terminal: lines for logs, JSON for programs.

use super::{command, succeed, tiny};

#[test]
fn a_log_gets_a_line_with_each_picture() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), &tiny("--out run"));
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("images/s")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, step) in lines.iter().zip(["step 2 of 6  D ", "step 4 of 6  D ", "step 6 of 6  D "]) {
        assert!(line.starts_with(step) && line.contains("  G ") && line.ends_with(" s left"), "{line}");
    }
    assert!(lines[2].ends_with("  0 s left"), "{}", lines[2]);
    assert!(!said.contains(['\r', '\x1b']), "nothing that only a terminal understands");
}

/// What was asked for and could not be told is a failure, with a word where there is still somebody.
#[cfg(target_os = "linux")]
#[test]
fn text_that_cannot_be_written_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for args in [&["--help"][..], &["--version"], &["train", "--help"], &["help", "sample"], &["devices"]] {
        let failed = command(dir.path(), args).stdout(full()).output().unwrap();
        let said = String::from_utf8(failed.stderr).unwrap();
        assert!(
            failed.status.code() == Some(1) && said.contains("cannot write to standard output"),
            "{args:?}: {said}"
        );
    }
    let failed = command(dir.path(), &["sample", "nothing"]).stderr(full()).status().unwrap();
    assert_eq!(failed.code(), Some(1));
}

#[test]
fn nobody_needs_to_read_what_a_run_prints() {
    let dir = tempfile::tempdir().unwrap();
    let args = tiny("--out run");
    let mut child = command(dir.path(), &args.split(' ').collect::<Vec<_>>()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(dir.path().join("run/samples/step-000006.png").is_file());
}

#[test]
fn bench_rounding_tells_fast_from_exact() {
    let dir = tempfile::tempdir().unwrap();
    if wengert::Level::detect() == Ok(wengert::Level::Scalar) {
        return super::bad_input::refuses(dir.path(), "bench rounding", &["WENGERT_CPU is scalar", "exact"]);
    }
    let args = "bench rounding --width 0.25 --batch 2 --steps 2 --states 1 --runs 1 --follow 3";
    let json: serde_json::Value = serde_json::from_str(&succeed(dir.path(), &format!("{args} --json"))).unwrap();
    let names = ["fast", "exact", "reversed"];
    let [fast, exact, reversed] = [0, 1, 2].map(|way| {
        let of = &json["gradients"][way];
        assert_eq!(of["way"], names[way]);
        of["discriminator"]["whole"][0].as_f64().unwrap()
    });
    assert!(0.0 < exact && 0.0 < reversed && exact != reversed, "{json}");
    assert!(exact.max(reversed) < fast && fast < 1e-3, "{json}");
    let spreads = json["spreads"].as_array().unwrap();
    assert_eq!((spreads.len(), &spreads[0]["between"]), (6, &serde_json::json!(["f64", "fast"])));
    assert_eq!(spreads[0]["losses"].as_array().unwrap().len(), 3, "up to the steps {}", json["to_step"]);
    let table = succeed(dir.path(), args);
    assert!(table.contains("fast, exact") && table.contains("generator"), "{table}");
    assert_eq!(super::tree(dir.path()).len(), 0, "bench writes no file");
}

#[test]
fn bench_prints_one_line_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), "bench step --json --width 0.03 --batch 4 --iters 2 --threads 2");
    assert_eq!(said.lines().count(), 1, "{said}");
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    for key in ["iter_ms", "d_ms", "g_ms"] {
        let times: Vec<f64> = serde_json::from_value(json[key].clone()).unwrap();
        let [median, minimum, maximum] = times[..] else { panic!("{key}: {times:?}") };
        assert!(0.0 < minimum && minimum <= median && median <= maximum, "{key}: {times:?}");
    }
    assert!(json["iter_ms"][1].as_f64() >= json["d_ms"][1].as_f64(), "{said}");
    assert_eq!([&json["raw"], &json["rawd"]].map(|raw| raw.as_array().unwrap().len()), [2, 2]);
    assert!(json["minflt_it"].as_f64().unwrap() >= 0.0);
    assert!(!cfg!(target_os = "linux") || (1..2000).contains(&json["rss_mb"].as_u64().unwrap()), "{said}");
    assert_eq!((&json["cfg"]["batch"], &json["cfg"]["threads"]), (&4.into(), &2.into()));
    assert!(succeed(dir.path(), "bench step --width 0.03 --batch 4 --iters 2").contains("G step     median"));
    assert_eq!(super::tree(dir.path()).len(), 0, "bench writes no file");
}
