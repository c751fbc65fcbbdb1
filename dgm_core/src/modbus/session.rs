//! The master's side of one line: one TCP connection, one transaction in flight, reconnects with jittered back-off.
//!
//! ```text
//! Down ── retry_at ──> Connecting ── connected ──> Up ── send ──> pending ── reply / timeout ──> Completion
//!   ^────────────── closed, bad frame, too many silent requests ──────────────┘
//! ```
//!
//! A reply that is late, doubled or meant for somebody else has another transaction id, unit or function: it is counted
//! and dropped, so it costs at most the transaction that waited for it. It does not decide what to ask: `line` does.
use super::frame::{self, Decoder, Frame};
use super::pdu::{Exception, Reply, ReplyError, Request};
use crate::units::Micros;

/// First wait before connecting again; doubles with each failure.
pub const BACKOFF_FIRST: Micros = Micros::from_millis(50);
/// Longest wait before connecting again.
pub const BACKOFF_MAX: Micros = Micros::from_millis(1_000);
/// Longest wait for a connection to be established.
pub const CONNECT_TIMEOUT: Micros = Micros::from_millis(2_000);
/// Requests in a row that nobody on the line answered before the connection is given up.
pub const SILENT_MAX: u32 = 3;

/// Spreads reconnects of many lines; seeded from outside, so a run can be repeated.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A sequence that depends on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Something between half of `span` and all of it (xorshift64).
    pub fn spread(&mut self, span: Micros) -> Micros {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let permille = 500 + i64::try_from(self.0 % 501).unwrap_or_default();
        Micros::new(span.get() * permille / 1000)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down { retry_at: Micros },
    Connecting { until: Micros },
    Up,
}

/// The request in flight.
#[derive(Debug)]
struct Pending {
    transaction: u16,
    unit: u8,
    request: Request,
    sent_at: Micros,
    deadline: Micros,
}

/// Why a transaction gave no registers and no confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time.
    TimedOut,
    /// The device answered with an exception.
    Refused(Exception),
    /// The device answered with something else than asked.
    Malformed,
    /// The connection ended.
    Disconnected,
}

/// The end of the transaction in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What came of it.
    pub result: Result<Reply, Failure>,
    /// When the request was sent: a value read is at most this old.
    pub sent_at: Micros,
}

/// What the owner of the socket has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Open a connection, then report `connected` or `closed`.
    Connect,
    /// Close the connection; `closed` has been taken into account already.
    Close,
}

/// What has happened on a line since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Requests sent.
    pub requests: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Answers that are no frame, or not the frame asked for.
    pub bad_frames: u64,
    /// Frames that answer nothing we are waiting for.
    pub foreign_replies: u64,
    /// Exceptions answered by devices.
    pub exceptions: u64,
    /// Connections established.
    pub connects: u64,
    /// Connections lost or given up, failed attempts included.
    pub disconnects: u64,
}

impl std::ops::Add for SessionCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            timeouts: self.timeouts + other.timeouts,
            bad_frames: self.bad_frames + other.bad_frames,
            foreign_replies: self.foreign_replies + other.foreign_replies,
            exceptions: self.exceptions + other.exceptions,
            connects: self.connects + other.connects,
            disconnects: self.disconnects + other.disconnects,
        }
    }
}

/// State of one line's connection.
#[derive(Debug)]
pub struct Session {
    jitter: Jitter,
    link: Link,
    decoder: Decoder,
    transaction: u16,
    pending: Option<Pending>,
    silent: u32,
    failures: u32,
    command: Option<LinkCommand>,
    /// Counted since start.
    pub counters: SessionCounters,
}

impl Session {
    /// A line that connects as soon as it is asked for its first command.
    pub fn new(jitter: Jitter) -> Self {
        Self {
            jitter,
            link: Link::Down { retry_at: Micros::new(i64::MIN) },
            decoder: Decoder::default(),
            transaction: 0,
            pending: None,
            silent: 0,
            failures: 0,
            command: None,
            counters: SessionCounters::default(),
        }
    }

