#![allow(clippy::unwrap_used)]
use super::super::cost::LineCost;
use super::super::reads::{plan, Need, ReadBounds, ReadPlan, Shortcoming};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const BOUNDS: ReadBounds =
    ReadBounds { cost: LineCost::FREE_REGISTERS, registers_max: 125, blocking: Micros::from_millis(60_000) };

/// A device that lacks some registers, and answers reads up to a length.
struct Device {
    missing: BTreeSet<u16>,
    registers_max: u16,
    asked: Vec<Span>,
}

impl Device {
    fn new(missing: &[u16], registers_max: u16) -> Self {
        Self { missing: missing.iter().copied().collect(), registers_max, asked: Vec::new() }
    }

    fn read(&mut self, span: Span) -> Result<(), Exception> {
        self.asked.push(span);
        if span.count > self.registers_max {
            return Err(Exception::IllegalValue);
        }
        let last = span.start + (span.count - 1);
        match self.missing.range(span.start..=last).next() {
            Some(_) => Err(Exception::IllegalAddress),
            None => Ok(()),
        }
    }
}

fn needs(spans: &[(u16, u16)]) -> Vec<Need> {
    let period = Micros::from_millis(100);
    let need = |(start, count): &(u16, u16)| Need {
        table: Table::Holding,
        span: Span { start: *start, count: *count },
        group: None,
        period,
        deadline: period,
    };
    spans.iter().map(need).collect()
}

/// Plans, reads, learns, until a whole plan is answered. Needs that were brought in any round, and the number of rounds.
fn commission(device: &mut Device, needs: &[Need], profile: &mut ReadProfile) -> (ReadPlan, usize) {
    for round in 0..200 {
        let plan = plan(needs, BOUNDS, profile);
        let mut is_whole = true;
        for read in &plan.reads {
            let lesson = match device.read(read.span) {
                Ok(()) => {
                    is_whole &= !profile.answered(read.table, read.span);
                    continue;
                }
                Err(exception) => learn(profile, read, exception),
            };
            is_whole = false;
            if let Lesson::Search(mut search) = lesson {
                while let Some(span) = search.probe() {
                    match device.read(span) {
                        Ok(()) => search.answered(profile),
                        Err(_) => search.refused(profile),
                    }
                }
            }
        }
        if is_whole {
            return (plan, round);
        }
    }
    panic!("it never settles: {profile:?}");
}

#[test]
fn a_hole_in_a_gap_is_found_and_never_asked_across_again() {
    let mut device = Device::new(&[31], 125);
    let mut profile = ReadProfile::default();
    let needs = needs(&[(0, 2), (10, 2), (20, 2), (29, 2), (40, 2), (50, 2), (60, 50)]);
    let (plan, _) = commission(&mut device, &needs, &mut profile);
    assert!(plan.shortcomings.is_empty());
    assert_eq!(
        plan.reads.iter().map(|read| (read.span.start, read.span.count)).collect::<Vec<_>>(),
        [(0, 31), (40, 70)]
    );
    assert!(device.asked.len() <= 12, "{:?}", device.asked);
    device.asked.clear();
    commission(&mut device, &needs, &mut profile);
    assert!(device.asked.iter().all(|span| !(span.start <= 31 && end(*span) > 31)));
}

#[test]
fn a_need_that_does_not_exist_is_named_and_the_others_are_read() {
    let mut device = Device::new(&[21], 125);
    let mut profile = ReadProfile::default();
    let needs = needs(&[(0, 2), (10, 2), (20, 2), (30, 2)]);
    let (plan, _) = commission(&mut device, &needs, &mut profile);
    assert_eq!(plan.shortcomings, [(2, Shortcoming::Refused)]);
    let brought: BTreeSet<usize> = plan.reads.iter().flat_map(|read| read.needs.clone()).collect();
    assert_eq!(brought, BTreeSet::from([0, 1, 3]));
}

