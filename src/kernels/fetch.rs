//! Telling the cache what comes next.

use super::Element;

/// Brings the line of an address to the cache, for a read or a write to come. The address may be any.
#[inline(always)]
pub fn ahead<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Reads a slice from its beginning to its end and forgets it, so that the processor, which foresees this order, brings
/// it to the cache: for a kernel that will read or write it in an order that no processor foresees, by tiles or by
/// columns.
#[inline(always)]
pub fn in_order<T: Element>(slice: &[T]) {
    for line in slice.chunks(64 / size_of::<T>()) {
        // SAFETY: an element of the slice. Volatile, or the compiler would leave out what nobody uses.
        unsafe { std::ptr::read_volatile(line.as_ptr()) };
    }
}
