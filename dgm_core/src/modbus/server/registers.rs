//! Memory of one table of one served unit: declared runs of cells, read and replaced whole.
//!
//! ```text
//! CELL = 2: registers as the wire has them (big-endian)      CELL = 1: coils and discrete inputs, 0 or 1 each
//! ```
//!
//! A cell that was never declared does not exist. Runs that touch are one run, so a read may cross the border between
//! two declarations. Bytes lie as they are sent, so an answer is one copy. It knows nothing of who may write.
use super::super::pdu::Span;

/// Registers, two bytes each.
pub type Registers = Cells<2>;
/// Coils or discrete inputs, a byte of 0 or 1 each.
pub type Bits = Cells<1>;

/// The declared cells of a table, all 0 until published.
#[derive(Debug, Default)]
pub struct Cells<const CELL: usize> {
    /// By address; runs neither overlap nor touch.
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    start: u16,
    bytes: Vec<u8>,
}

impl<const CELL: usize> Cells<CELL> {
    /// Declares cells; those that exist already keep their value. The span must be addressable.
    pub fn define(&mut self, span: Span) {
        let (touching, apart): (Vec<Run>, Vec<Run>) =
            std::mem::take(&mut self.runs).into_iter().partition(|run| touches::<CELL>(span, run));
        let start = touching.iter().map(|run| run.start).fold(span.start, u16::min);
        let mut merged = vec![0; (usize::from(span.start - start) + usize::from(span.count)) * CELL];
        for old in touching {
            let at = usize::from(old.start - start) * CELL;
            let end = at + old.bytes.len();
            merged.resize(merged.len().max(end), 0);
            merged.splice(at..end, old.bytes);
        }
        self.runs = apart;
        self.runs.push(Run { start, bytes: merged });
        self.runs.sort_unstable_by_key(|run| run.start);
    }

    /// Whether nothing was declared.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The bytes of a span, `None` if one of its cells does not exist.
    pub fn read(&self, span: Span) -> Option<&[u8]> {
        let index = self.runs.partition_point(|run| run.start <= span.start).checked_sub(1)?;
        let run = self.runs.get(index)?;
        let at = usize::from(span.start - run.start) * CELL;
        run.bytes.get(at..at + usize::from(span.count) * CELL)
    }

    /// Replaces cells from `start` on; `None` and nothing replaced if one of them does not exist. Whole cells only.
    pub fn replace(&mut self, start: u16, bytes: &[u8]) -> Option<()> {
        let index = self.runs.partition_point(|run| run.start <= start).checked_sub(1)?;
        let run = self.runs.get_mut(index)?;
        let at = usize::from(start - run.start) * CELL;
        run.bytes.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }
}

fn touches<const CELL: usize>(span: Span, run: &Run) -> bool {
    let (span_start, run_start) = (usize::from(span.start), usize::from(run.start));
    span_start <= run_start + run.bytes.len() / CELL && run_start <= span_start + usize::from(span.count)
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
        registers.replace(10, &[0, 1, 0, 2]).unwrap();
        registers.define(Span { start: 8, count: 8 });
        let expected = [0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(registers.read(Span { start: 8, count: 8 }).unwrap(), expected);
        assert!(registers.replace(15, &[0, 1, 0, 1]).is_none());
        assert_eq!(registers.read(Span { start: 15, count: 1 }).unwrap(), [0, 0]);
    }

    proptest! {
        #[test]
        fn it_answers_as_a_plain_map_would(spans in prop::collection::vec((0u16..40, 1u16..9), 1..6), asked in (0u16..50, 1u16..12)) {
            let (mut registers, mut bits) = (Registers::default(), Bits::default());
            let mut model = std::collections::BTreeMap::new();
            for (step, (start, count)) in (1u8..).zip(&spans) {
                let span = Span { start: *start, count: *count };
                registers.define(span);
                bits.define(span);
                for address in *start..*start + *count { model.entry(address).or_insert(0); }
                registers.replace(*start, &[0, step]).unwrap();
                bits.replace(*start, &[step % 2]).unwrap();
                model.insert(*start, step);
            }
            let expected: Option<Vec<u8>> = (asked.0..asked.0 + asked.1).map(|a| model.get(&a).copied()).collect();
            let asked = Span { start: asked.0, count: asked.1 };
            let found = registers.read(asked).map(|bytes| bytes.chunks(2).map(|pair| pair[1]).collect::<Vec<u8>>());
            prop_assert_eq!(&found, &expected);
            let expected: Option<Vec<u8>> = expected.map(|steps| steps.iter().map(|step| step % 2).collect());
            prop_assert_eq!(bits.read(asked).map(<[u8]>::to_vec), expected);
        }
    }
}
