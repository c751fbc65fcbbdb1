//! What becomes of a transaction, what is kept of it meanwhile, and what is counted.
use super::Token;
use crate::modbus::pdu::{Exception, Expected, LimitError, Reply, ReplyError, ReplyView, Request};
use crate::units::Micros;

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
    /// The unit owes a late reply on a serial line; see `free_at`.
    Held,
    /// A read of all units of a serial line: nobody would answer.
    Broadcast,
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
    /// Bytes on serial lines that are no part of an answer we are waiting for.
    pub stray_bytes: u64,
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
            stray_bytes: self.stray_bytes + other.stray_bytes,
            exceptions: self.exceptions + other.exceptions,
            connects: self.connects + other.connects,
            disconnects: self.disconnects + other.disconnects,
            windows_closed: self.windows_closed + other.windows_closed,
        }
    }
}

/// Who asked when, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub token: Token,
    pub at: Micros,
    pub deadline: Micros,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Pending {
    token: Token,
    pub unit: u8,
    pub expected: Expected,
    pub sent_at: Micros,
    pub deadline: Micros,
}

impl Pending {
    pub(super) fn new(unit: u8, request: &Request, sent: Sent) -> Self {
        Self { token: sent.token, unit, expected: request.expected(), sent_at: sent.at, deadline: sent.deadline }
    }

    pub(super) fn end<'a>(&self, result: Result<ReplyView<'a>, Failure>) -> Completion<'a> {
        Completion { token: self.token, result, sent_at: self.sent_at }
    }
}

/// Completes a transaction with the PDU that answers it; whether the answer was of the right shape.
pub(super) fn finish(
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
