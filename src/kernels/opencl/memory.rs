//! Pieces of a device's memory, returned to a pool when dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::driver::{Failure, Piece, bytes_of, bytes_of_mut};
use super::{Queue, State};
use crate::kernels::buffer::{LINE, size_class};
use crate::kernels::device::DeviceError;
use crate::kernels::element::Plain;

/// Uploads on their way that are held at once: more than a training step has. Beyond it the host waits.
const UPLOADS: usize = 256 << 20;

/// The share of a device's memory that may lie idle in the pool; what is given back beyond it goes back to the device,
/// which other programs use too. More than a quarter is idle at once only where more than that was in use, and then a
/// step is long beside the calls that ask for it again.
const IDLE_SHARE: u64 = 4;

/// Values in a device's memory. Clones share them.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Held>);

#[derive(Debug)]
struct Held {
    /// `None` for no bytes, and while it is dropped.
    piece: Option<Piece>,
    queue: Queue,
}

impl Memory {
    /// The device.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// What OpenCL knows; nothing for memory of no bytes.
    pub(super) fn piece(&self) -> Option<&Piece> {
        self.0.piece.as_ref()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Commands that still use the piece run before those that its next user starts.
        if let Some(piece) = self.piece.take() {
            self.queue.give(piece);
        }
    }
}

/// Free pieces by size class.
#[derive(Default)]
pub(super) struct Free {
    classes: Vec<Vec<Piece>>,
    /// Bytes of all pieces, in use or not.
    bytes: u64,
    /// Bytes of those that are not in use.
    idle: u64,
}

impl Free {
    fn take(&mut self, class: usize) -> Option<Piece> {
        let piece = self.classes.get_mut(class)?.pop()?;
        self.idle -= piece.bytes() as u64;
        Some(piece)
    }

    /// Keeps a piece for its next user, or gives it back to the device where more than `most` bytes would be idle.
    fn give(&mut self, piece: Piece, most: u64) {
        let bytes = piece.bytes() as u64;
        if self.idle + bytes > most {
            self.bytes -= bytes;
            return;
        }
        let (class, _) = size_class(piece.bytes().div_ceil(LINE));
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Vec::new);
        }
        self.classes[class].push(piece);
        self.idle += bytes;
    }

    /// Gives what is free back to the device, which takes it when the commands that use it have run.
    fn clear(&mut self) {
        self.classes.clear();
        self.bytes -= self.idle;
        self.idle = 0;
    }
}

impl Queue {
    /// Memory for `len` values, which are anything: NaN in debug builds. `what` names their user in errors.
    pub fn allocate<T: Plain>(&self, len: usize, what: &dyn Fn() -> String) -> Result<Memory, DeviceError> {
        let refused = |reason: String| self.error(&what(), reason);
        let Some(bytes) = len.checked_mul(size_of::<T>()) else {
            return Err(refused(format!("{len} values are more than any memory holds")));
        };
        if bytes == 0 {
            return Ok(Memory(Arc::new(Held { piece: None, queue: self.clone() })));
        }
        let (class, lines) = size_class(bytes.div_ceil(LINE));
        let recycled = self.state().free.take(class);
        let piece = match recycled {
            Some(piece) => piece,
            None => self.fresh(bytes, lines.saturating_mul(LINE)).map_err(refused)?,
        };
        if cfg!(debug_assertions) {
            // An output that a kernel forgot to write shows at once: all bits set are a NaN.
            let filled = self.with_room(&mut self.state().free, || self.0.commands.fill(&piece, 0xff, bytes));
            filled.map_err(|failure| refused(failure.to_string()))?;
        }
        Ok(Memory(Arc::new(Held { piece: Some(piece), queue: self.clone() })))
    }

    /// Takes a piece back.
    fn give(&self, piece: Piece) {
        // Exact pieces differ within a class, so that none serves for another.
        let most = if self.0.taken_for.exact { 0 } else { self.info().memory / IDLE_SHARE };
        self.state().free.give(piece, most);
    }

