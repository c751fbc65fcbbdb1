//! A register map that makes sense: what the master reads and writes of a device, and what a facade serves.
//!
//! ```text
//! points (each checked by itself: `wire`) ── RegisterMap::new ──> no name twice, no register in two points,
//!                                                                  scale factors there and within one read
//! ```
//!
//! A map that exists is valid. All that is wrong is told at once, by path, name and address. What the values mean for an
//! asset is not known here: `table` says that.
use std::collections::BTreeMap;

use super::pdu::{Span, Table};
use super::point::{Kind, Slot};
use crate::error::CoreError;
use crate::units::Millis;

/// What stands at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A number or a bit.
    Number(Slot),
    /// Text in this table, UTF-8 padded with zeros.
    Text(Table, Span),
}

/// One value of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Unique within the map.
    pub name: String,
    /// Where and how it stands.
    pub content: Content,
    /// How often the master reads it.
    pub period: Millis,
    /// Who may write it; `None`: nobody.
    pub write: Option<WriteRule>,
}

/// Who may write a value and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRule {
    /// Lowest raw value.
    pub low: i64,
    /// Highest raw value.
    pub high: i64,
    /// It returns to the fallback unless rewritten in time; `None`: it holds.
    pub lease: Option<Millis>,
    /// Raw value; `None`: what the register held when it was declared.
    pub fallback: Option<i64>,
    /// Modbus/TCP Security roles that may write it; empty: any client.
    pub roles: Vec<String>,
    /// Shortest time between two accepted writes of one client; `None`: none.
    pub min_interval: Option<Millis>,
    /// Raw value outside the range that may be written too: "nothing is asked".
    pub absent: Option<i64>,
}

/// The registers of one device type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterMap {
    name: String,
    points: Vec<Point>,
    read_max: u16,
    write_max: u16,
}

impl Point {
    /// Table it stands in.
    pub fn table(&self) -> Table {
        match &self.content {
            Content::Number(slot) => slot.table,
            Content::Text(table, _) => *table,
        }
    }

    /// Its own registers or bits, without those of its scale factor.
    pub fn span(&self) -> Span {
        match &self.content {
            Content::Number(slot) => Span { start: slot.address, count: slot.kind.registers() },
            Content::Text(_, span) => *span,
        }
    }

    /// The number; `None` for text.
    pub fn slot(&self) -> Option<&Slot> {
        match &self.content {
            Content::Number(slot) => Some(slot),
            Content::Text(..) => None,
        }
    }

    /// The bit of a register that it is.
    fn bit(&self) -> Option<u8> {
        match self.slot()?.kind {
            Kind::Bit(bit) if !self.table().is_bits() => Some(bit),
            _ => None,
        }
    }

    /// For messages: name, table and addresses.
    pub fn place(&self) -> String {
        let Span { start, count } = self.span();
        let end = u32::from(start) + u32::from(count) - 1;
        let table = match self.table() {
            Table::Holding => "HOLDING",
            Table::Input => "INPUT",
            Table::Coil => "COIL",
            Table::DiscreteInput => "DISCRETE_INPUT",
        };
        let at = if end > u32::from(start) { format!("{start}..{end}") } else { start.to_string() };
        format!("{} at {table} {at}", self.name)
    }
}

impl RegisterMap {
    /// A map of points that are valid each by itself; `path` is where they stand, for the messages.
    pub fn new(
        name: String,
        points: Vec<Point>,
        (read_max, write_max): (u16, u16),
        path: &str,
    ) -> Result<Self, Vec<CoreError>> {
        let mut problems = Vec::new();
        if points.is_empty() {
            problems.push(CoreError::site(format!("{path}points"), "nothing", "at least one point"));
        }
        names(&points, path, &mut problems);
        overlaps(&points, path, &mut problems);
        for (index, point) in points.iter().enumerate() {
            let reach = point.slot().map_or_else(|| point.span(), Slot::span);
            if reach.count > read_max {
                let found = format!("{}, {} registers with its scale factor", point.place(), reach.count);
                let expected = format!("at most {read_max}, so that one read brings them (read_registers_max)");
                problems.push(CoreError::site(format!("{path}points[{index}].address"), found, expected));
            }
        }
        let map = Self { name, points, read_max, write_max };
        problems.is_empty().then_some(map).ok_or(problems)
    }

    /// What devices of this type are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In the order of the description.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The point of a name.
    pub fn find(&self, name: &str) -> Option<&Point> {
        self.points.iter().find(|point| point.name == name)
    }

    /// Most registers of one read.
    pub fn read_max(&self) -> u16 {
        self.read_max
    }

    /// Most registers of one write.
    pub fn write_max(&self) -> u16 {
        self.write_max
    }
}

fn names(points: &[Point], path: &str, problems: &mut Vec<CoreError>) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, point) in points.iter().enumerate() {
        if let Some(held) = first.get(point.name.as_str()) {
            let found = format!("duplicate name {:?}, first at {path}points[{held}]", point.name);
            problems.push(CoreError::site(format!("{path}points[{index}].name"), found, "one point of each name"));
        } else {
            first.insert(&point.name, index);
        }
    }
}

