//! The devices behind a line: whose turn it is by the line's own schedule, and what their transactions bring.
//!
//! ```text
//! offers of each device ── lane, due, deadline ──> schedule ──> one request    its end ──> device ──> readings, proofs
//! what they ask for, live cost ── admission ──> blocking time ──> length of reads;  load, overrun ──> LineLoad
//! ```
//!
//! Setpoints wait for the transaction under way and for setpoints of an earlier deadline, and a reduction for the former
//! only; readings, looks, proofs and signs of life go by deadline; whoever has not answered is asked in the background,
//! but for its reductions; what people ask (`survey`) waits until no device wants anything. One transaction at a time: a
//! device's next one depends on what the last one brought. The rule is the one that `dgm check` proves
//! (`planning::admission`).
use super::channels::Terms;
use super::control::{Outcome, Setpoint};
use super::device::{Device, DeviceConfig, Event};
use super::learnt::Learnt;
use super::line::{Ask, Line, LineCounters, Roster};
use super::occupancy::LineLoad;
use super::pdu::{ReplyView, Request, Table, READ_MAX};
use super::plan::Class;
use super::planning::admission::LineQuestion;
use super::planning::cost::{LineCost, ANSWER_ASSUMED, ROUND_TRIP_ASSUMED};
use super::planning::estimate::CostEstimator;
use super::planning::schedule::{Lane, Schedule, Turn};
use super::seat::{Asked, Seat};
use super::session::{Completion, Session, Token, Transport};
use super::standing::Standing;
use super::survey::Surveys;
use crate::site::image::Reading;
use crate::units::{Micros, Nanos};

/// Pause before a device is asked again that wanted a transaction and did not say which.
const UNDECIDED: Micros = Micros::from_millis(1);

#[derive(Debug)]
struct InFlight {
    seat: usize,
    turn: Turn,
    class: Class,
    /// Registers of a read, which tell what the line costs.
    registers: Option<u16>,
    is_write: bool,
}

/// The devices of one line.
#[derive(Debug)]
pub struct Devices {
    seats: Vec<Seat>,
    schedule: Schedule,
    cost: CostEstimator,
    /// Silence that a serial line keeps after every answer.
    silence: Micros,
    write_latency: Micros,
    /// What a device asks for has changed.
    is_stale: bool,
    in_flight: Option<InFlight>,
    readings: Vec<(usize, Reading)>,
    load: LineLoad,
    counters: LineCounters,
    /// Asked when no device wants anything.
    surveys: Surveys,
}

impl Devices {
    /// Devices that have not been looked for yet, on a line reached like this.
    pub fn new(devices: &[DeviceConfig], transport: Transport, now: Micros) -> Self {
        let (assumed, least, silence) = costs(transport);
        let mut schedule = Schedule::new(now);
        let seat = |config: &DeviceConfig| Seat::new(config, &mut schedule, now);
        let mut all = Self {
            seats: devices.iter().map_while(seat).collect(),
            schedule,
            cost: CostEstimator::new(assumed, least),
            silence,
            write_latency: devices.iter().map(|config| config.write_latency).min().unwrap_or_default(),
            is_stale: true,
            in_flight: None,
            readings: Vec::new(),
            load: LineLoad::default(),
            counters: LineCounters::default(),
            surveys: Surveys::default(),
        };
        all.reckon();
        (0..all.seats.len()).for_each(|at| all.refresh(at, now));
        all
    }

    /// How a device is reached.
    pub fn config(&self, device: usize) -> Option<&DeviceConfig> {
        self.seats.get(device).map(|seat| seat.device.config())
    }

    /// What people ask of the devices.
    pub fn surveys(&mut self) -> &mut Surveys {
        &mut self.surveys
    }

    /// Most registers of a read that keeps no setpoint waiting longer than one transaction may.
    pub fn survey_registers(&self) -> u16 {
        self.cost.cost().registers_within(self.load.blocking, READ_MAX)
    }

    /// A device, to take what it has found out.
    pub fn device_mut(&mut self, device: usize) -> Option<&mut Device> {
        self.seats.get_mut(device).map(|seat| &mut seat.device)
    }

    /// Tells what was found out of a device before.
    pub fn know(&mut self, device: usize, learnt: Learnt, now: Micros) {
        if let Some(seat) = self.seats.get_mut(device) {
            seat.device.know(learnt, now);
        }
        self.refresh(device, now);
    }

