//! Where images come from: sets read from files and the endless ones of drawn digits and shapes, behind one trait.
//!
//! An image is stored as bytes, channels last; [`Dataset::batch`] turns bytes into the numbers in [−1, 1] that nets
//! take.

mod cifar;
mod digits;
pub mod fetch;
mod files;
mod folder;
mod halves;
mod idx;
mod loader;
mod name;
mod open;
mod order;
mod partition;
mod resize;
mod shapes;
mod stacked;
mod stl;
mod strokes;
mod svhn;

use crate::files::crc32;

pub use cifar::read_cifar;
pub use digits::Digits;
pub use folder::{FolderOptions, read_folder};
pub use halves::Halves;
pub use idx::read_idx;
pub use loader::{Batch, Loader};
pub use name::DataName;
pub use open::{Opened, open};
pub use order::Order;
pub use partition::{Part, PartOf};
pub use resize::{centre_square, resize};
pub use shapes::Shapes;
pub use stacked::StackedDigits;
pub use stl::{StlPart, read_stl};
pub use svhn::read_svhn;

/// Which half of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// The images to learn from
    Train,
    /// The images held back, for measuring
    Test,
}

/// The size of one image of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// How many numbers make an image: height · width · channels.
    pub fn numel(&self) -> usize {
        self.height * self.width * self.channels
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}×{} (height, width, channels)", self.height, self.width, self.channels)
    }
}

/// A set of labelled images of one size, finite or endless. Image `i` is the same whenever it is asked for.
pub trait Dataset: Send + Sync {
    /// A short name for messages and pictures.
    fn name(&self) -> &str;

    /// The size of every image.
    fn shape(&self) -> ImageShape;

    /// Labels are 0..classes, at most 256 of them.
    fn classes(&self) -> usize;

    /// What the images of a class show, for people: its number if nothing better is known.
    ///
    /// # Panics
    /// May panic if `label` is not below `classes()`.
    fn class_name(&self, label: u8) -> String {
        label.to_string()
    }

    /// How many images there are; `None` for a set that is drawn as it goes, which has one for every `u64`.
    fn size(&self) -> Option<u64>;

    /// How many of the first images are to learn from, if the others are a test half of the set's own.
    fn train_size(&self) -> Option<u64> {
        None
    }

    /// How many images of each class there are; `None` if all are equally likely, or nobody has counted.
    fn class_counts(&self) -> Option<Vec<u64>> {
        None
    }

    /// The images in a line that tells them from others: how many they are, and a checksum of all of them. Those of a
    /// drawn set are told by its name, and by the seed that they are drawn with.
    fn fingerprint(&self) -> String {
        self.name().to_string()
    }

    /// Writes image `index` as bytes (height, width, channels), 0 to 255, and returns its label.
    ///
    /// # Panics
    /// If `pixels` is not of the length `shape().numel()`, or `index` is not below `size()`.
    fn image(&self, index: u64, pixels: &mut [u8]) -> u8;

    /// Writes the images with these indices to `images`, (n, height, width, channels) in [−1, 1] as x / 127.5 − 1, and
    /// their labels to `labels`.
    ///
    /// # Panics
    /// As [`image`](Self::image) does; or if `images` does not hold n images, or `labels` n labels.
    fn batch(&self, indices: &[u64], images: &mut [f32], labels: &mut [u8]) {
        let numel = self.shape().numel();
        let n = indices.len();
        assert_eq!(images.len(), n * numel, "{}: a batch of {n} images, {} each", self.name(), self.shape());
        assert_eq!(labels.len(), n, "{}: a batch of {n} images and their labels", self.name());
        let mut bytes = vec![0; numel];
        for ((image, label), &index) in images.chunks_exact_mut(numel).zip(labels).zip(indices) {
            *label = self.image(index, &mut bytes);
            for (x, &byte) in image.iter_mut().zip(&bytes) {
                *x = f32::from(byte) / 127.5 - 1.0;
            }
        }
    }
}

