//! Site devices on a serial bus, for tests: time jumps from event to event, every character takes its time.
#![allow(clippy::unwrap_used)]
use std::collections::{BTreeMap, BTreeSet};

use super::actuator::Fallback;
use super::control::Setpoint;
use super::device::{DeviceConfig, Role};
use super::devices::costs;
use super::fake_device::FakeDevice;
use super::line::{Line, LineEvent};
use super::occupancy::LineLoad;
use super::pdu::{encode_exception, encode_registers, encode_written, Reply, Request};
use super::planning::admission::{examine, LineAnswer, LineQuestion};
use super::rtu::{self, Format, Parity, OVERHEAD};
use super::session::{Failure, Jitter, LinkCommand, Transport};
use super::uses::expected;
use crate::units::{Micros, Watts};

/// What a device takes to answer once it has seen the end of a request: what is assumed of it.
const ANSWER: Micros = Micros::from_millis(10);

const FALLBACK: Fallback =
    Fallback { output: Watts::ZERO, after: Micros::from_millis(30_000), rating: Watts::new(100_000) };

pub const METER: Role = Role::Meter;
pub const PV: Role = Role::Pv(FALLBACK);
pub const BATTERY: Role = Role::Battery(FALLBACK);

pub fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

/// A bus to be.
#[derive(Clone, Debug)]
pub struct Plan {
    pub baud: u32,
    pub write_latency: Micros,
    pub timeout: Micros,
    /// Role and period, ms.
    pub devices: Vec<(Role, i64)>,
}

impl Plan {
    fn transport(&self) -> Transport {
        Transport::Rtu(Format { baud: self.baud, parity: Parity::Even, stop_bits: 1 })
    }

    fn configs(&self) -> Vec<DeviceConfig> {
        let config = |(unit, (role, period)): (u8, &(Role, i64))| DeviceConfig {
            unit,
            role: *role,
            period: ms(*period),
            timeout: self.timeout,
            write_latency: self.write_latency,
            table: None,
        };
        (1..).zip(&self.devices).map(config).collect()
    }

    /// What `dgm check` says of it.
    pub fn check(&self) -> LineAnswer {
        let devices = self.configs().iter().map(|config| expected(config).unwrap()).collect();
        examine(&LineQuestion { cost: costs(self.transport()).0, write_latency: self.write_latency, devices })
    }

    pub fn holds(&self) -> bool {
        self.check().holds(self.write_latency)
    }
}

/// A write that came: when its value was handed in, and when its first byte was sent.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub unit: u8,
    pub wanted: Micros,
    pub sent: Micros,
}

