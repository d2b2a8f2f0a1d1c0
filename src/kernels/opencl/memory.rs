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
            self.queue.state().free.give(piece);
        }
    }
}

/// Free pieces by size class.
#[derive(Default)]
pub(super) struct Free {
    classes: Vec<Vec<Piece>>,
    /// Bytes of all pieces, in use or not.
    bytes: u64,
}

impl Free {
    fn take(&mut self, class: usize) -> Option<Piece> {
        self.classes.get_mut(class)?.pop()
    }

    fn give(&mut self, piece: Piece) {
        let (class, _) = size_class(piece.bytes().div_ceil(LINE));
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Vec::new);
        }
        self.classes[class].push(piece);
    }

    /// Gives what is free back to the device.
    fn clear(&mut self) {
        let free: usize = self.classes.drain(..).flatten().map(|piece| piece.bytes()).sum();
        self.bytes -= free as u64;
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
            None => self.fresh(lines.saturating_mul(LINE)).map_err(refused)?,
        };
        if cfg!(debug_assertions) {
            // An output that a kernel forgot to write shows at once: all bits set are a NaN.
            let filled = self.0.commands.fill(&piece, 0xff, bytes);
            filled.map_err(|failure| refused(failure.to_string()))?;
        }
        Ok(Memory(Arc::new(Held { piece: Some(piece), queue: self.clone() })))
    }

    /// Memory for numbers on their way from one kernel to the next.
    ///
    /// # Panics
    /// With a [`DeviceError`] if there is none left.
    pub fn scratch<T: Plain>(&self, len: usize, what: &str) -> Memory {
        self.allocate::<T>(len, &|| format!("{what}: {len} values")).unwrap_or_else(|error| error.raise())
    }

    /// Memory that the pool does not have.
    fn fresh(&self, bytes: usize) -> Result<Piece, String> {
        let (info, size) = (self.info(), bytes as u64);
        if size > info.largest_piece {
            let (wanted, most) = (megabytes(size), megabytes(info.largest_piece));
            return Err(format!("memory exhausted: {wanted} in one piece, where the device gives at most {most}"));
        }
        let mut state = self.state();
        let State { free, .. } = &mut *state;
        if free.bytes + size > info.memory {
            free.clear();
        }
        let exhausted = |free: &Free| {
            let (wanted, used, all) = (megabytes(size), megabytes(free.bytes), megabytes(info.memory));
            format!("memory exhausted: {wanted} more than the {used} in use, of {all}")
        };
        if free.bytes + size > info.memory {
            return Err(exhausted(free));
        }
        let mut piece = self.0.commands.allocate(bytes);
        if piece.is_err() {
            free.clear();
            piece = self.0.commands.allocate(bytes);
        }
        let piece = piece.map_err(|failure| format!("{} ({failure})", exhausted(free)))?;
        free.bytes += size;
        Ok(piece)
    }

    /// Values of the host, copied to the device. They are on their way when this returns.
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
        unsafe { self.0.commands.write(piece, kept) }.map_err(failed)?;
        if state.upload_bytes > UPLOADS {
            self.finish(&mut state).map_err(failed)?;
        }
        Ok(memory)
    }

    /// Waits for all that was started, and copies values to the host.
    pub fn download<T: Plain>(&self, memory: &Memory, values: &mut [T]) -> Result<(), DeviceError> {
        let Some(piece) = memory.piece() else { return Ok(()) };
        let len = values.len();
        let bytes = bytes_of_mut(values);
        self.0.waits.fetch_add(1, Relaxed);
        self.0.down.fetch_add(bytes.len() as u64, Relaxed);
        let mut state = self.state();
        let read = self.0.commands.read(piece, bytes);
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
