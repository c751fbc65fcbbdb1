//! What one EVSE counts at: the largest of what may be true of it, until less is proved.
//!
//! ```text
//! publish(sequence, value) ─> pending ──proof──> proved        wiped ─> nothing is proved: nameplate
//! ```
//! Sent, accepted, refused and unanswered setpoints free nothing. Proved means read back or seen on the meter. An EVSE
//! whose setpoint stays unproved for `DEAF_AFTER_MS`, or is refused, is deaf: from then on the others are planned around
//! what it counts at. Until then they are planned around what it was told, and no increase may use the difference. One
//! that is seen to draw clearly more than any limit it had does not obey: it is planned around like a deaf one.

use super::decision::CountedReason;
use super::layout::Column;
use super::{EvseSample, Outcome, OutcomeState};
use crate::site::PlugState;
use crate::units::{div_up, Milliamps, Millis, Millivolts};

/// A setpoint that is not proved for so long was not heard.
pub const DEAF_AFTER_MS: i64 = 6_000;
/// An EVSE that draws more than its limit by more than this, or by more than a tenth of it, does not obey.
pub const DISOBEYS_MA: i64 = 1_000;
/// Phase-to-neutral voltages that carry its current, x 1000, by wired conductors: two are line to line, root of three.
const LOADED_PERMILLE: [i64; 4] = [1_000, 1_000, 1_732, 3_000];
/// Setpoints in flight per EVSE that are kept apart; beyond it the two oldest count as one.
pub const PENDING_MAX: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Pending {
    sequence: i64,
    value: Milliamps,
    sent_at: Millis,
}

/// How the Arbiter may plan with an EVSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It follows: it will draw its grant, and `excess` more than any limit it was given.
    Follows {
        /// mA beyond its limit, seen on the meter.
        excess: Milliamps,
    },
    /// It cannot be relied on to follow: it stays at what it counts at.
    Stuck,
}

/// What an EVSE counts at, why, and how it may be planned with.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// On each wired phase.
    pub current: Milliamps,
    /// The largest of the candidates.
    pub reason: CountedReason,
    /// Whether it follows.
    pub standing: Standing,
}

impl Counted {
    /// mA per phase that are gone whatever it is granted.
    pub fn unmovable(&self) -> i64 {
        match self.standing {
            Standing::Stuck => self.current.get(),
            Standing::Follows { excess } => excess.get(),
        }
    }

    /// mA per phase it takes once its newest grant is proved.
    pub fn settled(&self, granted: i64) -> i64 {
        match self.standing {
            Standing::Stuck => self.current.get(),
            Standing::Follows { excess } => granted.saturating_add(excess.get()),
        }
    }

    /// Whether a new grant moves it.
    pub fn follows(&self) -> bool {
        self.standing != Standing::Stuck
    }
}

/// The book of one EVSE.
#[derive(Clone, Debug, Default)]
pub struct Account {
    proved: Option<Milliamps>,
    proved_sequence: i64,
    fallback: Option<Milliamps>,
    pending: Vec<Pending>,
    is_refused: bool,
    is_offline: bool,
    measured: Milliamps,
    excess: Milliamps,
    lingering: Option<(Milliamps, Millis)>,
}

impl Account {
    /// A setpoint goes out: it counts from now on, next to those not yet proved.
    pub fn publish(&mut self, sequence: i64, value: Milliamps, now: Millis) {
        self.is_refused = false;
        self.pending.push(Pending { sequence, value, sent_at: now });
        if self.pending.len() > PENDING_MAX {
            let oldest = self.pending.remove(0);
            if let Some(next) = self.pending.first_mut() {
                next.value = next.value.max(oldest.value);
                next.sent_at = oldest.sent_at;
            }
        }
    }

    /// Takes an outcome; `newest` is the newest sequence that was published to this EVSE.
    pub fn settle(&mut self, outcome: &Outcome, newest: i64, now: Millis) {
        match outcome.state {
            OutcomeState::Sent | OutcomeState::Accepted => {}
            OutcomeState::Rejected | OutcomeState::TimedOut => {
                self.is_refused |= outcome.sequence == newest && !self.pending.is_empty();
            }
            OutcomeState::Wiped => {
                self.proved = None;
                self.fallback = None;
            }
            OutcomeState::Confirmed | OutcomeState::Measured => self.prove(outcome, newest, now),
        }
    }

