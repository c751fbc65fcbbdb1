//! The session on a serial line: a virtual line to the microsecond, and everything that can come at the wrong time.
#![allow(clippy::unwrap_used)]
use std::collections::VecDeque;

use super::super::fake_slave::StrictReceiver;
use super::super::pdu::{encode_registers, encode_written, Reply, Span, Table};
use super::super::rtu::{self, Format, Parity, BROADCAST};
use super::*;

const TIMEOUT: Micros = Micros::from_millis(500);

fn format(baud: u32) -> Format {
    Format { baud, parity: Parity::Even, stop_bits: 1 }
}

fn us(micros: i64) -> Micros {
    Micros::new(micros)
}

fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn read(count: u16) -> Request {
    Request::Read { table: Table::Holding, span: Span { start: 0, count } }
}

fn reply(unit: u8, values: &[u16]) -> Vec<u8> {
    rtu::encode(unit, &encode_registers(3, values))
}

/// A session on a line of 9,600 baud and what has ended on it.
struct Desk {
    session: Session,
    ended: Vec<OwnedCompletion>,
}

impl Desk {
    fn new(baud: u32) -> Self {
        let config = SessionConfig { transport: Transport::Rtu(format(baud)), gap: Micros::ZERO };
        let mut session = Session::new(config, Jitter::new(1));
        assert_eq!(session.take_command(Micros::ZERO), Some(LinkCommand::Connect));
        session.connected(Micros::ZERO);
        Self { session, ended: Vec::new() }
    }

    fn send(&mut self, unit: u8, request: &Request, now: Micros) -> Result<Vec<u8>, SendError> {
        let mut out = Vec::new();
        let token = Token(u64::from(unit));
        self.session.send(unit, request, token, now + TIMEOUT, now, &mut out).map(|()| out)
    }

    fn hear(&mut self, bytes: &[u8], now: Micros) {
        self.session.receive(bytes, now, &mut |completion| self.ended.push(completion.to_owned()));
    }

    fn expire(&mut self, now: Micros) {
        self.session.expire(now, &mut |completion| self.ended.push(completion.to_owned()));
    }

    fn ended(&mut self) -> Vec<(u64, Result<Reply, Failure>)> {
        self.ended.drain(..).map(|ended| (ended.token.0, ended.result)).collect()
    }
}

fn registers(values: &[u16]) -> Result<Reply, Failure> {
    Ok(Reply::Registers(values.to_vec()))
}

/// So many reads of `count` registers, each sent as soon as it may be, by a unit that answers at once; when the line was
/// free again. The unit is strict: it takes nothing that is not framed by exact silences.
fn virtual_line(format: Format, count: u16, reads: usize) -> Micros {
    let mut desk = Desk::new(format.baud);
    let mut unit = StrictReceiver::new(format);
    let mut on_the_way: VecDeque<(Micros, u8)> = VecDeque::new();
    for _ in 0..reads {
        let mut now = desk.session.ready_at().unwrap();
        let out = desk.send(1, &read(count), now).unwrap();
        (1..).zip(&out).for_each(|(place, byte)| unit.byte(*byte, now + format.characters(place)));
        let heard_at = unit.ends_at().unwrap();
        let (asked, pdu) = unit.take(heard_at).expect("a frame with exact silences");
        assert_eq!((asked, Request::parse(&pdu)), (1, Ok(read(count))));
        let answer = reply(1, &vec![7; usize::from(count)]);
        on_the_way.extend((1..).zip(answer).map(|(place, byte)| (heard_at + format.characters(place), byte)));
        while let Some((at, byte)) = on_the_way.pop_front() {
            now = at;
            desk.hear(&[byte], now);
        }
        assert_eq!(desk.ended().len(), 1);
        unit = StrictReceiver::new(format);
        unit.byte(0, now);
        unit.take(us(i64::MAX));
    }
    desk.session.ready_at().unwrap()
}

