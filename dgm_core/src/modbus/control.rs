//! The setpoint of a device as one primitive: written with its revert, read back, watched, audited.
//!
//! ```text
//! start ─> Look ─> Idle ── new value ──────────────────> Write.. ─> Confirm ─> Idle
//!           ^       ├── two seconds passed ─> Look ── all stands ─> Idle
//!           │       └── a third of the revert timer passed ─> Look ─> (Rating) ─> Write.. ─> Confirm
//!           └── refused, silent or reconnected: again after a pause
//! ```
//!
//! The newest value wins; one that was overtaken is never written. A setpoint carries the epoch of the Arbiter that
//! granted it and the time at which it ends: an older epoch is refused, an ended one is not renewed. A read-back that
//! differs means that somebody else commands the device: it counts as uncontrolled until a third of the revert timer has
//! passed undisturbed. It decides nothing.
use std::cmp::Ordering;

use super::actuator::{Actuator, Write};
pub use super::actuator::{Fallback, Kind};
use super::audit::{Audit, Entry, Verdict};
use super::life::Life;
use super::obedience::Obedience;
use super::pdu::{ReplyView, Request, Span, Table};
use super::plan::{Class, Offer};
use super::point::Block;
use super::session::Failure;
use super::standing::Standing;
use crate::units::{Micros, Watts};

/// Pause before a device that refused or changed a setpoint is written again.
pub const RETRY: Micros = Micros::from_millis(1_000);
/// Longest time for which nobody looks at the command registers.
pub const LOOK: Micros = Micros::from_millis(2_000);

/// A third of the time for which a write holds: then it is renewed.
pub fn renewal(actuator: &Actuator, fallback: &Fallback) -> Micros {
    Micros::new(actuator.holds_for(fallback).get() / 3)
}

/// Shortest time between two looks.
pub fn look_interval(renewal: Micros) -> Micros {
    renewal.min(LOOK)
}

/// What a device is to do, and for how long that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setpoint {
    /// Positive into the device.
    pub power: Watts,
    /// Of the Arbiter that granted it.
    pub epoch: i64,
    /// It is not written from then on.
    pub expires_at: Micros,
}

/// What a control transaction has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to tell yet.
    Underway,
    /// The setpoint was read back as written.
    Confirmed,
    /// Something else was read back.
    Mismatch,
    /// The device refused, or the value cannot be expressed in its registers.
    Refused,
}

/// What is done now; the numbers are positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Look(usize),
    Rating(usize),
    Write(usize),
    Confirm(usize),
    Beat,
}

/// The setpoint on the device as far as we know.
#[derive(Clone, Debug)]
struct Written {
    setpoint: Setpoint,
    at: Micros,
    writes: Vec<Write>,
}

/// State of one device's setpoint.
#[derive(Debug)]
pub struct Control {
    actuator: Actuator,
    fallback: Fallback,
    want: Option<Setpoint>,
    epoch: i64,
    step: Step,
    retry_at: Micros,
    /// What is being written, and for which setpoint.
    writing: Option<(Setpoint, Vec<Write>)>,
    written: Option<Written>,
    /// What stood on it when it was lost.
    left: Option<Written>,
    /// The value last written, whatever has become of it.
    last: Option<Watts>,
    /// The holding registers that the looks of this round have shown.
    shown: Vec<Write>,
    scale_changed: bool,
    /// When the registers were last read before a write.
    looked_at: Micros,
    /// Since when nobody has been found to command it, where somebody had been.
    disturbed_at: Option<Micros>,
    refused: bool,
    confirmed: bool,
    obedience: Obedience,
    beats: u32,
    beat_at: Micros,
    life: Life,
    was_local: bool,
    audit: Audit,
}

impl Control {
    /// Begins with a look at what stands on the device.
    pub fn new(actuator: Actuator, fallback: Fallback) -> Self {
        Self {
            obedience: Obedience::new(actuator.kind(), fallback.rating),
            actuator,
            fallback,
            want: None,
            epoch: i64::MIN,
            step: Step::Look(0),
            retry_at: Micros::new(i64::MIN),
            writing: None,
            written: None,
            left: None,
            last: None,
            shown: Vec::new(),
            scale_changed: false,
            looked_at: Micros::new(i64::MIN),
            disturbed_at: None,
            refused: false,
            confirmed: false,
            beats: 0,
            beat_at: Micros::new(i64::MIN),
            life: Life::default(),
            was_local: false,
            audit: Audit::default(),
        }
    }

