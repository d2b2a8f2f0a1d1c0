//! The classifier on whose features the metrics stand: a small convolutional network, trained here, once for each set.
//!
//! | layer                                          | out, for 32×32 |
//! |------------------------------------------------|----------------|
//! | 3×3 conv, BN, ReLU                             | 32 × 32 × 32   |
//! | 4×4 conv, stride 2, BN, ReLU                   | 64 × 16 × 16   |
//! | 4×4 conv, stride 2, BN, ReLU                   | 128 × 8 × 8    |
//! | 3×3 conv, BN, ReLU                             | 128 × 8 × 8    |
//! | mean over all positions: the features          | 128            |
//! | dense                                          | classes        |
//!
//! Features that are means over positions are what the published metrics take of the Inception network, too. Images
//! with sides of 128 or more are averaged down to sides of 64 to 127 first, so that memory stays bounded.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use wengert::nn::{Init, Linear, Mode, Params, Pass, WeightOptions};
use wengert::ops::loss;
use wengert::optim::{Adam, Optimizer};
use wengert::{Archive, Rng, Tape, Tensor, Var};

use super::score::{argmax, check_probabilities};
use crate::data::{Dataset, ImageShape, Order, Part, PartOf};
use crate::files::{quoted, shown};
use crate::models::architecture::{average_pool, batch_norm, conv, global_mean, relu};
use crate::models::{Architecture, Network};
use crate::sealed;

/// Channels, side of the kernel, and stride of each convolution.
const CONVOLUTIONS: [(usize, usize, usize); 4] = [(32, 3, 1), (64, 4, 2), (128, 4, 2), (128, 3, 1)];

/// Numbers in a feature.
const FEATURES: usize = CONVOLUTIONS[3].0;

/// Images that go through the network at once when it is used.
const BATCH: usize = 100;

/// The most images that the accuracy is measured on.
const MOST_TESTED: u64 = 10_000;

/// Images of an endless set that are hashed to tell it from another; of a finite one, all are.
const FINGERPRINT: u64 = 500;

/// How the classifier is trained: by Adam on the cross entropy, with a learning rate that falls to 0 on a line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Updates.
    pub steps: u64,
    /// Images in an update.
    pub batch: usize,
    /// Adam's first learning rate.
    pub lr: f64,
    /// Determines initial weights and the order of the images.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { steps: 1600, batch: 64, lr: 2e-3, seed: 0 }
    }
}

/// A trained classifier.
pub struct Classifier {
    name: String,
    image: ImageShape,
    params: Params,
    net: Net,
    accuracy: f64,
}

/// What the classifier makes of images.
pub struct Outputs {
    /// (n, 128).
    pub features: Tensor<f64>,
    /// (n, classes); rows sum to 1.
    pub probabilities: Tensor<f64>,
}

