//! The write table under virtual time: whole groups, ranges, leases, sequences, pace, roles.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::writable::{Form, Width};
use super::*;

const LIMIT: Form = Form::Number { width: Width::Two, is_signed: true, is_low_first: false };
const WORD: Form = Form::Number { width: Width::One, is_signed: false, is_low_first: false };

fn ms(value: i64) -> Millis {
    Millis::new(value)
}

fn value(form: Form, low: i64, high: i64) -> Writable {
    Writable::new(form, low, high).unwrap()
}

fn party(host: u128, role: Option<&str>) -> Party {
    Party { name: format!("client {host}"), host, role: role.map(str::to_owned) }
}

/// 10: a word held for 1 s. 11: a signed 32-bit value held for ever. 20: limit, valid-for seconds, sequence.
fn table() -> WriteTable<2> {
    let mut table = WriteTable::default();
    let one = vec![(value(WORD, 0, 100), 50)];
    table.allow(Group::new(10, one, Rule::open(Lease::Fixed(ms(1000)))).unwrap()).unwrap();
    table.allow(Group::new(11, vec![(value(LIMIT, -9, 70_000), 0)], Rule::open(Lease::Endless)).unwrap()).unwrap();
    let lease = Lease::Written { member: 1, step: ms(1000), longest: ms(60_000) };
    let rule = Rule { sequence: Some(2), ..Rule::open(lease) };
    let together = vec![(value(LIMIT, 0, 99), 7), (value(WORD, 0, 0xffff), 0), (value(WORD, 0, 0xffff), 0)];
    table.allow(Group::new(20, together, rule).unwrap()).unwrap();
    table
}

