//! Where the values of a tensor live: in the host's memory, on a device, or both.

use std::sync::OnceLock;

use super::Buffer;
use super::device::{DeviceError, Operand};
use super::element::Plain;
use super::opencl::{Memory, Queue};

/// Values that never change while they are shared: a copy on the host and one on a device, each made when it is first
/// asked for. Both stay valid, so that nothing has to say which is newer.
#[derive(Debug)]
pub struct Storage<T: Plain> {
    len: usize,
    /// The device on which operations on these values run; without one, they run on the host. It does not change where
    /// a copy is made elsewhere.
    home: Option<Queue>,
    host: OnceLock<Buffer<T>>,
    device: OnceLock<Memory>,
}

impl<T: Plain> Storage<T> {
    /// Values that the host has written.
    pub fn host(buffer: Buffer<T>, home: Option<Queue>) -> Storage<T> {
        Storage { len: buffer.len(), home, host: OnceLock::from(buffer), device: OnceLock::new() }
    }

    /// Values that a device has written, or will have when it comes to that.
    pub fn device(memory: Memory, len: usize) -> Storage<T> {
        Storage { len, home: Some(memory.queue().clone()), host: OnceLock::new(), device: OnceLock::from(memory) }
    }

    /// The number of values.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The device on which operations on these values run.
    #[inline]
    pub fn home(&self) -> Option<&Queue> {
        self.home.as_ref()
    }

    /// The values on the host; it waits for a device that has them alone.
    ///
    /// # Panics
    /// With a [`DeviceError`] if the device fails.
    #[inline]
    #[track_caller]
    pub fn values(&self) -> &[T] {
        match self.host.get() {
            Some(buffer) => buffer,
            None => self.downloaded(),
        }
    }

    #[cold]
    #[track_caller]
    fn downloaded(&self) -> &[T] {
        self.host.get_or_init(|| {
            let memory = self.device.get().expect("values live on the host or on a device");
            let mut buffer = Buffer::stale(self.len);
            memory.queue().download(memory, &mut buffer).unwrap_or_else(|error| error.raise());
            buffer
        })
    }

    /// The values on a device; they are on their way when this returns.
    pub fn memory(&self, queue: &Queue) -> Result<Memory, DeviceError> {
        if let Some(memory) = self.device.get() {
            if memory.queue() == queue {
                return Ok(memory.clone());
            }
            // Of another device: not kept.
            return queue.upload(self.values());
        }
        let memory = queue.upload(self.values())?;
        Ok(self.device.get_or_init(|| memory).clone())
    }

    /// The values for writing on the host; what a device holds of them is dropped.
    #[track_caller]
    pub fn values_mut(&mut self) -> &mut [T] {
        self.values();
        self.device.take();
        self.host.get_mut().expect("made above")
    }

    /// The values for writing on a device. Once they are changed, [`changed_on`](Storage::changed_on).
    pub fn memory_mut(&mut self, queue: &Queue) -> Result<Memory, DeviceError> {
        if self.device.get().is_some_and(|memory| memory.queue() != queue) {
            self.values();
            self.device.take();
        }
        self.memory(queue)
    }

    /// The values were changed on this device, which is their home now: what the host holds of them is dropped.
    pub fn changed_on(&mut self, queue: &Queue) {
        self.home = Some(queue.clone());
        self.host.take();
    }

    /// Gives the values a home on a device, wherever they are now.
    pub fn settle(&mut self, home: Queue) {
        self.home = Some(home);
    }
}

impl Operand<'_> {
    /// An operand over some values on a device.
    pub fn new(memory: &Memory, start: usize, len: usize) -> Operand<'_> {
        Operand { memory, start, len }
    }
}