    /// Whether a request can be sent now.
    pub fn is_ready(&self) -> bool {
        self.is_up() && self.pending.is_none()
    }

    /// Whether the connection stands.
    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// Next thing to do with the socket, once.
    pub fn take_command(&mut self, now: Micros) -> Option<LinkCommand> {
        if let Some(command) = self.command.take() {
            return Some(command);
        }
        match self.link {
            Link::Down { retry_at } if retry_at <= now => {
                self.link = Link::Connecting { until: now + CONNECT_TIMEOUT };
                Some(LinkCommand::Connect)
            }
            _ => None,
        }
    }

    /// The connection has been established.
    pub fn connected(&mut self) {
        self.link = Link::Up;
        self.decoder = Decoder::default();
        self.silent = 0;
        self.counters.connects += 1;
    }

    /// The connection ended, or could not be established.
    pub fn closed(&mut self, now: Micros) -> Option<Completion> {
        if matches!(self.link, Link::Down { .. }) {
            return None;
        }
        let doubled = BACKOFF_FIRST.get() << self.failures.min(10);
        let wait = self.jitter.spread(Micros::new(doubled.min(BACKOFF_MAX.get())));
        self.link = Link::Down { retry_at: now + wait };
        self.failures = self.failures.saturating_add(1);
        self.counters.disconnects += 1;
        self.complete(Err(Failure::Disconnected))
    }

    /// Starts a transaction that must end by `deadline`; the bytes to send. Call only when `is_ready`.
    pub fn send(&mut self, unit: u8, request: Request, deadline: Micros, now: Micros) -> Vec<u8> {
        self.transaction = self.transaction.wrapping_add(1);
        self.counters.requests += 1;
        let bytes = frame::encode(self.transaction, unit, &request.encode());
        self.pending = Some(Pending { transaction: self.transaction, unit, request, sent_at: now, deadline });
        bytes
    }

