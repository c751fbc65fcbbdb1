//! When a periodic reading is due: slots that devices of one period share, so that they are read together.
use crate::units::Micros;

/// The due times of one periodic reading. Slots are multiples of the period on the common clock, so that devices with
/// the same period are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    period: Micros,
    due: Micros,
}

impl Slots {
    /// The first reading is due at once. A period below 1 ms counts as 1 ms.
    pub fn new(period: Micros, now: Micros) -> Self {
        Self { period: Micros::new(period.get().max(1000)), due: now }
    }

    /// Time between two readings.
    pub fn period(&self) -> Micros {
        self.period
    }

    /// When the next reading is due.
    pub fn due(&self) -> Micros {
        self.due
    }

    /// Until when it may be sent without missing its slot.
    pub fn deadline(&self) -> Micros {
        self.due + self.period
    }

    /// A reading starts: the next is due at the first slot after now. Slots that passed are missed, not made up for;
    /// their number is returned.
    pub fn advance(&mut self, now: Micros) -> u64 {
        let next = (now.get().div_euclid(self.period.get()) + 1) * self.period.get();
        let planned = (self.due.get().div_euclid(self.period.get()) + 1) * self.period.get();
        self.due = Micros::new(next);
        u64::try_from((next - planned) / self.period.get()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reading_that_starts_late_skips_what_it_missed() {
        let mut slots = Slots::new(Micros::from_millis(100), Micros::from_millis(250));
        assert_eq!(slots.advance(Micros::from_millis(250)), 0);
        assert_eq!(slots.due(), Micros::from_millis(300));
        assert_eq!(slots.advance(Micros::from_millis(399)), 0);
        assert_eq!(slots.advance(Micros::from_millis(1050)), 6);
        assert_eq!(slots.due(), Micros::from_millis(1100));
    }

    proptest! {
        #[test]
        fn devices_of_one_period_meet_in_the_same_slot(period in 1i64..1000, first in 0i64..5000, second in 0i64..5000) {
            let at = Micros::from_millis(first.max(second));
            let due = [first, second].map(|start| {
                let mut slots = Slots::new(Micros::from_millis(period), Micros::from_millis(start));
                slots.advance(at);
                slots.due()
            });
            prop_assert_eq!(due[0], due[1]);
            prop_assert!(due[0] > at && due[0].get() <= at.get() + 1000 * period);
        }
    }
}
