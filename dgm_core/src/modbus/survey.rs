//! A whole SunSpec model of a device, read because somebody asked: transaction by transaction, when nothing else is due.
//!
//! ```text
//! SurveyOrder ──> Surveys (queue of a line) ── walk the chain ── read the model, ending where points end ──> SurveyResult
//!                                               steps of `amend`: ── write ── read the model again ──┘
//! ```
//!
//! The chain is walked anew each time, so that nothing is read at an address of yesterday. An order that its line never
//! finds time for ends at its deadline. It knows neither assets nor what the points mean: `layout` decodes.
use std::collections::VecDeque;

use super::actuator::Write;
use super::amend::{self, AmendStep};
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
    /// The same before the first write; empty where nothing was to be written.
    pub before: Vec<u8>,
    /// What was written and taken, in order.
    pub written: Vec<Write>,
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
    /// It has no such point, or its registers cannot say the value.
    NoPoint,
    /// Until the deadline it did not show what was written, or not what should come of it.
    Mismatch,
}

/// The end of an order, with what was found until then.
pub type SurveyResult = (u64, Result<Surveyed, (SurveyFailure, Surveyed)>);

#[derive(Debug)]
enum Step {
    Walk(Scan),
    Read { model: Model, layout: GroupDef, next: Span },
    Write { model: Model, layout: GroupDef, writes: VecDeque<Write> },
}

#[derive(Debug)]
struct Survey {
    order: SurveyOrder,
    step: Step,
    found: Surveyed,
    silent: u32,
    /// Not carried out yet; the first is under way once something was written.
    steps: VecDeque<AmendStep>,
    is_written: bool,
    not_before: Micros,
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
    /// Takes an order, with what is to be changed in the model; it ends in `done`, whatever happens.
    pub fn put(&mut self, order: SurveyOrder, steps: Vec<AmendStep>) {
        let found = Surveyed::default();
        if self.queue.len() >= ORDERS_MAX {
            self.done.push((order.ticket, Err((SurveyFailure::Queue, found))));
            return;
        }
        let scan = if order.registers_max < READ_MAX { Scan::short() } else { Scan::default() };
        let (step, steps, not_before) = (Step::Walk(scan), steps.into(), Micros::ZERO);
        self.queue.push_back(Survey { order, step, found, silent: 0, steps, is_written: false, not_before });
    }

    /// When a transaction is wanted, if nobody else wants one then.
    pub fn wake_time(&self) -> Option<Micros> {
        self.queue.front().filter(|_| !self.is_asking).map(|survey| survey.not_before)
    }

    /// Whether a transaction is in flight.
    pub fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// The transaction wanted now.
    pub fn next(&mut self, now: Micros) -> Option<Ask> {
        self.expire(now);
        let survey = self.queue.front().filter(|survey| !self.is_asking && survey.not_before <= now)?;
        let read = |span| Request::Read { table: Table::Holding, span };
        let request = match &survey.step {
            Step::Walk(scan) => read(scan.next_span()),
            Step::Read { next, .. } => read(*next),
            Step::Write { writes, .. } => {
                let Write { start, words } = writes.front()?.clone();
                Request::WriteMany { start, values: words }
            }
        };
        let SurveyOrder { unit, timeout, .. } = survey.order;
        self.is_asking = true;
        Some(Ask { unit, request, token: TOKEN, deadline: now + timeout })
    }

    /// Takes the end of a transaction; false: it was none of these.
    pub fn complete(&mut self, completion: &Completion<'_>, now: Micros) -> bool {
        if completion.token != TOKEN {
            return false;
        }
        self.is_asking = false;
        if let Some(survey) = self.queue.front_mut() {
            if let Some(end) = survey.advance(&completion.result, now) {
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
            let result = match end {
                Ok(()) => Ok(found),
                Err(why) => Err((why, found)),
            };
            self.done.push((order.ticket, result));
        }
    }
}

impl Survey {
    /// Takes an answer; `Some`: that was the last one.
    fn advance(&mut self, result: &Result<ReplyView<'_>, Failure>, now: Micros) -> Option<Result<(), SurveyFailure>> {
        if matches!(self.step, Step::Write { .. }) {
            return self.wrote(result);
        }
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
            (_, Ok(words)) => self.take(words, now),
            (_, Err(Failure::Refused(exception))) => Some(Err(SurveyFailure::Refused(exception))),
            (_, Err(_)) => Some(Err(SurveyFailure::Malformed)),
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
        self.go_on(model, layout, Micros::ZERO)
    }

    fn take(&mut self, words: RegisterBytes<'_>, now: Micros) -> Option<Result<(), SurveyFailure>> {
        self.silent = 0;
        self.found.registers.extend_from_slice(words.as_bytes());
        let Step::Read { model, layout, .. } = &mut self.step else { return None };
        let (model, layout) = (*model, layout.clone());
        self.go_on(model, layout, now)
    }

    /// Reads on, or carries out what is left to be done with the whole model.
    fn go_on(&mut self, model: Model, layout: GroupDef, now: Micros) -> Option<Result<(), SurveyFailure>> {
        let known = RegisterBytes::new(&self.found.registers)?;
        match next_run(&layout, &model, known, self.order.registers_max) {
            Some(next) => {
                self.step = Step::Read { model, layout, next };
                None
            }
            None => self.amend(model, layout, now),
        }
    }

    /// The model is read: judges what was written, and begins with what is next.
    fn amend(&mut self, model: Model, layout: GroupDef, now: Micros) -> Option<Result<(), SurveyFailure>> {
        let Some(step) = self.steps.front() else { return Some(Ok(())) };
        let words = RegisterBytes::new(&self.found.registers)?;
        if self.is_written {
            if !amend::shows(step, &layout, &model, words) {
                self.not_before = now + amend::AGAIN;
                if self.not_before >= self.order.deadline {
                    return Some(Err(SurveyFailure::Mismatch));
                }
                return self.read_again(model, layout, now);
            }
            self.steps.pop_front();
            self.is_written = false;
            return self.amend(model, layout, now);
        }
        if self.found.before.is_empty() {
            self.found.before = self.found.registers.clone();
        }
        let Some(writes) = amend::blocks(step, &layout, &model, words) else {
            return Some(Err(SurveyFailure::NoPoint));
        };
        self.is_written = true;
        if writes.is_empty() {
            return self.amend(model, layout, now);
        }
        self.step = Step::Write { model, layout, writes: writes.into() };
        None
    }

    /// A write that nobody answered may stand or not: the order ends, and whoever gave it begins anew.
    fn wrote(&mut self, result: &Result<ReplyView<'_>, Failure>) -> Option<Result<(), SurveyFailure>> {
        let Step::Write { model, layout, writes } = &mut self.step else { return None };
        match result {
            Ok(ReplyView::Written) => self.found.written.extend(writes.pop_front()),
            Err(Failure::Refused(exception)) => return Some(Err(SurveyFailure::Refused(*exception))),
            Err(Failure::Disconnected) => return Some(Err(SurveyFailure::Disconnected)),
            Err(Failure::TimedOut) => return Some(Err(SurveyFailure::Silent)),
            _ => return Some(Err(SurveyFailure::Malformed)),
        }
        if !writes.is_empty() {
            return None;
        }
        let (model, layout) = (*model, layout.clone());
        self.read_again(model, layout, Micros::ZERO)
    }

    fn read_again(&mut self, model: Model, layout: GroupDef, now: Micros) -> Option<Result<(), SurveyFailure>> {
        self.found.registers.clear();
        self.go_on(model, layout, now)
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
