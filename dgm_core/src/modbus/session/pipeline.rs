//! Transactions in flight on a TCP connection: a window of one that opens by proof and closes on evidence.
//!
//! ```text
//! Unproved ── two reads in one segment ──> Probing ── both answered, in order ──> Open (window_max)
//!     ^           any anomaly, in any state ──> Closed: one at a time, for good
//!     └── a new connection of a window that is not closed is proved anew
//! ```
//!
//! A popular server silently drops the second frame of a segment, so nobody is sent two before it has shown that it
//! answers both. Anomalies: no answer while more than one was in flight, the connection lost meanwhile, an id that
//! nobody waits for, answers out of order, an answer of another shape than asked.
use std::collections::VecDeque;

use super::{finish, Completion, Failure, Pending, SendError, Sent, SessionCounters};
use crate::modbus::frame::{self, Decoder, Frame};
use crate::modbus::pdu::Request;
use crate::units::Micros;

/// Requests sent in one segment to prove that the peer takes more than one.
const PROBE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// One in flight; two may be tried.
    Unproved,
    /// Two were sent together; so many of them were answered.
    Probing { answered: usize },
    /// `window_max` in flight.
    Open,
    /// One in flight, for good.
    Closed,
}

#[derive(Debug)]
struct InFlight {
    transaction: u16,
    pending: Pending,
    is_write: bool,
    /// Whether another request was in flight at the same time.
    shared: bool,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    decoder: Decoder,
    /// In the order of sending.
    in_flight: VecDeque<InFlight>,
    transaction: u16,
    window: Window,
    window_max: usize,
}

impl Pipeline {
    pub(super) fn new(window_max: u16) -> Self {
        let window = if window_max > 1 { Window::Unproved } else { Window::Closed };
        Self {
            decoder: Decoder::default(),
            in_flight: VecDeque::new(),
            transaction: 0,
            window,
            window_max: usize::from(window_max.max(1)),
        }
    }

    /// For a new connection. Its ids begin anywhere, so that an answer to an older one, or to another master's request
    /// that a gateway sent to us, is hardly ever taken for ours.
    pub(super) fn reset(&mut self, first_id: u16) {
        self.decoder.reset();
        self.transaction = first_id;
        if self.window != Window::Closed {
            self.window = Window::Unproved;
        }
    }

    /// Most requests in flight now.
    pub(super) fn window(&self) -> usize {
        match self.window {
            Window::Open => self.window_max,
            Window::Probing { .. } => PROBE,
            Window::Unproved | Window::Closed => 1,
        }
    }

    /// How many more requests may be sent at `now`.
    pub(super) fn room(&self, now: Micros) -> usize {
        let in_flight = self.in_flight.len();
        match self.window {
            Window::Open => self.window_max.saturating_sub(in_flight),
            Window::Closed => 1usize.saturating_sub(in_flight),
            Window::Probing { .. } => 0,
            Window::Unproved => match self.in_flight.front() {
                None => PROBE,
                Some(first) => usize::from(first.pending.sent_at == now && !first.is_write),
            },
        }
    }

