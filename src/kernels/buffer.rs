//! Recycled memory for tensors.
//!
//! On a virtual machine the first touch of a fresh 4 KiB page was measured at 1.7 µs, which is 2.4 GB/s, a tenth of
//! the memory's bandwidth. A training step makes and drops the same sizes over and over, so dropped buffers go to
//! a pool by size, and from the second step on no tensor touches a fresh page.

use std::sync::Mutex;

use self::lines::Lines;
use super::element::Plain;

mod lines;

/// The bytes of a line of the cache, which sizes are counted in.
#[cfg(feature = "opencl")]
pub(super) const LINE: usize = Lines::SIZE;

/// The pool keeps at most this much; a buffer dropped beyond it goes back to the system.
const KEEP: usize = 2 << 30;

/// A fixed number of elements in memory of the pool, returned to the pool when dropped.
#[derive(Debug)]
pub struct Buffer<T: Plain> {
    lines: Lines,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// `len` elements of any value: whatever the last user left there. For outputs that are written whole.
    ///
    /// # Panics
    /// If the system has no such memory.
    pub fn stale(len: usize) -> Buffer<T> {
        match Buffer::try_stale(len) {
            Some(buffer) => buffer,
            None => panic!("no memory for {len} numbers of {} bytes", size_of::<T>()),
        }
    }

    /// [`stale`](Buffer::stale), or nothing if the system has no such memory.
    pub fn try_stale(len: usize) -> Option<Buffer<T>> {
        // Checked: `deref` relies on the lines holding `len` elements.
        let bytes = len.checked_mul(size_of::<T>())?;
        let lines = POOL.take(bytes.div_ceil(Lines::SIZE))?;
        let mut buffer = Buffer { lines, len, element: std::marker::PhantomData };
        if cfg!(debug_assertions) {
            // An output that a kernel forgot to write shows at once.
            buffer.fill(T::STALE);
        }
        Some(buffer)
    }
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` elements, are aligned to 64 bytes and always initialised (zeros from
        // the system or an earlier user's values), and every bit pattern is a valid value of a `Plain` type.
        unsafe { std::slice::from_raw_parts(self.lines.start().cast(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the exclusive borrow of the lines goes over to the result.
        unsafe { std::slice::from_raw_parts_mut(self.lines.start().cast(), self.len) }
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        POOL.give(std::mem::take(&mut self.lines));
    }
}

static POOL: Pool = Pool(Mutex::new(State { free: Vec::new(), memory: HostMemory::NONE }));

/// Free memory by size class, and what is known of all memory.
struct Pool(Mutex<State>);

struct State {
    free: Vec<Vec<Lines>>,
    memory: HostMemory,
}

/// The memory that this process holds for values of tensors and indices on the host, in all threads.
///
/// What is dropped is kept for the next value of its size, up to 2 GiB; see [`release`](HostMemory::release).
///
/// ```
/// use wengert::{HostMemory, Tensor};
/// let before = HostMemory::now();
/// let x = Tensor::<f32>::zeros([1000, 1000]);
/// let with = HostMemory::now();
/// assert_eq!(with.buffers, before.buffers + 1);
/// assert!(with.used - before.used >= 4_000_000);
/// drop(x);
/// assert_eq!(HostMemory::now().used, before.used);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// How many buffers are in use. Tensors that share one, as views do, count once.
    pub buffers: usize,
    /// Bytes in use; a buffer may be up to an eighth larger than its values.
    pub used: usize,
    /// Bytes kept for later.
    pub kept: usize,
    /// The most bytes that were in use and kept at once, since the start or the last [`release`](HostMemory::release).
    pub most: usize,
}

impl HostMemory {
    const NONE: HostMemory = HostMemory { buffers: 0, used: 0, kept: 0, most: 0 };

    /// What is held now.
    pub fn now() -> HostMemory {
        POOL.0.lock().map_or(HostMemory::NONE, |state| state.memory)
    }

