//! One line: an endpoint with its single connection, and every device behind it.
//!
//! ```text
//! bytes, now ──> session ── completion ──> device ──> readings
//!                   ^───── one request ── plan::choose <── offers of all devices
//! ```
//!
//! One transaction at a time, whatever the number of units: the unit of scheduling is the line. The owner of the
//! socket feeds it and takes what is to be sent.
use super::control::{Outcome, Setpoint};
use super::device::{Device, DeviceConfig, Event};
use super::plan::{self, Class, Offer};
use super::session::{Completion, Jitter, LinkCommand, Session, SessionConfig, SessionCounters, Token};
use super::standing::Standing;
use crate::site::image::Reading;
use crate::units::Micros;

/// What has happened on a line since start, and how its devices stand now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// The connection.
    pub session: SessionCounters,
    /// Readings delivered.
    pub readings: u64,
    /// Slots in which a device was not read.
    pub polls_missed: u64,
    /// Setpoint writes carried out, one per block of registers.
    pub writes: u64,
    /// Setpoints read back, right or wrong.
    pub readbacks: u64,
    /// Read-backs that showed something else than was written.
    pub readback_mismatch: u64,
    /// Setpoints that a device refused or that do not fit its registers.
    pub control_refused: u64,
    /// Devices that are read now.
    pub devices_serving: u64,
    /// Devices that answer without the models needed.
    pub devices_unusable: u64,
    /// Devices whose setpoint is proved now.
    pub devices_controlled: u64,
}

impl std::ops::Add for LineCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            session: self.session + other.session,
            readings: self.readings + other.readings,
            polls_missed: self.polls_missed + other.polls_missed,
            writes: self.writes + other.writes,
            readbacks: self.readbacks + other.readbacks,
            readback_mismatch: self.readback_mismatch + other.readback_mismatch,
            control_refused: self.control_refused + other.control_refused,
            devices_serving: self.devices_serving + other.devices_serving,
            devices_unusable: self.devices_unusable + other.devices_unusable,
            devices_controlled: self.devices_controlled + other.devices_controlled,
        }
    }
}

#[derive(Debug)]
struct InFlight {
    device: usize,
    class: Class,
    is_write: bool,
}

/// The devices and what they have told.
#[derive(Debug)]
struct Desk {
    devices: Vec<Device>,
    in_flight: Option<InFlight>,
    readings: Vec<(usize, Reading)>,
    counters: LineCounters,
}

impl Desk {
    fn deliver(&mut self, completion: &Completion<'_>, now: Micros) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let Some(device) = self.devices.get_mut(in_flight.device) else { return };
        self.counters.writes += u64::from(in_flight.is_write && completion.result.is_ok());
        match device.complete(in_flight.class, completion, now) {
            Event::Nothing | Event::Control(Outcome::Underway) => {}
            Event::Reading(reading) => {
                self.counters.readings += 1;
                self.readings.push((in_flight.device, *reading));
            }
            Event::Control(Outcome::Confirmed) => self.counters.readbacks += 1,
            Event::Control(Outcome::Refused) => self.counters.control_refused += 1,
            Event::Control(Outcome::Mismatch) => {
                self.counters.readbacks += 1;
                self.counters.readback_mismatch += 1;
            }
        }
    }
}

/// State of one line.
#[derive(Debug)]
pub struct Line {
    session: Session,
    desk: Desk,
    last: Class,
    output: Vec<u8>,
}

impl Line {
    /// A line that has not connected yet.
    pub fn new(devices: &[DeviceConfig], jitter: Jitter, now: Micros) -> Self {
        Self {
            session: Session::new(SessionConfig::default(), jitter),
            desk: Desk {
                devices: devices.iter().map(|config| Device::new(config.clone(), now)).collect(),
                in_flight: None,
                readings: Vec::new(),
                counters: LineCounters::default(),
            },
            last: Class::Poll,
            output: Vec::new(),
        }
    }

