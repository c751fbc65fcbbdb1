//! A register map as reads to poll: as few as the line's cost asks for, and the value of each point out of them by name.
//!
//! ```text
//! RegisterMap ── needs (a value with its scale factor) ──> planning::reads ──> reads
//!                                registers of a device's reads, name ──> Mapped ──> number, text, or absent
//! ```
//!
//! Planned once, before anything is measured: a reader of the image must find a point where it was. Devices of one type
//! share what is known of their map.
use std::sync::Arc;

use super::map::{Point, RegisterMap};
use super::number::{Rounding, Scale};
use super::planning::cost::LineCost;
use super::planning::holes::ReadProfile;
use super::planning::reads::{plan, Need, PlannedRead, ReadBounds, Shortcoming};
use super::point::{scale_of, ScaleAt, Slot};
use super::polled::ReadConfig;
use crate::units::Micros;

/// How long a read may keep a one-off request waiting, where it can be helped.
pub const BLOCKING: Micros = Micros::from_millis(50);
/// What is read less often than each third of this is fresh for three periods.
pub const AGE_LEAST: Micros = Micros::from_millis(1_000);

/// Where a point stands among the reads of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The point.
    pub point: Point,
    /// Position of the read.
    pub read: usize,
    /// Position of its first register, or of its bit, in the read.
    pub register: usize,
    factor: Factor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Factor {
    Known(Scale),
    /// Position of its register in the read.
    At(usize),
}

/// The points of a device, each where it is read; shared by all devices of the same map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// By name.
    places: Arc<[Place]>,
}

impl Mapped {
    /// A device of which registers are known and no points.
    pub fn nothing() -> Self {
        Self { places: Arc::default() }
    }

    /// All points by name.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The point of a name.
    pub fn find(&self, name: &str) -> Option<&Place> {
        let found = self.places.binary_search_by(|place| place.point.name.as_str().cmp(name));
        found.ok().and_then(|at| self.places.get(at))
    }
}

impl Place {
    /// The number in a unit `digits` decimal digits finer than the point's, rounded to the nearest, half away from zero;
    /// `None` where it or its scale factor says "not known", and of text. `word` gives the registers of the read.
    pub fn number(&self, digits: i32, word: impl Fn(usize) -> u16) -> Option<i64> {
        let slot = self.point.slot()?;
        let scale = match self.factor {
            Factor::Known(scale) => scale,
            Factor::At(register) => scale_of(word(register))?,
        };
        let end = self.register + usize::from(slot.kind.registers());
        slot.gain.apply(slot.raw_of((self.register..end).map(word))?, scale, digits, Rounding::Nearest)
    }

    /// The text; `None` where there is none, or what stands there is no UTF-8, and of numbers.
    pub fn text(&self, word: impl Fn(usize) -> u16) -> Option<String> {
        if self.point.slot().is_some() {
            return None;
        }
        let end = self.register + usize::from(self.point.span().count);
        let bytes = (self.register..end).flat_map(|at| word(at).to_be_bytes()).take_while(|byte| *byte != 0);
        String::from_utf8(bytes.collect()).ok().filter(|text| !text.is_empty())
    }
}

/// The reads that bring all points of a map, and where each stands; the name of a point that no read can bring.
pub fn reads_of(map: &RegisterMap, cost: LineCost) -> Result<(Vec<ReadConfig>, Mapped), String> {
    let needs: Vec<Need> = map.points().iter().map(need).collect();
    let bounds = ReadBounds { cost, registers_max: map.read_max(), blocking: BLOCKING };
    let planned = plan(&needs, bounds, &ReadProfile::default());
    let is_unread = |why: &Shortcoming| !matches!(why, Shortcoming::Blocks { .. });
    let unread = planned.shortcomings.iter().find(|(_, why)| is_unread(why));
    if let Some(point) = unread.and_then(|(index, _)| map.points().get(*index)) {
        return Err(point.place());
    }
    let place = |(index, point): (usize, &Point)| place(&planned.reads, index, point).ok_or_else(|| point.place());
    let mut places = map.points().iter().enumerate().map(place).collect::<Result<Vec<_>, _>>()?;
    places.sort_by(|one, next| one.point.name.cmp(&next.point.name));
    Ok((planned.reads.iter().map(config).collect(), Mapped { places: places.into() }))
}

fn need(point: &Point) -> Need {
    let period = Micros::from(point.period);
    let span = point.slot().map_or_else(|| point.span(), Slot::span);
    Need { table: point.table(), span, group: None, period, deadline: period }
}

fn config(read: &PlannedRead) -> ReadConfig {
    let three = Micros::new(read.period.get().saturating_mul(3));
    let age_max = three.max(AGE_LEAST);
    ReadConfig { table: read.table, span: read.span, period: read.period, phase: Micros::ZERO, age_max }
}

/// Of the reads that bring a point, the one that does so most often.
fn place(reads: &[PlannedRead], index: usize, point: &Point) -> Option<Place> {
    let bringing = reads.iter().enumerate().filter(|(_, read)| read.needs.contains(&index));
    let (read, planned) = bringing.min_by_key(|(_, read)| read.period)?;
    let position = |address: u16| address.checked_sub(planned.span.start).map(usize::from);
    let factor = match point.slot().map(|slot| slot.scale) {
        Some(ScaleAt::Register(at)) => Factor::At(position(at)?),
        Some(ScaleAt::Fixed(scale)) => Factor::Known(scale),
        None => Factor::Known(Scale::ONE),
    };
    Some(Place { point: point.clone(), read, register: position(point.span().start)?, factor })
}

