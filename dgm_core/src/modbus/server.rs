//! The Modbus server as a pure machine: registers, write table, watchdogs, and one state per client connection.
//!
//! ```text
//! bytes, now ──> Connection ── frame ──> Server::answer ──> bytes back (or: close)
//!                                   └──> Change (an accepted write or a watchdog fallback), kept until taken
//! ```
//!
//! Every request, well formed or not, has one defined answer; nothing a client sends delays another client. It does
//! not know where the values come from or what the changes mean.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::{self, Decoder};
use super::pdu::{encode_exception, encode_registers, encode_written, Exception, Refusal, Request, Span, Table};
use super::registers::Registers;
use super::writable::{Change, TableError, Writable, WriteError, WriteTable};
use crate::units::Millis;

/// Longest wait for the rest of a frame.
pub const PARTIAL_FRAME: Millis = Millis::new(1_000);
/// Longest silence of a client before its connection is closed.
pub const IDLE_CLIENT: Millis = Millis::new(300_000);
/// Changes kept for a consumer that does not take them; then only the newest of each value is kept.
pub const CHANGES_MAX: usize = 4_096;
/// Writable values of all units together, so that the newest of each always fits.
pub const WRITABLES_MAX: usize = CHANGES_MAX / 2;

/// What a served unit consists of.
#[derive(Debug, Default)]
struct Unit {
    registers: Registers,
    table: WriteTable,
}

/// A change of a value that the owner of the image has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitChange {
    /// Unit id.
    pub unit: u8,
    /// Which value, and what it is now.
    pub change: Change,
    /// When it happened.
    pub at: Millis,
}

/// Why a declaration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefineError {
    /// The unit id is not served.
    Unit,
    /// The registers do not exist, or pass 65535.
    Registers,
    /// More than `WRITABLES_MAX` writable values.
    Full,
    /// The write table refuses.
    Table(TableError),
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The PDU to send back.
    Pdu(Vec<u8>),
    /// Close the connection.
    Close,
}

/// What has happened since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Requests answered, exceptions included.
    pub requests: u64,
    /// Exceptions among the answers.
    pub exceptions: u64,
    /// Connections closed for bytes that are no frame of ours.
    pub bad_frames: u64,
    /// Values written by clients.
    pub writes: u64,
    /// Values that a watchdog returned to their fallback.
    pub fallbacks: u64,
    /// Older changes of a value dropped because nobody took them.
    pub changes_conflated: u64,
}

/// The image of all units.
#[derive(Debug, Default)]
pub struct Server {
    units: BTreeMap<u8, Unit>,
    writables: usize,
    changes: VecDeque<UnitChange>,
    /// Counted since start.
    pub counters: ServerCounters,
}

impl Server {
    /// Serves the unit ids 1..=units, with no registers yet.
    pub fn new(units: u8) -> Self {
        let units = (1..=units).map(|id| (id, Unit::default())).collect();
        Self { units, ..Self::default() }
    }

    fn unit(&mut self, unit: u8) -> Result<&mut Unit, DefineError> {
        self.units.get_mut(&unit).ok_or(DefineError::Unit)
    }

    /// Declares readable registers.
    pub fn define(&mut self, unit: u8, span: Span) -> Result<(), DefineError> {
        let found = self.unit(unit)?;
        if span.count == 0 || !span.is_addressable() {
            return Err(DefineError::Registers);
        }
        found.registers.define(span);
        Ok(())
    }

    /// Declares a writable value over registers that exist. Its fallback is what they hold now.
    pub fn allow_write(&mut self, unit: u8, span: Span, writable: Writable) -> Result<(), DefineError> {
        if self.writables >= WRITABLES_MAX {
            return Err(DefineError::Full);
        }
        let found = self.unit(unit)?;
        let words = found.registers.read(span).ok_or(DefineError::Registers)?;
        found.table.allow(span.start, writable, words).map_err(DefineError::Table)?;
        self.writables += 1;
        Ok(())
    }

    /// Sets what a value returns to when its watchdog expires; acts at once where no client holds the value.
    pub fn set_fallback(&mut self, unit: u8, address: u16, value: i64) -> Result<(), DefineError> {
        let found = self.unit(unit)?;
        let words = found.table.set_fallback(address, value).map_err(DefineError::Table)?;
        words.map_or(Some(()), |words| found.registers.replace(address, &words)).ok_or(DefineError::Registers)
    }

    /// Replaces registers, those of writable values included; their watchdogs run on.
    pub fn publish(&mut self, unit: u8, start: u16, words: &[u16]) -> Result<(), DefineError> {
        self.unit(unit)?.registers.replace(start, words).ok_or(DefineError::Registers)
    }

