//! A line with several devices behind it, on a virtual wire, millisecond by millisecond.
use std::collections::{BTreeMap, BTreeSet};

use super::super::control::{Fallback, Setpoint};
use super::super::device::Role;
use super::super::fake_device::FakeDevice;
use super::super::frame::{self, Decoder};
use super::super::pdu::{encode_exception, encode_registers, encode_written, Reply, Request};
use super::super::standing::Standing;
use super::*;
use crate::site::image::{Quality, Reading};
use crate::units::{Permille, Watts};

const REVERT: Fallback =
    Fallback { output: Watts::ZERO, after: Micros::from_millis(30_000), rating: Watts::new(100_000) };

/// A setpoint of the first epoch that never ends.
fn watts(power: i64) -> Option<Setpoint> {
    Some(Setpoint { power: Watts::new(power), epoch: 1, expires_at: Micros::new(i64::MAX) })
}

struct Wire {
    line: Line,
    devices: BTreeMap<u8, FakeDevice>,
    silent: BTreeSet<u8>,
    reachable: bool,
    latency: i64,
    now: i64,
    connected: bool,
    decoder: Decoder,
    on_the_way: Option<(i64, Vec<u8>)>,
    requests: Vec<(i64, u8, u8)>,
    readings: Vec<(i64, usize, Reading)>,
}

impl Wire {
    /// Devices of the given roles with unit ids 1.., all polled each 100 ms.
    fn new(devices: Vec<(Role, FakeDevice)>) -> Self {
        let config = |(position, (role, _)): (usize, &(Role, FakeDevice))| DeviceConfig {
            unit: u8::try_from(position + 1).unwrap(),
            role: *role,
            period: Micros::from_millis(100),
            timeout: Micros::from_millis(300),
            write_latency: Micros::from_millis(50),
            table: None,
        };
        let configs: Vec<DeviceConfig> = devices.iter().enumerate().map(config).collect();
        Self {
            line: Line::new(&configs, Transport::Tcp { window_max: 1 }, Jitter::new(1), Micros::ZERO),
            devices: (1..).zip(devices.into_iter().map(|(_, device)| device)).collect(),
            silent: BTreeSet::new(),
            reachable: true,
            latency: 2,
            now: 0,
            connected: false,
            decoder: Decoder::default(),
            on_the_way: None,
            requests: Vec::new(),
            readings: Vec::new(),
        }
    }

    fn site() -> Self {
        Self::new(vec![
            (Role::Meter, FakeDevice::meter()),
            (Role::Pv(REVERT), FakeDevice::pv()),
            (Role::Battery(REVERT), FakeDevice::battery()),
        ])
    }

    fn run(&mut self, milliseconds: i64) {
        for _ in 0..milliseconds {
            self.step();
            self.now += 1;
        }
    }

    fn step(&mut self) {
        let now = Micros::from_millis(self.now);
        self.line.feed(LineEvent::Wake, now);
        while let Some(command) = self.line.take_command(now) {
            self.connected = command == LinkCommand::Connect && self.reachable;
            match (command, self.connected) {
                (LinkCommand::Connect, true) => self.line.feed(LineEvent::Connected, now),
                (LinkCommand::Connect, false) => self.line.feed(LineEvent::Closed, now),
                (LinkCommand::Close, _) => self.on_the_way = None,
            }
            self.decoder = Decoder::default();
        }
        if self.connected && !self.reachable {
            self.connected = false;
            self.on_the_way = None;
            self.line.feed(LineEvent::Closed, now);
        }
        if let Some((_, bytes)) = self.on_the_way.take_if(|(at, _)| *at <= self.now) {
            self.line.feed(LineEvent::Received(&bytes), now);
        }
        self.carry();
        let readings = self.line.take_readings();
        self.readings.extend(readings.into_iter().map(|(device, reading)| (self.now, device, reading)));
    }

