#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use super::super::cost::SerialSpeed;

fn need(start: u16, count: u16, period_ms: i64) -> Need {
    let period = Micros::from_millis(period_ms);
    Need { table: Table::Holding, span: Span { start, count }, group: None, period, deadline: period }
}

fn grouped(start: u16, count: u16, period_ms: i64, group: u32) -> Need {
    Need { group: Some(Group(group)), ..need(start, count, period_ms) }
}

fn serial(baud: u32) -> LineCost {
    LineCost::serial(SerialSpeed { baud: NonZeroU32::new(baud).unwrap(), bits_per_character: 11 }, Micros::ZERO)
}

fn bounds(cost: LineCost) -> ReadBounds {
    ReadBounds { cost, registers_max: 125, blocking: Micros::from_millis(1_000) }
}

fn spans(plan: &ReadPlan) -> Vec<(u16, u16, i64)> {
    plan.reads.iter().map(|read| (read.span.start, read.span.count, read.period.to_millis().get())).collect()
}

fn plan_of(needs: &[Need], bounds: ReadBounds) -> ReadPlan {
    plan(needs, bounds, &ReadProfile::default())
}

#[test]
fn a_gap_is_read_while_it_costs_no_more_than_a_request() {
    let apart = |gap: u16| [need(0, 2, 100), need(2 + gap, 2, 100)];
    for (baud, longest) in [(9_600, 10), (19_200, 10), (115_200, 24)] {
        let reads = |gap| plan_of(&apart(gap), bounds(serial(baud))).reads.len();
        assert_eq!((reads(longest), reads(longest + 1)), (1, 2), "{baud} baud");
    }
    let lan = bounds(LineCost::tcp(Micros::from_millis(1)));
    assert_eq!(spans(&plan_of(&apart(121), lan)), [(0, 125, 100)]);
    assert_eq!(plan_of(&apart(122), lan).reads.len(), 2);
}

#[test]
fn a_device_that_allows_less_is_asked_for_less_and_no_point_is_split() {
    let needs: Vec<Need> = (0..10).map(|at| need(at * 3, 3, 100)).collect();
    let bounds = ReadBounds { registers_max: 10, ..bounds(serial(9_600)) };
    assert_eq!(plan_of(&needs, bounds).reads.iter().map(|read| read.span.count).max(), Some(9));
    assert_eq!(plan_of(&needs, bounds).reads.len(), 4);
}

#[test]
fn a_slow_need_is_carried_by_a_fast_read_where_that_pays() {
    let lan = bounds(LineCost::tcp(Micros::from_millis(1)));
    let needs = [need(0, 2, 100), need(10, 2, 10_000), need(20, 2, 100)];
    assert_eq!(spans(&plan_of(&needs, lan)), [(0, 22, 100)]);
    assert_eq!(plan_of(&needs, lan).reads[0].needs, [0, 1, 2]);
    // A long block once in ten seconds is not worth reading ten times a second.
    let needs = [need(0, 2, 100), need(2, 60, 10_000)];
    assert_eq!(spans(&plan_of(&needs, bounds(serial(19_200)))), [(0, 2, 100), (2, 60, 10_000)]);
}

#[test]
fn a_slow_read_may_pass_over_a_fast_need_that_has_its_own() {
    let needs = [need(0, 4, 10_000), need(4, 2, 100), need(6, 4, 10_000)];
    assert_eq!(spans(&plan_of(&needs, bounds(serial(9_600)))), [(0, 10, 10_000), (4, 2, 100)]);
}

#[test]
fn a_value_and_its_scale_factor_come_in_one_read() {
    let bounds = ReadBounds { registers_max: 20, ..bounds(serial(9_600)) };
    let needs = [grouped(0, 1, 100, 1), need(1, 8, 100), grouped(19, 1, 100, 1), need(30, 1, 100)];
    let plan = plan_of(&needs, bounds);
    let whole = plan.reads.iter().find(|read| read.needs.contains(&0)).unwrap();
    assert!(whole.needs.contains(&2));
    assert_eq!(whole.span, Span { start: 0, count: 20 });
    assert!(plan.shortcomings.is_empty());
    let torn = plan_of(&needs, ReadBounds { registers_max: 19, ..bounds });
    let why = Shortcoming::TooLong { registers: 20, registers_max: 19 };
    assert_eq!(torn.shortcomings, [(0, why), (2, why)]);
    assert!(torn.reads.iter().all(|read| !read.needs.contains(&0)));
}

