//! A whole SunSpec model of a device, read because somebody asked: transaction by transaction, when nothing else is due.
//!
//! ```text
//! SurveyOrder ──> Surveys (queue of a line) ── walk the chain ── read the model, ending where points end ──> SurveyResult
//! ```
//!
//! The chain is walked anew each time, so that nothing is read at an address of yesterday. An order that its line never
//! finds time for ends at its deadline. It knows neither assets nor what the points mean: `layout` decodes.
use std::collections::VecDeque;

use super::layout::next_run;
use super::line::Ask;
use super::pdu::{Exception, RegisterBytes, ReplyView, Request, Span, Table, READ_MAX};
use super::session::{Completion, Failure, Token};
use super::sunspec::{Model, ModelMap, Progress, Scan};
use super::tables::{self, GroupDef};
use crate::units::Micros;

/// Most orders that wait for one line.
pub const ORDERS_MAX: usize = 4;
/// Of every transaction here; those of devices have another.
pub const TOKEN: Token = Token(u64::MAX);
/// Silent transactions in a row that end an order.
const SILENT_MAX: u32 = 2;

/// What is asked of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurveyOrder {
    /// Names it.
    pub ticket: u64,
    /// Unit id.
    pub unit: u8,
    /// Number of the model; 0: only the chain.
    pub model: u16,
    /// Which of several of that number, from 0 on.
    pub occurrence: usize,
    /// Most registers of one read.
    pub registers_max: u16,
    /// Longest wait for one answer.
    pub timeout: Micros,
    /// When it must have ended.
    pub deadline: Micros,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// The chain, as far as it was found before the end.
    pub models: Vec<Model>,
    /// Registers of the model, header included, as bytes on the wire; empty where only the chain was asked for.
    pub registers: Vec<u8>,
}

/// Why an order brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurveyFailure {
    /// Too many wait for this line.
    Queue,
    /// The line found no time for it before its deadline.
    Expired,
    /// The connection is away, or ended.
    Disconnected,
    /// The device does not answer.
    Silent,
    /// It has no SunSpec map.
    NoMap,
    /// It has no such model.
    NoModel,
    /// It refuses to be read there.
    Refused(Exception),
    /// It answers with something else than asked.
    Malformed,
}

/// The end of an order.
pub type SurveyResult = (u64, Result<Surveyed, (SurveyFailure, Vec<Model>)>);

#[derive(Debug)]
enum Step {
    Walk(Scan),
    Read { model: Model, layout: GroupDef, next: Span },
}

#[derive(Debug)]
struct Survey {
    order: SurveyOrder,
    step: Step,
    found: Surveyed,
    silent: u32,
}

/// The orders of one line.
#[derive(Debug, Default)]
pub struct Surveys {
    queue: VecDeque<Survey>,
    is_asking: bool,
    /// Orders that have ended.
    pub done: Vec<SurveyResult>,
}

impl Surveys {
    /// Takes an order; it ends in `done`, whatever happens.
    pub fn put(&mut self, order: SurveyOrder) {
        if self.queue.len() >= ORDERS_MAX {
            self.done.push((order.ticket, Err((SurveyFailure::Queue, Vec::new()))));
            return;
        }
        let scan = if order.registers_max < READ_MAX { Scan::short() } else { Scan::default() };
        self.queue.push_back(Survey { order, step: Step::Walk(scan), found: Surveyed::default(), silent: 0 });
    }

    /// Whether a transaction is wanted, as soon as nobody else wants one.
    pub fn is_waiting(&self) -> bool {
        !self.is_asking && !self.queue.is_empty()
    }

    /// Whether a transaction is in flight.
    pub fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// The transaction wanted now.
    pub fn next(&mut self, now: Micros) -> Option<Ask> {
        self.expire(now);
        let survey = self.queue.front().filter(|_| !self.is_asking)?;
        let span = match &survey.step {
            Step::Walk(scan) => scan.next_span(),
            Step::Read { next, .. } => *next,
        };
        let SurveyOrder { unit, timeout, .. } = survey.order;
        self.is_asking = true;
        Some(Ask {
            unit,
            request: Request::Read { table: Table::Holding, span },
            token: TOKEN,
            deadline: now + timeout,
        })
    }

