//! A set with a test half of its own.

use anyhow::{Result, ensure};

use super::{Dataset, ImageShape};

/// The train half of a set, and behind it, if it is needed, the test half: see [`Part`](super::Part).
///
/// What is said of the whole, such as its fingerprint, is said of the train half, whether the other is there or not.
pub struct Halves {
    train: Box<dyn Dataset>,
    test: Option<Box<dyn Dataset>>,
    /// The images of each half.
    sizes: [u64; 2],
}

impl Halves {
    /// Both halves, or the first alone, for those who only learn.
    ///
    /// # Errors
    /// A half is endless; or the images of one are of another size, or of more classes, than those of the other.
    pub fn new(train: Box<dyn Dataset>, test: Option<Box<dyn Dataset>>) -> Result<Halves> {
        let (name, shape, classes) = (train.name(), train.shape(), train.classes());
        if let Some(test) = &test {
            let other = test.shape();
            ensure!(
                other == shape,
                "{name}: images of the test half are {other}; expected {shape} as in the train half"
            );
            let known = test.classes() <= classes;
            ensure!(
                known,
                "{name}: {} classes in the test half; expected {classes} as in the train half",
                test.classes()
            );
        }
        let size = |half: &dyn Dataset| half.size().ok_or_else(|| anyhow::anyhow!("{}: endless halves", half.name()));
        let sizes = [size(&*train)?, test.as_deref().map_or(Ok(0), size)?];
        Ok(Halves { train, test, sizes })
    }
}

impl Dataset for Halves {
    fn name(&self) -> &str {
        self.train.name()
    }

    fn shape(&self) -> ImageShape {
        self.train.shape()
    }

    fn classes(&self) -> usize {
        self.train.classes()
    }

    fn class_name(&self, label: u8) -> String {
        self.train.class_name(label)
    }

    fn size(&self) -> Option<u64> {
        Some(self.sizes.iter().sum())
    }

    fn train_size(&self) -> Option<u64> {
        Some(self.sizes[0])
    }

    fn class_counts(&self) -> Option<Vec<u64>> {
        self.train.class_counts()
    }

    fn fingerprint(&self) -> String {
        self.train.fingerprint()
    }

    fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
        match (&self.test, index.checked_sub(self.sizes[0])) {
            (Some(test), Some(index)) => test.image(index, pixels),
            _ => self.train.image(index, pixels),
        }
    }
}
