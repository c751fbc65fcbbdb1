//! The server under virtual time: the hostile frames, whole values, leases, bounds.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::frame;
use super::changes::CHANGES_MAX;
use super::connection::{Connection, Verdict, IDLE_CLIENT, PARTIAL_FRAME};
use super::writable::{Form, Width, Writable};
use super::write_table::{Change, Lease, Rule};
use super::*;

const T0: Millis = Millis::new(0);
const WORD: Form = Form::Number { width: Width::One, is_signed: false, is_low_first: false };

fn one(start: u16, form: Form, low: i64, high: i64, lease: Lease) -> Group {
    Group::new(start, vec![(Writable::new(form, low, high).unwrap(), 0)], Rule::open(lease)).unwrap()
}

/// Unit 1: registers 0..200, 100 a leased 32-bit value, 110 a signed word; coils 10..30, 12 of them writable.
fn server() -> Server {
    let mut server = Server::new(2);
    server.define(1, Table::Holding, Span { start: 0, count: 200 }).unwrap();
    server.define(2, Table::Holding, Span { start: 65_535, count: 1 }).unwrap();
    server.define(1, Table::Coil, Span { start: 10, count: 20 }).unwrap();
    server.publish(1, Table::Holding, 0, &[0, 11, 0, 22, 0, 33]).unwrap();
    let limit = one(100, Form::number(Width::Two, false), 0, 100_000, Lease::Fixed(Millis::new(5_000)));
    server.allow_write(1, Table::Holding, limit).unwrap();
    let signed = one(110, Form::number(Width::One, true), -10, 10, Lease::Endless);
    server.allow_write(1, Table::Holding, signed).unwrap();
    for coil in 10..22 {
        server.allow_write(1, Table::Coil, one(coil, Form::Coil, 0, 1, Lease::Endless)).unwrap();
    }
    server.set_fallback(1, Table::Holding, 100, 7_000).unwrap();
    server
}

fn anyone() -> Arc<Party> {
    Arc::new(Party { name: "a client".to_owned(), host: 1, role: None })
}

fn with_role(role: &str) -> Arc<Party> {
    Arc::new(Party { role: Some(role.to_owned()), ..Party::default() })
}

/// The reply PDU; `None`: close.
fn answer(server: &mut Server, unit: u8, pdu: &[u8], now: Millis) -> Option<Vec<u8>> {
    answer_to(server, &anyone(), unit, pdu, now)
}

fn answer_to(server: &mut Server, party: &Arc<Party>, unit: u8, pdu: &[u8], now: Millis) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    (server.answer(unit, pdu, party, now, &mut out) != Answer::Close).then_some(out)
}

fn frame(transaction: u8, unit: u8, pdu: &[u8]) -> Vec<u8> {
    frame::encode(u16::from(transaction), unit, pdu)
}

/// What a client gets back.
#[derive(Debug, Default, PartialEq)]
struct Output {
    bytes: Vec<u8>,
    close: bool,
}

