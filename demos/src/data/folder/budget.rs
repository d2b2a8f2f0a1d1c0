//! What all threads together may hold at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// An amount of something, of which threads take shares and give them back.
///
/// Whoever holds a share of one budget may wait for a share of another only in one order of the budgets, and for no
/// other work; then somebody can always go on.
pub(super) struct Budget {
    most: u64,
    left: Mutex<u64>,
    returned: Condvar,
}

impl Budget {
    /// A budget of `most`.
    pub(super) fn new(most: u64) -> Self {
        Budget { most, left: Mutex::new(most), returned: Condvar::new() }
    }

    /// Waits for a share of this size, or for all there is if that is less.
    pub(super) fn take(&self, amount: u64) -> Share<'_> {
        let amount = amount.min(self.most);
        let mut left = self.left();
        while *left < amount {
            left = self.returned.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left -= amount;
        Share { budget: self, amount }
    }

    /// A number is whole whatever became of the thread that wrote it.
    fn left(&self) -> MutexGuard<'_, u64> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share of a budget, given back when it is dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    amount: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.left() += self.amount;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn all_threads_together_hold_no_more_than_there_is() {
        let (budget, held, most) = (Budget::new(10), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for i in 0..200 {
                        let amount = 1 + (i * 7 + thread) % 10;
                        let share = budget.take(amount);
                        most.fetch_max(held.fetch_add(amount, SeqCst) + amount, SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(amount, SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert!(most.load(SeqCst) <= 10);
        assert_eq!(*budget.left(), 10, "all is given back");
    }

    #[test]
    fn more_than_there_is_means_all_of_it() {
        let budget = Budget::new(5);
        let share = budget.take(9);
        assert_eq!(*budget.left(), 0);
        drop(share);
        assert_eq!(*budget.left(), 5);
    }
}