    /// The newest setpoint of a device; `None` lets it fall back.
    pub fn set_power(&mut self, device: usize, want: Option<Setpoint>, now: Micros) {
        if let Some(device) = self.desk.devices.get_mut(device) {
            device.set(want);
        }
        self.pump(now);
    }

    /// Whether the setpoint of a device is proved and nobody else commands it.
    pub fn is_controlled(&self, device: usize) -> bool {
        self.desk.devices.get(device).is_some_and(Device::is_controlled)
    }

    /// What is known of the control over a device.
    pub fn standing(&self, device: usize) -> Standing {
        self.desk.devices.get(device).map_or(Standing::Silent, Device::standing)
    }

    /// The connection has been established.
    pub fn connected(&mut self, now: Micros) {
        self.session.connected(now);
        self.pump(now);
    }

    /// The connection ended, or could not be established.
    pub fn closed(&mut self, now: Micros) {
        let Self { session, desk, .. } = self;
        session.closed(now, &mut |completion| desk.deliver(&completion, now));
        self.finish(now);
    }

    /// Takes bytes as they came.
    pub fn receive(&mut self, bytes: &[u8], now: Micros) {
        let Self { session, desk, .. } = self;
        session.receive(bytes, now, &mut |completion| desk.deliver(&completion, now));
        self.finish(now);
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Micros) {
        let Self { session, desk, .. } = self;
        session.expire(now, &mut |completion| desk.deliver(&completion, now));
        self.finish(now);
    }

    /// Bytes to send, in order.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Next thing to do with the socket.
    pub fn take_command(&mut self, now: Micros) -> Option<LinkCommand> {
        self.session.take_command(now)
    }

    /// Readings by position of the device, in the order in which they came; phases in the device's order.
    pub fn take_readings(&mut self) -> Vec<(usize, Reading)> {
        std::mem::take(&mut self.desk.readings)
    }

    /// When `wake` or `take_command` has something to do.
    pub fn wake_time(&self) -> Option<Micros> {
        let polls = self.desk.devices.iter().map(Device::wake_time);
        match self.session.ready_at() {
            Some(ready_at) => polls.min().map(|poll| poll.max(ready_at)),
            None => self.session.wake_time(),
        }
    }

    /// Counters and gauges.
    pub fn counters(&self) -> LineCounters {
        let count = |is: fn(&Device) -> bool| self.desk.devices.iter().map(|device| u64::from(is(device))).sum();
        LineCounters {
            session: self.session.counters,
            polls_missed: self.desk.devices.iter().map(|device| device.polls_missed).sum(),
            devices_serving: count(Device::is_serving),
            devices_unusable: count(Device::is_unusable),
            devices_controlled: count(Device::is_controlled),
            ..self.desk.counters
        }
    }

    fn finish(&mut self, now: Micros) {
        if !self.session.is_up() {
            self.lose(now);
        }
        self.pump(now);
    }

    fn lose(&mut self, now: Micros) {
        self.output.clear();
        self.desk.in_flight = None;
        self.desk.devices.iter_mut().for_each(|device| device.lose(now));
    }

    /// Sends the request whose turn it is, if the line is free.
    fn pump(&mut self, now: Micros) {
        if self.desk.in_flight.is_some() || self.session.room(now) == 0 {
            return;
        }
        let offers: Vec<(usize, Offer)> = self
            .desk
            .devices
            .iter()
            .enumerate()
            .flat_map(|(index, device)| device.offers(now).map(move |offer| (index, offer)))
            .collect();
        let Some((index, class)) = plan::choose(&offers, self.last) else { return };
        let Some(device) = self.desk.devices.get_mut(index) else { return };
        let (unit, deadline) = (device.config().unit, now + device.config().timeout);
        self.last = class;
        if let Some(request) = device.take(class, now) {
            let sent = self.session.send(unit, &request, Token::default(), deadline, now, &mut self.output);
            // Spans and blocks come from SunSpec models whose length was checked; a request that is none is not sent.
            if sent.is_ok() {
                self.desk.in_flight = Some(InFlight { device: index, class, is_write: request.is_write() });
            }
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
