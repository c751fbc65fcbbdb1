//! Words that one thread replaces and others copy, always a whole set: the writer never waits.
//!
//! ```text
//! writer: odd ─> words ─> even          reader: even? ─> words ─> still the same? else again
//! ```
use std::sync::atomic::{fence, AtomicI64, AtomicU64, Ordering};

/// A fixed number of words under a sequence.
#[derive(Debug)]
pub struct Seqlock {
    sequence: AtomicU64,
    words: Vec<AtomicI64>,
}

impl Seqlock {
    /// All words 0, sequence 0.
    pub fn new(words: usize) -> Self {
        Self { sequence: AtomicU64::new(0), words: (0..words).map(|_| AtomicI64::new(0)).collect() }
    }

    /// Replaces all words. Only one thread may ever call this; missing words keep their value.
    pub fn write(&self, words: impl IntoIterator<Item = i64>) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Copies all words of one write into `copy`; how many writes there had been.
    pub fn read(&self, copy: &mut Vec<i64>) -> u64 {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                copy.clear();
                copy.extend(self.words.iter().map(|word| word.load(Ordering::Relaxed)));
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    return before / 2;
                }
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_reader_sees_only_whole_writes_in_their_order() {
        let (lock, done) = (Seqlock::new(64), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=20_000 {
                    lock.write(std::iter::repeat_n(value, 64));
                }
                done.store(true, Ordering::Release);
            });
            let (mut copy, mut newest) = (Vec::new(), 0);
            while !done.load(Ordering::Acquire) {
                let sequence = lock.read(&mut copy);
                assert!(copy.iter().all(|word| *word == copy[0]), "torn: {copy:?}");
                assert_eq!(u64::try_from(copy[0]).unwrap(), sequence);
                assert!(sequence >= newest);
                newest = sequence;
            }
        });
        assert_eq!(lock.read(&mut Vec::new()), 20_000);
    }
}