    /// Gives what is kept for later back to the system; `most` begins anew.
    pub fn release() {
        if let Ok(mut state) = POOL.0.lock() {
            state.free.clear();
            state.memory.kept = 0;
            state.memory.most = state.memory.used;
        }
    }

    fn taken(&mut self, bytes: usize) {
        self.buffers += 1;
        self.used += bytes;
        self.most = self.most.max(self.used + self.kept);
    }

    fn given(&mut self, bytes: usize) {
        self.buffers -= 1;
        self.used -= bytes;
    }
}

impl Pool {
    fn take(&self, lines: usize) -> Option<Lines> {
        if lines == 0 {
            return Some(Lines::default());
        }
        let (class, capacity) = size_class(lines);
        let bytes = capacity.checked_mul(Lines::SIZE)?;
        let found = self.0.lock().ok().and_then(|mut state| {
            let found = state.free.get_mut(class)?.pop()?;
            state.memory.kept -= bytes;
            state.memory.taken(bytes);
            Some(found)
        });
        // The system takes its time for fresh memory, and other threads need not wait for it.
        found.or_else(|| {
            let fresh = Lines::zeroed(capacity)?;
            if let Ok(mut state) = self.0.lock() {
                state.memory.taken(bytes);
            }
            Some(fresh)
        })
    }

    fn give(&self, lines: Lines) {
        if lines.number() == 0 {
            return;
        }
        let (class, capacity) = size_class(lines.number());
        debug_assert_eq!(capacity, lines.number(), "a buffer keeps the size of its class");
        let bytes = capacity * Lines::SIZE;
        // A poisoned lock or a full pool: the memory goes back to the system.
        if let Ok(mut state) = self.0.lock() {
            state.memory.given(bytes);
            if state.memory.kept + bytes <= KEEP {
                state.memory.kept += bytes;
                if state.free.len() <= class {
                    state.free.resize_with(class + 1, Vec::new);
                }
                state.free[class].push(lines);
            }
        }
    }
}

/// The class of a size in lines, and the size that the class has: eight classes to each doubling,
/// so that no more than an eighth is wasted and sizes that differ a little share memory.
pub(super) fn size_class(lines: usize) -> (usize, usize) {
    let shift = (usize::BITS - lines.leading_zeros()).saturating_sub(4) as usize;
    let steps = lines.div_ceil(1 << shift); // 1..=15 for shift 0, else 8..=16
    if steps == 16 {
        return (8 * (shift + 1) + 8, 8 << (shift + 1));
    }
    (8 * shift + steps, steps << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_sizes() {
        let mut last = (0, 0);
        for lines in 1..100_000 {
            let (class, capacity) = size_class(lines);
            assert!(capacity >= lines && capacity * 8 <= lines * 9 + 8, "{lines} -> {capacity}");
            assert_eq!(size_class(capacity), (class, capacity), "{lines}");
            assert!((class > last.0) == (capacity > last.1), "{lines}");
            last = (class, capacity);
        }
    }

    #[test]
    fn dropped_memory_comes_back() {
        // A size that no other test uses, so that nobody else takes it meanwhile.
        let buffer = Buffer::<f64>::stale(1_234_567);
        let address = buffer.as_ptr();
        drop(buffer);
        assert_eq!(Buffer::<f64>::stale(1_234_567).as_ptr(), address);
    }

    /// 4·(2⁶² + 1) is 4 modulo 2⁶⁴; 2⁶² bytes no system has; and sizes around the largest that can be written down.
    #[test]
    fn a_length_that_no_memory_has_is_refused() {
        for len in [(usize::MAX >> 2) + 2, 1 << 60, isize::MAX as usize / 4, isize::MAX as usize, usize::MAX] {
            assert!(Buffer::<f32>::try_stale(len).is_none(), "{len}");
        }
        let refused = std::panic::catch_unwind(|| Buffer::<f64>::stale(1 << 60)).unwrap_err();
        assert!(
            refused.downcast_ref::<String>().is_some_and(|text| text.contains("no memory for 1152921504606846976"))
        );
    }
}
