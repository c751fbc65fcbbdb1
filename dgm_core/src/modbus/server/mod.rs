//! The Modbus server as a pure machine: every request PDU has one defined answer.
//!
//! ```text
//! Connection ── PDU, party, now ──> Server::answer ──> reply appended to the output (or: close)
//!                                       └──> Change (an accepted write or an ended lease), kept until taken
//! ```
//!
//! An answer is copied from the image into the caller's buffer; nothing is allocated for a read. It does not know
//! where the values come from or what the changes mean. Denied: exception 1 (Modbus/TCP Security, R-31).
pub mod changes;
pub mod connection;
pub mod counters;
pub mod declaration;
pub mod party;
pub mod registers;
pub mod unit;
pub mod writable;
pub mod write_table;

use std::collections::VecDeque;
use std::sync::Arc;

use super::pdu::{self, Exception, Refusal, RequestView, Span, Table};
use crate::units::Millis;
use changes::{Changes, UnitChange, WRITABLES_MAX};
use counters::{BadFrame, ServerCounters};
use party::Party;
use unit::{Guarded, ReadError, Unit};
use write_table::{Group, TableError, WriteError};

/// Why a declaration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefineError {
    /// The unit id is not served.
    Unit,
    /// The cells do not exist, or pass 65535.
    Registers,
    /// More than `WRITABLES_MAX` writable values.
    Full,
    /// The write table refuses.
    Table(TableError),
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Carried out; the reply was appended.
    Done,
    /// Refused; the exception was appended.
    Refused,
    /// Close the connection; nothing was appended.
    Close,
}

/// The image of all units.
#[derive(Debug, Default)]
pub struct Server {
    /// Unit ids 1.. in order.
    units: Vec<Unit>,
    writables: usize,
    /// Roles that may write at all; empty: as each value says.
    write_roles: Vec<String>,
    changes: Changes,
    /// No lease ends before it. It may be early: a rewritten lease is not looked for.
    next_expiry: Option<Millis>,
    /// Coils of one request, a byte each.
    scratch: Vec<u8>,
    /// Counted since start.
    pub counters: ServerCounters,
}

impl Server {
    /// Serves the unit ids 1..=units, with no registers yet.
    pub fn new(units: u8) -> Self {
        Self { units: (0..units).map(|_| Unit::default()).collect(), ..Self::default() }
    }

    fn unit(&self, unit: u8) -> Result<&Unit, DefineError> {
        let index = usize::from(unit).checked_sub(1).ok_or(DefineError::Unit)?;
        self.units.get(index).ok_or(DefineError::Unit)
    }

    fn unit_mut(&mut self, unit: u8) -> Result<&mut Unit, DefineError> {
        let index = usize::from(unit).checked_sub(1).ok_or(DefineError::Unit)?;
        self.units.get_mut(index).ok_or(DefineError::Unit)
    }

    /// Declares readable cells.
    pub fn define(&mut self, unit: u8, table: Table, span: Span) -> Result<(), DefineError> {
        let found = self.unit_mut(unit)?;
        if span.count == 0 || !span.is_addressable() {
            return Err(DefineError::Registers);
        }
        found.define(table, span);
        Ok(())
    }

    /// Declares values that clients write together, over cells that exist.
    pub fn allow_write(&mut self, unit: u8, table: Table, group: Group) -> Result<(), DefineError> {
        let values = group.len();
        self.may_hold(unit, values)?;
        let found = self.unit_mut(unit)?;
        found.cells(table, group.span()).ok_or(DefineError::Registers)?;
        found.allow(table, group).map_err(DefineError::Table)?;
        self.writables += values;
        Ok(())
    }

    /// Whether there is room for so many more writable values.
    fn may_hold(&self, unit: u8, values: usize) -> Result<(), DefineError> {
        self.unit(unit)?;
        (self.writables + values <= WRITABLES_MAX).then_some(()).ok_or(DefineError::Full)
    }

    fn may_allow(&self, unit: u8, table: Table, group: &Group) -> Result<(), DefineError> {
        self.unit(unit)?.may_allow(table, group).map_err(DefineError::Table)
    }

    fn own_cells(&self, unit: u8, table: Table, span: Span) -> Option<&[u8]> {
        self.unit(unit).ok()?.own_cells(table, span)
    }