fn receive(connection: &mut Connection, bytes: &[u8], server: &mut Server, now: Millis) -> Output {
    let mut output = Output::default();
    output.close = connection.receive(bytes, server, now, &mut output.bytes) == Verdict::Close;
    output
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
    let (mut server, mut connection) = (server(), Connection::new(anyone(), T0));
    let mut output = receive(&mut connection, bytes, &mut server, T0);
    if !output.close {
        let second = receive(&mut connection, &good_read(), &mut server, T0);
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
    let (mut server, mut connection) = (server(), Connection::new(anyone(), T0));
    let mut bytes = good_read();
    bytes[5] = 9;
    assert_eq!(receive(&mut connection, &bytes, &mut server, T0), Output::default());
    assert_eq!(connection.deadline(), PARTIAL_FRAME);
    assert_eq!(receive(&mut connection, &[0], &mut server, Millis::new(900)), Output::default());
    assert_eq!(connection.deadline(), PARTIAL_FRAME, "a dripping client gains nothing");
}

#[test]
fn case_16_two_frames_in_one_segment_are_both_answered_in_order() {
    let two = [frame(1, 1, &[3, 0, 1, 0, 2]), good_read()].concat();
    let expected = [frame(1, 1, &[3, 4, 0, 22, 0, 33]), good_answer()].concat();
    let output = receive(&mut Connection::new(anyone(), T0), &two, &mut server(), T0);
    assert_eq!(output, Output { bytes: expected, close: false });
}

#[test]
fn functions_that_are_not_served_are_exception_1() {
    for function in [0, 2, 7, 8, 17, 20, 24, 43] {
        let found = answer(&mut server(), 1, &[function, 0, 0, 0, 1], T0);
        assert_eq!(found, Some(vec![function | 0x80, 1]), "function {function}");
    }
    for pdu in [&[1, 0, 0, 0, 1][..], &[5, 0, 0, 0xff, 0], &[15, 0, 0, 0, 1, 1, 1]] {
        assert_eq!(answer(&mut server(), 2, pdu, T0), Some(vec![pdu[0] | 0x80, 1]), "unit 2 has no coils");
    }
}

#[test]
fn input_registers_show_the_same_image_until_a_unit_has_its_own() {
    let mut server = server();
    assert_eq!(answer(&mut server, 1, &[4, 0, 2, 0, 1], T0), Some(vec![4, 2, 0, 33]));
    server.define(1, Table::Input, Span { start: 2, count: 1 }).unwrap();
    server.publish(1, Table::Input, 2, &[0, 5]).unwrap();
    assert_eq!(answer(&mut server, 1, &[4, 0, 2, 0, 1], T0), Some(vec![4, 2, 0, 5]));
    assert_eq!(answer(&mut server, 1, &[4, 0, 3, 0, 1], T0), Some(vec![0x84, 2]));
}

#[test]
fn the_last_register_of_the_address_space_can_be_read_and_not_passed() {
    let mut server = server();
    assert_eq!(answer(&mut server, 2, &[3, 0xff, 0xff, 0, 1], T0), Some(vec![3, 2, 0, 0]));
    assert_eq!(answer(&mut server, 2, &[3, 0xff, 0xff, 0, 2], T0), Some(vec![0x83, 2]));
    assert_eq!(server.define(1, Table::Holding, Span { start: 65_535, count: 2 }), Err(DefineError::Registers));
}

#[test]
fn coils_are_read_packed_and_written_one_or_many() {
    let mut server = server();
    assert_eq!(answer(&mut server, 1, &[5, 0, 11, 0xff, 0], T0), Some(vec![5, 0, 11, 0xff, 0]));
    assert_eq!(answer(&mut server, 1, &[15, 0, 12, 0, 10, 2, 0b1000_0101, 0b10], T0), Some(vec![15, 0, 12, 0, 10]));
    // Coils 11, 12, 14, 19 and 21 are on.
    assert_eq!(answer(&mut server, 1, &[1, 0, 10, 0, 12], T0), Some(vec![1, 2, 0b0001_0110, 0b1010]));
    let told: Vec<(Table, u16, i64)> =
        server.take_changes().iter().map(|c| (c.table, c.change.address, c.change.value)).collect();
    assert_eq!(told.len(), 11);
    assert_eq!(told[..3], [(Table::Coil, 11, 1), (Table::Coil, 12, 1), (Table::Coil, 13, 0)]);
    for (pdu, code) in [
        (&[5, 0, 11, 0, 1][..], 3),
        (&[5, 0, 22, 0xff, 0], 2),
        (&[15, 0, 21, 0, 2, 1, 3], 2),
        (&[15, 0, 12, 0, 10, 1, 3], 3),
        (&[1, 0, 29, 0, 2], 2),
        (&[1, 0, 10, 7, 0xd1], 3),
    ] {
        assert_eq!(answer(&mut server, 1, pdu, T0), Some(vec![pdu[0] | 0x80, code]), "{pdu:02x?}");
    }
    assert_eq!(server.waiting_changes(), 0);
}

#[test]
fn discrete_inputs_show_what_was_published_and_cannot_be_written() {
    let mut server = server();
    server.define(2, Table::DiscreteInput, Span { start: 7, count: 9 }).unwrap();
    server.publish(2, Table::DiscreteInput, 7, &[1, 0, 1, 0, 0, 0, 0, 0, 1]).unwrap();
    assert_eq!(answer(&mut server, 2, &[2, 0, 7, 0, 9], T0), Some(vec![2, 2, 0b101, 1]));
    let refused = server.allow_write(2, Table::DiscreteInput, one(7, Form::Coil, 0, 1, Lease::Endless));
    assert_eq!(refused, Err(DefineError::Table(TableError::Unknown)));
}

#[test]
fn a_write_holds_until_its_lease_ends_and_then_falls_back_before_the_next_read_sees_it() {
    let mut server = server();
    let written = answer(&mut server, 1, &[16, 0, 100, 0, 2, 4, 0, 1, 0, 0], T0);
    assert_eq!(written, Some(vec![16, 0, 100, 0, 2]));
    let held = answer(&mut server, 1, &[3, 0, 100, 0, 2], Millis::new(4_999));
    assert_eq!(held, Some(vec![3, 4, 0, 1, 0, 0]));
    assert_eq!(server.next_expiry(), Some(Millis::new(5_000)));
    let fallen = answer(&mut server, 1, &[3, 0, 100, 0, 2], Millis::new(5_000));
    assert_eq!(fallen, Some(vec![3, 4, 0, 0, 0x1B, 0x58]));
    let change =
        |value, at, by| UnitChange { unit: 1, table: Table::Holding, change: Change { address: 100, value }, at, by };
    let told = [change(65_536, T0, Some(anyone())), change(7_000, Millis::new(5_000), None)];
    assert_eq!(server.take_changes(), told, "who wrote is told, and that nobody did when it fell back");
    assert_eq!(server.waiting_changes(), 0);
}

#[test]
fn a_rewritten_lease_ends_when_the_newest_write_says() {
    let mut server = server();
    for at in [0, 3_000, 6_000] {
        answer(&mut server, 1, &[16, 0, 100, 0, 2, 4, 0, 0, 0, 9], Millis::new(at)).unwrap();
    }
    server.expire(Millis::new(10_999));
    assert_eq!(server.counters.fallbacks, 0);
    assert_eq!(server.next_expiry(), Some(Millis::new(11_000)));
    server.expire(Millis::new(11_000));
    assert_eq!((server.counters.fallbacks, server.next_expiry()), (1, None));
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
        (vec![22, 0, 0, 0, 0, 0, 1], 2),
        (vec![22, 0, 100, 0, 0, 0, 1], 3),
        (vec![22, 0, 110, 0, 0, 0, 11], 3),
    ] {
        let mut server = server();
        assert_eq!(answer(&mut server, 1, &pdu, T0), Some(vec![pdu[0] | 0x80, code]), "{pdu:02x?}");
        assert_eq!(server.waiting_changes(), 0);
    }
}

