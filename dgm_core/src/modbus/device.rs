//! One device on a line: found, polled in its slots, commanded if it is a DER.
//!
//! ```text
//! Searching ── SunSpec models, or registers of its table, there ──> Serving ── silent three times, or line lost ──> Searching
//!                                                                     ├── poll: the reads of its sources, one by one
//!                                                                     └── control: see `control`
//! ```
//!
//! It says which transaction it wants and takes the answer; whose turn it is, and how long a read may be, the line
//! decides.
use std::sync::Arc;

use super::actuator::{Fallback, Kind};
use super::audit::Audit;
use super::channels::{self, Sources, Terms};
use super::control::{Control, Memory, Outcome, Setpoint};
use super::der;
use super::learnt::{Learnt, Recall, Recalled};
use super::pdu::{Exception, RegisterBytes, ReplyView, Request, Span, Table, READ_MAX};
use super::plan::{Class, Offer, Slots};
use super::planning::admission::{scan_registers, DeviceQuestion};
use super::point::Block;
use super::session::{Completion, Failure};
use super::standing::Standing;
use super::sunspec::{ModelMap, Progress, Scan};
use super::table::DeviceTable;
use super::uses::{expected, sunspec_sources, Known};
use crate::site::image::{Quality, Reading};
use crate::units::{Micros, Millis};

/// Silent or failed transactions in a row after which a device is searched anew, or its reading has failed.
pub const FAILURES_MAX: u32 = 3;
/// Pause before a device that does not answer is searched again.
pub const SEARCH_AGAIN: Micros = Micros::from_millis(1_000);
/// Pause before a device that lacks the models needed is searched again.
pub const LOOK_AGAIN: Micros = Micros::from_millis(30_000);

/// What a device is read and written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Meters and metered loads.
    Meter,
    /// Generation that can be capped.
    Pv(Fallback),
    /// Power in both directions, and a state of charge.
    Battery(Fallback),
}

impl Role {
    /// What it is commanded as; `None`: it is only read.
    pub fn command(&self) -> Option<(Kind, Fallback)> {
        match self {
            Self::Meter => None,
            Self::Pv(fallback) => Some((Kind::Cap, *fallback)),
            Self::Battery(fallback) => Some((Kind::Power, *fallback)),
        }
    }
}

/// How a device is reached and how often it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Unit id, 1..=247.
    pub unit: u8,
    /// What it is.
    pub role: Role,
    /// Time between two readings.
    pub period: Micros,
    /// Longest wait for an answer.
    pub timeout: Micros,
    /// How long a setpoint may wait for the line.
    pub write_latency: Micros,
    /// Its registers, if it does not describe itself by SunSpec models.
    pub table: Option<Arc<DeviceTable>>,
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

/// How a device is found.
#[derive(Debug)]
enum Search {
    SunSpec(Scan),
    /// It was found before: by what is known of it.
    Recall(Recall),
    /// By the answer to a read of its power.
    Table(Box<Sources>),
}

#[derive(Debug)]
enum Stage {
    Searching { search: Search, from: Micros },
    Serving { sources: Box<Sources>, control: Option<Box<Control>> },
}

/// State of one device.
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    stage: Stage,
    slots: Slots,
    /// How long its reads may be.
    terms: Terms,
    /// The poll that has begun: its reading so far, and which read comes next.
    half_read: Option<(Box<Reading>, usize)>,
    /// By when the poll that has begun, or the next one, must be done.
    poll_deadline: Micros,
    want: Option<Setpoint>,
    failures: u32,
    unusable: bool,
    /// It was silent to the search: long reads may be the reason.
    was_silent: bool,
    /// The last transaction was not answered.
    was_mute: bool,
    /// What was known of the control over it when it was lost.
    memory: Option<Box<Memory>>,
    /// Its SunSpec map, and whether that has not been told yet.
    learnt: Option<Box<Learnt>>,
    is_learnt_new: bool,
    /// Slots in which it was not read.
    pub polls_missed: u64,
}

