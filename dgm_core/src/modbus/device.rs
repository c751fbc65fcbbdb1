//! One SunSpec device on a line: found, polled in its slots, commanded if it is a DER.
//!
//! ```text
//! Searching ── chain walked, models there ──> Serving ── silent three times, or line lost ──> Searching
//!                                               ├── poll: one read of the values, one of the state of charge
//!                                               └── control: see `control`
//! ```
//!
//! It says which transaction it wants and takes the answer; whose turn it is, the line decides.
use super::control::{Control, Fallback, Kind, Outcome};
use super::models::{self, DER, METER, STORAGE};
use super::pdu::{Reply, Request, Span, Table};
use super::plan::{Class, Offer, Slots};
use super::session::{Failure, OwnedCompletion};
use super::standing::Standing;
use super::sunspec::{ModelMap, Progress, Scan};
use crate::site::image::{Quality, Reading};
use crate::units::{Micros, Millis, Watts};

/// Silent or failed transactions in a row after which a device is searched anew, or its reading has failed.
pub const FAILURES_MAX: u32 = 3;
/// Pause before a device that does not answer is searched again.
pub const SEARCH_AGAIN: Micros = Micros::from_millis(1_000);
/// Pause before a device that lacks the models needed is searched again.
pub const LOOK_AGAIN: Micros = Micros::from_millis(30_000);

/// What a device is read and written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Models 201 to 204; meters and metered loads.
    Meter,
    /// Models 701, 702 and 704.
    Pv(Fallback),
    /// Models 701, 704 and 713.
    Battery(Fallback),
}

/// How a device is reached and how often it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Unit id, 1..=247.
    pub unit: u8,
    /// What it is.
    pub role: Role,
    /// Time between two readings.
    pub period: Micros,
    /// Longest wait for an answer.
    pub timeout: Micros,
}

/// What a transaction has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to tell yet.
    Nothing,
    /// A reading; phases in the device's order.
    Reading(Box<Reading>),
    /// Something about the setpoint.
    Control(Outcome),
}

/// Where the values of a device stand.
#[derive(Clone, Copy, Debug)]
struct Sources {
    values: Span,
    storage: Option<Span>,
}

#[derive(Debug)]
enum Stage {
    Searching { scan: Scan, from: Micros },
    Serving { sources: Sources, control: Option<Box<Control>> },
}

/// State of one device.
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    stage: Stage,
    slots: Slots,
    /// The values of a poll whose second read is still to come.
    half_read: Option<Reading>,
    want: Option<Watts>,
    failures: u32,
    unusable: bool,
    /// Somebody else commanded it when it was lost.
    disturbed: bool,
    /// Slots in which it was not read.
    pub polls_missed: u64,
}

impl Device {
    /// A device that has not been looked for yet.
    pub fn new(config: DeviceConfig, now: Micros) -> Self {
        Self {
            config,
            stage: Stage::Searching { scan: Scan::default(), from: now },
            slots: Slots::new(config.period, now),
            half_read: None,
            want: None,
            failures: 0,
            unusable: false,
            disturbed: false,
            polls_missed: 0,
        }
    }

    /// How it is reached.
    pub fn config(&self) -> &DeviceConfig {
        &self.config
    }

