//! Models on a device: positions, whole decodes, reads of long models, lengths that do not fit.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::modbus::pdu::READ_MAX;
use crate::modbus::point::wire;
use crate::modbus::tables;
use proptest::prelude::*;

const BASE: u16 = 40_070;

fn model(id: u16, length: u16) -> Model {
    Model { id, address: BASE, length }
}

/// Registers of a model: header, then the words given by offset, all else "not implemented" of int16.
fn registers(id: u16, length: u16, set: &[(u16, u16)]) -> Vec<u16> {
    let mut words = vec![0x8000; usize::from(length) + 2];
    (words[0], words[1]) = (id, length);
    for (offset, value) in set.iter().filter(|(offset, _)| *offset < length + 2) {
        words[usize::from(*offset)] = *value;
    }
    words
}

fn decoded(layout: &GroupDef, words: &[u16]) -> Decoded {
    decode(layout, RegisterBytes::new(&wire(words)).unwrap())
}

fn number(decoded: &Decoded, name: &str) -> Option<i128> {
    match decoded.items.iter().find(|item| item.name == name).unwrap().value {
        Some(Value::Number(Raw::Integer(value))) => Some(value),
        _ => None,
    }
}

#[test]
fn a_point_is_found_with_its_scale_factor() {
    let slot = locate(&tables::find(701).unwrap(), &model(701, 153), "W").unwrap();
    assert_eq!((slot.address, slot.scale), (BASE + 10, ScaleAt::Register(BASE + 116)));
    assert_eq!(slot.span(), Span { start: BASE + 10, count: 107 });
}

#[test]
fn a_point_beyond_the_announced_length_or_with_its_factor_there_is_not_there() {
    let layout = tables::find(701).unwrap();
    assert!(locate(&layout, &model(701, 115), "W").is_some());
    assert_eq!(locate(&layout, &model(701, 114), "W"), None, "its scale factor is missing");
    assert_eq!(locate(&layout, &model(701, 153), "Nothing"), None);
    assert!(locate(&layout, &model(701, 400), "W").is_some(), "a tail is left alone");
}

#[test]
fn a_dc_measurement_has_as_many_ports_as_it_says_and_no_more_than_there_are_registers_for() {
    let layout = tables::find(714).unwrap();
    let ports = |length: u16, count: u16| {
        let found = decoded(&layout, &registers(714, length, &[(4, count), (6, 123), (20 + 12, 55), (45 + 12, 66)]));
        let Groups::List(all) = &found.groups[0].1 else { panic!("not a list") };
        all.iter().map(|port| number(port, "DCW")).collect::<Vec<_>>()
    };
    assert_eq!(ports(68, 2), [Some(55), Some(66)]);
    assert_eq!(ports(68, 0), []);
    assert_eq!(ports(68, 0xffff), [], "not implemented");
    assert_eq!(ports(43, 60_000), [Some(55)], "the announced length bounds the count");
    assert_eq!(ports(75, 2), [Some(55), Some(66)], "a tail that fits no definition is ignored");
}

#[test]
fn what_a_short_model_does_not_reach_is_absent() {
    let found = decoded(&tables::find(715).unwrap(), &registers(715, 3, &[(2, 1), (3, 0), (4, 7)]));
    assert_eq!((number(&found, "LocRemCtl"), number(&found, "DERHb")), (Some(1), Some(7)));
    assert_eq!(number(&found, "ControllerHb"), None);
    assert_eq!(decoded(&tables::find(715).unwrap(), &[]).items.len(), 5);
}

#[test]
fn texts_end_at_their_zeros() {
    let words: Vec<u16> = registers(1, 66, &[(2, 0x4447), (3, 0x4d00)]);
    let mut words: Vec<u16> = words.iter().map(|word| if *word == 0x8000 { 0 } else { *word }).collect();
    words[18] = 0x4100;
    let found = decoded(&tables::find(1).unwrap(), &words);
    assert_eq!(found.items[0].value, Some(Value::Text("DGM".to_owned())));
    assert_eq!(found.items[1].value, Some(Value::Text("A".to_owned())));
    assert_eq!(found.items[2].value, None);
}

/// All reads of a model whose registers are `words`.
fn runs(id: u16, words: &[u16]) -> Vec<Span> {
    let (layout, model) = (tables::find(id).unwrap(), model(id, words[1]));
    let (mut known, mut runs) = (0, Vec::new());
    while let Some(span) = next_run(&layout, &model, RegisterBytes::new(&wire(&words[..known])).unwrap(), READ_MAX) {
        assert_eq!(usize::from(span.start - BASE), known);
        known += usize::from(span.count);
        runs.push(span);
        assert!(runs.len() < 100, "model {id} never ends");
    }
    runs
}

