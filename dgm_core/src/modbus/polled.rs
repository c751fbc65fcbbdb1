//! The registers to poll behind a line: whose turn it is, and into the image with what comes.
//!
//! ```text
//! reads (slots) ──┐                                  ┌─ good ──> image, cost of the line
//! orders ─────────┴─ schedule ──> one request ── end ┼─ silent ──> breaker of the unit
//!                                                    └─ of an order ──> its end, by ticket
//! ```
//!
//! An order (a one-off request with a deadline) waits for no queued read while orders keep to their share of the line.
//! It knows nothing of what the registers mean, and allocates nothing for a read.
use std::collections::VecDeque;
use std::sync::Arc;

use super::beat::Beat;
use super::breaker::Breaker;
use super::image::{RegisterImage, Registers, Stamp};
use super::line::{Ask, LineCounters, Roster};
use super::pdu::{Exception, Reply, ReplyView, Request, Span, Table};
use super::planning::cost::{LineCost, Load, ROUND_TRIP_ASSUMED};
use super::planning::estimate::CostEstimator;
use super::planning::schedule::{JobId, Lane, Schedule};
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
const MEASURED_FIRST: i64 = 64;
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
}

#[derive(Debug)]
struct Read {
    unit: usize,
    row: usize,
    table: Table,
    span: Span,
    job: JobId,
    beat: Beat,
    period: Micros,
    /// The slot of the read in flight.
    slot: Micros,
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
    schedule: Schedule,
    cost: CostEstimator,
    /// Since when the line works for what was sent first.
    busy_from: Micros,
    orders: VecDeque<Order>,
    order_job: Option<JobId>,
    done: Vec<Done>,
    has_news: bool,
    counters: LineCounters,
}

impl Polled {
    /// Units that stand in the image from `device` on, with a row for each read from `row` on. Reads beyond
    /// `planning::schedule::JOBS_MAX` of one line are left out: the configuration is checked before.
    pub fn new(
        units: &[UnitConfig],
        config: PolledConfig,
        image: Arc<RegisterImage>,
        device: usize,
        row: usize,
    ) -> Self {
        let PolledConfig { timeout, cost, cost_least } = config;
        let mut schedule = Schedule::new(Micros::ZERO);
        let order_job = schedule.add_once(Lane::Write, cost.write(0));
        let configs =
            units.iter().enumerate().flat_map(|(unit, config)| config.reads.iter().map(move |read| (unit, read)));
        let read = |(row, (unit, config)): (usize, (usize, &ReadConfig))| {
            let job = schedule.add_once(Lane::Read, cost.read(config.span.count))?;
            let read = Read::new(unit, row, config, job);
            schedule.ask(job, read.beat.due(), read.beat.deadline());
            Some(read)
        };
        Self {
            reads: (row..).zip(configs).map_while(read).collect(),
            units: (device..).zip(units).map(|(device, config)| Unit::new(config.unit, device)).collect(),
            image,
            timeout,
            schedule,
            cost: CostEstimator::new(cost, cost_least),
            busy_from: Micros::new(i64::MIN),
            orders: VecDeque::new(),
            order_job,
            done: Vec::new(),
            has_news: false,
            counters: LineCounters::default(),
        }
    }

    /// Takes an order; it ends once, whatever happens. Too many at once end as expired.
    pub fn order(&mut self, order: Order, now: Micros) {
        if self.orders.len() < ORDERS_MAX && now < order.deadline {
            self.orders.push_back(order);
            return self.ask_for_order(now);
        }
        self.done.push(Done { ticket: order.ticket, end: End::Expired, sent_at: None, done_at: now });
    }

