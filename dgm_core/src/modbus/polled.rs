//! The registers to poll behind a line: whose turn it is, and into the image with what comes.
//!
//! ```text
//! reads (slots) ──┐ earliest deadline              ┌─ good ──> image
//! orders ─────────┴─ first ──> one request ── end ─┼─ silent ──> breaker of the unit
//!                                                  └─ of an order ──> its end, by ticket
//! ```
//!
//! An order (a one-off request with a deadline) waits for no queued read, but after each order a due read has its turn.
//! It knows nothing of what the registers mean, and allocates nothing for a read.
use std::collections::VecDeque;
use std::sync::Arc;

use super::beat::Beat;
use super::breaker::Breaker;
use super::image::{RegisterImage, Registers, Stamp};
use super::line::{Ask, LineCounters, Roster};
use super::pdu::{Exception, Reply, ReplyView, Request, Span, Table};
use super::session::{Completion, Failure, Token};
use crate::site::image::Quality;
use crate::units::Micros;

/// Failed reads in a row after which the registers have failed.
pub const FAILURES_MAX: u32 = 3;
/// Orders that may wait for one line.
pub const ORDERS_MAX: usize = 256;
/// Marks the tokens of orders; the rest is the ticket.
const ORDER: u64 = 1 << 63;
/// Exception of a gateway that has no path to the unit.
const GATEWAY_PATH: u8 = 0x0A;

/// What is read of a unit, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadConfig {
    /// Which table.
    pub table: Table,
    /// What of it.
    pub span: Span,
    /// Time between two reads; below 1 ms: again as soon as it is answered.
    pub period: Micros,
    /// Due at period x n + phase.
    pub phase: Micros,
    /// Older than this it is stale.
    pub age_max: Micros,
}

/// A unit and its reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitConfig {
    /// Unit id.
    pub unit: u8,
    /// What is read.
    pub reads: Vec<ReadConfig>,
}

/// A one-off request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Names it; below 2^63.
    pub ticket: u64,
    /// Unit id.
    pub unit: u8,
    /// What is asked.
    pub request: Request,
    /// When it must have ended, sent or not.
    pub deadline: Micros,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The device carried it out.
    Answered(Reply),
    /// It was sent, and this is known of it.
    Failed(Failure),
    /// It was never sent.
    Expired,
}

/// An order that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Of the order.
    pub ticket: u64,
    /// How.
    pub end: End,
    /// When it was sent.
    pub sent_at: Option<Micros>,
    /// When it ended.
    pub done_at: Micros,
}

#[derive(Debug)]
struct Unit {
    id: u8,
    /// Position in the image.
    device: usize,
    breaker: Breaker,
}

#[derive(Debug)]
struct Read {
    unit: usize,
    row: usize,
    table: Table,
    span: Span,
    beat: Beat,
    /// The slot of the read in flight.
    in_flight: Option<Micros>,
    failures: u32,
    stamp: Stamp,
}

/// Everything polled on one line.
#[derive(Debug)]
pub struct Polled {
    image: Arc<RegisterImage>,
    units: Vec<Unit>,
    reads: Vec<Read>,
    timeout: Micros,
    orders: VecDeque<Order>,
    done: Vec<Done>,
    order_was_last: bool,
    has_news: bool,
    counters: LineCounters,
}

impl Polled {
    /// Units that stand in the image from `device` on, with a row for each read from `row` on.
    pub fn new(units: &[UnitConfig], timeout: Micros, image: Arc<RegisterImage>, device: usize, row: usize) -> Self {
        let reads =
            units.iter().enumerate().flat_map(|(unit, config)| config.reads.iter().map(move |read| (unit, read)));
        let read = |(row, (unit, config)): (usize, (usize, &ReadConfig))| Read {
            unit,
            row,
            table: config.table,
            span: config.span,
            beat: Beat::new(config.period, config.phase),
            in_flight: None,
            failures: 0,
            stamp: Stamp::NEVER,
        };
        Self {
            reads: (row..).zip(reads).map(read).collect(),
            units: (device..)
                .zip(units)
                .map(|(device, config)| Unit { id: config.unit, device, breaker: Breaker::default() })
                .collect(),
            image,
            timeout,
            orders: VecDeque::new(),
            done: Vec::new(),
            order_was_last: false,
            has_news: false,
            counters: LineCounters::default(),
        }
    }

    /// Takes an order; it ends once, whatever happens. Too many at once end as expired.
    pub fn order(&mut self, order: Order, now: Micros) {
        if self.orders.len() < ORDERS_MAX && now < order.deadline {
            return self.orders.push_back(order);
        }
        self.done.push(Done { ticket: order.ticket, end: End::Expired, sent_at: None, done_at: now });
    }

    /// Orders that have ended since the last call, in that order.
    pub fn done(&mut self) -> &mut Vec<Done> {
        &mut self.done
    }

    /// Whether the image has changed since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// The due read with the earliest deadline.
    fn due(&self, now: Micros) -> Option<usize> {
        let due = self.reads.iter().enumerate().filter(|(_, read)| self.due_at(read).is_some_and(|due| due <= now));
        due.min_by_key(|(_, read)| read.beat.deadline()).map(|(index, _)| index)
    }

    /// When a read wants to be sent; `None` while it is in flight.
    fn due_at(&self, read: &Read) -> Option<Micros> {
        let until = self.units.get(read.unit).map(|unit| unit.breaker.until());
        read.in_flight.is_none().then(|| until.map_or(read.beat.due(), |until| read.beat.due().max(until)))
    }