    /// What the line is asked for, by how much that is too much, and how long its reads may be.
    fn reckon(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        for seat in &mut self.seats {
            seat.question = seat.device.question();
        }
        let devices = self.seats.iter().filter_map(|seat| seat.question.clone()).collect();
        let question = LineQuestion { cost: self.cost.cost(), write_latency: self.write_latency, devices };
        let terms = Terms { cost: question.cost, blocking: question.blocking_time() };
        for seat in &mut self.seats {
            seat.device.set_terms(terms);
            let chain = seat.question.as_ref().map_or(Nanos::ZERO, |found| found.chain(terms.cost));
            self.schedule.set_cost(seat.jobs.write, chain);
        }
        let demand = question.demand(self.seats.iter().flat_map(|seat| seat.reads(terms)).collect());
        self.schedule.set_shortest(demand.reads.iter().map(|read| read.period).min());
        let proof = question.prove(&demand);
        self.load.take_proof(proof.load, proof.overrun, proof.write_wait);
        self.load.blocking = terms.blocking;
    }

    /// Asks the schedule for what a device wants now.
    fn refresh(&mut self, at: usize, now: Micros) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        let control = seat.control(self.write_latency, now);
        // While it answers, it is only noted since when something is wanted.
        if self.in_flight.as_ref().is_none_or(|in_flight| in_flight.seat != at) {
            seat.refresh(&mut self.schedule, control);
        }
    }

    /// The turn of a setpoint that takes power away, else whose turn it is.
    fn turn(&mut self, session: &Session, now: Micros) -> Option<Turn> {
        let is_free = |seat: &&Seat| session.free_at(seat.device.config().unit).is_none_or(|until| until <= now);
        let urgent = self.seats.iter().filter(is_free).filter_map(|seat| seat.urgent(now)).min();
        let first = urgent.and_then(|(_, job)| self.schedule.take(job, now));
        first.or_else(|| self.schedule.next(now))
    }

    /// Makes the request of a turn; `None`: it cannot be sent now and is asked for later.
    fn start(&mut self, turn: Turn, session: &Session, now: Micros) -> Option<Ask> {
        let at = self.seats.iter().position(|seat| seat.has(turn.job))?;
        let seat = self.seats.get_mut(at)?;
        let unit = seat.device.config().unit;
        let held = session.free_at(unit).filter(|until| *until > now);
        let class = seat.class_of(turn.job, now);
        let is_first = seat.device.is_at_rest();
        let request = match (held, class) {
            (None, Some(class)) => seat.take(class, now).map(|request| (class, request)),
            _ => None,
        };
        let Some((class, request)) = request else {
            seat.not_before = held.unwrap_or(now + UNDECIDED);
            self.schedule.done(turn.job, Nanos::ZERO, now);
            seat.asked = Asked::default();
            self.refresh(at, now);
            return None;
        };
        seat.asked = seat.asked.without(seat.jobs, turn.job);
        if is_first && turn.lane == Lane::Write {
            self.load.waited(now - turn.due);
        }
        let deadline = now + seat.device.config().timeout;
        let (registers, is_write) = (read_registers(&request), request.is_write());
        self.in_flight = Some(InFlight { seat: at, turn, class, registers, is_write });
        Some(Ask { unit, request, token: Token::default(), deadline })
    }

    fn deliver(&mut self, in_flight: &InFlight, completion: &Completion<'_>, now: Micros) {
        let Some(seat) = self.seats.get_mut(in_flight.seat) else { return };
        self.counters.writes += u64::from(in_flight.is_write && completion.result.is_ok());
        let was_serving = seat.device.is_serving();
        let event = seat.device.complete(in_flight.class, completion, now);
        self.is_stale |= was_serving != seat.device.is_serving();
        // What was wanted is done; what came up meanwhile is still wanted since then.
        if seat.device.is_at_rest() {
            seat.since = seat.since.filter(|(class, _)| *class != in_flight.class);
        }
        match event {
            Event::Nothing | Event::Control(Outcome::Underway) => {}
            Event::Reading(reading) => {
                self.counters.readings += 1;
                self.readings.push((in_flight.seat, *reading));
            }
            Event::Control(Outcome::Confirmed) => self.counters.readbacks += 1,
            Event::Control(Outcome::Refused) => self.counters.control_refused += 1,
            Event::Control(Outcome::Mismatch) => {
                self.counters.readbacks += 1;
                self.counters.readback_mismatch += 1;
            }
        }
    }

    /// Learns what the line costs from an answer that came.
    fn observe(&mut self, in_flight: &InFlight, completion: &Completion<'_>, now: Micros) {
        let is_registers = matches!(completion.result, Ok(ReplyView::Registers(_)));
        if let Some(registers) = in_flight.registers.filter(|_| is_registers) {
            self.cost.observe(registers, now - completion.sent_at + self.silence);
            self.is_stale |= self.cost.replan().is_some();
        }
    }

    /// What was carried since the last call, and how the line stands.
    fn report(&mut self, now: Micros) -> LineLoad {
        self.load.take_report(&self.schedule.report(now));
        let silent = self.seats.iter().filter(|seat| !seat.device.is_serving() && !seat.device.is_unusable());
        self.load.silent = silent.map(|_| 1).sum();
        self.load
    }
}

