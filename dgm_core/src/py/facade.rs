//! `dgm._core.Facade`: a Modbus server whose image Python publishes and whose writes Python collects.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::CoreError as PyCoreError;
use crate::error::CoreError;
use crate::modbus::pdu::{Span, Table};
use crate::modbus::server::changes::UnitChange;
use crate::modbus::server::declaration::DeclareError;
use crate::modbus::server::writable::{Form, Width, Writable};
use crate::modbus::server::write_table::{Group, Lease, Rule, TableError};
use crate::modbus::server::DefineError;
use crate::reactor::clients::ClientRecord;
use crate::reactor::clock;
use crate::reactor::serving::{Bound as BoundListener, Facade};
use crate::reactor::serving_thread::Served;
use crate::reactor::tls_files::{TlsError, TlsFiles};
use crate::units::Millis;
use crate::wire::{decode_facade, decode_served_map, FacadeSecurity};

/// (unit, address, value, age_ms, table, peer, role) of a write or fallback.
type WriteRow = (u8, u16, i64, i64, u8, Option<String>, Option<String>);
/// (peer, role, connected_ms, silent_ms, requests, exceptions) of a client.
type ClientRow = (String, Option<String>, i64, i64, u64, u64);

/// A Modbus TCP server; all facades of a process answer on one thread.
#[pyclass(name = "Facade", module = "dgm._core", frozen)]
pub struct PyFacade {
    facade: Arc<Facade>,
    port: u16,
    stage: Mutex<Stage>,
}

enum Stage {
    Bound(BoundListener),
    Running(Served),
    Stopped,
}