impl Classifier {
    /// The classifier of a set: read from the directory `cache` or, if it is not there, trained and kept there.
    ///
    /// It learns from the images of [`Part::Classifier`]. `progress` is told after each update how many of how many are
    /// done; it is not called if there is nothing to train.
    ///
    /// # Errors
    /// The set has one class only, or no image for the classifier or to test it on; a file in the cache is damaged, or
    /// holds a weight that is not finite; training diverges; the cache cannot be written.
    pub fn open(
        set: &dyn Dataset,
        cache: &Path,
        settings: &Settings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Classifier> {
        let (training, test) = (Part::Classifier.of(set), Part::Reference.of(set));
        let (name, classes) = (set.name(), set.classes());
        ensure!(
            classes > 1,
            "{name}: all images are of one class; expected at least two, for a classifier to tell apart"
        );
        let too_small = training.is_empty() || test.is_empty();
        ensure!(!too_small, "{name}: found too few images; expected enough for the classifier of the metrics");
        let name = Classifier::file_name(set, settings);
        let path = cache.join(&name);
        let mut classifier = Classifier::fresh(name, set.shape(), classes, settings.seed);
        if path.exists() {
            let advice =
                || format!("cannot use the classifier in the cache; delete {} to train it again", quoted(&path));
            classifier.load(&path).with_context(advice)?;
            return Ok(classifier);
        }
        // Before the training, not after it.
        std::fs::create_dir_all(cache)
            .with_context(|| format!("--cache {}: cannot make the directory", cache.display()))?;
        classifier.train(&training, settings, progress);
        classifier
            .check_finite()
            .with_context(|| format!("{}: training of the classifier has diverged", set.name()))?;
        classifier.accuracy = classifier.measure_accuracy(&test)?;
        classifier.save(&path)?;
        Ok(classifier)
    }

    /// The name of the file that holds the classifier of this set, trained so: its hash is of all that it depends on.
    pub fn file_name(set: &dyn Dataset, settings: &Settings) -> String {
        let part = Part::Classifier.of(set);
        let spec = format!("sealed {CONVOLUTIONS:?} {settings:?} {} {} {}", set.shape(), set.classes(), part.len());
        let mut hash = Fnv::new(spec.as_bytes());
        let mut pixels = vec![0; set.shape().numel()];
        let hashed = if set.size().is_some() { part.len() } else { FINGERPRINT };
        for i in 0..hashed {
            let label = part.image(i, &mut pixels);
            hash.update(&pixels);
            hash.update(&[label]);
        }
        format!("{}-{:016x}.safetensors", set.name(), hash.0)
    }

    /// With initial weights.
    fn fresh(name: String, image: ImageShape, classes: usize, seed: u64) -> Classifier {
        let mut params = Params::new();
        let mut rng = Rng::stream(seed, 0);
        let net = Net::new(&mut params, image, classes, &mut rng);
        Classifier { name, image, params, net, accuracy: 0.0 }
    }

    fn train(&mut self, images: &PartOf<&dyn Dataset>, settings: &Settings, progress: &mut dyn FnMut(u64, u64)) {
        let Settings { steps, batch, lr, seed } = *settings;
        let mut order = Order::new(0..images.len(), seed);
        let mut adam = Adam::new(lr);
        for step in 0..steps {
            let (x, labels) = load(images, &order.indices(step, batch));
            let tape = Tape::new();
            let pass = Pass::new(&self.params, &tape, Mode::Train);
            let logits = self.net.logits(&pass, &self.net.features(&pass, &x));
            let loss = loss::cross_entropy(&logits, &labels);
            let gradients = pass.gradients(&loss.backward());
            adam.set_lr(lr * (1.0 - step as f64 / steps as f64));
            adam.step(&mut self.params, &gradients);
            progress(step + 1, steps);
        }
    }

    /// The share of images whose class it finds, of the first ten thousand at most.
    fn measure_accuracy(&self, images: &PartOf<&dyn Dataset>) -> Result<f64> {
        let all: Vec<u64> = (0..images.len().min(MOST_TESTED)).collect();
        let classes = self.net.classes;
        let right = |indices: &[u64]| {
            let (x, labels) = load(images, indices);
            let (_, probabilities) = self.forward(&x);
            check_probabilities(&format!("probabilities from {}", self.name), &probabilities, classes)?;
            let found = probabilities.chunks_exact(classes).map(argmax);
            Ok(found.zip(labels).filter(|(found, label)| found == label).count())
        };
        Ok(all.chunks(BATCH).map(right).sum::<Result<usize>>()? as f64 / all.len() as f64)
    }

    /// Refuses weights and running statistics that are not finite.
    fn check_finite(&self) -> Result<()> {
        let values = |name: &str| self.params.get(name).map_or(Vec::new(), |value| value.to_vec());
        let broken = self.params.names().find(|name| values(name).iter().any(|x| !x.is_finite()));
        ensure!(broken.is_none(), "classifier.{} is not finite", broken.unwrap_or_default());
        Ok(())
    }

    /// The features and the class probabilities of images, (n, height, width, channels) in [−1, 1].
    ///
    /// # Panics
    /// If they are not of the size that it was trained for.
    #[track_caller]
    pub fn outputs(&self, images: &[f32]) -> Outputs {
        let (n, numel) = (images.len() / self.image.numel(), self.image.numel());
        assert_eq!(images.len(), n * numel, "Classifier: numbers in images of {}", self.image);
        let (mut features, mut probabilities) = (Vec::new(), Vec::new());
        for some in images.chunks(BATCH * numel) {
            let (f, p) = self.forward(&channels_first(some, self.image));
            features.extend(f);
            probabilities.extend(p);
        }
        Outputs {
            features: Tensor::from_vec([n, FEATURES], features),
            probabilities: Tensor::from_vec([n, self.net.classes], probabilities),
        }
    }

    /// Features and class probabilities, row by row, of a batch (N, C, H, W).
    fn forward(&self, x: &Var) -> (Vec<f64>, Vec<f64>) {
        let pass = Pass::frozen(&self.params, Mode::Eval);
        let features = self.net.features(&pass, x);
        // The softmax in f64, so that the rows sum to 1.
        let logits = Var::from(self.net.logits(&pass, &features).value().cast::<f64>());
        (features.value().cast().to_vec(), logits.softmax(1).value().to_vec())
    }

    /// The name of its file in the cache, which holds a hash of all that it depends on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size of the images that it was trained for.
    pub fn image(&self) -> ImageShape {
        self.image
    }

    /// The share of the images of [`Part::Reference`] whose class it finds, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.accuracy
    }

