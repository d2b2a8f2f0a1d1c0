use super::*;

fn written(series: &[Series]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("losses.png");
    let curves = Curves { title: "Losses, σ(W̄)", x_label: "updates", y_label: "loss", series };
    write_curves(&path, &curves).unwrap();
    std::fs::read(path).unwrap()
}

fn ramp(n: usize) -> Vec<(f64, f64)> {
    (0..n).map(|i| (i as f64, (i as f64 / 100.0).sin() / (1.0 + i as f64))).collect()
}

#[test]
fn a_picture_has_the_promised_size() {
    let bytes = written(&[Series { name: "D", points: &ramp(300) }]);
    let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    assert_eq!(decoder.read_info().unwrap().info().size(), (1080, 640));
}

#[test]
fn odd_series_are_drawn() {
    let nan: Vec<_> = (0..1000).map(|i| (i as f64, if i % 2 == 0 { f64::NAN } else { 1.0 })).collect();
    let huge: Vec<_> = (0..1000).map(|i| (i as f64 * 1e90, if i % 2 == 0 { 1e100 } else { -1e100 })).collect();
    let close: Vec<_> = (0..10).map(|i| (1e15, 1e15 + f64::from(i))).collect();
    let long_name = "long ".repeat(100);
    written(&[]);
    for points in [&[][..], &[(f64::NAN, f64::INFINITY)], &[(3.0, 0.5)], &ramp(2), &nan, &huge, &close] {
        written(&[Series { name: "", points }]);
        written(&[Series { name: &long_name, points }; 40]);
    }
}

#[test]
fn a_hundred_thousand_points_are_drawn_in_time() {
    let points = ramp(100_000);
    let start = std::time::Instant::now();
    written(&[Series { name: "D", points: &points }]);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_failed_write_names_the_path() {
    let curves = Curves { title: "", x_label: "", y_label: "", series: &[] };
    let message = format!("{:#}", write_curves(Path::new("/no/such/dir/losses.png"), &curves).unwrap_err());
    assert!(message.starts_with("/no/such/dir/losses.png: cannot write"), "{message}");
}

#[test]
fn numbers_are_written_as_short_as_the_axis_allows() {
    let write = |range: Range<f64>, number| NumberFormat::of(&range).write(number);
    assert_eq!(write(0.0..100_000.0, 20_000.0), "20k");
    assert_eq!(write(0.0..12_000.0, 2_000.0), "2k");
    assert_eq!(write(0.0..12_000.0, 0.0), "0");
    assert_eq!(write(0.0..500.0, 100.0), "100");
    assert_eq!(write(-0.5..1.5, -1e-17), "0");
    assert_eq!(write(0.0..0.02, 0.015), "0.015");
    assert_eq!(write(0.0..2e-5, 1.5e-5), "1.5e-5");
    assert_eq!(write(-1e-5..2e-5, -1e-21), "0");
    assert_eq!(write(0.0..4e7, 1e7), "10M");
}
