//! Register memory of one served unit: declared runs of words, read and replaced whole.
//!
//! A register that was never declared does not exist. Runs that touch are one run, so a read may cross the border
//! between two declarations. It knows nothing of who may write.
use std::collections::BTreeMap;

use super::pdu::Span;

/// The declared registers of a unit, all 0 until published.
#[derive(Debug, Default)]
pub struct Registers {
    /// Start of each run to its words; runs neither overlap nor touch.
    runs: BTreeMap<u16, Vec<u16>>,
}

impl Registers {
    /// Declares registers; those that exist already keep their value. The span must be addressable.
    pub fn define(&mut self, span: Span) {
        let touching: Vec<u16> = self
            .runs
            .iter()
            .filter(|(start, words)| touches(span, **start, words.len()))
            .map(|(start, _)| *start)
            .collect();
        let start = touching.iter().copied().fold(span.start, u16::min);
        let mut merged = vec![0; usize::from(span.start - start) + usize::from(span.count)];
        for old in touching {
            let words = self.runs.remove(&old).unwrap_or_default();
            let at = usize::from(old - start);
            merged.resize(merged.len().max(at + words.len()), 0);
            merged.splice(at..at + words.len(), words);
        }
        self.runs.insert(start, merged);
    }

    /// The words of a span, `None` if one of them does not exist.
    pub fn read(&self, span: Span) -> Option<&[u16]> {
        let (start, words) = self.runs.range(..=span.start).next_back()?;
        let at = usize::from(span.start - start);
        words.get(at..at + usize::from(span.count))
    }

    /// Replaces words from `start` on; `None` and nothing replaced if one of them does not exist.
    pub fn replace(&mut self, start: u16, values: &[u16]) -> Option<()> {
        let (first, words) = self.runs.range_mut(..=start).next_back()?;
        let at = usize::from(start - first);
        words.get_mut(at..at + values.len())?.copy_from_slice(values);
        Some(())
    }
}

fn touches(span: Span, start: u16, length: usize) -> bool {
    let (span_start, run_start) = (usize::from(span.start), usize::from(start));
    span_start <= run_start + length && run_start <= span_start + usize::from(span.count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_read_may_cross_two_declarations_that_touch_and_no_gap() {
        let mut registers = Registers::default();
        registers.define(Span { start: 10, count: 2 });
        registers.define(Span { start: 12, count: 2 });
        registers.define(Span { start: 15, count: 1 });
        assert!(registers.read(Span { start: 10, count: 4 }).is_some());
        assert!(registers.read(Span { start: 10, count: 5 }).is_none());
        assert!(registers.read(Span { start: 9, count: 1 }).is_none());
        assert!(registers.read(Span { start: 65535, count: 2 }).is_none());
    }

    #[test]
    fn declaring_again_keeps_what_was_published() {
        let mut registers = Registers::default();
        registers.define(Span { start: 10, count: 2 });
        registers.replace(10, &[1, 2]).unwrap();
        registers.define(Span { start: 8, count: 8 });
        assert_eq!(registers.read(Span { start: 8, count: 8 }).unwrap(), [0, 0, 1, 2, 0, 0, 0, 0]);
        assert!(registers.replace(15, &[1, 1]).is_none());
        assert_eq!(registers.read(Span { start: 15, count: 1 }).unwrap(), [0]);
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_map_would(spans in prop::collection::vec((0u16..40, 1u16..9), 1..6), asked in (0u16..50, 1u16..12)) {
            let mut registers = Registers::default();
            let mut model = std::collections::BTreeMap::new();
            for (step, (start, count)) in (1u16..).zip(&spans) {
                registers.define(Span { start: *start, count: *count });
                for address in *start..*start + *count { model.entry(address).or_insert(0); }
                registers.replace(*start, &[step]).unwrap();
                model.insert(*start, step);
            }
            let expected: Option<Vec<u16>> = (asked.0..asked.0 + asked.1).map(|a| model.get(&a).copied()).collect();
            let found = registers.read(Span { start: asked.0, count: asked.1 }).map(<[u16]>::to_vec);
            prop_assert_eq!(found, expected);
        }
    }
}
