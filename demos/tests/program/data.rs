//! `gan data`, and training on every kind of set that needs no download.

use std::path::Path;

use super::{gan, png_size, succeed, tiny, tree};

/// A batch of CIFAR-10 with ten images of random bytes, one of each class.
fn write_cifar(dir: &Path, name: &str) {
    let byte = |k: usize| (k.wrapping_mul(0x9E37_79B9) >> 16) as u8;
    let records =
        (0..10).flat_map(|label| std::iter::once(label as u8).chain((0..3072).map(move |k| byte(3072 * label + k))));
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(name), records.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn a_sheet_shows_a_row_for_each_class() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(dir.path(), "data show shapes --n 3 --out shapes.png");
    assert_eq!(png_size(&dir.path().join("shapes.png")), (3 * 65 + 1, 8 * 65 + 1));
    assert!(said.contains("8 classes") && said.contains("row  5  label  4  star"), "{said}");
    let again = succeed(dir.path(), "data show shapes --n 3 --out again.png");
    assert_eq!(said.replace("shapes.png", "again.png"), again);
    let files = tree(dir.path());
    assert!(files[Path::new("shapes.png")] == files[Path::new("again.png")]);
    write_cifar(&dir.path().join("set"), "data_batch_2.bin");
    let said = succeed(dir.path(), "data show cifar-10 --data-dir set --n 2 --size 16 --out cifar.png");
    assert!(said.contains("found 1 of the 5 files, 10 images in all"), "{said}");
    assert!(said.contains("label  9  truck: 1 found, the rest of the row is grey"), "{said}");
    assert_eq!(png_size(&dir.path().join("cifar.png")), (2 * 33 + 1, 10 * 33 + 1));
}

#[test]
fn sets_in_colour_train() {
    let dir = tempfile::tempdir().unwrap();
    succeed(dir.path(), &tiny("--data shapes --steps 2 --out shapes"));
    write_cifar(&dir.path().join("set/cifar-10-batches-bin"), "data_batch_1.bin");
    let output = gan(dir.path(), &tiny("--data cifar-10 --data-dir set --steps 2 --out cifar"));
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("found 1 of the 5 files"), "{}", output.stderr);
    succeed(dir.path(), "data show cifar-10 --data-dir set --out set/one.png");
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::copy(dir.path().join("set/one.png"), dir.path().join("folder/one.png")).unwrap();
    succeed(dir.path(), &tiny("--data folder --data-dir folder --steps 2 --out folder-run"));
    for run in ["shapes", "cifar", "folder-run"] {
        assert_eq!(png_size(&dir.path().join(run).join("samples/step-000002.png")), (521, 521));
    }
}
