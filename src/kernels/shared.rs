//! One slice that several tasks write, each in places of its own.

use std::marker::PhantomData;

/// An exclusive slice, given out in parts that do not follow one another: rows of a column block, some of the channels
/// of every pixel.
#[derive(Clone, Copy)]
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for an exclusive slice, which may go to another thread if its elements may; whoever takes a part
// promises that nobody else has it.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// The whole slice, borrowed for as long as parts of it are in use.
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The `len` elements from `start` on.
    ///
    /// # Panics
    /// If they do not lie in the slice.
    ///
    /// # Safety
    /// As long as the result lives, nobody else may hold a part with an element of it.
    #[inline(always)]
    pub unsafe fn part(self, start: usize, len: usize) -> &'a mut [T] {
        assert!(self.holds(start, len), "a part {start}..+{len} of {}", self.len);
        // SAFETY: inside the slice, and no one else's by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// The address of an element, if the slice has it. Whoever reads or writes there promises the same as for a
    /// [`part`](Self::part).
    #[inline(always)]
    pub fn address(self, index: usize) -> *mut T {
        self.start.wrapping_add(index)
    }

    /// Whether the `len` elements from `start` on lie in the slice.
    #[inline(always)]
    pub fn holds(&self, start: usize, len: usize) -> bool {
        start <= self.len && len <= self.len - start
    }
}