impl Device {
    /// A device that has not been looked for yet.
    pub fn new(config: DeviceConfig, terms: Terms, now: Micros) -> Self {
        let slots = Slots::new(config.period, now);
        Self {
            stage: Stage::Searching { search: first_search(&config, terms, false), from: now },
            poll_deadline: slots.deadline(),
            slots,
            config,
            terms,
            half_read: None,
            want: None,
            failures: 0,
            unusable: false,
            was_silent: false,
            was_mute: false,
            memory: None,
            learnt: None,
            is_learnt_new: false,
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

    /// Whether it answers, but not with the registers needed.
    pub fn is_unusable(&self) -> bool {
        self.unusable
    }

    /// Whether its setpoint is proved and nobody else commands it.
    pub fn is_controlled(&self) -> bool {
        self.standing() == Standing::Proved
    }

    /// What is known of the control over it.
    pub fn standing(&self) -> Standing {
        match &self.stage {
            Stage::Searching { .. } if self.unusable => Standing::Lost,
            Stage::Searching { .. } => Standing::Silent,
            Stage::Serving { control, .. } => control.as_ref().map_or(Standing::Unproved, |control| control.standing()),
        }
    }

    /// What was found out of it before; it is asked whether it is still the same.
    pub fn know(&mut self, learnt: Learnt, now: Micros) {
        self.learnt = Some(Box::new(learnt));
        if !self.is_serving() {
            self.lose(now);
        }
    }

    /// What was found out since the last call; `Some(None)`: it is another device than before, of which nothing is known.
    pub fn take_learnt(&mut self) -> Option<Option<Learnt>> {
        std::mem::take(&mut self.is_learnt_new).then(|| self.learnt.as_deref().cloned())
    }

    fn learn(&mut self, learnt: Option<Learnt>) {
        let learnt = learnt.map(Box::new);
        self.is_learnt_new |= self.learnt != learnt;
        self.learnt = learnt;
    }

    /// The newest commands and what came of them; `None` where it is not commanded now.
    pub fn audit(&self) -> Option<&Audit> {
        self.control().map(Control::audit)
    }

    /// The same whether it is commanded now or was before it was lost, to take from it.
    pub fn audit_mut(&mut self) -> Option<&mut Audit> {
        match &mut self.stage {
            Stage::Serving { control: Some(control), .. } => Some(control.audit_mut()),
            _ => self.memory.as_mut().map(|memory| memory.audit_mut()),
        }
    }

    fn control(&self) -> Option<&Control> {
        match &self.stage {
            Stage::Serving { control, .. } => control.as_deref(),
            Stage::Searching { .. } => None,
        }
    }

    /// The newest setpoint; `None` lets the device fall back.
    pub fn set(&mut self, want: Option<Setpoint>) {
        match &mut self.stage {
            Stage::Serving { control: Some(control), .. } => {
                if control.set(want) {
                    self.want = want;
                }
            }
            _ => self.want = want,
        }
    }

    /// The line is gone: what stands on the device, and which device it is, must be found out again.
    pub fn lose(&mut self, from: Micros) {
        if let Some(control) = self.control() {
            self.memory = Some(Box::new(control.memory()));
        }
        let known = self.learnt.as_deref().filter(|_| self.config.table.is_none() && !self.was_silent);
        let search = match known {
            Some(learnt) => Search::Recall(Recall::new(learnt, reads_long(self.terms))),
            None => first_search(&self.config, self.terms, self.was_silent),
        };
        let stage = std::mem::replace(&mut self.stage, Stage::Searching { search, from });
        let learnt = match stage {
            Stage::Serving { sources, .. } | Stage::Searching { search: Search::Table(sources), .. } => Some(sources),
            Stage::Searching { search: Search::SunSpec(_) | Search::Recall(_), .. } => None,
        };
        // What it has refused to be read is not asked again.
        if let (Stage::Searching { search: Search::Table(sources), .. }, Some(learnt)) = (&mut self.stage, learnt) {
            *sources = learnt;
        }
        self.half_read = None;
        self.failures = 0;
    }

    /// The reading wanted next, or the next step of the search, with the time by which it must be done.
    pub fn poll_offer(&self) -> (Offer, Micros) {
        let offer = |class, due| Offer { class, due, is_urgent: false };
        match (&self.stage, &self.half_read) {
            (Stage::Searching { from, .. }, _) => (offer(Class::Search, *from), *from + SEARCH_AGAIN),
            // A poll that is half done is due at once.
            (Stage::Serving { .. }, Some((reading, _))) => {
                (offer(Class::Poll, Micros::from(reading.measured_at)), self.poll_deadline)
            }
            (Stage::Serving { .. }, None) => (offer(Class::Poll, self.slots.due()), self.slots.deadline()),
        }
    }

    /// What its setpoint wants next.
    pub fn control_offer(&self) -> Option<Offer> {
        self.control().and_then(Control::next_offer)
    }

    /// What its setpoint wants now.
    pub fn control_due(&self, now: Micros) -> Option<Offer> {
        self.control().and_then(|control| control.offer(now))
    }

    /// Whether its setpoint has nothing half done.
    pub fn is_at_rest(&self) -> bool {
        self.control().is_none_or(Control::is_at_rest)
    }

    /// Whether it has not answered of late, but not for so long that it is searched.
    pub fn is_failing(&self) -> bool {
        self.is_serving() && self.was_mute
    }

    /// What it asks of its line: as it was found, else as it is expected.
    pub fn question(&self) -> Option<DeviceQuestion> {
        match &self.stage {
            Stage::Searching { .. } => expected(&self.config),
            Stage::Serving { sources, control } => {
                let actuator = control.as_ref().map(|control| control.terms().0);
                Some(Known { sources: sources.as_ref(), actuator }.question(&self.config))
            }
        }
    }

    /// The registers of the reads of a poll, as they are planned.
    pub fn polled(&self) -> &[(Table, Span)] {
        match &self.stage {
            Stage::Serving { sources, .. } => sources.reads(),
            Stage::Searching { .. } => &[],
        }
    }

    /// How long its reads may be from the next poll on.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
        if let (Stage::Serving { sources, .. }, None) = (&mut self.stage, &self.half_read) {
            sources.replan(terms);
        }
    }

    /// The request of the transaction offered.
    pub fn take(&mut self, class: Class, now: Micros) -> Option<Request> {
        let (table, span) = match (&mut self.stage, class) {
            (Stage::Serving { control, .. }, class) if class.is_control() => return control.as_mut()?.take(now),
            (Stage::Searching { search: Search::SunSpec(scan), .. }, Class::Search) => {
                (Table::Holding, scan.next_span())
            }
            (Stage::Searching { search: Search::Recall(recall), .. }, Class::Search) => {
                (Table::Holding, recall.next_span())
            }
            (Stage::Searching { search: Search::Table(sources), .. }, Class::Search) => sources.probe()?,
            (Stage::Searching { .. }, _) => return None,
            (Stage::Serving { sources, .. }, _) => {
                let at = match &self.half_read {
                    Some((_, at)) => *at,
                    None => {
                        sources.replan(self.terms);
                        self.poll_deadline = self.slots.deadline();
                        self.polls_missed += self.slots.advance(now);
                        0
                    }
                };
                sources.reads().get(at).copied()?
            }
        };
        Some(Request::Read { table, span })
    }

    /// Takes what became of the transaction.
    pub fn complete(&mut self, class: Class, completion: &Completion<'_>, now: Micros) -> Event {
        self.failures = if completion.result.is_ok() { 0 } else { self.failures.saturating_add(1) };
        self.was_mute = completion.result == Err(Failure::TimedOut);
        let event = match (&mut self.stage, class) {
            (Stage::Searching { .. }, _) => self.search(completion, now),
            (Stage::Serving { control: Some(control), .. }, class) if class.is_control() => {
                Event::Control(control.complete(&completion.result, now))
            }
            (Stage::Serving { .. }, _) => self.read(completion, now),
        };
        let silent = completion.result == Err(Failure::TimedOut) && self.failures >= FAILURES_MAX;
        if silent && self.is_serving() {
            self.lose(now + SEARCH_AGAIN);
        }
        event
    }

    fn search(&mut self, completion: &Completion<'_>, now: Micros) -> Event {
        let Stage::Searching { search, from } = &mut self.stage else { return Event::Nothing };
        let found = match search {
            Search::Table(sources) => match &completion.result {
                Ok(_) => {
                    let sources = sources.clone();
                    self.serve_table(sources, now)
                }
                Err(Failure::Refused(_) | Failure::Malformed) => None,
                Err(_) => {
                    self.lose(now + SEARCH_AGAIN);
                    return Event::Nothing;
                }
            },
            Search::Recall(recall) => match recall.advance(words_of(completion)) {
                Recalled::More => {
                    *from = now;
                    return Event::Nothing;
                }
                Recalled::Same(map) => self.serve(&map, now),
                Recalled::Other => {
                    (*search, *from) = (first_search(&self.config, self.terms, false), now);
                    self.learn(None);
                    return Event::Nothing;
                }
                Recalled::Lost => {
                    self.was_silent = completion.result == Err(Failure::TimedOut) && !self.was_silent;
                    self.lose(now + SEARCH_AGAIN);
                    return Event::Nothing;
                }
            },
            Search::SunSpec(scan) => match scan.advance(words_of(completion)) {
                Progress::More => {
                    *from = now;
                    return Event::Nothing;
                }
                Progress::Lost => {
                    self.was_silent = completion.result == Err(Failure::TimedOut) && !self.was_silent;
                    self.lose(now + SEARCH_AGAIN);
                    return Event::Nothing;
                }
                Progress::NoMap => None,
                Progress::Found(map) => {
                    let learnt = scan.learnt(&map);
                    self.learn(learnt);
                    self.serve(&map, now)
                }
            },
        };
        match found {
            Some(stage) => {
                (self.stage, self.unusable) = (stage, false);
                self.slots = Slots::new(self.config.period, now);
                Event::Nothing
            }
            None => self.refuse(completion.sent_at.to_millis(), now),
        }
    }

    /// The device answers and is not what the configuration says.
    fn refuse(&mut self, measured_at: Millis, now: Micros) -> Event {
        self.lose(now + LOOK_AGAIN);
        self.unusable = true;
        failed(measured_at)
    }

    fn serve(&mut self, map: &ModelMap, now: Micros) -> Option<Stage> {
        let sources = sunspec_sources(map, self.config.role)?;
        let command = self.config.role.command();
        let control = command.and_then(|(kind, fallback)| Some(Control::new(der::actuator(map, kind)?, fallback)));
        Some(self.serving(Box::new(sources), control, now))
    }

    fn serve_table(&mut self, sources: Box<Sources>, now: Micros) -> Option<Stage> {
        let table = self.config.table.as_ref()?;
        let command = self.config.role.command();
        let control =
            command.and_then(|(kind, fallback)| Some(Control::new(table.actuator(kind, fallback.rating)?, fallback)));
        Some(self.serving(sources, control, now))
    }

    /// A device that was fought over, or did not follow, is not trusted because it was away.
    fn serving(&mut self, mut sources: Box<Sources>, control: Option<Control>, now: Micros) -> Stage {
        sources.replan(self.terms);
        let control = control.map(|mut control| {
            if let Some(memory) = self.memory.take() {
                control.remember(*memory, now);
            }
            control.set(self.want);
            Box::new(control)
        });
        Stage::Serving { sources, control }
    }

    fn read(&mut self, completion: &Completion<'_>, now: Micros) -> Event {
        let Stage::Serving { sources, control } = &mut self.stage else { return Event::Nothing };
        let half_read = self.half_read.take();
        let at = half_read.as_ref().map_or(0, |(_, at)| *at);
        let block = match (&completion.result, sources.reads().get(at)) {
            (Ok(ReplyView::Registers(words)), Some((table, span))) => Some(Block::new(*table, span.start, *words)),
            (Ok(ReplyView::Bits(bits)), Some((table, span))) => Some(Block::of_bits(*table, span.start, *bits)),
            _ => None,
        };
        let Some(block) = block else {
            if completion.result == Err(Failure::Refused(Exception::IllegalAddress)) && sources.refused(at).is_some() {
                return Event::Nothing;
            }
            // One lost answer leaves the reading before it in force until it is too old.
            let failed_now = self.failures >= FAILURES_MAX && completion.result != Err(Failure::TimedOut);
            return if failed_now { failed(completion.sent_at.to_millis()) } else { Event::Nothing };
        };
        let measured_at = completion.sent_at.to_millis();
        let mut reading = half_read.map_or_else(|| Box::new(channels::start(measured_at)), |(reading, _)| reading);
        sources.fill(&block, &mut reading);
        if at + 1 < sources.reads().len() {
            self.half_read = Some((reading, at + 1));
            return Event::Nothing;
        }
        if let (Some(control), Some(power)) = (control, reading.power) {
            control.measured(power, now);
        }
        Event::Reading(reading)
    }
}

fn words_of<'a>(completion: &Completion<'a>) -> Result<RegisterBytes<'a>, Failure> {
    match completion.result {
        Ok(ReplyView::Registers(words)) => Ok(words),
        Ok(_) => Err(Failure::Malformed),
        Err(failure) => Err(failure),
    }
}

/// Whether a search may read many registers at once.
fn reads_long(terms: Terms) -> bool {
    scan_registers(terms.cost, terms.blocking) == READ_MAX
}

fn first_search(config: &DeviceConfig, terms: Terms, was_silent: bool) -> Search {
    match &config.table {
        Some(table) => Search::Table(Box::new(table.sources().clone())),
        None if was_silent || !reads_long(terms) => Search::SunSpec(Scan::short()),
        None => Search::SunSpec(Scan::default()),
    }
}

fn failed(measured_at: Millis) -> Event {
    Event::Reading(Box::new(Reading { quality: Quality::Failed, measured_at, ..Reading::NEVER }))
}