#[test]
fn a_line_is_used_to_97_percent_of_what_its_characters_and_silences_allow() {
    for baud in [9_600, 19_200, 38_400, 57_600, 115_200] {
        for count in [125u16, 40, 10, 1] {
            // Counted without the code under test: 11 bits a character, 8 characters asked, 5 + 2n answered, two t3.5.
            let silence = if baud > 19_200 { 1_750.0 } else { 3.5 * 11e6 / f64::from(baud) };
            let floor = f64::from(13 + 2 * count) * 11e6 / f64::from(baud) + 2.0 * silence;
            let reads = 50;
            let took = virtual_line(format(baud), count, reads) - format(baud).t3_5();
            let share = 50.0 * floor / f64::from(i32::try_from(took.get()).unwrap());
            assert!((0.999..=1.0).contains(&share), "{baud} baud, {count} registers: {share}");
        }
    }
}

#[test]
fn nothing_is_sent_before_t3_5_of_silence() {
    let mut desk = Desk::new(9_600);
    assert_eq!(desk.session.ready_at(), Some(us(4_011)));
    assert_eq!(desk.send(1, &read(1), us(4_010)), Err(SendError::NoRoom));
    desk.hear(&[0x55], us(4_000));
    assert_eq!(desk.session.ready_at(), Some(us(8_011)));
    assert!(desk.send(1, &read(1), us(8_011)).is_ok());
    assert_eq!(desk.session.counters.stray_bytes, 1);
}

#[test]
fn a_unit_that_was_too_slow_is_left_alone_until_its_reply_has_passed_and_others_are_asked_meanwhile() {
    let mut desk = Desk::new(9_600);
    desk.send(1, &read(1), ms(10)).unwrap();
    desk.expire(ms(510));
    assert_eq!(desk.session.free_at(1), Some(ms(1_010)));
    assert_eq!(desk.send(1, &read(1), ms(511)), Err(SendError::Held));
    desk.hear(&reply(1, &[111]), ms(600));
    assert_eq!(desk.send(2, &read(1), ms(604)), Err(SendError::NoRoom), "the late reply needs its silence");
    desk.send(2, &read(1), ms(605)).unwrap();
    desk.hear(&reply(2, &[222]), ms(640));
    desk.send(1, &read(1), ms(1_010)).unwrap();
    desk.hear(&reply(1, &[333]), ms(1_050));
    let expected = [(1, Err(Failure::TimedOut)), (2, registers(&[222])), (1, registers(&[333]))];
    assert_eq!(desk.ended(), expected);
}

#[test]
fn a_late_reply_of_another_unit_does_not_end_the_transaction_it_meets() {
    let mut desk = Desk::new(9_600);
    desk.send(1, &read(1), ms(10)).unwrap();
    desk.expire(ms(510));
    desk.send(2, &read(1), ms(520)).unwrap();
    desk.hear(&[reply(1, &[111]), reply(2, &[222])].concat(), ms(560));
    assert_eq!(desk.ended(), [(1, Err(Failure::TimedOut)), (2, registers(&[222]))]);
    assert_eq!(desk.session.counters.stray_bytes, 7);
}

#[test]
fn what_comes_before_the_request_has_left_the_wire_is_no_answer_to_it() {
    let mut desk = Desk::new(9_600);
    let write = Request::WriteOne { address: 1, value: 2 };
    let out = desk.send(1, &write, ms(10)).unwrap();
    desk.hear(&out, ms(19));
    assert!(desk.ended().is_empty());
    desk.hear(&rtu::encode(1, &encode_written(6, 1, 2)), ms(40));
    assert_eq!(desk.ended(), [(1, Ok(Reply::Written))]);
}

#[test]
fn another_function_length_or_echo_is_no_answer() {
    let mut desk = Desk::new(9_600);
    desk.send(1, &Request::WriteOne { address: 1, value: 2 }, ms(10)).unwrap();
    for pdu in [encode_written(6, 1, 3), encode_written(6, 2, 2), encode_written(16, 1, 2), encode_registers(3, &[1])] {
        desk.hear(&rtu::encode(1, &pdu), ms(30));
    }
    assert!(desk.ended().is_empty());
    desk.hear(&rtu::encode(1, &encode_written(6, 1, 2)), ms(40));
    assert_eq!(desk.ended(), [(1, Ok(Reply::Written))]);
}

