//! `RegisterMap` bytes to a checked map: each point by itself here, the rules between points in `modbus::map`.
//!
//! All that is wrong is told at once; a path is that of the message's fields, so that whoever wrote it in YAML finds the
//! line.

use prost::Message;

use super::core::{
    Point as WirePoint, PointType, RegisterMap as WireMap, RegisterTable, WordOrder, WriteRule as WireRule,
};
use crate::error::CoreError;
use crate::modbus::map::{Content, Point, RegisterMap, WriteRule};
use crate::modbus::number::{Gain, Scale, GAIN_MAX};
use crate::modbus::pdu::{Span, Table, READ_MAX, WRITE_MAX};
use crate::modbus::point::{Absent, Kind, ScaleAt, Slot};
use crate::units::Millis;

const PERIOD_MS: i64 = 1_000;
const SPAN_MS_MAX: i64 = 86_400_000;

/// The map that `RegisterMap` bytes describe, or all that is wrong with it.
pub fn decode_register_map(bytes: &[u8]) -> Result<RegisterMap, CoreError> {
    let map = WireMap::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "RegisterMap", reason: error.to_string() })?;
    register_map(&map, "").map_err(|problems| CoreError::all(&problems))
}

/// Checks a map; `path` stands before every place of a problem.
pub(super) fn register_map(wire: &WireMap, path: &str) -> Result<RegisterMap, Vec<CoreError>> {
    let mut reader = Reader { path: path.to_owned(), problems: Vec::new() };
    let read_max = reader.within("read_registers_max", wire.read_registers_max, 0, i64::from(READ_MAX));
    let write_max = reader.within("write_registers_max", wire.write_registers_max, 0, i64::from(WRITE_MAX));
    let period_ms = reader.within("period_ms", wire.period_ms, 0, SPAN_MS_MAX);
    let period_ms = if period_ms == 0 { PERIOD_MS } else { period_ms };
    let points: Vec<Point> = wire
        .points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| reader.point(point, &wire.points, index, period_ms))
        .collect();
    if points.len() < wire.points.len() {
        return Err(reader.problems);
    }
    let limit = |found: i64, most: u16| u16::try_from(found).ok().filter(|found| *found > 0).unwrap_or(most);
    let limits = (limit(read_max, READ_MAX), limit(write_max, WRITE_MAX));
    match RegisterMap::new(wire.name.clone(), points, limits, path) {
        Ok(map) if reader.problems.is_empty() => Ok(map),
        Ok(_) => Err(reader.problems),
        Err(problems) => Err([reader.problems, problems].concat()),
    }
}

/// Reads fields and collects what is wrong with them.
struct Reader {
    path: String,
    problems: Vec<CoreError>,
}

impl Reader {
    fn problem(&mut self, place: &str, found: impl std::fmt::Display, expected: impl Into<String>) {
        self.problems.push(CoreError::site(format!("{}{place}", self.path), found, expected));
    }

    /// The value, or `low` where it is out of range.
    fn within(&mut self, place: &str, found: i64, low: i64, high: i64) -> i64 {
        if (low..=high).contains(&found) {
            return found;
        }
        self.problem(place, found, format!("{low}..{high}"));
        low
    }

    /// `None` where the point is so wrong that nothing can be said of it beside others.
    fn point(&mut self, wire: &WirePoint, all: &[WirePoint], index: usize, period_ms: i64) -> Option<Point> {
        let before = self.problems.len();
        let place = |field: &str| format!("points[{index}].{field}");
        if wire.name.is_empty() {
            self.problem(&place("name"), "nothing", "a name of its own");
        }
        let table = table_of(wire.table);
        if table.is_none() {
            self.problem(&place("table"), wire.table, "HOLDING, INPUT, COIL or DISCRETE_INPUT");
        }
        let address = u16::try_from(self.within(&place("address"), wire.address, 0, 65_535)).ok()?;
        let period_ms = match self.within(&place("period_ms"), wire.period_ms, 0, SPAN_MS_MAX) {
            0 => period_ms,
            own => own,
        };
        let content = match PointType::try_from(wire.r#type) {
            Ok(PointType::String) => self.text(wire, table?, address, &place),
            _ => self.number(wire, all, table?, address, &place).map(Content::Number),
        };
        let write = match (&wire.write, &content) {
            (Some(rule), Some(content)) => self.write_rule(rule, content, &place),
            _ => None,
        };
        let is_good = self.problems.len() == before;
        let point = Point { name: wire.name.clone(), content: content?, period: Millis::new(period_ms), write };
        if is_good && !point.span().is_addressable() {
            let found = format!("{} at {address}, {} registers", point.name, point.span().count);
            self.problem(&place("address"), found, "registers up to 65535");
        }
        (self.problems.len() == before).then_some(point)
    }