#[test]
fn every_probe_of_a_search_begins_and_ends_with_a_part() {
    let mut device = Device::new(&[15], 125);
    let mut profile = ReadProfile::default();
    let spans = [(0, 2), (10, 2), (20, 2), (30, 2)];
    commission(&mut device, &needs(&spans), &mut profile);
    for asked in &device.asked {
        assert!(spans.iter().any(|(start, _)| *start == asked.start));
        assert!(spans.iter().any(|(start, count)| u32::from(start + count) == end(*asked)));
    }
}

#[test]
fn a_device_that_allows_less_than_the_standard_is_found_out() {
    let mut device = Device::new(&[], 50);
    let mut profile = ReadProfile::default();
    let all: Vec<(u16, u16)> = (0..125).map(|start| (start, 1)).collect();
    let (plan, _) = commission(&mut device, &needs(&all), &mut profile);
    assert_eq!(profile.registers_max(125), 50);
    assert_eq!(plan.reads.len(), 3);
}

#[test]
fn a_device_that_answers_too_long_a_read_with_exception_2_is_found_out_too() {
    let mut device = Device::new(&[], 50);
    let mut profile = ReadProfile::default();
    let all: Vec<(u16, u16)> = (0..80).map(|start| (start, 1)).collect();
    let needs = needs(&all);
    for _ in 0..20 {
        for read in &plan(&needs, BOUNDS, &profile).reads {
            if device.read(read.span).is_ok() {
                profile.answered(read.table, read.span);
            } else if let Lesson::Search(mut search) = learn(&mut profile, read, Exception::IllegalAddress) {
                while let Some(span) = search.probe() {
                    match device.read(span) {
                        Ok(()) => search.answered(&mut profile),
                        Err(_) => search.refused(&mut profile),
                    }
                }
            }
        }
    }
    let last = plan(&needs, BOUNDS, &profile);
    assert!(last.reads.iter().all(|read| read.span.count <= 50), "{last:?}");
    assert!(last.reads.len() == 2 && last.shortcomings.is_empty());
}

#[test]
fn a_busy_device_teaches_nothing() {
    let mut profile = ReadProfile::default();
    let read = plan(&needs(&[(0, 2), (10, 2)]), BOUNDS, &profile).reads.remove(0);
    for exception in [Exception::Other(6), Exception::GatewayTarget, Exception::IllegalFunction] {
        assert_eq!(learn(&mut profile, &read, exception), Lesson::Nothing);
    }
    assert_eq!(profile, ReadProfile::default());
}

#[test]
fn what_was_refused_is_asked_again_rarely_one_after_the_other() {
    let mut profile = ReadProfile::default();
    let spans = [7, 20].map(|start| Span { start, count: 1 });
    spans.iter().for_each(|span| profile.forbid(Table::Holding, *span));
    let mut recheck = Recheck::new(Micros::ZERO);
    let mut found = Vec::new();
    for minute in 0..35 {
        found.extend(recheck.take(&profile, Micros::from_millis(minute * 60_000)).map(|item| item.span));
    }
    assert_eq!(found, [spans[0], spans[1], spans[0]]);
    assert_eq!(recheck.take(&ReadProfile::default(), Micros::from_millis(3_600_000)), None);
}

proptest! {
    #[test]
    fn whatever_a_device_lacks_all_else_is_read_and_nothing_is_refused_for_ever(
        gaps in prop::collection::vec((0u16..9, 1u16..5), 1..30),
        missing in prop::collection::vec(0u16..200, 0..8),
        registers_max in 8u16..=125,
    ) {
        let mut start = 0;
        let place = |(gap, count): (u16, u16)| {
            start += gap + count;
            (start - count, count)
        };
        let spans: Vec<(u16, u16)> = gaps.into_iter().map(place).collect();
        let mut device = Device::new(&missing, registers_max);
        let mut profile = ReadProfile::default();
        let (plan, _) = commission(&mut device, &needs(&spans), &mut profile);
        let brought: BTreeSet<usize> = plan.reads.iter().flat_map(|read| read.needs.clone()).collect();
        for (at, (start, count)) in spans.iter().enumerate() {
            let exists = (*start..start + count).all(|register| !missing.contains(&register));
            prop_assert_eq!(brought.contains(&at), exists);
            prop_assert_eq!(plan.shortcomings.contains(&(at, Shortcoming::Refused)), !exists);
        }
    }
}
