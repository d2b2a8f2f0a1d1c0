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