#[test]
fn function_22_changes_the_bits_that_its_mask_names() {
    let mut server = server();
    server.define(2, Table::Holding, Span { start: 0, count: 1 }).unwrap();
    server.allow_write(2, Table::Holding, one(0, WORD, 0, 0xffff, Lease::Endless)).unwrap();
    answer(&mut server, 2, &[6, 0, 0, 0, 0x12], T0).unwrap();
    // The example of the Modbus application protocol, section 6.16: 0x12, AND 0xF2, OR 0x25 is 0x17.
    assert_eq!(answer(&mut server, 2, &[22, 0, 0, 0, 0xf2, 0, 0x25], T0), Some(vec![22, 0, 0, 0, 0xf2, 0, 0x25]));
    assert_eq!(answer(&mut server, 2, &[3, 0, 0, 0, 1], T0), Some(vec![3, 2, 0, 0x17]));
    assert_eq!(answer(&mut server, 9, &[22, 0, 0, 0, 0xf2, 0, 0x25], T0), Some(vec![22 | 0x80, 0x0B]));
}

#[test]
fn function_23_reads_what_it_has_just_written() {
    let mut server = server();
    let pdu = [23, 0, 109, 0, 2, 0, 110, 0, 1, 2, 0xff, 0xf6];
    assert_eq!(answer(&mut server, 1, &pdu, T0), Some(vec![23, 4, 0, 0, 0xff, 0xf6]));
    let bad_read = [23, 2, 0, 0, 2, 0, 110, 0, 1, 2, 0, 1];
    assert_eq!(answer(&mut server, 1, &bad_read, T0), Some(vec![23 | 0x80, 2]));
    assert_eq!(server.take_changes().len(), 1, "a refused request writes nothing");
}

