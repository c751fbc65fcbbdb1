//! What a device wants of its line, and in which lane of the line's schedule it waits.
//!
//! ```text
//! Offer { class, due } ── Write ──────────────> before all reads, the earliest deadline first
//!                       ├ Poll, Look, Proof, Beat ──> reads, the earliest deadline first
//!                       └ Search, and whoever has not answered ──> background
//! ```
//!
//! The deadlines are `devices`'s part, the order the schedule's. A setpoint that takes power away is urgent: it waits for
//! the transaction under way and for nothing else.
use super::planning::schedule::Lane;
pub use super::planning::slots::Slots;
use crate::units::Micros;

/// Why a transaction is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A setpoint that is not on the device yet: its writes, and the look that must stand before them.
    Write,
    /// A look at a device that does what it shall.
    Look,
    /// The read that proves what was written.
    Proof,
    /// A sign of life.
    Beat,
    /// A periodic reading.
    Poll,
    /// Looking for a device.
    Search,
}

impl Class {
    /// Where it waits while the device answers.
    pub fn lane(self) -> Lane {
        match self {
            Self::Write => Lane::Write,
            Self::Look | Self::Proof | Self::Beat | Self::Poll => Lane::Read,
            Self::Search => Lane::Background,
        }
    }

    /// Whether it is about the setpoint.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Write | Self::Look | Self::Proof | Self::Beat)
    }
}

/// A transaction a device wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Why.
    pub class: Class,
    /// From when on; long past where it has always been wanted.
    pub due: Micros,
    /// It takes power away: it waits for nobody.
    pub is_urgent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setpoint_goes_before_any_poll_and_what_proves_it_among_them() {
        assert_eq!(Class::Write.lane(), Lane::Write);
        for class in [Class::Look, Class::Proof, Class::Beat, Class::Poll] {
            assert_eq!(class.lane(), Lane::Read);
        }
        assert_eq!(Class::Search.lane(), Lane::Background);
    }
}
