//! Files of state: round trips to the bit, and what is refused.

#![cfg(feature = "safetensors")]

use std::path::PathBuf;

use proptest::prelude::*;
use wengert::nn::{BatchNorm, Conv2d, Init, Mode, Params, Pass, WeightOptions};
use wengert::ops::Conv2dOptions;
use wengert::{Archive, Element, Rng, StateError, Tensor};

/// A directory of this process's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("wengert-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A network with every kind of entry, whose state has moved.
fn network<T: Element>(seed: u64) -> Params<T> {
    let mut rng = Rng::seed(seed);
    let mut params = Params::new();
    let weight = WeightOptions::new(Init::PyTorch).spectral_norm();
    let conv = Conv2d::new(&mut params.scope("c.0"), 3, 4, [3, 2], &Conv2dOptions::default(), weight, &mut rng);
    let norm = BatchNorm::new(&mut params.scope("b"), 4, Init::Normal { mean: 1.0, std: 0.02 }, &mut rng);
    let pass = Pass::frozen(&params, Mode::Train);
    norm.forward(&pass, &conv.forward(&pass, &rng.normal([2, 3, 5, 5]).into()));
    drop(pass);
    params
}

fn bytes<T: Element>(params: &Params<T>) -> Vec<u8> {
    let mut archive = Archive::new();
    params.store(&mut archive, "");
    archive.to_bytes()
}

/// The strides of an axis of extent 1 say nothing about where elements lie, but kernels look at them: after loading
/// they must be as before, or sums would be rounded otherwise.
#[test]
fn loading_keeps_the_strides_of_axes_of_extent_1() {
    for (inputs, outputs, kernel) in [(1, 3, [3, 3]), (3, 1, [3, 3]), (1, 1, [3, 2]), (4, 2, [1, 1]), (2, 3, [1, 5])] {
        let mut params = Params::<f32>::new();
        let options = Conv2dOptions::default();
        Conv2d::new(&mut params.scope(""), inputs, outputs, kernel, &options, Init::PyTorch, &mut Rng::seed(0));
        let mut archive = Archive::new();
        params.store(&mut archive, "");
        let before = params.get("weight").unwrap();
        params.restore(&archive, "").unwrap();
        assert_eq!(params.get("weight").unwrap().strides(), before.strides(), "{}", before.shape());
    }
}

#[test]
fn files_keep_every_bit() {
    let folder = Folder::new("round-trip");
    fn check<T: Element>(path: PathBuf) {
        let saved = network::<T>(1);
        let mut loaded = network::<T>(2);
        assert_ne!(bytes(&saved), bytes(&loaded));
        saved.save(&path).unwrap();
        loaded.load(&path).unwrap();
        assert_eq!(bytes(&saved), bytes(&loaded));
        assert_eq!(loaded.count("b.num_batches_tracked"), Some(1));
        // The layout in memory is the network's, not the file's.
        let name = "c.0.parametrizations.weight.original";
        assert_eq!(saved.get(name).unwrap().strides(), loaded.get(name).unwrap().strides());
        // Saving again replaces the file and leaves no other.
        saved.save(&path).unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        std::fs::remove_file(path).unwrap();
    }
    check::<f32>(folder.0.join("f32.safetensors"));
    check::<f64>(folder.0.join("f64.safetensors"));
}

#[test]
fn odd_values_and_odd_texts_survive() {
    let odd = [f32::from_bits(0x7FC0_1234), -0.0, f32::MIN_POSITIVE / 4.0, f32::NEG_INFINITY];
    let text = "quotes \" and \\, a tab\t, a line\nend, \u{1}, and ü → 日本";
    let mut archive = Archive::new();
    archive.set_tensor("odd", &Tensor::from_slice([2, 2], &odd));
    archive.set_tensor("empty", &Tensor::<f64>::zeros([0, 3]));
    archive.set_tensor("scalar", &Tensor::<f64>::scalar(1.5));
    archive.set_count("count", 1 << 40);
    archive.set_text("key \"1\"", text);
    archive.set_text("a", "");
    let read = Archive::from_bytes(&archive.to_bytes(), "memory").unwrap();
    assert_eq!(read, archive);
    let back = read.tensor::<f32>("odd", [2, 2]).unwrap().to_vec();
    assert_eq!(back.map_bits(), odd.to_vec().map_bits());
    assert_eq!(read.tensor::<f64>("scalar", []).unwrap().item(), 1.5);
    assert_eq!((read.count("count").unwrap(), read.text("key \"1\"").unwrap()), (1 << 40, text));
    // Texts alone, and nothing at all, are files too.
    let mut texts = Archive::new();
    texts.set_text("k", "v");
    assert_eq!(Archive::from_bytes(&texts.to_bytes(), "memory").unwrap(), texts);
    assert_eq!(Archive::from_bytes(&Archive::new().to_bytes(), "memory").unwrap(), Archive::new());
}

