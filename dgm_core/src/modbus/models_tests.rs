//! Which models a device is read by, and every convention of sign as vectors.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::modbus::channels::start;
use crate::modbus::fake_device::FakeDevice;
use crate::modbus::pdu::RegisterBytes;
use crate::modbus::point::{wire, Block};
use crate::site::image::{Quality, Reading};
use crate::units::{Milliamps, Millis, Millivolts, Permille, Vars, WattHours, Watts};

/// Sets points by name; a float by the bits of its value.
fn set(device: &mut FakeDevice, id: u16, points: &[(&str, i64)]) {
    let definition = tables::find(id).unwrap();
    let model = device.map().find(|found| found == id).unwrap();
    for (name, value) in points {
        let slot = layout::locate(&definition, &model, name).unwrap_or_else(|| panic!("{id} has no {name}"));
        device.set(id, slot.address - model.address, &slot.raw_words(*value).unwrap());
    }
}

fn poll(sources: &Sources, device: &FakeDevice) -> Reading {
    let mut reading = start(Millis::new(77));
    for (table, span) in sources.reads() {
        let bytes = wire(&device.words(*span));
        sources.fill(&Block::new(*table, span.start, RegisterBytes::new(&bytes).unwrap()), &mut reading);
    }
    reading
}

#[test]
fn a_meter_keeps_its_sign_and_scales_each_point_by_its_own_factor() {
    let mut device = FakeDevice::new(&[(1, 66), (203, 105)]);
    let currents = [("AphA", 100), ("AphB", -200), ("AphC", 300), ("A_SF", -1)];
    let voltages = [("PhVphA", 2301), ("PhVphB", 2302), ("PhVphC", 2303), ("V_SF", -1)];
    let powers = [("W", -1234), ("W_SF", 1), ("VAR", 50), ("VAR_SF", 0), ("Hz", 4998), ("Hz_SF", -2)];
    let energy = [("TotWhImp", 65_538), ("TotWh_SF", 1)];
    set(&mut device, 203, &[&currents[..], &voltages, &powers, &energy].concat());
    let reading = poll(&meter(&device.map()).unwrap(), &device);
    assert_eq!((reading.quality, reading.measured_at), (Quality::Good, Millis::new(77)));
    assert_eq!((reading.power, reading.reactive), (Some(Watts::new(-12_340)), Some(Vars::new(50))));
    assert_eq!(reading.current, [10_000, 20_000, 30_000].map(|ma| Some(Milliamps::new(ma))));
    assert_eq!(reading.voltage, [230_100, 230_200, 230_300].map(|mv| Some(Millivolts::new(mv))));
    assert_eq!((reading.frequency_mhz, reading.energy), (Some(49_980), Some(WattHours::new(655_380))));
}

#[test]
fn a_float_meter_is_read_in_one_read_and_needs_no_factors() {
    let mut device = FakeDevice::new(&[(1, 66), (213, 124)]);
    device.set(213, 2, &[0x7fc0, 0].repeat(62));
    set(&mut device, 213, &[("W", -12_340), ("AphA", 7), ("PhVphC", 231), ("Hz", 50), ("TotWhImp", 1_000_000)]);
    let sources = meter(&device.map()).unwrap();
    assert_eq!(sources.reads().len(), 1);
    let reading = poll(&sources, &device);
    assert_eq!((reading.power, reading.frequency_mhz), (Some(Watts::new(-12_340)), Some(50_000)));
    assert_eq!(reading.current, [Some(Milliamps::new(7_000)), None, None]);
    assert_eq!(reading.voltage[2], Some(Millivolts::new(231_000)));
    assert_eq!(reading.energy, Some(WattHours::new(1_000_000)));
}

#[test]
fn a_der_that_injects_is_negative_and_loads_round_up() {
    let mut device = FakeDevice::new(&[(1, 66), (701, 153)]);
    set(&mut device, 701, &[("W", 1234), ("W_SF", -1), ("Var", -7), ("Var_SF", 0), ("AL1", 11), ("A_SF", 0)]);
    let sources = pv(&device.map()).unwrap();
    let reading = poll(&sources, &device);
    assert_eq!((reading.power, reading.reactive), (Some(Watts::new(-123)), Some(Vars::new(7))));
    assert_eq!(reading.current, [Some(Milliamps::new(11_000)), None, None]);
    set(&mut device, 701, &[("W", -1234)]);
    assert_eq!(poll(&sources, &device).power, Some(Watts::new(124)), "charging");
}

