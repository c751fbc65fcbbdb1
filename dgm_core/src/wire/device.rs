//! `DeviceTable` bytes to a checked table: names to points here, what fits together in `modbus::table`.

use prost::Message;

use super::core::{
    DeviceControl, DeviceTable as WireTable, Heartbeat, HeartbeatKind, Measurement, Metric as WireMetric, PowerUnit,
    RegisterMap as WireMap, RegisterState, RegisterValue,
};
use super::registers::register_map;
use crate::error::CoreError;
use crate::modbus::actuator::Beat;
use crate::modbus::channels::Metric;
use crate::modbus::table::{Commands, CtRatio, DeviceTable, Measured, TableParts};
use crate::units::{Micros, Watts};

const BEAT_MS: std::ops::RangeInclusive<i64> = 100..=60_000;
const WATCHDOG_S_MAX: i64 = 86_400;

/// The table that `DeviceTable` bytes describe, or all that is wrong with it.
pub fn decode_device_table(bytes: &[u8]) -> Result<DeviceTable, CoreError> {
    check_device_table(bytes)?.map_err(|problems| CoreError::all(&problems))
}

/// All that is wrong with `DeviceTable` bytes, by path of the message.
pub fn check_device_table(bytes: &[u8]) -> Result<Result<DeviceTable, Vec<CoreError>>, CoreError> {
    let wire = WireTable::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "DeviceTable", reason: error.to_string() })?;
    Ok(device_table(&wire, None, ""))
}

/// Checks a table; `path` stands before every place of a problem.
pub(super) fn device_table(wire: &WireTable, ct: Option<CtRatio>, path: &str) -> Result<DeviceTable, Vec<CoreError>> {
    let map = register_map(wire.map.as_ref().unwrap_or(&WireMap::default()), &format!("{path}map."));
    let mut reader = Reader { path, problems: Vec::new() };
    let measured = reader.measured(&wire.measurements);
    let commands = wire.control.as_ref().map(|control| reader.commands(control));
    match (map, reader.problems) {
        (Ok(map), problems) if problems.is_empty() => {
            DeviceTable::new(TableParts { map, measured, commands }, ct, path)
        }
        (map, problems) => Err([map.err().unwrap_or_default(), problems].concat()),
    }
}

struct Reader<'a> {
    path: &'a str,
    problems: Vec<CoreError>,
}

impl Reader<'_> {
    fn problem(&mut self, place: &str, found: impl std::fmt::Display, expected: &str) {
        self.problems.push(CoreError::site(format!("{}{place}", self.path), found, expected));
    }

    fn measured(&mut self, rows: &[Measurement]) -> Vec<Measured> {
        let mut measured = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let Some(metric) = metric(row.metric) else {
                self.problem(&format!("measurements[{index}].metric"), row.metric, "a metric");
                continue;
            };
            if row.output_positive && !matches!(metric, Metric::Power | Metric::Reactive) {
                let place = format!("measurements[{index}].output_positive");
                self.problem(&place, "true", "nothing: only POWER and REACTIVE have a sign");
            }
            let (is_turned, is_ct_scaled) = (row.output_positive, row.ct_scaled);
            measured.push(Measured { metric, point: row.point.clone(), is_turned, is_ct_scaled });
        }
        measured
    }

    fn commands(&mut self, wire: &DeviceControl) -> Commands {
        let is_percent = match PowerUnit::try_from(wire.unit) {
            Ok(PowerUnit::Percent) => true,
            Ok(PowerUnit::Watts | PowerUnit::Unspecified) => false,
            Err(_) => {
                self.problem("control.unit", wire.unit, "WATTS or PERCENT");
                false
            }
        };
        if !(0..=WATCHDOG_S_MAX).contains(&wire.reverts_after_s) {
            self.problem("control.reverts_after_s", wire.reverts_after_s, "0..86400");
        }
        if !wire.revert_power.is_empty() && wire.reverts_to_w.is_some() {
            self.problem("control.reverts_to_w", "a value", "nothing beside revert_power");
        }
        let is_timed = !wire.revert_timer.is_empty() || wire.reverts_after_s > 0;
        if (!wire.revert_power.is_empty() || wire.reverts_to_w.is_some()) && !is_timed {
            self.problem("control.revert_timer", "nothing", "the point of the timer, or reverts_after_s");
        }
        let values = |rows: &[RegisterValue]| rows.iter().map(|row| (row.point.clone(), row.value)).collect();
        let states = |rows: &[RegisterState]| rows.iter().map(|row| (row.point.clone(), row.values.clone())).collect();
        Commands {
            power: wire.power.clone(),
            is_percent,
            is_turned: wire.output_positive,
            rating: text(&wire.rating_point),
            before: values(&wire.before),
            after: values(&wire.after),
            remote: states(&wire.remote),
            running: states(&wire.running),
            heartbeat: wire.heartbeat.as_ref().and_then(|found| self.heartbeat(found)),
            revert_power: text(&wire.revert_power),
            revert_timer: text(&wire.revert_timer),
            reverts_to: wire.reverts_to_w.map(Watts::new),
            reverts_after: (wire.reverts_after_s > 0).then(|| Micros::from_millis(wire.reverts_after_s * 1_000)),
        }
    }

    fn heartbeat(&mut self, wire: &Heartbeat) -> Option<(String, Micros, Beat)> {
        if !BEAT_MS.contains(&wire.period_ms) {
            self.problem("control.heartbeat.period_ms", wire.period_ms, "100..60000");
        }
        let beat = match HeartbeatKind::try_from(wire.kind) {
            Ok(HeartbeatKind::Increment | HeartbeatKind::Unspecified) => Beat::Increment,
            Ok(HeartbeatKind::Toggle) => Beat::Toggle,
            Ok(HeartbeatKind::Constant) => Beat::Constant(wire.value),
            Err(_) => {
                self.problem("control.heartbeat.kind", wire.kind, "INCREMENT, TOGGLE or CONSTANT");
                return None;
            }
        };
        Some((wire.point.clone(), Micros::from_millis(wire.period_ms), beat))
    }
}

fn metric(number: i32) -> Option<Metric> {
    Some(match WireMetric::try_from(number).ok()? {
        WireMetric::Unspecified => return None,
        WireMetric::Power => Metric::Power,
        WireMetric::Reactive => Metric::Reactive,
        WireMetric::CurrentL1 => Metric::Current(0),
        WireMetric::CurrentL2 => Metric::Current(1),
        WireMetric::CurrentL3 => Metric::Current(2),
        WireMetric::VoltageL1 => Metric::Voltage(0),
        WireMetric::VoltageL2 => Metric::Voltage(1),
        WireMetric::VoltageL3 => Metric::Voltage(2),
        WireMetric::Frequency => Metric::Frequency,
        WireMetric::Energy => Metric::Energy,
        WireMetric::Soc => Metric::Soc,
        WireMetric::ChargeMax => Metric::ChargeMax,
        WireMetric::DischargeMax => Metric::DischargeMax,
    })
}

fn text(found: &str) -> Option<String> {
    (!found.is_empty()).then(|| found.to_owned())
}
