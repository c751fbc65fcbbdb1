//! The setpoint of a DER as one primitive: SunSpec model 704 written with its revert, and read back.
//!
//! ```text
//! start ─> Inspect ─> Idle ── new value ───────────────────────> Write.. ─> Confirm ─> Idle
//!             ^        └──── a third of the revert timer passed ─> Inspect ─> (Rating) ─> Write.. ─> Confirm
//!             │              (values that change all the time are looked at as often)
//!             └── refused, silent or reconnected: again after a pause
//! ```
//!
//! The revert value, timer and enable go with every value, so a device that hears nothing more falls back by itself.
//! The newest value wins; one that was overtaken is never written. A read-back that differs means that somebody else
//! commands the device: it counts as uncontrolled until a whole renewal has passed undisturbed. It decides nothing.
use super::models::{self, CAPACITY};
use super::pdu::{Reply, Request, Table};
use super::plan::{Class, Offer};
use super::point::{Block, Rounding, Scale};
use super::session::Failure;
use super::standing::Standing;
use super::sunspec::{Model, ModelMap};
use crate::units::{Micros, Watts};

/// Pause before a device that refused or changed a setpoint is written again.
pub const RETRY: Micros = Micros::from_millis(1_000);

/// Model 704 from WMaxLimPctEna to WSet_SF: everything written here, and both scale factors, in one read.
const CONTROLS: (u16, u16) = (14, 55);
const CONTROLS_MODEL: u16 = 704;
const CAPACITY_MODEL: u16 = 702;
const WMAX_LIM_PCT_ENA: u16 = 14;
const WSET_ENA: u16 = 22;
const WSET_ENA_RVRT: u16 = 30;
const WMAX_LIM_PCT_SF: u16 = 54;
const WSET_SF: u16 = 55;
const ENABLED: u16 = 1;
const MODE_WATTS: u16 = 1;

/// What is commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A cap on generation, as a percentage of the device's own maximum.
    Cap,
    /// An active power in both directions.
    Power,
}

/// What the device does when it is not written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Output, positive out of the device.
    pub output: Watts,
    /// Length of its revert timer, at least a second.
    pub after: Micros,
}

/// Words for consecutive registers of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block704 {
    offset: u16,
    words: Vec<u16>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Inspect,
    Rating,
    Write(usize),
    Confirm,
}

/// The value on the device as far as we know.
#[derive(Clone, Debug)]
struct Written {
    value: Watts,
    at: Micros,
    blocks: Vec<Block704>,
}

/// State of one device's setpoint.
#[derive(Debug)]
pub struct Control {
    kind: Kind,
    fallback: Fallback,
    controls: Model,
    capacity: Option<Model>,
    want: Option<Watts>,
    step: Step,
    retry_at: Micros,
    scale: Option<Scale>,
    power_max: Option<Watts>,
    writing: Vec<Block704>,
    writing_value: Watts,
    written: Option<Written>,
    /// When the registers were last read before a write.
    inspected_at: Micros,
    undisturbed: bool,
    refused: bool,
    confirmed: bool,
}

impl Control {
    /// For a device with the models needed: 704, and 702 for a cap. Begins with a read-back.
    pub fn new(kind: Kind, fallback: Fallback, map: &ModelMap) -> Option<Self> {
        let controls = map.find(|id| id == CONTROLS_MODEL)?;
        controls.span(CONTROLS.0, CONTROLS.1)?;
        let capacity = match kind {
            Kind::Power => None,
            Kind::Cap => {
                let model = map.find(|id| id == CAPACITY_MODEL)?;
                model.span(CAPACITY.0, CAPACITY.1)?;
                Some(model)
            }
        };
        Some(Self {
            kind,
            fallback,
            controls,
            capacity,
            want: None,
            step: Step::Inspect,
            retry_at: Micros::new(i64::MIN),
            scale: None,
            power_max: None,
            writing: Vec::new(),
            writing_value: Watts::ZERO,
            written: None,
            inspected_at: Micros::new(i64::MIN),
            undisturbed: true,
            refused: false,
            confirmed: false,
        })
    }

    /// The newest setpoint, positive into the device; `None` lets the device fall back.
    pub fn set(&mut self, want: Option<Watts>) {
        self.want = want;
    }

    /// Whether the last setpoint was read back and nobody else has been found to command the device.
    pub fn is_controlled(&self) -> bool {
        self.confirmed && self.undisturbed
    }

