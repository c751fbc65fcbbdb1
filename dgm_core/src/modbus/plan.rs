//! What a line asks next: due times aligned to slots, setpoints before polls, the earliest deadline first.
//!
//! ```text
//! devices ── Offer { class, deadline } ──> choose ──> the one transaction to send
//! ```
//!
//! A due setpoint waits for no queued poll, only for the transaction in flight; but after each control transaction a
//! due poll gets one turn, so that frequent setpoints never freeze the readings they are computed from.
pub use super::planning::slots::Slots;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
}
