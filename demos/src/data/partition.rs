//! Which images of a set are for what: those that train a GAN, those that train the classifier of the metrics, and
//! those that the metrics compare with, share none.

use std::ops::Deref;

use super::{Dataset, ImageShape};

/// One of the three parts of a set.
///
/// Of a set with a test half of its own, the whole train half trains the GAN; of the test half every second image, from
/// the first on, trains the classifier, and the others are references: 60,000, 5,000 and 5,000 of MNIST. Of another
/// finite set, out of every six images in a row four train the GAN, the fifth trains the classifier and the sixth is a
/// reference. The parts are interleaved because some sets are sorted by class. Of an endless set each part has 2⁶²
/// images of its own, one range after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What a GAN learns.
    Training,
    /// What the classifier learns, on whose features the metrics stand.
    Classifier,
    /// What generated images are compared with; the accuracy of the classifier is measured on it too.
    Reference,
}

/// Images in a group, of which each part takes its share.
const GROUP: u64 = 6;

/// Images in a part of an endless set.
const ENDLESS: u64 = 1 << 62;

impl Part {
    /// This part of a set that is borrowed, shared or owned: a reference, `Arc` or `Box`.
    pub fn of<D: Deref<Target: Dataset>>(self, set: D) -> PartOf<D> {
        PartOf { part: self, set }
    }

    /// Where in a group its images begin, and how many they are.
    fn in_group(self) -> (u64, u64) {
        match self {
            Part::Training => (0, GROUP - 2),
            Part::Classifier => (GROUP - 2, 1),
            Part::Reference => (GROUP - 1, 1),
        }
    }
}

/// A part of a set, as a set of its own: image `i` is the `i`-th of the part.
#[derive(Clone, Copy)]
pub struct PartOf<D> {
    part: Part,
    set: D,
}

impl<D: Deref<Target: Dataset>> PartOf<D> {
    /// How many images the part has; none if the set is too small.
    pub fn len(&self) -> u64 {
        match (self.set.size(), self.set.train_size()) {
            (Some(size), Some(train)) => match self.part {
                Part::Training => train,
                Part::Classifier => (size - train).div_ceil(2),
                Part::Reference => (size - train) / 2,
            },
            (Some(size), None) => {
                let (first, share) = self.part.in_group();
                size / GROUP * share + (size % GROUP).saturating_sub(first).min(share)
            }
            (None, _) => ENDLESS,
        }
    }

    /// Whether the part has no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index in the whole set of image `index` of the part.
    fn index(&self, index: u64) -> u64 {
        let len = self.len();
        assert!(index < len, "{}: image {index} of a part of {len}", self.set.name());
        match (self.set.size(), self.set.train_size()) {
            (Some(_), Some(train)) => match self.part {
                Part::Training => index,
                Part::Classifier => train + 2 * index,
                Part::Reference => train + 2 * index + 1,
            },
            (Some(_), None) => {
                let (first, share) = self.part.in_group();
                index / share * GROUP + first + index % share
            }
            (None, _) => self.part as u64 * ENDLESS + index,
        }
    }
}

impl<D: Deref<Target: Dataset> + Send + Sync> Dataset for PartOf<D> {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn shape(&self) -> ImageShape {
        self.set.shape()
    }

    fn classes(&self) -> usize {
        self.set.classes()
    }

    fn class_name(&self, label: u8) -> String {
        self.set.class_name(label)
    }

    fn size(&self) -> Option<u64> {
        Some(self.len())
    }

    fn class_counts(&self) -> Option<Vec<u64>> {
        self.set.class_counts()
    }

    fn fingerprint(&self) -> String {
        self.set.fingerprint()
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        self.set.image(self.index(index), pixels)
    }

    fn batch(&self, indices: &[u64], images: &mut [f32], labels: &mut [u8]) {
        let indices: Vec<u64> = indices.iter().map(|&i| self.index(i)).collect();
        self.set.batch(&indices, images, labels);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Digits, Halves, Images};

    const PARTS: [Part; 3] = [Part::Training, Part::Classifier, Part::Reference];