    /// Takes what the line sends to the devices and puts their answers on the way.
    fn carry(&mut self) {
        self.decoder.push(&std::mem::take(self.line.output()));
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            self.requests.push((self.now, frame.unit, frame.pdu[0]));
            assert!(self.on_the_way.is_none(), "two requests in flight");
            if self.silent.contains(&frame.unit) {
                continue;
            }
            let request = Request::parse(frame.pdu).unwrap();
            let pdu = match (self.devices.get_mut(&frame.unit).unwrap().answer(&request), &request) {
                (Ok(Reply::Registers(words)), _) => encode_registers(frame.pdu[0], &words),
                (Ok(Reply::Written), Request::WriteMany { start, values }) => {
                    encode_written(frame.pdu[0], *start, u16::try_from(values.len()).unwrap())
                }
                (Err(Failure::Refused(exception)), _) => encode_exception(frame.pdu[0], exception),
                other => panic!("{other:?}"),
            };
            self.on_the_way = Some((self.now + self.latency, frame::encode(frame.transaction, frame.unit, &pdu)));
        }
    }

    fn readings_of(&self, device: usize) -> Vec<&Reading> {
        self.readings.iter().filter(|(_, found, _)| *found == device).map(|(_, _, reading)| reading).collect()
    }
}

#[test]
fn all_devices_are_found_and_read_in_the_same_slots() {
    let mut wire = Wire::site();
    wire.run(1_000);
    let counters = wire.line.counters();
    assert_eq!((counters.devices_serving, counters.polls_missed, counters.session.timeouts), (3, 0, 0));
    for device in 0..3 {
        let times: Vec<i64> =
            wire.readings_of(device).iter().skip(1).map(|reading| reading.measured_at.get()).collect();
        assert!(times.len() >= 8, "{times:?}");
        let slot = |time: &i64| time % 100;
        assert!(times.iter().all(|time| slot(time) <= 8), "one round of the line after the slot: {times:?}");
    }
}

#[test]
fn values_arrive_in_our_sign_and_with_the_time_they_were_asked() {
    let mut wire = Wire::site();
    wire.run(500);
    let last = |device: usize| (*wire.readings_of(device).last().unwrap()).clone();
    assert_eq!(last(0).power, Some(Watts::new(1_234)));
    assert_eq!(last(1).power, Some(Watts::new(-3_000)));
    assert_eq!(last(2).power, Some(Watts::new(-5_000)));
    assert_eq!(last(2).soc, Some(Permille::new(505)));
    assert!(wire.readings.iter().all(|(now, _, reading)| *now - reading.measured_at.get() <= 2 * wire.latency));
}

#[test]
fn a_setpoint_waits_only_for_the_transaction_in_flight() {
    let mut wire = Wire::site();
    wire.latency = 7;
    wire.run(901);
    wire.line.set_power(2, watts(-10_000), Micros::from_millis(wire.now));
    wire.requests.clear();
    wire.run(40);
    let first = wire.requests[0];
    assert_eq!(first.1, 3, "the battery's own control is next");
    assert!(first.0 <= 901 + wire.latency);
}

#[test]
fn a_setpoint_with_every_tick_never_freezes_the_readings() {
    let mut wire = Wire::site();
    wire.latency = 9;
    wire.run(500);
    for step in 0..40 {
        wire.line.set_power(1, watts(-step), Micros::from_millis(wire.now));
        wire.line.set_power(2, watts(-step), Micros::from_millis(wire.now));
        wire.run(50);
    }
    for device in 0..3 {
        let times: Vec<i64> = wire.readings_of(device).iter().map(|reading| reading.measured_at.get()).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap <= 200, "device {device}: {gap} ms without a reading");
    }
    assert!(wire.line.counters().writes > 50);
}

#[test]
fn a_unit_that_does_not_answer_does_not_stop_its_neighbours() {
    let mut wire = Wire::site();
    wire.run(500);
    wire.silent.insert(2);
    wire.run(20_000);
    wire.readings.clear();
    wire.run(5_000);
    assert!(wire.readings_of(1).is_empty());
    assert!(wire.readings_of(0).len() >= 25, "{}", wire.readings_of(0).len());
    assert_eq!(wire.line.counters().session.disconnects, 0);
    wire.silent.clear();
    wire.run(2_000);
    assert!(!wire.readings_of(1).is_empty());
}

