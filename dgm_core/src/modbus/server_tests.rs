//! The server under virtual time: the hostile frames, whole values, watchdogs, bounds.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::pdu::Table;
use super::super::writable::Width;
use super::*;

const T0: Millis = Millis::new(0);

fn server() -> Server {
    let mut server = Server::new(2);
    server.define(1, Span { start: 0, count: 200 }).unwrap();
    server.define(2, Span { start: 65_535, count: 1 }).unwrap();
    server.publish(1, 0, &[11, 22, 33]).unwrap();
    let writable = Writable::new(Width::Two, 0, 100_000, Some(Millis::new(5_000))).unwrap();
    server.allow_write(1, Span { start: 100, count: 2 }, writable).unwrap();
    server.allow_write(1, Span { start: 110, count: 1 }, Writable::new(Width::One, -10, 10, None).unwrap()).unwrap();
    server.set_fallback(1, 100, 7_000).unwrap();
    server
}

fn frame(transaction: u8, unit: u8, pdu: &[u8]) -> Vec<u8> {
    frame::encode(u16::from(transaction), unit, pdu)
}

const READ: [u8; 5] = [3, 0, 0, 0, 1];

fn good_read() -> Vec<u8> {
    frame(9, 1, &READ)
}

fn good_answer() -> Vec<u8> {
    frame(9, 1, &[3, 2, 0, 11])
}

/// What a client sees that sends the bytes, then a valid read in its own segment.
fn exchange(bytes: &[u8]) -> Output {
    let (mut server, mut connection) = (server(), Connection::new(T0));
    let mut output = connection.receive(bytes, &mut server, T0);
    if !output.close {
        let second = connection.receive(&good_read(), &mut server, T0);
        output.bytes.extend(second.bytes);
        output.close = second.close;
    }
    output
}

#[test]
fn the_hostile_frames_are_answered_as_defined_and_a_valid_read_still_is() {
    let raw = |length: u16, protocol: u8, pdu: &[u8]| {
        let mut bytes = vec![0, 1, 0, protocol];
        bytes.extend(length.to_be_bytes());
        bytes.push(1);
        bytes.extend_from_slice(pdu);
        bytes
    };
    let mut fc16_124 = vec![16, 0, 0, 0, 124, 248];
    fc16_124.extend([0; 248]);
    let exception = |function: u8, code: u8| Some(frame(1, 1, &[function | 0x80, code]));
    let table: [(u8, Vec<u8>, Option<Vec<u8>>); 15] = [
        (1, raw(6, 1, &READ), None),
        (2, raw(0, 0, &READ), None),
        (3, raw(1, 0, &READ), None),
        (4, raw(0xffff, 0, &READ), None),
        (5, raw(4, 0, &READ), None),
        (7, frame(1, 1, &[3]), exception(3, 3)),
        (8, frame(1, 1, &[0x55, 0, 0, 0, 1]), exception(0x55, 1)),
        (9, frame(1, 1, &[0x80, 0, 0, 0, 1]), None),
        (10, frame(1, 1, &[3, 0, 0, 0, 0]), exception(3, 3)),
        (11, frame(1, 1, &[3, 0, 0, 0, 126]), exception(3, 3)),
        (12, frame(1, 1, &[3, 0xff, 0xff, 0, 2]), exception(3, 2)),
        (13, frame(1, 1, &fc16_124), None),
        (14, frame(1, 1, &[16, 0, 100, 0, 2, 200, 0, 0, 0, 1]), exception(16, 3)),
        (15, frame(1, 1, &[3, 0, 0, 0, 1, 9, 9, 9]), exception(3, 3)),
        (17, frame(1, 247, &READ), Some(frame(1, 247, &[0x83, 0x0B]))),
    ];
    for (number, bytes, answer) in table {
        let expected = match answer {
            Some(answer) => Output { bytes: [answer, good_answer()].concat(), close: false },
            None => Output { bytes: vec![], close: true },
        };
        assert_eq!(exchange(&bytes), expected, "case {number}");
    }
}

#[test]
fn case_6_a_frame_that_never_comes_whole_is_closed_after_the_partial_frame_timeout() {
    let (mut server, mut connection) = (server(), Connection::new(T0));
    let mut bytes = good_read();
    bytes[5] = 9;
    assert_eq!(connection.receive(&bytes, &mut server, T0), Output::default());
    assert_eq!(connection.deadline(), PARTIAL_FRAME);
    assert_eq!(connection.receive(&[0], &mut server, Millis::new(900)), Output::default());
    assert_eq!(connection.deadline(), PARTIAL_FRAME, "a dripping client gains nothing");
}

#[test]
fn case_16_two_frames_in_one_segment_are_both_answered_in_order() {
    let two = [frame(1, 1, &[3, 0, 1, 0, 2]), good_read()].concat();
    let expected = [frame(1, 1, &[3, 4, 0, 22, 0, 33]), good_answer()].concat();
    let output = Connection::new(T0).receive(&two, &mut server(), T0);
    assert_eq!(output, Output { bytes: expected, close: false });
}

#[test]
fn functions_that_are_not_served_are_exception_1() {
    for function in [0, 1, 2, 7, 8, 17, 20, 24, 43] {
        let answer = server().answer(1, &[function, 0, 0, 0, 1], T0);
        assert_eq!(answer, Answer::Pdu(vec![function | 0x80, 1]), "function {function}");
    }
}

#[test]
fn input_registers_show_the_same_image() {
    assert_eq!(server().answer(1, &[4, 0, 2, 0, 1], T0), Answer::Pdu(vec![4, 2, 0, 33]));
}