    /// What is known of the control over it.
    pub fn standing(&self) -> Standing {
        match (self.undisturbed && !self.refused, self.confirmed) {
            (false, _) => Standing::Lost,
            (true, true) => Standing::Proved,
            (true, false) => Standing::Unproved,
        }
    }

    /// Whether somebody else has been found to command it since a renewal last passed undisturbed.
    pub fn is_disturbed(&self) -> bool {
        !self.undisturbed
    }

    /// Somebody else was found to command it before it was lost: a renewal must pass undisturbed.
    pub fn distrust(&mut self) {
        self.undisturbed = false;
    }

    /// The value last written and not known to be gone, positive into the device.
    pub fn written(&self) -> Option<Watts> {
        self.written.as_ref().map(|written| written.value)
    }

    /// The transaction wanted now.
    pub fn offer(&self, now: Micros) -> Option<Offer> {
        let due = self.due().filter(|due| *due <= now)?;
        Some(Offer { class: Class::Control, deadline: due })
    }

    /// When the next transaction is wanted.
    pub fn due(&self) -> Option<Micros> {
        match (self.step, &self.written, self.want) {
            (Step::Idle, _, None) => None,
            (Step::Idle, Some(written), Some(want)) if written.value == want => {
                Some(self.renewal_of(written.at).max(self.retry_at))
            }
            _ => Some(self.retry_at),
        }
    }

    /// A third of the revert timer later.
    fn renewal_of(&self, last: Micros) -> Micros {
        last + Micros::new(self.fallback.after.get() / 3)
    }

    /// The request of the transaction offered.
    pub fn take(&mut self, now: Micros) -> Option<Request> {
        if self.step == Step::Idle {
            self.begin(now);
        }
        let read = |model: &Model, (first, last): (u16, u16)| {
            Some(Request::Read { table: Table::Holding, span: model.span(first, last)? })
        };
        match self.step {
            Step::Idle => None,
            Step::Inspect | Step::Confirm => read(&self.controls, CONTROLS),
            Step::Rating => read(self.capacity.as_ref()?, CAPACITY),
            Step::Write(index) => {
                let block = self.writing.get(index)?;
                let start = self.controls.address.checked_add(block.offset)?;
                Some(Request::WriteMany { start, values: block.words.clone() })
            }
        }
    }

    /// A renewal looks first whether the last value still stands; a new value is written at once, unless nobody has looked
    /// for as long as a renewal takes: else values that change all the time would hide another master.
    fn begin(&mut self, now: Micros) {
        let is_due = |written: &Written| self.renewal_of(written.at.min(self.inspected_at)) <= now;
        if self.written.as_ref().is_none_or(is_due) {
            self.step = Step::Inspect;
        } else {
            self.begin_write(now);
        }
    }

    fn begin_write(&mut self, now: Micros) -> Outcome {
        self.step = Step::Idle;
        let Some(value) = self.want else { return Outcome::Underway };
        match self.encode(value) {
            Some(blocks) => {
                (self.writing, self.writing_value) = (blocks, value);
                self.step = Step::Write(0);
                Outcome::Underway
            }
            None => self.refuse(now),
        }
    }

    /// Takes what became of the transaction.
    pub fn complete(&mut self, result: &Result<Reply, Failure>, now: Micros) -> Outcome {
        match (self.step, result) {
            (Step::Inspect, Ok(Reply::Registers(words))) => self.inspected(words, now),
            (Step::Rating, Ok(Reply::Registers(words))) => {
                self.power_max = models::read_power_max(words);
                self.begin_write(now)
            }
            (Step::Write(index), Ok(Reply::Written)) => self.wrote(index, now),
            (Step::Confirm, Ok(Reply::Registers(words))) => self.read_back(words, now),
            (Step::Idle, _) => Outcome::Underway,
            (_, Ok(_) | Err(Failure::Refused(_) | Failure::Malformed)) => self.refuse(now),
            (_, Err(Failure::TimedOut | Failure::Disconnected)) => {
                self.pause(now);
                Outcome::Underway
            }
        }
    }

    /// The device does not do what it is told: local mode, or a value that it cannot take.
    fn refuse(&mut self, now: Micros) -> Outcome {
        self.refused = true;
        self.pause(now + RETRY);
        Outcome::Refused
    }