    /// An older proof than the one held, or one of a setpoint that was never published, says nothing.
    fn prove(&mut self, outcome: &Outcome, newest: i64, now: Millis) {
        let Some(value) = outcome.value.or_else(|| self.published(outcome.sequence)) else { return };
        if outcome.sequence < self.proved_sequence || outcome.sequence > newest {
            return;
        }
        self.lingering = self.limit().map(|limit| (limit, now + Millis::new(DEAF_AFTER_MS)));
        self.proved = Some(value);
        self.proved_sequence = outcome.sequence;
        self.fallback = outcome.fallback;
        self.pending.retain(|pending| pending.sequence > outcome.sequence);
        self.is_refused &= !self.pending.is_empty();
    }

    fn published(&self, sequence: i64) -> Option<Milliamps> {
        self.pending.iter().find(|pending| pending.sequence == sequence).map(|pending| pending.value)
    }

    /// Takes a sample: plug state and the largest phase current.
    pub fn measure(&mut self, sample: &EvseSample, column: &Column, voltage: Millivolts, now: Millis) {
        self.is_offline = sample.plug == PlugState::Offline;
        let Some(measured) = phase_current(sample, column, voltage) else { return };
        self.measured = measured;
        let lingering = self.lingering.filter(|(_, until)| now < *until).map(|(limit, _)| limit);
        self.excess = match self.limit().max(lingering) {
            Some(limit) if measured > limit => measured - limit,
            _ => Milliamps::ZERO,
        };
    }

    /// The largest limit that may be installed; absent: nothing is proved.
    fn limit(&self) -> Option<Milliamps> {
        self.proved.map(|proved| proved.max(self.in_flight().unwrap_or(Milliamps::ZERO)))
    }

    fn in_flight(&self) -> Option<Milliamps> {
        self.pending.iter().map(|pending| pending.value).max()
    }

    fn is_unreachable(&self, is_link_up: bool) -> bool {
        self.is_offline || !is_link_up
    }

    /// What it counts at now, and how it may be planned with.
    pub fn count(&self, column: &Column, is_link_up: bool, now: Millis) -> Counted {
        let (current, reason) = self.counted(column, is_link_up);
        Counted { current, reason, standing: self.standing(is_link_up, now) }
    }

    /// What it counts at on each wired phase, and why.
    pub fn counted(&self, column: &Column, is_link_up: bool) -> (Milliamps, CountedReason) {
        let base = match self.proved {
            Some(proved) => (proved, CountedReason::Proved),
            None => (column.evse.current_max, CountedReason::Nameplate),
        };
        let fallback = self.fallback.unwrap_or(column.evse.fallback);
        let others = [
            (self.in_flight(), CountedReason::Pending),
            (Some(self.measured), CountedReason::Measured),
            (Some(fallback).filter(|_| self.is_unreachable(is_link_up)), CountedReason::Fallback),
        ];
        others.into_iter().fold(base, |most, (value, reason)| match value {
            Some(value) if value > most.0 => (value, reason),
            _ => most,
        })
    }

    fn standing(&self, is_link_up: bool, now: Millis) -> Standing {
        let deaf = |pending: &Pending| now - pending.sent_at >= Millis::new(DEAF_AFTER_MS);
        let is_deaf = self.is_refused || self.pending.first().is_some_and(deaf);
        let tolerance = self.proved.map_or(0, Milliamps::get).div_euclid(10).max(DISOBEYS_MA);
        let disobeys = self.excess > Milliamps::new(tolerance);
        if self.proved.is_none() || self.is_unreachable(is_link_up) || is_deaf || disobeys {
            return Standing::Stuck;
        }
        Standing::Follows { excess: self.excess }
    }
}

/// The largest current of any phase: as measured, else the least that its power needs.
fn phase_current(sample: &EvseSample, column: &Column, voltage: Millivolts) -> Option<Milliamps> {
    let measured = sample.current.iter().flatten().map(|current| current.abs()).max();
    let power = sample.power.map(|power| {
        let per_phase = voltage.get().saturating_mul(LOADED_PERMILLE[column.evse.phases.phases().len().min(3)]) / 1_000;
        Milliamps::new(div_up(power.abs().micro().get(), per_phase))
    });
    measured.or(power)
}

#[cfg(test)]
#[path = "account_test.rs"]
mod tests;
