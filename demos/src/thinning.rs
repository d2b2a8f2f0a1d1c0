//! What has become too much to keep is thinned.

/// Whether to keep each of so many items, asked from the first on: every second one goes, not the last.
pub fn every_second<T>(count: usize) -> impl FnMut(&T) -> bool {
    let mut behind = count;
    move |_| {
        behind -= 1;
        behind.is_multiple_of(2)
    }
}
