//! `core.v1.DeviceUseQuestion` bytes to what the core will ask of such a device, as a part of an admission question.
use std::sync::Arc;

use prost::Message;

use super::core::{
    AdmissionBeat, AdmissionDevice, AdmissionLook, AdmissionNeed, AdmissionSetpoint, DeviceUseQuestion, DeviceUseRole,
};
use super::device::device_table;
use super::poller::table_number;
use crate::error::CoreError;
use crate::modbus::actuator::Fallback;
use crate::modbus::device::{DeviceConfig, Role};
use crate::modbus::planning::admission::{BeatCycle, DeviceQuestion, LookCycle, Search, SetpointCycle};
use crate::modbus::planning::reads::Need;
use crate::modbus::uses::expected;
use crate::units::{count, Micros, Watts};

/// The answer to a question; `CoreError` where the table is wrong or cannot command what the role demands.
pub fn answer_device_use(bytes: &[u8]) -> Result<Vec<u8>, CoreError> {
    let wire = DeviceUseQuestion::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "DeviceUseQuestion", reason: error.to_string() })?;
    let table = wire.table.as_ref().map(|table| device_table(table, None, "")).transpose();
    let fallback = Fallback {
        output: Watts::ZERO,
        after: Micros::new(wire.revert_after_us.max(1_000_000)),
        rating: Watts::new(wire.rating_w.max(1)),
    };
    let config = DeviceConfig {
        unit: 1,
        role: role(&wire, fallback)?,
        period: Micros::new(wire.period_us.max(1_000)),
        timeout: Micros::new(wire.timeout_us.max(0)),
        write_latency: Micros::ZERO,
        table: table.map_err(|problems| CoreError::all(&problems))?.map(Arc::new),
    };
    let expectation = "a table with the registers of its role";
    let found =
        expected(&config).ok_or_else(|| CoreError::site("table".to_owned(), "no such registers", expectation))?;
    Ok(device(&found).encode_to_vec())
}

fn role(wire: &DeviceUseQuestion, fallback: Fallback) -> Result<Role, CoreError> {
    match DeviceUseRole::try_from(wire.role) {
        Ok(DeviceUseRole::Meter) => Ok(Role::Meter),
        Ok(DeviceUseRole::Pv) => Ok(Role::Pv(fallback)),
        Ok(DeviceUseRole::Battery) => Ok(Role::Battery(fallback)),
        Ok(DeviceUseRole::Unspecified) | Err(_) => {
            Err(CoreError::value("role".to_owned(), i64::from(wire.role), "METER, PV or BATTERY".to_owned()))
        }
    }
}

fn device(found: &DeviceQuestion) -> AdmissionDevice {
    AdmissionDevice {
        name: String::new(),
        needs: (1..).zip(&found.needs).map(|(group, need)| wire_need(group, need)).collect(),
        read_registers_max: i64::from(found.registers_max),
        setpoints: found.setpoints.iter().map(setpoint).collect(),
        look: found.look.as_ref().map(look),
        beat: found.beat.as_ref().map(beat),
        search_registers: match found.search {
            Search::Models => 0,
            Search::Registers(registers) => i64::from(registers),
        },
        timeout_us: found.timeout.get(),
    }
}

fn wire_need(group: usize, need: &Need) -> AdmissionNeed {
    AdmissionNeed {
        name: String::new(),
        table: i32::try_from(table_number(need.table)).unwrap_or_default(),
        address: i64::from(need.span.start),
        count: i64::from(need.span.count),
        group: count(group),
        period_us: need.period.get(),
        deadline_us: need.deadline.get(),
    }
}

fn setpoint(cycle: &SetpointCycle) -> AdmissionSetpoint {
    AdmissionSetpoint {
        write_registers: numbers(&cycle.writes),
        proof_registers: numbers(&cycle.proofs),
        interval_us: cycle.interval.get(),
    }
}

fn look(cycle: &LookCycle) -> AdmissionLook {
    AdmissionLook {
        registers: numbers(&cycle.reads),
        interval_us: cycle.interval.get(),
        deadline_us: cycle.allowed.get(),
    }
}

fn beat(cycle: &BeatCycle) -> AdmissionBeat {
    AdmissionBeat {
        registers: i64::from(cycle.registers),
        interval_us: cycle.interval.get(),
        deadline_us: cycle.allowed.get(),
    }
}

fn numbers(registers: &[u16]) -> Vec<i64> {
    registers.iter().map(|each| i64::from(*each)).collect()
}