/// What a line is assumed to cost, what it costs at least, and the silence that belongs to each transaction.
pub fn costs(transport: Transport) -> (LineCost, LineCost, Micros) {
    let nothing = LineCost::new(Nanos::ZERO, Nanos::ZERO);
    match transport {
        Transport::Tcp { .. } => (LineCost::tcp(ROUND_TRIP_ASSUMED), nothing, Micros::ZERO),
        Transport::Rtu(format) => {
            let cost = |answer| format.speed().map_or(nothing, |speed| LineCost::serial(speed, answer));
            (cost(ANSWER_ASSUMED), cost(Micros::ZERO), format.t3_5())
        }
    }
}

/// Registers of a read of registers: bits would tell little.
fn read_registers(request: &Request) -> Option<u16> {
    match request {
        Request::Read { table: Table::Holding | Table::Input, span } => Some(span.count),
        _ => None,
    }
}

impl Roster for Devices {
    fn next(&mut self, session: &Session, _reads_only: bool, now: Micros) -> Option<Ask> {
        if self.in_flight.is_some() || self.surveys.is_asking() {
            return None;
        }
        self.reckon();
        // Each device may have to be asked later in each of its lanes, once.
        for _ in 0..=4 * self.seats.len() {
            let Some(turn) = self.turn(session, now) else { return self.surveys.next(now) };
            if let Some(ask) = self.start(turn, session, now) {
                return Some(ask);
            }
        }
        None
    }

    fn complete(&mut self, completion: &Completion<'_>, now: Micros) {
        if self.surveys.complete(completion, now) {
            return;
        }
        let Some(in_flight) = self.in_flight.take() else { return };
        let used = now - completion.sent_at + self.silence;
        self.schedule.done(in_flight.turn.job, Nanos::from(used), now);
        if in_flight.turn.lane == Lane::Read {
            self.load.ended(now - in_flight.turn.deadline);
        }
        self.deliver(&in_flight, completion, now);
        self.observe(&in_flight, completion, now);
        self.refresh(in_flight.seat, now);
    }

    fn lose(&mut self, now: Micros) {
        self.in_flight = None;
        self.surveys.lose();
        self.is_stale = true;
        for at in 0..self.seats.len() {
            if let Some(seat) = self.seats.get_mut(at) {
                seat.device.lose(now);
                (seat.since, seat.not_before) = (None, Micros::new(i64::MIN));
            }
            self.refresh(at, now);
        }
    }

    fn wake_time(&self) -> Option<Micros> {
        let wanted = self.schedule.wake_time().into_iter().chain(self.surveys.wake_time()).min();
        wanted.filter(|_| self.in_flight.is_none() && !self.surveys.is_asking())
    }

    fn expire(&mut self, now: Micros) {
        self.surveys.expire(now);
    }

    fn expiry(&self) -> Option<Micros> {
        self.surveys.expiry()
    }

    fn counters(&self) -> LineCounters {
        let count = |is: fn(&Device) -> bool| self.seats.iter().map(|seat| u64::from(is(&seat.device))).sum();
        LineCounters {
            polls_missed: self.seats.iter().map(|seat| seat.device.polls_missed).sum(),
            late_max: self.load.late_max,
            devices_serving: count(Device::is_serving),
            devices_unusable: count(Device::is_unusable),
            devices_controlled: count(Device::is_controlled),
            ..self.counters
        }
    }
}

impl Line<Devices> {
    /// The newest setpoint of a device; `None` lets it fall back.
    pub fn set_power(&mut self, device: usize, want: Option<Setpoint>, now: Micros) {
        self.update(now, |roster| {
            if let Some(seat) = roster.seats.get_mut(device) {
                seat.device.set(want);
                roster.refresh(device, now);
            }
        });
    }

    /// Whether the setpoint of a device is proved and nobody else commands it.
    pub fn is_controlled(&self, device: usize) -> bool {
        self.roster().seats.get(device).is_some_and(|seat| seat.device.is_controlled())
    }

    /// What is known of the control over a device.
    pub fn standing(&self, device: usize) -> Standing {
        self.roster().seats.get(device).map_or(Standing::Silent, |seat| seat.device.standing())
    }

    /// Readings by position of the device, in the order in which they came; phases in the device's order.
    pub fn take_readings(&mut self) -> Vec<(usize, Reading)> {
        self.take(|roster| std::mem::take(&mut roster.readings))
    }

    /// How the line stands, and what it has carried since the last call.
    pub fn report(&mut self, now: Micros) -> LineLoad {
        self.take(|roster| roster.report(now))
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
