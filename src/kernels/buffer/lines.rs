//! Memory in lines of the cache.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// From this size on, memory comes in huge pages where the system has them: with pages of 4 KiB, looking up the
/// addresses took a tenth of the training step (757 against 680 ms on one thread at full width).
const HUGE: usize = 2 << 20;

/// For its alignment.
#[repr(align(64))]
struct Line;

/// Lines of the cache, on a line's boundary, always initialised; owned.
#[derive(Debug)]
pub struct Lines {
    start: NonNull<u8>,
    number: usize,
}

// SAFETY: plain memory that nobody else points to.
unsafe impl Send for Lines {}
// SAFETY: as above; it is written only through the buffer that owns it exclusively.
unsafe impl Sync for Lines {}

impl Default for Lines {
    /// No line.
    fn default() -> Self {
        Lines { start: NonNull::<Line>::dangling().cast(), number: 0 }
    }
}

impl Lines {
    /// Bytes of a line: vectors that begin there never cross one.
    pub const SIZE: usize = 64;

    /// So many lines of zeros, unless the system has no such memory.
    pub fn zeroed(number: usize) -> Option<Lines> {
        if number == 0 {
            return Some(Lines::default());
        }
        let layout = Self::layout(number)?;
        // SAFETY: the layout is not empty.
        let start = unsafe { if layout.size() < HUGE { alloc_zeroed(layout) } else { huge::map(layout.size()) } };
        Some(Lines { start: NonNull::new(start)?, number })
    }

    /// None if an `isize` cannot hold the bytes.
    fn layout(number: usize) -> Option<Layout> {
        number.checked_mul(Self::SIZE).and_then(|bytes| Layout::from_size_align(bytes, Self::SIZE).ok())
    }

    /// The first byte.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many lines.
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        let layout = Self::layout(self.number).expect("the layout that `zeroed` found");
        // SAFETY: `zeroed` got this memory with this layout, in the same one of two ways.
        unsafe {
            if layout.size() < HUGE { dealloc(self.start(), layout) } else { huge::unmap(self.start(), layout.size()) }
        }
    }
}

#[cfg(target_os = "linux")]
mod huge {
    use super::HUGE;
    use std::ptr::null_mut;

    /// A multiple of the size of ordinary pages on every system.
    const PAGES: usize = 1 << 16;

    /// What is mapped for so many bytes. No overflow: they fit an `isize`.
    fn whole_pages(bytes: usize) -> usize {
        bytes.next_multiple_of(PAGES)
    }

    /// So many bytes of zeros, on the boundary of a huge page; null if there are none.
    pub fn map(bytes: usize) -> *mut u8 {
        let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let end = whole_pages(bytes);
        let Some(room) = end.checked_add(HUGE) else { return null_mut() };
        // SAFETY: a mapping of its own, of which the ends that are not needed go back; advice has no other effect.
        unsafe {
            let start = libc::mmap(null_mut(), room, read_write, private, -1, 0);
            if start == libc::MAP_FAILED {
                return null_mut();
            }
            let before = start.addr().next_multiple_of(HUGE) - start.addr();
            let aligned = start.byte_add(before);
            if before > 0 {
                libc::munmap(start, before);
            }
            if room - before > end {
                libc::munmap(aligned.byte_add(end), room - before - end);
            }
            libc::madvise(aligned, bytes, libc::MADV_HUGEPAGE);
            aligned.cast()
        }
    }

    /// Gives back what [`map`] gave.
    ///
    /// # Safety
    /// It was `map(bytes)`, and is not used any more.
    pub unsafe fn unmap(start: *mut u8, bytes: usize) {
        // SAFETY: the caller's promise. An error would mean that it was broken.
        unsafe { libc::munmap(start.cast(), whole_pages(bytes)) };
    }
}

#[cfg(not(target_os = "linux"))]
mod huge {
    use super::Lines;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    fn layout(bytes: usize) -> Layout {
        Lines::layout(bytes / Lines::SIZE).expect("the layout of some lines")
    }

    /// So many bytes of zeros, not 0; null if there are none.
    pub fn map(bytes: usize) -> *mut u8 {
        // SAFETY: the layout is not empty.
        unsafe { alloc_zeroed(layout(bytes)) }
    }

    /// Gives back what [`map`] gave.
    ///
    /// # Safety
    /// It was `map(bytes)`, and is not used any more.
    pub unsafe fn unmap(start: *mut u8, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { dealloc(start, layout(bytes)) }
    }
}