fn bytes(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// What a write tells, as (address, value).
fn write(table: &mut WriteTable<2>, start: u16, words: &[u16], now: i64) -> Result<Vec<(u16, i64)>, WriteError> {
    let mut told = Vec::new();
    let by = party(1, None);
    table.write(start, &bytes(words), &by, ms(now), |change| told.push((change.address, change.value)))?;
    Ok(told)
}

fn expired(table: &mut WriteTable<2>, now: i64) -> Vec<(u16, i64, Vec<u8>)> {
    let mut told = Vec::new();
    table.expire(ms(now), |change, cell| told.push((change.address, change.value, cell.as_slice().to_vec())));
    told
}

proptest! {
    #[test]
    fn only_whole_values_in_range_are_written(start in 8u16..15, words in prop::collection::vec(0u16..120, 1..4)) {
        let accepted = write(&mut table(), start, &words, 0).is_ok();
        let expected = match (start, words.as_slice()) {
            (10, [one]) => *one <= 100,
            (10, [one, high, low]) => *one <= 100 && (i64::from(*high) << 16 | i64::from(*low)) <= 70_000,
            (11, [high, low]) => (i64::from(*high) << 16 | i64::from(*low)) <= 70_000,
            _ => false,
        };
        prop_assert_eq!(accepted, expected);
    }

    #[test]
    fn a_refused_write_changes_nothing(start in 8u16..26, words in prop::collection::vec(any::<u16>(), 1..6)) {
        let mut table = table();
        if write(&mut table, start, &words, 0).is_err() {
            prop_assert_eq!(table.next_expiry(), None);
            prop_assert_eq!(write(&mut table, 20, &[0, 5, 1, 0], 0), Ok(vec![(20, 5), (22, 1), (23, 0)]));
        }
    }

    #[test]
    fn no_client_writes_more_often_than_its_pace(
        interval in 1i64..50, burst in 1i64..4, steps in prop::collection::vec(0i64..40, 1..60),
    ) {
        let rule = Rule { pace: Some(Pace { interval: ms(interval), burst }), ..Rule::open(Lease::Endless) };
        let mut table = WriteTable::<2>::default();
        table.allow(Group::new(0, vec![(value(WORD, 0, 9), 0)], rule).unwrap()).unwrap();
        let (mut now, mut accepted) = (0, Vec::new());
        for step in steps {
            now += step;
            if write(&mut table, 0, &[1], now).is_ok() { accepted.push(now); }
        }
        prop_assert!(!accepted.is_empty(), "the first write is always accepted");
        for (first, from) in accepted.iter().enumerate() {
            for (count, to) in (1i64..).zip(&accepted[first..]) {
                prop_assert!(count <= burst + (to - from) / interval, "{count} writes in {from}..{to}");
            }
        }
    }
}

#[test]
fn half_a_value_and_no_value_are_told_apart() {
    let mut table = table();
    assert_eq!(write(&mut table, 11, &[1], 0), Err(WriteError::Incomplete));
    assert_eq!(write(&mut table, 12, &[1], 0), Err(WriteError::Incomplete));
    assert_eq!(write(&mut table, 13, &[1], 0), Err(WriteError::NotWritable));
    assert_eq!(write(&mut table, 10, &[101], 0), Err(WriteError::BadValue));
    assert_eq!(write(&mut table, 11, &[0xffff, 0xfff7], 0), Ok(vec![(11, -9)]));
    assert_eq!(write(&mut table, 11, &[0xffff, 0xfff6], 0), Err(WriteError::BadValue));
}

#[test]
fn a_value_not_rewritten_in_time_returns_to_its_fallback_once() {
    let mut table = table();
    write(&mut table, 10, &[80], 0).unwrap();
    write(&mut table, 10, &[80], 900).unwrap();
    assert_eq!(table.next_expiry(), Some(ms(1900)));
    assert_eq!(expired(&mut table, 1899), []);
    assert_eq!(expired(&mut table, 1900), [(10, 50, vec![0, 50])]);
    assert_eq!(expired(&mut table, 9999), []);
}

#[test]
fn a_group_is_written_whole_or_not_at_all() {
    let mut table = table();
    for (start, words) in [(20, &[0, 5][..]), (22, &[1]), (22, &[1, 1]), (20, &[0, 5, 1]), (11, &[0, 0, 0, 0])] {
        assert!(write(&mut table, start, words, 0).is_err(), "{start} {words:?}");
    }
    assert_eq!(write(&mut table, 20, &[0, 5, 30, 1], 0), Ok(vec![(20, 5), (22, 30), (23, 1)]));
    assert_eq!(table.next_expiry(), Some(ms(30_000)));
}

#[test]
fn the_client_says_how_long_its_group_holds_up_to_the_longest() {
    let mut table = table();
    assert_eq!(write(&mut table, 20, &[0, 5, 0, 1], 0), Err(WriteError::BadValue), "no lease is no write");
    assert_eq!(write(&mut table, 20, &[0, 5, 61, 1], 0), Err(WriteError::BadValue));
    write(&mut table, 20, &[0, 5, 60, 1], 0).unwrap();
    write(&mut table, 20, &[0, 6, 2, 2], 1_000).unwrap();
    assert_eq!(expired(&mut table, 2_999), []);
    let fallen = [(20, 7, vec![0, 0, 0, 7]), (22, 0, vec![0, 0]), (23, 0, vec![0, 0])];
    assert_eq!(expired(&mut table, 3_000), fallen, "the newest lease counts, and all values fall back together");
}

#[test]
fn a_sequence_only_grows_while_the_group_is_held_and_may_wrap() {
    let mut table = table();
    write(&mut table, 20, &[0, 5, 9, 0xfffe], 0).unwrap();
    assert_eq!(write(&mut table, 20, &[0, 6, 9, 0xfffe], 1), Err(WriteError::OldSequence));
    assert_eq!(write(&mut table, 20, &[0, 6, 9, 0xfffd], 1), Err(WriteError::OldSequence));
    assert_eq!(table.next_expiry(), Some(ms(9_000)), "an old write renews nothing");
    write(&mut table, 20, &[0, 6, 9, 1], 2).unwrap();
    assert_eq!(expired(&mut table, 9_002).len(), 3);
    write(&mut table, 20, &[0, 6, 9, 0], 9_003).unwrap();
}

#[test]
fn a_new_fallback_acts_at_once_only_where_no_client_holds_the_value() {
    let mut table = table();
    assert_eq!(table.set_fallback(10, 7).unwrap().unwrap().as_slice(), [0, 7]);
    write(&mut table, 10, &[80], 0).unwrap();
    assert_eq!(table.set_fallback(10, 8), Ok(None));
    assert_eq!(expired(&mut table, 1000), [(10, 8, vec![0, 8])]);
    assert_eq!(table.set_fallback(10, 70_000), Err(TableError::Range));
    for address in [12, 13, 9] {
        assert_eq!(table.set_fallback(address, 0), Err(TableError::Unknown), "{address}");
    }
}

#[test]
fn a_client_without_the_role_is_denied_before_its_values_are_looked_at() {
    let rule = Rule { roles: vec!["Operator".to_owned()], ..Rule::open(Lease::Endless) };
    let mut table = WriteTable::<2>::default();
    table.allow(Group::new(0, vec![(value(WORD, 0, 9), 0)], rule).unwrap()).unwrap();
    for (role, word, expected) in [
        (None, 1, Err(WriteError::Denied)),
        (Some("Viewer"), 99, Err(WriteError::Denied)),
        (Some("operator"), 1, Err(WriteError::Denied)),
        (Some("Operator"), 99, Err(WriteError::BadValue)),
        (Some("Operator"), 1, Ok(None)),
    ] {
        let found = table.write(0, &bytes(&[word]), &party(1, role), ms(0), |_| ());
        assert_eq!(found, expected, "{role:?} {word}");
    }
}

#[test]
fn the_pace_is_kept_per_client_and_its_memory_is_bounded() {
    let rule = Rule { pace: Some(Pace { interval: ms(100), burst: 1 }), ..Rule::open(Lease::Endless) };
    let mut table = WriteTable::<2>::default();
    table.allow(Group::new(0, vec![(value(WORD, 0, 9), 0)], rule).unwrap()).unwrap();
    let mut by = |host: usize, now| table.write(0, &bytes(&[1]), &party(host as u128, None), ms(now), |_| ());
    for host in 0..PACED_MAX {
        assert_eq!(by(host, 0), Ok(None));
    }
    assert_eq!(by(0, 99), Err(WriteError::TooSoon));
    assert_eq!(by(PACED_MAX, 99), Err(WriteError::TooSoon), "no room to remember one more");
    assert_eq!(by(PACED_MAX, 100), Ok(None));
    assert_eq!(by(0, 100), Ok(None));
}

#[test]
fn cells_of_another_group_are_refused_on_both_sides() {
    for (start, form, expected) in [
        (9, WORD, Ok(())),
        (9, LIMIT, Err(TableError::Overlap)),
        (12, WORD, Err(TableError::Overlap)),
        (13, LIMIT, Ok(())),
        (24, WORD, Ok(())),
        (23, WORD, Err(TableError::Overlap)),
    ] {
        let group = Group::new(start, vec![(value(form, 0, 1), 0)], Rule::open(Lease::Endless)).unwrap();
        assert_eq!(table().allow(group), expected, "{start}");
    }
    let last = Group::new(65_535, vec![(value(LIMIT, 0, 1), 0)], Rule::open(Lease::Endless));
    assert_eq!(last.err(), Some(TableError::Range));
}
