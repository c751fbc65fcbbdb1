//! A register map as a facade serves it: which points are written together, who may read what, and where all of it goes.
//!
//! ```text
//! RegisterMap + Extra per point + groups ── ServedMap::new ──> makes sense by itself
//!                                                └── Server::declare ──> cells, groups, guards of one unit, or nothing
//! ```
//!
//! What is wrong is told at once, by path, name and address.
use super::super::map::{Point, RegisterMap, WriteRule};
use super::super::pdu::{Span, Table};
use super::super::point::{Absent, Kind, Slot};
use super::unit::Guarded;
use super::writable::{Form, Width, Writable};
use super::write_table::{Group, Lease, Pace, Rule};
use super::{DefineError, Server};
use crate::error::CoreError;
use crate::units::Millis;

/// What only a server asks of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Roles that may read it; empty: any client.
    pub read_roles: Vec<String>,
    /// Writes of one client that may come at once, at least 1.
    pub burst: i64,
}

/// The point in which a client says how long its group holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePoint {
    /// Its name.
    pub name: String,
    /// What 1 in it means.
    pub unit: Millis,
}

/// Points that count only together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Unique within the map.
    pub name: String,
    /// Their names, in any order.
    pub points: Vec<String>,
    /// How long they hold; with a lease point the longest time.
    pub lease: Option<Millis>,
    /// Where the client says how long.
    pub lease_point: Option<LeasePoint>,
    /// Whose value must grow.
    pub sequence_point: Option<String>,
}

/// A map that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedMap {
    map: RegisterMap,
    extras: Vec<Extra>,
    groups: Vec<Together>,
}

/// What is written together, by address, and the rule of it. A single value is one of these too.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Together {
    /// Positions in the map.
    points: Vec<usize>,
    rule: Rule,
}

impl ServedMap {
    /// Joins a map with what only a server asks; `extras` has one item for each point.
    pub fn new(map: RegisterMap, extras: Vec<Extra>, groups: Vec<Grouping>) -> Result<Self, Vec<CoreError>> {
        let mut builder =
            Builder { map: &map, extras: &extras, grouped: vec![None; extras.len()], problems: Vec::new() };
        builder.points();
        let mut units: Vec<Together> =
            groups.iter().enumerate().filter_map(|(index, group)| builder.group(group, index, &groups)).collect();
        units.extend(builder.singles());
        let problems = builder.problems;
        problems.is_empty().then_some(Self { map, extras, groups: units }).ok_or(problems)
    }
}

/// Collects what is wrong.
struct Builder<'a> {
    map: &'a RegisterMap,
    extras: &'a [Extra],
    /// Group of each point.
    grouped: Vec<Option<usize>>,
    problems: Vec<CoreError>,
}