/// A finite set held in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    name: String,
    shape: ImageShape,
    classes: usize,
    /// None, or as many as there are classes.
    class_names: Vec<String>,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// A set of `labels.len()` images; `pixels` is (n, height, width, channels), row by row. There are as many classes
    /// as the largest label says.
    ///
    /// # Panics
    /// If there is no image, an image has no pixel, or the lengths do not agree.
    pub fn new(name: impl Into<String>, shape: ImageShape, pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        let name = name.into();
        assert!(shape.numel() > 0 && !labels.is_empty(), "{name}: {} images of {shape}", labels.len());
        assert_eq!(pixels.len(), labels.len() * shape.numel(), "{name}: pixels of {} images of {shape}", labels.len());
        let classes = labels.iter().max().map_or(0, |&m| usize::from(m) + 1);
        Self { name, shape, classes, class_names: Vec::new(), pixels, labels }
    }

    /// The same set, whose classes have these names, even those of which there is no image. If there are more classes
    /// than names, the labels are not what the names are for, and the set stays as it was.
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() >= self.classes {
            self.classes = names.len();
            self.class_names = names;
        }
        self
    }

    /// The same images in the middle of larger ones of `height` × `width`, black (0, so −1 in a batch) around them.
    ///
    /// # Panics
    /// If an image is larger than that.
    pub fn padded(&self, height: usize, width: usize) -> Self {
        let old = self.shape;
        assert!(height >= old.height && width >= old.width, "{}: {old} do not fit in {height}×{width}", self.name);
        let shape = ImageShape { height, width, ..old };
        let (top, left) = ((height - old.height) / 2, (width - old.width) / 2);
        let mut pixels = vec![0; self.labels.len() * shape.numel()];
        let row = old.width * old.channels;
        for (image, larger) in self.pixels.chunks_exact(old.numel()).zip(pixels.chunks_exact_mut(shape.numel())) {
            for (y, line) in image.chunks_exact(row).enumerate() {
                let start = ((top + y) * width + left) * old.channels;
                larger[start..start + row].copy_from_slice(line);
            }
        }
        let (name, class_names, labels) = (self.name.clone(), self.class_names.clone(), self.labels.clone());
        Self { name, shape, classes: self.classes, class_names, pixels, labels }
    }

    /// The label of every image.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

impl Dataset for Images {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_name(&self, label: u8) -> String {
        self.class_names.get(usize::from(label)).cloned().unwrap_or_else(|| label.to_string())
    }

    fn size(&self) -> Option<u64> {
        Some(self.labels.len() as u64)
    }

    fn class_counts(&self) -> Option<Vec<u64>> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        Some(counts)
    }

    fn fingerprint(&self) -> String {
        let shape = self.shape.to_string();
        let checksum = crc32(&[shape.as_bytes(), &self.labels, &self.pixels]);
        format!("{} images, checksum {checksum}", self.labels.len())
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        let count = self.labels.len();
        let i = usize::try_from(index).ok().filter(|&i| i < count);
        let i = i.unwrap_or_else(|| panic!("{}: image {index} of a set of {count}", self.name));
        let numel = self.shape.numel();
        pixels.copy_from_slice(&self.pixels[i * numel..][..numel]);
        self.labels[i]
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} images of {}, {} classes", self.name, self.labels.len(), self.shape, self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_colour_images() -> Images {
        let shape = ImageShape { channels: 3, height: 1, width: 2 };
        Images::new("two", shape, vec![0, 255, 51, 1, 2, 3, 4, 5, 6, 7, 8, 9], vec![1, 4])
    }

    #[test]
    fn a_batch_is_channels_last_between_minus_one_and_one() {
        let (mut images, mut labels) = ([0.0; 12], [0; 2]);
        two_colour_images().batch(&[1, 0], &mut images, &mut labels);
        assert_eq!(labels, [4, 1]);
        assert_eq!(images[6..9], [-1.0, 1.0, 51.0 / 127.5 - 1.0]);
        assert_eq!(images[0], 4.0 / 127.5 - 1.0);
    }

    #[test]
    fn padding_surrounds_every_image_with_black() {
        let set = two_colour_images().padded(3, 4);
        let mut pixels = [9; 36];
        assert_eq!(set.image(0, &mut pixels), 1);
        let mut expected = [0; 36];
        expected[15..21].copy_from_slice(&[0, 255, 51, 1, 2, 3]);
        assert_eq!(pixels, expected);
        assert_eq!(set.shape(), ImageShape { channels: 3, height: 3, width: 4 });
        assert_eq!((set.size(), set.classes(), set.labels()), (Some(2), 5, &[1, 4][..]));
    }

    #[test]
    fn names_are_taken_if_there_are_enough() {
        let named = |names: &[&str]| two_colour_images().with_class_names(names.iter().copied());
        let six = named(&["a", "b", "c", "d", "e", "f"]);
        assert_eq!((six.classes(), six.class_name(1), six.class_name(5)), (6, "b".into(), "f".into()));
        let four = named(&["a", "b", "c", "d"]);
        assert_eq!((four.classes(), four.class_name(1)), (5, "1".into()));
    }

    #[test]
    #[should_panic(expected = "two: image 2 of a set of 2")]
    fn an_index_beyond_the_end_says_so() {
        two_colour_images().image(2, &mut [0; 6]);
    }
}