    /// Whether another request would be taken, now or later, without anything being answered first.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.is_empty() || self.window == Window::Open && self.in_flight.len() < self.window_max
    }

    pub(super) fn send(&mut self, unit: u8, request: &Request, sent: Sent, out: &mut Vec<u8>) -> Result<(), SendError> {
        let is_probe = self.window == Window::Unproved && !self.in_flight.is_empty();
        if self.room(sent.at) == 0 || is_probe && request.is_write() {
            return Err(SendError::NoRoom);
        }
        let transaction = self.transaction.wrapping_add(1);
        let frame = frame::open(out, transaction, unit);
        if let Err(error) = request.encode_into(out) {
            frame::cancel(out, frame);
            return Err(SendError::Limit(error));
        }
        frame::close(out, frame);
        self.transaction = transaction;
        if is_probe {
            self.window = Window::Probing { answered: 0 };
        }
        let shared = !self.in_flight.is_empty();
        self.in_flight.iter_mut().for_each(|other| other.shared = true);
        let pending = Pending::new(unit, request, sent);
        self.in_flight.push_back(InFlight { transaction, pending, is_write: request.is_write(), shared });
        Ok(())
    }

    /// Takes bytes; `false` when the connection cannot be used any more.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) -> bool {
        let mut rest = bytes;
        // As a rule whole frames come, and nothing has to be kept.
        while !self.decoder.is_partial() {
            match frame::split(rest) {
                Ok(None) => break,
                Ok(Some((frame, behind))) => {
                    let is_clean = take(&mut self.in_flight, &frame, counters, done);
                    self.window = next_window(self.window, is_clean, counters);
                    rest = behind;
                }
                Err(_) => return self.fail(counters),
            }
        }
        if rest.is_empty() {
            return true;
        }
        self.decoder.push(rest);
        loop {
            match self.decoder.next_frame() {
                Ok(None) => return true,
                Ok(Some(frame)) => {
                    let is_clean = take(&mut self.in_flight, &frame, counters, done);
                    self.window = next_window(self.window, is_clean, counters);
                }
                Err(_) => return self.fail(counters),
            }
        }
    }

    /// The stream cannot be cut into frames any more.
    fn fail(&mut self, counters: &mut SessionCounters) -> bool {
        counters.bad_frames += 1;
        self.close_window(counters);
        false
    }

    /// Ends what nobody answered in time; when the newest of it was sent.
    pub(super) fn expire(
        &mut self,
        now: Micros,
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) -> Option<Micros> {
        let mut newest = None;
        while let Some(at) = self.in_flight.iter().position(|waiting| waiting.pending.deadline <= now) {
            let Some(late) = self.in_flight.remove(at) else { break };
            if late.shared {
                self.close_window(counters);
            }
            newest = newest.max(Some(late.pending.sent_at));
            counters.timeouts += 1;
            done(late.pending.end(Err(Failure::TimedOut)));
        }
        newest
    }

    /// Ends everything: the connection is gone.
    pub(super) fn abandon(&mut self, counters: &mut SessionCounters, done: &mut impl FnMut(Completion<'_>)) {
        if self.in_flight.iter().any(|waiting| waiting.shared) {
            self.close_window(counters);
        }
        for lost in self.in_flight.drain(..) {
            done(lost.pending.end(Err(Failure::Disconnected)));
        }
    }

    /// The earliest time at which something in flight has taken too long.
    pub(super) fn deadline(&self) -> Option<Micros> {
        self.in_flight.iter().map(|waiting| waiting.pending.deadline).min()
    }

    fn close_window(&mut self, counters: &mut SessionCounters) {
        self.window = next_window(self.window, false, counters);
    }
}

fn next_window(window: Window, is_clean: bool, counters: &mut SessionCounters) -> Window {
    match window {
        Window::Closed => Window::Closed,
        _ if !is_clean => {
            counters.windows_closed += 1;
            Window::Closed
        }
        Window::Probing { answered } if answered + 1 < PROBE => Window::Probing { answered: answered + 1 },
        Window::Probing { .. } => Window::Open,
        Window::Unproved | Window::Open => window,
    }
}

/// Gives a frame to the transaction it answers; whether it was the answer that was next, and of the right shape.
fn take(
    in_flight: &mut VecDeque<InFlight>,
    frame: &Frame<'_>,
    counters: &mut SessionCounters,
    done: &mut impl FnMut(Completion<'_>),
) -> bool {
    let awaited = in_flight.iter().position(|waiting| {
        let Pending { unit, expected, .. } = &waiting.pending;
        waiting.transaction == frame.transaction && *unit == frame.unit && expected.is_for(frame.pdu)
    });
    let Some((position, answered)) = awaited.and_then(|at| Some((at, in_flight.remove(at)?))) else {
        counters.foreign_replies += 1;
        return false;
    };
    let is_whole = finish(&answered.pending, frame.pdu, counters, done);
    is_whole && position == 0
}