    fn save(&self, path: &Path) -> Result<()> {
        let mut archive = Archive::new();
        self.params.store(&mut archive, "classifier.");
        archive.set_text("accuracy", self.accuracy.to_string());
        sealed::seal(&mut archive);
        Ok(archive.save(path)?)
    }

    fn load(&mut self, path: &Path) -> Result<()> {
        let mut archive = sealed::load(path)?;
        sealed::open(&mut archive).with_context(|| path.display().to_string())?;
        self.params.restore(&archive, "classifier.")?;
        let text = archive.text("accuracy")?;
        let accuracy = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        let damaged =
            || format!("{}: found an accuracy of {}, expected a number from 0 to 1", path.display(), shown(text));
        self.accuracy = accuracy.with_context(damaged)?;
        self.check_finite().with_context(|| path.display().to_string())
    }
}

/// The layers up to the features, and the dense one.
struct Net {
    features: Network,
    dense: Linear,
    classes: usize,
}

/// Images (C, H, W) to features (128).
fn features(image: ImageShape) -> Architecture {
    // Batch norm has a bias of its own.
    let w = WeightOptions::new(Init::PyTorch).without_bias();
    let row = |(i, (channels, kernel, stride)): (usize, (usize, usize, usize))| {
        let name = |of: &str| format!("{of}.{i}");
        vec![conv(name("conv"), channels, kernel, stride, w), batch_norm(name("norm"), Init::PyTorch), relu()]
    };
    let shrink = match shrink(image) {
        1 => vec![],
        side => vec![average_pool(side)],
    };
    let rows = CONVOLUTIONS.into_iter().enumerate().map(row);
    let all = [shrink].into_iter().chain(rows).chain([vec![global_mean()]]);
    Architecture::new([image.channels, image.height, image.width], all)
}

/// The side of the squares that images are averaged over first.
fn shrink(image: ImageShape) -> usize {
    (image.height.min(image.width) / 64).max(1)
}

impl Net {
    fn new(params: &mut Params, image: ImageShape, classes: usize, rng: &mut Rng) -> Net {
        let features = Network::new(features(image), params, rng);
        let dense = Linear::new(&mut params.scope("dense"), FEATURES, classes, Init::PyTorch, rng);
        Net { features, dense, classes }
    }

    /// (N, C, H, W) to (N, 128).
    fn features(&self, pass: &Pass<'_, f32>, x: &Var) -> Var {
        self.features.forward(pass, x, None)
    }

    fn logits(&self, pass: &Pass<'_, f32>, features: &Var) -> Var {
        self.dense.forward(pass, features)
    }
}

/// Images (N, C, H, W) and their labels.
fn load(images: &PartOf<&dyn Dataset>, indices: &[u64]) -> (Var, Vec<usize>) {
    let shape = images.shape();
    let mut pixels = vec![0.0; indices.len() * shape.numel()];
    let mut labels = vec![0; indices.len()];
    images.batch(indices, &mut pixels, &mut labels);
    (channels_first(&pixels, shape), labels.into_iter().map(usize::from).collect())
}

/// (N, C, H, W) of images that lie as (n, height, width, channels): in memory it stays so.
fn channels_first(images: &[f32], shape: ImageShape) -> Var {
    let ImageShape { channels, height, width } = shape;
    let n = images.len() / shape.numel();
    Tensor::from_slice([n, height, width, channels], images).permute([0, 3, 1, 2]).into()
}

