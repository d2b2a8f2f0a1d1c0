//! Where the values of a tensor live: in the host's memory, on a device, or both.

use std::ops::Range;
use std::sync::OnceLock;

use super::Buffer;
use super::device::{DeviceError, Operand};
use super::element::Plain;
use super::opencl::{Memory, Queue};

/// Bytes of a storage that is copied whole in any case: a copy of so many takes hardly longer than the wait for it, and
/// what is asked for next is there then.
const SMALL: usize = 64 << 10;

/// Values that never change while they are shared: a copy on the host and one on a device, each made when it is first
/// asked for. Both stay valid, so that nothing has to say which is newer.
#[derive(Debug)]
pub struct Storage<T: Plain> {
    len: usize,
    /// The device on which operations on these values run; without one, they run on the host. It does not change where
    /// a copy is made elsewhere.
    home: Option<Queue>,
    host: Side<Buffer<T>>,
    device: Side<Memory>,
}

/// A copy that is there from the start, or is made when it is first asked for. (A `OnceLock` alone would be filled
/// through its lock even where nobody else knows it yet: a twentieth of a tiny operation.)
#[derive(Debug)]
enum Side<C> {
    Given(C),
    Asked(OnceLock<C>),
}

impl<C> Side<C> {
    fn none() -> Side<C> {
        Side::Asked(OnceLock::new())
    }

    #[inline]
    fn get(&self) -> Option<&C> {
        match self {
            Side::Given(copy) => Some(copy),
            Side::Asked(made) => made.get(),
        }
    }

    fn get_mut(&mut self) -> Option<&mut C> {
        match self {
            Side::Given(copy) => Some(copy),
            Side::Asked(made) => made.get_mut(),
        }
    }

    fn get_or_init(&self, make: impl FnOnce() -> C) -> &C {
        match self {
            Side::Given(copy) => copy,
            Side::Asked(made) => made.get_or_init(make),
        }
    }

    fn clear(&mut self) {
        *self = Side::none();
    }
}

impl<T: Plain> Storage<T> {
    /// Values that the host has written.
    pub fn host(buffer: Buffer<T>, home: Option<Queue>) -> Storage<T> {
        Storage { len: buffer.len(), home, host: Side::Given(buffer), device: Side::none() }
    }

    /// Values that a device has written, or will have when it comes to that.
    pub fn device(memory: Memory, len: usize) -> Storage<T> {
        Storage { len, home: Some(memory.queue().clone()), host: Side::none(), device: Side::Given(memory) }
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
            None => self.downloaded().unwrap_or_else(|error| error.raise()),
        }
    }

    #[cold]
    fn downloaded(&self) -> Result<&[T], DeviceError> {
        let buffer = match self.host.get() {
            Some(buffer) => return Ok(buffer),
            None => self.part(0..self.len)?,
        };
        Ok(self.host.get_or_init(|| buffer))
    }

    /// Some of the values, which a device has.
    fn part(&self, range: Range<usize>) -> Result<Buffer<T>, DeviceError> {
        let memory = self.device.get().expect("values live on the host or on a device");
        let mut buffer = Buffer::stale(range.len());
        memory.queue().download(memory, range.start, &mut buffer)?;
        Ok(buffer)
    }

    /// A copy of some values on the host; it waits for a device that has them alone. Of a few of many, the others stay
    /// there.
    pub fn copy_of(&self, range: Range<usize>) -> Result<Buffer<T>, DeviceError> {
        if self.host.get().is_none() && self.is_small_part(&range) {
            return self.part(range);
        }
        let mut buffer = Buffer::stale(range.len());
        buffer.copy_from_slice(&self.downloaded()?[range]);
        Ok(buffer)
    }

    /// Whether to copy these values costs clearly less than to copy all, which are kept on both sides then.
    fn is_small_part(&self, range: &Range<usize>) -> bool {
        self.len * size_of::<T>() > SMALL && range.len() <= self.len / 2
    }

    /// Some of the values on a device, and where in its memory they lie; they are on their way when this returns. With
    /// a few of many, the others stay on the host.
    pub fn placed(&self, queue: &Queue, range: Range<usize>) -> Result<(Memory, Range<usize>), DeviceError> {
        let is_there = self.device.get().is_some_and(|memory| memory.queue() == queue);
        if !is_there && self.is_small_part(&range) {
            return Ok((queue.upload(&self.copy_of(range.clone())?)?, 0..range.len()));
        }
        Ok((self.memory(queue)?, range))
    }

    /// The values on a device; they are on their way when this returns.
    pub fn memory(&self, queue: &Queue) -> Result<Memory, DeviceError> {
        if let Some(memory) = self.device.get().filter(|memory| memory.queue() == queue) {
            return Ok(memory.clone());
        }
        let memory = queue.upload(self.downloaded()?)?;
        // One device's is kept: that of another, which has some already or was faster, is not this one's.
        let kept = self.device.get_or_init(|| memory.clone());
        Ok(if kept.queue() == queue { kept.clone() } else { memory })
    }

    /// The values for writing on the host; what a device holds of them is dropped.
    #[track_caller]
    pub fn values_mut(&mut self) -> &mut [T] {
        self.values();
        self.device.clear();
        self.host.get_mut().expect("made above")
    }

    /// The values for writing on a device. Once they are changed, [`changed_on`](Storage::changed_on).
    pub fn memory_mut(&mut self, queue: &Queue) -> Result<Memory, DeviceError> {
        if self.device.get().is_some_and(|memory| memory.queue() != queue) {
            self.downloaded()?;
            self.device.clear();
        }
        self.memory(queue)
    }

    /// The values were changed on this device, which is their home now: what the host holds of them is dropped.
    pub fn changed_on(&mut self, queue: &Queue) {
        self.home = Some(queue.clone());
        self.host.clear();
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
