//! Devices that are known again, and devices that are not.
#![allow(clippy::unwrap_used)]
use super::super::channels::Terms;
use super::super::device::{Device, DeviceConfig, Role};
use super::super::fake_device::FakeDevice;
use super::super::pdu::{Exception, Reply, ReplyView, Request, Table};
use super::super::plan::Class;
use super::super::point::wire;
use super::super::session::{Completion, Token};
use super::super::sunspec::{Progress, Scan};
use super::*;
use crate::units::Micros;
use proptest::prelude::*;

const MISSING: Failure = Failure::Refused(Exception::IllegalAddress);

/// Registers from 40000 on.
fn image(serial: u16, chain: &[(u16, u16)]) -> Vec<u16> {
    let mut words = MARKER.to_vec();
    for (id, length) in chain {
        words.extend([*id, *length]);
        words.extend((0..*length).map(|at| if *id == 1 && at == 50 { serial } else { *id }));
    }
    words.extend([END, 0]);
    words
}

fn answer(words: &[u16], span: Span, longest: u16) -> Result<Vec<u8>, Failure> {
    let at = usize::from(span.start.checked_sub(40_000).ok_or(MISSING)?);
    let found = words.get(at..at + usize::from(span.count)).filter(|_| span.count <= longest);
    found.map(wire).ok_or(MISSING)
}

/// Walks a device; what was learnt, and the reads it took.
fn learn(words: &[u16], longest: u16) -> (Option<Learnt>, usize) {
    let mut scan = Scan::default();
    for reads in 1..200 {
        let bytes = answer(words, scan.next_span(), longest);
        let view = bytes.as_deref().map(|bytes| RegisterBytes::new(bytes).unwrap()).map_err(|failure| *failure);
        match scan.advance(view) {
            Progress::More => {}
            Progress::Found(map) => return (scan.learnt(&map), reads),
            other => panic!("{other:?}"),
        }
    }
    panic!("the walk does not end")
}

/// Holds a device against what is known; the outcome and the reads it took.
fn recall(learnt: &Learnt, words: &[u16], longest: u16) -> (Recalled, usize) {
    let mut recall = Recall::new(learnt, true);
    for reads in 1..20 {
        let bytes = answer(words, recall.next_span(), longest);
        let view = bytes.as_deref().map(|bytes| RegisterBytes::new(bytes).unwrap()).map_err(|failure| *failure);
        match recall.advance(view) {
            Recalled::More => {}
            done => return (done, reads),
        }
    }
    panic!("the recall does not end")
}

const CHAIN: [(u16, u16); 6] = [(1, 66), (701, 153), (702, 50), (703, 17), (704, 65), (713, 7)];

#[test]
fn a_device_is_known_again_in_three_reads_with_its_chain() {
    let words = image(7, &CHAIN);
    let (learnt, reads) = learn(&words, READ_MAX);
    let learnt = learnt.unwrap();
    assert!(learnt.check().is_ok());
    assert!(reads > 3);
    let (Recalled::Same(map), reads) = recall(&learnt, &words, READ_MAX) else { panic!("not known") };
    assert_eq!((map.models(), reads), (&learnt.models[..], 3));
}

#[test]
fn a_device_that_refuses_long_reads_is_known_again_by_short_ones() {
    let words = image(7, &CHAIN);
    let (learnt, walked) = learn(&words, SHORT);
    let learnt = learnt.unwrap();
    assert!(!learnt.is_long);
    let (recalled, reads) = recall(&learnt, &words, SHORT);
    assert!(matches!(recalled, Recalled::Same(_)));
    assert!(reads < walked, "{reads} reads instead of {walked}");
}

#[test]
fn another_serial_number_another_chain_and_another_map_are_another_device() {
    let (learnt, _) = learn(&image(7, &CHAIN), READ_MAX);
    let learnt = learnt.unwrap();
    let mut longer = CHAIN.to_vec();
    longer.insert(2, (714, 9));
    let (mut shorter, mut other_end) = (CHAIN.to_vec(), CHAIN.to_vec());
    shorter.remove(2);
    other_end.push((715, 7));
    for words in [image(8, &CHAIN), image(7, &longer), image(7, &shorter), image(7, &other_end), vec![0; 500], vec![]] {
        assert_eq!(recall(&learnt, &words, READ_MAX).0, Recalled::Other);
    }
}