#[cfg(test)]
mod tests {
    use super::super::map::Content;
    use super::super::number::Gain;
    use super::super::pdu::{Span, Table};
    use super::super::planning::cost::ROUND_TRIP_ASSUMED;
    use super::super::point::{Absent, Kind};
    use super::*;
    use crate::units::Millis;

    fn text(name: &str, start: u16, count: u16, period: i64) -> Point {
        let content = Content::Text(Table::Holding, Span { start, count });
        Point { name: name.to_owned(), content, period: Millis::new(period), write: None }
    }

    fn slot(address: u16, kind: Kind) -> Slot {
        let (scale, absent) = (ScaleAt::Fixed(Scale::ONE), Absent::Nothing);
        Slot { table: Table::Holding, address, kind, low_first: false, absent, scale, gain: Gain::ONE }
    }

    fn point(name: &str, slot: Slot) -> Point {
        let (content, period) = (Content::Number(slot), Millis::new(200));
        Point { name: name.to_owned(), content, period, write: None }
    }

    fn planned(points: Vec<Point>) -> (Vec<ReadConfig>, Mapped) {
        let map = RegisterMap::new("m".to_owned(), points, (125, 123), "").unwrap();
        reads_of(&map, LineCost::tcp(ROUND_TRIP_ASSUMED)).unwrap()
    }

    #[test]
    fn points_that_are_near_each_other_are_read_together_and_found() {
        let (reads, mapped) = planned(vec![text("a", 100, 2, 200), text("b", 110, 4, 200), text("c", 1_000, 1, 200)]);
        let spans: Vec<Span> = reads.iter().map(|read| read.span).collect();
        assert_eq!(spans, [Span { start: 100, count: 14 }, Span { start: 1_000, count: 1 }]);
        let at = |name| mapped.find(name).map(|place| (place.read, place.register));
        assert_eq!(["a", "b", "c", "d"].map(at), [Some((0, 0)), Some((0, 10)), Some((1, 0)), None]);
        assert_eq!((reads[0].period, reads[0].age_max), (Micros::from_millis(200), AGE_LEAST));
    }

    #[test]
    fn every_point_is_in_a_read_that_comes_as_often_as_it_asks() {
        let points: Vec<Point> = (0..60_u16)
            .map(|at| text(&at.to_string(), at * 37 % 1_900, 1 + at % 3, [100, 1_000, 5_000][usize::from(at % 3)]))
            .collect();
        let (reads, mapped) = planned(points.clone());
        for point in &points {
            let place = mapped.find(&point.name).unwrap();
            let read = &reads[place.read];
            assert_eq!(usize::from(read.span.start) + place.register, usize::from(point.span().start));
            assert!(place.register + usize::from(point.span().count) <= usize::from(read.span.count));
            assert!(read.period <= Micros::from(point.period));
        }
    }

    /// What points say of registers that begin at address 100.
    fn said<T>(points: Vec<Point>, registers: &[u16], say: impl Fn(&Place, &dyn Fn(usize) -> u16) -> T) -> Vec<T> {
        let names: Vec<String> = points.iter().map(|point| point.name.clone()).collect();
        let (reads, mapped) = planned(points);
        assert_eq!((reads.len(), reads[0].span.start), (1, 100));
        let word = |register: usize| registers[register];
        names.iter().map(|name| say(mapped.find(name).unwrap(), &word)).collect()
    }

    #[test]
    fn a_number_has_its_word_order_its_gain_and_the_scale_factor_that_came_with_it() {
        let slots = [
            Slot { scale: ScaleAt::Register(105), ..slot(100, Kind::I16) },
            Slot { low_first: true, ..slot(101, Kind::I32) },
            Slot { gain: Gain { multiplier: -5, divisor: 2 }, ..slot(103, Kind::U16) },
            Slot { scale: ScaleAt::Fixed(Scale::new(-1).unwrap()), ..slot(104, Kind::U16) },
            slot(105, Kind::I16),
        ];
        let points: Vec<Point> =
            ["a", "b", "c", "d", "sf"].iter().zip(slots).map(|(name, slot)| point(name, slot)).collect();
        let registers = [0xFFF9, 0xFFFE, 0xFFFF, 10, 125, 2];
        let whole = said(points.clone(), &registers, |place, word| place.number(0, word));
        assert_eq!(whole, [Some(-700), Some(-2), Some(-25), Some(13), Some(2)]);
        let tenths = said(points, &registers, |place, word| place.number(1, word));
        assert_eq!(tenths, [Some(-7000), Some(-20), Some(-250), Some(125), Some(20)]);
    }

    #[test]
    fn what_says_not_known_is_absent_and_so_is_a_value_without_its_scale_factor() {
        let listed = Absent::Listed([0x7FFF, -1].into());
        let points = vec![
            point("a", Slot { absent: listed, ..slot(100, Kind::I16) }),
            point("b", Slot { scale: ScaleAt::Register(102), ..slot(101, Kind::U16) }),
            point("sf", slot(102, Kind::I16)),
            point("f", slot(103, Kind::F32)),
        ];
        let found = said(points, &[0xFFFF, 1, 0x8000, 0x7FC0, 0], |place, word| place.number(0, word));
        assert_eq!(found, [None, None, Some(-32_768), None]);
    }

    #[test]
    fn text_ends_at_its_first_zero_and_what_is_none_is_absent() {
        let points = vec![text("a", 100, 3, 200), text("b", 103, 1, 200), text("c", 104, 1, 200)];
        let registers = [0x4447, 0x4D00, 0x4100, 0, 0xFF00];
        let found = said(points.clone(), &registers, |place, word| place.text(word));
        assert_eq!(found, [Some("DGM".to_owned()), None, None]);
        assert_eq!(said(points, &registers, |place, word| place.number(0, word)), [None; 3]);
    }
}
