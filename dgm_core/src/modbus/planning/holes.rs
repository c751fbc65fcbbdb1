//! What a device refuses to be read, so that it is never asked again.
//!
//! A forbidden span is one that no read may contain whole: a register that does not exist, a gap that somewhere holds
//! one, or a need that is refused by itself. `bisect` finds them; `reads` plans around them; a profile of plain
//! numbers keeps them for the next start.
use super::super::pdu::{Span, Table, READ_MAX};

/// Most forbidden spans kept of one device. Beyond it nothing more is learnt: the reads that fail are asked again.
pub const FORBIDDEN_MAX: usize = 1_024;

/// A span that no read may contain whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// Which table.
    pub table: Table,
    /// Which registers, at least one.
    pub span: Span,
}

/// Everything learnt of how one device may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadProfile {
    forbidden: Vec<Forbidden>,
    longest_answered: u16,
    shortest_refused: Option<u16>,
}

impl Default for ReadProfile {
    fn default() -> Self {
        Self { forbidden: Vec::new(), longest_answered: 1, shortest_refused: None }
    }
}

impl ReadProfile {
    /// A profile that was stored. Spans that cannot be are dropped: what is stored is a help, not an authority.
    pub fn restore(forbidden: &[Forbidden], registers_max: u16) -> Self {
        let mut profile = Self::default();
        for item in forbidden {
            profile.forbid(item.table, item.span);
        }
        if (1..READ_MAX).contains(&registers_max) {
            profile.longest_answered = registers_max;
            profile.shortest_refused = Some(registers_max + 1);
        }
        profile
    }

    /// Sorted by nothing in particular, none containing another; to be stored.
    pub fn forbidden(&self) -> &[Forbidden] {
        &self.forbidden
    }

    /// Whether a read of this span contains nothing that the device refuses.
    pub fn admits(&self, table: Table, span: Span) -> bool {
        !self.forbidden.iter().any(|item| item.table == table && contains(span, item.span))
    }

    /// No read may contain this span. Spans that contain it say nothing more and are dropped.
    pub fn forbid(&mut self, table: Table, span: Span) {
        let is_new = span.count > 0 && span.is_addressable() && self.admits(table, span);
        if is_new {
            self.forbidden.retain(|item| item.table != table || !contains(item.span, span));
            if self.forbidden.len() < FORBIDDEN_MAX {
                self.forbidden.push(Forbidden { table, span });
            }
        }
    }

    /// The device has answered a read of this span: nothing inside it is refused (any more), and reads may be as long.
    /// True: something is known that may make a better plan.
    pub fn answered(&mut self, table: Table, span: Span) -> bool {
        let known = (self.forbidden.len(), self.registers_max(READ_MAX));
        self.forbidden.retain(|item| item.table != table || !contains(span, item.span));
        if !table.is_bits() {
            self.longest_answered = self.longest_answered.max(span.count.min(READ_MAX));
        }
        self.shortest_refused = self.shortest_refused.filter(|refused| *refused > self.longest_answered);
        known != (self.forbidden.len(), self.registers_max(READ_MAX))
    }

    /// The device has refused a read for its length. False: it has answered one as long, so that is not the reason; of
    /// coils and discrete inputs no shorter limit than the standard's is learnt.
    pub fn refused_length(&mut self, table: Table, registers: u16) -> bool {
        let is_longer = !table.is_bits() && registers > self.longest_answered;
        if is_longer {
            self.shortest_refused = Some(self.shortest_refused.map_or(registers, |known| known.min(registers)));
        }
        is_longer
    }

    /// Longest read answered so far.
    pub fn longest_answered(&self) -> u16 {
        self.longest_answered
    }

    /// Most of a table to ask for at once where the map allows `declared` registers.
    pub fn read_max(&self, table: Table, declared: u16) -> u16 {
        if table.is_bits() {
            table.read_max()
        } else {
            self.registers_max(declared)
        }
    }

    /// Most registers to ask for at once: what the map allows until a longer read has been refused, then half-way
    /// between what was answered and what was refused, so that each plan with long reads halves what is not known.
    pub fn registers_max(&self, declared: u16) -> u16 {
        let learnt = self.shortest_refused.map_or(READ_MAX, |refused| {
            let between = u16::midpoint(self.longest_answered, refused);
            between.max(self.longest_answered).min(refused - 1).max(1)
        });
        learnt.min(declared).clamp(1, READ_MAX)
    }
}

/// Whether all registers of `inner` are in `outer`.
pub fn contains(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && end(inner) <= end(outer)
}

/// The register behind a span.
pub fn end(span: Span) -> u32 {
    u32::from(span.start) + u32::from(span.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: u16, count: u16) -> Span {
        Span { start, count }
    }

    #[test]
    fn a_read_may_touch_a_forbidden_span_but_not_contain_it() {
        let mut profile = ReadProfile::default();
        profile.forbid(Table::Holding, span(10, 3));
        assert!(profile.admits(Table::Holding, span(0, 12)));
        assert!(profile.admits(Table::Holding, span(11, 20)));
        assert!(!profile.admits(Table::Holding, span(10, 3)));
        assert!(!profile.admits(Table::Holding, span(0, 13)));
        assert!(profile.admits(Table::Input, span(0, 100)));
    }

    #[test]
    fn a_tighter_span_replaces_the_wider_one() {
        let mut profile = ReadProfile::default();
        profile.forbid(Table::Holding, span(10, 10));
        profile.forbid(Table::Holding, span(12, 1));
        profile.forbid(Table::Holding, span(5, 20));
        assert_eq!(profile.forbidden(), [Forbidden { table: Table::Holding, span: span(12, 1) }]);
        profile.answered(Table::Holding, span(12, 1));
        assert_eq!(profile.forbidden(), []);
    }

    #[test]
    fn the_longest_read_is_found_by_halving() {
        let mut profile = ReadProfile::default();
        let mut asked = Vec::new();
        for _ in 0..8 {
            let length = profile.registers_max(READ_MAX);
            asked.push(length);
            if length <= 50 {
                profile.answered(Table::Holding, span(0, length));
            } else {
                assert!(profile.refused_length(Table::Input, length));
            }
        }
        assert_eq!(profile.registers_max(READ_MAX), 50, "{asked:?}");
        assert_eq!(profile.registers_max(40), 40);
        assert!(!profile.refused_length(Table::Holding, 50));
    }

    #[test]
    fn what_was_stored_comes_back_and_nonsense_does_not() {
        let good = Forbidden { table: Table::Input, span: span(7, 2) };
        let bad = [span(1, 0), span(65_535, 2)].map(|span| Forbidden { table: Table::Input, span });
        let profile = ReadProfile::restore(&[good, bad[0], bad[1]], 60);
        assert_eq!(profile.forbidden(), [good]);
        assert_eq!(profile.registers_max(READ_MAX), 60);
        assert_eq!(ReadProfile::restore(&[], 0), ReadProfile::default());
    }

    proptest! {
        #[test]
        fn no_forbidden_span_contains_another(spans in prop::collection::vec((0u16..60, 1u16..9), 0..40)) {
            let mut profile = ReadProfile::default();
            for (start, count) in spans {
                profile.forbid(Table::Holding, span(start, count));
                prop_assert!(!profile.admits(Table::Holding, span(start, count)));
            }
            for (at, one) in profile.forbidden().iter().enumerate() {
                let others = profile.forbidden().iter().enumerate().filter(|(other, _)| *other != at);
                prop_assert!(others.into_iter().all(|(_, other)| !contains(one.span, other.span)));
            }
        }
    }
}
