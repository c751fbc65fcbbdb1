//! Audit entries on their way from the field thread to Python: kept until somebody takes them, bounded, none lost unsaid.
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::lock;
use crate::modbus::audit::{Entry, News};
use crate::units::AssetIndex;

/// Most entries kept of one asset: minutes of changes, should Python be held up for so long.
pub const ENTRIES_MAX: usize = 64;

/// What nobody has taken yet, by asset.
#[derive(Debug, Default)]
pub struct AuditBoard {
    news: Mutex<BTreeMap<AssetIndex, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    news: News,
    is_new: bool,
}

impl AuditBoard {
    /// Adds what is new of an asset.
    pub fn put(&self, asset: AssetIndex, news: News) {
        let mut all = lock(&self.news);
        let waiting = all.entry(asset).or_default();
        waiting.news.lost += news.lost;
        (waiting.news.counts, waiting.is_new) = (news.counts, true);
        news.entries.into_iter().for_each(|entry| add(&mut waiting.news, entry));
    }

    /// All that is new; `lost` counts since start.
    pub fn take(&self) -> Vec<(AssetIndex, News)> {
        let mut all = lock(&self.news);
        let fresh = all.iter_mut().filter(|(_, waiting)| waiting.is_new);
        let taken = fresh.map(|(asset, waiting)| {
            waiting.is_new = false;
            let News { lost, counts, .. } = waiting.news;
            (*asset, News { entries: std::mem::take(&mut waiting.news.entries), lost, counts })
        });
        taken.collect()
    }
}

/// One that was repeated takes the place of its older self.
fn add(news: &mut News, entry: Entry) {
    match news.entries.last_mut().filter(|last| last.number == entry.number) {
        Some(last) => *last = entry,
        None => {
            if news.entries.len() >= ENTRIES_MAX {
                news.entries.remove(0);
                news.lost += 1;
            }
            news.entries.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::audit::{Counts, Verdict};
    use crate::units::{Micros, Watts};

    const PV: AssetIndex = AssetIndex(3);

    fn news(number: u64, times: u64) -> News {
        let (written, read_back) = (Vec::new(), Vec::new());
        let (at, power, verdict) = (Micros::ZERO, Watts::ZERO, Verdict::Confirmed);
        let entry = Entry { number, at, epoch: 1, power, written, read_back, measured: None, verdict, times };
        News { entries: vec![entry], lost: 0, counts: Counts { confirmed: number, ..Counts::default() } }
    }

    #[test]
    fn what_is_taken_is_gone_and_a_repetition_replaces_what_still_waits() {
        let board = AuditBoard::default();
        board.put(PV, news(1, 1));
        board.put(PV, news(1, 2));
        assert_eq!(board.take(), [(PV, news(1, 2))]);
        assert_eq!(board.take(), []);
        board.put(PV, news(1, 3));
        assert_eq!(board.take(), [(PV, news(1, 3))]);
    }

    #[test]
    fn a_reader_that_does_not_come_loses_the_oldest_and_hears_how_many() {
        let board = AuditBoard::default();
        (1..=100).for_each(|number| board.put(PV, news(number, 1)));
        let taken = board.take();
        let numbers: Vec<u64> = taken[0].1.entries.iter().map(|entry| entry.number).collect();
        assert_eq!((numbers.first(), numbers.last()), (Some(&37), Some(&100)));
        assert_eq!(taken[0].1.lost, 36);
        board.put(PV, news(101, 1));
        assert_eq!(board.take()[0].1.lost, 36, "since start");
    }
}
