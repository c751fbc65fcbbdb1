//! One client connection as a pure machine: the frames of a byte stream, answered in order into one buffer.
//!
//! ```text
//! bytes in any pieces ──> Decoder ── frame ──> Server::answer ──> all answers of the piece, to be sent at once
//! ```
//!
//! It knows when it has been silent or has dripped for too long; its owner closes it then.
use std::sync::Arc;

use super::super::frame::{self, Decoder, FrameError};
use super::counters::BadFrame;
use super::party::Party;
use super::{Answer, Server};
use crate::units::Millis;

/// Longest wait for the rest of a frame.
pub const PARTIAL_FRAME: Millis = Millis::new(1_000);
/// Longest silence of a client before its connection is closed.
pub const IDLE_CLIENT: Millis = Millis::new(300_000);

/// What the owner of the socket does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send what was appended.
    Open,
    /// Send what was appended, then close.
    Close,
}

/// What one client has asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered, exceptions included.
    pub requests: u64,
    /// Exceptions among them.
    pub exceptions: u64,
}

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    party: Arc<Party>,
    last_frame_at: Millis,
    partial_since: Option<Millis>,
    tally: Tally,
}

impl Connection {
    /// A client that has just connected.
    pub fn new(party: Arc<Party>, now: Millis) -> Self {
        Self { decoder: Decoder::default(), party, last_frame_at: now, partial_since: None, tally: Tally::default() }
    }

    /// Says who it is, once its certificate was seen.
    pub fn identify(&mut self, party: Arc<Party>) {
        self.party = party;
    }

    /// Who it is.
    pub fn party(&self) -> &Arc<Party> {
        &self.party
    }

    /// Takes bytes as they came and appends the answer to every frame they complete.
    pub fn receive(&mut self, bytes: &[u8], server: &mut Server, now: Millis, out: &mut Vec<u8>) -> Verdict {
        self.decoder.push(bytes);
        loop {
            let asked = match self.decoder.next_frame() {
                Ok(Some(asked)) => asked,
                Ok(None) => break,
                Err(error) => {
                    server.counters.bad_frame(cause(error));
                    return Verdict::Close;
                }
            };
            (self.last_frame_at, self.partial_since) = (now, None);
            let reply = frame::open(out, asked.transaction, asked.unit);
            match server.answer(asked.unit, asked.pdu, &self.party, now, out) {
                Answer::Done => self.tally.requests += 1,
                Answer::Refused => {
                    self.tally.requests += 1;
                    self.tally.exceptions += 1;
                }
                Answer::Close => {
                    frame::cancel(out, reply);
                    return Verdict::Close;
                }
            }
            frame::close(out, reply);
        }
        if self.decoder.is_partial() {
            self.dripped(now);
        }
        Verdict::Open
    }

    /// Something came that is not a whole frame yet.
    pub fn dripped(&mut self, now: Millis) {
        self.partial_since.get_or_insert(now);
    }

    /// Whether a whole frame was ever answered.
    pub fn has_spoken(&self) -> bool {
        self.tally.requests > 0
    }

    /// What it has asked so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When the connection is to be closed if nothing more comes.
    pub fn deadline(&self) -> Millis {
        let idle = self.last_frame_at + IDLE_CLIENT;
        self.partial_since.map_or(idle, |since| idle.min(since + PARTIAL_FRAME))
    }

    /// Whether it waits for the rest of a frame.
    pub fn is_partial(&self) -> bool {
        self.partial_since.is_some()
    }
}

fn cause(error: FrameError) -> BadFrame {
    match error {
        FrameError::Protocol(_) => BadFrame::Protocol,
        FrameError::Length(_) => BadFrame::Length,
    }
}
