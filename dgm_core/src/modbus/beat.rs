//! When a periodic read is due: slots on the common clock, so that reads of one period and phase fall together.
use crate::units::Micros;

/// Shortest period that is one; anything below means: again as soon as it is answered.
pub const PERIOD_MIN: Micros = Micros::from_millis(1);

/// The due times of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    period: Micros,
    phase: Micros,
    due: Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Nothing was read yet: as soon as the line stands.
    First,
    /// In this slot, or from the end of the last read on.
    At(Micros),
}

/// A read that starts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The slot it is for.
    pub due_at: Micros,
    /// Slots that passed before it without a read.
    pub missed: u64,
}

impl Beat {
    /// Due at period x n + phase; the first one at once.
    pub fn new(period: Micros, phase: Micros) -> Self {
        Self { period, phase, due: Due::First }
    }

    /// Time between two reads.
    pub fn period(&self) -> Micros {
        self.period
    }

    /// When the next read is due.
    pub fn due(&self) -> Micros {
        match self.due {
            Due::First => Micros::new(i64::MIN),
            Due::At(due) => due,
        }
    }

    /// Until when it may be sent without missing its slot: what is asked without a pause waits for what has a slot.
    pub fn deadline(&self) -> Micros {
        match self.due {
            Due::First => Micros::new(i64::MIN),
            Due::At(due) if self.is_endless() => due + Micros::from_millis(1_000),
            Due::At(due) => due + self.period,
        }
    }

    /// A read starts: the next is due in the first slot after now. Slots that passed are never made up for.
    pub fn start(&mut self, now: Micros) -> Start {
        let due = match self.due {
            Due::First => now,
            Due::At(due) => due,
        };
        if self.is_endless() {
            self.due = Due::At(now);
            return Start { due_at: due, missed: 0 };
        }
        let slot = |time: Micros| (time - self.phase).get().div_euclid(self.period.get());
        let missed = slot(now) - slot(due);
        let start = |slot: i64| Micros::new(slot.saturating_mul(self.period.get())) + self.phase;
        self.due = Due::At(start(slot(now) + 1));
        Start { due_at: due.max(start(slot(now))).min(now), missed: u64::try_from(missed).unwrap_or_default() }
    }

    /// A read has ended: what has no period is due again.
    pub fn ended(&mut self, now: Micros) {
        if self.is_endless() {
            self.due = Due::At(now);
        }
    }

    /// Whether it has no period.
    pub fn is_endless(&self) -> bool {
        self.period < PERIOD_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(value: i64) -> Micros {
        Micros::from_millis(value)
    }

    #[test]
    fn the_first_read_is_due_at_once_and_misses_nothing() {
        let mut beat = Beat::new(ms(100), ms(0));
        assert!(beat.due() < ms(0));
        assert_eq!(beat.start(ms(730)), Start { due_at: ms(730), missed: 0 });
        assert_eq!(beat.due(), ms(800));
    }

    #[test]
    fn a_late_read_is_for_the_slot_it_falls_into_and_counts_those_before() {
        let mut beat = Beat::new(ms(100), ms(30));
        beat.start(ms(0));
        assert_eq!(beat.due(), ms(30));
        assert_eq!(beat.start(ms(31)), Start { due_at: ms(30), missed: 0 });
        assert_eq!(beat.start(ms(345)), Start { due_at: ms(330), missed: 2 });
        assert_eq!(beat.due(), ms(430));
    }

    #[test]
    fn without_a_period_it_is_due_again_when_it_has_ended() {
        let mut beat = Beat::new(ms(0), ms(0));
        beat.start(ms(5));
        beat.ended(ms(9));
        assert_eq!(beat.due(), ms(9));
        assert_eq!(beat.start(ms(9_000)).missed, 0);
    }

    proptest! {
        #[test]
        fn reads_of_one_period_and_phase_meet_in_the_same_slot(
            period in 1i64..1000, phase in 0i64..1000, first in 0i64..5000, second in 0i64..5000,
        ) {
            let (phase, at) = (ms(phase % period), ms(first.max(second)));
            let due = [first, second].map(|start| {
                let mut beat = Beat::new(ms(period), phase);
                beat.start(ms(start));
                beat.start(at);
                beat.due()
            });
            prop_assert_eq!(due[0], due[1]);
            prop_assert!(due[0] > at && due[0].get() <= at.get() + 1000 * period);
            prop_assert_eq!((due[0] - phase).get() % (1000 * period), 0);
        }

        #[test]
        fn every_slot_is_read_or_missed(period in 1i64..50, gaps in prop::collection::vec(0i64..400, 1..40)) {
            let mut beat = Beat::new(ms(period), ms(0));
            beat.start(ms(0));
            let (mut now, mut counted) = (0, 0);
            for gap in gaps {
                now = (now + gap).max(beat.due().get() / 1000);
                counted += 1 + i64::try_from(beat.start(ms(now)).missed).unwrap();
            }
            prop_assert_eq!(counted, now / period);
        }
    }
}
