//! One line: an endpoint with its single connection, and everything behind it.
//!
//! ```text
//! event, now ──> session ── completion ──> roster (devices, or registers to poll)
//!                   ^──── requests, while there is room ── next ──┘
//! ```
//!
//! The unit of scheduling is the line, whatever the number of units behind it: the session says how much may be in
//! flight, the roster whose turn it is. The owner of the socket feeds it and takes what is to be sent.
use super::device::DeviceConfig;
use super::devices::Devices;
use super::pdu::Request;
use super::session::{Completion, Failure, Jitter, LinkCommand, SendError, Session, SessionConfig, Token, Transport};
pub use super::tally::LineCounters;
use crate::units::Micros;

/// What happens to a line: all it ever learns of the world, each with the time at which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// The connection has been established.
    Connected,
    /// The connection ended, or could not be established.
    Closed,
    /// Bytes as they came.
    Received(&'a [u8]),
    /// Time has passed.
    Wake,
}

/// A transaction to be sent now.
#[derive(Debug)]
pub struct Ask {
    /// Unit id.
    pub unit: u8,
    /// What is asked.
    pub request: Request,
    /// Comes back with its end.
    pub token: Token,
    /// When it must have ended.
    pub deadline: Micros,
}

/// Everything behind a line: says whose turn it is and takes what became of it.
pub trait Roster {
    /// The transaction whose turn it is, if one is wanted now; it is sent at once. A unit that the session holds back
    /// (`Session::free_at`) is not to be asked.
    fn next(&mut self, session: &Session, reads_only: bool, now: Micros) -> Option<Ask>;
    /// Takes the end of a transaction; every one that was asked ends once.
    fn complete(&mut self, completion: &Completion<'_>, now: Micros);
    /// The connection is gone; what was in flight has been completed.
    fn lose(&mut self, now: Micros);
    /// When `next` has something, if there is room.
    fn wake_time(&self) -> Option<Micros>;
    /// Ends what waited too long to be sent.
    fn expire(&mut self, _now: Micros) {}
    /// When `expire` has something to do, whether the line stands or not.
    fn expiry(&self) -> Option<Micros> {
        None
    }
    /// Counters and gauges, without the session's.
    fn counters(&self) -> LineCounters;
}

/// State of one line.
#[derive(Debug)]
pub struct Line<R = Devices> {
    session: Session,
    roster: R,
    is_up: bool,
    in_flight: usize,
    output: Vec<u8>,
}

impl Line {
    /// A line of site devices that has not connected yet.
    pub fn new(devices: &[DeviceConfig], transport: Transport, jitter: Jitter, now: Micros) -> Self {
        let config = SessionConfig { transport, ..SessionConfig::default() };
        Self::over(Devices::new(devices, transport, now), config, jitter)
    }
}

impl<R: Roster> Line<R> {
    /// A line that has not connected yet.
    pub fn over(roster: R, config: SessionConfig, jitter: Jitter) -> Self {
        Self { session: Session::new(config, jitter), roster, is_up: false, in_flight: 0, output: Vec::new() }
    }

    /// What is behind it.
    pub fn roster(&self) -> &R {
        &self.roster
    }

    /// Changes what is behind it, and sends what is wanted now.
    pub fn update<T>(&mut self, now: Micros, change: impl FnOnce(&mut R) -> T) -> T {
        let result = change(&mut self.roster);
        self.pump(now);
        result
    }

    /// Takes from what is behind it; wants nothing sent.
    pub fn take<T>(&mut self, take: impl FnOnce(&mut R) -> T) -> T {
        take(&mut self.roster)
    }

    /// Takes what happened.
    pub fn feed(&mut self, event: LineEvent<'_>, now: Micros) {
        let (roster, in_flight) = (&mut self.roster, &mut self.in_flight);
        let mut done = |completion: Completion<'_>| {
            *in_flight = in_flight.saturating_sub(1);
            roster.complete(&completion, now);
        };
        match event {
            LineEvent::Connected => self.session.connected(now),
            LineEvent::Closed => self.session.closed(now, &mut done),
            LineEvent::Received(bytes) => self.session.receive(bytes, now, &mut done),
            LineEvent::Wake => self.session.expire(now, &mut done),
        }
        if std::mem::replace(&mut self.is_up, self.session.is_up()) && !self.is_up {
            self.output.clear();
            self.roster.lose(now);
        }
        self.roster.expire(now);
        self.pump(now);
    }

    /// Bytes to send, in order; whoever sends them empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Next thing to do with the socket.
    pub fn take_command(&mut self, now: Micros) -> Option<LinkCommand> {
        self.session.take_command(now)
    }

    /// When a wake or `take_command` has something to do.
    pub fn wake_time(&self) -> Option<Micros> {
        let ready = self.session.ready_at();
        let wanted = ready.and_then(|ready| self.roster.wake_time().map(|wake| wake.max(ready)));
        [self.session.wake_time(), wanted, self.roster.expiry()].into_iter().flatten().min()
    }

    /// Requests in flight now, and how many there may be.
    pub fn window(&self) -> (usize, usize) {
        (self.in_flight, self.session.window())
    }

    /// Counters and gauges.
    pub fn counters(&self) -> LineCounters {
        LineCounters { session: self.session.counters, ..self.roster.counters() }
    }

    /// Sends the requests whose turn it is, while there is room.
    fn pump(&mut self, now: Micros) {
        while self.session.room(now) > 0 {
            // A window of one that lets a second request in is being proved, which only reads may do.
            let reads_only = self.in_flight > 0 && self.session.window() == 1;
            let Some(Ask { unit, request, token, deadline }) = self.roster.next(&self.session, reads_only, now) else {
                return;
            };
            match self.session.send(unit, &request, token, deadline, now, &mut self.output) {
                Ok(()) => self.in_flight += 1,
                // Nothing was sent, and whoever asked hears of it.
                Err(error) => {
                    let result = Err(unsent(error));
                    self.roster.complete(&Completion { token, result, sent_at: now }, now);
                    return;
                }
            }
        }
    }
}

/// A held unit has not answered; everything else is a request that cannot be.
fn unsent(error: SendError) -> Failure {
    match error {
        SendError::Held => Failure::TimedOut,
        SendError::NoRoom | SendError::Broadcast | SendError::Limit(_) => Failure::Malformed,
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