#[test]
fn no_read_keeps_a_write_waiting_longer_than_declared() {
    let bounds = ReadBounds { blocking: Micros::from_millis(50), ..bounds(serial(19_200)) };
    let needs: Vec<Need> = (0..60).map(|at| need(at * 2, 2, 1_000)).collect();
    let plan = plan_of(&needs, bounds);
    assert!(plan.reads.iter().all(|read| read.span.count <= 33), "{:?}", spans(&plan));
    assert!(plan.shortcomings.is_empty());
    let long = plan_of(&[need(0, 2, 100), need(5, 40, 100)], bounds);
    assert_eq!(long.shortcomings, [(1, Shortcoming::Blocks { cost: serial(19_200).read(40) })]);
    assert!(spans(&long).contains(&(5, 40, 100)));
}

#[test]
fn a_forbidden_register_is_never_read_across() {
    let mut profile = ReadProfile::default();
    profile.forbid(Table::Holding, Span { start: 5, count: 1 });
    profile.forbid(Table::Holding, Span { start: 20, count: 2 });
    let needs = [need(0, 2, 100), need(7, 2, 100), need(10, 1, 100), need(20, 2, 100)];
    let plan = plan(&needs, bounds(LineCost::tcp(Micros::from_millis(1))), &profile);
    assert_eq!(spans(&plan), [(0, 2, 100), (7, 4, 100)]);
    assert_eq!(plan.shortcomings, [(3, Shortcoming::Refused)]);
}

#[test]
fn tables_are_never_mixed_and_impossible_needs_are_told() {
    let input = Need { table: Table::Input, ..need(1, 1, 100) };
    let needs = [need(0, 1, 100), input, need(2, 1, 100), need(65_535, 2, 100), need(9, 0, 100)];
    let plan = plan_of(&needs, bounds(LineCost::tcp(Micros::from_millis(1))));
    assert_eq!(spans(&plan), [(0, 3, 100), (1, 1, 100)]);
    assert_eq!(plan.reads[1].table, Table::Input);
    assert_eq!(plan.shortcomings, [(3, Shortcoming::Impossible), (4, Shortcoming::Impossible)]);
}

#[test]
fn coils_are_read_by_the_hundred_where_registers_are_not() {
    let coil = |start| Need { table: Table::Coil, ..need(start, 1, 100) };
    let lan = bounds(LineCost::tcp(Micros::from_millis(1)));
    assert_eq!(spans(&plan_of(&[coil(0), coil(1_999)], lan)), [(0, 2_000, 100)]);
    assert_eq!(plan_of(&[coil(0), coil(2_000)], lan).reads.len(), 2);
    // Ten registers are a hundred and sixty coils.
    assert_eq!(plan_of(&[coil(0), coil(160)], bounds(serial(9_600))).reads.len(), 1);
    assert_eq!(plan_of(&[coil(0), coil(163)], bounds(serial(9_600))).reads.len(), 2);
}

#[test]
fn a_read_hurries_for_the_most_urgent_need_that_depends_on_it() {
    let urgent = Need { deadline: Micros::from_millis(30), ..need(2, 1, 1_000) };
    let plan = plan_of(&[need(0, 2, 100), urgent], bounds(LineCost::tcp(Micros::from_millis(1))));
    assert_eq!(plan.reads[0].deadline, Micros::from_millis(30));
    assert_eq!(plan.reads[0].period, Micros::from_millis(100));
}

