//! The names of the sets, and what is known of each without opening it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::usage::word;

/// The sets of images that can be learnt, by the words of `--data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DataName {
    /// Handwritten-looking digits, drawn as training goes: needs no files
    Digits,
    /// Fashion-MNIST: clothes, 60,000 images, from idx files
    FashionMnist,
    /// MNIST: digits, 60,000 images, from idx files
    Mnist,
    /// Simple shapes in colour, drawn as training goes: needs no files
    Shapes,
    /// Three drawn digits in red, green and blue, as training goes: a thousand modes, which `gan evaluate` counts
    StackedDigits,
    /// CIFAR-10: things and animals in colour, 50,000 images, from its binary files
    #[serde(rename = "cifar-10")]
    #[value(name = "cifar-10")]
    Cifar10,
    /// SVHN: house numbers in colour, 73,257 cropped digits, from its .mat files
    Svhn,
    /// STL-10: things and animals in colour, 5,000 labelled images, from its binary files
    #[serde(rename = "stl-10")]
    #[value(name = "stl-10")]
    Stl10,
    /// STL-10's 100,000 images without labels, from its binary files
    #[serde(rename = "stl-10-unlabelled")]
    #[value(name = "stl-10-unlabelled")]
    Stl10Unlabelled,
    /// Any folder of PNG and JPEG files, --data-dir; sub-folders are classes; see --flatten
    Folder,
}

impl DataName {
    /// The value of `--data` that names it.
    pub fn flag(self) -> String {
        word(self)
    }

    /// Whether it is read from files, as opposed to drawn.
    pub fn needs_files(self) -> bool {
        !matches!(self, DataName::Digits | DataName::Shapes | DataName::StackedDigits)
    }

    /// Whether it has a test half of its own.
    pub fn has_test_half(self) -> bool {
        use DataName::{Cifar10, FashionMnist, Mnist, Stl10, Svhn};
        matches!(self, Mnist | FashionMnist | Cifar10 | Svhn | Stl10)
    }

    /// Whether its images show digits, which are others, or none, in a mirror.
    pub fn shows_digits(self) -> bool {
        matches!(self, DataName::Digits | DataName::StackedDigits | DataName::Mnist | DataName::Svhn)
    }

    /// Where its files are if nothing else is said: where `gan data fetch` puts them; `None` for a set that cannot be
    /// fetched. Both parts of STL-10 come in one archive.
    pub fn default_dir(self) -> Option<PathBuf> {
        let name = match self {
            DataName::Digits | DataName::Shapes | DataName::StackedDigits | DataName::Folder => return None,
            DataName::Stl10Unlabelled => DataName::Stl10.flag(),
            set => set.flag(),
        };
        Some(Path::new("data").join(name))
    }
}
