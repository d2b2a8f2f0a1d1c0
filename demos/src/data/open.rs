//! From the name of a set to its images.

use super::{DataName, Dataset, Digits, FolderOptions, ImageShape, Shapes, Split, StackedDigits, StlPart};
use super::{centre_square, read_cifar, read_folder, read_idx, read_stl, read_svhn, resize};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// The classes of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017).
const CLOTHES: [&str; 10] =
    ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// A set, and what people should know of how it was read: files that are missing or were left out.
pub struct Opened {
    /// The images.
    pub set: Box<dyn Dataset>,
    /// A line each.
    pub notes: Vec<String>,
}

impl Opened {
    fn new(set: impl Dataset + 'static) -> Self {
        Opened { set: Box::new(set), notes: Vec::new() }
    }
}

/// Opens a half of a set.
///
/// `dir` is the directory of its files, for a set that has any; by default where `gan data fetch` puts them. `size` is
/// the height and width of the images, 8 to 256; by default 32, or for STL-10 48. (The default of the idx sets is what
/// their files say, 28×28 being padded to 32×32.) `folder` is for a folder of images, and has the default for all other
/// sets. `seed` determines the images of a drawn set, whose two halves have no image in common.
///
/// # Errors
/// Flags that the set does not know or lacks; whatever is wrong with the files.
pub fn open(
    name: DataName,
    dir: Option<&Path>,
    size: Option<usize>,
    folder: FolderOptions,
    seed: u64,
    split: Split,
) -> Result<Opened> {
    let flag = name.flag();
    ensure!(
        size.is_none_or(|size| (8..=256).contains(&size)),
        "--size is {}; expected 8 to 256",
        size.unwrap_or_default()
    );
    for (option, on) in [("skip-corrupt", folder.skip_corrupt), ("flatten", folder.flatten)] {
        ensure!(!on || name == DataName::Folder, "--{option} does not go with --data {flag}, only with folder");
    }
    // An arbitrary number, so that the halves are those of different seeds.
    let seed = if split == Split::Test { seed ^ 0x7E57_0000_0000_0000 } else { seed };
    ensure!(dir.is_none() || name.needs_files(), "--data-dir does not go with --data {flag}, which needs no files");
    let default = name.default_dir();
    let files = || {
        let dir = dir.or(default.as_deref());
        let dir = dir.with_context(|| format!("--data {flag} needs --data-dir DIR, where its files are"))?;
        let is_missing = default.is_some() && !dir.exists();
        ensure!(
            !is_missing,
            "{}: cannot open the data directory: there is none; gan data fetch {flag} downloads the set, \
             --data-dir says where else it is",
            dir.display()
        );
        Ok(dir)
    };
    let stl = |part| Ok(Opened::new(read_stl(files()?, part, size.unwrap_or(48))?));
    match name {
        DataName::Digits => Ok(resized(Digits::new(seed), size)),
        DataName::StackedDigits => Ok(resized(StackedDigits::new(seed), size)),
        DataName::Shapes => Ok(Opened::new(Shapes::new(seed, size.unwrap_or(32)))),
        DataName::Mnist => Ok(resized(read_idx(files()?, "MNIST", split)?, size)),
        DataName::FashionMnist => {
            let images = read_idx(files()?, "FashionMNIST", split)?;
            Ok(resized(images.with_class_names(CLOTHES), size))
        }
        DataName::Svhn => Ok(resized(read_svhn(files()?, split)?, size)),
        DataName::Cifar10 => {
            let (images, note) = read_cifar(files()?, split)?;
            Ok(Opened { notes: note.into_iter().collect(), ..resized(images, size) })
        }
        DataName::Stl10 if split == Split::Test => stl(StlPart::Test),
        DataName::Stl10 => stl(StlPart::Train),
        DataName::Stl10Unlabelled if split == Split::Test => {
            bail!("--data {flag} has no test half; that of --data stl-10 may serve")
        }
        DataName::Stl10Unlabelled => stl(StlPart::Unlabelled),
        DataName::Folder => {
            let (images, notes) = read_folder(files()?, split, size.unwrap_or(32), folder)?;
            Ok(Opened { set: Box::new(images), notes })
        }
    }
}

/// The set in squares of the size asked for, if it is not of that size already.
fn resized(set: impl Dataset + 'static, size: Option<usize>) -> Opened {
    let ImageShape { height, width, .. } = set.shape();
    match size {
        Some(size) if (height, width) != (size, size) => Opened::new(Resized { set, size }),
        _ => Opened::new(set),
    }
}

/// A set whose images are resized, of what is not square the middle, whenever they are asked for: an image costs much
/// less than a step of training, and the large ones no memory.
struct Resized<D> {
    set: D,
    size: usize,
}

impl<D: Dataset> Dataset for Resized<D> {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn shape(&self) -> ImageShape {
        ImageShape { height: self.size, width: self.size, ..self.set.shape() }
    }

    fn classes(&self) -> usize {
        self.set.classes()
    }

    fn class_name(&self, label: u8) -> String {
        self.set.class_name(label)
    }

    fn size(&self) -> Option<u64> {
        self.set.size()
    }

    fn class_counts(&self) -> Option<Vec<u64>> {
        self.set.class_counts()
    }

