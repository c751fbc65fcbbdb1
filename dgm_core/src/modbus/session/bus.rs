//! Transactions on a serial line (RTU): one at a time, silence before each, and no late reply taken for another's.
//!
//! ```text
//! quiet ── t3.5 since the last byte ──> send ── characters on the wire ──> reply, or deadline ──> quiet
//!                                        └── unit 0: turnaround ──> Broadcast
//! ```
//!
//! RTU has no transaction id. A unit that did not answer in time is left alone for as long again: by then its late reply
//! has come, while nobody waited for it, or it never will. Other units are asked meanwhile: they answer with their own id.
use super::{finish, Completion, Failure, Pending, SendError, Sent, SessionCounters};
use crate::modbus::pdu::{ReplyView, Request};
use crate::modbus::rtu::{self, Format, ReplyDecoder, BROADCAST, OVERHEAD};
use crate::units::Micros;

/// How long units are given to carry a broadcast out. MODBUS over Serial Line V1.02, section 2.4.1.
pub const TURNAROUND: Micros = Micros::from_millis(100);
/// Longest time for which a line on which nobody was asked may go on talking; then it is opened anew.
pub const BABBLE_MAX: Micros = Micros::from_millis(1_000);

#[derive(Debug)]
pub(super) struct Bus {
    format: Format,
    in_flight: Option<Pending>,
    decoder: ReplyDecoder,
    /// When the last byte of the request has left: what comes before cannot be its answer.
    sent_until: Micros,
    /// When there was last something on the wire, as far as we know.
    quiet_from: Micros,
    /// When the bytes that nobody asked for began to come without a silence.
    babble_from: Option<Micros>,
    /// Units that owe us a reply, and until when it is waited for.
    held: Vec<(u8, Micros)>,
}

impl Bus {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            in_flight: None,
            decoder: ReplyDecoder::default(),
            sent_until: Micros::new(i64::MIN),
            quiet_from: Micros::new(i64::MIN),
            babble_from: None,
            held: Vec::new(),
        }
    }

    /// For a port that has just been opened: nobody knows what is on the wire.
    pub(super) fn reset(&mut self, now: Micros) {
        self.decoder.reset();
        (self.quiet_from, self.babble_from) = (now, None);
    }

    /// How many more requests may be sent at `now`.
    pub(super) fn room(&self, now: Micros) -> usize {
        usize::from(self.ready_at().is_some_and(|ready_at| ready_at <= now))
    }

    /// From when on a request may be sent; `None` while one is in flight.
    pub(super) fn ready_at(&self) -> Option<Micros> {
        self.in_flight.is_none().then(|| self.ready_after(self.quiet_from))
    }

    fn ready_after(&self, quiet_from: Micros) -> Micros {
        quiet_from + self.format.t3_5()
    }

    /// From when on this unit may be asked.
    pub(super) fn free_at(&self, unit: u8) -> Option<Micros> {
        self.held.iter().find(|(held, _)| *held == unit).map(|(_, until)| *until)
    }

    pub(super) fn send(&mut self, unit: u8, request: &Request, sent: Sent, out: &mut Vec<u8>) -> Result<(), SendError> {
        if unit == BROADCAST && request.has_values_back() {
            return Err(SendError::Broadcast);
        }
        if self.free_at(unit).is_some_and(|free_at| sent.at < free_at) {
            return Err(SendError::Held);
        }
        self.held.retain(|(_, until)| sent.at < *until);
        let frame = rtu::open(out, unit);
        if let Err(error) = request.encode_into(out) {
            rtu::cancel(out, frame);
            return Err(SendError::Limit(error));
        }
        rtu::close(out, frame);
        self.sent_until = sent.at + self.format.characters(request.length() + OVERHEAD);
        self.quiet_from = self.sent_until;
        self.babble_from = None;
        let mut pending = Pending::new(unit, request, sent);
        if unit == BROADCAST {
            // Nobody answers; this is when the units are through with it.
            pending.deadline = self.sent_until + TURNAROUND;
        }
        self.in_flight = Some(pending);
        Ok(())
    }

    /// Takes bytes; `false` when the line talks without end.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        now: Micros,
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) -> bool {
        let unasked = bytes.iter().filter(|byte| !self.take_byte(**byte, now, counters, done)).count();
        counters.stray_bytes += self.decoder.take_strays() + u64::try_from(unasked).unwrap_or(u64::MAX);
        let was_silent = self.ready_after(self.quiet_from) <= now;
        self.quiet_from = self.quiet_from.max(now);
        let is_babble = unasked > 0 && self.in_flight.is_none();
        self.babble_from = match self.babble_from {
            Some(from) if is_babble && !was_silent => Some(from),
            _ => is_babble.then_some(now),
        };
        self.babble_from.is_none_or(|from| now - from < BABBLE_MAX)
    }

    /// Whether somebody was waiting for a byte.
    fn take_byte(
        &mut self,
        byte: u8,
        now: Micros,
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) -> bool {
        let awaited = self.in_flight.as_ref().filter(|pending| pending.unit != BROADCAST && self.sent_until <= now);
        let Some(pending) = awaited else { return false };
        if let Some(pdu) = self.decoder.push(byte, pending.unit, &pending.expected) {
            finish(pending, pdu, counters, done);
            self.decoder.reset();
            self.in_flight = None;
        }
        true
    }

    /// Ends what nobody answered in time, and the wait after a broadcast.
    pub(super) fn expire(
        &mut self,
        now: Micros,
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) {
        let Some(ended) = self.in_flight.take_if(|pending| pending.deadline <= now) else { return };
        if ended.unit == BROADCAST {
            return done(ended.end(Ok(ReplyView::Broadcast)));
        }
        counters.timeouts += 1;
        self.hold(&ended, now, counters);
        done(ended.end(Err(Failure::TimedOut)));
    }

    /// Ends everything: the port is gone.
    pub(super) fn abandon(
        &mut self,
        now: Micros,
        counters: &mut SessionCounters,
        done: &mut impl FnMut(Completion<'_>),
    ) {
        let Some(lost) = self.in_flight.take() else { return };
        self.hold(&lost, now, counters);
        done(lost.end(Err(Failure::Disconnected)));
    }

    /// The earliest time at which what is in flight has taken too long.
    pub(super) fn deadline(&self) -> Option<Micros> {
        self.in_flight.as_ref().map(|pending| pending.deadline)
    }

    /// Leaves a unit alone until its late reply has come.
    fn hold(&mut self, pending: &Pending, now: Micros, counters: &mut SessionCounters) {
        self.decoder.discard();
        counters.stray_bytes += self.decoder.take_strays();
        let until = now.max(pending.deadline) + (pending.deadline - pending.sent_at);
        self.held.push((pending.unit, until));
    }
}