    fn text(
        &mut self,
        wire: &WirePoint,
        table: Table,
        address: u16,
        place: &dyn Fn(&str) -> String,
    ) -> Option<Content> {
        if table.is_bits() {
            self.problem(&place("type"), "STRING", "BIT in a table of bits");
            return None;
        }
        let length = self.within(&place("length"), wire.length, 1, i64::from(READ_MAX));
        for (field, is_set) in [("scale_point", !wire.scale_point.is_empty()), ("absent", !wire.absent.is_empty())] {
            if is_set {
                self.problem(&place(field), "a value", "nothing: the point is a STRING");
            }
        }
        if wire.write.is_some() {
            self.problem(&place("write"), "a rule", "nothing: a STRING is never written");
        }
        Some(Content::Text(table, Span { start: address, count: u16::try_from(length).ok()? }))
    }

    fn number(
        &mut self,
        wire: &WirePoint,
        all: &[WirePoint],
        table: Table,
        address: u16,
        place: &dyn Fn(&str) -> String,
    ) -> Option<Slot> {
        let kind = self.kind(wire, table, place)?;
        let low_first = match WordOrder::try_from(wire.word_order) {
            Ok(WordOrder::LowFirst) => true,
            Ok(WordOrder::HighFirst | WordOrder::Unspecified) => false,
            Err(_) => {
                self.problem(&place("word_order"), wire.word_order, "HIGH_FIRST or LOW_FIRST");
                false
            }
        };
        let gain = Gain {
            multiplier: or_one(self.within(&place("multiplier"), wire.multiplier, -GAIN_MAX, GAIN_MAX)),
            divisor: or_one(self.within(&place("divisor"), wire.divisor, 0, GAIN_MAX)),
        };
        let scale = self.scale(wire, all, table, place);
        let absent = self.absent(wire, kind, place);
        Some(Slot { table, address, kind, low_first, absent, scale, gain })
    }

