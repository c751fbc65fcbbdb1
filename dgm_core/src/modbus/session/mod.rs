//! The master's side of one line: one connection, requests in flight, time-outs, pacing, reconnects.
//!
//! ```text
//! send(unit, request, token) ──> bytes        bytes, now ──> receive ──> Completion(token, reply)
//!                link: connect, give up, back off   expire, closed ──> Completion(token, failure)
//! ```
//!
//! Every request that was sent is completed exactly once, with its own token. A reply that is late, doubled or meant for
//! somebody else has another transaction id, unit or function: it is counted and dropped, so it costs at most the
//! transaction that waited for it. It does not decide what to ask: `line` does.
mod link;
mod pipeline;
#[cfg(test)]
mod tests;

use self::link::Link;
pub use self::link::{Jitter, LinkCommand, BACKOFF_EAGER_MAX, BACKOFF_FIRST, BACKOFF_MAX, CONNECT_TIMEOUT, EAGER};
use self::pipeline::Pipeline;
use super::pdu::{Exception, Expected, LimitError, Reply, ReplyError, ReplyView, Request};
use crate::units::Micros;

/// Rounds in a row in which nobody on the line answered before the connection is given up.
pub const SILENT_MAX: u32 = 3;

/// What the caller calls a transaction; it means nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Modbus/TCP, with or without TLS.
    Tcp {
        /// Most requests in flight once the peer has proved that it answers several; 1: never more than one.
        window_max: u16,
    },
}

/// How a line is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// What carries the frames.
    pub transport: Transport,
    /// Shortest time between the end of a transaction and the next request; more than 0 means one at a time.
    pub gap: Micros,
}

impl Default for SessionConfig {
    /// TCP, one at a time, no pause.
    fn default() -> Self {
        Self { transport: Transport::Tcp { window_max: 1 }, gap: Micros::ZERO }
    }
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

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The line is down, its window is full or a pause has not passed; see `room`.
    NoRoom,
    /// The protocol cannot express the request.
    Limit(LimitError),
}

/// The end of a transaction; a reply still stands in the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion<'a> {
    /// As given to `send`.
    pub token: Token,
    /// What came of it.
    pub result: Result<ReplyView<'a>, Failure>,
    /// When the request was sent: a value read is at most this old.
    pub sent_at: Micros,
}

impl Completion<'_> {
    /// An own copy.
    pub fn to_owned(&self) -> OwnedCompletion {
        let result = self.result.map(ReplyView::to_owned);
        OwnedCompletion { token: self.token, result, sent_at: self.sent_at }
    }
}

/// The end of a transaction, for callers that keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedCompletion {
    /// As given to `send`.
    pub token: Token,
    /// What came of it.
    pub result: Result<Reply, Failure>,
    /// When the request was sent: a value read is at most this old.
    pub sent_at: Micros,
}

/// What has happened on a line since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Requests sent.
    pub requests: u64,
    /// Replies that ended a transaction, exceptions and malformed ones included.
    pub answers: u64,
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
    /// Lines on which there will never again be more than one request in flight.
    pub windows_closed: u64,
}

impl std::ops::Add for SessionCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            answers: self.answers + other.answers,
            timeouts: self.timeouts + other.timeouts,
            bad_frames: self.bad_frames + other.bad_frames,
            foreign_replies: self.foreign_replies + other.foreign_replies,
            exceptions: self.exceptions + other.exceptions,
            connects: self.connects + other.connects,
            disconnects: self.disconnects + other.disconnects,
            windows_closed: self.windows_closed + other.windows_closed,
        }
    }
}

/// Who asked when, and until when.
#[derive(Clone, Copy, Debug)]
struct Sent {
    token: Token,
    at: Micros,
    deadline: Micros,
}

/// A request in flight.
#[derive(Debug)]
struct Pending {
    token: Token,
    unit: u8,
    expected: Expected,
    sent_at: Micros,
    deadline: Micros,
}

impl Pending {
    fn new(unit: u8, request: &Request, sent: Sent) -> Self {
        Self { token: sent.token, unit, expected: request.expected(), sent_at: sent.at, deadline: sent.deadline }
    }

    fn end<'a>(&self, result: Result<ReplyView<'a>, Failure>) -> Completion<'a> {
        Completion { token: self.token, result, sent_at: self.sent_at }
    }
}