impl Builder<'_> {
    fn problem(&mut self, place: String, found: impl std::fmt::Display, expected: impl Into<String>) {
        self.problems.push(CoreError::site(place, found, expected));
    }

    fn points(&mut self) {
        for (index, point) in self.map.points().iter().enumerate() {
            if point.write.is_some() && form(point).is_none() {
                let expected = "no write rule: only integers in registers and coils can be written to a facade";
                self.problem(format!("points[{index}].write"), point.place(), expected);
            }
        }
    }

    fn group(&mut self, group: &Grouping, index: usize, all: &[Grouping]) -> Option<Together> {
        let before = self.problems.len();
        let path = |field: &str| format!("groups[{index}].{field}");
        if group.name.is_empty() || all.iter().take(index).any(|other| other.name == group.name) {
            self.problem(path("name"), format!("{:?}", group.name), "a name of its own");
        }
        if group.points.len() < 2 {
            self.problem(path("points"), format!("{} points", group.points.len()), "two or more");
        }
        let mut points: Vec<usize> =
            group.points.iter().filter_map(|name| self.member(name, index, path("points"))).collect();
        points.sort_by_key(|position| self.map.points().get(*position).map(|point| (point.table(), point.span())));
        self.check_neighbours(&points, &path("points"));
        self.check_alike(&points, &path("points"));
        let lease = self.lease(group, &points, &path);
        let sequence = self.sequence(group, &points, &path);
        if self.problems.len() > before {
            return None;
        }
        let first = self.map.points().get(*points.first()?)?;
        let roles = first.write.as_ref().map(|rule| rule.roles.clone()).unwrap_or_default();
        Some(Together { rule: Rule { lease, roles, pace: self.pace(&points), sequence }, points })
    }

    /// The position of a point that joins a group.
    fn member(&mut self, name: &str, group: usize, path: String) -> Option<usize> {
        let Some(position) = self.map.points().iter().position(|point| point.name == name) else {
            self.problem(path, format!("{name:?}, which is no point"), "names of points of this map");
            return None;
        };
        let point = self.map.points().get(position)?;
        match self.grouped.get_mut(position).map(|held| held.replace(group)) {
            Some(None) => {}
            _ => self.problem(path.clone(), format!("{} twice", point.place()), "each point once, in one group"),
        }
        match &point.write {
            None => self.problem(path, format!("{}, which is read-only", point.place()), "points with a write rule"),
            Some(rule) if rule.lease.is_some() => {
                let expected = "no lease_ms in its write rule: the group holds as a whole";
                self.problem(path, format!("{} with a lease of its own", point.place()), expected);
            }
            Some(_) => {}
        }
        Some(position)
    }

    fn check_neighbours(&mut self, points: &[usize], path: &str) {
        let all = self.map.points();
        for (one, next) in points.iter().zip(points.iter().skip(1)) {
            let (Some(one), Some(next)) = (all.get(*one), all.get(*next)) else { continue };
            let end = u32::from(one.span().start) + u32::from(one.span().count);
            if one.table() != next.table() || end != u32::from(next.span().start) {
                let found = format!("{} and {}", one.place(), next.place());
                self.problem(path.to_owned(), found, "points that follow one another in one table, without a gap");
            }
        }
        let spans: Vec<Span> = points.iter().filter_map(|position| all.get(*position)).map(Point::span).collect();
        let count: u32 = spans.iter().map(|span| u32::from(span.count)).sum();
        if count > u32::from(self.map.write_max()) {
            let expected =
                format!("at most {}, so that one request writes them (write_registers_max)", self.map.write_max());
            self.problem(path.to_owned(), format!("{count} registers"), expected);
        }
    }

    fn check_alike(&mut self, points: &[usize], path: &str) {
        let rules: Vec<&WriteRule> = self.rules(points).collect();
        if rules.iter().any(|rule| rules.first().is_some_and(|first| first.roles != rule.roles)) {
            self.problem(
                path.to_owned(),
                "points with different roles",
                "the same roles in all write rules of a group",
            );
        }
    }

    fn rules<'a>(&'a self, points: &'a [usize]) -> impl Iterator<Item = &'a WriteRule> {
        points.iter().filter_map(|position| self.map.points().get(*position)?.write.as_ref())
    }

    /// The strictest pace of the points.
    fn pace(&self, points: &[usize]) -> Option<Pace> {
        let interval = self.rules(points).filter_map(|rule| rule.min_interval).max()?;
        let is_paced = |position: &&usize| {
            self.map.points().get(**position).and_then(|point| point.write.as_ref()?.min_interval).is_some()
        };
        let bursts = points.iter().filter(is_paced).filter_map(|position| self.extras.get(*position));
        Some(Pace { interval, burst: bursts.map(|extra| extra.burst).min().unwrap_or(1) })
    }

    fn lease(&mut self, group: &Grouping, points: &[usize], path: &dyn Fn(&str) -> String) -> Lease {
        let Some(LeasePoint { name, unit }) = &group.lease_point else {
            return group.lease.map_or(Lease::Endless, Lease::Fixed);
        };
        let (step, longest) = (*unit, group.lease.unwrap_or(Millis::ZERO));
        if longest < step {
            let expected =
                format!("the longest lease that a client may ask for, at least {} (lease_unit_ms)", step.get());
            self.problem(path("lease_ms"), longest, expected);
        }
        match self.position_within(name, points) {
            Some(member) => Lease::Written { member, step, longest },
            None => {
                self.problem(path("lease_point"), format!("{name:?}"), "the name of one of its points");
                Lease::Endless
            }
        }
    }

    fn sequence(&mut self, group: &Grouping, points: &[usize], path: &dyn Fn(&str) -> String) -> Option<usize> {
        let name = group.sequence_point.as_ref()?;
        let is_lease = group.lease_point.as_ref().is_some_and(|point| &point.name == name);
        let is_counter = |member: &usize| {
            let kind =
                points.get(*member).and_then(|position| self.map.points().get(*position)?.slot()).map(|slot| slot.kind);
            matches!(kind, Some(Kind::U16 | Kind::U32)) && !is_lease
        };
        let member = self.position_within(name, points).filter(is_counter);
        if member.is_none() {
            let expected = "the name of one of its points, U16 or U32, other than its lease_point";
            self.problem(path("sequence_point"), format!("{name:?}"), expected);
        }
        member
    }

    fn position_within(&self, name: &str, points: &[usize]) -> Option<usize> {
        points.iter().position(|position| self.map.points().get(*position).is_some_and(|point| point.name == name))
    }

    /// The writable points of no group.
    fn singles(&self) -> Vec<Together> {
        let alone = (0..self.map.points().len()).filter(|position| self.grouped.get(*position) == Some(&None));
        let unit = |position: usize| {
            let rule = self.map.points().get(position)?.write.as_ref()?;
            let lease = rule.lease.map_or(Lease::Endless, Lease::Fixed);
            let (roles, pace) = (rule.roles.clone(), self.pace(&[position]));
            Some(Together { points: vec![position], rule: Rule { lease, roles, pace, sequence: None } })
        };
        alone.filter_map(unit).collect()
    }
}