    /// What a request costs the line as it was measured, and the share of the line that all periodic reads want.
    pub fn load(&self) -> (LineCost, Permille) {
        let cost = self.cost.cost();
        let periodic = self.reads.iter().filter(|read| !read.beat.is_endless());
        let wanted: Load = periodic.map(|read| Load::of(cost.read(read.span.count), read.period)).sum();
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

    /// The turn of the front order, if it has none yet.
    fn ask_for_order(&mut self, now: Micros) {
        if let (Some(job), Some(order)) = (self.order_job, self.orders.front()) {
            self.schedule.ask(job, now, order.deadline);
        }
    }

    fn start_read(&mut self, index: usize, now: Micros) -> Option<Ask> {
        let read = self.reads.get_mut(index)?;
        let unit = self.units.get(read.unit)?;
        let start = read.beat.start(now);
        read.slot = start.due_at;
        self.counters.polls_missed += start.missed;
        self.counters.late_max = self.counters.late_max.max(now - start.due_at);
        let request = Request::Read { table: read.table, span: read.span };
        let token = Token(u64::try_from(index).unwrap_or(ORDER - 1));
        Some(Ask { unit: unit.id, request, token, deadline: now + self.timeout })
    }

    fn start_order(&mut self, now: Micros) -> Option<Ask> {
        let Order { ticket, unit, request, deadline } = self.orders.pop_front()?;
        Some(Ask { unit, request, token: Token(ticket | ORDER), deadline: deadline.min(now + self.timeout) })
    }

    /// Until when a read must wait though it is due: its unit is left alone.
    fn read_waits(&self, index: usize, session: &Session, now: Micros) -> Option<Micros> {
        let unit = self.units.get(self.reads.get(index)?.unit)?;
        let until = session.free_at(unit.id).map_or(unit.breaker.until(), |free_at| free_at.max(unit.breaker.until()));
        Some(until).filter(|until| *until > now)
    }

    /// The same for the front order; a write waits until `now` where only reads may be sent.
    fn order_waits(&self, session: &Session, reads_only: bool, now: Micros) -> Option<Micros> {
        let order = self.orders.front()?;
        let held = session.free_at(order.unit).filter(|until| *until > now);
        held.or((reads_only && order.request.is_write()).then_some(now))
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
        let time = self.take_time(completion.sent_at, now);
        if let Some(job) = self.order_job {
            self.schedule.done(job, Nanos::from(time), now);
        }
        self.ask_for_order(now);
    }

    fn end_read(&mut self, index: usize, completion: &Completion<'_>, now: Micros) {
        let time = self.take_time(completion.sent_at, now);
        let Some(read) = self.reads.get_mut(index) else { return };
        let Some(unit) = self.units.get_mut(read.unit) else { return };
        read.beat.ended(now);
        let registers = match completion.result {
            Ok(ReplyView::Registers(values)) => Some(Registers::Words(values.as_bytes())),
            Ok(ReplyView::Bits(values)) => Some(Registers::Bits(values.as_bytes())),
            Ok(ReplyView::Written | ReplyView::Broadcast) | Err(_) => None,
        };
        if let Some(registers) = registers {
            unit.breaker.answered();
            read.succeed(unit.device, registers, completion.sent_at, &self.image);
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
        self.schedule.done(read.job, Nanos::from(time), now);
        self.schedule.ask(read.job, read.beat.due().max(unit.breaker.until()), read.beat.deadline());
    }
}

impl Unit {
    fn new(id: u8, device: usize) -> Self {
        Self { id, device, breaker: Breaker::default() }
    }
}

impl Read {
    fn new(unit: usize, row: usize, config: &ReadConfig, job: JobId) -> Self {
        Self {
            unit,
            row,
            table: config.table,
            span: config.span,
            job,
            beat: Beat::new(config.period, config.phase),
            period: config.period,
            slot: Micros::ZERO,
            failures: 0,
            stamp: Stamp::NEVER,
        }
    }

    fn succeed(&mut self, device: usize, registers: Registers<'_>, read_at: Micros, image: &RegisterImage) {
        self.failures = 0;
        let sequence = self.stamp.sequence + 1;
        self.stamp = Stamp { quality: Quality::Good, read_at, due_at: self.slot, sequence };
        image.write(device, self.row, registers, self.stamp);
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
        loop {
            let turn = self.schedule.next(now)?;
            // The order job was added before all reads.
            let index = turn.job.index().checked_sub(1);
            let wait = match index {
                Some(index) => self.read_waits(index, session, now),
                None => self.order_waits(session, reads_only, now),
            };
            match (wait, index) {
                (None, Some(index)) => return self.start_read(index, now),
                (None, None) => return self.start_order(now),
                (Some(until), _) => {
                    self.schedule.done(turn.job, Nanos::ZERO, now);
                    self.schedule.ask(turn.job, until, turn.deadline.max(until));
                    // Nothing else may be sent with the read that proves the window.
                    if until <= now {
                        return None;
                    }
                }
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
        for read in &self.reads {
            self.schedule.ask(read.job, read.beat.due(), read.beat.deadline());
        }
    }

    fn wake_time(&self) -> Option<Micros> {
        self.schedule.wake_time()
    }

    fn expire(&mut self, now: Micros) {
        while let Some(late) = self.orders.iter().position(|order| order.deadline <= now) {
            let Some(order) = self.orders.remove(late) else { return };
            self.done.push(Done { ticket: order.ticket, end: End::Expired, sent_at: None, done_at: now });
        }
        if let (Some(job), true) = (self.order_job, self.orders.is_empty()) {
            self.schedule.withdraw(job);
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