/// Two bits of one register do not overlap; anything else that shares a register does.
fn overlaps(points: &[Point], path: &str, problems: &mut Vec<CoreError>) {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|index| points.get(*index).map(|point| (point.table(), point.span(), point.bit())));
    // The point that reaches farthest of those before, in the same table.
    let mut farthest: Option<usize> = None;
    for index in order {
        let Some(point) = points.get(index) else { continue };
        let other = farthest.and_then(|held| points.get(held)).filter(|other| other.table() == point.table());
        if let Some(other) = other.filter(|other| end(other) > u32::from(point.span().start)) {
            let bits = other.bit().zip(point.bit());
            if bits.is_none_or(|(one, two)| one == two) {
                let expected = format!("no register in two points: {} is there already", other.place());
                problems.push(CoreError::site(format!("{path}points[{index}].address"), point.place(), expected));
            }
        }
        if other.is_none_or(|other| end(other) <= end(point)) {
            farthest = Some(index);
        }
    }
}

fn end(point: &Point) -> u32 {
    u32::from(point.span().start) + u32::from(point.span().count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::number::{Gain, Scale};
    use super::super::point::{Absent, ScaleAt};
    use super::*;
    use proptest::prelude::*;

    fn point(name: &str, table: Table, address: u16, kind: Kind) -> Point {
        let scale = ScaleAt::Fixed(Scale::ONE);
        let slot = Slot { table, address, kind, low_first: false, absent: Absent::Nothing, scale, gain: Gain::ONE };
        Point { name: name.to_owned(), content: Content::Number(slot), period: Millis::new(1_000), write: None }
    }

    fn refusals(points: Vec<Point>) -> Vec<String> {
        let found = RegisterMap::new("meter".to_owned(), points, (125, 123), "map.");
        found.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_register_in_two_points_is_refused_by_name_and_address() {
        let points = vec![
            point("a", Table::Holding, 10, Kind::U32),
            point("b", Table::Holding, 11, Kind::U16),
            point("c", Table::Input, 11, Kind::U16),
        ];
        assert_eq!(
            refusals(points),
            ["map.points[1].address: found b at HOLDING 11; expected no register in two points: a at HOLDING 10..11 is there already"]
        );
    }

    #[test]
    fn a_long_point_overlaps_more_than_its_neighbour() {
        let long = |name: &str, address| point(name, Table::Holding, address, Kind::U64);
        let points = vec![long("a", 10), point("b", Table::Holding, 11, Kind::U16), long("c", 13)];
        assert_eq!(refusals(points).len(), 2);
    }

    #[test]
    fn bits_of_one_register_are_points_of_their_own() {
        let bit = |name: &str, bit| point(name, Table::Holding, 10, Kind::Bit(bit));
        assert_eq!(refusals(vec![bit("a", 0), bit("b", 1)]), [""; 0]);
        assert_eq!(refusals(vec![bit("a", 1), bit("b", 1)]).len(), 1);
        assert_eq!(refusals(vec![bit("a", 1), point("b", Table::Holding, 10, Kind::U16)]).len(), 1);
    }

    #[test]
    fn a_name_stands_once_and_an_empty_map_is_none() {
        let points = vec![point("a", Table::Holding, 1, Kind::U16), point("a", Table::Holding, 2, Kind::U16)];
        assert_eq!(
            refusals(points),
            ["map.points[1].name: found duplicate name \"a\", first at map.points[0]; expected one point of each name"]
        );
        assert_eq!(refusals(vec![]).len(), 1);
    }

    #[test]
    fn a_value_and_its_scale_factor_must_fit_into_one_read() {
        let mut far = point("a", Table::Holding, 10, Kind::I16);
        let Content::Number(slot) = &mut far.content else { panic!("not a number") };
        slot.scale = ScaleAt::Register(200);
        let found = refusals(vec![far, point("sf", Table::Holding, 200, Kind::I16)]);
        assert!(found[0].starts_with("map.points[0].address: found a at HOLDING 10, 191 registers"), "{found:?}");
    }

    proptest! {
        #[test]
        fn overlaps_are_found_as_comparing_all_pairs_finds_them(starts in prop::collection::vec((0u16..60, 0usize..3), 1..12)) {
            let kinds = [Kind::U16, Kind::U32, Kind::U64];
            let points: Vec<Point> = starts.iter().enumerate()
                .map(|(index, (start, kind))| point(&index.to_string(), Table::Input, *start, kinds[*kind])).collect();
            let meet = |a: &Point, b: &Point| end(a) > u32::from(b.span().start) && end(b) > u32::from(a.span().start);
            let any = (0..points.len()).any(|i| (0..i).any(|j| meet(&points[i], &points[j])));
            prop_assert_eq!(!refusals(points).is_empty(), any);
        }
    }
}