#[test]
fn a_model_of_more_than_125_registers_is_read_in_runs_that_end_where_points_end() {
    let spans = |id, words: &[u16]| runs(id, words).iter().map(|span| span.count).collect::<Vec<_>>();
    assert_eq!(spans(701, &registers(701, 153, &[])), [123, 32], "the text of the alarm is not cut");
    assert_eq!(spans(213, &registers(213, 124, &[])), [124, 2], "a float is not cut");
    assert_eq!(spans(715, &registers(715, 7, &[])), [9]);
}

#[test]
fn groups_are_read_when_their_count_is_known() {
    let words = registers(714, 18 + 8 * 25, &[(4, 8)]);
    let total: u16 = runs(714, &words).iter().map(|span| span.count).sum();
    assert_eq!(total, 20 + 8 * 25);
    assert_eq!(runs(714, &words)[0].count, 20);
}

/// Every number of a decoded model by its path.
fn numbers(decoded: &Decoded, prefix: &str, found: &mut Vec<(String, Raw)>) {
    for item in &decoded.items {
        if let Some(Value::Number(raw)) = &item.value {
            found.push((format!("{prefix}{}", item.name), *raw));
        }
    }
    for (name, groups) in &decoded.groups {
        match groups {
            Groups::Once(one) => numbers(one, &format!("{prefix}{name}."), found),
            Groups::List(all) => {
                for (at, one) in all.iter().enumerate() {
                    numbers(one, &format!("{prefix}{name}[{at}]."), found);
                }
            }
        }
    }
}

#[test]
fn a_path_that_leads_nowhere_finds_nothing() {
    let words = registers(705, 45, &[(5, 3), (6, 2)]);
    let bytes = wire(&words);
    let find = |path: &str| {
        let words = RegisterBytes::new(&bytes).unwrap();
        locate_path(&tables::find(705).unwrap(), &model(705, 45), words, path).map(|slot| slot.address - BASE)
    };
    assert_eq!([find("Ena"), find("Crv[0].ActPt"), find("Crv[1].Pt[2].Var")], [Some(2), Some(15), Some(46)]);
    let nowhere = ["", ".", "Crv", "Crv[2].ActPt", "Crv[1].Pt[3].V", "Crv[x].ActPt", "Crv[0", "Crv[0].", "Pt[0].V"];
    assert!(nowhere.iter().all(|path| find(path).is_none()));
}

proptest! {
    #[test]
    fn every_number_is_found_by_its_path(
        pick in 0usize..112, length in 1u16..200, small in prop::collection::vec(0u16..4, 200),
    ) {
        let id = tables::numbers().nth(pick).unwrap();
        let layout = tables::find(id).unwrap();
        let mut words = small[..usize::from(length)].to_vec();
        words.splice(0..0, [id, length]);
        let mut found = Vec::new();
        numbers(&decoded(&layout, &words), "", &mut found);
        let bytes = wire(&words);
        let all = RegisterBytes::new(&bytes).unwrap();
        for (path, raw) in found {
            let slot = locate_path(&layout, &model(id, length), all, &path);
            let there = slot.and_then(|slot| slot.raw(&Block::new(Table::Holding, BASE, all)));
            prop_assert_eq!(there, Some(raw), "{}", path);
        }
    }

    #[test]
    fn no_registers_make_a_decoder_panic_or_grow_beyond_them(
        pick in 0usize..112, length in 0u16..400, words in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        let id = tables::numbers().nth(pick).unwrap();
        let mut words = words;
        if words.len() > 1 {
            words[1] = length;
        }
        let layout = tables::find(id).unwrap();
        fn lists(decoded: &Decoded) -> usize {
            decoded.groups.iter().map(|(_, group)| match group {
                Groups::Once(one) => lists(one),
                Groups::List(all) => all.len() + all.iter().map(lists).sum::<usize>(),
            }).sum()
        }
        prop_assert!(lists(&decoded(&layout, &words)) <= words.len());
    }

    #[test]
    fn every_model_is_read_whole_whatever_its_counts(pick in 0usize..112, length in 1u16..600, fill in any::<u16>()) {
        let id = tables::numbers().nth(pick).unwrap();
        let mut words = vec![fill; usize::from(length) + 2];
        (words[0], words[1]) = (id, length);
        for span in runs(id, &words) {
            prop_assert!(span.count <= READ_MAX);
        }
    }
}