    /// What a call answers, which if the device has no memory left for it is made once more, when all that was started
    /// is done and the pool is empty.
    pub(super) fn with_room<R>(
        &self,
        free: &mut Free,
        mut call: impl FnMut() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match call() {
            Err(failure) if failure.is_for_memory() => {
                free.clear();
                self.0.waits.fetch_add(1, Relaxed);
                self.0.commands.finish()?;
                call()
            }
            answer => answer,
        }
    }

    /// Memory for numbers on their way from one kernel to the next.
    ///
    /// # Panics
    /// With a [`DeviceError`] if there is none left.
    pub fn scratch<T: Plain>(&self, len: usize, what: &str) -> Memory {
        self.allocate::<T>(len, &|| format!("{what}: {len} values")).unwrap_or_else(|error| error.raise())
    }

    /// Memory that the pool does not have: so many `bytes`, or for the sake of the pool as many as their class has.
    fn fresh(&self, bytes: usize, class: usize) -> Result<Piece, String> {
        let (info, wanted) = (self.info(), megabytes(bytes as u64));
        if bytes as u64 > info.largest_piece {
            let most = megabytes(info.largest_piece);
            return Err(format!("memory exhausted: {wanted} in one piece, where the device gives at most {most}"));
        }
        let size = if self.0.taken_for.exact { bytes as u64 } else { (class as u64).min(info.largest_piece) };
        let mut state = self.state();
        let State { free, .. } = &mut *state;
        if free.bytes + size > info.memory {
            free.clear();
        }
        let exhausted = |free: &Free| {
            let (used, all) = (megabytes(free.bytes), megabytes(info.memory));
            format!("memory exhausted: {wanted} more than the {used} in use, of {all}")
        };
        if free.bytes + size > info.memory {
            return Err(exhausted(free));
        }
        let piece = self.with_room(free, || self.0.commands.allocate(size as usize));
        let piece = piece.map_err(|failure| format!("{} ({failure})", exhausted(free)))?;
        free.bytes += size;
        Ok(piece)
    }

    /// Values of the host, copied to the device. They are on their way when this returns; it waits only where too many
    /// bytes would be.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Result<Memory, DeviceError> {
        let what = || format!("the upload of {} values", values.len());
        let failed = |failure| self.error(&what(), failure);
        let memory = self.allocate::<T>(values.len(), &what)?;
        let Some(piece) = memory.piece() else { return Ok(memory) };
        let bytes: Box<[u8]> = bytes_of(values).into();
        let len = bytes.len();
        self.0.up.fetch_add(len as u64, Relaxed);
        let mut state = self.state();
        state.uploads.push(bytes);
        state.upload_bytes += len;
        let kept: *const [u8] = &**state.uploads.last().expect("pushed above");
        // SAFETY: the queue keeps the bytes, which nobody changes, until it has finished.
        self.with_room(&mut state.free, || unsafe { self.0.commands.write(piece, kept) }).map_err(failed)?;
        if state.upload_bytes > UPLOADS {
            self.finish(&mut state).map_err(failed)?;
        }
        Ok(memory)
    }

    /// Waits for all that was started, and copies values to the host, from number `start` on.
    pub fn download<T: Plain>(&self, memory: &Memory, start: usize, values: &mut [T]) -> Result<(), DeviceError> {
        let Some(piece) = memory.piece() else { return Ok(()) };
        let len = values.len();
        let bytes = bytes_of_mut(values);
        self.0.waits.fetch_add(1, Relaxed);
        self.0.down.fetch_add(bytes.len() as u64, Relaxed);
        let mut state = self.state();
        let start = start * size_of::<T>();
        let read = self.with_room(&mut state.free, || self.0.commands.read(piece, start, bytes));
        read.map_err(|failure| self.error(&format!("the download of {len} values"), failure))?;
        state.forget_uploads();
        Ok(())
    }

    /// Waits for all that was started.
    pub(super) fn finish(&self, state: &mut State) -> Result<(), Failure> {
        self.0.waits.fetch_add(1, Relaxed);
        self.0.commands.finish()?;
        state.forget_uploads();
        Ok(())
    }
}

impl State {
    /// After a wait: what was on its way has arrived.
    fn forget_uploads(&mut self) {
        self.uploads.clear();
        self.upload_bytes = 0;
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
