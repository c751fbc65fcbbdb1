//! A register map as reads to poll: as few as the line's cost asks for, and where each point stands in them.
//!
//! ```text
//! RegisterMap ── needs (a value with its scale factor) ──> planning::reads ──> reads, places of points
//! ```
//!
//! Planned once, before anything is measured: a reader of the image must find a point where it was.
use super::map::{Point, RegisterMap};
use super::planning::cost::LineCost;
use super::planning::holes::ReadProfile;
use super::planning::reads::{plan, Need, PlannedRead, ReadBounds, Shortcoming};
use super::point::Slot;
use super::polled::ReadConfig;
use crate::units::Micros;

/// How long a read may keep a one-off request waiting, where it can be helped.
pub const BLOCKING: Micros = Micros::from_millis(50);
/// What is read less often than each third of this is fresh for three periods.
pub const AGE_LEAST: Micros = Micros::from_millis(1_000);

/// Where a point stands among the reads of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the point.
    pub point: String,
    /// Position of the read.
    pub read: usize,
    /// Position of its first register, or of its bit, in the read.
    pub register: usize,
}

/// The reads that bring all points of a map, and where each stands; the name of a point that no read can bring.
pub fn reads_of(map: &RegisterMap, cost: LineCost) -> Result<(Vec<ReadConfig>, Vec<Place>), String> {
    let needs: Vec<Need> = map.points().iter().map(need).collect();
    let bounds = ReadBounds { cost, registers_max: map.read_max(), blocking: BLOCKING };
    let planned = plan(&needs, bounds, &ReadProfile::default());
    let is_unread = |why: &Shortcoming| !matches!(why, Shortcoming::Blocks { .. });
    let unread = planned.shortcomings.iter().find(|(_, why)| is_unread(why));
    if let Some(point) = unread.and_then(|(index, _)| map.points().get(*index)) {
        return Err(point.place());
    }
    let place = |(index, point): (usize, &Point)| place(&planned.reads, index, point).ok_or_else(|| point.place());
    let places = map.points().iter().enumerate().map(place).collect::<Result<_, _>>()?;
    Ok((planned.reads.iter().map(config).collect(), places))
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
    let register = point.span().start.checked_sub(planned.span.start)?;
    Some(Place { point: point.name.clone(), read, register: usize::from(register) })
}

#[cfg(test)]
mod tests {
    use super::super::map::Content;
    use super::super::pdu::{Span, Table};
    use super::super::planning::cost::ROUND_TRIP_ASSUMED;
    use super::*;
    use crate::units::Millis;

    fn text(name: &str, start: u16, count: u16, period: i64) -> Point {
        let content = Content::Text(Table::Holding, Span { start, count });
        Point { name: name.to_owned(), content, period: Millis::new(period), write: None }
    }

    fn planned(points: Vec<Point>) -> (Vec<ReadConfig>, Vec<Place>) {
        let map = RegisterMap::new("m".to_owned(), points, (125, 123), "").unwrap();
        reads_of(&map, LineCost::tcp(ROUND_TRIP_ASSUMED)).unwrap()
    }

    #[test]
    fn points_that_are_near_each_other_are_read_together_and_found() {
        let (reads, places) = planned(vec![text("a", 100, 2, 200), text("b", 110, 4, 200), text("c", 1_000, 1, 200)]);
        let spans: Vec<Span> = reads.iter().map(|read| read.span).collect();
        assert_eq!(spans, [Span { start: 100, count: 14 }, Span { start: 1_000, count: 1 }]);
        let at = |place: &Place| (place.point.clone(), place.read, place.register);
        let expected = [("a".to_owned(), 0, 0), ("b".to_owned(), 0, 10), ("c".to_owned(), 1, 0)];
        assert_eq!(places.iter().map(at).collect::<Vec<_>>(), expected);
        assert_eq!((reads[0].period, reads[0].age_max), (Micros::from_millis(200), AGE_LEAST));
    }

    #[test]
    fn every_point_is_in_a_read_that_comes_as_often_as_it_asks() {
        let points: Vec<Point> = (0..60_u16)
            .map(|at| text(&at.to_string(), at * 37 % 1_900, 1 + at % 3, [100, 1_000, 5_000][usize::from(at % 3)]))
            .collect();
        let (reads, places) = planned(points.clone());
        for (point, place) in points.iter().zip(&places) {
            let read = &reads[place.read];
            assert_eq!(usize::from(read.span.start) + place.register, usize::from(point.span().start));
            assert!(place.register + usize::from(point.span().count) <= usize::from(read.span.count));
            assert!(read.period <= Micros::from(point.period));
        }
    }
}
