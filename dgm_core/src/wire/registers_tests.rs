//! Maps that cannot be are refused by path, name and address; those that can come through unchanged.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn point(name: &str, address: i64, kind: PointType) -> WirePoint {
    WirePoint {
        name: name.to_owned(),
        table: RegisterTable::Holding.into(),
        address,
        r#type: kind.into(),
        ..WirePoint::default()
    }
}

fn map(points: Vec<WirePoint>) -> WireMap {
    WireMap { name: "test".to_owned(), points, ..WireMap::default() }
}

fn refusals(points: Vec<WirePoint>) -> Vec<String> {
    let found = register_map(&map(points), "map.");
    found.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn the_refusal(point: WirePoint) -> String {
    let mut found = refusals(vec![point]);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_point_keeps_what_was_said_of_it() {
    let scaled = WirePoint {
        multiplier: -10,
        divisor: 3,
        scale_point: "sf".to_owned(),
        absent: vec![-1],
        period_ms: 500,
        word_order: WordOrder::LowFirst.into(),
        write: Some(WireRule { low: -5, high: 5, lease_ms: 1000, fallback: Some(0), ..WireRule::default() }),
        ..point("power", 10, PointType::I32)
    };
    let map = register_map(&map(vec![scaled, point("sf", 12, PointType::I16)]), "").unwrap();
    let power = map.find("power").unwrap();
    let slot = power.slot().unwrap();
    assert_eq!((slot.address, slot.kind, slot.low_first), (10, Kind::I32, true));
    assert_eq!((slot.gain.multiplier, slot.gain.divisor, slot.scale), (-10, 3, ScaleAt::Register(12)));
    assert_eq!(slot.absent, Absent::Listed([-1].into()));
    assert_eq!((power.period, map.find("sf").unwrap().period), (Millis::new(500), Millis::new(1_000)));
    assert_eq!((map.read_max(), map.write_max()), (125, 123));
    let rule = power.write.as_ref().unwrap();
    assert_eq!((rule.low, rule.high, rule.lease, rule.fallback), (-5, 5, Some(Millis::new(1_000)), Some(0)));
}

#[test]
fn a_value_that_crosses_the_last_address_is_refused() {
    let refusal = the_refusal(point("energy", 65_535, PointType::U32));
    assert_eq!(refusal, "map.points[0].address: found energy at 65535, 2 registers; expected registers up to 65535");
}

#[test]
fn impossible_points_are_refused_by_field() {
    let cases: Vec<(WirePoint, &str)> = vec![
        (point("a", 65_536, PointType::U16), "map.points[0].address: found 65536; expected 0..65535"),
        (point("a", -1, PointType::U16), "map.points[0].address: found -1; expected 0..65535"),
        (point("a", 1, PointType::Unspecified), "map.points[0].type: found 0;"),
        (point("", 1, PointType::U16), "map.points[0].name: found nothing;"),
        (WirePoint { table: 0, ..point("a", 1, PointType::U16) }, "map.points[0].table: found 0;"),
        (WirePoint { bit: 16, ..point("a", 1, PointType::Bit) }, "map.points[0].bit: found 16; expected 0..15"),
        (WirePoint { bit: 3, ..point("a", 1, PointType::U16) }, "map.points[0].bit: found 3; expected nothing"),
        (WirePoint { length: 3, ..point("a", 1, PointType::U16) }, "map.points[0].length: found 3; expected nothing"),
        (point("a", 1, PointType::String), "map.points[0].length: found 0; expected 1..125"),
        (
            WirePoint { table: RegisterTable::Coil.into(), ..point("a", 1, PointType::U16) },
            "map.points[0].type: found a type of registers; expected BIT",
        ),
        (WirePoint { divisor: -1, ..point("a", 1, PointType::U16) }, "map.points[0].divisor: found -1;"),
        (WirePoint { absent: vec![70_000], ..point("a", 1, PointType::U16) }, "map.points[0].absent[0]: found 70000;"),
        (WirePoint { absent: vec![1], ..point("a", 1, PointType::F32) }, "map.points[0].absent: found 1;"),
        (
            WirePoint { scale_point: "sf".to_owned(), ..point("a", 1, PointType::I16) },
            "map.points[0].scale_point: found \"sf\", which is no point;",
        ),
        (
            WirePoint { scale_point: "a".to_owned(), ..point("a", 1, PointType::I16) },
            "map.points[0].scale_point: found \"a\", which is no power of ten;",
        ),
    ];
    for (point, expected) in cases {
        let refusal = the_refusal(point);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn a_write_rule_must_fit_its_point() {
    let with = |rule: WireRule| WirePoint { write: Some(rule), ..point("a", 1, PointType::I16) };
    let cases = [
        (WireRule { low: 5, high: 4, ..WireRule::default() }, "map.points[0].write.low: found low 5, high 4;"),
        (WireRule { low: -40_000, ..WireRule::default() }, "map.points[0].write.low: found low -40000, high 0;"),
        (WireRule { high: 9, fallback: Some(10), ..WireRule::default() }, "map.points[0].write.fallback: found 10;"),
        (WireRule { lease_ms: -1, ..WireRule::default() }, "map.points[0].write.lease_ms: found -1;"),
        (
            WireRule { roles: vec![String::new()], ..WireRule::default() },
            "map.points[0].write.roles: found an empty name;",
        ),
    ];
    for (rule, expected) in cases {
        let refusal = the_refusal(with(rule));
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let input = WirePoint { table: RegisterTable::Input.into(), ..with(WireRule::default()) };
    assert!(the_refusal(input).starts_with("map.points[0].write: found a rule;"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let points = vec![
        point("a", 10, PointType::U32),
        WirePoint { divisor: -1, multiplier: i64::MAX, ..point("b", 20, PointType::U16) },
        point("c", 99_999, PointType::U16),
    ];
    assert_eq!(refusals(points).len(), 3);
    let overlapping = vec![point("a", 10, PointType::U32), point("a", 11, PointType::U16)];
    assert_eq!(refusals(overlapping).len(), 2, "the name and the register");
}

#[test]
fn a_scale_factor_beyond_one_read_is_refused() {
    let far = WirePoint { scale_point: "sf".to_owned(), ..point("a", 10, PointType::I16) };
    let found =
        register_map(&WireMap { read_registers_max: 20, ..map(vec![far, point("sf", 30, PointType::I16)]) }, "");
    let text = CoreError::all(&found.unwrap_err()).to_string();
    assert!(text.starts_with("points[0].address: found a at HOLDING 10, 21 registers with its scale factor"), "{text}");
}

#[test]
fn bytes_that_are_no_message_are_told_so() {
    assert!(decode_register_map(&[0xff, 0xff]).unwrap_err().to_string().starts_with("RegisterMap: not decodable"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_register_map(&bytes);
        let _ = crate::wire::check_device_table(&bytes);
    }

    #[test]
    fn a_map_that_is_accepted_has_every_point_in_the_address_space(
        points in prop::collection::vec((any::<i64>(), 0i32..12, -1i64..130, 0i32..6), 1..6),
    ) {
        let points = points.iter().enumerate().map(|(index, (address, kind, length, table))| WirePoint {
            r#type: *kind,
            length: *length,
            table: *table,
            ..point(&index.to_string(), *address % 70_000, PointType::U16)
        });
        if let Ok(map) = register_map(&map(points.collect()), "") {
            prop_assert!(map.points().iter().all(|point| point.span().is_addressable()));
        }
    }
}