    #[test]
    fn the_parts_of_a_finite_set_are_disjoint_and_complete() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        for size in 1..40 {
            let set = Images::new("small", shape, (0..size).collect(), vec![0; usize::from(size)]);
            let mut met = Vec::new();
            for part in PARTS.map(|part| part.of(&set)) {
                for i in 0..part.len() {
                    let mut pixel = [0];
                    part.image(i, &mut pixel);
                    met.push(pixel[0]);
                    let (mut batch, mut label) = ([0.0], [0]);
                    part.batch(&[i], &mut batch, &mut label);
                    assert_eq!(batch[0], f32::from(pixel[0]) / 127.5 - 1.0, "batch and image agree");
                }
            }
            met.sort_unstable();
            assert!(met.into_iter().eq(0..size), "of {size}");
        }
    }

    #[test]
    fn the_whole_train_half_trains_and_the_test_half_is_shared() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let half = |first: u8, count: u8| -> Box<dyn Dataset> {
            let pixels = (first..first + count).collect();
            Box::new(Images::new("half", shape, pixels, (0..count).map(|i| i % 3).collect()))
        };
        let met = |set: &Halves| -> Vec<Vec<u8>> {
            let of = |part: PartOf<&Halves>| {
                (0..part.len())
                    .map(|i| {
                        let mut pixel = [0];
                        part.image(i, &mut pixel);
                        pixel[0]
                    })
                    .collect()
            };
            PARTS.map(|part| of(part.of(set))).to_vec()
        };
        let both = Halves::new(half(0, 9), Some(half(100, 5))).unwrap();
        assert_eq!(met(&both), [(0..9).collect(), vec![100, 102, 104], vec![101, 103]]);
        assert_eq!((both.class_counts(), both.size()), (Some(vec![3; 3]), Some(14)));
        let alone = Halves::new(half(0, 9), None).unwrap();
        assert_eq!(met(&alone), [(0..9).collect(), vec![], vec![]]);
        assert_eq!(alone.fingerprint(), both.fingerprint(), "a run without evaluation goes on with one");
        let wide = ImageShape { width: 2, ..shape };
        let error =
            Halves::new(half(0, 9), Some(Box::new(Images::new("half", wide, vec![0, 1], vec![0])))).err().unwrap();
        assert!(error.to_string().contains("images of the test half are 1×2×1"), "{error}");
    }

    #[test]
    fn most_images_train_the_gan() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let set = Images::new("six thousand", shape, vec![0; 6000], vec![0; 6000]);
        assert_eq!(PARTS.map(|part| part.of(&set).len()), [4000, 1000, 1000]);
        let shared: Arc<dyn Dataset> = Arc::new(set.with_class_names(["nothing"]));
        let part: Arc<dyn Dataset> = Arc::new(Part::Training.of(shared.clone()));
        assert_eq!((part.size(), shared.size()), (Some(4000), Some(6000)));
        assert_eq!(part.class_name(0), "nothing");
        let tiny = Images::new("one", shape, vec![0], vec![0]);
        assert_eq!(PARTS.map(|part| part.of(&tiny).is_empty()), [false, true, true]);
    }

    #[test]
    fn every_part_of_a_set_sorted_by_class_has_all_classes() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let set = Images::new("sorted", shape, vec![0; 300], (0..300).map(|i| (i / 30) as u8).collect());
        for part in PARTS.map(|part| part.of(&set)) {
            let mut classes: Vec<u8> = (0..part.len()).map(|i| part.image(i, &mut [0])).collect();
            classes.dedup();
            assert_eq!(classes, (0..10).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn the_parts_of_an_endless_set_are_ranges_that_do_not_meet() {
        let set = Digits::new(1);
        let ends = PARTS.map(|part| part.of(&set)).map(|part| [part.index(0), part.index(part.len() - 1)]);
        assert_eq!(ends.map(|[first, _]| first), [0, 1 << 62, 1 << 63]);
        assert!(ends.is_sorted_by(|a, b| a[1] < b[0]));
    }

    #[test]
    #[should_panic(expected = "digits: image 4611686018427387904 of a part of 4611686018427387904")]
    fn an_index_beyond_a_part_is_not_in_another_part() {
        Part::Training.of(&Digits::new(1)).image(ENDLESS, &mut [0; 1024]);
    }
}
