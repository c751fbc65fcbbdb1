//! What the transactions of a setpoint have shown: looks before and after a write, ratings, and what follows from them.
//!
//! ```text
//! look ── stands? ── Verdict: Overwritten, Reverted, Local, Stopped ──> rating ──> write ──> look ── Confirmed, Mismatch
//! ```
//!
//! The turn of the transactions is `control`'s.
use super::{Control, Outcome, Step, Verdict, Written, RETRY};
use crate::modbus::actuator::Write;
use crate::modbus::pdu::Table;
use crate::modbus::point::Block;
use crate::units::Micros;

impl Control {
    pub(super) fn looked(&mut self, block: &Block<'_>, now: Micros) -> Outcome {
        self.scale_changed |= self.actuator.take_look(block);
        if let Some((Table::Holding, start, words)) = block.registers() {
            self.shown.push(Write { start, words: words.to_vec() });
        }
        let last = self.actuator.looks().len().saturating_sub(1);
        match self.step {
            Step::Look(at) if at < last => self.step = Step::Look(at + 1),
            Step::Confirm(at) if at < last => self.step = Step::Confirm(at + 1),
            Step::Look(_) => return self.inspected(now),
            _ => return self.read_back(now),
        }
        Outcome::Underway
    }

    /// Whether all that was written stands; `None` where nothing was.
    fn stands(&self) -> Option<bool> {
        self.written.as_ref().map(|written| self.shows(written))
    }

    fn shows(&self, written: &Written) -> bool {
        written.writes.iter().all(|write| self.shown_at(write).as_ref() == Some(write))
    }

    /// What the looks have shown at the registers of a write; `None` where one of them was not looked at.
    pub(super) fn shown_at(&self, write: &Write) -> Option<Write> {
        let addresses = (write.start..=u16::MAX).take(write.words.len());
        let word = |address: u16| self.shown.iter().find_map(|look| look.word(address));
        Some(Write { start: write.start, words: addresses.map(word).collect::<Option<_>>()? })
    }

    fn inspected(&mut self, now: Micros) -> Outcome {
        let stands = self.stands();
        self.looked_at = now;
        self.feel(now);
        let is_overwritten = self.judge(stands, now);
        let is_new = match (&self.written, self.want) {
            (Some(written), Some(want)) => written.setpoint.power != want.power || self.renewal_of(written.at) <= now,
            _ => true,
        };
        if stands == Some(true) && !is_new && !self.scale_changed {
            self.step = Step::Idle;
            return Outcome::Underway;
        }
        self.actuator.forget_ratings();
        self.step = Step::Rating(0);
        let next = if self.actuator.rating_reads().is_empty() { self.begin_write(now) } else { Outcome::Underway };
        if is_overwritten {
            Outcome::Mismatch
        } else {
            next
        }
    }

    /// What the looks say of the device itself.
    fn feel(&mut self, now: Micros) {
        let had_stopped = self.life.has_stopped();
        self.life.feel(self.actuator.life(), now);
        if self.life.has_stopped() && !had_stopped {
            self.note_want(Verdict::Stopped, now);
        }
        let was_local = std::mem::replace(&mut self.was_local, self.actuator.is_local());
        if self.was_local && !was_local {
            self.note_want(Verdict::Local, now);
        }
    }

    /// What the looks say of what was written; whether somebody else has changed it. A device whose lease has ended, or
    /// that was away, is in its own right: that is a revert.
    fn judge(&mut self, stands: Option<bool>, now: Micros) -> bool {
        if let Some(left) = self.left.take().filter(|left| !self.shows(left)) {
            self.note(left.setpoint, left.writes, Verdict::Reverted, None, now);
        }
        let Some(stands) = stands else { return false };
        if stands {
            // Only what stood for a renewal's time has not been fought over.
            self.disturbed_at = self.disturbed_at.filter(|at| now - *at < self.renewal());
            return false;
        }
        let lease = self.actuator.holds_for(&self.fallback);
        if self.written.as_ref().is_some_and(|written| written.at + lease <= now) {
            self.confirmed = false;
            self.note_written(Verdict::Reverted, now);
            return false;
        }
        self.disturbed_at = Some(now);
        self.note_written(Verdict::Overwritten, now);
        true
    }

    pub(super) fn rated(&mut self, block: &Block<'_>, now: Micros) -> Outcome {
        self.actuator.take_ratings(block);
        match self.step {
            Step::Rating(at) if at + 1 < self.actuator.rating_reads().len() => {
                self.step = Step::Rating(at + 1);
                Outcome::Underway
            }
            _ => self.begin_write(now),
        }
    }

    pub(super) fn wrote(&mut self, at: usize, now: Micros) -> Outcome {
        self.step = Step::Write(at + 1);
        let count = self.writing.as_ref().map_or(0, |(_, writes)| writes.len());
        if at + 1 < count {
            return Outcome::Underway;
        }
        if let Some((setpoint, writes)) = self.writing.take() {
            self.last = Some(setpoint.power);
            self.written = Some(Written { setpoint, at: now, writes });
            self.audit.sent();
        }
        self.begin_look(Step::Confirm(0));
        Outcome::Underway
    }

    fn read_back(&mut self, now: Micros) -> Outcome {
        let stands = self.stands() == Some(true);
        if !stands || self.scale_changed {
            if !stands {
                self.disturbed_at = Some(now);
            }
            self.note_written(Verdict::Mismatch, now);
            self.pause(now + RETRY);
            return Outcome::Mismatch;
        }
        (self.confirmed, self.refused) = (true, false);
        self.note_written(Verdict::Confirmed, now);
        if let Some(power) = self.written() {
            self.obedience.confirmed(power, now);
        }
        self.step = Step::Idle;
        Outcome::Confirmed
    }
}
