//! The session over TCP under virtual time: late, doubled and foreign replies, the window, pacing, the connection.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::frame::{self, Decoder};
use super::super::pdu::{encode_exception, encode_registers, encode_written, Exception, Reply, Request, Span, Table};
use super::*;

const TIMEOUT: Micros = Micros::from_millis(500);

fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn read(start: u16) -> Request {
    Request::Read { table: Table::Holding, span: Span { start, count: 1 } }
}

/// A session with what it has sent and what has ended.
pub(super) struct Desk {
    pub session: Session,
    pub ended: Vec<OwnedCompletion>,
    /// Transaction ids, in the order of sending.
    ids: Vec<u16>,
    tokens: u64,
}

impl Desk {
    fn new(window_max: u16, gap: Micros) -> Self {
        let config = SessionConfig { transport: Transport::Tcp { window_max }, gap };
        let mut session = Session::new(config, Jitter::new(1));
        assert_eq!(session.take_command(Micros::ZERO), Some(LinkCommand::Connect));
        session.connected(Micros::ZERO);
        Self { session, ended: Vec::new(), ids: Vec::new(), tokens: 0 }
    }

    fn one() -> Self {
        Self::new(1, Micros::ZERO)
    }

    /// A window that has proved itself; two transactions have ended.
    fn open(window_max: u16) -> Self {
        let mut desk = Self::new(window_max, Micros::ZERO);
        desk.ask(2, ms(0));
        desk.hear(&[desk.reply(0, 1), desk.reply(1, 2)].concat(), ms(1));
        assert_eq!((desk.values(), desk.session.window()), (vec![Ok(1), Ok(2)], usize::from(window_max)));
        desk.ended.clear();
        desk.ids.clear();
        desk
    }

    fn send(&mut self, request: &Request, now: Micros) -> Result<(), SendError> {
        let mut out = Vec::new();
        let sent = self.session.send(1, request, Token(self.tokens), now + TIMEOUT, now, &mut out);
        let mut decoder = Decoder::default();
        decoder.push(&out);
        if let Some(frame) = decoder.next_frame().unwrap() {
            assert_eq!(frame.pdu, request.encode().unwrap());
            self.ids.push(frame.transaction);
            self.tokens += 1;
        }
        assert_eq!(sent.is_err(), out.is_empty());
        sent
    }

    /// Sends so many reads.
    fn ask(&mut self, count: usize, now: Micros) {
        (0..count).for_each(|_| self.send(&read(0), now).unwrap());
    }

    fn hear(&mut self, bytes: &[u8], now: Micros) {
        self.session.receive(bytes, now, &mut |completion| self.ended.push(completion.to_owned()));
    }

    fn expire(&mut self, now: Micros) {
        self.session.expire(now, &mut |completion| self.ended.push(completion.to_owned()));
    }

    fn close(&mut self, now: Micros) {
        self.session.closed(now, &mut |completion| self.ended.push(completion.to_owned()));
    }

    /// The right answer to a request by its place in the order of sending.
    fn reply(&self, sent: usize, value: u16) -> Vec<u8> {
        frame::encode(self.ids[sent], 1, &encode_registers(3, &[value]))
    }

    /// What has ended and how, one register each.
    fn values(&self) -> Vec<Result<u16, Failure>> {
        let value = |ended: &OwnedCompletion| match &ended.result {
            Ok(Reply::Registers(words)) => Ok(words[0]),
            Ok(other) => panic!("not a read: {other:?}"),
            Err(failure) => Err(*failure),
        };
        self.ended.iter().map(value).collect()
    }

    fn tokens(&self) -> Vec<u64> {
        self.ended.iter().map(|ended| ended.token.0).collect()
    }
}

#[test]
fn a_reply_completes_its_transaction_with_the_time_it_was_asked() {
    let mut desk = Desk::one();
    desk.ask(1, ms(10));
    assert_eq!((desk.session.room(ms(10)), desk.session.ready_at()), (0, None));
    desk.hear(&desk.reply(0, 7), ms(14));
    assert_eq!((desk.values(), desk.ended[0].sent_at), (vec![Ok(7)], ms(10)));
    assert_eq!((desk.session.room(ms(14)), desk.session.ready_at()), (1, Some(ms(14))));
}

