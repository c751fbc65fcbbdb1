//! `RegisterMap` bytes to what a facade serves: the checked map, and what only a server asks of it.

use prost::Message;

use super::core::{RegisterMap as WireMap, WriteGroup as WireGroup};
use super::registers::register_map;
use crate::error::CoreError;
use crate::modbus::server::declaration::{Extra, Grouping, LeasePoint, ServedMap};
use crate::units::Millis;

const SPAN_MS_MAX: i64 = 86_400_000;
const BURST_MAX: i64 = 1_000;

/// The map that a facade is to serve, or all that is wrong with it.
pub fn decode_served_map(bytes: &[u8]) -> Result<ServedMap, CoreError> {
    let wire = WireMap::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "RegisterMap", reason: error.to_string() })?;
    let mut problems = Vec::new();
    let extras = extras(&wire, &mut problems);
    let groups = wire.groups.iter().enumerate().map(|(index, group)| grouping(group, index, &mut problems)).collect();
    match register_map(&wire, "") {
        Ok(map) if problems.is_empty() => {
            ServedMap::new(map, extras, groups).map_err(|problems| CoreError::all(&problems))
        }
        Ok(_) => Err(CoreError::all(&problems)),
        Err(found) => Err(CoreError::all(&[found, problems].concat())),
    }
}

/// What stands beside the checked points, in their order.
fn extras(wire: &WireMap, problems: &mut Vec<CoreError>) -> Vec<Extra> {
    let mut extra = |(index, point): (usize, &super::core::Point)| {
        let place = |field: &str| format!("points[{index}].{field}");
        if point.read_roles.iter().any(String::is_empty) {
            problems.push(CoreError::site(
                place("read_roles"),
                "an empty name",
                "names of roles; none at all: any client",
            ));
        }
        let rule = point.write.as_ref();
        let (burst, interval_ms) = rule.map_or((0, 0), |rule| (rule.burst, rule.min_interval_ms));
        if !(0..=BURST_MAX).contains(&burst) || (burst > 0 && interval_ms == 0) {
            let expected = format!("0..{BURST_MAX}, with min_interval_ms");
            problems.push(CoreError::value(place("write.burst"), burst, expected));
        }
        Extra { read_roles: point.read_roles.clone(), burst: burst.max(1) }
    };
    wire.points.iter().enumerate().map(&mut extra).collect()
}

fn grouping(wire: &WireGroup, index: usize, problems: &mut Vec<CoreError>) -> Grouping {
    for (field, found) in [("lease_ms", wire.lease_ms), ("lease_unit_ms", wire.lease_unit_ms)] {
        if !(0..=SPAN_MS_MAX).contains(&found) {
            let expected = format!("0..{SPAN_MS_MAX}");
            problems.push(CoreError::value(format!("groups[{index}].{field}"), found, expected));
        }
    }
    let unit_ms = if wire.lease_unit_ms == 0 { 1_000 } else { wire.lease_unit_ms };
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let lease_point = named(&wire.lease_point).map(|name| LeasePoint { name, unit: Millis::new(unit_ms) });
    if lease_point.is_none() && wire.lease_unit_ms != 0 {
        let place = format!("groups[{index}].lease_unit_ms");
        problems.push(CoreError::value(place, wire.lease_unit_ms, "nothing without a lease_point"));
    }
    Grouping {
        name: wire.name.clone(),
        points: wire.points.clone(),
        lease: (wire.lease_ms > 0).then(|| Millis::new(wire.lease_ms)),
        lease_point,
        sequence_point: named(&wire.sequence_point),
    }
}

#[cfg(test)]
#[path = "served_tests.rs"]
mod tests;
