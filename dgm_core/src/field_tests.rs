//! The tick under virtual time: which devices share a line, when it ticks, where values go.
use super::*;
use crate::site::{Battery, CircuitSpec, Modbus, Phase, Pv, Quality, SiteParts, Timing};
use crate::units::{Milliamps, Millivolts, Permille, WattHours, Watts};

fn ms(value: i64) -> Millis {
    Millis::new(value)
}

fn us(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn modbus(host: &str, unit_id: u8) -> Option<Modbus> {
    let endpoint = Endpoint::Tcp { host: host.to_owned(), port: 502 };
    let transport = Transport::Tcp { window_max: 1 };
    let (poll_interval, timeout, write_latency) = (ms(100), ms(500), ms(50));
    Some(Modbus { endpoint, transport, unit_id, poll_interval, timeout, write_latency, table: None })
}

fn asset(id: &str, kind: AssetKind, modbus: Option<Modbus>) -> AssetSpec {
    AssetSpec { id: id.to_owned(), circuit: "grid".to_owned(), phases: PhaseMap::three(), kind, modbus }
}

fn site() -> Arc<Site> {
    Arc::new(Site::new(site_parts()).unwrap())
}

fn site_parts() -> SiteParts {
    let revert = Revert { power: Watts::ZERO, after: ms(30_000) };
    let battery = Battery {
        power_max: Watts::new(30_000),
        charge_max: Watts::new(30_000),
        energy: WattHours::new(60_000),
        soc_min: Permille::new(200),
        soc_max: Permille::new(900),
        bridge_reserve: Watts::ZERO,
        revert,
    };
    let pv = Pv { power_max: Watts::new(50_000), revert };
    let grid = CircuitSpec { id: "grid".to_owned(), meter: Some("meter".to_owned()), ..CircuitSpec::default() };
    SiteParts {
        nominal_voltage: Millivolts::new(230_000),
        circuits: vec![grid],
        assets: vec![
            asset("meter", AssetKind::Meter, modbus("10.0.0.1", 1)),
            asset("pv", AssetKind::Pv(pv), modbus("10.0.0.2", 1)),
            asset("hall", AssetKind::Load, None),
            asset("battery", AssetKind::Battery(battery), modbus("10.0.0.1", 2)),
        ],
        timing: Timing::default(),
    }
}

#[test]
fn units_of_one_endpoint_share_a_line_and_what_has_no_endpoint_has_none() {
    let field = Field::new(&site(), 1, 0, Micros::ZERO);
    let endpoints: Vec<String> = field.lines().iter().map(|(endpoint, _)| endpoint.to_string()).collect();
    assert_eq!(endpoints, ["10.0.0.1:502", "10.0.0.2:502"]);
    assert_eq!(field.assets, [vec![AssetIndex(0), AssetIndex(3)], vec![AssetIndex(1)]]);
    let commanded: Vec<(usize, usize, usize)> =
        field.commanded.iter().map(|(asset, served)| (asset.0, served.line, served.device)).collect();
    assert_eq!(commanded, [(3, 0, 1), (1, 1, 0)]);
}

#[test]
fn ticks_come_half_a_tick_after_the_slots_in_which_devices_are_read() {
    let mut field = Field::new(&site(), 1, 0, us(1_234));
    let mut times = Vec::new();
    for _ in 0..4 {
        times.push(field.next_tick().get());
        field.tick(field.next_tick());
    }
    assert_eq!(times, [1_234_000, 1_250_000, 1_350_000, 1_450_000]);
    assert_eq!((field.counters.ticks, field.counters.tick_overruns), (4, 0));
}

#[test]
fn every_line_tells_from_the_first_tick_on_what_it_is_asked_for() {
    let mut field = Field::new(&site(), 1, 0, Micros::ZERO);
    field.tick(field.next_tick());
    let wanted: Vec<i64> = field.line_loads().iter().map(|load| load.wanted.get()).collect();
    assert_eq!(wanted.len(), 2);
    // Of every 100 ms 5 for the meter, and for the battery two or three reads, two writes and their proof.
    assert!((300..800).contains(&wanted[0]) && wanted[1] > 100, "{wanted:?}");
    assert!(field.line_loads().iter().all(|load| load.over.get() == 0));
}

#[test]
fn a_late_tick_is_counted_and_never_made_up_for() {
    let mut field = Field::new(&site(), 1, 0, us(50));
    field.tick(us(50));
    field.tick(us(1_187));
    assert_eq!((field.counters.ticks, field.counters.tick_overruns), (2, 10));
    assert_eq!(field.next_tick(), us(1_250));
    field.tick(us(1_250));
    assert_eq!((field.counters.ticks, field.counters.tick_overruns), (3, 10));
}

#[test]
fn nothing_is_controlled_at_first_and_setpoints_are_handed_over_all_the_same() {
    let mut field = Field::new(&site(), 1, 0, Micros::ZERO);
    let is_controlled = |field: &Field| [1, 3].map(|index| field.arbiter().is_controlled(AssetIndex(index)));
    assert_eq!(is_controlled(&field), [false; 2]);
    field.tick(field.next_tick());
    assert_eq!(is_controlled(&field), [false; 2]);
    assert_eq!((field.counters.devices_uncontrolled, field.counters.control_lost), (2, 0));
    assert_eq!(field.counters.inputs_refused, 0);
    assert_eq!(field.arbiter().grants()[3].value, GrantValue::Power(Watts::ZERO));
}

#[test]
fn a_battery_that_no_line_reaches_is_never_controlled() {
    let mut parts = site_parts();
    parts.assets[3].modbus = None;
    let mut field = Field::new(&Arc::new(Site::new(parts).unwrap()), 1, 0, us(0));
    assert_eq!(field.commanded.len(), 1);
    field.tick(field.next_tick());
    assert_eq!(field.counters.devices_uncontrolled, 2);
    assert!(!field.arbiter().is_controlled(AssetIndex(3)));
}

#[test]
fn values_stand_at_the_conductors_a_device_is_wired_to() {
    let amps = |value: i64| Some(Milliamps::new(value));
    let volts = |value: i64| Some(Millivolts::new(value));
    let reading = Reading {
        quality: Quality::Good,
        current: [amps(1), amps(2), amps(3)],
        voltage: [volts(4), volts(5), volts(6)],
        ..Reading::NEVER
    };
    let turned = on_site_phases(reading.clone(), &PhaseMap::new(&[Phase::L2, Phase::L3, Phase::L1], "").unwrap());
    assert_eq!(turned.current, [amps(3), amps(1), amps(2)]);
    assert_eq!(turned.voltage, [volts(6), volts(4), volts(5)]);
    let single = on_site_phases(reading, &PhaseMap::new(&[Phase::L3], "").unwrap());
    assert_eq!(single.current, [None, None, amps(1)]);
}
