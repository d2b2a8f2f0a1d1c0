//! Telling the cache what comes next.

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

/// Reads a slice from its beginning to its end and forgets it, so that the processor, which foresees this order, brings it
/// to the cache: for a kernel that will read or write it in an order of tiles, which no processor foresees.
#[inline(never)]
pub fn in_order(slice: &[f32]) {
    /// Floats of a line.
    const LINE: usize = 16;
    let mut sums = [0.0; 8];
    for lines in slice.as_chunks::<{ 8 * LINE }>().0 {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += lines[i * LINE];
        }
    }
    std::hint::black_box(sums);
}