trait MapBits {
    fn map_bits(self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(self) -> Vec<u32> {
        self.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn equal_archives_are_equal_files() {
    let make = || {
        let mut archive = Archive::new();
        network::<f32>(1).store(&mut archive, "g.");
        (0..20).for_each(|i| archive.set_text(format!("key {i}"), "text"));
        archive.to_bytes()
    };
    assert_eq!(make(), make());
}

#[test]
fn several_stores_share_a_file() {
    let mut archive = Archive::new();
    let (g, d) = (network::<f32>(1), network::<f32>(2));
    g.store(&mut archive, "g.");
    d.store(&mut archive, "d.");
    let mut other = network::<f32>(3);
    other.restore(&archive, "d.").unwrap();
    assert_eq!(bytes(&other), bytes(&d));
    assert_eq!(archive.names("g.").count(), g.names().count());
}

/// What `change` to an archive of a network makes of reading it.
fn refused(change: impl FnOnce(&mut Archive)) -> String {
    let mut archive = Archive::new();
    let mut params = network::<f32>(1);
    params.store(&mut archive, "");
    change(&mut archive);
    let archive = Archive::from_bytes(&archive.to_bytes(), "net.safetensors").unwrap();
    let before = bytes(&params);
    let message = params.restore(&archive, "").unwrap_err().to_string();
    assert_eq!(bytes(&params), before, "an error changes nothing");
    message
}

#[test]
fn what_does_not_fit_is_named() {
    let name = "c.0.bias";
    assert_eq!(
        refused(|a| a.set_tensor(name, &Tensor::<f32>::ones([5]))),
        "net.safetensors: c.0.bias: found F32 [5], expected F32 [4]"
    );
    assert_eq!(
        refused(|a| a.set_tensor(name, &Tensor::<f64>::ones([4]))),
        "net.safetensors: c.0.bias: found F64 [4], expected F32 [4]"
    );
    assert_eq!(refused(|a| a.set_count("b.x", 1)), "net.safetensors: unexpected: b.x");
    assert_eq!(
        refused(|a| a.set_tensor("b.num_batches_tracked", &Tensor::<f32>::scalar(1.0))),
        "net.safetensors: b.num_batches_tracked: found F32 [], expected I64 []"
    );
    let wrong = refused(|a| {
        a.set_tensor(name, &Tensor::<f32>::ones([5]));
        a.set_tensor("b.num_batches_tracked", &Tensor::<f32>::scalar(1.0));
    });
    assert_eq!(
        wrong,
        "net.safetensors: of another kind: c.0.bias: found F32 [5], expected F32 [4], \
         b.num_batches_tracked: found F32 [], expected I64 []"
    );
    let half = refused(|a| {
        let mut other = Archive::new();
        network::<f32>(1).store(&mut other, "g.");
        *a = other;
    });
    assert!(half.starts_with("net.safetensors: missing: c.0.parametrizations.weight.original, "), "{half}");
    assert!(half.contains(" and 3 more; unexpected: g.b.bias, "), "{half}");
    assert_eq!(
        Archive::new().text("step").unwrap_err().to_string(),
        "archive: expected a text `step` in the metadata, found none"
    );
}

#[test]
fn negative_counts_are_refused() {
    let mut archive = Archive::new();
    archive.set_count("n", 77);
    let mut bytes = archive.to_bytes();
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&(-77i64).to_le_bytes());
    let error = Archive::from_bytes(&bytes, "f").unwrap().count("n").unwrap_err();
    assert_eq!(error.to_string(), "f: n: found -77, expected a count of at least 0");
}

#[test]
fn damaged_files_are_errors() {
    let whole = bytes(&network::<f32>(1));
    for length in 0..whole.len() {
        let error = Archive::from_bytes(&whole[..length], "cut.safetensors").unwrap_err();
        assert!(matches!(error, StateError::Format { .. }));
        assert!(error.to_string().starts_with("cut.safetensors: "), "{error}");
    }
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Archive::from_bytes(&huge, "huge").is_err());
}

#[test]
fn other_element_types_are_named() {
    let path = format!("{}/tests/fixtures/sngan.safetensors", env!("CARGO_MANIFEST_DIR"));
    let message = Archive::load(&path).unwrap_err().to_string();
    assert!(message.contains("real: found element type U8, expected F32, F64 or I64"), "{message}");
}

#[test]
fn what_the_system_refuses_is_named() {
    let folder = Folder::new("refused");
    let nowhere = folder.0.join("no/such/directory/net.safetensors");
    let error = network::<f32>(1).load(&nowhere).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot read: ", nowhere.display())), "{error}");
    let error = network::<f32>(1).save(&nowhere).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: cannot write: ", nowhere.display())), "{error}");
    // A directory in the way: the temporary file does not stay.
    let taken = folder.0.join("taken");
    std::fs::create_dir_all(taken.join("inside")).unwrap();
    assert!(network::<f32>(1).save(&taken).is_err());
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
        let mut file = bytes(&network::<f32>(1));
        let at = at % file.len();
        file[at] = byte;
        if let Ok(archive) = Archive::from_bytes(&file, "damaged") {
            let _ = network::<f32>(2).restore(&archive, "");
        }
        file.truncate(file.len().saturating_sub(cut));
        let _ = Archive::from_bytes(&file, "damaged");
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "\\{.{0,200}\\}", tail: Vec<u8>) {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend(tail);
        let _ = Archive::from_bytes(&file, "arbitrary");
    }
}