#[test]
fn a_role_without_the_right_is_exception_1_and_nothing_else() {
    let mut server = server();
    server.set_write_roles(vec!["Operator".to_owned()]);
    let guarded = Guarded {
        table: Table::Holding,
        span: Span { start: 50, count: 2 },
        roles: vec!["Auditor".to_owned(), "Operator".to_owned()],
    };
    server.guard(1, guarded).unwrap();
    let (nobody, viewer, auditor) = (anyone(), with_role("Viewer"), with_role("Auditor"));
    let (write, read, beside) = ([6, 0, 110, 0, 1], [3, 0, 49, 0, 2], [4, 0, 48, 0, 2]);
    for party in [&nobody, &viewer, &auditor] {
        assert_eq!(answer_to(&mut server, party, 1, &write, T0), Some(vec![0x86, 1]));
        assert!(answer_to(&mut server, party, 1, &beside, T0).is_some_and(|reply| reply[0] == 4));
    }
    assert_eq!(answer_to(&mut server, &with_role("Operator"), 1, &write, T0), Some(write.to_vec()));
    for (party, first) in [(&nobody, 0x83), (&viewer, 0x83), (&auditor, 3)] {
        assert_eq!(answer_to(&mut server, party, 1, &read, T0).unwrap()[0], first, "{party:?}");
        let as_input = answer_to(&mut server, party, 1, &[4, 0, 51, 0, 1], T0).unwrap()[0];
        assert_eq!(as_input, first + 1, "function 4 shows the same registers and the same guard");
    }
    assert_eq!((server.counters.denied_writes, server.counters.denied_reads), (3, 4));
    assert_eq!(server.take_changes()[0].by.as_ref().unwrap().role.as_deref(), Some("Operator"));
}

#[test]
fn a_write_that_comes_too_soon_is_exception_6() {
    let mut server = server();
    let pace = write_table::Pace { interval: Millis::new(100), burst: 1 };
    let rule = Rule { pace: Some(pace), ..Rule::open(Lease::Endless) };
    let group = Group::new(120, vec![(Writable::new(WORD, 0, 9).unwrap(), 0)], rule).unwrap();
    server.allow_write(1, Table::Holding, group).unwrap();
    let write = [6, 0, 120, 0, 1];
    assert_eq!(answer(&mut server, 1, &write, T0), Some(write.to_vec()));
    assert_eq!(answer(&mut server, 1, &write, Millis::new(99)), Some(vec![0x86, 6]));
    assert_eq!(answer(&mut server, 1, &write, Millis::new(100)), Some(write.to_vec()));
    assert_eq!(server.counters.too_soon_writes, 1);
}

#[test]
fn changes_nobody_takes_are_bounded_and_the_newest_of_each_value_is_kept() {
    let mut server = server();
    answer(&mut server, 1, &[6, 0, 110, 0, 5], T0);
    for step in 0..40_000u32 {
        let [_, high, mid, low] = step.to_be_bytes();
        answer(&mut server, 1, &[16, 0, 100, 0, 2, 4, 0, high, mid, low], T0);
        assert!(server.waiting_changes() <= CHANGES_MAX);
    }
    let changes = server.take_changes();
    assert_eq!(changes.back().unwrap().change.value, 39_999);
    assert!(changes.iter().any(|change| change.change.address == 110));
    assert!(server.conflated_changes() > 0);
}

#[test]
fn a_silent_client_is_closed_after_the_idle_time() {
    let mut connection = Connection::new(anyone(), T0);
    receive(&mut connection, &good_read(), &mut server(), Millis::new(50));
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
        let whole = receive(&mut Connection::new(anyone(), T0), &stream, &mut server(), T0);
        let (mut server, mut connection, mut output) = (server(), Connection::new(anyone(), T0), Output::default());
        for bytes in stream.chunks(piece) {
            let next = receive(&mut connection, bytes, &mut server, T0);
            output.bytes.extend(next.bytes);
            output.close = next.close;
            if output.close { break; }
        }
        prop_assert_eq!(output, whole);
    }

    #[test]
    fn a_reader_never_sees_half_of_a_published_value(old in any::<u32>(), new in any::<u32>(), at in 0u16..199) {
        let mut server = server();
        server.publish(1, Table::Holding, at, &old.to_be_bytes()).unwrap();
        server.publish(1, Table::Holding, at, &new.to_be_bytes()).unwrap();
        let [high, low] = at.to_be_bytes();
        let expected = [&[3, 4][..], &new.to_be_bytes()].concat();
        prop_assert_eq!(answer(&mut server, 1, &[3, high, low, 0, 2], T0), Some(expected));
    }

    #[test]
    fn no_request_makes_it_panic_or_answer_more_than_a_pdu(pdu in prop::collection::vec(any::<u8>(), 1..254), unit in 0u8..4) {
        let mut server = server();
        if let Some(reply) = answer(&mut server, unit, &pdu, T0) {
            prop_assert!((1..=pdu::PDU_MAX).contains(&reply.len()));
            prop_assert_eq!(reply[0] & 0x7f, pdu[0]);
        }
    }
}
