//! What was commanded of one device and what came of it: a short memory that forgets the oldest first.
//!
//! A renewal of a value that stands and is confirmed again adds nothing but a count, so that the memory holds changes.
use std::collections::VecDeque;

use super::actuator::Write;
use crate::units::{Micros, Watts};

/// Most entries kept; one more costs the oldest.
pub const ENTRIES_MAX: usize = 16;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read back as written.
    Confirmed,
    /// Something else was read back.
    Mismatch,
    /// What stood there was changed by somebody else.
    Overwritten,
    /// The device refused, or its registers cannot say the value.
    Refused,
    /// No answer.
    Silent,
    /// Of an older epoch, or its time had passed: not written.
    Stale,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it ended, the first time.
    pub at: Micros,
    /// Of the Arbiter that granted it.
    pub epoch: i64,
    /// Positive into the device.
    pub power: Watts,
    /// What was written, in order.
    pub written: Vec<Write>,
    /// What was read at the same registers; empty where nothing was.
    pub read_back: Vec<Write>,
    /// How it ended.
    pub verdict: Verdict,
    /// How often in a row.
    pub times: u64,
}

/// The newest commands of a device.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    entries: VecDeque<Entry>,
    /// Entries that were forgotten.
    pub forgotten: u64,
}

impl Audit {
    /// Adds an entry, or counts it where it repeats the one before.
    pub fn note(&mut self, entry: Entry) {
        if let Some(last) = self.entries.back_mut() {
            let repeats = Entry { at: last.at, times: last.times, ..entry.clone() } == *last;
            if repeats {
                last.times = last.times.saturating_add(1);
                return;
            }
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.entries.push_back(entry);
    }

    /// The oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, watts: i64) -> Entry {
        Entry {
            at: Micros::new(at),
            epoch: 1,
            power: Watts::new(watts),
            written: vec![Write { start: 7, words: vec![1] }],
            read_back: Vec::new(),
            verdict: Verdict::Confirmed,
            times: 1,
        }
    }

    #[test]
    fn a_renewal_is_counted_and_a_change_is_kept() {
        let mut audit = Audit::default();
        for (at, watts) in [(1, 5), (2, 5), (3, 6), (4, 5)] {
            audit.note(entry(at, watts));
        }
        let seen: Vec<_> = audit.entries().map(|entry| (entry.at.get(), entry.power.get(), entry.times)).collect();
        assert_eq!(seen, [(1, 5, 2), (3, 6, 1), (4, 5, 1)]);
    }

    #[test]
    fn it_is_bounded_and_counts_what_it_forgets() {
        let mut audit = Audit::default();
        (0..100).for_each(|at| audit.note(entry(at, at)));
        assert_eq!(audit.entries().count(), ENTRIES_MAX);
        assert_eq!(audit.forgotten, 84);
        assert_eq!(audit.entries().next().map(|entry| entry.at), Some(Micros::new(84)));
    }
}
