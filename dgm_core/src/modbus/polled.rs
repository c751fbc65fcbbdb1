//! The registers to poll behind a line: whose turn it is, and into the image with what comes.
//!
//! ```text
//! reads (slots) ──┐ earliest deadline              ┌─ good ──> image, cost of the line
//! orders ─────────┴─ first ──> one request ── end ─┼─ silent ──> breaker of the unit
//!                                                  └─ of an order ──> its end, by ticket
//! ```
//!
//! An order (a one-off request with a deadline) waits for no queued read, but after each order a due read has its turn.
//! Whose turn it is, is found by looking at the reads of the line: most lines have a few, and a queue for each of a
//! thousand lines costs more memory and time than it saves. It knows nothing of what the registers mean, and allocates
//! nothing for a read.
use std::collections::VecDeque;
use std::sync::Arc;

use super::beat::Beat;
use super::breaker::Breaker;
use super::image::{RegisterImage, Registers, Stamp};
use super::line::{Ask, LineCounters, Roster};
use super::mapped::Mapped;
use super::pdu::{Exception, Reply, ReplyView, Request, Span, Table};
use super::planning::cost::{LineCost, Load, ROUND_TRIP_ASSUMED};
use super::planning::estimate::CostEstimator;
use super::session::{Completion, Failure, Session, Token, Transport};
use crate::site::image::Quality;
use crate::units::{Micros, Nanos, Permille};

/// Failed reads in a row after which the registers have failed.
pub const FAILURES_MAX: u32 = 3;
/// Orders that may wait for one line.
pub const ORDERS_MAX: usize = 256;
/// Marks the tokens of orders; the rest is the ticket.
const ORDER: u64 = 1 << 63;
/// The cost of the line is measured at every read of so many first ones, then at each 16th.
const MEASURED_FIRST: i64 = 16;
const NEVER: Micros = Micros::new(i64::MIN);
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
    /// Named points in it; none where the reads were given as they are.
    pub points: Mapped,
}

/// What all reads of a line have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolledConfig {
    /// Longest wait for an answer.
    pub timeout: Micros,
    /// What requests are assumed to cost until it is measured.
    pub cost: LineCost,
    /// Nothing is cheaper.
    pub cost_least: LineCost,
}

impl PolledConfig {
    /// For a line reached like this.
    pub fn new(transport: Transport, timeout: Micros) -> Self {
        let nothing = LineCost::new(Nanos::ZERO, Nanos::ZERO);
        let (cost, cost_least) = match transport {
            Transport::Tcp { .. } => (LineCost::tcp(ROUND_TRIP_ASSUMED), nothing),
            Transport::Rtu(format) => {
                let cost = format.speed().map_or(nothing, |speed| LineCost::serial(speed, Micros::ZERO));
                (cost, cost)
            }
        };
        Self { timeout, cost, cost_least }
    }
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
    /// It owes a late answer until then, on a serial line.
    held_until: Micros,
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
    units: Box<[Unit]>,
    reads: Box<[Read]>,
    timeout: Micros,
    cost: CostEstimator,
    /// Since when the line works for what was sent first.
    busy_from: Micros,
    orders: VecDeque<Order>,
    /// From when on the first order may be sent.
    orders_from: Micros,
    order_was_last: bool,
    done: Vec<Done>,
    has_news: bool,
    counters: LineCounters,
}