    /// The newest setpoint; `None` lets the device fall back. False: its epoch is older than one before, nothing changes.
    pub fn set(&mut self, want: Option<Setpoint>) -> bool {
        if let Some(setpoint) = want {
            if setpoint.epoch < self.epoch {
                self.note(setpoint, Vec::new(), Verdict::Stale, None, setpoint.expires_at);
                return false;
            }
            self.epoch = setpoint.epoch;
        }
        self.want = want;
        true
    }

    /// Whether the last setpoint was read back, with a revert that is proved, and the device follows nobody but us.
    pub fn is_controlled(&self) -> bool {
        self.standing() == Standing::Proved
    }

    /// What is known of the control over it.
    pub fn standing(&self) -> Standing {
        let is_away = self.refused || self.life.has_stopped() || self.actuator.is_local();
        if is_away || self.is_disturbed() || !self.obedience.follows() {
            Standing::Lost
        } else if self.confirmed && self.actuator.proves(&self.fallback) {
            Standing::Proved
        } else {
            Standing::Unproved
        }
    }

    /// Whether somebody else has been found to command it, and no renewal's time has passed undisturbed since.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed_at.is_some()
    }

    /// What must be remembered of it when the device is lost: it does not become obedient by being silent.
    pub fn memory(&self) -> Memory {
        Memory {
            disturbed: self.is_disturbed(),
            epoch: self.epoch,
            obedience: self.obedience,
            written: self.written.clone().or_else(|| self.left.clone()),
            audit: self.audit.clone(),
        }
    }

    /// The device is found again.
    pub fn remember(&mut self, memory: Memory, now: Micros) {
        self.disturbed_at = memory.disturbed.then_some(now);
        (self.epoch, self.obedience, self.audit) = (memory.epoch, memory.obedience, memory.audit);
        self.left = memory.written;
        self.obedience.forget();
    }

    /// The newest commands and what came of them.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The same, to take from it.
    pub fn audit_mut(&mut self) -> &mut Audit {
        &mut self.audit
    }

    /// The value last written and not known to be gone, positive into the device.
    pub fn written(&self) -> Option<Watts> {
        self.written.as_ref().map(|written| written.setpoint.power)
    }

    /// A power was measured, positive into the device.
    pub fn measured(&mut self, power: Watts, now: Micros) {
        if !self.confirmed {
            return;
        }
        let followed = self.obedience.follows();
        self.obedience.measured(power, now);
        let verdict = match (followed, self.obedience.follows()) {
            (true, false) => Verdict::Disobeyed,
            (false, true) => Verdict::Obeyed,
            (true, true) | (false, false) => return,
        };
        if let Some(setpoint) = self.written.as_ref().map(|written| written.setpoint) {
            self.note(setpoint, Vec::new(), verdict, Some(power), now);
        }
    }

    /// What it is commanded by, and what it shall fall back to.
    pub fn terms(&self) -> (&Actuator, &Fallback) {
        (&self.actuator, &self.fallback)
    }

    /// The transaction wanted now.
    pub fn offer(&self, now: Micros) -> Option<Offer> {
        self.next_offer().filter(|offer| offer.due <= now)
    }

    /// The transaction wanted next.
    pub fn next_offer(&self) -> Option<Offer> {
        let (due, class) = (self.due()?, self.class());
        let is_urgent = class == Class::Write && self.want.is_some_and(|want| self.takes_away(want.power));
        Some(Offer { class, due, is_urgent })
    }

    /// Whether nothing is half done.
    pub fn is_at_rest(&self) -> bool {
        self.step == Step::Idle
    }

    fn class(&self) -> Class {
        let is_new = self.want.is_some() && !self.is_held();
        match self.step {
            Step::Idle if is_new => Class::Write,
            Step::Idle if self.next_beat() <= self.renewal_due().min(self.next_look()) => Class::Beat,
            Step::Look(_) | Step::Confirm(_) if is_new => Class::Write,
            Step::Idle | Step::Look(_) => Class::Look,
            Step::Rating(_) if self.want.is_none() => Class::Look,
            Step::Rating(_) | Step::Write(_) => Class::Write,
            Step::Confirm(_) => Class::Proof,
            Step::Beat => Class::Beat,
        }
    }

    /// Whether the value wanted is the one that was written.
    fn is_held(&self) -> bool {
        self.written.as_ref().zip(self.want).is_some_and(|(written, want)| written.setpoint.power == want.power)
    }

    /// Whether less is charged, discharged or generated than by the value before; of an unknown one everything may be.
    fn takes_away(&self, power: Watts) -> bool {
        self.last.is_none_or(|last| match last.cmp(&Watts::ZERO) {
            Ordering::Greater => power < last,
            Ordering::Less => power > last,
            Ordering::Equal => false,
        })
    }

    /// When the next transaction is wanted.
    pub fn due(&self) -> Option<Micros> {
        match (self.step, &self.written, self.want) {
            (Step::Idle, _, None) => None,
            (Step::Idle, Some(written), Some(want)) if written.setpoint.power == want.power => {
                let next = self.renewal_due().min(self.next_look()).min(self.next_beat());
                Some(next.max(self.retry_at))
            }
            _ => Some(self.retry_at),
        }
    }

    fn renewal(&self) -> Micros {
        renewal(&self.actuator, &self.fallback)
    }

    fn renewal_of(&self, last: Micros) -> Micros {
        last + self.renewal()
    }

    fn renewal_due(&self) -> Micros {
        self.written.as_ref().map_or(Micros::new(i64::MIN), |written| self.renewal_of(written.at))
    }

    fn next_look(&self) -> Micros {
        self.looked_at + look_interval(self.renewal())
    }

    fn next_beat(&self) -> Micros {
        self.actuator.heartbeat().map_or(Micros::new(i64::MAX), |beat| self.beat_at + beat.period)
    }

    /// The request of the transaction offered.
    pub fn take(&mut self, now: Micros) -> Option<Request> {
        if self.want.is_some_and(|want| want.expires_at <= now) && matches!(self.step, Step::Idle | Step::Write(0)) {
            (self.want, self.step) = (None, Step::Idle);
        }
        if self.step == Step::Idle {
            self.begin(now);
        }
        let read = |reads: &[(Table, Span)], at: usize| {
            reads.get(at).map(|(table, span)| Request::Read { table: *table, span: *span })
        };
        match self.step {
            Step::Idle => None,
            Step::Look(at) | Step::Confirm(at) => read(self.actuator.looks(), at),
            Step::Rating(at) => read(self.actuator.rating_reads(), at),
            Step::Write(at) => {
                let (_, writes) = self.writing.as_ref()?;
                writes.get(at).map(|write| self.actuator.request(write))
            }
            Step::Beat => {
                self.beat_at = now;
                self.beats = self.beats.wrapping_add(1);
                let write = self.actuator.heartbeat()?.write(self.beats)?;
                Some(self.actuator.request(&write))
            }
        }
    }

    /// A new value is written at once, unless nobody has looked for too long: else values that change all the time would
    /// hide another master. A renewal looks first.
    fn begin(&mut self, now: Micros) {
        if self.want.is_none() {
            return;
        }
        let is_held = self.is_held();
        if self.next_beat() <= now && is_held {
            self.step = Step::Beat;
        } else if self.written.is_none() || self.next_look() <= now || is_held {
            self.begin_look(Step::Look(0));
        } else {
            self.begin_write(now);
        }
    }

    fn begin_look(&mut self, step: Step) {
        self.step = step;
        (self.scale_changed, self.shown) = (false, Vec::new());
    }

    fn begin_write(&mut self, now: Micros) -> Outcome {
        self.step = Step::Idle;
        let Some(want) = self.want else { return Outcome::Underway };
        match self.actuator.encode(want.power, &self.fallback) {
            Some(writes) => {
                self.writing = Some((want, writes));
                self.step = Step::Write(0);
                Outcome::Underway
            }
            None => self.refuse(now),
        }
    }

    /// Takes what became of the transaction.
    pub fn complete(&mut self, result: &Result<ReplyView<'_>, Failure>, now: Micros) -> Outcome {
        match (self.step, result) {
            (Step::Idle, _) => Outcome::Underway,
            (Step::Beat, _) => {
                // Not proved by itself: a device that misses it shows that in its mode or its revert.
                self.step = Step::Idle;
                Outcome::Underway
            }
            (Step::Write(at), Ok(ReplyView::Written)) => self.wrote(at, now),
            (Step::Look(at), Ok(reply)) => {
                self.with_block(self.actuator.looks().get(at).copied(), *reply, now, Self::looked)
            }
            (Step::Confirm(at), Ok(reply)) => {
                self.with_block(self.actuator.looks().get(at).copied(), *reply, now, Self::looked)
            }
            (Step::Rating(at), Ok(reply)) => {
                self.with_block(self.actuator.rating_reads().get(at).copied(), *reply, now, Self::rated)
            }
            (_, Ok(_) | Err(Failure::Refused(_) | Failure::Malformed)) => self.refuse(now),
            (step, Err(_)) => {
                match step {
                    // It was written, and nobody can say whether it stands.
                    Step::Confirm(_) => self.note_written(Verdict::Silent, now),
                    _ => self.note_want(Verdict::Silent, now),
                }
                self.pause(now);
                Outcome::Underway
            }
        }
    }

    fn with_block(
        &mut self,
        read: Option<(Table, Span)>,
        reply: ReplyView<'_>,
        now: Micros,
        take: fn(&mut Self, &Block<'_>, Micros) -> Outcome,
    ) -> Outcome {
        match (read, reply) {
            (Some((table, span)), ReplyView::Registers(words)) => {
                take(self, &Block::new(table, span.start, words), now)
            }
            (Some((table, span)), ReplyView::Bits(bits)) => take(self, &Block::of_bits(table, span.start, bits), now),
            _ => self.refuse(now),
        }
    }

    /// The device does not do what it is told: local mode, or a value that it cannot take.
    fn refuse(&mut self, now: Micros) -> Outcome {
        self.refused = true;
        self.note_want(Verdict::Refused, now);
        self.pause(now + RETRY);
        Outcome::Refused
    }

    /// Gives up until `retry_at`; what stands on the device is not known any more.
    fn pause(&mut self, retry_at: Micros) {
        self.begin_look(Step::Look(0));
        self.written = None;
        self.confirmed = false;
        self.obedience.forget();
        self.retry_at = retry_at;
    }

    fn note_written(&mut self, verdict: Verdict, now: Micros) {
        if let Some(written) = &self.written {
            self.note(written.setpoint, written.writes.clone(), verdict, None, now);
        }
    }

    fn note_want(&mut self, verdict: Verdict, now: Micros) {
        let (setpoint, writes) = self.writing.take().unzip();
        if let Some(setpoint) = setpoint.or(self.want) {
            self.note(setpoint, writes.unwrap_or_default(), verdict, None, now);
        }
    }

    fn note(&mut self, setpoint: Setpoint, written: Vec<Write>, verdict: Verdict, measured: Option<Watts>, at: Micros) {
        let (epoch, power) = (setpoint.epoch, setpoint.power);
        let read_back = written.iter().filter_map(|write| self.shown_at(write)).collect();
        self.audit.note(Entry { number: 0, at, epoch, power, written, read_back, measured, verdict, times: 1 });
    }
}

/// What outlives the loss of a device.
#[derive(Clone, Debug)]
pub struct Memory {
    disturbed: bool,
    epoch: i64,
    obedience: Obedience,
    written: Option<Written>,
    audit: Audit,
}

impl Memory {
    /// The newest commands, to take from them.
    pub fn audit_mut(&mut self) -> &mut Audit {
        &mut self.audit
    }
}

#[path = "control_shown.rs"]
mod shown;

#[cfg(test)]
#[path = "control_tests.rs"]
pub(in crate::modbus) mod tests;
