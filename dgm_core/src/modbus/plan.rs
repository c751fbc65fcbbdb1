//! What a line asks next: due times aligned to slots, setpoints before polls, the earliest deadline first.
//!
//! ```text
//! devices ── Offer { class, deadline } ──> choose ──> the one transaction to send
//! ```
//!
//! A due setpoint waits for no queued poll, only for the transaction in flight; but after each control transaction a
//! due poll gets one turn, so that frequent setpoints never freeze the readings they are computed from.
use crate::units::Micros;

/// Why a transaction is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A setpoint: its writes and the reads that prove it.
    Control,
    /// Discovery and periodic readings.
    Poll,
}

/// A transaction a device wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Why.
    pub class: Class,
    /// By when it should have been sent.
    pub deadline: Micros,
}

/// Whose turn it is: the device and the class of its offer.
pub fn choose(offers: impl IntoIterator<Item = (usize, Offer)>, last: Class) -> Option<(usize, Class)> {
    let first = match last {
        Class::Control => Class::Poll,
        Class::Poll => Class::Control,
    };
    let turn = offers.into_iter().min_by_key(|(device, offer)| (offer.class != first, offer.deadline, *device));
    turn.map(|(device, offer)| (device, offer.class))
}

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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn offer(class: Class, deadline: i64) -> Offer {
        Offer { class, deadline: Micros::from_millis(deadline) }
    }

    #[test]
    fn a_setpoint_goes_before_any_poll() {
        let offers = [(0, offer(Class::Poll, 0)), (1, offer(Class::Control, 900))];
        assert_eq!(choose(offers, Class::Poll), Some((1, Class::Control)));
    }

    #[test]
    fn after_a_setpoint_one_due_poll_gets_its_turn() {
        let offers = [(0, offer(Class::Control, 0)), (0, offer(Class::Poll, 900)), (1, offer(Class::Poll, 800))];
        assert_eq!(choose(offers, Class::Control), Some((1, Class::Poll)));
        assert_eq!(choose([offers[0]], Class::Control), Some((0, Class::Control)));
    }

    #[test]
    fn among_equals_the_earliest_deadline_then_the_first_device() {
        let offers = [(0, offer(Class::Poll, 7)), (1, offer(Class::Poll, 5)), (2, offer(Class::Poll, 5))];
        assert_eq!(choose(offers, Class::Poll), Some((1, Class::Poll)));
        assert_eq!(choose([], Class::Poll), None);
    }

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
