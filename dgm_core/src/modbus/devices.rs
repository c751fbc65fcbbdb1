//! The SunSpec devices behind a line: which of them has its turn, and what their transactions bring.
//!
//! ```text
//! offers of all devices ──> plan::choose ──> one request      its end ──> device ──> readings, setpoints proved
//! ```
//!
//! One transaction at a time, whatever the line could carry: a device's next one depends on what the last one brought.
use super::control::{Outcome, Setpoint};
use super::device::{Device, DeviceConfig, Event};
use super::line::{Ask, Line, LineCounters, Roster};
use super::plan::{self, Class};
use super::session::{Completion, Session, Token};
use super::standing::Standing;
use super::survey::Surveys;
use crate::site::image::Reading;
use crate::units::Micros;

#[derive(Debug)]
struct InFlight {
    device: usize,
    class: Class,
    is_write: bool,
}

/// The devices of one line.
#[derive(Debug)]
pub struct Devices {
    devices: Vec<Device>,
    in_flight: Option<InFlight>,
    last: Class,
    readings: Vec<(usize, Reading)>,
    counters: LineCounters,
    /// Asked when no device wants anything.
    surveys: Surveys,
}

impl Devices {
    /// Devices that have not been looked for yet.
    pub fn new(devices: &[DeviceConfig], now: Micros) -> Self {
        Self {
            devices: devices.iter().map(|config| Device::new(config.clone(), now)).collect(),
            in_flight: None,
            last: Class::Poll,
            readings: Vec::new(),
            counters: LineCounters::default(),
            surveys: Surveys::default(),
        }
    }

    /// How a device is reached.
    pub fn config(&self, device: usize) -> Option<&DeviceConfig> {
        self.devices.get(device).map(Device::config)
    }

    /// What people ask of the devices.
    pub fn surveys(&mut self) -> &mut Surveys {
        &mut self.surveys
    }

    /// A device, to tell it what is known of it and to take what it has found out.
    pub fn device_mut(&mut self, device: usize) -> Option<&mut Device> {
        self.devices.get_mut(device)
    }

    fn deliver(&mut self, in_flight: &InFlight, completion: &Completion<'_>, now: Micros) {
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

impl Roster for Devices {
    fn next(&mut self, _session: &Session, _reads_only: bool, now: Micros) -> Option<Ask> {
        if self.in_flight.is_some() || self.surveys.is_asking() {
            return None;
        }
        let devices = self.devices.iter().enumerate();
        let offers = devices.flat_map(|(index, device)| device.offers(now).map(move |offer| (index, offer)));
        let Some((index, class)) = plan::choose(offers, self.last) else { return self.surveys.next(now) };
        let device = self.devices.get_mut(index)?;
        self.last = class;
        let request = device.take(class, now)?;
        self.in_flight = Some(InFlight { device: index, class, is_write: request.is_write() });
        let (unit, deadline) = (device.config().unit, now + device.config().timeout);
        Some(Ask { unit, request, token: Token::default(), deadline })
    }

    fn complete(&mut self, completion: &Completion<'_>, now: Micros) {
        if self.surveys.complete(completion) {
            return;
        }
        if let Some(in_flight) = self.in_flight.take() {
            self.deliver(&in_flight, completion, now);
        }
    }

    fn lose(&mut self, now: Micros) {
        self.in_flight = None;
        self.surveys.lose();
        self.devices.iter_mut().for_each(|device| device.lose(now));
    }

    fn wake_time(&self) -> Option<Micros> {
        let idle = self.surveys.is_waiting().then_some(Micros::ZERO);
        let wanted = self.devices.iter().map(Device::wake_time).chain(idle).min();
        wanted.filter(|_| self.in_flight.is_none() && !self.surveys.is_asking())
    }

    fn expire(&mut self, now: Micros) {
        self.surveys.expire(now);
    }

    fn expiry(&self) -> Option<Micros> {
        self.surveys.expiry()
    }

    fn counters(&self) -> LineCounters {
        let count = |is: fn(&Device) -> bool| self.devices.iter().map(|device| u64::from(is(device))).sum();
        LineCounters {
            polls_missed: self.devices.iter().map(|device| device.polls_missed).sum(),
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
            if let Some(device) = roster.devices.get_mut(device) {
                device.set(want);
            }
        });
    }

    /// Whether the setpoint of a device is proved and nobody else commands it.
    pub fn is_controlled(&self, device: usize) -> bool {
        self.roster().devices.get(device).is_some_and(Device::is_controlled)
    }

    /// What is known of the control over a device.
    pub fn standing(&self, device: usize) -> Standing {
        self.roster().devices.get(device).map_or(Standing::Silent, Device::standing)
    }

    /// Readings by position of the device, in the order in which they came; phases in the device's order.
    pub fn take_readings(&mut self) -> Vec<(usize, Reading)> {
        self.take(|roster| std::mem::take(&mut roster.readings))
    }
}