#[test]
fn the_last_register_of_the_address_space_can_be_read_and_not_passed() {
    assert_eq!(server().answer(2, &[3, 0xff, 0xff, 0, 1], T0), Answer::Pdu(vec![3, 2, 0, 0]));
    assert_eq!(server().answer(2, &[3, 0xff, 0xff, 0, 2], T0), Answer::Pdu(vec![0x83, 2]));
    assert_eq!(server().define(1, Span { start: 65_535, count: 2 }), Err(DefineError::Registers));
}

#[test]
fn a_write_holds_until_its_watchdog_and_then_falls_back_before_the_next_read_sees_it() {
    let mut server = server();
    assert_eq!(server.answer(1, &[16, 0, 100, 0, 2, 4, 0, 1, 0, 0], T0), Answer::Pdu(vec![16, 0, 100, 0, 2]));
    let held = server.answer(1, &[3, 0, 100, 0, 2], Millis::new(4_999));
    assert_eq!(held, Answer::Pdu(vec![3, 4, 0, 1, 0, 0]));
    assert_eq!(server.next_expiry(), Some(Millis::new(5_000)));
    let fallen = server.answer(1, &[3, 0, 100, 0, 2], Millis::new(5_000));
    assert_eq!(fallen, Answer::Pdu(vec![3, 4, 0, 0, 0x1B, 0x58]));
    let change = |value, at| UnitChange { unit: 1, change: Change { address: 100, value }, at };
    assert_eq!(server.take_changes(), [change(65_536, T0), change(7_000, Millis::new(5_000))]);
    assert!(!server.has_changes());
}

#[test]
fn what_is_not_writable_is_exception_2_and_half_a_value_exception_3() {
    for (pdu, code) in [
        (vec![6u8, 0, 0, 0, 1], 2u8),
        (vec![6, 0xff, 0, 0, 1], 2),
        (vec![6, 0, 100, 0, 1], 3),
        (vec![6, 0, 101, 0, 1], 3),
        (vec![6, 0, 110, 0, 11], 3),
        (vec![16, 0, 100, 0, 3, 6, 0, 0, 0, 1, 0, 1], 2),
        (vec![16, 0, 100, 0, 2, 4, 0, 2, 0, 0], 3),
    ] {
        let mut server = server();
        assert_eq!(server.answer(1, &pdu, T0), Answer::Pdu(vec![pdu[0] | 0x80, code]), "{pdu:02x?}");
        assert!(!server.has_changes());
    }
}

#[test]
fn function_23_reads_what_it_has_just_written() {
    let mut server = server();
    let pdu = [23, 0, 109, 0, 2, 0, 110, 0, 1, 2, 0xff, 0xf6];
    assert_eq!(server.answer(1, &pdu, T0), Answer::Pdu(vec![23, 4, 0, 0, 0xff, 0xf6]));
    let bad_read = [23, 2, 0, 0, 2, 0, 110, 0, 1, 2, 0, 1];
    assert_eq!(server.answer(1, &bad_read, T0), Answer::Pdu(vec![23 | 0x80, 2]));
    assert_eq!(server.take_changes().len(), 1, "a refused request writes nothing");
}

#[test]
fn changes_nobody_takes_are_bounded_and_the_newest_of_each_value_is_kept() {
    let mut server = server();
    server.answer(1, &[6, 0, 110, 0, 5], T0);
    for step in 0..20_000u32 {
        let [_, high, mid, low] = step.to_be_bytes();
        server.answer(1, &[16, 0, 100, 0, 2, 4, 0, high, mid, low], T0);
        assert!(server.changes.len() <= CHANGES_MAX);
    }
    let changes = server.take_changes();
    assert_eq!(changes.last().unwrap().change.value, 19_999);
    assert!(changes.iter().any(|change| change.change.address == 110));
    assert!(server.counters.changes_conflated > 0);
}

#[test]
fn a_silent_client_is_closed_after_the_idle_time() {
    let mut connection = Connection::new(T0);
    connection.receive(&good_read(), &mut server(), Millis::new(50));
    assert_eq!(connection.deadline(), Millis::new(50 + IDLE_CLIENT.get()));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_get_the_same_answers(
        parts in prop::collection::vec(prop_oneof![
            Just(good_read()),
            prop::collection::vec(any::<u8>(), 0..12),
            prop::collection::vec(any::<u8>(), 1..9).prop_map(|pdu| frame(1, 1, &pdu)),
        ], 0..5),
        piece in 1usize..40,
    ) {
        let stream = parts.concat();
        let whole = Connection::new(T0).receive(&stream, &mut server(), T0);
        let (mut server, mut connection, mut output) = (server(), Connection::new(T0), Output::default());
        for bytes in stream.chunks(piece) {
            let next = connection.receive(bytes, &mut server, T0);
            output.bytes.extend(next.bytes);
            output.close = next.close;
            if output.close { break; }
        }
        prop_assert_eq!(output, whole);
    }

    #[test]
    fn a_reader_never_sees_half_of_a_published_value(old in any::<u32>(), new in any::<u32>(), at in 0u16..199) {
        let words = |value: u32| { let [a, b, c, d] = value.to_be_bytes(); [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])] };
        let mut server = server();
        server.publish(1, at, &words(old)).unwrap();
        server.publish(1, at, &words(new)).unwrap();
        let read = Request::Read { table: Table::Holding, span: Span { start: at, count: 2 } };
        let expected = encode_registers(3, &words(new));
        prop_assert_eq!(server.answer(1, &read.encode().unwrap(), T0), Answer::Pdu(expected));
    }
}