#[test]
fn a_large_map_with_several_periods_is_planned_to_the_end() {
    let periods = [100, 1_000, 5_000, 60_000];
    let needs: Vec<Need> = (0..400u16).map(|at| need(at * 4, 2, periods[usize::from(at % 7) % 4])).collect();
    let plan = plan_of(&needs, ReadBounds { blocking: Micros::from_millis(120), ..bounds(serial(19_200)) });
    assert!(plan.is_optimal);
    let served: std::collections::BTreeSet<usize> = plan.reads.iter().flat_map(|read| read.needs.clone()).collect();
    assert_eq!(served.len(), 400);
}

#[test]
fn a_search_that_is_cut_short_is_no_dearer_than_simple_plans() {
    let periods = [100, 1_000, 5_000, 60_000];
    let needs: Vec<Need> = (0..300u16).map(|at| need(at * 4, 2, periods[usize::from(at % 7) % 4])).collect();
    let lan = bounds(LineCost::tcp(Micros::new(500)));
    let found = plan_of(&needs, lan);
    assert!(!found.is_optimal, "the case is too easy to test anything");
    let of = |period: i64| -> Vec<Need> {
        needs.iter().copied().filter(|need| need.period == Micros::from_millis(period)).collect()
    };
    let apart: Load = periods.iter().map(|period| plan_of(&of(*period), lan).load).sum();
    let urgent: Vec<Need> = needs.iter().map(|need| Need { period: Micros::from_millis(100), ..*need }).collect();
    assert!(found.load <= apart && found.load <= plan_of(&urgent, lan).load);
    let served: std::collections::BTreeSet<usize> = found.reads.iter().flat_map(|read| read.needs.clone()).collect();
    assert_eq!(served.len(), 300);
}

/// The best of all sets of reads, by trying every read for the first item that is not served yet.
struct Exhaustive<'a> {
    items: &'a [(Span, Micros)],
    bounds: ReadBounds,
    limit: u16,
    profile: &'a ReadProfile,
    known: HashMap<u32, Load>,
}

impl Exhaustive<'_> {
    fn best(&mut self, served: u32) -> Load {
        let first = served.trailing_ones();
        let Some((span, period)) = self.items.get(usize::try_from(first).unwrap()).copied() else { return Load::ZERO };
        if let Some(known) = self.known.get(&served) {
            return *known;
        }
        let mut best: Option<Load> = None;
        // Any item may be the first of the read, any the last, any set its period: whatever serves `first`.
        let starts: Vec<u16> =
            self.items.iter().map(|item| item.0.start).filter(|start| *start <= span.start).collect();
        let ends: Vec<u32> = self.items.iter().map(|item| end(item.0)).filter(|last| *last >= end(span)).collect();
        let periods: Vec<Micros> = self.items.iter().map(|item| item.1).filter(|each| *each <= period).collect();
        for start in &starts {
            for last in &ends {
                for period in &periods {
                    let read = Span { start: *start, count: u16::try_from(last - u32::from(*start)).unwrap() };
                    if !self.allows(read) {
                        continue;
                    }
                    let more =
                        self.items.iter().enumerate().filter(|(_, item)| contains(read, item.0) && item.1 >= *period);
                    let mask = more.fold(served, |mask, (at, _)| mask | 1 << at);
                    let load = Load::of(self.bounds.cost.read(read.count), *period) + self.best(mask);
                    best = Some(best.map_or(load, |known| known.min(load)));
                }
            }
        }
        self.known.insert(served, best.unwrap());
        best.unwrap()
    }

    fn allows(&self, read: Span) -> bool {
        let alone = self.items.iter().any(|item| item.0 == read);
        (read.count <= self.limit || alone) && self.profile.admits(Table::Holding, read)
    }
}