/// Completes a transaction with the PDU that answers it; whether the answer was of the right shape.
fn finish(
    pending: &Pending,
    pdu: &[u8],
    counters: &mut SessionCounters,
    done: &mut impl FnMut(Completion<'_>),
) -> bool {
    counters.answers += 1;
    let result = pending.expected.parse(pdu).map_err(|error| match error {
        ReplyError::Exception(exception) => {
            counters.exceptions += 1;
            Failure::Refused(exception)
        }
        ReplyError::Malformed => {
            counters.bad_frames += 1;
            Failure::Malformed
        }
    });
    done(pending.end(result));
    result != Err(Failure::Malformed)
}

/// State of one line's connection.
#[derive(Debug)]
pub struct Session {
    link: Link,
    pipeline: Pipeline,
    gap: Micros,
    /// When the last transaction ended, or the connection was established.
    idle_from: Micros,
    /// Rounds in a row that nobody answered, and when the last of them ended.
    silent: (u32, Micros),
    /// Counted since start.
    pub counters: SessionCounters,
}

impl Session {
    /// A line that connects as soon as it is asked for its first command.
    pub fn new(config: SessionConfig, jitter: Jitter) -> Self {
        let Transport::Tcp { window_max } = config.transport;
        let window_max = if config.gap > Micros::ZERO { 1 } else { window_max };
        Self {
            link: Link::new(jitter),
            pipeline: Pipeline::new(window_max),
            gap: config.gap,
            idle_from: Micros::new(i64::MIN),
            silent: (0, Micros::new(i64::MIN)),
            counters: SessionCounters::default(),
        }
    }

    /// Whether the connection stands.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Most requests in flight as things stand: 1 unless the peer has proved that it answers more.
    pub fn window(&self) -> usize {
        self.pipeline.window()
    }

    /// How many more requests may be sent at `now`, in one go.
    ///
    /// Two while a window that may open stands at one: sent together, and if both are reads, they are the proof. Who
    /// sends one only has an ordinary transaction.
    pub fn room(&self, now: Micros) -> usize {
        if self.is_up() && self.paced_at() <= now {
            self.pipeline.room(now)
        } else {
            0
        }
    }

    /// From when on there is room, if nothing more comes in; `None` while something else must happen first.
    pub fn ready_at(&self) -> Option<Micros> {
        (self.is_up() && self.pipeline.has_room()).then(|| self.paced_at())
    }

    fn paced_at(&self) -> Micros {
        self.idle_from + self.gap
    }

    /// Next thing to do with the socket, once.
    pub fn take_command(&mut self, now: Micros) -> Option<LinkCommand> {
        self.link.take_command(now)
    }

    /// The connection has been established.
    pub fn connected(&mut self, now: Micros) {
        self.link.connected();
        self.pipeline.reset(self.link.nonce());
        self.silent = (0, now);
        self.idle_from = now - self.gap;
        self.counters.connects += 1;
    }

    /// The connection ended, or could not be established.
    pub fn closed(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if self.link.lose(now) {
            self.lost(done);
        }
    }

    fn give_up(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if self.link.give_up(now) {
            self.lost(done);
        }
    }

    fn lost(&mut self, done: &mut impl FnMut(Completion<'_>)) {
        self.counters.disconnects += 1;
        self.pipeline.abandon(&mut self.counters, done);
    }

    /// Starts a transaction that must end by `deadline`; appends the bytes to send, or nothing.
    ///
    /// Everything appended at the same `now` belongs into one segment.
    pub fn send(
        &mut self,
        unit: u8,
        request: &Request,
        token: Token,
        deadline: Micros,
        now: Micros,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if self.room(now) == 0 {
            return Err(SendError::NoRoom);
        }
        self.pipeline.send(unit, request, Sent { token, at: now, deadline }, out)?;
        self.counters.requests += 1;
        Ok(())
    }

    /// Takes bytes as they came and completes what they answer.
    pub fn receive(&mut self, bytes: &[u8], now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if !self.is_up() {
            return;
        }
        let answers = self.counters.answers;
        let is_sound = self.pipeline.receive(bytes, &mut self.counters, done);
        if self.counters.answers > answers {
            self.link.answered();
            self.silent = (0, now);
            self.idle_from = now;
        }
        if !is_sound {
            self.give_up(now, done);
        }
    }

    /// Ends what has taken too long: transactions, the attempt to connect, a line on which nobody answers.
    pub fn expire(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if self.link.is_overdue(now) {
            return self.give_up(now, done);
        }
        let Some(sent_at) = self.pipeline.expire(now, &mut self.counters, done) else { return };
        self.idle_from = now;
        // Several that were in flight together are one round of silence.
        if sent_at >= self.silent.1 {
            self.silent = (self.silent.0 + 1, now);
        }
        if self.silent.0 >= SILENT_MAX {
            self.give_up(now, done);
        }
    }

    /// When `expire` or `take_command` has something to do.
    pub fn wake_time(&self) -> Option<Micros> {
        self.link.wake_time().or_else(|| self.pipeline.deadline())
    }
}