#[test]
fn a_late_reply_costs_only_the_transaction_that_waited_for_it() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.expire(ms(499));
    assert!(desk.ended.is_empty());
    desk.expire(ms(500));
    desk.ask(1, ms(500));
    desk.hear(&desk.reply(0, 111), ms(510));
    desk.hear(&desk.reply(1, 222), ms(520));
    assert_eq!(desk.values(), [Err(Failure::TimedOut), Ok(222)]);
    assert_eq!(desk.session.counters.foreign_replies, 1);
}

#[test]
fn a_doubled_reply_is_never_taken_for_the_next_ones() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.hear(&[desk.reply(0, 5), desk.reply(0, 5)].concat(), ms(1));
    desk.ask(1, ms(2));
    desk.hear(&desk.reply(0, 5), ms(3));
    desk.hear(&desk.reply(1, 6), ms(4));
    assert_eq!(desk.values(), [Ok(5), Ok(6)]);
}

#[test]
fn a_foreign_unit_or_function_is_dropped_and_the_transaction_waits_on() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.hear(&frame::encode(desk.ids[0], 2, &encode_registers(3, &[5])), ms(1));
    desk.hear(&frame::encode(desk.ids[0], 1, &[4, 2, 0, 5]), ms(2));
    assert!(desk.ended.is_empty());
    desk.hear(&desk.reply(0, 8), ms(3));
    assert_eq!(desk.values(), [Ok(8)]);
}

#[test]
fn a_reply_of_another_length_or_an_exception_fails_the_transaction_and_not_the_line() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.hear(&frame::encode(desk.ids[0], 1, &[3, 4, 0, 1, 0, 2]), ms(1));
    desk.ask(1, ms(1));
    desk.hear(&frame::encode(desk.ids[1], 1, &encode_exception(3, Exception::DeviceBusy)), ms(2));
    assert_eq!(desk.values(), [Err(Failure::Malformed), Err(Failure::Refused(Exception::DeviceBusy))]);
    assert_eq!(desk.session.room(ms(2)), 1);
}

#[test]
fn a_request_that_the_protocol_cannot_express_is_refused_and_the_line_stays_free() {
    let mut desk = Desk::one();
    let long = Request::Read { table: Table::Holding, span: Span { start: 0, count: 126 } };
    assert!(matches!(desk.send(&long, ms(0)), Err(SendError::Limit(_))));
    desk.ask(1, ms(0));
    assert_eq!(desk.send(&read(0), ms(0)), Err(SendError::NoRoom));
    assert_eq!(desk.session.counters.requests, 1);
}

#[test]
fn bytes_that_are_no_frame_close_the_connection_and_it_comes_back() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.hear(&[0, 1, 0, 9, 0, 3, 1, 3, 0], ms(10));
    assert_eq!(desk.values(), [Err(Failure::Disconnected)]);
    assert_eq!(desk.session.take_command(ms(10)), Some(LinkCommand::Close));
    let again = desk.session.wake_time().unwrap();
    assert_eq!(desk.session.take_command(Micros::new(again.get() - 1)), None);
    assert_eq!(desk.session.take_command(again), Some(LinkCommand::Connect));
}

#[test]
fn half_a_reply_of_an_old_connection_is_not_the_head_of_the_next_ones() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    let reply = desk.reply(0, 7);
    desk.hear(&reply[..8], ms(1));
    desk.close(ms(2));
    let again = desk.session.wake_time().unwrap();
    desk.session.take_command(again);
    desk.session.connected(again);
    desk.ask(1, again);
    desk.hear(&desk.reply(1, 8), again);
    assert_eq!(desk.values(), [Err(Failure::Disconnected), Ok(8)]);
}

#[test]
fn a_line_that_never_answers_is_connected_anew() {
    let mut desk = Desk::one();
    for round in 0..i64::from(SILENT_MAX) {
        assert!(desk.session.is_up());
        desk.ask(1, ms(round * 500));
        desk.expire(ms(round * 500 + 500));
    }
    assert_eq!(desk.values(), [Err(Failure::TimedOut); 3]);
    assert!(!desk.session.is_up());
    assert_eq!(desk.session.take_command(ms(1_500)), Some(LinkCommand::Close));
}