    fn fingerprint(&self) -> String {
        self.set.fingerprint()
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        let shape = self.set.shape();
        let mut original = vec![0; shape.numel()];
        let label = self.set.image(index, &mut original);
        let (square, side) = centre_square(&original, shape);
        let square_shape = ImageShape { height: side, width: side, ..shape };
        pixels.copy_from_slice(&resize(&square, square_shape, self.size, self.size));
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    const PLAIN: FolderOptions = FolderOptions { skip_corrupt: false, flatten: false };

    #[track_caller]
    fn refuses(
        name: DataName,
        dir: Option<&str>,
        size: Option<usize>,
        folder: FolderOptions,
        split: Split,
        says: &str,
    ) {
        let outcome = open(name, dir.map(Path::new), size, folder, 0, split);
        let message = format!("{:#}", outcome.err().expect("an error"));
        assert!(message.contains(says), "{name:?}: {message}");
    }

    #[test]
    fn flags_must_fit_the_set() {
        use DataName::{Digits, Folder, Shapes, Stl10Unlabelled};
        for name in DataName::value_variants() {
            for size in [0, 7, 257, usize::MAX] {
                refuses(*name, None, Some(size), PLAIN, Split::Train, "expected 8 to 256");
            }
            if name.needs_files() {
                let flag = name.flag();
                let needs = match name.default_dir() {
                    Some(_) => format!("there is none; gan data fetch {flag} downloads the set"),
                    None => format!("--data {flag} needs --data-dir DIR"),
                };
                refuses(*name, None, None, PLAIN, Split::Train, &needs);
                refuses(
                    *name,
                    Some("no/such"),
                    Some(16),
                    PLAIN,
                    Split::Train,
                    "no/such: cannot open the data directory",
                );
            }
            if *name != Folder {
                let skip = FolderOptions { skip_corrupt: true, ..PLAIN };
                refuses(*name, None, None, skip, Split::Train, "--skip-corrupt does not go with");
                let flatten = FolderOptions { flatten: true, ..PLAIN };
                refuses(*name, None, None, flatten, Split::Train, "--flatten does not go with");
            }
        }
        for name in [Digits, Shapes] {
            refuses(name, Some("."), None, PLAIN, Split::Train, "--data-dir does not go with");
        }
        refuses(Stl10Unlabelled, Some("."), None, PLAIN, Split::Test, "has no test half");
    }

    #[test]
    fn a_set_has_one_name_on_the_command_line_and_in_files() {
        for name in DataName::value_variants() {
            assert_eq!(serde_json::to_string(name).unwrap(), format!("{:?}", name.flag()));
        }
    }

    #[test]
    fn a_set_has_a_default_place_if_it_can_be_fetched() {
        for name in DataName::value_variants() {
            assert_eq!(name.default_dir().is_some(), crate::data::fetch::source(*name).is_some(), "{name:?}");
        }
        assert_eq!(DataName::Stl10Unlabelled.default_dir(), DataName::Stl10.default_dir(), "one archive");
    }

    #[test]
    fn drawn_sets_come_in_any_size_and_two_halves() {
        for (name, channels) in [(DataName::Digits, 1), (DataName::Shapes, 3)] {
            let opened = |size, seed, split| open(name, None, size, PLAIN, seed, split).unwrap().set;
            for (size, side) in [(None, 32), (Some(32), 32), (Some(48), 48), (Some(8), 8)] {
                assert_eq!(opened(size, 0, Split::Train).shape(), ImageShape { channels, height: side, width: side });
            }
            let first = |seed, split| {
                let mut pixels = vec![0; channels * 1024];
                opened(None, seed, split).image(0, &mut pixels);
                pixels
            };
            assert_ne!(first(0, Split::Train), first(0, Split::Test));
            assert_ne!(first(0, Split::Train), first(1, Split::Train));
            assert_eq!(first(3, Split::Test), first(3, Split::Test));
        }
    }

    #[test]
    fn a_resized_set_is_the_set_resized() {
        let large = open(DataName::Digits, None, Some(64), PLAIN, 0, Split::Train).unwrap().set;
        let (mut pixels, mut original) = (vec![0; 64 * 64], vec![0; 32 * 32]);
        let digits = Digits::new(0);
        for index in 0..5 {
            assert_eq!(large.image(index, &mut pixels), digits.image(index, &mut original));
            assert_eq!(pixels, resize(&original, digits.shape(), 64, 64));
        }
        assert_eq!((large.name(), large.classes(), large.size()), ("digits", 10, None));
    }

    /// Images of 8×24, white between two black thirds.
    struct Wide;

    impl Dataset for Wide {
        fn name(&self) -> &str {
            "wide"
        }
        fn shape(&self) -> ImageShape {
            ImageShape { channels: 1, height: 8, width: 24 }
        }
        fn classes(&self) -> usize {
            1
        }
        fn size(&self) -> Option<u64> {
            Some(1)
        }
        fn image(&self, _: u64, pixels: &mut [u8]) -> u8 {
            pixels.iter_mut().enumerate().for_each(|(i, p)| *p = if (8..16).contains(&(i % 24)) { 255 } else { 0 });
            0
        }
    }

    #[test]
    fn images_that_are_not_square_are_cut_and_not_stretched() {
        let square = resized(Wide, Some(16)).set;
        let mut pixels = vec![7; 16 * 16];
        square.image(0, &mut pixels);
        assert!(pixels.iter().all(|&p| p == 255));
    }
}