    /// Lets only some roles read cells.
    pub fn guard(&mut self, unit: u8, guarded: Guarded) -> Result<(), DefineError> {
        self.unit_mut(unit)?.guard(guarded);
        Ok(())
    }

    /// Only clients with one of these roles may write anything; an empty list leaves it to each value.
    pub fn set_write_roles(&mut self, roles: Vec<String>) {
        self.write_roles = roles;
    }

    /// Sets what a value returns to when its lease ends; acts at once where no client holds the value.
    pub fn set_fallback(&mut self, unit: u8, table: Table, address: u16, value: i64) -> Result<(), DefineError> {
        self.unit_mut(unit)?.set_fallback(table, address, value).map_err(DefineError::Table)
    }

    /// Replaces cells, those of writable values included; their leases run on. Registers are big-endian bytes.
    pub fn publish(&mut self, unit: u8, table: Table, start: u16, bytes: &[u8]) -> Result<(), DefineError> {
        self.unit_mut(unit)?.replace(table, start, bytes).ok_or(DefineError::Registers)
    }

    /// The bytes of cells, as they lie in the image.
    pub fn cells(&self, unit: u8, table: Table, span: Span) -> Option<&[u8]> {
        self.unit(unit).ok()?.cells(table, span)
    }

    /// The changes since the last call, in order.
    pub fn take_changes(&mut self) -> VecDeque<UnitChange> {
        self.changes.take()
    }

    /// How many changes wait.
    pub fn waiting_changes(&self) -> usize {
        self.changes.len()
    }

    /// Older changes dropped because nobody took them.
    pub fn conflated_changes(&self) -> u64 {
        self.changes.conflated
    }

