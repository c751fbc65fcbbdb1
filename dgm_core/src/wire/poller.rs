//! `core.v1.PollerConfig` bytes to the lines of a fleet; every refusal names the line, the device and the read.
use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::core::{PollerConfig, PollerDevice, PollerLine, PollerRead, RegisterMap, RegisterTable};
use super::link::Link;
use super::registers::register_map;
use crate::error::CoreError;
use crate::fleet::FleetLine;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::mapped::{reads_of, Mapped};
use crate::modbus::pdu::{Request, Span, Table};
use crate::modbus::planning::cost::LineCost;
use crate::modbus::polled::{PolledConfig, ReadConfig, UnitConfig};
use crate::modbus::session::{SessionConfig, Transport};
use crate::site::{within, SPAN_MS_MAX};
use crate::units::{count, Micros, Nanos};

/// Most lines of one poller.
const LINES_MAX: usize = 16_384;
/// Most reads of one poller.
const READS_MAX: usize = 262_144;
/// Most reads of one line: it looks at all of them to find whose turn it is.
const LINE_READS_MAX: i64 = 4_096;
const WINDOW_MAX: i64 = 64;
const GAP_US_MAX: i64 = 10_000_000;
const TIMEOUT_MS: i64 = 500;
const AGE_MAX_MS: i64 = 1_000;

/// Decodes and checks a poller's configuration.
pub fn decode_poller(bytes: &[u8]) -> Result<Vec<FleetLine>, CoreError> {
    let config = PollerConfig::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "PollerConfig", reason: error.to_string() })?;
    within("lines", count(config.lines.len()), 1, count(LINES_MAX))?;
    let mut maps = Maps::default();
    let lines = config.lines.iter().enumerate().map(|(index, wire)| line(&format!("lines[{index}]"), wire, &mut maps));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let reads = lines.iter().flat_map(|line| &line.units).map(|unit| unit.reads.len()).sum::<usize>();
    within("reads of all lines", count(reads), 0, count(READS_MAX))?;
    let mut ports = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        if let Endpoint::Serial { path, .. } = &line.endpoint {
            if !ports.insert(path) {
                let expected = "one line for all devices of a serial port";
                return Err(CoreError::site(format!("lines[{index}].serial.path"), path, expected));
            }
        }
    }
    Ok(lines)
}

/// The reads of a device, and its points in them.
type Planned = (Vec<ReadConfig>, Mapped);

/// Maps that were planned already, by their bytes and the cost of the line: a fleet is many devices of a few types.
#[derive(Default)]
struct Maps(BTreeMap<(Vec<u8>, [Nanos; 2]), Planned>);

fn line(place: &str, wire: &PollerLine, maps: &mut Maps) -> Result<FleetLine, CoreError> {
    within(&format!("{place}.window_max"), wire.window_max, 0, WINDOW_MAX)?;
    within(&format!("{place}.gap_us"), wire.gap_us, 0, GAP_US_MAX)?;
    within(&format!("{place}.timeout_ms"), wire.timeout_ms, 0, SPAN_MS_MAX)?;
    let found = Link { host: &wire.host, port: wire.port, serial: wire.serial.as_ref(), tls: wire.tls.as_ref() };
    let (endpoint, transport) = found.decode(place, u16::try_from(wire.window_max.max(1)).unwrap_or(1))?;
    let unit = |(at, wire)| unit(&format!("{place}.devices[{at}]"), wire, transport, maps);
    let units = wire.devices.iter().enumerate().map(unit).collect::<Result<Vec<_>, _>>()?;
    let reads = units.iter().map(|unit| unit.reads.len()).sum::<usize>();
    within(&format!("{place}: reads of all devices"), count(reads), 0, LINE_READS_MAX)?;
    let session = SessionConfig { transport, gap: Micros::new(wire.gap_us) };
    Ok(FleetLine { endpoint, session, timeout: Micros::from_millis(or(wire.timeout_ms, TIMEOUT_MS)), units })
}

