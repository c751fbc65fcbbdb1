//! Tables: what they are read and commanded by, and what cannot be.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::modbus::actuator::{Beat, Fallback};
use crate::modbus::control::tests::{ms, run, watts, AFTER};
use crate::modbus::control::{Control, Outcome};
use crate::modbus::fake_device::FakeDevice;
use crate::modbus::map::{Content, Point};
use crate::modbus::number::Scale;
use crate::modbus::point::{Absent, Kind as PointKind, ScaleAt};
use crate::modbus::standing::Standing;
use crate::units::Millis;

/// Points at the registers of a fake device, which begin at 40000.
fn point(name: &str, offset: u16, kind: PointKind) -> Point {
    let (table, scale, gain) = (Table::Holding, ScaleAt::Fixed(Scale::ONE), Gain::ONE);
    let address = 40_000 + offset;
    let slot = Slot { table, address, kind, low_first: true, absent: Absent::Nothing, scale, gain };
    Point { name: name.to_owned(), content: Content::Number(slot), period: Millis::new(1_000), write: None }
}

fn map() -> RegisterMap {
    let points = vec![
        point("power", 10, PointKind::I32),
        point("current", 12, PointKind::U16),
        point("remote", 20, PointKind::U16),
        point("enable", 30, PointKind::U16),
        point("timer", 31, PointKind::U16),
        point("revert", 32, PointKind::I32),
        point("setpoint", 34, PointKind::I32),
        point("beat", 36, PointKind::U16),
    ];
    RegisterMap::new("pcs".to_owned(), points, (125, 123), "").unwrap()
}

fn measured(metric: Metric, point: &str) -> Measured {
    Measured { metric, point: point.to_owned(), is_turned: false, is_ct_scaled: true }
}

fn commands() -> Commands {
    Commands {
        power: "setpoint".to_owned(),
        is_turned: true,
        before: vec![("enable".to_owned(), 0x55)],
        remote: vec![("remote".to_owned(), vec![1, 2])],
        heartbeat: Some(("beat".to_owned(), ms(1_000), Beat::Toggle)),
        revert_power: Some("revert".to_owned()),
        revert_timer: Some("timer".to_owned()),
        ..Commands::default()
    }
}

fn parts(commands: Option<Commands>) -> TableParts {
    let measured = vec![measured(Metric::Power, "power"), measured(Metric::Current(0), "current")];
    TableParts { map: map(), measured, commands }
}

fn refusals(parts: TableParts) -> Vec<String> {
    DeviceTable::new(parts, None, "").err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

const RATING: Watts = Watts::new(50_000);

#[test]
fn a_battery_is_enabled_given_its_revert_and_then_its_setpoint_and_all_of_it_is_read_back() {
    let table = DeviceTable::new(parts(Some(commands())), None, "").unwrap();
    let fallback = Fallback { output: Watts::new(100), after: AFTER, rating: RATING };
    let mut control = Control::new(table.actuator(Kind::Power, RATING).unwrap(), fallback);
    let mut device = FakeDevice::new(&[(1, 66)]);
    device.set_at(40_020, &[2]);
    control.set(watts(-70_000));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    // Enable, timer, revert of 100 W out and setpoint of 70000 W out: positive, the least significant register first.
    assert_eq!(device.writes[0], (40_030, vec![0x55, 30, 100, 0, 4_464, 1]));
    assert_eq!(control.standing(), Standing::Proved);
    device.set_at(40_020, &[7]);
    (100..=2_100).step_by(100).for_each(|now| drop(run(&mut control, &mut device, ms(now))));
    assert_eq!(control.standing(), Standing::Lost, "somebody has switched it to local");
    let beats: Vec<u16> = device.writes.iter().filter(|(at, _)| *at == 40_036).map(|(_, words)| words[0]).collect();
    assert_eq!(beats[..2], [1, 0]);
}

#[test]
fn a_percentage_is_of_the_assets_rating_and_written_register_by_register_where_the_device_wants_it() {
    let percent = Commands { power: "enable".to_owned(), is_percent: true, is_turned: true, ..Commands::default() };
    let points = vec![
        point("power", 10, PointKind::I32),
        point("current", 12, PointKind::U16),
        point("enable", 30, PointKind::U16),
    ];
    let map = RegisterMap::new("pv".to_owned(), points, (125, 1), "").unwrap();
    let table = DeviceTable::new(TableParts { map, ..parts(Some(percent)) }, None, "").unwrap();
    let fallback = Fallback { output: RATING, after: AFTER, rating: RATING };
    let mut control = Control::new(table.actuator(Kind::Cap, RATING).unwrap(), fallback);
    let mut device = FakeDevice::new(&[(1, 66)]);
    control.set(watts(-25_900));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    assert_eq!(device.writes, [(40_030, vec![51])]);
    assert_eq!(control.standing(), Standing::Unproved, "the cap stays for ever");
}

#[test]
fn a_current_transformer_multiplies_what_is_marked() {
    let ct = Some(CtRatio { primary: 400, secondary: 5 });
    let table = DeviceTable::new(parts(None), ct, "").unwrap();
    let mut reading = crate::modbus::channels::start(Millis::ZERO);
    let bytes = crate::modbus::point::wire(&[100, 0, 3]);
    let words = crate::modbus::pdu::RegisterBytes::new(&bytes).unwrap();
    table.sources().fill(&crate::modbus::point::Block::new(Table::Holding, 40_010, words), &mut reading);
    assert_eq!(reading.power, Some(Watts::new(8_000)));
    assert_eq!(reading.current[0].map(|current| current.get()), Some(240_000));
}

#[test]
fn names_that_are_no_points_and_points_that_cannot_be_written_are_refused_all_at_once() {
    let wrong = Commands {
        power: "nothing".to_owned(),
        before: vec![("enable".to_owned(), 70_000), ("gone".to_owned(), 1)],
        running: vec![("remote".to_owned(), vec![])],
        ..Commands::default()
    };
    let parts = TableParts { measured: vec![measured(Metric::Soc, "gone")], ..parts(Some(wrong)) };
    assert_eq!(
        refusals(parts),
        [
            "measurements[0].point: found \"gone\"; expected the name of a point of the map that is a number",
            "measurements: found no POWER; expected at least one row with the metric POWER",
            "control.running[0].values: found nothing; expected at least one raw value",
            "control.power: found \"nothing\"; expected the name of a point of the map that is a number",
            "control.before[0].value: found 70000; expected a raw value that enable can hold",
            "control.before[1].point: found \"gone\"; expected the name of a point of the map that is a number",
        ]
    );
}

#[test]
fn a_ratio_beyond_what_a_gain_holds_is_refused() {
    let ct = Some(CtRatio { primary: 2_000_000_000, secondary: 1 });
    assert_eq!(DeviceTable::new(parts(None), ct, "").unwrap_err().len(), 2);
}