    /// No lease ends before this time.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.next_expiry
    }

    /// Returns values whose lease has ended to their fallback.
    pub fn expire(&mut self, now: Millis) {
        if self.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        let Self { units, changes, counters, .. } = self;
        for (id, unit) in (1..).zip(units.iter_mut()) {
            unit.expire(now, |table, change| {
                counters.fallbacks += 1;
                changes.push(UnitChange { unit: id, table, change, at: now, by: None });
            });
        }
        self.next_expiry = self.units.iter().filter_map(Unit::next_expiry).min();
    }

    /// Appends the answer to one request PDU. Ended leases have fallen back before it is looked at.
    pub fn answer(&mut self, unit: u8, pdu: &[u8], party: &Arc<Party>, now: Millis, out: &mut Vec<u8>) -> Answer {
        self.expire(now);
        let start = out.len();
        let parsed = RequestView::parse(pdu);
        let done = parsed.and_then(|request| self.execute(unit, request, party, now, out).map_err(Refusal::Exception));
        match done {
            Ok(()) => {
                self.counters.requests += 1;
                Answer::Done
            }
            Err(Refusal::Exception(exception)) => {
                out.truncate(start);
                pdu::exception_into(out, pdu.first().copied().unwrap_or_default(), exception);
                self.counters.refused(exception);
                Answer::Refused
            }
            Err(Refusal::Close) => {
                self.counters.bad_frame(BadFrame::Pdu);
                Answer::Close
            }
        }
    }

    fn execute(
        &mut self,
        unit: u8,
        request: RequestView<'_>,
        party: &Arc<Party>,
        now: Millis,
        out: &mut Vec<u8>,
    ) -> Result<(), Exception> {
        match request {
            RequestView::Read { table, span } => self.read(unit, table, span, party, out),
            RequestView::WriteCoil { address, value } => {
                self.write(unit, Table::Coil, address, &[u8::from(value)], party, now)?;
                pdu::written_into(out, 5, address, if value { 0xFF00 } else { 0 });
                Ok(())
            }
            RequestView::WriteOne { address, value } => {
                self.write(unit, Table::Holding, address, &value.to_be_bytes(), party, now)?;
                pdu::written_into(out, 6, address, value);
                Ok(())
            }
            RequestView::WriteCoils { start, values } => {
                self.write_coils(unit, start, values.iter().map(u8::from), party, now)?;
                pdu::written_into(out, 15, start, count(values.len()));
                Ok(())
            }
            RequestView::WriteMany { start, values } => {
                self.write(unit, Table::Holding, start, values.as_bytes(), party, now)?;
                pdu::written_into(out, 16, start, count(values.len()));
                Ok(())
            }
            RequestView::MaskWrite { address, and, or } => {
                self.mask_write(unit, address, (and, or), party, now)?;
                pdu::mask_written_into(out, address, and, or);
                Ok(())
            }
            RequestView::ReadWrite { read, start, values } => {
                self.may_read(unit, Table::Holding, read, party)?;
                self.write(unit, Table::Holding, start, values.as_bytes(), party, now)?;
                self.read_as(23, unit, (Table::Holding, read), party, out)
            }
        }
    }

    fn read(&mut self, unit: u8, table: Table, span: Span, party: &Party, out: &mut Vec<u8>) -> Result<(), Exception> {
        self.read_as(table.read_function(), unit, (table, span), party, out)
    }

    fn read_as(
        &mut self,
        function: u8,
        unit: u8,
        (table, span): (Table, Span),
        party: &Party,
        out: &mut Vec<u8>,
    ) -> Result<(), Exception> {
        let bytes = self.may_read(unit, table, span, party)?;
        out.push(function);
        if table.is_bits() {
            out.push(u8::try_from(bytes.len().div_ceil(8)).unwrap_or(u8::MAX));
            out.extend(bytes.chunks(8).map(pack));
        } else {
            out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn may_read(&mut self, unit: u8, table: Table, span: Span, party: &Party) -> Result<&[u8], Exception> {
        let index = usize::from(unit).checked_sub(1).ok_or(Exception::GatewayTarget)?;
        let found = self.units.get(index).ok_or(Exception::GatewayTarget)?;
        found.read(table, span, party).map_err(|error| match error {
            ReadError::NoTable => Exception::IllegalFunction,
            ReadError::NoCell => Exception::IllegalAddress,
            ReadError::Denied => {
                self.counters.denied_reads += 1;
                Exception::IllegalFunction
            }
        })
    }

    fn write(
        &mut self,
        unit: u8,
        table: Table,
        start: u16,
        bytes: &[u8],
        party: &Arc<Party>,
        now: Millis,
    ) -> Result<(), Exception> {
        let Self { units, changes, counters, write_roles, .. } = self;
        let index = usize::from(unit).checked_sub(1).ok_or(Exception::GatewayTarget)?;
        let found = units.get_mut(index).ok_or(Exception::GatewayTarget)?;
        if !found.has(table) {
            return Err(Exception::IllegalFunction);
        }
        let written = if party.has_role(write_roles) {
            found.write(table, start, bytes, (party, now), |change| {
                counters.writes += 1;
                changes.push(UnitChange { unit, table, change, at: now, by: Some(Arc::clone(party)) });
            })
        } else {
            Err(WriteError::Denied)
        };
        let end = written.map_err(|error| counters.refused_write(error))?;
        self.next_expiry = self.next_expiry.into_iter().chain(end).min();
        Ok(())
    }

    fn write_coils(
        &mut self,
        unit: u8,
        start: u16,
        values: impl Iterator<Item = u8>,
        party: &Arc<Party>,
        now: Millis,
    ) -> Result<(), Exception> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.extend(values);
        let written = self.write(unit, Table::Coil, start, &bytes, party, now);
        self.scratch = bytes;
        written
    }

    /// Function 22: it changes bits of what the register holds, so the result is checked like any other write.
    fn mask_write(
        &mut self,
        unit: u8,
        address: u16,
        (and, or): (u16, u16),
        party: &Arc<Party>,
        now: Millis,
    ) -> Result<(), Exception> {
        if usize::from(unit) > self.units.len() || unit == 0 {
            return Err(Exception::GatewayTarget);
        }
        let held = self.cells(unit, Table::Holding, Span { start: address, count: 1 });
        let held = held.and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
        let held = held.ok_or(Exception::IllegalAddress)?;
        self.write(unit, Table::Holding, address, &((held & and) | (or & !and)).to_be_bytes(), party, now)
    }
}

fn count(values: usize) -> u16 {
    u16::try_from(values).unwrap_or(u16::MAX)
}

/// Up to eight bits, the first in the lowest place.
fn pack(bits: &[u8]) -> u8 {
    bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
