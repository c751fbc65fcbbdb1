//! `dgm._core.Facade`: a Modbus server whose image Python publishes and whose writes Python collects.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::CoreError as PyCoreError;
use crate::error::CoreError;
use crate::modbus::pdu::Span;
use crate::modbus::server::{DefineError, UnitChange};
use crate::modbus::writable::{TableError, Width, Writable};
use crate::reactor::clock;
use crate::reactor::serving::{Bound as BoundListener, Facade, FacadeThread};
use crate::units::Millis;

/// A Modbus TCP server; it answers on its own thread.
#[pyclass(name = "Facade", module = "dgm._core", frozen)]
pub struct PyFacade {
    facade: Arc<Facade>,
    port: u16,
    thread: Mutex<Stage>,
}

enum Stage {
    Bound(BoundListener),
    Running(FacadeThread),
    Stopped,
}

#[pymethods]
impl PyFacade {
    /// Binds at once (OSError when the address is in use). Unit ids 1..units exist; others get exception 0x0B.
    #[new]
    fn new(py: Python<'_>, host: &str, port: i64, units: i64) -> PyResult<Self> {
        let port = u16::try_from(port).map_err(|_| CoreError::value("Facade: port", port, "0..=65535"))?;
        let unit_count = u8::try_from(units).ok().filter(|count| (1..=247).contains(count));
        let unit_count = unit_count.ok_or_else(|| CoreError::value("Facade: units", units, "1..=247"))?;
        let bound = py.detach(|| BoundListener::bind(host, port))?;
        let facade = Arc::new(Facade::new(unit_count)?);
        Ok(Self { facade, port: bound.address().port(), thread: Mutex::new(Stage::Bound(bound)) })
    }

    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let mut stage = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *stage, Stage::Stopped) {
            Stage::Bound(bound) => {
                let thread = py.detach(|| FacadeThread::start(bound, Arc::clone(&self.facade)))?;
                *stage = Stage::Running(thread);
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
            Stage::Running(thread) => Ok(py.detach(|| thread.stop())?),
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
        place.result(self.facade.server().define(place.unit()?, span))
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
        let watchdog = (watchdog_s > 0).then(|| Millis::new(watchdog_s * 1000));
        let writable = Writable::new(width, low, high, watchdog).map_err(|_| {
            CoreError::value("allow_write: low", low, format!("low <= high ({high}) in {count} registers"))
        })?;
        let span = Span { start: place.address()?, count: width.registers() };
        place.result(self.facade.server().allow_write(place.unit()?, span, writable))
    }

    /// Sets what a value returns to; acts at once where no client holds it.
    fn set_fallback(&self, unit: i64, address: i64, value: i64) -> PyResult<()> {
        let place = Place { call: "set_fallback", unit, address };
        place.result(self.facade.server().set_fallback(place.unit()?, place.address()?, value))
    }

    /// Replace registers at once (big-endian words); a reader never sees half of it.
    fn publish(&self, unit: i64, address: i64, registers: &[u8]) -> PyResult<()> {
        let place = Place { call: "publish", unit, address };
        let pairs = registers.chunks_exact(2);
        if !pairs.remainder().is_empty() || registers.is_empty() {
            let expected = "whole registers of 2 bytes, at least one".to_owned();
            return Err(CoreError::Shape { what: "registers", found: registers.len(), expected }.into());
        }
        let words: Vec<u16> = pairs.filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes)).collect();
        place.result(self.facade.server().publish(place.unit()?, place.address()?, &words))
    }

    /// (unit, address, value, age_ms) of accepted writes and watchdog fallbacks since the last call, in order.
    fn take_writes(&self) -> Vec<(u8, u16, i64, i64)> {
        let (changes, now) = (self.facade.take_changes(), clock::now());
        let row = |UnitChange { unit, change, at }| (unit, change.address, change.value, (now - at).get().max(0));
        changes.into_iter().map(row).collect()
    }

    /// eventfd: readable when take_writes() has something.
    fn fileno(&self) -> i32 {
        self.facade.notifier.fd()
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counted = self.facade.server().counters;
        let connections = &self.facade.connections;
        let result = PyDict::new(py);
        for (name, value) in [
            ("modbus_requests_total", counted.requests),
            ("modbus_exceptions_total", counted.exceptions),
            ("modbus_bad_frames_total", counted.bad_frames),
            ("writes_total", counted.writes),
            ("watchdog_fallbacks_total", counted.fallbacks),
            ("changes_conflated_total", counted.changes_conflated),
        ] {
            result.set_item(name, value)?;
        }
        for (name, value) in [
            ("connections_total", &connections.accepted),
            ("connections", &connections.open),
            ("connections_timed_out_total", &connections.timed_out),
            ("connections_evicted_total", &connections.evicted),
        ] {
            result.set_item(name, value.load(Ordering::Relaxed))?;
        }
        result.set_item("running", i64::from(self.facade.running.load(Ordering::Acquire)))?;
        Ok(result)
    }
}

impl PyFacade {
    fn take_stage(&self) -> Stage {
        std::mem::replace(&mut *self.thread.lock().unwrap_or_else(PoisonError::into_inner), Stage::Stopped)
    }
}

impl Drop for PyFacade {
    /// A facade that nobody holds any more answers nobody any more.
    fn drop(&mut self) {
        if let Stage::Running(thread) = self.take_stage() {
            // A thread that had panicked has ended, which is all that is wanted here.
            let _ = thread.stop();
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