    /// Takes bytes as they came.
    pub fn receive(&mut self, bytes: &[u8], now: Micros) -> Option<Completion> {
        if !self.is_up() {
            return None;
        }
        let mut completion = None;
        self.decoder.push(bytes);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => completion = self.take_frame(&frame).or(completion),
                Ok(None) => return completion,
                Err(_) => {
                    self.counters.bad_frames += 1;
                    let lost = self.give_up(now);
                    return completion.or(lost);
                }
            }
        }
    }

    /// Ends what has taken too long: the transaction, the attempt to connect, a line that never answers.
    pub fn expire(&mut self, now: Micros) -> Option<Completion> {
        if matches!(self.link, Link::Connecting { until } if until <= now) {
            return self.give_up(now);
        }
        if self.pending.as_ref().is_none_or(|pending| now < pending.deadline) {
            return None;
        }
        self.counters.timeouts += 1;
        self.silent += 1;
        let completion = self.complete(Err(Failure::TimedOut));
        if self.silent >= SILENT_MAX {
            self.give_up(now);
        }
        completion
    }

    /// When `expire` or `take_command` has something to do.
    pub fn wake_time(&self) -> Option<Micros> {
        match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Connecting { until } => Some(until),
            Link::Up => self.pending.as_ref().map(|pending| pending.deadline),
        }
    }

    fn give_up(&mut self, now: Micros) -> Option<Completion> {
        self.command = Some(LinkCommand::Close);
        self.closed(now)
    }

    fn take_frame(&mut self, frame: &Frame) -> Option<Completion> {
        let function = frame.pdu.first().map(|function| function & 0x7F);
        let awaited = self.pending.as_ref().filter(|pending| {
            pending.transaction == frame.transaction
                && pending.unit == frame.unit
                && Some(pending.request.function()) == function
        });
        let Some(pending) = awaited else {
            self.counters.foreign_replies += 1;
            return None;
        };
        let result = pending.request.parse_reply(&frame.pdu);
        self.silent = 0;
        self.failures = 0;
        let result = result.map_err(|error| match error {
            ReplyError::Exception(exception) => {
                self.counters.exceptions += 1;
                Failure::Refused(exception)
            }
            ReplyError::Malformed => {
                self.counters.bad_frames += 1;
                Failure::Malformed
            }
        });
        self.complete(result)
    }

    fn complete(&mut self, result: Result<Reply, Failure>) -> Option<Completion> {
        self.pending.take().map(|pending| Completion { result, sent_at: pending.sent_at })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::pdu::{encode_registers, Span, Table};
    use super::*;
    use proptest::prelude::*;

    const TIMEOUT: Micros = Micros::from_millis(500);

    fn read(start: u16) -> Request {
        Request::Read { table: Table::Holding, span: Span { start, count: 1 } }
    }

    fn up() -> Session {
        let mut session = Session::new(Jitter::new(1));
        assert_eq!(session.take_command(Micros::from_millis(0)), Some(LinkCommand::Connect));
        session.connected();
        session
    }

    fn reply(transaction: u16, unit: u8, value: u16) -> Vec<u8> {
        frame::encode(transaction, unit, &encode_registers(3, &[value]))
    }

    fn value(completion: Option<Completion>) -> u16 {
        match completion.unwrap().result.unwrap() {
            Reply::Registers(words) => words[0],
            Reply::Written => panic!("not a read"),
        }
    }

    #[test]
    fn a_reply_completes_its_transaction_with_the_time_it_was_asked() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(10) + TIMEOUT, Micros::from_millis(10));
        assert!(!session.is_ready());
        let completion = session.receive(&reply(1, 1, 7), Micros::from_millis(14)).unwrap();
        assert_eq!(completion.sent_at, Micros::from_millis(10));
        assert_eq!(completion.result, Ok(Reply::Registers(vec![7])));
        assert!(session.is_ready());
    }

    #[test]
    fn a_late_reply_costs_only_the_transaction_that_waited_for_it() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
        let late = session.expire(Micros::from_millis(500)).unwrap();
        assert_eq!(late.result, Err(Failure::TimedOut));
        session.send(1, read(1), Micros::from_millis(500) + TIMEOUT, Micros::from_millis(500));
        assert_eq!(session.receive(&reply(1, 1, 111), Micros::from_millis(510)), None);
        assert_eq!(value(session.receive(&reply(2, 1, 222), Micros::from_millis(520))), 222);
        assert_eq!(session.counters.foreign_replies, 1);
    }

    #[test]
    fn a_doubled_reply_is_never_taken_for_the_next_ones() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
        let twice = [reply(1, 1, 5), reply(1, 1, 5)].concat();
        assert_eq!(value(session.receive(&twice, Micros::from_millis(1))), 5);
        session.send(1, read(0), Micros::from_millis(2) + TIMEOUT, Micros::from_millis(2));
        assert_eq!(session.receive(&reply(1, 1, 5), Micros::from_millis(3)), None);
        assert_eq!(value(session.receive(&reply(2, 1, 6), Micros::from_millis(4))), 6);
    }

    #[test]
    fn a_foreign_unit_or_function_is_dropped_and_the_transaction_waits_on() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
        assert_eq!(session.receive(&reply(1, 2, 5), Micros::from_millis(1)), None);
        assert_eq!(session.receive(&frame::encode(1, 1, &[4, 2, 0, 5]), Micros::from_millis(2)), None);
        assert_eq!(value(session.receive(&reply(1, 1, 8), Micros::from_millis(3))), 8);
    }

    #[test]
    fn a_reply_of_another_length_fails_the_transaction_and_not_the_line() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
        let bad = session.receive(&frame::encode(1, 1, &[3, 4, 0, 1, 0, 2]), Micros::from_millis(1)).unwrap();
        assert_eq!(bad.result, Err(Failure::Malformed));
        assert!(session.is_ready());
    }

    #[test]
    fn bytes_that_are_no_frame_close_the_connection_and_it_comes_back() {
        let mut session = up();
        session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
        let lost = session.receive(&[0, 1, 0, 9, 0, 3, 1, 3, 0], Micros::from_millis(10)).unwrap();
        assert_eq!(lost.result, Err(Failure::Disconnected));
        assert_eq!(session.take_command(Micros::from_millis(10)), Some(LinkCommand::Close));
        let again = session.wake_time().unwrap();
        assert_eq!(session.take_command(Micros::new(again.get() - 1)), None);
        assert_eq!(session.take_command(again), Some(LinkCommand::Connect));
    }

    #[test]
    fn a_line_that_never_answers_is_connected_anew() {
        let mut session = up();
        for round in 0..i64::from(SILENT_MAX) {
            assert!(session.is_ready());
            session.send(1, read(0), Micros::from_millis(round * 500) + TIMEOUT, Micros::from_millis(round * 500));
            assert!(session.expire(Micros::from_millis(round * 500 + 499)).is_none());
            assert!(session.expire(Micros::from_millis(round * 500 + 500)).is_some());
        }
        assert!(!session.is_up());
        assert_eq!(session.take_command(Micros::from_millis(1500)), Some(LinkCommand::Close));
    }

    #[test]
    fn back_off_grows_to_its_limit_and_a_good_answer_resets_it() {
        let mut session = up();
        let mut now = Micros::from_millis(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            session.closed(now);
            let retry = session.wake_time().unwrap();
            waits.push(retry.get() - now.get());
            now = retry;
            assert_eq!(session.take_command(now), Some(LinkCommand::Connect));
        }
        assert!(waits[0] <= BACKOFF_FIRST.get() && waits[0] >= BACKOFF_FIRST.get() / 2);
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_MAX.get()));
        assert!(waits[11] >= BACKOFF_MAX.get() / 2);
        session.connected();
        session.send(1, read(0), now + TIMEOUT, now);
        session.receive(&reply(1, 1, 1), now);
        session.closed(now);
        assert!(session.wake_time().unwrap().get() - now.get() <= BACKOFF_FIRST.get());
    }

    #[test]
    fn a_connection_that_is_never_established_is_given_up() {
        let mut session = Session::new(Jitter::new(3));
        session.take_command(Micros::from_millis(0));
        assert_eq!(session.expire(Micros::new(CONNECT_TIMEOUT.get() - 1)), None);
        session.expire(CONNECT_TIMEOUT);
        assert_eq!(session.take_command(CONNECT_TIMEOUT), Some(LinkCommand::Close));
    }

    proptest! {
        #[test]
        fn whatever_a_device_sends_the_next_transaction_gets_only_its_own_answer(
            noise in prop::collection::vec((0u16..4, 0u8..3, any::<u16>()), 0..6),
            piece in 1usize..30,
        ) {
            let mut session = up();
            session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
            session.expire(Micros::from_millis(500));
            session.send(1, read(1), Micros::from_millis(500) + TIMEOUT, Micros::from_millis(500));
            let mut stream = Vec::new();
            for (transaction, unit, value) in noise.iter().filter(|n| (n.0, n.1) != (2, 1)) {
                stream.extend(reply(*transaction, *unit, *value));
            }
            stream.extend(reply(2, 1, 4321));
            let completions: Vec<_> = stream.chunks(piece).filter_map(|bytes| session.receive(bytes, Micros::from_millis(501))).collect();
            prop_assert_eq!(completions.len(), 1);
            prop_assert_eq!(value(completions.into_iter().next()), 4321);
        }

        #[test]
        fn no_bytes_make_the_session_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut session = up();
            session.send(1, read(0), Micros::from_millis(0) + TIMEOUT, Micros::from_millis(0));
            session.receive(&bytes, Micros::from_millis(1));
        }
    }
}
