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
mod bus;
#[cfg(test)]
mod bus_tests;
mod link;
#[cfg(test)]
mod model_tests;
mod outcome;
mod pipeline;
#[cfg(test)]
mod tests;

use self::bus::Bus;
pub use self::bus::{BABBLE_MAX, TURNAROUND};
use self::link::Link;
pub use self::link::{Jitter, LinkCommand, BACKOFF_EAGER_MAX, BACKOFF_FIRST, BACKOFF_MAX, CONNECT_TIMEOUT, EAGER};
use self::outcome::{finish, Pending, Sent};
pub use self::outcome::{Completion, Failure, OwnedCompletion, SendError, SessionCounters};
use self::pipeline::Pipeline;
use super::pdu::Request;
use super::rtu::Format;
use crate::units::Micros;

/// Rounds in a row in which nobody on the line answered before the connection is given up.
pub const SILENT_MAX: u32 = 3;

/// What the caller calls a transaction; it means nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Modbus/TCP, with or without TLS.
    Tcp {
        /// Most requests in flight once the peer has proved that it answers several; 1: never more than one.
        window_max: u16,
    },
    /// Modbus RTU on a serial line, one at a time.
    Rtu(Format),
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

#[derive(Debug)]
enum Carrier {
    Tcp(Pipeline),
    Rtu(Bus),
}

/// State of one line's connection.
#[derive(Debug)]
pub struct Session {
    link: Link,
    carrier: Carrier,
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
        let carrier = match config.transport {
            Transport::Tcp { .. } if config.gap > Micros::ZERO => Carrier::Tcp(Pipeline::new(1)),
            Transport::Tcp { window_max } => Carrier::Tcp(Pipeline::new(window_max)),
            Transport::Rtu(format) => Carrier::Rtu(Bus::new(format)),
        };
        Self {
            link: Link::new(jitter),
            carrier,
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
        match &self.carrier {
            Carrier::Tcp(pipeline) => pipeline.window(),
            Carrier::Rtu(_) => 1,
        }
    }

    /// How many more requests may be sent at `now`, in one go.
    ///
    /// Two while a window that may open stands at one: sent together, and if both are reads, they are the proof. Who
    /// sends one only has an ordinary transaction.
    pub fn room(&self, now: Micros) -> usize {
        match &self.carrier {
            _ if !self.is_up() || self.paced_at() > now => 0,
            Carrier::Tcp(pipeline) => pipeline.room(now),
            Carrier::Rtu(bus) => bus.room(now),
        }
    }

    /// From when on there is room, if nothing more comes in; `None` while something else must happen first.
    pub fn ready_at(&self) -> Option<Micros> {
        match &self.carrier {
            _ if !self.is_up() => None,
            Carrier::Tcp(pipeline) => pipeline.has_room().then(|| self.paced_at()),
            Carrier::Rtu(bus) => bus.ready_at().map(|ready_at| ready_at.max(self.paced_at())),
        }
    }

    /// From when on a unit may be asked that did not answer in time; `None`: now. Only serial lines make one wait.
    pub fn free_at(&self, unit: u8) -> Option<Micros> {
        match &self.carrier {
            Carrier::Tcp(_) => None,
            Carrier::Rtu(bus) => bus.free_at(unit),
        }
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
        match &mut self.carrier {
            Carrier::Tcp(pipeline) => pipeline.reset(self.link.nonce()),
            Carrier::Rtu(bus) => bus.reset(now),
        }
        self.silent = (0, now);
        self.idle_from = now - self.gap;
        self.counters.connects += 1;
    }

    /// The connection ended, or could not be established.
    pub fn closed(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if self.link.lose(now) {
            self.lost(now, done);
        }
    }

    fn give_up(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if self.link.give_up(now) {
            self.lost(now, done);
        }
    }

    fn lost(&mut self, now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        self.counters.disconnects += 1;
        match &mut self.carrier {
            Carrier::Tcp(pipeline) => pipeline.abandon(&mut self.counters, done),
            Carrier::Rtu(bus) => bus.abandon(now, &mut self.counters, done),
        }
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
        let sent = Sent { token, at: now, deadline };
        match &mut self.carrier {
            Carrier::Tcp(pipeline) => pipeline.send(unit, request, sent, out)?,
            Carrier::Rtu(bus) => bus.send(unit, request, sent, out)?,
        }
        self.counters.requests += 1;
        Ok(())
    }

    /// Takes bytes as they came and completes what they answer.
    pub fn receive(&mut self, bytes: &[u8], now: Micros, done: &mut impl FnMut(Completion<'_>)) {
        if !self.is_up() {
            return;
        }
        let answers = self.counters.answers;
        let is_sound = match &mut self.carrier {
            Carrier::Tcp(pipeline) => pipeline.receive(bytes, &mut self.counters, done),
            Carrier::Rtu(bus) => bus.receive(bytes, now, &mut self.counters, done),
        };
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
        let mut ended = false;
        let mut end = |completion: Completion<'_>| {
            ended = true;
            done(completion);
        };
        match &mut self.carrier {
            Carrier::Rtu(bus) => bus.expire(now, &mut self.counters, &mut end),
            Carrier::Tcp(pipeline) => {
                let newest = pipeline.expire(now, &mut self.counters, &mut end);
                self.count_silence(newest, now);
            }
        }
        if ended {
            self.idle_from = now;
        }
        if self.silent.0 >= SILENT_MAX {
            self.give_up(now, done);
        }
    }

    /// Several that were in flight together are one round of silence. On a serial line silence is no reason to open the
    /// port anew: the other units are still there.
    fn count_silence(&mut self, sent_at: Option<Micros>, now: Micros) {
        if sent_at.is_some_and(|sent_at| sent_at >= self.silent.1) {
            self.silent = (self.silent.0 + 1, now);
        }
    }

    /// When `expire` or `take_command` has something to do.
    pub fn wake_time(&self) -> Option<Micros> {
        self.link.wake_time().or_else(|| match &self.carrier {
            Carrier::Tcp(pipeline) => pipeline.deadline(),
            Carrier::Rtu(bus) => bus.deadline(),
        })
    }
}