/// The bus that runs.
pub struct World {
    pub line: Line,
    pub devices: BTreeMap<u8, FakeDevice>,
    pub silent: BTreeSet<u8>,
    pub now: Micros,
    pub written: Vec<Written>,
    /// When the readings of each device came.
    pub read_at: Vec<Vec<Micros>>,
    format: Format,
    answer: Option<(Micros, Vec<u8>)>,
    /// Setpoints that change: device, the next change, time between two.
    sources: Vec<(usize, Micros, Micros)>,
    wanted: BTreeMap<u8, Micros>,
    changes: i64,
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let Transport::Rtu(format) = plan.transport() else { unreachable!() };
        let configs = plan.configs();
        let mut line = Line::new(&configs, plan.transport(), Jitter::new(1), Micros::ZERO);
        assert_eq!(line.take_command(Micros::ZERO), Some(LinkCommand::Connect));
        line.feed(LineEvent::Connected, Micros::ZERO);
        Self {
            line,
            devices: configs.iter().map(|config| (config.unit, device(config.role))).collect(),
            silent: BTreeSet::new(),
            now: Micros::ZERO,
            written: Vec::new(),
            read_at: vec![Vec::new(); configs.len()],
            format,
            answer: None,
            sources: Vec::new(),
            wanted: BTreeMap::new(),
            changes: 0,
        }
    }

    /// The setpoint of a device changes again and again from now on.
    pub fn command(&mut self, device: usize, after: Micros, interval: Micros) {
        self.sources.push((device, self.now + after, interval));
    }

    /// A new setpoint of a device, now.
    pub fn set(&mut self, device: usize, power: i64) {
        let want = Setpoint { power: Watts::new(power), epoch: 1, expires_at: Micros::new(i64::MAX) };
        self.wanted.entry(u8::try_from(device + 1).unwrap()).or_insert(self.now);
        self.line.set_power(device, Some(want), self.now);
        self.carry();
    }

    pub fn run(&mut self, span: Micros) {
        let end = self.now + span;
        loop {
            let answer = self.answer.as_ref().map(|(at, _)| *at);
            let source = self.sources.iter().map(|(_, next, _)| *next).min();
            let next = [answer, source, self.line.wake_time()].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            match self.answer.take_if(|(at, _)| *at <= self.now) {
                Some((_, bytes)) => self.line.feed(LineEvent::Received(&bytes), self.now),
                None => self.line.feed(LineEvent::Wake, self.now),
            }
            self.change();
            self.carry();
        }
    }

    /// Until every device is found, commanded for the first time and read for a while.
    pub fn settle(&mut self) {
        let count = u64::try_from(self.devices.len() - self.silent.len()).unwrap();
        let end = self.now + ms(600_000);
        while self.line.counters().devices_serving < count {
            assert!(self.now < end, "{:?}", self.line.counters());
            self.run(ms(1_000));
        }
        self.run(ms(30_000));
        self.written.clear();
    }

    pub fn load(&mut self) -> LineLoad {
        self.line.report(self.now)
    }

    fn change(&mut self) {
        for source in 0..self.sources.len() {
            let (device, next, interval) = self.sources[source];
            if next > self.now {
                continue;
            }
            self.sources[source].1 = next + interval;
            self.changes += 1;
            self.set(device, -10_000 - 1_000 * (self.changes % 7));
        }
    }

    fn carry(&mut self) {
        for (device, _) in self.line.take_readings() {
            self.read_at[device].push(self.now);
        }
        let bytes = std::mem::take(self.line.output());
        let Some(unit) = bytes.first().copied() else { return };
        assert!(self.answer.is_none(), "two requests in flight");
        let request = Request::parse(rtu::decode(unit, &bytes).unwrap()).unwrap();
        if let Request::WriteMany { values, .. } = &request {
            if values.len() > 2 {
                let wanted = self.wanted.remove(&unit);
                self.written.extend(wanted.map(|wanted| Written { unit, wanted, sent: self.now }));
            }
        }
        if self.silent.contains(&unit) {
            return;
        }
        let function = request.function();
        let pdu = match (self.devices.get_mut(&unit).unwrap().answer(&request), &request) {
            (Ok(Reply::Registers(words)), _) => encode_registers(function, &words),
            (Ok(_), Request::WriteMany { start, values }) => {
                encode_written(function, *start, u16::try_from(values.len()).unwrap())
            }
            (Err(Failure::Refused(exception)), _) => encode_exception(function, exception),
            other => panic!("{other:?}"),
        };
        let took = self.format.characters(bytes.len()) + self.format.t3_5() + ANSWER;
        let at = self.now + took + self.format.characters(pdu.len() + OVERHEAD);
        self.answer = Some((at, rtu::encode(unit, &pdu)));
    }
}

/// A device with all the models that are expected of its role.
fn device(role: Role) -> FakeDevice {
    match role {
        Role::Meter => FakeDevice::meter(),
        Role::Pv(_) => {
            let mut device = FakeDevice::new(&[(1, 66), (701, 153), (702, 50), (704, 65), (715, 7)]);
            device.set(702, 26, &[500]);
            device.set(702, 45, &[2]);
            device.set(704, 54, &[0xfffe]);
            inverter(&mut device);
            device
        }
        Role::Battery(_) => {
            let models = [(1, 66), (701, 153), (702, 50), (704, 65), (713, 7), (715, 7), (802, 60)];
            let mut device = FakeDevice::new(&models);
            device.set(704, 55, &[0]);
            device.set(713, 4, &[505]);
            device.set(713, 8, &[0xffff]);
            inverter(&mut device);
            device
        }
    }
}

fn inverter(device: &mut FakeDevice) {
    device.set(701, 10, &[3_000]);
    device.set(701, 116, &[0]);
    device.set(715, 2, &[0, 0, 0, 0, 0, 0, 0]);
}
