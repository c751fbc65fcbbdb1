//! `core.v1.AdmissionQuestion` bytes to lines and back: what `dgm check` asks before anything starts.

use std::num::NonZeroU32;

use prost::Message;

use super::core::{
    AdmissionAnswer, AdmissionBeat, AdmissionDevice, AdmissionGap, AdmissionLine, AdmissionLook, AdmissionNeed,
    AdmissionQuestion, AdmissionRead, AdmissionRow, AdmissionSetpoint,
};
use super::poller::{table, table_number};
use crate::error::CoreError;
use crate::modbus::pdu::{Span, READ_MAX, WRITE_MAX};
use crate::modbus::planning::admission::{
    examine, BeatCycle, DeviceQuestion, LineAnswer, LineQuestion, LookCycle, Search, SetpointCycle,
};
use crate::modbus::planning::cost::{LineCost, SerialSpeed, ANSWER_ASSUMED, ROUND_TRIP_ASSUMED};
use crate::modbus::planning::demand::Overrun;
use crate::modbus::planning::reads::{Group, Need, Shortcoming};
use crate::units::{count, Micros};

/// Longest span in a question: an hour.
const SPAN_US_MAX: i64 = 3_600_000_000;
/// Shortest period and interval.
const PERIOD_US_MIN: i64 = 1_000;

/// The answer to a question, line by line.
pub fn answer_admission(bytes: &[u8]) -> Result<Vec<u8>, CoreError> {
    let question = AdmissionQuestion::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "AdmissionQuestion", reason: error.to_string() })?;
    let rows = question.lines.iter().map(|wire| {
        let line = line(wire)?;
        Ok(row(wire, &line, &examine(&line)))
    });
    Ok(AdmissionAnswer { lines: rows.collect::<Result<_, CoreError>>()? }.encode_to_vec())
}

fn line(wire: &AdmissionLine) -> Result<LineQuestion, CoreError> {
    let place = |field: &str| format!("line {}: {field}", wire.name);
    let round_trip = match within(wire.round_trip_us, (0, SPAN_US_MAX), || place("round_trip_us"))? {
        0 if wire.baud > 0 => ANSWER_ASSUMED,
        0 => ROUND_TRIP_ASSUMED,
        found => Micros::new(found),
    };
    let cost = match wire.baud {
        0 => LineCost::tcp(round_trip),
        baud => {
            let baud = within(baud, (1, i64::from(u32::MAX)), || place("baud"))?;
            let bits = within(wire.bits_per_character, (10, 12), || place("bits_per_character"))?;
            let baud = u32::try_from(baud).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
            let speed = SerialSpeed { baud, bits_per_character: u8::try_from(bits).unwrap_or(u8::MAX) };
            LineCost::serial(speed, round_trip)
        }
    };
    Ok(LineQuestion {
        cost,
        write_latency: Micros::new(within(wire.write_latency_us, (0, SPAN_US_MAX), || place("write_latency_us"))?),
        devices: wire.devices.iter().map(device).collect::<Result<_, _>>()?,
    })
}

fn device(wire: &AdmissionDevice) -> Result<DeviceQuestion, CoreError> {
    let place = |field: &str| format!("device {}: {field}", wire.name);
    let registers_max = registers(wire.read_registers_max, READ_MAX, || place("read_registers_max"))?;
    let setpoints = wire.setpoints.iter().map(|found| setpoint(found, &place)).collect::<Result<_, _>>()?;
    let need = |found: &AdmissionNeed| need(found, &wire.name);
    Ok(DeviceQuestion {
        needs: wire.needs.iter().map(need).collect::<Result<_, _>>()?,
        registers_max,
        setpoints,
        look: wire.look.as_ref().map(|found| look(found, &place)).transpose()?,
        beat: wire.beat.as_ref().map(|found| beat(found, &place)).transpose()?,
        search: match wire.search_registers {
            0 => Search::Models,
            found => Search::Registers(registers(found, READ_MAX, || place("search_registers"))?),
        },
        timeout: Micros::new(within(wire.timeout_us, (0, SPAN_US_MAX), || place("timeout_us"))?),
    })
}

fn look(wire: &AdmissionLook, place: &impl Fn(&str) -> String) -> Result<LookCycle, CoreError> {
    let reads = wire.registers.iter().map(|each| registers(*each, READ_MAX, || place("look.registers")));
    Ok(LookCycle {
        reads: reads.collect::<Result<_, _>>()?,
        interval: span(wire.interval_us, || place("look.interval_us"))?,
        allowed: span(wire.deadline_us, || place("look.deadline_us"))?,
    })
}

fn beat(wire: &AdmissionBeat, place: &impl Fn(&str) -> String) -> Result<BeatCycle, CoreError> {
    Ok(BeatCycle {
        registers: registers(wire.registers, WRITE_MAX, || place("beat.registers"))?,
        interval: span(wire.interval_us, || place("beat.interval_us"))?,
        allowed: span(wire.deadline_us, || place("beat.deadline_us"))?,
    })
}