#[test]
fn silence_proves_nothing() {
    let (learnt, _) = learn(&image(7, &CHAIN), READ_MAX);
    for failure in [Failure::TimedOut, Failure::Disconnected] {
        assert_eq!(Recall::new(&learnt.clone().unwrap(), true).advance(Err(failure)), Recalled::Lost);
    }
}

#[test]
fn a_device_without_a_common_model_is_not_remembered() {
    assert_eq!(learn(&image(7, &[(701, 153), (704, 65)]), READ_MAX).0, None);
    assert_eq!(learn(&image(7, &[(1, 40), (704, 65)]), READ_MAX).0, None);
}

/// A device behind a line of its own that carries out what it asks for until it is served; the reads that took.
fn found(device: &mut Device, fake: &mut FakeDevice) -> Vec<Span> {
    let mut reads = Vec::new();
    while !device.is_serving() {
        let Some(Request::Read { span, .. }) = device.take(Class::Search, Micros::ZERO) else { panic!("no read") };
        reads.push(span);
        let bytes = fake.answer(&Request::Read { table: Table::Holding, span }).map(|reply| match reply {
            Reply::Registers(words) => wire(&words),
            other => panic!("{other:?}"),
        });
        let view = |bytes| ReplyView::Registers(RegisterBytes::new(bytes).unwrap());
        let result = bytes.as_deref().map(view).map_err(|failure| *failure);
        device.complete(
            Class::Search,
            &Completion { token: Token::default(), result, sent_at: Micros::ZERO },
            Micros::ZERO,
        );
        assert!(reads.len() < 50);
    }
    reads
}

fn meter() -> Device {
    let second = Micros::from_millis(1_000);
    let config = DeviceConfig {
        unit: 1,
        role: Role::Meter,
        period: second,
        timeout: second,
        write_latency: second,
        table: None,
    };
    Device::new(config, Terms::default(), Micros::ZERO)
}

#[test]
fn a_device_of_a_restart_is_served_without_a_walk_and_another_one_is_walked_through() {
    let mut fake = FakeDevice::meter();
    let mut first = meter();
    let walk = found(&mut first, &mut fake);
    let learnt = first.take_learnt().unwrap().unwrap();
    assert_eq!(first.take_learnt(), None, "told once");

    let mut again = meter();
    again.know(learnt.clone(), Micros::ZERO);
    let reads = found(&mut again, &mut fake);
    assert_eq!(reads.len(), 3);
    assert_eq!(again.take_learnt(), None, "nothing new");

    fake.set(1, 60, &[0x4142]);
    let mut other = meter();
    other.know(learnt, Micros::ZERO);
    assert_eq!(found(&mut other, &mut fake)[1..], walk);
    assert_eq!(other.take_learnt().unwrap().unwrap().identity[58], 0x4142);
}

#[test]
fn a_device_that_is_lost_is_known_again_when_it_comes_back() {
    let mut fake = FakeDevice::meter();
    let mut device = meter();
    found(&mut device, &mut fake);
    device.lose(Micros::ZERO);
    assert_eq!(found(&mut device, &mut fake).len(), 3);
}

proptest! {
    #[test]
    fn what_no_walk_could_have_found_is_refused(
        base in any::<u16>(), identity in prop::collection::vec(any::<u16>(), 0..80),
        models in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u16>()), 0..5), end in any::<Option<u16>>(),
    ) {
        let models = models.into_iter().map(|(id, address, length)| Model { id, address, length }).collect();
        let learnt = Learnt { base, identity, models, end, is_long: true };
        prop_assert!(learnt.check().is_err());
    }

    #[test]
    fn any_walk_can_be_recalled(lengths in prop::collection::vec(1u16..400, 0..40), longest in SHORT..=READ_MAX) {
        let mut chain = vec![(1, 66)];
        chain.extend((300..).zip(lengths));
        let words = image(7, &chain);
        let learnt = learn(&words, longest).0.unwrap();
        prop_assert!(learnt.check().is_ok());
        prop_assert!(matches!(recall(&learnt, &words, longest).0, Recalled::Same(_)));
    }
}