#[test]
fn after_a_lost_connection_the_setpoint_is_proved_again_before_it_counts() {
    let mut wire = Wire::site();
    wire.line.set_power(2, watts(-10_000), Micros::ZERO);
    wire.run(500);
    assert!(wire.line.is_controlled(2));
    wire.reachable = false;
    wire.run(100);
    assert!(!wire.line.is_controlled(2));
    let battery = wire.devices.get_mut(&3).unwrap();
    battery.set(704, 22, &[0]);
    wire.run(5_000);
    wire.reachable = true;
    wire.readings.clear();
    wire.run(6_500);
    assert!(wire.line.is_controlled(2));
    assert_eq!(wire.devices[&3].get(704, 22, 1), [1]);
    assert!(wire.readings_of(0).len() >= 8);
}

#[test]
fn who_was_commanded_by_another_master_is_not_trusted_anew_because_the_line_was_lost() {
    let mut wire = Wire::site();
    wire.line.set_power(2, watts(-10_000), Micros::ZERO);
    assert_eq!(wire.line.standing(2), Standing::Silent);
    wire.run(500);
    assert_eq!(wire.line.standing(2), Standing::Proved);
    wire.devices.get_mut(&3).unwrap().set(704, 24, &[0, 1]);
    wire.run(11_000);
    assert_eq!(wire.line.standing(2), Standing::Lost);
    wire.reachable = false;
    wire.run(100);
    assert_eq!(wire.line.standing(2), Standing::Silent);
    wire.reachable = true;
    wire.run(8_000);
    assert_eq!(wire.devices[&3].get(704, 24, 2), [0, 10_000]);
    assert_eq!(wire.line.standing(2), Standing::Lost);
    wire.run(10_000);
    assert_eq!(wire.line.standing(2), Standing::Proved);
}

#[test]
fn one_refused_poll_leaves_the_reading_in_force_and_three_fail_it() {
    let mut wire = Wire::new(vec![(Role::Meter, FakeDevice::meter())]);
    wire.run(450);
    let refuse = Failure::Refused(super::super::pdu::Exception::Other(6));
    wire.devices.get_mut(&1).unwrap().fail_next = Some(refuse);
    wire.run(100);
    assert!(wire.readings_of(0).iter().all(|reading| reading.quality == Quality::Good));
    for _ in 0..3 {
        wire.devices.get_mut(&1).unwrap().fail_next = Some(refuse);
        wire.run(100);
    }
    assert_eq!(wire.readings_of(0).last().unwrap().quality, Quality::Failed);
    wire.run(100);
    assert_eq!(wire.readings_of(0).last().unwrap().quality, Quality::Good);
}

#[test]
fn a_device_without_the_models_needed_has_failed_and_says_so() {
    let mut wire = Wire::new(vec![(Role::Battery(REVERT), FakeDevice::meter())]);
    wire.run(1_000);
    assert_eq!(wire.readings_of(0).last().unwrap().quality, Quality::Failed);
    assert_eq!(wire.line.counters().devices_unusable, 1);
    assert_eq!(wire.line.standing(0), Standing::Lost);
    assert_eq!(wire.line.counters().devices_serving, 0);
}

#[test]
fn a_value_that_is_not_implemented_fails_the_reading_at_once() {
    let mut wire = Wire::new(vec![(Role::Meter, FakeDevice::meter())]);
    wire.run(450);
    wire.devices.get_mut(&1).unwrap().set(203, 18, &[0x8000]);
    wire.run(100);
    let last = (*wire.readings_of(0).last().unwrap()).clone();
    assert_eq!((last.quality, last.power), (Quality::Failed, None));
}

#[test]
fn the_wake_time_is_never_later_than_what_has_to_be_done() {
    let mut exact = Wire::site();
    exact.run(1_000);
    let mut lazy = Wire::site();
    for _ in 0..1_000 {
        let due = lazy.line.wake_time().is_none_or(|wake| wake <= Micros::from_millis(lazy.now));
        let arrived = lazy.on_the_way.as_ref().is_some_and(|(at, _)| *at <= lazy.now);
        if due || arrived {
            lazy.step();
        }
        lazy.now += 1;
    }
    assert_eq!(lazy.readings, exact.readings);
    assert_eq!(lazy.requests, exact.requests);
}