#[pymethods]
impl PyFacade {
    /// Binds at once (OSError when the address is in use). Unit ids 1..units exist; others get exception 0x0B.
    /// config: FacadeConfig bytes, of which tls and write_roles count; its files are read at once.
    #[new]
    #[pyo3(signature = (host, port, units, config=None))]
    fn new(py: Python<'_>, host: &str, port: i64, units: i64, config: Option<&[u8]>) -> PyResult<Self> {
        let port = u16::try_from(port).map_err(|_| CoreError::value("Facade: port", port, "0..=65535"))?;
        let unit_count = u8::try_from(units).ok().filter(|count| (1..=247).contains(count));
        let unit_count = unit_count.ok_or_else(|| CoreError::value("Facade: units", units, "1..=247"))?;
        let security = config.map(decode_facade).transpose()?.unwrap_or_default();
        let (bound, facade) = py.detach(|| prepare((host, port), unit_count, security))?;
        Ok(Self { facade: Arc::new(facade), port: bound.address().port(), stage: Mutex::new(Stage::Bound(bound)) })
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *stage, Stage::Stopped) {
            Stage::Bound(bound) => {
                *stage = Stage::Running(py.detach(|| Served::start(bound, Arc::clone(&self.facade)))?);
                Ok(())
            }
            other => {
                *stage = other;
                Err(PyCoreError::new_err("Facade.start: found a facade that was started before; expected a new one"))
            }
        }
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        match self.take_stage() {
            Stage::Running(served) => Ok(py.detach(|| served.stop())?),
            Stage::Bound(_) | Stage::Stopped => Ok(()),
        }
    }

    fn port(&self) -> u16 {
        self.port
    }

    /// Declare readable holding registers (also answered as input registers). Outside: exception 2.
    fn define(&self, unit: i64, address: i64, count: i64) -> PyResult<()> {
        let place = Place { call: "define", unit, address };
        let count = u16::try_from(count).map_err(|_| CoreError::value("define: count", count, "1..=65535"))?;
        let span = Span { start: place.address()?, count };
        place.result(self.facade.server().define(place.unit()?, Table::Holding, span))
    }

    /// Declare all points of a map (RegisterMap bytes) at once, or none of them; CoreError names points and addresses.
    fn declare(&self, unit: i64, map: &[u8]) -> PyResult<()> {
        let place = Place { call: "declare", unit, address: 0 };
        let (number, served) = (place.unit()?, decode_served_map(map)?);
        self.facade.server().declare(number, &served).map_err(|error| {
            let refusal = match error {
                DeclareError::Unit(error) => place.refusal(error),
                DeclareError::Point(found, expected) => {
                    CoreError::site(format!("declare: unit {unit}"), found, expected)
                }
            };
            refusal.into()
        })
    }

    /// Declare one writable value of 1 or 2 registers with its inclusive range; only whole values are written
    /// (exception 3 otherwise). A range that starts below 0 is two's complement. Until set_fallback the fallback is what
    /// the registers hold now.
    fn allow_write(&self, unit: i64, address: i64, count: i64, low: i64, high: i64, watchdog_s: i64) -> PyResult<()> {
        let place = Place { call: "allow_write", unit, address };
        let width = match count {
            1 => Width::One,
            2 => Width::Two,
            _ => return Err(CoreError::value("allow_write: count", count, "1 or 2").into()),
        };
        if !(0..=31_536_000).contains(&watchdog_s) {
            return Err(CoreError::value("allow_write: watchdog_s", watchdog_s, "0..=31536000").into());
        }
        let lease = if watchdog_s > 0 { Lease::Fixed(Millis::new(watchdog_s * 1000)) } else { Lease::Endless };
        let form = Form::number(width, low < 0);
        let writable = Writable::new(form, low, high).ok_or_else(|| {
            CoreError::value("allow_write: low", low, format!("low <= high ({high}) in {count} registers"))
        })?;
        let (unit, start) = (place.unit()?, place.address()?);
        let mut server = self.facade.server();
        let held = server.cells(unit, Table::Holding, Span { start, count: width.registers() });
        let fallback =
            held.and_then(|bytes| form.decode(bytes)).ok_or_else(|| place.refusal(DefineError::Registers))?;
        let group = Group::new(start, vec![(writable, fallback)], Rule::open(lease)).map_err(DefineError::Table);
        place.result(group.and_then(|group| server.allow_write(unit, Table::Holding, group)))
    }

    /// Sets what a value returns to; acts at once where no client holds it. table: a RegisterTable, HOLDING or COIL.
    #[pyo3(signature = (unit, address, value, table=1))]
    fn set_fallback(&self, unit: i64, address: i64, value: i64, table: i64) -> PyResult<()> {
        let place = Place { call: "set_fallback", unit, address };
        let (unit, table, start) = (place.unit()?, numbered_table("set_fallback", table)?, place.address()?);
        place.result(self.facade.server().set_fallback(unit, table, start, value))
    }

    /// Replace registers at once (big-endian words); a reader never sees half of it. table: a RegisterTable; coils and
    /// discrete inputs are a byte of 0 or 1 each.
    #[pyo3(signature = (unit, address, registers, table=1))]
    fn publish(&self, unit: i64, address: i64, registers: &[u8], table: i64) -> PyResult<()> {
        let place = Place { call: "publish", unit, address };
        let table = numbered_table("publish", table)?;
        let is_whole =
            if table.is_bits() { registers.iter().all(|bit| *bit <= 1) } else { registers.len().is_multiple_of(2) };
        if registers.is_empty() || !is_whole {
            let expected = "whole registers of 2 bytes, or bits of 0 or 1 in a byte each, at least one".to_owned();
            return Err(CoreError::Shape { what: "registers", found: registers.len(), expected }.into());
        }
        let (unit, start) = (place.unit()?, place.address()?);
        place.result(self.facade.server().publish(unit, table, start, registers))
    }

    /// (unit, address, value, age_ms, table, peer, role) of accepted writes and ended leases since the last call, in
    /// order. peer is None where a lease ended.
    fn take_writes(&self) -> Vec<WriteRow> {
        let (changes, now) = (self.facade.take_changes(), clock::now());
        changes.into_iter().map(|change| write_row(&change, now)).collect()
    }

    /// (peer, role, connected_ms, silent_ms, requests, exceptions) of every client that is connected.
    fn clients(&self) -> Vec<ClientRow> {
        let now = clock::now();
        let row = |record: Arc<ClientRecord>| {
            let role = record.party.get().and_then(|party| party.role.clone());
            let silent_ms = now.get() - record.asked_at.load(Ordering::Relaxed);
            let counts = (record.requests.load(Ordering::Relaxed), record.exceptions.load(Ordering::Relaxed));
            (record.peer.clone(), role, (now - record.since).get().max(0), silent_ms.max(0), counts.0, counts.1)
        };
        self.facade.clients().into_iter().map(row).collect()
    }

    /// Reads certificate, key and CA again if a file has changed; whether it did. Open connections stay open.
    fn refresh_tls(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(py.detach(|| self.facade.refresh_security()).map_err(refused_files)?)
    }

    /// eventfd: readable when take_writes() has something.
    fn fileno(&self) -> i32 {
        self.facade.notifier.fd()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (counted, conflated) = {
            let server = self.facade.server();
            (server.counters, server.conflated_changes())
        };
        let result = PyDict::new(py);
        for (name, value) in counted.named() {
            result.set_item(name, value)?;
        }
        for (name, value) in self.facade.connections.named() {
            result.set_item(name, value)?;
        }
        result.set_item("changes_conflated_total", conflated)?;
        result.set_item("running", i64::from(self.facade.running.load(Ordering::Acquire)))?;
        Ok(result)
    }
}