#[test]
fn an_inverter_of_the_old_models_is_turned_too_in_integers_and_floats() {
    for (id, length, factors) in [(103, 50, true), (101, 50, true), (113, 60, false), (112, 60, false)] {
        let mut device = FakeDevice::new(&[(1, 66), (id, length)]);
        set(&mut device, id, &[("W", 4_200), ("VAr", 300), ("AphA", 6), ("PhVphA", 229), ("Hz", 50)]);
        if factors {
            set(&mut device, id, &[("W_SF", 0), ("VAr_SF", 0), ("A_SF", 0), ("V_SF", 0), ("Hz_SF", 0)]);
        }
        let reading = poll(&pv(&device.map()).unwrap(), &device);
        assert_eq!((reading.power, reading.reactive), (Some(Watts::new(-4_200)), Some(Vars::new(-300))), "{id}");
        assert_eq!((reading.current[0], reading.frequency_mhz), (Some(Milliamps::new(6_000)), Some(50_000)));
        assert_eq!(reading.energy, None, "what went out is not what went in");
    }
}

#[test]
fn the_newest_family_that_a_device_offers_is_preferred() {
    let mut device = FakeDevice::new(&[(1, 66), (103, 50), (701, 153), (714, 43)]);
    set(&mut device, 103, &[("W", 1), ("W_SF", 0)]);
    set(&mut device, 701, &[("W", 2), ("W_SF", 0)]);
    set(&mut device, 714, &[("DCW", 3), ("DCW_SF", 0)]);
    let power = |device: &FakeDevice, map: &ModelMap| poll(&pv(map).unwrap(), device).power.map(Watts::get);
    assert_eq!(power(&device, &device.map()), Some(-2));
    let short = FakeDevice::new(&[(1, 66), (701, 100), (103, 50)]);
    assert_eq!(pv(&short.map()).unwrap().reads()[0].1.start, short.address(103) + 3, "701 too short for its power");
    let mut dc = FakeDevice::new(&[(1, 66), (714, 43)]);
    set(&mut dc, 714, &[("DCW", -30), ("DCW_SF", 2), ("DCWhAbs", 9), ("DCWH_SF", 0)]);
    let reading = poll(&pv(&dc.map()).unwrap(), &dc);
    assert_eq!((reading.power, reading.energy), (Some(Watts::new(3_000)), Some(WattHours::new(9))));
    assert!(meter(&device.map()).is_none());
}

#[test]
fn a_battery_says_its_charge_by_the_best_model_it_has_and_its_live_limits_by_802() {
    let mut device = FakeDevice::new(&[(1, 66), (701, 153), (713, 7), (802, 62)]);
    set(&mut device, 701, &[("W", 0), ("W_SF", 0)]);
    set(&mut device, 713, &[("SoC", 5678), ("Pct_SF", -2)]);
    set(&mut device, 802, &[("SoC", 1), ("SoC_SF", 0), ("WChaRteMax", 25), ("WDisChaRteMax", 30)]);
    set(&mut device, 802, &[("WChaDisChaMax_SF", 3)]);
    let reading = poll(&battery(&device.map()).unwrap(), &device);
    assert_eq!(reading.soc, Some(Permille::new(567)), "rounded down");
    assert_eq!((reading.charge_max, reading.discharge_max), (Some(Watts::new(25_000)), Some(Watts::new(30_000))));

    let mut old = FakeDevice::new(&[(1, 66), (103, 50), (124, 24)]);
    set(&mut old, 103, &[("W", 0), ("W_SF", 0)]);
    set(&mut old, 124, &[("ChaState", 42), ("ChaState_SF", 0)]);
    assert_eq!(poll(&battery(&old.map()).unwrap(), &old).soc, Some(Permille::new(420)));
}

#[test]
fn without_power_or_its_scale_factor_the_reading_has_failed() {
    let mut device = FakeDevice::new(&[(1, 66), (203, 105), (701, 153)]);
    set(&mut device, 203, &[("W", 5)]);
    assert_eq!(poll(&meter(&device.map()).unwrap(), &device).quality, Quality::Failed);
    set(&mut device, 701, &[("W_SF", 0)]);
    let nothing = poll(&pv(&device.map()).unwrap(), &device);
    assert_eq!((nothing.quality, nothing.power, nothing.soc), (Quality::Failed, None, None));
}
