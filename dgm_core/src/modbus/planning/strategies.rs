//! The planner against what other pollers do, for tests: requests grown from field to field by a fixed rule.
//!
//! The rules are those that telegraf documents for its Modbus input: fields that touch in one request (none), and gaps
//! filled up to a fixed number of registers (max_insert). They know one rate per device and nothing of the line.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use std::num::NonZeroU32;

use super::super::pdu::{Span, Table};
use super::cost::{LineCost, Load, SerialSpeed};
use super::holes::{end, ReadProfile};
use super::reads::{plan, Need, ReadBounds};
use crate::units::{Micros, Nanos};

/// Gaps that are filled: not at all, the documented default 50, and others that users choose.
const FILLS: [u32; 6] = [0, 4, 10, 24, 50, 125];

/// First register and number of registers of every point.
type Points = &'static [(u16, u16)];

/// Registers of common devices, as far as a site controller reads them.
const MAPS: [(&str, Points); 8] = [
    (
        "SunSpec meter 203",
        &[(2, 5), (8, 1), (9, 1), (10, 1), (15, 1), (16, 2), (18, 1), (22, 1), (28, 1), (32, 1), (46, 2), (54, 1)],
    ),
    (
        "SunSpec DER 701",
        &[(10, 1), (12, 1), (17, 2), (23, 4), (45, 1), (47, 1), (68, 1), (70, 1), (91, 1), (93, 1), (113, 9)],
    ),
    (
        "three-phase meter, 32 bit floats",
        &[
            (0, 2),
            (2, 2),
            (4, 2),
            (6, 2),
            (8, 2),
            (10, 2),
            (12, 2),
            (14, 2),
            (16, 2),
            (24, 2),
            (52, 2),
            (60, 2),
            (70, 2),
            (72, 2),
            (342, 2),
        ],
    ),
    (
        "three-phase meter, hexadecimal pages",
        &[
            (23296, 2),
            (23298, 2),
            (23300, 2),
            (23308, 2),
            (23310, 2),
            (23312, 2),
            (23316, 2),
            (23324, 2),
            (23340, 1),
            (20480, 4),
        ],
    ),
    ("DIN rail meter", &[(0, 2), (2, 2), (4, 2), (12, 2), (14, 2), (16, 2), (40, 2), (44, 2), (51, 1), (52, 2)]),
    (
        "panel meter, far apart",
        &[(2999, 2), (3001, 2), (3003, 2), (3027, 2), (3029, 2), (3031, 2), (3059, 2), (3067, 2), (3109, 2), (3203, 4)],
    ),
    (
        "hybrid inverter",
        &[
            (32016, 4),
            (32064, 2),
            (32066, 6),
            (32072, 6),
            (32080, 6),
            (32086, 4),
            (32106, 2),
            (37001, 2),
            (37004, 1),
            (37107, 10),
            (37113, 2),
            (37765, 2),
        ],
    ),
    (
        "battery behind a gateway",
        &[(30775, 2), (30845, 2), (30955, 2), (31393, 2), (31395, 2), (40149, 2), (40151, 2), (40236, 2)],
    ),
];

fn needs(points: &[(u16, u16)], period: Micros) -> Vec<Need> {
    let need = |(start, count): &(u16, u16)| Need {
        table: Table::Holding,
        span: Span { start: *start, count: *count },
        group: None,
        period,
        deadline: period,
    };
    points.iter().map(need).collect()
}

/// Line time of requests grown over gaps of at most `fill` registers.
fn grown(needs: &[Need], fill: u32, bounds: ReadBounds) -> Load {
    let mut spans: Vec<Span> = needs.iter().map(|need| need.span).collect();
    spans.sort_unstable();
    let mut requests: Vec<(u32, u32)> = Vec::new();
    for span in spans {
        let (start, last) = (u32::from(span.start), end(span));
        match requests.last_mut() {
            Some(request)
                if start <= request.1 + fill && last.max(request.1) - request.0 <= u32::from(bounds.registers_max) =>
            {
                request.1 = request.1.max(last);
            }
            _ => requests.push((start, last)),
        }
    }
    let period = needs[0].period;
    requests.iter().map(|(start, last)| Load::of(bounds.cost.read(u16::try_from(last - start).unwrap()), period)).sum()
}

fn lines() -> Vec<LineCost> {
    let serial = |baud, turnaround| {
        let speed = SerialSpeed { baud: NonZeroU32::new(baud).unwrap(), bits_per_character: 11 };
        LineCost::serial(speed, Micros::from_millis(turnaround))
    };
    vec![
        serial(9_600, 0),
        serial(9_600, 20),
        serial(19_200, 5),
        serial(115_200, 0),
        LineCost::tcp(Micros::new(300)),
        LineCost::tcp(Micros::from_millis(20)),
    ]
}

#[test]
fn no_fixed_rule_beats_the_plan_on_any_known_map_and_any_line() {
    let period = Micros::from_millis(1_000);
    let mut better = [0; FILLS.len()];
    for (name, points) in MAPS {
        for cost in lines() {
            for registers_max in [50, 125] {
                let bounds = ReadBounds { cost, registers_max, blocking: Micros::from_millis(60_000) };
                let needs = needs(points, period);
                let planned = plan(&needs, bounds, &ReadProfile::default());
                assert!(planned.shortcomings.is_empty(), "{name}");
                for (fill, better) in FILLS.iter().zip(&mut better) {
                    let other = grown(&needs, *fill, bounds);
                    assert!(planned.load <= other, "{name}, fill {fill}: {planned:?} {other:?}");
                    *better += usize::from(planned.load < other);
                }
            }
        }
    }
    assert!(better.iter().all(|better| *better > 0), "every fixed rule is beaten somewhere: {better:?}");
}

proptest! {
    #[test]
    fn no_fixed_rule_beats_the_plan_on_any_map(
        parts in prop::collection::vec((0u16..60, 1u16..5), 1..40),
        fixed in 0i64..30_000_000,
        register in 0i64..3_000_000,
        registers_max in 8u16..=125,
    ) {
        let mut start = 0;
        let place = |(gap, count): (u16, u16)| {
            start += gap + count;
            (start - count, count)
        };
        let points: Vec<(u16, u16)> = parts.into_iter().map(place).collect();
        let cost = LineCost::new(Nanos::new(fixed), Nanos::new(register));
        let bounds = ReadBounds { cost, registers_max, blocking: Micros::from_millis(60_000) };
        let needs = needs(&points, Micros::from_millis(500));
        let planned = plan(&needs, bounds, &ReadProfile::default());
        for fill in FILLS {
            prop_assert!(planned.load <= grown(&needs, fill, bounds));
        }
    }
}
