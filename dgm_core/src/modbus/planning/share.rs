//! Which lane of a line has the turn: writes first, but none starves the others.
//!
//! ```text
//! Write ── while it has credit, or nobody else waits ──> turn
//! Read ── else                        Background ── when all is quiet, or its small share is due
//! ```
//!
//! Credit is line time: it refills at the share that writes may have in the long run, up to one round of setpoints.
//! So writes that keep to their share never wait for a queued read, and writes that do not leave reads theirs.
use super::schedule::Lane;
use crate::units::{Micros, Nanos, Permille};

/// Share of the line kept for reads while writes want all of it.
pub const READ_SHARE: Permille = Permille::new(500);
/// Share of the line kept for the background while the rest wants all of it.
pub const BACKGROUND_SHARE: Permille = Permille::new(50);
/// Most line time that the background may have saved up.
const BACKGROUND_SAVED_MAX: Nanos = Nanos::new(10_000_000);

/// Which lanes have something due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Writes.
    pub write: bool,
    /// Reads.
    pub read: bool,
    /// Background.
    pub background: bool,
}

/// What the lanes have had of the line lately.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    write_credit: Nanos,
    write_burst: Nanos,
    write_debt_max: Nanos,
    refilled_at: Option<Micros>,
    background_saved: Nanos,
}

impl Shares {
    /// Writes may take `burst` of line time at once before reads get their share. `debt_max` bounds what reads get back
    /// after a write that took long: a device that does not answer must not silence the setpoints of the others.
    pub fn bound(&mut self, burst: Nanos, debt_max: Nanos) {
        self.write_credit += burst - self.write_burst;
        (self.write_burst, self.write_debt_max) = (burst, debt_max);
    }

    /// Time has passed, busy or not.
    pub fn pass(&mut self, now: Micros) {
        let passed = self.refilled_at.map_or(Micros::ZERO, |last| now - last).max(Micros::ZERO);
        self.refilled_at = Some(now);
        let refill = Permille::new(1000 - READ_SHARE.get()).of(Nanos::from(passed).get());
        self.write_credit = (self.write_credit + Nanos::new(refill)).min(self.write_burst);
    }

    /// Whose turn it is.
    pub fn turn(&self, waiting: Waiting) -> Option<Lane> {
        let background_due = waiting.background && self.background_saved > Nanos::ZERO;
        let is_alone = !waiting.read && !background_due;
        if waiting.write && (is_alone || self.write_credit > Nanos::ZERO) {
            Some(Lane::Write)
        } else if background_due || (waiting.background && !waiting.read) {
            Some(Lane::Background)
        } else {
            waiting.read.then_some(Lane::Read)
        }
    }

    /// A transaction has taken line time; `waiting` are the lanes that waited when it began.
    pub fn used(&mut self, lane: Lane, time: Nanos, waiting: Waiting) {
        if lane == Lane::Write {
            // Nobody is owed for what nobody wanted.
            let least = if waiting.read { -self.write_debt_max } else { Nanos::ZERO };
            self.write_credit = (self.write_credit - time).max(least.min(self.write_credit));
        }
        if lane == Lane::Background {
            self.background_saved -= time;
        } else if waiting.background || self.background_saved < Nanos::ZERO {
            let saved = self.background_saved + Nanos::new(BACKGROUND_SHARE.of(time.get()));
            self.background_saved = saved.min(BACKGROUND_SAVED_MAX);
        }
    }
}
