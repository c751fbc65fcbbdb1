//! A recorded run once more: the same events into a fresh fleet, what it says beside what it said.
//!
//! ```text
//! log ── entries ──> Fleet ── bytes, commands ──> equal? ── image ──> equal?
//! ```
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use crate::fleet::{image_of, DeviceOrder, Fleet, FleetLine};
use crate::modbus::line::LineEvent;
use crate::modbus::pdu::Request;
use crate::modbus::session::LinkCommand;
use crate::record::{kind, Digest, Ending, BODY_MAX, MAGIC};
use crate::units::Micros;

/// Why a log cannot be replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// It cannot be read.
    Read(std::io::Error),
    /// It is not a log, or of another format.
    Magic,
    /// It was recorded of another configuration.
    Configuration,
    /// This entry is none.
    Entry(u64),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "replay: the log cannot be read: {error}"),
            Self::Magic => write!(f, "replay: found no log; expected a file written by Poller.record"),
            Self::Configuration => {
                write!(f, "replay: found a log of another configuration; expected the bytes its poller was made of")
            }
            Self::Entry(entry) => write!(f, "replay: entry {entry} is none; expected a log that nobody has changed"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<std::io::Error> for ReplayError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

/// What a replay has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries replayed, from 0 on.
    pub entries: u64,
    /// Bytes said.
    pub sent: u64,
    /// Of all bytes said, in order.
    pub output: Digest,
    /// Of the image at the end.
    pub image: Digest,
    /// Entries at which it said or wanted something else.
    pub mismatches: u64,
    /// The first of them.
    pub first_mismatch: Option<u64>,
    /// How the log ends; `None`: it was cut off.
    pub ending: Option<Ending>,
}

/// Replays a whole log. `configuration`: of the bytes that `lines` were decoded from.
pub fn replay(lines: &[FleetLine], configuration: Digest, log: impl Read) -> Result<Summary, ReplayError> {
    let mut entries = Entries { log, at: Micros::ZERO };
    let mut magic = [0; MAGIC.len()];
    entries.log.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(ReplayError::Magic);
    }
    if entries.word()? != configuration.get() {
        return Err(ReplayError::Configuration);
    }
    let seed = entries.word()?;
    let mut run = Run { fleet: Fleet::new(lines, Arc::new(image_of(lines)), seed), summary: Summary::default() };
    while let Some(entry) = entries.next(run.summary.entries)? {
        run.carry_out(entry);
        run.summary.entries += 1;
        if run.summary.ending.is_some() {
            break;
        }
    }
    run.summary.image = run.fleet.image().digest();
    Ok(run.summary)
}

enum Entry {
    Event { line: usize, happened: Happened, now: Micros },
    Order { order: DeviceOrder, now: Micros },
    Sent { line: usize, length: u64, digest: u64 },
    Command { line: usize, command: LinkCommand, now: Micros },
    End { ending: Ending, image: u64 },
}

enum Happened {
    Wake,
    Connected,
    Closed,
    Received(Vec<u8>),
}

struct Run {
    fleet: Fleet,
    summary: Summary,
}

impl Run {
    fn carry_out(&mut self, entry: Entry) {
        match entry {
            Entry::Event { line, happened, now } => {
                let Some(line) = self.fleet.line_mut(line) else { return self.mismatch() };
                match &happened {
                    Happened::Wake => line.feed(LineEvent::Wake, now),
                    Happened::Connected => line.feed(LineEvent::Connected, now),
                    Happened::Closed => line.feed(LineEvent::Closed, now),
                    Happened::Received(bytes) => line.feed(LineEvent::Received(bytes), now),
                }
            }
            Entry::Order { order, now } => drop(self.fleet.order(order, now)),
            Entry::Sent { line, length, digest } => self.compare(line, length, digest),
            Entry::Command { line, command, now } => {
                let wanted = self.fleet.line_mut(line).and_then(|line| line.take_command(now));
                if wanted != Some(command) {
                    self.mismatch();
                }
            }
            Entry::End { ending, image } => {
                self.summary.ending = Some(ending);
                if ending == Ending::Stopped && image != self.fleet.image().digest().get() {
                    self.mismatch();
                }
            }
        }
    }

    fn compare(&mut self, line: usize, length: u64, digest: u64) {
        let Some(line) = self.fleet.line_mut(line) else { return self.mismatch() };
        let said = std::mem::take(line.output());
        let found = u64::try_from(said.len()).unwrap_or(u64::MAX);
        self.summary.sent += found;
        self.summary.output.add(&said);
        if (found, Digest::of(&said).get()) != (length, digest) {
            self.mismatch();
        }
    }

    fn mismatch(&mut self) {
        self.summary.mismatches += 1;
        self.summary.first_mismatch.get_or_insert(self.summary.entries);
    }
}

struct Entries<R> {
    log: R,
    at: Micros,
}

impl<R: Read> Entries<R> {
    /// The next entry; `None` where the log was cut off.
    fn next(&mut self, number: u64) -> Result<Option<Entry>, ReplayError> {
        match self.entry(number) {
            Err(ReplayError::Read(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            other => other.map(Some),
        }
    }

    fn entry(&mut self, number: u64) -> Result<Entry, ReplayError> {
        let wrong = || ReplayError::Entry(number);
        let kind = self.byte()?;
        let passed = self.number()?;
        self.at += Micros::new(i64::try_from(passed).map_err(|_| wrong())?);
        let (now, line) = (self.at, usize::try_from(self.number()?).map_err(|_| wrong())?);
        let event = |happened| Entry::Event { line, happened, now };
        Ok(match kind {
            kind::WAKE => event(Happened::Wake),
            kind::CONNECTED => event(Happened::Connected),
            kind::CLOSED => event(Happened::Closed),
            kind::RECEIVED => event(Happened::Received(self.body()?.ok_or_else(wrong)?)),
            kind::ORDER => {
                let (ticket, deadline) = (self.number()?, self.number()?);
                let deadline = Micros::new(i64::try_from(deadline).map_err(|_| wrong())?);
                let pdu = self.body()?.ok_or_else(wrong)?;
                let request = Request::parse(&pdu).map_err(|_| wrong())?;
                Entry::Order { order: DeviceOrder { ticket, device: line, request, deadline }, now }
            }
            kind::SENT => Entry::Sent { line, length: self.number()?, digest: self.number()? },
            kind::CONNECT => Entry::Command { line, command: LinkCommand::Connect, now },
            kind::CLOSE => Entry::Command { line, command: LinkCommand::Close, now },
            kind::END => {
                let ending = Ending::from_code(self.number()?).ok_or_else(wrong)?;
                Entry::End { ending, image: self.number()? }
            }
            _ => return Err(wrong()),
        })
    }

    fn byte(&mut self) -> Result<u8, ReplayError> {
        let mut byte = [0];
        self.log.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn word(&mut self) -> Result<u64, ReplayError> {
        let mut bytes = [0; 8];
        self.log.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bits beyond 64 are dropped: such a number is no position of anything.
    fn number(&mut self) -> Result<u64, ReplayError> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                break;
            }
        }
        Ok(number)
    }

    /// `None`: longer than a body may be.
    fn body(&mut self) -> Result<Option<Vec<u8>>, ReplayError> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > BODY_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        self.log.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