/// The hash FNV-1a of 64 bits (Fowler, Noll, Vo): the standard library's may change with its version.
struct Fnv(u64);

impl Fnv {
    fn new(bytes: &[u8]) -> Fnv {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.update(bytes);
        hash
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Digits, Images};

    const QUICK: Settings = Settings { steps: 60, batch: 32, lr: 2e-3, seed: 1 };

    /// Digits, as a finite set.
    fn digits(count: usize) -> Images {
        let mut pixels = vec![0; count * 1024];
        let drawn = Digits::new(9);
        let labels = pixels.chunks_exact_mut(1024).zip(0..).map(|(image, i)| drawn.image(i, image)).collect();
        Images::new("some", drawn.shape(), pixels, labels)
    }

    #[test]
    fn its_file_is_named_after_all_images_that_it_learns_from() {
        let set = digits(3600);
        let name = |change: &dyn Fn(&mut [u8], &mut [u8])| {
            let mut pixels = vec![0; 3600 * 1024];
            let mut labels: Vec<u8> =
                pixels.chunks_exact_mut(1024).zip(0..).map(|(image, i)| set.image(i, image)).collect();
            change(&mut pixels, &mut labels);
            Classifier::file_name(&Images::new("some", set.shape(), pixels, labels), &QUICK)
        };
        let same = name(&|_, _| ());
        assert_eq!(same, Classifier::file_name(&set, &QUICK));
        // Its last image, 600 in all: every sixth of the set, from the fifth on.
        let last = 599 * 6 + 4;
        assert_ne!(same, name(&|pixels, _| pixels[last * 1024 + 7] ^= 1), "a pixel");
        assert_ne!(same, name(&|_, labels| labels[last] = (labels[last] + 1) % 10), "a label");
        assert_eq!(same, name(&|pixels, _| pixels[(last + 1) * 1024] ^= 1), "an image for the comparison");
    }

    fn open(set: &dyn Dataset, cache: &Path, settings: &Settings) -> (Result<Classifier>, u64) {
        let mut told = 0;
        let classifier = Classifier::open(set, cache, settings, &mut |done, steps| {
            told += 1;
            assert_eq!((done, steps), (told, settings.steps));
        });
        (classifier, told)
    }

    #[test]
    fn it_learns_once_and_is_then_read_from_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("new/cache");
        let set = digits(3000);
        let (trained, steps) = open(&set, &cache, &QUICK);
        let trained = trained.unwrap();
        assert_eq!(steps, 60);
        assert!(trained.accuracy() > 0.5, "{}", trained.accuracy());
        let (read, steps) = open(&set, &cache, &QUICK);
        let read = read.unwrap();
        assert_eq!((steps, read.accuracy(), read.name()), (0, trained.accuracy(), trained.name()));
        // Images in the order of the labels, more than one batch of them.
        let mut images = vec![0.0; 120 * 1024];
        let mut labels = [0; 120];
        Part::Reference.of(&set).batch(&(0..120).collect::<Vec<u64>>(), &mut images, &mut labels);
        let (a, b) = (trained.outputs(&images), read.outputs(&images));
        assert_eq!(a.features, b.features);
        assert_eq!(a.probabilities, b.probabilities);
        assert_eq!((a.features.shape(), a.probabilities.shape()), (&[120, 128].into(), &[120, 10].into()));
        let found: Vec<usize> = a.probabilities.to_vec().chunks(10).map(argmax).collect();
        let right = found.iter().zip(labels).filter(|(found, label)| **found == usize::from(*label)).count();
        assert!((right as f64 / 120.0 - trained.accuracy()).abs() < 0.15, "{right} of 120");
        assert!(a.probabilities.to_vec().chunks(10).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    }