fn unit(place: &str, wire: &PollerDevice, transport: Transport, maps: &mut Maps) -> Result<UnitConfig, CoreError> {
    let (low, high) = if matches!(transport, Transport::Rtu(_)) { (1, 247) } else { (0, 255) };
    within(&format!("{place}.unit_id"), wire.unit_id, low, high)?;
    let (reads, points) = match &wire.map {
        Some(_) if !wire.reads.is_empty() => {
            return Err(CoreError::site(format!("{place}.map"), "a register map beside reads", "one of them"));
        }
        Some(map) => maps.planned(place, map, PolledConfig::new(transport, Micros::ZERO).cost)?,
        None => {
            let read = |(at, wire)| read(&format!("{place}.reads[{at}]"), wire);
            (wire.reads.iter().enumerate().map(read).collect::<Result<_, _>>()?, Mapped::nothing())
        }
    };
    Ok(UnitConfig { unit: u8::try_from(wire.unit_id).unwrap_or_default(), reads, points })
}

impl Maps {
    fn planned(&mut self, place: &str, wire: &RegisterMap, cost: LineCost) -> Result<Planned, CoreError> {
        let key = (wire.encode_to_vec(), [cost.fixed(), cost.per_register()]);
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let map = register_map(wire, &format!("{place}.map.")).map_err(|problems| CoreError::all(&problems))?;
        let expected = "a point that one read can bring";
        let reads = reads_of(&map, cost);
        let reads = reads.map_err(|point| CoreError::site(format!("{place}.map"), point, expected))?;
        Ok(self.0.entry(key).or_insert(reads).clone())
    }
}

fn read(place: &str, wire: &PollerRead) -> Result<ReadConfig, CoreError> {
    let table = table(&format!("{place}.table"), wire.table)?;
    within(&format!("{place}.address"), wire.address, 0, 65_535)?;
    within(&format!("{place}.count"), wire.count, 1, i64::from(table.read_max()))?;
    let short = |number: i64| u16::try_from(number).unwrap_or_default();
    let span = Span { start: short(wire.address), count: short(wire.count) };
    if Request::read(table, span).is_err() {
        let expected = "a run that ends at address 65535 or before";
        return Err(CoreError::value(format!("{place}.count"), wire.count, expected));
    }
    within(&format!("{place}.period_ms"), wire.period_ms, 0, SPAN_MS_MAX)?;
    within(&format!("{place}.phase_ms"), wire.phase_ms, 0, wire.period_ms)?;
    within(&format!("{place}.age_max_ms"), wire.age_max_ms, 0, SPAN_MS_MAX)?;
    let age_max = or(wire.age_max_ms, wire.period_ms.saturating_mul(3).max(AGE_MAX_MS));
    let (period, phase) = (Micros::from_millis(wire.period_ms), Micros::from_millis(wire.phase_ms));
    Ok(ReadConfig { table, span, period, phase, age_max: Micros::from_millis(age_max) })
}

/// The table of a number of `core.v1.RegisterTable`.
pub(super) fn table(place: &str, number: i32) -> Result<Table, CoreError> {
    match RegisterTable::try_from(number) {
        Ok(RegisterTable::Holding) => Ok(Table::Holding),
        Ok(RegisterTable::Input) => Ok(Table::Input),
        Ok(RegisterTable::Coil) => Ok(Table::Coil),
        Ok(RegisterTable::DiscreteInput) => Ok(Table::DiscreteInput),
        Ok(RegisterTable::Unspecified) | Err(_) => {
            Err(CoreError::value(place, i64::from(number), "a number of core.v1.RegisterTable, 1 or more"))
        }
    }
}

/// Number of a table in `core.v1.RegisterTable`.
pub fn table_number(table: Table) -> i64 {
    let number = match table {
        Table::Holding => RegisterTable::Holding,
        Table::Input => RegisterTable::Input,
        Table::Coil => RegisterTable::Coil,
        Table::DiscreteInput => RegisterTable::DiscreteInput,
    };
    i64::from(i32::from(number))
}

/// A number, or what its absence stands for.
fn or(number: i64, absent: i64) -> i64 {
    if number == 0 {
        absent
    } else {
        number
    }
}