#[test]
fn a_port_that_comes_back_within_a_second_is_found_within_250_ms_and_later_within_5_s() {
    for seed in 0..200 {
        let mut session = Session::new(SessionConfig::default(), Jitter::new(seed));
        let (mut now, mut waits) = (Micros::ZERO, Vec::new());
        session.take_command(now);
        session.connected(now);
        for _ in 0..20 {
            session.closed(now, &mut |_| {});
            let retry_at = session.wake_time().unwrap();
            waits.push((now, retry_at - now));
            now = retry_at;
            assert_eq!(session.take_command(now), Some(LinkCommand::Connect));
        }
        for (at, wait) in &waits {
            assert!(*wait <= if *at < EAGER { BACKOFF_EAGER_MAX } else { BACKOFF_MAX }, "{waits:?}");
        }
        assert!(waits[0].1 <= BACKOFF_FIRST && waits[19].1 >= Micros::new(BACKOFF_MAX.get() / 2));
    }
}

#[test]
fn only_an_answer_ends_the_growth_of_the_waits() {
    let mut desk = Desk::one();
    let mut now = ms(0);
    for _ in 0..15 {
        desk.close(now);
        now = desk.session.wake_time().unwrap();
        desk.session.take_command(now);
        desk.session.connected(now);
    }
    desk.close(now);
    assert!(desk.session.wake_time().unwrap() - now > BACKOFF_EAGER_MAX);
    now = desk.session.wake_time().unwrap();
    desk.session.take_command(now);
    desk.session.connected(now);
    desk.ask(1, now);
    desk.hear(&desk.reply(0, 1), now);
    desk.close(now);
    assert!(desk.session.wake_time().unwrap() - now <= BACKOFF_FIRST);
}

#[test]
fn a_connection_that_is_never_established_is_given_up() {
    let mut session = Session::new(SessionConfig::default(), Jitter::new(3));
    session.take_command(ms(0));
    session.expire(Micros::new(CONNECT_TIMEOUT.get() - 1), &mut |_| {});
    assert_eq!(session.take_command(CONNECT_TIMEOUT), None);
    session.expire(CONNECT_TIMEOUT, &mut |_| {});
    assert_eq!(session.take_command(CONNECT_TIMEOUT), Some(LinkCommand::Close));
}

#[test]
fn a_pause_between_transactions_is_kept_to_the_microsecond_and_means_one_at_a_time() {
    let mut desk = Desk::new(16, ms(60));
    desk.ask(1, ms(0));
    assert_eq!(desk.session.room(ms(0)), 0);
    desk.hear(&desk.reply(0, 1), ms(5));
    assert_eq!(desk.session.ready_at(), Some(ms(65)));
    assert_eq!(desk.send(&read(0), Micros::new(64_999)), Err(SendError::NoRoom));
    desk.ask(1, ms(65));
    desk.expire(ms(565));
    assert_eq!(desk.session.ready_at(), Some(ms(625)));
}

#[test]
fn a_window_opens_when_two_reads_of_one_segment_are_answered_in_order() {
    let mut desk = Desk::new(16, Micros::ZERO);
    assert_eq!((desk.session.window(), desk.session.room(ms(0))), (1, 2));
    desk.ask(2, ms(0));
    assert_eq!(desk.session.room(ms(0)), 0);
    desk.hear(&desk.reply(0, 1), ms(1));
    assert_eq!(desk.session.room(ms(1)), 0);
    desk.hear(&desk.reply(1, 2), ms(1));
    assert_eq!((desk.values(), desk.session.window(), desk.session.room(ms(1))), (vec![Ok(1), Ok(2)], 16, 16));
    desk.ask(16, ms(2));
    assert_eq!((desk.session.room(ms(2)), desk.session.ready_at()), (0, None));
}

#[test]
fn two_requests_that_do_not_share_a_segment_prove_nothing_and_are_not_in_flight_together() {
    let mut desk = Desk::new(16, Micros::ZERO);
    desk.ask(1, ms(0));
    assert_eq!(desk.send(&read(0), ms(1)), Err(SendError::NoRoom));
    desk.hear(&desk.reply(0, 1), ms(2));
    assert_eq!(desk.session.window(), 1);
}

#[test]
fn a_write_is_never_risked_in_a_probe() {
    let write = Request::WriteOne { address: 1, value: 2 };
    let mut desk = Desk::new(16, Micros::ZERO);
    desk.ask(1, ms(0));
    assert_eq!(desk.send(&write, ms(0)), Err(SendError::NoRoom));
    let mut desk = Desk::new(16, Micros::ZERO);
    desk.send(&write, ms(0)).unwrap();
    assert_eq!(desk.send(&read(0), ms(0)), Err(SendError::NoRoom));
    desk.hear(&frame::encode(desk.ids[0], 1, &encode_written(6, 1, 2)), ms(1));
    assert_eq!((desk.ended[0].result.clone(), desk.session.room(ms(1))), (Ok(Reply::Written), 2));
}