/// A period or a deadline.
fn span(found: i64, place: impl Fn() -> String) -> Result<Micros, CoreError> {
    within(found, (PERIOD_US_MIN, SPAN_US_MAX), place).map(Micros::new)
}

fn need(wire: &AdmissionNeed, device: &str) -> Result<Need, CoreError> {
    let place = |field: &str| format!("device {device}: {}: {field}", wire.name);
    let table = table(&place("table"), wire.table)?;
    let start = within(wire.address, (0, 65_535), || place("address"))?;
    let period = Micros::new(within(wire.period_us, (PERIOD_US_MIN, SPAN_US_MAX), || place("period_us"))?);
    let deadline = within(wire.deadline_us, (0, SPAN_US_MAX), || place("deadline_us"))?;
    let group = within(wire.group, (0, i64::from(u32::MAX)), || place("group"))?;
    Ok(Need {
        table,
        span: Span {
            start: u16::try_from(start).unwrap_or(u16::MAX),
            count: registers(wire.count, table.read_max(), || place("count"))?,
        },
        group: u32::try_from(group).ok().filter(|group| *group > 0).map(Group),
        period,
        deadline: if deadline == 0 { period } else { Micros::new(deadline) },
    })
}

fn setpoint(wire: &AdmissionSetpoint, place: &impl Fn(&str) -> String) -> Result<SetpointCycle, CoreError> {
    let all = |found: &[i64], most: u16, field: &str| {
        found.iter().map(|each| registers(*each, most, || place(field))).collect::<Result<Vec<_>, _>>()
    };
    let interval = within(wire.interval_us, (PERIOD_US_MIN, SPAN_US_MAX), || place("setpoint.interval_us"))?;
    Ok(SetpointCycle {
        writes: all(&wire.write_registers, WRITE_MAX, "setpoint.write_registers")?,
        proofs: all(&wire.proof_registers, READ_MAX, "setpoint.proof_registers")?,
        interval: Micros::new(interval),
    })
}

fn registers(found: i64, most: u16, place: impl Fn() -> String) -> Result<u16, CoreError> {
    within(found, (1, i64::from(most)), place).map(|found| u16::try_from(found).unwrap_or(most))
}

fn within(found: i64, (low, high): (i64, i64), place: impl Fn() -> String) -> Result<i64, CoreError> {
    if (low..=high).contains(&found) {
        Ok(found)
    } else {
        Err(CoreError::value(place(), found, format!("{low}..={high}")))
    }
}

fn row(wire: &AdmissionLine, line: &LineQuestion, answer: &LineAnswer) -> AdmissionRow {
    let mut row = AdmissionRow {
        name: wire.name.clone(),
        holds: answer.holds(line.write_latency),
        reads_per_s_milli: answer.reads.iter().map(|(_, read, _)| 1_000_000_000 / read.period.get().max(1)).sum(),
        load_permille: answer.load.permille().get(),
        write_wait_us: answer.write_wait.map(Micros::get),
        write_latency_us: line.write_latency.get(),
        stretch_permille: answer.stretch.map(|stretch| stretch.get()),
        look_first_us: answer.look_first.map(Micros::get),
        silence_us: answer.silence.map(|silence| silence.timeout.get()),
        silence_late_us: answer.silence.and_then(|silence| silence.late).map(Micros::get),
        blocking_us: answer.write_wait.map_or(0, |_| line.blocking_time().get()),
        ..AdmissionRow::default()
    };
    match answer.overrun {
        None => {}
        Some(Overrun::Overloaded { over }) => row.over_permille = over.get(),
        Some(Overrun::Late { window, over }) => (row.window_us, row.over_us) = (window.get(), over.get()),
        Some(Overrun::Unproved) => row.unproved = true,
    }
    row.reads = answer
        .reads
        .iter()
        .map(|(device, read, cost)| AdmissionRead {
            device: count(*device),
            table: i32::try_from(table_number(read.table)).unwrap_or_default(),
            address: i64::from(read.span.start),
            count: i64::from(read.span.count),
            period_us: read.period.get(),
            cost_us: cost.to_micros().get(),
        })
        .collect();
    row.gaps = answer.shortcomings.iter().map(|(device, need, why)| gap(*device, *need, why)).collect();
    row
}

fn gap(device: usize, need: usize, why: &Shortcoming) -> AdmissionGap {
    let gap = AdmissionGap { device: count(device), need: count(need), ..AdmissionGap::default() };
    match why {
        Shortcoming::TooLong { registers_max, .. } => AdmissionGap { registers_max: i64::from(*registers_max), ..gap },
        Shortcoming::Blocks { cost } => AdmissionGap { cost_us: cost.to_micros().get(), ..gap },
        Shortcoming::Impossible | Shortcoming::Refused => gap,
    }
}
