//! What was commanded of one device and what came of it: a short memory that forgets the oldest first.
//!
//! ```text
//! note ──> entries (16) ── take_news, every tick ──> whoever keeps them          counts: never forgotten
//! ```
//!
//! A renewal of a value that stands and is confirmed again adds nothing but a count, so that the memory holds changes.
//! Entries are numbered: what was forgotten before anybody took it is known to the number.
use std::collections::VecDeque;

use super::actuator::Write;
use crate::units::{Micros, Watts};

/// Most entries kept; one more costs the oldest.
pub const ENTRIES_MAX: usize = 16;

/// How a command ended, or what became of one that stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read back as written.
    Confirmed,
    /// Something else was read back.
    Mismatch,
    /// What stood there was changed by somebody else.
    Overwritten,
    /// It was gone after the time for which a write holds, or when a lost device was found again.
    Reverted,
    /// The device refused, or its registers cannot say the value.
    Refused,
    /// No answer.
    Silent,
    /// Of an older epoch, or its time had passed: not written.
    Stale,
    /// Somebody on the spot has taken the device over.
    Local,
    /// The device's own sign of life stands still.
    Stopped,
    /// It stands on the device, and what is measured is something else.
    Disobeyed,
    /// What is measured has been within it again for long enough.
    Obeyed,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of this device, from 1 on without gaps.
    pub number: u64,
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
    /// The power that told of it, positive into the device; `None`: no measurement did.
    pub measured: Option<Watts>,
    /// How it ended.
    pub verdict: Verdict,
    /// How often in a row.
    pub times: u64,
}

/// How often what happened, repetitions included, since the device was first commanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written whole, whatever came of it.
    pub sent: u64,
    /// Read back as written.
    pub confirmed: u64,
    /// Something else was read back.
    pub mismatch: u64,
    /// Changed by somebody else.
    pub overwritten: u64,
    /// Gone after their time.
    pub reverted: u64,
    /// Refused, or not to be said in registers.
    pub refused: u64,
    /// Unanswered.
    pub silent: u64,
    /// Not written: too old.
    pub stale: u64,
    /// Times that somebody on the spot took over.
    pub local: u64,
    /// Times that its sign of life stood still.
    pub stopped: u64,
    /// Times that it began not to follow.
    pub disobeyed: u64,
    /// Times that it followed again.
    pub obeyed: u64,
}

impl Counts {
    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Confirmed => &mut self.confirmed,
            Verdict::Mismatch => &mut self.mismatch,
            Verdict::Overwritten => &mut self.overwritten,
            Verdict::Reverted => &mut self.reverted,
            Verdict::Refused => &mut self.refused,
            Verdict::Silent => &mut self.silent,
            Verdict::Stale => &mut self.stale,
            Verdict::Local => &mut self.local,
            Verdict::Stopped => &mut self.stopped,
            Verdict::Disobeyed => &mut self.disobeyed,
            Verdict::Obeyed => &mut self.obeyed,
        }
    }
}

/// What nobody has taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// New ones, and the newest again where it was repeated; the oldest first.
    pub entries: Vec<Entry>,
    /// Entries that were forgotten before anybody took them.
    pub lost: u64,
    /// As of now.
    pub counts: Counts,
}

/// The newest commands of a device.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    entries: VecDeque<Entry>,
    counts: Counts,
    /// Of the newest entry.
    number: u64,
    /// What was taken last: number and times of the newest entry then, and the counts.
    told: (u64, u64, Counts),
    /// Entries that were forgotten.
    pub forgotten: u64,
}

impl Audit {
    /// A command was written whole.
    pub fn sent(&mut self) {
        self.counts.sent = self.counts.sent.saturating_add(1);
    }

    /// Adds an entry, or counts it where it repeats the one before; its number is given here.
    pub fn note(&mut self, entry: Entry) {
        let count = self.counts.of(entry.verdict);
        *count = count.saturating_add(1);
        if let Some(last) = self.entries.back_mut() {
            let (at, times, number) = (last.at, last.times, last.number);
            // The measurement is never twice the same; the first one tells enough.
            let repeats = Entry { at, times, number, measured: last.measured, ..entry.clone() } == *last;
            if repeats {
                last.times = last.times.saturating_add(1);
                return;
            }
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.number = self.number.saturating_add(1);
        self.entries.push_back(Entry { number: self.number, ..entry });
    }

    /// The oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Since start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What is new since the last call; `None`: nothing.
    pub fn take_news(&mut self) -> Option<News> {
        let (number, times, counts) = self.told;
        let newest = self.entries.back().map_or((0, 0), |entry| (entry.number, entry.times));
        if (newest.0, newest.1, self.counts) == (number, times, counts) {
            return None;
        }
        let is_new = |entry: &&Entry| entry.number > number || (entry.number == number && entry.times > times);
        let oldest = self.entries.front().map_or(0, |entry| entry.number);
        self.told = (newest.0, newest.1, self.counts);
        Some(News {
            entries: self.entries.iter().filter(is_new).cloned().collect(),
            lost: oldest.saturating_sub(number.saturating_add(1)),
            counts: self.counts,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn entry(at: i64, watts: i64) -> Entry {
        Entry {
            number: 0,
            at: Micros::new(at),
            epoch: 1,
            power: Watts::new(watts),
            written: vec![Write { start: 7, words: vec![1] }],
            read_back: Vec::new(),
            measured: None,
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
        assert_eq!(audit.counts().confirmed, 4);
    }

    #[test]
    fn it_is_bounded_and_counts_what_it_forgets() {
        let mut audit = Audit::default();
        (0..100).for_each(|at| audit.note(entry(at, at)));
        assert_eq!(audit.entries().count(), ENTRIES_MAX);
        assert_eq!(audit.forgotten, 84);
        assert_eq!(audit.entries().next().map(|entry| entry.at), Some(Micros::new(84)));
        assert_eq!(audit.take_news().unwrap().lost, 84);
    }

    #[test]
    fn a_repetition_is_told_again_with_its_count_and_nothing_is_told_twice() {
        let mut audit = Audit::default();
        audit.note(entry(1, 5));
        assert_eq!(audit.take_news().unwrap().entries.len(), 1);
        assert_eq!(audit.take_news(), None);
        audit.note(entry(2, 5));
        let news = audit.take_news().unwrap();
        assert_eq!(news.entries.iter().map(|entry| (entry.number, entry.times)).collect::<Vec<_>>(), [(1, 2)]);
        audit.sent();
        assert_eq!(audit.take_news().unwrap().counts.sent, 1, "a count without an entry");
        assert_eq!(audit.take_news(), None);
    }

    proptest! {
        #[test]
        fn every_entry_is_taken_or_counted_as_lost(
            steps in prop::collection::vec((0i64..3, prop::bool::weighted(0.1)), 1..200),
        ) {
            let (mut audit, mut taken, mut lost) = (Audit::default(), std::collections::BTreeMap::new(), 0);
            let mut take = |audit: &mut Audit| {
                let news = audit.take_news().unwrap_or_default();
                lost += news.lost;
                taken.extend(news.entries.into_iter().map(|entry| (entry.number, entry.times)));
            };
            for (at, (watts, is_taken)) in (0..).zip(&steps) {
                audit.note(entry(at, *watts));
                if *is_taken {
                    take(&mut audit);
                }
            }
            take(&mut audit);
            prop_assert_eq!(u64::try_from(taken.len()).unwrap() + lost, audit.number);
            prop_assert_eq!(usize::try_from(audit.counts().confirmed).unwrap(), steps.len());
        }
    }
}