    /// Whether it is found and read.
    pub fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. })
    }

    /// Whether it answers, but not with the models needed.
    pub fn is_unusable(&self) -> bool {
        self.unusable
    }

    /// Whether its setpoint is proved and nobody else commands it.
    pub fn is_controlled(&self) -> bool {
        matches!(&self.stage, Stage::Serving { control: Some(control), .. } if control.is_controlled())
    }

    /// What is known of the control over it.
    pub fn standing(&self) -> Standing {
        match &self.stage {
            Stage::Searching { .. } if self.unusable => Standing::Lost,
            Stage::Searching { .. } => Standing::Silent,
            Stage::Serving { control, .. } => control.as_ref().map_or(Standing::Unproved, |control| control.standing()),
        }
    }

    /// The newest setpoint, positive into the device; `None` lets it fall back.
    pub fn set(&mut self, want: Option<Watts>) {
        self.want = want;
        if let Stage::Serving { control: Some(control), .. } = &mut self.stage {
            control.set(want);
        }
    }

    /// The line is gone: what stands on the device, and which device it is, must be found out again.
    pub fn lose(&mut self, from: Micros) {
        if let Stage::Serving { control: Some(control), .. } = &self.stage {
            self.disturbed = control.is_disturbed();
        }
        self.stage = Stage::Searching { scan: Scan::default(), from };
        self.half_read = None;
        self.failures = 0;
    }

    /// The transactions wanted now.
    pub fn offers(&self, now: Micros) -> impl Iterator<Item = Offer> {
        let (poll, control) = match &self.stage {
            // Searching yields to the polls of devices that are found.
            Stage::Searching { from, .. } => (poll_offer(*from, *from + SEARCH_AGAIN, now), None),
            Stage::Serving { control, .. } => (
                poll_offer(self.poll_due(), self.slots.deadline(), now),
                control.as_ref().and_then(|control| control.offer(now)),
            ),
        };
        control.into_iter().chain(poll)
    }

    /// When the next transaction is wanted.
    pub fn wake_time(&self) -> Micros {
        match &self.stage {
            Stage::Searching { from, .. } => *from,
            Stage::Serving { control, .. } => {
                let due = control.as_ref().and_then(|control| control.due());
                due.map_or(self.poll_due(), |due| due.min(self.poll_due()))
            }
        }
    }

    /// A poll that is half done is due at once.
    fn poll_due(&self) -> Micros {
        self.half_read.as_ref().map_or(self.slots.due(), |half| Micros::from(half.measured_at))
    }

    /// The request of the transaction offered.
    pub fn take(&mut self, class: Class, now: Micros) -> Option<Request> {
        let span = match (&mut self.stage, class) {
            (Stage::Serving { control, .. }, Class::Control) => return control.as_mut()?.take(now),
            (Stage::Searching { .. }, Class::Control) => return None,
            (Stage::Searching { scan, .. }, Class::Poll) => scan.next_span(),
            (Stage::Serving { sources, .. }, Class::Poll) => match (&self.half_read, sources.storage) {
                (Some(_), Some(storage)) => storage,
                _ => {
                    self.polls_missed += self.slots.advance(now);
                    sources.values
                }
            },
        };
        Some(Request::Read { table: Table::Holding, span })
    }

    /// Takes what became of the transaction.
    pub fn complete(&mut self, class: Class, completion: &OwnedCompletion, now: Micros) -> Event {
        self.count_failures(&completion.result);
        let event = match (&mut self.stage, class) {
            (Stage::Searching { .. }, _) => self.search(completion, now),
            (Stage::Serving { control: Some(control), .. }, Class::Control) => {
                Event::Control(control.complete(&completion.result, now))
            }
            (Stage::Serving { .. }, _) => self.read(completion),
        };
        let silent = completion.result == Err(Failure::TimedOut) && self.failures >= FAILURES_MAX;
        if silent && self.is_serving() {
            self.lose(now + SEARCH_AGAIN);
        }
        event
    }

    fn count_failures(&mut self, result: &Result<Reply, Failure>) {
        self.failures = if result.is_ok() { 0 } else { self.failures.saturating_add(1) };
    }

    fn search(&mut self, completion: &OwnedCompletion, now: Micros) -> Event {
        let Stage::Searching { scan, from } = &mut self.stage else { return Event::Nothing };
        let answer = match &completion.result {
            Ok(Reply::Registers(words)) => Ok(words.as_slice()),
            Ok(_) => Err(Failure::Malformed),
            Err(failure) => Err(*failure),
        };
        match scan.advance(answer) {
            Progress::More => *from = now,
            Progress::Lost => self.lose(now + SEARCH_AGAIN),
            Progress::NoMap => return self.refuse(completion.sent_at.to_millis(), now),
            Progress::Found(map) => match self.serve(&map) {
                Some(stage) => {
                    (self.stage, self.unusable) = (stage, false);
                    self.slots = Slots::new(self.config.period, now);
                }
                None => return self.refuse(completion.sent_at.to_millis(), now),
            },
        }
        Event::Nothing
    }

    /// The device answers and is not what the configuration says.
    fn refuse(&mut self, measured_at: Millis, now: Micros) -> Event {
        self.lose(now + LOOK_AGAIN);
        self.unusable = true;
        failed(measured_at)
    }

    fn serve(&self, map: &ModelMap) -> Option<Stage> {
        let der = || map.find(|id| id == 701)?.span(DER.0, DER.1);
        let (sources, control) = match self.config.role {
            Role::Meter => {
                let values = map.find(models::is_meter)?.span(METER.0, METER.1)?;
                (Sources { values, storage: None }, None)
            }
            Role::Pv(fallback) => {
                let control = Control::new(Kind::Cap, fallback, map)?;
                (Sources { values: der()?, storage: None }, Some(control))
            }
            Role::Battery(fallback) => {
                let storage = Some(map.find(|id| id == 713)?.span(STORAGE.0, STORAGE.1)?);
                let control = Control::new(Kind::Power, fallback, map)?;
                (Sources { values: der()?, storage }, Some(control))
            }
        };
        let control = control.map(|mut control| {
            control.set(self.want);
            if self.disturbed {
                control.distrust();
            }
            Box::new(control)
        });
        Some(Stage::Serving { sources, control })
    }

    fn read(&mut self, completion: &OwnedCompletion) -> Event {
        let Ok(Reply::Registers(words)) = &completion.result else {
            self.half_read = None;
            // One lost answer leaves the reading before it in force until it is too old.
            let failed_now = self.failures >= FAILURES_MAX && completion.result != Err(Failure::TimedOut);
            return if failed_now { failed(completion.sent_at.to_millis()) } else { Event::Nothing };
        };
        if let Some(mut reading) = self.half_read.take() {
            reading.soc = models::read_soc(words);
            return Event::Reading(Box::new(reading));
        }
        let reading = match self.config.role {
            Role::Meter => models::read_meter(words, completion.sent_at.to_millis()),
            Role::Pv(_) | Role::Battery(_) => models::read_der(words, completion.sent_at.to_millis()),
        };
        if matches!(self.config.role, Role::Battery(_)) {
            self.half_read = Some(reading);
            return Event::Nothing;
        }
        Event::Reading(Box::new(reading))
    }
}

fn poll_offer(due: Micros, deadline: Micros, now: Micros) -> Option<Offer> {
    (due <= now).then_some(Offer { class: Class::Poll, deadline })
}

fn failed(measured_at: Millis) -> Event {
    Event::Reading(Box::new(Reading { quality: Quality::Failed, measured_at, ..Reading::NEVER }))
}