fn exhaustive(plan: &ReadPlan, needs: &[Need], bounds: ReadBounds, profile: &ReadProfile) -> Load {
    let dropped = |at: usize| {
        plan.shortcomings.iter().any(|(need, why)| *need == at && !matches!(why, Shortcoming::Blocks { .. }))
    };
    let mut items: BTreeMap<Option<Group>, (Span, Micros)> = BTreeMap::new();
    let mut alone = Vec::new();
    for (_, need) in needs.iter().enumerate().filter(|(at, _)| !dropped(*at)) {
        if need.group.is_none() {
            alone.push((need.span, need.period));
            continue;
        }
        let known = items.entry(need.group).or_insert((need.span, need.period));
        let (start, last) = (known.0.start.min(need.span.start), end(known.0).max(end(need.span)));
        let count = u16::try_from(last - u32::from(start)).unwrap();
        *known = (Span { start, count }, known.1.min(need.period));
    }
    alone.extend(items.into_values());
    let limit = bounds.cost.registers_within(bounds.blocking, bounds.registers_max);
    Exhaustive { items: &alone, bounds, limit, profile, known: HashMap::new() }.best(0)
}

fn any_bounds() -> impl Strategy<Value = ReadBounds> {
    let cost = (0i64..30_000_000, 0i64..3_000_000).prop_map(|(a, b)| LineCost::new(Nanos::new(a), Nanos::new(b)));
    (cost, 4u16..=125, 5i64..200).prop_map(|(cost, registers_max, blocking)| ReadBounds {
        cost,
        registers_max,
        blocking: Micros::from_millis(blocking),
    })
}

/// Points one behind the other, with gaps; every third or so in one of two groups.
fn any_needs(most: usize) -> impl Strategy<Value = Vec<Need>> {
    let one = (0u16..14, 1u16..5, prop::sample::select(vec![100i64, 200, 1_000, 10_000]), 0u32..6);
    prop::collection::vec(one, 1..=most).prop_map(|parts| {
        let mut start = 0;
        let place = |(gap, count, period, group): (u16, u16, i64, u32)| {
            start += gap;
            let placed = if group < 2 { grouped(start, count, period, group) } else { need(start, count, period) };
            start += count;
            placed
        };
        parts.into_iter().map(place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_plan_costs_what_the_best_of_all_plans_costs(
        needs in any_needs(9),
        bounds in any_bounds(),
        holes in prop::collection::vec((0u16..100, 1u16..3), 0..3),
    ) {
        let mut profile = ReadProfile::default();
        holes.into_iter().for_each(|(start, count)| profile.forbid(Table::Holding, Span { start, count }));
        let plan = plan(&needs, bounds, &profile);
        prop_assert!(plan.is_optimal);
        prop_assert_eq!(plan.load, exhaustive(&plan, &needs, bounds, &profile));
    }

    #[test]
    fn every_need_that_can_be_read_is_read_often_enough_and_whole(
        needs in any_needs(60),
        bounds in any_bounds(),
    ) {
        let plan = plan_of(&needs, bounds);
        for (at, need) in needs.iter().enumerate() {
            let serves = |read: &&PlannedRead| {
                read.needs.contains(&at) && contains(read.span, need.span) && read.period <= need.period
            };
            let dropped = plan.shortcomings.iter().any(|(short, why)| *short == at && !matches!(why, Shortcoming::Blocks { .. }));
            prop_assert!(dropped || plan.reads.iter().any(|read| serves(&read)), "need {at}: {:?}", plan);
        }
        for read in &plan.reads {
            prop_assert!(read.span.count <= bounds.registers_max);
            // It begins and ends with a point.
            let starts = needs.iter().any(|need| need.span.start == read.span.start);
            let ends = needs.iter().any(|need| end(need.span) == end(read.span));
            prop_assert!(starts && ends);
            prop_assert!(needs.iter().all(|need| end(need.span) <= u32::from(read.span.start)
                || u32::from(need.span.start) >= end(read.span) || contains(read.span, need.span)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_plan_of_twenty_needs_is_the_best_of_all(needs in any_needs(20), bounds in any_bounds()) {
        let plan = plan_of(&needs, bounds);
        prop_assert!(plan.is_optimal);
        prop_assert_eq!(plan.load, exhaustive(&plan, &needs, bounds, &ReadProfile::default()));
    }
}