impl Polled {
    /// Units that stand in the image from `device` on, with a row for each read from `row` on.
    pub fn new(
        units: &[UnitConfig],
        config: PolledConfig,
        image: Arc<RegisterImage>,
        device: usize,
        row: usize,
    ) -> Self {
        let configs =
            units.iter().enumerate().flat_map(|(unit, config)| config.reads.iter().map(move |read| (unit, read)));
        let reads = (row..).zip(configs).map(|(row, (unit, config))| Read::new(unit, row, config));
        Self {
            reads: reads.collect(),
            units: (device..).zip(units).map(|(device, config)| Unit::new(config.unit, device)).collect(),
            image,
            timeout: config.timeout,
            cost: CostEstimator::new(config.cost, config.cost_least),
            busy_from: NEVER,
            orders: VecDeque::new(),
            orders_from: NEVER,
            order_was_last: false,
            done: Vec::new(),
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

    /// What a request costs the line as it was measured, and the share of the line that all periodic reads want.
    pub fn load(&self) -> (LineCost, Permille) {
        let cost = self.cost.cost();
        let periodic = self.reads.iter().filter(|read| !read.beat.is_endless());
        let wanted: Load = periodic.map(|read| Load::of(cost.read(read.span.count), read.beat.period())).sum();
        (cost, wanted.permille())
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
        let unit = self.units.get(read.unit).filter(|_| read.in_flight.is_none())?;
        Some(read.beat.due().max(unit.breaker.until()).max(unit.held_until))
    }

    fn start_read(&mut self, index: usize, now: Micros) -> Option<Ask> {
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

    fn start_order(&mut self, now: Micros) -> Option<Ask> {
        let Order { ticket, unit, request, deadline } = self.orders.pop_front()?;
        self.order_was_last = true;
        Some(Ask { unit, request, token: Token(ticket | ORDER), deadline: deadline.min(now + self.timeout) })
    }

    /// Whether the session holds a due read back; then it is due when its unit is free.
    fn hold(&mut self, index: usize, session: &Session, now: Micros) -> bool {
        let unit = self.reads.get(index).and_then(|read| self.units.get_mut(read.unit));
        let held = unit.and_then(|unit| Some((session.free_at(unit.id).filter(|until| *until > now)?, unit)));
        held.map(|(until, unit)| unit.held_until = until).is_some()
    }

    /// Whether the first order can be sent now.
    fn has_order(&mut self, session: &Session, reads_only: bool, now: Micros) -> bool {
        let Some(order) = self.orders.front() else { return false };
        self.orders_from = session.free_at(order.unit).unwrap_or(NEVER);
        self.orders_from <= now && !(reads_only && order.request.is_write())
    }

    /// Line time that a transaction has taken: what others in flight had of it before is theirs.
    fn take_time(&mut self, sent_at: Micros, now: Micros) -> Micros {
        let from = self.busy_from.max(sent_at);
        self.busy_from = now;
        now - from
    }

    fn end_order(&mut self, ticket: u64, completion: &Completion<'_>, now: Micros) {
        let end = match completion.result {
            Ok(reply) => End::Answered(reply.to_owned()),
            Err(failure) => End::Failed(failure),
        };
        self.counters.writes += u64::from(end == End::Answered(Reply::Written));
        self.done.push(Done { ticket, end, sent_at: Some(completion.sent_at), done_at: now });
        self.take_time(completion.sent_at, now);
    }

    fn end_read(&mut self, index: usize, completion: &Completion<'_>, now: Micros) {
        let time = self.take_time(completion.sent_at, now);
        let Some(read) = self.reads.get_mut(index) else { return };
        let Some(unit) = self.units.get_mut(read.unit) else { return };
        let slot = read.in_flight.take().unwrap_or(completion.sent_at);
        read.beat.ended(now);
        let registers = match completion.result {
            Ok(ReplyView::Registers(values)) => Some(Registers::Words(values.as_bytes())),
            Ok(ReplyView::Bits(values)) => Some(Registers::Bits(values.as_bytes())),
            Ok(ReplyView::Written | ReplyView::Broadcast) | Err(_) => None,
        };
        if let Some(registers) = registers {
            unit.breaker.answered();
            let stamp = read.good(completion.sent_at, slot);
            self.image.write(unit.device, read.row, registers, stamp);
            if read.stamp.sequence <= MEASURED_FIRST || read.stamp.sequence % 16 == 0 {
                self.cost.observe(read.span.count, time);
            }
            self.counters.readings += 1;
            self.has_news = true;
        } else if completion.result != Err(Failure::Disconnected) {
            if is_silence(&completion.result) {
                unit.breaker.silent(now);
            } else {
                unit.breaker.answered();
            }
            self.has_news |= read.fail(unit.device, &self.image);
        }
    }
}

impl Unit {
    fn new(id: u8, device: usize) -> Self {
        Self { id, device, breaker: Breaker::default(), held_until: NEVER }
    }
}

impl Read {
    fn new(unit: usize, row: usize, config: &ReadConfig) -> Self {
        Self {
            unit,
            row,
            table: config.table,
            span: config.span,
            beat: Beat::new(config.period, config.phase),
            in_flight: None,
            failures: 0,
            stamp: Stamp::NEVER,
        }
    }

    fn good(&mut self, read_at: Micros, due_at: Micros) -> Stamp {
        self.failures = 0;
        self.stamp = Stamp { quality: Quality::Good, read_at, due_at, sequence: self.stamp.sequence + 1 };
        self.stamp
    }

    /// Counts a failure; one or two leave the registers in force until they are too old. Whether they have failed now.
    fn fail(&mut self, device: usize, image: &RegisterImage) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures != FAILURES_MAX {
            return false;
        }
        self.stamp.quality = Quality::Failed;
        image.mark(device, self.row, self.stamp);
        true
    }
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
    fn next(&mut self, session: &Session, reads_only: bool, now: Micros) -> Option<Ask> {
        let has_order = self.has_order(session, reads_only, now);
        loop {
            match self.due(now) {
                Some(read) if self.hold(read, session, now) => {}
                Some(read) if !has_order || self.order_was_last => return self.start_read(read, now),
                Some(_) | None if has_order => return self.start_order(now),
                Some(_) | None => return None,
            }
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
        let order = self.orders.front().map(|_| self.orders_from);
        self.reads.iter().filter_map(|read| self.due_at(read)).chain(order).min()
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
