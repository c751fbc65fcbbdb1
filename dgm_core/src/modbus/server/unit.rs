//! What is served under one unit id: four tables of cells, what of them may be written, who may read what.
//!
//! ```text
//! holding ── also answers function 4 unless input registers were declared      coils   discrete inputs
//!    └── WriteTable                                                             └── WriteTable
//! ```
use super::super::pdu::{Span, Table};
use super::party::Party;
use super::registers::{Bits, Registers};
use super::writable::Cell;
use super::write_table::{Change, Group, TableError, WriteError, WriteTable};
use crate::units::Millis;

/// Cells that only some roles may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Which table.
    pub table: Table,
    /// Which cells.
    pub span: Span,
    /// Who may read them.
    pub roles: Vec<String>,
}

/// Why a unit does not answer a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The unit has no such table.
    NoTable,
    /// A cell of the span does not exist.
    NoCell,
    /// The client's role has not the right.
    Denied,
}

/// One unit.
#[derive(Debug, Default)]
pub struct Unit {
    holding: Registers,
    input: Registers,
    coils: Bits,
    discrete: Bits,
    registers: WriteTable<2>,
    switches: WriteTable<1>,
    guarded: Vec<Guarded>,
}

impl Unit {
    /// Declares readable cells. The span must be addressable.
    pub fn define(&mut self, table: Table, span: Span) {
        match table {
            Table::Holding => self.holding.define(span),
            Table::Input => self.input.define(span),
            Table::Coil => self.coils.define(span),
            Table::DiscreteInput => self.discrete.define(span),
        }
    }

    /// Lets only some roles read cells.
    pub fn guard(&mut self, guarded: Guarded) {
        self.guarded.push(guarded);
    }

    /// Declares a group of writable values over cells that exist; only holding registers and coils can be written.
    pub fn allow(&mut self, table: Table, group: Group) -> Result<(), TableError> {
        match table {
            Table::Holding => self.registers.allow(group),
            Table::Coil => self.switches.allow(group),
            Table::Input | Table::DiscreteInput => Err(TableError::Unknown),
        }
    }

    /// Whether a group may be declared beside the others.
    pub fn may_allow(&self, table: Table, group: &Group) -> Result<(), TableError> {
        match table {
            Table::Holding => self.registers.place(group).map(|_| ()),
            Table::Coil => self.switches.place(group).map(|_| ()),
            Table::Input | Table::DiscreteInput => Err(TableError::Unknown),
        }
    }

    /// The bytes of a span as they lie in the image, whoever asks.
    pub fn cells(&self, table: Table, span: Span) -> Option<&[u8]> {
        match table {
            Table::Input if self.input.is_empty() => self.holding.read(span),
            own => self.own_cells(own, span),
        }
    }

    /// The same of this table and no other.
    pub fn own_cells(&self, table: Table, span: Span) -> Option<&[u8]> {
        match table {
            Table::Holding => self.holding.read(span),
            Table::Input => self.input.read(span),
            Table::Coil => self.coils.read(span),
            Table::DiscreteInput => self.discrete.read(span),
        }
    }

    /// The bytes of a span, if this client may read it.
    pub fn read(&self, table: Table, span: Span, party: &Party) -> Result<&[u8], ReadError> {
        let Some(bytes) = self.cells(table, span) else {
            return Err(if self.has(table) { ReadError::NoCell } else { ReadError::NoTable });
        };
        let is_denied = |guarded: &Guarded| {
            self.is_same(guarded.table, table) && overlaps(guarded.span, span) && !party.has_role(&guarded.roles)
        };
        if self.guarded.iter().any(is_denied) {
            return Err(ReadError::Denied);
        }
        Ok(bytes)
    }

    /// Whether functions of the table are served; registers always are.
    pub fn has(&self, table: Table) -> bool {
        match table {
            Table::Holding | Table::Input => true,
            Table::Coil => !self.coils.is_empty(),
            Table::DiscreteInput => !self.discrete.is_empty(),
        }
    }

    /// Function 4 shows the holding registers where there are no input registers: what guards those guards it too.
    fn is_same(&self, guarded: Table, asked: Table) -> bool {
        guarded == asked || (asked == Table::Input && guarded == Table::Holding && self.input.is_empty())
    }

    /// Replaces cells; `None` and nothing replaced if one of them does not exist.
    pub fn replace(&mut self, table: Table, start: u16, bytes: &[u8]) -> Option<()> {
        match table {
            Table::Holding => self.holding.replace(start, bytes),
            Table::Input => self.input.replace(start, bytes),
            Table::Coil => self.coils.replace(start, bytes),
            Table::DiscreteInput => self.discrete.replace(start, bytes),
        }
    }

    /// Sets what a value returns to; acts at once where no client holds it.
    pub fn set_fallback(&mut self, table: Table, address: u16, value: i64) -> Result<(), TableError> {
        let cell = match table {
            Table::Holding => self.registers.set_fallback(address, value)?,
            Table::Coil => self.switches.set_fallback(address, value)?,
            Table::Input | Table::DiscreteInput => return Err(TableError::Unknown),
        };
        let stored = cell.map_or(Some(()), |cell| self.replace(table, address, cell.as_slice()));
        stored.ok_or(TableError::Unknown)
    }

    /// Carries out a client's write, or nothing of it; the end of the first lease it began.
    pub fn write(
        &mut self,
        table: Table,
        start: u16,
        bytes: &[u8],
        (party, now): (&Party, Millis),
        tell: impl FnMut(Change),
    ) -> Result<Option<Millis>, WriteError> {
        let end = match table {
            Table::Holding => self.registers.write(start, bytes, party, now, tell)?,
            Table::Coil => self.switches.write(start, bytes, party, now, tell)?,
            Table::Input | Table::DiscreteInput => return Err(WriteError::NotWritable),
        };
        self.replace(table, start, bytes).ok_or(WriteError::NotWritable)?;
        Ok(end)
    }

    /// Returns every group whose lease has ended to its fallbacks.
    pub fn expire(&mut self, now: Millis, mut tell: impl FnMut(Table, Change)) {
        let (holding, coils) = (&mut self.holding, &mut self.coils);
        // The tables only hold values over cells that exist.
        self.registers.expire(now, |change, cell: Cell| {
            let _ = holding.replace(change.address, cell.as_slice());
            tell(Table::Holding, change);
        });
        self.switches.expire(now, |change, cell: Cell| {
            let _ = coils.replace(change.address, cell.as_slice());
            tell(Table::Coil, change);
        });
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.registers.next_expiry().into_iter().chain(self.switches.next_expiry()).min()
    }
}

fn overlaps(one: Span, other: Span) -> bool {
    let end = |span: Span| u32::from(span.start) + u32::from(span.count);
    u32::from(one.start) < end(other) && u32::from(other.start) < end(one)
}