    fn ask_read(&mut self, index: usize, now: Micros) -> Option<Ask> {
        let read = self.reads.get_mut(index)?;
        let unit = self.units.get(read.unit)?;
        let start = read.beat.start(now);
        read.in_flight = Some(start.due_at);
        self.order_was_last = false;
        self.counters.polls_missed += start.missed;
        self.counters.late_max = self.counters.late_max.max(now - start.due_at);
        let request = Request::Read { table: read.table, span: read.span };
        let token = Token(u64::try_from(index).unwrap_or(ORDER - 1));
        Some(Ask { unit: unit.id, request, token, deadline: now + self.timeout })
    }

    fn ask_order(&mut self, now: Micros) -> Option<Ask> {
        let Order { ticket, unit, request, deadline } = self.orders.pop_front()?;
        self.order_was_last = true;
        Some(Ask { unit, request, token: Token(ticket | ORDER), deadline: deadline.min(now + self.timeout) })
    }

    fn end_order(&mut self, ticket: u64, completion: &Completion<'_>, now: Micros) {
        let end = match completion.result {
            Ok(reply) => End::Answered(reply.to_owned()),
            Err(failure) => End::Failed(failure),
        };
        self.counters.writes += u64::from(end == End::Answered(Reply::Written));
        self.done.push(Done { ticket, end, sent_at: Some(completion.sent_at), done_at: now });
    }

    fn end_read(&mut self, index: usize, completion: &Completion<'_>, now: Micros) {
        let Some(read) = self.reads.get_mut(index) else { return };
        let Some(unit) = self.units.get_mut(read.unit) else { return };
        let due_at = read.in_flight.take().unwrap_or(completion.sent_at);
        read.beat.ended(now);
        let registers = match completion.result {
            Ok(ReplyView::Registers(values)) => Some(Registers::Words(values.as_bytes())),
            Ok(ReplyView::Bits(values)) => Some(Registers::Bits(values.as_bytes())),
            Ok(ReplyView::Written | ReplyView::Broadcast) | Err(_) => None,
        };
        if let Some(registers) = registers {
            unit.breaker.answered();
            read.failures = 0;
            let (read_at, sequence) = (completion.sent_at, read.stamp.sequence + 1);
            read.stamp = Stamp { quality: Quality::Good, read_at, due_at, sequence };
            self.image.write(unit.device, read.row, registers, read.stamp);
            self.counters.readings += 1;
            self.has_news = true;
        } else if completion.result != Err(Failure::Disconnected) {
            match is_silence(&completion.result) {
                true => unit.breaker.silent(now),
                false => unit.breaker.answered(),
            }
            self.has_news |= fail(read, unit.device, &self.image);
        }
    }
}

/// Counts a failure; one or two leave the registers in force until they are too old. Whether they have failed now.
fn fail(read: &mut Read, device: usize, image: &RegisterImage) -> bool {
    read.failures = read.failures.saturating_add(1);
    if read.failures != FAILURES_MAX {
        return false;
    }
    read.stamp.quality = Quality::Failed;
    image.mark(device, read.row, read.stamp);
    true
}

/// Nobody was there: the unit did not answer, or a gateway says that it does not.
fn is_silence(result: &Result<ReplyView<'_>, Failure>) -> bool {
    match result {
        Err(Failure::TimedOut | Failure::Refused(Exception::GatewayTarget)) => true,
        Err(Failure::Refused(exception)) => exception.code() == GATEWAY_PATH,
        Err(Failure::Malformed | Failure::Disconnected) | Ok(_) => false,
    }
}

impl Roster for Polled {
    fn next(&mut self, reads_only: bool, now: Micros) -> Option<Ask> {
        let has_order = self.orders.front().is_some_and(|order| !(reads_only && order.request.is_write()));
        match self.due(now) {
            Some(read) if !has_order || self.order_was_last => self.ask_read(read, now),
            Some(_) | None if has_order => self.ask_order(now),
            Some(_) | None => None,
        }
    }

    fn complete(&mut self, completion: &Completion<'_>, now: Micros) {
        match completion.token.0 {
            order if order & ORDER != 0 => self.end_order(order & !ORDER, completion, now),
            read => self.end_read(usize::try_from(read).unwrap_or(usize::MAX), completion, now),
        }
    }

    /// Whoever was silent on the old connection has its chance on the new one.
    fn lose(&mut self, _now: Micros) {
        self.units.iter_mut().for_each(|unit| unit.breaker = Breaker::default());
    }

    fn wake_time(&self) -> Option<Micros> {
        match self.orders.is_empty() {
            true => self.reads.iter().filter_map(|read| self.due_at(read)).min(),
            false => Some(Micros::new(i64::MIN)),
        }
    }

    fn expire(&mut self, now: Micros) {
        while let Some(late) = self.orders.iter().position(|order| order.deadline <= now) {
            let Some(order) = self.orders.remove(late) else { return };
            self.done.push(Done { ticket: order.ticket, end: End::Expired, sent_at: None, done_at: now });
        }
    }

    fn expiry(&self) -> Option<Micros> {
        self.orders.iter().map(|order| order.deadline).min()
    }

    fn counters(&self) -> LineCounters {
        let count = |units: usize| u64::try_from(units).unwrap_or(u64::MAX);
        let open = self.units.iter().filter(|unit| unit.breaker.is_open()).count();
        LineCounters { devices_serving: count(self.units.len() - open), ..self.counters }
    }
}