#[test]
fn a_broadcast_ends_after_the_turnaround_and_nobody_may_be_read_by_it() {
    let mut desk = Desk::new(9_600);
    assert_eq!(desk.send(BROADCAST, &read(1), ms(10)), Err(SendError::Broadcast));
    let out = desk.send(BROADCAST, &Request::WriteOne { address: 1, value: 2 }, ms(10)).unwrap();
    desk.hear(&out, ms(50));
    let ends_at = ms(10) + format(9_600).characters(8) + TURNAROUND;
    assert_eq!(desk.session.wake_time(), Some(ends_at));
    desk.expire(us(ends_at.get() - 1));
    assert!(desk.ended().is_empty());
    desk.expire(ends_at);
    assert_eq!((desk.ended(), desk.session.room(ends_at)), (vec![(0, Ok(Reply::Broadcast))], 1));
    assert_eq!(desk.session.counters.timeouts, 0);
}

#[test]
fn a_line_that_talks_without_end_is_opened_anew() {
    let mut desk = Desk::new(9_600);
    let mut now = ms(10);
    while desk.session.is_up() {
        desk.hear(&[0x55], now);
        assert_eq!(desk.send(1, &read(1), now), Err(SendError::NoRoom));
        now += ms(2);
    }
    assert!(now >= ms(10) + BABBLE_MAX && now <= ms(20) + BABBLE_MAX);
    assert_eq!(desk.session.take_command(now), Some(LinkCommand::Close));
}

#[test]
fn single_strays_now_and_then_are_no_babble() {
    let mut desk = Desk::new(9_600);
    for at in 0..1_000 {
        desk.hear(&[0x55], ms(at * 10));
    }
    assert!(desk.session.is_up());
}

#[test]
fn silent_units_do_not_make_the_port_be_opened_anew() {
    let mut desk = Desk::new(9_600);
    for unit in 1..20 {
        let now = ms(i64::from(unit) * 600);
        desk.send(unit, &read(1), now).unwrap();
        desk.expire(now + TIMEOUT);
    }
    assert!(desk.session.is_up());
    assert_eq!(desk.ended().len(), 19);
}

#[test]
fn a_reply_owed_when_the_port_was_lost_is_not_taken_when_it_is_back() {
    let mut desk = Desk::new(9_600);
    desk.send(1, &read(1), ms(10)).unwrap();
    desk.session.closed(ms(20), &mut |_| {});
    let again = desk.session.wake_time().unwrap();
    assert_eq!(desk.session.take_command(again), Some(LinkCommand::Connect));
    desk.session.connected(again);
    assert_eq!(desk.send(1, &read(1), again + ms(5)), Err(SendError::Held));
    assert!(desk.send(2, &read(1), again + ms(5)).is_ok());
}

#[test]
fn a_pause_longer_than_t3_5_is_kept_after_answers_silence_and_broadcasts() {
    let config = SessionConfig { transport: Transport::Rtu(format(9_600)), gap: ms(35) };
    let mut desk = Desk { session: Session::new(config, Jitter::new(1)), ended: Vec::new() };
    desk.session.take_command(Micros::ZERO);
    desk.session.connected(Micros::ZERO);
    desk.send(1, &read(1), ms(10)).unwrap();
    desk.hear(&reply(1, &[1]), ms(30));
    assert_eq!(desk.session.ready_at(), Some(ms(65)));
    desk.send(BROADCAST, &Request::WriteOne { address: 1, value: 2 }, ms(65)).unwrap();
    let ends_at = desk.session.wake_time().unwrap();
    desk.expire(ends_at);
    assert_eq!(desk.session.ready_at(), Some(ends_at + ms(35)));
}