    /// Gives up until `retry_at`; what stands on the device is not known any more.
    fn pause(&mut self, retry_at: Micros) {
        self.step = Step::Inspect;
        self.written = None;
        self.confirmed = false;
        self.retry_at = retry_at;
    }

    fn inspected(&mut self, words: &[u16], now: Micros) -> Outcome {
        let stands = self.written.as_ref().map(|written| holds(words, &written.blocks));
        self.inspected_at = now;
        self.undisturbed = stands.unwrap_or(self.undisturbed);
        self.read_scale(words);
        self.step = Step::Rating;
        let next = if self.capacity.is_some() { Outcome::Underway } else { self.begin_write(now) };
        if stands == Some(false) {
            Outcome::Mismatch
        } else {
            next
        }
    }

    fn wrote(&mut self, index: usize, now: Micros) -> Outcome {
        self.step = Step::Write(index + 1);
        if index + 1 == self.writing.len() {
            let blocks = std::mem::take(&mut self.writing);
            self.written = Some(Written { value: self.writing_value, at: now, blocks });
            self.step = Step::Confirm;
        }
        Outcome::Underway
    }

    fn read_back(&mut self, words: &[u16], now: Micros) -> Outcome {
        let scale = self.scale;
        self.read_scale(words);
        let stands = self.written.as_ref().is_some_and(|written| holds(words, &written.blocks));
        if !stands || self.scale != scale {
            self.undisturbed &= stands;
            self.pause(now + RETRY);
            return Outcome::Mismatch;
        }
        (self.confirmed, self.refused) = (true, false);
        self.step = Step::Idle;
        Outcome::Confirmed
    }

    fn read_scale(&mut self, words: &[u16]) {
        let offset = match self.kind {
            Kind::Cap => WMAX_LIM_PCT_SF,
            Kind::Power => WSET_SF,
        };
        self.scale = Block::new(CONTROLS.0, words).scale(offset);
    }

    fn encode(&self, value: Watts) -> Option<Vec<Block704>> {
        let [timer_high, timer_low] = timer(self.fallback.after)?;
        match self.kind {
            Kind::Cap => {
                let (cap, revert) = (self.percent(-value)?, self.percent(self.fallback.output)?);
                let words = vec![ENABLED, cap, revert, ENABLED, timer_high, timer_low];
                Some(vec![Block704 { offset: WMAX_LIM_PCT_ENA, words }])
            }
            Kind::Power => {
                let ([high, low], [revert_high, revert_low]) = (self.power(-value)?, self.power(self.fallback.output)?);
                let timers = vec![ENABLED, timer_high, timer_low];
                let words = vec![ENABLED, MODE_WATTS, high, low, revert_high, revert_low];
                // The timer first, so that the value starts it with the right length.
                Some(vec![Block704 { offset: WSET_ENA_RVRT, words: timers }, Block704 { offset: WSET_ENA, words }])
            }
        }
    }

    /// A cap as the device's percentage of its maximum, rounded down, 0..=100 %.
    fn percent(&self, output: Watts) -> Option<u16> {
        let (scale, power_max) = (self.scale?, self.power_max?);
        let share = output.get().clamp(0, power_max.get());
        // Millionths of the maximum, so that no scale factor loses what it could show.
        let millionths = i128::from(share) * 1_000_000 / i128::from(power_max.get());
        let raw = scale.invert(i64::try_from(millionths).ok()?, 4, Rounding::Down)?;
        u16::try_from(raw).ok().filter(|raw| *raw != u16::MAX)
    }

    /// An output in W as the device's int32, its magnitude rounded down.
    fn power(&self, output: Watts) -> Option<[u16; 2]> {
        let magnitude = self.scale?.invert(output.abs().get(), 0, Rounding::Down)?;
        let raw = i32::try_from(if output < Watts::ZERO { -magnitude } else { magnitude }).ok()?;
        Some(split(raw.to_be_bytes()))
    }
}

/// The registers that a read-back of `CONTROLS` must show.
fn holds(words: &[u16], blocks: &[Block704]) -> bool {
    blocks.iter().all(|block| {
        let at = usize::from(block.offset - CONTROLS.0);
        words.get(at..at + block.words.len()) == Some(block.words.as_slice())
    })
}

fn timer(after: Micros) -> Option<[u16; 2]> {
    u32::try_from(after.get() / 1_000_000)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(|seconds| split(seconds.to_be_bytes()))
}

fn split([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
