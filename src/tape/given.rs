//! Which inputs a rule has given a gradient.

/// A set of inputs. For the first 64 it needs no memory: every node of every walk has one.
#[derive(Default)]
pub(super) struct Given {
    /// A bit for each of the first 64.
    first: u64,
    others: Vec<bool>,
}

impl Given {
    pub fn add(&mut self, i: usize) {
        if i < 64 {
            self.first |= 1 << i;
        } else {
            self.others.resize(self.others.len().max(i - 63), false);
            self.others[i - 64] = true;
        }
    }

    pub fn has(&self, i: usize) -> bool {
        if i < 64 { self.first >> i & 1 == 1 } else { self.others.get(i - 64) == Some(&true) }
    }
}