/// How a writable value lies in its cells; `None` where it cannot be written to a facade.
fn form(point: &Point) -> Option<Form> {
    let Slot { kind, low_first, table, .. } = point.slot()?;
    let (width, is_signed) = match kind {
        Kind::Bit(_) => return (*table == Table::Coil).then_some(Form::Coil),
        Kind::F32 | Kind::F64 => return None,
        Kind::U16 => (Width::One, false),
        Kind::I16 => (Width::One, true),
        Kind::U32 => (Width::Two, false),
        Kind::I32 => (Width::Two, true),
        Kind::U64 => (Width::Four, false),
        Kind::I64 => (Width::Four, true),
    };
    Some(Form::Number { width, is_signed, is_low_first: *low_first })
}

impl Server {
    /// Declares all points of a map under a unit: cells, what may be written, who may read. Cells that are new hold what
    /// means "not known", or 0 where nothing does; fallbacks stand until somebody writes. All of it or nothing happens.
    pub fn declare(&mut self, unit: u8, served: &ServedMap) -> Result<(), DeclareError> {
        let staged = self.stage(unit, served)?;
        for (table, group) in &staged {
            self.may_allow(unit, *table, group).map_err(|error| DeclareError::at(error, served, *table, group))?;
        }
        for point in served.map.points() {
            self.define_new(unit, point).map_err(DeclareError::Unit)?;
        }
        for (table, group) in staged {
            self.store_fallbacks(unit, table, &group);
            self.allow_write(unit, table, group).map_err(DeclareError::Unit)?;
        }
        for (point, extra) in served.map.points().iter().zip(&served.extras) {
            if !extra.read_roles.is_empty() {
                let guarded = Guarded { table: point.table(), span: point.span(), roles: extra.read_roles.clone() };
                self.guard(unit, guarded).map_err(DeclareError::Unit)?;
            }
        }
        Ok(())
    }

    /// The groups as they will be; nothing has happened yet.
    fn stage(&self, unit: u8, served: &ServedMap) -> Result<Vec<(Table, Group)>, DeclareError> {
        let values = served.groups.iter().map(|group| group.points.len()).sum();
        self.may_hold(unit, values).map_err(DeclareError::Unit)?;
        let mut staged = Vec::new();
        for Together { points, rule } in &served.groups {
            let members: Vec<&Point> =
                points.iter().filter_map(|position| served.map.points().get(*position)).collect();
            let values = members.iter().map(|point| self.value(unit, point)).collect::<Option<Vec<(Writable, i64)>>>();
            let Some(first) = members.first() else { continue };
            let group = values.and_then(|values| Group::new(first.span().start, values, rule.clone()).ok());
            let group =
                group.ok_or_else(|| DeclareError::Point(first.place(), "a fallback that its registers hold"))?;
            staged.push((first.table(), group));
        }
        Ok(staged)
    }

    /// A writable value and what it falls back to: as declared, or what its cells hold, or will when they are new.
    fn value(&self, unit: u8, point: &Point) -> Option<(Writable, i64)> {
        let (rule, form) = (point.write.as_ref()?, form(point)?);
        let writable = Writable::new(form, rule.low, rule.high)?.or_absent(rule.absent)?;
        let held = self.own_cells(unit, point.table(), point.span()).map_or_else(|| initial(point), <[u8]>::to_vec);
        Some((writable, rule.fallback.or_else(|| form.decode(&held))?))
    }

    fn define_new(&mut self, unit: u8, point: &Point) -> Result<(), DefineError> {
        let (table, span) = (point.table(), point.span());
        let exists = |address| self.own_cells(unit, table, Span { start: address, count: 1 }).is_some();
        let is_new = !(span.start..=span.start.saturating_add(span.count - 1)).any(exists);
        self.define(unit, table, span)?;
        if is_new {
            self.publish(unit, table, span.start, &initial(point))?;
        }
        Ok(())
    }

    fn store_fallbacks(&mut self, unit: u8, table: Table, group: &Group) {
        for (change, cell) in group.changes() {
            // Its cells were defined before.
            let _ = self.publish(unit, table, change.address, cell.as_slice());
        }
    }
}

/// What new cells of a point hold until they are published: the first of the values that mean "not known", or 0.
fn initial(point: &Point) -> Vec<u8> {
    let absent = match point.slot().map(|slot| &slot.absent) {
        Some(Absent::One(raw)) => i64::try_from(*raw).ok(),
        Some(Absent::Listed(raw)) => raw.first().copied(),
        Some(Absent::Nothing) | None => None,
    };
    let cell_bytes = if point.table().is_bits() { 1 } else { 2 };
    match form(point).zip(absent) {
        Some((form, raw)) => form.encode(raw).as_slice().to_vec(),
        None => vec![0; usize::from(point.span().count) * cell_bytes],
    }
}

/// Why a map cannot be declared; nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclareError {
    /// The unit itself refuses.
    Unit(DefineError),
    /// A point does: which, and what was expected.
    Point(String, &'static str),
}

impl DeclareError {
    fn at(error: DefineError, served: &ServedMap, table: Table, group: &Group) -> Self {
        let start = group.span().start;
        let points = served.map.points().iter();
        let point = points.into_iter().find(|point| point.table() == table && point.span().start == start);
        match (error, point) {
            (DefineError::Table(_), Some(point)) => Self::Point(point.place(), "registers of no other writable value"),
            (error, _) => Self::Unit(error),
        }
    }
}