    #[test]
    fn the_bits_do_not_depend_on_threads() {
        let set = digits(300);
        let settings = Settings { steps: 3, ..QUICK };
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let classifier = pool.install(|| open(&set, dir.path(), &settings)).0.unwrap();
            std::fs::read(dir.path().join(classifier.name())).unwrap()
        };
        assert!(on(3) == on(1));
    }

    #[test]
    fn the_name_is_of_all_that_it_depends_on() {
        let set = digits(600);
        let name = Classifier::file_name(&set, &QUICK);
        assert!(name.starts_with("some-") && name.ends_with(".safetensors"), "{name}");
        assert_eq!(name, Classifier::file_name(&digits(600), &QUICK));
        let others = [Settings { steps: 61, ..QUICK }, Settings { lr: 1e-3, ..QUICK }, Settings { seed: 2, ..QUICK }];
        assert!(others.iter().all(|settings| name != Classifier::file_name(&set, settings)));
        assert_ne!(name, Classifier::file_name(&digits(660), &QUICK), "another size");
        let shape = set.shape();
        let changed = |place: usize, label: usize| {
            let (mut pixels, mut labels) = (vec![0; 600 * 1024], set.labels().to_vec());
            for (image, i) in pixels.chunks_exact_mut(1024).zip(0..) {
                set.image(i, image);
            }
            pixels[place] ^= 1;
            labels[label] ^= 1;
            Classifier::file_name(&Images::new("some", shape, pixels, labels), &QUICK)
        };
        // Image 4 of each six is the classifier's.
        assert_ne!(changed(4 * 1024 + 500, 0), name, "a pixel");
        assert_ne!(changed(0, 10), name, "a label");
        assert_eq!(changed(0, 0), name, "of images that it does not learn");
    }

    #[test]
    fn the_hash_is_that_of_its_authors() {
        // Test vectors of FNV-1a, 64 bits.
        assert_eq!(Fnv::new(b"").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv::new(b"foobar").0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn sets_without_classes_or_images_and_damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |set: &dyn Dataset| format!("{:#}", open(set, dir.path(), &QUICK).0.err().unwrap());
        let shape = ImageShape { channels: 1, height: 8, width: 8 };
        let of = |labels: Vec<u8>| Images::new("odd", shape, vec![0; labels.len() * 64], labels);
        assert!(refused(&of(vec![0; 60])).contains("odd: all images are of one class"));
        assert!(refused(&of(vec![0, 1, 2, 3, 4])).contains("odd: found too few images"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let set = of((0..60).map(|i| i % 2).collect());
        let path = dir.path().join(Classifier::file_name(&set, &QUICK));
        std::fs::write(&path, "no safetensors").unwrap();
        let message = refused(&set);
        let file = path.display();
        assert!(message.contains("odd-") && message.contains(&format!("delete {file} to train it again: {file}: ")));
    }

    #[test]
    fn weights_that_are_not_finite_are_refused_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let set = digits(60);
        let diverging = Settings { steps: 2, batch: 8, lr: 1e30, seed: 0 };
        let message = format!("{:#}", open(&set, dir.path(), &diverging).0.err().unwrap());
        assert!(message.contains("some: training of the classifier has diverged: classifier."), "{message}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let good = Settings { steps: 1, lr: 1e-3, ..diverging };
        let path = dir.path().join(open(&set, dir.path(), &good).0.unwrap().name());
        let archive = Archive::load(&path).unwrap();
        for (name, shape) in [("dense.bias", 10), ("norm.1.running_var", 64)] {
            let mut archive = archive.clone();
            archive.set_tensor(format!("classifier.{name}"), &Tensor::<f32>::full([shape], f64::NAN));
            sealed::seal(&mut archive);
            archive.save(&path).unwrap();
            let message = format!("{:#}", open(&set, dir.path(), &good).0.err().unwrap());
            let end = format!("{}: classifier.{name} is not finite", path.display());
            let advice = format!("delete {} to train it again", path.display());
            assert!(message.contains(&advice) && message.ends_with(&end), "{message}");
        }
        // A number that is another.
        let mut archive = archive.clone();
        archive.set_tensor("classifier.dense.bias", &Tensor::<f32>::full([10], 0.5));
        archive.save(&path).unwrap();
        let message = format!("{:#}", open(&set, dir.path(), &good).0.err().unwrap());
        assert!(message.ends_with("damaged: the checksum is not that of what the file holds"), "{message}");
    }

    #[test]
    fn large_images_are_averaged_down() {
        let image = ImageShape { channels: 1, height: 200, width: 200 };
        let large = Classifier::fresh("large".into(), image, 2, 0);
        assert_eq!(large.net.features.architecture().layers[0], average_pool(3));
        assert_eq!(large.outputs(&vec![0.5; 2 * image.numel()]).features.shape(), &[2, 128].into());
    }
}
