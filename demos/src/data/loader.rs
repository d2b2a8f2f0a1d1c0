//! Batches prepared ahead of training, on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::{Dataset, Order};

/// Batches that wait, prepared, for training to take them. One would do if all steps took equally long.
const AHEAD: usize = 3;

/// The real images of one update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Its number since the start of training, from 0.
    pub number: u64,
    /// (n, height, width, channels) in [−1, 1].
    pub images: Vec<f32>,
    /// The n labels.
    pub labels: Vec<u8>,
}

/// Prepares the batches of an [`Order`] one after another, so that training need not wait for data.
///
/// A batch depends on the order and its number alone, so its bits are those that the set itself would give. The memory
/// of a batch is used again when the next one has been taken.
#[derive(Debug)]
pub struct Loader {
    /// In use by the caller.
    current: Batch,
    ready: Option<Receiver<Batch>>,
    used: Sender<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts to prepare batches of `n` images, from the one with the number `first` on.
    pub fn new(data: Arc<dyn Dataset>, order: Order, n: usize, first: u64) -> Loader {
        let (ready_sender, ready) = sync_channel(AHEAD);
        let (used, used_receiver) = channel();
        let thread = std::thread::spawn(move || prepare(&*data, order, n, first, &ready_sender, &used_receiver));
        Loader { current: Batch::default(), ready: Some(ready), used, thread: Some(thread) }
    }

    /// The next batch, once it is there; it is lent, and may be changed, until the one after it is asked
    /// for.
    ///
    /// # Panics
    /// If an image cannot be had: with what [`Dataset::batch`] says.
    pub fn next_batch(&mut self) -> &mut Batch {
        let ready = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        match ready {
            Some(batch) => {
                let used = std::mem::replace(&mut self.current, batch);
                // If the thread has gone, the next call will tell.
                let _ = self.used.send(used);
                &mut self.current
            }
            None => self.fail(),
        }
    }

    /// The thread ends by itself only through a panic: it goes on here.
    fn fail(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => panic!("Loader: asked for a batch after its thread had failed"),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // The thread ends when nobody can receive what it has prepared.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            // A panic on it concerns a batch that nobody has asked for.
            let _ = thread.join();
        }
    }
}

fn prepare(
    data: &dyn Dataset,
    mut order: Order,
    n: usize,
    first: u64,
    ready: &SyncSender<Batch>,
    used: &Receiver<Batch>,
) {
    for number in first.. {
        let mut batch = used.try_recv().unwrap_or_default();
        batch.number = number;
        batch.images.resize(n * data.shape().numel(), 0.0);
        batch.labels.resize(n, 0);
        data.batch(&order.indices(number, n), &mut batch.images, &mut batch.labels);
        if ready.send(batch).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Digits, ImageShape, Images};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    fn images(n: usize) -> Arc<dyn Dataset> {
        let shape = ImageShape { channels: 3, height: 2, width: 2 };
        let pixels = (0..12 * n).map(|k| (k * 7 % 256) as u8).collect();
        Arc::new(Images::new("made", shape, pixels, (0..n).map(|i| (i % 5) as u8).collect()))
    }

    /// As training without a loader does it.
    fn directly(data: &dyn Dataset, order: &mut Order, n: usize, number: u64) -> Batch {
        let (mut images, mut labels) = (vec![0.0; n * data.shape().numel()], vec![0; n]);
        data.batch(&order.indices(number, n), &mut images, &mut labels);
        Batch { number, images, labels }
    }

    #[test]
    fn batches_come_in_order_with_the_bits_of_the_direct_way() {
        let drawn: Arc<dyn Dataset> = Arc::new(Digits::new(3));
        for (data, part, first) in [(images(23), 0..23, 0), (images(23), 4..20, 9), (drawn, 0..u64::MAX, 5)] {
            let mut loader = Loader::new(data.clone(), Order::new(part.clone(), 7), 6, first);
            let mut order = Order::new(part, 7);
            for number in first..first + 25 {
                assert_eq!(*loader.next_batch(), directly(&*data, &mut order, 6, number));
            }
        }
    }

    /// A set that counts the images that it has made.
    struct Counted(AtomicU64);

    impl Dataset for Counted {
        fn name(&self) -> &str {
            "counted"
        }
        fn shape(&self) -> ImageShape {
            ImageShape { channels: 1, height: 1, width: 1 }
        }
        fn classes(&self) -> usize {
            1
        }
        fn size(&self) -> Option<u64> {
            None
        }
        fn image(&self, index: u64, pixels: &mut [u8]) -> u8 {
            self.0.fetch_add(1, Ordering::Relaxed);
            pixels[0] = index as u8;
            0
        }
    }

    #[test]
    fn batches_are_prepared_before_they_are_asked_for_but_not_without_end() {
        let data = Arc::new(Counted(AtomicU64::new(0)));
        let mut loader = Loader::new(data.clone(), Order::new(0..u64::MAX, 0), 1, 0);
        for taken in 0..5 {
            // Those that wait, and one in the hands of the thread.
            let most = taken + AHEAD as u64 + 1;
            let start = Instant::now();
            while data.0.load(Ordering::Relaxed) < most {
                assert!(start.elapsed() < Duration::from_secs(60), "{taken} taken, fewer than {most} prepared");
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(data.0.load(Ordering::Relaxed), most);
            loader.next_batch();
        }
    }

    #[test]
    fn one_who_stops_early_leaves_nothing_running() {
        let data = images(5);
        let mut loader = Loader::new(data.clone(), Order::new(0..5, 0), 2, 0);
        loader.next_batch();
        drop(loader);
        assert_eq!(Arc::strong_count(&data), 1, "the thread has given its set back");
        drop(Loader::new(data, Order::new(0..5, 0), 2, 0));
    }

    #[test]
    fn memory_is_used_again() {
        let mut loader = Loader::new(images(50), Order::new(0..50, 0), 5, 0);
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..100 {
            places.insert(loader.next_batch().images.as_ptr() as usize);
        }
        // Those ahead, one in use, one in the making, and one on its way back; the first one is empty.
        assert!(places.len() <= AHEAD + 4, "{} buffers", places.len());
    }

    #[test]
    #[should_panic(expected = "made: image 5 of a set of 5")]
    fn a_fault_on_the_thread_is_told_here() {
        let mut loader = Loader::new(images(5), Order::new(0..6, 0), 6, 0);
        loader.next_batch();
    }
}