    /// Takes the end of a transaction; false: it was none of these.
    pub fn complete(&mut self, completion: &Completion<'_>) -> bool {
        if completion.token != TOKEN {
            return false;
        }
        self.is_asking = false;
        if let Some(survey) = self.queue.front_mut() {
            if let Some(end) = survey.advance(&completion.result) {
                self.end(end);
            }
        }
        true
    }

    /// The connection is gone.
    pub fn lose(&mut self) {
        self.is_asking = false;
        while !self.queue.is_empty() {
            self.end(Err(SurveyFailure::Disconnected));
        }
    }

    /// Ends what waited too long.
    pub fn expire(&mut self, now: Micros) {
        while self.expiry().is_some_and(|at| at <= now) {
            self.end(Err(SurveyFailure::Expired));
        }
    }

    /// When `expire` has something to do.
    pub fn expiry(&self) -> Option<Micros> {
        self.queue.front().filter(|_| !self.is_asking).map(|survey| survey.order.deadline)
    }

    fn end(&mut self, end: Result<(), SurveyFailure>) {
        if let Some(Survey { order, found, .. }) = self.queue.pop_front() {
            self.done.push((order.ticket, end.map_err(|why| (why, found.models.clone())).map(|()| found)));
        }
    }
}

impl Survey {
    /// Takes an answer; `Some`: that was the last one.
    fn advance(&mut self, result: &Result<ReplyView<'_>, Failure>) -> Option<Result<(), SurveyFailure>> {
        let answer = match result {
            Ok(ReplyView::Registers(words)) => Ok(*words),
            Ok(_) => Err(Failure::Malformed),
            Err(failure) => Err(*failure),
        };
        match (&mut self.step, answer) {
            (_, Err(Failure::Disconnected)) => Some(Err(SurveyFailure::Disconnected)),
            (_, Err(Failure::TimedOut)) => self.hear_nothing(),
            (Step::Walk(scan), answer) => match scan.advance(answer) {
                Progress::More => None,
                Progress::Found(map) => self.begin(&map),
                Progress::NoMap => Some(Err(SurveyFailure::NoMap)),
                Progress::Lost => Some(Err(SurveyFailure::Malformed)),
            },
            (Step::Read { .. }, Ok(words)) => self.take(words),
            (Step::Read { .. }, Err(Failure::Refused(exception))) => Some(Err(SurveyFailure::Refused(exception))),
            (Step::Read { .. }, Err(_)) => Some(Err(SurveyFailure::Malformed)),
        }
    }

    /// Asked once more, the walk with short reads: long ones may be the reason.
    fn hear_nothing(&mut self) -> Option<Result<(), SurveyFailure>> {
        self.silent = self.silent.saturating_add(1);
        if let Step::Walk(scan) = &mut self.step {
            *scan = Scan::short();
        }
        (self.silent >= SILENT_MAX).then_some(Err(SurveyFailure::Silent))
    }

    fn begin(&mut self, map: &ModelMap) -> Option<Result<(), SurveyFailure>> {
        self.found.models = map.models().to_vec();
        if self.order.model == 0 {
            return Some(Ok(()));
        }
        let mut same = map.models().iter().filter(|model| model.id == self.order.model);
        let Some((model, layout)) = same.nth(self.order.occurrence).copied().zip(tables::find(self.order.model)) else {
            return Some(Err(SurveyFailure::NoModel));
        };
        self.go_on(model, layout)
    }

    fn take(&mut self, words: RegisterBytes<'_>) -> Option<Result<(), SurveyFailure>> {
        self.silent = 0;
        self.found.registers.extend_from_slice(words.as_bytes());
        let Step::Read { model, layout, .. } = &mut self.step else { return None };
        let (model, layout) = (*model, layout.clone());
        self.go_on(model, layout)
    }

    fn go_on(&mut self, model: Model, layout: GroupDef) -> Option<Result<(), SurveyFailure>> {
        let known = RegisterBytes::new(&self.found.registers)?;
        let Some(next) = next_run(&layout, &model, known, self.order.registers_max) else { return Some(Ok(())) };
        self.step = Step::Read { model, layout, next };
        None
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
