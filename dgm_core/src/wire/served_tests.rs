//! Maps as bytes, declared to a server and used by a client.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use super::super::core::{Point, PointType, RegisterTable, WriteRule};
use super::*;
use crate::modbus::pdu::{Span, Table};
use crate::modbus::server::declaration::DeclareError;
use crate::modbus::server::party::Party;
use crate::modbus::server::{Answer, DefineError, Server};

const ABSENT_32: i64 = 0xffff_ffff;

fn point(name: &str, table: RegisterTable, address: i64, kind: PointType) -> Point {
    Point { name: name.to_owned(), table: table.into(), address, r#type: kind.into(), ..Point::default() }
}

fn rule(low: i64, high: i64) -> WriteRule {
    WriteRule { low, high, ..WriteRule::default() }
}

fn writable(name: &str, address: i64, kind: PointType, rule: WriteRule) -> Point {
    Point { write: Some(rule), ..point(name, RegisterTable::Holding, address, kind) }
}

/// Measured power, a coil, and a cap that counts only with its seconds and a sequence number.
fn map() -> WireMap {
    let cap = Point { absent: vec![ABSENT_32], ..writable("cap_ma", 34, PointType::U32, rule(0, 32_000)) };
    WireMap {
        name: "evse".to_owned(),
        points: vec![
            Point { absent: vec![-32_768], ..point("power_w", RegisterTable::Holding, 0, PointType::I16) },
            writable("sequence", 37, PointType::U16, rule(0, 65_535)),
            cap,
            writable("valid_s", 36, PointType::U16, rule(1, 3_600)),
            Point {
                write: Some(WriteRule { fallback: Some(1), lease_ms: 5_000, ..rule(0, 1) }),
                ..point("enable", RegisterTable::Coil, 7, PointType::Bit)
            },
        ],
        groups: vec![WireGroup {
            name: "cap".to_owned(),
            points: ["cap_ma", "valid_s", "sequence"].map(str::to_owned).to_vec(),
            lease_ms: 60_000,
            lease_point: "valid_s".to_owned(),
            lease_unit_ms: 0,
            sequence_point: "sequence".to_owned(),
        }],
        ..WireMap::default()
    }
}

fn declare(server: &mut Server, map: &WireMap) -> Result<(), DeclareError> {
    server.declare(1, &decode_served_map(&map.encode_to_vec()).unwrap())
}

fn answer(server: &mut Server, role: Option<&str>, pdu: &[u8], now: i64) -> Vec<u8> {
    let party = Arc::new(Party { role: role.map(str::to_owned), ..Party::default() });
    let mut out = Vec::new();
    assert_ne!(server.answer(1, pdu, &party, Millis::new(now), &mut out), Answer::Close);
    out
}

fn refusal(map: &WireMap) -> String {
    decode_served_map(&map.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn what_nobody_published_is_not_known_and_a_fallback_stands_from_the_start() {
    let mut server = Server::new(1);
    declare(&mut server, &map()).unwrap();
    assert_eq!(answer(&mut server, None, &[3, 0, 0, 0, 1], 0), [3, 2, 0x80, 0]);
    assert_eq!(answer(&mut server, None, &[3, 0, 34, 0, 4], 0), [3, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(answer(&mut server, None, &[1, 0, 7, 0, 1], 0), [1, 1, 1]);
}

#[test]
fn a_cap_counts_only_with_its_seconds_and_a_newer_sequence_and_ends_by_itself() {
    let mut server = Server::new(1);
    declare(&mut server, &map()).unwrap();
    let write = |ma: u8, s: u8, sequence: u8| vec![16, 0, 34, 0, 4, 8, 0, 0, 0, ma, 0, s, 0, sequence];
    assert_eq!(answer(&mut server, None, &[16, 0, 34, 0, 2, 4, 0, 0, 0, 9], 0), [0x90, 3], "alone it says nothing");
    assert_eq!(answer(&mut server, None, &write(9, 61, 1), 0), [0x90, 3], "longer than the longest lease");
    assert_eq!(answer(&mut server, None, &write(9, 2, 1), 0), [16, 0, 34, 0, 4]);
    assert_eq!(answer(&mut server, None, &write(5, 2, 1), 1), [0x90, 3], "a repeated sequence number");
    assert_eq!(server.next_expiry(), Some(Millis::new(2_000)));
    server.expire(Millis::new(2_000));
    assert_eq!(answer(&mut server, None, &[3, 0, 34, 0, 2], 2_000), [3, 4, 0xff, 0xff, 0xff, 0xff]);
    let told: Vec<(u16, i64)> =
        server.take_changes().iter().map(|told| (told.change.address, told.change.value)).collect();
    assert_eq!(told, [(34, 9), (36, 2), (37, 1), (34, ABSENT_32), (36, 0), (37, 0)]);
    let counters = server.counters;
    assert_eq!((counters.incomplete_writes, counters.out_of_range_writes, counters.old_writes), (1, 1, 1));
}

#[test]
fn roles_and_pace_come_from_the_map() {
    let mut map = map();
    map.groups.clear();
    map.points[0].read_roles = vec!["Auditor".to_owned()];
    map.points[1].write =
        Some(WriteRule { roles: vec!["Operator".to_owned()], min_interval_ms: 1_000, burst: 2, ..rule(0, 9) });
    let mut server = Server::new(1);
    declare(&mut server, &map).unwrap();
    assert_eq!(answer(&mut server, None, &[3, 0, 0, 0, 1], 0), [0x83, 1]);
    assert_eq!(answer(&mut server, Some("Auditor"), &[3, 0, 0, 0, 1], 0), [3, 2, 0x80, 0]);
    let write = [6, 0, 37, 0, 1];
    assert_eq!(answer(&mut server, Some("Auditor"), &write, 0), [0x86, 1]);
    let found: Vec<u8> = [0, 1, 2, 1_000].map(|now| answer(&mut server, Some("Operator"), &write, now)[0]).to_vec();
    assert_eq!(found, [6, 6, 0x86, 6], "two at once, then one a second");
}

#[test]
fn a_map_is_declared_whole_or_not_at_all() {
    let mut server = Server::new(1);
    declare(&mut server, &map()).unwrap();
    let mut other = map();
    other.points.insert(0, writable("late", 33, PointType::U32, rule(0, 9)));
    other.points.retain(|point| !["cap_ma", "sequence", "valid_s"].contains(&point.name.as_str()));
    other.groups.clear();
    let expected = "registers of no other writable value";
    let refused = DeclareError::Point("late at HOLDING 33..34".to_owned(), expected);
    assert_eq!(declare(&mut server, &other), Err(refused));
    assert!(server.cells(1, Table::Holding, Span { start: 33, count: 1 }).is_none(), "nothing of it was declared");
    let served = decode_served_map(&map().encode_to_vec()).unwrap();
    assert_eq!(server.declare(2, &served), Err(DeclareError::Unit(DefineError::Unit)));
}

#[test]
fn declaring_over_registers_that_were_published_keeps_them() {
    let mut server = Server::new(1);
    server.define(1, Table::Holding, Span { start: 34, count: 3 }).unwrap();
    server.publish(1, Table::Holding, 34, &[0, 0, 0, 7]).unwrap();
    let mut map = map();
    map.groups.clear();
    declare(&mut server, &map).unwrap();
    assert_eq!(answer(&mut server, None, &[3, 0, 34, 0, 2], 0), [3, 4, 0, 0, 0, 7]);
    assert_eq!(answer(&mut server, None, &[6, 0, 36, 0, 5], 0), [6, 0, 36, 0, 5]);
}

#[test]
fn impossible_groups_and_points_are_refused_by_name_and_address() {
    type Change = fn(&mut WireMap);
    let table: [(Change, &str); 15] = [
        (
            |map| map.points[2].address = 30,
            "groups[0].points: found cap_ma at HOLDING 30..31 and valid_s at HOLDING 36",
        ),
        (
            |map| map.points[2].address = 35,
            "points[3].address: found valid_s at HOLDING 36; expected no register in two",
        ),
        (|map| map.groups[0].points.push("power_w".to_owned()), "found power_w at HOLDING 0, which is read-only"),
        (|map| map.groups[0].points.push("nothing".to_owned()), "found \"nothing\", which is no point"),
        (|map| map.groups[0].points.push("cap_ma".to_owned()), "found cap_ma at HOLDING 34..35 twice"),
        (|map| map.groups[0].points.push("enable".to_owned()), "found enable at COIL 7 with a lease of its own"),
        (|map| map.groups[0].points.truncate(1), "groups[0].points: found 1 points; expected two or more"),
        (|map| map.groups[0].lease_point = "power_w".to_owned(), "groups[0].lease_point: found \"power_w\""),
        (|map| map.groups[0].lease_ms = 0, "groups[0].lease_ms: found 0; expected the longest lease"),
        (|map| map.groups[0].sequence_point = "valid_s".to_owned(), "groups[0].sequence_point: found \"valid_s\""),
        (|map| map.groups[0].name.clear(), "groups[0].name: found \"\"; expected a name of its own"),
        (|map| map.groups.push(map.groups[0].clone()), "groups[1].name: found \"cap\""),
        (|map| map.points[1].write.as_mut().unwrap().roles = vec!["A".to_owned()], "found points with different roles"),
        (
            |map| map.points[1].write.as_mut().unwrap().burst = 2,
            "points[1].write.burst: found 2; expected 0..1000, with",
        ),
        (|map| map.write_registers_max = 3, "groups[0].points: found 4 registers; expected at most 3"),
    ];
    for (change, part) in table {
        let mut map = map();
        change(&mut map);
        let text = refusal(&map);
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn floats_and_bits_of_registers_are_read_and_never_written() {
    for kind in [PointType::F32, PointType::Bit] {
        let mut map = map();
        map.points.push(writable("odd", 100, kind, rule(0, 1)));
        assert!(refusal(&map).contains("points[5].write: found odd at HOLDING 100"), "{kind:?}");
        map.points[5].write = None;
        declare(&mut Server::new(1), &map).unwrap();
    }
}
