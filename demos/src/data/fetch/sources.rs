//! Where the sets are, and what their files must be.
//!
//! "Confirmed" means: compared with files at hand when this was written. All other checksums and sizes are quoted from
//! the place that is named, and a download that they do not fit is refused.

use crate::data::DataName;

/// A file to download.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// Its name, on the host and here.
    pub name: &'static str,
    /// Its length in bytes.
    pub size: u64,
    /// Its MD5, the checksum that is published for these sets: proof against accidents, not against forgers.
    pub md5: &'static str,
}

/// A `.tar.gz` archive that is unpacked after the download.
#[derive(Clone, Copy, Debug)]
pub struct Archive {
    /// The folder that the archive puts its files into; here they go into the set's directory itself.
    pub folder: &'static str,
    /// The files to unpack, and their lengths in bytes.
    pub members: &'static [(&'static str, u64)],
}

/// A set to download.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The URL of its files, up to the last `/`.
    pub base: &'static str,
    /// Its files.
    pub files: &'static [Remote],
    /// What to unpack, for a set of one archive.
    pub archive: Option<Archive>,
}

const fn remote(name: &'static str, size: u64, md5: &'static str) -> Remote {
    Remote { name, size, md5 }
}

/// Where the set is; `None` for one that needs no files or has no official place.
pub fn source(name: DataName) -> Option<&'static Source> {
    match name {
        DataName::Mnist => Some(&MNIST),
        DataName::FashionMnist => Some(&FASHION_MNIST),
        DataName::Cifar10 => Some(&CIFAR_10),
        DataName::Svhn => Some(&SVHN),
        DataName::Stl10 | DataName::Stl10Unlabelled => Some(&STL_10),
        DataName::Digits | DataName::Shapes | DataName::StackedDigits | DataName::Folder => None,
    }
}

/// The home page, yann.lecun.com/exdb/mnist, serves the files no more; this is the copy that torchvision uses. The MD5s
/// are those in torchvision/datasets/mnist.py, the sizes those of the home page. Not confirmed.
const MNIST: Source = Source {
    base: "https://ossci-datasets.s3.amazonaws.com/mnist",
    files: &[
        remote("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        remote("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        remote("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        remote("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
    archive: None,
};

/// The host and the MD5s are those of the README of github.com/zalandoresearch/fashion-mnist. Confirmed, with their
/// sizes, for the two files of labels (a test does it again). Not confirmed for the images: the copy at hand has the
/// right content, compressed anew.
const FASHION_MNIST: Source = Source {
    base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    files: &[
        remote("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        remote("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
        remote("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
        remote("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
    archive: None,
};

/// The MD5 is that of the home page, www.cs.toronto.edu/~kriz/cifar.html; the size, that of TensorFlow Datasets
/// (url_checksums/cifar10.txt). Not confirmed. The sizes of the members are records × 3073; confirmed for two batches
/// and
/// `batches.meta.txt`.
const CIFAR_10: Source = Source {
    base: "https://www.cs.toronto.edu/~kriz",
    files: &[remote("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")],
    archive: Some(Archive {
        folder: "cifar-10-batches-bin",
        members: &[
            ("batches.meta.txt", 61),
            ("data_batch_1.bin", 30_730_000),
            ("data_batch_2.bin", 30_730_000),
            ("data_batch_3.bin", 30_730_000),
            ("data_batch_4.bin", 30_730_000),
            ("data_batch_5.bin", 30_730_000),
            ("test_batch.bin", 30_730_000),
        ],
    }),
};

/// The home page publishes no checksums. The MD5s are those in torchvision/datasets/svhn.py; the sizes, those of
/// TensorFlow Datasets (url_checksums/svhn_cropped.txt). Not confirmed.
const SVHN: Source = Source {
    base: "http://ufldl.stanford.edu/housenumbers",
    files: &[
        remote("train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
        remote("test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
    ],
    archive: None,
};

/// The home page, cs.stanford.edu/~acoates/stl10, publishes no checksums. The MD5 is that in
/// torchvision/datasets/stl10.py; the size, that of TensorFlow Datasets (url_checksums/stl10.txt). Not confirmed. The
/// sizes of the members are images × 27,648, and labels.
const STL_10: Source = Source {
    base: "http://ai.stanford.edu/~acoates/stl10",
    files: &[remote("stl10_binary.tar.gz", 2_640_397_119, "91f7769df0f17e558f3565bffb0c7dfb")],
    archive: Some(Archive {
        folder: "stl10_binary",
        members: &[
            ("train_X.bin", 138_240_000),
            ("train_y.bin", 5_000),
            ("test_X.bin", 221_184_000),
            ("test_y.bin", 8_000),
            ("unlabeled_X.bin", 2_764_800_000),
        ],
    }),
};