/// Binds and reads the files; nothing is answered yet.
fn prepare((host, port): (&str, u16), units: u8, security: FacadeSecurity) -> PyResult<(BoundListener, Facade)> {
    let bound = BoundListener::bind(host, port)?;
    let mut facade = Facade::new(units)?;
    if let Some((certificate, private_key, ca)) = security.files {
        let files = TlsFiles { certificate: certificate.into(), private_key: private_key.into(), ca: ca.into() };
        facade = facade.secure(files).map_err(refused_files)?;
    }
    facade.server().set_write_roles(security.write_roles);
    Ok((bound, facade))
}

fn refused_files(error: TlsError) -> CoreError {
    CoreError::Files { reason: error.to_string() }
}

fn write_row(change: &UnitChange, now: Millis) -> WriteRow {
    let UnitChange { unit, table, change, at, by } = change;
    let (peer, role) = by.as_ref().map_or((None, None), |party| (Some(party.name.clone()), party.role.clone()));
    let age_ms = (now - *at).get().max(0);
    (*unit, change.address, change.value, age_ms, table_number(*table), peer, role)
}

fn numbered_table(call: &str, number: i64) -> Result<Table, CoreError> {
    let tables = [Table::Holding, Table::Input, Table::Coil, Table::DiscreteInput];
    let found = tables.into_iter().find(|table| i64::from(table_number(*table)) == number);
    found.ok_or_else(|| CoreError::value(format!("{call}: table"), number, "a RegisterTable, 1..=4"))
}

/// As in `RegisterTable` of registers.proto.
fn table_number(table: Table) -> u8 {
    match table {
        Table::Holding => 1,
        Table::Input => 2,
        Table::Coil => 3,
        Table::DiscreteInput => 4,
    }
}

impl PyFacade {
    fn take_stage(&self) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), Stage::Stopped)
    }
}

impl Drop for PyFacade {
    /// A facade that nobody holds any more answers nobody any more.
    fn drop(&mut self) {
        if let Stage::Running(served) = self.take_stage() {
            // A thread that had panicked has ended, which is all that is wanted here.
            let _ = served.stop();
        }
    }
}

/// What a call is about, for its refusal.
struct Place {
    call: &'static str,
    unit: i64,
    address: i64,
}

impl Place {
    fn unit(&self) -> Result<u8, CoreError> {
        u8::try_from(self.unit).map_err(|_| self.refusal(DefineError::Unit))
    }

    fn address(&self) -> Result<u16, CoreError> {
        u16::try_from(self.address).map_err(|_| self.refusal(DefineError::Registers))
    }

    fn result(&self, result: Result<(), DefineError>) -> PyResult<()> {
        Ok(result.map_err(|error| self.refusal(error))?)
    }

    fn refusal(&self, error: DefineError) -> CoreError {
        let (found, expected) = match error {
            DefineError::Unit => (self.unit, "a unit id of this facade"),
            DefineError::Registers => (self.address, "registers that are declared and end at 65535 or before"),
            DefineError::Full => (self.address, "fewer writable values"),
            DefineError::Table(TableError::Overlap) => (self.address, "registers of no other writable value"),
            DefineError::Table(TableError::Range) => (self.address, "a value that its registers can hold"),
            DefineError::Table(TableError::Unknown) => (self.address, "the first register of a writable value"),
        };
        CoreError::value(format!("{}: unit {}, address {}", self.call, self.unit, self.address), found, expected)
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFacade>()
}