#[test]
fn a_server_that_drops_the_second_frame_is_asked_one_at_a_time_for_good() {
    let mut desk = Desk::new(16, Micros::ZERO);
    desk.ask(2, ms(0));
    desk.hear(&desk.reply(0, 1), ms(1));
    desk.expire(ms(500));
    assert_eq!(desk.values(), [Ok(1), Err(Failure::TimedOut)]);
    for round in 0..3 {
        desk.ask(1, ms(501 + round));
        assert_eq!((desk.session.window(), desk.session.room(ms(501 + round))), (1, 0));
        desk.hear(&desk.reply(desk.ids.len() - 1, 9), ms(501 + round));
    }
    desk.close(ms(600));
    desk.session.take_command(ms(700));
    desk.session.connected(ms(700));
    assert_eq!((desk.session.room(ms(700)), desk.session.counters.windows_closed), (1, 1));
}

#[test]
fn an_open_window_closes_for_good_on_the_first_anomaly() {
    type Anomaly = fn(&mut Desk);
    let anomalies: [(&str, Anomaly); 7] = [
        ("late", |desk| desk.expire(ms(510))),
        ("foreign", |desk| desk.hear(&frame::encode(desk.ids[2].wrapping_add(9), 1, &[3, 2, 0, 1]), ms(20))),
        ("doubled", |desk| desk.hear(&[desk.reply(0, 1), desk.reply(0, 1)].concat(), ms(20))),
        ("out of order", |desk| desk.hear(&desk.reply(1, 1), ms(20))),
        ("malformed", |desk| desk.hear(&frame::encode(desk.ids[0], 1, &[3, 4, 0, 1, 0, 1]), ms(20))),
        ("no frame", |desk| desk.hear(&[0, 0, 1, 1, 1, 1], ms(20))),
        ("connection lost", |desk| desk.close(ms(20))),
    ];
    for (name, anomaly) in anomalies {
        let mut desk = Desk::open(4);
        desk.ask(3, ms(10));
        anomaly(&mut desk);
        assert_eq!((desk.session.window(), desk.session.counters.windows_closed), (1, 1), "{name}");
    }
}

#[test]
fn replies_out_of_order_still_reach_those_who_asked() {
    let mut desk = Desk::open(4);
    desk.ask(3, ms(10));
    desk.hear(&[desk.reply(2, 33), desk.reply(0, 11), desk.reply(1, 22)].concat(), ms(11));
    assert_eq!((desk.tokens(), desk.values()), (vec![4, 2, 3], vec![Ok(33), Ok(11), Ok(22)]));
    assert_eq!((desk.session.window(), desk.session.room(ms(11))), (1, 1));
}

#[test]
fn a_window_is_proved_anew_on_every_connection() {
    let mut desk = Desk::open(4);
    desk.close(ms(10));
    let again = desk.session.wake_time().unwrap();
    desk.session.take_command(again);
    desk.session.connected(again);
    assert_eq!((desk.session.window(), desk.session.room(again)), (1, 2));
}

#[test]
fn a_whole_window_that_falls_silent_is_one_round_of_silence() {
    let mut desk = Desk::open(16);
    desk.ask(16, ms(10));
    desk.expire(ms(510));
    assert_eq!((desk.ended.len(), desk.session.is_up()), (16, true));
}

#[test]
fn the_ids_of_a_new_connection_do_not_continue_those_of_the_old_one() {
    let mut desk = Desk::one();
    desk.ask(1, ms(0));
    desk.close(ms(1));
    let again = desk.session.wake_time().unwrap();
    desk.session.take_command(again);
    desk.session.connected(again);
    desk.ask(1, again);
    assert!(desk.ids[1].abs_diff(desk.ids[0]) > 1);
}

proptest! {
    #[test]
    fn no_bytes_make_the_session_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), window in 1u16..4) {
        let mut desk = Desk::new(window, Micros::ZERO);
        desk.ask(1, ms(0));
        desk.hear(&bytes, ms(1));
        desk.expire(ms(501));
        desk.close(ms(502));
        prop_assert_eq!(desk.ended.len(), 1);
    }
}