    fn kind(&mut self, wire: &WirePoint, table: Table, place: &dyn Fn(&str) -> String) -> Option<Kind> {
        let kind = match PointType::try_from(wire.r#type) {
            Ok(PointType::U16) => Some(Kind::U16),
            Ok(PointType::I16) => Some(Kind::I16),
            Ok(PointType::U32) => Some(Kind::U32),
            Ok(PointType::I32) => Some(Kind::I32),
            Ok(PointType::U64) => Some(Kind::U64),
            Ok(PointType::I64) => Some(Kind::I64),
            Ok(PointType::F32) => Some(Kind::F32),
            Ok(PointType::F64) => Some(Kind::F64),
            Ok(PointType::Bit) => {
                let highest = if table.is_bits() { 0 } else { 15 };
                u8::try_from(self.within(&place("bit"), wire.bit, 0, highest)).ok().map(Kind::Bit)
            }
            Ok(PointType::String | PointType::Unspecified) | Err(_) => None,
        };
        let kind = match kind {
            Some(kind) if !table.is_bits() || matches!(kind, Kind::Bit(_)) => kind,
            Some(_) => {
                self.problem(&place("type"), "a type of registers", "BIT in a table of bits");
                return None;
            }
            None => {
                let expected = "U16, I16, U32, I32, U64, I64, F32, F64, STRING or BIT";
                self.problem(&place("type"), wire.r#type, expected);
                return None;
            }
        };
        if !matches!(kind, Kind::Bit(_)) && wire.bit != 0 {
            self.problem(&place("bit"), wire.bit, "nothing: only a BIT has one");
        }
        if wire.length != 0 {
            self.problem(&place("length"), wire.length, "nothing: only a STRING has one");
        }
        Some(kind)
    }

    /// The register of the scale factor: an I16 of the same table, most significant register first like every I16.
    fn scale(&mut self, wire: &WirePoint, all: &[WirePoint], table: Table, place: &dyn Fn(&str) -> String) -> ScaleAt {
        let none = ScaleAt::Fixed(Scale::ONE);
        if wire.scale_point.is_empty() {
            return none;
        }
        let found = all.iter().find(|other| other.name == wire.scale_point);
        let is_factor = |other: &&WirePoint| {
            PointType::try_from(other.r#type) == Ok(PointType::I16)
                && table_of(other.table) == Some(table)
                && other.scale_point.is_empty()
        };
        match found.filter(is_factor).and_then(|other| u16::try_from(other.address).ok()) {
            Some(address) => ScaleAt::Register(address),
            None => {
                let found = match found {
                    Some(_) => format!("{:?}, which is no power of ten", wire.scale_point),
                    None => format!("{:?}, which is no point", wire.scale_point),
                };
                self.problem(
                    &place("scale_point"),
                    found,
                    "the name of an I16 point of the same table without a scale_point",
                );
                none
            }
        }
    }

    fn absent(&mut self, wire: &WirePoint, kind: Kind, place: &dyn Fn(&str) -> String) -> Absent {
        if wire.absent.is_empty() {
            return Absent::Nothing;
        }
        for (at, raw) in wire.absent.iter().enumerate() {
            match kind.range() {
                None => self.problem(&place("absent"), raw, "nothing: of a float, only not-a-number is absent"),
                Some((low, high)) if !(low..=high).contains(&i128::from(*raw)) => {
                    self.problem(
                        &place(&format!("absent[{at}]")),
                        raw,
                        format!("a raw value of its type, {low}..{high}"),
                    );
                }
                Some(_) => {}
            }
        }
        Absent::Listed(wire.absent.as_slice().into())
    }

    fn write_rule(&mut self, rule: &WireRule, content: &Content, place: &dyn Fn(&str) -> String) -> Option<WriteRule> {
        let Content::Number(slot) = content else { return None };
        if matches!(slot.table, Table::Input | Table::DiscreteInput) {
            self.problem(&place("write"), "a rule", "nothing: this table cannot be written");
        }
        let place = |field: &str| place(&format!("write.{field}"));
        let (low, high) = slot.kind.range().unwrap_or((i128::from(i64::MIN), i128::from(i64::MAX)));
        if rule.low > rule.high || i128::from(rule.low) < low || i128::from(rule.high) > high {
            let found = format!("low {}, high {}", rule.low, rule.high);
            self.problem(&place("low"), found, format!("low <= high, both within its type, {low}..{high}"));
        }
        if rule.fallback.is_some_and(|fallback| !(rule.low..=rule.high).contains(&fallback)) {
            let found = rule.fallback.unwrap_or_default();
            self.problem(&place("fallback"), found, format!("within its range, {}..{}", rule.low, rule.high));
        }
        if rule.roles.iter().any(String::is_empty) {
            self.problem(&place("roles"), "an empty name", "names of roles; none at all: any client");
        }
        let absent = match (&slot.absent, rule.allow_absent) {
            (_, false) => None,
            (Absent::Listed(raw), true) => raw.first().copied(),
            (Absent::One(raw), true) => i64::try_from(*raw).ok(),
            (Absent::Nothing, true) => None,
        };
        if rule.allow_absent && absent.is_none() {
            self.problem(&place("allow_absent"), "true", "absent of the point: which raw value means it");
        }
        let span = |found: i64| (found > 0).then(|| Millis::new(found));
        let lease_ms = self.within(&place("lease_ms"), rule.lease_ms, 0, SPAN_MS_MAX);
        let min_interval_ms = self.within(&place("min_interval_ms"), rule.min_interval_ms, 0, SPAN_MS_MAX);
        Some(WriteRule {
            low: rule.low,
            high: rule.high,
            lease: span(lease_ms),
            fallback: rule.fallback,
            roles: rule.roles.clone(),
            min_interval: span(min_interval_ms),
            absent,
        })
    }
}

fn table_of(number: i32) -> Option<Table> {
    match RegisterTable::try_from(number) {
        Ok(RegisterTable::Holding) => Some(Table::Holding),
        Ok(RegisterTable::Input) => Some(Table::Input),
        Ok(RegisterTable::Coil) => Some(Table::Coil),
        Ok(RegisterTable::DiscreteInput) => Some(Table::DiscreteInput),
        Ok(RegisterTable::Unspecified) | Err(_) => None,
    }
}

fn or_one(found: i64) -> i64 {
    if found == 0 {
        1
    } else {
        found
    }
}

#[cfg(test)]
#[path = "registers_tests.rs"]
mod tests;