    /// The changes since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<UnitChange> {
        self.changes.drain(..).collect()
    }

    /// Whether `take_changes` has something.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// When `expire` has something to do.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.units.values().filter_map(|unit| unit.table.next_expiry()).min()
    }

    /// Returns values whose watchdog has expired to their fallback.
    pub fn expire(&mut self, now: Millis) {
        let mut expired = Vec::new();
        for (id, unit) in &mut self.units {
            for (change, words) in unit.table.expire(now) {
                // The table only holds values over registers that exist.
                let _ = unit.registers.replace(change.address, &words);
                expired.push(UnitChange { unit: *id, change, at: now });
            }
        }
        for change in expired {
            self.counters.fallbacks += 1;
            self.push_change(change);
        }
    }

    /// Answers one request PDU. Expired values have returned to their fallback before it is looked at.
    pub fn answer(&mut self, unit: u8, pdu: &[u8], now: Millis) -> Answer {
        self.expire(now);
        let function = pdu.first().copied().unwrap_or_default();
        let done =
            Request::parse(pdu).and_then(|request| self.execute(unit, &request, now).map_err(Refusal::Exception));
        match done {
            Ok(reply) => {
                self.counters.requests += 1;
                Answer::Pdu(reply)
            }
            Err(Refusal::Exception(exception)) => {
                self.counters.requests += 1;
                self.counters.exceptions += 1;
                Answer::Pdu(encode_exception(function, exception))
            }
            Err(Refusal::Close) => Answer::Close,
        }
    }

    fn execute(&mut self, unit: u8, request: &Request, now: Millis) -> Result<Vec<u8>, Exception> {
        if !self.units.contains_key(&unit) {
            return Err(Exception::GatewayTarget);
        }
        let function = request.function();
        match request {
            Request::Read { table: Table::Holding | Table::Input, span } => {
                Ok(encode_registers(function, &self.read(unit, *span)?))
            }
            Request::WriteOne { address, value } => {
                self.write(unit, *address, &[*value], now)?;
                Ok(encode_written(function, *address, *value))
            }
            Request::WriteMany { start, values } => {
                self.write(unit, *start, values, now)?;
                let count = u16::try_from(values.len()).map_err(|_| Exception::IllegalValue)?;
                Ok(encode_written(function, *start, count))
            }
            Request::ReadWrite { read, start, values } => {
                self.read(unit, *read)?;
                self.write(unit, *start, values, now)?;
                Ok(encode_registers(function, &self.read(unit, *read)?))
            }
            Request::Read { table: Table::Coil | Table::DiscreteInput, .. }
            | Request::WriteCoil { .. }
            | Request::WriteCoils { .. }
            | Request::MaskWrite { .. } => Err(Exception::IllegalFunction),
        }
    }

    fn read(&self, unit: u8, span: Span) -> Result<Vec<u16>, Exception> {
        let words = self.units.get(&unit).and_then(|found| found.registers.read(span));
        words.map(<[u16]>::to_vec).ok_or(Exception::IllegalAddress)
    }

    fn write(&mut self, unit: u8, start: u16, words: &[u16], now: Millis) -> Result<(), Exception> {
        let found = self.units.get_mut(&unit).ok_or(Exception::GatewayTarget)?;
        let changes = found.table.write(start, words, now).map_err(|error| match error {
            WriteError::NotWritable => Exception::IllegalAddress,
            WriteError::BadValue => Exception::IllegalValue,
        })?;
        found.registers.replace(start, words).ok_or(Exception::IllegalAddress)?;
        for change in changes {
            self.counters.writes += 1;
            self.push_change(UnitChange { unit, change, at: now });
        }
        Ok(())
    }

    fn push_change(&mut self, change: UnitChange) {
        if self.changes.len() >= CHANGES_MAX {
            self.conflate_changes();
        }
        self.changes.push_back(change);
    }

    /// Keeps the newest change of each value; there are fewer values than `CHANGES_MAX`.
    fn conflate_changes(&mut self) {
        let before = self.changes.len();
        let mut seen = BTreeSet::new();
        let mut newest: VecDeque<UnitChange> = VecDeque::with_capacity(before);
        for change in self.changes.drain(..).rev() {
            if seen.insert((change.unit, change.change.address)) {
                newest.push_front(change);
            }
        }
        self.counters.changes_conflated += u64::try_from(before - newest.len()).unwrap_or(u64::MAX);
        self.changes = newest;
    }
}

/// One client connection: the frames of a byte stream, answered in order.
#[derive(Debug)]
pub struct Connection {
    decoder: Decoder,
    last_frame_at: Millis,
    partial_since: Option<Millis>,
    has_spoken: bool,
}

/// What the owner of the socket does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Bytes to send, in order.
    pub bytes: Vec<u8>,
    /// Then close.
    pub close: bool,
}

impl Connection {
    /// A client that has just connected.
    pub fn new(now: Millis) -> Self {
        Self { decoder: Decoder::default(), last_frame_at: now, partial_since: None, has_spoken: false }
    }

    /// Takes bytes as they came and answers every frame they complete.
    pub fn receive(&mut self, bytes: &[u8], server: &mut Server, now: Millis) -> Output {
        let mut output = Output::default();
        self.decoder.push(bytes);
        loop {
            let frame = match self.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return close(output, server),
            };
            (self.last_frame_at, self.partial_since, self.has_spoken) = (now, None, true);
            match server.answer(frame.unit, frame.pdu, now) {
                Answer::Pdu(pdu) => output.bytes.extend(frame::encode(frame.transaction, frame.unit, &pdu)),
                Answer::Close => return close(output, server),
            }
        }
        self.partial_since = self.decoder.is_partial().then(|| self.partial_since.unwrap_or(now));
        output
    }

    /// Whether a whole frame ever came.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// When the connection is to be closed if nothing more comes.
    pub fn deadline(&self) -> Millis {
        let idle = self.last_frame_at + IDLE_CLIENT;
        let partial = self.partial_since.map(|since| since + PARTIAL_FRAME);
        partial.map_or(idle, |partial| partial.min(idle))
    }
}

fn close(mut output: Output, server: &mut Server) -> Output {
    server.counters.bad_frames += 1;
    output.close = true;
    output
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
